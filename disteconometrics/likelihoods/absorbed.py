"""Log-likelihoods with an effect of every group, which is eliminated and never a column.

With η = z'c + a_g the information of (c, a) has a diagonal block for a.  What is left of c when the effects
follow it is the Schur complement Σ ω (z − z̄)(z − z̄)', where ω is minus the second derivative of a row and z̄
its average in the group by ω; Newton's step in all parameters costs a pass over the rows and a system of the
columns of Z.  A score of c is then u·(z − z̄), u the first derivative: sandwiches of these are those of the
model with a column for every group.

The effects are estimated from the T rows of their group, so that c has a bias of order 1/T.  Its estimate, of
probabilities F(η) with H = F'/(F(1 − F)) and expected ω = F'·H, is the inverse information times the bias of
the score

    Σ_g 1/Ω_g · [−½ Σ_t H F'' (z − z̄) − Σ_{j=1}^{L} T/(T − j) Σ_{t>j} u_{t−j} ω_t (z_t − z̄)],   Ω = Σ ω,

where the second sum is for regressors that past outcomes move; H = 1 for a logit.

References
----------
Hahn, Newey (2004), Jackknife and analytical bias reduction for nonlinear panel models, Econometrica 72,
doi:10.1111/j.1468-0262.2004.00533.x.
Fernandez-Val (2009), Fixed effects estimation of structural parameters and marginal effects in panel probit
models, Journal of Econometrics 150, doi:10.1016/j.jeconom.2009.02.007.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from disteconometrics.arrays import Array, Indices
from disteconometrics.likelihoods.conditional import Sets

__all__ = ["AbsorbedObjective", "AbsorbedPass", "ConcentratedScores", "absorbed_step", "slope_bias"]

ROWS = 1 << 15  # in a part of whole groups
UNLIKELY = 1e-6  # of an outcome, below which separation is looked for, and …
STOPPED = 1e-11  # … by row, since the iteration stops sooner on many rows


class AbsorbedPass(NamedTuple):
    """Log-likelihood, score (K + N,) of slopes and effects, and the information (K, K) that slopes keep.

    ``weight`` (N,) is Ω of the groups and ``means`` (N, K) their averages of Z by it.
    """

    loglik: float
    score: Array
    information: Array
    weight: Array
    means: Array


class Part(NamedTuple):
    """Rows of whole groups: Z, u, ω, the group of every row, and which rows and groups these are."""

    Z: Array
    u: Array
    omega: Array
    owner: Any
    rows: slice
    groups: slice


@dataclass(frozen=True, eq=False)
class AbsorbedObjective:
    """An objective of `optim.concave` of slopes c (K,) and effects a (N,), one after the other.

    Parameters
    ----------
    kernel : law of the outcome given the index, with ``terms``.
    Z : (n, K) float64 array of columns of similar size, group by group.
    y : (n,) float64 array.
    sets : Sets, the groups.
    weights : (n,) float64 array of the likelihood's weights, or None.
    shift : (n,) float64 array, the offset, or None.

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> Z, sets = np.array([[0.0], [1.0], [0.0], [1.0]]), Sets.of_sizes(np.array([2, 2]))
    >>> objective = AbsorbedObjective(LOGISTIC, Z, np.array([0.0, 1.0, 0.0, 1.0]), sets, None, None)
    >>> found = objective.value(np.zeros(3))
    >>> round(found.loglik, 4), found.score.tolist(), found.information.tolist()
    (-2.7726, [1.0, 0.0, 0.0], [[0.25]])
    """

    kernel: Any
    Z: Array
    y: Array
    sets: Sets
    weights: Array | None
    shift: Array | None

    @cached_property
    def cuts(self) -> list[tuple[slice, slice]]:
        """Rows and groups of parts of about `ROWS` rows."""
        return list(group_cuts(self.sets, ROWS))

    def index(self, theta: Array, rows: slice, groups: slice) -> Array:
        """The index of some rows."""
        K = self.Z.shape[1]
        eta: Array = self.Z[rows] @ theta[:K] + theta[K:][self.sets.owner[rows]]
        return eta if self.shift is None else eta + self.shift[rows]

    def part(self, theta: Array, rows: slice, groups: slice) -> tuple[Part, float, Indices]:
        """The derivatives of some rows, their log-likelihood, and local first rows of groups."""
        t = self.kernel.terms(self.y[rows], self.index(theta, rows, groups))
        loglik, u, omega = t.loglik, t.score, np.square(t.root_weight)
        if self.weights is not None:
            w = self.weights[rows]
            loglik, u, omega = w * loglik, w * u, w * omega
        owner = self.sets.owner[rows] - groups.start
        starts = self.sets.starts[groups] - rows.start
        return Part(self.Z[rows], u, omega, owner, rows, groups), float(loglik.sum()), starts

    def value(self, theta: Array) -> AbsorbedPass:
        """One pass over the rows."""
        N, K = len(self.sets.sizes), self.Z.shape[1]
        U, W, means = np.empty(N), np.empty(N), np.empty((N, K))
        loglik, score, information = 0.0, np.zeros(K), np.zeros((K, K))
        for rows, groups in self.cuts:
            p, own, starts = self.part(theta, rows, groups)
            loglik += own
            U[groups] = np.add.reduceat(p.u, starts)
            W[groups] = weight = np.add.reduceat(p.omega, starts)
            mean = np.add.reduceat(p.omega[:, None] * p.Z, starts, axis=0)
            mean /= np.maximum(weight, 1e-300)[:, None]
            means[groups] = mean
            apart = p.Z - mean[p.owner]
            score += p.u @ p.Z
            information += (apart.T * p.omega) @ apart
        return AbsorbedPass(loglik, np.concatenate([score, U]), information, W, means)

    def admits(self, theta: Array) -> bool:
        """Whether a point is inside: all are."""
        return True

    def far(self, theta: Array) -> bool:
        """Whether some row has an outcome of less than a millionth, as under separation."""
        bare, least = replace(self, weights=None), max(UNLIKELY, STOPPED * len(self.y))
        return any(bare.part(theta, *cut)[0].omega.min() < least for cut in self.cuts)

    def at_slopes(self, c: Array) -> AbsorbedObjective:
        """The objective of the effects alone, at slopes c."""
        shift = self.Z @ c
        return replace(self, Z=self.Z[:, :0], shift=shift if self.shift is None else shift + self.shift)


def group_cuts(sets: Sets, rows: int) -> Iterator[tuple[slice, slice]]:
    """Parts of whole groups of about so many rows: their rows and their groups.

    Examples
    --------
    >>> [(a.stop, b.stop) for a, b in group_cuts(Sets.of_sizes(np.array([2, 3, 2])), 4)]
    [(5, 2), (7, 3)]
    """
    ends = np.cumsum(sets.sizes)
    first = start = 0
    while first < len(ends):
        last = int(np.searchsorted(ends, start + rows)) + 1
        stop = int(ends[min(last, len(ends)) - 1])
        yield slice(start, stop), slice(first, min(last, len(ends)))
        first, start = last, stop


def absorbed_step(found: AbsorbedPass) -> Array | None:
    """Newton's step (K + N,) in slopes and effects, None where the information is singular.

    Examples
    --------
    >>> from disteconometrics.likelihoods.linear import LinearLaw
    >>> Z, sets = np.array([[0.0], [1.0], [0.0], [1.0]]), Sets.of_sizes(np.array([2, 2]))
    >>> objective = AbsorbedObjective(LinearLaw(), Z, np.array([1.0, 3.0, 0.0, 2.0]), sets, None, None)
    >>> absorbed_step(objective.value(np.zeros(3))).tolist()
    [2.0, 1.0, 0.0]
    """
    K = len(found.information)
    U, least = found.score[K:], found.weight.min(initial=np.inf)
    if not least > 0:
        return None
    slopes = solved(found.information, found.score[:K] - U @ found.means)
    return None if slopes is None else np.concatenate([slopes, U / found.weight - found.means @ slopes])


def solved(information: Array, score: Array) -> Array | None:
    """The solution of a system, None where it is singular.

    Examples
    --------
    >>> solved(np.eye(2), np.ones(2)), solved(np.zeros((1, 1)), np.ones(1))
    (array([1., 1.]), None)
    """
    if not len(score):
        return score
    scale = np.sqrt(np.maximum(np.diagonal(information), 1e-300))
    try:
        factor = cho_factor(information / scale / scale[:, None])
    except (np.linalg.LinAlgError, ValueError):
        return None
    return np.asarray(cho_solve(factor, score / scale) / scale)


class ScoreParts(NamedTuple):
    """Scores (m, K) and roots (m, K) of rows, and how many observations each stands for."""

    scores: Array
    roots: Array
    copies: Array | None


@dataclass(frozen=True, eq=False)
class ConcentratedScores:
    """Scores u·(z − z̄) of slopes whose effects follow them, group by group: a `ScoreSource`.

    ``theta`` (K + N,) is the solution with its ``means`` (N, K); ``counted`` says that weights count rows.
    """

    objective: AbsorbedObjective
    theta: Array
    means: Array
    counted: bool = False

    def __call__(self, rows: int | None = None) -> Iterator[ScoreParts]:
        """Parts of about ``rows`` rows, in order."""
        copies = self.objective.weights if self.counted else None
        objective = replace(self.objective, weights=None) if self.counted else self.objective
        for where, groups in objective.cuts:
            p, _, _ = objective.part(self.theta, where, groups)
            apart = p.Z - self.means[groups][p.owner]
            scores, roots = apart * p.u[:, None], apart * np.sqrt(p.omega)[:, None]
            yield ScoreParts(scores, roots, None if copies is None else copies[where])


def slope_bias(objective: AbsorbedObjective, theta: Array, bandwidth: int) -> Array:
    """The bias (K,) of slopes that comes of estimating the effects, to order 1/T.

    Parameters
    ----------
    objective : AbsorbedObjective of a binary law with a ``curvature``, rows of a group in order of time.
    theta : (K + N,) float64 array, its maximum.
    bandwidth : int, lags L of past outcomes that move regressors; 0 where regressors are strictly exogenous.

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> Z, sets = np.array([[0.0], [1.0], [2.0]]), Sets.of_sizes(np.array([3]))
    >>> objective = AbsorbedObjective(LOGISTIC, Z, np.array([0.0, 1.0, 0.0]), sets, None, None)
    >>> slope_bias(objective, np.array([0.5, -1.0]), 0).round(3)
    array([0.17])
    """
    K = objective.Z.shape[1]
    bias, information = np.zeros(K), np.zeros((K, K))
    for rows, groups in objective.cuts:
        eta, sizes = objective.index(theta, rows, groups), objective.sets.sizes[groups]
        owner, starts = objective.sets.owner[rows] - groups.start, objective.sets.starts[groups] - rows.start
        m = expected_terms(objective.kernel, eta)
        total = np.add.reduceat(m.omega, starts)
        mean = np.add.reduceat(m.omega[:, None] * objective.Z[rows], starts, axis=0) / total[:, None]
        apart = objective.Z[rows] - mean[owner]
        information += (apart.T * m.omega) @ apart
        u = objective.kernel.score(objective.y[rows], eta)
        past = past_scores(u, np.arange(len(u)) - starts[owner], sizes[owner], bandwidth)
        bias += ((m.half - past * m.omega) / total[owner]) @ apart
    found = solved(information, bias)
    return np.full(K, np.nan) if found is None else found


class Expected(NamedTuple):
    """Of rows: expected ω, and −½·H·F''."""

    omega: Array
    half: Array


def expected_terms(kernel: Any, eta: Array) -> Expected:
    """What biases take of the law of rows with an index (m,).

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> expected_terms(LOGISTIC, np.array([0.0, 1.0])).omega.round(4).tolist()
    [0.25, 0.1966]
    """
    density = kernel.density(eta)
    H = density / np.maximum(kernel.probability(eta) * kernel.complement(eta), 1e-300)
    return Expected(density * H, -0.5 * H * kernel.curvature(eta)[0])


def past_scores(u: Array, place: Indices, sizes: Indices, bandwidth: int) -> Array:
    """Σ_j T/(T − j)·u_{t−j} over lags to a bandwidth, of rows whose place in their group of T is given.

    Examples
    --------
    >>> past_scores(np.array([1.0, 2.0, 3.0]), np.arange(3), np.full(3, 3), 1)
    array([0. , 1.5, 3. ])
    """
    out = np.zeros(len(u))
    for j in range(1, bandwidth + 1):
        later = np.flatnonzero(place >= j)
        out[later] += sizes[later] / (sizes[later] - j) * u[later - j]
    return out
