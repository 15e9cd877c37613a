"""Scores of laws against their definitions, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import disteconometrics as de
from disteconometrics import scores
from disteconometrics.distributions.law import Law
from disteconometrics.errors import OptionError

Y = np.array([-4.0, 0.3, 1.0, 7.0])
ROWS, SCALES = np.array([-1.0, 0.3, 4.0, 0.0]), np.array([0.2, 1.0, 3.0, 2.0])
LAWS: dict[str, Callable[[], Law]] = {
    "normal": lambda: de.Normal(0.5, 2.0),
    "normal rows": lambda: de.Normal(ROWS, SCALES),
    "logistic rows": lambda: de.Logistic(ROWS, SCALES),
    "uniform": lambda: de.Uniform(0, 2),
    "t": lambda: de.law(scipy.stats.t(4, loc=ROWS)),
    "lognormal rows": lambda: de.law(de.Normal(ROWS / 4, 0.5), [de.Exp()]),
    "mixture of normals": lambda: de.Mixture([de.Normal(-1, 0.5), de.Normal(1, 0.75)], [0.3, 0.7]),
    "mixture by row": lambda: de.Mixture(
        [de.Normal(ROWS, SCALES), de.Normal(1, 0.75)], np.array([[0.3, 0.7]] * 4)
    ),
    "other mixture": lambda: de.Mixture([de.Normal(-1, 0.5), de.Logistic(1, 0.75)]),
    "average": lambda: de.Normal(ROWS, SCALES).average([1, 2, 3, 4]),
    "empirical": lambda: de.Empirical([0.0, 1.0, 1.0, 3.0], [1, 2, 3, 1]),
    "Poisson": lambda: de.law(scipy.stats.poisson([0.5, 1.0, 3.0, 9.0])),
    "Bernoulli": lambda: de.Bernoulli([0.1, 0.5, 0.7, 1.0]),
    "counts": lambda: de.Mixture([de.law(scipy.stats.poisson(2)), de.Empirical([0.0])]),
}


@pytest.mark.parametrize("name", LAWS)
def test_crps_is_the_integral_of_squared_distance(name: str) -> None:
    """∫(F(t) − 1{y ≤ t})² dt by scipy's quadrature between points where F or the indicator may jump."""
    law = LAWS[name]()
    found = scores.crps(law, Y)
    for i, y in enumerate(Y):

        def square(t: float, i: int = i, y: float = y) -> float:
            F = np.ravel(law.cdf(t))
            return float((F[i if law.batch_shape else 0] - (y <= t)) ** 2)

        edges = np.unique(np.concatenate([np.arange(-60.0, 61.0), [y], [-1e4, 1e4]]))
        total = sum(
            scipy.integrate.quad(square, a, b, epsabs=1e-12, epsrel=1e-11, limit=200)[0]
            for a, b in itertools.pairwise(edges)
        )
        assert found[i] == pytest.approx(total, rel=1e-8, abs=1e-8), y


def test_crps_of_closed_forms_equals_the_numeric_one() -> None:
    for name in ("normal", "normal rows", "logistic rows", "mixture of normals", "mixture by row", "average"):
        law = LAWS[name]()
        assert scores.crps(law, Y) == pytest.approx(scores._crps_integral(law, Y), rel=1e-9), name
    tail = scores.crps(de.Normal(0, 1), [-50.0, 50.0])
    assert tail == pytest.approx(50 - 1 / np.sqrt(np.pi), rel=1e-14)
    many = de.Normal(np.linspace(-1, 1, 300), 0.5).average()
    assert scores.crps(many, Y) == pytest.approx(scores._crps_integral(many, Y), rel=1e-9)
    assert scores.crps(de.law(scipy.stats.cauchy()), [0.0]) == pytest.approx(2 * np.log(2) / np.pi, rel=1e-8)


