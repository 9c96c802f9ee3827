"""`simulate --url`: the same document as from a folder, asked for by GraphQL and read page by page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from api.commands.client import Client

POLL_S = 0.2
PAGE = 1_000
FINAL = ("DONE", "FAILED", "CANCELLED")

_STATE = "id status progress error errorCode"
START = f"mutation Start($input: CascadeInput!) {{ simulateCascade(input: $input) {{ {_STATE} }} }}"
ASK = f"query Ask($id: ID!) {{ simulation(id: $id) {{ {_STATE} }} }}"
READ = """
query Read($id: ID!, $after: String, $first: Int!) { simulation(id: $id) {
  completeness sources { site status code }
  summary { twinsHit expectedCost costP05 costP95 engine runs runsComputed revisions ontology deltas }
  impacts(first: $first, after: $after) { pageInfo { hasNextPage endCursor } nodes {
    id localId name kind site probability probabilityHigh firstHitHours { mean p05 p50 p95 }
    expectedDownHours minLevel expectedCost uncertain why deltas } } } }
"""


def simulate_on_server(
    server: Client, scenario: Mapping[str, Any], against_baseline: bool, progress: Callable[[float], None]
) -> dict[str, Any]:
    """Run a scenario document on a server and wait for it. InputError with the server's codes."""
    events = [_event_input(event) for event in scenario.get("events", [])]
    asked = {**scenario, "events": events, "againstBaseline": against_baseline}
    state = server.data(START, {"input": asked})["simulateCascade"]
    while state["status"] not in FINAL:
        time.sleep(POLL_S)
        state = server.data(ASK, {"id": state["id"]})["simulation"]
        progress(float(state["progress"]))
    if state["status"] != "DONE":
        raise InputError(
            state["error"] or "the simulation was cancelled", code=state["errorCode"] or "CANCELLED"
        )
    return _document(server, state["id"], scenario)


def _event_input(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event of a scenario file as an EventInput: what ADD brings has fields of its own there."""
    if event.get("type") != "ADD":
        return dict(event)
    rest = {name: value for name, value in event.items() if name not in ("twin", "relation")}
    if "twin" in event:
        return {**rest, "addTwin": _added_twin(event["twin"])}
    return {**rest, "addRelationship": _added_relationship(event["relation"])}


def _added_twin(record: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(record)
    kinds = fields.pop("kinds", None) or str(fields.pop("kind", "")).split(";")
    given = {name: fields.pop(name) for name in ("id", "name") if name in fields}
    return {**given, "kinds": kinds, "attributes": {**fields.pop("attributes", {}), **fields}}


def _added_relationship(record: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    names = ("source", "relation", "target", "group")
    fields: dict[str, Any] = (
        dict(zip(names, record, strict=False)) if isinstance(record, list) else dict(cast("Any", record))
    )
    given = {name: fields.pop(name) for name in names if name in fields}
    return {**given, "attributes": {**fields.pop("attributes", {}), **fields}}


def _document(server: Client, job: str, scenario: Mapping[str, Any]) -> dict[str, Any]:
    impacts: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = server.data(READ, {"id": job, "after": after, "first": PAGE})["simulation"]
        impacts += [_impact(node) for node in page["impacts"]["nodes"]]
        after = page["impacts"]["pageInfo"]["endCursor"]
        if not page["impacts"]["pageInfo"]["hasNextPage"]:
            return _assembled(page, impacts, scenario)


def _assembled(
    page: Mapping[str, Any], impacts: list[dict[str, Any]], scenario: Mapping[str, Any]
) -> dict[str, Any]:
    summary = page["summary"]
    sums = {name: summary[name] for name in ("twinsHit", "expectedCost", "costP05", "costP95")}
    document: dict[str, Any] = {
        "scenario": scenario.get("name", ""),
        "seed": scenario.get("seed", 0),
        "runs": summary["runs"],
        "runsComputed": summary["runsComputed"],
        "horizonHours": scenario.get("horizonHours", 72),
        "engine": summary["engine"],
        "revisions": summary["revisions"],
        "ontology": summary["ontology"],
        "completeness": page["completeness"],
        "summary": {**sums, **(summary["deltas"] or {})},
        "impacts": impacts,
    }
    partners = [source for source in page["sources"] if source["site"] not in summary["revisions"]]
    return document | ({"sources": partners} if partners else {})


def _impact(node: dict[str, Any]) -> dict[str, Any]:
    """An impact as `simulate --json` has it: what is absent there is absent here."""
    deltas: dict[str, Any] = node.pop("deltas") or {}
    if node["probabilityHigh"] is None:
        del node["probabilityHigh"]
    return {**node, **deltas}
