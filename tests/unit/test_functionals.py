"""Standard errors of a sample's functionals: influence functions against perturbed weights,
and simulation.
"""

from __future__ import annotations

import numpy as np
import pytest

import disteconometrics as de
from disteconometrics.errors import OptionError
from disteconometrics.inference.influence_functions import influence_function

RNG = np.random.default_rng(8)
Y = np.round(RNG.lognormal(1, 0.6, 70), 2)
SMOOTH = [
    "mean",
    "var",
    "std",
    "gini",
    "theil",
    "mld",
    "var_log",
    "cdf[2.5]",
    "sf[2.5]",
    "prob[1,3]",
    "lorenz[0.333]",
    "top_share[0.123]",
    "ge[2]",
    "ge[-1]",
    "ge[0]",
    "ge[1]",
    "atkinson[0.5]",
    "atkinson[1]",
    "atkinson[2]",
    "poverty[2.505]",
    "poverty_gap[2.505]",
    "fgt[2,2.505]",
    "poverty_gap[0.7*mean]",
    "fgt[2,0.7*mean]",
]


@pytest.mark.parametrize("name", SMOOTH)
def test_influence_is_the_derivative_in_the_weights(name: str) -> None:
    """ψ(y_i) = d/dε T((1 − ε)F + εδ_i), by differences on both sides."""
    law, h = de.Empirical(Y), 1e-6
    psi = influence_function(law, Y, name, len(Y))
    for i in range(0, len(Y), 7):
        moved = []
        for step in (h, -h):
            w = np.full(len(Y), (1 - step) / len(Y))
            w[i] += step
            moved.append(float(de.Empirical(Y, w).functional(name)))
        assert psi[i] == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-5, abs=1e-7)
    assert psi.mean() == pytest.approx(0, abs=1e-12)


def test_errors_are_those_of_repeated_samples() -> None:
    """Over 400 samples of 400 the mean standard error is the spread of estimates within 15 %
    (4 Monte Carlo errors).
    """
    names = ["mean", "gini", "q[0.9]", "median", "iqr", "p90p10", "theil"]
    law, rng = de.law("normal", [de.Affine(0, 0.5), de.Exp()]), np.random.default_rng(9)
    found = [de.sample_functionals(law.sample(400, seed=rng), names) for _ in range(400)]
    spread = np.std([e.values for e in found], axis=0, ddof=1)
    assert np.mean([e.std_error for e in found], axis=0) == pytest.approx(spread, rel=0.15)


def test_weights() -> None:
    w = RNG.integers(1, 4, len(Y)).astype(float)
    names = ["mean", "gini", "p90p10", "lorenz[0.333]"]
    counts = de.sample_functionals(Y, names, weights=w, weight_type="frequency")
    long = de.sample_functionals(np.repeat(Y, w.astype(int)), names)
    np.testing.assert_allclose(counts.table(), long.table(), rtol=1e-10)
    sampling = de.sample_functionals(Y, names, weights=w, weight_type="sampling")
    np.testing.assert_allclose(sampling.values, counts.values, rtol=1e-13)
    again = de.sample_functionals(Y, names, weights=100 * w, weight_type="sampling")
    np.testing.assert_allclose(again.table(), sampling.table(), rtol=1e-12)
    share = w / w.sum()
    assert sampling.std_error[0] == pytest.approx(np.sqrt((share**2 * (Y - share @ Y) ** 2).sum()), rel=1e-12)
    missing = de.sample_functionals(np.append(Y, np.nan), names)
    np.testing.assert_allclose(missing.table(), de.sample_functionals(Y, names).table(), rtol=1e-13)


def test_what_is_refused() -> None:
    for arguments in ({"names": "gini"}, {"names": ["pdf[1]"]}, {"names": ["nonsense"]}, {"weights": [1.0]}):
        with pytest.raises(OptionError):
            de.sample_functionals(Y, **{"names": ["mean"], **arguments})
    with pytest.raises(OptionError, match="positive"):
        de.sample_functionals(-Y, ["gini"])
