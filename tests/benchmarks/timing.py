"""What benchmarks share: processes of their own, rounds in turn, times of calls, the table of ratios."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OVERRIDES = ("OPENBLAS_", "GOTO_", "MKL_", "OMP_", "BLIS_", "NVPL_", "VECLIB_", "NUMEXPR_")


def environment(threads: int = 1) -> dict[str, str]:
    """Variables without those that choose a BLAS kernel, so many threads, the tree beside this file."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDES)}
    clean |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    if (ROOT / "disteconometrics").is_dir():  # installed or not
        clean["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return clean


def printed(file: str, *arguments: str, threads: int = 1) -> Any:
    """What a new process of a file prints last, in JSON."""
    command = [sys.executable, str(Path(file).resolve()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(threads), check=False)
    if done.returncode:
        raise SystemExit(f"{', '.join(arguments)}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def in_turn(measure: Callable[[str], Any], sides: Sequence[str], pairs: int) -> list[dict[str, Any]]:
    """Rounds of all sides, every second one in the other order."""
    return [{s: measure(s) for s in (sides if i % 2 == 0 else sides[::-1])} for i in range(pairs)]


def seconds(call: Callable[[], Any], spent: float, most: int | None = None) -> float:
    """Median wall time of as many calls as fit into ``spent`` seconds, at least one."""
    times: list[float] = []
    while not times or (sum(times) < spent and len(times) != most):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def timed(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """The shortest of several processor times in seconds, and the last result."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        found = work()
        times.append(time.process_time() - start)
    return min(times), found


def ratios(
    file: str, doc: str, rows: dict[str, int], child: Callable[..., None], more: Callable[[str], bool]
) -> int:
    """Run all rows and print the table of the peer's time over ours; 1 when a bar is missed.

    ``child`` is called in processes of their own with row and side, and prints seconds; ``more`` runs what is
    no such row of those asked for and says whether a bar was missed.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="rounds per row")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return 0
    print(f"one thread, {options.pairs} interleaved rounds, load {os.getloadavg()[0]:.2f}")
    failed = False
    for row, bar in rows.items():
        if options.only not in row:
            continue
        rounds = in_turn(lambda s, row=row: printed(file, "--child", row, s), ("ours", "peer"), options.pairs)
        found = [r["peer"] / r["ours"] for r in rounds]
        median = statistics.median(found)
        failed |= median < bar
        ours = 1000 * statistics.median([r["ours"] for r in rounds])
        verdict = f"bar {bar}  {'PASS' if median >= bar else 'FAIL'}" if bar else "no bar"
        print(
            f"{row:34s} {median:6.1f} ({min(found):.1f} to {max(found):.1f})  {verdict}  {ours:.0f} ms",
            flush=True,
        )
    return int(more(options.only) or failed)
