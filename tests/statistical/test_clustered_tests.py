"""Size of Wald and score tests with few clusters, at 5 %: bands [.03, .09].

``python tests/statistical/test_clustered_tests.py 2000`` prints the table of `clustered_tests.md`, with the
numbers of hypotheses after it (``300 2 4 6``) that of joint tests of uneven clusters, with "score" before
these (``600 score 1 2 6``) that of score tests.  Clusters
of twenty rows share a normal intercept of deviation .7 that no regressor knows; half of each regressor's
variance is between clusters, and none has an effect.
"""

from __future__ import annotations

import itertools
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special

import disteconometrics as de

pytestmark = pytest.mark.statistical

ROWS = 20
BAND = (0.03, 0.09)
CASES = [(1, 50), (6, 50), (1, 20), (6, 20)]


def p_values(q: int, clusters: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Of the Wald test, the score test and the summary's test of all regressors; NaN under separation."""
    firm = np.repeat(np.arange(clusters), ROWS)
    of_firm, own = rng.normal(size=(clusters, q))[firm], rng.normal(size=(len(firm), q))
    X, shared = (of_firm + own) / np.sqrt(2), 0.7 * rng.normal(size=clusters)[firm]
    y = rng.random(len(firm)) < 1 / (1 + np.exp(0.5 - shared))
    names = [f"x{j}" for j in range(q)]
    d = pd.DataFrame(X, columns=names).assign(y=y.astype(int), firm=firm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = de.Logit("y ~ " + " + ".join(names)).fit(d, cov=de.Cluster("firm"))
        return res.test(", ".join(names)).p_value, res.score_test(", ".join(names)).p_value, res.wald_pvalue


def sizes(q: int, clusters: int, reps: int) -> np.ndarray:
    """Shares of p-values below 5 %."""
    return np.mean(
        [np.less(p_values(q, clusters, np.random.default_rng([7, r])), 0.05) for r in range(reps)], axis=0
    )


def regressors(
    q: int, clusters: int, shape: float, all_between: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters (n,) of rows and regressors (n, q)."""
    rows = np.full(clusters, ROWS)
    if np.isfinite(shape):  # Pareto's law, from 2 (shapes below 2) or 10 rows to 120
        drawn = rng.pareto(shape, clusters)
        rows = np.minimum(2 + (10 * drawn).astype(int) if shape < 2 else (10 * (1 + drawn)).astype(int), 120)
    firm = np.repeat(np.arange(clusters), rows)
    X = rng.normal(size=(clusters, q))[firm]
    return firm, X if all_between else (X + rng.normal(size=X.shape)) / np.sqrt(2)


def score_test(firm: np.ndarray, X: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """p-value of a logit's score test that no regressor has an effect, and how many clusters tell of these.

    It is a formula, as the restricted maximum is the mean; ``clusters_telling`` is the second.
    """
    q, clusters = X.shape[1], firm[-1] + 1
    y = rng.random(len(firm)) < 1 / (1 + np.exp(0.5 - 0.7 * rng.normal(size=clusters)[firm]))
    first, Z = np.flatnonzero(np.diff(firm, prepend=-1)), X - X.mean(axis=0)
    s = np.add.reduceat(Z * (y - y.mean())[:, None], first, axis=0)
    S = s.sum(axis=0) @ np.linalg.solve(s.T @ s, s.sum(axis=0))
    h = np.add.reduceat(np.einsum("ij,jk,ik->i", Z, np.linalg.inv(Z.T @ Z), Z), first)
    F = S * (clusters - q) / (q * max(clusters - S, 1e-300))
    return float(special.fdtrc(q, clusters - q, F)), h.sum() ** 2 / (h @ h)


def of_score_tests(q: int, reps: int) -> None:
    """Print the rows of the table of score tests for q hypotheses, and for one those of treated clusters."""
    for shape, all_between in itertools.product((np.inf, 3.0, 1.5), (False, True)):
        for clusters in (20, 50, 100):
            found = []
            for r in range(reps):
                rng = np.random.default_rng([13, r])
                found.append(score_test(*regressors(q, clusters, shape, all_between, rng), rng))
            p, telling = np.transpose(found)
            print(
                q, clusters, shape, all_between, np.mean(p < 0.05), np.mean(telling < 3 + 2 * q), flush=True
            )
    for clusters, treated in itertools.product((20, 60, 100), (2, 3, 4, 5, 6, 8, 10)) if q == 1 else ():
        firm = np.repeat(np.arange(clusters), ROWS)
        X = np.asarray(firm < treated, float)[:, None]
        found = [score_test(firm, X, np.random.default_rng([13, r])) for r in range(reps)]
        p, telling = np.transpose(found)
        print(f"{treated} of {clusters} treated", np.mean(p < 0.05), telling[0].round(1), flush=True)


def joint_test(
    q: int, clusters: int, shape: float, all_between: bool, rng: np.random.Generator
) -> list[bool]:
    """Of a Wald test and that with the jackknife: whether it rejects, whether it is warned of."""
    firm, X = regressors(q, clusters, shape, all_between, rng)
    y = 0.7 * rng.normal(size=clusters)[firm] + 1.3 * rng.normal(size=len(firm))
    names = [f"x{j}" for j in range(q)]
    d, found = pd.DataFrame(X, columns=names).assign(y=y, firm=firm), []
    for correction in ("groups", "jackknife"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            res = de.NormalRegression("y ~ " + " + ".join(names)).fit(
                d, cov=de.Cluster("firm", correction=correction)
            )
            warnings.simplefilter("always")
            found += [res.test(", ".join(names)).p_value < 0.05, bool(caught)]
    return found


def uneven(q: int, reps: int) -> None:
    """Print the rows of the table for q hypotheses."""
    for shape, all_between in itertools.product((np.inf, 3.0, 1.5), (False, True)):
        cells = []
        for clusters in (20, 50, 100, 300):
            rngs = (np.random.default_rng([11, r]) for r in range(reps))
            share = np.mean([joint_test(q, clusters, shape, all_between, rng) for rng in rngs], axis=0)
            cells.append([f"{share[i]:.3f} ({share[i + 1]:.2f})" for i in (0, 2)])
        law = f"Pareto {shape:g}" if np.isfinite(shape) else "even"
        columns = " | ".join(" ".join(column) for column in zip(*cells, strict=True))
        print(f"| {q} | {law} | {'all' if all_between else 'half'} | {columns} |", flush=True)


@pytest.mark.parametrize(("q", "clusters"), [(1, 50), (6, 20)])
def test_size_in_short(q: int, clusters: int) -> None:
    """200 samples, four Monte Carlo errors wide."""
    found = sizes(q, clusters, 200)
    slack = 4 * np.sqrt(0.06 * 0.94 / 200)
    assert (found > BAND[0] - slack).all(), found
    assert (found < BAND[1] + slack).all(), found


@pytest.mark.slow
@pytest.mark.parametrize(("q", "clusters"), CASES)
def test_size(q: int, clusters: int) -> None:
    found = sizes(q, clusters, 2000)
    assert ((found >= BAND[0]) & (found <= BAND[1])).all(), found


if __name__ == "__main__":
    scored = sys.argv[2:3] == ["score"]
    for hypotheses in sys.argv[2 + scored :]:
        (of_score_tests if scored else uneven)(int(hypotheses), int(sys.argv[1]))
    for q, clusters in CASES if len(sys.argv) == 2 else ():
        print(q, clusters, *sizes(q, clusters, int(sys.argv[1])).round(4), flush=True)
