"""Names that twins have for one partner alone: by a keyed digest, so that they tell nothing of the real ones.

The same twin has the same name for a partner always, and another one for every other partner: who compares
what two were told finds nothing in common. Nobody without the key can say whether a name is that of an id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from hmac import digest
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.keys import IdTable, SiteIds, SiteIdsView

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from federation.keys import OwnKey
    from graph.columns import Rows
    from graph.snapshot import Snapshot

    Mask = npt.NDArray[np.bool_]

MARK: Final = "x-"
"""What an opaque name begins with, after the base IRI of its site."""
DIGEST_BYTES: Final = 16
_PURPOSE: Final = b"twinmesh opaque ids 1\0"
_HIDDEN: Final = "urn:twinmesh:hidden:"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Names:
    """The opaque names of one folder for one partner. Shows its key to nobody who prints it."""

    secret: bytes

    @classmethod
    def of(cls, key: OwnKey, partner: str) -> Names:
        """By the private key of the folder and the fingerprint of a partner: nothing else has to be kept."""
        return cls(digest(key.secret_for(_PURPOSE), partner.encode(), sha256))

    def __repr__(self) -> str:
        return "Names()"

    def text(self, real: str) -> str:
        """Stands for a text that may hold names: of a relationship, of a group of them."""
        # Digits and few letters: in base64 every other search for a word would meet some name by chance.
        return MARK + digest(self.secret, real.encode("utf-8", "surrogatepass"), sha256)[:DIGEST_BYTES].hex()

    def iri(self, base: str, real: str) -> str:
        """Stands for a twin of the site with this base IRI."""
        return base + self.text(real)


def veiled(snapshot: Snapshot, names: Names, told: Mask, known: Mask) -> Snapshot:
    """The same rows under other ids: by real ones, local ones and those of outside systems nothing is found.

    told: bool[size], twins that may leave, which get opaque names. known: bool[size], stubs of twins that the
    partner itself has named: they keep their ids. All others are given places, which are never told.
    """
    iris = _iris(snapshot, names, told, known)
    if snapshot.starts is None:
        return _with(snapshot, iris, None)
    pairs = zip(snapshot.parts, snapshot.starts, strict=True)
    parts = tuple(_with(part, iris[first:last], None) for part, (first, last) in pairs)
    bounds = np.array([first for first, _ in snapshot.starts], np.int64)
    return replace(_with(snapshot, iris, bounds), parts=parts)


def _iris(snapshot: Snapshot, names: Names, told: Mask, known: Mask) -> list[str]:
    """One for each row, no two alike: of two rows with one id a later one counts as another twin."""
    iris = [f"{_HIDDEN}{row}" for row in range(snapshot.size)]
    bases, seen = snapshot.bases, set[str]()
    rows = np.flatnonzero(told & ~known)
    sites: list[int] = snapshot.twins.site.take(rows).tolist()
    for row, site, real in zip(rows.tolist(), sites, snapshot.ids(rows), strict=True):
        made = names.iri(bases[site], real)
        iris[row] = made if made not in seen else names.iri(bases[site], f"{real}\0{row}")
        seen.add(made)
    kept = np.flatnonzero(known)
    for row, real in zip(kept.tolist(), snapshot.ids(kept), strict=True):
        if real not in seen:
            iris[row] = real
            seen.add(real)
    return iris


def _with(snapshot: Snapshot, iris: list[str], starts: npt.NDArray[np.int64] | None) -> Snapshot:
    ids = SiteIds()
    ids.add_all(iris)
    made = _VeiledIds(ids, len(iris), np.zeros(1, np.int64) if starts is None else starts)
    return replace(
        snapshot, twins=replace(snapshot.twins, ids=made, words=None), _rows_of_kind={}, first_pages={}
    )


@dataclass(frozen=True, slots=True, eq=False)
class _VeiledIds(SiteIdsView):
    """Ids of all sites of a snapshot in one table. starts: int64[sites], the first row of each."""

    starts: npt.NDArray[np.int64]

    def tables(self, rows: Rows) -> Sequence[IdTable]:
        strings = self.ids.strings(self.size)
        if len(self.starts) == 1:
            return (IdTable(0, strings, rows, None),)
        sites = np.searchsorted(self.starts, rows, side="right") - 1
        places = [(int(site), np.flatnonzero(sites == site)) for site in np.unique(sites)]
        return [IdTable(site, strings, rows[here], here) for site, here in places]
