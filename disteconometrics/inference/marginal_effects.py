"""Average marginal effects on P(y = 1 | x) = p(η), η = x'β + offset, in one pass, with delta-method errors.

A row's effect of a raw variable v that reaches η through the formula, with D = ∂x/∂v (k,) and dη = D'β, is

=========  =======================  ==================================================
kind       numbers                  two values of v, x_a and x_b
=========  =======================  ==================================================
dydx       p'(η)·dη                 p(η_b) − p(η_a)
eydx       (log p)'(η)·dη           log p(η_b) − log p(η_a)
dyex       v·p'(η)·dη               none
eyex       v·(log p)'(η)·dη         none
=========  =======================  ==================================================

A margin is θ = Σ w·m(x; β)/Σ w with gradient G = ∂θ/∂β and variance G·V·G' for the rows as they are
(``sample``).  For the population that the rows were drawn from, a row moves θ through the average and through
the estimate, ψ = w(m − θ)/Σ w + G·H⁻¹·s, see `influence`: here are m and G.  Where the model is believed
(nonrobust) both parts share nothing, and Σ w²(m − θ)²/(Σ w)² · n/(n − 1) is added to G·V·G' (frequency
weights count as rows).

References: Bartus (2005), Estimation of marginal effects using margeff, Stata Journal 5; Dowd, Greene and
Norton (2014), Computation of standard errors, Health Services Research 49, doi:10.1111/1475-6773.12122.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.data.scenario import Part, Scenario
from disteconometrics.data.streamed_scenario import StreamedScenario
from disteconometrics.errors import WithheldError
from disteconometrics.likelihoods.logistic import Kernel

__all__ = ["KINDS", "Question", "average_margins", "margins_at_means", "mean_row", "row_cuts"]

Terms = tuple[Array, Array, Array]  # level, first and second derivative in η

KINDS = ("dydx", "eyex", "dyex", "eydx")
CHUNK_BYTES = 1 << 22  # rows are taken in parts whose design is about this large
LEAST_ROWS = 32_768  # … but not fewer than this, since coding levels costs the same for any number


class Index(Protocol):
    """x'β + offset of rows (m, k), ±inf where separation decides and NaN where nobody knows."""

    def __call__(self, X: Array, offset: Array | None) -> Array: ...


@dataclass(frozen=True)
class Question:
    """A margin to compute: the derivative in ``variable``, or a contrast of ``pair`` (base, value).

    Columns in ``fixed`` are held at its values.

    Examples
    --------
    >>> Question("PSI: 1 - 0", "PSI", (0, 1), {}).name
    'PSI: 1 - 0'
    """

    name: str
    variable: str
    pair: tuple[Any, Any] | None
    fixed: Mapping[str, Any]


class Averages(NamedTuple):
    """Margins θ (q,), gradients (q, k) in the coefficients, and variance (q, q) of averaging drawn rows.

    ``effects`` (n, q) are those of the rows, if they were kept.
    """

    values: Array
    gradients: Array
    sampling: Array
    effects: Array | None = None


class _Row(NamedTuple):
    """Effects of rows (m,) and what the gradient needs: weights of X and of the moving columns of D."""

    effect: Array
    of_x: Array
    of_d: Array


def _terms(kernel: Kernel, kind: str, eta: Array) -> Terms:
    """p, or log p for ``eydx`` and ``eyex``, with derivatives at η; p'' from (log p)'' = p''/p − (p'/p)²."""
    t = kernel.terms(np.ones(len(eta)), eta)
    if kind in ("eydx", "eyex"):
        return t.loglik, t.score, -np.square(t.root_weight)
    p = kernel.probability(eta)
    return p, kernel.density(eta), p * (np.square(t.score) - np.square(t.root_weight))


def _slopes(terms: Terms, kind: str, move: Array, v: Array) -> _Row:
    """Effects of a number; ``move`` is dη (m,)."""
    _, first, second = terms
    if kind in ("dyex", "eyex"):
        first, second = v * first, v * second
    return _Row(first * move, second * move, first)


def _finite(eta: Array, kind: str) -> Array:
    """Rows with a finite index; the others are at probability zero or one, where nothing moves any more."""
    if np.isnan(eta).any():
        raise WithheldError(
            f"No average effect: after separation the probability of {int(np.isnan(eta).sum())} rows is "
            f"not identified."
        )
    inside = np.isfinite(eta)
    if kind != "dydx" and not inside.all():
        raise WithheldError(
            f"kind={kind!r} needs probabilities above zero; this fit is separated, so use kind='dydx'."
        )
    return as_floats(inside)


