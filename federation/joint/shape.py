"""Circles through several sites, as one site sees them once it knows who reaches whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulation.circles import components, in_circle

if TYPE_CHECKING:
    from federation.joint.part import Part
    from federation.joint.reach import Reach
    from simulation.world import Bools, Int32s


@dataclass(frozen=True, slots=True, eq=False)
class Circles:
    """By row of a part. Two own rows share a component exactly where they share one in the whole world."""

    component: Int32s  # no edge leads to a smaller number
    circling: Bools
    crossing: Bools  # in a component with twins of several sites


def find_circles(part: Part, edges: Bools, reach: Reach) -> Circles:
    """Circles over some of the edges, also those that close through other sites.

    What lies outside is one edge from an own twin to each import that it reaches out there.
    """
    outside = [
        (part.exports[export], part.own + place)
        for place, token in enumerate(part.imports)
        for export in sorted(reach.heard[token] & part.exports.keys())
    ]
    virtual = np.array(outside, np.int32).reshape(-1, 2)
    source = np.concatenate([part.world.edge_source[edges], virtual[:, 0]])
    target = np.concatenate([part.edge_target[edges], virtual[:, 1]])
    component = components(source, target, part.world.twins)
    own = np.bincount(component[: part.own], minlength=part.world.twins)
    foreign = np.bincount(component[part.own :], minlength=part.world.twins)
    crossing = ((own > 0) & (foreign > 0))[component]
    return Circles(component, in_circle(component, source, target), crossing)
