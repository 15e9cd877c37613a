"""One table of laws over every flow: inverse, log-determinant, total mass, draws; training,
files and collapses.
"""

from __future__ import annotations

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import disteconometrics as de
from disteconometrics.archive import write_archive
from disteconometrics.errors import ConvergenceWarning, DataError, NeedsData, OptionError, OutcomeError
from disteconometrics.flows.fitted import FittedFlow
from disteconometrics.flows.recipes import chain_of, recipe_from, recipe_to

FLOWS = {
    "affine": de.AffineMap(),
    "location-scale": de.AffineMap("covariates", hidden=(8,)),
    "planar": de.Planar(3),
    "planar net": de.Planar(2, hidden=(6,)),
    "spline": de.RQS(bins=6, hidden=(8,)),
    "mixture": de.MixtureCDF(3, hidden=(8,)),
    "maf": de.Autoregressive(de.AffineMap(), layers=2, hidden=(8,)),
    "autoregressive spline": de.Autoregressive(de.RQS(5), layers=2, hidden=(8,)),
    "autoregressive mixture": de.Autoregressive(de.MixtureCDF(3), hidden=(8,)),
    "coupling": de.Coupling(de.AffineMap(), layers=2, hidden=(8,)),
    "spline coupling": de.Coupling(de.RQS(5), layers=2, hidden=(8,), mix="lu"),
    "chain": (de.AffineMap("covariates"), de.RQS(4), de.Autoregressive(de.MixtureCDF(2), hidden=(4,))),
}


def made(name: str, d: int, c: int) -> FittedFlow:
    """A flow whose parameters are moved away from where training begins."""
    rng = np.random.default_rng(d + 10 * c)
    base = "logistic" if "mixture" in name or name == "chain" else "normal"
    start = FittedFlow.begin(
        chain_of(FLOWS[name]),
        base,
        rng.normal(size=d),
        rng.uniform(0.5, 2, d),
        rng.normal(size=c),
        rng.uniform(1, 2, c),
        3,
    )
    return FittedFlow(
        start.chain,
        base,
        start.location,
        start.scale,
        start.x_location,
        start.x_scale,
        {k: v + 0.3 * rng.normal(size=v.shape) for k, v in start.parameters.items()},
    )


CASES = [(name, d, c) for name in FLOWS for d in (1, 2, 3) for c in (0, 2) if d > 1 or "coupling" not in name]


@pytest.mark.parametrize(("name", "d", "c"), CASES)
def test_inverse_and_log_determinant(name: str, d: int, c: int) -> None:
    flow = made(name, d, c)
    rng = np.random.default_rng(1)
    y, x = flow.location + flow.scale * rng.normal(size=(20, d)), rng.normal(size=(20, c))
    z, slope = flow.to_noise(y, x)
    np.testing.assert_allclose(flow.to_data(z, x), y, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        flow.to_noise(flow.to_data(3 * z, x), x)[0], 3 * z, rtol=1e-8, atol=1e-8
    )  # and far out
    for i in range(5):
        point = torch.from_numpy((y[i] - flow.location) / flow.scale)
        given = torch.from_numpy((x[i] - flow.x_location) / flow.x_scale)
        J = torch.autograd.functional.jacobian(lambda v, g=given: flow.module.to_noise(v, g)[0], point)
        assert abs(float(torch.linalg.slogdet(J)[1]) - np.log(flow.scale).sum() - slope[i]) < 1e-9
    base = (
        -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
        if flow.base == "normal"
        else -np.abs(z) - 2 * np.log1p(np.exp(-np.abs(z)))
    )
    np.testing.assert_allclose(flow.logpdf(y, x), base.sum(axis=1) + slope, rtol=1e-8, atol=1e-8)
    again = FittedFlow.from_parts(*flow.to_parts())
    assert recipe_from(recipe_to(flow.chain)) == flow.chain
    np.testing.assert_array_equal(again.logpdf(y, x), flow.logpdf(y, x))


