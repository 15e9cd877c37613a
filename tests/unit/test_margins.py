"""Marginal effects: exact derivatives against brute force, statsmodels as oracle, weights,
separation, memory.
"""

from __future__ import annotations

import io
import tracemalloc
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import special

import disteconometrics as de
from disteconometrics.data.scenario import Scenario
from disteconometrics.errors import (
    DataError,
    LevelError,
    MissingColumnError,
    MissingValuesWarning,
    NeedsData,
    OptionError,
    SeparationWarning,
    WithheldError,
)

RNG_SEED = 11
EXACT = 1e-9  # derivatives are exact; central differences with Richardson's correction are this good
SAME = 1e-8  # statsmodels stops its iterations here
MB = 1e6


@cache
def sample(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(RNG_SEED)
    x, z = rng.gamma(3.0, 1.0, n) + 0.2, rng.normal(size=n)
    d, g = (rng.random(n) < 0.4).astype(int), rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    eta = -0.8 + 0.4 * x - 0.5 * z + 0.6 * d - 0.3 * (g == "b") + 0.2 * x * z
    y = (rng.random(n) < special.expit(eta)).astype(int)
    w = rng.integers(1, 4, n)
    flag = rng.random(n) < 0.5
    return pd.DataFrame(
        {"y": y, "x": x, "z": z, "d": d, "g": g, "w": w, "flag": flag, "k": rng.integers(0, 4, n)}
    )


def change(res: Any, df: pd.DataFrame, name: str, h: float) -> np.ndarray:
    """Central difference of predicted probabilities with Richardson's correction, row by row."""

    def at(step: float) -> np.ndarray:
        up, down = (res.predict(df.assign(**{name: df[name] + s})).to_numpy() for s in (step, -step))
        return np.asarray((up - down) / (2 * step))

    return (4 * at(h / 2) - at(h)) / 3


TERMS = [
    *(
        "x",
        "x + I(x**2)",
        "x * z",
        "poly(x, 3)",
        "poly(x, 2, raw=True)",
        "scale(x)",
        "center(x):z",
        "standardize(x) + d",
    ),
    *(
        "log(x)",
        "np.log1p(x) + sqrt(x)",
        "exp(-x/3)",
        "I(1/x)",
        "I(x**0.5)",
        "I(2**x/10)",
        "x:g",
        "x*d*z",
        "I(x*z - x/2)",
    ),
    *(
        "sin(x) + cos(x)",
        "tanh(x)",
        "arctan(x) + hypot(x, z)",
        "cbrt(x) + reciprocal(x)",
        "log10(x)",
        "log2(x)",
        "I(-x)",
    ),
    *(
        "maximum(x, 100 * d)",
        "minimum(x, 100 * d)",
        "where(z > 0, x, x**2/5)",
        "clip(x, -100, 100)",
        "arctan2(z, x)",
        "abs(x - 20)",
    ),
    *(
        "power(x, 2)",
        "scale(log(x))",
        "poly(log(x), 2)",
        "square(x)",
        "np.expm1(x/9)",
        "arcsinh(x)",
        "Q('x')",
    ),
]


@pytest.mark.parametrize("terms", TERMS)
def test_derivatives_go_through_the_formula(terms: str) -> None:
    df = sample()
    res = de.Logit(f"y ~ z + {terms}").fit(df)
    brute = change(res, df, "x", 2e-3).mean()
    assert res.margins({"x": "derivative"}).params["x"] == pytest.approx(brute, rel=EXACT, abs=1e-11)


@pytest.mark.parametrize(
    "term",
    [
        *(
            "bs(x, df=5)",
            "bs(x, df=4, degree=2)",
            "bs(x, df=6, include_intercept=True) - 1",
            "cr(x, df=4) - 1",
            "cc(x, df=4) - 1",
        ),
        *(
            "bs(x, knots=[2, 4], lower_bound=0, upper_bound=20)",
            "bs(log(x), df=5)",
            "bs(x, df=5):z",
            "bs(x, df=4, degree=1)",
        ),
    ],
)
def test_splines_are_differentiated_between_their_knots(term: str) -> None:
    """Inside the range and away from knots a difference may look to both sides;
    there the two agree row by row.
    """
    df = sample()
    res = de.Logit(f"y ~ d + {term}").fit(df)
    inner = df[(df.x > df.x.quantile(0.02)) & (df.x < df.x.quantile(0.98))]
    rows = Scenario.of_data(res.spec, inner)
    part = rows.part(0, rows.size, {})
    columns, D = part.derivative("x")

    def at(step: float) -> np.ndarray:
        up, down = (res.spec.matrix(inner.assign(x=inner.x + s)).X for s in (step, -step))
        return np.asarray((up - down)[:, columns] / (2 * step))

    gap = np.abs(D - (4 * at(5e-4) - at(1e-3)) / 3).max(axis=1)
    scale = np.abs(D).max()
    assert np.median(gap) < EXACT * scale
    assert np.mean(gap > 1e-8 * scale) < 0.03  # rows within a step of a knot


def test_a_polynomial_is_the_same_however_it_is_written() -> None:
    df = sample()
    written = [
        "x + I(x**2) + I(x**3)",
        "poly(x, 3)",
        "bs(x, df=3)",
        "poly(x, 3, raw=True)",
        "scale(x) + I(scale(x)**2) + I(x**3)",
    ]
    tables = [de.Logit(f"y ~ z + {t}").fit(df).margins(target="population").estimates for t in written]
    for t in tables[1:]:
        np.testing.assert_allclose(t.values[::-1][0], tables[0].values[::-1][0], rtol=1e-8)
        np.testing.assert_allclose(sorted(t.std_error), sorted(tables[0].std_error), rtol=1e-8)


@pytest.mark.parametrize("estimator", [de.Logit, de.Probit])
@pytest.mark.parametrize("kind", ["dydx", "eyex", "dyex", "eydx"])
@pytest.mark.parametrize("at", ["overall", "mean"])
def test_statsmodels_agrees(estimator: Any, kind: str, at: str) -> None:
    df = sample().assign(z=lambda f: f.z + 4)
    res = estimator("y ~ x + z + d").fit(df)
    peer = (sm.Logit if estimator is de.Logit else sm.Probit)(df.y, sm.add_constant(df[["x", "z", "d"]])).fit(
        disp=0, tol=1e-12
    )
    theirs, ours = peer.get_margeff(at=at, method=kind), res.get_margeff(at=at, method=kind)
    np.testing.assert_allclose(ours.params, theirs.margeff, rtol=SAME)
    np.testing.assert_allclose(ours.bse, theirs.margeff_se, rtol=1e-6)
    np.testing.assert_allclose(ours.conf_int(), theirs.conf_int(), rtol=1e-6)


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_statsmodels_agrees_on_dummies(at: str) -> None:
    df = sample()
    res = de.Logit("y ~ x + z + d").fit(df)
    theirs = (
        sm.Logit(df.y, sm.add_constant(df[["x", "z", "d"]]))
        .fit(disp=0, tol=1e-12)
        .get_margeff(at=at, dummy=True)
    )
    ours = res.margins(at=at)
    assert ours.estimates.names == ("x", "z", "d: 1 - 0")
    np.testing.assert_allclose(ours.params, theirs.margeff, rtol=SAME)
    np.testing.assert_allclose(ours.bse, theirs.margeff_se, rtol=1e-6)
    np.testing.assert_allclose(res.get_margeff(at=at, dummy=True).bse, ours.bse)


@pytest.mark.parametrize("kind", ["dydx", "eydx"])
def test_levels_are_contrasts_with_the_base(kind: str) -> None:
    df = sample()
    res = de.Logit("y ~ x*g + flag*z + C(k, contr.treatment(2))").fit(df)
    m = res.margins(["g", "flag", "k"], kind=kind)
    f = np.log if kind == "eydx" else np.asarray
    expected = {
        f"{name}: {b} - {a}": (
            f(res.predict(df.assign(**{name: b}))) - f(res.predict(df.assign(**{name: a})))
        ).mean()
        for name, a, b in [
            ("g", "a", "b"),
            ("g", "a", "c"),
            ("flag", False, True),
            ("k", 2, 0),
            ("k", 2, 1),
            ("k", 2, 3),
        ]
    }
    assert list(m.params.index) == list(expected)
    np.testing.assert_allclose(m.params, list(expected.values()), rtol=1e-10)


@pytest.mark.parametrize("kind", ["dydx", "eyex", "dyex", "eydx"])
@pytest.mark.parametrize("at", ["overall", "mean", "dict"])
def test_errors_are_the_delta_method(kind: str, at: str) -> None:
    """The gradient against differences of the margins in the coefficients."""
    df = sample().assign(z=lambda f: f.z + 4)
    res = de.Logit("y ~ x*z + I(x**2) + g + d", weights="w", weight_type="frequency").fit(df, cov="HC1")
    where: Any = {"z": [3, 5]} if at == "dict" else at
    variables = ["x", "z"] if kind in ("eyex", "dyex") else None
    values = {"variables": variables, "at": where, "kind": kind}
    m, beta = res.margins(**values), res.coefficients.copy()

    def moved(step: np.ndarray) -> np.ndarray:
        object.__setattr__(res, "coefficients", beta + step)
        out = res.margins(**values).estimates.values
        object.__setattr__(res, "coefficients", beta)
        return np.asarray(out)

    h = 1e-5
    G = np.column_stack([(moved(h * e) - moved(-h * e)) / (2 * h) for e in np.eye(len(beta))])
    np.testing.assert_allclose(m.bse, np.sqrt(np.diagonal(G @ res.covariance.matrix @ G.T)), rtol=1e-6)


@pytest.mark.parametrize("target", ["sample", "population"])
def test_frequency_weights_stand_for_rows(target: str) -> None:
    df = sample()
    model = "y ~ x + I(x**2) + g + d"
    a = de.Logit(model, weights="w", weight_type="frequency").fit(df).margins(target=target).estimates
    b = de.Logit(model).fit(df.loc[df.index.repeat(df.w)]).margins(target=target).estimates
    np.testing.assert_allclose(a.values, b.values, rtol=1e-9)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-8, atol=1e-16)


