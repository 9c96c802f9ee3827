"""A verified copy of a data folder, taken while it is written, and the way back."""

from __future__ import annotations

import shutil
import time
from contextlib import closing, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from graph.checkpoint_file import verify_checkpoint
from graph.checkpoints import CHECKPOINTS, Checkpoints
from graph.content import ALGORITHM, content_of
from graph.files import copy_file, copy_marked, failing, is_empty, sync_tree
from graph.folders import write_file
from graph.manifest import MANIFEST, MANIFEST_FORMAT, Manifest, SiteMark, manifest_bytes
from graph.marks import mark_file
from graph.readings.checking import measure
from graph.readings.copying import copy_history
from graph.rebuild import rebuild
from graph.stores.copying import copy_database, copying
from graph.stores.reading import connect_unchanged
from graph.stores.site_files import FOLDER_FILES, SIDE_FILES
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from ontology.schema import Schema

JOURNAL, OLD_HISTORY = "journal.sqlite", "history.sqlite"
# What a data folder holds besides its sites. Secrets do not belong there; of tokens it has only hashes.
SETTINGS = ("twinmesh.toml", "tokens.json")
# Room that must be left besides the copy itself: the manifest and the file system's own needs.
_SPARE_BYTES = 16 * 1024 * 1024


def make_backup(
    data: Path, target: Path, schema: Schema, tell: Callable[[str], None] = lambda _: None
) -> Manifest:
    """Copy a data folder into a new or empty folder, whoever writes to it meanwhile; then prove the copy.

    Each site is copied as of one moment, with all that was acknowledged before. The copy is replayed from
    its first commit; what it says then stands in the manifest, which is written last: a backup without one
    is none. On failure nothing is left behind.

    Raises StoreError STORE_MISSING (no data folder), BACKUP_TARGET, BACKUP_SPACE, BACKUP_FAILED (the disk
    refused), JOURNAL_CORRUPT (the source is damaged).
    """
    sites = _sites(data)
    with _claimed(data, target):
        _check_space(data, target)
        # Before the logs that its cursors count: then a restored route sends again, and leaves nothing out.
        for name in FOLDER_FILES:
            if (data / name).exists():
                copy_database(data / name, target / name, "BACKUP_FAILED")
        for site in sites:
            tell(f"copying {site}")
            _copy_site(data / "sites" / site, target / "sites" / site)
        for name in SETTINGS:
            if (data / name).exists():
                copy_file(data / name, target / name)
        marks: list[SiteMark] = []
        for site in sites:
            tell(f"verifying {site}")
            marks.append(mark_site(target / "sites" / site, schema))
            _copy_checkpoint(data / "sites" / site, target / "sites" / site, marks[-1].revision)
        manifest = _manifest(target, marks)
        sync_tree(target)
        write_file(target / MANIFEST, manifest_bytes(manifest))
    return manifest


def mark_site(folder: Path, schema: Schema) -> SiteMark:
    """What a site folder that nobody writes to says, read from its journal alone. StoreError."""
    rebuilt = rebuild(folder / JOURNAL, schema)
    content, head = content_of(rebuilt.snapshot), rebuilt.head
    return SiteMark(
        site=rebuilt.header.site,
        format=rebuilt.format,
        revision=head.sequence,
        time_ns=head.time_ns,
        digest=head.digest.hex(),
        hash=content.hash,
        content=content,
        readings=_readings(folder),
    )


def _sites(data: Path) -> list[str]:
    if not (data / "twinmesh.toml").exists():
        message = "this is no data folder of twinmesh"
        raise StoreError(message, code="STORE_MISSING", place=Place(path=str(data)))
    return sorted(journal.parent.name for journal in (data / "sites").glob(f"*/{JOURNAL}"))


@contextmanager
def _claimed(data: Path, target: Path) -> Generator[None]:
    """A target that is ours: new or empty before, and put back into that state if anything goes wrong."""
    place = Place(path=str(target))
    if target.resolve().is_relative_to((data / "sites").resolve()):
        hint = "choose a folder outside, best on another disk"
        raise StoreError("lies inside the folder of the sites", code="BACKUP_TARGET", place=place, hint=hint)
    with failing("BACKUP_FAILED", target):
        if target.exists() and not is_empty(target):
            hint = "give a new or empty folder; old backups are never overwritten"
            raise StoreError("there is something here already", code="BACKUP_TARGET", place=place, hint=hint)
        existed = target.exists()
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
    done = False
    try:
        with failing("BACKUP_FAILED", target):
            yield
        done = True
    finally:
        if not done:
            _clear(target, keep=existed)


def _clear(target: Path, *, keep: bool) -> None:
    shutil.rmtree(target, ignore_errors=True)
    if keep:
        target.mkdir(mode=0o700, exist_ok=True)


def _check_space(data: Path, target: Path) -> None:
    """Told before an hour of copying. The disk may still fill up meanwhile: that is BACKUP_FAILED."""
    needed = _SPARE_BYTES + sum(path.stat().st_size for path in _copied(data))
    free = shutil.disk_usage(target).free
    if free < needed:
        message = f"the backup needs {needed:,} bytes, the disk has {free:,}"
        hint = "make room, or choose a folder on another disk"
        raise StoreError(message, code="BACKUP_SPACE", place=Place(path=str(target)), hint=hint)


def _copied(data: Path) -> Iterator[Path]:
    for name in FOLDER_FILES:
        yield from data.glob(f"{name}*")
    sides = [f"{name}*" for name in SIDE_FILES]
    for pattern in ("journal.sqlite*", "history.sqlite*", "checkpoints/*.tmc", "history/*", *sides):
        yield from (data / "sites").glob(f"*/{pattern}")


def _copy_site(source: Path, target: Path) -> None:
    """The readings first: what they are of was acknowledged before, so the journal's copy has it."""
    target.mkdir(parents=True)
    copy_history(source, target)
    for name in (*SIDE_FILES, OLD_HISTORY, JOURNAL):
        if (source / name).exists():
            copy_database(source / name, target / name, "BACKUP_FAILED")


def _copy_checkpoint(source: Path, target: Path, revision: int) -> None:
    """The newest that the copied journal covers, so that a big site opens quickly when it comes back.

    One that is damaged, or that the writer lets go meanwhile, is left out: the journal has it all.
    """
    for path in Checkpoints(source).paths():
        if int(path.stem) > revision or verify_checkpoint(path):
            continue
        with suppress(FileNotFoundError):
            copy_marked(path, target / CHECKPOINTS / path.name, path.name)
            return


def _readings(folder: Path) -> int:
    path = folder / OLD_HISTORY
    if not path.exists():
        sizes = measure(folder)
        return sizes.rows + sizes.log_rows
    with copying(path, "BACKUP_FAILED"), closing(connect_unchanged(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM readings").fetchone()[0])


def _manifest(target: Path, marks: list[SiteMark]) -> Manifest:
    names = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    files = tuple(mark_file(target, name) for name in names)
    return Manifest(MANIFEST_FORMAT, _program(), time.time_ns(), ALGORITHM, tuple(marks), files)


def _program() -> str:
    try:
        return f"twinmesh {version('twinmesh')}"
    except PackageNotFoundError:
        return "twinmesh from a checkout"
