"""The side that is replicated: pages of what a contract shares of a site, from the start or since a cursor.

Nothing is kept here of who has what. A cursor says up to where its owner has come, and under which terms;
where these no longer hold (another contract, vocabulary or journal) the replica begins anew. So does one that
is too far behind. A first copy goes through the twins in order of their ids; what changes meanwhile is told
after it.

What is told of a twin that is shared no longer is its id, and only if the same contract showed it since the
cursor: nobody learns that there was something which it might never see.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from federation.contract import Purpose
from federation.masks import masks
from federation.records import Letter, disclosure_of, records_of
from federation.sharing import share
from federation.sync_wire import PAGE_TWINS_MAX, SYNC_KIND, Page, SharedHash, hash_of, rows_of
from graph.id_order import order_by_id
from graph.plan import POINT_VALUE
from graph.touching import all_touched
from graph.values import Way
from ontology.errors import AccessError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from federation.contract import Contract, Grant
    from federation.ledger import Disclosure
    from federation.records import SiteRecords
    from federation.sharing import Shared
    from federation.sync_wire import SyncAsked
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.values import Commit, TwinRecord

    Rows = npt.NDArray[np.int32]

COMMITS_MAX: Final = 1_000  # further behind than that in any site, a replica begins anew
TOUCHED_MAX: Final = 10_000
PAGE_BYTES_MAX: Final = 512 << 10  # twins are left for the next page beyond that
LAST: Final = "\U0010ffff"  # behind every sign that an IRI may have
_DIGEST_BYTES: Final = 8


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """since: the revision of each site of the contract, and journals: how its journal stood there.

    copying: a first copy is under way, `after` is the last id of it; else the last id of a round of changes.
    until: where that round began; it becomes `since` at its end.
    """

    terms: bytes
    since: tuple[int, ...]
    journals: tuple[bytes, ...]
    copying: bool
    after: str
    until: tuple[int, ...]


_CURSORS: Final = msgspec.msgpack.Decoder(Cursor)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One site under one grant at one moment."""

    mesh: Mesh
    grant: Grant
    contract: Contract
    shared: Shared
    edges: npt.NDArray[np.bool_]  # bool[edge_count], relationships that may leave
    place: int  # of the site in the snapshot
    now_ns: int
    key: bytes  # of marks of journals

    @property
    def snapshot(self) -> Snapshot:
        return self.shared.snapshot

    @property
    def sites(self) -> tuple[int, ...]:
        """Places of all sites of the contract: what one of them shows may depend on another."""
        return self.shared.sites

    @property
    def names(self) -> frozenset[str]:
        """Readings change without a commit: they are not replicated."""
        return self.contract.attributes - {POINT_VALUE}

    def revisions(self) -> tuple[int, ...]:
        return tuple(self.snapshot.revisions[place] for place in self.sites)

    def terms(self) -> bytes:
        heads = [(self.snapshot.heads[place].name, self.snapshot.heads[place].base) for place in self.sites]
        told = msgspec.msgpack.encode((self.grant.version, self.snapshot.schema.version, heads))
        return sha256(told).digest()[:_DIGEST_BYTES]

    def journals(self, revisions: Sequence[int]) -> tuple[bytes, ...]:
        """How the journals stood at some revisions; empty where there is no such one.

        By our key: a bare digest of what was written would let its reader test what hidden values are.
        """
        pairs = zip(self.sites, revisions, strict=True)
        found = (self.mesh.twin(self.snapshot.sites[place]).digest_at(at) for place, at in pairs)
        return tuple(b"" if each is None else _mark(self.key, each) for each in found)


def _mark(key: bytes, journal: bytes) -> bytes:
    return digest(key, journal, sha256)[:_DIGEST_BYTES]