def test_a_score_takes_one_outcome_per_row() -> None:
    law = de.Normal([0.0, 1.0], 1.0)
    for score in (scores.log_score, scores.crps, scores.pit, lambda law, y: scores.pinball(law, y, 0.5)):
        assert score(law, [0.0, 1.0]).shape == (2,)
        assert np.array_equal(np.isnan(score(law, [np.nan, 1.0])), [True, False])
        for wrong in ([0.0, 1.0, 2.0], np.zeros((2, 2)), "a"):
            with pytest.raises(OptionError):
                score(law, wrong)
        with pytest.raises(OptionError, match="law"):
            score(scipy.stats.norm(), [0.0])
    missing = de.Normal([np.nan, 0.0], 1.0)
    assert np.array_equal(np.isnan(scores.crps(missing, [0.0, 0.0])), [True, False])
    assert np.array_equal(np.isnan(scores.crps(de.law(missing, [de.Exp()]), [0.0, 0.0])), [True, False])


def test_pinball_integrates_to_crps() -> None:
    """CRPS = 2∫ pinball dτ, on a fine grid."""
    tau = (np.arange(20_000) + 0.5) / 20_000
    for name in ("normal rows", "empirical", "Bernoulli"):
        law = LAWS[name]()
        assert 2 * scores.pinball(law, Y, tau).mean(axis=1) == pytest.approx(scores.crps(law, Y), rel=2e-4), (
            name
        )
    assert scores.pinball(de.Normal(), Y, [[0.1, 0.5]]).shape == (4, 1, 2)


def test_transforms_of_the_right_law_are_uniform() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.1, 0.9, 4000)
    y = (rng.random(4000) < p).astype(float)
    u = scores.pit(de.Bernoulli(p), y, seed=1)
    assert scores.uniformity(u, held_out=True).p_value > 1e-4
    assert np.array_equal(u, scores.pit(de.Bernoulli(p), y, seed=1))
    wrong = scores.uniformity(scores.pit(de.Bernoulli(1 - p), y, seed=1), held_out=True)
    assert wrong.p_value < 1e-10
    x = rng.normal(size=300)
    found, ks = scores.uniformity(scores.pit(de.Normal(), x), held_out=True), scipy.stats.kstest(x, "norm")
    assert found.ks == pytest.approx(ks.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(ks.pvalue, rel=0.1)  # asymptotic against exact
    assert found.cvm == pytest.approx(scipy.stats.cramervonmises(x, "norm").statistic, rel=1e-12)
    assert np.isnan(scores.uniformity([0.5]).p_value)
    for bad in ([], [1.2], ["a"], [np.nan]):
        with pytest.raises(OptionError):
            scores.uniformity(bad)


def test_calibration_and_coverage() -> None:
    rng = np.random.default_rng(4)
    scale = np.repeat([1.0, 3.0], 2000)
    y = rng.normal(0, scale)
    right, wrong = de.Normal(np.zeros(4000), scale), de.Normal(0, np.sqrt(5))
    table = scores.calibration(right, y)
    assert (np.abs(table["share"] - table.index) < 4 * table["std_error"]).all()
    assert table["n"].eq(4000).all()
    by = np.where(scale == 1, "calm", "wild")
    groups = scores.coverage(right, y, 0.9, by=by)
    assert groups.index.tolist() == ["all", "calm", "wild"]
    assert (np.abs(groups["coverage"] - 0.9) < 4 * groups["std_error"]).all()
    assert groups.loc["wild", "width"] == pytest.approx(3 * groups.loc["calm", "width"])
    uneven = scores.coverage(wrong, y, 0.9, by=by)["coverage"]
    assert uneven["calm"] > 0.98
    assert uneven["wild"] < 0.85
    with pytest.raises(OptionError, match="by"):
        scores.coverage(right, y, 0.9, by=by[:5])
    with pytest.raises(OptionError, match="0 and 1"):
        scores.coverage(right, y, 90)
