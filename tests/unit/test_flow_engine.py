"""The monotone-spline engine as arrays: derivatives, bases, constraints, smoothing,
leave-one-out, collapses.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from disteconometrics.estimators.flow.spline_fit import Fitted, SplinePlan, fit_flow, rougher
from disteconometrics.estimators.flow.spline_sample import SplineSample, centre_of, order_statistics
from disteconometrics.likelihoods.monotone import BASES, evaluate
from disteconometrics.likelihoods.splines import SlopeBasis, b_splines

Array = np.ndarray
AUTODIFF = 1e-9  # relative, float64 against float64
COLLAPSE = 1e-8  # Newton's decrement ends far below it


def sample(n: int = 300, seed: int = 0, columns: int = 2, dummy: bool = True) -> SplineSample:
    """A heteroskedastic, skewed outcome."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, columns))
    if dummy:
        X[:, -1] = rng.integers(0, 2, n)
    y = X @ np.linspace(0.5, 1.0, columns) + np.exp(0.3 * X[:, 0]) * rng.gumbel(size=n)
    return SplineSample(y, X, tuple((j,) for j in range(columns)))


def logpdf(f: Fitted, y: Array, X: Array) -> Array:
    r = (y - f.centre.location(X)) / f.centre.scale
    A, D = f.structure.arrays(r, X)
    return np.asarray(
        BASES[f.base].logpdf(A @ f.smooth.theta) + np.log(D @ f.smooth.theta) - np.log(f.centre.scale)
    )


@pytest.mark.parametrize("structure", ["linear", "shape", "tensor"])
@pytest.mark.parametrize("base", ["normal", "logistic"])
def test_score_and_information_are_the_derivatives(structure: str, base: str) -> None:
    s = sample(columns=1, dummy=False)
    f = fit_flow(s, SplinePlan(structure, base))
    rows = f.problem.rows
    A, D = torch.tensor(rows.A), torch.tensor(rows.D)

    def loglik(theta: torch.Tensor) -> torch.Tensor:
        z, slope = A @ theta, D @ theta
        log_base = -0.5 * z**2 if base == "normal" else -z - 2 * torch.nn.functional.softplus(-z)
        return (log_base + torch.log(slope)).sum()

    theta = torch.tensor(f.smooth.theta * 1.01)
    score = torch.autograd.functional.jacobian(loglik, theta).numpy()
    information = -torch.autograd.functional.hessian(loglik, theta).numpy()
    ours = evaluate(rows, BASES[base], rows.A @ theta.numpy(), rows.D @ theta.numpy())
    np.testing.assert_allclose(ours.score, score, rtol=AUTODIFF, atol=AUTODIFF * np.abs(score).max())
    np.testing.assert_allclose(
        ours.information, information, rtol=AUTODIFF, atol=AUTODIFF * np.abs(information).max()
    )


def test_slope_functions_are_a_partition_and_their_integrals_integrate() -> None:
    rng = np.random.default_rng(1)
    basis = SlopeBasis(np.sort(rng.normal(size=9)))
    ends = np.concatenate([[-6.0], basis.knots, [6.0]])
    t = np.sort(np.concatenate([ends, (ends[1:] + ends[:-1]) / 2]))
    area, slope = basis.evaluate(t)
    np.testing.assert_allclose(slope.sum(axis=1), 1.0, rtol=1e-12)
    assert slope.min() >= -1e-15
    simpson = (
        np.diff(t[::2])[:, None] * (slope[:-2:2] + 4 * slope[1::2] + slope[2::2]) / 6
    )  # exact for quadratics
    np.testing.assert_allclose(np.diff(area[::2], axis=0), simpson, atol=1e-13)
    np.testing.assert_allclose(b_splines(t, basis.knots, 3).sum(axis=1), 1.0, rtol=1e-12)


def test_ranks_of_weighted_rows_are_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(2)
    y, w = rng.normal(size=40), rng.integers(1, 5, 40).astype(float)
    ranks = np.linspace(0, w.sum() - 1, 57)
    np.testing.assert_array_equal(
        order_statistics(y, w, ranks), order_statistics(np.repeat(y, w.astype(int)), None, ranks)
    )


def test_linear_normal_is_least_squares() -> None:
    s = sample()
    f = fit_flow(s, SplinePlan("linear", "normal"))
    Z = np.column_stack([np.ones(len(s.y)), s.X])
    e = s.y - Z @ np.linalg.lstsq(Z, s.y, rcond=None)[0]
    expected = stats.norm.logpdf(e, scale=np.sqrt(np.mean(e**2)))
    np.testing.assert_allclose(logpdf(f, s.y, s.X), expected, atol=COLLAPSE)


