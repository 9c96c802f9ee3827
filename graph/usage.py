"""What the data uses: kinds, and attributes by kind. Looked up page by page, only where pages changed.

The schema of GraphQL follows it, so a commit that touches a few rows must not cost a pass over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.attributes import Tag
from graph.columns import FrozenColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from graph.columns import Reader
    from graph.kind_sets import KindSets
    from graph.snapshot import Snapshot

_TAGS: Final = 8  # room for `Tag` in a table of (kind set, tag)
_PAGES_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class AttributeUse:
    """An attribute with the kinds (rows of the schema) whose twins have it, and its types."""

    name: str
    kinds: frozenset[int]
    tags: frozenset[Tag]


@dataclass(frozen=True, slots=True)
class InUse:
    """The kind sets of living twins, leading kind first, and the attributes of those twins, by name."""

    kind_sets: frozenset[tuple[int, ...]] = frozenset()
    attributes: tuple[AttributeUse, ...] = ()


class Usage:
    """Follows the snapshots of one mesh; not thread-safe.

    Kinds are those of the snapshot. An attribute that was seen stays for as long as its kind is in use: what
    clients ask for does not come and go with single values.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def of(self, snapshot: Snapshot) -> InUse:
        """What a snapshot uses."""
        for part in snapshot.parts or (snapshot,):
            for name, column in part.twins.attributes.items():
                seen = self._seen.setdefault((part.sites[0], name), _Seen())
                seen.look(column.tag, part.twins.kind_set)
        sets = snapshot.kind_sets
        used = _codes_in_use(snapshot, len(sets.leading))
        kind_sets = frozenset(_members(sets, code) for code in np.flatnonzero(used).tolist())
        return InUse(kind_sets, tuple(self._attributes(sets, used)))

    def _attributes(self, sets: KindSets, used: npt.NDArray[np.bool_]) -> Iterator[AttributeUse]:
        by_name: dict[str, npt.NDArray[np.bool_]] = {}
        for (_, name), seen in sorted(self._seen.items(), key=lambda item: item[0][1]):
            table = by_name.setdefault(name, np.zeros((len(used), _TAGS), np.bool_))
            known = seen.table[: len(used)]
            table[: len(known)] |= known
        for name, table in by_name.items():
            table &= used[:, np.newaxis]
            has: npt.NDArray[np.bool_] = np.any(table, axis=1)
            kinds = np.unique(sets.members[has[sets.owners]])
            if len(kinds):
                tags = np.flatnonzero(table.any(axis=0)).tolist()
                yield AttributeUse(name, frozenset(kinds.tolist()), frozenset(map(Tag, tags)))


@dataclass(slots=True, eq=False)
class _Seen:
    """What one attribute of one site was seen with: bool[kind sets, tags]."""

    table: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, _TAGS), np.bool_))
    _tag: FrozenColumn[np.uint8] | None = None
    _kind_set: FrozenColumn[np.int32] | None = None

    def look(self, tag: Reader[np.uint8], kind_set: Reader[np.int32]) -> None:
        """Add what stands on the pages that changed since the last look, of either column."""
        if not isinstance(tag, FrozenColumn) or not isinstance(kind_set, FrozenColumn):
            self._add(tag.flat, kind_set.flat)
            return
        if tag is self._tag and kind_set is self._kind_set:
            return
        changed = np.union1d(tag.pages_changed(self._tag), kind_set.pages_changed(self._kind_set))
        pages = changed[np.isin(changed, tag.filled_pages)]
        for start in range(0, len(pages), _PAGES_AT_ONCE):
            some = pages[start : start + _PAGES_AT_ONCE]
            self._add(tag.pages_at(some), kind_set.pages_at(some))
        self._tag, self._kind_set = tag, kind_set

    def _add(self, tags: npt.NDArray[np.uint8], codes: npt.NDArray[np.int32]) -> None:
        present = tags != Tag.ABSENT
        if not present.any():
            return
        found = codes[present]
        missing = int(found.max()) + 1 - len(self.table)
        if missing > 0:
            self.table = np.concatenate((self.table, np.zeros((missing, _TAGS), np.bool_)))
        self.table[found, tags[present]] = True


def _codes_in_use(snapshot: Snapshot, count: int) -> npt.NDArray[np.bool_]:
    """bool[kind sets]: which living twins have."""
    numbers = np.bincount(snapshot.twins.kind_set.flat[snapshot.alive], minlength=count)
    return numbers[:count] > 0


def _members(sets: KindSets, code: int) -> tuple[int, ...]:
    return tuple(sets.members[sets.owners == code].tolist())
