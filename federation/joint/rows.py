"""What of one server's Impact goes to another, and how both become one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from federation.joint.wire import Row, Rows
from simulation.result import FirstHit, TwinImpact
from simulation.world import FULL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from federation.coarse import Coarse
    from federation.joint.cascading import CascadeSite
    from federation.masks import Masks
    from graph.snapshot import Snapshot

_PRICED = {"valuePerHour", "repairCost"}
"""A cost tells both; where a contract names both, it tells costs."""


def shown_rows(
    site: CascadeSite,
    snapshot: Snapshot,
    masks: Masks,
    rows_max: int,
    coarse: Coarse,
    named: Snapshot | None = None,
) -> Rows:
    """Twins that are hit and shown, costliest first where costs are told, else by probability.

    named: the same rows by the ids that the reader is told, None: our own.
    """
    known = named or snapshot
    stated, priced = masks.attributes, masks.attributes >= _PRICED
    impact = site.impact(lambda owner, _: "")
    hit = ((twin, snapshot.row(twin.id)) for twin in impact.impacts)
    shown = [replace(twin, id=known.id(row)) for twin, row in hit if row >= 0 and masks.shown[row]]
    shown.sort(key=lambda twin: (-twin.expected_cost if priced else 0.0, -twin.probability, twin.id))
    return Rows([_row(twin, stated, coarse, priced=priced) for twin in shown[:rows_max]])


def _row(twin: TwinImpact, named: frozenset[str], coarse: Coarse, *, priced: bool) -> Row:
    hours = twin.first_hit_hours
    first = tuple(coarse.hours(each, up=False) for each in (hours.mean, hours.p05, hours.p50, hours.p95))
    local_id = twin.local_id if "localId" in named else twin.id
    return Row(
        id=twin.id,
        local_id=local_id,
        name=twin.name if "name" in named else None,
        kind=twin.kind,
        site=twin.site,
        probability=twin.probability,
        first_hit=(first[0], first[1], first[2], first[3]),
        down_hours=coarse.hours(twin.expected_down_hours, up=True),
        min_level=coarse.level(round(twin.min_level * FULL), up=False) / FULL
        if coarse.levels
        else twin.min_level,
        cost=twin.expected_cost if priced else None,
        why=[local_id],
    )


def is_sound(row: Row, bases: Iterable[str]) -> bool:
    """Whether a partner's row is about a twin of its own, with numbers that can be."""
    amounts = (*row.first_hit, row.down_hours, row.cost or 0.0)
    shares = (row.probability, row.min_level)
    return (
        row.id.startswith(tuple(bases))
        and all(math.isfinite(amount) and amount >= 0 for amount in amounts)
        and all(0 <= share <= 1 for share in shares)
    )


def told_twin(row: Row, partner: str) -> TwinImpact:
    """A partner's row as one of an Impact."""
    return TwinImpact(
        id=row.id,
        local_id=row.local_id,
        name=row.name,
        kind=row.kind,
        site=row.site,
        probability=row.probability,
        first_hit_hours=FirstHit(*row.first_hit),
        expected_down_hours=row.down_hours,
        min_level=row.min_level,
        expected_cost=row.cost or 0.0,
        uncertain=False,
        probability_high=None,
        why=(*row.why,),
        delta=None,
        partner=partner,
        is_priced=row.cost is not None,
    )
