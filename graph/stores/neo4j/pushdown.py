"""Questions answered inside Neo4j, for graphs that no memory holds: one plan, one parametrised statement.

The answers are those of `graph.execute` over columns; what could be answered otherwise is refused with
LimitError PUSHDOWN_UNSUPPORTED. The graph must be there to the end: see `Progress.sequence`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from graph.ordering import checked_size, read_cursor, signature_of
from graph.stores.neo4j.anchors import found
from graph.stores.neo4j.orders import beyond, cursor_text, keys_of, order_text
from graph.stores.neo4j.script import Script, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.order_keys import Scalar
    from graph.plan import Match
    from graph.stores.neo4j.anchors import Found
    from graph.stores.neo4j.connection import Connection
    from graph.stores.neo4j.orders import Key
    from graph.stores.neo4j.script import Around
    from ontology.schema import Schema

STATEMENTS_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class PushedPage:
    """One page of ids, in order. `keys`: what each row is ordered by."""

    ids: list[str]
    keys: list[tuple[Scalar, ...]]
    has_previous: bool
    has_next: bool
    signature: str
    order: Sequence[Key]

    def cursor(self, index: int) -> str:
        """As `graph.ordering.Page.cursor`."""
        return cursor_text(self.signature, self.order, self.keys[index], self.ids[index])


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    values: dict[str, Any]
    size: int
    forward: bool
    signature: str
    order: Sequence[Key]
    is_kept: bool


class PushDown:
    """One site's graph, or that of all sites (site None), asked by plan. Safe from any thread.

    around: None where nothing is to be looked up; what needs it is refused then.
    """

    def __init__(
        self, connection: Connection, schema: Schema, site: str | None = None, around: Around | None = None
    ) -> None:
        self._around = around
        self._connection = connection
        self._schema = schema
        self._site = site
        self._known: OrderedDict[str, _Statement] = OrderedDict()

    def match(self, match: Match) -> PushedPage:
        """One page of the twins that a plan matches. Errors as `run_match`, PUSHDOWN_UNSUPPORTED."""
        key = repr(match)  # not the plan itself: 1 and true are equal in Python
        statement = self._known.get(key)
        if statement is None:
            statement = self._translate(match)
            if statement.is_kept:
                self._known[key] = statement
            while len(self._known) > STATEMENTS_MAX:
                self._known.popitem(last=False)
        rows = self._connection.run(statement.text, **statement.values)
        return _page(rows, statement, match)

    def count(self, match: Match) -> int:
        """How many twins a plan matches, whatever the page."""
        script = Script(self._schema, around=self._around)
        text = f"{self._found(script, match).clauses} RETURN count(n)"
        return self._connection.run(text, **script.values)[0][0]

    def explain(self, match: Match) -> str:
        """The statement of a plan, without its values."""
        return self._translate(match).text

    def _found(self, script: Script, match: Match) -> Found:
        return found(script, match, *self._of_site(script))

    def _of_site(self, script: Script) -> list[str]:
        return [] if self._site is None else [f"n._site = {script.value(self._site)}"]

    def _translate(self, match: Match) -> _Statement:
        script, page = Script(self._schema, around=self._around), match.page
        size, forward = checked_size(page)
        signature = signature_of(match.order)
        edge = read_cursor(page.after if forward else page.before, signature, len(match.order))
        if (page.before if forward else page.after) is not None:
            refuse("a page between two cursors")
        keys = keys_of(script, "n", match, self._of_site)
        columns = [f"{key.group} AS g{place}, {key.value} AS v{place}" for place, key in enumerate(keys)]
        lines = [
            self._found(script, match).clauses,
            f"WITH {', '.join(['n.id AS id', *columns])}",
        ]
        if edge is not None:
            lines.append(f"WHERE {beyond(script, keys, edge, after=forward)}")
        values = ", ".join(f"v{place}" for place in range(len(keys)))
        lines.append(f"RETURN id, [{values}]")
        lines.append(f"ORDER BY {order_text(keys, forward=forward)} LIMIT {script.value(size + 1)}")
        text = "\n".join(lines)
        return _Statement(text, script.values, size, forward, signature, keys, not script.has_asked)


def _page(rows: list[list[Any]], statement: _Statement, match: Match) -> PushedPage:
    more, rows = len(rows) > statement.size, rows[: statement.size]
    rows = rows if statement.forward else rows[::-1]
    keys = [tuple(values) for _, values in rows]
    ids = [iri for iri, _ in rows]
    began = (match.page.after if statement.forward else match.page.before) is not None
    previous, following = (began, more) if statement.forward else (more, began)
    return PushedPage(ids, keys, previous, following, statement.signature, statement.order)
