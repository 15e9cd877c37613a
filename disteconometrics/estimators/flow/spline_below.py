"""Integrals of distribution functions of spline laws below an outcome, with gradients in θ.

Every row has its own end among the knots.  Panels that lie wholly below it have points that rows share; the
one that holds it, and the tails, have points of each row, where its linear forms A(r, x) are polynomials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.distributions.spline_pieces import NODES, WEIGHTS, node_counts, panels
from disteconometrics.likelihoods.monotone import BaseLaw
from disteconometrics.likelihoods.row_sums import Places, RowTransform

__all__ = ["integrals_below"]

SHARE = (NODES + 1) / 2
POWER = 8  # the lower tail's points crowd at probabilities near zero
WIDE = 3.0  # of a panel beyond the upper knot, in z
SURE = 38.0  # z from which a distribution function is one
LEAST = 1e-300  # probability
AT_ONCE = 2048  # rows whose values at all points stay in cache
DIGITS = 9.0  # of sums over panels, relative to the spread of a law

Moved = Callable[[Indices, Array], tuple[Array, ...]]


class _Points(NamedTuple):
    """Rows at points r and z there, each (m, q), in one panel or tail of each row, and their weights."""

    rows: Indices
    r: Array
    z: Array
    weights: Array
    places: Places


def integrals_below(
    transform: RowTransform, theta: Array, base: BaseLaw, ends: Array, moved: Moved, W: Array
) -> tuple[Array, Array]:
    """∫ g(r) F(h(r)) dr below the end of each row, and Σ w of its gradients.

    Parameters
    ----------
    transform, theta, base : h of n rows and the law of z.
    ends : (n,) float64 array, of r.
    moved : function of rows (m,) and r (m, q) or (1, q) that gives g_1(r), g_2(r), … each (m, q).
    W : (n, v) float64 array.

    Returns
    -------
    values, sums : (j, n) and (j, v, p) float64 arrays, one for each g
    """
    known = np.flatnonzero(~np.isnan(ends))
    parts = [known[i : i + AT_ONCE] for i in range(0, max(len(known), 1), AT_ONCE)]
    values, sums = np.array([]), np.array([])
    for at in parts:

        def here(rows: Indices, r: Array, at: Indices = at) -> tuple[Array, ...]:
            return moved(at[rows], r)

        own, more = _of_part(transform.part(at), theta, base, ends[at], here, W[at])
        values = values if values.size else np.full((len(own), len(ends)), np.nan)
        values[:, at], sums = own, more + sums if sums.size else more
    return values, sums


def _of_part(
    transform: RowTransform, theta: Array, base: BaseLaw, ends: Array, moved: Moved, W: Array
) -> tuple[Array, Array]:
    k = transform.basis.knots
    heights = transform.heights(theta, k)
    counts = node_counts(np.fmax.reduce(np.diff(heights, axis=1), axis=0, initial=0.0), DIGITS)
    places = Places.of(ends, k)
    values, sums = _whole_panels(transform, theta, base, places.at, counts, moved, W)
    points = [_panel_of_end(transform, theta, ends, places, int(counts.max()))]
    points += _tails(transform, theta, base, ends, heights)
    for p in points:
        F, density, own = base.cdf(p.z), base.pdf(p.z), transform.part(p.rows)
        for j, g in enumerate(moved(p.rows, p.r)):
            mass = g * p.weights
            values[j, p.rows] += (F * mass).sum(axis=1)
            sums[j] += own.own_point_sums(W[p.rows], density * mass, p.r, p.places)
    return values, sums


def _whole_panels(
    transform: RowTransform,
    theta: Array,
    base: BaseLaw,
    at: Indices,
    counts: Indices,
    moved: Moved,
    W: Array,
) -> tuple[Array, Array]:
    """The part of the panels before those ``at`` (n,) which rows end."""
    top = int(at.max(initial=0))
    points, weights = panels(transform.basis.knots[: top + 1], counts[:top]) if top else np.zeros((2, 0))
    inside = weights * (np.repeat(np.arange(top), counts[:top]) < at[:, None])
    z, rows = transform.heights(theta, points), np.arange(len(at))
    F, density = base.cdf(z), base.pdf(z)
    masses = [g * inside for g in moved(rows, points[None])]
    values = np.array([(F * mass).sum(axis=1) for mass in masses])
    return values, np.array([transform.point_sums(W, density * mass, points) for mass in masses])


def _panel_of_end(transform: RowTransform, theta: Array, ends: Array, places: Places, count: int) -> _Points:
    """The panel in which each row ends, up to there."""
    x, w = panels(np.array([0.0, 1.0]), count)
    t, (c0, c1, c2, c3) = places.inside[:, None] * x, transform.cubics(theta, places)[:, :, None]
    r = places.starts(transform.basis.knots)[:, None] + t
    z = c0 + t * (c1 + t * (c2 + t * c3))
    return _Points(np.arange(len(ends)), r, z, places.inside[:, None] * w, places)


def _tails(
    transform: RowTransform, theta: Array, base: BaseLaw, ends: Array, heights: Array
) -> Iterator[_Points]:
    """What lies below the knots, and above."""
    k = transform.basis.knots
    (low, high), edge = transform.at_points(theta, k[[0, -1]])[1].T[:, :, None], heights[:, :1]
    P = base.cdf(edge + low * np.minimum(ends - k[0], 0.0)[:, None])
    z = base.quantile(np.maximum(P, LEAST) * SHARE**POWER)
    weights = P * POWER * SHARE ** (POWER - 1) * WEIGHTS / 2 / (base.pdf(z) * low)
    rows = np.arange(len(ends))
    yield _Points(rows, k[0] + (z - edge) / low, z, weights, Places.of(np.full(len(ends), k[0] - 1), k))
    rows = np.flatnonzero(ends > k[-1])
    edge, high = heights[rows, -1:], high[rows]
    start, last = edge, edge + high * (ends[rows, None] - k[-1])
    while len(rows):
        stop = np.where(start < SURE, np.minimum(start + WIDE, last), last)
        z, there = start + (stop - start) * SHARE, Places.of(np.full(len(rows), k[-1] + 1), k)
        yield _Points(rows, k[-1] + (z - edge) / high, z, (stop - start) * WEIGHTS / 2 / high, there)
        left = stop[:, 0] < last[:, 0]
        rows, start, last, edge, high = (v[left] for v in (rows, stop, last, edge, high))
