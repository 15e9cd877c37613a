"""Separation of outcomes in several categories, each as that of a binary outcome with several rows for a row.

A direction along which no row's likelihood falls is one of a binary outcome whose rows are the differences
that a row compares: its two ends (ordered), the index of what occurred less that of every other category
(multinomial; Albert and Anderson 1984), or of the alternative that was chosen less that of every other one of
its set (conditional; with several successes, every pair of a success and a failure).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.blocks import Block, LazyBlocks
from disteconometrics.optim.separation import Separation, find_separation

__all__ = ["conditional_separation", "multinomial_separation", "ordered_separation"]

KEEP = 4_000_000  # entries of differences that are held in memory; more are made again in every pass
ROWS = 4096  # whose differences are made at once


def _found(blocks: Sequence[Block], rows: Indices, candidates: Sequence[Array] = ()) -> Separation | None:
    """The separation of compared rows, told by the rows of the data that these belong to."""
    found = find_separation(blocks, candidates)
    if found is None:
        return None
    return Separation(found.kind, found.direction, np.unique(rows[found.rows]), found.null)


def ordered_separation(X: Array, y: Indices, thresholds: int) -> Separation | None:
    """A direction of (β, c) along which no row's likelihood falls, if there is one; ``rows`` are those of X.

    Parameters
    ----------
    X : (n, k) float64 array, without a constant.
    y : (n,) intp array, categories from 0.
    thresholds : int, J − 1.

    Examples
    --------
    >>> ordered_separation(np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 2]), 2).kind
    'complete'
    """
    upper, lower = np.flatnonzero(y < thresholds), np.flatnonzero(y > 0)
    rows, at = np.concatenate([upper, lower]), np.concatenate([y[upper], y[lower] - 1])
    D = np.column_stack([-X[rows], at[:, None] == np.arange(thresholds)]).astype(np.float64)
    outcome = np.concatenate([np.ones(len(upper)), np.zeros(len(lower))])
    return _found([Block(outcome, D)], rows)


def multinomial_separation(
    X: Array, y: Indices, categories: int, candidates: Sequence[Array] = ()
) -> Separation | None:
    """A direction of coefficients by category along which no row's likelihood falls, if there is one.

    Parameters
    ----------
    X : (n, k) float64 array with independent columns.
    y : (n,) intp array, categories from 0, the base 0; all occur.
    categories : int, J.
    candidates : (k(J − 1),) float64 arrays, directions to try first.

    Returns
    -------
    Separation or None
        Its direction (k(J − 1),) is by category and then column; its ``rows`` are those of X.

    Examples
    --------
    >>> X = np.column_stack([np.ones(6), np.arange(6.0)])
    >>> multinomial_separation(X, np.array([0, 0, 1, 1, 2, 2]), 3).kind
    'complete'
    >>> multinomial_separation(X, np.array([0, 2, 1, 1, 0, 2]), 3) is None
    True
    """
    q = categories - 1
    parts = [Block(y[i : i + ROWS].astype(np.float64), X[i : i + ROWS]) for i in range(0, len(y), ROWS)]
    keep = len(y) * q * q * X.shape[1] <= KEEP
    blocks = LazyBlocks(parts, partial(_compared, categories), keep)
    return _found(blocks, np.repeat(np.arange(len(y)), q), candidates)


def _compared(categories: int, part: Block) -> Block:
    """Differences of the indices of what occurred and every other category, by row (m(J − 1), k(J − 1))."""
    y, X = part.y.astype(np.intp), part.X
    others = np.arange(categories - 1) + (np.arange(categories - 1) >= y[:, None])
    signs = (np.arange(categories) == y[:, None, None]) * 1.0 - (np.arange(categories) == others[:, :, None])
    D = signs[:, :, 1:, None] * X[:, None, None, :]
    return Block(np.ones(others.size), D.reshape(others.size, -1))


def conditional_separation(
    X: Array, y: Array, starts: Indices, candidates: Sequence[Array] = ()
) -> Separation | None:
    """A direction along which no set's likelihood falls, if there is one; ``rows`` are positions of sets.

    Parameters
    ----------
    X : (N, k) float64 array of the alternatives, set by set, whose columns are independent inside sets.
    y : (N,) float64 array of 0.0 and 1.0, some of each in every set.
    starts : (n,) intp array, first rows of sets.
    candidates : (k,) float64 arrays, directions to try first.

    Examples
    --------
    >>> X, y = np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([0.0, 1.0, 0.0, 1.0])
    >>> conditional_separation(X, y, np.array([0, 2])).kind
    'complete'
    """
    ends = np.append(starts[1:], len(y))
    pairs = [
        _pairs(np.flatnonzero(y[a:b] == 1) + a, np.flatnonzero(y[a:b] == 0) + a)
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    won, lost = np.concatenate(pairs, axis=1)
    rows = np.repeat(np.arange(len(starts)), [p.shape[1] for p in pairs])
    return _found([Block(np.ones(len(won)), X[won] - X[lost])], rows, candidates)


def _pairs(won: Indices, lost: Indices) -> Indices:
    """Every success beside every failure (2, successes·failures)."""
    return np.stack([np.repeat(won, len(lost)), np.tile(lost, len(won))])
