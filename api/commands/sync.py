"""`peers sync`: brings replicas up to date; and what `peers list` and `doctor` say of them."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, say, say_json, table
from api.commands.finding import Finding
from api.commands.folders import open_to_read
from api.commands.nodes import open_node
from api.commands.sources import SECTIONS
from api.config import load_settings
from api.sync_service import limits_of, place_of
from federation.replica import Replica, read_about, replica_path, replicas_of
from federation.sync import compare, sync_all
from ontology.errors import NotFoundError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from federation.http_peer import HttpPeer
    from federation.replica import About
    from federation.sync import Synced

COLUMNS = ("peer", "site", "state", "revision", "pages", "twins", "gone")


@dataclass(frozen=True, slots=True)
class SyncCommand:
    """peer: None for all. sites: none means all that the peer hosts. verify: compare hashes afterwards."""

    peer: str | None
    sites: tuple[str, ...]
    verify: bool


def run_sync(folder: Path, command: SyncCommand, *, as_json: bool) -> int:
    """Exit code 1 where a replica could not be brought up to date, or is not what the peer shares."""
    settings = load_settings(folder / "twinmesh.toml", os.environ, foreign=SECTIONS).federation
    with open_node(folder) as node, open_to_read(folder) as mesh:
        peers = [node.peers.find(command.peer)] if command.peer else node.peers.list()
        if not peers:
            raise NotFoundError("no peer was added", code="PEER_UNKNOWN", hint="`twinmesh peers add URL`")
        clients = {peer.name: node.http_peer(peer) for peer in peers}
        chosen = [(client, command.sites) for client in clients.values()]
        results = asyncio.run(sync_all(chosen, place_of(mesh), limits_of(settings)))
        hashes = _compared(folder, clients, results) if command.verify else {}
    rows = [_row(each, hashes.get((each.peer, each.site))) for each in results]
    if as_json:
        say_json({"replicas": rows})
    else:
        for line in table(rows, COLUMNS):
            say(line)
        for each in results:
            if each.message:
                note(f"{each.peer} {each.site}: {each.message}")
    is_done = all(each.is_current for each in results) and all(hashes.values())
    return EXIT_DONE if is_done else EXIT_PROBLEM


def replica_rows(folder: Path, peer: str) -> list[dict[str, object]]:
    """The replicas of a peer's sites: how old, and at which of its revisions. StoreError REPLICA_FAILED."""
    now_ns = time.time_ns()
    found = ((site, read_about(replica_path(folder, peer, site))) for site in replicas_of(folder, peer))
    return [
        {
            "site": site,
            "revision": about.revision,
            "whole": about.is_whole,
            "ageSeconds": about.age_s(now_ns),
        }
        for site, about in found
    ]


def replica_findings(folder: Path, peers: Sequence[str]) -> list[Finding]:
    """What `doctor` says of replicas."""
    found: list[Finding] = []
    for peer in peers:
        for site in replicas_of(folder, peer):
            name = f"replica of {site} of {peer}"
            try:
                about = read_about(replica_path(folder, peer, site))
            except TwinmeshError as error:
                found.append(Finding(name, "problem", f"{error.code}: {error.message}", error.hint))
                continue
            found.append(_finding(name, peer, about))
    return found


def _finding(name: str, peer: str, about: About) -> Finding:
    age_s = about.age_s(time.time_ns())
    if age_s is None or not about.is_whole:
        hint = f"twinmesh peers sync {peer}"
        return Finding(name, "warning", "a first copy is under way: it is not whole yet", hint)
    return Finding(name, "ok", f"revision {about.revision}, {age_s:.0f} s old")


def _compared(
    folder: Path, clients: dict[str, HttpPeer], results: list[Synced]
) -> dict[tuple[str, str], bool]:
    """Whether each replica that is current has the hash of what the peer shares."""
    found: dict[tuple[str, str], bool] = {}
    for each in results:
        path = replica_path(folder, each.peer, each.site)
        if each.is_current:
            about = read_about(path)
            with Replica.open(path, about.peer, about.site, about.base) as replica:
                told, own = asyncio.run(compare(clients[each.peer], replica))
            found[each.peer, each.site] = told.hash == own and told.revision == about.revision
    return found


def _row(each: Synced, is_equal: bool | None) -> dict[str, object]:
    state = each.code or ("current" if each.is_current else "behind")
    row: dict[str, object] = {
        "peer": each.peer,
        "site": each.site,
        "state": state if is_equal is not False else "different",
        "revision": each.revision,
        "pages": each.pages,
        "twins": each.twins,
        "gone": each.gone,
    }
    return row if is_equal is None else {**row, "equal": is_equal}
