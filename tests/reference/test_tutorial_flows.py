"""The flows that tutorials of other libraries train, in our words, at the fit those libraries reach or
better.

Bars are held-out excesses over the truth in nats (negative log density less that of the law the rows come
from, on 20,000 fresh draws) which nflows, normflows and Pyro reach at the settings of their own tutorials;
``tests/benchmarks/bench_tutorials.py`` trains both sides in one run, with times.  Training carries rounding
into the second digit, so beside every bar stand mean ± standard deviation of one fit over ten seeds, as
measured on 2026-11-28.  The two that train longest run behind the marker ``slow``; by default couplings and
planar layers are held to the laws of flows in `tests/contracts/test_flows.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

import disteconometrics as de

FRESH = 20_000


def rows(process: Any, n: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows to fit and fresh ones."""
    rng = np.random.default_rng(seed)
    return process(rng, n=n), process(rng, n=FRESH)


def over(process: Any, law: Any, table: dict[str, Any], names: tuple[str, ...]) -> float:
    """Negative log density of a law on rows, less the truth's."""
    y = np.column_stack([table[k] for k in names])
    truth = process.joint_logpdf(table) if len(names) > 1 else process.logpdf(table)
    return float(np.mean(truth - law.logpdf(y if len(names) > 1 else y[:, 0])))


def test_masked_spline_of_the_lecture() -> None:
    """8 bins, hidden 8, bound 5: nearer than the truth on its own rows, as nflows after 1,001 Adam steps
    (−.0016).
    """
    process, inside = de.dgps.Bimodal(), []
    model = de.FlowDensity(
        "y ~ 1",
        flow=de.Autoregressive(de.RQS(8, tail_bound=5.0), hidden=(8,)),
        train=de.LBFGS(steps=100),
    )
    for seed in range(6):
        table, _ = rows(process, 2_000, seed)
        res = model.fit(table, seed=seed)
        inside.append(over(process, res.distribution(), table, ("y",)))
        assert res.history["loss"].iloc[-1] < res.history["loss"].iloc[0]  # falls by .109 ± .004
    assert np.mean(inside) <= 0.0  # 10 seeds: −.0040 ± .0019, the mean of six ± .0008


@pytest.mark.slow
def test_sixteen_couplings_on_fresh_rows() -> None:
    """16 affine couplings with LU mixing, fresh batches of 512, a one-cycle rate: normflows reaches .041."""
    process = de.dgps.UniformNormal()
    flow = de.Coupling(de.AffineMap(), layers=16, hidden=(64, 64), mix="lu")
    train = de.Adam(lr=3e-3, steps=800, batch=512, weight_decay=1e-5, schedule="one-cycle")
    res = de.FlowDensity("a + b ~ 1", flow=flow, train=train).fit(process, seed=0)
    # 6 seeds: .0142 ± .0020; at a constant rate .0288 ± .0091
    assert over(process, res.distribution(), rows(process, 1, 7)[1], ("a", "b")) <= 0.041
    draws, logpdf = res.distribution().sample(1_000, seed=1, return_logpdf=True)
    np.testing.assert_allclose(logpdf, res.distribution().logpdf(draws), rtol=1e-6)
    ks = stats.kstest(
        res.distribution().marginal("a", draws=2_000).sample(2_000, seed=2), stats.uniform(1, 1).cdf
    )
    assert ks.statistic < 0.08  # 6 seeds: .027 ± .006


def excesses(model: Any, names: tuple[str, ...], process: Any, seeds: int) -> Iterator[tuple[Any, float]]:
    for seed in range(seeds):
        table, fresh = rows(process, 1_000, seed)
        res = model.fit(table, seed=seed)
        yield res, over(process, res.distribution(), fresh, names)


def test_circles_by_an_elementwise_spline_learn_the_marginals_alone() -> None:
    """Pyro reaches .87; no product of marginals is below .777."""
    model = de.FlowDensity("x1 + x2 ~ 1", flow=de.RQS(16), train=de.Adam(lr=1e-2, steps=1_001))
    found = [e for _, e in excesses(model, ("x1", "x2"), de.dgps.TwoCircles(), 3)]
    assert 0.76 <= np.mean(found) <= 0.87  # 10 seeds: .797 ± .009, the mean of three ± .005


def test_circles_by_a_spline_coupling() -> None:
    """Pyro reaches .28 with 5,001 steps and no rows held out."""
    train = de.Adam(lr=5e-3, steps=5_001, validation=0.2, patience=750)
    model = de.FlowDensity("x1 + x2 ~ 1", flow=de.Coupling(de.RQS(16), layers=2), train=train)
    found = [e for _, e in excesses(model, ("x1", "x2"), de.dgps.TwoCircles(), 1)]
    assert np.mean(found) <= 0.28  # 10 seeds: .155 ± .023


