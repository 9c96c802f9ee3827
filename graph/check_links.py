"""Violations that only show between records: cycles of parts, groups that disagree, ends of a wrong kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from graph.bulk_suspects import GROUP_ATTRIBUTES, Suspects, existing_links, find_suspects
from graph.draft import same_value
from graph.values import Way
from ontology.errors import Place, Problem
from ontology.schema import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from graph.bulk_drafting import BulkDraft
    from graph.draft import EdgeDraft
    from graph.edge_drafting import EdgeDrafter
    from graph.state import State
    from graph.twin_drafting import TwinDrafter
    from graph.values import Value
    from ontology.schema import Schema

_OF_GROUPS = frozenset((*GROUP_ATTRIBUTES, "medium"))  # what may bring a disagreement about
_CYCLE_SHOWN = 8  # twins of a cycle that its message names


def check_links(
    state: State, schema: Schema, twins: TwinDrafter, edges: EdgeDrafter, bulk: BulkDraft | None = None
) -> list[Problem]:
    """All violations of drafts that are sound one by one."""
    drafts = list(edges.drafts.values())
    view = View(state, schema, twins, edges, drafts)
    suspects = Suspects() if bulk is None else find_suspects(view, bulk)
    new = [draft for draft in drafts if not draft.living]
    changed = [draft for draft in drafts if draft.changed]
    ends = _end_problems(view, [*suspects.ends, *new])
    cycles = _cycle_problems(view, [*suspects.cycles, *new])
    grouped = replace(view, drafts=[*suspects.groups, *drafts])
    return [*ends, *cycles, *_group_problems(grouped, [*suspects.groups, *changed])]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The graph as it would be."""

    state: State
    schema: Schema
    twins: TwinDrafter
    edges: EdgeDrafter
    drafts: Sequence[EdgeDraft]

    def iri(self, row: int) -> str:
        known = self.state.twins.ids
        return known.iri(row) if row < len(known) else self.twins.iri_of_new(row)

    def kinds(self, row: int) -> tuple[int, ...]:
        found = (self.schema.kind_by_iri(iri) for iri in self.twins.kinds_of(row))
        return tuple(kind.index for kind in found if kind is not None)

    def key(self, draft: EdgeDraft) -> str:
        relation = self.schema.relations[draft.relation].name
        return " ".join(filter(None, (self.iri(draft.source), relation, self.iri(draft.target), draft.group)))


# Ends


def _end_problems(view: View, drafts: Iterable[EdgeDraft]) -> Iterator[Problem]:
    """Only our own relations are strict about their ends; real models stretch Brick's."""
    for draft in drafts:
        relation = view.schema.relations[draft.relation]
        if relation.vocabulary == "tm":
            yield from _end_problem(view, draft, draft.source, relation.domain)
            yield from _end_problem(view, draft, draft.target, relation.range)


def _end_problem(view: View, draft: EdgeDraft, row: int, allowed: Sequence[int]) -> Iterator[Problem]:
    if not allowed:
        return
    schema = view.schema
    kinds = view.kinds(row)
    open_ended = any(kind == schema.external_kind or schema.kinds[kind].placeholder for kind in kinds)
    if open_ended or any(schema.is_a(kind, wanted) for kind in kinds for wanted in allowed):
        return
    names = " or ".join(schema.kinds[kind].name for kind in allowed)
    relation = schema.relations[draft.relation].name
    message = f"{relation} needs a {names} here, {view.iri(row)} is none"
    hint = f"look which way round {relation} runs, and what {view.iri(row)} is"
    yield Problem("END_KIND", message, Place(item=view.key(draft)), hint)


# Cycles


def _cycle_problems(view: View, drafts: Iterable[EdgeDraft]) -> list[Problem]:
    """No twin may be part of itself, over any number of steps of acyclic relations."""
    acyclic = np.array([relation.acyclic for relation in view.schema.relations])
    new = [draft for draft in drafts if acyclic[draft.relation]]
    if not new:
        return []
    above: dict[int, list[int]] = {}
    sources, targets = existing_links(view, np.array(sorted({draft.target for draft in new})), acyclic)
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        above.setdefault(source, []).append(target)
    for draft in new:
        above.setdefault(draft.source, []).append(draft.target)
    cycle = _find_cycle(above)
    if not cycle:
        return []
    names = " -> ".join(view.iri(row) for row in (*cycle[:_CYCLE_SHOWN], cycle[0]))
    steps = set(pairwise((*cycle, cycle[0])))
    closing = [draft for draft in new if (draft.source, draft.target) in steps]
    message = f"these would be parts of themselves: {names}"
    hint = "a whole cannot be part of its part: leave out one of these relationships"
    return [Problem("PART_OF_CYCLE", message, Place(item=view.key(closing[-1])), hint)]


