"""What rows are ordered by: each key as two columns of numbers, whatever it is read from."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from graph.attributes import Tag
from graph.cells import cells_of_twins, in_one_unit
from graph.plan import Nulls, TextField
from graph.strings import pack_texts
from graph.text_order import TextsInOrder, sort_strings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import OrderKey
    from graph.view import View
    from ontology.units import Units

    Ranked: TypeAlias = tuple[npt.NDArray[np.int8], npt.NDArray[np.float64], Sequence[str]]

Scalar: TypeAlias = bool | int | float | str | None
# Values of different types stand apart, in this order.
_NUMBERS, _BOOLEANS, _TEXTS, _ABSENT = range(4)
_KIND_OF_TAG: Final = {
    Tag.NUMBER: _NUMBERS,
    Tag.INTEGER: _NUMBERS,
    Tag.BOOLEAN: _BOOLEANS,
    Tag.TEXT: _TEXTS,
    Tag.JSON: _ABSENT,  # lists and objects have no order
    Tag.ABSENT: _ABSENT,
}
_KINDS: Final = np.array([_KIND_OF_TAG[tag] for tag in sorted(Tag)], np.int8)
# Up to so many distinct texts are sorted for the question alone; the order of more is kept.
_SORTED_MAX: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class KeyColumn:
    """One order key over n rows, made so that ascending (group, rank) is the order asked for.

    group: int8[n]; rank: float64[n]; texts: texts in order, by rank; unit: UCUM code of the numbers
    """

    group: npt.NDArray[np.int8]
    rank: npt.NDArray[np.float64]
    texts: Sequence[str]
    unit: str | None
    units: Units
    sign: int  # -1 where descending
    nulls_first: bool

    def value(self, place: int) -> Scalar:
        """What a cursor keeps of this key."""
        group, rank = int(self.group[place]), self.sign * float(self.rank[place])
        if group == self._group(_TEXTS):
            return self.texts[int(rank)]
        if group == self._group(_BOOLEANS):
            return rank != 0
        return rank + 0.0 if group == self._group(_NUMBERS) else None

    def compare(self, value: Scalar, unit: str | None) -> npt.NDArray[np.int8]:
        """int8[n]: -1, 0 or 1 as each row stands before, at or after a cursor's value."""
        kind, rank = self._placed(value, unit)
        by_group = np.sign(self.group - np.int8(self._group(kind))).astype(np.int8)
        # Compared, not subtracted: the difference of two numbers may be beyond the largest one.
        placed = self.sign * rank
        by_rank = (self.rank > placed).astype(np.int8) - (self.rank < placed).astype(np.int8)
        return np.where(by_group != 0, by_group, by_rank).astype(np.int8)

    def _group(self, kind: int) -> int:
        return group_of(kind, self.sign, self.nulls_first)

    def _placed(self, value: Scalar, unit: str | None) -> tuple[int, float]:
        if value is None:
            return _ABSENT, 0.0
        if isinstance(value, bool):
            return _BOOLEANS, float(value)
        if not isinstance(value, str):
            return _NUMBERS, self._converted(float(value), unit)
        place = bisect_left(self.texts, value)
        found = place < len(self.texts) and self.texts[place] == value
        return _TEXTS, place if found else place - 0.5

    def _converted(self, value: float, unit: str | None) -> float:
        """A cursor's number in the unit of the column, which may be another one by now."""
        if unit in (None, self.unit) or self.unit is None or not self.units.same_dimension(unit, self.unit):
            return value
        return float(self.units.convert(np.array([value]), unit, self.unit)[0])


def group_of(kind: int, sign: int, nulls_first: bool) -> int:
    if kind == _ABSENT:
        return -100 if nulls_first else 100
    return sign * kind


def key_column(view: View, key: OrderKey, rows: Rows) -> KeyColumn:
    """One key of some rows. ATTRIBUTE_UNKNOWN, UNIT_NEEDED."""
    sign, nulls_first = -1 if key.descending else 1, key.nulls is Nulls.FIRST
    unit = None
    if key.by in _OF_FIELD:
        kinds, rank, texts = _OF_FIELD[key.by](view, rows)
    else:
        (kinds, rank, texts), unit = _of_attribute(view, key.by, rows)
    groups = np.array([group_of(kind, sign, nulls_first) for kind in range(_ABSENT + 1)], np.int8)
    return KeyColumn(groups[kinds], sign * rank, texts, unit, view.units, sign, nulls_first)


