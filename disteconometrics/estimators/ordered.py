"""Ordered outcomes: logit and probit with thresholds, P(y ≤ j | x) = F(c_j − x'β)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import (
    FewClustersWarning,
    FileFormatError,
    FormulaError,
    OptionError,
    WithheldError,
)
from disteconometrics.estimators.categories import (
    CategoryFacts,
    CategoryRows,
    MultiIndexEstimator,
    equation_of,
    refuse_separation,
    share_loglik,
    warn_fit,
    whitened_columns,
)
from disteconometrics.estimators.category_answers import CategoryAnswers, Predicted, restored
from disteconometrics.estimators.category_laws import OrderedRowLaws
from disteconometrics.estimators.results import FittedResult, SavedResult
from disteconometrics.estimators.rows import FitRows
from disteconometrics.estimators.specification import check_columns
from disteconometrics.inference.covariance import Cluster, covariance, known_kind
from disteconometrics.inference.estimates import Estimates, TestResult
from disteconometrics.inference.protocols import ArrayScores, MEstimate
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.ordered import (
    ORDERED_LOGIT,
    ORDERED_PROBIT,
    EndTerms,
    OrderedKernel,
    OrderedObjective,
    OrderedPass,
    OrderedScores,
    by_threshold,
)
from disteconometrics.optim.category_separation import ordered_separation
from disteconometrics.optim.concave import ConcaveMaximum, maximise_concave
from disteconometrics.optim.newton import maximise
from disteconometrics.report.summary import offset_notes

__all__ = ["OrderedLogit", "OrderedProbit", "OrderedResults"]


@dataclass(frozen=True, kw_only=True)
class OrderedEstimator(MultiIndexEstimator["OrderedResults"]):
    """What both laws of ordered outcomes share: the columns of weights and offset, and the fit."""

    refused: ClassVar[str] = "ordered outcomes, whose rows"

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

    def estimated(self, data: Any, maxiter: int) -> tuple[type[OrderedResults], Any, Any]:
        """The class of the result with solved rows and facts."""
        return OrderedResults, *_estimate(self, data, maxiter)


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


# ---- estimation --------------------------------------------------------------------------------------------


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


def _estimate(model: OrderedEstimator, data: Any, maxiter: int) -> tuple[CategoryRows, CategoryFacts]:
    read = _read(model, data)
    y, w, names = read.y.astype(np.intp), read.scaled_weights, parameter_names(read.spec)
    white = whitened_columns(IndexModel(model.kernel.binary, read.blocks()), read.names)
    Z = np.ascontiguousarray(np.concatenate([block.X for block in white.model.blocks])[:, 1:])
    shift = np.zeros(len(y)) if read.offset is None else read.offset
    objective = OrderedObjective(model.kernel, Z, y, w, shift)
    found = maximise_concave(objective, objective.start(), maxiter=maxiter)
    if found.far or not found.converged:
        cuts = len(read.spec.outcome.levels) - 1
        separation = ordered_separation(read.spec.without_constant(read.X), y, cuts)
        remedy = f"Leave the column out, merge its levels, or merge categories of {read.spec.outcome.name}."
        refuse_separation(separation, names, read.spec.outcome.name, read.size, remedy)
    counts = as_floats(np.bincount(y, w))
    null = _null_loglik(objective, read.offset, counts)
    facts = CategoryFacts.of(read, found, white.condition, counts, null)
    warn_fit(facts)
    read.warn_small_levels(logit=model.kernel is ORDERED_LOGIT)
    return CategoryRows(read.design, equation=_equation(names, white.basis, Z, y, found, read)), facts


def _null_loglik(objective: OrderedObjective, offset: Array | None, counts: Array) -> float:
    """Log-likelihood with thresholds (and the offset) alone."""
    if offset is None:
        return share_loglik(counts)
    alone = replace(objective, X=np.zeros((len(offset), 0)))
    return float(maximise_concave(alone, alone.start()).found.loglik)


def _equation(
    names: tuple[str, ...], T: Array, Z: Array, y: Indices, m: ConcaveMaximum[OrderedPass], read: FitRows
) -> MEstimate:
    """The estimating equation in coordinates (γ, a): β = T₁₁γ and c = a − T₀₁γ, T₀₁ what centring took."""
    k, cuts = Z.shape[1], len(m.theta) - Z.shape[1]
    basis = np.eye(k + cuts)
    basis[:k, :k], basis[k:, :k] = T[1:, 1:], -T[0, 1:]
    copies = read.scaled_weights if read.frequency else None
    t = m.found.terms  # weighted
    own = t if copies is None else EndTerms(*(part / copies for part in t))
    source = OrderedScores(Z, y, own, cuts, copies)
    return equation_of(names, basis, m, source, read)


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class OrderedResults(CategoryAnswers, FittedResult):
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

    facts: CategoryFacts
    rows: CategoryRows | None = field(default=None, repr=False)

    pictures: ClassVar[tuple[str, ...]] = ("coefficients", "shares")

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
        return len(self.coefficients) - len(self.levels) + 1

    @property
    def tested(self) -> Indices:
        """Positions of the coefficients beside the thresholds."""
        return np.arange(self.slopes)

    @property
    def thresholds(self) -> pd.Series:
        """The thresholds c_j (J − 1,) by name."""
        found: pd.Series = self.params.iloc[self.slopes :]
        return found

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """exp(β) of an ordered logit, factors of the odds of any higher category, with limits exp(limits).

        Raises
        ------
        OptionError
            If the law is not the logistic one.
        """
        scale = self.kernel.binary.scale
        if scale != "log-odds":
            raise OptionError(
                f"exp(β) is an odds ratio in a logit only; the index of this model is the {scale}."
            )
        return self.estimates.exponentiated(level).iloc[: self.slopes]

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
        cuts = len(self.levels) - 1
        if cuts < 2 or not self.slopes:
            raise WithheldError("Nothing to compare: the model has one threshold, or no coefficients.")
        known = known_kind(self.covariance.kind)
        rows: CategoryRows = self.data_rows()
        kind = known if self.covariance.robust else "HC0"
        kind = Cluster(*kind.columns) if isinstance(kind, Cluster) else kind
        fits = [_threshold(self.kernel, rows, j, self.levels) for j in range(cuts)]
        stacked = _stacked(fits, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewClustersWarning)  # what is to say about clusters has been said
            V = covariance(stacked, kind, rows.sampling)
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

    def predicted(self, new: Any) -> Predicted:
        """Probabilities of the categories for new rows, None for those of the fit."""
        rows = self.data_rows() if new is None else self.spec.matrix(new)
        X, cuts = self.spec.without_constant(rows.X), len(self.levels) - 1
        p, upper, lower = self._probabilities(self._index(X, rows.offset))

        def gradient(j: int) -> Array:
            at = by_threshold(np.full(len(X), j), upper[:, j], lower[:, j], cuts)
            return np.hstack([-(upper[:, j] + lower[:, j])[:, None] * X, at])

        return Predicted(p, gradient, rows.index, rows.X)

    def _index(self, X: Array, offset: Array | None) -> Array:
        """x'β + offset of rows (m, k) without the constant."""
        eta = X @ self.coefficients[: self.slopes]
        return eta if offset is None else eta + offset

    def row_laws(self, X: Array, offset: Array | None) -> OrderedRowLaws:
        """The laws of rows of the design (m, K) with all its columns."""
        constant = self.spec.names.index("Intercept")
        beta = np.insert(self.coefficients[: self.slopes], constant, 0.0)
        eta = self._index(np.delete(X, constant, axis=1), offset)
        cuts = self.coefficients[self.slopes :]
        return OrderedRowLaws(X, self.kernel.binary, eta, beta, constant, cuts)

    def _probabilities(self, eta: Array) -> tuple[Array, Array, Array]:
        """P(y = j) (m, J), and its derivatives in c_j and c_{j−1} over P."""
        cuts = np.concatenate([[-np.inf], self.coefficients[self.slopes :], [np.inf]])
        ends = ((cuts[j + 1] - eta, cuts[j] - eta) for j in range(len(cuts) - 1))
        with np.errstate(invalid="ignore"):
            terms = [self.kernel.terms(u, low) for u, low in ends]
        p = np.exp(np.column_stack([t.loglik for t in terms]))
        return p, np.column_stack([t.upper for t in terms]), np.column_stack([t.lower for t in terms])

    def notes(self) -> list[str]:
        """The foot of the summary, but for weights and rows that were dropped."""
        law = "Λ" if self.kernel is ORDERED_LOGIT else "Φ"
        notes = [
            f"P(y <= j) = {law}(threshold - x'b): positive coefficients make higher categories likelier. "
            f"{self.covariance.note}",
            *self.shares(),
        ]
        return [*notes, *offset_notes(self.model)]

    @classmethod
    def from_file(cls, saved: SavedResult) -> OrderedResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        return restored(cls, saved, "ordered", _count)


def _count(spec: DesignSpec) -> int:
    """How many parameters a design has."""
    if not spec.has_intercept:
        raise FileFormatError("the outcome is not ordered")
    return len(parameter_names(spec))


# ---- the test of proportional odds -------------------------------------------------------------------------


def _threshold(kernel: OrderedKernel, rows: CategoryRows, j: int, levels: Sequence[Any]) -> Any:
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


def _stacked(fits: Sequence[Any], rows: CategoryRows) -> MEstimate:
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
