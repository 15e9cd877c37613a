"""Decompositions and counterfactual laws: against formulas written out, exact identities, and refusals."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import (
    DataError,
    DisteconometricsError,
    ExtrapolationWarning,
    LevelError,
    MissingColumnError,
    NeedsData,
    OptionError,
)
from disteconometrics.inference.crossed_laws import _grid_of, grid_influence
from disteconometrics.inference.law_effects import Averaged

RNG = np.random.default_rng(5)
N = 160
G = np.arange(N) % 2
X = RNG.normal(0.4 * G, 1.0)
DATA = pd.DataFrame(
    {
        "g": G,
        "x": X,
        "k": RNG.integers(0, 3, N),
        "f": RNG.integers(1, 4, N),
        "y": np.exp(1 + 0.3 * X + 0.2 * G * X + 0.1 * G + 0.4 * RNG.normal(size=N)),
    }
)
LINEAR = de.NormalRegression("y ~ x + C(k)")
STEPS = de.DistributionRegression("y ~ x", thresholds=12)


def decompose(estimator: Any, data: Any, **options: Any) -> Any:
    """A decomposition along few levels."""
    return de.decompose(estimator, data, **{"levels": [0.25, 0.5, 0.75], **options})


def parts(res: Any, functional: str) -> Any:
    return [res.params[f"{functional}: {p}"] for p in ("total", "composition", "structure")]


def test_the_mean_of_a_linear_model_is_that_of_oaxaca_and_blinder() -> None:
    from statsmodels.stats.oaxaca import OaxacaBlinder

    design = pd.get_dummies(DATA[["x", "k"]], columns=["k"], drop_first=True).astype(float)
    design = design.assign(g=DATA.g.astype(float), const=1.0)
    theirs = OaxacaBlinder(DATA.y, design, "g", hasconst=True, swap=False)
    total = DATA.y[G == 1].mean() - DATA.y[G == 0].mean()
    for reference, weight in ((0, 1), (1, 0)):
        unexplained, explained, gap = theirs.two_fold(
            two_fold_type="self_submitted", submitted_weight=weight
        ).params
        assert abs(gap) == pytest.approx(abs(total), abs=1e-10)
        sign = np.sign(total * gap)
        ours = parts(decompose(LINEAR, DATA, by="g", functionals="mean", reference=reference), "mean")
        np.testing.assert_allclose(ours, [total, sign * explained, sign * unexplained], atol=1e-10)


def test_errors_are_those_of_influence_rows_written_out() -> None:
    """Parts of the mean under HC1, group by group, with the rows that fits and averages share."""
    res = decompose(de.NormalRegression("y ~ x"), DATA, by="g", functionals="mean", cov="HC1")
    A = np.column_stack([np.ones(N), X])
    means, fits, rows = [], [], np.zeros((N, 3))
    for g in (0, 1):
        own = g == G
        Z, y, n = A[own], DATA.y[own].to_numpy(), int(own.sum())
        b = np.linalg.solve(Z.T @ Z, Z.T @ y)
        means.append(Z.mean(axis=0))
        fits.append(
            (Z, b, (Z * (y - Z @ b)[:, None]) @ np.linalg.inv(Z.T @ Z) * np.sqrt(n / (n - 2)), n, own)
        )
    for cell, (j, k) in enumerate(((0, 0), (1, 1), (0, 1))):
        rows[fits[j][4], cell] += fits[j][2] @ means[k]
        Z, n = fits[k][0], fits[k][3]
        rows[fits[k][4], cell] += (Z - means[k]) @ fits[j][1] / n * np.sqrt(n / (n - 1))
    C = np.array([[-1.0, 1, 0], [-1, 0, 1], [0, 1, -1]])
    np.testing.assert_allclose(res.cov_params(), C @ rows.T @ rows @ C.T, rtol=1e-9)


def test_a_saturated_regression_is_the_reweighted_sample() -> None:
    """The laws are the groups' own, the counterfactual one that of DiNardo, Fortin and Lemieux."""
    d = DATA.assign(y=np.ceil(2 * DATA.y) / 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = decompose(de.DistributionRegression("y ~ C(k)"), d, by="g", functionals=["mean"], draws=100)
    zero, one = d[d.g == 0], d[d.g == 1]
    weights = (one.k.value_counts() / len(one) / (zero.k.value_counts() / len(zero)))[zero.k].to_numpy()
    laws = [de.Empirical(zero.y), de.Empirical(one.y), de.Empirical(zero.y, weights)]
    found = res.quantiles()["estimate"]
    for law, name in zip(laws, res.facts.laws, strict=True):
        np.testing.assert_allclose(res.laws().loc[name, "mean"], law.mean(), rtol=1e-6)
        np.testing.assert_array_equal(found[name], law.quantile(res.levels))
    w1 = np.trapezoid(np.abs(laws[0].quantile(U) - laws[1].quantile(U)), U)
    assert res.facts.w1[0] == pytest.approx(w1, rel=2e-3)


U = np.linspace(1e-6, 1 - 1e-6, 20_001)


@pytest.mark.filterwarnings("ignore:Cluster column")  # their sizes, not what is tested
@pytest.mark.parametrize("estimator", [de.NormalRegression("y ~ x"), STEPS])
def test_pairs_in_both_groups_have_no_difference_and_no_error(estimator: Any) -> None:
    """Clusters that lie in both groups count in what these share, in influence rows and in draws."""
    half = DATA[["x", "y"]].iloc[:80].assign(pair=np.arange(80))
    d = pd.concat([half.assign(g="a"), half.assign(g="b")])
    res = decompose(estimator, d, by="g", functionals=["mean", "std"], cov=de.Cluster("pair"), draws=100)
    assert np.abs(res.estimates.values).max() < 1e-9
    assert res.bse.max() < 1e-5
    apart = decompose(estimator, d, by="g", functionals=["mean", "std"], draws=100)
    assert apart.bse["mean: total"] > 0.1


UNEVEN = pd.DataFrame({"c": np.concatenate([np.repeat(np.arange(30), 4), np.repeat(np.arange(30, 36), 15)])})
UNEVEN = UNEVEN.assign(g=(UNEVEN.c >= 30).astype(int), x=RNG.normal(size=len(UNEVEN)) + UNEVEN.c % 3)
UNEVEN = UNEVEN.assign(y=np.exp(0.3 * UNEVEN.x + 0.3 * RNG.normal(size=len(UNEVEN))))


@pytest.mark.filterwarnings("ignore:Cluster column")
@pytest.mark.parametrize("correction", ["groups", "cr1", "jackknife"])
def test_groups_of_few_clusters_have_their_own_factor_and_degrees(correction: Any) -> None:
    cov = de.Cluster("c", correction=correction)
    res = decompose(de.NormalRegression("y ~ x"), UNEVEN, by="g", functionals="mean", cov=cov)
    apart = [f.functionals("mean").std_error[0] for f in res.fits]
    assert res.estimates.std_error[0] == pytest.approx(np.hypot(*apart), rel=1e-9)
    assert (res.estimates.df, res.facts.clusters) == (5, 6)


@pytest.mark.filterwarnings("ignore:Cluster column")
def test_exponential_draws_of_few_clusters_are_widened_by_what_they_fall_short() -> None:
    few = UNEVEN[UNEVEN.g == 1].reset_index(drop=True)
    fit = de.DistributionRegression("y ~ x", thresholds=3).fit(few, cov=de.Cluster("c"), draws=100, seed=1)
    W = np.random.default_rng(1).standard_exponential((20_000, 6))
    means = W @ np.arange(6.0) / W.sum(axis=1)
    short = np.sqrt(np.arange(6.0).var(ddof=1) / 6) / means.std()  # a ratio known to .005
    drawn = fit.drawn_average
    np.testing.assert_allclose(drawn.error / drawn.levels.std(axis=0, ddof=1), short, rtol=0.03)


def test_frequency_weights_are_rows_that_repeat() -> None:
    weighted = de.NormalRegression("y ~ x", weights="f", weight_type="frequency")
    whole = DATA.loc[DATA.index.repeat(DATA.f)].reset_index(drop=True)
    names = ["mean", "q[0.3]", "std"]
    ours = decompose(weighted, DATA, by="g", functionals=names)
    theirs = decompose(de.NormalRegression("y ~ x"), whole, by="g", functionals=names)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-8)
    np.testing.assert_allclose(ours.cov_params(), theirs.cov_params(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("estimator", [de.NormalRegression("y ~ x"), STEPS])
def test_swapping_is_the_other_reference_and_all_add_up(estimator: Any) -> None:
    options: dict[str, Any] = {"by": "g", "functionals": ["mean", "median"], "draws": 100, "seed": 3}
    res = decompose(estimator, DATA, **options)
    other = decompose(estimator, DATA, **options, reference=1)
    np.testing.assert_array_equal(res.swap().params, other.params)
    np.testing.assert_array_equal(res.swap().curves, other.curves)
    pooled = decompose(estimator, DATA, **options, reference="pooled")
    for r in (res, other, pooled):
        for name in options["functionals"]:
            total, composition, structure = parts(r, name)
            assert total == pytest.approx(composition + structure, abs=1e-12)
        q = r.quantiles()["estimate"]
        np.testing.assert_allclose(q["total"], q["composition"] + q["structure"], atol=1e-12)
    with pytest.raises(OptionError, match="fit of its own"):
        res.swap("pooled")


def between_quartiles(law: Any) -> Any:
    return law.quantile(0.75) - law.quantile(0.25)


@pytest.mark.parametrize(
    ("given", "kind", "near"),
    [("std", ("std", ()), 1e-3), (between_quartiles, ("difference", (0.75, 0.25)), 0.06)],
)
def test_any_functional_is_that_of_its_exact_derivative(given: Any, kind: Any, near: float) -> None:
    """One of quantiles moves in steps on a grid, where derivatives by narrow steps are zero or enormous."""
    fit = de.NormalRegression("y ~ x").fit(DATA, cov="HC1")
    a = fit.answering("mean", None, near=False)
    law = Averaged(a.laws(a.X), np.full(N, 1 / N))
    exact = law.functional(kind)
    (found,) = grid_influence(law, _grid_of(law), [given], "y")
    errors = [
        np.sqrt(a.estimation.covariance(np.array([r.value]), r.gradient[None], r.rows[:, None])[0, 0])
        for r in (found, exact)
    ]
    assert found.value == pytest.approx(exact.value, rel=1e-6 if given == "std" else 2e-3)
    assert errors[0] == pytest.approx(errors[1], rel=near)


def test_a_counterfactual_has_the_errors_of_both_samples() -> None:
    fit = de.NormalRegression("y ~ x").fit(DATA, cov="HC1")
    new = pd.DataFrame({"x": RNG.normal(1, 2, 50)})
    fixed, drawn = (fit.counterfactual(new, target=t).functionals("mean") for t in ("sample", "population"))
    with pytest.warns(ExtrapolationWarning, match="of 50 rows"):
        assert fixed.values[0] == pytest.approx(fit.predict(new).mean())
    own = fit.params["x"] ** 2 * new.x.var() / 50
    assert drawn.std_error[0] ** 2 - fixed.std_error[0] ** 2 == pytest.approx(own, rel=1e-9)
    again = fit.counterfactual(DATA, target="sample").functionals(["mean", "q[0.5]"])
    same = fit.functionals(["mean", "q[0.5]"], target="sample")
    np.testing.assert_allclose(again.values, same.values, rtol=1e-10)
    np.testing.assert_allclose(again.std_error, same.std_error, rtol=1e-6)
    half = pd.DataFrame({"x": [0.0, 1.0, np.nan], "w": [1.0, 3.0, 1.0]})
    weighted = fit.counterfactual(half, weights="w").functionals("mean").values[0]
    assert weighted == pytest.approx(fit.predict(pd.DataFrame({"x": [0.75]}))[0])


def test_a_counterfactual_of_distribution_regression_has_bands() -> None:
    fit = STEPS.fit(DATA, seed=2, draws=150)
    same = fit.counterfactual(DATA)
    np.testing.assert_allclose(same.quantile([0.2, 0.5]), fit.average().quantile([0.2, 0.5]))
    t = same.quantiles([0.25, 0.5, 0.75])
    assert (t.band_low <= t.conf_low).all()
    assert (t.conf_low < t.estimate).all()
    assert (t.estimate < t.band_high).all()
    fixed = fit.counterfactual(DATA, target="sample").functionals(["mean", "gini"])
    assert (fixed.std_error < 0.9 * same.functionals(["mean", "gini"]).std_error).any()


HOLES = DATA.assign(y=DATA.y.where(DATA.index % 9 > 0), c=np.arange(N) % 47)


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("cov", ["HC1", de.Cluster("c")])
@pytest.mark.parametrize("model", [de.NormalRegression, de.DistributionRegression])
def test_over_its_own_rows_a_law_has_the_errors_of_functionals(model: Any, cov: Any, counted: bool) -> None:
    weights = {"weights": "f", "weight_type": "frequency"} if counted else {}
    kept, used = HOLES.dropna(), HOLES.y.notna().to_numpy()
    drawn = {} if model is de.NormalRegression else {"draws": 100, "seed": 3}
    options = {} if model is de.NormalRegression else {"thresholds": 5}
    fit = model("y ~ x", **weights, **options).fit(HOLES, cov=cov, **drawn)
    own = fit.counterfactual(kept, weights="f" if counted else None)
    assert own.rows == "same"
    names = ["mean", "std"]
    found, exact = own.functionals(names), fit.functionals(names)
    np.testing.assert_allclose(found.covariance, exact.covariance, rtol=1e-6)
    # rows that the fit left out are averaged over too, as rows of their own
    every = fit.counterfactual(HOLES.drop(columns="y"))
    assert (every.rows, len(every.crossing.averages[0].at)) == ("same", N)
    np.testing.assert_array_equal(every.crossing.averages[0].at[used], np.arange(used.sum()))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (DATA.assign(x=0.0), "same"),
        (DATA[["x"]] + 1, "same"),
        ({"x": DATA.x + 1, "y": DATA.y}, "same"),
        (DATA[DATA.g == 1].assign(x=1.0), "same"),
        (DATA.sort_values("x"), "same"),
        (DATA.sort_values("x")[["x"]], "same"),
        (pd.concat([DATA.assign(x=0.0), DATA.assign(x=1.0)]), "same"),
        (DATA.sort_values("x").reset_index(drop=True), "independent"),
        (DATA[DATA.g == 1].reset_index(drop=True), "independent"),
        (DATA.iloc[:50][["x"]], "independent"),
        (DATA.set_axis(range(N, 2 * N)), "independent"),
    ],
)
def test_what_the_rows_of_a_counterfactual_are(new: Any, expected: str) -> None:
    fit = de.NormalRegression("y ~ x").fit(DATA, cov="HC1")
    found = fit.counterfactual(new)
    assert found.rows == expected
    said = {"same": "each moves coefficients", "independent": "drawn apart"}
    assert said[expected] in str(found.summary())
    assert fit.counterfactual(new, rows="independent").rows == "independent"


