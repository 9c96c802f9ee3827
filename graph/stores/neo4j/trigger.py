"""An APOC trigger that notes, in the transactions of other programs, which twins of ours they touch.

Every transaction of ours says so in its metadata, and is left alone. The notes are read by
`graph.stores.neo4j.notes`. A trigger runs before the commit, and an error in it refuses the transaction: so
the statement bears values of any type, and notes no ids where there are very many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ontology.errors import StoreError

if TYPE_CHECKING:
    from graph.stores.neo4j.connection import Connection

NAME: Final = "twinmesh_foreign"
# A transaction of more changes than these is noted without ids: everything is compared then.
CHANGES_MAX: Final = 20_000
# So many ids wait at most, of all notes of a site together.
WAITING_MAX: Final = 100_000
STATEMENT: Final = f"""// twinmesh: notes what other programs change; see docs/neo4j.md
WITH 0 AS ours WHERE $metaData.twinmesh IS NULL AND $assignedNodeProperties._own IS NULL
WITH size($createdNodes) + size($deletedNodes) + size($createdRelationships) + size($deletedRelationships)
  + reduce(n = 0, k IN keys($assignedNodeProperties) | n + size($assignedNodeProperties[k]))
  + reduce(n = 0, k IN keys($removedNodeProperties) | n + size($removedNodeProperties[k]))
  + reduce(n = 0, k IN keys($assignedRelationshipProperties) | n + size($assignedRelationshipProperties[k]))
  + reduce(n = 0, k IN keys($removedRelationshipProperties) | n + size($removedRelationshipProperties[k]))
  + reduce(n = 0, k IN keys($assignedLabels) | n + size($assignedLabels[k]))
  + reduce(n = 0, k IN keys($removedLabels) | n + size($removedLabels[k])) AS changes
CALL (changes) {{
  WITH changes WHERE changes > {CHANGES_MAX}
  MATCH (w:_Watch) RETURN w.site AS site, [] AS ids, true AS whole
  UNION ALL
  WITH changes WHERE changes <= {CHANGES_MAX}
  WITH $createdNodes
    + apoc.coll.flatten([k IN keys($assignedNodeProperties) | [e IN $assignedNodeProperties[k] | e.node]])
    + apoc.coll.flatten([k IN keys($assignedLabels) | $assignedLabels[k]])
    + [r IN $createdRelationships WHERE r._site IS NOT NULL | startNode(r)] AS living,
    apoc.coll.toSet(
      apoc.coll.flatten([k IN keys($removedNodeProperties) | [e IN $removedNodeProperties[k] | id(e.node)]])
      + apoc.coll.flatten([k IN keys($removedLabels) | [n IN $removedLabels[k] | id(n)]])
      + [r IN $deletedRelationships | id(startNode(r))]
      + apoc.coll.flatten([k IN keys($removedRelationshipProperties) |
          [e IN $removedRelationshipProperties[k] | id(startNode(e.relationship))]])
      + apoc.coll.flatten([k IN keys($assignedRelationshipProperties) |
          [e IN $assignedRelationshipProperties[k] | id(startNode(e.relationship))]])) AS perhaps,
    coalesce($assignedNodeProperties._site, []) + coalesce($removedNodeProperties._site, [])
      + coalesce($assignedRelationshipProperties._site, [])
      + coalesce($removedRelationshipProperties._site, []) AS moved,
    [e IN coalesce($assignedNodeProperties.id, []) WHERE e.old IS NOT NULL]
      + coalesce($removedNodeProperties.id, []) AS renamed,
    [n IN coalesce($removedLabels.Entity, []) | id(n)]
      + [n IN apoc.coll.subtract(coalesce($assignedLabels.Entity, []), $createdNodes) | id(n)] AS labelled
  CALL (perhaps) {{ UNWIND perhaps AS number MATCH (n) WHERE id(n) = number RETURN collect(n) AS more }}
  // What a relationship leads to has another name now, or none.
  CALL (renamed, labelled) {{
    UNWIND [e IN renamed | id(e.node)] + labelled AS number
    MATCH (n)<-[r]-(m) WHERE id(n) = number AND r._site IS NOT NULL
    RETURN collect(m) AS before, collect(DISTINCT r._site) AS owners
  }}
  WITH [n IN living + more + before WHERE n:Entity OR n._site IS NOT NULL] AS nodes, owners, moved, renamed
  WITH apoc.coll.toSet([n IN nodes | n._site] + owners + [e IN moved | e.old]
      + [r IN $createdRelationships | r._site]
      + apoc.coll.flatten([k IN keys($assignedRelationshipProperties) |
          [e IN $assignedRelationshipProperties[k] | e.relationship._site]])) AS sites,
    apoc.coll.toSet([n IN nodes | n.id] + [e IN renamed | e.old]) AS ids,
    any(n IN nodes WHERE n.id IS NOT :: STRING NOT NULL) AS whole
  UNWIND sites AS site
  RETURN site, [id IN ids WHERE id IS :: STRING NOT NULL] AS ids, whole
}}
WITH site, ids, whole ORDER BY site
MATCH (w:_Watch {{site: site}})
SET w.lock = true
WITH w, ids, coalesce(toIntegerOrNull(w.turn), 0) + 1 AS turn,
  coalesce(toIntegerOrNull(w.waiting), 0) + size(ids) + 1 AS waiting,
  whole OR coalesce(toIntegerOrNull(w.waiting), 0) + size(ids) + 1 > {WAITING_MAX} OR size(ids) = 0 AS whole
