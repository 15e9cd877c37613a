"""Monte Carlo of the logit: bias, coverage of intervals and size of tests, within their own error bands.

A band is three Monte Carlo standard errors wide on each side: about one correct figure in 370 falls outside, and the
seeds are fixed.  The exact size of a test at n = 400 is not its nominal one, so DRIFT is allowed on top: the next
term of its expansion is of order 1/n.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import disteconometrics as de

pytestmark = pytest.mark.statistical

REPS = 2_000
N = 400
BAND = 3.0  # Monte Carlo standard errors
DRIFT = 0.004  # of coverage and size from their nominal values, order 1/n
BETA = np.array([-0.5, 0.8, -0.6])
BIAS_ORDER = 5.0 / N  # the maximum-likelihood bias of a logit slope is of order 1/n: here about 2β/n
FIRMS = 80


def band(level: float, reps: int = REPS) -> float:
    return BAND * math.sqrt(level * (1 - level) / reps)


def draw(rng: np.random.Generator) -> pd.DataFrame:
    x, d = rng.normal(size=N), (rng.random(N) < 0.4).astype(float)
    y = rng.random(N) < special.expit(BETA[0] + BETA[1] * x + BETA[2] * d)
    return pd.DataFrame({"y": y.astype(int), "x": x, "d": d, "z": rng.normal(size=N)})


@pytest.fixture(scope="module")
def study() -> pd.DataFrame:
    """Estimates, errors and p-values of true hypotheses, a row a replication; z has no effect."""
    model, rows = de.Logit("y ~ x + d + z"), []
    for seed in np.random.SeedSequence(2024).spawn(REPS):
        res = model.fit(draw(np.random.default_rng(seed)))
        robust = res.with_cov("HC1")
        low, high = res.conf_int().to_numpy().T
        ratios = res.nlcom(["d / x", "x / d"], method="fieller").interval()
        rows.append(
            {
                **{f"b{j}": b for j, b in enumerate(res.params)},
                **{f"se{j}": s for j, s in enumerate(res.bse)},
                **{f"in{j}": low[j] <= b <= high[j] for j, b in enumerate([*BETA, 0.0])},
                **{
                    f"robust{j}": abs(robust.params.iloc[j] - b) <= 1.959964 * robust.bse.iloc[j]
                    for j, b in enumerate([*BETA, 0.0])
                },
                "d / x": ratios[0, 0] <= BETA[2] / BETA[1] <= ratios[0, 1],
                "x / d": ratios[1, 0] <= BETA[1] / BETA[2] <= ratios[1, 1],
                "wald": res.test("z = 0").p_value,
                "wald joint": res.test("x = 0.8, d = -0.6, z = 0").p_value,
                "lr": res.lr_test("z = 0").p_value,
                "lr joint": res.lr_test("x = 0.8, d = -0.6, z = 0").p_value,
                "score": res.score_test("z = 0").p_value,
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("j", range(4))
def test_bias_and_standard_errors(study: pd.DataFrame, j: int) -> None:
    truth = [*BETA, 0.0][j]
    b, se = study[f"b{j}"], study[f"se{j}"]
    assert abs(b.mean() - truth) <= BAND * b.std() / math.sqrt(REPS) + BIAS_ORDER * abs(truth)
    # the mean of the standard errors is the spread of the estimates
    assert abs(se.mean() / b.std() - 1) <= BAND / math.sqrt(2 * REPS) + DRIFT


@pytest.mark.parametrize("kind", ["in", "robust"])
@pytest.mark.parametrize("j", range(4))
def test_coverage(study: pd.DataFrame, kind: str, j: int) -> None:
    assert abs(study[f"{kind}{j}"].mean() - 0.95) <= band(0.95) + DRIFT


def test_coverage_of_ratios(study: pd.DataFrame) -> None:
    """Fieller's set is exact; where the denominator may be zero it is printed as the whole line, which covers more."""
    assert abs(study["d / x"].mean() - 0.95) <= band(0.95) + DRIFT
    assert study["x / d"].mean() >= 0.95 - band(0.95) - DRIFT


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1, 0.5])
@pytest.mark.parametrize("test", ["wald", "wald joint", "lr", "lr joint", "score"])
def test_size(study: pd.DataFrame, test: str, level: float) -> None:
    assert abs((study[test] <= level).mean() - level) <= band(level) + DRIFT


@pytest.mark.parametrize("test", ["wald", "lr", "score"])
def test_p_values_are_uniform(study: pd.DataFrame, test: str) -> None:
    assert stats.kstest(study[test], "uniform").statistic <= 1.95 / math.sqrt(REPS) + DRIFT  # the 0.1 % point


def test_clustered_errors_cover_where_plain_ones_do_not() -> None:
    """Covariate and index share a component within firms: the coefficient is the population's own."""
    reps, size = 600, N // FIRMS
    rng, rows = np.random.default_rng(2025), []
    firm = np.repeat(np.arange(FIRMS), size)
    model, cluster = de.Logit("y ~ x"), de.Cluster("firm")
    for _ in range(reps):
        x = np.repeat(rng.normal(size=FIRMS), size)
        # a latent logistic error whose uniform is shared by half of a firm's rows: the margin stays an exact logit
        u = np.where(rng.random(N) < 0.7, np.repeat(rng.random(FIRMS), size), rng.random(N))
        res = model.fit({"y": (u < special.expit(0.2 + 0.7 * x)).astype(int), "x": x, "firm": firm})
        clustered = res.with_cov(cluster, use_t=True).conf_int().loc["x"]
        plain = res.conf_int().loc["x"]
        rows.append((clustered[0] <= 0.7 <= clustered[1], plain[0] <= 0.7 <= plain[1]))
    clustered, plain = np.mean(rows, axis=0)
    assert 0.93 - band(0.95, reps) <= clustered <= 0.97 + band(0.95, reps)  # 80 clusters: a slight undercoverage is known
    assert plain < 0.90
