"""Letters between two servers that a third one carries: only their reader can open them.

Each server makes an X25519 key for one pass (RFC 7748) and signs it with its pinned key. From both keys comes
one key for each direction (HKDF-SHA256, RFC 5869), and letters are sealed with ChaCha20-Poly1305 (RFC 8439).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ontology.errors import InputError

if TYPE_CHECKING:
    from federation.keys import OwnKey, PublicKey

_MARK: Final = b"twinmesh cascade letters 1\0"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server's key of one pass, and its signature."""

    public: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class Sealer:
    """One server's keys of one pass. Not safe for several threads at once."""

    def __init__(self, key: OwnKey, cascade: bytes) -> None:
        self._own, self._cascade = key.fingerprint, cascade
        self._private = X25519PrivateKey.generate()
        public = self._private.public_key().public_bytes_raw()
        signing = key.private.private_key
        assert isinstance(signing, Ed25519PrivateKey)
        self.key = SealKey(public, signing.sign(_signed(cascade, self._own, public)))
        self._shared: dict[str, bytes] = {}
        self._sent: dict[str, int] = {}

    def meet(self, other: PublicKey, stated: SealKey) -> bool:
        """Take another server's key; False where it did not sign it."""
        pinned = other.jwk.public_key
        try:
            assert isinstance(pinned, Ed25519PublicKey)
            pinned.verify(stated.signature, _signed(self._cascade, other.fingerprint, stated.public))
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(stated.public))
        except (InvalidSignature, ValueError):
            return False
        self._shared[other.fingerprint] = shared
        return True

    def seal(self, reader: str, letter: bytes) -> bytes:
        """For a server that was met. InputError JOINT_MESSAGE_INVALID for any other."""
        number = self._sent[reader] = self._sent.get(reader, 0) + 1
        nonce = number.to_bytes(_NONCE_BYTES, "big")
        return nonce + self._cipher(self._own, reader).encrypt(nonce, letter, None)

    def open(self, sender: str, sealed: bytes) -> bytes:
        """InputError JOINT_MESSAGE_INVALID where that server did not seal this for us in this pass."""
        try:
            cipher = self._cipher(sender, self._own)
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError) as error:
            raise InputError("a letter that is not sealed for us", code="JOINT_MESSAGE_INVALID") from error

    def _cipher(self, sender: str, reader: str) -> ChaCha20Poly1305:
        shared = self._shared.get(reader if sender == self._own else sender)
        if shared is None:
            raise InputError("a letter of a server that was not met", code="JOINT_MESSAGE_INVALID")
        info = b"\0".join((_MARK, self._cascade, sender.encode(), reader.encode()))
        return ChaCha20Poly1305(HKDF(SHA256(), _KEY_BYTES, None, info).derive(shared))


def _signed(cascade: bytes, fingerprint: str, public: bytes) -> bytes:
    return b"\0".join((_MARK, cascade, fingerprint.encode(), public))
