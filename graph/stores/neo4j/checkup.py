"""What a Neo4j tells of itself and of what twinmesh keeps there. Looks, and changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from graph.stores.neo4j.trigger import Trigger
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.stores.neo4j.connection import Connection

CLOCK_S_MAX: Final = 5.0
VERSION_MIN: Final = (5, 26)
OURS: Final = frozenset(
    {
        "twinmesh_journal",
        "twinmesh_commit",
        "twinmesh_answer",
        "twinmesh_entity",
        "twinmesh_projection",
    }
)
# There only where a trigger notes what others change.
OPTIONAL: Final = frozenset({"twinmesh_watch"})
_LABELS: Final = ("_Journal", "_Commit", "_Answer", "_Projection", "Entity")
_COMPONENTS: Final = "CALL dbms.components() YIELD name, versions, edition RETURN name, versions[0], edition"
_APOC: Final = "SHOW FUNCTIONS YIELD name WHERE name = 'apoc.version' RETURN count(*)"
_CONSTRAINTS: Final = "SHOW CONSTRAINTS YIELD name, labelsOrTypes RETURN name, labelsOrTypes"
_INDEXES: Final = """SHOW INDEXES YIELD name, state, populationPercent WHERE state <> 'ONLINE'
RETURN name, state, populationPercent"""
_STRANGERS: Final = "MATCH (n:Entity) WHERE n.id IS NULL RETURN count(n)"
_SITES: Final = """MATCH (j:_Journal) OPTIONAL MATCH (p:_Projection {site: j.site})
OPTIONAL MATCH (c:_Commit {site: j.site, sequence: coalesce(p.sequence, 0) + 1})
RETURN j.site, j.sequence, p.sequence, j.holder_name, j.holder_url, (j.held_until - timestamp()) / 1000.0,
  (timestamp() - c.time_ns / 1000000) / 1000.0 ORDER BY j.site"""
_WATCHES: Final = """MATCH (w:_Watch) RETURN w.site, w.turn - w.handled, size(w.suspects), w.whole
ORDER BY w.site"""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at. state: ok, absent, warning or problem."""

    name: str
    state: Literal["ok", "absent", "warning", "problem"]
    detail: str
    hint: str | None = None


def facts(connection: Connection) -> Iterator[Fact]:
    """All of a database; a problem with the code where it cannot be asked."""
    try:
        yield _server(connection)
        yield _clock(connection)
        yield _apoc(connection)
        yield from _constraints(connection)
        yield _strangers(connection)
        yield from _sites(connection)
        yield from _watches(connection)
    except StoreError as error:
        yield Fact("neo4j", "problem", f"{error.code}: {error.message}", error.hint)


def _server(connection: Connection) -> Fact:
    found = {name: (version, edition) for name, version, edition in connection.run(_COMPONENTS)}
    version, edition = found.get("Neo4j Kernel", ("unknown", "unknown"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    fit = len(numbers) == len(VERSION_MIN) and numbers >= VERSION_MIN
    hint = None if fit else f"it is tested with {VERSION_MIN[0]}.{VERSION_MIN[1]}"
    detail = f"{version} {edition} at {connection.place.url}"
    return Fact("neo4j", "ok" if fit else "warning", detail, hint)


def _clock(connection: Connection) -> Fact:
    before_s = time.time()
    theirs_s: float = connection.run("RETURN timestamp()")[0][0] / 1e3
    ahead_s = theirs_s - (before_s + time.time()) / 2
    far = abs(ahead_s) > CLOCK_S_MAX
    hint = "commits are stamped by the writer's clock: asOf a time may miss or show some" if far else None
    return Fact("neo4j clock", "warning" if far else "ok", f"{ahead_s:+.1f} s beside ours", hint)


def _apoc(connection: Connection) -> Fact:
    means = Trigger(connection).means()
    how = "noted at once" if means.by_trigger else "found by comparing, once a minute"
    detail = f"{means.reason}; changes of others are {how}"
    if not connection.run(_APOC)[0][0]:
        return Fact("neo4j apoc", "absent", detail)
    version = connection.run("RETURN apoc.version()")[0][0]
    hint = None if means.by_trigger else "apoc.trigger.enabled=true in apoc.conf, and [store] apoc_trigger"
    return Fact("neo4j apoc", "ok", f"{version}: {detail}", hint)


def _constraints(connection: Connection) -> Iterator[Fact]:
    found: dict[str, list[str]] = dict(map(_pair, connection.run(_CONSTRAINTS)))
    lacking = sorted(OURS - found.keys())
    detail = f"{', '.join(lacking)} absent" if lacking else f"all {len(OURS)} are there"
    hint = "a writer makes them when it opens a site" if lacking else None
    yield Fact("neo4j constraints", "warning" if lacking else "ok", detail, hint)
    for name in sorted(found.keys() - OURS - OPTIONAL):
        if set(found[name]) & {*_LABELS}:
            where = f"{name} on {', '.join(found[name])} is not of twinmesh"
            yield Fact("neo4j constraints", "warning", where, "it may refuse what twinmesh writes")
    for name, state, percent in connection.run(_INDEXES):
        detail = f"{name} is {state}, {percent:.0f} %"
        failed = state == "FAILED"
        hint = "drop it and open the site again" if failed else "wait"
        yield Fact("neo4j indexes", "problem" if failed else "warning", detail, hint)


def _pair(row: list[Any]) -> tuple[str, list[str]]:
    return row[0], row[1] or []


def _strangers(connection: Connection) -> Fact:
    count = connection.run(_STRANGERS)[0][0]
    if not count:
        return Fact("neo4j strangers", "ok", "every :Entity has an id")
    hint = "give them an id or another label: STORE_FOREIGN_NODE"
    return Fact("neo4j strangers", "problem", f"{count} nodes :Entity have no id", hint)


def _sites(connection: Connection) -> Iterator[Fact]:
    for site, sequence, shown, name, url, left_s, since_s in connection.run(_SITES):
        who, held = "nobody writes it", left_s is not None and left_s > 0
        if held:
            who = f"written by {name}" + (f" at {url}" if url else "") + f", lease {left_s:.0f} s more"
        behind = sequence - (shown if shown is not None and shown >= 0 else 0)
        since = f" for {since_s:,.1f} s" if since_s is not None else ""
        graph = "its graph is complete" if not behind else f"its graph lacks {behind:,}{since}"
        state = "ok" if not behind or held else "warning"
        hint = "the graph follows when a writer opens it" if state == "warning" else None
        yield Fact(f"neo4j site {site}", state, f"{sequence:,} commits, {graph}; {who}", hint)


def _watches(connection: Connection) -> Iterator[Fact]:
    """What the trigger noted and nobody mended; a site without it has nothing to tell."""
    for site, waiting, differ, whole in connection.run(_WATCHES):
        parts = [
            f"{differ:,} twins differ" if differ else "",
            f"{waiting:,} notes wait for a writer" if waiting else "",
            "everything waits to be compared" if whole else "",
        ]
        detail = ", ".join(part for part in parts if part)
        hint = "STORE_FOREIGN_CHANGE; see docs/neo4j.md" if differ else None
        state = "warning" if differ else "ok"
        yield Fact(f"neo4j notes {site}", state, detail or "nothing noted waits", hint)
