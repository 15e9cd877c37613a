"""`FlowDensity` as its users meet it: fits, functionals, effects, bands, files,
and what it refuses or warns of.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import disteconometrics as de
from disteconometrics import errors
from disteconometrics.estimators.flow.row_checks import check_widths
from disteconometrics.estimators.flow.spline_laws import SplineRowLaws
from disteconometrics.inference import crossings
from disteconometrics.inference.influence_functions import influence_function as in_sample
from disteconometrics.inference.law_effects import Averaged
from disteconometrics.inference.law_functionals import parse_functional
from disteconometrics.inference.representers import hat_knots, hats

Array = np.ndarray
DELTA = 1e-5  # relative error of a central difference with the step taken


def bimodal(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"y": np.where(rng.random(n) < 0.5, rng.normal(-1, 0.5, n), rng.normal(1, 0.75, n))})


def table(n: int = 400, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    d = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "d": rng.integers(0, 2, n),
            "g": rng.choice(list("abc"), n),
            "firm": np.arange(n) % 40,
        }
    )
    d["y"] = 1 + d.x + 0.5 * d.d + (d.g == "b") + np.exp(0.3 * d.x) * rng.gumbel(size=n)
    return d


@pytest.fixture(scope="module")
def one() -> Any:
    return de.FlowDensity("y ~ 1").fit(bimodal(1000))


@pytest.fixture(scope="module")
def many() -> Any:
    return de.FlowDensity("y ~ x + d + g").fit(table())


def test_a_single_law_and_a_law_per_row(one: Any, many: Any) -> None:
    assert one.distribution().batch_shape == ()
    assert one.distribution().cdf(np.zeros((2, 3))).shape == (2, 3)
    assert many.distribution().batch_shape == (400,)
    new = table(5, seed=9)
    assert many.distribution(new).quantile([0.1, 0.9]).shape == (5, 2)
    new.loc[2, "x"] = np.nan
    assert np.flatnonzero(np.isnan(many.distribution(new).mean())).tolist() == [2]


def test_the_fit_is_what_the_law_says(many: Any) -> None:
    d = table()
    assert many.llf == pytest.approx(float(many.distribution().logpdf(d.y.to_numpy()).sum()), rel=1e-10)
    assert many.converged
    assert many.aic == pytest.approx(2 * (many.edf - many.llf))
    assert set(many.trials.structure) >= {"linear", "baseline", "scale"}


@pytest.mark.parametrize("name", ["mean", "std", "var", "median", "q[0.1]", "q[0.9]", "prob[0,2]"])
@pytest.mark.parametrize("support", [None, (-20, None)])
def test_gradients_of_functionals(name: str, support: Any) -> None:
    res = de.FlowDensity("y ~ x + d", support=support, flow=de.MonotoneSpline("scale", knots=9)).fit(
        table(150)
    )
    X, theta, f = res.rows.sample.X[:12], res.main.theta, parse_functional(name)
    V = np.random.default_rng(0).normal(size=(3, len(theta)))
    for v in V:
        h = 1e-5 * v
        laws = SplineRowLaws(res.flow, res.main, X)
        above, below = (SplineRowLaws(res.flow, replace(res.main, theta=theta + s * h), X) for s in (1, -1))
        shares = np.full(len(X), 1 / len(X))
        averaged = Averaged(laws, shares).functional(f)
        up, down = (Averaged(moved, shares).functional(f).value for moved in (above, below))
        assert averaged.gradient @ h == pytest.approx((up - down) / 2, rel=DELTA, abs=1e-11)
        _, each = laws.each(f)
        up, down = (moved.each(f)[0] for moved in (above, below))
        np.testing.assert_allclose(each @ h, (up - down) / 2, rtol=1e-4, atol=1e-10)


@pytest.mark.parametrize("support", ["positive", (0.0, 40.0)])
@pytest.mark.parametrize("base", ["normal", "logistic"])
@pytest.mark.parametrize("name", ["mean", "var", "gini", "theil", "mld", "var_log"])
def test_gradients_by_influence_are_those_of_differences(name: str, base: str, support: Any) -> None:
    rng = np.random.default_rng(5)
    d = {
        "y": np.minimum(
            np.exp(1 + 0.3 * rng.normal(size=150) * (1 + 0.3 * (x := rng.normal(size=150)) ** 2)), 39
        ),
        "x": x,
    }
    res = de.FlowDensity("y ~ x", support=support, flow=de.MonotoneSpline("scale", knots=9), base=base).fit(d)
    X, theta, f = res.rows.sample.X[:8], res.main.theta, (name, ())
    _, each = SplineRowLaws(res.flow, res.main, X).each(f)
    for v in np.random.default_rng(0).normal(size=(3, len(theta))):
        up, down = (np.asarray(res.flow.law(theta + s * 1e-5 * v, X).functional(name)) for s in (1, -1))
        np.testing.assert_allclose(each @ v, (up - down) / 2e-5, rtol=2e-5, atol=1e-8)


def test_effects_on_the_scale_under_a_logarithm() -> None:
    """With a normal linear law of log y, every functional of y is known,
    and so is how it moves with the coefficients.
    """
    rng = np.random.default_rng(2)
    d = pd.DataFrame({"x": rng.normal(size=400), "d": rng.integers(0, 2, 400).astype(float)})
    d["y"] = np.exp(1 + 0.2 * d.x + 0.3 * d.d + 0.4 * rng.normal(size=400))
    res = de.FlowDensity("log(y) ~ x + d", flow=de.MonotoneSpline("linear"), base="normal").fit(d)
    X, origin = np.column_stack([d.x, d.d]), res.flow.structure.origin

    def log_moments(theta: Array, X: Array) -> tuple[Array, Array]:
        law = res.flow.law(theta, X)
        sd = law.scale / law.slopes[:, 0]
        return law.location + law.scale * origin - law.intercept * sd, sd

    def mean(theta: Array, X: Array = X) -> Array:
        mu, sd = log_moments(theta, X)
        return np.exp(mu + sd**2 / 2)

    def effect(theta: Array) -> float:
        return float((mean(theta, X * [1, 0] + [0, 1]) - mean(theta, X * [1, 0])).mean())

    def gini(theta: Array) -> float:
        return float(2 * stats.norm.cdf(log_moments(theta, X[:1])[1][0] / np.sqrt(2)) - 1)

    theta, V = res.main.theta, res.main.covariance

    def error(of: Callable[[Array], float]) -> float:
        G = np.array([of(theta + h) - of(theta - h) for h in 1e-5 * np.eye(len(theta))]) / 2e-5
        return float(np.sqrt(G @ V @ G))

    found = res.effect("d", 0, 1, "mean", on="y", target="sample")
    at = res.at(d.iloc[:1], "gini", on="y").iloc[0]
    assert (found.values[0], found.std_error[0]) == pytest.approx((effect(theta), error(effect)), rel=1e-6)
    assert (at.estimate, at.std_error) == pytest.approx((gini(theta), error(gini)), rel=1e-6)
    whole = res.functionals("mean", on="y", target="sample")
    assert (whole.values[0], whole.std_error[0]) == pytest.approx(
        (mean(theta).mean(), error(lambda t: float(mean(t).mean()))), rel=1e-6
    )
    with pytest.raises(errors.OptionError, match="bootstrap"):
        res.functionals("gini", on="y")
    with pytest.raises(errors.OptionError, match="positive"):
        res.at(d.iloc[:1], "gini")


def test_moments_that_a_tail_is_too_heavy_for_are_said_to_be_missing() -> None:
    rng = np.random.default_rng(0)
    d = {"x": rng.normal(size=300), "y": np.exp(rng.standard_t(1.5, size=300))}
    res = de.FlowDensity("log(y) ~ x").fit(d)
    with pytest.warns(errors.InfiniteMomentWarning, match="Withheld: mean, .* mean is inf, .* 100% of"):
        effect = res.effect("x", 0, 1, ["mean", "q[0.5]"], on="y")
    assert np.isnan([effect.values[0], effect.std_error[0]]).all()
    assert np.isfinite([effect.values[1], effect.std_error[1]]).all()
    with pytest.warns(errors.InfiniteMomentWarning) as found:
        assert "too heavy for a finite mean" in str(
            de.FlowDensity("y ~ x", support="positive").fit(d).summary()
        )
    assert {w.filename for w in found} == {__file__}  # a line of the user's, and no cached property's


def test_moments_are_withheld_of_copies_as_of_rows() -> None:
    rng = np.random.default_rng(3)
    d = pd.DataFrame({"y": (1 - rng.random(200)) ** (-1 / 2.2), "w": rng.integers(1, 6, 200)})
    model = de.FlowDensity("y ~ 1", support="positive")
    said = []
    for spec, rows in (
        (de.FlowDensity("y ~ 1", support="positive", weights="w", weight_type="frequency"), d),
        (model, d.loc[d.index.repeat(d.w)]),
    ):
        with pytest.warns(errors.InfiniteMomentWarning, match="Withheld: .*std") as found:
            e = spec.fit(rows).functionals(["mean", "std", "q[0.5]"])
        said.append((str(found[-1].message), np.isnan(e.values).tolist()))
    assert said[0] == said[1]


@pytest.mark.parametrize("n", [25, 300])
def test_limits_of_quantiles_go_with_the_scale(n: int) -> None:
    """Also where a step of the search would leave the support."""
    rng = np.random.default_rng(0)
    res = de.FlowDensity("log(y) ~ x").fit({"x": rng.normal(size=n), "y": np.exp(rng.standard_t(3, size=n))})
    names = ["q[0.02]", "q[0.1]", "median"]
    given, undone = res.functionals(names).interval(), res.functionals(names, on="y").interval()
    np.testing.assert_allclose(np.log(undone), given, rtol=1e-6, atol=1e-6)


def test_functionals_of_the_averaged_law(many: Any) -> None:
    law = many.distribution()
    e = many.functionals(["mean", "var", "q[0.25]", "prob[0,3]"])
    q = e.values[2]
    assert e.values[0] == pytest.approx(law.mean().mean(), rel=1e-12)
    assert e.values[1] == pytest.approx(law.var().mean() + law.mean().var(), rel=1e-10)
    assert law.cdf(q).mean() == pytest.approx(0.25, abs=1e-12)
    assert e.values[3] == pytest.approx((law.cdf(3.0) - law.cdf(0.0)).mean(), rel=1e-12)
    low, high = e.interval(0.9)[2]
    assert low < q < high
    wide = e.interval(0.99)[2]
    assert wide[0] < low < high < wide[1]


def test_effects_are_averages_of_row_contrasts(many: Any) -> None:
    d = table()
    sol = many.undersmoothed
    X = {v: many._covariates(d.assign(d=v))[0] for v in (0, 1)}
    one, zero = (many.flow.law(sol.theta, X[v]) for v in (1, 0))
    # one step of the influence function on, with the weights of d's coefficient
    law, own = many.flow.law(sol.theta, many._covariates(d)[0]), many.flow.structure.covariates[0]
    bends = any(t.kind == "shift" and t.covariate == 0 for t in many.flow.structure.terms)
    bent = own.smooth(d.x.to_numpy()) if bends else np.zeros((len(d), 0))
    Z = np.column_stack([np.ones(len(d)), d.x, d.g == "b", d.g == "c", bent])
    left = d.d - Z @ np.linalg.lstsq(Z, d.d, rcond=None)[0]
    step = left @ (d.y - law.mean()) / (left @ left)
    assert many.effect("d", 0, 1, "mean").values[0] == pytest.approx(
        np.mean(one.mean() - zero.mean()) + step, rel=1e-9
    )
    q = law.quantile(0.9)
    step = left @ ((0.9 - (law.cdf(d.y.to_numpy()) <= 0.9)) / law.pdf(q)) / (left @ left)
    plain = np.mean(one.quantile(0.9) - zero.quantile(0.9))
    assert many.effect("d", 0, 1, "q[0.9]").values[0] == pytest.approx(plain + step, rel=1e-8)
    # of a number, with the weights that know hat functions of it beside the others
    x, names = d.x.to_numpy(), many.spec.names
    assert names.index("x") in many.flow.free(names)  # so that its contrasts know more of it

    def step_of(low: Any, high: Any, influence: Any, unit: float = 1.0, least: int = 1) -> float:
        knots = hat_knots(x, np.full(len(x), 1 / len(x)), len(x), least=least)
        B = np.column_stack([d.d, d.g == "b", d.g == "c", hats(x, knots)])
        moved = np.mean(hats(high, knots) - hats(low, knots), axis=0) / unit
        return float(B @ np.linalg.lstsq(B.T @ B, np.r_[0, 0, 0, moved], rcond=None)[0] @ influence)

    ends = [many._covariates(d.assign(x=v), warn=False)[0] for v in (0.0, 1.0)]
    moved = np.mean(np.subtract(*(many.flow.law(sol.theta, e).quantile(0.9) for e in ends[::-1])))
    moved += step_of(0 * x, 0 * x + 1, (0.9 - (law.cdf(d.y.to_numpy()) <= 0.9)) / law.pdf(q), least=3)
    assert many.effect("x", 0, 1, "q[0.9]").values[0] == pytest.approx(moved, rel=1e-8)
    step = 1e-4
    ends = [many._covariates(d.assign(x=d.x + s * step), warn=False)[0] for s in (-1, 1)]
    slope = np.mean(np.subtract(*(many.flow.law(sol.theta, X).mean() for X in ends[::-1]))) / (2 * step)
    slope += step_of(x - step, x + step, d.y - law.mean(), 2 * step)
    assert many.derivative("x", "mean").values[0] == pytest.approx(slope, rel=1e-5)
    effects = many.effects(["mean"])
    assert list(effects) == ["x", "d: 1 - 0", "g: b - a", "g: c - a"]
    assert many.effect("d", 0, 1).std_error.min() > 0


def edged(kind: str, n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x = rng.normal(size=n)
    y = {
        "low": lambda: np.exp(0.3 * x) * rng.exponential(size=n),
        "high": lambda: 5 - np.exp(0.3 * x) * rng.exponential(size=n),
        "both": lambda: rng.permutation(np.linspace(2, 3, n)),
        "none": lambda: x + rng.gumbel(size=n),
    }[kind]()
    return pd.DataFrame({"x": x, "y": y})


@pytest.mark.parametrize(
    ("kind", "words"),
    [("low", "smallest value"), ("high", "largest value"), ("both", "smallest value .* and largest value")],
)
def test_an_outcome_that_ends_abruptly_is_told(kind: str, words: str) -> None:
    with pytest.warns(errors.HardEdgeWarning, match=words) as told:
        de.FlowDensity("y ~ x").fit(edged(kind))
    assert told[0].message.column == "y"
    assert "support=" in told[0].message.hint


def test_no_edge_is_told_where_rows_taper_off_or_it_is_declared() -> None:
    de.FlowDensity("y ~ x").fit(edged("none"))
    de.FlowDensity("y ~ x", support="positive").fit(edged("low"))
    de.FlowDensity("y ~ x").fit(edged("low", 100))


def test_a_law_that_is_far_too_wide_does_not_decide_a_step(
    many: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The density of one row at its quantile, made tiny, counts as a twentieth of the median row's."""
    before = many.derivative("x", "q[0.5]").values[0]
    density, first = SplineRowLaws.quantile_density, many.data_rows().sample.X[0]

    def tiny(laws: Any, tau: float) -> Array:
        f = density(laws, tau).copy()
        f[(first == laws.X).all(axis=1)] = 1e-9 * np.median(f)
        return f

    monkeypatch.setattr(SplineRowLaws, "quantile_density", tiny)
    assert many.derivative("x", "q[0.5]").values[0] == pytest.approx(before, abs=0.1)


