"""The result of a monotone-spline flow: laws, functionals with errors, effects, bands, checks, files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Seed
from disteconometrics.data.stream import StreamDesign
from disteconometrics.distributions.functionals import functional_name, listed, mean_between
from disteconometrics.distributions.recorded import corner_of, with_recording
from disteconometrics.distributions.rerecording import records_again
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.errors import FileFormatError
from disteconometrics.estimators.effects_results import EffectsHeader, EffectsResults, saved_effects
from disteconometrics.estimators.flow import held_out as checking
from disteconometrics.estimators.flow import row_checks as checks
from disteconometrics.estimators.flow.held_out import FlowDiagnosis, Hypothesis
from disteconometrics.estimators.flow.report import summary_of
from disteconometrics.estimators.flow.row_checks import covariate_names, warn_outside
from disteconometrics.estimators.flow.source_rows import MOST_CELLS, MOST_NUMBERS
from disteconometrics.estimators.flow.spline_fit import SplinePlan
from disteconometrics.estimators.flow.spline_flow import FlowHeader, Solution, SplineFlow
from disteconometrics.estimators.flow.spline_inference import (
    RecordScores,
    SplineEstimation,
    check_kind,
    functional_on,
)
from disteconometrics.estimators.flow.spline_laws import SplineRowLaws, flow_on
from disteconometrics.estimators.flow.spline_rows import FlowFacts, FlowRows, fit_rows, fit_source, plan_of
from disteconometrics.estimators.flow.spline_sample import SplineSample
from disteconometrics.estimators.flow.tail_moments import OF_SPREAD, OfSample, unsupported_moments
from disteconometrics.estimators.hurdle import HurdleResults, fit_hurdle
from disteconometrics.estimators.law_answers import (
    FUNCTIONALS,
    OF_EFFECTS,
    Answering,
    LawAnswers,
    LawPictures,
    NewRows,
    no_error_of_average,
)
from disteconometrics.estimators.law_results import LEVEL, law_title, saved_estimates
from disteconometrics.estimators.refit import AVERAGED, refitting
from disteconometrics.estimators.results import FitHeader, FittedResult, SavedResult, TakesCovariance
from disteconometrics.estimators.rows import FitRows
from disteconometrics.fields import Numbers
from disteconometrics.flows.monotone_spline import MonotoneSpline
from disteconometrics.inference.covariance import CovarianceKind, resolve_kind
from disteconometrics.inference.estimates import Estimates, TestResult, check_level
from disteconometrics.inference.held import ALL, Held
from disteconometrics.inference.law_bands import band
from disteconometrics.inference.law_effects import Averaged, RowLaws, check_target
from disteconometrics.inference.law_functionals import Functional, is_analytic
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.recorded_laws import recorded_laws
from disteconometrics.inference.repeated_rows import distinct_laws
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.inference.variable_effects import Seen
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.row_sums import RowTransform
from disteconometrics.tables import Summary

__all__ = ["FlowResults", "fit_density", "fit_spline"]


KINDS = {
    "sandwich": "HC1",
    "HC0": "HC0",
    "nonrobust": "nonrobust",
}  # of covariances that a label names in full


def fit_density(
    model: Any, data: Any, cov: CovarianceKind | None = None, n_jobs: int | None = None
) -> FlowResults | HurdleResults:
    """Fit the monotone spline of a specification to a table, beside a mass if the left side has one.

    Parameters
    ----------
    model : FlowDensity of one outcome.
    data : table.
    cov, n_jobs : as in its ``fit``.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError
    """
    kind, read = _kind(cov, model.weight_type), _read(model, data, n_jobs)
    records = None if read.streamed else read.design.records
    if records is None or records.at_mass is None:
        return _fitted(model, read, kind)
    return fit_hurdle(model, read, kind, partial(_fitted, kind=kind))


def fit_spline(
    model: Any, data: Any, cov: CovarianceKind | None = None, like: SplineFlow | None = None
) -> FlowResults:
    """The same of an outcome without a mass, with base and kind of centre ``like`` another's if given.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError

    Examples
    --------
    >>> import disteconometrics as de
    >>> fit_spline(de.FlowDensity("log(foodexp) ~ 1"), de.datasets.engel()).nobs
    235.0
    """
    return _fitted(model, _read(model, data), _kind(cov, model.weight_type), like)


def _read(model: Any, data: Any, n_jobs: int | None = None) -> FitRows:
    few = MOST_CELLS, MOST_NUMBERS
    return FitRows.read(model, data, streams=True, n_jobs=n_jobs, few=few, outcome="recorded")


def _fitted(model: Any, read: FitRows, kind: CovarianceKind, like: SplineFlow | None = None) -> FlowResults:
    if isinstance(read.design, StreamDesign):
        fit = fit_source(model, read.design, kind, like)
    else:
        fit = fit_rows(model, read, kind, like)
    return FlowResults(model=model, spec=fit.rows.spec, kind=kind, **fit._asdict())


def _kind(cov: CovarianceKind | None, weight_type: str | None) -> CovarianceKind:
    """The covariance asked for; the sandwich by default and under its own name."""
    if cov is None or (isinstance(cov, str) and cov.lower() in ("sandwich", "robust")):
        return "HC1"
    return check_kind(resolve_kind(cov, weight_type))


class SavedAnswers(NamedTuple):
    """What a file holds in place of rows: the flow with smaller penalties, estimates and effects."""

    undersmoothed: Solution
    estimates: Estimates
    effects: EffectsResults | None  # None where the summary has none
    target: str = "population"  # whose errors the estimates have


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FlowResults(FittedResult, TakesCovariance, LawPictures, LawAnswers):
    """A fitted density: laws, functionals with standard errors, effects, bands, summary.

    It refers to the rows it was fitted on (no copy).  A result loaded from a file holds none: `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
    >>> res.estimates.table()[["estimate", "std_error"]].round(3).loc[["mean", "q[0.5]"]]
            estimate  std_error
    mean       6.354      0.026
    q[0.5]     6.336      0.028
    """

    facts: FlowFacts
    rows: FlowRows | None = field(default=None, repr=False)
    flow: SplineFlow
    main: Solution
    kind: CovarianceKind | None = None
    saved: SavedAnswers | None = None

    lacks: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("rsquared", "rsquared_adj", "resid", "leverage", "leverages"),
        "it is of least squares; a law is judged by leave_one_out, diagnose() and de.cross_validate",
    )
    pictures: ClassVar[tuple[str, ...]] = ("density", "quantile_fan", "quantile_effects")
    kinds: ClassVar[dict[str, str]] = {"effect": "quantile_effects"}

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and the functionals of the summary."""
        return self.facts.outcome, FUNCTIONALS

    def solution(self) -> Array:
        """The coefficients of the flow (p,)."""
        return self.main.theta

    def fit_again(self, data: Any) -> FlowResults:
        """The spline fitted to ``data``; nothing is tried beside it.

        Files of before may have another base or centre than would be chosen now.
        """
        again = fit_spline(self.model, data, self.kind)
        return again if self.is_same_fit(again) else fit_spline(self.model, data, self.kind, self.flow)

    @cached_property
    def undersmoothed(self) -> Solution:
        """The flow with smaller penalties, from which intervals at rows, effects and bands come."""
        if self.saved is not None:
            return self.saved.undersmoothed
        if self.flow.structure.affine:
            return self.main
        rows: FlowRows = self.data_rows()
        assert self.kind is not None
        return rows.undersmoothed(self.flow, self.kind)

    # ---- laws ----------------------------------------------------------------------------------------------

    def _covariates(self, new: Any, *, warn: bool = True) -> tuple[Array, Any]:
        """Covariates (n, K) of new rows, or of the fit, and their index."""
        if new is None:
            rows = self.data_rows()
            return rows.sample.X, rows.index
        coded = self.spec.matrix(new)
        X = self.spec.without_constant(coded.X)
        if warn:
            warn_outside(self.flow.outside(X), self.spec.names)
        return X, coded.index

    def distribution(self, new: Any = None) -> SplineLaw:
        """The law of the outcome for every row of ``new`` (None: rows of the fit); a single law for ``~ 1``.

        Parameters
        ----------
        new : table with the columns of the right side, or None.

        Returns
        -------
        SplineLaw
            NaN where a covariate is missing.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData

        Warns
        -----
        ExtrapolationWarning
        """
        if not self.flow.structure.covariates:
            law = self.flow.law(self.main.theta, np.zeros((1, 0)), single=True)
        else:
            law = self.flow.law(self.main.theta, self._covariates(new)[0])
        return with_recording(law.named(self.facts.outcome), self.spec)  # type: ignore[no-any-return]

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def llf(self) -> float:
        """Log-likelihood, summed over observations, without the penalty."""
        return self.facts.loglik

    @property
    def edf(self) -> float:
        """Effective parameters: the trace of (information + penalty)⁻¹·information."""
        return self.facts.edf

    @property
    def aic(self) -> float:
        """2·edf − 2·llf; NaN under sampling weights."""
        return float("nan") if self.model.weight_type == "sampling" else 2 * (self.edf - self.llf)

    @property
    def leave_one_out(self) -> float:
        """Leave-one-out log score per observation, by one exact Newton step for each row."""
        sampling = self.model.weight_type == "sampling"
        return self.facts.leave_one_out / (self.facts.rows if sampling else self.facts.observations)

    @property
    def trials(self) -> pd.DataFrame:
        """What "auto" compared: structure, base, leave-one-out per row, its sum less a price.

        The price is one per smoothing parameter in use.  Structures whose scores at a smaller one promised no
        gain were not fitted and are not in it.
        """
        return pd.DataFrame(self.facts.trials, columns=["structure", "base", "leave_one_out", "score"])

    # ---- answers -------------------------------------------------------------------------------------------

    @cached_property
    def estimates(self) -> Estimates:
        """Functionals of the law averaged over the rows, for the population; see `functionals`."""
        return self.functionals(FUNCTIONALS) if self._kept is None else self._kept.estimates

    @property
    def _kept(self) -> SavedAnswers | None:
        """What a file says, as long as the rows or the columns of the covariance are not at hand."""
        return self.saved if self.rows is None or self.kind is None else None

    def answering(self, names: Any, on: Any, *, near: bool) -> Answering:
        """Laws, gradients and estimation of the flow, with smaller penalties if ``near``.

        Numbers at rows, effects and bands come from penalties × 0.25 with one covariate, × 0.03 with more and
        × 0.4 with none, so that bias is small beside the standard error.
        """
        rows: FlowRows = self.data_rows()
        solution = self.undersmoothed if near else self.main
        s = rows.on_line(self.flow.support)
        estimation = replace(self._given_rows(solution), kind=self.kind, sample=s, sampling=rows.sampling)
        read = self._read(names, on, near)
        bent = partial(self.flow.bent, rows.X, self.spec.names)
        weights, scenario = rows.sample.weights, rows.scenario()
        column = partial(rows.column, role="by=")
        return Answering(
            *read[:2],
            partial(self._laws, read[2], solution),
            estimation,
            scenario,
            rows.X,
            weights,
            column,
            bent,
            seen=self._seen(read[2]) if near and self._is_chosen else None,
            check_moments=partial(self._unsupported, read[2], near) if self.held.all else None,
            held=self._held(read[2]),
        )

    def _given_rows(self, solution: Solution) -> SplineEstimation:
        """What the fit says of coefficients, without the rows."""
        return SplineEstimation(self.flow, solution, self.facts.clusters)

    @property
    def held(self) -> Held:
        """The outcomes between which the records of the rows tell the law; all where none is hidden."""
        return ALL if self.facts.records is None else self.facts.records.held

    def _held(self, flow: SplineFlow) -> Held:
        """The same on the scale of a flow."""
        return self.held.on(self.flow.support, flow.support)

    def _unsupported(
        self, flow: SplineFlow, near: bool, law: Averaged, asked: Collection[str]
    ) -> Mapping[str, str]:
        """Kinds of moments of the averaged law that the rows do not support, with reasons."""
        spread = not set(OF_SPREAD).isdisjoint(asked)
        key = (near, flow.support, spread)
        if key not in self._known_unsupported:
            rows: FlowRows = self.data_rows()
            solution, sample = self.undersmoothed if near else self.main, rows.on_line(self.flow.support)
            estimation = SplineEstimation(self.flow, solution, None, "HC0", sample, rows.sampling)
            seen = OfSample.of(self._outcomes(flow, solution), sample.weights, counts=sample.counts)
            self._known_unsupported[key] = unsupported_moments(law, estimation, seen, len(rows.y), spread)
        return self._known_unsupported[key]

    @cached_property
    def _known_unsupported(self) -> dict[Any, Mapping[str, str]]:
        return {}

    @property
    def _is_chosen(self) -> bool:
        """Whether the law given covariates was found, and is no line that the specification assumes."""
        named = isinstance(self.model.flow, MonotoneSpline) and self.model.flow.structure == "linear"
        return bool(self.flow.structure.covariates) and not named

    def _seen(self, flow: SplineFlow) -> Seen:
        """Outcomes on the scale of a flow, with their F(y | x)."""
        rows: FlowRows = self.data_rows()
        (below, above), y = self._pit, self._outcomes(flow, self.undersmoothed)
        free, products = self.flow.free(self.spec.names), None
        if rows.sample.records is not None:
            sample = rows.on_line(self.flow.support)
            products = RecordScores(self.flow, self.undersmoothed.theta, sample).products
        return Seen(y, above, rows.sample.size, free, below, products)

    def _outcomes(self, flow: SplineFlow, solution: Solution) -> Array:
        """The rows' outcomes (n,) on the scale of a flow; of records the mean between their ends."""
        rows: FlowRows = self.data_rows()
        y, told = self._on_scale(flow, rows.y), rows.sample.records
        wide = np.zeros(0) if told is None else told.upper - told.lower
        at = np.flatnonzero(np.isfinite(wide) & (wide > 0))  # others are known, or open
        if told is None or not len(at):
            return y
        low, high = (self._on_scale(flow, end[at]) for end in (told.lower, told.upper))
        out, law = y.copy(), flow.law(solution.theta, rows.sample.X[at])
        out[at] = mean_between(law, low, high, y[at])
        return out

    def _on_scale(self, flow: SplineFlow, y: Array) -> Array:
        """Outcomes on the scale of a flow."""
        return y if flow is self.flow else flow.support.from_line(self.flow.support.to_line(y))

    @cached_property
    def _pit(self) -> tuple[Array | None, Array]:
        """F(y | x) of rows (n,) under the flow with smaller penalties; of records and bins at both ends."""
        rows: FlowRows = self.data_rows()
        told = rows.sample.records
        ends = rows.ends if told is None else (told.lower, told.upper)
        if ends is not None:
            law = self.flow.law(self.undersmoothed.theta, rows.sample.X)
            return np.asarray(law.cdf(ends[0])), np.asarray(law.cdf(ends[1]))
        s, flow = rows.on_line(self.flow.support), self.flow
        r = (s.y - flow.centre.location(s.X)) / flow.centre.scale
        z, _ = RowTransform(flow.structure, s.X).values(self.undersmoothed.theta, r)
        return None, np.asarray(BASES[flow.base].cdf(z))

    def _read(self, names: Any, on: Any, near: bool) -> tuple[list[str], list[Functional], SplineFlow]:
        """Functionals by name, read, and the flow of the outcome on the scale meant."""
        there, scale = flow_on(self.flow, self.main.theta, self.facts.outcome, on)
        given, one, exact = (
            listed(names),
            there.any_law(self.main.theta),
            on is None or there is not self.flow,
        )
        if not near and self.flow.structure.covariates and not (exact and all(map(is_analytic, given))):
            raise no_error_of_average()
        functionals = [functional_on(n, scale, one, exact) for n in given]
        return [functional_name(n) for n in given], functionals, there

    def _laws(self, flow: SplineFlow, solution: Solution, X: Array) -> RowLaws:
        """The laws of rows with a design (n, k); a single one where there are no covariates."""
        if not flow.structure.covariates:
            return SplineRowLaws(flow, solution, np.zeros((1, 0)), single=True)
        of = partial(SplineRowLaws, flow, solution)
        return distinct_laws(self.spec.without_constant(X), of, lambda X: -flow.centre.location(X))

    def row_laws(self, new: Any) -> RowLaws:
        """The laws of new rows; see `LawAnswers`."""
        flow, of = self.flow, partial(SplineRowLaws, self.flow, self.main)
        return distinct_laws(self._covariates(new, warn=False)[0], of, lambda X: -flow.centre.location(X))

    def new_answering(self, names: Any, on: Any, new: Any) -> tuple[NewRows, Any]:
        """What predictions of new rows need; see `LawAnswers`."""
        names_, functionals, flow = self._read(names, on, True)
        X, index = self._covariates(new)
        held = self._held(flow)
        laws = SplineRowLaws(flow, self.undersmoothed, X)
        estimation = self._given_rows(self.undersmoothed)
        without = {} if self.rows is None else self.answering(names, on, near=True).unsupported
        complete = np.asarray(~np.isnan(X).any(axis=1))
        return NewRows(names_, functionals, laws, estimation, without, complete, held), index

    def _known_effects(self, names: Any, on: Any, by: Any, target: str) -> EffectsResults | None:
        """The effects of the summary, which a file holds."""
        plain = on is None and by is None and tuple(listed(names)) == OF_EFFECTS
        known = None if self._kept is None else self._kept.effects
        return known if plain and known is not None and known.target == target else None

    def at(self, new: Any, names: Any = FUNCTIONALS, *, on: Any = None, level: float = LEVEL) -> pd.DataFrame:
        """`predict` with errors and limits, by its older name."""
        return self.predict(new, names, ci=True, on=on, level=level)

    def band(
        self,
        kind: str = "cdf",
        new: Any = None,
        *,
        grid: Any = None,
        level: float = LEVEL,
        seed: Seed = 0,
        target: str = "population",
    ) -> pd.DataFrame:
        """A curve of the law with pointwise limits and a uniform band over the grid (sup-t, by simulation).

        Estimates and bands come from the flow with smaller penalties (see `answering`), so a density looks
        rougher than that of `distribution`.  In 600 samples of 500 rows of a bimodal law, 95 % bands held
        the whole curve in 95 % (cdf), 96 % (density) and 96 % (quantiles) of them.

        Parameters
        ----------
        kind : {"cdf", "pdf", "quantile"}
        new : table of one or more rows whose averaged law is meant, or None for the rows of the fit.
        grid : outcomes (g,), or quantile levels; None for 60 between the .01 and .99 quantiles.
        level : float, confidence level.
        seed : of the simulation of the critical value.
        target : {"population", "sample"}, as in `functionals`; rows of ``new`` are taken as given.

        Returns
        -------
        DataFrame
            Columns y (or tau), estimate, conf_low, conf_high (pointwise), band_low, band_high (all of the
            grid at once).

        Raises
        ------
        OptionError, NeedsData
        """
        check_target(target)
        level = check_level(level)
        if new is None:
            a = self.of_outcome(near=True)
            averaged = a.whole
            whose, estimation = target if a.conditional else "sample", a.estimation
        else:
            X, held = self._covariates(new)[0], self._held(self.flow)
            laws: RowLaws = SplineRowLaws(self.flow, self.undersmoothed, X)
            corner = corner_of(self.spec)
            if corner is not None:
                laws, held = recorded_laws(laws, corner), held.beyond_of(corner.low, corner.high)
            averaged = Averaged(laws, np.full(len(X), 1 / len(X)), held)
            whose, estimation = "sample", self._given_rows(self.undersmoothed)
        return band(averaged, kind, grid, level, seed_sequence(seed), estimation, whose)

    # ---- checks and pictures -------------------------------------------------------------------------------

    def diagnose(self, folds: int = 5, *, seed: Seed = None) -> FlowDiagnosis:
        """Probability transforms and scores of rows that the fit has not seen, fold by fold.

        Parameters
        ----------
        folds : int.
        seed : of the division into folds.

        Returns
        -------
        FlowDiagnosis

        Raises
        ------
        OptionError, WithheldError, NeedsData
        """
        checks.not_of_source(self.data_rows().design, "diagnose()")
        sample = self.data_rows().sample
        held_out = partial(checking.spline_held_out, sample, plan_of(self.model), self.flow.support)
        return checking.diagnose(len(sample.y), sample.counts, folds, seed, held_out)

    def test_linear_normal(self, reps: int = 199, *, seed: Seed = None) -> TestResult:
        """Test that a normal linear model suffices, by parametric bootstrap of the likelihood ratio.

        Parameters
        ----------
        reps : int, draws from the normal linear model; each is fitted as the sample was.
        seed : of the draws.

        Returns
        -------
        TestResult

        Raises
        ------
        OptionError, WithheldError, NeedsData
        """
        return self._bootstrap_test(
            lambda sample, _: Hypothesis(sample, SplinePlan("linear", "normal"), "a normal linear model"),
            reps,
            seed,
        )

    def _bootstrap_test(
        self, null: Callable[[SplineSample, SplinePlan], Hypothesis], reps: int, seed: Seed
    ) -> TestResult:
        rows, plan, what = self.data_rows(), plan_of(self.model), "A test by parametric bootstrap"
        checks.not_of_source(rows.design, what)
        sample, told = rows.on_line(self.flow.support), records_again(rows, what)
        hypothesis = null(sample, plan)
        return checking.bootstrap_test(sample, plan, hypothesis, self.flow.support, reps, seed, told)

    def test_no_effect(self, variable: str, reps: int = 199, *, seed: Seed = None) -> TestResult:
        """Test that a variable does not enter at all, neither location nor shape, by parametric bootstrap.

        Parameters
        ----------
        variable : a column of the right side.
        reps : int, draws from the flow without it; each is fitted as the sample was.
        seed : of the draws.

        Returns
        -------
        TestResult

        Raises
        ------
        OptionError, MissingColumnError, WithheldError, NeedsData
        """
        keep, words = self.data_rows().columns_without(variable), f"no effect of {variable}"
        return self._bootstrap_test(lambda s, plan: Hypothesis.without(s, plan, keep, words), reps, seed)

    @property
    def _truth(self) -> dict[str, float]:
        """The functionals that other rows, recorded as these, will tell too."""
        told, names = self.facts.records, list(self.params.index)
        surely = [
            told is None or kind != "q" or told.tells_again(float(numbers[0]), self.facts.observations)
            for kind, numbers in self._read(names, None, False)[1]
        ]
        truth: dict[str, float] = self.params[surely].dropna().to_dict()
        return truth

    def _refitting(self) -> Refitting:
        rows = self.data_rows()
        checks.not_of_source(rows.design, "monte_carlo()")
        return refitting(
            self.model,
            rows,
            self.kind,
            outcome=rows.y,
            law=self.flow.law(self.main.theta, rows.sample.X),
            truth=self._truth,
            options={"cov": self.kind},
            fitted_only=AVERAGED if self.spec.variables else "",
        )

    # ---- covariance ----------------------------------------------------------------------------------------

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        kind = _kind(cov, self.model.weight_type)
        main, V = rows.solution(self.flow, kind)
        return {"rows": rows, "main": main, "kind": kind, "facts": self.facts.under(V), "saved": None}

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = LEVEL) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, estimates, effects = check_level(level), self.estimates, self._summary_effects
        target = "population" if self._kept is None else self._kept.target
        names = covariate_names(self.spec.names)
        recording = self.spec.recording
        return summary_of(
            self.model, self.flow, self.facts, estimates, effects, names, target, level, recording
        )

    @cached_property
    def _summary_effects(self) -> EffectsResults | None:
        """Effects as a summary shows them; None where there are no covariates, or a file has none."""
        if self._kept is not None:
            return self._kept.effects
        return self.effects() if self.flow.structure.covariates else None

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, flow, both solutions, and the functionals with their limits."""
        flow, own = self.flow.to_parts()
        e, effects = self.estimates, self._summary_effects
        arrays = {f"flow_{k}": v for k, v in own.items()}
        arrays |= {"values": e.values, "covariance": e.covariance, "limits": e.interval(LEVEL)}
        for name, solution in (("main", self.main), ("under", self.undersmoothed)):
            arrays |= {f"{name}_{part}": np.asarray(getattr(solution, part)) for part in _SOLUTION}
        estimator = {k: v for k, v in asdict(self.model).items() if k != "train"}
        words = {"estimator": estimator, "flow": flow, "functionals": list(e.names), "target": "population"}
        if effects is not None:
            more, numbers = effects.to_file()
            words, arrays = words | {"effects": more}, arrays | numbers
        return words, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> FlowResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        spec, facts, names = header.spec, header.facts, header.functionals
        K = sum(name != "Intercept" for name in spec.names)
        flow = SplineFlow.from_parts(header.flow, saved.numbers(header.flow.arrays(), K=K))
        if len(flow.structure.covariates) != K:
            raise FileFormatError("the covariates of the flow are not those of the formula")
        if not set(facts.effective) <= {t.kind for t in flow.structure.terms}:
            raise FileFormatError("the effective parameters are not those of the flow")
        arrays = saved.numbers(_ARRAYS, q=len(names), p=flow.structure.size)
        main, under = (_solution(arrays, which) for which in ("main", "under"))
        df = SplineEstimation(flow, main, facts.clusters).df
        title = law_title(spec.outcome.name, header.target if K else None)
        estimates = saved_estimates(names, arrays, df, facts.clusters, title)
        effects = saved_effects(saved, header.effects, estimates)
        return cls(
            **header.fields_of(saved, arrays),
            flow=flow,
            main=main,
            kind=KINDS.get(facts.cov_label),
            saved=SavedAnswers(under, estimates, effects, header.target),
        )


@dataclass(frozen=True, kw_only=True)
class _Header(FitHeader):
    """The header of a file; those of 0.1.0 took the rows as given, and wrote other effects or none."""

    facts: FlowFacts
    flow: FlowHeader
    functionals: tuple[str, ...]
    target: Literal["population", "sample"] = "sample"
    effects: EffectsHeader | None = None


def _solution(arrays: dict[str, Array], which: str) -> Solution:
    theta, V, root, penalty, effective = (arrays[f"{which}_{part}"] for part in _SOLUTION)
    return Solution(theta, V, root, penalty, float(effective))


_SOLUTION = {
    "theta": Numbers("p"),
    "covariance": Numbers("p p", "a covariance"),
    "root": Numbers("p p"),
    "penalty": Numbers("p p"),
    "effective": Numbers(""),
}
_ARRAYS = {
    "values": Numbers("q", "any"),
    "covariance": Numbers("q q", "a covariance"),
    "limits": Numbers("q 2", "any"),
    **{f"{which}_{part}": what for which in ("main", "under") for part, what in _SOLUTION.items()},
}
