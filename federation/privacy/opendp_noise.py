# pyright: reportUnknownVariableType=false, reportUnknownLambdaType=false
"""The only file that knows OpenDP; imported by `mechanism.load_mechanisms` alone.

All noise is drawn by OpenDP's own samplers, on integers: discrete Laplace for counts and totals,
permute-and-flip for quantiles. No float is ever noised, so what floats tell by their last bits cannot happen.
What a measurement costs is what OpenDP's own map says for data sets that differ in one row; the scale grows
until that is no more than was paid. The feature `contrib` is switched on, as every constructor of OpenDP
demands it; `floating-point` and `honest-but-curious`, which weaken promises, are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from opendp.accuracy import discrete_laplacian_scale_to_accuracy
from opendp.domains import atom_domain, vector_domain
from opendp.measurements import then_laplace, then_private_quantile
from opendp.measures import max_divergence
from opendp.metrics import symmetric_distance
from opendp.mod import enable_features
from opendp.transformations import then_clamp, then_count, then_sum

from federation.privacy.question import MICRO
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

_TYPE: Final = "i64"
_ROWS_APART: Final = 1  # neighbours: a twin more or less, and a twin has one row
_TRIES_MAX: Final = 64
_WIDER: Final = 1.0 + 2.0**-48


@dataclass(frozen=True, slots=True)
class _Measured:
    """A measurement of OpenDP with the scale of its noise."""

    scale: float
    invoke: Callable[[Any], Any]

    def release(self, steps: npt.NDArray[np.int64]) -> int:
        return int(self.invoke(steps))


@dataclass(frozen=True, slots=True)
class OpenDp:
    """The mechanisms of OpenDP over columns of integers."""

    @classmethod
    def ready(cls) -> OpenDp:
        enable_features("contrib")
        return cls()

    def count(self, epsilon_micro: int) -> _Measured:
        return _calibrated(
            lambda scale: _rows() >> then_count(TO=_TYPE) >> then_laplace(scale=scale), epsilon_micro
        )

    def total(self, epsilon_micro: int, lower: int, upper: int) -> _Measured:
        clamped = _rows() >> then_clamp((lower, upper)) >> then_sum()
        return _calibrated(lambda scale: clamped >> then_laplace(scale=scale), epsilon_micro)

    def quantile(self, epsilon_micro: int, candidates: npt.NDArray[np.int64], share: float) -> _Measured:
        return _calibrated(
            lambda scale: _rows() >> then_private_quantile(max_divergence(), candidates, share, scale),
            epsilon_micro,
        )

    def error(self, scale: float, chance: float) -> float:
        return float(discrete_laplacian_scale_to_accuracy(scale=scale, alpha=chance))


def _rows() -> tuple[Any, Any]:
    return vector_domain(atom_domain(T=_TYPE)), symmetric_distance()


def _calibrated(build: Callable[[float], Any], epsilon_micro: int) -> _Measured:
    """The measurement with the least noise that costs no more than was paid, by OpenDP's own account."""
    paid = Fraction(epsilon_micro, MICRO)
    scale = float(build(1.0).map(_ROWS_APART)) / float(paid)
    for _ in range(_TRIES_MAX):
        measurement = build(scale)
        cost = float(measurement.map(_ROWS_APART))
        if math.isfinite(cost) and Fraction(cost) <= paid:
            return _Measured(scale, measurement.invoke)
        scale *= _WIDER
    raise TwinmeshError(f"OpenDP makes no noise for {epsilon_micro} millionths", code="PRIVACY_NOISE")
