"""Scores, transforms, draws, held-out comparisons and simulations of what was recorded of an outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.distributions.atom import WithMass
from disteconometrics.distributions.recorded import RecordedLaw
from disteconometrics.errors import (
    DataError,
    FewClustersWarning,
    OptionError,
    UnidentifiedWarning,
    WithheldError,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::disteconometrics.errors.UnidentifiedWarning",
    "ignore::disteconometrics.errors.DiscreteOutcomeWarning",
    "ignore::disteconometrics.errors.RecordingWarning",
    "ignore::disteconometrics.errors.InfiniteMomentWarning",
    "ignore::disteconometrics.errors.ExtrapolationWarning",
)
BOUNDS = [0.0, 2.0, 3.0, 4.0, 5.0, 7.0, np.inf]


def table(n: int = 300) -> pd.DataFrame:
    """A log-normal outcome, recorded in all ways."""
    rng = np.random.default_rng(3)
    x, d = rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    y = np.exp(1.5 + 0.3 * x + 0.2 * d + 0.4 * rng.normal(size=n))
    cap = np.where(d == 1, 7.0, np.where(x > 1, np.nan, 8.0))
    half = np.round(y * 2) / 2
    z = np.where(rng.random(n) < 0.3, 0.0, y)
    return pd.DataFrame(
        {
            "x": x,
            "d": d,
            "y": y,
            "cap": cap,
            "capped": np.fmin(y, cap),
            "c": y.clip(max=7),
            "f": y.clip(min=3),
            "r": half,
            "rc": half.clip(max=7),
            "classes": pd.cut(y, BOUNDS),
            "z": z,
            "zc": z.clip(max=7),
            "lo": np.floor(y),
            "hi": np.floor(y) + 1,
        }
    )


# left sides of the logarithm of an outcome, and the columns that hold it
LOGGED = {
    "log(topcoded(c, at=7))": "c",
    "log(topcoded(capped, at=cap))": "capped",
    "log(topcoded(rounded(rc, to=0.5), at=7))": "rc",
    "log(brackets(classes))": "classes",
    "log(brackets(y, [0, 2, 3, 4, 5, 7, inf]))": "y",
}
SIDES = {
    **LOGGED,
    "bottomcoded(f, at=3)": "f",
    "rounded(r, to=0.5)": "r",
    "mass(f, 3, corner=True)": "f",
    "mass(topcoded(zc, at=7), 0)": "zc",
}


@pytest.mark.parametrize("left", SIDES)
def test_a_fit_of_its_own_recorded_draws_is_the_fit(left: str) -> None:
    """In 12 copies of the rows with draws that are recorded anew; z-scores are below 3.7 over ten seeds."""
    data = table()
    res = de.NormalRegression(f"{left} ~ x + d").fit(data)
    of = res._refitting()
    many = pd.concat([pd.DataFrame(of.with_outcome(y)) for y in of.law.sample(12, seed=1).T])
    assert many[SIDES[left]].nunique() <= max(300 * 12, data[SIDES[left]].nunique())
    again = of.estimator.fit(many)
    z = (again.params - res.params) / again.bse
    assert np.abs(z).max() < 5


def test_simulations_of_recorded_fits_say_what_their_estimates_do() -> None:
    """Flows leave out what records do not tell; clusters keep the records of their rows."""
    data = table()
    data["g"], data["high"] = np.arange(300) % 60, data["y"].clip(upper=10)
    res = de.FlowDensity("topcoded(high, at=10) ~ x").fit(data)
    found = res.monte_carlo(4, seed=1).table()
    assert "q[0.5]" in found.index
    assert not {"mean", "q[0.9]"} & set(found.index)  # q[0.9] is told of these rows, and not of all draws
    assert found["truth"].notna().all()
    alone = de.NormalRegression("mass(z, 0) ~ 1").fit(data).monte_carlo(4, seed=1).table()
    assert np.abs(alone["bias"] / alone["model_se"]).max() < 3
    clustered = de.NormalRegression("topcoded(capped, at=cap) ~ x").fit(data, cov=de.Cluster("g"))
    check = clustered.monte_carlo(20, seed=1)
    assert check.design == "cluster"
    assert np.abs(check.table()["bias"] / check.table()["empirical_se"]).max() < 1


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ("interval(lo, hi)", "no rule for others"),
        ("topcoded(2 * c, at=14)", "a column of its own"),
        ("sqrt(topcoded(c, at=7))", "a column of its own"),
    ],
)
def test_records_without_a_rule_cannot_be_drawn(left: str, why: str) -> None:
    for model in (de.NormalRegression, de.FlowDensity):
        with pytest.raises(WithheldError, match=why):
            model(f"{left} ~ x").fit(table()).monte_carlo(2)
    with pytest.raises(WithheldError, match=why):
        de.FlowDensity(f"{left} ~ x").fit(table()).test_no_effect("x")


@pytest.mark.parametrize("left", ["topcoded(c, at=7)", "rounded(r, to=0.5)", "mass(f, 3, corner=True)"])
def test_tests_by_bootstrap_record_their_draws(left: str) -> None:
    data = table(150)
    data["w"] = np.random.default_rng(1).normal(size=150)
    model = de.FlowDensity(f"{left} ~ x + w", flow=de.MonotoneSpline(structure="linear"), base="logistic")
    res = model.fit(data)
    assert res.test_no_effect("x", 19, seed=1).p_value == 0.05
    assert res.test_no_effect("w", 19, seed=1).p_value > 0.05


# ---- scores ------------------------------------------------------------------------------------------------


def flow_law() -> Any:
    rng = np.random.default_rng(5)
    data = {"x": np.repeat([0.0, 1.0, 2.0], 60), "v": np.repeat([0.2, 1.0, 1.4], 60) + rng.normal(size=180)}
    return de.FlowDensity("v ~ x").fit(data).distribution({"x": [0.0, 1.0, 2.0]})


NORMAL = de.Normal([0.2, 3.0, 1.4], [1.0, 2.0, 0.3])
MASS = WithMass(NORMAL, 0.5, [0.3, 0.1, 0.8])
HALF = {"to": 0.5, "above": 0.5}


@pytest.mark.parametrize(
    "ends", [{"high": 2.0}, {"low": 0.0}, {"low": 0.0, "high": 2.0}, HALF, {**HALF, "high": 2.0}]
)
@pytest.mark.parametrize("own", [NORMAL, MASS, de.Normal(0.3, 1.0), flow_law()])
def test_ranked_scores_are_integrals_of_the_distribution_function(own: Any, ends: dict[str, float]) -> None:
    """Midpoint sums in steps of 1/4000, none of which holds a jump inside."""
    law = RecordedLaw(own, **ends)
    t = -16 + (np.arange(160_000) + 0.5) / 4000
    F = law.cdf(t[None] if own.batch_shape else t)
    for y in (0.0, 0.5, 2.0, 1.25):
        expected = np.square(F - (t >= y)).sum(axis=-1) / 4000
        y_rows = np.full(own.batch_shape or (1,), y)
        assert de.scores.crps(law, y_rows) == pytest.approx(np.atleast_1d(expected), abs=2e-7)


@pytest.mark.parametrize(
    "left", ["topcoded(c, at=7)", "topcoded(rounded(rc, to=0.5), at=7)", "mass(topcoded(zc, at=7), 0)"]
)
def test_scores_are_of_what_was_recorded_unless_asked_otherwise(left: str) -> None:
    data = table()
    res = de.NormalRegression(f"{left} ~ x + d").fit(data)
    law, records = res.distribution(data), res.spec.outcome_records(data)
    told, truth = data[SIDES.get(left, left.rpartition("(")[2].partition(",")[0])], data["y"]
    log, pit = de.scores.record_scores(law, records.lower, records.upper, seed=1)
    assert de.scores.log_score(law, told) == pytest.approx(log, rel=1e-8)
    assert de.scores.log_score(law, told, of="recorded") == pytest.approx(log, rel=1e-8)
    assert de.scores.log_score(law, truth, of="outcome") == pytest.approx(law.logpdf(truth))
    assert de.scores.pit(law, told, seed=1)[records.exact] == pytest.approx(pit[records.exact])
    assert de.scores.uniformity(de.scores.pit(law, told, seed=1), held_out=True).p_value > 1e-4
    assert (de.scores.crps(law, told) != de.scores.crps(law, told, of="outcome")).any()
    assert de.scores.coverage(law, told).loc["all", "coverage"] > 0.8
    assert np.isin(law.sample(3, seed=1, of="recorded"), law.recorded().sample(3, seed=1)).all()
    with pytest.raises(OptionError, match="of='truth'"):
        law.sample(1, of="truth")
    with pytest.raises(OptionError, match="of='truth'"):
        de.scores.pit(law, told, of="truth")


def test_brackets_are_scored_by_their_class() -> None:
    data = table()
    res = de.NormalRegression("log(brackets(y, [0, 2, 3, 4, 5, 7, inf])) ~ x").fit(data)
    law = res.distribution(data).on("y")
    code = pd.cut(data["y"], BOUNDS, right=False).cat.codes
    assert de.scores.log_score(law, data["y"]) == pytest.approx(law.recorded().logpdf(code))
    assert set(np.unique(law.sample(2, seed=1, of="recorded"))) == set(range(6))
    with pytest.raises(OptionError, match="outside the brackets"):
        de.scores.pit(law, np.full(300, -1.0))
    intervals = de.NormalRegression("interval(lo, hi) ~ x").fit(data).distribution(data)
    with pytest.raises(WithheldError) as told:
        de.scores.crps(intervals, data["lo"])
    assert "record_scores" in told.value.__notes__[0]


def test_models_of_an_outcome_and_its_logarithm_are_compared_on_its_scale() -> None:
    """Probabilities do not depend on the scale; densities have the slope of the logarithm in them."""
    data = table()
    for left in ("c", "topcoded(c, at=7)", "topcoded(rounded(rc, to=0.5), at=7)"):
        name = left.rpartition("(")[2].partition(",")[0]
        models = {
            "line": de.NormalRegression(f"{left} ~ x"),
            "log": de.NormalRegression(f"log({left}) ~ x"),
            "same": de.FlowDensity(
                f"{left} ~ x", support="positive", base="normal", flow=de.MonotoneSpline(structure="linear")
            ),
        }
        cv = de.cross_validate(models, data, folds=2, seed=1, on=name)
        own = de.cross_validate(models["log"], data, folds=2, seed=1).log_scores.iloc[:, 0]
        known = (data["c"] < 7) & ("rounded" not in left)
        slope = np.where(known | (left == "c"), np.log(data[name]), 0.0)
        assert (cv.log_scores["log"] + slope).to_numpy() == pytest.approx(own.to_numpy())
        for scores in (cv.log_scores, cv.crps, cv.transforms):
            assert scores["log"].to_numpy() == pytest.approx(scores["same"].to_numpy(), rel=2e-3, abs=2e-4)
        assert (cv.table()["n"] == 300).all()
    with pytest.raises(DataError, match="give on="):
        de.cross_validate(models, data, folds=2, seed=1)
    models = {left: de.NormalRegression(f"{left} ~ x") for left in ("f", "bottomcoded(f, at=3)")}
    with pytest.raises(DataError, match=r"write one left side\.$"):
        de.cross_validate(models, data, folds=2, seed=1, on="f")
    models = {"same": de.NormalRegression("rounded(rc, to=0.5) ~ x")}
    with pytest.raises(OptionError, match="the scale is 'rc'"):
        de.cross_validate(models, data, folds=2, seed=1, on="y")


# ---- bounds ------------------------------------------------------------------------------------------------


def test_the_mean_is_bounded_by_the_ends_of_records() -> None:
    """Averages of ends, of groups too, with their errors, whatever law was fitted and what it is given."""
    data, bounds = table(), np.array([0.0, 2.0, 3.0, 4.0, 5.0, 7.0, 40.0])
    at = np.searchsorted(bounds, data["y"], side="right") - 1
    ends = [bounds[at], bounds[at + 1]]
    for estimator in (de.NormalRegression, de.FlowDensity):
        res = estimator(f"brackets(y, {bounds.tolist()}) ~ x").fit(data, cov="HC0")
        assert res.mean_bounds().values == pytest.approx([end.mean() for end in ends])
        errors = [end.std(ddof=1) / np.sqrt(300) for end in ends]
        assert res.mean_bounds().std_error == pytest.approx(errors)
        groups = [end[data["d"] == d].mean() for end in ends for d in (0, 1)]
        assert res.mean_bounds(by="d").values == pytest.approx(groups)
        assert res.mean_bounds(by="d").names[1] == "mean, at least | d = 1.0"
    half = de.FlowDensity("mass(topcoded(rounded(rc, to=0.5), at=7), 2.5) ~ x").fit(data).mean_bounds()
    lower = data["rc"] - np.where(data["rc"] == 2.5, 0.0, 0.25)  # a mass is known
    assert dict(zip(half.names, half.values, strict=True)) == {"mean, at least": pytest.approx(lower.mean())}
    weighted = de.NormalRegression("topcoded(c, at=7) ~ x", weights="w", weight_type="sampling")
    w = 1.0 + data["d"]
    found = weighted.fit({**data, "w": w}).mean_bounds()
    assert found.values == pytest.approx([np.average(data["c"], weights=w)])
    firms = data.assign(firm=np.arange(300) // 6, first=np.arange(300) < 6)
    told = de.NormalRegression("interval(lo, hi) ~ 1").fit(firms, cov=de.Cluster("firm"))
    assert told.mean_bounds().values == pytest.approx([data["lo"].mean(), data["hi"].mean()])
    with pytest.warns(FewClustersWarning, match="single cluster of firm"):
        alone = np.isnan(told.mean_bounds(by="first").std_error)
    assert alone.tolist() == [False, True] * 2


@pytest.mark.parametrize(
    ("left", "some"), [("topcoded(c, at=7)", True), ("brackets(y, [-inf, 2, 3, 4, inf])", False)]
)
def test_bounds_of_the_mean_are_offered_where_there_are_some(left: str, some: bool) -> None:
    res = de.FlowDensity(f"{left} ~ x").fit(table())
    with pytest.warns(UnidentifiedWarning, match="Withheld: mean") as told:
        res.functionals("mean")
    assert ("mean_bounds()" in str(told[0].message)) == some


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ("y", "told exactly"),
        ("mass(f, 3, corner=True)", "told exactly"),
        ("brackets(y, [-inf, 2, 3, 4, inf])", "open ends at both sides"),
    ],
)
def test_without_ends_the_mean_has_no_bounds(left: str, why: str) -> None:
    with pytest.raises(WithheldError, match=why):
        de.NormalRegression(f"{left} ~ x").fit(table()).mean_bounds()


def test_without_names_a_grid_has_the_functionals_that_are_given_there() -> None:
    res = de.NormalRegression("rounded(r, to=0.5) ~ x + d").fit(table())
    assert res.functionals(of="recorded").names[:2] == ("mean", "q[0.1]")
    assert res.effect("d", 0, 1, of="recorded").names == ("mean",)
    assert np.isfinite(res.effects(of="recorded").table()["std_error"]).all()
