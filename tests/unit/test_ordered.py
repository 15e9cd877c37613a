"""Ordered logit and probit: derivatives, tails, references, collapses, weights, margins, refusals."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import disteconometrics as de
from disteconometrics.errors import (
    CollinearityError,
    DisteconometricsError,
    ExtrapolationWarning,
    FormulaError,
    LikelihoodRatioWarning,
    OptionError,
    OutcomeError,
    SeparationError,
    WithheldError,
)
from disteconometrics.likelihoods.ordered import ORDERED_LOGIT, ORDERED_PROBIT, OrderedKernel, evaluate

LAWS = {"logit": ORDERED_LOGIT, "probit": ORDERED_PROBIT}
MODELS = {"logit": (de.OrderedLogit, de.Logit), "probit": (de.OrderedProbit, de.Probit)}


def grades(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Four grades with a number, a 0/1 variable, a factor and clusters."""
    rng = np.random.default_rng(seed)
    x, d, g = rng.normal(size=n), (rng.random(n) < 0.4).astype(float), rng.integers(0, 3, n)
    y = np.searchsorted([-1.0, 0.2, 1.0], 0.8 * x - 0.5 * d + 0.3 * g + rng.logistic(size=n))
    y = pd.Categorical.from_codes(y, ["bad", "fair", "good", "best"], ordered=True)
    return pd.DataFrame({"y": y, "x": x, "d": d, "g": np.array(list("abc"))[g], "firm": np.arange(n) % 50})


@pytest.mark.parametrize("law", LAWS)
def test_score_and_information_are_derivatives_of_the_log_likelihood(law: str) -> None:
    rng = np.random.default_rng(1)
    X, y, w, o = rng.normal(size=(40, 2)), np.arange(40) % 4, rng.random(40) + 0.5, rng.normal(size=40)
    theta = np.array([0.5, -1.0, -1.5, 0.1, 2.0])

    def at(t: np.ndarray) -> object:
        return evaluate(LAWS[law], X, y, w, X @ t[:2] + o, t[2:])

    found, steps = at(theta), 1e-5 * np.eye(5)
    score = [(at(theta + e).loglik - at(theta - e).loglik) / 2e-5 for e in steps]
    information = [(at(theta - e).score - at(theta + e).score) / 2e-5 for e in steps]
    np.testing.assert_allclose(found.score, score, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found.information, information, rtol=1e-6, atol=1e-6)
    assert (np.linalg.eigvalsh(found.information) > 0).all()


@pytest.mark.parametrize(
    ("kernel", "u", "low", "loglik", "upper", "weight"),
    [  # of mpmath with 60 digits: log-likelihood, its derivative in u, minus the second
        (ORDERED_LOGIT, 41.0, 40.0, -40.458675145387082, 0.58197670686932643, 0.92067359420779232),
        (ORDERED_LOGIT, -40.0, -41.0, -40.458675145387082, 1.5819767068693264, 0.92067359420779232),
        (ORDERED_PROBIT, 31.0, 30.0, -454.32124395634325, 1.7045932838228663e-12, 5.2842391798511762e-11),
        (ORDERED_PROBIT, -30.0, -31.0, -454.32124395634325, 30.033259667435327, 0.99889622853771131),
        (
            ORDERED_PROBIT,
            9.0,
            -np.inf,
            -1.1285884059538406e-19,
            1.0279773571668915e-18,
            9.2517962145020233e-18,
        ),
    ],
)
def test_both_tails_keep_their_digits(
    kernel: OrderedKernel, u: float, low: float, loglik: float, upper: float, weight: float
) -> None:
    t = kernel.terms(np.array([u]), np.array([low]))
    found = [t.loglik[0], t.upper[0], t.upper_weight[0] + t.shared[0]]
    np.testing.assert_allclose(found, [loglik, upper, weight], rtol=1e-11)


