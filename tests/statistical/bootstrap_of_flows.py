"""Standard errors of `bootstrap` of flows over the spread of estimates in fresh samples.

    python tests/statistical/bootstrap_of_flows.py [samples] [replications] [fresh]

prints the rows of `bootstrap_of_flows.md`: the root of the mean squared bootstrap error over ``samples``, and
its mean, over the standard deviation of the estimates of ``fresh`` samples, functional by functional.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd

import disteconometrics as de

N = 500
SEED = 91


def skewed(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Location and scale move with x, the shape is a gamma's."""
    x = rng.uniform(0, 2, N)
    return {"y": 1 + x + (0.5 + 0.5 * x) * (rng.gamma(3, size=N) - 3) / np.sqrt(3), "x": x}


def bimodal(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two normal laws."""
    return {"y": np.where(rng.random(N) < 0.6, rng.normal(-1.5, 0.6, N), rng.normal(1.5, 1, N))}


def clustered(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Fifty clusters of ten that share half of x and part of the error."""
    g = np.repeat(np.arange(N // 10), 10)
    x = 0.7 * rng.normal(size=N // 10)[g] + 0.7 * rng.normal(size=N)
    return {
        "y": 1 + x + 0.5 * rng.normal(size=N // 10)[g] + (rng.gamma(3, size=N) - 3) / np.sqrt(3),
        "x": x,
        "g": g,
    }


DESIGNS = {
    "skewed": (skewed, "y ~ x", {}),
    "bimodal": (bimodal, "y ~ 1", {}),
    "clustered": (clustered, "y ~ x", {"kind": "cluster", "cluster": "g"}),
}


def ratios(name: str, samples: int, reps: int, fresh: int) -> pd.DataFrame:
    """Rows rms and mean, a column per functional; the share of failed replications in the last."""
    draw, formula, options = DESIGNS[name]
    model = de.FlowDensity(formula)
    truth = pd.DataFrame([model.fit(draw(np.random.default_rng([SEED, r]))).params for r in range(fresh)])
    boots = []
    for r in range(samples):
        try:
            boots.append(de.bootstrap(model, draw(np.random.default_rng([SEED, r])), reps, seed=r, **options))
        except de.errors.DisteconometricsError:  # a moment of the sample's own fit is withheld
            continue
    errors = pd.DataFrame([b.bse for b in boots]) / truth.std()
    failed = np.mean([b.failures.sum() / reps for b in boots])
    found = pd.DataFrame({"rms": np.sqrt((errors**2).mean()), "mean": errors.mean()}).T
    return found.assign(failed=failed, samples=len(boots), withheld=truth["std"].isna().sum())


if __name__ == "__main__":
    samples, reps, fresh = (int(a) for a in (*sys.argv[1:], *("40", "100", "300")[len(sys.argv) - 1 :]))
    warnings.simplefilter("ignore")
    for name in DESIGNS:
        print(name, ratios(name, samples, reps, fresh).round(3).to_string(), sep="\n")
