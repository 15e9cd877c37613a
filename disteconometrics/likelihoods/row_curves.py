"""Densities of rows at outcomes that they share, and weighted sums of their gradients, by few large products.

A standardised outcome is r = ρ − ℓ, ℓ the row's location.  Neighbouring rows differ little in ℓ, so that most
outcomes lie in one interval of the knots for all of them; there h is a cubic in ℓ with coefficients that are
the outcome's, and a block of rows times outcomes is one product.  Where a knot is crossed an outcome is taken
once for each interval, and rows count in the one where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.likelihoods.monotone import BaseLaw
from disteconometrics.likelihoods.row_sums import POWERS, RowTransform

__all__ = ["density_curves"]

BLOCK = 128  # neighbouring rows
BINOMIAL = special.binom(np.arange(POWERS), np.arange(POWERS)[:, None])  # of column over row
LOWER = np.clip(np.arange(POWERS) - np.arange(POWERS)[:, None], 0, None)


def density_curves(
    transform: RowTransform, theta: Array, base: BaseLaw, location: Array, points: Array, weights: Array
) -> tuple[Array, Array]:
    """φ(h)·∂h/∂r of rows at r = points − location (n, Q), and weighted sums of their gradients (Q, p).

    Parameters
    ----------
    transform : RowTransform of n rows.
    theta : (p,) float64 array.
    base : BaseLaw.
    location, weights : (n,) float64 arrays.
    points : (Q,) float64 array.
    """
    order, F = np.argsort(location), transform.features
    of_rows = transform.combined(theta), F.ones, F.lines, location, weights
    U, ones, lines, at, w = (v[order] for v in of_rows)
    curves, densities = _Curves(transform, theta, points), np.empty((len(at), len(points)))
    of_ones, of_lines = np.zeros((ones.shape[1], len(points))), np.zeros((lines.shape[1], len(points)))
    of_splines = np.zeros((len(curves.edges), len(points), POWERS, U.shape[1] - 2))
    for i in range(0, len(at), BLOCK):
        rows = slice(i, i + BLOCK)
        middle = float(at[rows].mean())
        away = at[rows] - middle
        pairs, u = curves.pairs(middle, away), _powers(U[rows, 2:], away)
        z, slope = curves.values(pairs, U[rows, :2], away, u)
        inside, height = pairs.inside(curves, away), base.pdf(z)
        if inside is not None:
            height[~inside] = 0.0
        density = height * slope
        densities[order[rows]] = pairs.joined(density)
        density *= base.first(z)  # ∂φ(h)∂h = φ(h)(∂slope − first·slope·∂h)
        line, by = lines[rows] * w[rows, None], u * w[rows, None, None]
        of_ones -= pairs.joined((ones[rows] * w[rows, None]).T @ density)
        r = pairs.outcome_of(curves)
        moved = (line * away[:, None]).T @ density - (line.T @ density) * r + line.T @ height
        of_lines += pairs.joined(moved)
        of_splines[pairs.interval, pairs.outcome] += pairs.moments(by, density, height)
    size = transform.structure.basis.size
    splines = np.tensordot(of_splines, curves.table, axes=([0, 2], [0, 1]))
    return densities, transform.joined(of_ones.T, of_lines.T, splines.reshape(len(points), -1, size))


def _powers(u: Array, away: Array) -> Array:
    """Features u (m, c) times powers of ``away`` (m,), with the sign that they have in r (m, 4, c)."""
    out = np.empty((len(u), POWERS, u.shape[1]))
    out[:, 0] = u
    for k in range(1, POWERS):
        np.multiply(out[:, k - 1], -away[:, None], out=out[:, k])
    return out


@dataclass(frozen=True, eq=False)
class _Curves:
    """The functions of a transformation at outcomes (Q,), interval by interval."""

    transform: RowTransform
    theta: Array
    points: Array

    @property
    def origin(self) -> float:
        """Where lines are zero."""
        return self.transform.structure.origin

    @property
    def knots(self) -> Array:
        """The knots (K,)."""
        return self.transform.basis.knots

    @cached_property
    def edges(self) -> Array:
        """Where the distance is zero, by interval: below all knots, above each (K + 1,)."""
        return np.concatenate([self.knots[:1], self.knots])

    @cached_property
    def table(self) -> Array:
        """Functions as polynomials (K + 1, 4, J) of the distance."""
        poly, total = self.transform.basis.table
        inside = np.stack([total[:-1], poly[:, 0], poly[:, 1] / 2, poly[:, 2] / 3], axis=1)
        beyond = np.zeros((2, *inside.shape[1:]))
        beyond[:, 0], beyond[0, 1, 0], beyond[1, 1, -1] = total[[0, -1]], 1.0, 1.0
        return np.concatenate([beyond[:1], inside, beyond[1:]])

    @cached_property
    def cubics(self) -> Array:
        """What the features are multiplied by, as polynomials (K + 1, 4, c)."""
        return self.table @ self.transform.split(self.theta)[2].T

    def pairs(self, middle: float, away: Array) -> _Pairs:
        """Outcomes and intervals of a block of rows with locations ``middle`` + ``away`` (m,), ascending."""
        ends = (self.points - middle - a for a in away[[-1, 0]])
        low, high = (np.searchsorted(self.knots, r, side="right") for r in ends)
        many = high - low + 1
        outcome, first = np.repeat(np.arange(len(many)), many), np.cumsum(many) - many
        interval = np.arange(len(outcome)) + (low - first)[outcome]
        return _Pairs(outcome, interval, first, self.points[outcome] - self.edges[interval] - middle)

    def values(self, pairs: _Pairs, lines: Array, away: Array, u: Array) -> tuple[Array, Array]:
        """h and ∂h/∂r (m, P) of rows with shifts and slopes ``lines`` (m, 2) and features as `_powers`."""
        moved, r = pairs.moved @ self.cubics[pairs.interval], pairs.outcome_of(self)
        slopes = moved[:, 1:] * np.arange(1.0, POWERS)[:, None]
        flat = u.reshape(len(u), -1)
        z = flat @ moved.reshape(len(r), -1).T
        slope = flat[:, : slopes[0].size] @ slopes.reshape(len(r), -1).T
        z += lines[:, :1] + lines[:, 1:] * (r - away[:, None])
        slope += lines[:, 1:]
        return z, slope


class _Pairs(NamedTuple):
    """Outcomes (P,) with an interval (P,) each, and where each outcome begins (Q,).

    ``distance`` (P,) is that of an outcome from the edge of the interval in the middle of the block.
    """

    outcome: Indices
    interval: Indices
    first: Indices
    distance: Array

    @property
    def moved(self) -> Array:
        """What takes polynomials of the distance to those of what rows are away, (P, 4, 4)."""
        powers = self.distance[:, None] ** np.arange(POWERS)
        return np.asarray(powers[:, LOWER] * BINOMIAL)

    def outcome_of(self, curves: _Curves) -> Array:
        """Outcomes (P,) in the middle of the block, from where lines are zero."""
        return self.distance + curves.edges[self.interval] - curves.origin

    def moments(self, u: Array, density: Array, height: Array) -> Array:
        """What polynomials of t are multiplied by (P, 4, c): Σ u (m·t^(m−1)·height − t^m·density)."""
        many, c = len(self.distance), u.shape[2]
        away = -(density.T @ u.reshape(len(u), -1)).reshape(many, POWERS, c)
        slopes = (height.T @ u[:, :-1].reshape(len(u), -1)).reshape(many, POWERS - 1, c)
        away[:, 1:] += slopes * np.arange(1.0, POWERS)[:, None]
        return self.moved.transpose(0, 2, 1) @ away

    def inside(self, curves: _Curves, away: Array) -> Mask | None:
        """Which rows are in the interval (m, P), so far away from the middle (m,); None if all are."""
        if len(self.outcome) == len(self.first):
            return None
        r = self.distance + curves.edges[self.interval] - away[:, None]
        ends = np.concatenate([[-np.inf], curves.knots, [np.inf]])
        return np.asarray((ends[self.interval] <= r) & (r < ends[self.interval + 1]))

    def joined(self, values: Array) -> Array:
        """Sums over the intervals of each outcome (…, Q)."""
        if len(self.outcome) == len(self.first):
            return values
        return np.asarray(np.add.reduceat(values, self.first, axis=-1))
