"""What `check` reports: what a model means in a cascade, and what in it cannot work. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.responses import JSONResponse

from adapters.rdf.shacl import shacl_report
from adapters.report import problem_json
from adapters.selection import select
from api.graphql_http import principal_of
from api.policy import Action
from ontology.errors import AccessError, InputError, Place, Problem
from simulation.report import ModelReport, report_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from adapters.rdf.shacl import Finding
    from api.schema.context import Services
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from ontology.schema import Shadow


@dataclass(frozen=True, slots=True)
class UnknownKind:
    """A class that no vocabulary knows and some twins have."""

    iri: str
    twins: int
    hint: str | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """`problems` make the exit code 1; all else is for the author of the model to read."""

    model: ModelReport
    shadowed: tuple[Shadow, ...]
    unknown_kinds: tuple[UnknownKind, ...]
    warnings: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    local_ids: Mapping[str, str]  # of every twin that the model report names

    def to_json(self) -> dict[str, Any]:
        model = self.model.to_json()
        return {
            **model,
            "groups": [self._with_local_ids(group) for group in model["groups"]],
            "shadowed": [
                {"name": one.bare, "means": one.winner, "hidden": list(one.hidden)} for one in self.shadowed
            ],
            "unknownKinds": [
                {"kind": one.iri, "twins": one.twins, "hint": one.hint} for one in self.unknown_kinds
            ],
            "warnings": [problem_json(problem) for problem in self.warnings],
            "problems": [problem_json(problem) for problem in self.problems],
        }

    def _with_local_ids(self, group: dict[str, Any]) -> dict[str, Any]:
        suppliers = [self.local_ids[iri] for iri in group["suppliers"]]
        return {**group, "localId": self.local_ids[group["twin"]], "supplierLocalIds": suppliers}


def check_mesh(mesh: Mesh, site: str | None = None) -> CheckReport:
    """The report over one site or all of them. NotFoundError SITE_UNKNOWN."""
    parts = [mesh.twin(name).snapshot() for name in (mesh.sites if site is None else (site,))]
    findings = shacl_report([select(part) for part in parts])
    return check_snapshot(mesh.snapshot() if site is None else parts[0], findings)


def check_snapshot(snapshot: Snapshot, findings: Sequence[Finding] = ()) -> CheckReport:
    """The report over a snapshot; `findings` are SHACL's. A model that no cascade could run is a problem."""
    try:
        model, broken = report_model(snapshot), ()
    except InputError as error:
        model, broken = ModelReport((), (), (), ()), error.problems
    return CheckReport(
        model,
        tuple(snapshot.schema.shadowed()),
        tuple(_unknown_kinds(snapshot)),
        (*_warnings(model), *_of_severity(findings, violations=False)),
        (*broken, *_of_severity(findings, violations=True)),
        _local_ids(snapshot, model),
    )


def _local_ids(snapshot: Snapshot, model: ModelReport) -> dict[str, str]:
    named = {iri for group in model.groups for iri in (group.twin, *group.suppliers)}
    return {iri: snapshot.local_id(snapshot.row(iri)) for iri in named}


def _of_severity(findings: Sequence[Finding], *, violations: bool) -> Iterator[Problem]:
    return (one.problem for one in findings if (one.severity == "Violation") is violations)


def _unknown_kinds(snapshot: Snapshot) -> Iterator[UnknownKind]:
    for kind in snapshot.schema.user_kinds():
        twins = len(snapshot.rows_of_kind(kind.index, subkinds=False)) if kind.placeholder else 0
        if twins:
            yield UnknownKind(kind.iri, twins, snapshot.schema.suggest_kind(kind.iri))


def _warnings(model: ModelReport) -> Iterator[Problem]:
    for twins in model.unfounded:
        message = f"a loop that no source feeds holds itself up: {', '.join(twins)}"
        yield Problem("LOOP_UNFOUNDED", message, Place(item=twins[0]), "state where its supply comes from")
    for twins in model.stuck:
        message = f"a circle that would not start again once all of it was down: {', '.join(twins)}"
        yield Problem("LOOP_STUCK", message, Place(item=twins[0]), "lower the need of one of them")
    for group in model.groups:
        if not group.can_be_met:
            message = f"{group.group!r} needs {group.need:g}, its suppliers give {group.weight:g} together"
            yield Problem("GROUP_SHORT", message, Place(item=group.twin), "lower need or raise a weight")


async def check_door(request: Request, services: Services) -> Response:
    """`GET /check[?site=NAME]`: the report as JSON, for whoever may see the whole graph."""
    principal = principal_of(request)
    principal.require(Action.READ)
    if not principal.sees_all:
        raise AccessError("a check needs sight of the whole graph", code="SCOPE_TOO_NARROW")
    site = request.query_params.get("site")
    report = await anyio.to_thread.run_sync(lambda: check_mesh(services.mesh, site).to_json())
    return JSONResponse(report)
