"""Wherever a query begins, it gives what a slow oracle gives that reads records one by one."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from graph import plan
from graph.execute import matching_rows, run_match
from graph.matching import anchored
from graph.ordering import decode_cursor
from graph.plan import Comparison, Operator
from graph.strings import pack_texts
from graph.text_tests import contains, starts_with
from graph.twin import Twin
from graph.values import Change, ExternalId, TwinRecord, Value, Way
from graph.view import Budget, View
from ontology.errors import InputError
from ontology.schema import Schema
from ontology.units import Units
from tests.graph import test_matching
from tests.graph.test_matching import (
    BASE,
    KINDS,
    Oracle,
    fresh,
    random_change,
    random_order,
    random_predicate,
)

QUIETLY = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SEEDS = st.integers(0, 2**32 - 1)
OUTSIDE = ("A-1", "a-1", "A-10", "ö", "")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory, schema: Schema, units: Units) -> Generator[View]:
    rng = random.Random(5)
    change = random_change(rng, schema, 80, 240)
    records = [
        replace(record, external_ids=tuple(ExternalId(system, rng.choice(OUTSIDE)) for system in systems))
        for record in change.put_twins
        for systems in [rng.sample(("ifc", "erp"), rng.choice((0, 1, 1, 2)))]
    ]
    folder: Path = tmp_path_factory.mktemp("plans")
    with Twin.open(folder / "s", schema, site="s", units=units) as twin:
        twin.apply(replace(change, put_twins=tuple(records)))
        twin.apply(Change(remove_twins=tuple(f"{BASE}t{number}" for number in (3, 30, 33))))
        yield View(twin.snapshot(), units, Budget(nodes_max=1, wall_s=1))


class World:
    """A view of which hypothesis does not print every row."""

    def __init__(self, view: View) -> None:
        self.view = view


@pytest.fixture
def world(view: View) -> World:
    return World(view)


class WideOracle(Oracle):
    """Knows ids, sites and outside ids too."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.links = [link for link in self.links if link.source in self.twins and link.target in self.twins]

    def holds(self, twin: TwinRecord, predicate: plan.Predicate | None) -> bool:
        match predicate:
            case plan.TextTest(plan.TextField.EXTERNAL_ID, comparisons):
                return all(outside_holds(twin, each) for each in comparisons)
            case _:
                return super().holds(twin, predicate)


def outside_holds(twin: TwinRecord, comparison: Comparison) -> bool:
    ids = [one.id for one in twin.external_ids]
    if comparison.operator is Operator.EXISTS:
        return bool(ids) == comparison.operand
    if comparison.operator in (Operator.NE, Operator.NOT_IN):
        return bool(ids) and all(test_matching.compare(one, comparison) for one in ids)
    return any(test_matching.compare(one, comparison) for one in ids)


def random_text(rng: random.Random) -> plan.TextTest:
    field = rng.choice(
        (plan.TextField.ID, plan.TextField.LOCAL_ID, plan.TextField.EXTERNAL_ID, plan.TextField.NAME)
    )
    ids = [f"t{rng.randint(0, 85)}" for _ in range(3)]
    texts = {
        plan.TextField.ID: [BASE + one for one in ids],
        plan.TextField.LOCAL_ID: ids,
        plan.TextField.EXTERNAL_ID: list(OUTSIDE),
        plan.TextField.NAME: [*(name or "" for name in test_matching.NAMES), "nobody"],
    }[field]
    return plan.TextTest(field, tuple(random_comparison(rng, texts) for _ in range(rng.choice((1, 1, 2)))))


def random_comparison(rng: random.Random, texts: Sequence[str]) -> Comparison:
    operator = rng.choice((Operator.EQ, Operator.IN, *list(Operator)))
    if operator in (Operator.IN, Operator.NOT_IN):
        return Comparison(operator, tuple(rng.choice(texts) for _ in range(rng.randint(0, 12))))
    if operator is Operator.EXISTS:
        return Comparison(operator, rng.random() < 0.5)
    text = rng.choice(texts)
    return Comparison(operator, text[rng.randint(0, len(text)) :] if operator is Operator.CONTAINS else text)


def question(rng: random.Random, depth: int = 3) -> plan.Predicate:
    """As `random_predicate`, with texts that have an index, and chains that lead to them."""
    if depth == 0 or rng.random() < 0.25:
        return rng.choice((random_text, random_text, random_predicate))(rng)
    kind = rng.choice(("and", "or", "not", "link", "link", "link"))
    if kind == "not":
        return plan.Not(question(rng, depth - 1))
    if kind == "link":
        return replace(test_matching.random_link(rng, 1), twin=question(rng, depth - 1))
    parts = tuple(question(rng, depth - 1) for _ in range(rng.randint(0, 3)))
    return plan.And(parts) if kind == "and" else plan.Or(parts)


