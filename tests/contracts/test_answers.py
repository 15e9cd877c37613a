"""What every result with a conditional law answers, in the same words: one table, one list of laws."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import disteconometrics as de
from disteconometrics.errors import ExtrapolationWarning, NeedsData, OptionError
from disteconometrics.inference.representers import hat_knots, hats, representer

SAME = 1e-8
PENALISED = 1e-6  # smoothing parameters stop where the fit moves by 4e-8
ROWS = 240
TARGETS = ("population", "sample")
TITLES = {
    "functionals": "Average law of {} (",
    "effect": "Average effect of x, -0.5 to 0.5, on {} (",
    "levels": "Average effect of g, a to b, on {} (",
    "derivative": "Average slope of {} in z (",
}
BINARY = ("Logit", "Probit", "CLogLog")
CATEGORIES = ("OrderedLogit", "OrderedProbit", "MultinomialLogit")
LINEAR = de.MonotoneSpline("linear")

# Estimators by name: formula's outcome, and what makes the specification of a formula.
MODELS: dict[str, tuple[str, Callable[..., Any]]] = {
    "FlowDensity": (
        "y",
        lambda f, **o: de.FlowDensity(f, flow=de.MonotoneSpline("shift"), base="logistic", **o),
    ),
    "FlowDensity, linear": ("y", lambda f, **o: de.FlowDensity(f, flow=LINEAR, base="normal", **o)),
    "NormalRegression": ("y", de.NormalRegression),
    "NormalRegression, recorded": ("interval(low, high)", de.NormalRegression),
    "NormalRegression, mass": ("mass(piled, 2)", de.NormalRegression),
    "FlowDensity, mass": (
        "mass(piled, 2)",
        lambda f, **o: de.FlowDensity(f, flow=LINEAR, base="logistic", **o),
    ),
    "Logit": ("b", de.Logit),
    "Probit": ("b", de.Probit),
    "CLogLog": ("b", de.CLogLog),
    "OrderedLogit": ("rating", de.OrderedLogit),
    "OrderedProbit": ("rating", de.OrderedProbit),
    "MultinomialLogit": ("mode", de.MultinomialLogit),
}
RIGHT = "x + z + d + g"
WEIGHTS: dict[str, dict[str, str]] = {
    "plain": {},
    "frequency": {"weights": "copies", "weight_type": "frequency"},
    "sampling": {"weights": "inverse", "weight_type": "sampling"},
    "offset": {"offset": "o"},
}
COVS: dict[str, Any] = {"HC0": "HC0", "HC1": "HC1", "nonrobust": "nonrobust", "cluster": de.Cluster("firm")}


def _recorded(index: Any) -> dict[str, Any]:
    """A law told in three ways: beyond two, in steps of .5 below zero, and exactly between."""
    y = index + np.random.default_rng(6).normal(size=ROWS)
    steps = 0.5 * np.floor(y / 0.5)
    low = np.where(y > 2, 2.0, np.where(y < 0, steps, y))
    piled = np.where(index + np.random.default_rng(7).logistic(size=ROWS) > 1.5, 2.0, y)
    high = np.where(y > 2, np.inf, np.where(y < 0, steps + 0.5, y))
    return {"told": y, "low": low, "high": high, "piled": piled}


@cache
def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=ROWS), rng.gamma(2.0, 1.0, ROWS)
    d, g = rng.integers(0, 2, ROWS), rng.choice(["a", "b"], ROWS)
    index = 0.2 + 0.5 * x - 0.3 * z + 0.4 * d + 0.3 * (g == "b")
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "d": d,
            "g": g,
            "period": rng.integers(0, 2, ROWS),
            "y": index + rng.normal(size=ROWS),
            "b": (index + rng.logistic(size=ROWS) > 0).astype(int),
            "rating": np.searchsorted([-0.8, 1.0], index + np.random.default_rng(8).logistic(size=ROWS)),
            "mode": np.random.default_rng(9).choice(["bus", "car", "walk"], ROWS),
            "copies": rng.integers(1, 4, ROWS),
            "inverse": rng.uniform(0.5, 2.0, ROWS),
            "o": 0.2 * rng.normal(size=ROWS),
            "firm": np.arange(ROWS) // 4,
            "own": np.arange(ROWS),
            **_recorded(index),
        }
    )


def quietly(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


@cache
def fitted(name: str, weights: str = "plain", cov: str = "HC0", right: str = RIGHT) -> Any:
    outcome, model = MODELS[name]
    kind = None if cov == "default" else COVS[cov]
    return quietly(lambda: model(f"{outcome} ~ {right}", **WEIGHTS[weights]).fit(table(), cov=kind))


def functionals(name: str) -> list[str]:
    """Those asked for; quantiles far from where a mass begins, where they have errors."""
    if name == "b":
        return ["prob[1]"]
    if name == "MultinomialLogit":
        return ["prob[walk]", "prob[bus]"]
    median = "q[0.1]" if "mass" in name else "q[0.5]"
    of_ordered = ["mean", "prob[0]", "prob[2]"] if name in CATEGORIES else ["mean", median, "std"]
    return ["mean"] if name in BINARY else of_ordered


def first(name: str) -> str:
    """A functional that is an average over rows."""
    return functionals(name)[0]


def answers(res: Any, name: str, *, target: str = "population", by: Any = None) -> dict[str, Any]:
    """Every answer of a result, as estimates."""
    options: dict[str, Any] = {"names": functionals(name), "target": target, "by": by}
    return quietly(
        lambda: {
            "functionals": res.functionals(**options),
            "effect": res.effect("x", -0.5, 0.5, **options),
            "levels": res.effect("g", "a", "b", **options),
            "derivative": res.derivative("z", **options),
            "effects": res.effects(**options).estimates,
        }
    )


def equal(found: Any, want: Any, what: str, rtol: float = SAME) -> None:
    """Values and covariances to a share of the largest."""
    assert found.names == want.names, what
    for a, b in ((found.values, want.values), (found.covariance, want.covariance)):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * float(np.abs(b).max()), err_msg=what)


def all_equal(found: dict[str, Any], want: dict[str, Any], rtol: float = SAME) -> None:
    for what in want:
        equal(found[what], want[what], what, rtol)


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


CASES = [
    (name, weights, cov)
    for name in MODELS
    for weights in WEIGHTS
    for cov in ("cluster",)
    if not (weights == "offset" and (name.startswith(("FlowDensity", "Multinomial")) or "mass" in name))
]


@pytest.mark.parametrize(("name", "weights", "cov"), CASES)
@pytest.mark.parametrize("by", [None, ["d", "period"]], ids=str)
def test_every_answer_for_both_targets(name: str, weights: str, cov: str, by: Any) -> None:
    """Values do not depend on the target, errors are finite, groups and functionals are named."""
    res = fitted(name, weights, cov)
    population, sample = (answers(res, name, target=t, by=by) for t in TARGETS)
    groups = 1 if by is None else 2 if by == "d" else 4
    for what, e in population.items():
        np.testing.assert_array_equal(e.values, sample[what].values, err_msg=what)
        assert np.isfinite(e.std_error).all(), what
        assert np.isfinite(sample[what].std_error).all(), what
        assert np.linalg.eigvalsh(e.covariance).min() > -1e-10 * np.trace(e.covariance)
        if what != "effects":
            assert len(e.names) == groups * len(functionals(name))
            assert len(set(e.names)) == len(e.names)
            assert e.title.startswith(TITLES[what].format(res.spec.outcome.name))
            assert (e.title[-12:], sample[what].title[-12:]) == ("(population)", "(these rows)")


@pytest.mark.parametrize(
    ("cov", "target"), [("HC1", "population"), ("cluster", "sample"), ("nonrobust", "population")]
)
def test_frequency_weights_are_repeated_rows(name: str, cov: str, target: str) -> None:
    d = table()
    outcome, model = MODELS[name]
    long = d.loc[np.repeat(d.index, d["copies"])].reset_index(drop=True)
    repeated = quietly(lambda: model(f"{outcome} ~ {RIGHT}").fit(long, cov=COVS[cov]))
    weighted = fitted(name, "frequency", cov)
    found, want = (answers(r, name, target=target, by="d") for r in (weighted, repeated))
    all_equal(found, want, PENALISED if name == "FlowDensity" else SAME)


def test_clusters_of_one_row_are_hc0(name: str) -> None:
    """Up to n/(n − 1), which averaging rows carry under HC0, and sums in clusters under "groups"."""
    hc0 = fitted(name)
    own = hc0.with_cov(de.Cluster("own", correction="none"))
    given, want = (r.functionals(functionals(name), target="sample") for r in (own, hc0))
    equal(given, want, "given the rows")
    plain, single = answers(hc0, name), answers(own, name)
    factor = np.sqrt(ROWS / (ROWS - 1))
    for what, e in single.items():
        moves = e.std_error > 1e-10  # of a law of one width the scale has no effect
        ratio = plain[what].std_error[moves] / e.std_error[moves]
        assert np.all((ratio > 0.99) & (ratio < factor * 1.001)), what
    if not name.startswith("FlowDensity"):
        for what, e in answers(hc0.with_cov(de.Cluster("own")), name).items():
            want_error = factor * single[what].std_error
            np.testing.assert_allclose(e.std_error, want_error, rtol=SAME, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("weights", ["plain", "frequency", "sampling"])
@pytest.mark.parametrize("by", ["d", ["d", "period"]], ids=str)
def test_groups_average_back_to_the_whole(name: str, weights: str, by: Any) -> None:
    res, d = fitted(name, weights), table()
    w = d[WEIGHTS[weights]["weights"]] if weights != "plain" else pd.Series(np.ones(ROWS))
    shares = (w.groupby([d[c] for c in ([by] if isinstance(by, str) else by)]).sum() / w.sum()).to_numpy()
    asks = [lambda by: res.functionals(first(name), by=by)]
    if name != "FlowDensity":  # whose steps look at the rows of a group alone
        asks.append(lambda by: res.effect("x", -0.5, 0.5, first(name), by=by))
        asks.append(lambda by: res.derivative("x", first(name), by=by))
    for ask in asks:
        e, whole = quietly(lambda ask=ask: ask(by)), quietly(lambda ask=ask: ask(None))
        assert shares @ e.values == pytest.approx(whole.values[0], rel=1e-12)


def test_contrasts_of_groups(name: str) -> None:
    """Differences, and differences in differences, of the rows' means."""
    res, d = fitted(name), table()
    m, of = quietly(lambda: res.predict(d)), first(name)
    if name in CATEGORIES:
        m = m.to_numpy() @ np.arange(3.0) if of == "mean" else m[of[5:-1]]
    m = np.asarray(m["estimate"] if isinstance(m, pd.DataFrame) else m)
    if name == "FlowDensity":  # functionals have all penalties, rows smaller ones
        m = np.asarray(res.distribution().mean())
    e = res.functionals(of, by="d")
    contrast = e.linear(f"{of} | d = 1 - {of} | d = 0")
    assert contrast.values[0] == pytest.approx(m[d["d"] == 1].mean() - m[d["d"] == 0].mean(), rel=1e-9)
    r = np.array([-1.0, 1.0])
    assert contrast.std_error[0] == pytest.approx(np.sqrt(r @ e.covariance @ r), rel=1e-12)
    cells = res.functionals(of, by=["d", "period"])
    did = cells.linear(
        f"{of} | d = 1, period = 1 - {of} | d = 1, period = 0 - {of} | d = 0, period = 1 + "
        f"{of} | d = 0, period = 0"
    )
    own = pd.Series(m).groupby([d["d"], d["period"]]).mean()
    want = own[1, 1] - own[1, 0] - own[0, 1] + own[0, 0]
    assert did.values[0] == pytest.approx(want, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("weights", ["plain", "frequency", "sampling"])
def test_rows_of_effects(name: str, weights: str) -> None:
    """Contrasts are those of `effect`, slopes those of `derivative`, coefficients weighted least squares."""
    res, d = fitted(name, weights), table()
    w = np.asarray(d[WEIGHTS[weights]["weights"]] if weights != "plain" else np.ones(ROWS), dtype=float)
    of, exact = first(name), name in (*BINARY, *CATEGORIES)
    effects = quietly(lambda: res.effects(of))
    for label, variable, ends in (("d: 1 - 0", "d", (0, 1)), ("g[T.b]", "g", ("a", "b"))):
        row = next(n for n in effects if n == label or (n.startswith("g: ") and variable == "g"))
        want = quietly(lambda v=variable, ends=ends: res.effect(v, *ends, of))
        np.testing.assert_allclose(effects[row].values, want.values, rtol=1e-12)
        np.testing.assert_allclose(effects[row].std_error, want.std_error, rtol=1e-9)
    slopes = effects.table()["estimate" if exact else "average_slope"]
    errors = effects.table()["std_error" if exact else "slope_error"]
    for v in ("x", "z"):
        want = res.derivative(v, of)
        assert slopes[f"{v}: {of}"] == pytest.approx(want.values[0], rel=1e-9)
        assert errors[f"{v}: {of}"] == pytest.approx(want.std_error[0], rel=1e-6)
    if exact or name == "FlowDensity" or "recorded" in name or "mass" in name:
        return
    Z = np.column_stack([np.ones(ROWS), d["x"], d["z"], d["d"], d["g"] == "b"]).astype(float)
    b = np.linalg.solve((Z * w[:, None]).T @ Z, (Z * w[:, None]).T @ d["y"])
    for v, want in zip(("x", "z"), b[1:3], strict=True):
        assert effects[v].values[0] == pytest.approx(want, rel=1e-6)


def test_best_linear_is_a_projection_of_the_rows() -> None:
    """On it and the others as they bend: of the mean least squares, without a step that of the rows' laws."""
    res = fitted("FlowDensity", "sampling")
    lower = quietly(lambda: res.effects(lambda law: law.cdf(0.0)))
    of_laws = np.asarray(res.flow.law(res.undersmoothed.theta, res.rows.sample.X).cdf(0.0))
    X, w = res.rows.X, np.sqrt(np.asarray(table()["inverse"]))
    names = list(res.spec.names)
    for v in ("x", "z"):
        others = [j for j, n in enumerate(names) if n != v]
        Z = np.column_stack([X[:, names.index(v)], np.ones(ROWS), res.flow.bent(X, names, others)])
        for effects, values in ((res.effects("mean"), res.rows.y), (lower, of_laws)):
            b = np.linalg.lstsq(Z * w[:, None], values * w, rcond=None)[0]
            assert effects[v].values[0] == pytest.approx(b[0], rel=1e-8)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("target", TARGETS)
def test_binary_answers_are_margins(name: str, weights: str, target: str) -> None:
    covs = ["HC0", "HC1", "HC2", "HC3", de.Cluster("firm"), de.Cluster("firm", "period"), de.HAC("own")]
    covs += [de.Cluster("firm", correction=c) for c in ("cr1", "jackknife")]
    for cov in covs if weights == "sampling" else ["nonrobust", "opg", *covs]:
        try:
            res = quietly(lambda cov=cov: fitted(name, weights).with_cov(cov))
        except OptionError:
            continue  # refused for these weights
        margins = quietly(lambda res=res: res.margins(target=target).estimates)
        mine = quietly(lambda res=res: res.effects(target=target).estimates)
        for a, b in ((mine.values, margins.values), (mine.covariance, margins.covariance)):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max(), err_msg=str(cov))
        by = quietly(lambda res=res: res.margins(by=["d", "period"], target=target).estimates)
        own = quietly(lambda res=res: res.effects(by=["d", "period"], target=target).estimates)
        at = [own.names.index(f"{n}: mean") for n in by.names]
        for a, b in ((by.values, own.values[at]), (by.covariance, own.covariance[np.ix_(at, at)])):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * np.abs(b).max(), err_msg=str(cov))
        one = res.derivative("z", target=target)
        want = res.margins("z", target=target).estimates
        assert one.values[0] == pytest.approx(want.values[0], rel=1e-12)
        assert one.std_error[0] == pytest.approx(want.std_error[0], rel=1e-12)
        two = quietly(lambda res=res: res.effect("x", -0.5, 0.5, target=target))
        ends = quietly(lambda res=res: res.margins({"x": (-0.5, 0.5)}, target=target).estimates)
        assert two.values[0] == pytest.approx(ends.values[0], rel=1e-12)
        assert two.std_error[0] == pytest.approx(ends.std_error[0], rel=1e-12)


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("weights", [w for w in WEIGHTS if w != "offset"])
@pytest.mark.parametrize("target", TARGETS)
def test_answers_of_categories_are_margins(name: str, weights: str, target: str) -> None:
    """Whoever asks: for the same covariance, in groups and cells, of every variable and category."""
    covs = ["HC0", "HC1", de.Cluster("firm"), de.Cluster("firm", "period"), de.HAC("own")]
    covs += [de.Cluster("firm", correction=c) for c in ("cr1", "jackknife")]
    covs = covs if weights == "sampling" else ["nonrobust", "opg", *covs]
    for cov in [c for c in covs if weights == "plain" or not isinstance(c, de.HAC)]:
        res = quietly(lambda cov=cov: fitted(name, weights).with_cov(cov))
        for by in (None, ["d", "period"]):
            margins = quietly(lambda res=res, by=by: res.margins(by=by, target=target).estimates)
            mine = quietly(lambda res=res, by=by: res.effects(by=by, target=target).estimates)
            words = [re.fullmatch(r"(.*) \[(.*)\]", n).groups() for n in margins.names]
            at = [mine.names.index(f"{effect}: prob[{level}]") for effect, level in words]
            V = mine.covariance[np.ix_(at, at)]
            for a, b in ((margins.values, mine.values[at]), (margins.covariance, V)):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * np.abs(b).max(), err_msg=str(cov))
            sums = margins.values.reshape(-1, 3).sum(axis=1)
            np.testing.assert_allclose(sums, 0, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "two"), [("OrderedLogit", "Logit"), ("OrderedProbit", "Probit"), ("MultinomialLogit", "Logit")]
)
@pytest.mark.parametrize("weights", ["plain", "frequency", "sampling"])
@pytest.mark.parametrize("target", TARGETS)
def test_answers_of_two_categories_are_those_of_the_binary_law(
    name: str, two: str, weights: str, target: str
) -> None:
    model = MODELS[name][1]
    binary = fitted(two, weights, "cluster")
    res = quietly(lambda: model(f"b ~ {RIGHT}", **WEIGHTS[weights]).fit(table(), cov=COVS["cluster"]))
    for by in (None, ["d", "period"]):
        found, want = (answers(r, n, target=target, by=by) for r, n in ((res, "b"), (binary, two)))
        for what, e in want.items():
            np.testing.assert_allclose(found[what].values, e.values, rtol=1e-10, atol=1e-12, err_msg=what)
            np.testing.assert_allclose(found[what].covariance, e.covariance, rtol=1e-7, atol=1e-12)
            assert found[what].df == e.df