def test_a_counterfactual_of_two_values_says_its_rows() -> None:
    fit = de.Logit("I(y > 3) ~ x").fit(DATA, cov="HC1")
    assert "I(y > 3)" in str(fit.counterfactual(DATA.assign(x=0.0)).summary())


def test_rows_twice_in_an_average_move_it_twice() -> None:
    """Half of the rows at x = 0 and half at 1 is the line at 1/2, whatever the order of rows."""
    fit = de.NormalRegression("y ~ x").fit(DATA, cov="HC1")
    both = pd.concat([DATA.assign(x=DATA.x - 1), DATA.assign(x=DATA.x + 1)]).sample(frac=1, random_state=1)
    found, exact = (fit.counterfactual(d).functionals("mean") for d in (both, DATA))
    np.testing.assert_allclose(found.values, exact.values)
    np.testing.assert_allclose(found.std_error, exact.std_error, rtol=2e-3)  # n/(n − 1) of rows


def test_errors_of_a_moved_mean_are_right_where_the_line_is_wrong() -> None:
    """Of 80 samples the ratio of mean error and spread is 1 ± .08; of rows taken as others it is 1.42."""
    found = []
    for r in range(80):
        rng = np.random.default_rng([77, r])
        x = 2 * rng.random(200) ** 2
        table = pd.DataFrame({"x": x, "y": x**2 + 0.2 * rng.normal(size=200)})
        fit = de.NormalRegression("y ~ x").fit(table, cov="HC1")
        e = fit.counterfactual(table.assign(x=x - 0.8)).functionals("mean")
        found.append((e.values[0], e.std_error[0] ** 2))
    values, squares = np.array(found).T
    assert 0.68 < np.sqrt(squares.mean()) / values.std(ddof=1) < 1.32


