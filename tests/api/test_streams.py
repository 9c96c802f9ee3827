"""Subscriptions over WebSocket and server-sent events: readings, changes, jobs, tokens that end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.config import Settings, Streams
from api.policy import Role
from graph.feed import READINGS_ROWS_MAX
from graph.values import Readings

PROTOCOL = "graphql-transport-ws"
APPLY = "mutation m($i: ChangeInput!) { applyChange(input: $i) { revision applied } }"


class Socket:
    """A small client of graphql-transport-ws."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def send(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(120):
            return json.loads(await self.connection.recv())

    async def subscribe(self, query: str, variables: dict[str, Any] | None = None, id: str = "1") -> None:
        await self.send("subscribe", id=id, payload={"query": query, "variables": variables or {}})

    async def next(self) -> dict[str, Any]:
        message = await self.receive()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]


@asynccontextmanager
async def opened(
    server: Any, payload: dict[str, Any] | None = None, **headers: str
) -> AsyncGenerator[Socket]:
    async with connect(server.ws_url, subprotocols=[PROTOCOL], additional_headers=headers) as connection:
        socket = Socket(connection)
        await socket.send("connection_init", payload=payload or {})
        assert (await socket.receive())["type"] == "connection_ack"
        yield socket


def lines(values: list[float], point: str = "T-1") -> bytes:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {"point": point, "time": (start + timedelta(seconds=n)).isoformat(), "value": value}
        for n, value in enumerate(values)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


async def post(server: Any, content: bytes) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        return (await client.post("/ingest", content=content)).json()


async def apply(server: Any, **change: Any) -> str:
    body = {"query": APPLY, "variables": {"i": {"site": "campus", **change}}}
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        return (await client.post("/graphql", json=body)).json()["data"]["applyChange"]["revision"]


async def settle(server: Any, watches: int = 1) -> None:
    """Until a subscription has begun: the protocol does not tell, and on a busy machine it takes longer."""
    mesh = server.mesh
    async with asyncio.timeout(120):
        while sum(len(mesh.twin(site)._feed._watches) for site in mesh.sites) < watches:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)


# Readings


async def test_a_thousand_readings_arrive_in_order(server: Any) -> None:
    query = """subscription s($p: [ID!]!) { readings(points: $p) { id value unit quality time conflated
      point { __typename localId } } }"""
    async with opened(server) as socket:
        await socket.subscribe(query, {"p": ["T-1", "campus:T-2"]})
        await settle(server)
        for part in range(10):
            values = [float(part * 100 + n) for n in range(100)]
            assert (await post(server, lines(values)))["accepted"] == 100
            await post(server, lines([1.0], "T-3"))  # nobody asked for this one
        found = [(await socket.next())["readings"] for _ in range(1000)]
    assert [reading["value"] for reading in found] == [float(n) for n in range(1000)]
    first = found[0]
    assert (first["unit"], first["quality"], first["time"]) == ("Cel", "GOOD", "2026-01-01T00:00:00Z")
    assert first["point"] == {"__typename": "Zone_Air_Temperature_SensorTwin", "localId": "T-1"}
    assert server.data('{ node(id: "T-1") { ... on Point { value time } } }') == {
        "node": {"value": 999.0, "time": "2026-01-01T00:01:39Z"}
    }


async def test_a_throttle_gives_the_newest(server: Any) -> None:
    query = 'subscription { readings(points: ["T-1"], throttle: "PT0.4S") { value } }'
    async with opened(server) as socket:
        await socket.subscribe(query)
        await settle(server)
        started = time.monotonic()
        for value in range(20):
            await post(server, lines([float(value)]))
        found = []
        while not found or found[-1] < 19:
            found.append((await socket.next())["readings"]["value"])
        periods = (time.monotonic() - started) / 0.4
    assert len(found) <= periods + 2
    assert found == sorted(found)


async def test_unknown_points_are_errors(server: Any) -> None:
    async with opened(server) as socket:
        await socket.subscribe('subscription { readings(points: ["T-11"]) { value } }')
        message = await socket.receive()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "TWIN_UNKNOWN"
        await socket.subscribe("subscription { nope }")
        assert (await socket.receive())["payload"][0]["extensions"]["code"] == "GRAPHQL_INVALID"
        await socket.subscribe("{ sites { name } }", id="3")
        assert (await socket.next())["sites"][0] == {"name": "campus"}
        assert (await socket.receive()) == {"type": "complete", "id": "3"}


