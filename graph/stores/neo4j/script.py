"""A Cypher statement while it is written: parameters get names, and no value of a request becomes text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from graph.stores.neo4j.naming import label_text, types_text
from graph.values import Way
from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ontology.schema import Schema
    from ontology.units import Units

_REFUSED_HINT: Final = 'ask a server that holds the graph in memory ([store] mode = "memory")'


@dataclass(frozen=True, slots=True)
class Sight:
    """Which twins there are for who asks: of some sites, of some kinds (prefixed names); None: of all."""

    sites: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None


EVERYTHING: Final = Sight()
UnitsByText: TypeAlias = "Mapping[str, Mapping[str, str]]"


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """What may be looked up while a statement is written.

    bases: of sites, by name. attributes: that some twin has, besides the declared ones.
    unit_texts: every property `_units` that some twin has, with the units by attribute that it stands for.
        LimitError TIME_BUDGET, StoreError.
    ask: the one row of another statement. LimitError TIME_BUDGET, StoreError.
    """

    bases: Mapping[str, str]
    attributes: frozenset[str]
    units: Units
    ask: Callable[[str, Mapping[str, Any]], list[Any]]
    unit_texts: Callable[[], UnitsByText]


class Script:
    """Names for parameters and variables of one statement; what the schema says of kinds and relations.

    prefix: of parameters, where a statement is written by two scripts.
    around: None where nothing can be looked up; what needs it is refused.
    has_asked: what was written holds for the graph of this moment only.
    """

    def __init__(
        self, schema: Schema, sight: Sight = EVERYTHING, prefix: str = "p", around: Around | None = None
    ) -> None:
        self.schema = schema
        self.around = around
        self.has_asked = False
        self.values: dict[str, Any] = {}
        self._sight = sight
        self._prefix = prefix
        self._variables = 0

    @property
    def is_narrowed(self) -> bool:
        """Whether who asks does not see everything."""
        return self._sight != EVERYTHING

    def value(self, value: object) -> str:
        """A parameter that holds a value."""
        name = f"{self._prefix}{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def ask(self, text: str, values: Mapping[str, Any]) -> list[Any]:
        """The one row of another statement; PUSHDOWN_UNSUPPORTED where nothing can be looked up."""
        if self.around is None:
            refuse("what must be looked up before")
        self.has_asked = True
        return self.around.ask(text, values)

    def unit_texts(self) -> UnitsByText:
        """See `Around`; none where nothing can be looked up."""
        if self.around is None:
            return {}
        self.has_asked = True
        return self.around.unit_texts()

    @property
    def units(self) -> Units:
        return refuse("a conversion of units") if self.around is None else self.around.units

    def apart(self) -> Script:
        """Another script for the same who asks."""
        return Script(self.schema, self._sight, self._prefix, self.around)

    def here(self, variable: str, *, is_labelled: bool = False) -> str:
        """That a node is a living twin in sight; others do not exist for this statement.

        is_labelled: the node is known to have the label of a kind, which no tombstone has.
        """
        parts = [] if is_labelled else [f"{variable}._kind IS NOT NULL"]
        if self._sight.sites is not None:
            parts.append(f"{variable}._site IN {self.value(list(self._sight.sites))}")
        if self._sight.kinds is not None:
            tests = [f"{variable}{label_text((name,))}" for name in self._sight.kinds]
            parts.append("(" + " OR ".join(tests) + ")" if tests else "false")
        return " AND ".join(parts) or "true"

    def variable(self, letter: str) -> str:
        """A variable that nothing else in the statement has."""
        self._variables += 1
        return f"{letter}{self._variables}"

    def kind(self, name: str) -> str:
        """The label of a kind; NotFoundError KIND_UNKNOWN."""
        return label_text((self.schema.kind(name).name,))

    def hop(self, source: str, relation: str, way: Way, link: str, target: str) -> str:
        """A pattern along a relation by name: inverse names turn round, symmetric ones go both ways.

        That the far end is a twin is left to `here`: a look at one more label of each costs a tenth of all.
        """
        types, way = self.along(relation, way)
        before, after = ("<" if way is Way.IN else ""), (">" if way is Way.OUT else "")
        return f"({source}){before}-[{link}{types}]-{after}({target})"

    def along(self, relation: str, way: Way) -> tuple[str, Way]:
        """The types of a relation by name and the way they are followed. NotFoundError."""
        named = self.schema.relation(relation)
        if named.inverse_of is not None:
            way = {Way.OUT: Way.IN, Way.IN: Way.OUT}.get(way, way)
            named = self.schema.relations[named.inverse_of]
        way = Way.BOTH if named.symmetric else way
        return types_text(self.schema, self.schema.relations_below(named.index)), way


def refuse(what: str) -> NoReturn:
    """LimitError PUSHDOWN_UNSUPPORTED: Neo4j would answer otherwise than the columns do, or not at all."""
    message = f"{what} cannot be answered inside Neo4j"
    raise LimitError(message, code="PUSHDOWN_UNSUPPORTED", hint=_REFUSED_HINT)
