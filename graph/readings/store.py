"""`History` in files of its own: what is appended is in a log when a call returns, in segments later."""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.folders import make_folder, sync_folder
from graph.history import RANGE_ROWS_MAX, LastValue, Samples
from graph.readings.catalog import FOLDER, Catalog, log_name, read_catalog, write_catalog
from graph.readings.columns import CODED, NUMBER, Columns, empty, joined, packed
from graph.readings.frames import AppendFile, disk_errors
from graph.readings.housekeeping import Keeper
from graph.readings.names import NamesFile
from graph.readings.opened import TRIES_MAX, Contents, Log
from graph.readings.policy import HistoryPolicy
from graph.readings.rollups import combined
from graph.readings.tickets import Ticket, with_numbers
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TypeVar

    import numpy.typing as npt

    from graph.readings.catalog import SegmentEntry
    from graph.readings.rollups import Rollup
    from graph.readings.view import View

    T = TypeVar("T")

# Appends that wait for one sync together.
GROUP_MAX: Final = 256
GROUP_ROWS_MAX: Final = 1_000_000
# So many times `flush_rows` may wait in memory for a segment; then appends wait.
BEHIND_MAX: Final = 4
BEHIND_S_MAX: Final = 120.0
# Of room that the log takes before it is needed.
AHEAD_BYTES_MAX: Final = 4 << 20


