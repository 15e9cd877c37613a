"""Answers of a binary-outcome result in the words of all laws: the mean of its outcome is P(y = 1 | x)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Any

from disteconometrics.arrays import Array
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.estimators.binary.fit import BinaryRows
from disteconometrics.estimators.binary.fitted_index import FittedIndex
from disteconometrics.estimators.index_laws import ProbabilityRowLaws, check_mean
from disteconometrics.estimators.law_answers import Answering, EffectsResults, LawAnswers, NewRows
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.law_effects import MEstimation

__all__ = ["BinaryAnswers"]

MEAN = "mean"


class BinaryAnswers(LawAnswers):
    """`LawAnswers` of probabilities: ``mean`` is P(y = 1), average slopes are those of `margins`."""

    model: Any

    @property
    @abstractmethod
    def fitted_index(self) -> FittedIndex:
        """The index x'β of any rows."""

    def data_rows(self, data: Any = None) -> BinaryRows:
        """The rows of the fit."""
        raise NotImplementedError

    def answering(self, names: Any, on: Any, *, near: bool) -> Answering:
        """The probabilities of rows and the estimation of their coefficients; see `LawAnswers`."""
        listed = self.read_names(names, on)
        rows, fitted = self.data_rows(), self.fitted_index
        if near and fitted.infinite is not None:
            raise WithheldError(
                "This fit is separated: margins() gives the effects of variables that "
                "separation does not touch."
            )
        every = replace(rows, counted=None)
        estimation = MEstimation(
            fitted.covariance,
            fitted.df,
            fitted.covariance.kind,
            (rows.equation,),
            rows.weights,
            self.model.weight_type,
            every.codes,
            rows.codes,
            every.order,
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

    def _new_answering(self, names: Any, on: Any, new: Any) -> tuple[NewRows, Any]:
        raise OptionError("predict(new, ci=True) gives P(y = 1 | x) of each row with limits.")

    def functionals(
        self, names: Any = MEAN, *, on: Any = None, by: Any = None, target: str = "population"
    ) -> Estimates:
        """P(y = 1) averaged over the rows of the fit; see `LawAnswers.functionals`."""
        return super().functionals(names, on=on, by=by, target=target)

    def effect(
        self,
        variable: str,
        low: Any,
        high: Any,
        names: Any = MEAN,
        *,
        on: Any = None,
        by: Any = None,
        target: str = "population",
    ) -> Estimates:
        """Average contrast of P(y = 1), as ``margins({variable: (low, high)})``; see `LawAnswers.effect`."""
        return super().effect(variable, low, high, names, on=on, by=by, target=target)

    def derivative(
        self,
        variable: str,
        names: Any = MEAN,
        *,
        on: Any = None,
        by: Any = None,
        target: str = "population",
    ) -> Estimates:
        """Average slope of P(y = 1), as ``margins(variable)``; see `LawAnswers.derivative`."""
        return super().derivative(variable, names, on=on, by=by, target=target)

    def effects(
        self, names: Any = MEAN, *, on: Any = None, by: Any = None, target: str = "population"
    ) -> EffectsResults:
        """Average slopes of numbers and contrasts of levels, as `margins`; see `LawAnswers.effects`."""
        return super().effects(names, on=on, by=by, target=target)


def _laws(fitted: FittedIndex, offset: Array | None, X: Array) -> Any:
    """The probabilities of rows with a design (n, k) and the offset of the rows of the fit."""
    return ProbabilityRowLaws(fitted.kernel, fitted.coefficients, X, fitted.value(X, offset))
