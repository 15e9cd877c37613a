"""Fits over Parquet files beside the same fits in memory: time, peak, readings, digits.

    python tests/benchmarks/bench_streams.py [rows] [files] [folder]
    python tests/benchmarks/bench_streams.py --peers [rows]
    python tests/benchmarks/bench_streams.py --workers [rows] [files] [cache]
    python tests/benchmarks/bench_streams.py --flows [rows]

Each way runs in a fresh process on one thread, from Parquet to HC1 and clustered errors: ``memory`` reads
the folder with pandas first, ``stream`` gives its path to ``fit``. Bars: stream ≤ 1.2 times the CPU seconds
of memory, ≤ 5 readings, ≤ 250 MB over the process before; coefficients equal to 1e-12, errors to 1e-8. The
data are written into a temporary folder (some 85 bytes a row) and deleted, unless a folder is named.

Measured on 29 November 2026 at load averages of 8 to 17, where seconds of one side vary by half: 5e6 rows,
Logit 4.2 to 4.9 CPU seconds beside 4.6 to 5.1 of memory (.91 and .96), 4 readings, 192 to 197 MB beside
1,620, coefficients equal to 4e-15, errors to 4e-9; NormalRegression 3.7 to 4.3 in four runs beside 3.2, 4.8
and 5.7, 5 readings, 149 MB beside 1,507, 4e-14 and 6e-15.  2e7 rows in 32 files: Logit
16.3 to 20.1 CPU seconds, 4 readings, 223 MB.  On a quiet machine, 30 November: Logit 3.3 beside 5.4 seconds
(.60), NormalRegression 2.9 beside 3.6 (.82).

``--peers`` fits 20 numbers alone, with HC1: hdfe-stream's logit on the same files (PYTHONPATH has it, and
pyfixest), and dask-glm's Newton, which gives no errors, on persisted arrays beside ours on a persisted
frame. Measured then, 1e6 rows, one process, the quickest of five fits, nine turns: dask-glm .69 to .93 CPU
seconds in five passes, 141 MB; here .22 to .25 with HC1 where rows are kept (cache="memory"), 0 to 12 MB.
In a turn that is 3.0 to 3.9 times as fast (2.2 before blocks were made of columns, under the same load),
and 5 times, the bar, is out of reach for an exact fit of the rows: the last pass, with the information and
HC1, takes .075, of which its two products X'WX take .028 each; four passes for the score alone .054 (.0135
each: copying the columns through the cache .007, Xb and X'r the rest; dask-glm takes .14 to .19 for one of
its five); the first reading .045 (checks of every column for gaps .009, check sums .004, dask and pandas
the rest); the start from 50,000 rows .018. A fifth of dask-glm's is .14 to .19, and last pass and scores
alone take .13. Steps with the information of a first full pass save none: two full passes and one for the
score take .13 too. From the Parquet files it takes .34 to .42 and 241 to 264 MB; hdfe-stream (0.5.1) 4.6
and 6.0, and 979 MB: 11 times as much and more. On a quiet machine, 30 November: .20 beside .65 of
dask-glm, .29 from the files.

Coded rows on a disk, measured the same day at a load of 17, CPU seconds of the Logit with HC1: 1e6 rows of
Parquet 1.00 read again (6 readings), .62 by cache="disk" (2), .38 by cache="memory" (1); 2e5 rows of CSV by
de.Parts 1.95 (7 readings), .71 (2) and .40 (1).

``--flows`` trains flows by name, as "auto" does, from the folder and from the table that pandas reads of it.
Measured on 30 November 2026, 2e6 rows, load averages of 16: a mixture behind a net given 18 columns 3.9 CPU
seconds, 211 MB and 6 readings beside 15.3 seconds and 1,692 MB, log-likelihoods of -1.4206 and -1.4200 a row;
coupling layers of two outcomes given 7 columns 3.3 seconds, 299 MB and 2 readings beside 12.3 and 1,197 MB,
-2.8142 both. (Of the table all rows held out are judged a hundred times, of the folder 50,000.)

``--workers`` fits four files of 1e6 rows by a plain loop, by two loky workers of joblib, and as a dask
frame by two processes, to HC1 and clustered errors. Work is the CPU seconds within the calls of the parts
(for dask with its reading of the files); scheduling and transport are what the workers, and this process
(with the scheduler of dask, the start from a sample and the sums over parts), spend beyond it once workers
have fitted a few rows; "idle" is what they would spend in that time without a fit. Bar: 10 % of the work,
in seconds of workers. Measured then, equal bits, at load averages of 11 to 20, where a fit waits for its
processor most of the time, workers and here: loop 1.9 % here; loky 2.8 and 5.4 %; dask 7.2 and 14.1 % of
6.9 seconds at 28 seconds of wall, of which idle ones would be 15.2 and 12.2 %: 2 % here are ours, the rest
is the heartbeats of dask, which go with the wall. With cache="memory" the loop spends 7 % here, and dask
4.0 and 16.8 % (idle 21.3 and 16.0 %). loky spent 25 % in workers then, as joblib ends those that grow by
300 MB; of so much they keep nothing since. Without the profiler of dask
(distributed.worker.profile.enabled) and with ticks of a second its heartbeats were less than half in
earlier runs of that day. On a quiet machine, 30 November, workers and here: loop 1.9 % here; loky 1.7 and
6.9 % of 3.2 seconds; dask 3.5 and 7.9 % of 5.7 seconds at 3.8 of wall (idle 1.8 and 1.5 %).
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
MANY = 20  # numbers of the fits beside other packages
FORMULAS = {
    "Logit": f"y ~ {' + '.join(NUMBERS)} + t + g",
    "NormalRegression": "x7 ~ y + x0 + x1 + x2 + t + g",
}
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def write(folder: Path, rows: int, files: int, numbers: int = 8) -> None:
    """Files of a logit with 13 coefficients beside those of the numbers, and 5,000 clusters."""
    rng = np.random.default_rng(1)
    effects, n = rng.normal(size=12) * 0.3, rows // files
    for i in range(files):
        x, t, g = rng.normal(size=(n, numbers)), rng.integers(0, 2, n), rng.integers(0, 12, n)
        p = 1 / (1 + np.exp(0.5 - x @ np.linspace(-0.4, 0.4, numbers) - 0.3 * t - effects[g]))
        frame = pd.DataFrame({f"x{j}": x[:, j] for j in range(numbers)})
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
        write(folder, rows, 8, MANY)
        for way in ("stream", "hdfe-stream", "dask frame", "dask-glm"):
            call = [sys.executable, __file__, "--peer", way, str(folder)]
            subprocess.run(call, check=False, env={**os.environ, **THREADS})
    finally:
        shutil.rmtree(folder)


def peer(way: str, folder: str) -> None:
    """Fit few rows to be warm, and all five times, the quickest for the clock, which also reads."""
    import dask
    import dask.dataframe as dd
    import pyarrow.parquet  # noqa: F401

    import disteconometrics as de

    dask.config.set(scheduler="synchronous")
    numbers = [f"x{j}" for j in range(MANY)]
    formula, data = f"y ~ {' + '.join(numbers)}", Path(folder, "part000.parquet")
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
        X = frame[numbers].assign(one=1.0).to_dask_array(lengths=True).persist()
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
    before, seconds = peak(), []
    for _ in range(5):
        cpu = time.process_time()
        fit(given[1])
        seconds.append(time.process_time() - cpu)
    print(f"{way:12s} cpu {min(seconds):6.3f} s  {peak() - before:6.0f} MB", flush=True)


def _noted(path: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function, and note in a file of this process how many CPU seconds that took."""
    before = time.process_time()
    value = function(*arguments)
    with Path(path, f"work{os.getpid()}").open("a") as file:
        file.write(f"{time.process_time() - before}\n")
    return value


