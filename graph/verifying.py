"""Everything in a data folder or backup held against everything that says what it must be.

Nothing is changed by it, not a byte. What is checked is told, and what could not be.
"""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graph.checkpoint import load_checkpoint
from graph.checkpoints import Checkpoints, verify_checkpoints
from graph.content import content_of, revisions_of
from graph.manifest import MANIFEST, is_backup, read_manifest
from graph.marks import compare_marks, mark_file
from graph.pools import Pools
from graph.readings.checking import check_history
from graph.rebuild import rebuild
from graph.sealing import check_seal
from graph.stores.faults import SQLITE_FAULTS
from graph.stores.reading import connect_unchanged, open_unchanged
from graph.stores.site_files import IMPACTS, IMPACTS_FILE, SIDE_FILES
from graph.stores.state_log import check_states
from graph.stores.wal import check_log
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from graph.stores.side_file import Format
    from ontology.schema import Schema

JOURNAL, HISTORY, LOCK = "journal.sqlite", "history.sqlite", "lock"
_RESTORE = "restore a backup"


@dataclass(slots=True)
class SiteReport:
    """What was found in one site. revision, digest and hash are of the journal as far as it holds.

    checked: what was looked at, in words. gaps: what could not be, and why.
    """

    site: str
    revision: int = 0
    format: int | None = None
    digest: str | None = None
    hash: str | None = None
    checked: list[str] = field(default_factory=list[str])
    gaps: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])


@dataclass(slots=True)
class FolderReport:
    """Sites in order of name; problems of the folder itself, such as a backup's files."""

    sites: list[SiteReport] = field(default_factory=list[SiteReport])
    problems: list[Problem] = field(default_factory=list[Problem])
    files: int | None = None  # files held against the manifest; None where this is no backup

    @property
    def sound(self) -> bool:
        return not self.problems and not any(site.problems for site in self.sites)


def verify_folder(folder: Path, schema: Schema) -> FolderReport:
    """Check a data folder, served or not, or a backup. StoreError STORE_MISSING where it is neither."""
    if not (folder / "twinmesh.toml").exists() and not is_backup(folder):
        message = "this is neither a data folder of twinmesh nor a backup of one"
        raise StoreError(message, code="STORE_MISSING", place=Place(path=str(folder)))
    report = FolderReport()
    if is_backup(folder):
        _check_manifest(folder, report)
    for place in sorted(path for path in (folder / "sites").glob("*") if path.is_dir()):
        if any(place.iterdir()):
            report.sites.append(verify_site(place, schema, covered=report.files is not None))
    if (folder / IMPACTS_FILE).exists():
        report.problems += _side_problems(folder / IMPACTS_FILE, IMPACTS)
    return report


def verify_site(folder: Path, schema: Schema, *, covered: bool = False) -> SiteReport:
    """Check one site folder: bytes first, as they lie there, then what they say.

    covered: a manifest says what every byte must be.
    """
    report = SiteReport(folder.name)
    if not (folder / JOURNAL).exists():
        place = Place(path=str(folder / JOURNAL))
        report.problems.append(Problem("STORE_MISSING", "there is no journal", place, _RESTORE))
        return report
    live = _is_written(folder / LOCK)
    if not covered:
        _check_seal(folder, report, live=live)
    _check_logs(folder, report, live=live)
    _check_journal(folder / JOURNAL, report)
    if report.digest is not None:
        _check_checkpoints(folder, report, live=live)
    if not report.problems:
        _check_content(folder, schema, report)
    _check_old_history(folder / HISTORY, report)
    report.problems += check_history(folder, live=live)
    report.checked.append("every byte of the segments, every frame of the logs of readings")
    for name in SIDE_FILES:
        _check_side_file(folder / name, report)
    for kept in sorted(folder.glob("before-*")):
        report.problems += check_seal(kept) or []
        report.checked.append(f"the backup of before a migration, {kept.name}")
    return report


def _check_seal(folder: Path, report: SiteReport, *, live: bool) -> None:
    sealed = None if live else check_seal(folder)
    if sealed is not None:
        report.problems += sealed
        report.checked.append("every byte since it was closed")
    elif live:
        report.gaps.append(
            "is being written: readings, and bytes that hold nothing, are checked once it is closed"
        )
    else:
        report.gaps.append("was not closed cleanly: no seal covers readings and bytes that hold nothing")


def _check_logs(folder: Path, report: SiteReport, *, live: bool) -> None:
    for name in (JOURNAL, HISTORY, *SIDE_FILES):
        try:
            report.problems += check_log(folder / f"{name}-wal", live=live)
        except OSError as error:
            report.problems.append(_unreadable(folder / f"{name}-wal", error))


def _check_journal(path: Path, report: SiteReport) -> None:
    try:
        with closing(open_unchanged(path)) as store:
            report.format = store.version
            found = store.verify()
            if not found:
                head = store.head()
                report.revision, report.digest = head.sequence, head.digest.hex()
    except StoreError as error:
        found = [_placed(problem, path) for problem in error.problems]
    except OSError as error:
        found = [_unreadable(path, error)]
    report.problems += found
    report.checked.append("the hash chain of the journal, its head and its answers")


def _check_content(folder: Path, schema: Schema, report: SiteReport) -> None:
    """Replay all: a chain may be whole and say what this program cannot execute."""
    try:
        rebuilt = rebuild(folder / JOURNAL, schema, until=report.revision)
    except StoreError as error:
        report.problems += [_placed(problem, folder / JOURNAL) for problem in error.problems]
        return
    report.hash = content_of(rebuilt.snapshot).hash
    report.checked.append("the columns as the journal makes them")
    newest = next((path for path in Checkpoints(folder).paths() if int(path.stem) <= report.revision), None)
    if newest is not None:
        _compare_checkpoint(newest, folder / JOURNAL, schema, report)


