"""The Gaussian linear law, y | x ~ N(x'β, σ²): least squares with the law that goes with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.blocks import Block
from disteconometrics.data.design import Design, build_design
from disteconometrics.data.spec import DesignSpec
from disteconometrics.distributions.families import Normal
from disteconometrics.errors import (
    CollinearityError,
    ConditioningWarning,
    DataError,
    FileFormatError,
    NeedsData,
    OutcomeError,
    warn_user,
)
from disteconometrics.estimators.refit import refitting_normal
from disteconometrics.estimators.specification import specify, statsmodels_cov
from disteconometrics.inference.covariance import Covariance, CovarianceKind, covariance, resolve_kind
from disteconometrics.inference.estimates import Estimated, Estimates, check_level
from disteconometrics.inference.m_estimate import MEstimate
from disteconometrics.optim.rank import check_rank, describe_collinearity, tsqr
from disteconometrics.optim.whiten import LARGEST, accurate_product, power_of_two, triangle_inverse
from disteconometrics.report.archive import write_archive
from disteconometrics.report.summary import Summary, estimates_section, number, rows_dropped
from disteconometrics.simulate.self_check import Refitting, SelfChecking

__all__ = ["NormalRegression", "NormalResults", "restore_normal"]

Array = NDArray[np.float64]

NEARLY_DEPENDENT = 1e10  # condition number beyond which six digits of the data decide the estimates
PERFECT = 1e-13  # residuals over outcomes below which nothing but rounding is left


@dataclass(frozen=True, init=False)
class NormalRegression:
    """Linear regression with normal errors, by maximum likelihood: least squares for β, and a law for every row.

    Standard errors under ``cov="nonrobust"`` use s² = RSS/(n − k), and p-values and intervals t with n − k
    degrees of freedom, as in ``smf.ols``, Stata and R; with robust ones t is kept (as in Stata and R;
    statsmodels takes the normal: ``use_t=False``). The law takes the maximum-likelihood σ̂² = RSS/n.

    Parameters
    ----------
    formula : str
        ``"log(wage) ~ educ + C(region)"``; the outcome is numeric.
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
    """

    formula: str
    weights: str | None
    weight_type: str | None
    offset: str | None

    def __init__(
        self,
        formula: str,
        data: None = None,
        *,
        weights: str | None = None,
        weight_type: str | None = None,
        offset: str | None = None,
    ) -> None:
        specify(self, data, formula=formula, weights=weights, weight_type=weight_type, offset=offset)

    def fit(
        self,
        data: Any,
        *,
        cov: CovarianceKind | None = None,
        use_t: bool = True,
        cov_type: str | None = None,
        cov_kwds: dict[str, Any] | None = None,
    ) -> NormalResults:
        """Estimate the model on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        cov : {"nonrobust", "opg", "HC0", "HC1", "HC2", "HC3"}, Cluster, HAC or None
            Covariance of the estimates; None is nonrobust, and HC1 under sampling weights.
        use_t : bool
            p-values and intervals from t with n − k (clusters: G − 1) degrees of freedom, or from the normal.
        cov_type, cov_kwds : statsmodels' spelling of ``cov``.

        Returns
        -------
        NormalResults

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, WithheldError

        Warns
        -----
        ConditioningWarning, MissingValuesWarning, FewClustersWarning
        """
        kind = resolve_kind(statsmodels_cov(cov, cov_type, cov_kwds), self.weight_type)
        rows, facts = _estimate(self, data)
        V, scale = rows.covariances(kind)
        return NormalResults(self, rows.design.spec, rows.equation.params, V, scale, bool(use_t), facts, rows)


# ---- least squares -----------------------------------------------------------------------------------------


class _Scores(NamedTuple):
    scores: Array
    roots: Array
    copies: Array | None


@dataclass(frozen=True, eq=False)
class _Source:
    """Scores (n, k) and roots (n, k) of an estimating equation, some rows at a time."""

    scores: Array
    roots: Array
    copies: Array | None

    def __call__(self, rows: int | None = None) -> Iterator[_Scores]:
        step = rows or 8192
        for i in range(0, len(self.scores), step):
            part = slice(i, i + step)
            yield _Scores(
                self.scores[part], self.roots[part], None if self.copies is None else self.copies[part]
            )


class _Squares(NamedTuple):
    """Least squares in whitened coordinates c, β = T·c: rows Z = X·T (n, k), T (k, k), c (k,), residuals (n,), condition."""

    Z: Array
    T: Array
    c: Array
    residuals: Array
    condition: float


def _least_squares(X: Array, y: Array, w: Array | None, names: Sequence[str], outcome: str) -> _Squares:
    """Weighted least squares to the last digits: QR coordinates, an exact product, and one step of refinement."""
    n = len(X)
    largest = np.abs(X).max(axis=0, initial=0.0)
    wild = (largest > LARGEST) | ((largest > 0) & (largest < 1 / LARGEST))
    if wild.any() or np.abs(y).max(initial=0.0) > LARGEST:
        which = ", ".join([names[int(j)] for j in np.flatnonzero(wild)] or [outcome])
        raise DataError(
            f"{which}: values are too large or too small to compute with (beyond 1e±151); rescale the column."
        )
    blocks = [Block(y, X)]
    rank = check_rank(blocks)
    if rank.dropped:
        raise CollinearityError(describe_collinearity(rank, names, n))
    scale = power_of_two(largest)
    T: Array = triangle_inverse(np.triu(tsqr(blocks, scale))) / scale[:, None] * np.sqrt(n)
    Z = accurate_product(X, T, scale)
    weighted = Z if w is None else Z * w[:, None]
    gram = weighted.T @ Z
    c = np.linalg.solve(gram, weighted.T @ y)
    c = c + np.linalg.solve(gram, weighted.T @ (y - Z @ c))
    return _Squares(Z, T, np.asarray(c, dtype=np.float64), y - Z @ c, rank.condition)


@dataclass(frozen=True, eq=False)
class NormalRows:
    """The rows behind a result: the design, the equation of the coefficients and that of σ."""

    design: Design
    equation: MEstimate
    scale: MEstimate

    def codes(self, columns: Sequence[str]) -> tuple[NDArray[np.intp], int]:
        """Cluster codes (n,) and the number of clusters."""
        return self.design.codes(columns, role="cluster")

    def order(self, time: str) -> NDArray[np.intp]:
        """Positions (n,) in the order of a time column whose values differ."""
        times = self.design.times(time)
        if len(np.unique(times)) < len(times):
            raise DataError(
                f"The time column {time!r} repeats values, so rows have no order in time; for panels use "
                f"de.Cluster."
            )
        return np.argsort(times, kind="stable")

    def covariances(self, kind: CovarianceKind) -> tuple[Covariance, Covariance]:
        """Covariances of the coefficients, with s² = RSS/(n − k) where it is nonrobust, and of σ."""
        V = covariance(self.equation, kind, codes=self.codes, order=self.order)
        if kind == "nonrobust":
            n, k = self.equation.observations, len(self.equation.inner)
            factor = n / (n - k)
            inner = None if V.inner is None else V.inner * factor
            note = "nonrobust = RSS/(n - k) · (X'X)⁻¹."
            V = replace(V, matrix=V.matrix * factor, inner=inner, note=note)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is to say about clusters has been said
            return V, covariance(self.scale, kind, codes=self.codes, order=self.order)


@dataclass(frozen=True)
class NormalFacts:
    """Numbers of a fit that need no rows; the log-likelihood is a sum of natural logs over observations, at σ̂² = RSS/n."""

    loglik: float
    sigma: float
    observations: float
    rows: int
    given: int
    total_squares: float
    condition: float
    nested_null: bool
    dropped: dict[str, int]
    zero_weight: int


def _estimate(model: NormalRegression, data: Any) -> tuple[NormalRows, NormalFacts]:
    options = {"weights": model.weights, "weight_type": model.weight_type, "offset": model.offset}
    design = build_design(model.formula, data, outcome="numeric", **options)
    names, outcome = design.spec.names, design.spec.outcome.name
    X, w = design.X, design.weights
    frequency = model.weight_type == "frequency"
    if w is not None and not frequency:
        w = w / w.mean()
    y = design.y if design.offset is None else design.y - design.offset
    fit = _least_squares(X, y, w, names, outcome)
    mass = np.ones(len(y)) if w is None else w
    n, e = float(mass.sum()), fit.residuals
    variance = float(mass @ e**2 / n)
    if not np.sqrt(variance) > PERFECT * np.abs(design.y).max() or n <= len(names):
        if np.ptp(design.y) == 0:
            raise OutcomeError(
                f"The outcome {outcome!r} has no variation: every row used is {design.y[0]:g}."
            )
        raise OutcomeError(
            f"The outcome {outcome!r} is fitted perfectly by {len(names)} columns on {n:g} rows; no law "
            f"is left."
        )
    if fit.condition > NEARLY_DEPENDENT:
        hint = "drop or rescale one of the nearly collinear columns"
        message = (
            f"Columns are nearly collinear (condition number {fit.condition:.1e}): estimates rest on "
            f"few digits of the data."
        )
        warn_user(ConditioningWarning(message, hint=hint))
    sigma = float(np.sqrt(variance))
    centre = float(mass @ y / n) if design.spec.has_intercept else 0.0
    facts = NormalFacts(
        loglik=-n / 2 * (np.log(2 * np.pi * variance) + 1),
        sigma=sigma,
        observations=n,
        rows=len(y),
        given=design.rows.given,
        total_squares=float(mass @ (y - centre) ** 2),
        condition=fit.condition,
        nested_null=design.spec.has_intercept,
        dropped={**design.rows.missing, **design.rows.transformed},
        zero_weight=design.rows.zero_weight,
    )
    return NormalRows(design, *_equations(names, fit, sigma, n, w, model.weight_type)), facts


def _equations(
    names: tuple[str, ...], fit: _Squares, sigma: float, n: float, w: Array | None, weight_type: str | None
) -> tuple[MEstimate, MEstimate]:
    """The estimating equations of β, Σ x e/σ² = 0, and of σ, Σ (e²/σ² − 1)/σ = 0."""
    copies = w if weight_type == "frequency" else None
    own = w if copies is None and w is not None else np.ones(len(fit.residuals))
    mass = own if copies is None else copies
    z = fit.residuals / sigma
    roots = fit.Z * (np.sqrt(own) / sigma)[:, None]
    source = _Source(fit.Z * (own * z / sigma)[:, None], roots, copies)
    information = (fit.Z * mass[:, None]).T @ fit.Z / sigma**2
    inner = triangle_inverse(
        np.asarray(np.linalg.cholesky((information + information.T) / 2).T, dtype=np.float64)
    )
    rows = len(z)
    beta = MEstimate(names, fit.T @ fit.c, inner, fit.T @ inner, n, rows, source, weight_type, fit.T)
    half = np.array([[sigma / np.sqrt(2 * n)]])
    by_row = _Source((own * (z**2 - 1) / sigma)[:, None], (np.sqrt(2 * own) / sigma)[:, None], copies)
    return beta, MEstimate(("sigma",), np.array([sigma]), half, half, n, rows, by_row, weight_type)


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class NormalResults(Estimated, SelfChecking):
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

    model: NormalRegression
    spec: DesignSpec
    coefficients: Array
    covariance: Covariance
    scale_covariance: Covariance
    use_t: bool
    facts: NormalFacts
    rows: NormalRows | None

    def _table_names(self) -> tuple[str, Sequence[str]]:
        return self.spec.outcome.name, self.spec.names

    @cached_property
    def estimates(self) -> Estimates:
        """Coefficients (k,) with standard errors, tests and intervals."""
        df = self.covariance.degrees_of_freedom if self.use_t else np.inf
        return Estimates(self.spec.names, self.coefficients, self.covariance.matrix, df)

    @cached_property
    def sigma_estimates(self) -> Estimates:
        """``sigma``, the maximum-likelihood standard deviation of the errors, and its logarithm, with standard errors."""
        variance, s = float(self.scale_covariance.matrix[0, 0]), self.sigma
        V = variance * np.array([[1.0, 1 / s], [1 / s, 1 / s**2]])
        return Estimates(("sigma", "log(sigma)"), np.array([s, np.log(s)]), V)

    def with_cov(self, cov: CovarianceKind, *, use_t: bool | None = None, data: Any = None) -> NormalResults:
        """Return the same estimates with another covariance; nothing is estimated again.

        Parameters
        ----------
        cov : as in ``fit``.
        use_t : bool or None, None keeps the choice of the fit.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        NormalResults

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        """
        V, scale = self._need_rows(data).covariances(resolve_kind(cov, self.model.weight_type))
        return replace(
            self, covariance=V, scale_covariance=scale, use_t=self.use_t if use_t is None else bool(use_t)
        )

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def converged(self) -> bool:
        """True: least squares has a closed form."""
        return True

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
    def sigma(self) -> float:
        """Maximum-likelihood standard deviation of the errors, √(RSS/n); `scale` has n − k."""
        return self.facts.sigma

    @property
    def scale(self) -> float:
        """s² = RSS/(n − k), as statsmodels' ``scale``."""
        return self.facts.sigma**2 * self.nobs / self.df_resid

    @property
    def llf(self) -> float:
        """Log-likelihood at the maximum, summed over observations (pseudo under sampling weights)."""
        return self.facts.loglik

    @property
    def rsquared(self) -> float:
        """1 − RSS/TSS, the latter around the mean, or around zero without a constant."""
        return 1 - self.facts.sigma**2 * self.nobs / self.facts.total_squares

    @property
    def rsquared_adj(self) -> float:
        """R² with both sums over their degrees of freedom."""
        return 1 - (1 - self.rsquared) * (self.nobs - self.facts.nested_null) / self.df_resid

    @property
    def _likelihood_counts(self) -> bool:
        return self.model.weight_type != "sampling"

    @property
    def aic(self) -> float:
        """2k − 2·llf, σ not counted among the k, as in statsmodels; NaN under sampling weights."""
        return 2 * (len(self.spec.names) - self.llf) if self._likelihood_counts else float("nan")

    @property
    def bic(self) -> float:
        """k·log n − 2·llf, σ not counted among the k; NaN under sampling weights."""
        return (
            len(self.spec.names) * np.log(self.nobs) - 2 * self.llf
            if self._likelihood_counts
            else float("nan")
        )

    # ---- rows ----------------------------------------------------------------------------------------------

    def _need_rows(self, data: Any = None) -> NormalRows:
        if data is None:
            if self.rows is None:
                raise NeedsData(
                    "This result was loaded from a file, which holds no rows: use attach(data) with the "
                    "fit's table."
                )
            return self.rows
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows, facts = _estimate(self.model, data)
        same = rows.design.spec.names == self.spec.names and abs(facts.loglik - self.llf) <= 1e-8 * (
            1 + abs(self.llf)
        )
        if not same or not np.allclose(rows.equation.params, self.coefficients, rtol=1e-6, atol=1e-12):
            raise DataError("data= does not hold the rows of the fit: the estimates there are others.")
        return rows

    def attach(self, data: Any) -> NormalResults:
        """Return a loaded result together with the rows of its fit, checked to be the same.

        Raises
        ------
        DataError
            If the estimates on these rows are others.
        """
        return replace(self, rows=self._need_rows(data))

    @property
    def fittedvalues(self) -> pd.Series:
        """x'β of the rows used, plus the offset (n,)."""
        series: pd.Series = self.predict()
        return series

    @property
    def resid(self) -> pd.Series:
        """y − x'β of the rows used (n,)."""
        return pd.Series(self._need_rows().design.y, index=self._need_rows().design.index) - self.fittedvalues

    def _new_rows(self, new: Any) -> tuple[Array, Array, pd.Index]:
        """Design (m, k), mean (m,) and index of new rows, or of the rows of the fit."""
        rows = self._need_rows().design if new is None else self.spec.matrix(new)
        mean = rows.X @ self.coefficients
        return rows.X, mean if rows.offset is None else mean + rows.offset, rows.index

    def predict(self, new: Any = None, *, ci: bool = False, level: float = 0.95) -> Any:
        """E(y | x) for new rows, with intervals of the mean on request; intervals of outcomes are those of `distribution`.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit.
        ci : bool, whether to give estimate, std_error, conf_low and conf_high.
        level : float, confidence level.

        Returns
        -------
        pandas Series (m,), or DataFrame (m, 4) with ``ci``; rows with a missing value give NaN.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        level = check_level(level)
        X, mean, index = self._new_rows(new)
        if not ci:
            return pd.Series(mean, index=index)
        Z, V = self.covariance.coordinates(X)
        se = np.sqrt(np.sum((Z @ V) * Z, axis=1))
        half = self.estimates.critical(level) * se
        return pd.DataFrame(
            {"estimate": mean, "std_error": se, "conf_low": mean - half, "conf_high": mean + half},
            index=index,
        )

    def distribution(self, new: Any = None) -> Normal:
        """The normal law of the outcome, as the formula writes it, for every row of ``new`` (None: the rows of the fit)."""
        _, mean, _ = self._new_rows(new)
        return Normal(mean, self.sigma).named(self.spec.outcome.name)

    def _refitting(self) -> Refitting:
        return refitting_normal(self)

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        return _summary(self, check_level(level))

    def __repr__(self) -> str:
        return f"<NormalRegression results: {self.spec.formula}, n = {self.nobs:g}, llf = {self.llf:.3f}>"

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the result without its rows to one ``.npz`` file; `disteconometrics.load` reads it."""
        words = ("label", "note", "degrees_of_freedom", "robust")
        header = {
            "estimator": asdict(self.model),
            "spec": self.spec.to_dict(),
            "facts": asdict(self.facts),
            "use_t": self.use_t,
            "covariance": {name: getattr(self.covariance, name) for name in words},
        }
        arrays = {
            "params": self.coefficients,
            "covariance": self.covariance.matrix,
            "scale": self.scale_covariance.matrix,
        }
        arrays |= {"basis": np.asarray(self.covariance.basis), "inner": np.asarray(self.covariance.inner)}
        write_archive(path, "NormalRegression", header, arrays)