def open_source(mesh: Mesh, grant: Grant, site: str, now_ns: int, key: bytes) -> Source:
    """key: of this folder, for marks in cursors.

    AccessError CONTRACT_*, SYNC_NOT_SHARED (also of a site that there is not).
    """
    contract = grant.require(Purpose.SYNC, now_ns)
    if grant.is_opaque:  # contracts are refused at once, see `contract_file`
        raise AccessError("a contract with opaque ids is not for replicas", code="CONTRACT_OPAQUE_SYNC")
    if grant.rows_max(Purpose.SYNC, now_ns) < 1:
        message = "the contract lets no twins out, only figures over them"
        raise AccessError(message, code="CONTRACT_AGGREGATES_ONLY", hint='release = "rows"')
    shared = share(grant, mesh.snapshot(), Purpose.SYNC, now_ns)
    places = {shared.snapshot.sites[place]: place for place in shared.sites}
    if site not in places:
        raise AccessError("the contract does not share this site", code="SYNC_NOT_SHARED")
    return Source(mesh, grant, contract, shared, _edges(shared), places[site], now_ns, key)


def _edges(shared: Shared) -> npt.NDArray[np.bool_]:
    """Between twins that sites of the contract have.

    Whether there is one behind a stub, sites outside the contract decide: that is not the partner's business.
    """
    snapshot, stubs = shared.snapshot, _stubs(shared.snapshot)
    return shared.edges & ~stubs[snapshot.edge_source] & ~stubs[snapshot.edge_target]


def answer_page(source: Source, asked: SyncAsked) -> tuple[bytes, Disclosure]:
    """The page behind a cursor, and what it discloses. LimitError SYNC_TWIN_TOO_LARGE."""
    known = _read_cursor(source, asked.cursor)
    due = None if known is None else _due(source, known)
    starts = known is None or due is None
    cursor = _beginning(source) if known is None or due is None else known
    due = due or _Due(_copied(source, cursor.after), ())
    limit = min(asked.limit, source.contract.rows_per_answer, PAGE_TWINS_MAX)
    while True:
        page = _page(source, cursor, due, limit, Mark(asked.cursor, starts))
        body = msgspec.msgpack.encode(page)
        if len(body) <= PAGE_BYTES_MAX:
            break
        if limit == 1 or len(page.records.ids) == 1:
            message = "one twin has more relationships than a message can hold"
            raise LimitError(message, code="SYNC_TWIN_TOO_LARGE")
        limit = len(page.records.ids) // 2
    letter = Letter(source.contract.partner, source.grant.version, Purpose.SYNC, SYNC_KIND, len(body))
    return body, disclosure_of(letter, [page.records])


