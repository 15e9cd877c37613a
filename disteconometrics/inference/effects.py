"""Averages of predicted probabilities over rows: the estimate, its delta-method error, and limits inside [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from disteconometrics.likelihoods.binary import Kernel

__all__ = ["average_probability", "log_odds_limits"]

Array = NDArray[np.float64]


def average_probability(kernel: Kernel, eta: Array, X: Array, V: Array, weights: Array | None = None) -> tuple[float, float]:
    """Average probability P = Σ w·p(η)/Σ w over rows, and its standard error √(g'Vg) with g = Σ w·p'(η)·x/Σ w.

    A row with an infinite index counts with its limit, 0 or 1, and adds nothing to the error.

    Parameters
    ----------
    kernel : Kernel, such as `LOGISTIC`.
    eta : (m,) float64 array, the index of the rows.
    X : (m, k) float64 array, their covariates.
    V : (k, k) float64 array, covariance of the coefficients.
    weights : (m,) float64 array, or None for one each.

    Returns
    -------
    (float, float)
        The average in [0, 1] and its standard error; NaN if an index is NaN.

    Raises
    ------
    Nothing.

    Examples
    --------
    >>> from disteconometrics.likelihoods.binary import LOGISTIC
    >>> average_probability(LOGISTIC, np.array([0.0, np.inf]), np.ones((2, 1)), np.array([[0.16]]))
    (0.75, 0.05)
    """
    share = np.full(len(eta), 1 / len(eta)) if weights is None else weights / weights.sum()
    gradient = (share * kernel.density(eta)) @ X
    return float(share @ kernel.probability(eta)), float(np.sqrt(max(gradient @ V @ gradient, 0.0)))


def log_odds_limits(p: Array, std_error: Array, critical: float) -> tuple[Array, Array]:
    """Limits of probabilities from symmetric ones of their log-odds: Λ(log(p/(1 − p)) ± c·se/(p(1 − p))).

    Parameters
    ----------
    p, std_error : (m,) float64 arrays, probabilities and their standard errors.
    critical : float, c, such as 1.96.

    Returns
    -------
    (array, array)
        Lower and upper limits (m,) in [0, 1]; p itself where the error is zero.

    Raises
    ------
    Nothing.

    Examples
    --------
    >>> low, high = log_odds_limits(np.array([0.5, 1.0]), np.array([0.1, 0.0]), 1.96)
    >>> low.round(3), high.round(3)
    (array([0.313, 1.   ]), array([0.687, 1.   ]))
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.exp(critical * std_error / (p * (1 - p)))
        low, high = p / (p + (1 - p) * factor), p / (p + (1 - p) / factor)
    exact = std_error == 0
    return np.where(exact, p, low), np.where(exact, p, high)