def _find_cycle(above: dict[int, list[int]]) -> list[int]:
    """The rows of one cycle, or nothing. Depth first, without recursion: part trees of users may be deep."""
    done: set[int] = set()
    for start in above:
        if start in done:
            continue
        path, on_path = [start], {start}
        branches = [iter(above[start])]
        while path:
            step = next(branches[-1], None)
            if step is None:
                branches.pop()
                done.add(path[-1])
                on_path.discard(path.pop())
            elif step in on_path:
                return path[path.index(step) :]
            elif step not in done:
                path.append(step)
                on_path.add(step)
                branches.append(iter(above.get(step, ())))
    return []


# Need groups


@dataclass(frozen=True, slots=True)
class _Group:
    """A need group. Without a name there is one per relation and medium."""

    dependent: int
    relation: int
    name: str
    medium: str | None


def _group_problems(view: View, drafts: Iterable[EdgeDraft]) -> list[Problem]:
    """Rows of one need group agree on what belongs to the group, or leave it empty."""
    stating = [draft for draft in drafts if not _OF_GROUPS.isdisjoint(draft.values)]
    if not stating:
        return []
    wanted = {group for draft in stating if (group := _group_of_draft(view, draft)) is not None}
    first_stated: dict[tuple[_Group, str], tuple[Value, str]] = {}
    problems: list[Problem] = []
    for group, name, value, item in _group_statements(view, wanted):
        first, where = first_stated.setdefault((group, name), (value, item))
        if not same_value(first, value):
            message = f"{name} is {value.value!r} here and {first.value!r} at {where}, in one need group"
            hint = "state it once, or equally in every row of the group, or name different groups"
            problems.append(Problem("GROUP_DISAGREES", message, Place(item=item), hint))
    return problems


def _group_statements(view: View, wanted: set[_Group]) -> Iterator[tuple[_Group, str, Value, str]]:
    """(group, attribute, value, where) of all rows of some groups; those that stay as they are come first."""
    state = view.state
    drafts = view.drafts
    untouchable = {draft.edge for draft in drafts} | view.edges.removed.keys()
    dependents = sorted({group.dependent for group in wanted if group.dependent < state.twins.size})
    for edge in np.unique(state.expand(np.array(dependents, np.int32), Way.BOTH)[0]).tolist():
        group = None if edge in untouchable else _group_of_edge(view, edge)
        if group in wanted:
            for name in GROUP_ATTRIBUTES:
                value = state.edges.attributes.value(name, edge)
                if value is not None:
                    yield group, name, value, state.edge_iri(edge)
    for draft in drafts:
        group = _group_of_draft(view, draft)
        if group in wanted:
            for name in GROUP_ATTRIBUTES:
                value = _drafted_value(view, draft, name)
                if value is not None:
                    yield group, name, value, view.key(draft)


def _drafted_value(view: View, draft: EdgeDraft, name: str) -> Value | None:
    if name in draft.values or not draft.living:
        return draft.values.get(name)
    return view.state.edges.attributes.value(name, draft.edge)


def _group_of_draft(view: View, draft: EdgeDraft) -> _Group | None:
    medium = _drafted_value(view, draft, "medium")
    return _group(view, draft.source, draft.relation, draft.target, draft.group, medium)


def _group_of_edge(view: View, edge: int) -> _Group | None:
    edges = view.state.edges
    ends: tuple[int, int, int] = edges.source.at(edge), edges.relation.at(edge), edges.target.at(edge)
    name = view.state.pools.texts.value(edges.group.at(edge)) or ""
    return _group(view, *ends, name, edges.attributes.value("medium", edge))


def _group(
    view: View, source: int, relation: int, target: int, name: str, medium: Value | None
) -> _Group | None:
    """The need group of a relationship; None where its relation carries no dependence."""
    dependence = view.schema.relations[relation].dependence
    if dependence is None:
        return None
    forward = dependence.direction is Direction.SOURCE_TO_TARGET
    dependent, supplier = (target, source) if forward else (source, target)
    if name:
        return _Group(dependent, relation, name, None)
    given = str(medium.value) if medium is not None else _given_medium(view, supplier)
    return _Group(dependent, relation, "", given)


def _given_medium(view: View, row: int) -> str | None:
    kinds = view.kinds(row)
    return view.schema.kinds[kinds[0]].medium if kinds else None
