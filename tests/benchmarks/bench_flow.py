"""Speed and fit of flow densities against Python's normalizing-flow libraries,
by the protocol of their own tutorials.

    python tests/benchmarks/bench_flow.py            # everything, figures in flow_figures.json
    python tests/benchmarks/bench_flow.py ours       # ours alone, in seconds
    python tests/benchmarks/bench_flow.py growth     # time and memory of conditional fits with many rows;
    bars at its end

The lecture sample: ½N(−1, .5²) + ½N(1, .75²), 2,000 rows.  nflows: masked rational-quadratic spline
autoregressive flow with one feature, 8 bins, hidden 8, linear tails, bound 5, standard normal base, Adam
1e-3, 1,001 full-batch steps, as in the lecture. zuko: a grid of six fixed before the first run: neural spline
flows of 1 or 2 transforms and 8 or 16 bins and Gaussianization flows of 1 or 2, hidden (32, 32), Adam 5e-3,
500 full-batch steps on standardised data.  Excess is the held-out negative log-likelihood less the truth's on
20,000 fresh draws, in nats.  Peers are in the extra ``bench``; one thread throughout.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import disteconometrics as de

SEEDS = range(6)
ROWS, FRESH = 2_000, 20_000
FIGURES = Path(__file__).parent / "flow_figures.json"
Density = Callable[[np.ndarray], np.ndarray]


def draw(n: int, rng: np.random.Generator) -> np.ndarray:
    """Half of each component, as in the lecture but with independent draws."""
    return np.concatenate([rng.normal(-1, 0.5, n // 2), rng.normal(1, 0.75, n - n // 2)])


def truth(y: np.ndarray) -> np.ndarray:
    parts = [np.exp(-0.5 * ((y - m) / s) ** 2) / s for m, s in ((-1, 0.5), (1, 0.75))]
    return np.asarray(np.log(0.5 * sum(parts) / np.sqrt(2 * np.pi)))


def ours(y: np.ndarray, seed: int) -> Density:
    law = de.FlowDensity("y ~ 1").fit({"y": y}).distribution()
    return law.logpdf


def nflows(y: np.ndarray, seed: int) -> Density:
    import torch
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import (
        MaskedPiecewiseRationalQuadraticAutoregressiveTransform as Spline,
    )

    torch.manual_seed(seed)
    spline = Spline(features=1, hidden_features=8, num_bins=8, tails="linear", tail_bound=5.0)
    flow = Flow(spline, StandardNormal([1]))
    optimiser = torch.optim.Adam(flow.parameters(), lr=1e-3)
    x = torch.tensor(y, dtype=torch.float32)[:, None]
    for _ in range(1001):
        optimiser.zero_grad()
        (-flow.log_prob(x).mean()).backward()
        optimiser.step()

    def logpdf(t: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(flow.log_prob(torch.tensor(t, dtype=torch.float32)[:, None]).numpy())

    return logpdf


def zuko(kind: str, transforms: int, bins: int) -> Callable[[np.ndarray, int], Density]:
    def fit(y: np.ndarray, seed: int) -> Density:
        import torch
        import zuko as library

        torch.manual_seed(seed)
        options: dict[str, Any] = {"features": 1, "transforms": transforms, "hidden_features": (32, 32)}
        flow = (
            library.flows.NSF(**options, bins=bins)
            if kind == "NSF"
            else library.flows.GF(**options, components=bins)
        )
        m, s = y.mean(), y.std()
        x = torch.tensor((y - m) / s, dtype=torch.float32)[:, None]
        optimiser = torch.optim.Adam(flow.parameters(), lr=5e-3)
        for _ in range(500):
            optimiser.zero_grad()
            (-flow().log_prob(x).mean()).backward()
            optimiser.step()

        def logpdf(t: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                u = torch.tensor((t - m) / s, dtype=torch.float32)[:, None]
                return np.asarray(flow().log_prob(u).numpy()) - np.log(s)

        return logpdf

    return fit


GRID = [("NSF", 1, 8), ("NSF", 1, 16), ("NSF", 2, 8), ("NSF", 2, 16), ("GF", 1, 8), ("GF", 2, 8)]
FITS: dict[str, Callable[[np.ndarray, int], Density]] = {
    "ours": ours,
    "nflows": nflows,
    **{f"zuko {kind} {t}x{b}": zuko(kind, t, b) for kind, t, b in GRID},
}


def measure(name: str, seeds: int) -> dict[str, Any]:
    """Seconds and excess over data seeds; imports and a first fit are not counted."""
    fit, seconds, excess = FITS[name], [], []
    if name == "ours":
        fit(draw(ROWS, np.random.default_rng(99)), 0)
    for seed in list(SEEDS)[:seeds]:
        rng = np.random.default_rng(seed)
        y, fresh = draw(ROWS, rng), draw(FRESH, rng)
        start = time.perf_counter()
        logpdf = fit(y, seed)
        seconds.append(time.perf_counter() - start)
        excess.append(float(np.mean(truth(fresh) - logpdf(fresh))))
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "excess": float(np.mean(excess)),
        "excesses": excess,
    }


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def main(names: list[str], seeds: int = len(SEEDS)) -> None:
    one_thread()
    stored = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    for name in names:
        stored[name] = measure(name, seeds)
        r = stored[name]
        ratio = (
            f"  {r['seconds'] / stored['ours']['seconds']:7.0f}x ours"
            if "ours" in stored and name != "ours"
            else ""
        )
        print(
            f"{name:16s} {r['seconds']:9.4f} s ({r['least']:.4f} – {r['most']:.4f})  excess "
            f"{r['excess']:.4f}{ratio}",
            flush=True,
        )
        FIGURES.write_text(json.dumps(stored, indent=1), encoding="utf-8")


def many_rows(n: int, K: int) -> dict[str, np.ndarray]:
    """Gumbel errors whose scale moves with the first and the last of K covariates; the last is 0 or 1."""
    rng = np.random.default_rng([n, K])
    X = rng.normal(size=(n, K))
    X[:, -1] = rng.random(n) < 0.4
    y = X @ np.linspace(0.2, 1, K) + np.exp(0.2 * X[:, 0]) * (1 + 0.5 * X[:, -1]) * rng.gumbel(size=n)
    return {"y": y} | {f"x{j}": x for j, x in enumerate(X.T)}


def growth() -> int:
    """Bars: 100,000 rows and 5 covariates in 20 s and 1 GB in all; twice the rows 2.3x,
    6 for 3 covariates 4.5x.
    """
    one_thread()
    took: dict[tuple[int, int], float] = {}
    for n, K in ((2_000, 3), (50_000, 5), (100_000, 5), (100_000, 3), (100_000, 6)):
        table, seconds = many_rows(n, K), []
        for _ in range(2):
            start = time.perf_counter()
            res = de.FlowDensity(f"y ~ {' + '.join(list(table)[1:])}").fit(table)
            seconds.append(time.perf_counter() - start)
        took[n, K] = min(seconds)
        peak = (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        )  # of the process so far, in GB where this is kB
        print(
            f"{n:8,} rows {K} covariates {took[n, K]:7.2f} s, peak {peak:.2f} GB, {res.flow.name}, "
            f"{res.flow.base}",
            flush=True,
        )
        if (n, K) == (100_000, 5):
            held = peak <= 1.0 and took[n, K] <= 20
    rows, columns = took[100_000, 5] / took[50_000, 5], took[100_000, 6] / took[100_000, 3]
    held = held and rows <= 2.3 and columns <= 4.5
    print(f"twice the rows {rows:.2f}x, twice the covariates {columns:.2f}x: {'PASS' if held else 'FAIL'}")
    return int(not held)


if __name__ == "__main__":
    if sys.argv[1:] == ["growth"]:
        sys.exit(growth())
    chosen = sys.argv[1].split(",") if len(sys.argv) > 1 else list(FITS)
    main(chosen, int(sys.argv[2]) if len(sys.argv) > 2 else len(SEEDS))
