"""MQTT against a real broker: nothing lost, nothing silent, back after every break."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.binding import parse_bindings
from adapters.mqtt.config import MqttConfig, parse_mqtt
from adapters.mqtt.source import MqttSource
from ontology.errors import InputError
from ontology.units import load_units
from tests.adapters.brokers import wait_for
from tests.adapters.refusing import Refusing

UNITS = load_units()
T0 = 1_768_219_200_000_000_000


def reading(value, number):
    return json.dumps({"value": value, "time": (T0 + number) // 1, "n": number}).encode()


@pytest.fixture
def listen(broker, campus_twin):
    """Start a source with the given settings; all are stopped at the end."""
    sources = []
    rule = {"topic": "c/{x}", "point": "{x}", "pointer": "/value", "time_pointer": "/time", "time_unit": "ns"}

    def start(twin=campus_twin, client_id="test", rules=(rule,), **settings):
        table = parse_bindings({"binding": list(rules)}, "b.toml", UNITS)
        config = MqttConfig(
            "campus", "127.0.0.1", Path("b.toml"), port=broker.port, client_id=client_id, **settings
        )
        source = MqttSource.start(twin, config, table, UNITS)
        sources.append(source)
        return source

    yield start
    for source in sources:
        source.stop()


def stored_times(twin, point):
    samples = twin.history.range(twin.base + point, 0, 2**62, 1_000_000)
    return [int(t) - T0 for t in samples.times_ns]


WAYS = [("5", "paho"), ("3.1.1", "paho"), ("5", "gmqtt"), ("3.1.1", "gmqtt")]


@pytest.mark.parametrize(("protocol", "client"), WAYS)
def test_every_message_of_qos_1_is_recorded_once(listen, broker, campus_twin, protocol, client):
    source = listen(protocol=protocol, client=client)
    wait_for(lambda: source.health().connected)
    broker.publish([("c/FREE", reading(i / 4, i)) for i in range(2_000)])
    # A batch is recorded before it is acknowledged, and until then it counts as queued.
    wait_for(lambda: (source.health().recorded, source.health().queued) == (2_000, 0))
    assert sorted(stored_times(campus_twin, "FREE")) == list(range(2_000))
    health = source.health()
    assert (health.shed, health.unrouted, health.last_error) == (0, 0, None)
    assert health.bindings[0].messages == 2_000


def test_refused_and_unrouted_messages_are_counted(listen, broker):
    source = listen()
    wait_for(lambda: source.health().connected)
    broker.publish([("c/FREE", b"{"), ("c/nobody", reading(1, 1)), ("c/FREE", reading("x", 1)), ("d", b"1")])
    wait_for(lambda: source.health().received == 3)
    wait_for(lambda: source.health().queued == 0 and source.health().unrouted == 1)
    wait_for(lambda: source.health().bindings[0].refused == {"PAYLOAD_SYNTAX": 1, "VALUE_TYPE": 1})
    assert source.health().recorded == 0


@pytest.mark.parametrize(("protocol", "client"), WAYS)
def test_what_was_sent_while_we_were_away_arrives_when_we_are_back(
    listen, broker, campus_twin, protocol, client
):
    first = listen(protocol=protocol, client=client)
    wait_for(lambda: first.health().connected)
    first.stop()
    assert not first.health().connected
    broker.publish([("c/FREE", reading(i, i)) for i in range(100)])
    second = listen(protocol=protocol, client=client)
    wait_for(lambda: second.health().recorded == 100)
    assert sorted(stored_times(campus_twin, "FREE")) == list(range(100))


@pytest.mark.parametrize("client", ["paho", "gmqtt"])
def test_a_broker_that_dies_is_found_again(listen, broker, campus_twin, client):
    source = listen(reconnect_s_max=1, client=client)
    wait_for(lambda: source.health().connected)
    broker.publish([("c/FREE", reading(1, 1))])
    wait_for(lambda: source.health().recorded == 1)
    broker.stop()
    wait_for(lambda: not source.health().connected)
    assert source.health().last_error
    broker.start()
    wait_for(lambda: source.health().connected)
    broker.publish([("c/FREE", reading(2, 2))])
    wait_for(lambda: 2 in stored_times(campus_twin, "FREE"))
    assert (source.health().connects, source.health().reconnects) == (2, 1)
    assert (source.health().last_error, source.health().state) == (None, "running")


@pytest.mark.parametrize("client", ["paho", "gmqtt"])
def test_nothing_is_acknowledged_before_it_is_kept(listen, broker, campus_twin, client):
    refusing = Refusing(campus_twin)
    first = listen(refusing, client=client)
    wait_for(lambda: first.health().connected)
    broker.publish([("c/FREE", reading(i, i)) for i in range(50)])
    wait_for(lambda: first.health().last_error is not None)
    assert "STORE_FULL" in first.health().last_error
    assert first.health().state == "blocked"
    first.stop()
    second = listen(client=client)
    wait_for(lambda: second.health().recorded >= 50)
    assert set(stored_times(campus_twin, "FREE")) == set(range(50))


def test_a_store_that_recovers_is_written_without_a_restart(listen, broker, campus_twin):
    refusing = Refusing(campus_twin)
    source = listen(refusing)
    wait_for(lambda: source.health().connected)
    broker.publish([("c/FREE", reading(i, i)) for i in range(50)])
    wait_for(lambda: source.health().last_error is not None)
    refusing.full = False
    wait_for(lambda: source.health().recorded == 50)
    assert source.health().last_error is None


def test_what_does_not_fit_is_shed_and_counted(listen, broker, campus_twin):
    refusing = Refusing(campus_twin)
    source = listen(refusing, queue_rows_max=100, batch_rows_max=10)
    wait_for(lambda: source.health().connected)
    broker.publish([("c/FREE", reading(i, i)) for i in range(500)], qos=0)
    wait_for(lambda: source.health().received == 500)
    assert source.health().shed >= 380
    refusing.full = False
    wait_for(lambda: source.health().recorded + source.health().shed == 500)
    assert len(stored_times(campus_twin, "FREE")) == source.health().recorded


def test_alarms_have_room_of_their_own(listen, broker, campus_twin):
    """Messages of QoS 0 of a binding with `keep` are taken when the queue is full of others."""
    refusing = Refusing(campus_twin)
    rules = [
        {"topic": "c/FREE", "point": "FREE", "qos": 0},
        {"topic": "c/AHU-1-SAT", "point": "AHU-1-SAT", "qos": 0, "keep": True},
    ]
    source = listen(refusing, rules=rules, queue_rows_max=100, batch_rows_max=10)
    wait_for(lambda: source.health().connected)
    broker.publish([("c/FREE", b"1") for _ in range(500)], qos=0)
    wait_for(lambda: source.health().shed >= 380)
    broker.publish([("c/AHU-1-SAT", b"99") for _ in range(50)], qos=0)
    wait_for(lambda: source.health().received == 550)
    refusing.full = False
    wait_for(lambda: source.health().recorded + source.health().shed == 550)
    assert [health.recorded for health in source.health().bindings] == [500 - source.health().shed, 50]


@pytest.mark.parametrize("client", ["paho", "gmqtt"])
def test_servers_of_one_group_deal_the_messages_out(listen, broker, campus_twin, client):
    sources = [listen(share="twins", client=client, client_id=f"test-{i}") for i in range(2)]
    wait_for(lambda: all(source.health().connected for source in sources))
    published = 0

    def both_have_some():
        """A subscription that the broker has not seen yet gets nothing: send until both get some."""
        nonlocal published
        broker.publish([("c/FREE", reading(i, i)) for i in range(published, published + 100)])
        published += 100
        return all(source.health().recorded for source in sources)

    wait_for(both_have_some)
    wait_for(lambda: len(stored_times(campus_twin, "FREE")) == published)
    assert sum(source.health().received for source in sources) == published


def test_settings_are_strict(tmp_path):
    path = tmp_path / "twinmesh.toml"
    good = {"mqtt": [{"site": "campus", "host": "h", "bindings": "b.toml", "tls": True}]}
    (config,) = parse_mqtt(good, path)
    assert (config.port, config.bindings, config.client_id) == (8883, tmp_path / "b.toml", "twinmesh-campus")
    with pytest.raises(InputError) as caught:
        parse_mqtt({"mqtt": [{"site": "campus", "hots": "h", "port": 70_000, "protocol": "4"}]}, path)
    assert sorted(problem.code for problem in caught.value.problems) == [
        "CONFIG_KEY_MISSING",
        "CONFIG_KEY_MISSING",
        "CONFIG_RANGE",
        "CONFIG_RANGE",
        "CONFIG_UNKNOWN_KEY",
    ]


def test_a_password_or_authority_that_is_missing_is_an_error_at_the_start(listen, tmp_path):
    with pytest.raises(InputError, match="MQTT_PASSWORD"):
        listen(username="x", password_env="TWINMESH_TEST_NO_SUCH_VARIABLE")
    with pytest.raises(InputError, match="MQTT_CA_FILE"):
        listen(tls=True, ca_file=tmp_path / "absent.pem")
