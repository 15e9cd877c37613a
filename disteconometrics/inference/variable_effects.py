"""Effects of variables on functionals of a conditional law, averaged over rows.

With m(x) a functional of the law given x, w_i shares of rows that sum to one, and v a variable:

- **average contrast** Σ w_i [m(x_i with v = b) − m(x_i with v = a)];
- **average slope** Σ w_i ∂m(x_i)/∂v; of a variable with few values or a heap Σ w_i [m(x_i with v = v⁺) −
  m(x_i with v = v⁻)]/(v⁺ − v⁻), v⁻ and v⁺ the observed values next to v_i: between data a fitted curve may
  do what it likes, and at a heap its derivative is no more than that;
- **best linear coefficient** Σ w_i ṽ_i m(x_i)/Σ w_i ṽ_i², ṽ the residual of v on what the fitted structure
  makes of the other variables: the coefficient of v in the least-squares projection of m on v and these.  Of
  the mean it is what a linear regression estimates.  Of a quantile it is the projection of q_τ(x), not the
  coefficient of Koenker and Bassett, whose loss is another.

Effects of a fitted structure inherit what it cannot bend to and what it takes as known: a spread that moves
as exp(x) while 1/spread is linear in x, the least-squares line that a flow is centred on, a bend that was
dropped.  Those on quantiles, probabilities, spreads and inequality are therefore moved by one step of the
influence function, of a quantile

    Σ α_i [τ − 1(F(y_i | x_i) ≤ τ)]/f(q_i),

α the weights of the coefficient, of the level among the others, or of the slope or contrast of a number in
the span of `representers`: to first order neither matters then, and the error is that of the data
(Chernozhukov et al. 2018).  Of an outcome between two ends the influence is its mean there under the law.  In
the class (l, u] of the quantile it rests on the share e = (τ − F(l))/(F(u) − F(l)), and with θ the step then
moves by [(1 − e) ∂F(l) + e ∂F(u)]/f, which takes off of the quantile, that moves by −∂F(q)/f, what the
records tell and not where in the class it lies.  The noise is that of outcomes told exactly all the same: the
variance e(1 − e)/f² inside of the class is added to that of its mean, and where the quantile lies comes on
top, as in multiple imputation (Rubin 1987).  In general a step Σ α_i ψ_i moves by −Σ α_i E ψ_i s_i', s_i
the scores: E ψ = 0 under every law, however it was recorded.  So are effects on the
mean: a coefficient is then that of least squares with the other variables as they bend, and contrasts of few
values go value by value.  A density at a quantile that is less than a twentieth of the median row's counts as
that much: a row whose law is far too wide would decide.

References
----------
Angrist, Pischke (2009), Mostly harmless econometrics, Princeton, section 3.1.
Angrist, Chernozhukov, Fernández-Val (2006), Quantile regression under misspecification, Econometrica 74,
doi:10.1111/j.1468-0262.2006.00671.x.
Chernozhukov, Chetverikov, Demirer, Duflo, Hansen, Newey, Robins (2018), Double/debiased machine learning for
treatment and structural parameters, Econometrics J. 21, doi:10.1111/ectj.12097.
Rubin (1987), Multiple imputation for nonresponse in surveys, Wiley, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask, as_floats
from disteconometrics.data.scenario import Scenario
from disteconometrics.errors import ExtrapolationWarning, OptionError, warn_user
from disteconometrics.inference.beside_mass import (
    BesideMass,
    Parts,
    difference_of_parts,
    without_limits,
)
from disteconometrics.inference.held import ALL, Held
from disteconometrics.inference.law_effects import Answer, Estimation, RowLaws, RowValues, row_values
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.inference.relative_influence import INEQUALITY, reach, relative_influence
from disteconometrics.inference.representers import HEAP, hat_knots, hats, representer, residual

__all__ = [
    "BEST_LINEAR",
    "CONTRAST",
    "SLOPE",
    "Effect",
    "Seen",
    "VariableEffects",
    "check_values",
    "warn_outside",
]

CONTRAST, BEST_LINEAR, SLOPE = "average contrast", "best linear coefficient", "average slope"
FEW_VALUES = 30  # from which slopes are between values, as they are beside a heap
# functionals whose effects go a step
STEPPED = ("mean", "q", "difference", "ratio", "prob", "var", "std", *INEQUALITY)
SPREADS = ("var", "std", *INEQUALITY)  # whose influence at an outcome between two ends is not known
FREE_PIECES = 3  # at least between quantiles that are knots, of contrasts of what bends or moves the shape
WIDE = 20.0  # times the median width of a density, from which on a row weighs no more in a step
FIVE, ENOUGH = 5, 500  # rows that few are, of at least so many
ROWS_A_VALUE = 20  # at least, on average, from which values compared are knots
STEP = 1e-4  # standard deviations of a numeric derivative


class Effect(NamedTuple):
    """One row of a table of effects: what moves, which estimand, and answers by functional."""

    label: str
    estimand: str
    answers: list[Answer]


class _Part(NamedTuple):
    """An average over rows under one design: values (n,), summed gradients.

    ``hidden`` (n,) are rows that records do not tell of, ``inside`` (n,) those inside of coarse classes,
    ``beside`` rows beside their mass, whose gradients are left out; None where there are none.
    """

    values: Array
    sums: Array
    hidden: Mask | None
    inside: Mask | None = None
    beside: Parts | None = None


class Seen(NamedTuple):
    """Outcomes (n,) on the scale of the laws, their F(y | x) (n,), and the number of observations.

    ``free`` are the columns of the design by which laws move in other ways than a line and a spread.  Where
    outcomes are known to lie between two ends, ``pit`` is F at the upper and ``below`` (n,) at the lower one,
    and ``outcome`` the mean between them; of records ``products`` takes weights W (n, m) to W'S (m, p), S the
    scores of the rows, and is None where the ends are those of narrow bins.
    """

    outcome: Array
    pit: Array
    size: float
    free: frozenset[int] = frozenset()
    below: Array | None = None
    products: Callable[[Array], Array] | None = None

    def at_most(self, level: Array | float) -> Array:
        """Whether outcomes have an F(y | x) of at most a level (n,), or the probability given their ends."""
        known = as_floats(self.pit <= level)
        if self.below is None:
            return known
        width = self.pit - self.below
        share = np.divide(level - self.below, width, out=known, where=width > 0)
        return np.clip(share, 0.0, 1.0)


class _Step(NamedTuple):
    """One step of the influence function: gradients (m, p) that it takes off, rows (n, m) that it adds.

    Errors take the rows ``scale`` (m,) times as large, where outcomes were not told exactly or the sample
    does not reach all; ``beyond`` (m,) is the share of their squares that the laws have where it does not.
    """

    sums: Array | None
    rows: Array | None = None
    scale: Array | None = None
    beyond: Array | None = None

    def few(self, j: int) -> float:
        """The share of the squares of rows with weights j that five rows carry; zero where they are few."""
        if self.rows is None or len(self.rows) < ENOUGH:
            return 0.0
        squares = np.square(self.rows[:, j])
        return float(np.partition(squares, -FIVE)[-FIVE:].sum() / (squares.sum() or 1.0))

    def applied(self, a: Answer, j: int) -> Answer:
        """An answer after the step with weights j; as it is where there is none."""
        if self.sums is None or self.rows is None:
            return a
        rows = self.rows[:, j]
        with np.errstate(invalid="ignore"):  # where a row has no such moment
            value, gradient = a.value + float(rows.sum()), a.gradient - self.sums[j]
            noise = rows if self.scale is None else rows * self.scale[j]
        beyond = 0.0 if self.beyond is None else float(self.beyond[j])
        return a._replace(value=value, gradient=gradient, noise=noise, beyond=beyond)


@dataclass(frozen=True, eq=False)
class VariableEffects:
    """The rows that effects are averaged over, and the laws that a model gives them.

    Parameters
    ----------
    scenario : Scenario of the n rows.
    X : (n, k) float64 array, their design.
    shares : (n,) float64 array, of sum one; zero for rows that are not averaged over.
    every : (n,) float64 array, shares of all rows, which say where a variable has heaps: a slope is then the
        same in a group as in the whole.
    laws : function of a design (n, k) that gives the rows' laws.
    bent : function of columns (c,) of the design that gives what the fitted structure makes of them, (n, m).
    exact : bool, whether the laws know their slopes in closed form: those of a curve that is an assumption
        mean something at heaps too.
    seen : the rows' outcomes and their F(y | x), with which effects are corrected; None of laws that are an
        assumption.
    held : Held, the outcomes between which records tell the laws.
    estimation : Estimation of the laws' coefficients, which says what quantiles are beside a mass; None where
        nobody asks.
    """

    scenario: Scenario
    X: Array
    shares: Array
    every: Array
    laws: Callable[[Array], RowLaws]
    bent: Callable[[Sequence[int]], Array]
    exact: bool = False
    seen: Seen | None = None
    held: Held = ALL
    estimation: Estimation | None = None

    # ---- contrasts -----------------------------------------------------------------------------------------

    def contrast(self, variable: str, low: Any, high: Any, functionals: Sequence[Functional]) -> list[Answer]:
        """Average contrasts between two values of a variable."""
        values = (low, high)
        check_values(self.scenario, variable, values)
        ends = [self._with(variable, v) for v in values]
        warn_outside(variable, self.X, ends)
        answers = self._differences(ends, np.ones(len(self.X)), functionals)
        levels = self.levels(variable)
        if levels is None:
            x = self.scenario.part(0, self.scenario.size, {}).numbers(variable)
            both = np.full(len(x), float(low)), np.full(len(x), float(high))
            few = self.seen is not None and len(np.unique(x)) <= min(
                FEW_VALUES, self.seen.size / ROWS_A_VALUE
            )
            also = [float(v) for v in (low, high) if few and v in x]
            own = self.columns[variable]
            least = FREE_PIECES if self.seen is not None and self.seen.free & {*own} else 1
            return self._stepped(answers, x, own, both, 1.0, functionals, also, least)
        if low == high or not {low, high} <= set(levels):
            return answers
        signs = [[float(v == high) - float(v == low)] for v in levels[1:]]
        A = self._level_weights(variable, levels, np.array(signs))
        return [self._step(f, A).applied(a, 0) for a, f in zip(answers, functionals, strict=True)]

    def levels(self, variable: str) -> tuple[Any, ...] | None:
        """What a variable is compared between, its base first; None of numbers."""
        found = self.scenario.levels(variable)
        if found is None and set(np.unique(self.scenario.values(variable))) <= {0.0, 1.0}:
            return (0, 1)
        return found

    def contrasts(
        self, variable: str, levels: Sequence[Any], functionals: Sequence[Functional]
    ) -> Iterator[Effect]:
        """Average contrasts of every level with the first, whose laws are computed once."""
        W = self.shares[:, None]
        base = self._each(self.laws(self._with(variable, levels[0])), W, functionals)
        if len(levels) < 2:
            return
        A = self._level_weights(variable, levels, np.eye(len(levels) - 1))
        steps = [self._step(f, A) for f in functionals]
        for j, level in enumerate(levels[1:]):
            own = self._each(self.laws(self._with(variable, level)), W, functionals)
            answers = []
            for f, b, a, step in zip(functionals, base, own, steps, strict=True):
                answers.append(step.applied(self._difference(f, b, a, 1.0), j))
            yield Effect(f"{variable}: {level} - {levels[0]}", CONTRAST, answers)

    def _is_level(self, variable: str, level: Any) -> Array:
        """1.0 where a variable has a level (n,)."""
        column = self.scenario.columns[variable]
        known = column.levels.index(level) if column.numbers is None else float(level)
        return as_floats(self.scenario.values(variable) == known)

    def _level_weights(self, variable: str, levels: Sequence[Any], ends: Array) -> Array:
        """Representers (n, m) of contrasts ``ends`` (levels but the first, m) among a variable's levels."""
        if self.seen is None:
            return np.zeros((len(self.X), ends.shape[1]))
        indicators = np.column_stack([self._is_level(variable, v) for v in levels[1:]])
        return representer(indicators, ends, self._beside(self.columns[variable]), self.shares)

    def _alpha(self, left: Array) -> Array:
        """Weights (n,) of a coefficient from a residual; zero where nothing is left."""
        size = float(self.shares @ (left * left))
        return self.shares * left / size if size > 0 else np.zeros(len(left))

    @cached_property
    def _own(self) -> RowLaws:
        """The laws of the rows as they are."""
        return self.laws(self.X)

    @cached_property
    def _ends(self) -> BesideMass | None:
        """Where the laws of the rows as they are have the ends of their masses."""
        return None if self.estimation is None else BesideMass(self._own, self.estimation)

    def _near(self, functional: Functional) -> Mask | None:
        """Rows (n,) that are beside their mass, if so many are that an average has no error; else None."""
        return None if self._ends is None else self._ends.at_once(functional, self.shares)

    def _beside(self, columns: Sequence[int]) -> Array:
        """What the fitted structure makes of the other columns of the design, and a constant."""
        others = [j for j in range(self.X.shape[1]) if j not in set(columns)]
        return np.column_stack([np.ones(len(self.X)), self.bent(others)])

    def _influence(self, functional: Functional, values: Array) -> Array:
        """The influence function (n,) at the rows' outcomes of a functional given x, with its values (n,)."""
        assert self.seen is not None
        kind, numbers = functional
        y = self.seen.outcome
        if kind == "q":
            return as_floats((numbers[0] - self.seen.at_most(numbers[0])) / self._density(numbers[0]))
        if kind in ("difference", "ratio"):
            return self._of_two_quantiles(kind, numbers)
        if kind == "mean":
            return y - values
        if kind == "prob" and self.seen.below is not None:
            low, high = (self.seen.at_most(self._own.at(end).cdf) for end in numbers)
            return high - low - values
        if kind == "prob":
            return as_floats((numbers[0] < y) & (y <= numbers[1])) - values
        if kind in INEQUALITY:
            return self._of_inequality(kind, values)
        square = np.square(y - self._values(("mean", ())))
        return (square - values**2) / (2 * values) if kind == "std" else square - values

    def _inside(self, functional: Functional) -> Array:
        """The variance (n,) of the influence inside of the records, zero of what is known and of means."""
        assert self.seen is not None
        kind, numbers = functional
        if kind == "prob":
            low, high = (self.seen.at_most(self._own.at(end).cdf) for end in numbers)
            return as_floats((high - low) * (1 - high + low))
        if kind not in ("q", "difference", "ratio"):
            return np.zeros(len(self.X))
        parts: list[Functional] = [("q", (t,)) for t in numbers]
        below = [self.seen.at_most(t) for t in numbers]
        slopes = [1 / self._density(t) for t in numbers]
        if kind == "q":
            return as_floats(below[0] * (1 - below[0]) * slopes[0] ** 2)
        a, b = (self._values(f) for f in parts)
        of_a, of_b = (slopes[0], slopes[1]) if kind == "difference" else (slopes[0] / b, slopes[1] * a / b**2)
        both = np.minimum(*below) - below[0] * below[1]
        of_each = [e * (1 - e) * c**2 for e, c in zip(below, (of_a, of_b), strict=True)]
        return as_floats(of_each[0] + of_each[1] - 2 * both * of_a * of_b)

    def _density(self, tau: float) -> Array:
        """Densities (n,) at a quantile; one that is far too wide counts as some, else one row decides."""
        f = self._own.quantile_density(tau)
        smooth = f[np.isfinite(f)]  # a quantile at a mass does not move
        return np.maximum(f, np.median(smooth) / WIDE if len(smooth) else 0.0)

    def _of_inequality(self, kind: str, values: Array) -> Array:
        """The influence function (n,) of a measure of inequality."""
        assert self.seen is not None
        return relative_influence(kind, self._own, self.seen.outcome, values)

    def _values(self, functional: Functional) -> Array:
        """A functional of the law of each row (n,), remembered."""
        if functional not in self._known:
            found = row_values(self._own, functional, np.zeros((len(self.X), 1)))
            self._known[functional] = found.values
        return self._known[functional]

    @cached_property
    def _known(self) -> dict[Functional, Array]:
        """Functionals of the rows' laws that were asked for."""
        return {}

    def _of_two_quantiles(self, kind: str, levels: tuple[float, ...]) -> Array:
        """The influence function (n,) of a difference or ratio of two quantiles."""
        parts: list[Functional] = [("q", (t,)) for t in levels]
        a, b = (self._values(f) for f in parts)
        of_a, of_b = (self._influence(f, v) for f, v in zip(parts, (a, b), strict=True))
        return of_a - of_b if kind == "difference" else (of_a - a / b * of_b) / b

    def _step(self, functional: Functional, A: Array, found: RowValues | None = None) -> _Step:
        """The correction of a functional with weights A (n, m), with rows as ``found`` if they were."""
        if self.seen is None or functional[0] not in STEPPED:
            return _Step(None)
        if self.seen.products is not None and functional[0] in SPREADS:
            return _Step(None)
        near = self._near(functional)
        if near is not None:  # limits of these rows' quantiles take no step
            A, found = np.where(near[:, None], 0.0, A), None
        products = self.seen.products
        if products is None:
            found = row_values(self._own, functional, A) if found is None else found
        values = self._values(functional) if found is None else found.values
        with np.errstate(invalid="ignore"):  # where a row has no such moment
            rows = A * self._influence(functional, values)[:, None]
            own = None if found is None else found.sums
            sums = own if products is None else products(rows)
        if functional[0] in INEQUALITY:
            n = self.seen.size * float(self.every[self.shares > 0].sum())
            return _Step(sums, rows, *reach(functional[0], self._own, values, A, rows, self.shares, n))
        return _Step(sums, rows, None if products is None else self._wider(functional, A, rows))

    def _wider(self, functional: Functional, A: Array, rows: Array) -> Array:
        """The noise (m,) of outcomes told exactly over that of rows (n, m), which are expectations."""
        inside = np.square(A).T @ self._inside(functional)
        known = np.square(rows).sum(axis=0)
        return as_floats(np.sqrt(1 + np.divide(inside, known, out=np.zeros_like(known), where=known > 0)))

    def _stepped(
        self,
        answers: list[Answer],
        x: Array,
        columns: Sequence[int],
        ends: tuple[Array, Array],
        unit: Array | float,
        functionals: Sequence[Functional],
        also: Sequence[float] = (),
        least: int = 1,
    ) -> list[Answer]:
        """Answers after a step: averages of what moves x (n,) between two ends, per unit.

        ``columns`` are its own, ``also`` values of it that are compared, ``least`` as in `hat_knots`.
        """
        if self.seen is None:
            return answers
        inside = self.seen.size * float(self.every[self.shares > 0].sum())
        knots = hat_knots(x, self.shares, inside, also, least)
        moved = (self.shares / unit) @ (hats(ends[1], knots) - hats(ends[0], knots))
        A = representer(hats(x, knots), moved[:, None], self._beside(columns), self.shares)
        return [self._step(f, A).applied(a, 0) for a, f in zip(answers, functionals, strict=True)]

    def _with(self, variable: str, value: Any) -> Array:
        """The design with a variable at a value, or at one for each row (n,)."""
        return self.scenario.part(0, self.scenario.size, {variable: value}).X

    def _differences(
        self, ends: Sequence[Array], unit: Array, functionals: Sequence[Functional]
    ) -> list[Answer]:
        """Averages of functionals at one design less those at another, per unit (n,)."""
        W = (self.shares / unit)[:, None]
        before, after = (self._each(self.laws(X), W, functionals) for X in ends)  # the laws of one at a time
        return [self._difference(f, b, a, unit) for f, b, a in zip(functionals, before, after, strict=True)]

    def _difference(self, functional: Functional, before: _Part, after: _Part, unit: Array | float) -> Answer:
        """The average of one part less that of another, per unit."""
        with np.errstate(invalid="ignore"):
            plain = self._average((after.values - before.values) / unit, after.sums[0] - before.sums[0])
        hidden = self._hidden(functional, self.shares, before.hidden, after.hidden)
        beside = difference_of_parts(before.beside, after.beside)
        return plain._replace(
            hidden=hidden, beside=beside, inside=_share(self.shares, before.inside, after.inside)
        )

    def _each(self, laws: RowLaws, W: Array, functionals: Sequence[Functional]) -> list[_Part]:
        """Functionals of laws with weights W (n, 1), and which rows are beside a mass."""
        ends = None if self.estimation is None else BesideMass(laws, self.estimation)
        return [self._part(laws, W, f, ends) for f in functionals]

    def _part(self, laws: RowLaws, W: Array, functional: Functional, ends: BesideMass | None) -> _Part:
        """See `_each`."""
        near = None if ends is None else ends.at_once(functional, self.shares)
        found = row_values(laws, functional, W if near is None else np.where(near[:, None], 0.0, W))
        hidden, inside = self._untold(functional, laws), self._by_smoothness(functional, laws)
        if near is None or ends is None:
            return _Part(*found, hidden, inside)
        beside = ends.rows(W[:, 0], functional, near, self.held)
        return _Part(*found, hidden, inside, beside)

    def _untold(self, functional: Functional, laws: RowLaws) -> Mask | None:
        """Rows (n,) of which records do not tell quantiles of these laws, None where they tell all."""
        kind, numbers = functional
        if self.held.all or kind not in ("q", "difference", "ratio") or self.held.hides(functional):
            return None
        zero, hidden = np.zeros((len(self.X), 1)), np.zeros(len(self.X), dtype=bool)
        for level in numbers:
            hidden |= self.held.hidden(laws.by_row(("q", (level,)), zero).values)
        return hidden

    def _hidden(self, functional: Functional, weights: Array, *rows: Mask | None) -> float:
        """The share by weights (n,) of rows of which records do not tell a functional of some laws."""
        kind, numbers = functional
        if self.held.hides(functional) or (kind == "prob" and self.held.hides_between(numbers)):
            return 1.0
        return _share(weights, *rows)

    def _by_smoothness(self, functional: Functional, laws: RowLaws) -> Mask | None:
        """Rows (n,) whose functional lies inside of coarse classes, None where there are none of these."""
        kind, levels = functional
        if not self.held.classes:
            return None
        inside = np.full(len(self.X), self.held.smooth_alone(functional))
        if kind in ("q", "difference", "ratio"):
            zero = np.zeros((len(self.X), 1))
            for level in levels:
                inside |= self.held.inside(laws.by_row(("q", (level,)), zero).values)
        return inside

    def _own_values(self, values: Array) -> Array:
        """Values (n,), zero in rows that are not averaged over: these may have none."""
        return np.where(self.shares == 0, 0.0, values)

    def _average(self, values: Array, gradient: Array) -> Answer:
        values = self._own_values(values)
        with np.errstate(invalid="ignore"):
            average = float(self.shares @ values)
            return Answer(average, gradient, self.shares * (values - average))

    # ---- slopes --------------------------------------------------------------------------------------------

    def slope(self, variable: str, functionals: Sequence[Functional]) -> list[Answer]:
        """Average slopes in a numeric variable."""
        if self.scenario.levels(variable) is not None and self.scenario.columns[variable].numbers is None:
            raise OptionError(f"{variable!r} has levels, so no slope: compare two of them by effect().")
        part, moved = self.scenario.part(0, self.scenario.size, {}), partial(self._with, variable)
        derivative = partial(part.derivative, variable)
        return self._slope(part.numbers(variable), self.columns[variable], moved, derivative, functionals)

    def term_slope(self, column: int, functionals: Sequence[Functional]) -> list[Answer]:
        """Average slopes in a column of the design that is a term by itself."""

        def moved(value: Array) -> Array:
            X = self.X.copy()
            X[:, column] = value
            return X

        one = np.array([column]), np.ones((len(self.X), 1))
        return self._slope(self.X[:, column], [column], moved, lambda: one, functionals)

    def _slope(
        self,
        x: Array,
        own: Sequence[int],
        moved: Callable[[Array], Array],
        derivative: Callable[[], tuple[Indices, Array]],
        functionals: Sequence[Functional],
    ) -> list[Answer]:
        """Average slopes in x (n,): its columns, the design with it elsewhere, and its derivative."""
        if self.exact:
            return self._exact(*derivative(), functionals)
        if has_heap(x, self.every):
            low, high = neighbours(x)
            unit, ends = high - low, (moved(low), moved(high))
        else:
            step = STEP * (float(np.std(x)) or 1.0)
            columns, D = derivative()
            move = np.zeros_like(self.X)
            move[:, columns] = step * D
            low, high, unit = x - step, x + step, np.full(len(x), 2 * step)
            ends = self.X - move, self.X + move
        answers = [without_limits(a) for a in self._differences(ends, unit, functionals)]
        return self._stepped(answers, x, own, (low, high), unit, functionals)

    def _exact(self, columns: Indices, D: Array, functionals: Sequence[Functional]) -> list[Answer]:
        laws: Any = self._own

        def slopes(functional: Functional) -> RowValues:
            kind, levels = functional
            if kind != "difference":
                found: RowValues = laws.slopes(functional, columns, D, self.shares[:, None])
                return found
            a, b = (slopes(("q", (t,))) for t in levels)
            return RowValues(a.values - b.values, a.sums - b.sums)

        found = [(f, slopes(f)) for f in functionals]
        return [self._average(s.values, s.sums[0])._replace(beside=self._gone(f)) for f, s in found]

    def _gone(self, functional: Functional) -> tuple[()] | None:
        """No limits where rows are beside their mass."""
        return None if self._near(functional) is None else ()

    # ---- best linear coefficients --------------------------------------------------------------------------

    @cached_property
    def columns(self) -> dict[str, list[int]]:
        """The columns of the design that read each variable of the right side."""
        part = self.scenario.part(0, 1, {})
        return {v: part.columns_reading(v).tolist() for v in self.scenario.spec.variables}

    def own_term(self, variable: str) -> int | None:
        """The column of a variable that is one numeric term and no more."""
        own = self.columns.get(variable, [])
        others = [v for v, where in self.columns.items() if v != variable and set(where) & set(own)]
        return own[0] if len(own) == 1 and not others else None

    def weights(self, variable: str) -> tuple[str, Array, Array]:
        """The term that a variable stands for, its residual (n,), and the other columns as they enter."""
        own = self.own_term(variable)
        if own is None:
            x, label = self.scenario.part(0, self.scenario.size, {}).numbers(variable), variable
        else:
            x, label = self.X[:, own], self.scenario.spec.names[own]
        Z = self._beside(self.columns.get(variable, []))
        return label, residual(x, Z, self.shares), Z

    def best_linear(
        self, variables: Sequence[str], functionals: Sequence[Functional]
    ) -> dict[str, tuple[str, list[Answer]]]:
        """Best linear coefficients of several variables, with the term that each is of."""
        parts = {v: self.weights(v) for v in variables}
        W = np.column_stack([np.zeros((len(self.X), 0)), *(self._alpha(x) for _, x, _ in parts.values())])
        out: dict[str, tuple[str, list[Answer]]] = {v: (label, []) for v, (label, _, _) in parts.items()}
        for f in functionals:
            found = row_values(self._own, f, W)
            step, untold = self._step(f, W, found), self._untold(f, self._own)
            inside = self._by_smoothness(f, self._own)
            for j, (v, (_, x, Z)) in enumerate(parts.items()):
                if not W[:, j].any():
                    out[v][1].append(Answer(np.nan, np.zeros_like(found.sums[j]), np.zeros(len(x))))
                    continue
                with np.errstate(invalid="ignore"):  # where a row has no such moment
                    values = self._own_values(found.values)
                    value = float(W[:, j] @ values)
                    left = residual(values - value * x, Z, self.shares)
                    plain = Answer(value, found.sums[j], W[:, j] * left)
                shares = W[:, j] * x
                hidden, smooth = self._hidden(f, shares, untold), _share(shares, inside)
                plain = plain._replace(hidden=hidden, beside=self._gone(f), inside=smooth)
                few = 0.0 if f[0] in SPREADS else step.few(j)  # of spreads it tells nothing of their limits
                out[v][1].append(step.applied(plain, j)._replace(few=few))
        return out


