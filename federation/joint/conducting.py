"""Conducts a cascade over servers: acts with barriers, blocks of runs, letters carried between sites."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from federation.joint.letters import Act, Step
from ontology.errors import LimitError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from federation.joint.cascading import CascadeSite, Report

T = TypeVar("T")
BLOCK_RUNS = 128
BLOCK_RUNS_MAX = 1_024
QUICK_S, SLOW_S = 0.5, 4.0
"""A block that takes less is followed by a larger one, one that takes more by a smaller one."""
Waiting: TypeAlias = "dict[str, list[tuple[str, bytes]]]"
"""Letters under way, by receiver, each with its sender."""
BLAMED = ("JOINT_MESSAGE_INVALID", "JOINT_ORDER", "JOINT_BOUNDARY")
"""What goes wrong while a letter is read is its writer's fault."""


class PeerLost(Exception):
    """A peer that does not take part any more; `code` is its refusal, or how it failed."""

    def __init__(self, peer: str, code: str) -> None:
        super().__init__(f"{peer}: {code}")
        self.peer, self.code = peer, code


@dataclass(frozen=True, slots=True)
class Bounds:
    """rounds: letters that follow from each other in one act; turns: times that loops begin anew.

    may_grow: blocks become larger where they take little time. Nothing of the answer depends on them.
    """

    rounds_max: int = 2_000
    turns_max: int = 200
    block_runs: int = BLOCK_RUNS
    may_grow: bool = True

    def like_last(self, block_runs: int) -> Bounds:
        """Begin with blocks of the size that was good before (0: none was), where blocks may grow at all."""
        return replace(self, block_runs=block_runs) if block_runs and self.may_grow else self

    def smaller(self) -> Bounds:
        """For letters that were too large."""
        return replace(self, block_runs=max(self.block_runs // 8, 1), may_grow=False)


@dataclass(slots=True)
class Traffic:
    """What a cascade took. rounds: by act, the most of one act; turns: the most that a block took."""

    acts: int = 0
    turns: int = 0
    letters: int = 0
    bytes: int = 0
    rounds: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Heard:
    """Letters of a site by receiver, and what it reports."""

    letters: Mapping[str, bytes]
    report: Report


class SiteAtHand(Protocol):
    """A site of a cascade, here or at another server."""

    @property
    def name(self) -> str: ...

    async def open(self, step: Step) -> Heard: ...

    async def take(self, letters: Sequence[tuple[str, bytes]]) -> Heard: ...


@dataclass(frozen=True, slots=True)
class Here:
    """A site in this process; it works in a thread."""

    site: CascadeSite

    @property
    def name(self) -> str:
        return self.site.name

    async def open(self, step: Step) -> Heard:
        return await asyncio.to_thread(lambda: Heard(self.site.open(step), self.site.report()))

    async def take(self, letters: Sequence[tuple[str, bytes]]) -> Heard:
        try:
            return await asyncio.to_thread(lambda: Heard(self.site.take(letters), self.site.report()))
        except TwinmeshError as error:
            if error.code in BLAMED:
                raise PeerLost(self.site.reading, error.code) from error
            raise


class Conductor:
    """Sees who writes to whom and how much; the letters are bytes to it."""

    def __init__(
        self,
        sites: Iterable[SiteAtHand],
        bounds: Bounds,
        progress: Callable[[int, int], None],
        check: Callable[[], None],
        carry: Callable[[Waiting], Waiting] | None = None,
    ) -> None:
        """carry: takes out of what is under way what arrives next; default everything. Some of it must."""
        self._carry = carry or _everything
        self._sites = {site.name: site for site in sites}
        self._bounds, self._progress, self._check = bounds, progress, check
        self._number = 0
        self._runs: set[int] = set()
        self._reports: dict[str, Report] = {}
        self.traffic = Traffic()

    async def prepare(self, *, recalls: bool = False) -> tuple[bool, bool]:
        """Agree, see who can be hit, plan. (whether runs differ, whether levels are bounds somewhere).

        recalls: all sites have a plan of the same name that they can use instead.
        """
        for act in (Act.RECALL,) if recalls else (Act.AGREE, Act.TOUCH, Act.REACH, Act.RANK):
            await self._act(act)
        reports = self._reports.values()
        is_bounded = any(each.is_bounded or each.is_coarse for each in reports)
        return any(each.is_random for each in reports), is_bounded

    @property
    def coarse(self) -> frozenset[str]:
        """Sites that tell bounds of levels because a contract says so."""
        return frozenset(name for name, report in self._reports.items() if report.is_coarse)

    async def run(self, runs: int, *, well: bool) -> int:
        """All runs, block by block; each site counts its own share. How many a next block would have."""
        size, done, most = self._bounds.block_runs, 0, 0
        while done < runs:
            began_s = time.monotonic()
            until = min(done + size, runs)
            await self._block(range(done, until), well=well)
            most = max(most, until - done)
            done, took_s = until, time.monotonic() - began_s
            self._progress(done, runs)
            if took_s > SLOW_S:
                size = max(size // 4, 1)
            elif took_s < QUICK_S and self._bounds.may_grow:
                size = min(size * 8, BLOCK_RUNS_MAX)  # a message more costs as much as hundreds of runs
        # A few runs that were quick say little of a thousand.
        return min(size, max(self._bounds.block_runs, most * 8))

    async def _block(self, runs: range, *, well: bool) -> None:
        active, is_new = list(runs), True
        for turn in range(1, self._bounds.turns_max + 1):
            self.traffic.turns = max(self.traffic.turns, turn)
            await self._act(Act.FALL, active, is_new=is_new, well=well)
            is_new = False
            loops = self._touched()
            if loops:
                await self._act(Act.RISE, sorted(loops), loops)
                await self._act(Act.SETTLE, sorted(loops), loops)
            active = sorted(
                {run for report in self._reports.values() for run in report.fell} if loops else ()
            )
            if not active:
                return  # counted with the next block, or when the Impact is asked for
        raise _unsettled(self._bounds.turns_max, "turns")

    def _touched(self) -> dict[int, list[bytes]]:
        """Loops that restart, by run."""
        found: dict[int, set[bytes]] = {}
        for report in self._reports.values():
            for run, names in report.touched.items():
                found.setdefault(run, set()).update(names)
        return {run: sorted(names) for run, names in found.items()}

    async def _act(
        self,
        act: Act,
        runs: Sequence[int] = (),
        loops: Mapping[int, list[bytes]] | None = None,
        *,
        is_new: bool = False,
        well: bool = False,
    ) -> None:
        """Open an act everywhere, and carry letters until none is under way."""
        self._number += 1
        self.traffic.acts += 1
        self._runs = {*runs}
        self._check()
        step = Step(self._number, act, list(runs), dict(loops or {}), is_new, well)
        waiting = self._sorted(await together(site.open(step) for site in self._sites.values()), self._sites)
        rounds = 0
        while waiting:
            rounds += 1
            if rounds > self._bounds.rounds_max:
                raise _unsettled(rounds - 1, "rounds")
            arriving = self._carry(waiting)
            names = list(arriving)
            heard = await together(self._sites[name].take(arriving[name]) for name in names)
            for receiver, letters in self._sorted(heard, names).items():
                waiting.setdefault(receiver, []).extend(letters)
        self.traffic.rounds[act.value] = max(rounds, self.traffic.rounds.get(act.value, 0))

    def _sorted(self, heard: Sequence[Heard], names: Iterable[str]) -> Waiting:
        """Letters by receiver, with their senders."""
        waiting: Waiting = {}
        for name, each in zip(names, heard, strict=True):
            if not self._runs >= {*each.report.touched, *each.report.fell}:
                raise PeerLost(name, "JOINT_MESSAGE_INVALID")
            self._reports[name] = each.report
            for receiver, letter in each.letters.items():
                if receiver in self._sites and receiver != name:
                    waiting.setdefault(receiver, []).append((name, letter))
                    self.traffic.letters += 1
                    self.traffic.bytes += len(letter)
        return waiting


async def together(calls: Iterable[Awaitable[T]]) -> list[T]:
    """All at once; the first error cancels the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _everything(waiting: Waiting) -> Waiting:
    arriving = dict(waiting)
    waiting.clear()
    return arriving


def _unsettled(count: int, what: str) -> LimitError:
    return LimitError(f"the sites did not come to rest in {count} {what}", code="JOINT_UNSETTLED")