def _of_attribute(view: View, name: str, rows: Rows) -> tuple[Ranked, str | None]:
    cells, unit = in_one_unit(cells_of_twins(view, name, rows), view.units, None)
    kinds = _KINDS[cells.tag]
    rank = np.where(kinds == _ABSENT, 0.0, cells.word)
    is_text = np.flatnonzero(kinds == _TEXTS)
    _, rank[is_text], texts = _by_code(view, cells.word[is_text].astype(np.int32))
    return (kinds, rank, texts), unit


def _by_code(view: View, codes: npt.NDArray[np.int32]) -> Ranked:
    """Texts by their code in the pool; 0 is absent."""
    kinds = np.where(codes > 0, _TEXTS, _ABSENT).astype(np.int8)
    texts = view.snapshot.pools.texts
    is_used = np.zeros(len(texts), np.bool_)
    is_used[codes] = True
    is_used[0] = False
    used = np.flatnonzero(is_used)
    if len(used) > _SORTED_MAX:
        ranking = texts.table.ranking()
        return kinds, np.where(codes > 0, ranking.rank[codes - 1], 0.0), TextsInOrder(ranking)
    ranks = np.zeros(len(is_used))
    keyed = sorted(zip(texts.values(used.tolist()), used.tolist(), strict=True), key=_text_first)
    ranks[[code for _, code in keyed]] = np.arange(len(keyed))
    return kinds, ranks[codes], [text or "" for text, _ in keyed]


def _text_first(item: tuple[str | None, int]) -> str:
    return item[0] or ""


def _by_text(texts: Sequence[str | None]) -> Ranked:
    """Texts that stand in no pool."""
    distinct: list[str] = list({text for text in texts if text is not None})
    order: list[int] = sort_strings(pack_texts(distinct)).tolist()
    ranks = {distinct[number]: float(rank) for rank, number in enumerate(order)}
    kinds = np.fromiter((_ABSENT if text is None else _TEXTS for text in texts), np.int8, len(texts))
    rank = np.fromiter((ranks.get(text or "", 0.0) for text in texts), np.float64, len(texts))
    return kinds, rank, [distinct[number] for number in order]


def _names(view: View, rows: Rows) -> Ranked:
    return _by_code(view, view.snapshot.twins.name.take(rows))


def _ids(view: View, rows: Rows) -> Ranked:
    ranking = view.snapshot.twins.ids.ranking()
    kinds = np.full(len(rows), _TEXTS, np.int8)
    return kinds, ranking.rank[rows].astype(np.float64), TextsInOrder(ranking)


def _local_ids(view: View, rows: Rows) -> Ranked:
    return _by_text(view.snapshot.local_ids(rows))


def _kind_names(view: View, rows: Rows) -> Ranked:
    """Of the leading kinds."""
    kinds = view.snapshot.schema.kinds
    leading = view.snapshot.kind_sets.leading[view.snapshot.twins.kind_set.take(rows)]
    return _by_number(leading, [kind.name for kind in kinds])


def _site_names(view: View, rows: Rows) -> Ranked:
    return _by_number(view.snapshot.twins.site.take(rows), view.snapshot.sites)


def _by_number(numbers: Rows, names: Sequence[str]) -> Ranked:
    """Texts by their place in a short list; -1 is absent."""
    order = sorted(range(len(names)), key=names.__getitem__)
    ranks = np.zeros(len(names) + 1)
    ranks[order] = np.arange(len(names))
    kinds = np.where(numbers < 0, _ABSENT, _TEXTS).astype(np.int8)
    return kinds, ranks[numbers], [names[number] for number in order]


_OF_FIELD: Final[dict[str, Callable[[View, Rows], Ranked]]] = {
    TextField.ID.value: _ids,
    TextField.LOCAL_ID.value: _local_ids,
    TextField.NAME.value: _names,
    TextField.KIND.value: _kind_names,
    TextField.SITE.value: _site_names,
}
