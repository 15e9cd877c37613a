"""What every estimator whose laws can be averaged over other rows obeys, decomposed and counterfactual."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import AtMassWarning
from disteconometrics.estimators.decomposition.groups import CROSSED

RNG = np.random.default_rng(8)
N = 120
G = np.arange(N) % 2
X = RNG.normal(0.3 * G, 1.0)
Y = np.exp(1 + 0.3 * X + 0.2 * G + 0.3 * RNG.normal(size=N))
DATA = pd.DataFrame(
    {
        "g": G,
        "x": X,
        "y": Y,
        "high": (3 + RNG.logistic(size=N) < Y).astype(int),
        "c": np.arange(N) // 2,
        "row": np.arange(N),
    }
)
DATA["piled"] = np.where((RNG.random(N) < 0.3) & (np.abs(X) < 1.5), 0.0, Y)
DATA["near"], DATA["capped"] = np.round(2 * Y) / 2, np.minimum(Y, 5.0)
NUMBERS = ["mean", "std", "q[0.5]"]
ESTIMATORS: dict[str, tuple[Any, list[str]]] = {
    "CLogLog": (de.CLogLog("high ~ x"), ["mean"]),
    "DistributionRegression": (de.DistributionRegression("y ~ x", thresholds=8), [*NUMBERS, "gini"]),
    "FlowDensity": (
        de.FlowDensity("y ~ x", support="positive", flow=de.MonotoneSpline(structure="linear")),
        [*NUMBERS, "gini"],
    ),
    "Logit": (de.Logit("high ~ x"), ["mean"]),
    "NormalRegression": (de.NormalRegression("y ~ x"), NUMBERS),
    "Probit": (de.Probit("high ~ x"), ["mean"]),
    "HurdleNormalRegression": (de.NormalRegression("mass(piled, 0) ~ x"), ["mean", "std", "q[0.6]"]),
    "HurdleFlowDensity": (
        de.FlowDensity("mass(piled, 0) ~ x", support="positive", flow=de.MonotoneSpline(structure="linear")),
        ["mean", "std", "q[0.6]", "gini"],
    ),
}
RECORDED: dict[str, tuple[Any, list[str]]] = {  # of results above, by what was recorded of the outcome
    "topcoded": (de.NormalRegression("topcoded(capped, at=5) ~ x"), NUMBERS),
    "rounded": (de.NormalRegression("rounded(near, to=0.5) ~ x"), NUMBERS),
}
COMMON: dict[str, Any] = {"levels": [0.3, 0.5, 0.7], "draws": 100, "seed": 1}


def test_every_estimator_is_in_the_table() -> None:
    assert set(ESTIMATORS) == set(CROSSED)


@pytest.mark.parametrize("name", [*ESTIMATORS, *RECORDED])
def test_parts_add_up_and_have_errors(name: str) -> None:
    estimator, functionals = (ESTIMATORS | RECORDED)[name]
    res = de.decompose(estimator, DATA, by="g", functionals=functionals, **COMMON)
    values, V = res.estimates.values.reshape(-1, 3), res.estimates.covariance
    np.testing.assert_allclose(values[:, 0], values[:, 1] + values[:, 2], atol=1e-12)
    assert np.isfinite(V).all()
    assert (res.bse > 0).all()
    C = np.kron(np.eye(len(functionals)), [1.0, -1, -1])
    smooth = [i for i, f in enumerate(functionals) if not f.startswith("q[")]
    np.testing.assert_allclose(np.diagonal(C @ V @ C.T)[smooth], 0, atol=1e-10)
    own = res.fits[0].distribution().average().mean()
    assert res.laws().loc["0", "mean"] == pytest.approx(own, rel=1e-6)
    if functionals != ["mean"]:
        beside_mass = "Hurdle" in name
        with pytest.warns(AtMassWarning, match=r"q\[0.3\]\. ") if beside_mass else nullcontext():
            t = res.quantiles()
        np.testing.assert_allclose(
            t.loc["total", "estimate"], t.loc["1", "estimate"] - t.loc["0", "estimate"], atol=1e-12
        )
        missing = t.conf_low.isna()
        assert missing[missing].index.get_level_values("level").isin([0.3] if beside_mass else []).all()
        t = t[~missing]  # near the share at the mass
        assert (t.band_low <= t.conf_low + 1e-12).all()
        assert (t.conf_high <= t.band_high + 1e-12).all()
        assert res.tests().to_numpy().min() > 0


@pytest.mark.parametrize(
    "estimator",
    [
        de.NormalRegression("mass(y, 0) ~ x"),
        de.FlowDensity("mass(y, 0) ~ x", flow=de.MonotoneSpline("linear"), base="logistic"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_inside_of_a_mass_laws_and_their_differences_stand_still(estimator: Any) -> None:
    g = np.arange(400) % 2
    y = np.maximum(0, 0.3 * g - 0.2 + np.random.default_rng(3).normal(size=400))
    data = pd.DataFrame({"x": np.random.default_rng(4).normal(size=400), "g": g, "y": y})
    res = de.decompose(estimator, data, by="g", functionals="mean")
    found = res.quantiles([0.15, 0.25])
    assert (found == 0).all(axis=None)


@pytest.mark.filterwarnings("ignore:Cluster column")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_law_over_the_same_rows_is_the_own_one(name: str) -> None:
    estimator, functionals = ESTIMATORS[name]
    options = {"draws": 100, "seed": 1} if name == "DistributionRegression" else {}
    fit = estimator.fit(DATA, cov="HC1", **options)
    found = fit.counterfactual(DATA[["x"]], target="sample").functionals(functionals)
    assert (found.std_error > 0).all()
    assert found.values[0] == pytest.approx(fit.distribution().average().mean(), rel=1e-6)
    rows = (
        fit.with_cov(de.Cluster("row")).counterfactual(DATA[["x"]], target="sample").functionals(functionals)
    )
    np.testing.assert_allclose(rows.std_error, found.std_error, rtol=0.02)  # √((n − 1)/(n − k)) apart
    shared = fit.with_cov(de.Cluster("c")).counterfactual(DATA).functionals("mean")
    assert shared.std_error[0] > found.std_error[0]
