"""A factor of 50 levels at a million rows: time against statsmodels and glum, memory beyond the data.

Run it on a machine that does nothing else (glum comes with the extra ``bench``)::

    python tests/benchmarks/bench_factor.py

Each figure comes from a process of its own, pinned to one BLAS/OpenMP thread: data, a small fit that does not
count, then one call from table to standard errors.  Five rounds, sides in turn; ratios within a round.  glum
is asked for no penalty, a gradient of 1e-8 and its covariance matrix.  Memory is the largest resident memory
seen by a thread that looks every millisecond during the fit, less that just before.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

from timing import in_turn, printed

ROWS, LEVELS, ROUNDS = 1_000_000, 50, 5
FORMULA = "y ~ a + b + c + d + C(g)"
BARS = {"smf": 12.0, "glum": 2.5, "memory": 150.0}


def table() -> Any:
    """Four standard-normal columns, a text column of 50 levels with normal effects, a logistic outcome."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    data = pd.DataFrame(rng.normal(size=(ROWS, 4)), columns=list("abcd"))
    g = rng.integers(0, LEVELS, ROWS)
    data["g"] = pd.Series(np.array([f"level {i:02d}" for i in range(LEVELS)], dtype=object)[g]).astype("str")
    effect = 0.5 * rng.normal(size=LEVELS)
    data["y"] = (data.a - 0.5 * data.b + effect[g] + rng.logistic(size=ROWS) > 0).astype(int)
    return data


def fit(side: str, data: Any) -> None:
    """From the table to standard errors."""
    if side == "smf":
        import statsmodels.formula.api as smf

        smf.logit(FORMULA, data).fit(disp=0).bse  # noqa: B018
    elif side == "glum":
        from glum import GeneralizedLinearRegressor

        X = data[list("abcd")].assign(g=data.g.astype("category"))
        model = GeneralizedLinearRegressor(family="binomial", alpha=0, drop_first=True, gradient_tol=1e-8)
        model.fit(X, data.y).covariance_matrix(X, data.y, robust=False)
    else:
        import disteconometrics as de

        de.Logit(FORMULA).fit(data).bse  # noqa: B018


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def child(side: str) -> float:
    """Seconds of one fit, or megabytes beyond the data."""
    data = table()
    fit("ours" if side == "memory" else side, data.iloc[: ROWS // 10])
    if side != "memory":
        start = time.perf_counter()
        fit(side, data)
        return time.perf_counter() - start
    before, seen, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    fit("ours", data)
    done.set()
    watcher.join()
    return (max(seen) - before) / 1e6


def main() -> int:
    """Print the table; the exit code is 1 when a bar is missed."""
    sides = ("ours", "smf", "glum")
    runs = in_turn(lambda side: printed(__file__, side), sides, ROUNDS)
    missed = 0
    for peer in sides[1:]:
        ratios = [run[peer] / run["ours"] for run in runs]
        middle = statistics.median(ratios)
        missed += middle < BARS[peer]
        times = " : ".join(f"{statistics.median(run[s] for run in runs):.3f} s" for s in (peer, "ours"))
        print(
            f"{peer:6s} / ours  {middle:6.1f} ({min(ratios):.1f} to {max(ratios):.1f})  bar >= "
            f"{BARS[peer]:g}   {times}"
        )
    memory = printed(__file__, "memory")
    missed += memory > BARS["memory"]
    print(f"memory beyond the data  {memory:.0f} MB  bar <= {BARS['memory']:g} MB")
    return int(missed > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(child(sys.argv[1])))
    else:
        raise SystemExit(main())