def test_sampling_weights_average_with_their_weights() -> None:
    df = sample()
    res = de.Logit("y ~ x + z", weights="w", weight_type="sampling").fit(df)
    expected = np.average(change(res, df, "x", 2e-3), weights=df.w)
    assert res.margins("x").params["x"] == pytest.approx(expected, rel=EXACT)


def test_the_population_adds_the_variance_of_the_average() -> None:
    df = sample()
    res = de.Logit("y ~ x + z").fit(df)
    effects = change(res, df, "x", 2e-3)
    a, b = (res.margins("x", target=t).bse["x"] for t in ("sample", "population"))
    assert b**2 - a**2 == pytest.approx(effects.var(ddof=1) / len(df), rel=1e-7)


def test_fixed_values_and_grids() -> None:
    df = sample()
    res = de.Logit("y ~ x*z + g*x").fit(df)
    m = res.margins("x", at={"z": [-1, 0, 1], "g": "b"})
    assert m.estimates.names == ("x | z = -1", "x | z = 0", "x | z = 1")
    for v, value in zip((-1.0, 0.0, 1.0), m.params, strict=True):
        assert value == pytest.approx(change(res, df.assign(z=v, g="b"), "x", 2e-3).mean(), rel=EXACT)
    assert res.margins("g", at={"z": 0}).estimates.names == ("g: b - a", "g: c - a")
    own = res.margins("x", at={"x": 2.0}).params["x"]
    assert own == pytest.approx(change(res, df.assign(x=2.0), "x", 2e-3).mean(), rel=EXACT)
    assert m.test("x | z = 0 = x | z = 1").df == (1,)


