"""Fits and tables crossed: laws of one averaged over the rows of another.

A result that can be crossed has ``crossed(crossing)``, which gives the laws of a `Crossing` as
`inference.crossed_laws.CrossedLaws`: by influence rows where it is a `LawAnswers`, by draws where it is a
distribution regression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.data.table import Table
from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.errors import DataError, OptionError, WithheldError
from disteconometrics.inference.covariance import Cluster, Codes, CovarianceKind
from disteconometrics.inference.crossed_laws import AllRows, AveragedRows, CrossedLaws
from disteconometrics.inference.decomposition import check_levels, curves
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.resample import take_rows
from disteconometrics.tables import printable

__all__ = ["LEVELS", "ROBUST", "Counterfactual", "Crossing", "check_robust", "codes_of", "counterfactual"]

LEVELS = tuple(round(0.05 * i, 2) for i in range(2, 19))
ROBUST = ("HC0", "HC1", "HC2", "HC3")
COLUMNS = ("estimate", "conf_low", "conf_high", "band_low", "band_high")


@dataclass(frozen=True, eq=False)
class Crossing:
    """Fits, tables to average over, and which pairs of them are meant.

    Parameters
    ----------
    fits : results of one specification; their rows lie at ``fitted`` among all rows.
    tables : complete rows, at the places that ``averages`` names; ``own`` says of which fit they are the
        rows, None of none.
    pairs : (fit, table) of each law.
    rows : AllRows.
    draws, seed : of laws that are drawn.
    """

    fits: tuple[Any, ...]
    fitted: tuple[Any, ...]
    tables: tuple[Any, ...]
    averages: tuple[AveragedRows, ...]
    own: tuple[int | None, ...]
    pairs: tuple[tuple[int, int], ...]
    rows: AllRows
    draws: int
    seed: np.random.SeedSequence

    def laws(self) -> CrossedLaws:
        """The laws of the pairs.

        Raises
        ------
        DisteconometricsError
        """
        found: CrossedLaws = self.fits[0].crossed(self)
        return found


def check_robust(kind: Any) -> CovarianceKind:
    """A covariance that holds where the laws of the fits are wrong: averages over other rows need it.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_robust("HC1")
    'HC1'
    """
    if kind not in ROBUST and not isinstance(kind, Cluster):
        raise OptionError(
            f"cov={kind!r}: averages over other rows take 'HC0' to 'HC3' or de.Cluster('column'), by whose "
            "rows fits and averages are brought together."
        )
    known: CovarianceKind = kind
    return known


def codes_of(
    parts: Sequence[tuple[Any, Callable[[str], Any]]], size: int
) -> Callable[[Sequence[str]], Codes]:
    """Clusters of rows side by side, equal where the values of the columns are.

    Parameters
    ----------
    parts : positions of rows, and what gives a column of them.
    size : of all rows.
    """

    def codes(columns: Sequence[str]) -> Codes:
        joint, count = np.zeros(size, dtype=np.intp), 1
        for name in columns:
            values = np.empty(size, dtype=object)
            for at, column in parts:
                values[at] = np.asarray(column(name), dtype=object)
            found, distinct = pd.factorize(values)
            pairs, levels = pd.factorize(joint * len(distinct) + found)
            joint, count = pairs.astype(np.intp), len(levels)
        return joint, count

    return codes


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """The law of an outcome averaged over other rows: coefficients of the fit, covariates of these rows.

    ``law`` is it without errors.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> res = de.NormalRegression("foodexp ~ income").fit(engel, cov="HC1")
    >>> richer = res.counterfactual(engel.assign(income=1.1 * engel["income"]))
    >>> richer.functionals(["mean", "q[0.5]"]).table()[["estimate", "std_error"]].round(1)
            estimate  std_error
    mean       671.8       21.4
    q[0.5]     621.2       15.0
    """

    law: Any
    crossing: Crossing

    @cached_property
    def crossed(self) -> CrossedLaws:
        """The law with what draws or influence rows say of it."""
        return self.crossing.laws()

    def functionals(self, names: Any = ("mean", "std"), *, level: float = 0.95) -> Estimates:
        """Functionals of the law with errors.

        Parameters
        ----------
        names : functionals such as ``["mean", "q[0.9]", "gini"]``, or functions of a law.
        level : float, confidence level of the printed table.

        Returns
        -------
        Estimates

        Raises
        ------
        OptionError
        """
        asked, level = listed(names), check_level(level)
        values, V = self.crossed.functionals(asked, np.eye(1))
        named = tuple(map(functional_name, asked))
        return Estimates(
            named, values[0], V, self.crossed.df, level=level, clusters=self.crossing.rows.clusters
        )

    def quantiles(self, levels: Any = LEVELS, *, level: float = 0.95) -> pd.DataFrame:
        """Quantiles of the law with limits and a band that holds for all levels at once.

        Parameters
        ----------
        levels : float or sequence of float in (0, 1).
        level : float, confidence level.

        Returns
        -------
        pandas DataFrame
            estimate, conf_low, conf_high, band_low, band_high by level.

        Raises
        ------
        OptionError, WithheldError
        """
        tau = check_levels(levels)
        found = curves(self.crossed, np.zeros((0, 1)), tau, check_level(level))[0]
        return pd.DataFrame(found, columns=list(COLUMNS), index=pd.Index(tau, name="level"))

    def quantile(self, levels: Any) -> Any:
        """Quantiles of the law, without errors."""
        return self.law.quantile(levels)

    def cdf(self, y: Any) -> Any:
        """Distribution function of the law, without errors."""
        return self.law.cdf(y)

    def __repr__(self) -> str:
        n = len(self.crossing.averages[0].at)
        return printable(f"<law of {self.law.outcome} averaged over {n} other rows>")


def counterfactual(result: Any, new: Any, weights: str | None, target: str, **drawn: Any) -> Crossing:
    """One fit crossed with the complete rows of a table.

    Parameters
    ----------
    result : the fit, with its rows.
    new : table with the columns of the right side.
    weights : str or None, a column of ``new``.
    target : "population" that the rows of ``new`` are from, or the "sample" that they are.
    drawn : ``draws`` and ``seed``.

    Raises
    ------
    OptionError, DataError, MissingColumnError, LevelError
    """
    if target not in ("population", "sample"):
        raise OptionError(f"target={target!r} is not known; use 'population' or 'sample'.")
    rows, kind = result.data_rows(), _kind_of(result)
    if not result.spec.variables:
        raise OptionError(f"{result.spec.formula!r} has no covariates: its law is the same over all rows.")
    table, w = _complete(result, new, weights)
    n, m = rows.size, len(Table(table))
    at, over = np.arange(n), np.arange(n, n + m)
    parts = [(at, lambda c: rows.column(c, "cluster")), (over, lambda c: _column(table, c))]
    codes = codes_of(parts[: 1 if target == "sample" else 2], n + m)
    copies = np.append(rows.weights, np.ones(m)) if rows.frequency else None
    averages = AveragedRows(over, w, None if w is None else "sampling", target == "sample")
    samples = (at,) if target == "sample" else (at, over)
    whole = AllRows(n + m, kind, codes, samples, copies)
    return Crossing((result,), (at,), (table,), (averages,), (None,), ((0, 0),), whole, **drawn)


def _kind_of(result: Any) -> CovarianceKind:
    kind = getattr(result, "kind", None) or result.covariance.kind
    if kind is None:
        raise WithheldError(
            "A saved result does not name its clusters; ask for them again with with_cov(...)."
        )
    if kind in ("nonrobust", "opg"):
        raise OptionError(
            f"cov={kind!r} believes the law of the fit, which an average over other rows should not: "
            "use res.with_cov('HC1').counterfactual(new)."
        )
    return check_robust(kind)


def _column(table: Any, name: str) -> Any:
    return Table(table).raw(name, "cluster")


def _complete(result: Any, new: Any, weights: str | None) -> tuple[Any, Array | None]:
    """The rows of a table with all that the right side needs, and their weights."""
    coded = result.spec.matrix(new)
    complete = ~np.isnan(coded.X).any(axis=1)
    if coded.offset is not None:
        complete &= ~np.isnan(coded.offset)
    w = None
    if weights is not None:
        numbers = Table(new).column(weights, "weights").numbers
        if numbers is None:
            raise DataError(f"The weights column {weights!r} holds no numbers.")
        w = np.asarray(numbers, dtype=np.float64)
        if (w < 0).any() or np.isinf(w).any():
            raise DataError(f"The weights column {weights!r} has values that are negative or infinite.")
        complete &= w > 0  # a missing weight is not
    if not complete.any():
        raise DataError("No row of the table is complete, so there is nothing to average over.")
    at = np.flatnonzero(complete)
    return take_rows(new, at), None if w is None else w[at]
