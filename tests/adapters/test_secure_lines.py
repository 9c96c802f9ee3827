"""Lines with security on: encrypted, by name and password, with rights; what is wrong is told by its code."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import aio_pika
import pytest

from adapters.amqp.config import AmqpConfig
from adapters.amqp.source import AmqpSource
from adapters.binding import parse_bindings
from adapters.mqtt.config import MqttConfig
from adapters.mqtt.publisher import Extras, MqttLink, MqttPublisher
from adapters.mqtt.source import MqttSource
from ontology.errors import StoreError
from ontology.units import load_units
from tests.adapters.brokers import secure_broker, wait_for
from tests.adapters.rabbit import Rabbit
from tests.api.certificates import Authority

UNITS = load_units()
T0 = 1_768_219_200_000_000_000
RULE = {"topic": "c/{x}", "point": "{x}", "pointer": "/value", "time_pointer": "/time", "time_unit": "ns"}
CLIENTS = ["paho", "gmqtt"]
USER, PASSWORD = "twinmesh", "s3cret"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "site")


def secured(program, folder, authority, days=1):
    """A broker that knows two users: ours reads `c/#` and writes `out/#`, the device writes `c/#`."""
    rights = f"user {USER}\ntopic read c/#\ntopic write out/#\nuser device\ntopic write c/#\n"
    users = {"device": "d3vice", USER: PASSWORD}
    return secure_broker(program, folder, authority, users, rights, days)


@pytest.fixture
def broker(mosquitto, tmp_path, authority):
    broker = secured(mosquitto, tmp_path / "broker", authority)
    yield broker
    broker.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    monkeypatch.setenv("TEST_WRONG", "guess")


@pytest.fixture
def listen(campus_twin, authority):
    sources = []
    table = parse_bindings({"binding": [RULE]}, "b.toml", UNITS)

    def start(port, **settings):
        chosen = {
            "tls": True, "ca_file": authority.file, "username": USER, "password_env": "TEST_PASSWORD",
            "reconnect_s_max": 1, "client_id": "test", **settings,
        }  # fmt: skip
        config = MqttConfig("campus", "127.0.0.1", Path("b.toml"), port=port, **chosen)
        sources.append(MqttSource.start(campus_twin, config, table, UNITS))
        return sources[-1]

    yield start
    for source in sources:
        source.stop()


def readings(first, last):
    return [("c/FREE", json.dumps({"value": n, "time": T0 + n}).encode()) for n in range(first, last)]


def stored(twin):
    samples = twin.history.range(twin.base + "FREE", 0, 2**62, 1_000_000)
    return sorted(int(t) - T0 for t in samples.times_ns)


def told(source, code):
    """The source says why it is down, and goes on trying."""
    wait_for(lambda: (source.health().last_error or "").startswith(code))
    health = source.health()
    assert (health.connected, health.connects, health.state) == (False, 0, "connecting")


@pytest.mark.parametrize("client", CLIENTS)
def test_mqtt_by_tls_and_password_survives_a_kill_of_the_broker(listen, broker, campus_twin, client):
    source = listen(broker.port, client=client)
    wait_for(lambda: source.health().connected)
    broker.publish(readings(0, 300))
    wait_for(lambda: stored(campus_twin) == list(range(300)))
    broker.kill()
    wait_for(lambda: not source.health().connected)
    assert (source.health().last_error or "").startswith(("LINE_LOST", "LINE_NO_ANSWER"))
    broker.start()
    wait_for(lambda: source.health().connected)
    broker.publish(readings(300, 400))
    wait_for(lambda: stored(campus_twin)[-100:] == list(range(300, 400)))
    assert set(stored(campus_twin)) == set(range(400))
    assert (source.health().shed, source.health().last_error) == (0, None)


@pytest.mark.parametrize("client", CLIENTS)
def test_mqtt_what_is_wrong_with_the_trust_is_told(listen, broker, mosquitto, authority, tmp_path, client):
    stranger = Authority(tmp_path, "stranger")
    told(listen(broker.port, client=client, password_env="TEST_WRONG"), "LINE_LOGIN")
    wrong = listen(broker.port, client=client, ca_file=stranger.file, client_id="test-2")
    told(wrong, "LINE_CERTIFICATE")
    expired = secured(mosquitto, tmp_path / "expired", authority, days=-1)
    try:
        late = listen(expired.port, client=client, client_id="test-3")
        told(late, "LINE_CERTIFICATE")
        assert "expired" in late.health().last_error
    finally:
        expired.stop()
    told(late, "LINE_NO_ANSWER")


def published(publisher, topic):
    try:
        return publisher.publish(topic, b"2", Extras(), qos=1, timeout_s=60)
    except StoreError as error:
        assert error.code == "MQTT_NOT_CONNECTED", error
        return False


def test_mqtt_a_message_that_the_broker_does_not_take_is_no_success(broker, authority):
    """MQTT 5 says so with the acknowledgement; who only waits for one would take it for delivered."""
    link = MqttLink("127.0.0.1", broker.port, "out", True, authority.file, USER, "TEST_PASSWORD")
    publisher = MqttPublisher(link)
    try:
        wait_for(lambda: publisher.is_ready)
        assert publisher.publish("out/a", b"1", Extras(), qos=1, timeout_s=60)
        with pytest.raises(StoreError, match="MQTT_REFUSED"):
            publisher.publish("c/FREE", b"1", Extras(), qos=1, timeout_s=60)
        # mosquitto 2.0 says no and hangs up; the line is made anew.
        wait_for(lambda: published(publisher, "out/a"))
    finally:
        publisher.close()


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory, authority):
    pair = authority.pair("rabbit")
    rabbit = Rabbit(
        tmp_path_factory.mktemp("rabbit"), (authority.file, pair.certificate, pair.key, USER, PASSWORD)
    )
    yield rabbit
    rabbit.close()


def publish(rabbit, authority, items):
    """Messages that outlive the broker; it has confirmed each when this returns."""

    async def send():
        url = f"amqps://{USER}:{PASSWORD}@127.0.0.1:{rabbit.port}/?cafile={authority.file}"
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("amq.topic")
            mode = aio_pika.DeliveryMode.PERSISTENT
            await asyncio.gather(
                *(
                    exchange.publish(aio_pika.Message(body, delivery_mode=mode), topic.replace("/", "."))
                    for topic, body in items
                )
            )

    asyncio.run(asyncio.wait_for(send(), 120))


# aio-pika leaves connections that were refused to the garbage collector: it is made to run within this test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_amqp_by_tls_and_password_survives_a_kill_of_the_broker(rabbit, authority, campus_twin, tmp_path):
    table = parse_bindings({"binding": [RULE]}, "b.toml", UNITS)
    sources = []

    def start(queue, **settings):
        chosen = {
            "tls": True, "ca_file": authority.file, "username": USER, "password_env": "TEST_PASSWORD",
            "reconnect_s_max": 1, "exchange": "amq.topic", "keys": ("c.#",), **settings,
        }  # fmt: skip
        config = AmqpConfig("campus", "127.0.0.1", queue, Path("b.toml"), port=rabbit.port, **chosen)
        sources.append(AmqpSource.start(campus_twin, config, table, UNITS))
        return sources[-1]

    try:
        source = start("good")
        wait_for(lambda: source.health().connected, 120)
        told(start("wrong", password_env="TEST_WRONG"), "LINE_LOGIN")
        told(start("strange", ca_file=Authority(tmp_path, "stranger").file), "LINE_CERTIFICATE")
        publish(rabbit, authority, readings(0, 200))
        rabbit.kill()
        wait_for(lambda: not source.health().connected)
        rabbit.start()
        wait_for(lambda: source.health().connected, 120)
        publish(rabbit, authority, readings(200, 300))
        wait_for(lambda: set(stored(campus_twin)) == set(range(300)))
        assert (source.health().shed, source.health().last_error) == (0, None)
    finally:
        for each in sources:
            each.stop()
        sources.clear()
        source = each = None
        gc.collect()
