"""What several estimates need at once: critical values and p-values from draws, limits of their contrasts."""

from __future__ import annotations

import numpy as np
from scipy import special

from disteconometrics.arrays import Array
from disteconometrics.inference.estimates import as_far_out

__all__ = ["as_normal", "contrast_limits", "p_of_draws", "spread", "sup_critical"]

IQR = 1.3489795003921634  # of a standard normal law


def spread(draws: Array) -> Array:
    """Interquartile ranges (…) of draws (B, …) as standard deviations of a normal law.

    Examples
    --------
    >>> spread(np.arange(5.0)[:, None]).round(3)
    array([1.483])
    """
    low, high = np.quantile(draws, [0.25, 0.75], axis=0)
    return np.asarray((high - low) / IQR)


def as_normal(statistics: Array, df: float) -> Array:
    """Absolute t statistics as those of a normal law with the same p-values.

    Examples
    --------
    >>> as_normal(np.array([2.228]), 10.0).round(2)
    array([1.96])
    """
    if np.isinf(df):
        return np.abs(statistics)
    return np.asarray(-special.ndtri(special.stdtr(df, -np.abs(statistics))))


def sup_critical(deviations: Array, level: float, df: float) -> float:
    """Critical value of all of several estimates at once, from standardised deviations (B, S) of draws.

    Examples
    --------
    >>> sup_critical(np.array([[1.0, -3.0], [0.5, 0.2], [1.0, 0.0]]), 0.5, np.inf)
    1.0
    """
    return as_far_out(float(np.quantile(np.abs(deviations).max(axis=1), level)), df)


def p_of_draws(draws: Array, statistic: float) -> float:
    """Share of draws (B,) of a statistic under the hypothesis that are as large, the sample among them.

    Examples
    --------
    >>> p_of_draws(np.array([1.0, 2.0, 3.0]), 2.5)
    0.5
    """
    return float((1 + (draws >= statistic).sum()) / (1 + len(draws)))


def contrast_limits(
    c: Array, values: Array, limits: Array, *, joint: bool, correlation: Array | None = None
) -> tuple[Array, Array]:
    """Limits (k,) of Σ c·values from limits of each.

    ``joint``: bands of all hold at once, so the contrast lies between extremes; else the margins add up as
    squares (Zou, Donner 2008, doi:10.1002/sim.3095).

    Parameters
    ----------
    c : (v,) float64 array.
    values : (v, k) float64 array.
    limits : (v, 2, k) float64 array.
    joint : bool.
    correlation : (k,) float64 array of both terms, where there are two, or None where they are independent.

    Examples
    --------
    >>> limits = np.array([[[2.0], [8.0]], [[-3.0], [5.0]]])
    >>> contrast_limits(np.array([1.0, -1.0]), np.array([[5.0], [1.0]]), limits, joint=True)
    (array([-3.]), array([11.]))
    """
    up = (c > 0)[:, None]
    least = np.where(up, limits[:, 0], limits[:, 1])
    most = np.where(up, limits[:, 1], limits[:, 0])
    with np.errstate(invalid="ignore"):
        if joint:
            return np.asarray(c @ least), np.asarray(c @ most)
        below, above = (_length(c[:, None] * (e - values), correlation) for e in (least, most))
    return np.asarray(c @ values - below), np.asarray(c @ values + above)


def _length(margins: Array, correlation: Array | None) -> Array:
    """Length (k,) of a sum of margins (v, k); those of two terms may be correlated."""
    if correlation is None or not correlation.any():
        return np.asarray(np.hypot.reduce(margins, axis=0))
    squares = np.square(margins).sum(axis=0) + 2 * correlation * margins.prod(axis=0)
    return np.where(np.isfinite(margins).all(axis=0), np.sqrt(np.clip(squares, 0.0, None)), np.inf)