# Changes


CHANGES = """subscription s($f: TwinFilter, $r: Revision, $s: String) {
  changes(filter: $f, resumeFrom: $r, site: $s) {
  site revision author touched removed twins { localId name } } }"""


async def test_changes_live_and_resumed(server: Any) -> None:
    async with opened(server) as socket:
        await socket.subscribe(CHANGES)
        await settle(server)
        await apply(server, mergeTwins=[{"id": "AHU-1", "name": "One"}])
        event = (await socket.next())["changes"]
        assert (event["site"], event["revision"], event["author"]) == ("campus", "2", "local")
        assert event["twins"] == [{"localId": "AHU-1", "name": "One"}]
    await apply(server, mergeTwins=[{"id": "AHU-1", "name": "Two"}])
    await apply(server, removeTwins=["VAV-1"])
    async with opened(server) as socket:
        await socket.subscribe(CHANGES, {"r": "1", "s": "campus"})
        events = [(await socket.next())["changes"] for _ in range(3)]
        assert [event["revision"] for event in events] == ["2", "3", "4"]
        assert "https://twinmesh.invalid/campus/VAV-1" in events[2]["removed"]
        await apply(server, putTwins=[{"id": "LATE", "kinds": ["tm:Asset"]}])
        assert (await socket.next())["changes"]["revision"] == "5"


async def test_changes_of_some_twins(server: Any) -> None:
    async with opened(server) as socket:
        await socket.subscribe(CHANGES, {"f": {"kind": {"eq": "brick:AHU"}}})
        await settle(server)
        await apply(server, mergeTwins=[{"id": "VAV-1", "name": "x"}])
        await apply(server, mergeTwins=[{"id": "VAV-2", "name": "x"}, {"id": "AHU-2", "name": "y"}])
        event = (await socket.next())["changes"]
        assert (event["revision"], event["twins"]) == ("3", [{"localId": "AHU-2", "name": "y"}])


async def test_a_new_kind_does_not_drop_the_socket(server: Any) -> None:
    async with opened(server) as socket:
        await socket.subscribe("subscription { changes { twins { __typename localId } } }")
        await settle(server)
        await apply(server, putTwins=[{"id": "P-1", "kinds": ["brick:Pump"]}])
        # The subscription began before pumps were in use: its schema has no type for them.
        assert (await socket.next())["changes"]["twins"] == [{"__typename": "TwinTwin", "localId": "P-1"}]
        await socket.subscribe("subscription { changes { twins { __typename } } }", id="2")
        await settle(server, 2)
        await apply(server, mergeTwins=[{"id": "P-1", "name": "Pump"}])
        found = {(message := await socket.receive())["id"]: message["payload"]["data"] for _ in range(2)}
        assert found["2"]["changes"]["twins"] == [{"__typename": "PumpTwin"}]


async def test_a_revision_needs_a_site(server: Any) -> None:
    async with opened(server) as socket:
        await socket.subscribe(CHANGES, {"r": "1"})
        assert (await socket.receive())["payload"][0]["extensions"]["code"] == "REVISION_AMBIGUOUS"


# Jobs


@pytest.fixture(scope="module")
def warm(reader: Any) -> None:
    """The first cascade of a process may have to compile kernels; here nobody waits for that."""
    query = 'mutation { simulateCascade(input: {events: [{type: FAIL, twin: "campus:CH-1"}]}) { id status } }'
    job = reader.data(query)["simulateCascade"]
    until = time.monotonic() + 300
    while job["status"] not in ("DONE", "FAILED") and time.monotonic() < until:
        time.sleep(0.2)
        job = reader.data("query q($i: ID!) { simulation(id: $i) { id status } }", {"i": job["id"]})[
            "simulation"
        ]


@pytest.mark.usefixtures("warm")
async def test_a_job_is_followed_to_its_end(server: Any) -> None:
    async with opened(server) as socket:
        started = 'mutation { simulateCascade(input: {events: [{type: FAIL, twin: "campus:CH-1"}]}) { id } }'
        await socket.subscribe(started)
        job = (await socket.next())["simulateCascade"]["id"]
        assert (await socket.receive())["type"] == "complete"
        await socket.subscribe(
            "subscription s($i: ID!) { job(id: $i) { status progress summary { twinsHit } } }", {"i": job}
        )
        states = []
        while (message := await socket.receive())["type"] == "next":
            states.append(message["payload"]["data"]["job"])
    assert message["type"] == "complete"
    assert (states[-1]["status"], states[-1]["progress"]) == ("DONE", 1.0)
    assert states[-1]["summary"]["twinsHit"] > 10


