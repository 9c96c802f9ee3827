"""Values that fit the type of their one point, as columns at once. `adapters.opcua.decode` decides about all
else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from adapters.opcua.changes import BOOLEAN, FLOAT, SIGNED, UNSIGNED
from adapters.quality import flag_values
from graph.values import Quality, Readings, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from adapters.opcua.changes import Changes
    from adapters.opcua.decode import Memory
    from adapters.routing import Router

UNKNOWN: Final = -1  # not asked yet
NOWHERE: Final = -2  # no route
MANY: Final = -3  # several routes, texts, states: nothing for columns
SEVERITY: Final = np.array([Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD], np.uint8)
"""By the two highest bits of a status code (OPC 10000-4 section 7.39.1)."""
_NUMBER, _BOOLEAN, _COUNTER = 0, 1, 2
_WANTED: Final = {ValueType.NUMBER: _NUMBER, ValueType.BOOLEAN: _BOOLEAN, ValueType.COUNTER: _COUNTER}
_FITS: Final = np.zeros((3, 6), np.bool_)  # wanted, kind
_FITS[_NUMBER, [SIGNED, UNSIGNED, FLOAT]] = True
_FITS[_BOOLEAN, BOOLEAN] = True
_FITS[_COUNTER, [SIGNED, UNSIGNED]] = True


class Lanes:
    """Where the changes of each handle go: found at its first change, forgotten when the graph changes.

    scale, offset, minimum, maximum: float64 by binding; a limit of NaN does not limit.
    """

    def __init__(self, addresses: Sequence[str], router: Router) -> None:
        self.addresses = addresses
        self._router = router
        self._slots = np.full(len(addresses), UNKNOWN, np.int32)
        self._wanted = np.zeros(len(addresses), np.int8)
        rules = router.bindings
        self.scale = np.array([rule.scale for rule in rules], np.float64)
        self.offset = np.array([rule.offset for rule in rules], np.float64)
        self.minimum = _limits([rule.minimum for rule in rules])
        self.maximum = _limits([rule.maximum for rule in rules])

    def forget(self) -> None:
        """The graph has changed, and with it the routes."""
        self._slots[:] = UNKNOWN

    def find(self, handles: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
        """Slot of each handle, or NOWHERE or MANY, and what its point wants."""
        slots = self._slots[handles]
        if (slots == UNKNOWN).any():
            for handle in np.unique(handles[slots == UNKNOWN]).tolist():
                self._slots[handle], self._wanted[handle] = self._look(handle)
            slots = self._slots[handles]
        return slots, self._wanted[handles]

    def _look(self, handle: int) -> tuple[int, int]:
        routes = self._router.routes(self.addresses[handle])
        if not routes:
            return NOWHERE, 0
        route = routes[0]
        wanted = _WANTED.get(route.value_type)
        if len(routes) > 1 or wanted is None or self._router.bindings[route.binding].states:
            return MANY, 0
        return route.slot, wanted


def plain_of(
    changes: Changes, lanes: Lanes, router: Router, memory: Memory
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Which changes are plain, bool[n], and the slot of each or NOWHERE or MANY, int32[n].

    A point with anything unusual in the batch has no plain change in it: values that are missing take the
    last one before them.
    """
    slots, wanted = lanes.find(changes.handles)
    plain = (slots >= 0) & _FITS[wanted, changes.kinds]
    if (wanted == _COUNTER).any():
        plain &= ~((wanted == _COUNTER) & (changes.kinds == SIGNED) & (changes.words >> 63 != 0))
    rows = router.slots.row[np.maximum(slots, 0)]
    if memory.down_ns:
        plain &= ~np.isin(rows, list(memory.down_ns))
    odd = ~plain & (slots != NOWHERE)
    if odd.any():
        several: list[int] = np.unique(changes.handles[slots == MANY]).tolist()
        shared = [route.row for handle in several for route in router.routes(lanes.addresses[handle])]
        odd_rows = np.concatenate((rows[odd & (slots >= 0)], np.array(shared, np.int32)))
        plain &= ~np.isin(rows, odd_rows)
    return plain, slots


def plain_readings(
    changes: Changes, at: npt.NDArray[np.intp], slot: npt.NDArray[np.int32], lanes: Lanes, router: Router
) -> Readings:
    """Readings of the changes `at`, which are plain, by their slots. Limits are in the binding's unit, words
    in the point's."""
    words, kinds, times_ns = changes.words[at], changes.kinds[at], changes.times_ns[at]
    times_ns = np.where(times_ns != 0, times_ns, changes.arrivals_ns[at])
    quality = SEVERITY[changes.status[at] >> 30]
    slots, of = router.slots, router.slots.binding[slot]
    _, wanted = lanes.find(changes.handles[at])
    number = np.flatnonzero(wanted == _NUMBER)
    if len(number):
        raw, rule, place = _floats(words[number], kinds[number]), of[number], slot[number]
        quality[number] = flag_values(
            raw * lanes.scale[rule] + lanes.offset[rule], lanes.minimum[rule], lanes.maximum[rule],
            quality[number],
        )  # fmt: skip
        words[number] = (raw * slots.scale[place] + slots.offset[place]).view(np.uint64)
    counts = np.bincount(of, minlength=len(router.states))
    for binding in np.flatnonzero(counts).tolist():
        router.states[binding].messages += int(counts[binding])
    return Readings(slots.row[slot], times_ns, words, quality)


def _floats(words: npt.NDArray[np.uint64], kinds: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Numbers as float64, rounded where they are whole and beyond 2^53."""
    floats = words.view(np.float64)
    if not (kinds == FLOAT).all():
        floats = np.where(kinds == SIGNED, words.view(np.int64).astype(np.float64), floats)
        floats = np.where(kinds == UNSIGNED, words.astype(np.float64), floats)
    return floats


def _limits(given: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if limit is None else limit for limit in given], np.float64)
