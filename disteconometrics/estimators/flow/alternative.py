"""What "auto" tries beside splines where rows and columns are many: normal mixtures that a net moves.

The rival is trained on four fifths of the rows and judged on the last: splines stay unless its log density
there is higher than their leave-one-out one by more than two standard errors.  Splines keep their standard
errors, the rival has none.  Joint laws without covariates are first looked at by themselves: where the rows'
transforms to the cube are as even as chance leaves them there is nothing to gain, and no rival is trained.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from disteconometrics.arrays import Array
from disteconometrics.errors import CollinearityError, DataError
from disteconometrics.flows.recipes import AffineMap, Autoregressive, MixtureCDF
from disteconometrics.inference.resample import seed_sequence, take_rows

__all__ = ["LEAST_ROWS", "UNTRIED", "TrainedAlternative", "evenly_spread", "trained_alternative"]

LEAST_ROWS = 2_000
LEAST_COLUMNS = 6  # of covariates of one outcome; joint outcomes need none
MARGIN = 2.0  # standard errors
CELLS = 256  # of the cube at most, in which rows are counted
UNTRIED = (
    "Not tried by auto: a normal mixture behind a net, as the transforms of the rows by monotone splines are "
    "as even as chance leaves them; splines stay."
)
SEED = 0  # where the user gives none, so that the same rows give the same choice


@dataclass(frozen=True)
class TrainedAlternative:
    """A flow by name against splines on rows that it has not seen: gain in mean log density, its error, rows.

    Examples
    --------
    >>> import disteconometrics as de
    >>> TrainedAlternative(de.FlowDensity("y ~ x"), gain=0.02, error=0.015, rows=400).wins
    False
    """

    model: Any
    gain: float
    error: float
    rows: int

    @property
    def wins(self) -> bool:
        """Whether the gain is beyond chance."""
        return self.gain > MARGIN * self.error

    def fitted(self, data: Any, seed: Any) -> Any:
        """The rival trained on all rows, which says why it was chosen."""
        result = self.model.fit(data, seed=SEED if seed is None else seed)
        return replace(result, facts=replace(result.facts, shared=(self.words, *result.facts.shared)))

    @property
    def words(self) -> str:
        """The sentence of the summary."""
        gap = (
            f"{abs(self.gain):.4f} per row (se {self.error:.4f}) "
            f"{'above' if self.gain > 0 else 'below'} that of monotone splines"
        )
        told = f"on {self.rows:,} rows held out the log density of a normal mixture behind a net is {gap}"
        if self.wins:
            return f"Chosen by auto: {told}; flow=de.MonotoneSpline() gives splines, with standard errors."
        return f"Tried by auto: {told}; splines stay."


def evenly_spread(transforms: Array, behind: float, weights: Array | None) -> bool:
    """Whether rows fill the cells of their cube as evenly as draws of the law itself do.

    That is, whether 2 Σ count·log(count/expected) is at most one standard deviation above its mean.

    Parameters
    ----------
    transforms : (n, d) float64 array, what the factors of a product make of the rows, in [0, 1].
    behind : float, log-likelihood by which the product is behind the pool that is asked about.
    weights : (n,) or None.

    Examples
    --------
    >>> u = np.random.default_rng(1).random((5_000, 2))
    >>> evenly_spread(u, 0.0, None), evenly_spread(u**1.2, 0.0, None)
    (True, False)
    """
    d = transforms.shape[1]
    sides = (int(CELLS ** (1 / d) + 1e-9),) * d
    cells = np.minimum((transforms * sides[0]).astype(np.intp), sides[0] - 1)
    size = sides[0] ** d
    counts = np.bincount(np.ravel_multi_index(tuple(cells.T), sides), weights, size)
    gain = 2 * float(special.xlogy(counts, counts * (size / counts.sum())).sum() - behind)
    return bool(gain <= size - 1 + np.sqrt(2 * (size - 1)))


def trained_alternative(
    model: Any, data: Any, kept: Any, left_out: Array, weights: Array | None, seed: Any, *, columns: int = 0
) -> TrainedAlternative | None:
    """Train the rival on four fifths of the rows and compare; None where it is not or cannot be tried.

    Parameters
    ----------
    model : FlowDensity.
    data : table of the fit, whose formula is read anew on a part of the rows.
    kept : (n,) positions of the rows used, None for all.
    left_out : (n,) leave-one-out log densities of the splines.
    weights : (n,) or None.
    seed : of the division and the training; None is a fixed one.
    columns : int, covariates of one outcome; 0 for joint outcomes.

    Examples
    --------
    >>> import disteconometrics as de
    >>> few = {"y": np.zeros(5)}
    >>> trained_alternative(de.FlowDensity("y ~ 1"), few, None, np.zeros(5), None, None, columns=1) is None
    True
    """
    n = len(left_out)
    if model.flow != "auto" or n < LEAST_ROWS or 0 < columns < LEAST_COLUMNS:
        return None
    flow: Any = Autoregressive(MixtureCDF(8))
    if columns:
        flow = (AffineMap("covariates"), MixtureCDF(5, hidden=(64, 64)))
    challenger = replace(model, flow=flow, base="auto")
    streams = seed_sequence(SEED if seed is None else seed)
    order = np.random.default_rng(streams.spawn(1)[0]).permutation(n)
    held, rest = np.sort(order[: n // 5]), np.sort(order[n // 5 :])
    given, apart = (take_rows(data, i if kept is None else kept[i]) for i in (rest, held))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit on all rows tells what there is to tell
        try:
            trial = challenger.fit(given, seed=int(streams.generate_state(1)[0]))
            score = trial.distribution(apart).logpdf(trial.spec.outcome_values(apart))
        except (DataError, CollinearityError):  # a level or a direction that only the rows held out have
            return None
    gap, w = score - left_out[held], None if weights is None else weights[held]
    gain = float(np.average(gap, weights=w))
    error = float(np.sqrt(np.average(np.square(gap - gain), weights=w) / len(held)))
    return TrainedAlternative(challenger, gain, error, len(held))
