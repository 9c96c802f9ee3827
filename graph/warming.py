"""What the first question after a start would have to wait for, made before it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.exact_sums import exact_sums
from graph.jit import read_only
from graph.newest import warm_up as warm_newest
from graph.reaching import from_base, from_piece

if TYPE_CHECKING:
    from graph.mesh import Mesh


def warm_up(mesh: Mesh) -> None:
    """Get the kernels of walks and sums ready, and put the ids of all sites in order.

    The latter takes half a second per million.
    """
    _warm_kernels()
    if mesh.sites:
        mesh.snapshot().twins.ids.ranking()


def _warm_kernels() -> None:
    """One relationship of one twin to itself, as what came earlier and as what came since."""
    exact_sums(np.zeros(1), [0, 1])
    warm_newest()
    rows, flags = read_only(np.zeros(1, np.int32)), read_only(np.ones(1, np.bool_))
    seen = (flags, rows, flags)
    walk = (np.zeros(1, np.int32), 0, 1, 1, np.zeros(1, np.int32), 1)
    from_base(*walk, rows, read_only(np.array([0, 1], np.int32)), rows, flags, *seen)
    from_piece(*walk, read_only(np.zeros(1, np.int64)), 1, rows, flags, *seen)