@pytest.mark.parametrize("name", [n for n in MODELS if n not in (*BINARY, *CATEGORIES)])
def test_answers_of_clusters_are_by_t(name: str) -> None:
    """Limits have t(G − 1) and joint tests F(q, G − q), those of combinations too; else flows are normal."""
    res, G = fitted(name, "plain", "cluster"), table()["firm"].nunique()
    c, found = stats.t.ppf(0.975, G - 1), answers(res, name)
    for what, e in found.items():
        low, high = e.interval().T
        plain = [what != "functionals" or not n.startswith("q[") for n in e.names]
        np.testing.assert_allclose(((high - low) / 2)[plain], (c * e.std_error)[plain], rtol=1e-9)
        for joint in (e, e.linear(np.eye(len(e.names))[:2]), e.function([f"`{n}` + 1" for n in e.names])):
            assert (joint.df, joint.clusters) == (G - 1, G), what
    assert found["functionals"].wald(["mean = 0", "std = 1"]).df == (2, G - 2)
    rows = res.predict(table().head(3), ["mean"], ci=True)
    np.testing.assert_allclose((rows["conf_high"] - rows["estimate"]) / rows["std_error"], c, rtol=1e-9)
    assert answers(fitted(name), name)["effect"].df == (
        np.inf if any(word in name for word in ("Flow", "recorded", "mass")) else ROWS - 5
    )