def test_many_functionals_of_a_positive_outcome_have_errors() -> None:
    """More than sixteen at once were taken on a logarithm of logarithms, and had no errors."""
    res = de.FlowDensity("y ~ x", support="positive").fit(DATA)
    levels = [f"q[{t:.2f}]" for t in np.linspace(0.1, 0.9, 20)]
    many, few = res.functionals(levels), res.functionals(levels[:3])
    np.testing.assert_allclose(many.std_error[:3], few.std_error, rtol=1e-10)
    assert np.isfinite(many.std_error).all()


def test_an_offset_moves_its_coefficient() -> None:
    plain, moved = (
        de.DistributionRegression("y ~ x", thresholds=[2.5, 3.5], offset=o).fit(
            DATA.assign(o=0.5 * DATA.x), draws=100, seed=1
        )
        for o in (None, "o")
    )
    np.testing.assert_allclose(moved.coefficients[:, 1], plain.coefficients[:, 1] - 0.5, rtol=1e-6)
    np.testing.assert_allclose(moved.bse, plain.bse, rtol=1e-6)
    table = DATA.assign(o=0.5 * DATA.x).iloc[:5]
    np.testing.assert_allclose(moved.distribution(table).levels, plain.distribution(table).levels, rtol=1e-8)
    np.testing.assert_allclose(
        moved.functionals("mean").std_error, plain.functionals("mean").std_error, rtol=1e-5
    )


