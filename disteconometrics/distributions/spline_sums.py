"""Integrals against spline laws as sums over panels in the outcome: no quantile is looked up.

An outcome is reached from v: between the knots v is the standardised outcome r, and beyond them it moves as
z = h(r) does.  So points in v serve all rows at once, panels between the knots are joined by panels of the
two tails, and z is a matrix product of the rows' coefficients with functions at fixed points.

References
----------
Gneiting, Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA 102,
doi:10.1198/016214506000001437.
Davis, Rabinowitz (1984), Methods of numerical integration, Academic Press, ch. 3 (composite Gauss sums).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Indices
from disteconometrics.distributions.spline_pieces import (
    NODES,
    WEIGHTS,
    Pieces,
    chunks,
    gauss,
    node_counts,
    panels,
    pieces,
    steepest,
    transform,
)
from disteconometrics.distributions.support import Support
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.splines import SlopeBasis
from disteconometrics.threads import on_one_thread

__all__ = [
    "Curves",
    "Nodes",
    "Placed",
    "crps",
    "half_gap",
    "moments",
    "shortfall",
    "squares",
    "supported_moments",
    "tail_moments",
    "with_tails",
]


MOST_HELD = 12_000_000  # cells of tables that a law keeps, 96 MB
TAIL = np.array([0.0, 2.0, 4.0, 6.0, 9.0, 13.0, 20.0, 40.0, 80.0, 160.0, 320.0, 690.0])  # of z beyond a knot
TAIL_COUNT = 12  # points in a panel of a tail
FEW = 64  # temporaries of rows × points as far as chunks go, so that they stay in the cache
DECAYED = 36.0  # exp(−36) is 2e-16
FLATTEST = 0.05  # decay of an integrand in a tail, beyond which a mean hardly exists


# cdf of the base laws, by what numpy does fast
_CDF: dict[str, Callable[[Array], Array]] = {
    "normal": special.ndtr,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
}


# of F and 1 − F: what is integrated below an outcome, and above
Both = Callable[[Array, Array], tuple[Array, Array]]


class Nodes(NamedTuple):
    """Points v (Q,) with weights in a tail (side ∓1) or between the knots (0), and the first of each panel.

    Between the knots also the integrals and slopes (J, Q) of the basis there.
    """

    side: int
    points: Array
    weights: Array
    starts: Indices
    area: Array
    slopes: Array

    def by_panel(self, values: Array) -> Array:
        """Sums (n, P) over each panel of values (n, Q)."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=1))


class Placed(NamedTuple):
    """Rows at points of their own, each (m, q): z with dz/dv, and u, the outcome on the line, with du/dv."""

    z: Array
    slope: Array
    u: Array
    speed: Array


