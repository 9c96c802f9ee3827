"""`sites` as a statement: what the journals and the graph tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from api.pushdown.statement import Statement
from api.schema.scalars import time_text
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from api.pushdown.reading import Reading, Row
    from api.pushdown.roots import Run

_PLAIN: Final = {
    "name": "site",
    "base": "j.base",
    "revision": "shown",
    "time": "c.time_ns",
    "lagCommits": "j.sequence - shown",
    # So old is the first commit that is not shown; by two clocks, so never below nothing.
    "lagSeconds": """CASE WHEN next IS NULL THEN 0.0
    WHEN timestamp() * 1000000 < next.time_ns THEN 0.0
    ELSE (timestamp() - next.time_ns / 1000000) / 1000.0 END""",
    "twins": "COUNT { MATCH (n:Entity) WHERE n._site = site AND n._kind IS NOT NULL }",
    "relationships": "COUNT { MATCH (:Entity)-[r]->(:Entity) WHERE r._site = site }",
}
# A graph that is kept from here: there is none.
_NONE: Final = ("graphLagCommits", "graphLagSeconds")


@dataclass(frozen=True, slots=True)
class Sites:
    """fields: (key, field) of each site; typename: of its type."""

    fields: tuple[tuple[str, str], ...]
    typename: str

    def statement(self, run: Run, told: object) -> Statement:
        names = list(dict.fromkeys(name for _, name in self.fields if name in _PLAIN))
        if run.sight.kinds is not None:
            refuse("`sites`, for who sees some kinds only,")
        if "twins" in names and len(run.bases) > 1:
            refuse("how many twins each of several sites has: those that they share stand there once, so it")
        script = run.script()
        wanted = ""
        if run.sight.sites is not None:
            # Who sees some sites is told of those that have something.
            here = "EXISTS { MATCH (n:Entity) WHERE n._site = site AND n._kind IS NOT NULL }"
            wanted = f"WHERE site IN {script.value(list(run.sight.sites))} AND {here}"
        row = ", ".join(_PLAIN[name] for name in names)
        text = f"""MATCH (j:_Journal) WITH j, j.site AS site {wanted}
        OPTIONAL MATCH (p:_Projection {{site: site}})
        WITH j, site, CASE WHEN p.sequence > 0 THEN p.sequence ELSE 0 END AS shown
        OPTIONAL MATCH (c:_Commit {{site: site, sequence: shown}})
        OPTIONAL MATCH (next:_Commit {{site: site, sequence: shown + 1}})
        WITH * ORDER BY site RETURN collect([{row}])"""

        def read(rows: Row, reading: Reading) -> list[dict[str, Any]]:
            found = [dict(zip(names, each, strict=True)) for each in rows[0]]
            return [self._object(each) for each in found]

        return Statement(text, script.values, read)

    def _object(self, row: dict[str, Any]) -> dict[str, Any]:
        return {key: self._value(name, row) for key, name in self.fields}

    def _value(self, name: str, row: dict[str, Any]) -> Any:
        if name == "__typename":
            return self.typename
        if name in _NONE:
            return None
        value = row[name]
        if name == "revision":
            return str(value)
        return (time_text(value) if value else None) if name == "time" else value
