"""The result that estimators of a binary outcome share: estimates, fit, residuals, predictions, tests, tables, files.

An estimator is a kernel (the law of y given the index) and a specification; nothing here knows which.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from disteconometrics.blocks import Block
from disteconometrics.data.design import Design
from disteconometrics.data.spec import DesignSpec
from disteconometrics.distributions.bernoulli import Bernoulli
from disteconometrics.errors import DataError, NeedsData, OptionError, WithheldError
from disteconometrics.estimators.binary import diagnostics as diagnose
from disteconometrics.estimators.binary.firth import (
    LEVEL,
    ProfileLimits,
    check_options,
    note,
    penalised_test,
    smaller,
)
from disteconometrics.estimators.binary.fit import (
    NEARLY_DEPENDENT,
    BinaryModel,
    FitFacts,
    Infinite,
    Rows,
    estimate,
    success_of,
)
from disteconometrics.estimators.binary.margins import MarginsResults, margins, margins_as_statsmodels
from disteconometrics.estimators.binary.refit import refitting
from disteconometrics.inference.covariance import (
    COVARIANCES,
    Covariance,
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
)
from disteconometrics.inference.estimates import Estimated, Estimates, TestResult, check_level, chi2_test
from disteconometrics.likelihoods.binary import Kernel
from disteconometrics.likelihoods.index_model import IndexModel, index
from disteconometrics.optim.newton import Maximum, maximise
from disteconometrics.report import exchange
from disteconometrics.report.archive import write_archive
from disteconometrics.report.marginaleffects import marginaleffects_model
from disteconometrics.report.summary import Summary, estimates_section, number, p_value, rows_dropped
from disteconometrics.simulate.self_check import Refitting, SelfChecking

__all__ = ["BinaryResults", "fit_binary", "restore"]

Array = NDArray[np.float64]


def fit_binary(
    model: BinaryModel, kernel: Kernel, data: Any, *, cov: CovarianceKind | None, use_t: bool, maxiter: int
) -> BinaryResults:
    """Fit a specification to a table and give the estimates a covariance; see `estimate` and `covariance`."""
    kind = resolve_kind(cov, model.weight_type)
    fit = estimate(model, kernel, data, maxiter=maxiter)
    rows = fit.rows
    if rows.penalised is not None:
        check_options(kind, use_t)
    V = covariance(rows.equation, kind, codes=rows.codes, order=rows.order)
    return BinaryResults(
        model, kernel, fit.spec, rows.equation.params, V, bool(use_t), fit.facts, fit.infinite, rows
    )


@dataclass(frozen=True, eq=False)
class BinaryResults(Estimated, SelfChecking):
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

    model: BinaryModel
    kernel: Kernel
    spec: DesignSpec
    coefficients: Array
    covariance: Covariance
    use_t: bool
    facts: FitFacts
    infinite: Infinite | None
    rows: Rows | None
    profile: Array | None = None  # of a saved penalised fit: (k, 3), its 95 % limits and signed roots

    def _table_names(self) -> tuple[str, Sequence[str]]:
        return self.spec.outcome.name, self.spec.names

    # ---- estimates -----------------------------------------------------------------------------------------

    @cached_property
    def estimates(self) -> Estimates:
        """Estimates with standard errors, tests and intervals; ±inf and NaN for separated coefficients."""
        values, V = self.coefficients, self.covariance.matrix
        if self.infinite is not None:
            mask = self.infinite.masked()
            values = np.where(mask, self.infinite.limits(), values)
            V = np.where(mask[:, None] | mask[None, :], np.nan, V)
        profile = None
        if self.facts.penalty is not None:
            profile = ProfileLimits(
                self.spec.names, None if self.rows is None else self.rows.penalised, self.profile
            )
        return Estimates(
            self.spec.names, values, V, self.covariance.degrees_of_freedom if self.use_t else np.inf, profile
        )

    def with_cov(self, cov: CovarianceKind, *, use_t: bool | None = None, data: Any = None) -> BinaryResults:
        """Return the same estimates with another covariance; nothing is estimated again.

        Parameters
        ----------
        cov : as in ``fit``.
        use_t : bool or None, None keeps the choice of the fit.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        BinaryResults

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        """
        rows = self._need_rows(data)
        if self.facts.penalty is not None:
            check_options(resolve_kind(cov, self.model.weight_type), bool(use_t))
        V = covariance(
            rows.equation, resolve_kind(cov, self.model.weight_type), codes=rows.codes, order=rows.order
        )
        return replace(self, covariance=V, use_t=self.use_t if use_t is None else bool(use_t))

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def converged(self) -> bool:
        """Whether a maximum was reached; False under separation."""
        return self.facts.converged

    @property
    def nobs(self) -> float:
        """Observations: rows used, or the sum of frequency weights."""
        return self.facts.observations

    @property
    def df_model(self) -> float:
        """Coefficients beyond the constant."""
        return float(len(self.spec.names) - self.facts.nested_null)

    @property
    def df_resid(self) -> float:
        """Observations less coefficients."""
        return self.facts.observations - len(self.spec.names)

    @property
    def llf(self) -> float:
        """Log-likelihood, summed over observations (its supremum under separation; pseudo under sampling weights).

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
    def _likelihood_counts(self) -> bool:
        return self.model.weight_type != "sampling"

    @property
    def _criteria_count(self) -> bool:
        return self._likelihood_counts and self.facts.penalty is None

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic against the constant alone; NaN under sampling weights or without a constant.

        Under Firth's penalty it is the penalised one, both maxima with the penalty of all coefficients.
        """
        if not self._likelihood_counts or not self.facts.nested_null:
            return float("nan")
        return 2 * (self.llf - self.llnull) if self.facts.penalty is None else self.facts.penalised_lr

    @property
    def llr_pvalue(self) -> float:
        """p-value of `llr` from χ² with `df_model` degrees of freedom."""
        return (
            float(special.chdtrc(self.df_model, max(self.llr, 0.0)))
            if self.df_model and self.llr == self.llr
            else float("nan")
        )

    @property
    def prsquared(self) -> float:
        """McFadden's pseudo R², 1 − llf/llnull."""
        return 1 - self.llf / self.llnull

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2k − 2·llf; NaN under sampling weights or a penalty."""
        return 2 * (len(self.spec.names) - self.llf) if self._criteria_count else float("nan")

    @property
    def bic(self) -> float:
        """Schwarz's criterion, k·log n − 2·llf; NaN under sampling weights or a penalty."""
        return (
            len(self.spec.names) * np.log(self.nobs) - 2 * self.llf if self._criteria_count else float("nan")
        )

    def _need_rows(self, data: Any = None) -> Rows:
        """The rows of the fit, or the same rebuilt from ``data`` and checked against the stored log-likelihood."""
        if data is None:
            if self.rows is None:
                raise NeedsData(
                    "This result was loaded from a file, which holds no rows: use attach(data) with the "
                    "fit's table."
                )
            return self.rows
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again = estimate(self.model, self.kernel, data, maxiter=1000)
        same = again.spec.names == self.spec.names and abs(again.facts.loglik - self.llf) <= 1e-8 * (
            1 + abs(self.llf)
        )
        same = same and np.allclose(again.rows.equation.params, self.coefficients, rtol=1e-6, atol=1e-12)
        if not same or again.rows.fingerprint() != (self._fingerprint() or again.rows.fingerprint()):
            raise DataError("data= does not hold the rows of the fit: the estimates there are others.")
        return again.rows

    def attach(self, data: Any) -> BinaryResults:
        """Return a loaded result together with the rows of its fit, checked to be the same.

        Parameters
        ----------
        data : the table of the fit.

        Returns
        -------
        BinaryResults

        Raises
        ------
        DataError
            If the estimates on these rows are others.
        """
        return replace(self, rows=self._need_rows(data))

    def _fingerprint(self) -> str:
        """A digest of outcomes and weights, by which saved results on the same rows know one another."""
        return self.facts.fingerprint if self.rows is None else self.rows.fingerprint()

    # ---- rows ----------------------------------------------------------------------------------------------

    def _fitted(self) -> tuple[Design, Array]:
        design = self._need_rows().design
        return design, self._probability(self._matrix(design), design.offset)

    def _matrix(self, design: Design) -> Any:
        """The design as it is kept, or with all columns where separation asks for them."""
        return design.matrix if self.infinite is None else design.X

    def _by_row(self, design: Design, values: Array) -> pd.Series:
        return pd.Series(values, index=design.index)

    @property
    def fittedvalues(self) -> pd.Series:
        """Fitted probabilities P(y = 1) of the rows used (n,); for x'β, statsmodels' meaning, use ``predict(linear=True)``."""
        design, p = self._fitted()
        return self._by_row(design, p)

    @property
    def resid_response(self) -> pd.Series:
        """y − p (n,)."""
        design, p = self._fitted()
        return self._by_row(design, design.y - p)

    @property
    def resid_pearson(self) -> pd.Series:
        """(y − p)/√(p(1 − p)) (n,), times the root of frequency weights' unit: one observation of each row."""
        design, p = self._fitted()
        q = self.kernel.probability(-self._index(self._matrix(design), design.offset))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(design.y == 1, np.sqrt(q / p), -np.sqrt(p / q))
        return self._by_row(design, ratio)

    @property
    def resid_deviance(self) -> pd.Series:
        """±√(−2·log-likelihood of the row), with the sign of y − p (n,)."""
        design = self._need_rows().design
        loglik = self.kernel.terms(design.y, self._index(self._matrix(design), design.offset)).loglik
        return self._by_row(design, (2 * design.y - 1) * np.sqrt(-2 * loglik))

    resid_dev = resid_deviance

    @property
    def leverage(self) -> pd.Series:
        """Leverage h (n,) of the weighted design: its sum is the number of coefficients; zero on separated rows."""
        rows = self._need_rows()
        values = [
            np.square(p.roots @ rows.equation.inner).sum(axis=1) * (1.0 if p.copies is None else p.copies)
            for p in rows.equation.source()
        ]
        out = np.zeros(len(rows.design.y))
        out[slice(None) if rows.overlapped is None else rows.overlapped] = np.concatenate(
            [np.zeros(0), *values]
        )
        return self._by_row(rows.design, out)

    # ---- prediction ----------------------------------------------------------------------------------------

    def _index(self, X: Array, offset: Array | None) -> Array:
        """x'β + offset (+ the constant of FLIC under a penalty); ±inf where separation decides."""
        eta = index(Block(np.empty(0), X, None, offset), self.coefficients) + self.facts.flic
        if self.infinite is None:
            return eta
        d, moves = self.infinite.along(X)
        with np.errstate(invalid="ignore"):
            return np.where(moves, np.where(d == 0, np.nan, np.sign(d) * np.inf), eta)

    def _index_error(self, X: Array) -> Array:
        """Standard error of x'β; NaN where separation decides: the limit is certain of these rows, nobody else should be."""
        parts = (self.covariance.coordinates(X[i : i + 8192]) for i in range(0, len(X), 8192))
        se = np.concatenate([np.zeros(0), *(np.sqrt(np.sum((Z @ V) * Z, axis=1)) for Z, V in parts)])
        return se if self.infinite is None else np.where(self.infinite.along(X)[1], np.nan, se)

    def _probability(self, X: Array, offset: Array | None) -> Array:
        return self.kernel.probability(self._index(X, offset))

    def _new_rows(self, new: Any) -> tuple[Array, Array | None, pd.Index]:
        if new is None:
            design = self._need_rows().design
            return design.X, design.offset, design.index
        rows = self.spec.matrix(new)
        return rows.X, rows.offset, rows.index

    def predict(self, new: Any = None, *, ci: bool = False, level: float = 0.95, linear: bool = False) -> Any:
        """P(y = 1 | x) for new rows, with intervals on request.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit.
        ci : bool
            Whether to give estimate, std_error (delta method), conf_low and conf_high; the limits are those
            of x'β, carried through the law, so they lie in [0, 1].
        level : float, confidence level.
        linear : bool, the index x'β (log-odds in a logit) instead of the probability.

        Returns
        -------
        pandas Series (m,), or DataFrame (m, 4) with ``ci``; rows with a missing value give NaN.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        level = check_level(level)
        X, offset, rows = self._new_rows(new)
        eta = self._index(X, offset)
        p = eta if linear else self.kernel.probability(eta)
        if not ci:
            return pd.Series(p, index=rows)
        se = self._index_error(X)
        half = self.estimates.critical(level) * se
        low, high = eta - half, eta + half
        if not linear:
            se, low, high = (
                se * self.kernel.density(eta),
                self.kernel.probability(low),
                self.kernel.probability(high),
            )
        return pd.DataFrame({"estimate": p, "std_error": se, "conf_low": low, "conf_high": high}, index=rows)

    def distribution(self, new: Any = None) -> Bernoulli:
        """The Bernoulli law of the outcome for every row of ``new`` (None: the rows of the fit)."""
        X, offset, _ = self._new_rows(new)
        eta = self._index(X, offset)
        return Bernoulli(
            self.kernel.probability(eta), str(self.spec.outcome.success), self.kernel.probability(-eta)
        )

    # ---- marginal effects ----------------------------------------------------------------------------------

    def margins(
        self,
        variables: Any = None,
        *,
        at: Any = "overall",
        kind: str = "dydx",
        target: str = "sample",
        data: Any = None,
        level: float = 0.95,
    ) -> MarginsResults:
        """Average marginal effects on P(y = 1) through the formula, with delta-method errors; see `estimators.binary.margins`.

        Parameters
        ----------
        variables : name, list of names, or dict such as ``{"kids": (0, 1), "d": "derivative"}``; None for
            all.
        at : "overall", "mean", or a dict of values or lists of values that some variables are fixed at.
        kind : {"dydx", "eyex", "dyex", "eydx"}, derivatives and (semi-)elasticities.
        target : {"sample", "population"}, whether the sampling of the rows adds to the error.
        data : table to average over, None for the rows of the fit.
        level : float, confidence level of the table.

        Returns
        -------
        MarginsResults

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError, NeedsData, WithheldError

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.Logit("affair ~ age + yrs_married + I(yrs_married**2)").fit(de.datasets.fair())
        >>> res.margins().estimates.table()[["estimate", "std_error"]].round(4)
                     estimate  std_error
        age           -0.0116     0.0019
        yrs_married    0.0266     0.0017
        """
        return margins(self, variables, at=at, kind=kind, target=target, data=data, level=level)

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
        return margins_as_statsmodels(self, at, method, dummy, level, unknown)

    # ---- tests ---------------------------------------------------------------------------------------------

    def _penalised_test(self, hypotheses: Any) -> TestResult:
        """Penalised likelihood-ratio test of hypotheses, or against a smaller penalised result on the same rows."""
        if isinstance(hypotheses, BinaryResults):
            if hypotheses.facts.penalty is None or hypotheses.model.offset != self.model.offset:
                raise OptionError(
                    "lr_test under Firth's penalty takes hypotheses, or a penalised result with the same "
                    "offset."
                )
            self._check_nested(hypotheses)
            hypotheses = smaller(self.spec.names, hypotheses.spec.names)
        fit = self._need_rows().penalised
        assert fit is not None
        return penalised_test(fit, *self.estimates._restrictions(hypotheses))

    def _restricted(self, hypotheses: Any) -> tuple[Array, Array, Maximum, list[str]]:
        """The maximum under R·β = r, in the free directions N: β = β₀ + N·γ."""
        rows = self._need_rows()
        if self.facts.penalty is not None:
            raise WithheldError(
                "No score test under Firth's penalty; use lr_test (penalised) or test (Wald)."
            )
        if self.infinite is not None:
            raise WithheldError(
                "Likelihood-ratio and score tests need a finite maximum; this fit is separated."
            )
        if not self._likelihood_counts:
            raise WithheldError(
                "Likelihood-ratio and score tests have no meaning under sampling weights; use test (Wald)."
            )
        R, r, texts = self.estimates._restrictions(hypotheses)
        fixed: Array = np.asarray(np.linalg.lstsq(R, r, rcond=None)[0], dtype=np.float64)
        free: Array = np.asarray(np.linalg.svd(R)[2][len(R) :].T, dtype=np.float64)
        zero_one = [
            j for j in range(R.shape[1]) if not R[:, j].any()
        ]  # untouched columns stay as they are, exactly
        if len(zero_one) == free.shape[1]:
            free = np.eye(R.shape[1])[:, zero_one]
        blocks = [
            b._replace(X=b.X @ free, offset=index(b, fixed) if fixed.any() else b.offset) for b in rows.blocks
        ]
        if not free.shape[1]:
            loglik = IndexModel(self.kernel, rows.blocks).evaluate(fixed).loglik
            nothing = np.zeros((0, 0))
            return (
                fixed,
                fixed,
                Maximum(fixed, fixed, loglik, None, nothing, nothing, True, 1, 0.0, 1.0, "fixed"),
                texts,
            )
        m = maximise(IndexModel(self.kernel, blocks))
        if m.separation is not None:
            raise WithheldError("The restricted model has no finite maximum (separation); use test (Wald).")
        return fixed, fixed + free @ m.params, m, texts

    def _check_nested(self, small: BinaryResults) -> None:
        """Refuse a result on other rows, or whose columns and offset are no combinations of ours."""
        text = "lr_test takes a smaller model of the same outcome on the same rows"
        if self.rows is None or small.rows is None:
            ours, theirs = ((m.model.weights, m.model.offset, m._fingerprint()) for m in (self, small))
            if ours != theirs or not set(small.spec.names) <= set(self.spec.names):
                raise OptionError(f"{text}: its terms, outcomes, weights and offset must be ours.")
            return
        a, b = self.rows.design, small.rows.design
        zero = np.zeros(len(a.y))
        wa, wb = (zero if d.weights is None else d.weights for d in (a, b))
        if not (np.array_equal(a.y, b.y) and np.array_equal(wa, wb)):
            raise OptionError(f"{text}: its outcomes or weights are others.")
        shift = (zero if b.offset is None else b.offset) - (zero if a.offset is None else a.offset)
        columns = {**dict(zip(b.spec.names, b.X.T, strict=True)), "the offset": shift}
        scale = np.abs(a.X).max(axis=0)
        solution = np.linalg.lstsq(a.X / scale, np.column_stack(list(columns.values())), rcond=None)[0]
        for (name, column), c in zip(columns.items(), solution.T, strict=True):
            if np.abs(a.X / scale @ c - column).max() > 1e-8 * np.abs(column).max():
                raise OptionError(
                    f"{text}: {name} is no combination of the larger model's columns, so it is not nested."
                )

    def lr_test(self, restricted: Any) -> TestResult:
        """Likelihood-ratio test of hypotheses (the restricted model is fitted), or against a nested result.

        Parameters
        ----------
        restricted : hypotheses as in `test`, or a result of a nested model on the same rows.

        Returns
        -------
        TestResult
            χ² with as many degrees of freedom as restrictions.

        Raises
        ------
        OptionError, WithheldError, NeedsData
        """
        if self.facts.penalty is not None:
            return self._penalised_test(restricted)
        if isinstance(restricted, BinaryResults):
            if restricted.facts.penalty is not None:
                raise OptionError(
                    "lr_test compares fits of one kind: this one is not penalised, the smaller one is."
                )
            q = len(self.spec.names) - len(restricted.spec.names)
            if (
                q <= 0
                or restricted.nobs != self.nobs
                or restricted.spec.outcome.name != self.spec.outcome.name
            ):
                raise OptionError(
                    "lr_test takes a smaller model of the same outcome on the same rows; call it on the "
                    "larger one."
                )
            if self.infinite is not None:
                raise WithheldError(
                    "Likelihood-ratio and score tests need a finite maximum; this fit is separated."
                )
            if not (self._likelihood_counts and restricted._likelihood_counts):
                raise WithheldError(
                    "Likelihood-ratio tests have no meaning under sampling weights; use test (Wald)."
                )
            if restricted.llf > self.llf + 1e-6:
                raise OptionError(
                    "The smaller model has the larger log-likelihood, so it is not nested in this one."
                )
            self._check_nested(restricted)
            return chi2_test(
                "Likelihood-ratio", [restricted.spec.formula], 2 * (self.llf - restricted.llf), q
            )
        _, _, m, texts = self._restricted(restricted)
        return chi2_test("Likelihood-ratio", texts, 2 * (self.llf - m.loglik), len(texts))

    def score_test(self, hypotheses: Any) -> TestResult:
        """Score (Lagrange-multiplier) test of hypotheses, from the score and information at the restricted maximum.

        Parameters
        ----------
        hypotheses : as in `test`.

        Returns
        -------
        TestResult

        Raises
        ------
        OptionError, WithheldError, NeedsData
        """
        _, beta, _, texts = self._restricted(hypotheses)
        p = self._need_rows().evaluate(self.kernel, beta)
        scale = np.sqrt(np.diagonal(p.information))
        u = p.score / scale
        return chi2_test(
            "Score", texts, float(u @ np.linalg.solve(p.information / np.outer(scale, scale), u)), len(texts)
        )

    # ---- tables --------------------------------------------------------------------------------------------

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """exp(β) of a logit with delta-method standard errors, z and p of β = 0, and limits exp(limits of β)."""
        if self.kernel.scale != "log-odds":
            raise OptionError(
                f"exp(β) is an odds ratio in a logit only; the index of this model is the "
                f"{self.kernel.scale}."
            )
        e = self.estimates
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = np.exp(e.values)
            low, high = np.exp(e.interval(level)).T
            return e.table(level).assign(
                estimate=ratio, std_error=ratio * e.std_error, conf_low=low, conf_high=high
            )

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        return _summary(self, level)

    def __repr__(self) -> str:
        return (
            f"<{type(self.model).__name__} results: {self.spec.formula}, n = {self.nobs:g}, llf = "
            f"{self.llf:.3f}>"
        )

    def plot(self, **options: Any) -> Any:
        """Draw the coefficients with their intervals; see `plots.coefficients`."""
        from disteconometrics.plots.estimates import coefficients

        return coefficients(self, **options)

    def plot_effect(self, variable: str, **options: Any) -> Any:
        """Draw the average predicted probability along a variable with its band; see `plots.effect`."""
        from disteconometrics.plots.estimates import effect

        return effect(self, variable, **options)

    # ---- simulation ----------------------------------------------------------------------------------------

    def _refitting(self) -> Refitting:
        return refitting(self)

    # ---- files ---------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the result without its rows to one ``.npz`` file; `disteconometrics.load` reads it."""
        header = {
            "estimator": asdict(self.model),  # type: ignore[call-overload]
            "spec": self.spec.to_dict(),
            "facts": asdict(replace(self.facts, fingerprint=self._fingerprint())),
            "use_t": self.use_t,
            "covariance": {
                f: getattr(self.covariance, f) for f in ("label", "note", "degrees_of_freedom", "robust")
            },
        }
        arrays = {"params": self.coefficients, "covariance": self.covariance.matrix}
        if self.covariance.basis is not None:
            arrays |= {"basis": self.covariance.basis, "inner": np.asarray(self.covariance.inner)}
        if self.infinite is not None:
            arrays |= asdict(self.infinite)
        if self.facts.penalty is not None:
            e = self.estimates
            arrays["profile"] = np.column_stack([e.interval(LEVEL), e.statistic])
        write_archive(path, type(self.model).__name__, header, arrays)

    # ---- diagnostics ---------------------------------------------------------------------------------------

    def hosmer_lemeshow(self, groups: int = 10) -> HosmerLemeshow:
        """Test whether outcomes come as often as fitted, by groups of probability; see `diagnostics.hosmer_lemeshow`."""
        return diagnose.hosmer_lemeshow_of(self, groups)

    def link_test(self) -> Estimates:
        """Test link and index: the p-value of ``index_squared`` is small if they are wrong; see `diagnostics.link_test`."""
        return diagnose.link_test_of(self)

    def classification(self, threshold: float = 0.5, *, data: Any = None) -> Classification:
        """Predictions p > threshold against outcomes, with measures; ``data`` takes other rows; see `diagnostics`."""
        return diagnose.classification_of(self, threshold, data)

    def roc(self, *, data: Any = None) -> RocCurve:
        """ROC curve and the area under it, with DeLong's standard error; ``data`` takes other rows; see `diagnostics.roc`."""
        return diagnose.roc_of(self, data)

    def calibration(self, groups: int = 10, *, data: Any = None) -> Calibration:
        """Calibration intercept, slope, groups and Brier score; ``data`` takes other rows; see `diagnostics.calibration`."""
        return diagnose.calibration_of(self, groups, data)

    def influence(self) -> Influence:
        """Leverage, Cook's distance and dfbetas of the rows; see `diagnostics.influence`."""
        return diagnose.influence_of(self)

    # ---- other packages' words -----------------------------------------------------------------------------

    def glance(self) -> pd.DataFrame:
        """One row of broom: null_deviance, df_null, log_lik, aic, bic, deviance, df_residual, nobs."""
        return exchange.glance(self)

    def augment(self, data: Any = None) -> pd.DataFrame:
        """Rows of the fit with fitted, resid (deviance), std_resid, hat, cooksd; rows of ``data`` with fitted and se_fit."""
        return diagnose.augment_of(self, data)

    def to_marginaleffects(self) -> Any:
        """The fit as a model that ``marginaleffects.avg_slopes``, ``predictions`` and ``comparisons`` take; see `report`.

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

        df = self.covariance.degrees_of_freedom if self.use_t else np.inf
        return marginaleffects_model(self._need_rows().design, self.coefficients, predict, matrix, df)

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        return exchange.maketables_table(self.estimates)

    @property
    def __maketables_depvar__(self) -> str:
        return self.spec.outcome.name

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        return {"vcov_type": self.covariance.label, "clustervar": None}

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return list(exchange.MAKETABLES_LABELS)

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        return dict(exchange.MAKETABLES_LABELS)

    def __maketables_stat__(self, key: str) -> Any:
        return exchange.maketables_stat(self, key)

    # ---- statsmodels' names --------------------------------------------------------------------------------

    def wald_test(self, hypotheses: Any) -> TestResult:
        """statsmodels' name of `test`."""
        return self.test(hypotheses)

    def t_test(self, hypotheses: Any) -> pd.DataFrame:
        """statsmodels' t_test: each linear combination R·β − r with its standard error and interval."""
        return self.estimates.linear(hypotheses).table()

    def get_prediction(self, new: Any = None, *, level: float = 0.95) -> pd.DataFrame:
        """statsmodels' name of ``predict(new, ci=True)``."""
        frame: pd.DataFrame = self.predict(new, ci=True, level=level)
        return frame

    def pred_table(self, threshold: float = 0.5) -> Array:
        """Counts of rows (2, 2): outcome 0, 1 down, prediction 0, 1 (p > threshold) across."""
        design, p = self._fitted()
        weights = design.weights if self.model.weight_type == "frequency" else None
        cell = (2 * design.y + (p > threshold)).astype(np.intp)
        return np.bincount(cell, weights, minlength=4).astype(np.float64).reshape(2, 2)


