"""The result that estimators of a binary outcome share.

Estimates, fit, residuals, predictions, tests, tables, files.

An estimator is a kernel (the law of y given the index) and a specification; nothing here knows which.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, or_ones
from disteconometrics.checks import flag
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.table import Table
from disteconometrics.distributions.bernoulli import Bernoulli
from disteconometrics.errors import FileFormatError, NeedsData, OptionError, WithheldError
from disteconometrics.estimators.binary import diagnostics as diagnose
from disteconometrics.estimators.binary.answers import BinaryAnswers
from disteconometrics.estimators.binary.extrapolation import Ranges, seen_ranges
from disteconometrics.estimators.binary.fit import BinaryFacts, BinaryRows, estimate
from disteconometrics.estimators.binary.fitted_index import FittedIndex, Infinite
from disteconometrics.estimators.binary.likelihood_tests import LikelihoodTests, has_dependent_rows
from disteconometrics.estimators.binary.margins import MarginsResults, margins, margins_as_statsmodels
from disteconometrics.estimators.binary.penalty import LEVEL, ProfileLimits, check_options
from disteconometrics.estimators.binary.report import summary_of
from disteconometrics.estimators.law_answers import groups_of
from disteconometrics.estimators.refit import refitting_result, success_labels
from disteconometrics.estimators.results import (
    CoefficientsHeader,
    FittedResult,
    SavedResult,
)
from disteconometrics.estimators.rows import FitRows
from disteconometrics.fields import Numbers
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    Cluster,
    CovarianceKind,
    covariance,
    resolve_kind,
)
from disteconometrics.inference.diagnostics import (
    Calibration,
    Classification,
    HosmerLemeshow,
    Influence,
    RocCurve,
    calibration,
    classification,
    influence,
    link_test,
    roc,
)
from disteconometrics.inference.effects import ProbabilityCurve, probability_curve
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.protocols import Refitting
from disteconometrics.likelihoods.index_model import index
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.report import exchange
from disteconometrics.report.marginaleffects import marginaleffects_model
from disteconometrics.tables import Summary
from disteconometrics.threads import threads_for

__all__ = ["BinaryResults", "fit_binary", "fit_binary_rows"]

PENALISED_SAMPLE = "Firth's penalty has no population of which the sample's estimate is the truth"


def fit_binary(
    model: Any,
    data: Any,
    *,
    cov: CovarianceKind | None,
    use_t: bool,
    maxiter: int,
    n_jobs: int | None = None,
    cache: Any = "auto",
) -> BinaryResults:
    """Fit a specification to a table and give the estimates a covariance; see `estimate` and `covariance`."""
    kind, t = resolve_kind(cov, model.weight_type, surveys=True), flag(use_t, "use_t")
    streams = model.likelihood_penalty is None
    read = FitRows.read(model, data, streams=streams, n_jobs=n_jobs, cache=cache)
    return fit_binary_rows(model, read, kind=kind, use_t=t, maxiter=maxiter)


def fit_binary_rows(
    model: Any, read: FitRows, *, kind: CovarianceKind, use_t: bool, maxiter: int = 100
) -> BinaryResults:
    """The same on rows that have been read, with a covariance that `resolve_kind` has checked."""
    clusters = kind.columns if isinstance(kind, Cluster) else ()
    with threads_for(len(read.names)), read.let_go():
        rows, facts, infinite = estimate(model, read, maxiter=maxiter, clusters=clusters)
        if rows.penalised is not None:
            check_options(kind, use_t)
        V = covariance(rows.equation, kind, rows.sampling)
    return BinaryResults(
        model=model,
        spec=rows.spec,
        facts=replace(facts, kept=rows.kept_source, readings=rows.end()),
        rows=rows,
        coefficients=rows.equation.params,
        covariance=V,
        use_t=use_t,
        infinite=infinite,
    )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BinaryResults(BinaryAnswers, LikelihoodTests, FittedResult):
    """A fitted binary-outcome model: estimates, fit, tests, predictions.

    It refers to the rows it was fitted on (no copy), so `with_cov`, residuals and tests can be asked for
    later; do not change the data in place meanwhile.  A result loaded from a file holds no rows; `attach`
    gives them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector())
    >>> res.bse.round(4).to_dict()
    {'Intercept': 4.213, 'GPA': 1.2229, 'PSI': 1.0408}
    """

    facts: BinaryFacts
    rows: BinaryRows | None = field(default=None, repr=False)
    infinite: Infinite | None = None
    profile: Array | None = None  # of a saved penalised fit: (k, 3), its 95 % limits and signed roots

    pictures: ClassVar[tuple[str, ...]] = ("coefficients", "effect")

    @property
    def kernel(self) -> Kernel:
        """The law of the outcome given the index."""
        kernel: Kernel = self.model.kernel
        return kernel

    # ---- estimates -----------------------------------------------------------------------------------------

    @cached_property
    def estimates(self) -> Estimates:
        """Estimates with standard errors, tests and intervals; ±inf and NaN for separated coefficients."""
        values, V = self.coefficients, self.covariance.matrix
        if self.infinite is not None:
            mask = self.infinite.masked()
            values = np.where(mask, self.infinite.limits(), values)
            V = np.where(mask[:, None] | mask[None, :], np.nan, V)
        plain = Estimates(self.spec.names, values, V, self.degrees_of_t, clusters=self.covariance.clusters)
        if self.facts.penalty is None:
            return plain
        fit = None if self.rows is None else self.rows.penalised
        profile = ProfileLimits(self.spec.names, fit, self.profile)
        return replace(plain, limits=profile.limits, roots=profile.roots)

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        kind = resolve_kind(cov, self.model.weight_type, surveys=True)
        if self.facts.penalty is not None:
            check_options(kind, self.use_t if use_t is None else use_t)
        return {"covariance": covariance(rows.equation, kind, rows.sampling)}

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> float:
        """Coefficients."""
        return float(len(self.spec.names))

    @property
    def llf(self) -> float:
        """Log-likelihood, summed over observations (its supremum under separation.

        Pseudo under sampling weights).

        Under Firth's penalty, the unpenalised one at the estimate; `llf_penalised` is the one maximised.
        """
        return self.facts.loglik

    @property
    def llf_penalised(self) -> float:
        """Log-likelihood plus ½ log|information| at the estimate; NaN without Firth's penalty."""
        return self.facts.penalised_loglik

    @property
    def llnull(self) -> float:
        """Log-likelihood with a constant alone."""
        return self.facts.null_loglik

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic against the constant alone.

        NaN under sampling weights or without a constant.

        Under Firth's penalty it is the penalised one, both maxima with the penalty of all coefficients.
        """
        if not self.has_likelihood or not self.facts.nested_null:
            return float("nan")
        return 2 * (self.llf - self.llnull) if self.facts.penalty is None else self.facts.penalised_lr

    @property
    def llr_pvalue(self) -> float:
        """p-value of `llr` from χ² with `df_model` degrees of freedom; NaN under clusters and lags.

        `wald_pvalue` takes the covariance.
        """
        return (
            float(special.chdtrc(self.df_model, max(self.llr, 0.0)))
            if self.df_model and self.llr == self.llr and not has_dependent_rows(self.covariance)
            else float("nan")
        )

    @property
    def prsquared(self) -> float:
        """McFadden's pseudo R², 1 − llf/llnull."""
        return 1 - self.llf / self.llnull

    def fit_again(self, data: Any) -> BinaryResults:
        """The result of the same specification on ``data``, by which `attach` knows the rows again."""
        return fit_binary(self.model, data, cov=None, use_t=False, maxiter=1000)

    # ---- rows ----------------------------------------------------------------------------------------------

    def _fitted(self) -> tuple[BinaryRows, Array]:
        rows = self.data_rows()
        return rows, self.fitted_index.probability(self._matrix(rows), rows.offset)

    def _matrix(self, rows: BinaryRows) -> Any:
        """The design as it is kept, or with all columns where separation asks for them."""
        return rows.matrix if self.infinite is None else rows.X

    def _by_row(self, rows: BinaryRows, values: Array) -> pd.Series:
        return pd.Series(values, index=rows.index)

    @property
    def fittedvalues(self) -> pd.Series:
        """Fitted probabilities P(y = 1) of the rows used (n,).

        For x'β, statsmodels' meaning, use ``predict(linear=True)``.
        """
        rows, p = self._fitted()
        return self._by_row(rows, p)

    @property
    def resid_response(self) -> pd.Series:
        """y − p (n,)."""
        rows, p = self._fitted()
        return self._by_row(rows, rows.y - p)

    @property
    def resid_pearson(self) -> pd.Series:
        """(y − p)/√(p(1 − p)) (n,), times the root of frequency weights' unit.

        One observation of each row.
        """
        rows, p = self._fitted()
        q = self.kernel.complement(self.fitted_index.value(self._matrix(rows), rows.offset))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(rows.y == 1, np.sqrt(q / p), -np.sqrt(p / q))
        return self._by_row(rows, ratio)

    @property
    def resid_deviance(self) -> pd.Series:
        """±√(−2·log-likelihood of the row), with the sign of y − p (n,)."""
        rows = self.data_rows()
        loglik = self.kernel.terms(rows.y, self.fitted_index.value(self._matrix(rows), rows.offset)).loglik
        return self._by_row(rows, (2 * rows.y - 1) * np.sqrt(-2 * loglik))

    resid_dev = resid_deviance

    @property
    def leverage(self) -> pd.Series:
        """Leverage h (n,) of the weighted design: its sum is the number of coefficients.

        Zero on separated rows.
        """
        rows = self.data_rows()
        values = [
            np.square(p.roots @ rows.equation.inner).sum(axis=1) * (1.0 if p.copies is None else p.copies)
            for p in rows.equation.source()
        ]
        out = np.zeros(len(rows.y))
        out[slice(None) if rows.counted is None else rows.counted] = np.concatenate([np.zeros(0), *values])
        return self._by_row(rows, out)

    # ---- prediction ----------------------------------------------------------------------------------------

    @property
    def fitted_index(self) -> FittedIndex:
        """The index x'β of any rows, with errors and probabilities; ±inf where separation decides."""
        e = self.estimates
        return FittedIndex(
            self.kernel, self.coefficients, self.covariance, e.df, self.infinite, self.facts.flic
        )

    @cached_property
    def seen(self) -> Ranges:
        """The range of every number in the rows of the fit; nothing where these are not at hand."""
        return {} if self.rows is None or self.rows.streamed else seen_ranges(self.rows.scenario())

    def _new_rows(self, new: Any) -> tuple[Array, Array | None, pd.Index]:
        if new is None:
            own = self.data_rows()
            return self._matrix(own), own.offset, own.index
        rows = self.spec.matrix(new)
        return rows.X, rows.offset, rows.index

    def distribution(self, new: Any = None) -> Bernoulli:
        """The Bernoulli law of the outcome for every row of ``new`` (None: the rows of the fit)."""
        X, offset, _ = self._new_rows(new)
        eta = self.fitted_index.value(X, offset)
        return Bernoulli(
            self.kernel.probability(eta), str(self.spec.outcome.success), self.kernel.complement(eta)
        )

    def probability_curve(
        self, variable: str, *, at: Any = None, level: float = 0.95, data: Any = None, rows: int = 10_000
    ) -> ProbabilityCurve:
        """Average predicted probability along a variable, the others as observed; `plots.effect` draws it.

        Parameters
        ----------
        variable, at, level, data, rows : as in `plots.effect`.

        Returns
        -------
        ProbabilityCurve

        Raises
        ------
        MissingColumnError, NeedsData, OptionError, LevelError, DataError
        """
        if data is None and self.rows is None:
            raise NeedsData(
                "This result was loaded from a file, which holds no rows: pass data= with the table to "
                "average over."
            )
        table = self.data_rows().design.table if data is None else Table(data)
        scenario = self.data_rows().scenario() if data is None else Scenario.of_data(self.spec, data)
        return self._curve(table, scenario, variable, at, rows, level)

    def probability_curves(
        self, variable: str, by: Any, *, at: Any = None, level: float = 0.95, rows: int = 10_000
    ) -> dict[str, ProbabilityCurve]:
        """The same for groups of the rows of the fit, at the same values of the variable.

        Parameters
        ----------
        variable, at, level, rows : as in `plots.effect`.
        by : a column of the table, or a list of columns.

        Returns
        -------
        dict of ProbabilityCurve by the words of the group

        Raises
        ------
        MissingColumnError, NeedsData, OptionError, LevelError, DataError
        """
        own = self.data_rows()
        table, scenario = own.design.table, own.scenario()
        w = or_ones(scenario.weights, scenario.size)
        groups = groups_of(partial(own.column, role="by="), by, w)
        if at is None:
            at = self._curve(table, scenario, variable, None, 1, level).table.index.tolist()
        return {
            words.removeprefix(" | "): self._curve(
                table, scenario.take(np.flatnonzero(shares)), variable, at, rows, level
            )
            for words, shares in groups
        }

    def _curve(
        self, table: Table, scenario: Scenario, variable: str, at: Any, most: int, level: float
    ) -> ProbabilityCurve:
        """The average probability along a variable over some rows of a table."""
        curve = probability_curve(
            table,
            scenario,
            variable,
            at=at,
            most=most,
            kernel=self.kernel,
            index=self.fitted_index.value,
            coordinates=self.covariance.coordinates,
            critical=self.estimates.critical(check_level(level)),
        )
        if self.infinite is not None:
            curve.table.attrs["note"] = "Separated fit: band of the finite part"
        return curve

    # ---- marginal effects ----------------------------------------------------------------------------------

    def margins(
        self,
        variables: Any = None,
        *,
        at: Any = "overall",
        kind: str = "dydx",
        target: str = "sample",
        by: Any = None,
        data: Any = None,
        level: float = 0.95,
    ) -> MarginsResults:
        """Average marginal effects on P(y = 1) through the formula, with delta-method errors.

        See `estimators.binary.margins`.

        Parameters
        ----------
        variables : name, list of names, or dict such as ``{"kids": (0, 1), "d": "derivative"}``; None for
            all.
        at : "overall", "mean", or a dict of values or lists of values that some variables are fixed at.
        kind : {"dydx", "eyex", "dyex", "eydx"}, derivatives and (semi-)elasticities.
        target : {"sample", "population"}
            Effects in these rows, as in statsmodels and Stata, or in the population that they were drawn
            from: then the sampling of the rows adds to the error, with what it shares with the estimates.
        by : a column, or a list of columns, whose groups are averaged apart with one covariance, so that
            ``.nlcom("a - b")`` has contrasts of groups; None for all rows.
        data : table to average over, None for the rows of the fit.
        level : float, confidence level of the table.

        Returns
        -------
        MarginsResults

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError, NeedsData, WithheldError

        Warns
        -----
        ExtrapolationWarning
            If a variable is set outside the range that the rows of the fit have, where these are at hand.

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.Logit("affair ~ age + yrs_married + I(yrs_married**2)").fit(de.datasets.fair())
        >>> res.margins().estimates.table()[["estimate", "std_error"]].round(4)
                     estimate  std_error
        age           -0.0116     0.0019
        yrs_married    0.0266     0.0017
        """
        rows = self.data_rows().averaged() if data is None else Scenario.of_data(self.spec, data)
        options: dict[str, Any] = {"at": at, "kind": kind, "target": target, "by": by, "level": level}
        return margins(self.fitted_index, rows, variables, **options, own=self.rows, ranges=self.seen)

    def get_margeff(
        self,
        at: str = "overall",
        method: str = "dydx",
        *,
        dummy: bool = False,
        level: float = 0.95,
        **unknown: Any,
    ) -> MarginsResults:
        """statsmodels' name of `margins`; 0–1 columns get derivatives unless ``dummy``, as there."""
        rows = self.data_rows().averaged()
        return margins_as_statsmodels(self.fitted_index, rows, at, method, dummy, level, unknown)

    # ---- tables --------------------------------------------------------------------------------------------

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """exp(β) of a logit with delta-method errors, z and p of β = 0, and limits exp(limits of β)."""
        if self.kernel.scale != "log-odds":
            raise OptionError(
                f"exp(β) is an odds ratio in a logit only; the index of this model is the "
                f"{self.kernel.scale}."
            )
        return self.estimates.exponentiated(level)

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        overall = ("Wald", self.wald_pvalue) if self.covariance.robust else ("LLR", self.llr_pvalue)
        return summary_of(self.model, self.spec, self.facts, self.covariance, self.estimates, overall, level)

    def plot_effect(self, variable: str, **options: Any) -> Any:
        """Draw the average predicted probability along a variable with its band; see `plots.effect`."""
        return self.plot("effect", variable, **options)

    # ---- simulation ----------------------------------------------------------------------------------------

    def _refitting(self) -> Refitting:
        if self.infinite is not None:
            raise WithheldError(
                "Some estimates are infinite (separation), so there is no fitted law to draw from; use "
                "penalty='firth'."
            )
        rows, penalised = self.data_rows(), self.facts.penalty is not None
        if rows.streamed:
            raise rows.design.needs_rows()
        (block,) = rows.design.blocks()
        eta = index(block, self.coefficients)
        success = str(self.spec.outcome.success)
        return refitting_result(
            self,
            law=Bernoulli(self.kernel.probability(eta), success, self.kernel.complement(eta)),
            labels=success_labels(self.spec.outcome),
            fitted_only=PENALISED_SAMPLE if penalised else "",
            robust="" if penalised else "HC0",
        )

    # ---- files ---------------------------------------------------------------------------------------------

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, covariance, coefficients, directions of separation, 95 % profile under a penalty."""
        own, arrays = super().to_file()
        if self.infinite is not None:
            arrays |= {name: a for name, a in asdict(self.infinite).items() if a is not None}
        if self.facts.penalty is not None:
            e = self.estimates
            arrays["profile"] = np.column_stack([e.interval(LEVEL), e.statistic])
        return own, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> BinaryResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        arrays = saved.numbers(_arrays(saved.arrays), k=len(header.spec.names))
        facts, infinite = header.facts, None
        if "direction" in arrays:
            infinite = Infinite(**{f.name: arrays[f.name] for f in fields(Infinite) if f.name in arrays})
        if header.spec.outcome.kind != "binary":
            raise FileFormatError("the outcome is not binary")
        if (infinite is not None and facts.separation is None) or (
            (facts.penalty is None) != ("profile" not in arrays)
        ):
            raise FileFormatError("what it says of separation or a penalty does not belong to its arrays")
        return cls(
            **header.fields_of(saved, arrays),
            infinite=infinite,
            profile=arrays.get("profile"),
        )

    # ---- diagnostics ---------------------------------------------------------------------------------------

    def _observed(self, data: Any) -> diagnose.Observed:
        """Outcomes, probabilities and weights of the rows of the fit, or of complete rows of ``data``."""
        if data is None:
            rows = self.data_rows()
            return diagnose.Observed(rows.y, self.fittedvalues.to_numpy(), rows.weights)
        X, offset, _ = self._new_rows(data)  # what is out of range is among what outcomes will show
        p = self.fitted_index.probability(X, offset)
        return diagnose.complete(self.spec.outcome_values(data), p, data, self.model.weights)

    @property
    def _dependence(self) -> str | None:
        return diagnose.dependence(self.model.weight_type, self.covariance.label)

    def _check_independent(self, what: str, remedy: str) -> None:
        if self.infinite is not None:
            raise WithheldError(f"{what} needs a finite maximum; this fit is separated.")
        diagnose.check_independent(what, remedy, self._dependence)

    def hosmer_lemeshow(self, groups: int = 10) -> HosmerLemeshow:
        """Test whether outcomes come as often as fitted, by groups of probability.

        See `diagnostics.hosmer_lemeshow`.
        """
        self._check_independent("The Hosmer-Lemeshow test", "Use calibration(), which needs no law.")
        return diagnose.hosmer_lemeshow(self._observed(None), groups)

    def link_test(self) -> Estimates:
        """Test link and index: the p-value of ``index_squared`` is small if they are wrong.

        See `diagnostics.link_test`.
        """
        remedy = "Add squares or interactions to the formula and test them with test()."
        self._check_independent("The link test", remedy)
        rows = self.data_rows()
        return link_test(self.kernel, rows.y, self.predict(linear=True).to_numpy(), rows.weights)

    def classification(self, threshold: float = 0.5, *, data: Any = None) -> Classification:
        """Predictions p > threshold against outcomes, with measures; ``data`` takes other rows.

        See `diagnostics`.
        """
        seen = self._observed(data)
        return classification(seen.y, seen.p, threshold, seen.weights)

    def roc(self, *, data: Any = None) -> RocCurve:
        """ROC curve and the area under it, with DeLong's standard error; ``data`` takes other rows.

        See `diagnostics.roc`.
        """
        withheld = diagnose.without_error("the area", self._dependence)
        return roc(*self._observed(data), withheld=withheld)

    def calibration(self, groups: int = 10, *, data: Any = None) -> Calibration:
        """Calibration intercept, slope, groups and Brier score; ``data`` takes other rows.

        See `diagnostics.calibration`.
        """
        seen = self._observed(data)
        withheld = diagnose.without_error("calibration", self._dependence)
        return calibration(seen.y, seen.p, groups, seen.weights, withheld)

    def influence(self) -> Influence:
        """Leverage, Cook's distance and dfbetas of the rows; see `diagnostics.influence`."""
        if self.infinite is not None:
            raise WithheldError("Influence needs a finite maximum; this fit is separated.")
        rows = self.data_rows()
        return influence(rows.equation, rows.index)

    # ---- other packages' words -----------------------------------------------------------------------------

    def augment(self, data: Any = None) -> pd.DataFrame:
        """Rows of the fit with fitted, resid (deviance), std_resid, hat, cooksd.

        Rows of ``data`` with fitted and se_fit.
        """
        if data is not None:
            return exchange.augment_new(diagnose.frame_of(data), self.predict(data, ci=True))
        frame = diagnose.formula_columns(self.data_rows())
        return exchange.augment(frame, self.fittedvalues, self.resid_deviance, self.influence())

    def to_marginaleffects(self) -> Any:
        """The fit as a model that ``marginaleffects.avg_slopes``, ``predictions`` and ``comparisons`` take.

        See `report`.

        Its ``vcov=`` takes what ``cov=`` does.  Averages count every row once; pass ``wts=`` for the model's
        weights.

        Raises
        ------
        ImportError, NeedsData, WithheldError
        """
        if self.infinite is not None:
            raise WithheldError(
                "This fit is separated, and differences of infinite coefficients are none; use margins()."
            )

        def predict(beta: Array, X: Array, offset: Array) -> Array:
            return self.kernel.probability(X @ beta + offset + self.facts.flic)

        def matrix(cov: Any) -> Array:
            return (self if cov is True else self.with_cov(cov)).covariance.matrix

        design, df = self.data_rows().design, self.estimates.df
        return marginaleffects_model(design, self.coefficients, predict, matrix, df)

    # ---- statsmodels' names --------------------------------------------------------------------------------

    def get_prediction(self, new: Any = None, *, level: float = 0.95) -> pd.DataFrame:
        """statsmodels' name of ``predict(new, ci=True)``."""
        frame: pd.DataFrame = self.predict(new, ci=True, level=level)
        return frame

    def pred_table(self, threshold: float = 0.5) -> Array:
        """Counts of rows (2, 2): outcome 0, 1 down, prediction 0, 1 (p > threshold) across."""
        rows, p = self._fitted()
        weights = rows.weights if rows.frequency else None
        cell = (2 * rows.y + (p > threshold)).astype(np.intp)
        return np.bincount(cell, weights, minlength=4).astype(np.float64).reshape(2, 2)


@dataclass(frozen=True, kw_only=True)
class _Header(CoefficientsHeader):
    """The header of a file."""

    facts: BinaryFacts


def _arrays(names: Collection[str]) -> dict[str, Numbers]:
    """The arrays of a file; under separation some estimates are infinite or not known."""
    separated = "direction" in names
    table = {"params": Numbers("k", "any" if separated else "finite"), **COVARIANCE_ARRAYS}
    if separated:
        table |= {"direction": Numbers("k"), "null": Numbers("k m"), "extremes": Numbers("k q")}
        table["separated"] = Numbers("u m", optional=True)
    return {**table, "profile": Numbers("k 3", "any", optional=True)}
