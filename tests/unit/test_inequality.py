"""Inequality by group: its errors against `sample_functionals`, loops and moved weights; what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import disteconometrics as de
from disteconometrics.errors import (
    DataError,
    DiscreteOutcomeWarning,
    FormulaError,
    HeavyTailWarning,
    MissingColumnError,
    OptionError,
    OutcomeError,
    SmallSampleWarning,
)

RNG = np.random.default_rng(21)
N = 240
TABLE = pd.DataFrame(
    {
        "y": RNG.lognormal(1, 0.5, N),
        "g": np.where(RNG.random(N) < 0.4, "yes", "no"),
        "c": RNG.integers(0, 45, N),
        "w": RNG.integers(1, 4, N).astype(float),
    }
)
NAMES = ["mean", "gini", "theil", "atkinson[1]", "q[0.9]", "p90p10", "top_share[0.1]", "poverty[0.6*median]"]


def fit(
    formula: str = "y ~ 1", table: Any = TABLE, names: Any = NAMES, cov: Any = None, **options: Any
) -> Any:
    return de.Inequality(formula, functionals=names, **options).fit(table, cov=cov)


@pytest.mark.parametrize("kind", [None, "frequency", "sampling"])
def test_one_call_gives_the_same(kind: Any) -> None:
    w = {} if kind is None else {"weights": "w", "weight_type": kind}
    values = {} if kind is None else {"weights": TABLE["w"], "weight_type": kind}
    ours, theirs = fit(cov="HC0", **w), de.sample_functionals(TABLE["y"], NAMES, **values)
    np.testing.assert_allclose(ours.estimates.values, theirs.values, rtol=1e-13)
    np.testing.assert_allclose(ours.cov_params(), theirs.covariance, rtol=1e-10, atol=1e-16)


def test_factors_of_finite_samples() -> None:
    """HC1 is n/(n − 1) in each group, a cluster for every row, and rows written out."""
    plain, one = fit(cov="HC0").cov_params(), fit().cov_params()
    np.testing.assert_allclose(one, plain * N / (N - 1), rtol=1e-12)
    alone = fit(table=TABLE.assign(row=np.arange(N)), cov=de.Cluster("row")).cov_params()
    np.testing.assert_allclose(alone, one, rtol=1e-10)
    counted = fit("y ~ g", weights="w", weight_type="frequency")
    long = fit("y ~ g", TABLE.loc[np.repeat(TABLE.index, TABLE["w"].astype(int))].reset_index(drop=True))
    np.testing.assert_allclose(counted.tidy().iloc[:, 1:], long.tidy().iloc[:, 1:], rtol=1e-9)


def test_groups_are_fits_of_their_own() -> None:
    both = fit("y ~ g")
    for word in ("no", "yes"):
        alone = fit(table=TABLE[TABLE["g"] == word])
        mine = [f"{name} | g = {word}" for name in NAMES]
        np.testing.assert_allclose(both.params[mine], alone.params, rtol=1e-13)
        np.testing.assert_allclose(both.bse[mine], alone.bse, rtol=1e-12)
    difference, se = both.differences, both.bse
    expected = np.hypot(
        se[[f"{n} | g = no" for n in NAMES]], se[[f"{n} | g = yes" for n in NAMES]].to_numpy()
    )
    np.testing.assert_allclose(difference.std_error, expected, rtol=1e-12)
    name = "gini | g = yes"
    assert both.test(f"{name} = gini | g = no").p_value == pytest.approx(difference.p_value[1], rel=1e-9)
    two = fit("y ~ g + C(k)", TABLE.assign(k=np.arange(N) % 2), ["mean"])
    assert two.params.index[0] == "mean | g = no, k = 0"
    assert len(two.params) == 4


def test_clusters_by_hand() -> None:
    """Sums of influence in clusters that lie across groups, and the jackknife of a mean."""
    both = fit("y ~ g", names=["gini", "mean"], cov=de.Cluster("c"))
    z = []
    for word in ("no", "yes"):
        inside = TABLE["g"] == word
        psi = both.rows.measured.influence[:, 0] * inside / inside.sum()
        z.append(psi.groupby(TABLE["c"]).sum())
    G = len(z[0])
    V = G / (G - 1) * np.array([[a @ b for a in z] for b in z])
    np.testing.assert_allclose(both.cov_params().iloc[:2, :2], V, rtol=1e-12)
    jackknife = fit(names=["mean"], cov=de.Cluster("c", correction="jackknife")).bse["mean"]
    linear = de.NormalRegression("y ~ 1").fit(TABLE, cov=de.Cluster("c", correction="jackknife"))
    assert jackknife == pytest.approx(linear.bse.iloc[0], rel=1e-10)


@pytest.mark.parametrize("name", ["theil", "mld", "ge[2]", "ge[-1]"])
def test_within_and_between(name: str) -> None:
    """Parts are the weighted sum of the groups' own measures, and errors are those of moved weights."""
    w = {"weights": "w", "weight_type": "sampling"}
    res = fit("y ~ g", names=[name], cov="HC0", **w)
    found = res.within_between(name)
    power = {"theil": 1.0, "mld": 0.0, "ge[2]": 2.0, "ge[-1]": -1.0}[name]
    y, weights = TABLE["y"], TABLE["w"]
    share = weights.groupby(TABLE["g"]).sum() / weights.sum()
    means = (y * weights).groupby(TABLE["g"]).sum() / weights.groupby(TABLE["g"]).sum()
    mean = float(y @ weights / weights.sum())
    within = float((share * (means / mean) ** power * res.params.to_numpy()).sum())
    assert found.values[1] == pytest.approx(within, rel=1e-10)
    assert found.values[1] + found.values[2] == pytest.approx(found.values[0], rel=1e-12)
    h, psi = 1e-6, []
    for i in range(0, N, 40):
        moved = []
        for step in (h, -h):
            p = (1 - step) * weights / weights.sum() + step * (np.arange(N) == i)
            moved.append(fit("y ~ g", TABLE.assign(w=p), [name], "HC0", **w).within_between(name).values)
        psi.append((moved[0] - moved[1]) / (2 * h))
    p = (weights / weights.sum()).to_numpy()
    every = _influence_of_parts(res, name)
    np.testing.assert_allclose(psi, every[::40], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.std_error**2, (np.square(p[:, None] * every)).sum(axis=0), rtol=1e-10)


