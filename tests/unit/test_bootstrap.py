"""`bootstrap`: the same draws by any route, whole clusters, counted failures, intervals as defined,
seeds that hold.
"""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import disteconometrics as de
from disteconometrics.archive import write_archive
from disteconometrics.errors import (
    DisteconometricsWarning,
    FileFormatError,
    OptionError,
    SeparationWarning,
    WithheldError,
)
from disteconometrics.inference.resample import ResamplingPlan

MODEL = de.Logit("y ~ x + C(g)")


def table(n: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=n), rng.choice(list("abc"), size=n)
    y = (0.5 * x + (g == "b") + rng.logistic(size=n) > 0).astype(int)
    frame = pd.DataFrame({"y": y, "x": x, "g": g, "firm": np.arange(n) // 8, "w": rng.integers(1, 4, size=n)})
    frame.loc[[3, 50], "x"] = np.nan
    return frame


def coefficients(result):
    return result.params


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (MODEL, {}),
        (MODEL, {"kind": "cluster", "cluster": "firm"}),
        (de.Logit("y ~ x", weights="w", weight_type="frequency"), {}),
        (de.Logit("y ~ x", weights="w", weight_type="sampling"), {}),
        (de.Logit("y ~ x", weights="w", weight_type="frequency"), {"kind": "cluster", "cluster": "firm"}),
        (de.Logit("y ~ x", offset="w"), {}),
        (de.Probit("y ~ x + w"), {}),
    ],
)
def test_many_at_once_equal_one_by_one(model, options) -> None:
    data = table()
    fast = de.bootstrap(model, data, reps=20, seed=3, **options)
    slow = de.bootstrap(model, data, reps=20, seed=3, statistic=coefficients, **options)
    # an intercept of .002 differs by 1e-12, which is rounding
    np.testing.assert_allclose(fast.draws, slow.draws, rtol=1e-10, atol=1e-11)
    by_text = de.bootstrap(model, data, reps=20, seed=3, statistic="exp(x)", **options)
    np.testing.assert_allclose(by_text.draws["exp(x)"], np.exp(fast.draws["x"]), rtol=1e-12)


@pytest.mark.parametrize("statistic", [None, coefficients])
def test_draws_do_not_depend_on_workers(statistic) -> None:
    data = table()
    runs = [de.bootstrap(MODEL, data, reps=130, seed=9, statistic=statistic, n_jobs=j).draws for j in (1, 2)]
    assert np.array_equal(runs[0], runs[1])


def test_seeds() -> None:
    data = table()
    rng = np.random.default_rng(4)
    state = rng.bit_generator.state
    first, second = (de.bootstrap(MODEL, data, reps=20, seed=rng).draws for _ in range(2))
    assert rng.bit_generator.state == state
    assert not np.array_equal(first, second)
    drawn = de.bootstrap(MODEL, data, reps=20)
    assert np.array_equal(drawn.draws, de.bootstrap(MODEL, data, reps=20, seed=drawn.seed).draws)
    longer = de.bootstrap(MODEL, data, reps=200, seed=drawn.seed)
    np.testing.assert_allclose(
        longer.draws[:20], drawn.draws, rtol=1e-10, atol=1e-11
    )  # the seed is any: some are near zero


def test_tables_of_any_kind() -> None:
    polars = pytest.importorskip("polars")
    data = table().drop(columns="g").dropna()
    model = de.Logit("y ~ x")
    tables = (
        data,
        polars.DataFrame(data.to_dict("list")),
        {c: data[c].to_numpy() for c in data},
        data.to_dict("list"),
    )
    for options in ({}, {"kind": "cluster", "cluster": "firm"}):
        draws = [
            de.bootstrap(model, t, reps=5, seed=1, statistic=coefficients, **options).draws for t in tables
        ]
        for other in draws[1:]:
            np.testing.assert_array_equal(draws[0], other)


def test_clusters_are_drawn_whole() -> None:
    codes = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    plan = ResamplingPlan(np.random.SeedSequence(1), "counts", 6, len(codes), codes)
    for counts in plan.draw(0)[:5]:
        rows, copies = plan.rows_of(counts)
        assert counts.sum() == 6
        for copy in range(6):
            mine = rows[copies == copy]
            assert sorted(mine) == np.flatnonzero(codes == codes[mine[0]]).tolist()


def test_failures_are_counted_by_reason() -> None:
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"x": rng.normal(size=60), "rare": np.repeat([1.0, 0.0], [3, 57])})
    data["y"] = (data["x"] + rng.logistic(size=60) > 0).astype(int)
    data.loc[[0, 1, 2], "y"] = [0, 1, 1]
    for statistic in (None, coefficients):
        with pytest.warns(DisteconometricsWarning, match="separation"):
            boot = de.bootstrap(de.Logit("y ~ x + rare"), data, reps=100, seed=1, statistic=statistic)
        failed = np.array([bool(r) for r in boot.reasons])
        assert {"separation: no finite maximum", "coefficients not identified"} == set(boot.failures.index)
        assert boot.failures.sum() == failed.sum() == boot.draws.isna().all(axis=1).sum()
        assert "Failed: separation" in str(boot.summary())
    separated = data.assign(y=(data["x"] > 0).astype(int))
    with pytest.warns(SeparationWarning), pytest.raises(WithheldError, match="not finite"):
        de.bootstrap(de.Logit("y ~ x"), separated, reps=10)


