"""Servers that are peers with contracts for cascades, and what one folder with all sites says."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

from api.demo.build import SITES
from api.policy import Role
from federation.node import Node
from graph.mesh import Mesh
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import served
from tests.api.peer_pair import SETTINGS, Site, befriend

WAIT_S = 120.0
CAMPUS_TO_PLANT = """\
partner = "plant"
sites = ["campus"]
kinds = ["brick:AHU"]
attributes = ["name", "localId"]
release = "rows"
purposes = ["cascade"]
events = ["FAIL"]
expires = 2100-01-01
[limits]
per_minute = 600
scenarios_per_day = 50
rows_per_answer = 1000
"""
PLANT_TO_CAMPUS = """\
partner = "campus"
sites = ["plant"]
kinds = ["tm:Process"]
attributes = ["name", "localId", "valuePerHour", "repairCost"]
release = "rows"
purposes = ["cascade"]
events = ["FAIL"]
expires = 2100-01-01
[limits]
per_minute = 600
scenarios_per_day = 50
rows_per_answer = 1000
"""
START = "mutation Run($input: CascadeInput!) { simulateCascade(input: $input) { id } }"
ASK = """
query Ask($id: ID!) { simulation(id: $id) {
  id status error errorCode completeness sources { site status code }
  summary { twinsHit expectedCost runsComputed }
  impacts(first: 1000) { nodes { id localId name kind site probability probabilityHigh
    firstHitHours { mean p05 p50 p95 } expectedDownHours minLevel expectedCost uncertain why } } } }
"""


def agree(site: Site, folder: Path, text: str) -> None:
    """Put a contract in force."""
    file = folder / f"contract-{site.running.mesh.sites[0]}.toml"
    file.write_text(text)
    code, told = site.run("contract", str(file))
    assert code == 0, told


def cascade(site: Site, document: dict[str, Any]) -> dict[str, Any]:
    """The finished simulation of a server, by GraphQL."""
    token = site.running.tokens.create(f"test-{time.monotonic_ns()}", Role.ADMIN)
    job = site.running.data(START, {"input": document}, token)["simulateCascade"]["id"]
    until = time.monotonic() + WAIT_S
    while True:
        answer = site.running.data(ASK, {"id": job}, token)["simulation"]
        if answer["status"] in ("DONE", "FAILED", "CANCELLED") or time.monotonic() > until:
            return answer
        time.sleep(0.02)


CONTRACT = """\
partner = "{partner}"
sites = ["{site}"]
kinds = {kinds}
attributes = {attributes}
release = "rows"
purposes = ["cascade"]
events = {events}
expires = 2100-01-01
[limits]
per_minute = 6000
scenarios_per_day = {per_day}
rows_per_answer = 1000
"""
EVERYTHING = ["name", "localId", "valuePerHour", "repairCost"]


def contract(
    site: str,
    partner: str,
    kinds: Sequence[str] = ("tm:Twin",),
    attributes: Sequence[str] = EVERYTHING,
    events: Sequence[str] = ("FAIL",),
    per_day: int = 50,
) -> str:
    """The file of a contract."""
    listed = {"kinds": list(kinds), "attributes": list(attributes), "events": list(events)}
    texts = {name: json.dumps(values) for name, values in listed.items()}
    return CONTRACT.format(site=site, partner=partner, per_day=per_day, **texts)


@contextmanager
def demo_servers(folder: Path, whole: Path, ontology: Schema, units: Units) -> Generator[dict[str, Site]]:
    """The demo's sites, each a server with a folder of its own; all are peers. whole: a folder with them."""
    with ExitStack() as stack:
        sites: dict[str, Site] = {}
        for name in SITES:
            shutil.copytree(whole / "sites" / name, folder / name / "sites" / name)
            mesh = stack.enter_context(Mesh.open(folder / name, ontology, units=units))
            running = stack.enter_context(served(mesh, dev=False))
            sites[name] = Site(running, stack.enter_context(Node.open(mesh.folder, SETTINGS)))
        for one, other in combinations(sites.values(), 2):
            befriend((one, other))
        yield sites


def agree_all(sites: Mapping[str, Site], folder: Path, **terms: Any) -> None:
    """A contract from each to each other."""
    for name, site in sites.items():
        for partner in sites:
            if partner != name:
                agree(site, folder, contract(name, partner, **terms))