def _influence_of_parts(res: Any, name: str) -> Any:
    """The influence functions (n, 4) that the errors of the parts are of."""
    seen = {}
    rows = res.rows
    with pytest.MonkeyPatch.context() as patch:
        of = type(rows).covariance_of

        def covariance_of(self: Any, values: Any, psi: Any, kind: Any, group: Any) -> Any:
            seen["psi"] = psi
            return of(self, values, psi, kind, group)

        patch.setattr(type(rows), "covariance_of", covariance_of)
        res.within_between(name)
    return seen["psi"]


def test_lorenz_curves() -> None:
    res = fit("y ~ g", names=["lorenz[0.3]"], cov=de.Cluster("c"))
    curve = res.lorenz([0.1, 0.3, 0.8])
    at = curve[curve["p"] == 0.3]
    np.testing.assert_allclose(at["estimate"], res.params, rtol=1e-12)
    np.testing.assert_allclose(at["std_error"], res.bse, rtol=1e-12)
    np.testing.assert_allclose(at[["conf_low", "conf_high"]], res.conf_int(), rtol=1e-12)
    assert (curve["band_high"] > curve["conf_high"]).all()
    assert (curve["band_low"] < curve["conf_low"]).all()
    for wrong in ([0.5, 0.2], [0.0, 0.5], [1.0], [], [[0.5]]):
        with pytest.raises(OptionError, match="increase"):
            res.lorenz(wrong)


def test_what_is_told() -> None:
    heavy = pd.DataFrame({"y": 1 / (1 - RNG.random(600)) ** (1 / 1.5)})
    with pytest.warns(HeavyTailWarning, match="index 1") as told:
        res = fit(table=heavy, names=["gini", "mld"])
    assert "errors of gini tend" in str(res.summary()).replace("\n  ", " ")
    assert told[0].message.column == "y"
    with pytest.warns(DiscreteOutcomeWarning, match=r"heaped.*q\[0.5\]"):
        heaped = fit(
            table=TABLE.assign(y=np.r_[np.full(150, 5.0), np.linspace(1, 9, 90)]), names=["q[0.5]", "gini"]
        )
    assert np.isnan(heaped.bse["q[0.5]"])
    assert heaped.bse["gini"] > 0
    with pytest.warns(SmallSampleWarning, match="g = yes: 12 rows"):
        fit("y ~ g", TABLE.assign(g=np.where(np.arange(N) < 12, "yes", "no")), ["gini"])


def altered(**columns: Any) -> pd.DataFrame:
    return TABLE.assign(**columns)


def at_row(value: float) -> pd.DataFrame:
    return altered(y=TABLE["y"].where(np.arange(N) != 7, value))


