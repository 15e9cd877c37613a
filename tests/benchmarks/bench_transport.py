"""How fast exact transport is, against scipy and POT, with a bar for every row,
and how efficient a simulator is fitted.

    python tests/benchmarks/bench_transport.py

Every figure is the median of eleven calls of one process on one thread.  The bars are for both sides in
turns, where either pays for memory that the other has given back to the system, as a single call does; beside
it is the ratio of calls in a row, as in a loop or a bootstrap.  *Line*: n = 100,000
values each (unequal: 70,000 in the second), W1 against ``scipy.stats.wasserstein_distance``, W2² against
POT's ``wasserstein_1d`` and ``emd2_1d``.  *Sliced*: 2,000 rows of 5 columns, 100 directions, against POT at
identical directions. *Assignment*: n = m rows in two dimensions against POT's network simplex (a ratio of
times, at most 3).  *g-and-k*: seconds of a `MinimumWasserstein` fit to 500 rows, and its variances over the
Cramér-Rao bound, over 300 samples.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import disteconometrics as de
from disteconometrics.transport import discrete, one_dim
from disteconometrics.transport.sliced import directions, sliced_wasserstein

CALLS = 11
TRUE = np.array([3.0, 1.0, 2.0, 0.5])


def ratio(ours: Callable[[], Any], peer: Callable[[], Any], calls: int = CALLS) -> tuple[float, float, float]:
    """Peer's time over ours when they take turns, when each calls in a row, and our milliseconds in turns."""
    alone = [[timed(call) for _ in range(calls + 1)][1:] for call in (ours, peer)]
    turns = list(zip(*((timed(ours), timed(peer)) for _ in range(calls)), strict=True))
    (a, b), (c, d) = ([statistics.median(side) for side in sides] for sides in (turns, alone))
    return b / a, d / c, 1000 * a


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def line() -> dict[str, tuple[float, float, float, float]]:
    """Rows on the line: both ratios, milliseconds, bar."""
    import ot
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(20240901)
    x, y = rng.normal(size=100_000), rng.gamma(2, size=100_000)
    short, u, v = y[:70_000], rng.random(100_000), rng.random(100_000)
    W = one_dim.wasserstein
    return {
        "W1, equal sizes, scipy": (*ratio(lambda: W(x, y), lambda: wasserstein_distance(x, y)), 20),
        "W1, unequal sizes, scipy": (*ratio(lambda: W(x, short), lambda: wasserstein_distance(x, short)), 3),
        "W1, weighted, scipy": (
            *ratio(lambda: W(x, y, 1, u, v), lambda: wasserstein_distance(x, y, u, v)),
            3,
        ),
        "W2², POT wasserstein_1d": (*ratio(lambda: W(x, y, 2), lambda: ot.wasserstein_1d(x, y, p=2)), 4),
        "W2², unequal, POT emd2_1d": (*ratio(lambda: W(x, short, 2), lambda: ot.emd2_1d(x, short)), 1),
    }


def rows() -> dict[str, tuple[float, float, float, float]]:
    """Rows between samples of rows: both ratios, milliseconds, bar."""
    import ot

    rng = np.random.default_rng(20240901)
    X, Y = rng.normal(size=(2_000, 5)), rng.normal(size=(2_000, 5)) + 0.5
    D = directions(100, 5, rng)
    found = {
        "sliced, POT": (
            *ratio(
                lambda: sliced_wasserstein(X, Y, 2, projections=D),
                lambda: ot.sliced_wasserstein_distance(X, Y, projections=D.T, p=2),
            ),
            2.0,
        )
    }
    for n in (300, 1_000):
        x, y = X[:n, :2], Y[:n, :2]
        found[f"assignment n={n}, POT"] = (
            *ratio(
                lambda x=x, y=y: discrete.wasserstein(x, y),
                lambda x=x, y=y: ot.emd2([], [], ot.dist(x, y)),
                5,
            ),
            1 / 3,
        )
    return found


def g_and_k(theta: np.ndarray, x: Any, z: np.ndarray) -> np.ndarray:
    """Tukey's g-and-k quantiles."""
    a, b, g, k = theta
    return np.asarray(a + b * (1 + 0.8 * np.tanh(g * z / 2)) * (1 + z**2) ** k * z)


def cramer_rao(n: int) -> np.ndarray:
    """Least variances (4,) of unbiased estimates, the information integrated over a grid of quantiles."""
    from scipy.special import ndtri

    z, fine = ndtri((np.arange(200_000) + 0.5) / 200_000), np.linspace(-8, 8, 40_001)
    y = g_and_k(TRUE, None, z)

    def logpdf(theta: np.ndarray) -> np.ndarray:
        q = g_and_k(theta, None, fine)
        at = np.interp(y, q, fine)
        return np.asarray(-(at**2) / 2 - np.log(np.interp(at, fine, np.gradient(q, fine))))

    scores = np.array([(logpdf(TRUE + e) - logpdf(TRUE - e)) / 2e-4 for e in 1e-4 * np.eye(4)])[:, 200:-200]
    return np.asarray(np.diag(np.linalg.inv(scores @ scores.T / 200_000)) / n)


def simulator() -> None:
    """Time and efficiency of fits of the g-and-k law."""
    model = de.MinimumWasserstein(
        "y ~ 1",
        g_and_k,
        start={"a": 2.0, "b": 1.5, "g": 1.0, "k": 0.3},
        bounds={"b": (0, None), "k": (-0.5, None)},
    )
    seconds, found = [], []
    for r in range(300):
        y = g_and_k(TRUE, None, np.random.default_rng([9, r]).normal(size=500))
        start = time.perf_counter()
        found.append(model.fit({"y": y}, seed=1).params.to_numpy())
        seconds.append(time.perf_counter() - start)
    shown = ", ".join(f"{v:.2f}" for v in np.var(found, axis=0) / cramer_rao(500))
    milliseconds = 1000 * statistics.median(seconds)
    print(f"{'g-and-k fit, ms':32s} {milliseconds:7.1f}  bar 10  {'PASS' if milliseconds <= 10 else 'FAIL'}")
    print(
        f"variances over the Cramér-Rao bound (a, b, g, k): {shown}; farthest estimate "
        f"{np.abs(np.array(found) - TRUE).max():.2f}"
    )


def main() -> int:
    """Print the table; the exit code is 1 when a bar is missed."""
    failed = False
    print(f"one thread, load {os.getloadavg()[0]:.2f}\n{'':32s} {'in turns':>8s} {'in a row':>8s}")
    for name, (times, alone, milliseconds, bar) in {**line(), **rows()}.items():
        failed |= times < bar
        verdict = "PASS" if times >= bar else "FAIL"
        print(
            f"{name:32s} {times:8.2f} {alone:8.2f}  bar {bar:.2g}  {verdict}  {milliseconds:.1f} ms",
            flush=True,
        )
    simulator()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
