"""Pictures: the numbers behind them against averages written out by hand,
and what a plot must leave alone.
"""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Text
from scipy.special import expit, logit
from scipy.stats import norm, t

import disteconometrics as de
from disteconometrics.errors import DataError, LevelError, MissingColumnError, NeedsData, OptionError

SAME = 1e-10  # the same sums in another order


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """A plot opens at most the figure it returns, and moves no setting."""
    plt.switch_backend("Agg")
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


def table(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    d = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "z": rng.uniform(1, 3, n),
            "g": rng.choice(["a", "b", "c"], n),
            "year": rng.integers(2001, 2004, n),
            "member": rng.random(n) < 0.4,
            "kid": rng.integers(0, 2, n),
            "w": rng.integers(1, 4, n),
            "base": rng.normal(size=n) / 2,
        }
    )
    eta = 0.5 * d.x - 0.4 * d.x**2 + (d.g == "b") * d.x + 0.3 * d.z + 0.5 * d.member + d.base
    d["y"] = (rng.random(n) < expit(eta - 0.5)).astype(int)
    d.loc[[3, 50], "x"] = np.nan
    return d


D = table()
LONG = "y ~ x*g + I(x**2) + log(z) + C(year) + member + kid"
OPTIONS = {
    "plain": ({}, "HC1"),
    "frequency": ({"weights": "w", "weight_type": "frequency"}, None),
    "sampling": ({"weights": "w", "weight_type": "sampling"}, None),
    "offset": ({"offset": "base"}, de.Cluster("z")),
}
VALUES = {
    "x": [-1.0, 0.5],
    "z": [1.5, 2.5],
    "g": ["a", "b", "c"],
    "year": [2001, 2002, 2003],
    "member": [False, True],
    "kid": [0, 1],
}


def by_hand(
    res: object, options: dict, variable: str, value: object, d: pd.DataFrame, level: float
) -> np.ndarray:
    """The average and its limits from the coefficients, with the columns of the formula written out."""
    d = d.dropna(subset=["x"]).assign(**{variable: value})
    columns = {
        "Intercept": 1.0,
        "x": d.x,
        "I(x ** 2)": d.x**2,
        "log(z)": np.log(d.z),
        "kid": d.kid,
        "member": d.member,
    }
    columns |= {f"g[T.{g}]": d.g == g for g in "bc"} | {f"x:g[T.{g}]": d.x * (d.g == g) for g in "bc"}
    columns |= {f"C(year)[T.{v}]": d.year == v for v in (2002, 2003)}
    X = pd.DataFrame(columns, index=d.index).astype(float)[list(res.params.index)].to_numpy()
    share = (d.w if "weights" in options else pd.Series(1.0, d.index)).to_numpy(dtype=float)
    share = share / share.sum()
    p = expit(X @ res.params.to_numpy() + (d.base.to_numpy() if "offset" in options else 0.0))
    mean, gradient = share @ p, (share * p * (1 - p)) @ X
    se = np.sqrt(gradient @ res.cov_params().to_numpy() @ gradient)
    half = norm.ppf(0.5 + level / 2) * se / (mean * (1 - mean))
    return np.array([mean, se, expit(logit(mean) - half), expit(logit(mean) + half)])


@pytest.mark.parametrize("kind", OPTIONS)
def test_effect_is_the_average_prediction_with_delta_limits(kind: str) -> None:
    options, cov = OPTIONS[kind]
    res = de.Logit(LONG, **options).fit(D, cov=cov)
    for variable, values in VALUES.items():
        data = de.plots.effect(res, variable, at=values, level=0.9).data
        assert list(data.index) == values
        for value in values:
            expected = by_hand(res, options, variable, value, D, 0.9)
            np.testing.assert_allclose(data.loc[value].to_numpy(dtype=float), expected, rtol=SAME)
        groups = de.plots.effect(res, variable, by="g", level=0.9).data
        for group, own in D.groupby("g"):
            found = groups.loc[f"g = {group}"]
            want = de.plots.effect(res, variable, at=list(found.index), data=own, level=0.9).data
            np.testing.assert_allclose(found.to_numpy(float), want.to_numpy(float), rtol=SAME)
        plt.close("all")
    with pytest.raises(OptionError, match="rows of the fit"):
        de.plots.effect(res, "x", by="g", data=D)


