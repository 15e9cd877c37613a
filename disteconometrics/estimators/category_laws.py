"""Laws of rows of an outcome in categories: probabilities, their moves in a variable, and gradients in θ.

Gradients are sums over rows with weights, so that none of a row is ever held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.inference.law_effects import RowValues
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.likelihoods.multinomial import softmax

__all__ = ["CategoryRowLaws", "Moves", "MultinomialRowLaws", "OrderedRowLaws"]


class Moves(NamedTuple):
    """Numbers by row and category (n, J), and Σ w_i ∂/∂θ (J, p) of them for weights w (n,)."""

    values: Array
    gradients: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class CategoryRowLaws(ABC):
    """P(y = j | x) of rows with a design X (n, k); see `inference.law_effects.RowLaws`."""

    X: Array

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.X)

    @abstractmethod
    def take(self, rows: Any) -> Self:
        """The laws of some rows."""

    @cached_property
    @abstractmethod
    def probabilities(self) -> Moves:
        """P(y = j) (n, J)."""

    @abstractmethod
    def moved(self, columns: Indices, D: Array) -> Moves:
        """Changes of P (n, J) where columns of the design move by D (n, c)."""

    def by_row(self, functional: Functional, W: Array) -> RowValues:
        """Σ a_j P_j of every row (n,), and sums of gradients (v, p) with weights W (n, v)."""
        return _weighted(self.probabilities, functional, W)

    def slopes(self, functional: Functional, columns: Indices, D: Array, W: Array) -> RowValues:
        """The same of what moves by D."""
        return _weighted(self.moved(columns, D), functional, W)


def _weighted(moves: Moves, functional: Functional, W: Array) -> RowValues:
    a = np.array(functional[1])
    return RowValues(moves.values @ a, np.array([a @ moves.gradients(w) for w in W.T]))


@dataclass(frozen=True, eq=False)
class OrderedRowLaws(CategoryRowLaws):
    """P(y > j) = p(η − c_j): differences of binary probabilities.

    Parameters
    ----------
    X : (n, k) float64 array, with its constant in the column ``constant``, which has no coefficient.
    kernel : the binary law of a threshold.
    eta : (n,) float64 array, x'β + offset.
    beta : (k,) float64 array, 0 for the constant.
    cuts : (J − 1,) float64 array, the thresholds.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.OrderedLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> laws = res.row_laws(np.array([[1.0, 3.0], [1.0, 4.0]]), None)
    >>> laws.probabilities.values.round(2)
    array([[0.77, 0.23],
           [0.16, 0.84]])
    """

    kernel: Kernel
    eta: Array
    beta: Array
    constant: int
    cuts: Array

    def take(self, rows: Any) -> OrderedRowLaws:
        """The laws of some rows."""
        return replace(self, X=self.X[rows], eta=self.eta[rows])

    @cached_property
    def _above(self) -> tuple[Array, Array, Array]:
        """P(y > j), and its first and second derivative in η (n, J − 1)."""
        z = self.eta[:, None] - self.cuts
        p, t = self.kernel.probability(z), self.kernel.terms(np.ones_like(z), z)
        return p, self.kernel.density(z), p * (np.square(t.score) - np.square(t.root_weight))

    @cached_property
    def probabilities(self) -> Moves:
        """P(y = j) (n, J)."""
        p, first, _ = self._above
        slopes = _steps(first, 0.0)
        return Moves(_steps(p, 1.0), lambda w: self._gradients(w[:, None] * slopes, w @ first))

    def moved(self, columns: Indices, D: Array) -> Moves:
        """Changes of P (n, J) where columns of the design move by D (n, c)."""
        _, first, second = self._above
        move, slopes, bends = D @ self.beta[columns], _steps(first, 0.0), _steps(second, 0.0)

        def gradients(w: Array) -> Array:
            moved = w * move
            return self._gradients(
                moved[:, None] * bends, moved @ second, columns, D.T @ (w[:, None] * slopes)
            )

        return Moves(slopes * move[:, None], gradients)

    def _gradients(
        self, of_index: Array, at_cuts: Array, columns: Any = (), more: Array | float = 0.0
    ) -> Array:
        """In (β, c) (J, p), from those in the index (n, J), at thresholds (J − 1,), and more in columns."""
        of_x, J = self.X.T @ of_index, of_index.shape[1]
        of_x[np.asarray(columns, dtype=np.intp)] += more
        of_cuts = np.diff(np.vstack([np.zeros(J - 1), np.diag(at_cuts), np.zeros(J - 1)]), axis=0)
        return np.hstack([np.delete(of_x, self.constant, axis=0).T, of_cuts])


def _steps(above: Array, first: float) -> Array:
    """Numbers of categories (n, J) from those of P(y > j) (n, J − 1), the ``first`` of P(y > −1)."""
    return -np.diff(above, axis=1, prepend=first, append=0.0)


@dataclass(frozen=True, eq=False)
class MultinomialRowLaws(CategoryRowLaws):
    """P_j = exp(x'β_j)/Σ exp(x'β_l), coefficients B (k, J − 1) of all categories but the base.

    ``place`` (J,) says where each category stands when the base comes first.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.MultinomialLogit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> res.row_laws(np.array([[1.0, 3.0]]), None).probabilities.values.round(2)
    array([[0.77, 0.23]])
    """

    B: Array
    place: Indices

    def take(self, rows: Any) -> MultinomialRowLaws:
        """The laws of some rows."""
        return replace(self, X=self.X[rows])

    @cached_property
    def _shares(self) -> Array:
        """P (n, J), the base first."""
        return softmax(self.X @ self.B)[0]

    @cached_property
    def probabilities(self) -> Moves:
        """P(y = j) (n, J)."""
        P = self._shares

        def gradients(w: Array) -> Array:
            return self._gradients(self._sums(w[:, None] * P, self.X))

        return Moves(P[:, self.place], gradients)

    def moved(self, columns: Indices, D: Array) -> Moves:
        """Changes P_j·a_j of P (n, J), a_j = δ_j − Σ P_l δ_l with δ_j = D'β_j."""
        P = self._shares
        delta = np.column_stack([np.zeros(len(P)), D @ self.B[columns]])
        apart = delta - np.sum(P * delta, axis=1, keepdims=True)

        def gradients(w: Array) -> Array:
            weights = w[:, None] * P
            out = self._sums(weights, self.X, apart)
            out[:, :, columns] += self._sums(weights, D)
            return self._gradients(out)

        return Moves((P * apart)[:, self.place], gradients)

    def _sums(self, weights: Array, X: Array, apart: Array | None = None) -> Array:
        """Σ w P_j (1{j = l} − P_l) x, or Σ w P_j (1{j = l} a_j − P_l (a_j + a_l)) x (J, J − 1, c)."""
        P, J = self._shares, weights.shape[1]
        out = np.empty((J, J - 1, X.shape[1]))
        for j in range(J):
            both = P[:, 1:] if apart is None else P[:, 1:] * (apart[:, [j]] + apart[:, 1:])
            out[j] = -(both * weights[:, [j]]).T @ X
        at = np.arange(J - 1)
        out[at + 1, at] += ((weights if apart is None else weights * apart)[:, 1:]).T @ X
        return out

    def _gradients(self, sums: Array) -> Array:
        """In the coefficients (J, p), category by category, in the order of the categories."""
        return np.asarray(sums[self.place].reshape(len(sums), -1))
