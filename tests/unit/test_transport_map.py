"""`TransportMap`: quantile effects, their limits and bands, the map, counterfactual outcomes, files,
bad input.
"""

from __future__ import annotations

import io
import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from matplotlib import pyplot as plt
from scipy import stats

import disteconometrics as de
from disteconometrics.errors import DataError, FewClustersWarning, NeedsData, OptionError, WithheldError
from disteconometrics.inference.quantile_bands import Ranks, critical_deviation, left_inverse
from disteconometrics.inference.two_samples import GroupSample, variance_of


def table(n: int = 100, m: int = 150, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([rng.normal(size=n), 1 + 2 * rng.normal(size=m)])
    return {"y": y, "z": rng.normal(size=n + m), "g": np.repeat(["c", "t"], (n, m))}


def test_effects_are_differences_of_left_inverse_quantiles() -> None:
    d = table()
    levels = [0.05, 0.3, 0.5, 0.77]
    found = de.TransportMap("y ~ g").fit(d).qte(levels)
    expected = [
        np.quantile(d["y"][d["g"] == "t"], v, method="inverted_cdf")
        - np.quantile(d["y"][d["g"] == "c"], v, method="inverted_cdf")
        for v in levels
    ]
    assert found["estimate"].to_numpy() == pytest.approx(expected, abs=0)
    assert (found.band_low <= found.conf_low).all()
    assert (found.conf_high <= found.band_high).all()


def test_wider_limits_hold_narrower_ones_where_values_are_heaped() -> None:
    rng = np.random.default_rng(4)
    y = np.round(2 * np.exp(2 + 0.5 * rng.normal(size=500))) / 2
    y = np.where(rng.random(500) < 0.5, np.round(y), y)
    res = de.TransportMap("y ~ g").fit({"y": y + (np.arange(500) % 5 == 0), "g": np.arange(500) % 5 == 0})
    levels = np.round(np.arange(0.05, 0.951, 0.01), 2)
    tables = [res.qte(levels, level=level) for level in (0.8, 0.9, 0.95, 0.99)]
    for q in tables:
        assert (q.band_low <= q.conf_low).all()
        assert (q.conf_high <= q.band_high).all()
    for small, large in itertools.pairwise(tables):
        assert (large.conf_low <= small.conf_low).all()
        assert (small.conf_high <= large.conf_high).all()


def test_limits_of_a_quantile_are_those_of_the_score_test() -> None:
    ordered, level = np.arange(1.0, 201.0), 0.3
    ranks, asked = Ranks(GroupSample(ordered[:, None])), np.array([level])
    low, high = ranks.limits(asked, 1.96 * ranks.error(asked))
    at = (ordered - 1, ordered)  # Fₙ before and at each value, in counts
    inside = [np.abs(k / 200 - level) <= 1.96 * np.sqrt(level * (1 - level) / 200) for k in at]
    kept = ordered[inside[0] | inside[1]]
    assert (low[0], high[0]) == (kept[0], kept[-1])
    assert left_inverse(ordered, np.array([0.07 * 3 / 3]))[0] == 14  # 0.07 · 200 = 14.000000000000002


def test_the_critical_value_is_that_of_the_largest_deviation() -> None:
    rng, n, c = np.random.default_rng(9), 300, critical_deviation(300, 0.05, 0.95, 0.9)
    t = np.linspace(0.05, 0.95, 2001)
    hits = 0
    for _ in range(1000):
        F = np.searchsorted(np.sort(rng.random(n)), t, side="right") / n
        hits += np.max(np.abs(F - t) / np.sqrt(t * (1 - t) / n)) <= c
    assert hits / 1000 == pytest.approx(0.9, abs=3.5 * np.sqrt(0.09 / 1000))


def test_the_map_of_a_shift_and_the_counterfactual() -> None:
    x = np.random.default_rng(1).normal(size=80)
    d = {"y": np.concatenate([x, 3 + 2 * np.sort(x)[::-1]]), "g": np.repeat([0, 1], 80)}
    res = de.TransportMap("y ~ g").fit(d)
    np.testing.assert_allclose(res.counterfactual(), 3 + 2 * x, rtol=1e-12)
    at = np.sort(x)[5:70:7]
    found = res.map(at)
    np.testing.assert_allclose(found.estimate, 3 + 2 * at, rtol=1e-12)
    assert (found.band_low <= found.estimate).all()
    assert (found.estimate <= found.band_high).all()
    assert res.mean_difference["estimate"] == pytest.approx(3 + x.mean(), rel=1e-12)
    joint = de.TransportMap("y + z ~ g").fit({**d, "z": np.concatenate([x**2, x**2])})
    assert joint.counterfactual().shape == (80, 2)
    with pytest.raises(WithheldError):
        joint.qte()
    assert "z" in str(joint.summary())
    file = io.BytesIO()
    joint.save(file)
    d["z"] = np.concatenate([x**2, x**2])
    loaded = de.load(io.BytesIO(file.getvalue()))
    pd.testing.assert_frame_equal(loaded.attach(d).counterfactual(), joint.counterfactual())


def test_weights_files_tables_and_pictures() -> None:
    d = table()
    w = np.arange(250) % 3 + 1
    weighted = de.TransportMap("y ~ g", weights="w", weight_type="frequency").fit({**d, "w": w})
    rows = de.TransportMap("y ~ g").fit({k: np.repeat(v, w) for k, v in d.items()})
    pd.testing.assert_frame_equal(weighted.qte(), rows.qte())
    res, file = de.TransportMap("y ~ g").fit(pd.DataFrame(d)), io.BytesIO()
    res.save(file)
    file.seek(0)
    loaded = de.load(file)
    assert str(loaded.summary()) == str(res.summary())
    np.testing.assert_array_equal(loaded.conf_int(level=0.9), res.conf_int(level=0.9))
    for call in (loaded.counterfactual, loaded.qte, lambda: loaded.conf_int(level=0.8)):
        with pytest.raises(NeedsData):
            call()
    pd.testing.assert_frame_equal(loaded.attach(d).qte([0.25], level=0.8), res.qte([0.25], level=0.8))
    with pytest.raises(DataError, match="does not hold the rows"):
        loaded.attach(table(seed=1))
    for form in (str(res.summary()), res.summary().as_html(), res.summary().as_latex()):
        assert "0.5" in form
        assert "Difference of means" in form
    for kind in ("qte", "map"):
        ax = res.plot(kind)
        assert ax.data.notna().to_numpy().any()
        plt.close(ax.figure)


def test_bad_input() -> None:
    d = table()
    with pytest.raises(DataError, match="3 values"):
        de.TransportMap("y ~ g").fit({**d, "g": np.arange(250) % 3})
    for wrong in (
        {"index_set": (0.9, 0.1)},
        {"index_set": 0.5},
        {"weights": "w", "weight_type": "precision"},
    ):
        with pytest.raises(OptionError):
            de.TransportMap("y ~ g", **wrong)
    res = de.TransportMap("y ~ g").fit(d)
    for call in (lambda: res.qte(1.5), lambda: res.qte([]), lambda: res.map(np.nan), lambda: res.plot("qq")):
        with pytest.raises(OptionError):
            call()


def clustered(rng: np.random.Generator, groups: int, size: int) -> dict[str, np.ndarray]:
    """Two groups of ``groups`` villages with a shock of their own: half of the variance;
    the second group is higher by one.
    """
    village = np.repeat(np.arange(2 * groups), size)
    g = (village >= groups).astype(int)
    y = g + np.sqrt(0.5) * (rng.normal(size=2 * groups)[village] + rng.normal(size=len(village)))
    return {"y": y, "g": g, "village": village}


def test_errors_by_cluster_and_by_weight_collapse_to_those_of_rows() -> None:
    d = table()
    rows, alone = (
        Ranks(GroupSample(d["y"][:100, None])),
        Ranks(GroupSample(d["y"][:100, None], None, np.arange(100))),
    )
    weighted = Ranks(GroupSample(d["y"][:100, None], np.full(100, 0.01)))
    levels = np.linspace(0.01, 0.99, 99)
    for other in (alone, weighted):
        np.testing.assert_array_equal(other.quantile(levels), rows.quantile(levels))
        np.testing.assert_allclose(other.error(levels), rows.error(levels) * np.sqrt(100 / 99), rtol=1e-12)
        assert other.uniform_critical(0.05, 0.95, 0.9) == pytest.approx(
            rows.uniform_critical(0.05, 0.95, 0.9), rel=0.08
        )
    rng = np.random.default_rng(3)
    y, w, c = rng.normal(size=60), rng.random(60), np.arange(60) % 7
    mixed, at = Ranks(GroupSample(y[:, None], w / w.sum(), c)), np.array([0.2, 0.7])
    inside = (y[:, None] <= mixed.quantile(at)).astype(float)
    F = mixed.share(mixed.quantile(at))
    expected = np.diagonal(variance_of(inside, GroupSample(y[:, None], w / w.sum(), c)))
    np.testing.assert_allclose(
        np.square(mixed.error(at)), expected * at * (1 - at) / (F * (1 - F)), rtol=1e-12
    )


def crossed(rng: np.random.Generator, villages: int, shift: float = 0.5) -> dict[str, np.ndarray]:
    """Villages of twelve rows, some of them treated; what a village adds moves all of its rows."""
    d = {"village": np.repeat(np.arange(villages), 12), "g": (rng.random(12 * villages) < 0.4) * 1}
    d["y"] = 2 * rng.normal(size=villages)[d["village"]] + rng.normal(size=12 * villages) + shift * d["g"]
    return d


def test_clusters_that_hold_rows_of_both_groups() -> None:
    """The error of means is that of least squares with clusters; what both groups share drops out."""
    d = crossed(np.random.default_rng(1), 60)
    model = de.TransportMap("y ~ g")
    res = model.fit(d, cluster="village")
    options = {"groups": d["village"], "use_correction": False}
    ols = smf.ols("y ~ g", pd.DataFrame(d)).fit(cov_type="cluster", cov_kwds=options)
    expected = ols.bse["g"] * np.sqrt(60 / 59)
    assert res.mean_difference["std_error"] == pytest.approx(expected, rel=1e-12)
    assert res.mean_difference["df"] == 59
    apart = model.fit({**d, "village": d["village"] + 100 * d["g"]}, cluster="village")
    assert (res.bse < 0.6 * apart.bse)[2:7].all()
    assert "(60 and 60, some of which hold rows of both)" in " ".join(str(res.summary()).split())
    lonely = np.where(d["village"] < 50, d["village"], d["village"] + 100 * d["g"])
    assert np.isfinite(model.fit({**d, "village": lonely}, cluster="village").bse).all()
    small = model.fit(crossed(np.random.default_rng(1), 20), cluster="village")
    assert set(small.monte_carlo(3, seed=1).table().index) == set(res.params.index)

    distance = de.WassersteinDistance("y ~ g", p=1, permutations=199)
    found = distance.fit(d, cluster="village", seed=1)
    assert (
        found.pvalue
        < 0.01
        < distance.fit(crossed(np.random.default_rng(3), 60, 0.0), cluster="village", seed=1).pvalue
    )
    text = " ".join(str(found.summary()).split())
    assert "Sign test: p" in text
    assert "changes of signs of what clusters, which cannot change groups, add" in text
    joint = de.WassersteinDistance("y + y2 ~ g").fit({**d, "y2": d["y"] ** 2}, cluster="village")
    assert np.isnan(joint.pvalue)
    assert "no test of joint outcomes" in str(joint.summary())
    assert "permut" not in str(joint.summary())
    third = distance.fit({**d, "g": d["g"] + (np.arange(len(d["y"])) % 3 == 0)}, cluster="village", seed=1)
    assert "199 changes of signs" in " ".join(str(third.summary()).split())


def test_clusters_widen_the_bands_and_are_told() -> None:
    d = clustered(np.random.default_rng(1), 20, 15)
    model = de.TransportMap("y ~ g")
    plain, by_village = model.fit(d), model.fit(d, cluster="village")
    np.testing.assert_array_equal(plain.params, by_village.params)
    assert (by_village.bse > 1.5 * plain.bse).all()
    assert (by_village.map().band_high >= plain.map().band_high).mean() > 0.9
    assert by_village.mean_difference["std_error"] > 1.5 * plain.mean_difference["std_error"]
    assert "clusters of village (20 and 20)" in str(by_village.summary())
    file = io.BytesIO()
    by_village.save(file)
    file.seek(0)
    assert str(de.load(file).summary()) == str(by_village.summary())
    with pytest.warns(FewClustersWarning, match="Group 0 has 4 clusters"):
        model.fit(clustered(np.random.default_rng(1), 4, 15), cluster="village")
    doubled = {k: np.repeat(v, 2) for k, v in d.items()} | {"row": np.repeat(np.arange(600), 2)}
    doubled["y"] = doubled["y"] + 1e-9 * np.tile([0, 1], 600)  # no value repeats
    twice = model.fit(doubled, cluster="row")
    np.testing.assert_allclose(
        twice.bse, plain.bse, rtol=0.12
    )  # the second copies add nothing; an end may be the next value


def test_sampling_weights_shift_the_quantiles() -> None:
    d = table(400, 400)
    d["w"] = np.where(d["y"] > 0, 3.0, 1.0)
    res = de.TransportMap("y ~ g", weights="w", weight_type="sampling").fit(d)
    counted = de.TransportMap("y ~ g", weights="w", weight_type="frequency").fit(d)
    np.testing.assert_array_equal(res.params, counted.params)
    assert res.counterfactual().shape == (400,)
    even = de.TransportMap("y ~ g", weights="w", weight_type="sampling").fit({**d, "w": np.full(800, 5.0)})
    np.testing.assert_allclose(even.bse, de.TransportMap("y ~ g").fit(d).bse, rtol=0.05)


def draw(rng: np.random.Generator, n: int, heaped: bool) -> tuple[np.ndarray, np.ndarray]:
    x, y = rng.normal(size=n), 1 + 1.5 * rng.normal(size=n)
    return (np.round(2 * x) / 2, np.round(2 * y) / 2) if heaped else (x, y)


def error(reps: int, many: float, variance: float) -> float:
    """That many Monte Carlo standard errors; in a short version 4.5."""
    return float((many if reps >= 1000 else 4.5) * np.sqrt(variance / reps))


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("groups", "reps"), [(30, 30)] + [pytest.param(g, 1000, marks=pytest.mark.slow) for g in (15, 30, 80)]
)
def test_bands_by_cluster_cover(groups: int, reps: int) -> None:
    """Bands, stated first: uniform 95 % bands cover .94 of the samples at least,
    pointwise limits .925 at each level; less Monte Carlo errors.
    """
    levels = np.linspace(0.05, 0.95, 91)
    whole, points = 0, np.zeros(len(levels))
    for r in range(reps):
        d = clustered(np.random.default_rng([6, r]), groups, 10)
        t = de.TransportMap("y ~ g").fit(d, cluster="village").qte(levels)
        whole += bool(((t.band_low - 1e-9 <= 1) & (t.band_high + 1e-9 >= 1)).all())
        points += (t.conf_low - 1e-9 <= 1) & (t.conf_high + 1e-9 >= 1)
    if reps > 500:
        print(groups, whole / reps, points.min() / reps, points.max() / reps)
    assert whole / reps >= 0.94 - error(reps, 3, 0.05 * 0.95)
    assert points.min() / reps >= 0.925 - error(reps, 3.5, 0.07)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("heaped", "reps"),
    [(False, 150), (True, 150)] + [pytest.param(h, 2000, marks=pytest.mark.slow) for h in (False, True)],
)
def test_bands_cover_whole_curves(heaped: bool, reps: int) -> None:
    """Bands, stated first: uniform 95 % bands cover at least .95, pointwise limits .925; less Monte Carlo
    errors.
    """
    levels = np.linspace(0.05, 0.95, 91)
    u = stats.norm.ppf(levels)
    truth = (np.ceil(2 * (1 + 1.5 * u) - 0.5) - np.ceil(2 * u - 0.5)) / 2 if heaped else 1 + 0.5 * u
    whole, points, width = 0, np.zeros(len(levels)), 0.0
    for r in range(reps):
        x, y = draw(np.random.default_rng([5, r]), 300, heaped)
        t = (
            de.TransportMap("y ~ g")
            .fit({"y": np.concatenate([x, y]), "g": np.repeat([0, 1], 300)})
            .qte(levels)
        )
        whole += bool(((t.band_low - 1e-9 <= truth) & (truth <= t.band_high + 1e-9)).all())
        points += (t.conf_low - 1e-9 <= truth) & (truth <= t.conf_high + 1e-9)
        width += float((t.band_high - t.band_low).median())
    print(
        "heaped" if heaped else "continuous",
        "bands",
        whole / reps,
        "limits, least",
        points.min() / reps,
        "width",
        width / reps,
    )
    assert whole / reps >= 0.95 - error(reps, 3, 0.05 * 0.95)
    assert points.min() / reps >= 0.925 - error(reps, 3.5, 0.07)
