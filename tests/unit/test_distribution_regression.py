"""Distribution regression: collapses that are exact, other packages' numbers, refusals, what is told."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy.special import ndtri, stdtr

import disteconometrics as de
from disteconometrics.errors import (
    MissingColumnError,
    NeedsData,
    OptionError,
    OutcomeError,
    SeparationWarning,
    WithheldError,
)
from disteconometrics.estimators.distribution_regression.thresholds import average_levels

EXACT = 1e-12


def table(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, d = rng.normal(size=n), rng.integers(0, 3, n)
    y = np.round(2 + x + 0.5 * d + rng.logistic(size=n), 1)
    return pd.DataFrame(
        {"y": y, "x": x, "d": d, "g": np.arange(n) % 50, "h": np.arange(n) // 6, "w": rng.integers(1, 4, n)}
    )


DATA = table()


def fit(formula: str = "y ~ x", **options: Any) -> Any:
    how = {name: options.pop(name) for name in ("cov", "draws") if name in options}
    return de.DistributionRegression(formula, **options).fit(DATA, seed=1, **{"draws": 100, **how})


@pytest.mark.parametrize(
    ("link", "model"), [("logit", de.Logit), ("probit", de.Probit), ("cloglog", de.CLogLog)]
)
def test_one_threshold_is_the_binary_fit_to_the_last_bit(link: str, model: Any) -> None:
    ours = fit("y ~ x + C(d)", thresholds=[2.0], link=link, cov=de.Cluster("g"))
    theirs = model("I(y > 2) ~ x + C(d)").fit(DATA, cov=de.Cluster("g"))
    np.testing.assert_array_equal(ours.estimates.values, theirs.estimates.values)
    np.testing.assert_allclose(ours.bse.to_numpy(), theirs.bse.to_numpy(), rtol=1e-12)
    assert ours.estimates.df == theirs.covariance.degrees_of_freedom


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (de.Logit, {}),
        (de.Logit, {"weights": "w", "weight_type": "sampling", "offset": "o"}),
        (de.Logit, {"weights": "w", "weight_type": "frequency"}),
        (de.Probit, {"offset": "o"}),
        (de.CLogLog, {"weights": "w", "weight_type": "sampling"}),
    ],
)
def test_thresholds_fitted_together_are_binary_fits_and_separated_ones_are_found(
    model: Any, options: dict[str, Any]
) -> None:
    data = table(4_500).assign(o=lambda d: 0.3 * np.sin(d.x), z=lambda d: np.exp(2 * d.x), rare=0.0)
    data.loc[data["y"].nsmallest(2_250).index[::50], "rare"] = 1.0
    low = data.loc[data.rare == 1, "y"]
    at, link = np.quantile(data.y, [0.01, 0.2, 0.4, 0.6, 0.7]), model.__name__.lower()
    rows = de.DistributionRegression("y ~ x + z + rare", thresholds=at, link=link, **options)
    with pytest.warns(SeparationWarning):
        res = rows.fit(data, seed=1)
    np.testing.assert_array_equal(res.separated, (at >= low.max()) | (at < low.min()))
    free = np.flatnonzero(~res.separated)
    assert 1 <= len(free) < len(at)
    assert len(res.rows.fits.maxima) < len(free)  # not all took the way of single fits
    for i, t in enumerate(free):
        one = model(f"I(y > {float(at[t])!r}) ~ x + z + rare", **options).fit(data, cov="HC1")
        np.testing.assert_allclose(res.coefficients[t], one.params, rtol=1e-11)
        np.testing.assert_allclose(res.bse.to_numpy().reshape(len(free), -1)[i], one.bse, rtol=1e-10)


def test_a_saturated_fit_is_the_groups_empirical_law() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeparationWarning)
        res = fit("y ~ C(d)", thresholds="all")
    laws = res.distribution({"d": [0, 1, 2]})
    grid, taus = np.linspace(-6, 12, 91), np.array([0.1, 0.25, 0.5, 0.9])
    for i in range(3):
        own = de.Empirical(DATA.y[DATA.d == i])
        np.testing.assert_allclose(laws.cdf(grid[None])[i], own.cdf(grid), atol=1e-9)
        np.testing.assert_array_equal(laws.quantile(taus)[i], own.quantile(taus))


def test_the_averaged_law_of_a_logit_is_the_sample_whatever_the_thresholds() -> None:
    own = de.Empirical(DATA.y)
    for thresholds in (7, None, [1.0, 2.0]):
        res = fit(thresholds=thresholds)
        assert res.gaps.fit_gap < EXACT
        assert abs(res.gaps.mean_gap) < 1e-10
        np.testing.assert_allclose(res.average().functional("std"), own.std(), rtol=1e-10)
        np.testing.assert_array_equal(res.counterfactual(DATA).quantile([0.1, 0.5]), own.quantile([0.1, 0.5]))


def test_what_points_do_not_need_waits_until_it_is_asked_for() -> None:
    res = fit(thresholds=9)
    res.average().cdf(1.0)
    assert not {"covariance", "gaps", "estimates", "_draws"} & set(vars(res))
    averaged = average_levels(res.kernel, res.rows.covariates, res.limiting, None)
    np.testing.assert_allclose(res.averaged, averaged, rtol=1e-13)  # the first are the sample's shares
    with pytest.raises(MissingColumnError):  # of clusters at once
        fit(thresholds=9, cov=de.Cluster("nobody"))


def test_frequency_weights_are_repeated_rows() -> None:
    weighted = fit(thresholds=5, weights="w", weight_type="frequency")
    repeated = de.DistributionRegression("y ~ x", thresholds=5).fit(DATA.loc[DATA.index.repeat(DATA.w)])
    np.testing.assert_array_equal(weighted.thresholds, repeated.thresholds)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-9)
    np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-9)
    # draws are of the same law, not the same: errors of 100 draws each agree within four of their own
    ours, theirs = (r.functionals(["mean"]) for r in (weighted, repeated))
    assert ours.values == pytest.approx(theirs.values, rel=1e-10)
    assert ours.std_error == pytest.approx(theirs.std_error, rel=0.35)


@pytest.mark.parametrize("weight_type", ["sampling", "frequency"])
def test_the_unit_of_sampling_weights_and_clusters_run_through_the_draws(weight_type: str) -> None:
    one = fit(thresholds=5, weights="w", weight_type=weight_type, cov=de.Cluster("g"))
    unit = DATA.assign(w=DATA.w * (7 if weight_type == "sampling" else 1))
    two = de.DistributionRegression("y ~ x", thresholds=5, weights="w", weight_type=weight_type).fit(
        unit, cov=de.Cluster("g"), draws=100, seed=1
    )
    np.testing.assert_allclose(two.process("x").table, one.process("x").table, rtol=1e-8)
    np.testing.assert_allclose(two.functionals(["mean"]).std_error, one.functionals(["mean"]).std_error)


def test_draws_spread_as_the_sandwich_says() -> None:
    """In 400 draws a spread has an error of .035; the bar is four of these and what the sandwich lacks."""
    res = fit("y ~ x + C(d)", thresholds=3, draws=400)
    found = res.process("x").table
    draws = np.array([s for s in res._draws.params[:, :, 1].T])
    np.testing.assert_allclose(draws.std(axis=1), found["std_error"], rtol=0.22)
    mean = res.functionals(["mean"])
    assert mean.std_error[0] == pytest.approx(DATA.y.std() / np.sqrt(len(DATA)), rel=0.15)


def test_the_process_says_what_its_tests_say() -> None:
    res = fit("y ~ x + d", thresholds=9)
    found = res.process("x", level=0.9)
    t = found.table
    assert ((t.band_low < t.conf_low) & (t.conf_high < t.band_high)).all()
    assert found.ks.p_value == found.cvm.p_value == 1 / 101
    assert found.ks.statistic == pytest.approx((t.estimate / t.std_error).abs().max())
    assert "x = 0 at all thresholds" in str(found)
    same = de.DistributionRegression("y ~ x + d", thresholds=9).fit(DATA, seed=1, draws=100)
    pd.testing.assert_frame_equal(same.process("x", level=0.9).table, t)


def test_the_test_of_a_constant_coefficient_counts_few_clusters() -> None:
    """Spreads of draws of 50 clusters are widened by √(51/49), as everywhere; the p-value is as that of t."""
    rng = np.random.default_rng(4)
    smooth = DATA.assign(y=DATA.y + rng.normal(size=len(DATA)))
    model = de.DistributionRegression("y ~ x", thresholds=5)
    res = model.fit(smooth, cov=de.Cluster("g"), seed=1, draws=100)
    found, at = res.process("x", index_set=(0.01, 0.99)), np.flatnonzero(~res.separated)
    b, drawn = res.coefficients[at, 1], res._draws.params[:, :, 1]
    share = np.diff(res.averaged[at], prepend=0.0)
    share /= share.sum()
    low, high = np.quantile(
        (drawn - np.median(drawn, axis=0)) @ (np.eye(5) - share[:, None]), [0.25, 0.75], 0
    )
    t = (b - share @ b) / ((high - low) / (2 * ndtri(0.75))) / np.sqrt(51 / 49)
    expected = -ndtri(stdtr(49, -np.abs(t)))
    assert found.constant.statistic == pytest.approx(expected.max(), rel=1e-9)


def test_a_process_stands_beside_what_another_law_says_of_it() -> None:
    """Of a normal law and a probit that is β/σ; of a flow whose h is linear −∂h/∂x, here .8 and .5."""
    rng = np.random.default_rng(1)
    x, d = rng.normal(size=600), rng.integers(0, 2, 600).astype(float)
    data = pd.DataFrame({"x": x, "d": d, "y": 1 + 0.8 * x + 0.5 * d + rng.logistic(size=600)})
    normal = de.NormalRegression("y ~ x + d").fit(data)
    probit = de.DistributionRegression("y ~ x + d", thresholds=5, link="probit").fit(data, draws=100, seed=1)
    for term in ("x", "d"):
        expected = normal.params[term] / normal.distribution().std()[0]
        np.testing.assert_allclose(probit.process(term).slopes(normal), expected, rtol=1e-6)
    flow = de.FlowDensity("y ~ x + d", base="logistic").fit(data)
    res = de.DistributionRegression("y ~ x + d", thresholds=9).fit(data, draws=100, seed=1)
    found = res.process("x")
    ax = found.plot(beside=flow)
    np.testing.assert_array_equal(ax.data["beside"], found.slopes(flow))
    assert (np.abs(ax.data["beside"] - ax.data["estimate"]) < 2.5 * ax.data["std_error"]).all()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["distribution regression", "FlowDensity"]
    plt.close(ax.figure)
    for other in (de.NormalRegression("y ~ d").fit(data), de.NormalRegression("x ~ d").fit(data)):
        with pytest.raises(OptionError, match="as a column on"):
            found.slopes(other)


def test_separated_thresholds_are_named_and_keep_their_limit() -> None:
    x = np.arange(40.0)
    d = pd.DataFrame({"y": np.r_[x[:30] % 7, np.full(10, 9.0)], "x": x})
    with pytest.warns(SeparationWarning, match="1 separated.*at 6"):
        res = de.DistributionRegression("y ~ x").fit(d, seed=1, draws=100)
    assert res.separated.tolist() == [False] * 6 + [True]
    assert np.isnan(res.coefficients[-1]).all()
    limit = res.distribution().levels[:, -1]  # before sorting
    np.testing.assert_allclose(limit, (x < 30).astype(float), atol=1e-12)
    assert "1 separated" in str(res.summary())
    assert 6.0 not in res.process("x", index_set=(0.01, 0.99)).table.index


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_limits_of_separated_thresholds_move_with_the_draws(link: str) -> None:
    """Groups whose outcomes hardly meet: laws of a saturated fit are theirs in every draw too."""
    data = DATA.assign(y=DATA.y.clip(-1, 4) + 4 * (DATA.d == 2))
    with pytest.warns(SeparationWarning):
        res = de.DistributionRegression("y ~ C(d)", thresholds="all", link=link).fit(data, seed=1, draws=100)
    assert 0.3 < res.separated.mean() < 0.9
    W = res.rows.draw_weights("HC1", 100, res.seed)
    groups = [(data.d == d).to_numpy() for d in (0, 1, 2)]
    means = np.array([(W * m) @ data.y / (W @ m) for m in groups]).T
    by = res.functionals("mean", by="d")
    np.testing.assert_allclose(by.covariance, np.cov(means.T), rtol=1e-6)
    effect = res.effect("d", 0, 2)
    np.testing.assert_allclose(effect.std_error, np.std(means[:, 2] - means[:, 0], ddof=1), rtol=1e-6)
    rows = res.predict({"d": [0, 1, 2]}, ci=True)
    np.testing.assert_allclose(rows.std_error, means.std(axis=0, ddof=1), rtol=1e-6)


def test_a_band_of_quantiles_is_that_of_f_turned_and_takes_the_threshold_below() -> None:
    res = fit(thresholds=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    q = res.quantiles([0.3, 0.5, 0.95])
    ends = np.r_[-np.inf, res.thresholds, np.inf]
    assert np.isin(q[["conf_low", "conf_high"]].to_numpy(), ends).all()
    assert (q.conf_low <= q.estimate).all()
    assert (q.estimate <= q.conf_high).all()
    assert q.loc[0.95, ["band_low", "band_high"]].isna().all()
    assert (q.band_low <= q.conf_low).iloc[:2].all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thresholds": [1.0, 1.01]}, "the two thresholds are one"),
        ({"thresholds": [1.0, 99.0]}, "99 does not part"),
        ({"thresholds": [1.0, 1.0]}, "repeats"),
        ({"thresholds": [np.nan]}, "finite"),
        ({"thresholds": "most"}, "None, 'all'"),
        ({"thresholds": True}, "None, 'all'"),
        ({"thresholds": 0}, "None, 'all'"),
        ({"link": "cauchit"}, "cauchit"),
        ({"cov": "nonrobust"}, "share the rows"),
        ({"cov": de.HAC("g")}, "share the rows"),
        ({"draws": 10}, "at least 100"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        fit(**options)


def test_refused_answers() -> None:
    res = fit(thresholds=5)
    for call, words in (
        (lambda: res.process("z"), "no column"),
        (lambda: res.process("x", index_set=(0.9, 0.1)), "two levels"),
        (lambda: res.functionals(["q[0.5]"]), "quantiles"),
        (lambda: res.functionals("iqr"), "quantiles"),
        (lambda: res.quantiles([1.5]), "between 0 and 1"),
        (lambda: res.with_cov("nonrobust"), "HC3"),
        (lambda: de.bootstrap(res.model, DATA, reps=50, seed=1), "exponential weights"),
    ):
        with pytest.raises(OptionError, match=words):
            call()
    with pytest.raises(WithheldError, match="two-way"):
        res.with_cov(de.Cluster("g", "h")).process("x")
    with pytest.raises(OutcomeError, match="no variation"):
        de.DistributionRegression("y ~ x").fit(DATA.assign(y=1.0))


def test_a_loaded_result_has_its_law_and_asks_for_rows() -> None:
    res, file = fit(thresholds=5), io.BytesIO()
    res.save(file)
    back = de.load(io.BytesIO(file.getvalue()))
    new = DATA[["x"]].iloc[:3].assign(x=[0.0, np.nan, 2.0])
    np.testing.assert_array_equal(back.distribution(new).quantile(0.5), res.distribution(new).quantile(0.5))
    assert np.isnan(back.distribution(new).mean()[1])
    with pytest.raises(NeedsData):
        back.process("x")
    pd.testing.assert_frame_equal(back.process("x", data=DATA).table, res.process("x").table)


def test_a_study_takes_it() -> None:
    def draw(rng: np.random.Generator) -> pd.DataFrame:
        x = rng.normal(size=200)
        return pd.DataFrame({"y": x + rng.logistic(size=200), "x": x})

    model = de.DistributionRegression("y ~ x", thresholds=(0.0, 1.0))
    study = de.MonteCarlo(draw, {"dr": model}, truth={"x[0]": 1.0, "x[1]": 1.0})
    assert study.run(4, seed=1, progress=False).table()["bias"].notna().sum() >= 2
