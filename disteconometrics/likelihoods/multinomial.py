"""Multinomial logit: P(y = j | x) = exp(x'β_j)/Σ_l exp(x'β_l), with β of one category, the base, zero.

Minus the second derivative of a row in its indices is diag(p) − pp', whose J²/2 blocks over all rows are one
product: the weights of all pairs of categories times the products of all pairs of columns.  On the diagonal,
in p_j Σ_{l ≠ j} p_l, nothing cancels.  The root of a row has J forms √p_j (e_j − p).

Reference: McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Zarembka (ed.),
Frontiers in Econometrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices

__all__ = [
    "MultinomialObjective",
    "MultinomialPass",
    "MultinomialScores",
    "RowParts",
    "Shares",
    "softmax",
]

ROWS = 4096  # at once: what is made of them stays in the cache
KEEP = 8_000_000  # entries of products of columns that are held; more are made again in every pass
FAR = -14.0  # log of a probability below a millionth


class MultinomialPass(NamedTuple):
    """Log-likelihood, score (k(J − 1),) and information, by category and then column."""

    loglik: float
    score: Array
    information: Array


class RowParts(NamedTuple):
    """Scores (m, k), roots (m, q, k) of the information, and copies (m,) of some rows."""

    scores: Array
    roots: Array
    copies: Array | None


class Shares(NamedTuple):
    """P, log P and 1 − P (J, m) of categories, the base first; each with its own digits."""

    p: Array
    log_p: Array
    rest: Array

    @classmethod
    def of_indices(cls, eta: Array) -> Shares:
        """From indices (J − 1, m) of all categories but the base."""
        full = np.empty((len(eta) + 1, eta.shape[1]))
        full[0], full[1:] = 0.0, eta
        full -= full.max(axis=0)
        e, rest, total = np.exp(full), np.zeros(full.shape), np.zeros(full.shape[1])
        for j in range(1, len(e)):  # sums of those before, and of those after
            np.add(rest[j - 1], e[j - 1], out=rest[j])
        for j in range(len(e) - 1, -1, -1):
            rest[j] += total
            total += e[j]
        full -= np.log(total)
        e /= total
        rest /= total
        return cls(e, full, rest)


def softmax(eta: Array) -> tuple[Array, Array]:
    """Probabilities (m, J) of indices (m, J − 1) of all categories but the base, and their logs.

    The base comes first.

    Examples
    --------
    >>> p, log_p = softmax(np.array([[800.0, -800.0]]))
    >>> p.tolist(), log_p.tolist()
    ([[0.0, 1.0, 0.0]], [[-800.0, 0.0, -1600.0]])
    """
    found = Shares.of_indices(eta.T)
    return found.p.T, found.log_p.T


@dataclass(frozen=True, eq=False)
class MultinomialObjective:
    """The log-likelihood of coefficients by category (k(J − 1),): an objective of `optim.concave`.

    Parameters
    ----------
    X : (n, k) float64 array of columns of similar size.
    y : (n,) intp array, categories 0 … J − 1, the base 0.
    w : (n,) float64 array of weights, or None.
    categories : int, J.

    Examples
    --------
    >>> objective = MultinomialObjective(np.ones((2, 1)), np.array([0, 1]), None, 2)
    >>> found = objective.value(np.zeros(1))
    >>> round(found.loglik, 4), found.score.tolist(), found.information.tolist()
    (-1.3863, [0.0], [[0.5]])
    """

    X: Array
    y: Indices
    w: Array | None
    categories: int

    def _coefficients(self, theta: Array) -> Array:
        """Coefficients (k, J − 1)."""
        return theta.reshape(self.categories - 1, -1).T

    def value(self, theta: Array) -> MultinomialPass:
        """One pass over the rows."""
        B, k, q = self._coefficients(theta), self.X.shape[1], self.categories - 1
        loglik, score = 0.0, np.zeros((q, k))
        entries = np.zeros((q * (q + 1) // 2, k * (k + 1) // 2))
        for i in range(0, len(self.y), ROWS):
            X, y = self.X[i : i + ROWS], self.y[i : i + ROWS]
            w = None if self.w is None else self.w[i : i + ROWS]
            found = Shares.of_indices(B.T @ X.T)
            own = found.log_p[y, np.arange(len(y))]
            loglik += float(own.sum() if w is None else w @ own)
            score += _residuals(found, y, w) @ X
            entries += _pair_weights(found, w) @ self._products(i).T
        return MultinomialPass(loglik, score.ravel(), _assembled(entries, q, k))

    @cached_property
    def _kept(self) -> dict[int, Array]:
        """Products of columns, by the first row of a part; empty where they would take too much room."""
        pairs = self.X.shape[1] * (self.X.shape[1] + 1) // 2
        starts = range(0, len(self.y), ROWS) if len(self.y) * pairs <= KEEP else ()
        return {i: _column_products(self.X[i : i + ROWS]) for i in starts}

    def _products(self, i: int) -> Array:
        found = self._kept.get(i)
        return _column_products(self.X[i : i + ROWS]) if found is None else found

    def admits(self, theta: Array) -> bool:
        """All points are inside."""
        return True

    def far(self, theta: Array) -> bool:
        """Whether some category has a probability of less than a millionth in some row."""
        B = self._coefficients(theta)
        parts = range(0, len(self.y), ROWS)
        return any(softmax(self.X[i : i + ROWS] @ B)[1].min() < FAR for i in parts)

    def scores(self, theta: Array, copies: Array | None) -> MultinomialScores:
        """The scores of the rows; ``copies`` (n,) are frequency weights, which do not scale them."""
        w = self.w if copies is None else None
        return MultinomialScores(self.X, self.y, w, self._coefficients(theta), copies)


def _column_products(X: Array) -> Array:
    """Products of all pairs of columns (k(k + 1)/2, m)."""
    first, second = np.tril_indices(X.shape[1])
    XT = np.ascontiguousarray(X.T)
    return XT[first] * XT[second]


def _residuals(found: Shares, y: Indices, w: Array | None) -> Array:
    """1{y = j} − p_j of all categories but the base (J − 1, m), times weights."""
    at = y, np.arange(len(y))
    r = -found.p
    r[at] = found.rest[at]
    return r[1:] if w is None else r[1:] * w


def _pair_weights(found: Shares, w: Array | None) -> Array:
    """Weights of all pairs of categories (J(J − 1)/2, m)."""
    p, q = found.p[1:], len(found.p) - 1
    own = p if w is None else p * w
    out = np.empty((q * (q + 1) // 2, p.shape[1]))
    for at, (j, m) in enumerate(zip(*np.tril_indices(q), strict=True)):
        np.multiply(own[j], found.rest[j + 1] if j == m else p[m], out=out[at])
        if j != m:
            np.negative(out[at], out=out[at])
    return out


def _assembled(entries: Array, q: int, k: int) -> Array:
    """The information (qk, qk) of sums over rows by pair of categories and pair of columns."""
    H = np.zeros((q, q, k, k))
    (j, m), (a, b) = np.tril_indices(q), np.tril_indices(k)
    for one, other in ((j, m), (m, j)):
        H[one[:, None], other[:, None], a, b] = entries
        H[one[:, None], other[:, None], b, a] = entries
    return np.ascontiguousarray(H.transpose(0, 2, 1, 3)).reshape(q * k, q * k)


@dataclass(frozen=True, eq=False)
class MultinomialScores:
    """Scores of rows X (n, k) at coefficients (k, J − 1), made when asked for, and J roots a row."""

    X: Array
    y: Indices
    w: Array | None
    coefficients: Array
    copies: Array | None = None

    def __call__(self, rows: int | None = None) -> Iterator[RowParts]:
        """Parts of ``rows`` rows, in order."""
        step = rows or ROWS
        for i in range(0, len(self.y), step):
            at = slice(i, i + step)
            X, w = self.X[at], None if self.w is None else self.w[at]
            found = Shares.of_indices(self.coefficients.T @ X.T)
            p = found.p.T
            scores = _residuals(found, self.y[at], w).T[:, :, None] * X[:, None, :]
            own = np.eye(p.shape[1])[:, 1:] - p[:, None, 1:]
            roots = np.sqrt(p if w is None else w[:, None] * p)[:, :, None] * own
            forms = roots[:, :, :, None] * X[:, None, None, :]
            copies = None if self.copies is None else self.copies[at]
            m, q = len(X), p.shape[1]
            yield RowParts(scores.reshape(m, -1), forms.reshape(m, q, -1), copies)
