"""What peers told, as snapshots that can be joined with ours for the time of one question.

A peer is not believed: what does not fit together, or is about twins that are not its own, is left out.
Nothing here reaches a disk, a journal or the pools of our sites.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.draft import Draft, EdgeDraft, EdgeFields, TwinDraft, TwinFields
from graph.ids import is_valid_iri
from graph.quality import is_quality
from graph.snapshot import SiteHead, Snapshot
from graph.state import State
from graph.values import Change, ExternalId, Readings, Value, ValueType
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from federation.records import Cells, Links, SiteRecords, Texts
    from graph.pools import Pools
    from graph.values import RelationshipRecord, TwinRecord
    from ontology.schema import Schema

_VALUE_DEPTH_MAX: Final = 16
_NAMES_MAX: Final = 1_000
GROWN_MAX: Final = 200_000
"""Values of strangers that pools may hold before they are thrown away."""
EMPTY_MAX: Final = 1_000
_INT64: Final = range(-(2**63), 2**63)


class StrangerPools:
    """Pools that extend those of our sites by what peers tell; made anew when either has grown too much."""

    def __init__(self, grown_max: int = GROWN_MAX) -> None:
        self._grown_max = grown_max
        self._lock = Lock()
        self._begun: tuple[int, ...] = ()
        self._pools: Pools | None = None

    def over(self, pools: Pools) -> Pools:
        """Pools in which every code of ours means what it means to us. A snapshot of ours must be older."""
        sizes = pools.sizes
        with self._lock:
            made = self._pools
            if made is not None and sizes == self._begun and sum(made.sizes) - sum(sizes) <= self._grown_max:
                return made
            # Sizes are read first: if ours grow meanwhile, these are made anew the next time.
            self._begun, self._pools = sizes, pools.extended()
            return self._pools


@dataclass(slots=True)
class _Twin:
    fields: TwinFields
    revision: int
    values: dict[str, Value | None] = field(default_factory=dict[str, "Value | None"])
    reading: tuple[int, Any, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    pools: Pools
    schema: Schema
    snapshot: Snapshot


_Key = tuple[str, str, str, str]


@dataclass(slots=True)
class _Link:
    own_id: str | None = None
    values: dict[str, Value | None] = field(default_factory=dict[str, "Value | None"])


@dataclass(slots=True, eq=False)
class GatheredSite:
    """What is known of one site of a peer so far; of what is told twice, the later is kept.

    name: what we call it. foreign: twins that it told of and that are not its own.
    """

    name: str
    base: str
    revision: int = 0
    time_ns: int = 0
    twins: dict[str, _Twin] = field(default_factory=dict[str, _Twin])
    links: dict[_Key, _Link] = field(default_factory=dict[_Key, _Link])
    foreign: int = 0
    _made: _Made | None = None
    unknown: int = 0  # relationships of kinds that our vocabulary lacks

    def add(self, records: SiteRecords, bases: tuple[str, ...], schema: Schema) -> None:
        """Take in what the peer with these bases says. StoreError PEER_GARBAGE: nothing of it is taken."""
        _check(records)
        told = list(_twins(records))
        self._made = None
        self.revision, self.time_ns = records.revision, records.time_ns
        stub = schema.kinds[schema.external_kind].iri
        for iri, twin in told:
            if iri.startswith(bases):
                twin.fields.kinds = _known_kinds(schema, twin.fields.kinds)
                self.twins[iri] = twin
            elif twin.fields.kinds != (stub,) or twin.values:
                self.foreign += 1  # an end of a relationship may be named, but not described
        for key, link in _links(records):
            if not (key[0].startswith(bases) or key[2].startswith(bases)):
                self.foreign += 1
            elif schema.relation_by_iri(key[1]) is None:
                self.unknown += 1
            else:
                self.links[key] = link

    def take_over(
        self, twins: Iterable[TwinRecord], links: Iterable[RelationshipRecord], schema: Schema
    ) -> None:
        """Take in what a replica holds; its pages were checked when they came."""
        self._made = None
        for told in twins:
            fields = TwinFields(
                kinds=_known_kinds(schema, told.kinds),
                name=told.name,
                local_id=told.local_id,
                external_ids=told.external_ids,
            )
            self.twins[told.id] = _Twin(fields, self.revision, dict(told.attributes))
        for link in links:
            if schema.relation_by_iri(link.relation) is None:
                self.unknown += 1
                continue
            key = (link.source, link.relation, link.target, link.group)
            self.links[key] = _Link(link.id, dict(link.attributes))

    def snapshot(self, schema: Schema, pools: Pools) -> Snapshot:
        """All of it, as a site; the same again for as long as nothing is added."""
        made = self._made
        if made is None or made.pools is not pools or made.schema is not schema:
            self._made = made = _Made(pools, schema, self._snapshot(schema, pools))
        return made.snapshot

    @property
    def is_empty(self) -> bool:
        return not (self.twins or self.links)

    def _snapshot(self, schema: Schema, pools: Pools) -> Snapshot:
        state = State(self.name, self.base, schema, pools)
        twins, edges = self._drafts(schema)
        draft = Draft(Change(), schema, (), twins, edges, [], [], b"", ())
        state.execute(draft, self.revision, self.time_ns)
        rows = np.arange(len(self.twins))
        state.twins.revision.write(rows, np.array([twin.revision for twin in self.twins.values()], np.int64))
        self._write_readings(state)
        made = state.freeze()
        head = SiteHead(self.name, self.base, self.revision, self.time_ns)
        # Without an index of words: to scan a few twins is faster than to make one.
        return replace(made, heads=(head,), twins=replace(made.twins, words=None))

    def _drafts(self, schema: Schema) -> tuple[list[TwinDraft], list[EdgeDraft]]:
        rows = {iri: row for row, iri in enumerate(self.twins)}
        stub = TwinFields((schema.kinds[schema.external_kind].iri,))
        for source, _, target, _ in self.links:
            for end in (source, target):
                rows.setdefault(end, len(rows))
        known = self.twins
        twins = [
            TwinDraft(row, iri, False, TwinFields(), known[iri].fields, known[iri].values)
            if iri in known
            else TwinDraft(row, iri, False, TwinFields(), stub)
            for iri, row in rows.items()
        ]
        edges = [
            _edge(number, key, link, rows, schema) for number, (key, link) in enumerate(self.links.items())
        ]
        return twins, edges

    def _write_readings(self, state: State) -> None:
        rows: list[int] = []
        found: list[tuple[int, int, int]] = []
        for row, twin in enumerate(self.twins.values()):
            word = None if twin.reading is None else _word(twin, state.pools)
            if twin.reading is not None and word is not None:
                rows.append(row)
                found.append((twin.reading[0], word, twin.reading[2]))
        if rows:
            state.write_last_values(
                Readings(
                    np.array(rows, np.int32),
                    np.array([each[0] for each in found], np.int64),
                    np.array([each[1] for each in found], np.uint64),
                    np.array([each[2] for each in found], np.uint8),
                )
            )


class EmptySites:
    """Sites of which nothing is known, as snapshots: to make one takes as long as to make a small one."""

    def __init__(self, kept_max: int = EMPTY_MAX) -> None:
        self._kept_max = kept_max
        self._made: dict[tuple[str, str], _Made] = {}
        self._lock = Lock()

    def of(self, site: GatheredSite, schema: Schema, pools: Pools) -> Snapshot:
        """What `site.snapshot` gives. Safe from any thread."""
        if not site.is_empty:
            return site.snapshot(schema, pools)
        key = (site.name, site.base)
        made = self._made.get(key)
        if made is None or made.pools is not pools or made.schema is not schema:
            made = _Made(pools, schema, GatheredSite(*key).snapshot(schema, pools))
            with self._lock:
                while len(self._made) >= self._kept_max:
                    self._made.pop(next(iter(self._made)))
                self._made[key] = made
        head = SiteHead(site.name, site.base, site.revision, site.time_ns)
        return replace(made.snapshot, heads=(head,))


def _known_kinds(schema: Schema, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Kinds that our vocabulary has; of a twin of none of them it is known that it is a twin."""
    known = tuple(iri for iri in kinds if schema.kind_by_iri(iri) is not None)
    return known or (schema.kinds[schema.twin_kind].iri,)


