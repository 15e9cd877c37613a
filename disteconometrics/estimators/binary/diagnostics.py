"""Diagnostics of a fitted binary-outcome model: the rows behind them, and where weights or clusters rule them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.data.spec import numeric_column
from disteconometrics.data.table import Table
from disteconometrics.errors import DataError, WithheldError
from disteconometrics.inference import diagnostics
from disteconometrics.inference.estimates import Estimates
from disteconometrics.report import exchange

if TYPE_CHECKING:
    from disteconometrics.estimators.binary.results import BinaryResults

__all__ = [
    "augment_of",
    "calibration_of",
    "classification_of",
    "hosmer_lemeshow_of",
    "influence_of",
    "link_test_of",
    "roc_of",
]

Array = NDArray[np.float64]


def _dependence(result: BinaryResults) -> str | None:
    """Why rows are no independent observations of equal standing, None if they are."""
    if result.model.weight_type == "sampling":
        return "sampling weights make rows count unequally"
    if result.covariance.label.startswith(("clustered", "HAC")):
        return f"rows depend on each other (the covariance is {result.covariance.label})"
    return None


def _refuse(result: BinaryResults, what: str, remedy: str) -> None:
    if result.infinite is not None:
        raise WithheldError(f"{what} needs a finite maximum; this fit is separated.")
    reason = _dependence(result)
    if reason is not None:
        raise WithheldError(
            f"{what} is withheld: its law holds for independent observations, and {reason}. {remedy}"
        )


def _outcomes(result: BinaryResults, data: Any) -> tuple[Array, Array, Array | None]:
    """Outcomes, probabilities and weights of the rows of the fit, or of complete rows of ``data``."""
    if data is None:
        design = result._need_rows().design
        return design.y, result.fittedvalues.to_numpy(), design.weights
    y, p = result.spec.outcome_values(data), result.predict(data).to_numpy()
    w = None
    if result.model.weights is not None:
        w = np.asarray(numeric_column(Table(data), result.model.weights, "weights").numbers)
    good = ~(np.isnan(y) | np.isnan(p)) & (True if w is None else w > 0)
    if not good.any():
        raise DataError("data= has no complete row with an outcome.")
    return y[good], p[good], None if w is None else w[good]


def _standard_error_reason(result: BinaryResults, what: str) -> str | None:
    reason = _dependence(result)
    return (
        None
        if reason is None
        else f"The standard error of {what} is withheld: {reason}; bootstrap it instead."
    )


def hosmer_lemeshow_of(result: BinaryResults, groups: int) -> diagnostics.HosmerLemeshow:
    """The test on the rows of the fit; frequency weights are counted out."""
    _refuse(result, "The Hosmer-Lemeshow test", "Use calibration(), which needs no law.")
    y, p, w = _outcomes(result, None)
    if w is not None:
        copies = w.astype(np.intp)
        if not np.array_equal(copies, w):
            raise WithheldError(
                "The Hosmer-Lemeshow test counts observations; these frequency weights are no whole numbers."
            )
        y, p = np.repeat(y, copies), np.repeat(p, copies)
    return diagnostics.hosmer_lemeshow(y, p, groups)


def link_test_of(result: BinaryResults) -> Estimates:
    """The link test on the rows of the fit, with nonrobust standard errors."""
    _refuse(result, "The link test", "Add squares or interactions to the formula and test them with test().")
    rows = result._need_rows()
    return diagnostics.link_test(
        result.kernel, rows.design.y, result.predict(linear=True).to_numpy(), rows.design.weights
    )


def classification_of(result: BinaryResults, threshold: float, data: Any) -> diagnostics.Classification:
    """The table at a threshold; weights count."""
    y, p, w = _outcomes(result, data)
    return diagnostics.classification(y, p, threshold, w)


def roc_of(result: BinaryResults, data: Any) -> diagnostics.RocCurve:
    """The curve, without a standard error where rows are not independent."""
    return diagnostics.roc(*_outcomes(result, data), withheld=_standard_error_reason(result, "the area"))


def calibration_of(result: BinaryResults, groups: int, data: Any) -> diagnostics.Calibration:
    """Calibration, without standard errors where rows are not independent."""
    y, p, w = _outcomes(result, data)
    return diagnostics.calibration(y, p, groups, w, _standard_error_reason(result, "calibration"))


def influence_of(result: BinaryResults) -> diagnostics.Influence:
    """Influence of the rows of the fit."""
    if result.infinite is not None:
        raise WithheldError("Influence needs a finite maximum; this fit is separated.")
    rows = result._need_rows()
    return diagnostics.influence(rows.equation, rows.design.index)


def augment_of(result: BinaryResults, data: Any) -> pd.DataFrame:
    """The columns of the formula for the rows of the fit, or all columns of other rows, with what `report.exchange` adds."""
    if data is not None:
        table = Table(data)
        frame = pd.DataFrame(
            {name: pd.Series(table.raw(str(name), "augment")).to_numpy() for name in table.names},
            index=table.index,
        )
        return exchange.augment_new(frame, result.predict(data, ci=True))
    design = result._need_rows().design
    names = dict.fromkeys([*result.spec.parsed.left.variables, *result.spec.variables])
    frame = pd.DataFrame(
        {str(name): design.column(str(name), "augment") for name in names}, index=design.index
    )
    return exchange.augment(frame, result.fittedvalues, result.resid_deviance, influence_of(result))
