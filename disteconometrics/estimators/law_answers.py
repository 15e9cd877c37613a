"""Answers of every result with a conditional law, in the same words: functionals, effects, predictions.

A result says in `AveragedAnswers.answering` what its laws, their gradients and its estimation are;
everything else is here and in `inference.law_effects` and `inference.variable_effects`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask, or_ones
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.table import as_given
from disteconometrics.distributions.coded_mean import CodedMean
from disteconometrics.distributions.functionals import listed
from disteconometrics.distributions.mean_ends import mean_ends
from disteconometrics.distributions.recorded import Recording, corner_of, recording_of
from disteconometrics.errors import DataError, OptionError, WithheldError
from disteconometrics.estimators.crossing import Crossable, Crossing
from disteconometrics.estimators.effects_results import WHOSE, EffectsResults
from disteconometrics.estimators.law_results import FUNCTIONALS, effect_title, law_title, slope_title
from disteconometrics.inference.beside_mass import (
    of_each_row,
    warn_beside_mass,
    with_limits_beside_mass,
    without_limits,
)
from disteconometrics.inference.crossed_laws import Cell, CrossedLaws, InfluenceLaws
from disteconometrics.inference.estimates import Estimates, check_level, critical_value
from disteconometrics.inference.held import (
    ALL,
    MOST_HIDDEN,
    Held,
    all_held,
    warn_by_smoothness,
    warn_hidden,
    warn_not_held,
)
from disteconometrics.inference.law_effects import (
    Answer,
    Averaged,
    Estimation,
    RowLaws,
    check_target,
    error_of,
    estimates_of,
    row_values,
    with_quantile_limits,
)
from disteconometrics.inference.law_functionals import MOMENTS, Functional
from disteconometrics.inference.parallel import progress
from disteconometrics.inference.recorded_laws import read_recorded, recorded_laws
from disteconometrics.inference.variable_effects import (
    BEST_LINEAR,
    SLOPE,
    Effect,
    Seen,
    VariableEffects,
)
from disteconometrics.inference.withheld import (
    check_finite,
    checked,
    hidden_rows,
    inside_rows,
    is_withheld,
    settled,
    warn_unsupported,
)
from disteconometrics.threads import on_one_thread
from disteconometrics.words import TakesWords

__all__ = [
    "FUNCTIONALS",
    "OF_EFFECTS",
    "Answering",
    "AveragedAnswers",
    "LawAnswers",
    "LawPictures",
    "NewRows",
    "groups_of",
    "no_error_of_average",
    "some",
]

PREDICTED = ["estimate", "std_error", "conf_low", "conf_high"]  # columns of predictions
OF_EFFECTS = ("mean", "q[0.1]", "q[0.5]", "q[0.9]")
MOST_GROUPS = 50
FAR_APART = 2.0  # standard errors of their difference, from which coefficient and slope are marked
ROUNDING = 1e-6  # share of a standard error that is no difference


@dataclass(frozen=True, eq=False)
class Answering:
    """What answers need of a result.

    Parameters
    ----------
    names : of the functionals asked for, as they print.
    functionals : the same, read.
    laws : function of a design (n, k) that gives the laws of its rows.
    estimation : Estimation of the coefficients of these laws.
    scenario : Scenario of the rows of the fit.
    X : (n, k) float64 array, their design.
    weights : (n,) float64 array or None.
    column : function of a name that gives a column of the table (n,), a Series.
    bent, exact, seen : as in `VariableEffects`.
    check_moments : function of the law averaged over all rows and of kinds of moments, or None
        Gives reasons by kind of moment, of those that the tail decides and not the sample.
    held : Held, the outcomes between which the records tell the law.
    linear : bool, whether numbers have best linear coefficients in a table of effects, or slopes alone.
    """

    names: list[str]
    functionals: list[Functional]
    laws: Callable[[Array], RowLaws]
    estimation: Estimation
    scenario: Scenario
    X: Array
    weights: Array | None
    column: Callable[[str], Any]
    bent: Callable[[Sequence[int]], Array]
    exact: bool = False
    linear: bool = True
    seen: Seen | None = None
    check_moments: Callable[[Averaged, Collection[str]], Mapping[str, str]] | None = None
    held: Held = ALL

    @cached_property
    def whole(self) -> Averaged:
        """The law averaged over all rows; without covariates the one that they have."""
        laws = self.laws(self.X)
        return Averaged(laws, np.ones(1) if laws.size == 1 else self.groups(None)[0][1], self.held)

    @cached_property
    def unsupported(self) -> Mapping[str, str]:
        """Reasons by kind of moment, of those that the sample does not support, if they are asked for."""
        asked = {kind for kind, _ in self.functionals} & set(MOMENTS)
        return self.check_moments(self.whole, asked) if self.check_moments is not None and asked else {}

    def recorded(self, how: Recording, effects: bool) -> Answering:
        """The same of what is recorded of outcomes, of which records tell everything up to the caps."""
        own, check, seen = self.laws, self.check_moments, self.seen
        return replace(
            self,
            functionals=read_recorded(self.functionals, how, effects),
            laws=lambda X: recorded_laws(own(X), how),
            seen=None if seen is None else seen._replace(outcome=how.told(seen.outcome)),
            check_moments=None if check is None else lambda _, asked: check(self.whole, asked),
            held=self.held.beyond_of(how.low, how.high),
        )

    @property
    def conditional(self) -> bool:
        """Whether rows have laws of their own."""
        spec = self.scenario.spec
        return bool(spec.variables) or getattr(spec, "offset", None) is not None

    def groups(self, by: Any) -> list[tuple[str, Array]]:
        """Groups of rows by the values of columns: what goes into names, and shares (n,) of sum one.

        Raises
        ------
        OptionError, MissingColumnError, DataError
        """
        w = or_ones(self.weights, len(self.X))
        if by is None:
            return [("", w / w.sum())]
        if not self.conditional:
            raise OptionError(f"by={by!r}: without covariates all groups have the same law.")
        return groups_of(self.column, by, w)

    def variables(self, shares: Array) -> VariableEffects:
        """Effects of variables averaged over rows with shares (n,)."""
        every = self.groups(None)[0][1]
        of_fit = self.laws, self.bent, self.exact, self.seen, self.held, self.estimation
        return VariableEffects(self.scenario, self.X, shares, every, *of_fit)


def _average(values: Array, shares: Array, a: Answering) -> Answer:
    """The average of numbers of rows (n,) with shares (n,), which no coefficient moves."""
    kept, first = shares > 0, a.laws(a.X[:1])
    value = float(shares[kept] @ values[kept])
    rows = np.zeros(len(shares))
    if np.isfinite(value):
        rows[kept] = shares[kept] * (values[kept] - value)
    return Answer(value, first.cdf_sums(first.origin, np.zeros((1, 1)))[0], rows)


def groups_of(column: Callable[[str], Any], by: Any, weights: Array) -> list[tuple[str, Array]]:
    """Groups of rows by the values of columns: what goes into names, and shares (n,) of sum one.

    Parameters
    ----------
    column : function of a name that gives a column of the table (n,), a Series.
    by : name of a column, or a list of names.
    weights : (n,) float64 array.

    Raises
    ------
    OptionError, MissingColumnError, DataError

    Examples
    --------
    >>> groups_of(lambda name: pd.Series(["a", "b", "b"]), "g", np.ones(3))
    [(' | g = a', array([1., 0., 0.])), (' | g = b', array([0. , 0.5, 0.5]))]
    """
    names = [by] if isinstance(by, str) else list(by) if isinstance(by, (list, tuple)) else []
    if not names:
        raise OptionError(f"by={by!r}: give the name of a column, or a list of names.")
    columns = {name: pd.Series(np.asarray(column(name))) for name in names}
    for name, values in columns.items():
        if values.isna().any():
            raise DataError(f"by={name!r} is missing in {int(values.isna().sum())} of the rows used.")
    cells = list(product(*(_sorted(c.unique()) for c in columns.values())))
    if not 2 <= len(cells) <= MOST_GROUPS:
        raise OptionError(f"by={by!r} makes {len(cells)} groups; give columns of 2 to {MOST_GROUPS}.")
    out = []
    for cell in cells:
        inside = np.logical_and.reduce([c == v for c, v in zip(columns.values(), cell, strict=True)])
        if inside.any():
            words = ", ".join(f"{n} = {v}" for n, v in zip(columns, cell, strict=True))
            out.append((f" | {words}", np.where(inside, weights, 0.0) / weights[inside].sum()))
    return out


def _sorted(values: Any) -> list[Any]:
    """Values in their order, or in that of their words where they are of several kinds."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)


