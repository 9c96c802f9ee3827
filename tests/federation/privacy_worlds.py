"""Columns for the tests of private aggregates, and a sound test that two distributions are epsilon apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from federation.privacy.question import (
    Aggregate,
    Allowance,
    Bounds,
    BoundsFrom,
    Column,
    Question,
)

DAY_NS = 86_400 * 10**9
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2
UNIT = Bounds(0.0, 1.0, BoundsFrom.SCHEMA)


def column_of(groups, twins=None):
    """A column from lists of values, one list for each group; every row a twin of its own unless told."""
    values = np.array([value for group in groups for value in group], np.float64)
    codes = np.repeat(np.arange(len(groups)), [len(group) for group in groups]).astype(np.int32)
    owners = np.arange(len(values)) if twins is None else np.asarray(twins)
    return Column(values, np.ones(len(values), np.bool_), codes, owners.astype(np.int64))


def question_of(aggregate=Aggregate.SUM, *, groups=("all",), epsilon=1.0, bounds=UNIT, **more):
    chosen = None if aggregate is Aggregate.COUNT else bounds
    share = {"quantile": 0.5} if aggregate is Aggregate.QUANTILE else {}
    return Question(
        aggregate, "ratedPower of brick:Pump", tuple(groups), epsilon, chosen, **{**share, **more}
    )


def allowance_of(epsilon=1.0, *, partner="supplier", days=30, size=5):
    return Allowance(partner, round(epsilon * 1_000_000), days, size)


@dataclass(frozen=True)
class Apart:
    """How far apart two distributions surely are: the log of the largest ratio of chances that is proven."""

    epsilon: float
    event: str


def surely_apart(first, second, chance=1e-9):
    """A lower bound on the epsilon of what drew the samples, wrong with at most this chance (NaN: hidden).

    Events are fixed on the first quarter of the samples and counted on the rest, where the chance of each
    lies within bounds of Clopper and Pearson; Bonferroni over all of them. So it never blames noise.
    """
    cut = len(first) // 4
    pilot = np.concatenate((first[:cut], second[:cut]))
    seen = pilot[~np.isnan(pilot)]
    cuts = np.unique(np.quantile(seen, np.linspace(0.01, 0.99, 50))) if len(seen) else np.zeros(0)
    events = [("shown", lambda x: ~np.isnan(x)), ("suppressed", np.isnan)]
    events += [(f"<= {c}", lambda x, c=c: x <= c) for c in cuts] + [
        (f"> {c}", lambda x, c=c: x > c) for c in cuts
    ]
    each = chance / (4 * len(events))
    best = Apart(0.0, "none")
    for name, event in events:
        hits = [int(event(side[cut:]).sum()) for side in (first, second)]
        draws = [len(side) - cut for side in (first, second)]
        for one, other in ((0, 1), (1, 0)):
            low = beta.ppf(each, hits[one], draws[one] - hits[one] + 1) if hits[one] else 0.0
            high = (
                beta.ppf(1 - each, hits[other] + 1, draws[other] - hits[other])
                if hits[other] < draws[other]
                else 1.0
            )
            if low > 0.0 and np.log(low / high) > best.epsilon:
                best = Apart(float(np.log(low / high)), name)
    return best
