"""Codes of one set of pools in another: sites share pools, a checkpoint holds those of its own site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from graph.attributes import Tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    # By pool, code -> code; 0 stays 0. A pool that is not in it keeps its codes.
    Recoding: TypeAlias = Mapping[str, npt.NDArray[np.int32]]

# Which pool the codes of a column come from; None: no codes.
TWIN_COLUMNS: Mapping[str, str | None] = {
    "alive": None,
    "kind_set": "kind_sets",
    "name": "texts",
    "name_origin": "origins",
    "local": "texts",
    "revision": None,
    "external": "external_ids",
    "origins": "origin_sets",
}
EDGE_COLUMNS: Mapping[str, str | None] = {
    "alive": None,
    "source": None,
    "target": None,
    "relation": "relations",
    "group": "texts",
    "own_id": "texts",
    "stated": "texts",
    "origins": "origin_sets",
}
# An attribute's parts; codes among its words are told by the tags.
ATTRIBUTE_COLUMNS: Mapping[str, str | None] = {
    "tag": None,
    "word": None,
    "unit": "units",
    "origin": "origins",
}
# Pools kept as bytes, and those that are a handful of values.
PACKED_POOLS = ("texts", "objects", "external_ids")
SMALL_POOLS = ("units", "origins", "kind_sets", "origin_sets")
_POOL_OF_TAG = {Tag.TEXT: "texts", Tag.JSON: "objects"}


def recode(codes: npt.NDArray[Any], pool: str | None, recoding: Recoding) -> npt.NDArray[Any]:
    """The codes of a column in the other pools; the same array where nothing changes."""
    mapping = recoding.get(pool) if pool else None
    return codes if mapping is None else mapping.astype(codes.dtype)[codes]


def recode_words(
    words: npt.NDArray[np.float64], tags: npt.NDArray[np.uint8], recoding: Recoding
) -> npt.NDArray[np.float64]:
    """Attribute words of the same shape as their tags, as `recode` does it."""
    for tag, pool in _POOL_OF_TAG.items():
        mapping = recoding.get(pool)
        coded = tags == tag
        if mapping is not None and coded.any():
            words = words.copy()
            words[coded] = mapping[words[coded].astype(np.int64)]
    return words


class UsedCodes:
    """Which codes of some pools a site uses."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.masks = {pool: np.zeros(size, np.bool_) for pool, size in sizes.items()}

    def add(self, codes: npt.NDArray[Any], pool: str | None) -> None:
        if pool in self.masks:
            self.masks[pool][codes] = True

    def add_words(self, words: npt.NDArray[np.float64], tags: npt.NDArray[np.uint8]) -> None:
        for tag, pool in _POOL_OF_TAG.items():
            self.add(words[tags == tag].astype(np.int64), pool)

    def codes(self, pool: str) -> npt.NDArray[np.int64]:
        """The codes in use, ascending; the absent one is not among them."""
        mask = self.masks[pool]
        mask[0] = False
        return np.flatnonzero(mask)

    def recoding(self) -> dict[str, npt.NDArray[np.int32]]:
        """Codes of the pools -> 1, 2, 3, ... of those in use."""
        return {pool: _ranks(mask) for pool, mask in self.masks.items()}


def _ranks(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    used = mask.copy()
    used[0] = False
    return np.where(used, np.cumsum(used), 0).astype(np.int32)


def mapping_of(numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """code -> code, from what values 1, 2, 3, ... are called elsewhere."""
    return np.concatenate((np.zeros(1, np.int32), numbers.astype(np.int32)))


def is_identity(mapping: npt.NDArray[np.int32]) -> bool:
    return bool((mapping == np.arange(len(mapping))).all())
