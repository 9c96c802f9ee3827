"""One private question to peers of which some hang, refuse, lie or have nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from federation.http_peer import Answered
from federation.privacy.asked import Asked
from federation.privacy.door import Account, Figures, Spent, ToldGroup, ToldNoise
from federation.privacy.fleet import FleetAnswer, ask_fleet
from ontology.errors import AccessError, LimitError, StoreError

ASKED = Asked(kind="brick:Pump", op="SUM", epsilon=1.0, attribute="ratedPower")
NOISE = (ToldNoise("count", 4.0, "rows", 12.0), ToldNoise("sum", 8.0, "value", 24.0))
ACCOUNT = Account(1_000_000, 0, 1_000_000, "2027-02-01")
GROUP = ToldGroup("all", suppressed=False, value=40.0, error95=25.0, count=30)
HONEST = Figures("SUM", "kW", 0.0, 10.0, 21, NOISE, (GROUP,), ACCOUNT)


@dataclass
class Fake:
    """A peer as the fleet sees it."""

    name: str
    answer: Callable[[], bytes]

    @property
    def peer(self) -> Any:
        return SimpleNamespace(name=self.name)

    async def call(self, kind: str, purpose: str, body: bytes) -> Answered:
        assert (kind, purpose) == ("private", "private")
        assert msgspec.msgpack.decode(body, type=Asked) == ASKED
        return Answered(self.answer(), 0.0, 0.0)


def says(value: Any) -> Callable[[], bytes]:
    return lambda: msgspec.msgpack.encode(value)


def raises(error: Exception) -> Callable[[], bytes]:
    def answer() -> bytes:
        raise error

    return answer


def ask(**peers: Callable[[], bytes]) -> FleetAnswer:
    clients = [Fake(name, answer) for name, answer in peers.items()]
    return asyncio.run(ask_fleet(clients, ASKED))  # pyright: ignore[reportArgumentType]


def other(**fields: Any) -> Callable[[], bytes]:
    return says(msgspec.structs.replace(HONEST, **fields))


def test_each_peer_by_itself() -> None:
    told = ask(
        good=says(HONEST),
        more=says(HONEST),
        slow=raises(LimitError("slow", code="PEER_TIMEOUT")),
        away=raises(StoreError("away", code="PEER_UNREACHABLE")),
        shut=raises(AccessError("shut refuses: CONTRACT_NONE", code="PEER_REFUSED")),
        poor=says(Spent(ACCOUNT)),
        small=other(groups=(ToldGroup("all", suppressed=True),)),
        junk=lambda: b"\xc1",
    )
    assert {each.peer: (each.state.value, each.code) for each in told.peers} == {
        "good": ("answered", None),
        "more": ("answered", None),
        "slow": ("timed out", "PEER_TIMEOUT"),
        "away": ("failed", "PEER_UNREACHABLE"),
        "shut": ("denied", "CONTRACT_NONE"),
        "poor": ("denied", "PRIVACY_BUDGET_SPENT"),
        "small": ("suppressed", None),
        "junk": ("failed", "PEER_GARBAGE"),
    }
    (group,) = told.groups
    assert (group.shown, told.unit, told.is_full) == (2, "kW", False)
    assert group.figure is not None
    assert group.figure.value == 80.0
    assert 25.0 < group.figure.error95 < 50.0, "more than that of one, less than that of both"


@pytest.mark.parametrize(
    "lie",
    [
        {"op": "COUNT"},
        {"groups": (GROUP, GROUP)},
        {"groups": (msgspec.structs.replace(GROUP, value=float("nan")),)},
        {"groups": (msgspec.structs.replace(GROUP, value=None),)},
        {"groups": (msgspec.structs.replace(GROUP, count=None),)},
        {"groups": tuple(msgspec.structs.replace(GROUP, group=str(n)) for n in range(1_001))},
        {"noise": (ToldNoise("sum", -1.0, "value", 1.0),)},
        {"noise": (ToldNoise("sum", float("inf"), "value", 1.0),)},
        {"lower": float("-inf")},
    ],
)
def test_what_cannot_be_an_answer_is_none(lie: dict[str, Any]) -> None:
    told = ask(good=says(HONEST), liar=other(**lie))
    assert [(each.state.value, each.code) for each in told.peers] == [
        ("answered", None),
        ("failed", "PEER_GARBAGE"),
    ]
    assert told.groups[0].shown == 1


def test_figures_in_different_units_are_not_added() -> None:
    told = ask(one=says(HONEST), two=other(unit="W"))
    assert told.unit is None
    assert told.groups[0].figure is None
