"""Ranked probability scores ∫ (F(t) − 1{y ≤ t})² dt of laws with masses at caps, or on a grid.

On a grid it is a sum.  Between caps it is twice the integral of the pinball loss over levels, that over the
levels of a mass being known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.functionals import matched
from disteconometrics.distributions.numeric import level_integral

if TYPE_CHECKING:
    from disteconometrics.distributions.law import Function, Law

__all__ = ["between_caps", "on_grid"]


def on_grid(y: Array, points: Array, F: Array) -> Array:
    """Scores of outcomes (n,) under laws on points (K,) of equal distance, with F there, (n, K) or (K,).

    Examples
    --------
    >>> on_grid(np.array([1.0, 3.0]), np.arange(3.0), np.array([0.25, 0.75, 1.0]))
    array([0.125, 1.625])
    """
    step, at = points[1] - points[0], np.clip(y, points[0], points[-1])
    below = np.clip((at[:, None] - points[:-1]) / step, 0.0, 1.0)  # the share of a cell below the outcome
    inside = np.asarray(F)[..., :-1]
    loss = below * inside**2 + (1 - below) * (1 - inside) ** 2
    return np.asarray(step * loss.sum(axis=-1) + np.abs(y - at))


def between_caps(own: Law, low: float, high: float, y: Array) -> Array:
    """Scores of records (n,) under the laws of max(low, min(Y, high)), Y of ``own``, perhaps with a mass.

    Examples
    --------
    >>> from disteconometrics import Uniform
    >>> between_caps(Uniform(0.0, 2.0), 0.0, 1.0, np.array([0.0, 1.0])).round(6)
    array([0.583333, 0.083333])
    """
    at, point = np.clip(y, low, high), getattr(own, "point", None)
    with np.errstate(all="ignore"):
        F, S, mass = (np.zeros(1) if point is None else of(point) for of in (own.cdf, own.sf, own.mass))
        first, last = own.cdf(low), own.sf(high)
        below = _side(matched(own, own._quantile), at, own.cdf(at), (low, 0.0, first), (point, F - mass, F))
        above = _side(matched(own, own._isf), at, own.sf(at), (high, 0.0, last), (point, S, S + mass))
    return np.asarray(below + above + np.abs(y - at))


def _side(quantiles: Function, y: Array, share: Array, cap: tuple[Any, ...], mass: tuple[Any, ...]) -> Array:
    """∫ 2u·|y − q(u)| du over levels u of one side, from its end up to the ``share`` (n,) on that side of y.

    ``cap`` and ``mass`` are values that stand still, each with its first and its last level.
    """
    known, begin = np.zeros(y.shape), np.zeros(y.shape)
    for value, start, end in (cap, mass):
        start, end = np.minimum(start, share), np.minimum(end, share)
        if value is not None and np.isfinite(value):
            known = known + _between(quantiles, y, begin, start)
            known = known + np.where(end > start, np.abs(y - value) * (end**2 - start**2), 0.0)
            begin = end
    return known + _between(quantiles, y, begin, share)


def _between(quantiles: Function, y: Array, start: Array, end: Array) -> Array:
    """The part of `_side` between two levels (n,)."""
    width = np.maximum(end - start, 0.0)[:, None]
    if not width.any():
        return np.zeros(y.shape)

    def at(u: Array, upper: bool) -> Array:
        level = start[:, None] + width * ((1 - u) if upper else u)
        return 2 * level * np.abs(y[:, None] - quantiles(level)) * width

    return np.where(width[:, 0] > 0, level_integral(at, y.shape), 0.0)
