"""Power: the smallest difference that n rows can detect, and the rows that a difference needs.

Both use the sample size formula of the paired t-test with Guenther's correction (Guenther, Sample
Size Formulas for Normal Theory T Tests, The American Statistician 35, 1981):

    k = ((z_0.975 + z_0.8) * deviation / difference)^2 + z_0.975^2 / 2

`k` counts independent clusters, and `deviation` is the standard error of the mean times sqrt(k).
"""

from __future__ import annotations

import math

from service.evaluation.statistics.quantiles import normal_quantile

POWER = 0.8
ALPHA = 0.05
_Z_ALPHA = normal_quantile(1 - ALPHA / 2)
_Z = _Z_ALPHA + normal_quantile(POWER)
_CORRECTION = _Z_ALPHA**2 / 2
# McNemar's exact test needs at least 6 rows that only one column got right: 2 * 0.5^6 < 0.05. An
# expected number of 7.91 yields at least 6 with 80% probability (Poisson).
_DISCORDANT_NEEDED = 7.91
_ROUNDING = 1e-9


def detectable_difference(
    standard_error: float | None, clusters: int, *, binary: bool = False
) -> float | None:
    """Return the smallest true difference that is found significant with 80% probability.

    None if there are too few clusters to detect any difference of scores from 0 to 1.
    """
    if standard_error is None or clusters <= _CORRECTION + 1:
        return None
    found = _Z * standard_error * math.sqrt(clusters / (clusters - _CORRECTION))
    if binary:
        found = max(found, _DISCORDANT_NEEDED / clusters)
    return found if found <= 1 else None


def rows_needed(
    difference: float, *, standard_error: float, clusters: int, rows: int, binary: bool = False
) -> int:
    """Return the total number of rows needed to detect a difference with 80% power.

    `standard_error`, `clusters` and `rows` describe the sample at hand; new rows are assumed to be
    clustered like it.

    Raises:
        ValueError: The difference is 0, which no number of rows detects.
    """
    if difference == 0:
        raise ValueError("no number of rows detects a difference of 0")
    deviation = standard_error * math.sqrt(clusters)
    needed = (_Z * deviation / abs(difference)) ** 2 + _CORRECTION
    if binary:
        needed = max(needed, _DISCORDANT_NEEDED / abs(difference))
    return math.ceil(needed * rows / clusters - _ROUNDING)
