"""Conditional densities given eight covariates: our flows by name against zuko's neural spline flow.

    python tests/benchmarks/bench_conditional.py            # 10,000 and 100,000 rows, both laws, three seeds
    python tests/benchmarks/bench_conditional.py 10000      # one size
    python tests/benchmarks/bench_conditional.py steps      # seconds a step at the same recipe
    python tests/benchmarks/bench_conditional.py million    # time and memory at 1,000,000 rows against
    100,000

Both laws have x ~ N(0, I₈) and exact densities: a two-component mixture (a normal and a skew-normal law)
whose weights, means and scales move with x, and a sinh-arcsinh transform of a normal whose location, scale,
skewness and tail move with x.  Each side trains a grid of six configurations on four fifths of the rows,
stops each by the last fifth and takes the one that is best there; ours runs first, and zuko's grid has the
same total time, a sixth each.  Excess is the held-out negative log-likelihood less the truth's on 20,000
fresh draws, in nats.  One thread.  The grids were fixed on other seeds than these.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import special, stats

import disteconometrics as de
from disteconometrics.errors import DisteconometricsWarning

Array = np.ndarray
FRESH = 20_000
NAMES = [f"x{j}" for j in range(1, 9)]
FORMULA = f"y ~ {' + '.join(NAMES)}"


# ---- laws --------------------------------------------------------------------------------------------------


def _mixture(X: Array) -> tuple[Array, ...]:
    share = special.expit(0.8 * X[:, 0] - 0.6 * X[:, 1])
    first, spread = 1.0 + 0.5 * X[:, 2] + 0.3 * np.sin(2 * X[:, 0]), np.exp(-0.7 + 0.25 * X[:, 3])
    second, wide, skew = -1.0 + 0.4 * X[:, 4] * X[:, 5], np.exp(-0.2 + 0.2 * X[:, 1]), 4 * np.tanh(X[:, 6])
    return share, first, spread, second, wide, skew


def draw_mixture(X: Array, rng: np.random.Generator) -> Array:
    share, first, spread, second, wide, skew = _mixture(X)
    n = len(X)
    delta = skew / np.sqrt(1 + skew**2)
    skewed = delta * np.abs(rng.normal(size=n)) + np.sqrt(1 - delta**2) * rng.normal(size=n)
    return np.where(rng.random(n) < share, first + spread * rng.normal(size=n), second + wide * skewed)


def mixture_logpdf(X: Array, y: Array) -> Array:
    share, first, spread, second, wide, skew = _mixture(X)
    return np.logaddexp(
        np.log(share) + stats.norm.logpdf(y, first, spread),
        np.log1p(-share) + stats.skewnorm.logpdf(y, skew, second, wide),
    )


def _sinh_arcsinh(X: Array) -> tuple[Array, ...]:
    location, scale = X[:, 0] + 0.5 * X[:, 1] ** 2, np.exp(0.3 * X[:, 2] - 0.2 * X[:, 3])
    return location, scale, 0.6 * np.tanh(X[:, 4]), np.exp(0.3 * np.tanh(X[:, 5] + X[:, 6]))


def draw_sinh_arcsinh(X: Array, rng: np.random.Generator) -> Array:
    location, scale, skew, tail = _sinh_arcsinh(X)
    return location + scale * np.sinh((np.arcsinh(rng.normal(size=len(X))) + skew) / tail)


def sinh_arcsinh_logpdf(X: Array, y: Array) -> Array:
    location, scale, skew, tail = _sinh_arcsinh(X)
    t = (y - location) / scale
    z = np.sinh(tail * np.arcsinh(t) - skew)
    return stats.norm.logpdf(z) + np.log(tail) + 0.5 * np.log1p(z**2) - 0.5 * np.log1p(t**2) - np.log(scale)


LAWS = {"mixture": (draw_mixture, mixture_logpdf), "sinh-arcsinh": (draw_sinh_arcsinh, sinh_arcsinh_logpdf)}


def rows(law: str, n: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    return X, LAWS[law][0](X, rng)


# ---- both sides --------------------------------------------------------------------------------------------

LogDensity = Callable[[Array, Array], Array]


def ours(config: Any, X: Array, y: Array, seed: int) -> tuple[LogDensity, float]:
    """A fit, and its log score on a fifth of the rows that was held out."""
    table, n = dict(zip(NAMES, X.T, strict=True)) | {"y": y}, len(y)
    flow, lr = config
    how = de.AdamW(
        lr=lr, steps=1_500 if n <= 20_000 else 6_000, batch=512 if n <= 20_000 else 1_024, validation=0.2
    )
    res = de.FlowDensity(FORMULA, flow=flow, train=how).fit(table, seed=seed)

    def logpdf(X: Array, y: Array) -> Array:
        return res.distribution(dict(zip(NAMES, X.T, strict=True))).logpdf(y)

    return logpdf, -res.facts.validation


def theirs(config: Any, X: Array, y: Array, seed: int, seconds: float) -> tuple[LogDensity, float]:
    """zuko's neural spline flow, Adam for a given time, the state best on the last fifth of the rows."""
    import torch
    import zuko

    started = time.perf_counter()
    torch.manual_seed(seed)
    transforms, bins, hidden, lr = config
    flow = zuko.flows.NSF(features=1, context=8, transforms=transforms, bins=bins, hidden_features=hidden)
    m, s = y.mean(), y.std()
    both = [torch.tensor(a, dtype=torch.float32) for a in (((y - m) / s)[:, None], X)]
    n = len(y)
    cut, size = n - n // 5, 512 if n <= 20_000 else 1_024
    optimiser = torch.optim.Adam(flow.parameters(), lr=lr)
    best, state, step = -np.inf, None, 0
    while time.perf_counter() - started < seconds:
        for at in torch.randperm(cut).split(size):
            optimiser.zero_grad()
            (-flow(both[1][at]).log_prob(both[0][at]).mean()).backward()
            optimiser.step()
            step += 1
            if step % 100 == 0:
                with torch.no_grad():
                    found = float(flow(both[1][cut:]).log_prob(both[0][cut:]).mean())
                if found > best:
                    best, state = found, {k: v.clone() for k, v in flow.state_dict().items()}
                if time.perf_counter() - started >= seconds:
                    break
    if state is not None:
        flow.load_state_dict(state)

    def logpdf(X: Array, y: Array) -> Array:
        with torch.no_grad():
            u = torch.tensor(((y - m) / s)[:, None], dtype=torch.float32)
            return flow(torch.tensor(X, dtype=torch.float32)).log_prob(u).double().numpy() - np.log(s)

    return logpdf, best - float(np.log(s))


