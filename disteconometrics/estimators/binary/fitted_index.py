"""The fitted index x'β of a binary outcome.

Its values, errors and probabilities for any rows, limits under separation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.blocks import Block
from disteconometrics.inference.covariance import ROWS, Covariance
from disteconometrics.likelihoods.index_model import index
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.optim.cone import same_rows, spanned

__all__ = ["FittedIndex", "Infinite"]

DISAGREE = 1e-6  # share beyond which a direction found by a linear program points the other way
ON_FACE = 1e-9  # share of |x_ij d_j| below which a row does not move along a direction


@dataclass(frozen=True, eq=False)
class Infinite:
    """Where coefficients go without a maximum.

    ``direction`` (k,) is one direction of separation, ``null`` (k, m) spans all that the overlapped rows
    cannot see, and ``extremes`` (k, q) are the directions that go furthest: only signs that all of them share
    are determined.  ``separated`` (u, m), of `generators`, bound the directions; None in files of 0.1.0.
    """

    direction: Array
    null: Array
    extremes: Array
    separated: Array | None = None

    def masked(self) -> Mask:
        """Coefficients that the overlapped rows do not identify (k,)."""
        return np.asarray(np.any(self.null != 0, axis=1))

    @cached_property
    def _unit(self) -> Array:
        """Sizes (k,) of the coefficients' units, in which directions are compared; 1 where none is free."""
        size = np.abs(self.null).max(axis=1, initial=0.0)
        return np.where(size > 0, size, 1.0)

    @cached_property
    def _corners(self) -> Array:
        """The extreme directions as combinations (m, q) of the columns of ``null``."""
        unit = self._unit[:, None]
        return np.asarray(np.linalg.lstsq(self.null / unit, self.extremes / unit, rcond=None)[0])

    def limits(self) -> Array:
        """Limits of these coefficients (k,): ±inf, or NaN where directions of separation disagree."""
        reach = self.extremes / self._unit[:, None]
        reach = np.column_stack([reach / np.abs(reach).max(axis=0, initial=1e-300), np.zeros(len(reach))])
        torn = (reach.max(axis=1) > DISAGREE) & (reach.min(axis=1) < -DISAGREE)
        with np.errstate(invalid="ignore"):
            return np.where(torn | (self.direction == 0), np.nan, np.sign(self.direction) * np.inf)

    def along(self, X: Array) -> tuple[Array, Mask]:
        """Where x'β goes for every row: 1, −1, or 0 where it stays or directions disagree.

        And whether the row moves at all.
        """
        parts = [self._along(X[i : i + 4096]) for i in range(0, len(X), 4096)]
        return np.concatenate([np.zeros(0), *(m for m, _ in parts)]), np.concatenate(
            [np.zeros(0, bool), *(v for _, v in parts)]
        )

    def _along(self, X: Array) -> tuple[Array, Mask]:
        V = X @ self.null
        terms = np.abs(X) @ np.where(self.masked(), self._unit, 0.0)  # what entries of the null are right to
        V[np.abs(V) <= ON_FACE * terms[:, None]] = 0.0
        size = np.abs(V).max(axis=1, initial=0.0)
        moves = np.asarray(size > 0)
        V = V / np.where(moves, size, 1.0)[:, None]
        way = np.sign(_product(X, self.direction[:, None], ON_FACE)[:, 0])
        way[np.any(_product(V, self._corners, DISAGREE) * way[:, None] < 0, axis=1)] = 0.0
        if self.separated is None or not len(self.separated):
            return way, moves
        same = same_rows(V, self.separated)  # as a separated row, whose limit is the outcome that it has
        if self.extremes.shape[1] != self.null.shape[1]:  # else they are all edges, and decide alone
            asked = np.flatnonzero((same == 0) & (way != 0))
            way[asked[~spanned(V[asked] * way[asked, None], self.separated)]] = 0.0
        return np.where(same != 0, same, way), moves


def _product(X: Array, D: Array, share: float) -> Array:
    """X·D, zero where no more than a share of the terms is left."""
    move = X @ D
    return np.where(np.abs(move) <= share * (np.abs(X) @ np.abs(D)), 0.0, move)


@dataclass(frozen=True, eq=False)
class FittedIndex:
    """The index of a fit with its law: coefficients (k,), their covariance, degrees of freedom of t (∞.

    Normal).

    ``constant`` is what FLIC adds to x'β under a penalty, ``infinite`` where separation decides.
    """

    kernel: Kernel
    coefficients: Array
    covariance: Covariance
    df: float
    infinite: Infinite | None
    constant: float

    def value(self, X: Array, offset: Array | None) -> Array:
        """x'β + offset (+ the constant) of rows (m, k).

        ±inf where separation decides, NaN where nobody knows.
        """
        eta = index(Block(np.empty(0), X, None, offset), self.coefficients) + self.constant
        if self.infinite is None:
            return eta
        d, moves = self.infinite.along(X)
        with np.errstate(invalid="ignore"):
            return np.where(moves, np.where(d == 0, np.nan, d * np.inf), eta)

    def error(self, X: Array) -> Array:
        """Standard error of x'β (m,); NaN where separation decides.

        The limit is certain of these rows only.
        """
        se = self.covariance.errors(X, ROWS)
        return se if self.infinite is None else np.where(self.infinite.along(X)[1], np.nan, se)

    def probability(self, X: Array, offset: Array | None) -> Array:
        """P(y = 1 | x) of rows (m,)."""
        return self.kernel.probability(self.value(X, offset))
