"""One judge for each site: rules and states of its points, whatever source their readings come by."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.quality.detecting import PointStates, flags_of, graded, stale
from adapters.quality.site_rules import site_rules
from graph.quality import Reason, severities
from graph.values import Readings
from ontology.limits import load_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    import numpy.typing as npt

    from adapters.quality.rules import Rules
    from adapters.routing import Router
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.twin import Twin
    from ontology.units import Units

SWEEP_NS: Final = 1_000_000_000
"""Points are looked over for silence once a second at most, and rules follow the graph as often."""


@contextmanager
def judging(mesh: Mesh, units: Units) -> Generator[dict[str, Judge]]:
    """A judge for each site while the block runs, and a thread that looks for silence; by site."""
    judges = {site: Judge(mesh.twin(site), units) for site in mesh.sites}
    for site, judge in judges.items():
        mesh.twin(site).judge = judge
    stop = threading.Event()
    sweeper = threading.Thread(target=_sweep, args=(judges, stop), name="quality-sweep", daemon=True)
    sweeper.start()
    try:
        yield judges
    finally:
        stop.set()
        sweeper.join()
        for site in judges:
            mesh.twin(site).judge = None


def _sweep(judges: Mapping[str, Judge], stop: threading.Event) -> None:
    while not stop.wait(SWEEP_NS / 1e9):
        for judge in judges.values():
            judge.sweep()


def heed(twin: Twin, router: Router) -> None:
    """From now on the rules of a source's bindings hold for the points that it may feed."""
    if isinstance(twin.judge, Judge):
        twin.judge.add(router)


def judged(twin: Twin, readings: Readings, arrived_ns: int) -> Readings:
    """What the twin's judge makes of readings before they are recorded; without one, the readings."""
    return readings if twin.judge is None else twin.judge.judged(readings, arrived_ns)


class Judge:
    """Judges readings of one site, and its silence. Safe from any thread; one batch at a time."""

    def __init__(self, twin: Twin, units: Units, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """clock: how long nothing came goes by it; the time of day may jump."""
        self._twin = twin
        self._units = units
        self._clock = clock
        self._limits = load_limits()
        self._lock = threading.Lock()
        self._routers: list[Router] = []
        self._since_ns = self._followed_ns = self._swept_ns = clock()
        self._counts: Counter[int] = Counter()
        self._silent = np.zeros(0, np.uint8)
        self._revisions: object = None
        self._states = PointStates.of(0)
        self._follow(twin.snapshot())

    def add(self, router: Router) -> None:
        """The rules of a source's bindings hold from now on."""
        with self._lock:
            self._routers.append(router)
            self._revisions = None
            self._follow(self._twin.snapshot())

    def judged(self, readings: Readings, arrived_ns: int) -> Readings:
        """Readings with the quality that they show, or the stated one where that is worse."""
        if not len(readings):
            return readings
        with self._lock:
            now_ns = self._clock()
            is_known = int(readings.points.max()) < len(self._rules)
            if not is_known or now_ns - self._followed_ns >= SWEEP_NS:
                self._follow(self._twin.snapshot())
            known = (readings.points >= 0) & (readings.points < len(self._rules))
            if not known.all():  # `record` leaves rows out that are no twins
                readings = _taken(readings, known)
            flags = flags_of(readings, self._rules, self._states, arrived_ns)
            self._states.arrived_ns[readings.points] = now_ns  # a replay has a clock of its own
            self._silent[readings.points] = 0
            quality = graded(flags, readings.quality)
            self._count(flags)
        return Readings(readings.points, readings.times_ns, readings.words, quality)

    def sweep(self) -> int:
        """Doubt the last values of points that have been silent for too long; how many are new to that.

        For a thread that calls it again and again: does nothing where the last call was just now.
        """
        now_ns = self._clock()
        if now_ns - self._swept_ns < SWEEP_NS // 2:
            return 0
        snapshot = self._twin.snapshot()
        with self._lock:
            self._swept_ns = now_ns
            self._follow(snapshot)
            rows, quality = stale(self._rules, self._states, self._since_ns, now_ns)
            new = quality > self._silent[rows]
            rows, quality = rows[new], quality[new]
            self._silent[rows] = quality
            doubtful = _last(snapshot, rows, quality)
        told = self._twin.doubt(doubtful) if len(doubtful) else 0
        self._counts[Reason.STALE] += told
        return told

    def counts(self) -> dict[str, int]:
        """How often each reason was found since the start, by its name."""
        return {reason.name: self._counts[reason] for reason in Reason if self._counts[reason]}

    def _follow(self, snapshot: Snapshot) -> None:
        self._followed_ns = self._clock()
        if snapshot.revisions == self._revisions:
            return
        bindings = [
            pair for router in self._routers for pair in zip(router.bindings, router.expected, strict=True)
        ]
        self._rules: Rules = site_rules(snapshot, self._units, self._limits, bindings)
        self._states.grow(len(self._rules))
        more = len(self._rules) - len(self._silent)
        self._silent = np.concatenate((self._silent, np.zeros(max(more, 0), np.uint8)))
        self._revisions = snapshot.revisions

    def _count(self, flags: npt.NDArray[np.int64]) -> None:
        if not flags.any():
            return
        found = flags[flags != 0]
        for bits, number in zip(*np.unique(found, return_counts=True), strict=True):
            for reason in Reason:
                if int(bits) >> reason & 1:
                    self._counts[reason] += int(number)


def _last(snapshot: Snapshot, rows: npt.NDArray[np.intp], quality: npt.NDArray[np.uint8]) -> Readings:
    """Last values of points with a quality that is not better than theirs; who never had one is left out."""
    rows, quality = rows[rows < snapshot.size], quality[rows < snapshot.size]
    twins = snapshot.twins
    times, own = twins.point_time.take(rows), twins.point_quality.take(rows)
    worse = (times > 0) & (severities(quality) >= severities(own))
    last = Readings(rows.astype(np.int32), times, twins.point_word.take(rows), quality)
    return _taken(last, worse)


def _taken(readings: Readings, mask: npt.NDArray[np.bool_]) -> Readings:
    return Readings(
        readings.points[mask], readings.times_ns[mask], readings.words[mask], readings.quality[mask]
    )