def test_the_housing_data_of_mass() -> None:
    """R 4.2.2, MASS::polr(Sat ~ Infl + Type + Cont, weights = Freq)."""
    levels = [["Low", "Medium", "High"], ["Tower", "Apartment", "Atrium", "Terrace"], ["Low", "High"]]
    counts = [
        *(21, 21, 28, 34, 22, 36, 10, 11, 36, 61, 23, 17, 43, 35, 40, 26, 18, 54, 13, 9, 10, 8, 8, 12),
        *(6, 7, 9, 18, 6, 7, 15, 13, 13, 7, 5, 11, 14, 19, 37, 17, 23, 40, 3, 5, 23, 78, 46, 43),
        *(48, 45, 86, 15, 25, 62, 20, 23, 20, 10, 22, 24, 7, 10, 21, 57, 23, 13, 31, 21, 13, 5, 6, 13),
    ]
    cells = itertools.product(levels[2], levels[1], levels[0], levels[0])
    data = pd.DataFrame(cells, columns=["Cont", "Type", "Infl", "Sat"]).assign(Freq=counts)
    for name, order in {"Infl": levels[0], "Type": levels[1], "Cont": levels[2], "Sat": levels[0]}.items():
        data[name] = pd.Categorical(data[name], order, ordered=name == "Sat")
    formula = "Sat ~ Infl + Type + Cont"
    res = de.OrderedLogit(formula, weights="Freq", weight_type="frequency").fit(data)
    assert -2 * res.llf == pytest.approx(3479.14929906, abs=1e-7)
    np.testing.assert_allclose(
        res.params,
        [
            0.56639373797,
            1.28881911099,
            -0.57235000188,
            -0.366186370358,
            -1.09101465873,
            0.360284004329,
            -0.496135138449,
            0.690708260091,
        ],
        atol=1e-8,
    )
    np.testing.assert_allclose(
        res.bse,
        np.array(
            [
                0.104652784393,
                0.127156147694,
                0.11923801191,
                0.15517333641,
                0.151486022531,
                0.0955357977487,
                0.124847245037,
                0.125471939472,
            ]
        ),
        atol=1e-8,
    )
    assert list(res.params.index[-2:]) == ["Low|Medium", "Medium|High"]
    long = data.loc[data.index.repeat(data["Freq"])].assign(block=lambda d: np.arange(len(d)) % 50)
    again = de.OrderedLogit(formula).fit(long)
    for cov in ("nonrobust", "opg", "HC0", "HC1"):
        np.testing.assert_allclose(
            res.with_cov(cov).cov_params(), again.with_cov(cov).cov_params(), rtol=1e-9
        )
    assert res.proportional_odds().statistic == pytest.approx(again.proportional_odds().statistic)
    small = de.OrderedLogit("Sat ~ Infl").fit(long)
    assert again.lr_test(small).statistic == pytest.approx(2 * (again.llf - small.llf))


@pytest.mark.parametrize("law", MODELS)
def test_two_categories_are_the_binary_model(law: str) -> None:
    data = grades().assign(b=lambda d: (d["y"] > "fair").astype(int))
    ordered, binary = (m("b ~ x + d + g").fit(data, cov=de.Cluster("firm")) for m in MODELS[law])
    flip = -np.eye(5)[[0]]
    order = np.vstack([np.eye(5)[1:], flip])
    np.testing.assert_allclose(ordered.params, order @ binary.params, atol=1e-10)
    np.testing.assert_allclose(ordered.cov_params(), order @ binary.cov_params() @ order.T, atol=1e-10)
    jackknife = de.Cluster("firm", correction="jackknife")
    one, other = (res.with_cov(jackknife).cov_params() for res in (ordered, binary))
    np.testing.assert_allclose(one, order @ other @ order.T, atol=1e-10)
    a, b = ordered.margins(), binary.margins()
    if ordered.kernel.binary.scale == "log-odds":
        slopes = binary.odds_ratios().drop(index="Intercept")
        np.testing.assert_allclose(ordered.odds_ratios(), slopes, rtol=1e-6)
    else:
        with pytest.raises(OptionError, match="in a logit only"):
            ordered.odds_ratios()
    np.testing.assert_allclose(a.params[1::2], b.params, atol=1e-10)
    np.testing.assert_allclose(a.bse[1::2], b.bse, atol=1e-10)
    np.testing.assert_allclose(ordered.predict()[1], binary.predict(), atol=1e-10)