def test_what_many_rows_of_a_group_have_no_like_is_told() -> None:
    far = DATA.assign(x=DATA.x + 3 * DATA.g)
    with pytest.warns(ExtrapolationWarning, match="reference group 0"):
        res = decompose(de.NormalRegression("y ~ x"), far, by="g", functionals="mean")
    assert res.facts.beyond[1] > 0.5
    assert "Overlap" in str(res.summary())


def test_a_loaded_one_keeps_curves_and_gets_its_rows_back() -> None:
    res, file = decompose(STEPS, DATA, by="g", functionals=["mean"], draws=100, seed=4), io.BytesIO()
    res.save(file)
    back: Any = de.load(io.BytesIO(file.getvalue()))
    pd.testing.assert_frame_equal(back.quantiles(), res.quantiles())
    for call in (back.swap, lambda: back.quantiles(level=0.9), lambda: back.quantiles(0.37)):
        with pytest.raises(NeedsData):
            call()
    pd.testing.assert_frame_equal(back.attach(DATA).quantiles(level=0.9), res.quantiles(level=0.9))
    again = decompose(STEPS, DATA, by="g", functionals=["mean"], draws=100, seed=4, levels=[0.3, 0.37])
    pd.testing.assert_frame_equal(res.quantiles([0.3, 0.37]), again.quantiles())


