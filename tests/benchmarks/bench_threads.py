"""Whether the default number of threads costs: 25 public calls at two sizes, with one thread and the default.

    python tests/benchmarks/bench_threads.py [seconds a call]

Each call is timed in two processes that take turns, one with OMP_NUM_THREADS=1 and one without; the median of
the runs is printed with the ratio.  Bar: no call more than 10 % slower with the default.  Calls under a
millisecond are left to their noise and marked.  Measured on 30 November 2026 on a quiet machine of two cores,
three runs: 4, 1 and 1 of 50 over the bar, at most 1.31, calls of 1 to 16 ms and none of them twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SIZES = (500, 20_000)
BAR = 1.10
LEAST = 1e-3  # seconds below which a ratio is noise
RUNS = 7


def calls(n: int) -> dict[str, Callable[[], Any]]:
    """The calls by name, their fits already made."""
    import warnings

    import numpy as np
    import pandas as pd

    import disteconometrics as de

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    d = pd.DataFrame({"x1": rng.normal(size=n), "x2": rng.normal(size=n), "g": rng.integers(0, 2, n)})
    d["y"] = 0.5 * d.x1 + 0.3 * d.g + np.exp(0.2 * d.x2) * rng.gumbel(size=n)
    d["b"] = (rng.random(n) < 1 / (1 + np.exp(-d.x1))).astype(int)
    d["firm"] = rng.integers(0, 100, n)
    flow = de.FlowDensity("y ~ x1 + x2 + g").fit(d)
    one = de.FlowDensity("y ~ 1").fit(d)
    logit, normal = de.Logit("b ~ x1 + x2 + g").fit(d), de.NormalRegression("y ~ x1 + x2 + g").fit(d)
    law, new = flow.distribution(), d.head(20)
    few = min(n, 2000)
    assert flow.undersmoothed is not None
    assert one.undersmoothed is not None
    return {
        "FlowDensity y ~ 1": lambda: de.FlowDensity("y ~ 1").fit(d),
        "FlowDensity y ~ x1": lambda: de.FlowDensity("y ~ x1").fit(d),
        "FlowDensity three": lambda: de.FlowDensity("y ~ x1 + x2 + g").fit(d),
        "flow functionals": lambda: flow.functionals(),
        "flow limits": lambda: flow.functionals().interval(),
        "flow effect": lambda: flow.effect("g", 0, 1),
        "flow derivative": lambda: flow.derivative("x1"),
        "flow effects": lambda: flow.effects(),
        "flow predict": lambda: flow.predict(new, ["mean", "q[0.9]"], ci=True),
        "flow band": lambda: one.band("cdf"),
        "flow diagnose": lambda: de.FlowDensity("y ~ x1").fit(d.head(few)).diagnose(2, seed=1),
        "law mean": lambda: flow.distribution().mean(),
        "law quantile": lambda: law.quantile([0.1, 0.5, 0.9]),
        "law cdf": lambda: law.cdf(0.5),
        "law sample": lambda: law.sample(2, seed=1),
        "Logit": lambda: de.Logit("b ~ x1 + x2 + g").fit(d),
        "Logit clusters": lambda: de.Logit("b ~ x1 + x2 + g").fit(d, cov=de.Cluster("firm")),
        "Logit margins": lambda: logit.margins(),
        "Logit predict": lambda: logit.predict(d, ci=True),
        "NormalRegression": lambda: de.NormalRegression("y ~ x1 + x2 + g").fit(d, cov="HC1"),
        "normal functionals": lambda: normal.functionals(),
        "normal effects": lambda: normal.effects(),
        "WassersteinDistance": lambda: de.WassersteinDistance("y ~ g", permutations=0).fit(d),
        "TransportMap": lambda: de.TransportMap("y ~ g").fit(d),
        "cross_validate": lambda: de.cross_validate(de.NormalRegression("y ~ x1"), d, folds=3, seed=1),
    }


def worker(n: int, seconds: float) -> None:
    """Time one call for each name read, and print its median."""
    known = calls(n)
    print(json.dumps(list(known)), flush=True)
    for line in sys.stdin:
        call, spent, times = known[line.strip()], 0.0, []
        while len(times) < RUNS and (not times or spent < seconds):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
            spent += times[-1]
        print(sorted(times)[len(times) // 2], flush=True)


def started(n: int, threads: str | None, seconds: float) -> subprocess.Popen[str]:
    """A process that times calls, with one thread or the default."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = {k: v for k, v in os.environ.items() if k not in names}
    env |= dict.fromkeys(names, threads) if threads else {}
    command = [sys.executable, __file__, "--worker", str(n), str(seconds)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def asked(process: subprocess.Popen[str], name: str) -> float:
    """The median seconds of a call in a process."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(name + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main(seconds: float) -> int:
    """Print the table; 1 if a call is over the bar."""
    over = 0
    print(f"{'call':24}{'rows':>8}{'one thread':>12}{'default':>12}{'ratio':>8}")
    for n in SIZES:
        one, default = started(n, "1", seconds), started(n, None, seconds)
        read = [json.loads(p.stdout.readline()) for p in (one, default) if p.stdout is not None]
        names = read[0]
        for name in names:
            best = [min(asked(p, name) for _ in range(2)) for p in (one, default)]
            ratio = best[1] / best[0]
            noisy = best[0] < LEAST
            bad = ratio > BAR and not noisy
            over += bad
            mark = " over" if bad else " (noise)" if noisy else ""
            print(f"{name:24}{n:>8}{best[0]:>12.4f}{best[1]:>12.4f}{ratio:>8.2f}{mark}", flush=True)
        for p in (one, default):
            p.communicate()
    print(f"{over} of {2 * len(names)} over {BAR}")
    return int(over > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        worker(int(sys.argv[2]), float(sys.argv[3]))
    else:
        sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
