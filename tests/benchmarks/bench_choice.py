"""Multinomial and conditional logit beside statsmodels' models, each with errors, in one run.

::

    python tests/benchmarks/bench_choice.py

Seconds are of the processor.  The bars: 3 times MNLogit on 100,000 rows with six regressors and four
categories; 50 times as fast as ConditionalLogit on its own task, groups with several successes, and right to
1e-9, the size of the last Newton step from there.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.discrete.conditional_models import ConditionalLogit

import disteconometrics as de


def timed(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """The shortest of several times in seconds, and the last result."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        found = work()
        times.append(time.process_time() - start)
    return min(times), found


def multinomial(n: int) -> tuple[float, float, float, float]:
    """Seconds of both, and the largest differences of parameters and errors."""
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 6))
    B = 0.4 * rng.normal(size=(6, 4))
    y = (X @ B + rng.gumbel(size=(n, 4))).argmax(axis=1)
    names = list("abcdef")
    data = pd.DataFrame(X, columns=names).assign(y=y)
    model = de.MultinomialLogit("y ~ " + " + ".join(names))
    ours, res = timed(lambda: (r := model.fit(data), r.bse)[0], 3)
    Z = sm.add_constant(X)
    theirs, fit = timed(lambda: (f := sm.MNLogit(y, Z).fit(disp=0), f.bse)[0], 2)
    values, errors = (np.asarray(a).T.ravel() for a in (fit.params, fit.bse))
    apart = np.abs(res.params.to_numpy() - values).max(), np.abs(res.bse.to_numpy() - errors).max()
    return ours, theirs, float(apart[0]), float(apart[1])


def conditional(groups: int, size: int) -> tuple[float, float, float, float]:
    """Seconds of both, the difference of parameters, and our last step."""
    rng = np.random.default_rng(groups)
    ids = np.repeat(np.arange(groups), size)
    X = rng.normal(size=(len(ids), 3))
    index = X @ [0.5, -0.5, 0.2] + rng.normal(size=groups)[ids]
    y = (index + rng.logistic(size=len(ids)) > 0).astype(int)
    data = pd.DataFrame(X, columns=list("abc")).assign(y=y, id=ids)
    model = de.ConditionalLogit("y ~ a + b + c", choice="id", successes="exact")
    ours, res = timed(lambda: (r := model.fit(data), r.bse)[0], 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of groups without variation
        theirs, fit = timed(
            lambda: (f := ConditionalLogit(y, X, groups=ids).fit(disp=0, method="bfgs"), f.bse)[0], 1
        )
    return ours, theirs, float(np.abs(res.params.to_numpy() - fit.params).max()), res.facts.decrement**0.5


def main() -> None:
    """Print the table."""
    print(
        "task                              ours (s)  statsmodels (s)  times  bar  parameters  errors or step"
    )
    for n in (1_000, 100_000):
        ours, theirs, params, errors = multinomial(n)
        row = f"multinomial, {n:,} rows"
        print(f"{row:<33} {ours:8.4f} {theirs:16.3f} {theirs / ours:6.1f}    3 {params:11.1e} {errors:9.1e}")
    for groups, size in ((500, 8), (2_000, 6)):
        ours, theirs, params, step = conditional(groups, size)
        row = f"conditional, {groups:,} groups of {size}"
        print(f"{row:<33} {ours:8.4f} {theirs:16.3f} {theirs / ours:6.1f}   50 {params:11.1e} {step:9.1e}")


if __name__ == "__main__":
    main()
