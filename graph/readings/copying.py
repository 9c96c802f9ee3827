"""One moment of a history as a copy, whoever writes to it meanwhile."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from graph.readings.catalog import CATALOG, FOLDER, read_catalog, write_catalog
from graph.readings.frames import is_torn_end, whole_frames
from graph.readings.names import NAMES
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from graph.readings.catalog import Catalog

_TRIES_MAX: Final = 20


def copy_history(source: Path, target: Path) -> None:
    """Copy a site's history to another site folder, with all that was acknowledged before.

    Segments never change; of a log and of the names the whole frames are taken, the names last: they were
    written first. Raises StoreError HISTORY_CORRUPT, STORE_VERSION, BACKUP_FAILED; OSError.
    """
    folder, copy = source / FOLDER, target / FOLDER
    if not folder.exists():
        return
    for _ in range(_TRIES_MAX):
        catalog = read_catalog(folder)
        if catalog is None:
            return
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        try:
            _copy(folder, copy, catalog)
        except FileNotFoundError:
            continue  # merged or flushed away meanwhile
        return
    message = "the history changes faster than it can be copied"
    raise StoreError(message, code="BACKUP_FAILED", place=Place(path=str(folder)), hint="repeat")


def history_files(site: Path) -> Iterator[Path]:
    """What a copy takes."""
    yield from (path for path in (site / FOLDER).glob("*") if path.is_file())


def _copy(folder: Path, copy: Path, catalog: Catalog) -> None:
    logs = sorted(path.name for path in folder.glob("log-*.tml") if int(path.stem[4:]) >= catalog.log)
    for entry in catalog.segments:
        for file in entry.files:
            shutil.copy2(folder / file.name, copy / file.name)
    for name in (*logs, NAMES):
        _copy_frames(folder / name, copy / name)
    if read_catalog(folder) != catalog and any(not (folder / name).exists() for name in logs):
        raise FileNotFoundError(CATALOG)
    write_catalog(copy, catalog)


def _copy_frames(source: Path, target: Path) -> None:
    raw = source.read_bytes()
    if not raw:
        return
    _, end = whole_frames(raw)
    # What is damaged in the middle is copied as it is: verify tells, nothing is lost silently.
    target.write_bytes(raw[:end] if is_torn_end(raw, end) else raw)
