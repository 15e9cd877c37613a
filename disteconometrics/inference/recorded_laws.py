"""Laws of what is recorded of each row's outcome, with gradients: of caps, floors and grids.

A record R = t(Y) is a monotone function t of the outcome, so that quantiles and their limits are t of those
of the outcome: at a cap, or on a grid, they do not move and have no standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.recorded import RecordedLaw, Recording
from disteconometrics.errors import WithheldError
from disteconometrics.inference.law_effects import (
    AtOutcome,
    LawsOver,
    RowLaws,
    RowMoments,
    RowValues,
    spreads,
)
from disteconometrics.inference.law_functionals import Functional

__all__ = ["RecordedRowLaws", "read_recorded", "recorded_laws"]

EACH = 256  # rows whose own gradients are taken at once


@dataclass(frozen=True, eq=False)
class RecordedRowLaws(LawsOver):
    """The laws of what is recorded of n rows; see `inference.law_effects.RowLaws`.

    Parameters
    ----------
    own : RowLaws of the outcomes, whose ``below`` gives ∫ (u − origin)^j F(u | x) du below an outcome for
        j = 0, or 0 and 1, ``moments`` of them (m, n), and weighted sums of their gradients (m, v, p).
    how : Recording, the caps and the grid.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> own = res.row_laws({"income": [500.0, 1500.0]})
    >>> told = RecordedRowLaws(own, Recording(high=900.0))
    >>> told.by_row(("q", (0.9,)), np.zeros((2, 1))).values.round(1).tolist()
    [535.7, 900.0]
    """

    own: RowLaws
    how: Recording

    @cached_property
    def law(self) -> RecordedLaw:
        """The law of every row."""
        return self.how.law(self.own.law)

    def told(self, y: Any) -> Array:
        """What is recorded of outcomes."""
        return self.how.told(np.asarray(y, dtype=float))

    def take(self, rows: Any) -> RecordedRowLaws:
        """The laws of some rows."""
        return RecordedRowLaws(self.own.take(rows), self.how)

    def stands(self, y: Array) -> Mask:
        """Where what is recorded of outcomes does not move with them, at a cap or on a grid."""
        return np.asarray((self.told(y) != y) | (self.how.to is not None))

    # ---- at an outcome -------------------------------------------------------------------------------------

    def _inside(self, y: float) -> bool:
        return self.how.low <= y < self.how.high

    def at(self, y: float) -> AtOutcome:
        """Distribution function (n,) at a record, and the density of the outcome there between the caps."""
        if self._inside(y):
            return self.own.at(float(self.how.last(np.array(y))))
        none = np.zeros(self.size)
        return AtOutcome(none + (y >= self.how.high), none)

    def cdf_sums(self, y: float, W: Array) -> Array:
        """Σ w ∂F(y | x)/∂θ (v, p)."""
        found = self.own.cdf_sums(float(self.how.last(np.array(y))), W)
        return found if self._inside(y) else np.zeros_like(found)

    def densities(self, y: Array, w: Array) -> tuple[Array, Array]:
        """Densities f(y | x) (n, Q) and Σ w ∂f/∂θ (Q, p), those of the outcome between the caps."""
        pdf, sums = self.own.densities(y, w)
        inside = (self.how.low <= y) & (y < self.how.high)
        return pdf * inside, sums * inside[:, None]

    def moments(self, W: Array) -> RowMoments:
        """Mean and variance (n,), and sums of gradients of moments about `origin`."""
        if self.how.to is None:
            return self._moments_between(W)
        mean, square = (self.by_row(("other", (of,)), W) for of in (Law.mean, self._square))
        with np.errstate(invalid="ignore"):
            var = square.values - (mean.values - self.origin) ** 2
        return RowMoments(mean.values, var, mean.sums, square.sums)

    @property
    def _capped(self) -> bool:
        return self.how.high < self.support.high

    def _between(self, W: Array, moments: int = 2) -> tuple[Array, Array]:
        """`below` the cap less that below the floor, or below the floor where there is no cap."""
        own: Any = self.own
        none = np.zeros((moments, 1)), np.zeros((moments, 1, 1))
        values, sums = own.below(self.how.low, W, moments) if self.how.low > self.support.low else none
        if not self._capped:
            return values, sums
        upper, of_upper = own.below(self.how.high, W, moments)
        return upper - values, of_upper - sums

    def _moments_between(self, W: Array) -> RowMoments:
        """Those of caps: E g(R) = g(high) − ∫ g'F between them, or E g(Y) + ∫ g'F below a floor."""
        (first, second), (of_first, of_second) = self._between(W)
        with np.errstate(invalid="ignore"):  # where a row has no variance
            if self._capped:
                top = self.how.high - self.origin
                mean, square = top - first, top**2 - 2 * second
                return RowMoments(self.origin + mean, square - mean**2, -of_first, -2 * of_second)
            own = self.own.moments(W)
            away = own.mean - self.origin
            mean, square = away + first, own.var + away**2 + 2 * second
            sums = own.first + of_first, own.second + 2 * of_second
            return RowMoments(self.origin + mean, square - mean**2, *sums)

    def _square(self, law: Law) -> Array:
        return law.expect(lambda y: (y - self.origin) ** 2)

    # ---- functionals of each row ---------------------------------------------------------------------------

    def by_row(self, functional: Functional, W: Array) -> RowValues:
        """A functional of every row's law (n,), and Σ w ∂T/∂θ (v, p) for weights W (n, v)."""
        kind, numbers = functional
        if kind == "q":
            y = self._own_quantiles(numbers[0])
            moving = np.where(self.stands(y), 0.0, 1.0)[:, None]
            return RowValues(self.told(y), self.own.by_row(functional, W * moving).sums)
        if kind == "prob":
            low, high = numbers
            sums = self.cdf_sums(high, W) - self.cdf_sums(low, W)
            return RowValues(self.at(high).cdf - self.at(low).cdf, sums)
        if kind == "mean" and self.how.to is None:
            return self._means(W)
        if kind in ("var", "std") and self.how.to is None:
            return spreads(self, kind, W)
        return self.own.by_row(self._of_outcome(functional), W)

    def _means(self, W: Array) -> RowValues:
        """E[R] (n,), and Σ w ∂E[R]/∂θ (v, p), see `_moments_between`."""
        (below,), (of_below,) = self._between(W, 1)
        if self._capped:
            return RowValues(self.how.high - below, -of_below)
        own = self.own.by_row(("mean", ()), W)
        return RowValues(own.values + below, own.sums + of_below)

    def _each_mean(self) -> tuple[Array, Array]:
        """The mean of every row's law (n,), and its gradient in each row (n, p)."""
        values = self._means(np.zeros((self.size, 1))).values
        known = np.flatnonzero(~np.isnan(values))  # one without a law would leave none an error
        parts = [self.take(known[i : i + EACH]) for i in range(0, max(len(known), 1), EACH)]
        found = np.concatenate([part._means(np.eye(part.size)).sums for part in parts])
        G = np.full((len(values), found.shape[1]), np.nan)
        G[known] = found
        return values, G

    def _own_quantiles(self, tau: float) -> Array:
        """Quantiles (n,) of the outcomes."""
        return self.own.by_row(("q", (tau,)), np.zeros((self.size, 1))).values

    def _of_outcome(self, functional: Functional) -> Functional:
        """A functional of what is recorded as one of the law of the outcome."""
        kind, numbers = functional
        of: Any = numbers[0] if kind == "other" else self._named(kind, numbers)
        return "other", (lambda law: of(self.how.law(law)),)

    @staticmethod
    def _named(kind: str, numbers: tuple[float, ...]) -> Callable[[Law], Array]:
        inside = f"[{','.join(map(repr, numbers))}]" if numbers else ""
        return lambda law: law.functional(f"{kind}{inside}")

    def each(self, functional: Functional) -> tuple[Array, Array]:
        """A functional of every row's law (n,), and its gradient in each row (n, p)."""
        if functional[0] == "q":
            y, G = self.own.each(functional)
            return self.told(y), np.where(self.stands(y)[:, None], 0.0, G)
        if functional[0] == "mean" and self.how.to is None:
            return self._each_mean()
        return self.own.each(self._of_outcome(functional))

    def each_on_link(self, y: Array) -> tuple[Array, Array]:
        """Λ⁻¹(F(y_i | x_i)) (n,) of outcomes, and its gradient (n, p)."""
        return self.own.each_on_link(y)

    def quantile_density(self, tau: float) -> Array:
        """Densities (n,) of rows' laws at their quantiles; infinite where these do not move."""
        y = self._own_quantiles(tau)
        return np.where(self.stands(y), np.inf, self.own.quantile_density(tau))

    def slopes(self, functional: Functional, columns: Indices, D: Array, W: Array) -> RowValues:
        """Slopes (n,) of rows whose columns move by D (n, c), and sums of gradients (v, p)."""
        own: Any = self.own
        if functional[0] != "q":
            found: RowValues = own.slopes(self._of_outcome(functional), columns, D, W)
            return found
        moving = np.where(self.stands(self._own_quantiles(functional[1][0])), 0.0, 1.0)
        found = own.slopes(functional, columns, D, W * moving[:, None])
        return RowValues(found.values * moving, found.sums)


