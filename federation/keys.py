"""The key of a data folder: made at first use, private on disk, known to others by its fingerprint.

The file never leaves the folder: a backup does not copy it, no message of an error shows it.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from typing import TYPE_CHECKING, Final, cast

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64decode

from graph.folders import sync_folder
from ontology.errors import AccessError, Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE: Final = "federation.key"
_CURVE: Final = "Ed25519"
_KEY_BYTES_MAX: Final = 4_096
_FINGERPRINT_LENGTH: Final = 43  # SHA-256 in base64url


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PublicKey:
    """Somebody's public key. `fingerprint` is the thumbprint of RFC 7638: what people compare."""

    x: str  # the 32 bytes in base64url, as a JWK spells them
    fingerprint: str
    jwk: OKPKey

    @classmethod
    def of(cls, x: str) -> PublicKey:
        """AccessError PEER_KEY_INVALID for a text that is no Ed25519 key."""
        try:
            jwk = OKPKey.import_key({"kty": "OKP", "crv": _CURVE, "x": x})
            return cls(x, jwk.thumbprint(), jwk)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise AccessError("this is no Ed25519 key", code="PEER_KEY_INVALID") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.x == other.x

    def __hash__(self) -> int:
        return hash(self.x)

    def __repr__(self) -> str:
        return f"PublicKey({self.fingerprint})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OwnKey:
    """The key that signs for a data folder. Shows its fingerprint only, whoever prints it."""

    public: PublicKey
    private: OKPKey

    @property
    def fingerprint(self) -> str:
        return self.public.fingerprint

    def secret_for(self, purpose: bytes) -> bytes:
        """A key that follows from the private one, for one purpose: nothing else has to be kept."""
        stated = cast("dict[str, str]", self.private.as_dict(private=True))
        return digest(urlsafe_b64decode(stated["d"].encode()), purpose, sha256)

    def __repr__(self) -> str:
        return f"OwnKey({self.fingerprint})"


def own_key(folder: Path) -> OwnKey:
    """The key of a data folder; made here if there is none, by one process even where several ask at once.

    Raises StoreError KEY_UNREADABLE (damaged, or the disk refuses), KEY_EXPOSED (others may read the file).
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        reason = f"the key cannot be read or made: {error.strerror}"
        raise StoreError(reason, code="KEY_UNREADABLE", place=Place(str(path))) from error


def is_fingerprint(text: str) -> bool:
    """Whether a text has the form of a fingerprint."""
    return len(text) == _FINGERPRINT_LENGTH and all(sign.isalnum() or sign in "-_" for sign in text)


def _make(path: Path) -> None:
    """Whole and durable, or not there: a draft is linked, which fails where a key is. OSError."""
    pem = OKPKey.generate_key(_CURVE).as_pem(private=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        if not _linked(draft, path):
            return
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _linked(draft: Path, path: Path) -> bool:
    """False where another process was first: its key counts."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    return True


def _read(path: Path) -> OwnKey:
    place = Place(str(path))
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            hint = f"chmod 600 {path}; if others may have read it, remove it: peers must add the new key"
            raise StoreError("others may read the private key", code="KEY_EXPOSED", place=place, hint=hint)
        content = file.read(_KEY_BYTES_MAX)
    private = _private_key(content)
    if private is None:
        hint = "put the file back, or remove it: a new key is made, and peers must add it"
        message = "this is no private Ed25519 key"
        raise StoreError(message, code="KEY_UNREADABLE", place=place, hint=hint)
    return OwnKey(PublicKey.of(str(private.as_dict(private=False)["x"])), private)


def _private_key(content: bytes) -> OKPKey | None:
    """None for anything else. What a parser says of a private key belongs nowhere, so it goes no further."""
    try:
        key = OKPKey.import_key(content)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if key.is_private and key.curve_name == _CURVE else None
