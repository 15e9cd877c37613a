"""The mean of an outcome as it is recorded between two limits, as a functional of laws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Law

__all__ = ["CodedMean"]


@dataclass(frozen=True)
class CodedMean:
    """E[max(low, min(Y, high))], to be given wherever a functional may be a function of a law.

    Parameters
    ----------
    low, high : float, the limits in units of the outcome, −inf and inf where there is none.

    Examples
    --------
    >>> from disteconometrics import Normal
    >>> CodedMean(low=0.0)(Normal([0.0, 1.0], 1.0)).round(4)
    array([0.3989, 1.0833])
    """

    low: float = -np.inf
    high: float = np.inf

    @property
    def __name__(self) -> str:
        """As tables print it."""
        return "mean as recorded"

    def __call__(self, law: Law) -> Array:
        """The mean of each law."""
        capped = np.isfinite(self.high)  # whose mean needs nothing of the law beyond the cap
        out = self.high * law.sf(self.high) + _below(law, self.high) if capped else law.mean()
        if np.isfinite(self.low):
            out = out + self.low * law.cdf(self.low) - _below(law, self.low)
        return np.asarray(out)


def _below(law: Law, end: float) -> Array:
    """E[Y; Y ≤ end]."""
    return law._partial_mean(np.full(law.batch_shape, end))
