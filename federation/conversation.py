"""What is said with one peer for the sake of one query: what it was asked, what it told, how that ended.

A query is run on what is known; what it read, and did not find here, is asked; then it is run again, until
nothing new is read. Nothing is asked twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from federation.asking import (
    DEPTH_MAX,
    FORMAT,
    IDS_MAX,
    ITEMS_MAX,
    MatchAsk,
    QueryAsk,
    SearchAsk,
    SpreadAsk,
)
from federation.gathered import GatheredSite
from federation.predicates import for_peer, to_wire, with_units
from federation.told_figures import Told
from federation.told_series import ToldSeries
from graph.ids import is_iri, local_iri
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from federation.asking import QueryAnswer
    from federation.partners import Partner
    from federation.replicated import Replicas
    from graph.snapshot import Snapshot
    from graph.tracing import Reads, TrailKey
    from ontology.schema import Schema

TOUCHED_MAX: Final = 500
"""Twins of ours that are named to a peer; of more it tells the relationships of all."""
_SILENT: Final = frozenset({"PEER_TIMEOUT", "PEER_UNREACHABLE"})
_DENIALS: Final = ("CONTRACT_", "PEER_UNKNOWN", "RATE_LIMITED", "PEER_REFUSED", "QUERY_FORMAT", "PEER_KEY_")
ONLY_FIGURES: Final = "CONTRACT_AGGREGATES"


class Status(StrEnum):
    """How a peer's part of an answer came to be."""

    ANSWERED = "ANSWERED"
    PARTIAL = "PARTIAL"
    DENIED = "DENIED"
    TIMED_OUT = "TIMED_OUT"
    STALE = "STALE"


@dataclass(frozen=True, eq=False)
class World:
    """What a query was run on: our rows come first, then what peers told.

    reads: what it read. bases: of our own sites. own_names: of attributes that our twins have.
    units: of attributes that are stated in several: what a number without a unit is in.
    """

    snapshot: Snapshot
    own_size: int
    bases: tuple[str, ...]
    reads: Reads
    own_names: frozenset[str] = frozenset()
    units: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def schema(self) -> Schema:
        return self.snapshot.schema

    @cached_property
    def stubs(self) -> npt.NDArray[np.int32]:
        """Stubs that were met; all, where twins of any kind were listed."""
        schema = self.schema
        stubs = self.snapshot.rows_of_kind(schema.external_kind)
        names = [kind for kind, _ in self.reads.matches] + [each.kind for each in self.reads.grouped]
        kinds = [None if kind is None else schema.kind(kind).index for kind in names]
        lists_stubs = any(kind is None or schema.is_a(schema.external_kind, kind) for kind in kinds)
        return stubs if lists_stubs else stubs[self.reads.met[stubs]]


