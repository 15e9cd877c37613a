"""What limits, bands and tests of decompositions do: coverage, and size of the tests of no effect.

``python tests/statistical/test_decomposition_coverage.py 300`` prints the table of
`coverage_of_decompositions.md`.  In group g the logarithm of an outcome is a + b·x + s·L, with a, b and s of
its own and L logistic (normal for `NormalRegression`, whose outcome is the logarithm), so that each model is
right in each group; x lies between −1 and 1, higher in group 1.  Heaped outcomes are rounded up to halves.
Clusters lie in both groups and share a normal effect in the rank of y given x (correlation .2) and half of
the variance of x.  Of 50 strata each has a fiftieth of the ranks of x and two units of six rows, three of a
group, which share an effect in the rank of y.  Sampling weights undo a selection on y, by which about 600 of
1,400 rows are kept.  In "no effect" both groups are group 0.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import beta

import disteconometrics as de

pytestmark = pytest.mark.statistical

N_ROWS, DRAWS = 600, 199
LEVELS, FINE = (tuple(np.round(np.arange(0.1, 0.9001, step), 2)) for step in (0.05, 0.01))
GROUPS = ((1.0, 0.3, 0.2), (1.1, 0.5, 0.25))  # a, b, s
LIGHT = 0.5  # times s
TILT = (beta(1, 1), beta(2, 1.5))  # of (x + 1)/2
DESIGNS = {
    "regression, continuous": ("dr", ""),
    "regression, heaped": ("dr", "heaped"),
    "regression, 40 clusters": ("dr", "clusters"),
    "regression, probit": ("probit", ""),
    "regression, no effect": ("dr", "null"),
    "flow": ("flow", ""),
    "normal": ("normal", ""),
    "normal, 40 clusters": ("normal", "clusters"),
    "normal, no effect": ("normal", "null"),
    "flow, light tails": ("flow", "light"),
    "regression, sampling weights": ("weighted", "selected"),
    "regression, light tails": ("dr", "light"),
    "regression, heaped, levels .01 apart": ("dr", "heaped"),
    "regression, 50 strata of two": ("dr", "strata"),
}
ESTIMATORS = {
    "dr": de.DistributionRegression("y ~ x"),
    "probit": de.DistributionRegression("y ~ x", link="probit"),
    "weighted": de.DistributionRegression("y ~ x", weights="w", weight_type="sampling"),
    "flow": de.FlowDensity("y ~ x", support="positive"),
    "normal": de.NormalRegression("log(y) ~ x"),
}


def groups(how: str) -> list[tuple[float, float, float]]:
    """a, b, s of both groups; outcomes have tails as heavy as y to the power −1/s."""
    return [(a, b, s * LIGHT if how == "light" else s) for a, b, s in GROUPS]


def functionals(kind: str) -> list[str]:
    """What is decomposed beside quantiles."""
    return ["mean", "std"] if kind == "normal" else ["mean", "std", "gini"]


def draw(kind: str, how: str, rng: np.random.Generator) -> pd.DataFrame:
    """A sample of both groups."""
    n = 1_400 if how == "selected" else N_ROWS
    g, c = np.arange(n) % 2, rng.permutation(np.arange(n) % 40)
    if how == "strata":
        c = np.arange(n) // 6
        x, u = (
            (c // 2 + rng.random(n)) / 50,
            ndtr(np.sqrt(0.2) * rng.normal(size=100)[c] + np.sqrt(0.8) * rng.normal(size=n)),
        )
    elif how == "clusters":
        x, u = (
            ndtr(np.sqrt(r) * rng.normal(size=40)[c] + np.sqrt(1 - r) * rng.normal(size=n))
            for r in (0.5, 0.2)
        )
    else:
        x, u = rng.random(n), rng.random(n)
    x = 2 * np.where((g == 0) | (how == "null"), TILT[0].ppf(x), TILT[1].ppf(x)) - 1
    a, b, s = np.array(groups(how))[np.zeros(n, int) if how == "null" else g].T
    y = np.exp(a + b * x + s * (ndtri(u) if kind in ("normal", "probit") else logit(u)))
    table = pd.DataFrame({"x": x, "g": g, "c": c, "y": np.ceil(2 * y) / 2 if how == "heaped" else y})
    table["h"] = c // 2
    if how != "selected":
        return table
    chance = np.where(y > np.e, 0.6, 0.25)
    return table.assign(w=1 / chance)[rng.random(n) < chance]


@cache
def truth(kind: str, how: str, taus: tuple[float, ...] = LEVELS) -> tuple[Any, Any]:
    """Quantiles (6, l) and functionals (6, q) of total, composition, structure and the laws 0, 1, 0|1."""
    z, w = np.polynomial.legendre.leggauss(80)
    link = ndtr if kind in ("normal", "probit") else expit
    t = np.linspace(-3.0, 6.0, 36_001)  # the logarithm of y
    laws = []
    for j, k in ((0, 0), (1, 1), (0, 1)):
        j, k = (0, 0) if how == "null" else (j, k)
        a, b, s = groups(how)[j]
        share = w * TILT[k].pdf((z + 1) / 2) / 2
        laws.append(sum(p * link((t - a - b * x) / s) for x, p in zip(z, share / share.sum(), strict=True)))
    y = t if kind == "normal" else np.exp(t)
    q = np.array([np.interp(taus, F, y) for F in laws])
    of = []
    for F in laws:
        points, mass = (y[1:] + y[:-1]) / 2, np.diff(F)
        if how == "heaped":
            points = np.arange(0.5, 400.5, 0.5)
            mass = np.diff(np.interp(points, y, F, right=1.0), prepend=0.0)
        mean = mass @ points
        below = np.cumsum(mass) - mass / 2
        of.append([mean, np.sqrt(mass @ (points - mean) ** 2), 2 * (mass * points) @ below / mean - 1])
    if how == "heaped":
        q = np.ceil(2 * q - 1e-9) / 2
    C = np.array([[-1.0, 1, 0], [-1, 0, 1], [0, 1, -1]])
    T = np.array(of)[:, : len(functionals(kind))]
    return np.vstack([C @ q, q]), C @ T


def once(design: str, seed: int, draws: int = DRAWS) -> dict[str, float]:
    """What holds in one sample."""
    kind, how = DESIGNS[design]
    taus = FINE if ".01" in design else LEVELS
    table = draw(kind, how, np.random.default_rng([31, list(DESIGNS).index(design), seed]))
    covs = {"clusters": de.Cluster("c"), "strata": de.Survey(strata="h", psu="c")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = de.decompose(
            ESTIMATORS[kind],
            table,
            by="g",
            functionals=[*functionals(kind), "median"],
            cov=covs.get(how, "HC1"),
            levels=taus,
            draws=draws,
            seed=seed,
        )
    true_q, true_T = truth(kind, how, taus)
    shape = (6, len(taus))
    found = {c: v.to_numpy().reshape(shape) for c, v in res.quantiles().items()}
    held = {}
    for i, name in enumerate(("total", "composition", "structure", "q 0", "q 1", "q 0|1")):
        low, high = (found[f"band_{e}"][i] for e in ("low", "high"))
        held[f"band {name}"] = float(((low <= true_q[i] + 1e-9) & (true_q[i] - 1e-9 <= high)).all())
        low, high = (found[f"conf_{e}"][i] for e in ("low", "high"))
        held[f"limits {name}"] = ((low <= true_q[i] + 1e-9) & (true_q[i] - 1e-9 <= high)).mean()
        held[f"width {name}"] = (found["band_high"][i] - found["band_low"][i])[len(taus) // 2]
    limits = res.estimates.interval()
    for f, name in enumerate(functionals(kind)):
        for i, part in enumerate(("total", "composition", "structure")):
            low, high = limits[3 * f + i]
            held[f"{name} {part}"] = float(low <= true_T[i, f] <= high)
    tests = res.tests()
    for part in tests.index:
        held |= {f"{t} {part}": float(tests.loc[part, f"p_{t}"] <= 0.05) for t in ("KS", "CvM")}
    return held | {"heaped": float(res.facts.heaped)}


def rates(design: str, reps: int, start: int = 0) -> pd.Series:
    """Means over replications."""
    return pd.DataFrame([once(design, start + r) for r in range(reps)]).mean()


def test_short_version() -> None:
    """In 6 samples a band holds fewer than 4 times with probability .002."""
    found = pd.DataFrame([once("normal", r) for r in range(6)]).sum()
    assert found[[c for c in found.index if c.startswith("band")]].min() >= 4


@pytest.mark.slow
@pytest.mark.parametrize("design", [d for d in DESIGNS if "probit" not in d])  # whose draws take longer
def test_rates(design: str) -> None:
    """The bands asked for, give or take three Monte Carlo errors of 300 samples (.0126 at .95)."""
    found, slack = rates(design, 300), 3 * 0.0126
    for name in ("q 0", "q 1", "q 0|1"):
        assert 0.93 - slack <= found[f"band {name}"] <= 0.985 + slack
    for part in ("total", "composition", "structure"):
        assert found[f"band {part}"] >= 0.94 - slack
        assert 0.93 - slack <= found[f"mean {part}"] <= 0.97 + slack
        if "no effect" in design:
            assert max(found[f"KS {part}"], found[f"CvM {part}"]) <= 0.05 + slack


if __name__ == "__main__":
    reps = int(sys.argv[1])
    designs = sys.argv[2:] or list(DESIGNS)
    print(pd.DataFrame({design: rates(design, reps) for design in designs}).round(3).to_string())
