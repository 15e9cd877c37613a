"""The law of what is recorded: against recorded draws of the outcome, and where it is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.distributions.atom import WithMass
from disteconometrics.distributions.recorded import RecordedLaw
from disteconometrics.errors import OptionError, WithheldError

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
    with pytest.raises(WithheldError, match="does not say"):
        law.on("p").recorded()
    law, told = both("rounded(r, to=1)")
    assert told.mass(4.0) == pytest.approx(law.cdf(4.5) - law.cdf(3.5))
    assert np.all(told.mass(4.2) == 0)
    law, told = both("brackets(y, [-inf, 3, 4, 5, inf])")  # the class, from 0
    assert told.cdf(1.0) == pytest.approx(law.cdf(4.0))
    assert told.mass(3.0) == pytest.approx(law.sf(5.0))
    law, told = both("mass(topcoded(z, at=5), 0)")
    assert told.mass(0.0) == pytest.approx(law.share)
    assert told.mass(5.0) == pytest.approx((1 - law.share) * law.rest.sf(5.0))


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ("interval(y, e)", "no rule for new rows"),
        ("topcoded(c, at=cap)", "column"),
        ("brackets(y, [-10, 3, 4, 5, inf])", "no class"),
        ("exp(rounded(r, to=1))", "inside of a function"),
        ("mass(rounded(zr, to=1), 0)", "beside a mass"),
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