def _share(weights: Array, *rows: Mask | None) -> float:
    """The share by weights (n,) of rows in any of several sets."""
    known = [one for one in rows if one is not None]
    return float(weights @ np.logical_or.reduce(known)) if known else 0.0


def check_values(scenario: Scenario, variable: str, values: Sequence[Any]) -> None:
    """Refuse values of a variable beyond those seen by more than their width.

    Parameters
    ----------
    scenario : Scenario of the rows of a fit.
    variable : one of its numbers; levels are checked where they are coded.
    values : what it is set to.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> check_values(res.rows.scenario(), "income", (0.0, 5000.0))
    """
    if scenario.levels(variable) is not None:
        return
    x = scenario.values(variable)
    low, high = float(np.min(x)), float(np.max(x))
    for value in values:
        if isinstance(value, (int, float, np.number)):
            given = float(value)
            beyond = max(low - given, given - high)
            if beyond > (high - low) * (1 + 1e-9):
                raise OptionError(
                    f"{variable} = {given:g} lies {beyond:g} outside the values of the fit, [{low:g}, "
                    f"{high:g}], more than their width: no law is known there. Compare values inside."
                )


def warn_outside(variable: str, X: Array, ends: Sequence[Array]) -> None:
    """Warn of rows whose moved columns leave what the fit has seen.

    Parameters
    ----------
    variable : what was moved.
    X : (n, k) float64 array, the design of the fit.
    ends : designs (n, k) with the variable elsewhere.

    Warns
    -----
    ExtrapolationWarning

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [1.0, 2.0]])
    >>> warn_outside("x", X, [np.array([[1.0, 1.5], [1.0, 1.5]])])
    """
    low, high = X.min(axis=0), X.max(axis=0)
    slack = 1e-9 * (high - low)
    outside = np.zeros(len(X), dtype=bool)
    for end in ends:
        moved = np.any(end != X, axis=0)
        outside |= np.any(((low - slack > end) | (high + slack < end))[:, moved], axis=1)
    share = float(outside.mean())
    if share:
        text = (
            f"With {variable} changed, {share:.0%} of the rows lie outside the covariates of the fit: "
            f"there the answer follows the shape of the model alone."
        )
        hint = "compare values inside the fitted range"
        warn_user(ExtrapolationWarning(text, column=variable, hint=hint))


def has_heap(x: Array, shares: Array) -> bool:
    """Whether a variable (n,) has few values, or many rows at one.

    Examples
    --------
    >>> has_heap(np.arange(100.0), np.full(100, 0.01)), has_heap(np.arange(100.0) // 5, np.full(100, 0.01))
    (False, True)
    """
    values, where = np.unique(x, return_inverse=True)
    return len(values) <= FEW_VALUES or float(np.bincount(where, shares).max()) > HEAP


def neighbours(x: Array) -> tuple[Array, Array]:
    """The values next below and above each of x (n,), its own at the ends.

    Examples
    --------
    >>> neighbours(np.array([1.0, 2.0, 4.0]))
    (array([1., 1., 2.]), array([2., 4., 4.]))
    """
    values, at = np.unique(x, return_inverse=True)
    return values[np.maximum(at - 1, 0)], values[np.minimum(at + 1, len(values) - 1)]
