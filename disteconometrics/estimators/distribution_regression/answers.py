"""What the fits of all thresholds and their draws say of the laws of rows: each row's, and averages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.functionals import evaluate, functional_name, parse
from disteconometrics.distributions.step import StepLaw
from disteconometrics.errors import OptionError
from disteconometrics.estimators.distribution_regression.averages import (
    DrawnLaw,
    DrawnLaws,
    inverted_limits,
    of_quantiles,
    refuse_quantiles,
)
from disteconometrics.estimators.distribution_regression.thresholds import Covariates, Draws, raw_levels
from disteconometrics.inference.estimates import Estimates, critical_value
from disteconometrics.inference.law_functionals import parse_functional
from disteconometrics.likelihoods.logistic import Kernel

__all__ = ["DrawnFits", "Weighing", "effects_of", "functionals_of_groups", "predictions"]

# what a study of limits is of; those of a row's standard deviation covered .74 to .93, of effects .88 to .96
STUDIED = ("mean", "median", "q")


@dataclass(frozen=True, eq=False)
class DrawnFits:
    """Fits of all thresholds with their draws, by which the laws of any rows move.

    Parameters
    ----------
    kernel : Kernel of the fits.
    base : StepLaw without rows, whose thresholds and points all laws have.
    limiting : (T, k) float64 array of coefficients, far out where ``separated`` (T,).
    separated : (T,) bool array.
    drawn : Draws of the others.
    factor : float by which spreads of draws fall short, in few clusters or by design.
    df : float, degrees of freedom of t.
    clusters : int or None.
    heaped : bool, whether quantiles move in steps too large for errors of their averages.
    """

    kernel: Kernel
    base: StepLaw
    limiting: Array
    separated: Mask
    drawn: Draws
    factor: float
    df: float
    clusters: int | None
    heaped: bool

    def law(self, levels: Array, shares: Array | None = None) -> StepLaw:
        """The law with these levels of F at the thresholds, and shares (m,) of the outcomes in a gap."""
        shares = self.base.shares if shares is None else shares
        return StepLaw(levels, self.base.ends, self.base.points, shares).named(self.base.outcome)

    def levels(self, rows: Covariates) -> Array:
        """F of every row at the thresholds (m, T), before it is sorted."""
        return raw_levels(self.kernel, rows, self.limiting)

    def drawn_levels(self, rows: Covariates) -> Iterator[Array]:
        """The same in every draw."""
        for params in self.drawn.params:
            yield raw_levels(self.kernel, rows, params)

    def drawn_laws(self, rows: Covariates) -> Iterator[StepLaw]:
        """The laws of rows in every draw."""
        for levels, masses in zip(self.drawn_levels(rows), self.drawn.masses, strict=True):
            yield self.law(levels, masses)

    def estimates(self, names: Sequence[str], values: Array, drawn: Array, level: float) -> Estimates:
        """Numbers (q,) with the covariance of their draws (B, q)."""
        V = np.atleast_2d(np.cov(drawn, rowvar=False)) * self.factor**2
        return Estimates(tuple(names), values, V, self.df, level=level, clusters=self.clusters)


@dataclass(frozen=True, eq=False)
class Weighing:
    """How rows are averaged: ``groups``, words and shares (n,) of each; ``drawn`` (B, n) weights, or None.

    Without these the rows are all there is.
    """

    groups: Sequence[tuple[str, Array]]
    drawn: Array | None

    @property
    def shares(self) -> Array:
        """Shares (G, n) of the rows in every group."""
        return np.array([shares for _, shares in self.groups])

    def each(self, count: int) -> Iterator[Array]:
        """The shares (G, n) in every one of ``count`` draws."""
        shares = self.shares
        inside = shares > 0
        for b in range(count):
            if self.drawn is None:
                yield shares
            else:
                own = inside * self.drawn[b]
                yield own / own.sum(axis=1, keepdims=True)

    def named(self, names: Sequence[Any]) -> list[str]:
        """Names of functionals in every group, functional by functional."""
        return [f"{functional_name(n)}{words}" for n in names for words, _ in self.groups]


def functionals_of_groups(
    fits: DrawnFits, rows: Covariates, names: Sequence[Any], weighing: Weighing, level: float
) -> Estimates:
    """Functionals of the laws averaged over groups of rows, with one covariance.

    Raises
    ------
    OptionError
        If one is of quantiles.
    """
    refuse_quantiles(names)
    weights = weighing.each(len(fits.drawn.params))
    drawn = np.array([w @ F for w, F in zip(weights, fits.drawn_levels(rows), strict=True)])
    drawn.sort(axis=2)
    laws = tuple(
        DrawnLaw(fits.law(own), fits.separated, drawn[:, g], fits.drawn.masses, fits.factor, fits.df)
        for g, own in enumerate(weighing.shares @ fits.levels(rows))
    )
    values, V = DrawnLaws(laws).functionals(names, np.eye(len(laws)))
    named = tuple(weighing.named(names))
    return Estimates(named, values.T.ravel(), V, fits.df, level=level, clusters=fits.clusters)


def effects_of(
    fits: DrawnFits, ends: tuple[Covariates, Covariates], names: Sequence[Any], weighing: Weighing
) -> Estimates:
    """Average differences of functionals of the laws of rows at two ends, in groups of them.

    Those of quantiles have no errors where outcomes are heaped.

    Raises
    ------
    OptionError
    """
    check_studied(names)

    def difference(low: StepLaw, high: StepLaw, shares: Array) -> Array:
        each = np.array([evaluate(high, f) - evaluate(low, f) for f in names])
        return np.asarray(each @ shares.T).ravel()

    low, high = (fits.law(fits.levels(end)) for end in ends)
    values = difference(low, high, weighing.shares)
    weights, (lows, highs) = weighing.each(len(fits.drawn.params)), map(fits.drawn_laws, ends)
    drawn = np.array([difference(*both) for both in zip(lows, highs, weights, strict=True)])
    if fits.heaped:
        drawn[:, np.repeat([of_quantiles(f) for f in names], len(weighing.groups))] = np.nan
    return fits.estimates(weighing.named(names), values, drawn, 0.95)


def predictions(
    fits: DrawnFits, rows: Covariates, names: Sequence[Any], level: float
) -> tuple[Array, Array, Array, Array]:
    """Functionals (m, q) of the laws of rows with errors and limits; those of quantiles invert limits of F.

    Raises
    ------
    OptionError
    """
    check_studied(names)
    law = fits.law(fits.levels(rows))
    at = {i: float(parse_functional(f)[1][0]) for i, f in enumerate(names) if of_quantiles(f)}
    values = np.stack([evaluate(law, f) for f in names], axis=-1)
    plain = [i for i in range(len(names)) if i not in at]
    total, squares = (np.zeros((*values.shape[:1], len(fits.base.ends))) for _ in range(2))
    moved = np.full((len(fits.drawn.params), len(values), len(plain)), np.nan)
    F = np.sort(law.levels, axis=1)
    for b, one in enumerate(fits.drawn_laws(rows)):
        for j, i in enumerate(plain):
            moved[b, :, j] = evaluate(one, names[i])
        apart = np.sort(one.levels, axis=1) - F
        total += apart
        squares += apart * apart
    se, critical = np.full(values.shape, np.nan), critical_value(level, fits.df)
    se[:, plain] = moved.std(axis=0, ddof=1) * fits.factor
    low, high = values - critical * se, values + critical * se
    count = len(moved)
    half = critical * fits.factor * np.sqrt(np.maximum(squares - total**2 / count, 0.0) / (count - 1))
    for i, tau in at.items():
        for r in np.flatnonzero(~np.isnan(values[:, i])):
            use = np.flatnonzero((half[r] > 0) & ~fits.separated)
            ends = F[r, use], fits.base.ends[use], fits.base.points
            low[r, i], high[r, i] = (e[0] for e in inverted_limits(*ends, np.array([tau]), half[r, use]))
    return values, se, low, high


def check_studied(names: Sequence[Any]) -> None:
    """Refuse functionals of laws of rows whose limits no study stands behind.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_studied(["mean", "q[0.9]"])
    """
    for name in names:
        if not isinstance(name, str) or parse(name)[0] not in STUDIED:
            raise OptionError(
                f"{functional_name(name)!r} of the laws of rows has no limits here, as no study stands "
                "behind them: use 'mean', 'median' or 'q[0.9]', or functionals(…, by=) of groups."
            )