class HistoryReader:
    """`History` of a folder that another process writes, or nobody. Safe from any thread."""

    def __init__(self, site: Path) -> None:
        """site: the folder of the site. StoreError HISTORY_CORRUPT, STORE_VERSION."""
        self.folder = site / FOLDER
        self._contents = Contents(self.folder)
        self._state = Lock()  # guards the contents

    def append(
        self,
        points: Sequence[str] | npt.NDArray[np.int32],
        times_ns: npt.NDArray[np.int64],
        words: npt.NDArray[np.uint64],
        quality: npt.NDArray[np.uint8],
        texts: Sequence[str | None],
        kinds: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        raise self._only_read()

    def numbers(self, points: Sequence[str]) -> npt.NDArray[np.int32]:
        raise self._only_read()

    def range(
        self, point: str, from_ns: int, to_ns: int, limit: int = RANGE_ROWS_MAX, *, newest: bool = False
    ) -> Samples:
        def read(view: View, number: int) -> Samples:
            found = view.range(number, from_ns, to_ns, limit, newest=newest)
            columns = found.columns
            resolution = found.resolution_ns if found.resolution_ns.any() else None
            texts = self._texts(columns) if (columns.kinds == CODED).any() else None
            return Samples(columns.times_ns, columns.words, columns.quality, texts, resolution)

        nothing = Samples(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint8))
        return self._ask(point, read) or nothing

    def roll_up(self, point: str, from_ns: int, to_ns: int, bucket_ns: int) -> Rollup:
        found = self._ask(point, lambda view, number: view.roll_up(number, from_ns, to_ns, bucket_ns))
        return found or combined([])

    def roll_up_all(self, from_ns: int, to_ns: int, bucket_ns: int) -> tuple[list[str], Rollup]:
        """As `roll_up`, of every point: IRIs, and aggregates whose `points` are places in them."""
        for _ in range(TRIES_MAX):
            with self._state, disk_errors(self.folder):
                self._catch_up()
                view, names = self._contents.view(), self._contents.names.points.names
            try:
                return names, view.roll_up_all(from_ns, to_ns, bucket_ns)
            except FileNotFoundError:
                continue
        raise self._gone()

    def last_values(self, after_batch: int = 0) -> tuple[int, list[LastValue]]:
        with self._state, disk_errors(self.folder):
            self._catch_up()
            last = self._contents.last.since(after_batch)
            newest = max(self._contents.last.newest_batch, after_batch)
        return newest, self._as_values(last)

    def last_before(self, points: Sequence[str], time_ns: int) -> list[LastValue]:
        for _ in range(TRIES_MAX):
            with self._state, disk_errors(self.folder):
                self._catch_up()
                view, numbers = self._contents.view(), self._contents.names.points.numbers
                known = sorted({numbers[point] for point in points if point in numbers})
            try:
                return self._as_values(view.last_before(np.array(known, np.int32), time_ns))
            except FileNotFoundError:
                continue
        raise self._gone()

    def recover(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """Files are open only while they are read."""

    @property
    def catalog(self) -> Catalog:
        """Which segments there are."""
        with self._state, disk_errors(self.folder):
            self._catch_up()
            return self._contents.catalog

    def _catch_up(self) -> None:
        self._contents.refresh()

    def _ask(self, point: str, question: Callable[[View, int], T]) -> T | None:
        """Ask a view of now, again where a segment was merged away meanwhile; None of an unknown point."""
        for _ in range(TRIES_MAX):
            with self._state, disk_errors(self.folder):
                self._catch_up()
                view, number = self._contents.view(), self._contents.names.points.numbers.get(point)
            if number is None:
                return None
            try:
                return question(view, number)
            except FileNotFoundError:
                continue
        raise self._gone()

    def _only_read(self) -> StoreError:
        return StoreError(
            "this history is only read", code="STORE_LOCKED", place=Place(path=str(self.folder))
        )

    def _gone(self) -> StoreError:
        place = Place(path=str(self.folder))
        return StoreError("history: segments are gone", code="HISTORY_CORRUPT", place=place)

    def _as_values(self, last: Columns) -> list[LastValue]:
        """One reading of a point as told to others."""
        iris: list[str] = self._contents.names.points.names
        texts = self._texts(last)
        times, words, quality = last.times_ns.tolist(), last.words.tolist(), last.quality.tolist()
        points, coded = _whole(last.points), _whole(last.kinds == CODED)
        return [
            LastValue(iris[point], times[n], words[n], quality[n], texts[n] if coded[n] else None)
            for n, point in enumerate(points)
        ]

    def _texts(self, columns: Columns) -> tuple[str, ...]:
        """str[n], empty where a word is no code."""
        names: list[str] = self._contents.names.texts.names
        return tuple(
            names[word] if kind == CODED and word < len(names) else ""
            for word, kind in zip(_whole(columns.words), _whole(columns.kinds), strict=True)
        )


class HistoryStore(HistoryReader):
    """The one writer of a history. Appends of several threads share syncs."""

    def __init__(self, site: Path, policy: HistoryPolicy | None = None) -> None:
        """Opens a history, made where it is absent. The caller holds the site's lock.

        StoreError HISTORY_CORRUPT, STORE_VERSION, STORE_FAILED.
        """
        super().__init__(site)
        self.policy = policy or HistoryPolicy()
        self._writing = Lock()  # held by who writes to the log
        self._waiting: deque[Ticket] = deque()
        self._flushed = Condition(self._state)
        self._trouble: str | None = None
        self._closed = False
        with disk_errors(self.folder):
            self._open()
        self._keeper = Keeper(self)
        self._keeper.start()

    def append(
        self,
        points: Sequence[str] | npt.NDArray[np.int32],
        times_ns: npt.NDArray[np.int64],
        words: npt.NDArray[np.uint64],
        quality: npt.NDArray[np.uint8],
        texts: Sequence[str | None],
        kinds: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        numbers = points if isinstance(points, np.ndarray) else self.numbers(points)
        known = np.full(len(points), NUMBER, np.uint8) if kinds is None else kinds
        ticket = Ticket(texts, Columns(numbers, times_ns, words, quality, known))
        self._waiting.append(ticket)
        with self._writing:
            while not ticket.done:
                self._lead()
        if ticket.error is not None:
            raise ticket.error

    def numbers(self, points: Sequence[str]) -> npt.NDArray[np.int32]:
        names = self._contents.names.points
        with self._writing:
            if names.missing(points):
                self._name(points, ())
            return np.fromiter(map(names.numbers.__getitem__, points), np.int32, len(points))

    def recover(self) -> None:
        with self._writing, disk_errors(self.folder):
            if self._closed:
                raise StoreError("the history is closed", code="STORE_FENCED")
            self._names_file.file.mend()
            self._log_file.mend()
            self._log_file.append(packed(self._batch, empty()))  # proves that it can be written
            self._contents.logs[-1].size = self._log_file.size
            self._trouble = None

    def close(self) -> None:
        self._keeper.close()
        with self._writing:
            self._closed = True
            self._log_file.close()
            self._names_file.file.close()

    def flush(self) -> None:
        """Make a segment of what is only in logs, and wait until it is there. StoreError."""
        with self._writing, disk_errors(self.folder):
            self._check()
            if len(self._contents.logs[-1].tail):
                self._rotate()
        self._keeper.flush()

    def settle(self) -> None:
        """Wait until nothing is left to flush, to merge or to thin. StoreError."""
        self._keeper.settle()

    # For the keeper

    def frozen(self) -> list[Log]:
        """Logs that nobody adds to, in order."""
        with self._state:
            return self._contents.logs[:-1]

    def segments(self) -> View:
        with self._state:
            return self._contents.view()

    def next_name(self) -> str:
        """Of the segment that is written next."""
        return f"s{self._contents.catalog.next:08}"

    def name_of(self, point: int) -> str:
        return self._contents.names.points.names[point]

    def replace(
        self, old: Sequence[SegmentEntry], new: SegmentEntry | None, flushed: Log | None = None
    ) -> None:
        """Make a segment count in place of others, or in place of logs up to `flushed`. StoreError."""
        with disk_errors(self.folder):
            catalog = _changed(self._contents.catalog, old, new, flushed)
            write_catalog(self.folder, catalog)
            with self._state:
                self._contents.take_catalog(catalog)
                self._flushed.notify_all()
            self._remove_strays()

    # Inside

    def _open(self) -> None:
        make_folder(self.folder)
        if read_catalog(self.folder) is None:
            write_catalog(self.folder, Catalog())
        contents = self._contents
        contents.load()
        self._remove_strays()
        self._names_file = NamesFile(self.folder, contents.names)
        if not contents.logs:
            contents.logs.append(Log(contents.catalog.log))
        newest = contents.logs[-1]
        self._log_file = AppendFile(
            self.folder / log_name(newest.number), newest.size, ahead_bytes_max=AHEAD_BYTES_MAX
        )
        sync_folder(self.folder)
        self._batch = contents.last.newest_batch

    def _catch_up(self) -> None:
        """Nobody else writes here."""

    def _lead(self) -> None:
        """Write what waits, all of it by one sync. Holds the lock of the writer."""
        group: list[Ticket] = []
        rows = 0
        while self._waiting and len(group) < GROUP_MAX and rows < GROUP_ROWS_MAX:
            group.append(self._waiting.popleft())
            rows += len(group[-1].columns)
        error: StoreError | None = StoreError("history: interrupted; read again whether it was kept")
        try:
            with disk_errors(self.folder):
                self._write(group)
            error = None
        except StoreError as failure:
            self._trouble = failure.message
            error = failure
        finally:
            for ticket in group:
                ticket.error, ticket.done = error, True

    def _write(self, group: Sequence[Ticket]) -> None:
        self._check()
        self._wait_for_room()
        columns = self._numbered(group)
        if len(self._contents.logs[-1].tail) >= self.policy.flush_rows:
            self._rotate()
        self._log_file.append(packed(self._batch + 1, columns))
        with self._state:
            self._batch += 1
            log = self._contents.logs[-1]
            log.tail.add(columns)
            log.size, log.batch = self._log_file.size, self._batch
            self._contents.last.put(columns, self._batch, len(self._contents.names.points))

    def _check(self) -> None:
        if self._closed:
            raise StoreError("the history is closed", code="STORE_FENCED")
        if self._trouble is not None:
            raise StoreError(f"history: not written since an error: {self._trouble}")

    def _name(self, points: Iterable[str], texts: Iterable[str]) -> None:
        """Names have numbers, which are durable then. Holds the lock of the writer."""
        self._check()
        try:
            with disk_errors(self.folder), self._state:
                self._names_file.add(points, texts)
        except StoreError as error:
            self._trouble = self._trouble or error.message
            raise

    def _numbered(self, group: Sequence[Ticket]) -> Columns:
        """Readings with the numbers of their texts, which are durable then."""
        if any(len(ticket.texts) for ticket in group):
            self._name((), [text for ticket in group for text in ticket.texts if text is not None])
        texts = self._contents.names.texts.numbers
        return joined([with_numbers(ticket, texts) for ticket in group])

    def _rotate(self) -> None:
        """Begin another log; the keeper makes a segment of those before."""
        number = self._contents.logs[-1].number + 1
        fresh = AppendFile(self.folder / log_name(number), 0, ahead_bytes_max=AHEAD_BYTES_MAX)
        sync_folder(self.folder)
        self._log_file.close()
        with self._state:
            self._contents.logs.append(Log(number))
            self._log_file = fresh
        self._keeper.wake()

    def _wait_for_room(self) -> None:
        """What is in memory is bounded: whoever appends waits for segments."""
        bound = BEHIND_MAX * self.policy.flush_rows

        def is_room() -> bool:
            return sum(len(log.tail) for log in self._contents.logs) < bound

        with self._flushed:
            if not is_room() and not self._flushed.wait_for(is_room, BEHIND_S_MAX):
                reason = self._keeper.trouble or "the disk is too slow"
                raise StoreError(f"history: segments cannot be made of {bound:,} readings: {reason}")

    def _remove_strays(self) -> None:
        """What an interrupted flush or merge left, and what no longer counts."""
        catalog = self._contents.catalog
        kept = {file.name for segment in catalog.segments for file in segment.files}
        for path in self.folder.glob("*.parquet"):
            if path.name not in kept:
                path.unlink(missing_ok=True)
        for path in self.folder.glob("log-*.tml"):
            if int(path.stem[4:]) < catalog.log:
                path.unlink(missing_ok=True)


def _whole(numbers: npt.NDArray[np.generic]) -> list[int]:
    return numbers.tolist()


def _changed(
    catalog: Catalog, old: Sequence[SegmentEntry], new: SegmentEntry | None, flushed: Log | None
) -> Catalog:
    segments = list(catalog.segments)
    place = segments.index(old[0]) if old else len(segments)
    segments[place : place + len(old)] = [new] if new else []
    return Catalog(
        log=catalog.log if flushed is None else flushed.number + 1,
        batch=catalog.batch if flushed is None else max(catalog.batch, flushed.batch),
        next=catalog.next + 1,
        segments=tuple(segments),
    )
