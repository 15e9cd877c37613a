"""Inference on a fitted flow: covariance of its coefficients, functionals with gradients, limits, bands.

The coefficients solve Σ s_i = Sθ with S the penalty, so V = H⁻¹(J·n/(n − e) + S)H⁻¹, H the penalised
information, J the meat of the scores and e the effective parameters: the sandwich HC1, with the penalty as
the prior that it stands for.  Functionals are differentiated exactly: a distribution function moves by
φ(z)·a, a quantile by −a over the slope, a mean by −∫ φ(h)·a dy. Limits of quantiles invert the band of h.

References
----------
White (1982), Maximum likelihood estimation of misspecified models, Econometrica 50, doi:10.2307/1912526.
Nychka (1988), Bayesian confidence intervals for smoothing splines, JASA 83,
doi:10.1080/01621459.1988.10478711. Wood (2006), On confidence intervals for generalized additive models,
Aust. N. Z. J. Statistics 48, doi:10.1111/j.1467-842X.2006.00450.x.
Montiel Olea, Plagborg-Møller (2019), Simultaneous confidence bands, J. Applied Econometrics 34,
doi:10.1002/jae.2656.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.functionals import functional_name
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import floats
from disteconometrics.distributions.spline import SplineLaw, chunks
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.estimators.flow.spline_flow import Solution, SplineFlow
from disteconometrics.estimators.flow.spline_influence import SLOPES, gradients
from disteconometrics.estimators.flow.spline_sample import SplineSample
from disteconometrics.inference.covariance import Cluster, CovarianceKind, covariance
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.protocols import ArrayScores, MEstimate
from disteconometrics.likelihoods.monotone import BASES

__all__ = [
    "SLOPES",
    "Moved",
    "RowLaws",
    "check_kind",
    "coefficient_covariance",
    "functional_on",
    "parse_functional",
]

Functional = tuple[str, tuple[Any, ...]]  # a kind and its numbers; "other" and a function of a law

GRID = 60  # points of a curve
DRAWS = 4000  # of the Gaussian process behind a uniform band
LIMITS = ("conf_low", "conf_high", "band_low", "band_high")
SANDWICH = (
    "sandwich = H⁻¹(J·n/(n-e) + S)H⁻¹, J the scores' products, S the penalty, e the effective parameters."
)


class Moved(NamedTuple):
    """Values (q,) and their gradients in θ (q, p)."""

    values: Array
    gradients: Array

    def errors(self, V: Array) -> Array:
        """Standard errors (q,) where V (p, p) is the covariance of θ."""
        return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", self.gradients, V, self.gradients)))

    def estimates(self, names: Iterable[Any], V: Array) -> Estimates:
        """The values as estimates of functionals, with their covariance."""
        covariance = self.gradients @ V @ self.gradients.T
        return Estimates(tuple(map(functional_name, names)), self.values, covariance)


# ---- covariance of the coefficients ------------------------------------------------------------------------


def _scores(
    flow: SplineFlow, theta: Array, s: SplineSample, rows: int | None = None
) -> Iterator[ArrayScores]:
    """The score rows of a flow, part by part."""
    base = BASES[flow.base]
    for part in chunks(len(s.y), 6 * len(theta)):
        A, D, _ = flow.forms(s.y[part], s.X[part])
        z, slope = A @ theta, D @ theta
        scores = D / slope[:, None] - A * base.first(z)[:, None]
        w = None if s.weights is None else s.weights[part]
        if w is not None and not s.counts:
            scores = scores * w[:, None]
            w = None
        yield ArrayScores(scores, A * np.sqrt(base.second(z))[:, None], w)


def check_kind(kind: CovarianceKind) -> CovarianceKind:
    """Refuse covariances that have no meaning under a penalty.

    Raises
    ------
    OptionError
    """
    if isinstance(kind, Cluster) and kind.correction in ("jackknife", "cr1"):
        raise OptionError(
            f"correction={kind.correction!r} is not available for flows; use 'groups' or 'none'."
        )
    if isinstance(kind, str) and kind not in ("nonrobust", "HC0", "HC1"):
        raise OptionError(
            f"cov={kind!r} is not available for flows; use 'sandwich' (HC1), 'HC0', 'nonrobust', "
            "de.Cluster('column') or de.HAC('time')."
        )
    return kind


def coefficient_covariance(
    flow: SplineFlow,
    solution: Solution,
    sample: SplineSample,
    kind: CovarianceKind,
    codes: Callable[..., Any],
    order: Callable[..., Any],
) -> tuple[Array, str, str]:
    """V (p, p) of the coefficients, its label and the note under the table.

    Raises
    ------
    DataError, WithheldError
    """
    p = len(solution.theta)
    names = tuple(f"theta{i}" for i in range(p))
    source = partial(_scores, flow, solution.theta, sample)
    weight_type = None if sample.weights is None else "frequency" if sample.counts else "sampling"
    n = sample.size
    equation = MEstimate(
        names, solution.theta, solution.root, solution.root, n, len(sample.y), source, weight_type
    )
    V = covariance(equation, "HC0" if kind == "HC1" else kind, codes=codes, order=order)
    if kind == "nonrobust":  # H⁻¹ of the penalised information: the Bayesian covariance
        return V.matrix, "nonrobust", "nonrobust = inverse penalised information."
    W = solution.root @ (solution.root.T @ _half(solution.penalty))
    matrix = _for_few_rows(V.matrix, kind, solution.effective, n) + W @ W.T
    words = V.label, f"{V.note} The penalty is added as a prior."
    return (matrix + matrix.T) / 2, *(("sandwich", SANDWICH) if kind == "HC1" else words)


def _for_few_rows(matrix: Array, kind: CovarianceKind, effective: float, n: float) -> Array:
    """A covariance times n/(n − e), where the kind asks for it."""
    if kind == "HC0" or (isinstance(kind, Cluster) and kind.correction == "none"):
        return matrix
    if effective >= n:
        raise WithheldError(f"{effective:.0f} effective parameters for {n:g} observations; use cov='HC0'.")
    return matrix * (n / (n - effective))


def _half(S: Array) -> Array:
    """L with L·L' = S for a positive semi-definite S."""
    values, vectors = np.linalg.eigh(S)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


