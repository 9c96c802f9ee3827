"""Change <-> bytes: the payload of a commit.

Format 1: msgpack, each id and term once in a table of strings. Format 2: with columns behind it, written
only where there are some.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from graph.bulk_codec import columns_row, read_columns
from graph.values import (
    Change,
    ExternalId,
    KindRecord,
    RelationshipKey,
    RelationshipRecord,
    TwinRecord,
    Value,
)
from ontology.errors import ChangeError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PAYLOAD_FORMAT = 1
COLUMNS_FORMAT = 2


class _Strings:
    """The table of strings while a payload is written; 0 stands for None."""

    def __init__(self) -> None:
        self.table: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str | None) -> int:
        if text is None:
            return 0
        place = self._places.get(text)
        if place is None:
            self.table.append(text)
            place = self._places[text] = len(self.table)
        return place

    def places(self, texts: Iterable[str]) -> list[int]:
        return [self.place(text) for text in texts]


def encode(change: Change, also_touched: Sequence[str] = ()) -> bytes:
    """The payload of a change. `also_touched`: twins that the change touches without naming them.

    Raises ChangeError VALUE_TYPE for what cannot be written down: half a surrogate pair, a strange type.
    """
    try:
        return _encode(change, also_touched)
    except (UnicodeEncodeError, OverflowError, TypeError, RecursionError) as error:
        raise ChangeError(f"a value cannot be kept: {error}", code="VALUE_TYPE") from error


def _encode(change: Change, also_touched: Sequence[str]) -> bytes:
    strings = _Strings()
    body = (
        [_kind_row(kind) for kind in change.put_kinds],
        [_twin_row(twin, strings) for twin in change.put_twins],
        [_twin_row(twin, strings) for twin in change.merge_twins],
        [_relationship_row(record, strings) for record in change.put_relationships],
        strings.places(change.remove_twins),
        [_removal_row(removal, strings) for removal in change.remove_relationships],
        [(strings.place(origin), strings.places(ids)) for origin, ids in change.withdraw_twins.items()],
        [(strings.place(origin), list(lines)) for origin, lines in change.statements.items()],
        strings.places(also_touched),
    )
    if not change.columns:
        return msgspec.msgpack.encode((PAYLOAD_FORMAT, strings.table, body))
    return msgspec.msgpack.encode((COLUMNS_FORMAT, strings.table, body, columns_row(change.columns)))


def decode(payload: bytes) -> tuple[Change, tuple[str, ...]]:
    """The change and what it also touched. Raises StoreError JOURNAL_CORRUPT or STORE_VERSION."""
    try:
        read_format, table, body, *columns = msgspec.msgpack.decode(payload)
        if read_format not in (PAYLOAD_FORMAT, COLUMNS_FORMAT):
            message = f"a commit has payload format {read_format}, this program reads up to {COLUMNS_FORMAT}"
            raise StoreError(message, code="STORE_VERSION", hint="use the newer twinmesh that wrote it")
        change, also = _read_body(_Reader([None, *table]), body)
        return (replace(change, columns=read_columns(columns[0])) if columns else change), also
    except (msgspec.DecodeError, TypeError, ValueError, IndexError) as error:
        raise StoreError(f"unreadable commit payload: {error}", code="JOURNAL_CORRUPT") from error


class _Body(msgspec.Struct, array_like=True):
    kinds: list[list[Any]]


class _Payload(msgspec.Struct, array_like=True):
    """Of a payload, what comes before twins; the rest is passed over."""

    read_format: int
    table: msgspec.Raw
    body: _Body


_PAYLOADS = msgspec.msgpack.Decoder(_Payload)


def kinds_of(payload: bytes) -> tuple[KindRecord, ...]:
    """The kinds that a commit brought, without reading anything else of it. Raises as `decode`."""
    try:
        return tuple(map(_Reader([]).kind, _PAYLOADS.decode(payload).body.kinds))
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise StoreError(f"unreadable commit payload: {error}", code="JOURNAL_CORRUPT") from error


def request_bytes(change: Change) -> bytes:
    """What makes two requests the same: all they ask for, not who asks or under which key."""
    return encode(change) + msgspec.msgpack.encode(change.expected_revision)


def _kind_row(kind: KindRecord) -> tuple[Any, ...]:
    return (
        kind.iri,
        kind.name,
        kind.parents,
        kind.label,
        kind.placeholder,
        kind.deprecated,
        kind.replaced_by,
        kind.alias_of,
    )


def _twin_row(twin: TwinRecord, strings: _Strings) -> tuple[Any, ...]:
    return (
        strings.place(twin.id),
        strings.places(twin.kinds),
        twin.name,
        twin.local_id,
        _values_row(twin.attributes, strings),
        [(strings.place(known.system), known.id) for known in twin.external_ids],
        strings.place(twin.origin),
    )


def _relationship_row(record: RelationshipRecord, strings: _Strings) -> tuple[Any, ...]:
    return (
        strings.place(record.source),
        strings.place(record.relation),
        strings.place(record.target),
        strings.place(record.group),
        record.id,
        _values_row(record.attributes, strings),
        strings.place(record.origin),
        strings.place(record.stated),
    )


def _values_row(values: Mapping[str, Value], strings: _Strings) -> list[Any]:
    place = strings.place
    return [
        (place(name), value.value, place(value.unit), place(value.origin)) for name, value in values.items()
    ]


def _removal_row(removal: str | RelationshipKey, strings: _Strings) -> Any:
    if isinstance(removal, str):
        return removal
    return strings.places((removal.source, removal.relation, removal.target, removal.group))


class _Reader:
    """Rows back to records."""

    def __init__(self, table: list[Any]) -> None:
        self.table = table

    def kind(self, row: list[Any]) -> KindRecord:
        iri, name, parents, *rest = row
        return KindRecord(iri, name, tuple(parents), *rest)

    def twin(self, row: list[Any]) -> TwinRecord:
        place, kinds, name, local_id, values, external, origin = row
        table = self.table
        return TwinRecord(
            id=table[place],
            kinds=self.texts(kinds),
            name=name,
            local_id=local_id,
            attributes=self.values(values),
            external_ids=tuple(ExternalId(table[system], known) for system, known in external),
            origin=table[origin],
        )

    def relationship(self, row: list[Any]) -> RelationshipRecord:
        source, relation, target, group, own_id, values, origin, stated = row
        table = self.table
        return RelationshipRecord(
            source=table[source],
            relation=table[relation],
            target=table[target],
            group=table[group],
            id=own_id,
            attributes=self.values(values),
            origin=table[origin],
            stated=table[stated],
        )

    def removal(self, row: str | list[int]) -> str | RelationshipKey:
        return row if isinstance(row, str) else RelationshipKey(*self.texts(row))

    def values(self, rows: list[Any]) -> dict[str, Value]:
        table = self.table
        return {table[name]: Value(value, table[unit], table[origin]) for name, value, unit, origin in rows}

    def texts(self, places: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.table[place] for place in places)


def _read_body(reader: _Reader, body: list[Any]) -> tuple[Change, tuple[str, ...]]:
    kinds, put, merge, relationships, removed, removed_links, withdrawn, statements, also = body
    change = Change(
        put_kinds=tuple(map(reader.kind, kinds)),
        put_twins=tuple(map(reader.twin, put)),
        merge_twins=tuple(map(reader.twin, merge)),
        put_relationships=tuple(map(reader.relationship, relationships)),
        remove_twins=reader.texts(removed),
        remove_relationships=tuple(map(reader.removal, removed_links)),
        withdraw_twins={reader.table[origin]: reader.texts(ids) for origin, ids in withdrawn},
        statements={reader.table[origin]: tuple(lines) for origin, lines in statements},
    )
    return change, reader.texts(also)
