# pyright: reportArgumentType=false
"""Runs of a part of a world, given levels over time of the twins that it only knows from outside.

Such a twin has no need groups. The kernels that solve a whole world solve a part as well; founded loops that
lead outside fall with nobody, and rise by themselves (`simulation.cascade.parts`).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ontology.errors import LimitError
from simulation.cascade.blocks import Desk, Frame, frame_of, new_desk
from simulation.cascade.causes import Causes, explain_run, new_causes
from simulation.cascade.chances import draw_run
from simulation.cascade.jit import bare, kernel
from simulation.cascade.kernel import EVALUATIONS_MAX
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
from simulation.cascade.parts import FED, LOOPED, OUTSIDE, RISING, WAVES, Given, fall, give, rise, settle
from simulation.cascade.tally import Tally, new_tally, tally_damage, tally_run
from simulation.world import Int64s

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simulation.case import Case
    from simulation.world import Bools

_SHOWN_FULL = 100
"""Beside the reasons of `layout`: more pieces are to be shown than there is room for."""
DRAW, FALL, RISE, SHOW, SETTLE, TALLY = 1, 2, 4, 8, 16, 32
"""What to do with each run, as bits."""
Pieces = list[tuple[int, int]]
Levels = tuple[Pieces, Pieces]
"""Service and mains."""
WELL: Levels = ([], [])


class Loops(NamedTuple):
    """Founded loops that lead outside.

    members: own rows of each; rising: rows from outside that are in one of them; fed: own rows outside of
    them that they read. tells: own rows whose mains are asked for.
    """

    members: Sequence[Sequence[int]] = ()
    rising: Sequence[int] = ()
    fed: Sequence[int] = ()
    tells: Sequence[int] = ()


class Known(NamedTuple):
    """What is known of the given rows in one run, by their place: service and mains, as everyone sees them
    and as their own loop sees them while it rises."""

    service: Sequence[Pieces]
    mains: Sequence[Pieces]
    inner_service: Sequence[Pieces]
    inner_mains: Sequence[Pieces]


class Shown(NamedTuple):
    """Service and mains of some rows of the part, to be read out: by run and row, laid out as Waveforms."""

    row: Int64s  # [x]
    start: Int64s  # [k * x * 2 + 1]
    time: Int64s
    level: Int64s


class GivenRuns:
    """A part's runs on tables of its own; one thread's own.

    outside: how many rows at the end of the case are known from outside. rows: whose levels are given: those,
    then own rows of loops, then what loops read.
    """

    def __init__(self, case: Case, outside: int, shown: Iterable[int], loops: Loops | None = None) -> None:
        loops = loops or Loops()
        self.case, self._shown = case, np.array(list(shown), np.int64)
        self._first_row, self._outside, self._loops = case.world.twins - outside, outside, loops
        looped = [row for members in loops.members for row in members]
        from_outside = list(range(self._first_row, case.world.twins))
        rising = set(loops.rising)
        self.rows = [*from_outside, *looped, *loops.fed]
        kinds = [RISING if row in rising else OUTSIDE for row in from_outside]
        self._row = np.array(self.rows, np.int64)
        self._kind = np.array([*kinds, *[LOOPED] * len(looped), *[FED] * len(loops.fed)], np.int64)
        component = case.plan.component
        self._loop = np.array([component[members[0]] for members in loops.members], np.int64)
        self._looped = np.array(looped, np.int64)
        self._frame = frame_of(case)
        self.desk = new_desk(case, self._frame)
        _mark(self.desk.tables, self._row[self._kind != FED], self._looped, np.array(loops.tells, np.int64))

    def levels(self, runs: Mapping[int, Sequence[Pieces]]) -> dict[int, list[Pieces]]:
        """Service of the shown rows by run, given that of the outside rows by run; for parts without loops.

        LimitError CASCADE_ROUNDS where the feedback of a run does not settle.
        """
        found, rows = self.fallen(runs), range(len(self._shown))
        return {number: [each.get(row, WELL)[0] for row in rows] for number, each in found.items()}

    def fallen(self, runs: Mapping[int, Sequence[Pieces]]) -> dict[int, dict[int, Levels]]:
        """As `levels`, by run and place among the shown rows, without those that are full."""
        return self.fall({number: _plain(rows) for number, rows in runs.items()})[0]

    def fall(self, runs: Mapping[int, Known]) -> tuple[dict[int, dict[int, Levels]], dict[int, Bools]]:
        """Levels of the shown rows by run and place among them, without those that are full; and which loops
        something of their own disturbs. All own twins but those of loops are solved. Errors as `levels`.
        """
        given = self._given(runs)
        found = self._read_out(given, self._shown, DRAW | FALL | SHOW)
        return found, dict(zip(given.run.tolist(), given.seeded, strict=True))

    def rise(self, runs: Mapping[int, Known], rises: Mapping[int, set[int]]) -> dict[int, dict[int, Levels]]:
        """Levels of all own rows of loops by run and place among them, without those that are full.

        rises: which loops rise; of others nothing is said.
        """
        return self._read_out(self._given(runs, rises), self._looped, DRAW | RISE | SHOW)

    def tally(self, runs: Mapping[int, Sequence[Pieces]]) -> tuple[Tally, Causes]:
        """What the runs add up to, in ascending order of their numbers; for parts without loops."""
        return self.tally_known({number: _plain(rows) for number, rows in runs.items()})

    def tally_known(self, runs: Mapping[int, Known]) -> tuple[Tally, Causes]:
        """What the runs add up to, in ascending order of their numbers. Errors as `levels`."""
        twins = self.case.world.twins
        given = self._given(runs, {number: set(range(len(self._loop))) for number in runs})
        tally, causes = new_tally(len(runs), twins), new_causes(len(runs), twins, self.case.world.edges)
        work = DRAW | FALL | TALLY | (RISE | SETTLE if len(self._loop) else 0)
        self._through(given, _room(self._shown, 0), tally, causes, work)
        return tally, causes

    def draw(self, run_number: int, outside: Sequence[Pieces]) -> Tables:
        """The tables with the inputs of one run in them, nothing solved."""
        given = self._given({run_number: _plain(outside)})
        self._through(given, _room(self._shown, 0), new_tally(0, 0), new_causes(0, 0, 0), DRAW)
        _give_health(self.desk.tables, self._frame.chances.health_pieces, given, 0)
        return self.desk.tables

    def tally_held(self, tally: Tally, causes: Causes, row: int) -> None:
        """Add the solved run that the tables hold, which `draw` drew, as one row."""
        _tally_held(self._frame, self.desk, tally, causes, row)

    def _read_out(self, given: Given, rows: Int64s, work: int) -> dict[int, dict[int, Levels]]:
        shown = _room(rows, len(given.run))
        shown = self._through(given, shown, new_tally(0, 0), new_causes(0, 0, 0), work)
        return _read(given, shown)

    def _through(self, given: Given, shown: Shown, tally: Tally, causes: Causes, work: int) -> Shown:
        """All runs; what is shown comes back, perhaps with more room."""
        self._make_room(given)
        done, status = 0, DONE
        while done < len(given.run):
            done, status = _runs(self._frame, self.desk, given, shown, done, tally, causes, work)
            if status == _SHOWN_FULL:
                shown = _larger(shown)
            elif status == TOO_MANY_ROUNDS:
                raise LimitError(
                    f"feedback did not settle in {EVALUATIONS_MAX} evaluations",
                    code="CASCADE_ROUNDS",
                    hint="a coarser grid (gridHours, gridLevels) settles sooner",
                )
            elif status != DONE:
                self.desk = self.desk._replace(tables=enlarged(self.desk.tables, status))
        return shown

    def _make_room(self, given: Given) -> None:
        """For levels from outside as health, behind what is drawn."""
        most = int(np.diff(given.start[:: max(len(given.row) * WAVES, 1)]).max(initial=0))
        used = int(self.desk.tables.used[LOADED + HEALTH]) + self._frame.chances.health_pieces
        while used + most > len(self.desk.tables.pieces):
            self.desk = self.desk._replace(tables=enlarged(self.desk.tables, PIECES_FULL))

    def _given(self, runs: Mapping[int, Known], rises: Mapping[int, set[int]] | None = None) -> Given:
        numbers, rises = sorted(runs), rises or {}
        rising = np.zeros((len(numbers), len(self._loop)), np.bool_)
        for place, number in enumerate(numbers):
            rising[place, list(rises.get(number, ()))] = True
        start, flat = _flat([runs[number] for number in numbers], len(self.rows))
        return Given(
            np.array(numbers, np.int64),
            self._row,
            self._kind,
            start,
            flat[0::2].copy(),
            flat[1::2].copy(),
            self._loop,
            rising,
            np.zeros_like(rising),
        )


def _flat(listed: Sequence[Known], rows: int) -> tuple[Int64s, Int64s]:
    """Where each wave begins, and all times and levels by turns. No mains: all are full."""
    if all(not known.mains for known in listed):
        waves = list(chain.from_iterable(known.service for known in listed))
        count = np.zeros((len(waves), WAVES), np.int64)
        count[:, 0] = np.fromiter(map(len, waves), np.int64, len(waves))
    else:
        waves = list(chain.from_iterable(chain.from_iterable(zip(*known, strict=True)) for known in listed))
        count = np.fromiter(map(len, waves), np.int64, len(waves))
    start = np.zeros(len(listed) * rows * WAVES + 1, np.int64)
    np.cumsum(count, out=start[1:])
    return start, np.fromiter(chain.from_iterable(chain.from_iterable(waves)), np.int64, 2 * int(start[-1]))


def _plain(service: Sequence[Pieces]) -> Known:
    return Known(service, (), (), ())


def _mark(tables: Tables, given: Int64s, looped: Int64s, tells: Int64s) -> None:
    """Which levels are given, which are told, and how twins of loops are seen."""
    twins, edges = tables.twins, tables.edges
    twins["given"][given] = True
    twins["tells"][looped] = True
    twins["tells"][tells] = True
    apart = twins["component"][edges["source"]] != twins["component"][edges["target"]]
    edges["given"] = edges["looped"] & apart
    twins["tells"][edges["source"][edges["given"]]] = True
    rising = np.zeros(len(twins), np.bool_)
    rising[looped] = True
    edges["inside"] &= edges["looped"] | ~rising[edges["target"]]  # all else sees such a loop from outside


def _room(row: Int64s, runs: int) -> Shown:
    """With room for a piece each: most rows are full in most runs."""
    size = runs * len(row)
    start, room = np.zeros(2 * size + 1, np.int64), size + 64
    return Shown(row, start, np.zeros(room, np.int64), np.zeros(room, np.int64))


def _larger(shown: Shown) -> Shown:
    time, level = (np.concatenate([each, np.zeros(3 * len(each), np.int64)]) for each in shown[2:])
    return shown._replace(time=time, level=level)


def _read(given: Given, shown: Shown) -> dict[int, dict[int, Levels]]:
    """By run and place among the shown rows, without those that are full."""
    end = int(shown.start[-1])
    time: list[int] = shown.time[:end].tolist()
    level: list[int] = shown.level[:end].tolist()
    rows = max(len(shown.row), 1)
    found: dict[int, dict[int, Levels]] = {number: {} for number in given.run.tolist()}
    listed = list(found.values())
    fallen = np.flatnonzero(shown.start[2::2] > shown.start[:-2:2])
    spans = (shown.start[2 * fallen], shown.start[2 * fallen + 1], shown.start[2 * fallen + 2])
    columns = (fallen // rows, fallen % rows, *spans)
    for run, row, a, b, c in zip(*(column.tolist() for column in columns), strict=True):
        mains = list(zip(time[b:c], level[b:c], strict=True)) if c > b else []
        listed[run][row] = (list(zip(time[a:b], level[a:b], strict=True)), mains)
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
        status = give(tables, given, place)
        if status == DONE and work & FALL:
            status = fall(tables, frame.cells, given, place)
        if status == DONE and work & RISE:
            status = rise(tables, frame.cells, given, place, work & FALL != 0)
        if status != DONE:
            return place, status
        if work & SHOW and not _show(tables, shown, place, work & RISE != 0):
            return place, _SHOWN_FULL
        if work & SETTLE:
            settle(tables, given, place)
        if work & TALLY:
            _give_health(tables, frame.chances.health_pieces, given, place)
            tally_run(tables, frame.prices, spell.failures, frame.cells.horizon, tally, place)
            if tables.used[STRIKES] > 0:
                tally_damage(tables, frame.prices, tally, place)
            explain_run(tables, frame.cells, frame.twin_key, causes, place)
    return len(given.run), DONE


@kernel
def _tally_held(frame: Frame, desk: Desk, tally: Tally, causes: Causes, row: int) -> None:
    tables = desk.tables
    tally_run(tables, frame.prices, desk.spell.failures, frame.cells.horizon, tally, row)
    if tables.used[STRIKES] > 0:
        tally_damage(tables, frame.prices, tally, row)
    explain_run(tables, frame.cells, frame.twin_key, causes, row)


@kernel
def _give_health(tables: Tables, drawn: int, given: Given, place: int) -> None:
    """Causes end at the boundary: what is known of a twin from outside is put down as its own health.

    Written over what was given for the last run, behind what is drawn; the caller has made room.
    """
    at = tables.used[LOADED + HEALTH] + drawn
    for number in range(len(given.row)):
        if given.kind[number] != OUTSIDE and given.kind[number] != RISING:
            continue
        twin = tables.twins[given.row[number]]
        twin.first_health = at
        wave = (place * len(given.row) + number) * WAVES
        for piece in range(given.start[wave], given.start[wave + 1]):
            tables.pieces[at].time, tables.pieces[at].value = given.time[piece], given.level[piece]
            at += 1
        twin.end_health = at


@bare
def _show(tables: Tables, shown: Shown, place: int, has_risen: bool) -> bool:
    """Copy the levels of the shown rows of one run; False where there is no room."""
    rows = len(shown.row)
    for number in range(rows):
        twin = tables.twins[shown.row[number]]
        at = shown.start[2 * (place * rows + number)]
        first, count = twin.first_piece, twin.pieces
        if has_risen:
            first, count = twin.first_inner, twin.inner_pieces
        if at + count + twin.mains_pieces > len(shown.time):
            return False
        for piece in range(count):
            taken = tables.pool[first + piece]
            shown.time[at + piece], shown.level[at + piece] = taken.time, taken.value
        shown.start[2 * (place * rows + number) + 1] = at + count
        for piece in range(twin.mains_pieces):
            taken = tables.pool[twin.first_mains + piece]
            shown.time[at + count + piece], shown.level[at + count + piece] = taken.time, taken.value
        shown.start[2 * (place * rows + number) + 2] = at + count + twin.mains_pieces
    return True
