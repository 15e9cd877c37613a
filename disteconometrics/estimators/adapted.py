"""Models of other packages as estimators of a law: what they say of quantiles, draws or laws becomes one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.blocks import columns
from disteconometrics.data.design import Design, build_design
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.making import law as as_law
from disteconometrics.distributions.quantile_law import QuantileLaw
from disteconometrics.errors import OptionError
from disteconometrics.estimators.rows import FitRows
from disteconometrics.pictures import Pictured
from disteconometrics.words import TakesWords, tells_words

__all__ = ["AdaptedModel", "AdaptedResults", "adapt"]

LEVELS = np.concatenate([[0.005], np.arange(1, 100) / 100, [0.995]])
Predict = Callable[[Any, Array, Array], Any]


@dataclass(frozen=True)
class AdaptedModel(TakesWords):
    """A model of another package with a formula; `fit` fits a copy of it to the columns of the right side.

    Parameters are those of `adapt`.

    Examples
    --------
    >>> import disteconometrics as de
    >>> class Same:
    ...     def fit(self, X, y): self.y = y
    ...     def predict(self, X, quantiles): return np.tile(np.quantile(self.y, quantiles), (len(X), 1))
    >>> res = adapt(Same(), "foodexp ~ income").fit(de.datasets.engel())
    >>> res.distribution({"income": [500.0]}).quantile(0.5).round(0)
    array([583.])
    """

    model: Any
    formula: str
    _: KW_ONLY
    predict: Predict | None = field(default=None, repr=False)
    draws: bool = False
    levels: tuple[float, ...] | None = field(default=None, repr=False)

    def fit(self, data: Any) -> AdaptedResults:
        """Fit a copy of the model to the rows of a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays.

        Returns
        -------
        AdaptedResults

        Raises
        ------
        DataError, OptionError
        """
        design = build_design(self.formula, data, outcome="numeric")
        fitted = _unfitted(self.model)
        fitted.fit(_features(design.spec, design.X), design.y)
        return AdaptedResults(self, fitted, design)

    def law(self, fitted: Any, X: Array) -> Law:
        """The law of each row that a fitted model says, from its quantiles, its draws or its own law."""
        predict = self.predict or _known(fitted)
        levels = LEVELS if self.levels is None else as_floats(self.levels)
        said = predict(fitted, X, levels)
        if isinstance(said, Law) or hasattr(said, "ppf"):
            return as_law(said)
        values = as_floats(said)
        if self.draws:
            own = (np.arange(min(values.shape[1], len(levels))) + 0.5) / min(values.shape[1], len(levels))
            return QuantileLaw(own, np.quantile(values, own, axis=1, method="hazen").T)
        if values.shape != (len(X), len(levels)):
            raise OptionError(
                f"The model said quantiles of shape {values.shape} for {len(X)} rows and {len(levels)} "
                f"levels; give predict=function(model, X, levels) that returns ({len(X)}, {len(levels)}), or "
                f"draws=True."
            )
        return QuantileLaw(levels, values)


@dataclass(frozen=True, eq=False)
class AdaptedResults(Pictured):
    """A fitted model of another package, with a law for every row of a table.

    `cross_validate`, scores, calibration and pictures take it; it has no errors.

    Examples
    --------
    >>> import disteconometrics as de
    >>> from scipy import stats
    >>> class Mean:
    ...     def fit(self, X, y): self.m, self.s = y.mean(), y.std()
    >>> said = lambda model, X, levels: stats.norm(np.full(len(X), model.m), model.s)
    >>> forecasts = {"mean": adapt(Mean(), "foodexp ~ income", predict=said)}
    >>> de.cross_validate(forecasts, de.datasets.engel(), folds=3, seed=1).table()["crps"].round(0).tolist()
    [147.0]
    """

    pictures: ClassVar[tuple[str, ...]] = ("quantile_fan", "conditional_densities")

    model: AdaptedModel
    fitted: Any
    design: Design

    @property
    def spec(self) -> Any:
        """How new rows are coded."""
        return self.design.spec

    @property
    def nobs(self) -> float:
        """Rows of the fit."""
        return float(len(self.design.y))

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and no estimates."""
        return self.spec.outcome.name, ()

    def data_rows(self) -> FitRows:
        """The rows of the fit."""
        return FitRows(self.design)

    def distribution(self, new: Any = None) -> Law:
        """The law of the outcome for every row of ``new``, or of the fit.

        Parameters
        ----------
        new : table with the columns of the right side, or None.

        Raises
        ------
        OptionError, MissingColumnError, LevelError, DataError
        """
        X = self.design.X if new is None else self.spec.matrix(new).X
        said = self.model.law(self.fitted, _features(self.spec, X))
        return said.named(self.spec.outcome.name)