def restore_normal(header: dict[str, Any], arrays: dict[str, Array]) -> NormalResults:
    """Rebuild a saved result, without rows.

    Raises
    ------
    FileFormatError, KeyError, TypeError, ValueError
    """
    spec = DesignSpec.from_dict(header["spec"])
    k = len(spec.names)
    shapes = {"params": (k,), "covariance": (k, k), "basis": (k, k), "inner": (k, k), "scale": (1, 1)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise FileFormatError(f"{name} has shape {arrays[name].shape} for {k} coefficients")
    words = header["covariance"]
    facts = NormalFacts(
        **{**header["facts"], **{f: float(header["facts"][f]) for f in ("loglik", "sigma", "observations")}}
    )
    V = Covariance(arrays["covariance"], **words, basis=arrays["basis"], inner=arrays["inner"])
    scale = Covariance(arrays["scale"], **words)
    model = NormalRegression(**header["estimator"])
    return NormalResults(model, spec, arrays["params"], V, scale, bool(header["use_t"]), facts, None)


def _summary(r: NormalResults, level: float) -> Summary:
    f = r.facts
    dropped = f"{f.given - f.rows} dropped"
    frequency = r.model.weight_type == "frequency"
    count = (
        f"{f.observations:.0f} ({f.rows} weighted rows, {dropped})" if frequency else f"{f.rows} ({dropped})"
    )
    left = (
        ("Outcome", r.spec.outcome.name),
        ("Formula", r.spec.formula),
        ("Estimator", "least squares, normal ML" if r._likelihood_counts else "weighted least squares"),
        ("Covariance", r.covariance.label),
    )
    right = (
        ("Observations", count),
        (f"Log-{'' if r._likelihood_counts else 'pseudo'}likelihood", number(r.llf, 4)),
        ("R² (adjusted)", f"{r.rsquared:.4f} ({r.rsquared_adj:.4f})"),
        ("Sigma (error)", f"{number(r.sigma)} ({number(r.sigma_estimates.std_error[0])})"),
    )
    sections = (estimates_section(r.estimates, level),)
    notes = [
        r.covariance.note
        + (f" t with {r.covariance.degrees_of_freedom:g} degrees of freedom." if r.use_t else "")
    ]
    notes.append(f"Sigma is the maximum-likelihood one, of the law; with n - k it is {np.sqrt(r.scale):.4g}.")
    if r.model.weights is not None:
        what = {
            "frequency": "counts of identical rows",
            "sampling": "inverse selection probabilities, scaled to mean one",
        }
        notes.append(f"Weights: {r.model.weights} ({what[str(r.model.weight_type)]}).")
    if r.model.offset is not None:
        notes.append(f"Offset: {r.model.offset}, with coefficient one.")
    notes += rows_dropped(f.given, f.rows, f.dropped, f.zero_weight)
    return Summary("Normal Regression Results", (left, right), sections, tuple(notes))
