"""What results of an outcome in several categories share: the equation, facts, tests, predictions, tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Indices
from disteconometrics.checks import flag, size_error, whole
from disteconometrics.data.formula import parse_formula, split_top_level
from disteconometrics.errors import (
    CollinearityError,
    ConvergenceWarning,
    OptionError,
    SeparationError,
    WithheldError,
    warn_user,
)
from disteconometrics.estimators.binary.likelihood_tests import check_likelihood_ratio
from disteconometrics.estimators.results import CoefficientAnswers, FitFacts
from disteconometrics.estimators.rows import FitRows, warn_condition
from disteconometrics.estimators.specification import Specification, statsmodels_cov
from disteconometrics.fields import AnyFloat, Count, Negative, Positive
from disteconometrics.inference.covariance import (
    CovarianceKind,
    covariance,
    refuse_leverages,
    resolve_kind,
)
from disteconometrics.inference.estimates import TestResult, check_level, chi2_test
from disteconometrics.inference.protocols import MEstimate, ScoreSource
from disteconometrics.inference.resample import take_rows
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.optim.concave import ConcaveMaximum, inverse_root
from disteconometrics.optim.separation import Separation
from disteconometrics.optim.whiten import OutOfRange, RankDeficient, Whitened, whitened
from disteconometrics.optim.wording import describe_collinearity, describe_separation
from disteconometrics.report.summary import (
    clusters_notes,
    estimates_section,
    rows_dropped,
    weights_notes,
)
from disteconometrics.tables import Section, Summary, number, p_value

__all__ = [
    "CategoryFacts",
    "CategoryRows",
    "MaximumFacts",
    "MultiIndexAnswers",
    "MultiIndexEstimator",
    "checked_base",
    "equation_of",
    "named_columns",
    "probability_limits",
    "refuse_separation",
    "share_loglik",
    "warn_fit",
    "whitened_columns",
]

R = TypeVar("R")


class MultiIndexEstimator(Specification, Generic[R]):
    """What specifications of likelihoods of several indices share: the covariances there are, and the fit."""

    weight_type: str | None
    refused: ClassVar[str]  # whose rows have no leverage, in what is said of covariances

    def checked_kind(self, cov: CovarianceKind | None) -> CovarianceKind:
        """A covariance that there is.

        A row has several linear forms, and no single leverage corrects its score.

        Raises
        ------
        OptionError
        """
        kind = resolve_kind(cov, self.weight_type)
        refuse_leverages(kind, self.refused)
        return kind

    @abstractmethod
    def estimated(self, data: Any, maxiter: int) -> tuple[type[R], Any, Any]:
        """The class of the result with solved rows and facts."""

    def fit(
        self,
        data: Any,
        *,
        cov: CovarianceKind | None = None,
        use_t: bool = False,
        maxiter: int = 100,
        cov_type: str | None = None,
        cov_kwds: dict[str, Any] | None = None,
    ) -> R:
        """Estimate the model on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        cov : {"nonrobust", "opg", "HC0", "HC1"}, Cluster, HAC or None
            Covariance of the estimates; None is nonrobust, and HC1 under sampling weights.  Choice sets have
            no order for HAC, and clusters that are the same in all rows of a set.
        use_t : bool
            p-values and intervals from t with n − k (clusters: G − 1) degrees of freedom, or from the normal.
        maxiter : int, Newton steps at most.
        cov_type, cov_kwds : statsmodels' spelling of ``cov``.

        Returns
        -------
        The result of this estimator, such as `OrderedResults`.

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, SeparationError, WithheldError

        Warns
        -----
        ConditioningWarning, ConvergenceWarning, MissingValuesWarning, FewClustersWarning
        """
        kind = self.checked_kind(statsmodels_cov(cov, cov_type, cov_kwds))
        result, rows, facts = self.estimated(data, whole(maxiter, "maxiter", 1))
        found: R = cast(Any, result).of_rows(self, rows, facts, kind, use_t)
        return found


def checked_base(base: Any, words: str) -> dict[str, Any]:
    """The base among the fields of a specification, checked to be one value.

    Raises
    ------
    OptionError
    """
    if base is not None and not isinstance(base, (str, bool, int, float, np.generic)):
        raise OptionError(f"base={base!r} is no {words}.")
    return {"base": base.item()} if isinstance(base, np.generic) else {}


# ---- estimation --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class CategoryRows(FitRows):
    """The rows behind a result and the estimating equation of its parameters."""

    equation: MEstimate


@dataclass(frozen=True, kw_only=True)
class MaximumFacts(FitFacts):
    """Numbers of a maximum that need no rows: passes, Newton decrement, condition of the columns."""

    null_loglik: AnyFloat
    converged: bool
    passes: Count
    decrement: AnyFloat
    condition: AnyFloat

    @staticmethod
    def known(read: FitRows, top: Any, condition: float) -> dict[str, Any]:
        """What the rows and their maximum say of the fields; the family says the others."""
        words = {name: getattr(top, name) for name in ("converged", "passes", "decrement")}
        return {**read.facts(), "loglik": top.found.loglik, "condition": condition, **words}


@dataclass(frozen=True, kw_only=True)
class CategoryFacts(MaximumFacts):
    """Numbers of a fit that need no rows.

    ``counts`` are the observations in each category (weighted), ``empty`` the categories without rows.
    """

    null_loglik: Negative
    counts: tuple[Positive, ...]
    empty: tuple[str, ...]

    @classmethod
    def of(cls, read: FitRows, top: Any, condition: float, counts: Array, null: float) -> CategoryFacts:
        """The facts of a maximum on rows with ``counts`` (J,) of the categories."""
        return cls(
            **cls.known(read, top, condition),
            observations=read.observations,
            null_loglik=null,
            counts=tuple(counts.tolist()),
            empty=_empty_categories(read),
        )


def whitened_columns(model: IndexModel, names: Sequence[str]) -> Whitened:
    """Columns that are nearly orthonormal, with names in what is refused.

    Raises
    ------
    CollinearityError, DataError
    """
    with named_columns(model, names):
        return whitened(model)


@contextmanager
def named_columns(model: IndexModel, names: Sequence[str]) -> Iterator[None]:
    """Refusals of columns with their names.

    Raises
    ------
    CollinearityError, DataError
    """
    try:
        yield
    except RankDeficient as error:
        raise CollinearityError(describe_collinearity(error.rank, names, model.rows)) from None
    except OutOfRange as error:
        raise size_error([names[j] for j in error.columns]) from None


def equation_of(
    names: tuple[str, ...],
    basis: Array,
    m: ConcaveMaximum[Any],
    source: ScoreSource,
    read: FitRows,
    observations: float | None = None,
) -> MEstimate:
    """The estimating equation in the coordinates of a maximum, β = ``basis``·c."""
    inner = inverse_root(m.found.information)
    n = read.observations if observations is None else observations
    kind = read.spec.weight_type
    return MEstimate(names, basis @ m.theta, inner, basis @ inner, n, read.size, source, kind, basis)


def refuse_separation(
    separation: Separation | None, names: Sequence[str], outcome: str, size: int, remedy: str
) -> None:
    """Refuse rows, or sets of them, ``size`` in all, whose likelihood has no maximum.

    Raises
    ------
    SeparationError
    """
    if separation is None:
        return
    words = describe_separation(separation, names, size, outcome)
    raise SeparationError(f"{words.split('; coefficients reported')[0]}, so that it has no maximum. {remedy}")


def share_loglik(counts: Array) -> float:
    """Log-likelihood of the shares of categories with so many observations (J,)."""
    return float(special.xlogy(counts, counts / counts.sum()).sum())


def _empty_categories(read: FitRows) -> tuple[str, ...]:
    """Categories that the outcome's column has and no row."""
    left = read.spec.parsed.left
    if not left.is_column:
        return ()
    levels = read.design.table.column(left.variables[0], "the outcome").levels
    return tuple(str(level) for level in levels if level not in read.spec.outcome.levels)