def test_margins_of_groups_are_of_the_rows_of_the_fit() -> None:
    res = fitted("Logit")
    for options in ({"data": table().head(50)}, {"at": "mean"}):
        with pytest.raises(OptionError, match="by="):
            res.margins(by="d", **options)


def test_margins_of_clusters_have_hotellings_law() -> None:
    found = fitted("Logit", "plain", "cluster").margins()
    assert found.test(["x", "z"]).df == (2, 58)


def test_bands_and_files_of_clusters_are_by_t() -> None:
    res = fitted("FlowDensity", "plain", "cluster")
    c, grid = stats.t.ppf(0.975, 59), [0.5, 1.0, 1.5]
    normal = replace(res, facts=replace(res.facts, clusters=None))
    level = 2 * stats.norm.cdf(c) - 1
    medians = res.functionals("q[0.5]").interval(), normal.functionals("q[0.5]").interval(level)
    np.testing.assert_allclose(*medians, rtol=1e-6)
    for new in (None, table().head(2)):
        found, want = (np.log(r.band("pdf", new, grid=grid)) for r in (res, normal))
        for end, wider in (("conf_high", c / stats.norm.ppf(0.975)), ("band_high", 1.01)):
            ratio = (found[end] - found["estimate"]) / (want[end] - want["estimate"])
            assert (ratio > wider - 1e-9).all()
    file = io.BytesIO()
    res.save(file)
    loaded = de.load(io.BytesIO(file.getvalue()))
    for back in (loaded, loaded.attach(table())):
        assert str(back.summary()) == str(res.summary())
        pd.testing.assert_frame_equal(back.estimates.table(), res.estimates.table(), rtol=1e-9)
    with pytest.raises(NeedsData, match="with_cov"):  # the file does not name the column of the clusters
        loaded.attach(table()).functionals("mean")


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_have_probabilities_alone(name: str) -> None:
    res = fitted(name)
    for ask in (
        lambda: res.functionals("q[0.5]"),
        lambda: res.effect("x", 0, 1, ["prob[tram]"]),
        lambda: res.effects("prob[0,1]"),
        lambda: res.functionals(on="y"),
        lambda: res.margins(by="d", at="mean"),
        lambda: res.margins(target="population", at="mean"),
    ):
        with pytest.raises(OptionError):
            ask()


