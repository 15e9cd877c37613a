"""The maximum of the normal linear law of recorded outcomes, and the proof where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block
from disteconometrics.errors import OutcomeError, SeparationError
from disteconometrics.likelihoods.recorded_normal import NormalPass, NormalRecords, evaluate
from disteconometrics.optim.concave import maximise_concave
from disteconometrics.optim.separation import Separation, find_separation

__all__ = ["RecordedMaximum", "check_overlap", "maximise_recorded", "recorded_separation"]

INVOLVED = 1e-9  # share of a direction from which a column is named

FAR = 6.0  # index of a censored row, or half the width of an interval, beyond which it is nearly certain


@dataclass(frozen=True, eq=False)
class RecordedMaximum:
    """δ = β/σ (k,) and θ = 1/σ with the pass over the rows there, and the rows' indices and widths (n,).

    ``far`` says whether a record is nearly certain, as under separation.
    """

    delta: Array
    theta: float
    found: NormalPass
    index: Array
    width: Array
    converged: bool
    passes: int
    decrement: float
    far: bool


def maximise_recorded(
    records: NormalRecords, X: Array, w: Array | None, *, maxiter: int = 100
) -> RecordedMaximum:
    """The maximum, from δ = 0 and θ = 1: the points are residuals in units of their spread.

    Parameters
    ----------
    records : NormalRecords of n rows.
    X : (n, k) float64 array of columns of similar size.
    w : (n,) float64 array of weights, or None.
    maxiter : int, steps at most.

    Returns
    -------
    RecordedMaximum

    Examples
    --------
    >>> no = np.zeros(3, dtype=bool)
    >>> told = NormalRecords(np.array([-1.0, 0.0, 1.0]), np.zeros(3), ~no, no, no)
    >>> round(1 / maximise_recorded(told, np.ones((3, 1)), None).theta ** 2, 9)
    0.666666667
    """
    objective = _RecordedObjective(records, X, w)
    end = maximise_concave(objective, np.append(np.zeros(X.shape[1]), 1.0), maxiter=maxiter)
    index, width = objective.forms(end.theta)
    return RecordedMaximum(
        end.theta[:-1],
        float(end.theta[-1]),
        end.found,
        index,
        width,
        end.converged,
        end.passes,
        end.decrement,
        end.far,
    )


@dataclass(frozen=True, eq=False)
class _RecordedObjective:
    """The log-likelihood of (δ, θ), concave where θ is positive: an objective of `optim.concave`."""

    records: NormalRecords
    X: Array
    w: Array | None

    @cached_property
    def exact(self) -> float:
        """Weight of the rows that are known."""
        told = self.records.exact
        return float(told.sum() if self.w is None else self.w[told].sum())

    def value(self, theta: Array) -> NormalPass:
        """One pass over the rows."""
        return evaluate(self.records, self.X, self.w, theta[:-1], float(theta[-1]), self.exact)

    def admits(self, theta: Array) -> bool:
        """Whether 1/σ is positive."""
        return bool(theta[-1] > 0)

    def forms(self, theta: Array) -> tuple[Array, Array]:
        """Indices and widths (n,) of the rows."""
        return theta[-1] * self.records.point - self.X @ theta[:-1], theta[-1] * self.records.gap

    def far(self, theta: Array) -> bool:
        """Whether a record is nearly certain."""
        index, width = self.forms(theta)
        certain = np.abs(index[self.records.below | self.records.above]).max(initial=0.0)
        return bool(max(certain, width.max(initial=0.0) / 2) > FAR)


def recorded_separation(lower: Array, upper: Array, X: Array) -> Separation | None:
    """A direction of (δ, θ) along which no row's likelihood falls, if there is one; ``rows`` are those of X.

    It is that of a binary outcome: rows of ends above with outcome 1 and of ends below with outcome 0, where
    exact rows have both, and one row for θ > 0.

    Parameters
    ----------
    lower, upper : (n,) float64 arrays of ends, −inf and inf where open.
    X : (n, k) float64 array with independent columns.

    Examples
    --------
    >>> ends = np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, np.inf])
    >>> recorded_separation(*ends, np.column_stack([np.ones(3), [0.5, 1.5, 9.0]])).kind
    'complete'
    """
    high, low = np.flatnonzero(np.isfinite(upper)), np.flatnonzero(np.isfinite(lower))
    rows = np.concatenate([high, low])
    ends = np.concatenate([upper[high], lower[low]])
    D = np.vstack([np.column_stack([-X[rows], ends]), np.eye(X.shape[1] + 1)[-1:]])
    outcome = np.concatenate([np.ones(len(high)), np.zeros(len(low)), [1.0]])
    found = find_separation([Block(outcome, D)])
    if found is None:
        return None
    told = found.rows[found.rows < len(rows)]
    return Separation(found.kind, found.direction, np.unique(rows[told]), found.null)


def check_overlap(lower: Array, upper: Array, X: Array, names: Sequence[str], outcome: str) -> None:
    """Refuse records whose likelihood has no maximum.

    Parameters
    ----------
    lower, upper, X : as in `recorded_separation`.
    names : of the columns of X.
    outcome : name.

    Raises
    ------
    OutcomeError, SeparationError

    Examples
    --------
    >>> try:
    ...     check_overlap(np.zeros(3), np.array([1.0, 1.0, 2.0]), np.ones((3, 1)), ["Intercept"], "y")
    ... except OutcomeError as error:
    ...     print(str(error)[:45])
    The columns meet every record of 'y' by a lin
    """
    if not (np.isfinite(lower).any() and np.isfinite(upper).any()):
        raise OutcomeError(
            f"Every row used has {outcome!r} censored on one side: nothing tells where its law is."
        )
    separation = recorded_separation(lower, upper, X)
    if separation is None:
        return
    d = separation.direction
    if d[-1] > INVOLVED * np.abs(d).max():
        raise OutcomeError(
            f"The columns meet every record of {outcome!r} by a line with an error of zero, so that the "
            f"likelihood has no maximum: no law is left. Take fewer columns or wider records."
        )
    named = [n for n, part in zip(names, d[:-1], strict=True) if abs(part) > INVOLVED * np.abs(d).max()]
    raise SeparationError(
        f"Separation: {', '.join(named[:10])} moves {len(separation.rows)} of {len(X)} rows of {outcome!r}, "
        f"all of them censored, further beyond their points and no other row, so that the likelihood has no "
        f"maximum. Leave the column out, or merge its levels."
    )
