"""What every estimator of a binary outcome does alike: weights, offsets, files and separation, law by law."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.api import GLM
from statsmodels.genmod.families import Binomial, links

import disteconometrics as de
from disteconometrics.errors import SeparationError, SeparationWarning

AGREE = 1e-8  # statsmodels stops its steps there


# statsmodels' link, and outcomes given the index
LAWS: dict[str, tuple[Any, Any]] = {
    "Logit": (links.Logit(), lambda rng, eta: eta + rng.logistic(size=len(eta)) > 0),
    "Probit": (links.Probit(), lambda rng, eta: eta + rng.normal(size=len(eta)) > 0),
    "CLogLog": (links.CLogLog(), lambda rng, eta: rng.exponential(size=len(eta)) < np.exp(eta)),
}


def table(outcome: Any, n: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "z": rng.exponential(size=n), "w": rng.integers(1, 4, n).astype(float)}
    )
    frame["shift"] = rng.normal(size=n) / 4
    eta = 0.2 + 0.8 * frame["x"] - 0.5 * frame["z"] + frame["shift"]
    return frame.assign(y=outcome(rng, eta).astype(int))


@pytest.mark.parametrize("name", LAWS)
def test_weights_offset_tests_and_files(name: str) -> None:
    link, outcome = LAWS[name]
    data, estimator = table(outcome), getattr(de, name)
    weighted = estimator("y ~ x + z", weights="w", weight_type="frequency").fit(data)
    copied = estimator("y ~ x + z").fit(data.loc[data.index.repeat(data["w"].astype(int))])
    np.testing.assert_allclose(weighted.bse, copied.bse, rtol=1e-10)
    res = estimator("y ~ x + z", offset="shift").fit(data, cov_type="HC1")
    peer = GLM.from_formula("y ~ x + z", data, family=Binomial(link), offset=data["shift"])
    np.testing.assert_allclose(res.params, peer.fit(method="newton", tol=1e-14).params, rtol=AGREE)
    assert res.with_cov("nonrobust").lr_test("z").p_value < 1e-6
    assert res.predict(data, ci=True)["conf_high"].max() <= 1
    file = io.BytesIO()
    res.save(file)
    again = de.load(io.BytesIO(file.getvalue()))
    assert again.model == res.model
    pd.testing.assert_frame_equal(again.predict(data, ci=True), res.predict(data, ci=True))
    assert f"{name} Regression Results" in str(again.summary())


@pytest.mark.parametrize("name", LAWS)
def test_separation_is_seen(name: str) -> None:
    x = np.arange(1.0, 11.0)
    frame, estimator = pd.DataFrame({"y": (x > 5).astype(int), "x": x}), getattr(de, name)
    with pytest.warns(SeparationWarning):
        res = estimator("y ~ x").fit(frame)
    assert res.params["x"] == np.inf
    assert res.llf == 0
    assert res.predict(frame).tolist() == frame["y"].tolist()
    with pytest.raises(SeparationError):
        estimator("y ~ x", separation="raise").fit(frame)
