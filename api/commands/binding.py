"""`bind propose`: what of a protocol could be bound to which point. Asks and shows; nothing is bound.

A proposer turns where to look and its options into candidates; matching them to points is the same for all.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from adapters.mqtt.discovery import discovered
from adapters.opcua.config import read_line
from adapters.opcua.connecting import LINE_ERRORS
from adapters.opcua.proposing import browsed
from adapters.proposing import bindings_file, propose
from adapters.tables import Table
from api.commands.console import note, progress, say, say_json
from api.commands.folders import open_to_read
from ontology.errors import InputError, NotFoundError, Place, UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.proposing import Candidate, Proposals


@dataclass(frozen=True, slots=True)
class ProposeCommand:
    """`where` is what the protocol calls an address: a URL, a file. `options` are KEY=VALUE."""

    protocol: str
    where: str
    folder: Path
    site: str
    options: tuple[str, ...]


class Propose(Protocol):
    """Lists what could be bound. Raises TwinmeshError; knows its options and refuses others."""

    def __call__(self, where: str, options: Mapping[str, str], folder: Path) -> Sequence[Candidate]: ...


@dataclass(frozen=True, slots=True)
class Proposer:
    """`address_key` is the key of an address in a bindings file of the protocol."""

    propose: Propose
    address_key: str


def run_propose(command: ProposeCommand, *, as_json: bool) -> None:
    """Print a bindings file of what is clear, and notes on what is not. UsageError PROTOCOL_UNKNOWN."""
    proposer = PROPOSERS.get(command.protocol)
    if proposer is None:
        hint = suggestion(command.protocol, PROPOSERS) or f"one of {', '.join(PROPOSERS)}"
        raise UsageError(f"no proposals for {command.protocol!r}", code="PROTOCOL_UNKNOWN", hint=hint)
    with progress("looking", quiet=as_json):
        candidates = proposer.propose(command.where, _options(command.options), command.folder)
    with open_to_read(command.folder) as mesh:
        if command.site not in mesh.sites:
            hint = suggestion(command.site, mesh.sites)
            raise NotFoundError(f"no site {command.site!r}", code="SITE_UNKNOWN", hint=hint)
        found = propose(candidates, mesh.twin(command.site).snapshot())
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


PROPOSERS: Mapping[str, Proposer] = MappingProxyType(
    {"opcua": Proposer(_opcua, "node"), "homeassistant": Proposer(_homeassistant, "topic")}
)
