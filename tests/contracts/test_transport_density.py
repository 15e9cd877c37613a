"""Laws by transport: the losses against exact distances and differences, nets that learn, files, refusals."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from scipy import integrate, stats

import disteconometrics as de
from disteconometrics.archive import read_archive, write_archive
from disteconometrics.distributions.pushed import PushedRows
from disteconometrics.errors import DataError, FormulaError, NeedsData, OptionError, OutcomeError
from disteconometrics.transport import discrete, one_dim
from disteconometrics.transport.sinkhorn import sinkhorn_divergence
from disteconometrics.transport.torch_losses import loss_of, sinkhorn_loss, sorted_loss


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 47)])
def test_sorted_loss_is_exact(p: int, n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=n), rng.gamma(2, size=m)
    value = sorted_loss(torch.from_numpy(x)[:, None], torch.from_numpy(y)[:, None], p)
    assert float(value) == pytest.approx(one_dim.wasserstein(x, y, p).cost, rel=1e-12)


def test_sliced_loss_is_the_sliced_distance_on_average() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(50, 3)))
    shift = torch.tensor([1.0, 2.0, 2.0])
    loss = loss_of(de.Sliced(projections=20_000), torch.Generator().manual_seed(1))
    assert float(loss(x, x + shift)) == pytest.approx(9 / 3, rel=0.03)  # ‖shift‖²/d


@pytest.mark.parametrize("p", [1, 2])
def test_sinkhorn_loss_and_its_gradient(p: int) -> None:
    """The gradient under fixed plans is that of the divergence."""
    rng = np.random.default_rng(p)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(25, 2)) + 1.0
    draws = torch.from_numpy(x).requires_grad_()
    value = sinkhorn_loss(draws, torch.from_numpy(y), p, blur=0.5, tolerance=1e-9)
    value.backward()

    def at(x: np.ndarray) -> float:
        return sinkhorn_divergence(x, y, p, blur=0.5, tolerance=1e-10, iterations=5_000).value

    assert float(value.detach()) == pytest.approx(at(x), rel=1e-9)
    size = 1e-3 if p == 1 else 1e-4  # a distance of zero is known to 1e-8 only
    for i, j in ((0, 0), (7, 1)):
        step = np.zeros_like(x)
        step[i, j] = size
        assert float(draws.grad[i, j]) == pytest.approx((at(x + step) - at(x - step)) / (2 * size), rel=1e-4)


def test_on_the_line_the_map_is_the_quantile_function() -> None:
    engel = de.datasets.engel()
    res = de.TransportDensity("foodexp ~ 1").fit(engel)
    law = res.distribution()
    assert law.quantile(0.25) == np.quantile(engel["foodexp"], 0.25, method="inverted_cdf")
    assert law.mean() == pytest.approx(engel["foodexp"].mean())
    assert res.estimates.table()["estimate"]["std"] == pytest.approx(engel["foodexp"].std(ddof=0))
    assert "No net was trained" in str(res)
    assert res.tidy()["term"].tolist()[:2] == ["mean", "std"]
    with pytest.raises(OptionError, match="no density"):
        law.pdf(500.0)
    with pytest.raises(OptionError, match="Nothing was trained"):
        res.plot_history()


@pytest.mark.parametrize(
    ("loss", "steps", "batch"),
    [(de.Sorted(), 300, 512), (de.Sliced(projections=1), 300, 512), (de.Sinkhorn(blur=0.1), 120, 128)],
)
def test_a_net_learns_two_modes(loss: object, steps: int, batch: int) -> None:
    """W2² of the lecture's net to the population's quantile function, trained for less than its 500 steps;
    it begins above .5.
    """
    how = de.Adam(lr=1e-3 if batch == 512 else 5e-3, steps=steps, batch=batch)
    model = de.TransportDensity("y ~ 1", map=de.MLP(32, 32), loss=loss, train=how)
    res = model.fit(de.dgps.Bimodal(), seed=1)
    u = (np.arange(20_000) + 0.5) / 20_000
    gap = res.distribution().quantile(u) - de.dgps.Bimodal().law({}).quantile(u)
    assert np.mean(gap**2) < 0.04  # 9 seeds: .002 ± .002 (sorted, sliced), .010 ± .006 (Sinkhorn)
    assert res.history["loss"].min() >= 0
    assert res.facts.fresh == batch
    if isinstance(loss, de.Sorted):
        assert model.fit(de.dgps.Bimodal(), seed=1).history["loss"].equals(res.history["loss"])


def test_joint_outcomes_come_near_rows_held_out_and_do_not_repeat_the_data() -> None:
    rng = np.random.default_rng(0)
    centre = np.where(rng.random((1_000, 1)) < 0.5, -2.0, 2.0)
    Y = centre + rng.normal(size=(1_000, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    table = {"a": Y[:, 0], "b": 1_000 * Y[:, 1]}
    res = de.TransportDensity("a + b ~ 1", train=de.AdamW(lr=3e-3, steps=600, batch=256)).fit(table, seed=0)
    assert res.facts.w2_of_draws < 2.5 * res.facts.w2_of_training  # 10 seeds: 1.07 ± .30; few rows held out
    assert res.facts.nearest_ratio > 0.5  # .99 ± .09
    draws = res.distribution().sample(800, seed=1)
    unit = Y.std(axis=0) * [1, 1_000]
    assert (
        discrete.wasserstein(draws / unit, np.column_stack([Y[:800, 0], 1_000 * Y[:800, 1]]) / unit).distance
        < 0.26  # .151 ± .021
    )
    file = io.BytesIO()
    res.save(file)
    again = de.load(io.BytesIO(file.getvalue()))
    np.testing.assert_array_equal(
        again.distribution().sample(5, seed=3), res.distribution().sample(5, seed=3)
    )
    assert str(again) == str(res)
    with pytest.raises(NeedsData, match="no rows"):
        again.plot()


@pytest.mark.parametrize(
    ("formula", "options", "error", "text"),
    [
        ("y + z ~ x", {}, FormulaError, "one by one"),
        ("y ~ x", {"loss": de.Sliced()}, OptionError, "leave loss out"),
        ("y + x ~ 1", {"loss": de.Sorted()}, OptionError, "Sliced"),
        ("y ~ 1", {"map": "net"}, OptionError, "de.MLP"),
        ("y ~ 1", {"loss": "sorted"}, OptionError, "de.Sorted"),
        ("y ~ 1", {"map": de.MLP(4), "train": de.LBFGS()}, OptionError, "fresh noise"),
        ("c ~ 1", {}, OutcomeError, "no variation"),
    ],
)
def test_refusals(formula: str, options: dict[str, object], error: type[Exception], text: str) -> None:
    rng = np.random.default_rng(0)
    table = {"y": rng.normal(size=40), "x": rng.normal(size=40), "c": np.ones(40), "z": rng.normal(size=40)}
    with pytest.raises(error, match=text):
        de.TransportDensity(formula, **options).fit(table, seed=0)
    with pytest.raises(DataError, match="too few"):
        de.TransportDensity("y ~ 1").fit({"y": table["y"][:5]})
    for wrong in (
        lambda: de.MLP(),
        lambda: de.MLP(8, activation="x"),
        lambda: de.Sinkhorn(p=3),
        lambda: de.Sliced(projections=0),
    ):
        with pytest.raises(OptionError):
            wrong()


def test_weights_are_rows_or_chances_of_rows(tmp_path) -> None:
    """Frequency weights are repeated rows to the last bit; a net meets rows by their weights."""
    engel = de.datasets.engel()
    w = (engel["income"] < 900) * 2 + 1
    res = de.TransportDensity("foodexp ~ 1", weights="w", weight_type="frequency").fit(engel.assign(w=w))
    rows = de.TransportDensity("foodexp ~ 1").fit(engel.loc[np.repeat(engel.index, w)])
    assert res.params.equals(rows.params)
    assert res.nobs == rows.nobs == w.sum()
    res.save(tmp_path / "law.npz")
    assert de.load(tmp_path / "law.npz").params.equals(res.params)
    ax = res.plot()
    assert ax.get_xlabel() == "quantile of foodexp, data"
    plt.close(ax.figure)
    two = {
        "y": np.repeat([0.0, 1.0], 500) + 0.01 * np.random.default_rng(0).normal(size=1_000),
        "w": np.repeat([3.0, 1.0], 500),
    }
    model = de.TransportDensity(
        "y ~ 1",
        map=de.MLP(16),
        train=de.Adam(lr=0.01, steps=400, batch=256, schedule="one-cycle"),
        weights="w",
        weight_type="sampling",
    )
    # 10 seeds: .2465 ± .0039
    assert model.fit(two, seed=0).distribution().mean() == pytest.approx(0.25, abs=0.025)
    with pytest.raises(OptionError, match="sampler"):
        model.fit(lambda rng, n: {"y": rng.normal(size=n)})
    with pytest.raises(OptionError, match="validation"):
        de.TransportDensity("y ~ 1", train=de.Adam(validation=0.2), weights="w", weight_type="sampling")


OLD_NAMES = {
    "y ~ x": {"crps": "distance", "crps_without_covariates": "floor"},
    "y ~ 1": {"w2_of_draws": "distance", "w2_of_training": "floor", "nearest_ratio": "nearest"},
}


@pytest.mark.filterwarnings("ignore:The loss still fell")  # few steps, for speed
@pytest.mark.parametrize("formula", OLD_NAMES)
def test_files_of_the_first_version_name_distances_and_scores_alike(formula: str) -> None:
    rng = np.random.default_rng(0)
    table = {"x": rng.normal(size=200), "y": rng.normal(size=200)}
    model = de.TransportDensity(formula, map=de.MLP(4), train=de.Adam(steps=5, batch=50))
    res, file = model.fit(table, seed=0), io.BytesIO()
    res.save(file)
    kind, header, arrays = read_archive(io.BytesIO(file.getvalue()))
    old = OLD_NAMES[formula]
    facts = {old.get(name, name): value for name, value in header["facts"].items()}
    for name in ("loglik", "fingerprint", "crps", "w2_of_draws", "w2_of_training", "nearest_ratio"):
        facts.pop(name, None)
    facts.pop("crps_without_covariates", None)
    header["facts"] = {**facts, "functionals": {"mean": 1.0}}
    write_archive(written := io.BytesIO(), kind, header, arrays)
    loaded = de.load(io.BytesIO(written.getvalue()))
    assert str(loaded) == str(res)
    assert loaded.params.equals(res.params)
    assert loaded.attach(table).rows is not None  # without a fingerprint the functionals tell
    with pytest.raises(DataError, match="does not hold the rows"):
        loaded.attach({name: values + 1 for name, values in table.items()})


def test_laws_by_straight_quantile_functions() -> None:
    """Distribution function and quantiles invert each other; mean and score are those of numeric integrals;
    draws follow it.
    """
    rng = np.random.default_rng(0)
    levels = np.concatenate([[0.0], np.sort(rng.random(9)), [1.0]])
    law = PushedRows(levels, np.cumsum(rng.gamma(1, size=(3, 11)), axis=1))
    tau = np.linspace(0.001, 0.999, 400)
    q = law.quantile(tau)
    np.testing.assert_allclose(law.cdf(q), np.broadcast_to(tau, q.shape), atol=1e-12)
    assert (np.diff(q, axis=1) > 0).all()
    for i, y in ((0, 2.0), (1, -1.0), (2, 50.0)):
        one = PushedRows(levels, law.values[[i]])
        low, high = float(one.values[0, 0]), float(one.values[0, -1])
        pieces = np.unique([min(low, y), *one.values[0], y, max(high, y)])
        square = lambda t, y=y, one=one: (float(one.cdf([t])[0]) - (t >= y)) ** 2  # noqa: E731
        exact = sum(integrate.quad(square, a, b, epsabs=1e-12)[0] for a, b in pairwise(pieces))
        assert de.scores.crps(one, [y])[0] == pytest.approx(exact, rel=1e-9)
        mean = sum(
            integrate.quad(lambda t, one=one: float(one.quantile(t)[0]), a, b)[0] for a, b in pairwise(levels)
        )
        assert one.mean()[0] == pytest.approx(mean, rel=1e-9)
        assert (
            stats.kstest(one.sample(2_000, seed=1)[0], lambda t, one=one: one.cdf(t[None, :])[0]).pvalue
            > 1e-3
        )
    with pytest.raises(OptionError, match="no density"):
        law.pdf(1.0)


@pytest.mark.filterwarnings("ignore:The loss still fell")  # few steps, for speed
def test_given_covariates_quantiles_move_and_never_cross(tmp_path) -> None:
    """Location and scale that move with x are learned; the score beats the law without covariates;
    files and weights.
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, 2_000)
    table = {"x": x, "y": 1 + 2 * x + (1 + 0.4 * x) * rng.normal(size=2_000), "w": np.ones(2_000)}
    model = de.TransportDensity("y ~ x", train=de.AdamW(lr=5e-3, steps=600, batch=512, validation=0.2))
    res = model.fit(table, seed=0)
    grid = np.array([-1.5, 0.0, 1.5])
    q = res.distribution({"x": grid}).quantile([0.1, 0.5, 0.9])
    truth = 1 + 2 * grid[:, None] + (1 + 0.4 * grid[:, None]) * stats.norm.ppf([0.1, 0.5, 0.9])
    np.testing.assert_allclose(q, truth, atol=0.5)  # 10 seeds, the largest of nine: .19 ± .05
    assert (np.diff(res.distribution().quantile(np.linspace(0, 1, 101)), axis=1) > 0).all()
    assert res.facts.crps < 0.5 * res.facts.crps_without_covariates  # .392 ± .013
    assert "CRPS of the net" in str(res.summary())
    assert res.params["mean"] == pytest.approx(table["y"].mean(), abs=0.15)  # .027 ± .022
    res.save(tmp_path / "law.npz")
    again = de.load(tmp_path / "law.npz")
    np.testing.assert_array_equal(again.distribution({"x": grid}).quantile([0.1, 0.5, 0.9]), q)
    assert again.params.equals(res.params)
    with pytest.raises(NeedsData, match="covariates"):
        again.distribution()
    short = de.AdamW(steps=20, batch=256)
    plain, weighed = (
        de.TransportDensity("y ~ x", train=short, **w).fit(table, seed=1)
        for w in ({}, {"weights": "w", "weight_type": "frequency"})
    )
    np.testing.assert_allclose(
        weighed.distribution().quantile(0.3), plain.distribution().quantile(0.3), rtol=1e-4
    )
    halves = {**table, "w": np.where(x > 0, 1.0, 1e-9)}  # the law without covariates is weighed as well
    far = de.TransportDensity("y ~ x", train=short, weights="w", weight_type="sampling").fit(halves, seed=1)
    assert (
        far.facts.crps_without_covariates < 0.85 * plain.facts.crps_without_covariates
    )  # 9 seeds: .71 ± .03, 1 without weights
    with pytest.raises(OptionError, match="sampler"):
        model.fit(lambda rng, n: {"x": rng.normal(size=n), "y": rng.normal(size=n)})
