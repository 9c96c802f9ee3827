"""Filters, orders and pages against a brute-force oracle that reads records one by one."""

from __future__ import annotations

import random
from collections.abc import Generator
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import pytest

from graph import plan
from graph.execute import run_match
from graph.plan import Comparison, Operator
from graph.twin import Twin
from graph.values import Change, RelationshipRecord, TwinRecord, Value, Way
from graph.view import Budget, View
from ontology.errors import InputError, LimitError, NotFoundError
from ontology.schema import Schema
from ontology.units import Units

BASE = "https://twinmesh.invalid/s/"
KINDS = ("brick:AHU", "brick:VAV", "brick:Equipment", "tm:Asset", "rec:Room", "rec:Space", "tm:Item")
RELATIONS = ("brick:feeds", "tm:feeds", "tm:partOf", "tm:connectedTo", "tm:dependsOn")
NAMES = ("Alpha", "alpha two", "Beta", "Gamma", "", "Zoë", None)
UNITS_OF_POWER = {"kW": 1.0, "W": 0.001}
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "capacity": (1, 2, 2.5, -1, 0),
    "assetTag": ("a", "ab", "b", ""),
    "flag": (True, False),
    "mixed": (1, "1", True, None, [1, 2], {"x": 1}),
}


def random_change(rng: random.Random, schema: Schema, twins: int, links: int) -> Change:
    records = []
    for number in range(twins):
        values = {
            name: Value(rng.choice(choices)) for name, choices in ATTRIBUTES.items() if rng.random() < 0.6
        }
        values = {name: value for name, value in values.items() if value.value is not None}
        if rng.random() < 0.5:
            values["ratedPower"] = Value(float(rng.randint(1, 9)), rng.choice(list(UNITS_OF_POWER)))
        kinds = tuple(schema.kind(name).iri for name in rng.sample(KINDS, rng.choice((1, 1, 2))))
        records.append(TwinRecord(f"{BASE}t{number}", kinds, rng.choice(NAMES), attributes=values))
    found: dict[tuple[str, str, str], RelationshipRecord] = {}
    for _ in range(links):
        source, target = rng.sample(range(twins), 2)
        relation = rng.choice(RELATIONS)
        if relation == "tm:partOf" and source < target:
            source, target = target, source  # partOf must not run in a circle
        ends = (f"{BASE}t{source}", schema.relation(relation).iri, f"{BASE}t{target}")
        values = {"weight": Value(float(rng.randint(1, 3)))} if rng.random() < 0.5 else {}
        found[ends] = RelationshipRecord(*ends, attributes=values)
    return Change(put_twins=tuple(records), put_relationships=tuple(found.values()))


@pytest.fixture(scope="module", params=[1, 2, 3])
def view(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, schema: Schema, units: Units
) -> Generator[View]:
    rng = random.Random(request.param)
    folder: Path = tmp_path_factory.mktemp("graph")
    with Twin.open(folder / "s", schema, site="s", units=units) as twin:
        twin.apply(random_change(rng, schema, 60, 150))
        removed = tuple(f"{BASE}t{number}" for number in rng.sample(range(60), 5))
        twin.apply(Change(remove_twins=removed))
        yield fresh(View(twin.snapshot(), units, Budget(nodes_max=1, wall_s=1)))


def fresh(view: View) -> View:
    """The same view with a budget that is not used up."""
    return View(view.snapshot, view.units, Budget(nodes_max=10**9, wall_s=600), view.visible)


