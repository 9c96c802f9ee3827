"""What is known of operations: prices by variables, what may run on the loop, what is kept and how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from graphql import build_schema, parse

import api.engine
from api.config import Limits, Settings
from api.engine import Engine
from api.known import KnownDocument, KnownDocuments, KnownOperation
from api.limits import Price, price_of
from api.operation import Request
from api.policy import LOCAL, Principal, Role
from api.schema.build import fixed_schema
from graph.mesh import Mesh
from tests.api.conftest import twin

SCHEMA = build_schema(
    """
    type Query { twins(kind: String, filter: String, first: Int, after: String): Connection
      node(id: ID!, asOf: String): Twin  nodes(ids: [ID!]!): [Twin!]!  search(text: String): Connection
      aggregate(kind: String): Int }
    type Mutation { change: Int }
    type Connection { nodes: [Twin!]!  totalCount: Int }
    type Twin { id: ID!  out(first: Int, kind: String): Connection!  history(last: Int): [Twin!]! }
    """
)


def known(text: str, name: str | None = None) -> KnownOperation:
    found = KnownDocument(SCHEMA, parse(text)).operation(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "is_steady"),
    [
        ("{ twins(first: 5) { nodes { id } } }", True),
        ('{ twins(filter: "x") { nodes { id } } }', True),
        ("{ aggregate }", True),
        ("query q($i: ID!) { node(id: $i) { id } }", True),
        ("query q($n: Int, $a: String) { twins(first: $n, after: $a) { nodes { id } } }", True),
        ("query q($s: Boolean!) { twins { nodes { id @skip(if: $s) } } }", True),
        ("query q($f: String) { twins(filter: $f) { nodes { id } } }", False),
        ("query q($k: String) { aggregate(kind: $k) }", False),
        ("query q($i: ID!) { nodes(ids: [$i]) { id } }", False),
        ('{ node(id: 1, asOf: "2026") { id } }', False),
        ("{ node(id: 1) { history { id } } }", False),
        ('{ search(text: "x") { nodes { id } } }', False),
        ("{ __schema { types { name } } }", False),
        ("mutation { change }", False),
        ("query q($k: String) { ...f } fragment f on Query { node(id: 1) { out(kind: $k) { a } } }", False),
    ],
)  # fmt: skip
def test_what_is_steady(text: str, is_steady: bool) -> None:
    assert known(text).traits.is_steady == is_steady


@pytest.mark.parametrize(
    ("text", "is_introspection"),
    [
        ("{ __schema { types { name } } }", True),
        ('{ __type(name: "Twin") { name } __typename }', True),
        ("{ __typename }", False),
        ("{ __schema { types { name } } aggregate }", False),
        ("{ ...f } fragment f on Query { __schema { types { name } } }", False),
    ],
)
def test_what_asks_for_the_schema_alone(text: str, is_introspection: bool) -> None:
    assert known(text).traits.is_introspection == is_introspection
    assert known(text).traits.asks_schema == ("__schema" in text or "__type(" in text)


def test_prices_are_those_of_the_rule_whatever_is_kept() -> None:
    text = """query q($n: Int = 3, $i: [ID!]!, $k: String) {
      twins(first: $n, kind: $k) { nodes { id } } nodes(ids: $i) { id } }"""
    operation = known(text)
    values: list[Any] = [1, 20, 0, -1, True, None, "x", 10**30]
    for _ in range(2):
        for first in values:
            for ids in ([], ["a"], ["b", "c"], "a", None):
                for more in ({}, {"n": first}):
                    variables = {"i": ids, "k": "any", **more}
                    expected = price_of(SCHEMA, operation.document, operation.node, variables)
                    assert operation.price(variables) == expected


def test_prices_that_are_kept_are_bounded() -> None:
    operation = known("query q($n: Int) { twins(first: $n) { nodes { id } } }")
    assert [operation.price({"n": n}).cost for n in range(1_000)] == [1 + 2 * n for n in range(1_000)]
    assert len(operation._prices) <= 64


def test_documents_are_bounded_and_the_one_used_last_stays() -> None:
    documents = KnownDocuments()
    text = "{ twins { nodes { id } } }"
    document = KnownDocument(SCHEMA, parse(text))
    documents.put(text, document)
    for number in range(1_000):
        documents.put(f"{text}{number}", document)
        assert documents.get(SCHEMA, text) is document
    assert documents.get(SCHEMA, f"{text}0") is None
    for number in range(200):
        documents.put(" " * 10_000 + str(number), document)
    assert documents.characters <= 1_000_000
    documents.put("x" * 20_001, document)
    assert documents.get(SCHEMA, "x" * 20_001) is None


def test_operations_by_name() -> None:
    document = KnownDocument(SCHEMA, parse("query a { aggregate } query b { node(id: 1) { id } }"))
    assert document.operation(None) is None
    assert document.operation("c") is None
    assert document.operation("b") is document.operation("b")


# Where they run


@pytest.fixture
def engine(mesh: Mesh) -> Generator[Engine]:
    made = Engine(services_of(mesh, Limits()), fixed_schema(), threads=2)
    yield made
    made.close()


def services_of(mesh: Mesh, limits: Limits) -> Any:
    from api.auth import Tokens
    from api.commanding import Commands
    from api.config import JobLimits
    from api.schema.context import Services
    from api.simulating import Simulations
    from ontology.units import load_units

    simulations = Simulations(mesh, JobLimits(), lambda *_: {})
    tokens = Tokens(mesh.folder / "tokens.json")
    return Services(mesh, load_units(), Settings(limits=limits), tokens, simulations, Commands(None))


@pytest.fixture
def threads_of(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the threads in which operations were answered."""
    seen: list[str] = []
    answered = Engine._answered

    def spy(self: Engine, prepared: Any) -> Any:
        seen.append(threading.current_thread().name)
        return answered(self, prepared)

    monkeypatch.setattr(Engine, "_answered", spy)
    return iter([seen])


