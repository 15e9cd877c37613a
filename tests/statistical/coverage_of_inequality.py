"""Coverage of effects on inequality given covariates, 500 rows.

``python tests/statistical/coverage_of_inequality.py 300`` prints rows of `coverage_of_answers.md`: coverage,
misses below and above, widths, and shares of samples that are warned of.
Outcomes are gamma with shape exp(1 + .3 d + .2 x), or log-normal with
σ = .6 exp(.2 d + .1 x); means are exp(1 + .4 x + .3 d), x is normal, d 0 or 1.  Truths are sums over
Gauss-Hermite nodes; those of coefficient and slope are one, by Stein's lemma.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import special, stats

import disteconometrics as de

ROWS = 500
NAMES = ["gini", "theil", "mld", "var_log"]


def shape(x: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.exp(1 + 0.3 * d + 0.2 * x)


def sigma(x: np.ndarray, d: np.ndarray) -> np.ndarray:
    return 0.6 * np.exp(0.2 * d + 0.1 * x)


def of_gamma(x: np.ndarray, d: float) -> np.ndarray:
    """The four measures (4, k) of gamma laws."""
    a = shape(x, np.full(len(x), d))
    gini = np.exp(special.gammaln(a + 0.5) - special.gammaln(a + 1)) / np.sqrt(np.pi)
    digamma = special.digamma(a)
    return np.array([gini, digamma + 1 / a - np.log(a), np.log(a) - digamma, special.polygamma(1, a)])


def of_lognormal(x: np.ndarray, d: float) -> np.ndarray:
    """The same of log-normal laws."""
    s = sigma(x, np.full(len(x), d))
    return np.array([2 * stats.norm.cdf(s / np.sqrt(2)) - 1, s**2 / 2, s**2 / 2, s**2])


def truths(of: Callable[[np.ndarray, float], np.ndarray]) -> dict[str, np.ndarray]:
    z, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    at = {d: of(z, d) for d in (0.0, 1.0)}
    slope = (at[0.0] + at[1.0]) / 2 @ (w * z)
    ends = np.array([-0.5, 0.5])
    effect = np.mean([np.diff(of(ends, d), axis=1)[:, 0] for d in (0.0, 1.0)], axis=0)
    contrast = (at[1.0] - at[0.0]) @ w
    return {"contrast of d": contrast, "coefficient of x": slope, "slope of x": slope, "effect of x": effect}


def draw(name: str, rng: np.random.Generator) -> pd.DataFrame:
    x, d = rng.normal(size=ROWS), rng.integers(0, 2, ROWS).astype(float)
    if name == "gamma":
        noise = rng.gamma(shape(x, d)) / shape(x, d)
    else:
        noise = np.exp(sigma(x, d) * rng.normal(size=ROWS))
    return pd.DataFrame({"y": np.exp(1 + 0.4 * x + 0.3 * d) * noise, "x": x, "d": d})


def intervals(name: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Limits (4, 2) of every effect in one sample, and whether it is warned of."""
    res = de.FlowDensity("log(y) ~ x + d").fit(draw(name, rng))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        e = res.effects(NAMES, on="y")
    of_x = [i for i, (label, _, _) in enumerate(e.of) if label == "x"]
    heavy = [w for w in told if issubclass(w.category, de.errors.HeavyTailWarning)]
    words = " ".join(str(w.message).partition(" are rough")[0] for w in heavy)
    return {
        "warned": np.array([[n in words] * 2 for n in NAMES], dtype=float),
        "contrast of d": e["d: 1 - 0"].interval(),
        "coefficient of x": e["x"].interval(),
        "slope of x": e.slopes.interval()[of_x],
        "effect of x": res.effect("x", -0.5, 0.5, NAMES, on="y").interval(),
    }


def main(reps: int) -> None:
    for name, of in (("gamma", of_gamma), ("lognormal", of_lognormal)):
        found = [intervals(name, np.random.default_rng([17, r])) for r in range(reps)]
        print(name, "warned", np.mean([f["warned"][:, 0] for f in found], axis=0).round(3))
        for effect, truth in truths(of).items():
            low, high = np.array([f[effect] for f in found]).transpose(2, 0, 1)
            printed = np.isfinite(low + high).sum(axis=0)
            below, above = ((v < 0).sum(axis=0) / printed for v in (high - truth, truth - low))
            width = np.nanmean(high - low, axis=0)
            print(name, effect, *(v.round(3) for v in (1 - below - above, below, above, width)), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]))