def _edge(number: int, key: _Key, link: _Link, rows: dict[str, int], schema: Schema) -> EdgeDraft:
    source, iri, target, group = key
    relation = schema.relation_by_iri(iri)
    index = -1 if relation is None else relation.index
    ends = rows[source], index, rows[target]
    fields = EdgeFields(), EdgeFields()
    return EdgeDraft(number, link.own_id or "", link.own_id, False, *ends, group, *fields, link.values)


def _word(twin: _Twin, pools: Pools) -> int | None:
    """The word of a reading; None where it does not fit the point's type."""
    stated = twin.values.get("valueType")
    kind = str(stated.value) if stated is not None else ValueType.NUMBER
    value = twin.reading[1] if twin.reading is not None else None
    if kind == ValueType.NUMBER and isinstance(value, float):
        return int(np.float64(value).view(np.uint64))
    if kind == ValueType.BOOLEAN and isinstance(value, bool):
        return int(value)
    if kind == ValueType.COUNTER and isinstance(value, int) and 0 <= value < 2**64:
        return value
    if kind in (ValueType.CODE, ValueType.TEXT) and isinstance(value, str):
        return pools.texts.intern(value)
    return None


# Reading what a peer sent


def _check(records: SiteRecords) -> None:
    """That all columns fit together. StoreError PEER_GARBAGE."""
    count, links = len(records.ids), records.links
    ends = count + len(links.ends)
    fits = (
        len(records.kinds) == len(records.revisions) == count
        and len(set(records.ids)) == count
        and _within(records.kinds, len(records.kind_sets))
        and all(0 <= number < 2**53 for number in (records.revision, records.time_ns // 1024))
        and all(number in _INT64 for number in records.revisions)
        and all(_texts_fit(each, count) for each in (records.names, records.local_ids))
        and len(records.external_ids.places)
        == len(records.external_ids.systems)
        == len(records.external_ids.ids)
        and _within(records.external_ids.places, count)
        and _cells_fit(records.attributes, count)
        and _readings_fit(records, count)
        and len(links.sources) == len(links.targets) == len(links.relations)
        and _within((*links.sources, *links.targets), ends)
        and _within(links.relations, len(links.relation_iris))
        and all(_texts_fit(each, len(links.sources)) for each in (links.groups, links.own_ids))
        and _cells_fit(links.attributes, len(links.sources))
        and all(is_valid_iri(iri) for iri in (*records.ids, *links.ends, *links.own_ids.texts))
    )
    if not fits:
        raise StoreError("a peer sent records that do not fit together", code="PEER_GARBAGE")


def _within(places: Iterable[int], count: int) -> bool:
    return all(0 <= place < count for place in places)


def _texts_fit(texts: Texts, count: int) -> bool:
    return len(texts.places) == len(texts.texts) and _within(texts.places, count)


def _readings_fit(records: SiteRecords, count: int) -> bool:
    readings = records.readings
    lengths = {
        len(each) for each in (readings.places, readings.times_ns, readings.values, readings.qualities)
    }
    return (
        len(lengths) == 1
        and _within(readings.places, count)
        and all(0 < time_ns < 2**63 for time_ns in readings.times_ns)
        and all(is_quality(byte) for byte in readings.qualities)
    )


def _cells_fit(columns: Sequence[Cells], count: int) -> bool:
    return len(columns) <= _NAMES_MAX and all(
        len(cells.places) == len(cells.values)
        and len(cells.units) in (0, len(cells.places))
        and _within(cells.places, count)
        and all(_is_json(value, 0) for value in cells.values)
        for cells in columns
    )


def _is_json(value: Any, depth: int) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return depth < _VALUE_DEPTH_MAX and all(_is_json(item, depth + 1) for item in _items(value))
    if isinstance(value, dict):
        return depth < _VALUE_DEPTH_MAX and all(
            isinstance(key, str) and _is_json(item, depth + 1) for key, item in _pairs(value)
        )
    return value is None or isinstance(value, bool | int | str)


def _items(value: Any) -> list[Any]:
    return list(value)


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items())


def _twins(records: SiteRecords) -> Iterable[tuple[str, _Twin]]:
    sets = records.kind_sets
    found = [
        _Twin(TwinFields(kinds=sets[kind]), revision)
        for kind, revision in zip(records.kinds, records.revisions, strict=True)
    ]
    for place, text in zip(records.names.places, records.names.texts, strict=True):
        found[place].fields.name = text
    for place, text in zip(records.local_ids.places, records.local_ids.texts, strict=True):
        found[place].fields.local_id = text
    outside = records.external_ids
    for place, system, own in zip(outside.places, outside.systems, outside.ids, strict=True):
        found[place].fields.external_ids += (ExternalId(system, own),)
    for name, place, value in _values(records.attributes):
        found[place].values[name] = value
    last = records.readings
    readings = zip(last.places, last.times_ns, last.values, last.qualities, strict=True)
    for place, time_ns, value, quality in readings:
        found[place].reading = (time_ns, value, quality)
    return zip(records.ids, found, strict=True)


def _values(columns: Sequence[Cells]) -> Iterable[tuple[str, int, Value]]:
    for cells in columns:
        units = cells.units or (None,) * len(cells.places)
        for place, value, unit in zip(cells.places, cells.values, units, strict=True):
            yield cells.name, place, Value(value, unit)


def _links(records: SiteRecords) -> Iterable[tuple[_Key, _Link]]:
    links: Links = records.links
    ends = (*records.ids, *links.ends)
    groups = dict(zip(links.groups.places, links.groups.texts, strict=True))
    own_ids = dict(zip(links.own_ids.places, links.own_ids.texts, strict=True))
    found = [_Link(own_ids.get(place)) for place in range(len(links.sources))]
    for name, place, value in _values(links.attributes):
        found[place].values[name] = value
    for place, link in enumerate(found):
        relation = links.relation_iris[links.relations[place]]
        ids = ends[links.sources[place]], relation, ends[links.targets[place]]
        yield (*ids, groups.get(place, "")), link
