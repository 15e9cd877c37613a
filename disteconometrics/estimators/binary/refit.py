"""What a fitted binary-outcome model says of itself so that simulated data can be fitted in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.distributions.bernoulli import Bernoulli
from disteconometrics.errors import WithheldError
from disteconometrics.estimators.refit import columns_again
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
            "Some estimates are infinite (separation), so there is no fitted law to draw from; use "
            "penalty='firth'."
        )
    again = columns_again(model, rows.design, result.covariance.kind)
    kind, only = result.covariance.kind, again.fitted_only
    if result.facts.penalty:
        only = "Firth's penalty has no population of which the sample's estimate is the truth"
    labels = (
        pd.array(list(spec.outcome.levels)).to_numpy()
        if isinstance(spec.outcome.levels[1], str)
        else np.array([0.0, 1.0])
    )
    (block,) = rows.design.blocks()
    eta = index(block, result.coefficients)
    law = Bernoulli(
        result.kernel.probability(eta), str(spec.outcome.success), result.kernel.probability(-eta)
    )
    return Refitting(
        estimator=replace(model, formula=again.formula),
        options={"cov": kind, "use_t": result.use_t},
        table={**again.table, again.outcome: labels[rows.design.y.astype(np.intp)]},
        outcome=again.outcome,
        law=law,
        labels=labels,
        truth=dict(zip(spec.names, map(float, result.coefficients), strict=True)),
        clusters=again.clusters,
        fitted_only=only,
        robust={"cov": "HC0"} if kind in ("nonrobust", "opg") and not result.facts.penalty else None,
    )