# ---- functionals -------------------------------------------------------------------------------------------

NUMBERS = {"q": 1, "prob": 2}  # that a functional takes
_CALL = re.compile(r"\s*(mean|std|var|median|q|prob)\s*(?:\[([^\]]*)\])?\s*")


def is_analytic(name: Any) -> bool:
    """Whether `parse_functional` reads a name."""
    return isinstance(name, str) and _CALL.fullmatch(name) is not None


def parse_functional(name: Any) -> Functional:
    """Read ``mean``, ``std``, ``var``, ``median``, ``q[0.9]`` or ``prob[a,b]``.

    Raises
    ------
    OptionError
        If the text is none of these.

    Examples
    --------
    >>> parse_functional("q[0.9]")
    ('q', (0.9,))
    """
    found = _CALL.fullmatch(name) if isinstance(name, str) else None
    kind, numbers = (found[1], _numbers(found[2])) if found else ("", (np.nan,))
    increasing = (0.0, *numbers, 1.0) if kind == "q" else numbers
    if len(numbers) != NUMBERS.get(kind, 0) or not all(a < b for a, b in pairwise(increasing)):
        raise OptionError(
            f"{name!r} is no functional with standard errors here; use 'mean', 'std', 'var', 'median', "
            f"'q[0.9]' (a level between 0 "
            "and 1) or 'prob[a,b]' with a < b."
        )
    return ("q", (0.5,)) if kind == "median" else (kind, numbers)


def _numbers(inside: str | None) -> tuple[float, ...]:
    """The numbers in brackets; NaN where there is something else."""
    try:
        return () if inside is None else tuple(float(v) for v in inside.split(","))
    except ValueError:
        return (np.nan,)


def functional_on(name: Any, scale: Callable[[SplineLaw], Law], one: SplineLaw, exact: bool) -> Functional:
    """A functional of laws brought to a scale.

    ``one`` shows whether laws have it, ``exact`` that the flow itself is on the scale.
    """
    if exact and is_analytic(name):
        return parse_functional(name)
    if exact and name in SLOPES:
        scale(one).functional(name)  # refuses a law that is not of positive outcomes
        return name, ()
    return "other", (lambda law: scale(law).functional(name),)


def _spread(kind: str, var: Any, dvar: Array) -> tuple[Any, Array]:
    """A variance or its root, with gradients."""
    return (var, dvar) if kind == "var" else (np.sqrt(var), dvar / (2 * np.sqrt(var))[..., None])


