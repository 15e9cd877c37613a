"""What a fitted binary-outcome model says of itself so that simulated data can be fitted in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.data.formula import parse_formula, variables_of
from disteconometrics.distributions.bernoulli import Bernoulli
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.inference.covariance import HAC, Cluster
from disteconometrics.likelihoods.index_model import index
from disteconometrics.simulate.self_check import Refitting

__all__ = ["refitting"]


def refitting(result: Any) -> Refitting:
    """Collect the columns of a result's rows, its fitted law and the arguments that made it.

    Raises
    ------
    WithheldError
        If the fit has no finite estimates.
    OptionError
        If its rows cannot be made again: frequency weights, lags, a covariance that a file does not name.

    Examples
    --------
    >>> import disteconometrics as de
    >>> of = refitting(de.Logit("GRADE ~ GPA").fit(de.datasets.spector(), cov="HC1"))
    >>> sorted(of.table), of.options
    (['GPA', 'GRADE'], {'cov': 'HC1', 'use_t': False})
    """
    rows, model, spec = result._need_rows(), result.model, result.spec
    if result.infinite is not None:
        raise WithheldError(
            "Some estimates are infinite (separation), so there is no fitted law to draw from; use penalty='firth'."
        )
    if model.weight_type == "frequency":
        raise OptionError("Frequency weights stand for several rows, each with an outcome of its own: repeat the rows first.")
    if "lag(" in spec.formula:
        raise OptionError("A lag in the formula needs the order and the dropped rows of the data; add the lag as a column first.")
    kind = result.covariance.kind
    if kind is None:
        raise OptionError("A saved result does not name its covariance in full; ask for it again with with_cov(...).")
    clusters = kind.columns if isinstance(kind, Cluster) else ()
    time = (kind.time,) if isinstance(kind, HAC) else ()
    only = "HAC needs the rows in their order" if time else ""
    if result.facts.penalty:
        only = "Firth's penalty has no population of which the sample's estimate is the truth"
    parsed = parse_formula(spec.formula, spec.dot)
    names = [*parsed.right_variables, model.weights, model.offset, *clusters, *time]
    table = {name: _values(rows.design, name) for name in dict.fromkeys(n for n in names if n is not None)}
    left = variables_of(parsed.left.node)
    outcome = left[0] if parsed.left.is_column else spec.outcome.name
    if not parsed.left.is_column:  # the left side is a transform: its value becomes a column of that name
        model = replace(model, formula=f"`{outcome}` ~ {spec.formula.split('~', 1)[1]}")
    labels = pd.array(list(spec.outcome.levels)).to_numpy() if isinstance(spec.outcome.levels[1], str) else np.array([0.0, 1.0])
    (block,) = rows.design.blocks()
    eta = index(block, result.coefficients)
    law = Bernoulli(result.kernel.probability(eta), str(spec.outcome.success), result.kernel.probability(-eta))
    return Refitting(
        estimator=model,
        options={"cov": kind, "use_t": result.use_t},
        table={**table, outcome: labels[rows.design.y.astype(np.intp)]},
        outcome=outcome,
        law=law,
        labels=labels,
        truth=dict(zip(spec.names, map(float, result.coefficients), strict=True)),
        clusters=clusters,
        fitted_only=only,
        robust={"cov": "HC0"} if kind in ("nonrobust", "opg") and not result.facts.penalty else None,
    )


def _values(design: Any, name: str) -> Any:
    """A column among the rows used, as it was stored."""
    series = design.column(name, "the formula").reset_index(drop=True)
    return series.to_numpy() if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub" else series
