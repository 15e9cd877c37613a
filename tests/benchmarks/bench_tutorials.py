"""Every flow that the tutorials of nflows, normflows, Pyro and a planar flow from scratch train:
ours and theirs, in one run.

    python tests/benchmarks/bench_tutorials.py              # everything, about half an hour
    python tests/benchmarks/bench_tutorials.py planar       # one task
    python tests/benchmarks/bench_tutorials.py all ours     # ours alone
    python tests/benchmarks/bench_tutorials.py scalar       # monotone splines, outcome by outcome, against
    these peers python tests/benchmarks/bench_tutorials.py losses       # training losses at the steps that
    the tutorials print python tests/benchmarks/bench_tutorials.py bootstrap    # 50 draws at once against 50
    fits

Tasks and settings are those of the tutorials (see `TASKS`); three seeds, each with its own rows.  Excess is
the held-out negative log-likelihood less the truth's on 20,000 fresh draws, in nats, seconds are medians of
whole fits.  One thread for both sides. Peers: the extra ``bench``, and ``pip install --no-deps normflows
pyro-ppl pyro-api opt_einsum``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import disteconometrics as de
from disteconometrics.errors import DisteconometricsWarning

SEEDS = (0, 1, 2)
FRESH = 20_000
Table = dict[str, np.ndarray]
LogDensity = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[Table, tuple[str, ...], int], LogDensity]


def rows_of(table: Table, names: tuple[str, ...]) -> np.ndarray:
    return np.column_stack([table[n] for n in names])


# ---- ours --------------------------------------------------------------------------------------------------


def named(flow: Any, train: Any, process: Any = None) -> Fit:
    def fit(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
        model = de.FlowDensity(f"{' + '.join(names)} ~ 1", flow=flow, train=train)
        law = model.fit(process or table, seed=seed).distribution()
        return lambda y: law.logpdf(y[:, 0] if len(names) == 1 else y)

    return fit


def product(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
    """p(x1)·p(x2 | x1) by an elementwise and a conditional spline."""
    a, b = names
    train = de.AdamW(steps=1_000, batch=256, validation=0.2, patience=400)
    marginal = de.FlowDensity(f"{a} ~ 1", flow=de.RQS(16), train=de.Adam(lr=0.01, steps=1_000))
    given = de.FlowDensity(f"{b} ~ {a}", flow=de.RQS(16, hidden=(64, 64)), train=train)
    return de.joint(marginal, given).fit(table, seed=seed).distribution().logpdf


# ---- theirs ------------------------------------------------------------------------------------------------


def nflows_spline(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
    """The lecture: 8 bins, hidden 8, linear tails, bound 5, Adam 1e-3, 1,001 full-batch steps."""
    import torch
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import (
        MaskedPiecewiseRationalQuadraticAutoregressiveTransform as Spline,
    )

    torch.manual_seed(seed)
    flow = Flow(
        Spline(features=1, hidden_features=8, num_bins=8, tails="linear", tail_bound=5.0), StandardNormal([1])
    )
    x = torch.tensor(rows_of(table, names), dtype=torch.float32)
    train(flow.parameters(), lambda _: -flow.log_prob(x).mean(), 1_001, 1e-3)
    return frozen(flow.log_prob)


def normflows_couplings(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
    """16 affine couplings (1-64-64-2, last layer zero) and LU mixing, fresh batches of 512, Adam 1e-3,
    weight decay 1e-5.
    """
    import normflows as nf
    import torch

    torch.manual_seed(seed)
    flows: list[Any] = []
    for _ in range(16):
        flows += [
            nf.flows.AffineCouplingBlock(nf.nets.MLP([1, 64, 64, 2], init_zeros=True)),
            nf.flows.LULinearPermute(2),
        ]
    model = nf.NormalizingFlow(nf.distributions.base.DiagGaussian(2, trainable=False), flows)
    process, rng = de.dgps.UniformNormal(), np.random.default_rng(seed + 100)

    def loss(_: int) -> Any:
        return model.forward_kld(torch.tensor(rows_of(process(rng, n=512), names), dtype=torch.float32))

    train(model.parameters(), loss, 1_000, 1e-3, 1e-5)
    return frozen(model.log_prob)


def pyro_transform(kind: str, steps: int, lr: float) -> Fit:
    def fit(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
        import pyro.distributions as dist
        import torch

        torch.manual_seed(seed)
        x = torch.tensor(rows_of(table, names), dtype=torch.float32)
        base = dist.Normal(torch.zeros(2), torch.ones(2))
        if kind == "elementwise":
            transform: Any = dist.transforms.Spline(2, count_bins=16)
        else:
            transform = dist.transforms.spline_coupling(2, count_bins=16)
        flow = dist.TransformedDistribution(base, [transform])

        def log_prob(y: Any) -> Any:
            value = flow.log_prob(y)
            return value.sum(-1) if value.ndim > 1 else value

        def loss(_: int) -> Any:
            flow.clear_cache()
            return -log_prob(x).mean()

        train(transform.parameters(), loss, steps, lr)
        flow.clear_cache()
        return frozen(log_prob)

    return fit


def pyro_product(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
    """Elementwise and conditional spline, trained together, Adam 3e-3, 5,001 steps."""
    import pyro.distributions as dist
    import torch

    torch.manual_seed(seed)
    x = torch.tensor(rows_of(table, names), dtype=torch.float32)
    base = dist.Normal(torch.zeros(1), torch.ones(1))
    first = dist.transforms.Spline(1, count_bins=16)
    second = dist.transforms.conditional_spline(1, context_dim=1, count_bins=16)
    marginal = dist.TransformedDistribution(base, [first])
    given = dist.ConditionalTransformedDistribution(base, [second])

    def log_prob(y: Any) -> Any:
        return (
            (marginal.log_prob(y[:, :1]) + given.condition(y[:, :1]).log_prob(y[:, 1:]))
            .reshape(len(y), -1)
            .sum(-1)
        )

    def loss(_: int) -> Any:
        marginal.clear_cache()
        return -log_prob(x).mean()

    train([*first.parameters(), *second.parameters()], loss, 5_001, 3e-3)
    marginal.clear_cache()
    return frozen(log_prob)


def one_planar(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
    """The tutorial from scratch: one planar layer from data to noise, Adam .01, 1,000 full-batch steps."""
    import torch

    torch.manual_seed(seed)
    x = torch.tensor(rows_of(table, names), dtype=torch.float32)
    w, u, b = (torch.nn.Parameter(torch.randn(k)) for k in (2, 2, 1))

    def log_prob(y: Any) -> Any:
        bend = torch.tanh(y @ w + b)
        z = y + bend[:, None] * u
        slope = torch.log((1 + (1 - bend**2) * (w @ u)).abs() + 1e-4)
        return -0.5 * (z**2).sum(-1) - np.log(2 * np.pi) + slope

    train([w, u, b], lambda _: -log_prob(x).mean(), 1_000, 0.01)
    return frozen(log_prob)


LAST: list[float] = []  # the losses of the peer that was trained last


def train(parameters: Any, loss: Callable[[int], Any], steps: int, lr: float, decay: float = 0.0) -> None:
    """Adam; a step whose loss is not finite is left out."""
    import torch

    LAST.clear()
    optimiser = torch.optim.Adam(list(parameters), lr=lr, weight_decay=decay)
    for step in range(steps):
        optimiser.zero_grad()
        value = loss(step)
        LAST.append(float(value.detach()))
        if torch.isfinite(value):
            value.backward()
            optimiser.step()


def frozen(log_prob: Callable[[Any], Any]) -> LogDensity:
    import torch

    def of(y: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(log_prob(torch.tensor(y, dtype=torch.float32)).double().numpy())

    return of


# ---- the table ---------------------------------------------------------------------------------------------

COUPLINGS = de.Coupling(de.AffineMap(), layers=16, hidden=(64, 64), mix="lu")
FRESH_ADAM = de.Adam(lr=1e-3, steps=1_000, weight_decay=1e-5, batch=512)
HELD_OUT = de.Adam(lr=5e-3, steps=5_001, validation=0.2, patience=750)

TASKS: dict[str, tuple[Any, tuple[str, ...], int, Fit, str, Fit]] = {
    "lecture spline": (
        de.dgps.Bimodal(),
        ("y",),
        2_000,
        named(de.Autoregressive(de.RQS(8, tail_bound=5.0), hidden=(8,)), de.Adam(lr=1e-3, steps=1_001)),
        "nflows",
        nflows_spline,
    ),
    "16 couplings": (
        de.dgps.UniformNormal(),
        ("a", "b"),
        2_000,
        named(COUPLINGS, FRESH_ADAM, de.dgps.UniformNormal()),
        "normflows",
        normflows_couplings,
    ),
    "circles, elementwise": (
        de.dgps.TwoCircles(),
        ("x1", "x2"),
        1_000,
        named(de.RQS(16), de.Adam(lr=1e-2, steps=1_001)),
        "pyro",
        pyro_transform("elementwise", 1_001, 1e-2),
    ),
    "circles, coupling": (
        de.dgps.TwoCircles(),
        ("x1", "x2"),
        1_000,
        named(de.Coupling(de.RQS(16), layers=2), HELD_OUT),
        "pyro",
        pyro_transform("coupling", 5_001, 5e-3),
    ),
    "circles, p(x1)p(x2|x1)": (de.dgps.TwoCircles(), ("x1", "x2"), 1_000, product, "pyro", pyro_product),
    "planar": (
        de.dgps.NoisySine(),
        ("x1", "x2"),
        1_000,
        named(de.Planar(8), "auto"),
        "one layer, from scratch",
        one_planar,
    ),
}


def splines(table: Table, names: tuple[str, ...], seed: int) -> LogDensity:
    """p(a)·p(b | a) by monotone splines, everything automatic."""
    a, b = names
    first, second = de.FlowDensity(f"{a} ~ 1").fit(table), de.FlowDensity(f"{b} ~ {a}").fit(table)
    return lambda y: first.distribution().logpdf(y[:, 0]) + second.distribution({a: y[:, 0]}).logpdf(y[:, 1])


SCALAR: dict[str, tuple[Any, tuple[str, ...], int, Fit, str, Fit]] = {
    "b given a": (
        de.dgps.UniformNormal(),
        ("a", "b"),
        2_000,
        splines,
        "normflows, 16 couplings",
        normflows_couplings,
    ),
    "circles": (
        de.dgps.TwoCircles(),
        ("x1", "x2"),
        1_000,
        splines,
        "pyro, coupling",
        pyro_transform("coupling", 5_001, 5e-3),
    ),
    "sine": (de.dgps.NoisySine(), ("x2", "x1"), 1_000, splines, "one planar layer", one_planar),
}


def truth(process: Any, table: Table) -> np.ndarray:
    return np.asarray(
        process.joint_logpdf(table) if hasattr(process, "joint_logpdf") else process.logpdf(table)
    )


def measure(
    process: Any, names: tuple[str, ...], n: int, fit: Fit, seeds: tuple[int, ...] = SEEDS
) -> tuple[Any, ...]:
    """Median seconds, mean excess, its least and most, and the mean of the training rows' negative log
    density less truth's.
    """
    seconds, excess, inside = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        table, fresh = process(rng, n=n), process(rng, n=FRESH)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DisteconometricsWarning)
            logpdf = fit(table, names, seed)
        seconds.append(time.perf_counter() - started)
        excess.append(float(np.mean(truth(process, fresh) - logpdf(rows_of(fresh, names)))))
        inside.append(float(np.mean(truth(process, table) - logpdf(rows_of(table, names)))))
    return statistics.median(seconds), np.mean(excess), min(excess), max(excess), np.mean(inside)


PRINTED: dict[
    str, tuple[str, tuple[float, ...]]
] = {  # the losses in the tutorials, evenly spaced from step 0 to the last
    "lecture spline": ("a row", (2.0672, 1.4957, 1.4850, 1.4810, 1.4805, 1.4802)),
    "circles, elementwise": ("a coordinate", (2.6825, 1.2784, 1.2648, 1.2601, 1.2562, 1.2545)),
    "circles, coupling": (
        "a row",
        (8.4462, 2.0198, 1.7950, 1.7362, 1.7255, 1.6916, 1.6795, 1.6967, 1.6724, 1.6505, 1.8024),
    ),
    "circles, p(x1)p(x2|x1)": (
        "a row",
        (5.6633, 2.0403, 1.9603, 1.8923, 1.8510, 1.8328, 1.9166, 1.8774, 1.8417, 1.8379, 1.8246),
    ),
    "planar": (
        "a row, less log 2π",
        (3.1981, 0.8239, 0.6688, 0.6594, 0.6584, 0.6575, 0.6563, 0.6546, 0.6520, 0.6488),
    ),
}


def histories(task: str, names: tuple[str, ...], table: Table, seed: int) -> dict[str, np.ndarray]:
    """Losses along the steps of peer and ours at the tutorial's settings: rows, rate, steps, full batch,
    the last step kept.
    """
    joint, normal = f"{' + '.join(names)} ~ 1", np.log(2 * np.pi)

    def along(flow: Any, lr: float, steps: int, formula: str = joint, start: int = seed) -> np.ndarray:
        fit = de.FlowDensity(formula, flow=flow, train=de.Adam(lr=lr, steps=steps)).fit(table, seed=start)
        return fit.history["loss"].to_numpy()

    peer, their_fit = TASKS[task][4:]
    their_fit(table, names, seed)
    out = {peer: np.array(LAST)}
    if task == "lecture spline":
        out["the same flow"] = along(de.Autoregressive(de.RQS(8, tail_bound=5.0), hidden=(8,)), 1e-3, 1_001)
    elif task == "circles, elementwise":
        out[peer] = out[peer] / 2
        out["the same flow"] = along(de.RQS(16), 0.01, 1_001) / 2
    elif task == "circles, coupling":
        out["two couplings"] = along(de.Coupling(de.RQS(16), layers=2), 5e-3, 5_001)
    elif task == "planar":
        starts = [along(de.Planar(1), 0.01, 1_000, start=start) for start in range(5)]
        out[peer] = out[peer] - normal
        out["one layer"] = starts[seed] - normal
        out["one layer, best of 5"] = min(starts, key=lambda s: s[-1]) - normal
        out["eight layers"] = along(de.Planar(8), 0.01, 1_000) - normal
    else:
        first = along(de.RQS(16), 3e-3, 5_001, f"{names[0]} ~ 1")
        out["the same flows"] = first + along(
            de.RQS(16, hidden=(64, 64)), 3e-3, 5_001, f"{names[1]} ~ {names[0]}"
        )
    return out


def planar_mass(seed: int) -> float:
    """Integral of what the planar layer from scratch calls a density."""
    logpdf = one_planar(de.dgps.NoisySine()(np.random.default_rng(seed), n=1_000), ("x1", "x2"), seed)
    grid = np.linspace(-12, 12, 1_201)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    return float(np.exp(logpdf(points)).sum() * (grid[1] - grid[0]) ** 2)


def losses() -> None:
    """Medians of three draws of the rows."""
    for task, (unit, printed) in PRINTED.items():
        process, names, n = TASKS[task][:3]
        found = [histories(task, names, process(np.random.default_rng(seed), n=n), seed) for seed in SEEDS]
        length = len(next(iter(found[0].values())))
        steps = np.arange(len(printed)) * ((length - 1) // (len(printed) - 1) // 100 * 100)
        print(f"{task}, {unit}\n{'step':24s}" + "".join(f"{s:9d}" for s in steps))
        print(f"{'as printed':24s}" + "".join(f"{v:9.4f}" for v in printed))
        for name in found[0]:
            print(
                f"{name:24s}"
                + "".join(f"{v:9.4f}" for v in np.median([f[name][steps] for f in found], axis=0)),
                flush=True,
            )
        entropy = np.mean(
            [-truth(process, process(np.random.default_rng(seed), n=n)).mean() for seed in SEEDS]
        )
        print(f"{'truth on these rows':24s}{entropy:9.4f}")
    print(
        "mass of the planar layer from scratch, four runs:",
        [round(planar_mass(seed), 3) for seed in range(4)],
    )


def bootstraps() -> None:
    """50 draws of row weights trained at once against 50 separate fits."""
    tasks = {
        "spline": ("y ~ 1", de.RQS(8), de.Adam(lr=0.02, steps=500), de.dgps.Bimodal(), 2_000),
        "planar": ("x1 + x2 ~ 1", de.Planar(8), de.Adam(lr=0.01, steps=1_000), de.dgps.NoisySine(), 1_000),
        "autoregressive mixture": (
            "x1 + x2 ~ 1",
            de.Autoregressive(de.MixtureCDF(8)),
            "auto",
            de.dgps.TwoCircles(),
            1_000,
        ),
    }
    for name, (formula, flow, how, process, n) in tasks.items():
        model, table = de.FlowDensity(formula, flow=flow, train=how), process(np.random.default_rng(0), n=n)
        model.fit(table, seed=0)
        started = time.perf_counter()
        res = model.fit(table, seed=0)
        one = time.perf_counter() - started
        started = time.perf_counter()
        res.bootstrap(50, seed=1)
        many = time.perf_counter() - started
        print(
            f"bootstrap, {name:24s} 50 fits {50 * one:7.1f} s, 50 draws {many:6.1f} s, ratio "
            f"{50 * one / many:.1f}",
            flush=True,
        )


def main(which: str, side: str) -> None:
    import torch

    torch.set_num_threads(1)
    if which == "bootstrap":
        bootstraps()
        return
    if which == "losses":
        losses()
        return
    print(f"{'':24s} {'':24s} {'seconds':>8s} {'excess':>8s}  {'least – most':>18s} {'training rows':>14s}")
    tasks, which = (SCALAR, "all") if which == "scalar" else (TASKS, which)
    for task, (process, names, n, our_fit, peer, their_fit) in tasks.items():
        if which not in ("all", task.split(",")[0].split()[0], task):
            continue
        for name, fit in (("ours", our_fit), (peer, their_fit)):
            if side in ("both", "ours" if name == "ours" else "theirs"):
                seeds = range(6) if tasks is SCALAR and name == "ours" else SEEDS
                seconds, excess, least, most, inside = measure(process, names, n, fit, tuple(seeds))
                print(
                    f"{task:24s} {name:24s} {seconds:8.3f} {excess:8.4f}  {least:8.4f} – {most:7.4f} "
                    f"{inside:14.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "all", sys.argv[2] if len(sys.argv) > 2 else "both")