def some(names: Any) -> list[Any]:
    """At least one functional.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> some("mean")
    ['mean']
    """
    given = listed(names)
    if not given:
        raise OptionError("Name at least one functional, such as 'mean' or 'q[0.9]'.")
    return given


class NewRows(NamedTuple):
    """Functionals by name, laws of new rows, the estimation behind them, and which rows (m,) are complete."""

    names: list[str]
    functionals: list[Functional]
    laws: RowLaws
    estimation: Estimation
    unsupported: Mapping[str, str]
    complete: Mask
    held: Held = ALL


def no_error_of_average() -> OptionError:
    """The error for functionals of an averaged law that are not differentiated."""
    return OptionError(
        "Given covariates, only mean, std, var, median, q[...], prob[a,b], iqr and ratios of quantiles of "
        "the averaged law, also of a logged outcome undone, have standard errors here; for others use "
        "de.bootstrap(estimator, data, statistic=...)."
    )


class LawPictures:
    """Pictures of the laws of numbers given covariates, by the words that users look for."""

    plot: Any  # of `Pictured`, which a result inherits

    def plot_fan(self, variable: str, **options: Any) -> Any:
        """Draw conditional quantiles along a variable; see `plots.quantile_fan`."""
        return self.plot("quantile_fan", variable, **options)

    def plot_effect(self, variable: str, low: Any = None, high: Any = None, **options: Any) -> Any:
        """Draw the effect of a variable along quantiles; see `plots.quantile_effects`."""
        return self.plot("quantile_effects", variable, low, high, **options)


