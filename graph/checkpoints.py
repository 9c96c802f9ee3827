"""The checkpoints of a site folder: finding the one to begin with, taking new ones, letting old ones go."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.checkpoint import load_checkpoint, read_about, save
from graph.checkpoint_file import SUFFIX, TEMPORARY_SUFFIX, verify_checkpoint
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.checkpoint import Capture
    from graph.pools import Pools
    from graph.state import State
    from graph.stores.protocol import Head, Store
    from ontology.errors import Problem
    from ontology.schema import Schema

CHECKPOINTS = "checkpoints"
# The last ones that stay: the newest may turn out damaged, and questions about the past begin at any of them.
KEPT = 3
_DIGITS = 16
_LOG = logging.getLogger("twinmesh.checkpoints")


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """When a checkpoint is taken: as soon as the commits after the last one are so many, or so large.

    At closing less is enough, since nobody waits. replay_s: or when reading them took so long at opening.
    """

    commits: int = 4096
    payload_bytes: int = 16 << 20
    replay_s: float = 0.5
    closing_commits: int = 64
    closing_bytes: int = 1 << 20


NEVER = CheckpointPolicy(*([1 << 60] * 5))


class Checkpoints:
    """One folder of checkpoints. Loading from any thread; only one thread at a time takes."""

    def __init__(self, site_folder: Path) -> None:
        self.folder = site_folder / CHECKPOINTS
        self.problems: list[Problem] = []  # what was met and passed over, since the folder was opened
        self._sound: dict[Path, tuple[int, int]] = {}  # files whose every byte was checked, as they were then

    def paths(self) -> list[Path]:
        """All files, the newest first."""
        found = [path for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
        return sorted(found, key=lambda path: int(path.stem), reverse=True)

    def load(
        self, store: Store, schema: Schema, pools: Pools, until: int | None = None
    ) -> tuple[State, Head] | None:
        """The state of the newest sound checkpoint not after `until`, and the commit it shows; None if none.

        What cannot be used is told to `problems` and the log, and an older one is tried: nothing is guessed.
        """
        tried: set[Path] = set()
        # Listed anew after each failure: the writer may have let one go for a newer one meanwhile.
        while (
            path := next((p for p in self.paths() if p not in tried and _is_upto(p, until)), None)
        ) is not None:
            tried.add(path)
            try:
                return self._load(path, store, schema, pools)
            except StoreError as error:
                if path.exists():
                    self._tell(error.problem)
        return None

    def take(self, captured: Capture) -> int:
        """Write a checkpoint and let the oldest go; its size in bytes. StoreError STORE_FAILED."""
        path = self.folder / f"{captured.head.sequence:0{_DIGITS}d}{SUFFIX}"
        size_bytes = save(captured, path)
        self._sound[path] = _stamp(path)
        self._prune(path)
        return size_bytes

    def _load(self, path: Path, store: Store, schema: Schema, pools: Pools) -> tuple[State, Head]:
        _check_origin(path, store)
        stamp = _stamp(path)
        loaded = load_checkpoint(path, schema, pools, check=self._sound.get(path) != stamp)
        self._sound[path] = stamp
        return loaded

    def _prune(self, newest: Path) -> None:
        """Keep the last ones; what could not be used makes room, and so does what a crash left behind."""
        unusable = {problem.place.path for problem in self.problems}
        usable = [path for path in self.paths() if str(path) not in unusable or path == newest]
        kept = {newest, *usable[:KEPT]}
        left = [*self.paths(), *self.folder.glob(f"*{SUFFIX}{TEMPORARY_SUFFIX}")]
        for path in left:
            if path not in kept:
                self._sound.pop(path, None)
                with suppress(OSError):  # the next one tries again
                    path.unlink(missing_ok=True)

    def _tell(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
            _LOG.warning("%s; an older checkpoint or the journal is read instead", problem)


def _is_upto(path: Path, until: int | None) -> bool:
    return until is None or int(path.stem) <= until


def verify_checkpoints(site_folder: Path, store: Store) -> list[Problem]:
    """Everything that is wrong with the checkpoints of a site: bytes, or that they are of another journal."""
    found: list[Problem] = []
    for path in Checkpoints(site_folder).paths():
        problems = verify_checkpoint(path)
        found.extend(problems)
        try:
            if not problems:
                _check_origin(path, store)
        except StoreError as error:
            found.append(error.problem)
    return found


def _check_origin(path: Path, store: Store) -> None:
    """Whether a file shows this journal. Reads its table only; StoreError CHECKPOINT_FOREIGN and others."""
    about = read_about(path)
    if about.sequence != int(path.stem):
        message = f"the checkpoint is of commit {about.sequence}, not of that which names it"
        raise StoreError(message, code="CHECKPOINT_FOREIGN", place=Place(path=str(path)), hint=_FOREIGN_HINT)
    here = (store.header.site, store.header.base, store.digest_at(about.sequence))
    if (about.site, about.base, about.digest) != here:
        message = f"the checkpoint is not of this journal at commit {about.sequence}"
        raise StoreError(message, code="CHECKPOINT_FOREIGN", place=Place(path=str(path)), hint=_FOREIGN_HINT)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise StoreError(f"checkpoint: {error}", code="STORE_FAILED", place=Place(path=str(path))) from error
    return found.st_ino, found.st_mtime_ns


class Duty:
    """Keeps count of what came after the last checkpoint, and says when another is due."""

    def __init__(self, policy: CheckpointPolicy) -> None:
        self._policy = policy
        self._sequence = 0
        self._bytes = 0
        self._replay_s = 0.0
        self._not_before_s = 0.0

    def opened(self, at_sequence: int, replay_s: float) -> None:
        """The state was loaded as of a commit, and bringing it up to date took so long."""
        self._sequence, self._bytes, self._replay_s = at_sequence, 0, replay_s

    def written(self, payload_bytes: int) -> None:
        self._bytes += payload_bytes

    def is_due(self, sequence: int) -> bool:
        if sequence <= self._sequence or time.monotonic() < self._not_before_s:
            return False
        policy = self._policy
        commits = sequence - self._sequence
        return (
            commits >= policy.commits
            or self._bytes >= policy.payload_bytes
            or self._replay_s >= policy.replay_s
        )

    def is_due_at_close(self, sequence: int) -> bool:
        commits, policy = sequence - self._sequence, self._policy
        return commits >= policy.closing_commits or (commits > 0 and self._bytes >= policy.closing_bytes)

    def began(self, sequence: int) -> None:
        """A checkpoint of a commit is being taken."""
        self._sequence, self._bytes, self._replay_s = sequence, 0, 0.0

    def ended(self, took_s: float, *, failed: bool) -> None:
        """Checkpoints take at most a small share of the time; after a failure the disk is given some."""
        self._not_before_s = time.monotonic() + max(
            took_s * _PAUSE_RATIO, _FAILURE_PAUSE_S if failed else 0.0
        )


_PAUSE_RATIO = 20
_FAILURE_PAUSE_S = 60.0
_FOREIGN_HINT = "delete the file: it belongs to another site, or to a journal that was replaced"
