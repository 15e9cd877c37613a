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
from typing import NamedTuple

import numpy as np
from scipy import sparse

from disteconometrics.arrays import Array, Indices
from disteconometrics.likelihoods.splines import SlopeBasis, cubic_root
from disteconometrics.likelihoods.structure import SHIFTS, Structure

__all__ = ["Features", "Inverse", "Places", "RowTransform", "products"]

FEW_WEIGHTS = 8  # up to which sums of rows in order are products interval by interval


@dataclass(frozen=True, eq=False)
class Places:
    """Where outcomes r (n,) lie: interval, distance from its knot, distance beyond the knots, each (n,)."""

    at: Indices
    inside: Array
    beyond: Array
    intervals: int

    @classmethod
    def of(cls, r: Array, knots: Array) -> Places:
        """Places of standardised outcomes among knots (K,)."""
        clipped = np.clip(r, knots[0], knots[-1])
        at = np.clip(np.searchsorted(knots, clipped, side="right") - 1, 0, len(knots) - 2)
        return cls(at, clipped - knots[at], r - clipped, len(knots) - 1)

    @cached_property
    def in_order(self) -> bool:
        """Whether rows stand interval by interval as they are."""
        return bool((self.at[1:] >= self.at[:-1]).all())

    @cached_property
    def order(self) -> Indices:
        """The rows (n,) interval by interval."""
        return np.argsort(self.at.astype(np.int16), kind="stable")  # few values sort fast

    @cached_property
    def edges(self) -> Indices:
        """Where each interval begins in ``order``, and the end (K,)."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.at, minlength=self.intervals))])

    def parts(self) -> Iterator[tuple[int, slice]]:
        """Intervals that have rows, and where these stand in ``order``."""
        for k in np.flatnonzero(np.diff(self.edges)):
            yield int(k), slice(self.edges[k], self.edges[k + 1])

    def look_up(self, table: Array, features: Array) -> Array:
        """Σ_j u_ij table_kj (q, n) at the interval k of each row: features (n, c), table (K − 1, c, q)."""
        own = features if self.in_order else features[self.order]
        found = np.empty((table.shape[2], len(features)))
        for k, rows in self.parts():
            np.matmul(table[k].T, own[rows].T, out=found[:, rows])
        if self.in_order:
            return found
        out = np.empty_like(found)
        out[:, self.order] = found
        return out


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

    def split(self, theta: Array) -> tuple[Array, Array, Array]:
        """Coefficients of ones (a,), of lines (b,), and of splines as slopes (c, J)."""
        st = self.structure
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
                splines.append(theta[at].reshape(-1, st.bend.shape[1]) @ st.bend.T)
        none = np.zeros(0)
        stacked = np.concatenate([np.zeros((0, self.basis.size)), *splines])
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

    def inverse(self, theta: Array, z: float) -> Inverse:
        """Where h = z in every row, to rounding."""
        k = self.basis.knots
        heights, line, table = self._at_knots(theta)
        at = np.clip(np.count_nonzero(heights <= z, axis=0) - 1, 0, len(k) - 2)
        rows, width, inside, beyond = np.arange(len(at)), np.diff(k)[at], np.zeros(len(at)), np.zeros(len(at))
        places = Places(at, inside, beyond, len(k) - 1)
        own = heights[at, rows]
        rest, rise = z - own, heights[at + 1, rows] - own
        a, b, c = places.look_up(table, self.features.splines) if table.shape[1] else np.zeros((3, len(at)))
        a = a + line
        inside += cubic_root([a, b, c], np.clip(rest, 0.0, rise), rise, width, float(k[-1] - k[0]))
        slope = a + inside * (b + inside * c)
        beyond += np.where(rest < 0, rest, np.where(rest > rise, rest - rise, 0.0)) / slope
        return Inverse(k[at] + inside + beyond, places, slope)

    def _at_knots(self, theta: Array) -> tuple[Array, Array, Array]:
        """Heights (K, n) at the knots, slopes of lines (n,), and tables of the splines' slopes."""
        key = theta.tobytes()
        if key not in self._last_knots:
            U, (_, _, splines) = self.combined(theta), self.split(theta)
            table = np.einsum("cj,kjq->kcq", splines, self._tables[:, :, 1:])
            self._last_knots.clear()
            self._last_knots[key] = self.curves(theta, self.basis.knots).heights.T @ U.T, U[:, 1], table
        return self._last_knots[key]

    @cached_property
    def _last_knots(self) -> dict[bytes, tuple[Array, Array, Array]]:
        """Under the coefficients asked for last."""
        return {}

    def sums(self, W: Array, r: Array, *, slopes: bool = False, places: Places | None = None) -> Array:
        """Σ_i w_i A(r_i, x_i), or of D with ``slopes``, for weights W (n, v): (v, p)."""
        F, v = self.features, W.shape[1]
        p = Places.of(r, self.basis.knots) if places is None else places
        ones = np.zeros((v, F.ones.shape[1])) if slopes else W.T @ F.ones
        lines = (W if slopes else W * (r - self.structure.origin)[:, None]).T @ F.lines
        c, J = F.splines.shape[1], self.basis.size
        if c and len(W) and 0 < v <= FEW_WEIGHTS:
            return self.joined(ones, lines, self._few_sums(W, p, slopes))
        stacked = (W[:, :, None] * F.splines[:, None, :]).reshape(len(W), v * c)
        return self.joined(ones, lines, self._spline_sums(stacked, p, slopes).reshape(v, c, J))

    def _powers(self, p: Places, slopes: bool) -> tuple[list[Array], Array]:
        """What the polynomials of the intervals multiply, each (n,), and the polynomials (K − 1, J, q)."""
        t = p.inside
        if slopes:
            return [np.ones_like(t), t, t * t], self._tables[:, :, 1:]
        return [np.ones_like(t), t, t * t / 2, t * t * t / 3], self._tables

    def _few_sums(self, W: Array, p: Places, slopes: bool) -> Array:
        """Σ_i w_i u_i I(r_i), or of slopes, interval by interval: (v, c, J)."""
        U, v = self.features.splines, W.shape[1]
        powers, table = self._powers(p, slopes)
        P = np.array([w * power for w in W.T for power in powers])
        own, P = (U, P) if p.in_order else (U[p.order], P[:, p.order])
        at = [k for k, _ in p.parts()]
        by_interval = np.array([P[:, rows] @ own[rows] for _, rows in p.parts()])
        stacked = by_interval.reshape(len(at), v, len(powers), -1).transpose(
            1, 3, 0, 2
        )  # (v, c, intervals, q)
        flat = table[at].transpose(0, 2, 1).reshape(-1, table.shape[1])
        out = stacked.reshape(v, -1, len(flat)) @ flat
        if not slopes:
            for side, j in ((p.beyond < 0, 0), (p.beyond > 0, -1)):
                out[:, :, j] += (W[side] * p.beyond[side, None]).T @ U[side]
        return np.asarray(out)

    def _spline_sums(self, stacked: Array, p: Places, slopes: bool) -> Array:
        """Σ_i s_i I(r_i), or of slopes, for stacked weights (n, m): (m, J)."""
        n = len(stacked)
        by_interval = sparse.csr_matrix((np.ones(n), p.order, p.edges), shape=(p.intervals, n))
        powers, table = self._powers(p, slopes)
        out = np.zeros((stacked.shape[1], self.basis.size))
        for q, power in enumerate(powers):
            out += (by_interval @ (stacked * power[:, None])).T @ table[:, :, q]
        if not slopes:
            for side, j in ((p.beyond < 0, 0), (p.beyond > 0, -1)):
                out[:, j] += p.beyond[side] @ stacked[side]
        return out

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


def products(W: Array, U: Array) -> Array:
    """Products of every column of W (n, v) with every column of U (n, c): (n, v·c)."""
    return np.asarray((W[:, :, None] * U[:, None, :]).reshape(len(W), W.shape[1] * U.shape[1]))
