"""Answers of a binary-outcome result in the words of all laws: the mean of its outcome is P(y = 1 | x)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.data.table import as_given
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.estimators.binary.extrapolation import Ranges, warn_new
from disteconometrics.estimators.binary.fitted_index import FittedIndex
from disteconometrics.estimators.index_laws import ProbabilityRowLaws, check_mean
from disteconometrics.estimators.law_answers import Answering, LawAnswers, NewRows
from disteconometrics.inference.estimates import check_level, critical_value
from disteconometrics.inference.law_effects import MEstimation
from disteconometrics.threads import on_one_thread

__all__ = ["BinaryAnswers"]

MEAN = "mean"


class BinaryAnswers(LawAnswers):
    """`LawAnswers` of probabilities: ``mean`` is P(y = 1), average slopes are those of `margins`."""

    model: Any
    spec: Any
    data_rows: Any  # of `FittedResult`, which a result inherits after this

    @property
    @abstractmethod
    def fitted_index(self) -> FittedIndex:
        """The index x'β of any rows."""

    @property
    @abstractmethod
    def seen(self) -> Ranges:
        """Ranges of the variables in the rows of the fit; none of a result without rows."""

    @abstractmethod
    def _new_rows(self, new: Any) -> tuple[Array, Array | None, pd.Index]:
        """Design (m, k), offset (m,) and index of new rows, or of the rows of the fit."""

    def answering(self, names: Any, on: Any, *, near: bool) -> Answering:
        """The probabilities of rows and the estimation of their coefficients; see `LawAnswers`."""
        listed = self.read_names(names, on)
        rows, fitted = self.data_rows(), self.fitted_index
        if near and fitted.infinite is not None:
            raise WithheldError(
                "This fit is separated: margins() gives the effects of variables that "
                "separation does not touch."
            )
        estimation = MEstimation(
            fitted.covariance,
            fitted.df,
            fitted.covariance.kind,
            (rows.equation,),
            replace(rows, counted=None).sampling,
            rows.counted,
        )
        return Answering(
            listed,
            [(MEAN, ())] * len(listed),
            partial(_laws, fitted, rows.offset),
            estimation,
            rows.scenario(),
            rows.X,
            rows.weights,
            partial(rows.column, role="by="),
            lambda columns: rows.X[:, list(columns)],
            exact=True,
            linear=False,
        )

    def usual(self, effects: bool) -> tuple[str]:
        """The mean, P(y = 1), is all there is."""
        return (MEAN,)

    @staticmethod
    def read_names(names: Any, on: Any) -> list[str]:
        """The functionals asked for: the mean is all there is, on no other scale.

        Raises
        ------
        OptionError
        """
        if on is not None:
            raise OptionError(f"on={on!r}: an outcome of two values has no other scale.")
        listed = [names] if isinstance(names, str) else list(names)
        for name in listed:
            check_mean((name, ()))
        return listed

    def row_laws(self, new: Any) -> Any:
        """The probabilities of new rows; see `LawAnswers`."""
        X, offset, _ = self._new_rows(new)
        return _laws(self.fitted_index, offset, X)

    def new_answering(self, names: Any, on: Any, new: Any) -> tuple[NewRows, Any]:
        """What predictions of new rows need; see `LawAnswers`."""
        raise OptionError("predict(new, ci=True) gives P(y = 1 | x) of each row with limits.")

    @as_given
    @on_one_thread
    def predict(
        self,
        new: Any = None,
        names: Any = "mean",
        *,
        ci: bool = False,
        on: Any = None,
        level: float = 0.95,
        of: str = "outcome",
        linear: bool = False,
    ) -> Any:
        """P(y = 1 | x) for new rows, with intervals on request.

        Parameters
        ----------
        new : table with the columns of the right side, or None for the rows of the fit; a source, as `fit`
            takes it, is read a few rows at a time.
        names, on, of : as results of other outcomes take them; "mean", None and "outcome" are all here.
        ci : bool
            Whether to give estimate, std_error (delta method), conf_low and conf_high; the limits are those
            of x'β, carried through the law, so they lie in [0, 1].
        level : float, confidence level.
        linear : bool, the index x'β (log-odds in a logit) instead of the probability.

        Returns
        -------
        pandas Series (m,), or DataFrame (m, 4) with ``ci``; rows with a missing value give NaN.

        Raises
        ------
        MissingColumnError, LevelError, DataError, NeedsData

        Warns
        -----
        ExtrapolationWarning
            If new rows lie outside the range of the rows of the fit, where these are at hand.
        """
        level = check_level(level)
        self.read_names(names, on)
        self.recording_asked(of, on)  # checks it
        X, offset, rows = self._new_rows(new)
        if new is not None:
            warn_new(self.seen, self.spec, new, X)
        eta = self.fitted_index.value(X, offset)
        kernel = self.fitted_index.kernel
        p = eta if linear else kernel.probability(eta)
        if not ci:
            return pd.Series(p, index=rows)
        se = self.fitted_index.error(X)
        half = critical_value(level, self.fitted_index.df) * se
        low, high = eta - half, eta + half
        if not linear:
            se, low, high = (
                se * kernel.density(eta),
                kernel.probability(low),
                kernel.probability(high),
            )
        return pd.DataFrame({"estimate": p, "std_error": se, "conf_low": low, "conf_high": high}, index=rows)


def _laws(fitted: FittedIndex, offset: Array | None, X: Array) -> Any:
    """The probabilities of rows with a design (n, k) and the offset of the rows of the fit."""
    return ProbabilityRowLaws(fitted.kernel, fitted.coefficients, X, fitted.value(X, offset))