@contextmanager
def every_way_tried() -> Generator[None]:
    """Small graphs are asked as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graph.matching._ROWS_MANY", 1)
        patch.setattr("graph.matching.ANCHOR_SHARE", 1)
        patch.setattr("graph.execute.ANCHOR_SHARE", 1)
        patch.setattr("graph.text_tests._FEW_TEXTS", 0)
        patch.setattr("graph.text_tests._FEW_ROWS", 0)
        patch.setattr("graph.ordering._FIRST_BLOCK", 1)
        patch.setattr("graph.order_keys._SORTED_MAX", 1)
        yield


@QUIETLY
@given(SEEDS, st.booleans(), st.sampled_from((None, *KINDS)))
def test_wherever_it_begins_the_answer_is_the_same(
    world: World, seed: int, narrow: bool, kind: str | None
) -> None:
    view = world.view
    rng, seen = random.Random(seed), fresh(view)
    if narrow:
        visible = view.snapshot.alive.copy()
        visible[rng.sample(range(view.snapshot.size), 20)] = False
        seen = View(view.snapshot, view.units, seen.budget, visible)
    oracle, predicate = WideOracle(seen), question(rng)
    expected = {
        twin.id
        for twin in oracle.twins.values()
        if oracle.holds(twin, predicate) and (kind is None or oracle.below(twin.kinds, kind))
    }
    assert set(view.snapshot.ids(matching_rows(seen, kind, predicate))) == expected
    with every_way_tried():
        rows = matching_rows(seen, kind, predicate)
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert set(view.snapshot.ids(rows)) == expected
        found = anchored(seen, predicate, 50)
        assert found is None or set(view.snapshot.ids(found)) == {
            twin.id for twin in oracle.twins.values() if oracle.holds(twin, predicate)
        }


def test_a_chain_to_one_id_is_walked_from_there(view: View) -> None:
    wanted = plan.TextTest(plan.TextField.ID, (Comparison(Operator.EQ, BASE + "t7"),))
    chain: plan.Predicate = wanted
    for relation in ("tm:feeds", "tm:dependsOn", "tm:feeds"):
        chain = plan.LinkTest(plan.Quantifier.SOME, relation, Way.OUT, chain)
    found = anchored(fresh(view), chain, 0)
    oracle = WideOracle(view)
    assert found is not None
    assert set(view.snapshot.ids(found)) == {
        twin.id for twin in oracle.twins.values() if oracle.holds(twin, chain)
    }
    assert anchored(fresh(view), plan.Not(wanted), 10**6) is None


@QUIETLY
@given(st.lists(st.text("abä\0", max_size=6)), st.text("abä\0", max_size=3))
def test_parts_of_texts(texts: list[str], part: str) -> None:
    strings = pack_texts(texts)
    assert contains(strings, part).tolist() == [part in text for text in texts]
    assert starts_with(strings, part).tolist() == [text.startswith(part) for text in texts]


# Pages


@QUIETLY
@given(SEEDS, st.data())
def test_pages_equal_slices_of_the_whole(world: World, seed: int, data: st.DataObject) -> None:
    view = world.view
    rng = random.Random(seed)
    order = rng.choice((random_order(rng), (), tuple(random_key(rng) for _ in range(rng.randint(1, 3)))))
    with every_way_tried():
        whole = page(view, order)
        assert whole == page_slowly(view, order)
        low, high = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
        assume(low > 0 and high < len(whole))
        after, before = (cursor_at(view, order, place) for place in (low - 1, high))
        size = data.draw(st.integers(0, 9))
        between = whole[low:high]
        assert page(view, order, first=size, after=after, before=before) == between[:size]
        assert (
            page(view, order, last=size, after=after, before=before)
            == between[len(between) - min(size, len(between)) :]
        )
        found = run_match(
            fresh(view), plan.Match(order=order, page=plan.PageRequest(first=size, after=after))
        )
        assert (found.has_previous, found.has_next) == (True, low + size < len(whole))


def random_key(rng: random.Random) -> plan.OrderKey:
    return plan.OrderKey(
        rng.choice(("id", "localId", "kind", "site")), rng.random() < 0.5, rng.choice(list(plan.Nulls))
    )


def page(view: View, order: tuple[plan.OrderKey, ...], **options: Any) -> list[str]:
    request = plan.PageRequest(**(options or {"first": 1000}))
    return view.snapshot.ids(run_match(fresh(view), plan.Match(order=order, page=request)).rows)


def cursor_at(view: View, order: tuple[plan.OrderKey, ...], place: int) -> str:
    return run_match(fresh(view), plan.Match(order=order, page=plan.PageRequest(first=place + 1))).cursor(
        place
    )


def page_slowly(view: View, order: tuple[plan.OrderKey, ...]) -> list[str]:
    """Sorted once per key, the last key first: Python's sort is stable."""
    snapshot = view.snapshot
    rows = sorted(view.all_rows.tolist(), key=snapshot.id)
    for key in reversed(order):
        values = {row: key_of(view, key.by, row) for row in rows}
        absent = [row for row in rows if values[row] is None]
        present = sorted(
            (row for row in rows if values[row] is not None), key=values.__getitem__, reverse=False
        )
        if key.descending:
            groups: dict[Any, list[int]] = {}
            for row in present:
                groups.setdefault(values[row], []).append(row)
            present = [row for group in reversed(groups.values()) for row in group]
        rows = [*absent, *present] if key.nulls is plan.Nulls.FIRST else [*present, *absent]
    return snapshot.ids(np.array(rows, np.int32))