class AveragedAnswers(TakesWords):
    """The answers of a result whose rows have laws, averaged over these; it offers `answering`."""

    @abstractmethod
    def answering(self, names: Any, on: Any, *, near: bool) -> Answering:
        """What answers need.

        ``near`` asks for the laws from which numbers at rows come, whose bias is small beside their error.
        """

    def usual(self, effects: bool) -> Sequence[str]:
        """The functionals that are taken where none are named, of averages or of effects."""
        return OF_EFFECTS if effects else FUNCTIONALS

    def _named(self, names: Any, effects: bool, how: Recording | None) -> list[Any]:
        """Functionals that are asked for; None takes the usual ones, on a grid those that are given there."""
        if names is not None:
            return some(names)
        grid = how is not None and how.to is not None
        return [n for n in self.usual(effects) if not grid or n == "mean" or (n != "std" and not effects)]

    def recording_asked(self, of: Any, on: Any) -> Recording | None:
        """How outcomes were recorded, if answers are of that, or where they end at a corner; else None."""
        if of not in ("outcome", "recorded"):
            raise OptionError(f"of={of!r} is not known; use 'outcome' or 'recorded'.")
        read = recording_of if of == "recorded" else corner_of
        how = read(self.spec)  # type: ignore[attr-defined]
        if how is not None and on is not None:
            raise OptionError(f"on={on!r}: what is recorded stands on the scale of the formula.")
        return how

    def _outcome_asked(self, on: Any, of: str) -> str:
        """What answers are of, as the titles of tables name it."""
        written = self.spec.outcome.name  # type: ignore[attr-defined]
        name = written if on is None else on if isinstance(on, str) else f"{written} on another scale"
        how = recording_of(self.spec) if of == "recorded" else None  # type: ignore[attr-defined]
        return name if how is None else f"recorded {name}"

    def of_outcome(self, *, near: bool) -> Answering:
        """What answers need of the mean of the outcome, which may end at a corner."""
        return self._answering("mean", None, "outcome", near=near)

    def _answering(self, names: Any, on: Any, of: Any, *, near: bool) -> Answering:
        """What answers need, of the outcome or of what is recorded of it."""
        how = self.recording_asked(of, on)
        a = self.answering(self._named(names, near, how), on, near=near)
        return a if how is None else a.recorded(how, near)

    @on_one_thread
    def functionals(
        self,
        names: Any = None,
        *,
        on: Any = None,
        by: Any = None,
        target: str = "population",
        of: str = "outcome",
    ) -> Estimates:
        """Functionals of the law averaged over the rows of the fit: T(Σ w_i F(· | x_i)).

        Parameters
        ----------
        names : one or several of ``mean``, ``std``, ``var``, ``median``, ``q[0.9]``, ``prob[a,b]``, ``iqr``,
            ``p90p10``, which are differentiated exactly, also on the scale of a logged outcome; without
            covariates any other that laws know (``gini``, …) or a function of a law, numerically.  None
            takes mean, std and five quantiles.  Of a 0–1 outcome the mean is all there is, P(y = 1); of
            categories there is ``prob[low]`` for the category "low" (None: of all), and ``mean`` where they
            are ordered numbers.
        on : another scale, as in a law's ``on``: ``"wage"`` for an outcome ``log(wage)``; None for the
            outcome as written.
        by : a column of the table or a list of them, whose groups (cells) are averaged apart, with one
            covariance; None for all rows.  Contrasts are ``.linear("mean | d = 1 - mean | d = 0")``.
        target : {"population", "sample"}
            Whether errors are those of the population that the rows are from, or take the rows as given.
        of : {"outcome", "recorded"}
            Whether functionals are those of the outcome, or of what is recorded of it: of a left side
            ``topcoded(y, at=40)`` the law of min(y, 40), whose quantiles at the cap, as on a grid, do not
            move and have no standard error.

        Returns
        -------
        Estimates
            Limits of quantiles invert the band of the distribution function. Near F at the ends of a mass
            they have these and no standard error, nor have ``iqr`` and ratios.

        Raises
        ------
        OptionError, NeedsData, MissingColumnError

        Warns
        -----
        UnidentifiedWarning
            If records tell nothing of what is asked, which is withheld, or tell F at the ends of a class of
            more than 5 % of the rows and no more: then limits suppose that the law is smooth in it.

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
        >>> both = [res.functionals("mean", target=t).std_error[0] for t in ("population", "sample")]
        >>> [round(float(se), 4) for se in both]
        [0.0262, 0.009]
        """
        check_target(target)
        a = self._answering(names, on, of, near=False)
        groups, whose = a.groups(by), target if a.conditional else "sample"
        averages = [a.whole if by is None else replace(a.whole, shares=shares) for _, shares in groups]
        parts = [(law, f) for f in a.functionals for law in averages]
        labels = [f"{n}{words}" for n in a.names for words, _ in groups]
        error = error_of(a.estimation, whose)
        found, functionals = [settled(law, f, error) for law, f in parts], [f for _, f in parts]
        answers = checked([n for n in a.names for _ in groups], found, functionals, a.unsupported, a.held)
        title = law_title(self._outcome_asked(on, of), target if a.conditional else None)
        plain = estimates_of(labels, answers, a.estimation, whose, title)

        return with_quantile_limits(plain, parts, error)

    def effect(
        self,
        variable: str,
        low: Any,
        high: Any,
        names: Any = None,
        *,
        on: Any = None,
        by: Any = None,
        target: str = "population",
        of: str = "outcome",
    ) -> Estimates:
        """Average contrast Σ w_i [m(x_i with the variable at ``high``) − m(x_i with it at ``low``)].

        Contrasts of a fitted flow on quantiles, spreads, probabilities and inequality go one step of their
        influence function on, as in `effects`; those of a number do so on the mean too.  In most designs of
        500 rows their intervals covered .92 to .97, and .84 to .92 on quantiles whose spread moves as
        exp(.3 x), and where hard edges move (`tests/statistical/steps_and_edges.md`).  Errors on inequality
        take the squared influence that the law has as far out as so many rows reach, where it is larger.

        Parameters
        ----------
        variable : a column of the right side.
        low, high : values or levels of it.
        names : one or several functionals m of the law of a row; ``mean``, ``std``, ``var``, ``median``,
            ``q[0.9]``, ``prob[a,b]``, ``gini``, ``theil``, ``mld``, ``var_log`` are differentiated exactly,
            others, and functions of a law, numerically and without a step.  None takes mean and three
            quantiles; 0–1 outcomes and categories are as in `functionals`.
        on, by, target, of : as in `functionals`.

        Returns
        -------
        Estimates
            Of quantiles whose level is near F at the ends of a mass, in many rows at once, without a standard
            error; their limits are those of F inverted, of all parts at once (`inference.beside_mass`).

        Raises
        ------
        OptionError, MissingColumnError, LevelError, NeedsData
            OptionError also for values further outside those of the fit than these are wide.

        Warns
        -----
        InfiniteMomentWarning
            If the fitted tail is too heavy for a functional.
        ExtrapolationWarning
            If rows leave the covariates of the fit; it says their share.
        HeavyTailWarning
            If outcomes farther out than the sample reaches decide limits on inequality, which are then rough.
        UnidentifiedWarning
            If records hide what some rows have: the share of these rows, withheld where it is above 5 %; or
            what is asked lies inside of classes that hold more than 5 % of the rows each.
        AtMassWarning
            If ``iqr`` or a ratio is made of quantiles near F at the ends of a mass, in many rows at once: it
            has no error.

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
        >>> res.effect("income", 500.0, 1000.0, "mean").values.round(2)
        array([0.63])
        """

        def answers(rows: VariableEffects, functionals: Sequence[Functional]) -> list[Answer]:
            return rows.contrast(rows.scenario.check_variable(variable), low, high, functionals)

        found = self._averaged(answers, self._answering(names, on, of, near=True), by, target)
        title = effect_title(variable, low, high, self._outcome_asked(on, of), target)
        return replace(found, title=title)

    def derivative(
        self,
        variable: str,
        names: Any = None,
        *,
        on: Any = None,
        by: Any = None,
        target: str = "population",
        of: str = "outcome",
    ) -> Estimates:
        """Average slope Σ w_i ∂m(x_i)/∂v of each functional in a numeric variable v.

        A variable with at most 30 values, or with more than 5 % of the rows at one of them, has no slope that
        data speak of; there it is Σ w_i [m(v⁺) − m(v⁻)]/(v⁺ − v⁻), v⁻ and v⁺ the observed values next to
        that of row i.

        Slopes of a fitted flow on the mean, quantiles, spreads, probabilities and inequality go one step of
        their influence function on, as in `effects`.

        Parameters
        ----------
        variable : a numeric column of the right side.
        names : as in `effect`.
        on, by, target, of : as in `functionals`.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError, MissingColumnError, FormulaError, NeedsData

        Warns
        -----
        InfiniteMomentWarning
            If the fitted tail is too heavy for a functional.
        AtMassWarning
            If quantiles are near F at the ends of a mass, in many rows at once: they have no error.

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
        >>> (1000 * res.derivative("income", "mean").values).round(1)
        array([1.1])
        """

        def answers(rows: VariableEffects, functionals: Sequence[Functional]) -> list[Answer]:
            return rows.slope(rows.scenario.check_variable(variable), functionals)

        found = self._averaged(answers, self._answering(names, on, of, near=True), by, target)
        return replace(found, title=slope_title(variable, self._outcome_asked(on, of), target))

    @on_one_thread
    def _averaged(
        self,
        of: Callable[[VariableEffects, Sequence[Functional]], list[Answer]],
        a: Answering,
        by: Any,
        target: str,
    ) -> Estimates:
        """Answers in every group, functional by functional, with one covariance."""
        check_target(target)
        groups = a.groups(by)
        found = [of(a.variables(shares), a.functionals) for _, shares in groups]
        answers = [found[g][i] for i in range(len(a.names)) for g in range(len(groups))]
        labels = [f"{n}{words}" for n in a.names for words, _ in groups]
        functionals, each = [f for f in a.functionals for _ in groups], [n for n in a.names for _ in groups]
        answers = checked(each, answers, functionals, a.unsupported, a.held)
        warn_beside_mass(each, answers)
        plain = estimates_of(labels, answers, a.estimation, target)
        return with_limits_beside_mass(plain, answers, error_of(a.estimation, target))

    @on_one_thread
    def effects(
        self,
        names: Any = None,
        *,
        on: Any = None,
        by: Any = None,
        target: str = "population",
        of: str = "outcome",
    ) -> EffectsResults:
        """Effects of every variable: best linear coefficients of numbers, average contrasts of levels.

        A number's row has Σ w_i ṽ_i m(x_i)/Σ w_i ṽ_i², ṽ the residual of the variable on what the fitted
        structure makes of the others, and the average slope beside it; of the mean of a fitted flow it is
        least squares with the others as they bend there. A variable in one numeric term, such as
        ``log(income)``, is that term; one in several, as in a polynomial or an interaction, is itself, and
        all its columns are its own. Columns of 0 and 1, true/false and levels have the average contrast
        with the first level. Of a quantile the coefficient is the projection of q_τ(x), not the coefficient
        of a quantile regression. Effects of fitted flows on quantiles, spreads, probabilities and
        inequality, those of numbers on the mean too, go one step of their influence function on (see
        `inference.variable_effects`). Coverage: `tests/statistical/coverage_of_answers.md`.

        Parameters
        ----------
        names : as in `effect`.
        on, by, target, of : as in `functionals`.

        Returns
        -------
        EffectsResults

        Raises
        ------
        OptionError, NeedsData

        Warns
        -----
        InfiniteMomentWarning
            If the fitted tail is too heavy for a functional.
        LeverageWarning
            If five of at least 500 rows carry 70 % of the variance of a coefficient: its limits are rough.
        HeavyTailWarning
            As in `effect`.
        AtMassWarning
            If quantiles are near F at the ends of a mass, in many rows at once: they have no error here, and
            limits in `effect`.
        """
        check_target(target)
        how = self.recording_asked(of, on)
        names = self._named(names, True, how)
        recorded = of != "outcome" and how is not None
        known = None if recorded else self._known_effects(names, on, by, target)
        if known is not None:
            return known
        a = self._answering(names, on, of, near=True)
        if not a.conditional:
            raise OptionError(f"{a.scenario.spec.formula!r} has no variables, so there are no effects.")
        found: list[tuple[str, Effect, list[Answer] | None]] = []
        for words, shares in a.groups(by):
            found += [
                (words, *one) for one in _of_each_variable(a.variables(shares), a.functionals, a.linear)
            ]
        return _effects_results(found, a, target)

    def _known_effects(self, names: Any, on: Any, by: Any, target: str) -> EffectsResults | None:
        """Effects that are known without rows, as a file holds them."""
        return None