@pytest.mark.parametrize("kind", ["sampling", "offset"])
def test_same_picture_after_loading_and_from_polars(kind: str) -> None:
    options, cov = OPTIONS[kind]
    res = de.Logit(LONG, **options).fit(D, cov=cov)
    file = io.BytesIO()
    res.save(file)
    loaded = de.load(io.BytesIO(file.getvalue()))
    with pytest.raises(NeedsData, match="data="):
        de.plots.effect(loaded, "x")
    frame = pl.from_pandas(D.drop(columns="y"))
    fitted = de.Logit(LONG, **options).fit(pl.from_pandas(D), cov=cov)
    for variable in VALUES:
        want = de.plots.effect(res, variable).data
        for other in (de.plots.effect(loaded, variable, data=frame), de.plots.effect(fitted, variable)):
            pd.testing.assert_frame_equal(other.data, want, check_index_type=False, rtol=SAME)


def test_grid_levels_and_rows() -> None:
    res = de.Logit(LONG, weights="w", weight_type="frequency").fit(D)
    again = de.Logit(LONG).fit(D.loc[D.index.repeat(D.w)])
    for variable in VALUES:
        ax = de.plots.effect(res, variable)
        want = de.plots.effect(again, variable)
        np.testing.assert_allclose(ax.data, want.data, rtol=1e-8)  # weights are replication, in the grid too
        assert len(ax.data) == {"x": 60, "z": 60, "g": 3, "year": 3, "member": 2, "kid": 2}[variable]
        if len(ax.data) < 60:
            assert [t.get_text() for t in ax.get_xticklabels()] == [str(v) for v in VALUES[variable]]
    assert ax.data.attrs == {"level": 0.95, "rows": 398, "of": 398}
    part = de.plots.effect(res, "x", rows=50).data
    assert part.attrs["rows"] == 50
    whole = de.plots.effect(res, "x").data
    assert 0 < np.abs(part.estimate - whole.estimate).max() < 0.05
    spline = de.Logit("y ~ bs(x, df=5) + scale(z)").fit(D)  # never outside the boundary knots
    assert len(de.plots.effect(spline, "x").data) == 60


def test_lagged_columns_are_read_from_all_rows() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = de.Logit("y ~ z + lag(z)").fit(D)
    data = de.plots.effect(res, "z", at=[2.0], rows=37).data
    assert data.estimate.iloc[0] == pytest.approx(expit(res.params @ [1, 2, 2]), rel=SAME)


def test_t_limits() -> None:
    res = de.Logit("y ~ z").fit(D.head(30), use_t=True)
    row = de.plots.effect(res, "z", at=2).data.iloc[0]
    half = t(28).ppf(0.975) * row.std_error / (row.estimate * (1 - row.estimate))
    assert row.conf_high == pytest.approx(expit(logit(row.estimate) + half), rel=SAME)


def test_coefficients_are_the_table() -> None:
    res = de.Logit(LONG).fit(D)
    ax = de.plots.coefficients(res, level=0.9, names={"I(x ** 2)": "x squared"})
    want = res.estimates.table(0.9).drop(index="Intercept")[
        ["estimate", "std_error", "conf_low", "conf_high"]
    ]
    pd.testing.assert_frame_equal(ax.data, want)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["x squared" if name == "I(x ** 2)" else name for name in want.index]
    assert ax.yaxis_inverted()
    np.testing.assert_allclose(ax.lines[1].get_xdata(), want.estimate)
    odds = de.plots.coefficients(res, odds_ratios=True, drop=()).data
    pd.testing.assert_frame_equal(odds, res.odds_ratios()[odds.columns])
    assert de.plots.coefficients(res.nlcom(["x / kid", "exp(kid)"])).data.shape == (2, 4)
    assert len(de.plots.coefficients(res, drop="x").data) == len(res.params) - 1


def separated() -> tuple[pd.DataFrame, de.Logit]:
    d = D.dropna().copy()
    d.loc[d.g == "c", "y"] = 1
    return d, de.Logit("y ~ z + g")


def words(ax: Axes) -> str:
    return " ".join(t.get_text() for t in ax.findobj(Text))