LINEAR = de.AffineMap("covariates")
OURS: list[Any] = [
    (de.MixtureCDF(3, hidden=(32, 32)), 5e-3),
    (de.MixtureCDF(5, hidden=(64, 64)), 2e-3),
    (de.MixtureCDF(8, hidden=(64, 64)), 2e-3),
    ((LINEAR, de.MixtureCDF(5, hidden=(64, 64))), 2e-3),
    ((LINEAR, de.RQS(8, hidden=(64, 64))), 2e-3),
    ((de.AffineMap("covariates", hidden=(32, 32)), de.RQS(8, hidden=(32, 32))), 2e-3),
]
THEIRS = [
    (1, 8, (64, 64), 1e-3),
    (1, 16, (64, 64), 1e-3),
    (1, 8, (128, 128), 1e-3),
    (2, 8, (64, 64), 1e-3),
    (1, 8, (64, 64), 5e-3),
    (3, 8, (64, 64), 1e-3),
]


def compare(n: int, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    for law, (_, truth) in LAWS.items():
        ratios = []
        for seed in seeds:
            X, y = rows(law, n, seed)
            held, at = rows(law, FRESH, 1_000 + seed)

            def excess(logpdf: LogDensity, held: Array = held, at: Array = at, truth: Any = truth) -> float:
                return float(np.mean(truth(held, at) - logpdf(held, at)))

            started = time.perf_counter()
            mine = [ours(c, X, y, seed) for c in OURS]
            seconds = time.perf_counter() - started
            peers = [theirs(c, X, y, seed, seconds / len(THEIRS)) for c in THEIRS]
            i, j = (int(np.argmax([s for _, s in side])) for side in (mine, peers))
            a, b = excess(mine[i][0]), excess(peers[j][0])
            ratios.append(a / b)
            print(
                f"{law:13s} n {n:7d} seed {seed}: ours {a:.4f} (configuration {i + 1}), zuko {b:.4f} "
                f"({j + 1}), "
                f"ratio {a / b:.2f}, {seconds:.0f} s a side; ours all "
                f"{[round(excess(f), 4) for f, _ in mine]}",
                flush=True,
            )
        print(f"{law:13s} n {n:7d}: mean ratio {np.mean(ratios):.2f}", flush=True)


def steps() -> None:
    """Seconds a step, both sides one spline of eight bins behind a net (64, 64), batches of 512:
    medians of five turns.
    """
    import torch
    import zuko

    X, y = rows("mixture", 10_000, 0)
    table = dict(zip(NAMES, X.T, strict=True)) | {"y": y}

    def whole(count: int) -> float:
        started = time.perf_counter()
        how = de.Adam(steps=count, batch=512)
        de.FlowDensity(FORMULA, flow=de.RQS(8, hidden=(64, 64)), train=how).fit(table, seed=0)
        return time.perf_counter() - started

    flow = zuko.flows.NSF(features=1, context=8, transforms=1, bins=8, hidden_features=(64, 64))
    both = [torch.tensor(a, dtype=torch.float32) for a in (y[:, None], X)]
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-3)

    def peer(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            at = torch.randint(len(y), (512,))
            optimiser.zero_grad()
            (-flow(both[1][at]).log_prob(both[0][at]).mean()).backward()
            optimiser.step()
        return time.perf_counter() - started

    whole(10), peer(10)
    turns = [((whole(600) - whole(100)) / 500, peer(500) / 500) for _ in range(5)]
    mine, theirs = (statistics.median(side) for side in zip(*turns, strict=True))
    each = ", ".join(f"{b / a:.2f}" for a, b in turns)
    print(
        f"a step: ours {1e3 * mine:.2f} ms, zuko {1e3 * theirs:.2f} ms, ratio {theirs / mine:.2f} (turns "
        f"{each}), bar 2"
    )


def million() -> None:
    """Time and peak memory beyond the data."""
    took = {}
    for n in (100_000, 1_000_000):
        X, y = rows("mixture", n, 0)
        table = dict(zip(NAMES, X.T, strict=True)) | {"y": y}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        how = de.AdamW(steps=n // 200, batch=1_024, validation=0.1)
        res = de.FlowDensity(FORMULA, flow=de.MixtureCDF(8, hidden=(64, 64)), train=how).fit(table, seed=0)
        took[n] = time.perf_counter() - started
        beyond = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(
            f"n {n}: {took[n]:.1f} s for {res.facts.steps} steps, {beyond:.0f} MB beyond the data", flush=True
        )
    print(f"ten times the rows: {took[1_000_000] / took[100_000]:.1f} times the time")


def main(what: str) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DisteconometricsWarning)
    if what == "steps":
        steps()
    elif what == "million":
        million()
    else:
        for n in (10_000, 100_000) if what == "all" else (int(what),):
            compare(n)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "all")