class LawAnswers(AveragedAnswers, Crossable):
    """The answers of a result with a law of numbers for every row, also for other rows."""

    @property
    def recorded_mean(self) -> CodedMean:
        """The mean of what is recorded, max(floor, min(y, cap)), as a functional of laws of the outcome.

        Decompositions and counterfactuals take it; other answers say ``of="recorded"``.

        Raises
        ------
        WithheldError
            If outcomes were recorded otherwise than by `topcoded` and `bottomcoded` at one number each.

        Examples
        --------
        >>> import disteconometrics as de
        >>> engel = de.datasets.engel()
        >>> engel["foodexp"] = engel.foodexp.clip(upper=900)
        >>> res = de.NormalRegression("topcoded(foodexp, at=900) ~ income").fit(engel)
        >>> res.recorded_mean
        CodedMean(low=-inf, high=900.0)
        """
        how, spec = recording_of(self.spec), self.spec  # type: ignore[attr-defined]
        if any(r.name not in ("bottomcoded", "topcoded") for r in spec.outcome.recorders):
            raise WithheldError(
                f"The mean of what is recorded is no functional of the outcome's law where it was "
                f'{"; ".join(map(str, spec.outcome.recorders))}: say of="recorded" in the answers.'
            )
        return CodedMean() if how is None else CodedMean(how.low, how.high)

    @on_one_thread
    def mean_bounds(self, *, by: Any = None) -> Estimates:
        """Bounds of the mean, whatever the law is: averages of the lower and upper ends of rows' records.

        A side that is open in some row has no average: of outcomes under a cap there is a lower bound alone.

        Parameters
        ----------
        by : name of a column, or a list of names, for averages over groups of rows.

        Returns
        -------
        Estimates
            ``mean, at least`` and ``mean, at most``, with the standard errors of these averages; NaN of a
            group that lies in one cluster.

        Raises
        ------
        WithheldError
            If outcomes were told exactly, or with open ends at both sides.
        NeedsData, OptionError, MissingColumnError, DataError

        Examples
        --------
        >>> import disteconometrics as de
        >>> res = de.FlowDensity("brackets(foodexp, [0, 300, 500, 700, 900, 2100]) ~ 1", support=(0, 2100))
        >>> bounds = res.fit(de.datasets.engel()).mean_bounds()
        >>> dict(zip(bounds.names, bounds.values.round(), strict=True))
        {'mean, at least': np.float64(495.0), 'mean, at most': np.float64(819.0)}
        """
        corner = corner_of(self.spec)  # type: ignore[attr-defined]
        records = self.data_rows().design.records  # type: ignore[attr-defined]
        ends, a = mean_ends(records, None if corner is None else corner.low), self.of_outcome(near=False)
        groups = a.groups(None) if by is None else groups_of(a.column, by, or_ones(a.weights, len(a.X)))
        labels = [f"{label}{words}" for label in ends for words, _ in groups]
        answers = [_average(end, shares, a) for end in ends.values() for _, shares in groups]
        known = [i for i, answer in enumerate(answers) if np.isfinite(answer.value)]
        if not known:
            raise WithheldError("Records have open ends at both sides: they do not bound the mean.")
        answers = [answers[i] for i in known]
        title = f"Bounds of the mean of {self._outcome_asked(None, 'outcome')} ({WHOSE['population']})"
        return estimates_of([labels[i] for i in known], answers, a.estimation, "population", title)

    def _of_new(self, names: Any, on: Any, of: Any, new: Any) -> tuple[NewRows, Any]:
        """What predictions of new rows need, of the outcome or of what is recorded of it."""
        how = self.recording_asked(of, on)
        a, index = self.new_answering(names, on, new)
        if how is not None:
            functionals = read_recorded(a.functionals, how, False)
            held = a.held.beyond_of(how.low, how.high)
            a = a._replace(functionals=functionals, laws=recorded_laws(a.laws, how), held=held)
        return a, index

    @abstractmethod
    def row_laws(self, new: Any) -> RowLaws:
        """The laws of new rows, complete ones, under the coefficients of `answering`."""

    @on_one_thread
    def crossed(self, crossing: Crossing) -> CrossedLaws:
        """Laws of fits averaged over rows of others, from influence rows; see `estimators.crossing`."""
        known = [fit.of_outcome(near=False) for fit in crossing.fits]
        cells, unsupported = [], dict[str, str]()
        for a in known:
            unsupported |= a.check_moments(a.whole, MOMENTS) if a.check_moments is not None else {}
        held = all_held([a.held for a in known])  # what is compared has to be told of all laws
        for j, k in crossing.pairs:
            own = crossing.own[k] == j
            fit, corner = crossing.fits[j], corner_of(crossing.fits[j].spec)
            laws = known[j].laws(known[j].X) if own else fit.row_laws(crossing.tables[k])
            laws = laws if corner is None else recorded_laws(laws, corner)
            cells.append(Cell(j, k, Averaged(laws, crossing.averages[k].shares, held)))
        estimations = tuple(a.estimation for a in known)
        parts = (tuple(cells), estimations, crossing.fitted, crossing.averages, crossing.rows)
        return InfluenceLaws(*parts, self.labels()[0], crossing.seed, unsupported)  # type: ignore[attr-defined]

    def law_over(self, new: Any, shares: Array) -> Any:
        """The law averaged over complete rows with shares (m,)."""
        law = self.distribution(new)  # type: ignore[attr-defined]
        return law.average(shares).named(law.outcome)

    @on_one_thread
    @as_given
    def predict(
        self,
        new: Any = None,
        names: Any = ("mean",),
        *,
        ci: bool = False,
        on: Any = None,
        level: float = 0.95,
        of: str = "outcome",
    ) -> Any:
        """Functionals of the law of each row of ``new``, with standard errors and limits given its x.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit.
        names : as in `effect`.
        ci : bool, whether to give errors and limits.
        on, of : as in `functionals`.
        level : float, confidence level.

        Returns
        -------
        DataFrame
            Index (row, functional); columns estimate, and with ``ci`` std_error, conf_low, conf_high. Near
            F at the ends of a mass quantiles have limits and no standard error. Of flows limits of single
            rows cover somewhat less than they say, .91 to .95 (`tests/statistical/coverage_of_answers.md`).

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError

        Warns
        -----
        InfiniteMomentWarning
            If the fitted tail is too heavy for a functional.
        """
        a, index = self._of_new(some(names), on, of, new)
        critical, n = critical_value(check_level(level), a.estimation.df), a.laws.size
        laws = a.laws if a.complete.all() else a.laws.take(np.flatnonzero(a.complete))
        parts = []
        warn_unsupported([kind for kind, _ in a.functionals], a.unsupported)
        gone: list[str] = []
        smooth: dict[str, float] = {}
        for name, functional in zip(a.names, a.functionals, strict=True):
            found = np.full((n, len(PREDICTED) if ci else 1), np.nan)
            if functional[0] in a.unsupported or not a.complete.any():
                parts.append(found)
                continue
            if ci:
                columns = of_each_row(laws, functional, a.estimation, critical, a.held)
            else:
                columns = {"estimate": row_values(laws, functional, np.zeros((laws.size, 1))).values}
            hidden = hidden_rows(laws, functional, columns["estimate"], a.held)
            values = np.where(hidden, np.nan, columns["estimate"])
            smooth[name] = float(inside_rows(laws, functional, values, a.held).any())
            gone += [name] * (not a.held.all and bool(np.isnan(values).any()))
            check_finite([name], values[~np.isnan(values)].sum(keepdims=True))
            of_complete = np.column_stack([*columns.values()])
            found[a.complete] = np.where(hidden[:, None], np.nan, of_complete)
            parts.append(found)
        warn_not_held(gone, a.held)
        warn_by_smoothness(list(smooth), list(smooth.values()))
        labels = [index.repeat(len(a.names)), np.tile(np.array(a.names, dtype=object), n)]
        rows = pd.MultiIndex.from_arrays(labels, names=["row", "functional"])
        return pd.DataFrame(np.hstack(parts).reshape(n * len(parts), -1), rows, PREDICTED[: found.shape[1]])

    @abstractmethod
    def new_answering(self, names: Any, on: Any, new: Any) -> tuple[NewRows, Any]:
        """What predictions of new rows need, and the rows' index."""


