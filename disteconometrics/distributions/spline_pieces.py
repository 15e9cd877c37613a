"""Monotone cubic splines with linear tails as tables: values, slopes, inverses; points of sums over panels.

A panel is the interval between two neighbouring knots.  What is summed over panels is smooth inside each, so
few points do where h rises by little.

References
----------
Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, NeurIPS 32, arXiv:1906.04032.
Trefethen (2013), Approximation theory and approximation practice, SIAM, ch. 19
(Gauss sums of analytic functions).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.likelihoods.splines import SlopeBasis, cubic_root

__all__ = [
    "MOST_CELLS",
    "NODES",
    "WEIGHTS",
    "Pieces",
    "chunks",
    "gauss",
    "invert",
    "node_counts",
    "panels",
    "pieces",
    "steepest",
    "transform",
]


NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
MOST_CELLS = 2_000_000  # of a temporary array
FEWEST, MOST = 4, 64  # points in a panel


class Pieces(NamedTuple):
    """Cubics of n rows on knots (K,): heights (n, K), slope polynomials (3, n, K − 1), end slopes (2, n)."""

    knots: Array
    heights: Array
    slopes: Array
    ends: Array


def pieces(basis: SlopeBasis, intercept: Array, slopes: Array) -> Pieces:
    """Tables of the transformations with intercepts (n,) and slope coefficients (n, J)."""
    poly, total = basis.table
    heights = intercept[:, None] + slopes @ total.T
    P = np.stack([slopes @ poly[:, i].T for i in range(3)])
    return Pieces(basis.knots, heights, P, np.stack([slopes[:, 0], slopes[:, -1]]))


def _at(table: Array, where: Indices) -> Array:
    return np.take_along_axis(table, where, axis=-1)


def transform(p: Pieces, r: Array) -> tuple[Array, Array]:
    """h and ∂h/∂r (n, m) at standardised outcomes r (n, m)."""
    k = p.knots
    inside = np.clip(r, k[0], k[-1])
    where = np.clip(np.searchsorted(k, inside, side="right") - 1, 0, len(k) - 2)
    u = inside - k[where]
    a, b, c = (_at(p.slopes[i], where) for i in range(3))
    slope = a + u * (b + u * c)
    with np.errstate(invalid="ignore"):
        beyond = r - inside
        beyond = np.where(np.isnan(beyond) & ~np.isnan(r), r, beyond)
        return _at(p.heights, where) + u * (a + u * (b / 2 + u * (c / 3))) + beyond * slope, slope


def invert(p: Pieces, z: Array) -> Array:
    """r (n, m) with h(r) = z (n, m), to rounding."""
    k, H = p.knots, p.heights
    inside = np.clip(z, H[:, :1], H[:, -1:])
    where = np.zeros(z.shape, dtype=np.intp)
    for j in range(1, len(k) - 1):
        where += inside >= H[:, j : j + 1]
    rest, rise = inside - _at(H, where), _at(np.diff(H, axis=1), where)
    u = cubic_root(
        [_at(s, where).ravel() for s in p.slopes],
        rest.ravel(),
        rise.ravel(),
        np.diff(k)[where].ravel(),
        k[-1] - k[0],
    )
    u = u.reshape(z.shape)
    with np.errstate(invalid="ignore"):
        below, above = z - H[:, :1], z - H[:, -1:]
        tail = np.where(
            below < 0, below / p.ends[0][:, None], np.where(above > 0, above / p.ends[1][:, None], 0.0)
        )
    return k[where] + u + tail


def chunks(rows: int, cells: int) -> Iterator[slice]:
    """Slices of rows whose temporaries of ``cells`` per row stay small."""
    step = max(1, MOST_CELLS // max(cells, 1))
    for i in range(0, rows, step):
        yield slice(i, min(i + step, rows))


@cache
def _legendre(count: int) -> tuple[Array, Array]:
    return np.polynomial.legendre.leggauss(count)


@cache
def _lobatto(count: int) -> tuple[Array, Array]:
    P = np.polynomial.Legendre.basis(count - 1)
    x = np.concatenate([[-1.0], P.deriv().roots().real, [1.0]])
    x[1:-1] -= P.deriv()(x[1:-1]) / P.deriv(2)(x[1:-1])
    return x, 2 / (count * (count - 1) * P(x) ** 2)


def gauss(low: Array, high: Array, counts: Indices, *, closed: bool = False) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights, each (Σ counts,), over intervals (low, high), each (P,).

    ``closed``: Lobatto's, which have both ends among at least three points and so see what happens near them.

    Example
    -------
    >>> points, weights = gauss(np.array([0.0, 1.0]), np.array([1.0, 3.0]), np.array([1, 2]))
    >>> points.round(3).tolist(), weights.round(12).tolist(), float((weights[1:] @ points[1:] ** 3).round(12))
    ([0.5, 1.423, 2.577], [1.0, 1.0, 1.0], 20.0)
    """
    rules = [(_lobatto if closed else _legendre)(int(count)) for count in counts]
    half = np.repeat((high - low) / 2, counts)
    points = np.repeat((high + low) / 2, counts) + half * np.concatenate([x for x, _ in rules])
    return points, half * np.concatenate([w for _, w in rules])


def panels(knots: Array, counts: Indices | int = 16) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights over the panels of knots (K,), ``counts`` in each or (K − 1,).

    Example
    -------
    >>> points, weights = panels(np.array([0.0, 1.0, 3.0]), np.array([2, 3]))
    >>> len(points), float((weights @ points**3).round(12))
    (5, 20.25)
    """
    return gauss(knots[:-1], knots[1:], np.broadcast_to(counts, len(knots) - 1))


def steepest(basis: SlopeBasis, slopes: Array) -> Array:
    """A bound (K − 1,) on h' in every panel over all rows, from slope coefficients (n, J).

    Missing rows are left out.

    Example
    -------
    >>> steepest(SlopeBasis(np.arange(5.0)), np.array([[1.0, 1.0, 1.0, 4.0], [1.0, 2.0, 1.0, 1.0]])).tolist()
    [2.0, 2.0, 4.0, 4.0]
    """
    top = np.fmax.reduce(slopes, axis=0, initial=0.0)
    alive = np.abs(basis.table[0]).max(axis=1) > 0
    return np.asarray(np.where(alive, top, 0.0).max(axis=1))


def node_counts(rises: Array, digits: float = 13.0) -> Indices:
    """Numbers of points by panel with which sums have so many digits, given bounds on the rises of h there.

    The logistic law is analytic as far as π from the line, so an error falls with the count n as ρ^(−2n),
    ρ − 1/ρ = 4π/rise; what the shape of h adds, and that the normal law needs no more, was measured (random
    splines, slopes down to zero; relative to the standard deviation).

    Example
    -------
    >>> node_counts(np.array([0.05, 0.3, 1.0, 3.0, 30.0])).tolist()
    [6, 7, 9, 14, 64]
    """
    far = 2 * np.pi / np.maximum(rises, 1e-9)
    counts = np.ceil((2.3 + 16 / np.log(far + np.sqrt(1 + far * far))) * (digits / 13.0))
    return np.asarray(np.clip(counts, FEWEST, MOST)).astype(np.intp)
