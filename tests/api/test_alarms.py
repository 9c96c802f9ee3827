"""Alarms by GraphQL: who sees them, who handles them, and the subscription."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import numpy as np
import pytest

from adapters.alarm_desk import AlarmDesk
from adapters.alarm_rules import parse_alarms
from api.alarming import Alarms
from api.app import create_app
from api.config import Settings
from api.operation import Request
from api.policy import LOCAL, Principal, Role
from graph.stores.site_files import ALARMS
from graph.stores.state_log import StateLog
from graph.values import Readings

DEADLINE_S = 90.0
LIST = "{ alarms { nodes { id status rule value twin { localId } acknowledgedBy } } }"
ACKNOWLEDGE = 'mutation A($id: ID!) { acknowledgeAlarm(id: $id, comment: "seen") { status acknowledgedBy } }'
SHELVE = "mutation S($id: ID!, $until: DateTime!) { shelveAlarm(id: $id, until: $until) { status } }"
OPERATOR = Principal("olga", Role.OPERATOR)
STRANGER = Principal("partner", Role.PARTNER, sites=("plant",))


@pytest.fixture
def desk(mesh, tmp_path):
    rules = parse_alarms(
        {"alarms": [{"name": "hot", "point": "T-{n}", "high": 30}]}, tmp_path / "twinmesh.toml"
    )
    with (
        StateLog.open(tmp_path / "alarms.sqlite", ALARMS) as log,
        AlarmDesk(mesh.twin("campus"), log, rules) as opened,
    ):
        yield opened


@pytest.fixture
def engine(mesh, desk):
    made = create_app(mesh, Settings(), dev=True, alarms=Alarms({"campus": desk})).state.engine
    yield made
    made.close()


def record(twin, point, value):
    points = np.array([twin.snapshot().find(point)], np.int32)
    words = np.array([value]).view(np.uint64)
    twin.record(Readings(points, np.array([time.time_ns()], np.int64), words, np.zeros(1, np.uint8)))


async def ask(engine, who, query, **variables):
    answer = await engine.run(Request(query, variables), who)
    return answer.code or answer.result.data


async def listed(engine, who, count):
    async def look():
        while len(found := (await ask(engine, who, LIST))["alarms"]["nodes"]) != count:
            await asyncio.sleep(0.05)
        return found

    return await asyncio.wait_for(look(), DEADLINE_S)


async def test_alarms_are_seen_and_handled_by_those_who_may(mesh, engine):
    record(mesh.twin("campus"), "T-1", 31.0)
    (alarm,) = await listed(engine, LOCAL, 1)
    assert (alarm["status"], alarm["rule"], alarm["value"]) == ("RAISED", "hot", 31.0)
    assert alarm["twin"]["localId"] == "T-1"
    assert await listed(engine, STRANGER, 0) == []
    analyst = Principal("anna", Role.ANALYST)
    assert await ask(engine, analyst, ACKNOWLEDGE, id=alarm["id"]) == "FORBIDDEN"
    near = Principal("otto", Role.OPERATOR, sites=("plant",))
    assert await ask(engine, near, ACKNOWLEDGE, id=alarm["id"]) == "ALARM_UNKNOWN"
    until = "2100-01-01T00:00:00Z"
    assert await ask(engine, OPERATOR, SHELVE, id=alarm["id"], until=until) == "ALARM_SHELVE"
    done = await ask(engine, OPERATOR, ACKNOWLEDGE, id=alarm["id"])
    assert done["acknowledgeAlarm"] == {"status": "ACKNOWLEDGED", "acknowledgedBy": "olga"}
    assert await ask(engine, OPERATOR, ACKNOWLEDGE, id=alarm["id"]) == "ALARM_STATE"


async def test_the_subscription_tells_every_state(mesh, engine):
    query = "subscription { alarms { status value } }"
    twin = mesh.twin("campus")

    async def follow():
        found = []
        async with aclosing(engine.stream(Request(query), LOCAL)) as answers:
            beginning = asyncio.create_task(anext(answers))
            # A subscription says nothing when it has begun: there are alarms until it hears of one.
            while not (await asyncio.wait({beginning}, timeout=0.3))[0]:
                record(twin, "T-2", 40.0)
                record(twin, "T-2", 20.0)
            found.append(beginning.result().result.data["alarms"]["status"])
            while len(found) < 2:
                record(twin, "T-2", 40.0)
                record(twin, "T-2", 20.0)
                found.append((await anext(answers)).result.data["alarms"]["status"])
        return found

    assert set(await asyncio.wait_for(follow(), DEADLINE_S)) <= {"RAISED", "CLEARED"}