def test_the_average_row_takes_means_of_numbers_and_shares_of_levels() -> None:
    df = sample()
    res = de.Logit("y ~ x + I(x**2) + g").fit(df)
    b, x = res.params, df.x.mean()
    eta = (
        b["Intercept"]
        + b["x"] * x
        + b["I(x ** 2)"] * x**2
        + b["g[T.b]"] * (df.g == "b").mean()
        + b["g[T.c]"] * (df.g == "c").mean()
    )
    p = special.expit(eta)
    assert res.margins("x", at="mean").params["x"] == pytest.approx(
        p * (1 - p) * (b["x"] + 2 * b["I(x ** 2)"] * x), rel=1e-12
    )


def test_contrasts_of_margins() -> None:
    m = de.Logit("y ~ x + z + d").fit(sample()).margins()
    t, e = m.test("x = z"), m.nlcom("x - z")
    assert t.statistic == pytest.approx(float(e.statistic[0]) ** 2)
    assert "d: 1 - 0" in str(m.summary())
    assert "Marginal Effects" in m.summary().as_latex()
    assert m._repr_html_().startswith("<table")
    assert list(m.cov_params().columns) == list(m.params.index)
    pd.testing.assert_series_equal(m.tvalues, m.params / m.bse)
    assert (m.pvalues >= 0).all()


