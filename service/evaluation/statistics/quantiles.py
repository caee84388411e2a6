"""Quantiles of the normal distribution and of Student's t distribution."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
# Above this number of degrees of freedom, the t distribution's 97.5% quantile differs from the
# normal one by less than 0.3%.
_MAX_DEGREES = 1000
_BISECTIONS = 80


def normal_quantile(p: float) -> float:
    """Return the `p` quantile of the standard normal distribution."""
    return _NORMAL.inv_cdf(p)


@lru_cache(maxsize=4096)
def t_quantile(p: float, degrees: int) -> float:
    """Return the `p` quantile, above 0.5, of Student's t distribution."""
    if degrees > _MAX_DEGREES:
        return normal_quantile(p)
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < p:
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < p else (low, middle)
    return (low + high) / 2


def t_cdf(t: float, degrees: int) -> float:
    """Return the probability that a t variable with integer degrees of freedom is at most `t`.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    between = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + between / 2
