"""Absurd scales in every estimator: the right scaled answer, or an error that names the column.

Warnings are errors in the tests, so that one of numpy fails them; the package's own are let through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import disteconometrics as de
from disteconometrics.errors import DataError, DisteconometricsError, OutcomeError

pytestmark = pytest.mark.filterwarnings("ignore::disteconometrics.errors.DisteconometricsWarning")

RNG = np.random.default_rng(3)
N = 60
X, E, F = RNG.normal(size=(3, N))
Y = 1 + X + E * np.sqrt(1 + 0.3 * X**2)
TABLE = {
    "x": X,
    "y": Y,
    "z": 0.5 * E + F + 2,
    "p": np.exp(0.5 * Y),
    "g": np.repeat([0, 1], N // 2),
    "b": (X + 1.5 * E > 0).astype(int),
    "w": np.ones(N),
}
HOW = de.Adam(lr=0.02, steps=8)


def _line(theta: Any, x: Any, noise: Any) -> Any:
    return theta[0] + theta[1] * noise


def _regression(theta: Any, x: Any, noise: Any) -> Any:
    return theta[0] + theta[1] * x[:, 0] + theta[2] * noise


def _law(res: Any) -> Any:
    law = res.distribution()
    return np.concatenate([law.quantile([0.1, 0.5, 0.9]).ravel(), np.ravel(law.mean()), np.ravel(law.std())])


def _quantiles(res: Any) -> Any:
    return res.distribution().quantile([0.1, 0.5, 0.9])


def _first_draws(res: Any) -> Any:
    return res.distribution().sample(4, seed=1)[..., 0]


def _map(res: Any) -> Any:
    return np.concatenate([res.params, res.mean_difference[:2], res.counterfactual()])


class Case(NamedTuple):
    """An estimator of outcomes in units of c, numbers that are compared, and the columns that are scaled."""

    model: Callable[[float], Any]
    answer: Callable[[Any], Any]
    columns: str
    options: dict[str, Any] = {"seed": 1}  # noqa: RUF012 (never changed)


CASES: dict[str, Case] = {
    "logit": Case(lambda c: de.Logit("b ~ x"), lambda r: r.predict(), "x", {}),
    "firth": Case(lambda c: de.Logit("b ~ x", penalty="firth"), lambda r: r.predict(), "x", {}),
    "probit": Case(lambda c: de.Probit("b ~ x"), lambda r: r.predict(), "x", {}),
    "cloglog": Case(lambda c: de.CLogLog("b ~ x"), lambda r: r.predict(), "x", {}),
    "normal": Case(lambda c: de.NormalRegression("y ~ x"), _law, "yx", {}),
    "spline": Case(lambda c: de.FlowDensity("y ~ 1"), _law, "y"),
    "spline, support": Case(lambda c: de.FlowDensity("p ~ 1", support="positive"), _law, "p"),
    "spline, given": Case(lambda c: de.FlowDensity("y ~ x"), _law, "yx"),
    "product": Case(
        lambda c: de.joint(de.FlowDensity("y ~ 1"), de.FlowDensity("z ~ y")), _first_draws, "y", {}
    ),
    "RQS": Case(lambda c: de.FlowDensity("y ~ x", flow=de.RQS(4), train=HOW), _quantiles, "yx"),
    "planar": Case(lambda c: de.FlowDensity("y ~ 1", flow=de.Planar(1), train=de.LBFGS(steps=20)), _law, "y"),
    "affine": Case(lambda c: de.FlowDensity("y ~ x", flow=de.AffineMap()), _law, "yx"),
    "mixture": Case(lambda c: de.FlowDensity("y ~ x", flow=de.MixtureCDF(2), train=HOW), _law, "yx"),
    "coupling": Case(
        lambda c: de.FlowDensity(
            "y + z ~ x", flow=de.Coupling(de.AffineMap(), layers=2, hidden=(4,)), train=HOW
        ),
        _first_draws,
        "yx",
    ),
    "quantiles": Case(lambda c: de.TransportDensity("y ~ 1"), _law, "y"),
    "net": Case(lambda c: de.TransportDensity("y ~ 1", map=de.MLP(4), train=HOW), _quantiles, "y"),
    "net, given": Case(lambda c: de.TransportDensity("y ~ x", map=de.MLP(4), train=HOW), _law, "yx"),
    "map": Case(lambda c: de.TransportMap("y ~ g"), _map, "y", {}),
    "distance": Case(
        lambda c: de.WassersteinDistance("y ~ g", permutations=9), lambda r: r.params.iloc[:1], "y"
    ),
    "distance 3": Case(
        lambda c: de.WassersteinDistance("y ~ g", p=3, permutations=9), lambda r: r.params.iloc[:1], "y"
    ),
    "minimum distance": Case(
        lambda c: de.MinimumWasserstein("y ~ 1", _line, start={"m": 0.0, "s": c}, bounds={"s": (0, None)}),
        lambda r: np.concatenate([r.params, r.bse]),
        "y",
    ),
    "minimum distance, given": Case(
        lambda c: de.MinimumWasserstein("y ~ x", _regression, start=[0.0, c, c], copies=2),
        lambda r: np.concatenate([r.params, r.bse]),
        "y",
    ),
}
POSITIONS = [(name, column) for name, case in CASES.items() for column in case.columns]
SCALES = (5e-324, 1e-300, 1e-140, 1e-80, 1e80, 1e140, 1e300)


def _answer(name: str, column: str, values: Any, c: float = 1.0) -> Any:
    """What an estimator says where a column has these values: numbers, or the message that refuses them."""
    case = CASES[name]
    try:
        res = case.model(c).fit({**TABLE, column: values}, **case.options)
        return np.asarray(case.answer(res), dtype=np.float64)
    except DisteconometricsError as error:
        return str(error)


@pytest.mark.parametrize(("name", "column"), POSITIONS)
def test_another_unit_gives_the_same_answer_in_it_or_is_refused(name: str, column: str) -> None:
    wanted, right = _answer(name, column, TABLE[column]), set()
    for scale in SCALES:
        unit = 1.0 if column == "x" else scale
        found = _answer(name, column, TABLE[column] * scale, unit)
        if isinstance(found, str):
            assert found.startswith(f"{column}: "), found
            assert "rescale" in found
        else:
            np.testing.assert_allclose(found / unit, wanted, rtol=1e-4, atol=1e-6)
            right.add(scale)
    assert {1e-80, 1e80} <= right or name.startswith("distance")


@pytest.mark.parametrize(("name", "column"), POSITIONS)
def test_one_value_far_out_and_a_column_far_from_zero(name: str, column: str) -> None:
    """A number or an error that names the column: nothing raw, no warning of numpy."""
    far = TABLE[column].copy()
    for value in (1e20, 1e150, 1e300):
        far[7] = value
        for changed in (far, TABLE[column] + value, TABLE[column] + 1e15):
            found = _answer(name, column, changed)
            assert not isinstance(found, str) or column in found, found


def test_a_bound_too_far_away_and_constants_are_named() -> None:
    for flow in ("auto", de.RQS(4)):
        with pytest.raises(DataError, match=r"'p'.*leave support= out"):
            de.FlowDensity("p ~ 1", support="positive", flow=flow).fit({"p": TABLE["p"] + 1e15})
    with pytest.raises(OutcomeError, match="'y' has no variation"):
        CASES["minimum distance"].model(1.0).fit({"y": np.ones(N)})
    with pytest.raises(DataError, match="'y' varies by"):
        CASES["minimum distance"].model(1.0).fit({"y": Y + 1e12})
    res = CASES["minimum distance"].model(1.0).fit({"y": Y + 1e5}, seed=1)
    assert res.params["m"] == pytest.approx(1e5 + Y.mean(), abs=1) or not res.converged


@pytest.mark.parametrize("model", [de.NormalRegression, de.FlowDensity, de.TransportDensity, de.TransportMap])
def test_weights_beyond_counting_are_refused(model: Any) -> None:
    formula = "y ~ g" if model is de.TransportMap else "y ~ 1"
    for kind, weight in (("frequency", 1e300), ("sampling", 1.5e308)):
        with pytest.raises(DataError, match="'w' sums to"):
            model(formula, weights="w", weight_type=kind).fit({**TABLE, "w": np.full(N, weight)})


@pytest.mark.parametrize("name", ["logit", "normal", "spline, given", "affine", "net, given"])
def test_new_rows_beyond_squaring_are_refused(name: str) -> None:
    case = CASES[name]
    res = case.model(1.0).fit(TABLE, **case.options)
    ask = res.predict if name == "logit" else res.distribution
    with pytest.raises(DataError, match=r"x: .*rescale"):
        ask({"x": np.array([0.0, 1e308])})
