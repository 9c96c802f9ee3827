"""Several served folders that know each other, and one folder that holds all their sites: the oracle."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.config import Federation, Settings
from api.federation_http import node_settings
from federation.contract import OWN_FIELDS, Contract, Purpose, Release
from federation.egress import place_of
from federation.node import Node
from graph.mesh import Mesh
from graph.values import Change
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, Running, served
from tests.api.peer_pair import Site

FOREVER_NS = 2**62
QUICK = Settings(
    federation=Federation(refresh_s=0.2, query_deadline_s=30.0, deadline_s=30.0, query_pause_s=0.1)
)
"""No deadline that a slow machine could miss."""


@dataclass
class Group:
    """Sites by name. merged: one server over a folder with all of them, which knows nobody."""

    sites: Mapping[str, Site]
    merged: Running

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    def share(self, giver: str, taker: str, **narrower: Any) -> Contract:
        """A contract of `giver` with `taker`: everything, but for what is said otherwise."""
        made = replace(whole_contract(self[taker].key, giver), **narrower)
        self[giver].node.contracts.put(made, "by a test", time.time_ns())
        return made

    def share_all(self) -> None:
        for giver in self.sites:
            for taker in self.sites:
                if giver != taker:
                    self.share(giver, taker)

    def settle(self, asker: str, *peers: str, status: str = "ANSWERED") -> None:
        """Wait until a server has heard from its peers what they show."""
        wait_until(lambda: set(peers) <= answering(self[asker], status), f"{asker} hears of {peers}")


def answering(site: Site, status: str) -> set[str]:
    extensions = site.running.ask("{ twins(first: 1) { nodes { id } } }").get("extensions", {})
    sources = extensions.get("sources", [])
    return {source["peer"] for source in sources if source["status"] == status}


def wait_until(holds: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def at(question: str, *ids: str) -> str:
    """A question with ids in place of each `%s`."""
    for each in ids:
        question = question.replace("%s", each, 1)
    return question


def whole_contract(partner: str, site: str) -> Contract:
    """All twins (stubs too), attributes in use in the tests, and relations."""
    return Contract(
        partner=partner,
        sites=frozenset({site}),
        kinds=frozenset({SCHEMA.kind("tm:Twin").iri}),
        attributes=frozenset(SCHEMA.attributes) | OWN_FIELDS | {"area", "assetTag", "ratedPower", "medium"},
        relations=frozenset(relation.iri for relation in SCHEMA.relations),
        release=Release.ROWS,
        purposes=frozenset({Purpose.QUERY}),
        expires_ns=FOREVER_NS,
        per_minute=100_000,
        rows_per_answer=10_000,
    )


@contextmanager
def group_of(
    folder: Path,
    ontology: Schema,
    units: Units,
    changes: Mapping[str, Sequence[Change]],
    settings: Settings = QUICK,
    *,
    hosts: Mapping[str, str] | None = None,
) -> Generator[Group]:
    """Servers that added each other, and one for all sites. hosts: which server has a site, else its own."""
    with ExitStack() as stack:
        sites: dict[str, Site] = {}
        merged = stack.enter_context(Mesh.open(folder / "merged", ontology, units=units))
        meshes: dict[str, Mesh] = {}
        for site, wishes in changes.items():
            name = (hosts or {}).get(site, site)
            if name not in meshes:
                meshes[name] = stack.enter_context(Mesh.open(folder / name, ontology, units=units))
            for wish in wishes:
                meshes[name].create_site(site).apply(wish)
                merged.create_site(site).apply(wish)
        for name, mesh in meshes.items():
            running = stack.enter_context(served(mesh, settings))
            node = stack.enter_context(Node.open(mesh.folder, node_settings(settings.federation)))
            sites[name] = Site(running, node)
        befriend_all(sites)
        yield Group(sites, stack.enter_context(served(merged)))


def befriend_all(sites: Mapping[str, Site]) -> None:
    for name, one in sites.items():
        for other_name, other in sites.items():
            if name != other_name:
                identity = other.node.identity(other.running.mesh)
                one.node.peers.add(other_name, place_of(other.url), identity, time.time_ns())