def test_an_offset_and_lags_are_held() -> None:
    df = sample().assign(o=0.3)
    with pytest.warns(MissingValuesWarning):
        res = de.Logit("y ~ x + lag(x) + z", offset="o").fit(df.assign(o=df.z / 5))
    p = res.predict()
    assert res.margins("x").params["x"] == pytest.approx((p * (1 - p)).mean() * res.params["x"], rel=1e-12)
    with pytest.warns(MissingValuesWarning):
        lagged = de.Logit("y ~ lag(x)").fit(df)
    with pytest.raises(OptionError, match=r"lag\(\) only"):
        lagged.margins("x")


def test_new_rows_and_missing_values() -> None:
    df = sample().assign(z=lambda f: f.z.where(f.index % 7 > 0))
    res = de.Logit("y ~ x + I(z**2) + g").fit(df)
    clean = de.Logit("y ~ x + I(z**2) + g").fit(df.dropna())
    np.testing.assert_allclose(res.margins().params, clean.margins().params, rtol=1e-9)
    file = io.BytesIO()
    res.save(file)
    loaded = de.load(io.BytesIO(file.getvalue()))
    with pytest.raises(NeedsData, match="attach"):
        loaded.margins()
    pd.testing.assert_frame_equal(loaded.margins(data=df).estimates.table(), res.margins().estimates.table())
    assert loaded.margins("x", data=df.head(50)).rows == df.head(50).dropna().shape[0]


def test_separation_leaves_the_other_variables() -> None:
    df = sample()
    df = df.assign(s=((df.y == 1) & (df.index % 3 == 0)).astype(int))
    with pytest.warns(SeparationWarning):
        res = de.Logit("y ~ x + z + s").fit(df)
    m = res.margins()
    assert m.estimates.names == ("x", "z")
    assert any("Left out for separation: s" in note for note in m.notes)
    inside = df.s == 0
    p = de.Logit("y ~ x + z").fit(df[inside])
    np.testing.assert_allclose(m.params, p.margins().params * inside.mean(), rtol=1e-7)
    np.testing.assert_allclose(m.bse, p.margins().bse * inside.mean(), rtol=1e-7)
    for kind in ("dydx", "eydx"):
        with pytest.raises(WithheldError, match="separated"):
            res.margins("s", kind=kind)
    with pytest.raises(WithheldError, match="dydx"):
        res.margins("x", kind="eyex")
    with pytest.raises(WithheldError, match="overall"):
        res.margins("x", at="mean")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"variables": "educ"}, MissingColumnError, "variables are 'x'"),
        ({"variables": []}, OptionError, "empty"),
        ({"variables": 3}, OptionError, "give a name"),
        ({"variables": {"x": (1,)}}, OptionError, "at least two"),
        ({"variables": {"x": (1, 1)}}, OptionError, "repeat"),
        ({"variables": {"x": ("a", "b")}}, OptionError, "finite number"),
        ({"variables": {"g": "derivative"}}, OptionError, "has levels"),
        ({"variables": {"g": ("a", "q")}}, LevelError, "not a level"),
        ({"variables": "g", "kind": "eyex"}, OptionError, "levels"),
        ({"variables": "k"}, OptionError, "steps only"),
        ({"at": "median"}, OptionError, "overall"),
        ({"at": {}}, OptionError, "fixes nothing"),
        ({"at": {"q": 1}}, MissingColumnError, "not a variable"),
        ({"at": {"g": "a"}}, OptionError, "contrasted"),
        ({"variables": "x", "at": {"g": ["q"]}}, LevelError, "not a level"),
        ({"variables": "x", "at": {"z": []}}, OptionError, "no value"),
        ({"kind": "slope"}, OptionError, "dydx"),
        ({"target": "world"}, OptionError, "population"),
        ({"target": "population", "at": "mean"}, OptionError, "averages"),
        ({"level": 95}, OptionError, "level"),
        ({"data": pd.DataFrame({"x": [np.nan], "z": 1.0, "g": "a", "k": 1})}, DataError, "no complete row"),
    ],
)
def test_errors_say_what_to_write(options: dict[str, Any], error: type[Exception], words: str) -> None:
    res = de.Logit("y ~ x + z + g + I(k > 1)").fit(sample())
    with pytest.raises(error, match=words):
        res.margins(**options)


