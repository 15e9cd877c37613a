"""The Gaussian linear law, y | x ~ N(x'β, σ²): least squares with the law that goes with it."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from disteconometrics.arrays import Array, as_floats, or_ones
from disteconometrics.checks import flag
from disteconometrics.data.cells import Moments
from disteconometrics.errors import (
    NeedsRows,
    OptionError,
    OutcomeError,
)
from disteconometrics.estimators.absorbed.panel import absorbs
from disteconometrics.estimators.absorbed.results import fit_absorbed
from disteconometrics.estimators.hurdle import fit_hurdle
from disteconometrics.estimators.normal_answers import NormalAnswers, moving, named_refusals
from disteconometrics.estimators.normal_sums import cross_sums, summed_squares
from disteconometrics.estimators.recorded_normal import RecordedNormalResults, fit_recorded
from disteconometrics.estimators.refit import refitting_result
from disteconometrics.estimators.results import CoefficientsHeader, FitFacts, FittedResult, SavedResult
from disteconometrics.estimators.rows import FitRows, warn_condition
from disteconometrics.estimators.specification import Specification, check_columns, statsmodels_cov
from disteconometrics.fields import AnyFloat, Count, Numbers, Positive
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    Cluster,
    Covariance,
    CovarianceKind,
    covariance,
    resolve_kind,
)
from disteconometrics.inference.estimates import check_level
from disteconometrics.inference.influence import estimation_rows, influence_covariance
from disteconometrics.inference.protocols import ArrayScores, MEstimate, Refitting, ScaledRows, SideBySide
from disteconometrics.optim.least_squares import Squares, least_squares
from disteconometrics.optim.whiten import triangle_inverse
from disteconometrics.report.summary import estimates_section, observations_text, rows_notes, source_notes
from disteconometrics.tables import Summary, number
from disteconometrics.threads import threads_for

__all__ = ["NormalRegression", "NormalResults", "regression_equations"]

MANY_ENTRIES = 1_000_000  # of X, beyond which sums of products are taken and no row is whitened in memory
PERFECT = 1e-13  # residuals over outcomes below which nothing but rounding is left


@dataclass(frozen=True, kw_only=True)
class NormalRegression(Specification):
    """Linear regression with normal errors, by maximum likelihood.

    Least squares for β, and a law for every row.

    Standard errors under ``cov="nonrobust"`` use s² = RSS/(n − k), and p-values and intervals t with n − k
    degrees of freedom, as in ``smf.ols``, Stata and R; with robust ones t is kept (as in Stata and R;
    statsmodels takes the normal: ``use_t=False``). The law takes the maximum-likelihood σ̂² = RSS/n.

    The left side may say how the outcome was recorded, and the law is then that of the outcome before it was:
    ``bottomcoded(hours, at=0)`` is the Tobit, ``brackets`` and ``interval`` are the interval regression.

    - ``interval(lo, hi)``: lo < y <= hi, or y where both are equal; a side is open where its end is −inf or
      inf, or missing under ``open="missing"``.
    - ``brackets(y, [0, 10, 15, inf], closed="left")``: the bracket that holds a number; without bounds a
      column of categories of intervals, as of `pd.cut`.
    - ``rounded(y, to=0.5, direction="nearest")``: everyone rounded to the grid, or "up" or "down" to it.
    - ``topcoded(y, at=40)``, ``bottomcoded(y, at=0)``: values at the cap or beyond are only known to be
      there; ``at`` may be a column of caps, missing where there is none.
    - ``mass(y, 0)``: a hurdle, a logit for y being off the point and the regression for the rest; what is
      recorded at the point, after rounding, is all mass.
    - ``mass(y, 0, corner=True)``: a corner solution, y = max(y*, 0) with one law for y*: the coefficients of
      ``bottomcoded(y, at=0)``, the Tobit, and answers of y, whose law has a mass at 0.

    They nest in this order, as ``mass(topcoded(rounded(y, to=1), at=40), 0)``, with increasing functions
    outside: ``log(topcoded(wage, at=40))``, whose log-likelihood is that of the logarithm, as it is
    without recorders. Recording must not depend on the outcome beyond that, given the covariates. A
    duration that may go on is ``interval(time, end)`` with an end of inf; late entry, several causes and
    covariates that change on the way are left to survival packages.

    Parameters
    ----------
    formula : str
        ``"log(wage) ~ educ + C(region)"``; the outcome is numeric, or recorded as said above.
        ``"y ~ x | id"`` absorbs an effect of every id (the within estimator), with σ² = RSS/(n − ids − k).
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.  Frequency weights count identical rows; sampling
        weights are inverse probabilities of selection and give robust standard errors.
    offset : str or None
        Name of a column added to x'β with coefficient one, in units of the outcome.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    White (1980), A heteroskedasticity-consistent covariance matrix estimator and a direct test for
    heteroskedasticity, Econometrica 48, doi:10.2307/1912934.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = NormalRegression("log(foodexp) ~ log(income)").fit(datasets.engel())
    >>> res.params.round(3).to_dict(), res.bse.round(4).tolist(), round(res.sigma, 3)
    ({'Intercept': 0.545, 'log(income)': 0.856}, [0.1382, 0.0203], 0.136)
    >>> told = datasets.engel().assign(band=lambda d: d.foodexp // 100 * 100)
    >>> left = "log(rounded(band, to=100, direction='down'))"
    >>> NormalRegression(f"{left} ~ log(income)").fit(told).params.round(3).to_dict()
    {'Intercept': 0.537, 'log(income)': 0.858}
    """

    takes_records: ClassVar[bool] = True

    weights: str | None = None
    weight_type: str | None = None
    offset: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check the names of columns.

        Raises
        ------
        OptionError
        """
        check_columns(weights=self.weights, weight_type=self.weight_type, offset=self.offset)
        return {}

    def fit(
        self,
        data: Any,
        *,
        cov: CovarianceKind | None = None,
        use_t: bool | str = "auto",
        n_jobs: int | None = None,
        cache: str | PathLike[str] | None = "auto",
        cov_type: str | None = None,
        cov_kwds: dict[str, Any] | None = None,
    ) -> Any:
        """Estimate the model on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length
            Or a source, which is read in parts several times and never held: path, pattern, list or folder of
            Parquet files, pyarrow dataset, polars LazyFrame, dask DataFrame, `Parts`.
        cov : {"nonrobust", "opg", "HC0", "HC1", "HC2", "HC3"}, Cluster, HAC, Survey or None
            Covariance of the estimates; None is nonrobust, and HC1 under sampling weights.
        use_t : bool or "auto"
            p-values and intervals from t with n − k (clusters: G − 1) degrees of freedom, or from the normal;
            "auto" is t, and the normal where the outcome was recorded and rows are no clusters; under a
            survey always t.
        n_jobs : int or None
            joblib workers that read the parts of a source; numbers are the same whatever their number and
            backend.  A dask frame is worked on by the workers of its client, if there is one.
        cache : {"auto", "memory", "disk"}, pathlib.Path or None
            Whether coded rows of a source stay where they are worked on, in place of a reading for every
            pass: this process, workers of dask, or each joblib worker that had to code them.  "auto": during
            the fit, up to 200 MB in this process or in each worker of dask, never on a disk; "memory": as
            long as the result lives; "disk": during the fit, in a temporary folder of this machine (a path:
            inside that one), for sources that are slow to read, as text or a database; None: never.
            Numbers are the same.
        cov_type, cov_kwds : statsmodels' spelling of ``cov``.

        Returns
        -------
        NormalResults, RecordedNormalResults where the outcome was recorded, HurdleResults where it has a
        mass, or AbsorbedNormalResults where the formula absorbs effects.

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, WithheldError, SeparationError,
        NeedsRows, WorkerError

        Warns
        -----
        ConditioningWarning, MissingValuesWarning, FewClustersWarning, RecordingWarning, ConvergenceWarning
        """
        if absorbs(self.formula):
            cov, t = statsmodels_cov(cov, cov_type, cov_kwds), use_t == "auto" or flag(use_t, "use_t")
            return fit_absorbed(self, data, cov=cov, use_t=t)
        read = FitRows.read(self, data, streams=True, n_jobs=n_jobs, cache=cache, outcome="recorded")
        records = None if read.streamed else read.design.records
        kind = resolve_kind(
            statsmodels_cov(cov, cov_type, cov_kwds), self.weight_type, surveys=records is None
        )
        if records is None or records.at_mass is None:
            return _fit_rows(self, read, kind, use_t)
        if use_t not in ("auto", False):
            raise OptionError(
                "use_t=True is for one regression; a mass beside it is judged by the normal law."
            )
        return fit_hurdle(self, read, kind, lambda model, rows: _fit_rows(model, rows, kind, "auto"))


def _fit_rows(
    model: NormalRegression, read: FitRows, kind: CovarianceKind, use_t: bool | str
) -> NormalResults | RecordedNormalResults:
    """Fit rows whose outcomes were told exactly, or as records."""
    if not read.streamed and read.design.records is not None:
        by_t = isinstance(kind, Cluster) if use_t == "auto" else flag(use_t, "use_t")
        return fit_recorded(model, read, kind, by_t)
    with threads_for(len(read.spec.names)), read.let_go():
        rows, facts = _estimate(model, read, kind.columns if isinstance(kind, Cluster) else ())
        V, scale = rows.covariances(kind)
    return NormalResults(
        model=model,
        spec=rows.spec,
        facts=replace(facts, kept=rows.kept_source, readings=rows.end()),
        rows=rows,
        coefficients=rows.equation.params,
        covariance=V,
        scale_covariance=scale,
        use_t=use_t == "auto" or flag(use_t, "use_t"),
    )


# ---- least squares -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class NormalRows(FitRows):
    """The rows behind a result, the equation of the coefficients and that of σ."""

    equation: MEstimate
    scale: MEstimate

    @property
    def equations(self) -> tuple[MEstimate, MEstimate]:
        """Those of β and of σ, whose informations do not meet: as `influence.estimation_rows` takes them."""
        return self.equation, self.scale

    @cached_property
    def stacked(self) -> MEstimate:
        """Both as one equation of (β, σ), scores in this order.

        A row's information has rank two; its root holds both parts, so that leverages, which are traces, are
        their sums.  A covariance from `covariance` has n − k − 1 where that of the parts has n − k and n − 1.
        """
        beta, sigma = self.equation, self.scale
        assert beta.basis is not None
        return replace(
            beta,
            names=(*beta.names, "sigma"),
            params=np.concatenate([beta.params, sigma.params]),
            inner=block_diag(beta.inner, sigma.inner),
            root=block_diag(beta.root, sigma.root),
            source=SideBySide((beta.source, sigma.source)),
            basis=block_diag(beta.basis, [[1.0]]),
        )

    def covariances(self, kind: CovarianceKind) -> tuple[Covariance, Covariance]:
        """Covariances of the coefficients, with s² = RSS/(n − k) where it is nonrobust, and of σ."""
        V = covariance(self.equation, kind, self.sampling)
        if kind == "nonrobust":
            n, k = self.equation.observations, len(self.equation.inner)
            factor = n / (n - k)
            inner = None if V.inner is None else V.inner * factor
            note = "nonrobust = RSS/(n - k) · (X'X)⁻¹."
            V = replace(V, matrix=V.matrix * factor, inner=inner, note=note)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is to say about clusters has been said
            return V, covariance(self.scale, kind, self.sampling)

    def shared(self, V: Covariance, variance: float, kind: CovarianceKind) -> Array:
        """Covariances (k,) of σ̂ with the coefficients, in the coordinates of ``V.inner``.

        Those of the rows of both influence functions, each with the factor of its own ``variance``.
        """
        assert V.inner is not None
        if self.streamed:
            return cross_sums(self, self.equation, float(self.scale.params[0]), kind)
        cross = self._cross_of_rows(kind)
        if not isinstance(kind, Cluster) or len(kind.columns) == 1:
            return cross
        return _within(cross, V.inner, variance)

    def _cross_of_rows(self, kind: CovarianceKind) -> Array:
        k = len(self.equation.inner)
        parts = (replace(self.equation, basis=None), self.scale)
        rows = estimation_rows(parts, np.eye(k + 1), kind, self.sampling)
        params = np.concatenate([e.params for e in self.equations])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is to say about clusters has been said
            joint = influence_covariance(params, None, rows, kind, self.sampling)
        return np.asarray(joint[:k, k])


def _within(cross: Array, inner: Array, variance: float) -> Array:
    """The part of covariances that both variances allow: those of two-way clusters are repaired apart."""
    weights = np.linalg.pinv(inner, hermitian=True) @ cross
    explained = float(cross @ weights)
    return np.asarray(inner @ weights * min(1.0, np.sqrt(max(variance, 0.0) / max(explained, 1e-300))))


def _joint(V: Covariance, variance: float, cross: Array) -> Covariance:
    """The covariance of (β, σ) from those of β and of σ, and what they share (k,), in β's coordinates."""
    assert V.basis is not None
    assert V.inner is not None
    basis = block_diag(V.basis, [[1.0]])
    corner = np.array([[variance]])
    shared = (V.basis @ cross)[:, None]
    return replace(
        V,
        matrix=np.block([[V.matrix, shared], [shared.T, corner]]),
        inner=np.block([[V.inner, cross[:, None]], [cross[None], corner]]),
        basis=basis,
    )


@dataclass(frozen=True, kw_only=True)
class NormalFacts(FitFacts):
    """Numbers of a fit that need no rows.

    The log-likelihood is a sum of natural logs over observations, at σ̂² = RSS/n.
    """

    sigma: Positive
    total_squares: Positive
    condition: AnyFloat
    nested_null: bool
    readings: Count = 0  # of a source by the fit and its covariance
    kept: bool = False  # whether its coded rows were, between these


class _Fitted(NamedTuple):
    """What a fit gives, of a table or of a source: σ̂², Σ y² around the mean or zero, and both equations."""

    variance: float
    total_squares: float
    condition: float
    beta: MEstimate
    scale: MEstimate


def _estimate(
    model: NormalRegression, read: FitRows, clusters: tuple[str, ...]
) -> tuple[NormalRows, NormalFacts]:
    n = read.observations
    with named_refusals(read.names, read.size):
        fit = _fitted(read, clusters)
    warn_condition(fit.condition)
    facts = NormalFacts(
        **read.facts(),
        observations=n,
        loglik=-n / 2 * (np.log(2 * np.pi * fit.variance) + 1),
        sigma=float(np.sqrt(fit.variance)),
        total_squares=fit.total_squares,
        condition=fit.condition,
        nested_null=read.spec.has_intercept,
    )
    return NormalRows(read.design, equation=fit.beta, scale=fit.scale), facts


def _by_sums(read: FitRows, moments: Moments, clusters: tuple[str, ...]) -> _Fitted:
    """A source, or a table so large that no row is kept in another form."""
    n = read.observations
    fit = summed_squares(read, moments.deviation, clusters)
    _check_law(read, fit.variance, n, moments.low, moments.high)
    centre = 0.0 if read.spec.has_intercept else moments.mean
    share = n / moments.mass  # sampling weights have mean one
    total = (moments.squares + moments.mass * centre**2) * share
    return _Fitted(fit.variance, total, fit.condition, fit.beta, fit.scale)


def _fitted(read: FitRows, clusters: tuple[str, ...]) -> _Fitted:
    if read.streamed:
        return _by_sums(read, read.moments, clusters)
    w = read.scaled_weights
    if read.size * len(read.names) > MANY_ENTRIES:
        return _by_sums(read, Moments.of(read.y, w, read.offset), ())
    y = read.y if read.offset is None else read.y - read.offset
    fit = least_squares(read.matrix, y, w)
    mass = or_ones(w, len(y))
    n = float(mass.sum())
    variance = float(mass @ fit.residuals**2 / n)
    _check_law(read, variance, n, float(read.y.min()), float(read.y.max()))
    centre = float(mass @ y / n) if read.spec.has_intercept else 0.0
    total = float(mass @ (y - centre) ** 2)
    beta, scale = regression_equations(read.names, fit, float(np.sqrt(variance)), n, w, read.spec.weight_type)
    return _Fitted(variance, total, fit.condition, beta, scale)


def _check_law(read: FitRows, variance: float, n: float, low: float, high: float) -> None:
    """Refuse outcomes, from low to high, of which nothing is left to a law."""
    name = read.spec.outcome.name
    if np.sqrt(variance) > PERFECT * max(abs(low), abs(high)) and n > len(read.names):
        return
    if low == high:
        raise OutcomeError(f"The outcome {name!r} has no variation: every row used is {low:g}.")
    raise OutcomeError(
        f"The outcome {name!r} is fitted perfectly by {len(read.names)} columns on {n:g} rows; no law "
        f"is left."
    )


def regression_equations(
    names: tuple[str, ...], fit: Squares, sigma: float, n: float, w: Array | None, weight_type: str | None
) -> tuple[MEstimate, MEstimate]:
    """The estimating equations of β, Σ x e/σ² = 0, and of σ, Σ (e²/σ² − 1)/σ = 0.

    Examples
    --------
    >>> X, y = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([1.0, 3.0, 2.0])
    >>> fit = least_squares(X, y, None)
    >>> regression_equations(("Intercept", "x"), fit, 1.0, 3.0, None, None)[0].params.round(12).tolist()
    [1.5, 0.5]
    """
    copies = w if weight_type == "frequency" else None
    own = w if copies is None and w is not None else np.ones(len(fit.residuals))
    mass = own if copies is None else copies
    z = fit.residuals / sigma
    source = ScaledRows(fit.rows, own * z / sigma, np.sqrt(own) / sigma, copies)
    information = fit.rows.gram(mass) / sigma**2
    inner = triangle_inverse(as_floats(np.linalg.cholesky((information + information.T) / 2).T))
    rows = len(z)
    T = fit.basis
    beta = MEstimate(names, fit.params, inner, T @ inner, n, rows, source, weight_type, T)
    half = np.array([[sigma / np.sqrt(2 * n)]])
    by_row = ArrayScores((own * (z**2 - 1) / sigma)[:, None], (np.sqrt(2 * own) / sigma)[:, None], copies)
    return beta, MEstimate(("sigma",), np.array([sigma]), half, half, n, rows, by_row, weight_type)


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class NormalResults(NormalAnswers, FittedResult):
    """A fitted Gaussian linear law: coefficients, σ, fit, tests, predictions, and the law of every row.

    It refers to the rows it was fitted on (no copy); a result loaded from a file holds none, `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel(), cov="HC1")
    >>> res.conf_int().round(3).loc["income"].tolist(), round(res.rsquared, 4)
    ([0.383, 0.588], 0.8304)
    >>> res.distribution({"income": [1000.0]}).quantile([0.1, 0.9]).round(0)
    array([[487., 778.]])
    """

    facts: NormalFacts
    rows: NormalRows | None = field(default=None, repr=False)
    scale_covariance: Covariance
    shared: Array | None = field(default=None, repr=False)  # of a saved fit: see `NormalRows.shared`

    @property
    def parameters(self) -> float:
        """Coefficients; σ is not counted, as in statsmodels."""
        return float(len(self.spec.names))

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        V, scale = rows.covariances(resolve_kind(cov, self.model.weight_type, surveys=True))
        return {"covariance": V, "scale_covariance": scale, "shared": None}

    @cached_property
    def joint_covariance(self) -> Covariance:
        """Covariance (k + 1, k + 1) of the coefficients and σ, whose blocks are those of the tables.

        The block between them is that of the sandwich of both equations, stacked; zero under
        ``cov="nonrobust"`` and ``"opg"``, which believe the normal law, whose third moment is zero.  NaN
        where a file does not have it (of 0.1.0): `attach` gives the rows, `with_cov` names clusters again.

        Examples
        --------
        The standard error of the quantile x'β + 1.2816 σ at an income of 1000:

        >>> import disteconometrics as de
        >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel(), cov="HC1")
        >>> z, V = res.joint_covariance.coordinates(np.array([[1.0, 1000.0, 1.2816]]))
        >>> float(np.sqrt(z @ V @ z.T)[0, 0].round(2))
        16.22
        """
        V, kind, shared = self.covariance, self.covariance.kind, self.shared
        variance = self.sigma_variance
        if not V.robust:
            shared = np.zeros(len(self.coefficients))
        elif shared is None and self.rows is not None and kind is not None:
            shared = self.rows.shared(V, variance, kind)
        elif shared is None:
            shared = np.full(len(self.coefficients), np.nan)
        return _joint(V, variance, shared)

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def sigma_variance(self) -> float:
        """Variance of the estimate of σ."""
        return float(self.scale_covariance.matrix[0, 0])

    @property
    def sigma(self) -> float:
        """Maximum-likelihood standard deviation of the errors, √(RSS/n); `scale` has n − k."""
        return self.facts.sigma

    @property
    def scale(self) -> float:
        """s² = RSS/(n − k), as statsmodels' ``scale``."""
        return self.facts.sigma**2 * self.nobs / self.df_resid

    @property
    def rsquared(self) -> float:
        """1 − RSS/TSS, the latter around the mean, or around zero without a constant."""
        return 1 - self.facts.sigma**2 * self.nobs / self.facts.total_squares

    @property
    def rsquared_adj(self) -> float:
        """R² with both sums over their degrees of freedom."""
        return 1 - (1 - self.rsquared) * (self.nobs - self.facts.nested_null) / self.df_resid

    # ---- rows ----------------------------------------------------------------------------------------------

    @property
    def resid(self) -> pd.Series:
        """y − x'β of the rows used (n,)."""
        rows = self.data_rows()
        return pd.Series(rows.y, index=rows.index) - self.fittedvalues

    def _refitting(self) -> Refitting:
        return refitting_result(self, law=self.distribution(), robust="HC1")

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level = check_level(level)
        f = self.facts
        left = (
            ("Outcome", self.spec.outcome.name),
            ("Formula", self.spec.formula),
            ("Estimator", "least squares, normal ML" if self.has_likelihood else "weighted least squares"),
            ("Covariance", self.covariance.label),
        )
        right = (
            ("Observations", observations_text(f.given, f.rows, f.observations, self.model.weight_type)),
            (f"Log-{'' if self.has_likelihood else 'pseudo'}likelihood", number(self.llf, 4)),
            ("R² (adjusted)", f"{self.rsquared:.4f} ({self.rsquared_adj:.4f})"),
            ("Sigma (error)", f"{number(self.sigma)} ({number(self.sigma_estimates.std_error[0])})"),
        )
        sections = (estimates_section(self.estimates, level),)
        notes = [
            self.covariance.note
            + ("" if np.isinf(self.degrees_of_t) else f" t with {self.degrees_of_t:g} degrees of freedom.")
        ]
        notes.append(
            f"Sigma is the maximum-likelihood one, of the law; with n - k it is {np.sqrt(self.scale):.4g}."
        )
        notes += [moving(self.spec), *rows_notes(self.model, f), *source_notes(f.readings, f.kept)]
        return Summary("Normal Regression Results", (left, right), sections, tuple(notes))

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, coefficients and their covariance, that of σ and what both share."""
        own, arrays = super().to_file()
        arrays["scale"] = self.scale_covariance.matrix
        inner = None
        with suppress(NeedsRows):  # what both share, where a source does not tell it
            inner = self.joint_covariance.inner
        if inner is not None and not np.isnan(inner).any():
            arrays["shared"] = inner[:-1, -1]
        return own, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> NormalResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        arrays = saved.numbers(_ARRAYS, k=len(header.spec.names))
        return cls(
            **header.fields_of(saved, arrays),
            scale_covariance=Covariance.from_file(header.covariance, {"covariance": arrays["scale"]}),
            shared=arrays.get("shared"),
        )


@dataclass(frozen=True, kw_only=True)
class _Header(CoefficientsHeader):
    """The header of a file."""

    facts: NormalFacts


_ARRAYS = {
    "params": Numbers("k"),
    **{name: replace(what, optional=False) for name, what in COVARIANCE_ARRAYS.items()},
    "scale": Numbers("1 1", "a covariance"),
    "shared": Numbers("k", "any", optional=True),  # files of 0.1.0 do not have it
}
