"""The seal of a closed site: marks of its files, so that any byte that changes meanwhile is found.

SQLite has no checksums of its own: the hash chain covers all that a journal says, but not the bytes of a file
that hold nothing, nor readings. A writer that closes cleanly seals the folder; the next one breaks the seal
before it writes. After a crash there is none, and `verify` says so.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from graph.folders import sync_folder, write_file
from graph.marks import FileMark, compare_marks, mark_file
from graph.stores.site_files import SIDE_FILES
from ontology.errors import Place, Problem

if TYPE_CHECKING:
    from pathlib import Path

SEAL = "seal.json"
SEAL_FORMAT = 1
# Files of a site that change in place.
DATABASES = ("journal.sqlite", "history.sqlite", *SIDE_FILES)
SEALED = (*DATABASES, "history/catalog.json", "history/names.tml", "history/log-*.tml")
# These carry checksums of their own: only that they are there is kept.
IMMUTABLE = ("checkpoints/*.tmc", "history/*.parquet")
_HINT = "restore a backup; if you changed the file on purpose, remove seal.json"


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the file: marks, the names of files that are immutable, and a digest over both."""

    format: int
    files: tuple[FileMark, ...]
    immutable: tuple[str, ...]
    digest: str


_SEALS: Final = msgspec.json.Decoder(Seal)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def write_seal(folder: Path) -> None:
    """Seal a site folder whose writer just closed its files, still holding the lock.

    OSError where the disk refuses: then there is no seal, which is safe. A site with changes still in a
    write-ahead log (a reader held it) is left unsealed.
    """
    if _has_log(folder):
        return
    files = tuple(mark_file(folder, name) for name in _found(folder, SEALED))
    write_file(folder / SEAL, _spelt(files, _found(folder, IMMUTABLE)))


def break_seal(folder: Path) -> None:
    """Before the first byte is written. OSError where that cannot be made durable."""
    path = folder / SEAL
    if path.exists():
        path.unlink()
        sync_folder(folder)


def check_seal(folder: Path) -> list[Problem] | None:
    """What changed since the folder was sealed; None where it is not sealed."""
    path = folder / SEAL
    try:
        text = path.read_bytes()
        seal = _SEALS.decode(text)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, ValueError, OSError) as error:
        return [Problem("SEAL_BROKEN", f"the seal cannot be read: {error}", Place(path=str(path)), _HINT)]
    if text != _spelt(seal.files, seal.immutable):
        return [Problem("SEAL_BROKEN", "the seal itself is damaged", Place(path=str(path)), _HINT)]
    problems = [problem for mark in seal.files for problem in _check_file(folder, mark)]
    for name in seal.immutable:
        if not (folder / name).exists():
            place = Place(path=str(folder / name))
            problems.append(Problem("SEAL_BROKEN", "the file is gone", place, _HINT))
    if _has_log(folder):
        message = "something was written that did not break the seal: another program?"
        problems.append(Problem("SEAL_BROKEN", message, Place(path=str(folder)), _HINT))
    return problems


def _check_file(folder: Path, mark: FileMark) -> list[Problem]:
    try:
        found = mark_file(folder, mark.path)
    except OSError as error:
        place = Place(path=str(folder / mark.path))
        return [Problem("SEAL_BROKEN", f"cannot be read: {error.strerror}", place, _HINT)]
    return compare_marks(folder, mark, found, "SEAL_BROKEN", _HINT)


def _found(folder: Path, patterns: tuple[str, ...]) -> tuple[str, ...]:
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
    return tuple(path.relative_to(folder).as_posix() for path in paths)


def _spelt(files: tuple[FileMark, ...], immutable: tuple[str, ...]) -> bytes:
    """The one way to write a seal: every byte of the file counts."""
    digest = sha256(msgspec.json.encode((files, immutable), order="deterministic")).hexdigest()
    return msgspec.json.format(msgspec.json.encode(Seal(SEAL_FORMAT, files, immutable, digest)), indent=1)


def _has_log(folder: Path) -> bool:
    logs = (folder / f"{name}-wal" for name in DATABASES)
    return any(log.exists() and log.stat().st_size for log in logs)
