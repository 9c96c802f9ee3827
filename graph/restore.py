"""A backup put back into a new data folder; what came back is compared to what was kept."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from graph.backup import SETTINGS, mark_site
from graph.content import ALGORITHM
from graph.files import copy_marked, failing, sync_tree
from graph.folders import sync_folder
from graph.manifest import read_manifest
from graph.marks import compare_marks, mark_file
from graph.sealing import write_seal
from graph.stores.site_files import FOLDER_FILES
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from graph.manifest import Manifest, SiteMark
    from graph.marks import FileMark
    from ontology.schema import Schema

# Where files lie until all of them are there: on the disk of the data folder, and no data folder yet.
UNFINISHED = "restoring"
_OTHER_BACKUP = "use another backup"


def restore_backup(
    backup: Path,
    data: Path,
    schema: Schema,
    *,
    verify: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Make a data folder from a backup. Every file is held against the manifest while it is copied.

    data: must not exist or be empty; an interrupted restore in it is cleared away first. Sites appear all at
    once, when everything is on disk. verify: read the new folder again, rebuild every site from its journal
    and compare revision, hash chain and content.

    Raises StoreError BACKUP_INCOMPLETE, BACKUP_DAMAGED, STORE_VERSION, RESTORE_TARGET, RESTORE_SPACE,
    RESTORE_FAILED (the disk refused); on failure nothing is left behind.
    """
    manifest = read_manifest(backup)
    with _claimed(data):
        _check_space(manifest, data)
        work = data / UNFINISHED
        problems: list[Problem] = []
        for mark in manifest.files:
            tell(f"copying {mark.path}")
            found = _copy(backup, work, mark)
            problems += compare_marks(backup, mark, found, "BACKUP_DAMAGED", _OTHER_BACKUP)
        if verify and not problems:
            tell("verifying")
            problems += verify_copy(work, manifest, schema)
        if problems:
            raise _refused(problems)
        for mark in manifest.sites:
            write_seal(work / "sites" / mark.site)
        _publish(work, data)
    return manifest


def verify_copy(folder: Path, manifest: Manifest, schema: Schema) -> list[Problem]:
    """Where the files or sites of a folder are not what a manifest says."""
    found = [mark_file(folder, mark.path) for mark in manifest.files]
    problems = [
        problem
        for mark, here in zip(manifest.files, found, strict=True)
        for problem in compare_marks(folder, mark, here, "BACKUP_DAMAGED", _OTHER_BACKUP)
    ]
    for mark in manifest.sites:
        here = mark_site(folder / "sites" / mark.site, schema)
        problems += _compare_sites(folder, mark, here, comparable=manifest.algorithm == ALGORITHM)
    return problems


def _copy(backup: Path, work: Path, mark: FileMark) -> FileMark:
    if not (backup / mark.path).is_file():
        place = Place(path=str(backup / mark.path))
        raise StoreError("the file is gone", code="BACKUP_DAMAGED", place=place, hint=_OTHER_BACKUP)
    with failing("RESTORE_FAILED", backup / mark.path):
        return copy_marked(backup / mark.path, work / mark.path, mark.path)


def _compare_sites(folder: Path, kept: SiteMark, here: SiteMark, *, comparable: bool) -> list[Problem]:
    place = Place(path=str(folder / "sites" / kept.site))
    differences: list[str] = []
    if (kept.revision, kept.digest) != (here.revision, here.digest):
        differences.append(f"the journal ends at commit {here.revision}, it ended at {kept.revision}")
    if comparable and kept.hash != here.hash:
        differences += kept.content.differences(here.content) or ["the content hash is another one"]
    if kept.readings != here.readings:
        differences.append(f"{here.readings:,} readings, there were {kept.readings:,}")
    return [Problem("BACKUP_DAMAGED", text, place, _OTHER_BACKUP) for text in differences]


def _refused(problems: list[Problem]) -> StoreError:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return StoreError(first.message + more, code=first.code, place=first.place, hint=first.hint)


def _publish(work: Path, data: Path) -> None:
    """Settings first, sites last: a folder with sites is complete."""
    sync_tree(work)
    for name in (*SETTINGS, *FOLDER_FILES):
        if (work / name).exists():
            (work / name).rename(data / name)
    (work / "sites").mkdir(exist_ok=True)
    (work / "sites").rename(data / "sites")
    shutil.rmtree(work)
    sync_folder(data)


@contextmanager
def _claimed(data: Path) -> Generator[None]:
    """A target that holds nothing, and holds nothing again if anything goes wrong."""
    with failing("RESTORE_FAILED", data):
        existed = data.exists()
        names = {path.name for path in data.iterdir()} if existed else set[str]()
        if names - {UNFINISHED}:
            message = "there is something here already"
            hint = "give a new or empty folder, then point the server at it; move the old one away"
            raise StoreError(message, code="RESTORE_TARGET", place=Place(path=str(data)), hint=hint)
        if names:
            shutil.rmtree(data / UNFINISHED)
        data.mkdir(parents=True, exist_ok=True)
    done = False
    try:
        with failing("RESTORE_FAILED", data):
            yield
        done = True
    finally:
        if not done:
            _clear(data, keep=existed)


def _clear(data: Path, *, keep: bool) -> None:
    for name in (UNFINISHED, "sites"):
        shutil.rmtree(data / name, ignore_errors=True)
    for name in (*SETTINGS, *FOLDER_FILES):
        (data / name).unlink(missing_ok=True)
    if not keep:
        with suppress(OSError):  # what stops it will be told as the reason of the failure
            data.rmdir()


def _check_space(manifest: Manifest, data: Path) -> None:
    free = shutil.disk_usage(data).free
    if free < manifest.bytes:
        message = f"the backup has {manifest.bytes:,} bytes, the disk {free:,}"
        place, hint = Place(path=str(data)), "make room, or choose a folder on another disk"
        raise StoreError(message, code="RESTORE_SPACE", place=place, hint=hint)