def _cpu() -> dict[int, float]:
    """CPU seconds of this process and of those that it started, by number."""
    import psutil

    own = psutil.Process()
    return {p.pid: sum(p.cpu_times()[:2]) for p in (own, *own.children(recursive=True))}


def _spent(before: dict[int, float], seconds: float = 1.0) -> dict[int, float]:
    """CPU seconds since then, or a second of so many."""
    return {pid: (now - before.get(pid, 0.0)) / seconds for pid, now in _cpu().items()}


def _work(notes: str) -> dict[int, float]:
    """CPU seconds that were noted, by process."""
    found = Path(notes).glob("work*")
    return {int(note.name[4:]): sum(map(float, note.read_text().split())) for note in found}


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
    idle = _spent(before, 4.0)
    before, wall = _cpu(), time.perf_counter()
    found = fit(given[1])
    wall = time.perf_counter() - wall
    spent, work, own = _spent(before), _work(notes), os.getpid()
    every = sum(work.values())
    beyond = {pid: spent[pid] - work.get(pid, 0.0) for pid in spent}
    here, workers = beyond.pop(own), sum(beyond.values())
    digest = zlib.crc32(np.array(found).tobytes())
    print(
        f"{way:5s} work {every:6.2f} s  beyond it: workers {workers / every:6.1%} (idle "
        f"{sum(idle[pid] for pid in idle if pid != own) * wall / every:.1%}), here {here / every:6.1%} "
        f"(idle {idle[own] * wall / every:.1%})  wall {wall:6.2f} s  bits {digest:08x}",
        flush=True,
    )
    if client is not None:
        client.shutdown()


