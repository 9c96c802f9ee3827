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


def inherit(own: Mapping[int, str], parents: Parents) -> list[str | None]:
    """For every index the nearest value at or above it; None where there is none or the nearest disagree.

    `own` maps an index to its stated value; "-" states that there is none, and ends the inheritance.
    """
    found: list[tuple[int, frozenset[str]]] = [(-1, frozenset())] * len(parents)
    for node in _parents_first(parents):
        above = [found[parent] for parent in parents[node]]
        found[node] = (0, frozenset((own[node],))) if node in own else _nearest(above)
    return [next(iter(v)) if len(v) == 1 and "-" not in v else None for _, v in found]


def _nearest(above: list[tuple[int, frozenset[str]]]) -> tuple[int, frozenset[str]]:
    """The values at the smallest distance, one step further away; distance -1 means nothing was found."""
    distances = [distance for distance, _ in above if distance >= 0]
    if not distances:
        return -1, frozenset()
    least = min(distances)
    return least + 1, frozenset(value for distance, values in above if distance == least for value in values)
