"""Which servers are measured, and how each is started on the pumps."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from bench.graphql_peers.installing import NODE, RUST, MissingError, find
from bench.graphql_peers.serving import ServerError, free_port, started, twinmesh_command
from bench.stores.process import ROOT
from bench.stores.table import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.graphql_peers.serving import Server

STOCK, TUNED = "strawberry", "strawberry tuned"
APOLLO, MERCURIUS, RUST_PEER = "apollo server", "mercurius jit", "async-graphql"
PEERS = (STOCK, TUNED, APOLLO, MERCURIUS, RUST_PEER)
FILL_S_MAX = 900.0
SAID_CHARACTERS_MAX = 300


@dataclass(slots=True)
class Place:
    """Where a run keeps its files, and what could not be started: name -> why."""

    folder: Path
    missing: dict[str, str] = field(default_factory=dict[str, str])

    def path(self, name: str) -> Path:
        return self.folder / name


def start_fleet(stack: ExitStack, place: Place, names: Iterable[str], pumps: int) -> dict[str, Server]:
    """Servers over so many pumps; what cannot be started is named in `place.missing`."""
    running: dict[str, Server] = {}
    for name in names:
        port, token = free_port(), token_hex(16)
        try:
            if name == OURS:
                running[name] = start_twinmesh(stack, place, "fleet", pumps)
                continue
            command = [*_COMMANDS[name](place, port, pumps), token]
            log = place.path(f"{name.replace(' ', '-')}-{pumps}.log")
            running[name] = stack.enter_context(started(name, command, port, token, log))
        except (MissingError, ServerError) as error:
            place.missing[name] = str(error)
    return running


def start_twinmesh(stack: ExitStack, place: Place, shape: str, size: int) -> Server:
    """On a folder of its own, filled anew. ServerError."""
    folder = Path(tempfile.mkdtemp(prefix=f"twinmesh-{shape}-{size}-", dir=place.folder))
    token = run_module("fill", str(folder), shape, str(size)).strip()
    port, log = free_port(), folder.with_suffix(".log")
    return stack.enter_context(started(OURS, twinmesh_command(folder, port), port, token, log))


def run_module(name: str, *arguments: str) -> str:
    """What a program of this package prints. ServerError."""
    command = [sys.executable, "-m", f"bench.graphql_peers.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=FILL_S_MAX, check=False)
    if done.returncode:
        raise ServerError(f"{name}: {done.stderr.strip()[-SAID_CHARACTERS_MAX:]}")
    return done.stdout


def _strawberry(flavour: str) -> Callable[[Place, int, int], list[str]]:
    module = "bench.graphql_peers.strawberry_server"
    return lambda _place, port, pumps: [sys.executable, "-m", module, flavour, str(port), str(pumps)]


def _node(script: str) -> Callable[[Place, int, int], list[str]]:
    def command(place: Place, port: int, pumps: int) -> list[str]:
        return [find("node"), str(NODE.install() / script), str(port), str(_data(place, pumps))]

    return command


def _rust(place: Place, port: int, pumps: int) -> list[str]:
    program = RUST.install() / "target" / "release" / "bench-async-graphql"
    return [str(program), str(port), str(_data(place, pumps))]


_COMMANDS: dict[str, Callable[[Place, int, int], list[str]]] = {
    STOCK: _strawberry("stock"),
    TUNED: _strawberry("tuned"),
    APOLLO: _node("apollo.mjs"),
    MERCURIUS: _node("mercurius.mjs"),
    RUST_PEER: _rust,
}


def _data(place: Place, pumps: int) -> Path:
    path = place.path(f"fleet-{pumps}.json")
    if not path.exists():
        run_module("fleet", str(pumps), str(path))
    return path