@pytest.mark.parametrize("lead", [(6, 2), (1, 2), (2,), ()])
def test_gradients_of_the_spline(lead: tuple[int, ...]) -> None:
    """By hand against finite differences, alone and under vmap, with parameters that are shared by rows and
    that are not.
    """
    from disteconometrics.flows.rational_quadratic import Spline

    rng = torch.Generator().manual_seed(4)
    y = (3 * torch.randn(6, 2, generator=rng, dtype=torch.float64)).requires_grad_()
    raw = torch.randn(3, *lead, 14, generator=rng, dtype=torch.float64).requires_grad_()
    assert (y.abs() > 4).any()
    assert torch.autograd.gradcheck(
        lambda v, r: Spline.apply(v, r, 5, 4.0)[:2], (y, raw[0].detach().requires_grad_())
    )
    each = [Spline.apply(y, r, 5, 4.0)[:2] for r in raw]
    many = torch.func.vmap(lambda v, r: Spline.apply(v, r, 5, 4.0)[:2], (None, 0))(y, raw)
    for one, all_at_once in zip(zip(*each, strict=True), many, strict=True):
        torch.testing.assert_close(torch.stack(one), all_at_once)
    gradients = [
        torch.autograd.grad(sum((a * a).sum() for a in made), (y, raw)) for made in ([*sum(each, ())], many)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    "name", ["planar", "autoregressive spline", "autoregressive mixture", "spline coupling"]
)
def test_mass_is_one_and_draws_follow_the_density(name: str) -> None:
    from disteconometrics.distributions.flow_law import FlowJointLaw

    law = FlowJointLaw(made(name, 2, 0), ("a", "b"), np.zeros((1, 0)), single=True)
    draws = law.sample(20_000, seed=1)
    middle, spread = np.median(draws, axis=0), np.subtract(*np.quantile(draws, [0.9, 0.1], axis=0))
    t = np.linspace(
        -4, 4, 1501
    )  # y = middle + spread·sinh(t): fine in the middle, and the tails are all there
    A, B = (middle[j] + spread[j] * np.sinh(t) for j in (0, 1))
    cell = np.multiply.outer(spread[0] * np.cosh(t), spread[1] * np.cosh(t)) * (t[1] - t[0]) ** 2
    mass = law.pdf(np.stack(np.meshgrid(A, B, indexing="ij"), axis=-1)) * cell
    assert abs(mass.sum() - 1) < 1e-3
    corner = (
        mass[:751, :751].sum() - mass[750, :751].sum() / 2 - mass[:751, 750].sum() / 2 + mass[750, 750] / 4
    )
    share = np.mean((draws <= middle).all(axis=1))
    assert abs(corner - share) < 4 * 0.5 / np.sqrt(20_000)


def test_an_affine_flow_is_least_squares() -> None:
    engel = de.datasets.engel()
    res = de.FlowDensity("log(foodexp) ~ log(income)", flow=de.AffineMap()).fit(engel, seed=1)
    ols = de.NormalRegression("log(foodexp) ~ log(income)").fit(engel)
    new = {"income": [300.0, 1000.0, 4000.0]}
    np.testing.assert_allclose(res.distribution(new).quantile(0.5), ols.distribution(new).mean(), rtol=1e-8)
    assert abs(res.llf - ols.llf) < 1e-7 * abs(ols.llf)
    joint = de.FlowDensity("log(foodexp) + log(income) ~ 1", flow=de.AffineMap()).fit(engel, seed=1)
    Y = np.log(engel[["foodexp", "income"]].to_numpy())
    n, S = len(Y), np.cov(Y.T, bias=True)
    assert abs(joint.llf + 0.5 * n * (np.linalg.slogdet(2 * np.pi * S)[1] + 2)) < 1e-7 * abs(joint.llf)


def test_scalar_laws_of_trained_flows_obey_one_another() -> None:
    df = de.dgps.LocationScale()(np.random.default_rng(0), n=400)
    res = de.FlowDensity("y ~ x", flow=de.RQS(6, hidden=(8,)), train=de.Adam(lr=0.01, steps=150)).fit(
        df, seed=0
    )
    law = res.distribution({"x": [0.1, 0.9]})
    tau = np.array([1e-6, 0.1, 0.5, 0.9, 1 - 1e-6])
    q = law.quantile(tau)
    np.testing.assert_allclose(law.cdf(q), np.broadcast_to(tau, (2, 5)), atol=1e-9)
    step = 1e-5
    middle = q[:, 1:4]
    np.testing.assert_allclose(
        (law.cdf(middle + step) - law.cdf(middle - step)) / (2 * step), law.pdf(middle), rtol=1e-5
    )
    # 10 seeds: .016 ± .017
    np.testing.assert_allclose(law.mean(), law.sample(4000, seed=1).mean(axis=1), atol=0.1)


