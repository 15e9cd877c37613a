"""Survey designs by hand: sums in units, centred in strata; domains, finite populations, lonely units."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

import disteconometrics as de
from disteconometrics.errors import (
    DataError,
    LonelyUnitWarning,
    MissingColumnError,
    OptionError,
    WithheldError,
)

RNG = np.random.default_rng(11)
N = 120
TABLE = pd.DataFrame(
    {
        "y": RNG.lognormal(1, 0.5, N),
        "x": RNG.normal(size=N),
        "h": np.repeat(["a", "b", "c"], 40),
        "u": np.tile(np.repeat(np.arange(5), 8), 3),
        "N": np.repeat([10.0, 25.0, 500.0], 40),
        "w": RNG.uniform(1, 3, N),
    }
)
WEIGHTED: dict[str, Any] = {"weights": "w", "weight_type": "sampling"}
DESIGN = de.Survey(strata="h", psu="u")
UNITS = pd.factorize(TABLE["h"] + TABLE["u"].astype(str))[0]  # 15 in 3 strata of 5


def by_hand(z: Any, table: pd.DataFrame, population: Any = None, lonely: float = 1.0) -> float:
    """The variance of Σ z over the rows of a table, by loops."""
    total = 0.0
    for name, part in pd.Series(z).groupby(table["h"].to_numpy()):
        sums = part.groupby(table["u"].to_numpy()[part.index]).sum()
        n = len(sums)
        left = 1.0 if population is None else 1 - n / population[name]
        if n == 1:
            total += lonely * left * float(sums.iloc[0]) ** 2
        else:
            total += left * n / (n - 1) * float(((sums - sums.mean()) ** 2).sum())
    return float(np.sqrt(total))


def of_mean(table: pd.DataFrame, inside: Any = True) -> Any:
    """Influence of rows on the weighted mean of those inside."""
    w = table["w"].to_numpy() * inside
    return w / w.sum() * (table["y"].to_numpy() - w @ table["y"] / w.sum())


def error(table: pd.DataFrame, design: de.Survey, model: Any = None) -> float:
    model = de.NormalRegression("y ~ 1", **WEIGHTED) if model is None else model
    return float(model.fit(table, cov=design).bse.iloc[0])


def test_a_mean_by_hand() -> None:
    assert error(TABLE, DESIGN) == pytest.approx(by_hand(of_mean(TABLE), TABLE), rel=1e-12)
    populations = {"a": 10, "b": 25, "c": 500}
    finite = de.Survey(strata="h", psu="u", fpc="N")
    expected = by_hand(of_mean(TABLE), TABLE, populations)
    assert error(TABLE, finite) == pytest.approx(expected, rel=1e-12)
    shares = TABLE.assign(N=TABLE["h"].map({k: 5 / v for k, v in populations.items()}))
    assert error(shares, finite) == pytest.approx(expected, rel=1e-12)


def test_a_gini_is_the_mean_of_its_influence() -> None:
    gini = de.Inequality("y ~ 1", functionals=["gini", "mean"], **WEIGHTED).fit(TABLE, cov=DESIGN)
    psi = gini.rows.measured.influence[:, 0]
    assert gini.bse["gini"] == pytest.approx(error(TABLE.assign(y=psi), DESIGN), rel=1e-10)
    assert gini.bse["mean"] == pytest.approx(error(TABLE, DESIGN), rel=1e-12)
    assert gini.estimates.df == 12


def test_limits_of_a_measure_take_the_degrees_of_its_strata() -> None:
    """V²/Σ V_h²/(n_h − 1) by loops; p-values, differences, tests and files keep them."""
    res = de.Inequality("y ~ h", functionals=["gini", "mean"], **WEIGHTED).fit(TABLE, cov=DESIGN)
    one = de.Inequality("y ~ 1", functionals=["gini", "mean"], **WEIGHTED).fit(TABLE, cov=DESIGN)
    z = pd.Series(of_mean(TABLE)).groupby([TABLE["h"], TABLE["u"]]).sum()
    V = 5 / 4 * (z - z.groupby("h").transform("mean")).pow(2).groupby("h").sum()
    expected = V.sum() ** 2 / (V**2 / 4).sum()
    assert one.degrees[1] == pytest.approx(expected, rel=1e-12)
    half = one.bse["mean"] * stdtrit(expected, 0.975)
    np.testing.assert_allclose(one.conf_int().loc["mean"], one.params["mean"] + half * np.array([-1, 1]))
    np.testing.assert_allclose(res.degrees, 4.0)  # a group is a stratum of five units
    np.testing.assert_allclose(res.differences.own_df, 4.0)
    file = io.BytesIO()
    one.save(file)
    pd.testing.assert_frame_equal(de.load(io.BytesIO(file.getvalue())).tidy(), one.tidy())
    fewest = one.degrees.min()
    assert one.test("gini = mean").df == (1, fewest)
    assert one.test("gini = 0").p_value == pytest.approx(one.pvalues["gini"], rel=1e-9)
    assert one.nlcom("2 * mean").p_value[0] == pytest.approx(one.pvalues["mean"], rel=1e-9)
    assert one.test("gini = 0, mean = 0").df == (2, pytest.approx(fewest - 1))
    assert one.with_cov("HC1").degrees is None
    assert "Satterthwaite" in str(one.summary())


def test_a_group_within_one_unit_has_no_errors() -> None:
    """Its influence sums to zero there: what is left is rounding, and no standard error."""
    table = TABLE.assign(g=np.where((TABLE["h"] == "a") & (TABLE["u"] == 0), "one", "others"))
    table["cl"] = table["h"] + table["u"].astype(str)
    model = de.Inequality("y ~ g", functionals=["gini", "mean"], **WEIGHTED)
    for cov in (de.Cluster("cl"), DESIGN):
        with pytest.warns() as told:
            res = model.fit(table, cov=cov)
        assert any("g = one lies in a single" in str(w.message) for w in told)
        assert res.bse.isna().tolist() == [True, False, True, False]
        assert np.isnan(res.differences.std_error).all()
        assert "g = one lies in a single" in str(res.summary())
    assert res.lorenz([0.5])["band_low"].isna().tolist() == [True, False]
    census = de.Inequality("y ~ 1", functionals=["mean"], **WEIGHTED)
    whole = census.fit(TABLE.assign(N=5), cov=de.Survey(strata="h", psu="u", fpc="N"))
    assert whole.bse["mean"] == 0
    assert (whole.conf_int().loc["mean"] == whole.params["mean"]).all()


def test_units_are_nested_and_the_plain_design_is_that_of_single_clusters() -> None:
    apart = TABLE.assign(u=TABLE["h"] + TABLE["u"].astype(str))
    assert error(apart, DESIGN) == error(TABLE, DESIGN)
    numbered = TABLE.assign(row=np.arange(N))
    plain = de.Logit("I(y > 3) ~ x", **WEIGHTED)
    one, other = (plain.fit(numbered, cov=c) for c in (de.Survey(), de.Cluster("row")))
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-12)
    assert one.estimates.df == N - 1


@pytest.mark.parametrize("how", ["weight", "missing"])
def test_a_domain_is_rows_of_influence_zero(how: str) -> None:
    """Units without a row of the domain still count in their strata."""
    inside = (TABLE["x"] > 0.2).to_numpy() & ~((TABLE["h"] == "b") & (TABLE["u"] > 2)).to_numpy()
    table = (
        TABLE.assign(w=TABLE["w"] * inside) if how == "weight" else TABLE.assign(y=TABLE["y"].where(inside))
    )
    expected = by_hand(of_mean(TABLE, inside), TABLE)
    assert error(table, DESIGN) == pytest.approx(expected, rel=1e-12)
    assert error(TABLE[inside].reset_index(drop=True), DESIGN) != pytest.approx(expected, rel=1e-3)


def test_lonely_units_are_told() -> None:
    table = TABLE[(TABLE["h"] != "c") | (TABLE["u"] == 0)].reset_index(drop=True)
    psi = of_mean(table)
    with pytest.warns(LonelyUnitWarning, match="1 stratum has a single unit: c"):
        assert error(table, DESIGN) == pytest.approx(by_hand(psi, table), rel=1e-12)
    sure = de.Survey(strata="h", psu="u", lonely="certainty")
    assert error(table, sure) == pytest.approx(by_hand(psi, table, lonely=0.0), rel=1e-12)
    with pytest.raises(DataError, match="Merge them"):
        error(table, de.Survey(strata="h", psu="u", lonely="raise"))


def test_answers_of_the_population_take_the_design() -> None:
    """The mean of the averaged law of y ~ x is the mean of y, with its error."""
    res = de.NormalRegression("y ~ x", **WEIGHTED).fit(TABLE, cov=DESIGN)
    assert res.functionals(["mean"]).std_error[0] == pytest.approx(error(TABLE, DESIGN), rel=1e-9)
    logit = de.Logit("I(y > 3) ~ x", **WEIGHTED).fit(TABLE, cov=DESIGN)
    slope, population = (logit.margins(target=t).bse.iloc[0] for t in ("sample", "population"))
    assert 0 < abs(population - slope) < 0.2 * slope
    assert logit.test("x").df == (1, 12)
    normal = de.NormalRegression("y ~ x", **WEIGHTED).fit(TABLE, cov=DESIGN, use_t=False)
    assert normal.test("x").df == (1, 12)
    assert "t with 12 degrees of freedom" in str(normal.with_cov(DESIGN, use_t=False).summary())


@pytest.mark.parametrize("fpc", [None, "N"])
def test_draws_of_distribution_regression_take_the_design(fpc: Any) -> None:
    """The averaged law of logits is the weighted sample, so that its functionals have the errors of these.

    A spread of 1,000 draws is right to 1 ± .022.
    """
    design = de.Survey(strata="h", psu="u", fpc=fpc)
    res = de.DistributionRegression("y ~ x", thresholds=12, **WEIGHTED).fit(
        TABLE, cov=design, draws=1_000, seed=1
    )
    found = res.functionals(["mean", "gini"])
    exact = de.Inequality("y ~ 1", functionals=["mean", "gini"], **WEIGHTED).fit(TABLE, cov=design)
    np.testing.assert_allclose(found.values, exact.params, rtol=1e-9)
    np.testing.assert_allclose(found.std_error, exact.bse, rtol=0.09)
    assert found.df == exact.estimates.df == 12
    t, logit = res.process("x").table, de.Logit("I(y > 3) ~ x", **WEIGHTED).fit(TABLE, cov=design)
    one = de.DistributionRegression("y ~ x", thresholds=[3.0], **WEIGHTED).fit(TABLE, cov=design)
    np.testing.assert_allclose(one.bse, logit.bse, rtol=1e-12)
    assert (t.band_low < t.conf_low).all()
    assert "the design's weights" in " ".join(str(res.summary()).split())
    assert "3 strata" in str(res.summary())
    own = res.counterfactual(TABLE, weights="w").functionals(["mean", "gini"])
    np.testing.assert_allclose(own.std_error, found.std_error, rtol=1e-9)
    assert own.df == 12


HALF = TABLE.assign(g=np.where(np.arange(N) % 8 < 4, "a", "b")).assign(g=lambda d: d["g"].where(d["x"] > -2))
GROUPS = [(HALF["g"] == g).to_numpy() for g in "ab"]


def jackknifed(table: pd.DataFrame) -> tuple[pd.DataFrame, de.Survey]:
    """Replicate weights that leave out one unit of five after another."""
    beside = (UNITS // 5)[:, None] == np.arange(15) // 5
    left = np.where(UNITS[:, None] == np.arange(15), 0.0, np.where(beside, 1.25, 1.0))
    names = [f"r{i}" for i in range(15)]
    weights = pd.DataFrame(table["w"].to_numpy()[:, None] * left, columns=names)
    return table.join(weights), de.Survey(replicates=names, kind="JKn", scale=[0.8] * 15)


@pytest.mark.parametrize("fpc", [False, True, None])
@pytest.mark.parametrize("model", ["normal", "steps"])
def test_a_decomposition_of_means_has_the_error_of_their_difference(model: str, fpc: bool | None) -> None:
    """Rows without a group are rows of influence zero of the whole design; units lie in both groups."""
    populations = {"a": 10, "b": 25, "c": 500} if fpc else None
    expected = by_hand(of_mean(HALF, GROUPS[1]) - of_mean(HALF, GROUPS[0]), HALF, populations)
    design, table = de.Survey(strata="h", psu="u", fpc="N" if fpc else None), HALF
    if fpc is None:
        table, design = jackknifed(HALF)
    estimator: Any = de.NormalRegression("y ~ x", **WEIGHTED)
    if model == "steps":
        estimator = de.DistributionRegression("y ~ x", thresholds=6, **WEIGHTED)
    options: dict[str, Any] = {"functionals": ["mean"], "levels": [0.5], "draws": 1_000, "seed": 1}
    if model == "steps" and fpc is None:
        with pytest.raises(WithheldError, match="strata and units"):
            de.decompose(estimator, table, by="g", cov=design, **options)
        return
    res = de.decompose(estimator, table, by="g", cov=design, **options)
    exact = 1e-9 if model == "normal" else 0.09  # a spread of 1,000 draws is right to 1 ± .022
    assert res.bse["mean: total"] == pytest.approx(expected, rel=exact)
    assert res.estimates.df == 12
    assert ("15 replicates" if fpc is None else "3 strata, 15 units") in str(res.summary())
    file = io.BytesIO()
    res.save(file)
    pd.testing.assert_frame_equal(de.load(io.BytesIO(file.getvalue())).tidy(), res.tidy())


def test_rows_of_a_counterfactual_have_their_design() -> None:
    """Moved rows of the fit share its units; rows drawn apart have their own; a sample adds nothing."""
    fit = de.NormalRegression("y ~ x", **WEIGHTED).fit(HALF.assign(y=HALF["y"].where(GROUPS[0])), cov=DESIGN)
    same = fit.counterfactual(HALF, weights="w", rows="same").functionals("mean")
    X, w = np.column_stack([np.ones(N), HALF["x"]]), HALF["w"].to_numpy()
    b, mean = fit.params.to_numpy()[:2], (w / w.sum()) @ X
    inside = w * GROUPS[0]
    residual = np.where(GROUPS[0], HALF["y"] - X @ b, 0.0)
    of_fit = inside * residual * (X @ np.linalg.solve((X * inside[:, None]).T @ X, mean))
    of_average = w / w.sum() * (X @ b - mean @ b)
    assert same.std_error[0] == pytest.approx(by_hand(of_fit + of_average, HALF), rel=1e-9)
    given = fit.counterfactual(HALF, weights="w", target="sample").functionals("mean")
    assert given.std_error[0] == pytest.approx(by_hand(of_fit, HALF), rel=1e-9)
    apart = fit.counterfactual(HALF.assign(u=HALF["u"] + 50), weights="w", rows="independent")
    both = np.hypot(by_hand(of_fit, HALF), by_hand(of_average, HALF))
    found = apart.functionals("mean")
    assert found.std_error[0] == pytest.approx(both, rel=1e-9)
    assert found.df == 24
    with pytest.raises(OptionError, match="in both tables"):
        fit.counterfactual(HALF, rows="independent").functionals("mean")


def replicated(weights: Any, **options: Any) -> tuple[pd.DataFrame, de.Survey]:
    """The table with replicate weights (N, R), and the design."""
    names = [f"r{i}" for i in range(weights.shape[1])]
    return TABLE.join(pd.DataFrame(weights, columns=names)), de.Survey(replicates=names, **options)


def spread_of_fits(table: pd.DataFrame, design: de.Survey) -> float:
    """The error of a mean by the replicates' own means."""
    mean = np.average(TABLE["y"], weights=TABLE["w"])
    moved = [np.average(TABLE["y"], weights=table[c]) - mean for c in design.replicates]
    return float(np.sqrt(np.array(design.scale) @ np.square(moved)))


