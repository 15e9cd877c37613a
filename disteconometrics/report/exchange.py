"""Results in the words of other packages: broom's tidy, glance and augment, and the plug-in of maketables.

Names are broom's in snake_case; the columns that `augment` adds carry no leading dot: fitted, resid,
std_resid, hat, cooksd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.errors import OptionError
from disteconometrics.inference.diagnostics import Influence
from disteconometrics.inference.estimates import Estimates

__all__ = ["MAKETABLES_LABELS", "augment", "augment_new", "glance", "maketables_stat", "maketables_table"]

MAKETABLES_LABELS = {"N": "Observations", "ll": "Log-likelihood", "pseudo_r2": "Pseudo R²"}
_STATISTICS = {
    "N": "nobs",
    "ll": "llf",
    "pseudo_r2": "prsquared",
    "aic": "aic",
    "bic": "bic",
    "df_model": "df_model",
    "df_resid": "df_resid",
}


def glance(result: Any) -> pd.DataFrame:
    """One row: null_deviance, df_null, log_lik, aic, bic, deviance, df_residual, nobs."""
    row = {
        "null_deviance": -2 * result.llnull,
        "df_null": result.nobs - 1,
        "log_lik": result.llf,
        "aic": result.aic,
        "bic": result.bic,
        "deviance": -2 * result.llf,
        "df_residual": result.df_resid,
        "nobs": result.nobs,
    }
    return pd.DataFrame([row])


def _with(frame: pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    taken = [c for c in columns if c in frame.columns]
    if taken:
        raise OptionError(
            f"The data have columns named {', '.join(map(repr, taken))}, which augment would add: rename "
            f"them."
        )
    return frame.assign(**columns)


def augment(frame: pd.DataFrame, fitted: Any, deviance: Any, influence: Influence) -> pd.DataFrame:
    """Add to the rows of a fit: fitted, resid (deviance), std_resid = resid/√(1 − hat), hat and cooksd."""
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = deviance / np.sqrt(1 - influence.leverage)
    columns = {"fitted": fitted, "resid": deviance, "std_resid": standard}
    return _with(frame, {**columns, "hat": influence.leverage, "cooksd": influence.cooks_distance})


def augment_new(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Add to new rows: fitted and se_fit."""
    columns = {"fitted": predictions["estimate"].to_numpy(), "se_fit": predictions["std_error"].to_numpy()}
    return _with(frame, columns)


def maketables_table(estimates: Estimates) -> pd.DataFrame:
    """Coefficients as maketables reads them: b, se, t, p, ci95l, ci95u."""
    names = {
        "estimate": "b",
        "std_error": "se",
        "statistic": "t",
        "p_value": "p",
        "conf_low": "ci95l",
        "conf_high": "ci95u",
    }
    return estimates.table().rename(columns=names).rename_axis("Coefficient")


def maketables_stat(result: Any, key: str) -> Any:
    """A statistic under maketables' name, None for one that a result does not have."""
    if key == "se_type":
        return result.covariance.label
    value = getattr(result, _STATISTICS.get(key, ""), None)
    return int(value) if key == "N" and value is not None and float(value).is_integer() else value
