"""Scenario: what is supposed to happen, read from `scenario.json` (INTERFACE section 4), checked alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ontology.errors import LimitError, Place
from simulation.distributions import HOURS_MAX, Rounding, whole_us
from simulation.events import read_events
from simulation.reading import Fields
from simulation.world import HOUR_US, Grid

if TYPE_CHECKING:
    from simulation.events import Event

RUNS_MAX = 1_000_000
EVENTS_MAX = 10_000
HORIZON_HOURS_MAX = 876_600.0  # a hundred years
CELLS_MAX = 1_000_000  # cells of the grid within the horizon
GRID_LEVELS_MAX = 4096
SEED_MAX = 2**63 - 1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TINY_HOURS = 1e-6


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is supposed to happen, when, and how often it is tried. Times in microseconds from `start`."""

    name: str = ""
    start: datetime = EPOCH
    horizon_us: int = 72 * HOUR_US
    runs: int = 1000
    seed: int = 0
    grid: Grid = field(default_factory=Grid)
    events: tuple[Event, ...] = ()

    @property
    def horizon_hours(self) -> float:
        return self.horizon_us / HOUR_US


def parse_scenario(document: object) -> Scenario:
    """A scenario from a JSON document, with the defaults of INTERFACE section 4; null means absent.

    Raises InputError with every problem and its place (`events[2].atHours`): SCENARIO_UNKNOWN_FIELD with a
    suggestion, SCENARIO_INVALID, ATTRIBUTE_INVALID, DISTRIBUTION_INVALID; LimitError LIMIT_EXCEEDED for more
    runs, events, hours or grid cells than allowed.
    """
    fields = Fields(document, "")
    scenario = Scenario(
        name=fields.text("name"),
        start=_start(fields),
        horizon_us=whole_us(fields.number("horizonHours", 72.0, _TINY_HOURS, HOURS_MAX), Rounding.UP),
        runs=fields.integer("runs", 1000, 1),
        seed=fields.integer("seed", 0, 0, SEED_MAX),
        grid=_grid(fields),
        events=read_events(fields),
    )
    fields.close()
    refusal = fields.refusal()
    if refusal:
        raise refusal
    check_limits(scenario)
    return scenario


def from_failure(twin: str, repair_hours: float | None = None) -> Scenario:
    """The scenario of `simulate --fail`: one twin fails at hour 0."""
    document = {"type": "FAIL", "twin": twin, "repairHours": repair_hours}
    return parse_scenario({"name": f"{twin} fails", "events": [document]})


def check_limits(scenario: Scenario) -> None:
    """Raise LimitError LIMIT_EXCEEDED where a scenario asks for more than one machine should be asked for."""
    limits = (
        ("runs", scenario.runs, RUNS_MAX),
        ("horizonHours", scenario.horizon_hours, HORIZON_HOURS_MAX),
        ("events", len(scenario.events), EVENTS_MAX),
        ("horizonHours / gridHours", scenario.horizon_us // scenario.grid.cell_us, CELLS_MAX),
    )
    for name, value, limit in limits:
        if value > limit:
            raise LimitError(f"{name} is {value:.12g}, at most {limit:g} are allowed", place=Place(item=name))


def _start(fields: Fields) -> datetime:
    text = fields.text("start")
    if not text:
        return EPOCH
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None:
        fields.note("start", f"{text!r} is no time with a zone", "such as 2026-03-01T14:00:00Z")
        return EPOCH
    return start


def _grid(fields: Fields) -> Grid:
    hours = fields.number("gridHours", 0.25, _TINY_HOURS, 24.0)
    return Grid(whole_us(hours, Rounding.DOWN), fields.integer("gridLevels", 64, 1, GRID_LEVELS_MAX))
