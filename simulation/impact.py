"""Impact: what a scenario does to whom, when, how probably, at what cost, and why (INTERFACE section 4)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from simulation.cascade.montecarlo import run_case
from simulation.compile import compile_case
from simulation.explain import Explanation
from simulation.network import has_unknown
from simulation.result import Delta, FirstHit, Impact, Summary, TwinImpact
from simulation.world import FULL, HOUR_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event

    from graph.snapshot import Snapshot
    from simulation.cascade.montecarlo import Outcome
    from simulation.compile import Compiled
    from simulation.scenario import Scenario
    from simulation.world import Int64s

__all__ = ["Delta", "FirstHit", "Impact", "Summary", "TwinImpact", "simulate"]

_LEVEL_DIGITS = 6  # levels are counted in 2^-20
_SHARE_DIGITS = 12
_COST_DIGITS = 3  # costs are counted in thousandths


def simulate(
    snapshot: Snapshot,
    scenario: Scenario,
    *,
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
    cancel: Event | None = None,
    against_baseline: bool = False,
) -> Impact:
    """What a scenario does to the twins of a snapshot: equal inputs give equal bytes, on any threads.

    threads: default one for each processor this process may use. progress takes the share done, 0 to 1.
    against_baseline: adds differences to the same world without the events, under the same draws.

    Where relationships of unknown direction could matter, a second pass lets them carry dependence both ways:
    a twin whose probability is higher then is `uncertain` and has `probability_high`.

    Raises what `compile_case` and `run_case` raise: InputError, NotFoundError and LimitError with code and
    place, TwinmeshError CANCELLED soon after `cancel` is set.
    """
    cases = [compile_case(snapshot, scenario)]
    high = _case_of_unknown(snapshot, scenario, cases[0])
    cases += [high] if high else []
    cases += [compile_case(snapshot, replace(scenario, events=()))] if against_baseline else []
    told: list[Impact] = []
    for number, compiled in enumerate(cases):
        share = None if progress is None else _share_of(progress, number, len(cases))
        outcome = run_case(compiled.case, scenario.runs, threads=threads, progress=share, cancel=cancel)
        told.append(tell(compiled, outcome, scenario))
    impact = with_uncertainty(told[0], told[1]) if high else told[0]
    return with_differences(impact, told[-1]) if against_baseline else impact


def with_uncertainty(impact: Impact, high: Impact) -> Impact:
    """Mark the twins whose probability is higher in the pass with relationships of unknown direction.

    One that only that pass hits is told with probability and cost 0, and with that pass's times and causes.
    """
    by_id = {twin.id: twin for twin in high.impacts}
    told = {twin.id for twin in impact.impacts}
    marked = [_marked(twin, by_id.get(twin.id)) for twin in impact.impacts]
    marked += [_only_high(twin) for twin in high.impacts if twin.id not in told]
    return replace(impact, impacts=ranked(marked))


def with_differences(impact: Impact, baseline: Impact) -> Impact:
    """Add the differences to a baseline under the same draws; twins that only that one hits are told too."""
    before = {twin.id: twin for twin in baseline.impacts}
    told = {twin.id for twin in impact.impacts}
    twins = [*impact.impacts, *(_spared(twin) for twin in baseline.impacts if twin.id not in told)]
    ours, theirs = impact.summary, baseline.summary
    summary = replace(
        ours,
        delta_twins_hit=ours.twins_hit - theirs.twins_hit,
        delta_expected_cost=round(ours.expected_cost - theirs.expected_cost, _COST_DIGITS),
    )
    changed = [replace(twin, delta=_delta(twin, before.get(twin.id))) for twin in twins]
    return replace(impact, summary=summary, impacts=ranked(changed))


def nearest_rank(ordered: Int64s, percent: int) -> int:
    """The smallest value that at least `percent` in 100 of the values do not exceed; values ascend."""
    rank = -(-percent * len(ordered) // 100)
    return int(ordered[max(rank, 1) - 1])


def _case_of_unknown(snapshot: Snapshot, scenario: Scenario, estimate: Compiled) -> Compiled | None:
    """The case in which unknown directions count; None where it would be the same."""
    if not has_unknown(snapshot):
        return None
    compiled = compile_case(snapshot, scenario, unknown=True)
    same = np.array_equal(compiled.case.world.edge_key, estimate.case.world.edge_key)
    return None if same and compiled.ids == estimate.ids else compiled


def _share_of(progress: Callable[[float], None], number: int, passes: int) -> Callable[[int, int], None]:
    return lambda done, runs: progress((number + done / runs) / passes)


def tell(
    compiled: Compiled, outcome: Outcome, scenario: Scenario, name_of: Callable[[int], str] | None = None
) -> Impact:
    """The numbers of one pass in words. name_of: what `why` calls a node; default its local id."""
    snapshot = compiled.nodes.snapshot
    hours = scenario.horizon_hours
    return Impact(
        scenario=scenario.name,
        seed=scenario.seed,
        runs=scenario.runs,
        runs_computed=outcome.runs,
        horizon_hours=int(hours) if hours.is_integer() else hours,
        engine="levels",
        revisions=dict(zip(snapshot.sites, snapshot.revisions, strict=True)),
        ontology=snapshot.schema.version,
        completeness="FULL",
        summary=_summary(outcome),
        impacts=ranked(_twin_impacts(compiled, outcome, name_of)),
    )


def _summary(outcome: Outcome) -> Summary:
    ordered = np.sort(outcome.run_cost)
    return Summary(
        twins_hit=int((outcome.hits > 0).sum()),
        expected_cost=_mean_cost(sum(map(int, outcome.run_cost)), outcome.runs),
        cost_p05=nearest_rank(ordered, 5) / 1000,
        cost_p95=nearest_rank(ordered, 95) / 1000,
    )


def _twin_impacts(
    compiled: Compiled, outcome: Outcome, name_of: Callable[[int], str] | None
) -> Iterator[TwinImpact]:
    nodes, node = compiled.nodes, compiled.node
    explanation = Explanation(outcome.paths, compiled.case.world.edge_source, compiled.ids)

    @cache
    def called(twin: int) -> str:
        return (name_of or nodes.local_id)(int(node[twin]))

    for twin in np.flatnonzero(outcome.hits).tolist():
        here = int(node[twin])
        yield TwinImpact(
            id=compiled.ids[twin],
            local_id=nodes.local_id(here),
            name=nodes.name(here),
            kind=nodes.kind_name(here),
            site=nodes.site(here),
            probability=int(outcome.hits[twin]) / outcome.runs,
            first_hit_hours=_first_hit(outcome, twin),
            expected_down_hours=outcome.down.total(twin) / (outcome.runs * HOUR_US),
            min_level=round(int(outcome.lowest[twin]) / FULL, _LEVEL_DIGITS),
            expected_cost=_mean_cost(outcome.cost.total(twin), outcome.runs),
            uncertain=False,
            probability_high=None,
            why=tuple(map(called, explanation.why(twin))),
        )


def _first_hit(outcome: Outcome, twin: int) -> FirstHit:
    times = outcome.first_us[int(outcome.first_of[twin]) : int(outcome.first_of[twin + 1])]
    total = (int((times >> 32).sum()) << 32) + int((times & 0xFFFFFFFF).sum())
    return FirstHit(
        mean=total / (len(times) * HOUR_US),
        p05=nearest_rank(times, 5) / HOUR_US,
        p50=nearest_rank(times, 50) / HOUR_US,
        p95=nearest_rank(times, 95) / HOUR_US,
    )


def _mean_cost(thousandths: int, runs: int) -> float:
    """Mean over the runs, to whole thousandths, half up."""
    return (2 * thousandths + runs) // (2 * runs) / 1000


def _marked(twin: TwinImpact, high: TwinImpact | None) -> TwinImpact:
    if high is None or high.probability <= twin.probability:
        return twin
    return replace(twin, uncertain=True, probability_high=high.probability)


def _only_high(twin: TwinImpact) -> TwinImpact:
    return replace(_spared(twin), uncertain=True, probability_high=twin.probability)


def _spared(twin: TwinImpact) -> TwinImpact:
    """The same twin, not hit."""
    return replace(twin, probability=0.0, expected_down_hours=0.0, min_level=1.0, expected_cost=0.0)


def _delta(twin: TwinImpact, before: TwinImpact | None) -> Delta:
    if before is None:
        return Delta(twin.probability, twin.expected_down_hours, twin.expected_cost)
    return Delta(
        round(twin.probability - before.probability, _SHARE_DIGITS),
        round(twin.expected_down_hours - before.expected_down_hours, _SHARE_DIGITS),
        round(twin.expected_cost - before.expected_cost, _COST_DIGITS),
    )


def ranked(impacts: Iterable[TwinImpact]) -> tuple[TwinImpact, ...]:
    """By expected cost and probability, both falling, then by id."""
    return tuple(sorted(impacts, key=lambda twin: (-twin.expected_cost, -twin.probability, twin.id)))