def restore(
    model: BinaryModel, kernel: Kernel, header: dict[str, Any], arrays: dict[str, Array]
) -> BinaryResults:
    """Rebuild a saved result, without rows."""
    infinite = (
        Infinite(arrays["direction"], arrays["null"], arrays["extremes"]) if "direction" in arrays else None
    )
    label = header["covariance"]["label"]
    kind = label if label in COVARIANCES else None
    V = Covariance(
        arrays["covariance"],
        **header["covariance"],
        basis=arrays.get("basis"),
        inner=arrays.get("inner"),
        kind=kind,
    )
    spec = DesignSpec.from_dict(header["spec"])
    facts, profile = FitFacts(**header["facts"]), arrays.get("profile")
    return BinaryResults(
        model, kernel, spec, arrays["params"], V, bool(header["use_t"]), facts, infinite, None, profile
    )


def _summary(r: BinaryResults, level: float) -> Summary:
    f = r.facts
    name = type(r.model).__name__
    pseudo = "" if r._likelihood_counts else "pseudo"
    dropped = f"{f.given - f.rows} dropped"
    count = (
        f"{f.observations:.0f} ({f.rows} weighted rows, {dropped})"
        if r.model.weight_type == "frequency"
        else f"{f.rows} ({dropped})"
    )
    state = (
        f"{f.passes} passes, {f.path}"
        if f.converged
        else ("no: separation" if f.separation else f"no, {f.passes} passes")
    )
    left = (
        ("Outcome", success_of(r.spec)),
        ("Formula", r.spec.formula),
        ("Estimator", _estimator(r)),
        ("Covariance", r.covariance.label),
        ("Converged", state),
    )
    penalised = (("Penalised log-likelihood", number(r.llf_penalised, 4)),) if f.penalty else ()
    right = (
        ("Observations", count),
        (f"Log-{pseudo}likelihood", number(r.llf, 4)),
        *penalised,
        ("LL-null", number(r.llnull, 4)),
        ("LLR p-value", _llr_words(r)),
        ("Pseudo R² (McFadden)", f"{r.prsquared:.4f}"),
    )
    return Summary(
        f"{name} Regression Results", (left, right), (estimates_section(r.estimates, level),), _notes(r)
    )