@pytest.mark.parametrize("name", BINARY)
def test_binary_outcomes_have_no_quantiles(name: str) -> None:
    res = fitted(name)
    for ask in (
        lambda: res.functionals("q[0.5]"),
        lambda: res.effect("x", 0, 1, "median"),
        lambda: res.derivative("x", ["mean", "q[0.5]"]),
        lambda: res.effects("q[0.9]"),
        lambda: res.predict(table(), "q[0.5]"),
    ):
        with pytest.raises(OptionError):
            ask()


@pytest.mark.parametrize("cov", ["cluster"])
def test_rows_in_another_order(name: str, cov: str) -> None:
    outcome, model = MODELS[name]
    shuffled = table().sample(frac=1.0, random_state=np.random.default_rng(1))
    other = quietly(lambda: model(f"{outcome} ~ {RIGHT}").fit(shuffled, cov=COVS[cov]))
    all_equal(
        answers(other, name, by=["d", "period"]),
        answers(fitted(name, "plain", cov), name, by=["d", "period"]),
    )


@pytest.mark.parametrize("kind", ["cdf", "pdf", "quantile"])
def test_bands_of_another_order(kind: str) -> None:
    model = MODELS["FlowDensity"][1](f"y ~ {RIGHT}")
    other = quietly(lambda: model.fit(table().iloc[::-1], cov="HC0"))
    grid = [0.2, 0.5, 0.8] if kind == "quantile" else [-1.0, 0.0, 1.0]
    found, want = (r.band(kind, grid=grid) for r in (other, fitted("FlowDensity")))
    pointwise = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(found[pointwise], want[pointwise], rtol=1e-6)
    np.testing.assert_allclose(
        fitted("FlowDensity").band(kind, grid=grid, target="sample")["estimate"], want["estimate"], rtol=1e-12
    )


