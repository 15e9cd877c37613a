"""Fits over Parquet files beside the same fits in memory: time, peak, readings, digits.

    python tests/benchmarks/bench_streams.py [rows] [files] [folder]
    python tests/benchmarks/bench_streams.py --peers [rows]
    python tests/benchmarks/bench_streams.py --workers [rows] [files] [cache]

Each way runs in a fresh process on one thread, from Parquet to HC1 and clustered errors: ``memory`` reads the
folder with pandas first, ``stream`` gives its path to ``fit``.  Bars: stream ≤ 1.2 times the CPU seconds of
memory, ≤ 5 readings, ≤ 250 MB over the process before; coefficients equal to 1e-12, errors to 1e-8.  The data
are written into a temporary folder (some 85 bytes a row) and deleted, unless a folder is named.

``--peers`` fits the numbers alone, with HC1: hdfe-stream's logit on the same files (PYTHONPATH has it, and
pyfixest), and dask-glm's Newton, which gives no errors, on persisted arrays beside ours on a persisted frame.
In 2026, 1e6 rows: hdfe-stream 5.5 CPU seconds and 383 MB over baseline on ten numbers beside .9 and 173 here.
dask-glm on 20 numbers: .77 CPU seconds in five passes of .15; here .59 to .70 with HC1 where coded rows are
kept (cache="memory"), .80 where they are read again: the first reading .15, coding .15 to .35 (new pages of
memory), the start .03, two passes .07, the last one with HC1 .13.  Five times as fast is out of reach for a
fit that reads, checks and codes the columns of a frame: `maximise` on ready arrays takes .144, which is 5.3
times as fast, and a single pass .063.

``--workers`` fits four files of 1e6 rows by a plain loop, by two loky workers of joblib, and as a dask
frame by two processes, to HC1 and clustered errors. Work is the CPU seconds within the calls of the parts
(for dask with its reading of the files); scheduling and transport are what all processes, this one and its
scheduler too, spend beyond it once workers have fitted a few rows; "idle" is what they would spend in that
time without a fit. Bar: 10 % of the work. In November 2026, two cores shared by many processes, equal bits:
loop 2.4 %; loky 7.9 % (13 to 15 while each part gave four times its share of the first sample), 10.6 % of
less work with cache="memory"; load averages of 6 to 11.  Dask, whose tasks carry the names and columns of
their part and no frame: 22.9 and 22.1 % at 34 seconds of wall for 8.0 and 9.6 of work, 14.5 and 17.9 % with
cache="memory" at 15 and 28 seconds for 8.1 and 9.4.  Heartbeats alone, .09 to .11 CPU seconds for each second
of wall, are more than these (16 to 41 %), so that nothing that can be measured is left for tasks and results.
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
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

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


def peers(rows: int) -> None:
    """Print what one fit costs by each."""
    folder = Path(tempfile.mkdtemp(prefix="streams"))
    try:
        write(folder, rows, 8)
        for way in ("stream", "hdfe-stream", "dask frame", "dask-glm"):
            call = [sys.executable, __file__, "--peer", way, str(folder)]
            subprocess.run(call, check=False, env={**os.environ, **THREADS})
    finally:
        shutil.rmtree(folder)


def peer(way: str, folder: str) -> None:
    """Fit once to be warm, and once for the clock, which also reads."""
    import dask
    import dask.dataframe as dd
    import pyarrow.parquet  # noqa: F401

    import disteconometrics as de

    dask.config.set(scheduler="synchronous")
    formula, data = f"y ~ {' + '.join(NUMBERS)}", Path(folder, "part000.parquet")
    few, every = Path(folder, "few"), f"{folder}/part*.parquet"
    few.mkdir(exist_ok=True)
    pd.read_parquet(data)[:5_000].to_parquet(few / "few.parquet")
    if way == "hdfe-stream":
        from hdfe_stream import feglm_stream

        def fit(path: str) -> None:
            feglm_stream(formula, path, "logit", workdir=f"{folder}/work", vcov="hetero")

        given = [str(few / "few.parquet"), every]
    elif way == "dask-glm":
        from dask_glm.algorithms import newton

        frame = dd.from_map(pd.read_parquet, sorted(Path(folder).glob("part*.parquet"))).persist()
        X = frame[NUMBERS].assign(one=1.0).to_dask_array(lengths=True).persist()
        y = frame["y"].to_dask_array(lengths=True).persist()

        def fit(chunks: slice) -> None:
            newton(X.blocks[chunks], y.blocks[chunks])

        given = [slice(1), slice(None)]
    else:

        def fit(source: object) -> None:
            de.Logit(formula).fit(source, cov="HC1", cache="memory")

        files = sorted(Path(folder).glob("part*.parquet"))
        held = dd.from_map(pd.read_parquet, files).persist() if way == "dask frame" else every
        given = [str(few / "few.parquet"), held]
    fit(given[0])
    before, cpu = peak(), time.process_time()
    fit(given[1])
    print(f"{way:12s} cpu {time.process_time() - cpu:6.2f} s  {peak() - before:6.0f} MB", flush=True)


def _noted(path: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function, and note in a file of this process how many CPU seconds that took."""
    before = time.process_time()
    value = function(*arguments)
    with Path(path, f"work{os.getpid()}").open("a") as file:
        file.write(f"{time.process_time() - before}\n")
    return value


