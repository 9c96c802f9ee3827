"""Shared snapshots that were made before: compiling a contract looks at every twin, so it is done once.

Bounded: of each partner the newest, of few partners.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

from federation.sharing import share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from federation.contract import Grant, Purpose
    from federation.sharing import Shared
    from graph.snapshot import Snapshot

KEPT_MAX: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    snapshot: Snapshot
    version: int
    bases: tuple[str, ...]
    shared: Shared


class KnownShares:
    """By partner and purpose. Safe from any thread; two may make the same at once."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._made: OrderedDict[tuple[str, str], _Made] = OrderedDict()
        self._lock = Lock()

    def share(
        self, grant: Grant, snapshot: Snapshot, purpose: Purpose, now_ns: int, bases: Sequence[str]
    ) -> Shared:
        """As `federation.sharing.share`, for a grant that allows the purpose now."""
        grant.require(purpose, now_ns)
        partner = grant.contract.partner if grant.contract is not None else ""
        key, owned = (partner, purpose.value), tuple(sorted(bases))
        with self._lock:
            known = self._made.get(key)
        if (
            known is not None
            and known.snapshot is snapshot
            and known.version == grant.version
            and known.bases == owned
        ):
            return known.shared
        made = share(grant, snapshot, purpose, now_ns, owned)
        with self._lock:
            self._made[key] = _Made(snapshot, grant.version, owned, made)
            self._made.move_to_end(key)
            while len(self._made) > self._kept_max:
                self._made.popitem(last=False)
        return made
