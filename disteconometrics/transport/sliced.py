"""Sliced Wasserstein distance: the average over directions of the distance between projections.

References
----------
Bonneel, Rabin, Peyré, Pfister (2015), Sliced and Radon Wasserstein barycenters of measures, Journal of
Mathematical Imaging and Vision 51, doi:10.1007/s10851-014-0506-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Seed
from disteconometrics.errors import OptionError
from disteconometrics.transport.one_dim import pieces
from disteconometrics.transport.samples import finite_order, masses, pair_of_points, points, power_above

__all__ = ["Sliced", "directions", "sliced_wasserstein"]


@dataclass(frozen=True, eq=False)
class Sliced:
    """``distance`` = (mean of W_p^p over ``directions`` (L, d))^(1/p), ``by_direction`` (L,) the W_p^p."""

    p: float
    distance: float
    by_direction: Array
    directions: Array

    @property
    def cost(self) -> float:
        """Mean of W_p^p over directions."""
        return float(self.by_direction.mean())

    @property
    def mc_error(self) -> float:
        """Standard error of `cost` from having drawn the directions."""
        return (
            float(self.by_direction.std(ddof=1) / np.sqrt(len(self.by_direction)))
            if len(self.by_direction) > 1
            else np.nan
        )

    def __float__(self) -> float:
        return self.distance


def directions(count: int, dimension: int, seed: Seed) -> Array:
    """Directions (count, dimension) uniform on the sphere.

    Examples
    --------
    >>> np.linalg.norm(directions(3, 2, 1), axis=1).round(12).tolist()
    [1.0, 1.0, 1.0]
    """
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
    z = rng.normal(size=(count, dimension))
    return np.asarray(z / np.linalg.norm(z, axis=1, keepdims=True))


def sliced_wasserstein(
    x: Any,
    y: Any,
    p: float = 2,
    wx: Any = None,
    wy: Any = None,
    *,
    projections: int | Array = 100,
    seed: Seed = None,
) -> Sliced:
    """Sliced Wasserstein distance of order p between two samples of rows.

    Parameters
    ----------
    x, y : (n, d) and (m, d) arrays of any real dtype, computed in float64.
    p : float of at least 1, finite.
    wx, wy : (n,) and (m,) arrays of any real dtype or None, weights.
    projections : int, or (L, d) array of directions of length one.
    seed : int, numpy Generator or None, for the directions.

    Returns
    -------
    Sliced

    Raises
    ------
    DataError, OptionError

    References
    ----------
    Bonneel, Rabin, Peyré, Pfister (2015), doi:10.1007/s10851-014-0506-3.

    Examples
    --------
    >>> sliced_wasserstein([[0.0, 0.0]], [[3.0, 4.0]], projections=np.eye(2)).cost  # the mean of 9 and 16
    12.5
    """
    p = finite_order(p)
    x, y = pair_of_points(x, y)
    a, b = masses(wx, len(x), "wx"), masses(wy, len(y), "wy")
    D = _projections(projections, x.shape[1], seed)
    scale = power_above(max(np.abs(x).max(), np.abs(y).max()))
    u, v = D @ (x / scale).T, D @ (y / scale).T
    if a is None and b is None:
        cost = _unweighted(u, v, p)
    else:
        cost = np.array([_weighted(r, s, a, b, p) for r, s in zip(u, v, strict=True)])
    return Sliced(p, float(cost.mean() ** (1 / p)) * scale, cost * scale**p, D)


def _projections(given: int | Array, dimension: int, seed: Seed) -> Array:
    """Directions (L, d): so many drawn, or those given."""
    if isinstance(given, (int, np.integer)):
        if isinstance(given, bool) or given < 1:
            raise OptionError(
                f"projections={given!r}: give a whole number of at least 1, or an array of directions (L, d)."
            )
        return directions(int(given), dimension, seed)
    D = points(given, "projections")
    if D.shape[1] != dimension or not np.allclose(np.linalg.norm(D, axis=1), 1, atol=1e-8):
        raise OptionError(
            f"projections must be directions of length one, (L, {dimension}); got shape {D.shape}."
        )
    return D


def _unweighted(u: Array, v: Array, p: float) -> Array:
    """W_p^p (L,) of rows (L, n) and (L, m), which are overwritten."""
    u.sort(axis=1)
    v.sort(axis=1)
    n, m = u.shape[1], v.shape[1]
    if n != m:
        source, target, mass = pieces(None, None, n, m)
        return np.abs(u[:, source] - v[:, target]) ** p @ mass
    u -= v
    return np.asarray(np.vecdot(u, u) / n if p == 2 else (np.abs(u) ** p).mean(axis=1))


def _weighted(u: Array, v: Array, a: Array | None, b: Array | None, p: float) -> float:
    i, j = np.argsort(u), np.argsort(v)
    source, target, mass = pieces(None if a is None else a[i], None if b is None else b[j], len(u), len(v))
    return float(mass @ np.abs(u[i][source] - v[j][target]) ** p)