@dataclass(frozen=True, eq=False)
class Curves:
    """The maps of n rows: outcomes on the line u = location + scale·r, and z = h(r).

    Parameters
    ----------
    basis : SlopeBasis, of h'.
    intercept, location : (n,) float64 arrays.
    slopes : (n, J) float64 array.
    scale : float.
    base : {"normal", "logistic"}.
    domain : Support.

    Example
    -------
    >>> zero, basis = np.zeros(1), SlopeBasis(np.arange(-2.0, 3.0))
    >>> lines = Curves(basis, zero, np.ones((1, 4)), zero, 1.0, "normal", Support())
    >>> round(float(sum(lines.masses(slice(None), nodes) @ nodes.weights for nodes in lines.grid)[0]), 12)
    1.0
    """

    basis: SlopeBasis
    intercept: Array
    slopes: Array
    location: Array
    scale: float
    base: str
    domain: Support

    def density(self, z: Array) -> Array:
        """Density of the base law."""
        return BASES[self.base].pdf(z)

    def both(self, z: Array) -> tuple[Array, Array]:
        """F and 1 − F of the base law, each to full relative accuracy."""
        return _CDF[self.base](z), _CDF[self.base](-z)

    def nearer(self, z: Array) -> Array:
        """The smaller of F and 1 − F of the base law."""
        return _CDF[self.base](-np.abs(z))

    @cached_property
    def ends(self) -> tuple[Array, Array]:
        """h at the outer knots (2, n) and its slopes beyond them (2, n)."""
        total = self.basis.table[1]
        return self.intercept + total[[0, -1]] @ self.slopes.T, self.slopes[:, [0, -1]].T

    @property
    def held(self) -> bool:
        """Whether the tables of all rows are small enough to be kept."""
        return 4 * self.slopes.size <= MOST_HELD

    def pieces(self, rows: slice) -> Pieces:
        """Tables of rows, cut from those of all rows where these are small."""
        if not self.held:
            return pieces(self.basis, self.intercept[rows], self.slopes[rows])
        p = self._all
        return Pieces(p.knots, p.heights[rows], p.slopes[:, rows], p.ends[:, rows])

    @cached_property
    def _all(self) -> Pieces:
        return pieces(self.basis, self.intercept, self.slopes)

    # ---- points --------------------------------------------------------------------------------------------

    @cached_property
    def counts(self) -> Indices:
        """Points by panel between the knots (K − 1,), from the steepest of the rows."""
        steep = steepest(self.basis, self.slopes) + (0.0 if self.domain.kind == "line" else self.scale)
        return node_counts(np.diff(self.basis.knots) * steep)

    @cached_property
    def grid(self) -> tuple[Nodes, Nodes, Nodes]:
        """Points of the lower tail, between the knots, of the upper tail, as smooth integrands need them."""
        lower, upper = self.edges(far=False)
        tails = (
            self.nodes(side, e[:-1], e[1:], np.full(len(e) - 1, TAIL_COUNT))
            for side, e in ((-1, lower), (1, upper))
        )
        return next(tails), self.between, next(tails)

    @cached_property
    def between(self) -> Nodes:
        """Those between the knots."""
        k = self.basis.knots
        return self.nodes(0, k[:-1], k[1:], self.counts)

    def nodes(self, side: int, low: Array, high: Array, counts: Indices, *, closed: bool = False) -> Nodes:
        """Points over panels (low, high) in v, all in one tail or between the knots."""
        points, weights = gauss(low, high, counts, closed=closed)
        area, slopes = (a.T for a in self.basis.evaluate(points)) if side == 0 else (points[:0], points[:0])
        return Nodes(side, points, weights, np.cumsum(counts) - counts, area, slopes)

    def edges(self, *, far: bool) -> tuple[Array, Array]:
        """Edges of the panels of both tails, in v, to where all is negligible.

        ``far``: whatever the integrand.
        """
        k, (heights, steep) = self.basis.knots, self.ends
        lower, upper = (self._beyond(side, side * heights[i], steep[i], far) for i, side in ((0, -1), (1, 1)))
        return k[0] - lower[::-1], k[-1] + upper

    def _beyond(self, side: int, height: Array, steep: Array, far: bool) -> Array:
        """Edges in z beyond an outer knot whose own is ``height`` away from zero, outwards."""
        wide = max(0.0, float(np.fmax.reduce(-height, initial=0.0)))  # of rows with most mass in the tail
        start = np.linspace(0, wide, 1 + int(min(40, np.ceil(wide / 3))))[:-1]
        if self.base == "normal":
            reach = 38.0
        else:
            heavy = self.domain.kind == ("below" if side < 0 else "above")
            least = np.fmin.reduce(steep, initial=np.inf)
            reach = DECAYED / max(1 - self.scale / least, FLATTEST) if heavy else DECAYED
            reach = TAIL[-1] if far else reach
        return np.concatenate([start, wide + TAIL[: 1 + np.searchsorted(TAIL[:-1], reach)]])

    # ---- rows at points ------------------------------------------------------------------------------------

    @cached_property
    def _alike(self) -> bool:
        """Whether rows differ in what they shift by alone."""
        return bool((self.slopes == self.slopes[:1]).all())

    def shapes(self, rows: slice) -> Array:
        """Slope coefficients (m, J) of rows, or (1, J) of all where they are the same."""
        return self.slopes[:1] if self._alike else self.slopes[rows]

    def heights(self, rows: slice, nodes: Nodes) -> Array:
        """z (m, Q) of rows at points that they share."""
        if nodes.side == 0:
            return np.asarray(self.shapes(rows) @ nodes.area + self.intercept[rows, None])
        i, edge = self._end(nodes.side)
        return np.asarray(self.ends[0][i, rows, None] + (nodes.points - edge))

    def masses(self, rows: slice, nodes: Nodes) -> Array:
        """dF/dv (m, Q) of rows at points that they share."""
        density = self.density(self.heights(rows, nodes))
        if nodes.side == 0:
            density *= self.shapes(rows) @ nodes.slopes
        return density

    def line(self, rows: slice, nodes: Nodes) -> tuple[Array, Array]:
        """Outcomes on the line u (m, Q) at points that rows share, and du/dv, (m, 1) or (1,)."""
        location = self.location[rows, None]
        if nodes.side == 0:
            return location + self.scale * nodes.points, np.array([self.scale])
        i, edge = self._end(nodes.side)
        speed = self.scale / self.ends[1][i, rows, None]
        return location + self.scale * edge + speed * (nodes.points - edge), speed

    def lift(self, rows: slice, nodes: Nodes) -> Array:
        """dy/dv at points that rows share, (m, Q) or what broadcasts to it."""
        if self.domain.kind == "line" and nodes.side == 0:
            return np.array([self.scale])
        return self.lifted(*self.line(rows, nodes))

    def lifted(self, u: Array, speed: Array) -> Array:
        """dy/dv given u and du/dv, zero where an outcome that overflows has no mass."""
        if self.domain.kind == "line":
            return speed
        lift = self.domain.stretch(u) * speed
        return np.where(np.isfinite(lift), lift, 0.0) if np.isinf(lift).any() else lift

    def _end(self, side: int) -> tuple[int, float]:
        """Row of the ends' tables, and outer knot, of a tail."""
        return (0, self.basis.knots[0]) if side < 0 else (1, self.basis.knots[-1])

    def tail(self, levels: Array, upper: bool) -> Array:
        """Outcomes on the line (n, m) of levels (m,) so small that they lie beyond the outer knot."""
        i, side = (1, 1.0) if upper else (0, -1.0)
        heights, steep = (e[i, :, None] for e in self.ends)
        z = -side * BASES[self.base].quantile(levels)
        r = self.basis.knots[-i] + (z - heights) / steep
        return np.asarray(self.location[:, None] + self.scale * r)

    def to_shared(self, rows: slice, u: Array) -> Array:
        """v (m, q) of outcomes on the line u (m, q)."""
        k, (_, steep) = self.basis.knots, self.ends
        r = (u - self.location[rows, None]) / self.scale
        below, above = np.minimum(r - k[0], 0.0), np.maximum(r - k[-1], 0.0)
        return np.asarray(
            np.clip(r, k[0], k[-1]) + below * steep[0, rows, None] + above * steep[1, rows, None]
        )

    def where(self, rows: slice, v: Array) -> Placed:
        """Rows at points v (m, q) of their own."""
        k, (_, steep) = self.basis.knots, self.ends
        inside = np.clip(v, k[0], k[-1])
        rate = np.where(v < k[0], steep[0, rows, None], np.where(v > k[-1], steep[1, rows, None], 1.0))
        r = inside + (v - inside) / rate
        z, slope = transform(self.pieces(rows), r)
        return Placed(z, slope / rate, self.location[rows, None] + self.scale * r, self.scale / rate)


