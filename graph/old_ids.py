"""Derived relationship ids as format 1 of the journal made them.

Its commits remove relationships by such ids, and outsiders may have kept them: they still name what they
named.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_OLD_DERIVED = re.compile(r"rel/([0-9a-f]{32})$")
_DIGEST_BYTES = 16


def old_digest_of(iri: str) -> bytes | None:
    """The digest in an id of the old form; None for any other id."""
    found = _OLD_DERIVED.search(iri)
    return bytes.fromhex(found[1]) if found else None


class OldEdgeIds:
    """Old derived ids -> relationships of one site. Made when the first such id is met: few sites do."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._size = 0

    def row(self, digest: bytes, size: int, key_of: Callable[[int], tuple[str, ...] | None]) -> int:
        """The relationship with an old digest among the first `size`, dead or alive; -1 if there is none.

        key_of: source, relation, target and group of a row; None for one with an id of its own.
        """
        for edge in range(self._size, size):
            key = key_of(edge)
            if key is not None:
                packed = "\0".join(key).encode("utf-8", "surrogatepass")
                self._rows[blake2b(packed, digest_size=_DIGEST_BYTES).digest()] = edge
        self._size = max(self._size, size)
        return self._rows.get(digest, -1)
