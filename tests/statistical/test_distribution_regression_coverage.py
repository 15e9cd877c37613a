"""What limits, bands and tests of distribution regression do: coverage, and size of the tests of no effect.

``python tests/statistical/test_distribution_regression_coverage.py 300`` prints the first table of
`coverage_of_distribution_regression.md`, with ``answers`` behind the number the second.  Outcomes have
F(y | x) = Λ(y − .5d − b(y)x), where b(y) is 1 + .5 tanh(y): the logit of 1{y > c} is right at every c, its
coefficient of x is b(c), of d .5, of z zero.
Under the links "probit" and "cloglog" Λ is the normal or Gumbel's law, with which these are right.
Heaped outcomes are the same rounded up to halves, for which this holds at the halves.  Clusters share a
normal effect in the rank of y given x (correlation .2) and half of the variance of x and z.  Sampling weights
undo a selection on y.
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

import disteconometrics as de

pytestmark = pytest.mark.statistical

N_ROWS = 500
DRAWS = 299
DESIGNS = ("continuous", "heaped", "40 clusters", "sampling weights", "few thresholds", "probit", "cloglog")
LAWS = {  # F and quantiles
    "logit": (expit, logit),
    "probit": (ndtr, ndtri),
    "cloglog": (lambda t: np.exp(-np.exp(-t)), lambda u: -np.log(-np.log(u))),
}
TAUS = np.round(np.arange(0.1, 0.9001, 0.01), 2)
GRID = np.linspace(-14, 14, 28_001)


def effect(y: Any) -> Any:
    """The coefficient of x at a threshold."""
    return 1 + 0.5 * np.tanh(y)


def link(design: str) -> str:
    """The link of a design."""
    return design if design in LAWS else "logit"


def outcome(t: Any, x: Any, d: Any) -> Any:
    """The outcome given x and d whose rank is that of t, by bisection."""
    low, high = np.full(len(t), -60.0), np.full(len(t), 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = middle - 0.5 * d - effect(middle) * x < t
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


@cache
def averaged(name: str) -> Any:
    """F of the population on a grid: x uniform on (−1, 1), d even."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    index = GRID[:, None] - effect(GRID)[:, None] * nodes
    F = LAWS[name][0]
    return (F(index) + F(index - 0.5)) @ weights / 4


def quantiles(design: str) -> Any:
    """True quantiles at the levels of the band."""
    q = np.interp(TAUS, averaged(link(design)), GRID)
    return np.ceil(2 * q - 1e-9) / 2 if design == "heaped" else q


def draw(design: str, rng: np.random.Generator) -> pd.DataFrame:
    """A sample of a design."""
    n = N_ROWS if design != "sampling weights" else 3 * N_ROWS
    g = np.arange(n) % 40
    if design == "40 clusters":
        shared = rng.normal(size=(3, 40))[:, g]
        x, z, u = (ndtr(np.sqrt(r) * s + np.sqrt(1 - r) * rng.normal(size=n))
                   for r, s in zip((0.5, 0.5, 0.2), shared, strict=True))  # fmt: skip
        x, z = 2 * x - 1, 2 * z - 1
    else:
        x, z, u = rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), rng.random(n)
    d = rng.integers(0, 2, n).astype(float)
    y = outcome(LAWS[link(design)][1](u), x, d)
    table = pd.DataFrame({"y": y, "x": x, "d": d, "z": z, "g": g, "w": 1.0})
    if design == "heaped":
        table["y"] = np.ceil(2 * y) / 2
    if design == "sampling weights":
        chance = np.where(y > 0.5, 0.6, 0.25)
        table["w"] = 1 / chance
        table = table[rng.random(n) < chance]
    return table


def fitted(design: str, seed: int, draws: int) -> Any:
    """The fit of one sample."""
    table = draw(design, np.random.default_rng([25, DESIGNS.index(design), seed]))
    options: dict[str, Any] = {"link": link(design)}
    if design == "few thresholds":
        options |= {"thresholds": 19}
    if design == "sampling weights":
        options |= {"weights": "w", "weight_type": "sampling"}
    cov = de.Cluster("g") if design == "40 clusters" else None
    model = de.DistributionRegression("y ~ x + d + z", **options)
    return model.fit(table, cov=cov, draws=draws, seed=seed)


@cache
def true(design: str, name: str, x: float | None, d: float) -> float:
    """A functional of the law given x and d, or given d with x as in the population."""
    at = np.arange(-14, 14.5, 0.5) if design == "heaped" else GRID
    nodes, weights = np.polynomial.legendre.leggauss(60) if x is None else (np.array([x]), np.array([2.0]))
    F = LAWS[link(design)][0](at[:, None] - 0.5 * d - effect(at)[:, None] * nodes) @ weights / 2
    return float(de.Empirical(at, np.diff(F, prepend=0.0) + 1e-300).functional(name))