def test_separation_is_drawn_and_said() -> None:
    d, model = separated()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = model.fit(d)
        alone = de.Logit("y ~ z").fit(d.assign(y=(d.z > 2).astype(int)))
    rest = de.Logit("y ~ z + g").fit(d[d.g != "c"])
    ax = de.plots.coefficients(res)
    assert ax.data.estimate["g[T.c]"] == np.inf
    assert "∞ (separated)" in words(ax)
    assert "0 (separated)" not in words(de.plots.coefficients(res, odds_ratios=True))
    assert "∞ (separated)" in words(de.plots.coefficients(alone))
    levels = de.plots.effect(res, "g")
    assert levels.data.loc["c", "estimate"] == 1
    assert levels.data.loc["c"].isna().sum() == 3
    assert "Separated" in words(levels)
    share = (d.g == "c").mean()
    curve = de.plots.effect(res, "z", at=[1.2, 2.8]).data
    inner = de.plots.effect(rest, "z", at=[1.2, 2.8]).data
    np.testing.assert_allclose(
        curve[["estimate", "conf_low", "conf_high"]],
        share + (1 - share) * inner.drop(columns="std_error"),
        rtol=1e-7,
    )
    step = de.plots.effect(alone, "z", at=[1.5, 2.5]).data
    assert step.estimate.tolist() == [0, 1]
    assert step.conf_low.isna().all()


def test_levels_of_a_covariate_have_boxes_in_a_fan_and_numbers_a_band() -> None:
    data = table().assign(wage=lambda d: np.exp(0.1 * np.arange(len(d)) % 3))
    data["flag"], data["job"] = (
        np.arange(len(data)) % 2,
        np.array(["clerk", "driver", "cook"])[data.index % 3],
    )
    fit = de.NormalRegression("wage ~ flag + job").fit(data)
    for name, levels in {"flag": [0.0, 1.0], "job": ["clerk", "cook", "driver"]}.items():
        ax = fit.plot_fan(name, levels=[0.1, 0.25, 0.5, 0.75, 0.9])
        assert ax.data.index.tolist() == levels
        assert len(ax.patches) == len(levels)
        row = {"flag": [0], "job": [data["job"].mode()[0]]} | {name: [levels[1]]}
        want = fit.distribution(row).quantile([0.25, 0.75])[0]
        box = ax.patches[1]
        np.testing.assert_allclose([box.get_y(), box.get_y() + box.get_height()], want)
        assert box.get_x() < 1 < box.get_x() + box.get_width()


def test_a_fan_ends_at_a_cap_and_its_numbers_stop_there() -> None:
    engel = de.datasets.engel().assign(food=lambda d: d["foodexp"].clip(upper=700))
    fit = de.FlowDensity("topcoded(food, at=700) ~ income").fit(engel)
    ax = fit.plot_fan("income", levels=[0.1, 0.5, 0.9])
    top = ax.data["q[0.9]"]
    assert 0 < top.isna().sum() < len(top)
    assert top.max() <= 700
    bands = [path.vertices[:, 1].max() for c in ax.collections for path in c.get_paths()]
    assert max(bands) == 700  # the band runs into the cap, where its line stops
    curves = [line for line in ax.lines if len(line.get_xdata()) == len(top)]
    assert np.isfinite(curves[-1].get_ydata()).sum() == top.notna().sum() + 1
    assert np.nanmax(curves[-1].get_ydata()) == 700


def _box(ax: Axes, text: Text) -> tuple[float, float, float, float]:
    ax.figure.canvas.draw()
    return tuple(text.get_window_extent().extents)


def test_names_of_influential_rows_do_not_cover_one_another() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat([0.0, 0.01, 3.0], [60, 60, 6]) + 0.01 * rng.normal(size=126)
    data = pd.DataFrame({"x": x, "y": (rng.random(126) < 0.4).astype(int)})
    ax = de.Logit("y ~ x").fit(data).influence().plot(label=6)
    boxes = [_box(ax, text) for text in ax.texts]
    assert len(boxes) == 6
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_effects_too_small_to_see_are_written_out() -> None:
    data = table().assign(days=lambda d: 365.0 * np.arange(len(d)) / 40)
    rng = np.random.default_rng(1)
    data["z"], data["won"] = rng.normal(size=len(data)), (rng.random(len(data)) < 0.5).astype(int)
    margins = de.Logit("won ~ z + days").fit(data).margins()
    texts = [text.get_text() for text in margins.plot().texts]
    low, high = margins.conf_int().loc["days"]
    assert texts == [f"{margins.params['days']:.2g} ({low:.2g}, {high:.2g})"]


