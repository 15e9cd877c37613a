"""Least squares to the last digits, on columns that are written out and beside a factor kept as codes.

Columns: T makes Z = X·T orthonormal over the rows (QR, an error-free product), and one step of refinement
corrects the solution.  Beside a factor, whose levels D the columns span, the means of levels are taken out of
the other columns V and of the outcome; Z = [Ṽ·T_V, D] is then orthogonal by construction, and the work is
rows × other columns.  Since X'X = Ṽ'Ṽ + Σ_g n_g x̄_g x̄_g', with x̄_g the mean row of a level, the rank of X is
that of as many rows as there are levels.

References
----------
Frisch, Waugh (1933), Partial time regressions as compared with individual trends, Econometrica 1,
doi:10.2307/1907330.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats, or_ones
from disteconometrics.blocks import Block, FactorMatrix, columns
from disteconometrics.checks import unsquarable
from disteconometrics.optim.rank import check_rank, tsqr
from disteconometrics.optim.whiten import (
    OutOfRange,
    RankDeficient,
    accurate_product,
    power_of_two,
    require_rows,
    triangle_inverse,
)

__all__ = ["Squares", "WhiteRows", "least_squares"]

SAFE = 1e-10  # share of the smallest eigenvalue of a Gram matrix that still has digits
INVERTIBLE = 1e8  # condition of a coding by which levels are told from its columns


class WhiteRows(Protocol):
    """Rows of Z (n, k), some at a time, and their weighted products."""

    def __getitem__(self, rows: slice) -> Array: ...
    def gram(self, mass: Array) -> Array:
        """Z'WZ (k, k)."""


@dataclass(frozen=True, eq=False)
class Squares:
    """Least squares in coordinates c, β = T·c.

    Rows of Z = X·T (n, k), T (k, k), c (k,), residuals (n,), condition of X with columns of unit length.
    """

    rows: WhiteRows
    basis: Array
    coordinates: Array
    residuals: Array
    condition: float

    @property
    def params(self) -> Array:
        """β (k,)."""
        return self.basis @ self.coordinates


@dataclass(frozen=True, eq=False)
class _Columns:
    """Z in memory."""

    Z: Array

    def __getitem__(self, rows: slice) -> Array:
        return self.Z[rows]

    def gram(self, mass: Array) -> Array:
        return (self.Z * mass[:, None]).T @ self.Z


@dataclass(frozen=True, eq=False)
class _BesideFactor:
    """Z = [U, D]: U (n, p) without means of levels, and one column for each of the levels of codes (n,)."""

    U: Array
    codes: Indices
    levels: int

    def __getitem__(self, rows: slice) -> Array:
        U, codes = self.U[rows], self.codes[rows]
        Z = np.zeros((len(U), U.shape[1] + self.levels))
        Z[:, : U.shape[1]] = U
        Z[np.arange(len(U)), U.shape[1] + codes] = 1.0
        return Z

    def gram(self, mass: Array) -> Array:
        p, weighted = self.U.shape[1], self.U * mass[:, None]
        H = np.zeros((p + self.levels,) * 2)
        H[:p, :p] = weighted.T @ self.U
        H[:p, p:] = _sums(weighted, self.codes, self.levels).T
        H[p:, :p] = H[:p, p:].T
        H[np.arange(p, len(H)), np.arange(p, len(H))] = np.bincount(self.codes, mass, self.levels)
        return H


def least_squares(X: Array | FactorMatrix, y: Array, weights: Array | None = None) -> Squares:
    """Weighted least squares.

    Parameters
    ----------
    X : (n, k) float64 array or FactorMatrix.
    y : (n,) float64 array.
    weights : (n,) positive float64 array, or None.

    Returns
    -------
    Squares

    Raises
    ------
    RankDeficient, OutOfRange

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 3.0]])
    >>> least_squares(X, np.array([1.0, 3.0, 7.0])).params.round(9)
    array([1., 2.])
    """
    require_rows(*X.shape)
    coded: Any = X
    levels = _Levels.of(coded) if isinstance(coded, FactorMatrix) else None
    return _of_columns(columns(coded), y, weights) if levels is None else levels.squares(y, weights)


def _check_size(X: Array) -> Array:
    """Largest absolute values of the columns, whose squares float64 must hold."""
    largest = np.abs(X).max(axis=0, initial=0.0)
    wild = unsquarable(largest)
    if wild.any():
        raise OutOfRange(np.flatnonzero(wild).tolist())
    return as_floats(largest)


def _of_columns(X: Array, y: Array, w: Array | None) -> Squares:
    n, blocks, largest = len(X), [Block(y, X)], _check_size(X)
    rank = check_rank(blocks)
    if rank.dropped:
        raise RankDeficient(rank)
    scale = power_of_two(largest)
    T: Array = triangle_inverse(np.triu(tsqr(blocks, scale))) / scale[:, None] * np.sqrt(n)
    Z = accurate_product(X, T, scale)
    weighted = Z if w is None else Z * w[:, None]
    gram = weighted.T @ Z
    c = np.linalg.solve(gram, weighted.T @ y)
    c = c + np.linalg.solve(gram, weighted.T @ (y - Z @ c))
    return Squares(_Columns(Z), T, as_floats(c), y - Z @ c, rank.condition)


