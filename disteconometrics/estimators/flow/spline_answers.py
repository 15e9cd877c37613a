"""Answers of a fitted spline: functionals averaged over rows, of each row, contrasts, with errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.errors import OptionError
from disteconometrics.estimators.flow import spline_inference as inference
from disteconometrics.estimators.flow.row_checks import check_moments
from disteconometrics.estimators.flow.spline_flow import Solution, SplineFlow
from disteconometrics.inference.estimates import Estimates, check_level, critical_value

__all__ = ["Asked", "asked", "averaged", "contrast", "of_each_row"]


class Asked(NamedTuple):
    """Functionals by name, read for a flow whose laws are on the scale that is meant."""

    flow: SplineFlow
    names: list[str]
    functionals: list[inference.Functional]


def _on(
    flow: SplineFlow, theta: Array, outcome: str, on: Any
) -> tuple[SplineFlow, Callable[[SplineLaw], Law]]:
    """The flow of the outcome on another scale, if it is one there, and what brings its laws to it."""

    def scale(law: SplineLaw) -> Law:
        named = law.named(outcome)
        return named if on is None else named.on(on)

    law = scale(flow.any_law(theta))
    if on is None or not isinstance(law, SplineLaw):
        return flow, scale
    return replace(flow, support=law.domain), lambda law, name=law.outcome: law.named(name)


def asked(flow: SplineFlow, theta: Array, outcome: str, names: Any, on: Any) -> Asked:
    """Read functionals of the laws of rows.

    Parameters
    ----------
    flow : Flow.
    theta : (p,) coefficients.
    outcome : str, its name.
    names : one or several functionals.
    on : another scale, as in a law's ``on``; None for the outcome as written.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.FlowDensity("log(foodexp) ~ 1").fit(de.datasets.engel())
    >>> asked(res.flow, res.main.theta, "log(foodexp)", ["mean", "q[0.9]"], "foodexp").functionals
    [('mean', ()), ('q', (0.9,))]
    """
    there, scale = _on(flow, theta, outcome, on)
    given, one = listed(names), there.any_law(theta)
    exact = on is None or there is not flow
    functionals = [inference.functional_on(n, scale, one, exact) for n in given]
    return Asked(there, [functional_name(n) for n in given], functionals)


def averaged(laws: inference.RowLaws, outcome: str, names: Any, on: Any) -> Estimates:
    """Functionals of the law averaged over rows, with standard errors given these rows.

    Parameters
    ----------
    laws : RowLaws; of one row where there are no covariates.
    outcome : str, its name.
    names, on : as in `asked`.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.FlowDensity("log(foodexp) ~ 1").fit(de.datasets.engel())
    >>> laws = inference.RowLaws(res.flow, res.main, np.zeros((1, 0)))
    >>> averaged(laws, "log(foodexp)", "mean", None).values.round(2)
    array([6.35])
    """
    given, flow, V = listed(names), laws.flow, laws.solution.covariance
    there, scale = _on(flow, laws.solution.theta, outcome, on)
    laws = replace(laws, flow=there)
    if (on is None or there is not flow) and all(map(inference.is_analytic, given)):
        parsed = [inference.parse_functional(t) for t in given]
        plain = laws.averages(parsed).estimates(given, V)
        return replace(plain, limits=partial(_limits, laws, parsed, plain))
    if flow.structure.covariates:
        raise OptionError(
            "Given covariates, only mean, std, var, median, q[...] and prob[a,b] of the averaged "
            "law, also of a logged "
            "outcome undone, have standard errors here; for others use de.bootstrap(estimator, "
            "data, statistic=...)."
        )
    return laws.by_difference(scale, given).estimates(given, V)


def _limits(
    laws: inference.RowLaws, functionals: Sequence[inference.Functional], plain: Estimates, level: float
) -> Array:
    """Limits (k, 2): the inverted band for quantiles, estimate ± errors for others."""
    out, critical = plain.interval(level), plain.critical(level)
    for i, (kind, numbers) in enumerate(functionals):
        if kind == "q":
            out[i] = laws.quantile_limits(numbers[0], critical)
    return out


def of_each_row(of: Asked, solution: Solution, X: Array, index: Any, level: float) -> pd.DataFrame:
    """Functionals of the law of each row, with standard errors and limits.

    Parameters
    ----------
    of : Asked.
    solution : Solution.
    X : (m, K) covariates; index : their pandas Index.
    level : float, confidence level.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.FlowDensity("log(foodexp) ~ 1").fit(de.datasets.engel())
    >>> of = asked(res.flow, res.main.theta, "log(foodexp)", "mean", None)
    >>> of_each_row(of, res.main, np.zeros((1, 0)), pd.RangeIndex(1), 0.95)["estimate"].round(2).tolist()
    [6.35]
    """
    critical, laws = critical_value(check_level(level)), inference.RowLaws(of.flow, solution, X)
    parts = []
    for name, functional in zip(of.names, of.functionals, strict=True):
        m = laws.by_row(functional)
        se = m.errors(solution.covariance)
        low, high = m.values - critical * se, m.values + critical * se
        if functional[0] == "q" and len(X):
            tau = functional[1][0]
            limits = [replace(laws, X=x[None]).quantile_limits(tau, critical) for x in X]
            low, high = np.array(limits).T
        rows = pd.MultiIndex.from_arrays([index, [name] * len(X)], names=["row", "functional"])
        columns = {"estimate": m.values, "std_error": se, "conf_low": low, "conf_high": high}
        parts.append(pd.DataFrame(columns).set_axis(rows))
        check_moments([name], m.values[np.isfinite(X).all(axis=1)].sum(keepdims=True))
    order = [i + j * len(X) for i in range(len(X)) for j in range(len(of.names))]
    return pd.concat(parts).iloc[order]


def contrast(
    of: Asked, solution: Solution, ends: Sequence[Array], weights: Array | None, unit: float
) -> Estimates:
    """The average over rows of each functional with covariates at one end less that at the other, per unit.

    Parameters
    ----------
    of : Asked.
    solution : Solution.
    ends : two arrays (n, K) of covariates.
    weights : (n,) or None.
    unit : float, by which differences are divided.

    Warns
    -----
    InfiniteMomentWarning

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
    >>> of, x = asked(res.flow, res.main.theta, "log(foodexp)", "mean", None), np.log([[500.0]])
    >>> contrast(of, res.main, [x, x + np.log(2)], None, 1.0).values.round(1)
    array([0.6])
    """
    a, b = (inference.RowLaws(of.flow, solution, X, weights).average_by_row(of.functionals) for X in ends)
    check_moments(of.names, a.values + b.values)
    with np.errstate(invalid="ignore"):
        moved = inference.Moved(*((after - before) / unit for before, after in zip(a, b, strict=True)))
    return moved.estimates(of.names, solution.covariance)
