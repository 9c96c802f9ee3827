"""log, exp and the normal quantile with the same last bit on every machine.

The libm of one machine may round these differently from the next one's, and then two sites would disagree
about a draw. Here they are built only from the operations that IEEE 754 defines to the bit (+ - * / sqrt) and
from frexp and ldexp, which are exact. Numba without fastmath neither reorders nor contracts; the tests hold
the compiled code to the interpreter's answers, which contracts nothing.
"""

from __future__ import annotations

import math

from simulation.cascade.jit import kernel

# ln 2 in two parts (fdlibm's split): the high one ends in zeros, so that a small integer times it is exact
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LOG2_E = 1.4426950408889634
_SQRT_HALF = 0.7071067811865476
_EXP_OVERFLOW = 709.0
_EXP_UNDERFLOW = -708.0


@kernel
def log(x: float) -> float:
    """Natural logarithm of a positive, finite double; within 2 units in the last place."""
    mantissa, exponent = math.frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa *= 2.0
        exponent -= 1
    # log m = 2 artanh(f), f = (m - 1) / (m + 1), |f| < 0.1716: eleven terms leave less than half a unit
    f = (mantissa - 1.0) / (mantissa + 1.0)
    s = f * f
    series = 0.0
    for k in range(23, 1, -2):
        series = (series + 1.0 / k) * s
    return exponent * _LN2_HIGH + (2.0 * f + (2.0 * f * series + exponent * _LN2_LOW))


@kernel
def exp(x: float) -> float:
    """Exponential function; 0 below -708, infinity above 709; within 2 units in the last place."""
    if x > _EXP_OVERFLOW:
        return math.inf
    if x < _EXP_UNDERFLOW:
        return 0.0
    n = math.floor(x * _LOG2_E + 0.5)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    # Taylor's series by Horner's rule; |r| < 0.347 makes the fifteenth term vanish
    tail = 1.0
    for k in range(14, 1, -1):
        tail = 1.0 + tail * r / k
    return math.ldexp(1.0 + tail * r, int(n))


@kernel
def _ratio(
    r: float,
    a0: float,
    a1: float,
    a2: float,
    a3: float,
    a4: float,
    a5: float,
    a6: float,
    a7: float,
    b1: float,
    b2: float,
    b3: float,
    b4: float,
    b5: float,
    b6: float,
    b7: float,
) -> float:
    """A quotient of two polynomials of degree 7 in r, by Horner's rule."""
    over = ((((((a7 * r + a6) * r + a5) * r + a4) * r + a3) * r + a2) * r + a1) * r + a0
    under = ((((((b7 * r + b6) * r + b5) * r + b4) * r + b3) * r + b2) * r + b1) * r + 1.0
    return over / under


@kernel
def normal_quantile(p: float) -> float:
    """Inverse of the standard normal distribution function for 0 < p < 1; relative error about 1e-15.

    Algorithm AS 241 (PPND16): M. J. Wichura, Applied Statistics 37 (1988) 477-484.
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(
            0.180625 - q * q,
            3.3871328727963666080e0,
            1.3314166789178437745e2,
            1.9715909503065514427e3,
            1.3731693765509461125e4,
            4.5921953931549871457e4,
            6.7265770927008700853e4,
            3.3430575583588128105e4,
            2.5090809287301226727e3,
            4.2313330701600911252e1,
            6.8718700749205790830e2,
            5.3941960214247511077e3,
            2.1213794301586595867e4,
            3.9307895800092710610e4,
            2.8729085735721942674e4,
            5.2264952788528545610e3,
        )
    r = math.sqrt(-log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        size = _ratio(
            r - 1.6,
            1.42343711074968357734e0,
            4.63033784615654529590e0,
            5.76949722146069140550e0,
            3.64784832476320460504e0,
            1.27045825245236838258e0,
            2.41780725177450611770e-1,
            2.27238449892691845833e-2,
            7.74545014278341407640e-4,
            2.05319162663775882187e0,
            1.67638483018380384940e0,
            6.89767334985100004550e-1,
            1.48103976427480074590e-1,
            1.51986665636164571966e-2,
            5.47593808499534494600e-4,
            1.05075007164441684324e-9,
        )
    else:
        size = _ratio(
            r - 5.0,
            6.65790464350110377720e0,
            5.46378491116411436990e0,
            1.78482653991729133580e0,
            2.96560571828504891230e-1,
            2.65321895265761230930e-2,
            1.24266094738807843860e-3,
            2.71155556874348757815e-5,
            2.01033439929228813265e-7,
            5.99832206555887937690e-1,
            1.36929880922735805310e-1,
            1.48753612908506148525e-2,
            7.86869131145613259100e-4,
            1.84631831751005468180e-5,
            1.42151175831644588870e-7,
            2.04426310338993978564e-15,
        )
    return -size if q < 0.0 else size
