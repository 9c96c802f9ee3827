"""GraphQL answered inside Neo4j is byte-equal to GraphQL over the same graph in memory, or refused by name.

Random operations are those of tests/compiled; the answers are held against graphql-core's own executor over
the resolvers. A fresh seed each time, printed; TWINMESH_SEED gives a run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import Counter
from itertools import permutations

import pytest
from neo4j_waiting import wait_shown, wait_until

from api.engine import Engine
from api.operation import Request, encode
from api.policy import LOCAL, Principal, Role
from api.pushdown.engine import PushedEngine
from api.pushdown.place import Place
from api.schema.build import fixed_schema
from graph.mesh import Mesh
from graph.stores.choosing import open_journals
from graph.values import Change, RelationshipRecord, TwinRecord
from ontology.units import load_units
from tests.compiled.composing import compose
from tests.compiled.drawing import fresh_seed, plain_draw
from tests.compiled.odd_site import odd_change
from tests.compiled.operations import Shapes
from tests.compiled.oracle import body_of, resolved, rounds
from tests.compiled.world import TIGHT, WIDE, World, services_of, vocabulary_of
from tests.graph.test_matching import BASE, random_change

EQUAL = 40
REFUSED = "PUSHDOWN_UNSUPPORTED"
# What is never answered there; operations with such words would only be refused.
_NEVER = re.compile(
    r"\b(source|search|sites|simulation|history|quality|qualityReason|time|state"
    r"|text|bindings|liveSources|commands?|alarms|__schema|__type|asOf|atRevision|scenario)\b"
)

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy


class Pushed:
    """A world in memory, and engines that answer inside the Neo4j that shows it."""

    def __init__(self, world, engines, shapes):
        self.world, self.engines, self.shapes = world, engines, shapes

    def ask(self, text, variables=None, principal=LOCAL, limits="wide"):
        return self.ask_request(Request(text, variables or {}), principal, limits)

    def ask_request(self, request, principal, limits):
        return self.world.loop.run_until_complete(self.engines[limits].run(request, principal))


@pytest.fixture(scope="module")
def pushed(neo4j_server_started, tmp_path_factory, schema):
    neo4j_server_started.clear()
    folder = tmp_path_factory.mktemp("pushed")
    with contextlib.ExitStack() as stack:
        (folder / "twinmesh.toml").write_text("format = 1\n")
        journals = open_journals(folder, neo4j_server_started.url, password=neo4j_server_started.password)
        mesh = stack.enter_context(Mesh.open(folder, schema, units=load_units(), journals=journals))
        odd = mesh.create_site("odd")
        odd.apply(odd_change(odd))
        twin = mesh.create_site("s", BASE)
        twin.apply(random_change(random.Random(5), schema, 60, 150))
        twin.apply(Change(remove_twins=(f"{BASE}t3", f"{BASE}t9")))
        for site in mesh.sites:
            wait_shown(mesh, site)
        place = Place(journals.connection, schema)
        place.prepare()
        services = {"wide": services_of(mesh, folder, WIDE), "tight": services_of(mesh, folder, TIGHT)}
        engines = {name: Engine(each, fixed_schema(), threads=1) for name, each in services.items()}
        inside = {
            name: PushedEngine(each, fixed_schema(), place, threads=1) for name, each in services.items()
        }
        for engine in (*engines.values(), *inside.values()):
            stack.callback(engine.close)
        for each in services.values():
            stack.callback(each.simulations.close)
        loop = stack.enter_context(contextlib.closing(asyncio.new_event_loop()))
        world = World(mesh, services, engines, loop)
        yield Pushed(world, inside, Shapes(engines["wide"].current_schema(), vocabulary_of(mesh)))


def codes_of(answer):
    return {(error.extensions or {}).get("code") for error in answer.result.errors or ()}


def judge(pushed, request, principal, limits):
    """What became of one request; AssertionError where it was answered otherwise than in memory."""
    expected = resolved(pushed.world, request, principal, limits)
    answer = pushed.ask_request(request, principal, limits)
    codes = codes_of(answer)
    if REFUSED in codes:
        return "refused"
    if codes:
        assert expected.errors or codes == {"QUERY_TOO_COSTLY"}, (codes, request)
        return "errors"
    body = encode(answer.formatted)
    assert body == body_of(expected, answer.result.extensions), (request, principal)
    return "equal"


def composed(rng_seed, shapes):
    """Operations of which something may be answered."""
    number = 0
    while True:
        number += 1
        operation = compose(plain_draw(random.Random(f"{rng_seed} {number}")), shapes)
        if not _NEVER.search(operation.text):
            yield operation


class Only(Shapes):
    """The same schema, of which only some fields are asked at the root."""

    def __init__(self, shapes, *names):
        super().__init__(shapes.schema, shapes.words)
        self.__dict__["roots"] = [(1, list(names))]


def run(pushed, equal, shapes=None, seed=None):
    """Operations until so many answers were equal. What is drawn may be refused or wrong, but not mostly."""
    seed, seen, drawn = seed or fresh_seed("push-down"), Counter(), 0
    operations = composed(seed, shapes or pushed.shapes)
    while seen["equal"] < equal:
        drawn += 1
        assert drawn < 20 * equal, seen
        operation = next(operations)
        for request, principal in rounds(pushed.world, operation):
            seen[judge(pushed, request, principal, operation.limits)] += 1
    print("seed", seed, "drawn", drawn, dict(seen))


def test_random_operations_are_answered_as_in_memory_or_refused(pushed):
    run(pushed, EQUAL)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_many_random_operations_are_answered_as_in_memory_or_refused(pushed):
    run(pushed, 5_000)


def test_every_relationship_has_its_id_and_its_place_also_between_the_same_two(pushed, schema):
    """Several relationships between two twins are in the order of their ids, which Neo4j does not know."""
    twin = pushed.world.mesh.twin("s")
    feeds = schema.relation("tm:feeds").iri
    records = [RelationshipRecord(f"{BASE}t1", feeds, f"{BASE}t2", group=f"g{n}") for n in range(9)]
    twin.apply(Change(put_relationships=tuple(records)))
    wait_shown(pushed.world.mesh, "s")
    text = """query q($a: String) { node(id: "s:t1") { out(relation: "feeds", first: 4, after: $a) {
      totalCount edges { cursor node { id group twin { id } } }
      pageInfo { hasNextPage hasPreviousPage } } } }"""
    after, met = None, 0
    while True:
        request = Request(text, {"a": after})
        assert judge(pushed, request, LOCAL, "wide") == "equal"
        found = pushed.ask_request(request, LOCAL, "wide").plain["data"]["node"]["out"]
        met += len(found["edges"])
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["edges"][-1]["cursor"]
    assert met == found["totalCount"] >= 9


def test_pages_have_their_keys_in_the_order_in_which_they_are_asked_for(pushed):
    parts = ("edges { cursor }", "nodes { id }", "totalCount", "pageInfo { hasNextPage }", "__typename")
    for first, second in permutations(parts, 2):
        page = f"{{ {first} {second} }}"
        text = f'{{ twins(first: 2) {page} node(id: "s:t1") {{ out {page} in {page} }} }}'
        assert judge(pushed, Request(text), LOCAL, "wide") == "equal"


def test_who_sees_little_is_told_of_nothing_else(pushed):
    """Rights hold within the statement: in lists, look-ups, counts, filters and along relationships."""
    text = """{ twins(first: 1000) { totalCount nodes { id out { totalCount nodes { twin { id } } } } }
      some: twins(filter: { some: { relation: "feeds", twin: {} } }) { totalCount }
      node(id: "s:t1") { id } nodes(ids: ["s:t1", "s:t2", "s:t4"]) { id } }"""
    for principal in (
        Principal("kinds", Role.ANALYST, kinds=("brick:AHU", "rec:Room")),
        Principal("site", Role.PARTNER, sites=("odd",)),
        Principal("unknown", Role.ANALYST, kinds=("no:Kind",)),
        Principal("nothing", Role.PARTNER),
    ):
        assert judge(pushed, Request(text), principal, "wide") == "equal"


def test_no_text_of_a_request_becomes_a_part_of_a_statement(pushed):
    nasty = "x` }) DETACH DELETE n //' \\u0060"
    before = pushed.ask("{ twins { totalCount } }").plain["data"]
    for text in (
        "query q($t: String!) { twins(filter: { name: { eq: $t } }) { nodes { id } } }",
        'query q($t: String!) { node(id: "s:t1") { attribute(name: $t) { value } } }',
        'query q($t: String!) { node(id: "s:t1") { out(relation: $t) { nodes { id } } } }',
        "query q($t: String!) { twins(kind: $t) { nodes { id } } }",
        "query q($t: String!) { twins(orderBy: [{ by: $t }]) { nodes { id } } }",
        "query q($t: String!) { twins(after: $t) { nodes { id } } }",
        "query q($t: ID!) { node(id: $t) { id } nodes(ids: [$t]) { id } }",
    ):
        answer = pushed.ask(text, {"t": nasty})
        assert codes_of(answer) <= {
            REFUSED, "RELATION_UNKNOWN", "KIND_UNKNOWN", "CURSOR_INVALID", "ATTRIBUTE_UNKNOWN",
        }  # fmt: skip
    assert pushed.ask("{ twins { totalCount } }").plain["data"] == before


def test_what_needs_the_graph_in_memory_is_refused(pushed):
    for text in (
        'mutation { cancelSimulation(id: "x") { id } }',
        '{ search(text: "Alpha") { totalCount } }',
        '{ twins(asOf: "2026-01-01T00:00:00Z") { nodes { id } } }',
    ):
        [error] = pushed.ask(text).result.errors
        assert error.extensions["code"] == REFUSED and "memory" in error.extensions["hint"]


def test_a_write_is_read_once_the_graph_shows_it(pushed, schema):
    kind = schema.kind("brick:AHU").iri
    revision = (
        pushed.world.mesh.twin("s")
        .apply(Change(put_twins=(TwinRecord(f"{BASE}new", (kind,), name="new"),)))
        .revision
    )
    text = 'query q($r: Revision) { node(id: "s:new", minRevision: $r) { name } }'
    answers = []

    def is_answered():
        """A server waits some seconds; on a busy machine the graph may take longer."""
        answers.append(pushed.ask(text, {"r": str(revision)}))
        assert codes_of(answers[-1]) <= {"REVISION_NOT_REACHED"}
        return not answers[-1].result.errors

    wait_until(is_answered, "the revision")
    assert answers[-1].plain["data"] == {"node": {"name": "new"}}


def _below(rng, depth):
    """Fields of a twin, with what stands below it."""
    fields = rng.sample(
        ["id", "name", "__typename", "kinds", "revision", 'attribute(name: "area") { value }'], 2
    )
    for number in range(rng.randint(0, 2) if depth else 0):
        inner = _below(rng, depth - 1)
        way, size = rng.choice(("in", "out")), rng.choice((1, 2, 50))
        relation = rng.choice(
            ('relation: "feeds", ', 'relation: "partOf", ', 'relation: "connectedTo", ', "")
        )
        link = rng.choice(("", "", " relation", " id"))
        more = rng.choice(
            ("", " totalCount", " pageInfo { hasNextPage endCursor }", " pageInfo { hasNextPage }")
        )
        items = rng.choice(("nodes { twin { %s }%s }", "edges { node { twin { %s }%s } }")) % (inner, link)
        fields.append(f"b{number}: {way}({relation}first: {size}) {{ {items}{more} }}")
    if depth and rng.random() < 0.6:
        fields.append(f"points {{ id {_below(rng, depth - 1)} }}")
    return " ".join(dict.fromkeys(fields))


def test_what_stands_below_is_told_at_its_own_twin(pushed):
    """Columns of several levels: lists of any length, twins in another order, asked for twice, absent."""
    seed, seen = fresh_seed("below"), Counter()
    rng = random.Random(f"below {seed}")
    names = [*(f"s:t{number}" for number in range(12)), *(f"odd:n{number}" for number in range(12)), "s:none"]
    who = (LOCAL, LOCAL, Principal("kinds", Role.ANALYST, kinds=("brick:Equipment", "rec:Room")))
    while seen["equal"] < 25 and seen.total() < 250:
        below = _below(rng, 3)
        page = rng.choice(("first: 7", "last: 5", 'kind: "tm:Point"', "first: 30"))
        text = rng.choice(
            (
                f"query q($ids: [ID!]!) {{ nodes(ids: $ids) {{ {below} }} }}",
                f"{{ twins({page}) {{ totalCount nodes {{ {below} }} }} }}",
                f"{{ twins({page}) {{ edges {{ cursor node {{ {below} }} }} }} }}",
                f'{{ node(id: "{rng.choice(names)}") {{ {below} }} }}',
            )
        )
        variables = {"ids": rng.choices(names, k=rng.randint(0, 9))} if "$ids" in text else {}
        seen[judge(pushed, Request(text, variables), rng.choice(who), "wide")] += 1
    print("seed", seed, dict(seen))
    assert seen["equal"] == 25
