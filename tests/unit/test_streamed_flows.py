"""Flows by name train on sources in parts as on their table: rows dealt, held out, checked and refused."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import joblib
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

import disteconometrics as de
from disteconometrics.data import stream
from disteconometrics.data.source import open_source
from disteconometrics.distributions.support import LINE
from disteconometrics.errors import (
    CollinearityError,
    DataError,
    FormulaError,
    NeedsRows,
    OptionError,
    OutcomeError,
)
from disteconometrics.estimators import streamed_rows
from disteconometrics.estimators.streamed_rows import StreamedRows

pytestmark = pytest.mark.filterwarnings("ignore::disteconometrics.errors.ConvergenceWarning")  # few steps

# pairs of table and source: |mean| + 4 sd of the difference of held-out log densities over twelve seeds, of
# values above −10, as planar layers have spikes between rows under either (3 and 6 of 60 fits lie below −2.2)
FLOWS: dict[str, tuple[Any, float]] = {
    "affine": (de.AffineMap(), 0.002),
    "location-scale": (de.AffineMap("covariates", hidden=(8,)), 0.0026),
    "planar": (de.Planar(3), 0.024),
    "planar net": (de.Planar(2, hidden=(6,)), 0.105),
    "spline": (de.RQS(bins=6, hidden=(8,)), 0.006),
    "mixture": (de.MixtureCDF(3, hidden=(8,)), 0.0035),
    "maf": (de.Autoregressive(de.AffineMap(), layers=2, hidden=(8,)), 0.008),
    "autoregressive spline": (de.Autoregressive(de.RQS(5), layers=2, hidden=(8,)), 0.0075),
    "autoregressive mixture": (de.Autoregressive(de.MixtureCDF(3), hidden=(8,)), 0.009),
    "coupling": (de.Coupling(de.AffineMap(), layers=2, hidden=(8,)), 0.0105),
    "spline coupling": (de.Coupling(de.RQS(5), layers=2, hidden=(8,), mix="lu"), 0.0115),
    "chain": (
        (de.AffineMap("covariates"), de.RQS(4), de.Autoregressive(de.MixtureCDF(2), hidden=(4,))),
        0.0055,
    ),
}
JOINT = ("maf", "autoregressive", "coupling")
CUT = (0, 1_000, 2_200, 3_000)


def _table(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=n), rng.choice(list("abc"), n)
    y = 1 + 0.5 * x + 0.7 * (g == "b") + np.exp(0.3 * x) * rng.logistic(size=n)
    frame = pd.DataFrame({"y": y, "y2": 0.4 * y + rng.normal(size=n) + x**2, "x": x, "g": g})
    return frame.assign(w=rng.integers(0, 4, n), p=np.exp(y / 3))


TABLE = _table(3_000, 1)
QUICK = de.AdamW(batch=256, steps=20, validation=0.2)


def _cut(frame: pd.DataFrame = TABLE) -> list[pd.DataFrame]:
    return [frame[a:b].reset_index(drop=True) for a, b in pairwise(CUT)]


def _parts(pieces: Any = None) -> de.Parts:
    return de.Parts(lambda: _cut() if pieces is None else pieces)


@pytest.fixture(autouse=True)
def many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are read as many are: in several windows, anew for each."""
    for name, value in {"KEPT": 100, "WINDOW_BYTES": 20_000, "LEAST_APART": 1, "SEEN": 2_000}.items():
        monkeypatch.setattr(streamed_rows, name, value)
    monkeypatch.setattr(stream, "KEPT_BYTES", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, part in enumerate(_cut()):
        part.to_parquet(tmp_path / f"{i}.parquet", row_group_size=700, index=False)
    return tmp_path


def _mixture(formula: str, **options: Any) -> de.FlowDensity:
    return de.FlowDensity(formula, flow=de.MixtureCDF(3, hidden=(8,)), **{"train": QUICK, **options})


@pytest.mark.parametrize("name", FLOWS)
def test_a_source_trains_as_its_table(name: str) -> None:
    flow, bar = FLOWS[name]
    joint, test = any(word in name for word in JOINT), _table(4_000, 2)
    how = de.AdamW(lr=0.005 if "planar" in name else 0.02, batch=256, steps=150)
    model = de.FlowDensity(f"{'y + y2' if joint else 'y'} ~ x", flow=flow, train=how)
    Y = test[["y", "y2"]].to_numpy() if joint else test["y"].to_numpy()
    found = [model.fit(data, seed=5) for data in (TABLE, _parts())]
    held_out = [res.distribution(test).logpdf(Y).clip(-10).mean() for res in found]
    assert abs(held_out[1] - held_out[0]) < bar
    assert found[1].facts.readings > 3


def test_a_sorted_source_trains_as_a_mixed_one() -> None:
    """Differences of log-likelihoods per row over twelve seeds: mean .00006, sd .00023."""
    model = _mixture("y ~ x", train=de.AdamW(lr=0.02, batch=256, steps=150))
    ends = [model.fit(_parts(_cut(f)), seed=3).llf for f in (TABLE, TABLE.sort_values("y"))]
    assert abs(ends[1] - ends[0]) / len(TABLE) < 0.001


def test_the_order_depends_on_the_parts_alone(folder: Path) -> None:
    model = de.FlowDensity("y + y2 ~ x + g", flow=de.Coupling(de.AffineMap(), hidden=(4,)), train=QUICK)
    files = sorted(folder.glob("*.parquet"))
    sources = {
        "folder": folder,
        "list": files,
        "dataset": ds.dataset(files),
        "dask frame": dd.from_map(pd.read_parquet, files),
    }
    found = {name: model.fit(data, seed=1) for name, data in sources.items()}
    with joblib.parallel_config(backend="threading"):
        found["two workers"] = model.fit(folder, seed=1, n_jobs=2)
    ours = found.pop("folder")
    assert {name for name, res in found.items() if (res.solution() != ours.solution()).any()} == set()
    assert {name for name, res in found.items() if res.llf != ours.llf} == set()
    assert (model.fit(folder, seed=2).solution() != ours.solution()).any()
    assert f"read {ours.facts.readings} times" in str(ours.summary())
    other = io.BytesIO()
    ours.save(other)
    other.seek(0)
    loaded = de.load(other)
    assert isinstance(loaded.attach(folder).rows, StreamedRows)
    assert loaded.params.equals(ours.params)
    os.utime(folder / "1.parquet", (1, 1))
    with pytest.raises(DataError, match=r"1\.parquet has changed"):
        ours.fingerprint()


def test_windows_share_the_rows_and_those_held_out_stay() -> None:
    source = open_source(_parts())
    assert source is not None
    rows = StreamedRows.read(_mixture("y ~ x"), source)
    look = rows.look(LINE, 0.2, 7)
    assert look.apart is not None
    assert rows.windows(256) == 2
    epochs = []
    for epoch in range(2):
        dealt = [np.concatenate([p.Y for p in rows.window(2, 0.2, 7, epoch, i)])[:, 0] for i in range(2)]
        assert max(map(len, dealt)) < 1_500
        every = np.sort(np.concatenate([*dealt, look.apart.Y[:, 0]]))
        assert (every == np.sort(TABLE["y"])).all()
        epochs.append(dealt)
    assert len(np.intersect1d(epochs[0][0], epochs[1][0])) < 0.7 * len(epochs[0][0])
    Z = TABLE[["y", "x"]].to_numpy()
    np.testing.assert_allclose(look.mean, Z.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(look.spread, Z.std(axis=0), rtol=1e-12)
    assert (look.low == Z.min(axis=0)).all()
    X = np.column_stack([np.ones(len(TABLE)), TABLE["x"]])
    np.testing.assert_allclose(look.gram, X.T @ X, rtol=1e-12, atol=1e-9)


def test_moments_lose_no_digits_far_from_zero() -> None:
    sums = streamed_rows._Sums()
    Z = 1e9 + np.random.default_rng(0).normal(size=(900, 2))
    for piece, count in product(np.split(Z, 3), (0, 1)):
        sums.add(piece[: count * 300], None)
    np.testing.assert_allclose(sums.products, np.cov(Z.T) * 899, rtol=1e-6, atol=1e-3)


def _changed(part: int, **columns: Any) -> list[pd.DataFrame]:
    pieces = _cut()
    pieces[part] = pieces[part].assign(**{n: v(pieces[part]) for n, v in columns.items()})
    return pieces


AWKWARD: dict[str, tuple[str, list[pd.DataFrame], dict[str, Any]]] = {
    "empty parts": ("y ~ x + g", [TABLE[:0], *_cut(), TABLE[:0]], {}),
    "a level in one part": ("y ~ x + g", _changed(2, g=lambda f: "z"), {}),
    "missing in one part": ("y + y2 ~ x + g", _changed(1, y2=lambda f: f.y2.where(f.y2 > 0)), {}),
    "all missing in one part": ("y ~ x + g", _changed(0, x=lambda f: np.nan, g=lambda f: None), {}),
    "whole, then float": ("y ~ x + C(w)", _changed(1, w=lambda f: f.w.astype(float)), {}),
    "frequency weights": ("y ~ x", _cut(), {"weights": "w", "weight_type": "frequency"}),
    "sampling weights": ("y ~ x", _cut(), {"weights": "w", "weight_type": "sampling"}),
    "a support": ("p ~ x", _cut(), {"support": "positive"}),
    "a dot": ("y ~ .", [f[["y", "x", "g"]] for f in _cut()], {}),
}


@pytest.mark.filterwarnings("ignore::disteconometrics.errors.MissingValuesWarning")
@pytest.mark.parametrize("case", AWKWARD)
def test_awkward_parts_are_those_of_their_table(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, counts, standardisation; to the bit where rows are few."""
    formula, pieces, options = AWKWARD[case]
    flow = de.Coupling(de.AffineMap(), hidden=(4,)) if "y2" in formula else de.MixtureCDF(3, hidden=(8,))
    model = de.FlowDensity(formula, flow=flow, train=de.AdamW(batch=200, steps=2), **options)
    table = pd.concat([p for p in pieces if len(p)], ignore_index=True)
    theirs, ours = model.fit(table, seed=1), model.fit(_parts(pieces), seed=1)
    assert isinstance(ours.rows, StreamedRows)
    assert ours.spec.names == theirs.spec.names
    for name in ("rows", "given", "dropped", "observations", "zero_weight", "outcomes"):
        assert getattr(ours.facts, name) == getattr(theirs.facts, name)
    for name in ("location", "scale", "x_location", "x_scale"):
        np.testing.assert_allclose(
            getattr(ours.flow, name), getattr(theirs.flow, name), rtol=1e-10, atol=1e-13
        )
    assert abs(ours.llf - theirs.llf) < 0.05 * abs(theirs.llf)
    assert ours.fingerprint() == theirs.fingerprint()
    new = _table(5, 3).assign(w=1)
    assert np.isfinite(
        ours.distribution(new).logpdf(new[list(ours.facts.outcomes)].to_numpy().squeeze())
    ).all()
    monkeypatch.setattr(streamed_rows, "KEPT", 10_000)
    few = model.fit(_parts(pieces), seed=1)
    assert (few.solution() == theirs.solution()).all()
    assert few.llf == theirs.llf
    assert few.facts.given == theirs.facts.given


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "L-BFGS": (lambda: _mixture("y ~ x", train=de.LBFGS()).fit(_parts()), OptionError, r"de\.AdamW\(batch"),
    "no batch": (lambda: _mixture("y ~ x", train=de.Adam()).fit(_parts()), OptionError, "without a batch"),
    "text": (lambda: _mixture("g ~ x").fit(_parts()), OutcomeError, "needs numbers"),
    "second text": (
        lambda: de.FlowDensity("y + g ~ x", flow=de.Coupling(de.AffineMap()), train=QUICK).fit(_parts()),
        OutcomeError,
        "'g' holds text",
    ),
    "an outcome on the right": (
        lambda: de.FlowDensity("y + y2 ~ y2", flow=de.Coupling(de.AffineMap()), train=QUICK).fit(_parts()),
        FormulaError,
        "'y2' is also on the right side",
    ),
    "dependent outcomes": (
        lambda: de.FlowDensity("y + I(2 * y) ~ x", flow=de.Coupling(de.AffineMap()), train=QUICK).fit(
            _parts()
        ),
        OutcomeError,
        "linearly dependent",
    ),
    "collinear columns": (lambda: _mixture("y ~ x + I(2 * x)").fit(_parts()), CollinearityError, "2 · x"),
    "outside": (
        lambda: _mixture("y ~ x", support="positive").fit(_parts()),
        DataError,
        f"has {(TABLE.y <= 0).sum()} rows outside",
    ),
    "a code for missing": (
        lambda: _mixture("y ~ x").fit(_parts(_changed(2, x=lambda f: f.x.where(f.index != 5, 1e12)))),
        DataError,
        r"x: 1e\+12 lies",
    ),
    "a lag": (lambda: _mixture("y ~ lag(x)").fit(_parts()), NeedsRows, "row before"),
    "a dot of outcomes": (
        lambda: de.FlowDensity("y + y2 ~ .", flow=de.Coupling(de.AffineMap())).fit(_parts()),
        FormulaError,
        "write the columns",
    ),
    "no rows": (lambda: _mixture("y ~ x").fit(_parts([TABLE[:0]])), DataError, "no rows"),
    "resampling": (lambda: _mixture("y ~ x").fit(_parts()).bootstrap(), NeedsRows, "fit a table"),
    "folds": (lambda: _mixture("y ~ x").fit(_parts()).diagnose(), NeedsRows, "fit a table"),
    "laws of rows": (lambda: _mixture("y ~ x").fit(_parts()).distribution(), NeedsRows, "fit a table"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_training_on_a_source_refuses(case: str) -> None:
    call, error, says = REFUSED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error, match=says):
            call()