@pytest.mark.usefixtures("warm")
async def test_impact_on_some_twins_changes_with_the_graph(server: Any) -> None:
    query = """subscription { impactOn(twins: ["LINE-1"]) { revision
      impacts { localId minLevel why } simulation { status } } }"""
    async with opened(server) as socket:
        await socket.subscribe(query)
        before = (await socket.next())["impactOn"]
        assert (before["impacts"], before["simulation"]) == ([], {"status": "DONE"})
        await apply(server, mergeTwins=[{"id": "campus:CH-1", "attributes": {"health": 0}}])
        after = (await socket.next())["impactOn"]
    assert after["impacts"] == [{"localId": "LINE-1", "minLevel": 0.0, "why": ["CH-1", "AHU-1", "LINE-1"]}]


# Server-sent events


async def test_server_sent_events(server: Any) -> None:
    body = {"query": 'subscription { readings(points: ["T-1"]) { value } }'}
    headers = {"Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=20) as client,
        client.stream("POST", "/graphql", json=body, headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        await settle(server)
        await post(server, lines([21.5, 22.5]))
        events: list[str] = []
        async for chunk in response.aiter_text():
            events += [event for event in chunk.split("\n\n") if event.startswith("event: next")]
            if len(events) == 2:
                break
    values = [json.loads(event.split("data: ")[1])["data"]["readings"]["value"] for event in events]
    assert values == [21.5, 22.5]


def test_a_query_as_an_event_stream_completes(reader: Any) -> None:
    with reader.client(Accept="text/event-stream") as client:
        text = client.post("/graphql", json={"query": "{ sites { name } }"}).text
    first, second, _ = text.split("\n\n")
    assert json.loads(first.removeprefix("event: next\ndata: "))["data"]["sites"][0] == {"name": "campus"}
    assert second == "event: complete\ndata:"


# Who may listen


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}]
)
async def test_sockets_of_other_pages_are_refused(reader: Any, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(reader.ws_url, subprotocols=[PROTOCOL], additional_headers=headers):
            pass
    assert caught.value.response.status_code in (400, 403)  # 400: the client library sends Host twice


async def test_other_protocols_are_refused(reader: Any) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(reader.ws_url, subprotocols=["graphql-ws"]):
            pass


async def test_a_socket_needs_a_token(guarded: Any, token: Callable[..., str]) -> None:
    for payload in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": 7}):
        with pytest.raises(ConnectionClosed) as caught:
            async with opened(guarded, payload):
                pass
        assert caught.value.rcvd.code == 4403
    text = token(Role.ANALYST)
    for payload, headers in (
        ({"Authorization": f"Bearer {text}"}, {}),
        ({}, {"Authorization": f"Bearer {text}"}),
    ):
        async with opened(guarded, payload, **headers) as socket:
            await socket.subscribe("{ sites { name } }")
            assert (await socket.next())["sites"]


async def test_a_revoked_token_ends_a_subscription(guarded: Any, token: Callable[..., str]) -> None:
    text, writer = token(Role.ANALYST, "reader"), token(Role.ADMIN)
    async with opened(guarded, {"Authorization": f"Bearer {text}"}) as socket:
        await socket.subscribe(CHANGES)
        await settle(guarded)
        guarded.tokens.revoke("reader")
        change = {"site": "campus", "mergeTwins": [{"id": "AHU-1", "name": "secret"}]}
        await asyncio.to_thread(guarded.data, APPLY, {"i": change}, writer)
        message = await socket.receive()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "TOKEN_REVOKED")
        assert "secret" not in json.dumps(message)
        await socket.subscribe("{ sites { name } }", id="2")
        refused = await socket.receive()
        assert refused["id"] == "2"
        assert refused["payload"][0]["extensions"]["code"] == "TOKEN_REVOKED"


