"""Numbers of good status, one route each: columns at once. `adapters.opcua.decode` decides about all else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adapters.quality import flag_values
from graph.values import Quality, Readings, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from adapters.opcua.decode import DataChange, Memory
    from adapters.routing import Route, Router

_NUMBERS = (float, int)


def plain_routes(
    changes: Sequence[DataChange], router: Router, memory: Memory
) -> tuple[list[Route | None], bool]:
    """The route of each change that is plain, None for the others, and whether all are plain.

    A point with anything unusual in the batch has no plain change in it: values that are missing take the
    last one before them.
    """
    routes_of, bindings, down = router.routes, router.bindings, memory.down_ns
    found: list[Route | None] = []
    odd_rows: set[int] = set()
    for change in changes:
        routes = routes_of(change.address)
        if len(routes) == 1 and not change.status and type(change.value) in _NUMBERS:
            route = routes[0]
            if (
                route.value_type is ValueType.NUMBER
                and route.row not in down
                and not bindings[route.binding].states
            ):
                found.append(route)
                continue
        odd_rows.update(route.row for route in routes)
        found.append(None)
    if not odd_rows:
        return found, None not in found
    return [None if route is None or route.row in odd_rows else route for route in found], False


def plain_readings(changes: Sequence[DataChange], routes: Sequence[Route], router: Router) -> Readings:
    """Readings of changes that are plain. Limits are in the binding's unit, words in the point's."""
    slot = np.array([route.slot for route in routes], np.int32)
    raw = np.array([change.value for change in changes], np.float64)
    times_ns = np.array([change.time_ns or change.arrival_ns for change in changes], np.int64)
    slots, of = router.slots, router.slots.binding[slot]
    rules = router.bindings
    scale = np.array([rule.scale for rule in rules], np.float64)[of]
    offset = np.array([rule.offset for rule in rules], np.float64)[of]
    stated = np.full(len(raw), Quality.GOOD, np.uint8)
    quality = flag_values(
        raw * scale + offset,
        _limits([rule.minimum for rule in rules])[of],
        _limits([rule.maximum for rule in rules])[of],
        stated,
    )
    for binding, count in enumerate(np.bincount(of, minlength=len(rules)).tolist()):
        router.states[binding].messages += count
    values = raw * slots.scale[slot] + slots.offset[slot]
    return Readings(slots.row[slot], times_ns, values.view(np.uint64), quality)


def _limits(given: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if limit is None else limit for limit in given], np.float64)
