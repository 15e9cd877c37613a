"""The law that a sample is: mass on its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError

__all__ = ["Empirical"]


LEVEL_TOLERANCE = (
    4 * np.finfo(float).eps
)  # relative; a level this close to a step counts as on it, as in R's type 1


@final
@dataclass(frozen=True, eq=False)
class Empirical(Law):
    """The law of a value drawn from a sample, equal values merged.

    Moments are those of the population that the sample is.

    Parameters
    ----------
    values : (n,) float64 array, finite.
    weights : (n,) float64 array or None, positive mass of each value up to scale; zeros drop out.

    Raises
    ------
    OptionError
        If there is no value, one is not finite, or weights are negative or of another length.

    References
    ----------
    Hyndman, Fan (1996), Sample quantiles in statistical packages, American Statistician 50,
    doi:10.2307/2684934 (type 1).

    Examples
    --------
    >>> law = Empirical([1, 2, 2, 7])
    >>> law.pdf(2), law.quantile([0.25, 0.5, 0.9]), law.mean(), law.functional("gini")
    (np.float64(0.5), array([1., 2., 7.]), np.float64(3.0), np.float64(0.375))
    """

    values: Array
    weights: Array | None = None

    batch_shape = ()
    discrete = True

    def __post_init__(self) -> None:
        values = floats(self.values, "Values of an empirical law")
        weights = (
            np.ones(values.shape)
            if self.weights is None
            else floats(self.weights, "Weights of an empirical law")
        )
        if values.ndim != 1 or weights.shape != values.shape:
            raise OptionError(
                f"Values {values.shape} and weights {weights.shape} must be of one dimension and one length."
            )
        if not np.isfinite(values).all() or not np.isfinite(weights).all() or np.any(weights < 0):
            raise OptionError(
                "Values of an empirical law must be finite, weights finite and not negative; drop the "
                "other rows."
            )
        values, weights = values[weights > 0], weights[weights > 0]
        if not len(values):
            raise OptionError("An empirical law needs at least one value (of positive weight).")
        points, where = np.unique(values, return_inverse=True)
        masses = np.bincount(where, weights, minlength=len(points))
        total = np.cumsum(masses)
        self.__dict__.update(
            values=points,
            weights=masses / total[-1],
            _below=np.concatenate([[0.0], total / total[-1]]),
            _above=np.concatenate([np.cumsum(masses[::-1])[::-1], [0.0]]) / total[-1],
        )

    _below: Array = None  # type: ignore[assignment]  # (points + 1,) mass of the first j points
    _above: Array = None  # type: ignore[assignment]

    def support(self) -> tuple[Array, Array]:
        """Smallest and largest value."""
        return self.values[0], self.values[-1]

    def _pdf(self, y: Array) -> Array:
        at = np.minimum(np.searchsorted(self.values, y), len(self.values) - 1)
        return np.where(self.values[at] == y, np.asarray(self.weights)[at], 0.0)

    def _logpdf(self, y: Array) -> Array:
        return np.log(self._pdf(y))

    def _cdf(self, y: Array) -> Array:
        return self._below[np.searchsorted(self.values, y, side="right")]

    def _sf(self, y: Array) -> Array:
        return self._above[np.searchsorted(self.values, y, side="right")]

    def _quantile(self, tau: Array) -> Array:
        at = np.searchsorted(self._below[1:], tau * (1 - LEVEL_TOLERANCE))
        return self.values[np.minimum(at, len(self.values) - 1)]

    def _isf(self, tau: Array) -> Array:
        at = np.searchsorted(-self._above[1:], -tau * (1 + LEVEL_TOLERANCE))
        return self.values[np.minimum(at, len(self.values) - 1)]

    def _expect(self, function: Callable[[Array], Array]) -> Array:
        return np.asarray(function(self.values) @ np.asarray(self.weights))

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self._quantile(rng.random(m))
