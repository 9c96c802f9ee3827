"""Bindings of OPC UA: as of `adapters/binding.py`, with a node instead of a topic.

    [[binding]]
    node = "nsu=urn:plant;s=Line1.Rate"   # or ns=2;s=..., i=...; nsu= outlives a new set-up of the server
    point = "LINE-1-RATE"
    unit = "[degF]"

One node is one value: there are no placeholders, pointers, payloads and qualities of service.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adapters.binding import parse_bindings
from adapters.tables import Table, read_toml
from ontology.errors import InputError, Place, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from adapters.binding import Binding
    from ontology.units import Units

NODE = re.compile(
    r"(?:(?:ns=\d{1,5}|nsu=[^;]+);)?(?:i=\d{1,10}|s=.+|g=[0-9A-Fa-f-]{36}|b=[A-Za-z0-9+/=]+)", re.DOTALL
)
FOREIGN_KEYS = ("topic", "pointer", "time_pointer", "time_unit", "quality_pointer", "payload", "qos")
# These mean something in a topic.
_ESCAPES = {sign: f"%{ord(sign):02X}" for sign in "%+#{}\0"}


def load_opcua_bindings(path: Path, units: Units) -> tuple[Binding, ...]:
    """The bindings of a TOML file. Raises InputError with every problem of the file."""
    return parse_opcua_bindings(read_toml(path), path.name, units)


def parse_opcua_bindings(document: Mapping[str, object], path: str, units: Units) -> tuple[Binding, ...]:
    """The bindings of a document. Raises InputError BINDING_NODE, CONFIG_... with every problem."""
    tables = Table({"binding": document.get("binding", [])}, Place(path=path)).tables("binding")
    problems: list[Problem] = []
    for number, table in enumerate(tables, 1):
        problems.extend(_problems(table, Place(path=path, item=f"binding {number}")))
    if problems:
        raise InputError.of(problems)
    given = [_as_topic(table) for table in tables]
    return parse_bindings({**document, "binding": given} if given else document, path, units)


def address_of(node: str) -> str:
    """A node id as the address that bindings and the router know it by."""
    return "".join(_ESCAPES.get(sign, sign) for sign in node)


def node_of(address: str) -> str:
    """The node id behind an address."""
    return re.sub(r"%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), address)


def _as_topic(table: Mapping[str, object]) -> dict[str, object]:
    rest = {key: value for key, value in table.items() if key != "node"}
    return {"topic": address_of(str(table.get("node", ""))), **rest}


def _problems(table: Mapping[str, object], place: Place) -> list[Problem]:
    found = [
        Problem("CONFIG_UNKNOWN_KEY", f"{key!r} means nothing for a node of OPC UA", place)
        for key in FOREIGN_KEYS
        if key in table
    ]
    node = table.get("node")
    if not isinstance(node, str) or not NODE.fullmatch(node):
        hint = 'such as "nsu=urn:plant;s=Line1.Rate" or "ns=2;i=1001"'
        found.append(Problem("BINDING_NODE", f"node {node!r} is no node id", place, hint))
    return found
