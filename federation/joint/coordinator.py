"""Runs the phases of a joint cascade over sites: opens one, carries letters until all is quiet, closes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from federation.joint.messages import Phase, Stage
from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from federation.joint.part import Token
    from federation.joint.site import Outgoing, Site


@dataclass(frozen=True, slots=True)
class Limits:
    """rounds: letters that follow from each other in one phase; turns: times that loops begin anew."""

    rounds_max: int = 100_000
    turns_max: int = 10_000


@dataclass(frozen=True, slots=True)
class PhaseCount:
    stage: Stage
    rounds: int  # the longest chain of letters of which each follows from the one before
    letters: int
    bytes: int
    quiet: bool


@dataclass(frozen=True, slots=True)
class RunReport:
    """exact: the sites' outcomes are those of one machine; else they hold bounds.

    turns: outer rounds, how often loops through several sites began anew; phases: inner rounds of each phase
    """

    exact: bool
    turns: int
    phases: list[PhaseCount] = field(default_factory=list[PhaseCount])


class Post(Protocol):
    """Carries letters within a phase. May deliver in any order, late or twice, but loses none silently."""

    def send(self, receiver: str, letter: bytes, depth: int) -> None: ...

    def deliver(self) -> tuple[str, list[bytes], int] | None:
        """A receiver, some of its letters and the greatest depth among them; None when nothing is left."""
        ...

    def drop(self) -> None:
        """Forget what is under way."""
        ...


class Coordinator:
    """Sees who sends how much to whom, never what: letters are bytes to it, loops are opaque names.

    first_phase: number of the first phase; a coordinator that follows another one goes on from its `phases`.
    """

    def __init__(
        self, sites: Iterable[Site], post: Post, limits: Limits | None = None, *, first_phase: int = 1
    ) -> None:
        self._sites: Mapping[str, Site] = {site.name: site for site in sites}
        self._post, self._limits = post, limits or Limits()
        self.phases = first_phase - 1

    def plan(self) -> list[PhaseCount]:
        """What a model revision needs. Raises LimitError JOINT_PLAN_ROUNDS where it does not get quiet."""
        counts = [self._phase(Stage.REACH)[0]]
        counts.append(self._phase(Stage.RANK)[0])
        if not all(count.quiet for count in counts):
            raise LimitError(
                f"sites did not agree on a plan in {self._limits.rounds_max} rounds", code="JOINT_PLAN_ROUNDS"
            )
        return counts

    def run(self) -> RunReport:
        """One run, once each site has started it: levels fall, loops rise from nothing, until none fell.

        Past the limits no exact answer is claimed: what has fallen so far is an upper bound, and a lower one
        is made to rise from nothing.
        """
        phases: list[PhaseCount] = []
        for turns in range(self._limits.turns_max):
            count, touched, _ = self._phase(Stage.FALL)
            phases.append(count)
            if not count.quiet:
                return self._bounded(turns, phases)
            if not touched:
                return RunReport(True, turns, phases)
            count, _, fell = self._phase(Stage.RISE, touched)
            phases.append(count)
            if not count.quiet:
                return self._bounded(turns, phases)
            if not fell:
                return RunReport(True, turns + 1, phases)
        return self._bounded(self._limits.turns_max, phases)

    def _bounded(self, turns: int, phases: list[PhaseCount]) -> RunReport:
        count, _, _ = self._phase(Stage.LOW)
        return RunReport(False, turns, [*phases, count])

    def _phase(self, stage: Stage, loops: Iterable[Token] = ()) -> tuple[PhaseCount, set[Token], bool]:
        """Open, carry until quiet, close; what sites touched, and whether loops fell as they rose."""
        self.phases += 1
        phase = Phase(self.phases, stage, sorted(loops))
        tally = _Tally()
        for name, site in self._sites.items():
            self._send(name, site.open(phase), 1, tally)
        quiet = self._carry(tally)
        if not quiet:
            self._post.drop()
            return PhaseCount(stage, tally.rounds, tally.letters, tally.bytes, False), set(), False
        reports = [site.close() for site in self._sites.values()]
        touched = {token for report in reports for token in report.touched}
        count = PhaseCount(stage, tally.rounds, tally.letters, tally.bytes, True)
        return count, touched, any(report.fell for report in reports)

    def _carry(self, tally: _Tally) -> bool:
        """Deliver until nothing is under way; False where the limit of rounds came first."""
        while (delivery := self._post.deliver()) is not None:
            receiver, letters, depth = delivery
            if depth > self._limits.rounds_max:
                return False
            self._send(receiver, self._sites[receiver].take(letters), depth + 1, tally)
        return True

    def _send(self, sender: str, outgoing: Outgoing, depth: int, tally: _Tally) -> None:
        for receiver, letter in outgoing.items():
            if receiver in self._sites and receiver != sender:
                tally.count(letter, depth)
                self._post.send(receiver, letter, depth)


@dataclass(slots=True)
class _Tally:
    rounds: int = 0
    letters: int = 0
    bytes: int = 0

    def count(self, letter: bytes, depth: int) -> None:
        self.rounds = max(self.rounds, depth)
        self.letters += 1
        self.bytes += len(letter)