def test_dominance_is_rejected_on_one_side() -> None:
    """What is .6 higher everywhere lowers nothing; what spreads outcomes does both."""
    rng = np.random.default_rng(3)
    g, x, noise = np.arange(400) % 2, rng.normal(size=400), rng.normal(size=400)
    model = de.NormalRegression("y ~ x")
    for y, never_lowers in ((0.6 * g + x + noise, True), (x + (1 + 2 * g) * noise, False)):
        t = decompose(
            model, pd.DataFrame({"g": g, "x": x, "y": y}), by="g", functionals="mean", seed=1
        ).tests()
        assert (t.loc["structure", "p_never_lowers"] > 0.9) == never_lowers
        assert t.loc["structure", "p_never_raises"] < 0.001


def test_a_study_takes_a_decomposition() -> None:
    def sample(rng: np.random.Generator) -> pd.DataFrame:
        g = np.arange(100) % 2
        return pd.DataFrame({"g": g, "x": rng.normal(size=100)}).assign(
            y=lambda d: d.x + g + rng.normal(size=100)
        )

    model = de.Decomposition(estimator=de.NormalRegression("y ~ x"), by="g", functionals="mean")
    study = de.MonteCarlo(sample, {"gap": model}, truth={"mean: total": 1.0}).run(
        reps=3, seed=1, progress=False
    )
    assert "mean: total" in str(study.summary())


