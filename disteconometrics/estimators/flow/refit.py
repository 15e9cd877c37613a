"""What a fitted density says of itself so that simulated data can be fitted in the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.estimators.refit import columns_again
from disteconometrics.simulate.self_check import Refitting

if TYPE_CHECKING:
    from disteconometrics.estimators.flow.flow_density import FlowResults
    from disteconometrics.estimators.flow.trained import TrainedFlowResults

__all__ = ["refitting_flow", "refitting_trained"]


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
    only = (
        ""
        if not result.spec.variables
        else "the functionals are averages over the covariates of the sample's rows"
    )
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


def refitting_trained(result: TrainedFlowResults) -> Refitting:
    """Collect the columns of a trained flow's rows, its law and the arguments that made it; of one outcome.

    Raises
    ------
    OptionError, WithheldError, NeedsData
        If its rows cannot be made again.

    Examples
    --------
    >>> import disteconometrics as de
    >>> of = refitting_trained(de.FlowDensity("foodexp ~ 1", flow=de.AffineMap()).fit(de.datasets.engel(), seed=0))
    >>> of.outcome, sorted(of.truth)[:2]
    ('foodexp', ['mean', 'q[0.1]'])
    """
    if result.flow.outcomes > 1:
        raise OptionError(
            "monte_carlo() is for one outcome; de.MonteCarlo takes joint laws: lambda rng: "
            "res.distribution().sample(…)."
        )
    if result.facts.fresh:
        raise WithheldError("The flow was trained on fresh rows of a sampler: study that with de.MonteCarlo.")
    design = result._need_rows().first
    again = columns_again(result.model, design, "nonrobust")
    law, estimates = result._law(result._need_rows().covariates), result.estimates
    how = replace(result.trainer, snapshots=(), callback=None)
    return Refitting(
        estimator=replace(result.model, formula=again.formula, train=how),
        options={},
        table={**again.table, again.outcome: design.y},
        outcome=again.outcome,
        law=law,
        labels=None,
        truth=dict(zip(estimates.names, map(float, estimates.values), strict=True)),
        fitted_only=""
        if not result.spec.variables
        else "the functionals are averages over the covariates of the sample's rows",
    )