def test_without_covariates_a_conditional_flow_is_the_unconditional_one() -> None:
    """Nets have no part where nothing comes in, and a covariate that is constant is none."""
    df = de.dgps.Bimodal()(np.random.default_rng(0), n=300)
    fits = [
        de.FlowDensity("y ~ 1", flow=de.RQS(6, hidden=hidden), train=de.Adam(lr=0.02, steps=50)).fit(
            df, seed=0
        )
        for hidden in ((), (8,), (64, 64))
    ]
    for other in fits[1:]:
        np.testing.assert_array_equal(
            other.distribution().logpdf(df["y"]), fits[0].distribution().logpdf(df["y"])
        )


def test_a_mixture_behind_affine_maps_is_a_mixture_of_normals() -> None:
    """The law that a trained mixture gives has the density and distribution function of the flow itself."""
    from disteconometrics.distributions.flow_law import FlowLaw

    df = de.dgps.LocationScale()(np.random.default_rng(0), n=300)
    flow = (de.AffineMap("covariates"), de.MixtureCDF(3, hidden=(8,)))
    res = de.FlowDensity("y ~ x", flow=flow, train=de.Adam(lr=0.01, steps=100)).fit(df, seed=0)
    law, plain = res.distribution(), FlowLaw(res.flow, res.rows.covariates)
    assert isinstance(law, de.Mixture)
    np.testing.assert_allclose(law.logpdf(df["y"]), plain.logpdf(df["y"]), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(law.cdf(df["y"]), plain.cdf(df["y"]), rtol=1e-10)
    np.testing.assert_allclose(law.mean()[:5], FlowLaw(res.flow, res.rows.covariates[:5]).mean(), rtol=1e-8)


@pytest.mark.parametrize(
    ("flow", "formula"), [(de.MixtureCDF(2), "y ~ x"), (de.Autoregressive(de.MixtureCDF(2)), "y + x ~ 1")]
)
def test_held_out_transforms_are_uniform_where_the_flow_can_be_right(flow: object, formula: str) -> None:
    df = de.dgps.LocationScale()(np.random.default_rng(1), n=500)
    res = de.FlowDensity(formula, flow=flow, train=de.AdamW(steps=300, batch=128)).fit(df, seed=0)
    check, again = res.diagnose(3, seed=2), res.diagnose(3, seed=2)
    np.testing.assert_array_equal(check.pit, again.pit)
    assert check.ks < 0.08  # 10 seeds: .028 ± .010 and .036 ± .007; p = .005 is .077 and .082
    assert abs(check.coverage - 0.9) < 0.06  # .011 ± .005, .012 ± .010
    assert check.log_score.mean() < res.llf / res.nobs + 0.04  # lower by .042 ± .020, .059 ± .017
    assert (check.crps is None) == ("+" in formula)
    assert abs(check.calibration([0.5]).iloc[0, 0] - 0.5) < 0.1  # .010 ± .009, .007 ± .006


def test_a_trained_flow_checks_itself_by_simulation() -> None:
    y = np.random.default_rng(0).normal(2, 1, 80)
    res = de.FlowDensity("y ~ 1", flow=de.AffineMap()).fit({"y": y}, seed=0)
    check = res.monte_carlo(60, seed=1, progress=False)
    row = check.table().loc["mean"]
    assert row["truth"] == pytest.approx(y.mean())
    assert abs(row["bias"]) < 4 * row["bias_mcse"]
    assert abs(row["empirical_se"] / (y.std() / np.sqrt(80)) - 1) < 4 / np.sqrt(2 * 60)
    assert "without standard errors" in check.verdict
    with pytest.raises(OptionError, match="one outcome"):
        de.FlowDensity("y + z ~ 1", flow=de.AffineMap()).fit({"y": y, "z": y**2}, seed=0).monte_carlo(5)


def test_same_seed_same_bits_and_no_global_random_numbers() -> None:
    df = de.dgps.NoisySine()(np.random.default_rng(0), n=300)
    model = de.FlowDensity(
        "x1 + x2 ~ 1", flow=de.Planar(2), train=de.AdamW(steps=40, batch=64, validation=0.2)
    )
    before = torch.random.get_rng_state(), torch.get_num_threads()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the global state that must not move
    one, two, other = (model.fit(df, seed=s) for s in (1, 1, 2))
    assert one.llf == two.llf != other.llf
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == torch.get_num_threads()
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.filterwarnings("ignore:The loss still fell")  # few steps, for speed
def test_snapshots_files_and_what_they_refuse() -> None:
    df = de.dgps.NoisySine()(np.random.default_rng(0), n=300)
    res = de.FlowDensity(
        "x1 + x2 ~ 1", flow=de.Planar(2), train=de.Adam(lr=0.01, steps=60, snapshots=(0, 30))
    ).fit(df, seed=3)
    assert res.at_step(0).llf < res.at_step(30).llf < res.llf  # by 138 ± 43 and 57 ± 24 as it trains
    with pytest.raises(OptionError, match="kept are 0, 30"):
        res.at_step(10)
    file = io.BytesIO()
    res.save(file)
    back = de.load(io.BytesIO(file.getvalue()))
    assert str(back.summary()) == str(res.summary())
    points = np.column_stack([df["x1"], df["x2"]])
    np.testing.assert_array_equal(back.distribution().logpdf(points), res.distribution().logpdf(points))
    np.testing.assert_array_equal(
        back.at_step(30).distribution().logpdf(points), res.at_step(30).distribution().logpdf(points)
    )
    with pytest.raises(NeedsData):
        back.plot()
    again = back.attach(df)
    assert again.model == res.model
    assert again.at_step(30).llf == res.at_step(30).llf
    assert again.bootstrap(2, "mean[x1]", seed=1).draws.equals(res.bootstrap(2, "mean[x1]", seed=1).draws)
    with pytest.raises(DataError, match="rows of the fit"):
        back.attach({name: values[1:] for name, values in df.items()})
    with pytest.raises(OptionError, match="marginal"):
        res.distribution().cdf(points)


def test_a_file_of_a_trainer_that_is_not_known_trains_nothing_anew() -> None:
    res = de.FlowDensity("foodexp ~ 1", flow=de.RQS(4), train=de.Adam(steps=5)).fit(
        de.datasets.engel(), seed=0
    )
    header, arrays = res.whole_file()
    header.pop("train")  # as 0.1.0 wrote it
    file = io.BytesIO()
    write_archive(file, "TrainedFlow", header, arrays)
    back = de.load(io.BytesIO(file.getvalue())).attach(de.datasets.engel())
    assert back.llf == res.llf
    with pytest.raises(OptionError, match="did not keep the trainer"):
        back.diagnose(2)


@pytest.mark.filterwarnings("ignore:The loss still fell")  # few steps, for speed
def test_fresh_rows_are_not_given_back() -> None:
    how = de.Adam(steps=3, batch=16)
    res = de.FlowDensity("x1 + x2 ~ 1", flow=de.Planar(1), train=how).fit(de.dgps.TwoCircles(), seed=0)
    with pytest.raises(NeedsData, match="sampler"):
        res.attach(de.dgps.TwoCircles()(np.random.default_rng(0), n=50))


@pytest.mark.parametrize("bad", [{60}, set(range(60, 400))])
def test_a_loss_that_is_no_number_keeps_a_trained_state(bad: set[int]) -> None:
    y = de.dgps.Bimodal()(np.random.default_rng(0), n=500)
    how = de.Adam(lr=0.02, steps=200, callback=lambda s: float("nan") if s in bad else None)
    with pytest.warns(ConvergenceWarning, match="not finite"):
        res = de.FlowDensity("y ~ 1", flow=de.RQS(6), train=how).fit(y, seed=0)
    assert res.converged == (len(bad) == 1)
    assert res.llf / res.nobs > -res.history["loss"].iloc[0]
    assert np.isfinite(res.distribution().logpdf(y["y"])).all()


def test_an_interrupt_keeps_the_state_so_far() -> None:
    def stop(step: int) -> None:
        if step == 50:
            raise KeyboardInterrupt

    y = de.dgps.Bimodal()(np.random.default_rng(0), n=500)
    with pytest.warns(ConvergenceWarning, match="interrupted at step 50"):
        res = de.FlowDensity("y ~ 1", flow=de.RQS(6), train=de.Adam(lr=0.02, steps=200, callback=stop)).fit(
            y, seed=0
        )
    assert not res.converged
    assert len(res.history) == 50
    assert res.llf / res.nobs > -res.history["loss"].iloc[0]


def test_a_sampler_gives_fresh_rows() -> None:
    res = de.FlowDensity(
        "b ~ a",
        flow=de.AffineMap("covariates"),
        train=de.Adam(lr=0.05, steps=400, batch=1_024, schedule="one-cycle"),
    ).fit(de.dgps.UniformNormal(), seed=0)
    law = res.distribution({"a": [1.2, 1.8]})
    np.testing.assert_allclose(law.mean(), [1.2, 1.8], atol=0.05)  # 10 seeds: .013 ± .006
    np.testing.assert_allclose(law.std(), np.sqrt([1.2, 1.8]), rtol=0.03)  # .007 ± .003


def test_the_resampling_spread_is_that_of_the_mean() -> None:
    y = np.random.default_rng(0).normal(3, 2, 400)
    spread = (
        de.FlowDensity("y ~ 1", flow=de.AffineMap()).fit({"y": y}, seed=0).bootstrap(80, ["mean"], seed=1)
    )
    expected = y.std() / np.sqrt(400)
    assert abs(spread.table()["resampling_spread"]["mean"] / expected - 1) < 4 / np.sqrt(2 * 80)


def test_products_pool_the_orders_that_leave_one_out_prefers() -> None:
    df = de.dgps.UniformNormal()(np.random.default_rng(0), n=400)
    res = de.FlowDensity("a + b ~ 1").fit(df)
    assert res.trials["weight"].sum() == pytest.approx(1)
    assert res.spec.outcomes == ("a", "b")
    points = np.column_stack([df["a"], df["b"]])
    by_hand = sum(
        p.weight * np.exp(sum(r.distribution(df).logpdf(df[r.spec.outcome.name]) for r in p.parts))
        for p in res.products
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(res.distribution().pdf(points), by_hand, rtol=1e-9)
    assert abs(res.llf - np.log(by_hand).sum()) < 1e-8
    assert abs(res.distribution().marginal("a").mean() - np.mean(df["a"])) < 0.02


def test_auto_trains_a_net_where_six_covariates_ask_for_one() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000, 6))
    high = rng.random(2_000) < 1 / (1 + np.exp(-6 * X[:, 0] * X[:, 1]))
    df = {f"x{j}": X[:, j] for j in range(6)} | {
        "y": np.where(high, 2.0, -2.0) + 0.5 * rng.normal(size=2_000)
    }
    model = de.FlowDensity("y ~ x0 + x1 + x2 + x3 + x4 + x5")
    res = model.fit(df)  # the gain on rows held out, 10 seeds: .332 ± .046, two standard errors are .075
    assert res.facts.shared[0].startswith("Chosen by auto: on 400 rows held out")
    assert "Chosen by auto" in str(res)
    assert model.fit(df).llf == res.llf
    assert type(model.fit(df, cov="HC0")).__name__ == "FlowResults"
    df["y"] = X.sum(axis=1) + rng.random(2_000)  # 6 seeds: −.152 ± .021, two standard errors are .05
    assert "Tried by auto" in str(model.fit(df))


