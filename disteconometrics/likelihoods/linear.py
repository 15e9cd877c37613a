"""The normal law of a linear model with known σ, as a law of the index: its log-likelihood is quadratic."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.likelihoods.logistic import RowTerms

__all__ = ["LinearLaw", "ScaleLaw"]


class LinearLaw(NamedTuple):
    """Log-likelihood −(y − η)²/(2σ²) without its constant, with ``root`` = 1/σ.

    Examples
    --------
    >>> LinearLaw(2.0).terms(np.array([3.0]), np.array([1.0])).score.tolist()
    [8.0]
    """

    root: float = 1.0
    quadratic: bool = True

    def terms(self, y: Array, eta: Array) -> RowTerms:
        """Log-likelihood, derivative in η and root of the information (m,)."""
        e = self.root * (y - eta)
        return RowTerms(-e * e / 2, self.root * e, np.full(len(e), self.root))

    def score(self, y: Array, eta: Array) -> Array:
        """The derivative in η (m,)."""
        return self.root**2 * (y - eta)


class ScaleLaw(NamedTuple):
    """The score (z² − 1)/σ of σ in a row with standardised residual y = z, whatever η."""

    sigma: float
    quadratic: bool = False

    def terms(self, y: Array, eta: Array) -> RowTerms:
        """Log-likelihood, derivative in σ and root of the expected information (m,)."""
        return RowTerms(-y * y / 2, self.score(y, eta), np.full(len(y), np.sqrt(2.0) / self.sigma))

    def score(self, y: Array, eta: Array) -> Array:
        """The derivative in σ (m,)."""
        return np.asarray((y * y - 1.0) / self.sigma)
