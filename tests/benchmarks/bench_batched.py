"""How fast many logits are, against a loop over statsmodels, with a bar for every row.

Run it on a machine that does nothing else::

    python tests/benchmarks/bench_batched.py            # about two minutes

Protocol
--------
Every figure comes from a process of its own; ours and the peer's are started in turn, at least five times, in
alternating order, and the ratio is taken within each round (median, minimum, maximum).  One BLAS/OpenMP
thread; variables that choose a BLAS kernel are removed from the environment of the children.  Each process
runs the call once without timing, then takes the median of as many calls as fit into two seconds, at least
one; the peer's loop is timed over 100 problems and scaled.

*Fits, arrays*: 1,000 data sets of n = 1,000, k = 3 to parameters and standard errors, against ``sm.Logit(y,
X).fit(disp=0)`` with ``bse``.  *Bootstrap, arrays*: 1,000 pairs replications at n = 1,000, k = 8, from arrays
to estimates, weights drawn, against ``sm.Logit(y[idx], X[idx]).fit(disp=0)``.  *Bootstrap, formula*:
``de.bootstrap(de.Logit(formula), table)`` to the table of draws, against ``smf.logit(formula,
table.iloc[idx]).fit(disp=0)``.  *Bootstrap, formula against arrays* has no bar: ours reads the table and the
formula, the peer's loop does not.
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
PROBLEMS, PEER_PROBLEMS = 1_000, 100
SECONDS = 2.0
ROWS = {
    "fits, arrays": 18,
    "bootstrap, arrays": 35,
    "bootstrap, formula": 35,
    "bootstrap, formula against arrays": 0,
}
OVERRIDES = ("OPENBLAS_", "GOTO_", "MKL_", "OMP_", "BLIS_", "NVPL_", "VECLIB_", "NUMEXPR_")


def fits(side: str) -> Callable[[], Any]:
    """Call for the first row."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(PROBLEMS, 1_000, 3))
    X[:, :, 0] = 1
    y = (X @ (rng.normal(size=3) / np.sqrt(3)) + rng.logistic(size=(PROBLEMS, 1_000)) > 0).astype(float)
    if side == "ours":
        from disteconometrics.likelihoods.logistic import LOGISTIC
        from disteconometrics.optim.batched import maximise_many

        return lambda: maximise_many(LOGISTIC, X, y).std_error
    import statsmodels.api as sm

    return lambda: [sm.Logit(y[i], X[i]).fit(disp=0).bse for i in range(PEER_PROBLEMS)]


def bootstrap(side: str, row: str) -> Callable[[], Any]:
    """Call for the other rows."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(SEED)
    n, k = 1_000, 8
    X = rng.normal(size=(n, k))
    X[:, 0] = 1
    y = (X @ (rng.normal(size=k) / np.sqrt(k)) + rng.logistic(size=n) > 0).astype(float)
    table = pd.DataFrame({f"x{j}": X[:, j] for j in range(1, k)} | {"y": y})
    formula = "y ~ " + " + ".join(table.columns[:-1])
    if side == "peer" and row == "bootstrap, formula":
        import statsmodels.formula.api as smf

        return lambda: [
            smf.logit(formula, table.iloc[rng.integers(n, size=n)]).fit(disp=0).params
            for _ in range(PEER_PROBLEMS)
        ]
    if side == "peer":
        import statsmodels.api as sm

        def loop() -> None:
            for _ in range(PEER_PROBLEMS):
                drawn = rng.integers(n, size=n)
                sm.Logit(y[drawn], X[drawn]).fit(disp=0)

        return loop
    if row != "bootstrap, arrays":
        import disteconometrics as de

        return lambda: de.bootstrap(de.Logit(formula), table, reps=PROBLEMS, seed=1).draws
    from disteconometrics.inference.resample import ResamplingPlan
    from disteconometrics.likelihoods.logistic import LOGISTIC
    from disteconometrics.optim.batched import maximise_weighted, share, solve_shared

    plan = ResamplingPlan(np.random.SeedSequence(SEED), "counts", n, n)

    def run() -> Any:
        full = maximise_weighted(LOGISTIC, X, y, np.ones((1, n))).params[0]
        shared, chunk = share(LOGISTIC, X, y, None), plan.chunk
        sizes = [min(chunk, PROBLEMS - start) for start in range(0, PROBLEMS, chunk)]
        return [solve_shared(shared, plan.draw(i, size), full, False).params for i, size in enumerate(sizes)]

    return run


def child(row: str, side: str) -> None:
    """Time one side and print the seconds for all problems."""
    call = fits(side) if row.startswith("fits") else bootstrap(side, row)
    call()
    times: list[float] = []
    while not times or sum(times) < SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    print(json.dumps(statistics.median(times) * (1 if side == "ours" else PROBLEMS / PEER_PROBLEMS)))


def measure(row: str, side: str) -> float:
    """The figure that a new process prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDES)}
    clean |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    clean["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(Path(__file__).resolve()), "--child", row, side]
    done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    if done.returncode:
        raise SystemExit(f"{row}, {side}:\n{done.stderr}")
    return float(json.loads(done.stdout))


def main() -> int:
    """Run all rows and print the table; the exit code is 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="rounds per row")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--child", nargs=2, metavar=("ROW", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
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
        verdict = f"bar {bar}  {'PASS' if median >= bar else 'FAIL'}" if bar else "no bar"
        print(
            f"{row:34s} {median:6.1f} ({min(ratios):.1f} to {max(ratios):.1f})  {verdict}  {ours:.0f} ms",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
