"""What the reference is written on: cells, steps of levels, and values over time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulation.tracks import Clock, Track
from simulation.world import FULL

levels = st.integers(0, FULL)
steps = st.integers(1, 300) | st.just(FULL)


@given(levels, steps)
def test_level_down_is_the_lowest_of_its_step_and_stays(level: int, count: int) -> None:
    down = Clock(1, count, 10).level_down(level)
    assert down <= level
    assert down * count // FULL == level * count // FULL
    assert down == 0 or (down - 1) * count // FULL < level * count // FULL
    assert Clock(1, count, 10).level_down(down) == down


@given(levels, st.integers(1, 60), st.integers(1, 8))
def test_fewer_steps_are_never_better(level: int, count: int, times: int) -> None:
    assert Clock(1, count, 10).level_down(level) <= Clock(1, count * times, 10).level_down(level)


@given(st.integers(1, 50), st.integers(1, 500))
def test_cells_cover_the_horizon_once(cell_us: int, horizon_us: int) -> None:
    clock = Clock(cell_us, 64, horizon_us)
    spans = [clock.span(cell) for cell in range(clock.cells)]
    covered = [moment for first, last in spans for moment in range(first, last + 1)]
    assert covered == list(range(horizon_us))


def test_exact_levels_are_not_rounded() -> None:
    assert [Clock(1, FULL, 10).level_down(level) for level in (0, 1, 777_777, FULL)] == [0, 1, 777_777, FULL]


@given(st.lists(st.tuples(st.integers(1, 5), levels)), st.integers(-5, 30), st.integers(-5, 30))
def test_within_gives_what_is_taken_moment_by_moment(
    written: list[tuple[int, int]], first: int, last: int
) -> None:
    track, line, now = Track(), [FULL] * 30, 0
    for ahead, level in written:
        now += ahead
        track.put(now, level)
        line = [level if moment >= now else kept for moment, kept in enumerate(line)]
    taken = {line[moment] if moment >= 0 else FULL for moment in range(first, min(last, 29) + 1)}
    assert set(track.within(first, min(last, 29))) == taken
