"""What a fitted density says of itself so that simulated data can be fitted in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.data.formula import variables_of
from disteconometrics.errors import OptionError
from disteconometrics.inference.covariance import HAC, Cluster
from disteconometrics.simulate.self_check import Refitting

if TYPE_CHECKING:
    from disteconometrics.estimators.flow_density import FlowResults

__all__ = ["refitting_flow"]


def refitting_flow(result: FlowResults) -> Refitting:
    """Collect the columns of a result's rows, its fitted law and the arguments that made it.

    Raises
    ------
    OptionError
        If its rows cannot be made again: frequency weights, lags.

    Examples
    --------
    >>> import disteconometrics as de
    >>> of = refitting_flow(de.FlowDensity("log(foodexp) ~ income").fit(de.datasets.engel()))
    >>> of.outcome, sorted(of.table)
    ('log(foodexp)', ['income', 'log(foodexp)'])
    """
    rows, model, spec = result._need_rows(), result.model, result.spec
    if model.weight_type == "frequency":
        raise OptionError("Frequency weights stand for several rows, each with an outcome of its own: repeat the rows first.")
    if "lag(" in spec.formula:
        raise OptionError("A lag in the formula needs the order and the dropped rows of the data; add the lag as a column first.")
    kind: Any = result.kind
    extra = kind.columns if isinstance(kind, Cluster) else (kind.time,) if isinstance(kind, HAC) else ()
    names = [n for n in (*spec.variables, model.weights, *extra) if n is not None]
    table = {n: _values(rows.design, n) for n in dict.fromkeys(names)}
    left = spec.parsed.left
    outcome = variables_of(left.node)[0] if left.is_column else spec.outcome.name
    if not left.is_column:  # the left side is a transform: its value becomes a column of that name
        model = replace_formula(model, f"`{outcome}` ~ {spec.formula.split('~', 1)[1]}")
    only = "" if not spec.variables else "the functionals are averages over the covariates of the sample's rows"
    return Refitting(
        estimator=model,
        options={"cov": kind},
        table={**table, outcome: rows.sample.y},
        outcome=outcome,
        law=result.flow.law(result.main.theta, rows.sample.X),
        labels=None,
        truth=dict(zip(result.estimates.names, map(float, result.estimates.values), strict=True)),
        clusters=extra if isinstance(kind, Cluster) else (),
        fitted_only="HAC needs the rows in their order" if isinstance(kind, HAC) else only,
    )


def replace_formula(model: Any, formula: str) -> Any:
    """The same specification with another formula."""
    return type(model)(
        formula, flow=model.flow, base=model.base, support=model.support, weights=model.weights, weight_type=model.weight_type
    )


def _values(design: Any, name: str) -> Any:
    """A column among the rows used, as it was stored."""
    series = design.column(name, "the formula").reset_index(drop=True)
    return series.to_numpy() if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub" else series
