"""Coverage of intervals and uniform bands of flow densities.

Bands are stated first.  2,000 replications (marker slow): one density, functionals in [.93, .965] at n = 500
and 2,000; one covariate, six functionals at a point in [.91, .975]; effect of a 0/1 covariate on quantiles
among three regressors in [.90, .975] at 500 and [.92, .975] at 2,000; uniform 95 % bands in [.90, .985];
clusters, 50 of them, in [.92, .975].  The default run draws few replications and widens the same bands by
four of their Monte Carlo standard errors, which gross errors alone pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import disteconometrics as de

pytestmark = pytest.mark.statistical

Hits = dict[str, tuple[bool, float]]  # whether the truth is inside, and the width of the limits
N = stats.norm
ONE = (0.93, 0.965)
CURVES = (0.90, 0.985)


def mixture_cdf(y: np.ndarray | float) -> np.ndarray:
    return np.asarray(0.5 * N.cdf(y, -1, 0.5) + 0.5 * N.cdf(y, 1, 0.75))


def mixture_quantile(tau: float) -> float:
    return float(optimize.brentq(lambda y: float(mixture_cdf(y)) - tau, -6, 6))


QUANTILES = {t: mixture_quantile(t) for t in (0.1, 0.5, 0.9)}
LEVELS = np.linspace(0.05, 0.95, 19)
CURVE = np.array([mixture_quantile(t) for t in LEVELS])
GRID = np.linspace(QUANTILES[0.1] - 0.6, QUANTILES[0.9] + 0.8, 40)
DENSITY = 0.5 * N.pdf(GRID, -1, 0.5) + 0.5 * N.pdf(GRID, 1, 0.75)


def inside(
    low: np.ndarray | float, high: np.ndarray | float, truth: np.ndarray | float
) -> tuple[bool, float]:
    """Whether limits hold the truth, all of it where they are curves, and how wide they are
    (a curve: its median).
    """
    low, high, truth = (np.asarray(v) for v in (low, high, truth))
    return bool(np.all((low <= truth) & (truth <= high))), float(np.median(high - low))


def one_density(rng: np.random.Generator, n: int) -> Hits:
    y = np.where(rng.random(n) < 0.5, rng.normal(-1, 0.5, n), rng.normal(1, 0.75, n))
    res = de.FlowDensity("y ~ 1").fit({"y": y})
    e = res.functionals(["mean", *(f"q[{t}]" for t in QUANTILES)])
    hits = {
        name: inside(lo, hi, t)
        for name, (lo, hi), t in zip(e.names, e.interval(), (0.0, *QUANTILES.values()), strict=True)
    }
    points = np.array([-1.0, 0.0, 1.5])
    b = res.band("cdf", grid=points)
    return hits | {
        f"F({p})": inside(lo, hi, t)
        for p, lo, hi, t in zip(points, b.conf_low, b.conf_high, mixture_cdf(points), strict=True)
    }


def curves(rng: np.random.Generator, n: int) -> Hits:
    y = np.where(rng.random(n) < 0.5, rng.normal(-1, 0.5, n), rng.normal(1, 0.75, n))
    res = de.FlowDensity("y ~ 1").fit({"y": y})
    found = {"cdf": (GRID, mixture_cdf(GRID)), "pdf": (GRID, DENSITY), "quantile": (LEVELS, CURVE)}
    tables = {kind: (res.band(kind, grid=grid), truth) for kind, (grid, truth) in found.items()}
    return {
        kind: inside(b.band_low.to_numpy(), b.band_high.to_numpy(), truth)
        for kind, (b, truth) in tables.items()
    }


def one_covariate(rng: np.random.Generator, n: int) -> Hits:
    x = rng.uniform(-2, 2, n)
    y = np.sin(x) + 0.5 * np.exp(0.25 * x) * rng.gumbel(size=n)
    at = (
        de.FlowDensity("y ~ x")
        .fit({"y": y, "x": x})
        .at({"x": [0.7]}, ["mean", "std", "q[0.1]", "q[0.5]", "q[0.9]", "prob[-50,1]"])
    )
    m, s = np.sin(0.7), 0.5 * np.exp(0.25 * 0.7)
    q = [m - s * np.log(-np.log(t)) for t in (0.1, 0.5, 0.9)]
    truth = [m + s * np.euler_gamma, s * np.pi / np.sqrt(6), *q, np.exp(-np.exp(-(1 - m) / s))]
    return {
        name: inside(lo, hi, t)
        for (_, name), lo, hi, t in zip(at.index, at.conf_low, at.conf_high, truth, strict=True)
    }


def effect(rng: np.random.Generator, n: int) -> Hits:
    x1 = rng.normal(size=n)
    x2 = rng.normal(size=n) + 0.5 * x1
    d = (rng.random(n) < 1 / (1 + np.exp(-0.5 * x1))).astype(float)
    scale = np.exp(0.2 * x1)
    y = 0.5 * x1 - 0.3 * x2 + 0.4 * d + scale * (1 + 0.4 * d) * rng.normal(size=n)
    e = (
        de.FlowDensity("y ~ x1 + x2 + d")
        .fit(pd.DataFrame({"y": y, "x1": x1, "x2": x2, "d": d}))
        .effect("d", 0, 1)
    )
    truth = [0.4, *(0.4 + 0.4 * scale.mean() * N.ppf(t) for t in (0.1, 0.5, 0.9))]
    return {name: inside(lo, hi, t) for name, (lo, hi), t in zip(e.names, e.interval(), truth, strict=True)}


def sum_median() -> float:
    """Median of ½·normal + Gumbel, by quadrature."""
    u, w = np.polynomial.hermite_e.hermegauss(120)
    share = w / w.sum()
    return float(optimize.brentq(lambda m: share @ np.exp(-np.exp(-(m - 0.5 * u))) - 0.5, -3, 3))


MEDIAN = sum_median()


def clusters(rng: np.random.Generator, n: int) -> Hits:
    firm = np.repeat(np.arange(50), n // 50)
    y = 0.5 * rng.normal(size=50)[firm] + rng.gumbel(size=len(firm))
    e = (
        de.FlowDensity("y ~ 1")
        .fit({"y": y, "firm": firm}, cov=de.Cluster("firm"))
        .functionals(["mean", "q[0.5]"])
    )
    return {
        name: inside(lo, hi, t)
        for name, (lo, hi), t in zip(e.names, e.interval(), (np.euler_gamma, MEDIAN), strict=True)
    }


CASES: list[tuple[Callable[[np.random.Generator, int], Hits], int, tuple[float, float], int]] = [
    (one_density, 500, ONE, 30),
    (curves, 500, CURVES, 8),
    (one_covariate, 500, (0.91, 0.975), 10),
    (effect, 500, (0.90, 0.975), 10),
    (clusters, 500, (0.92, 0.975), 30),
]
LONG = [(design, n, band) for design, n, band, _ in CASES] + [
    (one_density, 2000, ONE),
    (effect, 2000, (0.92, 0.975)),
]


def coverage(design: Callable[[np.random.Generator, int], Hits], n: int, reps: int) -> pd.DataFrame:
    """Share of samples whose limits hold the truth, and their mean width, by functional."""
    draws = [design(np.random.default_rng([7, r]), n) for r in range(reps)]
    return pd.DataFrame(
        {name: np.mean([d[name] for d in draws], axis=0) for name in draws[0]}, index=["coverage", "width"]
    ).T


@pytest.mark.parametrize(("design", "n", "band", "reps"), CASES, ids=[c[0].__name__ for c in CASES])
def test_coverage(
    design: Callable[[np.random.Generator, int], Hits], n: int, band: tuple[float, float], reps: int
) -> None:
    found = coverage(design, n, reps).coverage
    low = band[0] - 4 * math.sqrt(band[0] * (1 - band[0]) / reps)
    assert found.min() >= low, found


@pytest.mark.slow
@pytest.mark.parametrize(("design", "n", "band"), LONG, ids=[f"{c[0].__name__}-{c[1]}" for c in LONG])
def test_coverage_in_full(
    design: Callable[[np.random.Generator, int], Hits], n: int, band: tuple[float, float]
) -> None:
    table = coverage(design, n, 2000)
    print(table)
    found = table.coverage
    assert (found >= band[0]).all(), found
    assert (found <= band[1]).all(), found


@pytest.mark.slow
def test_excess_falls_with_the_sample() -> None:
    """On the bimodal law: slope of log excess on log n at most −.7 over 50 … 3,200,
    and a mean of at most .003 at 3,200.
    """
    sizes, means = (50, 100, 200, 400, 800, 1600, 3200), []
    for n in sizes:
        excess = []
        for seed in range(40):
            rng = np.random.default_rng([11, n, seed])

            def draw(m: int, rng: np.random.Generator = rng) -> np.ndarray:
                return np.where(rng.random(m) < 0.5, rng.normal(-1, 0.5, m), rng.normal(1, 0.75, m))

            law = de.FlowDensity("y ~ 1").fit({"y": draw(n)}).distribution()
            fresh = draw(20_000)
            truth = np.log(0.5 * N.pdf(fresh, -1, 0.5) + 0.5 * N.pdf(fresh, 1, 0.75))
            excess.append(np.mean(truth - law.logpdf(fresh)))
        means.append(np.mean(excess))
    slope = np.polyfit(np.log(sizes), np.log(means), 1)[0]
    print(dict(zip(sizes, means, strict=True)), slope)
    assert slope <= -0.7
    assert means[-1] <= 0.003
