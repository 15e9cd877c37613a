"""The Bernoulli law obeys the contract of laws: shapes, mass, left-inverse quantiles, draws and seeds."""

from __future__ import annotations

import numpy as np
import pytest

from disteconometrics import Bernoulli
from disteconometrics.errors import DisteconometricsError, OptionError

P = np.array([0.0, 1e-300, 0.2, 0.5, 1 - 1e-16, 1.0])
LAW = Bernoulli(P, "yes")
DRAWS = 40_000
# standard errors; over six rows a correct sampler leaves it once in 25,000 seeds, and the seed is fixed
FREQUENCY_BAND = 4.5


@pytest.mark.parametrize("method", ["pdf", "logpdf", "cdf"])
@pytest.mark.parametrize(
    ("y", "shape"),
    [
        (0, (6,)),
        (1.0, (6,)),
        (np.zeros(6), (6,)),
        (np.array([[0.0, 0.5, 1.0]]), (6, 3)),
        (np.zeros((6, 2)), (6, 2)),
        ([[0.0]], (6, 1)),
    ],
    ids=["scalar int", "scalar", "by row", "one grid", "grid by row", "list grid"],
)
def test_shapes(method: str, y: object, shape: tuple[int, ...]) -> None:
    assert getattr(LAW, method)(y).shape == shape


@pytest.mark.parametrize("y", [np.zeros(5), np.zeros((2, 3)), np.zeros((6, 1, 1))])
@pytest.mark.parametrize("method", ["pdf", "logpdf", "cdf"])
def test_shapes_that_match_no_row_are_refused(method: str, y: np.ndarray) -> None:
    with pytest.raises(DisteconometricsError):
        getattr(LAW, method)(y)


def test_mass_sums_to_one_and_lies_on_two_points() -> None:
    grid = np.array([[-1.0, 0.0, 0.5, 1.0, 2.0]])
    mass = LAW.pdf(grid)
    assert np.array_equal(mass.sum(axis=1), np.ones(6))
    assert not mass[:, [0, 2, 4]].any()
    with np.errstate(divide="ignore"):
        assert np.array_equal(LAW.logpdf(grid), np.log(mass))


def test_cdf_adds_up_the_mass() -> None:
    grid = np.array([[-0.1, 0.0, 0.5, 1.0, 7.0]])
    expected = np.column_stack([np.zeros(6), 1 - P, 1 - P, np.ones(6), np.ones(6)])
    assert np.array_equal(LAW.cdf(grid), expected)


@pytest.mark.parametrize(
    "tau", [0.1, [0.1, 0.5, 0.9], [[0.25, 0.5], [0.75, 1.0]]], ids=["()", "(3,)", "(2, 2)"]
)
def test_quantile_is_outer_and_left_inverse(tau: object) -> None:
    """q(τ) = inf{y : F(y) ≥ τ}: F reaches τ there and at no smaller point of the support."""
    q, levels = LAW.quantile(tau), np.asarray(tau, dtype=float)
    assert q.shape == P.shape + levels.shape
    flat, levels = q.reshape(6, -1), np.broadcast_to(levels.ravel(), (6, levels.size))
    assert (LAW.cdf(flat) >= levels).all()
    assert ((flat == 0) | (LAW.cdf(flat - 1) < levels)).all()


@pytest.mark.parametrize("tau", [-0.1, 1.1, np.nan, [0.5, 2.0]])
def test_levels_outside_the_unit_interval_are_refused(tau: object) -> None:
    with pytest.raises(DisteconometricsError, match="0 and 1"):
        LAW.quantile(tau)


def test_moments() -> None:
    assert np.array_equal(LAW.mean(), P)
    assert np.allclose(LAW.var(), P * (1 - P), rtol=0, atol=0)
    assert np.array_equal(LAW.std() ** 2 > 0, LAW.var() > 0)
    LAW.mean()[:] = 7.0  # a copy: the law does not change
    assert np.array_equal(LAW.mean(), P)


