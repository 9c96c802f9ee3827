"""The quality byte of a reading: how bad (OPC 10000-8 severity) in bits 0 and 1, why in bits 2 to 7.

A byte of 0, 1 or 2 is a severity whose reason nobody told: what was stored before reasons were known reads as
it always did. Compare severities, never bytes: `severities(quality) != Quality.BAD`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.values import Quality

if TYPE_CHECKING:
    import numpy.typing as npt

SEVERITY_MASK: Final = 3
REASON_SHIFT: Final = 2


class Reason(IntEnum):
    """Why a reading is doubted, or what is to know about one that is not. Stored: never renumber."""

    NOT_A_NUMBER = 1  # the device sent NaN or infinity
    IMPOSSIBLE = 2  # outside what the quantity can be: 140 % relative humidity
    RANGE = 3  # outside the limits of this point
    RATE = 4  # changed faster than the point can
    SPIKE = 5  # far from the values around it
    DRIFT = 6  # the level has moved away slowly
    STUCK = 7  # has not changed for longer than the point can stand still
    GAP = 8  # the first one after a silence
    STALE = 9  # nothing newer came in the time it should have
    LATE = 10  # came after a newer one, or long after its stamp
    DUPLICATE = 11  # the same reading again
    CONFLICT = 12  # another value for a stamp that was there already
    FUTURE = 13  # stamped after it arrived
    RETAINED = 14  # kept by the broker for an unknown time
    DISCONNECTED = 15  # the source lost its device
    DERIVED = 16  # computed from readings that are doubted


def quality_byte(severity: Quality, reason: Reason | None = None) -> int:
    """The byte of a severity and its reason."""
    return int(severity) | (0 if reason is None else int(reason) << REASON_SHIFT)


def severity_of(byte: int) -> Quality:
    """How bad. ValueError for a byte that is none."""
    return Quality(byte & SEVERITY_MASK)


def reason_of(byte: int) -> str | None:
    """Why, as a stable name; None where nobody told."""
    code = byte >> REASON_SHIFT
    return None if not code else _NAMES.get(code, f"REASON_{code}")


def severities(quality: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8[n]: the severity of each byte, ordered from best to worst."""
    return quality & np.uint8(SEVERITY_MASK)


def usable(quality: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """bool[n]: readings that count in figures: good and uncertain ones."""
    return severities(quality) < Quality.BAD


def worse(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8[n]: of each pair of bytes the one with the higher severity.

    Of equal severities the one that tells a reason, of two reasons the lower code.
    """
    return np.where(_rank(other) > _rank(one), other, one).astype(np.uint8)


def is_quality(byte: int) -> bool:
    """Whether a byte from outside is a quality."""
    return 0 <= byte < 256 and byte & SEVERITY_MASK <= Quality.BAD


def _rank(quality: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """By severity; then a told reason before none, a lower code before a higher one."""
    code = (quality >> np.uint8(REASON_SHIFT)).astype(np.int16)
    return (severities(quality).astype(np.int16) << 7) + np.where(code > 0, np.int16(64) - code, np.int16(0))


_NAMES: Final = {reason.value: reason.name for reason in Reason}
