"""Predictions under separation: the limit where the data determine it, missing elsewhere, never another."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import disteconometrics as de
from disteconometrics.errors import DisteconometricsWarning
from disteconometrics.optim import cone

REACHED = 1e-7  # of probabilities of the cells that overlap


def fitted(model: Any, data: pd.DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisteconometricsWarning)
        return model.fit(data)


def tables(seed: int, count: int) -> list[pd.DataFrame]:
    """Random tables of two factors with every cell filled and some cell of one outcome."""
    rng, out = np.random.default_rng(seed), []
    while len(out) < count:
        rows, (a, b) = int(rng.integers(16, 42)), rng.integers(2, 5, 2)
        d = pd.DataFrame({"g": rng.choice(list("pqrs")[:a], rows), "h": rng.integers(0, b, rows)})
        d["y"] = rng.integers(0, 2, rows)
        cells = d.groupby(["g", "h"]).y.agg(["mean", "size"])
        if len(cells) == a * b and d.y.nunique() == 2 and cells["mean"].isin([0, 1]).any():
            out.append(d)
    return out


@pytest.mark.parametrize("law", [de.Logit, de.Probit, de.CLogLog])
def test_saturated_tables_are_fitted_by_their_cell_means(law: Any) -> None:
    for d in tables(7, 8):
        res = fitted(law("y ~ g * C(h)"), d)
        means = d.groupby(["g", "h"]).y.transform("mean").to_numpy()
        new = d[["g", "h"]].drop_duplicates()
        np.testing.assert_allclose(res.predict(), means, atol=REACHED)
        np.testing.assert_allclose(res.predict(new), means[new.index], atol=REACHED)
        assert res.functionals().values[0] == pytest.approx(d.y.mean(), abs=REACHED)
        file = io.BytesIO()
        res.save(file)
        assert de.load(io.BytesIO(file.getvalue())).predict(new).equals(res.predict(new))


@pytest.mark.parametrize("unit", [1.0, 1e9])
def test_new_rows_have_a_limit_exactly_where_all_directions_agree(unit: float) -> None:
    rng = np.random.default_rng(4)
    X = np.column_stack([np.ones(30), rng.normal(size=(30, 3)) * [1, 1, unit]])
    y = (X @ [0.3, 1, 1, 1 / unit] > 0).astype(int)
    res = fitted(de.Logit("y ~ a + b + c"), pd.DataFrame(X[:, 1:], columns=list("abc")).assign(y=y))
    low, high = X[:, 1:].min(axis=0), X[:, 1:].max(axis=0)
    new = np.column_stack([np.ones(60), rng.uniform(low, high, size=(60, 3))])
    signed = X * (2 * y - 1)[:, None] / [1, 1, 1, unit]

    def reach(v: np.ndarray) -> float:
        solved = linprog(-v, -signed, np.zeros(30), bounds=(-1, 1))
        return float(-solved.fun)

    limit = {(True, False): 1.0, (False, True): 0.0, (True, True): np.nan}
    expected = [limit[reach(v) > 1e-7, reach(-v) > 1e-7] for v in new / [1, 1, 1, unit]]
    p = res.predict(pd.DataFrame(new[:, 1:], columns=list("abc")))
    np.testing.assert_array_equal(p, expected)
    assert 5 < np.isnan(expected).sum() < 55
    signs = [limit[reach(e) > 1e-7, reach(-e) > 1e-7] for e in np.eye(4)]
    assert np.array_equal(np.isnan(signs), res.params.isna())


def test_rows_of_the_fit_have_their_limit_where_there_are_too_many_for_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cone, "MOST_ROWS", 10)
    rng = np.random.default_rng(5)
    d = pd.DataFrame(rng.normal(size=(50, 2)), columns=["a", "b"])
    d["y"] = (d.a + d.b > 0).astype(int)
    res = fitted(de.Logit("y ~ a + b"), d)
    assert res.params.isna().all()
    assert np.array_equal(res.predict(), d.y)
    assert np.array_equal(res.predict(d[["a", "b"]]), d.y)
