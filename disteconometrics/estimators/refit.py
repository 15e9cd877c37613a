"""What fitted models say of themselves so that simulated data can be fitted in the same way: columns, law, arguments."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from disteconometrics.data.formula import parse_formula
from disteconometrics.errors import OptionError
from disteconometrics.inference.covariance import HAC, Cluster
from disteconometrics.simulate.self_check import Refitting

__all__ = ["Again", "columns_again", "refitting_normal"]


class Again(NamedTuple):
    """Columns of the rows used, without the outcome; its name and a formula for it; clusters; why rows cannot be drawn, if so."""

    table: dict[str, Any]
    outcome: str
    formula: str
    clusters: tuple[str, ...]
    fitted_only: str


def columns_again(model: Any, design: Any, kind: Any) -> Again:
    """Collect the columns of a design's rows under which a model can be fitted again to other outcomes.

    Parameters: the specification, its Design, and the kind of covariance.

    Raises
    ------
    OptionError
        If rows cannot be made again: frequency weights, lags, a covariance that a file does not name.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("log(foodexp) ~ income").fit(de.datasets.engel())
    >>> again = columns_again(res.model, res.rows.design, "nonrobust")
    >>> again.outcome, again.formula, sorted(again.table)
    ('log(foodexp)', '`log(foodexp)` ~  income', ['income'])
    """
    spec = design.spec
    if model.weight_type == "frequency":
        raise OptionError(
            "Frequency weights stand for several rows, each with an outcome of its own: repeat the rows "
            "first."
        )
    if "lag(" in spec.formula:
        raise OptionError(
            "A lag in the formula needs the order and the dropped rows of the data; add the lag as a "
            "column first."
        )
    if kind is None:
        raise OptionError(
            "A saved result does not name its covariance in full; ask for it again with with_cov(...)."
        )
    clusters = kind.columns if isinstance(kind, Cluster) else ()
    time = (kind.time,) if isinstance(kind, HAC) else ()
    parsed = parse_formula(spec.formula, spec.dot)
    names = [*parsed.right_variables, model.weights, getattr(model, "offset", None), *clusters, *time]
    table = {name: _values(design, name) for name in dict.fromkeys(n for n in names if n is not None)}
    if parsed.left.is_column:
        outcome, formula = parsed.left.variables[0], spec.formula
    else:  # the left side is a transform: its value becomes a column of that name
        outcome = spec.outcome.name
        formula = f"`{outcome}` ~ {spec.formula.split('~', 1)[1]}"
    return Again(table, outcome, formula, clusters, "HAC needs the rows in their order" if time else "")


def _values(design: Any, name: str) -> Any:
    """A column among the rows used, as it was stored."""
    series = design.column(name, "the formula").reset_index(drop=True)
    return series.to_numpy() if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub" else series


def refitting_normal(result: Any) -> Refitting:
    """Collect the columns of a normal regression's rows, its fitted law and the arguments that made it.

    Raises
    ------
    OptionError
        If its rows cannot be made again.

    Examples
    --------
    >>> import disteconometrics as de
    >>> of = refitting_normal(de.NormalRegression("foodexp ~ income").fit(de.datasets.engel(), cov="HC1"))
    >>> sorted(of.table), of.options
    (['foodexp', 'income'], {'cov': 'HC1', 'use_t': True})
    """
    rows, model = result._need_rows(), result.model
    kind = result.covariance.kind
    again = columns_again(model, rows.design, kind)
    return Refitting(
        estimator=type(model)(
            again.formula, weights=model.weights, weight_type=model.weight_type, offset=model.offset
        ),
        options={"cov": kind, "use_t": result.use_t},
        table={**again.table, again.outcome: rows.design.y},
        outcome=again.outcome,
        law=result.distribution(),
        labels=None,
        truth=dict(zip(result.estimates.names, map(float, result.estimates.values), strict=True)),
        clusters=again.clusters,
        fitted_only=again.fitted_only,
        robust={"cov": "HC1"} if kind in ("nonrobust", "opg") else None,
    )