@dataclass(frozen=True, eq=False)
class RowLaws:
    """Laws of rows with covariates ``X`` (n, K) under a solution, and their average with weights (n,)."""

    flow: SplineFlow
    solution: Solution
    X: Array
    weights: Array | None = None

    @cached_property
    def law(self) -> SplineLaw:
        """The law of every row."""
        return self.flow.law(self.solution.theta, self.X)

    @cached_property
    def shares(self) -> Array:
        """Weights (n,) of sum one."""
        n, w = len(self.X), self.weights
        return np.full(n, 1 / n) if w is None else w / w.sum()

    def parts(self, size: int) -> Iterator[tuple[RowLaws, Array]]:
        """The rows in parts of so many numbers a row, with their shares."""
        for rows in chunks(len(self.X), size):
            yield replace(self, X=self.X[rows]), self.shares[rows]

    def moments(self) -> tuple[Array, Array, Array]:
        """Means of y (n,), and gradients (n, p) of the first and second moment about zero."""
        flow, theta, X = self.flow, self.solution.theta, self.X
        if flow.support.kind == "line":
            m, dm, dm2 = flow.mean_gradients(theta, X)
            a, s = flow.centre.location(X), flow.centre.scale
            return a + s * m, s * dm, (2 * a * s)[:, None] * dm + s * s * dm2
        mean = self.law.mean()
        dm, dm2 = gradients(flow, theta, X, {"mean": mean, "second moment": mean})
        return mean, dm, dm2

    def cdf(self, y: float) -> tuple[Array, Array]:
        """F(y | x) of every row (n,) and gradients (n, p)."""
        base = BASES[self.flow.base]
        A, _, _ = self.flow.forms(y, self.X)
        z = A @ self.solution.theta
        return base.cdf(z), A * np.exp(base.logpdf(z))[:, None]

    def by_row(self, functional: Functional) -> Moved:
        """A functional of every row's law: values (n,), gradients (n, p), of kind "other" by differences."""
        (kind, numbers), theta, X = functional, self.solution.theta, self.X
        if kind in SLOPES and kind != "mean":
            values = np.asarray(self.law.functional(kind)).reshape(len(X))
            return Moved(values, gradients(self.flow, theta, X, {kind: values})[0])
        if kind == "other":
            return self._by_steps(lambda law: as_floats(numbers[0](law)).reshape(len(X)))
        if kind == "q":
            y = self.law.quantile(numbers[0]).reshape(len(X))
            A, D, log_slope = self.flow.forms(y, X)
            return Moved(y, -A / (D @ theta * np.exp(log_slope))[:, None])
        if kind == "prob":
            (Fa, Ga), (Fb, Gb) = map(self.cdf, numbers)
            return Moved(Fb - Fa, Gb - Ga)
        mean, dm, dm2 = self.moments()
        if kind == "mean":
            return Moved(mean, dm)
        return Moved(*_spread(kind, self.law.var(), dm2 - 2 * mean[:, None] * dm))

    def average_by_row(self, functionals: Sequence[Functional]) -> Moved:
        """Averages over rows of functionals of each row's law."""
        p = len(self.solution.theta)
        total = Moved(np.zeros(len(functionals)), np.zeros((len(functionals), p)))
        for part, w in self.parts(20 * p):
            for i, f in enumerate(functionals):
                m = part.by_row(f)
                total.values[i] += w @ m.values
                total.gradients[i] += w @ m.gradients
        return total

    def average_cdf(self, y: float) -> tuple[float, float, Array]:
        """The averaged law at y: distribution function, density, and the gradient (p,) of the first."""
        theta, base = self.solution.theta, BASES[self.flow.base]
        F, f, G = 0.0, 0.0, np.zeros(len(theta))
        for part, w in self.parts(4 * len(theta)):
            A, D, log_slope = self.flow.forms(y, part.X)
            z = A @ theta
            d = np.exp(base.logpdf(z))
            F += float(w @ base.cdf(z))
            f += float(w @ (d * (D @ theta) * np.exp(log_slope)))
            G += (w * d) @ A
        return F, f, G

    def average_quantile(self, tau: float) -> float:
        """The quantile of the averaged law."""
        law, w = self.law, self.shares
        own = law.quantile(tau)
        if len(own) == 1:
            return float(own[0])
        low, high = float(own.min()), float(own.max())
        y = float(np.average(own, weights=w))
        for _ in range(100):
            F, f = float(w @ law.cdf(y)), float(w @ law.pdf(y))
            low, high = (y, high) if tau > F else (low, y)
            new = y - (F - tau) / f if f > 0 else np.nan
            new = new if low < new < high else (low + high) / 2
            if abs(new - y) <= 1e-13 * (abs(y) + high - low) or high <= low:
                return float(new)
            y = float(new)
        return y

    @cached_property
    def average_moments(self) -> dict[str, tuple[float, Array]]:
        """Mean, variance and standard deviation of the averaged law, each with its gradient (p,)."""
        flow, p = self.flow, len(self.solution.theta)
        mean = second = 0.0
        dm, dm2 = np.zeros(p), np.zeros(p)
        # so that a variance far from zero keeps its digits
        shift = flow.centre.origin if flow.support.kind == "line" else 0.0
        for part, w in self.parts(20 * p):
            m, dm_rows, dm2_rows = part.moments()
            mean += float(w @ (m - shift))
            second += float(w @ (part.law.var() + (m - shift) ** 2))
            dm += w @ dm_rows
            dm2 += w @ (dm2_rows - 2 * shift * dm_rows)
        var, dvar = np.float64(second - mean**2), dm2 - 2 * mean * dm
        return {"mean": (mean + shift, dm), **{kind: _spread(kind, var, dvar) for kind in ("var", "std")}}

    def averages(self, functionals: Sequence[Functional]) -> Moved:
        """Functionals of the law averaged over rows: values (q,), gradients (q, p)."""
        values = np.empty(len(functionals))
        moved = np.empty((len(functionals), len(self.solution.theta)))
        for i, (kind, numbers) in enumerate(functionals):
            if kind == "q":
                values[i] = self.average_quantile(numbers[0])
                _, f, G = self.average_cdf(values[i])
                moved[i] = -G / f
            elif kind == "prob":
                (Fa, _, Ga), (Fb, _, Gb) = map(self.average_cdf, numbers)
                values[i], moved[i] = Fb - Fa, Gb - Ga
            else:
                values[i], moved[i] = self.average_moments[kind]
        return Moved(values, moved)

    def _by_steps(self, of: Callable[[SplineLaw], Array], *, single: bool = False) -> Moved:
        """Values (q,) of a function of the laws, and gradients (q, p) by differences along the axes of V."""
        theta = self.solution.theta

        def at(theta: Array) -> Array:
            return of(self.flow.law(theta, self.X, single=single))

        values, vectors = np.linalg.eigh(self.solution.covariance)
        kept = values > 1e-12 * values[-1]
        sizes, axes = np.sqrt(values[kept]), vectors[:, kept].T
        step = 0.02  # standard errors: laws stay inside their domain, a difference loses four digits at most
        moves = [step * s * a for s, a in zip(sizes, axes, strict=True)]
        D = np.array([(at(theta + m) - at(theta - m)) / (2 * step) for m in moves])
        return Moved(at(theta), (D / sizes[:, None]).T @ axes)

    def by_difference(self, law_of: Callable[[SplineLaw], Law], names: Sequence[Any]) -> Moved:
        """Any functionals of a single law, by differences; ``law_of`` brings it to the scale meant."""

        def values(law: SplineLaw) -> Array:
            there = law_of(law)
            return np.array([float(there.functional(n)) for n in names])

        return self._by_steps(values, single=True)

    # ---- limits --------------------------------------------------------------------------------------------

    def quantile_limits(self, tau: float, critical: float) -> tuple[float, float]:
        """Limits of a quantile of the averaged law: where the band z̄ ± c·se of z̄ = Λ⁻¹(F̄) meets Λ⁻¹(τ).

        They are sought on the line.
        """
        base, support, V = BASES[self.flow.base], self.flow.support, self.solution.covariance
        target = float(base.quantile(np.array(tau)))

        def band(u: float, sign: float) -> float:
            F, _, G = self.average_cdf(float(support.from_line(np.array(u))))
            z = float(base.quantile(np.clip(F, 1e-300, 1 - 1e-16)))
            se = np.sqrt(G @ V @ G) / np.exp(float(base.logpdf(np.array(z))))
            return float(z + sign * critical * se - target)

        y = self.average_quantile(tau)
        _, f, G = self.average_cdf(y)
        at, lift = (float(of(np.array(y))) for of in (support.to_line, support.log_slope))
        half = critical * float(np.sqrt(G @ V @ G)) / f * np.exp(lift)
        ends = [_crossing(partial(band, sign=sign), at, -sign * half) for sign in (1.0, -1.0)]
        low, high = support.from_line(np.array(ends))
        return float(low), float(high)

    def curve(self, grid: Array, kind: str) -> Moved:
        """The averaged law on the scale of its bands: z̄ = Λ⁻¹(F̄) for "cdf", log density for "pdf"."""
        w, base, theta = self.shares, BASES[self.flow.base], self.solution.theta
        values, G = np.empty(len(grid)), np.empty((len(grid), len(theta)))
        for i, y in enumerate(grid):
            A, D, log_slope = self.flow.forms(y, self.X)
            z, slope = A @ theta, D @ theta
            d = np.exp(base.logpdf(z))
            if kind == "cdf":
                F = float(np.clip(w @ base.cdf(z), 1e-300, 1 - 1e-16))
                values[i] = base.quantile(np.array(F))
                G[i] = (w * d) @ A / np.exp(base.logpdf(values[i]))
            else:
                f = w * d * slope * np.exp(log_slope)
                values[i] = np.log(f.sum())
                G[i] = (f @ (D / slope[:, None] - A * base.first(z)[:, None])) / f.sum()
        return Moved(values, G)

    def band(self, kind: str, grid: Any, level: float, seed: np.random.SeedSequence) -> pd.DataFrame:
        """A curve of the averaged law with pointwise and uniform limits over a grid.

        Those of quantiles are bands of h inverted, the uniform one over the outcomes between the ends.

        Raises
        ------
        OptionError
        """
        points, V = self._band_points(kind, grid), self.solution.covariance
        inverted = kind == "quantile"
        values = np.array([self.average_quantile(t) for t in points]) if inverted else points
        moved = self.curve(values, "cdf" if inverted else kind)
        sup = critical_of_band(moved.gradients, V, level, seed)
        point = float(special.ndtri(0.5 + level / 2))
        if inverted:
            pairs = [[self.quantile_limits(float(t), c) for t in points] for c in (point, sup)]
            limits = list(np.array(pairs).transpose(0, 2, 1).reshape(4, -1))
            columns = {"tau": points, "estimate": values}
        else:
            se = moved.errors(V)
            back = BASES[self.flow.base].cdf if kind == "cdf" else np.exp
            limits = [back(moved.values + c * se) for c in (-point, point, -sup, sup)]
            columns = {"y": points, "estimate": back(moved.values)}
        return pd.DataFrame(columns | dict(zip(LIMITS, limits, strict=True)))

    def _band_points(self, kind: str, grid: Any) -> Array:
        """The grid of a band, checked.

        None is levels from .01 to .99, or outcomes between these quantiles.
        """
        if kind not in ("cdf", "pdf", "quantile"):
            raise OptionError(f"kind={kind!r} is not known; use 'cdf', 'pdf' or 'quantile'.")
        if grid is None:
            low, high = 0.01, 0.99
            if kind != "quantile":
                low, high = self.average_quantile(low), self.average_quantile(high)
            return np.linspace(low, high, GRID)
        points = floats(grid, "The grid")
        if points.ndim != 1 or len(points) < 2 or not np.isfinite(points).all():
            raise OptionError("The grid is a list of at least two finite numbers.")
        if kind == "quantile" and (points.min() <= 0 or points.max() >= 1):
            raise OptionError("The grid of a quantile curve holds levels between 0 and 1.")
        return points


