"""One table of spline laws against the laws of probability: mass, inverse, derivative, moments, draws, shapes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.support import Support
from disteconometrics.errors import OptionError
from disteconometrics.likelihoods.monotone import BASES

MASS, INVERSE = 1e-8, 1e-10  # what the package promises
SUPPORTS = {"line": Support(), "above": Support(0.5, np.inf), "below": Support(-np.inf, 3.0), "between": Support(-1.0, 2.0)}


def make(base: str, support: str, rows: int = 3) -> SplineLaw:
    rng = np.random.default_rng(7)
    knots = np.sort(rng.normal(size=9)) * 2
    slopes = rng.uniform(1.5, 3.0, (rows, 8)) * rng.choice([0.05, 1.0], (rows, 8), p=[0.2, 0.8])  # with near-flat parts
    slopes[:, [0, -1]] = 2.0
    return SplineLaw(knots, rng.normal(size=rows), slopes, rng.normal(size=rows), 0.5, base, SUPPORTS[support])


CASES = [(base, support) for base in BASES for support in SUPPORTS]
LAWS = pytest.mark.parametrize("law", [make(*c) for c in CASES], ids=["-".join(c) for c in CASES])


def pieces_of(law: SplineLaw, i: int) -> np.ndarray:
    """Outcomes between which the density of a row is smooth, out to probability 1e-13."""
    u = law.location[i] + law.scale * law.knots
    tails = law.quantile([1e-13, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-13])[i]
    return np.unique(np.concatenate([law.domain.from_line(u), tails]))


@LAWS
def test_mass_is_one(law: SplineLaw) -> None:
    for i in range(3):
        one = law.rows(slice(i, i + 1))
        ends = pieces_of(law, i)
        total = sum(
            integrate.quad(lambda y, one=one: float(one.pdf(y)[0]), a, b, epsabs=1e-13, epsrel=1e-11, limit=200)[0]
            for a, b in pairwise(ends)
        )
        assert total == pytest.approx(1.0, abs=MASS)


@LAWS
def test_quantiles_invert_the_distribution_function(law: SplineLaw) -> None:
    tau = np.concatenate([[1e-12, 1e-6], np.linspace(0.001, 0.999, 199), [1 - 1e-6, 1 - 1e-12]])
    y = law.quantile(tau)
    assert y.shape == (3, len(tau))
    assert np.isfinite(y).all()
    assert (np.diff(y, axis=1) > 0).all()
    np.testing.assert_allclose(law.cdf(y), np.broadcast_to(tau, y.shape), rtol=0, atol=INVERSE)
    np.testing.assert_allclose(law.cdf(y) + law.sf(y), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(law.quantile([0.0, 1.0]), np.tile([law.domain.low, law.domain.high], (3, 1)))


@LAWS
def test_the_density_is_the_derivative(law: SplineLaw) -> None:
    y = law.quantile(np.linspace(0.02, 0.98, 25))
    h = 1e-6 * np.diff(y, axis=1).min()
    slope = (law.cdf(y + h) - law.cdf(y - h)) / (2 * h)
    np.testing.assert_allclose(slope, law.pdf(y), rtol=1e-4)
    np.testing.assert_allclose(np.log(law.pdf(y)), law.logpdf(y), atol=1e-12)


@LAWS
def test_moments(law: SplineLaw) -> None:
    z = np.linspace(-36, 36, 200_001) if law.base == "normal" else np.linspace(-500, 500, 400_001)
    y = law._from_standard(np.broadcast_to(z, (3, len(z))))
    d = np.exp(BASES[law.base].logpdf(z))
    mean = integrate.simpson(y * d, x=z)
    np.testing.assert_allclose(law.mean(), mean, rtol=1e-6)
    np.testing.assert_allclose(law.var(), integrate.simpson((y - mean[:, None]) ** 2 * d, x=z), rtol=1e-5)
    np.testing.assert_allclose(law.std() ** 2, law.var())


@LAWS
def test_draws_follow_the_law(law: SplineLaw) -> None:
    y, logpdf = law.sample(2000, seed=1, return_logpdf=True)
    for row in law.cdf(y):
        assert stats.kstest(row, "uniform").pvalue > 1e-4
    np.testing.assert_array_equal(logpdf, law.logpdf(y))
    np.testing.assert_array_equal(y, law.sample(2000, seed=1))
    assert law.sample(0, seed=1).shape == (3, 0)


@pytest.mark.parametrize("support", ["above", "below"])
def test_a_tail_too_heavy_has_no_mean(support: str) -> None:
    law = make("logistic", support)
    heavy = SplineLaw(law.knots, law.intercept, law.slopes / 6, law.location, 1.0, "logistic", law.domain)
    assert np.isinf(heavy.mean()).all()
    assert np.isinf(heavy.var()).all()


def test_shapes_and_what_is_outside() -> None:
    law = make("normal", "above")
    assert law.pdf(1.0).shape == law.cdf(np.ones(3)).shape == (3,)
    assert law.pdf(np.ones((1, 5))).shape == law.cdf(np.ones((3, 5))).shape == (3, 5)
    assert law.quantile(0.5).shape == (3,)
    assert law.quantile(np.full((2, 2), 0.5)).shape == (3, 2, 2)
    np.testing.assert_array_equal(law.pdf([0.0, 0.5, np.inf]), 0.0)
    np.testing.assert_array_equal(law.cdf([-np.inf, 0.5, np.inf]), [0.0, 0.0, 1.0])
    assert np.isnan(law.cdf(np.nan)).all()
    single = SplineLaw(law.knots, law.intercept[:1], law.slopes[:1], law.location[:1], 0.5, "normal", single=True)
    assert single.quantile(0.5).shape == single.mean().shape == ()
    assert single.cdf(np.zeros((4, 2))).shape == (4, 2)
    assert single.sample(5, seed=0).shape == (5,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda law: law.quantile([-0.1, 0.5]), "between 0 and 1"),
        (lambda law: law.quantile(np.nan), "between 0 and 1"),
        (lambda law: law.cdf(np.zeros(7)), "do not match 3 rows"),
        (lambda law: law.pdf(np.zeros((2, 4))), "1 or 3 rows"),
        (lambda law: law.cdf("a"), "must be numbers"),
        (lambda law: law.sample(-1), "at least 0"),
    ],
)
def test_nonsense_is_refused(call: object, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        call(make("logistic", "line"))  # type: ignore[operator]
