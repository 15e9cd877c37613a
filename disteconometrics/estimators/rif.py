"""Regressions of recentred influence functions: what covariates do to quantiles, inequality and poverty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask
from disteconometrics.blocks import columns
from disteconometrics.checks import positive
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.errors import (
    DataError,
    DiscreteOutcomeWarning,
    OptionError,
    OutcomeError,
    WithheldError,
    warn_user,
)
from disteconometrics.estimators.normal import regression_equations
from disteconometrics.estimators.normal_answers import named_squares
from disteconometrics.estimators.refit import refitting_rows
from disteconometrics.estimators.results import (
    CovarianceHeader,
    FitFacts,
    FittedResult,
    SavedResult,
    TakesCovariance,
)
from disteconometrics.estimators.rows import FitRows
from disteconometrics.estimators.specification import Specification, check_columns
from disteconometrics.fields import AnyFloat, Numbers
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    Covariance,
    CovarianceKind,
    resolve_kind,
)
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.influence import (
    estimation_rows,
    is_model_based,
    rows_covariance,
    scaled_averaging,
)
from disteconometrics.inference.influence_functions import check_outcomes, equal_rows
from disteconometrics.inference.protocols import MEstimate, Refitting
from disteconometrics.inference.recentred import Recentred, check_recentred, default_bandwidth, recentred
from disteconometrics.optim.least_squares import Squares
from disteconometrics.report.exchange import OtherPackagesNames
from disteconometrics.report.summary import estimates_section, observations_text, rows_notes
from disteconometrics.tables import Summary, number, printable

__all__ = ["RIFRegression", "RIFResults", "regress_recentred", "told_heap"]

HEAP, ROWS_IN_HEAP = 0.5, 3  # residual in errors of the functional, and rows of one value, that are told


@dataclass(frozen=True, kw_only=True)
class RIFRegression(Specification):
    """Least squares of the recentred influence function of a functional: unconditional partial effects.

    A coefficient says how the functional of the outcome's law moves when the mean of its covariate does, to
    first order, given how outcomes depend on covariates.  Errors are those of the whole: of the coefficients
    given the influence function, and of its own estimation, which is quantiles and their densities at the
    bandwidth that is printed, means and ranks; for the mean and for poverty below a fixed line that adds
    nothing, and the errors are those of least squares.

    Parameters
    ----------
    formula : str
        ``"wage ~ educ + union"``; the outcome is numeric.
    functional : str
        Such as ``"q[0.9]"``, ``"mean"``, ``"gini"``, ``"p90p10"``, ``"var_log"``, ``"top_share[0.1]"``,
        ``"poverty[5]"``.
    bandwidth : float or None
        Of the Gaussian kernel at quantiles, in units of the outcome; None is Silverman's rule, undersmoothed:
        .9·min(std, iqr/1.34)·n^(−1/4).
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Firpo, Fortin, Lemieux (2009), Unconditional quantile regressions, Econometrica 77, doi:10.3982/ECTA6822.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.RIFRegression("foodexp ~ income", functional="q[0.9]").fit(de.datasets.engel())
    >>> res.params.round(3).tolist(), round(res.value, 1), round(res.bandwidth, 1)
    ([53.791, 0.892], 935.0, 54.2)
    """

    functional: str = "median"
    bandwidth: float | None = None
    weights: str | None = None
    weight_type: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check functional, bandwidth and columns.

        Raises
        ------
        OptionError
        """
        check_columns(weights=self.weights, weight_type=self.weight_type)
        check_recentred(self.functional)
        width = None if self.bandwidth is None else positive(self.bandwidth, "bandwidth", " or None")
        return {"bandwidth": width}

    def fit(self, data: Any, *, cov: CovarianceKind | None = None) -> RIFResults:
        """Fit the regression on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        cov : {"HC0", "HC1", "HC2", "HC3"}, Cluster, HAC, Survey or None
            Covariance of the estimates; None is HC1.  p-values and limits take t.

        Returns
        -------
        RIFResults

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, WithheldError

        Warns
        -----
        DiscreteOutcomeWarning, MissingValuesWarning, FewClustersWarning, LonelyUnitWarning
        """
        kind = _kind(cov, self.weight_type)
        read = FitRows.read(self, data, outcome="numeric")
        if read.observations <= len(read.names):
            raise DataError(
                f"{read.observations:g} rows for {len(read.names)} columns leave nothing to see a spread by; "
                "take more rows or fewer columns."
            )
        rows = _solved(self, read)
        facts = RIFFacts(
            **read.facts(),
            observations=read.observations,
            value=rows.recentred.value,
            residual=rows.recentred.residual,
            bandwidth=rows.bandwidth if rows.recentred.quantiles else float("nan"),
            heap=told_heap(self.functional, read.spec.outcome.name, rows.recentred, read.y, rows.shares),
        )
        return RIFResults(
            model=self,
            spec=read.spec,
            facts=facts,
            rows=rows,
            coefficients=rows.equation.params,
            covariance=rows.covariance(kind),
        )


