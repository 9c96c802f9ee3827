"""Impacts: the document of INTERFACE section 4, its numbers by hand, why, uncertainty, equal bytes always."""

from __future__ import annotations

import json
import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ontology.errors import TwinmeshError
from simulation.impact import nearest_rank, simulate
from simulation.scenario import from_failure, parse_scenario

FAIL = {"type": "FAIL", "twin": "CH-1"}
PINNED = (
    {
        "AHU-3": (0.9633333333333334, 318.81),
        "CH-1": (0.9633333333333334, 95.852),
        "VAV-12": (0.9666666666666667, 30.797),
    },
    {"twinsHit": 3, "expectedCost": 445.458, "costP05": 134.136, "costP95": 868.295},
)


@pytest.fixture
def chain(site: Any) -> Any:
    """A chiller, an AHU with half an hour of thermal mass, a VAV; plus a second chiller."""
    site.put("CH-1", kind="brick:Chiller", repairCost=250)
    site.put("CH-2", kind="brick:Chiller")
    site.put("AHU-3", kind="brick:AHU", valuePerHour=100)
    site.put("VAV-12", kind="brick:VAV", valuePerHour=1.5)
    site.link("CH-1", "brick:feeds", "AHU-3", bufferHours=0.5)
    site.link("CH-2", "brick:feeds", "AHU-3")
    site.link("AHU-3", "brick:feeds", "VAV-12")
    return site


def test_the_document_by_hand(chain: Any) -> None:
    """Half the need is lost, so half an hour of buffer lasts one; of 4 h the AHU loses 3 at one half."""
    found = simulate(chain.snapshot(), from_failure("CH-1", 4))
    hit = {"uncertain": False, "site": "campus", "name": None, "probability": 1.0}

    def hours(first: float) -> dict[str, float]:
        return dict.fromkeys(("mean", "p05", "p50", "p95"), first)

    assert json.loads(found.to_json_bytes()) == {
        "scenario": "CH-1 fails",
        "seed": 0,
        "runs": 1000,
        "runsComputed": 1,
        "horizonHours": 72,
        "engine": "levels",
        "revisions": {"campus": str(chain.snapshot().revision)},
        "ontology": chain.schema.version,
        "completeness": "FULL",
        "summary": {"twinsHit": 3, "expectedCost": 402.25, "costP05": 402.25, "costP95": 402.25},
        "impacts": [
            hit
            | {
                "id": chain.id("CH-1"),
                "localId": "CH-1",
                "kind": "brick:Chiller",
                "firstHitHours": hours(0.0),
            }
            | {"expectedDownHours": 4.0, "minLevel": 0.0, "expectedCost": 250.0, "why": ["CH-1"]},
            hit
            | {"id": chain.id("AHU-3"), "localId": "AHU-3", "kind": "brick:AHU", "firstHitHours": hours(1.0)}
            | {"expectedDownHours": 1.5, "minLevel": 0.5, "expectedCost": 150.0, "why": ["CH-1", "AHU-3"]},
            hit
            | {
                "id": chain.id("VAV-12"),
                "localId": "VAV-12",
                "kind": "brick:VAV",
                "firstHitHours": hours(1.0),
            }
            | {
                "expectedDownHours": 1.5,
                "minLevel": 0.5,
                "expectedCost": 2.25,
                "why": ["CH-1", "AHU-3", "VAV-12"],
            },
        ],
    }


def test_order_is_by_cost_then_probability_then_id(site: Any) -> None:
    for name, chance, value in (("a", 0.2, 1), ("b", 0.9, 0), ("c", 0.5, 0), ("d", 1, 0), ("e", 1, 0)):
        site.put(name, failureProbability=chance, valuePerHour=value)
    impacts = simulate(site.snapshot(), parse_scenario({"seed": 1})).impacts
    assert [impact.local_id for impact in impacts] == ["a", "d", "e", "b", "c"]


