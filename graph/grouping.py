"""Aggregates over matched twins, grouped by texts, attributes, or the twins at the end of a path.

A path reads `step/step/...`; a step is a relation, `^` before it follows it backwards, `:kind` behind it
repeats it until twins of that kind are met: `^pointOf/partOf:rec:Level`. A twin with several ends counts in
each group, one with none in the group whose key is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from graph.attributes import Tag, unpack
from graph.cells import cells_of_twins, in_one_unit
from graph.exact_sums import exact_sums
from graph.execute import matching_rows
from graph.history import Aggregate
from graph.paths import Pairs, compact, follow, join
from graph.plan import POINT_VALUE, GroupKey, Step, TextField
from graph.quality import usable as is_usable
from graph.values import Way
from ontology.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from graph.cells import Cells
    from graph.columns import Rows
    from graph.exact_sums import ExactSum
    from graph.plan import Grouping, Measured
    from graph.values import JSONValue
    from graph.view import View
    from ontology.schema import Schema
    from ontology.units import Units

GROUPS_MAX: Final = 1_000
_STEPS_MAX: Final = 8
_SHORT_MAX: Final = 1 << 16  # so many groups are sorted by two bytes
_QUANTILES: Final = {Aggregate.P05: 0.05, Aggregate.P50: 0.50, Aggregate.P95: 0.95}

Counted: TypeAlias = "Callable[[str], list[float | int | None]]"
Key: TypeAlias = "tuple[JSONValue, ...]"
Keys: TypeAlias = "tuple[npt.NDArray[np.int64], list[JSONValue]]"  # code of each row, values by code
Figures: TypeAlias = "tuple[list[float | int | None], str | None]"  # by group, and their unit


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
    if view.reads is not None:
        view.reads.grouped.append(grouping)
    rows = matching_rows(view, grouping.kind, grouping.where, is_noted=False)
    members, group, keys = groups_of(view, rows, grouping.keys)
    check_groups(len(keys))
    view.budget.spend(len(keys))
    measured, groups = rows[members], len(keys)
    figures = figures_of(
        grouping.measures,
        partial(count_of, view, measured, group, groups),
        partial(sample_of, view, measured, group, groups),
    )
    return rows_in_order(grouping, keys, figures)


def rows_in_order(
    grouping: Grouping, keys: Sequence[Key], figures: Mapping[str, Figures]
) -> tuple[GroupRow, ...]:
    """The rows of groups whose keys and figures are known, in order of keys."""
    names = [key.name for key in grouping.keys]
    order = sorted(range(len(keys)), key=lambda number: [sortable(item) for item in keys[number]])
    return tuple(
        GroupRow(
            dict(zip(names, keys[number], strict=True)),
            {name: values[number] for name, (values, _) in figures.items()},
            {name: unit for name, (_, unit) in figures.items()},
        )
        for number in order
    )


def check_groups(count: int) -> None:
    """Each value of a key is a group at least: whoever has too many need not look further."""
    if count > GROUPS_MAX:
        hint = "filter, or group by less"
        raise LimitError(
            f"{count:,} groups where {GROUPS_MAX:,} are allowed", code="GROUPS_TOO_MANY", hint=hint
        )


def groups_of(
    view: View, rows: Rows, group_keys: Sequence[GroupKey]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[Key]]:
    """(members, group, keys): member i, a position in rows, is in group[i]; its key is keys[group[i]]."""
    members = np.arange(len(rows))
    group = np.zeros(len(rows), np.int64)
    keys: list[Key] = [()] if len(rows) or not group_keys else []
    for group_key in group_keys:
        owner, codes, values = _key_of(view, rows, group_key)
        place, chosen = join(members, owner)
        count = max(len(values), 1)
        distinct, fresh = compact(group[place] * count + codes[chosen], len(keys) * count)
        check_groups(len(distinct))
        keys = [(*keys[pair // count], values[pair % count]) for pair in distinct.tolist()]
        members, group = members[place], fresh
    return members, group, keys


def _key_of(
    view: View, rows: Rows, key: GroupKey
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[JSONValue]]:
    """(owner, code, values): row owner[i] has the key values[code[i]]; `owner` ascends, no row is missing."""
    if key.steps:
        return _path_key(view, rows, key.steps)
    if key.name in _FIXED_KEYS:
        codes, values = _FIXED_KEYS[key.name](view, rows)
    else:
        codes, values = _attribute_key(view, rows, key.name)
    return np.arange(len(rows)), codes, values


def _attribute_key(view: View, rows: Rows, name: str) -> Keys:
    return keys_of_cells(cells_of_twins(view, name, rows), view.units)


def keys_of_cells(cells: Cells, units: Units) -> Keys:
    """Numbers of equal size are one key, whether they were stated with a fraction or without. UNIT_NEEDED."""
    cells, _ = in_one_unit(cells, units, None)
    words, place = np.unique(cells.word + 0.0, return_inverse=True)  # a zero has no sign
    is_whole = np.zeros(len(words), np.bool_)
    is_whole[place[cells.tag == Tag.INTEGER]] = True
    tag = np.where((cells.tag == Tag.NUMBER) & is_whole[place], np.uint8(Tag.INTEGER), cells.tag)
    pairs, codes = compact(place * len(Tag) + tag, len(words) * len(Tag))
    check_groups(len(pairs))
    known = zip((pairs % len(Tag)).tolist(), words[pairs // len(Tag)].tolist(), strict=True)
    return codes, [unpack(own, word, cells.pools) for own, word in known]


def _read_distinct(codes: Rows, bound: int, read: Callable[[list[int]], Sequence[JSONValue]]) -> Keys:
    """Codes from -1 to bound - 1, of which each is read once."""
    distinct, place = compact(codes + 1, bound + 1)
    check_groups(len(distinct))
    return place, list(read((distinct - 1).tolist()))


def _leading_kinds(view: View, rows: Rows) -> Keys:
    kinds, snapshot = view.snapshot.schema.kinds, view.snapshot
    leading = snapshot.kind_sets.leading[snapshot.twins.kind_set.take(rows)]
    names = [*(kind.name for kind in kinds), None]
    return _read_distinct(leading, len(kinds), lambda found: [names[kind] for kind in found])


def _sites(view: View, rows: Rows) -> Keys:
    sites = view.snapshot.sites
    codes = view.snapshot.twins.site.take(rows)
    return _read_distinct(codes, len(sites), lambda found: [sites[site] for site in found])


def _names(view: View, rows: Rows) -> Keys:
    texts = view.snapshot.pools.texts
    return _read_distinct(view.snapshot.twins.name.take(rows), len(texts), texts.values)


def _ids(view: View, rows: Rows) -> Keys:
    check_groups(len(rows))
    return np.arange(len(rows)), list(view.snapshot.ids(rows))


_FIXED_KEYS: Final[dict[str, Callable[[View, Rows], Keys]]] = {
    TextField.KIND.value: _leading_kinds,
    TextField.SITE.value: _sites,
    TextField.NAME.value: _names,
    TextField.ID.value: _ids,
}


# Paths


def _path_key(
    view: View, rows: Rows, steps: Sequence[Step]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[JSONValue]]:
    pairs = Pairs(np.arange(len(rows)), np.asarray(rows))
    for step in steps:
        pairs = follow(view, pairs, step)
    lost = np.ones(len(rows), np.bool_)
    lost[pairs.owner] = False
    distinct, codes = compact(pairs.end, view.snapshot.size)
    check_groups(len(distinct))
    owner = np.concatenate((pairs.owner, np.flatnonzero(lost)))
    codes = np.concatenate((codes, np.full(len(owner) - len(codes), len(distinct))))
    if len(pairs.owner) < len(owner) or not bool((owner[1:] >= owner[:-1]).all()):
        order = np.argsort(owner, kind="stable")
        owner, codes = owner[order], codes[order]
    return owner, codes, [*view.snapshot.ids(distinct), None]


# Figures


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is to be measured, group by group: values of group i are values[bounds[i]:bounds[i + 1]]."""

    values: npt.NDArray[np.float64]
    bounds: list[int]
    unit: str | None


