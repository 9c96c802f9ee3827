"""A plan is made once: the next cascade like it takes fewer messages and says the same, or makes it anew."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from federation.joint.cascading import Report
from federation.joint.host import CascadeHost
from federation.joint.kept import KeptPlans
from federation.joint.letters import Act as What
from federation.joint.letters import Letter, Levels, pack
from federation.joint.messages import Wave, Waved
from federation.joint.wire import ASKED, Act, Begin, Begun, Wrote
from federation.node import Node
from graph.values import Change, TwinRecord
from ontology.errors import NotFoundError
from ontology.schema import Schema
from ontology.units import Units
from simulation.warm import warm
from tests.api.joint_pair import agree, cascade, contract
from tests.api.peer_pair import Site, befriend, two_sites

LINE = "https://twinmesh.invalid/plant/LINE-1"
FAILS = {"events": [{"type": "FAIL", "twin": "PRESS-1", "atHours": 9, "repairHours": 3}], "runs": 4}
FIRST = [What.AGREE, What.TOUCH, What.REACH, What.RANK]
Spoil = Callable[[Any, bytes], bytes]


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compiled before anybody waits for an answer."""
    warm()


@pytest.fixture
def pair(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        campus, plant = befriend(sites)
        agree(campus, tmp_path, contract("campus", "plant"))
        agree(plant, tmp_path, contract("plant", "campus"))
        yield campus, plant


class Overheard:
    """What a site is asked in cascades, and what it answers; `spoil` may change that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
        self.asked: list[Any] = []
        self.spoil: Spoil = lambda _, answer: answer
        real = CascadeHost.answer

        def answer(host: CascadeHost, node: Node, partner: str, grant: Any, body: bytes, now_ns: int) -> Any:
            if node.key.fingerprint != site.key:
                return real(host, node, partner, grant, body, now_ns)
            self.asked.append(ASKED.decode(body))
            told, disclosure = real(host, node, partner, grant, body, now_ns)
            return self.spoil(self.asked[-1], told), disclosure

        monkeypatch.setattr(CascadeHost, "answer", answer)

    def acts(self) -> list[What]:
        """Acts before the first run since the last look."""
        found = [each.step.act for each in self.asked if isinstance(each, Act)]
        self.asked.clear()
        return [act for act in found if act is not What.FALL]


def same(found: dict[str, Any]) -> dict[str, Any]:
    assert found["completeness"] == "FULL", found
    return {key: value for key, value in found.items() if key != "id"}


def test_the_second_cascade_takes_fewer_messages_and_says_the_same(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    campus, plant = pair
    heard = Overheard(monkeypatch, campus)
    first = cascade(plant, FAILS)
    messages = len(heard.asked)
    assert heard.acts() == FIRST
    noted = ledger(campus)
    again = cascade(plant, FAILS)
    assert len(heard.asked) < messages
    assert heard.acts() == [What.RECALL]
    assert same(again) == same(first)
    told = ledger(campus)[len(noted) :]
    assert any(LEVELS in entry.attributes and entry.twins for entry in told), "each cascade is in the ledger"
    other_seed = {**FAILS, "seed": 5, "runs": 9}
    recalled = cascade(plant, other_seed)
    assert heard.acts() == [What.RECALL]
    monkeypatch.setattr(KeptPlans, "name_of", lambda *_: b"")
    assert same(cascade(plant, other_seed)) == same(recalled)
    assert heard.acts() == FIRST


LEVELS = "service level over time"


def ledger(site: Site) -> list[Any]:
    return list(site.node.ledger.entries())


def test_other_events_a_commit_and_a_new_contract_make_it_anew(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    campus, plant = pair
    heard = Overheard(monkeypatch, campus)

    def kept() -> bool:
        """Whether a plan was recalled; the one after it is."""
        cascade(plant, FAILS)
        first = heard.acts()
        cascade(plant, FAILS)
        assert heard.acts() == [What.RECALL]
        return first == [What.RECALL]

    assert not kept()
    assert kept()
    cascade(plant, {**FAILS, "events": []})
    assert heard.acts() == FIRST
    for site, name in ((campus, "campus"), (plant, "plant")):
        twin = TwinRecord(f"https://twinmesh.invalid/{name}/NEW-1", (campus_kind(site),))
        site.running.mesh.twin(name).apply(Change(put_twins=(twin,)))
        assert not kept(), f"a commit at {name}"
    agree(campus, tmp_path, contract("campus", "plant", per_day=49))
    assert not kept(), "a new version of campus's contract"
    agree(plant, tmp_path, contract("plant", "campus", per_day=49))
    assert not kept(), "a new version of plant's contract"


def campus_kind(site: Site) -> str:
    return site.running.mesh.schema.kind("tm:Asset").iri


def test_a_narrower_contract_holds_from_the_next_cascade_on(pair: tuple[Site, Site], tmp_path: Path) -> None:
    """A kept plan opens nothing that is closed meanwhile: what was shown becomes a bound."""
    campus, plant = pair
    assert cascade(plant, FAILS)["completeness"] == "FULL"
    assert cascade(plant, FAILS)["completeness"] == "FULL"
    agree(campus, tmp_path, contract("campus", "plant", kinds=["brick:VAV"]))
    assert cascade(plant, FAILS)["completeness"] == "PARTIAL"


def test_a_peer_that_lost_its_plans_makes_a_new_one(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    campus, plant = pair
    heard = Overheard(monkeypatch, campus)
    first = cascade(plant, FAILS)
    with monkeypatch.context() as patch:
        patch.setattr(KeptPlans, "find", lambda *_: None)  # as after a restart
        heard.acts()
        assert same(cascade(plant, FAILS)) == same(first)
        assert heard.acts() == FIRST
    assert same(cascade(plant, FAILS)) == same(first)
    assert heard.acts() == [What.RECALL]


def test_a_peer_that_only_says_that_it_has_the_plan(
    pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses when it comes to it: a new plan is made, exact."""
    campus, plant = pair
    heard = Overheard(monkeypatch, campus)
    first = cascade(plant, FAILS)
    heard.acts()

    def refuses(asked: Any, answer: bytes) -> bytes:
        if isinstance(asked, Act) and asked.step.act is What.RECALL:
            raise NotFoundError("no such plan is kept", code="JOINT_PLAN_UNKNOWN")
        return answer

    heard.spoil = refuses
    assert same(cascade(plant, FAILS)) == same(first)
    assert heard.acts() == [What.RECALL, *FIRST]


def test_a_liar_about_a_plan_gives_bounds(pair: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it has the plan, takes RECALL, and tells levels of twins by tokens of its own making."""
    campus, plant = pair
    heard = Overheard(monkeypatch, campus)
    assert cascade(plant, FAILS)["completeness"] == "FULL"

    def lies(asked: Any, answer: bytes) -> bytes:
        if isinstance(asked, Begin):
            told = msgspec.msgpack.decode(answer, type=Begun)
            return msgspec.msgpack.encode(msgspec.structs.replace(told, has_plan=True))
        return garbled(asked, answer, plant.key)

    heard.spoil = lies
    found = cascade(plant, FAILS)
    assert found["completeness"] == "PARTIAL"
    assert found["sources"][-1]["code"] == "JOINT_MESSAGE_INVALID"
    rows = {row["id"]: row for row in found["impacts"]["nodes"]}
    assert rows[LINE]["probability"] <= 1.0 <= (rows[LINE]["probabilityHigh"] or rows[LINE]["probability"])


def garbled(asked: Any, answer: bytes, reader: str) -> bytes:
    if not isinstance(asked, Act) or asked.step.act is not What.FALL:
        return answer
    letter = pack(Letter(asked.step.number, Levels({0: Waved({b"x" * 16: Wave([0], [0])})})))
    return msgspec.msgpack.encode(Wrote({reader: letter}, Report()))