def test_linear_logistic_is_its_maximum_likelihood() -> None:
    s = sample(columns=1, dummy=False)
    f = fit_flow(s, SplinePlan("linear", "logistic"))

    def negative(p: Array) -> float:
        return -float(stats.logistic.logpdf(s.y, p[0] + p[1] * s.X[:, 0], np.exp(p[2])).sum())

    best = optimize.minimize(negative, np.array([0.0, 0.5, 0.0]), method="BFGS", options={"gtol": 1e-9})
    assert f.loglik == pytest.approx(-best.fun, abs=1e-7)


def test_penalties_without_bound_give_the_linear_model() -> None:
    s = sample(columns=1, dummy=False)
    linear, free = fit_flow(s, SplinePlan("linear", "normal")), fit_flow(s, SplinePlan("shape", "normal"))
    smoothest = replace(free.smooth, lam=np.full(len(free.smooth.lam), 1e7))
    stiff = rougher(replace(free, smooth=smoothest), 10.0)
    # the baseline's penalty leaves its slope a line in the knots' index; on knots that are normal scores that
    # is near linear
    assert abs(stiff.loglik - linear.loglik) < 0.25 * abs(free.loglik - linear.loglik)
    assert stiff.smooth.effective.sum() < 4.1


def test_weights_that_count_are_rows() -> None:
    s = sample(120)
    w = np.random.default_rng(3).integers(1, 4, 120)
    weighted = fit_flow(replace(s, weights=w.astype(float), counts=True), SplinePlan("scale", "logistic"))
    repeated = fit_flow(
        SplineSample(np.repeat(s.y, w), np.repeat(s.X, w, axis=0), s.groups), SplinePlan("scale", "logistic")
    )
    np.testing.assert_allclose(
        logpdf(weighted, s.y, s.X), logpdf(repeated, s.y, s.X), atol=1e-6
    )  # λ stop at 3e-3 in logs


def test_leave_one_out_is_a_newton_step_without_the_row() -> None:
    s = sample(80, columns=1, dummy=False)
    f = fit_flow(s, SplinePlan("scale", "logistic"))
    m, p = f.smooth, f.problem
    H = np.linalg.inv(m.root @ m.root.T)
    z, slope = p.rows.A @ m.theta, p.rows.D @ m.theta
    for i in (0, 17, 79):
        one = evaluate(type(p.rows)(p.rows.A[[i]], p.rows.D[[i]]), p.base, z[[i]], slope[[i]])
        step = np.linalg.solve(H - one.information, -one.score)
        a, d = p.rows.A[i] @ step, p.rows.D[i] @ step
        d = d * slope[i] / (slope[i] + abs(d)) if d < 0 else d
        expected = p.base.logpdf(np.array(z[i] + a)) + np.log(slope[i] + d) - np.log(f.centre.scale)
        assert f.loo[i] == pytest.approx(float(expected), rel=1e-6)


def test_units_do_not_matter() -> None:
    s = sample(200)
    moved = replace(s, y=1e6 + 1e3 * s.y, X=s.X * 1e5 - 7)
    a, b = fit_flow(s, SplinePlan()), fit_flow(moved, SplinePlan())
    assert (a.name, a.base) == (b.name, b.base)
    np.testing.assert_allclose(logpdf(a, s.y, s.X), logpdf(b, moved.y, moved.X) + np.log(1e3), atol=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_no_slope_is_negative_anywhere_in_the_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    K = int(rng.integers(1, 5))
    s = sample(int(rng.integers(60, 500)), seed, K, dummy=K > 1)
    f = fit_flow(s, SplinePlan("tensor" if K == 1 else "shape", "auto"))
    assert f.smooth.converged
    m = 10_000
    low, high = s.X.min(axis=0), s.X.max(axis=0)
    X = rng.uniform(low, high, (m, K))
    corners = rng.random((m, K))
    X = np.where(
        corners < 0.15, low, np.where(corners > 0.85, high, X)
    )  # many on the edges, where it would show
    r = rng.uniform(f.structure.basis.knots[0] - 1, f.structure.basis.knots[-1] + 1, m)
    _, D = f.structure.arrays(r, X)
    assert (D @ f.smooth.theta).min() > 0


def test_a_centre_survives_one_absurd_row() -> None:
    rng = np.random.default_rng(5)
    y = rng.normal(size=500)
    y[0] = 1e6
    assert centre_of(SplineSample(y, np.zeros((500, 0)), ())).scale == pytest.approx(1.0, abs=0.2)