def recorded_laws(laws: RowLaws, how: Recording) -> RecordedRowLaws:
    """The laws of what is recorded of rows whose outcomes may end at a corner.

    Examples
    --------
    >>> import disteconometrics as de
    >>> own = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel()).row_laws({"income": [500.0]})
    >>> told = recorded_laws(recorded_laws(own, Recording(low=0.0)), Recording(low=0.0, high=900.0))
    >>> told.own is own
    True
    """
    return RecordedRowLaws(laws.own if isinstance(laws, RecordedRowLaws) else laws, how)


def read_recorded(functionals: Sequence[Functional], how: Recording, effects: bool) -> list[Functional]:
    """Functionals of what is recorded, a probability with the mass at its lower end in it.

    Raises
    ------
    WithheldError
        If they are not given of it, or ``effects`` of them are not.

    Examples
    --------
    >>> read_recorded([("prob", (0.5, 2.0))], Recording(to=0.5, above=0.5), True)
    [('prob', (0.4999995, 2.0))]
    """
    kinds = {kind for kind, _ in functionals}
    if how.to is not None and not kinds <= {"mean", "q", "difference", "ratio", "prob", "other"}:
        raise WithheldError("Of a rounded outcome means, quantiles and probabilities are given.")
    if how.to is not None and effects and kinds - {"mean", "prob"}:
        raise WithheldError(
            "Quantiles of a rounded outcome lie on the grid and jump along it: effects on them have no "
            "error. Ask for effects on its mean and probabilities, or on the outcome's quantiles."
        )
    return [(kind, (how.before(n[0]), n[1]) if kind == "prob" else n) for kind, n in functionals]
