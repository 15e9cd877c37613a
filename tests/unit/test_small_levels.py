"""Factors with few rows a level bias the other slopes of a model that is not linear: who is warned of it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import ConditioningWarning, IncidentalParametersWarning, SeparationWarning
from disteconometrics.estimators.rows import incidental_bias


def panel(sizes: list[int]) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    at = np.repeat(np.arange(len(sizes)), sizes)
    level, x = rng.normal(size=len(sizes)), rng.normal(size=len(at))
    y = rng.random(len(at)) < 1 / (1 + np.exp(-x - 0.5 * level[at]))
    return pd.DataFrame({"y": y.astype(int), "x": x, "id": at, "name": [f"firm {i}" for i in at], "w": 1})


def told(model: Any, data: pd.DataFrame) -> list[IncidentalParametersWarning]:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        model.fit(data)
    others = (SeparationWarning, ConditioningWarning, IncidentalParametersWarning)
    assert all(issubclass(w.category, others) for w in raised)
    return [w.message for w in raised if isinstance(w.message, IncidentalParametersWarning)]


F = "y ~ x + C(id)"
WARNED = [
    (de.Logit(F), [2] * 200, ["C(id)", "200 levels", "400 rows", "2.0 on average", "100%"]),
    (de.Logit(F), [8] * 60, ["60 levels", "480 rows", "17%"]),
    (de.Probit(F), [4] * 80, ["80 levels", "320 rows", "4.0 on average", "50%"]),
    (de.CLogLog(F), [10] * 40, ["40 levels", "17%", "ConditionalLogit", "merge levels", "bias"]),
    (de.Logit("y ~ x + name"), [20] * 20, ["name has 20 levels"]),
    (de.Logit("y ~ x + C(id % 8) * C(id // 8)"), [5] * 64, ["C(id % 8):C(id // 8) has 64 levels"]),
    (de.Logit(F), [5] * 60 + [100] * 5, ["65 levels on 800 rows, 60 of them", "5.0 on average"]),
    (de.Logit(F, weights="w", weight_type="frequency"), [4] * 30, ["30 levels on 120 rows"]),
    (de.Logit(F, penalty="firth"), [2] * 40, ["towards zero"]),
]
QUIET = [
    (de.Logit(F), [21] * 50),
    (de.Logit(F), [30] * 12),
    (de.Logit(F), [6] * 3),
    (de.Logit(F), [5] * 20 + [200] * 10),  # a twentieth of the rows
    (de.Logit(F), [1] * 20 + [60] * 3),  # levels of one row leave no trace
    (de.Logit("y ~ C(id)"), [8] * 30),  # no other slope
    (de.Logit(F, penalty="firth"), [5] * 30),
    (de.NormalRegression(F), [2] * 60),
]


@pytest.mark.parametrize(("model", "sizes", "words"), WARNED)
def test_few_rows_a_level_are_told(model: Any, sizes: list[int], words: list[str]) -> None:
    (warning,) = told(model, panel(sizes))
    assert all(word in str(warning) for word in words), str(warning)
    assert warning.column is not None
    assert warning.hint is not None


@pytest.mark.parametrize(("model", "sizes"), QUIET)
def test_no_false_alarm(model: Any, sizes: list[int]) -> None:
    assert not told(model, panel(sizes))


def test_the_size_told_is_that_of_simulations_and_one_for_all() -> None:
    """The mean of 40 samples of 150 groups of 8 rows, where an error of the bias is .013."""
    slopes = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        at, x = np.repeat(np.arange(150), 8), rng.normal(size=1200)
        y = rng.random(1200) < 1 / (1 + np.exp(-x - 0.5 * rng.normal(size=150)[at]))
        data = pd.DataFrame({"y": y.astype(int), "x": x, "id": at})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            slopes.append(float(de.Logit("y ~ x | id").fit(data).params["x"]))
    (beside_columns,) = told(de.Logit("y ~ x + C(id)"), data)
    (absorbed,) = told(de.Logit("y ~ x | id"), data)
    assert "about 17%" in str(beside_columns)
    assert "about 17%" in str(absorbed)
    np.testing.assert_allclose(np.mean(slopes) - 1, incidental_bias(8.0), atol=0.052)
    assert incidental_bias(2.0) == 1.0
