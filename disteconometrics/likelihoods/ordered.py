"""Ordered outcomes: P(y ≤ j) = F(c_j − η), so that a positive coefficient makes higher categories likelier.

A row in category j has the two ends u = c_j − η and l = c_{j−1} − η (∞ and −∞ at the outer categories) and
log-likelihood log[F(u) − F(l)], which is concave in both for a log-concave density (Pratt 1981).  Minus its
second derivatives is

    [ m_u + q   −q     ]
    [ −q        m_l + q ]

The logistic law has log Λ(u) + log Λ(−l) + log(1 − e^{−(u−l)}), where no term cancels.  The normal one is
turned into the left tail first, so that differences of its distribution function keep their digits.

References
----------
McCullagh (1980), Regression models for ordinal data, J. Royal Statistical Society B 42.
Pratt (1981), Concavity of the log likelihood, J. American Statistical Association 76,
doi:10.1080/01621459.1981.10477613.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy.linalg import lapack

from disteconometrics.arrays import Array, Indices
from disteconometrics.likelihoods.gaussian import PROBIT, normal, normal_density
from disteconometrics.likelihoods.logistic import LOGISTIC, Kernel
from disteconometrics.likelihoods.multinomial import RowParts

__all__ = [
    "ORDERED_LOGIT",
    "ORDERED_PROBIT",
    "EndTerms",
    "OrderedKernel",
    "OrderedObjective",
    "OrderedPass",
    "OrderedScores",
    "by_threshold",
    "ends",
    "evaluate",
]


ROWS = 8192  # of scores at once
NEAR_TAIL = -7.0  # index below which probabilities of the normal law are taken in logarithms
LOWEST = -1e150  # an open end, where its product with zero is to be zero
MOST_EXPLAINED = 0.8  # of the spread, up to which a start is stretched by it


class EndTerms(NamedTuple):
    """Per row (n,): log-likelihood, derivatives in u and l, and m_u, m_l, q of the second derivatives."""

    loglik: Array
    upper: Array
    lower: Array
    upper_weight: Array
    lower_weight: Array
    shared: Array


class OrderedKernel(NamedTuple):
    """A law of ordered outcomes: terms of rows from (u, l), binary law of one threshold, quantiles, density.

    ``far`` is the index beyond which a tail holds less than a millionth, ``variance`` that of the nearest
    normal law (Amemiya 1981, Qualitative response models, J. Economic Literature 19).
    """

    terms: Callable[[Array, Array], EndTerms]
    binary: Kernel
    quantile: Callable[[Array], Array]
    density: Callable[[Array], Array]
    far: float
    variance: float


def ordered_logistic(u: Array, l: Array) -> EndTerms:  # noqa: E741 - the symbol of the module's text
    """Terms of log[Λ(u) − Λ(l)] for u > l.

    Examples
    --------
    >>> t = ordered_logistic(np.array([0.0, 1.0]), np.array([-np.inf, 0.0]))
    >>> np.exp(t.loglik).round(4)
    array([0.5   , 0.2311])
    """
    gap = l - u
    e, f, inside = np.exp(-np.abs(u)), np.exp(-np.abs(l)), -np.expm1(gap)
    a, b = 1.0 / (1.0 + e), 1.0 / (1.0 + f)
    far_u, far_l = e * a, f * b
    with np.errstate(divide="ignore"):
        rest = np.exp(gap) / inside
        apart = np.log(inside)
    return EndTerms(
        np.minimum(u, 0.0) - np.maximum(l, 0.0) - np.log1p(e + f + e * f) + apart,
        np.where(u > 0, far_u, a) + rest,
        -np.where(l > 0, b, far_l) - rest,
        far_u * a,
        far_l * b,
        rest * (1.0 + rest),
    )


def ordered_normal(u: Array, l: Array) -> EndTerms:  # noqa: E741 - the symbol of the module's text
    """Terms of log[Φ(u) − Φ(l)] for u > l, accurate in both tails.

    Examples
    --------
    >>> t = ordered_normal(np.array([0.0, 31.0]), np.array([-np.inf, 30.0]))
    >>> t.loglik.round(4)
    array([  -0.6931, -454.3212])
    """
    turned = u + l > 0
    high, low = np.where(turned, -l, u), np.where(turned, -u, l)
    with np.errstate(divide="ignore", invalid="ignore"):  # far rows, which follow
        below = special.ndtr(low)
        P = special.ndtr(high) - below
        loglik = np.where(high > 0, np.log1p(-(special.ndtr(-high) + below)), np.log(P))
        upper, lower = normal_density(high) / P, normal_density(low) / P
        bent_upper = upper * (upper + high)
        far = np.flatnonzero(~(high > NEAR_TAIL))
    if len(far):
        loglik[far], upper[far], lower[far], bent_upper[far] = _in_the_tail(high[far], low[far])
    bent_lower = lower * (lower - np.maximum(low, LOWEST))
    shared = upper * lower
    m_upper, m_lower = bent_upper - shared, bent_lower - shared
    return EndTerms(
        loglik,
        np.where(turned, lower, upper),
        np.where(turned, -upper, -lower),
        np.where(turned, m_lower, m_upper),
        np.where(turned, m_upper, m_lower),
        shared,
    )


def _in_the_tail(high: Array, low: Array) -> tuple[Array, Array, Array, Array]:
    """log[Φ(u) − Φ(l)], φ(u)/P, φ(l)/P and m_u + q where Φ(u) itself is small."""
    ends = normal(np.ones(2 * len(high)), np.concatenate([high, low]))
    loglik, score, root = (part.reshape(2, -1) for part in ends)  # of the upper ends, and of the lower ones
    with np.errstate(divide="ignore"):
        log_ratio = loglik[1] - loglik[0]
        ratio, inside = np.exp(log_ratio), -np.expm1(log_ratio)
        total = loglik[0] + np.log(inside)
    bent = np.square(root[0]) / inside + np.square(score[0] / inside) * ratio
    return total, score[0] / inside, score[1] * ratio / inside, bent


def _logistic_density(c: Array) -> Array:
    return np.asarray(special.expit(c) * special.expit(-c))


ORDERED_LOGIT = OrderedKernel(ordered_logistic, LOGISTIC, special.logit, _logistic_density, 14.0, 1.6**2)
ORDERED_PROBIT = OrderedKernel(ordered_normal, PROBIT, special.ndtri, normal_density, 5.0, 1.0)


def ends(y: Indices, thresholds: Array, eta: Array) -> tuple[Array, Array]:
    """u and l (n,) of rows in categories y from 0.

    Examples
    --------
    >>> u, l = ends(np.array([0, 1]), np.array([1.0]), np.array([0.5, 0.5]))
    >>> u.tolist(), l.tolist()
    ([0.5, inf], [-inf, 0.5])
    """
    cuts = np.concatenate([[-np.inf], thresholds, [np.inf]])
    return cuts[y + 1] - eta, cuts[y] - eta


def by_threshold(y: Indices, upper: Array, lower: Array, thresholds: int) -> Array:
    """Numbers of rows (n,) put at the thresholds (n, J − 1) above and below their categories.

    Examples
    --------
    >>> by_threshold(np.array([0, 1, 2]), np.ones(3), np.full(3, 5.0), 2).tolist()
    [[1.0, 0.0], [5.0, 1.0], [0.0, 5.0]]
    """
    return _at_ends(y, upper, lower, thresholds)[:, 1:-1]


def _at_ends(y: Indices, upper: Array, lower: Array, thresholds: int) -> Array:
    """As `by_threshold`, between the columns (n, J + 1) of the outer ends."""
    out = np.zeros((len(y), thresholds + 2))
    at = np.arange(0, out.size, thresholds + 2) + y
    out.ravel()[at + 1] = upper
    out.ravel()[at] = lower
    return out


def _sums(y: Indices, upper: Array, lower: Array, thresholds: int) -> Array:
    """Sums (J − 1,) of the columns of `by_threshold`."""
    count = thresholds + 1
    return np.asarray(np.bincount(y, upper, count)[:-1] + np.bincount(y, lower, count)[1:])


class OrderedPass(NamedTuple):
    """Log-likelihood, score (k + J − 1,) and information at coefficients and thresholds, and the terms."""

    loglik: float
    score: Array
    information: Array
    terms: EndTerms


def evaluate(
    kernel: OrderedKernel, X: Array, y: Indices, w: Array | None, eta: Array, thresholds: Array
) -> OrderedPass:
    """One pass over the rows.

    Parameters
    ----------
    kernel : OrderedKernel
    X : (n, k) float64 array, without a constant.
    y : (n,) intp array, categories 0 … J − 1.
    w : (n,) float64 array of weights, or None.
    eta : (n,) float64 array, x'β + offset.
    thresholds : (J − 1,) float64 array, increasing.

    Returns
    -------
    OrderedPass

    Examples
    --------
    >>> y = np.array([0, 1])
    >>> found = evaluate(ORDERED_LOGIT, np.ones((2, 0)), y, None, np.zeros(2), np.zeros(1))
    >>> round(found.loglik, 4), found.score.tolist(), found.information.tolist()
    (-1.3863, [0.0], [[0.5]])
    """
    k, cuts = X.shape[1], len(thresholds)
    t = kernel.terms(*ends(y, thresholds, eta))
    if w is not None:
        t = EndTerms(*(w * part for part in t))
    score = np.concatenate([-((t.upper + t.lower) @ X), _sums(y, t.upper, t.lower, cuts)])
    H = np.zeros((k + cuts,) * 2)
    H[:k, :k] = (X.T * (t.upper_weight + t.lower_weight)) @ X
    H[:k, k:] = -(X.T @ _at_ends(y, t.upper_weight, t.lower_weight, cuts))[:, 1:-1]
    H[k:, :k] = H[:k, k:].T
    shared = np.bincount(y, t.shared, cuts + 1)
    at, after = np.arange(k, k + cuts), np.arange(k + 1, k + cuts)
    H[at, at] = _sums(y, t.upper_weight, t.lower_weight, cuts) + shared[:-1] + shared[1:]
    H[at[:-1], after] = H[after, at[:-1]] = -shared[1:-1]
    return OrderedPass(float(t.loglik.sum()), score, H, t)


@dataclass(frozen=True, eq=False)
class OrderedObjective:
    """The log-likelihood of (β, c) (k + J − 1,): an objective of `optim.concave`.

    Parameters
    ----------
    kernel : OrderedKernel
    X : (n, k) float64 array of columns of similar size, without a constant.
    y : (n,) intp array, categories 0 … J − 1, all of which occur.
    w : (n,) float64 array of weights, or None.
    shift : (n,) float64 array, the offset.

    Examples
    --------
    >>> y = np.array([0, 1, 1, 2])
    >>> objective = OrderedObjective(ORDERED_LOGIT, np.zeros((4, 0)), y, None, np.zeros(4))
    >>> objective.start().round(4)
    array([-1.0986,  1.0986])
    """

    kernel: OrderedKernel
    X: Array
    y: Indices
    w: Array | None
    shift: Array

    def start(self) -> Array:
        """Thresholds of the cumulative shares, and coefficients from least squares of the scores there.

        What the index of rows adds to the spread shrinks such thresholds and coefficients by the same factor:
        they are stretched by it.  With an offset coefficients start at zero.
        """
        counts, k = np.bincount(self.y, self.w), self.X.shape[1]
        shares = counts / counts.sum()
        cuts = self.kernel.quantile(np.cumsum(shares[:-1]))
        if self.shift.any() or not k:
            return np.concatenate([np.zeros(k), cuts + np.average(self.shift, weights=self.w)])
        score = -np.diff(self.kernel.density(cuts), prepend=0.0, append=0.0) / shares
        of_rows = score[self.y] if self.w is None else self.w * score[self.y]
        gram = self.X.T @ self.X if self.w is None else (self.X.T * self.w) @ self.X
        _, step, failed = lapack.dposv(gram * (shares @ np.square(score)), of_rows @ self.X)
        explained = float(step @ gram @ step) / (counts.sum() * self.kernel.variance)
        if failed or not explained < MOST_EXPLAINED:
            return np.concatenate([np.zeros(k), cuts])
        return np.asarray(np.concatenate([step, cuts]) / np.sqrt(1.0 - explained))

    def _index(self, theta: Array) -> tuple[Array, Array]:
        k = self.X.shape[1]
        return self.X @ theta[:k] + self.shift, theta[k:]

    def value(self, theta: Array) -> OrderedPass:
        """One pass over the rows."""
        return evaluate(self.kernel, self.X, self.y, self.w, *self._index(theta))

    def admits(self, theta: Array) -> bool:
        """Whether thresholds increase."""
        return bool(np.all(np.diff(theta[self.X.shape[1] :]) > 0))

    def far(self, theta: Array) -> bool:
        """Whether an end of a row lies in a tail of less than a millionth."""
        eta, cuts = self._index(theta)
        u, l = ends(self.y, cuts, eta)  # noqa: E741
        finite = np.abs(np.concatenate([u, l]))
        return bool(finite[np.isfinite(finite)].max(initial=0.0) > self.kernel.far)


@dataclass(frozen=True, eq=False)
class OrderedScores:
    """Scores of rows X (n, k) with terms t, made when asked for, and two roots a row: Cholesky's of u and l.

    Examples
    --------
    >>> y, X = np.array([0, 1]), np.zeros((2, 0))
    >>> t = ORDERED_LOGIT.terms(*ends(y, np.zeros(1), np.zeros(2)))
    >>> [part.scores.tolist() for part in OrderedScores(X, y, t, 1)()]
    [[[0.5], [-0.5]]]
    """

    X: Array
    y: Indices
    terms: EndTerms
    thresholds: int
    copies: Array | None = None

    def __call__(self, rows: int | None = None) -> Iterator[RowParts]:
        """Parts of ``rows`` rows, in order."""
        step = rows or ROWS
        for i in range(0, len(self.y), step):
            at = slice(i, i + step)
            t = EndTerms(*(part[at] for part in self.terms))
            scores = self._rows(at, t.upper, t.lower)
            roots = np.stack([self._rows(at, u, v) for u, v in _forms(t)], axis=1)
            yield RowParts(scores, roots, None if self.copies is None else self.copies[at])

    def _rows(self, at: slice, upper: Array, lower: Array) -> Array:
        cuts = by_threshold(self.y[at], upper, lower, self.thresholds)
        return np.hstack([-(upper + lower)[:, None] * self.X[at], cuts])


def _forms(t: EndTerms) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Two linear forms of (u, l) whose squares sum to a row's information."""
    a = t.upper_weight + t.shared
    first = np.sqrt(np.maximum(a, 0.0))
    across = np.divide(-t.shared, first, out=np.zeros(len(a)), where=first > 0)
    rest = np.sqrt(np.maximum(t.lower_weight + t.shared - across**2, 0.0))
    return (first, across), (np.zeros(len(a)), rest)
