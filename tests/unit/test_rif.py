"""RIF regressions: least squares of the mean, derivatives against moved weights, heaps, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import disteconometrics as de
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    DiscreteOutcomeWarning,
    FewClustersWarning,
    OptionError,
    OutcomeError,
    SmallSampleWarning,
)
from disteconometrics.estimators import rif_decomposition
from disteconometrics.inference.recentred import recentred

RNG = np.random.default_rng(5)
N = 150
X = RNG.normal(size=N)
TABLE = pd.DataFrame(
    {
        "y": np.exp(1 + 0.3 * X + 0.4 * RNG.normal(size=N)),
        "x": X,
        "c": RNG.integers(0, 20, N),
        "w": RNG.integers(1, 4, N).astype(float),
    }
)
SMOOTH = [
    "mean",
    "var",
    "std",
    "gini",
    "theil",
    "mld",
    "ge[2]",
    "atkinson[0.5]",
    "var_log",
    "cdf[3]",
    "fgt[1,2]",
]
OF_QUANTILES = ["q[0.8]", "median", "iqr", "p90p10", "ratio[0.8,0.3]", "lorenz[0.4]", "top_share[0.2]"]


def fit(functional: str, table: Any = TABLE, cov: Any = None, formula: str = "y ~ x", **options: Any) -> Any:
    return de.RIFRegression(formula, functional=functional, **options).fit(table, cov=cov)


@pytest.mark.parametrize("cov", ["HC0", "HC1", "HC2", "HC3", "clusters", "jackknife", "survey"])
@pytest.mark.filterwarnings("ignore::disteconometrics.errors.FewClustersWarning")
def test_the_mean_is_least_squares(cov: str) -> None:
    kind = {
        "clusters": de.Cluster("c"),
        "jackknife": de.Cluster("c", correction="jackknife"),
        "survey": de.Survey(psu="c"),
    }.get(cov, cov)
    ours, theirs = fit("mean", cov=kind), de.NormalRegression("y ~ x").fit(TABLE, cov=kind)
    np.testing.assert_allclose(ours.tidy().iloc[:, 1:], theirs.tidy().iloc[:, 1:], rtol=1e-8, atol=1e-12)
    assert np.isnan(ours.bandwidth)


@pytest.mark.parametrize("name", SMOOTH)
def test_errors_are_those_of_moved_weights(name: str) -> None:
    """Every row's influence on the coefficients, through the regression and through what it is of."""
    w = {"weights": "w", "weight_type": "sampling"}
    res = fit(name, cov="HC0", **w)
    p = (TABLE["w"] / TABLE["w"].sum()).to_numpy()
    design = np.column_stack([np.ones(N), X])
    M = p[:, None] * design @ np.linalg.inv((design * p[:, None]).T @ design)
    psi = M * (res.rif - res.predict()).to_numpy()[:, None] / p[:, None] + res.rows.recentred.added(M)
    h, moved = 1e-5, []
    for i in range(0, N, 30):
        ends = [fit(name, TABLE.assign(w=(1 - s) * p + s * (np.arange(N) == i)), **w).params for s in (h, -h)]
        moved.append((ends[0] - ends[1]) / (2 * h))
    scale = np.abs(psi).max(axis=0)
    np.testing.assert_allclose(np.array(moved) / scale, psi[::30] / scale, atol=2e-5)
    V = (p[:, None] * psi).T @ (p[:, None] * psi)
    assert res.bse.iloc[1] ** 2 == pytest.approx(V[1, 1], rel=0.01)  # n/(n - 1) of the part that is added


@pytest.mark.parametrize("name", [*SMOOTH[1:4], *OF_QUANTILES])
def test_second_derivatives_are_symmetric_and_sum_to_zero(name: str) -> None:
    y, p = TABLE["y"].to_numpy(), (TABLE["w"] / TABLE["w"].sum()).to_numpy()
    S = recentred(y, p, name, N, 0.3).added(np.eye(N))
    np.testing.assert_allclose(S, S.T, atol=2e-6 * np.abs(S).max())
    jump = 1e-5 if name in SMOOTH else 3 * p.max()  # F passes a level by less than a row
    assert np.abs(p @ S).max() <= jump * np.abs(S).max()


