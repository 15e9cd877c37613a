"""A spline flow under other weights of its rows: what the bootstrap asks for, draw by draw.

Rows that are drawn twice are no evidence of a spike.  A draw is therefore weights, and a row is left out as a
whole, with all its copies; else the leave-one-out score of a row is that of its own twin, and tensors win.
The fits that were close when the structure was chosen compete again, since what is chosen varies from sample
to sample; each costs a few Newton steps from where it was.

The noise of a draw is that of the sample and that of drawing: twice as much as the weights suppose.  Choices
are made at half of the weights, at which noise and information agree again: of the structure and base, at the
smoothing parameters that the fit has, and of the smoothing parameters of what was chosen.  Coefficients have
the whole weights.

References
----------
Præstgaard, Wellner (1993), Exchangeably weighted bootstraps of the general empirical process, Annals of
Probability 21, doi:10.1214/aop/1176989011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, or_ones
from disteconometrics.errors import ConvergenceWarning, warn_user
from disteconometrics.estimators.flow import row_checks as checks
from disteconometrics.estimators.flow.spline_fit import (
    RETRIED_PENALTY,
    Close,
    Fitted,
    close_fits,
    simplest,
)
from disteconometrics.estimators.flow.spline_flow import Solution, SplineFlow
from disteconometrics.estimators.flow.spline_laws import SplineRowLaws
from disteconometrics.estimators.flow.spline_results import FlowResults
from disteconometrics.estimators.flow.spline_rows import FlowRows, plan_of, spline_fit_of
from disteconometrics.estimators.flow.spline_sample import SplineSample
from disteconometrics.estimators.flow.tail_moments import OfSample
from disteconometrics.estimators.law_results import FUNCTIONALS
from disteconometrics.inference.law_effects import Averaged
from disteconometrics.inference.law_functionals import parse_functional
from disteconometrics.optim.smoothing import DROPPED, solve

__all__ = ["SplineDraw", "SplineResampling", "spline_resampling"]

QUANTILES = {n: parse_functional(n)[1][0] for n in FUNCTIONALS if n.startswith("q[")}
NOISE = 2.0  # variance of a draw over that of the sample
STEADY = 0.25  # change of a log λ of a draw at the end
# squared Newton decrement per observation of the last step for a choice, and of coefficients, whose error is
# then the square of that; and of those of rows that were not drawn
COMPARED, LAST, EXACT = 2e-3, 1e-5, 1e-8
NEAR_SPREAD = 1.25  # ratio of the law's standard deviation to the rows' up to which nothing speaks against it
NEAR_MEAN = 2.0  # errors of the rows' mean within which the law's mean is beyond doubt


def spline_resampling(result: FlowResults) -> SplineResampling:
    """What the rows behind a spline offer to resampling.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.FlowDensity("log(foodexp) ~ 1").fit(de.datasets.engel())
    >>> rows, once = spline_resampling(res), np.ones(235)
    >>> bool(np.allclose(rows.redraw(once, once, drawn=False).params, res.params, rtol=1e-4))
    True
    """
    rows: FlowRows = result.data_rows()
    checks.not_of_source(rows.design, "bootstrap")
    plan = plan_of(result.model, enough=any(name != "linear" for name, *_ in result.facts.trials))
    close = close_fits(rows.on_line(result.flow.support), plan)
    # without what the result keeps of its answers, which does not travel to workers
    return SplineResampling(replace(result), close, plan.roughness, result.params)


@dataclass(frozen=True, eq=False)
class SplineResampling:
    """The rows of a fit and the fits that were close; fills `inference.protocols.Redrawing`."""

    result: FlowResults
    close: Close
    roughness: float
    near: pd.Series

    @property
    def positions(self) -> Indices:
        """Positions (n,) of the rows in the user's table."""
        design = self.result.data_rows().design
        return np.arange(len(design.y)) if design.kept is None else np.asarray(design.kept)

    @property
    def weights(self) -> tuple[str | None, Array | None]:
        """Type and values (n,) of the weights."""
        rows: FlowRows = self.result.data_rows()
        return rows.design.spec.weight_type, rows.scaled_weights

    def codes(self, columns: Sequence[str]) -> tuple[Indices, int]:
        """Cluster codes (n,) and their number."""
        codes: tuple[Indices, int] = self.result.data_rows().codes(columns)
        return codes

    def redraw(self, weights: Array, together: Array, *, drawn: bool = True) -> SplineDraw:
        """The fit under weights (n,); ``together`` (n,) are the copies of a row that are left out at once.

        If the weights are not ``drawn`` at random, structure and smoothing stay what they are.

        Raises
        ------
        CollinearityError

        Warns
        -----
        ConvergenceWarning
        """
        rows: FlowRows = self.result.data_rows()
        kept = np.flatnonzero(weights)
        if len(rows.names) > 1:
            checks.check_columns(rows.X[kept], rows.y[kept], rows.names, True)
        if drawn:
            fitted = self._smoothed(self._chosen(weights, together))
        else:
            known = self.close.whole[self.close.taken]
            fitted = _moved(_drawn((known,), weights, together)[0], EXACT, verified=True)
        if not fitted.smooth.converged:
            warn_user(ConvergenceWarning("The coefficients of a draw did not settle.", hint="leave it out"))
        return SplineDraw(self.result, fitted, kept, self.near)

    def _chosen(self, weights: Array, together: Array) -> Fitted:
        """The close fit that is taken under weights (n,), to begin with."""
        _, rows, copies, few, whole = self.close
        if len(few) == 1:
            return _drawn(whole, weights, together)[0]
        once = or_ones(copies, 1)
        some = slice(None) if rows is None else rows
        tried = [_moved(f, COMPARED) for f in _drawn(few, weights[some] / once, together[some] / once)]
        half = _thinned(tried[0].sample)
        trials = [replace(f, sample=half).trial() for f in tried]
        best = trials.index(simplest(trials, half))
        if rows is None:
            return tried[best]
        return replace(_drawn((whole[best],), weights, together)[0], smooth=tried[best].smooth)

    def _smoothed(self, fitted: Fitted) -> Fitted:
        """The flow, its smoothing parameters chosen again; those of a tensor stay."""
        f, problem = fitted.smooth, fitted.problem
        if fitted.name == "tensor" or not problem.penalties:
            return _moved(fitted, LAST)
        assert fitted.sample.weights is not None
        problem = replace(problem, rows=problem.rows.reweighted(fitted.sample.weights / NOISE))
        # a term that was dropped may be wanted now
        lam = np.minimum(f.lam, RETRIED_PENALTY)
        found = solve(problem, lam, theta=f.theta, G=f.G, steady=STEADY, last=COMPARED, verified=False)
        lam = np.where(found.lam < DROPPED, found.lam * self.roughness, found.lam)
        # from where the coefficients were under the whole weights
        return _moved(replace(fitted, smooth=replace(f, lam=lam, G=found.G)), LAST)


