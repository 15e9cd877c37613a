"""Integrals of distribution functions of spline laws below an outcome, with gradients in θ.

Every row has its own end among the knots, but on a panel its linear forms A(r, x) are polynomials in r: so
those at a few points that rows share, with weights of each row, are all that gradients need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.distributions.spline_pieces import NODES, WEIGHTS, node_counts, panels
from disteconometrics.likelihoods.monotone import BaseLaw
from disteconometrics.likelihoods.row_sums import RowTransform

__all__ = ["integrals_below"]

SHARE = (NODES + 1) / 2
POWER = 8  # the lower tail's points crowd at probabilities near zero
WIDE = 3.0  # of a panel beyond the upper knot, in z
SURE = 38.0  # z from which a distribution function is one
LEAST = 1e-300  # probability
CELLS = 100_000  # rows times points at once, which stay in cache


class _Panel(NamedTuple):
    """Rows with part of a panel below their ends, points t (m, q) from where it starts, and their weights."""

    start: float
    width: float
    degree: int
    rows: Indices
    t: Array
    weights: Array


def integrals_below(
    transform: RowTransform,
    theta: Array,
    base: BaseLaw,
    ends: Array,
    moved: Callable[[Indices, Array], tuple[Array, ...]],
    W: Array,
) -> tuple[Array, Array]:
    """∫ g(r) F(h(r)) dr below the end of each row, and Σ w of its gradients.

    Parameters
    ----------
    transform, theta, base : h of n rows and the law of z.
    ends : (n,) float64 array, of r.
    moved : function of rows (m,) and r (m, q) that gives g_1(r), g_2(r), … each (m, q).
    W : (n, v) float64 array.

    Returns
    -------
    values, sums : (j, n) and (j, v, p) float64 arrays, one for each g
    """
    step = max(1, CELLS // len(NODES))
    parts = []
    for i in range(0, len(ends), step):
        rows = slice(i, i + step)

        def here(at: Indices, r: Array, i: int = i) -> tuple[Array, ...]:
            return moved(at + i, r)

        parts.append(_of_part(transform.part(rows), theta, base, ends[rows], here, W[rows]))
    return np.concatenate([v for v, _ in parts], axis=1), np.sum([s for _, s in parts], axis=0)


def _of_part(
    transform: RowTransform,
    theta: Array,
    base: BaseLaw,
    ends: Array,
    moved: Callable[[Indices, Array], tuple[Array, ...]],
    W: Array,
) -> tuple[Array, Array]:
    values, sums = np.zeros((2, len(ends))), np.zeros((2, W.shape[1], len(theta)))
    for panel in _panels(transform, theta, base, ends):
        place = np.linspace(0, 1, panel.degree + 1)
        points, to_powers = (
            panel.start + panel.width * place,
            np.linalg.inv(np.vander(place, increasing=True)),
        )
        powers = panel.t[None] ** np.arange(panel.degree + 1)[:, None, None]
        own = transform.part(panel.rows)
        z = np.einsum("ie,eiq->iq", own.heights(theta, points) @ to_powers.T, powers)
        F, density = base.cdf(z), base.pdf(z)
        for j, g in enumerate(moved(panel.rows, panel.start + panel.width * panel.t)):
            mass = g * panel.weights
            values[j, panel.rows] += (F * mass).sum(axis=1)
            shares = np.einsum("iq,eiq->ie", density * mass, powers) @ to_powers
            sums[j] += own.point_sums(W[panel.rows], shares, points)
    values[:, np.isnan(ends)] = np.nan
    return values, sums


def _panels(transform: RowTransform, theta: Array, base: BaseLaw, ends: Array) -> Iterator[_Panel]:
    """The lower tail, the panels between the knots, and those beyond the upper one."""
    k = transform.basis.knots
    heights = transform.heights(theta, k)
    (low, high), edge = transform.at_points(theta, k[[0, -1]])[1].T, heights[:, 0]
    rows = np.flatnonzero(~np.isnan(ends))
    P = base.cdf(edge + low * np.minimum(ends - k[0], 0.0))[rows, None]
    z = base.quantile(np.maximum(P, LEAST) * SHARE**POWER)
    weights = P * POWER * SHARE ** (POWER - 1) * WEIGHTS / 2 / (base.pdf(z) * low[rows, None])
    yield _Panel(k[0] - 1, 1.0, 1, rows, 1 + (z - edge[rows, None]) / low[rows, None], weights)
    rises = np.fmax.reduce(np.diff(heights, axis=1), axis=0, initial=0.0)
    for i, count in enumerate(node_counts(rises)):
        rows, width = np.flatnonzero(ends > k[i]), float(k[i + 1] - k[i])
        share = np.minimum((ends[rows, None] - k[i]) / width, 1.0)
        x, w = panels(np.array([0.0, 1.0]), int(count))
        yield _Panel(k[i], width, 3, rows, share * x, share * (width * w))
    rows = np.flatnonzero(ends > k[-1])
    start, last = heights[rows, -1], heights[rows, -1] + high[rows] * (ends[rows] - k[-1])
    while len(rows):
        stop = np.where(start < SURE, np.minimum(start + WIDE, last), last)[:, None]
        z = start[:, None] + (stop - start[:, None]) * SHARE
        t = (z - heights[rows, -1:]) / high[rows, None]
        yield _Panel(k[-1], 1.0, 1, rows, t, (stop - start[:, None]) * WEIGHTS / 2 / high[rows, None])
        left = stop[:, 0] < last
        rows, start, last = rows[left], stop[left, 0], last[left]
