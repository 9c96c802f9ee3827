"""What a search for paths (`graph.shortest`) needs of Neo4j: the twins that lie on ways of some length, how
far each is from the end, and where one can go from each. Numbers are those that Neo4j gives to nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from graph.routing import REVERSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.stores.neo4j.script import Script
    from graph.stores.neo4j.walks import Leg

# Twins that lie on the ways among which paths are searched: they are held here meanwhile.
BETWEEN_MAX: Final = 50_000


def reversed_legs(legs: Sequence[Leg]) -> tuple[Leg, ...]:
    """The same, walked back."""
    return tuple(replace(leg, way=REVERSED[leg.way]) for leg in legs)


def length_between(script: Script, leg: Leg) -> str:
    """Clauses from `starts` and `ends`, of one node each, to `lengths`: of the shortest path, if there is."""
    return f"""WITH starts[0] AS source, ends[0] AS target
WHERE size(starts) = 1 AND size(ends) = 1 AND source <> target AND NOT mixed
MATCH p = ANY SHORTEST (source)({leg.pattern("a", "", "b")} WHERE {script.here("b")})+(target)
WITH collect(length(p)) AS lengths"""


def between(script: Script, leg: Leg, source: str, target: str, length_max: int | None) -> str:
    """Two lists of as many: numbers of twins on ways of at most that length, steps from each to the end."""
    bound = "" if length_max is None else str(length_max)
    here, most = script.here("x"), script.value(BETWEEN_MAX + 1)
    [back] = reversed_legs([leg])
    fits = "far IS NOT NULL AND rest IS NOT NULL" if length_max is None else f"far + rest <= {length_max}"
    return f"""CALL () {{ MATCH (s) WHERE id(s) = {source}
MATCH p = {leg.pattern("s", "", "n", f"*0..{bound}")} WHERE all(x IN nodes(p) WHERE {here})
WITH n, min(length(p)) AS steps RETURN n, steps AS far, null AS rest
UNION ALL MATCH (s) WHERE id(s) = {target}
MATCH p = {back.pattern("s", "", "n", f"*0..{bound}")} WHERE all(x IN nodes(p) WHERE {here})
WITH n, min(length(p)) AS steps RETURN n, null AS far, steps AS rest }}
WITH n, min(far) AS far, min(rest) AS rest WHERE {fits}
WITH n, rest LIMIT {most}
RETURN collect(id(n)), collect(rest)"""


def ways_among(legs: Sequence[Leg], numbers: str) -> str:
    """The numbers in the order of the twins' ids; by leg, from where one can go, and lists of where to."""
    parts = [
        f"""CALL () {{ UNWIND {numbers} AS number MATCH (n) WHERE id(n) = number
WITH n ORDER BY n.id RETURN collect(id(n)) AS ordered }}"""
    ]
    for place, leg in enumerate(legs):
        parts.append(f"""CALL () {{ UNWIND {numbers} AS number MATCH (x) WHERE id(x) = number
MATCH {leg.pattern("x", "", "y")} WHERE id(y) IN {numbers}
WITH number, collect(DISTINCT id(y)) AS others
RETURN collect(number) AS from{place}, collect(others) AS to{place} }}""")
    told = [f"from{place}, to{place}" for place in range(len(legs))]
    return "\n".join([*parts, "RETURN " + ", ".join(["ordered", *told])])


def links_between(legs: Sequence[Leg], pairs: str, link: str, far: str, row: str) -> str:
    """All relationships along the legs between the two twins of each pair, as rows. row: an expression."""
    found = [
        f"""UNWIND range(0, size({pairs}) - 1) AS place
MATCH (x) WHERE id(x) = {pairs}[place][0] MATCH {leg.pattern("x", link, far)}
WHERE id({far}) = {pairs}[place][1] RETURN {row} AS row"""
        for leg in legs
    ]
    return f"CALL () {{ CALL () {{ {' UNION ALL '.join(found)} }} RETURN collect(row) AS links }}"
