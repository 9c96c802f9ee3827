"""AMQP against a real RabbitMQ: acknowledged once it is kept, back after every break."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from pathlib import Path

import aio_pika
import pytest

from adapters.amqp.config import AmqpConfig, parse_amqp
from adapters.amqp.source import AmqpSource
from adapters.amqp_publisher import AmqpPublisher
from adapters.binding import parse_bindings
from ontology.errors import InputError, StoreError
from ontology.units import load_units
from tests.adapters.brokers import wait_for
from tests.adapters.rabbit import Rabbit
from tests.adapters.refusing import Refusing

UNITS = load_units()
T0 = 1_768_219_200_000_000_000


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory):
    rabbit = Rabbit(tmp_path_factory.mktemp("rabbit"))
    yield rabbit
    rabbit.close()


@pytest.fixture
def listen(rabbit, campus_twin, request):
    """Start a source on a queue of the test's own."""
    rule = {
        "topic": "plant/{x}",
        "point": "{x}",
        "pointer": "/value",
        "time_pointer": "/t",
        "time_unit": "ns",
    }
    table = parse_bindings({"binding": [rule | {"time_unit": "ns"}]}, "b.toml", UNITS)
    sources = []

    def start(twin=campus_twin, **settings):
        chosen = {"exchange": "amq.topic", "keys": ("plant.#",), "reconnect_s_max": 1, **settings}
        name = request.node.name
        config = AmqpConfig("campus", "127.0.0.1", name, Path("b.toml"), port=rabbit.port, **chosen)
        sources.append(AmqpSource.start(twin, config, table, UNITS))
        return sources[-1]

    yield start
    for source in sources:
        source.stop()


def publish(rabbit, items):
    """Messages that outlive the broker; it has confirmed each when this returns."""

    async def send():
        connection = await aio_pika.connect(host="127.0.0.1", port=rabbit.port)
        async with connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("amq.topic")
            mode = aio_pika.DeliveryMode.PERSISTENT
            await asyncio.gather(
                *(exchange.publish(aio_pika.Message(body, delivery_mode=mode), key) for key, body in items)
            )

    asyncio.run(asyncio.wait_for(send(), 120))


def readings(first, last):
    return [("plant.FREE", json.dumps({"value": n, "t": T0 + n}).encode()) for n in range(first, last)]


def stored(twin):
    samples = twin.history.range(twin.base + "FREE", 0, 2**62, 1_000_000)
    return [int(t) - T0 for t in samples.times_ns]


def connected(source):
    wait_for(lambda: source.health().connected, timeout_s=120)
    return source


def test_every_message_is_recorded_and_what_is_wrong_is_counted(listen, rabbit, campus_twin):
    source = connected(listen(prefetch=50))
    publish(rabbit, [*readings(0, 1_000), ("plant.FREE", b"{"), ("plant.absent", b"{}")])
    wait_for(lambda: source.health().received == 1_002 and source.health().queued == 0)
    health = source.health()
    assert (health.recorded, health.refused, health.unrouted, health.shed) == (1_000, 1, 1, 0)
    assert stored(campus_twin) == list(range(1_000))


def test_nothing_is_acknowledged_before_it_is_kept_and_the_broker_waits(listen, rabbit, campus_twin):
    refusing = Refusing(campus_twin)
    first = connected(listen(refusing, prefetch=20))
    publish(rabbit, readings(0, 200))
    wait_for(lambda: first.health().state == "blocked")
    wait_for(lambda: first.health().received == 20)  # and no more: the prefetch
    assert first.health().shed == 0
    first.stop()
    assert first.health().received == 20
    second = connected(listen(prefetch=20))
    wait_for(lambda: second.health().recorded >= 200)
    assert stored(campus_twin) == list(range(200))


def test_a_broker_that_is_killed_is_found_again_and_nothing_is_lost(listen, rabbit, campus_twin):
    source = connected(listen())
    publish(rabbit, readings(0, 300))
    rabbit.kill()
    wait_for(lambda: not source.health().connected)
    assert source.health().last_error
    rabbit.start()
    connected(source)
    publish(rabbit, readings(300, 400))
    wait_for(lambda: stored(campus_twin) == list(range(400)))
    assert source.health().reconnects >= 1
    assert source.health().last_error is None


def test_settings_are_strict(tmp_path):
    path = tmp_path / "twinmesh.toml"
    table = {"site": "campus", "host": "h", "queue": "q", "bindings": "b.toml"}
    (config,) = parse_amqp({"amqp": [table]}, path)
    assert (config.port, config.bindings, config.prefetch) == (5672, tmp_path / "b.toml", 10_000)
    with pytest.raises(InputError) as caught:
        parse_amqp({"amqp": [{**table, "exchange": "x", "prefetch": 0, "keyz": []}]}, path)
    codes = sorted(problem.code for problem in caught.value.problems)
    assert codes == ["CONFIG_RANGE", "CONFIG_RANGE", "CONFIG_UNKNOWN_KEY"]


def test_a_password_that_is_missing_is_an_error_at_the_start(listen):
    with pytest.raises(InputError, match="MQTT_PASSWORD"):
        listen(username="x", password_env="TWINMESH_TEST_NO_SUCH_VARIABLE")


ATTEMPTS = 50


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_the_broker_refuses_leaves_nothing_to_the_garbage_collector(listen, rabbit, monkeypatch):
    """Neither by the way in nor by the way out: no open file, no warning when what is left is collected."""
    monkeypatch.setenv("AMQP_URL", f"amqp://guest:wrong@127.0.0.1:{rabbit.port}/")
    monkeypatch.setenv("AMQP_PASSWORD", "wrong")
    refusals = []
    gc.collect()
    gc.disable()  # whatever is left, is left to be seen
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            publisher = AmqpPublisher("AMQP_URL", "amq.topic")
            source = listen(username="guest", password_env="AMQP_PASSWORD")
            before = descriptors()
            for number in range(ATTEMPTS):
                with pytest.raises(StoreError, match="AMQP_NOT_CONNECTED") as refused:
                    publisher.publish("k", b"{}", message_id=str(number), content_type="t", timeout_s=60)
                refusals.append(str(refused.value))
            after = descriptors()
            wait_for(lambda: "ACCESS_REFUSED" in (source.health().last_error or ""), timeout_s=120)
            publisher.close()
            source.stop()
            left = [each for each in gc.get_objects() if issubclass(type(each), aio_pika.Connection)]
            unclosed = [each for each in left if not each.is_closed]
            del left
            gc.collect()
    finally:
        gc.enable()
    assert all("ACCESS_REFUSED" in text for text in refusals)
    assert unclosed == []
    assert after - before <= 3, (before, after)  # the source may just have been trying
    assert [str(each.message) for each in warned] == []
