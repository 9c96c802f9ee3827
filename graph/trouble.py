"""Trouble with the medium: a full disk, an I/O error. Writing stops until the medium can be written again.

Nothing here knows a database: what to do to recover is passed in, and has to prove that writing works.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOG = logging.getLogger("twinmesh.graph")
PROBE_FIRST_S = 0.02
PROBE_LONGEST_S = 5.0
# Nothing that time could heal: an operator has to look first.
_LASTING = frozenset({"STORE_FENCED", "JOURNAL_CORRUPT", "STORE_VERSION", "STORE_MISSING"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a part of a site (`journal`, `history`) takes no writes. `lasting`: only a restart can help."""

    part: str
    code: str
    reason: str
    since_ns: int

    @property
    def lasting(self) -> bool:
        return self.code in _LASTING


class Medium:
    """One part of a site that is written. After an error it refuses, probes with growing pauses, recovers.

    recover: makes the part writable again or raises StoreError. It is called from a thread of its own.
    """

    def __init__(self, site: str, part: str, recover: Callable[[], None]) -> None:
        self.part = part
        # Further figures of the part for /metrics and for those who ask how far behind it is.
        self.gauges: Callable[[], Mapping[str, float]] = dict
        self.failures = 0
        self.recoveries = 0
        self._site = site
        self._recover = recover
        self._trouble: Trouble | None = None
        self._lock = Lock()
        self._closed = Event()

    @property
    def trouble(self) -> Trouble | None:
        return self._trouble

    def check(self) -> None:
        """Raises StoreError STORE_READ_ONLY while there is trouble, or its own code where that is lasting."""
        trouble = self._trouble
        if trouble is None:
            return
        message = f"site {self._site} takes no changes: {trouble.reason}"
        if trouble.lasting:
            raise StoreError(message, code=trouble.code, hint="see the log; restart after it is mended")
        hint = "reading goes on; writing does by itself once the disk can be written again"
        raise StoreError(message, code="STORE_READ_ONLY", hint=hint)

    def fail(self, error: StoreError) -> None:
        """Take note of an error; from now on `check` refuses."""
        with self._lock:
            self.failures += 1
            if self._trouble is None:
                _LOG.error("site %s is read-only: %s", self._site, error)
            begun = self._trouble is not None and not self._trouble.lasting
            self._trouble = Trouble(self.part, error.code, error.message, time.time_ns())
            if not (begun or self._trouble.lasting or self._closed.is_set()):
                Thread(target=self._probe, name=f"recover-{self._site}-{self.part}", daemon=True).start()

    def close(self) -> None:
        """Stop probing."""
        self._closed.set()

    def _probe(self) -> None:
        pause_s = PROBE_FIRST_S
        while not self._closed.wait(pause_s):
            pause_s = min(2 * pause_s, PROBE_LONGEST_S)
            try:
                self._recover()
            except StoreError as error:
                self._note(error)
                if error.code in _LASTING:
                    return
            else:
                self._heal()
                return

    def _note(self, error: StoreError) -> None:
        with self._lock:
            since_ns = self._trouble.since_ns if self._trouble else time.time_ns()
            self._trouble = Trouble(self.part, error.code, error.message, since_ns)

    def _heal(self) -> None:
        """Nothing was written since `recover` returned, because `check` still refuses: no error is lost."""
        with self._lock:
            self._trouble = None
            self.recoveries += 1
        _LOG.warning("site %s: the %s takes changes again", self._site, self.part)