def flow(name: str, way: str, folder: str) -> None:
    """Print what training a flow by name costs."""
    import pyarrow.parquet  # noqa: F401

    import disteconometrics as de

    mixture, layers = de.MixtureCDF(3, hidden=(16,)), de.Coupling(de.AffineMap(), layers=4, hidden=(16,))
    formula, recipe = {
        "mixture": (f"x0 ~ {' + '.join(NUMBERS[1:])} + g", mixture),
        "coupling": (f"x0 + x1 ~ {' + '.join(NUMBERS[2:])} + y", layers),
    }[name]
    few = pd.read_parquet(Path(folder, "part000.parquet"))[:5_000]
    how = de.AdamW(batch=256, steps=20, validation=0.2)
    de.FlowDensity(formula, flow=recipe, train=how).fit(few, seed=0)  # what is loaded at the first fit
    before, cpu = peak(), time.process_time()
    data = pd.read_parquet(folder) if way == "memory" else folder
    found = de.FlowDensity(formula, flow=recipe).fit(data, seed=0)
    print(
        f"{name:8s} {way:6s} cpu {time.process_time() - cpu:6.1f} s  {peak() - before:6.0f} MB  "
        f"log-likelihood {found.llf / found.nobs:.4f} a row, {found.facts.readings} readings",
        flush=True,
    )


def flows(rows: int) -> None:
    """Print both ways for each flow, in fresh processes."""
    folder = Path(tempfile.mkdtemp(prefix="streams"))
    try:
        write(folder, rows, 8)
        for name in ("mixture", "coupling"):
            for way in ("stream", "memory"):
                call = [sys.executable, "-W", "ignore", __file__, "--flow", name, way, str(folder)]
                subprocess.run(call, check=True, env={**os.environ, **THREADS})
    finally:
        shutil.rmtree(folder)


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
    elif sys.argv[1:2] == ["--flow"]:
        flow(*sys.argv[2:])
    elif sys.argv[1:2] == ["--flows"]:
        flows(int(float((sys.argv[2:] or ["1e6"])[0])))
    elif sys.argv[1:2] == ["--peers"]:
        peers(int(float(sys.argv[2])) if len(sys.argv) > 2 else 1_000_000)
    else:
        main()
