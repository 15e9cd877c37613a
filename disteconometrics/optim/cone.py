"""How far the directions of separation reach: which signs all of them share.

With one direction, the infinite coefficients have its signs.  With several, a sign (of a coefficient, or of
x'd for a row to predict) is determined only if every direction agrees.  Where the cone has as many faces as
dimensions, as with the levels of a factor, its edges are the columns of an inverse; else linear programs find
the directions in which coefficients go furthest either way, and a row is determined if it is a sum of
separated rows with weights that are not negative (Farkas' lemma), as each of these is by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from disteconometrics.arrays import Array, Mask, as_floats
from disteconometrics.blocks import Block, chosen_rows
from disteconometrics.optim.separation import Separation

__all__ = ["extreme_directions", "generators", "same_rows", "spanned"]


MOST_ROWS = 20_000  # distinct ones, beyond which the programs would take longer than the fit
MOST_COEFFICIENTS = 60
MOST_KEPT = 2_000_000  # entries of distinct rows
SIMPLE = 1e8  # condition of a cone whose edges are computed
DIGITS = 9  # of unit rows, in which equal ones agree
MOST_WORK = 1e10  # of proofs, in products


def generators(blocks: Sequence[Block], separation: Separation) -> Array:
    """Distinct rows s_i·x_i'N of the separated rows (u, m), N their null, each with a largest entry of one.

    The directions of separation are N·c with all of these times c at least zero; none are given where there
    is only one direction, or where they are too many to keep.
    """
    if separation.null.shape[1] < 2:
        return np.zeros((0, separation.null.shape[1]))
    rows = _distinct(blocks, separation)
    return rows if rows.size <= MOST_KEPT else rows[:0]


def extreme_directions(rows: Array, null: Array) -> Array:
    """Directions of separation (k, q) that go furthest, or all edges of their cone, which are m.

    There are none when there is only one direction.

    Parameters
    ----------
    rows : (u, m) float64 array, from `generators`.
    null : (k, m) float64 array, of the separation.

    Returns
    -------
    (k, q) float64 array; both ways along every column of ``null`` where the problem is too large to decide
    (nothing is then determined).
    """
    free, m = np.flatnonzero(np.any(null != 0, axis=1)), null.shape[1]
    if m < 2:
        return np.zeros((len(null), 0))
    # {c : M·c ≥ 0} has the columns of M⁻¹ as its edges
    if len(rows) == m and np.linalg.cond(rows) < SIMPLE:
        return null @ np.linalg.inv(rows)
    if not 0 < len(rows) <= MOST_ROWS or len(free) > MOST_COEFFICIENTS:
        return np.hstack([null, -null])
    from scipy.optimize import linprog  # slow to import, and seldom needed

    found = []
    for j in free:
        for sign in (1.0, -1.0):
            c = sign * null[j] / np.abs(null[j]).max()
            program = linprog(c, A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
            if program.x is not None:
                found.append(null @ program.x)
    return np.array(found).T if found else np.zeros((len(null), 0))


def same_rows(V: Array, rows: Array) -> Array:
    """For each unit row of V (r, m) 1.0 if it is among ``rows`` (u, m), −1.0 if its opposite is, else 0.0.

    Examples
    --------
    >>> same_rows(np.array([[1.0, 0.5], [-1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.5], [1.0, 0.0]]))
    array([ 1., -1.,  0.])
    """
    out, near = np.zeros(len(V)), 2.0 * 10.0**-DIGITS
    weights = as_floats(np.random.default_rng(0).random(V.shape[1])) + 0.5
    reach = near * float(weights.sum())
    key: Array = rows @ weights  # equal where rows are: only those near in it are compared
    order = np.argsort(key)
    for sign in (1.0, -1.0):
        own: Array = sign * (V @ weights)
        first = np.searchsorted(key, own - reach, sorter=order)
        end = np.searchsorted(key, own + reach, sorter=order)
        for step in range(int(np.max(end - first, initial=0))):
            at = np.flatnonzero(first + step < end)
            off = np.abs(sign * V[at] - rows[order[first[at] + step]]).max(axis=1)
            out[at[off <= near]] = sign
    return out


def spanned(V: Array, rows: Array) -> Mask:
    """Which rows of V (r, m) are sums of ``rows`` (u, m) with weights that are not negative.

    By Farkas' lemma these are the v with v'c ≥ 0 for all c that ``rows`` allow.  Where there are too many to
    look at, none is said to be.

    Examples
    --------
    >>> spanned(np.array([[2.0, 1.0], [1.0, -1.0]]), np.eye(2))
    array([ True, False])
    """
    from scipy.optimize import nnls

    _, first, inverse = np.unique(np.round(V, DIGITS), axis=0, return_index=True, return_inverse=True)
    if len(first) * rows.size * V.shape[1] > MOST_WORK:
        return np.zeros(len(V), dtype=bool)
    rest = np.array([nnls(rows.T, v)[1] for v in V[first]])
    return np.asarray((rest <= 10.0**-DIGITS)[inverse.reshape(-1)], dtype=bool)


def _distinct(blocks: Sequence[Block], separation: Separation) -> Array:
    """Distinct rows s_i·x_i'N of the separated rows, each with a largest entry of one (u, m)."""
    parts = []
    separated = np.zeros(sum(len(b.y) for b in blocks), dtype=bool)
    separated[separation.rows] = True
    for block in chosen_rows(blocks, separated):
        M = (block.X @ separation.null) * (2 * block.y[:, None] - 1)
        M /= np.maximum(np.abs(M).max(axis=1, keepdims=True, initial=0.0), 1e-300)
        parts.append(_once(M))
    return _once(np.concatenate(parts))


def _once(rows: Array) -> Array:
    """The rows that differ."""
    return rows[np.unique(np.round(rows, DIGITS), axis=0, return_index=True)[1]]
