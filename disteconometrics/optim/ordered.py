"""Newton's iteration for ordered outcomes: concave in coefficients and thresholds, which stay increasing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.blocks import Block
from disteconometrics.likelihoods.ordered import OrderedKernel, OrderedPass, ends, evaluate
from disteconometrics.optim.concave import climb
from disteconometrics.optim.separation import Separation, find_separation

__all__ = ["OrderedMaximum", "maximise_ordered", "ordered_separation"]


@dataclass(frozen=True, eq=False)
class OrderedMaximum:
    """Coefficients (k,) and thresholds (J − 1,) with the pass over the rows there.

    ``far`` says whether an end of a row lies in a tail of less than a millionth, as under separation.
    """

    coefficients: Array
    thresholds: Array
    found: OrderedPass
    converged: bool
    passes: int
    decrement: float
    far: bool


def maximise_ordered(
    kernel: OrderedKernel, X: Array, y: Indices, w: Array | None, offset: Array | None, *, maxiter: int = 100
) -> OrderedMaximum:
    """The maximum, from cumulative shares and coefficients of zero.

    Parameters
    ----------
    kernel : OrderedKernel
    X : (n, k) float64 array of columns of similar size, without a constant.
    y : (n,) intp array, categories 0 … J − 1, all of which occur.
    w, offset : (n,) float64 arrays or None.
    maxiter : int, steps at most.

    Returns
    -------
    OrderedMaximum

    Examples
    --------
    >>> from disteconometrics.likelihoods.ordered import ORDERED_LOGIT
    >>> y = np.array([0, 1, 1, 2])
    >>> maximise_ordered(ORDERED_LOGIT, np.zeros((4, 0)), y, None, None).thresholds.round(4)
    array([-1.0986,  1.0986])
    """
    k = X.shape[1]
    shift = np.zeros(len(y)) if offset is None else offset
    counts = np.bincount(y, w)
    start = kernel.quantile(np.cumsum(counts)[:-1] / counts.sum()) + np.average(shift, weights=w)
    theta = np.concatenate([np.zeros(k), start])

    def at(point: Array) -> OrderedPass:
        return evaluate(kernel, X, y, w, X @ point[:k] + shift, point[k:])

    found = climb(at, theta, lambda point: bool(np.all(np.diff(point[k:]) > 0)), maxiter=maxiter)
    theta = found.point
    u, l = ends(y, theta[k:], X @ theta[:k] + shift)  # noqa: E741
    finite = np.abs(np.concatenate([u, l]))
    far = bool(finite[np.isfinite(finite)].max(initial=0.0) > kernel.far)
    return OrderedMaximum(
        theta[:k], theta[k:], found.found, found.converged, found.passes, found.decrement, far
    )


def ordered_separation(X: Array, y: Indices, thresholds: int) -> Separation | None:
    """A direction of (β, c) along which no row's likelihood falls, if there is one; ``rows`` are those of X.

    It is that of a binary outcome: rows of u − with outcome 1 − and of l, with outcome 0.

    Parameters
    ----------
    X : (n, k) float64 array, without a constant.
    y : (n,) intp array, categories from 0.
    thresholds : int, J − 1.

    Examples
    --------
    >>> ordered_separation(np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 2]), 2).kind
    'complete'
    """
    upper, lower = np.flatnonzero(y < thresholds), np.flatnonzero(y > 0)
    rows, at = np.concatenate([upper, lower]), np.concatenate([y[upper], y[lower] - 1])
    D = np.column_stack([-X[rows], at[:, None] == np.arange(thresholds)]).astype(np.float64)
    outcome = np.concatenate([np.ones(len(upper)), np.zeros(len(lower))])
    found = find_separation([Block(outcome, D)])
    if found is None:
        return None
    return Separation(found.kind, found.direction, np.unique(rows[found.rows]), found.null)
