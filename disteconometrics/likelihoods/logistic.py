"""Binary outcomes as functions of the index η = x'β: log-likelihood, score and information of every row.

A kernel maps outcomes and indices to the three numbers that any method needs.  With s = 2y − 1 and
v = exp(−sη) the logit has log-likelihood −log(1 + v), score s·v/(1 + v) and information v/(1 + v)²;
no term cancels, so each is accurate to rounding in both tails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array

__all__ = ["LOGISTIC", "Kernel", "RowTerms", "even_odds", "inverse_logit", "logistic", "logistic_score"]

_HALF_INDEX_LIMIT = 350.0  # exp(2 · 350) is the last power that float64 can square-root back


class RowTerms(NamedTuple):
    """Per row (m,) float64: log-likelihood, its derivative in η, the root of minus its second derivative."""

    loglik: Array
    score: Array
    root_weight: Array


class Kernel(NamedTuple):
    """A binary law: the three terms of a row and its score alone, of (y, η).

    P(y = 1), P(y = 0) with its own digits where P(y = 1) rounds to one, and the derivative of P(y = 1), of η;
    η in words; the second and third derivatives of P(y = 1), of η, where biases are known; score and root of
    the information of a row without its log-likelihood, where that is quicker.  A law need not be symmetric,
    so P(y = 0) is not P(y = 1) at −η.
    """

    terms: Callable[[Array, Array], RowTerms]
    score: Callable[[Array, Array], Array]
    probability: Callable[[Array], Array]
    complement: Callable[[Array], Array]
    density: Callable[[Array], Array]
    scale: str = "log-odds"
    quadratic: bool = False
    curvature: Callable[[Array], tuple[Array, Array]] | None = None
    slopes: Callable[[Array, Array], tuple[Array, Array]] | None = None


def logistic(y: Array, eta: Array) -> RowTerms:
    """Log-likelihood terms of the logit, P(y = 1) = 1/(1 + exp(−η)).

    Parameters
    ----------
    y : (m,) float64 array of 0 and 1.
    eta : (m,) float64 array, the index in log-odds.

    Returns
    -------
    RowTerms
        Natural-log likelihood, score and root of the information, each (m,).

    Examples
    --------
    >>> terms = logistic(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    >>> terms.loglik.round(4), terms.score.round(4)
    (array([-0.6931, -2.1269]), array([ 0.5   , -0.8808]))
    """
    half = 0.5 - y
    u = half * eta
    excess = None
    # beyond it the log-likelihood is linear in η to the last digit
    if u.size and u.max() > _HALF_INDEX_LIMIT:
        excess = 2.0 * np.maximum(u - _HALF_INDEX_LIMIT, 0.0)
        np.minimum(u, _HALF_INDEX_LIMIT, out=u)
    np.exp(u, out=u)
    v = u * u
    loglik = np.log1p(v)
    np.negative(loglik, out=loglik)
    if excess is not None:
        loglik -= excess
    d = v + 1.0
    np.divide(u, d, out=u)
    v /= d
    v *= half
    v *= -2.0
    return RowTerms(loglik, v, u)


def logistic_score(y: Array, eta: Array) -> Array:
    """y − 1/(1 + exp(−η)), accurate to rounding of one, in five operations."""
    u: Array = even_odds(np.negative(eta))
    return np.subtract(y, u, out=u)


def even_odds(u: Any) -> Any:
    """1/(1 + exp(u)) in the place of an array of floats: the probability in a logit of index −u.

    Examples
    --------
    >>> even_odds(np.array([0.0, -800.0])).tolist()
    [0.5, 1.0]
    """
    np.exp(u, out=u)
    u += 1.0
    return np.divide(1.0, u, out=u)  # twice as quick as a reciprocal, and equal


def inverse_logit(eta: Array) -> Array:
    """Probability 1/(1 + exp(−η)) for an index of any sign and size, accurate in both tails."""
    u = np.exp(-np.abs(eta))
    top = np.where(eta >= 0, 1.0, u)
    u += 1.0
    return np.divide(top, u, out=top)


def logistic_complement(eta: Array) -> Array:
    """Probability 1/(1 + exp(η)) of the other outcome."""
    return inverse_logit(-eta)


def logistic_density(eta: Array) -> Array:
    """Derivative p(1 − p) of the probability in η."""
    u = np.exp(-np.abs(eta))
    return u / (1.0 + u) ** 2


def logistic_curvature(eta: Array) -> tuple[Array, Array]:
    """Second and third derivative of the probability in η."""
    density = logistic_density(eta)
    return -np.tanh(eta / 2) * density, (1.0 - 6.0 * density) * density


LOGISTIC = Kernel(
    logistic,
    logistic_score,
    inverse_logit,
    logistic_complement,
    logistic_density,
    curvature=logistic_curvature,
)
