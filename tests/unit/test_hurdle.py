"""A mass on the left side: two fits in one, their law, answers of the whole, and what is refused."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from functools import cache
from typing import Any

import causaldata
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

import disteconometrics as de
from disteconometrics.distributions.atom import WithMass
from disteconometrics.errors import (
    AtMassWarning,
    CollinearityError,
    DisteconometricsError,
    OptionError,
    OutcomeError,
    SeparationWarning,
    WithheldError,
)
from disteconometrics.estimators.hurdle_laws import HurdleRowLaws

N = 160
LINEAR = de.MonotoneSpline("linear")


@cache
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x, d = rng.normal(size=N), rng.integers(0, 2, N)
    y = 3 + 0.5 * x + 0.4 * d + rng.normal(size=N)
    off = rng.random(N) < 1 / (1 + np.exp(-0.8 - 0.5 * x - 0.3 * d))
    return pd.DataFrame(
        {
            "x": x,
            "d": d,
            "y": np.where(off, y, 0.0),
            "told": np.where(off, np.clip(np.ceil(np.abs(y)), 1, 5), 0.0),
            "w": rng.integers(1, 4, N),
            "g": np.where(off, rng.choice(["a", "b"], N), rng.choice(["a", "b", "c"], N)),
            "firm": np.arange(N) // 4,
        }
    )


SPECS: dict[str, Any] = {
    "normal": de.NormalRegression("mass(y, 0) ~ x + d"),
    "flow": de.FlowDensity("mass(y, 0) ~ x + d", flow=LINEAR),
    "alone": de.FlowDensity("mass(y, 0) ~ 1", flow=LINEAR),
    "recorded": de.NormalRegression("mass(topcoded(rounded(told, to=1), at=5), 0) ~ x + d"),
    "logged": de.NormalRegression("log1p(mass(topcoded(told, at=5), 0)) ~ x"),
    "weighted": de.NormalRegression("mass(y, 0) ~ x + d", weights="w", weight_type="sampling"),
    "counted": de.FlowDensity("mass(y, 0) ~ x", flow=LINEAR, weights="w", weight_type="frequency"),
}


@cache
def fitted(name: str) -> Any:
    return SPECS[name].fit(table(), cov="HC1")


@pytest.mark.parametrize("name", SPECS)
def test_it_is_two_fits(name: str) -> None:
    """Log-likelihood, coefficients and the blocks of their covariance are those of both fits apart."""
    res, model = fitted(name), SPECS[name]
    column, rest = (
        ("told" if "told" in model.formula else "y"),
        re.sub(r"mass\((.*), 0\)", r"\1", model.formula),
    )
    weights = {"weights": model.weights, "weight_type": model.weight_type}
    logit = de.Logit(f"I({column} != 0) ~ {rest.split('~')[1]}", **weights).fit(table(), cov="HC1")
    off = table()[table()[column] != 0]
    own = replace(model, formula=rest).fit(off, cov="HC1")
    assert res.llf == pytest.approx(logit.llf + own.llf, rel=1e-12)
    assert res.aic == pytest.approx(logit.aic + own.aic, rel=1e-12, nan_ok=True)
    np.testing.assert_allclose(res.solution(), np.append(logit.solution(), own.solution()), rtol=1e-12)
    k, V = len(logit.params), res.joint_covariance
    np.testing.assert_allclose(V[:k, :k], logit.cov_params(), rtol=1e-9, atol=1e-14)
    want = own.joint_covariance.matrix if hasattr(own, "coefficients") else own.main.covariance
    np.testing.assert_allclose(V[k:, k:], want, rtol=1e-8, atol=1e-10 * np.abs(want).max())
    law = res.distribution(table().head(3))
    p, density = logit.predict(table().head(3)), own.distribution(table().head(3))
    np.testing.assert_allclose(law.mass(res.point), 1 - np.asarray(p) if law.batch_shape else 1 - p[0])
    np.testing.assert_allclose(
        law.pdf(1.3), np.asarray(p)[: len(np.atleast_1d(law.pdf(1.3)))] * density.pdf(1.3)
    )


def test_clusters_go_through_both_parts() -> None:
    """The covariance is that of stacked scores in clusters of all rows, zero where a row is at the mass."""
    res = fitted("normal").with_cov(de.Cluster("firm"))
    scores = [res._estimation(False).rows(np.eye(7), N)]
    sums = pd.DataFrame(scores[0]).groupby(table()["firm"]).sum().to_numpy()
    G = len(sums)
    np.testing.assert_allclose(res.joint_covariance, sums.T @ sums * G / (G - 1), rtol=1e-9, atol=1e-12)
    assert not scores[0][table()["y"] == 0, 3:].any()
    assert res.estimates.df == G - 1


GRADIENTS = ["mean", "std", "q[0.15]", "q[0.5]", "q[0.8]", "iqr", "prob[0,3]"]
FEW = 12


@pytest.mark.parametrize("name", ["normal", "flow"])
def test_gradients_are_differences(name: str) -> None:
    """Of functionals of rows and of the averaged law, in all coefficients of both parts."""
    res = fitted(name)
    a, occurs, rest = res.answering(GRADIENTS, None, near=False), res.occurs, res.rest
    theta, k, W = res.solution(), 3, np.random.default_rng(0).normal(size=(FEW, 2))
    theta = np.append(theta, rest.sigma) if name == "normal" else theta

    def laws(theta: Any) -> Any:
        p = replace(occurs, coefficients=theta[:k]).row_laws(table().head(FEW))
        if name == "normal":
            facts = replace(rest.facts, sigma=float(theta[-1]))
            own = replace(rest, coefficients=theta[k:-1], facts=facts).row_laws(table().head(FEW))
        else:
            own = replace(rest, main=replace(rest.main, theta=theta[k:])).row_laws(table().head(FEW))
        return HurdleRowLaws(0.0, p, own)

    from disteconometrics.inference.law_effects import Averaged, row_values

    here, shares = laws(theta), np.full(FEW, 1 / FEW)
    steps = 1e-5 * np.eye(len(theta))
    for label, functional in zip(a.names, a.functionals, strict=True):
        of = lambda t, f=functional: row_values(laws(t), f, np.zeros((FEW, 1))).values  # noqa: E731
        slopes = np.array([W.T @ (of(theta + s) - of(theta - s)) / 2e-5 for s in steps]).T
        found = row_values(here, functional, W).sums
        np.testing.assert_allclose(
            found, slopes, rtol=2e-4, atol=2e-4 * np.abs(slopes).max() + 1e-9, err_msg=label
        )
        average = lambda t, f=functional: Averaged(laws(t), shares).functional(f).value  # noqa: E731
        slopes = np.array([(average(theta + s) - average(theta - s)) / 2e-5 for s in steps])
        gradient = Averaged(here, shares).functional(functional).gradient
        np.testing.assert_allclose(
            gradient, slopes, rtol=1e-4, atol=1e-4 * np.abs(slopes).max() + 1e-9, err_msg=label
        )


@pytest.mark.parametrize("name", ["normal", "flow"])
@pytest.mark.parametrize("tau", [0.02, 0.2, 0.3, 0.5, 0.97])
def test_quantiles_of_rows_are_those_of_their_laws(name: str, tau: float) -> None:
    """Values, densities and weighted sums of gradients, beside the mass too, of rows that repeat or not."""
    res = fitted(name)
    a = res.answering("mean", None, near=True)
    for X in (a.X, np.repeat(a.X[:5], 9, axis=0)):
        laws, W = a.laws(X), np.random.default_rng(1).normal(size=(len(X), 2))
        found, (values, G) = laws.by_row(("q", (tau,)), W), laws.each(("q", (tau,)))
        y = laws.law.quantile(tau)
        np.testing.assert_allclose(found.values, y, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(values, y, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.sums, W.T @ G, rtol=1e-9, atol=1e-9)
        at = np.where(y == 0, np.inf, laws.law.pdf(np.asarray(y)))
        np.testing.assert_allclose(laws.quantile_density(tau), at, rtol=1e-9)


def test_the_step_of_an_effect_has_the_scores_of_both_parts_where_the_rest_was_recorded() -> None:
    """Against differences of log P(what was recorded) of every row, in all coefficients."""
    res = de.FlowDensity("mass(rounded(told, to=1), 0) ~ x + d").fit(table())
    seen, kept, rest = res.answering(["mean"], None, near=True).seen, res.rows.kept, res.rest
    sample, X, k = rest.rows.sample, res.rows.X, 3
    theta = np.concatenate([res.occurs.coefficients, rest.undersmoothed.theta])

    def logs(theta: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-X @ theta[:k]))
        law, out = rest.flow.law(theta[k:], sample.X), np.log1p(-p)
        inside = law.cdf(sample.records.upper) - law.cdf(sample.records.lower)
        out[kept] = np.log(p[kept]) + np.log(inside)
        return out

    W = np.random.default_rng(0).normal(size=(N, 2))
    slopes = [W.T @ (logs(theta + s) - logs(theta - s)) / 2e-5 for s in 1e-5 * np.eye(len(theta))]
    np.testing.assert_allclose(seen.products(W), np.array(slopes).T, rtol=1e-5, atol=1e-5)
    exact = de.FlowDensity("mass(y, 0) ~ x + d").fit(table())
    assert exact.answering(["mean"], None, near=True).seen.products is None


def test_quantiles_near_the_mass_have_the_limits_of_the_distribution_function() -> None:
    """A level is between F's limits just inside the limits of its quantile, also where these are the mass."""
    res, y = fitted("normal"), table()["y"]
    zeros = float((y == 0).mean())
    levels = (zeros - 0.15, zeros - 0.03, zeros + 0.03, 0.6)
    e = res.functionals([f"q[{t}]" for t in levels], target="sample")
    a = res.answering("mean", None, near=False)
    error = lambda answer: float(a.estimation.errors(answer.gradient[None])[0])  # noqa: E731
    for (low, high), t in zip(e.interval(), levels, strict=True):
        for end, sign in ((low, 1), (high, -1)):
            at, before = (a.whole.on_link(v) for v in (end, np.nextafter(end, -np.inf)))
            target = stats.norm.ppf(t)
            over, under = (v.value + sign * stats.norm.ppf(0.975) * error(v) - target for v in (at, before))
            assert under <= 1e-6 <= over + 2e-6
    assert e.interval()[0].tolist() == [0, 0]
    assert e.interval()[1][0] == 0 < e.interval()[1][1]
    assert e.interval()[2][0] == 0 < e.values[2]
    assert np.isnan(e.std_error).tolist() == [True, True, True, False]
    rows = res.predict(table().head(4), [f"q[{zeros}]", "q[0.9]"], ci=True)
    assert (rows["conf_low"] <= rows["estimate"]).all()
    assert (rows["estimate"] <= rows["conf_high"]).all()
    assert np.isnan(res.functionals("iqr").std_error) == (zeros > 0.15)