def key_of(view: View, by: str, row: int) -> Any:
    snapshot = view.snapshot
    match by:
        case "id":
            return snapshot.id(row)
        case "localId":
            return snapshot.local_id(row)
        case "name":
            return snapshot.name(row)
        case "kind":
            return snapshot.schema.kinds[int(snapshot.kind[row])].name
        case "site":
            return snapshot.site_row(row)[0]
        case _:
            value = test_matching.key_of(snapshot.record(row), plan.OrderKey(by))
            return None if value is None else (test_matching.type_rank(value), value)


def test_a_cursor_stands_where_it_stood_while_others_write(
    open_twin: Any, schema: Schema, units: Units
) -> None:
    twin: Twin = open_twin()
    kind = (schema.kind("tm:Asset").iri,)
    power = {f"n{number}": float(number) for number in range(6)}

    def put(values: dict[str, float], unit: str) -> None:
        records = (
            TwinRecord(f"{BASE}{name}", kind, name, attributes={"ratedPower": Value(value, unit)})
            for name, value in values.items()
        )
        twin.apply(Change(put_twins=tuple(records)))

    def ask(after: str | None) -> Any:
        order = (plan.OrderKey("ratedPower"),)
        return run_match(
            View(twin.snapshot(), units, Budget(nodes_max=100, wall_s=60)),
            plan.Match(order=order, page=plan.PageRequest(first=3, after=after)),
        )

    put(power, "W")
    first = ask(None)
    cursor = first.cursor(2)
    # Now the column is read in kW, in which it is declared; the cursor still means 2 W.
    put({"big": 5.0, "small": 0.0005}, "kW")
    twin.apply(Change(remove_twins=(f"{BASE}n2",)))
    rest = ask(cursor)
    assert [iri.removeprefix(BASE) for iri in twin.snapshot().ids(rest.rows)] == ["n3", "n4", "n5"]
    assert ask(rest.cursor(2)).rows.tolist() == [twin.snapshot().row(f"{BASE}big")]


def test_numbers_of_a_foreign_cursor_are_refused(view: View) -> None:
    order = (plan.OrderKey("capacity"),)
    real = run_match(fresh(view), plan.Match(order=order, page=plan.PageRequest(first=1))).cursor(0)
    parts: Any = decode_cursor(real)
    digits = base64.urlsafe_b64encode(json.dumps([parts[0], [10**400], BASE]).encode()).decode()
    with pytest.raises(InputError) as caught:
        run_match(fresh(view), plan.Match(order=order, page=plan.PageRequest(after=digits)))
    assert caught.value.code == "CURSOR_INVALID"


def test_what_a_number_means_does_not_follow_from_the_plan(twin: Twin, schema: Schema, units: Units) -> None:
    """Some powers are stated in W, one in kW, in which they are declared: then all numbers asked are kW."""
    kind = (schema.kind("tm:Asset").iri,)
    stated = {"small": Value(700.0, "W"), "large": Value(800.0, "W"), "huge": Value(900.0, "kW")}
    twin.apply(
        Change(
            put_twins=tuple(
                TwinRecord(BASE + name, kind, name, attributes={"ratedPower": value})
                for name, value in stated.items()
            )
        )
    )

    def names(*parts: plan.Predicate) -> list[str | None]:
        seen = View(twin.snapshot(), units, Budget(nodes_max=10, wall_s=60))
        return seen.snapshot.names(matching_rows(seen, None, plan.And(parts)))

    power = plan.AttributeTest("ratedPower", (Comparison(Operator.GT, 750),))
    named = plan.TextTest(plan.TextField.NAME, (Comparison(Operator.IN, ("small", "large")),))
    assert names(power) == ["huge"]
    assert names(named, power) == names(power, named) == []
    twin.apply(Change(remove_twins=(BASE + "huge",)))
    assert names(power) == names(named, power) == ["large"]
