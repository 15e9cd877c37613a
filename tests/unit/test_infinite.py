"""Infinite coefficients: which signs the data determine, and digits on nearly collinear designs."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import (
    IncidentalParametersWarning,
    OptionError,
    SeparationWarning,
    WithheldError,
)

RNG = np.random.default_rng(4)


def test_signs_on_which_directions_disagree_are_missing() -> None:
    """y = 1{x > 0} with a gap around zero: x decides, noise and constant do not,
    nor does any prediction inside the gap.
    """
    x = np.concatenate([RNG.uniform(0.5, 2, 50), -RNG.uniform(0.5, 2, 50)])
    data = pd.DataFrame({"x": x, "h": RNG.normal(size=100), "y": (x > 0).astype(int)})
    with pytest.warns(SeparationWarning, match="do not determine the sign of Intercept, h"):
        res = de.Logit("y ~ x + h").fit(data)
    assert res.params["x"] == np.inf
    assert res.params[["Intercept", "h"]].isna().all()
    p = res.predict(pd.DataFrame({"x": [-1.9, 0.0, 0.2, 1.9], "h": 0.0})).to_numpy()
    assert np.array_equal(p, [0.0, np.nan, np.nan, 1.0], equal_nan=True)
    assert np.array_equal(res.fittedvalues, data.y)
    file = io.BytesIO()
    res.save(file)
    again = de.load(io.BytesIO(file.getvalue()))
    assert np.array_equal(again.params, res.params, equal_nan=True)


def test_levels_that_are_decided_one_by_one_keep_their_signs() -> None:
    g = RNG.choice(list("abcd"), 400)
    data = pd.DataFrame({"g": g, "z": RNG.normal(size=400), "y": (RNG.random(400) < 0.5).astype(int)})
    data.loc[data.g == "c", "y"], data.loc[data.g == "d", "y"] = 1, 0
    with pytest.warns(SeparationWarning):
        res = de.Logit("y ~ g + z").fit(data)
    assert (res.params["g[T.c]"], res.params["g[T.d]"]) == (np.inf, -np.inf)
    kept = data[~data.g.isin(["c", "d"])]
    small = de.Logit("y ~ g + z").fit(kept)
    for kind in ("nonrobust", "HC0", "HC1"):
        assert np.allclose(
            res.with_cov(kind).bse[["Intercept", "z"]],
            small.with_cov(kind).bse[["Intercept", "z"]],
            rtol=1e-10,
        )
    with pytest.warns(SeparationWarning):
        larger = de.Logit("y ~ g + z + I(z**2)").fit(data)
    with pytest.raises(WithheldError, match="separat"):
        larger.lr_test(res)


def test_nearly_collinear_columns_cost_no_digits_afterwards() -> None:
    """A cubic in the calendar year (condition 1e8) gives the errors of the cubic in the centred year."""
    n = 2000
    data = pd.DataFrame({"year": RNG.integers(1990, 2021, n).astype(float), "z": RNG.normal(size=n)})
    data["c"] = data.year - 2005
    data["y"] = (0.3 * data.z + 0.02 * data.c + RNG.logistic(size=n) > 0).astype(int)
    raw = de.Logit("y ~ year + I(year**2) + I(year**3) + z").fit(data)
    centred = de.Logit("y ~ c + I(c**2) + I(c**3) + z").fit(data)
    for kind in ("nonrobust", "HC1"):
        a, b = raw.with_cov(kind), centred.with_cov(kind)
        assert np.allclose(a.predict(ci=True), b.predict(ci=True), rtol=1e-7)
        assert a.margins("year").bse.iloc[0] == pytest.approx(b.margins("c").bse.iloc[0], rel=1e-7)
    assert raw.score_test("I(year**3)").statistic == pytest.approx(
        centred.score_test("I(c**3)").statistic, rel=1e-7
    )
    file = io.BytesIO()
    raw.save(file)
    loaded = de.load(io.BytesIO(file.getvalue()))
    assert np.allclose(loaded.predict(data, ci=True), raw.predict(ci=True), rtol=1e-12)


def test_results_travel() -> None:
    data = de.datasets.spector()
    res = de.Logit("GRADE ~ GPA + PSI").fit(data)
    again = pickle.loads(pickle.dumps(res))
    assert again.with_cov("HC3").bse.equals(res.with_cov("HC3").bse)
    file = io.BytesIO()
    res.save(file)
    loaded = de.load(io.BytesIO(file.getvalue()))
    assert loaded.attach(data).lr_test("PSI").statistic == res.lr_test("PSI").statistic


def test_loaded_results_of_other_data_are_not_nested() -> None:
    def saved(seed: int, formula: str) -> io.BytesIO:
        rng = np.random.default_rng(seed)
        d = pd.DataFrame({"x": rng.normal(size=300), "z": rng.normal(size=300)})
        d["y"] = (d.x + rng.logistic(size=300) > 0).astype(int)
        file = io.BytesIO()
        de.Logit(formula).fit(d).save(file)
        return io.BytesIO(file.getvalue())

    assert de.load(saved(0, "y ~ x + z")).lr_test(de.load(saved(0, "y ~ x"))).p_value > 0
    with pytest.raises(OptionError, match="same rows"):
        de.load(saved(0, "y ~ x + z")).lr_test(de.load(saved(1, "y ~ x")))


def test_many_decided_levels_keep_their_signs() -> None:
    """More infinite coefficients than linear programs are run for, and the base level is one of them."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(150), 8)
    x = rng.normal(size=len(g))
    y = (x + rng.logistic(size=len(g)) > 0).astype(int)
    decided = g % 2 == 0
    y[decided] = (g % 4 == 0)[decided]
    data = pd.DataFrame({"y": y, "x": x, "g": [f"{i:03d}" for i in g]})
    with pytest.warns(IncidentalParametersWarning), pytest.warns(SeparationWarning):
        res = de.Logit("y ~ x + C(g)").fit(data)
    pure = data.groupby("g")["y"].transform("nunique") == 1
    with pytest.warns(IncidentalParametersWarning):
        rest = de.Logit("y ~ x + C(g)").fit(data[~pure])
    np.testing.assert_allclose([res.params["x"], res.bse["x"]], [rest.params["x"], rest.bse["x"]], rtol=1e-10)
    p = res.predict(data)
    np.testing.assert_array_equal(p[pure], y[pure])
    np.testing.assert_allclose(p[~pure], rest.fittedvalues, rtol=1e-9)


def test_hac_keeps_the_periods_of_separated_rows() -> None:
    """The same errors as a fit whose offset pushes the separated rows to the limit;
    the warning says what they rest on.
    """
    rng = np.random.default_rng(8)
    x, d, t = rng.normal(size=120), np.arange(120) % 5 == 2, rng.permutation(120)
    y = np.where(d, 1, x + rng.logistic(size=120) > 0).astype(int)
    data = pd.DataFrame({"y": y, "x": x, "d": d.astype(int), "t": t, "far": 60.0 * d})
    pushed = de.Logit("y ~ x", offset="far").fit(data)
    with pytest.warns(
        SeparationWarning, match="rest on the other 96 rows and count the clusters among these"
    ):
        res = de.Logit("y ~ x + d").fit(data)
    for lags in (0, 3, None):
        cov = de.HAC("t", lags=lags)
        ours, limit = res.with_cov(cov), pushed.with_cov(cov)
        assert ours.covariance.label == limit.covariance.label
        np.testing.assert_allclose(ours.bse[["Intercept", "x"]], limit.bse, rtol=1e-10)
