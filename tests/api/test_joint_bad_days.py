"""Partners of a cascade that refuse, hang, talk garbage or forget: bounds that hold the truth, and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.config import Federation, Settings
from federation.joint import agreeing
from federation.joint.accounts import DAY_NS, spend_scenario
from federation.joint.cascading import Report
from federation.joint.host import CascadeHost, HostLimits
from federation.joint.letters import Act as What
from federation.joint.letters import Letter, Step, Touched, pack
from federation.joint.wire import Act, Begin, Begun, End, Fetch, Planned, Row, Rows, Take, Wrote
from federation.node import Node
from graph.snapshot import Snapshot
from graph.values import Change
from ontology.errors import InputError, NotFoundError, Place, TwinmeshError
from ontology.schema import Schema
from ontology.units import Units
from simulation.warm import warm
from tests.api.conftest import link
from tests.api.joint_pair import agree, cascade, contract
from tests.api.peer_pair import SETTINGS, Site, befriend, refused, two_sites

HASTY = Settings(federation=Federation(cascade_message_s=4.0))
LINE = "https://twinmesh.invalid/plant/LINE-1"
FAILS = {"events": [{"type": "FAIL", "twin": "PRESS-1", "atHours": 9, "repairHours": 3}], "runs": 4}
Behave = Callable[[int], tuple[bytes, None]]


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    """Compiled before anybody waits for an answer."""
    warm()


@pytest.fixture
def pair(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units) as sites:
        yield befriend(sites)


@pytest.fixture
def hasty(tmp_path: Path, ontology: Schema, units: Units) -> Generator[tuple[Site, Site]]:
    with two_sites(tmp_path, ontology, units, HASTY) as sites:
        yield befriend(sites)


def agree_both(pair: tuple[Site, Site], folder: Path, **terms: Any) -> None:
    campus, plant = pair
    agree(campus, folder, contract("campus", "plant", **terms))
    agree(plant, folder, contract("plant", "campus"))


def misbehaves(monkeypatch: pytest.MonkeyPatch, site: Site, after: int, behave: Behave) -> list[int]:
    """The site's end of cascades behaves after so many good answers; how often it was asked."""
    real, asked = CascadeHost.answer, list[int]()

    def answer(host: CascadeHost, node: Node, *rest: Any) -> Any:
        if node.key.fingerprint != site.key:
            return real(host, node, *rest)
        asked.append(1)
        return behave(len(asked)) if len(asked) > after else real(host, node, *rest)

    monkeypatch.setattr(CascadeHost, "answer", answer)
    return asked


def bounds_of(found: dict[str, Any]) -> tuple[float, float]:
    """Least and greatest probability of the packing line, which needs air from campus."""
    rows = {row["id"]: row for row in found["impacts"]["nodes"]}
    row = rows.get(LINE, {"probability": 0.0, "probabilityHigh": None})
    return row["probability"], row["probabilityHigh"] or row["probability"]


def garbage(_: int) -> tuple[bytes, None]:
    return b"\xc1 this is nothing", None


def forgets(_: int) -> tuple[bytes, None]:
    raise NotFoundError("no such cascade is under way", code="JOINT_SESSION_UNKNOWN")


def strange_letters(_: int) -> tuple[bytes, None]:
    """A letter about a twin that was never agreed upon."""
    letter = pack(Letter(2, Touched([b"x" * 16])))
    receiver = STRANGE["receiver"]
    return msgspec.msgpack.encode(Wrote({receiver: letter}, Report())), None


STRANGE: dict[str, str] = {}