@tells_words
def adapt(
    model: Any,
    formula: str,
    *,
    predict: Predict | None = None,
    draws: bool = False,
    levels: Sequence[float] | None = None,
) -> AdaptedModel:
    """Make an estimator of any model that predicts quantiles, draws or laws.

    `cross_validate`, `scores` and pictures then compare it with those of this package.

    Parameters
    ----------
    model : object with ``fit(X, y)``, as scikit-learn has it; a copy of it is fitted.
    formula : str, such as ``"wage ~ educ + C(region)"``; the model gets its columns without the constant.
    predict : function of (model, X, levels) or None
        Returns quantiles (n, levels), draws (n, m) with ``draws=True``, or a frozen law of ``scipy.stats`` or
        of this package with a row for each of X.  None asks ``model.predict(X, quantiles=)``
        (quantile-forest) or ``model.pred_dist(X)`` (ngboost).
    draws : bool, whether ``predict`` returns draws.
    levels : list of float or None, levels of the quantiles; None: .005, .01, …, .99, .995.

    Returns
    -------
    AdaptedModel
        An estimator: its ``fit(data)`` gives a result with ``distribution(new)``.

    Raises
    ------
    OptionError
        If the model has no ``fit``, or when fitted says none of these.

    Examples
    --------
    >>> import disteconometrics as de
    >>> class Same:
    ...     def fit(self, X, y): self.y = y
    ...     def predict(self, X, quantiles): return np.tile(np.quantile(self.y, quantiles), (len(X), 1))
    >>> pair = {"same": adapt(Same(), "foodexp ~ income"), "line": de.NormalRegression("foodexp ~ income")}
    >>> de.cross_validate(pair, de.datasets.engel(), folds=3, seed=1).table()["crps"].round(0).tolist()
    [58.0, 143.0]
    """
    if isinstance(model, type) or not callable(getattr(model, "fit", None)):
        raise OptionError(f"{model!r:.60} has no fit(X, y): give a model, as scikit-learn has them.")
    if predict is not None and not callable(predict):
        raise OptionError("predict is a function of (model, X, levels).")
    kept = None if levels is None else tuple(map(float, levels))
    return AdaptedModel(model, formula, predict=predict, draws=draws, levels=kept)


def _features(spec: Any, X: Any) -> Array:
    """The columns of the right side without the constant, (n, k)."""
    matrix = columns(X)
    kept = [j for j, name in enumerate(spec.names) if name != "Intercept"]
    return matrix[:, kept] if len(kept) < matrix.shape[1] else matrix


def _unfitted(model: Any) -> Any:
    """A copy of a model: one from its parameters where it knows them, as scikit-learn's clone does."""
    if callable(getattr(model, "get_params", None)):
        return type(model)(**copy.deepcopy(model.get_params(deep=False)))
    return copy.deepcopy(model)


def _known(model: Any) -> Predict:
    """How a fitted model says a law, where it is one of those that are known."""
    if callable(getattr(model, "pred_dist", None)):  # ngboost: its laws keep scipy's
        return lambda m, X, levels: getattr(m.pred_dist(X), "dist")  # noqa: B009 - no stubs
    method = getattr(model, "predict", None)
    if callable(method) and "quantiles" in inspect.signature(method).parameters:
        return lambda m, X, levels: m.predict(X, quantiles=levels.tolist())
    raise OptionError(
        f"{type(model).__name__} does not say quantiles by itself: give predict=function(model, X, levels) "
        f"that returns quantiles (n, levels), draws (with draws=True) or a law."
    )
