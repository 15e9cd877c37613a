"""Pages of studies with a row for every estimator and parameter: written by studies, read by their tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

HEAD = "| study | estimator | parameter | bias | SE ratio | coverage | mean width | replications |"


def stored(page: Path) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Coverage and replications of a page by study, estimator and parameter."""
    lines = page.read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    return {(c[0], c[1], c[2]): (float(c[5]), float(c[7])) for c in cells}


def write(page: Path, title: str, about: str, tables: Iterable[tuple[str, pd.DataFrame, int]]) -> None:
    """Write a page of studies by name with their tables and numbers of replications."""
    lines = [HEAD, "|:--|:--|:--|--:|--:|--:|--:|--:|"]
    for name, table, reps in tables:
        for (_, estimator, parameter), row in table.iterrows():
            numbers = f"{row['bias']:.4f} | {1 + row['relative_error'] / 100:.3f} | {row['coverage']:.3f}"
            lines.append(f"| {name} | {estimator} | {parameter} | {numbers} | {row['width']:.3f} | {reps} |")
        print(name, flush=True)
    page.write_text("\n".join([f"# {title}", "", about, "", *lines, ""]), encoding="utf-8")
