"""The mean of an outcome as it is recorded between two limits, as a functional of laws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Law
from disteconometrics.errors import WithheldError

__all__ = ["CodedMean", "recorded_mean"]


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


def recorded_mean(spec: Any) -> CodedMean:
    """The mean of what is recorded of the outcome of a design.

    Raises
    ------
    WithheldError
        If outcomes were recorded otherwise than by `topcoded` and `bottomcoded` at one number each.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["foodexp"] = engel.foodexp.clip(upper=900)
    >>> recorded_mean(de.NormalRegression("topcoded(foodexp, at=900) ~ income").fit(engel).spec)
    CodedMean(low=-inf, high=900.0)
    """
    ends = {}
    for recorder in spec.outcome.recorders:
        if recorder.name not in ("bottomcoded", "topcoded") or recorder.at is None:
            raise WithheldError(
                f"The mean of what is recorded is not given of an outcome that was {recorder}, only of "
                f"one that was top-coded or bottom-coded at one number."
            )
        side = "low" if recorder.name == "bottomcoded" else "high"
        ends[side] = float(spec.outcome_units([recorder.at])[0])
    return CodedMean(**ends)


def _below(law: Law, end: float) -> Array:
    """E[Y; Y ≤ end]."""
    return law._partial_mean(np.full(law.batch_shape, end))
