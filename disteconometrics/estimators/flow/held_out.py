"""Checks of a flow density by its own law: held-out probability transforms, and tests by parametric bootstrap.

Under a penalty likelihood ratios are not χ², so their law is simulated: outcomes are drawn from the fit of
the hypothesis at the sample's covariates, and both models are fitted to each draw in the same way as to the
sample, smoothing included.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from disteconometrics.distributions import scores
from disteconometrics.distributions.law import Law
from disteconometrics.errors import DataError, OptionError, WithheldError
from disteconometrics.estimators.flow.spline_fit import Plan, Sample, fit_flow
from disteconometrics.estimators.flow.spline_flow import Flow
from disteconometrics.inference.estimates import TestResult
from disteconometrics.inference.resample import seed_sequence

if TYPE_CHECKING:
    from disteconometrics.estimators.flow.flow_density import FlowResults

__all__ = ["FlowDiagnosis", "HeldOut", "bootstrap_test", "diagnose", "held_out"]

Array = NDArray[np.float64]


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
class FlowDiagnosis:
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
        tau = np.atleast_1d(np.asarray(levels, dtype=np.float64))
        u = self.pit.reshape(len(self.pit), -1)
        shares = (u[:, None, :] <= tau[:, None]).mean(axis=0)
        names = ["share"] if u.shape[1] == 1 else [f"share_z{j + 1}" for j in range(u.shape[1])]
        table = pd.DataFrame(shares, columns=names, index=pd.Index(tau, name="level"))
        return table.assign(std_error=np.sqrt(tau * (1 - tau) / len(u)))

    def __str__(self) -> str:
        crps = "" if self.crps is None else f", CRPS {self.crps.mean():.4g}"
        return (
            f"Held-out rows ({self.folds}-fold): log score {self.log_score.mean():.4f} per row{crps}, "
            f"PIT Kolmogorov-Smirnov "
            f"{self.ks:.4f}, p {self.ks_p:.3f}; {self.coverage:.1%} inside the central 90 % {self._region}."
        )

    @property
    def _region(self) -> str:
        return "interval" if self.pit.ndim == 1 else "region"

    __repr__ = __str__


def _line_sample(result: FlowResults) -> Sample:
    rows = result._need_rows()
    return replace(rows.sample, y=result.flow.support.to_line(rows.sample.y))


def _plan(result: FlowResults) -> Plan:
    flow: Any = result.model.flow
    if not hasattr(flow, "structure"):
        return Plan(base=result.model.base)
    return Plan(flow.structure, result.model.base, flow.knots, flow.roughness)


def diagnose(
    n: int,
    counts: bool,
    folds: int,
    seed: Any,
    held_out: Callable[[NDArray[np.intp], NDArray[np.intp], int], HeldOut],
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
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= n:
        raise OptionError(f"folds={folds!r}: give a whole number from 2 to the number of rows.")
    streams = seed_sequence(seed)
    fold = np.random.default_rng(streams).permutation(n) % folds
    order = np.argsort(fold, kind="stable")
    seeds = streams.spawn(1)[0].generate_state(folds)
    parts = [
        held_out(np.flatnonzero(fold != k), np.flatnonzero(fold == k), int(seeds[k])) for k in range(folds)
    ]
    back = np.argsort(order)
    pit, log_score = (np.concatenate([p[j] for p in parts])[back] for j in (0, 1))
    crps = None if parts[0].crps is None else np.concatenate([p.crps for p in parts])[back]
    d = pit.shape[1]
    worst = max((scores.uniformity(u, held_out=True) for u in pit.T), key=lambda found: found.ks)
    reach = np.square(special.ndtri(pit)).sum(axis=1)
    inside = float(np.mean(reach <= special.chdtri(d, 0.1)))
    return FlowDiagnosis(
        pit[:, 0] if d == 1 else pit, log_score, crps, folds, worst.ks, min(1.0, d * worst.p_value), inside
    )


def held_out(result: FlowResults, train: NDArray[np.intp], test: NDArray[np.intp], seed: int) -> HeldOut:
    """Scores of rows by the spline fitted to others; it draws nothing, so the seed has no effect."""
    s = _line_sample(result)
    fitted = fit_flow(s.take(train), _plan(result))
    law = Flow.of(fitted, result.flow.support).law(fitted.smooth.theta, s.X[test])
    return HeldOut.of(law, result._need_rows().sample.y[test])


def bootstrap_test(
    result: FlowResults, hypothesis: str, variable: str | None, reps: int, seed: Any
) -> TestResult:
    """Likelihood ratio of the flow against a hypothesis, with its p-value by parametric bootstrap.

    ``hypothesis`` is "linear normal" (a normal linear model suffices) or "no effect" (``variable`` does not
    enter).

    Raises
    ------
    OptionError, WithheldError, NeedsData
    """
    if isinstance(reps, bool) or not isinstance(reps, int) or reps < 19:
        raise OptionError(f"reps={reps!r}: give a whole number of at least 19.")
    if result.model.weight_type == "sampling":
        raise WithheldError(
            "Rows with sampling weights have no likelihood of their own, so no likelihood-ratio test."
        )
    s, plan = _line_sample(result), _plan(result)
    if hypothesis == "linear normal":
        small, null_plan, told = s, Plan("linear", "normal"), "a normal linear model"
    else:
        keep = _without(result, variable)
        groups = _renumbered(s.groups, keep)
        small, null_plan = replace(s, X=np.ascontiguousarray(s.X[:, keep]), groups=groups), plan
        told = f"no effect of {variable}"
    null, free = fit_flow(small, null_plan), fit_flow(s, plan)
    statistic = 2 * (free.loglik - null.loglik)
    law = Flow.of(null, result.flow.support).law(null.smooth.theta, small.X)
    above, done = 0, 0
    for child in seed_sequence(seed).spawn(reps):
        y = result.flow.support.to_line(law.sample(1, seed=np.random.default_rng(child))[:, 0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ratio = 2 * (
                    fit_flow(replace(s, y=y), plan).loglik - fit_flow(replace(small, y=y), null_plan).loglik
                )
            except DataError:
                continue
        done += 1
        above += ratio >= statistic
    return TestResult(
        f"Likelihood-ratio ({done} bootstrap draws)",
        (told,),
        float(statistic),
        (),
        (1 + above) / (1 + done),
        "LR",
    )


def _without(result: FlowResults, variable: str | None) -> list[int]:
    """Positions of the covariate columns that do not read a variable."""
    from disteconometrics.data.scenario import Scenario

    name = Scenario.of_design(result._need_rows().design).check_variable(variable)
    part = Scenario.of_design(result._need_rows().design).part(0, 1, {})
    value = result._need_rows().design.column(name, "the formula").iloc[0]
    moved, _ = part.replaced(name, value.item() if isinstance(value, np.generic) else value)
    columns = [n for n in result.spec.names if n != "Intercept"]
    gone = {result.spec.names[j] for j in moved}
    return [j for j, n in enumerate(columns) if n not in gone]


def _renumbered(groups: tuple[tuple[int, ...], ...], keep: list[int]) -> tuple[tuple[int, ...], ...]:
    place = {old: new for new, old in enumerate(keep)}
    found = tuple(tuple(place[j] for j in g if j in place) for g in groups)
    return tuple(g for g in found if g)
