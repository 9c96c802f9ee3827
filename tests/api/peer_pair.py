"""Two served data folders, and the command line on each of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from api.cli import app
from api.config import Settings
from api.federation_http import node_settings
from federation.http_peer import HELLO, HELLO_PURPOSE
from federation.node import Node
from federation.trust import HEADER, Message, seal
from graph.mesh import Mesh
from ontology.errors import TwinmeshError
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import Running, campus_change, plant_change, served

SETTINGS = node_settings(Settings().federation)


@dataclass
class Site:
    """A served data folder, and the command line on it."""

    running: Running
    node: Node

    @property
    def folder(self) -> Path:
        return self.running.mesh.folder

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def key(self) -> str:
        return self.node.key.fingerprint

    def run(self, *words: str) -> tuple[int, Any]:
        """Exit code and JSON of `twinmesh peers ...`."""
        return run("peers", *words, "--data", str(self.folder))


def run(*words: str) -> tuple[int, Any]:
    """The command as `main` runs it: an error of ours is exit code 1 or 2 and one document."""
    result = CliRunner().invoke(app, [*words, "--json"])
    if isinstance(result.exception, TwinmeshError):
        return 1, {"code": result.exception.code, "hint": result.exception.hint or ""}
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


@contextmanager
def two_sites(
    folder: Path, ontology: Schema, units: Units, settings: Settings | None = None
) -> Generator[tuple[Site, Site]]:
    """Campus and plant, each a folder with a server of its own; nobody has added anybody."""
    with ExitStack() as stack:
        sites: list[Site] = []
        for name, change in (("campus", campus_change()), ("plant", plant_change())):
            mesh = stack.enter_context(Mesh.open(folder / name, ontology, units=units))
            mesh.create_site(name).apply(change)
            running = stack.enter_context(served(mesh, settings, dev=False))
            sites.append(Site(running, stack.enter_context(Node.open(mesh.folder, SETTINGS))))
        yield sites[0], sites[1]


def befriend(pair: tuple[Site, Site]) -> tuple[Site, Site]:
    """Both add each other."""
    for one, other in (pair, pair[::-1]):
        code, told = one.run("add", other.url, "--fingerprint", other.key)
        assert code == 0, told
    return pair


def greet(one: Site, name: str) -> Any:
    """`one` greets a peer; its identity."""
    client = one.node.http_peer(one.node.peers.find(name))
    return asyncio.run(client.hello(one.node.identity(one.running.mesh)))


def refused(action: Callable[[], object]) -> TwinmeshError:
    with pytest.raises(TwinmeshError) as caught:
        action()
    return caught.value


def post(url: str, token: str | None, body: bytes, **headers: str) -> httpx.Response:
    given = {HEADER: token} if token is not None else {}
    return httpx.post(f"{url}/federation/hello", content=body, headers={**given, **headers})


def greeting(one: Site, other: Site, **changed: Any) -> tuple[str, bytes]:
    """A right greeting of `one` for `other`, but for what is changed."""
    body = changed.pop("body", msgspec.json.encode(one.node.identity(one.running.mesh)))
    given = {"audience": other.key, "kind": HELLO, "purpose": HELLO_PURPOSE, **changed}
    return seal(one.node.key, Message(body=body, **given), SETTINGS.rules).token, body
