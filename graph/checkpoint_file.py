"""The file of a checkpoint: named arrays, each aligned and checksummed in blocks, used in place when mapped.

    header      128 bytes: magic, version, where the table lies, its digest; the last four bytes are a CRC
    sections    arrays, each beginning at a multiple of 64; zeros between them belong to the one before
    table       MessagePack: what the checkpoint is about, and of each section its name, dtype, shape, place
                and the CRC-32 of each of its blocks of 1 MiB

Every byte of the file lies under exactly one of these checksums.
"""

from __future__ import annotations

import mmap
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeVar
from zlib import crc32

import msgspec
import numpy as np

from graph.folders import sync_folder
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from io import BufferedReader, BufferedWriter
    from pathlib import Path

    import numpy.typing as npt

S = TypeVar("S", bound=msgspec.Struct)
MAGIC = b"twmcheck"
FORMAT_VERSION = 1
SUFFIX = ".tmc"
BLOCK_BYTES = 1 << 20
TEMPORARY_SUFFIX = ".tmp"
_ALIGN_BYTES = 64
_HEADER_BYTES = 128
_HEADER = struct.Struct("<8sIQQ32s")
_CRC = struct.Struct("<I")
_CHECK_THREADS = 2


class SectionEntry(msgspec.Struct, frozen=True, array_like=True):
    """One array of the file. `stop`: where the next one begins. `checks`: CRC-32 of its blocks, in order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int
    checks: tuple[int, ...]


class Table(msgspec.Struct, frozen=True):
    about: msgspec.Raw
    sections: tuple[SectionEntry, ...]


_TABLES: Final = msgspec.msgpack.Decoder(Table)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """An array to be written, piece by piece, so that no copy of the whole is needed."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[npt.NDArray[Any]]]

    @classmethod
    def of(cls, name: str, array: npt.NDArray[Any]) -> Section:
        return cls(name, array.dtype, array.shape, lambda: iter((array,)))


# Writing


def write_checkpoint(path: Path, about: msgspec.Struct, sections: Iterable[Section]) -> int:
    """Write a file under a temporary name, sync it, give it its name; its size in bytes.

    Whatever happens, `path` is either whole or not there. Raises StoreError STORE_FAILED.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            _write_all(file, about, sections)
            size_bytes = file.tell()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _failed(path, error) from error
    return size_bytes


def _write_all(file: BufferedWriter, about: msgspec.Struct, sections: Iterable[Section]) -> None:
    file.write(bytes(_HEADER_BYTES))
    entries = tuple(_write_section(file, section) for section in sections)
    table, start = _encoded(about, entries), file.tell()
    file.write(table)
    end = file.tell()
    file.seek(0)
    file.write(_header(start, table))
    file.seek(end)


def _encoded(about: msgspec.Struct, entries: tuple[SectionEntry, ...]) -> bytes:
    return msgspec.msgpack.encode(Table(msgspec.Raw(msgspec.msgpack.encode(about)), entries))


def _header(start: int, table: bytes) -> bytes:
    fields = _HEADER.pack(MAGIC, FORMAT_VERSION, start, len(table), _digest(table))
    padded = fields.ljust(_HEADER_BYTES - _CRC.size, b"\0")
    return padded + _CRC.pack(crc32(padded))


def _digest(table: bytes | memoryview) -> bytes:
    return blake2b(table, digest_size=32).digest()


def _write_section(file: BufferedWriter, section: Section) -> SectionEntry:
    start = file.tell()
    checks: list[int] = []
    check, filled = 0, 0
    for part in _parts(section):
        file.write(part)
        check, filled = crc32(part, check), filled + len(part)
        if filled == BLOCK_BYTES:
            checks.append(check)
            check, filled = 0, 0
    if filled:
        checks.append(check)
    dtype = section.dtype.newbyteorder("<").str
    return SectionEntry(section.name, dtype, section.shape, start, file.tell(), tuple(checks))


def _parts(section: Section) -> Iterator[memoryview]:
    """The bytes of a section and of the zeros behind it, cut where blocks end."""
    written = 0
    for piece in (*section.pieces(), None):
        if piece is None:
            data = memoryview(bytes(-written % _ALIGN_BYTES))
        else:
            data = np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
        while len(data):
            part = data[: BLOCK_BYTES - written % BLOCK_BYTES]
            yield part
            written += len(part)
            data = data[len(part) :]


# Reading


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointFile:
    """A file whose table is sound. Sections are checked by `check` only."""

    path: Path
    table: Table
    _bytes: npt.NDArray[np.uint8]

    def about(self, decoder: msgspec.msgpack.Decoder[S]) -> S:
        """What the checkpoint is about."""
        with _malformed(self.path, "table"):
            return decoder.decode(self.table.about)

    @property
    def size_bytes(self) -> int:
        return len(self._bytes)

    def __contains__(self, name: str) -> bool:
        return any(entry.name == name for entry in self.table.sections)

    def array(self, name: str) -> npt.NDArray[Any]:
        """A section, read-only, as it lies in the file. CHECKPOINT_CORRUPT where there is none such."""
        entry = next((entry for entry in self.table.sections if entry.name == name), None)
        if entry is None:
            raise _corrupt(self.path, f"has no section {name}")
        with _malformed(self.path, name):
            dtype = np.dtype(entry.dtype)
            count = int(np.prod(entry.shape, dtype=np.int64))
            data = self._bytes[entry.start : entry.start + count * dtype.itemsize]
            return data.view(dtype).reshape(entry.shape)

    def check(self) -> list[Problem]:
        """Every block that is not what was written. StoreError STORE_FAILED where the disk cannot read it."""
        # Read, not mapped: a sector that cannot be read is an error here, and the end of the process there.
        try:
            with self.path.open("rb") as file, ThreadPoolExecutor(_CHECK_THREADS) as pool:
                found = pool.map(partial(self._check_section, file.fileno()), self.table.sections)
                return [problem for problems in found for problem in problems]
        except OSError as error:
            raise _failed(self.path, error) from error

    def _check_section(self, handle: int, entry: SectionEntry) -> list[Problem]:
        found: list[Problem] = []
        for number, check in enumerate(entry.checks):
            first = entry.start + number * BLOCK_BYTES
            last = min(first + BLOCK_BYTES, entry.stop)
            if crc32(os.pread(handle, last - first, first)) != check:
                found.append(_problem(self.path, "a block is not what was written", entry.name, first, last))
        return found


def open_checkpoint(path: Path) -> CheckpointFile:
    """Map a file and check its header and table.

    Raises StoreError CHECKPOINT_CORRUPT, CHECKPOINT_VERSION (a newer program wrote it) or STORE_FAILED.
    """
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            table = _read_table(path, file, size_bytes)
            data = np.frombuffer(mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise _failed(path, error) from error
    with _malformed(path, "table"):
        known = _TABLES.decode(table)
    if not _covers(known, len(data), len(table)):
        raise _corrupt(path, "its sections do not follow each other")
    return CheckpointFile(path, known, data)


def verify_checkpoint(path: Path) -> list[Problem]:
    """Every place at which a file is not what was written: section and bytes stand in the place's item."""
    try:
        return open_checkpoint(path).check()
    except StoreError as error:
        return [Problem(error.code, error.message, error.place or Place(path=str(path)), error.hint)]