def test_predictions(name: str) -> None:
    """With and without limits they have the same values; `at` is `predict` with limits."""
    res, new = fitted(name), table().head(5)
    plain, limits = res.predict(new), res.predict(new, ci=True)
    estimate = plain["estimate"] if "estimate" in getattr(plain, "columns", ()) else plain
    np.testing.assert_allclose(np.asarray(estimate).ravel(), limits["estimate"], rtol=1e-12)
    assert (limits["conf_low"] < limits["estimate"]).all()
    assert (limits["estimate"] < limits["conf_high"]).all()
    if hasattr(res, "at"):
        asked = functionals(name)
        pd.testing.assert_frame_equal(res.at(new, asked), res.predict(new, asked, ci=True))


@pytest.mark.parametrize("name", CATEGORIES)
def test_predictions_of_categories_by_functional(name: str) -> None:
    """Errors are those of the laws of rows, whose gradients are written apart; limits are those of all."""
    res, new, asked = fitted(name), table().head(4), functionals(name)
    found, each = (res.predict(new, *names, ci=True) for names in ([asked], []))
    laws = res.row_laws(res.spec.matrix(new).X, None)
    for functional, read in zip(asked, res.answering(asked, None, near=True).functionals, strict=True):
        own, moved = found.xs(functional, level="functional"), laws.by_row(read, np.eye(4))
        np.testing.assert_allclose(own["estimate"], moved.values, rtol=1e-12)
        np.testing.assert_allclose(own["std_error"], res.covariance.errors(moved.sums), rtol=1e-9)
        if functional != "mean":
            level = functional[5:-1]
            want = each.xs(int(level) if level.isdigit() else level, level=1)
            np.testing.assert_allclose(own, want, rtol=1e-12)
    np.testing.assert_array_equal(res.predict(new, asked)["estimate"], found["estimate"])


