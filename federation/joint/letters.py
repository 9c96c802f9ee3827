"""Letters of a cascade between servers: what is read of whom, what can be hit, the plan, levels of many runs.

A letter is msgpack, packed with zlib; it is hostile until unpacked within bounds and checked.
"""

from __future__ import annotations

import zlib
from enum import Enum
from typing import Annotated, Final, TypeAlias

import msgspec

from federation.joint.messages import Waved
from federation.joint.part import Token
from ontology.errors import InputError

PACKED_BYTES_MAX: Final = 1 << 18
UNPACKED_BYTES_MAX: Final = 16 << 20
IRIS_MAX: Final = 100_000
RUNS_MAX: Final = 4_096  # of one block
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=4_096)]
Run: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_QUICK: Final = 1


class Act(Enum):
    """What sites do together. Each act ends when nothing is under way any more."""

    AGREE = "agree"  # which twins of others a site reads, and whether it may
    TOUCH = "touch"  # who can be hit at all: sets that grow
    REACH = "reach"  # as `Stage.REACH`
    RANK = "rank"
    FALL = "fall"
    RISE = "rise"
    SETTLE = "settle"  # what rose is what all see from now on
    RECALL = "recall"  # instead of the first four: a plan that all have kept


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An act begins. runs: those of the block that go on; loops: by run, those that restart (RISE, SETTLE).

    well: twins of servers that do not answer are taken as full, else as down; levels that contracts make
    coarse are rounded up, else down.
    """

    number: int
    act: Act
    runs: Annotated[list[Run], msgspec.Meta(max_length=RUNS_MAX)] = []
    loops: dict[Run, list[Token]] = {}
    is_new_block: bool = False
    well: bool = False


class Asked(msgspec.Struct, frozen=True, tag="ask", forbid_unknown_fields=True):
    """Twins of the reader of this letter that its sender reads."""

    iris: Annotated[list[Text], msgspec.Meta(max_length=IRIS_MAX)]


class Granted(msgspec.Struct, frozen=True, tag="grant", forbid_unknown_fields=True):
    """Token and medium of the twins that may be read; of all others nothing is said, not even why."""

    twins: dict[Text, tuple[Token, Text]]


class Touched(msgspec.Struct, frozen=True, tag="touch", forbid_unknown_fields=True):
    """Twins that can be hit."""

    tokens: list[Token]


class Planned(msgspec.Struct, frozen=True, tag="plan", forbid_unknown_fields=True):
    """A letter of `federation.joint.messages`."""

    letter: bytes


class Levels(msgspec.Struct, frozen=True, tag="levels", forbid_unknown_fields=True):
    """What changed, by run."""

    runs: dict[Run, Waved]


Content: TypeAlias = Asked | Granted | Touched | Planned | Levels


class Letter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    step: int
    content: Content


_LETTERS: Final = msgspec.msgpack.Decoder(Letter)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def pack(letter: Letter) -> bytes:
    """InputError JOINT_LETTER_TOO_LARGE; a smaller block of runs may fit."""
    packed = zlib.compress(msgspec.msgpack.encode(letter), _QUICK)
    if len(packed) > PACKED_BYTES_MAX:
        message = f"a letter of {len(packed):,} bytes; at most {PACKED_BYTES_MAX:,}"
        raise InputError(message, code="JOINT_LETTER_TOO_LARGE")
    return packed


def unpack(data: bytes) -> Letter:
    """InputError JOINT_MESSAGE_INVALID where bytes are no letter, or one that is too large."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data[: PACKED_BYTES_MAX + 1], UNPACKED_BYTES_MAX)
        if len(data) > PACKED_BYTES_MAX or not unpacker.eof or unpacker.unused_data:
            raise InputError("a partner sent a letter that is too large", code="JOINT_MESSAGE_INVALID")
        return _LETTERS.decode(plain)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise InputError("a partner sent no letter", code="JOINT_MESSAGE_INVALID") from error
