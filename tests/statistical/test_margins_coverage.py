"""Coverage of intervals for average marginal effects, of the sample's average and of the population's.

A band is three Monte Carlo standard errors wide on each side, with DRIFT for the error of order 1/n of a normal interval.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special

import disteconometrics as de

pytestmark = pytest.mark.statistical

N = 500
LEVEL = 0.95
DRIFT = 0.006
ROWS = 1_000_000  # of the draw that gives the population's effects
CRITICAL = float(special.ndtri(0.5 + LEVEL / 2))


def covariates(rng: np.random.Generator, n: int) -> pd.DataFrame:
    return pd.DataFrame({"x": rng.exponential(size=n), "d": (rng.random(n) < 0.4).astype(int)})


def index(df: pd.DataFrame) -> np.ndarray:
    return np.asarray(-1.0 + 1.2 * df.x - 0.15 * df.x**2 - 0.8 * df.d)


def effects(df: pd.DataFrame) -> np.ndarray:
    """Average derivative in x and average difference in d under the truth."""
    p = special.expit(index(df))
    difference = special.expit(index(df.assign(d=1))) - special.expit(index(df.assign(d=0)))
    return np.array([(p * (1 - p) * (1.2 - 0.3 * df.x)).mean(), difference.mean()])


@pytest.mark.parametrize("reps", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_intervals_cover_the_average_effects(reps: int) -> None:
    band = 3 * math.sqrt(LEVEL * (1 - LEVEL) / reps)
    truth = effects(covariates(np.random.default_rng(7), ROWS))
    model = de.Logit("y ~ x + I(x**2) + d")
    hits: dict[str, list[np.ndarray]] = {"sample": [], "population": []}
    widths: dict[str, list[np.ndarray]] = {"sample": [], "population": []}
    for seed in np.random.SeedSequence(31).spawn(reps):
        rng = np.random.default_rng(seed)
        df = covariates(rng, N)
        df["y"] = (rng.random(N) < special.expit(index(df))).astype(int)
        res = model.fit(df)
        for target, goal in (("sample", effects(df)), ("population", truth)):
            e = res.margins(target=target).estimates
            hits[target].append(np.abs(e.values - goal) <= CRITICAL * e.std_error)
            widths[target].append(2 * CRITICAL * e.std_error)
    for target in hits:
        covered, width = np.mean(hits[target], axis=0), np.mean(widths[target], axis=0)
        print(f"\nAME, {target}: coverage {covered.round(4)}, mean width {width.round(4)}, n = {N}, {reps} replications")
        assert np.all(np.abs(covered - LEVEL) < band + DRIFT), (target, covered)
