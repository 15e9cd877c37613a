"""Estimators and results as people have them: functions, and what statsmodels and others return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.errors import OptionError
from disteconometrics.inference.estimates import Estimates, critical_value

__all__ = ["FunctionEstimator", "as_estimates", "as_estimator", "named_params", "with_errors"]


@dataclass(frozen=True)
class FunctionEstimator:
    """A function from a table to a result, as an estimator.

    Examples
    --------
    >>> FunctionEstimator(len).fit([1, 2])
    2
    """

    function: Callable[[Any], Any]

    def fit(self, data: Any) -> Any:
        """What the function returns for a table."""
        return self.function(data)


def as_estimator(given: Any) -> Any:
    """What has ``fit(data)``: a specification, an object of another class, or a function of a table.

    Raises
    ------
    OptionError
        If it is a result, a class, or something else.
    """
    if type(given).__module__.startswith("statsmodels.") and hasattr(given, "endog"):
        raise OptionError(
            f"A {type(given).__name__} that holds its data cannot be fitted to others: give a function, as "
            "lambda data: smf.ols('y ~ x', data).fit()."
        )
    if not isinstance(given, type) and callable(getattr(given, "fit", None)):
        return given
    if callable(given) and not isinstance(given, type):
        return FunctionEstimator(given)
    hint = ""
    if hasattr(given, "model") and hasattr(given, "estimates"):
        hint = "; of a result the specification is res.model"
    raise OptionError(
        f"{given!r:.60} is no estimator: give a specification such as de.Logit('y ~ x'), an object with "
        f"fit(data), or a function of the data that returns a result{hint}."
    )


def named_params(result: Any) -> tuple[tuple[str, ...], Array]:
    """Names and values (q,) of ``result.params``: those of a Series, or the model's names of its columns."""
    params = result.params
    if isinstance(params, pd.Series):
        return tuple(map(str, params.index)), params.to_numpy(dtype=np.float64)
    values = np.asarray(params, dtype=np.float64).ravel()
    names = getattr(getattr(result, "model", None), "exog_names", None)
    if names is None or len(names) != len(values):
        names = [f"params[{i}]" for i in range(len(values))]
    return tuple(map(str, names)), values


def as_estimates(result: Any) -> Estimates | None:
    """The table of a result with ``params`` and ``cov_params()``, of t where it says ``use_t``.

    None where it has not both, or not one name for each.
    """
    if np.ndim(getattr(result, "params", 0)) != 1 or not callable(getattr(result, "cov_params", None)):
        return None
    names, b = named_params(result)
    V = np.asarray(result.cov_params(), dtype=np.float64)
    if V.shape != (len(b), len(b)) or len(set(names)) < len(b):
        return None
    return Estimates(names, b, V, float(result.df_resid) if getattr(result, "use_t", False) else np.inf)


def with_errors(result: Any, level: float) -> tuple[tuple[str, ...], Array]:
    """Names (q,) and numbers (q, 5) of a result with ``params`` and ``bse``.

    They are estimates, errors, both limits and p-values; limits are the result's own where it has
    ``conf_int(alpha=)``, else of the normal law; p-values are NaN where it has none.
    """
    names, b = named_params(result)
    se = np.asarray(result.bse, dtype=np.float64).ravel()
    if callable(getattr(result, "conf_int", None)):
        limits = np.asarray(result.conf_int(alpha=1 - level), dtype=np.float64)
    else:
        limits = b[:, None] + np.array([-1.0, 1.0]) * critical_value(level) * se[:, None]
    p = np.asarray(getattr(result, "pvalues", np.full(len(b), np.nan)), dtype=np.float64)
    return names, np.column_stack([b, se, limits, p])
