"""Small data sets that ship inside statsmodels, as pandas tables."""

from __future__ import annotations

from importlib import import_module

import pandas as pd

__all__ = ["engel", "fair", "spector"]


def _load(name: str) -> pd.DataFrame:
    frame: pd.DataFrame = import_module(f"statsmodels.datasets.{name}").load_pandas().data.copy()
    return frame


def spector() -> pd.DataFrame:
    """Spector and Mazzeo's economics classes: did the grades of 32 students improve under a new method (PSI)?

    Returns
    -------
    DataFrame (32, 4)
        GRADE (1 improved), GPA (points), TUCE (test score, points), PSI (1 taught by it).

    References
    ----------
    Spector, Mazzeo (1980), Probit analysis and economic education, J. Economic Education 11(2).

    Examples
    --------
    >>> spector().shape
    (32, 4)
    """
    return _load("spector")


def fair() -> pd.DataFrame:
    """Fair's 1974 Redbook survey of 6,366 first-married women, with an indicator of any extramarital affair.

    Returns
    -------
    DataFrame (6366, 10)
        rate_marriage (1 very poor … 5 very good), age (years), yrs_married, children, religious (1 … 4), educ
        (years), occupation (1 … 6), occupation_husb, affairs (time spent, as reported), affair (1 any).

    References
    ----------
    Fair (1978), A theory of extramarital affairs, J. Political Economy 86, doi:10.1086/260636.

    Examples
    --------
    >>> fair()["affair"].value_counts().to_dict()
    {0: 4313, 1: 2053}
    """
    frame = _load("fair")
    return frame.assign(affair=(frame["affairs"] > 0).astype(int))


def engel() -> pd.DataFrame:
    """Engel's budgets of 235 Belgian working-class households, in francs a year.

    Returns
    -------
    DataFrame (235, 2)
        income, foodexp.

    References
    ----------
    Koenker, Bassett (1982), Robust tests for heteroscedasticity based on regression quantiles, Econometrica
    50.

    Examples
    --------
    >>> engel().columns.tolist()
    ['income', 'foodexp']
    """
    return _load("engel")
