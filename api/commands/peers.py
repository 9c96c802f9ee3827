"""Peers of a data folder: added, listed, removed, and what is agreed with them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.commands.console import note, say, say_json, table
from api.commands.folders import open_to_read
from api.commands.nodes import open_node
from api.commands.sync import replica_rows
from federation.contract import changes, expiry
from federation.contract_file import CONTRACT_BYTES_MAX, Known, parse_contract
from federation.egress import place_of
from federation.http_peer import fetch_identity
from federation.keys import is_fingerprint
from federation.peers import check_pinned
from ontology.errors import AccessError, InputError, Place, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from federation import egress
    from federation.node import Node
    from federation.peers import Identity, Peer

COLUMNS = ("name", "url", "sites", "contract", "fingerprint")


@dataclass(frozen=True, slots=True)
class AddCommand:
    url: str
    fingerprint: str | None
    name: str | None
    yes: bool


def run_add(folder: Path, command: AddCommand, *, as_json: bool) -> None:
    """Fetch a server's identity and pin its key.

    AccessError PEER_UNCONFIRMED (nobody said that this is its key), PEER_FINGERPRINT (another was said),
    PEER_KEY_CHANGED, or what the way out raises.
    """
    place = place_of(command.url)
    if command.fingerprint is not None and not is_fingerprint(command.fingerprint):
        hint = "43 signs, as `twinmesh peers list` shows it there"
        raise UsageError("that is no fingerprint", code="PEER_FINGERPRINT", hint=hint)
    with open_node(folder) as node:
        # The operator names the place, so it may be called before it is a peer.
        way = replace(node.egress(), places=frozenset({place}))
        identity = asyncio.run(fetch_identity(way, place)).identity
        _check_wanted(node, place, identity, command)
        name = command.name or (identity.sites[0].name if identity.sites else place.host)
        peer = node.peers.add(name, place, identity, time.time_ns())
        own = node.key.fingerprint
    if as_json:
        say_json({"added": _plain(peer), "own": own})
        return
    say(f"added {peer.name} ({peer.place.url}) with key {peer.fingerprint}")
    note(f"nothing leaves without a contract. The other side adds us by our key {own}")


def run_list(folder: Path, *, as_json: bool) -> None:
    with open_node(folder) as node:
        added = node.peers.list()
        rows = [{**_row(node, peer), **_replicas(folder, peer)} for peer in added]
        hosted = [",".join(peer.sites) for peer in added]
        own = node.key.fingerprint
    if as_json:
        say_json({"own": own, "peers": rows})
        return
    shown = [
        {**row, "sites": sites, "contract": row["agreed"]} for row, sites in zip(rows, hosted, strict=True)
    ]
    for line in table(shown, COLUMNS):
        say(line)
    note(f"our own key: {own}")


def run_remove(folder: Path, text: str, *, as_json: bool) -> None:
    with open_node(folder) as node:
        peer = node.peers.find(text)
        node.peers.remove(peer)
        node.contracts.end(peer.fingerprint, time.time_ns())
    if as_json:
        say_json({"removed": _plain(peer)})
    else:
        say(f"removed {peer.name} ({peer.fingerprint})")


def run_contract(folder: Path, file: Path, *, dry_run: bool, as_json: bool) -> None:
    """Put a contract of a file. InputError with every problem, see `parse_contract`."""
    text = _text(file)
    with open_node(folder) as node, open_to_read(folder) as mesh:
        partners = {
            key: peer.fingerprint for peer in node.peers.list() for key in (peer.name, peer.fingerprint)
        }
        attributes = frozenset(mesh.snapshot().attribute_names()) if mesh.sites else frozenset[str]()
        contract = parse_contract(text, Known(mesh.schema, attributes, mesh.sites, partners), str(file))
        before = node.contracts.grant(contract.partner)
        wider, narrower = changes(before.contract, contract)
        now_ns = time.time_ns()
        number = before.version if dry_run else node.contracts.put(contract, text, now_ns)
    if as_json:
        say_json({"version": number, "dryRun": dry_run, "wider": wider, "narrower": narrower})
        return
    for sign, lines in (("+", wider), ("-", narrower)):
        for line in lines:
            say(f"{sign} {line}")
    done = "nothing was changed" if dry_run else f"version {number} is in force"
    say(f"{done}, {expiry(contract, now_ns)}")


def _check_wanted(node: Node, place: egress.Place, identity: Identity, command: AddCommand) -> None:
    """The key is the pinned one, or the one that was named."""
    key = identity.public_key()
    pinned = node.peers.pinned_at(place)
    if pinned is not None:
        check_pinned(pinned, key)
    if key.fingerprint == node.key.fingerprint:
        raise UsageError("that is this folder's own server", code="PEER_URL")
    if command.fingerprint is None and not command.yes and pinned is None:
        hint = f"compare it with its operator, then repeat with --fingerprint {key.fingerprint}"
        raise AccessError(f"its key is {key.fingerprint}", code="PEER_UNCONFIRMED", hint=hint)
    if command.fingerprint not in (None, key.fingerprint):
        message = f"{place.url} shows the key {key.fingerprint}, you named {command.fingerprint}"
        hint = "somebody may stand between: ask its operator"
        raise AccessError(message, code="PEER_FINGERPRINT", hint=hint)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return source.read(CONTRACT_BYTES_MAX + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read: {error}", code="CONTRACT_SYNTAX", place=Place(str(file))
        ) from error


def _plain(peer: Peer) -> dict[str, object]:
    return {
        "name": peer.name,
        "url": peer.place.url,
        "fingerprint": peer.fingerprint,
        "sites": list(peer.sites),
        "added": _time(peer.added_ns),
    }


def _row(node: Node, peer: Peer) -> dict[str, object]:
    grant = node.contracts.grant(peer.fingerprint)
    contract = grant.contract
    agreed = f"version {grant.version}, {expiry(contract, time.time_ns())}" if contract else "none"
    stated = {"version": grant.version, "expires": _time(contract.expires_ns)} if contract else None
    return {**_plain(peer), "contract": stated, "agreed": agreed}


def _replicas(folder: Path, peer: Peer) -> dict[str, object]:
    """Nothing where nothing is replicated."""
    found = replica_rows(folder, peer.name)
    return {"replicas": found} if found else {}


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