def test_missing_covariates_stay_missing() -> None:
    law = Bernoulli(np.array([0.3, np.nan]))
    for value in (
        law.pdf(1),
        law.logpdf(1),
        law.cdf(1),
        law.quantile(0.5),
        law.mean(),
        law.sample(3, seed=0)[:, 0],
    ):
        assert np.array_equal(np.isnan(value), [False, True])
    assert np.isnan(LAW.pdf(np.nan)).all()


def test_sample_frequencies() -> None:
    draws = LAW.sample(DRAWS, seed=11)
    assert draws.shape == (6, DRAWS)
    assert set(np.unique(draws)) == {0.0, 1.0}
    error = np.abs(draws.mean(axis=1) - P)
    assert (error <= FREQUENCY_BAND * np.sqrt(P * (1 - P) / DRAWS)).all()  # exact where p is 0 or 1


def test_seeds() -> None:
    assert np.array_equal(LAW.sample(50, seed=3), LAW.sample(50, seed=3))
    assert not np.array_equal(LAW.sample(50, seed=3), LAW.sample(50, seed=4))
    assert not np.array_equal(LAW.sample(50), LAW.sample(50))
    rng = np.random.default_rng(5)
    state = rng.bit_generator.state
    first, second = LAW.sample(50, seed=rng), LAW.sample(50, seed=rng)
    assert rng.bit_generator.state == state  # spawned from, not advanced
    assert not np.array_equal(first, second)
    assert np.array_equal(first, LAW.sample(50, seed=np.random.default_rng(5)))


def test_a_complement_keeps_what_rounding_loses() -> None:
    eta = np.array([65.6, -65.6, 0.0, np.nan])
    p, q = 1 / (1 + np.exp(-eta)), 1 / (1 + np.exp(eta))
    law = Bernoulli(p, complement=q)
    assert law.logpdf(0)[:3] == pytest.approx([-65.6, 0.0, np.log(0.5)], rel=1e-14, abs=1e-20)
    assert law.logpdf(1)[:3] == pytest.approx([0.0, -65.6, np.log(0.5)], rel=1e-14, abs=1e-20)
    assert np.array_equal(law.cdf(0), q, equal_nan=True)
    assert law.var()[0] == pytest.approx(np.exp(-65.6), rel=1e-14)
    assert law.quantile(1e-30)[0] == 0.0
    assert law.quantile(1e-28)[0] == 1.0
    assert np.isnan(law.quantile(0.5)[3])


def test_a_list_is_coerced() -> None:
    assert np.array_equal(Bernoulli([0, 1, 0.5]).pdf(1), [0.0, 1.0, 0.5])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "p", [[1.5], [-0.1], [np.inf], ["a"], "0.5", 0.5, [[0.5]], [[0.5], [0.1, 0.2]], None, [0.5j]]
)
def test_what_is_no_probability(p: object) -> None:
    with pytest.raises(OptionError):
        Bernoulli(p)  # type: ignore[arg-type]
    if p is not None:
        with pytest.raises(OptionError):
            Bernoulli(np.array([0.5]), complement=p)  # type: ignore[arg-type]


def test_a_complement_of_another_length_is_refused() -> None:
    with pytest.raises(OptionError, match="rows"):
        Bernoulli(np.array([0.5]), complement=np.array([0.5, 0.5]))


@pytest.mark.parametrize("m", [-1, "3", 2.5, None, True, [3]])
def test_what_is_no_number_of_draws(m: object) -> None:
    with pytest.raises(OptionError):
        LAW.sample(m)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["pdf", "logpdf", "cdf", "quantile"])
@pytest.mark.parametrize("y", ["a", ["a"], {}, object(), 1j, [[0.0], [1.0, 0.0]]])
def test_what_is_no_outcome_or_level(method: str, y: object) -> None:
    with pytest.raises(OptionError):
        getattr(LAW, method)(y)
