"""What a site does beside its work, in one thread of its own: merging relationships, taking checkpoints."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from graph.checkpoint import capture
from graph.csr import build_base
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from threading import Lock

    from graph.checkpoint import Capture
    from graph.checkpoints import Checkpoints, Duty
    from graph.state import State
    from graph.stores.protocol import Head

# Below this many twins the first change copies all texts in a few milliseconds.
WARM_TWINS_MIN = 100_000
_LOG = logging.getLogger("twinmesh.checkpoints")


class Housekeeper:
    """At most one job of each sort at a time, merges before checkpoints.

    lock: the site's. now: the state and the commit it shows, None where memory is not to be trusted.
    """

    def __init__(
        self,
        lock: Lock,
        checkpoints: Checkpoints,
        duty: Duty,
        now: Callable[[], tuple[State, Head] | None],
    ) -> None:
        self._duty = duty
        self._now = now
        self._lock = lock
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twinmesh-housekeeping")
        self._merging: Future[None] | None = None
        self._saving: Future[None] | None = None
        self._closed = False

    def warm(self) -> None:
        """Copy the texts of a large site out of its checkpoint, so that no change waits for that later."""
        now = self._now()
        if now is not None and now[0].twins.size >= WARM_TWINS_MIN:
            for make_room in (now[0].twins.ids.make_room, now[0].pools.texts.table.make_room):
                self._thread.submit(make_room)

    def look(self, *, writes: bool) -> None:
        """Begin whatever is due; under the site's lock. writes: checkpoints are taken too."""
        now = self._now()
        if self._closed or now is None:
            return
        state, head = now
        if state.edges.base_is_old and _is_free(self._merging):
            self._merging = self._thread.submit(self._merge)
        if writes and _is_free(self._saving) and self._duty.is_due(head.sequence):
            self._saving = self._thread.submit(self._save)

    def take(self) -> Future[int]:
        """Take a checkpoint whether it is due or not. The job raises StoreError where that fails."""
        return self._thread.submit(self._take)

    def finish(self) -> None:
        """Under the site's lock, after `close`: the checkpoint that is due at the end is taken now."""
        now = self._now()
        if now is not None and self._duty.is_due_at_close(now[1].sequence):
            try:
                self._write(self._capture(*now))
            except StoreError as error:
                _LOG.warning("no checkpoint was taken: %s", error)

    def wait(self) -> None:
        """Until nothing is being done. Not under the site's lock: jobs end by taking it."""
        for job in (self._merging, self._saving):
            if job is not None:
                job.result()

    def close(self) -> None:
        """End the thread, after what it is doing. Not under the site's lock."""
        self._closed = True
        self._thread.shutdown()

    def _capture(self, state: State, head: Head) -> Capture:
        self._duty.began(head.sequence)
        return capture(state, head)

    def _merge(self) -> None:
        """Freeze the ends, sort them without the lock, and walk from the new base from then on."""
        with self._lock:
            now = self._now()
            if now is None:
                return
            edges, count, twins = now[0].edges, now[0].edges.size, now[0].twins.size
            source, target = edges.source.freeze(count), edges.target.freeze(count)
        base = build_base(source, target, count, twins)
        with self._lock:
            edges.take_base(base)

    def _take(self) -> int:
        with self._lock:
            now = self._now()
            if now is None:
                raise StoreError("the site is being read again", code="STORE_FAILED")
            captured = self._capture(*now)
        return self._write(captured)

    def _save(self) -> None:
        try:
            self._take()
        except StoreError as error:
            # Nothing is lost: the journal has all of it. It is tried again later.
            _LOG.warning("no checkpoint was taken: %s", error)

    def _write(self, captured: Capture) -> int:
        began_s, size_bytes = time.monotonic(), 0
        try:
            size_bytes = self._checkpoints.take(captured)
        finally:
            self._duty.ended(time.monotonic() - began_s, failed=not size_bytes)
        _LOG.info("checkpoint of %s at %d: %d bytes", captured.site, captured.head.sequence, size_bytes)
        return size_bytes


def _is_free(job: Future[None] | None) -> bool:
    """Whether another may begin. A job that failed in a way nobody foresaw is told here, and tried again."""
    if job is None or not job.done():
        return job is None
    error = job.exception()
    if error is not None:
        _LOG.error("housekeeping failed", exc_info=error)
    return True
