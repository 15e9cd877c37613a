"""The complementary log-log law: many digits, automatic derivatives, statsmodels, and what it refuses."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch

import disteconometrics as de
from disteconometrics.errors import OptionError
from disteconometrics.likelihoods.gumbel import CLOGLOG

AGREE = 1e-8
IRLS = 1e-7  # where statsmodels' reweighted least squares stop
FAIR = "affair ~ rate_marriage + age + yrs_married + religious + educ"
SIDES = [
    *(-1e4, -744.9, -700.0, -40.0, -12.0, -3.0, -1.0),
    *np.log(0.5) + np.array([-1e-9, 1e-9]),  # where the series ends, and …
    *np.log(np.log(2.0)) + np.array([-1e-9, 1e-9]),  # … where both outcomes are as likely
    *(0.0, 0.7, 2.0, 4.0, 5.5, 6.5),
]


def digits(eta: float) -> float:
    """exp(−u) costs u units in the last place, since u = exp(η) is rounded."""
    return 4 * np.finfo(float).eps * max(1.0, float(np.exp(min(eta, 7.0))))


def exact(eta: float) -> dict[str, float]:
    """Log-likelihood, score and root of the information of y = 1, both probabilities and the density."""
    with mpmath.workdps(400 if eta > -800 else 9000):  # 1 − exp(−1e-4343) needs the digits
        u = mpmath.exp(mpmath.mpf(eta))
        p = -mpmath.expm1(-u)
        score = u / mpmath.expm1(u)
        found = {
            "loglik": mpmath.log(p),
            "score": score,
            "root": mpmath.sqrt(score * (score + u - 1)),
            "hazard": u,
            "root_hazard": mpmath.sqrt(u),
            "p": p,
            "q": mpmath.exp(-u),
            "density": u * mpmath.exp(-u),
        }
        return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("eta", SIDES)
def test_terms_have_their_digits_in_both_tails(eta: float) -> None:
    want, at = exact(eta), np.array([eta])
    tolerance = {"rtol": digits(eta), "atol": 1e-320}  # numbers below 1e-308 have fewer digits
    one, zero = (CLOGLOG.terms(np.array([y]), at) for y in (1.0, 0.0))
    np.testing.assert_allclose(np.ravel(one), [want["loglik"], want["score"], want["root"]], **tolerance)
    np.testing.assert_allclose(zero.score, -want["hazard"], **tolerance)
    np.testing.assert_array_equal(zero.loglik, zero.score)
    np.testing.assert_allclose(zero.root_weight, want["root_hazard"], **tolerance)
    found = [law(at)[0] for law in (CLOGLOG.probability, CLOGLOG.complement, CLOGLOG.density)]
    np.testing.assert_allclose(found, [want["p"], want["q"], want["density"]], **tolerance)
    for y, terms in ((1.0, one), (0.0, zero)):
        assert CLOGLOG.score(np.array([y]), at)[0] == terms.score[0]


def test_terms_stay_numbers_where_numbers_end() -> None:
    far = np.array([-np.inf, -1e12, 1e12, np.inf])
    for y in (0.0, 1.0):
        assert not np.isnan(np.array(CLOGLOG.terms(np.full(4, y), far))).any()
    hit = CLOGLOG.terms(np.ones(4), far)
    assert hit.loglik.tolist() == [-np.inf, -1e12, 0.0, 0.0]
    assert hit.score.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert not CLOGLOG.terms(np.zeros(2), far[:2]).loglik.any()
    assert (CLOGLOG.terms(np.zeros(2), far[2:]).score < -1e307).all()
    assert CLOGLOG.probability(far).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert CLOGLOG.complement(far).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert not CLOGLOG.density(far).any()


def log_likelihood(eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    hazard = torch.exp(eta)
    hit = torch.where(eta > 0, torch.log1p(-torch.exp(-hazard)), torch.log(-torch.expm1(-hazard)))
    return torch.where(y == 1, hit, -hazard)


def test_score_information_and_density_are_the_derivatives() -> None:
    y, eta = np.tile([0.0, 1.0], 60), np.linspace(-12, 3, 120)
    t = torch.tensor(eta, dtype=torch.float64, requires_grad=True)
    loglik = log_likelihood(t, torch.tensor(y))
    (first,) = torch.autograd.grad(loglik.sum(), t, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), t)
    terms = CLOGLOG.terms(y, eta)
    np.testing.assert_allclose(terms.loglik, loglik.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(terms.score, first.detach().numpy(), rtol=1e-10)
    # where u is small the automatic second derivative cancels: u/2 is a difference of numbers about one
    np.testing.assert_allclose(np.square(terms.root_weight), -second.numpy(), rtol=1e-8, atol=1e-14)
    (density,) = torch.autograd.grad(-torch.exp(-torch.exp(t)).sum(), t)
    np.testing.assert_allclose(CLOGLOG.density(eta), density.numpy(), rtol=1e-12)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 600
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "z": rng.exponential(size=n), "w": rng.integers(1, 4, n).astype(float)}
    )
    frame["shift"] = rng.normal(size=n) / 4
    hazard = np.exp(-0.3 + 0.8 * frame["x"] - 0.5 * frame["z"] + frame["shift"])
    frame["y"] = (rng.exponential(size=n) < hazard).astype(int)
    return frame


def peer_of(formula: str, frame: pd.DataFrame, **more: Any) -> Any:
    """statsmodels' model."""
    law = sm.families.Binomial(sm.families.links.CLogLog())
    return sm.GLM.from_formula(formula, frame, family=law, **more)


