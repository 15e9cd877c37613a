"""Influence functions of inequality given covariates: at outcomes, and their squares under the laws.

Theil's index and the mean logarithmic deviation have influences that grow with the outcome.  Samples that
happen to hold no far outcome then have an error that is too small, and as their estimate is low at the same
time, limits that lie below the truth.  The law knows what outcomes a sample of n is to hold: up to a quantile
of 1 − 1/(2n), beyond which half a row is expected, and from 1/(2n).  Squares of the influence that are
averaged so far are what the squares at the rows are to be at least; how much of them lies beyond says whether
any error is to be believed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Mask, as_floats
from disteconometrics.distributions.scores import crps
from disteconometrics.inference.law_effects import RowLaws, row_values

__all__ = ["INEQUALITY", "Squares", "expected_squares", "reach", "relative_influence"]

INEQUALITY = ("gini", "theil", "mld", "var_log")
INSIDE, OUTSIDE = 48, 16  # nodes between the two quantiles, and beyond either
LAWS = 1_000  # rows, drawn at random as those of panels come in turns, whose laws are asked
FARTHER = 1000.0  # times as rare as these quantiles, where averages end


class Squares(NamedTuple):
    """Averages (n,) of squared influences under laws: between quantiles that a sample reaches, and beyond."""

    near: Array
    beyond: Array


def relative_influence(kind: str, laws: RowLaws, y: Array, values: Array) -> Array:
    """The influence function (n,) of a measure with these values at outcomes y (n,) of rows.

    That of the Gini is by E|y − Y| = CRPS + G·mean.
    """
    mean, mld = _moments(kind, laws)
    u = y / mean
    if kind == "gini":
        return as_floats(crps(laws.law, y)) / mean - values * u
    return _smooth_influence(kind, u, values, mld)


def _moments(kind: str, laws: RowLaws) -> tuple[Array, Array | None]:
    """Means of rows (n,), and their mean logarithmic deviations where the influence needs them."""
    zero = np.zeros((laws.size, 1))
    mld = row_values(laws, ("mld", ()), zero).values if kind in ("mld", "var_log") else None
    return row_values(laws, ("mean", ()), zero).values, mld


def _smooth_influence(kind: str, u: Array, value: Array, mld: Array | None) -> Array:
    """The same of the others at outcomes over the mean u (n, …)."""
    if kind == "theil":
        return np.asarray(u * np.log(u) - value - (value + 1) * (u - 1))
    left = np.log(u) + mld  # log y less its mean
    return np.asarray(u - 1 - left if kind == "mld" else np.square(left) - value)


def expected_squares(
    kind: str, law: Any, mean: Array, value: Array, mld: Array | None, size: float
) -> Squares:
    """Averages of the squared influence under laws of n rows.

    Parameters
    ----------
    kind : one of `INEQUALITY`; law : of the rows.
    mean, value, mld : (n,) float64 arrays, mean, measure and mean logarithmic deviation, which ``mld`` and
        ``var_log`` need.
    size : float, observations of the sample.

    Examples
    --------
    >>> from disteconometrics import Exp, Normal
    >>> law = Normal(np.zeros(1), np.array([0.6])).on(Exp())
    >>> parts = np.exp([0.18]), np.array([0.18]), np.array([0.18]), 500.0
    >>> near, beyond = np.ravel(expected_squares("theil", law, *parts))
    >>> round(beyond / (near + beyond), 2)
    np.float64(0.33)
    """
    p, w, inside = _levels(size)
    with np.errstate(all="ignore"):
        u = np.maximum(law.quantile(p) / mean[:, None], np.finfo(float).tiny)
        if kind == "gini":
            below, share = np.cumsum(w * u, axis=1), np.cumsum(w)
            gap = u * (2 * share - share[-1]) - 2 * below + below[:, -1:]  # E|y − Y|/mean
            psi = gap - value[:, None] * (1 + u)
        else:
            psi = _smooth_influence(kind, u, value[:, None], None if mld is None else mld[:, None])
        squares = np.square(psi) * w
    return Squares(squares[:, inside].sum(axis=1), squares[:, ~inside].sum(axis=1))


def reach(
    kind: str, laws: RowLaws, values: Array, A: Array, rows: Array, shares: Array, size: float
) -> tuple[Array, Array]:
    """How much larger rows A·ψ (n, m) are to be in errors, and the share of squares where they do not reach.

    Parameters
    ----------
    kind : one of `INEQUALITY`; laws : of n rows with its ``values`` (n,).
    A, rows : (n, m) float64 arrays, weights of the rows, and these times the influence.
    shares : (n,) float64 array, of the rows in what is averaged.
    size : float, observations there.
    """
    some = np.flatnonzero(A.any(axis=1))
    if len(some) > LAWS:
        some = np.sort(np.random.default_rng(0).choice(some, LAWS, replace=False))
    own = laws.take(some)
    mean, mld = _moments(kind, own)
    near, beyond = expected_squares(kind, own.law, mean, values[some], mld, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.square(A) / shares[:, None]  # so that copies of a row count as rows
        total = np.nansum(np.square(rows) / shares[:, None], axis=0)
        expected = (near @ each[some]) * (np.nansum(each, axis=0) / each[some].sum(axis=0))
        scale = np.sqrt(np.fmax(1.0, expected / total))
        share = (beyond @ each[some]) / ((near + beyond) @ each[some])
    return np.where(np.isfinite(scale), scale, 1.0), share


def _levels(size: float) -> tuple[Array, Array, Mask]:
    """Levels (m,) of a quadrature over the log-odds, its weights, and which are inside."""
    end = np.log(2 * size - 1)
    edges = end + np.log(FARTHER)
    parts = []
    for low, high, nodes in ((-edges, -end, OUTSIDE), (-end, end, INSIDE), (end, edges, OUTSIDE)):
        x, w = np.polynomial.legendre.leggauss(nodes)
        parts.append(((high + low) / 2 + (high - low) / 2 * x, (high - low) / 2 * w))
    t, w = (np.concatenate(part) for part in zip(*parts, strict=True))
    p = 1 / (1 + np.exp(-t))
    return p, w * p / (1 + np.exp(t)), np.abs(t) < end