def _of_each_variable(
    rows: VariableEffects, functionals: Sequence[Functional], linear_too: bool
) -> Iterator[tuple[Effect, list[Answer] | None]]:
    """The effect of every variable with the average slopes beside it, contrasts with none."""
    scenario = rows.scenario
    moving = [v for v in scenario.spec.variables if len(rows.columns[v])]
    levels = {v: rows.levels(v) for v in moving}
    numbers = [v for v in moving if levels[v] is None]
    linear = rows.best_linear(numbers, functionals) if linear_too else {}
    for v in progress(moving, "effects"):
        of = levels[v]
        if of is not None:
            yield from ((e, None) for e in rows.contrasts(v, of, functionals))
            continue
        if not linear_too:
            yield Effect(v, SLOPE, rows.slope(v, functionals)), None
            continue
        label, answers = linear[v]
        own = rows.own_term(v)
        slopes = rows.slope(v, functionals) if own is None else rows.term_slope(own, functionals)
        yield Effect(label, BEST_LINEAR, answers), slopes


def _effects_results(
    found: Sequence[tuple[str, Effect, list[Answer] | None]], a: Answering, target: str
) -> EffectsResults:
    """All answers with one covariance, split into effects and the slopes beside them."""
    of: list[tuple[str, str, str]] = []
    answers: list[Answer] = []
    beside: list[Answer] = []
    at: list[int] = []
    for words, effect, slopes in found:
        for i, name in enumerate(a.names):
            if slopes is not None:
                at.append(len(answers))
                beside.append(slopes[i])
            of.append((f"{effect.label}{words}", effect.estimand, name))
            answers.append(effect.answers[i])
    k, functionals = len(answers), {n: f for n, f in zip(a.names, a.functionals, strict=True)}
    kinds = [functionals[n] for _, _, n in of]
    each = [n for _, _, n in of]
    answers = list(map(without_limits, checked(each, answers, kinds, a.unsupported, a.held)))
    warn_beside_mass(each, answers)
    warn_hidden([f"{of[j][2]} (average slope)" for j in at], [b.hidden for b in beside], a.held)
    without = [is_withheld(b, kinds[j][0], a.unsupported) for j, b in zip(at, beside, strict=True)]
    beside = [x._replace(value=np.nan) if w else x for x, w in zip(beside, without, strict=True)]
    names = tuple(f"{label}: {name}" for label, _, name in of)
    whole = estimates_of(map(str, range(k + len(beside))), [*answers, *beside], a.estimation, target)
    V = whole.covariance
    slopes_V, slopes_values, apart = np.full((k, k), np.nan), np.full(k, np.nan), np.zeros(k, dtype=bool)
    j = k + np.arange(len(beside))
    slopes_V[np.ix_(at, at)], slopes_values[at] = V[np.ix_(j, j)], whole.values[j]
    with np.errstate(invalid="ignore"):
        error = np.sqrt(V[at, at] + V[j, j] - 2 * V[at, j])
        distance = np.abs(whole.values[at] - whole.values[j])
        apart[at] = (distance > FAR_APART * error) & (distance > ROUNDING * np.sqrt(V[at, at]))
    return EffectsResults(
        whole.others(names, whole.values[:k], V[:k, :k]),
        whole.others(names, slopes_values, slopes_V),
        tuple(map(bool, apart)),
        tuple(of),
        target,
        a.held.beyond,
        tuple(x.inside > MOST_HIDDEN for x in answers),
    )
