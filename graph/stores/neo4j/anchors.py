"""Where a search begins. Neo4j looks into its index for an id, but not through an EXISTS: a filter along
relations that ends at a known twin is walked from that twin, instead of asked of every candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.plan import And, LinkTest, Operator, Quantifier, TextField, TextTest
from graph.stores.neo4j.predicates import condition, link_condition

if TYPE_CHECKING:
    from graph.plan import Match, Predicate
    from graph.stores.neo4j.script import Script

# Longer chains are left to EXISTS.
_STEPS_MAX = 12


@dataclass(frozen=True, slots=True)
class Found:
    """Clauses that find each twin once, as `n`."""

    clauses: str
    is_walked: bool

    @property
    def count(self) -> str:
        """How many these are, as an expression."""
        return f"COUNT {{ {self.clauses} RETURN n }}" if self.is_walked else f"COUNT {{ {self.clauses} }}"


def found(script: Script, match: Match, *further: str) -> Found:
    """The twins in sight that a plan matches. further: conditions on `n`. Raises as `condition`."""
    parts = [] if match.kind is None else [f"n{script.kind(match.kind)}"]
    here = script.here("n", is_labelled=match.kind is not None)
    parts += [*(() if here == "true" else (here,)), *further]
    anchor = _anchor(match.where)
    if anchor is None:
        if match.where is not None:
            parts.append(condition(script, "n", match.where))
        return Found(f"MATCH (n:Entity) WHERE {' AND '.join(parts)}", is_walked=False)
    return Found(f"{_walked(script, 'n', match.where, parts)} WITH DISTINCT n", is_walked=True)


def _walked(script: Script, variable: str, where: Predicate | None, parts: list[str]) -> str:
    """Clauses that lead from the known twin to `variable`, which fulfils `where` and further conditions."""
    anchor, others = _anchor(where), _parts(where)
    if anchor is None:
        tests = [condition(script, variable, each) for each in others]
        return f"MATCH ({variable}:Entity) WHERE {' AND '.join([*tests, *parts])}"
    others = [each for each in others if each is not anchor]
    link, other = script.variable("r"), script.variable("m")
    before = _walked(script, other, anchor.twin, [script.here(other)])
    tests = [link_condition(script, link, each) for each in anchor.link]
    tests += [condition(script, variable, each) for each in others]
    pattern = script.hop(variable, anchor.relation, anchor.way, link, other)
    wanted = " AND ".join([*parts, *tests]) or "true"
    return f"{before} WITH DISTINCT {other} MATCH {pattern} WHERE {wanted}"


def _parts(where: Predicate | None) -> list[Predicate]:
    """What must hold together."""
    if where is None:
        return []
    if isinstance(where, And):
        return [each for part in where.parts for each in _parts(part)]
    return [where]


def _anchor(where: Predicate | None, steps: int = 0) -> LinkTest | None:
    """The test among these that leads to a known twin; None where there is none, or where this is known."""
    parts = _parts(where)
    if steps > _STEPS_MAX or any(map(_is_known, parts)):
        return None
    for each in parts:
        if not isinstance(each, LinkTest) or each.quantifier is not Quantifier.SOME:
            continue
        if _leads(each.twin, steps + 1):
            return each
    return None


def _leads(where: Predicate | None, steps: int) -> bool:
    return any(map(_is_known, _parts(where))) or _anchor(where, steps) is not None


def _is_known(part: Predicate) -> bool:
    """Whether only twins of some ids fulfil it."""
    if not isinstance(part, TextTest) or part.field is not TextField.ID:
        return False
    return any(each.operator in (Operator.EQ, Operator.IN) for each in part.comparisons)
