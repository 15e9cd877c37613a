"""Held-out scores: folds, pairs of estimators, missing rows, and agreement with a loop by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics import scores
from disteconometrics.errors import DisteconometricsError, ExtrapolationWarning, FailedReplicationsWarning

RNG = np.random.default_rng(5)
N = 120
TABLE = pd.DataFrame({"x": RNG.normal(size=N), "g": RNG.choice(list("abcd"), N)})
TABLE["y"] = 1 + 2 * TABLE.x + RNG.normal(size=N)
TABLE["d"] = (TABLE.y > 1).astype(int)
LINE, MEAN = de.NormalRegression("y ~ x"), de.NormalRegression("y ~ 1")


def test_scores_are_those_of_a_loop_by_hand() -> None:
    cv = de.cross_validate(LINE, TABLE, folds="row mod 7")
    for f in range(7):
        held = np.arange(N) % 7 == f
        law = LINE.fit(TABLE[~held]).distribution(TABLE[held])
        y = TABLE.y[held].to_numpy()
        np.testing.assert_allclose(cv.log_scores["NormalRegression"][held], law.logpdf(y), rtol=1e-12)
        np.testing.assert_allclose(cv.crps["NormalRegression"][held], scores.crps(law, y), rtol=1e-12)
        np.testing.assert_allclose(cv.transforms["NormalRegression"][held], law.cdf(y), rtol=1e-12)
    assert cv.uniformity("NormalRegression").p_value > 1e-4


def test_what_folds_tell_is_told_once() -> None:
    with pytest.warns(ExtrapolationWarning, match=r"flow, in \d of 4 folds: .* outside") as told:
        de.cross_validate({"flow": de.FlowDensity("y ~ x"), "line": LINE}, TABLE, folds=4, seed=1)
    assert len(told) == 1


def test_differences_are_paired() -> None:
    cv = de.cross_validate({"mean": MEAN, "line": LINE}, TABLE, folds=5, seed=1)
    table = cv.table()
    assert table.index.tolist() == ["line", "mean"]
    gap = cv.log_scores["mean"] - cv.log_scores["line"]
    assert table.loc["mean", "log_score_difference"] == pytest.approx(gap.mean())
    assert table.loc["mean", "log_score_difference_error"] == pytest.approx(gap.std() / np.sqrt(N))
    assert table.loc["line", "log_score_difference"] == 0
    assert table.loc["line", "crps"] < table.loc["mean", "crps"]
    assert "5 folds (seed 1)" in repr(cv)


def test_folds() -> None:
    a, b, c = (de.cross_validate(LINE, TABLE, folds=5, seed=s) for s in (1, 1, 2))
    assert np.array_equal(a.folds, b.folds)
    assert a.log_scores.equals(b.log_scores)
    assert not np.array_equal(a.folds, c.folds)
    assert np.bincount(a.folds).tolist() == [24] * 5
    drawn = de.cross_validate(LINE, TABLE, folds=3)
    assert np.array_equal(drawn.folds, de.cross_validate(LINE, TABLE, folds=3, seed=drawn.seed).folds)
    by_column = de.cross_validate(LINE, TABLE, folds="g")
    by_label = de.cross_validate(LINE, TABLE.to_dict("series"), folds=TABLE.g.tolist())
    assert by_column.log_scores.to_numpy() == pytest.approx(by_label.log_scores.to_numpy())
    assert np.array_equal(by_column.folds, pd.factorize(TABLE.g, sort=True)[0])


def test_missing_rows_are_left_out_of_all_means() -> None:
    table = TABLE.assign(x=TABLE.x.where(TABLE.index > 9))
    cv = de.cross_validate({"line": LINE, "mean": MEAN}, table, folds="row mod 4")
    assert cv.log_scores["line"].isna().sum() == 10
    assert cv.log_scores["mean"].notna().all()
    assert cv.table()["n"].tolist() == [110, 110]
    assert "10 rows with missing values" in repr(cv)


def test_binary_outcomes_and_flows() -> None:
    cv = de.cross_validate(
        {"logit": de.Logit("d ~ x"), "probit": de.Probit("d ~ x")}, TABLE, folds="row mod 5"
    )
    p = de.Logit("d ~ x").fit(TABLE[np.arange(N) % 5 != 0]).predict(TABLE[np.arange(N) % 5 == 0]).to_numpy()
    d = TABLE.d[::5].to_numpy()
    np.testing.assert_allclose(cv.crps["logit"][::5], (p - d) ** 2, rtol=1e-10)  # Brier's score
    pair = {"flow": de.FlowDensity("y ~ C(g)"), "line": de.NormalRegression("y ~ C(g)")}
    flow = de.cross_validate(pair, TABLE, folds="row mod 3")
    assert np.isfinite(flow.table()["log_score"]).all()
    assert abs(flow.table()["log_score"].diff().iloc[1]) < 0.2


@pytest.mark.parametrize(
    "arguments",
    [
        {"folds": 1},
        {"folds": N + 1},
        {"folds": 2.5},
        {"folds": "nothing"},
        {"folds": [1, 2]},
        {"folds": np.zeros(N)},
        {"folds": "row mod 1"},
        {"estimators": {}},
        {"estimators": "y ~ x"},
        {"estimators": {"a": LINE, "b": de.NormalRegression("exp(y) ~ x")}},
        {"seed": -1},
    ],
    ids=str,
)
def test_what_is_refused(arguments: dict[str, Any]) -> None:
    given = {"estimators": LINE, "data": TABLE, **arguments}
    with pytest.raises(DisteconometricsError):
        de.cross_validate(given.pop("estimators"), given.pop("data"), **given)


def test_an_estimator_that_fails_in_a_fold_has_no_scores() -> None:
    pair = {"spline": de.NormalRegression("y ~ bs(x, df=5)"), "line": LINE, "mean": MEAN}
    with pytest.warns(FailedReplicationsWarning, match=r"spline .* extrapolation.*fold \d of 5") as told:
        cv = de.cross_validate(pair, TABLE, folds=5, seed=1)
    assert len(told) == 1
    alone = de.cross_validate({"line": LINE, "mean": MEAN}, TABLE, folds=5, seed=1).table()
    pd.testing.assert_frame_equal(cv.table().iloc[:2], alone)
    assert cv.table().loc["spline"].drop("n").isna().all()
    assert cv.table().n.tolist() == [120, 120, 0]
    assert "spline" in repr(cv)


def test_a_failing_fold_is_named() -> None:
    table = TABLE.assign(h=np.where(TABLE.index == 7, "rare", "common"))
    with pytest.raises(DisteconometricsError) as error:
        de.cross_validate(de.NormalRegression("y ~ C(h)"), table, folds="row mod 6")
    assert any("fold 1 of 6" in note for note in error.value.__notes__)


def test_transforms_of_masses_are_drawn_anew_in_every_fold() -> None:
    b = (np.random.default_rng(2).random(60) < 0.4).astype(float)
    cv = de.cross_validate(de.Logit("b ~ 1"), {"b": b}, folds="row mod 2")
    drawn = []
    for f in (0, 1):
        held, p = cv.folds == f, b[cv.folds != f].mean()
        u = cv.transforms["Logit"].to_numpy()[held]
        drawn.append(np.where(b[held] == 1, (u - (1 - p)) / p, u / (1 - p)))
    assert ((np.ravel(drawn) >= 0) & (np.ravel(drawn) <= 1)).all()
    assert np.abs(drawn[0] - drawn[1]).min() > 1e-6
