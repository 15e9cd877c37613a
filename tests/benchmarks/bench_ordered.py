"""Ordered logit and probit beside statsmodels' OrderedModel, each fitted with its errors in one run.

::

    python tests/benchmarks/bench_ordered.py

The bars: 50 times as fast on 1,000 rows, 10 times on 100,000, parameters equal to 1e-7 and errors to 1e-6.

2026-11-29, the shortest of five runs: logit 56, probit 54 on 1,000 rows; 88 and 88 on 100,000.  A fit of a
millisecond suffers more than its peer where many processes share the processor: 34 and 35 were seen there.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.miscmodels.ordinal_model import OrderedModel
from timing import timed

import disteconometrics as de

BARS = {1_000: 50, 100_000: 10}


def compare(n: int, law: str) -> tuple[float, float, float, float]:
    """Seconds of both, and the largest differences of parameters and of errors."""
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 4))
    noise = rng.logistic(size=n) if law == "logit" else rng.normal(size=n)
    y = np.searchsorted([-1.0, 0.0, 1.0], X @ [0.5, -1.0, 0.3, 0.0] + noise)
    data = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    model = (de.OrderedLogit if law == "logit" else de.OrderedProbit)("y ~ a + b + c + d")
    few = n < 10_000
    ours, res = timed(lambda: (r := model.fit(data), r.bse)[0], 50 if few else 5)

    def other() -> Any:
        fit = OrderedModel(y, X, distr=law).fit(method="newton", disp=0, maxiter=100)
        return fit, fit.bse

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its Newton's iteration was stopped by its own rule
        theirs, (fit, errors) = timed(other, 5 if few else 1)
    values = np.concatenate([fit.params[:4], fit.model.transform_threshold_params(fit.params)[1:-1]])
    apart = float(np.abs(res.params.to_numpy() - values).max())
    return ours, theirs, apart, float(np.abs(res.bse.to_numpy()[:4] - errors[:4]).max())


def main() -> None:
    """Print the table."""
    print("rows     law     ours (s)  statsmodels (s)  times   bar  parameters  errors")
    for n, bar in BARS.items():
        for law in ("logit", "probit"):
            ours, theirs, params, errors = compare(n, law)
            print(
                f"{n:<8,} {law:<7} {ours:8.4f} {theirs:16.3f} {theirs / ours:7.0f} {bar:5d} "
                f"{params:11.1e} {errors:7.1e}"
            )


if __name__ == "__main__":
    main()
