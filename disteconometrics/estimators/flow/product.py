"""Products of splines for joint outcomes: every order is fitted, and the products are pooled."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, or_ones
from disteconometrics.data.joint_design import read_outcomes
from disteconometrics.errors import HardEdgeWarning, OptionError
from disteconometrics.estimators.flow.alternative import (
    LEAST_ROWS,
    UNTRIED,
    evenly_spread,
    trained_alternative,
)
from disteconometrics.estimators.flow.spline_results import FlowResults, fit_spline
from disteconometrics.estimators.joint import JointSides, Product, joint_law, joint_results
from disteconometrics.estimators.rows import JointFitRows
from disteconometrics.flows.monotone_spline import MonotoneSpline
from disteconometrics.inference.resample import take_rows
from disteconometrics.likelihoods.monotone import BASES

__all__ = ["fit_product", "stacking_weights"]

MOST_OUTCOMES = 4  # whose orders are all fitted
EM_STEPS = 500
STRAIGHT = ("linear", "baseline")  # structures that other outcomes enter by lines
SMALLEST = 0.02  # weight of an order that is kept


class _Orders(NamedTuple):
    """The splines of every order, leave-one-out log densities (orders, n) of their products, and weights.

    ``weights`` (orders,) are those of the pool, ``mass`` (n,) those of rows or None.
    """

    orders: list[tuple[str, ...]]
    parts: list[tuple[FlowResults, ...]]
    left_out: Array
    weights: Array
    mass: Array | None

    @property
    def pooled(self) -> Array:
        """Leave-one-out log densities (n,) of the pool."""
        return np.asarray(special.logsumexp(self.left_out, axis=0, b=self.weights[:, None]))

    def ranked(self) -> tuple[pd.DataFrame, tuple[Product, ...]]:
        """The table of the orders and the products that have weight, the one of largest weight first."""
        ranked = np.argsort(-self.weights, kind="stable")
        columns = {
            "order": [", then ".join(self.orders[k]) for k in ranked],
            "leave_one_out": [float(np.average(self.left_out[k], weights=self.mass)) for k in ranked],
            "weight": self.weights[ranked],
        }
        products = tuple(
            Product(self.parts[k], float(self.weights[k])) for k in ranked if self.weights[k] > 0
        )
        return pd.DataFrame(columns), products

    def leaves_nothing(self) -> bool:
        """Whether the first of the products, without covariates, makes of many rows what chance would."""
        best = int(np.argmax(self.weights))
        n, parts = self.left_out.shape[1], self.parts[best]
        if n < LEAST_ROWS or parts[0].flow.structure.covariates:
            return False
        behind = (self.pooled - self.left_out[best]) @ or_ones(self.mass, n)
        rows = [(part.flow.base, part.data_rows().smooth.z) for part in parts]
        return evenly_spread(
            np.column_stack([BASES[base].cdf(z) for base, z in rows]), float(behind), self.mass
        )


def _formula(outcome: str, before: Sequence[str], right: str) -> str:
    terms = before if right == "1" else [*before, right]
    return f"{outcome} ~ {' + '.join(terms) or '1'}"


@dataclass(frozen=True, eq=False)
class _Factors:
    """The splines of outcomes given others, each fitted once when it is asked for."""

    model: Any
    data: Any
    cov: Any
    found: dict[tuple[str, frozenset[str]], FlowResults] = field(default_factory=dict)

    def part(self, outcome: str, before: Sequence[str]) -> FlowResults:
        """An outcome given those ``before`` it."""
        key = (outcome, frozenset(before))
        if key not in self.found:
            outcomes, right = read_outcomes(self.model.formula)
            formula = _formula(outcome, [y for y in outcomes if y in before], right)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HardEdgeWarning)  # of effects, which factors have none of
                self.found[key] = fit_spline(replace(self.model, formula=formula), self.data, self.cov)
        return self.found[key]

    def product(self, order: Sequence[str]) -> tuple[FlowResults, ...]:
        """The factors of an order."""
        return tuple(self.part(y, order[:i]) for i, y in enumerate(order))

    def orders(self, mass: Array | None) -> _Orders:
        """Every order, weighted."""
        orders = list(itertools.permutations(read_outcomes(self.model.formula)[0]))
        parts = [self.product(order) for order in orders]
        left_out = np.stack([np.sum([p.data_rows().left_out for p in each], axis=0) for each in parts])
        return _Orders(orders, parts, left_out, stacking_weights(left_out, mass), mass)


def _pool(model: Any, data: Any, cov: Any, read: JointFitRows) -> tuple[_Orders, bool]:
    """The orders, and whether they leave nothing to gain.

    Where the first order without tensors leaves nothing, has lines alone and would take none, the others do
    without them too; with few rows or covariates that is not asked.  Of an order that bends evenness does not
    tell what a tensor of another order gains.
    """
    mass, full = read.scaled_weights, _Factors(model, data, cov)
    spline = MonotoneSpline() if model.flow == "auto" else model.flow
    if spline.structure == "auto" and read.size >= LEAST_ROWS and not read.covariates.shape[1]:
        simple = _Factors(replace(model, flow=replace(spline, structure="simple")), data, cov)
        found = simple.orders(mass)
        best = int(np.argmax(found.weights))
        straight = all(part.flow.name in STRAIGHT for part in found.parts[best])
        first = found.orders[best]
        if straight and found.leaves_nothing() and all(p.flow.name != "tensor" for p in full.product(first)):
            return found, True
    found = full.orders(mass)
    return found, found.leaves_nothing()


def fit_product(model: Any, data: Any, cov: Any, seed: Any) -> Any:
    """Products of monotone splines in every order, pooled by leave-one-out, or what beats the pool.

    Parameters
    ----------
    model : FlowDensity of several outcomes, which are columns as they are.
    data : table.
    cov, seed : as in its ``fit``.

    Returns
    -------
    JointResults, or TrainedFlowResults of the flow that "auto" tries beside them

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError
    """
    outcomes, _ = read_outcomes(model.formula)
    if len(outcomes) > MOST_OUTCOMES:
        raise OptionError(
            f"{len(outcomes)} outcomes have too many orders to compare; name a flow, such as "
            f"flow=de.Autoregressive(de.RQS()), "
            "or write the factors with de.joint(…)."
        )
    read = JointFitRows.read(model, data)
    count = read.design.rows
    if count.used < count.given:
        data = take_rows(data, read.kept)
    fits, nothing_left = _pool(model, data, cov, read)
    words = UNTRIED if nothing_left and model.flow == "auto" and cov is None else ""
    if not words and cov is None:
        rival = trained_alternative(model, data, None, fits.pooled, fits.mass, seed)
        if rival is not None and rival.wins:
            return rival.fitted(data, seed)
        words = "" if rival is None else rival.words
    trials, products = fits.ranked()
    law = joint_law(products, JointSides.of(outcomes, products[0].parts), data)
    contributions = law.logpdf(read.Y)
    return joint_results(
        model,
        products,
        count,
        loglik=float(contributions @ or_ones(fits.mass, read.size)),
        trials=trials,
        rival=words,
    )


def stacking_weights(left_out: Array, rows: Array | None = None) -> Array:
    """Weights (k,) of a pool of laws that maximise its leave-one-out log density, by the EM algorithm.

    Small ones become zero.

    Parameters
    ----------
    left_out : (k, n) float64 array, leave-one-out log densities of each law.
    rows : (n,) float64 array or None, weights of the rows.

    References
    ----------
    Yao, Vehtari, Simpson, Gelman (2018), Using stacking to average Bayesian predictive distributions,
    Bayesian Analysis 13, doi:10.1214/17-BA1091.

    Examples
    --------
    >>> stacking_weights(np.log([[0.9, 0.1], [0.1, 0.9], [0.05, 0.05]])).round(2).tolist()
    [0.5, 0.5, 0.0]
    """
    density = np.exp(left_out - left_out.max(axis=0))
    w = np.full(len(density), 1 / len(density))
    for _ in range(EM_STEPS):
        share = w[:, None] * density
        w = np.average(share / share.sum(axis=0), axis=1, weights=rows)
    w = np.where(w < SMALLEST, 0.0, w)
    return np.asarray(w / w.sum())
