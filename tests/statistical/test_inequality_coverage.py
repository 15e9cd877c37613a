"""What limits and bands of inequality, poverty and RIF regressions do: coverage at a nominal 95 %.

``python tests/statistical/test_inequality_coverage.py 1000`` prints both of `coverage_of_inequality.md`.
Outcomes are lognormal: log y has standard deviation .5 around 1 ("independent rows"; "sampling weights": of
rows that are selected on y; "40 clusters" of 25 rows that share a fifth of its variance).  In "50 strata of
two" strata have means from .6 to 1.4 and sizes from 1 to 3, and each of their two units of ten rows a mean of
its own with standard deviation .2.  With "heavy tails" the standard deviation is 1.2.  Covariates of RIF
regressions are x, normal, and d, even, with log y = 1 + .3x + .2d + .4e; in clusters x and e are shared in
part.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

import disteconometrics as de

pytestmark = pytest.mark.statistical

N_ROWS = 1_000
DESIGNS = ("independent rows", "sampling weights", "40 clusters", "50 strata of two", "heavy tails")
NAMES = (
    "mean", "gini", "theil", "mld", "atkinson[1]", "ge[2]", "top_share[0.1]", "lorenz[0.5]", "q[0.9]",
    "p90p10", "poverty[1.6]", "poverty[0.6*median]", "poverty_gap[0.6*median]", "poverty[0.6*mean]",
)  # fmt: skip
REGRESSED = ("mean", "median", "q[0.9]", "gini")
P = np.round(np.linspace(0.05, 0.95, 19), 2)
STRATA = np.linspace(0.6, 1.4, 50)
SIZES = np.linspace(1.0, 3.0, 50)


@cache
def population(design: str) -> de.Empirical:
    """The law of the outcome, as a fine grid of its quantiles."""
    if design == "50 strata of two":
        z = ndtri((np.arange(4_000) + 0.5) / 4_000) * np.sqrt(0.2**2 + 0.4**2)
        return de.Empirical(np.exp(STRATA[:, None] + z).ravel(), np.repeat(SIZES, 4_000))
    z = ndtri((np.arange(400_000) + 0.5) / 400_000)
    return de.Empirical(np.exp(1 + (1.2 if design == "heavy tails" else 0.5) * z))


@cache
def truth(design: str, name: str) -> float:
    """A functional of the population; of a heavy tail by its closed form."""
    if design == "heavy tails":
        return float(de.law("normal", [de.Affine(1, 1.2), de.Exp()]).functional(name))
    return float(population(design).functional(name))


def draw(design: str, rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, Any], Any]:
    """A sample, the weights of the specification, and the covariance."""
    n, g = N_ROWS, np.arange(N_ROWS) // 25
    if design == "50 strata of two":
        h, u = np.arange(n) // 20, np.arange(n) // 10
        log = STRATA[h] + 0.2 * rng.normal(size=100)[u] + 0.4 * rng.normal(size=n)
        table = pd.DataFrame({"y": np.exp(log), "h": h, "u": u % 2, "w": SIZES[h]})
        return table, {"weights": "w", "weight_type": "sampling"}, de.Survey(strata="h", psu="u")
    if design == "40 clusters":
        e = np.sqrt(0.2) * rng.normal(size=40)[g] + np.sqrt(0.8) * rng.normal(size=n)
        return pd.DataFrame({"y": np.exp(1 + 0.5 * e), "g": g}), {}, de.Cluster("g")
    size = 3 * n if design == "sampling weights" else n
    y = np.exp(1 + (1.2 if design == "heavy tails" else 0.5) * rng.normal(size=size))
    if design != "sampling weights":
        return pd.DataFrame({"y": y}), {}, None
    chance = np.where(y > 3, 0.5, 0.2)
    table = pd.DataFrame({"y": y, "w": 1 / chance})[rng.random(size) < chance]
    return table, {"weights": "w", "weight_type": "sampling"}, None


def once(design: str, seed: int) -> dict[str, float]:
    """Whether limits and the band hold in one sample, and whether it was warned of."""
    table, weights, cov = draw(design, np.random.default_rng([31, DESIGNS.index(design), seed]))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        res = de.Inequality("y ~ 1", functionals=NAMES, **weights).fit(table, cov=cov)
    held: dict[str, float] = {}
    for name, (low, high) in zip(NAMES, res.estimates.interval(), strict=True):
        held[name] = float(low <= truth(design, name) <= high)
    curve = res.lorenz(P)
    true = np.array([truth(design, f"lorenz[{p!r}]") for p in P.tolist()])
    held["Lorenz limits (mean over levels)"] = float(
        ((curve.conf_low <= true) & (true <= curve.conf_high)).mean()
    )
    held["Lorenz band"] = float(((curve.band_low <= true) & (true <= curve.band_high)).all())
    held["width of the band at .5"] = float((curve.band_high - curve.band_low)[curve.p == 0.5].iloc[0])
    held["width of the Gini's limits"] = float(np.diff(res.estimates.interval()[1])[0])
    held["warned of the tail"] = float(any(isinstance(w.message, de.errors.HeavyTailWarning) for w in told))
    return held


def drawn(clustered: bool, rng: np.random.Generator) -> dict[str, Any]:
    """A sample for RIF regressions."""
    n = N_ROWS
    g, d = np.arange(n) // 25, rng.integers(0, 2, n).astype(float)
    x, e = rng.normal(size=n), rng.normal(size=n)
    if clustered:
        groups = n // 25
        x = np.sqrt(0.5) * rng.normal(size=groups)[g] + np.sqrt(0.5) * x
        e = np.sqrt(0.2) * rng.normal(size=groups)[g] + np.sqrt(0.8) * e
    return {"y": np.exp(1 + 0.3 * x + 0.2 * d + 0.4 * e), "x": x, "d": d, "g": g}


@cache
def aim(functional: str) -> Any:
    """Coefficients in the population, on a grid of x, d and e, with a small bandwidth."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    e = ndtri((np.arange(400) + 0.5) / 400)
    x, d, e = (part.ravel() for part in np.meshgrid(nodes, [0.0, 1.0], e, indexing="ij"))
    table = {"y": np.exp(1 + 0.3 * x + 0.2 * d + 0.4 * e), "x": x, "d": d, "w": np.repeat(weights, 800)}
    table = {name: column[table["w"] > 1e-12] for name, column in table.items()}
    model = de.RIFRegression(
        "y ~ x + d", functional=functional, bandwidth=0.03, weights="w", weight_type="sampling"
    )
    return model.fit(table).params.to_numpy()


