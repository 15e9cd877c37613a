"""What large and repeated fits cost: seconds and memory, with one thread and with the default number.

    python tests/benchmarks/bench_answers_of_fits.py [part of a case's name [path of another checkout]]

Each case runs in a fresh process, first with one thread.  Bars of one thread: a bootstrap of 100 draws ≤ 40
fits; the first training of a net does not import torch's compiler.  With another checkout the same cases run
there too, in turns, and its seconds over these are printed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DRAWS, MOST_FITS = 100, 40.0
MEGABYTE = 1024


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def two_modes(rng: Any, n: int) -> Any:
    """A law with two modes."""
    return {"y": rng.normal(size=n) + 4 * rng.integers(0, 2, n)}


def bootstrap(rng: Any) -> dict[str, Any]:
    """100 draws, beside the median fit."""
    import numpy as np

    import disteconometrics as de

    d, model = two_modes(rng, 500), de.FlowDensity("y ~ 1")
    model.fit(d)
    fit = float(np.median([timed(lambda: model.fit(d)) for _ in range(7)]))
    seconds = timed(lambda: de.bootstrap(model, d, DRAWS, seed=1))
    return {"seconds": seconds, "fits": seconds / fit}


def factor(rng: Any) -> dict[str, Any]:
    """A factor of 50 levels on 500 rows."""
    import disteconometrics as de

    g = rng.integers(0, 50, 500)
    d = {"y": 0.1 * g + rng.normal(size=500), "g": g}
    return {"seconds": timed(lambda: de.FlowDensity("y ~ C(g)").fit(d))}


def covariates(rng: Any) -> dict[str, Any]:
    """Twenty covariates on 50,000 rows."""
    import disteconometrics as de

    X = rng.normal(size=(50_000, 20))
    d = {f"x{j}": x for j, x in enumerate(X.T)} | {"y": X[:, 0] + 0.5 * X[:, 1] + rng.gumbel(size=len(X))}
    right = " + ".join(f"x{j}" for j in range(20))
    return {"seconds": timed(lambda: de.FlowDensity(f"y ~ {right}").fit(d))}


def joint(rng: Any, n: int) -> dict[str, Any]:
    """Two outcomes that depend on each other."""
    import disteconometrics as de

    y = rng.normal(size=n) + 4 * rng.integers(0, 2, n)
    d = {"y": y, "z": 0.5 * y + rng.gumbel(size=n)}
    return {"seconds": timed(lambda: de.FlowDensity("y + z ~ 1").fit(d))}


def distance(rng: Any, n: int) -> dict[str, Any]:
    """The distance of two outcomes between two groups."""
    import disteconometrics as de

    g = rng.integers(0, 2, n)
    d = {"y": rng.normal(size=n) + 0.3 * g, "z": rng.normal(size=n), "g": g}
    return {"seconds": timed(lambda: de.WassersteinDistance("y + z ~ g").fit(d))}


def training(rng: Any) -> dict[str, Any]:
    """The first flow that a process trains, by a few steps."""
    import torch  # its own import is not the package's

    import disteconometrics as de

    d = {"x": rng.normal(size=200), "y": rng.normal(size=200)}
    model = de.FlowDensity("y ~ x", flow=de.Planar(layers=2), train=de.Adam(lr=1e-2, steps=3))
    seconds = timed(lambda: model.fit(d))
    assert torch.__name__ in sys.modules
    return {"seconds": seconds, "compiler": "torch._dynamo" in sys.modules}


CASES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bootstrap(100), two modes": bootstrap,
    "C(g) of 50 levels, 500 rows": factor,
    "20 covariates, 50,000 rows": covariates,
    "joint y + z ~ 1, 5,000 rows": lambda rng: joint(rng, 5_000),
    "joint y + z ~ 1, 50,000 rows": lambda rng: joint(rng, 50_000),
    "distance of two outcomes, 1,000 rows": lambda rng: distance(rng, 1_000),
    "distance of two outcomes, 10,000 rows": lambda rng: distance(rng, 10_000),
    "first training of a net": training,
}


def run(case: str) -> None:
    """Print what a case took, and the memory that it added to the imports."""
    import warnings

    import numpy as np

    import disteconometrics as de

    assert de.FlowDensity  # read, as names are imported when they are asked for
    assert de.WassersteinDistance
    warnings.simplefilter("ignore")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = CASES[case](np.random.default_rng(0))
    found["megabytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / MEGABYTE
    print(json.dumps(found), flush=True)


def asked(case: str, one_thread: bool, path: str = "") -> dict[str, Any]:
    """What a fresh process says of a case, of the checkout at a path."""
    env = {**os.environ, **(dict.fromkeys(THREADS, "1") if one_thread else {})}
    if path:
        env["PYTHONPATH"] = path
    if not one_thread:
        env = {k: v for k, v in env.items() if k not in THREADS}
    command = [sys.executable, os.path.abspath(__file__), "--run", case]
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return dict(json.loads(out.stdout.splitlines()[-1]))


def main(part: str, other: str = "") -> int:
    """Print the table; 1 if a bar is missed."""
    print(f"{'case':40}{'one thread':>11}{'default':>9}{'MB':>7}")
    missed = 0
    for case in (c for c in CASES if part in c):
        one, default = (asked(case, threads) for threads in (True, False))
        bad = one.get("fits", 0.0) > MOST_FITS or one.get("compiler", False)
        missed += bad
        words = f"  {one['fits']:.0f} fits" if "fits" in one else ""
        words += "  with torch's compiler" if one.get("compiler") else ""
        if other:
            before = (asked(case, threads, other)["seconds"] for threads in (True, False))
            times = [b / now["seconds"] for b, now in zip(before, (one, default), strict=True)]
            words += "  there {:.1f} and {:.1f} times that".format(*times)
        print(
            f"{case:40}{one['seconds']:>11.2f}{default['seconds']:>9.2f}{one['megabytes']:>7.0f}{words}"
            f"{'  missed' if bad else ''}",
            flush=True,
        )
    print(f"{missed} bars missed")
    return int(missed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2])
    else:
        sys.exit(main(*sys.argv[1:3] or [""]))
