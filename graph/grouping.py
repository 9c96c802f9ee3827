"""Aggregates over matched twins, grouped by texts, attributes, or the twins at the end of a path.

A path reads `step/step/...`; a step is a relation, `^` before it follows it backwards, `:kind` behind it
repeats it until twins of that kind are met: `^pointOf/partOf:rec:Level`. A twin with several ends counts in
each group, one with none in the group whose key is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from graph.attributes import Tag, unpack
from graph.cells import cells_of_twins, in_one_unit
from graph.execute import matching_rows
from graph.history import Aggregate
from graph.plan import POINT_VALUE, GroupKey, Step, TextField
from graph.values import Quality, Way
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import Grouping, Measured
    from graph.values import JSONValue
    from graph.view import View
    from ontology.schema import Schema

GROUPS_MAX: Final = 1_000
_STEPS_MAX: Final = 8
# How often a step with a kind is repeated: no building has more storeys of containment.
_REPEATS_MAX: Final = 64
_QUANTILES: Final = {Aggregate.P05: 0.05, Aggregate.P50: 0.50, Aggregate.P95: 0.95}

Key: TypeAlias = "tuple[JSONValue, ...]"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group: its keys by name, its figures (None where nothing was to be measured) and units by name."""

    keys: dict[str, JSONValue]
    values: dict[str, float | int | None]
    units: dict[str, str | None]


def parse_group_key(schema: Schema, text: str) -> GroupKey:
    """A `groupBy` item. GROUP_INVALID for a path that cannot be read; RELATION_UNKNOWN, KIND_UNKNOWN."""
    is_word = not any(mark in text for mark in "/^:")
    if is_word and (schema.attribute(text) is not None or not _is_relation(schema, text)):
        return GroupKey(text)
    parts = text.split("/")
    if len(parts) > _STEPS_MAX or not all(part.strip("^ ") for part in parts):
        message = f"{text!r} is not a path of 1 to {_STEPS_MAX} steps"
        raise InputError(message, code="GROUP_INVALID", hint="write relation/relation:kind, ^ for backwards")
    return GroupKey(text, tuple(_step(schema, part.strip()) for part in parts))


def _is_relation(schema: Schema, name: str) -> bool:
    return any(name == relation.bare for relation in schema.relations)


def _step(schema: Schema, text: str) -> Step:
    backwards = text.startswith("^")
    names = text.removeprefix("^").split(":")
    vocabularies = {relation.vocabulary for relation in schema.relations}
    # `brick:feeds` is a prefixed relation, `partOf:rec:Level` a bare one with a kind.
    cut = 2 if names[0] in vocabularies else 1
    relation, kind = ":".join(names[:cut]), ":".join(names[cut:]) or None
    schema.relation(relation)
    if kind is not None:
        schema.kind(kind)
    return Step(relation, Way.IN if backwards else Way.OUT, kind)


def run_grouping(view: View, grouping: Grouping) -> tuple[GroupRow, ...]:
    """One row per group, in order of keys. GROUPS_TOO_MANY, UNIT_NEEDED, ATTRIBUTE_UNKNOWN, as filters."""
    rows = matching_rows(view, grouping.kind, grouping.where)
    members, group, keys = _groups(view, rows, grouping.keys)
    if len(keys) > GROUPS_MAX:
        hint = "filter, or group by less"
        raise LimitError(
            f"{len(keys):,} groups where {GROUPS_MAX:,} are allowed", code="GROUPS_TOO_MANY", hint=hint
        )
    view.budget.spend(len(keys))
    figures = {each.name: _figures(view, rows[members], group, len(keys), each) for each in grouping.measures}
    names = [key.name for key in grouping.keys]
    order = sorted(range(len(keys)), key=lambda number: [_sortable(item) for item in keys[number]])
    return tuple(
        GroupRow(
            dict(zip(names, keys[number], strict=True)),
            {name: values[number] for name, (values, _) in figures.items()},
            {name: unit for name, (_, unit) in figures.items()},
        )
        for number in order
    )


