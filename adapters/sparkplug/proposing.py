# pyright: reportUnknownMemberType=false
"""Sparkplug births on a broker -> candidates for bindings. Listens; asks for rebirths if told to."""

from __future__ import annotations

import queue
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from adapters.mqtt.line import PahoLine
from adapters.proposing import Candidate, Doubt, Proposals, propose
from adapters.sparkplug.decode import BOOLEAN, VALUE_TYPES, Metric, Payload, decode_payload, encode_payload
from adapters.sparkplug.host import NAMESPACE, REBIRTH, is_point, unit_stated
from ontology.errors import InputError

if TYPE_CHECKING:
    from adapters.sparkplug.config import SparkplugConfig
    from graph.snapshot import Snapshot
    from ontology.units import Units

METRICS_MAX: Final = 100_000
WAITING_MAX: Final = 10_000  # messages
SPOKEN: Final = ("NBIRTH", "DBIRTH", "NDATA", "DDATA")


def births_heard(
    config: SparkplugConfig, seconds: float, *, enough: int = METRICS_MAX, ask: bool = False
) -> tuple[Candidate, ...]:
    """The metrics that edges bear within some seconds of listening, or until there are `enough`.

    ask: an edge that speaks and whose birth was not heard is asked for it, once. Raises InputError
    SPARKPLUG_LINE where the broker cannot be listened to, MQTT_CA_FILE, MQTT_PASSWORD.
    """
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue(WAITING_MAX)
    filters = [f"{NAMESPACE}/{group}/#" for group in config.groups] or [f"{NAMESPACE}/#"]
    line = PahoLine(
        config,
        "3.1.1",
        clean=True,
        on_up=lambda client: client.subscribe([(each, 0) for each in filters]) and 1,
        on_message=lambda message: _put(heard, message.topic, bytes(message.payload)),
    )
    line.secure()
    try:
        line.client.connect(config.host, config.port, config.keepalive_s)
    except OSError as error:
        told = f"{config.address} cannot be listened to: {type(error).__name__}: {error}"
        raise InputError(told, code="SPARKPLUG_LINE") from error
    line.client.loop_start()
    try:
        return _listen(line, heard, seconds, min(enough, METRICS_MAX), ask)
    finally:
        line.client.disconnect()
        line.client.loop_stop()


def propose_metrics(candidates: tuple[Candidate, ...], snapshot: Snapshot, units: Units) -> Proposals:
    """Matched by name. The host converts units: where two are stated that do not convert, that is a doubt."""
    found = propose(candidates, snapshot)
    doubts = list(found.doubts)
    fitting = [
        one for one in found.proposals if not (one.unit and _other(one.unit, one.point, snapshot, units))
    ]
    for one in found.proposals:
        if one not in fitting:
            stated = snapshot.unit_of(snapshot.find(one.point))
            doubts.append(Doubt(one.address, f"{one.point} is in {stated}, this in {one.unit}"))
    unbound = {*found.unbound} | {one.point for one in found.proposals if one not in fitting}
    proposals = tuple(replace(one, unit=None) for one in fitting)
    return Proposals(proposals, tuple(doubts), found.unmatched, tuple(sorted(unbound)))


def _put(heard: queue.Queue[tuple[str, bytes]], topic: str, payload: bytes) -> None:
    if not heard.full():  # births come again; the network's thread must not wait
        heard.put_nowait((topic, payload))


def _listen(
    line: PahoLine, heard: queue.Queue[tuple[str, bytes]], seconds: float, enough: int, ask: bool
) -> tuple[Candidate, ...]:
    found: dict[str, Candidate] = {}
    known: set[tuple[str, str]] = set()  # edges that bore, or were asked
    until = time.monotonic() + seconds
    while len(found) < enough and (left := until - time.monotonic()) > 0:
        try:
            topic, payload = heard.get(timeout=min(left, 0.5))
        except queue.Empty:
            if line.last_error is not None:
                raise InputError(line.last_error, code="SPARKPLUG_LINE") from None
            continue
        levels = topic.split("/")
        if len(levels) not in (4, 5) or levels[2] not in SPOKEN:
            continue
        edge = (levels[1], levels[3])
        if levels[2].endswith("BIRTH"):
            found |= {one.address: one for one in _born(levels, payload)}
        if levels[2] == "NBIRTH":
            known.add(edge)
        elif ask and edge not in known:
            known.add(edge)
            order = Payload(time.time_ns() // 1_000_000, (Metric(REBIRTH, datatype=BOOLEAN, value=True),))
            line.client.publish(f"{NAMESPACE}/{edge[0]}/NCMD/{edge[1]}", encode_payload(order))
    return tuple(found.values())


def _born(levels: list[str], payload: bytes) -> list[Candidate]:
    """A birth that cannot be read offers nothing: the host refuses and counts it."""
    try:
        metrics = decode_payload(payload).metrics
    except InputError:
        return []
    place = [levels[1], *levels[3:]]
    return [_candidate(place, metric) for metric in metrics if is_point(metric)]


def _candidate(place: list[str], metric: Metric) -> Candidate:
    """Known by its whole path first, by its own name last."""
    path = [*place, metric.name]
    names = tuple("/".join(path[start:]) for start in range(len(path)))
    kind = VALUE_TYPES.get(metric.datatype)
    unit = unit_stated(metric) if kind == "number" else None
    return Candidate(names[0], names if kind else (), kind.value if kind else None, unit)


def _other(unit: str, point: str, snapshot: Snapshot, units: Units) -> bool:
    stated = snapshot.unit_of(snapshot.find(point))
    try:
        return stated is not None and unit != stated and not units.same_dimension(unit, stated)
    except InputError:
        return True
