"""Diagnostics of a fitted binary outcome.

The rows behind them, and where weights or clusters rule them out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.data.spec import numeric_column
from disteconometrics.data.table import Table
from disteconometrics.errors import DataError, WithheldError
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference import diagnostics

__all__ = [
    "Observed",
    "check_independent",
    "complete",
    "dependence",
    "formula_columns",
    "frame_of",
    "hosmer_lemeshow",
    "without_error",
]


class Observed(NamedTuple):
    """Outcomes ``y``, probabilities ``p`` and weights of rows, each (n,).

    Weights None where there are none.
    """

    y: Array
    p: Array
    weights: Array | None


def dependence(weight_type: str | None, covariance: str) -> str | None:
    """Why rows are no independent observations of equal standing, None if they are.

    Examples
    --------
    >>> dependence(None, "HC1") is None, dependence("sampling", "HC1")
    (True, 'sampling weights make rows count unequally')
    """
    if weight_type == "sampling":
        return "sampling weights make rows count unequally"
    if covariance.startswith(("clustered", "HAC")):
        return f"rows depend on each other (the covariance is {covariance})"
    return None


def check_independent(what: str, remedy: str, reason: str | None) -> None:
    """Withhold what holds for independent observations only, where there is a reason.

    Raises
    ------
    WithheldError

    Examples
    --------
    >>> check_independent("The link test", "", None)
    """
    if reason is not None:
        raise WithheldError(
            f"{what} is withheld: its law holds for independent observations, and {reason}. {remedy}"
        )


def without_error(what: str, reason: str | None) -> str | None:
    """Why a standard error is withheld, None if it is not.

    Examples
    --------
    >>> without_error("the area", None) is None
    True
    """
    if reason is None:
        return None
    return f"The standard error of {what} is withheld: {reason}; bootstrap it instead."


def complete(y: Array, p: Array, data: Any, weights: str | None) -> Observed:
    """The rows of a table in which outcome, probability and weight are known.

    Raises
    ------
    DataError
        If there is none.

    Examples
    --------
    >>> complete(np.array([1.0, np.nan]), np.array([0.5, 0.5]), {"y": [1, None]}, None).y.tolist()
    [1.0]
    """
    w = None if weights is None else numeric_column(Table(data), weights, "weights").numbers
    good = ~(np.isnan(y) | np.isnan(p)) & (True if w is None else w > 0)
    if not good.any():
        raise DataError("data= has no complete row with an outcome.")
    return Observed(y[good], p[good], None if w is None else w[good])


def hosmer_lemeshow(seen: Observed, groups: int) -> diagnostics.HosmerLemeshow:
    """The test on rows whose frequency weights are counted out.

    Raises
    ------
    WithheldError
        If weights are no whole numbers.

    Examples
    --------
    >>> seen = Observed(np.tile([0.0, 1.0], 50), np.linspace(0.3, 0.7, 100), None)
    >>> 0 < hosmer_lemeshow(seen, 5).test.p_value < 1
    True
    """
    y, p, w = seen
    if w is not None:
        copies = w.astype(np.intp)
        if not np.array_equal(copies, w):
            raise WithheldError(
                "The Hosmer-Lemeshow test counts observations; these frequency weights are no whole numbers."
            )
        y, p = np.repeat(y, copies), np.repeat(p, copies)
    return diagnostics.hosmer_lemeshow(y, p, groups)


def formula_columns(rows: FitRows) -> pd.DataFrame:
    """The columns of the table that the formula reads, outcome first, for the rows of a fit.

    Examples
    --------
    >>> import disteconometrics as de
    >>> formula_columns(de.Logit("GRADE ~ GPA").fit(de.datasets.spector()).data_rows()).columns.tolist()
    ['GRADE', 'GPA']
    """
    names = dict.fromkeys([*rows.spec.parsed.left.variables, *rows.spec.variables])
    return pd.DataFrame({str(n): rows.column(str(n), "augment") for n in names}, index=rows.index)


def frame_of(data: Any) -> pd.DataFrame:
    """Any table as a DataFrame of its own.

    Examples
    --------
    >>> frame_of({"x": [1.0, 2.0]}).shape
    (2, 1)
    """
    table = Table(data)
    columns = {name: pd.Series(table.raw(str(name), "augment")).to_numpy() for name in table.names}
    return pd.DataFrame(columns, index=table.index)
