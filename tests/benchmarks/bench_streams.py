"""Fits over Parquet files beside the same fits in memory: time, peak, readings, digits.

    python tests/benchmarks/bench_streams.py [rows] [files] [folder]

Each way runs in a fresh process on one thread, from Parquet to HC1 and clustered errors: ``memory`` reads the
folder with pandas first, ``stream`` gives its path to ``fit``.  Bars: stream ≤ 1.2 times the CPU seconds of
memory, ≤ 5 readings, ≤ 250 MB over the process before; coefficients equal to 1e-12, errors to 1e-8.  The data
are written into a temporary folder (some 85 bytes a row) and deleted, unless a folder is named.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

NUMBERS = [f"x{j}" for j in range(8)]
FORMULAS = {
    "Logit": f"y ~ {' + '.join(NUMBERS)} + t + g",
    "NormalRegression": "x7 ~ y + x0 + x1 + x2 + t + g",
}
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def write(folder: Path, rows: int, files: int) -> None:
    """Files of a logit with 21 coefficients and 5,000 clusters."""
    rng = np.random.default_rng(1)
    effects, n = rng.normal(size=12) * 0.3, rows // files
    for i in range(files):
        x, t, g = rng.normal(size=(n, 8)), rng.integers(0, 2, n), rng.integers(0, 12, n)
        p = 1 / (1 + np.exp(0.5 - x @ np.linspace(-0.4, 0.4, 8) - 0.3 * t - effects[g]))
        frame = pd.DataFrame(dict(zip(NUMBERS, x.T, strict=True)))
        frame = frame.assign(y=(rng.random(n) < p).astype(int), t=t, firm=rng.integers(0, 5_000, n))
        frame["g"] = pd.Categorical.from_codes(g, [f"g{j:02d}" for j in range(12)])
        frame.to_parquet(folder / f"part{i:03d}.parquet", row_group_size=125_000, index=False)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(estimator: str, way: str, folder: str) -> None:
    """Print what one way costs, and its numbers."""
    import pyarrow.parquet  # noqa: F401 - so that loading it is in no time

    import disteconometrics as de

    model = getattr(de, estimator)(FORMULAS[estimator])
    tiny = pd.DataFrame({"x": np.arange(9.0), "y": [0, 1, 0, 1, 1, 0, 1, 0, 1]})
    getattr(de, estimator)("y ~ x").fit(tiny, cov="HC1")  # what is loaded at the first fit
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    data = pd.read_parquet(folder) if way == "memory" else folder
    clustered = model.fit(data, cov=de.Cluster("firm"))
    robust = clustered.with_cov("HC1")
    found = {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "MB": peak() - before,
        "readings": clustered.rows.readings,
        "params": clustered.params.tolist(),
        "errors": [*clustered.bse, *robust.bse],
    }
    print(json.dumps(found))


def compared(estimator: str, folder: Path) -> None:
    """Print both ways side by side."""
    found = {}
    for way in ("memory", "stream"):
        call = [sys.executable, __file__, "--run", estimator, way, str(folder)]
        out = subprocess.run(call, check=True, capture_output=True, text=True, env={**os.environ, **THREADS})
        found[way] = json.loads(out.stdout.splitlines()[-1])
        f = found[way]
        print(
            f"{estimator:17s} {way:7s} cpu {f['cpu']:7.2f} s  wall {f['wall']:7.2f} s  {f['MB']:6.0f} MB  "
            f"{f['readings']} readings",
            flush=True,
        )
    m, s = found["memory"], found["stream"]
    digits = {name: np.abs(np.array(s[name]) / m[name] - 1).max() for name in ("params", "errors")}
    print(f"{'':17s} ratio of cpu {s['cpu'] / m['cpu']:.2f}, params {digits['params']:.1e}, "
          f"errors {digits['errors']:.1e}")  # fmt: skip


def main() -> None:
    rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 5_000_000
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix="streams"))
    try:
        if not list(folder.glob("*.parquet")):
            write(folder, rows, files)
        for estimator in FORMULAS:
            compared(estimator, folder)
    finally:
        if len(sys.argv) <= 3:
            shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(*sys.argv[2:])
    else:
        main()