def test_a_quantile_by_hand() -> None:
    res = fit("q[0.7]", bandwidth=0.4)
    y = TABLE["y"].to_numpy()
    q = np.sort(y)[104]  # the first value that .7 of 150 rows do not exceed
    density = np.exp(-0.5 * ((y - q) / 0.4) ** 2).mean() / np.sqrt(2 * np.pi) / 0.4
    rif = q + (0.7 - (y <= q)) / density
    np.testing.assert_allclose(res.rif, rif, rtol=1e-12)
    np.testing.assert_allclose(res.params, np.polyfit(X, rif, 1)[::-1], rtol=1e-9)
    assert res.bandwidth == 0.4
    assert res.value == q
    assert res.predict().mean() == pytest.approx(rif.mean(), rel=1e-12)
    assert res.predict({"x": [0.0]}).iloc[0] == pytest.approx(res.params.iloc[0])


@pytest.mark.parametrize("name", ["q[0.7]", "gini"])
def test_counts_are_rows_written_out(name: str) -> None:
    counted = fit(name, weights="w", weight_type="frequency")
    long = fit(name, TABLE.loc[np.repeat(TABLE.index, TABLE["w"].astype(int))].reset_index(drop=True))
    np.testing.assert_allclose(counted.tidy().iloc[:, 1:], long.tidy().iloc[:, 1:], rtol=1e-5)