def _cpu() -> float:
    """CPU seconds of this process and of those that it started."""
    import psutil

    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def worked(way: str, folder: str, cache: str = "auto") -> None:
    """Print what a fit by workers costs, and what of it is work on parts."""
    import dask.dataframe as dd
    import distributed

    import disteconometrics as de
    from disteconometrics.inference import parts

    notes = tempfile.mkdtemp(dir=folder)
    name = "_call_held" if way == "dask" else "_call"
    setattr(parts, name, partial(_noted, notes, getattr(parts, name)))
    files = sorted(Path(folder).glob("part*.parquet"))
    few = [str(Path(notes, f"few{i}.parquet")) for i in range(2)]
    for path in few:
        pd.read_parquet(files[0])[:20_000].to_parquet(path)
    jobs, client, given = (2 if way == "loky" else None), None, [few, [str(f) for f in files]]
    if way == "dask":
        client = distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
        given = [dd.from_map(partial(_noted, notes, pd.read_parquet), paths) for paths in given]

    def fit(source: Any) -> Any:
        clustered = de.Logit(FORMULAS["Logit"]).fit(
            source, cov=de.Cluster("firm"), n_jobs=jobs, cache=None if cache == "None" else cache
        )
        return [*clustered.params, *clustered.bse, *clustered.with_cov("HC1").bse]

    fit(given[0])
    for note in Path(notes).glob("work*"):
        note.unlink()
    before = _cpu()
    time.sleep(4)
    idle = (_cpu() - before) / 4
    before, wall = _cpu(), time.perf_counter()
    found = fit(given[1])
    wall, every = time.perf_counter() - wall, _cpu() - before
    work = sum(float(line) for note in Path(notes).glob("work*") for line in note.read_text().split())
    digest = zlib.crc32(np.array(found).tobytes())
    print(
        f"{way:5s} work {work:6.2f} s  all {every:6.2f} s  beyond {every / work - 1:6.1%}  "
        f"idle {idle * wall:5.2f} s  wall {wall:6.2f} s  bits {digest:08x}",
        flush=True,
    )
    if client is not None:
        client.shutdown()


def workers(rows: int, files: int, cache: str) -> None:
    """Print the fit by each kind of worker."""
    folder = Path(tempfile.mkdtemp(prefix="streams"))
    try:
        write(folder, rows, files)
        for way in ("loop", "loky", "dask"):
            call = [sys.executable, __file__, "--worked", way, str(folder), cache]
            subprocess.run(call, check=True, env={**os.environ, **THREADS})
    finally:
        shutil.rmtree(folder)


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
    elif sys.argv[1:2] == ["--peer"]:
        peer(*sys.argv[2:])
    elif sys.argv[1:2] == ["--worked"]:
        worked(*sys.argv[2:])
    elif sys.argv[1:2] == ["--workers"]:
        workers(
            int(float((sys.argv[2:] or ["4e6"])[0])),
            int((sys.argv[3:] or ["4"])[0]),
            (sys.argv[4:] or ["auto"])[0],
        )
    elif sys.argv[1:2] == ["--peers"]:
        peers(int(float(sys.argv[2])) if len(sys.argv) > 2 else 1_000_000)
    else:
        main()
