"""Sums of products to twice the digits of float64, alike on every machine.

Each rounding error is kept and added at the end.

References
----------
Dekker (1971), A floating-point technique for extending the available precision, Numerische Mathematik 18,
doi:10.1007/BF01397083.
Ogita, Rump, Oishi (2005), Accurate sum and dot product, SIAM J. Scientific Computing 26,
doi:10.1137/030601818.
"""

from __future__ import annotations

import numpy as np

from disteconometrics.arrays import Array

__all__ = ["column_sums", "dot", "two_sum"]


SPLIT = 2.0**27 + 1


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b rounded, and the rounding error.

    Examples
    --------
    >>> two_sum(np.array([1.0]), np.array([1e-20]))
    (array([1.]), array([1.e-20]))
    """
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _halves(a: Array) -> tuple[Array, Array]:
    c = SPLIT * a
    high = c - (c - a)
    return high, a - high


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a · b rounded, and the rounding error; zero in its place where numbers are too large to split."""
    p = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    e = a2 * b2 - (((p - a1 * b1) - a2 * b1) - a1 * b2)
    return p, np.where(np.isfinite(e), e, 0.0)


def dot(X: Array, high: Array, low: Array | float = 0.0) -> tuple[Array, Array]:
    """X (n, k) times high + low (k,): the result (n,) rounded, and what is left of it.

    Examples
    --------
    >>> X = np.array([[1e16, 1.0, -1e16]])
    >>> [float(part[0]) for part in dot(X, np.ones(3))]
    [1.0, 0.0]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        products, left = _two_product(np.ascontiguousarray(X.T), high[:, None])
        total, rest = np.zeros(len(X)), X @ np.broadcast_to(low, high.shape) + left.sum(axis=0)
        for p in products:
            total, f = two_sum(total, p)
            rest = rest + f
        return two_sum(total, rest)


def column_sums(X: Array, w: Array) -> Array:
    """Σ w·X (k,) over the rows of X (n, k), of halves of the rows and what their rounding left, and so on.

    Examples
    --------
    >>> column_sums(np.array([[1e16], [1.0], [-1e16]]), np.ones(3))
    array([1.])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total, rest = _two_product(np.ascontiguousarray(X.T), w)
        if not np.isfinite(total).all():
            return np.asarray(total.sum(axis=1))
        left = rest.sum(axis=1)
        while (n := total.shape[1]) > 1:
            sums, rest = two_sum(total[:, : n // 2], total[:, n // 2 : n // 2 * 2])
            left += rest.sum(axis=1)
            total = np.concatenate([sums, total[:, n // 2 * 2 :]], axis=1)
        return np.asarray(total.sum(axis=1) + left)