def _sums(rows: Array, codes: Indices, levels: int) -> Array:
    """Sums of rows (n, p) by level (levels, p)."""
    return np.array([np.bincount(codes, column, levels) for column in rows.T]).reshape(-1, levels).T


@dataclass(frozen=True, eq=False)
class _Levels:
    """A design whose columns span the levels of its factor.

    ``V`` (n, p) are the columns ``others`` without factor and constant; values of the levels are ``coding``
    (levels, levels) times the coefficients of the columns ``own``, the constant and those of the factor.
    """

    X: FactorMatrix
    V: Array
    others: Indices
    own: Indices
    coding: Array
    inverse: Array

    @classmethod
    def of(cls, X: FactorMatrix) -> _Levels | None:
        """The levels of a design's factor, or None where its columns do not span them."""
        levels, width = X.coding.shape
        rest = np.delete(np.arange(X.shape[1]), slice(X.at, X.at + width))
        constant = np.flatnonzero((np.ptp(X.other, axis=0) == 0) & (X.other[0] != 0))[: levels - width]
        empty = np.bincount(X.codes, minlength=levels).min() == 0
        if empty or width + len(constant) != levels:
            return None
        ones = np.broadcast_to(X.other[:1, constant], (levels, len(constant)))
        coding = np.hstack([ones, X.coding])
        try:
            inverse = np.linalg.inv(coding)
        except np.linalg.LinAlgError:
            return None
        if np.linalg.norm(coding, 1) * np.linalg.norm(inverse, 1) > INVERTIBLE:
            return None
        own = np.concatenate([rest[constant], np.arange(X.at, X.at + width)]).astype(np.intp)
        V = np.delete(X.other, constant, axis=1)
        return cls(X, V, np.delete(rest, constant), own, as_floats(coding), as_floats(inverse))

    def squares(self, y: Array, w: Array | None) -> Squares:
        """Means of levels are taken out of the other columns, which are then whitened among themselves."""
        codes, levels, n = self.X.codes, len(self.coding), len(y)
        mass = or_ones(w, n)
        total = np.bincount(codes, mass, levels)
        size = np.zeros(self.X.shape[1])
        size[self.others], size[self.own] = np.abs(self.V).max(axis=0, initial=0.0), 1.0
        _check_size(size[None])

        def means(rows: Array) -> Array:
            return _sums(rows * mass[:, None], codes, levels) / total[:, None]

        A = means(self.V)
        within = self.V - A[codes]
        A, within = A + (more := means(within)), within - more[codes]
        condition = self._condition(A, within)
        p = self.V.shape[1]
        scale = power_of_two(np.abs(within).max(axis=0, initial=0.0))
        root = np.sqrt(mass)[:, None]
        R = np.triu(tsqr([Block(y, within * root)], scale)) if p else np.zeros((0, 0))
        T = triangle_inverse(R) / scale[:, None] * np.sqrt(n) if p else R
        U = accurate_product(within, T, scale) if p else within
        gram = (U * mass[:, None]).T @ U
        c, level, rest = np.zeros(p), np.zeros(levels), y
        for _ in range(2):  # the second corrects the rounding of the first
            step = np.linalg.solve(gram, U.T @ (mass * rest)) if p else c
            more_c, more_level = step, means((rest - U @ step)[:, None])[:, 0]
            c, level = c + more_c, level + more_level
            rest = y - U @ c - level[codes]
        basis = np.zeros((len(size), len(size)))
        basis[np.ix_(self.others, np.arange(p))] = T
        basis[np.ix_(self.own, np.arange(p))] = -self.inverse @ (A @ T)
        basis[np.ix_(self.own, np.arange(p, len(size)))] = self.inverse
        return Squares(_BesideFactor(U, codes, levels), basis, np.concatenate([c, level]), rest, condition)

    def _condition(self, A: Array, within: Array) -> float:
        """Condition of X: by X'X where its eigenvalues have digits, else by a row for each level.

        Raises
        ------
        RankDeficient
        """
        gram = self.X.gram(np.ones(len(within)))
        unit = np.sqrt(np.diagonal(gram))
        if np.all(unit > 0):
            values = np.linalg.eigvalsh(gram / unit / unit[:, None])
            if values[0] > SAFE * values[-1]:
                return float(np.sqrt(values[-1] / values[0]))
        codes, levels, k = self.X.codes, len(self.coding), self.X.shape[1]
        counts = np.bincount(codes, minlength=levels)
        between = _sums(within, codes, levels) / counts[:, None]  # zero without weights
        apart = within - between[codes]
        rows = np.zeros((len(self.others) + levels, k))
        if len(self.others):
            rows[: len(self.others), self.others] = tsqr([Block(apart[:, 0], apart)])
        rows[len(self.others) :, self.others] = A + between
        rows[len(self.others) :, self.own] = self.coding
        rows[len(self.others) :] *= np.sqrt(counts)[:, None]
        rank = check_rank([Block(np.zeros(len(rows)), rows)])
        if rank.dropped:
            raise RankDeficient(rank)
        return rank.condition
