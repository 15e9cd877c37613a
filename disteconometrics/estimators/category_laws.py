"""Laws of rows of an outcome in categories: probabilities, their moves in a variable, and gradients in θ.

With weights C (n, J) of rows and categories, a number Σ C_ij P_ij moves with the coefficients by the sum that
`Moves.pull` gives, so that no gradient of a row is ever held.
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
    """Numbers by row and category (n, J), and Σ C_ij ∂/∂θ (p,) of them for weights C (n, J)."""

    values: Array
    pull: Callable[[Array], Array]


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
    return RowValues(moves.values @ a, np.array([moves.pull(w[:, None] * a) for w in W.T]))


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

        def pull(C: Array) -> Array:
            at_cuts = np.diff(C, axis=1) * first
            return self._gradient(self.X.T @ at_cuts.sum(axis=1), at_cuts.sum(axis=0))

        return Moves(-_steps(p, 1.0), pull)

    def moved(self, columns: Indices, D: Array) -> Moves:
        """Changes of P (n, J) where columns of the design move by D (n, c)."""
        _, first, second = self._above
        move = D @ self.beta[columns]

        def pull(C: Array) -> Array:
            E = np.diff(C, axis=1)
            at_cuts = move[:, None] * E * second
            of_x = self.X.T @ at_cuts.sum(axis=1)
            of_x[columns] += (E * first).sum(axis=1) @ D
            return self._gradient(of_x, at_cuts.sum(axis=0))

        return Moves(-_steps(first, 0.0) * move[:, None], pull)

    def _gradient(self, of_x: Array, of_index: Array) -> Array:
        """In (β, c) (k − 1 + J − 1,), from those in all columns and in η at every threshold."""
        return np.concatenate([np.delete(of_x, self.constant), -of_index])


def _steps(above: Array, first: float) -> Array:
    """Differences over categories (n, J) of numbers at thresholds (n, J − 1), between two outer ones."""
    return np.diff(above, axis=1, prepend=first, append=0.0)


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

    def _weights(self, C: Array) -> Array:
        """C·P (n, J), the base first."""
        first = np.empty_like(C)
        first[:, self.place] = C
        return np.asarray(first * self._shares)

    @cached_property
    def probabilities(self) -> Moves:
        """P(y = j) (n, J)."""
        P = self._shares

        def pull(C: Array) -> Array:
            weights = self._weights(C)
            return self._gradient(weights - P * weights.sum(axis=1, keepdims=True), self.X)

        return Moves(P[:, self.place], pull)

    def moved(self, columns: Indices, D: Array) -> Moves:
        """Changes P_j·a_j of P (n, J), a_j = δ_j − Σ P_l δ_l with δ_j = D'β_j."""
        P = self._shares
        delta = np.column_stack([np.zeros(len(P)), D @ self.B[columns]])
        apart = delta - np.sum(P * delta, axis=1, keepdims=True)

        def pull(C: Array) -> Array:
            weights = self._weights(C)
            level, change = (np.sum(w, axis=1, keepdims=True) for w in (weights, weights * apart))
            of_index = weights * apart - P * change - P * apart * level
            out = self._gradient(of_index, self.X).reshape(-1, self.X.shape[1])
            out[:, columns] += self._gradient(weights - P * level, D).reshape(len(out), -1)
            return np.asarray(out.ravel())

        return Moves((P * apart)[:, self.place], pull)

    def _gradient(self, of_index: Array, X: Array) -> Array:
        """In the coefficients, category by category, from those in the indices (n, J), the base first."""
        return np.asarray((of_index[:, 1:].T @ X).ravel())
