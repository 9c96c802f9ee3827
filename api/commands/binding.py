"""`bind propose`: what of a protocol could be bound to which point. Asks and shows; nothing is bound.

A proposer turns where to look and its options into candidates; matching them to points is the same for all.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from adapters.mqtt.discovery import discovered
from adapters.opcua.config import read_line
from adapters.opcua.connecting import LINE_ERRORS
from adapters.opcua.proposing import browsed
from adapters.proposing import bindings_file, propose
from adapters.rdf.references import propose_references
from adapters.sparkplug.config import read_sparkplug
from adapters.sparkplug.proposing import METRICS_MAX, births_heard, propose_metrics
from adapters.tables import Table
from api.commands.console import note, progress, say, say_json
from api.commands.folders import open_to_read
from ontology.errors import InputError, NotFoundError, Place, UsageError, suggestion
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.proposing import Candidate, Proposals
    from graph.snapshot import Snapshot


SECONDS_MAX = 600


@dataclass(frozen=True, slots=True)
class ProposeCommand:
    """`where` is what the protocol calls an address: a URL, a file, "" where it needs none. `options` are
    KEY=VALUE."""

    protocol: str
    where: str
    folder: Path
    site: str
    options: tuple[str, ...]


class Look(Protocol):
    """Lists what could be bound. Raises TwinmeshError; knows its options and refuses others."""

    def __call__(self, where: str, options: Mapping[str, str], folder: Path) -> Sequence[Candidate]: ...


class Propose(Protocol):
    """Says what could be bound to which point. Raises TwinmeshError; knows its options and refuses others."""

    def __call__(
        self, where: str, options: Mapping[str, str], folder: Path, snapshot: Snapshot
    ) -> Proposals: ...


@dataclass(frozen=True, slots=True)
class Proposer:
    """`address_key` is the key of an address in a bindings file of the protocol."""

    propose: Propose
    address_key: str
    needs_where: bool = True


def run_propose(command: ProposeCommand, *, as_json: bool) -> None:
    """Print a bindings file of what is clear, and notes on what is not.

    Raises UsageError PROTOCOL_UNKNOWN, WHERE_MISSING, OPTION_SYNTAX; NotFoundError SITE_UNKNOWN.
    """
    proposer = PROPOSERS.get(command.protocol)
    if proposer is None:
        hint = suggestion(command.protocol, PROPOSERS) or f"one of {', '.join(PROPOSERS)}"
        raise UsageError(f"no proposals for {command.protocol!r}", code="PROTOCOL_UNKNOWN", hint=hint)
    if proposer.needs_where and not command.where:
        raise UsageError(f"{command.protocol} needs to know where", code="WHERE_MISSING", hint="its address")
    options = _options(command.options)
    with open_to_read(command.folder) as mesh:
        if command.site not in mesh.sites:
            hint = suggestion(command.site, mesh.sites)
            raise NotFoundError(f"no site {command.site!r}", code="SITE_UNKNOWN", hint=hint)
        snapshot = mesh.twin(command.site).snapshot()
        with progress("looking", quiet=as_json):
            found = proposer.propose(command.where, options, command.folder, snapshot)
    text = bindings_file(found.proposals, proposer.address_key)
    if as_json:
        say_json({**asdict(found), "bindings": text})
        return
    say(text.rstrip("\n") if text else "# nothing that could be bound")
    _tell(found)


def _tell(found: Proposals) -> None:
    for doubt in found.doubts:
        note(f"doubt: {doubt.address}: {doubt.reason}")
    note(
        f"{len(found.proposals)} could be bound, {len(found.doubts)} are in doubt, "
        f"{len(found.unmatched)} match no point, {len(found.unbound)} points match nothing"
    )


def _options(given: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key or key in options:
            raise UsageError(f"{text!r} is no KEY=VALUE, or a key twice", code="OPTION_SYNTAX")
        options[key] = value
    return options


def _opcua(where: str, options: Mapping[str, str], folder: Path) -> Sequence[Candidate]:
    """Options: as of an `[[opcua]]` table, as far as they are about the line."""
    table = Table({**options, "url": where}, Place(item="options"))
    line = read_line(table, folder.absolute())
    table.finish()
    try:
        return asyncio.run(browsed(line))
    except LINE_ERRORS as error:
        told = f"{where} cannot be browsed: {type(error).__name__}: {error}"
        raise InputError(told, code="OPCUA_LINE") from error


def _homeassistant(where: str, options: Mapping[str, str], folder: Path) -> Sequence[Candidate]:
    """A file, here or in the data folder, that holds what `mosquitto_sub -v -t 'homeassistant/#'` prints."""
    Table({**options}, Place(item="options")).finish()
    try:
        with (folder / where if not Path(where).exists() else Path(where)).open(encoding="utf-8") as lines:
            return discovered(lines, where)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where} cannot be read: {error}", code="DISCOVERY_FILE") from error


def _brick(where: str, options: Mapping[str, str], folder: Path, snapshot: Snapshot) -> Proposals:
    """Of the model alone; `where` is the broker that is meant. Options: `topic`, where time series come."""
    table = Table({**options}, Place(item="options"))
    topic = table.optional_text("topic") or ""
    if topic and "{id}" not in topic:
        table.note("CONFIG_RANGE", f"topic {topic!r} would be that of all time series", "put {id} into it")
    table.finish()
    return propose_references(snapshot, broker=where, topic=topic)


def _sparkplug(where: str, options: Mapping[str, str], folder: Path, snapshot: Snapshot) -> Proposals:
    """`where`: HOST or HOST:PORT. Options: `seconds`, `metrics` (enough of them), `rebirth` (ask for births),
    `tls`, `group`, `ca_file`, `username`, `password_env`."""
    host, _, port = where.partition(":")
    given = {**options}
    try:
        seconds, enough = float(given.pop("seconds", "10")), int(given.pop("metrics", str(METRICS_MAX)))
        at: dict[str, object] = {"port": int(port)} if port else {}
    except ValueError as error:
        raise UsageError(f"port, seconds or metrics: {error}", code="OPTION_SYNTAX") from error
    if not 0 < seconds <= SECONDS_MAX or enough < 1:
        raise UsageError(f"seconds go to {SECONDS_MAX}, metrics from 1", code="OPTION_SYNTAX")
    ask, tls = (given.pop(name, "false") == "true" for name in ("rebirth", "tls"))
    at |= {"groups": [given.pop("group")]} if "group" in given else {}
    about = {"client_id": f"twinmesh-propose-{os.getpid()}", **given, **at, "tls": tls}
    table = Table({**about, "site": "any", "host": host}, Place(item="options"))
    config = read_sparkplug(table, folder.absolute())
    return propose_metrics(births_heard(config, seconds, enough=enough, ask=ask), snapshot, load_units())


def _by_name(look: Look) -> Propose:
    """Candidates of a protocol matched to points by name."""

    def named(where: str, options: Mapping[str, str], folder: Path, snapshot: Snapshot) -> Proposals:
        return propose(look(where, options, folder), snapshot)

    return named


PROPOSERS: Mapping[str, Proposer] = MappingProxyType(
    {
        "opcua": Proposer(_by_name(_opcua), "node"),
        "homeassistant": Proposer(_by_name(_homeassistant), "topic"),
        "brick": Proposer(_brick, "topic", needs_where=False),
        "sparkplug": Proposer(_sparkplug, "metric"),
    }
)
