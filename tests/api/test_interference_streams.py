"""Subscriptions tell a principal of what is in sight alone.

Of two worlds, alike in sight and written to in different ways out of it, they say the same to the byte.
Refusals too: of a point or twin that is out of sight as of one that never was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from api.policy import Role
from graph.mesh import Mesh
from graph.values import Change, Value
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import Running, link, twin
from tests.api.test_interference import PRINCIPALS, two_servers
from tests.api.test_streams import opened

REVISION = "5"  # of the last write, in both worlds
NARROW = ("partner of air handlers", "analyst of rooms")  # who does not see all of the campus
CHANGES = (
    '{ changes(site: "campus", resumeFrom: "0"%s) { __typename site revision time author message touched '
    "touchesMore removed twins { id name kind revision attributes { name value } "
    "out { totalCount nodes { twin { id } } } in { totalCount nodes { twin { id } } } } } }"
)
FILTERS = (
    "",
    ', filter: {name: {startsWith: "Air"}}',
    ', filter: {none: {relation: "feeds", twin: {kind: {eq: "brick:VAV"}}}}',
)
REFUSED = {
    "readings": '{ readings(points: ["%s"]) { id value } }',
    "impactOn": '{ impactOn(twins: ["%s"]) { revision impacts { id } } }',
    "job": '{ job(id: "%s") { id status } }',
    "command": '{ command(id: "%s") { id } }',
}
ELSEWHERE = {"changes": "below", "alarms": "tests/api/test_alarms.py"}
"""Every subscription of the schema is in one of these: a new one must be thought of."""


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units
) -> Generator[tuple[Running, Running]]:
    with two_servers(tmp_path_factory.mktemp("streams"), ontology, units, write) as both:
        yield both


def write(mesh: Mesh, world: int) -> None:
    """As many commits in both: out of sight one thing here and another there, then the same in sight."""
    campus = mesh.twin("campus")
    hidden = [
        twin("campus", f"NEW-{n}", "brick:VAV", f"{('Box', 'Case')[world]} {n}") for n in range(1 + world)
    ]
    ties = [link("campus", "NEW-0", "brick:feeds", "NEW-1")] * world
    campus.apply(Change(put_twins=tuple(hidden), put_relationships=tuple(ties)))
    campus.apply(Change(remove_twins=(campus.base + ("VAV-2", "NEW-0")[world],)))
    for power in (1.0, 2.0):
        seen = twin("campus", "AHU-1", "brick:AHU", "Air handler 1", ratedPower=Value(power, "kW"))
        campus.apply(Change(merge_twins=(seen,)))


def test_every_subscription_is_thought_of(two: tuple[Running, Running]) -> None:
    told: Any = two[0].data(get_introspection_query(), token=two[0].tokens.create("schema", Role.ADMIN))
    found = build_client_schema(told).subscription_type
    assert found is not None and set(found.fields) == {*REFUSED, *ELSEWHERE}


async def told(running: Running, token: str, query: str) -> list[str]:
    """All messages up to the last write in sight, or to a refusal."""
    found: list[str] = []
    async with opened(running, Authorization=f"Bearer {token}") as socket:
        await socket.subscribe(f"subscription {query}")
        is_over = False
        while not is_over:
            message = await socket.receive()
            data = (message.get("payload") or {}).get("data") if message["type"] == "next" else None
            is_over = not data or data.get("changes", {}).get("revision") == REVISION
            found.append(re.sub(r'"time": "[^"]*"', '"time": ""', json.dumps(message)))
    return found


@pytest.mark.parametrize("principal", NARROW)
@pytest.mark.parametrize("where", FILTERS)
async def test_commits_out_of_sight_are_not_told(
    two: tuple[Running, Running], principal: str, where: str
) -> None:
    role, share = PRINCIPALS[principal]
    tokens = [each.tokens.create(f"{principal} {len(where)}", role, **share) for each in two]
    one, other = [await told(each, token, CHANGES % where) for each, token in zip(two, tokens, strict=True)]
    assert one == other
    assert len(one) == 3, "of what was there, and of two writes"
    assert not re.search("VAV|NEW|Box|Case", "".join(one))


async def test_the_comparison_sees_a_difference(two: tuple[Running, Running]) -> None:
    tokens = [each.tokens.create("all streams", Role.ADMIN) for each in two]
    one, other = [await told(each, token, CHANGES % "") for each, token in zip(two, tokens, strict=True)]
    assert one != other and len(one) == 5


@pytest.mark.parametrize("principal", PRINCIPALS)
@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_out_of_sight_is_refused_as_what_never_was(
    two: tuple[Running, Running], principal: str, name: str
) -> None:
    role, share = PRINCIPALS[principal]
    found = set[str]()
    for each in two:
        token = each.tokens.create(f"{principal} {name}", role, **share)
        for wanted in ("plant:P-1", "plant:P-7", "plant:NONE"):
            messages = await told(each, token, REFUSED[name] % wanted)
            found.add("".join(messages).replace(wanted, "it"))
    assert len(found) == 1, found
