"""Laws with two parameters that everything else builds on: normal, logistic, uniform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy import special

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import batch_of
from disteconometrics.errors import OptionError

__all__ = ["Logistic", "Normal", "Uniform"]


LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)


def _column(parameter: Any) -> Array:
    """A parameter of batch shape beside outcomes of batch + (m,)."""
    column: Array = parameter[..., None]
    return column


@dataclass(frozen=True, eq=False)
class _LocationScale(Law):
    """Laws of loc + scale·Z on the whole line."""

    loc: Array | float = 0.0
    scale: Array | float = 1.0

    def __post_init__(self) -> None:
        loc, scale = batch_of(loc=self.loc, scale=self.scale)
        if np.any(scale <= 0) or np.any(np.isinf(loc) | np.isinf(scale)):
            raise OptionError("scale must be positive and finite, loc finite.")
        self.__dict__.update(loc=loc, scale=scale)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return np.shape(self.loc)

    def support(self) -> tuple[Array, Array]:
        """The line, NaN where a parameter is missing."""
        missing = np.isnan(self.loc + self.scale)
        return np.where(missing, np.nan, -np.inf), np.where(missing, np.nan, np.inf)

    def _z(self, y: Array) -> Array:
        return (y - _column(self.loc)) / _column(self.scale)

    def _mean(self) -> Array:
        return np.asarray(self.loc)


@final
@dataclass(frozen=True, eq=False)
class Normal(_LocationScale):
    """Normal laws.

    Parameters
    ----------
    loc : float or (n,) float64 array, the mean.
    scale : float or (n,) float64 array, the standard deviation, positive.

    Raises
    ------
    OptionError
        If a scale is not positive, or lengths differ.

    Examples
    --------
    >>> law = Normal([0.0, 1.0], 2.0)
    >>> law.cdf(0.0).round(4), law.quantile([0.5, 0.975]).round(2).tolist()
    (array([0.5   , 0.3085]), [[0.0, 3.92], [1.0, 4.92]])
    """

    def _logpdf(self, y: Array) -> Array:
        return np.asarray(-0.5 * self._z(y) ** 2 - np.log(_column(self.scale)) - LOG_ROOT_2PI)

    def _cdf(self, y: Array) -> Array:
        return np.asarray(special.ndtr(self._z(y)))

    def _sf(self, y: Array) -> Array:
        return np.asarray(special.ndtr(-self._z(y)))

    def _quantile(self, tau: Array) -> Array:
        return np.asarray(_column(self.loc) + _column(self.scale) * special.ndtri(tau))

    def _isf(self, tau: Array) -> Array:
        return np.asarray(_column(self.loc) - _column(self.scale) * special.ndtri(tau))

    def _var(self) -> Array:
        return np.asarray(self.scale) ** 2

    def _partial_mean(self, q: Array) -> Array:
        z = self._z(q[..., None])[..., 0]
        return np.asarray(self.loc * special.ndtr(z) - self.scale * np.exp(-0.5 * z**2 - LOG_ROOT_2PI))

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        draws = rng.standard_normal((*self.batch_shape, m))
        return _column(self.loc) + _column(self.scale) * draws


@final
@dataclass(frozen=True, eq=False)
class Logistic(_LocationScale):
    """Logistic laws, F(y) = 1/(1 + exp(−(y − loc)/scale)).

    Parameters
    ----------
    loc : float or (n,) float64 array, mean and median.
    scale : float or (n,) float64 array, positive; the standard deviation is scale·π/√3.

    Raises
    ------
    OptionError
        If a scale is not positive, or lengths differ.

    Examples
    --------
    >>> Logistic().quantile(0.75).round(4), Logistic().var().round(4)
    (np.float64(1.0986), np.float64(3.2899))
    """

    def _logpdf(self, y: Array) -> Array:
        size = np.abs(self._z(y))
        return np.asarray(-size - 2 * np.log1p(np.exp(-size)) - np.log(_column(self.scale)))

    def _cdf(self, y: Array) -> Array:
        return 1 / (1 + np.exp(-self._z(y)))

    def _sf(self, y: Array) -> Array:
        return 1 / (1 + np.exp(self._z(y)))

    def _quantile(self, tau: Array) -> Array:
        return np.asarray(_column(self.loc) + _column(self.scale) * (np.log(tau) - np.log1p(-tau)))

    def _isf(self, tau: Array) -> Array:
        return np.asarray(_column(self.loc) - _column(self.scale) * (np.log(tau) - np.log1p(-tau)))

    def _var(self) -> Array:
        return np.asarray(self.scale) ** 2 * np.pi**2 / 3


@final
@dataclass(frozen=True, eq=False)
class Uniform(Law):
    """Uniform laws on [low, high].

    Parameters
    ----------
    low, high : float or (n,) float64 array, low < high.

    Raises
    ------
    OptionError
        If the ends are not finite or not in order.

    Examples
    --------
    >>> Uniform(1, 2).mean(), Uniform(1, 2).pdf([1.5, 3.0])
    (np.float64(1.5), array([1., 0.]))
    """

    low: Array | float = 0.0
    high: Array | float = 1.0

    def __post_init__(self) -> None:
        low, high = batch_of(low=self.low, high=self.high)
        if np.any(low >= high) or np.any(np.isinf(high - low)):
            raise OptionError("low and high must be finite, low below high.")
        self.__dict__.update(low=low, high=high)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return np.shape(self.low)

    def support(self) -> tuple[Array, Array]:
        """low and high."""
        missing = np.isnan(self.high - self.low)
        return np.where(missing, np.nan, self.low), np.where(missing, np.nan, self.high)

    def _width(self) -> Array:
        return np.asarray(self.high - np.asarray(self.low))

    def _logpdf(self, y: Array) -> Array:
        return np.broadcast_to(-np.log(self._width())[..., None], y.shape)

    def _cdf(self, y: Array) -> Array:
        return (y - _column(self.low)) / _column(self._width())

    def _sf(self, y: Array) -> Array:
        return (_column(self.high) - y) / _column(self._width())

    def _quantile(self, tau: Array) -> Array:
        return _column(self.low) + _column(self._width()) * tau

    def _isf(self, tau: Array) -> Array:
        return _column(self.high) - _column(self._width()) * tau

    def _mean(self) -> Array:
        return self.low + self._width() / 2

    def _var(self) -> Array:
        return self._width() ** 2 / 12
