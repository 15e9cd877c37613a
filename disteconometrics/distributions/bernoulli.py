"""The law of a 0/1 outcome, one per row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError

__all__ = ["Bernoulli"]


@final
@dataclass(frozen=True, eq=False)
class Bernoulli(Law):
    """Bernoulli laws of an outcome coded 0 and 1.

    Parameters
    ----------
    probability : (n,) float64 array, P(y = 1) of each row in [0, 1]; NaN where a covariate was missing.
    success : str, what 1 stands for.
    complement : (n,) float64 array or None, P(y = 0) where it is known better than as 1 − P(y = 1), which
        rounds to zero.

    Raises
    ------
    OptionError
        If a probability is not a number in [0, 1], or the complement has another shape.

    Examples
    --------
    >>> law = Bernoulli(np.array([0.2, 0.7]))
    >>> law.mean(), law.cdf(0.0), law.quantile([0.1, 0.5])
    (array([0.2, 0.7]), array([0.8, 0.3]), array([[0., 0.],
           [0., 1.]]))
    """

    probability: Array
    success: str = "1"
    complement: Array | None = None

    discrete = True

    def __post_init__(self) -> None:
        for name in ("probability", "complement") if self.complement is not None else ("probability",):
            p = floats(getattr(self, name), f"Each {name}")
            if p.ndim != 1 or np.any((p < 0) | (p > 1)):
                raise OptionError(
                    f"{name} must be one number between 0 and 1 per row, in a list or array of one dimension."
                )
            object.__setattr__(self, name, p)
        if self.complement is not None and self.complement.shape != self.probability.shape:
            raise OptionError(
                f"complement has {len(self.complement)} rows, probability {len(self.probability)}."
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """(n,)."""
        return self.probability.shape

    def support(self) -> tuple[Array, Array]:
        """0 and 1, also where one of them has no mass."""
        return 0 * self.probability, 1 + 0 * self.probability

    def _failure(self) -> Array:
        return 1 - self.probability if self.complement is None else self.complement

    def _pdf(self, y: Array) -> Array:
        p, q = self.probability[:, None], self._failure()[:, None]
        return np.where(y == 1, p, np.where(y == 0, q, 0.0))

    def _logpdf(self, y: Array) -> Array:
        return np.log(self._pdf(y))

    def _cdf(self, y: Array) -> Array:
        return np.where(y < 1, self._failure()[:, None], 1.0)

    def _sf(self, y: Array) -> Array:
        return np.where(y < 1, self.probability[:, None], 0.0)

    def _quantile(self, tau: Array) -> Array:
        return np.where(tau <= self._failure()[:, None], 0.0, 1.0)

    def _isf(self, tau: Array) -> Array:
        return np.where(self.probability[:, None] <= tau, 0.0, 1.0)

    def _expect(self, function: Callable[[Array], Array]) -> Array:
        at = function(np.tile([0.0, 1.0], (len(self.probability), 1)))
        p, q = self.probability, self._failure()
        return np.where(q > 0, q * at[:, 0], 0.0) + np.where(p > 0, p * at[:, 1], 0.0) + 0 * p

    def _mean(self) -> Array:
        return self.probability

    def _var(self) -> Array:
        return self.probability * self._failure()

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return as_floats(rng.random((len(self.probability), m)) < self.probability[:, None])