def test_intervals_as_defined() -> None:
    data = table().dropna()
    boot = de.bootstrap(de.Logit("y ~ x"), data, reps=999, seed=2)
    draws, b = boot.draws["x"].to_numpy(), boot.params["x"]
    low, high = np.sort(draws)[[24, 974]]
    assert boot.conf_int().loc["x"].tolist() == pytest.approx([low, high])
    assert boot.conf_int(method="basic").loc["x"].tolist() == pytest.approx([2 * b - high, 2 * b - low])
    half = stats.norm.ppf(0.95) * draws.std(ddof=1)
    assert boot.conf_int(alpha=0.1, method="normal").loc["x"].tolist() == pytest.approx(
        [2 * b - draws.mean() - half, 2 * b - draws.mean() + half]
    )
    # the acceleration, one step against refits, and the limits from its definition
    left_out = np.array([de.Logit("y ~ x").fit(data.drop(index=i)).params["x"] for i in data.index])
    d = left_out.mean() - left_out
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    assert boot.acceleration["x"] == pytest.approx(a, rel=0.05)
    z0 = special.ndtri((draws < b).mean())
    at = [
        special.ndtr(z0 + (z0 + z) / (1 - boot.acceleration["x"] * (z0 + z)))
        for z in special.ndtri([0.025, 0.975])
    ]
    assert boot.conf_int(method="bca").loc["x"].tolist() == pytest.approx(
        np.quantile(draws, at, method="weibull").tolist()
    )


def test_bca_of_any_statistic_agrees_with_scipy() -> None:
    data = table(60).dropna()

    class Mean:
        """An estimator that knows nothing but ``fit``."""

        def fit(self, data):
            return np.exp(data["x"]).mean()

    boot = de.bootstrap(Mean(), data, reps=999, seed=1, statistic=lambda r: r)
    ours = SimpleNamespace(bootstrap_distribution=boot.draws["statistic"].to_numpy())
    theirs = stats.bootstrap(  # of the same draws: those of two streams differ by a tenth of the spread
        (np.exp(data["x"]),), np.mean, n_resamples=0, bootstrap_result=ours, method="BCa"
    )
    spread = boot.bse.iloc[0]
    np.testing.assert_allclose(
        boot.conf_int(method="bca").loc["statistic"],
        theirs.confidence_interval,
        atol=0.05 * spread,  # neighbours
    )
    assert boot.bse.iloc[0] == pytest.approx(theirs.standard_error, rel=1e-12)


def test_bca_of_many_rows_leaves_out_groups() -> None:
    """Two hundred fits in place of one a row: acceleration within its error of .41/200 (four of them)."""
    x = np.random.default_rng(1).exponential(size=6_000)
    fits: list[int] = []

    def mean(data: dict) -> dict[str, float]:
        fits.append(len(data["x"]))
        return {"mean": float(np.mean(data["x"]))}

    boot = de.bootstrap(mean, {"x": np.sort(x)}, reps=99, seed=1)
    assert boot.conf_int().notna().all(axis=None)
    with pytest.raises(WithheldError, match="needs 6,000 more fits; use jackknife='groups', which needs 200"):
        boot.conf_int(method="bca")
    before = len(fits)
    limits = boot.conf_int(method="bca", jackknife="groups").loc["mean"].to_numpy()
    assert len(fits) - before == 200
    assert fits[-1] == 5_970
    draws, error = np.sort(boot.draws["mean"].to_numpy()), 4 * 0.41 / 200
    z0 = special.ndtri((draws < boot.params["mean"]).mean())
    z = z0 + special.ndtri([0.025, 0.975])
    ends = [z0 + z / (1 - (stats.skew(x) / (6 * np.sqrt(len(x))) + e) * z) for e in (-error, error)]
    low, high = (np.quantile(draws, special.ndtr(end), method="weibull") for end in np.sort(ends, axis=0))
    assert ((low <= limits) & (limits <= high)).all()
    with pytest.raises(OptionError, match="'units' or 'groups'"):
        boot.conf_int(method="bca", jackknife="rows")


def test_exchangeable_weights_estimate_the_same_law() -> None:
    data = table(400)
    runs = [
        de.bootstrap(MODEL, data, reps=999, seed=1, **o).bse
        for o in ({}, {"kind": "exchangeable"}, {"kind": "exchangeable", "weights": "multinomial"})
    ]
    for other in runs[1:]:
        np.testing.assert_allclose(other, runs[0], rtol=0.15)  # each has an error of .022
    with pytest.raises(WithheldError, match="random weights"):
        de.bootstrap(MODEL, data, reps=20, kind="exchangeable").conf_int(method="bca")
    sampled = de.bootstrap(de.Logit("y ~ x", weights="w", weight_type="sampling"), data, reps=20)
    with pytest.raises(WithheldError, match="sampling design"):
        sampled.conf_int(method="bca")


