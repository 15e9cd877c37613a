"""Ordered outcomes: logit and probit with thresholds, P(y ≤ j | x) = F(c_j − x'β)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.checks import flag, size_error, whole
from disteconometrics.data.spec import DesignSpec
from disteconometrics.distributions.categorical import Categorical
from disteconometrics.errors import (
    CollinearityError,
    ConditioningWarning,
    ConvergenceWarning,
    FewClustersWarning,
    FileFormatError,
    FormulaError,
    OptionError,
    SeparationError,
    WithheldError,
    warn_user,
)
from disteconometrics.estimators.binary.fit import NEARLY_DEPENDENT
from disteconometrics.estimators.binary.likelihood_tests import check_likelihood_ratio, check_same_rows
from disteconometrics.estimators.binary.margins import MarginsResults
from disteconometrics.estimators.ordered_margins import ordered_margins
from disteconometrics.estimators.refit import refitting
from disteconometrics.estimators.results import FitFacts, FittedResult, LikelihoodCriteria, SavedResult
from disteconometrics.estimators.rows import FitRows
from disteconometrics.estimators.specification import Specification, check_columns, statsmodels_cov
from disteconometrics.fields import AnyFloat, Count, Negative, Numbers, Positive
from disteconometrics.inference.covariance import (
    COVARIANCE_ARRAYS,
    Cluster,
    Covariance,
    CovarianceKind,
    CovarianceWords,
    covariance,
    refuse_leverages,
    resolve_kind,
)
from disteconometrics.inference.estimates import Estimates, TestResult, check_level, chi2_test
from disteconometrics.inference.protocols import ArrayScores, MEstimate, Refitting
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.ordered import (
    ORDERED_LOGIT,
    ORDERED_PROBIT,
    EndTerms,
    OrderedKernel,
    by_threshold,
)
from disteconometrics.optim.newton import maximise
from disteconometrics.optim.ordered import OrderedMaximum, maximise_ordered, ordered_separation
from disteconometrics.optim.whiten import OutOfRange, RankDeficient, Whitened, triangle_inverse, whitened
from disteconometrics.optim.wording import describe_collinearity, describe_separation
from disteconometrics.report.exchange import OtherPackagesNames
from disteconometrics.report.summary import estimates_section, observations_text, rows_dropped, weights_notes
from disteconometrics.tables import Summary, number, p_value, printable

__all__ = ["OrderedLogit", "OrderedProbit", "OrderedResults"]


@dataclass(frozen=True, kw_only=True)
class OrderedEstimator(Specification):
    """What both laws of ordered outcomes share: the columns of weights and offset, and the fit."""

    weights: str | None = None
    weight_type: str | None = None
    offset: str | None = None

    kernel: ClassVar[OrderedKernel]

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
        use_t: bool = False,
        maxiter: int = 100,
        cov_type: str | None = None,
        cov_kwds: dict[str, Any] | None = None,
    ) -> OrderedResults:
        """Estimate the model on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        cov : {"nonrobust", "opg", "HC0", "HC1"}, Cluster, HAC or None
            Covariance of the estimates; None is nonrobust, and HC1 under sampling weights.
        use_t : bool
            p-values and intervals from t with n − k (clusters: G − 1) degrees of freedom, or from the normal.
        maxiter : int, Newton steps at most.
        cov_type, cov_kwds : statsmodels' spelling of ``cov``.

        Returns
        -------
        OrderedResults

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, SeparationError, WithheldError

        Warns
        -----
        ConditioningWarning, ConvergenceWarning, MissingValuesWarning, FewClustersWarning
        """
        kind = _checked_kind(statsmodels_cov(cov, cov_type, cov_kwds), self.weight_type)
        rows, facts = _estimate(self, data, whole(maxiter, "maxiter", 1))
        return OrderedResults(
            model=self,
            spec=rows.spec,
            facts=facts,
            rows=rows,
            coefficients=rows.equation.params,
            covariance=covariance(rows.equation, kind, codes=rows.codes, order=rows.order),
            use_t=flag(use_t, "use_t"),
        )


@dataclass(frozen=True, kw_only=True)
class OrderedLogit(OrderedEstimator):
    """Ordered logit (proportional odds) by maximum likelihood, P(y ≤ j | x) = Λ(c_j − x'β).

    A positive coefficient makes higher categories likelier, as in Stata's ``ologit`` and R's ``polr``.  The
    thresholds c_j, named ``"Low|Medium"``, take the place of the intercept.

    Parameters
    ----------
    formula : str
        ``"rating ~ price + C(region)"``; the outcome is an ordered categorical (polars: Enum), numbers of at
        most 50 values, or true/false.  Categories without rows are left out, and named in the summary.
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.  Frequency weights count identical rows; sampling
        weights are inverse probabilities of selection and give robust standard errors.
    offset : str or None
        Name of a column added to x'β with coefficient one.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    McCullagh (1980), Regression models for ordinal data, J. Royal Statistical Society B 42.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> fair = datasets.fair().head(1000)
    >>> res = OrderedLogit("rate_marriage ~ age + religious").fit(fair)
    >>> res.params.round(3).to_dict()
    {'age': -0.014, 'religious': 0.045, '1|2': -3.903, '2|3': -2.123, '3|4': -0.719, '4|5': 0.786}
    """

    kernel: ClassVar[OrderedKernel] = ORDERED_LOGIT


@dataclass(frozen=True, kw_only=True)
class OrderedProbit(OrderedEstimator):
    """Ordered probit by maximum likelihood, P(y ≤ j | x) = Φ(c_j − x'β).

    Parameters
    ----------
    formula, weights, weight_type, offset : as for `OrderedLogit`.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    McKelvey, Zavoina (1975), A statistical model for the analysis of ordinal level dependent variables,
    J. Mathematical Sociology 4, doi:10.1080/0022250X.1975.9989847.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = OrderedProbit("GRADE ~ GPA").fit(datasets.spector())
    >>> res.params.round(3).to_dict()  # two categories: the probit, its intercept the negative threshold
    {'GPA': 1.589, '0|1': 5.424}
    """

    kernel: ClassVar[OrderedKernel] = ORDERED_PROBIT


def _checked_kind(cov: CovarianceKind | None, weight_type: str | None) -> CovarianceKind:
    """A covariance that there is: a row has two linear forms, and no single leverage corrects its score."""
    kind = resolve_kind(cov, weight_type)
    refuse_leverages(kind, "ordered")
    return kind


# ---- estimation --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class OrderedRows(FitRows):
    """The rows behind a result and the estimating equation of coefficients and thresholds."""

    equation: MEstimate

    @property
    def categories(self) -> Indices:
        """Codes (n,) of the outcomes."""
        return self.y.astype(np.intp)


@dataclass(frozen=True, kw_only=True)
class OrderedFacts(FitFacts):
    """Numbers of a fit that need no rows.

    ``counts`` are the observations in each category (weighted), ``empty`` the categories without rows.
    """

    null_loglik: Negative
    counts: tuple[Positive, ...]
    empty: tuple[str, ...]
    converged: bool
    passes: Count
    decrement: AnyFloat
    condition: AnyFloat


def parameter_names(spec: DesignSpec) -> tuple[str, ...]:
    """The terms but the constant, and thresholds as "Low|Medium".

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.OrderedLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> parameter_names(res.spec)
    ('GPA', '0|1')
    """
    levels = spec.outcome.levels
    cuts = (f"{a}|{b}" for a, b in pairwise(levels))
    return (*(name for name in spec.names if name != "Intercept"), *cuts)


def _read(model: OrderedEstimator, data: Any) -> FitRows:
    read = FitRows.read(model, data, outcome="ordered")
    if not read.spec.has_intercept:
        raise FormulaError(
            f"{model.formula!r} leaves the intercept out, but the thresholds of an ordered outcome stand in "
            f"its place: write the formula without '0 +' or '- 1'."
        )
    return read


def _whitened(model: IndexModel, names: Sequence[str]) -> Whitened:
    """Columns that are nearly orthonormal, with names in what is refused."""
    try:
        return whitened(model)
    except RankDeficient as error:
        raise CollinearityError(describe_collinearity(error.rank, names, model.rows)) from None
    except OutOfRange as error:
        raise size_error([names[j] for j in error.columns]) from None


def _estimate(model: OrderedEstimator, data: Any, maxiter: int) -> tuple[OrderedRows, OrderedFacts]:
    read = _read(model, data)
    y, w, names = read.y.astype(np.intp), read.scaled_weights, parameter_names(read.spec)
    white = _whitened(IndexModel(model.kernel.binary, read.blocks()), read.names)
    Z = np.ascontiguousarray(np.concatenate([block.X for block in white.model.blocks])[:, 1:])
    found = maximise_ordered(model.kernel, Z, y, w, read.offset, maxiter=maxiter)
    if found.far or not found.converged:
        _check_overlap(read, y, names)
    counts = as_floats(np.bincount(y, w))
    facts = OrderedFacts(
        **read.facts(),
        observations=read.observations,
        loglik=found.found.loglik,
        null_loglik=_null_loglik(model.kernel, y, w, read.offset, counts),
        counts=tuple(counts.tolist()),
        empty=_empty(read),
        converged=found.converged,
        passes=found.passes,
        decrement=found.decrement,
        condition=white.condition,
    )
    _warn(facts)
    read.warn_small_levels()
    return OrderedRows(read.design, equation=_equation(names, white.basis, Z, y, found, read)), facts


def _check_overlap(read: FitRows, y: Indices, names: Sequence[str]) -> None:
    """Refuse rows whose likelihood has no maximum.

    Raises
    ------
    SeparationError
    """
    separation = ordered_separation(read.spec.without_constant(read.X), y, len(read.spec.outcome.levels) - 1)
    if separation is None:
        return
    words = describe_separation(separation, names, read.size, read.spec.outcome.name)
    raise SeparationError(
        words.split("; coefficients reported")[0]
        + ", so that it has no maximum. Leave the column out, merge its levels, or merge categories of "
        f"{read.spec.outcome.name}."
    )


def _null_loglik(
    kernel: OrderedKernel, y: Indices, w: Array | None, offset: Array | None, counts: Array
) -> float:
    """Log-likelihood with thresholds (and the offset) alone."""
    if offset is None:
        return float(special.xlogy(counts, counts / counts.sum()).sum())
    return maximise_ordered(kernel, np.zeros((len(y), 0)), y, w, offset).found.loglik


def _empty(read: FitRows) -> tuple[str, ...]:
    """Categories that the outcome's column has and no row."""
    left = read.spec.parsed.left
    if not left.is_column:
        return ()
    levels = read.design.table.column(left.variables[0], "the outcome").levels
    return tuple(str(level) for level in levels if level not in read.spec.outcome.levels)


def _warn(facts: OrderedFacts) -> None:
    if not facts.converged:
        text = (
            f"The maximum was not reached in {facts.passes} passes (Newton decrement {facts.decrement:.1e}): "
            f"did not converge. Raise maxiter."
        )
        warn_user(ConvergenceWarning(text, hint="raise maxiter"))
    if facts.condition > NEARLY_DEPENDENT:
        text = (
            f"Columns are nearly collinear (condition number {facts.condition:.1e}): estimates rest on few "
            f"digits of the data."
        )
        warn_user(ConditioningWarning(text, hint="drop or rescale one of the nearly collinear columns"))


def _equation(
    names: tuple[str, ...], T: Array, Z: Array, y: Indices, m: OrderedMaximum, read: FitRows
) -> MEstimate:
    """The estimating equation in coordinates (γ, a): β = T₁₁γ and c = a − T₀₁γ, T₀₁ what centring took."""
    k, cuts = Z.shape[1], len(m.thresholds)
    basis = np.eye(k + cuts)
    basis[:k, :k], basis[k:, :k] = T[1:, 1:], -T[0, 1:]
    H = m.found.information
    scale = np.sqrt(np.diagonal(H))
    inner = triangle_inverse(np.linalg.cholesky(H / np.outer(scale, scale)).T) / scale[:, None]
    copies = read.scaled_weights if read.frequency else None
    t = m.found.terms  # weighted
    one = np.ones(len(y)) if copies is None else 1 / copies
    upper, lower = one * t.upper, one * t.lower
    scores = np.hstack([-(upper + lower)[:, None] * Z, by_threshold(y, upper, lower, cuts)])
    roots = _roots(Z, y, EndTerms(*(one * part for part in t)), cuts)
    params = basis @ np.concatenate([m.coefficients, m.thresholds])
    source = ArrayScores(scores, roots, copies)
    kind = read.spec.weight_type
    return MEstimate(names, params, inner, basis @ inner, read.observations, read.size, source, kind, basis)


def _roots(Z: Array, y: Indices, t: EndTerms, cuts: int) -> Array:
    """Two roots a row (n, 2, k + J − 1), whose products sum to its information: Cholesky's of u and l."""
    a = t.upper_weight + t.shared
    first = np.sqrt(np.maximum(a, 0.0))
    across = np.divide(-t.shared, first, out=np.zeros(len(y)), where=first > 0)
    rest = np.sqrt(np.maximum(t.lower_weight + t.shared - across**2, 0.0))
    zero = np.zeros(len(y))
    forms = ((first, across), (zero, rest))
    return np.stack(
        [np.hstack([-(u + v)[:, None] * Z, by_threshold(y, u, v, cuts)]) for u, v in forms], axis=1
    )


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class OrderedResults(FittedResult, LikelihoodCriteria, OtherPackagesNames):
    """A fitted ordered logit or probit: coefficients, thresholds, fit, tests, margins, probabilities.

    It refers to the rows it was fitted on (no copy); a result loaded from a file holds none, `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.OrderedLogit("rate_marriage ~ religious").fit(de.datasets.fair().head(1000))
    >>> res.predict({"religious": [1, 4]}).round(3).to_numpy().tolist()
    [[0.028, 0.117, 0.263, 0.348, 0.243], [0.026, 0.109, 0.253, 0.353, 0.26]]
    """

    facts: OrderedFacts
    rows: OrderedRows | None = field(default=None, repr=False)
    coefficients: Array
    covariance: Covariance
    use_t: bool

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, the terms and the thresholds."""
        return self.spec.outcome.name, parameter_names(self.spec)

    @property
    def kernel(self) -> OrderedKernel:
        """The law of the outcome given the index."""
        kernel: OrderedKernel = self.model.kernel
        return kernel

    @property
    def slopes(self) -> int:
        """How many coefficients there are beside the thresholds."""
        return len(self.coefficients) - len(self.spec.outcome.levels) + 1

    @property
    def thresholds(self) -> pd.Series:
        """The thresholds c_j (J − 1,) by name."""
        found: pd.Series = self.params.iloc[self.slopes :]
        return found

    @property
    def parameters(self) -> float:
        """Coefficients and thresholds."""
        return float(len(self.coefficients))

    @property
    def df_model(self) -> float:
        """Coefficients beyond the thresholds."""
        return float(self.slopes)

    def solution(self) -> Array:
        """Coefficients and thresholds (k + J − 1,)."""
        return self.coefficients

    @cached_property
    def estimates(self) -> Estimates:
        """Coefficients and thresholds with standard errors, tests and intervals."""
        df = self.covariance.degrees_of_freedom if self.use_t else np.inf
        V = self.covariance
        return Estimates(parameter_names(self.spec), self.coefficients, V.matrix, df, clusters=V.clusters)

    def with_cov(self, cov: CovarianceKind, *, use_t: bool | None = None, data: Any = None) -> OrderedResults:
        """Return the same estimates with another covariance; nothing is estimated again.

        Parameters
        ----------
        cov : as in ``fit``.
        use_t : bool or None, None keeps the choice of the fit.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        OrderedResults

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        """
        rows, kind = self.data_rows(data), _checked_kind(cov, self.model.weight_type)
        V = covariance(rows.equation, kind, codes=rows.codes, order=rows.order)
        return replace(self, covariance=V, use_t=self.use_t if use_t is None else flag(use_t, "use_t"))

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def llnull(self) -> float:
        """Log-likelihood of the thresholds (and the offset) alone."""
        return float(self.facts.null_loglik)

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic of all coefficients; NaN under sampling weights."""
        return 2 * (self.llf - self.llnull) if self.has_likelihood else float("nan")

    @property
    def llr_pvalue(self) -> float:
        """Its p-value; NaN without coefficients and under sampling weights."""
        return float(special.chdtrc(self.slopes, max(self.llr, 0.0))) if self.slopes else float("nan")

    @property
    def wald_pvalue(self) -> float:
        """p-value of the Wald test that all coefficients are zero, with the covariance; or NaN."""
        try:
            return self.estimates.wald(np.eye(len(self.coefficients))[: self.slopes]).p_value
        except WithheldError:
            return float("nan")

    @property
    def prsquared(self) -> float:
        """McFadden's pseudo R², 1 − llf/llnull."""
        return 1 - self.llf / self.llnull

    def lr_test(self, restricted: OrderedResults) -> TestResult:
        """Likelihood-ratio test of a smaller model of the same outcome on the same rows.

        Parameters
        ----------
        restricted : result of the same estimator whose columns are combinations of those here.

        Returns
        -------
        TestResult
            χ² with as many degrees of freedom as coefficients less.

        Raises
        ------
        OptionError, NeedsData
            OptionError if the models are not nested, or of another estimator.
        WithheldError
            Under clusters, lags and sampling weights, under which it is not χ².

        Warns
        -----
        LikelihoodRatioWarning
            If the covariance is robust: the likelihood ratio is not.
        """
        if not isinstance(restricted, OrderedResults) or type(restricted.model) is not type(self.model):
            raise OptionError(f"lr_test takes a result of {type(self.model).__name__}; use test for others.")
        check_likelihood_ratio(self.covariance, self.has_likelihood, "test (Wald)")
        check_same_rows(self.data_rows(), restricted.data_rows())
        q = self.slopes - restricted.slopes
        if q < 1:
            raise OptionError("lr_test takes a smaller model: the other one has as many coefficients.")
        kept = set(restricted.spec.names)
        texts = [f"{name} = 0" for name in self.spec.names if name not in kept]
        texts = texts if len(texts) == q else [f"{q} restrictions"]
        return chi2_test("Likelihood-ratio", texts, 2 * (self.llf - restricted.llf), q)

    def proportional_odds(self) -> TestResult:
        """Wald test that the coefficients are the same at every threshold.

        The binary models of y > j, one for each threshold, are fitted apart, and their coefficients compared
        with the covariance of their scores, stacked: that of the result where it is robust (of clusters with
        G/(G − 1)), else HC0.

        Returns
        -------
        TestResult
            χ² (clusters: F) with (J − 2)·k degrees of freedom.

        Raises
        ------
        WithheldError
            If there are two categories or no coefficients, or a threshold is separated.
        NeedsData, OptionError

        References
        ----------
        Brant (1990), Assessing proportionality in the proportional odds model for ordinal logistic
        regression, Biometrics 46, doi:10.2307/2532457.
        """
        cuts = len(self.spec.outcome.levels) - 1
        if cuts < 2 or not self.slopes:
            raise WithheldError("Nothing to compare: the model has one threshold, or no coefficients.")
        if self.covariance.kind is None:
            raise WithheldError("This result was loaded: with_cov() says which covariance the test has.")
        rows: OrderedRows = self.data_rows()
        kind = self.covariance.kind if self.covariance.robust else "HC0"
        kind = Cluster(*kind.columns) if isinstance(kind, Cluster) else kind
        fits = [_threshold(self.kernel, rows, j, self.spec.outcome.levels) for j in range(cuts)]
        stacked = _stacked(fits, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewClustersWarning)  # what is to say about clusters has been said
            V = covariance(stacked, kind, codes=rows.codes, order=rows.order)
        k = len(rows.names)
        at = [i for i, name in enumerate(rows.names) if name != "Intercept"]
        R = np.zeros((cuts - 1, len(at), cuts, k))
        for j in range(1, cuts):
            R[j - 1, range(len(at)), j, at], R[j - 1, range(len(at)), 0, at] = 1.0, -1.0
        estimates = Estimates(stacked.names, stacked.params, V.matrix, clusters=V.clusters)
        found = estimates.wald(R.reshape(-1, cuts * k))
        words = (f"equal coefficients of {', '.join(rows.names[i] for i in at)} at {cuts} thresholds",)
        return replace(found, hypothesis=words)

    # ---- answers -------------------------------------------------------------------------------------------

    def margins(self, variables: Any = None, *, at: Any = "overall", level: float = 0.95) -> MarginsResults:
        """Average marginal effects on the probability of every category, through the formula.

        Effects of a variable sum to zero over the categories.

        Parameters
        ----------
        variables : str, list of str, dict or None
            None takes every variable of the right side.  Numbers get the derivative; text, categories,
            true/false, ``C(x)`` and 0–1 columns the difference of each level from the first.  A dict
            chooses: ``{"kids": (0, 1)}``, ``{"d": "derivative"}``.
        at : "overall", "mean" or dict
            Average over the rows, the effect at the average row, or the average with some variables fixed.
        level : float, confidence level of the table.

        Returns
        -------
        MarginsResults
            A row for each effect and category, named ``"income [High]"``; errors are those of the estimates
            for these very rows (delta method).

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError, NeedsData

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.OrderedLogit("rate_marriage ~ religious").fit(de.datasets.fair().head(1000))
        >>> bool(abs(res.margins().params.sum()) < 1e-12)
        True
        """
        return ordered_margins(self, self.data_rows().scenario(), variables, at=at, level=check_level(level))

    def _new_rows(self, new: Any) -> tuple[Array, Array, pd.Index]:
        """Columns without the constant (m, k), index (m,) and the pandas index of new rows, or of the fit."""
        rows = self.data_rows() if new is None else self.spec.matrix(new)
        X = self.spec.without_constant(rows.X)
        eta = X @ self.coefficients[: self.slopes]
        return X, eta if rows.offset is None else eta + rows.offset, rows.index

    def _probabilities(self, eta: Array) -> tuple[Array, Array, Array]:
        """P(y = j) (m, J), and its derivatives in c_j and c_{j−1} over P."""
        cuts = np.concatenate([[-np.inf], self.coefficients[self.slopes :], [np.inf]])
        ends = ((cuts[j + 1] - eta, cuts[j] - eta) for j in range(len(cuts) - 1))
        with np.errstate(invalid="ignore"):
            terms = [self.kernel.terms(u, low) for u, low in ends]
        p = np.exp(np.column_stack([t.loglik for t in terms]))
        return p, np.column_stack([t.upper for t in terms]), np.column_stack([t.lower for t in terms])

    def predict(self, new: Any = None, *, ci: bool = False, level: float = 0.95) -> pd.DataFrame:
        """Probabilities of the categories for new rows, with intervals inside [0, 1] on request.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit.
        ci : bool, whether to give estimate, std_error, conf_low and conf_high; limits are symmetric for the
            log-odds of the category.
        level : float, confidence level.

        Returns
        -------
        pandas DataFrame (m, J) with a column for each category, or by (row, category) with ``ci``; rows with
            a missing value give NaN.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        level = check_level(level)
        X, eta, index = self._new_rows(new)
        p, upper, lower = self._probabilities(eta)
        levels = list(self.spec.outcome.levels)
        if not ci:
            return pd.DataFrame(p, index=index, columns=levels)
        se = np.column_stack([p[:, j] * self._error(X, upper, lower, j) for j in range(len(levels))])
        with np.errstate(divide="ignore", invalid="ignore"):
            half = self.estimates.critical(level) * se / (p * (1 - p))
            low, high = special.expit(special.logit(p) - half), special.expit(special.logit(p) + half)
        parts = {"estimate": p, "std_error": se, "conf_low": low, "conf_high": high}
        labels = [np.repeat(np.asarray(index), len(levels)), np.tile(np.array(levels, dtype=object), len(p))]
        rows = pd.MultiIndex.from_arrays(labels, names=["row", self.spec.outcome.name])
        return pd.DataFrame({name: part.ravel() for name, part in parts.items()}, index=rows)

    def _error(self, X: Array, upper: Array, lower: Array, j: int) -> Array:
        """Standard errors (m,) of log P(y = j)."""
        cuts = upper.shape[1] - 1
        category = np.full(len(X), j)
        G = by_threshold(category, upper[:, j], lower[:, j], cuts)
        return self.covariance.errors(np.hstack([-(upper[:, j] + lower[:, j])[:, None] * X, G]))

    def distribution(self, new: Any = None) -> Categorical:
        """The law of the outcome's code, 0 for the lowest category, for every row of ``new``.

        None takes the rows of the fit.
        """
        _, eta, _ = self._new_rows(new)
        law = Categorical(self._probabilities(eta)[0], self.spec.outcome.levels)
        return law.named(self.spec.outcome.name)

    def _refitting(self) -> Refitting:
        kind, rows = self.covariance.kind, self.data_rows()
        labels = pd.Categorical(self.spec.outcome.levels, self.spec.outcome.levels, ordered=True)
        return refitting(
            self.model,
            rows,
            kind,
            outcome=labels[rows.categories],
            law=self.distribution(),
            truth=dict(zip(self.estimates.names, map(float, self.coefficients), strict=True)),
            options={"cov": kind, "use_t": self.use_t},
            labels=labels,
            robust={"cov": "HC0"} if kind in ("nonrobust", "opg") else None,
        )

    # ---- tables and files ----------------------------------------------------------------------------------

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, f = check_level(level), self.facts
        pseudo = "" if self.has_likelihood else "pseudo-"
        state = f"{f.passes} passes" if f.converged else f"no, {f.passes} passes"
        left = (
            ("Outcome", self.spec.outcome.name),
            ("Formula", self.spec.formula),
            ("Estimator", f"{pseudo}maximum likelihood"),
            ("Covariance", self.covariance.label),
            ("Converged", state),
        )
        test, p = ("Wald", self.wald_pvalue) if self.covariance.robust else ("LLR", self.llr_pvalue)
        overall = "withheld" if np.isnan(p) else p_value(p)
        right = (
            ("Observations", observations_text(f.given, f.rows, f.observations, self.model.weight_type)),
            (f"Log-{pseudo.rstrip('-')}likelihood", number(self.llf, 4)),
            ("LL-null", number(self.llnull, 4)),
            (f"{test} p-value", overall if self.slopes else "no regressors"),
            ("Pseudo R² (McFadden)", f"{self.prsquared:.4f}"),
        )
        title = f"{type(self.model).__name__} Regression Results"
        section = estimates_section(self.estimates, level)
        return Summary(title, (left, right), (section,), tuple(self._notes()))

    def _notes(self) -> list[str]:
        f, total = self.facts, sum(self.facts.counts)
        law = "Λ" if self.kernel is ORDERED_LOGIT else "Φ"
        shares = ", ".join(
            f"{level} {100 * n / total:.1f} %"
            for level, n in zip(self.spec.outcome.levels, f.counts, strict=True)
        )
        notes = [
            f"P(y <= j) = {law}(threshold - x'b): positive coefficients make higher categories likelier. "
            f"{self.covariance.note}",
            f"Categories: {shares}.",
        ]
        if f.empty:
            notes.append(f"Categories without rows, left out ({len(f.empty)}): {', '.join(f.empty)}.")
        notes += weights_notes(self.model.weights, self.model.weight_type)
        if self.model.offset is not None:
            notes.append(f"Offset: {self.model.offset}, with coefficient one.")
        if not f.converged:
            notes.append(f"The iterations did not converge: Newton decrement {f.decrement:.1e}.")
        return [*notes, *rows_dropped(f.given, f.rows, f.dropped, f.zero_weight)]

    def __repr__(self) -> str:
        name = type(self.model).__name__
        return printable(f"<{name} results: {self.spec.formula}, n = {self.nobs:g}, llf = {self.llf:.3f}>")

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, coefficients and thresholds, and their covariance."""
        words, arrays = self.covariance.to_file()
        arrays["params"] = self.coefficients
        return {"estimator": asdict(self.model), "use_t": self.use_t, "covariance": words}, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> OrderedResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        if header.spec.outcome.kind != "ordered" or not header.spec.has_intercept:
            raise FileFormatError("the outcome is not ordered")
        k = len(parameter_names(header.spec))
        arrays = saved.numbers({"params": Numbers("k"), **COVARIANCE_ARRAYS}, k=k)
        if len(header.facts.counts) != len(header.spec.outcome.levels):
            raise FileFormatError("its counts do not belong to its categories")
        return cls(
            model=saved.model(header.estimator),
            spec=header.spec,
            facts=header.facts,
            coefficients=arrays["params"],
            covariance=Covariance.from_file(header.covariance, arrays),
            use_t=header.use_t,
        )


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    spec: DesignSpec
    facts: OrderedFacts
    estimator: dict[str, Any]
    use_t: bool
    covariance: CovarianceWords


# ---- the test of proportional odds -------------------------------------------------------------------------


def _threshold(kernel: OrderedKernel, rows: OrderedRows, j: int, levels: Sequence[Any]) -> Any:
    """The binary model of y > j: its maximum with scores (n, k) in the coordinates of the solution."""
    blocks = [b._replace(y=(b.y > j).astype(np.float64)) for b in rows.blocks()]
    m = maximise(IndexModel(kernel.binary, blocks))
    if m.separation is not None:
        raise WithheldError(
            f"The model of {rows.spec.outcome.name} above {levels[j]!r} alone has no maximum (separation), "
            f"so that coefficients at the thresholds cannot be compared; merge categories."
        )
    model = IndexModel(kernel.binary, m.whitened_blocks(blocks), rows.size)
    parts = list(model.score_rows(m.coordinates, frequency=rows.frequency, rows=None))
    return m, np.concatenate([part.scores for part in parts])


def _stacked(fits: Sequence[Any], rows: OrderedRows) -> MEstimate:
    """The equations of all thresholds as one, whose informations do not meet."""
    k, cuts = len(rows.names), len(fits)
    inner, root = np.zeros((2, k * cuts, k * cuts))
    for j, (m, _) in enumerate(fits):
        own = slice(j * k, (j + 1) * k)
        inner[own, own], root[own, own] = m.inner, m.root
    scores = np.hstack([scores for _, scores in fits])
    names = tuple(f"{name} [{j}]" for j in range(cuts) for name in rows.names)
    copies = rows.scaled_weights if rows.frequency else None
    source = ArrayScores(scores, np.zeros(scores.shape), copies)
    params = np.concatenate([m.params for m, _ in fits])
    kind = rows.spec.weight_type
    return MEstimate(names, params, inner, root, rows.observations, rows.size, source, kind)
