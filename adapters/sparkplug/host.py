"""The host application: births make points, data becomes readings, a death makes quality bad.

An edge whose data cannot be understood, or that skipped a number, is asked for its birth again. Points are
named `group/node/metric` and `group/node/device/metric`; they belong to a twin for each node and device.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from adapters.binding_state import BindingHealth, state_of
from adapters.lanes import Decoded
from adapters.quality import flag_times
from adapters.sparkplug.decode import VALUE_TYPES, decode_payload
from adapters.sparkplug.edges import Edge, Known, Place
from adapters.sparkplug.points import make_points
from graph.ids import local_iri
from graph.values import Quality, Readings, ValueType
from ontology.errors import StoreError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from adapters.mqtt.chunks import Chunk
    from adapters.mqtt.decode import Message
    from adapters.sparkplug.config import SparkplugConfig
    from adapters.sparkplug.decode import Metric, Payload, Plain
    from graph.twin import Twin
    from ontology.errors import Problem
    from ontology.units import Units

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"
CONTROLS = ("Node Control/", "Device Control/")
QUALITIES = {0: Quality.BAD, 192: Quality.GOOD, 500: Quality.UNCERTAIN}
NS_PER_MS = 1_000_000
TIME_MAX_MS = (1 << 62) // NS_PER_MS
EDGES_MAX = 10_000
WRONG_MAX = 100  # metrics whose unit does not convert, told one by one


@dataclass(slots=True)
class _Rows:
    """Readings while they are put together; all lists of equal length."""

    points: list[int] = field(default_factory=list[int])
    times_ns: list[int] = field(default_factory=list[int])
    words: list[int] = field(default_factory=list[int])
    quality: list[int] = field(default_factory=list[int])

    def put(self, metric: Known, time_ns: int, quality: Quality) -> None:
        self.points.append(metric.row)
        self.times_ns.append(time_ns)
        self.words.append(metric.word or 0)
        self.quality.append(int(quality))


@dataclass(slots=True)
class _Counts:
    """Of one edge; written by the pump alone."""

    messages: int = 0
    recorded: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])
    last_ns: int = 0


class SparkplugHost:
    """A decoder for `adapters.pipeline`. ask: sends a command for rebirth to a group's node."""

    def __init__(
        self, config: SparkplugConfig, twin: Twin, units: Units, ask: Callable[[str, str], None]
    ) -> None:
        self._config = config
        self._twin = twin
        self._units = units
        self._ask = ask
        self._edges: dict[tuple[str, str], Edge] = {}
        self._counts: dict[tuple[str, str], _Counts] = {}
        self._made = 0
        self._forget = threading.Event()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """We were away: something may have been missed, so every edge is asked for its birth, now: one that
        bore while we were away and is silent since would not remind us. Call it once we are subscribed."""
        self._forget.set()
        with self._lock:
            edges = list(self._edges)
        for group, node in edges:
            self._ask(group, node)

    def decode(self, batch: Sequence[Message]) -> Decoded:
        if self._forget.is_set():
            self._forget.clear()
            for edge in self._edges.values():
                edge.sequence = None
                edge.asked_ns, edge.waits = batch[0].arrival_ns, True
        rows = _Rows()
        refused = unrouted = 0
        for message in batch:
            levels = message.topic.split("/")
            if len(levels) not in (4, 5) or levels[0] != NAMESPACE or levels[2] not in _READERS:
                unrouted += 1
                continue
            refused += not self._take(levels, message, rows)
        now_ns = max(message.arrival_ns for message in batch)
        times_ns = np.array(rows.times_ns, np.int64)
        quality = flag_times(times_ns, now_ns, np.array(rows.quality, np.uint8))
        points, words = np.array(rows.points, np.int32), np.array(rows.words, np.uint64)
        return Decoded(Readings(points, times_ns, words, quality), np.zeros(0, np.int32), refused, unrouted)

    def stamps_ns(self, decoded: Decoded) -> npt.NDArray[np.int64]:
        """All of them: metrics have times of their own."""
        return decoded.readings.times_ns

    def recorded(self, decoded: Decoded, now_ns: int) -> None:
        """Counted while they were decoded."""

    def keeps(self, message: Message) -> bool:
        """Births and deaths; of data there will be more."""
        return "BIRTH/" in message.topic or "DEATH/" in message.topic

    def keeps_all(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        return np.array([self.keeps(message) for message in chunk.messages()], np.bool_)

    def health(self, now_ns: int) -> tuple[tuple[Problem, ...], tuple[BindingHealth, ...]]:
        with self._lock:
            edges = list(self._edges.items())
        told = [self._health_of(key, edge) for key, edge in edges]
        wrong = [metric for _, edge in edges for place in edge.places() for metric in place.known()]
        wrong = [metric for metric in wrong if metric.problem is not None][:WRONG_MAX]
        return (), (*told, *(_health_of_wrong(metric) for metric in wrong))

    def _health_of(self, key: tuple[str, str], edge: Edge) -> BindingHealth:
        counts = self._counts[key]
        metrics = [metric for place in edge.places() for metric in place.known()]
        silent = [metric.point for place in edge.places() if not place.alive for metric in place.known()]
        return BindingHealth(
            name=f"{edge.group}/{edge.node}",
            expected=len(metrics),
            seen=sum(metric.word is not None for metric in metrics),
            messages=counts.messages,
            recorded=counts.recorded,
            refused=dict(counts.refused),
            never_seen=tuple(metric.point for metric in metrics if metric.word is None)[:20],
            stale=tuple(silent[:20]),
            stale_count=len(silent),
            last_ns=counts.last_ns or None,
            problem=None,
        )

    def _take(self, levels: list[str], message: Message, rows: _Rows) -> bool:
        """One message; False where it was refused."""
        _, group, kind, node, *device = levels
        edge = self._edge(group, node)
        counts = self._counts.get((group, node)) or _Counts()
        counts.messages += 1
        before = len(rows.points)
        code = "SPARKPLUG_EDGES" if edge is None else None
        if edge is not None:
            try:
                payload = decode_payload(message.payload)
                code = _READERS[kind](self, edge, device[0] if device else "", payload, message, rows)
            except StoreError:
                raise
            except TwinmeshError as error:
                code = error.code
        counts.recorded += len(rows.points) - before
        counts.last_ns = message.arrival_ns
        if code is not None:
            counts.refused[code] = counts.refused.get(code, 0) + 1
        return code is None

    def _edge(self, group: str, node: str) -> Edge | None:
        edge = self._edges.get((group, node))
        if edge is None and len(self._edges) < EDGES_MAX:
            edge = Edge(group, node, Place(f"{group}/{node}"))
            with self._lock:
                self._counts[group, node] = _Counts()
                self._edges[group, node] = edge
        return edge

    # What each kind of message does; a code where it was refused

    def _node_birth(
        self, edge: Edge, _device: str, payload: Payload, message: Message, rows: _Rows
    ) -> str | None:
        edge.sequence, edge.waits = payload.seq, False
        edge.birth_sequence = _bd_seq(payload)
        edge.aliases.clear()
        for place in edge.devices.values():  # they bear again after their node
            self._end(place, message.arrival_ns, rows)
        return self._bear(edge, edge.place, payload, message, rows)

    def _device_birth(
        self, edge: Edge, device: str, payload: Payload, message: Message, rows: _Rows
    ) -> str | None:
        if not edge.place.alive:
            return self._lost(edge, message)
        self._check_sequence(edge, payload, message)
        place = edge.devices.setdefault(device, Place(f"{edge.place.id}/{device}"))
        return self._bear(edge, place, payload, message, rows)

    def _data(self, edge: Edge, device: str, payload: Payload, message: Message, rows: _Rows) -> str | None:
        place = edge.devices.get(device) if device else edge.place
        if not edge.place.alive or place is None or not place.alive:
            return self._lost(edge, message)
        self._check_sequence(edge, payload, message)
        code = None
        for metric in payload.metrics:
            known = place.metrics.get(metric.name) if metric.name else edge.aliases.get(metric.alias or 0)
            if known is None:
                self._ask_again(edge, message.arrival_ns)
                code = "SPARKPLUG_METRIC_UNKNOWN"
            else:
                code = self._put(known, metric, payload, message, rows) or code
        return code

    def _node_death(
        self, edge: Edge, _device: str, payload: Payload, message: Message, rows: _Rows
    ) -> str | None:
        if edge.birth_sequence is not None and _bd_seq(payload) != edge.birth_sequence:
            return None  # of a session before this one: the will of a connection that was lost earlier
        for place in edge.places():
            self._end(place, message.arrival_ns, rows)
        edge.aliases.clear()
        return None

    def _device_death(
        self, edge: Edge, device: str, payload: Payload, message: Message, rows: _Rows
    ) -> str | None:
        self._check_sequence(edge, payload, message)
        place = edge.devices.get(device)
        if place is not None:
            self._end(place, message.arrival_ns, rows)
        return None

    # Parts of these

    def _bear(self, edge: Edge, place: Place, payload: Payload, message: Message, rows: _Rows) -> str | None:
        metrics = [metric for metric in payload.metrics if is_point(metric)]
        before, born = place.metrics, dict[str, Known]()
        for metric in metrics:
            path = f"{place.id}/{metric.name}"
            known = Known(metric.name, path, metric.datatype, VALUE_TYPES.get(metric.datatype))
            known.iri = self._iri(path)
            known.unit = unit_stated(metric)
            if metric.name in before:
                known.word = before[metric.name].word
            born[metric.name] = known
            if metric.alias is not None:
                edge.aliases[metric.alias] = known
        place.metrics = born  # at once: others tell its health meanwhile
        if self._made + len(metrics) > self._config.points_max:
            return "SPARKPLUG_POINTS"
        self._made += make_points(self._twin, edge, place, self._units)
        place.alive = True
        code = None
        for metric in metrics:
            code = self._put(place.metrics[metric.name], metric, payload, message, rows) or code
        return code

    def _iri(self, path: str) -> str:
        """The point of a metric: a bound one has to be there already, and to be the only one; else ""."""
        bound = self._config.points.get(path)
        if bound is None:
            return local_iri(self._twin.base, path)
        snapshot = self._twin.snapshot()
        rows = snapshot.candidates(bound)
        return snapshot.id(rows[0]) if len(rows) == 1 else ""

    def _put(
        self, known: Known, metric: Metric, payload: Payload, message: Message, rows: _Rows
    ) -> str | None:
        """A reading of a metric; a code where its value has no place in the series of its point."""
        if not known.iri:
            return "SPARKPLUG_BINDING"
        if known.row < 0 or known.value_type is None:
            return None if known.value_type is None else "VALUE_TYPE"
        if known.problem is not None:
            return known.problem.code
        time_ns = _time_ns(metric.timestamp_ms or payload.timestamp_ms, message.arrival_ns)
        if metric.is_null or metric.value is None:
            if known.word is not None:
                rows.put(known, time_ns, Quality.BAD)
            return None
        word = self._word(known, metric.value)
        if word is None:
            return "VALUE_TYPE"
        known.word = word
        quality = (
            QUALITIES.get(stated, Quality.UNCERTAIN)
            if (stated := _stated(metric)) is not None
            else Quality.GOOD
        )
        is_number = known.value_type is ValueType.NUMBER
        finite = not is_number or math.isfinite(float(metric.value))
        rows.put(known, time_ns, quality if finite else Quality.BAD)
        return None

    def _word(self, known: Known, value: Plain) -> int | None:
        value_type = known.value_type
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value_type is ValueType.NUMBER and is_number and not isinstance(value, str | None):
            return int(np.float64(value * known.factor + known.shift).view(np.uint64))
        if value_type is ValueType.BOOLEAN and isinstance(value, bool):
            return int(value)
        if value_type is ValueType.COUNTER and isinstance(value, int) and is_number and value >= 0:
            return value
        if value_type in (ValueType.TEXT, ValueType.CODE) and isinstance(value, str):
            return int(self._twin.intern_texts((value,))[0])
        return None

    def _end(self, place: Place, time_ns: int, rows: _Rows) -> None:
        """Nobody speaks for these points any more: the last values stand, as bad ones."""
        if place.alive:
            place.alive = False
            for metric in place.known():
                if metric.word is not None:
                    rows.put(metric, time_ns, Quality.BAD)

    def _check_sequence(self, edge: Edge, payload: Payload, message: Message) -> None:
        if not edge.follows(payload.seq):
            self._ask_again(edge, message.arrival_ns)

    def _lost(self, edge: Edge, message: Message) -> str:
        self._ask_again(edge, message.arrival_ns)
        return "SPARKPLUG_UNBORN"

    def _ask_again(self, edge: Edge, now_ns: int) -> None:
        if now_ns - edge.asked_ns >= self._config.rebirth_s_min * 1e9:
            edge.asked_ns, edge.waits = now_ns, True
            self._ask(edge.group, edge.node)


_READERS: dict[str, Callable[[SparkplugHost, Edge, str, Payload, Message, _Rows], str | None]] = {
    "NBIRTH": SparkplugHost._node_birth,  # pyright: ignore[reportPrivateUsage]
    "DBIRTH": SparkplugHost._device_birth,  # pyright: ignore[reportPrivateUsage]
    "NDATA": SparkplugHost._data,  # pyright: ignore[reportPrivateUsage]
    "DDATA": SparkplugHost._data,  # pyright: ignore[reportPrivateUsage]
    "NDEATH": SparkplugHost._node_death,  # pyright: ignore[reportPrivateUsage]
    "DDEATH": SparkplugHost._device_death,  # pyright: ignore[reportPrivateUsage]
}


def _health_of_wrong(metric: Known) -> BindingHealth:
    """A metric that is recorded nowhere, since its unit is not known or is of something else."""
    problem = metric.problem
    state, message = state_of(1, 0, 0, 0, {}, problem)
    return BindingHealth(
        name=metric.point,
        expected=1,
        seen=0,
        messages=0,
        recorded=0,
        refused={},
        never_seen=(metric.point,),
        stale=(),
        stale_count=0,
        last_ns=None,
        problem=problem,
        state=state,
        message=message,
        address=metric.point,
        point=metric.iri,
        unit=metric.unit,
    )


def _bd_seq(payload: Payload) -> int | None:
    found: Iterable[object] = (metric.value for metric in payload.metrics if metric.name == BD_SEQ)
    value = next(iter(found), None)
    return value if isinstance(value, int) else None


def is_point(metric: Metric) -> bool:
    """Whether a metric of a birth is a value of the plant, not of the protocol."""
    return bool(metric.name) and metric.name != BD_SEQ and not metric.name.startswith(CONTROLS)


def unit_stated(metric: Metric) -> str | None:
    """Its engineering unit, as the edge spells it."""
    stated = metric.properties.get("engUnit") or metric.properties.get("Engineering Units")
    return stated if isinstance(stated, str) else None


def _stated(metric: Metric) -> int | None:
    stated = metric.properties.get("Quality")
    return stated if isinstance(stated, int) else None


def _time_ns(stated_ms: int | None, arrival_ns: int) -> int:
    return stated_ms * NS_PER_MS if stated_ms and stated_ms < TIME_MAX_MS else arrival_ns