class Oracle:
    """Answers from records alone, one twin at a time."""

    def __init__(self, view: View) -> None:
        snapshot = view.snapshot
        self.schema = snapshot.schema
        self.twins = {snapshot.id(row): snapshot.record(row) for row in view.all_rows.tolist()}
        edges = [edge for edge in range(snapshot.edge_count) if snapshot.edge_alive[edge]]
        self.links = [snapshot.relationship(edge) for edge in edges]

    def below(self, iris: tuple[str, ...], name: str) -> bool:
        wanted = self.schema.kind(name).index
        return any(self.schema.is_a(self.schema.kind(iri).index, wanted) for iri in iris)

    def holds(self, twin: TwinRecord, predicate: plan.Predicate | None) -> bool:
        match predicate:
            case None:
                return True
            case plan.And(parts):
                return all(self.holds(twin, part) for part in parts)
            case plan.Or(parts):
                return any(self.holds(twin, part) for part in parts)
            case plan.Not(part):
                return not self.holds(twin, part)
            case plan.TextTest(plan.TextField.KIND, comparisons):
                return all(self.kind_holds(twin, each) for each in comparisons)
            case plan.TextTest(field, comparisons):
                return all(compare(self.text(twin, field), each) for each in comparisons)
            case plan.AttributeTest():
                return attribute_holds(twin.attributes, predicate)
            case plan.LinkTest():
                return self.link_holds(twin, predicate)

    def kind_holds(self, twin: TwinRecord, comparison: Comparison) -> bool:
        wanted = comparison.operand if isinstance(comparison.operand, tuple) else (comparison.operand,)
        found = any(self.below(twin.kinds, str(name)) for name in wanted)
        return found != (comparison.operator in (Operator.NE, Operator.NOT_IN))

    def text(self, twin: TwinRecord, field: plan.TextField) -> str | None:
        if field is plan.TextField.ID:
            return twin.id
        return twin.name if field is plan.TextField.NAME else twin.id.removeprefix(BASE)

    def link_holds(self, twin: TwinRecord, test: plan.LinkTest) -> bool:
        relation = self.schema.relation(test.relation)
        way = test.way
        if relation.inverse_of is not None:
            way = {Way.OUT: Way.IN, Way.IN: Way.OUT, Way.BOTH: Way.BOTH}[way]
            relation = self.schema.relations[relation.inverse_of]
        if relation.symmetric:
            way = Way.BOTH
        below = self.schema.relations_below(relation.index)
        results = []
        for link in self.links:
            if not below[self.schema.relation(link.relation).index]:
                continue
            ends = []
            if link.source == twin.id and way in (Way.OUT, Way.BOTH):
                ends.append(link.target)
            if link.target == twin.id and way in (Way.IN, Way.BOTH):
                ends.append(link.source)
            for end in ends:
                fits = all(attribute_holds(link.attributes, each) for each in test.link)
                results.append(fits and self.holds(self.twins[end], test.twin))
        combine = {plan.Quantifier.SOME: any, plan.Quantifier.EVERY: all}
        return (
            not any(results) if test.quantifier is plan.Quantifier.NONE else combine[test.quantifier](results)
        )


def attribute_holds(attributes: Any, test: plan.AttributeTest) -> bool:
    stated = attributes.get(test.name)
    value = None if stated is None else stated.value
    if test.unit is not None and isinstance(value, float | int) and not isinstance(value, bool):
        value = value * UNITS_OF_POWER[stated.unit] / UNITS_OF_POWER[test.unit] if stated.unit else None
    return all(compare(value, each) for each in test.comparisons)


def compare(value: Any, comparison: Comparison) -> bool:
    operator, operand = comparison.operator, comparison.operand
    if operator is Operator.EXISTS:
        return (value is not None) == operand
    if value is None:
        return False
    match operator:
        case Operator.EQ:
            return same(value, operand)
        case Operator.NE:
            return not same(value, operand)
        case Operator.IN:
            return any(same(value, item) for item in operand)
        case Operator.NOT_IN:
            return not any(same(value, item) for item in operand)
    if isinstance(value, str) != isinstance(operand, str) or isinstance(value, bool | list | dict):
        return False
    return {
        Operator.LT: lambda: value < operand,
        Operator.LTE: lambda: value <= operand,
        Operator.GT: lambda: value > operand,
        Operator.GTE: lambda: value >= operand,
        Operator.CONTAINS: lambda: operand in value,
        Operator.STARTS_WITH: lambda: value.startswith(operand),
    }[operator]()


def same(value: Any, operand: Any) -> bool:
    return isinstance(value, bool) == isinstance(operand, bool) and value == operand


# Random questions


def random_predicate(rng: random.Random, depth: int = 3) -> plan.Predicate:
    if depth == 0 or rng.random() < 0.4:
        return rng.choice((random_text, random_kind, random_attribute, random_power))(rng)
    kind = rng.choice(("and", "or", "not", "link"))
    if kind == "not":
        return plan.Not(random_predicate(rng, depth - 1))
    if kind == "link":
        return random_link(rng, depth)
    parts = tuple(random_predicate(rng, depth - 1) for _ in range(rng.randint(0, 3)))
    return plan.And(parts) if kind == "and" else plan.Or(parts)


def random_link(rng: random.Random, depth: int) -> plan.LinkTest:
    inner = random_predicate(rng, depth - 1) if rng.random() < 0.7 else None
    weight = plan.AttributeTest("weight", (Comparison(Operator.GTE, rng.randint(1, 3)),))
    return plan.LinkTest(
        rng.choice(list(plan.Quantifier)),
        rng.choice((*RELATIONS, "brick:isFedBy", "tm:hasPart")),
        rng.choice(list(Way)),
        inner,
        (weight,) if rng.random() < 0.3 else (),
    )


