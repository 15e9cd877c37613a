"""Laws given by a monotone cubic spline with linear tails: F(y) = Λ(h((y − location)/scale)), one per row.

Between knots h is a cubic, outside it is a line, so cdf, density and sampling are table look-ups, quantiles a
bracketed Newton iteration on one cubic, and moments Gauss-Legendre sums over the intervals plus closed forms
in the tails.

References
----------
Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, NeurIPS 32, arXiv:1906.04032.
Hothorn, Möst, Bühlmann (2018), Most likely transformations, Scandinavian J. Statistics 45,
doi:10.1111/sjos.12291.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Indices
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.maps import Exp, Map
from disteconometrics.distributions.support import LINE, Support
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.splines import SlopeBasis

__all__ = [
    "Pieces",
    "SplineLaw",
    "chunks",
    "invert",
    "moments",
    "panels",
    "panels_by_rise",
    "pieces",
    "tail_moments",
    "transform",
]


NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
RULES = ((0.3, 4), (0.8, 5), (1.5, 7), (3.0, 10))  # rises of h below which so many points are enough
MOST_CELLS = 2_000_000  # of a temporary array


class Pieces(NamedTuple):
    """Cubics of n rows on knots (K,): heights (n, K), slope polynomials (3, n, K − 1), end slopes (2, n)."""

    knots: Array
    heights: Array
    slopes: Array
    ends: Array


def pieces(basis: SlopeBasis, intercept: Array, slopes: Array) -> Pieces:
    """Tables of the transformations with intercepts (n,) and slope coefficients (n, J)."""
    poly, total = basis.table
    heights = intercept[:, None] + slopes @ total.T
    P = np.stack([slopes @ poly[:, i].T for i in range(3)])
    return Pieces(basis.knots, heights, P, np.stack([slopes[:, 0], slopes[:, -1]]))


def _at(table: Array, where: Indices) -> Array:
    return np.take_along_axis(table, where, axis=-1)


def transform(p: Pieces, r: Array) -> tuple[Array, Array]:
    """h and ∂h/∂r (n, m) at standardised outcomes r (n, m)."""
    k = p.knots
    inside = np.clip(r, k[0], k[-1])
    where = np.clip(np.searchsorted(k, inside, side="right") - 1, 0, len(k) - 2)
    u = inside - k[where]
    a, b, c = (_at(p.slopes[i], where) for i in range(3))
    slope = a + u * (b + u * c)
    with np.errstate(invalid="ignore"):
        beyond = r - inside
        beyond = np.where(np.isnan(beyond) & ~np.isnan(r), r, beyond)
        return _at(p.heights, where) + u * (a + u * (b / 2 + u * (c / 3))) + beyond * slope, slope


def _root(slopes: Sequence[Array], rest: Array, rise: Array, width: Array, unit: float) -> Array:
    """u (m,) in [0, width] where the integral of a + b·u + c·u² is ``rest``, of ``rise`` over the whole.

    Bracketed Newton steps.

    After three steps all but a few in ten thousand are there; the others go on alone.
    """
    start = np.clip(rest / np.maximum(rise, 1e-300), 0, 1) * width
    found, at = start.copy(), np.arange(len(start))
    now = [*slopes, rest, np.zeros(len(start)), width.copy(), start]
    for _ in range(80):
        a, b, c, r, low, high, u = now
        value, slope = u * (a + u * (b / 2 + u * (c / 3))) - r, a + u * (b + u * c)
        low, high = np.where(value <= 0, u, low), np.where(value >= 0, u, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = u - value / slope
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        found[at] = new
        going = np.abs(new - u) > 4e-16 * unit
        if not going.any():
            break
        now = [a, b, c, r, low, high, new]
        if going.sum() < 0.75 * len(going):
            now, at = [v[going] for v in now], at[going]
    return found


def invert(p: Pieces, z: Array) -> Array:
    """r (n, m) with h(r) = z (n, m), to rounding."""
    k, H = p.knots, p.heights
    inside = np.clip(z, H[:, :1], H[:, -1:])
    where = np.zeros(z.shape, dtype=np.intp)
    for j in range(1, len(k) - 1):
        where += inside >= H[:, j : j + 1]
    rest, rise = inside - _at(H, where), _at(np.diff(H, axis=1), where)
    u = _root(
        [_at(s, where).ravel() for s in p.slopes],
        rest.ravel(),
        rise.ravel(),
        np.diff(k)[where].ravel(),
        k[-1] - k[0],
    )
    u = u.reshape(z.shape)
    with np.errstate(invalid="ignore"):
        below, above = z - H[:, :1], z - H[:, -1:]
        tail = np.where(
            below < 0, below / p.ends[0][:, None], np.where(above > 0, above / p.ends[1][:, None], 0.0)
        )
    return k[where] + u + tail


def chunks(rows: int, cells: int) -> Iterator[slice]:
    """Slices of rows whose temporaries of ``cells`` per row stay small."""
    step = max(1, MOST_CELLS // max(cells, 1))
    for i in range(0, rows, step):
        yield slice(i, min(i + step, rows))


def panels(knots: Array) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights over the intervals between knots (K,), each (16·(K − 1),)."""
    width = np.diff(knots)[:, None]
    return (knots[:-1, None] + width * (NODES + 1) / 2).ravel(), (width * WEIGHTS / 2).ravel()