def _groups(
    view: View, rows: Rows, group_keys: Sequence[GroupKey]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[Key]]:
    """(members, group, keys): member i, a position in rows, is in group[i]; its key is keys[group[i]]."""
    members = np.arange(len(rows))
    group = np.zeros(len(rows), np.int64)
    keys: list[Key] = [()] if len(rows) or not group_keys else []
    for group_key in group_keys:
        owner, codes, values = _key_of(view, rows, group_key)
        place, chosen = _join(members, owner)
        pairs = group[place] * max(len(values), 1) + codes[chosen]
        distinct, fresh = np.unique(pairs, return_inverse=True)
        keys = [(*keys[pair // len(values)], values[pair % len(values)]) for pair in distinct.tolist()]
        members, group = members[place], fresh
    return members, group, keys


def _join(
    members: npt.NDArray[np.int64], owner: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs (i, j) with members[i] == owner[j]; `owner` ascends."""
    begin, end = np.searchsorted(owner, members, "left"), np.searchsorted(owner, members, "right")
    count = end - begin
    place = np.repeat(np.arange(len(members)), count)
    first = np.cumsum(count) - count
    return place, np.arange(len(place)) + np.repeat(begin - first, count)


def _key_of(
    view: View, rows: Rows, key: GroupKey
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[JSONValue]]:
    """(owner, code, values): row owner[i] has the key values[code[i]]; `owner` ascends, no row is missing."""
    if key.steps:
        return _path_key(view, rows, key.steps)
    if key.name in _FIXED_KEYS:
        values: list[JSONValue] = list(_FIXED_KEYS[key.name](view, rows))
    else:
        cells, _ = in_one_unit(cells_of_twins(view, key.name, rows), view.units, None)
        values = [
            _plain(unpack(tag, word, cells.pools))
            for tag, word in zip(cells.tag.tolist(), cells.word.tolist(), strict=True)
        ]
    distinct: dict[str, int] = {}
    kept: list[JSONValue] = []
    codes = np.empty(len(values), np.int64)
    for place, value in enumerate(values):
        # Lists and objects cannot be dictionary keys; True must not equal 1.
        code = distinct.setdefault(repr(value), len(kept))
        if code == len(kept):
            kept.append(value)
        codes[place] = code
    return np.arange(len(rows)), codes, kept


def _plain(value: object) -> JSONValue:
    return value  # pyright: ignore[reportReturnType]


def _leading_kinds(view: View, rows: Rows) -> list[str | None]:
    kinds = view.snapshot.schema.kinds
    leading: list[int] = view.snapshot.kind[rows].tolist()
    return [kinds[kind].name if kind >= 0 else None for kind in leading]


def _sites(view: View, rows: Rows) -> list[str | None]:
    return [view.snapshot.sites[site] for site in view.snapshot.twins.site.take(rows).tolist()]


def _names(view: View, rows: Rows) -> list[str | None]:
    return view.snapshot.names(rows)


def _ids(view: View, rows: Rows) -> list[str | None]:
    return list(view.snapshot.ids(rows))


_FIXED_KEYS = {
    TextField.KIND.value: _leading_kinds,
    TextField.SITE.value: _sites,
    TextField.NAME.value: _names,
    TextField.ID.value: _ids,
}


# Paths


def _path_key(
    view: View, rows: Rows, steps: Sequence[Step]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[JSONValue]]:
    owner, ends = np.arange(len(rows)), np.asarray(rows)
    for step in steps:
        owner, ends = _follow(view, owner, ends, step)
    lost = np.setdiff1d(np.arange(len(rows)), owner)
    distinct, codes = np.unique(ends, return_inverse=True)
    values: list[JSONValue] = [*view.snapshot.ids(distinct), None]
    owner, codes = np.concatenate((owner, lost)), np.concatenate((codes, np.full(len(lost), len(distinct))))
    order = np.argsort(owner, kind="stable")
    return owner[order], codes[order], values


def _follow(
    view: View, owner: npt.NDArray[np.int64], ends: Rows, step: Step
) -> tuple[npt.NDArray[np.int64], Rows]:
    """The ends after one more step; each (owner, end) once."""
    way = _way_of(view, ends, step)
    if step.until_kind is None:
        hops = view.hops(ends, view.trail(step.relation, way))
        return _distinct(owner[hops.owner], hops.others)
    kind = view.snapshot.schema.kind(step.until_kind).index
    met: list[tuple[npt.NDArray[np.int64], Rows]] = []
    for _ in range(_REPEATS_MAX):
        is_met = view.snapshot.is_of_kind(ends, kind)
        met.append((owner[is_met], ends[is_met]))
        owner, ends = owner[~is_met], ends[~is_met]
        if not len(ends):
            break
        hops = view.hops(ends, view.trail(step.relation, way))
        owner, ends = _distinct(owner[hops.owner], hops.others)
    return _distinct(np.concatenate([own for own, _ in met]), np.concatenate([end for _, end in met]))


def _way_of(view: View, ends: Rows, step: Step) -> Way:
    """The way of a step.

    `^` on twins that have the relation only outwards is read as the relation itself: vocabularies name both
    ways (hasPoint, isPointOf), and `^pointOf` from a point can mean nothing else.
    """
    if step.way is not Way.IN or len(view.hops(ends, view.trail(step.relation, Way.IN))):
        return step.way
    return Way.OUT


def _distinct(
    owner: npt.NDArray[np.int64], ends: Rows
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    pairs = np.unique((owner.astype(np.int64) << 32) | ends.astype(np.int64))
    return pairs >> 32, pairs & 0xFFFFFFFF


# Figures


def _figures(
    view: View, rows: Rows, group: npt.NDArray[np.int64], groups: int, measured: Measured
) -> tuple[list[float | int | None], str | None]:
    if measured.aggregate is Aggregate.COUNT and measured.of == POINT_VALUE:
        return list(np.bincount(group, minlength=groups).tolist()), None
    cells = cells_of_twins(view, measured.of, rows)
    if measured.aggregate is Aggregate.COUNT:
        return list(np.bincount(group[cells.present], minlength=groups).tolist()), None
    cells, unit = in_one_unit(cells, view.units, None)
    usable = cells.is_number | (cells.tag == Tag.BOOLEAN)
    if measured.of == POINT_VALUE:
        usable &= view.snapshot.twins.point_quality.take(rows) != Quality.BAD
    order = np.lexsort((cells.word[usable], group[usable]))
    values, owners = cells.word[usable][order], group[usable][order]
    bounds = np.searchsorted(owners, np.arange(groups + 1))
    pieces = [values[low:high] for low, high in pairwise(bounds.tolist())]
    return [_figure(measured.aggregate, piece) for piece in pieces], unit


def _figure(aggregate: Aggregate, values: npt.NDArray[np.float64]) -> float | None:
    """`values` ascend. Quantiles are nearest-rank: always a value that was there."""
    if not len(values):
        return None
    if aggregate in _QUANTILES:
        rank = int(np.ceil(_QUANTILES[aggregate] * len(values)))
        return float(values[max(rank, 1) - 1])
    if aggregate is Aggregate.MIN:
        return float(values[0])
    if aggregate is Aggregate.MAX:
        return float(values[-1])
    return float(values.mean() if aggregate is Aggregate.MEAN else values.sum())


def _sortable(value: JSONValue) -> tuple[int, float, str]:
    """Numbers by size, then everything else as text, nulls last."""
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, str(value)