@pytest.mark.parametrize("table", ["made", "spector", "fair"])
def test_it_is_that_of_statsmodels(table: str, data: pd.DataFrame) -> None:
    """statsmodels' information is the observed one by Newton's method, else the expected one."""
    frame, formula = {
        "made": (data, "y ~ x + z + I(z**2)"),
        "spector": (de.datasets.spector(), "GRADE ~ GPA + TUCE + PSI"),
        "fair": (de.datasets.fair(), FAIR),
    }[table]
    res, model = de.CLogLog(formula).fit(frame), peer_of(formula, frame)
    peer = model.fit(method="newton", maxiter=200, tol=1e-14)
    for ours, theirs in ((res.params, peer.params), (res.bse, peer.bse), (res.llf, peer.llf)):
        np.testing.assert_allclose(ours, theirs, rtol=AGREE)
    np.testing.assert_allclose(res.params, model.fit(tol=1e-14, maxiter=200).params, rtol=IRLS)
    np.testing.assert_allclose(res.llnull, peer.llnull, rtol=AGREE)
    np.testing.assert_allclose(res.predict(frame), peer.predict(), rtol=AGREE)
    for mine, name in ((res.resid_pearson, "resid_pearson"), (res.resid_deviance, "resid_deviance")):
        np.testing.assert_allclose(mine, getattr(peer, name), rtol=1e-6)
    expected = np.sqrt(np.diagonal(np.linalg.inv(-model.hessian(res.params.to_numpy(), observed=False))))
    assert (np.abs(expected / res.bse - 1) > 1e-4).any()  # so the two can be told apart


