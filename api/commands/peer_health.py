"""What `twinmesh doctor --data DIR` says of peers: reachable, clocks, versions, schemas, contracts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from api.commands.finding import Finding
from api.commands.folders import open_to_read
from api.commands.nodes import open_node
from api.commands.sync import replica_findings
from federation.contract import expiry
from federation.keys import KEY_FILE
from federation.store import FEDERATION_FILE
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from federation.contract import Grant
    from federation.http_peer import Greeted
    from federation.node import Node
    from federation.peers import Identity, Peer

AT_ONCE_MAX: Final = 16
SKEW_TOLD_S: Final = 1.0  # below that, clocks are said to agree
EXPIRES_SOON_NS: Final = 14 * 86_400 * 1_000_000_000


def peer_findings(folder: Path) -> list[Finding]:
    """Nothing where no peer was ever added; no error: what is wrong is a finding."""
    if not (folder / KEY_FILE).exists() and not (folder / FEDERATION_FILE).exists():
        return [Finding("peers", "absent", "none was ever added")]
    try:
        with open_node(folder) as node, open_to_read(folder) as mesh:
            own, peers = node.identity(mesh), node.peers.list()
            damage = [*node.contracts.verify(), *node.ledger.verify()]
            asked = asyncio.run(_ask_all(node, own, peers))
            agreed = [_contract(peer, node.contracts.grant(peer.fingerprint)) for peer in peers]
    except TwinmeshError as error:
        return [_problem("peers", error)]
    records = Finding("ledger and contracts", "ok", "every row is as it was written")
    if damage:
        records = Finding("ledger and contracts", "problem", str(damage[0]), damage[0].hint)
    per_peer = [finding for found, terms in zip(asked, agreed, strict=True) for finding in (*found, terms)]
    return [records, *per_peer, *replica_findings(folder, [peer.name for peer in peers])]


async def _ask_all(node: Node, own: Identity, peers: Sequence[Peer]) -> list[list[Finding]]:
    """All peers at the same time, a bounded number of them at once, each within its deadline."""
    seats = asyncio.Semaphore(AT_ONCE_MAX)

    async def ask(peer: Peer) -> list[Finding]:
        async with seats:
            return await _ask(node, own, peer)

    return list(await asyncio.gather(*(ask(peer) for peer in peers)))


async def _ask(node: Node, own: Identity, peer: Peer) -> list[Finding]:
    name, client = f"peer {peer.name}", node.http_peer(peer)
    try:
        seen = await client.identity()
    except TwinmeshError as error:
        return [_problem(name, error)]
    limit_s = node.settings.rules.skew_s_max
    told = [_clock(name, seen.skew_s, limit_s), _version(name, seen, own), _schema(name, seen, own)]
    try:
        await client.hello(own)
    except TwinmeshError as error:
        return [_problem(name, error), *told]
    detail = f"{peer.place.url} knows us and answers in {seen.round_s * 1_000:.0f} ms"
    return [Finding(name, "ok", detail), *told]


def _clock(name: str, skew_s: float, limit_s: float) -> Finding:
    way = "ahead of" if skew_s > 0 else "behind"
    detail = f"its clock is {abs(skew_s):.1f} s {way} ours" if abs(skew_s) >= SKEW_TOLD_S else "clocks agree"
    if abs(skew_s) > limit_s:
        hint = f"beyond {limit_s:g} s messages are refused: let both clocks follow NTP"
        return Finding(f"{name} clock", "problem", detail, hint)
    return Finding(f"{name} clock", "warning" if abs(skew_s) >= SKEW_TOLD_S else "ok", detail)


def _version(name: str, seen: Greeted, own: Identity) -> Finding:
    theirs = seen.identity.version
    if theirs == own.version:
        return Finding(f"{name} version", "ok", theirs)
    return Finding(f"{name} version", "warning", f"{theirs}, ours is {own.version}")


def _schema(name: str, seen: Greeted, own: Identity) -> Finding:
    theirs = seen.identity.schema
    if theirs == own.schema:
        return Finding(f"{name} schema", "ok", theirs)
    hint = "kinds that only one side has are told apart by their IRI; those unknown here are denied"
    return Finding(f"{name} schema", "warning", f"{theirs}, ours is {own.schema}", hint)


def _contract(peer: Peer, grant: Grant) -> Finding:
    name, contract, now_ns = f"peer {peer.name} contract", grant.contract, time.time_ns()
    if contract is None:
        return Finding(name, "absent", "none: nothing leaves to it", "twinmesh peers contract FILE")
    detail = f"version {grant.version}, {expiry(contract, now_ns)}"
    if contract.expires_ns <= now_ns:
        return Finding(name, "problem", detail, "agree a new version: nothing leaves to it")
    soon = contract.expires_ns - now_ns < EXPIRES_SOON_NS
    return Finding(name, "warning" if soon else "ok", detail)


def _problem(name: str, error: TwinmeshError) -> Finding:
    return Finding(name, "problem", f"{error.code}: {error.message}", error.hint)