async def test_a_partner_hears_only_its_share(guarded: Any, token: Callable[..., str]) -> None:
    text, writer = token(Role.PARTNER, kinds=("brick:AHU",)), token(Role.ADMIN)
    async with opened(guarded, {"Authorization": f"Bearer {text}"}) as socket:
        await socket.subscribe(CHANGES)
        await socket.subscribe('subscription { readings(points: ["T-1"]) { value } }', id="2")
        assert (await socket.receive())["payload"][0]["extensions"]["code"] == "TWIN_UNKNOWN"
        await settle(guarded)
        for change in (
            {"mergeTwins": [{"id": "VAV-1", "name": "hidden"}]},
            {"mergeTwins": [{"id": "VAV-1", "name": "hidden too"}, {"id": "AHU-2", "name": "shown"}]},
        ):
            await asyncio.to_thread(guarded.data, APPLY, {"i": {"site": "campus", **change}}, writer)
        event = (await socket.next())["changes"]
    assert event["twins"] == [{"localId": "AHU-2", "name": "shown"}]
    assert event["touched"] == ["https://twinmesh.invalid/campus/AHU-2"]


# Readers that do not read


BATCHES, ROWS = 15, 5_000


def record_many(server: Any) -> None:
    """More readings of one point than are kept for a reader, as fast as they can be written."""
    campus = server.mesh.twin("campus")
    row = campus.snapshot().find("T-1")
    for batch in range(BATCHES):
        numbers = np.arange(batch * ROWS, (batch + 1) * ROWS)
        campus.record(
            Readings(
                np.full(ROWS, row, np.int32),
                1_767_225_600_000_000_000 + numbers * 1_000,
                numbers.astype(np.float64).view(np.uint64),
                np.zeros(ROWS, np.uint8),
            )
        )


def watched_rows(server: Any) -> int:
    return max(watch._rows for watch in server.mesh.twin("campus")._feed._watches)


READINGS = 'subscription { readings(points: ["T-1"]) { value conflated } }'


async def test_an_event_stream_that_nobody_reads_is_bounded(server: Any) -> None:
    """What it could not take is left out and counted; the newest comes."""
    body = json.dumps({"query": READINGS}).encode()
    head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream"
    head += f"\r\nContent-Length: {len(body)}"
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body)
    await reader.readuntil(b"\r\n\r\n")
    await settle(server)
    await asyncio.to_thread(record_many, server)
    assert watched_rows(server) <= READINGS_ROWS_MAX
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(100):
        while not found or found[-1]["value"] < BATCHES * ROWS - 1:
            line = await reader.readline()
            if line.startswith(b"data: {"):
                found.append(json.loads(line[6:])["data"]["readings"])
    writer.close()
    # How many were left out depends on who was faster; every one is either told or counted.
    assert len(found) + sum(each["conflated"] for each in found) == BATCHES * ROWS
    assert [each["value"] for each in found] == sorted(each["value"] for each in found)


async def test_a_socket_that_nobody_reads_is_bounded(server: Any) -> None:
    async with opened(server) as socket:
        await socket.subscribe(READINGS)
        await settle(server)
        await asyncio.to_thread(record_many, server)
        assert watched_rows(server) <= READINGS_ROWS_MAX
        found = [(await socket.next())["readings"]]
        while found[-1]["value"] < BATCHES * ROWS - 1:
            found.append((await socket.next())["readings"])
    # How many were left out depends on who was faster; every one is either told or counted.
    assert len(found) + sum(each["conflated"] for each in found) == BATCHES * ROWS


async def test_streams_are_counted(mesh: Any, serve: Callable[..., Any]) -> None:
    with serve(mesh, Settings(streams=Streams(open_max=1))) as server:
        async with opened(server):
            with pytest.raises(InvalidStatus):
                async with opened(server):
                    pass
            with server.client(Accept="text/event-stream") as client:
                answer = await asyncio.to_thread(
                    client.post, "/graphql", json={"query": "{ sites { name } }"}
                )
            assert (answer.status_code, answer.json()["code"]) == (429, "STREAMS_FULL")
        await asyncio.sleep(0.3)
        async with opened(server):
            pass


async def test_deeply_nested_messages_are_refused(reader: Any) -> None:
    async with connect(reader.ws_url, subprotocols=[PROTOCOL]) as connection:
        await connection.send('{"type": ' + "[" * 100_000)
        with pytest.raises(ConnectionClosed) as caught:
            await Socket(connection).receive()
        assert caught.value.rcvd.code == 4400


async def test_an_oversized_message_closes_the_socket(reader: Any) -> None:
    async with opened(reader) as socket:
        await socket.send("ping", payload={"x": "y" * (1 << 20)})
        with pytest.raises(ConnectionClosed):
            while True:
                await socket.receive()
