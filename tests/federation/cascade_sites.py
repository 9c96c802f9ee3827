"""Folders of sites simulated together within one process, beside one machine that has them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from federation.coarse import Coarse
from federation.joint.agreeing import World
from federation.joint.cascading import CascadeSite
from federation.joint.conducting import Bounds, Conductor, Here, Traffic, Waiting
from graph.snapshot import Snapshot
from simulation.events import Elsewhere
from simulation.result import Impact
from simulation.scenario import Scenario, parse_scenario


@dataclass(frozen=True)
class Joined:
    impacts: dict[str, Impact]
    traffic: Traffic
    is_bounded: bool

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Own rows of all sites, by id."""
        return {row["id"]: row for impact in self.impacts.values() for row in impact.to_json()["impacts"]}


def owners_of(snapshot: Snapshot, bases: Mapping[str, str]) -> dict[int, str]:
    """Stubs of twins of other sites."""
    stubs = snapshot.rows_of_kind(snapshot.schema.external_kind).tolist()
    found = {row: [n for n, base in bases.items() if snapshot.id(row).startswith(base)] for row in stubs}
    return {row: names[0] for row, names in found.items() if names and names[0] not in snapshot.sites}


def cascade_together(
    snapshots: Sequence[Snapshot],
    documents: Mapping[str, Mapping[str, Any]],
    *,
    dark: frozenset[str] = frozenset(),
    well: bool = False,
    bounds: Bounds | None = None,
    carry: Callable[[Waiting], Waiting] | None = None,
    coarse: Coarse | None = None,
) -> Joined:
    """documents: a scenario by site, each with the events of its own twins and null for those of others.

    coarse: of the levels that everybody is told.
    """
    bases = {snapshot.sites[0]: snapshot.bases[0] for snapshot in snapshots}
    lit = frozenset(bases) - dark
    sites: list[CascadeSite] = []
    runs = next(scenario_of(document).runs for document in documents.values())
    for snapshot in snapshots:
        name = snapshot.sites[0]
        if name in lit:
            everything = np.ones(snapshot.size, np.bool_)
            world = World(
                name,
                snapshot,
                scenario_of(documents[name]),
                owners_of(snapshot, bases),
                lambda _, everything=everything: everything,
                ignored,
                coarse=lambda _: coarse,
            )
            sites.append(CascadeSite(world, lit))
    conductor = Conductor([Here(site) for site in sites], bounds or Bounds(), ignored, lambda: None, carry)
    return asyncio.run(_conduct(sites, conductor, runs, well=well))


def ignored(*_: object) -> None:
    """Whatever is told."""


async def _conduct(sites: list[CascadeSite], conductor: Conductor, runs: int, *, well: bool) -> Joined:
    is_random, is_bounded = await conductor.prepare()
    await conductor.run(runs if is_random else 1, well=well)
    impacts = {site.name: site.impact(lambda owner, iri: f"input {iri} from {owner}") for site in sites}
    return Joined(impacts, conductor.traffic, is_bounded)


def scenario_of(document: Mapping[str, Any]) -> Scenario:
    """Events that are null happen elsewhere."""
    events = document.get("events", [])
    own = parse_scenario({**document, "events": [event for event in events if event is not None]})
    listed = iter(own.events)
    return replace(own, events=tuple(Elsewhere() if event is None else next(listed) for event in events))


def split(document: Mapping[str, Any], sites: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A scenario whose events name twins as `site:localId`, by site."""
    return {
        site: {
            **document,
            "events": [e if e["twin"].startswith(f"{site}:") else None for e in document["events"]],
        }
        for site in sites
    }
