"""The rows of a distribution regression with the fits of all thresholds, and what a file keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.step import StepLaw
from disteconometrics.errors import OptionError, SeparationWarning, WithheldError, warn_user
from disteconometrics.estimators.binary.fit import equation_of
from disteconometrics.estimators.distribution_regression.thresholds import (
    Covariates,
    Draws,
    ThresholdFits,
    average_levels,
    blocks_above,
    draw_fits,
    falling_share,
    levels_of_sample,
    row_weights,
)
from disteconometrics.estimators.results import FitFacts
from disteconometrics.estimators.rows import FitRows
from disteconometrics.fields import AnyFloat, Count
from disteconometrics.inference.covariance import (
    HAC,
    Cluster,
    Covariance,
    CovarianceKind,
    covariance,
    resolve_kind,
)
from disteconometrics.inference.influence import estimation_rows, influence_covariance
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.inference.resample import ResamplingPlan, sequence_of
from disteconometrics.inference.survey import Survey, design_weights
from disteconometrics.likelihoods.gaussian import PROBIT
from disteconometrics.likelihoods.gumbel import CLOGLOG
from disteconometrics.likelihoods.logistic import LOGISTIC, Kernel
from disteconometrics.tables import first_of

__all__ = [
    "KERNELS",
    "DistributionFacts",
    "DistributionRows",
    "FitGaps",
    "as_computed",
    "drawing_plan",
    "kind_of",
    "separated_words",
    "shown_thresholds",
    "warn_separated",
]

KERNELS: dict[str, Kernel] = {"logit": LOGISTIC, "probit": PROBIT, "cloglog": CLOGLOG}
SHOWN = (0.1, 0.25, 0.5, 0.75, 0.9)  # levels of the thresholds in the table of coefficients


@dataclass(frozen=True, kw_only=True)
class DistributionFacts(FitFacts):
    """Numbers of a fit that need no rows: ``distinct`` outcomes."""

    distinct: Count


@dataclass(frozen=True)
class FitGaps:
    """How far fitted laws are from laws and from the sample.

    ``crossings``, the share of rows and neighbouring thresholds at which F fell before it was sorted;
    ``fit_gap``, the largest difference of the averaged F and the sample's at the thresholds, and
    ``mean_gap``, that of the means.
    """

    crossings: AnyFloat
    fit_gap: AnyFloat
    mean_gap: AnyFloat


@dataclass(frozen=True, eq=False, kw_only=True)
class DistributionRows(FitRows):
    """The rows behind a result with the fits of all thresholds."""

    kernel: Kernel
    fits: ThresholdFits

    def equation(self, t: int) -> MEstimate:
        """The estimating equation of threshold ``t``, which is not separated."""
        m, white = self.fits.maxima.get(t), None
        if m is None:
            m, white = self.fits.together(self.kernel, t)
        blocks = blocks_above(self.blocks(), self.fits.thresholds[t])
        return equation_of(self.kernel, self, m, blocks, self.observations, slice(None), white)

    def covariance(self, kind: CovarianceKind, shown: Sequence[int]) -> Covariance:
        """Covariance (r k, r k) of the coefficients at r thresholds, with what these share."""
        equations = [self.equation(t) for t in shown]
        alone = covariance(equations[0], kind, self.sampling)
        one = np.eye(len(self.names))
        rows = np.hstack([estimation_rows(e, one, kind, self.sampling) for e in equations])
        params = np.concatenate([e.params for e in equations])
        V = influence_covariance(params, None, rows, kind, self.sampling)
        return replace(alone, matrix=V, basis=None, inner=None)

    def averaged_levels(self, own: Array) -> Array:
        """F averaged over the rows (T,), before it is sorted.

        It is the sample's ``own`` (T,) where the score of a constant is zero, at the maximum of a logit.
        """
        if self.kernel == LOGISTIC and self.fits.solved and self.fits.has_constant:
            return own
        return average_levels(self.kernel, self.covariates, self.fits.params, self.weights)

    def gaps(self, points: Array, shares: Array) -> FitGaps:
        """How far the fits are from the sample, whose outcomes (m,) have masses (m,)."""
        fits = self.fits
        levels = average_levels(self.kernel, self.covariates, fits.params, self.weights)
        own = levels_of_sample(points, shares, fits.thresholds)
        law = StepLaw(levels, fits.thresholds, points, shares)
        return FitGaps(
            crossings=falling_share(self.kernel, self.covariates, fits.params),
            fit_gap=float(np.abs(np.sort(levels) - own).max()),
            mean_gap=float(law.mean() - points @ shares / shares.sum()),
        )

    def errors(self, t: int, kind: CovarianceKind) -> Array:
        """Standard errors (k,) of the coefficients at threshold ``t``."""
        rows = estimation_rows(self.equation(t), np.eye(len(self.names)), kind, self.sampling)
        V = influence_covariance(self.fits.params[t], None, rows, kind, self.sampling)
        return np.asarray(np.sqrt(np.diagonal(V)))

    def draw(self, kind: CovarianceKind, count: int, seed: Any) -> Draws:
        """Draws of all fits under random weights of the rows.

        Raises
        ------
        WithheldError
            If clusters are of two columns, or draws failed.
        """
        drawn = self.drawn(self.draw_weights(kind, count, seed))
        return drawn.kept(drawn.good)

    def draw_weights(self, kind: CovarianceKind, count: int, seed: Any) -> Array:
        """The random weights (count, n) of the rows in these draws."""
        plan = drawing_plan(kind, self.codes, self.size, self.sampling.copies, sequence_of(seed))
        return row_weights(plan, self.scaled_weights, count)

    def drawn(self, W: Array, others: Sequence[tuple[Covariates, Array]] = ()) -> Draws:
        """All fits under weights W (B, n), averaged over these rows and others."""
        return draw_fits(self.kernel, self.covariates, self.y, self.fits, W, others)

    @property
    def covariates(self) -> Covariates:
        """Design and offset of the rows."""
        return Covariates(self.X, self.offset)


def drawing_plan(
    kind: CovarianceKind,
    codes: Callable[[Any], Any],
    size: int,
    copies: Array | None,
    seed: np.random.SeedSequence,
) -> ResamplingPlan:
    """How weights of rows are drawn: exponential, of whole clusters, or as a survey's design has them.

    Parameters
    ----------
    kind : the covariance that draws go by.
    codes : columns → (codes (n,) of clusters, their number); of a `Survey` its design.
    size : int, n rows.
    copies : (n,) float64 array of frequency weights, or None.
    seed : SeedSequence.

    Raises
    ------
    WithheldError
        If clusters are of two columns, or a survey is of replicate weights.
    """
    if isinstance(kind, Survey):
        if kind.replicates is not None:
            raise WithheldError(
                "Bands, tests and averaged laws take draws, which are of strata and units: name these "
                "by cov=de.Survey(strata=, psu=). Coefficients have the replicates' errors."
            )
        units = codes(kind)
        weigh = partial(design_weights, units=units, survey=kind)
        return ResamplingPlan(seed, "design", len(units.stratum), size, units.codes, weigh=weigh)
    if not isinstance(kind, Cluster):
        return ResamplingPlan(seed, "exponential", size, size, None, copies)
    if len(kind.columns) > 1:
        raise WithheldError(
            "Draws take clusters of one column as blocks; bands and tests under two-way clusters are "
            "not known here: use cov=de.Cluster('column')."
        )
    own, count = codes(kind.columns)
    return ResamplingPlan(seed, "exponential", count, size, own)


def kind_of(cov: CovarianceKind | None, weight_type: str | None) -> CovarianceKind:
    """The covariance that was asked for, None for HC1.

    Raises
    ------
    OptionError
        If it is none that draws of weights have too.
    """
    kind = resolve_kind("HC1" if cov is None else cov, weight_type, surveys=True)
    if isinstance(kind, HAC) or kind in ("nonrobust", "opg"):
        raise OptionError(
            f"cov={cov!r}: thresholds share the rows, whose scores make their covariance; use 'HC0' to "
            "'HC3', de.Cluster('column') or de.Survey(…)."
        )
    return kind


def as_computed(rows: DistributionRows, kind: CovarianceKind, shown: Sequence[int]) -> Covariance | None:
    """The covariance where clusters or a design have to be read and told of now, None where it can wait."""
    return None if kind in ("HC0", "HC1") else rows.covariance(kind, shown)


def shown_thresholds(fits: ThresholdFits, F: Array) -> tuple[int, ...]:
    """Thresholds of the table of coefficients: those nearest to a few levels, or all where they are few."""
    free = np.flatnonzero(~fits.separated)
    if len(free) <= len(SHOWN):
        return tuple(map(int, free))
    nearest = [int(free[np.abs(F[free] - level).argmin()]) for level in SHOWN]
    return tuple(sorted(set(nearest)))


def warn_separated(fits: ThresholdFits, outcome: str) -> None:
    """Name the separated thresholds, if there are any.

    Warns
    -----
    SeparationWarning
    """
    if fits.separated.any():
        words = separated_words(fits.thresholds[fits.separated], outcome)
        hint = "leave these thresholds out, or columns with few rows"
        warn_user(SeparationWarning(words, column=outcome, hint=hint))


def separated_words(at: Array, outcome: str) -> str:
    """What is said of separated thresholds (s,).

    Examples
    --------
    >>> separated_words(np.array([1.5]), "y")[:52]
    '1 separated: 1{y > c} is predicted perfectly in some'
    """
    named = first_of([f"{c:.6g}" for c in at], most=8)
    return (
        f"{len(at)} separated: 1{{{outcome} > c}} is predicted perfectly in some rows at {named}; "
        "these keep their limiting F in the law and have no coefficients."
    )
