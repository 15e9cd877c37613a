"""What fits of a normal linear law answer alike, whether outcomes were told exactly or as records."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.blocks import FactorMatrix, columns
from disteconometrics.checks import size_error
from disteconometrics.data.table import as_given
from disteconometrics.distributions.families import Normal
from disteconometrics.distributions.functionals import functional_name, listed
from disteconometrics.distributions.recorded import with_recording
from disteconometrics.errors import CollinearityError
from disteconometrics.estimators.index_laws import NormalRowLaws
from disteconometrics.estimators.law_answers import (
    Answering,
    LawAnswers,
    LawPictures,
    NewRows,
    no_error_of_average,
)
from disteconometrics.estimators.law_results import by_differences
from disteconometrics.estimators.results import CoefficientAnswers
from disteconometrics.inference.covariance import Covariance
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.inference.law_effects import MEstimation
from disteconometrics.inference.law_functionals import OF_QUANTILES, Functional, is_analytic, parse_functional
from disteconometrics.optim.least_squares import Squares, least_squares
from disteconometrics.optim.whiten import OutOfRange, RankDeficient
from disteconometrics.optim.wording import describe_collinearity
from disteconometrics.tables import first_of

__all__ = ["NormalAnswers", "moving", "named_refusals", "named_squares"]


@contextmanager
def named_refusals(names: Sequence[str], rows: int) -> Iterator[None]:
    """What least squares refuse, with names.

    Raises
    ------
    CollinearityError, DataError
    """
    try:
        yield
    except OutOfRange as error:
        raise size_error([names[j] for j in error.columns]) from None
    except RankDeficient as error:
        raise CollinearityError(describe_collinearity(error.rank, names, rows)) from None


def named_squares(X: Array | FactorMatrix, y: Array, w: Array | None, names: Sequence[str]) -> Squares:
    """Least squares, with names in what it refuses.

    Raises
    ------
    CollinearityError, DataError

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> named_squares(X, np.array([1.0, 2.0, 3.0]), None, ["Intercept", "x"]).params.round(12).tolist()
    [1.0, 1.0]
    """
    with named_refusals(names, len(y)):
        return least_squares(X, y, w)


def _on_the_line(name: Any) -> bool:
    """Whether a functional of a normal law is differentiated exactly: ratios of quantiles are of others."""
    return is_analytic(name) and OF_QUANTILES.get(name, ("", ()))[0] != "ratio"


def _columns(X: Array, columns: Sequence[int]) -> Array:
    return X[:, list(columns)]


def moving(spec: Any) -> str:
    """Which variables move location, scale and shape of the law, in the words of a flow's summary.

    Examples
    --------
    >>> import disteconometrics as de
    >>> moving(de.NormalRegression("foodexp ~ log(income)").fit(de.datasets.engel()).spec)
    'Location moves with income; scale and shape with none.'
    """
    return f"Location moves with {first_of(spec.variables) or 'none'}; scale and shape with none."


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class NormalAnswers(LawPictures, LawAnswers, CoefficientAnswers):
    """What a result with a normal linear law answers: coefficients, σ, and the law of every row.

    The result gives ``coefficients`` and their ``covariance``, and that of these and σ; its rows give the
    ``equations`` of both.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> isinstance(res, NormalAnswers), res.predict({"income": [1000.0]}).round(1).tolist()
    (True, [632.7])
    """

    pictures: ClassVar[tuple[str, ...]] = ("coefficients", "quantile_effects", "quantile_fan")
    kinds: ClassVar[Mapping[str, str]] = {"effect": "quantile_effects"}

    @property
    @abstractmethod
    def sigma(self) -> float:
        """Maximum-likelihood standard deviation of the errors."""

    @property
    @abstractmethod
    def sigma_variance(self) -> float:
        """Variance of the estimate of σ."""

    @property
    @abstractmethod
    def joint_covariance(self) -> Covariance:
        """Covariance (k + 1, k + 1) of the coefficients and σ."""

    @cached_property
    def sigma_estimates(self) -> Estimates:
        """``sigma``, the maximum-likelihood standard deviation of the errors, and its logarithm."""
        variance, s = self.sigma_variance, self.sigma
        V = variance * np.array([[1.0, 1 / s], [1 / s, 1 / s**2]])
        return Estimates(("sigma", "log(sigma)"), np.array([s, np.log(s)]), V)

    @property
    def fittedvalues(self) -> pd.Series:
        """x'β of the rows used, plus the offset (n,)."""
        series: pd.Series = self.predict()
        return series

    def answering(self, names: Any, on: Any, *, near: bool) -> Answering:
        """The normal law of every row and the estimation of (β, σ); see `LawAnswers`."""
        rows = self.data_rows()
        read, functionals = self._read(names, on, near)
        offset = 0.0 if rows.offset is None else rows.offset
        laws = partial(self._laws, offset=offset)
        scenario, column = rows.scenario(), partial(rows.column, role="by=")
        estimation = replace(
            self._estimation,
            kind=self.covariance.kind,
            equations=rows.equations,
            sampling=rows.sampling,
        )
        bent = partial(_columns, rows.X)
        return Answering(
            read, functionals, laws, estimation, scenario, rows.X, rows.weights, column, bent, exact=True
        )

    @property
    def _estimation(self) -> MEstimation:
        return MEstimation(self.joint_covariance, self.estimates.df)

    def _laws(self, X: Array, offset: Any) -> NormalRowLaws:
        return NormalRowLaws(X, X @ self.coefficients + offset, self.sigma, self.coefficients)

    def _read(self, names: Any, on: Any, near: bool) -> tuple[list[str], list[Functional]]:
        """Functionals by name, read, those on another scale by differences."""
        given, outcome = listed(names), self.spec.outcome.name
        exact = on is None and all(map(_on_the_line, given))
        if not near and not exact:
            raise no_error_of_average()

        functionals = [
            parse_functional(n) if on is None and _on_the_line(n) else by_differences(n, outcome, on)
            for n in given
        ]
        return [functional_name(n) for n in given], functionals

    def new_answering(self, names: Any, on: Any, new: Any) -> tuple[NewRows, Any]:
        """What predictions of new rows need; see `LawAnswers`."""
        read, functionals = self._read(names, on, True)
        X, mean, index = self._new_rows(new)
        laws = NormalRowLaws(columns(X), mean, self.sigma, self.coefficients)
        return NewRows(read, functionals, laws, self._estimation, {}), index

    def row_laws(self, new: Any) -> NormalRowLaws:
        """The laws of new rows; see `LawAnswers`."""
        X, mean, _ = self._new_rows(new)
        return NormalRowLaws(columns(X), mean, self.sigma, self.coefficients)

    def _new_rows(self, new: Any) -> tuple[Any, Array, pd.Index]:
        """Design (m, k), mean (m,) and index of new rows, or of the rows of the fit."""
        rows = self.data_rows() if new is None else self.spec.matrix(new)
        X = rows.matrix if new is None else rows.X
        mean = X @ self.coefficients
        return X, mean if rows.offset is None else mean + rows.offset, rows.index

    @as_given
    def predict(
        self,
        new: Any = None,
        names: Any = None,
        *,
        ci: bool = False,
        on: Any = None,
        level: float = 0.95,
        of: str = "outcome",
    ) -> Any:
        """E(y | x) for new rows, or functionals of their laws, with intervals on request.

        Intervals of outcomes are those of `distribution`.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit; a source, as `fit`
            takes it, is read a few rows at a time.
        names : functionals of the law of a row, such as ``["mean", "q[0.9]"]``; None is the mean, in a frame
            of its own.
        ci : bool, whether to give estimate, std_error, conf_low and conf_high.
        on, of : as in `functionals`.
        level : float, confidence level.

        Returns
        -------
        pandas Series (m,), or DataFrame (m, 4) with ``ci``; rows with a missing value give NaN.
            With ``names`` a DataFrame by (row, functional).

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData
        """
        level = check_level(level)
        if names is not None or on is not None or self.recording_asked(of, on) is not None:
            given = "mean" if names is None else names
            found = super().predict(new, given, ci=ci, on=on, level=level, of=of)
            if names is not None or of == "recorded":
                return found
            found = found.droplevel("functional")  # E(y | x) of an outcome with a corner
            return found if ci else found["estimate"].rename(None)
        X, mean, index = self._new_rows(new)
        if not ci:
            return pd.Series(mean, index=index)
        se = self.covariance.errors(X)
        half = self.estimates.critical(level) * se
        return pd.DataFrame(
            {"estimate": mean, "std_error": se, "conf_low": mean - half, "conf_high": mean + half},
            index=index,
        )

    def distribution(self, new: Any = None) -> Normal:
        """The normal law of the outcome, as the formula writes it, for every row of ``new`` (None.

        The rows of the fit).
        """
        _, mean, _ = self._new_rows(new)
        law = Normal(mean, self.sigma).named(self.spec.outcome.name)
        return with_recording(law, self.spec)  # type: ignore[no-any-return]
