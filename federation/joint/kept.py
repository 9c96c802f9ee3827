"""Plans that outlive a cascade: what sites agreed upon before its first run, kept for the next one like it.

A plan has a random name that all its sites know it by. It is used again where each of them still has it and
finds its own share unchanged: its snapshot, what it agreed with whom, its events, who takes part. Else all
make a new one, under a new name, so that shares of two plans never meet.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from federation.joint.boundary import LastFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from federation.coarse import Coarse
    from federation.joint.part import Part, Token
    from federation.joint.plan import JointPlan
    from graph.snapshot import Snapshot
    from simulation.compile import Compiled
    from simulation.scenario import Scenario

PLANS_MAX: Final = 16
TWINS_MAX: Final = 1_000_000
"""Twins of all plans that one server keeps, but for the newest plan."""
NAME_BYTES: Final = 16


@dataclass(slots=True)
class Boundary:
    """tokens: of foreign rows by row; exports: own row of each token; reader: who reads it."""

    tokens: dict[int, Token] = field(default_factory=dict[int, bytes])
    media: dict[int, str] = field(default_factory=dict[int, str])
    exports: dict[Token, int] = field(default_factory=dict[bytes, int])
    reader: dict[Token, str] = field(default_factory=dict[bytes, str])

    def rows_by_reader(self) -> dict[str, list[int]]:
        """Own rows that each reader is told of."""
        found: dict[str, list[int]] = {}
        for token, row in self.exports.items():
            found.setdefault(self.reader[token], []).append(row)
        return {reader: sorted(rows) for reader, rows in found.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """All that one site's share of a plan follows from, but for what other sites say.

    scenario: as this site sees it; seed, runs and name are of no matter. lit: who takes part. terms: what is
    agreed with partners, now (`boundary.terms_of`).
    """

    snapshot: Snapshot
    scenario: Scenario
    unknown: bool
    owners: Mapping[int, str]
    terms: bytes
    lit: frozenset[str]

    def supports(self, other: Ground) -> bool:
        """Whether plans made on both are equal. A mesh gives the same snapshot until something changes."""
        return (
            self.snapshot is other.snapshot
            and (self.unknown, self.terms, self.lit) == (other.unknown, other.terms, other.lit)
            and _bare(self.scenario) == _bare(other.scenario)
            and self.owners == other.owners
        )


@dataclass(frozen=True, slots=True, eq=False)
class KeptPlan:
    """One site's share of a plan; nothing in it changes any more."""

    boundary: Boundary
    compiled: Compiled
    part: Part
    plan: JointPlan
    coarse: Mapping[str, Coarse]
    lit: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    asker: str
    ground: Ground
    kept: KeptPlan
    block_runs: int = 0


class KeptPlans:
    """The plans that one server keeps, newest last; the oldest go. Thread-safe.

    facts: of its snapshot, kept beside them.
    """

    def __init__(self, plans_max: int = PLANS_MAX, twins_max: int = TWINS_MAX) -> None:
        self._plans_max, self._twins_max = plans_max, twins_max
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._lock = Lock()
        self.facts = LastFacts()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, name: bytes, asker: str, ground: Ground, kept: KeptPlan) -> None:
        """asker: who conducted, and alone may use it again."""
        with self._lock:
            stale = [n for n, each in self._entries.items() if each.ground.snapshot is not ground.snapshot]
            for old in stale:  # they hold a snapshot that is not the newest any more, or soon will not be
                del self._entries[old]
            self._entries[name] = _Entry(asker, ground, kept)
            while len(self._entries) > 1 and self._is_full():
                self._entries.popitem(last=False)

    def find(self, name: bytes, asker: str, ground: Ground) -> KeptPlan | None:
        """The plan of this name, where its asker asks and it still holds."""
        with self._lock:
            entry = self._entries.get(name)
        if entry is None or entry.asker != asker or not entry.ground.supports(ground):
            return None
        return entry.kept

    def name_of(self, asker: str, ground: Ground) -> bytes:
        """The newest plan that holds; b'' for none."""
        with self._lock:
            entries = list(self._entries.items())
        fitting = (n for n, each in reversed(entries) if each.asker == asker and each.ground.supports(ground))
        return next(fitting, b"")

    def block_runs(self, name: bytes) -> int:
        """How many runs to a block were good when the plan was used last; 0: nobody said."""
        with self._lock:
            entry = self._entries.get(name)
        return entry.block_runs if entry is not None else 0

    def note_block_runs(self, name: bytes, block_runs: int) -> None:
        with self._lock:
            if name in self._entries:
                self._entries[name] = replace(self._entries[name], block_runs=block_runs)

    def _is_full(self) -> bool:
        twins = sum(each.kept.part.world.twins for each in self._entries.values())
        return len(self._entries) > self._plans_max or twins > self._twins_max


def _bare(scenario: Scenario) -> Scenario:
    return replace(scenario, name="", seed=0, runs=1)
