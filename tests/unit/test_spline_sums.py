"""Panel sums of spline laws against adaptive integrals over levels, which invert each law at every level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from disteconometrics import scores
from disteconometrics.distributions import spline_sums
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.spline import SplineLaw
from disteconometrics.distributions.spline_pieces import panels
from disteconometrics.distributions.support import Support
from disteconometrics.errors import ConvergenceWarning

SUPPORTS = {
    "line": Support(),
    "above": Support(0.5, np.inf),
    "below": Support(-np.inf, 3.0),
    "between": Support(0.0, 2.0),
}
CASES = [(base, name) for base in ("normal", "logistic") for name in SUPPORTS]


@dataclass(frozen=True, eq=False)
class ByLevels(Law):
    """A spline law as one that has quantiles, and for all else the integrals over levels of every law."""

    law: SplineLaw

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.law.batch_shape

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        return self.law.support()

    def _logpdf(self, y: np.ndarray) -> np.ndarray:
        return self.law._logpdf(y)

    def _cdf(self, y: np.ndarray) -> np.ndarray:
        return self.law._cdf(y)

    def _sf(self, y: np.ndarray) -> np.ndarray:
        return self.law._sf(y)

    def _quantile(self, tau: np.ndarray) -> np.ndarray:
        return self.law._quantile(tau)

    def _isf(self, tau: np.ndarray) -> np.ndarray:
        return self.law._isf(tau)


def make(base: str, support: str, rows: int = 6, knots: int = 12, seed: int = 3) -> SplineLaw:
    """Laws with steep and near-flat parts; in some rows most mass lies beyond an outer knot."""
    rng = np.random.default_rng(seed)
    slopes = rng.uniform(1.5, 3.0, (rows, knots - 1)) * rng.choice(
        [0.05, 1.0], (rows, knots - 1), p=[0.2, 0.8]
    )
    slopes[:, [0, -1]] = rng.uniform(1.2, 2.5, (rows, 2))
    intercept = rng.normal(size=rows)
    intercept[:2] = 9.0, -7.0
    at = np.sort(rng.uniform(-2.5, 2.5, knots))
    return SplineLaw(at, intercept, slopes, rng.normal(size=rows) / 2, 0.5, base, SUPPORTS[support])


@pytest.mark.parametrize(("base", "support"), CASES)
def test_sums_equal_integrals_over_levels(base: str, support: str) -> None:
    law = make(base, support)
    oracle = ByLevels(law)
    sd = oracle.std()
    np.testing.assert_array_less(np.abs(law.mean() - oracle.mean()), 1e-10 * sd)
    np.testing.assert_allclose(law.std(), sd, rtol=1e-10)
    for function in (np.cos, np.tanh):
        np.testing.assert_allclose(law.expect(function), oracle.expect(function), rtol=1e-9, atol=1e-10)
    for level in (1e-9, 0.05, 0.6, 1 - 1e-6):
        y = law.quantile(level)
        np.testing.assert_allclose(scores.crps(law, y), scores.crps(oracle, y), rtol=1e-10)
        np.testing.assert_allclose(law._partial_mean(y), oracle._partial_mean(y), rtol=1e-10, atol=1e-11)
    if support in ("above", "between"):
        for name in ("gini", "theil", "mld", "var_log", "lorenz[0.3]"):
            found, known = law.functional(name), oracle.functional(name)
            np.testing.assert_allclose(found, known, rtol=1e-10, atol=1e-11, err_msg=name)
        np.testing.assert_allclose(
            law.average().functional("theil"), ByLevels(law).average().functional("theil"), rtol=1e-10
        )


@pytest.mark.parametrize(("base", "support"), CASES)
def test_points_are_as_many_as_sums_need(base: str, support: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against 48 points in every panel, relative to the standard deviation; and with far fewer than 16."""
    laws = [make(base, support, rows=40, knots=k, seed=k) for k in (9, 30, 90)]
    laws.append(replace(laws[-1], slopes=np.full_like(laws[-1].slopes, 2.0)))
    assert laws[-1]._curves.counts.mean() < 7
    found = [(law.mean(), law.std(), law._half_gap(), scores.crps(law, law.quantile(0.7))) for law in laws]
    monkeypatch.setattr(spline_sums, "node_counts", lambda rises: np.full(len(rises), 48))
    for law, values in zip(laws, found, strict=True):
        law = replace(law)
        sd = law.std()
        many = law.mean(), sd, law._half_gap(), scores.crps(law, law.quantile(0.7))
        for few, full in zip(values, many, strict=True):
            np.testing.assert_array_less(np.abs(few - full), 1e-12 * sd)


