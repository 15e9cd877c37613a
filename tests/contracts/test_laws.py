"""One table of laws, one contract: shapes, mass one, quantiles invert, densities are slopes, draws follow,
tails hold.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import test_spline_law as splines

import disteconometrics as de
from disteconometrics.distributions.atom import WithMass
from disteconometrics.distributions.families import Normal
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.step import StepLaw
from disteconometrics.errors import OptionError

RNG = np.random.default_rng(7)
ROWS = np.array([-1.0, 0.3, 4.0])
SCALES = np.array([0.2, 1.0, 30.0])
SAMPLE = np.round(RNG.gamma(2.0, size=60), 1)


STEPS = np.array([0.5, 1.0, 2.0, 2.5, 3.0, 7.0])


class Generic(Law):
    """A law that gives the least a law can: everything else is the base's numerics."""

    batch_shape = (3,)

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(3, -np.inf), np.full(3, np.inf)

    def _logpdf(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.stats.norm.logpdf(y, ROWS[:, None], SCALES[:, None]))

    def _cdf(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(scipy.stats.norm.cdf(y, ROWS[:, None], SCALES[:, None]))


CONTINUOUS: dict[str, Callable[[], Law]] = {
    "normal": lambda: de.Normal(0.5, 2.0),
    "normal rows": lambda: de.Normal(ROWS, SCALES),
    "logistic rows": lambda: de.Logistic(ROWS, SCALES),
    "uniform rows": lambda: de.Uniform(ROWS, ROWS + SCALES),
    "cdf and density only": Generic,
    "scipy t rows": lambda: de.law(scipy.stats.t([3.0, 5.0, 9.0], loc=ROWS)),
    "scipy gamma": lambda: de.law(scipy.stats.gamma(0.7, scale=3)),
    "scipy Cauchy": lambda: de.law(scipy.stats.cauchy()),
    "lognormal": lambda: de.law("normal", [de.Affine(3, 0.5), de.Exp()]),
    "a map that decreases": lambda: de.law(de.Normal(ROWS, SCALES), [de.Affine(1, -2)]),
    "logit-normal": lambda: de.law("normal", [de.LogitMap(-1, 3).inverted]),
    "log of gamma": lambda: de.law(scipy.stats.gamma([1.0, 4.0, 0.5])).on(
        [de.Exp().inverted, de.Standardize(1, 3)]
    ),
    "bimodal": lambda: de.Mixture([de.Normal(-1, 0.5), de.Normal(1, 0.75)]),
    "mixture by row": lambda: de.Mixture(
        [de.Normal(ROWS, SCALES), de.Logistic(0, 1)], [[0.2, 0.8], [1, 0], [0.5, 0.5]]
    ),
    "quantiles": lambda: de.QuantileLaw([0.12, 0.42, 0.55, 0.93], [-1.0, 0.1, 0.35, 2.0]),
    "quantiles by row": lambda: de.QuantileLaw([0.2, 0.5, 0.7], ROWS[:, None] + SCALES[:, None] * [0, 1, 3]),
    "average": lambda: de.Normal(ROWS, SCALES).average([1, 2, 0.5]),
    **{name: partial(splines.make, *case) for name, case in splines.CASES.items() if splines.in_table(*case)},
}
DISCRETE: dict[str, Callable[[], Law]] = {
    "Bernoulli": lambda: de.Bernoulli([0.2, 0.7, 0.5]),
    "Categorical": lambda: de.Categorical([[0.2, 0.3, 0.5], [0.0, 0.9, 0.1], [0.25, 0.25, 0.5]]),
    "Bernoulli average": lambda: de.Bernoulli([0.2, 0.7, 0.5]).average(),
    "empirical": lambda: de.Empirical(SAMPLE),
    "weighted empirical": lambda: de.Empirical(SAMPLE, np.arange(60.0)),
    "empirical, exp": lambda: de.Empirical(SAMPLE).on([de.Affine(0, -1), de.Exp()]),
    "steps": lambda: StepLaw([[0.2, 0.4], [0.3, 0.9], [0.0, 1.0]], [1.0, 2.5], STEPS, STEPS),
    "Poisson rows": lambda: de.law(scipy.stats.poisson([0.3, 4.0, 50.0])),
    "mixture of counts": lambda: de.Mixture(
        [de.law(scipy.stats.poisson(2)), de.Empirical([0.0])], [0.7, 0.3]
    ),
}
MIXED: dict[str, Callable[[], WithMass]] = {
    "a mass below": lambda: WithMass(de.law(scipy.stats.gamma([1.5, 4.0, 2.5])), 0.0, [0.3, 0.9, 0.0]),
    "a mass inside": lambda: WithMass(de.Normal(ROWS, SCALES), 0.5, [0.1, 0.6, 1.0]),
}
LAWS = {**CONTINUOUS, **DISCRETE, **MIXED}
TAUS = np.array([1e-12, 1e-3, 0.1, 0.5, 0.77, 0.999])


@pytest.fixture(params=LAWS)
def law(request: pytest.FixtureRequest) -> Law:
    return LAWS[request.param]()


@pytest.fixture(params=CONTINUOUS)
def continuous(request: pytest.FixtureRequest) -> Law:
    return CONTINUOUS[request.param]()


# ---- shapes and arguments ----------------------------------------------------------------------------------


def test_shapes(law: Law) -> None:
    batch = law.batch_shape
    for method in (law.pdf, law.logpdf, law.cdf, law.sf):
        assert np.shape(method(0.5)) == batch
        assert np.shape(method(np.zeros((1, 4)))) == ((*batch, 4) if batch else (1, 4))
        assert np.shape(method(np.zeros((1, 0)))) == ((*batch, 0) if batch else (1, 0))
        y = np.zeros(3 if batch else 5)
        assert np.shape(method(y)) == y.shape
        if batch:
            with pytest.raises(OptionError, match="rows"):
                method(np.zeros(4))
            with pytest.raises(OptionError, match="rows"):
                method(np.zeros((2, 4)))
    assert np.shape(law.quantile(0.5)) == batch
    assert np.shape(law.quantile([[0.1, 0.2]])) == (*batch, 1, 2)
    assert np.shape(law.quantile([])) == (*batch, 0)
    for value in (law.mean(), law.var(), law.std(), law.functional("iqr"), law.functional("prob[0,1]")):
        assert np.shape(value) == batch
    assert law.interval(0.9).shape == (*batch, 2)
    draws, density = law.sample(4, seed=1, return_logpdf=True)
    assert draws.shape == density.shape == (*batch, 4)
    assert law.sample(0, seed=1).shape == (*batch, 0)
    assert law.average().batch_shape == ()


@pytest.mark.parametrize("tau", [-0.1, 1.5, np.nan, [0.5, 2.0]])
def test_levels_outside_the_unit_interval(law: Law, tau: object) -> None:
    for method in (law.quantile, law.isf):
        with pytest.raises(OptionError, match="0 and 1"):
            method(tau)
    with pytest.raises(OptionError):
        law.interval(1.2)


def test_missing_outcomes_stay_missing(law: Law) -> None:
    for method in (law.pdf, law.logpdf, law.cdf, law.sf):
        assert np.isnan(method(np.nan)).all()


@pytest.mark.parametrize(
    "law",
    [
        de.Normal([np.nan, 1.0, 2.0], 1.0),
        de.Logistic(0, [np.nan, 1.0, 2.0]),
        de.Uniform([np.nan, 0.0, 0.0], 1),
        de.Bernoulli([np.nan, 0.2, 0.3]),
        de.Categorical([[np.nan, np.nan], [0.2, 0.8], [0.3, 0.7]]),
        de.law(scipy.stats.gamma([np.nan, 1.0, 2.0])),
        de.law(de.Normal([np.nan, 1.0, 2.0], 1.0), [de.Exp()]),
        de.Mixture([de.Normal([np.nan, 1.0, 2.0], 1.0), de.Normal()]),
    ],
    ids=lambda law: type(law).__name__,
)
def test_missing_rows_stay_missing(law: Law) -> None:
    values = [
        law.pdf(1),
        law.logpdf(-np.inf),
        law.cdf(np.inf),
        law.sf(-5),
        law.quantile(0),
        law.isf(0.3),
        law.mean(),
        law.var(),
    ]
    values += [
        law.sample(3, seed=1)[:, 0],
        law.functional("median"),
        law.expect(np.cos),
        law.interval()[:, 1],
    ]
    for value in values:
        assert np.array_equal(np.isnan(value), [True, False, False])


# ---- probability -------------------------------------------------------------------------------------------


def test_density_integrates_to_one(continuous: Law) -> None:
    """Piecewise between quantiles, by scipy's quadrature of the density itself."""
    levels = np.array([1e-11, 1e-8, 1e-5, 1e-3, 0.02, 0.1, 0.25, 0.4, 0.5])
    ends = np.concatenate([continuous.quantile(levels), continuous.isf(levels[-2::-1])], axis=-1)
    for row, edges in enumerate(ends.reshape(-1, ends.shape[-1])):

        def density(y: float, row: int = row) -> float:
            return float(np.ravel(continuous.pdf(y))[row])

        pieces = itertools.pairwise(edges)
        total = sum(scipy.integrate.quad(density, a, b, epsabs=1e-11, epsrel=1e-11)[0] for a, b in pieces)
        assert total == pytest.approx(1 - 2e-11, abs=1e-8)


def test_quantile_inverts_cdf(continuous: Law) -> None:
    q = continuous.quantile(TAUS)
    levels = np.broadcast_to(TAUS, q.shape)
    assert continuous.cdf(q) == pytest.approx(levels, abs=1e-10, rel=1e-10)
    assert continuous.cdf(q[..., :2]) == pytest.approx(
        levels[..., :2], rel=1e-4
    )  # relative to a level of 1e-12
    assert continuous.sf(continuous.isf(TAUS)) == pytest.approx(levels, abs=1e-10)
    assert continuous.isf(0.3) == pytest.approx(continuous.quantile(0.7), rel=1e-12)
    low, high = continuous.support()
    assert np.array_equal(continuous.quantile([0, 1]), np.stack([low, high], axis=-1))
    assert np.array_equal(continuous.isf([1, 0]), np.stack([low, high], axis=-1))


def test_density_is_the_slope_of_cdf(continuous: Law) -> None:
    y = continuous.quantile([0.05, 0.3, 0.6, 0.9])
    h = 1e-4 * np.asarray(continuous.functional("iqr"))[..., None]
    slope = (
        8 * (continuous.cdf(y + h) - continuous.cdf(y - h))
        - continuous.cdf(y + 2 * h)
        + continuous.cdf(y - 2 * h)
    ) / (12 * h)
    assert slope == pytest.approx(continuous.pdf(y), rel=1e-7)
    assert np.exp(continuous.logpdf(y)) == pytest.approx(continuous.pdf(y), rel=1e-12)


def test_outside_the_support(law: Law) -> None:
    for y, (pdf, cdf) in {-np.inf: (0, 0), np.inf: (0, 1)}.items():
        assert np.all(law.pdf(y) == pdf)
        assert np.all(law.logpdf(y) == -np.inf)
        assert np.all(law.cdf(y) == cdf)
        assert np.all(law.sf(y) == 1 - cdf)
    low = np.min(law.support()[0])
    if np.isfinite(low):
        assert np.all(law.pdf(low - 1) == 0)
        assert np.all(law.cdf(low - 1) == 0)


def test_mass_adds_up() -> None:
    for name, make in DISCRETE.items():
        law = make()
        points = np.unique(np.concatenate([np.arange(0.0, 200), SAMPLE, np.exp(-SAMPLE)]))[None]
        mass, cdf = law.pdf(points), law.cdf(points)
        assert mass.sum(axis=-1) == pytest.approx(1, abs=1e-12), name
        assert np.cumsum(mass, axis=-1) == pytest.approx(cdf, abs=1e-12), name
        assert 1 - cdf == pytest.approx(law.sf(points), abs=1e-12), name
        for tau in (1e-300, 0.1, 0.3, 0.5, 0.95, 1 - 1e-9):  # left inverse: the first point whose F reaches τ
            at = np.argmax(cdf >= tau * (1 - 1e-14), axis=-1)
            assert np.array_equal(np.ravel(law.quantile(tau)), points[0][np.ravel(at)]), (name, tau)
            assert np.array_equal(law.isf(1 - tau), law.quantile(tau)) or tau in (1e-300, 1 - 1e-9)
        assert law.mean() == pytest.approx((mass * points).sum(axis=-1), rel=1e-10), name
        assert law.var() == pytest.approx(
            (mass * points**2).sum(axis=-1) - law.mean() ** 2, rel=1e-9, abs=1e-12
        ), name


@pytest.mark.parametrize("make", MIXED.values(), ids=MIXED)
def test_a_mass_beside_a_density(make: Callable[[], WithMass]) -> None:
    """F jumps by the mass at its point; quantiles are left inverses; moments are those of the quantiles."""
    law = make()
    assert np.array_equal(law.mass(law.point), law.share)
    assert law.cdf(law.point) - law.cdf(law.point - 1e-13) == pytest.approx(law.share, abs=1e-10)
    y = np.linspace(-3, 40, 60)[None]
    assert law.cdf(y) + law.sf(y) == pytest.approx(1 + 0 * law.cdf(y), abs=1e-14)
    q = law.quantile(TAUS)
    assert np.clip(TAUS, law.cdf(q) - law.mass(q), law.cdf(q)) == pytest.approx(0 * q + TAUS, abs=1e-10)
    for function in (np.cos, lambda y: y, np.square):
        rest = law.rest.expect(function)
        assert law.expect(function) == pytest.approx(
            law.share * function(law.point) + (1 - law.share) * rest, abs=1e-10
        )
    assert law.var() == pytest.approx(law.expect(np.square) - law.mean() ** 2, rel=1e-9, abs=1e-12)


def test_moments_agree_with_quadrature(continuous: Law) -> None:
    """Closed forms against ∫ over quantiles; a law without a mean says so."""
    if not np.isfinite(continuous.mean()).all():
        assert np.isnan(continuous.mean()).all()
        assert np.isnan(continuous.var()).all()
        return
    mean = continuous._integrate(lambda y: y)
    assert mean == pytest.approx(continuous.mean(), rel=1e-9, abs=1e-9)
    centred = continuous._integrate(lambda y: (y - np.asarray(mean)[..., None]) ** 2)
    assert centred == pytest.approx(continuous.var(), rel=1e-8)
    assert continuous.expect(np.cos) == pytest.approx(continuous._integrate(np.cos), rel=1e-8, abs=1e-10)


def test_draws_follow_the_law(law: Law) -> None:
    """Kolmogorov-Smirnov at 1e-4 per row (fixed seed): 4,000 draws,
    so a shift of .04 standard deviations is seen.
    """
    draws = np.atleast_2d(law.sample(4_000, seed=3))
    for row, x in enumerate(draws):
        points = np.unique(x)
        F = np.atleast_2d(law.cdf(points[None]))[row if law.batch_shape else 0]
        gap = np.abs(np.searchsorted(np.sort(x), points, side="right") / len(x) - F).max()
        assert gap < 2.23 / np.sqrt(len(x))
    assert np.array_equal(law.sample(5, seed=3), law.sample(5, seed=3), equal_nan=True)
    rng = np.random.default_rng(5)
    state = rng.bit_generator.state
    assert not np.array_equal(law.sample(60, seed=rng), law.sample(60, seed=rng))
    assert rng.bit_generator.state == state


def test_average_is_the_mean_of_rows(law: Law) -> None:
    if not law.batch_shape:
        assert law.average() is law
        with pytest.raises(OptionError):
            law.average([1.0])
        return
    w, y = np.array([1.0, 2.0, 5.0]), np.linspace(-3, 40, 7)
    mean = law.average(w)
    assert mean.cdf(y) == pytest.approx((w / 8) @ law.cdf(y[None]), abs=1e-14)
    assert mean.pdf(y) == pytest.approx((w / 8) @ law.pdf(y[None]), abs=1e-14)
    assert mean.mean() == pytest.approx((w / 8) @ law.mean(), nan_ok=True)
    if not law.discrete:  # a level that a mass takes up lies between F before it and F there
        q = mean.quantile(TAUS)
        level = np.clip(TAUS, mean.cdf(q) - mean.mass(q), mean.cdf(q))
        assert level == pytest.approx(TAUS, abs=1e-10)
    for wrong in ([1.0], [-1.0, 1, 1], [0.0, 0, 0], [np.nan, 1, 1]):
        with pytest.raises(OptionError):
            law.average(wrong)


# ---- tails and oracles -------------------------------------------------------------------------------------


def test_far_tails() -> None:
    z = np.array([-40.0, 40.0])
    for law in (de.Normal(), de.law("normal", [de.Affine(0, -1)]), de.Normal([0.0]).average()):
        assert law.logpdf(z) == pytest.approx(scipy.stats.norm.logpdf(z), rel=1e-14)
        assert law.cdf(-37.5) == pytest.approx(scipy.stats.norm.cdf(-37.5), rel=1e-12)
        assert law.sf(37.5) == pytest.approx(scipy.stats.norm.sf(37.5), rel=1e-12)
        assert law.quantile(1e-300) == pytest.approx(scipy.stats.norm.ppf(1e-300), rel=1e-12)
        assert law.isf(1e-300) == pytest.approx(scipy.stats.norm.isf(1e-300), rel=1e-12)
    assert Generic().quantile(1e-300) == pytest.approx(
        ROWS + SCALES * scipy.stats.norm.ppf(1e-300), rel=1e-12
    )
    far = de.Mixture([de.Normal(0, 1e-3), de.Normal(1e9, 1)], [1 - 1e-6, 1e-6])
    assert far.quantile([1e-300, 0.5, 1 - 5e-7]) == pytest.approx([-3.7047e-2, 0, 1e9], rel=1e-4, abs=1e-8)
    assert far.logpdf(1e9) == pytest.approx(np.log(1e-6) - 0.918938533, rel=1e-8)
    lognormal = de.law("normal", [de.Exp()])
    assert lognormal.logpdf(np.exp(-40.0)) == pytest.approx(scipy.stats.norm.logpdf(40) + 40, rel=1e-12)
    assert lognormal.logpdf([0.0, -1.0]) == pytest.approx(-np.inf)
    assert de.Logistic().logpdf([-800.0, 800.0]) == pytest.approx(-800)


def test_laws_that_scipy_has() -> None:
    y = np.array([0.01, 0.7, 3.0, 90.0])
    pairs = [
        (de.Normal(1, 2), scipy.stats.norm(1, 2)),
        (de.Logistic(1, 2), scipy.stats.logistic(1, 2)),
        (de.Uniform(-1, 5), scipy.stats.uniform(-1, 6)),
        (de.law("normal", [de.Affine(3, 0.5), de.Exp()]), scipy.stats.lognorm(0.5, scale=np.exp(3))),
        (de.law("uniform", [de.Exp().inverted, de.Affine(0, -1)]), scipy.stats.expon()),
        (de.law(scipy.stats.gamma(2.0), [de.Affine(0, 3)]), scipy.stats.gamma(2.0, scale=3)),
        (de.law("logistic", [de.LogitMap().inverted]), scipy.stats.uniform()),
    ]
    for law, oracle in pairs:
        for method in ("pdf", "logpdf", "cdf", "sf"):
            assert getattr(law, method)(y) == pytest.approx(
                getattr(oracle, method)(y), rel=1e-10, abs=1e-15
            ), (law, method)
        assert law.quantile(TAUS) == pytest.approx(oracle.ppf(TAUS), rel=1e-10)
        assert (law.mean(), law.std()) == pytest.approx((oracle.mean(), oracle.std()), rel=1e-9)


class _Student2(scipy.stats.rv_continuous):  # type: ignore[misc]
    """Student's law with two degrees of freedom; scipy before 1.17 knows its quantiles up to 1e100 only."""

    def _cdf(self, x: Any) -> Any:
        return 0.5 + x / (2 * np.sqrt(2 + x**2))

    def _ppf(self, q: Any) -> Any:
        return (2 * q - 1) / np.sqrt(2 * q * (1 - q))

    def _isf(self, q: Any) -> Any:
        return -self._ppf(q)


@pytest.mark.parametrize(
    ("frozen", "mean", "var"),
    [
        (scipy.stats.pareto(0.5), np.inf, np.inf),
        (_Student2()(), 0, np.inf),
        (scipy.stats.pareto(1.5), 3, np.inf),
    ],
)
def test_moments_that_do_not_exist(frozen: object, mean: float, var: float) -> None:
    """Found by quadrature too: nothing here asks scipy."""
    law = de.law(frozen)
    assert law._integrate(lambda y: y) == pytest.approx(mean, abs=1e-9)
    assert law._integrate(lambda y: y**2) == pytest.approx(var)


# ---- functionals and scales --------------------------------------------------------------------------------


def test_functionals() -> None:
    s = 0.5
    law = de.law("normal", [de.Affine(3, s), de.Exp()])
    Phi = scipy.stats.norm.cdf
    closed = {
        "mean": np.exp(3 + s**2 / 2),
        "median": np.exp(3),
        "q[0.9]": np.exp(3 + s * scipy.stats.norm.ppf(0.9)),
        "gini": 2 * Phi(s / np.sqrt(2)) - 1,
        "p90p10": np.exp(2 * s * scipy.stats.norm.ppf(0.9)),
        "var_log": s**2,
        "theil": s**2 / 2,
        "mld": s**2 / 2,
        "lorenz[0.3]": Phi(scipy.stats.norm.ppf(0.3) - s),
        "prob[10, 20]": Phi((np.log(20) - 3) / s) - Phi((np.log(10) - 3) / s),
        "prob[-inf,20]": Phi((np.log(20) - 3) / s),
    }
    for name, value in closed.items():
        assert law.functional(name) == pytest.approx(value, rel=1e-9), name
    assert law.functional(lambda law: law.quantile(0.5) ** 2) == pytest.approx(np.exp(6))
    for share in np.arange(0.01, 1, 0.01):  # also where the jump at the quantile is near the end of a panel
        known = Phi(scipy.stats.norm.ppf(share) - s)
        assert law.functional(f"lorenz[{share}]") == pytest.approx(known, rel=1e-9), share
    rows = de.law(de.Normal([3.0, 3.0], [s, 1.0]), [de.Exp()])
    assert rows.functional("gini") == pytest.approx([closed["gini"], 2 * Phi(1 / np.sqrt(2)) - 1], rel=1e-9)
    assert de.Normal().functional("prob[38,40]") == pytest.approx(scipy.stats.norm.sf(38), rel=1e-6)
    assert de.Bernoulli([0.2]).functional("prob[1,1]") == pytest.approx([0.2])
    x, w = SAMPLE + 0.1, np.arange(60.0)
    empirical, long = de.Empirical(x, w), np.repeat(x, w.astype(int))
    assert empirical.functional("gini") == pytest.approx(
        np.abs(long[:, None] - long).mean() / (2 * long.mean()), rel=1e-12
    )
    assert empirical.functional("var_log") == pytest.approx(np.log(long).var(), rel=1e-12)
    assert empirical.functional("lorenz[0.5]") == pytest.approx(
        np.sort(long)[: len(long) // 2].sum() / long.sum(), rel=1e-12
    )


@pytest.mark.parametrize(
    "name", ["nonsense", "q", "q[1.5]", "q[a]", "mean[1]", "prob[2,1]", "q[nan]", "", "gini(", 3]
)
def test_what_is_no_functional(name: str) -> None:
    with pytest.raises(OptionError):
        de.Normal().functional(name)


def test_inequality_needs_a_positive_outcome() -> None:
    for law in (de.Normal(), de.Empirical([1.0, 2.0]).named("log(wage)"), de.Empirical([-1.0, 2.0])):
        for name in ("gini", "p90p10", "var_log", "theil"):
            with pytest.raises(OptionError, match=r"positive.*law\.on"):
                law.functional(name)


def test_a_law_changes_scale_by_name() -> None:
    for outcome, inverse in {
        "log(wage)": np.exp,
        "np.log(wage / 100)": lambda y: 100 * np.exp(y),
        "log1p(wage)": np.expm1,
        "log10(wage)": lambda y: 10**y,
        "-log2(2 + wage)": lambda y: 2 ** (-y) - 2,
        "I(3 - 2 * wage)": lambda y: (3 - y) / 2,
        "exp(wage)": np.log,
        "wage": lambda y: y,
    }.items():
        law = de.Uniform(0.5, 0.9).named(outcome)
        scaled = law.on("wage")
        assert scaled.outcome == "wage"
        assert np.sort(scaled.quantile([0.2, 0.8])) == pytest.approx(
            np.sort(inverse(law.quantile([0.2, 0.8]))), rel=1e-12
        )
    for outcome in (
        "sqrt(wage)",
        "wage**2",
        "log(wage) + log(hours)",
        "log(wage, 2)",
        "__import__('os')",
        "log(wage",
        "1 / wage",
    ):
        with pytest.raises(OptionError, match="scale"):
            de.Normal().named(outcome).on("wage")
    with pytest.raises(OptionError, match="hours"):
        de.Normal().named("log(hours)").on("wage")
    with pytest.raises(OptionError, match="maps"):
        de.Normal().on("wage")


def test_maps_invert_and_know_their_slope() -> None:
    x = np.array([0.1, 0.4, 0.93])
    for m in (
        de.Affine(1, -3),
        de.Exp(),
        de.LogitMap(),
        de.LogitMap(-2, 5),
        de.Standardize(2, 3),
        de.Exp().inverted,
    ):
        for t in (m, m.inverted):
            if t.domain[1] < 0.93:
                continue
            y, slope = t.forward(x)
            back, same = t.inverse(y)
            assert back == pytest.approx(x, rel=1e-13)
            assert same == pytest.approx(slope, rel=1e-12, abs=1e-13)
            step = (t.forward(x + 1e-6)[0] - t.forward(x - 1e-6)[0]) / 2e-6
            assert np.log(np.abs(step)) == pytest.approx(slope, abs=1e-7)
            assert np.all(step > 0) == t.increasing


WRONG: dict[str, Callable[[], object]] = {
    "scale zero": lambda: de.Normal(0, 0),
    "scale infinite": lambda: de.Normal(0, np.inf),
    "lengths": lambda: de.Normal([1.0, 2.0], [1.0, 2.0, 3.0]),
    "text": lambda: de.Normal("a"),
    "two dimensions": lambda: de.Normal(np.zeros((2, 2))),
    "ends": lambda: de.Uniform(1, 1),
    "no values": lambda: de.Empirical([]),
    "missing values": lambda: de.Empirical([np.nan, 1]),
    "negative weights": lambda: de.Empirical([1, 2], [-1, 1]),
    "another length": lambda: de.Empirical([1, 2], [1]),
    "no laws": lambda: de.Mixture([]),
    "discrete and continuous": lambda: de.Mixture([de.Normal(), de.Empirical([1])]),
    "other rows": lambda: de.Mixture([de.Normal([1.0, 2.0]), de.Normal([1.0, 2.0, 3.0])]),
    "weights": lambda: de.Mixture([de.Normal(), de.Normal()], [0, 0]),
    "no base": lambda: de.law("cauchy"),
    "no law": lambda: de.law(3),
    "not frozen": lambda: de.law(scipy.stats.norm),
    "bad parameter": lambda: de.law(scipy.stats.gamma(-1)),
    "log of a normal": lambda: de.law("normal", [de.Exp().inverted]),
    "no map": lambda: de.law("normal", [np.exp]),
    "a number for maps": lambda: de.law("normal", 3),
    "a number for laws": lambda: de.Mixture(3),
    "flat map": lambda: de.Affine(1, 0),
    "no interval": lambda: de.LogitMap(1, 0),
    "no spread": lambda: de.Standardize.of([1, 1]),
    "negative seed": lambda: de.Normal().sample(2, seed=-1),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(case: str) -> None:
    with pytest.raises(OptionError):
        WRONG[case]()


def test_laws_load_without_scipy_stats() -> None:
    code = (
        "import sys, disteconometrics as de; de.law('normal', [de.Exp()]).mean(); print('scipy.stats' "
        "in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
    assert Normal is de.Normal