def _compare_checkpoint(path: Path, journal: Path, schema: Schema, report: SiteReport) -> None:
    """The columns of a checkpoint against those that the journal makes: the same, cell by cell."""
    try:
        state, head = load_checkpoint(path, schema, Pools())
        rebuilt = rebuild(journal, schema, until=head.sequence)
    except StoreError as error:
        # A writer lets old checkpoints go.
        report.problems += error.problems if path.exists() else ()
        return
    kept, made = state.freeze(), rebuilt.snapshot
    differences = content_of(kept).differences(content_of(made))
    if revisions_of(kept) != revisions_of(made):
        differences.append("revisions of twins")
    if differences:
        message = f"the columns are not those of the journal: {'; '.join(differences)}"
        hint = "remove the file: the site is then made from the journal; please report this"
        report.problems.append(Problem("CHECKPOINT_CORRUPT", message, Place(path=str(path)), hint))
    report.checked.append(f"the checkpoint at commit {head.sequence}, cell by cell")


def _check_checkpoints(folder: Path, report: SiteReport, *, live: bool) -> None:
    found = _wrong_checkpoints(folder)
    if found and live:
        # A writer makes new ones and lets old ones go: what is wrong stays wrong.
        again = {problem.place.path for problem in _wrong_checkpoints(folder)}
        found = [problem for problem in found if problem.place.path in again]
    report.problems += found
    report.checked.append("every byte of the checkpoints")


def _wrong_checkpoints(folder: Path) -> list[Problem]:
    with closing(open_unchanged(folder / JOURNAL)) as store:
        found = verify_checkpoints(folder, store)
    return [problem for problem in found if problem.place.path is None or Path(problem.place.path).exists()]


def _check_old_history(path: Path, report: SiteReport) -> None:
    """What SQLite can tell, and that no reading is of nothing. Values have no checksum but the seal."""
    if not path.exists():
        return
    try:
        with closing(connect_unchanged(path)) as connection:
            found = [text for (text,) in connection.execute("PRAGMA integrity_check(100)") if text != "ok"]
            if not found:
                found = _lost_readings(connection)
    except (*SQLITE_FAULTS, OSError) as error:
        found = [f"unreadable: {error}"]
    report.problems += [Problem("HISTORY_CORRUPT", text, Place(path=str(path)), _RESTORE) for text in found]
    report.checked.append("the structure of the history")


def _check_side_file(path: Path, report: SiteReport) -> None:
    if path.exists():
        format = SIDE_FILES[path.name]
        report.problems += _side_problems(path, format)
        report.checked.append(f"the hash chain of the {format.label}")


def _side_problems(path: Path, format: Format) -> list[Problem]:
    """The hash chain of a log, and that what it says of now follows from it."""
    try:
        with closing(connect_unchanged(path)) as connection:
            found = check_states(connection, format)
    except (*SQLITE_FAULTS, OSError) as error:
        found = [f"unreadable: {error}"]
    except (TypeError, ValueError, OverflowError) as error:
        found = [f"a value is of the wrong type: {error}"]
    return [Problem(format.corrupt, text, Place(path=str(path)), _RESTORE) for text in found]


def _lost_readings(connection: sqlite3.Connection) -> list[str]:
    orphans = "SELECT count(*) FROM readings WHERE point NOT IN (SELECT point FROM points)"
    newer = """SELECT count(*) FROM last JOIN
        (SELECT point, max(time_ns) AS newest FROM readings GROUP BY point) AS kept USING (point)
        WHERE last.time_ns != kept.newest"""
    found: list[str] = []
    if lost := connection.execute(orphans).fetchone()[0]:
        found.append(f"{lost} readings are of no point")
    if wrong := connection.execute(newer).fetchone()[0]:
        found.append(f"the last readings of {wrong} points are not their newest")
    return found


def _check_manifest(folder: Path, report: FolderReport) -> None:
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        report.problems += error.problems
        return
    report.files = len(manifest.files)
    for mark in manifest.files:
        try:
            found = mark_file(folder, mark.path)
        except OSError as error:
            report.problems.append(_unreadable(folder / mark.path, error))
            continue
        report.problems += compare_marks(folder, mark, found, "BACKUP_DAMAGED", "use another backup")
    known = {mark.path for mark in manifest.files} | {MANIFEST}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        # What a reader of SQLite leaves behind says nothing.
        if path.is_file() and name not in known and not name.endswith("-shm") and path.stat().st_size:
            message = "is not in the manifest"
            place, hint = Place(path=str(path)), "somebody wrote into the backup: use another one"
            report.problems.append(Problem("BACKUP_DAMAGED", message, place, hint))


def _placed(problem: Problem, path: Path) -> Problem:
    """With the file where none is named, and what to do."""
    place = replace(problem.place, path=problem.place.path or str(path))
    return replace(problem, place=place, hint=problem.hint or _RESTORE)


def _unreadable(path: Path, error: OSError) -> Problem:
    message = f"cannot be read: {error.strerror or error}"
    return Problem("STORE_FAILED", message, Place(path=str(path)), "look at the disk, then restore a backup")


def _is_written(lock: Path) -> bool:
    """True while some process holds the writer's lock."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
