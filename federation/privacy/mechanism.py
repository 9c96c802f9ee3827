"""The seam to the library that makes the noise, and what is said where it is not installed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from ontology.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BRIDGE = "federation.privacy.opendp_noise"


class Measurement(Protocol):
    """One noisy figure over the rows of one group: integers in, an integer out."""

    @property
    def scale(self) -> float:
        """Of the noise: in rows for counts, in steps of the grid for totals, in ranks for quantiles."""
        ...

    def release(self, steps: npt.NDArray[np.int64]) -> int:
        """A new draw each time. steps: one per row."""
        ...


class Mechanisms(Protocol):
    """Measurements made to cost no more than so many millionths of epsilon, where a twin has one row."""

    def count(self, epsilon_micro: int) -> Measurement: ...

    def total(self, epsilon_micro: int, lower: int, upper: int) -> Measurement:
        """The sum of the steps, each clamped into lower .. upper."""
        ...

    def quantile(self, epsilon_micro: int, candidates: npt.NDArray[np.int64], share: float) -> Measurement:
        """One of the candidates (ascending), near the one that has `share` of the rows below it."""
        ...

    def error(self, scale: float, chance: float) -> float:
        """The noise of counts and totals is that large, on either side, with at most this chance."""
        ...


def load_mechanisms() -> Mechanisms:
    """OpenDP, an extra: imported when somebody asks. Raises UsageError PRIVACY_NOT_INSTALLED."""
    try:
        bridge = import_module(_BRIDGE)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "opendp":
            raise
        message = "private aggregates need OpenDP, which is not installed here"
        hint = "install twinmesh with its extra `privacy`: uv sync --extra privacy"
        raise UsageError(message, code="PRIVACY_NOT_INSTALLED", hint=hint) from error
    return cast("Mechanisms", bridge.OpenDp.ready())
