"""Closure over "is below" as a boolean table, and inheritance along it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Parents: TypeAlias = "Sequence[tuple[int, ...]]"


def ancestor_table(parents: Parents) -> npt.NDArray[np.bool_]:
    """[n, n]: row i is True at i and at everything above i. In a circle all are below each other.

    Parents are visited before children, so one sweep settles all but circles.
    """
    table = np.eye(len(parents), dtype=np.bool_)
    order = _parents_first(parents)
    _sweep(table, order, parents)
    if _has_circle(order, parents):
        _sweep_until_settled(table, order, parents)
    table.setflags(write=False)
    return table


def _sweep(table: npt.NDArray[np.bool_], order: list[int], parents: Parents) -> None:
    """Let every row take in its parents' rows once."""
    for child in order:
        for parent in parents[child]:
            table[child] |= table[parent]


def _sweep_until_settled(table: npt.NDArray[np.bool_], order: list[int], parents: Parents) -> None:
    before = -1
    while (now := int(np.count_nonzero(table))) != before:
        before = now
        _sweep(table, order, parents)


def _has_circle(order: list[int], parents: Parents) -> bool:
    """Whether some parent comes after its child although parents go first."""
    position = {node: place for place, node in enumerate(order)}
    return any(position[parent] > position[child] for child in order for parent in parents[child])


def _parents_first(parents: Parents) -> list[int]:
    """Every index once, after its parents (in a circle: after those not on the way up to it)."""
    order: list[int] = []
    seen: set[int] = set()
    for start in range(len(parents)):
        stack = [start] if start not in seen else []
        while stack:
            node = stack.pop()
            if node < 0:
                order.append(~node)
            elif node not in seen:
                seen.add(node)
                stack.append(~node)
                stack.extend(parents[node])
    return order


def inherit(own: Mapping[int, str], ancestors: npt.NDArray[np.bool_]) -> list[str | None]:
    """For every index the value of the most specific statement at or above it.

    `own` maps an index to its stated value. Of two statements the one below the other counts; None where none
    counts or those that do disagree. "-" states that there is no value, and so ends an inheritance.
    """
    stated = np.array(sorted(own), dtype=np.intp)
    over = ancestors[:, stated]  # [n, statements]
    below = ancestors[np.ix_(stated, stated)] & ~np.eye(len(stated), dtype=np.bool_)
    values = [own[int(row)] for row in stated]
    found: list[str | None] = [None] * len(ancestors)
    for row in np.flatnonzero(over.any(axis=1)):
        columns = np.flatnonzero(over[row])
        if len(columns) > 1:
            columns = columns[~below[np.ix_(columns, columns)].any(axis=0)]
        given = {values[int(column)] for column in columns} or {"-"}
        value = given.pop()
        found[int(row)] = value if not given and value != "-" else None
    return found
