"""Multinomial logit of categories without an order: P(y = j | x) ∝ exp(x'β_j), β of the base zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.table import list_names
from disteconometrics.errors import FileFormatError, OptionError
from disteconometrics.estimators.categories import (
    CategoryFacts,
    CategoryRows,
    MultiIndexEstimator,
    checked_base,
    equation_of,
    refuse_separation,
    share_loglik,
    warn_fit,
    whitened_columns,
)
from disteconometrics.estimators.category_answers import CategoryAnswers, Predicted, restored
from disteconometrics.estimators.category_laws import MultinomialRowLaws
from disteconometrics.estimators.results import FittedResult, SavedResult
from disteconometrics.estimators.rows import FitRows
from disteconometrics.estimators.specification import check_columns
from disteconometrics.inference.estimates import Estimates, TestResult
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC
from disteconometrics.likelihoods.multinomial import MultinomialObjective, softmax
from disteconometrics.optim.category_separation import multinomial_separation
from disteconometrics.optim.concave import maximise_concave
from disteconometrics.report.summary import estimates_section
from disteconometrics.tables import Section

__all__ = ["MultinomialLogit", "MultinomialResults"]


@dataclass(frozen=True, kw_only=True)
class MultinomialLogit(MultiIndexEstimator["MultinomialResults"]):
    """Multinomial logit by maximum likelihood, P(y = j | x) = exp(x'β_j)/Σ exp(x'β_l).

    Coefficients are log-odds of a category against the base, and are named ``"boat[income]"``.

    Parameters
    ----------
    formula : str
        ``"choice ~ income + C(region)"``; the outcome is text, categories, numbers of at most 50 values, or
        true/false.  Categories without rows are left out, and named in the summary.
    base : value or None
        The category whose coefficients are zero; None takes the first.
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.  Frequency weights count identical rows; sampling
        weights are inverse probabilities of selection and give robust standard errors.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    McFadden (1974), Conditional logit analysis of qualitative choice behavior, in Zarembka (ed.), Frontiers
    in Econometrics.
    Albert, Anderson (1984), On the existence of maximum likelihood estimates in logistic regression models,
    Biometrika 71, doi:10.1093/biomet/71.1.1.

    Examples
    --------
    >>> import pandas as pd
    >>> from disteconometrics import datasets
    >>> fair = datasets.fair().head(1000)
    >>> fair = fair.assign(mood=pd.cut(fair["rate_marriage"], [0, 3, 4, 5], labels=["low", "mid", "high"]))
    >>> res = MultinomialLogit("mood ~ religious", base="mid").fit(fair)
    >>> res.params.round(3).to_dict()
    {'low[Intercept]': 0.248, 'low[religious]': -0.052, 'high[Intercept]': -0.35, 'high[religious]': 0.006}
    """

    refused: ClassVar[str] = "several categories, whose rows"

    base: Any = None
    weights: str | None = None
    weight_type: str | None = None

    def checked(self) -> dict[str, Any]:
        """Check the names of columns.

        Raises
        ------
        OptionError
        """
        check_columns(weights=self.weights, weight_type=self.weight_type)
        return checked_base(self.base, "category; give one value of the outcome")

    def estimated(self, data: Any, maxiter: int) -> tuple[type[MultinomialResults], Any, Any]:
        """The class of the result with solved rows and facts."""
        return MultinomialResults, *_estimate(self, data, maxiter)


# ---- estimation --------------------------------------------------------------------------------------------


def base_of(base: Any, levels: Sequence[Any], what: str) -> int:
    """Where the base stands among levels, the first for None; a number may be given as text.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> base_of("pier", ("beach", "pier"), "mode"), base_of(None, ("beach", "pier"), "mode")
    (1, 0)
    """
    if base is None:
        return 0
    for i, level in enumerate(levels):
        if level == base or str(level) == str(base):
            return i
    raise OptionError(f"base={base!r} is no value of {what} among the rows used: {list_names(levels)}.")


def others_of(levels: Sequence[Any], base: int) -> list[Any]:
    """The levels but the base, in their order.

    Examples
    --------
    >>> others_of(("beach", "pier", "boat"), 1)
    ['beach', 'boat']
    """
    return [level for i, level in enumerate(levels) if i != base]


def parameter_names(spec: DesignSpec, base: Any) -> tuple[str, ...]:
    """Terms by category, as "boat[income]".

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.MultinomialLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> parameter_names(res.spec, None)
    ('1[Intercept]', '1[GPA]')
    """
    levels = spec.outcome.levels
    others = others_of(levels, base_of(base, levels, spec.outcome.name))
    return tuple(f"{level}[{name}]" for level in others for name in spec.names)


def _from_base(y: Indices, base: int) -> Indices:
    """Codes with the base 0 and the others in their order."""
    return np.where(y == base, 0, y + (y < base)).astype(np.intp)


def _estimate(model: MultinomialLogit, data: Any, maxiter: int) -> tuple[CategoryRows, CategoryFacts]:
    read = FitRows.read(model, data, outcome="nominal")
    outcome, w = read.spec.outcome, read.scaled_weights
    base, J = base_of(model.base, outcome.levels, outcome.name), len(outcome.levels)
    codes = read.y.astype(np.intp)
    y, names = _from_base(codes, base), parameter_names(read.spec, model.base)
    white = whitened_columns(IndexModel(LOGISTIC, read.blocks()), read.names)
    Z = np.ascontiguousarray(np.concatenate([block.X for block in white.model.blocks]))
    basis = as_floats(np.kron(np.eye(J - 1), white.basis))
    objective = MultinomialObjective(Z, y, w, J)
    found = maximise_concave(objective, np.zeros(len(names)), maxiter=maxiter)
    if found.far or not found.converged:
        tried = [basis @ found.theta, basis @ found.step]
        separation = multinomial_separation(np.ascontiguousarray(read.X), y, J, tried)
        remedy = f"Leave the column out, merge its levels, or merge categories of {outcome.name}."
        refuse_separation(separation, names, read.spec.outcome.name, read.size, remedy)
    counts = as_floats(np.bincount(codes, w))
    null = share_loglik(counts) if read.spec.has_intercept else float(-counts.sum() * np.log(J))
    facts = CategoryFacts.of(read, found, white.condition, counts, null)
    warn_fit(facts)
    read.warn_small_levels()
    source = objective.scores(found.theta, w if read.frequency else None)
    return CategoryRows(read.design, equation=equation_of(names, basis, found, source, read)), facts


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MultinomialResults(CategoryAnswers, FittedResult):
    """A fitted multinomial logit: coefficients by category, fit, tests, margins, probabilities.

    It refers to the rows it was fitted on (no copy); a result loaded from a file holds none, `attach` gives
    them back.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.MultinomialLogit("rate_marriage ~ religious").fit(de.datasets.fair().head(1000))
    >>> res.predict({"religious": [1, 4]}).round(3).to_numpy().tolist()
    [[0.022, 0.112, 0.282, 0.341, 0.242], [0.035, 0.117, 0.227, 0.361, 0.261]]
    """

    facts: CategoryFacts
    rows: CategoryRows | None = field(default=None, repr=False)

    pictures: ClassVar[tuple[str, ...]] = ("coefficients", "shares")

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and the terms by category."""
        return self.spec.outcome.name, parameter_names(self.spec, self.model.base)

    @property
    def base(self) -> Any:
        """The category whose coefficients are zero."""
        return self.levels[self._base]

    @property
    def _base(self) -> int:
        return base_of(self.model.base, self.levels, self.spec.outcome.name)

    @property
    def _table(self) -> Array:
        """Coefficients (k, J − 1) of all categories but the base."""
        return self.coefficients.reshape(len(self.levels) - 1, -1).T

    @property
    def tested(self) -> Indices:
        """Positions of the coefficients that are no constants."""
        names = self.spec.names * (len(self.levels) - 1)
        return np.array([i for i, name in enumerate(names) if name != "Intercept"], dtype=np.intp)

    @property
    def by_category(self) -> pd.DataFrame:
        """Coefficients (k, J − 1): a column for each category but the base, a row for each term."""
        others = others_of(self.levels, self._base)
        return pd.DataFrame(self._table.copy(), index=list(self.spec.names), columns=others)

    # ---- tests ---------------------------------------------------------------------------------------------

    def test_term(self, *terms: str) -> TestResult:
        """Wald test that columns have no effect: their coefficients are zero in every category.

        Parameters
        ----------
        terms : names of columns of the design, such as ``"income"`` or ``"C(region)[T.south]"``.

        Returns
        -------
        TestResult

        Raises
        ------
        OptionError

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.MultinomialLogit("rate_marriage ~ age").fit(de.datasets.fair().head(1000))
        >>> res.test_term("age").df
        (4,)
        """
        unknown = [term for term in terms if term not in self.spec.names]
        if unknown or not terms:
            which = f"{unknown[0]!r} is none" if unknown else "none was given"
            raise OptionError(
                f"test_term takes columns of the design, {list_names(self.spec.names)}; {which}."
            )
        at = [i for i, name in enumerate(self.spec.names * (len(self.levels) - 1)) if name in terms]
        found = self.estimates.wald(np.eye(len(self.coefficients))[at])
        return replace(found, hypothesis=(f"{', '.join(terms)} = 0 in all categories",))

    def test_categories(self, first: Any, second: Any) -> TestResult:
        """Wald test that two categories are alike: no regressor tells one from the other.

        Parameters
        ----------
        first, second : categories, of which one may be the base.

        Returns
        -------
        TestResult

        Raises
        ------
        OptionError

        References
        ----------
        Cramer, Ridder (1991), Pooling states in the multinomial logit model, J. Econometrics 47,
        doi:10.1016/0304-4076(91)90102-J.
        """
        at = [base_of(v, self.levels, self.spec.outcome.name) for v in (first, second)]
        if at[0] == at[1] or len(self.tested) == 0:
            raise OptionError("Give two different categories of a model with regressors.")
        slopes = [i for i, name in enumerate(self.spec.names) if name != "Intercept"]
        R = np.zeros((len(slopes), len(self.levels), len(self.spec.names)))
        R[range(len(slopes)), at[0], slopes], R[range(len(slopes)), at[1], slopes] = 1.0, -1.0
        found = self.estimates.wald(np.delete(R, self._base, axis=1).reshape(len(slopes), -1))
        return replace(found, hypothesis=(f"equal slopes of {first} and {second}",))

    def odds_ratios(self, level: float = 0.95) -> pd.DataFrame:
        """exp(β), factors of the odds against the base, with delta-method errors and limits exp(limits of β).

        Stata calls them relative risk ratios.
        """
        return self.estimates.exponentiated(level)

    # ---- answers -------------------------------------------------------------------------------------------

    @property
    def _place(self) -> Indices:
        """Where each category stands (J,) when the base comes first."""
        return _from_base(np.arange(len(self.levels)), self._base)

    def row_laws(self, X: Array, offset: Array | None) -> MultinomialRowLaws:
        """The laws of rows of the design (m, K) with all its columns."""
        return MultinomialRowLaws(X, self._table, self._place)

    def predicted(self, new: Any) -> Predicted:
        """Probabilities of the categories for new rows, None for those of the fit."""
        rows, J = self.data_rows() if new is None else self.spec.matrix(new), len(self.levels)
        X, place = rows.X, self._place
        p = softmax(X @ self._table)[0]

        def gradient(j: int) -> Array:
            own = np.eye(J)[place[j], 1:] - p[:, 1:]
            return np.asarray((own[:, :, None] * X[:, None, :]).reshape(len(X), -1))

        return Predicted(p[:, place], gradient, rows.index, X)

    # ---- tables and files ----------------------------------------------------------------------------------

    def sections(self, level: float) -> tuple[Section, ...]:
        """The tables of the summary: an equation for each category."""
        e, k = self.estimates, len(self.spec.names)
        out = []
        for i, category in enumerate(others_of(self.levels, self._base)):
            at = slice(i * k, (i + 1) * k)
            own = Estimates(self.spec.names, e.values[at], e.covariance[at, at], e.df, clusters=e.clusters)
            out.append(estimates_section(own, level, f"{category} (base: {self.base})"))
        return tuple(out)

    def notes(self) -> list[str]:
        """The foot of the summary, but for weights and rows that were dropped."""
        words = f"Coefficients are log-odds of a category against {self.base}."
        return [f"{words} {self.covariance.note}", *self.shares()]

    @classmethod
    def from_file(cls, saved: SavedResult) -> MultinomialResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        found = restored(cls, saved, "nominal", _count)
        if len(set(found.labels()[1])) != len(found.coefficients):  # says so if the base is none of them
            raise FileFormatError("its terms do not belong to its categories")
        return found


def _count(spec: DesignSpec) -> int:
    """How many parameters a design has."""
    return len(spec.names) * (len(spec.outcome.levels) - 1)