def test_held_out_scores_are_those_of_both_parts() -> None:
    """Log probabilities at the mass, log densities off it, of records those of what is off it."""
    flows = {"plain": SPECS["normal"], "recorded": SPECS["recorded"]}
    for name, model in flows.items():
        cv = de.cross_validate(model, table(), folds=2, seed=1)
        first = table()[cv.folds == 0]
        res = model.fit(table()[cv.folds == 1])
        p = np.asarray(res.occurs.distribution(first).mean())
        column = "y" if name == "plain" else "told"
        told, law = first[column].to_numpy(), res.rest.distribution(first)
        if name == "plain":
            off = law.logpdf(told)
        else:
            upper = np.where(told == 5, np.inf, told + 0.5)
            off = np.log(law.cdf(upper) - law.cdf(told - 0.5))
        want = np.where(told == 0, np.log(1 - p), np.log(p) + off)
        np.testing.assert_allclose(cv.log_scores.iloc[:, 0][cv.folds == 0], want, rtol=1e-9)
        assert cv.crps.notna().all(axis=None)
        assert cv.transforms.iloc[:, 0].between(0, 1).all()


REFUSED: dict[str, tuple[Any, type[DisteconometricsError], str]] = {
    "a level at the mass alone": (de.NormalRegression("mass(y, 0) ~ x + g"), CollinearityError, "g.T.c."),
    "log": (de.NormalRegression("log(mass(y, 0)) ~ x"), DisteconometricsError, "log"),
    "offset": (de.NormalRegression("mass(y, 0) ~ x", offset="d"), OptionError, "offset"),
    "no row": (de.NormalRegression("mass(y, 99) ~ x"), OutcomeError, "no row at its mass"),
    "flow by name": (
        de.FlowDensity("mass(y, 0) ~ x", flow=de.Planar(layers=2)),
        OutcomeError,
        "flow by name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    model, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        model.fit(table())


def test_separation_is_told() -> None:
    """As a logit tells it; the law stands, effects are withheld."""
    d = table().assign(d=lambda t: np.where(t["y"] == 0, 0, t["d"]))
    with pytest.warns(SeparationWarning, match="d predicts"):
        res = de.NormalRegression("mass(y, 0) ~ x + d").fit(d)
    assert np.isinf(res.params["logit: d"])
    assert float(res.functionals("mean").values[0]) == pytest.approx(d["y"].mean(), rel=0.02)
    with pytest.raises(WithheldError, match="separated"):
        res.effect("x", 0, 1, "mean")
    assert "predict" in str(res.summary())


def test_a_file_keeps_answers_and_the_page_says_what_comes_first() -> None:
    text = str(fitted("normal").summary())
    for words in (
        "Whole law of y",
        "Logit of y != 0",
        "y where y != 0",
        "not causal even in",
    ):
        assert words in text
    moves = "The logit moves with x, d. The rest: Location moves with x, d"
    of_flow = " ".join(str(fitted("flow").summary()).split())
    assert f"{moves}; scale and shape with none." in " ".join(text.split())
    assert f"{moves}. Scale moves with none. Shape moves with none." in of_flow
    assert "moves with" not in str(fitted("alone").summary())
    assert text.index("Average contrast") < text.index("Logit of")
    boot = de.bootstrap(SPECS["normal"], table(), reps=3, seed=1)
    assert list(boot.estimates.names) == list(fitted("normal").estimates.names)


def test_the_mass_is_a_stem() -> None:
    ax = fitted("flow").plot("density")
    share = (table()["y"] == 0).mean()
    assert ax.texts[-1].get_text() == f"{share:.0%} at 0"
    assert ax.lines[-1].get_ydata()[0] == pytest.approx(share * ax.get_ylim()[1])
    res = de.FlowDensity("mass(topcoded(y, at=4), 0) ~ x").fit(table().assign(y=table()["y"].clip(upper=4)))
    assert res.plot("density").get_xlim()[0] < 0
    assert np.nanmax(res.plot_fan("x").data.to_numpy()) <= 4
    plt.close("all")


def test_earnings_after_training() -> None:
    """NSW re78 with its zeros: effects on the mean are differences of means, with their errors."""
    data = causaldata.nsw_mixtape.load_pandas().data
    data = data.assign(re78=data["re78"].astype(float))
    res = de.NormalRegression("mass(re78, 0) ~ treat").fit(data, cov="HC1")
    assert res.facts.at_mass == 137
    by_group = data.groupby("treat")["re78"]
    assert res.effect("treat", 0, 1, "mean").values[0] == pytest.approx(by_group.mean().diff()[1], rel=1e-9)
    error = np.sqrt((by_group.var(ddof=0) / by_group.size()).sum())
    assert res.effect("treat", 0, 1, "mean").std_error[0] == pytest.approx(error, rel=0.01)
    law = res.distribution({"treat": [0, 1]})
    assert isinstance(law, WithMass)
    np.testing.assert_allclose(law.mass(0.0), by_group.agg(lambda y: (y == 0).mean()), rtol=1e-9)


def near() -> pd.DataFrame:
    """Two groups of which .35 and .28 are zero."""
    rng = np.random.default_rng(8)
    d = np.repeat([0.0, 1.0], 250)
    zero = np.tile(np.arange(250), 2) < 250 * np.repeat([0.35, 0.28], 250)
    y = np.where(zero, 0.0, 3 + 0.5 * d + rng.normal(size=500))
    return pd.DataFrame({"d": d, "y": y, "g": d, "x": rng.normal(size=500)})


@pytest.mark.parametrize("model", [de.NormalRegression, de.FlowDensity])
@pytest.mark.parametrize("point", [0.0, 7.0])
def test_effects_near_the_mass_have_the_limits_of_two_quantiles(model: Any, point: float) -> None:
    """Between the extremes of limits of both where they may be at the mass; zero where they surely are."""
    table = near().assign(y=lambda t: t["y"] + point)
    res, names = model(f"mass(y, {point}) ~ d").fit(table, cov="HC1"), ["q[0.1]", "q[0.31]", "q[0.7]"]
    e = res.effect("d", 0, 1, names)
    level = np.sqrt(0.95)
    q = res.predict({"d": [0.0, 1.0]}, "q[0.31]", ci=True, level=level)
    low, high = q["conf_low"].to_numpy(), q["conf_high"].to_numpy()
    assert q["std_error"].isna().all()
    assert low[1] == point < high[1]
    np.testing.assert_allclose(e.interval()[1], [low[1] - high[0], high[1] - low[0]], rtol=1e-9)
    assert np.isnan(e.std_error).tolist() == [False, True, False]
    assert e.interval()[0].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(np.diff(e.interval()[2]), 2 * stats.norm.ppf(0.975) * e.std_error[2])
    groups = res.functionals("q[0.31]", by="d")
    assert np.isnan(groups.std_error).all()
    assert np.isfinite(groups.interval()).all()


def test_what_has_no_limits_near_the_mass_says_so() -> None:
    """Tables of effects, differences of quantiles, slopes and decompositions."""
    table = near()
    res = de.NormalRegression("mass(y, 0) ~ d").fit(table)
    for call in (
        lambda: res.effect("d", 0, 1, "iqr"),
        lambda: res.effects("q[0.31]").estimates,
        lambda: res.derivative("d", "q[0.31]"),
        lambda: (
            de.decompose(
                de.NormalRegression("mass(y, 0) ~ x"), table, by="g", functionals=["q[0.31]"]
            ).estimates
        ),
    ):
        with pytest.warns(AtMassWarning, match="Without error"):
            found = call()
        assert np.isnan(found.interval()).any()
        assert np.isfinite(found.values).all()
    gap = de.decompose(de.NormalRegression("mass(y, 0) ~ x"), table, by="g", functionals="mean")
    other = res.with_cov("HC1").counterfactual(table.assign(d=1.0))
    for curve in (gap.quantiles, other.quantiles):
        with pytest.warns(AtMassWarning, match=r"Without error: q\[0.29\]\. "):
            found = curve([0.29, 0.8])
        assert found.loc[found.index.get_level_values("level") == 0.29, "conf_low"].isna().all()
        assert curve([0.8]).notna().all(axis=None)


@pytest.mark.parametrize("model", [de.NormalRegression, de.FlowDensity])
def test_answers_with_limits_of_their_own_go_to_other_processes(model: Any) -> None:
    """Also a result that was asked before."""
    res = model("mass(y, 0) ~ d").fit(near(), cov=de.Cluster("x"))
    res.summary()
    again = pickle.loads(pickle.dumps(res))
    asked, answers = (
        res.functionals(["mean", "q[0.31]", "q[0.7]"]),
        res.effect("d", 0, 1, ["q[0.31]", "q[0.7]"]),
    )
    for theirs, ours in (
        (pickle.loads(pickle.dumps(asked)), asked),
        (pickle.loads(pickle.dumps(answers)), answers),
        (again.functionals(["mean", "q[0.31]", "q[0.7]"]), asked),
    ):
        np.testing.assert_array_equal(theirs.interval(0.9), ours.interval(0.9))
