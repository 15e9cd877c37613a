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

import json
import sys
from collections.abc import Callable
from typing import Any

from timing import ratios, seconds

SEED = 20240901
PROBLEMS, PEER_PROBLEMS = 1_000, 100
SECONDS = 2.0
ROWS = {
    "fits, arrays": 18,
    "bootstrap, arrays": 35,
    "bootstrap, formula": 35,
    "bootstrap, formula against arrays": 0,
}


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
    from disteconometrics.optim.batched import share, solve_shared

    plan = ResamplingPlan(np.random.SeedSequence(SEED), "counts", n, n)

    def run() -> Any:
        shared, chunk = share(LOGISTIC, X, y, None), plan.chunk
        full = solve_shared(shared, np.ones((1, n)), np.zeros(X.shape[1]), True).params[0]
        sizes = [min(chunk, PROBLEMS - start) for start in range(0, PROBLEMS, chunk)]
        return [solve_shared(shared, plan.draw(i, size), full, False).params for i, size in enumerate(sizes)]

    return run


def child(row: str, side: str) -> None:
    """Time one side and print the seconds for all problems."""
    call = fits(side) if row.startswith("fits") else bootstrap(side, row)
    call()
    print(json.dumps(seconds(call, SECONDS) * (1 if side == "ours" else PROBLEMS / PEER_PROBLEMS)))


if __name__ == "__main__":
    sys.exit(ratios(__file__, str(__doc__), ROWS, child, lambda only: False))
