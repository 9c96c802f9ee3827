"""Snapshot and scenario to a case: need groups, directions, events, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graph.values import Value
from ontology.errors import InputError, LimitError, NotFoundError, TwinmeshError
from simulation.compile import Compiled, compile_case
from simulation.report import report_model
from simulation.scenario import parse_scenario
from simulation.world import FULL, HOUR_US, NEVER


def compiled(site: Any, *events: dict[str, Any], **options: Any) -> Compiled:
    return compile_case(site.snapshot(), parse_scenario({"events": list(events)}), **options)


def groups(site: Any) -> dict[tuple[str, str], list[str]]:
    """(twin, group) -> suppliers, all by local id, of the whole model."""
    report = report_model(site.snapshot())
    local = site.snapshot().local_id
    row = site.snapshot().row
    return {
        (local(row(group.twin)), group.group): [local(row(one)) for one in group.suppliers]
        for group in report.groups
    }


def refused(site: Any, *events: dict[str, Any]) -> TwinmeshError:
    with pytest.raises((InputError, NotFoundError, LimitError)) as caught:
        compiled(site, *events)
    return caught.value


def test_default_groups_are_one_per_relation_and_medium(site: Any) -> None:
    site.put("CH-1", "CH-2", kind="brick:Chiller")
    site.put("B-1", kind="brick:Boiler")
    site.put("AHU", kind="brick:AHU")
    site.put("pump", "grid", "shop")
    for source in ("CH-1", "CH-2", "B-1"):
        site.link(source, "brick:feeds", "AHU")
    site.link(
        "pump", "tm:feeds", "AHU", medium="chilledWater"
    )  # stated, and the same relation in two vocabularies
    site.link("grid", "tm:feeds", "AHU")
    site.link("shop", "tm:supplies", "AHU")
    site.link("AHU", "tm:dependsOn", "shop")
    assert groups(site) == {
        ("AHU", "tm:feeds chilledWater"): ["CH-1", "CH-2", "pump"],
        ("AHU", "tm:feeds hotWater"): ["B-1"],
        ("AHU", "tm:feeds"): ["grid"],
        ("AHU", "tm:supplies"): ["shop"],
        ("AHU", "tm:dependsOn"): ["shop"],
    }


def test_a_stated_group_joins_its_rows_whatever_their_relation(site: Any) -> None:
    site.put("a", "b", "c", "load")
    site.link("a", "tm:supplies", "load", "stock")
    site.link("load", "tm:dependsOn", "b", "stock", need=1)
    site.link("c", "tm:feeds", "load", "stock")  # founded: a carrier is no stock
    report = report_model(site.snapshot())
    told = {
        (group.group, group.founded): (group.need, group.stated, len(group.suppliers))
        for group in report.groups
    }
    assert told == {("stock", False): (1.0, True, 2), ("stock", True): (1.0, False, 1)}


def test_relations_without_dependence_carry_none(site: Any) -> None:
    site.put("a", "b")
    for relation in ("partOf", "connectedTo", "controls"):
        site.link("a", relation, "b")
    assert groups(site) == {}
    assert compiled(site, {"type": "FAIL", "twin": "a"}).ids == (site.id("a"),)


def test_service_flows_against_depends_on_and_both_ways_where_said(site: Any) -> None:
    site.put("a", "b", "c")
    site.link("a", "tm:dependsOn", "b")
    site.link("b", "tm:feeds", "c", direction="both")
    assert groups(site) == {("a", "tm:dependsOn"): ["b"], ("b", "tm:feeds"): ["c"], ("c", "tm:feeds"): ["b"]}


def test_group_attributes_are_stated_once_or_agree(site: Any) -> None:
    site.put("a", "b", "c", "load")
    site.link("a", "tm:supplies", "load", bufferHours=2, need=1.5, weight=0.5)
    site.link("b", "tm:supplies", "load", bufferHours=2.0)
    site.link("c", "tm:supplies", "load")
    world = compiled(site, {"type": "FAIL", "twin": "a"}).case.world
    assert (world.groups, world.edges) == (1, 3)
    assert world.group_buffer_us.tolist() == [2 * HOUR_US]
    assert world.group_need.tolist() == [FULL * 3 // 2]
    assert world.edge_weight.tolist() == [FULL // 2, FULL, FULL]


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ({"need": 1}, {"need": 2}, "need"),
        ({"bufferHours": 1}, {"bufferHours": "exponential(1)"}, "bufferHours"),
        ({"threshold": 0.5}, {"threshold": 0.25}, "threshold"),
    ],
)
def test_rows_of_a_group_that_disagree_are_refused(site: Any, one: Any, other: Any, name: str) -> None:
    site.put("a", "b", "load")
    site.link("a", "tm:supplies", "load", **one)
    added = {"source": "b", "relation": "tm:supplies", "target": "load", **other}
    error = refused(site, {"type": "ADD", "relation": added})
    assert error.code == "GROUP_DISAGREES"
    assert name in error.message
    assert str(error.place) == f"{site.id('load')} group 'tm:supplies'"


def test_hours_may_come_in_another_unit(site: Any) -> None:
    site.put("a", "load")
    site.put("slow", restartHours=Value(30, "min"), failureProbability=1)
    site.link("a", "tm:supplies", "load", bufferHours=Value(0.5, "d"))
    site.link("slow", "tm:supplies", "load")
    made = compiled(site)
    assert made.case.world.group_buffer_us.tolist() == [12 * HOUR_US]
    assert made.case.world.restart_us[made.ids.index(site.id("slow"))] == HOUR_US // 2


def test_only_what_can_be_hit_is_in_the_case(site: Any) -> None:
    site.put("a", "b", "c", "d", "elsewhere", "far")
    site.link("a", "feeds", "b")
    site.link("b", "feeds", "c")
    site.link("d", "feeds", "c")
    site.link("elsewhere", "feeds", "far")
    made = compiled(site, {"type": "FAIL", "twin": "b"})
    assert made.ids == tuple(map(site.id, "abcd"))  # a and d stay well, but are needed
    assert made.case.world.edges == 3
    assert compiled(site, whole=True).case.world.edges == 4


def test_a_need_that_cannot_be_met_is_found_without_any_event(site: Any) -> None:
    site.put("a", "load")
    site.link("a", "supplies", "load", need=2)
    assert compiled(site).ids == (site.id("a"), site.id("load"))


def test_part_of_the_graph_has_the_plan_of_the_whole(site: Any) -> None:
    """A ring fed at one room, with much upstream that the cascade does not reach."""
    site.put("grid", "plant", "r0", "r1", "r2", "r3")
    site.link("grid", "feeds", "plant")
    site.link("plant", "feeds", "r0")
    for i in range(4):
        site.link(f"r{i}", "feeds", f"r{(i + 1) % 4}", direction="both")
    whole, part = compiled(site, whole=True), compiled(site, {"type": "FAIL", "twin": "r1"})
    assert site.id("grid") not in part.ids
    for name in ("rank", "gridded", "unfounded"):
        everywhere = dict(zip(whole.ids, getattr(whole.case.plan, name).tolist(), strict=True))
        here = dict(zip(part.ids, getattr(part.case.plan, name).tolist(), strict=True))
        assert here == {one: everywhere[one] for one in part.ids}
    assert part.case.world.group_key.tolist() == [
        key
        for key, twin in zip(
            whole.case.world.group_key.tolist(), whole.case.world.group_twin.tolist(), strict=True
        )
        if whole.ids[twin] != site.id("plant")
    ]


def test_the_order_of_the_data_does_not_matter(site: Any, schema: Any, tmp_path: Any) -> None:
    links = [
        ("a", "feeds", "b"),
        ("b", "feeds", "c"),
        ("a", "supplies", "c"),
        ("c", "feeds", "d"),
        ("d", "feeds", "b"),
    ]

    def build(order: int) -> Compiled:
        twin = type(site.twin).open(tmp_path / str(order), schema, site="campus")
        other = type(site)(twin, schema)
        other.put(*"abcd"[::order])
        for source, relation, target in links[::order]:
            other.link(source, relation, target, group="g" if source == "a" else "")
        made = compiled(other, {"type": "FAIL", "twin": "a"})
        twin.close()
        return made

    one, other = build(1).case.world, build(-1).case.world
    for name in one.__slots__:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


# Events


def test_events_become_levels_over_time(site: Any) -> None:
    site.put("a", health=0.8)
    site.put("b")
    site.link("a", "supplies", "b", delayHours=1)
    made = compiled(
        site,
        {"type": "DEGRADE", "twin": "a", "level": 0.5, "atHours": 1, "forHours": 3},
        {"type": "CLOSE", "twin": "a", "atHours": 2, "forHours": 1},
        {"type": "SET", "twin": "a", "attribute": "health", "value": 1, "atHours": 5},
        {"type": "SURGE", "twin": "b", "factor": 1.5, "atHours": 1, "forHours": 1},
        {"type": "SURGE", "twin": "b", "factor": 1.25, "forHours": 4},
        {"type": "DELAY", "relation": ["a", "supplies", "b"], "hours": 2, "atHours": 1},
        {"type": "DELAY", "relation": ["b", "tm:suppliedBy", "a"], "hours": 1, "atHours": 2},
    )
    calm, h = made.case.calm, HOUR_US
    fifth = 838860  # 0.8 in 2^-20, rounded down
    assert calm.health.row(0) == [
        (0, fifth),
        (h, FULL // 2),
        (2 * h, 0),
        (3 * h, FULL // 2),
        (4 * h, fifth),
        (5 * h, FULL),
    ]
    surged = [(0, FULL * 5 // 4), (h, FULL * 3 // 2), (2 * h, FULL * 5 // 4), (4 * h, FULL)]
    assert calm.need_factor.row(0) == surged
    assert calm.edge_extra_us.row(0) == [(0, 0), (h, 2 * h)]  # the longer of two delays counts
    assert calm.edge_cap.row(0) == [(0, FULL), (h, 0), (3 * h, FULL)]  # nothing arrives until it has passed


def test_a_removed_relation_gives_nothing_and_is_still_needed(site: Any) -> None:
    site.put("a", "b", "load")
    site.link("a", "feeds", "load")
    site.link("b", "feeds", "load")
    made = compiled(site, {"type": "REMOVE", "relation": ["a", "feeds", "load"]})
    assert [made.case.calm.edge_cap.row(i) for i in range(2)] == [[(0, 0)], []]
    assert made.case.plan.need.tolist() == [2 * FULL]


def test_failures_lives_and_repairs_become_outages(site: Any) -> None:
    site.put("a", timeToFailure="exponential(9)", timeToRepair=4, failureProbability=0.25)
    made = compiled(
        site,
        {"type": "FAIL", "twin": "a", "atHours": 2},
        {"type": "FAIL", "twin": "a", "atHours": 3, "repairHours": "uniform(1,2)"},
        {"type": "SET", "twin": "a", "attribute": "timeToFailure", "value": 5, "atHours": 6},
        {"type": "SET", "twin": "a", "attribute": "timeToRepair", "value": 3},
    )
    out = made.case.outages
    hours = zip(
        out.at_us // HOUR_US, out.start.first, out.repair.first, out.before_us // HOUR_US, strict=True
    )
    told = {(chance, *map(float, row)) for chance, row in zip(out.chance.tolist(), hours, strict=True)}
    never = NEVER // HOUR_US
    assert told == {
        (1.0, 2, 0.0, 3.0, never),
        (1.0, 3, 0.0, 1.0, never),
        (0.25, 0, 0.0, 0.0, never),
        (1.0, 0, 9.0, 3.0, 6),
        (1.0, 6, 5.0, 3.0, never),
    }
    assert out.repair.present.sum() == 4  # failureProbability is down to the horizon


def test_nothing_random_is_known_before_any_run(site: Any) -> None:
    site.put("a", timeToRepair="exponential(2)")  # never fails, so it never repairs
    site.put("b", failureProbability=1, timeToFailure=3)
    site.put("c")
    site.link("b", "feeds", "c", damageProbability=1, toleranceHours=1)
    assert not compiled(site).case.random
    assert compiled(site, {"type": "FAIL", "twin": "a"}).case.random


def test_added_twins_and_relations_play_along(site: Any) -> None:
    site.put("a", "b")
    site.link("a", "feeds", "b")
    made = compiled(
        site,
        {"type": "ADD", "twin": {"id": "c", "kind": "brick:Chiller", "name": "New", "failureProbability": 1}},
        {
            "type": "ADD",
            "relation": {"source": "c", "relation": "feeds", "target": "b", "medium": "x", "need": 1},
        },
        {"type": "ADD", "relation": ["b", "dependsOn", "c"]},
    )
    assert made.ids == tuple(map(site.id, "abc"))
    assert {label.text for label in made.label} == {"tm:feeds", "tm:feeds x", "tm:dependsOn chilledWater"}
    node = int(made.node[2])
    told = (
        made.nodes.local_id(node),
        made.nodes.name(node),
        made.nodes.kind_name(node),
        made.nodes.site(node),
    )
    assert told == ("c", "New", "brick:Chiller", "campus")


@pytest.mark.parametrize(
    ("event", "code", "place"),
    [
        ({"type": "FAIL", "twin": "nobody"}, "TWIN_UNKNOWN", "events[0].twin"),
        (
            {"type": "DELAY", "relation": ["a", "supplies", "nobody"], "hours": 1},
            "TWIN_UNKNOWN",
            "events[0].relation",
        ),
        (
            {"type": "DELAY", "relation": ["a", "suplies", "b"], "hours": 1},
            "RELATION_UNKNOWN",
            "events[0].relation",
        ),
        (
            {"type": "REMOVE", "relation": ["b", "supplies", "a"]},
            "RELATIONSHIP_UNKNOWN",
            "events[0].relation",
        ),
        (
            {"type": "REMOVE", "relation": ["a", "supplies", "b", "h"]},
            "RELATIONSHIP_UNKNOWN",
            "events[0].relation",
        ),
        ({"type": "REMOVE", "relation": ["a", "supplies", "b"]}, "AMBIGUOUS_ID", "events[0].relation"),
        ({"type": "REMOVE", "relation": ["a", "partOf", "b"]}, "SCENARIO_INVALID", "events[0].relation"),
        (
            {"type": "DELAY", "relation": ["a", "feeds", "b"], "hours": 1},
            "SCENARIO_INVALID",
            "events[0].relation",
        ),
        ({"type": "ADD", "twin": {"id": "a", "kind": "tm:Asset"}}, "SCENARIO_INVALID", "events[0].twin"),
        ({"type": "ADD", "twin": {"id": "n", "kind": "brick:AHUU"}}, "KIND_UNKNOWN", "events[0].twin"),
        ({"type": "ADD", "relation": ["a", "feeds", "b"]}, "SCENARIO_INVALID", "events[0].relation"),
        ({"type": "ADD", "relation": ["a", "feeds", "nobody"]}, "TWIN_UNKNOWN", "events[0].relation"),
    ],
)
def test_what_a_scenario_names_must_be_there(site: Any, event: dict[str, Any], code: str, place: str) -> None:
    site.put("a", "b")
    site.link("a", "feeds", "b")
    site.link("a", "supplies", "b", "g")
    site.link("a", "supplies", "b")
    error = refused(site, event)
    assert (error.code, error.place.item) == (code, place)


def test_suggestions_reach_the_reader(site: Any) -> None:
    site.put("chiller-1")
    assert "chiller-1" in (refused(site, {"type": "FAIL", "twin": "chiler-1"}).hint or "")


def test_carriers_have_no_delay(site: Any) -> None:
    site.put("a", "b")
    added = {"source": "a", "relation": "feeds", "target": "b", "delayHours": "uniform(0,1)"}
    assert refused(site, {"type": "ADD", "relation": added}).code == "DELAY_ON_FOUNDED"


def test_money_that_would_not_fit_is_refused(site: Any) -> None:
    site.put("a", valuePerHour=9e8, failureProbability=0.5)
    with pytest.raises(LimitError):
        compile_case(site.snapshot(), parse_scenario({"horizonHours": 800_000}))


# The report


def test_report_names_rings_unfounded_loops_and_stuck_cycles(site: Any) -> None:
    site.put("plant", "r0", "r1", "r2", "x", "y", "steel", "press")
    site.link("plant", "feeds", "r0", need=1)
    for one, other in (("r0", "r1"), ("r1", "r2"), ("r2", "r0"), ("x", "y")):
        site.link(one, "feeds", other, direction="both", **({"need": 1} if one[0] == "r" else {}))
    site.link("steel", "supplies", "press")
    site.link("press", "supplies", "steel")
    report = report_model(site.snapshot())

    def local(sets: Any) -> list[list[str]]:
        snapshot = site.snapshot()
        return [[snapshot.local_id(snapshot.row(one)) for one in ids] for ids in sets]

    assert local(report.loops) == [["r0", "r1", "r2"]]
    assert local(report.unfounded) == [["x", "y"]]
    assert local(report.stuck) == [["press", "steel"]]
    assert all(group.can_be_met for group in report.groups)
    assert report.to_json()["unfounded"] == [[site.id("x"), site.id("y")]]
