"""What the intervals of Wasserstein distances cover where they are given,
and the size of the permutation test.

Bands, stated first: coverage of W1 and W2² in [.93, .97] with 2,000 replications (marker slow); the default
run draws fewer and widens them by four Monte Carlo standard errors.  Size of the permutation test at 5 %: at
most .05 and three of those errors with 400 samples (marker slow), four of them with fewer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import disteconometrics as de

pytestmark = pytest.mark.statistical

LOW, HIGH = 0.93, 0.97
U = (np.arange(400_000) + 0.5) / 400_000
NORMAL = stats.norm.ppf(U)
LAWS = {"normal": (NORMAL, 1 + 1.5 * NORMAL), "gamma": (NORMAL, stats.gamma.ppf(U, 2))}


def draw(rng: np.random.Generator, n: int, law: str) -> dict[str, Any]:
    y = 1 + 1.5 * rng.normal(size=n) if law == "normal" else rng.gamma(2, size=n)
    return {"y": np.concatenate([y, rng.normal(size=n)]), "g": np.repeat([1, 0], n)}


def study(p: int, law: str, n: int) -> de.MonteCarlo:
    name = "W1" if p == 1 else "W2_squared"
    truth = {name: float(np.mean(np.abs(LAWS[law][0] - LAWS[law][1]) ** p))}
    return de.MonteCarlo(
        lambda rng: draw(rng, n, law),
        {"w": de.WassersteinDistance("y ~ g", p=p, permutations=0)},
        truth=truth,
        targets=[name],
    )


def coverage(p: int, law: str, n: int, reps: int) -> tuple[float, float]:
    row = study(p, law, n).run(reps=reps, seed=11).table().iloc[0]
    return float(row["coverage"]), float(row["width"])


@pytest.mark.parametrize(("p", "law", "reps"), [(1, "normal", 200), (2, "gamma", 200)])
def test_coverage(p: int, law: str, reps: int) -> None:
    found, width = coverage(p, law, 400, reps)
    error = 4 * math.sqrt(LOW * (1 - LOW) / reps)
    assert LOW - error <= found <= HIGH + error
    assert 0 < width < 2


@pytest.mark.slow
@pytest.mark.parametrize("n", [400, 1000])
@pytest.mark.parametrize("law", ["normal", "gamma"])
@pytest.mark.parametrize("p", [1, 2])
def test_coverage_in_full(p: int, law: str, n: int) -> None:
    found, width = coverage(p, law, n, 2000)
    print(p, law, n, found, width)
    assert LOW <= found <= HIGH


@pytest.mark.parametrize(("reps", "slack"), [(100, 4), pytest.param(400, 3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("p", [1, 2])
def test_size_of_the_permutation_test(p: int, reps: int, slack: float) -> None:
    hits = 0
    for r in range(reps):
        rng = np.random.default_rng([3, p, r])
        table = {"y": rng.exponential(size=60), "g": np.repeat([0, 1], (20, 40))}
        hits += de.WassersteinDistance("y ~ g", p=p, permutations=99).fit(table, seed=r).pvalue <= 0.05
    assert hits / reps <= 0.05 + slack * math.sqrt(0.05 * 0.95 / reps)
