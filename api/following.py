"""A follower among servers: a thread that stays close behind the process that writes, and says how close."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.config import Follow
    from graph.following import Lag
    from graph.mesh import Mesh

_LOG = logging.getLogger("twinmesh.api")
# After an error of the journal, it is looked at so much less often.
_ERROR_PAUSES: Final = 10


class Following:
    """Follows all sites of a read-only mesh from a thread of its own; a context manager.

    Watchers, and with them subscriptions, are told from this thread. Readers do not depend on it for what is
    new, only for what takes long.
    """

    def __init__(self, mesh: Mesh, settings: Follow, *, worker: int = 1) -> None:
        self._mesh = mesh
        self._settings = settings
        self._worker = worker
        self._stop = threading.Event()
        self._errors: dict[str, StoreError] = {}
        self._looks = 0
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def problem(self) -> tuple[str, str] | None:
        """The code and the words of why this follower should not be asked now."""
        if not self._thread.is_alive():
            return "FOLLOWER_STOPPED", "the thread that follows has ended"
        unlisted = (self._mesh.unlisted,) if self._mesh.unlisted else ()
        for error in (*self._errors.values(), *self._mesh.unreadable.values(), *unlisted):
            return error.code, error.message
        try:
            age_s = max((self._mesh.twin(site).lag().age_s for site in self._mesh.sites), default=0.0)
        except StoreError as error:
            return error.code, error.message
        if age_s > self._settings.lag_s_max:
            return "FOLLOWER_LAGGING", "what this follower shows may be older than is allowed"
        return None

    def lines(self) -> Iterator[str]:
        """How far behind each site may be, in Prometheus' text format."""
        worker = f'worker="{self._worker}"'
        lags = list(self._lags())
        yield "# TYPE twinmesh_follower_lag_commits gauge"
        for site, lag in lags:
            yield f'twinmesh_follower_lag_commits{{site="{site}",{worker}}} {lag.commits}'
        yield "# TYPE twinmesh_follower_lag_seconds gauge"
        for site, lag in lags:
            yield f'twinmesh_follower_lag_seconds{{site="{site}",{worker}}} {lag.age_s:.6f}'
        yield "# TYPE twinmesh_follower_looks_total counter"
        yield f"twinmesh_follower_looks_total{{{worker}}} {self._looks}"
        yield "# TYPE twinmesh_follower_failures_total counter"
        yield f"twinmesh_follower_failures_total{{{worker}}} {self._failures}"
        yield "# TYPE twinmesh_follower_sites_unreadable gauge"
        yield f"twinmesh_follower_sites_unreadable{{{worker}}} {len(self._mesh.unreadable)}"

    def _lags(self) -> Iterator[tuple[str, Lag]]:
        """Of the sites whose journals can be asked now."""
        for site in self._mesh.sites:
            with suppress(StoreError):
                yield site, self._mesh.twin(site).lag()

    def _run(self) -> None:
        pause_s = self._settings.poll_s
        while not self._stop.wait(pause_s):
            for site in self._mesh.sites:
                self._look(site)
            self._looks += 1
            pause_s = self._settings.poll_s * (_ERROR_PAUSES if self._errors else 1)

    def _look(self, site: str) -> None:
        """Take over all that is new in one site."""
        try:
            twin = self._mesh.twin(site)
            while not (twin.follow() or self._stop.is_set()):
                pass
        except StoreError as error:
            self._failures += 1
            if site not in self._errors:
                _LOG.error("site %s cannot be followed: %s", site, error)
            self._errors = {**self._errors, site: error}
        else:
            if site in self._errors:
                _LOG.warning("site %s is followed again", site)
                self._errors = {name: error for name, error in self._errors.items() if name != site}
