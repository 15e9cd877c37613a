"""Checks of a flow density by its own law: held-out probability transforms, and tests by parametric bootstrap.

Under a penalty likelihood ratios are not χ², so their law is simulated: outcomes are drawn from the fit of the hypothesis at the
sample's covariates, and both models are fitted to each draw in the same way as to the sample, smoothing included.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from disteconometrics.errors import DataError, OptionError, WithheldError
from disteconometrics.estimators.flow_fit import Plan, Sample, fit_flow
from disteconometrics.estimators.flow_state import Flow
from disteconometrics.inference.estimates import TestResult
from disteconometrics.inference.resample import seed_sequence

if TYPE_CHECKING:
    from disteconometrics.estimators.flow_density import FlowResults

__all__ = ["FlowDiagnosis", "bootstrap_test", "diagnose"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FlowDiagnosis:
    """How a density does on rows it has not seen.

    ``pit`` (n,) are F(y | x) of every row from the fit without its fold, ``log_score`` their log densities; ``ks`` with
    ``ks_p`` the Kolmogorov-Smirnov distance of the transforms from uniform, and ``coverage`` the share of rows inside the
    central 90 % interval.  Folds were fitted anew, so the p-value has a meaning, if a conservative one.

    Examples
    --------
    >>> import disteconometrics as de
    >>> check = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel()).diagnose(seed=1)
    >>> check.pit.shape, 0 <= check.ks_p <= 1
    ((235,), True)
    """

    pit: Array
    log_score: Array
    folds: int
    ks: float
    ks_p: float
    coverage: float

    def __str__(self) -> str:
        return (
            f"Held-out rows ({self.folds}-fold): log score {self.log_score.mean():.4f} per row, PIT Kolmogorov-Smirnov "
            f"{self.ks:.4f}, p {self.ks_p:.3f}; {self.coverage:.1%} inside the central 90 % interval."
        )

    __repr__ = __str__


def _line_sample(result: FlowResults) -> Sample:
    rows = result._need_rows()
    return replace(rows.sample, y=result.flow.support.to_line(rows.sample.y))


def _plan(result: FlowResults) -> Plan:
    flow: Any = result.model.flow
    if not hasattr(flow, "structure"):
        return Plan(base=result.model.base)
    return Plan(flow.structure, result.model.base, flow.knots, flow.roughness)


def diagnose(result: FlowResults, folds: int, seed: Any) -> FlowDiagnosis:
    """Fit all folds but one in turn and look at the rows of that one.

    Raises
    ------
    OptionError, WithheldError, NeedsData
    """
    s = _line_sample(result)
    n = len(s.y)
    if s.counts:
        raise WithheldError("Frequency weights stand for several rows, which folds would part; repeat the rows first.")
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= n:
        raise OptionError(f"folds={folds!r}: give a whole number from 2 to the number of rows.")
    fold = np.random.default_rng(seed_sequence(seed)).permutation(n) % folds
    pit, log_score = np.empty(n), np.empty(n)
    y = result._need_rows().sample.y
    for k in range(folds):
        fitted = fit_flow(s.take(np.flatnonzero(fold != k)), _plan(result))
        held = np.flatnonzero(fold == k)
        law = Flow.of(fitted, result.flow.support).law(fitted.smooth.theta, s.X[held])
        pit[held], log_score[held] = law.cdf(y[held]), law.logpdf(y[held])
    ordered = np.sort(pit)
    steps = np.arange(n + 1) / n
    ks = float(max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1])))
    inside = float(np.mean((pit >= 0.05) & (pit <= 0.95)))
    return FlowDiagnosis(pit, log_score, folds, ks, float(special.kolmogorov(np.sqrt(n) * ks)), inside)


def bootstrap_test(result: FlowResults, hypothesis: str, variable: str | None, reps: int, seed: Any) -> TestResult:
    """Likelihood ratio of the flow against a hypothesis, with its p-value by parametric bootstrap.

    ``hypothesis`` is "linear normal" (a normal linear model suffices) or "no effect" (``variable`` does not enter).

    Raises
    ------
    OptionError, WithheldError, NeedsData
    """
    if isinstance(reps, bool) or not isinstance(reps, int) or reps < 19:
        raise OptionError(f"reps={reps!r}: give a whole number of at least 19.")
    if result.model.weight_type == "sampling":
        raise WithheldError("Rows with sampling weights have no likelihood of their own, so no likelihood-ratio test.")
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
                ratio = 2 * (fit_flow(replace(s, y=y), plan).loglik - fit_flow(replace(small, y=y), null_plan).loglik)
            except DataError:
                continue
        done += 1
        above += ratio >= statistic
    return TestResult(f"Likelihood-ratio ({done} bootstrap draws)", (told,), float(statistic), (), (1 + above) / (1 + done), "LR")


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
