"""Who is downstream of whom."""

from __future__ import annotations

import numpy as np

from simulation.cascade.jit import kernel
from simulation.world import Bools, Int32s, Int64s


@kernel
def spread(reached: Bools, start: Int64s, dependent: Int32s) -> None:
    """Mark everything downstream of what is marked; `dependent` is sorted by source as `start` says."""
    queue = np.flatnonzero(reached)
    waiting = np.empty(len(reached), np.int64)
    waiting[: len(queue)] = queue
    size, position = len(queue), 0
    while position < size:
        node = waiting[position]
        position += 1
        for place in range(start[node], start[node + 1]):
            following = dependent[place]
            if not reached[following]:
                reached[following] = True
                waiting[size] = following
                size += 1
