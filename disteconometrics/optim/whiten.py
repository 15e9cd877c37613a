"""Well-conditioned coordinates for an ill-conditioned design, without losing digits on the way.

With T upper triangular and Z = X·T nearly orthogonal, β = T·c and every sum over rows of Z is accurate to
rounding, however close to collinear X is.  What could lose digits is the product X·T, in which large terms
cancel.  So both factors are cut into a leading part of few bits, whose product float64 holds exactly, and a
small rest (error-free transformation of matrix products).

References
----------
Ozaki, Ogita, Oishi, Rump (2012), Error-free transformations of matrix multiplication by using fast routines
of matrix multiplication and its applications, Numerical Algorithms 59, doi:10.1007/s11075-011-9478-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil, log2
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from disteconometrics.arrays import Array, as_floats
from disteconometrics.blocks import Block, LazyBlocks, StreamedBlocks, dense_block, densified, width
from disteconometrics.checks import unsquarable
from disteconometrics.errors import CollinearityError, DataError
from disteconometrics.likelihoods.index_model import IndexModel, chunks
from disteconometrics.optim.rank import Rank, check_rank, tsqr

__all__ = [
    "OutOfRange",
    "RankDeficient",
    "Whitened",
    "Whitening",
    "accurate_product",
    "against_offset",
    "power_of_two",
    "require_rows",
    "triangle_inverse",
    "white_blocks",
    "whitened",
    "whitening",
]

CONDITION_QR = 1e6  # above it a Gram matrix cannot give the whitening, a QR factor of X can
KEEP = 4_000_000  # entries of Z held in memory; more are made again in every pass


def power_of_two(x: Array) -> Array:
    """Smallest powers of two that are at least |x|, one for zeros: dividing by them is exact."""
    mantissa, exponent = np.frexp(np.abs(x))
    exponent = np.where(mantissa == 0.5, exponent - 1, exponent)
    return np.where(x == 0, 1.0, np.ldexp(1.0, exponent))


def _leading_bits(x: Array, bits: int) -> Array:
    """Round |x| ≤ 1 to multiples of 2^-bits (adding and subtracting a large constant does it)."""
    sigma = 1.5 * 2.0 ** (52 - bits)
    return (x + sigma) - sigma


def accurate_product(X: Array, T: Array, scale: Array) -> Array:
    """X·T to about 75 bits before the final rounding.

    Parameters
    ----------
    X : (m, k) float64 array.
    T : (k, l) float64 array.
    scale : (k,) float64 array, powers of two that bound the columns of X.

    Returns
    -------
    (m, l) float64 array, row-major.

    Examples
    --------
    >>> X = np.array([[1e8 + 1, 1e8]])
    >>> accurate_product(X, np.array([[1e10], [-1e10]]), power_of_two(X[0]))
    array([[1.e+10]])
    """
    bits = (53 - ceil(log2(max(X.shape[1], 2)))) // 2
    Xs = X / scale
    Ts = T * scale[:, None]
    t = power_of_two(np.abs(Ts).max(axis=0))
    Ts /= t
    X_hi, T_hi = _leading_bits(Xs, bits), _leading_bits(Ts, bits)
    Xs -= X_hi
    product = X_hi @ T_hi  # exact: every partial sum fits 53 bits
    product += X_hi @ (Ts - T_hi) + Xs @ Ts
    product *= t
    return product


class RankDeficient(CollinearityError):
    """The columns are dependent; ``rank`` says how, for the caller to put into names."""

    def __init__(self, rank: Rank) -> None:
        super().__init__(f"the design has rank {rank.rank} with {rank.rank + len(rank.dropped)} columns")
        self.rank = rank


class OutOfRange(DataError):
    """Columns whose squares float64 cannot hold; ``columns`` are their positions."""

    def __init__(self, columns: list[int]) -> None:
        super().__init__(f"columns {columns} are too large or too small to be squared")
        self.columns = columns


def require_rows(n: int, k: int) -> None:
    """Refuse fewer rows than columns, which are dependent, before any work that grows with k³."""
    if n < k:
        raise RankDeficient(Rank(n, tuple(range(n)), tuple(range(n, k)), (), np.inf))


class Whitened(NamedTuple):
    """A model in coordinates c, β = T·c, in which its columns are orthonormal over the rows.

    ``model`` is summed over blocks of Z = X·T, ``basis`` is T (k, k); ``column_max`` (k,) and ``condition``
    belong to X.
    """

    model: IndexModel
    basis: Array
    column_max: Array
    condition: float


def whitened(model: IndexModel) -> Whitened:
    """Whiten a model, once its columns are known to be independent and of a size that can be squared.

    Parameters
    ----------
    model : IndexModel over k columns.

    Returns
    -------
    Whitened

    Raises
    ------
    RankDeficient, OutOfRange

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> X = np.array([[1.0, 0.0], [1.0, 1e-8], [1.0, 2e-8]])
    >>> Z = whitened(IndexModel(LOGISTIC, [Block(np.array([0.0, 1.0, 0.0]), X)])).model.blocks[0].X
    >>> np.allclose(Z.T @ Z / 3, np.eye(2), atol=1e-8)
    True
    """
    found = whitening(model)
    blocks = white_blocks(model.blocks, found.basis, found.column_max)
    return Whitened(IndexModel(model.kernel, blocks, model.rows, model.last), *found)


class Whitening(NamedTuple):
    """T (k, k) that makes columns orthonormal over the rows, and their largest values and condition."""

    basis: Array
    column_max: Array
    condition: float


def whitening(model: IndexModel) -> Whitening:
    """What whitens a model, whose columns are known to be independent and of a size that can be squared.

    Raises
    ------
    RankDeficient, OutOfRange

    Examples
    --------
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> whitening(IndexModel(LOGISTIC, [Block(np.zeros(4), np.full((4, 1), 2.0))])).basis.tolist()
    [[0.5]]
    """
    require_rows(model.rows, width(model.blocks))
    dense = IndexModel(model.kernel, densified(model.blocks), model.rows)
    column_max = dense.column_maxima()
    wild = unsquarable(column_max)
    if wild.any():
        raise OutOfRange(np.flatnonzero(wild).tolist())
    gram = np.zeros((len(column_max),) * 2)
    for block in chunks(dense.blocks):
        gram += block.X.T @ block.X
    rank = check_rank(dense.blocks, gram)
    if rank.dropped:
        raise RankDeficient(rank)
    return Whitening(_basis(dense, gram, rank, column_max), column_max, rank.condition)


def white_blocks(blocks: Sequence[Block], T: Array, column_max: Array) -> Sequence[Block]:
    """Blocks of Z = X·T, made a chunk at a time when iterated, or kept when they are small.

    Parameters
    ----------
    blocks : sequence of Block with k columns.
    T : (k, k) float64 array.
    column_max : (k,) float64 array, largest absolute value of every column of X.

    Returns
    -------
    sequence of Block
    """
    make = partial(_white_block, T, power_of_two(column_max))  # which can be pickled, as results are
    if isinstance(blocks, StreamedBlocks):
        return blocks.mapped(make)
    parts = list(chunks(blocks))
    return LazyBlocks(parts, make, keep=sum(part.X.size for part in parts) <= KEEP)


def _white_block(T: Array, scale: Array, part: Block) -> Block:
    return part._replace(X=accurate_product(dense_block(part).X, T, scale))


def _basis(model: IndexModel, gram: Array, rank: Rank, column_max: Array) -> Array:
    """T with (X·T)'(X·T)/n near the identity."""
    if rank.condition < CONDITION_QR:
        s = power_of_two(np.sqrt(np.diagonal(gram)))
        R, info = lapack.dpotrf(gram / np.outer(s, s), lower=0, clean=1)
        if info == 0:
            return np.asarray(triangle_inverse(R) / s[:, None] * np.sqrt(model.rows))
    s = power_of_two(column_max)
    return np.asarray(triangle_inverse(np.triu(tsqr(model.blocks, s))) / s[:, None] * np.sqrt(model.rows))


def against_offset(white: IndexModel) -> Array:
    """The start −Z'o/n, which takes out of the offset what the columns can.

    Indices start as small as they can be.
    """
    parts = [block.offset @ block.X for block in white.blocks if block.offset is not None]
    if not parts:
        return np.zeros(width(white.blocks))
    return as_floats(-np.sum(parts, axis=0) / white.rows)


def triangle_inverse(R: Array) -> Array:
    """R⁻¹ of an upper triangular R (k, k)."""
    x, info = lapack.dtrtri(R, lower=0)
    assert info == 0
    return np.asarray(x)