def random_text(rng: random.Random) -> plan.TextTest:
    field = rng.choice((plan.TextField.NAME, plan.TextField.LOCAL_ID))
    texts = [name or "t1" for name in NAMES] + [f"t{rng.randint(0, 59)}"]
    return plan.TextTest(field, tuple(random_comparison(rng, texts) for _ in range(rng.randint(1, 2))))


def random_kind(rng: random.Random) -> plan.TextTest:
    operator = rng.choice((Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN))
    operand: Any = rng.choice(KINDS)
    if operator in (Operator.IN, Operator.NOT_IN):
        operand = tuple(rng.sample(KINDS, 2))
    return plan.TextTest(plan.TextField.KIND, (Comparison(operator, operand),))


def random_attribute(rng: random.Random) -> plan.AttributeTest:
    name = rng.choice(list(ATTRIBUTES))
    values = [value for value in ATTRIBUTES[name] if value is not None]
    return plan.AttributeTest(name, (random_comparison(rng, values, ordered=name != "mixed"),))


def random_power(rng: random.Random) -> plan.AttributeTest:
    unit = rng.choice(list(UNITS_OF_POWER))
    operator = rng.choice((Operator.LT, Operator.LTE, Operator.GT, Operator.GTE))
    return plan.AttributeTest("ratedPower", (Comparison(operator, rng.choice((0.0045, 4.5, 4500))),), unit)


def random_comparison(rng: random.Random, values: list[Any], *, ordered: bool = True) -> Comparison:
    operators = [Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN, Operator.EXISTS]
    value = rng.choice(values)
    if ordered and not isinstance(value, bool):
        operators += [Operator.CONTAINS, Operator.STARTS_WITH] if isinstance(value, str) else []
    if ordered and isinstance(value, int | float) and not isinstance(value, bool):
        operators += [Operator.LT, Operator.LTE, Operator.GT, Operator.GTE]
    operator = rng.choice(operators)
    if operator in (Operator.IN, Operator.NOT_IN):
        return Comparison(operator, tuple(rng.sample(values, min(2, len(values)))))
    return Comparison(operator, rng.random() < 0.5 if operator is Operator.EXISTS else value)


def matched(view: View, predicate: plan.Predicate | None, **options: Any) -> list[str]:
    request = plan.Match(where=predicate, page=plan.PageRequest(first=1000), **options)
    return view.snapshot.ids(run_match(fresh(view), request).rows)


def test_filters_equal_the_oracle(view: View) -> None:
    oracle = Oracle(view)
    rng = random.Random(7)
    found_some = 0
    for _ in range(400):
        predicate = random_predicate(rng)
        expected = sorted(twin.id for twin in oracle.twins.values() if oracle.holds(twin, predicate))
        assert matched(view, predicate) == expected, predicate
        found_some += 0 < len(expected) < len(oracle.twins)
    assert found_some > 150  # the questions tell twins apart


def test_filters_see_only_what_is_in_scope(view: View) -> None:
    hidden = set(view.all_rows[::3].tolist())
    visible = view.snapshot.alive.copy()
    visible[list(hidden)] = False
    narrow = View(view.snapshot, view.units, view.budget, visible)
    oracle = Oracle(narrow)
    oracle.links = [
        link for link in oracle.links if link.source in oracle.twins and link.target in oracle.twins
    ]
    rng = random.Random(8)
    for _ in range(150):
        predicate = random_predicate(rng)
        expected = sorted(twin.id for twin in oracle.twins.values() if oracle.holds(twin, predicate))
        assert matched(narrow, predicate) == expected, predicate


def key_of(twin: TwinRecord, order: plan.OrderKey) -> Any:
    if order.by == "name":
        return twin.name
    stated = twin.attributes.get(order.by)
    if stated is None or isinstance(stated.value, list | dict):
        return None
    return stated.value * UNITS_OF_POWER[stated.unit] if stated.unit else stated.value


def type_rank(value: Any) -> int:
    return 1 if isinstance(value, bool) else 0 if isinstance(value, int | float) else 2


def by_order(order: tuple[plan.OrderKey, ...], one: TwinRecord, other: TwinRecord) -> int:
    for key in order:
        first, second = key_of(one, key), key_of(other, key)
        if first is None or second is None:
            if first is second:
                continue
            missing_first = -1 if key.nulls is plan.Nulls.FIRST else 1
            return missing_first if first is None else -missing_first
        pairs = ((type_rank(first), first), (type_rank(second), second))
        if pairs[0][0] == pairs[1][0] and first == second:
            continue
        side = -1 if pairs[0] < pairs[1] else 1
        return -side if key.descending else side
    return (one.id > other.id) - (one.id < other.id)


