"""One rule over the points of one site: which of them are in alarm, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.binding import Pattern
from graph.quality import severities, usable
from graph.snapshot import read_word
from graph.times import NS_PER_S
from graph.values import ValueType
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    import numpy.typing as npt

    from adapters.alarm_rules import AlarmRule
    from graph.snapshot import Snapshot
    from graph.values import Readings

    Booleans = npt.NDArray[np.bool_]


class RuleWatch:
    """rows int32[m]: the points, ascending. active bool[m]: in alarm. since_ns int64[m]: when what is not yet
    an alarm began; 0: nothing began."""

    def __init__(self, rule: AlarmRule, snapshot: Snapshot) -> None:
        self.rule = rule
        self.rows = np.zeros(0, np.int32)
        self.active = np.zeros(0, np.bool_)
        self.since_ns = np.zeros(0, np.int64)
        self._values: list[dict[str, str]] = []
        self.follow(snapshot)

    def follow(self, snapshot: Snapshot) -> None:
        """The points as the graph stands now; what is known of those that stay is kept."""
        rows, values = _matching(self.rule, snapshot)
        active, since_ns = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
        known, here = np.intersect1d(rows, self.rows, return_indices=True)[1:]
        active[known], since_ns[known] = self.active[here], self.since_ns[here]
        self.rows, self.active, self.since_ns, self._values = rows, active, since_ns, values
        self._inputs = self._find_inputs(snapshot)

    def judge(self, snapshot: Snapshot, readings: Readings) -> tuple[Booleans, Booleans]:
        """(raised, cleared): bool[m] each; both where a point went in and out within the batch.

        Of a condition over several points the state after the batch counts.
        """
        if self.rule.when is not None:
            touched = np.isin(self._involved, readings.points).any()
            return self._judge_state(snapshot) if touched else self._nothing()
        return self._judge_samples(readings)

    def due(self, now_ns: int) -> Booleans:
        """bool[m]: what has lasted long enough by now, without a further reading."""
        waits = (self.since_ns > 0) & ~self.active
        return waits & (now_ns - self.since_ns >= round(self.rule.delay_s * NS_PER_S))

    def raise_due(self, now_ns: int) -> Booleans:
        raised = self.due(now_ns)
        self.active |= raised
        self.since_ns[raised] = 0
        return raised

    @property
    def waits(self) -> bool:
        """Whether anything may become an alarm by waiting alone."""
        return bool((self.since_ns > 0).any())

    def _nothing(self) -> tuple[Booleans, Booleans]:
        none = np.zeros(len(self.rows), np.bool_)
        return none, none

    def _judge_samples(self, readings: Readings) -> tuple[Booleans, Booleans]:
        """Every sample counts: each point's in order of time."""
        mine = np.isin(readings.points, self.rows)
        if not mine.any():
            return self._nothing()
        points, times = readings.points[mine], readings.times_ns[mine]
        order = np.lexsort((times, points))
        points, times = points[order], times[order]
        numbers = readings.words[mine][order].view(np.float64)
        bad, fine = self._tests(numbers, readings.quality[mine][order])
        starts = np.flatnonzero(np.append(True, points[1:] != points[:-1]))
        places = np.searchsorted(self.rows, points[starts])
        ends = np.append(starts[1:], len(points)) - 1
        any_bad = np.logical_or.reduceat(bad, starts)
        # What counts at the end: the last sample that says anything.
        says = np.where(bad | fine, np.arange(len(points)), -1)
        last = np.maximum.reduceat(says, starts)
        last_bad, last_fine = bad[last] & (last >= starts), fine[last] & (last >= starts)
        first_bad = np.minimum.reduceat(np.where(bad, times, np.iinfo(np.int64).max), starts)
        return self._moved(places, any_bad, last_bad, last_fine, first_bad, times[ends])

    def _judge_state(self, snapshot: Snapshot) -> tuple[Booleans, Booleans]:
        when = self.rule.when
        assert when is not None
        places = np.arange(len(self.rows))
        names = {"value": _column(snapshot, self.rows)}
        points = {text: _column(snapshot, rows) for text, rows in self._inputs.items()}
        truth = when.evaluate(names, points, len(self.rows))
        times = snapshot.twins.point_time.take(self.rows)
        for rows in self._inputs.values():
            times = np.maximum(times, np.where(rows >= 0, snapshot.twins.point_time.take(rows), 0))
        fine = truth.sure & ~truth.holds
        return self._moved(places, truth.holds, truth.holds, fine, times, times)

    def _moved(
        self,
        places: npt.NDArray[np.intp],
        any_bad: Booleans,
        last_bad: Booleans,
        last_fine: Booleans,
        first_ns: npt.NDArray[np.int64],
        last_ns: npt.NDArray[np.int64],
    ) -> tuple[Booleans, Booleans]:
        """Take over what some points did; all arrays have an entry for each of `places`."""
        raised, cleared = self._nothing()[0].copy(), self._nothing()[0].copy()
        was, since = self.active[places], self.since_ns[places]
        began = np.where(since > 0, since, np.where(any_bad, first_ns, 0))
        if self.rule.delay_s:
            # A delay is for what lasts: whoever is fine at the end begins anew.
            began = np.where(last_fine, 0, began)
            lasts = (began > 0) & (last_ns - began >= round(self.rule.delay_s * NS_PER_S))
            rises = ~was & lasts & last_bad
        else:
            rises = ~was & any_bad
        falls = (was | rises) & last_fine
        raised[places], cleared[places] = rises, falls
        self.active[places] = (was | rises) & ~falls
        self.since_ns[places] = np.where(rises | last_fine | was, 0, began)
        return raised, cleared

    def _tests(self, numbers: npt.NDArray[np.float64], quality: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
        """(in alarm, back to normal) of samples; between the two lies the hysteresis."""
        rule = self.rule
        if rule.quality is not None:
            bad = severities(quality) >= rule.quality
            return bad, ~bad
        counts = usable(quality) & np.isfinite(numbers)
        if rule.high is not None:
            return counts & (numbers > rule.high), counts & (numbers <= rule.high - rule.hysteresis)
        low = 0.0 if rule.low is None else rule.low
        return counts & (numbers < low), counts & (numbers >= low + rule.hysteresis)

    def _find_inputs(self, snapshot: Snapshot) -> dict[str, npt.NDArray[np.int32]]:
        """By id as written in the condition, the row for each point of the rule; -1: there is none."""
        when = self.rule.when
        found: dict[str, npt.NDArray[np.int32]] = {}
        for text in when.points if when is not None else ():
            pattern = Pattern.of(text)
            rows = [_row(snapshot, pattern.fill(values)) for values in self._values]
            found[text] = np.array(rows, np.int32)
        self._involved = np.unique(np.concatenate([self.rows, *found.values()]))
        return found


def _matching(rule: AlarmRule, snapshot: Snapshot) -> tuple[npt.NDArray[np.int32], list[dict[str, str]]]:
    """Rows of the points of a rule, ascending, and what its placeholders stand for in each."""
    schema = snapshot.schema
    kind = schema.point_kind if rule.kind is None else schema.kind(rule.kind).index
    rows = snapshot.rows_of_kind(kind)
    rows = rows[snapshot.is_of_kind(rows, schema.point_kind)]
    if rule.quality is None and rule.when is None:
        numeric = [snapshot.value_type(row) is ValueType.NUMBER for row in rows.tolist()]
        rows = rows[np.array(numeric, np.bool_)]
    if rule.point is None:
        return rows, [{} for _ in range(len(rows))]
    found: list[dict[str, str] | None] = []
    for local, iri in zip(snapshot.local_ids(rows), snapshot.ids(rows), strict=True):
        named = rule.point.match(local)
        found.append(rule.point.match(iri) if named is None else named)
    fits = np.array([values is not None for values in found], np.bool_)
    return rows[fits], [values for values in found if values is not None]


def _row(snapshot: Snapshot, text: str) -> int:
    try:
        return snapshot.find(text)
    except NotFoundError:
        return -1


def _column(snapshot: Snapshot, rows: npt.NDArray[np.int32]) -> np.ndarray[Any, Any]:
    """The last values of points: numbers as float64, else objects; NaN or None: none of any worth."""
    twins = snapshot.twins
    there = (rows >= 0) & (twins.point_time.take(np.maximum(rows, 0)) > 0)
    there &= usable(twins.point_quality.take(np.maximum(rows, 0)))
    kinds = {snapshot.value_type(row) for row in rows[there].tolist()}
    words = twins.point_word.take(np.maximum(rows, 0))
    if kinds <= {ValueType.NUMBER}:
        return np.where(there, words.view(np.float64), np.nan)
    found = np.empty(len(rows), object)
    for place, (row, word) in enumerate(zip(rows.tolist(), words.tolist(), strict=True)):
        if there[place]:
            found[place] = read_word(word, snapshot.value_type(row), snapshot.pools)
    return found
