"""What a fitted density says of itself so that simulated data can be fitted in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from disteconometrics.estimators.refit import columns_again
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
    rows, model, kind = result._need_rows(), result.model, result.kind
    again = columns_again(model, rows.design, kind)
    only = "" if not result.spec.variables else "the functionals are averages over the covariates of the sample's rows"
    return Refitting(
        estimator=replace(model, formula=again.formula),
        options={"cov": kind},
        table={**again.table, again.outcome: rows.sample.y},
        outcome=again.outcome,
        law=result.flow.law(result.main.theta, rows.sample.X),
        labels=None,
        truth=dict(zip(result.estimates.names, map(float, result.estimates.values), strict=True)),
        clusters=again.clusters,
        fitted_only=again.fitted_only or only,
    )