def _kind(cov: CovarianceKind | None, weight_type: str | None) -> CovarianceKind:
    kind = resolve_kind("HC1" if cov is None else cov, weight_type, surveys=True)
    if is_model_based(kind):
        raise OptionError(
            f"cov={cov!r}: a recentred influence function has no law of its own; use 'HC0' to 'HC3', "
            "de.Cluster('column'), de.HAC('column') or de.Survey(…)."
        )
    return kind


def regress_recentred(
    model: RIFRegression, read: FitRows, inside: Mask | None = None, where: str = ""
) -> tuple[Recentred, Squares, float]:
    """Recentre the outcome of rows and regress it, with the bandwidth that was taken.

    Parameters
    ----------
    model : RIFRegression.
    read : FitRows; inside : (n,) bool array of those that count, None for all; where : str, their name.

    Raises
    ------
    OptionError, OutcomeError, CollinearityError

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.RIFRegression("foodexp ~ income", functional="mean")
    >>> read = FitRows.read(model, de.datasets.engel(), outcome="numeric")
    >>> regress_recentred(model, read)[1].params.round(3).tolist()
    [147.475, 0.485]
    """
    at = slice(None) if inside is None else np.flatnonzero(inside)
    y, names, outcome = read.y[at], read.names, read.spec.outcome.name
    check_outcomes(y, read.index[at], outcome, [model.functional], where)
    mass = np.ones(len(y)) if read.weights is None else read.weights[at]
    law = Empirical(y, mass).named(outcome)
    law.functional(model.functional)  # refuses a logarithm by name
    n = equal_rows(mass, read.frequency)
    bandwidth = default_bandwidth(law, n) if model.bandwidth is None else model.bandwidth
    with np.errstate(all="ignore"):
        found = recentred(y, mass, model.functional, n, bandwidth)
    if not (np.isfinite(found.rif).all() and np.ptp(found.rif) > 0):
        raise OutcomeError(
            f"{model.functional!r} of {outcome!r}{where} has no influence function: what it divides by, "
            "a mean, a quantile or a density, is zero, or no row is on one of its sides. Take another, or a "
            "larger bandwidth."
        )
    w = None if read.scaled_weights is None else read.scaled_weights[at]
    matrix = read.matrix if inside is None else columns(read.matrix)[at]
    return found, named_squares(matrix, found.rif, w, names), bandwidth


def _solved(model: RIFRegression, read: FitRows) -> RIFRows:
    """The regression on all rows, with its equation."""
    found, fit, bandwidth = regress_recentred(model, read)
    w = read.scaled_weights
    p = np.full(read.size, 1 / read.size) if w is None else w / w.sum()
    variance = float(p @ np.square(fit.residuals)) or 1.0
    names, sigma = read.names, float(np.sqrt(variance))
    equation, _ = regression_equations(names, fit, sigma, read.observations, w, model.weight_type)
    return RIFRows(
        read.design, equation=equation, recentred=found, shares=p, variance=variance, bandwidth=bandwidth
    )


def told_heap(functional: str, outcome: str, found: Recentred, y: Array, shares: Array) -> str:
    """What is warned of where the mean of RIF is not the functional, and stands below the table too.

    Parameters
    ----------
    functional, outcome : str; found : Recentred, of outcomes y (n,) with ``shares`` (n,).

    Warns
    -----
    DiscreteOutcomeWarning

    Examples
    --------
    >>> y = np.arange(9.0)
    >>> told_heap("median", "wage", recentred(y, np.ones(9), "median", 9, 2.0), y, np.full(9, 1 / 9))
    ''
    """
    size = np.sqrt(np.square(shares * (found.rif - found.value)).sum())
    count = np.unique(y, return_counts=True)[1]
    if not found.quantiles or abs(found.residual) <= HEAP * size or count.max() < ROWS_IN_HEAP:
        return ""
    text = (
        f"{outcome} is heaped at the quantiles of {functional}: the mean of the recentred influence function "
        f"is {found.value + found.residual:.4g}, not {found.value:.4g}, and a density at a heap is the "
        "bandwidth's. Take outcomes as they were before rounding, another level, or quantiles of a "
        "DistributionRegression."
    )
    warn_user(DiscreteOutcomeWarning(text, column=outcome, hint="outcomes before rounding, or another level"))
    return text