REFUSED: dict[str, Any] = {
    "zero": (
        lambda: fit(table=at_row(0.0), names=["gini", "mld"]),
        OutcomeError,
        "'mld' needs .* above.*rows 7",
    ),
    "zero, Atkinson": (lambda: fit(table=at_row(0.0), names=["atkinson[1]"]), OutcomeError, "above zero"),
    "zero, entropy": (lambda: fit(table=at_row(0.0), names=["ge[-1]"]), OutcomeError, "above zero"),
    "negative": (
        lambda: fit(table=at_row(-1.0), names=["gini"]),
        OutcomeError,
        "of at least zero, and 1 of 'y'",
    ),
    "negative, group": (lambda: fit("y ~ g", at_row(-1.0), ["theil"]), OutcomeError, "in g = "),
    "all zero but a few": (
        lambda: fit(table=altered(y=np.where(np.arange(N) < 60, 1.0 + np.arange(N), 0.0)), names=["p90p10"]),
        OutcomeError,
        "not positive",
    ),
    "one value": (lambda: fit(table=altered(y=3.0)), OutcomeError, "no variation"),
    "one value in a group": (
        lambda: fit("y ~ g", altered(y=TABLE["y"].where(TABLE["g"] == "no", 2.0))),
        OutcomeError,
        "in g = yes",
    ),
    "group of one row": (
        lambda: fit("y ~ g", altered(g=np.where(np.arange(N) == 0, "alone", "others"))),
        DataError,
        "g = alone has 1 row",
    ),
    "too many groups": (lambda: fit("y ~ c"), DataError, "groups"),
    "no weights": (lambda: fit(weights="v", weight_type="sampling"), MissingColumnError, "'v'"),
    "negative weights": (
        lambda: fit(table=altered(w=-1.0), weights="w", weight_type="sampling"),
        DataError,
        "w",
    ),
    "weights without a type": (lambda: fit(weights="w"), OptionError, "weight_type"),
    "interaction": (lambda: fit("y ~ g:c"), FormulaError, "columns of groups"),
    "a function on the right": (lambda: fit("y ~ log(w)"), FormulaError, "columns of groups"),
    "a logarithm": (lambda: fit("log(y + 9) ~ 1", names=["gini"]), OptionError, "own units"),
    "text": (lambda: fit("g ~ 1"), OutcomeError, "numbers"),
    "unknown": (lambda: fit(names=["ginni"]), OptionError, "not known"),
    "code": (lambda: fit(names=["poverty[__import__('os')]"]), OptionError, "not known"),
    "no influence": (lambda: fit(names=["pdf[2]"]), OptionError, "no standard error"),
    "twice": (lambda: fit(names=["gini", "gini"]), OptionError, "each once"),
    "a function": (lambda: fit(names=[np.median]), OptionError, "give its name, 'median'"),
    "none": (lambda: fit(names=[]), OptionError, "give names"),
    "believes a model": (lambda: fit(cov="nonrobust"), OptionError, "influence functions"),
    "no differences": (lambda: fit().differences, OptionError, "one group"),
    "nothing between": (lambda: fit().within_between(), OptionError, "nothing lies between"),
    "Gini's parts": (lambda: fit("y ~ g").within_between("gini"), OptionError, "overlap"),
    "jackknife without a group": (
        lambda: fit("y ~ g", altered(c=TABLE["g"]), cov=de.Cluster("c", correction="jackknife")),
        DataError,
        "in one cluster",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        call()


def test_zeros_and_missing_values_where_they_have_a_meaning() -> None:
    table = TABLE.assign(y=TABLE["y"].where(np.arange(N) > 2, 0.0).where(np.arange(N) != 9))
    before = table.copy()
    res = fit("y ~ g", table, ["gini", "theil", "lorenz[0.5]", "poverty[2]", "atkinson[0.5]", "ge[2]"])
    assert np.isfinite(res.bse).all()
    assert "NaN in y (1)" in str(res.summary())
    pd.testing.assert_frame_equal(table, before)


def test_it_goes_through_the_common_rooms() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        boot = de.bootstrap(de.Inequality("y ~ g", functionals=["gini"]), TABLE, reps=40, seed=1)
        res = fit("y ~ g", names=["gini"])
    # of 40 draws, four errors of 11 %
    assert boot.bse.to_numpy() == pytest.approx(res.bse.to_numpy(), rel=0.45)
    assert "gini | g = no" in str(
        de.compare({"a": res, "b": fit("y ~ g", names=["gini"], cov=de.Cluster("c"))})
    )


def test_an_estimated_poverty_line_is_each_groups_own_and_printed() -> None:
    table = pd.DataFrame(
        {"y": np.r_[np.arange(1.0, 42), 10 * np.arange(1.0, 42)], "g": np.repeat([0, 1], 41)}
    )
    res = fit("y ~ g", table, ["poverty[0.6*median]", "poverty[0.5*mean]", "poverty[30]"])
    text = " ".join(str(res.summary()).split())
    assert (
        "line 0.6*median, each group's own: 12.6000 in g = 0; 126.0000 in g = 1. Errors of poverty incl"
        in text
    )
    np.testing.assert_allclose(res.values[:2], 12 / 41)
    assert "line 0.5*mean" in text
    assert len(res.facts.notes) == 2


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        (["mean", "gini", "p90p10", "lorenz[0.5]"], ["gini", "lorenz[0.5]"]),
        (["q[0.9]", "ratio[0.8,0.2]"], ["ratio[0.8,0.2]"]),
        (["mean", "q[0.9]"], ["mean", "q[0.9]"]),
    ],
)
def test_a_picture_has_one_scale(names: list[str], drawn: list[str]) -> None:
    res = de.Inequality("foodexp ~ 1", functionals=names).fit(de.datasets.engel())
    axes = res.plot("coefficients")
    assert list(axes.data.index) == drawn
    assert ("one scale" in axes.get_xlabel()) == (len(drawn) < len(names))
    assert list(res.plot("coefficients", drop=()).data.index) == names
    plt.close("all")