def test_a_hosmer_lemeshow_test_draws_its_groups() -> None:
    found = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector()).hosmer_lemeshow(groups=4)
    ax = found.plot()
    np.testing.assert_allclose(ax.data["observed"] * ax.data["rows"], found.table["ones"])
    assert f"p = {found.test.p_value:.3f}" in ax.texts[0].get_text()


def test_figures_and_axes() -> None:
    res = de.Logit(LONG).fit(D)
    fig, (left, right) = plt.subplots(1, 2)
    assert de.plots.coefficients(res, ax=left) is left
    assert res.plot_effect("x", ax=right) is right
    assert res.plot_effect("x", at=[0, 1], ax=right) is right
    assert len(right.lines) == 2
    assert plt.get_fignums() == [fig.number]
    fig.savefig(io.BytesIO())
    ax = res.plot()
    assert len(plt.get_fignums()) == 2
    assert ax.get_xlabel().startswith("Log-odds of y = 1")
    ax = res.plot_effect("x")
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("x", "P(y = 1)", "")
    low, high = ax.get_ylim()
    assert low < ax.data.conf_low.min() < ax.data.conf_high.max() < high
    for axes in (ax, res.plot_effect("kid"), res.plot_effect("x", at=2.0)):
        axes.figure.savefig(io.BytesIO())


ERRORS = {
    "unknown": (
        lambda r: de.plots.effect(r, "educ"),
        MissingColumnError,
        r"'educ' is not a variable .* 'x', 'g', 'z', 'year'",
    ),
    "term": (lambda r: de.plots.effect(r, "I(x ** 2)"), MissingColumnError, "not a variable of the formula"),
    "outcome": (lambda r: de.plots.effect(r, "y"), MissingColumnError, "not a variable of the formula"),
    "level": (lambda r: de.plots.effect(r, "g", at=["d"]), LevelError, "'d'"),
    "text": (lambda r: de.plots.effect(r, "x", at=["low"]), OptionError, "numbers of 'x'"),
    "nothing": (lambda r: de.plots.effect(r, "x", at=[]), OptionError, "at least one|one or several"),
    "log of minus one": (lambda r: de.plots.effect(r, "z", at=[-1]), DataError, "log\\(z\\)|missing"),
    "rows": (lambda r: de.plots.effect(r, "x", rows=0), OptionError, "rows=0"),
    "percent": (lambda r: de.plots.effect(r, "x", level=95), OptionError, "between 0 and 1"),
    "figure": (lambda r: de.plots.effect(r, "x", ax=mpl.figure.Figure()), OptionError, "Axes"),
    "no column": (lambda r: de.plots.effect(r, "x", data=D[["x", "g"]]), MissingColumnError, "'z'"),
    "no rows": (lambda r: de.plots.effect(r, "x", data=D.assign(z=np.nan)), DataError, "no complete row"),
    "drop": (lambda r: de.plots.coefficients(r, drop=["educ"]), OptionError, "'educ'"),
    "names": (lambda r: de.plots.coefficients(r, names={"educ": "Education"}), OptionError, "'educ'"),
    "nothing left": (lambda r: de.plots.coefficients(r, drop=list(r.params.index)), OptionError, "drop="),
    "odds of a ratio": (
        lambda r: de.plots.coefficients(r.nlcom("x / kid"), odds_ratios=True),
        OptionError,
        "logit",
    ),
}


@pytest.mark.parametrize("what", ERRORS)
def test_errors_name_the_remedy_and_open_nothing(what: str) -> None:
    call, error, message = ERRORS[what]
    with pytest.raises(error, match=message):
        call(de.Logit(LONG).fit(D))
    assert plt.get_fignums() == []


def test_import_is_light() -> None:
    code = (
        "import sys, disteconometrics.plots as p; assert not {'matplotlib', 'numpy'} & "
        "set(sys.modules); p.effect; "
    )
    code += "assert 'matplotlib.pyplot' not in sys.modules; assert dir(p) == p.__all__"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match=", ".join(de.plots.__all__)):
        _ = de.plots.effects
