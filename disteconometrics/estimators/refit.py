"""What fitted models say of themselves so that simulated data can be fitted in the same way.

Columns, law, arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.data.formula import parse_formula, split_absorbed, split_sides
from disteconometrics.distributions.rerecording import rerecording
from disteconometrics.errors import OptionError
from disteconometrics.inference.covariance import HAC, Cluster, known_kind
from disteconometrics.inference.influence import is_model_based
from disteconometrics.inference.protocols import REPLICATIONS, Refitting
from disteconometrics.inference.survey import Survey

__all__ = ["AVERAGED", "ONE_OUTCOME", "refitting", "refitting_result", "refitting_rows", "success_labels"]

AVERAGED = "the functionals are averages over the covariates of the sample's rows"
ONE_OUTCOME = (
    "monte_carlo() is for one outcome; de.MonteCarlo takes joint laws: lambda rng: "
    "res.distribution().sample(…)."
)


def refitting(
    model: Any,
    rows: Any,
    kind: Any,
    *,
    outcome: Any,
    law: Any,
    truth: Mapping[str, float],
    options: Mapping[str, Any],
    labels: Any = None,
    fitted_only: str = "",
    robust: Mapping[str, Any] | None = None,
    reps: int = REPLICATIONS,
) -> Refitting:
    """Collect the columns of the rows of a fit, its law and the arguments that made it.

    Parameters
    ----------
    model : specification.
    rows : FitRows, or anything with their ``spec`` and ``column``.
    kind : what was asked for as covariance; None where a file does not name it in full.
    outcome : (n,) outcomes of the rows, as the refitted model reads them; the column of recorded ones.
    law : law of the outcome for every row; its draws are outcomes, or what ``labels`` stand for.
    truth : parameters of the law by name.
    options : arguments of ``fit``.
    labels : (2,) values that draws 0 and 1 stand for, or None.
    fitted_only : why rows cannot be drawn with their outcomes; empty if they can.
    robust : options of ``fit`` whose standard errors hold where the model is wrong, or None.
    reps : int, replications where none are asked for.

    Raises
    ------
    OptionError
        If rows cannot be made again: frequency weights, lags, a covariance that a file does not name.
    WithheldError
        If outcomes were recorded by no rule that draws can follow.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("log(foodexp) ~ income").fit(de.datasets.engel())
    >>> fitted = {"outcome": res.rows.y, "law": res.distribution(), "truth": {}, "options": {}}
    >>> of = refitting(res.model, res.rows, "nonrobust", **fitted)
    >>> of.outcome, of.estimator.formula, sorted(of.table)
    ('log(foodexp)', '`log(foodexp)` ~  income', ['income', 'log(foodexp)'])
    """
    spec = rows.spec
    _check_rows_again(model, spec.formula, kind)
    told = rerecording(rows, "monte_carlo()")
    clusters = kind.columns if isinstance(kind, Cluster) else ()
    time = (kind.time,) if isinstance(kind, HAC) else ()
    parsed = parse_formula(spec.formula, spec.dot)
    if told is not None:
        name, formula, outcome = told.column, spec.formula, _values(rows, told.column)
    elif parsed.left.is_column:
        name, formula = parsed.left.variables[0], spec.formula
    else:  # the left side is a transform: its value becomes a column of that name
        name = spec.outcome.name.replace("`", "'")
        formula = f"`{name}` ~ {split_sides(spec.formula)[1]}"
    absorbed = split_absorbed(model.formula)[1]
    if absorbed:
        formula = f"{formula} | {' + '.join(f'`{column}`' for column in absorbed)}"
    named = [getattr(model, name, None) for name in ("weights", "offset", "time", "choice")]
    names = [*parsed.right_variables, *absorbed, *named, *clusters, *time]
    table = {n: _values(rows, n) for n in dict.fromkeys(n for n in names if n is not None)}
    table |= {} if told is None else told.caps
    return Refitting(
        estimator=replace(model, formula=formula),
        options=options,
        table={**table, name: outcome},
        outcome=name,
        law=law,
        labels=labels,
        told=told,
        truth=truth,
        clusters=clusters,
        fitted_only="HAC needs the rows in their order" if time else fitted_only,
        robust=robust,
        reps=reps,
    )


def success_labels(outcome: Any) -> Any:
    """What 0 and 1 of a binary outcome stand for in a table (2,): its two texts, or the numbers.

    Examples
    --------
    >>> import disteconometrics as de
    >>> success_labels(de.Logit("affair ~ age").fit(de.datasets.fair()).spec.outcome).tolist()
    [0.0, 1.0]
    """
    if isinstance(outcome.levels[1], str):
        return pd.array(list(outcome.levels)).to_numpy()
    return np.array([0.0, 1.0])


def refitting_result(
    result: Any, *, law: Any, labels: Any = None, fitted_only: str = "", robust: str = ""
) -> Refitting:
    """The same for a result whose ``fit`` takes ``cov`` and ``use_t``; its estimates are the truth.

    Parameters
    ----------
    result : with ``covariance``, ``use_t``, ``params`` and rows.
    law, labels, fitted_only : as for `refitting`; the outcomes are what ``labels`` stand for.
    robust : the covariance that holds where the model is wrong, for one that rests on the model; "" for none.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> refitting_result(res, law=res.distribution(), robust="HC1").robust
    {'cov': 'HC1'}
    """
    rows, kind = result.data_rows(), result.covariance.kind
    return refitting(
        result.model,
        rows,
        kind,
        outcome=rows.y if labels is None else labels[rows.y.astype(np.intp)],
        law=law,
        truth=result.params.to_dict(),
        options={"cov": kind, "use_t": result.use_t},
        labels=labels,
        fitted_only=fitted_only,
        robust={"cov": robust} if robust and is_model_based(kind) else None,
    )


def refitting_rows(result: Any) -> Refitting:
    """The same for a result that has no law of a row: its rows are drawn, or its clusters.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.RIFRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> refitting_rows(res).only_design
    'pairs'
    """
    rows, kind, truth = result.data_rows(), result.covariance.kind, result.params.to_dict()
    found = refitting(result.model, rows, kind, outcome=rows.y, law=None, truth=truth, options={"cov": kind})
    return replace(found, only_design="cluster" if found.clusters else "pairs")


def _check_rows_again(model: Any, formula: str, kind: Any) -> None:
    """Refuse rows that cannot be made again."""
    if model.weight_type == "frequency":
        raise OptionError(
            "Frequency weights stand for several rows, each with an outcome of its own: repeat the rows "
            "first."
        )
    if "lag(" in formula:
        raise OptionError(
            "A lag in the formula needs the order and the dropped rows of the data; add the lag as a column "
            "first."
        )
    if isinstance(kind, Survey):
        raise OptionError(
            "Rows of a survey are drawn by a design that a check by simulation does not know: take "
            "with_cov(de.Cluster('psu')), whose clusters are drawn whole."
        )
    known_kind(kind)


def _values(rows: Any, name: str) -> Any:
    """A column among the rows used, as it was stored."""
    series = rows.column(name, "the formula").reset_index(drop=True)
    plain = isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub"
    return series.to_numpy() if plain else series
