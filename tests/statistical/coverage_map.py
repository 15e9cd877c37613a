"""Run the declared studies at full size and write what they found: bias, standard errors,
coverage with width, size.

::

    python tests/statistical/coverage_map.py --jobs 2            # about ten minutes; finished studies are
    kept in --store

writes ``coverage.md`` beside this file and puts its first lines between the marks in ``README.md``.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from studies import STUDIES, Declared

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
START, END = "<!-- coverage: written by tests/statistical/coverage_map.py -->", "<!-- end of coverage -->"
QUOTED = {  # study: estimators and parameters that the README shows
    "regular": [("mle", "x")],
    "wrong, nonrobust": [("logit", "x")],
    "wrong, HC1": [("logit", "x")],
    "12 clusters": [("logit", "x")],
    "3 treated": [("logit", "x")],
    "firth": [("firth, profile", "d")],
}
HEAD = (
    "| design | estimator | parameter | bias (MC SE) | SE ratio | coverage (MC SE) | mean width | "
    "size or power |"
)


def line(declared: Declared, place: tuple[str, str, str], row: pd.Series) -> str:
    """A row of the table."""
    cell, estimator, parameter = place

    def pair(name: str, digits: int) -> str:
        value, error = row.get(name, np.nan), row.get(f"{name}_mcse", np.nan)
        return "" if np.isnan(value) else f"{value:.{digits}f} ({error:.{digits}f})"

    def number(name: str, shift: float = 0.0, scale: float = 1.0, digits: int = 3) -> str:
        value = row.get(name, np.nan) / scale + shift
        return "" if np.isnan(value) else f"{value:.{digits}f}" if np.isfinite(value) else "∞"

    title = f"{declared.title}, {cell}" if cell else declared.title
    known = not np.isnan(row.get("truth", np.nan))
    figures = [
        pair("bias", 4),
        number("relative_error", 1.0, 100.0) if known else "",
        pair("coverage", 4),
        number("width"),
    ]
    parameter = parameter.replace("|", "\\|")  # of thresholds, which would end a cell
    return "| " + " | ".join([title, estimator, parameter, *figures, number("rejection", digits=4)]) + " |"


def main() -> None:
    """Run, or go on from the store, and write."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--reps", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--store",
        type=Path,
        default=Path("coverage_store"),
        help="folder that finished replications are kept in",
    )
    parser.add_argument(
        "--only", default="", help="studies whose name holds this text: their rows are printed, not written"
    )
    options = parser.parse_args()
    options.store.mkdir(exist_ok=True)
    lines, quoted = [], []
    for name, declared in STUDIES.items():
        if options.only not in name:
            continue
        store = options.store / name.replace(" ", "_").replace(",", "")
        mc = declared.study.run(
            options.reps, seed=declared.seed, n_jobs=options.jobs, store=store, max_fail=1.0
        )
        for place, row in mc.table().iterrows():
            if np.isnan(row.get("coverage", np.nan)) and np.isnan(row.get("rejection", np.nan)):
                continue
            lines.append(line(declared, place, row))
            if place[1:] in QUOTED.get(name, ()):
                quoted.append(lines[-1])
        print(name, flush=True)
    if options.only:
        print(*lines, sep="\n")
        return
    rule = "|:--|:--|:--|" + "--:|" * 5
    about = (
        f"{options.reps:,} replications a row, by `python tests/statistical/coverage_map.py`; "
        f"run on {datetime.now(UTC):%Y-%m-%d}; designs and seeds: `studies.py`."
    )
    (HERE / "coverage.md").write_text(
        "\n".join(["# What the intervals cover", "", about, "", HEAD, rule, *lines, ""]), encoding="utf-8"
    )
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    block = [
        START,
        "",
        f"{options.reps:,} replications a row; all rows: [coverage.md](tests/statistical/coverage.md).",
        "",
        HEAD,
        rule,
    ]
    readme.write_text(before + "\n".join([*block, *quoted, "", END]) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