@dataclass(eq=False)
class Conversation:
    """names: what we call each of the peer's sites. wanted: names of attributes, None: all.

    left_s: of its time.

    stale_s: ages of sites that were read from replicas.

    withheld: what the query reads and the contract does not show. code: why there will be no more.
    """

    partner: Partner
    names: dict[str, str]
    wanted: tuple[str, ...] | None
    withheld: tuple[str, ...]
    left_s: float
    sites: dict[str, GatheredSite] = field(default_factory=dict[str, GatheredSite])
    code: str | None = None
    is_cut: bool = False
    is_engaged: bool = False
    answered_s: float | None = None
    figures: Told = field(default_factory=lambda: Told())
    series: ToldSeries = field(default_factory=lambda: ToldSeries())
    needs_rows: bool = False
    stale_s: dict[str, float | None] = field(default_factory=dict[str, "float | None"])
    has_looked: bool = False
    _ids: set[str] = field(default_factory=set[str])
    _matches: list[Any] = field(default_factory=list[Any])
    _searches: list[tuple[str, str | None]] = field(default_factory=list["tuple[str, str | None]"])
    _spread: dict[TrailKey, set[str]] = field(default_factory=dict["TrailKey", "set[str]"])
    _deep: tuple[set[TrailKey], set[str]] | None = field(default=None)  # asked just now: trails, other ids
    _ours: set[TrailKey] = field(default_factory=set["TrailKey"])

    def __post_init__(self) -> None:
        catalogue = self.partner.catalogue
        if catalogue is None:
            self.code = self.partner.refusal or "PEER_UNREACHABLE"
        elif not self.partner.gives_rows:
            self.code = ONLY_FIGURES
        for site in self.partner.sites:
            self.sites[site.name] = GatheredSite(self.names[site.name], site.base)

    # Asking

    def next_ask(self, world: World, bytes_max: int) -> QueryAsk | None:
        """What the last run read and this peer may have; None: nothing that it was not asked before."""
        if self.shows_figures:
            return self._next_figures(world, bytes_max)
        ids = self._new_ids(world)
        figures = self.figures.next_asks(world, self)
        matches = self._new_matches(world)
        searches = self._new_searches(world)
        spreads = self._new_spreads(world, IDS_MAX - len(ids))
        series = self.series.next_asks(world.reads.series, self._owns, self.partner.catalogue)
        if not (ids or matches or searches or spreads or figures or series):
            return None
        if not self.partner.is_silent or ids:
            self.is_engaged = True
        if self.code is not None:
            return None
        self._note_deep(world, ids, is_alone=not (matches or searches))
        rows = tuple(ids), matches, searches, spreads
        return QueryAsk(FORMAT, world.bases, self.wanted, bytes_max, *rows, figures, series)

    @property
    def shows_figures(self) -> bool:
        return self.partner.catalogue is not None and not self.partner.gives_rows

    def _next_figures(self, world: World, bytes_max: int) -> QueryAsk | None:
        """Of a peer that shows no twins: the groups of aggregates that have no filter."""
        asks = self.figures.next_asks(world, self)
        others = self._new_matches(world) or self._new_ids(world)
        self.needs_rows = self.needs_rows or bool(others)
        self.is_engaged = self.is_engaged or bool(asks) or self.needs_rows
        if not asks or self.code not in (None, ONLY_FIGURES):
            return None
        return QueryAsk(FORMAT, world.bases, self.wanted, bytes_max, figures=asks)

    def _new_ids(self, world: World) -> list[str]:
        """Twins that were looked for, or that a relationship leads to."""
        texts = [iri for text in world.reads.lookups for iri in self._meant(text, world)]
        texts += world.snapshot.ids(world.stubs)
        found = [iri for iri in dict.fromkeys(texts) if self._owns(iri) and iri not in self._ids]
        found = found[:IDS_MAX]
        self._ids.update(found)
        return found

    def _meant(self, text: str, world: World) -> list[str]:
        """The IRIs of this peer that a text may mean. What is ours is looked for here alone."""
        if is_iri(text):
            return [text]
        prefix, colon, rest = text.partition(":")
        bases = {self.names[site.name]: site.base for site in self.partner.sites}
        if colon and prefix in bases:
            return [local_iri(bases[prefix], rest)]
        own = [row for row in world.snapshot.candidates(text) if row < world.own_size]
        return [] if own else [local_iri(base, text) for base in bases.values()]

    def _owns(self, iri: str) -> bool:
        bases = self.partner.bases
        return bool(bases) and iri.startswith(bases)

    def _new_matches(self, world: World) -> tuple[MatchAsk, ...]:
        found: list[MatchAsk] = []
        names = tuple(self.names.values())
        for kind, where in (*world.reads.matches, *self.figures.by_rows):
            if (kind, where) in self._matches or len(found) >= ITEMS_MAX:
                continue
            self._matches.append((kind, where))
            stated = None if where is None else with_units(where, world.units)
            judged = for_peer(stated, names, self.partner.bases)
            if judged is not False:
                iri = None if kind is None else world.schema.kind(kind).iri
                found.append(MatchAsk(iri, None if judged is True else to_wire(judged)))
        return tuple(found)

    def _new_searches(self, world: World) -> tuple[SearchAsk, ...]:
        new = [each for each in dict.fromkeys(world.reads.searches) if each not in self._searches]
        self._searches += new[:ITEMS_MAX]
        kinds = {kind: world.schema.kind(kind).iri for _, kind in new if kind is not None}
        return tuple(SearchAsk(text, kind and kinds[kind]) for text, kind in new[:ITEMS_MAX])

    def _new_spreads(self, world: World, room: int) -> tuple[SpreadAsk, ...]:
        """Relationships of twins whose relationships were read: the peer's own, and ours."""
        found: list[SpreadAsk] = []
        for key, walked in world.reads.walked.items():
            ids, ours = self._walked(world, key, walked)
            ids = ids[: max(room, 0)]
            room -= len(ids)
            if (ids or ours) and len(found) < ITEMS_MAX:
                self._spread.setdefault(key, set()).update(ids)
                if ours:
                    self._ours.add(key)
                depth = _depth(world, key)
                found.append(SpreadAsk(key[0].value, tuple(ids), _relations(world, key), depth, ours))
        return tuple(found)

    def _note_deep(self, world: World, ids: Sequence[str], *, is_alone: bool) -> None:
        """Walks to the end are followed by the peer: of what it tells then, it told all relationships."""
        open_ends = {key for key, depth in world.reads.deep.items() if depth is None}
        is_pure = is_alone and open_ends == set(world.reads.walked)
        self._deep = (open_ends, set(ids)) if is_pure else None

    def _take_deep(self, answer: QueryAnswer) -> None:
        if self._deep is None or answer.is_cut:
            return
        keys, others = self._deep
        told = {iri for site in answer.sites for iri in site.ids} - others
        for key in keys:
            self._spread.setdefault(key, set()).update(told)

    def _walked(self, world: World, key: TrailKey, walked: Any) -> tuple[list[str], bool]:
        rows = np.flatnonzero(walked)
        own = rows[rows < world.own_size]
        known = self._spread.get(key, set[str]())
        is_told = key in self._ours
        ours, theirs = self._split(world.snapshot.ids(own))
        others = [iri for iri in world.snapshot.ids(rows[rows >= world.own_size]) if self._may_know(iri)]
        fresh = [] if is_told else [iri for iri in ours if iri not in known]
        asks_all = len(fresh) > TOUCHED_MAX
        new = [iri for iri in (*theirs, *others) if iri not in known]
        return ([] if asks_all else fresh) + new, asks_all

    def _split(self, iris: Iterable[str]) -> tuple[list[str], list[str]]:
        """Those that are ours, and those of our stubs of which the peer may know something."""
        ours: list[str] = []
        theirs: list[str] = []
        for iri in iris:
            (theirs if self._owns(iri) else ours).append(iri)
        return ours, theirs

    def _may_know(self, iri: str) -> bool:
        """Whether the peer would tell of relationships of a twin that is not ours."""
        catalogue = self.partner.catalogue
        return self._owns(iri) or (catalogue is not None and catalogue.shows_stubs)

    # Listening

    def read_replicas(self, replicas: Replicas, schema: Schema) -> bool:
        """Where the peer is dark: take its sites as replicas have them. Whether any was there; once."""
        if self.has_looked or not (self.is_engaged and self.is_dark):
            return False
        self.has_looked = True
        for site in self.partner.sites:
            stale = replicas.of(self.partner.peer, site, self.names[site.name], schema)
            if stale is not None and not self.sites[site.name].twins:
                self.sites[site.name], self.stale_s[site.name] = stale.site, stale.age_s
        return bool(self.stale_s)

    def failed(self, code: str) -> None:
        """There will be no more of it. What it told before stays."""
        self.code = code

    def take(self, answer: QueryAnswer, schema: Schema) -> None:
        """Take in an answer. A peer that talks garbage is asked no more."""
        bases = {site.name: site.base for site in self.partner.sites}
        self.is_cut = self.is_cut or answer.is_cut
        self.answered_s = time.monotonic()
        self._take_deep(answer)
        self.code = self.figures.take(answer.figures, self, schema) or self.code
        self.code = self.series.take(answer.series) or self.code
        if self.shows_figures:
            return
        for records in answer.sites:
            if bases.get(records.site) != records.base:
                self.code = "PEER_FOREIGN"
                continue
            try:
                self.sites[records.site].add(records, self.partner.bases, schema)
            except StoreError as error:
                self.code = error.code
                return
        if any(site.foreign for site in self.sites.values()):
            self.code = self.code or "PEER_FOREIGN"

    @property
    def status(self) -> Status:
        told = any(site.twins or site.links for site in self.sites.values())
        if self.stale_s:
            return Status.STALE
        if self.code in _SILENT:
            return Status.TIMED_OUT
        if self.code == ONLY_FIGURES and self.answered_s is not None:
            return Status.PARTIAL if self.needs_rows or self.figures.is_less else Status.ANSWERED
        if self.code is not None and self.code.startswith(_DENIALS):
            return Status.DENIED
        has_unknown = any(site.unknown for site in self.sites.values())
        if self.code is not None and not told and self.answered_s is None:
            return Status.TIMED_OUT if self.code in _SILENT else Status.PARTIAL
        is_less = self.code is not None or self.is_cut or bool(self.withheld) or has_unknown
        is_less = is_less or self.series.is_less
        return Status.PARTIAL if is_less else Status.ANSWERED

    @property
    def is_dark(self) -> bool:
        """Whether a twin of the peer may be there and could not be asked for."""
        return self.code not in (None, ONLY_FIGURES) and self.status is not Status.DENIED

    def owns(self, iri: str) -> bool:
        return self._owns(iri)

    def sources(self, now_s: float) -> list[dict[str, Any]]:
        """One entry per site of the peer, as `extensions.sources` has them."""
        age_s = None if self.answered_s is None else round(now_s - self.answered_s, 3)
        if not self.partner.sites:
            return [self._source(name, None, age_s) for name in self.partner.peer.sites or ("",)]
        return [
            self._source(self.names[site.name], self.sites.get(site.name), self.stale_s.get(site.name, age_s))
            for site in self.partner.sites
        ]

    def _source(self, name: str, site: GatheredSite | None, age_s: float | None) -> dict[str, Any]:
        is_known = self.answered_s is not None or bool(self.stale_s)
        told: dict[str, Any] = {
            "site": name,
            "peer": self.partner.peer.name,
            "status": self.status.value,
            "ageS": None if age_s is None else round(age_s, 3),
            "revision": str(site.revision) if site is not None and is_known else None,
            "rows": 0 if site is None else len(site.twins),
        }
        if self.code is not None and self.status is not Status.ANSWERED:
            told["code"] = self.code
        if self.withheld:
            told["withheld"] = list(self.withheld)
        return told


def _depth(world: World, key: TrailKey) -> int:
    """How many steps at once a trail is to be followed."""
    stated = world.reads.deep.get(key, 1)
    return DEPTH_MAX if stated is None else min(max(stated, 1), DEPTH_MAX)


def _relations(world: World, key: TrailKey) -> tuple[str, ...] | None:
    wanted = np.frombuffer(key[1], np.bool_)
    if wanted.all():
        return None
    relations = world.schema.relations
    return tuple(relations[number].iri for number in np.flatnonzero(wanted).tolist())


def names_for(partners: Sequence[Partner], own: Sequence[str]) -> dict[str, dict[str, str]]:
    """What we call each site of each partner, by key: as it does, unless another one is called so."""
    taken = set(own)
    found: dict[str, dict[str, str]] = {}
    for partner in partners:
        names = found[partner.key] = {}
        for site in partner.sites:
            name = site.name
            while name in taken:
                name = f"{partner.peer.name}.{name}"
            taken.add(name)
            names[site.name] = name
    return found
