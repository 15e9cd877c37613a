"""The law of a 0/1 outcome, one per row."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disteconometrics.errors import OptionError

__all__ = ["Bernoulli"]

Array = NDArray[np.float64]


def _floats(given: Any, what: str) -> Array:
    try:
        values = np.asarray(given)
        if values.dtype.kind in "buifO":
            return values.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        pass
    raise OptionError(f"{what} must be numbers; got {str(given)[:60]!r}.")


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """Bernoulli laws of an outcome coded 0 and 1.

    Parameters
    ----------
    probability : (n,) float64 array, P(y = 1) of each row in [0, 1]; NaN where a covariate was missing.
    success : str, what 1 stands for.
    complement : (n,) float64 array or None, P(y = 0) where it is known better than as 1 − P(y = 1), which rounds to zero.

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

    def __post_init__(self) -> None:
        for name in ("probability", "complement") if self.complement is not None else ("probability",):
            p = _floats(getattr(self, name), f"Each {name}")
            if p.ndim != 1 or np.any((p < 0) | (p > 1)):
                raise OptionError(f"{name} must be one number between 0 and 1 per row, in a list or array of one dimension.")
            object.__setattr__(self, name, p)
        if self.complement is not None and self.complement.shape != self.probability.shape:
            raise OptionError(f"complement has {len(self.complement)} rows, probability {len(self.probability)}.")

    def _failure(self) -> Array:
        return 1 - self.probability if self.complement is None else self.complement

    def _match(self, y: Any) -> tuple[Array, Array, Array]:
        """Outcomes, their probabilities of 1 and of 0 in one shape: y scalar or (n,) row by row, (1 or n, m) as a grid."""
        y = _floats(y, "Outcomes")
        p, q = self.probability, self._failure()
        if y.ndim == 2:
            if y.shape[0] not in (1, len(p)):
                raise OptionError(f"A grid of outcomes needs 1 or {len(p)} rows; got {y.shape}.")
            return np.broadcast_to(y, (len(p), y.shape[1])), p[:, None], q[:, None]
        if y.shape not in ((), p.shape):
            raise OptionError(
                f"Outcomes of shape {y.shape} do not match {len(p)} rows; give a scalar, ({len(p)},) or (1, m) for a grid."
            )
        return np.broadcast_to(y, p.shape), p, q

    def pdf(self, y: Any) -> Array:
        """Probability of the outcome (mass, not density), shape of the match of y (n,) or (n, m) with the rows."""
        y, p, q = self._match(y)
        return np.where(np.isnan(p) | np.isnan(y), np.nan, np.where(y == 1, p, np.where(y == 0, q, 0.0)))

    def logpdf(self, y: Any) -> Array:
        """Natural logarithm of `pdf`; −inf outside {0, 1}."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.pdf(y)))

    def cdf(self, y: Any) -> Array:
        """P(outcome ≤ y)."""
        y, p, q = self._match(y)
        return np.where(np.isnan(p) | np.isnan(y), np.nan, np.where(y < 0, 0.0, np.where(y < 1, q, 1.0)))

    def quantile(self, tau: Any) -> Array:
        """Left-inverse quantiles inf{y : F(y) ≥ τ} for τ in [0, 1], shape (n,) + τ.shape."""
        tau = _floats(tau, "Quantile levels")
        if np.any(~((tau >= 0) & (tau <= 1))):
            raise OptionError("Quantile levels τ lie between 0 and 1.")
        q = self._failure().reshape((-1,) + (1,) * tau.ndim)
        missing = np.isnan(self.probability).reshape(q.shape)
        return np.where(missing, np.nan, np.where(tau == 0, -np.inf, np.where(tau <= q, 0.0, 1.0)))

    def mean(self) -> Array:
        """P(y = 1), (n,)."""
        return self.probability.copy()

    def var(self) -> Array:
        """p(1 − p), (n,)."""
        return self.probability * self._failure()

    def std(self) -> Array:
        """√(p(1 − p)), (n,)."""
        return np.asarray(np.sqrt(self.var()))

    def sample(self, m: int, *, seed: int | np.random.Generator | None = None) -> Array:
        """m draws for every row, (n, m); the same seed gives the same draws, and no global state is used.

        A Generator is spawned from, not advanced.
        """
        if isinstance(m, bool) or not isinstance(m, Integral) or m < 0:
            raise OptionError(f"m={m!r}: give the number of draws per row, a whole number of at least 0.")
        if isinstance(seed, np.random.Generator):
            seed = seed.spawn(1)[0]
        rng = np.random.default_rng(seed)
        draws = (rng.random((len(self.probability), m)) < self.probability[:, None]).astype(np.float64)
        draws[np.isnan(self.probability)] = np.nan
        return draws
