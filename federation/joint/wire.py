"""Messages of kind `cascade`: who conducts asks, each other server answers for its own share."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec

from federation.joint.cascading import Report
from federation.joint.letters import Step, Text
from federation.joint.sealing import SealKey
from ontology.errors import InputError

KIND: Final = "cascade"
PURPOSE: Final = "cascade"
SITES_MAX: Final = 64
EVENTS_MAX: Final = 1_000
Fingerprint: TypeAlias = Annotated[str, msgspec.Meta(min_length=43, max_length=43)]
Session: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Name: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=16)]
T = TypeVar("T")


class Planned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event for a twin of the receiver, as in a scenario document, and its place among all events."""

    number: Annotated[int, msgspec.Meta(ge=0, lt=10_000)]
    document: Annotated[bytes, msgspec.Meta(max_length=10_000)]


class Begin(msgspec.Struct, frozen=True, tag="begin", forbid_unknown_fields=True):
    """A pass of a scenario begins. cascade: random, the same for all passes of one scenario.

    lit: fingerprints of all servers that take part. keep: a name for the plan that this pass makes; recall:
    the name of one that might be used instead. b'': none.
    """

    cascade: Session
    horizon_us: Annotated[int, msgspec.Meta(ge=1)]
    cell_us: Annotated[int, msgspec.Meta(ge=1)]
    levels: Annotated[int, msgspec.Meta(ge=1, le=4_096)]
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 62) * 2 - 1)]
    runs: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    start_us: int
    ontology: Text
    lit: Annotated[list[Fingerprint], msgspec.Meta(max_length=SITES_MAX)]
    events: Annotated[list[Planned], msgspec.Meta(max_length=EVENTS_MAX)] = []
    event_count: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    unknown: bool = False
    keep: Name = b""
    recall: Name = b""


class Act(msgspec.Struct, frozen=True, tag="act", forbid_unknown_fields=True):
    """keys: of all servers that take part, with the first act."""

    session: Session
    step: Step
    keys: Annotated[dict[Fingerprint, SealKey], msgspec.Meta(max_length=SITES_MAX)] = {}


class Take(msgspec.Struct, frozen=True, tag="take", forbid_unknown_fields=True):
    """Letters, each with its sender. Those of third servers are sealed."""

    session: Session
    letters: Annotated[list[tuple[Fingerprint, bytes]], msgspec.Meta(max_length=SITES_MAX)]


class Fetch(msgspec.Struct, frozen=True, tag="fetch", forbid_unknown_fields=True):
    """What of the receiver's Impact its contract shows. is_last: end the session with that."""

    session: Session
    is_last: bool = False


class End(msgspec.Struct, frozen=True, tag="end", forbid_unknown_fields=True):
    session: Session


Asked: TypeAlias = Begin | Act | Take | Fetch | End


class Begun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """has_unknown: whether a pass with relationships of unknown direction is needed. is_thin: relationships
    stand here that make twins of other servers depend on ours; they do not count. has_plan: the plan to be
    recalled is there, and holds.
    """

    session: Session
    key: SealKey
    has_unknown: bool
    is_thin: bool
    has_plan: bool = False


class Wrote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Letters by receiver, and how the site stands."""

    letters: dict[Fingerprint, bytes]
    report: Report


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One twin of a partner that is hit. cost None: the contract does not tell it."""

    id: Text
    local_id: Text
    name: Text | None
    kind: Text
    site: Text
    probability: float
    first_hit: tuple[float, float, float, float]
    down_hours: float
    min_level: float
    cost: float | None
    why: list[Text]


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Twins that are hit and shown."""

    rows: Annotated[list[Row], msgspec.Meta(max_length=100_000)]


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing more to say."""


# Made once: msgspec may crash where two threads meet a type for the first time.
ASKED: Final = msgspec.msgpack.Decoder[Asked](Asked)
BEGUN: Final = msgspec.msgpack.Decoder(Begun)
WROTE: Final = msgspec.msgpack.Decoder(Wrote)
ROWS: Final = msgspec.msgpack.Decoder(Rows)
DONE: Final = msgspec.msgpack.Decoder(Done)


def read(data: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """InputError JOINT_MESSAGE_INVALID where bytes are no such message."""
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise InputError("a partner sent no message of a cascade", code="JOINT_MESSAGE_INVALID") from error
