"""One LaTeX table of a study, with booktabs' rules: what a paper prints of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from disteconometrics.errors import OptionError
from disteconometrics.tables import latex_text

__all__ = ["MEASURES", "latex_study"]

# Measures that are printed where none are chosen, and the heads of columns.
MEASURES = ("bias", "empirical_se", "model_se", "rmse", "coverage")
_HEADS = {
    "bias": "Bias",
    "empirical_se": "Emp. SE",
    "model_se": "Model SE",
    "rmse": "RMSE",
    "coverage": "Coverage",
    "width": "Width",
    "rejection": "Rejection",
    "mean": "Mean",
    "median": "Median",
}


def latex_study(wide: pd.DataFrame, measures: Sequence[str], cells_as_rows: bool) -> str:
    """A tabular of measures with their Monte Carlo errors in parentheses.

    Parameters
    ----------
    wide : DataFrame by (cell, estimator, parameter), a column a measure and one for its error, ``…_mcse``.
    measures : columns to print.
    cells_as_rows : bool, whether the cell is a column of its own, not the heading of a block.

    Returns
    -------
    str

    Raises
    ------
    OptionError
        If a measure is not there.
    """
    _check(measures, wide)
    cells = list(dict.fromkeys(wide.index.get_level_values("cell")))
    as_column = cells_as_rows and cells != [""]
    names = (["Cell"] if as_column else []) + ["Estimator", "Parameter"]
    heads = [*names, *(_HEADS.get(m, m.replace("_", " ").capitalize()) for m in measures)]
    lines = [
        rf"\begin{{tabular}}{{{'l' * len(names)}{'r' * len(measures)}}}",
        r"\toprule",
        " & ".join(map(latex_text, heads)) + r" \\",
    ]
    if as_column:
        lines += [r"\midrule", *_rows(wide, measures, named=True)]
    for cell in [] if as_column else cells:
        heading = rf"\multicolumn{{{len(heads)}}}{{l}}{{\textit{{{latex_text(cell)}}}}} \\"
        lines += [r"\midrule", *([heading] if cell else []), *_rows(wide.loc[[cell]], measures, named=False)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _check(measures: Sequence[str], wide: pd.DataFrame) -> None:
    if isinstance(measures, str):
        raise OptionError(f"measures={measures!r}: give a list, as in measures=[{measures!r}].")
    unknown = [m for m in measures if m not in wide]
    if unknown:
        known = ", ".join(name for name in wide if not name.endswith("_mcse"))
        raise OptionError(f"measures names {', '.join(map(repr, unknown))}; there are {known}.")


def _rows(wide: pd.DataFrame, measures: Sequence[str], named: bool) -> list[str]:
    """A line for every row, with its cell where it is ``named``."""
    lines = []
    for key, row in wide.iterrows():
        first = [str(name) for name in key][0 if named else 1 :]
        cells = [*map(latex_text, first), *(_figure(row.to_dict(), m) for m in measures)]
        lines.append(" & ".join(cells) + r" \\")
    return lines


def _figure(row: Mapping[str, float], measure: str) -> str:
    """A measure with its Monte Carlo error, nothing where it is not known."""
    value, error = row[measure], row.get(f"{measure}_mcse", np.nan)
    if np.isnan(value):
        return ""
    text = f"{value:.3f}".replace("-", "$-$")
    return text if np.isnan(error) else f"{text} ({error:.3f})"
