"""Sources that are read in parts give the fit of the table that the parts make together."""

from __future__ import annotations

import errno
import os
import signal
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import disteconometrics as de
from disteconometrics.blocks import Block
from disteconometrics.data import stream
from disteconometrics.data.disk import BlockFile
from disteconometrics.errors import DataError, FormulaError, MissingColumnError, NeedsRows, OptionError
from disteconometrics.estimators.flow import source_rows
from disteconometrics.inference import parts

RNG = np.random.default_rng(5)
N = 600


def _table() -> pd.DataFrame:
    x = RNG.normal(size=N)
    frame = pd.DataFrame({"x": x, "z": RNG.normal(size=N), "d": RNG.integers(0, 3, N)})
    frame["g"] = RNG.choice(["b", "a", "c"], N)
    frame["k"] = RNG.integers(0, 45, N)
    frame["w"] = RNG.integers(0, 4, N)
    frame["y"] = (RNG.random(N) < 1 / (1 + np.exp(0.3 - 0.8 * x))).astype(int)
    return frame


TABLE = _table()


@pytest.fixture(autouse=True)
def read_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are read as many are."""
    monkeypatch.setattr(stream, "KEPT_BYTES", 0)


def _cut(frame: pd.DataFrame = TABLE, *edges: int) -> list[pd.DataFrame]:
    inner = list(edges or (170, 390))
    return [frame[a:b].reset_index(drop=True) for a, b in zip([0, *inner], [*inner, None], strict=True)]


def _with(part: int, **columns: Any) -> list[pd.DataFrame]:
    parts = _cut()
    parts[part] = parts[part].assign(**{n: v(parts[part]) for n, v in columns.items()})
    return parts


def _holes(name: str, every: int, value: Any = None) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda f: f[name].astype(object).where(np.arange(len(f)) % every > 0, value)


PLAIN = "y ~ x + z + g"
WHOLE = "y ~ x + C(d)"


def _everywhere(**columns: Any) -> list[pd.DataFrame]:
    return [f.assign(**{n: v(f) for n, v in columns.items()}) for f in _cut()]


def _dropped_level() -> list[pd.DataFrame]:
    parts = _cut()
    parts[1].loc[3, "g"], parts[1].loc[3, "x"] = "zz", np.nan
    return parts


AWKWARD: dict[str, tuple[str, list[pd.DataFrame], dict[str, Any]]] = {
    "plain": (PLAIN, _cut(), {}),
    "one part": (PLAIN, [TABLE], {}),
    "many small parts": (PLAIN, _cut(TABLE, *range(40, N, 40)), {}),
    "an empty part first": (PLAIN, [TABLE[:0], *_cut()], {}),
    "an empty part last": (PLAIN, [*_cut(), TABLE[:0]], {}),
    "parts of one outcome": (PLAIN, [f for _, f in TABLE.groupby("y")], {}),
    "a level in one part alone": (PLAIN, _with(1, g=_holes("g", 9, "e")), {}),
    "a level in dropped rows alone": (PLAIN, _dropped_level(), {}),
    "levels in another order": (PLAIN, [f for _, f in TABLE.groupby("g", sort=False)], {}),
    "missing numbers in one part": (PLAIN, _with(2, x=lambda f: _holes("x", 5)(f).astype(float)), {}),
    "missing text in one part": (PLAIN, _with(0, g=_holes("g", 7)), {}),
    "missing outcomes": (PLAIN, _with(0, y=lambda f: _holes("y", 7)(f).astype(float)), {}),
    "a number all missing in one part": (PLAIN, _with(1, z=lambda f: np.nan), {}),
    "text all missing in one part": (PLAIN, _with(1, g=lambda f: None), {}),
    "outcomes all missing in one part": (PLAIN, _with(2, y=lambda f: np.nan), {}),
    "whole in one part, float in the next": (WHOLE, _with(1, d=lambda f: f.d.astype(float)), {}),
    "whole with missing in one part": (WHOLE, _with(1, d=lambda f: _holes("d", 5)(f).astype(float)), {}),
    "small whole numbers": (WHOLE, _everywhere(d=lambda f: (f.d - 100).astype("int8")), {}),
    "nullable whole numbers": (WHOLE, _everywhere(d=lambda f: f.d.where(f.x < 1).astype("Int64")), {}),
    "true and false": ("y ~ x + d", _everywhere(d=lambda f: f.d > 0), {}),
    "true and false as levels": ("y ~ x + C(d)", _everywhere(d=lambda f: f.d > 0), {}),
    "outcome of text": ("y ~ x + g", _everywhere(y=lambda f: np.where(f.y == 1, "yes", "no")), {}),
    "outcome of true and false": ("y ~ x", _everywhere(y=lambda f: f.y == 1), {}),
    "outcome of a comparison": ("I(z > 0.2) ~ x + g", _cut(), {}),
    "a term that loses rows": ("y ~ log(x + 1) + g", _cut(), {}),
    "two terms that lose rows": ("y ~ log(x + 1) + sqrt(z + 1)", _cut(), {}),
    "crossed factors": ("y ~ x + g*C(d)", _cut(), {}),
    "no constant": ("y ~ 0 + x + g", _cut(), {}),
    "no constant at all": ("y ~ 0 + x + z", _cut(), {}),
    "a dot": ("y ~ .", [f[["y", "x", "g"]] for f in _cut()], {}),
    "contrasts": ("y ~ x + C(g, contr.sum)", _cut(), {}),
    "levels given": ("y ~ x + C(g, levels=['c', 'b', 'a'])", _cut(), {}),
    "categories": (
        PLAIN,
        _everywhere(g=lambda f: pd.Categorical(f.g, categories=["c", "unused", "a", "b"])),
        {},
    ),
    "categories in another order": (
        PLAIN,
        _everywhere(
            g=lambda f: pd.Categorical(f.g, categories=["c", "a", "b"] if len(f) == 170 else list("bca"))
        ),
        {},
    ),
    "other categories in each part": (
        PLAIN,
        _everywhere(g=lambda f: f.g[f.g != f.g[0]].astype("category")),
        {},
    ),
    "frequency weights": (PLAIN, _cut(), {"weights": "w", "weight_type": "frequency"}),
    "sampling weights": (PLAIN, _cut(), {"weights": "w", "weight_type": "sampling"}),
    "offset": (PLAIN, _cut(), {"offset": "z"}),
    "separation in one part": ("y ~ x + s", _everywhere(s=lambda f: (f.y == 1) & (f.x > 1.5)), {}),
    "small levels": ("y ~ x + C(i)", _everywhere(i=lambda f: (f.x * 1e6).round() % 61), {}),
}


def _fitted(formula: str, data: Any, **options: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = de.Logit(formula, **options).fit(data)
    return found, sorted(str(w.message) for w in said)


SUMS = ("llf", "llnull", "sigma", "rsquared", "converged")


def _same(ours: Any, theirs: Any) -> None:
    assert list(ours.params.index) == list(theirs.params.index)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-8)
    assert ours.spec.outcome == theirs.spec.outcome
    assert ours.spec.columns == theirs.spec.columns
    np.testing.assert_allclose(
        [getattr(ours, name) for name in SUMS if hasattr(ours, name)],
        [getattr(theirs, name) for name in SUMS if hasattr(theirs, name)],
        rtol=1e-12,
        atol=1e-14,
    )
    for name in ("rows", "given", "dropped", "zero_weight", "observations", "nested_null"):
        assert getattr(ours.facts, name) == getattr(theirs.facts, name), name


@pytest.mark.parametrize("case", AWKWARD)
def test_parts_give_what_their_table_gives(case: str) -> None:
    formula, parts, options = AWKWARD[case]
    ours, said = _fitted(formula, de.Parts(lambda: iter(parts)), **options)
    theirs, told = _fitted(formula, pd.concat([f for f in parts if len(f)], ignore_index=True), **options)
    assert said == told
    _same(ours, theirs)
    assert ours.fingerprint() == theirs.fingerprint()


@pytest.mark.parametrize("weights", [None, "frequency", "sampling"])
def test_the_normal_law_over_parts_is_that_of_the_table(many: pd.DataFrame, weights: str | None) -> None:
    options = {} if weights is None else {"weights": "w", "weight_type": weights}
    model = de.NormalRegression("u ~ x + g + C(y)", offset="x", **options)
    ours = model.fit(de.Parts(lambda: _cut(many, 900, 2_500, 2_600)), cov="HC1")
    theirs = model.fit(many, cov="HC1")
    _same(ours, theirs)
    for kind in ("HC3", de.Cluster("k"), de.Cluster("k", correction="jackknife"), de.Cluster("k", "w")):
        a, b = ours.with_cov(kind), theirs.with_cov(kind)
        np.testing.assert_allclose(a.bse, b.bse, rtol=1e-10)
        np.testing.assert_allclose(a.sigma_estimates.std_error, b.sigma_estimates.std_error, rtol=1e-10)
    for kind in ("HC1", de.Cluster("k", correction="cr1")):
        a, b = (r.with_cov(kind).predict(many[:3], ["q[0.9]"], ci=True) for r in (ours, theirs))
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_parts_without_rows_have_no_clusters(many: pd.DataFrame, tmp_path: Path) -> None:
    """An empty file, and one all of whose rows have a gap, beside two with rows."""
    many.loc[100:199, "x"] = np.nan
    for name, part in zip("abcd", (many[:100], many[:0], many[100:200], many[200:900]), strict=True):
        part.to_parquet(tmp_path / f"{name}.parquet")
    for kind in ("one-way", "two-way", "jackknife"):
        ours = de.Logit("y ~ x").fit(tmp_path, cov=KINDS[kind])
        theirs = de.Logit("y ~ x").fit(many[:900], cov=KINDS[kind])
        np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-10)
        assert ours.nobs == 800


def test_a_large_table_is_fitted_by_the_sums_of_a_source(many: pd.DataFrame) -> None:
    wide = pd.concat([many] * 30, ignore_index=True)
    ours, theirs = (de.NormalRegression("u ~ x + g + k").fit(d, cov="HC1") for d in (wide, many))
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-10)
    n, k = len(many), len(ours.params)
    factor = np.sqrt(30 * (30 * n - k) / (30 * (n - k)))
    np.testing.assert_allclose(ours.bse * factor, theirs.bse, rtol=1e-10)


KINDS = {
    "nonrobust": "nonrobust",
    "opg": "opg",
    "HC1": "HC1",
    "HC3": "HC3",
    "one-way": de.Cluster("k"),
    "two-way": de.Cluster("k", "w"),
    "jackknife": de.Cluster("k", correction="jackknife"),
}


@pytest.fixture
def many() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=6_000), "k": rng.integers(0, 60, 6_000)})
    frame["w"], frame["y"] = rng.integers(0, 45, 6_000), (rng.random(6_000) < 0.4).astype(int)
    return frame.assign(g=rng.choice(list("abc"), 6_000), u=frame.x**2)


@pytest.mark.parametrize("estimator", [de.Logit, de.Probit, de.CLogLog])
def test_covariances_and_predictions_are_those_of_the_table(many: pd.DataFrame, estimator: Any) -> None:
    ours = estimator("y ~ x + u + g + I(x*u)").fit(de.Parts(lambda: _cut(many, 900, 2_500, 2_600)))
    theirs = estimator("y ~ x + u + g + I(x*u)").fit(many)
    for kind in KINDS.values():
        a, b = ours.with_cov(kind), theirs.with_cov(kind)
        np.testing.assert_allclose(a.bse, b.bse, rtol=1e-8)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(ours.predict(many[:9]), theirs.predict(many[:9]), rtol=1e-11)
    for target in ("sample", "population"):
        a, b = (r.margins(target=target).estimates for r in (ours, theirs))
        np.testing.assert_allclose(a.values, b.values, rtol=1e-10)
        np.testing.assert_allclose(a.std_error, b.std_error, rtol=1e-8)
    for test in ("score_test", "lr_test"):
        a, b = (getattr(r, test)("u = 0, g[T.b] = 0").statistic for r in (ours, theirs))
        np.testing.assert_allclose(a, b, rtol=1e-8)
    pieces = de.Parts(lambda: _cut(many, 2_000))
    np.testing.assert_allclose(ours.predict(pieces, ci=True), theirs.predict(many, ci=True), rtol=1e-7)
    assert f"read {ours.facts.readings} times" in str(ours.summary())


def _cells(parts: int) -> tuple[pd.DataFrame, de.Parts]:
    """Rows whose covariates take few values, an outlier of the outcome among them, and the same in parts."""
    rng = np.random.default_rng(parts)
    n = 4_000
    t = pd.DataFrame({"d": rng.integers(0, 2, n) > 0, "k": rng.integers(0, 5, n), "w": rng.integers(0, 4, n)})
    t["g"] = pd.Categorical(rng.choice(list("bca"), n), categories=list("cab"))
    t["h"], t["c"] = rng.integers(0, 4, n) / 4, rng.integers(0, 90, n)
    t["y"] = np.where(rng.random(n) < 1 / (1 + np.exp(0.4 - 0.8 * t.d + 0.2 * t.k)), "yes", "no")
    t["u"] = 1e3 + t.d + rng.gamma(2.0, size=n) * (1 + t.k)
    t.loc[3, "u"], t.loc[9, "h"] = 2e3, np.nan
    edges = [0, *sorted(rng.integers(0, n, parts - 1)), n]
    return t, de.Parts(lambda: [t[a:b] for a, b in pairwise(edges)])


OF_CELLS = {
    "logit": de.Logit("y ~ d*k + C(g)"),
    "probit": de.Probit("y ~ log(k + 1) + d + C(g, contr.sum)"),
    "logit, offset and weights": de.Logit("y ~ g", offset="h", weights="w", weight_type="frequency"),
    "normal": de.NormalRegression("u ~ d*k + g + h"),
    "normal, constant": de.NormalRegression("log(u) ~ 1", offset="h"),
    "normal, weights": de.NormalRegression("u ~ I(h > .4)*g", weights="w", weight_type="frequency"),
}


@pytest.mark.parametrize("parts", [1, 6])
@pytest.mark.parametrize("name", OF_CELLS)
def test_cells_give_the_fit_of_the_rows_in_one_reading(name: str, parts: int) -> None:
    (table, source), model = _cells(parts), OF_CELLS[name]
    ours, theirs = model.fit(source), model.fit(table)
    _same(ours, theirs)
    assert ours.facts.readings == 1
    assert "read once" in str(ours.summary())
    for kind in ("HC1", "HC3", de.Cluster("c"), de.Cluster("c", correction="jackknife")):
        a, b = ours.with_cov(kind), theirs.with_cov(kind)
        np.testing.assert_allclose(a.bse, b.bse, rtol=1e-8)
        if hasattr(a, "sigma_estimates"):
            np.testing.assert_allclose(a.sigma_estimates.std_error, b.sigma_estimates.std_error, rtol=1e-8)
        if kind == "HC1":
            a, b = (r.predict(table[:3], ci=True) for r in (a, b))
            np.testing.assert_allclose(a, b, rtol=1e-8)


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.SeparationWarning")
def test_separated_cells_are_reported_as_their_rows() -> None:
    table, _ = _cells(1)
    table.loc[table.k == 2, "y"] = "yes"
    ours, theirs = (
        de.Logit("y ~ d + C(k)").fit(t) for t in (de.Parts(lambda: [table[:1_500], table[1_500:]]), table)
    )
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-10)
    np.testing.assert_allclose(ours.bse, theirs.bse, rtol=1e-8)
    assert ours.facts.separation == theirs.facts.separation


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.SeparationWarning")
@pytest.mark.parametrize("weighted", [False, True])
def test_a_part_that_holds_separated_rows_alone_is_no_error(weighted: bool) -> None:
    table, _ = _cells(1)
    table["h"] = np.random.default_rng(0).normal(size=len(table))  # of many values: no cells
    table["g"], table["w"] = table.g.astype(str), table.w + 1
    table.loc[0, ["g", "y"]] = "z", "yes"
    options: dict[str, Any] = {"weights": "w", "weight_type": "frequency"} if weighted else {}
    for formula in ("y ~ g + h", "y ~ g"):
        model = de.Logit(formula, **options)
        ours, theirs = model.fit(de.Parts(lambda: _cut(table, 1))), model.fit(table)
        np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-9)
        for kind in ("nonrobust", "HC1", de.Cluster("c")):
            np.testing.assert_allclose(ours.with_cov(kind).bse, theirs.with_cov(kind).bse, rtol=1e-7)


# ---- densities ---------------------------------------------------------------------------------------------


def _outcomes(n: int = 4_000) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    t = pd.DataFrame(
        {"d": rng.integers(0, 2, n), "k": rng.integers(0, 4, n), "g": rng.choice(list("abc"), n)}
    )
    two = np.where(rng.random(n) < 0.4, rng.normal(-1, 0.5, n), rng.normal(2, 1, n))
    t["y"] = 50 + two * (1 + 0.3 * t.d) + 0.2 * t.k
    t["z"], t["w"], t["x"] = np.exp(two), rng.integers(0, 3, n), rng.normal(size=n)
    t.loc[5, "y"], t.loc[7, "g"] = np.nan, None
    return t


OUTCOMES = _outcomes()
SHAPE = de.MonotoneSpline(structure="shape")
FEW_KNOTS = de.MonotoneSpline(structure="shape", knots=12)
DENSITIES = {
    "alone": de.FlowDensity("y ~ 1"),
    "a number": de.FlowDensity("y ~ k", flow=SHAPE, base="normal"),
    "two columns": de.FlowDensity("y ~ C(d) + g", flow=SHAPE, base="logistic"),
    "positive": de.FlowDensity("z ~ g", flow=de.MonotoneSpline(structure="scale"), support="positive"),
    "weights": de.FlowDensity("log(z) ~ d", flow=FEW_KNOTS, weights="w", weight_type="frequency"),
}


@pytest.fixture
def binned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_rows, "KEPT", 100)


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.filterwarnings("ignore::disteconometrics.errors.InfiniteMomentWarning")
@pytest.mark.usefixtures("binned")
def test_a_density_of_bins_is_within_its_bound(name: str) -> None:
    model = DENSITIES[name]
    ours = model.fit(de.Parts(lambda: _cut(OUTCOMES, 9, 2_000)))
    again = model.fit(de.Parts(lambda: _cut(OUTCOMES, *range(500, 4_000, 500))))
    theirs, source = model.fit(OUTCOMES), ours.facts.source
    assert 0 < source.error < 0.02
    assert source.readings == 2
    a, b, c = (r.with_cov("nonrobust").estimates for r in (ours, theirs, again))
    bound = source.error + 0.02  # for knots and penalties
    assert (np.abs(a.values - b.values)[2:] / b.std_error[2:]).max() < bound
    assert (np.abs(c.values - b.values)[2:] / b.std_error[2:]).max() < bound
    for kind in ("sandwich", "HC0", "nonrobust"):
        a, b = (r.with_cov(kind).estimates for r in (ours, theirs))
        np.testing.assert_allclose(a.std_error, b.std_error, rtol=3e-4)
    for fact in ("rows", "given", "dropped", "zero_weight", "observations", "outcome"):
        assert getattr(ours.facts, fact) == getattr(theirs.facts, fact), fact
    assert "10,000 bins of the outcome stand for the rows" in " ".join(str(ours.summary()).split())
    if ours.spec.variables:
        a, b = (r.effects().estimates for r in (ours, theirs))
        np.testing.assert_allclose(a.std_error, b.std_error, rtol=0.005)
        assert (np.abs(a.values - b.values) / b.std_error).max() < 0.1  # counts of rows at a quantile


@pytest.mark.parametrize("name", ["alone", "weights"])
@pytest.mark.filterwarnings("ignore::disteconometrics.errors.InfiniteMomentWarning")
def test_few_rows_of_a_source_give_the_density_of_the_table(name: str, tmp_path: Path) -> None:
    OUTCOMES.iloc[:2_000].to_parquet(tmp_path / "a.parquet")
    OUTCOMES.iloc[2_000:].to_parquet(tmp_path / "b.parquet")
    ours, theirs = DENSITIES[name].fit(tmp_path), DENSITIES[name].fit(OUTCOMES)
    np.testing.assert_array_equal(ours.params, theirs.params)
    np.testing.assert_array_equal(ours.estimates.std_error, theirs.estimates.std_error)
    assert ours.fingerprint() == theirs.fingerprint()
    ours.save(tmp_path / "flow.npz")
    loaded = de.load(tmp_path / "flow.npz")
    assert str(loaded.summary()) == str(ours.summary())
    assert loaded.attach(tmp_path).rows is not None


@pytest.mark.parametrize("y", ["whole", "heap", "floor"])
@pytest.mark.usefixtures("binned")
def test_shared_values_are_told_of_bins_as_of_rows(y: str) -> None:
    n = len(OUTCOMES)
    made = {"whole": OUTCOMES.y.round(), "heap": OUTCOMES.y.where(np.arange(n) % 10 > 0, 50.0)}
    table = OUTCOMES.assign(y=made.get(y, OUTCOMES.y.clip(lower=49)))
    told = []
    for data in (de.Parts(lambda: _cut(table, 1_000)), table):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            de.FlowDensity("y ~ 1").fit(data)
        told.append([type(w.message).__name__ for w in said])
    assert told[0] == told[1] != []


NO_DENSITY: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "a continuous covariate": (
        lambda p: de.FlowDensity("y ~ d + x").fit(p),
        NeedsRows,
        "'x' takes.*read_parquet",
    ),
    "sampling weights": (
        lambda p: de.FlowDensity("y ~ d", weights="w", weight_type="sampling").fit(p),
        NeedsRows,
        "Sampling weights",
    ),
    "clusters": (
        lambda p: de.FlowDensity("y ~ d").fit(p, cov=de.Cluster("k")),
        NeedsRows,
        "'k'.*read_parquet",
    ),
    "groups": (lambda p: de.FlowDensity("y ~ d").fit(p).effects(by="k"), NeedsRows, "'k'.*read_parquet"),
    "held-out rows": (lambda p: de.FlowDensity("y ~ 1").fit(p).diagnose(), NeedsRows, "read_parquet"),
    "simulation": (lambda p: de.FlowDensity("y ~ 1").fit(p).monte_carlo(), NeedsRows, "read_parquet"),
    "a test by draws": (
        lambda p: de.FlowDensity("y ~ 1").fit(p).test_linear_normal(),
        NeedsRows,
        "read_parquet",
    ),
    "bootstrap": (lambda p: de.bootstrap(de.FlowDensity("y ~ 1"), p), NeedsRows, "read_parquet"),
    "joint outcomes": (lambda p: de.FlowDensity("y + z ~ 1").fit(p), NeedsRows, "FlowDensity.*read_parquet"),
    "splines of several outcomes": (
        lambda p: de.FlowDensity("y + w ~ d").fit(p),
        NeedsRows,
        "FlowDensity.*read_parquet",
    ),
    "narrow places far apart": (
        lambda p: de.FlowDensity("I(1e6*(w > 1) + 1e-3*y) ~ d").fit(p),
        NeedsRows,
        "% of the rows have values of .* that differ and share one of 10,000 bins",
    ),
    "outside the support": (
        lambda p: de.FlowDensity("y ~ 1", support=(48, np.inf)).fit(p),
        DataError,
        f"has {(OUTCOMES.y <= 48).sum()} rows outside",
    ),
}


@pytest.mark.parametrize("case", NO_DENSITY)
@pytest.mark.usefixtures("binned")
def test_what_a_density_of_a_source_refuses(case: str) -> None:
    call, kind, words = NO_DENSITY[case]
    with pytest.raises(kind, match=words):
        call(de.Parts(lambda: _cut(OUTCOMES, 1_000, 3_000)))


@pytest.mark.usefixtures("binned")
def test_a_density_of_a_source_that_changes_is_an_error() -> None:
    draws = iter(range(9))
    with pytest.raises(DataError, match="has changed"):
        de.FlowDensity("y ~ d").fit(de.Parts(lambda: [OUTCOMES.assign(y=OUTCOMES.y + next(draws))]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, part in enumerate(_cut()):
        part = part.assign(g=part.g.astype(pd.CategoricalDtype(sorted(part.g.unique(), reverse=i == 1))))
        part.to_parquet(tmp_path / f"part{i}.parquet", row_group_size=90, index=False)
    return tmp_path


SOURCES: dict[str, Callable[[Path], Any]] = {
    "folder": str,
    "path": lambda p: p,
    "pattern": lambda p: f"{p}/*.parquet",
    "list": lambda p: sorted(p.glob("*.parquet")),
    "dataset": lambda p: ds.dataset(p, schema=pq.read_schema(p / "part0.parquet")),
    "lazy frame": lambda p: pl.from_pandas(TABLE).lazy(),
    "dask frame": lambda p: dd.from_pandas(TABLE, npartitions=4),
    "arrow tables": lambda p: de.Parts(lambda: [pa.Table.from_pandas(f) for f in _cut()]),
    "dicts": lambda p: de.Parts(lambda: [{n: f[n].to_numpy() for n in f} for f in _cut()]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_source_gives_the_fit_of_the_table(folder: Path, kind: str) -> None:
    ours = de.Logit(PLAIN).fit(SOURCES[kind](folder), cov=de.Cluster("k"))
    theirs = de.Logit(PLAIN).fit(TABLE, cov=de.Cluster("k"))
    _same(ours, theirs)


@pytest.mark.parametrize("wraps", [lambda f: f, lambda f: f.assign(more=1.0)], ids=["plain", "changed"])
def test_a_dask_frame_reads_the_columns_asked_for_alone(folder: Path, wraps: Any) -> None:
    seen = []

    def read(path: Path, columns: Any = None) -> pd.DataFrame:
        seen.append(columns and set(columns))
        return pd.read_parquet(path, columns=columns)

    frame = wraps(dd.from_map(read, sorted(folder.glob("*.parquet"))))
    seen.clear()
    de.Logit("y ~ x").fit(frame)
    assert seen
    assert all(columns == {"x", "y"} for columns in seen)


ORDERS: dict[str, Callable[[Path, pd.DataFrame], Any]] = {
    "folder": lambda p, t: p,
    "dataset": lambda p, t: ds.dataset(p),
    "arrow tables": lambda p, t: de.Parts(lambda: map(pa.Table.from_pandas, _cut(t))),
    "dask frame of files": lambda p, t: dd.from_map(pd.read_parquet, sorted(p.glob("*.parquet"))),
    "dask frame": lambda p, t: dd.from_pandas(t, npartitions=3),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_categories_keep_their_order(tmp_path: Path, kind: str) -> None:
    """Of pandas, unordered, and ordered ones, also as the outcome; the first one is the base level."""
    table = TABLE.assign(
        g=pd.Categorical(TABLE.g, categories=["c", "unused", "a", "b"]),
        o=pd.Categorical(TABLE.g, categories=["b", "c", "a"], ordered=True),
        y=pd.Categorical(np.where(TABLE.y == 1, "no", "yes"), categories=["yes", "no"]),
    )
    for i, part in enumerate(_cut(table)):
        part.to_parquet(tmp_path / f"{i}.parquet", row_group_size=90, index=False)
    ours, theirs = (de.Logit("y ~ x + g + d:o").fit(t) for t in (ORDERS[kind](tmp_path, table), table))
    assert ours.params.index[2:4].tolist() == ["g[T.a]", "g[T.b]"]
    _same(ours, theirs)


@pytest.mark.parametrize("term", ["g", "C(g)", "d:g"])
def test_levels_that_parts_order_in_two_ways_sort_by_value(tmp_path: Path, term: str) -> None:
    """As ordered categories of tables that pandas joins, which are no categories then."""
    orders = (["c", "a", "b"], ["b", "a", "c"], ["b", "a", "c"])
    parts = [
        part.assign(g=pd.Categorical(part.g, categories=order, ordered=True))
        for part, order in zip(_cut(TABLE), orders, strict=True)
    ]
    for i, part in enumerate(parts):
        part.to_parquet(tmp_path / f"{i}.parquet", index=False)
    _same(*(de.Logit(f"y ~ x + {term}").fit(t) for t in (tmp_path, pd.concat(parts, ignore_index=True))))


def test_dictionaries_without_an_order_sort_by_value(tmp_path: Path) -> None:
    table = TABLE.assign(g=pd.Categorical(TABLE.g, categories=["c", "a", "b"]))
    for i, part in enumerate(_cut(table)):
        pq.write_table(pa.Table.from_pandas(part).replace_schema_metadata(), tmp_path / f"{i}.parquet")
    _same(de.Logit(PLAIN).fit(tmp_path), de.Logit(PLAIN).fit(TABLE))


def test_names_that_start_with_a_bar_or_a_dot_are_no_data(folder: Path) -> None:
    for place in ("_temporary/0", ".checkpoints", "more.parquet"):
        (folder / place).mkdir(parents=True)
        _cut()[0].to_parquet(folder / place / "part.parquet", index=False)
    _cut()[0].to_parquet(folder / "_old.parquet", index=False)
    (folder / ".part0.parquet").write_bytes(b"none")
    _same(de.Logit(PLAIN).fit(folder), de.Logit(PLAIN).fit(pd.concat([_cut()[0], TABLE], ignore_index=True)))


def test_nullable_whole_numbers_of_files_stay_exact(tmp_path: Path) -> None:
    """2**60 and 2**60 + 1 are one float."""
    table = TABLE.assign(d=(TABLE.d + 2**60).astype("Int64").where(TABLE.x < 1))
    for i, part in enumerate(_cut(table)):
        part.to_parquet(tmp_path / f"{i}.parquet", index=False)
    ours, theirs = (de.Logit(WHOLE).fit(t) for t in (tmp_path, table))
    assert len(ours.params) == 4
    _same(ours, theirs)


@pytest.mark.parametrize("model", [de.Logit("y ~ x + u + g"), de.NormalRegression("u ~ x + y + g")])
@pytest.mark.parametrize("cov", ["nonrobust", "HC1", de.Cluster("k")], ids=str)
def test_few_readings(many: pd.DataFrame, model: Any, cov: Any) -> None:
    wide = pd.concat([many] * 5, ignore_index=True)
    calls: list[int] = []

    def pieces() -> list[pd.DataFrame]:
        calls.append(1)
        return _cut(wide, 10_000, 20_000)

    found = model.fit(de.Parts(pieces), cov=cov)
    assert found.facts.readings <= 5
    assert len(calls) == 1 + 2 * found.facts.readings  # the columns are looked up first in each


def _bits(result: Any) -> bytes:
    return np.concatenate([result.params, result.bse, result.with_cov("HC3").bse]).tobytes()


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.MissingValuesWarning")
def test_bits_depend_on_the_parts_alone(folder: Path) -> None:
    distributed = pytest.importorskip("distributed")
    frame = dd.from_map(pd.read_parquet, sorted(folder.glob("*.parquet")))
    model, found = de.Logit("y ~ log(x + 2) + z + g"), {}  # not all rows are used
    cov, readings = de.Cluster("k"), list[int]()

    def fitted(data: Any, cache: Any, jobs: int | None = None) -> None:
        res = model.fit(data, cov=cov, cache=cache, n_jobs=jobs)
        readings.append(res.facts.readings)
        found[type(data).__name__, cache, jobs] = _bits(res)
        assert ("coded rows were kept" in str(res.summary())) == (cache in ("memory", "disk"))

    for cache in ("auto", "memory", None, "disk"):
        fitted(folder, cache)
        fitted(frame, cache)
    for cache in ("memory", None, "disk"):
        fitted(folder, cache, 2)
    density = de.FlowDensity("x ~ g", flow=SHAPE, base="normal")
    one, two = (density.fit(folder, n_jobs=n) for n in (None, 2))
    assert (one.params == two.params).all()
    assert (one.bse == two.bse).all()
    state = np.random.get_state()  # noqa: NPY002 - dask of 2025 draws from it in this process
    ours = found.pop(("DataFrame", None, None))
    with distributed.Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0"):
        for cache in ("memory", None):
            fitted(frame, cache)
            assert found.pop(("DataFrame", cache, None)) == ours, cache
        with pytest.raises(OptionError, match="workers of dask"):
            model.fit(frame, cache="disk")
    np.random.set_state(state)  # noqa: NPY002
    kept, rest = readings[2:4], readings[:2] + readings[4:6]
    assert max(kept) < min(rest)
    assert {name for name, bits in found.items() if bits != ours} == set()


def test_kept_rows_stay_as_long_as_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEPT_BYTES", 10**8)
    held, few = (de.Logit(PLAIN).fit(folder, cov="HC1", cache=cache) for cache in ("memory", "auto"))
    assert held.facts.readings == few.facts.readings == 1
    (folder / "part1.parquet").rename(folder / "away")
    with pytest.raises(DataError, match="cannot be read"):
        few.with_cov("HC3")
    (folder / "away").rename(folder / "part1.parquet")
    before = held.rows.readings
    assert (held.with_cov("HC3").bse == few.with_cov("HC3").bse).all()
    assert held.rows.readings == before
    assert few.rows.readings > before
    for cache in ("disc", 3, ["memory"], True):
        with pytest.raises(OptionError, match="cache="):
            de.Logit(PLAIN).fit(folder, cache=cache)


@pytest.mark.parametrize("cache", ["memory", "auto", None])
def test_arrays_that_are_written_again_are_no_rows(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function may fill the same arrays for every table, and whoever gave a frame may change it later."""
    monkeypatch.setattr(stream, "KEPT_BYTES", 10**8)
    room = {name: np.empty(100) for name in ("x", "z", "y")}

    def filled() -> Any:
        for i in range(0, N - 100, 100):
            for name, column in room.items():
                column[:] = TABLE[name][i : i + 100]
            yield room

    model, table = de.Logit("y ~ x + z"), TABLE[: len(range(0, N - 100, 100)) * 100]
    ours = model.fit(de.Parts(filled), cache=cache)
    _same(ours, model.fit(table))
    flow = de.FlowDensity("x ~ 1", flow=FEW_KNOTS)
    np.testing.assert_allclose(flow.fit(de.Parts(filled)).params, flow.fit(table).params, rtol=1e-9)
    room["x"][:] = 9.0
    np.testing.assert_allclose(ours.with_cov("HC1").bse, model.fit(table, cov="HC1").bse, rtol=1e-8)


