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
    from concurrent.futures import Future
    from threading import Lock

    import numpy as np

    from graph.checkpoint import Capture
    from graph.checkpoints import Checkpoints, Duty
    from graph.columns import Reader
    from graph.state import State
    from graph.stores.protocol import Head
    from graph.tables import EdgeTable

_LOG = logging.getLogger("twinmesh.checkpoints")


class Housekeeper:
    """At most one job of each sort at a time. Methods that take a state are called under the site's lock."""

    def __init__(self, lock: Lock, checkpoints: Checkpoints, duty: Duty) -> None:
        self.duty = duty
        self._lock = lock
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twinmesh-housekeeping")
        self._merging: Future[None] | None = None
        self._saving: Future[None] | None = None
        self._closed = False

    def look(self, state: State, head: Head, *, writes: bool) -> None:
        """Begin whatever is due. What it reads is frozen here, which takes moments; the rest is done aside.

        writes: this process is the site's writer, so it takes checkpoints too.
        """
        if self._closed:
            return
        if state.edges.base_is_old and _is_free(self._merging):
            edges, count, twins = state.edges, state.edges.size, state.twins.size
            ends = edges.source.freeze(count), edges.target.freeze(count)
            self._merging = self._thread.submit(self._merge, edges, *ends, count, twins)
        if writes and _is_free(self._saving) and self.duty.is_due(head.sequence):
            self._saving = self._thread.submit(self._save, self._capture(state, head))

    def take(self, state: State, head: Head) -> Future[int]:
        """Take a checkpoint whether it is due or not. The job raises StoreError where that fails."""
        return self._thread.submit(self._checkpoints.take, self._capture(state, head))

    def finish(self, state: State | None, head: Head) -> None:
        """No more jobs; the checkpoint that is due at the end is taken now. `state`: None to take none."""
        self._closed = True
        if state is not None and self.duty.is_due_at_close(head.sequence):
            self._save(self._capture(state, head))

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
        self.duty.began(head.sequence)
        return capture(state, head)

    def _merge(
        self, edges: EdgeTable, source: Reader[np.int32], target: Reader[np.int32], count: int, twins: int
    ) -> None:
        base = build_base(source, target, count, twins)
        with self._lock:
            # Only grown meanwhile: a table that is no longer in use does not mind either.
            edges.take_base(base)

    def _save(self, captured: Capture) -> None:
        began_s, failed = time.monotonic(), True
        try:
            size_bytes = self._checkpoints.take(captured)
            failed = False
            _LOG.info("checkpoint of %s at %d: %d bytes", captured.site, captured.head.sequence, size_bytes)
        except (StoreError, OSError) as error:
            # Nothing is lost: the journal has all of it. It is tried again later.
            _LOG.warning("no checkpoint of %s at %d: %s", captured.site, captured.head.sequence, error)
        self.duty.ended(time.monotonic() - began_s, failed)


def _is_free(job: Future[None] | None) -> bool:
    return job is None or job.done()
