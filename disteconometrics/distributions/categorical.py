"""The law of an outcome in a few categories, coded 0, 1, …, one per row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError

__all__ = ["Categorical"]

SUM = 1e-8  # by which probabilities of a row may miss one


@final
@dataclass(frozen=True, eq=False)
class Categorical(Law):
    """Laws of an outcome coded 0 … J − 1, in the order of its categories.

    Parameters
    ----------
    probabilities : (n, J) float64 array, of sum one in each row; NaN where a covariate was missing.
    levels : J values, what the codes stand for; None for the codes.

    Raises
    ------
    OptionError
        If the probabilities of a row are negative or do not sum to one, or levels are not as many.

    Examples
    --------
    >>> law = Categorical(np.array([[0.2, 0.5, 0.3]]), ("low", "middle", "high"))
    >>> law.mean().round(2), law.cdf(1.0).round(2), law.quantile([0.1, 0.5, 0.9])
    (array([1.1]), array([0.7]), array([[0., 1., 2.]]))
    """

    probabilities: Array
    levels: tuple[object, ...] | None = None

    discrete = True

    def __post_init__(self) -> None:
        p = floats(self.probabilities, "Each probability")
        if p.ndim != 2 or p.shape[1] < 2 or np.any(p < 0) or np.any(np.abs(p.sum(axis=1) - 1) > SUM):
            raise OptionError(
                "probabilities must be a row for each law, of two or more numbers that are not negative and "
                "sum to one."
            )
        if self.levels is not None and len(self.levels) != p.shape[1]:
            raise OptionError(f"levels are {len(self.levels)}, probabilities have {p.shape[1]} columns.")
        object.__setattr__(self, "probabilities", p)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """(n,)."""
        return self.probabilities.shape[:1]

    def support(self) -> tuple[Array, Array]:
        """0 and J − 1, also where one of them has no mass."""
        zero = 0 * self.probabilities[:, 0]
        return zero, zero + self.probabilities.shape[1] - 1

    def _below(self) -> Array:
        """F at 0 … J − 2 (n, J − 1)."""
        return np.minimum(np.cumsum(self.probabilities[:, :-1], axis=1), 1.0)

    def _above(self) -> Array:
        """1 − F at 0 … J − 2 (n, J − 1), with its own digits."""
        return np.minimum(np.cumsum(self.probabilities[:, :0:-1], axis=1)[:, ::-1], 1.0)

    def _code(self, y: Array) -> Indices:
        """The code at or below each value (n, m), within those that there are."""
        return np.clip(np.floor(np.nan_to_num(y)), 0, self.probabilities.shape[1] - 1).astype(np.intp)

    def _pdf(self, y: Array) -> Array:
        code = self._code(y)
        return np.where(y == code, np.take_along_axis(self.probabilities, code, axis=1), 0.0)

    def _logpdf(self, y: Array) -> Array:
        return np.log(self._pdf(y))

    def _cdf(self, y: Array) -> Array:
        F = np.column_stack([self._below(), 1 + 0 * self.probabilities[:, 0]])
        return np.where(y < 0, 0.0, np.take_along_axis(F, self._code(y), axis=1))

    def _sf(self, y: Array) -> Array:
        S = np.column_stack([self._above(), 0 * self.probabilities[:, 0]])
        return np.where(y < 0, 1.0, np.take_along_axis(S, self._code(y), axis=1))

    def _quantile(self, tau: Array) -> Array:
        return as_floats((self._below()[:, None, :] < tau[:, :, None]).sum(axis=2))

    def _isf(self, tau: Array) -> Array:
        return as_floats((self._above()[:, None, :] > tau[:, :, None]).sum(axis=2))

    def _expect(self, function: Callable[[Array], Array]) -> Array:
        p = self.probabilities
        at = function(np.tile(np.arange(float(p.shape[1])), (len(p), 1)))
        return as_floats(np.where(p > 0, p * at, 0.0).sum(axis=1) + 0 * p.sum(axis=1))

    def _mean(self) -> Array:
        return as_floats(self.probabilities @ np.arange(float(self.probabilities.shape[1])))

    def _var(self) -> Array:
        codes = np.arange(float(self.probabilities.shape[1]))
        return as_floats(np.sum(self.probabilities * (codes - self._mean()[:, None]) ** 2, axis=1))

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        u = rng.random((len(self.probabilities), m))
        return as_floats((self._below()[:, None, :] <= u[:, :, None]).sum(axis=2))
