"""Multinomial logit: derivatives, published numbers, collapses, weights, margins, predictions, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from matplotlib import pyplot as plt

import disteconometrics as de
from disteconometrics.errors import (
    CollinearityError,
    DisteconometricsError,
    ExtrapolationWarning,
    OptionError,
    OutcomeError,
    SeparationError,
)
from disteconometrics.likelihoods.multinomial import MultinomialObjective


def choices(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """Three modes with a number, a 0/1 variable, a factor, weights and clusters."""
    rng = np.random.default_rng(seed)
    x, d, g = rng.normal(size=n), (rng.random(n) < 0.4).astype(float), rng.integers(0, 3, n)
    utility = np.column_stack([0 * x, 0.5 * x - d, 0.3 - 0.7 * x + 0.4 * (g == 1)]) + rng.gumbel(size=(n, 3))
    y = np.array(["bus", "car", "walk"])[utility.argmax(axis=1)]
    firm = np.arange(n) % 50
    return pd.DataFrame(
        {"y": y, "x": x, "d": d, "g": np.array(list("abc"))[g], "firm": firm, "w": 1 + firm % 3}
    )


def test_score_information_and_row_scores_are_derivatives_of_the_log_likelihood() -> None:
    rng = np.random.default_rng(1)
    X, y, w = rng.normal(size=(40, 2)), np.arange(40) % 4, rng.random(40) + 0.5
    objective, theta = MultinomialObjective(X, y, w, 4), rng.normal(size=6)
    found, steps = objective.value(theta), 1e-5 * np.eye(6)
    at = [(objective.value(theta + e), objective.value(theta - e)) for e in steps]
    np.testing.assert_allclose(found.score, [(a.loglik - b.loglik) / 2e-5 for a, b in at], atol=1e-7)
    np.testing.assert_allclose(found.information, [(b.score - a.score) / 2e-5 for a, b in at], atol=1e-7)
    [part] = objective.scores(theta, None)()
    np.testing.assert_allclose(part.scores.sum(axis=0), found.score, atol=1e-12)
    roots = part.roots.reshape(-1, 6)
    np.testing.assert_allclose(roots.T @ roots, found.information, atol=1e-12)


@pytest.mark.parametrize("cov", ["nonrobust", "HC0"])
def test_the_election_data_of_statsmodels(cov: str) -> None:
    data = sm.datasets.anes96.load_pandas().data
    names = ["logpopul", "selfLR", "age", "educ", "income"]
    theirs = sm.MNLogit(data["PID"], sm.add_constant(data[names])).fit(
        disp=0, tol=1e-14, cov_type=cov, maxiter=50
    )
    res = de.MultinomialLogit(f"PID ~ {' + '.join(names)}").fit(data, cov=cov)
    np.testing.assert_allclose(res.by_category, theirs.params, rtol=0, atol=1e-10)
    np.testing.assert_allclose(res.bse.to_numpy().reshape(6, 6).T, theirs.bse, rtol=1e-9)
    assert res.llf == pytest.approx(theirs.llf, abs=1e-9)
    assert res.llnull == pytest.approx(theirs.llnull, rel=1e-8)  # of their own iteration
    for at in ("overall", "mean"):
        ours, other = res.margins(dict.fromkeys(names, "derivative"), at=at), theirs.get_margeff(at=at)
        np.testing.assert_allclose(ours.params.to_numpy().reshape(5, 7), other.margeff, atol=1e-12)
        np.testing.assert_allclose(ours.bse.to_numpy().reshape(5, 7), other.margeff_se, atol=1e-12)


def test_two_categories_are_the_logit() -> None:
    data = choices().assign(b=lambda d: (d["y"] == "car").astype(int))
    ours, logit = (m("b ~ x + d + g").fit(data) for m in (de.MultinomialLogit, de.Logit))
    for cov in ("nonrobust", "opg", "HC0", "HC1", de.Cluster("firm"), de.HAC("t", lags=2)):
        data["t"] = np.arange(len(data))
        a, b = (res.with_cov(cov, data=data) for res in (ours, logit))
        np.testing.assert_allclose(a.cov_params(), b.cov_params(), rtol=1e-9, atol=1e-14)
    jackknife = de.Cluster("firm", correction="jackknife")
    np.testing.assert_allclose(
        ours.with_cov(jackknife).cov_params(), logit.with_cov(jackknife).cov_params(), atol=1e-10
    )
    for at in ("overall", "mean", {"x": 0.5}):
        a, b = ours.margins(at=at), logit.margins(at=at)
        np.testing.assert_allclose(a.params[1::2], b.params, atol=1e-12)
        np.testing.assert_allclose(a.bse[1::2], b.bse, atol=1e-12)
    np.testing.assert_allclose(ours.odds_ratios().to_numpy(), logit.odds_ratios().to_numpy(), rtol=1e-9)


def test_the_base_changes_names_and_no_answer() -> None:
    data = choices()
    one, other = (de.MultinomialLogit("y ~ x + d", base=b).fit(data, cov="HC1") for b in (None, "walk"))
    assert list(other.params.index[:3]) == ["bus[Intercept]", "bus[x]", "bus[d]"]
    assert other.llf == pytest.approx(one.llf, abs=1e-10)
    np.testing.assert_allclose(other.params["car[x]"], one.params["car[x]"] - one.params["walk[x]"])
    for ask in (
        lambda r: r.predict(ci=True),
        lambda r: r.margins().estimates.table().drop(columns="p_value"),
    ):
        np.testing.assert_allclose(ask(one), ask(other), atol=1e-9)
    assert one.test_term("x").statistic == pytest.approx(other.test("bus[x] = 0, car[x] = 0").statistic)
    alike = [res.test_categories("car", "bus").statistic for res in (one, other)]
    assert alike[0] == pytest.approx(alike[1])
    assert alike[0] == pytest.approx(one.test("car[x] = 0, car[d] = 0").statistic)


def test_margins_are_differences_of_predictions_with_their_errors() -> None:
    data = choices()
    res = de.MultinomialLogit("y ~ x + I(x**2) + d + g", base="car").fit(data)
    table = res.margins().estimates

    def p(**c: object) -> np.ndarray:
        return res.distribution(data.assign(**c)).probabilities.mean(axis=0)

    values = table.values.reshape(4, 3)
    np.testing.assert_allclose(values.sum(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(values[0], (p(x=data["x"] + 1e-5) - p(x=data["x"] - 1e-5)) / 2e-5, atol=1e-9)
    np.testing.assert_allclose(values[1], p(d=1.0) - p(d=0.0), atol=1e-12)
    np.testing.assert_allclose(values[3], p(g="c") - p(g="a"), atol=1e-12)
    for at in ("overall", "mean"):
        theta, V = res.coefficients, res.covariance.matrix
        moved = [
            [replace(res, coefficients=theta + s * e).margins(at=at).params.to_numpy() for s in (1, -1)]
            for e in 1e-5 * np.eye(len(theta))
        ]
        G = np.array([(a - b) / 2e-5 for a, b in moved]).T
        np.testing.assert_allclose(res.margins(at=at).bse, np.sqrt(np.diag(G @ V @ G.T)), rtol=1e-6)


def test_predictions_have_limits_inside_and_a_law() -> None:
    data = choices()
    res = de.MultinomialLogit("y ~ x + d").fit(data)
    new = pd.DataFrame({"x": [-9.0, 0.0, np.nan], "d": [1.0, 0.0, 1.0]})
    with pytest.warns(ExtrapolationWarning, match="1 of 3 rows"):
        p, ci = res.predict(new), res.predict(new, ci=True)
    assert list(p.columns) == ["bus", "car", "walk"]
    np.testing.assert_allclose(p.iloc[:2].sum(axis=1), 1)
    assert p.iloc[2].isna().all()
    known = ci.loc[[0, 1]]
    assert known["conf_low"].between(0, known["estimate"]).all()
    assert known["conf_high"].between(known["estimate"], 1).all()
    np.testing.assert_allclose(res.distribution(new).pdf([[0, 1, 2]])[:2], p.iloc[:2])
    np.testing.assert_allclose(res.predict().mean(), data["y"].value_counts(normalize=True).sort_index())


def test_shares_along_a_variable_are_average_predictions() -> None:
    data = choices()
    for res in (
        de.MultinomialLogit("y ~ x + d + g", base="car"),
        de.OrderedLogit("f ~ x + d + g", offset="x"),
    ):
        fit = res.fit(data.assign(f=data["firm"] % 3))
        found = fit.probability_shares("g")
        for g in "abc":
            new = data.assign(g=g)
            np.testing.assert_allclose(found.loc[g], fit.predict(new).mean(), atol=1e-12)
        assert fit.probability_shares("d").index.tolist() == [0.0, 1.0]
        np.testing.assert_allclose(fit.probability_shares("x", rows=50).sum(axis=1), 1)
    with pytest.raises(OptionError, match="no value"):
        fit.probability_shares("x", at=[])


def test_likelihood_ratios_take_terms_and_effects_are_drawn() -> None:
    fair = de.datasets.fair().iloc[::3].reset_index(drop=True)
    fair.loc[fair.index[:9], "age"] = np.nan  # rows that the smaller model would have
    f = "rate_marriage ~ {}yrs_married + I(yrs_married**2) + C(religious)"
    for model in (de.MultinomialLogit, de.OrderedLogit):
        res = model(f.format("age + ")).fit(fair)
        small = model(f.format("")).fit(fair.dropna())
        assert res.lr_test("age").statistic == pytest.approx(res.lr_test(small).statistic)
        linear = model("rate_marriage ~ age + C(religious)").fit(fair)
        assert res.lr_test("yrs_married").df == res.lr_test(linear).df
        assert res.lr_test("yrs_married, age").df[0] > res.lr_test("age").df[0]
        assert res.lr_test("I(yrs_married ** 2)").df == res.lr_test("age").df
        with pytest.raises(OptionError, match="'educ' is no term"):
            res.lr_test("educ")
        pd.testing.assert_frame_equal(res.plot_effect("age").data, res.probability_shares("age"))
    plt.close("all")


def test_weights_count_rows_and_scale_away() -> None:
    data = choices()
    long = data.loc[data.index.repeat(data["w"])]
    counted = de.MultinomialLogit("y ~ x + d", weights="w", weight_type="frequency").fit(data)
    again = de.MultinomialLogit("y ~ x + d").fit(long)
    assert counted.nobs == len(long)
    for cov in ("nonrobust", "opg", "HC0", "HC1"):
        np.testing.assert_allclose(
            counted.with_cov(cov).cov_params(), again.with_cov(cov).cov_params(), rtol=1e-9
        )
    sampled = de.MultinomialLogit("y ~ x + d", weights="w", weight_type="sampling").fit(data)
    scaled = de.MultinomialLogit("y ~ x + d", weights="v", weight_type="sampling").fit(
        data.assign(v=data["w"] * 7.0)
    )
    np.testing.assert_allclose(sampled.params, counted.params, atol=1e-9)
    np.testing.assert_allclose(sampled.cov_params(), scaled.cov_params(), rtol=1e-9)
    np.testing.assert_allclose(  # a row of weight two moves the score as two rows that go together
        sampled.with_cov("HC0").cov_params(),
        again.with_cov(de.Cluster("row", correction="none"), data=long.assign(row=long.index)).cov_params(),
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    ("formula", "change", "error", "words"),
    [
        (
            "y ~ x + z",
            {"z": lambda d: ((d["y"] == "car") & (d["x"] > 0)) * 1.0},
            SeparationError,
            r"car\[z\]",
        ),
        ("y ~ v", {"v": lambda d: (d["y"] == "car") * 1.0}, SeparationError, "merge categories of y"),
        ("y ~ x + x2", {"x2": lambda d: 2 * d["x"]}, CollinearityError, "x2 = 2 · x"),
        ("x ~ d", {}, OutcomeError, "50 at most"),
        ("c ~ d", {"c": 1}, OutcomeError, "no variation"),
    ],
)
def test_what_is_refused_names_its_cause(
    formula: str, change: dict[str, object], error: type[DisteconometricsError], words: str
) -> None:
    with pytest.raises(error, match=words):
        de.MultinomialLogit(formula).fit(choices().assign(**change))


def test_answers_that_do_not_exist_are_withheld() -> None:
    res = de.MultinomialLogit("y ~ x + d").fit(choices())
    for ask, words in (
        (lambda: res.with_cov("HC3"), "jackknife"),
        (lambda: de.MultinomialLogit("y ~ x", base="tram").fit(choices()), "'bus', 'car', 'walk'"),
        (lambda: res.test_term("z"), "columns of the design"),
        (lambda: res.test_categories("car", "car"), "two different"),
        (lambda: res.margins({"x": (0, 1e6)}), "further from the range"),
    ):
        with pytest.raises(OptionError, match=words):
            ask()


@pytest.mark.parametrize("model", [de.MultinomialLogit, de.OrderedLogit, de.OrderedProbit])
def test_margins_beyond_the_range_of_the_fit_warn(model: type) -> None:
    data = choices()
    res = model("firm ~ x").fit(data.assign(firm=data["firm"] % 3))
    with pytest.warns(ExtrapolationWarning, match="x = 1e"):
        res.margins(at={"x": 1e6})
