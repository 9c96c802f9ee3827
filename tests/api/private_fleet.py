"""Three served folders: a manufacturer, and two customers who run its pumps and show it none of them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.config import Settings
from federation.node import Node
from graph.mesh import Mesh
from graph.values import Change, TwinRecord, Value
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, served
from tests.api.peer_pair import SETTINGS, Site, befriend

PUMP = SCHEMA.kind("brick:Pump").iri
CHILLER = SCHEMA.kind("brick:Chiller").iri
# Tests ask more often than people do.
FAST = Settings(federation=replace(Settings().federation, private_per_minute=100_000))
SIZES = {"maker": 1, "north": 60, "south": 40}


def pumps(site: str, count: int) -> Change:
    """Pumps of 10 kW, half of them stated in W, in hall A or B; and two chillers."""

    def one(number: int) -> TwinRecord:
        power = Value(10, "kW") if number % 2 else Value(10_000, "W")
        hall = Value("A" if number < count // 2 else "B")
        attributes = {"ratedPower": power, "hall": hall, "secret": Value(1.0)}
        return TwinRecord(f"https://twinmesh.invalid/{site}/P-{number}", (PUMP,), attributes=attributes)

    chillers = tuple(
        TwinRecord(
            f"https://twinmesh.invalid/{site}/CH-{n}", (CHILLER,), attributes={"ratedPower": Value(90, "kW")}
        )
        for n in range(2)
    )
    return Change(put_twins=(*(one(number) for number in range(count)), *chillers))


@contextmanager
def fleet(folder: Path, ontology: Schema, units: Units) -> Generator[dict[str, Site]]:
    """Everybody has added the maker, and the maker everybody; nothing is agreed yet."""
    with ExitStack() as stack:
        sites: dict[str, Site] = {}
        for name, count in SIZES.items():
            mesh = stack.enter_context(Mesh.open(folder / name, ontology, units=units))
            mesh.create_site(name).apply(pumps(name, count))
            running = stack.enter_context(served(mesh, FAST, dev=False))
            sites[name] = Site(running, stack.enter_context(Node.open(mesh.folder, SETTINGS)))
        for name in ("north", "south"):
            befriend((sites["maker"], sites[name]))
        yield sites


def agree(site: Site, **changed: Any) -> dict[str, Any]:
    """Put a contract with the maker that allows pumps, and epsilon 1,000 tenths, unless it is changed."""
    given = {"epsilon": 100.0, "kinds": ["brick:Pump", "brick:Chiller"], "expires": "2100-01-01", **changed}
    per_minute = given.get("per_minute", 100_000)
    text = f"""\
partner = "maker"
sites = ["{site.running.mesh.sites[0]}"]
kinds = {given["kinds"]}
attributes = ["hall"]
release = "aggregates"
purposes = ["private"]
expires = {given["expires"]}
[limits]
per_minute = {per_minute}
[privacy]
epsilon = {given["epsilon"]}
[privacy.bounds]
ratedPower = {{ from = 0, to = 100, unit = "kW" }}
"""
    file = site.folder / "contract.toml"
    file.write_text(text.replace("'", '"'))
    code, told = site.run("contract", str(file))
    assert code == 0, told
    return told


def ask(site: Site, *words: str, kind: str = "brick:Pump", epsilon: float = 10.0) -> tuple[int, Any]:
    """`twinmesh peers private` on a folder."""
    return site.run("private", "--kind", kind, "--epsilon", str(epsilon), *words)


def states(told: Any) -> dict[str, tuple[str, str | None]]:
    """What became of the question, by peer."""
    return {each["peer"]: (each["state"], each["code"]) for each in told["peers"]}


def account(told: Any, peer: str) -> dict[str, Any]:
    return next(each["account"] for each in told["peers"] if each["peer"] == peer)


def values(told: Any) -> dict[str, float | None]:
    """The figure over all peers, by group."""
    return {each["group"]: each["value"] for each in told["groups"]}


def write(site: Site, change: Change) -> None:
    mesh = site.running.mesh
    mesh.twin(mesh.sites[0]).apply(change)
