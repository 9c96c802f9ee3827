"""Paths of groups in Cypher: the twins at the ends of `graph.plan.Step`s, as `graph.paths` follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.plan import Match
from graph.stores.neo4j.anchors import found
from graph.values import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.plan import Grouping, Step
    from graph.stores.neo4j.script import Script


def ends(script: Script, grouping: Grouping, steps: Sequence[Step], start: str) -> str:
    """A list of the ids at the end of a path from a twin, each once. Raises as `Script.ask`."""
    clauses, end = _walked(script, steps, _ways(script, grouping, steps), start)
    return f"COLLECT {{ {clauses} RETURN DISTINCT {end}.id }}"


def _ways(script: Script, grouping: Grouping, steps: Sequence[Step]) -> list[Way]:
    """The way of each step. `^` where the twins have the relation only outwards is read as the relation
    itself: see `graph.paths`. What they have is looked up, because it decides what the path means."""
    ways: list[Way] = []
    for place, step in enumerate(steps):
        is_turned = step.way is Way.IN and not _leads(script, grouping, steps[: place + 1], [*ways, Way.IN])
        ways.append(Way.OUT if is_turned else step.way)
    return ways


def _leads(script: Script, grouping: Grouping, steps: Sequence[Step], ways: Sequence[Way]) -> bool:
    """Whether any twin of the aggregate has a relationship for the last step."""
    probe = script.apart()
    matched = found(probe, Match(grouping.kind, grouping.where))
    clauses, end = _walked(probe, steps[:-1], ways, "n")
    other = probe.variable("m")
    hop = probe.hop(end, steps[-1].relation, ways[-1], "", other)
    text = f"{matched.clauses} {clauses} MATCH {hop} WHERE {probe.here(other)} WITH 1 AS one LIMIT 1"
    [count] = script.ask(f"{text} RETURN count(one)", probe.values)
    return count > 0


def _walked(script: Script, steps: Sequence[Step], ways: Sequence[Way], start: str) -> tuple[str, str]:
    """(clauses, variable of the twins at the end)."""
    clauses: list[str] = []
    for step, way in zip(steps, ways, strict=False):
        end = script.variable("m")
        write = _repeated if step.until_kind else _once
        pattern = write(script, step, way, start, end)
        clauses.append(f"MATCH {pattern} WITH DISTINCT {end}")
        start = end
    return " ".join(clauses), start


def _once(script: Script, step: Step, way: Way, start: str, end: str) -> str:
    return f"{script.hop(start, step.relation, way, '', end)} WHERE {script.here(end)}"


def _repeated(script: Script, step: Step, way: Way, start: str, end: str) -> str:
    """Again and again until twins of the kind are met, and not beyond them. Of all ways to a twin one is
    enough: to list them takes for ever where there are many."""
    label = script.kind(step.until_kind or "")
    one, other = script.variable("m"), script.variable("m")
    hop = script.hop(one, step.relation, way, "", other)
    return f"SHORTEST 1 ({start}) ({hop} WHERE NOT {one}{label} AND {script.here(other)})* ({end}{label})"
