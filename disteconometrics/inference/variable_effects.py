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

Effects on quantiles of a fitted structure inherit what it cannot bend to and what it takes as known: a spread
that moves as exp(x) while 1/spread is linear in x, the least-squares line that a flow is centred on.
Coefficients and contrasts of levels are therefore moved by one step of the influence function,

    Σ α_i [τ − 1(F(y_i | x_i) ≤ τ)]/f(q_i),

with α the weights of the coefficient (of the level among the others): to first order neither matters then,
and the error is that of the data (Chernozhukov et al. 2018).

References
----------
Angrist, Pischke (2009), Mostly harmless econometrics, Princeton, section 3.1.
Angrist, Chernozhukov, Fernández-Val (2006), Quantile regression under misspecification, Econometrica 74,
doi:10.1111/j.1468-0262.2006.00671.x.
Chernozhukov, Chetverikov, Demirer, Duflo, Hansen, Newey, Robins (2018), Double/debiased machine learning for
treatment and structural parameters, Econometrics J. 21, doi:10.1111/ectj.12097.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.data.scenario import Scenario
from disteconometrics.errors import ExtrapolationWarning, OptionError, warn_user
from disteconometrics.inference.law_effects import Answer, RowLaws, row_values
from disteconometrics.inference.law_functionals import Functional

__all__ = ["BEST_LINEAR", "CONTRAST", "SLOPE", "Effect", "VariableEffects"]

CONTRAST, BEST_LINEAR, SLOPE = "average contrast", "best linear coefficient", "average slope"
FEW_VALUES, HEAP = 30, 0.05  # values, or the share of rows at one, from which slopes are between values
NOTHING = 1e-10  # share of a column's length that is rounding
STEP = 1e-4  # standard deviations of a numeric derivative


class Effect(NamedTuple):
    """One row of a table of effects: what moves, which estimand, and answers by functional."""

    label: str
    estimand: str
    answers: list[Answer]