def random_order(rng: random.Random) -> tuple[plan.OrderKey, ...]:
    names = rng.sample(["name", "capacity", "assetTag", "flag", "mixed", "ratedPower"], rng.randint(0, 3))
    return tuple(plan.OrderKey(name, rng.random() < 0.5, rng.choice(list(plan.Nulls))) for name in names)


def test_orders_equal_the_oracle(view: View) -> None:
    oracle = Oracle(view)
    rng = random.Random(9)
    for _ in range(60):
        order = random_order(rng)
        expected = sorted(oracle.twins.values(), key=cmp_to_key(lambda a, b, o=order: by_order(o, a, b)))
        assert matched(view, None, order=order) == [twin.id for twin in expected], order


def test_pages_forward_and_backward_give_everything_once(view: View) -> None:
    rng = random.Random(10)
    for _ in range(20):
        order = random_order(rng)
        whole = matched(view, None, order=order)
        size = rng.randint(1, 17)
        assert walk(view, order, size, forward=True) == whole
        assert walk(view, order, size, forward=False) == whole


def walk(view: View, order: tuple[plan.OrderKey, ...], size: int, *, forward: bool) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        request = (
            plan.PageRequest(first=size, after=cursor)
            if forward
            else plan.PageRequest(last=size, before=cursor)
        )
        page = run_match(fresh(view), plan.Match(order=order, page=request))
        ids = view.snapshot.ids(page.rows)
        assert page.total == len(view.all_rows)
        found = [*found, *ids] if forward else [*ids, *found]
        assert page.has_previous == (found[0] != ids[0] if forward else len(found) < page.total)
        more = page.has_next if forward else page.has_previous
        if not more:
            return found
        cursor = page.cursor(len(ids) - 1 if forward else 0)


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (plan.PageRequest(first=-1), "PAGE_INVALID"),
        (plan.PageRequest(first=1, last=1), "PAGE_INVALID"),
        (plan.PageRequest(first=1001), "PAGE_TOO_LARGE"),
        (plan.PageRequest(after="nonsense!"), "CURSOR_INVALID"),
        (plan.PageRequest(after="W10"), "CURSOR_INVALID"),
        (plan.PageRequest(after="bnVsbA"), "CURSOR_INVALID"),
    ],
)
def test_wrong_pages_are_refused(view: View, page: plan.PageRequest, code: str) -> None:
    with pytest.raises((InputError, LimitError)) as caught:
        run_match(fresh(view), plan.Match(page=page))
    assert caught.value.code == code


def test_a_cursor_of_another_order_is_refused(view: View) -> None:
    page = run_match(fresh(view), plan.Match(order=(plan.OrderKey("name"),), page=plan.PageRequest(first=1)))
    with pytest.raises(InputError) as caught:
        run_match(fresh(view), plan.Match(page=plan.PageRequest(after=page.cursor(0))))
    assert caught.value.code == "CURSOR_INVALID"


@pytest.mark.parametrize(
    ("predicate", "code"),
    [
        (plan.AttributeTest("capcity", (Comparison(Operator.EQ, 1),)), "ATTRIBUTE_UNKNOWN"),
        (plan.AttributeTest("ratedPower", (Comparison(Operator.GT, 1),), "m"), "UNIT_MISMATCH"),
        (plan.AttributeTest("ratedPower", (Comparison(Operator.GT, 1),), "blorp"), "UNIT_UNKNOWN"),
        (plan.AttributeTest("capacity", (Comparison(Operator.LT, True),)), "FILTER_OPERAND"),
        (plan.TextTest(plan.TextField.KIND, (Comparison(Operator.EQ, "brick:AHUU"),)), "KIND_UNKNOWN"),
        (plan.TextTest(plan.TextField.SITE, (Comparison(Operator.EQ, "t"),)), "SITE_UNKNOWN"),
        (plan.LinkTest(plan.Quantifier.SOME, "feds"), "RELATION_UNKNOWN"),
    ],
)
def test_misspelt_filters_are_errors(view: View, predicate: plan.Predicate, code: str) -> None:
    with pytest.raises((InputError, NotFoundError)) as caught:
        run_match(fresh(view), plan.Match(where=predicate))
    assert caught.value.code == code


def test_a_misspelt_attribute_comes_with_a_suggestion(view: View) -> None:
    with pytest.raises(NotFoundError, match="capacity"):
        run_match(fresh(view), plan.Match(where=plan.AttributeTest("capcity", ())))


def test_the_budget_of_nodes_is_held(view: View) -> None:
    tight = View(view.snapshot, view.units, Budget(nodes_max=10, wall_s=60))
    with pytest.raises(LimitError) as caught:
        run_match(tight, plan.Match(page=plan.PageRequest(first=11)))
    assert caught.value.code == "NODE_BUDGET"