def _estimator(r: BinaryResults) -> str:
    if r.facts.penalty is not None:
        return "Firth (penalised ML)"
    return "maximum likelihood" if r._likelihood_counts else "pseudo-maximum likelihood"


def _llr_words(r: BinaryResults) -> str:
    """The p-value of the likelihood ratio, in full where three decimals hide it."""
    if not r.df_model:
        return "no regressors"
    if np.isnan(r.llr_pvalue):
        return "withheld"
    return f"{r.llr_pvalue:.3e}" if r.llr_pvalue < 0.0005 else p_value(r.llr_pvalue)


def _notes(r: BinaryResults) -> tuple[str, ...]:
    f = r.facts
    total = f.observations if r.model.weight_type != "sampling" else f.rows
    notes = [f"Success is {success_of(r.spec)} ({100 * f.successes / total:.1f} %). {r.covariance.note}"]
    if r.model.weights is not None:
        what = {
            "frequency": "counts of identical rows",
            "sampling": "inverse selection probabilities, scaled to mean one",
        }
        notes.append(f"Weights: {r.model.weights} ({what[str(r.model.weight_type)]}).")
        if not r._likelihood_counts:
            notes.append(
                "AIC, BIC and likelihood-ratio tests are withheld: weighted rows have no likelihood of "
                "their own."
            )
    if r.model.offset is not None:
        notes.append(f"Offset: {r.model.offset}, with coefficient one.")
    if not f.nested_null:
        notes.append(
            "LLR p-value withheld: the model holds no constant, so the constant-only model is not nested "
            "in it."
        )
    notes += rows_dropped(f.given, f.rows, f.dropped, f.zero_weight)
    if f.penalty:
        notes.append(note(f.flic, f.nested_null, bool(r.df_model)))
    if f.separation:
        notes.append(f.separation)
    elif not f.converged:
        notes.append(
            f"The iterations did not converge: Newton decrement {f.decrement:.1e} after {f.passes} "
            f"passes. Raise maxiter."
        )
    if f.condition > NEARLY_DEPENDENT:
        notes.append(f"Columns are nearly collinear: condition number {f.condition:.1e}.")
    return tuple(notes)
