"""Walks inside Neo4j: the twins that can be reached, by depth.

Where all relationships are followed the same way, Neo4j walks breadth first and meets each twin once
(`VarLengthExpand(Pruning,BFS)`); a pattern that goes some ways here and others there it would follow along
every path there is. Then it is asked level by level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graph.stores.neo4j.naming import quoted
from graph.trails import trails_of
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.stores.neo4j.script import Script
    from graph.trails import Trail
    from ontology.schema import Schema

# Twins that one walk may meet: they lie in Neo4j's memory while they are counted and put in order.
MET_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Leg:
    """Relationships of some types (`:A|B`; nothing: of any) and the way that they are followed."""

    types: str
    way: Way

    def pattern(self, source: str, link: str, target: str, repeated: str = "") -> str:
        before = "<" if self.way is Way.IN else ""
        after = ">" if self.way is Way.OUT else ""
        return f"({source}){before}-[{link}{self.types}{repeated}]-{after}({target})"


@dataclass(frozen=True, slots=True)
class Legs:
    """What a walk follows.

    plain: the only leg, where there is one, or where no relationship has the types `rare`
    """

    legs: tuple[Leg, ...]
    plain: Leg | None = None
    rare: str = ""

    @property
    def is_mixed(self) -> str:
        """Whether more than one leg is to be followed, as an expression."""
        if self.plain is None:
            return "true" if self.legs else "false"
        # Neo4j keeps the number of relationships of each type.
        return f"COUNT {{ ()-[{self.rare}]->() }} > 0" if self.rare else "false"


def legs_of(schema: Schema, relations: Sequence[str] | None, way: Way) -> Legs:
    """As `graph.trails.trails_of`. NotFoundError RELATION_UNKNOWN."""
    trails = trails_of(schema, relations, way)
    legs = tuple(leg for trail in trails if (leg := _leg(schema, trail)) is not None)
    if len(legs) == 1 or len({leg.way for leg in legs}) == 1:
        return Legs(legs, legs[0] if relations is not None else Leg("", legs[0].way))
    both = [leg for leg in legs if leg.way is Way.BOTH]
    others = [leg for leg in legs if leg.way is not Way.BOTH]
    if len(both) == len(others) == 1:
        return Legs(legs, others[0] if relations is not None else Leg("", way), both[0].types)
    return Legs(legs)


def _leg(schema: Schema, trail: Trail) -> Leg | None:
    """None where nothing is followed."""
    pairs = zip(schema.relations, trail.relations.tolist(), strict=True)
    names = [quoted(each.name) for each, is_in in pairs if is_in and each.inverse_of is None]
    return Leg(":" + "|".join(sorted(names)), trail.way) if names else None


def walked(script: Script, leg: Leg | None, depth_max: int | None, further: str = "true") -> str:
    """Clauses that walk from `starts`, a list of nodes, to twins in sight, unless it is `mixed`.

    They give `depths`, and beside it `levels`: lists of the twins first met at each depth; the starts, and
    those for which a further condition on `n` does not hold, are left out.
    """
    if leg is None:
        return "WITH [] AS depths, [] AS levels"
    bound = "" if depth_max is None else str(depth_max)
    return f"""WITH starts, mixed WHERE NOT mixed UNWIND starts AS s
MATCH p = {leg.pattern("s", "", "n", f"*0..{bound}")} WHERE all(x IN nodes(p) WHERE {script.here("x")})
WITH n, min(length(p)) AS depth WHERE depth > 0 AND {further}
WITH n, depth LIMIT {script.value(MET_MAX + 1)}
{_GATHERED}"""


_GATHERED: Final = """WITH depth, collect(n) AS level ORDER BY depth
WITH collect(depth) AS depths, collect(level) AS levels"""


def gathered(levels: str, further: str = "true") -> str:
    """The same of lists of numbers of nodes, one for each depth from 1 on."""
    return f"""UNWIND range(0, size({levels}) - 1) AS place UNWIND {levels}[place] AS number
MATCH (n) WHERE id(n) = number AND {further}
WITH n, place + 1 AS depth
{_GATHERED}"""


def next_level(script: Script, legs: Sequence[Leg], frontier: str) -> str:
    """A statement that gives, by leg, the numbers of the twins in sight one step from a list of them."""
    here = script.here("b")
    parts = [
        f"""CALL () {{ UNWIND {frontier} AS number MATCH (a) WHERE id(a) = number
MATCH {leg.pattern("a", "", "b")} WHERE {here} RETURN collect(DISTINCT id(b)) AS f{place} }}"""
        for place, leg in enumerate(legs)
    ]
    return "\n".join([*parts, "RETURN " + ", ".join(f"f{place}" for place in range(len(legs)))])


def first_of(levels: str, size: str, row: str) -> str:
    """A subquery: rows of the first so many twins of `depths` and a list of levels, by depth, then id.

    row: an expression over `n` and `depth`. It gives `page`.
    """
    return f"""CALL (depths, {levels}) {{
WITH [level IN {levels}[..{size}] | size(level)] AS sizes, depths, {levels}
UNWIND range(0, size(sizes) - 1) AS place
WITH depths[place] AS depth, {levels}[place] AS level,
reduce(before = 0, at IN range(0, place - 1) | before + sizes[at]) AS before
WHERE before < {size}
UNWIND level AS n
WITH n, depth ORDER BY depth, n.id LIMIT {size}
RETURN collect({row}) AS page }}"""