def test_predictions_of_rows_with_missing_values_are_missing(name: str) -> None:
    """The others keep theirs, whatever the labels; and a table may have no complete row."""
    res, new = fitted(name), table().head(3).set_axis(["r", "r", "s"])
    new.loc["s", "x"] = np.nan
    for asked in ([], [functionals(name)]):
        for ci in (False, True):
            found = res.predict(new, *asked, ci=ci)
            np.testing.assert_array_equal(found.loc["r"], res.predict(new.head(2), *asked, ci=ci))
            for gone in (found.loc[["s"]], res.predict(new.tail(1), *asked, ci=ci)):
                assert np.isnan(np.asarray(gone, dtype=float)).all()


def test_a_loaded_result_needs_the_rows(name: str) -> None:
    res = fitted(name)
    file = io.BytesIO()
    quietly(lambda: res.save(file))
    loaded = de.load(io.BytesIO(file.getvalue()))
    with pytest.raises(NeedsData):
        loaded.effect("x", -0.5, 0.5, first(name))
    all_equal(answers(loaded.attach(table()), name), answers(res, name))


def test_outside_of_the_fit(name: str) -> None:
    """The share of rows is told where a contrast leaves the fit; further than its width it is refused."""
    res, x = fitted(name), table()["x"]
    with pytest.warns(ExtrapolationWarning, match=re.escape("100%")):
        res.effect("x", 0.0, float(x.max()) + 0.5, first(name))
    with pytest.raises(OptionError, match="width"):
        res.effect("x", 0.0, float(x.max() + 1.1 * (x.max() - x.min())), first(name))
    new = table().head(3).assign(x=[0.0, x.max() + 0.5, np.nan])
    for ci in (False, True):
        with pytest.warns(ExtrapolationWarning, match="1 of 3 rows"):
            res.predict(new, ci=ci)
    with pytest.raises(OptionError, match="levels"):
        res.derivative("g", first(name))
    with pytest.raises(OptionError):
        res.functionals(first(name), target="nobody")


def test_nothing_passed_in_changes(name: str) -> None:
    outcome, model = MODELS[name]
    d = table().copy()
    asked, by, new = functionals(name), ["d", "period"], d.head(4).copy()
    before = [d.copy(), new.copy(), list(asked), list(by)]
    res = quietly(lambda: model(f"{outcome} ~ {RIGHT}").fit(d, cov="HC0"))
    theta, X = np.array(res.solution()), res.data_rows().X.copy()
    answers(res, name, by=by)
    quietly(lambda: (res.effect("x", 0, 1, asked, by=by), res.predict(new, ci=True)))
    quietly(lambda: res.predict(new) if name in CATEGORIES else res.predict(new, asked))
    pd.testing.assert_frame_equal(d, before[0])
    pd.testing.assert_frame_equal(new, before[1])
    assert [asked, by] == before[2:]
    np.testing.assert_array_equal(res.solution(), theta)
    np.testing.assert_array_equal(res.data_rows().X, X)


def test_errors_of_the_population_count_the_rows(name: str) -> None:
    """Of a mean they are those given the rows and more; without covariates' help, sd/√n."""
    column = {"interval(low, high)": "told", "mass(piled, 2)": "piled"}
    res, y = fitted(name), table()[column.get(MODELS[name][0], MODELS[name][0])]
    y = y if first(name) == "mean" else (y == first(name)[5:-1])
    population, sample = (res.functionals(first(name), target=t).std_error[0] for t in TARGETS)
    assert population > sample
    assert population == pytest.approx(y.std() / np.sqrt(ROWS), rel=0.03)


@pytest.mark.parametrize("name", ["FlowDensity, linear", "NormalRegression"])
def test_errors_of_best_linear_coefficients_are_those_of_least_squares(name: str) -> None:
    d, effects = table(), quietly(lambda: fitted(name).effects("mean"))
    X = np.column_stack([np.ones(ROWS), d["x"], d["z"], d["d"], d["g"] == "b"]).astype(float)
    inverse = np.linalg.inv(X.T @ X)
    scores = X * (d["y"] - X @ (inverse @ X.T @ d["y"])).to_numpy()[:, None]
    want = np.sqrt(np.diagonal(inverse @ scores.T @ scores @ inverse))[1:]
    np.testing.assert_allclose(effects.estimates.std_error, want, rtol=1e-5)
    assert not any(effects.apart)


@pytest.mark.parametrize("name", ["FlowDensity", "NormalRegression"])
@pytest.mark.parametrize("unit", [1e-12, 1e9])
def test_units_of_a_variable_are_those_of_its_coefficient(name: str, unit: float) -> None:
    """Also where other columns are far longer, or far shorter, than its own."""
    d = table().assign(x=table()["x"] * unit, z=table()["z"] / unit)
    res = quietly(lambda: MODELS[name][1](f"y ~ {RIGHT}").fit(d, cov="HC0"))
    found, want = (quietly(lambda r=r: r.effects("mean")) for r in (res, fitted(name)))
    for v, own in (("x", unit), ("z", 1 / unit)):
        assert found[v].values[0] * own == pytest.approx(want[v].values[0], rel=1e-5)
        assert found[v].std_error[0] * own == pytest.approx(want[v].std_error[0], rel=1e-5)
    assert found["d: 1 - 0"].values[0] == pytest.approx(want["d: 1 - 0"].values[0], rel=1e-5)