def figures_of(
    measures: Sequence[Measured], count: Counted, sample: Callable[[str], Sample]
) -> dict[str, Figures]:
    """By name. Each attribute is read once, whatever is asked of it.

    count: how many members of each group have an attribute; sample: their values of it.
    """
    samples: dict[str, Sample] = {}
    sums: dict[str, list[ExactSum]] = {}
    found: dict[str, Figures] = {}
    for each in measures:
        if each.aggregate is Aggregate.COUNT:
            found[each.name] = count(each.of), None
            continue
        if each.of not in samples:
            samples[each.of] = sample(each.of)
        known = samples[each.of]
        if each.aggregate in (Aggregate.SUM, Aggregate.MEAN):
            if each.of not in sums:
                sums[each.of] = exact_sums(known.values, known.bounds)
            found[each.name] = _of_sums(each.aggregate, sums[each.of], known.bounds), known.unit
            continue
        pieces = (known.values[low:high] for low, high in pairwise(known.bounds))
        found[each.name] = [_figure(each.aggregate, piece) for piece in pieces], known.unit
    return found


def _of_sums(
    aggregate: Aggregate, sums: Sequence[ExactSum], bounds: Sequence[int]
) -> list[float | int | None]:
    """Rounded once, so that equal numbers give equal figures whatever their order, or who holds them."""
    counts = [high - low for low, high in pairwise(bounds)]
    is_mean = aggregate is Aggregate.MEAN
    return [
        None if not count else each.share(count if is_mean else 1)
        for each, count in zip(sums, counts, strict=True)
    ]


