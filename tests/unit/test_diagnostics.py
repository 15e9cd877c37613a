"""Diagnostics against hand formulas, refits and brute force, on the logit and the probit,
with and without weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import disteconometrics as de
from disteconometrics.errors import (
    ExtrapolationWarning,
    NeedsData,
    OptionError,
    SeparationWarning,
    WithheldError,
)
from disteconometrics.inference import diagnostics

ROUNDING = 1e-9


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 400
    frame = pd.DataFrame(
        {"x": rng.normal(size=n).round(1), "z": rng.integers(0, 3, n), "g": rng.integers(0, 50, n)}
    )
    frame["y"] = (
        0.4 * frame["x"] + 0.5 * frame["x"] ** 2 - 0.5 * frame["z"] + rng.logistic(size=n) > 0
    ).astype(int)
    frame["w"] = rng.integers(1, 4, n).astype(float)
    return frame


def replicate(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[frame.index.repeat(frame["w"].astype(int))].reset_index(drop=True)


def test_hosmer_lemeshow_by_hand(data: pd.DataFrame) -> None:
    """The convention of R's ResourceSelection: cut(p, unique(quantile(p, 0:g/g)), include.lowest=TRUE),
    g − 2 degrees.
    """
    res = de.Logit("y ~ x + z").fit(data)
    p, y = res.predict(data), data["y"]
    cut = pd.cut(p, np.unique(np.quantile(p, np.linspace(0, 1, 11))), include_lowest=True)
    ones, expected, n = (v.groupby(cut, observed=False).sum() for v in (y, p, pd.Series(1.0, index=p.index)))
    hand = ((ones - expected) ** 2 / expected + (ones - expected) ** 2 / (n - expected)).sum()
    found = res.hosmer_lemeshow()
    assert found.test.statistic == pytest.approx(hand, rel=ROUNDING)
    assert found.test.df == (8,)
    assert found.test.p_value == pytest.approx(stats.chi2.sf(hand, 8), rel=ROUNDING)
    np.testing.assert_allclose(found.table["ones"], ones)
    tied = diagnostics.hosmer_lemeshow(np.tile([0.0, 1.0], 30), np.repeat([0.2, 0.3, 0.6, 0.7], 15), 10)
    assert tied.test.df == (
        1,
    )  # the lowest interval is closed, so 0.2 and 0.3 share it: three groups, whatever was asked for


def test_link_test_sees_the_missing_square(data: pd.DataFrame) -> None:
    res = de.Logit("y ~ x + z").fit(data)
    eta = res.predict(data, linear=True)
    peer = sm.Logit(data["y"], np.column_stack([np.ones(len(eta)), eta, eta**2])).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(res.link_test().values, peer.params, rtol=1e-7)
    np.testing.assert_allclose(res.link_test().std_error, peer.bse, rtol=1e-7)
    with pytest.raises(WithheldError, match="variance zero"):
        de.Logit("y ~ 1").fit(data).roc().interval()
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    curved = pd.DataFrame({"x": x, "y": (x + 0.6 * x**2 + rng.normal(size=2000) > 0).astype(int)})
    # z of the square, 10 seeds: 13.8 ± .6 and .3 ± .8
    assert de.Probit("y ~ x").fit(curved).link_test().p_value[2] < 1e-6
    assert de.Probit("y ~ x + I(x**2)").fit(curved).link_test().p_value[2] > 1e-4
    with pytest.raises(WithheldError, match="fewer than three values"):
        de.Logit("y ~ I(x > 0)").fit(curved).link_test()


def test_roc_is_the_share_of_pairs_in_order(data: pd.DataFrame) -> None:
    res = de.Logit("y ~ x").fit(data)  # x is rounded, so scores tie
    p, y = res.predict(data).to_numpy(), data["y"].to_numpy()
    ones, zeros = p[y == 1][:, None], p[y == 0][None, :]
    wins = (ones > zeros) + 0.5 * (ones == zeros)
    found = res.roc()
    assert found.auc == pytest.approx(wins.mean(), rel=ROUNDING)
    delong = wins.mean(axis=1).var(ddof=1) / len(ones) + wins.mean(axis=0).var(ddof=1) / zeros.size
    assert found.std_error == pytest.approx(np.sqrt(delong), rel=ROUNDING)
    curve = found.table
    assert np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"]) == pytest.approx(
        found.auc, rel=ROUNDING
    )
    for t, fpr, tpr in curve.iloc[[1, 5, -1]].itertuples(index=False):
        assert (tpr, fpr) == pytest.approx(((p[y == 1] >= t).mean(), (p[y == 0] >= t).mean()))
    low, high = found.interval()
    assert low < found.auc < high
    with pytest.raises(WithheldError, match="variance zero"):
        diagnostics.roc(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4])).interval()


def test_classification_counts(data: pd.DataFrame) -> None:
    res = de.Logit("y ~ x + z").fit(data)
    c = res.classification(0.4)
    np.testing.assert_array_equal(c.table, res.pred_table(0.4))
    p, y = res.predict(data), data["y"]
    assert c.measures["precision"] == pytest.approx(y[p > 0.4].mean())
    assert c.measures["sensitivity"] == pytest.approx((p > 0.4)[y == 1].mean())
    assert c.measures["f1"] == pytest.approx(
        stats.hmean([c.measures["precision"], c.measures["sensitivity"]])
    )
    assert np.isnan(res.classification(1.0).measures["precision"])
    with pytest.raises(OptionError, match="threshold"):
        res.classification(50)


def test_calibration_on_its_own_and_on_new_rows(data: pd.DataFrame) -> None:
    half = data.iloc[:200]
    res = de.Logit("y ~ x + z").fit(half)
    own, new = res.calibration(), res.calibration(data=data.iloc[200:], groups=5)
    assert own.intercept == pytest.approx(0, abs=1e-7)
    assert own.slope == pytest.approx(1, abs=1e-7)
    with pytest.warns(ExtrapolationWarning, match="8 of 200 rows"):
        y, p = data["y"].iloc[200:], res.predict(data.iloc[200:])
    eta = np.log(p / (1 - p))
    slope = sm.Logit(y, sm.add_constant(eta)).fit(disp=0, tol=1e-12)
    level = sm.GLM(y, np.ones(200), sm.families.Binomial(), offset=eta).fit(tol=1e-14)
    np.testing.assert_allclose(
        [new.slope, new.slope_std_error], [slope.params.iloc[1], slope.bse.iloc[1]], rtol=1e-7
    )
    np.testing.assert_allclose(
        [new.intercept, new.intercept_std_error], [level.params.iloc[0], level.bse.iloc[0]], rtol=1e-6
    )
    assert new.brier == pytest.approx(((y - p) ** 2).mean(), rel=ROUNDING)
    assert len(new.table) == 5
    assert new.table["rows"].sum() == 200
    first = own.table.iloc[0]
    wilson = stats.binomtest(round(first["observed"] * first["rows"]), int(first["rows"]))
    limits = wilson.proportion_ci(method="wilson")
    np.testing.assert_allclose(first[["conf_low", "conf_high"]], [limits.low, limits.high], atol=1e-12)


@pytest.mark.parametrize("estimator", [de.Logit, de.Probit])
def test_influence_is_one_newton_step_from_leaving_out(estimator: Any, data: pd.DataFrame) -> None:
    res = estimator("y ~ x + z").fit(data)
    found = res.influence()
    np.testing.assert_allclose(found.leverage, res.leverage, rtol=ROUNDING)
    for i in (0, int(np.argmax(found.cooks_distance))):
        without = estimator("y ~ x + z").fit(data.drop(index=i))
        exact = (res.params - without.params) / res.bse
        np.testing.assert_allclose(found.dfbetas[i], exact, atol=0.02 * np.abs(exact).max())
    if estimator is de.Logit:  # R's cooks.distance: Pearson residuals
        h, r = found.leverage, res.resid_pearson
        np.testing.assert_allclose(found.cooks_distance, (r / (1 - h)) ** 2 * h / 3, rtol=ROUNDING)
        peer = (
            sm.GLM(data["y"], sm.add_constant(data[["x", "z"]]), sm.families.Binomial())
            .fit(tol=1e-14)
            .get_influence()
        )
        np.testing.assert_allclose(found.cooks_distance, peer.cooks_distance[0], rtol=1e-6)


def test_frequency_weights_are_replication(data: pd.DataFrame) -> None:
    a = de.Logit("y ~ x + z", weights="w", weight_type="frequency").fit(data)
    b = de.Logit("y ~ x + z").fit(replicate(data))
    assert a.hosmer_lemeshow().test.statistic == pytest.approx(b.hosmer_lemeshow().test.statistic, rel=1e-6)
    np.testing.assert_allclose(a.link_test().table(), b.link_test().table(), rtol=1e-6)
    np.testing.assert_allclose([a.roc().auc, a.roc().std_error], [b.roc().auc, b.roc().std_error], rtol=1e-8)
    np.testing.assert_allclose(a.classification().measures, b.classification().measures)
    assert a.calibration().brier == pytest.approx(b.calibration().brier)
    assert a.calibration().slope_std_error == pytest.approx(b.calibration().slope_std_error, rel=1e-6)
    first = np.cumsum(np.concatenate([[0], data["w"].astype(int)]))[:-1]
    np.testing.assert_allclose(a.influence().dfbetas, b.influence().dfbetas[first], rtol=1e-6, atol=1e-10)


def test_what_weights_clusters_and_separation_rule_out(data: pd.DataFrame) -> None:
    sampled = de.Logit("y ~ x", weights="w", weight_type="sampling").fit(data)
    clustered = de.Logit("y ~ x").fit(data, cov=de.Cluster("g"))
    for res, why in ((sampled, "sampling weights"), (clustered, "clustered by g")):
        for method in ("hosmer_lemeshow", "link_test"):
            with pytest.raises(WithheldError, match=why):
                getattr(res, method)()
        with pytest.raises(WithheldError, match=why):
            res.roc().interval()
        assert np.isnan(res.calibration().slope_std_error)
        assert why in str(res.calibration().withheld)
        assert 0.5 < res.roc().auc < 1
    y, p, w = data["y"], sampled.predict(data), data["w"]
    assert sampled.calibration().brier == pytest.approx(np.average((y - p) ** 2, weights=w))
    with pytest.warns(SeparationWarning):
        separated = de.Logit("y ~ x").fit({"y": [0, 0, 1, 1], "x": [0.0, 1, 2, 3]})
    for method in ("hosmer_lemeshow", "link_test", "influence"):
        with pytest.raises(WithheldError, match="separated"):
            getattr(separated, method)()
    assert separated.roc().auc == 1
    assert np.isnan(separated.calibration(3).slope)
    loaded = de.Logit("y ~ x").fit(data)
    object.__setattr__(loaded, "rows", None)
    with pytest.raises(NeedsData):
        loaded.roc()
    assert loaded.roc(data=data).auc == clustered.roc().auc


def test_pictures_hold_the_numbers(data: pd.DataFrame) -> None:
    from matplotlib import pyplot as plt

    res = de.Logit("y ~ x + z").fit(data, cov=de.Cluster("g"))
    ax = de.plots.roc(res, data=data.iloc[:100])
    assert len(ax.data) == len(res.roc(data=data.iloc[:100]).table)
    assert "s.e." not in ax.texts[0].get_text()  # clustered: no standard error to print
    first = de.plots.calibration(res.calibration(5))
    assert len(first.data) == 5
    second = de.plots.influence(res, label=2)
    top = res.influence().table()["cooks_distance"].nlargest(2)
    assert [t.get_text() for t in second.texts] == [str(i) for i in top.index]
    for drawn in (ax, first, second):
        drawn.figure.canvas.draw()
        plt.close(drawn.figure)
    with pytest.raises(OptionError, match="has its rows already"):
        de.plots.roc(res.roc(), data=data)
    with pytest.raises(OptionError, match=r"\.influence\(\)"):
        de.plots.influence(res.estimates)
