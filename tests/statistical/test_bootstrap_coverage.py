"""Coverage of bootstrap intervals and size of the score bootstrap; bands were fixed before the first run.

Cells are small so that the default run stays short: with 300 data sets the Monte Carlo error of a coverage of .95 is .0126, so
the band [.93, .97] is widened by two of them to [.905, .995]; with 500 the error of a size of .05 is .0097: [.02, .08].
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

pytestmark = pytest.mark.statistical

COVERAGE = (0.905, 0.995)
SIZE = (0.02, 0.08)


def test_coverage_of_pairs_intervals() -> None:
    rng = np.random.default_rng(20240701)
    truth, sets = 0.7, 300
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
    print("\ncoverage", rates, "mean width", {m: round(w, 3) for m, w in widths.items()})
    assert all(COVERAGE[0] <= r <= COVERAGE[1] for r in rates.values()), rates


def test_size_of_the_score_bootstrap_with_ten_clusters() -> None:
    rng = np.random.default_rng(20240702)
    G, m, sets = 10, 30, 500
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
    print(f"\nsize: score bootstrap {rejections / sets:.3f}, normal with the sandwich {wald / sets:.3f}")
    assert SIZE[0] <= rejections / sets <= SIZE[1]
    assert wald / sets > SIZE[1]
