"""Brick's external references of points -> bindings that could be. Reads the graph alone; nothing is bound.

Source: Brick 1.4's ref schema (time series, BACnet, IFC). It has no term for MQTT: read is what models in
use state, a `ref:MQTTReference` with `ref:topic`, and perhaps `ref:broker`, `ref:valueKey`, `ref:timeKey`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyoxigraph import Literal, RdfFormat, parse

from adapters.proposing import Doubt, Proposal, Proposals
from adapters.rdf.config import REFERENCE_IDS, REFERENCES, TYPE
from adapters.rdf.statements import parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyoxigraph import BlankNode, NamedNode

    from graph.snapshot import Snapshot

TIMESERIES: Final = "timeseries"
TOPICS: Final = ("topic", "hasTopic")
_SYSTEMS: Final = {iri.rpartition("#")[2]: system for iri, system in REFERENCE_IDS.items()}
_SIGNS: Final = frozenset("+#{}\0")  # wildcards and placeholders mean more than one address


@dataclass(frozen=True, slots=True)
class Reference:
    """What a twin is elsewhere. `said`: texts by the local name of a property; `objectOf/...`: below it."""

    row: int
    said: Mapping[str, str]

    @property
    def topic(self) -> str | None:
        return next((self.said[name] for name in TOPICS if name in self.said), None)

    @property
    def series(self) -> str | None:
        return self.said.get("hasTimeseriesId")

    @property
    def is_preferred(self) -> bool:
        return self.said.get("preferred") in ("true", "1")


def propose_references(snapshot: Snapshot, *, broker: str = "", topic: str = "") -> Proposals:
    """A binding for each point whose references lead to one topic; all other references are told as doubts.

    broker: only topics at this one, or at none that is named; "": at any. topic: where time series come, with
    `{id}` for their id; "": unknown. Of several references of a point the preferred one (`ref:preferred`)
    leads, then one that states its topic.
    """
    doubts: list[Doubt] = []
    ways: dict[int, list[tuple[tuple[bool, bool], Proposal]]] = defaultdict(list)
    for reference in references_of(snapshot):
        if not _is_point(snapshot, reference.row) and "ifcGlobalID" in reference.said:
            continue  # a room's place in a building model
        found = _way(snapshot, reference, broker, topic)
        if isinstance(found, Doubt):
            doubts.append(found)
        else:
            rank = (reference.is_preferred, reference.topic is not None)
            ways[reference.row].append((rank, found))
    proposals = _one_each(ways, doubts)
    taken = {proposal.point for proposal in proposals}
    names = snapshot.local_ids(snapshot.rows_of_kind(snapshot.schema.point_kind))
    return Proposals(proposals, tuple(doubts), (), tuple(name for name in names if name not in taken))


def references_of(snapshot: Snapshot) -> Iterator[Reference]:
    """All references of living twins: of kept statements, then ids that no statement spells."""
    spelt: set[tuple[int, str]] = set()
    for lines in snapshot.statements().values():
        for reference in _stated(snapshot, lines):
            if reference.series is not None:
                if not _holds(snapshot, reference):
                    continue  # it spelt an id that the twin has no more
                spelt.add((reference.row, reference.series))
            yield reference
    for row in snapshot.rows_of_kind(snapshot.schema.point_kind).tolist():
        for external in snapshot.external_ids(row):
            if external.system == TIMESERIES and (row, external.id) not in spelt:
                yield Reference(row, {"hasTimeseriesId": external.id})


def _stated(snapshot: Snapshot, lines: Sequence[str]) -> Iterator[Reference]:
    """Of one origin: what labels of blank nodes mean ends with it."""
    text = "\n".join(parse_line(line).statement for line in lines)
    heads: list[tuple[int, NamedNode | BlankNode]] = []
    about: dict[str, list[tuple[str, object]]] = defaultdict(list)
    for quad in parse(text, RdfFormat.N_QUADS):
        about[str(quad.subject)].append((quad.predicate.value, quad.object))
        if quad.predicate.value in REFERENCES and not isinstance(quad.object, Literal):
            row = _row(snapshot, getattr(quad.subject, "value", ""))
            if row >= 0:
                heads.append((row, quad.object))  # pyright: ignore[reportArgumentType]
    for row, node in heads:
        yield Reference(row, {**_of_twin(snapshot, node.value), **dict(_texts(about, str(node)))})


def _texts(
    about: Mapping[str, list[tuple[str, object]]], node: str, below: str = ""
) -> Iterator[tuple[str, str]]:
    """What a node says, and the nodes right below it."""
    for predicate, value in about.get(node, ()):
        name = below + _local(predicate)
        if isinstance(value, Literal):
            yield name, value.value
        elif predicate == TYPE:
            yield below + "type", _local(str(getattr(value, "value", "")))
        else:
            yield name, str(getattr(value, "value", ""))
            if not below:
                yield from _texts(about, str(value), f"{name}/")


def _of_twin(snapshot: Snapshot, iri: str) -> dict[str, str]:
    """A reference with an IRI was taken for a twin: its attributes."""
    row = _row(snapshot, iri)
    if row < 0:
        return {}
    record = snapshot.record(row)
    said = {_local(name): _plain(value.value) for name, value in record.attributes.items()}
    return {**said, "type": _local(record.kinds[0])} if record.kinds else said


def _way(snapshot: Snapshot, reference: Reference, broker: str, topic: str) -> Proposal | Doubt:
    """The binding that a reference amounts to, or why there is none."""
    point, said = snapshot.local_id(reference.row), reference.said
    kind, address = _address(reference, topic)
    reason = None
    if not _is_point(snapshot, reference.row):
        reason = f"{point} is no point"
    elif kind == "MQTT" and broker and said.get("broker", broker) != broker:
        reason = f"{point} is at the broker {said['broker']}"
    elif kind == TIMESERIES and not topic:
        stored = f" stored at {said['storedAt']}" if "storedAt" in said else ""
        reason = f"{point} is a time series{stored}, without a topic: say it by --option topic=.../{{id}}"
    elif kind == "BACnet":
        reason = (
            f"{point} is a BACnet object, and no source speaks BACnet: bind what a gateway publishes of it"
        )
    elif kind == "":
        reason = f"{point} has a {said.get('type', 'reference')} that names no topic and no time series"
    elif not address or _SIGNS & {*address} or {"{", "}"} & {*point}:
        reason = f"{point}: a topic or an id that is empty or holds any of + # {{ }} binds nothing"
    if reason is not None:
        return Doubt(address, reason)
    by = "topic" if kind == "MQTT" else reference.series or ""
    return Proposal(address, point, by, None, tuple(_fields(reference)))


def _address(reference: Reference, topic: str) -> tuple[str, str]:
    """What kind of reference it is, "" for none that is known, and what it leads to."""
    said = reference.said
    if reference.topic is not None:
        return "MQTT", reference.topic
    if reference.series is not None:
        return TIMESERIES, topic.replace("{id}", reference.series) if topic else reference.series
    if said.get("type") == "BACnetReference" or "object-identifier" in said or "BACnetURI" in said:
        device = said.get("objectOf/device-instance", said.get("objectOf", ""))
        return "BACnet", said.get("BACnetURI", f"bacnet:{device}/{said.get('object-identifier', '')}")
    return "", next((said[name] for name in _SYSTEMS if name in said), said.get("type", "reference"))


def _fields(reference: Reference) -> Iterator[tuple[str, str]]:
    for key, name in (("pointer", "valueKey"), ("time_pointer", "timeKey")):
        stated = reference.said.get(name)
        if stated:
            yield key, "/" + stated.replace("~", "~0").replace("/", "~1")


def _one_each(
    ways: Mapping[int, list[tuple[tuple[bool, bool], Proposal]]], doubts: list[Doubt]
) -> tuple[Proposal, ...]:
    """The first way of each point, where it is the only first one and leads to no other point too."""
    firsts: list[Proposal] = []
    for found in ways.values():
        best = max(rank for rank, _ in found)
        first = [proposal for rank, proposal in found if rank == best]
        for rank, proposal in found:
            if rank != best:
                doubts.append(
                    Doubt(proposal.address, f"{proposal.point} has {first[0].address}, which leads")
                )
            elif len(first) > 1:
                others = ", ".join(one.address for one in first if one is not proposal)
                doubts.append(Doubt(proposal.address, f"{proposal.point} may also be {others}"))
        firsts += first if len(first) == 1 else ()
    points: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for one in firsts:
        points[one.address, one.fields].append(one.point)
    for one in firsts:
        same = points[one.address, one.fields]
        if len(same) > 1:
            doubts.append(Doubt(one.address, f"may be any of {', '.join(sorted(same)[:5])}"))
    return tuple(one for one in firsts if len(points[one.address, one.fields]) == 1)


def _is_point(snapshot: Snapshot, row: int) -> bool:
    return any(snapshot.schema.is_a(kind, snapshot.schema.point_kind) for kind in snapshot.kinds(row))


def _holds(snapshot: Snapshot, reference: Reference) -> bool:
    ids = [external.id for external in snapshot.external_ids(reference.row)]
    return reference.series in ids


def _row(snapshot: Snapshot, iri: str) -> int:
    """The row of a living twin; -1."""
    row = snapshot.row(iri)
    return row if row >= 0 and bool(snapshot.alive[row]) else -1


def _local(iri: str) -> str:
    """What an IRI or a name such as `ref:topic` ends with."""
    return iri.rpartition("#")[2].rpartition("/")[2].rpartition(":")[2]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