def row_cuts(rows: Scenario | StreamedScenario, k: int) -> Iterator[tuple[Scenario, slice, Array]]:
    """Parts of the rows, where they are, and their weights."""
    step = max(LEAST_ROWS, CHUNK_BYTES // (8 * k))
    for piece in rows.pieces():
        for start in range(0, piece.size, step):
            cut = slice(start, min(start + step, piece.size))
            yield piece, cut, np.ones(cut.stop - start) if piece.weights is None else piece.weights[cut]


class _Coded(NamedTuple):
    """Rows under a scenario: design, index (0 where infinite), its terms, and 1.0 where it is finite."""

    rows: Part
    eta: Array
    terms: Terms
    inside: Array


class _Part:
    """A part of the rows; the scenario asked for last stays coded, and so does the base of a contrast."""

    def __init__(
        self, kernel: Kernel, kind: str, rows: Scenario, cut: slice, weights: Array, index: Index
    ) -> None:
        self._kernel, self._kind, self._rows = kernel, kind, rows
        self._cut, self._index, self.weights = cut, index, weights
        self._coded: dict[Any, _Coded] = {}
        self._rest: dict[Any, tuple[Indices, Array, Array]] = {}
        self._base: dict[Any, tuple[Array, Array]] = {}
        self._offset = None if rows.offset is None else rows.offset[cut]

    def _under(self, key: Any, fixed: Mapping[str, Any]) -> _Coded:
        """The rows with some columns fixed."""
        if key not in self._coded:
            part = self._rows.part(self._cut.start, self._cut.stop, fixed)
            eta = self._index(part.X, self._offset)
            inside = _finite(eta, self._kind)
            eta = np.where(inside > 0, eta, 0.0)
            self._coded = {key: _Coded(part, eta, _terms(self._kernel, self._kind, eta), inside)}
        return self._coded[key]

    def effect(self, q: Question, beta: Array) -> tuple[Array, Array]:
        """Effects m (r,) of the rows, and Σ w ∂m/∂β (k,)."""
        key = tuple(sorted((k, repr(v)) for k, v in q.fixed.items()))
        at = self._under(key, q.fixed)
        if q.pair is not None:
            first = (key, q.variable, repr(q.pair[0]))
            if first not in self._base:
                self._base = {first: self._level(key, at, q.variable, q.pair[0], beta)}
            level, gradient = self._level(key, at, q.variable, q.pair[1], beta)
            return level - self._base[first][0], gradient - self._base[first][1]
        columns, D = at.rows.derivative(q.variable)
        row = _slopes(at.terms, self._kind, D @ beta[columns], at.rows.numbers(q.variable))
        w = self.weights * at.inside
        gradient = (w * row.of_x) @ at.rows.X
        gradient[columns] += (w * row.of_d) @ D
        return row.effect * at.inside, gradient

    def _level(self, key: Any, at: _Coded, variable: str, value: Any, beta: Array) -> tuple[Array, Array]:
        """p or log p of the rows (r,) with a variable at a value, others as they are, and Σ w ∂p/∂β."""
        columns, block = at.rows.replaced(variable, value)
        if (key, variable) not in self._rest:
            others = np.setdiff1d(np.arange(len(beta)), columns)
            rest = at.eta - at.rows.X[:, columns] @ beta[columns]
            self._rest = {(key, variable): (others, at.rows.X[:, others], rest)}
        others, X, rest = self._rest[key, variable]
        level, first, _ = _terms(self._kernel, self._kind, rest + block @ beta[columns])
        w, gradient = self.weights * at.inside * first, np.zeros(len(beta))
        gradient[others] = w @ X
        gradient[columns] = w.sum() * block[0] if len(block) == 1 else w @ block
        return level * at.inside, gradient


class _Moments:
    """Sums over rows for the variance of averages, about a guess of the mean, so that no digits cancel."""

    def __init__(self, q: int, frequency: bool) -> None:
        self.frequency = frequency
        self.centre: Array | None = None
        self.first, self.second = np.zeros(q), np.zeros((q, q))
        self.squares = self.size = 0.0

    def add(self, M: Array, w: Array) -> None:
        """Take effects M (r, q) of rows, which it overwrites, and their weights (r,)."""
        if self.centre is None:
            self.centre = M.mean(axis=0)
        M -= self.centre
        square = w if self.frequency else w * w
        self.first, self.second = self.first + square @ M, self.second + (M.T * square) @ M
        self.squares += float(square.sum())
        self.size += float(w.sum()) if self.frequency else len(w)

    def variance(self, means: Array, total: float) -> Array:
        """Variance (q, q) of the means (q,) over rows of so much weight in all."""
        if self.centre is None:
            return np.zeros(self.second.shape)
        d, first = means - self.centre, self.first
        V = self.second - np.outer(first, d) - np.outer(d, first) + self.squares * np.outer(d, d)
        V *= self.size / (max(self.size - 1, 1.0) * total**2)
        return V


def average_margins(
    kernel: Kernel,
    rows: Scenario | StreamedScenario,
    index: Index,
    beta: Array,
    questions: Sequence[Question],
    kind: str,
    *,
    spread: bool = False,
    keep: bool = False,
) -> Averages:
    """Average effects over rows with their gradients, in one pass.

    Parameters
    ----------
    kernel : Kernel, such as `LOGISTIC`.
    rows : Scenario of n rows, or StreamedScenario.
    index : Index.
    beta : (k,) float64 array.
    questions : q of them.
    kind : one of `KINDS`.
    spread : bool, whether the variance over rows is wanted.
    keep : bool, whether the rows' own effects are wanted: the one thing here whose memory grows with them.

    Returns
    -------
    Averages

    Raises
    ------
    WithheldError, DataError, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from disteconometrics.data.scenario import Scenario
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector())
    >>> rows, b = Scenario.of_design(res.rows.design), res.params.to_numpy()
    >>> gpa = [Question("GPA", "GPA", None, {})]
    >>> average_margins(LOGISTIC, rows, lambda X, o: X @ b, b, gpa, "dydx").values.round(4)
    array([0.3989])
    """
    q, k = len(questions), len(beta)
    sums, gradients, total = np.zeros(q), np.zeros((q, k)), 0.0
    moments = _Moments(q, rows.spec.weight_type == "frequency") if spread else None
    kept = np.empty((rows.size, q)) if keep else None
    for piece, cut, w in row_cuts(rows, k):
        part = _Part(kernel, kind, piece, cut, w, index)
        wide = spread or keep
        M = np.empty((len(w), q if wide else 1))
        for j, question in enumerate(questions):
            effect, gradient = part.effect(question, beta)
            sums[j] += w @ effect
            gradients[j] += gradient
            M[:, j if wide else 0] = effect
        total += float(w.sum())
        if kept is not None:
            kept[cut] = M
        if moments is not None:
            moments.add(M, w)
    values = sums / total
    sampling = np.zeros((q, q)) if moments is None else moments.variance(values, total)
    return Averages(values, gradients / total, sampling, kept)


def margins_at_means(
    kernel: Kernel, rows: Scenario, index: Index, beta: Array, questions: Sequence[Question], kind: str
) -> Averages:
    """Effects at the average row: numbers at their means go through the formula, factors have their shares.

    Parameters
    ----------
    kernel, rows, index, beta, questions, kind : as in `average_margins`; ``fixed`` holds the means of the
        numbers.

    Returns
    -------
    Averages

    Raises
    ------
    WithheldError, DataError, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from disteconometrics.data.scenario import Scenario
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> df = de.datasets.spector()
    >>> res = de.Logit("GRADE ~ GPA").fit(df)
    >>> rows, b = Scenario.of_design(res.rows.design), res.params.to_numpy()
    >>> gpa = [Question("GPA", "GPA", None, {"GPA": df.GPA.mean()})]
    >>> margins_at_means(LOGISTIC, rows, lambda X, o: X @ b, b, gpa, "dydx").values.round(4)
    array([0.5957])
    """
    values, gradients = np.zeros(len(questions)), np.zeros((len(questions), len(beta)))
    for j, q in enumerate(questions):
        if q.pair is None:
            x, D, offset = mean_row(rows, q.fixed, q.variable, len(beta))
            eta = index(x[None], offset)
            row = _slopes(
                _terms(kernel, kind, eta), kind, np.array([D @ beta]), np.array([float(q.fixed[q.variable])])
            )
            values[j], gradients[j] = row.effect[0], row.of_x[0] * x + row.of_d[0] * D
            continue
        for value, sign in zip(q.pair, (-1.0, 1.0), strict=True):
            x, _, offset = mean_row(rows, {**q.fixed, q.variable: value}, None, len(beta))
            eta = index(x[None], offset)
            level, first, _ = _terms(kernel, kind, eta)
            values[j] += sign * level[0]
            gradients[j] += sign * first[0] * x
    return Averages(values, gradients, np.zeros((len(questions),) * 2))


def mean_row(
    rows: Scenario, fixed: Mapping[str, Any], variable: str | None, k: int
) -> tuple[Array, Array, Array | None]:
    """The weighted average of rows of the design under a scenario, of their derivatives, of the offset."""
    x, D, offset, total = np.zeros(k), np.zeros(k), 0.0, 0.0
    for piece, cut, w in row_cuts(rows, k):
        part = piece.part(cut.start, cut.stop, fixed)
        x += w @ part.X
        total += float(w.sum())
        if variable is not None:
            columns, moves = part.derivative(variable)
            D[columns] += w @ moves
        if piece.offset is not None:
            offset += float(w @ piece.offset[cut])
    return x / total, D / total, None if rows.spec.offset is None else np.array([offset / total])