# ---- moments -----------------------------------------------------------------------------------------------


def _normal_tail(a: Array) -> tuple[Array, Array, Array]:
    """∫ 1, z, z² dΦ over z < a."""
    P, d = special.ndtr(a), np.exp(-0.5 * a * a) / np.sqrt(2 * np.pi)
    return P, -d, P - a * d


def _logistic_tail(a: Array) -> tuple[Array, Array, Array]:
    """∫ 1, z, z² dΛ over z < a; the last by the dilogarithm."""
    P, soft = special.expit(a), np.logaddexp(0, a)
    return P, a * P - soft, a * a * P - 2 * a * soft - 2 * special.spence(1 + np.exp(np.minimum(a, 700)))


def tail_moments(base: str, height: Array, steep: Array) -> tuple[Array, Array, Array]:
    """∫ t^k φ(h(r)) dr (n,) for k = 0, 1, 2 over a tail, t the distance beyond its knot.

    ``height`` (n,) is h at the lower outer knot, or −h at the upper one, ``steep`` (n,) the slope of h there.
    """
    P, m1, m2 = (_normal_tail if base == "normal" else _logistic_tail)(height)
    return (
        P / steep,
        (height * P - m1) / steep**2,
        (height**2 * P - 2 * height * m1 + m2) / steep**3,
    )


