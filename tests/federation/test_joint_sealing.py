"""Letters between two servers that a third one carries, and letters that want to be too large."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from federation.joint.letters import PACKED_BYTES_MAX, UNPACKED_BYTES_MAX, Letter, Touched, pack, unpack
from federation.joint.sealing import Sealer, SealKey
from ontology.errors import InputError
from tests.federation.trust_helpers import make_key

CASCADE = b"c" * 16


def refused(sealer: Sealer, sender: str, sealed: bytes) -> bool:
    with pytest.raises(InputError) as caught:
        sealer.open(sender, sealed)
    return caught.value.code == "JOINT_MESSAGE_INVALID"


def test_only_the_reader_opens_what_only_the_writer_sealed(tmp_path: Path) -> None:
    keys = [make_key(tmp_path / name) for name in ("one", "other", "carrier")]
    one, other, carrier = (Sealer(key, CASCADE) for key in keys)
    names = [key.fingerprint for key in keys]
    assert one.meet(keys[1].public, other.key) and other.meet(keys[0].public, one.key)
    assert carrier.meet(keys[0].public, one.key) and carrier.meet(keys[1].public, other.key)
    sealed = one.seal(names[1], b"levels of many runs")
    assert b"levels" not in sealed
    assert sealed != one.seal(names[1], b"levels of many runs"), "no two look alike"
    assert other.open(names[0], sealed) == b"levels of many runs"
    assert refused(carrier, names[0], sealed)
    assert refused(one, names[1], sealed), "a letter that comes back"
    assert refused(other, names[2], sealed), "of somebody who was not met"
    assert refused(other, names[0], sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert refused(other, names[0], b"")
    assert refused(other, names[0], carrier.seal(names[1], b"mine")), "the carrier cannot write for others"
    with pytest.raises(InputError):
        one.seal(names[2], b"for somebody who was not met")


def test_a_key_that_its_server_did_not_sign_is_not_taken(tmp_path: Path) -> None:
    one, other, carrier = (make_key(tmp_path / name) for name in ("one", "other", "carrier"))
    sealer, theirs = Sealer(one, CASCADE), Sealer(other, CASCADE)
    assert sealer.meet(other.public, theirs.key)
    assert not sealer.meet(other.public, Sealer(carrier, CASCADE).key)
    assert not sealer.meet(other.public, Sealer(other, b"d" * 16).key), "of another cascade"
    swapped = SealKey(Sealer(carrier, CASCADE).key.public, theirs.key.signature)
    assert not sealer.meet(other.public, swapped)
    assert not sealer.meet(other.public, SealKey(bytes(32), theirs.key.signature))


def test_letters_are_bounded() -> None:
    letter = Letter(3, Touched([b"t" * 16]))
    assert unpack(pack(letter)) == letter
    bomb = zlib.compress(bytes(UNPACKED_BYTES_MAX + 1))
    assert len(bomb) < PACKED_BYTES_MAX
    for data in (bomb, b"", b"\x00", pack(letter) + b"x", pack(letter)[:-2], zlib.compress(b"\xc1")):
        with pytest.raises(InputError) as caught:
            unpack(data)
        assert caught.value.code == "JOINT_MESSAGE_INVALID"
