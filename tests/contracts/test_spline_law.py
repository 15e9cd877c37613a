"""What spline laws add to the contract of `test_laws`, whose table holds them: moments to many digits, tails,
missing rows.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.support import Support
from disteconometrics.likelihoods.monotone import BASES

SUPPORTS = {
    "line": Support(),
    "above": Support(0.5, np.inf),
    "below": Support(-np.inf, 3.0),
    "between": Support(-1.0, 2.0),
}


def make(base: str, support: str, rows: int = 3) -> SplineLaw:
    rng = np.random.default_rng(7)
    knots = np.sort(rng.normal(size=9)) * 2
    slopes = rng.uniform(1.5, 3.0, (rows, 8)) * rng.choice(
        [0.05, 1.0], (rows, 8), p=[0.2, 0.8]
    )  # with near-flat parts
    slopes[:, [0, -1]] = 2.0
    return SplineLaw(
        knots, rng.normal(size=rows), slopes, rng.normal(size=rows), 0.5, base, SUPPORTS[support]
    )


def in_table(base: str, support: str) -> bool:
    """Half of the cases go through the whole contract: every base and every support twice or once."""
    return (base == "normal") == (support in ("above", "below"))


CASES = {f"{base} spline, {support}": (base, support) for base in BASES for support in SUPPORTS}


@pytest.mark.parametrize("case", CASES)
def test_moments(case: str) -> None:
    law = make(*CASES[case])
    z = np.linspace(-36, 36, 200_001) if law.base == "normal" else np.linspace(-500, 500, 400_001)
    y = law._from_standard(np.broadcast_to(z, (3, len(z))))
    d = np.exp(BASES[law.base].logpdf(z))
    mean = integrate.simpson(y * d, x=z)
    np.testing.assert_allclose(law.mean(), mean, rtol=1e-6)
    np.testing.assert_allclose(law.var(), integrate.simpson((y - mean[:, None]) ** 2 * d, x=z), rtol=1e-5)
    np.testing.assert_allclose(law.std() ** 2, law.var())


@pytest.mark.parametrize("support", ["above", "below"])
def test_a_tail_too_heavy_has_no_mean(support: str) -> None:
    law = make("logistic", support)
    heavy = SplineLaw(law.knots, law.intercept, law.slopes / 6, law.location, 1.0, "logistic", law.domain)
    assert np.isinf(heavy.mean()).all()
    assert np.isinf(heavy.var()).all()


def test_missing_covariates_and_single_laws() -> None:
    law = make("normal", "above")
    gap = SplineLaw(
        law.knots, law.intercept, law.slopes, np.array([0.0, np.nan, 0.0]), 0.5, "normal", law.domain
    )
    for value in (gap.pdf(1.0), gap.quantile(0.5), gap.mean(), gap.sample(1, seed=0)[:, 0]):
        assert np.isnan(value).tolist() == [False, True, False]
    np.testing.assert_array_equal(law.pdf([0.0, 0.5, np.inf]), 0.0)
    single = SplineLaw(
        law.knots, law.intercept[:1], law.slopes[:1], law.location[:1], 0.5, "normal", single=True
    )
    assert np.shape(single.quantile(0.5)) == np.shape(single.mean()) == ()
    assert single.cdf(np.zeros((4, 2))).shape == (4, 2)
    np.testing.assert_allclose(law.rows([2, 0]).quantile(0.3), law.quantile(0.3)[[2, 0]])


def test_levels_beyond_rounding() -> None:
    """1e-12 and 1 − 1e-12 come back to ten digits, which is what a level near one holds."""
    for case in CASES.values():
        law, tau = make(*case), np.array([1e-12, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-12])
        y = law.quantile(tau)
        assert np.isfinite(y).all()
        assert (np.diff(y, axis=1) > 0).all()
        np.testing.assert_allclose(law.cdf(y), np.broadcast_to(tau, y.shape), rtol=0, atol=1e-10)
        np.testing.assert_allclose(law.sf(law.isf(1e-12)), 1e-12, rtol=1e-9)
