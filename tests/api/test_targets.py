"""Commands and events out over real brokers and servers: HTTP, AMQP by RabbitMQ, MQTT by mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import socket
import threading
import time

import aio_pika
import pytest
import uvicorn
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route as Path

from adapters.amqp_command_sender import AmqpCommandSender
from adapters.command_config import HttpWay
from adapters.commands import Order, Receipt
from api.http_sender import HttpCommandSender
from api.route_config import parse_routes
from api.route_store import RouteStore
from api.route_targets import open_target
from api.routes import Logs, Route, sources_of
from graph.values import Change, TwinRecord
from ontology.errors import InputError, StoreError
from tests.adapters.brokers import Broker, wait_for
from tests.adapters.rabbit import Rabbit

WAIT_S = 90.0


def order(address, value=21.5, left_s=60.0, payload="json"):
    return Order("c-1", "urn:p", address, value, payload, time.time_ns() + round(left_s * 1e9), left_s)


@contextlib.contextmanager
def gateway():
    """A gateway of devices: keeps what it was asked, answers with `status`."""
    asked = []

    async def take(request):
        asked.append((request.method, request.url.path, dict(request.headers), await request.body()))
        return Response(status_code=int(request.url.path.rpartition("/")[2]))

    app = Starlette(routes=[Path("/{rest:path}", take, methods=["POST", "PUT"])])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def test_a_command_by_http_is_one_request_and_its_status_the_answer(monkeypatch):
    monkeypatch.setenv("GATEWAY_TOKEN", "t0ken")
    with gateway() as (url, asked):
        sender = HttpCommandSender(HttpWay(url, "PUT", "GATEWAY_TOKEN"), frozenset())
        assert sender.send(order("/devices/a/204")) is Receipt.DEVICE
        assert sender.send(order("devices/a/200", payload="text")) is Receipt.DEVICE
        for status in (302, 409, 500):
            with pytest.raises(StoreError, match="COMMAND_REJECTED"):
                sender.send(order(f"/devices/a/{status}"))
        assert len(asked) == 5
    method, path, headers, body = asked[0]
    assert (method, path, headers["idempotency-key"]) == ("PUT", "/devices/a/204", "c-1")
    assert (headers["authorization"], headers["content-type"]) == ("Bearer t0ken", "application/json")
    document = json.loads(body)
    assert (document["id"], document["value"]) == ("c-1", 21.5)
    assert document["expires"] == headers["x-command-expires"]
    assert asked[1][3] == b"21.5"
    with pytest.raises(StoreError, match="COMMAND_NOT_SENT"):  # nobody is there any more
        sender.send(order("/devices/a/204"))
    monkeypatch.delenv("GATEWAY_TOKEN")
    with pytest.raises(InputError, match="HTTP_TOKEN"):
        HttpCommandSender(HttpWay(url, "PUT", "GATEWAY_TOKEN"), frozenset())


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory):
    rabbit = Rabbit(tmp_path_factory.mktemp("rabbit"))
    yield rabbit
    rabbit.close()


@pytest.fixture
def amqp(rabbit, monkeypatch):
    monkeypatch.setenv("AMQP_URL", url := f"amqp://guest:guest@127.0.0.1:{rabbit.port}/")
    return url


def declared(url, name):
    """A durable queue bound to `amq.topic` by its own name."""

    async def declare():
        async with await aio_pika.connect(url) as connection:
            found = await (await connection.channel()).declare_queue(name, durable=True)
            await found.bind("amq.topic", name)

    asyncio.run(asyncio.wait_for(declare(), WAIT_S))


def taken(url, name, count):
    """The first messages of a queue, taken from it."""

    async def take():
        messages = []
        async with await aio_pika.connect(url) as connection:
            found = await (await connection.channel()).declare_queue(name, durable=True)
            async with found.iterator() as several:
                async for message in several:
                    await message.ack()
                    messages.append(message)
                    if len(messages) == count:
                        return messages
        return messages

    return asyncio.run(asyncio.wait_for(take(), WAIT_S))


def test_a_command_by_amqp_reaches_a_queue_or_is_told_unsent(amqp):
    declared(amqp, "devices.a")
    sender = AmqpCommandSender("AMQP_URL", "amq.topic")
    try:
        assert sender.send(order("devices.a")) is Receipt.STATION
        with pytest.raises(StoreError, match="COMMAND_NOT_SENT"):
            sender.send(order("devices.nobody"))
    finally:
        sender.close()
    (message,) = taken(amqp, "devices.a", 1)
    assert (message.message_id, json.loads(message.body)["value"]) == ("c-1", 21.5)
    assert message.expiration


@contextlib.contextmanager
def routed(mesh, **settings):
    table = {"name": "out", "events": ["changes"], "deadline_s": 5.0, **settings}
    (config,) = parse_routes({"routes": [table]}, mesh.folder / "twinmesh.toml")
    with (
        RouteStore.open(mesh.folder) as store,
        Route(config, store, open_target(config, frozenset())) as route,
    ):
        route.start(sources_of(route, mesh, Logs()))
        yield route, store


def put(mesh, name):
    point, twin = mesh.schema.kind("tm:Point").iri, mesh.twin("campus")
    return str(twin.apply(Change(put_twins=(TwinRecord(twin.base + name, (point,)),))).revision)


def test_a_route_to_amqp_survives_a_kill_of_the_broker_and_buries_what_nobody_takes(mesh, rabbit, amqp):
    declared(amqp, "twinmesh.campus.changes")
    chosen = {"to": "amqp", "url_env": "AMQP_URL", "exchange": "amq.topic", "sites": ["campus"]}
    with routed(mesh, **chosen) as (route, _):
        revisions = [put(mesh, f"P{n}") for n in range(5)]
        wait_for(lambda: route.delivered >= 5)
        rabbit.kill()
        revisions += [put(mesh, f"Q{n}") for n in range(5)]
        wait_for(lambda: route.attempts_failed)
        rabbit.start()
        wait_for(lambda: route.behind() == 0, 120)
    events = [json.loads(message.body) for message in taken(amqp, "twinmesh.campus.changes", 10)]
    assert list(dict.fromkeys(event["data"]["revision"] for event in events)) == revisions
    with routed(mesh, **chosen, name="lost", routing_key="nobody", attempts_max=1) as (route, store):
        put(mesh, "R")
        wait_for(lambda: store.count_dead("lost") == 1)
        assert "no queue" in store.dead("lost")[0].reason


def test_a_route_to_mqtt_survives_a_kill_of_the_broker(mesh, mosquitto, tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(mosquitto, folder)
    heard, listens = queue.Queue(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda *_: client.subscribe("twinmesh/#", 1)
    client.on_subscribe = lambda *_: listens.set()
    client.on_message = lambda _c, _d, message: heard.put(message)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        assert listens.wait(WAIT_S)
        target = {"to": "mqtt", "host": "127.0.0.1", "port": broker.port, "sites": ["campus"]}
        with routed(mesh, **target) as (route, _):
            first = put(mesh, "P")
            message = heard.get(timeout=WAIT_S)
            assert (message.topic, message.properties.ContentType) == (
                "twinmesh/campus/changes", "application/cloudevents+json",
            )  # fmt: skip
            assert json.loads(message.payload)["data"]["revision"] == first
            broker.kill()
            listens.clear()
            second = put(mesh, "Q")
            wait_for(lambda: route.attempts_failed)
            # The second may be gone: a broker keeps nothing for a listener that is not back yet.
            broker.start()
            assert listens.wait(WAIT_S)
            third = put(mesh, "R")
            revisions = []
            while third not in revisions:
                revisions.append(json.loads(heard.get(timeout=WAIT_S).payload)["data"]["revision"])
            assert route.behind() <= 1
            assert [r for r in dict.fromkeys(revisions) if r != second] == [third]
    finally:
        client.disconnect()
        client.loop_stop()
        broker.stop()
