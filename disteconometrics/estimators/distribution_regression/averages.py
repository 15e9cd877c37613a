"""Averaged laws of distribution regression with what exponential draws make of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import evaluate, functional_name, listed
from disteconometrics.distributions.step import SLACK, StepLaw
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.inference.crossed_laws import Drawn
from disteconometrics.inference.estimates import Estimates, critical_value
from disteconometrics.inference.law_functionals import OF_QUANTILES
from disteconometrics.inference.quantile_bands import HEAP_MASS
from disteconometrics.inference.simultaneous import spread, sup_critical

__all__ = [
    "DrawnLaw",
    "DrawnLaws",
    "inverted_limits",
    "of_quantiles",
    "refuse_quantiles",
    "spread_of",
]

MOST_KEPT = 1_000_000  # draws times outcomes up to which laws of draws are kept
BEYOND = 4.0  # standard errors of F by which a band of quantiles looks beyond its levels


def of_quantiles(name: Any) -> bool:
    """Whether a functional is of quantiles, whose draws under a law of steps are steps too.

    Examples
    --------
    >>> of_quantiles("q[0.5]"), of_quantiles("mean")
    (True, False)
    """
    return isinstance(name, str) and (name.startswith(("q[", "median", "ratio[")) or name in OF_QUANTILES)


def refuse_quantiles(names: Sequence[Any]) -> Sequence[Any]:
    """Functionals that have standard errors under laws of steps.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> refuse_quantiles(["mean", "gini"])
    ['mean', 'gini']
    """
    for name in filter(of_quantiles, names):
        raise OptionError(
            f"{name}: quantiles of a law of steps have no standard errors; use .quantiles([0.5]), of some "
            "rows .counterfactual(rows).quantiles([0.5])."
        )
    return names


def inverted_limits(F: Array, ends: Array, points: Array, tau: Array, half: Array) -> tuple[Array, Array]:
    """Limits (q,) of quantiles at levels from F (u,) at thresholds with half-widths (u,) of its limits.

    Between two thresholds nothing is known of F: a lower limit is the threshold below, unless no outcome
    lies between.

    Examples
    --------
    >>> y = np.arange(1.0, 6.0)
    >>> inverted_limits(y[:4] / 5, y[:4], y, np.array([0.5]), np.full(4, 0.15))
    (array([2.]), array([4.]))
    """
    upper, lower = np.sort(F + half), np.sort(F - half)
    first = np.searchsorted(upper, tau - SLACK)  # the first threshold at which F may have reached τ
    below = np.concatenate([[-np.inf], ends])[first]
    alone = np.searchsorted(points, ends, side="right") - np.searchsorted(
        points, np.concatenate([[-np.inf], ends[:-1]]), side="right"
    )
    reached = np.concatenate([np.where(alone == 1, ends, np.nan), [np.nan]])[first]
    last = np.searchsorted(lower, tau - SLACK)
    above = np.concatenate([ends, [np.inf]])[last]
    return np.where(np.isnan(reached), below, reached), above


def spread_of(clusters: int | None) -> tuple[float, float]:
    """The factor by which spreads of exponential draws fall short, and degrees of freedom of t.

    Exponential weights of G clusters, of which only ratios count, vary a mean by Σ(ȳ_g − ȳ)²/(G(G + 1)),
    so that draws fall short of Σ(ȳ_g − ȳ)²/(G(G − 1)) by the root of (G + 1)/(G − 1).

    Examples
    --------
    >>> spread_of(3), spread_of(None)
    ((1.4142135623730951, 2.0), (1.0, inf))
    """
    if clusters is None:
        return 1.0, np.inf
    return float(np.sqrt((clusters + 1) / (clusters - 1))), float(clusters - 1)


@dataclass(frozen=True, eq=False)
class DrawnLaw:
    """An averaged law of steps and its draws.

    Parameters
    ----------
    law : StepLaw without rows.
    separated : (T,) thresholds whose fit is separated.
    levels : (B, T) float64 array, F at the thresholds in every draw.
    masses : (B, m) float64 array of the outcomes.
    factor : float by which spreads of draws fall short, in few clusters or by design.
    df : float, degrees of freedom of t.
    """

    law: StepLaw
    separated: Mask
    levels: Array
    masses: Array
    factor: float
    df: float

    @cached_property
    def F(self) -> Array:  # noqa: N802 - the field's name
        """F (T,) at the thresholds."""
        return np.sort(self.law.levels)

    @cached_property
    def error(self) -> Array:
        """Standard errors (T,) of F."""
        return np.asarray(self.levels.std(axis=0, ddof=1) * self.factor)

    def used(self, within: tuple[float, float]) -> Any:
        """Thresholds at which a band for levels within two looks.

        Raises
        ------
        WithheldError
        """
        F, se = self.F, self.error
        near = (F + BEYOND * se >= within[0]) & (F - BEYOND * se <= within[1])
        use = np.flatnonzero(near & (se > 0) & ~self.separated)
        if not len(use):
            raise WithheldError(f"No threshold has F between {within[0]:g} and {within[1]:g}.")
        return use

    def ends_of(self, use: Any) -> Any:
        """The thresholds of a band and one on either side, which is so far out that it bounds every level."""
        free = np.flatnonzero((self.error > 0) & ~self.separated)
        first, last = np.searchsorted(free, use[[0, -1]])
        return np.concatenate([free[max(first - 1, 0) : first], use, free[last + 1 : last + 2]])

    def standardised(self, use: Any) -> Array:
        """Deviations of draws at thresholds, in standard errors (B, u)."""
        return np.asarray((self.levels - self.F)[:, use] / self.error[use] * self.factor)

    def quantile_table(self, tau: Array, level: float, within: tuple[float, float]) -> pd.DataFrame:
        """Quantiles at levels with limits and a uniform band that invert those of F."""
        use = self.used(within)
        every = sup_critical(self.standardised(use), level, self.df)
        low, high = self.inverted(tau, *self.pointwise(level))
        band_low, band_high = self.inverted(tau, self.ends_of(use), every * self.error)
        outside = (tau < within[0] - SLACK) | (tau > within[1] + SLACK)
        return pd.DataFrame(
            {
                "estimate": self.law.quantile(tau),
                "conf_low": low,
                "conf_high": high,
                "band_low": np.where(outside, np.nan, band_low),
                "band_high": np.where(outside, np.nan, band_high),
            },
            index=pd.Index(tau, name="level"),
        )

    def pointwise(self, level: float) -> tuple[Any, Array]:
        """Thresholds at which F is estimated, and half-widths (T,) of its limits at one of them."""
        keep = np.flatnonzero((self.error > 0) & ~self.separated)
        return keep, critical_value(level, self.df) * self.error

    def inverted(self, tau: Array, use: Any, half: Array) -> tuple[Array, Array]:
        """Limits (q,) of quantiles from those of F at the thresholds ``use``."""
        return inverted_limits(self.F[use], self.law.ends[use], self.law.points, tau, half[use])

    def functionals(self, names: Any, level: float) -> Estimates:
        """Functionals with errors from draws.

        Raises
        ------
        OptionError
        """
        asked = refuse_quantiles(listed(names))
        values = np.array([float(evaluate(self.law, f)) for f in asked])
        V = np.atleast_2d(np.cov(self.drawn(asked), rowvar=False)) * self.factor**2
        return Estimates(tuple(functional_name(f) for f in asked), values, V, self.df, level=level)

    def drawn(self, names: Sequence[Any]) -> Array:
        """Functionals in every draw (B, q)."""
        return np.array([[float(evaluate(one, f)) for f in names] for one in self.laws()])

    def laws(self) -> Iterable[Empirical]:
        """The law of every draw, mass inside a gap by the weights of the draw."""
        return self._kept if self.masses.size <= MOST_KEPT else self._laws()

    @cached_property
    def _kept(self) -> list[Empirical]:
        return list(self._laws())

    def _laws(self) -> Iterator[Empirical]:
        points = self.law.points
        cell = np.searchsorted(self.law.ends, points)
        for F, mass in zip(self.levels, self.masses, strict=True):
            gaps = np.diff(F, prepend=0.0, append=1.0)
            inside = np.bincount(cell, mass)
            law = Empirical(points, np.maximum(gaps, 0.0)[cell] * mass / inside[cell])
            yield law.named(self.law.outcome)

    def heaped(self, within: tuple[float, float], level: float) -> bool:
        """Whether an outcome within two levels has much mass beside the half-width of limits of F."""
        points, end = self.law.points, len(self.law.ends) - 1
        cell = np.minimum(np.searchsorted(self.law.ends, points), end)
        half, F = critical_value(level, self.df) * self.error[cell], self.law.cdf(points)
        mass = self.law.pdf(points)
        inside = (within[0] <= F) & (within[1] >= F - mass) & (half > 0)
        return bool((mass > HEAP_MASS * half)[inside].any())


@dataclass(frozen=True, eq=False)
class DrawnLaws:
    """Averaged laws with common draws; see `inference.crossed_laws.CrossedLaws`."""

    laws: tuple[DrawnLaw, ...]
    within: tuple[float, float] = (0.1, 0.9)
    level: float = 0.95

    steps = True

    def errors(self, deviations: Array) -> Array:
        """Standard errors of numbers from interquartile ranges of their draws (B, …), or spreads if larger.

        Differences of quantiles move in steps, so that the middle half of the draws may hardly move.
        """
        return np.asarray(np.maximum(spread(deviations), deviations.std(axis=0, ddof=1)))

    @property
    def df(self) -> float:
        """Degrees of freedom of t."""
        return min(law.df for law in self.laws)

    @cached_property
    def smooth(self) -> bool:
        """Whether no law has heaps between the levels."""
        return not any(law.heaped(self.within, self.level) for law in self.laws)

    def functionals(self, names: Sequence[Any], contrasts: Array) -> tuple[Array, Array]:
        """Values (c, q) and the covariance (r q, r q) of contrasts (r, c), functional by functional.

        Errors of quantiles are NaN where there are heaps.
        """
        values = np.array([[float(evaluate(law.law, f)) for f in names] for law in self.laws])
        moved = np.stack([law.drawn(names) * law.factor for law in self.laws], axis=1)
        flat = np.einsum("rc,bcq->bqr", contrasts, moved).reshape(len(moved), -1)
        V = np.atleast_2d(np.cov(flat, rowvar=False))
        unit = np.sqrt(np.diagonal(V))
        steps = np.repeat([of_quantiles(f) for f in names], len(contrasts))
        own = np.where(steps, self.errors(flat) if self.smooth else np.nan, unit)
        scale = own / np.where(unit > 0, unit, 1.0)
        return values, V * np.outer(scale, scale)

    def cdf(self, y: Array) -> Drawn:
        """Distribution functions at outcomes (m,)."""
        values = self.values(y)
        return self._moved(values, [[one.cdf(y) for one in law.laws()] for law in self.laws])

    def _moved(self, values: Array, drawn: Sequence[Any]) -> Drawn:
        """Numbers (c, m) and deviations of their draws, c times (B, m)."""
        moved = [(d - v) * law.factor for d, v, law in zip(drawn, values, self.laws, strict=True)]
        return Drawn(values, np.stack(moved, axis=1))

    def quantiles(self, levels: Array) -> Drawn:
        """Quantiles at levels (m,)."""
        values = np.array([law.law.quantile(levels) for law in self.laws])
        return self._moved(values, [[one.quantile(levels) for one in law.laws()] for law in self.laws])

    def inverted(self, levels: Array, laws: Sequence[int], level: float, *, uniform: bool) -> Array:
        """Limits (l, 2, m) of quantiles of some laws; uniform ones hold for all laws and levels at once."""
        own = [self.laws[i] for i in laws]
        if not uniform:
            return np.array([law.inverted(levels, *law.pointwise(level)) for law in own])
        within = float(levels.min()), float(levels.max())
        use = [law.used(within) for law in own]
        deviations = [law.standardised(u) for law, u in zip(own, use, strict=True)]
        critical = sup_critical(np.concatenate(deviations, axis=1), level, self.df)
        return np.array(
            [
                law.inverted(levels, law.ends_of(u), critical * law.error)
                for law, u in zip(own, use, strict=True)
            ]
        )

    def values(self, y: Array) -> Array:
        """Distribution functions (c, m) at outcomes (m,)."""
        return np.array([law.law.cdf(y) for law in self.laws])

    def grid(self) -> Array:
        """Outcomes (m,) of all laws."""
        return np.unique(np.concatenate([law.law.points for law in self.laws]))
