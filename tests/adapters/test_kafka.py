"""Kafka, a real one, by SASL over TLS: committed once it is kept, back after every break."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer

from adapters.binding import parse_bindings
from adapters.kafka.config import KafkaConfig, KafkaLink, parse_kafka
from adapters.kafka.installed import demand_client
from adapters.kafka.source import KafkaSource
from bench.jars import free_port
from ontology.errors import InputError, StoreError
from ontology.units import load_units
from tests.adapters.brokers import wait_for
from tests.adapters.kafka_cluster import PASSWORD, T0, USER, committed, publish, readings, records_of, secured
from tests.api.certificates import Authority

UNITS = load_units()
RULE = {"pointer": "/value", "time_pointer": "/t", "time_unit": "ns"}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with secured(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
def topic(kafka, request):
    """A topic of the test's own, of one partition."""
    name = f"c.{request.node.name}"
    kafka.create(name)
    return name


@pytest.fixture
def listen(kafka, campus_twin, request, monkeypatch):
    """Start a source in a group of the test's own."""
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
    monkeypatch.setenv("TEST_WRONG", "guess")
    sources = []

    def start(
        topics, twin=campus_twin, *, subscribed=(), ca_file=None, server=kafka.address, rule=RULE, **settings
    ):
        link = {"username": USER, "password_env": "TEST_PASSWORD", "client_id": ""}
        link |= {key: settings.pop(key) for key in tuple(settings) if key in link}
        bound = KafkaLink((server,), True, ca_file or kafka.security.authority, **link)
        each = [rule | {"topic": f"{name.replace('.', '/')}/{{x}}", "point": "{x}"} for name in topics]
        table = parse_bindings({"binding": each}, "b.toml", UNITS)
        chosen = {
            "group": f"g-{request.node.name}",
            "session_timeout_s": 60,
            "reconnect_s_max": 1,
            **settings,
        }
        config = KafkaConfig("campus", bound, subscribed or tuple(topics), bindings=Path("b.toml"), **chosen)
        sources.append(KafkaSource.start(twin, config, table, UNITS))
        return sources[-1]

    yield start
    for source in sources:
        source.stop()


def stored(twin, point="FREE"):
    samples = twin.history.range(twin.base + point, 0, 2**62, 1_000_000)
    return [int(t) - T0 for t in samples.times_ns]


def connected(source):
    wait_for(lambda: source.health().connected, timeout_s=120)
    return source


def test_every_record_is_recorded_and_what_is_wrong_is_counted(listen, kafka, topic, campus_twin):
    source = connected(listen([topic]))
    wrong = [(topic, "FREE", b"{"), (topic, "absent", b"{}"), (topic, None, b"1"), (topic, "FREE", None)]
    publish(kafka, [*readings(0, 1_000, topic), *wrong])
    wait_for(lambda: source.health().received == 1_004 and source.health().queued == 0)
    health = source.health()
    assert (health.recorded, health.refused, health.unrouted, health.shed) == (1_000, 2, 2, 0)
    assert (health.connects, health.state, health.last_error) == (1, "running", None)
    assert stored(campus_twin) == list(range(1_000))
    wait_for(lambda: committed(kafka, f"g-{topic[2:]}", topic) == 1_004)


class Refusing:
    """A twin whose store is full for a while."""

    def __init__(self, twin):
        self._twin = twin
        self.full = True

    def __getattr__(self, name):
        return getattr(self._twin, name)

    def record(self, readings):
        if self.full:
            raise StoreError("disk full", code="STORE_FULL")
        return self._twin.record(readings)