def test_a_joint_law_that_leaves_nothing_to_gain_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=2_000) + 4 * rng.integers(0, 2, 2_000)
    res = de.FlowDensity("y + z ~ 1").fit({"y": y, "z": 0.5 * y + rng.gumbel(size=2_000)})
    assert res.facts.rival.startswith("Not tried by auto")
    assert res.trials["order"].tolist() == [
        "y, then z",
        "z, then y",
    ]  # with a tensor the other has weight too
    assert all(p.flow.name != "tensor" for product in res.products for p in product.parts)
    y = 1.5 * rng.normal(size=2_000)  # a wave: the first order bends, and a tensor of the other gains .03
    res = de.FlowDensity("y + z ~ 1").fit({"y": y, "z": np.sin(2 * y) + 0.5 * rng.normal(size=2_000)})
    assert "tensor" in {p.flow.name for product in res.products for p in product.parts}


@pytest.mark.parametrize(
    ("formula", "options", "error", "text"),
    [
        ("y ~ 1", {"flow": de.Coupling(de.AffineMap())}, OptionError, "one outcome"),
        ("y + z ~ 1", {"flow": de.Planar(2)}, OutcomeError, "linearly dependent"),
        ("y + w ~ 1", {"flow": de.Planar(2), "support": "positive"}, OptionError, "one outcome"),
        ("y ~ 1", {"train": de.Adam()}, OptionError, "flows by name"),
        ("y ~ 1", {"flow": "planar"}, OptionError, "de.Planar"),
    ],
)
def test_refusals(formula: str, options: dict[str, object], error: type[Exception], text: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    with pytest.raises(error, match=text):
        de.FlowDensity(formula, **options).fit({"y": y, "z": 2 * y, "w": rng.normal(size=60)}, seed=0)  # type: ignore[arg-type]


# ---- whether a training has settled, and where it is computed ----------------------------------------------

SHORT = {
    "flow": lambda how: de.FlowDensity("income ~ 1", flow=de.RQS(8), train=how),
    "net": lambda how: de.TransportDensity("income ~ 1", map=de.MLP(8), train=how),
    "net, given": lambda how: de.TransportDensity("income ~ foodexp", map=de.MLP(8), train=how),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_training_has_converged_where_its_loss_has_settled(name: str) -> None:
    """Two steps are no optimum, a loss that falls to the last step is told; many steps settle."""
    engel = de.datasets.engel()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert not SHORT[name](de.Adam(lr=0.02, steps=2)).fit(engel, seed=1).converged
    assert {w.category for w in told} <= {ConvergenceWarning}
    with pytest.warns(ConvergenceWarning, match="still fell when all 60 steps"):
        assert SHORT[name](de.Adam(lr=3e-3, steps=60)).fit(engel, seed=1).converged is None
    assert SHORT[name](de.Adam(lr=0.02, steps=600)).fit(engel, seed=1).converged
    held = de.AdamW(lr=0.02, steps=600, validation=0.2, patience=100)
    assert SHORT[name](held).fit(engel, seed=1).converged


def test_a_default_device_of_torch_changes_nothing() -> None:
    """Not even one that holds no numbers; it is the user's own afterwards."""
    models = [make(de.Adam(lr=0.02, steps=100)) for make in SHORT.values()]
    engel, found = de.datasets.engel(), {}
    for device in ("cpu", "meta"):
        torch.set_default_device(device)
        try:
            laws = [model.fit(engel, seed=1).distribution() for model in models]
            found[device] = [law.quantile([0.1, 0.9]) for law in laws]
            assert torch.get_default_device().type == device
        finally:
            torch.set_default_device(None)
    for ours, theirs in zip(*found.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


STEPS = """
import sys, torch
from disteconometrics.optim.minibatch import Adam, AdamW, batches, train

ADAM, ADAM_W = torch.optim.Adam, torch.optim.AdamW
for how, kind in ((Adam(lr=0.1, steps=9, weight_decay=0.1), ADAM), (AdamW(lr=0.1, steps=9), ADAM_W)):
    b = torch.zeros(3, requires_grad=True)
    loss = lambda y: ((y - b.exp()) ** 2).mean()
    train([b], loss, batches([torch.arange(3.0)], None, torch.Generator()), how, progress=False)
    assert not any(name.startswith("torch._dynamo") for name in sys.modules) or kind is ADAM_W
    c = torch.zeros(3, requires_grad=True)
    other = kind([c], lr=how.lr, weight_decay=how.weight_decay, fused=True)
    for step in range(9):
        other.param_groups[0]["lr"] = how.rate(step)
        other.zero_grad()
        ((torch.arange(3.0) - c.exp()) ** 2).mean().backward()
        other.step()
    assert torch.equal(b, c), (b, c)
"""


def test_a_training_steps_as_torch_does_without_its_compiler() -> None:
    """The compiler takes a second or more to load, at the first step of torch's own optimiser."""
    subprocess.run([sys.executable, "-c", STEPS], check=True)