def answer_hash(source: Source) -> bytes:
    """The hash of all that is shared of the site now."""
    rows = _copied(source, "")
    counts = [0, 0]

    def bodies() -> Iterator[bytes]:
        for first in range(0, len(rows), PAGE_TWINS_MAX):
            twins, links = rows_of(_records(source, rows[first : first + PAGE_TWINS_MAX]), "this site")
            counts[0], counts[1] = counts[0] + len(twins), counts[1] + len(links)
            yield from (row.body for row in (*twins, *links))

    told = hash_of(bodies())
    return msgspec.msgpack.encode(
        SharedHash(source.snapshot.revisions[source.place], counts[0], counts[1], told)
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """What a page says of itself: the cursor it was asked with, and whether the replica begins anew."""

    at: bytes
    starts: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Due:
    """Rows of the site that are still to be told, by id, and ids that are shared no longer."""

    rows: Rows
    gone: tuple[str, ...]


def _page(source: Source, cursor: Cursor, due: _Due, limit: int, mark: Mark) -> Page:
    rows, is_last = due.rows[:limit], len(due.rows) <= limit
    now = source.revisions()
    head = source.snapshot.heads[source.place]
    if is_last:
        # What was written since the round began is the next round.
        following = _round_after(cursor, source, cursor.until)
    else:
        following = msgspec.structs.replace(cursor, after=source.snapshot.id(int(rows[-1])))
    return Page(
        at=mark.at,
        cursor=msgspec.msgpack.encode(following),
        records=_records(source, rows),
        gone=due.gone,
        starts=mark.starts,
        sweeps=cursor.copying and is_last,
        ends=is_last,
        done=is_last and cursor.until == now,
        revision=head.revision,
        time_ns=head.time_ns,
    )


def _beginning(source: Source) -> Cursor:
    now = source.revisions()
    return Cursor(source.terms(), now, source.journals(now), True, "", now)


def _round_after(cursor: Cursor, source: Source, until: tuple[int, ...]) -> Cursor:
    """The end of a round, which is the beginning of the next one."""
    return Cursor(cursor.terms, until, source.journals(until), False, "", ())


def _read_cursor(source: Source, packed: bytes) -> Cursor | None:
    """Where a replica is; None where it has to begin anew. No cursor makes more leave than may."""
    if not packed:
        return None
    try:
        cursor = _CURSORS.decode(packed)
    except (msgspec.MsgspecError, ValueError):
        return None
    now = source.revisions()
    until = cursor.until or now
    fits = len(cursor.since) == len(cursor.journals) == len(until) == len(now)
    if not fits or cursor.terms != source.terms() or any(each < 0 for each in cursor.since):
        return None
    if any(one > other for one, other in zip((*cursor.since, *until), (*now, *now), strict=True)):
        return None
    if source.journals(cursor.since) != cursor.journals:
        return None  # another journal, or one that was put back
    return msgspec.structs.replace(cursor, until=until)


def _due(source: Source, cursor: Cursor) -> _Due | None:
    """None where the replica is too far behind."""
    if cursor.copying:
        return _Due(_copied(source, cursor.after), ())
    changed = _changed(source, cursor.since)
    if changed is None:
        return None
    rows = _with_homes(source, changed)
    if len(rows) > TOUCHED_MAX:
        return None
    # Once a round: the first page tells all that went.
    gone = _gone(source, cursor, changed) if not cursor.after else ()
    return None if gone is None else _Due(_behind(source, rows, cursor.after), gone)


# Which rows


def _copied(source: Source, after: str) -> Rows:
    """Shown twins of the site behind an id, in order of their ids."""
    return _behind(source, np.flatnonzero(_own(source)).astype(np.int32), after)


def _own(source: Source) -> npt.NDArray[np.bool_]:
    """bool[size]: shown twins of the site. Stubs are other sites' twins: they would be an echo."""
    snapshot = source.snapshot
    return source.shared.masks.shown & (snapshot.site == source.place) & ~_stubs(snapshot)


def _stubs(snapshot: Snapshot) -> npt.NDArray[np.bool_]:
    return snapshot.kind == snapshot.schema.external_kind


def _behind(source: Source, rows: Rows, after: str) -> Rows:
    """Of some rows those under the base of the site and behind an id, in order of their ids.

    A twin with an IRI of others does not travel: nobody could tell whose it is.
    """
    snapshot, base = source.snapshot, source.snapshot.bases[source.place]
    ordered = rows[order_by_id(snapshot, rows, np.array([0, len(rows)]))]
    places = range(len(ordered))
    first = bisect_right(places, max(after, base), key=lambda at: snapshot.id(int(ordered[at])))
    last = bisect_right(places, base + LAST, key=lambda at: snapshot.id(int(ordered[at])))
    return ordered[first:last]


@dataclass(frozen=True, slots=True)
class _Changed:
    """Commits of each site of the contract since a cursor, and all twins that they touch."""

    commits: tuple[tuple[Commit, ...], ...]
    touched: tuple[frozenset[str], ...]


def _changed(source: Source, since: Sequence[int]) -> _Changed | None:
    """None where there is too much of it."""
    commits: list[tuple[Commit, ...]] = []
    touched: list[frozenset[str]] = []
    for place, after, now in zip(source.sites, since, source.revisions(), strict=True):
        if now - after > COMMITS_MAX:
            return None
        found = (
            source.mesh.twin(source.snapshot.sites[place]).commits(after, now - after) if now > after else []
        )
        names = frozenset(iri for commit in found for iri in all_touched(commit))
        # Of a commit that touches very many, not all are told.
        if any(commit.touches_more for commit in found) or len(names) > TOUCHED_MAX:
            return None
        commits.append(tuple(found))
        touched.append(names)
    return _Changed(tuple(commits), tuple(touched))


def _with_homes(source: Source, changed: _Changed) -> Rows:
    """Shown twins of the site that changed, or with which a relationship of one that changed is told."""
    snapshot = source.snapshot
    names = sorted({iri for touched in changed.touched for iri in touched})
    rows = snapshot.rows(names)
    rows = np.unique(rows[rows >= 0])
    edges, _ = snapshot.expand(rows, Way.BOTH)
    # A relationship that is shown no longer because of an end elsewhere is taken back with its home.
    is_across = snapshot.site[snapshot.sources(edges)] != snapshot.site[snapshot.targets(edges)]
    stubs = _stubs(snapshot)
    is_across |= stubs[snapshot.sources(edges)] | stubs[snapshot.targets(edges)]
    homes = _homes(source, edges[source.edges[edges] | is_across])
    found = np.unique(np.concatenate((rows, homes[homes >= 0])))
    return found[_own(source)[found]].astype(np.int32)


def _homes(source: Source, edges: Rows) -> Rows:
    """The twin with which each relationship of the site is told: its source, or the end that the site has.

    -1 for relationships of other sites.
    """
    snapshot = source.snapshot
    sources, targets = snapshot.sources(edges), snapshot.targets(edges)
    own = (snapshot.site == source.place) & ~_stubs(snapshot)
    homes = np.where(own[sources], sources, np.where(own[targets], targets, -1))
    return np.where(snapshot.edges.site.take(edges) == source.place, homes, -1).astype(np.int32)


def _records(source: Source, rows: Rows) -> SiteRecords:
    edges, _ = source.snapshot.expand(rows, Way.BOTH)
    edges = np.unique(edges)
    edges = edges[source.edges[edges]]
    edges = edges[np.isin(_homes(source, edges), rows)].astype(np.int32)
    told = records_of(source.shared, np.sort(rows), edges, source.names)
    return next(each for each in told if each.site == source.snapshot.sites[source.place])


# What went


def _gone(source: Source, cursor: Cursor, changed: _Changed) -> tuple[str, ...] | None:
    """Twins of the site that were shown since the cursor and are no longer; None: that cannot be told."""
    number = source.sites.index(source.place)
    names = sorted(changed.touched[number])
    snapshot, commits = source.snapshot, changed.commits[number]
    rows = snapshot.rows(names)
    is_shown = (rows >= 0) & _own(source)[rows]
    base = snapshot.bases[source.place]
    told = zip(names, is_shown.tolist(), strict=True)
    away = [name for name, shown in told if not shown and name.startswith(base)]
    if not away:
        return ()
    if any(commit.change.columns is not None for commit in commits):
        return None
    then = source.mesh.twin(snapshot.sites[source.place]).snapshot_at(revision=cursor.since[number])
    shown_then = masks(source.grant, then, Purpose.SYNC, source.now_ns).shown & ~_stubs(then)
    before = then.rows(away)
    were = {name for name, row in zip(away, before.tolist(), strict=True) if row >= 0 and shown_then[row]}
    put = (record for commit in commits for record in (*commit.change.put_twins, *commit.change.merge_twins))
    were |= {record.id for record in put if _is_named(source, record)}
    return tuple(name for name in away if name in were)


def _is_named(source: Source, record: TwinRecord) -> bool:
    """Whether the contract names a kind of a record that was put: it was shared then."""
    schema = source.snapshot.schema
    stub = schema.kinds[schema.external_kind].iri
    kinds = [schema.kind_by_iri(iri) for iri in record.kinds if iri != stub]
    named = [schema.kind_by_iri(iri) for iri in source.contract.kinds]
    return any(kind and above and schema.is_a(kind.index, above.index) for kind in kinds for above in named)