def warn_fit(facts: Any) -> None:
    """Say where the maximum was not reached, or columns are nearly dependent.

    Warns
    -----
    ConvergenceWarning, ConditioningWarning
    """
    if not facts.converged:
        text = (
            f"The maximum was not reached in {facts.passes} passes (Newton decrement {facts.decrement:.1e}): "
            f"did not converge. Raise maxiter."
        )
        warn_user(ConvergenceWarning(text, hint="raise maxiter"))
    warn_condition(facts.condition)


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MultiIndexAnswers(CoefficientAnswers):
    """What results of likelihoods of several indices share: covariances, criteria, tests, files.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.OrderedLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> isinstance(res, MultiIndexAnswers), res.parameters, res.df_model
    (True, 2.0, 1.0)
    """

    plot: ClassVar[Any]  # of `FittedResult`, which a result inherits after this

    @classmethod
    def of_rows(cls, model: Any, rows: Any, facts: Any, kind: CovarianceKind, use_t: Any) -> Any:
        """The result of a specification on solved ``rows``, with a covariance of a ``kind``.

        Raises
        ------
        OptionError, MissingColumnError, DataError, WithheldError
        """
        result: Any = cls  # whose fields are those of the final class
        return result(
            model=model,
            spec=rows.spec,
            facts=facts,
            rows=rows,
            coefficients=rows.equation.params,
            covariance=covariance(rows.equation, kind, rows.sampling),
            use_t=flag(use_t, "use_t"),
        )

    @property
    @abstractmethod
    def tested(self) -> Indices:
        """Positions of the coefficients that are zero in the model without regressors."""

    def checked_kind(self, cov: CovarianceKind | None) -> CovarianceKind:
        """A covariance that there is for this result.

        Raises
        ------
        OptionError
        """
        found: CovarianceKind = self.model.checked_kind(cov)
        return found

    @property
    def parameters(self) -> float:
        """Coefficients, constants and thresholds."""
        return float(len(self.coefficients))

    @property
    def df_model(self) -> float:
        """Coefficients beyond those of the model without regressors."""
        return float(len(self.tested))

    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields that another covariance changes; see `TakesCovariance`."""
        V = covariance(rows.equation, self.checked_kind(cov), rows.sampling)
        return {"covariance": V}

    # ---- fit -----------------------------------------------------------------------------------------------

    @property
    def llnull(self) -> float:
        """Log-likelihood of the model without regressors, which the summary names."""
        return float(self.facts.null_loglik)

    @property
    def llr(self) -> float:
        """Likelihood-ratio statistic of all coefficients; NaN under sampling weights."""
        return 2 * (self.llf - self.llnull) if self.has_likelihood else float("nan")

    @property
    def llr_pvalue(self) -> float:
        """Its p-value; NaN without coefficients and under sampling weights."""
        q = len(self.tested)
        return float(special.chdtrc(q, max(self.llr, 0.0))) if q else float("nan")

    @property
    def wald_pvalue(self) -> float:
        """p-value of the Wald test that all coefficients are zero, with the covariance; or NaN.

        Of too few clusters the foot of the summary tells.
        """
        if not len(self.tested):
            return float("nan")
        try:
            zero = np.eye(len(self.coefficients))[self.tested]
            return self.estimates.wald(zero, quiet=True).p_value
        except WithheldError:
            return float("nan")

    @property
    def prsquared(self) -> float:
        """McFadden's pseudo R², 1 − llf/llnull."""
        return 1 - self.llf / self.llnull

    @abstractmethod
    def check_nested(self, restricted: Any) -> None:
        """Refuse a model that is not a smaller one of the same outcome on the same rows.

        Raises
        ------
        OptionError, NeedsData
        """

    def lr_test(self, restricted: Any) -> TestResult:
        """Likelihood-ratio test of a smaller model of the same outcome on the same rows.

        Parameters
        ----------
        restricted : result of the same estimator whose columns are combinations of those here; or terms to
            leave out, such as ``"age, C(region)"``, a variable in all its terms, for which it is fitted.

        Returns
        -------
        TestResult
            χ² with as many degrees of freedom as coefficients less.

        Raises
        ------
        OptionError, NeedsData
            OptionError if the models are not nested, or of another estimator, or there is no such term.
        WithheldError
            Under clusters, lags and sampling weights, under which it is not χ².

        Warns
        -----
        LikelihoodRatioWarning
            If the covariance is robust: the likelihood ratio is not.
        """
        if isinstance(restricted, str):
            restricted = self._without(restricted)
        if type(getattr(restricted, "model", None)) is not type(self.model):
            name = type(self.model).__name__
            raise OptionError(
                f"lr_test takes the result of a smaller {name}, not {restricted!r:.40}: write "
                f"res.lr_test(de.{name}('smaller formula').fit(data)), or test('…') for a Wald test."
            )
        check_likelihood_ratio(self.covariance, self.has_likelihood, "test (Wald)")
        self.check_nested(restricted)
        q = len(self.coefficients) - len(restricted.coefficients)
        if q < 1:
            raise OptionError("lr_test takes a smaller model: the other one has as many coefficients.")
        kept = set(restricted.labels()[1])
        texts = [f"{name} = 0" for name in self.labels()[1] if name not in kept]
        texts = texts if len(texts) == q else [f"{q} restrictions"]
        return chi2_test("Likelihood-ratio", texts, 2 * (self.llf - restricted.llf), q)

    def _without(self, terms: str) -> Any:
        """The same model on the same rows without some terms, with the default covariance."""
        design = self.data_rows().design
        formula = parse_formula(self.model.formula, self.spec.dot).without(split_top_level(terms, ","))
        kept = np.arange(len(design.table)) if design.kept is None else design.kept
        return replace(self.model, formula=formula).fit(take_rows(design.table.data, kept))

    # ---- tables and files ----------------------------------------------------------------------------------

    @property
    def pseudo(self) -> str:
        """What goes before likelihood under sampling weights."""
        return "" if self.has_likelihood else "pseudo-"

    @property
    def method(self) -> str:
        """What the estimates are."""
        return f"{self.pseudo}maximum likelihood"

    @property
    def share(self) -> tuple[str, str]:
        """What the summary says of the share that is explained."""
        return "Pseudo R² (McFadden)", f"{self.prsquared:.4f}"

    @abstractmethod
    def head(self) -> tuple[str, str]:
        """Observations in words, and the name of the null log-likelihood."""

    @abstractmethod
    def notes(self) -> list[str]:
        """The foot of the summary, but for the rows that were dropped."""

    def sections(self, level: float) -> tuple[Section, ...]:
        """The tables of the summary."""
        return (estimates_section(self.estimates, level),)

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level, f = check_level(level), self.facts
        pseudo = self.pseudo
        state = f"{f.passes} passes" if f.converged else f"no, {f.passes} passes"
        left = (
            ("Outcome", self.spec.outcome.name),
            ("Formula", self.model.formula),
            ("Estimator", self.method),
            ("Covariance", self.covariance.label),
            ("Converged", state),
        )
        test, p = (
            ("Wald", self.wald_pvalue)
            if self.covariance.robust or not self.has_likelihood
            else ("LLR", self.llr_pvalue)
        )
        overall = "withheld" if np.isnan(p) else p_value(p)
        observations, null = self.head()
        right = (
            ("Observations", observations),
            (f"Log-{pseudo.rstrip('-')}likelihood", number(self.llf, 4)),
            (null, number(self.llnull, 4)),
            (f"{test} p-value", overall if len(self.tested) else "no regressors"),
            self.share,
        )
        title = f"{type(self.model).__name__.removesuffix('Regression')} Regression Results"
        notes = [*self.notes(), *weights_notes(self.model.weights, self.model.weight_type)]
        if not np.isnan(p):
            notes += clusters_notes(self.covariance.clusters, len(self.tested))
        if not f.converged:
            notes.append(f"The iterations did not converge: Newton decrement {f.decrement:.1e}.")
        notes += rows_dropped(f)
        return Summary(title, (left, right), self.sections(level), tuple(notes))


def probability_limits(p: Array, se: Array, critical: float) -> dict[str, Array]:
    """Probabilities with errors, and limits that are symmetric for the log-odds, all of one shape.

    Examples
    --------
    >>> limits = probability_limits(np.array([0.5]), np.array([0.1]), 1.96)
    >>> limits["conf_low"].round(3), limits["conf_high"].round(3)
    (array([0.313]), array([0.687]))
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.divide(critical * se, p * (1 - p), out=np.zeros(p.shape), where=se != 0)
        low, high = special.expit(special.logit(p) - half), special.expit(special.logit(p) + half)
    return {"estimate": p, "std_error": se, "conf_low": low, "conf_high": high}
