"""Limits and uniform bands of quantiles and their differences, by inverting those of distribution functions: atoms do no harm.

A score interval for F at the unknown quantile of level τ asks |Fₙ − τ| ≤ c·√(τ(1 − τ)/n), so the limits of the quantile are
sample quantiles at shifted levels.  With c the quantile of the largest standardised deviation over a range of levels, simulated
for the size at hand, they hold for all those levels at once; where values tie they hold with more.

References
----------
Chernozhukov, Fernández-Val, Melly, Wüthrich (2020), Generic inference on quantile and quantile effect functions for discrete
outcomes, Journal of the American Statistical Association 115, doi:10.1080/01621459.2019.1611581.
Zou, Donner (2008), Construction of confidence limits about effect measures, Statistics in Medicine 27, doi:10.1002/sim.3095.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["critical_deviation", "difference_limits", "left_inverse", "normal_critical", "quantile_limits"]

Array = NDArray[np.float64]

SIMULATED = 2_000  # sizes above behave like this one
DRAWS = 4_000


def left_inverse(ordered: Array, levels: Array) -> Array:
    """inf{y : Fₙ(y) ≥ level} of a sorted sample (n,); −∞ for levels ≤ 0 and +∞ for levels above 1.

    Examples
    --------
    >>> left_inverse(np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.3, 2 / 3, 1.0, 1.1]))
    array([-inf,   1.,   2.,   4.,  inf])
    """
    n = len(ordered)
    at = np.ceil(n * np.asarray(levels) - 1e-9 * n**0.5).astype(np.intp) - 1  # k/n written as a decimal is meant exactly
    inside = ordered[np.clip(at, 0, n - 1)]
    return np.where(at < 0, -np.inf, np.where(at >= n, np.inf, inside))


def critical_deviation(n: int, low: float, high: float, level: float) -> float:
    """Quantile of sup |Fₙ − F|·√n/√(F(1 − F)) where F runs from ``low`` to ``high``, for n draws from a continuous law.

    It is simulated with a fixed seed, 4,000 draws, at most 2,000 values each; beyond 100 values n is rounded to two digits, which
    moves it by less than the simulation does, so that studies find most of it in memory.

    Examples
    --------
    >>> round(critical_deviation(500, 0.05, 0.95, 0.95), 1)
    3.2
    """
    n = min(n, SIMULATED)
    unit = 10 ** max(len(str(n)) - 2, 0)
    return _simulated(round(n / unit) * unit, low, high, level)


@lru_cache(256)
def _simulated(n: int, low: float, high: float, level: float) -> float:
    rng, found = np.random.default_rng(20240901), []
    share = np.arange(n + 1) / n
    step = max(1, 1_000_000 // n)
    for start in range(0, DRAWS, step):
        U = np.sort(rng.random((min(step, DRAWS - start), n)), axis=1)
        t = np.clip(U, low, high)  # between two values the deviation is largest at an end, or at an end of the range
        spread = np.sqrt(n / (t * (1 - t)))
        inside = t == U
        deviation = np.where(inside, np.maximum(np.abs(share[1:] - t), np.abs(share[:-1] - t)) * spread, 0.0).max(axis=1)
        for end in (low, high):
            below = np.count_nonzero(end >= U, axis=1) / n
            deviation = np.maximum(deviation, np.abs(below - end) * np.sqrt(n / (end * (1 - end))))
        found.append(deviation)
    return float(np.quantile(np.concatenate(found), level))


def quantile_limits(ordered: Array, levels: Array, critical: float) -> tuple[Array, Array]:
    """Lower and upper limits (k,) of the quantiles at ``levels``; infinite where the sample does not bound them.

    Examples
    --------
    >>> low, high = quantile_limits(np.arange(1.0, 101.0), np.array([0.5]), 1.96)
    >>> low.tolist(), high.tolist()
    ([41.0], [60.0])
    """
    half = critical * np.sqrt(levels * (1 - levels) / len(ordered))
    return left_inverse(ordered, levels - half), left_inverse(ordered, np.where(levels + half > 1, 2.0, levels + half))


def difference_limits(first: tuple[Array, Array, Array], second: tuple[Array, Array, Array], joint: bool) -> tuple[Array, Array]:
    """Limits of first − second from estimate, lower and upper limit of each.

    ``joint``: both bands hold at once, so the difference lies between the extreme ones; else the margins add up as squares
    (Zou, Donner 2008).

    Examples
    --------
    >>> one, zero = (np.array([5.0]), np.array([2.0]), np.array([8.0])), (np.array([1.0]), np.array([-3.0]), np.array([5.0]))
    >>> [limits.tolist() for limits in difference_limits(one, zero, joint=False)]
    [[-1.0], [9.0]]
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    if joint:
        return a_low - b_high, a_high - b_low
    return a - b - np.hypot(a - a_low, b_high - b), a - b + np.hypot(a_high - a, b - b_low)


def normal_critical(level: float) -> float:
    """Two-sided critical value of the normal law.

    Examples
    --------
    >>> round(normal_critical(0.95), 3)
    1.96
    """
    return float(special.ndtri(0.5 + level / 2))