def test_nothing_is_committed_before_it_is_kept_and_what_waits_is_bounded(listen, kafka, topic, campus_twin):
    refusing = Refusing(campus_twin)
    first = connected(listen([topic], refusing, queue_rows_max=500, batch_rows_max=100))
    publish(kafka, readings(0, 20_000, topic))
    wait_for(lambda: first.health().state == "blocked" and first.health().received >= 500)
    first.stop()
    health = first.health()
    # The queue, and what the pump holds; the rest waits in the cluster.
    assert (health.received <= 600, health.shed, health.recorded) == (True, 0, 0)
    assert committed(kafka, f"g-{topic[2:]}", topic) == 0
    second = connected(listen([topic], queue_rows_max=500, batch_rows_max=100))
    wait_for(lambda: second.health().recorded >= 20_000)
    assert set(stored(campus_twin)) == set(range(20_000))
    assert second.health().shed == 0
    wait_for(lambda: committed(kafka, f"g-{topic[2:]}", topic) == 20_000)


def test_a_store_that_refuses_for_long_pauses_the_partitions_and_goes_on(
    listen, kafka, topic, campus_twin, monkeypatch
):
    monkeypatch.setattr("adapters.kafka.source.PAUSE_AFTER_S", 0.1)
    refusing = Refusing(campus_twin)
    source = connected(listen([topic], refusing, queue_rows_max=100, batch_rows_max=50))
    publish(kafka, readings(0, 5_000, topic))
    wait_for(lambda: source._paused and source.health().state == "blocked")
    refusing.full = False
    wait_for(lambda: source.health().recorded >= 5_000)
    assert set(stored(campus_twin)) == set(range(5_000))
    assert (source.health().shed, source.health().connects) == (0, 1)
    wait_for(lambda: committed(kafka, f"g-{topic[2:]}", topic) == 5_000)


def test_a_cluster_that_is_killed_is_found_again_and_nothing_is_lost(listen, kafka, topic, campus_twin):
    source = connected(listen([topic]))
    publish(kafka, readings(0, 300, topic))
    wait_for(lambda: source.health().recorded >= 300)
    kafka.kill()
    wait_for(lambda: not source.health().connected)
    assert source.health().last_error.startswith(("LINE_LOST", "LINE_NO_ANSWER"))
    kafka.start()
    publish(kafka, readings(300, 400, topic))
    connected(source)
    wait_for(lambda: set(stored(campus_twin)) >= set(range(400)))
    assert (source.health().reconnects >= 1, source.health().last_error) == (True, None)
    wait_for(lambda: committed(kafka, f"g-{topic[2:]}", topic) == 400)


def test_servers_of_one_group_share_the_partitions_and_hand_them_over(listen, kafka, campus_twin, request):
    name = request.node.name
    kafka.create("c.shared", 4)
    first = connected(listen(["c.shared"]))
    publish(
        kafka, readings(0, 2_000, "c.shared"), partitioner="random", **{"sticky.partitioning.linger.ms": 0}
    )
    second = connected(listen(["c.shared"]))
    wait_for(lambda: len(first._ours) == len(second._ours) == 2)
    publish(kafka, readings(2_000, 4_000, "c.shared"), partitioner="random")
    wait_for(lambda: first.health().recorded + second.health().recorded >= 4_000)
    second.stop()  # leaves the group: the first takes its partitions over
    wait_for(lambda: len(first._ours) == 4)
    publish(kafka, readings(4_000, 5_000, "c.shared"), partitioner="random")
    wait_for(lambda: set(stored(campus_twin)) >= set(range(5_000)))
    wait_for(lambda: committed(kafka, f"g-{name}", "c.shared", 4) == 5_000)


def test_topics_by_pattern_and_series_in_one_message(listen, kafka, campus_twin):
    kafka.create("c.pattern.a")
    rule = RULE | {"series": True}
    source = connected(listen(["c.pattern.a"], subscribed=("^c[.]pattern[.].*",), rule=rule))
    publish(
        kafka, [("c.pattern.a", "FREE", b'{"value": [1, 2.5, 3], "t": [%d, %d, %d]}' % (T0, T0 + 1, T0 + 2))]
    )
    wait_for(lambda: source.health().recorded == 3)
    assert stored(campus_twin) == [0, 1, 2]


