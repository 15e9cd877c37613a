"""The law of what is recorded: against recorded draws of the outcome, and where it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.distributions.atom import WithMass
from disteconometrics.distributions.recorded import RecordedLaw, Recording, recording_of
from disteconometrics.errors import (
    DataError,
    ExtrapolationWarning,
    OptionError,
    WithheldAttributeError,
    WithheldError,
)
from disteconometrics.inference.recorded_laws import RecordedRowLaws, recorded_laws

OUTCOME = de.Normal([0.2, 3.0, 1.4], [1.0, 2.0, 0.3])
MASS = WithMass(OUTCOME, 0.0, [0.3, 0.1, 0.8])
HALF = {"to": 0.5, "above": 0.5}
CASES: dict[str, tuple[Any, dict[str, float], Callable[[Any], Any]]] = {
    "cap": (OUTCOME, {"high": 1.5}, lambda y: np.minimum(y, 1.5)),
    "floor and cap": (OUTCOME, {"low": 0.0, "high": 2.0}, lambda y: np.clip(y, 0, 2)),
    "nearest": (OUTCOME, HALF, lambda y: np.round(y * 2) / 2),
    "up": (OUTCOME, {"to": 0.1, "above": 0.0}, lambda y: np.ceil(y * 10) / 10),
    "down": (OUTCOME, {"to": 0.5, "above": 1.0}, lambda y: np.floor(y * 2) / 2),
    "nearest, cap": (OUTCOME, {**HALF, "high": 2.0}, lambda y: np.minimum(np.round(y * 2) / 2, 2)),
    "nearest, both": (
        OUTCOME,
        {**HALF, "low": 0.0, "high": 2.0},
        lambda y: np.clip(np.round(y * 2) / 2, 0, 2),
    ),
    "mass, nearest": (MASS, HALF, lambda y: np.round(y * 2) / 2),
    "mass, up": (MASS, {"to": 0.5, "above": 0.0}, lambda y: np.ceil(y * 2) / 2),
    "mass, cap": (MASS, {"high": 1.5}, lambda y: np.minimum(y, 1.5)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_against_recorded_draws(case: Any) -> None:
    """Probabilities, means and masses within five standard errors of those of 40,000 recorded draws."""
    outcome, ends, record = case
    law, draws = RecordedLaw(outcome, **ends), record(outcome.sample(40_000, seed=1))
    error = 5 * draws.std(axis=1) / 200
    assert (np.abs(law.mean() - draws.mean(axis=1)) <= error + 1e-12).all()
    for y in (-0.5, 0.0, 0.3, 1.0, 1.5, 2.0):
        at, below = np.isclose(draws, y, rtol=0, atol=1e-9).mean(axis=1), (draws <= y + 1e-9).mean(axis=1)
        for found, seen in ((law.mass(y), at), (law.cdf(y), below)):
            assert (np.abs(found - seen) <= 5 * np.sqrt(found * (1 - found) / 40_000) + 1e-12).all(), y
        assert law.cdf(y) + law.sf(y) == pytest.approx(1, abs=1e-14)
    levels = np.array([0.013, 0.2, 0.51, 0.77, 0.95])
    q = law.quantile(levels)  # left inverse: F before it is below the level, and F there is not
    F = law.cdf(q)
    assert np.clip(levels, F - law.mass(q), F) == pytest.approx(0 * q + levels, abs=1e-10)
    assert law.isf(0.25) == pytest.approx(law.quantile(0.75))
    assert np.allclose(law.sample(50, seed=2), record(outcome.sample(50, seed=2)))
    assert law.average([1, 2, 1]).cdf(1.0) == pytest.approx(np.array([1, 2, 1]) @ law.cdf(1.0) / 4)


def test_moments_of_a_capped_outcome() -> None:
    """Closed forms: E min(Y, c) and its variance of a normal law; a mean that needs a far tail exists."""
    law = RecordedLaw(OUTCOME, low=0.0, high=2.0)
    y, w = np.polynomial.legendre.leggauss(60)
    y = 1 + y
    density = OUTCOME.pdf(y[None]) * w
    for power in (1, 2):
        expected = density @ y**power + 2.0**power * OUTCOME.sf(2.0)
        assert law.expect(lambda v, power=power: v**power) == pytest.approx(expected, rel=1e-9)
    assert law.mean() == pytest.approx(density @ y + 2 * OUTCOME.sf(2.0), rel=1e-9)
    assert np.isfinite(RecordedLaw(de.law("normal", [de.Exp()]), to=0.5, above=0.5, high=3.0).mean())


@cache
def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    x = rng.normal(size=300)
    y = 4 + x + rng.normal(size=300)
    zero = np.where(rng.random(300) < 0.3, 0.0, y.clip(0.1))
    return pd.DataFrame(
        {
            "x": x,
            "y": y,
            "c": y.clip(None, 5.0),
            "r": y.round(),
            "z": zero.clip(None, 5.0),
            "cap": 5.0,
            "p": np.exp(y).clip(None, 148.0),
            "e": y + 1,
        }
        | {"zr": zero.clip(0.6).round() * (zero > 0)}
    )


@pytest.mark.parametrize("estimator", [de.NormalRegression, de.FlowDensity])
def test_laws_of_fits(estimator: Any) -> None:
    new = {"x": [-1.0, 1.0]}

    def both(left: str) -> tuple[Any, Any]:
        law = estimator(f"{left} ~ x").fit(table()).distribution(new)
        return law, law.recorded()

    law, told = both("topcoded(c, at=5)")
    assert told.mass(5.0) == pytest.approx(law.sf(5.0))
    assert np.all(told.quantile(0.9999) == 5.0)
    assert np.array_equal(told.quantile(0.1), law.quantile(0.1))
    law, told = both("log(topcoded(p, at=148))")
    assert told.mass(np.log(148)) == pytest.approx(law.sf(np.log(148)))
    assert law.on("p").recorded().mass(148.0) == pytest.approx(law.sf(np.log(148)))
    with pytest.raises(WithheldError, match="does not say"):
        law.on([de.Exp()]).recorded()
    law, told = both("rounded(r, to=1)")
    assert told.mass(4.0) == pytest.approx(law.cdf(4.5) - law.cdf(3.5))
    assert np.all(told.mass(4.2) == 0)
    law, told = both("brackets(y, [-inf, 3, 4, 5, inf])")  # the class, from 0
    assert told.cdf(1.0) == pytest.approx(law.cdf(4.0))
    assert told.mass(3.0) == pytest.approx(law.sf(5.0))
    law, told = both("mass(topcoded(z, at=5), 0)")
    assert told.mass(0.0) == pytest.approx(law.share)
    assert told.mass(5.0) == pytest.approx((1 - law.share) * law.rest.sf(5.0))
    law, told = both("mass(rounded(zr, to=1), 0)")  # what rounds to the point is told as the mass is
    assert told.mass(0.0) == pytest.approx(law.cdf(0.5) - law.cdf(-0.5))
    if estimator is de.FlowDensity:
        positive = de.FlowDensity("mass(brackets(z, [0, 3, 4, inf]), 0) ~ x", support="positive")
        law = positive.fit(table()).distribution(new)
        told = law.recorded()  # the mass is the lowest class
        assert told.mass(0.0) == pytest.approx(law.share)
        assert told.cdf(1.0) == pytest.approx(law.cdf(3.0))


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ("interval(y, e)", "no rule for new rows"),
        ("topcoded(c, at=cap)", "column"),
        ("brackets(y, [-10, 3, 4, 5, inf])", "no class"),
        ("exp(rounded(r, to=1))", "inside of a function"),
        ("mass(rounded(zr, to=1, direction='down'), 0)", "beside a mass"),
        ("mass(brackets(z, [-1, 3, 4, 5, inf]), 0)", "among the brackets"),
        ("y", "does not say how"),
    ],
)
def test_refused_with_the_reason(left: str, why: str) -> None:
    law = de.NormalRegression(f"{left} ~ x").fit(table()).distribution({"x": [0.0, 1.0]})
    with pytest.raises(WithheldError, match=why):
        law.recorded()


def test_what_has_no_meaning_is_withheld() -> None:
    capped, rounded = RecordedLaw(OUTCOME, high=1.0), RecordedLaw(OUTCOME, to=1.0, above=0.5)
    for ask in (lambda: capped.on([de.Exp()]), lambda: capped.functional("gini"), rounded.var):
        with pytest.raises((WithheldError, OptionError)):
            ask()
    with pytest.raises(OptionError):
        WithMass(OUTCOME, 0.0, 0.5).average([1.0])


@pytest.mark.filterwarnings("ignore:1 of 300 rows lie outside")  # a row at the mass
@pytest.mark.parametrize("estimator", [de.NormalRegression, de.FlowDensity])
@pytest.mark.parametrize(
    ("left", "column"),
    [
        ("topcoded(c, at=5)", "c"),
        ("rounded(r, to=1)", "r"),
        ("mass(topcoded(z, at=5), 0)", "z"),
    ],
)
def test_the_likelihood_is_that_of_the_recorded_law(estimator: Any, left: str, column: str) -> None:
    res = estimator(f"{left} ~ x").fit(table())
    law = res.distribution(table()[["x"]]).recorded()
    assert law.logpdf(table()[column].to_numpy()).sum() == pytest.approx(res.llf, rel=1e-9)


# ---- answers of what is recorded ---------------------------------------------------------------------------

NAMES = ("mean", "std", "q[0.3]", "prob[3,5]", "iqr")


@pytest.mark.parametrize("estimator", [de.NormalRegression, de.FlowDensity, de.Logit])
def test_of_what_was_told_exactly_both_are_one(estimator: Any) -> None:
    """To the bit, in every answer."""
    data = table().assign(b=lambda d: (d.y > 4) * 1.0, d=lambda d: d.r % 2)
    res = estimator("b ~ x + d" if estimator is de.Logit else "y ~ x + d").fit(data)
    names = "mean" if estimator is de.Logit else NAMES
    asks = {
        "functionals": (names,),
        "effect": ("d", 0, 1, names),
        "derivative": ("x", names),
        "effects": (names,),
    }
    for ask, given in asks.items():
        one, other = (getattr(res, ask)(*given, of=of) for of in ("outcome", "recorded"))
        assert one.table().equals(other.table())
        with pytest.raises(OptionError, match="'outcome' or 'recorded'"):
            getattr(res, ask)(*given, of="latent")
    assert res.predict({"x": [0.0], "d": [1]}, of="recorded").equals(res.predict({"x": [0.0], "d": [1]}))


LAWS = {
    "topcoded(c, at=5)": ("normal", "flow"),
    "rounded(r, to=1)": ("normal", "flow"),
    "mass(topcoded(z, at=5), 0)": ("normal",),
}


@pytest.mark.parametrize(("left", "kind"), [(left, kind) for left, kinds in LAWS.items() for kind in kinds])
def test_answers_of_what_is_recorded(left: str, kind: str) -> None:
    """Values are those of the recorded law; gradients are differences; limits of quantiles are recorded."""
    rounded = "rounded" in left
    names = [n for n in ("mean", "q[0.4]", "q[0.97]", "prob[3,5]", "std") if not (rounded and n == "std")]
    model = de.NormalRegression if kind == "normal" else de.FlowDensity
    res = model(f"{left} ~ x", **({} if kind == "normal" else {"flow": de.MonotoneSpline("linear")}))
    res = res.fit(table())
    found = res.functionals(names, of="recorded")
    law = res.distribution(table()[["x"]]).recorded().average()
    want = [float(law.functional(n)) for n in names]
    assert found.values == pytest.approx(want, rel=1e-6)
    of_y = res.answering("q[0.4]", None, near=False).whole.functional(("q", (0.4,)))
    assert found.values[1] == (np.round(of_y.value) if rounded else of_y.value)
    assert np.isnan(found.std_error).tolist() == [n[0] == "q" and (rounded or n == "q[0.97]") for n in names]
    ends = found.interval()[names.index("q[0.97]")]
    assert np.array_equal(ends, np.round(ends))  # the cap, and the grid

    how = recording_of(res.spec)
    a = res.answering(names, None, near=False).recorded(how, False)
    laws = a.laws(a.X[:5])
    W = np.random.default_rng(1).normal(size=(5, 2))
    for functional in a.functionals:
        one = laws.by_row(functional, W)
        values, G = laws.each(functional)
        np.testing.assert_allclose(W.T @ G, one.sums, rtol=1e-5, atol=1e-8)  # differences, an integral
        assert values == pytest.approx(one.values)
        for j in range(G.shape[1]):
            step = 1e-5
            up, down = (
                RecordedRowLaws(moved(laws.own, j, s * step), how).by_row(functional, W).values
                for s in (1, -1)
            )
            np.testing.assert_allclose(W.T @ (up - down) / (2 * step), one.sums[:, j], rtol=1e-4, atol=1e-6)


def moved(laws: Any, j: int, by: float) -> Any:
    """Laws of rows with one coefficient moved."""
    if hasattr(laws, "rest"):
        k = len(laws.occurs.coefficients)
        if j >= k:
            return replace(laws, rest=moved(laws.rest, j - k, by))
        return replace(laws, occurs=replace(laws.occurs, eta=laws.occurs.eta + by * laws.occurs.X[:, j]))
    if hasattr(laws, "sigma"):
        if j == len(laws.beta):
            return replace(laws, sigma=laws.sigma + by)
        return replace(laws, eta=laws.eta + by * laws.X[:, j])
    own = laws.own.take(laws.where) if hasattr(laws, "where") else laws
    theta = own.solution.theta.copy()
    theta[j] += by
    return replace(own, solution=replace(own.solution, theta=theta))


@pytest.mark.parametrize("left", ["y", "mass(y, 4)"])
@pytest.mark.parametrize("options", [None, {}, {"support": "positive"}])
def test_moments_between_caps(left: str, options: dict[str, str] | None) -> None:
    """They are those of the recorded law, with gradients by differences, in tails and between knots."""
    model = de.NormalRegression if options is None else de.FlowDensity
    data = table().assign(
        y=lambda d: np.where(d.y < 4, np.exp(d.y / 4), 4.0) if left != "y" else np.exp(d.y / 4)
    )
    flow = {} if options is None else {"flow": de.MonotoneSpline("linear")}
    own = model(f"{left} ~ x", **flow, **(options or {})).fit(data).row_laws({"x": [-1.0, 0.3, 1.2]})
    W, step = np.random.default_rng(1).normal(size=(3, 2)), 1e-4
    for how in (Recording(low=1.5), Recording(high=9.0), Recording(low=0.1, high=5.0)):
        laws = recorded_laws(own, how)
        found = laws.moments(W)
        np.testing.assert_allclose(found.mean, laws.law.mean(), rtol=1e-10)
        np.testing.assert_allclose(found.var, laws.law.var(), rtol=1e-8)
        np.testing.assert_allclose(W.T @ laws.each(("mean", ()))[1], found.first, atol=1e-9)
        for j in range(found.first.shape[1]):

            def at(by: float, j: int = j, how: Recording = how, origin: float = laws.origin) -> Any:
                m = recorded_laws(moved(own, j, by), how).moments(W)
                return W.T @ np.column_stack([m.mean, m.var + (m.mean - origin) ** 2])

            slope = (8 * (at(step) - at(-step)) - at(2 * step) + at(-2 * step)) / (12 * step)
            for got, want in zip((found.first, found.second), slope.T, strict=True):
                np.testing.assert_allclose(got[:, j], want, rtol=1e-6, atol=1e-7 * np.abs(got).max())


def test_effects_on_what_is_recorded_are_those_of_the_capped_law() -> None:
    """Of a Tobit; at a cap nothing moves, and what lies on a grid has no effect with an error."""
    res = de.NormalRegression("topcoded(c, at=5) ~ x").fit(table())
    low, high = (res.distribution(table()[["x"]].assign(x=v)).recorded() for v in (0.0, 2.0))
    names = ["mean", "q[0.5]", "prob[3,5]"]
    found = res.effect("x", 0.0, 2.0, names, of="recorded")
    want = [float(np.mean(high.functional(n) - low.functional(n))) for n in names]
    assert found.values == pytest.approx(want, rel=1e-7)
    assert found.values[1] < res.effect("x", 0.0, 2.0, "q[0.5]").values[0]
    with pytest.warns(ExtrapolationWarning, match="1 of 2 rows"):
        at = res.predict({"x": [0.0, 4.0]}, ["q[0.5]"], ci=True, of="recorded")
    assert at.estimate.iloc[1] == at.conf_high.iloc[1] == 5.0
    assert np.isnan(at.std_error).tolist() == [False, True]
    rounded = de.NormalRegression("rounded(r, to=1) ~ x").fit(table())
    for ask in (
        lambda: rounded.effects("q[0.5]", of="recorded"),
        lambda: rounded.functionals("std", of="recorded"),
        lambda: (
            de.NormalRegression("brackets(y, [-inf, 3, 5, inf]) ~ x")
            .fit(table())
            .functionals("mean", of="recorded")
        ),
    ):
        with pytest.raises(WithheldError):
            ask()
    with pytest.raises(OptionError, match="scale of the formula"):
        rounded.functionals("mean", on=[de.Exp()], of="recorded")


@pytest.mark.parametrize("estimator", [de.NormalRegression, de.FlowDensity])
@pytest.mark.parametrize("left", ["topcoded(c, at=5)", "mass({}, 0)", "mass({}, 0, corner=True)"])
def test_what_least_squares_have_is_withheld_by_name(estimator: Any, left: str) -> None:
    options = {} if estimator is de.NormalRegression else {"flow": de.MonotoneSpline("linear")}
    res = estimator(f"{left.format('topcoded(z, at=5)')} ~ x", **options).fit(table())
    for name in ("rsquared", "rsquared_adj", "resid", "leverage"):
        with pytest.raises(WithheldAttributeError, match=f"has no {name}: "):
            getattr(res, name)


# ---- corners -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [de.NormalRegression, de.FlowDensity])
@pytest.mark.parametrize("cap", [False, True])
def test_a_corner_is_the_law_of_what_is_recorded_at_a_floor(estimator: Any, cap: bool, tmp_path: Any) -> None:
    """One fit to the bit, the Tobit of the normal law; answers are those of max(y*, 0), for new rows too."""
    corner, floor = ("topcoded(c, at=5)", "bottomcoded(c, at=3)") if cap else ("f", "bottomcoded(f, at=3)")
    data = table().assign(f=lambda d: d.y.clip(3.0), c=lambda d: d.c.clip(3.0))
    floor = f"topcoded({floor}, at=5)" if cap else floor
    options = {} if estimator is de.NormalRegression else {"flow": de.MonotoneSpline("linear")}
    res, other = (
        estimator(f"{left} ~ x", **options).fit(data, cov="HC0")
        for left in (f"mass({corner}, 3, corner=True)", floor)
    )
    assert res.llf == other.llf
    if estimator is de.NormalRegression:
        assert np.array_equal(res.params, other.params)
        assert np.array_equal(res.bse, other.bse)
        assert (res.method, res.sigma) == ("Tobit", other.sigma)
        mean = other.distribution(data[["x"]]).recorded().mean() if not cap else res.distribution().mean()
        np.testing.assert_allclose(res.predict(), mean, rtol=1e-13)  # two ways to integrate
    names = ["mean", "q[0.05]", "q[0.4]", "prob[3,4]"]
    both = (lambda ask: ask(res, "recorded"), lambda ask: ask(other, "recorded"))
    asks: list[Callable[[Any, str], Any]] = [
        lambda r, of: r.functionals(names, of=of).table(),
        lambda r, of: r.effect("x", 0.0, 1.0, names, of=of).table(),
        lambda r, of: r.predict({"x": [0.0, -1.0]}, names, ci=True, of=of),
    ]
    for ask in asks:
        one, same = (get(ask) for get in both)
        pd.testing.assert_frame_equal(one, same, check_exact=True)
        if not cap:
            pd.testing.assert_frame_equal(one, ask(res, "outcome"), check_exact=True)
    law = res.distribution({"x": [0.0]})
    assert law.mass(3.0) == pytest.approx(other.distribution({"x": [0.0]}).cdf(3.0))
    if not cap:
        assert "corner at 3" in " ".join(str(res.summary()).split())
        res.save(tmp_path / "corner")
        again = de.load(tmp_path / "corner").predict({"x": [0.0, -1.0]}, names)
        assert again.equals(res.predict({"x": [0.0, -1.0]}, names))
        moved = res.counterfactual({"x": data["x"] * 0.9}).functionals(["mean", "q[0.02]"])
        assert moved.values[1] == 3.0
        assert moved.values[0] == pytest.approx(res.distribution({"x": data["x"] * 0.9}).mean().mean())


def test_a_support_that_begins_at_a_corner_is_refused() -> None:
    with pytest.raises(DataError, match="outside the declared support"):
        de.FlowDensity("mass(z, 0, corner=True) ~ x", support="positive").fit(table())


@pytest.mark.parametrize("estimator", [de.NormalRegression, de.FlowDensity])
def test_laws_far_apart(estimator: Any) -> None:
    """Gradients of means see narrow laws in a wide range; spreads are finite far below a cap."""
    group = np.repeat(["a", "b"], [190, 10])
    y = np.where(group == "a", 0.0, 300.0) + np.random.default_rng(0).normal(size=200)
    data = {"y": np.minimum(y, 300.5), "group": group}
    res = estimator("topcoded(y, at=300.5) ~ group").fit(data)
    a = res.answering("mean", None, near=False)
    shares = np.column_stack([group == "a", group == "b"]) / [190, 10]
    for how in (Recording(high=300.5), Recording(low=299.8)):
        laws = a.recorded(how, False).laws(a.X)
        found = laws.by_row(("mean", ()), shares).sums
        want = shares.T @ laws.each(("mean", ()))[1]
        np.testing.assert_allclose(found, want, rtol=0, atol=2e-3 * np.abs(want).max())
    found = res.functionals("std", of="recorded", by="group")
    assert found.values == pytest.approx([data["y"][group == g].std() for g in "ab"], rel=0.1)
    assert np.isfinite(found.std_error).all()


@pytest.mark.parametrize("left", ["y", "rounded(y, to=0.5)", "topcoded(y, at=2)"])
def test_probabilities_without_an_end(left: str) -> None:
    """An interval that is open on one side has the probability that its complement lacks, and its error."""
    x = np.random.default_rng(0).normal(size=200)
    y = np.minimum(np.round(2 * (x + np.random.default_rng(1).normal(size=200))) / 2, 2.0)
    kept = slice(None) if left.startswith("t") else y < 2
    res = de.NormalRegression(f"{left} ~ x").fit({"y": y[kept], "x": x[kept]})
    below, above = res.functionals(["prob[-inf,1.2]", "prob[1.2,inf]"], of="recorded").table().to_numpy()
    assert below[0] + above[0] == pytest.approx(1)
    assert below[1] == pytest.approx(above[1])
    assert below[1] > 0


def test_spreads_far_from_the_ends() -> None:
    """Of a cap far above a law its spread is left, of a floor far above it nothing."""
    assert RecordedLaw(OUTCOME, high=400.0).std() == pytest.approx(OUTCOME.std())
    assert RecordedLaw(OUTCOME, low=400.0).std() == pytest.approx(0, abs=1e-5)