def panels_by_rise(knots: Array, rises: Array) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights over the intervals between knots (K,), more where h rises by more.

    For integrals of φ(h) times a polynomial the error is below 1e-10 of the law's spread.
    """
    points, weights = [], []
    for low, high, rise in zip(knots[:-1], knots[1:], rises, strict=True):
        count = next((m for most, m in RULES if rise < most), len(NODES))
        x, w = (NODES, WEIGHTS) if count == len(NODES) else np.polynomial.legendre.leggauss(count)
        points.append(low + (high - low) * (x + 1) / 2)
        weights.append((high - low) * w / 2)
    return np.concatenate(points), np.concatenate(weights)


def _normal_tail(a: Array) -> tuple[Array, Array, Array]:
    """∫ 1, z, z² dΦ over z < a."""
    P, d = special.ndtr(a), np.exp(-0.5 * a * a) / np.sqrt(2 * np.pi)
    return P, -d, P - a * d


def _logistic_tail(a: Array) -> tuple[Array, Array, Array]:
    """∫ 1, z, z² dΛ over z < a; the last by the dilogarithm."""
    P, soft = special.expit(a), np.logaddexp(0, a)
    return P, a * P - soft, a * a * P - 2 * a * soft - 2 * special.spence(1 + np.exp(np.minimum(a, 700)))


def tail_moments(base: str, p: Pieces, end: int) -> tuple[Array, Array, Array]:
    """∫ t^k φ(h(r)) dr (n,) for k = 0, 1, 2 over the lower (0) or upper (1) tail, t beyond the outer knot."""
    height = p.heights[:, 0] if end == 0 else -p.heights[:, -1]  # the upper tail is the mirrored lower one
    P, m1, m2 = (_normal_tail if base == "normal" else _logistic_tail)(height)
    c = p.ends[end]
    return P / c, (height * P - m1) / c**2, (height**2 * P - 2 * height * m1 + m2) / c**3


def moments(p: Pieces, base: str) -> tuple[Array, Array]:
    """Mean and variance of r (n,)."""
    k, n = p.knots, len(p.heights)
    points, weights = panels(k)
    first, second = np.zeros(n), np.zeros(n)
    middle = k[len(k) // 2]
    for rows in chunks(n, len(points)):
        part = Pieces(k, p.heights[rows], p.slopes[:, rows], p.ends[:, rows])
        z, slope = transform(part, np.broadcast_to(points, (len(part.heights), len(points))))
        mass = np.exp(BASES[base].logpdf(z)) * slope * weights
        first[rows], second[rows] = mass @ (points - middle), mass @ np.square(points - middle)
    for end, edge, sign in ((0, k[0] - middle, -1.0), (1, k[-1] - middle, 1.0)):
        M0, M1, M2 = (m * p.ends[end] for m in tail_moments(base, p, end))  # dΛ = end slope · φ dr
        first += edge * M0 + sign * M1
        second += edge**2 * M0 + 2 * sign * edge * M1 + M2
    return first + middle, second - first**2


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


def supported_moments(
    p: Pieces, base: str, location: Array, scale: float, support: Support
) -> tuple[Array, Array]:
    """Mean and variance (n,) of outcomes on a half-line or an interval."""
    k = p.knots
    points, weights = panels(k)
    z, slope = transform(p, np.broadcast_to(points, (len(location), len(points))))
    mass = np.exp(BASES[base].logpdf(z)) * slope * weights
    u = location[:, None] + scale * points
    edges = location + scale * k[0], location + scale * k[-1]
    if support.kind == "between":  # bounded, so sums over probabilities converge fast
        graded = ((NODES + 1) / 2) ** 6
        share = 3 * ((NODES + 1) / 2) ** 5 * WEIGHTS
        parts = [(mass, special.expit(u))]
        for side, H in ((-1.0, p.heights[:, 0]), (1.0, p.heights[:, -1])):
            P = BASES[base].cdf(-side * H)[:, None]
            tail = -side * BASES[base].quantile(P * graded)
            r = invert(p, tail)
            parts.append((P * share, special.expit(location[:, None] + scale * r)))
        first = sum((m * v).sum(axis=1) for m, v in parts)
        second = sum((m * np.square(v - first[:, None])).sum(axis=1) for m, v in parts)
        span = support.high - support.low
        return support.low + span * first, span**2 * second
    sign = 1.0 if support.kind == "above" else -1.0
    raw = []
    for power in (1, 2):
        inner = (mass * np.exp(power * sign * u)).sum(axis=1)
        ends = [
            _exponential_tail(
                p.heights[:, i],
                p.ends[j],
                sign * edges[j],
                sign * scale,
                base,
                power,
                side,
            )
            for i, j, side in ((0, 0, -1.0), (-1, 1, 1.0))
        ]
        raw.append(inner + ends[0] + ends[1])
    with np.errstate(invalid="ignore"):
        var = np.where(np.isfinite(raw[1]), raw[1] - raw[0] ** 2, np.inf)
    bound = support.low if sign > 0 else support.high
    return bound + sign * raw[0], np.where(np.isfinite(raw[0]), var, np.inf)


@final
@dataclass(frozen=True, eq=False)
class SplineLaw(Law):
    """Laws F(y) = Λ(h((u(y) − location)/scale)) with h a monotone cubic spline, one per row, or a single one.

    Parameters
    ----------
    knots : (K,) float64 array, shared by the rows.
    intercept : (n,) float64 array, h at the middle knot.
    slopes : (n, K − 1) float64 array of positive slope coefficients.
    location : (n,) float64 array, where the standardised outcome is zero; NaN where a covariate is missing.
    scale : float.
    base : {"normal", "logistic"}, the law Λ.
    domain : Support, whose map onto the line is u.
    single : bool, whether this is one law (batch shape ()) instead of one per row; n is 1 then.

    Examples
    --------
    >>> zero, knots = np.zeros(1), np.linspace(-2, 2, 5)
    >>> law = SplineLaw(knots, zero, np.ones((1, 4)), zero, 1.0, "normal", single=True)
    >>> float(law.cdf(0.0)), law.quantile([0.5, 0.975]).round(4).tolist(), round(float(law.std()), 6)
    (0.5, [0.0, 1.96], 1.0)
    """

    knots: Array
    intercept: Array
    slopes: Array
    location: Array
    scale: float
    base: str
    domain: Support = LINE
    single: bool = False

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() for a single law, (n,) for one per row."""
        return () if self.single else (len(self.intercept),)

    def support(self) -> tuple[Array, Array]:
        """The declared support, NaN where a covariate is missing."""
        gap = np.where(np.isnan(self.intercept + self.location), np.nan, 0.0).reshape(self.batch_shape)
        return gap + self.domain.low, gap + self.domain.high

    @cached_property
    def basis(self) -> SlopeBasis:
        """The slope functions on the knots."""
        return SlopeBasis(self.knots)

    def rows(self, rows: Any) -> SplineLaw:
        """The laws of some rows (a slice, positions or a mask)."""
        take = {name: getattr(self, name)[rows] for name in ("intercept", "slopes", "location")}
        return replace(self, **take, single=False).named(self.outcome)

    # ---- hooks, of outcomes and levels of shape batch + (m,) -----------------------------------------------

    def _pieces(self, rows: slice) -> Pieces:
        return pieces(self.basis, self.intercept[rows], self.slopes[rows])

    def _table(self, values: Array) -> Array:
        return values.reshape(len(self.intercept), -1)

    def _evaluate(self, values: Array, of: Callable[[Array, Array, Array], Array]) -> Array:
        y = self._table(values)
        out = np.empty(y.shape)
        for rows in chunks(len(y), 4 * y.shape[1] + 4 * len(self.knots)):
            r = (self.domain.to_line(y[rows]) - self.location[rows, None]) / self.scale
            out[rows] = of(y[rows], *transform(self._pieces(rows), r))
        return out.reshape(values.shape)

    def _logpdf(self, y: Array) -> Array:
        law, shift = BASES[self.base], np.log(self.scale)
        return self._evaluate(
            y, lambda y, z, slope: law.logpdf(z) + np.log(slope) - shift + self.domain.log_slope(y)
        )

    def _cdf(self, y: Array) -> Array:
        return self._evaluate(y, lambda y, z, slope: BASES[self.base].cdf(z))

    def _sf(self, y: Array) -> Array:
        return self._evaluate(y, lambda y, z, slope: BASES[self.base].cdf(-z))

    def _quantile(self, tau: Array) -> Array:
        return self._from_standard(BASES[self.base].quantile(tau))

    def _isf(self, tau: Array) -> Array:
        return self._from_standard(-BASES[self.base].quantile(tau))

    def _from_standard(self, given: Array) -> Array:
        """Outcomes with h = z, for z of shape batch + (m,)."""
        z = self._table(given)
        out = np.empty(z.shape)
        for rows in chunks(len(z), 12 * z.shape[1] + 4 * len(self.knots)):
            out[rows] = self.location[rows, None] + self.scale * invert(self._pieces(rows), z[rows])
        return self.domain.from_line(out).reshape(given.shape)

    def _pushed(self, maps: Sequence[Map]) -> Law:
        # its moments are known
        if self.domain.kind == "line" and isinstance(maps, Sequence) and list(maps) == [Exp()]:
            return replace(self, domain=Support(low=0.0))
        return super()._pushed(maps)

    # ---- moments -------------------------------------------------------------------------------------------

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        """Mean and variance, batch shape.

        They are infinite where a declared support meets a tail too heavy to have one.
        """
        mean, var = np.empty(len(self.intercept)), np.empty(len(self.intercept))
        for rows in chunks(len(mean), 40 * len(self.knots)):
            p = self._pieces(rows)
            if self.domain.kind == "line":
                m, v = moments(p, self.base)
                mean[rows], var[rows] = self.location[rows] + self.scale * m, self.scale**2 * v
            else:
                mean[rows], var[rows] = supported_moments(
                    p, self.base, self.location[rows], self.scale, self.domain
                )
        return mean.reshape(self.batch_shape), var.reshape(self.batch_shape)

    def _mean(self) -> Array:
        return self._moments[0]

    def _var(self) -> Array:
        return self._moments[1]