def test_clusters_have_no_population_variance() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = de.Logit("y ~ x").fit(sample(), cov=de.Cluster("k"))
    with pytest.raises(WithheldError, match="independent"):
        res.margins(target="population")
    assert res.margins().bse["x"] > 0


def test_the_default_leaves_out_what_has_no_effect() -> None:
    res = de.Logit("y ~ x + I(k > 1) + g").fit(sample())
    m = res.margins(kind="eydx")
    assert m.estimates.names == ("x", "g: b - a", "g: c - a")
    assert any("'k' enters the formula through steps" in note for note in m.notes)
    assert res.margins({"k": (0, 3)}).params["k: 3 - 0"] == pytest.approx(
        (res.predict(sample().assign(k=3)) - res.predict(sample().assign(k=0))).mean()
    )
    with pytest.raises(OptionError, match="No variable"):
        de.Logit("y ~ 1").fit(sample()).margins()


@pytest.mark.parametrize(
    ("options", "line"),
    [({"at": "median"}, "at="), ({"atexog": {1: 2}}, r"res.margins\(at="), ({"count": True}, "kids")],
)
def test_get_margeff_shows_the_right_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(OptionError, match=line):
        de.Logit("y ~ x").fit(sample()).get_margeff(**options)


def test_memory_does_not_grow_with_the_rows() -> None:
    """Margins hold a part of the rows at a time: at n = 200,000 well below the 12.8 MB of the design itself,
    beyond a base.
    """
    peaks = []
    for n in (50_000, 200_000):
        rng = np.random.default_rng(RNG_SEED)
        df = pd.DataFrame({f"x{j}": rng.normal(size=n) for j in range(8)})
        df["y"] = (rng.random(n) < special.expit(0.3 * df.x0 - 0.2 * df.x1)).astype(int)
        res = de.Logit("y ~ x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7").fit(df)
        res.margins()
        tracemalloc.start()
        res.margins(target="population")
        peaks.append(tracemalloc.get_traced_memory()[1] / MB)
        tracemalloc.stop()
    print(f"\nmargins, peak beyond the data: {peaks[0]:.1f} MB at 50,000 rows, {peaks[1]:.1f} MB at 200,000")
    assert peaks[1] < 40
    assert peaks[1] < 1.3 * peaks[0]


def test_a_plot_of_margins() -> None:
    from matplotlib import pyplot as plt

    ax = de.Logit("y ~ x*z").fit(sample()).margins("x", at={"z": [-1, 0, 1]}).plot()
    assert list(ax.data.index) == ["x | z = -1", "x | z = 0", "x | z = 1"]
    plt.close(ax.figure)


def test_a_contrast_holds_lags() -> None:
    df = sample()
    with pytest.warns(MissingValuesWarning):
        res = de.Logit("y ~ I(x - lag(x)) + z").fit(df)
    b, before = res.params.iloc[1], df.x.shift(1).iloc[1:]
    rest = res.predict(linear=True) - b * (df.x.iloc[1:] - before)
    expected = (special.expit(rest + b * (3 - before)) - special.expit(rest + b * (1 - before))).mean()
    assert res.margins({"x": (1, 3)}).params["x: 3 - 1"] == pytest.approx(expected, rel=1e-12)


def test_many_levels_are_contrasted_without_many_designs() -> None:
    """A factor of 30 levels at 60,000 rows, kept as codes by the fit: 29 contrasts in a few megabytes."""
    rng, n = np.random.default_rng(RNG_SEED), 60_000
    df = pd.DataFrame({"x": rng.normal(size=n), "g": rng.integers(0, 30, n)})
    df["y"] = (rng.random(n) < special.expit(0.5 * df.x + df.g / 30)).astype(int)
    res = de.Logit("y ~ x + C(g)").fit(df)
    tracemalloc.start()
    m = res.margins()
    peak = tracemalloc.get_traced_memory()[1] / MB
    tracemalloc.stop()
    assert len(m.params) == 30
    expected = (res.predict(df.assign(g=29)) - res.predict(df.assign(g=0))).mean()
    assert m.params["g: 29 - 0"] == pytest.approx(expected, rel=1e-10)
    assert peak < 60
