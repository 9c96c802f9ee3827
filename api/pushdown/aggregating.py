"""`aggregate` as a statement: see `graph.stores.neo4j.groups`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from api.pushdown.context import AskedGroups
from api.pushdown.statement import Statement
from graph.stores.neo4j.groups import groups_text, read_groups

if TYPE_CHECKING:
    from api.pushdown.reading import Reading, Row
    from api.pushdown.roots import Run
    from graph.grouping import GroupRow


@dataclass(frozen=True, slots=True)
class Aggregated:
    """fields: (key, field) of each row; typename: of its type."""

    fields: tuple[tuple[str, str], ...]
    typename: str

    def statement(self, run: Run, told: object) -> Statement:
        grouping = cast("AskedGroups", told).grouping
        script = run.script()
        made = groups_text(script, grouping)

        def read(row: Row, reading: Reading) -> list[dict[str, Any]]:
            found = read_groups(run.ontology, reading.units, grouping, made.parts, row[0])
            reading.objects += len(found)
            return [self._object(each) for each in found]

        return Statement(made.text, script.values, read, is_kept=not script.has_asked)

    def _object(self, row: GroupRow) -> dict[str, Any]:
        known = {"keys": row.keys, "values": row.values, "units": row.units, "__typename": self.typename}
        return {key: known[name] for key, name in self.fields}
