"""What 1,000,000 rows cost: seconds and bytes a row of coding, fits and tests, each in a process of its own.

    python tests/benchmarks/bench_large.py [rows] [name ...]

A line has the seconds of the processor, one thread, and the memory at its peak beyond what the process held
with the table, for each row. Beside designs stands the time in which the same columns are copied to a
matrix by rows, as a coder written by hand would. Sources make their rows anew at every reading: seconds
hold that.

Bars at 1,000,000 rows: flows `y ~ 1` 10 s, one covariate 30 s, three 90 s, each 400 bytes a row;
Wasserstein with its permutation test 30 s; of 20 times as many streamed values W1 to 1e-6 of a standard
deviation.

Measured on 29 November 2026 at load averages of 9 to 14, 1e6 rows: FlowDensity y ~ 1 5.3 s and 230 bytes a
row, a dummy 3.3 and 237, a number 8.0 and 360, three 9.4 and 306; NormalRegression .04 and 7;
WassersteinDistance 1.9 (p = 1) and 2.1 (p = 2), 111 and 131; W1 of 2e7 streamed values 3.3 s, within 2e-9
of the rows.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DESIGNS = {
    "code 14 numbers": "y ~ " + " + ".join(f"x{i}" for i in range(14)),
    "code 13 numbers, one missing": "y ~ " + " + ".join(f"x{i}" for i in range(13)) + " + some",
    "code two factors": "y ~ x0 + x1 + a + b",
    "code text": "y ~ x0 + text",
    "code C(whole)": "y ~ x0 + C(k)",
    "code products": "y ~ x0 * a + x1:x2",
    "code logs, powers": "y ~ log(p) + I(x1**2) + exp(x2)",
    "code cubes": "y ~ x0 + I(x0**3)",
    "code poly": "y ~ poly(x0, 3)",
    "code spline": "y ~ bs(x0, df=6, extrapolation='clip')",
}
FITS: dict[str, Callable[[Any, Any], Any]] = {
    "FlowDensity y ~ 1": lambda de, d: de.FlowDensity("y ~ 1").fit(d),
    "FlowDensity y ~ dummy": lambda de, d: de.FlowDensity("y ~ g").fit(d),
    "FlowDensity y ~ x": lambda de, d: de.FlowDensity("y ~ x0").fit(d),
    "FlowDensity three": lambda de, d: de.FlowDensity("y ~ x0 + x1 + g").fit(d),
    "NormalRegression": lambda de, d: de.NormalRegression("y ~ x0 + x1").fit(d),
    "WassersteinDistance p=1": lambda de, d: de.WassersteinDistance("y ~ g", p=1).fit(d, seed=1),
    "WassersteinDistance p=2": lambda de, d: de.WassersteinDistance("y ~ g").fit(d, seed=1),
    "TransportMap": lambda de, d: de.TransportMap("y ~ g").fit(d),
    "sample_functionals": lambda de, d: de.sample_functionals(d["p"].to_numpy(), ["mean", "q[0.5]", "gini"]),
}
STREAMS: dict[str, Callable[[Any, Any], Any]] = {
    "W1 of 20 times the rows": lambda de, s: de.WassersteinDistance("y ~ g", p=1).fit(s, seed=1),
    "W2 of 20 times the rows": lambda de, s: de.WassersteinDistance("y ~ g").fit(s, seed=1),
    "effects of 20 times the rows": lambda de, s: de.TransportMap("y ~ g").fit(s),
}
PART = 250_000


def peak() -> float:
    """Bytes that the process has held at most."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return 1024 * float(line.split()[1])
    return float("nan")


def table(rows: int) -> Any:
    """The table of all fits."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    d = pd.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(14)})
    d["g"], d["k"] = (rng.random(rows) < 0.4).astype(float), rng.integers(0, 8, rows)
    d["y"] = d.x0 + 0.5 * d.g + np.exp(0.2 * d.x1) * rng.logistic(size=rows)
    d["p"], d["some"] = np.exp(d.y / 4), d.x3.where(rng.random(rows) > 0.05)
    d["a"] = pd.Categorical.from_codes(rng.integers(0, 8, rows), list("abcdefgh"))
    d["b"] = pd.Categorical.from_codes(rng.integers(0, 30, rows), [f"l{i:02}" for i in range(30)])
    d["text"] = d.a.astype(object)
    return d


def parts(rows: int) -> Iterator[Any]:
    """The rows of a source, drawn anew."""
    import numpy as np

    for i in range(0, rows, PART):
        rng, m = np.random.default_rng(i), min(PART, rows - i)
        g = rng.random(m) < 0.4
        yield {"y": rng.normal(size=m) * (1 + 0.1 * g) + 0.02 * g, "g": g.astype(int)}


def coding(formula: str, d: Any) -> tuple[float, str]:
    """Least seconds of three in which a specification codes a table, and a copy of its columns."""
    import numpy as np

    from disteconometrics.data.design import build_design

    spec = build_design(formula, d.iloc[:50_000], outcome="numeric").spec
    new = d[list(spec.variables)]
    X = spec.matrix(new).X
    columns = [np.ascontiguousarray(column) for column in X.T]

    def copied() -> None:
        out, step = np.empty_like(X), max(256, (1 << 20) // (8 * X.shape[1]))
        for i in range(0, len(X), step):
            for j, column in enumerate(columns):
                out[i : i + step, j] = column[i : i + step]

    seconds = []
    for call in (lambda: spec.matrix(new), copied):
        taken = []
        for _ in range(3):
            started = time.process_time()
            call()
            taken.append(time.process_time() - started)
        seconds.append(min(taken))
    return seconds[0], f"{X.shape[1]} columns, copied in {seconds[1]:.3f}"


def worker(name: str, rows: int) -> None:
    """Compute one line and print it."""
    import warnings

    import disteconometrics as de

    warnings.simplefilter("ignore")
    if name in DESIGNS:
        seconds, said = coding(DESIGNS[name], table(rows))
        print(f"{name:30s}{seconds:9.3f} s   {said}")
        return
    data: Any = (
        table(rows)[["y", "x0", "x1", "g", "p"]] if name in FITS else de.Parts(lambda: parts(20 * rows))
    )
    (FITS | STREAMS)[name](de, data.iloc[:2000] if name in FITS else de.Parts(lambda: parts(2000)))
    held, started = peak(), time.process_time()
    res = (FITS | STREAMS)[name](de, data)
    seconds, more = time.process_time() - started, peak() - held
    count = rows if name in FITS else 20 * rows
    pairs = getattr(res, "pairs", ())
    said = f", within {pairs[0].width:.0e} of the rows" if pairs and pairs[0].width else ""
    print(f"{name:30s}{seconds:9.2f} s {more / count:9.0f} bytes a row{said}")


def main() -> None:
    """Print the table, or the lines of the names given."""
    words = sys.argv[1:]
    if words[:1] == ["--worker"]:
        worker(words[2], int(words[1]))
        return
    rows = int(float(words.pop(0))) if words else 1_000_000
    import os

    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    print(f"{rows:,} rows, one thread, seconds of the processor")
    for name in words or [*DESIGNS, *FITS, *STREAMS]:
        subprocess.run(
            [sys.executable, __file__, "--worker", str(rows), name], env={**os.environ, **one}, check=True
        )


if __name__ == "__main__":
    main()
