"""What travels when a site is replicated, and what it comes to: rows of twins and relationships, and a hash.

Both sides make the same rows of the same records, so the hash of a replica is that of the shared part.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from federation.records import SiteRecords
from ontology.errors import InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from federation.records import Cells, Texts

SYNC_KIND: Final = "sync"
CURSOR_BYTES_MAX: Final = 64 << 10
ID_CHARS_MAX: Final = 4_096
PAGE_TWINS_MAX: Final = 1_000
_HASH_BITS: Final = 256
_Attribute: TypeAlias = "tuple[str, Any, str | None]"  # name, value, unit


class SyncAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next changes behind a cursor (empty: from the beginning), or the hash of all that is shared."""

    site: str
    cursor: bytes = b""
    limit: int = PAGE_TWINS_MAX
    only_hash: bool = False


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="page"):
    """Some twins, each with all relationships that are told with it: it is their source, or the only end
    that the site has.

    Pages of a round are in the order of ids. at: the cursor that was asked with. starts: the replica begins
    anew: what no page tells from here up to the one that `sweeps` is gone. gone: twins that are shared no
    longer. ends: this is the last page of its round. done: the replica is now what is shared at `revision`,
    which was written at `time_ns`.
    """

    at: bytes
    cursor: bytes
    records: SiteRecords
    gone: tuple[str, ...]
    starts: bool
    sweeps: bool
    ends: bool
    done: bool
    revision: int
    time_ns: int


class SharedHash(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hash"):
    """Of all that is shared of a site at a revision."""

    revision: int
    twins: int
    links: int
    hash: str


@dataclass(frozen=True, slots=True)
class TwinRow:
    """A twin as it is kept and hashed.

    body: msgpack of [id, kinds, name, local id, outside ids, attributes].
    """

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class LinkRow:
    """body: msgpack of [source, relation, target, group, own id, attributes]. key: what tells it apart."""

    home: str
    key: bytes
    source: str
    target: str
    body: bytes


_ASKED: Final = msgspec.msgpack.Decoder(SyncAsked)
_ANSWERS: Final = msgspec.msgpack.Decoder(Page | SharedHash)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def read_asked(body: bytes) -> SyncAsked:
    """InputError BODY_INVALID."""
    try:
        asked = _ASKED.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError("the body asks for no changes", code="BODY_INVALID") from error
    if len(asked.cursor) > CURSOR_BYTES_MAX or len(asked.site) > ID_CHARS_MAX or asked.limit < 1:
        raise InputError("the body asks for no changes", code="BODY_INVALID")
    return asked


def read_answer(body: bytes, who: str) -> Page | SharedHash:
    """StoreError PEER_GARBAGE."""
    try:
        return _ANSWERS.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise garbage(who, "it sends no page of changes") from error


def garbage(who: str, why: str) -> StoreError:
    return StoreError(f"{who}: {why}", code="PEER_GARBAGE", hint="nothing of this page was taken over")


def rows_of(records: SiteRecords, who: str) -> tuple[list[TwinRow], list[LinkRow]]:
    """The rows of some records. StoreError PEER_GARBAGE where the columns do not fit together."""
    try:
        return list(_twin_rows(records)), list(_link_rows(records))
    except (IndexError, TypeError, ValueError) as error:
        raise garbage(who, "its columns do not fit together") from error


def hash_of(bodies: Iterable[bytes]) -> str:
    """64 hexadecimal digits, whatever the order."""
    total = sum(int.from_bytes(sha256(body).digest()) for body in bodies) % (1 << _HASH_BITS)
    return f"{total:064x}"


def _twin_rows(records: SiteRecords) -> Iterator[TwinRow]:
    count = len(records.ids)
    if len(records.kinds) != count:
        raise ValueError("kinds")
    names, local = _by_place(records.names, count), _by_place(records.local_ids, count)
    attributes = _attributes(records.attributes, count)
    outside: dict[int, list[tuple[str, str]]] = {}
    known = records.external_ids
    for place, system, own in zip(known.places, known.systems, known.ids, strict=True):
        outside.setdefault(_within(place, count), []).append((system, own))
    for place, (iri, kind) in enumerate(zip(records.ids, records.kinds, strict=True)):
        kinds = records.kind_sets[_within(kind, len(records.kind_sets))]
        fields = [
            iri,
            kinds,
            names.get(place),
            local.get(place),
            outside.get(place, []),
            attributes.get(place, []),
        ]
        yield TwinRow(iri, msgspec.msgpack.encode(fields))


def _link_rows(records: SiteRecords) -> Iterator[LinkRow]:
    links = records.links
    ends = (*records.ids, *links.ends)
    here = frozenset(records.ids)
    count = len(links.sources)
    groups, own_ids = _by_place(links.groups, count), _by_place(links.own_ids, count)
    attributes = _attributes(links.attributes, count)
    triples = zip(links.sources, links.relations, links.targets, strict=True)
    for place, (source, relation, target) in enumerate(triples):
        one, other = ends[_within(source, len(ends))], ends[_within(target, len(ends))]
        name = links.relation_iris[_within(relation, len(links.relation_iris))]
        key = msgspec.msgpack.encode([one, name, other, groups.get(place, ""), own_ids.get(place)])
        body = msgspec.msgpack.encode(
            [one, name, other, groups.get(place, ""), own_ids.get(place), attributes.get(place, [])]
        )
        if not here & {one, other}:
            raise ValueError("a relationship of other twins")
        yield LinkRow(one if one in here else other, key, one, other, body)


def _by_place(texts: Texts, count: int) -> dict[int, str]:
    return {_within(place, count): text for place, text in zip(texts.places, texts.texts, strict=True)}


def _attributes(columns: Sequence[Cells], count: int) -> Mapping[int, list[_Attribute]]:
    """By place, sorted by name, each with its value and unit."""
    found: dict[int, list[_Attribute]] = {}
    for cells in sorted(columns, key=lambda each: each.name):
        units = cells.units or (None,) * len(cells.values)
        for place, value, unit in zip(cells.places, cells.values, units, strict=True):
            found.setdefault(_within(place, count), []).append((cells.name, value, unit))
    return found


def _within(place: int, count: int) -> int:
    if not 0 <= place < count:
        raise ValueError("a place beyond the end")
    return place
