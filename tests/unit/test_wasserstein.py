"""`WassersteinDistance`: permutation p-values, errors and their domain, groups, weights, clusters, files,
bad input.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

import disteconometrics as de
from disteconometrics.errors import (
    DataError,
    FormulaError,
    MissingColumnError,
    NeedsData,
    OptionError,
    OutcomeError,
)
from disteconometrics.inference import two_samples as two
from disteconometrics.transport import one_dim

MODEL = de.WassersteinDistance("y ~ g")


def model(permutations: int) -> de.WassersteinDistance:
    return replace(MODEL, permutations=permutations)


def table(n: int = 120, shift: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    g = np.arange(n) % 2
    return {
        "y": rng.normal(size=n) * (1 + 0.5 * g) + shift * g,
        "z": rng.normal(size=n),
        "g": g,
        "firm": np.arange(n) // 2 * 2 + g,
    }


def test_estimates_are_those_of_the_engine_and_a_seed_repeats() -> None:
    d = table()
    x, y = d["y"][d["g"] == 1], d["y"][d["g"] == 0]
    res = MODEL.fit(d, seed=3)
    assert res.pairs[0].groups == ("1", "0")
    assert res.params["W2"] == one_dim.wasserstein(x, y, 2).distance
    assert res.params[["location share", "scale share", "shape share"]].sum() == pytest.approx(1, abs=1e-12)
    assert res.params["location share"] * res.params["W2_squared"] == pytest.approx(
        (x.mean() - y.mean()) ** 2, rel=1e-12
    )
    again = MODEL.fit(pd.DataFrame(d), seed=3)
    assert again.table().equals(res.table())
    assert (again.conf_int().to_numpy() == res.conf_int().to_numpy()).all()
    assert res.pairs[0].mean_difference[3] == pytest.approx(
        stats.ttest_ind(x, y, equal_var=False).pvalue, rel=1e-10
    )


def test_the_permutation_test_is_the_exact_one_when_all_are_drawn() -> None:
    """Four against four: 70 ways to choose a group, so the p-value is near k/70."""
    y = np.array([0.1, 0.4, 0.9, 1.3, 1.1, 1.6, 2.4, 2.0])
    first = np.array([list(map(int, f"{i:08b}")) for i in range(256)], dtype=bool)
    ways = first[first.sum(axis=1) == 4]
    for p in (1.0, 2.0):
        costs = np.array([one_dim.wasserstein(y[w], y[~w], p).distance for w in ways])
        exact = np.mean(costs >= one_dim.wasserstein(y[4:], y[:4], p).distance * (1 - 1e-12))
        res = de.WassersteinDistance("y ~ g", p=p, permutations=20_000).fit(
            {"y": y, "g": np.repeat([0, 1], 4)}, seed=1
        )
        assert res.pvalue == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_statistics_of_the_permutation_test() -> None:
    rng = np.random.default_rng(2)
    x, y = np.round(rng.normal(size=37), 1), np.round(rng.normal(size=50) + 0.3, 1)  # with ties
    found = two.permute(two.GroupSample(x[:, None]), two.GroupSample(y[:, None]), 1, 9, rng).statistics
    assert found["W"] == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
    assert found["energy"] == pytest.approx(stats.energy_distance(x, y) ** 2, rel=1e-12)
    assert found["KS"] == pytest.approx(stats.ks_2samp(x, y).statistic, rel=1e-12)


def test_errors_are_withheld_outside_their_domain() -> None:
    rng = np.random.default_rng(5)
    n = 400
    base, g = rng.normal(size=(2, n)), np.repeat([0, 1], n)
    equal = {"y": base.ravel(), "g": g}
    gap = {
        "y": np.concatenate([base[0] + 12 * rng.integers(0, 2, n), base[1] + 12 * rng.integers(0, 2, n) + 3]),
        "g": g,
    }
    for data, p, says in (
        (equal, 2, "compatible with equal laws"),
        (gap, 2, "gap"),
    ):
        res = de.WassersteinDistance("y ~ g", p=p, permutations=199).fit(data, seed=1)
        assert says in res.pairs[0].withheld[0]
        assert res.bse.isna().all()
        assert res.conf_int().isna().to_numpy().all()
        assert "withheld" in str(res.summary())
    four = {f"y{j}": rng.normal(size=60) + np.repeat([0, 2], 30) for j in range(4)} | {
        "g": np.repeat([0, 1], 30)
    }
    res = de.WassersteinDistance("y0 + y1 + y2 + y3 ~ g", permutations=99).fit(four, seed=1)
    assert res.bse.isna().all()
    assert res.pvalue == 0.01


def test_frequency_weights_are_rows_and_sampling_weights_have_no_test() -> None:
    d = table(60)
    w = np.arange(60) % 3
    weighted = de.WassersteinDistance("y ~ g", weights="w", weight_type="frequency", permutations=99).fit(
        {**d, "w": w}, seed=1
    )
    rows = model(99).fit({k: np.repeat(v, w) for k, v in d.items()}, seed=1)
    pd.testing.assert_frame_equal(weighted.table(), rows.table())
    sampling = de.WassersteinDistance("y ~ g", weights="w", weight_type="sampling")
    res = sampling.fit({**d, "w": w}, seed=1)
    assert np.isnan(res.pvalue)
    assert res.params["W2"] == pytest.approx(rows.params["W2"], rel=1e-12)
    assert sampling.fit({**d, "w": 7.3 * w}, seed=1).conf_int().to_numpy() == pytest.approx(
        res.conf_int().to_numpy(), rel=1e-9
    )
    with pytest.raises(OptionError, match="sampling weights"):
        replace(sampling, permutations=99).fit({**d, "w": w})


def test_clusters_of_one_row_are_rows() -> None:
    d = {**table(), "one": np.arange(120)}
    rows, single = model(0).fit(d), model(0).fit(d, cluster="one")
    np.testing.assert_allclose(single.bse, rows.bse, rtol=1e-12)
    doubled = {k: np.repeat(v, 2) for k, v in d.items()}
    paired = model(99).fit(doubled, cluster="one", seed=1)
    np.testing.assert_allclose(paired.bse[:2], rows.bse[:2], rtol=1e-12)  # twins add nothing


def test_several_groups_and_joint_outcomes() -> None:
    rng = np.random.default_rng(7)
    d = pd.DataFrame(
        {"y": rng.normal(size=150), "z": rng.normal(size=150), "g": np.repeat(["a", "b", "c"], 50)}
    )
    d.loc[d.g == "c", "y"] += 2
    res = de.WassersteinDistance("y ~ g", p=1, permutations=199).fit(d, seed=2)
    t = res.table()
    assert t.index.tolist() == ["b - a", "c - a", "c - b"]
    assert t.p_adjusted.tolist() == sorted(t.p_adjusted, reverse=True)
    assert (t.p_adjusted >= t.p_permutation).all()
    assert res.params.index[0] == "W1[b - a]"
    joint = de.WassersteinDistance("y + z ~ g", scale="std", permutations=99).fit(d[d.g != "b"], seed=2)
    z = d[d.g != "b"]
    unit = z[["y", "z"]] / z[["y", "z"]].std()
    direct = de.WassersteinDistance("y + z ~ g", permutations=0).fit(unit.assign(g=z.g))
    assert joint.params["W2"] == pytest.approx(direct.params["W2"], rel=1e-10)
    missing = d.assign(z=d.z.where(d.index % 10 > 0))
    assert de.WassersteinDistance("y + z ~ g", permutations=0).fit(missing).nobs == 135


def test_files_tables_and_pictures() -> None:
    res = model(99).fit(table(), seed=1)
    file = io.BytesIO()
    res.save(file)
    file.seek(0)
    loaded = de.load(file)
    assert str(loaded.summary()) == str(res.summary())
    assert loaded.table().equals(res.table())
    with pytest.raises(NeedsData):
        loaded.plot()
    attached = loaded.attach(table())
    assert attached.pvalue == res.pvalue
    plt.close(attached.plot().figure)
    with pytest.raises(DataError, match="does not hold the rows"):
        loaded.attach(table(seed=1))
    for form in (str(res.summary()), res.summary().as_html(), res.summary().as_latex()):
        assert all(word in form for word in ("W2", "location share", "Kolmogorov-Smirnov"))
    for kind in ("cdf", "qq"):
        plt.close(res.plot(kind).figure)


@pytest.mark.parametrize(
    ("f", "g", "kl"),
    [
        (stats.norm(0, 1), stats.norm(1, 2), np.log(2) + (1 + 1) / (2 * 4) - 0.5),
        (stats.cauchy(0, 1), stats.cauchy(1, 1), np.log(5 / 4)),
        (stats.pareto(1.2), stats.pareto(2), np.log(0.6) + 2 / 1.2 - 1),
        (stats.uniform(0, 1), stats.uniform(0, 2), np.log(2)),
        (stats.uniform(0, 2), stats.uniform(0, 1), np.inf),
    ],
)
def test_kl_is_what_its_picture_says_and_tails_leave_room(f: Any, g: Any, kl: float) -> None:
    upper, lower = de.plots.kl_integrand(f, g)
    assert np.trapezoid(lower.data.integrand, lower.data.y) == pytest.approx(kl, abs=1e-4)
    low, high = upper.get_xlim()
    assert high - low < 12 * (f.ppf(0.95) - f.ppf(0.05))
    plt.close(upper.figure)
    _, lower = de.plots.kl_integrand(stats.t(2), stats.norm(0, 1))
    assert "or infinite" in lower.get_title("left")
    plt.close(lower.figure)


def test_equal_samples_in_villages_withhold_errors_and_say_why() -> None:
    rows = {"y": np.repeat(np.arange(30.0), 2), "g": np.tile([0, 1], 30), "v": np.arange(60) // 6}
    res = de.WassersteinDistance("y ~ g", permutations=19).fit(rows, cluster="v", seed=1)
    assert res.bse.isna().all()
    assert res.params["W2"] == 0
    text = " ".join(str(res.summary()).split())
    assert "the samples are identical, and at distance zero the law of the estimate is not normal" in text
    assert "nan)" not in text


@pytest.mark.parametrize(
    ("formula", "change", "error", "says"),
    [
        ("y ~ g + z", {}, FormulaError, "one column of groups"),
        ("y ~ 1", {}, FormulaError, "one column of groups"),
        ("y", {}, FormulaError, "y ~ group"),
        ("y ~ nope", {}, MissingColumnError, "nope"),
        ("y ~ g", {"g": np.zeros(120)}, DataError, "single value"),
        ("y ~ g", {"g": np.arange(120)}, DataError, "120 values"),
        ("y ~ g", {"g": np.r_[1, np.zeros(119)]}, DataError, "g = 1 has 1 row"),
        ("y ~ g", {"y": np.array(["a", "b"] * 60)}, OutcomeError, "text"),
        ("y ~ g", {"y": np.r_[np.inf, np.zeros(119)]}, DataError, "inf"),
    ],
)
def test_bad_input(formula, change, error, says) -> None:
    with pytest.raises(error, match=says):
        de.WassersteinDistance(formula, permutations=0).fit({**table(), **change})


def test_distances_are_not_tested_against_zero_by_the_normal_law() -> None:
    res = model(99).fit(table(), seed=1)
    assert res.test("location share = 0.5").df == (1,)
    for wrong in ("W2 = 0", ["location share = 0", "W2_squared = 1"], [[1, 0, 0, 0, 0]]):
        with pytest.raises(OptionError):
            res.test(wrong)
    assert "W2" in str(de.compare([res, res]))
    for scale in (1e160, 1e-160):
        with pytest.raises(DataError, match="rescale"):
            model(0).fit({**table(), "y": scale * table()["y"]})


def test_bad_choices() -> None:
    for wrong in ({"p": 0.5}, {"p": "2"}, {"scale": "sd"}, {"weights": "w"}):
        with pytest.raises(OptionError):
            de.WassersteinDistance("y ~ g", **wrong)
    with pytest.raises(OptionError, match="permutations"):
        model(-1)
    assert not hasattr(MODEL, "offset")
    with pytest.raises(OptionError, match="single outcome"):
        de.WassersteinDistance("y + z ~ g", p=np.inf, permutations=0).fit(table())


def test_lost_rows_are_told() -> None:
    d = table()
    y = np.where(np.arange(120) < 7, np.nan, d["y"])
    text = str(model(0).fit({**d, "y": y}).summary())
    assert "113 (7 dropped)" in text
    assert "7 rows dropped: NaN in y (7)." in text
    weighted = de.WassersteinDistance("y ~ g", weights="w", weight_type="sampling")
    text = str(weighted.fit({**d, "w": np.arange(120) % 4}, seed=1).summary())
    assert "30 rows dropped: weight zero (30)." in text


@pytest.mark.parametrize("cluster", [None, "village"])
def test_results_are_checked_in_samples_of_their_rows(cluster: str | None) -> None:
    """The sample is the population: a distance between laws far apart has little bias,
    right errors and nearly right limits.
    """
    rng = np.random.default_rng(2)
    shock = rng.normal(size=60) if cluster else np.zeros(60)
    village = np.repeat(np.arange(60), 5)
    y = shock[village] + rng.normal(size=300) + 3 * (village >= 30)
    rows = {"y": y, "g": np.where(village >= 30, "b", "a"), "village": village}
    res = de.WassersteinDistance("y ~ g", p=1, permutations=0).fit(rows, cluster=cluster)
    found = res.monte_carlo(300, seed=1, progress=False)
    assert found.design == ("cluster" if cluster else "pairs")
    row = found.table().loc["W1"]
    assert row["truth"] == pytest.approx(res.params["W1"], rel=1e-12)
    # 9 seeds, rows and villages: .10 ± .06, .07 ± .04; .98 ± .04, .99 ± .05; .935 ± .013, .946 ± .014
    assert abs(row["bias"]) < 0.4 * row["empirical_se"]
    assert abs(row["se_ratio"] - 1) < 5 / np.sqrt(2 * 300)  # errors of a spread over 300 samples
    assert abs(row["coverage"] - 0.95) < 5 * np.sqrt(0.95 * 0.05 / 300)
    assert found.verdict.startswith("If the sample's")
    if cluster is None:
        effects = de.TransportMap("y ~ g").fit(rows).monte_carlo(40, seed=1, progress=False).table()
        assert (effects["coverage"] >= 0.8).all()  # the least, 10 seeds: .915 ± .024
        assert effects["coverage"].mean() >= 0.9  # .965 ± .008
    for other in ({"design": "fitted"}, {"law": de.Normal(0, 1)}):
        with pytest.raises(OptionError, match="leave design= and law= out"):
            res.monte_carlo(10, **other)
    out = io.BytesIO()
    res.save(out)
    loaded = de.load(io.BytesIO(out.getvalue()))
    with pytest.raises(de.errors.NeedsData, match="rows"):
        loaded.monte_carlo(10)
    again = loaded.attach(rows).monte_carlo(10, seed=1, progress=False)
    assert again.table()["bias"].equals(res.monte_carlo(10, seed=1, progress=False).table()["bias"])
