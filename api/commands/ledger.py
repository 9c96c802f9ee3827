"""What left a data folder: its ledger, shown and verified."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, problem_json, say, say_json, table
from api.commands.nodes import open_node
from federation.keys import is_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from federation.ledger import LedgerEntry
    from federation.node import Node

COLUMNS = ("number", "time", "peer", "contract", "purpose", "kind", "twins", "attributes", "bytes")


@dataclass(frozen=True, slots=True)
class LedgerCommand:
    peer: str | None
    after: int
    limit: int
    verify: bool


def run_ledger(folder: Path, command: LedgerCommand, *, as_json: bool) -> int:
    """Show a page of the ledger. With `verify`, exit code 1 where a row was changed."""
    with open_node(folder) as node:
        problems = [*node.ledger.verify(), *node.contracts.verify()] if command.verify else []
        if problems and not as_json:
            for problem in problems:
                note(f"error: {problem}")
            return EXIT_PROBLEM
        partner = _partner(node, command.peer)
        names = {peer.fingerprint: peer.name for peer in node.peers.list()}
        entries = node.ledger.entries(partner=partner, after=command.after)
        page = list(islice(entries, 0 if problems else command.limit))
    following = page[-1].number if len(page) == command.limit else None
    if as_json:
        shown = [_plain(entry, names) for entry in page]
        found = [problem_json(problem) for problem in problems]
        say_json({"entries": shown, "next": following, "verified": command.verify, "problems": found})
        return EXIT_PROBLEM if problems else EXIT_DONE
    for line in table([_shown(entry, names) for entry in page], COLUMNS):
        say(line)
    if following is not None:
        note(f"more: --after {following}")
    return EXIT_DONE


def _partner(node: Node, text: str | None) -> str | None:
    """The fingerprint of a peer; of one that was removed only its fingerprint is known."""
    return text if text is None or is_fingerprint(text) else node.peers.find(text).fingerprint


def _head(entry: LedgerEntry, names: Mapping[str, str]) -> dict[str, object]:
    return {
        "number": entry.number,
        "time": datetime.fromtimestamp(entry.time_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "peer": names.get(entry.partner, entry.partner),
        "contract": entry.version,
        "purpose": entry.purpose,
        "kind": entry.kind,
        "bytes": entry.size_bytes,
    }


def _shown(entry: LedgerEntry, names: Mapping[str, str]) -> dict[str, object]:
    return {**_head(entry, names), "twins": len(entry.twins), "attributes": ",".join(entry.attributes)}


def _plain(entry: LedgerEntry, names: Mapping[str, str]) -> dict[str, object]:
    """Every fact, twin by twin."""
    told = entry.told
    twins = [
        {"id": twin, "attributes": [name for name, left in zip(entry.attributes, row, strict=True) if left]}
        for twin, row in zip(entry.twins, told.tolist(), strict=True)
    ]
    for twin, name in zip(twins, entry.told_as, strict=False):
        twin["toldAs"] = name
    more = {"relations": list(entry.relations), "figures": dict(entry.figures)}
    return {**_head(entry, names), "fingerprint": entry.partner, "twins": twins, **more}
