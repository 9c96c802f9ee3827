"""Many runs of one case on a pool of threads. The outcome is the same on any number of them."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ontology.errors import LimitError, TwinmeshError
from simulation.cascade.blocks import block_runs, frame_of, new_desk, run_block
from simulation.explain import Paths, merged, paths_of
from simulation.world import FULL, NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from threading import Event

    from simulation.cascade.blocks import Desk, Frame
    from simulation.cascade.causes import Causes
    from simulation.cascade.tally import Tally
    from simulation.case import Case
    from simulation.world import Int32s, Int64s

    Progress = Callable[[int, int], None]

HITS_MAX = 200_000_000
"""First hits that are kept for quantiles, over all twins and runs: 2.4 GB."""
_PATH_ROWS_BETWEEN_MERGES = 1 << 20
_BLOCKS_AHEAD = 2  # per thread: so that none waits, and results do not pile up
_LIMB = 32
_LIMB_MASK = (1 << _LIMB) - 1


class WideSums:
    """Sums of int64 columns in two limbs: exact for any number of terms below 2^62."""

    def __init__(self, columns: int) -> None:
        self._high = np.zeros(columns, np.int64)
        self._low = np.zeros(columns, np.int64)

    def add(self, values: Int64s) -> None:
        self._low += values & _LIMB_MASK
        self._high += (values >> _LIMB) + (self._low >> _LIMB)
        self._low &= _LIMB_MASK

    def total(self, column: int) -> int:
        return (int(self._high[column]) << _LIMB) + int(self._low[column])


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What `runs` runs of a case added up to; all columns are by twin."""

    runs: int
    hits: Int64s  # [n] runs in which the level fell below full
    lowest: Int32s  # [n]
    down: WideSums  # [n] microseconds of full loss, summed
    cost: WideSums  # [n] thousandths, summed
    run_cost: Int64s  # [runs] thousandths of each run, in order
    first_of: Int64s  # [n + 1] into first_us
    first_us: Int64s  # first hits, ascending for each twin
    paths: Paths


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One block, reduced to what is kept of it."""

    runs: int
    hits: Int64s
    lowest: Int32s
    down: Int64s
    cost: Int64s
    run_cost: Int64s
    twin: Int32s  # of each hit
    first_us: Int64s
    paths: Paths


def run_case(
    case: Case,
    runs: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    cancel: Event | None = None,
) -> Outcome:
    """Compute `runs` runs; where nothing is random, one.

    threads: default one for each processor this process may use. progress(done, runs): called as blocks end.
    Raises TwinmeshError CANCELLED soon after `cancel` is set, LimitError CASCADE_ROUNDS where feedback does
    not settle, LIMIT_EXCEEDED where more first hits come up than fit.
    """
    runs = runs if case.random else 1
    merger = Merger(case.world.twins)
    for block in _blocks(case, runs, threads or available_threads()):
        if cancel is not None and cancel.is_set():
            raise TwinmeshError(f"cancelled after {merger.runs} of {runs} runs", code="CANCELLED")
        merger.add(block)
        if progress is not None:
            progress(merger.runs, runs)
    return merger.outcome()


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _blocks(case: Case, runs: int, threads: int) -> Iterator[Block]:
    """All blocks in order of their runs, computed on so many threads."""
    frame = frame_of(case)
    size = block_runs(case.world.twins)
    spans = [(first, min(size, runs - first)) for first in range(0, runs, size)]
    desks: list[Desk] = []
    if threads == 1 or len(spans) == 1:
        yield from (_compute(case, frame, desks, *span) for span in spans)
        return
    waiting: deque[Future[Block]] = deque()
    with ThreadPoolExecutor(threads, "cascade") as pool:
        try:
            for span in spans:
                waiting.append(pool.submit(_compute, case, frame, desks, *span))
                if len(waiting) >= _BLOCKS_AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _compute(case: Case, frame: Frame, desks: list[Desk], first_run: int, runs: int) -> Block:
    """One block, on a desk that no other thread uses meanwhile."""
    try:
        desk = desks.pop()
    except IndexError:
        desk = new_desk(case, frame)
    desk, tally, causes = run_block(frame, desk, first_run, runs)
    desks.append(desk)
    return reduced(runs, tally, causes)


def reduced(runs: int, tally: Tally, causes: Causes) -> Block:
    """What is kept of a block of so many runs."""
    run, twin = np.nonzero(tally.first < NEVER)
    return Block(
        runs=runs,
        hits=tally.hits,
        lowest=tally.lowest,
        down=tally.down,
        cost=tally.cost,
        run_cost=tally.run_cost,
        twin=twin.astype(np.int32),
        first_us=tally.first[run, twin],
        paths=paths_of(causes, tally.first),
    )


class Merger:
    """Adds up blocks in order of their runs."""

    def __init__(self, twins: int) -> None:
        self.runs = 0
        self._hits = np.zeros(twins, np.int64)
        self._lowest = np.full(twins, FULL, np.int32)
        self._down, self._cost = WideSums(twins), WideSums(twins)
        self._run_cost: list[Int64s] = []
        self._twin: list[Int32s] = []
        self._first_us: list[Int64s] = []
        self._first_rows = 0
        self._paths: list[Paths] = [Paths.none()]
        self._path_rows = 0

    def add(self, block: Block) -> None:
        self.runs += block.runs
        self._hits += block.hits
        np.minimum(self._lowest, block.lowest, out=self._lowest)
        self._down.add(block.down)
        self._cost.add(block.cost)
        self._run_cost.append(block.run_cost)
        self._twin.append(block.twin)
        self._first_us.append(block.first_us)
        self._first_rows += len(block.twin)
        if self._first_rows > HITS_MAX:
            hint = "fewer runs, or a smaller part of the graph"
            raise LimitError(f"more than {HITS_MAX} first hits to keep", hint=hint)
        self._add_paths(block.paths)

    def _add_paths(self, paths: Paths) -> None:
        self._paths.append(paths)
        self._path_rows += len(paths)
        if self._path_rows > _PATH_ROWS_BETWEEN_MERGES:
            self._paths = [merged(self._paths)]
            self._path_rows = 0

    def outcome(self) -> Outcome:
        twin, first_us = np.concatenate(self._twin), np.concatenate(self._first_us)
        order = np.lexsort((first_us, twin))
        return Outcome(
            runs=self.runs,
            hits=self._hits,
            lowest=self._lowest,
            down=self._down,
            cost=self._cost,
            run_cost=np.concatenate(self._run_cost),
            first_of=np.append(0, np.cumsum(np.bincount(twin, minlength=len(self._hits)))).astype(np.int64),
            first_us=first_us[order],
            paths=merged(self._paths),
        )
