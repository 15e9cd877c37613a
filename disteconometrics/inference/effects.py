"""Average predicted probabilities over rows, and along a variable, with errors and limits inside [0, 1]."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, or_ones
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.table import Column, Table, list_names
from disteconometrics.errors import DataError, MissingColumnError, OptionError
from disteconometrics.likelihoods.logistic import Kernel

__all__ = ["AverageProbability", "ProbabilityCurve", "average_probability", "probability_curve"]

GRID = 60  # values of a variable that moves continuously


class AverageProbability(NamedTuple):
    """An average probability, its standard error and limits, all in [0, 1] or NaN where there is none."""

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float


def average_probability(
    kernel: Kernel, eta: Array, X: Array, V: Array, *, critical: float, weights: Array | None = None
) -> AverageProbability:
    """Average P = Σ w·p(η)/Σ w with its delta-method error and limits that are symmetric for its log-odds.

    The standard error is √(g'Vg), g = Σ w·p'(η)·x/Σ w, the limits Λ(logit P ± c·se/(P(1 − P))).  Rows with
    an infinite index (separation) count with their limit, 0 or 1; error and limits are those of the average
    over the other rows, and are missing if there are none.

    Parameters
    ----------
    kernel : Kernel, such as `LOGISTIC`.
    eta : (m,) float64 array, the index of the rows; NaN gives NaN.
    X : (m, k) float64 array, their covariates.
    V : (k, k) float64 array, covariance of the coefficients.
    critical : float, c, such as 1.96.
    weights : (m,) float64 array, or None for one each.

    Returns
    -------
    AverageProbability

    Raises
    ------
    Nothing.

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> half = average_probability(LOGISTIC, np.zeros(2), np.ones((2, 1)), np.array([[0.16]]), critical=1.96)
    >>> np.round(half, 3).tolist()
    [0.5, 0.1, 0.313, 0.687]
    """
    if np.isnan(eta).any():
        return AverageProbability(np.nan, np.nan, np.nan, np.nan)
    w = or_ones(weights, len(eta))
    finite, total = np.isfinite(eta), w.sum()
    ones = float(w[eta == np.inf].sum() / total)
    if not finite.any():
        return AverageProbability(ones, np.nan, np.nan, np.nan)
    eta, X, w = eta[finite], X[finite], w[finite]
    inside = float(w.sum() / total)
    p = float((w * kernel.probability(eta)).sum() / w.sum())
    gradient = (w * kernel.density(eta)) @ X / w.sum()
    se = float(np.sqrt(max(gradient @ V @ gradient, 0.0)))
    low, high = _log_odds_limits(p, critical * se)
    return AverageProbability(ones + inside * p, inside * se, ones + inside * low, ones + inside * high)


def _log_odds_limits(p: float, half: float) -> tuple[float, float]:
    """Limits of a probability, symmetric for its log-odds; ``half`` is half the width in probabilities."""
    if half == 0:
        return p, p
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.exp(np.divide(half, p * (1 - p)))
        return float(p / (p + (1 - p) * factor)), float(p / (p + (1 - p) / factor))


# ---- along a variable --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ProbabilityCurve:
    """Average probabilities at the values of a variable, and where the rows lie.

    ``table`` has estimate, std_error, conf_low and conf_high by value of the variable; its attrs say how many
    rows are averaged (``rows``) of how many (``of``).  ``event`` names the outcome that counts as 1,
    ``discrete`` says whether the values are levels.  ``column`` (n,) and ``weights`` (n,), None for one each,
    are those of all rows used.

    Examples
    --------
    >>> import disteconometrics as de
    >>> curve = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector()).probability_curve("PSI")
    >>> curve.event, curve.discrete, curve.table["estimate"].round(3).to_dict()
    ('GRADE = 1', True, {0: 0.181, 1: 0.545})
    """

    table: pd.DataFrame
    event: str
    discrete: bool
    column: Column
    weights: Array | None


def probability_curve(
    table: Table,
    rows: Scenario,
    variable: str,
    *,
    at: Any,
    most: int,
    kernel: Kernel,
    index: Callable[[Array, Array | None], Array],
    coordinates: Callable[[Array], tuple[Array, Array]],
    critical: float,
) -> ProbabilityCurve:
    """Average probabilities over rows that are all given the same value of a variable, at each of its values.

    The formula is evaluated again at every value, so squares, interactions, splines, factors and lags move
    along.

    Parameters
    ----------
    table : Table that the rows are in.
    rows : Scenario, which of them are used, with their weights.
    variable : str, a column of the right side.
    at : values (m,) of the variable; None takes 60 from the 1st to the 99th percentile, or every level.
    most : int, at most so many rows are averaged: beyond, an evenly spaced subset.
    kernel : Kernel, such as `LOGISTIC`.
    index : function of a design (r, k) and offset (r,) or None that gives the index (r,).
    coordinates : function of covariates (r, k) that gives what goes with the covariance, and that covariance.
    critical : float, half the width of an interval in standard errors, such as 1.96.

    Returns
    -------
    ProbabilityCurve

    Raises
    ------
    MissingColumnError
        If the variable is not in the formula.
    OptionError, LevelError, DataError
        If ``at`` holds a value that the formula cannot be evaluated at.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector())
    >>> curve = res.probability_curve("GPA", at=[2.5, 3.5])
    >>> curve.discrete, curve.table["estimate"].round(3).tolist()
    (False, [0.084, 0.52])
    """
    if variable not in rows.spec.variables:
        raise _not_in_formula(rows.spec, variable)
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or most < 1:
        raise OptionError(f"rows={most!r}: give a whole number of at least 1.")
    used = np.arange(rows.size) if rows.kept is None else rows.kept
    column, weights = rows.columns[variable].take(used), rows.weights
    values, discrete = _values(rows.spec, column, weights, at)
    chosen = _evenly(rows.size, int(most))
    averaged = None if weights is None else weights[chosen]
    frame, pick = _frame(table, rows.spec, used[chosen])
    points = []
    for value in values:
        frame[variable] = value
        coded = rows.spec.matrix(frame)
        X, eta = coded.X[pick], index(coded.X, coded.offset)[pick]
        _check_complete(X, variable, value)
        points.append(average_probability(kernel, eta, *coordinates(X), critical=critical, weights=averaged))
    found = pd.DataFrame(points, index=pd.Index(values, name=variable))
    found.attrs = {"rows": len(chosen), "of": rows.size}
    event = f"{rows.spec.outcome.name} = {rows.spec.outcome.success}"
    return ProbabilityCurve(found, event, discrete, column, weights)


def _not_in_formula(spec: DesignSpec, variable: Any) -> MissingColumnError:
    close = get_close_matches(str(variable), spec.variables, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = (
        f"whose variables are {list_names(spec.variables)}" if spec.variables else "which has no variables"
    )
    return MissingColumnError(
        f"{variable!r} is not a variable of the formula {spec.formula!r}, {known}.{hint}"
    )


def _evenly(count: int, most: int) -> Indices:
    """At most so many positions among ``count``, evenly spaced."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.intp)


