"""The content hash of a site: equal for equal content, in whatever rows, formats or processes it is kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from graph.attributes import Tag
from graph.mixing import (
    fold,
    lanes_of_codes,
    lanes_of_numbers,
    lanes_of_texts,
    lanes_of_values,
    total,
)
from graph.values import ValueType

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.columns import Reader
    from graph.mixing import Lanes
    from graph.snapshot import Snapshot

# What is hashed, and how. A later algorithm takes another name, so that old hashes are never compared to it.
ALGORITHM = "content-1"
_PART_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Part:
    """Some things of one sort: how many, and the hash of them all, whatever their order."""

    count: int
    hash: str

    def __str__(self) -> str:
        return f"{self.count:,} ({self.hash[:12]})"


@dataclass(frozen=True, slots=True)
class Content:
    """What one site says, part by part, so that two that differ can be told apart where they do.

    Relationships count by their ends, relation, group and own id: ids that follow from these are left out.
    """

    site: str
    base: str
    kinds: Part  # of users and imports
    twins: Part
    attributes: Part
    relationships: Part
    relationship_attributes: Part
    statements: Part

    @property
    def hash(self) -> str:
        """32 hexadecimal digits over all parts."""
        text = msgspec.json.encode(msgspec.to_builtins(self), order="deterministic")
        return blake2b(ALGORITHM.encode() + text, digest_size=_PART_DIGITS // 2).hexdigest()

    def differences(self, other: Content) -> list[str]:
        """What the other one has otherwise, each in a few words; empty if all is equal."""
        names = [field.name for field in fields(self)]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [f"{name.replace('_', ' ')}: {mine} and {its}" for name, mine, its in pairs if mine != its]


def content_of(snapshot: Snapshot) -> Content:
    """The content of the snapshot of one site. A million twins with 3M relationships: about 10 s."""
    rows = np.flatnonzero(snapshot.alive)
    edges = np.flatnonzero(snapshot.edge_alive)
    twin_ids = _twin_ids(snapshot)
    keys = _edge_keys(snapshot, edges, twin_ids)
    # Whether nobody's relationship has an empty set of origins or none is no difference.
    codes, known = snapshot.edges.origins.take(edges), snapshot.pools.origin_sets
    origins = lanes_of_codes(codes, lambda found: (names or () for names in known.values(found)))
    edge_parts = fold(keys, _texts(snapshot, snapshot.edges.stated, edges), origins)
    edge_columns = {name: snapshot.edges.attributes[name] for name in snapshot.edge_attribute_names()}
    twin_columns = {name: snapshot.twins.attributes[name] for name in snapshot.attribute_names()}
    return Content(
        site=snapshot.sites[0],
        base=snapshot.bases[0],
        kinds=_part(_kinds(snapshot)),
        twins=_part(_twins(snapshot, rows, twin_ids[:, rows])),
        attributes=_cells(snapshot, twin_columns, rows, twin_ids[:, rows]),
        relationships=_part(edge_parts),
        relationship_attributes=_cells(snapshot, edge_columns, edges, keys),
        statements=_part(_statements(snapshot)),
    )


def readings_of(snapshot: Snapshot) -> Part:
    """The last reading of each point, in the words of its value type."""
    rows = np.flatnonzero((snapshot.point_time_ns > 0) & snapshot.alive)
    words = lanes_of_numbers(snapshot.point_word[rows]).copy()
    coded = np.array(
        [snapshot.value_type(row) in (ValueType.CODE, ValueType.TEXT) for row in rows.tolist()], bool
    )
    if coded.any():
        texts = [str(snapshot.point_value(row)) for row in rows[coded].tolist()]
        words[:, coded] = lanes_of_texts(texts)
    times, quality = snapshot.point_time_ns[rows], snapshot.point_quality[rows]
    ids = lanes_of_texts(snapshot.ids(rows))
    return _part(fold(ids, lanes_of_numbers(times), words, lanes_of_numbers(quality)))


def revisions_of(snapshot: Snapshot) -> Part:
    """At which revision each living twin changed last."""
    rows = np.flatnonzero(snapshot.alive)
    ids = lanes_of_texts(snapshot.ids(rows))
    return _part(fold(ids, lanes_of_numbers(snapshot.twins.revision.take(rows))))


def _part(lanes: Lanes) -> Part:
    low, high = total(lanes)
    return Part(lanes.shape[1], f"{high:016x}{low:016x}")


def _twin_ids(snapshot: Snapshot) -> Lanes:
    """Of all rows, dead ones included: relationships point at rows."""
    return lanes_of_texts(snapshot.ids(np.arange(snapshot.size)))


def _twins(snapshot: Snapshot, rows: npt.NDArray[np.intp], ids: Lanes) -> Lanes:
    pools, twins = snapshot.pools, snapshot.twins
    kinds = lanes_of_codes(twins.kind_set.take(rows), pools.kind_sets.values)
    external = lanes_of_codes(twins.external.take(rows), pools.external_ids.values)
    names, local = _texts(snapshot, twins.name, rows), _texts(snapshot, twins.local, rows)
    return fold(ids, kinds, names, local, external, _origins(snapshot, twins.origins, rows))


def _edge_keys(snapshot: Snapshot, edges: npt.NDArray[np.intp], twin_ids: Lanes) -> Lanes:
    relations, view = snapshot.schema.relations, snapshot.edges
    relation = lanes_of_codes(
        view.relation.take(edges), lambda codes: (relations[code].iri for code in codes)
    )
    source, target = twin_ids[:, snapshot.sources(edges)], twin_ids[:, snapshot.targets(edges)]
    group, own_id = _texts(snapshot, view.group, edges), _texts(snapshot, view.own_id, edges)
    return fold(source, relation, target, group, own_id)


def _texts(snapshot: Snapshot, column: Reader[np.int32], rows: npt.NDArray[np.intp]) -> Lanes:
    return lanes_of_codes(column.take(rows), snapshot.pools.texts.values)


def _origins(snapshot: Snapshot, column: Reader[np.int32], rows: npt.NDArray[np.intp]) -> Lanes:
    return lanes_of_codes(column.take(rows), snapshot.pools.origin_sets.values)


def _cells(
    snapshot: Snapshot, columns: Mapping[str, Column], rows: npt.NDArray[np.intp], owners: Lanes
) -> Part:
    """All values of some attributes: each with its owner, name, value, unit and origin."""
    count, low, high = 0, 0, 0
    for name, column in columns.items():
        here = np.flatnonzero(column.present(rows))
        stated = _values(snapshot, column, rows[here])
        more_low, more_high = total(fold(owners[:, here], lanes_of_texts([name]), *stated))
        count, low, high = count + len(here), (low + more_low) % 2**64, (high + more_high) % 2**64
    return Part(count, f"{high:016x}{low:016x}")


def _values(snapshot: Snapshot, column: Column, rows: npt.NDArray[np.intp]) -> tuple[Lanes, ...]:
    """Sort, value, unit and origin of each row."""
    pools = snapshot.pools
    tags, words = column.tag.take(rows), column.word.take(rows)
    values = lanes_of_numbers(words).copy()
    texts, objects = tags == Tag.TEXT, tags == Tag.JSON
    if texts.any():
        values[:, texts] = lanes_of_codes(words[texts], pools.texts.values)
    if objects.any():
        values[:, objects] = lanes_of_codes(words[objects], lambda codes: map(pools.objects.value, codes))
    units = lanes_of_codes(column.unit.take(rows), pools.units.values)
    origins = lanes_of_codes(column.origin.take(rows), pools.origins.values)
    return lanes_of_numbers(tags), values, units, origins


def _kinds(snapshot: Snapshot) -> Lanes:
    kinds = snapshot.schema.kinds
    return fold(
        lanes_of_values(
            (kind.iri, [kinds[parent].iri for parent in kind.parents], kind.label, kind.placeholder)
            for kind in snapshot.schema.user_kinds()
        )
    )


def _statements(snapshot: Snapshot) -> Lanes:
    """Lines with the place at which they stand: an origin's lines are an ordered list."""
    return fold(
        lanes_of_values(
            (origin, place, line)
            for origin, lines in snapshot.statements().items()
            for place, line in enumerate(lines)
        )
    )
