"""Corrections of the bias of slopes beside estimated effects: by formula, and by parts of the panel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.blocks import Block
from disteconometrics.data.table import list_names
from disteconometrics.errors import CollinearityError, DataError, OptionError, SeparationError
from disteconometrics.estimators.absorbed.panel import Panel, centre, own_lags, varying
from disteconometrics.inference.protocols import ArrayScores, MEstimate
from disteconometrics.likelihoods.absorbed import (
    AbsorbedObjective,
    AbsorbedPass,
    ConcentratedScores,
    absorbed_step,
    slope_bias,
)
from disteconometrics.likelihoods.conditional import Sets
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.optim.concave import ConcaveMaximum, inverse_root, maximise_concave
from disteconometrics.optim.rank import check_rank
from disteconometrics.optim.whiten import whitening

__all__ = ["Corrected", "corrected", "influence_equation", "maximum"]

Top = ConcaveMaximum[AbsorbedPass]
LEAST_SPLIT = 8  # rows of a group, below which halves of it leave most of the bias: coverage .36 at T = 4


class Corrected(NamedTuple):
    """Slopes and effects (K + N,) after a correction, and influence (n, k) of its own, if it has one."""

    theta: Array
    influence: ArrayScores | None = None


def maximum(objective: AbsorbedObjective, maxiter: int, start: Array | None = None) -> Top:
    """Where slopes and effects maximise the likelihood.

    Examples
    --------
    >>> Z, sets = np.array([[0.0], [1.0], [0.0], [1.0]]), Sets.of_sizes(np.array([2, 2]))
    >>> objective = AbsorbedObjective(LOGISTIC, Z, np.array([0.0, 1.0, 1.0, 0.0]), sets, None, None)
    >>> maximum(objective, 9).theta.tolist()
    [0.0, 0.0, 0.0]
    """
    start = np.zeros(objective.Z.shape[1] + len(objective.sets.sizes)) if start is None else start
    return maximise_concave(objective, start, maxiter=maxiter, step_of=absorbed_step)


def corrected(
    model: Any, p: Panel, objective: AbsorbedObjective, top: Top, basis: Array, maxiter: int
) -> Corrected:
    """Slopes less their bias, the effects that go with them, and what errors of parts of a panel take.

    Parameters
    ----------
    model : specification with a ``bias``.
    p : Panel
    objective : AbsorbedObjective of all rows, whose columns are ``basis`` (K, K) of those of the panel.
    top : its maximum.
    basis : (K, K) float64 array.
    maxiter : int

    Raises
    ------
    DataError, OptionError, CollinearityError, SeparationError
    """
    if model.bias == "none":
        return Corrected(top.theta)
    K = objective.Z.shape[1]
    _check_lags(model, p, objective.y)
    if model.bias == "analytical":
        slopes = top.theta[:K] - slope_bias(objective, top.theta, model.bandwidth)
        effects = maximum(objective.at_slopes(slopes), maxiter, top.theta[K:]).theta
        return Corrected(np.concatenate([slopes, effects]))
    parts = _Parts(p, objective, p.columns(), maxiter)
    shown = basis[p.others :]
    if model.bias == "jackknife":
        beta, influence = _jackknife(model, parts, shown @ top.theta[:K]), None
    else:
        beta, influence = _split(model, parts, shown, top)
    return Corrected(_at_regressors(p, objective, basis, beta, maxiter), influence)


def _at_regressors(p: Panel, objective: AbsorbedObjective, basis: Array, beta: Array, maxiter: int) -> Array:
    """Slopes and effects (K + N,) that maximise the likelihood at coefficients (k,) of the regressors."""
    back, d = np.linalg.inv(basis), p.others
    fixed = back[:, d:] @ beta
    alone = replace(objective.at_slopes(fixed), Z=objective.Z @ back[:, :d])
    found = maximum(alone, maxiter).theta
    return np.concatenate([fixed + back[:, :d] @ found[:d], found[d:]])


def _check_lags(model: Any, p: Panel, y: Array) -> None:
    """Refuse a lagged outcome where a correction supposes that past outcomes move no regressor."""
    if model.bias == "split" or model.bandwidth:
        return
    lagged = own_lags(p, y, ordered=True)
    if lagged:
        remedy = (
            "give bandwidth=1 and time="
            if model.bias == "analytical"
            else "use bias='analytical', bandwidth=1"
        )
        raise OptionError(
            f"{list_names(lagged)} is the outcome of the row before, and bias={model.bias!r} supposes that "
            f"past outcomes move no regressor: {remedy}."
        )


# ---- parts of a panel --------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A fit to some rows: coefficients (k,), the rows, and their scores and roots (m, k) of coefficients."""

    beta: Array
    rows: Indices
    scores: Array
    roots: Array


