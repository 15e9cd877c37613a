"""The probit, P(y = 1) = Φ(η).

Log-likelihood, score and observed information of every row, accurate in both tails.

With q = sη, s = 2y − 1, and the inverse Mills ratio λ(q) = φ(q)/Φ(q) the terms are log Φ(q), s·λ and λ(λ +
q). λ comes from the scaled complementary error function, so nothing under- or overflows before the term
itself does. λ + q cancels where the outcome is a surprise (q ≪ 0): there it is Laplace's continued fraction
1/(t + 2/(t + 3/(t + …))), t = −q, whose terms are all positive.

References
----------
Laplace (1805), Traité de mécanique céleste IV, book X (the continued fraction of the Mills ratio).
Johnson (2012), Faddeeva package, http://ab-initio.mit.edu/Faddeeva (erfcx).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from disteconometrics.arrays import Array
from disteconometrics.likelihoods.logistic import Kernel, RowTerms

__all__ = ["PROBIT", "normal", "normal_density", "normal_score"]


_ROOT_HALF = float(np.sqrt(0.5))
_ROOT_2_OVER_PI = float(np.sqrt(2.0 / np.pi))
_LARGEST = 1e150  # of an index, so that no product with zero is undefined
_TAIL = 5.0  # beyond it λ + q would lose more than a digit, and …
_FRACTIONS = 32  # … as many levels of the continued fraction are exact to rounding


def _inverse_mills(q: Array) -> Array:
    """φ(q)/Φ(q) for q of any sign and size."""
    with np.errstate(over="ignore", divide="ignore"):
        far = q < -1e8  # where φ(q)/Φ(q) = −q to the last digit
        if not far.any():
            return np.asarray(_ROOT_2_OVER_PI / special.erfcx(q * -_ROOT_HALF))
        return np.where(far, -q, _ROOT_2_OVER_PI / special.erfcx(np.where(far, 0.0, -q) * _ROOT_HALF))


def _mills_excess(q: Array, ratio: Array) -> Array:
    """λ(q) + q > 0, given λ(q)."""
    excess = ratio + q
    tail = q < -_TAIL
    if tail.any():
        t = -q[tail]
        fraction = t.copy()
        for level in range(_FRACTIONS, 1, -1):
            fraction = t + level / fraction
        excess[tail] = 1.0 / fraction
    return excess


def normal(y: Array, eta: Array) -> RowTerms:
    """Log-likelihood terms of the probit, P(y = 1) = Φ(η), with the observed (not the expected) information.

    Parameters
    ----------
    y : (m,) float64 array of 0 and 1.
    eta : (m,) float64 array, the index.

    Returns
    -------
    RowTerms
        Natural-log likelihood, score and root of the information, each (m,).

    Examples
    --------
    >>> terms = normal(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    >>> terms.loglik.round(4), terms.score.round(4)
    (array([-0.6931, -3.7832]), array([ 0.7979, -2.3732]))
    """
    with np.errstate(over="ignore"):
        loglik = special.log_ndtr((2.0 * y - 1.0) * eta)
    return RowTerms(loglik, *normal_slopes(y, eta))


def normal_slopes(y: Array, eta: Array) -> tuple[Array, Array]:
    """Score and root of the information of `normal`, of which the log-likelihood costs a third."""
    sign = 2.0 * y - 1.0
    q = np.clip(sign * eta, -_LARGEST, _LARGEST)
    ratio = _inverse_mills(q)
    return sign * ratio, np.sqrt(ratio) * np.sqrt(_mills_excess(q, ratio))


def normal_score(y: Array, eta: Array) -> Array:
    """Derivative s·φ(η)/Φ(sη) of the log-likelihood of a row in η."""
    sign = 2.0 * y - 1.0
    return sign * _inverse_mills(sign * eta)


def normal_complement(eta: Array) -> Array:
    """Probability Φ(−η) of the other outcome."""
    return np.asarray(special.ndtr(-eta))


def normal_density(eta: Array) -> Array:
    """Derivative φ(η) of the probability in η."""
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(-0.5 * np.square(eta)) * (0.5 * _ROOT_2_OVER_PI)


def normal_curvature(eta: Array) -> tuple[Array, Array]:
    """Second and third derivative of the probability in η."""
    density = normal_density(eta)
    return -eta * density, (eta * eta - 1.0) * density


PROBIT = Kernel(
    normal,
    normal_score,
    special.ndtr,
    normal_complement,
    normal_density,
    "probit index",
    curvature=normal_curvature,
    slopes=normal_slopes,
)
