"""A private question to several peers at once: what each of them answers, and the figure over all of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import TYPE_CHECKING, Final

import msgspec

from federation.contract import Purpose
from federation.privacy.combining import Combined, Part, combine
from federation.privacy.door import PRIVATE_KIND, SPENT, Figures, Spent, read_figures
from ontology.errors import StoreError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from federation.http_peer import HttpPeer
    from federation.privacy.asked import Asked

AT_ONCE_MAX: Final = 16


class State(StrEnum):
    """What became of the question at one peer."""

    ANSWERED = "answered"
    SUPPRESSED = "suppressed"  # it answered, and every group was too small to be shown
    DENIED = "denied"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """One peer. code: why it did not answer. told: also of a peer whose budget is spent."""

    peer: str
    state: State
    code: str | None = None
    told: Figures | Spent | None = None


@dataclass(frozen=True, slots=True)
class FleetGroup:
    """One group: how many peers showed it, and the figure over them (None: there is none over several)."""

    group: str
    shown: int
    figure: Combined | None


@dataclass(frozen=True, slots=True)
class FleetAnswer:
    """unit: None where peers tell several; then there is no figure over all either."""

    unit: str | None
    groups: tuple[FleetGroup, ...]
    peers: tuple[PeerAnswer, ...]

    @property
    def is_full(self) -> bool:
        """Whether every peer that was asked showed every group."""
        return all(
            each.state is State.ANSWERED
            and isinstance(each.told, Figures)
            and not any(group.suppressed for group in each.told.groups)
            for each in self.peers
        )


async def ask_fleet(clients: Sequence[HttpPeer], asked: Asked) -> FleetAnswer:
    """Ask all at the same time, each within its deadline; what one of them does concerns no other."""
    body = msgspec.msgpack.encode(asked)
    seats = asyncio.Semaphore(AT_ONCE_MAX)

    async def one(client: HttpPeer) -> PeerAnswer:
        async with seats:
            return await _ask(client, asked, body)

    return over_all(asked, tuple(await asyncio.gather(*(one(client) for client in clients))))


def over_all(asked: Asked, answers: tuple[PeerAnswer, ...]) -> FleetAnswer:
    """The figure over all peers, group by group, in the order in which they first appear."""
    told = [each.told for each in answers if isinstance(each.told, Figures)]
    units = {figures.unit for figures in told}
    is_one = len(units) == 1
    names = dict.fromkeys(group.group for figures in told for group in figures.groups)
    parts = {name: list[Part]() for name in names}
    for figures in told:
        for group in figures.groups:
            if not group.suppressed:
                parts[group.group].append(Part(figures, group))
    groups = (
        FleetGroup(name, len(shown), combine(asked.op, shown) if is_one else None)
        for name, shown in parts.items()
    )
    return FleetAnswer(next(iter(units)) if is_one else None, tuple(groups), answers)


async def _ask(client: HttpPeer, asked: Asked, body: bytes) -> PeerAnswer:
    name = client.peer.name
    try:
        answered = await client.call(PRIVATE_KIND, Purpose.PRIVATE, body)
        told = read_figures(answered.body, name)
        if isinstance(told, Figures):
            _check(told, asked, name)
    except TwinmeshError as error:
        return PeerAnswer(name, _state(error), _code(error))
    if isinstance(told, Spent):
        return PeerAnswer(name, State.DENIED, SPENT, told)
    is_shown = any(not group.suppressed for group in told.groups)
    return PeerAnswer(name, State.ANSWERED if is_shown else State.SUPPRESSED, told=told)


def _state(error: TwinmeshError) -> State:
    if error.code == "PEER_TIMEOUT":
        return State.TIMED_OUT
    return State.DENIED if error.code == "PEER_REFUSED" else State.FAILED


def _code(error: TwinmeshError) -> str:
    """Of a refusal the peer's own code, which `HttpPeer` puts at the end of its message."""
    return error.message.rpartition(" ")[2] if error.code == "PEER_REFUSED" else error.code


def _check(told: Figures, asked: Asked, who: str) -> None:
    """What a peer says must be an answer to what was asked. StoreError PEER_GARBAGE."""
    groups = [group for group in told.groups if not group.suppressed]
    numbers = [number for group in groups for number in (group.value, group.error95) if number is not None]
    bounds = [number for number in (told.lower, told.upper) if number is not None]
    scales = [noise.scale for noise in told.noise]
    is_finite = all(isfinite(number) for number in (*numbers, *bounds, *scales))
    is_whole = all(group.value is not None and group.count is not None for group in groups)
    named = [group.group for group in told.groups]
    fits = told.op == asked.op and (not asked.groups or tuple(named) == asked.groups)
    if not (is_finite and is_whole and fits and min(scales, default=0.0) >= 0.0) or len(set(named)) < len(
        named
    ):
        raise StoreError(f"{who} does not answer what was asked", code="PEER_GARBAGE")
