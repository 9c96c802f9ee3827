# pyright: reportArgumentType=false
"""Runs of a part of a world, given levels over time of the twins that it only knows from outside.

Such a twin has no need groups: what is known of its service is given to the kernels as its own health, so a
part is solved by the very kernels that solve a whole world. Its rows are the last ones of the case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ontology.errors import LimitError
from simulation.cascade.blocks import Desk, Frame, frame_of, new_desk
from simulation.cascade.causes import Causes, explain_run, new_causes
from simulation.cascade.chances import draw_run
from simulation.cascade.jit import bare, kernel
from simulation.cascade.kernel import EVALUATIONS_MAX, run
from simulation.cascade.layout import (
    DONE,
    HEALTH,
    LOADED,
    PIECES_FULL,
    STRIKES,
    TOO_MANY_ROUNDS,
    Tables,
)
from simulation.cascade.loading import enlarged
from simulation.cascade.tally import Tally, new_tally, tally_damage, tally_run
from simulation.world import Int64s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulation.case import Case

_SHOWN_FULL = 100
"""Beside the reasons of `layout`: more pieces are to be shown than there is room for."""
DRAW, SOLVE, SHOW, TALLY = 1, 2, 4, 8
"""What to do with each run, as bits."""
Pieces = list[tuple[int, int]]


class Given(NamedTuple):
    """Levels of the rows from `first_row` on, of some runs: by run and row, laid out as Waveforms."""

    run: Int64s  # [k]
    first_row: int
    rows: int
    start: Int64s  # [k * rows + 1]
    time: Int64s
    level: Int64s


class Shown(NamedTuple):
    """Levels of some rows of the part, to be read out: by run and row, laid out as Waveforms."""

    row: Int64s  # [x]
    start: Int64s  # [k * x + 1]
    time: Int64s
    level: Int64s


class GivenRuns:
    """A part's runs on tables of its own; one thread's own.

    outside: how many rows at the end of the case are known from outside.
    """

    def __init__(self, case: Case, outside: int, shown: Sequence[int]) -> None:
        self.case, self._outside, self._shown = case, outside, np.array(shown, np.int64)
        self._frame = frame_of(case)
        self.desk = new_desk(case, self._frame)

    def levels(self, runs: Mapping[int, Sequence[Pieces]]) -> dict[int, list[Pieces]]:
        """Service of the shown rows by run, given that of the outside rows by run.

        LimitError CASCADE_ROUNDS where the feedback of a run does not settle.
        """
        given = _given(runs, self.case.world.twins - self._outside, self._outside)
        room = 64
        while True:
            shown = _room(self._shown, len(given.run), room)
            if self._through(given, shown, new_tally(0, 0), new_causes(0, 0, 0), DRAW | SOLVE | SHOW):
                return _read(given, shown)
            room *= 8

    def tally(self, runs: Mapping[int, Sequence[Pieces]]) -> tuple[Tally, Causes]:
        """What the runs add up to, in ascending order of their numbers. Errors as `levels`."""
        twins = self.case.world.twins
        given = _given(runs, twins - self._outside, self._outside)
        tally, causes = new_tally(len(runs), twins), new_causes(len(runs), twins, self.case.world.edges)
        self._through(given, _room(self._shown, 0, 1), tally, causes, DRAW | SOLVE | TALLY)
        return tally, causes

    def draw(self, run_number: int, outside: Sequence[Pieces]) -> Tables:
        """The tables with the inputs of one run in them, nothing solved."""
        given = _given({run_number: outside}, self.case.world.twins - self._outside, self._outside)
        self._through(given, _room(self._shown, 0, 1), new_tally(0, 0), new_causes(0, 0, 0), DRAW)
        return self.desk.tables

    def tally_held(self, tally: Tally, causes: Causes, row: int) -> None:
        """Add the solved run that the tables hold, which `draw` drew, as one row."""
        none = Given(
            np.full(row + 1, -1), 0, 0, np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
        )
        _runs(self._frame, self.desk, none, _room(self._shown, 0, 1), row, tally, causes, TALLY)

    def _through(self, given: Given, shown: Shown, tally: Tally, causes: Causes, work: int) -> bool:
        """All runs; False where there was no room for what is to be shown."""
        self._make_room(given)
        done, status = 0, DONE
        while done < len(given.run):
            done, status = _runs(self._frame, self.desk, given, shown, done, tally, causes, work)
            if status == _SHOWN_FULL:
                return False
            if status == TOO_MANY_ROUNDS:
                raise LimitError(
                    f"feedback did not settle in {EVALUATIONS_MAX} evaluations",
                    code="CASCADE_ROUNDS",
                    hint="a coarser grid (gridHours, gridLevels) settles sooner",
                )
            if status != DONE:
                self.desk = self.desk._replace(tables=enlarged(self.desk.tables, status))
        return True

    def _make_room(self, given: Given) -> None:
        """For what is given, behind what is drawn."""
        most = int(np.diff(given.start[:: max(given.rows, 1)]).max(initial=0))
        used = int(self.desk.tables.used[LOADED + HEALTH]) + self._frame.chances.health_pieces
        while used + most > len(self.desk.tables.pieces):
            self.desk = self.desk._replace(tables=enlarged(self.desk.tables, PIECES_FULL))


def _given(runs: Mapping[int, Sequence[Pieces]], first_row: int, rows: int) -> Given:
    numbers = sorted(runs)
    listed = [pieces for number in numbers for pieces in runs[number]]
    start = np.zeros(len(listed) + 1, np.int64)
    np.cumsum([len(pieces) for pieces in listed], out=start[1:])
    flat = np.array([piece for pieces in listed for piece in pieces], np.int64).reshape(-1, 2)
    times, levels = flat[:, 0].copy(), flat[:, 1].copy()
    return Given(np.array(numbers, np.int64), first_row, rows, start, times, levels)


def _room(row: Int64s, runs: int, each: int) -> Shown:
    size = runs * len(row)
    return Shown(
        row, np.zeros(size + 1, np.int64), np.zeros(size * each, np.int64), np.zeros(size * each, np.int64)
    )


def _read(given: Given, shown: Shown) -> dict[int, list[Pieces]]:
    time: list[int] = shown.time[: shown.start[-1]].tolist()
    level: list[int] = shown.level[: shown.start[-1]].tolist()
    start: list[int] = shown.start.tolist()
    rows = len(shown.row)
    full: Pieces = []
    found: dict[int, list[Pieces]] = {number: [full] * rows for number in given.run.tolist()}
    listed = list(found.values())  # most rows are full in most runs: only the others are gone through
    fallen: list[int] = np.flatnonzero(np.diff(shown.start)).tolist()
    for at in fallen:
        a, b = start[at], start[at + 1]
        listed[at // rows][at % rows] = list(zip(time[a:b], level[a:b], strict=True))
    return found


@kernel
def _runs(
    frame: Frame, desk: Desk, given: Given, shown: Shown, done: int, tally: Tally, causes: Causes, work: int
) -> tuple[int, int]:
    """Go on after `done` runs; (runs done, DONE or what was too small for the next)."""
    tables, spell = desk.tables, desk.spell
    for place in range(done, len(given.run)):
        if work & DRAW:
            draw_run(frame.chances, np.uint64(given.run[place]), tables, spell)
            _give(tables, tables.used[LOADED + HEALTH] + frame.chances.health_pieces, given, place)
        if work & SOLVE:
            status = run(tables, frame.cells)
            if status != DONE:
                return place, status
        if work & SHOW and not _show(tables, shown, place):
            return place, _SHOWN_FULL
        if work & TALLY:
            tally_run(tables, frame.prices, spell.failures, frame.cells.horizon, tally, place)
            if tables.used[STRIKES] > 0:
                tally_damage(tables, frame.prices, tally, place)
            explain_run(tables, frame.cells, frame.twin_key, causes, place)
    return len(given.run), DONE


@bare
def _give(tables: Tables, at: int, given: Given, place: int) -> None:
    """Write what is given for one run over what was given for the last, from a piece on."""
    for row in range(given.rows):
        twin = tables.twins[given.first_row + row]
        twin.first_health = at
        for piece in range(given.start[place * given.rows + row], given.start[place * given.rows + row + 1]):
            tables.pieces[at].time, tables.pieces[at].value = given.time[piece], given.level[piece]
            at += 1
        twin.end_health = at
        component = tables.components[twin.component]
        component.seeds &= ~(1 << HEALTH)
        if twin.first_health < twin.end_health:
            component.seeds |= 1 << HEALTH


@bare
def _show(tables: Tables, shown: Shown, place: int) -> bool:
    """Copy the levels of the shown rows of one run; False where there is no room."""
    rows = len(shown.row)
    for number in range(rows):
        twin = tables.twins[shown.row[number]]
        at = shown.start[place * rows + number]
        if at + twin.pieces > len(shown.time):
            return False
        for piece in range(twin.pieces):
            taken = tables.pool[twin.first_piece + piece]
            shown.time[at + piece], shown.level[at + piece] = taken.time, taken.value
        shown.start[place * rows + number + 1] = at + twin.pieces
    return True
