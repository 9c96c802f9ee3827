"""Twins and relationships as they travel between servers: columns of what a contract lets out, site by site.

Only what is present is written: a column holds the places at which it has a value. Origins (which file stated
something) never travel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from federation.ledger import Disclosure
from graph.plan import POINT_VALUE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from federation.opaque import Names
    from federation.sharing import Shared
    from graph.attributes import Column
    from graph.snapshot import Snapshot

    Rows = npt.NDArray[np.int32]

HISTORY: Final = "history"
_OWN: Final = (("name", "names"), ("localId", "local_ids"), ("externalIds", "external_ids"))


class _Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class Cells(_Wire, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One column: values at places, ascending. units: UCUM codes, as many as values, or none at all."""

    name: str
    places: tuple[int, ...]
    values: tuple[Any, ...]
    units: tuple[str | None, ...] = ()


class Texts(_Wire, frozen=True, array_like=True, forbid_unknown_fields=True):
    places: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()


class OutsideIds(_Wire, frozen=True, array_like=True, forbid_unknown_fields=True):
    places: tuple[int, ...] = ()
    systems: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


class LastReadings(_Wire, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Of points. values: as the `valueType` of the point says."""

    places: tuple[int, ...] = ()
    times_ns: tuple[int, ...] = ()
    values: tuple[float | bool | int | str | None, ...] = ()
    qualities: tuple[int, ...] = ()


class Links(_Wire, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Relationships that live in a site. Ends are places in (ids of its twins here + `ends`)."""

    ends: tuple[str, ...] = ()
    relation_iris: tuple[str, ...] = ()
    sources: tuple[int, ...] = ()
    relations: tuple[int, ...] = ()  # places in `relation_iris`
    targets: tuple[int, ...] = ()
    groups: Texts = Texts()
    own_ids: Texts = Texts()
    attributes: tuple[Cells, ...] = ()


class SiteRecords(_Wire, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is told of one site at one revision. kinds: places in `kind_sets`; revisions: of each twin."""

    site: str
    base: str
    revision: int
    time_ns: int
    ids: tuple[str, ...] = ()
    kind_sets: tuple[tuple[str, ...], ...] = ()
    kinds: tuple[int, ...] = ()
    revisions: tuple[int, ...] = ()
    names: Texts = Texts()
    local_ids: Texts = Texts()
    external_ids: OutsideIds = OutsideIds()
    attributes: tuple[Cells, ...] = ()
    readings: LastReadings = LastReadings()
    links: Links = Links()


# Writing


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    """names: attributes and own fields that are asked for, None: all that may leave."""

    snapshot: Snapshot
    names: Collection[str] | None
    opaque: Names | None = None

    def wants(self, name: str) -> bool:
        return self.names is None or name in self.names

    def site(self, number: int, rows: Rows, edges: Rows) -> SiteRecords:
        snapshot = self.snapshot
        head = snapshot.heads[number]
        sets = snapshot.twins.kind_set.take(rows).tolist()
        codes = {code: place for place, code in enumerate(dict.fromkeys(sets))}
        return SiteRecords(
            site=head.name,
            base=head.base,
            revision=head.revision,
            time_ns=head.time_ns,
            ids=tuple(snapshot.ids(rows)),
            kind_sets=tuple(snapshot.pools.kind_sets.value(code) or () for code in codes),
            kinds=tuple(codes[code] for code in sets),
            revisions=tuple(snapshot.twins.revision.take(rows).tolist()),
            names=self.texts("name", snapshot.twins.name.take(rows)),
            local_ids=self.texts("localId", snapshot.twins.local.take(rows)),
            external_ids=self.external_ids(rows),
            attributes=self.cells(snapshot.twins.attributes, rows),
            readings=self.readings(rows),
            links=self.links(rows, edges, head.base),
        )

    def texts(self, name: str, codes: npt.NDArray[np.int32]) -> Texts:
        if not self.wants(name):
            return Texts()
        places = np.flatnonzero(codes)
        found = self.snapshot.pools.texts.values(codes[places].tolist())
        return Texts(tuple(places.tolist()), tuple(text or "" for text in found))

    def veiled(self, told: Texts, base: str = "") -> Texts:
        """Ids and groups of relationships are often made of names: where ids are opaque, so are they."""
        opaque = self.opaque
        if opaque is None:
            return told
        return Texts(told.places, tuple(opaque.iri(base, text) for text in told.texts))

    def external_ids(self, rows: Rows) -> OutsideIds:
        if not self.wants("externalIds"):
            return OutsideIds()
        places = np.flatnonzero(self.snapshot.twins.external.take(rows)).tolist()
        found = [(place, known) for place in places for known in self.snapshot.external_ids(int(rows[place]))]
        return OutsideIds(
            tuple(place for place, _ in found),
            tuple(known.system for _, known in found),
            tuple(known.id for _, known in found),
        )

    def cells(self, columns: Mapping[str, Column], rows: Rows) -> tuple[Cells, ...]:
        names = sorted(name for name in columns if self.wants(name))
        found = (_cells(name, columns[name], rows) for name in names)
        return tuple(each for each in found if each.places)

    def readings(self, rows: Rows) -> LastReadings:
        if not self.wants(POINT_VALUE):
            return LastReadings()
        twins = self.snapshot.twins
        times = twins.point_time.take(rows)
        places = np.flatnonzero(times)
        return LastReadings(
            tuple(places.tolist()),
            tuple(times[places].tolist()),
            tuple(self.snapshot.point_value(row) for row in rows[places].tolist()),
            tuple(twins.point_quality.take(rows[places]).tolist()),
        )

    def links(self, rows: Rows, edges: Rows, base: str) -> Links:
        snapshot = self.snapshot
        sources, targets = snapshot.sources(edges).tolist(), snapshot.targets(edges).tolist()
        places = {row: place for place, row in enumerate(rows.tolist())}
        beyond = [row for row in dict.fromkeys((*sources, *targets)) if row not in places]
        places.update((row, len(rows) + place) for place, row in enumerate(beyond))
        relations: list[int] = snapshot.edges.relation.take(edges).tolist()
        known = {relation: place for place, relation in enumerate(dict.fromkeys(relations))}
        return Links(
            ends=tuple(snapshot.ids(np.array(beyond, np.int32))),
            relation_iris=tuple(snapshot.schema.relations[relation].iri for relation in known),
            sources=tuple(places[row] for row in sources),
            relations=tuple(known[relation] for relation in relations),
            targets=tuple(places[row] for row in targets),
            groups=self.veiled(_coded(snapshot, snapshot.edges.group.take(edges))),
            own_ids=self.veiled(_coded(snapshot, snapshot.edges.own_id.take(edges)), base),
            attributes=self.cells(snapshot.edges.attributes, edges),
        )


def records_of(
    shared: Shared, rows: Rows, edges: Rows, names: Collection[str] | None = None
) -> tuple[SiteRecords, ...]:
    """Some twins and relationships of a shared snapshot, by site.

    What may not leave is left out, whoever asks for it. rows, edges: in the order in which they are told
    (see `Shared.arranged`). names: attributes and own fields (`name`, `localId`, `externalIds`, `value`) that
    are wanted, None: all. Ends of relationships that are not among the rows are told by their IRI alone.
    Every site of the contract is there, empty or not.
    """
    snapshot = shared.snapshot
    rows, edges = rows[shared.masks.shown[rows]], edges[shared.edges[edges]]
    writer = _Writer(snapshot, names, shared.names)
    sites, lives_in = snapshot.twins.site.take(rows), snapshot.edges.site.take(edges)
    return tuple(
        writer.site(number, rows[sites == number], edges[lives_in == number]) for number in shared.sites
    )


def _cells(name: str, column: Column, rows: Rows) -> Cells:
    places = np.flatnonzero(column.present(rows))
    values = [value for value in column.values(rows[places]) if value is not None]
    units = tuple(value.unit for value in values)
    stated = units if any(units) else ()
    return Cells(name, tuple(places.tolist()), tuple(value.value for value in values), stated)


def _coded(snapshot: Snapshot, codes: npt.NDArray[np.int32]) -> Texts:
    places = np.flatnonzero(codes)
    found = snapshot.pools.texts.values(codes[places].tolist())
    return Texts(tuple(places.tolist()), tuple(text or "" for text in found))


# What leaves with them


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is about to leave: to whom, under which version of its contract, what for, how large."""

    partner: str
    version: int
    purpose: str
    kind: str
    size_bytes: int


def disclosure_of(
    letter: Letter,
    records: Sequence[SiteRecords],
    figures: Mapping[str, int] | None = None,
    shared: Shared | None = None,
    series: Sequence[str] = (),
) -> Disclosure:
    """What the ledger is to keep of some records: every twin with the names of what is told of it.

    shared: what they are of, for our ids of twins that are told by opaque ones. series: ids of points whose
    readings over time are told, as the partner was told them.
    """
    ids = [iri for site in records for iri in site.ids]
    ids += [iri for iri in series if iri not in set(ids)]
    is_opaque = shared is not None and shared.names is not None
    twins = shared.real(ids) if shared is not None else ids
    told = [pair for site, start in _starts(records) for pair in _told(site, start)]
    if series:
        places = {iri: place for place, iri in enumerate(ids)}
        told.append((HISTORY, tuple(places[iri] for iri in series)))
    names = sorted({name for name, _ in told})
    column = {name: place for place, name in enumerate(names)}
    bits = np.zeros((len(twins), len(names)), np.bool_)
    for name, places in told:
        bits[list(places), column[name]] = True
    return Disclosure(
        partner=letter.partner,
        version=letter.version,
        purpose=letter.purpose,
        kind=letter.kind,
        size_bytes=letter.size_bytes,
        twins=twins,
        attributes=names,
        relations=sorted({name for site in records for name in _relations(site.links)}),
        told=bits,
        figures=figures,
        told_as=ids if is_opaque else (),
    )


def _starts(records: Sequence[SiteRecords]) -> Iterable[tuple[SiteRecords, int]]:
    start = 0
    for site in records:
        yield site, start
        start += len(site.ids)


def _told(site: SiteRecords, start: int) -> Iterable[tuple[str, tuple[int, ...]]]:
    """(name, places of the twins of which it is told)."""
    for name, field in _OWN:
        yield name, tuple(start + place for place in getattr(site, field).places)
    yield POINT_VALUE, tuple(start + place for place in site.readings.places)
    for cells in site.attributes:
        yield cells.name, tuple(start + place for place in cells.places)


def _relations(links: Links) -> Iterable[str]:
    """Relations, and attributes of relationships as `RELATION ATTRIBUTE`."""
    yield from links.relation_iris
    for cells in links.attributes:
        for relation in {links.relations[place] for place in cells.places}:
            yield f"{links.relation_iris[relation]} {cells.name}"
