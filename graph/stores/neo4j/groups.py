"""Aggregates in Cypher: twins are counted and put into groups inside Neo4j. What depends on units, on types
of values and on the order of additions is done here, over what groups hold, by the code of `graph.grouping`.

One row comes back for each combination of raw keys and of stated units (the property `_units`): several rows
may be of one group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from graph.attributes import Tag, pack
from graph.cells import Cells
from graph.grouping import (
    GROUPS_MAX,
    check_groups,
    figures_of,
    keys_of_cells,
    rows_in_order,
    sample_of_cells,
    sortable,
)
from graph.history import Aggregate
from graph.plan import POINT_VALUE, Match, TextField
from graph.pools import Pools
from graph.stores.neo4j.anchors import found
from graph.stores.neo4j.attributes import attribute_text, number_text
from graph.stores.neo4j.rows import units_of, units_text, value_of
from graph.stores.neo4j.script import refuse
from graph.stores.neo4j.steps import ends
from graph.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.grouping import GroupRow, Key, Keys, Sample
    from graph.plan import Grouping, GroupKey
    from graph.stores.neo4j.script import Script
    from graph.values import JSONValue
    from ontology.schema import Schema
    from ontology.units import Units

# More rows would be groups by far too many, or be of very many combinations of units.
ROWS_MAX: Final = 20_000
# So many values are read at most for sums and quantiles; counts, minima and maxima are found inside Neo4j.
VALUES_MAX: Final = 5_000_000
_FIELDS: Final = {
    TextField.KIND.value: "_kind",
    TextField.SITE.value: "_site",
    TextField.NAME.value: "name",
    TextField.ID.value: "id",
}
_ENDS: Final = (Aggregate.MIN, Aggregate.MAX)


@dataclass(frozen=True, slots=True)
class GroupsText:
    """A statement that gives one row: a list of rows as `read_groups` takes them."""

    text: str
    parts: _Parts


@dataclass(slots=True)
class _Parts:
    """What each row holds, in this order: keys, `_units`, figures."""

    columns: list[str] = field(default_factory=list[str])
    keys: list[int] = field(default_factory=list[int])  # where each key stands
    counts: dict[str, int] = field(default_factory=dict[str, int])  # by attribute; "value": of twins
    samples: dict[str, int] = field(default_factory=dict[str, int])
    units: int = -1

    def add(self, expression: str) -> int:
        self.columns.append(expression)
        return len(self.columns) - 1


def groups_text(script: Script, grouping: Grouping) -> GroupsText:
    """Raises as `run_grouping` and PUSHDOWN_UNSUPPORTED."""
    matched = found(script, Match(grouping.kind, grouping.where))
    clauses, parts = [matched.clauses], _Parts()
    most = _rows_max(grouping)
    if most is not None:
        clauses.append(f"WITH n LIMIT {script.value(most + 1)}")
    carried: list[str] = []
    for place, key in enumerate(grouping.keys):
        if not key.steps:
            continue
        inner = ends(script, grouping, key.steps, "n")
        clauses.append(f"WITH {', '.join(['n', *carried])}, {inner} AS e{place}")
        clauses.append(f"UNWIND CASE WHEN size(e{place}) = 0 THEN [null] ELSE e{place} END AS k{place}")
        carried.append(f"k{place}")
    for place, key in enumerate(grouping.keys):
        parts.keys.append(parts.add(f"k{place}" if key.steps else _key(script, key)))
        if not key.steps and key.name not in _FIELDS:
            parts.add(f"{_key(script, key)} IS :: INTEGER NOT NULL")  # 1 and 1.0 are equal to Neo4j
    if any(not key.steps and key.name not in _FIELDS for key in grouping.keys) or _measured(grouping):
        parts.units = parts.add(units_text("n"))
    _add_figures(script, parts, grouping)
    names = [f"{column} AS c{place}" for place, column in enumerate(parts.columns)]
    clauses.append(f"WITH {', '.join(names)} LIMIT {script.value(ROWS_MAX + 1)}")
    row = ", ".join(f"c{place}" for place in range(len(names)))
    clauses.append(f"RETURN collect([{row}])")
    return GroupsText("\n".join(clauses), parts)


def _rows_max(grouping: Grouping) -> int | None:
    """So many twins at most; one more tells that there are too many."""
    if any(key.name == TextField.ID and not key.steps for key in grouping.keys):
        return GROUPS_MAX
    lists = [each for each in grouping.measures if each.aggregate not in (*_ENDS, Aggregate.COUNT)]
    return VALUES_MAX if lists else None


def _measured(grouping: Grouping) -> dict[str, bool]:
    """Attributes of which values are needed, not only numbers of them; whether minima and maxima will do."""
    found: dict[str, bool] = {}
    for each in grouping.measures:
        if each.aggregate is not Aggregate.COUNT:
            found[each.of] = found.get(each.of, True) and each.aggregate in _ENDS
    return found


def _key(script: Script, key: GroupKey) -> str:
    known = _FIELDS.get(key.name)
    return f"n.{known}" if known else attribute_text(script, key.name)


def _add_figures(script: Script, parts: _Parts, grouping: Grouping) -> None:
    parts.counts[POINT_VALUE] = parts.add("count(*)")
    for each in grouping.measures:
        if each.aggregate is Aggregate.COUNT and each.of not in parts.counts:
            parts.counts[each.of] = parts.add(f"count({attribute_text(script, each.of)})")
    for name, is_ends in _measured(grouping).items():
        value = attribute_text(script, name)
        number = number_text(value)
        numbers = f"[min({number}), max({number})]" if is_ends else f"collect({number})"
        parts.samples[name] = parts.add(numbers)
        for truth in ("true", "false"):
            parts.add(f"count(CASE WHEN {value} = {truth} THEN 1 END)")


# What came back


def read_groups(
    schema: Schema, units: Units, grouping: Grouping, parts: _Parts, rows: Sequence[Sequence[Any]]
) -> tuple[GroupRow, ...]:
    """As `run_grouping`. GROUPS_TOO_MANY, UNIT_NEEDED, PUSHDOWN_UNSUPPORTED."""
    _check_twins(grouping, parts, rows)
    reader = _Reader(schema, parts, rows)
    group, keys = reader.groups(grouping, units)
    check_groups(len(keys))
    if len(rows) > ROWS_MAX:
        refuse("an aggregate of twins that state units in so many ways")
    _check_order(keys)
    figures = figures_of(
        grouping.measures,
        partial(reader.counts, group, len(keys)),
        partial(reader.sample, units, group, len(keys)),
    )
    return rows_in_order(grouping, keys, figures)


def _check_twins(grouping: Grouping, parts: _Parts, rows: Sequence[Sequence[Any]]) -> None:
    most = _rows_max(grouping)
    if most is None:
        return
    # A twin may be in several groups; it is in one at least.
    twins = sum(row[parts.counts[POINT_VALUE]] for row in rows)
    if most == GROUPS_MAX:
        check_groups(twins)
    elif twins > most:
        refuse(f"a sum or quantile of more than {most:,} twins")


def _check_order(keys: Sequence[Key]) -> None:
    """In memory such groups stand as their twins came, which nobody here knows."""
    told = sorted([sortable(item) for item in key] for key in keys)
    if any(one == other for one, other in pairwise(told)):
        refuse("an aggregate with keys of different types that read alike")


@dataclass(slots=True, eq=False)
class _Reader:
    """Rows of one answer as cells of columns. Texts and units get codes of its own."""

    schema: Schema
    parts: _Parts
    rows: Sequence[Sequence[Any]]
    pools: Pools = field(default_factory=Pools)

    def groups(self, grouping: Grouping, units: Units) -> tuple[np.ndarray[Any, Any], list[Key]]:
        """The group of each row, and the keys of the groups."""
        columns = [
            self._texts(place) if key.steps or key.name in _FIELDS else self._values(place, key.name, units)
            for place, key in zip(self.parts.keys, grouping.keys, strict=True)
        ]
        if not columns:
            return np.zeros(len(self.rows), np.int64), [()]
        codes = [each.tolist() for each, _ in columns]
        numbers: dict[tuple[int, ...], int] = {}
        group = [numbers.setdefault(key, len(numbers)) for key in zip(*codes, strict=True)]
        values = [values for _, values in columns]
        keys = [tuple(known[code] for known, code in zip(values, key, strict=True)) for key in numbers]
        return np.array(group, np.int64), keys

    def _texts(self, place: int) -> Keys:
        """Names of kinds, sites and twins, ids; twins without a known kind have an empty one."""
        numbers: dict[str | None, int] = {}
        is_kind = self.parts.columns[place] == "n._kind"
        texts = (row[place] for row in self.rows)
        codes = [numbers.setdefault((text or None) if is_kind else text, len(numbers)) for text in texts]
        values: list[JSONValue] = list(numbers)
        return np.array(codes, np.int64), values

    def _values(self, place: int, name: str, units: Units) -> Keys:
        packed = [self._packed(row[place]) for row in self.rows]
        codes = [self._unit(row, name) for row in self.rows]
        tags, words = zip(*packed, strict=True) if packed else ((), ())
        cells = self._cells(name, np.array(tags, np.uint8), np.array(words, np.float64), np.array(codes))
        return keys_of_cells(cells, units)

    def _packed(self, stored: Any) -> tuple[int, float]:
        value = value_of(stored)
        return pack(None if value is None else Value(value), self.pools)

    def _unit(self, row: Sequence[Any], name: str) -> int:
        unit = units_of(row[self.parts.units]).get(name)
        return 0 if unit is None else self.pools.units.intern(unit)

    def _cells(
        self,
        name: str,
        tag: np.ndarray[Any, Any],
        word: np.ndarray[Any, Any],
        unit: np.ndarray[Any, Any],
    ) -> Cells:
        declared = self.schema.attribute(name)
        return Cells(name, tag, word, unit.astype(np.int32), self.pools, declared.unit if declared else None)

    def counts(self, group: np.ndarray[Any, Any], groups: int, of: str) -> list[float | int | None]:
        place = self.parts.counts[of]
        counted = np.zeros(groups, np.int64)
        np.add.at(counted, group, np.array([row[place] for row in self.rows], np.int64))
        return list(counted.tolist())

    def sample(self, units: Units, group: np.ndarray[Any, Any], groups: int, of: str) -> Sample:
        place = self.parts.samples[of]
        tags, words, codes, owners = ([np.zeros(0)] for _ in range(4))
        for number, row in zip(group.tolist(), self.rows, strict=True):
            numbers, trues, falses = row[place : place + 3]
            is_empty = not numbers or numbers[0] is None  # the least of nothing is null
            kept = np.zeros(0) if is_empty else np.array(numbers, np.float64)
            truths = np.repeat((1.0, 0.0), (trues, falses))
            size = len(kept) + len(truths)
            words += [kept, truths]
            tags.append(np.repeat((float(Tag.NUMBER), float(Tag.BOOLEAN)), (len(kept), len(truths))))
            codes.append(np.full(size, self._unit(row, of)))
            owners.append(np.full(size, number))
        tag, unit = np.concatenate(tags).astype(np.uint8), np.concatenate(codes)
        cells = self._cells(of, tag, np.concatenate(words), unit)
        return sample_of_cells(cells, units, np.concatenate(owners).astype(np.int64), groups)