class _Step(NamedTuple):
    """One step of the influence function: gradients (m, p) that it takes off, rows (n, m) that it adds."""

    sums: Array | None
    rows: Array | None = None

    def applied(self, a: Answer, j: int) -> Answer:
        """An answer after the step with weights j; as it is where there is none."""
        if self.sums is None or self.rows is None:
            return a
        return Answer(
            a.value + float(self.rows[:, j].sum()), a.gradient - self.sums[j], a.rows, self.rows[:, j]
        )


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
    pit : (n,) float64 array of F(y | x), with which effects on quantiles are corrected; None of laws that are
        an assumption.
    """

    scenario: Scenario
    X: Array
    shares: Array
    every: Array
    laws: Callable[[Array], RowLaws]
    bent: Callable[[Sequence[int]], Array]
    exact: bool = False
    pit: Array | None = None

    # ---- contrasts -----------------------------------------------------------------------------------------

    def contrast(self, variable: str, low: Any, high: Any, functionals: Sequence[Functional]) -> list[Answer]:
        """Average contrasts between two values of a variable."""
        values = (low, high)
        self._check_range(variable, values)
        ends = [self._with(variable, v) for v in values]
        self._warn_outside(variable, ends)
        answers = self._differences(ends, np.ones(len(self.X)), functionals)
        levels = self.levels(variable)
        if levels is None or low == high or not {low, high} <= set(levels):
            return answers
        A = self._level_weights(variable, levels, high, low)[:, None]
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
        first = self.laws(self._with(variable, levels[0]))
        base = [row_values(first, f, W) for f in functionals]
        if len(levels) < 2:
            return
        A = np.column_stack([self._level_weights(variable, levels, v, levels[0]) for v in levels[1:]])
        steps = [self._step(f, A) for f in functionals]
        for j, level in enumerate(levels[1:]):
            laws = self.laws(self._with(variable, level))
            answers = []
            for f, b, step in zip(functionals, base, steps, strict=True):
                a = row_values(laws, f, W)
                with np.errstate(invalid="ignore"):
                    plain = self._average(a.values - b.values, a.sums[0] - b.sums[0])
                answers.append(step.applied(plain, j))
            yield Effect(f"{variable}: {level} - {levels[0]}", CONTRAST, answers)

    def _is_level(self, variable: str, level: Any) -> Array:
        """1.0 where a variable has a level (n,)."""
        column = self.scenario.columns[variable]
        known = column.levels.index(level) if column.numbers is None else float(level)
        return as_floats(self.scenario.values(variable) == known)

    def _level_weights(self, variable: str, levels: Sequence[Any], level: Any, base: Any) -> Array:
        """Weights (n,) of the coefficient of a level among the others and what is made of other variables."""
        if self.pit is None:
            return np.zeros(len(self.X))
        mine = set(self.columns[variable])
        others = [j for j in range(self.X.shape[1]) if j not in mine]
        rest = [self._is_level(variable, v) for v in levels if v not in (level, base)]
        Z = np.column_stack([np.ones(len(self.X)), self.bent(others), *rest])
        return self._alpha(residual(self._is_level(variable, level), Z, self.shares))

    def _alpha(self, left: Array) -> Array:
        """Weights (n,) of a coefficient from a residual; zero where nothing is left."""
        size = float(self.shares @ (left * left))
        return self.shares * left / size if size > 0 else np.zeros(len(left))

    @cached_property
    def _own(self) -> RowLaws:
        """The laws of the rows as they are."""
        return self.laws(self.X)

    def _step(self, functional: Functional, A: Array, sums: Array | None = None) -> _Step:
        """The correction of a functional with weights A (n, m), whose gradients sum to ``sums`` (m, p)."""
        kind, numbers = functional
        if self.pit is None or kind != "q":
            return _Step(None)
        tau = numbers[0]
        sums = row_values(self._own, functional, A).sums if sums is None else sums
        influence = (tau - (self.pit <= tau)) / self._own.quantile_density(tau)
        return _Step(sums, A * influence[:, None])

    def _with(self, variable: str, value: Any) -> Array:
        """The design with a variable at a value, or at one for each row (n,)."""
        return self.scenario.part(0, self.scenario.size, {variable: value}).X

    def _differences(
        self, ends: Sequence[Array], unit: Array, functionals: Sequence[Functional]
    ) -> list[Answer]:
        """Averages of functionals at one design less those at another, per unit (n,)."""
        W = (self.shares / unit)[:, None]
        before, after = (self.laws(X) for X in ends)
        answers = []
        for f in functionals:
            b, a = row_values(before, f, W), row_values(after, f, W)
            with np.errstate(invalid="ignore"):
                answers.append(self._average((a.values - b.values) / unit, a.sums[0] - b.sums[0]))
        return answers

    def _average(self, values: Array, gradient: Array) -> Answer:
        with np.errstate(invalid="ignore"):
            average = float(self.shares @ values)
            return Answer(average, gradient, self.shares * (values - average))

    # ---- slopes --------------------------------------------------------------------------------------------

    def slope(self, variable: str, functionals: Sequence[Functional]) -> list[Answer]:
        """Average slopes in a numeric variable."""
        if self.scenario.levels(variable) is not None and self.scenario.columns[variable].numbers is None:
            raise OptionError(f"{variable!r} has levels, so no slope: compare two of them by effect().")
        part = self.scenario.part(0, self.scenario.size, {})
        x = part.numbers(variable)
        if self.exact:
            return self._exact(*part.derivative(variable), functionals)
        if has_heap(x, self.every):
            low, high = neighbours(x)
            return self._differences(
                [self._with(variable, low), self._with(variable, high)], high - low, functionals
            )
        columns, D = part.derivative(variable)
        return self._derivative(columns, D, float(np.std(x)), functionals)

    def _derivative(
        self, columns: Indices, D: Array, spread: float, functionals: Sequence[Functional]
    ) -> list[Answer]:
        step = STEP * (spread if spread > 0 else 1.0)
        move = np.zeros_like(self.X)
        move[:, columns] = D
        ends = [self.X + sign * step * move for sign in (-1.0, 1.0)]
        return self._differences(ends, np.full(len(self.X), 2 * step), functionals)

    def _exact(self, columns: Indices, D: Array, functionals: Sequence[Functional]) -> list[Answer]:
        laws: Any = self._own
        found = [laws.slopes(f, columns, D, self.shares[:, None]) for f in functionals]
        return [self._average(f.values, f.sums[0]) for f in found]

    def term_slope(self, column: int, functionals: Sequence[Functional]) -> list[Answer]:
        """Average slopes in a column of the design that is a term by itself."""
        x = self.X[:, column]
        if self.exact:
            return self._exact(np.array([column]), np.ones((len(x), 1)), functionals)
        if has_heap(x, self.every):
            ends = [self.X.copy(), self.X.copy()]
            low, high = neighbours(x)
            ends[0][:, column], ends[1][:, column] = low, high
            return self._differences(ends, high - low, functionals)
        return self._derivative(np.array([column]), np.ones((len(x), 1)), float(np.std(x)), functionals)

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
        mine = set(self.columns.get(variable, []))
        others = [j for j in range(self.X.shape[1]) if j not in mine]
        Z = np.column_stack([np.ones(len(x)), self.bent(others)])
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
            step = self._step(f, W, found.sums)
            for j, (v, (_, x, Z)) in enumerate(parts.items()):
                if not W[:, j].any():
                    out[v][1].append(Answer(np.nan, np.zeros_like(found.sums[j]), np.zeros(len(x))))
                    continue
                with np.errstate(invalid="ignore"):  # where a row has no such moment
                    value = float(W[:, j] @ found.values)
                    left = residual(found.values - value * x, Z, self.shares)
                    plain = Answer(value, found.sums[j], W[:, j] * left)
                out[v][1].append(step.applied(plain, j))
        return out

    # ---- outside of what was seen --------------------------------------------------------------------------

    def _check_range(self, variable: str, values: Sequence[Any]) -> None:
        """Refuse values beyond those seen by more than their width."""
        if self.scenario.levels(variable) is not None:
            return
        x = self.scenario.values(variable)
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

    def _warn_outside(self, variable: str, ends: Sequence[Array]) -> None:
        """Warn of rows whose moved columns leave what the fit has seen."""
        low, high = self.X.min(axis=0), self.X.max(axis=0)
        slack = 1e-9 * (high - low)
        outside = np.zeros(len(self.X), dtype=bool)
        for X in ends:
            moved = np.any(self.X != X, axis=0)
            outside |= np.any(((low - slack > X) | (high + slack < X))[:, moved], axis=1)
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


def residual(x: Array, Z: Array, shares: Array) -> Array:
    """What weighted least squares on Z (n, m) leaves of x (n,); zeros where that is rounding alone."""
    root = np.sqrt(shares)
    columns = Z * root[:, None]
    length = np.sqrt(np.square(columns).sum(axis=0))
    columns = columns[:, length > 0] / length[length > 0]  # so that units do not say which repeat others
    Q, R, _ = linalg.qr(columns, mode="economic", pivoting=True)
    Q = Q[:, np.abs(np.diagonal(R)) > NOTHING]
    with np.errstate(divide="ignore", invalid="ignore"):
        own = x * root
        left = own - Q @ (Q.T @ own)
        known = (shares > 0) & bool(np.linalg.norm(left) > NOTHING * np.linalg.norm(own))
        return np.where(known, left / root, 0.0)
