"""Twins and relationships of the snapshot of one site as rows: properties by name, grouped by labels.

Values that Neo4j cannot hold (objects, mixed lists, integers beyond 64 bits) become a text that begins with
`TAGGED`; a text of a user's that begins with its first character is stored that way too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from graph.stores.neo4j.naming import labels_of, property_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from graph.attributes import Column
    from graph.columns import Rows
    from graph.snapshot import Snapshot
    from graph.values import JSONValue

TAGGED: Final = "\x01json:"
_INTEGER_MAX: Final = 2**63 - 1
_JSON: Final = msgspec.json.Encoder(order="deterministic")
_TAG_SIZE: Final = len(TAGGED)
_UNITS: Final = msgspec.json.Decoder(dict[str, str])
_ANY: Final = msgspec.json.Decoder()
_UNITS_KEPT: Final = 4_096
UNITS_BYTES_MAX: Final = 4_000
UNITS_DIGEST: Final = "{#"  # no JSON begins so
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class TwinRows:
    """Living twins with the same labels: their rows in the snapshot, and their properties.

    is_stub: they are twins of other sites, of which this one has only the ids.
    """

    labels: tuple[str, ...]
    is_stub: bool
    rows: npt.NDArray[np.int64]
    properties: list[Row]


def stored(value: JSONValue) -> Any:
    """A value as Neo4j holds it."""
    if isinstance(value, str):
        return TAGGED + _JSON.encode(value).decode() if value.startswith(TAGGED[0]) else value
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) <= _INTEGER_MAX:
        return value
    return TAGGED + _JSON.encode(value).decode()


def value_of(stored: Any) -> Any:
    """A value as it was stated; the other way round of `stored`."""
    if isinstance(stored, str) and stored.startswith(TAGGED):
        return _ANY.decode(stored[_TAG_SIZE:])
    return stored


@lru_cache(maxsize=_UNITS_KEPT)
def units_of(text: str | None) -> Mapping[str, str]:
    """By attribute, the unit that a twin or relationship states; from the JSON of its units."""
    return {} if text is None else _UNITS.decode(text)


def units_properties(text: str) -> Row:
    """The properties that tell units, from their JSON. `_units` is indexed, and an index takes no long value
    (8 kB): of a long text it has the digest, and the text stands beside it."""
    data = text.encode()
    if len(data) <= UNITS_BYTES_MAX:
        return {"_units": text}
    digest = blake2b(data, digest_size=16).hexdigest()
    return {"_units": UNITS_DIGEST + digest, "_units_long": text}


def units_text(variable: str) -> str:
    """The JSON of units as an expression of Cypher."""
    return f"coalesce({variable}._units_long, {variable}._units)"


def external_text(system: str, own: str) -> str:
    """An id of an outside system in one text: the first blank stands between them."""
    return f"{system.replace('%', '%25').replace(' ', '%20')} {own}"


def external_of(text: str) -> tuple[str, str]:
    """(system, id); the other way round of `external_text`."""
    system, _, own = text.partition(" ")
    return system.replace("%20", " ").replace("%25", "%"), own


def twin_rows(snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> list[TwinRows]:
    """Living rows, grouped by labels."""
    properties = _twin_properties(snapshot, rows)
    codes = snapshot.twins.kind_set.take(rows)
    stub = _stub_kinds(snapshot)
    by_labels: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    distinct: list[int] = np.unique(codes).tolist()
    for code in distinct:
        kinds = snapshot.pools.kind_sets.value(code) or ()
        key = labels_of(snapshot.schema, kinds), kinds == stub
        by_labels.setdefault(key, []).extend(np.flatnonzero(codes == code).tolist())
    return [
        TwinRows(labels, is_stub, rows[places], [properties[place] for place in places])
        for (labels, is_stub), places in by_labels.items()
    ]


def stub_rows(snapshot: Snapshot) -> npt.NDArray[np.int32]:
    """Living rows of twins of which this site has only the ids: they stand in another one, or nowhere."""
    rows = snapshot.rows_of_kind(snapshot.schema.external_kind)
    stub, kind_sets = _stub_kinds(snapshot), snapshot.pools.kind_sets
    kinds = kind_sets.values(snapshot.twins.kind_set.take(rows).tolist())
    return rows[np.fromiter((each == stub for each in kinds), np.bool_, len(rows))]


def leading(snapshot: Snapshot, kinds: Sequence[str]) -> str:
    """The name of the first kind that the schema knows."""
    found = (snapshot.schema.kind_by_iri(iri) for iri in kinds)
    return next((kind.name for kind in found if kind is not None), "")


def _stub_kinds(snapshot: Snapshot) -> tuple[str, ...]:
    schema = snapshot.schema
    return (schema.kinds[schema.external_kind].iri,)


def _twin_properties(snapshot: Snapshot, rows: npt.NDArray[np.int64]) -> list[Row]:
    site = snapshot.heads[0].name
    revisions: list[int] = snapshot.twins.revision.take(rows).tolist()
    parts = (
        snapshot.ids(rows),
        snapshot.names(rows),
        snapshot.local_ids(rows),
        revisions,
        snapshot.pools.kind_sets.values(snapshot.twins.kind_set.take(rows).tolist()),
        snapshot.pools.external_ids.values(snapshot.twins.external.take(rows).tolist()),
    )
    properties: list[Row] = []
    for iri, name, local, revision, kinds, external in zip(*parts, strict=True):
        row: Row = {"id": iri, "_local": local, "_site": site, "_revision": revision}
        row["_kind"], row["_kinds"] = leading(snapshot, kinds or ()), list(kinds or ())
        if name is not None:
            row["name"] = name
        if external:
            row["_external"] = [external_text(known.system, known.id) for known in external]
        properties.append(row)
    _add_attributes(properties, snapshot.twins.attributes, rows)
    return properties


def _add_attributes(properties: list[Row], columns: Mapping[str, Column], rows: Rows) -> None:
    """Every attribute of every row; `_units` and `_origins` hold those of all of a row, as JSON."""
    units: dict[int, dict[str, str]] = {}
    for name in sorted(columns):
        column = columns[name]
        places: list[int] = np.flatnonzero(column.present(rows)).tolist()
        values = column.values(rows[places]) if places else []
        key = property_of(name)
        for place, value in zip(places, values, strict=True):
            if value is not None:
                properties[place][key] = stored(value.value)
                if value.unit is not None:
                    units.setdefault(place, {})[name] = value.unit
    for place, stated in units.items():
        properties[place].update(units_properties(_JSON.encode(stated).decode()))


def edge_properties(snapshot: Snapshot, edges: Rows) -> list[Row]:
    """The properties of some relationships. An id is there only where it does not follow from the ends."""
    texts = snapshot.pools.texts
    site = snapshot.heads[0].name
    groups = texts.values(snapshot.edges.group.take(edges).tolist())
    own_ids = texts.values(snapshot.edges.own_id.take(edges).tolist())
    properties: list[Row] = []
    for group, own_id in zip(groups, own_ids, strict=True):
        row: Row = {"_site": site}
        if group:
            row["_group"] = group
        if own_id:
            row["_id"] = own_id
        properties.append(row)
    _add_attributes(properties, snapshot.edges.attributes, edges)
    return properties


def bare_edges(snapshot: Snapshot, edges: Rows) -> npt.NDArray[np.bool_]:
    """bool[n]: relationships whose only property would be their site."""
    bare = (snapshot.edges.group.take(edges) == 0) & (snapshot.edges.own_id.take(edges) == 0)
    for column in snapshot.edges.attributes.values():
        bare &= ~column.present(edges)
    return bare
