"""Fixed strictly monotone maps of the line: forward, inverse and log-determinant together, in numpy.

A law pushed through maps is a law again: ``de.law("normal", [de.Affine(3, 0.5), de.Exp()])`` is log-normal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.numeric import floats, root
from disteconometrics.errors import OptionError
from disteconometrics.words import TakesWords

__all__ = ["Affine", "Exp", "GAndKMap", "Inverse", "LogitMap", "Map", "Standardize"]

Ends = tuple[float, float]
LINE = (-np.inf, np.inf)


class Map(TakesWords, ABC):
    """A strictly monotone map T of an interval onto another.

    Examples
    --------
    >>> y, log_slope = Exp().forward(np.array([0.0, 1.0]))
    >>> y.round(4), log_slope, Exp().inverse(y)[0]
    (array([1.    , 2.7183]), array([0., 1.]), array([0., 1.]))
    """

    domain: Ends = LINE
    range: Ends = LINE

    @abstractmethod
    def forward(self, x: Array) -> tuple[Array, Array]:
        """T(x) and log|T'(x)|, elementwise."""

    @abstractmethod
    def inverse(self, y: Array) -> tuple[Array, Array]:
        """x = T⁻¹(y) and log|T'(x)|, the slope of T itself there."""

    @property
    def increasing(self) -> bool:
        """Whether T increases."""
        return True

    @property
    def inverted(self) -> Map:
        """The map T⁻¹."""
        return Inverse(self)


@final
@dataclass(frozen=True)
class Inverse(Map):
    """The inverse of a map.

    Examples
    --------
    >>> Exp().inverted.forward(np.array([1.0]))
    (array([0.]), array([-0.]))
    """

    of: Map

    def __post_init__(self) -> None:
        self.__dict__.update(domain=self.of.range, range=self.of.domain)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """T⁻¹(x) and the logarithm of its slope."""
        y, slope = self.of.inverse(x)
        return y, -slope

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """T(y), with the logarithm of the slope of T⁻¹ there."""
        x, slope = self.of.forward(y)
        return x, -slope

    @property
    def increasing(self) -> bool:
        """Whether T⁻¹ increases."""
        return self.of.increasing

    @property
    def inverted(self) -> Map:
        """The map T itself."""
        return self.of


@final
@dataclass(frozen=True)
class Affine(Map):
    """y = loc + scale·x.

    Parameters
    ----------
    loc : float.
    scale : float, not zero.

    Raises
    ------
    OptionError
        If they are not finite numbers or the scale is zero.

    Examples
    --------
    >>> Affine(3, 0.5).forward(np.array([2.0]))[0]
    array([4.])
    """

    loc: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("loc", "scale"):
            value = floats(getattr(self, name), f"{name} of an affine map")
            if value.ndim or not np.isfinite(value) or (name == "scale" and value == 0):
                raise OptionError(
                    f"{name}={getattr(self, name)!r}: give finite numbers, and a scale other than 0."
                )
            object.__setattr__(self, name, float(value))

    def forward(self, x: Array) -> tuple[Array, Array]:
        """loc + scale·x and log|scale|."""
        return self.loc + self.scale * x, np.full(np.shape(x), np.log(abs(self.scale)))

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """(y − loc)/scale and log|scale|."""
        return (y - self.loc) / self.scale, np.full(np.shape(y), np.log(abs(self.scale)))

    @property
    def increasing(self) -> bool:
        """Whether the scale is positive."""
        return self.scale > 0


@final
@dataclass(frozen=True)
class Exp(Map):
    """y = exp(x), from the line onto the positive numbers; ``Exp().inverted`` is the logarithm.

    Examples
    --------
    >>> Exp().inverse(np.array([1.0]))
    (array([0.]), array([0.]))
    """

    range = (0.0, np.inf)

    def forward(self, x: Array) -> tuple[Array, Array]:
        """exp(x) and x."""
        return np.exp(x), np.asarray(x)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """log(y), twice."""
        x = np.log(y)
        return x, x


@final
@dataclass(frozen=True)
class LogitMap(Map):
    """y = log((x − a)/(b − x)), from the interval (a, b) onto the line.

    Its inverse brings the line into the interval.

    Parameters
    ----------
    low, high : float, the ends a < b.

    Raises
    ------
    OptionError
        If the ends are not finite or not in order.

    Examples
    --------
    >>> LogitMap().inverted.forward(np.array([0.0]))[0]
    array([0.5])
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        low, high = floats([self.low, self.high], "Ends of an interval")
        if not (np.isfinite(high - low) and low < high):
            raise OptionError(f"LogitMap needs finite ends in order; got {self.low!r} and {self.high!r}.")
        object.__setattr__(self, "domain", (float(low), float(high)))

    def forward(self, x: Array) -> tuple[Array, Array]:
        """The log-odds of x's place in the interval, and log of (b − a)/((x − a)(b − x))."""
        below, above = np.asarray(x) - self.low, self.high - np.asarray(x)
        return np.log(below) - np.log(above), np.log(self.high - self.low) - np.log(below) - np.log(above)

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """a + (b − a)/(1 + exp(−y)), and the log slope of the log-odds there."""
        width = self.high - self.low
        tail = np.exp(-np.abs(y))  # from the nearer end, so that neither end is rounded away
        inside = np.where(
            np.asarray(y) < 0, self.low + width * tail / (1 + tail), self.high - width * tail / (1 + tail)
        )
        return inside, np.abs(y) + 2 * np.log1p(tail) - np.log(width)


