"""Shared snapshots that were made before: compiling a contract looks at every twin, so it is done once.

Bounded: of each partner the newest, of few partners.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Final

from federation.sharing import share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from federation.contract import Grant, Purpose
    from federation.sharing import Shared
    from graph.snapshot import Snapshot

KEPT_MAX: Final = 16
TOLD_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    snapshot: Snapshot
    version: int
    shared: Shared


class KnownShares:
    """By partner and purpose. Safe from any thread; two may make the same at once."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._made: OrderedDict[tuple[str, str, tuple[str, ...]], _Made] = OrderedDict()
        self._lock = Lock()

    def share(
        self, grant: Grant, snapshot: Snapshot, purpose: Purpose, now_ns: int, bases: Sequence[str]
    ) -> Shared:
        """As `federation.sharing.share`, for a grant that allows the purpose now."""
        grant.require(purpose, now_ns)
        partner = grant.contract.partner if grant.contract is not None else ""
        key = (partner, purpose.value, tuple(sorted(bases)))
        with self._lock:
            known = self._made.get(key)
        if known is not None and known.snapshot is snapshot and known.version == grant.version:
            return known.shared
        made = share(grant, snapshot, purpose, now_ns, key[2])
        with self._lock:
            self._made[key] = _Made(snapshot, grant.version, made)
            self._made.move_to_end(key)
            while len(self._made) > self._kept_max:
                self._made.popitem(last=False)
        return made


class LastTold:
    """What each partner was told last, as a digest. Safe from any thread."""

    def __init__(self, kept_max: int = TOLD_MAX) -> None:
        self._kept_max = kept_max
        self._digests: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def has(self, partner: str, version: int, body: bytes) -> bool:
        """Whether it was told just this, under this version of its contract."""
        return self._digests.get(partner) == _digest(version, body)

    def note(self, partner: str, version: int, body: bytes) -> None:
        with self._lock:
            self._digests[partner] = _digest(version, body)
            self._digests.move_to_end(partner)
            while len(self._digests) > self._kept_max:
                self._digests.popitem(last=False)


def _digest(version: int, body: bytes) -> bytes:
    return sha256(version.to_bytes(8, "big") + body).digest()