@dataclass(frozen=True, eq=False, kw_only=True)
class RIFRows(FitRows):
    """The rows behind a result with the regression's equation and what was regressed."""

    equation: MEstimate
    recentred: Recentred
    shares: Array
    variance: float
    bandwidth: float

    def covariance(self, kind: CovarianceKind) -> Covariance:
        """The covariance of the coefficients, with what the estimation of the influence function adds."""
        e, k = self.equation, len(self.names)
        X, inverse = columns(self.matrix), e.root @ e.root.T
        M = self.shares[:, None] * (X @ inverse) * (self.observations / self.variance)
        added = self.recentred.added(M) * self.shares[:, None]
        leverage = np.sum(X * M, axis=1)
        if kind in ("HC2", "HC3") and leverage.max() > 1 - 1e-10:
            raise WithheldError(
                "A row has leverage one (it is fitted perfectly), so HC2 and HC3 are not defined; use 'HC1'."
            )
        sampling = self.sampling
        rows = estimation_rows(e, np.eye(k), kind, sampling) + scaled_averaging(added, kind, sampling)
        shares = leverage if sampling.copies is None else leverage / sampling.copies
        found = rows_covariance(e.params, rows, kind, sampling, shares=shares)
        if not isinstance(kind, str):
            return found
        factor = {
            "HC0": "",
            "HC1": ", n/(n - k)",
            "HC2": ", over √(1 - leverage)",
            "HC3": ", over 1 - leverage",
        }
        note = f"{kind}: influence of rows on the regression and on what it is of{factor[kind]}."
        return replace(found, label=kind, note=note, degrees_of_freedom=self.observations - k)


# ---- results -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RIFFacts(FitFacts):
    """Numbers of a fit that need no rows.

    The functional's ``value``, the mean of the recentred influence function less it (``residual``), the
    ``bandwidth`` (NaN where no density is needed), and what is said of a ``heap``.
    """

    value: float
    residual: float
    bandwidth: AnyFloat
    heap: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class RIFResults(FittedResult, TakesCovariance, OtherPackagesNames):
    """A fitted regression of a recentred influence function.

    It refers to the rows it was fitted on (no copy); a result loaded from a file holds none, `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.RIFRegression("foodexp ~ income", functional="mean").fit(de.datasets.engel())
    >>> ols = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel(), cov="HC1")
    >>> bool(np.allclose(res.tidy().iloc[:, 1:], ols.tidy().iloc[:, 1:]))
    True
    """

    facts: RIFFacts
    rows: RIFRows | None = field(default=None, repr=False)
    coefficients: Array
    covariance: Covariance

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome and the terms."""
        return self.spec.outcome.name, self.spec.names

    @cached_property
    def estimates(self) -> Estimates:
        """Coefficients (k,) with standard errors, tests and intervals by t."""
        V = self.covariance
        return Estimates(
            self.spec.names, self.coefficients, V.matrix, V.degrees_of_freedom, clusters=V.clusters
        )

    @property
    def value(self) -> float:
        """The functional of the outcome's law in the rows."""
        return self.facts.value

    @property
    def bandwidth(self) -> float:
        """Bandwidth of the densities at quantiles; NaN where there are none."""
        return self.facts.bandwidth

    @property
    def rif(self) -> pd.Series:
        """The recentred influence function of the rows used (n,)."""
        rows: RIFRows = self.data_rows()
        return pd.Series(rows.recentred.rif, index=rows.index)

    def predict(self, new: Any = None) -> pd.Series:
        """The regression x'β, whose average over the rows is the mean of the recentred influence function.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit.

        Returns
        -------
        pandas Series (m,); rows with a missing value give NaN.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        rows = self.data_rows() if new is None else self.spec.matrix(new)
        X = rows.matrix if new is None else rows.X
        return pd.Series(X @ self.coefficients, index=rows.index)

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        return {"covariance": rows.covariance(_kind(cov, self.model.weight_type))}

    def _refitting(self) -> Refitting:
        return refitting_rows(self)

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, f, model = check_level(level), self.facts, self.model
        left = (
            ("Outcome", self.spec.outcome.name),
            ("Formula", self.spec.formula),
            ("Functional", f"{model.functional} = {number(f.value)}"),
            ("Covariance", self.covariance.label),
        )
        right = (
            ("Observations", observations_text(f.given, f.rows, f.observations, model.weight_type)),
            ("Mean of RIF less it", number(f.residual)),
            ("Bandwidth", "none" if np.isnan(f.bandwidth) else number(f.bandwidth)),
            ("t, degrees of freedom", f"{self.covariance.degrees_of_freedom:g}"),
        )
        notes = [self.covariance.note]
        if not np.isnan(f.bandwidth):
            notes.append("Errors include those of quantiles and of their densities at this bandwidth.")
        notes += [f.heap] if f.heap else []
        notes += rows_notes(model, f)
        sections = (estimates_section(self.estimates, level),)
        return Summary("RIF Regression Results", (left, right), sections, tuple(notes))

    def __repr__(self) -> str:
        return printable(
            f"<RIFRegression results: {self.model.functional} of {self.spec.formula}, n = {self.nobs:g}>"
        )

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, coefficients and their covariance."""
        words, arrays = self.covariance.to_file()
        arrays = {"covariance": arrays["covariance"], "params": self.coefficients}
        return {"estimator": asdict(self.model), "covariance": words}, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> RIFResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        arrays = saved.numbers(_ARRAYS, k=len(header.spec.names))
        return cls(**header.fields_of(saved, arrays), coefficients=arrays["params"])


@dataclass(frozen=True, kw_only=True)
class _Header(CovarianceHeader):
    """The header of a file."""

    facts: RIFFacts


_ARRAYS = {"params": Numbers("k"), "covariance": replace(COVARIANCE_ARRAYS["covariance"], optional=False)}