def test_score_bootstrap() -> None:
    data = table(400).dropna()
    boot = de.bootstrap(de.Logit("y ~ x"), data, kind="score", cluster="firm", seed=1, reps=1999)
    sandwich = de.Logit("y ~ x").fit(data, cov=de.Cluster("firm", correction="none"))
    np.testing.assert_allclose(boot.bse, sandwich.bse, rtol=0.08)
    low, high = boot.conf_int().loc["x"]
    assert low < boot.params["x"] < high
    for limit, out in ((low, -1), (high, 1)):  # at the limit itself the statistic ties with a draw
        assert boot.pvalue("x", limit - 1e-9 * out) > 0.05 >= boot.pvalue("x", limit + 0.01 * out)
    assert boot.pvalue("x", boot.params["x"]) == 1
    with pytest.raises(WithheldError, match="score"):
        boot.conf_int(method="percentile")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "jackknife"},
        {"kind": "cluster"},
        {"cluster": "firm"},
        {"reps": 1},
        {"seed": -1},
        {"kind": "pairs", "weights": "webb"},
        {"kind": "exchangeable", "statistic": coefficients},
        {"statistic": lambda r: r.cov_params()},
    ],
)
def test_wrong_choices_are_told(wrong) -> None:
    with pytest.raises(OptionError):
        de.bootstrap(MODEL, table(), **{"reps": 10, **wrong})


def test_an_interrupt_keeps_what_is_done() -> None:
    calls = []

    def statistic(result):
        calls.append(1)
        if len(calls) > 150:
            raise KeyboardInterrupt
        return result.params["x"]

    with pytest.warns(DisteconometricsWarning, match="Interrupted: 144 of 200"):
        boot = de.bootstrap(de.Logit("y ~ x"), table(), reps=200, seed=1, statistic=statistic)
    assert len(boot.draws) == 144  # whole tasks of sixteen fits


def test_summary_as_text_html_and_latex() -> None:
    summary = de.bootstrap(de.Logit("y ~ x"), table(), reps=50, seed=1).summary()
    text, html, latex = str(summary), summary.as_html(), summary.as_latex()
    assert summary._repr_html_() == html
    for words in ("Replications", "50 (0 failed)", "percentile", "bias", "Intercept"):
        assert all(words in form for form in (text, html, latex))


def test_draws_of_a_flow_are_weights_whatever_the_workers() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=150)
    data = pd.DataFrame({"y": x + rng.gamma(3, size=150), "x": x})
    model = de.FlowDensity("y ~ x")
    first = de.bootstrap(model, data, reps=20, seed=1)
    assert first.draws.equals(de.bootstrap(model, data, reps=20, seed=1, n_jobs=2).draws)
    whole = de.bootstrap(model, data, reps=20, seed=1, statistic=coefficients)
    np.testing.assert_allclose(whole.draws, first.draws, rtol=1e-6, atol=1e-6)


def test_a_bootstrap_is_saved_and_loaded() -> None:
    boot = de.bootstrap(de.Logit("GRADE ~ GPA"), de.datasets.spector(), reps=99, seed=1)
    again = _reloaded(boot)
    with pytest.raises(WithheldError, match="no rows"):
        again.conf_int(method="bca")
    pd.testing.assert_frame_equal(_reloaded(again).tidy(), boot.tidy())
    assert str(again.summary()) == str(boot.summary())
    assert str(de.compare([again])) == str(de.compare([boot]))
    bca = boot.conf_int(method="bca")
    pd.testing.assert_frame_equal(_reloaded(_reloaded(boot)).conf_int(method="bca"), bca)


def _reloaded(boot: Any) -> Any:
    file = io.BytesIO()
    boot.save(file)
    return de.load(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize(
    "change", [{"names": ["a"]}, {"reasons": []}, {"units": -1}, {"seed": "x"}, {"fit": 1}]
)
def test_a_changed_file_of_a_bootstrap_is_refused(change: dict[str, Any]) -> None:
    boot = de.bootstrap(de.Logit("GRADE ~ GPA"), de.datasets.spector(), reps=50, seed=1)
    header = {n: getattr(boot, n) for n in ("kind", "scheme", "names", "reasons", "cluster", "units", "seed")}
    header |= {"fit": {"label": "Logit", "nobs": 32.0}, **change}
    file = io.BytesIO()
    write_archive(file, "Bootstrap", header, {"values": boot.values, "draws": boot.draws.to_numpy()})
    with pytest.raises(FileFormatError, match="Bootstrap file"):
        de.load(io.BytesIO(file.getvalue()))
