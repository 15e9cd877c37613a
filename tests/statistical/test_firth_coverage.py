"""Monte Carlo of Firth's logit near separation: bias, coverage and width of profile-penalised intervals, size of the test.

Bands were stated before the first run: coverage in [.93, .97] and size in [.03, .07], each widened by three Monte Carlo
standard errors; bias of the slopes below a tenth of the truth, plus three Monte Carlo standard errors.  The samples are so
small that maximum likelihood has no estimate in many of them (between 5 and 60 % by design, counted on the first tenth),
and none is left out.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

pytestmark = pytest.mark.statistical

N = 50
BETA = np.array([-1.5, 1.0, 2.0, 0.0])  # intercept, x, d and z, which has no effect
LOW, HIGH = 0.93, 0.97
BIAS = 0.10
SEPARATED = (0.05, 0.60)


def slack(level: float, study: pd.DataFrame) -> float:
    return 3 * math.sqrt(level * (1 - level) / len(study))


@pytest.fixture(scope="module", params=[2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def study(request: pytest.FixtureRequest) -> pd.DataFrame:
    reps: int = request.param
    rows, model = [], de.Logit("y ~ x + d + z", penalty="firth")
    plain = de.Logit("y ~ x + d + z")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.SeparationWarning)
        for i, seed in enumerate(np.random.SeedSequence(11).spawn(reps)):
            rng = np.random.default_rng(seed)
            X = np.column_stack([np.ones(N), rng.normal(size=N), rng.random(N) < 0.15, rng.random(N) < 0.2]).astype(float)
            y = (rng.random(N) < 1 / (1 + np.exp(-X @ BETA))).astype(int)
            X[:2, 3] = 0, 1  # every column varies
            X[:2, 2] = 1, 0
            data = pd.DataFrame({"y": y, "x": X[:, 1], "d": X[:, 2], "z": X[:, 3]})
            res = model.fit(data)
            low, high = res.conf_int().to_numpy().T
            row = {"converged": res.converged, "p": res.pvalues["z"]}
            if i < reps // 10:
                row["separated"] = not plain.fit(data).converged
            for j, truth in enumerate(BETA):
                row |= {f"b{j}": res.params.iloc[j], f"in{j}": low[j] <= truth <= high[j], f"width{j}": high[j] - low[j]}
                row[f"wald{j}"] = abs(res.params.iloc[j] - truth) <= 1.959964 * res.bse.iloc[j]
            rows.append(row)
    return pd.DataFrame(rows)


def test_every_sample_has_an_estimate_and_an_interval(study: pd.DataFrame) -> None:
    assert study.converged.all()
    assert np.isfinite(study.drop(columns="separated").astype(float).to_numpy()).all()
    assert SEPARATED[0] <= study.separated.mean() <= SEPARATED[1]


@pytest.mark.parametrize("j", range(4))
def test_profile_intervals_cover(study: pd.DataFrame, j: int) -> None:
    figures = [f"{study[name].mean():.4f}" for name in (f"in{j}", f"wald{j}", f"width{j}")]
    print("coverage {} (Wald {}), mean width {}, {} samples".format(*figures, len(study)))
    assert LOW - slack(LOW, study) <= study[f"in{j}"].mean() <= HIGH + slack(HIGH, study)


def test_the_penalised_test_has_its_size(study: pd.DataFrame) -> None:
    size = (study.p < 0.05).mean()
    assert 0.03 - slack(0.03, study) <= size <= 0.07 + slack(0.07, study)


@pytest.mark.parametrize("j", [1, 2])
def test_bias_is_small(study: pd.DataFrame, j: int) -> None:
    b = study[f"b{j}"]
    assert abs(b.mean() - BETA[j]) <= BIAS * BETA[j] + 3 * b.std() / math.sqrt(len(study))