def _frame(table: Table, spec: DesignSpec, rows: Indices) -> tuple[pd.DataFrame, Any]:
    """The columns to code in some rows of a table, and where these rows stand in them."""
    # a lag reads other rows, so all are coded and those asked for picked afterwards
    read, pick = (np.arange(len(table)), rows) if spec.parsed.lags else (rows, slice(None))
    names = (*spec.variables, *([spec.offset] if spec.offset else []))
    columns = {name: pd.Series(table.raw(name, "the formula")) for name in names}
    return pd.DataFrame({n: c.iloc[read].reset_index(drop=True) for n, c in columns.items()}), pick


def _check_complete(X: Array, variable: str, value: Any) -> None:
    incomplete = int(np.isnan(X).any(axis=1).sum())
    if incomplete:
        raise DataError(
            f"At {variable} = {value} a term of the formula is missing (NaN) in {incomplete} rows; choose "
            f"other values, at=[…]."
        )


def _values(spec: DesignSpec, column: Column, weights: Array | None, at: Any) -> tuple[list[Any], bool]:
    """Values of the variable, and whether they are levels."""
    levels = _levels(spec, column)
    if at is not None:
        return _given(at, column.name, levels), levels is not None
    if levels is not None:
        return levels, True
    low, high = np.quantile(column.values, [0.01, 0.99], weights=weights, method="inverted_cdf")
    return np.linspace(low, high, GRID if high > low else 1).tolist(), False


def _given(at: Any, variable: str, levels: list[Any] | None) -> list[Any]:
    """The values of ``at``: levels as they are, numbers in ascending order."""
    values = _listed(at)
    what = "numbers" if levels is None else f"levels ({list_names(levels)})"
    refused = OptionError(f"at={at!r}: give one or several {what} of {variable!r}, none of them missing.")
    if not values or any(np.ndim(v) or pd.isna(v) for v in values):
        raise refused
    if levels is not None:
        return values
    try:
        return sorted(map(float, values))
    except (TypeError, ValueError):
        raise refused from None


def _listed(at: Any) -> list[Any]:
    if isinstance(at, str) or np.ndim(at) == 0:
        return [at]
    return [v.item() if isinstance(v, np.generic) else v for v in at]


def _levels(spec: DesignSpec, column: Column) -> list[Any] | None:
    """The values that a categorical variable can take, None for one that varies continuously."""
    kind, levels = spec.columns[column.name]
    if kind == "level":
        return list(levels)
    if kind == "bool":
        return [False, True]
    for i, factor in enumerate(spec.parsed.factors):
        call = factor.node
        read = call.args[0] if isinstance(call, ast.Call) and call.args else None
        if i in spec.levels and read is not None and ast.unparse(read) == column.name:
            return list(spec.levels[i])
    return [0, 1] if np.isin(column.values, (0.0, 1.0)).all() else None