def _crossing(g: Callable[[float], float], start: float, step: float) -> float:
    """The root of g beyond ``start`` in the direction of ``step``; ±inf where the band stays on one side."""
    if step == 0:
        return start
    a, fa, b, fb, step = _bracket(g, start, step)
    if not np.isfinite(fb) or fa * fb > 0:
        return float(np.sign(step) * np.inf)
    for _ in range(60):  # Illinois
        c = b - fb * (b - a) / (fb - fa) if fb != fa else (a + b) / 2
        fc = g(c)
        if fc * fb < 0:
            a, fa = b, fb
        else:
            fa /= 2
        b, fb = c, fc
        if abs(fb) < 1e-9 or abs(b - a) < 1e-10 * (abs(a) + abs(step)):
            break
    return float(b)


def _bracket(g: Callable[[float], float], a: float, step: float) -> tuple[float, float, float, float, float]:
    """Two points, each with its value, between which g has a root if it has one near, and the last step."""
    b = a + step
    fa, fb = g(a), g(b)
    for _ in range(8):
        if not np.isfinite(fb) or fa * fb <= 0:
            break
        step *= 2
        a, fa, b = b, fb, b + step
        fb = g(b)
    return a, fa, b, fb, step


def critical_of_band(gradients: Array, V: Array, level: float, seed: np.random.SeedSequence) -> float:
    """The level-quantile of sup |g'ε|/se over the rows g of ``gradients`` (q, p), ε ~ N(0, V), by draws."""
    half = _half(V)
    G = gradients @ half
    se = np.sqrt(np.square(G).sum(axis=1))
    G = G[se > 0] / se[se > 0, None]
    draws = np.random.default_rng(seed).standard_normal((G.shape[1], DRAWS))
    return float(np.quantile(np.abs(G @ draws).max(axis=0), level))
