"""A Cypher statement while it is written: parameters get names, and no value of a request becomes text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from graph.plan import Way
from graph.stores.neo4j.naming import label_text, types_text
from ontology.errors import LimitError

if TYPE_CHECKING:
    from ontology.schema import Schema

_REFUSED_HINT = "ask a server that holds the graph in memory ([store] mode memory)"


class Script:
    """Names for parameters and variables of one statement; what the schema says of kinds and relations."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.values: dict[str, Any] = {}
        self._variables = 0

    def value(self, value: object) -> str:
        """A parameter that holds a value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def variable(self, letter: str) -> str:
        """A variable that nothing else in the statement has."""
        self._variables += 1
        return f"{letter}{self._variables}"

    def kind(self, name: str) -> str:
        """The label of a kind; NotFoundError KIND_UNKNOWN."""
        return label_text((self.schema.kind(name).name,))

    def hop(self, source: str, relation: str, way: Way, link: str, target: str) -> str:
        """A pattern along a relation by name: inverse names turn round, symmetric ones go both ways."""
        named = self.schema.relation(relation)
        if named.inverse_of is not None:
            way = {Way.OUT: Way.IN, Way.IN: Way.OUT}.get(way, way)
            named = self.schema.relations[named.inverse_of]
        way = Way.BOTH if named.symmetric else way
        types = types_text(self.schema, self.schema.relations_below(named.index))
        before, after = ("<" if way is Way.IN else ""), (">" if way is Way.OUT else "")
        return f"({source}){before}-[{link}{types}]-{after}({target}:Entity)"


def refuse(what: str) -> NoReturn:
    """LimitError PUSHDOWN_UNSUPPORTED: Neo4j would answer otherwise than the columns do, or not at all."""
    message = f"{what} cannot be answered inside Neo4j"
    raise LimitError(message, code="PUSHDOWN_UNSUPPORTED", hint=_REFUSED_HINT)