def regressed(clustered: bool, seed: int) -> dict[str, float]:
    """Whether limits of RIF coefficients hold in one sample."""
    table = drawn(clustered, np.random.default_rng([33, clustered, seed]))
    held = {}
    for name in REGRESSED:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res = de.RIFRegression("y ~ x + d", functional=name).fit(
                table, cov=de.Cluster("g") if clustered else None
            )
        inside = (res.estimates.interval()[:, 0] <= aim(name)) & (aim(name) <= res.estimates.interval()[:, 1])
        held |= {f"{name}: {term}": float(hit) for term, hit in zip(res.spec.names, inside, strict=True)}
    return held


def rates(design: str, reps: int) -> pd.Series:
    """Means over replications."""
    return pd.DataFrame([once(design, r) for r in range(reps)]).mean()


def regression_rates(clustered: bool, reps: int) -> pd.Series:
    """Means over replications of RIF regressions."""
    return pd.DataFrame([regressed(clustered, r) for r in range(reps)]).mean()


def test_short_version() -> None:
    """Of 12 samples fewer than 8 hold with probability 1e-4 if .95 do, and .002 if .9 do."""
    found = pd.DataFrame([once("50 strata of two", r) for r in range(12)]).sum()
    assert found[["gini", "theil", "poverty[0.6*median]", "Lorenz band"]].min() >= 8


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS[:-1])
def test_rates(design: str) -> None:
    """The bands asked for, give or take three Monte Carlo errors of 500 samples (.0097 at .95)."""
    found, slack = rates(design, 500), 3 * 0.0097
    low = 0.91 if design == "40 clusters" else 0.93
    for name in ("gini", "theil", "top_share[0.1]", "poverty[0.6*median]"):
        assert low - slack <= found[name] <= 0.97 + slack
    assert low - slack <= found["Lorenz band"] <= 0.985 + slack


@pytest.mark.slow
def test_heavy_tails_are_told() -> None:
    """Where the Gini's limits hold too rarely nearly all samples are warned of."""
    found = rates("heavy tails", 100)
    assert found["warned of the tail"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
def test_regressions(clustered: bool) -> None:
    """Those of the mean and the median in [.925, .97], with 40 clusters from .91."""
    found, slack = regression_rates(clustered, 500), 3 * 0.0097
    for name in ("mean", "median"):
        for term in ("x", "d"):
            assert (0.91 if clustered else 0.925) - slack <= found[f"{name}: {term}"] <= 0.97 + slack


if __name__ == "__main__":
    reps = int(sys.argv[1])
    print(pd.DataFrame({design: rates(design, reps) for design in DESIGNS}).round(3).to_string())
    both = {"independent rows": False, "40 clusters": True}
    print(pd.DataFrame({k: regression_rates(v, reps) for k, v in both.items()}).round(3).to_string())
