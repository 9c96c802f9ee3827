"""Which points of many bindings something came for, and which have gone silent: over columns.

A pair of binding and row is one number, `binding << 32 | row`: sorted, the pairs of a binding lie together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy.typing as npt

    Seen = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]

NAMED_MAX: Final = 20  # ids that a health report names; the counts are exact
NEVER_NS: Final = 1 << 62  # silent for longer than this is nobody
_ROW_BITS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """By binding: a count, and the first rows of some of its points.

    rows int32, one binding after the other; bounds int64[bindings + 1].
    """

    counts: list[int]
    rows: npt.NDArray[np.int32]
    bounds: npt.NDArray[np.int64]

    def told(self, names: Callable[[npt.NDArray[np.int32]], Sequence[str]]) -> list[tuple[str, ...]]:
        """The rows by their names, which are asked for once."""
        found, bounds = names(self.rows), self.bounds.tolist()
        return [tuple(found[start:end]) for start, end in pairwise(bounds)]


def pairs_of(rows: Sequence[Collection[int]]) -> npt.NDArray[np.int64]:
    """Sorted pairs of all bindings; rows: by binding."""
    sizes = [len(each) for each in rows]
    bindings = np.repeat(np.arange(len(rows), dtype=np.int64), sizes)
    return np.sort(_pairs(bindings, np.fromiter(chain.from_iterable(rows), np.int64, sum(sizes))))


def coverage(
    bindings: int, expected: npt.NDArray[np.int64], seen: Seen, oldest_ns: npt.NDArray[np.int64]
) -> tuple[Named, Named]:
    """How many points each binding has seen, and which it expects but never saw; then which are silent.

    expected: sorted pairs. seen: binding, row and last time of pairs, in any order, none twice. oldest_ns
    int64[bindings]: what was seen before that is silent.
    """
    binding, row, times_ns = seen
    pairs = _pairs(binding.astype(np.int64), row)
    missing = expected[np.isin(expected, pairs, assume_unique=True, invert=True)]
    silent = np.sort(pairs[times_ns < oldest_ns[binding]])
    return (
        _named(np.bincount(binding, minlength=bindings), missing, bindings),
        _named(np.bincount(silent >> _ROW_BITS, minlength=bindings), silent, bindings),
    )


def _named(counts: npt.NDArray[np.intp], pairs: npt.NDArray[np.int64], bindings: int) -> Named:
    """The first pairs of each binding; pairs: sorted."""
    owner = pairs >> _ROW_BITS
    starts = np.searchsorted(owner, np.arange(bindings))
    first = np.arange(len(pairs)) - starts[owner] < NAMED_MAX
    bounds = np.searchsorted(owner[first], np.arange(bindings + 1))
    return Named(counts.tolist(), pairs[first].astype(np.int32), bounds)


def _pairs(bindings: npt.NDArray[np.int64], rows: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return bindings << _ROW_BITS | rows