@pytest.mark.parametrize("name", ["FlowDensity", "NormalRegression"])
def test_a_variable_that_does_not_vary_in_a_group(name: str) -> None:
    """It has no coefficient there, which is said without a word on tails; slopes and other rows stay."""
    d = table().assign(k=np.arange(ROWS) % 3)
    res = quietly(lambda: MODELS[name][1]("y ~ x + k").fit(d, cov="HC0"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        effects = res.effects("mean", by="k")
    t = effects.table()
    own = t.index.str.startswith("k |")
    assert own.sum() == 3
    assert t.loc[own, ["estimate", "std_error"]].isna().all(axis=None)
    assert np.isfinite(t.loc[own, "average_slope"]).all()
    assert np.isfinite(t.loc[~own, ["estimate", "std_error"]]).all(axis=None)
    assert "Withheld: the other variables, or the group" in str(effects.summary())


def test_slopes_of_few_values_average_back_to_the_whole() -> None:
    """In groups of few rows too, where every variable has few values: heaps are those of all rows."""
    d = table().assign(k=np.arange(ROWS) % 7, small=np.arange(ROWS) % 12)
    res = quietly(lambda: MODELS["FlowDensity, linear"][1]("y ~ x + k").fit(d, cov="HC0"))
    for v in ("x", "k"):
        groups, whole = res.derivative(v, "mean", by="small"), res.derivative(v, "mean")
        assert groups.values.mean() == pytest.approx(whole.values[0], rel=1e-10)


def test_a_summary_is_no_wider_than_a_page(name: str) -> None:
    res = fitted(name)
    for by in (None, "d"):
        effects = quietly(lambda by=by: res.effects(by=by))
        text = str(effects.summary())
        assert max(map(len, text.splitlines())) <= 78
        assert ("Groups:" in text) == (by is not None)
    assert max(map(len, str(quietly(res.summary)).splitlines())) <= 78


def test_a_variable_that_enters_late_alone_has_no_effect_now(name: str) -> None:
    outcome, model = MODELS[name]
    res = quietly(lambda: model(f"{outcome} ~ x + lag(z)").fit(table(), cov="HC0"))
    for ask in (lambda: res.effect("z", 0, 1, first(name)), lambda: res.derivative("z", first(name))):
        with pytest.raises(OptionError, match="lag"):
            ask()
    assert [n.split(":")[0] for n in quietly(lambda: res.effects(first(name)))] == ["x"]


def test_a_contrast_of_few_values_is_that_of_their_means() -> None:
    """Alone in the formula the span knows every value, whatever the flow has made of them."""
    rng = np.random.default_rng(4)
    k = rng.choice([0.0, 1.0, 2.0, 5.0], 400, p=[0.1, 0.4, 0.3, 0.2])
    d = pd.DataFrame({"k": k, "y": (k == 2) + rng.gumbel(size=400), "w": rng.integers(1, 4, 400)})
    for weights in (None, "w"):
        model = de.FlowDensity("y ~ k", weights=weights, weight_type=weights and "frequency")
        found = model.fit(d).effect("k", 1, 2, ["mean", "prob[-1,1]"])
        w = np.ones(400) if weights is None else d.w.to_numpy()
        for seen, value in zip((d.y, (d.y > -1) & (d.y <= 1)), found.values, strict=True):
            means = [np.average(seen[k == v], weights=w[k == v]) for v in (1, 2)]
            assert value == pytest.approx(means[1] - means[0], abs=1e-9)


def test_representers_sum_to_effects_of_what_they_span() -> None:
    rng = np.random.default_rng(5)
    x, z, w = rng.gamma(2, size=300), rng.normal(size=300), rng.uniform(size=300)
    shares, Z = w / w.sum(), np.column_stack([np.ones(300), z, z**2])
    knots = hat_knots(x, shares, 4000)
    assert len(knots) == 5
    a = representer(hats(x, knots), np.array([[-1.0, 0, 0, 1.0, 0]]).T, Z, shares)[:, 0]
    np.testing.assert_allclose(hats(x, knots).T @ a, [-1, 0, 0, 1, 0], atol=1e-10)
    np.testing.assert_allclose(Z.T @ a, 0, atol=1e-12)


# ---- answers from draws ------------------------------------------------------------------------------------


@cache
def drawn(right: str = RIGHT, weights: str = "plain", cov: str = "default", draws: int = 100) -> Any:
    model = de.DistributionRegression(f"y ~ {right}", thresholds=6, **WEIGHTS[weights])
    return model.fit(table(), cov=None if cov == "default" else COVS[cov], draws=draws, seed=1)


def test_answers_from_draws_have_the_same_words() -> None:
    """Names, index and columns are those of other laws; groups and both targets are told apart."""
    res, other, asked = drawn(), fitted("NormalRegression", cov="HC1"), ["mean", "q[0.5]"]
    asks: list[Callable[[Any], Any]] = [
        lambda r: r.functionals(["mean", "std"], by=["d", "period"]),
        lambda r: r.effect("x", -0.5, 0.5, asked, by="d"),
        lambda r: r.effect("g", "a", "b", asked, target="sample"),
    ]
    for ask in asks:
        found = ask(res)
        assert (found.names, found.title) == (ask(other).names, ask(other).title)
        assert np.isfinite(found.std_error).all()
    for ci in (False, True):
        found, want = (r.predict(table().head(4), asked, ci=ci) for r in (res, other))
        assert found.index.equals(want.index)
        assert list(found) == list(want)
        assert found.index.names == want.index.names
    means, medians = (found.xs(n, level="functional") for n in asked)
    assert (means["conf_low"] < means["estimate"]).all()
    assert medians["std_error"].isna().all()  # they move in steps: limits invert those of F
    assert ((medians["conf_low"] <= medians["estimate"]) & (medians["estimate"] < medians["conf_high"])).all()
    sample, population = (res.effect("x", -0.5, 0.5, asked, target=t) for t in ("sample", "population"))
    np.testing.assert_array_equal(sample.values, population.values)
    assert (sample.std_error != population.std_error).all()


def test_answers_from_draws_of_groups_are_those_of_their_rows() -> None:
    """With levels alone on the right and all thresholds laws are the groups' own, errors those of means."""
    model = de.DistributionRegression("y ~ g", thresholds="all")
    res = quietly(lambda: model.fit(table(), cov="HC0", draws=800, seed=1))  # some are separated
    of = {g: table().y[table().g == g] for g in "ab"}
    means = np.array([of[g].mean() for g in "ab"])
    errors = np.array([of[g].std(ddof=0) / np.sqrt(len(of[g])) for g in "ab"])
    groups, effect = res.functionals("mean", by="g"), res.effect("g", "a", "b", "mean")
    np.testing.assert_allclose(groups.values, means, rtol=1e-9)
    assert effect.values[0] == pytest.approx(means[1] - means[0], rel=1e-9)
    rows = res.predict({"g": ["a", "b"]}, ["mean", "q[0.3]"], ci=True).unstack()
    np.testing.assert_allclose(rows["estimate", "mean"], means, rtol=1e-9)
    for g, value in zip("ab", rows["estimate", "q[0.3]"], strict=True):
        assert value == np.sort(of[g])[int(np.ceil(0.3 * len(of[g]))) - 1]
    # spreads of 800 draws have an error of .025; the bar is four of these
    for found, want in (
        (groups.std_error, errors),
        (rows["std_error", "mean"], errors),
        (effect.std_error, np.hypot(*errors)),
    ):
        np.testing.assert_allclose(found, want, rtol=0.1)


@pytest.mark.parametrize("weights", ["frequency", "sampling"])
def test_answers_from_draws_are_weighted(weights: str) -> None:
    res, w = drawn(weights=weights), table()[WEIGHTS[weights]["weights"]]
    groups = res.functionals("mean", by="d")
    shares = w.groupby(table()["d"]).sum() / w.sum()
    assert shares.to_numpy() @ groups.values == pytest.approx(res.average().mean(), rel=1e-9)
    each = [res.predict(table().assign(x=x)).to_numpy()[:, 0] for x in (-0.5, 0.5)]
    assert res.effect("x", -0.5, 0.5).values[0] == pytest.approx(np.average(each[1] - each[0], weights=w))


def test_answers_from_draws_of_clusters_are_by_t() -> None:
    res, G = drawn(cov="cluster"), table()["firm"].nunique()
    for e in (res.effect("x", 0, 1), res.functionals("mean", by="d")):
        assert (e.df, e.clusters) == (G - 1, G)
    rows = res.predict(table().head(3), ci=True)
    ratio = (rows["conf_high"] - rows["estimate"]) / rows["std_error"]
    np.testing.assert_allclose(ratio, stats.t.ppf(0.975, G - 1), rtol=1e-9)


def test_answers_from_draws_of_a_file_need_the_rows() -> None:
    res, file, new = drawn(), io.BytesIO(), table().head(3)
    res.save(file)
    loaded = de.load(io.BytesIO(file.getvalue()))
    pd.testing.assert_frame_equal(loaded.predict(new), res.predict(new))
    for ask in (lambda r: r.effect("x", 0, 1), lambda r: r.predict(new, ci=True)):
        with pytest.raises(NeedsData):
            ask(loaded)
    again = loaded.attach(table())
    pd.testing.assert_frame_equal(again.predict(new, ci=True), res.predict(new, ci=True))


def test_answers_from_draws_that_are_refused() -> None:
    res, x = drawn(), table()["x"]
    with pytest.warns(ExtrapolationWarning, match="100% of the rows"):
        res.effect("x", x.min(), x.max() + 0.5 * np.ptp(x))
    for ask, words in (
        (lambda: res.effect("x", 0, x.max() + 2 * np.ptp(x)), "more than their width"),
        (lambda: res.functionals("q[0.5]", by="d"), "quantiles"),
        (lambda: res.predict(table(), "std", ci=True), "no limits"),
        (lambda: res.effect("x", 0, 1, "std"), "no limits"),
        (lambda: res.functionals("mean", by="y"), "groups"),
        (lambda: res.effect("x", 0, 1, target="nobody"), "target"),
    ):
        with pytest.raises(OptionError, match=words):
            ask()
    new = table().head(2).assign(x=[np.nan, 0.0])
    rows = res.predict(new, ["mean", "q[0.5]"], ci=True)
    assert rows["estimate"].isna().tolist() == [True, True, False, False]