class _Parts(NamedTuple):
    """What fits parts of a panel: it, the objective of all rows, and its columns (n, K) as given."""

    panel: Panel
    objective: AbsorbedObjective
    columns: Array
    maxiter: int

    def fit(self, rows: Indices, what: str) -> _Part:
        """The fit to some rows; groups in which the outcome does not vary there drop out."""
        p, of = self.panel, self.objective
        rows = rows[varying(of.y[rows], [p.sets.owner[rows], *(c[rows] for c in p.codes)])]
        sizes = np.bincount(p.sets.owner[rows])
        sets = Sets.of_sizes(sizes[sizes > 0])
        own = self.columns[rows]
        centre(own, sets)
        d, y = p.others, of.y[rows]
        dropped = set(check_rank([Block(y, own)], own.T @ own).dropped) if len(rows) > own.shape[1] else {d}
        if any(j >= d for j in dropped):
            raise CollinearityError(f"{what} a regressor depends on the others, so bias= cannot take parts.")
        left = [j for j in range(own.shape[1]) if j not in dropped]
        own = np.ascontiguousarray(own[:, left])
        basis = whitening(IndexModel(LOGISTIC, [Block(y, own)])).basis
        shift = None if of.shift is None else of.shift[rows]
        objective = AbsorbedObjective(of.kernel, own @ basis, y, sets, None, shift)
        top = maximum(objective, self.maxiter)
        if not top.converged:
            raise SeparationError(f"{what} the likelihood has no maximum: use bias='analytical'.")
        shown = basis[len(left) - len(p.regressors) :]
        return _Part(shown @ top.theta[: len(left)], rows, *_influence(objective, top, shown))


def _influence(objective: AbsorbedObjective, top: Top, shown: Array) -> tuple[Array, Array]:
    """Influence (n, k) of rows on coefficients, and roots (n, k) whose squares add to the covariance."""
    inner = inverse_root(top.found.information)
    turn = inner @ (shown @ inner).T
    parts = list(ConcentratedScores(objective, top.theta, top.found.means)())
    scores, roots = (np.concatenate([getattr(part, name) for part in parts]) for name in ("scores", "roots"))
    return scores @ turn, roots @ turn


def _jackknife(model: Any, parts: _Parts, beta: Array) -> Array:
    """T·β less (T − 1) times the mean of the estimates without a period."""
    p = parts.panel
    if model.time is None:
        raise OptionError("bias='jackknife' leaves one period out: time= names the column of periods.")
    times = p.read.design.times(model.time)[p.by_group]
    periods = np.unique(times)
    T = len(periods)
    if (p.sets.sizes != T).any():
        raise DataError(
            f"bias='jackknife' needs every {p.absorbed[0]} in all {T} periods of {model.time}; some have "
            f"{int(p.sets.sizes.min())}: use bias='analytical'."
        )
    without = [parts.fit(np.flatnonzero(times != t), "Without a period").beta for t in periods]
    return np.asarray(T * beta - (T - 1) * np.mean(without, axis=0))


def _halves(p: Panel) -> Iterator[list[Indices]]:
    """First and second halves of the groups; where a group has an odd number of rows, in both ways."""
    place, sizes = p.places_in_time(), p.sets.sizes[p.sets.owner]
    for middle in dict.fromkeys((0, int((p.sets.sizes % 2).any()))):
        first = place < (sizes + middle) // 2
        yield [np.flatnonzero(first), np.flatnonzero(~first)]


def _split(model: Any, parts: _Parts, shown: Array, top: Top) -> tuple[Array, ArrayScores]:
    """Twice β less the mean of the estimates from halves, and the influence of rows on that."""
    p = parts.panel
    if model.time is None:
        raise OptionError("bias='split' takes halves of the periods: time= names their column.")
    if p.sets.sizes.min() < LEAST_SPLIT:
        raise DataError(
            f"bias='split' needs {LEAST_SPLIT} rows in each {p.absorbed[0]}, as halves of fewer leave much "
            f"of the bias; some have {int(p.sets.sizes.min())}: use bias='analytical'."
        )
    splits = [[parts.fit(rows, "In a half of the panel") for rows in halves] for halves in _halves(p)]
    scores, roots = (2 * a for a in _influence(parts.objective, top, shown))
    beta = 2 * (shown @ top.theta[: len(shown.T)])
    for halves in splits:
        for part in halves:
            share = 1 / (2 * len(splits))
            beta = beta - share * part.beta
            scores[part.rows] -= share * part.scores
            roots[part.rows] -= share * part.roots
    return beta, ArrayScores(scores, roots)


def influence_equation(
    names: tuple[str, ...], params: Array, source: ArrayScores, observations: float, absorbed: int
) -> MEstimate:
    """An estimating equation of estimates (q,) that are known by influence of rows alone.

    Parameters
    ----------
    names : of the estimates.
    params : (q,) float64 array.
    source : influence (n, q) as its scores, and roots (n, q), whose squares add to the nonrobust covariance.
    observations : float
    absorbed : int, parameters beside them that take degrees of freedom.

    Examples
    --------
    >>> e = influence_equation(("b",), np.ones(1), ArrayScores(np.ones((4, 1)), np.full((4, 1), 0.5)), 4.0, 0)
    >>> (e.root @ e.root.T).round(6).tolist()
    [[1.0]]
    """
    covariance = source.roots.T @ source.roots
    inner = as_floats(np.linalg.cholesky(covariance))
    turn = np.linalg.inv(covariance)
    turned = ArrayScores(source.scores @ turn, source.roots @ turn, source.copies)
    return MEstimate(names, params, inner, inner, observations, len(source.scores), turned, absorbed=absorbed)
