"""Records of a real Kafka into columns and durable history, beside the same client that only counts them.

    uv run twinmesh bench kafka [--json]

A topic of four partitions holds records of about 45 bytes on 1,000 keys. Both read it from its beginning and
take turns; cluster, client and we share the processors. The counting client asks each record for what ours
needs: topic, key, value, partition, offset, stamp. Each reading that came is checked against what was sent.
--quick or TWINMESH_BENCH_QUICK=1: 100,000 records, one round.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, Producer

from adapters.binding import parse_bindings
from adapters.kafka.config import KafkaConfig, KafkaLink
from adapters.kafka.source import TAKE_ROWS, KafkaSource
from bench import kafka_server
from bench.jars import ServerError
from bench.stores.machine import Meter
from bench.stores.table import Aim, rounded
from graph.twin import Twin
from graph.values import Change, TwinRecord
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable

IS_QUICK = "--quick" in sys.argv or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
RECORDS, ROUNDS = (100_000, 1) if IS_QUICK else (1_000_000, 3)
POINTS, PARTITIONS = 1_000, 4
TOPIC = "readings"
T0_NS = 1_768_219_200_000_000_000
WAIT_S_MAX = 300.0
LOOK_S = 0.02
RULE = {
    "topic": f"{TOPIC}/{{x}}", "point": "{x}", "pointer": "/value", "time_pointer": "/t", "time_unit": "ns",
}  # fmt: skip


class Rate(NamedTuple):
    per_s: float
    processor_us: float  # of our process, for a record


def fill(server: kafka_server.Server) -> None:
    server.create(TOPIC, PARTITIONS)
    producer = Producer({**server.client(), "linger.ms": 20, "queue.buffering.max.messages": RECORDS})
    for number in range(RECORDS):
        body = json.dumps({"value": number, "t": T0_NS + number}).encode()
        producer.produce(TOPIC, body, f"p-{number % POINTS}".encode())
        if number % TAKE_ROWS == 0:
            producer.poll(0)
    if producer.flush(WAIT_S_MAX):
        raise ServerError("not all records were taken")


def timed(read: Callable[[], int], least: int) -> Rate:
    """From the first record on until `least` were read; read: how many so far."""
    ends_s = time.monotonic() + WAIT_S_MAX
    while not (first := read()):
        pass
    began_s, before_s = time.perf_counter(), time.process_time()
    while (count := read()) < least:
        if time.monotonic() > ends_s:
            raise ServerError(f"{count:,} of {least:,} records in {WAIT_S_MAX:.0f} s")
    took_s, used_s = time.perf_counter() - began_s, time.process_time() - before_s
    return Rate((count - first) / took_s, used_s / (count - first) * 1e6)


def counted(server: kafka_server.Server, group: str) -> Rate:
    wanted = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**server.client(), **wanted})
    consumer.subscribe([TOPIC])
    total = 0

    def read() -> int:
        nonlocal total
        first = consumer.poll(1.0)
        for record in [] if first is None else [first, *consumer.consume(TAKE_ROWS - 1, 0)]:
            record.topic(), record.key(), record.value(), record.partition(), record.offset()
            total += record.error() is None and record.timestamp()[0] > 0
        return total

    try:
        return timed(read, RECORDS)
    finally:
        consumer.close()


def recorded(server: kafka_server.Server, group: str, folder: Path) -> Rate:
    schema, units = load_schema(), load_units()
    kind = schema.kind("tm:Point").iri
    with Twin.open(folder, schema, site="bench") as twin:
        names = [f"p-{number}" for number in range(POINTS)]
        twin.apply(Change(put_twins=tuple(TwinRecord(twin.base + name, (kind,), name) for name in names)))
        table = parse_bindings({"binding": [RULE]}, "bench.toml", units)
        config = KafkaConfig("bench", KafkaLink((server.address,)), (TOPIC,), group, folder / "bench.toml")
        source = KafkaSource.start(twin, config, table, units)

        def read() -> int:
            time.sleep(LOOK_S)
            return source.health().recorded

        try:
            rate = timed(read, RECORDS)
        finally:
            source.stop()
        check(twin, source.health().shed)
        return rate


def check(twin: Twin, shed: int) -> None:
    """Nothing is missing: every point holds its own numbers."""
    for number in (0, POINTS // 2, POINTS - 1):
        samples = twin.history.range(f"{twin.base}p-{number}", 0, 2**62, RECORDS)
        if {int(t) - T0_NS for t in samples.times_ns} != set(range(number, RECORDS, POINTS)) or shed:
            raise ServerError("readings were lost")


def run() -> dict[str, Any]:
    """Measure everything. Keys: machine, versions, quick, rows, aims."""
    meter, found = Meter(), dict[str, list[Rate]](client=[], twinmesh=[])
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with kafka_server.running(folder / "kafka") as server:
            fill(server)
            for number in range(ROUNDS):
                found["client"].append(counted(server, f"counting-{number}"))
                found["twinmesh"].append(recorded(server, f"recording-{number}", folder / f"site-{number}"))
        machine = meter.machine(folder)
    rows = [
        {
            "what": name,
            "per_s": rounded(median(each.per_s for each in rates)),
            "processor_us": rounded(median(each.processor_us for each in rates)),
        }
        for name, rates in found.items()
    ]
    pairs = zip(found["twinmesh"], found["client"], strict=True)
    ratio = median(ours.per_s / stock.per_s for ours, stock in pairs)
    return {
        "machine": machine,
        "versions": {"kafka": kafka_server.VERSION, "confluent-kafka": version("confluent-kafka")},
        "quick": IS_QUICK,
        "rows": rows,
        "aims": [Aim("Kafka into history, of the client that counts", ratio, 0.3).row()],
    }


def main(arguments: list[str]) -> int:
    found = run()
    if "--json" in arguments:
        print(json.dumps(found))
        return 0
    for row in found["rows"]:
        print(f"{row['what']:12} {row['per_s']:>12,} records/s {row['processor_us']:>8} us of processor time")
    for aim in found["aims"]:
        print(f"{'met' if aim['met'] else 'not met':8} {aim['name']}: {aim['value']} (aim {aim['aim']})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
