"""Answers of results of one outcome in several categories: averages, effects, predictions, files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, or_ones
from disteconometrics.checks import whole
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.table import as_given, list_names
from disteconometrics.distributions.categorical import Categorical
from disteconometrics.distributions.functionals import listed
from disteconometrics.errors import FileFormatError, OptionError
from disteconometrics.estimators.binary.extrapolation import Ranges, seen_ranges, warn_new
from disteconometrics.estimators.binary.likelihood_tests import check_same_rows
from disteconometrics.estimators.binary.margins import (
    INCLUDED,
    INDEPENDENT,
    SHARED,
    MarginsResults,
    margins_of,
)
from disteconometrics.estimators.categories import (
    CategoryFacts,
    CategoryRows,
    MultiIndexAnswers,
    probability_limits,
)
from disteconometrics.estimators.category_laws import CategoryRowLaws
from disteconometrics.estimators.law_answers import Answering, AveragedAnswers
from disteconometrics.estimators.margin_questions import (
    asked_of,
    averaged_with,
    check_place,
    check_ranges,
    questions_of,
    row_groups,
)
from disteconometrics.estimators.refit import refitting_result
from disteconometrics.estimators.results import CoefficientsHeader, SavedResult
from disteconometrics.fields import Numbers
from disteconometrics.inference.category_margins import category_margins, category_margins_at_means
from disteconometrics.inference.covariance import COVARIANCE_ARRAYS
from disteconometrics.inference.estimates import check_level
from disteconometrics.inference.influence import is_model_based
from disteconometrics.inference.law_effects import MEstimation
from disteconometrics.inference.law_functionals import SHARES, Functional
from disteconometrics.inference.protocols import Refitting
from disteconometrics.report.summary import observations_text
from disteconometrics.threads import on_one_thread

__all__ = ["CategoryAnswers", "Predicted", "restored"]

GRID = 60  # values along a number
R = TypeVar("R")


class Predicted(NamedTuple):
    """Probabilities (m, J) of rows, what gives the gradients (m, k) of log P(y = j), index and design."""

    p: Array
    gradient: Callable[[int], Array]
    index: Any
    X: Array


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CategoryAnswers(MultiIndexAnswers, AveragedAnswers):
    """What results of one outcome in several categories share: averages, predictions, its law, its refitting.

    Functionals are ``prob[low]``, the probability of the category "low", and of ordered categories that are
    numbers ``mean``.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.MultinomialLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> isinstance(res, CategoryAnswers), res.predict({"GPA": [3.0]}).round(2).to_numpy().tolist()
    (True, [[0.77, 0.23]])
    >>> res.effect("GPA", 3, 4).table()[["estimate", "std_error"]].round(2)
             estimate  std_error
    prob[0]     -0.61       0.16
    prob[1]      0.61       0.16
    >>> ordered = de.OrderedLogit("rate_marriage ~ religious").fit(de.datasets.fair().head(1000))
    >>> ordered.functionals(["prob[5]", "mean"]).table()[["estimate", "std_error"]].round(3)
             estimate  std_error
    prob[5]     0.250      0.014
    mean        3.682      0.033
    """

    facts: CategoryFacts

    @abstractmethod
    def predicted(self, new: Any) -> Predicted:
        """Probabilities of the categories for new rows, None for those of the fit."""

    @abstractmethod
    def row_laws(self, X: Array, offset: Array | None) -> CategoryRowLaws:
        """The laws of rows of the design (m, K) with all its columns."""

    @on_one_thread
    def margins(
        self,
        variables: Any = None,
        *,
        at: Any = "overall",
        target: str = "sample",
        by: Any = None,
        level: float = 0.95,
    ) -> MarginsResults:
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
        target : {"sample", "population"}
            Effects in these rows, or in the population that they were drawn from: then the sampling of the
            rows adds to the error, with what it shares with the estimates.
        by : a column of the table, or a list of columns, whose groups are averaged apart with one covariance,
            so that ``.nlcom("a - b")`` has contrasts of groups and categories; None for all rows.
        level : float, confidence level of the table.

        Returns
        -------
        MarginsResults
            A row for each effect and category, named ``"income [boat]"``.

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError, NeedsData

        Warns
        -----
        ExtrapolationWarning

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.OrderedLogit("rate_marriage ~ age + C(affair)").fit(de.datasets.fair(), cov="HC1")
        >>> found = res.margins("age", by="affair", target="population")
        >>> found.estimates.linear("`age | affair = 1 [5]` - `age | affair = 0 [5]`").values.round(4)
        array([0.0012])
        """
        level, own = check_level(level), self.data_rows()
        check_place(at, target)
        rows = own.scenario()
        asked, skipped = asked_of(rows, variables, "dydx")
        questions, where = questions_of(rows, asked, at)
        check_ranges(self.seen, rows, asked, at)
        w = or_ones(rows.weights, rows.size)
        groups = [("", w / w.sum())] if by is None else row_groups(own, by, at, w)
        shares = [s for _, s in groups]
        drawn = target == "population"
        if at == "mean":
            found = category_margins_at_means(self.row_laws, rows, questions)
        else:
            found = category_margins(self.row_laws, rows, questions, shares, keep=drawn)
        names = tuple(
            f"{q.name}{words} [{level}]" for q in questions for words, _ in groups for level in self.levels
        )
        values, G = found.values.ravel(), found.gradients.reshape(len(names), -1)
        notes = ["Effects on the probability of each category, in brackets.", *averaged_with(rows), *skipped]
        estimation = self._estimation(own)
        averaging = None
        if found.effects is not None:
            averaging = _averaging(found.effects, found.values, shares)
            shared = INDEPENDENT if is_model_based(self.covariance.kind or "") else SHARED
            notes.append(f"{INCLUDED}{shared}.")
        V = estimation.covariance(values, G, averaging)
        return margins_of(
            self, names, values, V, where=where, rows=rows.size, notes=notes, target=target, level=level
        )

    # ---- answers in the words of all laws ------------------------------------------------------------------

    def answering(self, names: Any, on: Any, *, near: bool) -> Answering:
        """The probabilities of rows and the estimation of their coefficients; see `AveragedAnswers`."""
        functionals, rows = self._read(names, on), self.data_rows()
        laws: Any = self.row_laws
        return Answering(
            list(functionals),
            list(functionals.values()),
            partial(laws, offset=rows.offset),
            self._estimation(rows),
            rows.scenario(),
            rows.X,
            rows.weights,
            partial(rows.column, role="by="),
            lambda columns: rows.X[:, list(columns)],
            exact=True,
            linear=False,
        )

    def _estimation(self, rows: CategoryRows) -> MEstimation:
        """What the estimation of the coefficients says of answers."""
        return MEstimation(
            self.covariance,
            self.estimates.df,
            self.covariance.kind,
            (rows.equation,),
            rows.sampling,
        )

    def _read(self, names: Any, on: Any) -> dict[str, Functional]:
        """Functionals by name: probabilities of categories, and the mean of ordered numbers.

        Raises
        ------
        OptionError
        """
        if on is not None:
            raise OptionError(f"on={on!r}: an outcome in categories has no other scale.")
        of_each = map(tuple, np.eye(len(self.levels)).tolist())
        known = {name: (SHARES, one) for name, one in zip(self.usual(True), of_each, strict=True)}
        if self.spec.outcome.kind == "ordered" and all(_is_number(level) for level in self.levels):
            known["mean"] = SHARES, tuple(map(float, self.levels))
        for name in listed(names):
            if name not in known:
                raise OptionError(
                    f"{name!r} is no functional of {self.spec.outcome.name}, an outcome in categories; use "
                    f"{list_names(known)}."
                )
        return {name: known[name] for name in listed(names)}

    def usual(self, effects: bool) -> tuple[str, ...]:
        """The probabilities of all categories."""
        return tuple(f"prob[{level}]" for level in self.levels)

    def probability_shares(self, variable: str, *, at: Any = None, rows: int = 10_000) -> pd.DataFrame:
        """Average probabilities of the categories along a variable, the others as observed.

        `plots.shares` draws them.

        Parameters
        ----------
        variable : str, a column on the right side of the formula.
        at : values (m,) of the variable; None takes 60 from the 1st to the 99th percentile of the rows, or
            every level.
        rows : int, at most so many rows, evenly spaced, are averaged.

        Returns
        -------
        pandas DataFrame (m, J)
            By value of the variable, with a column for each category.

        Raises
        ------
        MissingColumnError, NeedsData, OptionError, LevelError, DataError
        """
        some = self.data_rows().scenario().thinned(whole(rows, "rows", 1))
        name = some.check_variable(variable)
        values = _values_along(some, name) if at is None else list(np.atleast_1d(np.asarray(at)))
        if not values:
            raise OptionError("at=[] has no value.")
        out = []
        for value in values:
            laws = self.row_laws(some.part(0, some.size, {name: value}).X, some.offset)
            out.append(np.average(laws.probabilities.values, axis=0, weights=some.weights))
        return pd.DataFrame(out, index=pd.Index(values, name=name), columns=list(self.levels))

    @property
    def levels(self) -> tuple[Any, ...]:
        """The categories (J)."""
        levels: tuple[Any, ...] = self.spec.outcome.levels
        return levels

    @cached_property
    def seen(self) -> Ranges:
        """The range of every number in the rows of the fit; nothing where these are not at hand."""
        rows = getattr(self, "rows", None)
        return {} if rows is None else seen_ranges(rows.scenario())

    def check_nested(self, restricted: Any) -> None:
        """Refuse a model that is not a smaller one of the same outcome on the same rows.

        Raises
        ------
        OptionError, NeedsData
        """
        check_same_rows(self.data_rows(), restricted.data_rows())

    def head(self) -> tuple[str, str]:
        """Observations in words, and the name of the null log-likelihood."""
        f = self.facts
        return observations_text(f.given, f.rows, f.observations, self.model.weight_type), "LL-null"

    def shares(self) -> list[str]:
        """Notes on the categories."""
        f, total = self.facts, sum(self.facts.counts)
        told = (f"{level} {100 * n / total:.1f} %" for level, n in zip(self.levels, f.counts, strict=True))
        notes = [f"Categories: {', '.join(told)}."]
        if f.empty:
            notes.append(f"Categories without rows, left out ({len(f.empty)}): {', '.join(f.empty)}.")
        return notes

    @as_given
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

        Warns
        -----
        ExtrapolationWarning
            If new rows lie outside the range of the rows of the fit, where these are at hand.
        """
        level = check_level(level)
        p, gradient, index, X = self.predicted(new)
        if new is not None:
            warn_new(self.seen, self.spec, new, X)
        levels = list(self.levels)
        if not ci:
            return pd.DataFrame(p, index=index, columns=levels)
        errors = [p[:, j] * self.covariance.errors(gradient(j)) for j in range(len(levels))]
        parts = probability_limits(p, np.column_stack(errors), self.estimates.critical(level))
        labels = [np.repeat(np.asarray(index), len(levels)), np.tile(np.array(levels, dtype=object), len(p))]
        rows = pd.MultiIndex.from_arrays(labels, names=["row", self.spec.outcome.name])
        return pd.DataFrame({name: part.ravel() for name, part in parts.items()}, index=rows)

    def distribution(self, new: Any = None) -> Categorical:
        """The law of the outcome's code, 0 for the first category, for every row of ``new``.

        None takes the rows of the fit.
        """
        return Categorical(self.predicted(new).p, self.levels).named(self.spec.outcome.name)

    def plot_effect(self, variable: str, **options: Any) -> Any:
        """Draw the average probabilities of the categories along a variable; see `plots.shares`."""
        return self.plot("shares", variable, **options)

    def _refitting(self) -> Refitting:
        labels = pd.Categorical(self.levels, self.levels, ordered=self.spec.outcome.kind == "ordered")
        return refitting_result(self, law=self.distribution(), labels=labels, robust="HC0")


@dataclass(frozen=True, kw_only=True)
class _Header(CoefficientsHeader):
    """The header of a file."""

    facts: CategoryFacts


def restored(
    result: Callable[..., R], saved: SavedResult, kind: str, parameters: Callable[[DesignSpec], int]
) -> R:
    """Rebuild a saved result of a class, without rows; see `FittedResult.from_file`.

    ``kind`` is that of the outcome, ``parameters`` how many estimates a design has.

    Raises
    ------
    FileFormatError
    """
    header = saved.fields(_Header)
    if header.spec.outcome.kind != kind:
        raise FileFormatError(f"the outcome is not {kind}")
    k = parameters(header.spec)
    arrays = saved.numbers({"params": Numbers("k"), **COVARIANCE_ARRAYS}, k=k)
    if len(header.facts.counts) != len(header.spec.outcome.levels):
        raise FileFormatError("its counts do not belong to its categories")
    return result(**header.fields_of(saved, arrays))


def _values_along(rows: Scenario, name: str) -> list[Any]:
    """Levels, both values of a 0–1 column, or a grid over the middle of a number."""
    levels = rows.levels(name)
    if levels is not None:
        return list(levels)
    found = rows.values(name)
    if np.isin(found, (0.0, 1.0)).all():
        return [0.0, 1.0]
    low, high = np.quantile(found, [0.01, 0.99]).tolist()
    return list(np.linspace(low, high, GRID))


def _averaging(effects: Array, values: Array, shares: Sequence[Array]) -> Array:
    """Averaging rows (n, q g J) of effects (n, q, J) with averages (q, g, J) by group."""
    of = [(effects - values[:, g]) * w[:, None, None] for g, w in enumerate(shares)]
    return np.stack(of, axis=2).reshape(len(effects), -1)


def _is_number(level: Any) -> bool:
    return isinstance(level, (int, float, np.number)) and not isinstance(level, bool)