def test_a_mean_between_two_ends_has_an_error_where_outcomes_round_to_the_upper_one() -> None:
    rng = np.random.default_rng([41, 0])
    x = rng.normal(size=500)
    m = 1 / (1 + np.exp(-0.5 * x - 0.15))
    e = (
        de.FlowDensity("y ~ x", support=(0, 1))
        .fit({"x": x, "y": rng.beta(3 * m, 3 * (1 - m))})
        .functionals(["mean"])
    )
    assert 0.01 < e.std_error[0] < 0.02  # .28/√500 = .0125


def test_bands_hold_their_pointwise_limits(one: Any) -> None:
    for kind in ("cdf", "pdf", "quantile"):
        b = one.band(kind)
        assert (b.band_low <= b.conf_low + 1e-12).all()
        assert (b.conf_low < b.estimate).all()
        assert (b.estimate < b.conf_high).all()
        assert (b.conf_high <= b.band_high + 1e-12).all()
    pd.testing.assert_frame_equal(one.band("pdf", seed=3), one.band("pdf", seed=3))
    assert one.band("cdf").conf_low.min() > 0
    grid = one.band("cdf", grid=[-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(grid.y, [-1, 0, 1])


def test_limits_at_rows(many: Any) -> None:
    at = many.at(table(3, seed=5), ["mean", "q[0.5]"], level=0.9)
    assert list(at.index)[:2] == [(0, "mean"), (0, "q[0.5]")]
    assert (at.conf_low < at.estimate).all()
    assert (at.estimate < at.conf_high).all()


def test_covariances(many: Any) -> None:
    errors_by = {c: many.with_cov(c).bse["mean"] for c in ("sandwich", "HC0", "nonrobust")}
    assert errors_by["HC0"] < errors_by["sandwich"] < 1.2 * errors_by["HC0"]
    assert errors_by["nonrobust"] == pytest.approx(errors_by["sandwich"], rel=0.3)
    rows = de.FlowDensity("y ~ x").fit(
        table().assign(row=range(400)), cov=de.Cluster("row", correction="none")
    )
    one, other = (r.functionals(target="sample").std_error for r in (rows, rows.with_cov("HC0")))
    np.testing.assert_allclose(one, other, rtol=1e-10)
    assert "clustered" in many.with_cov(de.Cluster("firm")).facts.cov_label
    for bad in (
        "HC3",
        "opg",
        de.Cluster("firm", correction="jackknife"),
        de.Cluster("firm", correction="cr1"),
        "x",
    ):
        with pytest.raises(errors.OptionError):
            many.with_cov(bad)


def test_repeated_times_have_no_order() -> None:
    d = table(60).assign(t=np.arange(60), year=np.arange(60) // 2)
    res = de.FlowDensity("y ~ x").fit(d, cov=de.HAC("t"))
    for refused in (
        lambda: res.with_cov(de.HAC("year")),
        lambda: de.FlowDensity("y ~ x").fit(d, cov=de.HAC("year")),
    ):
        with pytest.raises(errors.DataError, match="repeats values"):
            refused()


def test_a_saved_result_keeps_its_covariance(many: Any, tmp_path: Path) -> None:
    new, path = table(3, seed=5), tmp_path / "flow.npz"
    for cov in ("HC0", de.Cluster("firm")):
        res = many.with_cov(cov)
        res.save(path)
        back = de.load(path)
        for one in (back, back.attach(table())):
            pd.testing.assert_frame_equal(one.at(new), res.at(new), check_exact=True)
    kept, fitted = back.effects(), res.effects()
    np.testing.assert_array_equal(kept.bse, fitted.bse)
    assert str(kept) == str(fitted)
    with pytest.raises(errors.OptionError, match="does not name its covariance"):
        back.attach(table()).monte_carlo(2)
    again = back.with_cov(de.Cluster("firm"), data=table())
    pd.testing.assert_frame_equal(again.at(new), res.at(new), rtol=1e-6)


def test_effects_leave_out_what_enters_through_a_lag_only() -> None:
    with pytest.warns(errors.MissingValuesWarning):
        res = de.FlowDensity("y ~ lag(x) + d").fit(table(120))
    assert [name.split(":")[0] for name in res.effects()] == ["d"]
    assert "Average contrast, population, on" in str(res.summary())


def test_files_keep_everything_but_the_rows(one: Any, many: Any, tmp_path: Path) -> None:
    new = table(6, seed=4)
    for res in (one, many):
        path = tmp_path / "flow.npz"
        res.save(path)
        back = de.load(path)
        a, b = (
            r.distribution(new if r.flow.structure.covariates else None).quantile([0.1, 0.7])
            for r in (res, back)
        )
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(res.estimates.interval(0.95), back.estimates.interval(0.95))
        assert str(back.summary()) == str(res.summary())
        assert back.model == res.model
    with pytest.raises(errors.NeedsData, match="attach"):
        back.effect("d", 0, 1)
    np.testing.assert_allclose(back.attach(table()).effect("d", 0, 1).values, many.effect("d", 0, 1).values)
    with pytest.raises(errors.DataError, match="rows of the fit"):
        back.attach(table(seed=2))
    for spoil in (lambda b: b[: len(b) // 2], lambda b: b"nothing"):
        with pytest.raises(errors.FileFormatError):
            de.load(io.BytesIO(spoil(path.read_bytes())))


@pytest.mark.parametrize("part", ["flow_knots", "main_theta", "values", "under_covariance"])
def test_a_spoilt_array_is_told(one: Any, part: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.npz"
    one.save(path)
    with np.load(path) as archive:
        arrays = {k: archive[k] for k in archive.files}
    arrays[part] = arrays[part][:-1]
    np.savez(path, **arrays)
    with pytest.raises(errors.FileFormatError, match="not a valid FlowDensity file"):
        de.load(path)


def test_the_summary_says_what_was_chosen(many: Any) -> None:
    text = str(many.summary())
    for words in (
        "Flow Density Results",
        "(chosen)",
        "Leave-one-out",
        "Average contrast",
        "g: c - a",
        "Chosen because",
    ):
        assert words in text
    assert "<table" in many.summary().as_html()
    given = str(de.FlowDensity("y ~ x", base="normal").fit(table()).summary())
    assert "normal (given)" in given


def test_declared_support() -> None:
    rng = np.random.default_rng(0)
    d = {"y": rng.exponential(size=800), "p": rng.beta(2, 5, size=800)}
    positive = de.FlowDensity("y ~ 1", support="positive").fit(d)
    assert positive.distribution().cdf(0.0) == 0
    assert positive.params["mean"] == pytest.approx(1.0, abs=4 * positive.bse["mean"])
    share = de.FlowDensity("p ~ 1", support=(0, 1)).fit(d)
    np.testing.assert_array_equal(share.distribution().quantile([0.0, 1.0]), [0.0, 1.0])
    with pytest.raises(errors.DataError, match=r"outside the declared support.*values"):
        de.FlowDensity("y ~ 1", support=(0, 0.5)).fit(d)


def test_nothing_given_is_changed_and_seeds_do_not_matter() -> None:
    d = table(150)
    before = d.copy()
    a = de.FlowDensity("y ~ x").fit(d, seed=1)
    b = de.FlowDensity("y ~ x").fit(d, seed=2)
    pd.testing.assert_frame_equal(d, before)
    np.testing.assert_array_equal(a.main.theta, b.main.theta)
    assert (
        len(
            {
                de.FlowDensity("y ~ x"),
                de.FlowDensity("y ~ x"),
                de.FlowDensity("y ~ x", flow=de.MonotoneSpline("scale")),
            }
        )
        == 2
    )


def test_sampling_weights_do_not_depend_on_their_unit() -> None:
    d = table(200).assign(w=np.random.default_rng(0).uniform(0.5, 3, 200))
    a, b = (
        de.FlowDensity("y ~ x", weights="w", weight_type="sampling").fit(t)
        for t in (d, d.assign(w=1e3 * d.w))
    )
    np.testing.assert_allclose(a.main.theta, b.main.theta, rtol=1e-8)
    assert np.isnan(a.aic)
    assert "withheld" in str(a.summary())


SIX = {"y": np.random.default_rng(0).integers(0, 6, 300).astype(float)}
HEAP = {
    "y": np.where(np.random.default_rng(0).random(500) < 0.2, 0.0, np.random.default_rng(1).normal(size=500))
}
ROUNDED = {
    "y": np.where(
        np.arange(600) % 2,
        np.random.default_rng(0).normal(40, 9, 600).round(-1),
        np.random.default_rng(0).normal(40, 9, 600),
    )
}


FEW_ZEROS = {
    "y": np.where(np.arange(500) % 50, np.random.default_rng(1).exponential(size=500), 0.0),
}

BOTH = {"y": np.clip(np.round(np.random.default_rng(1).normal(3, 3, 500) * 2) / 2, 0, 5)}
CAPPED = {"y": np.minimum(np.random.default_rng(1).exponential(size=500), 1.5)}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SIX, r"discrete: 6 distinct values in 300 rows.* 'rounded\(y, to=1\)' for 'y'"),
        (HEAP, r"19% of the rows .* values 0 .* recorded, 'mass\(y, 0\)' for 'y'"),
        (ROUNDED, "tied values 40.* Consider a binary"),
        (
            FEW_ZEROS,
            r"2.0% of the rows of 'y' are piled .* \(0: zeros.*'mass\(y, 0\)' or 'bottomcoded\(y, at=0\)'",
        ),
        (CAPPED, r"rows of 'y' share the tied values 1.5 .* 'topcoded\(y, at=1.5\)' for 'y'"),
        (BOTH, r"'mass\(topcoded\(rounded\(y, to=0.5\), at=5\), 0\)' or 'topcoded\(bottomcoded\(rounded"),
    ],
    ids=["discrete", "atom", "rounded", "few zeros", "a cap", "all"],
)
def test_values_that_rows_share_are_named(data: dict[str, Array], words: str) -> None:
    with pytest.warns(errors.DiscreteOutcomeWarning, match=words) as caught:
        res = de.FlowDensity("y ~ 1").fit(data)
    assert caught[0].message.column == "y"  # type: ignore[union-attr]
    assert caught[0].filename == __file__
    assert re.search("distinct|tied|piled", str(res.summary()))


def test_new_rows_outside_the_box_are_counted(many: Any) -> None:
    new = table(4, seed=3).assign(x=[0.0, 50.0, -50.0, 0.1])
    with pytest.warns(errors.ExtrapolationWarning, match=r"2 of 4 rows .* x \(2\)"):
        law = many.distribution(new)
    edge = many.distribution(new.assign(x=table().x.max()))
    np.testing.assert_allclose(law.slopes[1], edge.slopes[1])


def test_few_rows_get_a_linear_model() -> None:
    with pytest.warns(errors.SmallSampleWarning, match="too few for a flexible shape"):
        res = de.FlowDensity("y ~ x").fit(table(12))
    assert res.flow.name == "linear"


@pytest.mark.parametrize(
    ("formula", "data", "error", "words"),
    [
        ("y ~ 1", {"y": []}, errors.DataError, "no rows"),
        ("y ~ 1", {"y": [1.0]}, errors.DataError, "1 row"),
        ("y ~ 1", {"y": [1.0, 2.0]}, errors.DataError, "at least 3"),
        ("y ~ 1", {"y": [1.0] * 30}, errors.OutcomeError, "1 distinct value"),
        ("y ~ 1", {"y": [1.0, 2.0] * 30}, errors.OutcomeError, "2 distinct values"),
        ("y ~ 1", {"y": [1.0, np.inf, 2.0, 3.0]}, errors.DataError, "inf"),
        ("y ~ 1", {"y": list("abcd")}, errors.OutcomeError, "numbers"),
        ("y ~ 0 + x", table(50), errors.FormulaError, "free location"),
        ("y ~ x + I(2*x)", table(50), errors.CollinearityError, "linearly dependent"),
        (
            "y ~ x",
            {"x": np.linspace(0, 1, 50), "y": 1 + 2 * np.linspace(0, 1, 50)},
            errors.OutcomeError,
            "determine the outcome",
        ),
        ("y ~ z", table(50), errors.MissingColumnError, "'z'"),
        ("y ~ x", table(3), errors.DataError, "at least 4"),
    ],
)
def test_bad_rows_are_refused(formula: str, data: Any, error: type[Exception], words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.SmallSampleWarning)
        with pytest.raises(error, match=words):
            de.FlowDensity(formula).fit(data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base": "cauchy"}, "'logistic' or 'normal'"),
        ({"flow": "planar"}, "MonotoneSpline"),
        ({"support": (1, 0)}, "a < b"),
        ({"support": "unit"}, "'positive'"),
        ({"weights": np.ones(3), "weight_type": "frequency"}, "name of a column"),
        ({"weights": "w"}, "give both"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.OptionError, match=words):
        de.FlowDensity("y ~ 1", **options)


@pytest.mark.parametrize(
    "options", [{"structure": "free"}, {"knots": 2}, {"knots": True}, {"roughness": 0}, {"roughness": "a"}]
)
def test_bad_flows_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(errors.OptionError):
        de.MonotoneSpline(**options)


@pytest.mark.parametrize("name", ["q[1.5]", "q", "gini", "prob[2,1]", "prob[a,b]", 3])
def test_unknown_functionals_are_refused(one: Any, many: Any, name: Any) -> None:
    for call in (
        lambda: one.functionals([name]),
        lambda: many.functionals([name]),
        lambda: many.at(table(2), [name]),
    ):
        with pytest.raises((errors.OptionError, TypeError)):
            call()


def test_any_functional_of_a_single_law(one: Any) -> None:
    """Differences agree with exact gradients where both exist."""
    exact, free = one.functionals(["q[0.9]", "std"]), one.functionals(["q[0.9]", "std", "iqr"])
    np.testing.assert_allclose(free.values[:2], exact.values, rtol=1e-9)
    np.testing.assert_allclose(free.std_error[:2], exact.std_error, rtol=1e-3)
    expected = np.subtract(*one.functionals(["q[0.75]", "q[0.25]"]).values)
    assert free.values[2] == pytest.approx(expected, rel=1e-9)
    food = de.FlowDensity("log(foodexp) ~ 1").fit(de.datasets.engel())
    other = de.FlowDensity("foodexp ~ 1", support="positive").fit(de.datasets.engel())
    a, b = food.functionals(["gini", "mean"], on="foodexp"), other.functionals(["gini", "mean"])
    np.testing.assert_allclose(a.values, b.values, rtol=1e-6)
    np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-3)


def test_data_in_the_specification_shows_the_line() -> None:
    with pytest.raises(errors.OptionError, match=r"de.FlowDensity\(formula\).fit\(data\)"):
        de.FlowDensity("y ~ 1", bimodal(20))  # type: ignore[arg-type]
    with pytest.raises(errors.OptionError, match="seed"):
        de.FlowDensity("y ~ 1").fit(bimodal(20), seed=-1)


# ---- checks by its own law, and pictures -------------------------------------------------------------------


def test_held_out_transforms_are_uniform_where_the_model_is_right() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    check = de.FlowDensity("y ~ x").fit({"y": x + rng.normal(size=400), "x": x}).diagnose(4, seed=1)
    assert check.pit.min() >= 0
    assert check.pit.max() <= 1
    assert check.ks < 0.06  # 10 seeds: .030 ± .006
    assert abs(check.coverage - 0.9) < 0.06  # .009 ± .005
    assert "Held-out rows (4-fold)" in str(check)
    with pytest.raises(errors.OptionError, match="folds"):
        de.FlowDensity("y ~ 1").fit({"y": x}).diagnose(1)


def test_bootstrap_tests_tell_right_from_wrong() -> None:
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(2, 150))
    plain = de.FlowDensity("y ~ x + z").fit({"y": x + rng.normal(size=150), "x": x, "z": z})
    # a p-value under the null has no margin, likelihood ratios have; 10 seeds: 0 ± 0 and 128 ± 29, 1.4 ± 1.7
    # and 107 ± 15
    linear = plain.test_linear_normal(39, seed=1)
    none, effect = (plain.test_no_effect(name, 19, seed=1) for name in ("z", "x"))
    assert linear.statistic < 10
    assert none.statistic < 10 < effect.statistic
    assert effect.p_value == pytest.approx(1 / 20)
    for p, draws in ((linear.p_value, 39), (none.p_value, 19)):
        assert p * (draws + 1) == pytest.approx(round(p * (draws + 1)))
    skewed = de.FlowDensity("y ~ 1").fit({"y": rng.exponential(size=150)})
    found = skewed.test_linear_normal(39, seed=1)
    assert found.statistic > 10
    assert found.p_value == pytest.approx(1 / 40)
    assert "a normal linear model" in str(found)
    assert skewed.test_linear_normal(39, seed=1).p_value == found.p_value
    with pytest.raises(errors.OptionError, match="at least 19"):
        skewed.test_linear_normal(5)
    with pytest.raises(errors.MissingColumnError):
        plain.test_no_effect("w")


def test_resampling_and_simulation_take_the_estimator(one: Any) -> None:
    boot = de.bootstrap(de.FlowDensity("y ~ 1"), bimodal(200), reps=20, seed=1)
    assert np.isfinite(boot.bse).all()
    check = one.monte_carlo(10, seed=1)
    assert "coverage" in str(check.summary())
    logged = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
    assert "coverage" in str(logged.monte_carlo(8, seed=1).summary())
    with pytest.raises(errors.OptionError, match="averages over the covariates"):
        logged.monte_carlo(8, seed=1, design="pairs")


def test_pictures_carry_their_numbers(one: Any, many: Any) -> None:
    from matplotlib import pyplot as plt

    new = table(3, seed=8)
    drawn = [
        one.plot(),
        many.plot(bins=20),
        many.plot_fan("x", at={"g": "b"}),
        many.plot_effect("d", 0, 1, levels=[0.25, 0.5]),
        many.plot_effect("x", levels=[0.5]),
        de.plots.conditional_densities(many, new, labels=["a", "b", "c"]),
        de.plots.pit_histogram(np.linspace(0, 1, 50)),
    ]
    for ax in drawn:
        assert len(ax.data)
        assert ax.get_xlabel()
        plt.close(ax.figure)
    law = many.distribution(
        {"x": [drawn[2].data.index[7]], "d": [0 if table().d.mean() < 0.5 else 1], "g": ["b"]}
    )
    assert drawn[2].data["q[0.5]"].iloc[7] == pytest.approx(float(law.quantile(0.5)[0]), rel=1e-10)
    np.testing.assert_allclose(
        drawn[3].data["estimate"], many.effect("d", 0, 1, ["q[0.25]", "q[0.5]"]).values
    )
    for call, error in (
        (lambda: many.plot_fan("nothing"), errors.MissingColumnError),
        (lambda: many.plot_effect("d", 0), errors.OptionError),
        (lambda: de.plots.pit_histogram([2.0]), errors.OptionError),
        (lambda: de.plots.conditional_densities(many, table(9)), errors.OptionError),
        (lambda: one.plot(bins=0), errors.OptionError),
    ):
        with pytest.raises(error):
            call()


def test_any_functional_has_errors_given_covariates() -> None:
    """Differences along the axes of V give the errors of derivatives;
    other functionals and scales by the same way.
    """
    engel = de.datasets.engel()
    res = de.FlowDensity("log(foodexp) ~ log(income)").fit(engel)
    exact = res.at(engel.head(3), ["mean", "std", "q[0.75]"])["std_error"].to_numpy()
    numeric = res.at(
        engel.head(3), [lambda law: law.mean(), lambda law: law.std(), lambda law: law.quantile(0.75)]
    )
    np.testing.assert_allclose(numeric["std_error"], exact, rtol=2e-3)
    gini, again = (
        res.at(engel.head(3), [f], on="foodexp")["std_error"].to_numpy()
        for f in ("gini", lambda law: law.functional("gini"))
    )
    np.testing.assert_allclose(again, gini, rtol=2e-3)
    units = res.at(engel.head(2), ["gini", "p90p10", "median"], on="foodexp")
    logs = res.at(engel.head(2), "median")
    np.testing.assert_allclose(
        units.loc[(slice(None), "median"), "estimate"], np.exp(logs["estimate"]), rtol=1e-12
    )
    np.testing.assert_allclose(
        units.loc[(slice(None), "median"), "std_error"],
        np.exp(logs["estimate"]) * logs["std_error"],
        rtol=2e-3,
    )
    assert (units["std_error"] > 0).all()
    with pytest.raises(errors.OptionError, match="positive outcome"):
        res.at(engel.head(2), "gini")
    with pytest.raises(errors.OptionError, match="not known"):
        res.effect("income", 500.0, 1000.0, "ginni")


def test_a_row_far_out_does_not_spoil_the_averages() -> None:
    """One household of Engel's has twice the income of the next; its spread is that of the others
    at the edge.
    """
    engel = de.datasets.engel()
    res = de.FlowDensity("foodexp ~ log(income)").fit(engel)
    law = res.distribution(engel)
    assert np.max(law.std()) < 20 * np.median(law.std())
    effect = res.derivative("income", ["mean", "q[0.5]"])
    assert effect.values[0] == pytest.approx(effect.values[1], rel=0.1)
    assert effect.std_error[0] < 0.05
    assert law.average().std() == pytest.approx(engel["foodexp"].std(), rel=0.1)


def test_a_law_far_wider_than_the_others_is_told() -> None:
    slopes, X = np.append(np.ones(30), 1 / 25), np.arange(62.0).reshape(31, 2)
    with pytest.warns(errors.LeverageWarning, match=r"given a = 60, b = 61 is 25 times as wide"):
        check_widths(slopes, X, ("Intercept", "a", "b"))
    check_widths(np.linspace(0.1, 1, 31), X, ("Intercept", "a", "b"))  # says nothing


def test_influence_of_outcomes_on_inequality_is_that_in_the_law_of_their_row() -> None:
    """Beside the influence function in a sample of 20,000 quantiles of that law."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=150)
    d = {"y": np.exp(1 + 0.3 * x + 0.5 * rng.normal(size=150)), "x": x}
    res = de.FlowDensity("y ~ x", support="positive", flow=de.MonotoneSpline("scale")).fit(d)
    asked = res.answering(["gini", "theil", "mld", "var_log"], None, near=True)
    rows, levels = asked.variables(asked.groups(None)[0][1]), (np.arange(20_000) + 0.5) / 20_000
    for name, functional in zip(asked.names, asked.functionals, strict=True):
        found = rows._influence(functional, rows._values(functional))
        for i in (0, int(np.argmax(d["y"])), int(np.argmin(d["y"]))):
            law = de.Empirical(np.ravel(rows._own.take([i]).law.quantile(levels)))
            want = in_sample(law, d["y"][[i]], name, len(levels))[0]
            assert found[i] == pytest.approx(want, rel=1e-3, abs=1e-3), (name, i)


def test_a_factor_alone_has_a_summary() -> None:
    """Rows of one level are evaluated once, also where no weights ask for their sums."""
    rng = np.random.default_rng(0)
    table = {"y": rng.normal(size=60), "h": rng.integers(0, 3, 60)}
    assert "h: 2 - 0" in str(de.FlowDensity("y ~ C(h)").fit(table).summary())


QUANTILES = ["q[0.05]", "q[0.5]", "q[0.95]"]


@pytest.mark.parametrize(
    ("which", "limits"),
    [
        ("one", lambda res: res.functionals(QUANTILES).interval()),
        ("many", lambda res: res.functionals(QUANTILES).interval()),
        (
            "one",
            lambda res: res.band("quantile", grid=np.linspace(0.02, 0.98, 13))[["conf_low", "conf_high"]],
        ),
        ("many", lambda res: res.at(table(20, seed=5), QUANTILES)[["conf_low", "conf_high"]]),
    ],
    ids=["alone", "averaged", "band", "rows"],
)
def test_secants_find_the_limits_of_a_bracketed_search(
    request: Any, monkeypatch: Any, which: str, limits: Callable[[Any], Any]
) -> None:
    """Limits of quantiles by few secants are those of the search that brackets them, and need it seldom."""
    res, searches = request.getfixturevalue(which), []
    bracketed = crossings._bracketed

    def counted(*given: Any) -> Array:
        searches.append(1)
        return bracketed(*given)

    monkeypatch.setattr(crossings, "_bracketed", counted)
    quick, needed = np.asarray(limits(res)), len(searches)
    monkeypatch.setattr(crossings, "MOST_SECANTS", 0)
    monkeypatch.setattr(crossings, "NEAR", 1e-12)
    slow = np.asarray(limits(res))
    assert needed < len(searches) - needed
    error = (slow[:, 1] - slow[:, 0]) / (2 * 1.96)
    assert (np.abs(quick - slow) < 1e-6 * error[:, None]).all()
