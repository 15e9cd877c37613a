"""Laws of rows under a fitted spline: functionals, and weighted sums over rows of their gradients in θ.

A distribution function moves with the coefficients by φ(h)·a, a quantile by −a over the slope, a functional
with influence function T' (its slope in y) by −∫ T'(y) φ(h) a dy.  The linear forms a of rows are never
written out: their weighted sums come from `RowTransform`.

References
----------
Hampel (1974), The influence curve and its role in robust estimation, JASA 69,
doi:10.1080/01621459.1974.10482962. Cowell, Flachaire (2015), Statistical methods for distributional analysis,
Handbook of Income Distribution 2A, ch. 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.spline_pieces import NODES, WEIGHTS, node_counts, panels
from disteconometrics.distributions.spline_sums import tail_moments, with_tails
from disteconometrics.distributions.support import Support
from disteconometrics.estimators.flow.spline_below import integrals_below
from disteconometrics.estimators.flow.spline_flow import Solution, SplineFlow
from disteconometrics.inference.law_effects import AtLevels, AtOutcome, RowMoments, RowValues, spreads
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.likelihoods.monotone import BASES, BaseLaw
from disteconometrics.likelihoods.row_curves import density_curves
from disteconometrics.likelihoods.row_sums import Inverse, Places, RowTransform, products

__all__ = ["SLOPES", "SplineRowLaws", "flow_on"]

SHARE = (NODES + 1) / 2
POWER = 8  # a tail's points crowd at probabilities near zero
DIGITS = 9.0  # of integrals, relative to the spread of a law
FEWEST, OF_GRADIENTS = 2, 1e-7  # points in a panel, error of what gradients are made of in each
CELLS = 100_000  # rows times points at once, which stay in cache
FAR = 1e8  # standardised outcomes
FEW_LEVELS = 3  # of quantiles
EACH = 256  # rows whose own gradients are taken at once


# Slopes of influence functions at outcomes y with probabilities F, where the functional is T and the mean m;
# of the variance of logarithms m is the mean of these.
SLOPES: dict[str, Any] = {
    "mean": lambda y, F, T, m: np.ones_like(y),
    "second moment": lambda y, F, T, m: 2 * y,
    "gini": lambda y, F, T, m: (2 * F - 1 - T) / m,
    "theil": lambda y, F, T, m: (np.log(y) - T - np.log(m)) / m,
    "mld": lambda y, F, T, m: 1 / m - 1 / y,
    "var_log": lambda y, F, T, m: 2 * (np.log(y) - m) / y,
}


class _AtPoint(NamedTuple):
    """Rows at an outcome, each (n,): standardised outcomes and their places, h and ∂h/∂r."""

    r: Array
    places: Places
    z: Array
    slope: Array


@dataclass(frozen=True, eq=False)
class SplineRowLaws:
    """The laws of rows with covariates ``X`` (n, K) under a solution; see `inference.law_effects.RowLaws`.

    Those of ``some`` rows of others take their points, so that averages of parts make that of the whole.
    """

    flow: SplineFlow
    solution: Solution
    X: Array
    single: bool = False  # whether the rows have one law, without covariates
    some: SplineRowLaws | None = None

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.X)

    @property
    def support(self) -> Support:
        """Where the outcome lives."""
        return self.flow.support

    @property
    def link(self) -> BaseLaw:
        """The law whose quantiles make a distribution function straight."""
        return BASES[self.flow.base]

    @property
    def origin(self) -> float:
        """A number that second moments are taken about."""
        return self.flow.centre.origin if self.support.kind == "line" else 0.0

    @cached_property
    def transform(self) -> RowTransform:
        """The rows' transformations."""
        return RowTransform(self.flow.structure, self.X)

    @cached_property
    def law(self) -> SplineLaw:
        """The law of every row."""
        return self.flow.law(self.solution.theta, self.X)

    @cached_property
    def location(self) -> Array:
        """Where standardised outcomes are zero (n,)."""
        return self.flow.centre.location(self.X)

    def take(self, rows: Any) -> SplineRowLaws:
        """The laws of some rows (positions or a slice)."""
        return replace(self, X=self.X[rows], some=self.some or self)

    def _standard(self, y: Array | float) -> Array:
        r = (self.support.to_line(np.asarray(y)) - self.location) / self.flow.centre.scale
        return np.clip(r, -FAR, FAR)  # at and beyond the ends of a support nothing is left to move

    # ---- at an outcome -------------------------------------------------------------------------------------

    @cached_property
    def _last(self) -> dict[float, _AtPoint]:
        """Where the rows were evaluated last: values and gradients ask for the same outcome in turn."""
        return {}

    def _at(self, y: float) -> _AtPoint:
        if y not in self._last:
            r = self._standard(y)
            places = Places.of(r, self.flow.structure.basis.knots)
            found = _AtPoint(r, places, *self.transform.values(self.solution.theta, r, places))
            self._last.clear()
            self._last[y] = found
        return self._last[y]

    def at(self, y: float) -> AtOutcome:
        """Distribution function and density (n,) of the rows' laws at an outcome."""
        p = self._at(y)
        return AtOutcome(self.link.cdf(p.z), self.link.pdf(p.z) * p.slope * self._lift(y))

    def _lift(self, y: Array | float) -> Any:
        """dr/dy at outcomes."""
        return np.exp(self.support.log_slope(np.asarray(y, dtype=float))) / self.flow.centre.scale

    def cdf_sums(self, y: float, W: Array) -> Array:
        """Σ w ∂F(y | x)/∂θ (v, p)."""
        p = self._at(y)
        return self.transform.sums(W * self.link.pdf(p.z)[:, None], p.r, places=p.places)

    def densities(self, y: Array, w: Array) -> tuple[Array, Array]:
        """Densities f(y | x) (n, Q), and Σ w ∂f/∂θ (Q, p)."""
        u = np.clip(self.support.to_line(y) / self.flow.centre.scale, -FAR, FAR)
        at, lift = self.location / self.flow.centre.scale, self._lift(y)
        pdf, sums = density_curves(self.transform, self.solution.theta, self.link, at, u, w)
        pdf *= lift
        return pdf, sums * lift[:, None]

    # ---- functionals of each row ---------------------------------------------------------------------------

    def by_row(self, functional: Functional, W: Array) -> RowValues:
        """A functional of every row's law (n,), and Σ w ∂T/∂θ (v, p) for weights W (n, v)."""
        kind, numbers = functional
        if kind == "q":
            return self._quantiles(numbers[0], W)
        if kind == "prob":
            low, high = numbers
            values = self.at(high).cdf - self.at(low).cdf
            return RowValues(values, self.cdf_sums(high, W) - self.cdf_sums(low, W))
        if kind == "other":
            return self._by_steps(numbers[0], W)
        if kind in ("mean", "var", "std"):
            return self._moment(kind, W)
        values = np.asarray(self.law.functional(kind)).reshape(len(self.X))
        return RowValues(values, self._influence_sums((kind,), values, W)[0])

    def _inverse(self, z: Array) -> Inverse:
        """The rows where h = z, () or (n,), remembered of few z, which every variable's effects ask for."""
        known, key = self._last_levels, z.tobytes()
        if key not in known:
            if len(known) == FEW_LEVELS:
                del known[next(iter(known))]
            known[key] = self.transform.inverse(self.solution.theta, z)
        return known[key]

    @cached_property
    def _last_levels(self) -> dict[bytes, Inverse]:
        """The levels whose quantiles were asked for last."""
        return {}

    def _placed(self, z: Array) -> tuple[Inverse, Array, Array]:
        """The rows where h = z, outcomes (n,) there, and slopes of h in these."""
        p = self._inverse(z)
        y = self.support.from_line(self.location + self.flow.centre.scale * p.r)
        return p, y, p.slope * self._lift(y)

    def at_levels(self, z: Array, W: Array) -> AtLevels:
        """Outcomes at h = z, () or of each row (n,), sums of gradients for weights W (n, v), densities."""
        p, y, slope = self._placed(z)
        sums = -self.transform.sums(W / slope[:, None], p.r, places=p.places)
        return AtLevels(y, sums, self.link.pdf(z) * slope)

    def _quantiles(self, tau: float, W: Array) -> RowValues:
        found = self.at_levels(self.link.quantile(np.array(tau)), W)
        return RowValues(found.values, found.sums)

    def quantile_density(self, tau: float) -> Array:
        """Densities (n,) of rows' laws at their quantiles."""
        z = self.link.quantile(np.array(tau))
        return np.asarray(self.link.pdf(z) * self._placed(z)[2])

    def _moment(self, kind: str, W: Array) -> RowValues:
        if kind == "mean":
            return RowValues(*self.means(W))
        return spreads(self, kind, W)

    def means(self, W: Array) -> tuple[Array, Array]:
        """Means of the rows' laws (n,), and Σ w ∂mean/∂θ (v, p)."""
        if self.support.kind == "line":
            found = self._on_line(W, second=False)
            return found.mean, found.first
        mean = np.asarray(self.law.mean()).reshape(len(self.X))
        return mean, self._influence_sums(("mean",), mean, W)[0]

    def moments(self, W: Array) -> RowMoments:
        """Mean and variance (n,), and Σ w ∂/∂θ (v, p) of the first two moments about `origin`."""
        if self.support.kind == "line":
            return self._on_line(W, second=True)
        mean, var = (np.asarray(v).reshape(len(self.X)) for v in (self.law.mean(), self.law.var()))
        return RowMoments(mean, var, *self._influence_sums(("mean", "second moment"), mean, W))

    def below(self, y: float, W: Array, moments: int = 2) -> tuple[Array, Array]:
        """∫ (u − origin)^j F(u | x) du below an outcome, and Σ w of gradients; see `RecordedRowLaws`."""
        scale = self.flow.centre.scale

        def moved(rows: Indices, r: Array) -> tuple[Array, ...]:
            u = self.location[rows, None] + scale * r
            lift = scale * self.support.stretch(u)
            return (lift,) if moments == 1 else (lift, lift * (self.support.from_line(u) - self.origin))

        return integrals_below(self.transform, self.solution.theta, self.link, self._standard(y), moved, W)

    # ---- integrals between and beyond the knots ------------------------------------------------------------

    @cached_property
    def _steepest(self) -> tuple[Indices, Array]:
        """Points by panel that do in every row (K − 1,), and the features (m, 2 + c) of rows farthest out."""
        if self.some is not None:
            return self.some._steepest
        knots, theta = self.flow.structure.basis.knots, self.solution.theta
        U, rise = self.transform.combined(theta), np.diff(self.transform.curves(theta, knots).heights)
        complete = ~np.isnan(U).any(axis=1)
        U = U[complete] if complete.any() else np.zeros((1, U.shape[1]))
        rises, steepest = np.zeros(len(knots) - 1), np.zeros(len(knots) - 1, np.intp)
        step = max(1, CELLS // len(knots))
        for i in range(0, len(U), step):
            own = U[i : i + step] @ rise
            at = own.argmax(axis=0)
            found = np.take_along_axis(own, at[None], axis=0)[0]
            steeper = found > rises
            rises[steeper], steepest[steeper] = found[steeper], i + at[steeper]
        far = np.unique(np.concatenate([steepest, U.argmax(axis=0), U.argmin(axis=0)]))
        return node_counts(rises, DIGITS), U[far]

    @property
    def _panels(self) -> tuple[Array, Array]:
        """Points between the knots and their weights."""
        return panels(self.flow.structure.basis.knots, self._steepest[0])

    @cached_property
    def _few_panels(self) -> tuple[Array, Array]:
        """The fewest with which moments and their gradients are the same in the rows farthest out.

        Where knots are close h is all but straight between two, so that few points do.
        """
        if self.some is not None:
            return self.some._few_panels
        knots, (most, U) = self.flow.structure.basis.knots, self._steepest
        middle, enough = _middle(knots), most.copy()
        whole = self._integrals(U, most, middle)
        for count in range(int(most.max()) - 1, FEWEST - 1, -1):
            found = self._integrals(U, np.minimum(most, count), middle)
            gaps = [np.abs(a - b).max(axis=(0, 1)) for a, b in zip(found, whole, strict=True)]
            good = (gaps[0] < 10.0**-DIGITS / len(most)) & (gaps[1] < OF_GRADIENTS) & (enough <= count + 1)
            enough[good] = np.minimum(enough[good], count)
        return panels(knots, enough)

    def _integrals(self, U: Array, counts: Indices, middle: float) -> tuple[Array, Array]:
        """Moments about the middle (2, m, K − 1), and ∫ φ(h) by powers of the place in a panel (4, …)."""
        knots = self.flow.structure.basis.knots
        points, weights = panels(knots, counts)
        curves = self.transform.curves(self.solution.theta, points)
        f, t = self.link.pdf(U @ curves.heights) * weights, points - middle
        place = (points - np.repeat(knots[:-1], counts)) / np.repeat(np.diff(knots), counts)
        mass = f * (U @ curves.slopes) * t
        parts = np.array([mass, mass * t, f, f * place, f * place**2, f * place**3])
        sums = np.add.reduceat(parts, np.cumsum(counts) - counts, axis=2)
        return sums[:2], sums[2:]

    def _on_line(self, W: Array, *, second: bool) -> RowMoments:
        """Moments and sums of their gradients on the line; beyond the knots they are closed forms."""
        t, s, k = self.transform, self.flow.centre.scale, self.flow.structure.basis.knots
        away = (self.location - self.origin)[:, None]
        f = self._between(np.concatenate([W, W * away], axis=1) if second else W, 2 if second else 1)
        tails = self._tails()
        first, variance = _standard_moments(f, k, tails)
        mean, var = self.location + s * first, s * s * variance
        nodes = np.concatenate([f.points, [k[0], k[0] - 1, k[-1], k[-1] + 1]])  # A is linear beyond the knots
        flat = np.column_stack([v for one in tails for v in (one.m0 - one.m1, one.m1)])
        by_spline = np.concatenate([f.by_spline, products(f.W, t.features.splines).T @ flat], axis=1)
        powers = f.powers[:, 0] + flat.sum(axis=1), f.powers[:, 1] + flat @ nodes[-4:]
        moved = -s * t.summed(f.W, *powers, by_spline, nodes)
        if not second:
            return RowMoments(mean, np.full(len(mean), np.nan), moved, np.zeros_like(moved))
        # 2y = 2(location − origin) + 2s·r, the former in the weights
        v, m = W.shape[1], W.shape[1] * t.features.splines.shape[1]
        steep = np.column_stack(
            [u for x, edge in zip(tails, k[[0, -1]], strict=True) for u in x.times_r(edge)]
        )
        of_r = np.concatenate(
            [by_spline[:m, :-4] * f.points, products(W, t.features.splines).T @ steep], axis=1
        )
        powers = f.powers[:, 1] + steep.sum(axis=1), f.powers[:, 2] + steep @ nodes[-4:]
        times_r = -s * t.summed(W, *powers, of_r, nodes)
        return RowMoments(mean, var, moved[:v], 2 * (moved[v:] + s * times_r))

    def _between(self, W: Array, moments: int) -> _Between:
        """Sums of the densities φ(h) of rows over points between the knots, with weights W (n, v)."""
        theta, (points, weights) = self.solution.theta, self._few_panels
        U, splines = self.transform.combined(theta), self.transform.features.splines
        curves = self.transform.curves(theta, points)
        t = points - _middle(self.flow.structure.basis.knots)
        slopes = [(curves.slopes * (weights * t ** (j + 1))).T for j in range(moments)]
        columns = np.column_stack([weights * points**j for j in range(moments + 1)] + slopes)
        of, sums = products(W, splines), np.empty((len(U), columns.shape[1]))
        by_spline = np.zeros((of.shape[1], len(points)))
        step = max(1, CELLS // len(points))
        for i in range(0, len(U), step):
            rows = slice(i, i + step)
            f = self.link.pdf(U[rows] @ curves.heights)
            np.matmul(f, columns, out=sums[rows])
            by_spline += of[rows].T @ f
        powers, by_slope = np.split(sums, [moments + 1], axis=1)
        found = np.zeros((2, len(U)))
        np.einsum("ijk,ik->ji", by_slope.reshape(len(U), moments, -1), U, out=found[:moments])
        return _Between(W, points, found, powers, by_spline * weights)

    def _tails(self) -> list[_Tail]:
        """What lies beyond the knots: ∫ t^j φ dr for j = 0, 1, 2, t the distance, on either side."""
        ends = self.flow.structure.basis.knots[[0, -1]]
        z, slope = self.transform.at_points(self.solution.theta, ends)
        return [
            _Tail(*tail_moments(self.flow.base, -sign * z[:, end], slope[:, end]), slope[:, end], sign)
            for end, sign in ((0, -1.0), (1, 1.0))
        ]

    def _influence_sums(self, kinds: Sequence[str], values: Array, W: Array) -> Array:
        """Σ w ∂T/∂θ (j, v, p) of functionals in `SLOPES` with values (n,); NaN if a row has no mean."""
        flow, theta, law, t = self.flow, self.solution.theta, self.law, self.transform
        mean = np.asarray(law.expect(np.log) if "var_log" in kinds else law.mean()).reshape(self.size)
        if not np.isfinite(mean[np.any(W != 0, axis=1)]).all():
            return np.full((len(kinds), W.shape[1], len(theta)), np.nan)
        k, (points, weights) = flow.structure.basis.knots, self._panels
        nodes = np.concatenate([points, [k[0], k[0] - 1, k[-1], k[-1] + 1]])
        U, between, ends = t.combined(theta), t.curves(theta, points), t.curves(theta, k[[0, -1]])
        of, step = products(W, t.features.splines), max(1, CELLS // len(points))
        by_spline = np.zeros((len(kinds), of.shape[1], len(nodes)))
        sums, first = np.empty((2, len(kinds), self.size))
        for i in range(0, self.size, step):
            rows = slice(i, i + step)
            z = U[rows] @ between.heights
            parts = [self._changes(kinds, rows, points[None], z, self.link.pdf(z) * weights, values, mean)]
            heights, steep = U[rows] @ ends.heights, U[rows] @ ends.slopes
            for end, side in ((0, -1.0), (1, 1.0)):
                P = self.link.cdf(-side * heights[:, end])[:, None]  # of the tail
                z = -side * self.link.quantile(P * SHARE**POWER)
                beyond = (z - heights[:, end : end + 1]) / steep[:, end : end + 1]
                mass = P * POWER * SHARE ** (POWER - 1) * WEIGHTS / 2 / steep[:, end : end + 1]  # φ(h) dr
                c = self._changes(kinds, rows, k[-end] + beyond, z, mass, values, mean)
                with np.errstate(invalid="ignore"):  # infinite where there is no such moment
                    far = (c * (side * beyond)).sum(axis=-1)
                    parts.append(np.stack([c.sum(axis=-1) - far, far], axis=-1))
            found = np.concatenate(parts, axis=-1)
            with np.errstate(invalid="ignore"):
                sums[:, rows], first[:, rows] = found.sum(axis=-1), found @ nodes
                by_spline += of[rows].T @ found
        with np.errstate(invalid="ignore"):
            each = zip(sums, first, by_spline, strict=True)
            return -np.array([t.summed(W, a, b, c, nodes) for a, b, c in each])

    def _changes(
        self, kinds: Sequence[str], rows: slice, r: Array, z: Array, mass: Array, values: Array, mean: Array
    ) -> Array:
        """T'(y)·dy/dr·mass (j, m, Q) of functionals at points r (m, Q), or (1, Q), of rows."""
        a, scale = self.location[rows, None], self.flow.centre.scale
        out = np.zeros((len(kinds), *z.shape))
        with np.errstate(all="ignore"):  # the slope from u: a y that rounds to the upper end has none
            lift = scale * self._stretches(a, scale * r) * mass
            moves = lift > 0
            for to, kind in zip(out, kinds, strict=True):
                if kind == "mean":
                    np.copyto(to, lift, where=moves)
                    continue
                y = self.support.from_line(a + scale * r)
                F = self.link.cdf(z) if kind == "gini" else z  # of the others none reads it
                of = SLOPES[kind](y, F, values[rows, None], mean[rows, None])
                np.multiply(of, lift, out=to, where=moves)
        return out

    def _stretches(self, a: Array, move: Array) -> Array:
        """dy/du at u = a + move (m, Q), of exponentials as a product where rows share what moves."""
        if len(move) == 1 and self.support.kind in ("above", "below"):
            return self.support.stretch(a) * self.support.stretch(move)
        return self.support.stretch(a + move)

    # ---- anything else -------------------------------------------------------------------------------------

    def _by_steps(self, of: Callable[[SplineLaw], Any], W: Array) -> RowValues:
        """Values (n,) of a function of the laws, and sums of gradients by differences along the axes of V."""
        theta, n = self.solution.theta, len(self.X)

        def at(theta: Array) -> Array:
            return as_floats(of(self.flow.law(theta, self.X, single=self.single))).reshape(n)

        values, vectors = np.linalg.eigh(self.solution.covariance)
        kept = values > 1e-12 * values[-1]
        sizes, axes = np.sqrt(values[kept]), vectors[:, kept].T
        step = 0.02  # standard errors: laws stay inside their domain, a difference loses four digits at most
        moves = [step * s * a for s, a in zip(sizes, axes, strict=True)]
        D = np.array([W.T @ (at(theta + m) - at(theta - m)) / (2 * step) for m in moves])  # (axes, v)
        return RowValues(at(theta), (D / sizes[:, None]).T @ axes)

    def each(self, functional: Functional) -> tuple[Array, Array]:
        """A functional of every row's law (n,), and its gradient in each row (n, p)."""
        complete = np.flatnonzero(
            ~np.isnan(self.X).any(axis=1)
        )  # one without a law would leave none an error
        values, G = np.full(len(self.X), np.nan), np.full((len(self.X), len(self.solution.theta)), np.nan)
        for i in range(0, len(complete), EACH):
            at = complete[i : i + EACH]
            values[at], G[at] = self.take(at).by_row(functional, np.eye(len(at)))
        return values, G

    def each_on_link(self, y: Array) -> tuple[Array, Array]:
        """h at an outcome of each row (n,), and its gradient (n, p), which is A."""
        A, _, _ = self.flow.forms(y, self.X)
        return A @ self.solution.theta, A


class _Tail(NamedTuple):
    """∫ t^j φ dr (n,) for j = 0, 1, 2 beyond an outer knot, the slope of h there, and on which side it is."""

    m0: Array
    m1: Array
    m2: Array
    slope: Array
    sign: float

    def times_r(self, edge: float) -> tuple[Array, Array]:
        """∫ r φ less ∫ r t φ, and the latter."""
        a, b = edge * self.m0 + self.sign * self.m1, edge * self.m1 + self.sign * self.m2
        return a - b, b


class _Between(NamedTuple):
    """Sums over points between the knots, with weights W (n, v).

    ``moments`` (2, n) of r about the middle knot, the second if asked for, ``powers`` ∫ r^j φ dr (n, j + 1),
    and ``by_spline`` Σ_i w_i u_ij φ_iq (v·c, Q), with the points' weights.
    """

    W: Array
    points: Array
    moments: Array
    powers: Array
    by_spline: Array


def _middle(k: Array) -> float:
    """What moments are taken about, as in `with_tails`."""
    return float(k[len(k) // 2])


def _standard_moments(f: _Between, k: Array, tails: list[_Tail]) -> tuple[Array, Array]:
    """Mean and variance (n,) of r, from what lies between the knots k and beyond."""
    first, second = with_tails(f.moments[0], f.moments[1], k, [(t.m0, t.m1, t.m2, t.slope) for t in tails])
    return first + _middle(k), second - first**2


def flow_on(
    flow: SplineFlow, theta: Array, outcome: str, on: Any
) -> tuple[SplineFlow, Callable[[SplineLaw], Law]]:
    """The flow of the outcome on another scale, if it is one there, and what brings its laws to it."""

    def scale(law: SplineLaw) -> Law:
        named = law.named(outcome)
        return named if on is None else named.on(on)

    law = scale(flow.any_law(theta))
    if on is None or not isinstance(law, SplineLaw):
        return flow, scale
    return replace(flow, support=law.domain), lambda law, name=law.outcome: law.named(name)
