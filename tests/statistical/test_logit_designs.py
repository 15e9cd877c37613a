"""Coverage and size under the designs applied work meets: small samples, a wrong mean, clusters, unequal selection.

Bands were stated before the first run: three Monte Carlo standard errors around the nominal level plus the small-sample
allowance in the table.  Every row prints its coverage with the mean width of the intervals (``pytest -rP``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm

import disteconometrics as de

pytestmark = pytest.mark.statistical
LEVEL = 0.95
Draw = Callable[[np.random.Generator], pd.DataFrame]


def logit(n: int) -> Draw:
    """P(y = 1) = Λ(0.3 + 0.8x + 0·z)."""

    def draw(rng: np.random.Generator) -> pd.DataFrame:
        d = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
        d["y"] = (0.3 + 0.8 * d.x + rng.logistic(size=n) > 0).astype(int)
        return d

    return draw


def hump(rng: np.random.Generator) -> pd.DataFrame:
    """y = 1 where |x| > 1.5: the best logit has slope zero by symmetry, and is far from right."""
    x = rng.normal(size=1000)
    return pd.DataFrame({"x": x, "y": (np.abs(x) > 1.5).astype(int)})


def clusters(sizes: list[int], treated: int | None = None) -> Draw:
    """Rows of a cluster share a normal shock through a copula, so that every row is a logit with slope 0.8 on ``x``.

    ``x`` varies half between and half within clusters, or is 1 in the first ``treated`` clusters.
    """

    def draw(rng: np.random.Generator) -> pd.DataFrame:
        g = np.repeat(np.arange(len(sizes)), sizes)
        between = rng.normal(size=len(sizes)) if treated is None else (np.arange(len(sizes)) < treated).astype(float)
        x = (between[g] + rng.normal(size=len(g))) / np.sqrt(2) if treated is None else between[g]
        u = norm.cdf(np.sqrt(0.3) * rng.normal(size=len(sizes))[g] + np.sqrt(0.7) * rng.normal(size=len(g)))
        return pd.DataFrame({"x": x, "g": g, "y": (u < expit(-0.2 + 0.8 * x)).astype(int)})

    return draw


def selected(rng: np.random.Generator) -> pd.DataFrame:
    """A logit with slope 0.8 of which successes with large x are kept less often; weights undo it."""
    n = 3000
    x = rng.normal(size=n)
    y = (0.8 * x + rng.logistic(size=n) > 0).astype(int)
    keep = np.where((y == 1) & (x > 0), 0.2, 0.6)
    d = pd.DataFrame({"x": x, "y": y, "w": 1 / keep})
    return d[rng.random(n) < keep]


CASES: dict[str, tuple[Draw, dict[str, Any], dict[str, Any], float, float, float]] = {
    # draw, specification, fit, true slope, lowest and highest coverage allowed beyond Monte Carlo error
    "n=200": (logit(200), {}, {}, 0.8, 0.94, 0.96),
    "n=500": (logit(500), {}, {}, 0.8, 0.945, 0.955),
    "wrong mean, nonrobust": (hump, {}, {}, 0.0, 0.0, 0.80),
    "wrong mean, HC1": (hump, {}, {"cov": "HC1"}, 0.0, 0.94, 0.955),
    "50 clusters, cr1, t": (clusters([20] * 50), {}, {"cov": de.Cluster("g", correction="cr1"), "use_t": True}, 0.8, 0.935, 0.96),
    "12 uneven clusters, jackknife": (
        clusters([10, 10, 15, 15, 20, 20, 30, 30, 40, 50, 70, 90]),
        {},
        {"cov": de.Cluster("g", correction="jackknife"), "use_t": True},
        0.8,
        0.93,
        0.975,
    ),
    "3 of 20 clusters treated, jackknife": (
        clusters([30] * 20, treated=3),
        {},
        {"cov": de.Cluster("g", correction="jackknife"), "use_t": True},
        0.8,
        0.92,
        0.975,
    ),
    "sampling weights": (selected, {"weights": "w", "weight_type": "sampling"}, {}, 0.8, 0.94, 0.955),
}


@pytest.mark.parametrize("reps", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover(case: str, reps: int) -> None:
    draw, specification, options, truth, lowest, highest = CASES[case]
    model = de.Logit("y ~ x", **specification)
    hits, widths = np.empty(reps), np.empty(reps)
    for i, seed in enumerate(np.random.SeedSequence(20).spawn(reps)):
        low, high = model.fit(draw(np.random.default_rng(seed)), **options).estimates.interval(LEVEL)[1]
        hits[i], widths[i] = low <= truth <= high, high - low
    mcse = np.sqrt(LEVEL * (1 - LEVEL) / reps)
    print(f"{case}: coverage {hits.mean():.4f} (MC SE {mcse:.4f}), mean width {widths.mean():.3f}, {reps} replications")
    assert lowest - 3 * mcse <= hits.mean() <= highest + 3 * mcse


@pytest.mark.parametrize("reps", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("n", [200, 500])
def test_wald_and_likelihood_ratio_have_their_size(n: int, reps: int) -> None:
    model, draw = de.Logit("y ~ x + z"), logit(n)
    rejected = np.empty((reps, 2))
    for i, seed in enumerate(np.random.SeedSequence(21).spawn(reps)):
        res = model.fit(draw(np.random.default_rng(seed)))
        rejected[i] = res.test("z").p_value < 0.05, res.lr_test("z").p_value < 0.05
    size, mcse = rejected.mean(axis=0), np.sqrt(0.05 * 0.95 / reps)
    print(f"n={n}: size of Wald {size[0]:.4f}, likelihood ratio {size[1]:.4f} (MC SE {mcse:.4f})")
    assert np.all(np.abs(size - 0.05) <= 3 * mcse + 2 / n)
