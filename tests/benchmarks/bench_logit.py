"""How fast the logit is, against a bare X'X and against statsmodels, with a bar for every row.

Run it on a machine that does nothing else::

    python tests/benchmarks/bench_logit.py            # about ten minutes
    python tests/benchmarks/bench_logit.py --quick    # small sizes, two pairs, one thread: a look, not a
    verdict

Protocol
--------
*Processes.*  Every figure comes from a process of its own: the parent starts ours and the peers in turn, at
least five times, in alternating order, and takes the ratio within each round.  A row shows the median ratio
with its minimum and maximum.  Bars bind on one BLAS/OpenMP thread; the same ratios on two threads stand
beside them.  Variables that choose a BLAS kernel or its threads are removed from the environment of the
children first; CPU, kernel and threads are printed as they were found.

*Data.*  Standard-normal regressors after a column of ones (k counts it), coefficients N(0, 1)/√k, logistic
noise, fixed seeds.

*Array rows* time engine calls: from float64 y and row-major X to parameters and standard errors, with the
checks of rank and separation, against ``X.T @ X`` once and against ``sm.Logit(y, X).fit(disp=0)`` with
``bse``.  *Formula rows* time ``de.Logit(f).fit(df)`` against ``smf.logit(f, df).fit(disp=0)``; with
``summary``, both print their table as text.  All settings are defaults.  Each process first runs the call
once without timing (on a tenth of the rows when X has more than 1e7 entries), then takes the median of as
many calls as fit into a second, at least one.  The last row is the wall time of a whole new process, imports
included, that fits 1,000 rows and prints the summary once.

*Memory* is that of a process which holds y and X, has run a small fit, and then runs one fit: the peak of its
resident memory afterwards (``resource.getrusage``: ``ru_maxrss``) less the resident memory just before
(``/proc/self/statm``).  The peak counts from the start of the process, so the figure is an upper bound.

*Error* is the largest distance, in standard errors, from the solution polished by Newton steps whose score is
computed in 80-bit floats.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timing import environment, in_turn, seconds

ROOT = Path(__file__).resolve().parents[2]
SEED = 20240607
WARM_ENTRIES = 10_000_000  # of X; beyond, a tenth of the rows is enough to warm up
SECONDS = 1.0  # spent on repeated calls in one process
MOST_CALLS = 200
CHUNK = 50_000  # rows at a time for data and for the 80-bit score
LARGEST_ERROR = 1e-8  # standard errors
LARGEST_MEMORY = 0.10  # of X


@dataclass(frozen=True)
class Row:
    """A problem with its bars: at most ``gram`` times a bare X'X,
    at least ``peer`` times faster than statsmodels.
    """

    name: str
    kind: str  # array, formula, summary, process
    n: int
    k: int
    peer: float
    gram: float | None = None
    memory: bool = False

    @property
    def sides(self) -> tuple[str, ...]:
        return ("ours", "peer") if self.gram is None else ("ours", "gram", "peer")


ROWS = (
    Row("array n=1e6 k=50", "array", 1_000_000, 50, peer=14, gram=4, memory=True),
    Row("array n=1e6 k=10", "array", 1_000_000, 10, peer=8, gram=7),
    Row("array n=1e5 k=10", "array", 100_000, 10, peer=8),
    Row("array n=1e4 k=10", "array", 10_000, 10, peer=3),
    Row("formula n=1e6, 4 columns", "formula", 1_000_000, 5, peer=3),
    Row("formula n=1,000 k=3 + summary", "summary", 1_000, 3, peer=1),
    Row("new process, fit + summary", "process", 1_000, 3, peer=1),
)
QUICK = (
    Row("array n=1e5 k=50", "array", 100_000, 50, peer=14, gram=4, memory=True),
    Row("array n=1e5 k=10", "array", 100_000, 10, peer=8, gram=7),
    Row("array n=1e4 k=10", "array", 10_000, 10, peer=3),
    Row("formula n=1e5, 4 columns", "formula", 100_000, 5, peer=3),
    *ROWS[-2:],
)


# ---- in a child: data, calls, figures ----------------------------------------------------------------------


def arrays(n: int, k: int) -> tuple[Any, Any]:
    """Outcome y (n,) and design X (n, k), float64 and row-major, made in chunks so that no peak of memory is
    left behind.
    """
    import numpy as np

    rng = np.random.default_rng(SEED + k)
    beta = rng.normal(size=k) / np.sqrt(k)
    X, y = np.empty((n, k)), np.empty(n)
    for i in range(0, n, CHUNK):
        part = X[i : i + CHUNK]
        rng.standard_normal(out=part)
        part[:, 0] = 1.0
        y[i : i + CHUNK] = part @ beta + rng.logistic(size=len(part)) > 0
    return y, X


def frame(n: int, k: int) -> tuple[str, Any]:
    """The same data as a formula and a table with columns y, x1, x2, …"""
    import pandas as pd

    y, X = arrays(n, k)
    table = pd.DataFrame({f"x{j}": X[:, j].copy() for j in range(1, k)})
    return "y ~ " + " + ".join(table.columns), table.assign(y=y)


def engine(y: Any, X: Any) -> tuple[Any, Any]:
    """Parameters and standard errors by the engine, checks included."""
    import numpy as np

    from disteconometrics.blocks import Block
    from disteconometrics.likelihoods.index_model import IndexModel
    from disteconometrics.likelihoods.logistic import LOGISTIC
    from disteconometrics.optim.newton import maximise

    m = maximise(IndexModel(LOGISTIC, [Block(y, X)]))
    return m.params, np.sqrt((m.root**2).sum(1))


def array_call(side: str, n: int, k: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The call to time and the call to warm up with."""
    y, X = arrays(n, k)
    part = slice(0, n if n * k <= WARM_ENTRIES else n // 10)
    few = y[part], X[part]
    if side == "ours":
        return lambda: engine(y, X), lambda: engine(*few)
    if side == "gram":
        return lambda: X.T @ X, lambda: X.T @ X
    import statsmodels.api as sm

    return lambda: sm.Logit(y, X).fit(disp=0).bse, lambda: sm.Logit(*few).fit(disp=0).bse


def formula_call(side: str, n: int, k: int, summary: bool) -> tuple[Callable[[], Any], Callable[[], Any]]:
    formula, table = frame(n, k)
    few = table if n * k <= WARM_ENTRIES else table.iloc[: n // 10]
    if side == "ours":
        import disteconometrics as de

        def run(data: Any) -> Any:
            res = de.Logit(formula).fit(data)
            return res.summary().as_text() if summary else res.bse
    else:
        import statsmodels.formula.api as smf

        def run(data: Any) -> Any:
            res = smf.logit(formula, data).fit(disp=0)
            return res.summary().as_text() if summary else res.bse

    return lambda: run(table), lambda: run(few)


def warmed(call: Callable[[], Any], warm: Callable[[], Any]) -> float:
    """Median wall time of calls after one that does not count."""
    warm()
    return seconds(call, SECONDS, MOST_CALLS)


def peak_memory(n: int, k: int) -> float:
    """Peak resident memory of one fit beyond what was there, as a share of X."""
    import resource

    engine(*arrays(1_000, k))
    y, X = arrays(n, k)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    engine(y, X)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / X.nbytes


def error(n: int, k: int) -> float:
    """Largest distance of the estimates from the polished solution, in standard errors."""
    import numpy as np

    y, X = arrays(n, k)
    params, se = engine(y, X)
    beta = params.astype(np.longdouble)
    for _ in range(3):
        score, information = np.zeros(k, dtype=np.longdouble), np.zeros((k, k))
        for i in range(0, n, CHUNK):
            part = X[i : i + CHUNK]
            p = 1 / (1 + np.exp(-(part.astype(np.longdouble) @ beta)))
            score += (y[i : i + CHUNK] - p) @ part
            information += (part.T * (p * (1 - p)).astype(np.float64)) @ part
        beta += np.linalg.solve(information, score.astype(np.float64))
    return float(np.max(np.abs(params - beta) / se))


def machine() -> dict[str, Any]:
    import numpy as np
    import scipy
    import scipy.linalg
    import statsmodels
    from threadpoolctl import threadpool_info

    kernels = {
        f"{p['internal_api']} {p.get('version')} {p.get('architecture', '')} × {p['num_threads']}".replace(
            "  ", " "
        )
        for p in threadpool_info()
    }
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}
    return {"kernels": sorted(kernels), "versions": {"python": platform.python_version(), **versions}}


def child(row: Row, side: str) -> None:
    """Measure one thing and print it as JSON."""
    value: Any
    if side == "machine":
        value = machine()
    elif side == "memory":
        value = peak_memory(row.n, row.k)
    elif side == "error":
        value = error(row.n, row.k)
    elif row.kind == "array":
        value = warmed(*array_call(side, row.n, row.k))
    elif row.kind == "process":
        print(formula_call(side, row.n, row.k, True)[0]())
        return
    else:
        value = warmed(*formula_call(side, row.n, row.k, row.kind == "summary"))
    print(json.dumps(value))


# ---- in the parent: rounds, ratios, table ------------------------------------------------------------------


def measure(rows: tuple[Row, ...], row: Row, side: str, threads: int) -> Any:
    """The figure that a new process prints, or the wall time of the process itself."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", str(rows.index(row)), side]
    if rows is QUICK:
        command.append("--quick")
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment(threads), check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{row.name}, {side}:\n{done.stderr}")
    return wall if row.kind == "process" and side in row.sides else json.loads(done.stdout)


def rounds(rows: tuple[Row, ...], row: Row, pairs: int, threads: int) -> list[dict[str, float]]:
    if row.kind == "process":  # compiled files are there from now on
        for side in row.sides:
            measure(rows, row, side, threads)
    return in_turn(lambda side: measure(rows, row, side, threads), row.sides, pairs)


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def shown(t: float) -> str:
    return f"{t:.2f} s" if t >= 1 else f"{1000 * t:.3g} ms"


def lines(rows: tuple[Row, ...], row: Row, pairs: int, threads: tuple[int, ...]) -> list[list[str]]:
    """The lines of the table for one row: quantity, one thread, bar, verdict, two threads, times."""
    runs = {t: rounds(rows, row, pairs, t) for t in threads}
    one = runs[threads[0]]

    def line(
        what: str,
        ratio: Callable[[dict[str, float]], float],
        bar: str,
        good: Callable[[float], bool],
        sides: str,
    ) -> list[str]:
        found = {t: [ratio(r) for r in runs[t]] for t in threads}
        verdict = "PASS" if good(statistics.median(found[threads[0]])) else "FAIL"
        other = spread(found[threads[1]]) if len(threads) > 1 else ""
        times = " : ".join(shown(statistics.median([r[s] for r in one])) for s in sides.split())
        return [row.name, what, spread(found[threads[0]]), bar, verdict, other, times]

    table = [
        line(
            "statsmodels / ours",
            lambda r: r["peer"] / r["ours"],
            f">= {row.peer:g}",
            lambda v: v >= row.peer,
            "peer ours",
        )
    ]
    if row.gram is not None:
        most = row.gram
        table.append(
            line(
                "ours / X'X",
                lambda r: r["ours"] / r["gram"],
                f"<= {most:g}",
                lambda v: v <= most,
                "ours gram",
            )
        )
    for side, what, largest in (
        ("memory", "memory / X", LARGEST_MEMORY),
        ("error", "error / SE", LARGEST_ERROR),
    ):
        if row.kind == "array" and (side == "error" or row.memory):
            value = {t: measure(rows, row, side, t) for t in threads}
            texts = [f"{v:.3f}" if side == "memory" else f"{v:.1e}" for v in value.values()]
            verdict = "PASS" if value[threads[0]] <= largest else "FAIL"
            table.append(
                [row.name, what, texts[0], f"<= {largest:g}", verdict, texts[1] if len(texts) > 1 else "", ""]
            )
    return table


def cpu() -> str:
    try:
        for text in Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


HEAD = ["row", "quantity", "1 thread: median (range)", "bar", "", "2 threads", "times on 1 thread"]


def show(cells: list[str]) -> None:
    widths = (30, 19, 26, 9, 5, 24, 20)
    print("  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip(), flush=True)


def main() -> int:
    """Run all rows and print the table; the exit code is 1 when a bar is missed at full size."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, two pairs, one thread")
    parser.add_argument("--pairs", type=int, help="rounds per row (default 5; 2 when quick)")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--child", nargs=2, metavar=("ROW", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = QUICK if options.quick else ROWS
    if options.child:
        child(rows[int(options.child[0])], options.child[1])
        return 0
    pairs = options.pairs or (2 if options.quick else 5)
    threads = (1,) if options.quick else (1, 2)
    print(f"CPU: {cpu()}, {os.cpu_count()} logical; load {os.getloadavg()[0]:.2f}")
    for t in threads:
        found = measure(rows, rows[0], "machine", t)
        print(f"{t} thread{'s' if t > 1 else ''}: {'; '.join(found['kernels'])}")
    print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    print(
        f"{pairs} interleaved "
        f"rounds{'; quick: the bars are those of the full sizes' if options.quick else ''}\n"
    )
    show(HEAD)
    failed = False
    for row in rows:
        if options.only in row.name:
            for cells in lines(rows, row, pairs, threads):
                failed |= cells[4] == "FAIL"
                show(cells)
    return int(failed and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