@pytest.mark.parametrize(
    ("after", "behave", "code"),
    [
        (0, garbage, "JOINT_MESSAGE_INVALID"),
        (3, garbage, "JOINT_MESSAGE_INVALID"),
        (5, forgets, "JOINT_SESSION_UNKNOWN"),
        (3, strange_letters, "JOINT_MESSAGE_INVALID"),
    ],
)
def test_a_bad_partner_is_left_out(
    pair: tuple[Site, Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    behave: Behave,
    code: str,
) -> None:
    campus, plant = pair
    agree_both(pair, tmp_path)
    truth = cascade(plant, FAILS)
    assert (truth["completeness"], bounds_of(truth)) == ("FULL", (1.0, 1.0))
    calm = cascade(plant, {"events": [], "runs": 4})
    assert (calm["completeness"], bounds_of(calm)) == ("FULL", (0.0, 0.0))
    STRANGE["receiver"] = plant.key
    asked = misbehaves(monkeypatch, campus, after, behave)
    found = cascade(plant, {"events": [], "runs": 4, "horizonHours": 70})  # a plan is made, none recalled
    assert len(asked) > after
    assert found["status"] == "DONE", found
    assert (found["completeness"], bounds_of(found)) == ("PARTIAL", (0.0, 1.0))
    assert found["sources"][-1] == {"site": "campus", "status": "TIMED_OUT", "code": code}


def test_a_partner_that_hangs_is_not_waited_for(
    hasty: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campus, plant = hasty
    agree_both(hasty, tmp_path)
    over = threading.Event()

    def hangs(_: int) -> tuple[bytes, None]:
        over.wait(30)
        return b"", None

    misbehaves(monkeypatch, campus, 4, hangs)
    try:
        found = cascade(plant, FAILS)
    finally:
        over.set()
    assert found["completeness"] == "PARTIAL"
    assert bounds_of(found) == (1.0, 1.0), "the press alone takes it down"
    assert found["sources"][-1] == {"site": "campus", "status": "TIMED_OUT", "code": "PEER_TIMEOUT"}


def test_without_a_contract_there_are_bounds(pair: tuple[Site, Site]) -> None:
    _, plant = pair
    found = cascade(plant, {"events": [], "runs": 4})
    assert (found["completeness"], bounds_of(found)) == ("PARTIAL", (0.0, 1.0))
    assert found["sources"][-1] == {"site": "campus", "status": "DENIED", "code": "CONTRACT_NONE"}


def test_a_twin_that_is_not_shown_is_dark(pair: tuple[Site, Site], tmp_path: Path) -> None:
    _, plant = pair
    agree_both(pair, tmp_path, kinds=["brick:Chiller"])
    found = cascade(plant, {"events": [], "runs": 4})
    assert (found["completeness"], bounds_of(found)) == ("PARTIAL", (0.0, 1.0))
    assert found["sources"][-1]["status"] == "ANSWERED"


def test_events_at_a_partner_are_those_agreed(pair: tuple[Site, Site], tmp_path: Path) -> None:
    _, plant = pair
    agree_both(pair, tmp_path, kinds=["brick:AHU"], events=["FAIL"])

    def told(kind: str, name: str) -> tuple[str, str | None]:
        event = {"type": kind, "twin": f"campus:{name}", **({"level": 0.5} if kind == "DEGRADE" else {})}
        found = cascade(plant, {"events": [event], "runs": 1})
        return found["status"], found["errorCode"]

    assert told("FAIL", "AHU-1") == ("DONE", None)
    denied = ("FAILED", "JOINT_EVENT_DENIED")
    assert told("DEGRADE", "AHU-1") == denied, "a type that is not named"
    assert told("FAIL", "CH-1") == denied, "a kind that is not shown"
    assert told("FAIL", "NOTHING") == denied, "and what is not there looks the same"


def test_scenarios_of_a_day_are_counted_over_restarts(pair: tuple[Site, Site], tmp_path: Path) -> None:
    campus, plant = pair
    agree_both(pair, tmp_path, per_day=2)
    told = [cascade(plant, {**FAILS, "seed": seed})["sources"][-1] for seed in range(3)]
    assert [(each["status"], each["code"]) for each in told] == [
        ("ANSWERED", None),
        ("ANSWERED", None),
        ("DENIED", "SCENARIOS_SPENT"),
    ]
    with Node.open(campus.folder, SETTINGS) as again:
        now_ns = time.time_ns()
        error = refused(lambda: spend_scenario(again.store, plant.key, 2, now_ns))
        assert error.code == "SCENARIOS_SPENT"
        assert (
            refused(lambda: spend_scenario(again.store, plant.key, 2, now_ns - 3 * DAY_NS)).code == error.code
        )
        spend_scenario(again.store, plant.key, 2, now_ns + DAY_NS)


def test_the_ledger_has_every_boundary_twin(pair: tuple[Site, Site], tmp_path: Path) -> None:
    campus, plant = pair
    agree_both(pair, tmp_path)
    cascade(plant, FAILS)
    entries = list(campus.node.ledger.entries(partner=plant.key))
    assert [entry.twins for entry in entries if entry.attributes] == [
        ("https://twinmesh.invalid/campus/AHU-1",)
    ]
    assert [entry.attributes for entry in entries if entry.twins] == [("service level over time",)]


def lies(numbers: int) -> tuple[bytes, None]:
    """Rows about a twin of who asks."""
    row = Row(LINE, "x", None, "tm:Twin", "plant", 1.0, (0.0, 0.0, 0.0, 0.0), 1.0, 0.0, 5.0, [])
    return msgspec.msgpack.encode(Rows([row])), None


def test_a_partner_tells_of_its_own_twins_only(
    pair: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campus, plant = pair
    agree_both(pair, tmp_path)
    real = CascadeHost.answer

    def answer(host: CascadeHost, node: Node, partner: str, grant: Any, body: bytes, now_ns: int) -> Any:
        is_fetch = isinstance(msgspec.msgpack.decode(body, type=Begin | Act | Take | Fetch | End), Fetch)
        return (
            lies(0)
            if is_fetch and node.key.fingerprint == campus.key
            else real(host, node, partner, grant, body, now_ns)
        )

    monkeypatch.setattr(CascadeHost, "answer", answer)
    found = cascade(plant, {"events": [], "runs": 4})
    assert (found["completeness"], bounds_of(found)) == ("PARTIAL", (0.0, 1.0))
    assert found["sources"][-1]["code"] == "JOINT_MESSAGE_INVALID"


def test_what_is_wrong_with_a_model_stays_there(
    pair: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error at campus that names twins: the plant learns that something failed."""
    campus, plant = pair
    agree_both(pair, tmp_path)
    real = agreeing.draft_case

    def draft(snapshot: Snapshot, *rest: Any, **named: Any) -> Any:
        if snapshot.sites == ("campus",):
            raise InputError("rows of VAV-1 disagree", code="GROUP_DISAGREES", place=Place(item="VAV-1"))
        return real(snapshot, *rest, **named)

    monkeypatch.setattr(agreeing, "draft_case", draft)
    found = cascade(plant, {"events": [], "runs": 4})
    assert (found["completeness"], bounds_of(found)) == ("PARTIAL", (0.0, 1.0))
    assert found["sources"][-1]["code"] == "JOINT_PART_FAILED"
    host = CascadeHost(campus.running.mesh.snapshot)
    grant = campus.node.contracts.grant(plant.key)

    def ask(message: Any) -> bytes:
        return host.answer(campus.node, plant.key, grant, msgspec.msgpack.encode(message), time.time_ns())[0]

    session = msgspec.msgpack.decode(ask(begin(pair)), type=Begun).session
    ask(Act(session, Step(1, What.AGREE)))
    error = refused(lambda: ask(Act(session, Step(2, What.TOUCH))))
    assert (error.code, error.place, error.hint) == ("JOINT_PART_FAILED", Place(), None)
    assert "VAV" not in error.message


# The asked end by itself


def begin(pair: tuple[Site, Site], **changed: Any) -> Begin:
    campus, plant = pair
    given: dict[str, Any] = {
        "cascade": b"c" * 16, "horizon_us": 3_600_000_000, "cell_us": 900_000_000, "levels": 64, "seed": 0,
        "runs": 4, "start_us": 0, "ontology": "", "lit": [campus.key, plant.key],
    }  # fmt: skip
    return Begin(**{**given, **changed})


def test_sessions_are_bounded_and_belong_to_who_opened_them(pair: tuple[Site, Site], tmp_path: Path) -> None:
    campus, plant = pair
    agree_both(pair, tmp_path)
    now_s = [0.0]
    limits = HostLimits(sessions_max=3, per_partner_max=2, life_s=100.0, idle_s=10.0, runs_max=10)
    host = CascadeHost(campus.running.mesh.snapshot, limits, lambda: now_s[0])
    grant = campus.node.contracts.grant(plant.key)

    def ask(message: Any, partner: str = plant.key) -> bytes:
        return host.answer(campus.node, partner, grant, msgspec.msgpack.encode(message), time.time_ns())[0]

    def code(message: Any, partner: str = plant.key) -> str:
        error = refused(lambda: ask(message, partner))
        assert isinstance(error, TwinmeshError)
        return error.code

    sessions = [msgspec.msgpack.decode(ask(begin(pair)), type=Begun).session for _ in range(2)]
    assert code(begin(pair)) == "JOINT_SESSIONS"
    assert code(End(sessions[0]), "z" * 43) == "JOINT_SESSION_UNKNOWN"
    assert code(Act(b"n" * 16, Step(1, What.AGREE))) == "JOINT_SESSION_UNKNOWN"
    ask(Act(sessions[0], Step(1, What.AGREE)))
    assert code(Act(sessions[0], Step(2, What.AGREE))) == "JOINT_ORDER"
    assert code(Act(sessions[0], Step(3, What.FALL, [0], is_new_block=True))) == "JOINT_ORDER"
    assert code(Take(sessions[0], [("q" * 43, b"x" * 40)])) == "JOINT_MESSAGE_INVALID"
    ask(End(sessions[1]))
    assert code(End(sessions[1])) == "JOINT_SESSION_UNKNOWN"
    now_s[0] = 11.0
    ask(begin(pair))
    assert code(End(sessions[0])) == "JOINT_SESSION_UNKNOWN", "it was left behind"
    assert code(begin(pair, runs=11)) == "LIMIT_EXCEEDED"
    assert code(begin(pair, events=[Planned(0, b"{")], event_count=1)) == "JOINT_MESSAGE_INVALID"
    assert code(begin(pair, events=[Planned(5, b"{}")], event_count=1)) == "JOINT_MESSAGE_INVALID"
    body = b"\x00garbage"
    error = refused(lambda: host.answer(campus.node, plant.key, grant, body, time.time_ns()))
    assert error.code == "JOINT_MESSAGE_INVALID"


def test_a_relationship_stated_for_a_partners_twin_is_told(pair: tuple[Site, Site], tmp_path: Path) -> None:
    """Campus says that its air handler supplies the press; the plant does not, so the press is not hit."""
    campus, plant = pair
    agree_both(pair, tmp_path)
    press = "https://twinmesh.invalid/plant/PRESS-1"
    said = link("campus", "AHU-1", "tm:supplies", press)
    campus.running.mesh.twin("campus").apply(Change(put_relationships=(said,)))
    for asking in (campus, plant):
        event = {"type": "FAIL", "twin": "campus:AHU-1"}
        found = cascade(asking, {"events": [event], "runs": 2})
        assert found["completeness"] == "PARTIAL"
        assert found["sources"][-1]["status"] == "PARTIAL"
        assert found["sources"][-1]["code"] == "RELATIONS_NOT_COUNTED"
        hit = {row["id"] for row in found["impacts"]["nodes"]}
        assert LINE in hit and press not in hit
