"""From an address to the points it carries, and how well each binding does.

Patterns are matched once for each concrete address; the answer is kept in a bounded table.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from adapters.binding_state import BindingHealth, state_of
from adapters.coverage import NEVER_NS, coverage, pairs_of
from graph.values import ValueType
from ontology.errors import NotFoundError, Problem, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from adapters.binding import Binding, Pattern
    from graph.snapshot import Snapshot
    from ontology.units import Units

ROUTES_MAX = 200_000
PLAIN_ID = re.compile(r"[A-Za-z0-9_.~-]+")  # percent-encoding leaves it as it is
CHECKED_MAX = 100  # points of a binding whose type and unit are looked at before anything came
PROBLEMS_MAX = 1_000  # refused addresses that are kept with their reason


@dataclass(frozen=True, slots=True)
class Route:
    """What one address carries for one binding. `value * scale + offset` is in the point's unit.

    slot: its place in the columns of `Router.slots`; the same for all addresses of one binding and point.
    plain: a number in JSON, nothing to translate: `adapters.lanes` takes many of these at once.
    """

    binding: int
    row: int
    value_type: ValueType
    scale: float
    offset: float
    slot: int = -1
    plain: bool = False


class Slots:
    """Facts of routes as columns, one place for each pair of binding and point that was ever routed.

    binding, row int32[size]; scale, offset float64[size]; seen_ns int64[size], 0: nothing was recorded yet.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[int, int], int] = {}
        self.binding = np.zeros(64, np.int32)
        self.row = np.zeros(64, np.int32)
        self.scale = np.zeros(64, np.float64)
        self.offset = np.zeros(64, np.float64)
        self.seen_ns = np.zeros(64, np.int64)

    def put(self, binding: int, row: int, scale: float, offset: float) -> int:
        """The slot of a binding and point, with these facts from now on."""
        slot = self._places.setdefault((binding, row), len(self._places))
        if slot >= len(self.row):
            for name in ("binding", "row", "scale", "offset", "seen_ns"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        self.binding[slot], self.row[slot] = binding, row
        self.scale[slot], self.offset[slot] = scale, offset
        return slot

    def seen(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Binding, row and time of each place for which something was recorded."""
        at = np.flatnonzero(self.seen_ns[: len(self._places)] > 0)
        return self.binding[at], self.row[at], self.seen_ns[at]


@dataclass(slots=True)
class BindingState:
    """Counts of one binding; written by the pump alone."""

    messages: int = 0
    recorded: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])
    last_ns: int = 0

    def refuse(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1


class Router:
    """Routes of a set of bindings over the points of one site. `refresh` follows the graph; see `routes`."""

    def __init__(
        self, bindings: Sequence[Binding], snapshot: Snapshot, units: Units, *, routes_max: int = ROUTES_MAX
    ) -> None:
        self.bindings = tuple(bindings)
        self.states = tuple(BindingState() for _ in bindings)
        self._units = units
        self._routes_max = routes_max
        self._lock = threading.Lock()
        self._routes: dict[str, tuple[Route, ...]] = {}
        self.slots = Slots()
        self.generation = 0  # grows whenever routes may mean something else than before
        self._problems: dict[tuple[int, str], Problem] = {}
        self._fixed, self._patterned = _by_address(self.bindings)
        limits_s = (binding.stale_after_s for binding in self.bindings)
        self._silent_ns = np.array([NEVER_NS if s is None else int(s * 1e9) for s in limits_s], np.int64)
        self._follow(snapshot)

    def refresh(self, snapshot: Snapshot) -> None:
        """Follow the graph: points may have come, gone or changed their type since the last snapshot."""
        if snapshot.revisions != self._snapshot.revisions:
            self._follow(snapshot)

    def routes(self, address: str) -> tuple[Route, ...]:
        """What `address` carries; empty where no binding matches or none of its points exists."""
        known = self._routes.get(address)
        if known is not None:
            return known
        if len(self._routes) >= self._routes_max:  # addresses may be forged: drop the oldest rather than grow
            del self._routes[next(iter(self._routes))]
        found = tuple(self._resolve(address))
        self._routes[address] = found
        return found

    def saw(self, route: Route, time_ns: int) -> None:
        """Note that a reading for this route was recorded."""
        self.saw_all(np.array([route.slot], np.int32), time_ns)

    def saw_all(self, slots: npt.NDArray[np.int32], time_ns: int) -> None:
        """Note that readings for these routes, int32[n] of their slots, were recorded."""
        with self._lock:
            self.slots.seen_ns[slots] = time_ns
        counts = np.bincount(self.slots.binding[slots], minlength=len(self.states))
        for index in np.flatnonzero(counts).tolist():
            self.states[index].recorded += int(counts[index])
            self.states[index].last_ns = time_ns

    @property
    def expected(self) -> tuple[frozenset[int], ...]:
        """By binding: rows of the points that it may feed, as the graph stands."""
        return tuple(self._expected)

    @property
    def route_count(self) -> int:
        return len(self._routes)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Bindings that can never deliver as the graph stands, and routes that were refused."""
        return tuple(dict.fromkeys(self._problems.values()))

    def health(self, now_ns: int) -> tuple[BindingHealth, ...]:
        """Of all bindings, in their order."""
        with self._lock:
            seen = self.slots.seen()
        count, problems = len(self.bindings), dict[int, Problem]()
        for (index, _), problem in list(self._problems.items()):
            problems.setdefault(index, problem)
        names = self._snapshot.local_ids
        came, silent = coverage(count, self._expected_pairs, seen, now_ns - self._silent_ns)
        missing, stale = came.told(names), silent.told(names)
        return tuple(
            _health_of(
                binding,
                self.states[n],
                len(self._expected[n]),
                (came.counts[n], missing[n]),
                (silent.counts[n], stale[n]),
                problems.get(n),
            )
            for n, binding in enumerate(self.bindings)
        )

    def _follow(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.generation += 1
        self._routes.clear()
        self._problems.clear()
        ids = list(_point_ids(snapshot))
        rows_by_id = {name: row for row, iri, local in ids for name in (local, iri)}
        self._sure = _sure_rows(snapshot, ids)
        self._expected = [_matching_rows(binding.point, rows_by_id) for binding in self.bindings]
        self._expected_pairs = pairs_of(self._expected)
        for index, rows in enumerate(self._expected):
            if not rows:
                self._problems[index, ""] = self._never_bindable(index, ids)
            for row in sorted(rows)[:CHECKED_MAX]:
                self._check(index, row)

    def _check(self, index: int, row: int) -> None:
        """Whether a binding can feed a point at all, before anything came."""
        try:
            self._factors(index, row)
        except TwinmeshError as error:
            self._note(index, "", error)

    def _never_bindable(self, index: int, ids: list[tuple[int, str, str]]) -> Problem:
        binding = self.bindings[index]
        hint = f"the site has {len(ids)} points" + (f", such as {ids[0][2]!r}" if ids else "")
        message = f"no point of the site matches {binding.point.text!r}: it can never be bound"
        return Problem("BINDING_POINT_UNKNOWN", message, binding.place, hint)

    def _resolve(self, address: str) -> Iterator[Route]:
        for index in (*self._fixed.get(address, ()), *self._patterned):
            values = self.bindings[index].topic.match(address)
            if values is None:
                continue
            try:
                yield self._route(index, self.bindings[index].point.fill(values))
            except TwinmeshError as error:
                self._note(index, address, error)

    def _note(self, index: int, address: str, error: TwinmeshError) -> None:
        if len(self._problems) < PROBLEMS_MAX:
            place = self.bindings[index].place
            self._problems[index, address] = Problem(error.code, error.message, place, error.hint)

    def _route(self, index: int, point: str) -> Route:
        binding = self.bindings[index]
        row = self._sure.get(point, -1)
        if row < 0:
            row = self._snapshot.find(point)
        if row not in self._expected[index]:
            raise NotFoundError(f"{point!r} is no point", code="BINDING_POINT_UNKNOWN")
        value_type, factor, shift = self._factors(index, row)
        scale, offset = binding.scale * factor, binding.offset * factor + shift
        with self._lock:
            slot = self.slots.put(index, row, scale, offset)
        plain = value_type is ValueType.NUMBER and binding.payload == "json" and not binding.states
        return Route(index, row, value_type, scale, offset, slot, plain)

    def _factors(self, index: int, row: int) -> tuple[ValueType, float, float]:
        """Type of a point, factor and shift to its unit. BINDING_TYPE, UNIT_MISMATCH, UNIT_UNKNOWN."""
        binding, value_type = self.bindings[index], self._snapshot.value_type(row)
        if binding.type not in (None, value_type):
            point = self._snapshot.local_id(row)
            raise NotFoundError(
                f"{point!r} holds {value_type.value}, the binding says {binding.type}", code="BINDING_TYPE"
            )
        factors = self._to_point_unit(binding, row) if value_type is ValueType.NUMBER else (1.0, 0.0)
        return value_type, *factors

    def _to_point_unit(self, binding: Binding, row: int) -> tuple[float, float]:
        """Factor and shift from the binding's unit to the unit of the point; both are affine."""
        column = self._snapshot.attribute("unit")
        stated = column.value(row) if column else None
        if binding.unit is None or stated is None:
            return 1.0, 0.0
        zero, one = self._units.convert(np.array([0.0, 1.0]), binding.unit, str(stated.value))
        return float(one - zero), float(zero)


def _health_of(
    binding: Binding,
    state: BindingState,
    expected: int,
    seen: tuple[int, tuple[str, ...]],
    stale: tuple[int, tuple[str, ...]],
    problem: Problem | None,
) -> BindingHealth:
    """seen: how many points, and the first that were not; stale: how many, and the first of them."""
    refused = dict(state.refused)
    told, message = state_of(expected, seen[0], state.recorded, stale[0], refused, problem)
    return BindingHealth(
        state=told,
        message=message,
        address=binding.topic.text,
        point=binding.point.text,
        unit=binding.unit,
        name=binding.name,
        expected=expected,
        seen=seen[0],
        messages=state.messages,
        recorded=state.recorded,
        refused=refused,
        never_seen=seen[1],
        stale=stale[1],
        stale_count=stale[0],
        last_ns=state.last_ns or None,
        problem=problem,
    )


def _point_ids(snapshot: Snapshot) -> Iterator[tuple[int, str, str]]:
    rows = snapshot.rows_of_kind(snapshot.schema.point_kind)
    yield from zip(rows.tolist(), snapshot.ids(rows), snapshot.local_ids(rows), strict=True)


def _sure_rows(snapshot: Snapshot, ids: Sequence[tuple[int, str, str]]) -> dict[str, int]:
    """Points by those local ids that can mean nothing else, as `Snapshot.find` would find them: given to one
    twin alone, and what its IRI ends in, letter for letter."""
    if len(snapshot.bases) != 1:
        return {}
    (base,) = snapshot.bases
    given = snapshot.twins.local.flat
    once = np.bincount(given, minlength=1)[given] == 1
    return {
        local: row
        for row, iri, local in ids
        if once[row] and given[row] and iri == base + local and PLAIN_ID.fullmatch(local)
    }


def _matching_rows(pattern: Pattern, rows_by_id: Mapping[str, int]) -> frozenset[int]:
    if not pattern.names:
        return frozenset({rows_by_id[pattern.text]} if pattern.text in rows_by_id else ())
    return frozenset(row for name, row in rows_by_id.items() if pattern.match(name))


def _by_address(bindings: Sequence[Binding]) -> tuple[dict[str, list[int]], list[int]]:
    """Bindings of one address by that address, and those with placeholders."""
    fixed: dict[str, list[int]] = {}
    patterned: list[int] = []
    for index, binding in enumerate(bindings):
        at = patterned if binding.topic.names else fixed.setdefault(binding.topic.text, [])
        at.append(index)
    return fixed, patterned
