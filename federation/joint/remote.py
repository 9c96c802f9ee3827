"""A site of a cascade at another server, spoken to over HTTP by who conducts it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec.msgpack import Decoder

from federation.joint.conducting import Heard, PeerLost
from federation.joint.letters import Act as What
from federation.joint.sealing import SealKey
from federation.joint.wire import (
    BEGUN,
    DONE,
    KIND,
    PURPOSE,
    ROWS,
    WROTE,
    Act,
    Begin,
    End,
    Fetch,
    Row,
    Take,
    read,
)
from ontology.errors import AccessError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from federation.http_peer import HttpPeer
    from federation.joint.letters import Step
    from federation.joint.wire import Asked

T = TypeVar("T")
_REFUSAL: Final = re.compile(r"refuses: ([A-Z][A-Z0-9_]+)$")


@dataclass(slots=True)
class There:
    """A session at a peer. Every method raises PeerLost for whatever goes wrong over there."""

    peer: HttpPeer
    session: bytes = b""
    key: SealKey | None = None
    keys: Mapping[str, SealKey] = field(default_factory=dict[str, SealKey])
    has_unknown: bool = False
    is_thin: bool = False
    has_plan: bool = False

    @property
    def name(self) -> str:
        return self.peer.peer.fingerprint

    async def begin(self, asked: Begin) -> None:
        begun = await self._call(asked, BEGUN)
        self.session, self.key = begun.session, begun.key
        self.has_unknown, self.is_thin = begun.has_unknown, begun.is_thin
        self.has_plan = begun.has_plan

    async def open(self, step: Step) -> Heard:
        keys = dict(self.keys) if step.act in (What.AGREE, What.RECALL) else {}
        wrote = await self._call(Act(self.session, step, keys), WROTE)
        return Heard(wrote.letters, wrote.report)

    async def take(self, letters: Sequence[tuple[str, bytes]]) -> Heard:
        wrote = await self._call(Take(self.session, list(letters)), WROTE)
        return Heard(wrote.letters, wrote.report)

    async def rows(self) -> list[Row]:
        """What it shows of its Impact; with that the session is over."""
        rows = (await self._call(Fetch(self.session, is_last=True), ROWS)).rows
        self.session = b""
        return rows

    async def end(self) -> None:
        await self._call(End(self.session), DONE)

    async def _call(self, asked: Asked, answer: Decoder[T]) -> T:
        try:
            answered = await self.peer.call(KIND, PURPOSE, msgspec.msgpack.encode(asked))
            return read(answered.body, answer)
        except TwinmeshError as error:
            raise PeerLost(self.name, _code(error)) from error


def _code(error: TwinmeshError) -> str:
    refusal = _REFUSAL.search(error.message) if isinstance(error, AccessError) else None
    return refusal.group(1) if refusal else error.code
