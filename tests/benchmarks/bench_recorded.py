"""What a left side that says how outcomes were recorded costs beside the exact fit, in one run.

::

    python tests/benchmarks/bench_recorded.py [rows] [rounds]
    python tests/benchmarks/bench_recorded.py answers [rows] [rounds]

The bar is three times the processor time of the exact fit with its errors, recorder by recorder; medians of
interleaved rounds.

2026-11-29, 1,000 rows, 15 rounds: `NormalRegression` 1.4 to 1.6, with a mass 2.0; `FlowDensity` 1.3 to 1.9,
told as intervals 2.4 and in brackets 2.7, where shifts and a tensor are tried that the exact
fit does not try.

Answers, 2026-11-29, two covariates, seconds of the processor on a machine with much else to do (before: the
parent commit, at 50,000 rows one round):

======================  ===============================  ================================
..                      5,000: fit, summary, effect      50,000: fit, summary, effect
======================  ===============================  ================================
hurdle, normal          .01  .05 (.11)  .01 (.02)        .01  .32 (.70)   .07 (.12)
hurdle, flow            .14  .19 (.60)  .06 (.21)        .44  1.61 (8.8)  .67 (3.5)
hurdle, positive flow   .14  .32 (.92)  .10 (.30)        .45  3.45 (14)   1.32 (5.6)
corner, flow            .30  .27 (.98)  .08 (.36)        .60  2.64 (15)   .85 (5.8)
corner, positive flow   .28  .53 (2.1)  .15 (.64)        .66  5.94 (29)   1.87 (9.8)
top-coded flow          .31  .13 (.28)  .04 (.11)        .50  .98 (3.7)   .32 (2.3)
exact flow              .12  .13 (.14)  .03 (.03)        .32  .83 (.81)   .21 (.21)
exact positive flow     .12  .27 (.46)  .07 (.12)        .31  2.72        .87
======================  ===============================  ================================

The bar of a summary, three fits or 1 s, is met at 5,000 rows, and at 50,000 by normal laws and top-coded
flows; a hurdle of flows needs 3.7 fits there, a flow at a corner 4.4, positive flows 8 to 9, exact ones too.
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import disteconometrics as de

BAR = 3.0
LEFT = {
    "exact": "y",
    "topcoded": "topcoded(c, at=5.5)",
    "bottomcoded": "bottomcoded(f, at=3)",
    "interval": "interval(low, high)",
    "rounded": "rounded(r, to=0.5)",
    "brackets": "brackets(y, [-inf, 2, 3, 3.5, 4, 4.5, 5, 6, inf])",
    "mass": "mass(z, 0)",
    "corner": "mass(f, 3, corner=True)",
}


def table(n: int) -> pd.DataFrame:
    """One outcome, recorded in all ways."""
    rng = np.random.default_rng(n)
    x, d = rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    y = 4 + 0.5 * x + 0.5 * d + np.where(rng.random(n) < 0.3, 1.5, 0.6) * rng.normal(size=n)
    steps = np.floor(y * 2) / 2
    return pd.DataFrame(
        {
            "x": x,
            "d": d,
            "y": y,
            "c": y.clip(None, 5.5),
            "f": y.clip(3),
            "low": steps,
            "high": steps + 0.5,
            "r": np.round(y * 2) / 2,
            "z": np.where(rng.random(n) < 0.3, 0.0, y),
        }
    )


def times(estimator: Any, data: pd.DataFrame, rounds: int) -> dict[str, list[float]]:
    """Seconds of the processor for every left side, round by round."""
    found: dict[str, list[float]] = {name: [] for name in LEFT}
    for _ in range(rounds + 1):  # the first warms up
        for name, left in LEFT.items():
            start = time.process_time()
            _ = estimator(f"{left} ~ x + d").fit(data, cov="HC0")
            found[name].append(time.process_time() - start)
    return {name: seconds[1:] for name, seconds in found.items()}


ANSWERS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "hurdle, normal": (de.NormalRegression, "mass(z, 0)", {}),
    "hurdle, flow": (de.FlowDensity, "mass(z, 0)", {}),
    "hurdle, positive flow": (de.FlowDensity, "mass(w, 0)", {"support": "positive"}),
    "corner, normal": (de.NormalRegression, "mass(f, 3, corner=True)", {}),
    "corner, flow": (de.FlowDensity, "mass(f, 3, corner=True)", {}),
    "corner, positive flow": (de.FlowDensity, "mass(v, 1, corner=True)", {"support": "positive"}),
    "top-coded flow": (de.FlowDensity, "topcoded(c, at=5.5)", {}),
    "exact flow": (de.FlowDensity, "y", {}),
    "exact positive flow": (de.FlowDensity, "p", {"support": "positive"}),
}


def answers(n: int, rounds: int) -> None:
    """Print what a fit, its summary and an effect of it cost, medians of rounds."""
    data = table(n)
    data["p"] = np.exp(data["y"] / 3)
    data["w"], data["v"] = np.where(data["z"] != 0, data["p"], 0.0), (data["p"] / np.e).clip(1)
    print(f"{n} rows; seconds of the processor: fit, summary, effect; bar of the summary 3 fits or 1 s")
    for name, (estimator, left, options) in ANSWERS.items():
        found = []
        for _ in range(rounds):
            marks = [time.process_time()]
            res = estimator(f"{left} ~ x + d", **options).fit(data, cov="HC1")
            for ask in (int, res.summary, partial(res.effect, "d", 0, 1)):  # the first does nothing
                ask()
                marks.append(time.process_time())
            found.append(np.diff(marks))
        fit, summary, effect = np.median(found, axis=0)
        print(f"{name:22s} {fit:7.2f} {summary:7.2f} {effect:7.2f}", flush=True)


def main() -> None:
    """Print the table."""
    if "answers" in sys.argv:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers(*(int(v) for v in (sys.argv[2:] + ["5000", "3"][len(sys.argv) - 2 :])))
        return
    n, rounds = (int(v) for v in (sys.argv[1:] + ["1000", "9"][len(sys.argv) - 1 :]))
    print(f"{n} rows; times the exact fit, bar {BAR:g}")
    for estimator in (de.NormalRegression, de.FlowDensity):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = times(estimator, table(n), rounds)
        for name, seconds in found.items():
            ratio = median(a / b for a, b in zip(seconds, found["exact"], strict=True))
            print(f"{estimator.__name__:17s} {name:12s} {median(seconds):8.4f} s {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