NODE = "query q($i: ID!) { node(id: $i) { localId } }"


def quick(engine: Engine) -> None:
    """Make every operation look quick, however loaded this machine is."""
    for document in engine._documents._known.values():
        for operation in document._operations.values():
            operation._took_s = 0.0


async def test_a_quick_operation_runs_on_the_loop_until_the_graph_changes(
    engine: Engine, mesh: Mesh, threads_of: Iterator[list[str]]
) -> None:
    seen = next(threads_of)
    request = Request(NODE, {"i": "AHU-1"})
    first = await engine.run(request, LOCAL)
    quick(engine)
    second = await engine.run(request, LOCAL)
    assert first.formatted["extensions"] == second.formatted["extensions"]
    assert [name.startswith("graphql") for name in seen] == [True, False]
    from graph.values import Change

    mesh.twin("campus").apply(Change(put_twins=(twin("campus", "NEW", "tm:Asset"),)))
    await engine.run(request, LOCAL)
    await engine.run(request, Principal("part", Role.PARTNER, sites=("campus",)))
    assert [name.startswith("graphql") for name in seen] == [True, False, True, True]


async def test_what_a_variable_may_make_slow_stays_in_threads(
    engine: Engine, threads_of: Iterator[list[str]]
) -> None:
    seen = next(threads_of)
    text = "query q($f: TwinFilter) { twins(filter: $f, first: 1) { nodes { id } } }"
    for _ in range(3):
        await engine.run(Request(text, {"f": {"name": {"contains": "x"}}}), LOCAL)
        quick(engine)
    assert all(name.startswith("graphql") for name in seen)


async def test_what_was_slow_goes_to_threads(engine: Engine, threads_of: Iterator[list[str]]) -> None:
    seen = next(threads_of)
    request = Request("{ twins { totalCount } }")
    await engine.run(request, LOCAL)
    for document in engine._documents._known.values():
        for operation in document._operations.values():
            operation._took_s = 0.5
    await engine.run(request, LOCAL)
    assert all(name.startswith("graphql") for name in seen)


