"""Last values that the writer doubts because nothing came, told to followers of the folder by a file.

History keeps what came as it came, so that a follower would never learn that a point fell silent. The file
holds frames (see `graph.readings.frames`): first a name that no other such file has, then points, times and
qualities, in the order in which the writer's own last values got them. It lives as long as its writer: a new
one doubts nothing until it has listened for a while, and followers go back to what history says.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import msgspec
import numpy as np

from graph.readings.frames import disk_errors, framed, whole_frames
from graph.recording import doubt, write_last_values
from graph.values import Readings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from graph.history import LastValue
    from graph.state import State

FILE: Final = "doubts"
# A longer file is written anew, with what still holds.
BYTES_MAX: Final = 1 << 24
_LOG = logging.getLogger("twinmesh.graph")
# IRIs, int64 times, uint8 qualities.
_FRAMES: Final = msgspec.msgpack.Decoder(tuple[list[str], bytes, bytes])
_FRAME_OF: Final = msgspec.msgpack.Encoder()
_NAME_BYTES: Final = len(framed(uuid4().bytes))


class Doubts:
    """Of one site. Used under the lock of its twin."""

    def __init__(self, folder: Path, *, writes: bool) -> None:
        """folder: of the site. writes: by the writer, who begins without any."""
        self._path = folder / FILE
        self._writes = writes
        self._times = np.zeros(0, np.int64)  # by row: which reading is doubted; 0: none
        self._size = 0  # up to where the file was written or read
        self._name = b""
        self._seen: tuple[int, int, int] | None = None
        self._pending: list[memoryview] = []
        self._anew = False
        if writes:
            self._forget_file()

    # The writer

    def put(self, state: State, readings: Readings) -> Readings:
        """Last values that are still those of `readings` get their quality; which ones."""
        kept = doubt(state, readings)
        if len(kept):
            self._note(state, kept)
            self._tell(state, kept)
        return kept

    def recorded(self, state: State, readings: Readings) -> None:
        """After readings were written: where one is that which was doubted, once more, it counts again."""
        known = readings.points < len(self._times)
        rows = readings.points[known]
        rows = np.unique(rows[self._times[rows] == readings.times_ns[known]])
        if len(rows):
            twins = state.twins
            self._times[rows] = 0
            self._tell(state, _last(state, rows, twins.point_quality.take(rows)))

    # A follower

    def look(self) -> bool:
        """Take note of what the writer told. Before the newest readings are asked for: none that it speaks of
        may be missing. True: all last values are needed, because what was told before holds no longer.
        StoreError."""
        with disk_errors(self._path):
            seen = _seen(self._path)
            if seen != self._seen:
                self._read()
                self._seen = seen
        return self._anew

    def follow(self, state: State, values: Sequence[LastValue]) -> Readings:
        """Newest readings into the columns, then what was told of them; what is new, as readings."""
        readings = write_last_values(state, values)
        pending, self._pending, self._anew = self._pending, [], False
        told = [readings, *(self._apply(state, frame) for frame in pending)]
        return _joined([each for each in told if len(each)]) if len(told) > 1 else readings

    def restore(self, state: State, values: Sequence[LastValue]) -> None:
        """All last values into columns that are new. A follower takes what was told with its next look, the
        writer at once."""
        write_last_values(state, values)
        self._times = np.zeros(0, np.int64)
        if not self._writes:
            self._size, self._name, self._seen, self._pending = 0, b"", None, []
        elif self._name:
            with suppress(OSError):  # then followers know more than we do, until the next doubt
                for frame in whole_frames(self._path.read_bytes())[0][1:]:
                    self._note(state, self._apply(state, frame))

    # Inside

    def _note(self, state: State, readings: Readings) -> None:
        more = state.twins.size - len(self._times)
        if more > 0:
            self._times = np.concatenate((self._times, np.zeros(more + state.twins.size // 8, np.int64)))
        self._times[readings.points] = readings.times_ns

    def _tell(self, state: State, readings: Readings) -> None:
        """On an error of the disk followers know of no doubts, until there is a new one."""
        try:
            if not self._name or self._size > BYTES_MAX:
                self._begin(state)
            else:
                self._append([_frame(state, readings)])
        except OSError as error:
            _LOG.warning("followers are not told which points are silent: %s", error)
            self._forget_file()

    def _begin(self, state: State) -> None:
        """A new file with all that is doubted now."""
        self._forget_file()
        rows = np.flatnonzero(self._times[: state.twins.size] != 0)
        rows = rows[state.twins.point_time.take(rows) == self._times[rows]]
        name = uuid4().bytes
        told = _last(state, rows, state.twins.point_quality.take(rows))
        self._append([name, _frame(state, told)])
        self._name = name

    def _append(self, payloads: Sequence[bytes]) -> None:
        raw = b"".join(map(framed, payloads))
        with self._path.open("ab") as file:
            file.write(raw)
        self._size += len(raw)

    def _forget_file(self) -> None:
        self._size, self._name = 0, b""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("followers may show doubts that hold no longer: %s", error)

    def _read(self) -> None:
        """What stands in the file beyond what was read of it; all of one that is new."""
        name, raw = b"", b""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            head, _ = whole_frames(file.read(_NAME_BYTES))
            name = bytes(head[0]) if head else b""
            file.seek(self._size if name == self._name else _NAME_BYTES)
            raw = file.read() if name else b""
        if name != self._name:
            self._anew = self._anew or bool(self._name)
            self._name, self._pending, self._size = name, [], _NAME_BYTES
        frames, read = whole_frames(raw)
        self._pending += frames
        self._size += read

    def _apply(self, state: State, frame: memoryview) -> Readings:
        iris, times, quality = _FRAMES.decode(frame)
        rows = state.twins.ids.rows_of(iris)
        known = rows >= 0
        stamps = np.frombuffer(times, np.int64)[known]
        words = state.twins.point_word.take(rows[known])
        told = Readings(rows[known], stamps, words, np.frombuffer(quality, np.uint8)[known])
        return doubt(state, told)


def _last(state: State, rows: npt.NDArray[np.integer], quality: npt.NDArray[np.uint8]) -> Readings:
    """Last values of rows."""
    twins = state.twins
    points = rows.astype(np.int32)
    return Readings(points, twins.point_time.take(points), twins.point_word.take(points), quality)


def _frame(state: State, readings: Readings) -> bytes:
    iris = state.twins.ids.iris(readings.points)
    return _FRAME_OF.encode((iris, readings.times_ns.tobytes(), readings.quality.tobytes()))


def _joined(parts: Sequence[Readings]) -> Readings:
    if len(parts) == 1:
        return parts[0]
    columns = ([each.points, each.times_ns, each.words, each.quality] for each in parts)
    return Readings(*map(np.concatenate, zip(*columns, strict=True)))


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
