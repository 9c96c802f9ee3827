"""`simulate`: a cascade on a folder or a server, as a table or as the JSON document of INTERFACE 4."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from api.commands.console import progress, say, say_json, table
from api.commands.folders import open_to_read
from api.commands.remote_simulation import simulate_on_server
from ontology.errors import InputError, TwinmeshError, UsageError
from ontology.errors import Place as Spot
from simulation.impact import simulate
from simulation.scenario import parse_scenario

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from api.commands.place import Place

ROWS_SHOWN = 40
_HINT = 'such as {"events": [{"type": "FAIL", "twin": "CH-1"}]}'
COLUMNS = ("twin", "site", "kind", "chance", "first h", "down h", "cost", "why")


@dataclass(frozen=True, slots=True)
class SimulateCommand:
    """The options of the verb; None leaves what the scenario says."""

    scenario: Path | None
    fail: str | None
    repair_hours: float | None
    horizon_hours: float | None
    runs: int | None
    seed: int | None
    against_baseline: bool

    def document(self) -> dict[str, object]:
        """The scenario as JSON, options laid over the file. UsageError, InputError with the place."""
        if (self.scenario is None) == (self.fail is None):
            raise UsageError("give --scenario FILE or --fail ID", code="SCENARIO_MISSING")
        if self.repair_hours is not None and self.fail is None:
            raise UsageError("--repair-hours belongs to --fail", code="REPAIR_WITHOUT_FAIL")
        document = _read(self.scenario) if self.scenario else self._failure()
        options = {"horizonHours": self.horizon_hours, "runs": self.runs, "seed": self.seed}
        return {**document, **{name: value for name, value in options.items() if value is not None}}

    def _failure(self) -> dict[str, object]:
        event: dict[str, object] = {"type": "FAIL", "twin": self.fail}
        if self.repair_hours is not None:
            event["repairHours"] = self.repair_hours
        return {"name": f"{self.fail} fails", "events": [event]}


def run_simulate(place: Place, command: SimulateCommand, *, as_json: bool) -> None:
    document = command.document()
    with _in_file(command.scenario):
        scenario = parse_scenario(document)  # a server would refuse it in other words
    with progress("simulating", quiet=as_json) as done, _in_file(command.scenario, "events["):
        if place.server is not None:
            impact = simulate_on_server(place.server, document, command.against_baseline, done)
        else:
            with open_to_read(place.data_folder) as mesh:
                found = simulate(
                    mesh.snapshot(),
                    scenario,
                    against_baseline=command.against_baseline,
                    progress=done,
                )
                impact = found.to_json()
    if as_json:
        say_json(impact)
    else:
        for line in lines(impact):
            say(line)


def lines(impact: Mapping[str, Any]) -> Iterator[str]:
    """The impact for a reader: the sums, then the costliest twins with the path that brought it there."""
    summary = impact["summary"]
    name, hours = impact["scenario"] or "scenario", impact["horizonHours"]
    cost, low, high = (f"{summary[key]:,.2f}" for key in ("expectedCost", "costP05", "costP95"))
    yield f"{name}: {summary['twinsHit']} twins hit within {hours:g} h; expected {cost} ({low} to {high})"
    for source in impact.get("sources", ()):
        if source["status"] != "ANSWERED":
            yield f"partner {source['site']} took no part: {source['code']}; its twins are taken for unknown"
    if impact["completeness"] != "FULL":
        yield "bounds: chances are at least those shown; probabilityHigh in --json has the most they can be"
    shown = impact["impacts"][:ROWS_SHOWN]
    if shown:
        yield ""
        yield from table([_row(item) for item in shown], COLUMNS)
    if len(impact["impacts"]) > len(shown):
        yield f"... and {len(impact['impacts']) - len(shown)} more; --json shows all"


def _row(item: Mapping[str, Any]) -> dict[str, object]:
    return {
        "twin": item["localId"],
        "site": item["site"],
        "kind": item["kind"],
        "chance": f"{item['probability']:.1%}",
        "first h": item["firstHitHours"]["p50"],
        "down h": item["expectedDownHours"],
        "cost": "?" if item["expectedCost"] is None else item["expectedCost"],
        "why": " -> ".join(item["why"]),
    }


def _read(path: Path) -> dict[str, object]:
    place = Spot(str(path))
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", code="FILE_UNREADABLE", place=place) from error
    except UnicodeDecodeError as error:
        hint = "save the file as UTF-8"
        raise InputError("is not UTF-8", code="SCENARIO_SYNTAX", place=place, hint=hint) from error
    except json.JSONDecodeError as error:
        spot = Spot(str(path), error.lineno, error.colno)
        message = f"is not JSON: {error.msg}"
        raise InputError(message, code="SCENARIO_SYNTAX", place=spot, hint=_HINT) from error
    except RecursionError as error:
        raise InputError("is nested too deep", code="SCENARIO_SYNTAX", place=place, hint=_HINT) from error
    if not isinstance(document, dict):
        raise InputError("a scenario is a JSON object", code="SCENARIO_SYNTAX", place=place, hint=_HINT)
    return cast("dict[str, object]", document)


@contextlib.contextmanager
def _in_file(path: Path | None, items: str = "") -> Generator[None]:
    """Problems whose item begins with `items` (`events[2].twin`) name the file of the scenario, too."""
    try:
        yield
    except TwinmeshError as error:
        places = [problem.place for problem in error.problems]
        if path is None or any(place.path or not (place.item or "").startswith(items) for place in places):
            raise
        named = [replace(place, path=str(path)) for place in places]
        found = [replace(problem, place=place) for problem, place in zip(error.problems, named, strict=True)]
        raise InputError.of(found) from error
