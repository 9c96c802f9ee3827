"""Values over time out of statements and events: steps replace each other, of open windows the worst wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.world import FULL, NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulation.effects import Window

    Worse = Callable[[Iterable[int]], int]


def timeline(
    base: int, steps: Sequence[tuple[int, int]], windows: Sequence[Window], worse: Worse
) -> list[tuple[int, int]]:
    """Pieces (time_us, value) from hour 0 on; equal neighbours are one piece.

    `base` holds until the first step, a step until the next (of two at one time the later stated one wins).
    Where windows are open, `worse` (min or max) picks among the value and theirs.
    """
    ordered = sorted(steps, key=lambda step: step[0])
    open_windows = [window for window in windows if window.at_us < window.end_us]
    times = {0, *(at_us for at_us, _ in ordered)}
    times |= {time_us for window in open_windows for time_us in (window.at_us, window.end_us)}
    pieces: list[tuple[int, int]] = []
    for time_us in sorted(times - {NEVER}):
        stated = [base, *(value for at_us, value in ordered if at_us <= time_us)][-1]
        here = [window.value for window in open_windows if window.at_us <= time_us < window.end_us]
        value = worse((stated, *here))
        if not pieces or pieces[-1][1] != value:
            pieces.append((time_us, value))
    return pieces


def health_pieces(
    base: int, steps: Sequence[tuple[int, int]], caps: Sequence[Window]
) -> list[tuple[int, int]]:
    """Own health, the lowest cap wins; nothing where it is FULL throughout."""
    pieces = timeline(base, steps, caps, min)
    return [] if pieces == [(0, FULL)] else pieces


def factor_pieces(demand: Sequence[tuple[int, int]], surges: Sequence[Window]) -> list[tuple[int, int]]:
    """What needs are multiplied by: the largest open surge, or the demand that was set if that is more.

    A surge below one lowers the need where nothing else is open.
    """
    times = {0, *(at for at, _ in demand), *(t for w in surges for t in (w.at_us, w.end_us))}
    pieces: list[tuple[int, int]] = []
    for time_us in sorted(times - {NEVER}):
        stated = [value for at_us, value in sorted(demand, key=lambda step: step[0]) if at_us <= time_us][-1:]
        here = [window.value for window in surges if window.at_us <= time_us < window.end_us]
        value = max((*stated, *here), default=FULL)
        if not pieces or pieces[-1][1] != value:
            pieces.append((time_us, value))
    return [] if pieces == [(0, FULL)] else pieces


def extra_pieces(windows: Sequence[Window]) -> list[tuple[int, int]]:
    """What is added to a delay: the largest open window."""
    pieces = timeline(0, (), windows, max)
    return [] if pieces == [(0, 0)] else pieces