def test_first_hits_are_given_a_hit_and_quantiles_are_nearest_rank(site: Any) -> None:
    site.put("a", timeToFailure="uniform(0,10)")
    found = site.simulate({"runs": 2000, "seed": 4, "horizonHours": 5})["impacts"]["a"]
    assert found["probability"] == pytest.approx(0.5, abs=0.05)
    hours = found["firstHitHours"]
    assert hours["mean"] == pytest.approx(2.5, abs=0.2)
    assert (hours["p05"], hours["p50"], hours["p95"]) == pytest.approx((0.25, 2.5, 4.75), abs=0.3)
    assert found["expectedDownHours"] == pytest.approx(1.25, abs=0.15)


def test_nearest_rank_is_the_definition() -> None:
    values = np.array([15, 20, 35, 40, 50], np.int64)  # the textbook example
    assert [nearest_rank(values, percent) for percent in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert nearest_rank(np.arange(1, 101), 95) == 95
    assert nearest_rank(np.array([7]), 5) == 7


# Reproducible


@pytest.fixture
def chancy(chain: Any) -> Any:
    chain.put(
        "CH-1",
        kind="brick:Chiller",
        timeToFailure="weibull(2,40)",
        timeToRepair="lognormal(8,4)",
        repairCost=99.5,
    )
    chain.put(
        "VAV-12", kind="brick:VAV", valuePerHour=3, restartHours="exponential(1)", failureProbability=0.1
    )
    return chain


def test_equal_bytes_on_any_number_of_threads(chancy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.cascade.montecarlo.block_runs", lambda _twins: 64)
    scenario = parse_scenario({"runs": 1000, "seed": 5})
    alone = simulate(chancy.snapshot(), scenario, threads=1).to_json_bytes()
    assert all(simulate(chancy.snapshot(), scenario, threads=n).to_json_bytes() == alone for n in (2, 5))


def test_equal_bytes_for_any_size_of_blocks(chancy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = parse_scenario({"runs": 300, "seed": 5})
    usual = simulate(chancy.snapshot(), scenario).to_json_bytes()
    for size in (1, 7, 300):
        monkeypatch.setattr("simulation.cascade.montecarlo.block_runs", lambda _twins, size=size: size)
        assert simulate(chancy.snapshot(), scenario).to_json_bytes() == usual


def test_equal_numbers_on_every_machine(chancy: Any) -> None:
    """Pinned: what a seed gives is a promise. Only a change of the rules may change it, and must say so."""
    found = chancy.simulate({"runs": 300, "seed": 5})
    told = {
        name: (impact["probability"], impact["expectedCost"]) for name, impact in found["impacts"].items()
    }
    assert (told, found["summary"]) == PINNED


def test_the_order_of_events_does_not_matter(chancy: Any) -> None:
    events = [
        FAIL,
        {"type": "SURGE", "twin": "AHU-3", "factor": 1.5, "atHours": 9},
        {"type": "CLOSE", "twin": "VAV-12"},
    ]
    told = [
        simulate(chancy.snapshot(), parse_scenario({"events": some, "runs": 200})).to_json_bytes()
        for some in (events, events[::-1])
    ]
    assert told[0] == told[1]


def test_the_seed_matters(chancy: Any) -> None:
    told = [chancy.simulate({"seed": seed, "runs": 200})["summary"]["expectedCost"] for seed in range(3)]
    assert len(set(told)) == 3


def test_nothing_random_is_computed_once(chain: Any) -> None:
    found = chain.simulate({"events": [FAIL], "runs": 500})
    assert (found["runs"], found["runsComputed"]) == (500, 1)


def test_an_empty_world_and_a_calm_one(site: Any) -> None:
    assert site.simulate({})["impacts"] == {}
    site.put("a", "b")
    site.link("a", "feeds", "b")
    found = site.simulate({"runs": 10})
    assert found["impacts"] == {}
    assert found["summary"] == {"twinsHit": 0, "expectedCost": 0.0, "costP05": 0.0, "costP95": 0.0}


# Progress and cancel


def test_progress_rises_to_one(chancy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.cascade.montecarlo.block_runs", lambda _twins: 100)
    shares: list[float] = []
    chancy.simulate({"runs": 500}, progress=shares.append, against_baseline=True)
    assert shares == pytest.approx([0.1 * i for i in range(1, 11)])


def test_cancel_ends_soon(chancy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.cascade.montecarlo.block_runs", lambda _twins: 10)
    cancel = threading.Event()
    shares: list[float] = []

    def progress(share: float) -> None:
        shares.append(share)
        cancel.set()

    with pytest.raises(TwinmeshError) as caught:
        chancy.simulate({"runs": 10_000}, progress=progress, cancel=cancel)
    assert caught.value.code == "CANCELLED"
    assert len(shares) == 1


# Why


def test_why_is_the_arrival_that_made_the_difference(site: Any) -> None:
    """Two of three suppliers are needed: the second failure brings the load down, whatever came first."""
    site.put("a", "b", "c", "load", "shop")
    for name in "abc":
        site.link(name, "supplies", "load", need=2)
    site.link("load", "supplies", "shop", delayHours=1)
    events = [{"type": "FAIL", "twin": name, "atHours": at} for name, at in (("b", 1), ("c", 5), ("a", 9))]
    impacts = site.simulate({"events": events})["impacts"]
    assert impacts["load"]["firstHitHours"]["p50"] == 5.0
    assert impacts["load"]["why"] == ["c", "load"]
    assert impacts["shop"]["why"] == ["c", "load", "shop"]


def test_why_looks_past_a_buffer_to_what_began_to_drain_it(site: Any) -> None:
    site.put("early", "late", "load")
    site.link("early", "supplies", "load", bufferHours=4)
    site.link("late", "supplies", "load")
    events = [{"type": "FAIL", "twin": "early"}, {"type": "FAIL", "twin": "late", "atHours": 1}]
    impacts = site.simulate({"events": events})["impacts"]
    assert impacts["load"]["firstHitHours"]["p50"] == 4.5  # one hour at half, the other 3.5 h at full drain
    assert impacts["load"]["why"] == ["early", "load"]


def test_why_goes_round_a_ring_the_way_the_failure_came(site: Any) -> None:
    site.put("plant", "r0", "r1", "r2", "r3")
    site.link("plant", "feeds", "r0", need=1)
    for i in range(4):
        site.link(f"r{i}", "feeds", f"r{(i + 1) % 4}", need=1, direction="both")
    impacts = site.simulate({"events": [{"type": "FAIL", "twin": "plant", "atHours": 1}]})["impacts"]
    assert {name: impact["probability"] for name, impact in impacts.items()} == dict.fromkeys(impacts, 1.0)
    assert impacts["r0"]["why"] == ["plant", "r0"]
    assert impacts["r2"]["why"] == ["plant", "r0", "r1", "r2"]


def test_why_names_the_source_of_a_relation_that_was_removed_or_delayed(site: Any) -> None:
    site.put("a", "b", "c")
    site.link("a", "supplies", "b")
    site.link("b", "supplies", "c")
    removed = site.simulate({"events": [{"type": "REMOVE", "relation": ["a", "supplies", "b"]}]})["impacts"]
    assert removed["c"]["why"] == ["a", "b", "c"]
    late = {"type": "DELAY", "relation": ["a", "supplies", "b"], "hours": 2, "atHours": 1}
    delayed = site.simulate({"events": [late]})["impacts"]
    assert delayed["c"]["why"] == ["a", "b", "c"]
    assert (delayed["c"]["firstHitHours"]["p50"], delayed["c"]["expectedDownHours"]) == (1.0, 2.0)


def test_a_surge_is_its_own_cause(site: Any) -> None:
    site.put("a", "b")
    site.link("a", "supplies", "b")
    impacts = site.simulate({"events": [{"type": "SURGE", "twin": "b", "factor": 2, "forHours": 3}]})[
        "impacts"
    ]
    assert list(impacts) == ["b"]
    assert (impacts["b"]["why"], impacts["b"]["minLevel"], impacts["b"]["expectedDownHours"]) == (
        ["b"],
        0.5,
        1.5,
    )


def test_why_is_the_most_frequent_path(site: Any) -> None:
    site.put("rare", failureProbability=0.05)
    site.put("often", failureProbability=0.4)
    site.put("load")
    for name in ("rare", "often"):
        site.link(name, "feeds", "load", group=name)
    assert site.simulate({"runs": 400})["impacts"]["load"]["why"] == ["often", "load"]


def test_of_equally_frequent_paths_the_first_by_id_is_told(site: Any) -> None:
    site.put("x", "y", "load")
    for name in ("x", "y"):
        site.link(name, "feeds", "load")
    events = [{"type": "FAIL", "twin": name} for name in ("y", "x")]
    assert site.simulate({"events": events})["impacts"]["load"]["why"] == ["x", "load"]


def test_a_long_chain_is_told_in_one_piece(site: Any) -> None:
    names = [f"n{i:03}" for i in range(150)]
    site.put(*names)
    for one, other in pairwise(names):
        site.link(one, "feeds", other)
    impacts = site.simulate({"events": [{"type": "FAIL", "twin": names[0]}]})["impacts"]
    assert impacts[names[-1]]["why"] == names


# Uncertainty


def test_unknown_directions_give_a_high_probability_and_no_estimate(site: Any) -> None:
    site.put("pump", "tee", "room")
    site.link("pump", "feeds", "tee")
    site.link("tee", "tm:connectedTo", "room", direction="unknown")
    impacts = site.simulate({"events": [{"type": "FAIL", "twin": "pump"}]})["impacts"]
    assert impacts["tee"]["uncertain"] is False
    assert "probabilityHigh" not in impacts["tee"]
    room = impacts["room"]
    assert (room["probability"], room["probabilityHigh"], room["uncertain"]) == (0.0, 1.0, True)
    assert (room["expectedCost"], room["expectedDownHours"], room["minLevel"]) == (0.0, 0.0, 1.0)
    assert room["why"] == ["pump", "tee", "room"]


def test_unknown_feeds_raise_the_probability_of_a_twin_that_is_hit_anyway(site: Any) -> None:
    site.put("pump", failureProbability=0.5)
    site.put("room", failureProbability=0.1)
    site.link("pump", "feeds", "room", direction="unknown")
    room = site.simulate({"runs": 2000})["impacts"]["room"]
    assert room["probability"] == pytest.approx(0.1, abs=0.03)
    assert room["probabilityHigh"] == pytest.approx(1 - 0.5 * 0.9, abs=0.05)
    assert room["uncertain"] is True


def test_unknown_directions_that_nothing_reaches_cost_nothing(site: Any) -> None:
    site.put("pump", "room", "x", "y")
    site.link("pump", "feeds", "room")
    site.link("x", "tm:connectedTo", "y", direction="unknown")
    found = site.simulate({"events": [{"type": "FAIL", "twin": "pump"}]})
    assert set(found["impacts"]) == {"pump", "room"}
    assert not any(impact["uncertain"] for impact in found["impacts"].values())


# Against the baseline


def test_differences_under_the_same_draws(chancy: Any) -> None:
    document = {"runs": 300, "seed": 2, "events": [FAIL]}
    found = chancy.simulate(document, against_baseline=True)
    alone, baseline = chancy.simulate(document), chancy.simulate({"runs": 300, "seed": 2})
    for name, impact in found["impacts"].items():
        mine, before = alone["impacts"][name], baseline["impacts"][name]
        assert impact["deltaProbability"] == pytest.approx(
            mine["probability"] - before["probability"], abs=1e-12
        )
        assert impact["deltaExpectedCost"] == pytest.approx(
            mine["expectedCost"] - before["expectedCost"], abs=1e-9
        )
        assert impact["deltaExpectedDownHours"] == pytest.approx(
            mine["expectedDownHours"] - before["expectedDownHours"], abs=1e-9
        )
    spread = found["summary"]["expectedCost"] - baseline["summary"]["expectedCost"]
    assert found["summary"]["deltaExpectedCost"] == pytest.approx(spread, abs=1e-9)
    assert found["summary"]["deltaTwinsHit"] == 0


def test_what_a_measure_spares_is_told_too(site: Any) -> None:
    site.put("a", failureProbability=1, valuePerHour=2)
    event = {"type": "SET", "twin": "a", "attribute": "failureProbability", "value": 0}
    found = site.simulate({"events": [event]}, against_baseline=True)
    assert found["impacts"]["a"]["probability"] == 0.0
    assert found["impacts"]["a"]["deltaProbability"] == -1.0
    assert found["summary"]["deltaExpectedCost"] == -144.0


# Events, end to end


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "FAIL", "twin": "a", "atHours": 1, "repairHours": 2}, (1.0, 2.0, 0.0)),
        ({"type": "FAIL", "twin": "a", "atHours": 1}, (1.0, 9.0, 0.0)),
        ({"type": "DEGRADE", "twin": "a", "level": 0.75, "forHours": 4}, (0.0, 1.0, 0.75)),
        ({"type": "CLOSE", "twin": "a", "atHours": 8}, (8.0, 2.0, 0.0)),
        ({"type": "SET", "twin": "a", "attribute": "health", "value": 0.5, "atHours": 6}, (6.0, 2.0, 0.5)),
        ({"type": "SET", "twin": "b", "attribute": "demand", "value": 4, "atHours": 6}, (6.0, 3.0, 0.25)),
        ({"type": "REMOVE", "twin": "a"}, (0.0, 10.0, 0.0)),
    ],
)
def test_each_event_at_its_dependent(
    site: Any, event: dict[str, Any], expected: tuple[float, float, float]
) -> None:
    site.put("a", "b")
    site.link("a", "supplies", "b")
    impact = site.simulate({"events": [event], "horizonHours": 10})["impacts"]["b"]
    assert (impact["firstHitHours"]["p50"], impact["expectedDownHours"], impact["minLevel"]) == expected


def test_a_delay_shifts_what_comes_after_it(site: Any) -> None:
    """Two hours under way, then three more: nothing arrives for three hours, the repair shows five late."""
    site.put("a", "b")
    site.link("a", "supplies", "b", delayHours=2)
    events = [
        {"type": "DELAY", "relation": ["a", "supplies", "b"], "hours": 3, "atHours": 1},
        {"type": "FAIL", "twin": "a", "atHours": 5, "repairHours": 1},
    ]
    impact = site.simulate({"events": events, "horizonHours": 20})["impacts"]["b"]
    assert impact["firstHitHours"]["p50"] == 1.0
    assert impact["expectedDownHours"] == 3 + 4  # 1 to 4 h; then from 5 + 2 until 6 + 5


def test_a_closed_port_needs_no_repair_and_a_failed_one_does(site: Any) -> None:
    site.put("port", repairCost=70, valuePerHour=1)
    closed = site.simulate({"events": [{"type": "CLOSE", "twin": "port", "forHours": 2}]})
    failed = site.simulate({"events": [{"type": "FAIL", "twin": "port", "repairHours": 2}]})
    assert (closed["summary"]["expectedCost"], failed["summary"]["expectedCost"]) == (2.0, 72.0)


def test_damage_costs_a_repair_and_lasts_until_supply_is_back_and_repaired(site: Any) -> None:
    site.put("cooler")
    site.put("vaccine", repairCost=500, timeToRepair=3)
    site.link("cooler", "supplies", "vaccine", toleranceHours=2, damageProbability=1)
    event = {"type": "FAIL", "twin": "cooler", "atHours": 1, "repairHours": 4}
    found = site.simulate({"events": [event], "horizonHours": 24})
    assert found["impacts"]["vaccine"]["expectedDownHours"] == 7.0  # 1 to 8 h
    assert found["impacts"]["vaccine"]["expectedCost"] == 500.0


def test_added_supplier_takes_over(site: Any) -> None:
    site.put("a", "load")
    site.link("a", "feeds", "load", need=1)
    add = [
        {"type": "ADD", "twin": {"id": "b", "kind": "tm:Asset"}},
        {"type": "ADD", "relation": ["b", "feeds", "load"]},
    ]
    fail = {"type": "FAIL", "twin": "a"}
    assert "load" in site.simulate({"events": [fail]})["impacts"]
    assert "load" not in site.simulate({"events": [fail, *add]})["impacts"]