def with_tails(
    first: Array, second: Array, knots: Array, tails: Sequence[tuple[Array, Array, Array, Array]]
) -> tuple[Array, Array]:
    """Moments (n,) about the middle knot: those between the knots, and of both tails.

    A tail has the three of `tail_moments`, and the slope there.
    """
    middle = knots[len(knots) // 2]
    for (*moments, steep), knot, sign in zip(tails, knots[[0, -1]], (-1.0, 1.0), strict=True):
        M0, M1, M2 = (m * steep for m in moments)  # dΛ = slope · φ dr
        edge = knot - middle
        first = first + edge * M0 + sign * M1
        second = second + edge**2 * M0 + 2 * sign * edge * M1 + M2
    return first, second


@on_one_thread
def moments(c: Curves) -> tuple[Array, Array]:
    """Mean and variance (n,) of outcomes on the line."""
    k, n, between = c.basis.knots, len(c.intercept), c.between
    heights, steep = c.ends
    middle = k[len(k) // 2]
    t = between.points - middle
    powers = np.stack([t, t * t], axis=1) * between.weights[:, None]
    sums = np.empty((n, 2))
    for rows in chunks(n, FEW * len(t)):
        sums[rows] = c.masses(rows, between) @ powers
    sides = ((heights[0], steep[0]), (-heights[1], steep[1]))  # the upper tail is the mirrored lower one
    tails = [(*tail_moments(c.base, height, slope), slope) for height, slope in sides]
    first, second = with_tails(sums[:, 0], sums[:, 1], k, tails)
    return c.location + c.scale * (first + middle), c.scale**2 * (second - first**2)


def _exponential_tail(
    height: Array, end: Array, edge: Array, lift: float, base: str, power: int, side: float
) -> Array:
    """∫ exp(power·u) dΛ(z) over the lower (side −1) or upper tail, where u = edge + lift·(z − height)/end."""
    b = power * lift / end
    at = np.exp(power * edge - b * height)
    if base == "normal":
        return np.asarray(at * np.exp(0.5 * b * b) * special.ndtr(side * (b - height)))
    # mirrored: ∫ ((1 − q)/q)^b dq over q < P, an incomplete beta integral
    b, P = side * b, special.expit(-side * height)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        inside = np.where(np.abs(b) < 0.9, b, 0.0)
        beta = special.beta(1 + inside, 1 - inside) * special.betainc(1 - inside, 1 + inside, P)
        # where the integrand is steepest: q^−b apart, the rest is smooth
        near = np.where((b >= 0.9) & (b < 1), b, 0.0)
        s = (NODES + 1) / 2
        q = P[:, None] * s ** (1 / (1 - near[:, None]))
        steep = P ** (1 - near) / (1 - near) * ((1 - q) ** near[:, None] @ (WEIGHTS / 2))
        low = np.where(b <= -0.9, -b, 1.0)
        q = P[:, None] * s**4
        flat = P * (((q / (1 - q)) ** low[:, None] * 4 * s**3) @ (WEIGHTS / 2))
        value = np.where(b >= 0.9, steep, np.where(b <= -0.9, flat, beta))
        return np.where(b < 1, at * value, np.inf)


@on_one_thread
def supported_moments(c: Curves) -> tuple[Array, Array]:
    """Mean and variance (n,) of outcomes on a half-line or an interval."""
    of = _between_moments if c.domain.kind == "between" else _one_sided_moments
    first, second = np.empty(len(c.intercept)), np.empty(len(c.intercept))
    for rows in chunks(len(first), FEW * len(c.grid[1].points)):
        first[rows], second[rows] = of(c, rows)
    return first, second


def _between_moments(c: Curves, rows: slice) -> tuple[Array, Array]:
    low, span = c.domain.low, c.domain.high - c.domain.low
    parts = [
        (c.masses(rows, nodes) * nodes.weights, special.expit(c.line(rows, nodes)[0])) for nodes in c.grid
    ]
    first = np.asarray(sum((m * v).sum(axis=1) for m, v in parts))
    second = np.asarray(sum((m * np.square(v - first[:, None])).sum(axis=1) for m, v in parts))
    return low + span * first, span**2 * second


def _one_sided_moments(c: Curves, rows: slice) -> tuple[Array, Array]:
    k, sign = c.basis.knots, 1.0 if c.domain.kind == "above" else -1.0
    between, raw = c.grid[1], []
    mass = c.masses(rows, between)
    rise = np.exp(sign * c.line(rows, between)[0])
    for power in (1, 2):
        mass *= rise
        inner = mass @ between.weights
        ends = [
            _exponential_tail(
                c.ends[0][i, rows],
                c.ends[1][i, rows],
                sign * (c.location[rows] + c.scale * k[-i]),
                sign * c.scale,
                c.base,
                power,
                side,
            )
            for i, side in ((0, -1.0), (1, 1.0))
        ]
        raw.append(inner + ends[0] + ends[1])
    with np.errstate(invalid="ignore"):
        var = np.where(np.isfinite(raw[1]), raw[1] - raw[0] ** 2, np.inf)
    bound = c.domain.low if sign > 0 else c.domain.high
    return bound + sign * raw[0], np.where(np.isfinite(raw[0]), var, np.inf)


# ---- distances between draws -------------------------------------------------------------------------------


@on_one_thread
def half_gap(c: Curves) -> Array:
    """½E|Y − Y'| (n,) = ∫ F·(1 − F) dy."""
    out = np.zeros(len(c.intercept))
    for nodes in c.grid:
        for rows in chunks(len(out), 8 * len(nodes.points)):
            near = c.nearer(c.heights(rows, nodes))
            near *= 1 - near
            near *= c.lift(rows, nodes)
            out[rows] += near @ nodes.weights
    return out


def crps(c: Curves, y: Array) -> Array:
    """∫ (F(t) − 1{y ≤ t})² dt (n, q) at outcomes (n, q)."""
    return _around(c, y, lambda F, S: (F * F, S * S))


def shortfall(c: Curves, y: Array) -> Array:
    """E max(y − Y, 0) (n, q) = ∫ F below y, at outcomes (n, q)."""
    return _around(c, y, lambda F, S: (F, np.zeros_like(S)))


def squares(c: Curves, y: Array, *, below: bool) -> Array:
    """∫ F² below outcomes (n, q), or ∫ (1 − F)² above them."""

    def of(F: Array, S: Array) -> tuple[Array, Array]:
        return (F * F, np.zeros_like(S)) if below else (np.zeros_like(F), S * S)

    return _around(c, y, of)


@on_one_thread
def _around(c: Curves, y: Array, of: Both) -> Array:
    """Integrals (n, q) of one function of F and 1 − F below outcomes (n, q) plus those of another above.

    Sums over panels are added up once for a row; only the panel that holds y is summed for each outcome.
    """
    out = np.empty(y.shape)
    lower, upper = c.edges(far=False)
    edges = np.concatenate([lower[:-1], c.basis.knots, upper[1:]])
    count = int(max(c.counts.max(), TAIL_COUNT))
    for rows in chunks(len(y), 8 * sum(len(nodes.points) for nodes in c.grid)):
        below, above = _sums(c, rows, of)
        for cols in chunks(y.shape[1], 24 * count * len(below)):
            given = c.to_shared(rows, c.domain.to_line(y[rows, cols]))
            v = np.clip(given, edges[0], edges[-1])
            at = np.clip(np.searchsorted(edges, v, side="right") - 1, 0, len(edges) - 2)
            end = c.where(rows, v)
            far = np.where(given > v, *of(*c.both(end.z))) * np.abs(y[rows, cols] - c.domain.from_line(end.u))
            out[rows, cols] = (
                np.take_along_axis(below, at, axis=1)
                + _inside(c, rows, edges[at], v, count, lambda F, S: of(F, S)[0])
                + _inside(c, rows, v, edges[at + 1], count, lambda F, S: of(F, S)[1])
                + np.take_along_axis(above, at, axis=1)
                + np.where(given == v, 0.0, far)
            )
    return out


def _sums(c: Curves, rows: slice, of: Both) -> tuple[Array, Array]:
    """Integrals below and above each panel, (m, P)."""
    parts = []
    for nodes in c.grid:
        lift = c.lift(rows, nodes) * nodes.weights
        parts.append([nodes.by_panel(share * lift) for share in of(*c.both(c.heights(rows, nodes)))])
    first, second = (np.concatenate(sums, axis=1) for sums in zip(*parts, strict=True))
    none = np.zeros((len(first), 1))
    below = np.concatenate([none, np.cumsum(first[:, :-1], axis=1)], axis=1)
    return below, np.concatenate([np.cumsum(second[:, :0:-1], axis=1)[:, ::-1], none], axis=1)


def _inside(
    c: Curves, rows: slice, low: Array, high: Array, count: int, of: Callable[[Array, Array], Array]
) -> Array:
    """Integrals (m, q) of a function of F and 1 − F over parts of panels."""
    x, w = panels(np.array([0.0, 1.0]), count)
    width = high - low
    s = c.where(rows, (low[..., None] + width[..., None] * x).reshape(len(low), -1))
    return np.asarray(width * ((of(*c.both(s.z)) * c.lifted(s.u, s.speed)).reshape(*low.shape, count) @ w))
