"""Every detector against the plain reference, any cut into batches, and what each of them means."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from adapters.quality import PointRules, PointStates, Rules, flag
from adapters.quality.detecting import flags_of, graded, stale
from graph.quality import Reason, quality_byte, worse
from graph.values import Quality, Readings

sys.path.append(str(Path(__file__).parent))
from quality_faults import FAULTS, SECOND_NS, START_NS, Faulty, faulty
from quality_reference import Point

SEED = 7_011
POINTS, TICKS = 200, 3_000


@pytest.fixture(scope="module")
def world() -> Faulty:
    print(f"seed {SEED}")
    return faulty(POINTS, TICKS, SEED)


@pytest.fixture(scope="module")
def expected(world: Faulty) -> npt.NDArray[np.int64]:
    """Flags of the reference."""
    readings = world.readings
    points = [Point(rules) for rules in world.rules]
    columns = zip(
        readings.points.tolist(),
        readings.times_ns.tolist(),
        readings.words.view(np.float64).tolist(),
        readings.quality.tolist(),
        world.arrived_ns.tolist(),
        strict=True,
    )
    found = (
        points[row].judge(at, value, arrived, is_bad=stated == 2)
        for row, at, value, stated, arrived in columns
    )
    return np.array([sum(1 << Reason[name] for name in each) for each in found], np.int64)


def part_of(world: Faulty, part: slice) -> tuple[Readings, npt.NDArray[np.int64]]:
    whole = world.readings
    columns = (whole.points[part], whole.times_ns[part], whole.words[part], whole.quality[part])
    return Readings(*columns), world.arrived_ns[part]


def in_batches(world: Faulty, cuts: list[int]) -> npt.NDArray[np.int64]:
    rules, states = world.columns, PointStates.of(POINTS)
    bounds = [0, *cuts, len(world.readings)]
    parts = [flags_of(*_in_order(world, slice(low, high), rules, states)) for low, high in pairwise(bounds)]
    return np.concatenate(parts)


def _in_order(
    world: Faulty, part: slice, rules: Rules, states: PointStates
) -> tuple[Readings, Rules, PointStates, npt.NDArray[np.int64]]:
    readings, arrived_ns = part_of(world, part)
    return readings, rules, states, arrived_ns


def test_every_flag_of_600_000_readings_is_that_of_the_reference(
    world: Faulty, expected: npt.NDArray[np.int64]
) -> None:
    found = in_batches(world, [])
    assert len(found) == 600_000
    assert min(world.injected[kind] for kind in FAULTS) > 50
    flagged = Counter({reason.name: int((expected >> reason & 1).sum()) for reason in Reason})
    print(f"seed {SEED}, injected {world.injected}, flagged {dict(flagged)}")
    looked_for = set(Reason) - {Reason.STALE, Reason.RETAINED, Reason.DISCONNECTED, Reason.DERIVED}
    assert all(flagged[reason.name] > 50 for reason in looked_for)
    assert np.flatnonzero(found != expected).tolist() == []


@pytest.mark.parametrize("rows", [1_000, 37_001])
def test_batches_of_one_size_give_the_same(world: Faulty, expected: npt.NDArray[np.int64], rows: int) -> None:
    assert (in_batches(world, list(range(rows, len(expected), rows))) == expected).all()


def test_any_cut_gives_the_same(world: Faulty, expected: npt.NDArray[np.int64]) -> None:
    rng = np.random.default_rng(SEED + 1)
    for _ in range(3):
        cuts = np.sort(rng.integers(0, len(expected), 2_000)).tolist()
        assert (in_batches(world, cuts) == expected).all()


def test_points_do_not_see_each_other(world: Faulty, expected: npt.NDArray[np.int64]) -> None:
    rng = np.random.default_rng(SEED + 2)
    for point in rng.integers(0, POINTS, 5).tolist():
        own = world.readings.points == point
        whole = world.readings
        alone = Readings(whole.points[own], whole.times_ns[own], whole.words[own], whole.quality[own])
        found = flags_of(alone, world.columns, PointStates.of(POINTS), world.arrived_ns[own])
        assert (found == expected[own]).all()


def test_one_nan_does_not_stay(world: Faulty) -> None:
    states = PointStates.of(POINTS)
    readings, arrived_ns = part_of(world, slice(None))
    flags_of(readings, world.columns, states, arrived_ns)
    assert np.isfinite(states.floats).all()


def test_bytes_are_the_worse_of_both() -> None:
    every = [quality_byte(severity, reason) for severity in Quality for reason in (None, *Reason)]
    for reason in (Reason.RANGE, Reason.LATE, Reason.NOT_A_NUMBER):
        flags = np.full(len(every), 1 << reason)
        found = graded(flags, np.array(every, np.uint8))
        own = int(graded(np.array([1 << reason]), np.zeros(1, np.uint8))[0])
        assert own >> 2 == reason
        assert found.tolist() == worse(np.array(every, np.uint8), np.full(len(every), own, np.uint8)).tolist()
    both = np.array([1 << Reason.LATE | 1 << Reason.RANGE | 1 << Reason.IMPOSSIBLE])
    assert graded(both, np.zeros(1, np.uint8)).tolist() == [quality_byte(Quality.BAD, Reason.IMPOSSIBLE)]


# What each means, on one point


def one(rules: PointRules, *readings: tuple[float, float], arrives: float = 0.0) -> list[str]:
    """Reasons of readings (second, value), each `arrives` seconds after its stamp."""
    times = np.array([START_NS + round(at * SECOND_NS) for at, _ in readings], np.int64)
    words = np.array([value for _, value in readings]).view(np.uint64)
    batch = Readings(np.zeros(len(times), np.int32), times, words, np.zeros(len(times), np.uint8))
    arrived = times + round(arrives * SECOND_NS)
    found = flags_of(batch, Rules.of([rules]), PointStates.of(1), arrived)
    return [" ".join(reason.name for reason in Reason if flags >> reason & 1) for flags in found.tolist()]


def test_limits_of_the_quantity_and_of_the_point() -> None:
    rules = PointRules(lowest=0.0, highest=100.0, minimum=20.0, maximum=60.0)
    found = one(rules, (1, 20.0), (2, 60.0), (3, 61.0), (4, 100.0), (5, 100.5), (6, -1.0), (7, np.nan))
    assert found == ["", "", "RANGE", "RANGE", "IMPOSSIBLE", "IMPOSSIBLE", "NOT_A_NUMBER"]


def test_what_changes_too_fast_is_told_once_and_the_way_back_is_not() -> None:
    assert one(PointRules(rate_per_s=1.0), (0, 0.0), (10, 10.0), (20, 50.0), (30, 11.0)) == [
        "",
        "",
        "RATE",
        "",
    ]
    rules = PointRules(rate_per_s=1.0)
    # A new level is believed as soon as the point could have got there.
    assert one(rules, (0, 0.0), (10, 30.0), (20, 30.0), (30, 30.0)) == ["", "RATE", "RATE", ""]


def test_stuck_needs_time_and_three_readings() -> None:
    rules = PointRules(stuck_after_s=60.0)
    assert one(rules, (0, 1.0), (30, 1.0), (60, 1.0), (90, 1.0), (120, 2.0)) == ["", "", "STUCK", "STUCK", ""]
    assert one(rules, (0, 1.0), (600, 1.0)) == ["", ""]
    with_gaps = PointRules(stuck_after_s=60.0, gap_after_s=40.0)
    assert one(with_gaps, (0, 1.0), (30, 1.0), (90, 1.0), (120, 1.0)) == ["", "", "GAP", ""]


def test_spikes_and_a_new_level() -> None:
    rules = PointRules(spike=6.0, resolution=0.1)
    noise = [(float(at), 20.0 + 0.1 * (at % 3)) for at in range(64)]
    found = one(rules, *noise, (64.0, 27.0), (65.0, 20.1), *((66.0 + at, 27.0) for at in range(400)))
    assert found[:66] == [""] * 64 + ["SPIKE", ""]
    assert found[66] == "SPIKE"
    assert found[-1] == ""


def test_drift_is_slow() -> None:
    rules = PointRules(drift=2.0, drift_s=600.0)
    creeping = [(60.0 * at, 20.0 + 0.02 * at) for at in range(2_000)]
    assert "DRIFT" in one(rules, *creeping)
    steady = [(60.0 * at, 20.0 + 0.5 * (at % 2)) for at in range(2_000)]
    assert set(one(rules, *steady)) == {""}


def test_gap_late_duplicate_conflict_future() -> None:
    rules = PointRules(gap_after_s=30.0)
    found = one(rules, (0, 1.0), (20, 2.0), (60, 3.0), (50, 9.0), (60, 3.0), (60, 4.0), (61, 5.0))
    assert found == ["", "", "GAP", "LATE", "GAP DUPLICATE", "CONFLICT", ""]
    assert one(PointRules(late_after_s=5.0), (0, 1.0), arrives=5.5) == ["LATE"]
    assert one(PointRules(), (0, 1.0), arrives=-61.0) == ["FUTURE"]


def test_a_stamp_from_the_future_does_not_make_all_others_late() -> None:
    times = np.array([0, 3_600, 10], np.int64) * SECOND_NS + START_NS
    words = np.array([1.0, 2.0, 3.0]).view(np.uint64)
    batch = Readings(np.zeros(3, np.int32), times, words, np.zeros(3, np.uint8))
    found = flag(batch, Rules.none(1), PointStates.of(1), START_NS + 11 * SECOND_NS)
    assert found.tolist() == [0, quality_byte(Quality.UNCERTAIN, Reason.FUTURE), 0]


def test_points_without_a_rule_have_none() -> None:
    rules = Rules.none(2)
    rules.spans_ns[1, 6] = 0  # texts: words are compared, numbers are not looked at
    words = np.array([7, 7, 9], np.uint64)
    batch = Readings(np.ones(3, np.int32), np.array([1, 2, 3]), words, np.zeros(3, np.uint8))
    assert flag(batch, rules, PointStates.of(2), 3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="beyond"):
        flag(batch, rules, PointStates.of(1), 3)


def test_silence_is_uncertain_then_bad() -> None:
    rules = Rules.of([PointRules(stale_after_s=10.0), PointRules(stale_after_s=10.0), PointRules()])
    states = PointStates.of(3)
    batch = Readings(
        np.array([0, 2], np.int32), np.array([1, 1]), np.zeros(2, np.uint64), np.zeros(2, np.uint8)
    )
    flag(batch, rules, states, START_NS)

    def seen(after_s: float) -> list[tuple[int, int]]:
        rows, quality = stale(rules, states, START_NS - 5 * SECOND_NS, START_NS + round(after_s * SECOND_NS))
        return list(zip(rows.tolist(), quality.tolist(), strict=True))

    uncertain, bad = quality_byte(Quality.UNCERTAIN, Reason.STALE), quality_byte(Quality.BAD, Reason.STALE)
    assert seen(4.0) == []
    assert seen(6.0) == [(1, uncertain)]
    assert seen(11.0) == [(0, uncertain), (1, uncertain)]
    assert seen(99.0) == [(0, uncertain), (1, bad)]
    assert seen(101.0) == [(0, bad), (1, bad)]


def test_states_grow() -> None:
    states = PointStates.of(1)
    states.times[0, 0] = 9
    states.grow(3)
    assert (len(states), states.newest_ns.tolist()) == (3, [9, 0, 0])
