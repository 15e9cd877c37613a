"""The complementary log-log law, P(y = 1) = 1 − exp(−exp(η)).

Log-likelihood, score and observed information of every row, accurate in both tails.

With the cumulative hazard u = exp(η) a row with y = 0 has log-likelihood −u, score −u and information u; one
with y = 1 has log(1 − exp(−u)), s = u/(exp(u) − 1) and s(s + u − 1).  While u is small the first is η +
log((1 − exp(−u))/u), so nothing is lost where u underflows.  s + u − 1 cancels there: its ratio to u is then
the series ½ + Σ B₂ₖ u²ᵏ⁻¹/(2k)! of Bernoulli's numbers, which is that of s itself.

References
----------
NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov/24.2.E1 (the series of u/(exp(u) − 1)).
Mächler (2012), Accurately computing log(1 − exp(−|a|)), https://CRAN.R-project.org/package=Rmpfr (where to
change from expm1 to log1p).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from disteconometrics.arrays import Array
from disteconometrics.likelihoods.logistic import Kernel, RowTerms

__all__ = ["CLOGLOG", "extreme_value", "extreme_value_score"]

_LARGEST = 709.0  # an index whose exponential float64 holds; larger ones count as this
_HALF = float(np.log(2.0))  # cumulative hazard at which both outcomes are as likely
_SMALL = 0.5  # cumulative hazard below which s + u − 1 would lose more than two bits …
_TERMS = 7  # … and so many terms of its series are exact to rounding
_EVEN = 2 * np.arange(1, _TERMS + 1)
_SERIES = special.bernoulli(2 * _TERMS)[_EVEN] / special.factorial(_EVEN)


def _hazard(eta: Array) -> Array:
    """exp(η), held to what float64 holds."""
    return np.asarray(np.exp(np.minimum(eta, _LARGEST)))


def _score_of_success(u: Array) -> Array:
    """u/(exp(u) − 1)."""
    return np.asarray(1.0 / special.exprel(u))


def _excess(u: Array, score: Array) -> Array:
    """(s + u − 1)/u, from ½ to 1, given s."""
    small = np.minimum(u, _SMALL)
    squared, series = small * small, np.full_like(small, _SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        series *= squared
        series += coefficient
    series *= small
    series += 0.5
    return np.where(u < _SMALL, series, (score - 1.0) / np.maximum(u, _SMALL) + 1.0)


def extreme_value(y: Array, eta: Array) -> RowTerms:
    """Log-likelihood terms of P(y = 1) = 1 − exp(−exp(η)), with the observed (not the expected) information.

    Parameters
    ----------
    y : (m,) float64 array of 0 and 1.
    eta : (m,) float64 array, the index: the log of the cumulative hazard.

    Returns
    -------
    RowTerms
        Natural-log likelihood, score and root of the information, each (m,).

    Examples
    --------
    >>> terms = extreme_value(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    >>> terms.loglik.round(4), terms.score.round(4)
    (array([-0.4587, -7.3891]), array([ 0.582 , -7.3891]))
    """
    u = _hazard(eta)
    early = np.minimum(u, _HALF)
    loglik = np.where(
        u < _HALF, eta + np.log(special.exprel(-early)), np.log1p(-np.exp(-np.maximum(u, _HALF)))
    )
    return RowTerms(np.where(y == 1.0, loglik, -u), *extreme_value_slopes(y, eta))


def extreme_value_slopes(y: Array, eta: Array) -> tuple[Array, Array]:
    """Score and root of the information of `extreme_value`, of which the log-likelihood costs a half."""
    one, u = y == 1.0, _hazard(eta)
    score = _score_of_success(u)
    root = np.exp(0.5 * np.minimum(eta, _LARGEST))  # underflows later than u
    return (
        np.where(one, score, -u),
        np.where(one, np.sqrt(score) * root * np.sqrt(_excess(u, score)), root),
    )


def extreme_value_score(y: Array, eta: Array) -> Array:
    """Derivative of the log-likelihood of a row in η: u/(exp(u) − 1) where y = 1, −u where y = 0."""
    u = _hazard(eta)
    return np.where(y == 1.0, _score_of_success(u), -u)


def extreme_value_probability(eta: Array) -> Array:
    """P(y = 1) = 1 − exp(−exp(η)), with all digits where it is small."""
    return np.asarray(-np.expm1(-_hazard(eta)))


def extreme_value_complement(eta: Array) -> Array:
    """P(y = 0) = exp(−exp(η)), with all digits where P(y = 1) rounds to one."""
    return np.asarray(np.exp(-_hazard(eta)))


def extreme_value_density(eta: Array) -> Array:
    """Derivative exp(η − exp(η)) of the probability in η."""
    return np.asarray(np.exp(np.minimum(eta, _LARGEST) - _hazard(eta)))


CLOGLOG = Kernel(
    extreme_value,
    extreme_value_score,
    extreme_value_probability,
    extreme_value_complement,
    extreme_value_density,
    "complementary log-log index",
    slopes=extreme_value_slopes,
)
