"""Conditional logit: which alternatives of a set are chosen, given how many.

With one success a set is chosen from by P(i) = exp(η_i)/Σ exp(η_l).  With m of them the likelihood is that of
the successes given their number M, which follows from the recursion

    P(M = j) ← (1 − p_i)·P(M = j) + p_i·P(M = j − 1),   i = 1, 2, …

exactly, with its derivatives, in time n·m (Gail, Lubin, Rubinstein 1981 write it for Σ exp(Σ η) over subsets,
which overflows in large sets).  Any p_i = Λ(η_i + λ) give the same; λ makes m their sum, so that P(M = m) is
never small.  Of sets with more successes than failures it is that of the failures, whose η have the other
sign.  Rows are set by set.

References
----------
McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Zarembka (ed.), Frontiers in
Econometrics.
Gail, Lubin, Rubinstein (1981), Likelihood calculations for matched case-control studies and survival studies
with tied death times, Biometrika 68, doi:10.1093/biomet/68.3.703.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Indices, Mask, as_floats, or_ones
from disteconometrics.likelihoods.multinomial import RowParts

__all__ = [
    "ConditionalPass",
    "ExactSuccesses",
    "OneSuccess",
    "SetScores",
    "Sets",
    "centred",
    "set_probabilities",
]

FAR = 14.0  # differences of log-odds inside a set, beyond which a probability is below a millionth
ENTRIES = 2_000_000  # of second derivatives at once
SETS = 4096  # of scores at once
TILTS = 20  # steps towards λ, at most


class Sets(NamedTuple):
    """Where sets begin among N rows: first rows (n,), sizes (n,) and the set of every row (N,)."""

    starts: Indices
    sizes: Indices
    owner: Indices

    @classmethod
    def of_sizes(cls, sizes: Indices) -> Sets:
        """Sets of so many rows (n,), one after the other.

        Examples
        --------
        >>> Sets.of_sizes(np.array([2, 3])).owner.tolist()
        [0, 0, 1, 1, 1]
        """
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
        return cls(starts, sizes, np.repeat(np.arange(len(sizes)), sizes))

    def sums(self, values: Array) -> Array:
        """Sums over the rows of each set, (n,) or (n, k)."""
        return as_floats(np.add.reduceat(values, self.starts, axis=0))


class ConditionalPass(NamedTuple):
    """Log-likelihood, score (k,) and information."""

    loglik: float
    score: Array
    information: Array


def set_probabilities(eta: Array, sets: Sets) -> tuple[Array, Array]:
    """P (N,) of every alternative of its set, and log P.

    Examples
    --------
    >>> p, log_p = set_probabilities(np.array([0.0, 800.0, 1.0]), Sets.of_sizes(np.array([2, 1])))
    >>> p.tolist(), log_p.tolist()
    ([0.0, 1.0, 1.0], [-800.0, 0.0, 0.0])
    """
    eta = eta - np.maximum.reduceat(eta, sets.starts)[sets.owner]
    p = np.exp(eta)
    total = sets.sums(p)
    return p / total[sets.owner], eta - np.log(total)[sets.owner]


def centred(X: Array, sets: Sets) -> Array:
    """Columns less their means in each set (N, k).

    Examples
    --------
    >>> centred(np.array([[1.0], [3.0], [7.0]]), Sets.of_sizes(np.array([2, 1]))).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """
    return X - (sets.sums(X) / sets.sizes[:, None])[sets.owner]


class Terms(NamedTuple):
    """Log-likelihood (s,), score (s, k) and information (s, k, k) of sets."""

    loglik: Array
    score: Array
    information: Array


class SetTerms(Protocol):
    """What gives the terms of some sets, and how they are weighted."""

    @property
    def weights(self) -> Array | None: ...
    @property
    def count(self) -> int: ...
    def terms(self, theta: Array, first: int, last: int) -> Terms: ...


@dataclass(frozen=True, eq=False)
class SetScores:
    """Scores of sets and roots (m, k, k) of their informations, made when asked for."""

    objective: SetTerms
    theta: Array
    copies: Array | None = None

    def __call__(self, rows: int | None = None) -> Iterator[RowParts]:
        """Parts of ``rows`` sets, in order."""
        step = rows or SETS
        for i in range(0, self.objective.count, step):
            last = min(i + step, self.objective.count)
            _, scores, information = self.objective.terms(self.theta, i, last)
            values, vectors = np.linalg.eigh(information)
            roots = np.sqrt(np.maximum(values, 0.0))[:, :, None] * vectors.transpose(0, 2, 1)
            if self.copies is None and self.objective.weights is not None:
                w = self.objective.weights[i:last]
                scores, roots = w[:, None] * scores, np.sqrt(w)[:, None, None] * roots
            yield RowParts(scores, roots, None if self.copies is None else self.copies[i:last])


@dataclass(frozen=True, eq=False)
class OneSuccess:
    """The log-likelihood of one choice from every set: an objective of `optim.concave`.

    Parameters
    ----------
    X : (N, k) float64 array of columns of similar size, set by set.
    chosen : (n,) intp array, the row that was chosen from each set.
    sets : Sets
    weights : (n,) float64 array of weights of sets, or None.
    shift : (N,) float64 array, the offset.

    Examples
    --------
    >>> sets = Sets.of_sizes(np.array([2, 2]))
    >>> X = np.array([[0.0], [1.0], [0.0], [1.0]])
    >>> found = OneSuccess(X, np.array([1, 2]), sets, None, np.zeros(4)).value(np.zeros(1))
    >>> round(found.loglik, 4), found.score.tolist(), found.information.round(4).tolist()
    (-1.3863, [0.0], [[0.5]])
    """

    X: Array
    chosen: Indices
    sets: Sets
    weights: Array | None
    shift: Array

    @property
    def count(self) -> int:
        """Sets."""
        return len(self.chosen)

    def value(self, theta: Array) -> ConditionalPass:
        """One pass over the sets."""
        p, log_p = set_probabilities(self.X @ theta + self.shift, self.sets)
        means = self.sets.sums(p[:, None] * self.X)
        own, moves, root = log_p[self.chosen], self.X[self.chosen] - means, np.sqrt(p)
        apart = self.X - means[self.sets.owner]
        if self.weights is None:
            loglik, score = own.sum(), moves.sum(axis=0)
        else:
            loglik, score = self.weights @ own, self.weights @ moves
            root *= np.sqrt(self.weights)[self.sets.owner]
        apart *= root[:, None]
        return ConditionalPass(float(loglik), as_floats(score), as_floats(apart.T @ apart))

    def terms(self, theta: Array, first: int, last: int) -> Terms:
        """Terms of some of the sets."""
        sets = Sets.of_sizes(self.sets.sizes[first:last])
        start = self.sets.starts[first]
        at = slice(start, start + len(sets.owner))
        X = self.X[at]
        p, log_p = set_probabilities(X @ theta + self.shift[at], sets)
        means = sets.sums(p[:, None] * X)
        apart = (X - means[sets.owner]) * np.sqrt(p)[:, None]
        own = self.chosen[first:last]
        products = (apart[:, :, None] * apart[:, None, :]).reshape(len(X), -1)
        information = sets.sums(products).reshape(-1, X.shape[1], X.shape[1])
        return Terms(log_p[own - start], self.X[own] - means, information)

    def admits(self, theta: Array) -> bool:
        """All points are inside."""
        return True

    def far(self, theta: Array) -> bool:
        """Whether some alternative has a probability of less than a millionth."""
        log_p = set_probabilities(self.X @ theta + self.shift, self.sets)[1]
        return bool(log_p.min() < -FAR)


@dataclass(frozen=True, eq=False)
class ExactSuccesses:
    """The log-likelihood of the successes of every set given their number: an objective of `optim.concave`.

    Parameters
    ----------
    X : (N, k) float64 array of columns of similar size, set by set, with means of zero in each set.
    y : (N,) float64 array of 0.0 and 1.0.
    sets : Sets
    weights : (n,) float64 array of weights of sets, or None.
    shift : (N,) float64 array, the offset.

    Examples
    --------
    >>> X, y = np.array([[-1.0], [0.0], [1.0]]), np.array([0.0, 1.0, 1.0])
    >>> found = ExactSuccesses(X, y, Sets.of_sizes(np.array([3])), None, np.zeros(3)).value(np.zeros(1))
    >>> round(found.loglik, 4), found.score.tolist(), found.information.round(4).tolist()
    (-1.0986, [1.0], [[0.6667]])
    """

    X: Array
    y: Array
    sets: Sets
    weights: Array | None
    shift: Array

    @property
    def count(self) -> int:
        """Sets."""
        return len(self.sets.sizes)

    @cached_property
    def _every(self) -> list[_Alike]:
        return _alike(self.sets, self.y, self.X.shape[1], 0, self.count)

    def value(self, theta: Array) -> ConditionalPass:
        """One pass over the sets."""
        t = self._terms(theta, self._every, 0, self.count)
        w = or_ones(self.weights, self.count)
        information = (w @ t.information.reshape(self.count, -1)).reshape(t.information.shape[1:])
        return ConditionalPass(float(w @ t.loglik), as_floats(w @ t.score), as_floats(information))

    def terms(self, theta: Array, first: int, last: int) -> Terms:
        """Terms of some of the sets."""
        return self._terms(theta, _alike(self.sets, self.y, self.X.shape[1], first, last), first, last)

    def _terms(self, theta: Array, groups: list[_Alike], first: int, last: int) -> Terms:
        k, s, eta = self.X.shape[1], last - first, self.X @ theta + self.shift
        out = Terms(np.zeros(s), np.zeros((s, k)), np.zeros((s, k, k)))
        for group in groups:
            found = _subsets(self.X, eta, group)
            for whole, part in zip(out, found, strict=True):
                whole[group.at] = part
        return out

    def admits(self, theta: Array) -> bool:
        """All points are inside."""
        return True

    def far(self, theta: Array) -> bool:
        """Whether two members of some set are so far apart that a swap has odds of less than a millionth."""
        eta = self.X @ theta + self.shift
        apart = np.maximum.reduceat(eta, self.sets.starts) - np.minimum.reduceat(eta, self.sets.starts)
        return bool(apart.max() > FAR)


class _Alike(NamedTuple):
    """Sets of about one size and number of successes, filled up with rows that do not count.

    ``at`` (s,) are the sets, ``rows`` (s, n) their rows, ``inside`` (s, n) says which count, ``y`` (s, n) are
    the successes, or the failures where ``sign`` (s,) is −1, and ``many`` (s,) how many there are.
    """

    at: Indices
    rows: Indices
    inside: Mask
    y: Array
    sign: Array
    many: Indices


def _alike(sets: Sets, y: Array, k: int, first: int, last: int) -> list[_Alike]:
    """Sets first … last in groups, of which each is worked on at once."""
    sizes, successes = sets.sizes[first:last], sets.sums(y).round().astype(np.intp)[first:last]
    sign = np.where(2 * successes > sizes, -1.0, 1.0)
    many = np.where(sign > 0, successes, sizes - successes)
    kinds = np.ceil(np.log2(np.column_stack([sizes, np.maximum(many, 1)])))
    out = []
    for kind in np.unique(kinds, axis=0):
        same = np.flatnonzero((kinds == kind).all(axis=1))
        step = max(1, ENTRIES // ((int(many[same].max()) + 1) * (k + 1) ** 2))
        for i in range(0, len(same), step):
            at = same[i : i + step]
            place = np.arange(sizes[at].max())
            inside = place < sizes[at][:, None]
            rows = np.where(inside, sets.starts[first + at][:, None] + place, 0)
            own = np.where(sign[at][:, None] > 0, y[rows], 1.0 - y[rows]) * inside
            out.append(_Alike(at, rows, inside, own, sign[at], many[at]))
    return out


def _tilted(eta: Array, inside: Mask, many: Indices) -> tuple[Array, Array]:
    """λ (s,) with about Σ Λ(η + λ) = m, and these probabilities (s, n), zero for rows that do not count."""
    sizes = inside.sum(axis=1)
    shift = np.log(many / (sizes - many)) - eta.sum(axis=1) / sizes
    for _ in range(TILTS):
        p = inside * special.expit(eta + shift[:, None])
        gap = many - p.sum(axis=1)
        if np.all(np.abs(gap) < 0.5):
            break
        shift = shift + np.clip(gap / np.maximum(np.sum(p * (1 - p), axis=1), 1e-8), -3.0, 3.0)
    return shift, inside * special.expit(eta + shift[:, None])


def _subsets(X: Array, eta: Array, g: _Alike) -> Terms:
    """Terms of sets in a group."""
    own = g.sign[:, None] * np.where(g.inside, eta[g.rows], 0.0)
    X = g.sign[:, None, None] * X[g.rows]
    (s, _, k), most, each = X.shape, int(g.many.max()), np.arange(len(X))
    shift, p = _tilted(own, g.inside, g.many)
    # about means near the conditional ones, so that nothing cancels in the information
    X = X - (p[:, None, :] @ X) / p.sum(axis=1)[:, None, None]
    # sets come last, so that all that is done is done along them; of second derivatives one triangle
    a, b = np.tril_indices(k)
    total, first, second = (
        np.zeros((most + 1, s)),
        np.zeros((most + 1, k, s)),
        np.zeros((most + 1, len(a), s)),
    )
    total[0] = 1.0
    for i, (q, x) in enumerate(zip(p.T, np.ascontiguousarray(X.transpose(1, 2, 0)), strict=True)):
        top = min(i + 1, most)
        low, lower = total[:top, None], first[:top]
        more = second[:top] + x[a] * lower[:, b] + x[b] * lower[:, a] + x[a] * x[b] * low
        second[: top + 1] *= 1 - q
        second[1 : top + 1] += q * more
        moved = q * (lower + x * low)
        first[: top + 1] *= 1 - q
        first[1 : top + 1] += moved
        moved = q * total[:top]
        total[: top + 1] *= 1 - q
        total[1 : top + 1] += moved
    P = total[g.many, each]
    means = first[g.many, :, each] / P[:, None]
    information = np.zeros((s, k, k))
    information[:, a, b] = information[:, b, a] = second[g.many, :, each] / P[:, None]
    information -= means[:, :, None] * means[:, None, :]
    score = (g.y[:, None, :] @ X)[:, 0] - means
    tilted = own + shift[:, None]
    failed = np.where(g.inside, special.log_expit(-tilted), 0.0).sum(axis=1)  # Σ log(1 − p)
    return Terms(np.sum(g.y * tilted, axis=1) + failed - np.log(P), score, information)