def answers(design: str, seed: int, draws: int = DRAWS) -> dict[str, float]:
    """Which limits of effects, of groups and of predictions hold in one sample."""
    names, held = ["mean", "std", "q[0.5]"], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = fitted(design, seed, draws)
        effects = res.effect("x", -0.5, 0.5, names)
        groups = res.functionals(["mean", "std"], by="d")
        rows = res.predict({"x": [0.5], "d": [1.0], "z": [0.0]}, names, ci=True)
    for name, (low, high) in zip(names, effects.interval(), strict=True):
        moved = [true(design, name, 0.5, d) - true(design, name, -0.5, d) for d in (0.0, 1.0)]
        held[f"effect of x, {name}"] = float(low <= np.mean(moved) <= high)
    for name, (low, high) in zip(groups.names, groups.interval(), strict=True):
        what, _, d = name.partition(" | d = ")
        held[f"by d, {name}"] = float(low <= true(design, what, None, float(d)) <= high)
    for name, row in zip(names, rows.itertuples(), strict=True):
        truth = true(design, name, 0.5, 1.0)
        held[f"prediction, {name}"] = float(row.conf_low - 1e-9 <= truth <= row.conf_high + 1e-9)
    return held


def once(design: str, seed: int, draws: int = DRAWS) -> dict[str, float]:
    """What holds in one sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = fitted(design, seed, draws)
        found = {name: res.process(name) for name in ("x", "d", "z")}
        q, mean = res.quantiles(TAUS), res.functionals(["mean"])
    held = {}
    for name, truth in (("x", effect(found["x"].table.index.to_numpy())), ("d", 0.5), ("z", 0.0)):
        t = found[name].table
        held[f"limits {name}"] = ((t.conf_low <= truth) & (truth <= t.conf_high)).mean()
        held[f"band {name}"] = float(((t.band_low <= truth) & (truth <= t.band_high)).all())
    true_q = quantiles(design)
    inside = {
        k: (q[f"{k}_low"] <= true_q + 1e-9) & (true_q <= q[f"{k}_high"] + 1e-9) for k in ("conf", "band")
    }
    low, high = mean.interval()[0]
    F = averaged(link(design))
    true_mean = np.trapezoid(1 - F - (GRID < 0), GRID)
    if design == "heaped":
        halves = np.arange(-14, 14.5, 0.5)
        true_mean = float(halves[1:] @ np.diff(np.interp(halves, GRID, F)))
    return held | {
        "KS z": float(found["z"].ks.p_value <= 0.05),
        "CvM z": float(found["z"].cvm.p_value <= 0.05),
        **{
            f"constant {name}": np.nan if p.constant is None else float(p.constant.p_value <= 0.05)
            for name, p in found.items()
        },
        "limits q": inside["conf"].mean(),
        "band q": float(inside["band"].all()),
        "limits mean": float(low <= true_mean <= high),
        "width q[0.5]": q.loc[0.5, "band_high"] - q.loc[0.5, "band_low"],
        "thresholds": float(len(found["x"].table)),
        "width band x": (found["x"].table.band_high - found["x"].table.band_low).median(),
    }


def rates(design: str, reps: int, start: int = 0, of: Any = once) -> pd.Series:
    """Means over replications."""
    return pd.DataFrame([of(design, start + r) for r in range(reps)]).mean()


def test_short_version() -> None:
    """In 6 samples a band holds fewer than 4 times with probability .002; so does a test reject over 2."""
    found = pd.DataFrame([once("few thresholds", r, 100) for r in range(6)]).sum()
    assert min(found["band x"], found["band d"], found["band q"]) >= 4
    assert max(found["KS z"], found["CvM z"]) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("design", [d for d in DESIGNS if d not in LAWS])  # other links take longer
def test_rates(design: str) -> None:
    """The bands asked for, give or take three Monte Carlo errors of 300 samples (.0126 at .95)."""
    found, slack = rates(design, 300), 3 * 0.0126
    for name in ("band x", "band d", "band z"):
        assert 0.93 - slack <= found[name] <= 0.975 + slack
    assert 0.93 - slack <= found["band q"] <= 0.985 + slack
    assert found[["KS z", "CvM z"]].max() <= 0.05 + slack


if __name__ == "__main__":
    reps, asked = int(sys.argv[1]), sys.argv[2:]
    of = answers if "answers" in asked else once
    designs = [a for a in asked if a != "answers"] or (DESIGNS if of is once else DESIGNS[:5])
    print(pd.DataFrame({design: rates(design, reps, of=of) for design in designs}).round(3).to_string())