def test_errors_are_those_of_the_log_likelihood(data: pd.DataFrame) -> None:
    """Inverse Hessian by automatic derivatives, and the sandwich of automatic scores."""
    res = de.CLogLog("y ~ x + z").fit(data)
    X = torch.tensor(np.column_stack([np.ones(len(data)), data[["x", "z"]]]))
    y = torch.tensor(data["y"].to_numpy(dtype=np.float64))
    b = torch.tensor(res.params.to_numpy())
    H = torch.autograd.functional.hessian(lambda v: log_likelihood(X @ v, y).sum(), b)
    S = torch.autograd.functional.jacobian(lambda v: log_likelihood(X @ v, y), b).numpy()
    V = np.linalg.inv(-H.numpy())
    np.testing.assert_allclose(S.sum(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(res.cov_params(), V, rtol=AGREE)
    np.testing.assert_allclose(res.with_cov("HC0").cov_params(), V @ (S.T @ S) @ V, rtol=AGREE)


def test_an_outcome_turned_round_is_another_law(data: pd.DataFrame) -> None:
    """P(y = 0) is not P(y = 1) at −η: laws, residuals and simulated outcomes of a result know that."""
    res = de.CLogLog("y ~ x + z").fit(data)
    p, law = res.predict(data).to_numpy(), res.distribution(data)
    np.testing.assert_allclose(law.pdf(0.0), 1 - p, rtol=1e-12)
    np.testing.assert_allclose(law.pdf(1.0), p)
    drawn = res._refitting().law
    assert drawn is not None
    np.testing.assert_allclose(drawn.pdf(0.0), 1 - p, rtol=1e-12)
    np.testing.assert_allclose(res.resid_pearson, (data["y"] - p) / np.sqrt(p * (1 - p)), rtol=1e-12)
    turned = de.CLogLog("no ~ x + z").fit(data.assign(no=1 - data["y"]))
    assert abs(turned.llf - res.llf) > 0.1


@pytest.mark.parametrize("kind", ["dydx", "eyex", "dyex", "eydx"])
def test_margins_are_differences(kind: str, data: pd.DataFrame) -> None:
    """Effects and their delta-method errors, both by central differences of the probability."""
    res = de.CLogLog("y ~ x + I(x**2)").fit(data)
    x, beta, step = data["x"].to_numpy(), res.params.to_numpy(), 1e-4

    def effect(b: Any) -> Any:
        high, low = (-np.expm1(-np.exp(b[0] + b[1] * v + b[2] * v**2)) for v in (x + step, x - step))
        if kind in ("eyex", "eydx"):
            high, low = np.log(high), np.log(low)
        return ((high - low) / (2 * step) * (x if kind in ("dyex", "eyex") else 1.0)).mean()

    moves = [effect(beta + 1e-4 * e) - effect(beta - 1e-4 * e) for e in np.eye(3)]
    gradient = np.array(moves) / 2e-4
    ours = res.get_margeff(method=kind)
    np.testing.assert_allclose(ours.params, effect(beta), rtol=1e-6)
    np.testing.assert_allclose(
        ours.bse, np.sqrt(gradient @ res.cov_params().to_numpy() @ gradient), rtol=1e-5
    )


def test_many_fits_at_once_are_those_alone() -> None:
    def rows(rng: np.random.Generator) -> dict[str, Any]:
        x = rng.normal(size=80)
        return {"x": x, "y": (rng.exponential(size=80) < np.exp(0.8 * x - 0.5)).astype(float)}

    def alone(table: dict[str, Any]) -> Any:
        return de.CLogLog("y ~ x").fit(table)

    study = de.MonteCarlo(rows, {"together": de.CLogLog("y ~ x"), "alone": alone}, truth={"x": 0.8})
    mc = study.run(reps=60, seed=2)
    together, one_by_one = (mc.numbers(None, name)[1] for name in ("together", "alone"))
    np.testing.assert_allclose(together[:, :, :4], one_by_one[:, :, :4], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [300, 20_000])
def test_a_fit_survives_outcomes_that_are_surprises(n: int) -> None:
    """Rows whose hazard at the first steps is 1e26 and more: the iterations still find the maximum."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=n), [60.0, -60.0, 90.0]])
    y = np.concatenate([rng.exponential(size=n) < np.exp(x[:n]), [False, True, False]]).astype(float)
    res = de.CLogLog("y ~ x").fit({"y": y, "x": x})
    assert res.converged
    score = CLOGLOG.score(y, res.predict(linear=True).to_numpy())
    np.testing.assert_allclose([score.sum(), score @ x], 0, atol=1e-7)


def test_odds_ratios_and_unknown_arguments_are_refused(data: pd.DataFrame) -> None:
    res = de.CLogLog("y ~ x").fit(data)
    with pytest.raises(OptionError, match="complementary log-log index"):
        res.odds_ratios()
    with pytest.raises(OptionError, match=r"de\.CLogLog\(formula\)\.fit\(data\)"):
        de.CLogLog("y ~ x", data)  # type: ignore[call-arg, misc]
    with pytest.raises(OptionError, match="separation"):
        de.CLogLog("y ~ x", separation="firth")
