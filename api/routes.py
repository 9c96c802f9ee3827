"""Routes: events to others, at least once and in order, each route in a thread of its own.

A route reads its events from logs that are on disk anyway, from a cursor on; a target that is slow or away
holds up its own route and nothing else. What it refuses becomes a dead letter, which can be tried again.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from api.impact_log import ALL_SITES
from api.route_events import ChangesSource, LogSource, Outgoing, ReadingsSource
from api.route_store import DEAD_MAX
from api.route_targets import Outcome
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from api.route_config import RouteConfig
    from api.route_events import EventSource
    from api.route_store import RouteStore
    from api.route_targets import Target
    from graph.mesh import Mesh
    from graph.stores.state_log import StateLog

_LOG = logging.getLogger("twinmesh.routes")
RETRY_S_MIN: Final = 0.5
RETRY_S_MAX: Final = 60.0
IDLE_S: Final = 1.0
_FIGURES: Final = {
    "delivered_total": "counter",
    "attempts_failed_total": "counter",
    "behind": "gauge",
    "dead_letters": "gauge",
}


class Route:
    """One route at work. A context manager: at the end of the block it stops, also within a pause."""

    def __init__(self, config: RouteConfig, store: RouteStore, target: Target) -> None:
        self.config = config
        self.delivered = 0
        self.attempts_failed = 0
        self.last_error: str | None = None
        self._store = store
        self._target = target
        self._sources: list[EventSource] = []
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"route-{config.name}", daemon=True)

    def wake(self) -> None:
        """There may be something new; from any thread."""
        self._woken.set()

    def start(self, sources: Sequence[EventSource]) -> None:
        self._sources = list(sources)
        for source in self._sources:
            self._begin(source)
        self._thread.start()

    def __enter__(self) -> Route:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
        for source in self._sources:
            source.close()
        self._target.close()

    def behind(self) -> int:
        """Events that are on disk and not yet delivered or dead."""
        found = 0
        for source in self._sources:
            position = self._store.position(self.config.name, source.site, source.kind) or 0
            found += max(0, source.head() - position)
        return found

    def figures(self) -> dict[str, int]:
        """How it does, by the names of `_FIGURES`."""
        return {
            "delivered_total": self.delivered,
            "attempts_failed_total": self.attempts_failed,
            "behind": self.behind(),
            "dead_letters": self.dead(),
        }

    def dead(self) -> int:
        return self._store.count_dead(self.config.name)

    def _begin(self, source: EventSource) -> None:
        """A new route begins with what comes from now on, unless it is told to tell all."""
        if self._store.position(self.config.name, source.site, source.kind) is None:
            start = 0 if self.config.from_start else source.head()
            self._store.move(self.config.name, source.site, source.kind, start)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            try:
                busy = self._try_dead_again() | self._turn()
            except StoreError as error:
                self.last_error, busy = str(error), False
                _LOG.error("route %s: %s", self.config.name, error)
            if not busy:
                self._woken.wait(IDLE_S)

    def _turn(self) -> bool:
        """One page of every source; whether there was anything."""
        found = False
        for source in self._sources:
            self._store.begin_again(self.config.name, source.site, source.kind)
            position = self._store.position(self.config.name, source.site, source.kind) or 0
            for event in source.read(position):
                found = True
                if not self._settle(event):
                    return False  # stopped
                self._store.move(self.config.name, event.site, event.kind, event.position)
        return found

    def _settle(self, event: Outgoing) -> bool:
        """Deliver an event, however long its target is away, or bury it; False: stopped before either."""
        if event.content is None:
            return True
        refusals, wait_s = 0, RETRY_S_MIN
        while not self._stop.is_set():
            outcome, reason = self._target.deliver(event, event.content)
            if outcome is Outcome.DELIVERED:
                self.delivered, self.last_error = self.delivered + 1, None
                return True
            self.attempts_failed, self.last_error = self.attempts_failed + 1, reason
            refusals += outcome is Outcome.REFUSED
            is_hopeless = outcome is Outcome.NEVER or refusals >= self.config.attempts_max
            if is_hopeless and self.dead() < DEAD_MAX:
                _LOG.warning("route %s: %s is a dead letter: %s", self.config.name, event.id, reason)
                self._bury(event, reason)
                return True
            self._stop.wait(wait_s * random.uniform(0.8, 1.2))
            wait_s = min(wait_s * 2, RETRY_S_MAX)
        return False

    def _bury(self, event: Outgoing, reason: str) -> None:
        assert event.content is not None
        self._store.bury(self.config.name, event.site, event.kind, event.id, reason, event.content)

    def _try_dead_again(self) -> bool:
        """Dead letters that somebody asked to try once more, one attempt each."""
        found = self._store.to_try_again(self.config.name)
        for dead in found:
            if self._stop.is_set():
                break
            event = Outgoing(dead.site, dead.kind, 0, dead.event, dead.content)
            outcome, reason = self._target.deliver(event, dead.content)
            if outcome is Outcome.DELIVERED:
                self.delivered += 1
            self._store.settle(dead.number, None if outcome is Outcome.DELIVERED else reason)
        return bool(found)


class Routes:
    """All routes of a server."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._routes = tuple(routes)

    def lines(self) -> Iterator[str]:
        """How routes do, in Prometheus' text format."""
        for name, kind in _FIGURES.items():
            yield f"# TYPE twinmesh_route_{name} {kind}"
            for route in self._routes:
                label = route.config.name.replace("\\", "").replace('"', "")
                yield f'twinmesh_route_{name}{{route="{label}"}} {route.figures()[name]}'


@dataclass(frozen=True, slots=True)
class Logs:
    """What routes read besides twins: of commands and alarms by site, of cascades one for all."""

    commands: Mapping[str, StateLog] = field(default_factory=dict[str, "StateLog"])
    alarms: Mapping[str, StateLog] = field(default_factory=dict[str, "StateLog"])
    impacts: StateLog | None = None


def sources_of(route: Route, mesh: Mesh, logs: Logs) -> list[EventSource]:
    """What a route carries, as it stands now: sites that are made later need a restart."""
    config = route.config
    found: list[EventSource] = []
    if logs.impacts is not None and "impacts" in config.kinds:
        found.append(LogSource("impacts", "", ALL_SITES, logs.impacts, config, route.wake))
    for site in config.sites or mesh.sites:
        twin = mesh.twin(site)
        for kind in config.kinds:
            if kind == "changes":
                found.append(ChangesSource(twin, route.wake))
            elif kind == "readings":
                found.append(ReadingsSource(twin, config.points, route.wake))
            else:
                log = {"alarms": logs.alarms, "commands": logs.commands}.get(kind, {}).get(site)
                if log is not None:
                    found.append(LogSource(kind, twin.base, site, log, config, route.wake))
    return found
