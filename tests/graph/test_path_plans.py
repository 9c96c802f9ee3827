"""Groups along paths, and walks, against oracles that follow records one by one."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph import plan
from graph.csr import SiteLinks, Tail, build_base, empty_base
from graph.grouping import parse_group_key, run_grouping
from graph.history import Aggregate
from graph.twin import Twin
from graph.values import Change, Quality, Readings, RelationshipRecord, TwinRecord, Value, Way
from graph.view import Budget, View
from graph.walking import run_walk, walk_all
from ontology.errors import LimitError
from ontology.schema import Schema
from ontology.units import Units
from tests.graph.test_matching import BASE, Oracle, fresh, random_change

QUIETLY = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SEEDS = st.integers(0, 2**32 - 1)
PATHS = (
    "feeds", "^feeds", "partOf", "partOf:rec:Space", "^tm:partOf:brick:Equipment", "feeds:rec:Space",
    "tm:connectedTo", "connectedTo:brick:AHU", "feeds/partOf", "dependsOn/^feeds:brick:Equipment/partOf",
    "brick:isFedBy:brick:VAV",
)  # fmt: skip
KEYS = ("kind", "site", "name", "capacity", "flag", "mixed", "assetTag", "ratedPower", *PATHS)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory, schema: Schema, units: Units) -> Generator[View]:
    folder: Path = tmp_path_factory.mktemp("paths")
    with Twin.open(folder / "s", schema, site="s", units=units) as twin:
        twin.apply(random_change(random.Random(3), schema, 70, 160))
        rows = np.arange(0, 70, 2, dtype=np.int32)
        values = np.random.default_rng(1).integers(-50, 50, len(rows)) / 8
        quality = np.where(rows % 10 == 0, Quality.BAD, Quality.GOOD).astype(np.uint8)
        twin.record(Readings(rows, np.full(len(rows), 10**18, np.int64), values.view(np.uint64), quality))
        twin.apply(Change(remove_twins=tuple(f"{BASE}t{number}" for number in (1, 20))))
        yield View(twin.snapshot(), units, Budget(nodes_max=1, wall_s=1))


class World:
    """A view of which hypothesis does not print every row."""

    def __init__(self, view: View) -> None:
        self.view = view


@pytest.fixture
def world(view: View) -> World:
    return World(view)


@dataclass(frozen=True, slots=True, eq=False)
class Slow:
    """A view as dictionaries."""

    oracle: Oracle
    rows: dict[str, int]

    @classmethod
    def of(cls, view: View) -> Slow:
        oracle = Oracle(view)
        oracle.links = [one for one in oracle.links if {one.source, one.target} <= oracle.twins.keys()]
        return cls(oracle, {view.snapshot.id(row): row for row in view.all_rows.tolist()})

    def neighbours(self, twin: str, relation: str, way: Way) -> set[str]:
        schema = self.oracle.schema
        named = schema.relation(relation)
        if named.inverse_of is not None:
            way = {Way.OUT: Way.IN, Way.IN: Way.OUT}.get(way, way)
            named = schema.relations[named.inverse_of]
        way = Way.BOTH if named.symmetric else way
        below = schema.relations_below(named.index)
        found: set[str] = set()
        for link in self.oracle.links:
            if below[schema.relation(link.relation).index]:
                found |= {link.target} if link.source == twin and way is not Way.IN else set()
                found |= {link.source} if link.target == twin and way is not Way.OUT else set()
        return found

    def ends(self, starts: set[str], step: plan.Step) -> dict[str, set[str]]:
        """What each start leads to. `^` is read as the relation itself where nobody has it inwards."""
        way = step.way
        if way is Way.IN and not any(self.neighbours(one, step.relation, way) for one in starts):
            way = Way.OUT
        return {one: self.end(one, step, way) for one in starts}

    def end(self, start: str, step: plan.Step, way: Way) -> set[str]:
        if step.until_kind is None:
            return self.neighbours(start, step.relation, way)
        met: set[str] = set()
        seen, now = {start}, {start}
        while now:
            here = {one for one in now if self.oracle.below(self.oracle.twins[one].kinds, step.until_kind)}
            met |= here
            now = {far for one in now - here for far in self.neighbours(one, step.relation, way)} - seen
            seen |= now
        return met


def groups_slowly(
    view: View, kind: str | None, keys: tuple[plan.GroupKey, ...]
) -> dict[tuple[Any, ...], list[int]]:
    slow = Slow.of(view)
    members = [
        (one, ())
        for one, twin in slow.oracle.twins.items()
        if kind is None or slow.oracle.below(twin.kinds, kind)
    ]
    rows = [slow.rows[one] for one, _ in members]
    found: list[tuple[str, tuple[Any, ...]]] = list(members)
    for key in keys:
        leads = {one: {one} for one, _ in members}
        for step in key.steps:
            ends = slow.ends({end for known in leads.values() for end in known}, step)
            leads = {one: {far for end in known for far in ends[end]} for one, known in leads.items()}
        found = [
            (one, (*known, value))
            for one, known in found
            for value in (
                (leads[one] or {None}) if key.steps else {plain_key(view, key.name, slow.rows[one], rows)}
            )
        ]
    grouped: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for one, known in found:
        grouped[known].append(slow.rows[one])
    return grouped


def plain_key(view: View, name: str, row: int, rows: list[int]) -> Any:
    snapshot = view.snapshot
    if name == "kind":
        return snapshot.schema.kinds[int(snapshot.kind[row])].name
    if name in ("site", "name"):
        return snapshot.site_row(row)[0] if name == "site" else snapshot.name(row)
    return marked(values_of(view, name, rows).get(row))


def values_of(view: View, name: str, rows: list[int]) -> dict[int, Any]:
    """In kW where units differ among the rows."""
    stated = {row: view.snapshot.attributes(row).get(name) for row in rows}
    differ = len({one.unit for one in stated.values() if one is not None}) > 1
    return {row: in_unit(one, differ) for row, one in stated.items() if one is not None}


def in_unit(stated: Value, differ: bool) -> Any:
    is_small = differ and stated.unit == "W" and isinstance(stated.value, float)
    return stated.value / 1000 if is_small and isinstance(stated.value, float) else stated.value


def marked(value: Any) -> Any:
    """True is not 1 here, and lists can be keys."""
    return repr(value) if isinstance(value, bool | list | dict) else value  # pyright: ignore[reportUnknownArgumentType]


def figure(aggregate: Aggregate, values: list[float]) -> float | None:
    if not values:
        return None
    values = sorted(values)
    quantiles = {Aggregate.P05: 0.05, Aggregate.P50: 0.5, Aggregate.P95: 0.95}
    if aggregate in quantiles:
        return values[max(math.ceil(quantiles[aggregate] * len(values)), 1) - 1]
    total = math.fsum(values)
    return {
        Aggregate.MIN: values[0],
        Aggregate.MAX: values[-1],
        Aggregate.SUM: total,
        Aggregate.MEAN: total / len(values),
    }[aggregate]


def numbers_of(view: View, rows: list[int], of: str, every: list[int]) -> tuple[list[float], int]:
    """(numbers, how many have a value of any type)."""
    if of == plan.POINT_VALUE:
        good = [
            row
            for row in rows
            if view.snapshot.point_time_ns[row] and view.snapshot.point_quality[row] != Quality.BAD
        ]
        return [float(view.snapshot.point_value(row) or 0) for row in good], len(rows)
    known = values_of(view, of, every)
    values = [known[row] for row in rows if row in known]
    return [float(value) for value in values if isinstance(value, bool | float | int)], len(values)


@QUIETLY
@given(SEEDS, st.booleans())
def test_groups_equal_the_oracle(world: World, seed: int, narrow: bool) -> None:
    view = world.view
    rng = random.Random(seed)
    seen = fresh(view) if not narrow else narrowed(view, rng)
    schema = seen.snapshot.schema
    keys = tuple(parse_group_key(schema, name) for name in rng.sample(KEYS, rng.randint(0, 2)))
    kind = rng.choice((None, "brick:Equipment", "rec:Space", "tm:Item"))
    measures = tuple(
        plan.Measured(aggregate, of, f"{aggregate} {of}")
        for aggregate in Aggregate
        for of in ("value", "ratedPower", "capacity", "mixed")
    )
    rows = run_grouping(seen, plan.Grouping(kind, None, keys, measures))
    expected = groups_slowly(seen, kind, keys) or ({} if keys else {(): []})
    found = {tuple(marked(value) for value in row.keys.values()): row for row in rows}
    assert found.keys() == expected.keys()
    assert len(found) == len(rows)
    every = [row for members in expected.values() for row in members]
    for key, members in expected.items():
        for measure in measures:
            numbers, present = numbers_of(seen, members, measure.of, every)
            value = found[key].values[measure.name]
            wanted = present if measure.aggregate is Aggregate.COUNT else figure(measure.aggregate, numbers)
            assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-12, abs=1e-12))


def narrowed(view: View, rng: random.Random) -> View:
    visible = view.snapshot.alive.copy()
    visible[rng.sample(range(view.snapshot.size), 15)] = False
    return View(view.snapshot, view.units, fresh(view).budget, visible)


@QUIETLY
@given(SEEDS, st.booleans())
def test_walks_equal_the_oracle(world: World, seed: int, narrow: bool) -> None:
    view = world.view
    rng = random.Random(seed)
    seen = fresh(view) if not narrow else narrowed(view, rng)
    slow = Slow.of(seen)
    starts = tuple(rng.sample(sorted(slow.oracle.twins), rng.randint(1, 3)))
    relations = tuple(
        rng.sample(("tm:feeds", "brick:isFedBy", "tm:partOf", "connectedTo"), rng.randint(0, 3))
    )
    way, depth_max = rng.choice(list(Way)), rng.choice((None, 0, 1, 2, 5))
    kind, first = rng.choice((None, "brick:Equipment")), rng.choice((None, 0, 1, 7))
    walk = plan.Walk(starts, relations, way, depth_max, kind, first)
    expected = walked_slowly(slow, walk)
    for by_kernels, share in ((False, 0), (True, 0), (True, 0.5), (True, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("graph.walking._MET_FEW", -1 if by_kernels else 10**9)
            check_walk(based(seen, share), walk, expected)


def based(view: View, share: float) -> View:
    """The same relationships, so many of them in the sorted base."""
    links = view.snapshot.edges.links
    assert isinstance(links, SiteLinks)
    count = int(share * links.count)
    base = build_base(links.source, links.target, count, view.snapshot.size) if count else empty_base()
    edges = replace(view.snapshot.edges, links=replace(links, base=base, tail=Tail(count)))
    return View(replace(view.snapshot, edges=edges), view.units, fresh(view).budget, view.visible)


def check_walk(seen: View, walk: plan.Walk, expected: list[tuple[int, str]]) -> None:
    reached = walk_all(seen, walk)
    assert list(zip(reached.depths.tolist(), seen.snapshot.ids(reached.rows), strict=True)) == expected
    page = run_walk(seen, walk)
    size = 50 if walk.first is None else walk.first
    assert list(zip(page.depths.tolist(), seen.snapshot.ids(page.rows), strict=True)) == expected[:size]
    assert page.count == len(expected)
    assert (page.cut is not None) == (len(expected) > size)


def walked_slowly(slow: Slow, walk: plan.Walk) -> list[tuple[int, str]]:
    depth_of, now, depth = dict.fromkeys(walk.starts, 0), set(walk.starts), 0
    while now and (walk.depth_max is None or depth < walk.depth_max):
        depth += 1
        far = {
            end
            for one in now
            for name in walk.relations or ()
            for end in slow.neighbours(one, name, walk.way)
        }
        now = far - depth_of.keys()
        depth_of |= dict.fromkeys(now, depth)
    kind = walk.kind
    return sorted(
        (depth, one)
        for one, depth in depth_of.items()
        if depth and (kind is None or slow.oracle.below(slow.oracle.twins[one].kinds, kind))
    )


# Long ways


def test_a_repeated_step_goes_to_the_end_of_any_chain_and_circle(
    twin: Twin, schema: Schema, units: Units
) -> None:
    """300 steps to the first of its kind, with a circle beside the way."""
    names = [f"c{number:03}" for number in range(300)]
    records = [TwinRecord(BASE + name, (schema.kind("tm:Asset").iri,), name) for name in names]
    records.append(TwinRecord(BASE + "end", (schema.kind("brick:Chiller").iri,), "end"))
    ends = [*pairwise([*names, "end"]), ("c200", "c100")]
    feeds = schema.relation("brick:feeds").iri
    links = [RelationshipRecord(BASE + one, feeds, BASE + other) for one, other in ends]
    twin.apply(Change(put_twins=tuple(records), put_relationships=tuple(links)))
    seen = View(twin.snapshot(), units, Budget(nodes_max=10**6, wall_s=600))
    count = (plan.Measured(Aggregate.COUNT, "value", "n"),)
    key = parse_group_key(schema, "feeds:brick:Chiller")
    (row,) = run_grouping(seen, plan.Grouping("tm:Asset", None, (key,), count))
    assert (row.keys, row.values) == ({"feeds:brick:Chiller": BASE + "end"}, {"n": 301})


def test_too_many_groups_and_too_wide_paths_are_refused(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    count = (plan.Measured(Aggregate.COUNT, "value", "n"),)

    def code_of(key: str) -> str | None:
        parsed = parse_group_key(view.snapshot.schema, key)
        with pytest.raises(LimitError) as caught:
            run_grouping(fresh(view), plan.Grouping(None, None, (parsed,), count))
        return caught.value.code

    monkeypatch.setattr("graph.grouping.GROUPS_MAX", 2)
    assert {code_of(key) for key in ("kind", "name", "id", "capacity", "feeds")} == {"GROUPS_TOO_MANY"}
    monkeypatch.setattr("graph.paths._PAIRS_MAX", 2)
    assert {code_of(key) for key in ("feeds", "feeds:brick:AHU")} == {"PATH_TOO_WIDE"}


def test_a_walk_down_a_long_chain_is_whole(twin: Twin, schema: Schema, units: Units) -> None:
    names = [f"c{number:05}" for number in range(3000)]
    records = tuple(TwinRecord(BASE + name, (schema.kind("tm:Asset").iri,), name) for name in names)
    feeds = schema.relation("brick:feeds").iri
    links = tuple(RelationshipRecord(BASE + one, feeds, BASE + other) for one, other in pairwise(names))
    twin.apply(Change(put_twins=records, put_relationships=links))
    seen = View(twin.snapshot(), units, Budget(nodes_max=10**6, wall_s=600))
    reached = walk_all(seen, plan.Walk((BASE + names[0],), ("feeds",)))
    assert (seen.snapshot.ids(reached.rows), reached.cut) == ([BASE + name for name in names[1:]], None)
    assert reached.depths.tolist() == list(range(1, 3000))
