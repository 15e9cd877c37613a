"""Stored studies under kill -9, full disks and rivals: each must end with the bits of an uninterrupted run.

    python tests/reliability/kill_studies.py 30

Processes are forked from this one, which has a single thread.  It prints what it did as JSON, and fails where
a replication is lost, done otherwise or mixed with those of other code.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import disteconometrics as de
from disteconometrics.errors import OptionError

REPS = 20
OK, IN_USE, FULL, REFUSED = 0, 11, 12, 13  # how a process ends


def table(rng: np.random.Generator, n: int) -> dict[str, Any]:
    x = rng.normal(size=n)
    return {"x": x, "y": (0.3 + 0.8 * x + rng.logistic(size=n) > 0).astype(float)}


def resampled(d: dict[str, Any], rng: np.random.Generator) -> dict[str, float]:
    time.sleep(0.002)  # so that a kill finds it at work
    return {"x": float(rng.choice(d["x"], len(d["x"])).mean())}


def edited(d: dict[str, Any], rng: np.random.Generator) -> dict[str, float]:
    return {"x": resampled(d, rng)["x"] + 1e-15}


def moody(d: dict[str, Any]) -> dict[str, tuple[float, float]]:
    if d["x"][0] > 1.0:
        raise ValueError(f"x is {d['x'][0]:.3f}")
    return {"x": (float(d["x"].mean()), 0.1)}


def study(draws: Any = resampled) -> Any:
    draws.__qualname__ = "resampled"
    estimators = {"mle": de.Logit("y ~ x"), "draws": draws, "moody": moody}
    return de.MonteCarlo(table, estimators, grid={"n": [40, 60]})


def forked(work: Callable[[], Any]) -> int:
    """The process number of a child that does the work, and ends as it went."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = OK
    except OptionError as error:
        code = IN_USE if "in use" in str(error) else REFUSED
    except OSError:
        code = FULL
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Exit code of a child, below zero if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(store: Path, *, jobs: int | None = None, draws: Any = resampled, room: int | None = None) -> None:
    if room is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    study(draws).run(REPS, seed=1, store=store, max_fail=1.0, progress=False, n_jobs=jobs)


def same(store: Path, whole: Any) -> None:
    """The store is complete, once each, and has the bits, failures and warnings of an uninterrupted run."""
    found = study().run(REPS, seed=1, store=store, max_fail=1.0, progress=False)
    pd.testing.assert_frame_equal(found.replications, whole.replications, check_exact=True)
    columns = [c for c in whole.failures if c != "traceback"]  # a worker's does not know the file
    pd.testing.assert_frame_equal(found.failures[columns], whole.failures[columns])
    pd.testing.assert_frame_equal(found.warnings, whole.warnings)


def killed(store: Path, moments: random.Random, span: float, kills: int, jobs: int | None = None) -> int:
    """Kill runs on one store at random moments until they are enough or one ends; then let it end."""
    done = 0
    for _ in range(kills):
        child = forked(lambda: run(store, jobs=jobs))
        time.sleep(moments.uniform(0.0, span))
        os.kill(child, signal.SIGKILL)
        done += ended(child) == -signal.SIGKILL
    while (code := ended(forked(lambda: run(store, jobs=jobs)))) == IN_USE:
        time.sleep(0.05)  # workers of a killed process may live a moment longer
    assert code == OK, code
    return done


def filled(store: Path, moments: random.Random, times: int) -> int:
    """Runs with little room on the disk; then one with enough."""
    full = 0
    for _ in range(times):
        room = (store.stat().st_size if store.exists() else 0) + moments.randrange(1, 12_000)
        before = store.read_bytes() if store.exists() else b""
        full += ended(forked(lambda room=room: run(store, room=room))) == FULL
        assert store.read_bytes().startswith(before)
    assert ended(forked(lambda: run(store))) == OK
    return full


def rivals(store: Path) -> int:
    """Two processes on one store: each ends, or is told that the other has it."""
    pair = [forked(lambda: run(store)) for _ in range(2)]
    codes = sorted(map(ended, pair))
    assert codes in ([OK, OK], [OK, IN_USE]), codes
    return codes.count(IN_USE)


def main(kills: int, seed: int = 0) -> dict[str, int]:
    moments = random.Random(seed)
    whole = study().run(REPS, seed=1, max_fail=1.0, progress=False)
    done = {"kills": 0, "stores": 0, "full disks": 0, "turned away": 0, "edited": 0}
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run(Path(folder) / "timed")
        span = time.perf_counter() - begun
        while done["kills"] < kills:
            store = Path(folder) / f"killed {done['stores']}"
            jobs = 2 if kills >= 30 and done["stores"] % 5 == 4 else None
            of = min(3, kills - done["kills"])
            done["kills"] += killed(store, moments, span * (0.6 if jobs is None else 3), of, jobs)
            same(store, whole)
            done["stores"] += 1
        for i in range(max(1, kills // 10)):
            store = Path(folder) / f"full {i}"
            done["full disks"] += filled(store, moments, min(4, kills))
            same(store, whole)
            store = Path(folder) / f"two {i}"
            done["turned away"] += rivals(store)
            same(store, whole)
            content = store.read_bytes()
            assert ended(forked(lambda store=store: run(store, draws=edited))) == REFUSED
            assert store.read_bytes() == content
            done["edited"] += 1
    return done


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)))