@pytest.mark.parametrize("weights", [None, "sampling", "frequency"])
@pytest.mark.parametrize("formula", ["y ~ x + u + g", "y ~ x * u + C(k)"])
def test_a_small_source_is_fitted_as_a_table_is(
    many: pd.DataFrame, formula: str, weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes for the score alone, whether rows are kept or not, and by whoever; a factor as codes too."""
    monkeypatch.setattr(stream, "KEPT_BYTES", 10**8)
    table = pd.concat([many] * 10, ignore_index=True)
    table["k"], table["c"] = np.arange(len(table)) % 12, np.arange(len(table)) // 900
    for i, part in enumerate(_cut(table, 4_000, 56_000)):
        part.to_parquet(tmp_path / f"{i}.parquet", index=False)
    model = de.Logit(formula, weights=weights and "w", weight_type=weights)
    cov = de.Cluster("c")
    fits = [
        model.fit(tmp_path, cov=cov, cache=c, n_jobs=n)
        for c, n in ((None, 2), ("memory", None), ("auto", 1), ("disk", 1))
    ]
    monkeypatch.setattr(parts, "WORKER_BYTES", 0)  # more would make joblib end its workers
    fits.append(model.fit(tmp_path, cov=cov, cache="memory", n_jobs=2))
    assert "were kept" not in str(fits[-1].summary())
    assert len({_bits(fit) for fit in fits}) == 1
    theirs = model.fit(table, cov=cov)
    assert fits[1].facts.readings == 2 < fits[0].facts.readings  # of the clusters besides
    _same(fits[1], theirs)
    _same(fits[1].with_cov("HC1"), theirs.with_cov("HC1"))


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.IncidentalParametersWarning")
@pytest.mark.parametrize("formula", ["y ~ x + g", "y ~ x + C(k)"])  # of which codes of a factor are kept
def test_rows_on_a_disk_go_with_the_fit(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, formula: str
) -> None:
    model, room = de.Logit(formula), tmp_path_factory.mktemp("room")
    found = model.fit(folder, cov=de.Cluster("k"), cache=room)
    again = model.fit(folder, cov=de.Cluster("k"), cache=None)
    assert (found.bse == again.bse).all()
    assert found.facts.readings < again.facts.readings
    assert not list(room.iterdir())
    assert (found.with_cov("HC3").bse == again.with_cov("HC3").bse).all()
    for error in (KeyboardInterrupt, ValueError):
        with monkeypatch.context() as m:

            def ends(*_: Any, error: type[BaseException] = error) -> None:
                assert list(room.iterdir())
                raise error

            m.setattr("disteconometrics.estimators.binary.results.covariance", lambda *a, **k: ends())
            with pytest.raises(error):
                model.fit(folder, cache=room)
        assert not list(room.iterdir())


def test_a_disk_that_takes_no_rows_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "room"
    with pytest.raises(OptionError, match=r"room' \(No such file or directory\).*cache=None"):
        de.Logit(PLAIN).fit(folder, cache=room)
    room.mkdir()
    write = np.lib.format.write_array

    def full(file: Any, *args: Any, **options: Any) -> None:
        write(file, *args, **options)
        if file.tell() > 5_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numpy.lib.format.write_array", full)
    with pytest.raises(OptionError, match=r"No space left on device.*what was written is deleted"):
        de.Logit(PLAIN).fit(folder, cache=room)
    assert not list(room.iterdir())
    monkeypatch.undo()
    blocks = BlockFile(str(room / "gone"))
    blocks.append(Block(np.ones(2), np.ones((2, 1))))
    (room / "gone").write_bytes((room / "gone").read_bytes()[:-1])
    with pytest.raises(DataError, match="can no longer be read"):
        list(blocks)


@pytest.mark.slow
def test_a_killed_worker_changes_no_bit(folder: Path) -> None:
    distributed = pytest.importorskip("distributed")
    cov, killed = de.Cluster("k"), folder / "killed"

    def deadly(frame: pd.DataFrame) -> pd.DataFrame:
        if not killed.exists() and len(frame) and frame["x"].iloc[0] == TABLE["x"].iloc[170]:
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return frame

    frame = dd.from_map(pd.read_parquet, sorted(folder.glob("*.parquet")))
    ours = _bits(de.Logit(PLAIN).fit(frame, cov=cov))
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as client:
        once = frame.map_partitions(deadly, meta=frame._meta)
        for cache in ("memory", None):
            killed.unlink(missing_ok=True)
            assert _bits(de.Logit(PLAIN).fit(once, cov=cov, cache=cache)) == ours
            assert killed.exists()
        client.retire_workers(close_workers=True)


def test_a_part_that_changes_between_readings_is_an_error(folder: Path) -> None:
    res = de.Logit(PLAIN).fit(folder)
    _cut()[2].assign(x=0.5).to_parquet(folder / "part2.parquet", index=False)
    with pytest.raises(DataError, match=r"part2.parquet has changed"):
        res.with_cov("HC1")
    draws = iter(range(100))
    with pytest.raises(DataError, match="has changed"):
        de.Logit("y ~ x").fit(de.Parts(lambda: [TABLE.assign(x=TABLE.x + next(draws))]))


REFUSED: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "an iterator": (lambda p: de.Logit(PLAIN).fit(iter(_cut())), OptionError, r"de\.Parts\(lambda"),
    "a function": (lambda p: de.Logit(PLAIN).fit(_cut), OptionError, r"de\.Parts"),
    "a list of tables": (lambda p: de.Logit(PLAIN).fit(_cut()), OptionError, "pd.concat"),
    "no path": (lambda p: de.Logit(PLAIN).fit(p / "none.parquet"), DataError, "is no file"),
    "an address": (lambda p: de.Logit(PLAIN).fit("s3://b/x.parquet"), OptionError, "pyarrow.dataset"),
    "no Parquet": (lambda p: de.Logit(PLAIN).fit(__file__), OptionError, "is no Parquet file"),
    "a folder without Parquet": (
        lambda p: de.Logit(PLAIN).fit(Path(__file__).parent),
        DataError,
        r"read a CSV",
    ),
    "a column twice": (
        lambda p: (
            pq.write_table(pa.table([TABLE.y, TABLE.x, TABLE.z], names=["y", "x", "x"]), p / "part0.parquet"),
            de.Logit("y ~ x").fit(p),
        ),
        DataError,
        "'x' is a duplicate",
    ),
    "a dot over other columns": (
        lambda p: (_cut()[0].assign(v=1.0).to_parquet(p / "q.parquet"), de.Logit("y ~ .").fit(p)),
        DataError,
        "differ in 'v'",
    ),
    "no column": (lambda p: de.Logit("y ~ xx").fit(p), MissingColumnError, "'xx'"),
    "a lag": (lambda p: de.Logit("y ~ lag(x)").fit(p), NeedsRows, "row before"),
    "a learnt transform": (lambda p: de.Logit("y ~ bs(x, df=4)").fit(p), NeedsRows, "learns from all rows"),
    "time order": (lambda p: de.Logit(PLAIN).fit(p, cov=de.HAC("k")), NeedsRows, "no rows are kept"),
    "residuals": (lambda p: de.Logit(PLAIN).fit(p).resid_response, NeedsRows, "pass data="),
    "margins at means": (lambda p: de.Logit(PLAIN).fit(p).margins(at="mean"), NeedsRows, "pass data="),
    "simulation": (lambda p: de.Logit(PLAIN).fit(p).monte_carlo(reps=9), NeedsRows, "fit a table"),
    "a penalty": (lambda p: de.Logit(PLAIN, penalty="firth").fit(p), NeedsRows, "read_parquet"),
    "another estimator": (lambda p: de.FlowDensity("x ~ z").fit(p), NeedsRows, "read_parquet"),
    "clashing kinds": (
        lambda p: de.Logit(PLAIN).fit(de.Parts(lambda: _with(1, x=lambda f: "a"))),
        DataError,
        "'x' holds text",
    ),
    "missing clusters": (
        lambda p: de.Logit(PLAIN).fit(de.Parts(lambda: _with(1, k=_holes("k", 10))), cov=de.Cluster("k")),
        DataError,
        "'k' has 22 missing",
    ),
    "infinite values": (
        lambda p: de.Logit(PLAIN).fit(de.Parts(lambda: _with(1, x=lambda f: np.inf))),
        DataError,
        "inf",
    ),
    "three outcomes": (lambda p: de.Logit("d ~ x").fit(p), de.errors.OutcomeError, "3 distinct"),
    "a syntax error": (lambda p: de.Logit("y ~ (x").fit(p), FormulaError, "Syntax error"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_the_remedy(folder: Path, case: str) -> None:
    call, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        call(folder)


PREDICTED: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "functionals of a normal law": (de.NormalRegression("x ~ d + g"), "g", {"names": ["mean", "q[0.9]"]}),
    "a density": (de.FlowDensity("x ~ d", flow=FEW_KNOTS), "d", {"names": ["mean", "q[0.9]"], "ci": True}),
    "categories": (de.MultinomialLogit("g ~ x + d"), "x", {"ci": True}),
}


@pytest.mark.parametrize("name", PREDICTED)
def test_every_prediction_takes_a_source(name: str) -> None:
    model, column, options = PREDICTED[name]
    table = TABLE.assign(**{column: TABLE[column].where(TABLE.index != 7)})
    found = model.fit(TABLE)
    pd.testing.assert_frame_equal(
        found.predict(de.Parts(lambda: _cut(table, 100, 300)), **options), found.predict(table, **options)
    )
