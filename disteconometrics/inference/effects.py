"""The average of predicted probabilities over rows, with its delta-method error and limits inside [0, 1]."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from disteconometrics.likelihoods.binary import Kernel

__all__ = ["AverageProbability", "average_probability"]

Array = NDArray[np.float64]


class AverageProbability(NamedTuple):
    """An average probability, its standard error and confidence limits, all in [0, 1] or NaN where there is none."""

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float


def average_probability(
    kernel: Kernel, eta: Array, X: Array, V: Array, *, critical: float, weights: Array | None = None
) -> AverageProbability:
    """Average P = Σ w·p(η)/Σ w with standard error √(g'Vg), g = Σ w·p'(η)·x/Σ w, and limits Λ(logit P ± c·se/(P(1 − P))).

    Rows with an infinite index (separation) count with their limit, 0 or 1; error and limits are those of the
    average over the other rows, and are missing if there are none.

    Parameters
    ----------
    kernel : Kernel, such as `LOGISTIC`.
    eta : (m,) float64 array, the index of the rows; NaN gives NaN.
    X : (m, k) float64 array, their covariates.
    V : (k, k) float64 array, covariance of the coefficients.
    critical : float, c, such as 1.96.
    weights : (m,) float64 array, or None for one each.

    Returns
    -------
    AverageProbability

    Raises
    ------
    Nothing.

    Examples
    --------
    >>> from disteconometrics.likelihoods.binary import LOGISTIC
    >>> half = average_probability(LOGISTIC, np.zeros(2), np.ones((2, 1)), np.array([[0.16]]), critical=1.96)
    >>> np.round(half, 3).tolist()
    [0.5, 0.1, 0.313, 0.687]
    """
    if np.isnan(eta).any():
        return AverageProbability(np.nan, np.nan, np.nan, np.nan)
    w = np.ones(len(eta)) if weights is None else weights
    finite, total = np.isfinite(eta), w.sum()
    ones = float(w[eta == np.inf].sum() / total)
    if not finite.any():
        return AverageProbability(ones, np.nan, np.nan, np.nan)
    eta, X, w = eta[finite], X[finite], w[finite]
    inside = float(w.sum() / total)
    p = float((w * kernel.probability(eta)).sum() / w.sum())
    gradient = (w * kernel.density(eta)) @ X / w.sum()
    se = float(np.sqrt(max(gradient @ V @ gradient, 0.0)))
    low, high = _log_odds_limits(p, critical * se)
    return AverageProbability(ones + inside * p, inside * se, ones + inside * low, ones + inside * high)


def _log_odds_limits(p: float, half: float) -> tuple[float, float]:
    """Limits of a probability that are symmetric for its log-odds; ``half`` is half the width in probabilities."""
    if half == 0:
        return p, p
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.exp(np.divide(half, p * (1 - p)))
        return float(p / (p + (1 - p) * factor)), float(p / (p + (1 - p) / factor))
