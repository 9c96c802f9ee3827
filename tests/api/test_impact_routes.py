"""Finished cascades as CloudEvents: at a webhook and over a real broker, in order, again when asked."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import queue
import threading

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from api.config import Settings
from api.impact_log import Impacts
from api.route_config import parse_routes
from api.route_store import RouteStore
from api.route_targets import open_target
from api.routes import Logs, Route, sources_of
from tests.adapters.brokers import Broker
from tests.api.conftest import served
from tests.api.test_impact_log import simulate
from tests.api.webhooks import DEADLINE_S, Receiver, wait_for

SECRET = "a secret of thirty-two bytes, here"


@pytest.fixture
def world(mesh):
    """A server that keeps its cascades, and their log."""
    with Impacts.open(mesh.folder, 100) as impacts, served(mesh, Settings(), impacts=impacts) as server:
        yield server, impacts.log


@contextlib.contextmanager
def routed(mesh, log, **settings):
    table = {"name": "out", "events": ["impacts"], "deadline_s": 20.0, **settings}
    (config,) = parse_routes({"routes": [table]}, mesh.folder / "twinmesh.toml")
    with (
        RouteStore.open(mesh.folder) as store,
        Route(config, store, open_target(config, frozenset())) as route,
    ):
        route.start(sources_of(route, mesh, Logs(impacts=log)))
        yield route, store


@pytest.fixture
def hook(monkeypatch):
    """A receiver, and the settings of a route to it."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    receiver = Receiver()
    with receiver.open() as port:
        yield receiver, {"url": f"http://127.0.0.1:{port}/in", "secret_env": "HOOK_SECRET"}


def test_a_cascade_arrives_signed_with_all_that_it_takes_to_repeat_it(mesh, world, hook):
    (server, log), (receiver, settings) = world, hook
    with routed(mesh, log, **settings) as (route, _):
        job = simulate(server)
        wait_for(lambda: route.behind() == 0 and receiver.events)
    (event,), (node,) = receiver.events, server.data(LOG)["impacts"]["nodes"]
    data = event["data"]
    assert (event["id"], event["type"]) == ("all/impacts/1", "dev.twinmesh.impact.simulated")
    assert (event["sequence"], event["source"]) == (f"{1:020d}", mesh.twin("campus").base)
    assert data["id"] == node["id"] == job
    assert (data["scenario"], data["scenarioHash"], data["seed"]) == ("chiller", node["scenarioHash"], 3)
    assert data["revisions"] == {site: str(mesh.twin(site).snapshot().revision) for site in mesh.sites}
    told = {name: data["summary"][name] for name in ("twinsHit", "expectedCost", "costP05", "costP95")}
    assert told == {name: node["summary"][name] for name in told}
    assert sum(data["hits"].values()) == told["twinsHit"]
    assert [item["localId"] for item in data["impacts"]] == [item["localId"] for item in node["impacts"]]
    assert len(data["impacts"]) == min(20, told["twinsHit"])
    ((headers, body),) = receiver.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


LOG = """{ impacts { nodes { id scenarioHash summary { twinsHit expectedCost costP05 costP95 }
    impacts { localId } } } }"""


def test_refused_ones_are_dead_letters_and_a_cursor_goes_back(mesh, world, hook):
    (server, log), (receiver, settings) = world, hook
    with routed(mesh, log, **settings) as (route, store):
        receiver.status = 410
        simulate(server, seed=0)
        (dead,) = wait_for(store.dead)
        assert (dead.event, dead.site) == ("all/impacts/1", "all")
        receiver.status = 204
        for seed in (1, 2):
            simulate(server, seed=seed)
        wait_for(lambda: seeds(receiver) == [1, 2])
        assert store.ask_again("out", None) == 1
        wait_for(lambda: seeds(receiver) == [1, 2, 0])
        assert store.ask_from("out", 2, "all", "impacts") == 1
        wait_for(lambda: seeds(receiver) == [1, 2, 0, 1, 2])
        wait_for(lambda: route.behind() == 0)
    sequences = {event["data"]["seed"]: event["sequence"] for event in receiver.events}
    assert sequences == {seed: f"{seed + 1:020d}" for seed in range(3)}


def seeds(receiver):
    return [event["data"]["seed"] for event in receiver.events]


def test_routes_of_sites_get_what_hits_them_and_cheap_ones_may_stay_away(mesh, world, hook):
    (server, log), (receiver, settings) = world, hook
    line = {"type": "FAIL", "twin": "LINE-1"}
    chiller = {"type": "FAIL", "twin": "campus:CH-1"}
    with (
        routed(mesh, log, **settings, sites=["campus"]) as (route, _),
        routed(mesh, log, **settings, name="costly", cost_min=1e12) as (costly, _),
    ):
        for number, events in enumerate(([line], [chiller])):
            simulate(server, seed=number, events=events)
        wait_for(lambda: route.behind() == 0 and costly.behind() == 0)
    (event,) = receiver.events
    assert event["data"]["seed"] == 1
    assert set(event["data"]["hits"]) == {"campus", "plant"}
    assert {item["site"] for item in event["data"]["impacts"]} == {"campus"}


def test_over_mqtt_what_was_finished_while_the_broker_was_away_comes_in_order(
    mesh, world, mosquitto, tmp_path
):
    server, log = world
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(mosquitto, folder)
    heard, listens = queue.Queue(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda *_: client.subscribe("twinmesh/#", 1)
    client.on_subscribe = lambda *_: listens.set()
    client.on_message = lambda _c, _d, message: heard.put(message)
    client.reconnect_delay_set(1, 1)
    broker.stop()
    try:
        with routed(mesh, log, to="mqtt", host="127.0.0.1", port=broker.port) as (route, _):
            for seed in range(3):
                simulate(server, seed=seed)
            wait_for(lambda: route.attempts_failed)
            assert route.behind() == 3
            broker.start()
            client.connect("127.0.0.1", broker.port)
            client.loop_start()
            assert listens.wait(DEADLINE_S)
            simulate(server, seed=3)
            wait_for(lambda: route.behind() == 0)
            assert route.delivered == 4
        found = {}
        while 3 not in found:
            message = heard.get(timeout=DEADLINE_S)
            event = json.loads(message.payload)
            assert message.topic == "twinmesh/all/impacts"
            found[event["data"]["seed"]] = event["sequence"]
    finally:
        client.disconnect()
        client.loop_stop()
        broker.stop()
    # Those before the listener was back may have reached a broker that kept them for nobody.
    assert list(found.values()) == sorted(found.values())
    assert found[3] == f"{4:020d}"
