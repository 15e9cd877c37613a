"""scipy's frozen laws under the protocol of laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import batch_of
from disteconometrics.errors import OptionError, WithheldError

__all__ = ["Scipy"]


NEGLIGIBLE = 1e-18  # mass left out at either end when a discrete law is summed
MOST_POINTS = 1_000_000


def _in_columns(frozen: Any) -> tuple[Any, tuple[Array, ...]]:
    """The law with parameters of batch + (1,), beside outcomes of batch + (m,), and the parameters by row."""
    names = [f"parameter {i}" for i in range(len(frozen.args))]
    given = dict(zip(names, frozen.args, strict=True)) | frozen.kwds
    parameters = batch_of(**given) if given else ()
    columns = dict(zip(given, (p[..., None] for p in parameters), strict=True))
    args = [columns.pop(name) for name in names]
    return frozen.dist(*args, **columns), parameters


@final
@dataclass(frozen=True, eq=False)
class Scipy(Law):
    """A frozen law of ``scipy.stats``, its parameters numbers or one value per row.

    Parameters
    ----------
    frozen : what ``scipy.stats.gamma(a, scale=s)`` returns, continuous or discrete.

    Raises
    ------
    OptionError
        If it is not univariate and frozen, or a parameter is outside its range.

    Examples
    --------
    >>> import scipy.stats
    >>> law = Scipy(scipy.stats.gamma([1.0, 4.0]))
    >>> law.mean(), law.cdf(1.0).round(4), float(Scipy(scipy.stats.poisson(3)).var())
    (array([1., 4.]), array([0.6321, 0.019 ]), 3.0)
    """

    frozen: Any

    def __post_init__(self) -> None:
        dist = getattr(self.frozen, "dist", None)
        if dist is None or not hasattr(self.frozen, "ppf") or not hasattr(self.frozen, "support"):
            raise OptionError("Give a frozen univariate law of scipy.stats, such as scipy.stats.norm(0, 1).")
        law, parameters = _in_columns(self.frozen)
        self.__dict__.update(
            _law=law,
            _batch=parameters[0].shape if parameters else (),
            discrete=hasattr(law, "pmf") and not hasattr(law, "pdf"),
        )
        missing = np.any([np.isnan(p) for p in parameters], axis=0)
        if np.any(np.isnan(self.support()[0]) & ~missing):
            raise OptionError(f"A parameter of scipy.stats.{dist.name} is outside its range.")

    _law: Any = None
    _batch: tuple[int, ...] = ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return self._batch

    def support(self) -> tuple[Array, Array]:
        """As scipy gives it."""
        low, high = (np.broadcast_to(as_floats(e), (*self._batch, 1))[..., 0] for e in self._law.support())
        return low, high

    def _logpdf(self, y: Array) -> Array:
        return np.asarray(self._law.logpmf(y) if self.discrete else self._law.logpdf(y))

    def _pdf(self, y: Array) -> Array:
        return np.asarray(self._law.pmf(y) if self.discrete else self._law.pdf(y))

    def _cdf(self, y: Array) -> Array:
        return np.asarray(self._law.cdf(y))

    def _sf(self, y: Array) -> Array:
        return np.asarray(self._law.sf(y))

    def _quantile(self, tau: Array) -> Array:
        return np.asarray(self._law.ppf(tau))

    def _isf(self, tau: Array) -> Array:
        return np.asarray(self._law.isf(tau))

    def _mean(self) -> Array:
        return np.broadcast_to(self._law.mean(), (*self._batch, 1))[..., 0]

    def _var(self) -> Array:
        return np.broadcast_to(self._law.var(), (*self._batch, 1))[..., 0]

    def _expect(self, function: Callable[[Array], Array]) -> Array:
        if not self.discrete:
            return self._integrate(function)
        low, high = np.nanmin(self._law.ppf(NEGLIGIBLE)), np.nanmax(self._law.ppf(1 - 1e-15))
        while high - low < MOST_POINTS and np.nanmax(self._law.sf(high)) > NEGLIGIBLE:
            high += 1 + (high - low) // 4
        if not high - low < MOST_POINTS:
            raise WithheldError("This discrete law spreads over too many values to sum over; use draws.")
        points = np.broadcast_to(np.arange(low, high + 1), (*self._batch, round(high - low) + 1))
        mass = self._pdf(points)
        return np.asarray(
            np.where(mass > 0, function(points) * mass, 0.0).sum(axis=-1) + 0 * self.support()[0]
        )

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        if np.isnan(self.support()[0]).any():  # scipy refuses
            return super()._draw(rng, m)
        return as_floats(self._law.rvs(size=(*self._batch, m), random_state=rng))
