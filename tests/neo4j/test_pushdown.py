"""Plans answered inside Neo4j equal the answers over columns, or are refused by name; never anything else."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

import pytest
from neo4j_waiting import wait_shown

from api.pushdown.place import Place
from graph import plan
from graph.execute import run_match
from graph.plan import Comparison, Operator
from graph.stores.neo4j.pushdown import PushDown
from graph.stores.neo4j.script import Around
from graph.values import Change
from graph.view import Budget, View
from ontology.errors import TwinmeshError
from ontology.units import load_units
from tests.graph.test_matching import BASE, fresh, random_change, random_order, random_predicate

QUESTIONS = 100

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy


@pytest.fixture
def world(open_mesh, schema):
    rng = random.Random(5)
    mesh = open_mesh()
    twin = mesh.create_site("s", BASE)
    twin.apply(random_change(rng, schema, 60, 150))
    twin.apply(Change(remove_twins=tuple(f"{BASE}t{number}" for number in rng.sample(range(60), 5))))
    wait_shown(mesh, "s")
    view = fresh(View(twin.snapshot(), load_units(), Budget(nodes_max=1, wall_s=1)))
    connection = mesh._journals.connection
    place = Place(connection, schema)
    known = place.known()

    def ask(text, values):
        return connection.run(text, **values)[0]

    texts = partial(place.unit_texts.all_of, ask)
    around = Around(known.bases, known.attributes, view.units, ask, texts)
    return view, PushDown(connection, view.snapshot.schema, "s", around)


def of_columns(view, match):
    page = run_match(fresh(view), match)
    ids = view.snapshot.ids(page.rows)
    return (
        ids,
        page.has_previous,
        page.has_next,
        [page.cursor(place) for place in range(len(ids))],
        page.total,
    )


def of_neo4j(pushed, match):
    page = pushed.match(match)
    cursors = [page.cursor(place) for place in range(len(page.ids))]
    return page.ids, page.has_previous, page.has_next, cursors, pushed.count(match)


def outcome(ask, *words):
    try:
        return ask(*words)
    except TwinmeshError as error:
        return error.code


def test_random_questions_are_answered_equally_or_refused(world):
    view, pushed = world
    seed = 11
    rng, seen = random.Random(seed), Counter()
    for _ in range(QUESTIONS):
        kind = rng.choice((None, "brick:AHU", "brick:Equipment", "rec:Space"))
        where = random_predicate(rng) if rng.random() < 0.9 else None
        order, size = random_order(rng)[:2], rng.choice((0, 1, 3, 7, 50))
        request = plan.PageRequest(first=size) if rng.random() < 0.6 else plan.PageRequest(last=size)
        for _ in range(3):
            match = plan.Match(kind, where, order, request)
            found = outcome(of_neo4j, pushed, match)
            if found == "PUSHDOWN_UNSUPPORTED":
                seen["refused"] += 1
                break
            assert found == outcome(of_columns, view, match), (match, pushed.explain(match))
            seen["answered"] += 1
            _, previous, following, cursors, _ = found
            if request.last is None and following and cursors:
                request = plan.PageRequest(first=size, after=cursors[-1])
            elif request.last is not None and previous and cursors:
                request = plan.PageRequest(last=size, before=cursors[0])
            else:
                break
    print("seed", seed, dict(seen))
    assert seen["answered"] > QUESTIONS / 3


def test_errors_are_those_of_the_columns(world):
    view, pushed = world
    tests = [
        plan.Match("brick:Nothing"),
        plan.Match(None, plan.LinkTest(plan.Quantifier.SOME, "tm:nothing")),
        plan.Match(None, plan.AttributeTest("assetTag", (Comparison(Operator.LT, True),))),
        plan.Match(None, page=plan.PageRequest(first=-1)),
        plan.Match(None, page=plan.PageRequest(first=5_000)),
        plan.Match(None, page=plan.PageRequest(first=5, after="nonsense")),
        plan.Match(None, page=plan.PageRequest(first=5, last=5)),
    ]
    for match in tests:
        code = outcome(of_neo4j, pushed, match)
        assert isinstance(code, str) and code == outcome(of_columns, view, match), match


def test_no_value_becomes_text_of_a_statement(world):
    _, pushed = world
    nasty = "x' OR 1=1 //`"
    tests = (plan.TextTest(plan.TextField.NAME, (Comparison(Operator.EQ, nasty),)),)
    match = plan.Match("brick:AHU", plan.And(tests))
    assert nasty not in pushed.explain(match)
    assert pushed.match(match).ids == []