def _decompose(**options: Any) -> Any:
    given = {"estimator": de.NormalRegression("y ~ x"), "data": DATA, "by": "g", **options}
    return de.decompose(given.pop("estimator"), given.pop("data"), **given)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"by": "sex"}, MissingColumnError, "sex"),
        ({"by": "k"}, DataError, "3 values"),
        ({"data": DATA[DATA.g == 1]}, DataError, "1 values"),
        ({"by": 3}, OptionError, "name of a column"),
        ({"estimator": de.NormalRegression("y ~ x + g")}, OptionError, "leave it out"),
        ({"estimator": de.NormalRegression("y ~ 1")}, OptionError, "no covariates"),
        ({"estimator": de.OrderedLogit("k ~ x")}, OptionError, "OrderedLogit"),
        ({"estimator": "y ~ x"}, OptionError, "specification first"),
        ({"cov": "nonrobust"}, OptionError, "HC3"),
        ({"cov": de.HAC("x")}, OptionError, "HC3"),
        ({"reference": "men"}, OptionError, "no value of"),
        ({"functionals": ["mean", "mean"]}, OptionError, "each once"),
        ({"functionals": []}, OptionError, "at least one"),
        ({"functionals": "meen"}, OptionError, "meen"),
        ({"functionals": "gini"}, OptionError, "positive"),
        ({"levels": [0.5, 1.5]}, OptionError, "between 0 and 1"),
        ({"level": 95}, OptionError, "0.95"),
        ({"draws": 5}, OptionError, "at least"),
        ({"estimator": de.Logit("z ~ x"), "data": DATA.assign(z=DATA.k > 0), "functionals": "q[0.5]"},
         OptionError, "mean"),
        ({"estimator": de.NormalRegression("y ~ C(k)"), "data": DATA[(DATA.k < 2) | (DATA.g == 1)]},
         LevelError, "support"),
        ({"cov": de.Cluster("firm")}, MissingColumnError, "firm"),
    ],
)  # fmt: skip
def test_what_cannot_be_decomposed_is_refused(
    options: dict[str, Any], error: type[DisteconometricsError], words: str
) -> None:
    with pytest.raises(error, match=words):
        _decompose(**options)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: r.counterfactual(DATA, target="all"), OptionError, "target"),
        (lambda r: r.counterfactual(DATA[["y"]]), MissingColumnError, "x"),
        (lambda r: r.counterfactual(DATA, rows="own"), OptionError, "independent"),
        (
            lambda r: r.counterfactual(DATA.iloc[:9].set_axis(range(900, 909)), rows="same"),
            OptionError,
            "160",
        ),
        (lambda r: r.counterfactual(DATA.assign(x=np.nan)), DataError, "No row"),
        (lambda r: r.counterfactual(DATA.assign(w=-1.0), weights="w"), DataError, "negative"),
        (lambda r: r.with_cov("nonrobust").counterfactual(DATA), OptionError, "HC1"),
        (
            lambda r: de.NormalRegression("y ~ 1").fit(DATA, cov="HC1").counterfactual(DATA),
            OptionError,
            "no cov",
        ),
    ],
)
def test_what_no_counterfactual_is_of_is_refused(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call(de.NormalRegression("y ~ x").fit(DATA, cov="HC1"))
