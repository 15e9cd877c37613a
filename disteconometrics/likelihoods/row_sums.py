"""Values and weighted sums of the linear forms A(r, x) and D(r, x) of `Structure`, without writing them out.

A row's transformation is a spline in r whose coefficients are few features of x times few splines.  So its
value at any r is one look-up of a cubic for each feature, and Σ_i w_i A(r_i, x_i) needs sums by interval of
w·u·(1, t, t²/2, t³/3) alone, t the distance from the knot below and u a feature.  For 50,000 rows and 135
coefficients this is some fifty times less work than the (n, p) array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from disteconometrics.arrays import Array, Indices
from disteconometrics.likelihoods.splines import SlopeBasis, cubic_root
from disteconometrics.likelihoods.structure import SHIFTS, Structure

__all__ = ["Features", "Inverse", "Places", "RowTransform", "products"]

POWERS = 4  # of the distance from a knot, in a cubic
MANY = 32  # numbers of every row at once
ROWS = 2048  # whose heights at all knots stay in cache
FEW_WEIGHTS = 8  # up to which sums of rows in order are products interval by interval


@dataclass(frozen=True, eq=False)
class Places:
    """Where outcomes r (n,) lie: distances from the knot of their interval and beyond the knots, each (n,).

    ``order`` (n,) are the rows interval by interval, None where they stand so as they are, and ``edges`` (K,)
    where each interval begins among them, and the end.
    """

    inside: Array
    beyond: Array
    edges: Indices
    order: Indices | None

    @classmethod
    def of(cls, r: Array, knots: Array) -> Places:
        """Places of standardised outcomes among knots (K,)."""
        clipped = np.clip(r, knots[0], knots[-1])
        beyond = r - clipped
        if (r[1:] >= r[:-1]).all():  # of rows in order the knots are looked up
            edges = np.concatenate([[0], np.searchsorted(r, knots[1:-1]), [len(r)]])
            return cls(clipped - np.repeat(knots[:-1], np.diff(edges)), beyond, edges, None)
        at = np.clip(np.searchsorted(knots, clipped, side="right") - 1, 0, len(knots) - 2)
        return cls(clipped - knots[at], beyond, *by_interval(at, len(knots) - 1))

    @property
    def at(self) -> Indices:
        """The interval (n,) of each row."""
        found = np.repeat(np.arange(len(self.edges) - 1), np.diff(self.edges))
        out = np.empty_like(found)
        out[slice(None) if self.order is None else self.order] = found
        return out

    def starts(self, knots: Array) -> Array:
        """The knot (n,) below each row."""
        return np.asarray(knots[self.at])

    def parts(self) -> Iterator[tuple[int, slice]]:
        """Intervals that have rows, and where these stand in ``order``."""
        edges = self.edges.tolist()
        return ((k, slice(a, b)) for k, (a, b) in enumerate(pairwise(edges)) if a < b)

    def ordered(self, values: Array) -> Array:
        """Numbers (n, …) of rows, interval by interval."""
        return values if self.order is None else values[self.order]

    @cached_property
    def outside(self) -> list[tuple[Indices, int]]:
        """The rows below all knots and above, with the function that is one there."""
        return [(np.flatnonzero(self.beyond < 0), 0), (np.flatnonzero(self.beyond > 0), -1)]

    @cached_property
    def _known(self) -> list[Array]:
        """The features put in order last, and these."""
        return []

    def features(self, features: Array) -> Array:
        """Features (n, c) of rows interval by interval, remembered: values are followed by sums."""
        if not (self._known and self._known[0] is features):
            self._known[:] = [features, self.ordered(features)]
        return self._known[1]

    def look_up(self, table: Array, features: Array) -> Array:
        """Σ_j u_ij table_kj (q, n) at the interval k of each row: features (n, c), table (K − 1, c, q)."""
        own, turned = self.features(features), table.transpose(0, 2, 1)
        found = np.empty((table.shape[2], len(features)))
        for k, rows in self.parts():
            np.matmul(turned[k], own[rows].T, out=found[:, rows])
        return self.back(found)

    def back(self, found: Array) -> Array:
        """Numbers (q, n) of rows interval by interval, in the order of the rows."""
        if self.order is None:
            return found
        out = np.empty_like(found)
        for to, one in zip(out, found, strict=True):
            to[self.order] = one
        return out


def by_interval(at: Indices, intervals: int) -> tuple[Indices, Indices | None]:
    """Where each of so many intervals begins among rows in their order, and that order; see `Places`.

    Examples
    --------
    >>> edges, order = by_interval(np.array([1, 0, 1]), 3)
    >>> edges.tolist(), order.tolist()
    ([0, 1, 3, 3], [1, 0, 2])
    """
    edges = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=intervals))])
    if (at[1:] >= at[:-1]).all():
        return edges, None
    return edges, np.argsort(at.astype(np.int16), kind="stable")  # few values sort fast


class Features(NamedTuple):
    """Features of rows: of the terms that shift (1, …), of those times r (n, b), of those that are splines.

    Each with the places of its coefficients among θ: ``ones`` (n, a), ``lines`` (n, b), ``splines`` (n, c).
    """

    ones: Array
    lines: Array
    splines: Array


class Inverse(NamedTuple):
    """Outcomes r (n,) of rows at a given h, their places, and ∂h/∂r (n,) there."""

    r: Array
    places: Places
    slope: Array


class _AtKnots(NamedTuple):
    """Features (n, 2 + c) of rows, and what they are multiplied by at the knots (2 + c, K); see `Curves`.

    ``table`` (K − 1, c, 3) are the slopes of the splines, ``least`` and ``most`` (K,) the heights of all rows
    at a knot.
    """

    U: Array
    curves: Array
    table: Array
    least: Array
    most: Array

    def reach(self, z: Array) -> tuple[Indices, Array, Array]:
        """The interval (n,) where each row reaches z, () or (n,), the outermost beyond the knots, and the
        heights at its ends.
        """
        last, z = len(self.most) - 2, np.asarray(z)
        low = np.fmin.reduce(z, axis=None, initial=np.inf)
        high = np.fmax.reduce(z, axis=None, initial=-np.inf)
        first = min(max(int(np.searchsorted(self.most, low, side="right")) - 1, 0), last)
        some = min(int(np.searchsorted(self.least, high, side="right")) - 1, last)
        curves = self.curves[:, first : max(some, first) + 2].T  # rows differ at few of the knots
        at, ends = np.full(len(self.U), first), np.empty((2, len(self.U)))
        for i in range(0, len(self.U), ROWS):
            heights, level = curves @ self.U[i : i + ROWS].T, z[i : i + ROWS] if z.ndim else z
            own, rows = np.zeros(heights.shape[1], np.intp), np.arange(heights.shape[1])
            for height in heights[1:-1]:
                own += height <= level
            at[i : i + ROWS] += own
            ends[0, i : i + ROWS], ends[1, i : i + ROWS] = heights[own, rows], heights[own + 1, rows]
        return at, ends[0], ends[1]


class Curves(NamedTuple):
    """Functions at points that rows share: h (a, Q) and ∂h/∂r (a, Q) of the `RowTransform.combined` rows."""

    heights: Array
    slopes: Array


@dataclass(frozen=True, eq=False)
class RowTransform:
    """The transformations of rows with covariates ``X`` (n, K), whatever their coefficients."""

    structure: Structure
    X: Array
    known: Features | None = None

    def part(self, rows: slice | Indices) -> RowTransform:
        """The transformations of some of the rows."""
        return RowTransform(self.structure, self.X[rows], Features(*(u[rows] for u in self.features)))

    @cached_property
    def features(self) -> Features:
        """The features of the rows, by what they multiply."""
        if self.known is not None:
            return self.known
        one = np.ones((len(self.X), 1))
        ones: list[Array] = [one]
        lines: list[Array] = []
        splines: list[Array] = []
        (lines if self.structure.affine else splines).append(one)
        for kind, _, u in self.structure.features(self.X):
            (ones if kind in SHIFTS else lines if kind.startswith("scale") else splines).append(u)
        return Features(*(np.concatenate(part or [one[:, :0]], axis=1) for part in (ones, lines, splines)))

    @property
    def basis(self) -> SlopeBasis:
        """The slope functions."""
        return self.structure.basis

    @cached_property
    def _tables(self) -> Array:
        """Heights and slope polynomials of every function on its intervals, (K − 1, J, 4)."""
        poly, total = self.basis.table
        return np.stack([total[:-1], poly[:, 0], poly[:, 1], poly[:, 2]], axis=2)

    @cached_property
    def _turned(self) -> Array:
        """The same (K − 1, 4, J), in this order."""
        return np.ascontiguousarray(self._tables.transpose(0, 2, 1))

    def split(self, theta: Array) -> tuple[Array, Array, Array]:
        """Coefficients of ones (a,), lines (b,) and splines, as slopes (c, J); also of several (p, q)."""
        st, many = self.structure, theta.shape[1:]
        own = theta[1 : st.slices[0].stop]
        ones: list[Array] = [theta[:1]]
        lines: list[Array] = []
        splines: list[Array] = []
        if st.affine:
            lines.append(own)
        else:
            splines.append(own[None])
        for term, at in zip(st.terms[1:], st.slices[1:], strict=True):
            if term.kind in SHIFTS:
                ones.append(theta[at])
            elif term.kind.startswith("scale"):
                lines.append(theta[at])
            else:
                bent = theta[at].reshape(-1, st.bend.shape[1], *many)
                splines.append(np.moveaxis(np.tensordot(st.bend, bent, axes=(1, 1)), 0, 1))
        none = np.zeros((0, *many))
        stacked = np.concatenate([np.zeros((0, self.basis.size, *many)), *splines])
        return np.concatenate(ones), np.concatenate([none, *lines]), stacked

    def joined(self, ones: Array, lines: Array, splines: Array) -> Array:
        """Sums (v, a), (v, b) and (v, c, J) in the places of the coefficients: (v, p)."""
        st = self.structure
        out = np.zeros((len(ones), st.size))
        out[:, 0] = ones[:, 0]
        own = slice(1, st.slices[0].stop)
        out[:, own] = lines[:, :1] if st.affine else splines[:, 0]
        a, b, c = 1, int(st.affine), int(not st.affine)
        for term, at in zip(st.terms[1:], st.slices[1:], strict=True):
            if term.kind in SHIFTS:
                width = at.stop - at.start
                out[:, at] = ones[:, a : a + width]
                a += width
            elif term.kind.startswith("scale"):
                width = at.stop - at.start
                out[:, at] = lines[:, b : b + width]
                b += width
            else:
                width = (at.stop - at.start) // st.bend.shape[1]
                out[:, at] = (splines[:, c : c + width] @ st.bend).reshape(len(out), at.stop - at.start)
                c += width
        return out

    # ---- at one outcome of each row ------------------------------------------------------------------------

    def values(self, theta: Array, r: Array, places: Places | None = None) -> tuple[Array, Array]:
        """h and ∂h/∂r (n,) at standardised outcomes r (n,)."""
        p = Places.of(r, self.basis.knots) if places is None else places
        shift, slope, table = self._under(theta)
        z = shift + slope * (r - self.structure.origin)
        if table.shape[1]:
            height, a, b, c = p.look_up(table, self.features.splines)
            own = a + p.inside * (b + p.inside * c)
            z = z + height + p.inside * (a + p.inside * (b / 2 + p.inside * (c / 3))) + p.beyond * own
            slope = slope + own
        return z, slope

    def _under(self, theta: Array) -> tuple[Array, Array, Array]:
        """What no outcome moves: shifts and slopes of lines (n,), tables of the splines (K − 1, c, q)."""
        key = theta.tobytes()
        if key not in self._last:
            ones, lines, splines = self.split(theta)
            table = np.einsum("cj,kjq->kcq", splines, self._tables)
            self._last.clear()
            self._last[key] = self.features.ones @ ones, self.features.lines @ lines, table
        return self._last[key]

    @cached_property
    def _last(self) -> dict[bytes, tuple[Array, Array, Array]]:
        """Under the coefficients asked for last."""
        return {}

    def cubics(self, theta: Array, places: Places) -> Array:
        """h = Σ_j c_j t^j in the intervals of rows, c (4, n), t the distance from the knot below."""
        shift, slope, table = self._under(theta)
        start, nothing = places.starts(self.basis.knots), np.zeros_like(slope)
        height, a, b, c = (
            places.look_up(table, self.features.splines) if table.shape[1] else (nothing,) * POWERS
        )
        line = shift + slope * (start - self.structure.origin)
        return np.array([line + height, slope + a, b / 2, c / 3])

    def inverse(self, theta: Array, z: Array) -> Inverse:
        """Where h = z, () or (n,), in every row, to rounding."""
        z = np.asarray(z)
        k = self.basis.knots
        own = self._at_knots(theta)
        at, height, top = own.reach(z)
        width = np.diff(k)[at]
        inside, beyond = np.empty(len(at)), np.empty(len(at))
        places = Places(inside, beyond, *by_interval(at, len(k) - 1))
        rest, rise = z - height, top - height
        a, b, c = places.look_up(own.table, self.features.splines)
        a += own.U[:, 1]
        inside[:] = cubic_root([a, b, c], np.clip(rest, 0.0, rise), rise, width, float(k[-1] - k[0]))
        slope = a + inside * (b + inside * c)
        beyond[:] = np.where(rest < 0, rest, np.maximum(rest - rise, 0.0)) / slope
        return Inverse(k[at] + inside + beyond, places, slope)

    def _at_knots(self, theta: Array) -> _AtKnots:
        """What inverses are found by."""
        key = theta.tobytes()
        if key not in self._last_knots:
            U, (_, _, splines) = self.combined(theta), self.split(theta)
            table = np.einsum("cj,kjq->kcq", splines, self._tables[:, :, 1:])
            self._last_knots.clear()
            curves = self.curves(theta, self.basis.knots).heights
            least, most = np.full(len(table) + 1, np.inf), np.full(len(table) + 1, -np.inf)
            for i in range(0, len(U), ROWS):
                heights = curves.T @ U[i : i + ROWS].T
                least = np.fmin(least, np.fmin.reduce(heights, axis=1, initial=np.inf))
                most = np.fmax(most, np.fmax.reduce(heights, axis=1, initial=-np.inf))
            self._last_knots[key] = _AtKnots(U, curves, table, least, most)
        return self._last_knots[key]

    @cached_property
    def _last_knots(self) -> dict[bytes, _AtKnots]:
        """Under the coefficients asked for last."""
        return {}

    def sums(self, W: Array, r: Array, places: Places | None = None) -> Array:
        """Σ_i w_i A(r_i, x_i) (v, p) for weights W (n, v)."""
        F, v = self.features, W.shape[1]
        p = Places.of(r, self.basis.knots) if places is None else places
        lines = (W * (r - self.structure.origin)[:, None]).T @ F.lines
        c, J = F.splines.shape[1], self.basis.size
        if c and len(W) and 0 < v <= FEW_WEIGHTS:
            P = _powers(p.ordered(W).T, None, p.ordered(p.inside))
            return self.joined(W.T @ F.ones, lines, self._few_sums(P, W * p.beyond[:, None], p))
        return self.joined(W.T @ F.ones, lines, self._spline_sums(W, p).reshape(v, c, J))

    def _few_sums(self, P: Array, beyond: Array, p: Places) -> Array:
        """The part of the splines (v, c, J), interval by interval, of what their polynomials and lines meet.

        ``P`` (v, 4, n) are those of `_powers` in the order of the intervals, ``beyond`` (n, v) of the tails.
        """
        own, parts = p.features(self.features.splines), list(p.parts())
        flat = P.reshape(-1, P.shape[2])
        by_interval = np.array([flat[:, rows] @ own[rows] for _, rows in parts])
        table = self._turned[[k for k, _ in parts]].reshape(-1, self.basis.size)  # (intervals · q, J)
        stacked = by_interval.reshape(len(parts), len(P), POWERS, -1).transpose(1, 3, 0, 2)
        out = stacked.reshape(len(P), -1, len(table)) @ table
        for rows, j in p.outside:
            out[:, :, j] += beyond[rows].T @ self.features.splines[rows]
        return np.asarray(out)

    def own_point_sums(self, W: Array, P: Array, r: Array, places: Places) -> Array:
        """Σ_i w_i Σ_q P_iq A(r_iq, x_i) (v, p) for points r (n, q) in an interval or a tail of each row."""
        F, k, (n, v) = self.features, self.basis.knots, W.shape
        clipped = np.clip(r, k[0], k[-1])
        t, mass = clipped - places.starts(k)[:, None], P.sum(axis=1)
        beyond = ((r - clipped) * P).sum(axis=1)
        lines = (W * ((r - self.structure.origin) * P).sum(axis=1)[:, None]).T @ F.lines
        powers = np.array([mass, *((P * t**q).sum(axis=1) / q for q in (1, 2, 3))])
        powers = places.ordered(W).T[:, None] * places.ordered(powers.T).T
        by_spline = np.zeros((v, F.splines.shape[1], self.basis.size))
        if n and F.splines.shape[1]:
            by_spline = self._few_sums(powers, W * beyond[:, None], places)
        return self.joined((W * mass[:, None]).T @ F.ones, lines, by_spline)

    def _spline_sums(self, W: Array, p: Places) -> Array:
        """The part of the splines (v·c, J), by products of all weights and features."""
        n, U = len(W), self.features.splines
        order = np.arange(n) if p.order is None else p.order
        by_interval = sparse.csr_matrix((np.ones(n), order, p.edges), shape=(len(p.edges) - 1, n))
        P = _powers(W.T, None, p.inside)
        out = np.zeros((W.shape[1] * U.shape[1], self.basis.size))
        for q in range(POWERS):
            out += (by_interval @ products(P[:, q].T, U)).T @ self._tables[:, :, q]
        for rows, j in p.outside:
            out[:, j] += p.beyond[rows] @ products(W[rows], U[rows])
        return out

    def changes(self, V: Array, W: Array, of_slopes: Array, r: Array, places: Places) -> Array:
        """(w A(r, x) + d D(r, x))'V of every row (n, q), for its weights w and d (n,) and V (p, q)."""
        ones, lines, splines = self.split(V)
        F, p, q = self.features, places, V.shape[1]
        on_line, beyond = W * (r - self.structure.origin) + of_slopes, (W * p.beyond)[:, None]
        plain = np.concatenate([W[:, None] * F.ones, on_line[:, None] * F.lines], axis=1)
        plain, own = p.ordered(plain).T, p.features(F.splines).T
        P = _powers(p.ordered(W)[None], p.ordered(of_slopes)[None], p.ordered(p.inside))[0]
        size = POWERS * len(own)
        table = np.tensordot(self._turned, splines, axes=(2, 1)).reshape(len(p.edges) - 1, size, q)
        out = np.empty((q, len(r)))
        for i in range(0, q, MANY):
            of, found = slice(i, i + MANY), np.empty_like(out[i : i + MANY])
            for k, rows in p.parts():
                weighed = (P[:, None, rows] * own[:, rows]).reshape(size, rows.stop - rows.start)
                by = np.concatenate([table[k, :, of], ones[:, of], lines[:, of]]).T
                np.matmul(by, np.concatenate([weighed, plain[:, rows]]), out=found[:, rows])
            out[of] = p.back(found)
        for far, j in p.outside:
            out[:, far] += splines[:, j].T @ (F.splines[far] * beyond[far]).T
        return np.asarray(out.T)

    # ---- at points common to the rows ----------------------------------------------------------------------

    def combined(self, theta: Array) -> Array:
        """What `Curves` are multiplied by: sums of ones, of lines, and the splines' features, (n, 2 + c)."""
        ones, lines, _ = self.split(theta)
        F = self.features
        return np.column_stack([F.ones @ ones, F.lines @ lines, F.splines])

    def curves(self, theta: Array, points: Array) -> Curves:
        """The functions at points r (Q,), whatever the rows."""
        _, _, splines = self.split(theta)
        area, B = self.basis.evaluate(points)
        one = np.ones((1, len(points)))
        return Curves(
            np.concatenate([one, [points - self.structure.origin], splines @ area.T]),
            np.concatenate([np.zeros_like(one), one, splines @ B.T]),
        )

    def heights(self, theta: Array, points: Array) -> Array:
        """h (n, Q) at points r (Q,)."""
        return np.asarray(self.combined(theta) @ self.curves(theta, points).heights)

    def at_points(self, theta: Array, points: Array) -> tuple[Array, Array]:
        """h and ∂h/∂r (n, Q) at points r (Q,)."""
        U, curves = self.combined(theta), self.curves(theta, points)
        return U @ curves.heights, U @ curves.slopes

    def point_sums(self, W: Array, P: Array, points: Array) -> Array:
        """Σ_i w_i Σ_q P_iq A(points_q, x_i) for weights W (n, v) and P (n, Q): (v, p)."""
        by_spline = products(W, self.features.splines).T @ P
        return self.summed(W, P.sum(axis=1), P @ points, by_spline, points)

    def summed(self, W: Array, mass: Array, first: Array, by_spline: Array, points: Array) -> Array:
        """`point_sums` from Σ_q P_iq and Σ_q P_iq r_q (n,), and Σ_i w_i u_ij P_iq (v·c, Q) of the splines."""
        F, (area, _) = self.features, self.basis.evaluate(points)
        return self.joined(
            (W * mass[:, None]).T @ F.ones,
            (W * (first - self.structure.origin * mass)[:, None]).T @ F.lines,
            by_spline.reshape(W.shape[1], F.splines.shape[1], len(points)) @ area,
        )


def _powers(W: Array, of_slopes: Array | None, t: Array) -> Array:
    """What polynomials of intervals multiply (v, 4, n): weights W (v, n) of values and those of slopes."""
    P = np.empty((len(W), POWERS, len(t)))
    P[:, 0] = W
    for q in (1, 2, 3):
        np.multiply(P[:, q - 1], t, out=P[:, q])
    P[:, 2] /= 2
    P[:, 3] /= 3
    if of_slopes is not None:
        for q in (1, 2, 3):
            P[:, q] += of_slopes
            of_slopes = of_slopes * t
    return P


def products(W: Array, U: Array) -> Array:
    """Products of every column of W (n, v) with every column of U (n, c): (n, v·c)."""
    return np.asarray((W[:, :, None] * U[:, None, :]).reshape(len(W), W.shape[1] * U.shape[1]))
