"""Answers follow the writes: what was compiled before a change shows the change, all of one snapshot."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator
from dataclasses import replace

import orjson
import pytest
from graphql import parse, validate

from api.operation import Request, encode
from api.policy import LOCAL
from graph.values import Change, TwinRecord, Value
from tests.compiled.composing import compose
from tests.compiled.coverage import Coverage
from tests.compiled.drawing import fresh_seed, long_budget_s, plain_draw
from tests.compiled.odd_site import iri
from tests.compiled.operations import Operation, Shapes
from tests.compiled.oracle import compared
from tests.compiled.world import World, opened_world, vocabulary_of
from tests.compiled.writing import prepare, write_once

SHORT_WRITES = 60
LONG_WRITES = 1_000
ASKED_AGAIN = 5
KEPT_MAX = 80
TWINS = 60
ONE_SNAPSHOT = """query q($a: [ID!]!, $b: ID!) {
  nodes(ids: $a) { name attribute(name: "x:generation") { value } out { nodes { twin { name } } } }
  node(id: $b) { name in { nodes { twin { name attributes(names: ["x:generation"]) { value } } } } }
  partyList(first: 100) { edges { node { name attribute(name: "x:generation") { value } } } } }"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """A world of this module's own."""
    with opened_world(tmp_path_factory.mktemp("written")) as opened:
        prepare(opened)
        yield opened


def test_answers_follow_writes(written: World) -> None:
    follow(written, fresh_seed("writes"), SHORT_WRITES, 0.0)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_answers_follow_many_writes(written: World) -> None:
    follow(written, fresh_seed("writes, long"), LONG_WRITES, long_budget_s() / 2)


def follow(world: World, seed: int, least: int, budget_s: float) -> None:
    """Writes, and after each some operations that were asked before it, and a new one."""
    draw, covered, ends = plain_draw(random.Random(seed)), Coverage(), time.monotonic() + budget_s
    shapes = Shapes(world.engines["wide"].current_schema(), vocabulary_of(world.mesh))
    asked: list[Operation] = []
    done: list[str] = []
    while len(done) < least or time.monotonic() < ends:
        done.append(write_once(world, draw))
        if len(done) % 20 == 0:  # words and types that are new
            shapes = Shapes(world.engines["wide"].current_schema(), vocabulary_of(world.mesh))
        asked.append(compose(draw, shapes))
        for operation in (*draw.some(asked, ASKED_AGAIN), asked[-1]):
            if is_valid(world, operation):
                covered.add(replace(operation, flips=()), compared(world, operation))
        del asked[:-KEPT_MAX]
    print(f"{len(done)} writes; {covered.report(shapes.schema)}")


def is_valid(world: World, operation: Operation) -> bool:
    """The schema follows the data: a write may change the type of a typed field."""
    return not validate(world.engines[operation.limits].current_schema(), parse(operation.text))


def test_an_answer_is_of_one_snapshot(written: World) -> None:
    """All names and attributes are written at once; no answer holds two generations."""
    ids = [iri(f"generation {number}") for number in range(TWINS)]
    site = written.mesh.twin("odd")
    party = site.schema.kind("tm:Party").iri
    site.apply(Change(put_twins=tuple(TwinRecord(each, (party,), "0") for each in ids)))
    stop = threading.Event()

    def write() -> None:
        generation = 0
        while not stop.is_set():
            generation += 1
            values = {"x:generation": Value(str(generation))}
            records = tuple(TwinRecord(each, name=str(generation), attributes=values) for each in ids)
            site.apply(Change(merge_twins=records))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        met: set[str] = set()
        request = Request(ONE_SNAPSHOT, {"a": ids, "b": ids[0]})
        for _ in range(60):
            answer = written.ask(request, LOCAL, "wide")
            found = set(generations(orjson.loads(encode(answer.formatted))["data"]))
            assert len(found - {None}) == 1, found
            met |= found
    finally:
        stop.set()
        writer.join(20)
    assert len(met) > 5


def generations(value: object) -> Generator[str | None]:
    """All names and values in an answer, of the twins that are written at once."""
    if isinstance(value, list):
        for item in value:
            yield from generations(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("name", "value"):
                yield item if item is None or item.isdigit() else None
            else:
                yield from generations(item)
