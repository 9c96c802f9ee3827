"""`peers private`: a figure over the twins of several partners, none of which shows one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, say, say_json, table
from api.commands.nodes import open_node
from federation.privacy.asked import Asked, Condition
from federation.privacy.door import Figures
from federation.privacy.fleet import ask_fleet
from federation.private_terms import MICRO
from ontology.errors import NotFoundError, UsageError
from ontology.schema import load_schema

if TYPE_CHECKING:
    from pathlib import Path

    from federation.privacy.fleet import FleetAnswer, FleetGroup, PeerAnswer

COLUMNS = ("group", "value", "error95", "unit", "peers")
PEER_COLUMNS = ("peer", "state", "code", "paid", "left", "renews")


@dataclass(frozen=True, slots=True)
class PrivateCommand:
    """peers: names; none means all. where: a JSON list of conditions."""

    kind: str
    op: str
    of: str | None
    epsilon: float
    group_by: str | None
    groups: tuple[str, ...]
    where: str | None
    peers: tuple[str, ...]


def run_private(folder: Path, command: PrivateCommand, *, as_json: bool) -> int:
    """Ask the peers; exit code 1 where none of them answered. What one may not ask is told peer by peer."""
    asked = Asked(
        kind=_iri(command.kind),
        op=command.op.upper(),
        epsilon=command.epsilon,
        attribute=command.of,
        group_by=command.group_by,
        groups=command.groups,
        where=_conditions(command.where),
    )
    with open_node(folder) as node:
        chosen = [node.peers.find(name) for name in command.peers] or node.peers.list()
        if not chosen:
            hint = "`twinmesh peers add URL`"
            raise NotFoundError("no peer was added", code="PEER_UNKNOWN", hint=hint)
        answer = asyncio.run(ask_fleet([node.http_peer(peer) for peer in chosen], asked))
    if as_json:
        say_json(_plain(answer))
    else:
        _show(answer, command.op.upper())
    return EXIT_DONE if any(isinstance(each.told, Figures) for each in answer.peers) else EXIT_PROBLEM


def _iri(name: str) -> str:
    """Bare names mean different things in different vocabularies; an IRI means one."""
    try:
        return load_schema().kind(name).iri
    except NotFoundError:
        return name  # a kind that only the partner has


_CONDITIONS: Final = msgspec.json.Decoder(tuple[Condition, ...])


def _conditions(text: str | None) -> tuple[Condition, ...]:
    hint = """--where '[{"attribute": "floors", "operator": "gte", "operand": 3}]'"""
    if text is None:
        return ()
    try:
        return _CONDITIONS.decode(text)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError("--where is no list of conditions", code="PRIVACY_FILTER", hint=hint) from error


def _show(answer: FleetAnswer, op: str) -> None:
    for line in table([_group_row(each, answer.unit) for each in answer.groups], COLUMNS):
        say(line)
    if op.startswith("P"):
        note("quantiles of several partners do not add up: --json has those of each")
    for line in table([_peer_row(each) for each in answer.peers], PEER_COLUMNS):
        note(line)


def _group_row(each: FleetGroup, unit: str | None) -> dict[str, object]:
    figure = each.figure
    shown = {"value": "-", "error95": "-"}
    if figure is not None:
        shown = {"value": f"{figure.value:.6g}", "error95": f"{figure.error95:.3g}"}
    return {"group": each.group, **shown, "unit": unit or "", "peers": each.shown}


def _peer_row(each: PeerAnswer) -> dict[str, object]:
    account = each.told.account if each.told else None
    return {
        "peer": each.peer,
        "state": each.state,
        "code": each.code or "",
        "paid": f"{account.paid_micro / MICRO:g}" if account else "",
        "left": f"{account.left_micro / MICRO:g}" if account else "",
        "renews": account.renews if account else "",
    }


def _plain(answer: FleetAnswer) -> dict[str, object]:
    groups = [
        {
            "group": each.group,
            "peers": each.shown,
            "value": each.figure.value if each.figure else None,
            "error95": each.figure.error95 if each.figure else None,
        }
        for each in answer.groups
    ]
    completeness = "FULL" if answer.is_full else "PARTIAL"
    peers = [_plain_peer(each) for each in answer.peers]
    return {"unit": answer.unit, "completeness": completeness, "groups": groups, "peers": peers}


def _plain_peer(each: PeerAnswer) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(each.told) if each.told else {}
    return {**told, "peer": each.peer, "state": each.state.value, "code": each.code}
