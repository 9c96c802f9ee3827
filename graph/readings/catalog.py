"""The catalog of a history: which segments count, which logs are not in them yet. Replaced in one step."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from graph.folders import write_file
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "history"
CATALOG: Final = "catalog.json"
CATALOG_FORMAT: Final = 1
MINUTE_NS: Final = 60_000_000_000
HOUR_NS: Final = 60 * MINUTE_NS
NOTHING_LEFT: Final = -1
_RESTORE: Final = "restore a backup"


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that never changes: its name, size and SHA-256."""

    name: str
    bytes: int
    sha256: str


class SegmentEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Readings sorted by point and time: from_ns <= time <= to_ns.

    resolution_ns: 0 while the readings themselves are kept, then the finest roll-up that is; NOTHING_LEFT:
    only the last reading of each point. unit: of the times in the file ("ms", "us", "ns"). Later segments
    of a catalog were written later: what they say of the same point and time counts.
    """

    name: str
    rows: int
    from_ns: int
    to_ns: int
    resolution_ns: int
    unit: str
    files: tuple[FileEntry, ...]

    def file(self, part: str) -> FileEntry | None:
        """`part`: "" for the readings, "index", "minute", "hour"."""
        wanted = f"{self.name}.{part}.parquet" if part else f"{self.name}.parquet"
        return next((file for file in self.files if file.name == wanted), None)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


class Catalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """log: the first log that is in no segment. batch: the last that is in one. next: number of a segment."""

    format: int = CATALOG_FORMAT
    log: int = 1
    batch: int = 0
    next: int = 1
    segments: tuple[SegmentEntry, ...] = ()

    @property
    def rows(self) -> int:
        return sum(segment.rows for segment in self.segments)


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    catalog: Catalog
    digest: str


_SIGNED: Final = msgspec.json.Decoder(_Signed)
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def log_name(number: int) -> str:
    return f"log-{number:08}.tml"


def write_catalog(folder: Path, catalog: Catalog) -> None:
    """Whole and durable on return, or the old one is still there. OSError."""
    digest = sha256(msgspec.json.encode(catalog)).hexdigest()
    text = msgspec.json.encode(_Signed(catalog, digest))
    write_file(folder / CATALOG, msgspec.json.format(text, indent=1))


def read_catalog(folder: Path) -> Catalog | None:
    """None where there is none. StoreError HISTORY_CORRUPT, STORE_VERSION for a newer format; OSError."""
    path = folder / CATALOG
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        version = int(bytes(_PARTS.decode(bytes(_PARTS.decode(text)["catalog"]))["format"]))
        if version > CATALOG_FORMAT:
            raise _newer(path, version)
        signed = _SIGNED.decode(text)
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise _damaged(path, f"the catalog cannot be read: {error}") from error
    if signed.digest != sha256(msgspec.json.encode(signed.catalog)).hexdigest():
        raise _damaged(path, "the catalog does not match its own digest")
    return signed.catalog


def _newer(path: Path, version: int) -> StoreError:
    message = f"the history has format {version}, this program reads up to {CATALOG_FORMAT}"
    hint = "use the newer twinmesh that wrote it"
    return StoreError(message, code="STORE_VERSION", place=Place(path=str(path)), hint=hint)


def _damaged(path: Path, message: str) -> StoreError:
    return StoreError(message, code="HISTORY_CORRUPT", place=Place(path=str(path)), hint=_RESTORE)
