"""Recorded telemetry played again: at a chosen speed, or as fast as it goes on a virtual clock."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from adapters.quality import flag_values
from adapters.quality.judging import judged
from adapters.readings import resolve_readings
from graph.values import Readings, ValueType
from ontology.errors import InputError, Place, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from adapters.model import ReadingRows
    from adapters.replay.config import ReplayConfig
    from graph.snapshot import Snapshot
    from graph.twin import Twin
    from graph.values import JSONValue

BATCH_NS = 1_000_000_000  # readings of one second of a paced replay go in together
PROBLEMS_MAX = 100


class Clock(Protocol):
    """Says when it is, and lets time pass."""

    def now_ns(self) -> int: ...

    def sleep_until(self, time_ns: int) -> bool:
        """Wait for a time of this clock; False where the wait was broken off."""
        ...


class VirtualClock:
    """Time that passes at once: the same replay takes no time and reads the same times, always."""

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until(self, time_ns: int) -> bool:
        self._now_ns = max(self._now_ns, time_ns)
        return True


class PacedClock:
    """Real time, `speed` times as fast, from `start_ns` on. `stop` breaks off a wait."""

    def __init__(self, start_ns: int, speed: float, stop: threading.Event) -> None:
        self._start_ns = start_ns
        self._speed = speed
        self._stop = stop
        self._began = time.monotonic_ns()

    def now_ns(self) -> int:
        return self._start_ns + int((time.monotonic_ns() - self._began) * self._speed)

    def sleep_until(self, time_ns: int) -> bool:
        wait_s = (time_ns - self.now_ns()) / self._speed / 1e9
        return not self._stop.wait(max(wait_s, 0.0))


@dataclass(frozen=True, slots=True)
class ReplayHealth:
    path: str
    rows: int
    recorded: int
    rounds: int
    running: bool
    last_error: str | None


def to_readings(rows: ReadingRows, snapshot: Snapshot, twin: Twin, path: str) -> Readings:
    """Typed rows (see `resolve_readings`) as readings in order of time; equal times keep their order.

    Raises InputError that names every point that is unknown and every value that does not fit its type.
    """
    points, problems = _resolve(rows, snapshot, path)
    words = np.zeros(len(rows), np.uint64)
    values = np.zeros(len(rows), np.float64)
    for i, (row, value) in enumerate(zip(points.tolist(), rows.values, strict=True)):
        try:
            words[i] = _word(value, snapshot.value_type(row), twin) if row >= 0 else 0
            values[i] = float(value) if isinstance(value, int | float) else 0.0
        except ValueError as error:
            problems.append(
                Problem("VALUE_TYPE", str(error), Place(path, int(rows.lines[i]), None, rows.points[i]))
            )
    if problems:
        raise InputError.of(problems[:PROBLEMS_MAX])
    limitless = np.full(len(rows), np.nan)
    quality = flag_values(values, limitless, limitless, rows.quality)
    order = np.argsort(rows.times_ns, kind="stable")
    return Readings(points[order], rows.times_ns[order], words[order], quality[order])


def replay(twin: Twin, readings: Readings, clock: Clock, *, batch_rows_max: int = 10_000) -> int:
    """Record readings in order when the clock says it is time for them; how many were recorded.

    Raises what `Twin.record` raises.
    """
    recorded = 0
    for start, end in _batches(readings.times_ns, batch_rows_max):
        if not clock.sleep_until(int(readings.times_ns[end - 1])):
            return recorded
        part = slice(start, end)
        batch = Readings(
            readings.points[part], readings.times_ns[part], readings.words[part], readings.quality[part]
        )
        recorded += twin.record(judged(twin, batch, clock.now_ns()))
    return recorded


class ReplaySource:
    """A replay in a thread of its own, as a live source would be."""

    def __init__(self, twin: Twin, config: ReplayConfig, readings: Readings) -> None:
        self._twin = twin
        self._config = config
        self._readings = readings
        self._stop = threading.Event()
        self._recorded = 0
        self._rounds = 0
        self._last_error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"replay-{config.site}", daemon=True)

    @classmethod
    def start(cls, twin: Twin, config: ReplayConfig, rows: ReadingRows) -> ReplaySource:
        """Play rows of a file from now on. Raises InputError as `resolve_readings`."""
        snapshot, name = twin.snapshot(), config.readings.name
        source = cls(twin, config, to_readings(resolve_readings(rows, snapshot, name), snapshot, twin, name))
        source._thread.start()
        return source

    def stop(self, timeout_s: float = 10.0) -> None:
        self._stop.set()
        self._thread.join(timeout_s)

    def health(self) -> ReplayHealth:
        return ReplayHealth(
            path=self._config.readings.name,
            rows=len(self._readings),
            recorded=self._recorded,
            rounds=self._rounds,
            running=self._thread.is_alive(),
            last_error=self._last_error,
        )

    def _run(self) -> None:
        if not len(self._readings):
            return
        first_ns, last_ns = int(self._readings.times_ns[0]), int(self._readings.times_ns[-1])
        shift_ns = time.time_ns() - first_ns if self._config.rebase else 0
        while not self._stop.is_set():
            try:
                self._play(shift_ns)
            except StoreError as error:
                self._last_error = str(error)
                return
            self._rounds += 1
            shift_ns += last_ns - first_ns + BATCH_NS
            if not self._config.repeat:
                return

    def _play(self, shift_ns: int) -> None:
        source = self._readings
        moved = Readings(source.points, source.times_ns + shift_ns, source.words, source.quality)
        start_ns = int(moved.times_ns[0])
        speed = self._config.speed
        clock = PacedClock(start_ns, speed, self._stop) if speed else VirtualClock(start_ns)
        self._recorded += replay(self._twin, moved, clock, batch_rows_max=self._config.batch_rows_max)


def _batches(times_ns: npt.NDArray[np.int64], rows_max: int) -> Iterator[tuple[int, int]]:
    """Slices of at most a second of recorded time and `rows_max` rows each."""
    start = 0
    while start < len(times_ns):
        until = np.int64(times_ns[start]) + BATCH_NS
        end = int(np.searchsorted(times_ns, until, side="left"))
        end = min(max(end, start + 1), start + rows_max)
        yield start, end
        start = end


def _resolve(rows: ReadingRows, snapshot: Snapshot, path: str) -> tuple[npt.NDArray[np.int32], list[Problem]]:
    found: dict[str, int] = {}
    problems: list[Problem] = []
    points = frozenset(snapshot.rows_of_kind(snapshot.schema.point_kind).tolist())
    for name, line in _first_uses(rows.points, rows.lines.tolist()):
        row = snapshot.row(name)
        found[name] = row if row in points else -1
        if found[name] < 0:
            problems.append(Problem("POINT_UNKNOWN", "no such point", Place(path, line, None, name)))
    return np.array([found[name] for name in rows.points], np.int32), problems


def _first_uses(names: Sequence[str], lines: Sequence[int]) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for name, line in zip(names, lines, strict=True):
        if name not in seen:
            seen.add(name)
            yield name, line


def _word(value: JSONValue, value_type: ValueType, twin: Twin) -> np.uint64:
    """The 64-bit word of a value. Raises ValueError where the type of the point cannot hold it."""
    if value_type is ValueType.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        return np.float64(value).view(np.uint64)
    if value_type is ValueType.BOOLEAN and value in (True, False):
        return np.uint64(bool(value))
    if value_type is ValueType.COUNTER and isinstance(value, int) and 0 <= value < 1 << 64:
        return np.uint64(value)
    if value_type in (ValueType.TEXT, ValueType.CODE) and isinstance(value, str):
        return np.uint64(twin.intern_texts((value,))[0])
    raise ValueError(f"{value!r} is no {value_type.value}")
