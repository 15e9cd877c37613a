"""Rank of a design and the exact combination behind collinear columns.

A Gram matrix X'WX is at hand after every pass of an engine, but it squares the condition number: a pair of
columns that agree to eight digits is not collinear, yet its Gram is singular in float64.  So the Gram may
only say *full rank*.  Whenever its smallest pivot is not clearly positive, the verdict is made again from the
rows themselves:

1. R of X = QR by Householder reflections, a chunk of rows at a time stacked on the R so far (``tsqr``), k × k
memory; 2. columns of R brought to unit norm, QR with column pivoting: a pivot below ``rank_tolerance`` is a
dependence; 3. the null vectors are solved so that the *last* columns of each dependence are the dropped ones,
as R and Stata do, and
   written with as few columns as leave the residual at rounding level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack, qr, solve_triangular

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block, width
from disteconometrics.likelihoods.index_model import chunks

__all__ = [
    "Rank",
    "check_rank",
    "column_scale",
    "rank_of_triangle",
    "rank_tolerance",
    "stack_r",
    "tsqr",
]

EPS = float(np.finfo(np.float64).eps)
CHUNK_BYTES = 1 << 20  # a chunk and its Householder work stay in the second-level cache
SAFE_PIVOT = 1e-10  # Gram pivots (squares!) above it carry ≥ 5 digits, whatever n: full rank is certain
CLEAR_PART = 1e-5  # a column whose share of a null vector is smaller is never the one expressed by the others
SUPPORTS = (1e-3, 1e-6, 1e-9)  # contributions below are tried as zero, the sparsest first


@dataclass(frozen=True)
class Rank:
    """The rank of a design, the columns to keep and the dependences.

    Attributes
    ----------
    rank : int
        Number of linearly independent columns.
    kept, dropped : tuple of int
        Column positions, increasing; ``dropped`` are combinations of ``kept``.
    combinations : tuple of ndarray (k,), float64
        One for each dropped column j: coefficients c, zero outside ``kept``, with x_j = Σ_l c_l x_l.
    condition : float
        2-norm condition number of the kept columns at unit norm (1 is orthogonal, 1/eps is collinear).

    Examples
    --------
    >>> import numpy as np
    >>> rank_of_triangle(np.array([[2.0, 1.0], [0.0, 2.0]]), n=10).rank
    2
    """

    rank: int
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    combinations: tuple[Array, ...]
    condition: float


def rank_tolerance(n: int, k: int) -> float:
    """Relative size of a pivot of R below which a column is a combination of others.

    It allows for the rounding of n rows and k columns.

    Parameters
    ----------
    n, k : int
        Rows and columns.

    Returns
    -------
    float
        eps · (256 + 16 k + √n), between 6e-14 and 1e-12 in practice.

    Examples
    --------
    >>> 6e-14 < rank_tolerance(100, 3) < 1e-13
    True
    """
    return EPS * (256.0 + 16.0 * k + float(np.sqrt(n)))


def column_scale(column_max: Array) -> Array:
    """Powers of two that bring columns to size one, so that scaling never rounds.

    Parameters
    ----------
    column_max : ndarray (k,), float64
        Largest absolute value of each column; zero gives scale one.

    Returns
    -------
    ndarray (k,), float64
        scale_j = 2^p with 1/2 ≤ column_max_j / scale_j < 1.

    Examples
    --------
    >>> import numpy as np
    >>> column_scale(np.array([3.0, 0.0, 0.3])).tolist()
    [4.0, 1.0, 0.5]
    """
    _, exponent = np.frexp(column_max)
    scale: Array = np.ldexp(1.0, np.clip(np.where(column_max > 0, exponent, 0), -1000, 1000))
    return scale


def stack_r(pieces: Iterable[Array], k: int) -> Array:
    """R factor of rows that arrive a chunk at a time (sequential TSQR).

    Parameters
    ----------
    pieces : iterable of ndarray (m, k), float64
        Rows, already scaled; not changed.
    k : int
        Columns.

    Returns
    -------
    ndarray (k, k), float64
        Upper triangular R with R'R = X'X; zero rows when there are fewer than k rows.

    References
    ----------
    Demmel, Grigori, Hoemmen & Langou (2012), Communication-optimal parallel and sequential QR, arXiv
    0808.2664.

    Examples
    --------
    >>> import numpy as np
    >>> R = stack_r([np.array([[3.0, 0.0]]), np.array([[4.0, 1.0]])], 2)
    >>> np.round(R.T @ R, 12).tolist()
    [[25.0, 4.0], [4.0, 1.0]]
    """
    R = np.zeros((k, k))
    for rows in _gathered(pieces, 2 * k):
        stacked = np.empty((k + len(rows), k), order="F")
        stacked[:k] = R
        stacked[k:] = rows
        factor, *_ = lapack.dgeqrf(stacked, overwrite_a=1)
        R = np.triu(factor[:k])
    return R


def _gathered(pieces: Iterable[Array], least: int) -> Iterator[Array]:
    """The same rows in pieces of at least so many, but for the last, since each costs a factorisation."""
    parts: list[Array] = []
    for rows in pieces:
        parts.append(rows)
        if sum(map(len, parts)) >= least:
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)
            parts = []
    if sum(map(len, parts)):
        yield np.concatenate(parts)


def tsqr(blocks: Sequence[Block], scale: Array | None = None) -> Array:
    """R factor of X diag(1/scale) over blocks of rows, in k × k memory.

    Parameters
    ----------
    blocks : sequence of Block
        Rows; only ``X`` (m, k) is used here.
    scale : ndarray (k,), float64, optional
        Divided out of the columns; powers of two keep it exact.

    Returns
    -------
    ndarray (k, k), float64
        Upper triangular R; signs of its rows are arbitrary.

    Examples
    --------
    >>> import numpy as np
    >>> from disteconometrics.blocks import Block
    >>> X = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, 9.0]])
    >>> R = tsqr([Block(np.zeros(3), X)])
    >>> bool(np.allclose(R.T @ R, X.T @ X))
    True
    """
    k = width(blocks)
    size = max(CHUNK_BYTES // (8 * max(k, 1)), 4 * k, 64)
    return stack_r((part.X if scale is None else part.X / scale for part in chunks(blocks, size)), k)


def rank_of_triangle(R: Array, n: int) -> Rank:
    """Rank from the R factor of the rows, at the accuracy of the rows.

    Parameters
    ----------
    R : ndarray (k, k), float64
        From ``tsqr``, columns in any positive scale.
    n : int
        Rows.

    Returns
    -------
    Rank
        Combinations refer to the columns as scaled in R.

    References
    ----------
    Golub & Van Loan (2013), Matrix Computations, section 5.4 (QR with column pivoting).

    Examples
    --------
    >>> import numpy as np
    >>> rank_of_triangle(np.array([[2.0, 6.0], [0.0, 0.0]]), n=5).combinations[0].tolist()
    [3.0, 0.0]
    """
    norm = np.sqrt(np.sum(R * R, axis=0))
    unit = R / np.where(norm > 0, norm, 1.0)
    pivoted, order = qr(unit, mode="r", pivoting=True)
    tolerance = rank_tolerance(n, R.shape[1])
    rank = int(np.sum(np.abs(np.diag(pivoted)) > tolerance))
    k = len(norm)
    if rank == k:
        return Rank(k, tuple(range(k)), (), (), _condition(pivoted))
    # null vectors in unit columns: the trailing pivoted columns by the leading ones
    null = np.zeros((k, k - rank))
    if rank:
        null[order[:rank]] = -solve_triangular(pivoted[:rank, :rank], pivoted[:rank, rank:])
    null[order[rank:], np.arange(k - rank)] = 1.0
    dropped = _last_columns(null, norm)
    kept = [j for j in range(k) if j not in dropped]
    coef = np.linalg.lstsq(unit[:, kept], unit[:, dropped], rcond=None)[0]
    combos = tuple(_express(unit, norm, j, kept, c, tolerance) for j, c in zip(dropped, coef.T, strict=True))
    return Rank(rank, tuple(kept), tuple(dropped), combos, _condition(unit[:, kept]))


def check_rank(blocks: Sequence[Block], gram: Array | None = None) -> Rank:
    """Rank of the design: from the Gram when that is beyond doubt, else from the rows.

    Parameters
    ----------
    blocks : sequence of Block
        Rows; read only when the Gram leaves doubt.
    gram : ndarray (k, k), float64, optional
        Any X'WX with positive weights, of columns in any scale.

    Returns
    -------
    Rank
        Combinations in the units of the columns of ``blocks``.

    Examples
    --------
    >>> import numpy as np
    >>> from disteconometrics.blocks import Block
    >>> X = np.array([[1.0, 3, 0], [1, 3, 1], [1, 3, 5]])
    >>> found = check_rank([Block(np.zeros(3), X)])
    >>> found.dropped, found.combinations[0].round(12).tolist()
    ((1,), [3.0, 0.0, 0.0])
    """
    k = width(blocks)
    if gram is not None and np.all(np.isfinite(gram)) and np.all(np.diag(gram) > 0):
        root = np.sqrt(np.diag(gram))
        factor, _order, found, _ = lapack.dpstrf(gram / root / root[:, None], tol=0.0, lower=0)
        if found == k and k and factor[k - 1, k - 1] ** 2 > SAFE_PIVOT:
            return Rank(k, tuple(range(k)), (), (), _condition(np.triu(factor)))
    return rank_of_triangle(tsqr(blocks), sum(len(block.y) for block in blocks))


def _last_columns(null: Array, norm: Array) -> list[int]:
    """Columns to drop: the last one with a clear part in each null vector, by elimination from the end.

    Zero columns go first.
    """
    null = null.copy()
    dropped: list[int] = []
    free = list(range(null.shape[1]))
    candidates = sorted(range(len(norm)), key=lambda j: (norm[j] > 0, -j))
    for part in (CLEAR_PART, 0.0):  # again only if sizes were so uneven that the first round found too few
        for j in candidates:
            if not free or j in dropped:
                continue
            share = np.abs(null[j, free]) / np.max(np.abs(null[:, free]), axis=0)
            best = int(np.argmax(share))
            if share[best] <= part:
                continue
            pivot = free.pop(best)
            null[:, free] -= np.outer(null[:, pivot], null[j, free] / null[j, pivot])
            null[j, free] = 0.0
            dropped.append(j)
    return sorted(dropped)


def _express(unit: Array, norm: Array, j: int, kept: list[int], coef: Array, tolerance: float) -> Array:
    """Coefficients of column j on as few kept columns as the residual allows, in original units.

    ``coef`` are those on all of them.
    """
    full = np.zeros(len(norm))
    if norm[j] == 0 or not kept:
        return full
    target = unit[:, j]
    for part in SUPPORTS:
        support = np.flatnonzero(np.abs(coef) > part * np.max(np.abs(coef)))
        columns = [kept[m] for m in support]
        short = np.linalg.lstsq(unit[:, columns], target, rcond=None)[0]
        if np.linalg.norm(unit[:, columns] @ short - target) <= tolerance * max(1.0, np.max(np.abs(short))):
            full[columns] = short
            break
    else:
        full[kept] = coef
    scaled: Array = full * norm[j] / np.where(norm > 0, norm, 1.0)
    return scaled


def _condition(R: Array) -> float:
    """2-norm condition number of a factor with columns of unit norm.

    k is small beside n, so exact singular values are cheap.
    """
    if R.shape[1] == 0:
        return 1.0
    values: Any = np.linalg.svd(R, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")