def test_heaps_are_told_with_the_residual() -> None:
    table = TABLE.assign(y=np.round(TABLE["y"]))
    with pytest.warns(DiscreteOutcomeWarning, match="mean of the recentred influence function is"):
        res = fit("median", table)
    y, q = table["y"].to_numpy(), float(np.sort(table["y"])[N // 2 - 1])
    density = np.exp(-0.5 * ((y - q) / res.bandwidth) ** 2).mean() / np.sqrt(2 * np.pi) / res.bandwidth
    assert res.facts.residual == pytest.approx((0.5 - (y <= q).mean()) / density, rel=1e-9)
    assert "heaped at the quantiles" in str(res.summary())


REFUSED: dict[str, Any] = {
    "relative poverty": (lambda: fit("poverty[0.6*median]"), OptionError, "give it as a number"),
    "unknown": (lambda: fit("ginni"), OptionError, "not known"),
    "a list": (lambda: fit(["gini"]), OptionError, "give one name"),  # type: ignore[arg-type]
    "no influence": (lambda: fit("pdf[2]"), OptionError, "no standard error"),
    "bandwidth": (lambda: fit("median", bandwidth=0.0), OptionError, "positive number"),
    "believes a model": (lambda: fit("median", cov="nonrobust"), OptionError, "no law of its own"),
    "negative": (lambda: fit("gini", TABLE.assign(y=-TABLE["y"])), OutcomeError, "at least zero"),
    "one value": (lambda: fit("mean", TABLE.assign(y=2.0)), OutcomeError, "no variation"),
    "a logarithm": (lambda: fit("gini", formula="log(y + 9) ~ x"), OptionError, "own units"),
    "as many columns as rows": (lambda: fit("gini", TABLE.iloc[:2]), DataError, "2 rows for 2 columns"),
    "nobody poor": (lambda: fit("poverty[0.001]"), OutcomeError, "no row is on one of its sides"),
    "collinear": (lambda: fit("gini", TABLE.assign(z=2 * X), formula="y ~ x + z"), CollinearityError, "z"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        call()


def test_clusters_are_told_once() -> None:
    with pytest.warns(FewClustersWarning, match="20 clusters") as told:
        res = fit("gini", cov=de.Cluster("c"))
    assert len(told) == 1
    assert res.estimates.df == 19


# ---- decompositions ----------------------------------------------------------------------------------------

GROUPED = TABLE.assign(
    g=np.where(RNG.random(N) < 0.5, "b", "a"), s=np.where(RNG.random(N) < 0.4, "south", "north")
)


def decompose(functional: str, formula: str = "y ~ x + s", table: Any = GROUPED, **options: Any) -> Any:
    weights = {k: options.pop(k) for k in ("weights", "weight_type") if k in options}
    model = de.RIFRegression(formula, functional=functional, bandwidth=0.4, **weights)
    return de.rif_decompose(model, table, by="g", **options)


@pytest.mark.parametrize("reference", ["a", "b"])
def test_of_the_mean_it_is_that_of_oaxaca_and_blinder(reference: str) -> None:
    from statsmodels.stats.oaxaca import OaxacaBlinder

    X = np.column_stack([np.ones(N), GROUPED["x"], GROUPED["s"] == "south", GROUPED["g"] != reference])
    theirs = OaxacaBlinder(GROUPED["y"].to_numpy(), X.astype(float), 3, swap=False)
    found = decompose("mean", reference=reference)
    # statsmodels' first group is that of indicator zero, and its gap is that group's less the other's
    structure, composition, total = theirs.two_fold(two_fold_type="self_submitted", submitted_weight=1).params
    expected = [-total, -composition, -structure]
    np.testing.assert_allclose(found.params.iloc[:3], expected, rtol=1e-10, atol=1e-12)
    detail = found.params
    assert detail[["composition: x", "composition: s"]].sum() == pytest.approx(
        detail["composition"], rel=1e-10
    )
    assert np.isnan(detail[["structure: s", "structure: Intercept"]]).all()
    assert "withheld for factors" in str(found.summary())


def test_normalised_parts_do_not_depend_on_the_category_left_out() -> None:
    """They are the departures from the categories' mean, written out; sums and the composition stay."""
    three = np.array(["n", "s", "w"])[np.random.default_rng(3).integers(0, 3, N)]
    tables = [GROUPED.assign(k=pd.Categorical(three, categories=list(order))) for order in ("nsw", "wns")]
    one, other = (decompose("gini", "y ~ x + k + s", t, normalised=True) for t in tables)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-8)
    plain = decompose("gini", "y ~ x + k + s", tables[0])
    same = ~plain.params.isna()
    assert (~same).sum() == 3
    np.testing.assert_array_equal(one.params[same], plain.params[same])
    np.testing.assert_allclose(one.bse[same], plain.bse[same], rtol=1e-12)
    detail = one.params[[n for n in one.params.index if n.startswith("structure:")]]
    assert detail.sum() == pytest.approx(one.params["structure"], rel=1e-9)
    model = de.RIFRegression("y ~ x + k + s", functional="gini", bandwidth=0.4)
    fits = [model.fit(tables[0][GROUPED["g"] == g]).params for g in "ba"]
    moved = (fits[0] - fits[1])[["k[T.s]", "k[T.w]"]].to_numpy()
    shares = pd.Series(three[GROUPED["g"] == "b"]).value_counts(normalize=True)[["n", "s", "w"]]
    by_hand = shares.to_numpy() @ (np.r_[0.0, moved] - moved.sum() / 3)
    assert detail["structure: k"] == pytest.approx(by_hand, rel=1e-9)
    assert "Yun 2005" in str(one.summary())
    crossed = decompose("mean", "y ~ x * s", normalised=True)
    assert crossed.params[["structure: x", "structure: s", "structure: Intercept"]].isna().all()


def test_a_reweighted_decomposition_is_that_of_dinardo_fortin_and_lemieux() -> None:
    """Of the mean: weighted regressions pass through means, and the logit's odds are the weights."""
    found = decompose("mean", reweighted=True).params
    logit = de.Logit("I(g == 'b') ~ x + s").fit(GROUPED)
    p, y, a = logit.predict(GROUPED).to_numpy(), GROUPED["y"].to_numpy(), (GROUPED["g"] == "a").to_numpy()
    between = np.average(y[a], weights=(p / (1 - p))[a])
    moved, kept = found["composition"] + found["specification error"], y[a].mean()
    assert moved == pytest.approx(between - kept, rel=1e-7)
    rest = found["structure"] + found["reweighting error"]
    assert rest == pytest.approx(y[~a].mean() - between, rel=1e-7)
    assert found["total"] == pytest.approx(moved + rest, rel=1e-10)
    for part in ("composition", "structure"):
        detail = decompose("mean", "y ~ x", reweighted=True).params
        assert detail[[n for n in detail.index if n.startswith(f"{part}:")]].sum() == pytest.approx(
            detail[part]
        )
    picture = decompose("mean", reweighted=True)
    assert "Reweighted: " in str(picture.summary())
    axes = picture.plot()
    pd.testing.assert_series_equal(axes.data["estimate"], picture.params, check_names=False)
    plt.close(axes.figure)
    with pytest.warns(SmallSampleWarning, match=r"rows tell as much as [0-9] of equal weight.*withheld"):
        few = decompose("mean", table=GROUPED.assign(x=GROUPED["x"] + 2.5 * a), reweighted=True)
    assert few.params[["composition", "structure"]].notna().all()
    assert few.bse.index[few.bse.notna()].tolist() == ["total"]
    with pytest.warns(SmallSampleWarning, match=r"as much as [3-9][0-9] of.*cover .80 to .93"):
        some = decompose("mean", table=GROUPED.assign(x=GROUPED["x"] + 1.1 * a), reweighted=True)
    assert some.bse[["total", "composition", "structure"]].notna().all()
    plain, levered = (decompose("mean", cov=cov, reweighted=True).bse.iloc[2:5] for cov in ("HC0", "HC1"))
    assert (levered > plain).all()
    with pytest.raises(DataError, match="tells the groups apart"):
        decompose("mean", table=GROUPED.assign(x=GROUPED["x"] + 9.0 * a), reweighted=True)


@pytest.mark.filterwarnings("ignore:g = a, reweighted")  # 16 rows, of which errors are withheld elsewhere
@pytest.mark.parametrize("reweighted", [False, True])
def test_errors_of_parts_are_those_of_moved_weights(reweighted: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(rif_decomposition, "FEW", 0)
    w: dict[str, Any] = {"weights": "w", "weight_type": "sampling", "cov": "HC0", "reweighted": reweighted}
    few = GROUPED.iloc[: 16 if reweighted else 30]
    found = decompose("gini", "y ~ x", few, **w)
    p, h, psi = (few["w"] / few["w"].sum()).to_numpy(), 1e-5, []
    for i in range(len(few)):
        at = np.arange(len(few)) == i
        up, down = (
            decompose("gini", "y ~ x", few.assign(w=(1 - s) * p + s * at), **w).params for s in (h, -h)
        )
        psi.append((up - down).to_numpy() / (2 * h))
    np.testing.assert_allclose(found.bse, np.sqrt(np.square(p[:, None] * psi).sum(axis=0)), rtol=1e-4)
    parts = found.params
    assert parts["structure: x"] + parts["structure: Intercept"] == pytest.approx(parts["structure"])


def test_decompositions_that_are_refused() -> None:
    with pytest.raises(DataError, match="a difference is of two"):
        de.rif_decompose(de.RIFRegression("y ~ x"), GROUPED, by="c")
    with pytest.raises(OptionError, match="is a RIFRegression"):
        de.rif_decompose(de.NormalRegression("y ~ x"), GROUPED, by="g")
    crossed = decompose("mean", "y ~ x * s").params
    assert crossed[["structure: x", "structure: x:s"]].isna().all()
    with pytest.raises(OptionError, match="reference"):
        decompose("mean", reference="z")
    with pytest.raises(OptionError, match="HC0"):
        decompose("mean", cov="HC3")
    with pytest.raises(OutcomeError, match="in g = b"):
        decompose(
            "gini", table=GROUPED.assign(y=GROUPED["y"].where(GROUPED["g"] == "a", -1.0 - GROUPED["y"]))
        )
    with pytest.warns(DiscreteOutcomeWarning, match="y in g = "):
        decompose("median", table=GROUPED.assign(y=np.round(GROUPED["y"])))
