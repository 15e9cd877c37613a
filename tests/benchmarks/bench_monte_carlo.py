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

*keep="measures"* (no bar; 29 November 2026, a logit of n = 50, one worker at a load of 17): 1e6 replications
take 35 CPU seconds, 3e6 101, and 2 MB beyond the process before in both. 1e7, which were not run, would take
some 340 seconds at that rate.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from timing import printed, ratios, seconds

SEED = 20240901
REPS, PEER_REPS = 1_000, 100
SECONDS = 2.0
ROWS = {"study, formula": 40, "study, arrays": 5}
GRID_BAR = 60.0
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


def child(row: str, side: str = "ours") -> None:
    """Time one side and print the seconds for all replications, or for the study of four cells."""
    if row == "grid":
        print(json.dumps(grid()))
        return
    call = study(side, row.endswith("formula"))
    call()
    print(json.dumps(seconds(call, SECONDS) * (1 if side == "ours" else REPS / PEER_REPS)))


def grid() -> float:
    """Seconds of the study of four cells."""
    import disteconometrics as de

    mc = de.MonteCarlo(draw, {"mle": de.Logit("y ~ x")}, truth=TRUTH, grid={"n": [250, 500, 1_000, 2_000]})
    start = time.perf_counter()
    mc.run(reps=10_000, seed=SEED, n_jobs=2).table()
    return time.perf_counter() - start


def missed_grid(only: str) -> bool:
    """Whether the study of four cells misses its bar, if it is asked for."""
    if only not in "grid":
        return False
    found = float(printed(__file__, "--child", "grid"))
    verdict = "PASS" if found <= GRID_BAR else "FAIL"
    print(f"{'grid, 4 x 10,000':34s} {found:6.1f} s  bar {GRID_BAR:.0f} s  {verdict}")
    return found > GRID_BAR


if __name__ == "__main__":
    sys.exit(ratios(__file__, str(__doc__), ROWS, child, missed_grid))
