"""The twin's values out to a real broker: retained, the newest of each, back after a kill of the broker."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from adapters.mqtt.publish_config import parse_publish
from adapters.mqtt.sink import MqttSink
from graph.values import Readings
from ontology.errors import InputError
from tests.adapters.brokers import wait_for

WAIT_S = 90.0
T0 = 1_768_219_200_000_000_000


@pytest.fixture
def publish(broker, campus_twin, tmp_path):
    sinks = []

    def start(**settings):
        table = {"site": "campus", "host": "127.0.0.1", "port": broker.port, **settings}
        (config,) = parse_publish({"publish": [table]}, tmp_path / "twinmesh.toml")
        sinks.append(MqttSink.start(config, campus_twin))
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.stop()


@contextlib.contextmanager
def listener(broker, topic="twin/#"):
    """What a topic holds and gets: (retained, document) by topic, in lists."""
    heard, listens = {}, threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: listens.set()
    client.on_message = lambda _c, _d, message: heard.setdefault(message.topic, []).append(
        (message.retain, json.loads(message.payload))
    )
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe(topic, 1)
    assert listens.wait(WAIT_S)
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def record(twin, point, *values, quality=0, start=0):
    row = twin.snapshot().find(point)
    count = len(values)
    words = np.array(values, np.float64).view(np.uint64)
    times = T0 + start + np.arange(count, dtype=np.int64)
    twin.record(Readings(np.full(count, row, np.int32), times, words, np.full(count, quality, np.uint8)))


def test_last_values_are_retained_and_new_ones_follow(publish, broker, campus_twin):
    record(campus_twin, "FREE", 1.5)
    record(campus_twin, "AHU-1-SAT", 20.0, quality=1)
    sink = publish()
    wait_for(lambda: sink.health().published == 2)
    with listener(broker) as heard:
        wait_for(lambda: len(heard) == 2)
        expected = {"value": 1.5, "time": "2026-01-12T12:00:00Z", "quality": "GOOD"}
        assert heard["twin/campus/FREE"] == [(True, expected)]
        assert heard["twin/campus/AHU-1-SAT"][0][1]["quality"] == "UNCERTAIN"
        record(campus_twin, "FREE", 2.5, start=1)
        wait_for(lambda: len(heard["twin/campus/FREE"]) == 2)
        assert heard["twin/campus/FREE"][1][1]["value"] == 2.5
    assert (sink.health().shed, sink.health().refused, sink.health().last_error) == (0, 0, None)


def test_only_what_is_named_goes_out(publish, broker, campus_twin):
    record(campus_twin, "FREE", 1.5)
    record(campus_twin, "AHU-1-SAT", 20.0)
    sink = publish(points="{ahu}-SAT", topic="out/{kind}/{point}", retain=False, qos=0)
    with listener(broker, "#") as heard:

        def again():
            record(campus_twin, "FREE", 1.5, start=time.time_ns() - T0)
            record(campus_twin, "AHU-1-SAT", 21.0, start=time.time_ns() - T0)
            return heard

        wait_for(again)
    assert set(heard) == {"out/tm:Point/AHU-1-SAT"}
    assert not heard["out/tm:Point/AHU-1-SAT"][0][0]
    assert sink.health().published


def test_a_broker_that_is_away_gets_the_newest_of_each_and_the_rest_is_counted(publish, broker, campus_twin):
    record(campus_twin, "FREE", 0.0)
    sink = publish(queue_rows_max=2)
    wait_for(lambda: sink.health().published == 1)
    broker.kill()
    wait_for(lambda: not sink.health().connected)
    record(campus_twin, "FREE", *range(1, 1_001), start=1)
    record(campus_twin, "AHU-1-SAT", 20.0)
    wait_for(lambda: sink.health().waiting == 2)
    record(campus_twin, "AHU-2-SAT", 20.0)
    wait_for(lambda: sink.health().shed == 1)
    broker.start()
    wait_for(lambda: sink.health().published == 3)
    with listener(broker) as heard:
        wait_for(lambda: len(heard) == 2)
        assert heard["twin/campus/FREE"][0][1]["value"] == 1_000.0
    health = sink.health()
    assert (health.replaced, health.waiting) == (999, 0)


def test_settings_are_strict(tmp_path):
    table = {"site": "campus", "host": "h"}
    (config,) = parse_publish({"publish": [table]}, tmp_path / "twinmesh.toml")
    assert (config.topic.text, config.retain, config.link.client_id) == (
        "twin/{site}/{point}", True, "twinmesh-campus-publish-1",
    )  # fmt: skip
    wrongs = ({"topic": "twin/{site}"}, {"topic": "t/{pont}"}, {"topic": "{point}/#"}, {"qos": 2})
    for wrong in wrongs:
        with pytest.raises(InputError, match="CONFIG_RANGE"):
            parse_publish({"publish": [{**table, **wrong}]}, tmp_path / "twinmesh.toml")