def _read_table(path: Path, file: BufferedReader, size_bytes: int) -> bytes:
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise _corrupt(path, "is cut off", 0, _HEADER_BYTES)
    magic, version, start, length, digest = _HEADER.unpack_from(header)
    if magic != MAGIC:
        raise _corrupt(path, "does not begin as a checkpoint does", 0, len(MAGIC))
    if crc32(header[: -_CRC.size]) != _CRC.unpack(header[-_CRC.size :])[0]:
        raise _corrupt(path, "has a damaged header", 0, _HEADER_BYTES)
    if version > FORMAT_VERSION:
        message = f"the checkpoint has format {version}, this program knows up to {FORMAT_VERSION}"
        hint = "use the newer twinmesh that wrote it, or let the journal be read"
        raise StoreError(message, code="CHECKPOINT_VERSION", place=Place(path=str(path)), hint=hint)
    if start + length != size_bytes:
        raise _corrupt(path, f"has {size_bytes} bytes instead of {start + length}", start, start + length)
    file.seek(start)
    table = file.read(length)
    if _digest(table) != digest:
        raise _corrupt(path, "has a damaged table", start, start + length)
    return table


def _covers(table: Table, size_bytes: int, table_bytes: int) -> bool:
    """Whether the sections follow each other from the header to the table, with a check for every block."""
    end = _HEADER_BYTES
    for entry in table.sections:
        blocks = (entry.stop - entry.start + BLOCK_BYTES - 1) // BLOCK_BYTES
        if entry.start != end or entry.stop < end or len(entry.checks) != blocks:
            return False
        end = entry.stop
    return end + table_bytes == size_bytes


@contextmanager
def _malformed(path: Path, name: str) -> Generator[None]:
    """A sound checksum over what cannot be read: no accident, but no reason to crash either."""
    try:
        yield
    except (ValueError, TypeError, msgspec.DecodeError) as error:
        raise _corrupt(path, f"section {name} cannot be read: {error}") from error


def _failed(path: Path, error: OSError) -> StoreError:
    return StoreError(f"checkpoint: {error}", code="STORE_FAILED", place=Place(path=str(path)))


def _corrupt(path: Path, what: str, first: int | None = None, last: int | None = None) -> StoreError:
    item = None if first is None else f"bytes {first} to {last}"
    return StoreError(
        f"the checkpoint {what}",
        code="CHECKPOINT_CORRUPT",
        place=Place(path=str(path), item=item),
        hint=_HINT,
    )


def _problem(path: Path, message: str, name: str, first: int, last: int) -> Problem:
    place = Place(path=str(path), item=f"section {name}, bytes {first} to {last}")
    return Problem("CHECKPOINT_CORRUPT", f"the checkpoint is damaged: {message}", place, _HINT)


_HINT = "delete the file: an older checkpoint or the journal is read instead"