def test_a_record_without_a_time_of_its_own_has_that_of_its_stamp(listen, kafka, topic, campus_twin):
    publish(kafka, [(topic, "FREE", b'{"value": 1}')])
    source = connected(listen([topic], rule={"pointer": "/value"}))
    wait_for(lambda: source.health().recorded == 1)
    (record,) = records_of(kafka, topic, 1)
    assert stored(campus_twin) == [record.timestamp()[1] * 1_000_000 - T0]


def told(source, code):
    """The source says why it is down, and goes on trying."""
    wait_for(lambda: (source.health().last_error or "").startswith(code), 120)
    health = source.health()
    assert (health.connected, health.connects, health.state) == (False, 0, "connecting")


def test_what_is_wrong_with_the_trust_or_the_topic_is_told(listen, kafka, topic, tmp_path):
    told(listen([topic], password_env="TEST_WRONG"), "LINE_LOGIN")
    told(listen([topic], ca_file=Authority(tmp_path, "stranger").file), "LINE_CERTIFICATE")
    told(listen(["c.nowhere"], group="g-nowhere"), "LINE_SUBSCRIPTION")
    kafka.create("d.hidden")
    told(listen(["d.hidden"], group="g-hidden"), "LINE_SUBSCRIPTION")
    told(listen([topic], group="forbidden"), "LINE_SUBSCRIPTION")
    told(listen([topic], server=f"127.0.0.1:{free_port()}"), "LINE_NO_ANSWER")


def test_a_group_of_others_and_a_second_server_of_one_name_are_told(listen, kafka, topic, campus_twin):
    stranger = Consumer({**kafka.client(), "group.id": "g-strange", "partition.assignment.strategy": "range"})
    stranger.subscribe([topic])
    wait_for(lambda: stranger.poll(0.1) is None and stranger.assignment())
    try:
        told(listen([topic], group="g-strange"), "LINE_SUBSCRIPTION")
    finally:
        stranger.close()
    patient = {"client_id": "one", "reconnect_s_min": 600, "reconnect_s_max": 600}
    first = connected(listen([topic], **patient))
    publish(kafka, readings(0, 10, topic))
    wait_for(lambda: first.health().recorded == 10)
    connected(listen([topic], **patient))
    wait_for(lambda: "LINE_SUBSCRIPTION" in (first.health().last_error or ""))
    publish(kafka, readings(10, 20, topic))
    wait_for(lambda: set(stored(campus_twin)) == set(range(20)))


def test_settings_are_strict(tmp_path):
    path = tmp_path / "twinmesh.toml"
    table = {"site": "campus", "servers": ["h:9092"], "topics": ["t"], "bindings": "b.toml"}
    (config,) = parse_kafka({"kafka": [table]}, path)
    assert (config.group, config.bindings, config.start) == (
        "twinmesh-campus", tmp_path / "b.toml", "earliest",
    )  # fmt: skip
    wrong = {
        **table, "servers": ["h"], "topics": ["^("], "sasl": "PLAIN", "username": "x", "password_env": "Y",
        "topicz": [], "start": "now",
    }  # fmt: skip
    with pytest.raises(InputError) as caught:
        parse_kafka({"kafka": [wrong, {}]}, path)
    codes = [problem.code for problem in caught.value.problems]
    assert (codes.count("CONFIG_RANGE"), codes.count("CONFIG_UNKNOWN_KEY")) == (5, 1)
    assert codes.count("CONFIG_KEY_MISSING") == 3


def test_a_password_that_is_missing_is_an_error_at_the_start(listen):
    with pytest.raises(InputError, match="MQTT_PASSWORD"):
        listen(["c.x"], password_env="TWINMESH_TEST_NO_SUCH_VARIABLE")


def test_a_client_that_is_not_installed_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError, match="KAFKA_NOT_INSTALLED") as caught:
        demand_client()
    assert "twinmesh[kafka]" in str(caught.value.problems[0].hint)