@pytest.mark.parametrize("law", MODELS)
def test_margins_are_differences_of_predictions_with_their_errors(law: str) -> None:
    data = grades()
    res = MODELS[law][0]("y ~ x + I(x**2) + d + g").fit(data)
    table = res.margins().estimates

    def p(**c: object) -> np.ndarray:
        return res.distribution(data.assign(**c)).probabilities.mean(axis=0)

    values = table.values.reshape(4, 4)
    np.testing.assert_allclose(values.sum(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(values[0], (p(x=data["x"] + 1e-5) - p(x=data["x"] - 1e-5)) / 2e-5, atol=1e-9)
    np.testing.assert_allclose(values[1], p(d=1.0) - p(d=0.0), atol=1e-12)
    np.testing.assert_allclose(values[3], p(g="c") - p(g="a"), atol=1e-12)
    theta, V = res.coefficients, res.covariance.matrix

    def moved(t: np.ndarray) -> np.ndarray:
        return replace(res, coefficients=t).margins().params.to_numpy()

    G = np.array([(moved(theta + e) - moved(theta - e)) / 2e-5 for e in 1e-5 * np.eye(len(theta))]).T
    np.testing.assert_allclose(table.std_error, np.sqrt(np.diag(G @ V @ G.T)), rtol=1e-6)


def test_predictions_have_limits_inside_and_a_law() -> None:
    data = grades()
    res = de.OrderedProbit("y ~ x + d").fit(data)
    new = pd.DataFrame({"x": [-9.0, 0.0, np.nan], "d": [1.0, 0.0, 1.0]})
    with pytest.warns(ExtrapolationWarning, match="1 of 3 rows"):
        p, ci = res.predict(new), res.predict(new, ci=True)
    assert list(p.columns) == ["bad", "fair", "good", "best"]
    np.testing.assert_allclose(p.iloc[:2].sum(axis=1), 1)
    assert p.iloc[2].isna().all()
    assert (ci.loc[2].isna()).all(axis=None)
    known = ci.loc[[0, 1]]
    assert known["conf_low"].ge(0).all()
    assert known["conf_high"].le(1).all()
    assert (known["conf_low"] < known["estimate"]).all()
    assert (known["estimate"] < known["conf_high"]).all()
    np.testing.assert_allclose(res.distribution(new).pdf([[0, 1, 2, 3]])[:2], p.iloc[:2])


@pytest.mark.parametrize(
    "make",
    [
        lambda y: y.cat.codes + 1,
        lambda y: y.cat.codes * 0.5 - 1,
        lambda y: pd.Categorical(np.asarray(y), ["none", *y.cat.categories], ordered=True),
        lambda y: pd.Categorical(y.cat.codes.to_numpy(), [3, 1, 0, 2]),
    ],
)
def test_kinds_of_outcomes_give_the_same_fit(make: object) -> None:
    data = grades()
    plain, other = (de.OrderedLogit("y ~ x").fit(d) for d in (data, data.assign(y=make(data["y"]))))
    np.testing.assert_array_equal(plain.params, other.params)
    if "none" in str(make(data["y"])):
        assert "left out (1): none" in str(other.summary())


def test_a_polars_enum_keeps_its_order() -> None:
    pl = pytest.importorskip("polars")
    data = grades()
    levels = pl.Enum(list(data["y"].cat.categories))
    table = pl.DataFrame(
        {"y": pl.Series(data["y"].astype(str).tolist(), dtype=levels), "x": data["x"].tolist()}
    )
    ours = [de.OrderedLogit("y ~ x").fit(d).params for d in (data, table)]
    np.testing.assert_array_equal(*ours)


def test_weights_and_offset() -> None:
    data = grades().assign(w=lambda d: 1.0 + d["firm"] % 3, o=lambda d: 0.3 * d["x"], s=2.5)
    formula = "y ~ x + d"
    shifted = de.OrderedLogit(formula, offset="o").fit(data)
    plain = de.OrderedLogit(formula).fit(data, cov="HC1")
    np.testing.assert_allclose(shifted.params, plain.params - [0.3, 0, 0, 0, 0], atol=1e-9)
    same = de.OrderedLogit(formula, weights="s", weight_type="sampling").fit(data)
    np.testing.assert_allclose(same.bse, plain.bse, rtol=1e-9)
    assert np.isnan(same.aic)
    assert np.isnan(same.llr)
    sampled = de.OrderedLogit(formula, weights="w", weight_type="sampling").fit(data)
    counted = de.OrderedLogit(formula, weights="w", weight_type="frequency").fit(data)
    np.testing.assert_allclose(sampled.params, counted.params, atol=1e-9)


def _separated(end: str) -> pd.DataFrame:
    data = grades()
    rule = data["y"] == "best" if end == "high" else data["y"] == "bad"
    return data.assign(z=(rule & (data["x"] > 0)).astype(float))


@pytest.mark.parametrize(
    ("formula", "data", "error", "words"),
    [
        ("y ~ x + z", _separated("high"), SeparationError, "z predicts"),
        ("y ~ x + z", _separated("low"), SeparationError, "z predicts"),
        ("y ~ v", grades().assign(v=lambda d: d["y"].cat.codes), SeparationError, "Complete separation"),
        ("y ~ 0 + x", grades(), FormulaError, "thresholds"),
        ("y ~ x + x2", grades().assign(x2=lambda d: 2 * d["x"]), CollinearityError, "x2 = 2 · x"),
        ("t ~ x", grades().assign(t=lambda d: d["y"].astype(str)), OutcomeError, "ordered=True"),
        ("x ~ d", grades(), OutcomeError, "50 at most"),
        ("c ~ d", grades().assign(c=1), OutcomeError, "no variation"),
    ],
)
@pytest.mark.parametrize("law", MODELS)
def test_what_is_refused_names_its_cause(
    formula: str, data: pd.DataFrame, error: type[DisteconometricsError], words: str, law: str
) -> None:
    with pytest.raises(error, match=words):
        MODELS[law][0](formula).fit(data)


def test_answers_that_do_not_exist_are_withheld() -> None:
    res = de.OrderedLogit("y ~ x").fit(grades())
    with pytest.raises(OptionError, match="jackknife"):
        res.with_cov("HC3")
    with pytest.raises(WithheldError, match="one threshold"):
        de.OrderedLogit("d ~ x").fit(grades()).proportional_odds()
    with pytest.raises(WithheldError, match="Wald"):
        res.with_cov(de.Cluster("firm", correction="jackknife")).lr_test(
            de.OrderedLogit("y ~ 1").fit(grades())
        )
    with pytest.raises(OptionError, match="as many coefficients"):
        res.lr_test(res)


def test_the_head_has_the_test_that_takes_the_covariance() -> None:
    data = grades()
    small, res = (de.OrderedLogit(f).fit(data) for f in ("y ~ x", "y ~ x + d"))
    assert "LLR p-value" in str(res.summary())
    robust = res.with_cov("HC1")
    assert "Wald p-value" in str(robust.summary())
    assert robust.wald_pvalue == robust.test("x, d").p_value
    with pytest.warns(LikelihoodRatioWarning, match="HC1"):
        robust.lr_test(small)
    alone = de.OrderedLogit("y ~ 1").fit(data, cov="HC1")
    assert "no regressors" in str(alone.summary())


def test_the_jackknife_of_clusters_is_close_to_leaving_them_out() -> None:
    data = grades()
    res = de.OrderedLogit("y ~ x + d").fit(data, cov=de.Cluster("firm", correction="jackknife"))
    left = [de.OrderedLogit("y ~ x + d").fit(data[data["firm"] != g]).params - res.params for g in range(50)]
    brute = np.sqrt(49 / 50 * np.square(left).sum(axis=0))
    np.testing.assert_allclose(res.bse, brute, rtol=0.02)


def test_proportional_odds_is_rejected_where_they_are_not_proportional() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=2000)
    y = np.searchsorted([-0.7, 0.7], x + np.exp(0.5 * x) * norm.rvs(size=2000, random_state=rng))
    data = pd.DataFrame({"y": y, "x": x, "g": np.arange(2000) % 100})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cov in ("nonrobust", "HC1", de.Cluster("g")):
            assert de.OrderedProbit("y ~ x").fit(data, cov=cov).proportional_odds().p_value < 1e-6
