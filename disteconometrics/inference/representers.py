"""Weights α (n,) of rows by which a function of a variable, added to functions of others, sums to an effect.

An effect is linear in the functional of the rows' laws: Λ(m), a contrast, a slope or a coefficient.  With

    Σ α_i g(x_i) = Λ(g)  for every g in a span, α in the span itself,

α is Λ's Riesz representer there, and Σ α_i ψ_i, ψ the influence function of the functional given x_i, takes
off the error of a fitted m that the span knows, to first order (Chernozhukov, Newey, Singh 2022).  The span
is that of the other variables' columns as they enter the fit, and of hat functions of the variable, with
knots at some of its quantiles, the more the more observations there are, at heaps, and at what is compared.

References
----------
Chernozhukov, Newey, Singh (2022), Automatic debiased machine learning of causal and structural effects,
Econometrica 90, doi:10.3982/ECTA18515.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from disteconometrics.arrays import Array

__all__ = ["HEAP", "hat_knots", "hats", "representer", "residual"]

NOTHING = 1e-10  # share of a column's length that is rounding
HEAP = 0.05  # share of rows at a value that is a heap
AT_ONCE = 4  # columns whose residuals are taken together
ROWS = 100_000  # whose products are taken together
PIECES, AT_SIZE = 2, 500  # between quantiles that are knots, at so many observations


def residual(x: Array, Z: Array, shares: Array) -> Array:
    """What weighted least squares on Z (n, m) leaves of x (n,) or (n, v); zeros where it is rounding alone.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 4.0])
    >>> residual(x, np.ones((4, 1)), np.full(4, 0.25))
    array([-1.75, -0.75,  0.25,  2.25])
    """
    root = np.sqrt(shares)
    columns = Z * root[:, None]
    length = np.sqrt(np.square(columns).sum(axis=0))
    columns = columns[:, length > 0] / length[length > 0]  # so that units do not say which repeat others
    Q, R, _ = linalg.qr(columns, mode="economic", pivoting=True)
    Q = Q[:, np.abs(np.diagonal(R)) > NOTHING]
    if x.ndim == 1:
        return _left(x[:, None], Q, root)[:, 0]
    out = np.empty(x.shape)
    for j in range(0, x.shape[1], AT_ONCE):  # a few columns, so that copies of many rows stay small
        out[:, j : j + AT_ONCE] = _left(x[:, j : j + AT_ONCE], Q, root)
    return out


def _left(x: Array, Q: Array, root: Array) -> Array:
    """What projection on orthonormal Q (n, m) leaves of x (n, v) with the roots of shares (n,)."""
    with np.errstate(invalid="ignore"):  # where a row has no such moment
        own = x * root[:, None]
        left = own - Q @ (Q.T @ own)
        known = np.linalg.norm(left, axis=0) > NOTHING * np.linalg.norm(own, axis=0)
    return np.divide(left, root[:, None], out=np.zeros_like(left), where=known & (root[:, None] > 0))


def hat_knots(x: Array, shares: Array, size: float, also: Sequence[float] = (), least: int = 1) -> Array:
    """Knots (m,) of hat functions of x (n,) with shares of ``size`` observations.

    They are its quantiles, more of them for more observations, with at least so many pieces between them,
    values with more than `HEAP` of the shares, and ``also``.

    Examples
    --------
    >>> hat_knots(np.arange(501.0), np.full(501, 1 / 501), 501)
    array([  0., 250., 500.])
    """
    pieces = max(least, round(PIECES * float(np.cbrt(size / AT_SIZE))))
    values, where = np.unique(x[shares > 0], return_inverse=True)
    each = np.bincount(where, shares[shares > 0])
    below = np.cumsum(each)
    levels = np.linspace(0, 1, pieces + 1) * below[-1] * (1 - NOTHING)
    heaps = values[each > HEAP * below[-1]]
    return np.unique([*values[np.searchsorted(below, levels)], *heaps, *also])


def hats(x: Array, knots: Array) -> Array:
    """Hat functions (n, m) of x (n,): piecewise linear, one at a knot and zero at the others; sums are one.

    Examples
    --------
    >>> hats(np.array([1.0, 1.5, 3.0]), np.array([1.0, 2.0]))
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """
    if len(knots) == 1:
        return np.ones((len(x), 1))
    below = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    share = np.clip((x - knots[below]) / np.diff(knots)[below], 0.0, 1.0)
    out, rows = np.zeros((len(x), len(knots))), np.arange(len(x))
    out[rows, below], out[rows, below + 1] = 1 - share, share
    return out


def representer(B: Array, effects: Array, Z: Array, shares: Array) -> Array:
    """α (n, v) with Σ α_i B_i = ``effects`` (m, v) for functions B (n, m), and Σ α_i Z_i = 0, or the nearest.

    Examples
    --------
    >>> B = np.eye(2)[[0, 0, 1, 1]]
    >>> representer(B, np.array([[-1.0], [1.0]]), np.ones((4, 1)), np.full(4, 0.25))[:, 0]
    array([-0.5, -0.5,  0.5,  0.5])
    """
    left = residual(B, Z, shares)
    parts = [slice(i, i + ROWS) for i in range(0, len(left), ROWS)]
    products = sum((left[rows].T @ (shares[rows, None] * left[rows]) for rows in parts), np.zeros((1, 1)))
    inverse = np.linalg.pinv(products, rcond=NOTHING, hermitian=True)
    return np.asarray(shares[:, None] * (left @ (inverse @ effects)))