SET w.turn = turn
FOREACH (_ IN CASE WHEN whole THEN [1] ELSE [] END | SET w.whole = turn)
FOREACH (_ IN CASE WHEN whole THEN [] ELSE [1] END | SET w.waiting = waiting
  CREATE (:_Foreign {{site: w.site, sequence: turn, ids: ids}}))
"""
_KNOWN: Final = "SHOW PROCEDURES YIELD name WHERE name = 'apoc.trigger.install' RETURN count(*)"
_DATABASE: Final = "CALL db.info() YIELD name RETURN name"
_SHOW: Final = "CALL apoc.trigger.show($database) YIELD name, query, paused RETURN name, query, paused"
_LIST: Final = """CALL apoc.trigger.list() YIELD name, query, paused
WHERE name = $name AND query = $query AND NOT paused RETURN count(*)"""
_INSTALL: Final = """CALL apoc.trigger.install($database, $name, $query, {phase: 'before'}, {params: {}})
YIELD name RETURN name"""
_DROP: Final = "CALL apoc.trigger.drop($database, $name) YIELD name RETURN name"
_AWAY: Final = frozenset({"STORE_UNREACHABLE", "STORE_HALTED"})


@dataclass(frozen=True, slots=True)
class Means:
    """How changes of other programs are found: at once by the trigger, or now and then by comparing.

    reason: why it is so, in words. waits: the trigger is installed, and Neo4j has not taken it up yet.
    """

    by_trigger: bool
    reason: str
    waits: bool = False


class Trigger:
    """The trigger of one database. Raises StoreError only where Neo4j cannot be asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def means(self) -> Means:
        """What is so now. Looks, and changes nothing."""
        if not self._connection.run(_KNOWN)[0][0]:
            return Means(by_trigger=False, reason="APOC is not installed")
        try:
            found = self._shown()
            active = self._connection.run(_LIST, name=NAME, query=STATEMENT)[0][0]
        except StoreError as error:
            return _refused(error)
        if not found:
            return Means(by_trigger=False, reason="APOC allows triggers, and none of ours is installed")
        if not active:
            reason = "the trigger is installed and not active yet (apoc.trigger.refresh)"
            if found != (STATEMENT, False):
                reason = "the trigger is paused or of another version: a writer replaces it"
            return Means(by_trigger=False, reason=reason, waits=found == (STATEMENT, False))
        return Means(by_trigger=True, reason="the trigger of twinmesh is active")

    def install(self) -> Means:
        """Have it there as it should be, whatever an older version left. What is so then."""
        means = self.means()
        if means.by_trigger or means.waits or not self._connection.run(_KNOWN)[0][0]:
            return means
        try:
            database = self._connection.run(_DATABASE)[0][0]
            self._connection.administer(_INSTALL, database=database, name=NAME, query=STATEMENT)
        except StoreError as error:
            return _refused(error)
        return self.means()

    def drop(self) -> None:
        """Take it away where it is there; nothing where it cannot be."""
        if not self._connection.run(_KNOWN)[0][0]:
            return
        try:
            if self._shown():
                database = self._connection.run(_DATABASE)[0][0]
                self._connection.administer(_DROP, database=database, name=NAME)
        except StoreError as error:
            _refused(error)

    def _shown(self) -> tuple[str, bool] | None:
        database = self._connection.run(_DATABASE)[0][0]
        rows = self._connection.administer(_SHOW, database=database)
        return next(((query, paused) for name, query, paused in rows if name == NAME), None)


def _refused(error: StoreError) -> Means:
    if error.code in _AWAY:
        raise error
    return Means(by_trigger=False, reason=f"APOC is there and its triggers are not allowed: {error.message}")
