"""Which moments of a fitted law its sample can support.

Beyond the largest outcome a law is what its base and its outer slope make of it, and a moment may come from
there.  A moment is withheld where the sample speaks against it:

- the mean, and what is relative to it, where it is more than `FAR_MEAN` errors of the sample's mean away, or
  its error is more than `FAR_ERROR` of these;
- the standard deviation also where it is not within a factor of `FAR_SPREAD` of the sample's, or where its
  relative error is above `LARGE_ERROR`/√n: that of a law with a kurtosis κ is √((κ − 1)/4n), so that κ > 20.

The rates of both are in `tests/statistical/withheld_moments.md`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, or_ones
from disteconometrics.inference.influence_functions import equal_rows
from disteconometrics.inference.law_effects import Averaged, Estimation, estimates_of
from disteconometrics.inference.law_functionals import MOMENTS

__all__ = ["OF_SPREAD", "OfSample", "unsupported_moments"]

OF_SPREAD = ("std", "var")
FAR_MEAN, FAR_MEAN_OF_SPREAD = 4.0, 0.1  # errors of the sample's mean, and at least so many of its deviations
FAR_ERROR = 3.0
FAR_SPREAD = 1.5
LARGE_ERROR = 2.2
FEW = 50  # rows that a share is read from


class OfSample(NamedTuple):
    """Of the outcomes: mean, standard deviation, the largest, and how many of equal weight tell as much."""

    mean: float
    std: float
    largest: float
    size: float

    @classmethod
    def of(cls, y: Array, weights: Array | None, *, counts: bool) -> OfSample:
        """From outcomes (n,) and their weights (n,), which count them or not."""
        w = or_ones(weights, len(y))
        mean = float(w @ y / w.sum())
        std = float(np.sqrt(w @ np.square(y - mean) / w.sum()))
        return cls(mean, std, float(y.max()), equal_rows(w, counts))


def unsupported_moments(
    law: Averaged, estimation: Estimation, seen: OfSample, rows: int, spread: bool
) -> dict[str, str]:
    """The kinds of moments of an averaged law that ``rows`` outcomes do not support, each with the reason.

    Those of its ``spread`` are left out where nobody asks.
    """
    answers = [law.functional((kind, ())) for kind in ("mean", "std")]
    if len(law.shares) == 1:  # one law for all rows
        answers = [a._replace(rows=np.zeros(rows)) for a in answers]
    found = estimates_of(("mean", "std"), answers, estimation, "population")
    (mean, std), (error_of_mean, error) = found.values, found.std_error
    reason, of_mean, sampling = "", False, seen.std / np.sqrt(seen.size)
    if not abs(mean - seen.mean) <= max(FAR_MEAN * sampling, FAR_MEAN_OF_SPREAD * seen.std):
        reason, of_mean = f"the fitted mean is {mean:.3g}, the sample's {seen.mean:.3g}", True
    elif not error_of_mean <= FAR_ERROR * sampling:
        reason = f"the error of the fitted mean is {error_of_mean / sampling:.1f} times that of the sample's"
        of_mean = True
    elif not seen.std / FAR_SPREAD <= std <= seen.std * FAR_SPREAD:
        reason = f"the fitted std is {std:.3g}, the sample's {seen.std:.3g}"
    elif not error * np.sqrt(seen.size) <= LARGE_ERROR * std:
        reason = f"the error of the std is that of a kurtosis of {1 + 4 * seen.size * (error / std) ** 2:.0f}"
    if not reason or not (of_mean or spread):
        return {}
    share = _share_beyond(law, seen, 1 if of_mean else 2)
    what = "E|y − mean|" if of_mean else "the variance"
    reason = f"{reason}; {share:.0%} of {what} comes from beyond the largest outcome"
    return dict.fromkeys(MOMENTS if of_mean else OF_SPREAD, reason)


def _share_beyond(law: Averaged, seen: OfSample, power: int) -> float:
    """The share of E|y − mean|^power that lies beyond the largest outcome, read from at most FEW rows."""
    rows = np.unique(np.linspace(0, len(law.shares) - 1, FEW).astype(int))
    own, w = law.laws.take(rows).law, law.shares[rows]

    def size(y: Array) -> Array:
        return np.asarray(np.abs(y - seen.mean) ** power)

    with np.errstate(over="ignore"):
        whole = float(w @ own.expect(size))
        beyond = float(w @ own.expect(lambda y: np.where(y > seen.largest, size(y), 0.0)))
    return beyond / whole if np.isfinite(whole) else 1.0