@pytest.mark.parametrize(("base", "support"), CASES)
def test_rows_do_not_depend_on_one_another(base: str, support: str, monkeypatch: pytest.MonkeyPatch) -> None:
    law = make(base, support, rows=30)
    few = law.rows([4, 20])
    y = law.quantile(0.9)

    def values(law: SplineLaw, y: np.ndarray) -> np.ndarray:
        return np.stack([law.mean(), law.std(), law._half_gap(), scores.crps(law, y), law.expect(np.abs)])

    every = values(law, y)
    np.testing.assert_allclose(values(few, y[[4, 20]]), every[:, [4, 20]], rtol=2e-13, atol=2e-13)
    monkeypatch.setattr("disteconometrics.distributions.spline_pieces.MOST_CELLS", 3000)  # many chunks
    np.testing.assert_allclose(values(replace(law), y), every, rtol=1e-13, atol=1e-13)


def test_jumps_and_kinks_wherever_they_are() -> None:
    """A jump that no Gauss point sees lies near the end of a panel, where Lobatto's rule looks."""
    law = make("logistic", "line", rows=300, knots=9)
    cut = (law.location + law.scale * (law.knots[4] + np.linspace(-0.02, 0.02, 300)))[:, None]
    np.testing.assert_allclose(law.expect(lambda y: y > cut), law.sf(cut)[:, 0], rtol=0, atol=1e-11)
    short = cut[:, 0] * law.cdf(cut)[:, 0] - law._partial_mean(cut[:, 0])
    np.testing.assert_allclose(law.expect(lambda y: np.maximum(cut - y, 0)), short, rtol=1e-10)
    comb = law.rows(slice(0, 2))
    with pytest.warns(ConvergenceWarning, match="did not settle"):
        comb.expect(lambda y: np.sign(np.sin(200 * y)))


def test_far_outcomes_heavy_tails_and_missing_rows() -> None:
    for base in ("normal", "logistic"):
        law = make(base, "line")
        far = np.array([-1e6, 1e6, -np.inf, np.nan, 1e3, -1e3])
        known = np.abs(far - law.mean()) - law._half_gap()  # E|Y − y| − ½E|Y − Y'|
        np.testing.assert_allclose(scores.crps(law, far), known, rtol=1e-12)
        single = replace(law.rows([3]), single=True)
        grid = np.linspace(-3, 3, 50)
        np.testing.assert_allclose(
            scores.crps(single, grid), scores.crps(law.rows([3] * 50), grid), rtol=1e-13
        )
        assert np.shape(single.expect(np.cos)) == np.shape(single._half_gap()) == ()
        assert float(single.expect(lambda y: 1.0)) == pytest.approx(1, abs=1e-12)
    heavy = replace(make("logistic", "above"), scale=2.6)
    assert np.isinf(heavy.expect(lambda y: y)).all()
    assert np.isnan(heavy.functional("gini")).all()
    gap = replace(make("normal", "above"), intercept=np.array([0.0, np.nan, 1, 1, 1, 1]))
    for value in (gap.mean(), gap.functional("gini"), gap.functional("mld"), scores.crps(gap, np.ones(6))):
        assert np.isnan(value).tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize(("base", "support"), CASES)
def test_many_rows_at_few_outcomes(base: str, support: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laws too large to keep their tables say the same; an average starts from some rows, ends at F = τ."""
    law = make(base, support, rows=2_000)
    y = law.quantile(np.array([0.001, 0.5, 0.999]))[:1]
    kept = [of(y) for of in (law.cdf, law.sf, law.pdf)]
    tau = np.array([0.02, 0.5, 0.98])
    average = law.average()
    np.testing.assert_allclose(average.cdf(average.quantile(tau)), tau, rtol=1e-12)
    monkeypatch.setattr(spline_sums, "MOST_HELD", 0)
    other = replace(law)
    for known, found in zip(kept, (other.cdf(y), other.sf(y), other.pdf(y)), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-11)
    np.testing.assert_allclose(other.average().quantile(tau), average.quantile(tau), rtol=1e-11)


def test_panels_take_counts() -> None:
    knots = np.array([-1.0, 0.0, 0.5, 3.0])
    points, weights = panels(knots, np.array([2, 3, 4]))
    assert len(points) == 9
    assert weights @ points**3 == pytest.approx((3**4 - 1) / 4, rel=1e-14)
    assert len(panels(knots)[0]) == 48
