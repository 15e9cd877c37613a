"""The probit: terms against many digits and automatic derivatives, fits against statsmodels,
and what it refuses.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from scipy import special

import disteconometrics as de
from disteconometrics.errors import OptionError, SeparationWarning
from disteconometrics.likelihoods.gaussian import PROBIT
from disteconometrics.likelihoods.logistic import LOGISTIC

DIGITS = 3e-13  # rounding q²/2 in φ(q) costs up to q²/4 units in the last place
AGREE = 1e-8  # statsmodels stops its Newton steps there


def exact(q: float) -> tuple[float, float, float]:
    """log Φ(q), λ(q) and √(λ(λ + q)) in 60 digits."""
    with mpmath.workdps(700):  # Φ(q) = 1 − 1e-300 needs the digits
        x = mpmath.mpf(q)
        cdf = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
        ratio = mpmath.npdf(x) / cdf
        return float(mpmath.log(cdf)), float(ratio), float(mpmath.sqrt(ratio * (ratio + x)))


@pytest.mark.parametrize(
    "q", [-1e3, -60.0, -37.5, -12.0, -5.0001, -4.9999, -2.0, -0.1, 0.0, 0.7, 3.0, 8.0, 20.0, 37.0]
)
def test_terms_have_their_digits_in_both_tails(q: float) -> None:
    for y in (0.0, 1.0):
        terms = PROBIT.terms(np.array([y]), np.array([q if y else -q]))
        loglik, ratio, root = exact(q)
        sign = 2 * y - 1
        np.testing.assert_allclose(
            [terms.loglik[0], terms.score[0], terms.root_weight[0]], [loglik, sign * ratio, root], DIGITS
        )
        assert PROBIT.score(np.array([y]), np.array([q if y else -q]))[0] == terms.score[0]


def test_terms_stay_finite_where_numbers_end() -> None:
    terms = PROBIT.terms(np.array([1.0, 1.0, 1.0, 0.0]), np.array([-1e12, 1e12, np.inf, -np.inf]))
    assert terms.score[0] == 1e12
    assert terms.root_weight[0] == pytest.approx(1)
    assert not terms.score[1:].any()
    assert not terms.loglik[1:].any()
    assert not np.isnan(np.array(terms)).any()


@pytest.mark.parametrize("kernel", [LOGISTIC, PROBIT])
def test_score_information_and_density_are_the_derivatives(kernel: Any) -> None:
    y, eta = np.tile([0.0, 1.0], 40), np.linspace(-6, 6, 80)
    t = torch.tensor(eta, dtype=torch.float64, requires_grad=True)
    q = t * torch.tensor(2 * y - 1)
    loglik = torch.special.log_ndtr(q) if kernel is PROBIT else torch.nn.functional.logsigmoid(q)
    (first,) = torch.autograd.grad(loglik.sum(), t, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), t)
    terms = kernel.terms(y, eta)
    np.testing.assert_allclose(terms.loglik, loglik.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(terms.score, first.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(np.square(terms.root_weight), -second.numpy(), rtol=1e-8)
    step = 1e-5
    np.testing.assert_allclose(
        kernel.density(eta),
        (kernel.probability(eta + step) - kernel.probability(eta - step)) / (2 * step),
        rtol=1e-7,
        atol=1e-11,
    )


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 600
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "z": rng.exponential(size=n), "w": rng.integers(1, 4, n).astype(float)}
    )
    frame["shift"] = rng.normal(size=n) / 4
    frame["y"] = (0.3 + 0.8 * frame["x"] - 0.5 * frame["z"] + frame["shift"] + rng.normal(size=n) > 0).astype(
        int
    )
    return frame


@pytest.mark.parametrize("table", ["made", "spector", "fair"])
def test_probit_is_that_of_statsmodels(table: str, data: pd.DataFrame) -> None:
    frame, formula = {
        "made": (data, "y ~ x + z + I(z**2)"),
        "spector": (de.datasets.spector(), "GRADE ~ GPA + TUCE + PSI"),
        "fair": (de.datasets.fair(), "affair ~ rate_marriage + age + yrs_married + religious + educ"),
    }[table]
    res = de.Probit(formula).fit(frame)
    peer = sm.Probit.from_formula(formula, frame).fit(disp=0, method="newton", tol=1e-12, maxiter=100)
    ours = [res.params, res.bse, res.tvalues, [res.llf, res.llnull, res.aic, res.bic, res.prsquared, res.llr]]
    theirs = [
        peer.params,
        peer.bse,
        peer.tvalues,
        [peer.llf, peer.llnull, peer.aic, peer.bic, peer.prsquared, peer.llr],
    ]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=AGREE)
    np.testing.assert_allclose(res.predict(frame), peer.predict(), rtol=AGREE)
    X, y = peer.model.exog, peer.model.endog
    eta, s = X @ res.params.to_numpy(), 2 * y - 1
    ratio = np.exp(-(eta**2) / 2) / np.sqrt(2 * np.pi) / special.ndtr(s * eta)
    bread = np.linalg.inv(X.T @ (X * (ratio * (ratio + s * eta))[:, None]))
    scores = X * (s * ratio)[:, None]
    np.testing.assert_allclose(
        res.with_cov("HC0").cov_params(), bread @ (scores.T @ scores) @ bread, rtol=AGREE
    )


def test_a_fit_survives_outcomes_that_are_surprises() -> None:
    """Rows forty standard deviations on the wrong side of the start:
    the iterations still find the maximum.
    """
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=300), [60.0, -60.0]])
    y = np.concatenate([(x[:300] + rng.normal(size=300) > 0), [False, True]]).astype(int)
    res = de.Probit("y ~ x").fit({"y": y, "x": x})
    assert res.converged
    np.testing.assert_allclose(
        PROBIT.score(y.astype(float), res.predict(linear=True).to_numpy()) @ x, 0, atol=1e-9
    )


def test_odds_ratios_and_unknown_arguments_are_refused(data: pd.DataFrame) -> None:
    res = de.Probit("y ~ x").fit(data)
    with pytest.raises(OptionError, match="logit only"):
        res.odds_ratios()
    with pytest.raises(OptionError, match="logit"):
        res.plot(odds_ratios=True)
    for estimator in (de.Logit, de.Probit):
        with pytest.raises(OptionError, match=rf"de\.{estimator.__name__}\(formula\)\.fit\(data\)"):
            estimator("y ~ x", data)
        with pytest.raises(OptionError, match="separation"):
            estimator("y ~ x", separation="drop")
        with pytest.raises(OptionError, match=r"de\.Cluster"):
            estimator("y ~ x").fit(data, cov_type="cluster")


def test_a_column_that_separates_far_in_the_tail_is_found_beside_an_offset() -> None:
    """The gain dies where steps are still shorter than what makes them suspicious."""
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=4500), rng.integers(0, 3, 4500)
    y = pd.Series(np.round(2 + x + 0.5 * d + rng.logistic(size=4500), 1))
    rare = np.zeros(4500)
    rare[y.nsmallest(2250).index[::50]] = 1.0
    late = (y > np.quantile(y, 0.99)).astype(int)
    table = {"late": late, "x": x, "z": np.exp(2 * x), "rare": rare, "o": 0.3 * np.sin(x)}
    with pytest.warns(SeparationWarning, match="rare"):
        res = de.Probit("late ~ x + z + rare", offset="o").fit(table)
    assert res.params["rare"] == -np.inf
    assert not res.converged
