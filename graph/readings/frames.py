"""Files that are only added to, in frames with a checksum: a torn end is known from damage in the middle.

A frame is `TMf1`, the length of what it holds (uint32), CRC-32 of that length and of what it holds, and that.
A frame is synced before the next one is written: after a crash at most the last one is not whole. Zeros may
follow the last one: room that was taken ahead, because a file that grows costs a sync of its size too.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

MAGIC: Final = b"TMf1"
_HEAD: Final = struct.Struct("<4sII")
_LENGTH: Final = struct.Struct("<I")
_AHEAD_BYTES_MIN: Final = 1 << 16
_RESTORE: Final = "restore a backup, or run `twinmesh verify` to see all that is damaged"


def framed(payload: bytes) -> bytes:
    """One frame, ready to be written."""
    return _HEAD.pack(MAGIC, len(payload), _checksum(len(payload), payload)) + payload


def whole_frames(raw: bytes, start: int = 0) -> tuple[list[memoryview], int]:
    """What the frames from a place on hold, up to the first that is not whole, and where that is."""
    view, found, place = memoryview(raw), list[memoryview](), start
    while (payload := _frame_at(view, place)) is not None:
        found.append(payload)
        place += _HEAD.size + len(payload)
    return found, place


def is_torn_end(raw: bytes, place: int) -> bool:
    """Whether nothing whole follows: then the bytes from `place` on are a frame that was never finished."""
    view = memoryview(raw)
    while (place := raw.find(MAGIC, place)) >= 0:
        if _frame_at(view, place) is not None:
            return False
        place += 1
    return True


def read_file(path: Path) -> tuple[list[memoryview], int]:
    """All that a file of frames holds and where its whole frames end; StoreError HISTORY_CORRUPT, OSError."""
    raw = path.read_bytes()
    payloads, end = whole_frames(raw)
    if end < len(raw) and not is_torn_end(raw, end):
        raise damaged(path, end)
    return payloads, end


def damaged(path: Path, place: int) -> StoreError:
    """The refusal for damage that no crash explains."""
    message = "is damaged: what was written later is whole"
    spot = Place(path=str(path), item=f"byte {place}")
    return StoreError(message, code="HISTORY_CORRUPT", place=spot, hint=_RESTORE)


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Errors of the disk as StoreError."""
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error)
        raise StoreError(f"history: {text}", place=Place(path=str(error.filename or path))) from error


class AppendFile:
    """One such file, opened to be added to. One thread at a time. All methods raise OSError."""

    def __init__(self, path: Path, size: int, *, ahead_bytes_max: int = 0) -> None:
        """size: where its whole frames end; what lies behind is cut off.

        ahead_bytes_max: of room taken ahead, as much again as there is, and given back by `close`.
        """
        self.path = path
        self.size = size
        self._ahead_bytes_max = ahead_bytes_max
        self._room = size
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if os.fstat(self._file).st_size > size:
            self.mend()

    def append(self, payload: bytes) -> None:
        """Durable on return. After an error `mend` comes first."""
        frame = framed(payload)
        view, place = memoryview(frame), self.size
        self._make_room(place + len(frame))
        while view:
            written = os.pwrite(self._file, view, place)
            view, place = view[written:], place + written
        os.fdatasync(self._file)
        self.size += len(frame)

    def mend(self) -> None:
        """Cut off what was not finished."""
        self._room = self.size
        os.ftruncate(self._file, self.size)
        os.fsync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):  # the room ahead may stay, it says nothing
                os.ftruncate(self._file, self.size)
            os.close(self._file)
            self._file = -1

    def _make_room(self, end: int) -> None:
        if end <= self._room or not self._ahead_bytes_max:
            return
        more = min(max(end, _AHEAD_BYTES_MIN), self._ahead_bytes_max)
        with suppress(
            OSError
        ):  # no disk for that much, or it cannot be asked: the frame may fit all the same
            os.posix_fallocate(self._file, self._room, end + more - self._room)
            self._room = end + more


def _frame_at(view: memoryview, place: int) -> memoryview | None:
    start = place + _HEAD.size
    if start > len(view):
        return None
    magic, length, checksum = _HEAD.unpack_from(view, place)
    if magic != MAGIC or start + length > len(view):
        return None
    payload = view[start : start + length]
    return payload if _checksum(length, payload) == checksum else None


def _checksum(length: int, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(length)))
