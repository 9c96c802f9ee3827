"""How a world, a run and the work on it lie in memory for the kernels.

A few tables of records rather than a hundred arrays: what is passed to a compiled function is paid for at
compile time. All numbers in them are int64, so that no function is compiled twice for two widths.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from simulation.world import FULL, Int64s

DONE, PIECES_FULL, POOL_FULL, EVENTS_FULL, LINKS_FULL, STRIKES_FULL, TOO_MANY_ROUNDS = range(7)
"""How a kernel ended. A table that was full is enlarged, and the run computed again from its start."""

POOL, LINKS, STRIKES, EVALUATIONS, ARMED, OPENED, QUEUE_FIRST, QUEUE_SIZE, LOADED = range(9)
"""What `Tables.used` counts; from LOADED on: pieces of the inputs, by kind."""

ZERO, ONE = np.int64(0), np.int64(FULL)
"""Where counting starts, and level one. A plain number in a call has the callee compiled once more."""

EXTRA, SETTING, CAP, FACTOR, HEALTH, KINDS = range(6)
"""Kinds of inputs that change over time, in the order of their pieces. Health changes most often."""

SHORT = 1 << KINDS
"""In `seeds` of a component: a group of it gets less than its need with all suppliers well."""

Row: TypeAlias = Any
"""One record of a Table; compiled code reads and writes its fields by name."""


class Table(Protocol):
    """A structured array, as the kernels use it."""

    def __getitem__(self, index: Any, /) -> Row: ...

    def __setitem__(self, index: Any, value: Any, /) -> None: ...

    def __len__(self) -> int: ...


def _record(**fields: str) -> np.dtype[np.void]:
    """Fields by type: numbers and yes-or-no, names split by blanks."""
    numbers = [(name, np.int64) for name in fields.get("numbers", "").split()]
    flags = [(name, np.bool_) for name in fields.get("flags", "").split()]
    return np.dtype([*numbers, *flags], align=True)


TWIN = _record(
    numbers=(
        # the plan: need groups in groups_of, edges in out_edges; whom it rises with: the first of them, and
        # at that one all of them in risers
        "component first_group end_group first_out end_out unit first_riser end_riser "
        # this run
        "restart repair first_health end_health first_setting end_setting "
        # its service, in the pool
        "first_piece pieces "
        # feedback, in one cell: levels being settled, the same while its loop rises, raw (before the
        # restart), the lowest over the past of the restart window; own health
        "mains service rise_mains rise_service raw_mains raw_service past_mains past_service health "
        # feedback, chains of links, newest first, -1: none. Changes of service; lows of raw levels
        "changes mains_lows service_lows "
        # feedback: the cell for which the twin was opened last, and the next for which it has to be
        "since due "
        # parts of a world, in the pool: mains; service as it is seen within a founded loop that leads
        # outside; service as all others see it. Chain of links of mains
        "first_mains mains_pieces first_inner inner_pieces first_outer outer_pieces mains_changes"
    ),
    # parts of a world: its levels are given; it tells its mains
    flags="rises armed opened queued stale given tells",
)
GROUP = _record(
    numbers=(
        # the plan
        "twin first_edge end_edge weight need threshold refill "
        # this run
        "buffer tolerance first_factor end_factor "
        # at work: sum of weight * level, need by factor, the share that follows; buffer (exact: microseconds
        # and level, feedback: level * cells); spell of starving (-1: none) and damage
        "arrived factored share content part spell down_until"
    ),
    flags="looped damages",
)
EDGE = _record(
    numbers=(
        "source target group weight "  # the plan
        "delay first_cap end_cap first_extra end_extra "  # this run
        # the lowest of what arrives in a cell, without what is being settled; the same of mains, if given
        "known known_mains"
    ),
    # live: what is being settled arrives in this cell; given: looped, from a twin that is settled elsewhere
    flags="looped back inside live given",
)
COMPONENT = _record(numbers="first_member end_member seeds", flags="gridded dirty")
PIECE = _record(numbers="time value")
EVENT = _record(numbers="time kind value")
LINK = _record(numbers="cell level previous")
STRIKE = _record(numbers="group start end")
GIVEN = _record(numbers="level weight")


class Cells(NamedTuple):
    """The grid of a run."""

    cell_us: int
    total: int
    levels: int
    horizon: int
    evaluations_max: int


class Draws(NamedTuple):
    """RunInputs, flat; read once, by `load`."""

    extra_start: Int64s
    extra_time: Int64s
    extra_value: Int64s
    setting_start: Int64s
    setting_time: Int64s
    setting_value: Int64s
    cap_start: Int64s
    cap_time: Int64s
    cap_value: npt.NDArray[np.int32]
    factor_start: Int64s
    factor_time: Int64s
    factor_value: npt.NDArray[np.int32]
    health_start: Int64s
    health_time: Int64s
    health_value: npt.NDArray[np.int32]


class Durations(NamedTuple):
    """RunInputs, what does not change over time; read once, by `load_durations`."""

    edge_delay: Int64s
    restart: Int64s
    repair: Int64s
    buffer: Int64s
    tolerance: Int64s
    damages: npt.NDArray[np.bool_]


class Tables(NamedTuple):
    """Everything a run reads and writes; one thread's own. Sizes are fixed while a kernel runs."""

    twins: Table
    groups: Table
    edges: Table
    components: Table
    groups_of: Int64s  # by twin
    members: Int64s  # by component, nearest to the source first
    risers: Int64s  # by loop, nearest to the source first
    out_edges: Int64s  # by source
    armed: Int64s  # feedback: twins that are looked at
    opened: Int64s  # feedback: twins whose level may be another in this cell than in the one before
    queue: Int64s  # feedback: who is to be evaluated
    pieces: Table  # inputs of this run
    pool: Table  # service of the twins that are done; of those without pieces it is FULL
    events: Table  # what changes when for the twin at work
    moments: Table  # events without kind and value: when a window may see something else
    row: Table  # waveforms under construction
    other_row: Table
    given: Table  # levels and weights of one group
    links: Table
    strikes: Table
    used: Int64s
