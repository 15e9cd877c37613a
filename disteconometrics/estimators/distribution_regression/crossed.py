"""Laws of distribution regressions averaged over the rows of others, with common exponential draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.estimators.crossing import Crossing
from disteconometrics.estimators.distribution_regression.averages import DrawnLaw, DrawnLaws, spread_of
from disteconometrics.estimators.distribution_regression.fit import drawing_plan
from disteconometrics.estimators.distribution_regression.thresholds import (
    Covariates,
    Draws,
    average_levels,
    row_weights,
)
from disteconometrics.inference.crossed_laws import AveragedRows
from disteconometrics.inference.resample import ResamplingPlan
from disteconometrics.inference.survey import SHIFT

__all__ = ["crossed_laws"]


def crossed_laws(c: Crossing) -> DrawnLaws:
    """The laws of a crossing: weights of all rows run through every fit and every average.

    Raises
    ------
    WithheldError
        If clusters are of two columns, or draws failed.
    """
    plan = _plan(c)
    W = row_weights(plan, None, c.draws)
    of_rows = [_weights(W, at, _mass(f, plan), False) for f, at in zip(c.fits, c.fitted, strict=True)]
    over = [_weights(W, a.at, _averaging_mass(a, plan), a.given) for a in c.averages]
    drawn = [_drawn(c, j, of_rows[j], over) for j in range(len(c.fits))]
    good = np.logical_and.reduce([d.good for d, _ in drawn])
    kept = [(d.kept(good), elsewhere) for d, elsewhere in drawn]
    return DrawnLaws(tuple(_law(c, j, k, *kept[j]) for j, k in c.pairs))


def _plan(c: Crossing) -> ResamplingPlan:
    """How rows are drawn: clusters as blocks wherever they lie."""
    return drawing_plan(c.rows.kind, c.rows.grouped, c.rows.size, c.rows.copies, c.seed)


def _mass(fit: Any, plan: ResamplingPlan) -> Array | None:
    """Weights of the rows of a fit, where draws do not have them already."""
    rows = fit.data_rows()
    mass: Array | None = None if plan.copies is not None and rows.frequency else rows.scaled_weights
    return mass


def _averaging_mass(a: AveragedRows, plan: ResamplingPlan) -> Array | None:
    """Weights of rows that are averaged over, of one copy where draws are of copies."""
    if plan.copies is None or a.given:
        return a.weights
    if a.weight_type == "frequency":
        return None
    mass: Array = (1.0 if a.weights is None else a.weights) / plan.copies[a.at]
    return mass


def _weights(W: Array, at: Any, mass: Array | None, given: bool) -> Array:
    """Weights (B, m) of some rows; of rows that are all there is they are the same in every draw."""
    own = np.ones((len(W), len(at))) if given else W[:, at]
    return own if mass is None else own * mass


def _drawn(c: Crossing, j: int, W: Array, over: list[Array]) -> tuple[Draws, list[int]]:
    """The draws of fit j, and the tables that they are averaged over beside its own rows."""
    elsewhere = [k for i, k in c.pairs if i == j and c.own[k] != j]
    fit = c.fits[j]
    others = [(fit.covariates(c.tables[k]), over[k]) for k in elsewhere]
    return fit.data_rows().drawn(W, others), elsewhere


def _law(c: Crossing, j: int, k: int, drawn: Draws, elsewhere: list[int]) -> DrawnLaw:
    """The law of fit j over the rows of table k."""
    fit, over = c.fits[j], c.averages[k]
    samples = [c.fitted[j]] if over.given else [c.fitted[j], over.at]
    spread = spread_of(c.rows.fewest(samples)) if c.rows.design is None else (1 / SHIFT, c.rows.df)
    if c.own[k] == j:
        return _of(fit, fit.averaged, drawn.levels, drawn, spread)
    covariates: Covariates = fit.covariates(c.tables[k])
    levels = average_levels(fit.kernel, covariates, fit.limiting, c.averages[k].weights)
    return _of(fit, levels, drawn.elsewhere[elsewhere.index(k)], drawn, spread)


def _of(fit: Any, levels: Array, moved: Array, drawn: Draws, spread: tuple[float, float]) -> DrawnLaw:
    law: DrawnLaw = fit.drawn_law(fit.law(levels), moved, drawn.masses, *spread)
    return law