def kernel_cdf(table: dict[str, Any], x1: Any, x2: Any, width: float) -> Any:
    """F(x2 | x1) (len(x1), len(x2)) by shares of rows weighted with a normal kernel of x1."""
    w = np.exp(-0.5 * ((table["x1"][:, None] - x1) / width) ** 2)
    return (w / w.sum(axis=0)).T @ (table["x2"][:, None] <= x2)


def test_circles_as_a_marginal_times_a_conditional_law() -> None:
    """Pyro reaches .21 by a conditional spline; x2 given x1 comes nearer to the truth than the best kernel
    estimate.

    A spline behind the net, in place of the mixture, has .15 ± .045 of excess in x2 given x1 alone, where the
    mixture has .072 ± .007, and lies .100 ± .020 from the truth.
    """
    process = de.dgps.TwoCircles()
    x1, x2 = np.array([-1.4, -1.0, -0.5, 0.0, 0.5, 1.0, 1.4]), np.linspace(-2.2, 2.2, 401)
    grid = np.broadcast_to(x2, (len(x1), len(x2)))
    truth = process.law({"x1": x1}).cdf(grid)
    marginal = de.FlowDensity("x1 ~ 1", flow=de.RQS(16), train=de.Adam(lr=1e-2, steps=1_000))
    given = de.FlowDensity("x2 ~ x1", flow=de.MixtureCDF(8, hidden=(64, 64)))
    found, distances, kernels = [], [], []
    for seed, (res, excess) in enumerate(excesses(de.joint(marginal, given), ("x1", "x2"), process, 3)):
        found.append(excess)
        cdf = res.parts[1].distribution({"x1": x1}).cdf(grid)
        distances.append(np.abs(cdf - truth).max(axis=1).mean())
        table, _ = rows(process, 1_000, seed)
        by_width = [
            np.abs(kernel_cdf(table, x1, x2, h) - truth).max(axis=1).mean() for h in (0.08, 0.1, 0.12)
        ]
        kernels.append(min(by_width))
    assert np.mean(found) <= 0.12  # 10 seeds: .085 ± .007, the mean of three ± .004
    assert np.mean(distances) < 0.1  # Kolmogorov's, mean over x1; 10 seeds: .072 ± .010, of three ± .006
    assert np.mean(distances) < np.mean(kernels)  # by .037 ± .012, of three ± .007


@pytest.mark.slow
def test_planar_layers_are_trained_one_way_and_sampled_the_other() -> None:
    """Eight layers: excess at most .1, inverse to 1e-10, draws near the truth; noise pushed through the
    trained map is not.
    """
    process, names, found, distances = de.dgps.NoisySine(), ("x1", "x2"), [], []
    truth = [
        np.column_stack([t[k] for k in names])
        for t in (process(np.random.default_rng(s), n=4_000) for s in (91, 92))
    ]
    for res, excess in excesses(de.FlowDensity("x1 + x2 ~ 1", flow=de.Planar(8)), names, process, 3):
        found.append(excess)
        z = np.random.default_rng(5).normal(size=(10_000, 2))
        back = res.flow.to_noise(res.flow.to_data(z, np.zeros((1, 0))), np.zeros((1, 0)))[0]
        np.testing.assert_allclose(back, z, atol=1e-10)
        distances.append(energy(res.distribution().sample(4_000, seed=6), truth[0]))
    wrong_way = res.flow.to_noise(z[:4_000], np.zeros((1, 0)))[0]
    assert np.mean(found) <= 0.1  # 12 seeds: .052 ± .019, the mean of three ± .011
    # .004 ± .003, the mean of three ± .002; wrong way 2.9, and log of it ± .37
    assert np.mean(distances) <= 0.015 < 0.5 < energy(wrong_way, truth[0])
    assert energy(truth[1], truth[0]) < 0.005


def energy(x: Any, y: Any) -> float:
    return float(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())


def test_a_log_normal_by_fixed_maps() -> None:
    """exp(3 + .5·z) has the density, distribution and quantiles of a log-normal."""
    law, exact = de.law(de.Normal(), [de.Affine(3.0, 0.5), de.Exp()]), stats.lognorm(0.5, scale=np.exp(3.0))
    y = exact.ppf([1e-6, 0.1, 0.5, 0.9, 1 - 1e-6])
    np.testing.assert_allclose(law.logpdf(y), exact.logpdf(y), rtol=1e-13)
    np.testing.assert_allclose(law.cdf(y), exact.cdf(y), rtol=1e-12)
    np.testing.assert_allclose(law.quantile([0.1, 0.9]), exact.ppf([0.1, 0.9]), rtol=1e-13)
    assert abs(law.mean() - exact.mean()) < 1e-9