async def test_too_many_that_wait_are_refused(mesh: Mesh) -> None:
    engine = Engine(services_of(mesh, Limits(waiting_max=2)), fixed_schema(), threads=1)
    held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert may_go.wait(20)

    engine._pool.submit(hold)
    assert held.wait(20)
    running = [asyncio.ensure_future(engine.run(Request("{ sites { name } }"), LOCAL)) for _ in range(5)]
    await asyncio.sleep(0)
    refused = [task.result() for task in running if task.done()] or []
    may_go.set()
    answers = [await task for task in running]
    engine.close()
    codes = [answer.code for answer in answers]
    assert codes.count("OVERLOADED") == 3
    assert len([answer for answer in refused if answer.code == "OVERLOADED"]) in (0, 3)
    assert codes.count(None) == 2


async def test_hostile_texts_never_reach_a_thread(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a thread was used")

    monkeypatch.setattr(engine._pool, "submit", fail)
    texts = {
        "{" + " ".join(f"a{i}: __typename" for i in range(5_000)) + "}": "QUERY_TOO_LARGE",
        "{" + " ".join(f"a{i}:id" for i in range(1_000)) + "}": "TOO_MANY_ALIASES",
        "{" + "id " * 20_000 + "}": "QUERY_TOO_LARGE",
        "{a" * 100_000 + "}" * 100_000: "QUERY_TOO_LARGE",
        "{a" * 500 + "}" * 500: "QUERY_TOO_DEEP",
    }
    for text, code in texts.items():
        answer = await engine.run(Request(text), LOCAL)
        assert (answer.code, answer.started) == (code, False)
        async for refused in engine.stream(Request(text), LOCAL):
            assert refused.code == code
        exported = await engine.export(Request(text), LOCAL)
        assert getattr(exported, "code", None) == code


# Introspection

TYPES = "{ __schema { types { name fields { name } } } }"


async def test_the_schema_is_told_from_bytes_that_are_made_once(
    engine: Engine, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    execute = api.engine._execute

    def spy(prepared: Any) -> Any:
        made.append(prepared.request.query)
        return execute(prepared)

    monkeypatch.setattr(api.engine, "_execute", spy)
    first, second = [await engine.run(Request(TYPES), LOCAL) for _ in range(2)]
    assert first.data_bytes == second.data_bytes
    assert first.data_bytes is not None
    assert len(made) == 1
    by_name = "query q($n: String!) { __type(name: $n) { name } }"
    for name in ("Twin", "Query", "Twin"):
        answer = await engine.run(Request(by_name, {"n": name}), LOCAL)
        assert answer.data_bytes == b'{"__type":{"name":"%s"}}' % name.encode()
    assert len(made) == 3
    from graph.values import Change

    mesh.twin("campus").apply(Change(put_twins=(twin("campus", "P-1", "brick:Pump"),)))
    third = await engine.run(Request(TYPES), LOCAL)
    assert b"PumpTwin" in (third.data_bytes or b"")
    assert b"PumpTwin" not in first.data_bytes
    assert engine._introspection.size == (1, len(third.data_bytes or b""))


async def test_what_is_wrong_is_not_kept(engine: Engine) -> None:
    by_name = "query q($n: String!) { __type(name: $n) { name } }"
    assert (await engine.run(Request(by_name, {"n": 7}), LOCAL)).code == "GRAPHQL_INVALID"
    assert engine._introspection.size == (0, 0)


async def test_introspection_costs_by_a_rule_of_its_own(engine: Engine) -> None:
    from graphql import get_introspection_query

    assert (await engine.run(Request(get_introspection_query()), LOCAL)).code is None
    one = "__schema { types { fields { args { type { name } } } } }"
    many = "{" + "".join(f"a{i}: {one} " for i in range(60)) + "}"
    assert (await engine.run(Request(many), LOCAL)).code == "QUERY_TOO_COSTLY"


async def test_introspection_may_be_denied(mesh: Mesh) -> None:
    engine = Engine(services_of(mesh, Limits(introspection=False)), fixed_schema(), threads=1)
    analyst = Principal("analyst", Role.ANALYST)
    for text in (TYPES, "{ ...f } fragment f on Query { __schema { types { name } } }"):
        assert (await engine.run(Request(text), analyst)).code == "INTROSPECTION_DENIED"
        assert (await engine.run(Request(text), LOCAL)).code is None
    assert (await engine.run(Request("{ __typename }"), analyst)).code is None
    engine.close()


def test_a_price_is_a_number() -> None:
    assert known("{ aggregate }").price({}) == Price(1, 1)
