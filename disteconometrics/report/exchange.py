"""Results in the words of other packages: broom's tidy, glance and augment, and the plug-in of maketables.

Names are broom's in snake_case; the columns that `augment` adds carry no leading dot: fitted, resid,
std_resid, hat, cooksd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.errors import OptionError
from disteconometrics.inference.diagnostics import Influence
from disteconometrics.inference.estimates import Estimated, TestResult

__all__ = ["OtherPackagesNames", "augment", "augment_new", "glance", "with_statsmodels_names"]

_COLUMNS = {
    "estimate": "b",
    "std_error": "se",
    "statistic": "t",
    "p_value": "p",
    "conf_low": "ci95l",
    "conf_high": "ci95u",
}
_LABELS = {"N": "Observations", "ll": "Log-likelihood", "pseudo_r2": "Pseudo R²"}
_STATISTICS = {
    "N": "nobs",
    "ll": "llf",
    "pseudo_r2": "prsquared",
    "aic": "aic",
    "bic": "bic",
    "df_model": "df_model",
    "df_resid": "df_resid",
}
# Columns of glance in broom's order: name, the attribute that a result must have, and the value.
_GLANCE: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("r_squared", "rsquared", lambda r: r.rsquared),
    ("null_deviance", "llnull", lambda r: -2 * r.llnull),
    ("df_null", "llnull", lambda r: r.nobs - 1),
    ("log_lik", "llf", lambda r: r.llf),
    ("aic", "aic", lambda r: r.aic),
    ("bic", "bic", lambda r: r.bic),
    ("deviance", "llnull", lambda r: -2 * r.llf),
    ("df_residual", "df_resid", lambda r: r.df_resid),
    ("nobs", "nobs", lambda r: r.nobs),
)


def glance(result: Any) -> pd.DataFrame:
    """One row of broom: of the columns in `_GLANCE` those that the result has."""
    found = {name: read(result) for name, needed, read in _GLANCE if hasattr(result, needed)}
    return pd.DataFrame([found])


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


def with_statsmodels_names(model: Any, outcome: str, terms: Sequence[str]) -> Any:
    """Return a copy of a specification that knows the names that statsmodels' tables ask of a fit's model.

    ``endog_names`` and ``exog_names`` are no fields: the copy equals and hashes like the original.
    """
    copy = object.__new__(type(model))
    copy.__dict__.update(model.__dict__, endog_names=outcome, exog_names=list(terms))
    return copy


class OtherPackagesNames(Estimated):
    """Names under which statsmodels' users and maketables find what a regression result has.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector())
    >>> isinstance(res, OtherPackagesNames), res.wald_test("GPA = PSI") == res.test("GPA = PSI")
    (True, True)
    """

    spec: Any
    covariance: Any

    def wald_test(self, hypotheses: Any) -> TestResult:
        """statsmodels' name of `test`."""
        return self.test(hypotheses)

    def t_test(self, hypotheses: Any) -> pd.DataFrame:
        """statsmodels' t_test: each linear combination R·β − r with its standard error and interval."""
        return self.estimates.linear(hypotheses).table()

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        return self.estimates.table().rename(columns=_COLUMNS).rename_axis("Coefficient")

    @property
    def __maketables_depvar__(self) -> str:
        return str(self.spec.outcome.name)

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        return {"vcov_type": self.covariance.label, "clustervar": None}

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return list(_LABELS)

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        return dict(_LABELS)

    def __maketables_stat__(self, key: str) -> Any:
        """A statistic under maketables' name, None for one that a result does not have."""
        if key == "se_type":
            return self.covariance.label
        value = getattr(self, _STATISTICS.get(key, ""), None)
        return int(value) if key == "N" and value is not None and float(value).is_integer() else value
