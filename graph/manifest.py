"""The manifest of a backup: what it holds, and what it must be when it comes back."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from graph.content import Content
from graph.marks import FileMark
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path


MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SiteMark:
    """One site of a backup, as its own journal tells it.

    digest: of the last commit, 64 hexadecimal digits. hash: see `graph.content`; readings: rows kept.
    """

    site: str
    format: int
    revision: int
    time_ns: int
    digest: str
    hash: str
    content: Content
    readings: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of a backup but the manifest itself. Times are Unix times in ns."""

    format: int
    program: str
    made_ns: int
    algorithm: str  # of the content hashes
    sites: tuple[SiteMark, ...]
    files: tuple[FileMark, ...]

    @property
    def bytes(self) -> int:
        """What the files take in all."""
        return sum(mark.bytes for mark in self.files)


class _Signed(msgspec.Struct, frozen=True):
    manifest: Manifest
    digest: str


_SIGNED: Final = msgspec.json.Decoder(_Signed)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def manifest_bytes(manifest: Manifest) -> bytes:
    """As it stands in the file: JSON, with a digest over itself."""
    signed = _Signed(manifest, _digest(msgspec.json.encode(manifest)))
    return msgspec.json.format(msgspec.json.encode(signed), indent=1)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises StoreError BACKUP_INCOMPLETE where there is none, BACKUP_DAMAGED, or STORE_VERSION for a newer one.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
        known = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(known["manifest"], type=dict[str, msgspec.Raw])["format"]
        if int(bytes(version)) > MANIFEST_FORMAT:
            message = f"the backup has format {bytes(version).decode()}, this program reads {MANIFEST_FORMAT}"
            hint = "use the newer twinmesh that made it"
            raise StoreError(message, code="STORE_VERSION", place=Place(path=str(path)), hint=hint)
        signed = _SIGNED.decode(text)
    except FileNotFoundError as error:
        message = "there is no manifest: this is no backup, or one that was never finished"
        place, hint = Place(path=str(folder)), "use another backup"
        raise StoreError(message, code="BACKUP_INCOMPLETE", place=place, hint=hint) from error
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", place=Place(path=str(path))) from error
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise _damaged(path, f"the manifest cannot be read: {error}") from error
    # Over the text, not over what this program makes of it: later formats may know more fields.
    if signed.digest != _digest(bytes(known["manifest"])):
        raise _damaged(path, "the manifest does not match its own digest")
    for mark in signed.manifest.files:
        if not _stays_inside(mark.path):
            raise _damaged(path, f"{mark.path!r} leads out of the backup")
    return signed.manifest


def is_backup(folder: Path) -> bool:
    return (folder / MANIFEST).exists()


def _stays_inside(name: str) -> bool:
    parts = name.split("/")
    return not name.startswith("/") and all(part not in ("", ".", "..") for part in parts)


def _damaged(path: Path, message: str) -> StoreError:
    return StoreError(message, code="BACKUP_DAMAGED", place=Place(path=str(path)), hint="use another backup")


def _digest(text: bytes) -> str:
    return sha256(msgspec.json.format(text, indent=-1)).hexdigest()
