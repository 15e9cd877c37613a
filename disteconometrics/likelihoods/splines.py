"""Spline bases as arrays: slopes of a monotone function with constant tails, functions of a covariate.

A monotone function with linear tails is h(t) = b + Σ_j c_j I_j(t), where the I_j are integrals of quadratic
B-splines B_j that sum to one and stay constant outside the knots: h' = Σ_j c_j B_j is positive wherever all
c_j are (I-splines, Ramsay 1988). Everything is a table of cubic polynomials per interval, so that values,
slopes and inverses cost a look-up.

References
----------
Ramsay (1988), Monotone regression splines in action, Statistical Science 3, doi:10.1214/ss/1177012761.
de Boor (2001), A practical guide to splines, Springer.
Eilers, Marx (1996), Flexible smoothing with B-splines and penalties, Statistical Science 11,
doi:10.1214/ss/1038425655.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from disteconometrics.arrays import Array, Indices

__all__ = ["SlopeBasis", "b_splines", "cubic_root", "difference"]

SURE = 1e-6  # share of a width up to which a last step of Halley's leaves nothing but rounding


def b_splines(t: Array, knots: Array, degree: int) -> Array:
    """All B-splines (n, K + degree − 1) of a degree on knots (K,), clamped at both ends, at points inside.

    Returns: float64 array whose rows sum to one.  Raises: nothing; points outside are taken at the nearest
    end.

    Example
    -------
    >>> b_splines(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0]), 2).tolist()
    [[1.0, 0.0, 0.0], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]
    """

    def share(part: Array, gap: Array) -> Array:
        return np.where(gap > 0, part / np.where(gap > 0, gap, 1.0), 0.0)

    t = np.clip(t, knots[0], knots[-1])
    full = np.concatenate([np.repeat(knots[0], degree), knots, np.repeat(knots[-1], degree)])
    at = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, len(knots) - 2)
    local = np.zeros((len(t), degree + 1))
    local[:, degree] = 1.0
    for d in range(1, degree + 1):  # Cox-de Boor, on the d + 1 splines that live at t
        for i in range(degree - d, degree + 1):
            left = full[at + i]
            value = share(t - left, full[at + i + d] - left) * local[:, i] if i > degree - d else 0.0
            if i < degree:
                right = full[at + i + d + 1]
                value = value + share(right - t, right - full[at + i + 1]) * local[:, i + 1]
            local[:, i] = value
    out = np.zeros((len(t), len(knots) + degree - 1))
    np.put_along_axis(out, at[:, None] + np.arange(degree + 1), local, axis=1)
    return out


def difference(size: int, order: int) -> Array:
    """The matrix (size − order, size) of differences of an order."""
    return np.diff(np.eye(size), order, axis=0)


def cubic_root(slopes: Sequence[Array], rest: Array, rise: Array, width: Array, unit: float) -> Array:
    """u (m,) in [0, width] where the integral of a + b·u + c·u² is ``rest``, of ``rise`` over the whole.

    From the cubic that has the slopes of the inverse at both ends, two of Halley's steps, whose error is the
    cube of the last; where this is not small, Newton's inside a bracket, which end at 4e-16 of ``unit``.

    References
    ----------
    Fritsch, Carlson (1980), Monotone piecewise cubic interpolation, SIAM J. Numerical Analysis 17,
    doi:10.1137/0717021.
    """
    a, b, c = slopes
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x, most = rest / np.maximum(rise, 1e-300), 3 * width
        left, right = np.minimum(rise / a, most), np.minimum(rise / (a + width * (b + width * c)), most)
        u = x * (x * (3 - 2 * x) * width + (1 - x) * (left * (1 - x) - right * x))
        for _ in range(2):
            u = np.clip(u, 0.0, width)
            step = (u * (a + u * (b / 2 + u * (c / 3))) - rest) / (slope := a + u * (b + u * c))
            step /= 1 - np.clip(step * (b + 2 * c * u) / (2 * slope), -1.0, 0.5)
            u = u - step
        found = np.clip(u, 0.0, width)
        far = np.flatnonzero(~(np.abs(step) <= SURE * width))
    if len(far):
        every = np.broadcast_arrays(a, b, c, rest, width, found)
        found[far] = _bracketed_root(np.array([v[far] for v in every]), unit)
    return found


def _bracketed_root(given: Array, unit: float) -> Array:
    """`cubic_root` from a start, wherever it is: polynomials, integrals, widths and starts (6, m)."""
    a, b, c, rest, width, start = given
    u = np.where(np.isnan(start), width / 2, start)
    low, high = np.zeros(len(u)), width
    for _ in range(80):
        value, slope = u * (a + u * (b / 2 + u * (c / 3))) - rest, a + u * (b + u * c)
        low, high = np.where(value <= 0, u, low), np.where(value >= 0, u, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = u - value / slope
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        u, going = new, np.abs(new - u) > 4e-16 * unit
        if not going.any():
            break
    return np.asarray(u)


@dataclass(frozen=True, eq=False)
class SlopeBasis:
    """Quadratic B-splines on knots (K,), constant outside, and their integrals from the middle knot.

    The two outermost splines at each end are one, so that the slope meets its constant tail without a kink: K
    − 1 functions.

    Parameters
    ----------
    knots : (K,) float64 array, increasing, at least 4.

    Example
    -------
    >>> basis = SlopeBasis(np.arange(5.0))
    >>> I, B = basis.evaluate(np.array([-1.0, 2.0, 3.5]))
    >>> B.sum(axis=1), I.sum(axis=1)
    (array([1., 1., 1.]), array([-3. ,  0. ,  1.5]))
    """

    knots: Array

    @property
    def size(self) -> int:
        """Number of functions."""
        return len(self.knots) - 1

    @cached_property
    def table(self) -> tuple[Array, Array]:
        """Slope polynomials (K − 1, 3, J) by interval, power and function; integrals (K, J) at the knots."""
        k = self.knots
        width = np.diff(k)
        merge = np.zeros((len(k) + 1, self.size))
        merge[np.arange(1, len(k)), np.arange(self.size)] = 1.0
        merge[0, 0] = merge[-1, -1] = 1.0
        at_left, at_middle, at_right = (
            b_splines(p, k, 2) @ merge for p in (k[:-1], k[:-1] + width / 2, k[1:])
        )
        # b_splines is right-continuous and quadratics are continuous, so three values give the polynomial of
        # each interval
        second = 2 * (at_left + at_right - 2 * at_middle)
        first = at_right - at_left - second
        w = width[:, None]
        poly = np.stack([at_left, first / w, second / w**2], axis=1)
        area = w * (at_left + 4 * at_middle + at_right) / 6
        total = np.concatenate([np.zeros((1, self.size)), np.cumsum(area, axis=0)])
        return poly, total - total[len(k) // 2]

    def evaluate(self, t: Array) -> tuple[Array, Array]:
        """Integrals I (n, J) and slopes B (n, J) at points (n,)."""
        alive, local = self._alive
        k = self.knots
        inside = np.clip(t, k[0], k[-1])
        at = np.clip(np.searchsorted(k, inside, side="right") - 1, 0, len(k) - 2)
        u = (inside - k[at])[:, None]
        a0, a1, a2 = (local[i][at] for i in range(3))
        slope = a0 + u * (a1 + u * a2)
        part = u * (a0 + u * (a1 / 2 + u * (a2 / 3))) + (t - inside)[:, None] * slope
        area, B = self.table[1][at], np.zeros((len(t), self.size))
        where = alive[at] + (np.arange(len(t)) * self.size)[:, None]
        B.ravel()[where] = slope
        area.ravel()[where] += part
        return area, B

    @cached_property
    def _alive(self) -> tuple[Indices, tuple[Array, Array, Array]]:
        """The functions (K − 1, m) that are not zero on each interval, each once, and their polynomials."""
        poly = self.table[0]
        order = np.argsort(-np.abs(poly).max(axis=1), axis=1, kind="stable")[:, : min(3, self.size)]
        first, second, third = (np.take_along_axis(poly[:, i], order, axis=1) for i in range(3))
        return order.astype(np.intp), (first, second, third)