def test_the_jackknife_of_a_mean_is_its_linearised_error() -> None:
    left = np.full((N, N), N / (N - 1))
    np.fill_diagonal(left, 0.0)
    table, design = replicated(left, kind="JK1")
    plain = de.NormalRegression("y ~ 1").fit(table, cov=design)
    assert plain.bse["Intercept"] == pytest.approx(TABLE["y"].std(ddof=1) / np.sqrt(N), rel=1e-12)
    assert plain.estimates.df == N - 1
    same = de.NormalRegression("y ~ 1").fit(table, cov=de.Survey()).bse["Intercept"]
    assert plain.bse["Intercept"] == pytest.approx(same, rel=1e-12)


def test_replicates_of_strata_are_the_linearised_design() -> None:
    """Units left out in strata, and half-samples of two of them in balance, are exact of what is linear."""
    w = TABLE["w"].to_numpy()[:, None]
    table, design = jackknifed(TABLE)
    assert error(table, design) == pytest.approx(error(TABLE, DESIGN), rel=1e-12)
    assert error(table, design) == pytest.approx(spread_of_fits(table, design), rel=0.02)
    weighted = de.Inequality("y ~ 1", functionals=["gini"], **WEIGHTED)
    assert weighted.fit(table, cov=design).bse.iloc[0] == pytest.approx(
        weighted.fit(TABLE, cov=DESIGN).bse.iloc[0], rel=1e-12
    )
    H = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])  # rows: replicates
    halves = np.where(TABLE["u"] < 2, 1, -1)[:, None] * H[:, 1:].T[UNITS // 5]
    two = de.Survey(strata="h", psu="v")
    expected = error(TABLE.assign(v=TABLE["u"] < 2), two)
    for kind, move, rho in (("BRR", 1.0, None), ("Fay", 0.7, 0.3)):
        table, design = replicated(w * (1 + move * halves), kind=kind, rho=rho)
        assert error(table, design) == pytest.approx(expected, rel=1e-12)
        assert de.NormalRegression("y ~ 1", **WEIGHTED).fit(table, cov=design).estimates.df == 3


def test_replicates_of_a_logit_and_of_its_answers() -> None:
    counts = RNG.multinomial(N, np.full(N, 1 / N), size=200).T
    table, design = replicated(TABLE["w"].to_numpy()[:, None] * counts, kind="bootstrap")
    model = de.Logit("I(y > 3) ~ x", **WEIGHTED)
    res = model.fit(table, cov=design)
    one_by_one = [model.fit(table.assign(w=table[c]), cov="HC1").params["x"] for c in design.replicates[:60]]
    assert res.bse["x"] == pytest.approx(np.std(one_by_one), rel=0.3)  # of 60 draws, ± .09
    assert res.bse["x"] == pytest.approx(model.fit(TABLE, cov="HC0").bse["x"], rel=0.2)  # of 200, ± .05
    assert res.margins().bse.iloc[0] > 0
    assert "200 replicate weights (bootstrap)" in " ".join(str(res.summary()).split())
    steps = de.DistributionRegression("y ~ x", thresholds=[3.0], **WEIGHTED).fit(table, cov=design)
    np.testing.assert_allclose(steps.bse, res.bse, rtol=1e-12)
    with pytest.raises(WithheldError, match="strata and units"):
        steps.process("x")
    for wrong, words in ((table.assign(r0=np.nan), "r0"), (table.assign(w=500.0), "multiply factors")):
        with pytest.raises(DataError, match=words):
            model.fit(wrong, cov=design)


def test_cut_and_back() -> None:
    res = de.Logit("I(y > 3) ~ x", **WEIGHTED).fit(TABLE, cov=DESIGN)
    again = de.Logit("I(y > 3) ~ x", **WEIGHTED).fit(TABLE).with_cov(DESIGN)
    plain = again.with_cov("HC1")  # judged as it was before
    np.testing.assert_array_equal(plain.pvalues, de.Logit("I(y > 3) ~ x", **WEIGHTED).fit(TABLE).pvalues)
    np.testing.assert_array_equal(res.conf_int(), again.conf_int())
    with pytest.raises(OptionError, match="drawn by a design"):
        res.monte_carlo(2)


FITS: dict[str, Any] = {
    "no such column": (de.Survey(psu="nowhere"), TABLE, MissingColumnError, "nowhere"),
    "strata missing": (DESIGN, TABLE.assign(h=TABLE["h"].where(TABLE["x"] > -2)), DataError, "'h' has"),
    "one unit each": (de.Survey(strata="h", psu="h"), TABLE, DataError, "3 units in 3 strata"),
    "fpc varies": (de.Survey(strata="h", psu="u", fpc="w"), TABLE, DataError, "one value in a stratum"),
    "fpc too small": (de.Survey(strata="h", psu="u", fpc="N"), TABLE.assign(N=3.0), DataError, "fewer units"),
    "fpc negative": (de.Survey(strata="h", psu="u", fpc="N"), TABLE.assign(N=-1.0), DataError, "fewer units"),
}


@pytest.mark.parametrize("case", FITS)
def test_designs_that_are_refused(case: str) -> None:
    design, table, kind, words = FITS[case]
    with pytest.raises(kind, match=words):
        de.NormalRegression("y ~ x", **WEIGHTED).fit(table, cov=design)


def test_options_and_estimators_that_are_refused() -> None:
    some = {"replicates": ["r1", "r2"]}
    for wrong in (
        {"strata": [1]},
        {"psu": np.ones(3)},
        {"lonely": "drop"},
        {"kind": "BRR"},
        some,
        {**some, "kind": "jack"},
        {**some, "kind": "JK1", "strata": "h"},
        {**some, "kind": "Fay"},
        {**some, "kind": "Fay", "rho": 1.0},
        {**some, "kind": "BRR", "rho": 0.5},
        {**some, "kind": "JKn"},
        {**some, "kind": "JKn", "scale": [0.5, 0.5, 0.5]},
        {**some, "kind": "bootstrap", "scale": -1.0},
        {"replicates": ["r1"], "kind": "JK1"},
        {"replicates": [1, 2], "kind": "JK1"},
    ):
        with pytest.raises(OptionError):
            de.Survey(**wrong)
    counts = TABLE.assign(w=1.0)
    for model in (
        de.FlowDensity("y ~ 1"),
        de.OrderedLogit("u ~ x"),
        de.NormalRegression("y ~ x", weights="w", weight_type="frequency"),
        de.Logit("I(y > 3) ~ x", penalty="firth"),
    ):
        with pytest.raises(OptionError, match="Survey"):
            model.fit(counts, cov=DESIGN)
