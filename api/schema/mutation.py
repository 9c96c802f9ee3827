"""The root of mutations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import strawberry

from api.changing import apply_change
from api.schema.alarms import AlarmRecord, acknowledge_alarm, shelve_alarm
from api.schema.commands import CommandResult, approve_command, cancel_command, send_command
from api.schema.enums import ItemStatus
from api.schema.inputs import CascadeInput, ChangeInput
from api.schema.scalars import Revision, time_text
from api.schema.simulation import Simulation, SimulationRow
from api.schema.twin import Info
from ontology.errors import UsageError

if TYPE_CHECKING:
    from api.changing import ChangeOutcome
    from api.schema.inputs import EventInput, RelationshipInput, TwinInput
    from api.simulating import Document


@strawberry.type
class ItemResult:
    id: strawberry.ID
    status: ItemStatus
    code: str | None
    message: str | None


@strawberry.type(description="Not applied: the items that were refused, and why; nothing was written.")
class ChangeResult:
    revision: Revision | None
    applied: bool
    items: list[ItemResult]


@strawberry.type
class ScenarioInfo:
    id: strawberry.ID
    name: str | None


@dataclass(frozen=True, slots=True)
class _ItemRow:
    id: str
    status: ItemStatus
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class _ChangeRow:
    revision: int | None
    applied: bool
    items: list[_ItemRow]

    @classmethod
    def of(cls, outcome: ChangeOutcome) -> _ChangeRow:
        done = [_ItemRow(item.id, ItemStatus(item.status), item.code, item.message) for item in outcome.items]
        refused = [
            _ItemRow(
                problem.place.item or "",
                ItemStatus.REFUSED,
                problem.code,
                _with_hint(problem.message, problem.hint),
            )
            for problem in outcome.refused
        ]
        return cls(outcome.revision, outcome.applied, [*done, *refused])


def _with_hint(message: str, hint: str | None) -> str:
    return f"{message} ({hint})" if hint else message


def _apply_change(info: Info, input: ChangeInput) -> ChangeResult:
    outcome = apply_change(info.context.mesh, info.context.principal, input)
    info.context.renew()
    return cast("ChangeResult", _ChangeRow.of(outcome))


def _simulate_cascade(info: Info, input: CascadeInput) -> Simulation:
    context = info.context
    job = context.services.simulations.start(
        context.principal,
        scenario_document(input),
        input.sites,
        against_baseline=bool(input.against_baseline),
    )
    return cast("Simulation", SimulationRow.of(job))


def _cancel_simulation(info: Info, id: strawberry.ID) -> Simulation:
    context = info.context
    return cast("Simulation", SimulationRow.of(context.services.simulations.cancel(id, context.principal)))


def _create_scenario(input: CascadeInput) -> ScenarioInfo:
    raise UsageError("what-if worlds are not available yet", code="NOT_AVAILABLE", hint="use simulateCascade")


def _drop_scenario(id: strawberry.ID) -> bool:
    raise UsageError("what-if worlds are not available yet", code="NOT_AVAILABLE")


@strawberry.type
class Mutation:
    apply_change: ChangeResult = strawberry.field(
        resolver=_apply_change, description="Put, merge and remove twins and relationships of one site."
    )
    simulate_cascade: Simulation = strawberry.field(
        resolver=_simulate_cascade,
        description="Small work is answered at once, other work as a job: see `simulation(id)` and `job`.",
    )
    cancel_simulation: Simulation = strawberry.field(resolver=_cancel_simulation)
    create_scenario: ScenarioInfo = strawberry.field(resolver=_create_scenario)
    drop_scenario: bool = strawberry.field(resolver=_drop_scenario)
    send_command: CommandResult = strawberry.field(
        resolver=send_command,
        description="Ask the field for something. ACCEPTED is only the beginning: see `command`.",
    )
    approve_command: CommandResult = strawberry.field(
        resolver=approve_command, description="Agree to a command that somebody else gave."
    )
    cancel_command: CommandResult = strawberry.field(
        resolver=cancel_command,
        description="End a command that is under way. What has left already may still be done.",
    )
    acknowledge_alarm: AlarmRecord = strawberry.field(resolver=acknowledge_alarm)
    shelve_alarm: AlarmRecord = strawberry.field(
        resolver=shelve_alarm, description="Hide an alarm until a time; one that has passed brings it back."
    )


def scenario_document(given: CascadeInput) -> Document:
    """The scenario document of INTERFACE section 4 that an input means; what was not given is left out."""
    return _stated(
        {
            "name": given.name,
            "start": None if given.start is None else time_text(given.start),
            "horizonHours": given.horizon_hours,
            "runs": given.runs,
            "seed": given.seed,
            "gridHours": given.grid_hours,
            "gridLevels": given.grid_levels,
            "events": [_event(event) for event in given.events],
        }
    )


def _event(given: EventInput) -> Document:
    twin: object = given.twin if given.add_twin is None else _twin_record(given.add_twin)
    relation: object = given.relation
    if given.add_relationship is not None:
        relation = _relation_record(given.add_relationship)
    return _stated(
        {
            "type": given.type.value,
            "twin": twin,
            "relation": relation,
            "atHours": given.at_hours,
            "repairHours": given.repair_hours,
            "forHours": given.for_hours,
            "level": given.level,
            "hours": given.hours,
            "factor": given.factor,
            "attribute": given.attribute,
            "value": given.value,
        }
    )


def _twin_record(given: TwinInput) -> Document:
    record = {"id": given.id, "kinds": given.kinds, "name": given.name, "attributes": given.attributes}
    return _stated(record)


def _relation_record(given: RelationshipInput) -> Document:
    return _stated(
        {
            "source": given.source,
            "relation": given.relation,
            "target": given.target,
            "group": given.group,
            "attributes": given.attributes,
        }
    )


def _stated(fields: dict[str, Any]) -> Document:
    return {name: value for name, value in fields.items() if value is not None}
