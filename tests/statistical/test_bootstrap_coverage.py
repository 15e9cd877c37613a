"""Coverage of bootstrap intervals and size of the score bootstrap; bands were fixed before the first run.

A coverage has to lie in [.93, .97] and a size in [.03, .07], each widened by two Monte Carlo standard errors of .95 or .05.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

pytestmark = pytest.mark.statistical

COVERAGE = (0.93, 0.97)
SIZE = (0.03, 0.07)
SETS = pytest.mark.parametrize("sets", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])


def error(sets: int) -> float:
    """Monte Carlo standard error of a rate of .95 or .05."""
    return math.sqrt(0.95 * 0.05 / sets)


@SETS
def test_coverage_of_pairs_intervals(sets: int) -> None:
    rng = np.random.default_rng(20240701)
    truth = 0.7
    hits = dict.fromkeys(("percentile", "basic", "normal", "bca"), 0)
    widths = dict.fromkeys(hits, 0.0)
    for s in range(sets):
        x = rng.normal(size=200)
        data = pd.DataFrame({"x": x, "y": (0.3 + truth * x + rng.logistic(size=200) > 0).astype(int)})
        boot = de.bootstrap(de.Logit("y ~ x"), data, reps=399, seed=s)
        for method in hits:
            low, high = boot.conf_int(method=method).loc["x"]
            hits[method] += low <= truth <= high
            widths[method] += (high - low) / sets
    rates = {m: h / sets for m, h in hits.items()}
    print(f"\ncoverage {rates}, mean width { {m: round(w, 3) for m, w in widths.items()} }, {sets} data sets")
    slack = 2 * error(sets)
    assert all(COVERAGE[0] - slack <= r <= COVERAGE[1] + slack for r in rates.values()), rates


@SETS
def test_size_of_the_score_bootstrap_with_ten_clusters(sets: int) -> None:
    rng = np.random.default_rng(20240702)
    G, m = 10, 30
    firm = np.repeat(np.arange(G), m)
    rejections = 0
    wald = 0
    for s in range(sets):
        x = rng.normal(size=G)[firm] + rng.normal(size=G * m)
        effect = 0.8 * rng.normal(size=G)[firm]
        data = pd.DataFrame({"x": x, "firm": firm, "y": (effect + rng.logistic(size=G * m) > 0).astype(int)})
        boot = de.bootstrap(de.Logit("y ~ x"), data, reps=399, kind="score", cluster="firm", seed=s)
        rejections += boot.pvalue("x", 0.0) <= 0.05
        t = (boot.params["x"] / boot.bse["x"]) ** 2
        wald += t > 3.841
    slack = 2 * error(sets)
    print(f"\nsize: score bootstrap {rejections / sets:.4f}, normal with the sandwich {wald / sets:.4f}, {sets} data sets")
    assert SIZE[0] - slack <= rejections / sets <= SIZE[1] + slack
    assert wald / sets > SIZE[1] + slack