def count_of(
    view: View, rows: Rows, group: npt.NDArray[np.int64], groups: int, of: str
) -> list[float | int | None]:
    counted = group if of == POINT_VALUE else group[cells_of_twins(view, of, rows).present]
    return list(np.bincount(counted, minlength=groups).tolist())


def sample_of(view: View, rows: Rows, group: npt.NDArray[np.int64], groups: int, of: str) -> Sample:
    cells = cells_of_twins(view, of, rows)
    if of != POINT_VALUE:
        return sample_of_cells(cells, view.units, group, groups)
    usable = is_usable(view.snapshot.twins.point_quality.take(rows))
    return sample_of_cells(cells, view.units, group, groups, usable)


def sample_of_cells(
    cells: Cells,
    units: Units,
    group: npt.NDArray[np.int64],
    groups: int,
    usable: npt.NDArray[np.bool_] | None = None,
) -> Sample:
    """Cell i is of group[i]. usable: bool[n], None for all. UNIT_NEEDED."""
    cells, unit = in_one_unit(cells, units, None)
    is_counted = cells.is_number | cells.is_boolean
    if usable is not None:
        is_counted &= usable
    owners = group[is_counted].astype(np.uint16 if groups <= _SHORT_MAX else np.int64)
    bounds = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.bincount(owners, minlength=groups))))
    return Sample(cells.word[is_counted][np.argsort(owners, kind="stable")], bounds.tolist(), unit)


def _figure(aggregate: Aggregate, values: npt.NDArray[np.float64]) -> float | None:
    """Quantiles are nearest-rank: always a value that was there. A zero has no sign, as in `end_of`."""
    if not len(values):
        return None
    if aggregate in _QUANTILES:
        place = max(int(np.ceil(_QUANTILES[aggregate] * len(values))), 1) - 1
        return float(np.partition(values, place)[place]) + 0.0
    return end_of(values, aggregate)


def end_of(values: npt.NDArray[np.float64], aggregate: Aggregate) -> float:
    """MIN or MAX of some values; a zero has no sign, since which of two comes first is chance."""
    return float(values.min() if aggregate is Aggregate.MIN else values.max()) + 0.0


def sortable(value: JSONValue) -> tuple[int, float, str]:
    """Numbers by size, then everything else as text, nulls last."""
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, str(value)
