"""Random numbers that depend on what they are for, not on when they are asked.

Every draw is a pure function of (seed, run, stable key of a twin, group or relationship, purpose, index):
the same world whatever the order, the thread, the machine or the site. The function is Philox4x32-10 (Salmon,
Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC11); the seed is its key, all else its
counter, so two draws share a value only if they share every input.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from simulation.cascade.jit import kernel

if TYPE_CHECKING:
    import numpy.typing as npt


class Purpose(IntEnum):
    """What a draw is for. The numbers are part of every reproducible result: append, never renumber."""

    FAILED = 1  # is the twin down from hour 0 (failureProbability)
    LIFE = 2  # timeToFailure
    REPAIR = 3  # timeToRepair
    RESTART = 4  # restartHours
    DELAY = 5  # delayHours
    BUFFER = 6  # bufferHours
    TOLERANCE = 7  # toleranceHours
    DAMAGE = 8  # does a starved spell damage; index = number of the spell


_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_INDEX_BITS = np.uint64(24)
_TO_52_BITS = np.uint64(12)
_TWO_POW_MINUS_52 = 2.0**-52


@kernel
def philox4x32(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Ten rounds of Philox on 32-bit words carried in uint64; returns four of them.

    Matches the known answers that the authors publish with Random123 (kat_vectors, philox4x32 10).
    """
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _MASK, (p0 >> _HALF) ^ c3 ^ k1, p0 & _MASK
        k0 = (k0 + _W0) & _MASK
        k1 = (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@kernel
def draw_bits(
    seed: np.uint64, run: np.uint64, key: np.uint64, purpose: np.uint64, index: np.uint64
) -> np.uint64:
    """The 64 random bits of one draw. All inputs are uint64; run < 2^32, purpose < 2^8, index < 2^24."""
    low, high, _, _ = philox4x32(
        key & _MASK,
        key >> _HALF,
        run & _MASK,
        (purpose << _INDEX_BITS) | index,
        seed & _MASK,
        seed >> _HALF,
    )
    return (high << _HALF) | low


@kernel
def to_unit(bits: np.uint64) -> float:
    """A double strictly between 0 and 1 from 64 random bits: the middle of one of 2^52 equal cells, exact."""
    return (float(bits >> _TO_52_BITS) + 0.5) * _TWO_POW_MINUS_52


@kernel
def draw_unit(seed: np.uint64, run: np.uint64, key: np.uint64, purpose: np.uint64, index: np.uint64) -> float:
    """One uniform draw in the open interval (0, 1); inputs as for `draw_bits`."""
    return to_unit(draw_bits(seed, run, key, purpose, index))


@kernel
def draw_units(
    seed: np.uint64,
    first_run: np.uint64,
    keys: npt.NDArray[np.uint64],
    purpose: np.uint64,
    out: npt.NDArray[np.float64],
) -> None:
    """Fill out[run, key] with uniform draws of consecutive runs; keys uint64[k], out float64[runs, k]."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = draw_unit(seed, first_run + np.uint64(i), keys[j], purpose, np.uint64(0))


def uniforms(
    seed: int, first_run: int, runs: int, keys: npt.NDArray[np.uint64], purpose: Purpose
) -> npt.NDArray[np.float64]:
    """Uniform draws float64[runs, keys] in (0, 1): row i belongs to run `first_run + i`."""
    out = np.empty((runs, len(keys)), dtype=np.float64)
    draw_units(np.uint64(seed), np.uint64(first_run), keys, np.uint64(purpose), out)
    return out
