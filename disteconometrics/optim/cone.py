"""How far the directions of separation reach: which signs all of them share.

With one direction, the infinite coefficients have its signs.  With several, a sign (of a coefficient, or of
x'd for a row to predict) is determined only if every direction agrees.  Where the cone has as many faces as
dimensions, as with the levels of a factor, its edges are the columns of an inverse; else linear programs find
the directions that go furthest either way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block, chosen_rows
from disteconometrics.optim.separation import Separation

__all__ = ["extreme_directions"]


MOST_ROWS = 20_000  # distinct ones, beyond which the programs would take longer than the fit
MOST_COEFFICIENTS = 60
SIMPLE = 1e8  # condition of a cone whose edges are computed


def extreme_directions(blocks: Sequence[Block], separation: Separation) -> Array:
    """Directions of separation (k, q) that go furthest, or all edges of their cone.

    There are none when there is only one direction.

    Parameters
    ----------
    blocks : the rows that were searched.
    separation : what was found.

    Returns
    -------
    (k, q) float64 array; all ±e_j of the free coefficients where the problem is too large to decide (nothing
    is then determined).
    """
    null = separation.null
    free = np.flatnonzero(np.any(null != 0, axis=1))
    if null.shape[1] < 2:
        return np.zeros((len(null), 0))
    rows = _distinct(blocks, separation)
    # {c : M·c ≥ 0} has the columns of M⁻¹ as its edges
    if len(rows) == null.shape[1] and np.linalg.cond(rows) < SIMPLE:
        return null @ np.linalg.inv(rows)
    if len(rows) > MOST_ROWS or len(free) > MOST_COEFFICIENTS:
        signs = np.zeros((len(null), 2 * len(free)))
        signs[free, np.arange(len(free))] = 1.0
        signs[free, len(free) + np.arange(len(free))] = -1.0
        return signs
    from scipy.optimize import linprog  # slow to import, and seldom needed

    found = []
    for j in free:
        for sign in (1.0, -1.0):
            c = sign * null[j] / np.abs(null[j]).max()
            program = linprog(c, A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1), method="highs")
            if program.x is not None:
                found.append(null @ program.x)
    return np.array(found).T if found else np.zeros((len(null), 0))


def _distinct(blocks: Sequence[Block], separation: Separation) -> Array:
    """Distinct rows s_i·x_i'N of the separated rows, each at unit length (u, m)."""
    parts = []
    separated = np.zeros(sum(len(b.y) for b in blocks), dtype=bool)
    separated[separation.rows] = True
    for block in chosen_rows(blocks, separated):
        M = (block.X @ separation.null) * (2 * block.y[:, None] - 1)
        M /= np.maximum(np.abs(M).max(axis=1, keepdims=True, initial=0.0), 1e-300)
        parts.append(np.unique(np.round(M, 9), axis=0))
    return np.unique(np.concatenate(parts), axis=0)
