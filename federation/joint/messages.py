"""All that travels between sites: tokens, who reaches whom, ranks, names of loops, and levels over time.

A letter is msgpack bytes, so that any transport can carry it. Fields that are not listed here are refused.
"""

from __future__ import annotations

from enum import Enum
from itertools import islice
from operator import lt
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec

from federation.joint.part import Token
from ontology.errors import InputError
from simulation.world import FULL, UNRANKED

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from federation.joint.pieces import Pieces

LETTER_BYTES_MAX = 64 << 20
Rank: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=UNRANKED)]


class Stage(Enum):
    """What a phase does. A phase ends when nothing is under way any more."""

    REACH = "reach"  # who reaches whom: sets that grow
    RANK = "rank"  # names of loops and ranks that fall
    FALL = "fall"  # levels fall from all well
    RISE = "rise"  # loops through several sites rise from nothing
    LOW = "low"  # a lower bound rises, where the exact answer was given up


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """number: grows from phase to phase, which tells late letters; loops: those that restart."""

    number: int
    stage: Stage
    loops: list[Token] = []


class Wave(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    times: list[int]
    levels: list[int]

    @classmethod
    def of(cls, pieces: Pieces) -> Wave:
        if not pieces:
            return cls([], [])
        times, levels = zip(*pieces, strict=True)
        return cls(list(times), list(levels))

    def pieces(self, horizon_us: int) -> Pieces:
        """As (time_us, level). Raises InputError JOINT_MESSAGE_INVALID where it is no waveform."""
        times, levels = self.times, self.levels
        holds = len(times) == len(levels)
        if holds and times:  # there are many of them: no loop here
            holds = times[0] >= 0 and times[-1] < horizon_us and min(levels) >= 0 and max(levels) <= FULL
            holds = holds and all(map(lt, times, islice(times, 1, None)))
        if not holds:
            raise InputError("a partner sent levels that are no waveform", code="JOINT_MESSAGE_INVALID")
        return list(zip(times, levels, strict=True))


class Reached(msgspec.Struct, frozen=True, tag="reach", forbid_unknown_fields=True):
    """Tokens that were not yet known to reach a token: by any relations, and by founded ones alone."""

    any: dict[Token, list[Token]] = {}
    founded: dict[Token, list[Token]] = {}


class Ranked(msgspec.Struct, frozen=True, tag="rank", forbid_unknown_fields=True):
    """The lowest token known of a token's loop, and ranks that fell."""

    loops: dict[Token, Token] = {}
    ranks: dict[Token, Rank] = {}


class Waved(msgspec.Struct, frozen=True, tag="wave", forbid_unknown_fields=True):
    """Levels that changed; mains only of twins in loops through several sites."""

    service: dict[Token, Wave] = {}
    mains: dict[Token, Wave] = {}


Body: TypeAlias = Reached | Ranked | Waved


class Letter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    phase: int
    body: Body


_LETTERS: Final = msgspec.msgpack.Decoder(Letter)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def encode(letter: Letter) -> bytes:
    return msgspec.msgpack.encode(letter)


def decode(data: bytes) -> Letter:
    """Raises InputError JOINT_MESSAGE_INVALID where bytes are no letter."""
    if len(data) > LETTER_BYTES_MAX:
        raise InputError(
            f"a partner sent a letter of {len(data)} bytes; at most {LETTER_BYTES_MAX}",
            code="JOINT_MESSAGE_INVALID",
        )
    try:
        return _LETTERS.decode(data)
    except msgspec.MsgspecError as error:
        raise InputError(f"a partner sent no letter: {error}", code="JOINT_MESSAGE_INVALID") from error


def only(body: Body, wanted: Callable[[Token], bool]) -> Body:
    """The part of a body that is about the tokens wanted."""
    kept = {
        name: {token: fact for token, fact in getattr(body, name).items() if wanted(token)}
        for name in body.__struct_fields__
    }
    return type(body)(**kept)


def is_empty(body: Body) -> bool:
    return not any(getattr(body, name) for name in body.__struct_fields__)


def check_tokens(body: Body, known: Container[Token]) -> None:
    """Raise InputError JOINT_MESSAGE_INVALID where a body speaks of a token that this site does not read."""
    if any(token not in known for name in body.__struct_fields__ for token in getattr(body, name)):
        raise InputError("a partner sent a token that was never agreed upon", code="JOINT_MESSAGE_INVALID")
