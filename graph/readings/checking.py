"""The files of a history held against what says what they must be. Nothing is changed by it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from graph.readings.catalog import CATALOG, FOLDER, log_name, read_catalog
from graph.readings.columns import unpacked
from graph.readings.frames import disk_errors, read_file
from graph.readings.names import NAMES, Names
from graph.readings.segments import Segment
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from graph.readings.catalog import Catalog, FileEntry, SegmentEntry

_RESTORE = "restore a backup"
_TRIES_MAX = 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a history takes: readings in segments and in logs, and bytes of all files."""

    rows: int
    log_rows: int
    bytes: int
    segments: tuple[SegmentEntry, ...]


def check_history(site: Path, *, live: bool) -> list[Problem]:
    """Every segment byte by byte, every frame of the logs, and that they fit together.

    live: somebody writes: what is merged away while it is read is no problem.
    """
    folder = site / FOLDER
    if not folder.exists():
        return []
    for _ in range(_TRIES_MAX if live else 1):
        problems, catalog = _check(folder)
        if not (live and problems and _read(folder) != catalog):
            return problems
    return []


def measure(site: Path) -> Sizes:
    """StoreError, OSError."""
    folder = site / FOLDER
    catalog = read_catalog(folder) if folder.exists() else None
    if catalog is None:
        return Sizes(0, 0, 0, ())
    total = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    kept = sum(entry.rows for entry in catalog.segments if entry.resolution_ns == 0)
    return Sizes(kept, _log_rows(folder, catalog), total, catalog.segments)


def _check(folder: Path) -> tuple[list[Problem], Catalog | None]:
    try:
        with disk_errors(folder):
            catalog = read_catalog(folder)
            if catalog is None:
                return [_gone(folder / CATALOG)] if any(folder.glob("*.tml")) else [], None
            names = Names.load(folder)
    except StoreError as error:
        return list(error.problems), None
    problems = [problem for entry in catalog.segments for problem in _check_segment(folder, entry, names)]
    return problems + _check_logs(folder, catalog, names), catalog


def _read(folder: Path) -> Catalog | None:
    try:
        return read_catalog(folder)
    except (StoreError, OSError):
        return None


def _check_segment(folder: Path, entry: SegmentEntry, names: Names) -> list[Problem]:
    problems = [problem for file in entry.files for problem in _check_file(folder, file)]
    if problems:
        return problems
    try:
        index = Segment(folder, entry).index
    except FileNotFoundError:
        return [_gone(folder / f"{entry.name}.index.parquet")]
    except StoreError as error:
        return list(error.problems)
    rows, place = int(index.offsets[-1]), Place(path=str(folder / entry.files[0].name))
    if rows != entry.rows:
        message = f"the index tells of {rows} readings, the catalog of {entry.rows}"
        problems.append(Problem("HISTORY_CORRUPT", message, place, _RESTORE))
    lost = int(np.count_nonzero((index.points < 0) | (index.points >= len(names.points))))
    if lost:
        problems.append(Problem("HISTORY_CORRUPT", f"readings are of {lost} unknown points", place, _RESTORE))
    return problems


def _check_file(folder: Path, file: FileEntry) -> list[Problem]:
    path = folder / file.name
    found, size = sha256(), 0
    try:
        with path.open("rb") as source:
            while block := source.read(1 << 20):
                found.update(block)
                size += len(block)
    except FileNotFoundError:
        return [_gone(path)]
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        return [Problem("STORE_FAILED", message, Place(path=str(path)), _RESTORE)]
    if (size, found.hexdigest()) == (file.bytes, file.sha256):
        return []
    message = "the bytes are not those that were written"
    if size != file.bytes:
        message = f"the file has {size:,} bytes, it had {file.bytes:,}"
    return [Problem("HISTORY_CORRUPT", message, Place(path=str(path)), _RESTORE)]


def _check_logs(folder: Path, catalog: Catalog, names: Names) -> list[Problem]:
    problems: list[Problem] = []
    for path in _logs(folder, catalog):
        try:
            with disk_errors(path):
                payloads, _ = read_file(path)
        except StoreError as error:
            problems += error.problems
            continue
        points = [unpacked(payload)[1].points for payload in payloads]
        if any(len(part) and int(part.max()) >= len(names.points) for part in points):
            message = f"readings are of points that {NAMES} does not know"
            problems.append(Problem("HISTORY_CORRUPT", message, Place(path=str(path)), _RESTORE))
    return problems


def _logs(folder: Path, catalog: Catalog) -> list[Path]:
    first = log_name(catalog.log)
    return sorted(path for path in folder.glob("log-*.tml") if path.name >= first)


def _log_rows(folder: Path, catalog: Catalog) -> int:
    found = 0
    for path in _logs(folder, catalog):
        try:
            payloads, _ = read_file(path)
        except FileNotFoundError:
            continue  # flushed meanwhile
        found += sum(len(unpacked(payload)[1]) for payload in payloads)
    return found


def _gone(path: Path) -> Problem:
    return Problem("HISTORY_CORRUPT", "the file is gone", Place(path=str(path)), _RESTORE)
