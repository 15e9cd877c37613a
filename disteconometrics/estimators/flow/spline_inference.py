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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import floats
from disteconometrics.distributions.spline import SplineLaw, chunks
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.estimators.flow.spline_flow import Flow, Solution
from disteconometrics.estimators.flow.spline_influence import SLOPES, gradients
from disteconometrics.estimators.flow.spline_sample import Sample
from disteconometrics.inference.covariance import Cluster, CovarianceKind, covariance
from disteconometrics.inference.protocols import ArrayScores, MEstimate
from disteconometrics.likelihoods.monotone import BASES

__all__ = [
    "SLOPES",
    "Moved",
    "averages",
    "band_table",
    "by_difference",
    "by_row",
    "check_kind",
    "coefficient_covariance",
    "functional_on",
    "parse_functional",
    "quantile_limits",
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


# ---- covariance of the coefficients ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Scores:
    """Gives the score rows of a flow again and again."""

    flow: Flow
    theta: Array
    sample: Sample

    def __call__(self, rows: int | None = None) -> Iterator[ArrayScores]:
        s = self.sample
        base = BASES[self.flow.base]
        for part in chunks(len(s.y), 6 * len(self.theta)):
            A, D, _ = self.flow.forms(s.y[part], s.X[part])
            z, slope = A @ self.theta, D @ self.theta
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
    flow: Flow,
    solution: Solution,
    sample: Sample,
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
    source = _Scores(flow, solution.theta, sample)
    weight_type = None if sample.weights is None else "frequency" if sample.counts else "sampling"
    n = sample.observations if sample.counts else float(len(sample.y))
    equation = MEstimate(
        names, solution.theta, solution.root, solution.root, n, len(sample.y), source, weight_type
    )
    V = covariance(equation, "HC0" if kind == "HC1" else kind, codes=codes, order=order)
    if kind == "nonrobust":  # H⁻¹ of the penalised information: the Bayesian covariance
        return V.matrix, "nonrobust", "nonrobust = inverse penalised information."
    W = solution.root @ (solution.root.T @ _half(solution.penalty))
    matrix = _for_few_rows(V.matrix, kind, solution.effective, n) + W @ W.T
    if kind == "HC1":
        return (matrix + matrix.T) / 2, "sandwich", SANDWICH
    return (matrix + matrix.T) / 2, V.label, f"{V.note} The penalty is added as a prior."


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
    functional = None if found is None else _functional(found[1], _numbers(found[2]))
    if functional is None:
        raise OptionError(
            f"{name!r} is no functional with standard errors here; use 'mean', 'std', 'var', 'median', "
            f"'q[0.9]' (a level between 0 "
            "and 1) or 'prob[a,b]' with a < b."
        )
    return functional


def _numbers(inside: str | None) -> tuple[float, ...]:
    """The numbers in brackets; NaN where there is something else."""
    try:
        return () if inside is None else tuple(float(v) for v in inside.split(","))
    except ValueError:
        return (np.nan,)


def _functional(kind: str, numbers: tuple[float, ...]) -> Functional | None:
    """A functional of the line; None where its numbers are not those that the kind takes."""
    if kind == "median":
        return None if numbers else ("q", (0.5,))
    if kind == "q":
        return (kind, numbers) if len(numbers) == 1 and 0 < numbers[0] < 1 else None
    if kind == "prob":
        return (kind, numbers) if len(numbers) == 2 and numbers[0] < numbers[1] else None
    return None if numbers else (kind, ())


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


def _moment_rows(flow: Flow, theta: Array, X: Array) -> tuple[Array, Array, Array]:
    """Means of y (n,), and gradients (n, p) of the first and second moment about zero."""
    if flow.support.kind == "line":
        m, dm, dm2 = flow.mean_gradients(theta, X)
        a, s = flow.centre.location(X), flow.centre.scale
        return a + s * m, s * dm, (2 * a * s)[:, None] * dm + s * s * dm2

    mean = flow.law(theta, X).mean()
    dm, dm2 = gradients(flow, theta, X, {"mean": mean, "second moment": mean})
    return mean, dm, dm2


def _cdf_rows(flow: Flow, theta: Array, y: Array, X: Array) -> tuple[Array, Array]:
    """F(y_i | x_i) (n,) and gradients (n, p)."""
    base = BASES[flow.base]
    A, _, _ = flow.forms(y, X)
    z = A @ theta
    return base.cdf(z), A * np.exp(base.logpdf(z))[:, None]


def by_row(flow: Flow, solution: Solution, X: Array, functional: Functional) -> Moved:
    """A functional of every row's law: values (n,), gradients (n, p), of kind "other" by differences."""
    (kind, numbers), theta = functional, solution.theta
    if kind in SLOPES and kind != "mean":
        values = np.asarray(flow.law(theta, X).functional(kind)).reshape(len(X))
        return Moved(values, gradients(flow, theta, X, {kind: values})[0])
    if kind == "other":
        return _by_steps(
            solution, lambda t: np.asarray(numbers[0](flow.law(t, X)), dtype=np.float64).reshape(len(X))
        )
    if kind == "q":
        y = flow.law(theta, X).quantile(numbers[0]).reshape(len(X))
        A, D, log_slope = flow.forms(y, X)
        return Moved(y, -A / (D @ theta * np.exp(log_slope))[:, None])
    if kind == "prob":
        (Fa, Ga), (Fb, Gb) = (_cdf_rows(flow, theta, np.full(len(X), v), X) for v in numbers)
        return Moved(Fb - Fa, Gb - Ga)
    mean, dm, dm2 = _moment_rows(flow, theta, X)
    if kind == "mean":
        return Moved(mean, dm)
    var = flow.law(theta, X).var()
    dvar = dm2 - 2 * mean[:, None] * dm
    return Moved(var, dvar) if kind == "var" else Moved(np.sqrt(var), dvar / (2 * np.sqrt(var))[:, None])


def _shares(X: Array, weights: Array | None) -> Array:
    return np.full(len(X), 1 / len(X)) if weights is None else weights / weights.sum()


def average_by_row(
    flow: Flow, solution: Solution, X: Array, weights: Array | None, functionals: Sequence[Functional]
) -> Moved:
    """Averages over rows of functionals of each row's law."""
    w, p = _shares(X, weights), len(solution.theta)
    total = Moved(np.zeros(len(functionals)), np.zeros((len(functionals), p)))
    for rows in chunks(len(X), 20 * p):
        for i, f in enumerate(functionals):
            m = by_row(flow, solution, X[rows], f)
            total.values[i] += w[rows] @ m.values
            total.gradients[i] += w[rows] @ m.gradients
    return total


def average_cdf(flow: Flow, theta: Array, X: Array, w: Array, y: float) -> tuple[float, float, Array]:
    """The averaged law at y: distribution function, density, and the gradient (p,) of the first."""
    F, f, G = 0.0, 0.0, np.zeros(len(theta))
    for rows in chunks(len(X), 4 * len(theta)):
        at = np.full(len(X[rows]), y)
        A, D, log_slope = flow.forms(at, X[rows])
        base = BASES[flow.base]
        z = A @ theta
        d = np.exp(base.logpdf(z))
        F += float(w[rows] @ base.cdf(z))
        f += float(w[rows] @ (d * (D @ theta) * np.exp(log_slope)))
        G += (w[rows] * d) @ A
    return F, f, G


def average_quantile(flow: Flow, theta: Array, X: Array, w: Array, tau: float) -> float:
    """The quantile of the averaged law."""
    law = flow.law(theta, X)
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


class _Moments(NamedTuple):
    """First and second moment of an averaged law about ``shift``, with gradients (p,)."""

    shift: float
    mean: float
    second: float
    of_mean: Array
    of_second: Array

    def functional(self, kind: str) -> tuple[float, Array]:
        """Mean, variance or standard deviation, and its gradient (p,)."""
        if kind == "mean":
            return self.mean + self.shift, self.of_mean
        var, dvar = self.second - self.mean**2, self.of_second - 2 * self.mean * self.of_mean
        return (var, dvar) if kind == "var" else (np.sqrt(var), dvar / (2 * np.sqrt(var)))


def _average_moments(flow: Flow, theta: Array, X: Array, w: Array) -> _Moments:
    p = len(theta)
    mean = second = 0.0
    dm, dm2 = np.zeros(p), np.zeros(p)
    # so that a variance far from zero keeps its digits
    shift = flow.centre.origin if flow.support.kind == "line" else 0.0
    for rows in chunks(len(X), 20 * p):
        m, dm_rows, dm2_rows = _moment_rows(flow, theta, X[rows])
        mean += float(w[rows] @ (m - shift))
        second += float(w[rows] @ (flow.law(theta, X[rows]).var() + (m - shift) ** 2))
        dm += w[rows] @ dm_rows
        dm2 += w[rows] @ (dm2_rows - 2 * shift * dm_rows)
    return _Moments(shift, mean, second, dm, dm2)


def averages(
    flow: Flow, theta: Array, X: Array, weights: Array | None, functionals: Sequence[Functional]
) -> Moved:
    """Functionals of the law averaged over rows: values (q,), gradients (q, p)."""
    w, p = _shares(X, weights), len(theta)
    values, gradients = np.empty(len(functionals)), np.empty((len(functionals), p))
    moments: _Moments | None = None
    for i, (kind, numbers) in enumerate(functionals):
        if kind == "q":
            values[i] = average_quantile(flow, theta, X, w, numbers[0])
            _, f, G = average_cdf(flow, theta, X, w, values[i])
            gradients[i] = -G / f
        elif kind == "prob":
            (Fa, _, Ga), (Fb, _, Gb) = (average_cdf(flow, theta, X, w, v) for v in numbers)
            values[i], gradients[i] = Fb - Fa, Gb - Ga
        else:
            moments = moments or _average_moments(flow, theta, X, w)
            values[i], gradients[i] = moments.functional(kind)
    return Moved(values, gradients)


def _by_steps(solution: Solution, at: Callable[[Array], Array]) -> Moved:
    """Values (q,) of a function of θ, and gradients (q, p) by differences along the axes of V."""
    values, vectors = np.linalg.eigh(solution.covariance)
    kept = values > 1e-12 * values[-1]
    sizes, axes = np.sqrt(values[kept]), vectors[:, kept].T
    step = 0.02  # standard errors: laws stay inside their domain, a difference loses four digits at most
    moves = [step * s * a for s, a in zip(sizes, axes, strict=True)]
    D = np.array([(at(solution.theta + m) - at(solution.theta - m)) / (2 * step) for m in moves])
    return Moved(at(solution.theta), (D / sizes[:, None]).T @ axes)


def by_difference(
    flow: Flow, solution: Solution, X: Array, law_of: Callable[[SplineLaw], Law], names: Sequence[Any]
) -> tuple[Array, Array]:
    """Any functionals of a single law (q,) with covariance (q, q), by differences along the axes of V.

    ``law_of`` brings the law to the scale that the functionals are of.
    """

    def at(theta: Array) -> Array:
        law = law_of(flow.law(theta, X, single=True))
        return np.array([float(law.functional(n)) for n in names])

    moved = _by_steps(solution, at)
    return moved.values, moved.gradients @ solution.covariance @ moved.gradients.T


# ---- limits ------------------------------------------------------------------------------------------------


def quantile_limits(
    flow: Flow, solution: Solution, X: Array, weights: Array | None, tau: float, critical: float
) -> tuple[float, float]:
    """Limits of a quantile of the averaged law: where the band z̄ ± c·se of z̄ = Λ⁻¹(F̄) meets Λ⁻¹(τ).

    They are sought on the line.
    """
    w, base, theta, support = _shares(X, weights), BASES[flow.base], solution.theta, flow.support
    target = float(base.quantile(np.array(tau)))

    def band(u: float, sign: float) -> float:
        F, _, G = average_cdf(flow, theta, X, w, float(support.from_line(np.array(u))))
        z = float(base.quantile(np.clip(F, 1e-300, 1 - 1e-16)))
        se = np.sqrt(G @ solution.covariance @ G) / np.exp(float(base.logpdf(np.array(z))))
        return float(z + sign * critical * se - target)

    y = average_quantile(flow, theta, X, w, tau)
    _, f, G = average_cdf(flow, theta, X, w, y)
    at, lift = (float(of(np.array(y))) for of in (support.to_line, support.log_slope))
    half = critical * float(np.sqrt(G @ solution.covariance @ G)) / f * np.exp(lift)
    ends = _crossing(lambda u: band(u, 1.0), at, -half), _crossing(lambda u: band(u, -1.0), at, half)
    low, high = support.from_line(np.array(ends))
    return float(low), float(high)


def _crossing(g: Callable[[float], float], start: float, step: float) -> float:
    """The root of g beyond ``start`` in the direction of ``step``; ±inf where the band stays on one side."""
    if step == 0:
        return start
    (a, fa), (b, fb), step = _bracket(g, start, step)
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


def _bracket(
    g: Callable[[float], float], start: float, step: float
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Two points with values, between which g has a root if it has one near, and the last step taken."""
    a, fa = start, g(start)
    b, fb = start + step, g(start + step)
    for _ in range(8):
        if not np.isfinite(fb) or fa * fb <= 0:
            break
        a, fa = b, fb
        step *= 2
        b = b + step
        fb = g(b)
    return (a, fa), (b, fb), step


def curve(flow: Flow, theta: Array, X: Array, weights: Array | None, grid: Array, kind: str) -> Moved:
    """The averaged law on the scale of its bands: z̄ = Λ⁻¹(F̄) for "cdf", log density for "pdf"."""
    w, base = _shares(X, weights), BASES[flow.base]
    values, G = np.empty(len(grid)), np.empty((len(grid), len(theta)))
    for i, y in enumerate(grid):
        A, D, log_slope = flow.forms(np.full(len(X), y), X)
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


def critical_of_band(gradients: Array, V: Array, level: float, seed: np.random.SeedSequence) -> float:
    """The level-quantile of sup |g'ε|/se over the rows g of ``gradients`` (q, p), ε ~ N(0, V), by draws."""
    half = _half(V)
    G = gradients @ half
    se = np.sqrt(np.square(G).sum(axis=1))
    G = G[se > 0] / se[se > 0, None]
    draws = np.random.default_rng(seed).standard_normal((G.shape[1], DRAWS))
    return float(np.quantile(np.abs(G @ draws).max(axis=0), level))


def band_table(
    flow: Flow,
    solution: Solution,
    X: Array,
    weights: Array | None,
    kind: str,
    grid: Any,
    level: float,
    seed: np.random.SeedSequence,
) -> pd.DataFrame:
    """A curve of the averaged law with pointwise and uniform limits over a grid.

    Raises
    ------
    OptionError
    """
    if kind not in ("cdf", "pdf", "quantile"):
        raise OptionError(f"kind={kind!r} is not known; use 'cdf', 'pdf' or 'quantile'.")
    points = floats(
        _band_points(flow, solution.theta, X, weights, kind) if grid is None else grid, "The grid"
    )
    if points.ndim != 1 or len(points) < 2 or not np.isfinite(points).all():
        raise OptionError("The grid is a list of at least two finite numbers.")
    if kind == "quantile":
        if points.min() <= 0 or points.max() >= 1:
            raise OptionError("The grid of a quantile curve holds levels between 0 and 1.")
        return _quantile_band(flow, solution, X, weights, points, level, seed)
    return _curve_band(flow, solution, X, weights, kind, points, level, seed)


def _band_points(flow: Flow, theta: Array, X: Array, weights: Array | None, kind: str) -> Array:
    """The grid of a band where none is given: levels from .01 to .99, or outcomes between these quantiles."""
    ends = 0.01, 0.99
    if kind == "quantile":
        return np.linspace(*ends, GRID)
    low, high = (average_quantile(flow, theta, X, _shares(X, weights), t) for t in ends)
    return np.linspace(low, high, GRID)


def _curve_band(
    flow: Flow,
    solution: Solution,
    X: Array,
    weights: Array | None,
    kind: str,
    points: Array,
    level: float,
    seed: np.random.SeedSequence,
) -> pd.DataFrame:
    """Distribution function or density with its bands."""
    moved = curve(flow, solution.theta, X, weights, points, kind)
    se = np.sqrt(np.einsum("ij,jk,ik->i", moved.gradients, solution.covariance, moved.gradients))
    point = float(special.ndtri(0.5 + level / 2))
    sup = critical_of_band(moved.gradients, solution.covariance, level, seed)
    back = BASES[flow.base].cdf if kind == "cdf" else np.exp
    limits = [back(moved.values + c * se) for c in (-point, point, -sup, sup)]
    return pd.DataFrame(
        {"y": points, "estimate": back(moved.values), **dict(zip(LIMITS, limits, strict=True))}
    )


def _quantile_band(
    flow: Flow,
    solution: Solution,
    X: Array,
    weights: Array | None,
    tau: Array,
    level: float,
    seed: np.random.SeedSequence,
) -> pd.DataFrame:
    """Quantile curve: bands of h inverted, pointwise and over the outcomes between its ends at once."""
    w = _shares(X, weights)
    values = np.array([average_quantile(flow, solution.theta, X, w, t) for t in tau])
    moved = curve(flow, solution.theta, X, weights, values, "cdf")
    sup = critical_of_band(moved.gradients, solution.covariance, level, seed)
    point = float(special.ndtri(0.5 + level / 2))
    pairs = [[quantile_limits(flow, solution, X, weights, float(t), c) for t in tau] for c in (point, sup)]
    limits = [column for p in pairs for column in np.array(p).T]
    return pd.DataFrame({"tau": tau, "estimate": values, **dict(zip(LIMITS, limits, strict=True))})