@final
@dataclass(frozen=True)
class Standardize(Map):
    """y = (x − mean)/std.

    Parameters
    ----------
    mean : float.
    std : float, positive.

    Raises
    ------
    OptionError
        If they are not finite numbers, or std is not positive.

    Examples
    --------
    >>> Standardize.of([1.0, 2.0, 3.0]).forward(np.array([2.0, 3.0]))[0].round(4)
    array([0.    , 1.2247])
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        mean, std = floats(self.mean, "mean of a map"), floats(self.std, "std of a map")
        if mean.ndim or std.ndim or not (np.isfinite(mean) and 0 < std < np.inf):
            raise OptionError(
                f"mean={self.mean!r}, std={self.std!r}: Standardize needs finite numbers, std positive."
            )
        self.__dict__.update(mean=float(mean), std=float(std))

    @classmethod
    def of(cls, values: Any) -> Standardize:
        """With the mean and standard deviation (over n) of values (n,).

        Raises
        ------
        OptionError
            If the values do not vary or are not finite numbers.
        """
        x = floats(values, "Values")
        if not (x.size and np.isfinite(x).all() and np.ptp(x) > 0):
            raise OptionError("Standardize.of needs finite values that vary.")
        return cls(float(x.mean()), float(x.std()))

    def forward(self, x: Array) -> tuple[Array, Array]:
        """(x − mean)/std and −log std."""
        return (np.asarray(x) - self.mean) / self.std, np.full(np.shape(x), -np.log(self.std))

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """mean + std·y and −log std."""
        return self.mean + self.std * np.asarray(y), np.full(np.shape(y), -np.log(self.std))


@final
@dataclass(frozen=True)
class GAndKMap(Map):
    """y = loc + scale·(1 + 0.8·tanh(g·z/2))·z·(1 + z²)^k, Tukey's g-and-k law where z is standard normal.

    Parameters
    ----------
    loc : float.
    scale : float, positive.
    g : float, skewness.
    k : float, weight of the tails, at least 0.

    Raises
    ------
    OptionError
        If the scale is not positive or k is negative.

    References
    ----------
    Rayner, MacGillivray (2002), Numerical maximum likelihood estimation for the g-and-k and generalized
    g-and-h distributions, Statistics and Computing 12, doi:10.1023/A:1013120305780.

    Examples
    --------
    >>> GAndKMap(3, 1, 2, 0.5).forward(np.array([0.0, 1.0]))[0].round(4)
    array([3.    , 5.2759])
    """

    loc: float = 0.0
    scale: float = 1.0
    g: float = 0.0
    k: float = 0.0

    def __post_init__(self) -> None:
        numbers = floats([self.loc, self.scale, self.g, self.k], "Parameters of the g-and-k map")
        if not np.isfinite(numbers).all() or self.scale <= 0 or self.k < 0:
            raise OptionError("The g-and-k map needs finite numbers, scale positive and k at least 0.")

    def forward(self, x: Array) -> tuple[Array, Array]:
        """y and the logarithm of its slope at z = x."""
        z = np.asarray(x)
        tanh, power = np.tanh(self.g * z / 2), np.log1p(z**2) * self.k
        bend = 0.4 * self.g * (1 - tanh**2) * z  # z times the derivative of 0.8·tanh(g·z/2)
        slope = bend + (1 + 0.8 * tanh) * (1 + (2 * self.k + 1) * z**2) / (1 + z**2)
        return self.loc + self.scale * (1 + 0.8 * tanh) * z * np.exp(power), np.log(
            self.scale * slope
        ) + power

    def inverse(self, y: Array) -> tuple[Array, Array]:
        """z by Newton's steps in a bracket, to the last digits, and the log slope there."""
        y = as_floats(y)

        def step(z: Array) -> tuple[Array, Array]:
            value, slope = self.forward(z)
            return value - y, (value - y) * np.exp(-slope)

        far = np.full(y.shape, 1e150)
        z = root(step, -far, far, np.clip((y - self.loc) / self.scale, -5.0, 5.0))
        return z, self.forward(z)[1]
