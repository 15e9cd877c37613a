"""How fast a Monte Carlo study is, against loops over statsmodels, with a bar for every row.

Run it on a machine that does nothing else::

    python tests/benchmarks/bench_monte_carlo.py            # about three minutes

Protocol
--------
Every figure comes from a process of its own; ours and the peer's are started in turn, at least five times, in
alternating order, and the ratio is taken within each round (median, minimum, maximum).  One BLAS/OpenMP
thread; variables that choose a BLAS kernel are removed from the environment of the children.  Each process
runs the call once without timing, then takes the median of as many calls as fit into two seconds, at least
one; the peer's loop is timed over 100 replications and scaled.

*Study*: 1,000 replications of n = 1,000, x ~ N(0, 1), y = 1{v1 > v0} from utilities v0 = Gumbel and v1 = 1 +
2x + Gumbel; data drawn, fitted by the formula, standard errors, limits, and the table of measures with Monte
Carlo standard errors: ours is ``de.MonteCarlo(...).run(reps=1000).table()``.  Against a loop over
``smf.logit("y ~ x", frame)`` (*formula*) and over ``sm.Logit(y, X)`` (*arrays*), each with estimates,
standard errors, limits and the coverage they give. *Grid* (no peer; a bar in seconds): 10,000 replications of
each of four cells, n = 250, 500, 1,000 and 2,000, two workers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SEED = 20240901
REPS, PEER_REPS = 1_000, 100
SECONDS = 2.0
ROWS = {"study, formula": 40, "study, arrays": 5}
GRID_BAR = 60.0
OVERRIDES = ("OPENBLAS_", "GOTO_", "MKL_", "OMP_", "BLIS_", "NVPL_", "VECLIB_", "NUMEXPR_")
TRUTH = {"Intercept": 1.0, "x": 2.0}


def draw(rng: Any, n: int = 1_000) -> dict[str, Any]:
    """The lecture's random-utility logit."""
    x = rng.normal(size=n)
    v0, v1 = rng.gumbel(size=n), 1 + 2 * x + rng.gumbel(size=n)
    return {"x": x, "y": (v1 > v0).astype(float)}


def study(side: str, formula: bool) -> Callable[[], Any]:
    """Call for the first rows."""
    import numpy as np

    if side == "ours":
        import disteconometrics as de

        mc = de.MonteCarlo(draw, {"mle": de.Logit("y ~ x")}, truth=TRUTH)
        return lambda: mc.run(reps=REPS, seed=SEED).table()
    import pandas as pd
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    truth = np.array(list(TRUTH.values()))

    def loop() -> Any:
        rng, found = np.random.default_rng(SEED), []
        for _ in range(PEER_REPS):
            d = draw(rng)
            if formula:
                res = smf.logit("y ~ x", pd.DataFrame(d)).fit(disp=0)
            else:
                res = sm.Logit(d["y"], np.column_stack([np.ones(len(d["x"])), d["x"]])).fit(disp=0)
            low, high = np.asarray(res.conf_int()).T
            found.append(
                (np.asarray(res.params) - truth, np.asarray(res.bse), (low <= truth) & (truth <= high))
            )
        return [np.mean(part, axis=0) for part in zip(*found, strict=True)]

    return loop


def child(row: str, side: str) -> None:
    """Time one side and print the seconds for all replications."""
    call = study(side, row.endswith("formula"))
    call()
    times: list[float] = []
    while not times or sum(times) < SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    print(json.dumps(statistics.median(times) * (1 if side == "ours" else REPS / PEER_REPS)))


def grid() -> None:
    """Time the study of four cells and print the seconds."""
    import disteconometrics as de

    mc = de.MonteCarlo(draw, {"mle": de.Logit("y ~ x")}, truth=TRUTH, grid={"n": [250, 500, 1_000, 2_000]})
    start = time.perf_counter()
    mc.run(reps=10_000, seed=SEED, n_jobs=2).table()
    print(json.dumps(time.perf_counter() - start))


def measure(*arguments: str) -> float:
    """The figure that a new process prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDES)}
    clean |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    clean["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(Path(__file__).resolve()), "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments}:\n{done.stderr}")
    return float(json.loads(done.stdout))


def main() -> int:
    """Run all rows and print the table; the exit code is 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="rounds per row")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        grid() if options.child == ["grid"] else child(*options.child)
        return 0
    print(f"one thread, {options.pairs} interleaved rounds, load {os.getloadavg()[0]:.2f}")
    failed = False
    for row, bar in ROWS.items():
        if options.only not in row:
            continue
        order = ("ours", "peer")
        rounds = [
            {s: measure(row, s) for s in (order if i % 2 == 0 else order[::-1])} for i in range(options.pairs)
        ]
        ratios = [r["peer"] / r["ours"] for r in rounds]
        median = statistics.median(ratios)
        failed |= median < bar
        ours = 1000 * statistics.median([r["ours"] for r in rounds])
        verdict = "PASS" if median >= bar else "FAIL"
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        print(f"{row:24s} {median:6.1f} ({spread})  bar {bar}  {verdict}  {ours:.0f} ms", flush=True)
    if options.only in "grid":
        seconds = measure("grid")
        failed |= seconds > GRID_BAR
        print(
            f"{'grid, 4 x 10,000':24s} {seconds:6.1f} s  bar {GRID_BAR:.0f} s  "
            f"{'PASS' if seconds <= GRID_BAR else 'FAIL'}"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
