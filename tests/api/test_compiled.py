"""Compiled operations: the bytes of the resolvers' answer, and the resolvers where there is no plan.

The random ones are in tests/compiled; here stands what must have a plan, and what must not.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from graphql import ExecutionResult, execute_sync, get_operation_ast, parse, validate

from api.auth import Tokens
from api.commanding import Commands
from api.compiled import kernels, template
from api.compiled.compiler import Compiled, Tables, compile_operation
from api.compiled.plans import Plans
from api.config import JobLimits, Limits, Settings
from api.policy import LOCAL, Principal, Role
from api.schema.build import fixed_schema
from api.schema.context import RequestContext, Services
from api.schema.source import SchemaSource
from api.simulating import Simulations
from graph import id_order
from graph.mesh import Mesh
from graph.quality import Reason, quality_byte
from graph.values import Change, Quality, Readings, Value
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import fill, iri, link, twin

ALL = "__typename id localId name kind kinds site revision externalIds { __typename system id }"
POINT = "value text state unit time quality qualityReason"
PAGE = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
LINKS = f"totalCount edges {{ cursor node {{ id relation group twin {{ id }} }} }} {PAGE}"
PLANNED = (
    f"{{ twins {{ nodes {{ {ALL} }} totalCount {PAGE} }} }}",
    f"{{ pointList {{ edges {{ cursor node {{ {ALL} {POINT} }} }} }} }}",
    f"""{{ ahuList {{ nodes {{ out {{ {LINKS} }} in(relation: "feeds", first: 1) {{ {LINKS} }} }} }} }}""",
    "{ twins { nodes { attributes { name value unit source } } } }",
    """{ twins { nodes { attribute(name: "ratedPower") { value unit } attributes(names: []) { name } } } }""",
    """{ twins { nodes { id ...R ... on AHU { ratedPower assetTag } ... on Point { value } } } }
    fragment R on RecRoom { area(unit: "m2") points { id unit } }""",
    f"""{{ levelList {{ nodes {{ name in(relation: "partOf") {{ nodes {{
    attributes {{ name }} twin {{ name points {{ {ALL} {POINT} }} }} }} }} }} }} }}""",
    """{ search(text: "air") { nodes { id } edges { cursor } totalCount } }""",
    """{ a: node(id: "AHU-1") { name } b: node(id: "none") { name } ahu(id: "R-1") { id } }""",
    """{ __typename nodes(ids: ["R-1", "none", "R-2", "R-1"]) { __typename id ... on AHU { kind } } }""",
    """{ twins(filter: {some: {relation: "feeds"}}, orderBy: [{by: "name", direction: DESC}], last: 3) {
    nodes { name } } }""",
    "{ ahuList(where: {assetTag: {exists: true}}) { nodes { id assetTag } } }",
    "{ sites { __typename name base revision time twins relationships } }",
    "{ pointList { nodes { id history(last: 1) { time value state quality aggregates __typename } } } }",
    """{ aggregate(kind: "brick:Zone_Air_Temperature_Sensor", groupBy: ["^pointOf"],
    measures: [{op: MEAN}, {op: COUNT}]) { keys values units } }""",
    """{ reachable(from: ["campus:CH-1"], relations: ["feeds"]) { nodes { depth twin { id } } count
    truncated { reason } } }""",
)
UNPLANNED = (
    "{ __schema { queryType { name } } }",
    """{ paths(from: "campus:CH-1", to: "AHU-1") { paths { twins { id } } } }""",
    """mutation { dropScenario(id: "none") }""",
)
WRONG = (
    "{ twins(first: -1) { nodes { id } } }",
    """{ node(id: "CH-1") { id } }""",
    """{ twins { nodes { id attribute(name: "ratedPwer") { value } } } }""",
    """{ ahuList { nodes { out(relation: "nothing") { totalCount } } } }""",
    """{ ahuList { nodes { ratedPower(unit: "m2") } } }""",
    """{ pointList { nodes { history(last: -1) { time } } } }""",
    """{ ahuList { nodes { in(after: "no cursor") { edges @skip(if: true) { cursor } } } } }""",
    """{ ahuList { nodes { in(relation: "nothing") { __typename } } } }""",
    """{ ahuList { nodes { attributes(names: ["nothing"]) { name @skip(if: true) } } } }""",
    "query ($n: Int!) { twins(first: $n) { nodes { id } } }",
)


@dataclass
class Desk:
    """Asks a mesh both ways."""

    mesh: Mesh
    services: Services
    source: SchemaSource = field(default_factory=lambda: SchemaSource(fixed_schema()))
    tables: Tables = field(default_factory=Tables)

    def context(self, principal: Principal = LOCAL) -> RequestContext:
        return RequestContext(self.services, principal)

    def plan(self, text: str, **variables: Any) -> Compiled | None:
        schema, document = self.schema(), parse(text)
        assert not validate(schema, document)
        operation = get_operation_ast(document)
        assert operation is not None
        return compile_operation(schema, document, operation, variables, self.tables)

    def schema(self) -> Any:
        return self.source.schema_for(self.mesh.snapshot())

    def resolved(self, text: str, principal: Principal = LOCAL, **variables: Any) -> ExecutionResult:
        context = self.context(principal)
        return execute_sync(self.schema(), parse(text), context_value=context, variable_values=variables)

    def check(self, text: str, principal: Principal = LOCAL, **variables: Any) -> bytes:
        """Both answers are equal, and the first is compiled."""
        plan = self.plan(text, **variables)
        assert plan is not None
        encoded = plan.run(self.context(principal), variables)
        expected = self.resolved(text, principal, **variables)
        assert expected.errors is None
        assert encoded is not None
        assert encoded.data == orjson.dumps(expected.data)
        return encoded.data


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Desk]:
    folder = tmp_path_factory.mktemp("compiled")
    with Mesh.open(folder / "data", ontology, units=units) as mesh:
        fill(mesh)
        record_some(mesh)
        yield desk_of(mesh, folder, units)


def desk_of(mesh: Mesh, folder: Path, units: Units) -> Desk:
    simulations = Simulations(mesh, JobLimits(), lambda *_: {})
    tokens = Tokens(folder / "tokens.json")
    return Desk(mesh, Services(mesh, units, Settings(limits=Limits()), tokens, simulations, Commands(None)))


def record_some(mesh: Mesh, first: float = 20.5) -> None:
    site = mesh.twin("campus")
    rows = site.snapshot().rows_of_kind(site.snapshot().schema.point_kind)[1:]
    values = np.array([first, -0.0, np.nan, 1e300, 5e-324][: len(rows)])
    times = np.full(len(rows), 1_768_160_000_123_000_000)
    doubted = quality_byte(Quality.UNCERTAIN, Reason.RANGE)
    stuck = quality_byte(Quality.BAD, Reason.STUCK)
    quality = np.array([Quality.GOOD, Quality.BAD, doubted, Quality.UNCERTAIN, stuck], np.uint8)
    site.record(Readings(rows, times, values.view(np.uint64), quality[: len(rows)]))


@pytest.mark.parametrize("text", PLANNED)
def test_answers_are_those_of_the_resolvers(desk: Desk, text: str) -> None:
    desk.check(text)


@pytest.mark.parametrize("text", PLANNED)
def test_kernels_write_the_same_as_texts(desk: Desk, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "FEW", -1)
    monkeypatch.setattr("api.compiled.roots.FEW", -1)
    desk.check(text)


@pytest.mark.parametrize("text", UNPLANNED)
def test_what_has_no_plan_is_left_to_the_resolvers(desk: Desk, text: str) -> None:
    assert desk.plan(text) is None


@pytest.mark.parametrize("text", WRONG)
def test_errors_are_left_to_the_resolvers(desk: Desk, text: str) -> None:
    plan = desk.plan(text, n=2_000)
    assert plan is None or plan.run(desk.context(), {"n": 2_000}) is None
    assert desk.resolved(text, n=2_000).errors


def test_variables_are_read_anew_by_each_run(desk: Desk) -> None:
    text = """query ($n: Int = 2, $r: String) {
    ahuList(first: $n) { nodes { id out(relation: $r) { totalCount } } } }"""
    plan = desk.plan(text)
    assert plan is not None
    for variables in ({}, {"n": 1}, {"n": 2, "r": "feeds"}, {"r": None}):
        encoded = plan.run(desk.context(), variables)
        assert encoded is not None
        assert encoded.data == orjson.dumps(desk.resolved(text, **variables).data)


def test_a_scope_hides_what_it_hides(desk: Desk) -> None:
    narrow = Principal("narrow", Role.ANALYST, sites=("plant",))
    data = desk.check("{ twins { nodes { id in { nodes { twin { id } } } } totalCount } }", narrow)
    assert b"campus" not in data


def test_a_budget_that_is_spent_is_left_to_the_resolvers(desk: Desk) -> None:
    text = "{ twins { nodes { id out { nodes { id } } } } }"
    plan, context = desk.plan(text), desk.context()
    assert plan is not None
    context.budget.nodes_left = 3
    assert plan.run(context, {}) is None


def test_a_mistake_in_a_plan_is_told_and_left_to_the_resolvers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan = desk.plan("{ twins { nodes { id } } }")
    assert plan is not None
    monkeypatch.setattr(template.Column, "texts", lambda *_: [][0])
    monkeypatch.setattr(template.Column, "pieces", lambda *_: [][0])
    assert plan.run(desk.context(), {}) is None
    assert "a plan failed" in caplog.text


def test_commits_and_readings_are_seen_at_once(tmp_path: Path, ontology: Schema, units: Units) -> None:
    with Mesh.open(tmp_path / "data", ontology, units=units) as mesh:
        fill(mesh)
        desk = desk_of(mesh, tmp_path, units)
        more = f"attributes {{ name value }} out {{ totalCount }} ... on Point {{ {POINT} }}"
        text = f"{{ twins {{ nodes {{ {ALL} {more} }} }} }}"
        plan = desk.plan(text)
        assert plan is not None
        seen = set[bytes]()
        for step in range(4):
            change(mesh, step)
            encoded = plan.run(desk.context(), {})
            assert encoded is not None
            assert encoded.data == orjson.dumps(desk.resolved(text).data)
            seen.add(encoded.data)
        assert len(seen) == 4


def change(mesh: Mesh, step: int) -> None:
    site = mesh.twin("campus")
    match step:
        case 0:
            site.apply(Change(merge_twins=(twin("campus", "AHU-1", "brick:AHU", 'new "name"\n'),)))
        case 1:
            site.apply(Change(remove_twins=(iri("campus", "R-1"),)))
        case 2:
            odd = twin("campus", "odd%20one", "rec:Room", "é", note=Value(["a", {"b": None}]), big=2**53)
            site.apply(
                Change(put_twins=(odd,), put_relationships=(link("campus", "odd%20one", "tm:partOf", "L-1"),))
            )
        case _:
            record_some(mesh, 99.25)


def test_plans_are_bounded_by_bytes(desk: Desk) -> None:
    plans = Plans(bytes_max=60_000)
    schema = desk.schema()
    for number in range(200):
        document = parse(
            f"query ($a: Boolean) {{ twins {{ nodes {{ n{number}: id name @skip(if: $a) }} }} }}"
        )
        operation = get_operation_ast(document)
        assert operation is not None
        first = plans.plan(schema, document, operation, {"a": True})
        assert first is not None
        assert plans.plan(schema, document, operation, {"a": True}) is first
        assert plans.plan(schema, document, operation, {"a": False}) is not first
        assert plans.plan(schema, document, operation, {"a": "no boolean"}) is None
        assert 0 < plans.nbytes <= plans.bytes_max
    assert any(line.startswith("twinmesh_compiled_cache_bytes ") for line in plans.lines())


def test_each_kernel_is_compiled_once(desk: Desk) -> None:
    """For other kinds of arrays it would be compiled anew, in the middle of a request."""
    for text in PLANNED:
        desk.check(text)
    for module in (kernels, id_order):
        for name, kernel in vars(module).items():
            # Those that only kernels call are compiled into these.
            signatures = None if name.startswith("_") else getattr(kernel, "signatures", None)
            assert signatures is None or len(signatures) <= 1, name
