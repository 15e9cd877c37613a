"""Checks of a flow density by its own law: held-out probability transforms, tests by parametric bootstrap.

Under a penalty likelihood ratios are not χ², so their law is simulated: outcomes are drawn from the fit of
the hypothesis at the sample's covariates, and both models are fitted to each draw in the same way as to the
sample, smoothing included.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.checks import is_whole, whole
from disteconometrics.data.recorded import Records
from disteconometrics.distributions import scores
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.support import Support
from disteconometrics.errors import DataError, OptionError, WithheldError
from disteconometrics.estimators.flow.row_checks import inexact
from disteconometrics.estimators.flow.spline_fit import SplinePlan, fit_flow
from disteconometrics.estimators.flow.spline_flow import SplineFlow
from disteconometrics.estimators.flow.spline_sample import SplineSample
from disteconometrics.inference.estimates import TestResult
from disteconometrics.inference.parallel import progress
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.pictures import Pictured
from disteconometrics.tables import printable
from disteconometrics.threads import on_one_thread

__all__ = ["FlowDiagnosis", "HeldOut", "Hypothesis", "bootstrap_test", "diagnose", "spline_held_out"]


class HeldOut(NamedTuple):
    """Rows that a fit has not seen: transforms (m, d), log scores (m,), and CRPS (m,) of one outcome."""

    pit: Array
    log_score: Array
    crps: Array | None

    @classmethod
    def of(cls, law: Law, y: Array) -> HeldOut:
        """By the law of every row, for outcomes (m,)."""
        return cls(np.asarray(law.cdf(y))[:, None], law.logpdf(y), scores.crps(law, y))


@dataclass(frozen=True, eq=False)
class FlowDiagnosis(Pictured):
    """How a density does on rows it has not seen.

    ``pit`` (n,) are F(y | x) of every row from the fit without its fold, of joint outcomes (n, d) those of
    the noise; ``log_score`` and ``crps`` (n,) are scores in the outcomes' units, without CRPS for joint
    outcomes.  ``ks`` with ``ks_p`` is the Kolmogorov-Smirnov distance of the transforms from uniform (of
    several coordinates the largest, with Bonferroni's p-value), and ``coverage`` the share of rows inside the
    central 90 % region of the noise.  Folds were fitted anew, so the p-value has a meaning, if a conservative
    one.

    Examples
    --------
    >>> import disteconometrics as de
    >>> check = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel()).diagnose(seed=1)
    >>> check.pit.shape, 0 <= check.ks_p <= 1
    ((235,), True)
    >>> check.calibration([0.5]).round(2).loc[0.5].tolist()
    [0.49, 0.03]
    """

    pictures: ClassVar[tuple[str, ...]] = ("pit_histogram",)

    pit: Array
    log_score: Array
    crps: Array | None
    folds: int
    ks: float
    ks_p: float
    coverage: float

    def calibration(self, levels: Sequence[float] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)) -> pd.DataFrame:
        """Share of held-out rows at or below each level's quantile, and its standard error under a right law.

        Parameters
        ----------
        levels : levels between 0 and 1; of joint outcomes, the columns are a share for each coordinate of the
            noise.
        """
        tau = np.atleast_1d(as_floats(levels))
        u = self.pit.reshape(len(self.pit), -1)
        shares = (u[:, None, :] <= tau[:, None]).mean(axis=0)
        names = ["share"] if u.shape[1] == 1 else [f"share_z{j + 1}" for j in range(u.shape[1])]
        table = pd.DataFrame(shares, columns=names, index=pd.Index(tau, name="level"))
        return table.assign(std_error=np.sqrt(tau * (1 - tau) / len(u)))

    def __str__(self) -> str:
        crps = "" if self.crps is None else f", CRPS {self.crps.mean():.4g}"
        region = "interval" if self.pit.ndim == 1 else "region"
        return printable(
            f"Held-out rows ({self.folds}-fold): log score {self.log_score.mean():.4f} per row{crps}, "
            f"PIT Kolmogorov-Smirnov "
            f"{self.ks:.4f}, p {self.ks_p:.3f}; {self.coverage:.1%} inside the central 90 % {region}."
        )

    __repr__ = __str__


def diagnose(
    n: int,
    counts: bool,
    folds: int,
    seed: Any,
    held_out: Callable[[Indices, Indices, int], HeldOut],
) -> FlowDiagnosis:
    """Fit all folds but one in turn and look at the rows of that one.

    Parameters
    ----------
    n : int, rows; counts : whether they have frequency weights.
    folds : int.
    seed : of the division into folds, and of every fit.
    held_out : function of the rows to fit, the rows to look at and a seed.

    Raises
    ------
    OptionError, WithheldError, NeedsData
    """
    if counts:
        raise WithheldError(
            "Frequency weights stand for several rows, which folds would part; repeat the rows first."
        )
    if not is_whole(folds, 2, n):
        raise OptionError(f"folds={folds!r}: give a whole number from 2 to the number of rows.")
    streams = seed_sequence(seed)
    fold = np.random.default_rng(streams).permutation(n) % folds
    seeds = streams.spawn(1)[0].generate_state(folds)
    parts = [
        held_out(np.flatnonzero(fold != k), np.flatnonzero(fold == k), int(seed))
        for k, seed in progress(list(enumerate(seeds)), "folds")
    ]
    back = np.argsort(np.argsort(fold, kind="stable"))
    pit, log_score, crps = (
        None if columns[0] is None else np.concatenate(columns)[back] for columns in zip(*parts, strict=True)
    )
    assert pit is not None
    assert log_score is not None
    d = pit.shape[1]
    worst = max((scores.uniformity(u, held_out=True) for u in pit.T), key=lambda found: found.ks)
    reach = np.square(special.ndtri(pit)).sum(axis=1)
    inside = float(np.mean(reach <= special.chdtri(d, 0.1)))
    return FlowDiagnosis(
        pit[:, 0] if d == 1 else pit,
        log_score,
        crps,
        folds,
        worst.ks,
        min(1.0, d * worst.p_value),
        inside,
    )


@on_one_thread
def spline_held_out(
    sample: SplineSample,
    plan: SplinePlan,
    support: Support,
    train: Indices,
    test: Indices,
    seed: int,
) -> HeldOut:
    """Scores of rows by the spline fitted to others; it draws nothing but transforms of records, by the seed.

    Parameters
    ----------
    sample : Sample, its outcomes in their own units.
    plan : Plan of the fit; support : of the outcome.
    train, test : positions of rows.
    seed : int.
    """
    fitted = fit_flow(sample.take(train).on_line(), plan)
    law = SplineFlow.of(fitted, support).law(fitted.smooth.theta, sample.X[test])
    if sample.records is not None:
        told = sample.records.rows(test)
        score, pit = scores.record_scores(law, told.lower, told.upper, seed=seed)
        return HeldOut(pit[:, None], score, None)
    return HeldOut.of(law, sample.y[test])


class Hypothesis(NamedTuple):
    """A smaller model: the rows with its covariates, the plan of its fit, and what it says in words."""

    sample: SplineSample
    plan: SplinePlan
    words: str

    @classmethod
    def without(cls, sample: SplineSample, plan: SplinePlan, keep: list[int], words: str) -> Hypothesis:
        """The model that lacks covariates other than those in ``keep``."""
        place = {old: new for new, old in enumerate(keep)}
        groups = (tuple(place[j] for j in g if j in place) for g in sample.groups)
        X = np.ascontiguousarray(sample.X[:, keep])
        return cls(replace(sample, X=X, groups=tuple(filter(None, groups))), plan, words)


@on_one_thread
def bootstrap_test(
    sample: SplineSample,
    plan: SplinePlan,
    null: Hypothesis,
    support: Support,
    reps: int,
    seed: Any,
    told: Callable[[Array], Records] | None = None,
) -> TestResult:
    """Likelihood ratio of the flow against a smaller model, with its p-value by parametric bootstrap.

    Parameters
    ----------
    sample, plan : Sample with its outcomes on the line, and the plan of its fit.
    null : Hypothesis.
    support : of the outcome.
    reps : int, draws; seed : of the draws.
    told : function of draws (n,) that gives their records, or None for outcomes that are told exactly.

    Raises
    ------
    OptionError, WithheldError
    """
    whole(reps, "reps", 19)
    if sample.weights is not None and not sample.counts:
        raise WithheldError(
            "Rows with sampling weights have no likelihood of their own, so no likelihood-ratio test."
        )
    small, free = fit_flow(null.sample, null.plan), fit_flow(sample, plan)
    statistic = 2 * (free.loglik - small.loglik)
    law = SplineFlow.of(small, support).law(small.smooth.theta, null.sample.X)
    above, done = 0, 0
    for child in progress(seed_sequence(seed).spawn(reps), "bootstrap test"):
        y = law.sample(1, seed=np.random.default_rng(child))[:, 0]
        records = None if told is None else inexact(told(y), support)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                large, small = (
                    fit_flow(replace(s, y=y, records=records, support=support).on_line(), p)
                    for s, p in ((sample, plan), (null.sample, null.plan))
                )
            except DataError:
                continue
        done += 1
        above += 2 * (large.loglik - small.loglik) >= statistic
    return TestResult(
        f"Likelihood-ratio ({done} bootstrap draws)",
        (null.words,),
        float(statistic),
        (),
        (1 + above) / (1 + done),
        "LR",
    )
