"""A history folder as it is read: its catalog, names, segments and logs, brought up to date on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from graph.readings.catalog import CATALOG, HOUR_NS, MINUTE_NS, NOTHING_LEFT, Catalog, log_name, read_catalog
from graph.readings.columns import Tail, unpacked
from graph.readings.frames import damaged, is_torn_end, read_file, whole_frames
from graph.readings.last import LastTable
from graph.readings.names import NAMES, Names
from graph.readings.segments import Segment
from graph.readings.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRIES_MAX: Final = 20


@dataclass(slots=True)
class Log:
    """One log: its number, up to where it was read, its last batch and its readings."""

    number: int
    batch: int = 0
    size: int = 0
    tail: Tail = field(default_factory=Tail)


class Contents:
    """What was read of a folder so far. One thread at a time; the views it gives out are for all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = Catalog()
        self.names = Names()
        self.last = LastTable()
        self.segments: tuple[Segment, ...] = ()
        self.logs: list[Log] = []
        self._seen: tuple[int, int] | None = None  # which catalog file was read last

    def load(self) -> None:
        """Read everything. A torn frame at the end of a log is left out.

        StoreError HISTORY_CORRUPT, STORE_VERSION; OSError.
        """
        catalog = read_catalog(self.folder)
        if catalog is None:
            return
        self.names = Names.load(self.folder)
        self.take_catalog(catalog)
        for number in self._numbers():
            log = Log(number)
            payloads, log.size = read_file(self.folder / log_name(number))
            self._take(log, payloads)
            self.logs.append(log)

    def refresh(self) -> None:
        """Take over what another process wrote meanwhile. StoreError, OSError."""
        for _ in range(TRIES_MAX):
            try:
                self._refresh()
            except FileNotFoundError:
                continue  # merged or flushed away between two looks
            return

    def view(self) -> View:
        return View(self.segments, tuple(log.tail.view() for log in self.logs if len(log.tail)))

    def take_catalog(self, catalog: Catalog) -> None:
        """Segments of a catalog, and last values that no log told. FileNotFoundError, StoreError."""
        known = {segment.entry: segment for segment in self.segments}
        segments = tuple(known.get(entry) or Segment(self.folder, entry) for entry in catalog.segments)
        first = not self.last.newest_batch
        for segment in segments:
            if segment.entry not in known:
                self._take_last(segment, catalog.batch, first=first)
        self.catalog, self.segments = catalog, segments
        self.logs = [log for log in self.logs if log.number >= catalog.log]
        self.last.newest_batch = max(self.last.newest_batch, catalog.batch)

    def _refresh(self) -> None:
        seen = _identity(self.folder / CATALOG)
        if seen != self._seen:
            catalog = read_catalog(self.folder)
            if catalog is not None:
                self._read_logs()  # what is in logs that the new catalog lets go was told in batches
                self.names.refresh(self.folder)
                self.take_catalog(catalog)
            self._seen = seen
        self._read_logs()

    def _read_logs(self) -> None:
        known = {log.number for log in self.logs}
        for log in self.logs:
            self._read_on(log)
        newest = max(known, default=self.catalog.log - 1)
        while (self.folder / log_name(newest + 1)).exists():
            newest += 1
            log = Log(newest)
            self._read_on(log)
            self.logs.append(log)

    def _read_on(self, log: Log) -> None:
        path = self.folder / log_name(log.number)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return  # it is in a segment now: the next catalog says so
        if size <= log.size:
            return
        with path.open("rb") as file:
            file.seek(log.size)
            if file.read(1) == b"\0":
                return  # room that its writer took ahead
            file.seek(log.size)
            raw = file.read()
        payloads, read = whole_frames(raw)
        if read < len(raw) and not is_torn_end(raw, read):
            raise damaged(path, log.size + read)
        self.names.refresh(self.folder)
        log.size += read
        self._take(log, payloads)

    def _take(self, log: Log, payloads: Sequence[memoryview]) -> None:
        points = len(self.names.points)
        for payload in payloads:
            batch, columns = unpacked(payload)
            if len(columns) and (int(columns.points.max()) >= points or int(columns.points.min()) < 0):
                raise damaged(self.folder / log_name(log.number), log.size)
            log.tail.add(columns)
            log.batch = max(log.batch, batch)
            self.last.put(columns, batch, points)

    def _take_last(self, segment: Segment, batch: int, *, first: bool) -> None:
        """Last values that no log told: all at the start, later those of logs that were gone too soon."""
        last, known = segment.index.last, len(self.names.points)
        if len(last) and int(last.points.max()) >= known:
            raise damaged(self.folder / NAMES, self.names.size)
        self.last.put(last if first else self.last.newer(last, known), batch, known)

    def _numbers(self) -> list[int]:
        """Logs that are not in segments, in order."""
        numbers = sorted(int(path.stem[4:]) for path in self.folder.glob("log-*.tml"))
        return [number for number in numbers if number >= self.catalog.log]


def resolution_name(resolution_ns: int) -> str:
    """As `doctor` says it."""
    names = {0: "readings", MINUTE_NS: "minutes", HOUR_NS: "hours", NOTHING_LEFT: "last values"}
    return names.get(resolution_ns, f"{resolution_ns} ns")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