def _drawn(fits: Sequence[Fitted], weights: Array, together: Array) -> list[Fitted]:
    """Fits of one sample on the rows that have weight (n,), not moved yet."""
    kept = np.flatnonzero(weights)
    sample = replace(fits[0].sample.take(kept), weights=weights[kept])
    rows = {id(f.problem.rows): f.problem.rows for f in fits}  # bases share them
    drawn = {key: known.reweighted(weights) for key, known in rows.items()}
    return [
        replace(
            f,
            problem=replace(f.problem, rows=drawn[id(f.problem.rows)]),
            sample=sample,
            together=together[kept],
        )
        for f in fits
    ]


def _moved(fitted: Fitted, last: float, *, verified: bool = False) -> Fitted:
    """The flow under the weights of its rows, by Newton's method from where it is; penalties stay."""
    f, problem = fitted.smooth, fitted.problem
    smooth = solve(problem, f.lam, theta=f.theta, G=f.G, select=False, last=last, verified=verified)
    return replace(fitted, smooth=smooth)


def _thinned(s: SplineSample) -> SplineSample:
    """The rows with the weights that the noise of a draw leaves them."""
    assert s.weights is not None
    return replace(s, weights=s.weights / NOISE)


@dataclass(frozen=True, eq=False)
class SplineDraw:
    """A flow under drawn weights: the functionals of a summary alone, or a whole result.

    ``of`` is the result of the fit, ``kept`` (m,) are its rows that have weight.
    """

    of: FlowResults
    fitted: Fitted
    kept: Indices
    near: pd.Series

    @cached_property
    def flow(self) -> SplineFlow:
        """The flow."""
        return SplineFlow.of(self.fitted, self.of.flow.support)

    @cached_property
    def params(self) -> pd.Series:
        """The functionals of a summary (k,), without the gradients that errors need.

        Where a moment is not near that of the rows it is looked at as that of any result is.
        """
        s, theta = self.fitted.sample, self.fitted.smooth.theta
        assert s.weights is not None
        single = not self.flow.structure.covariates
        X = np.zeros((1, 0)) if single else s.X
        w = np.ones(1) if single else s.weights / s.weights.sum()
        law = self.flow.law(theta, X)
        mean, var = law.mean(), law.var()
        m = float(w @ mean)
        std = float(np.sqrt(w @ (var + np.square(mean - m))))
        if not self._supported(m, std):
            return self.result.params
        known = {"mean": m, "std": std}
        if single:
            quantiles = law.quantile(list(QUANTILES.values()))[0]
        else:
            none = np.zeros((0, 0))
            solution = Solution(theta, none, none, none, 0.0)
            average = Averaged(SplineRowLaws(self.flow, solution, X), w)
            quantiles = [average.quantile(tau, (self.near[n], std)) for n, tau in QUANTILES.items()]
        known |= dict(zip(QUANTILES, quantiles, strict=True))
        return pd.Series(np.array([known[n] for n in FUNCTIONALS]), index=self.near.index)

    def _supported(self, mean: float, std: float) -> bool:
        """Whether moments are near those of the rows, and the rows tell them."""
        rows: FlowRows = self.of.data_rows()
        s, told = self.fitted.sample, self.of.facts.records
        if told is not None and not told.held.all:
            return False
        seen = OfSample.of(rows.y[self.kept], s.weights, counts=False)
        near = abs(mean - seen.mean) <= NEAR_MEAN * seen.std / np.sqrt(seen.size)
        return bool(near and seen.std / NEAR_SPREAD <= std <= seen.std * NEAR_SPREAD)

    @cached_property
    def result(self) -> FlowResults:
        """The result, whose averages over rows, errors and tables take the weights into account.

        Whole numbers count rows; others are treated as sampling weights are.
        """
        of, rows, w = self.of, self.of.data_rows(), self.fitted.sample.weights
        assert w is not None
        assert of.kind is not None
        counts = rows.design.spec.weight_type != "sampling" and bool((w == np.round(w)).all())
        design = replace(
            rows.design,
            spec=replace(rows.design.spec, weight_type="frequency" if counts else "sampling"),
            y=rows.y[self.kept],
            matrix=rows.X[self.kept],
            weights=w,
            kept=self.kept if rows.design.kept is None else rows.design.kept[self.kept],
            records=None if rows.design.records is None else rows.design.records.rows(self.kept),
            rows=replace(rows.design.rows, used=len(self.kept)),
        )
        fitted = replace(self.fitted, sample=replace(self.fitted.sample, counts=counts))
        fit = spline_fit_of(fitted, self.flow, design, of.kind)
        return FlowResults(model=of.model, spec=of.spec, kind=of.kind, **fit._asdict())
