"""A law pushed through monotone maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.maps import Map
from disteconometrics.errors import OptionError

__all__ = ["Transformed"]


ROUNDING = 2e-15  # relative; points of a discrete law closer than that are one
LEVEL_TOLERANCE = 1e-13  # relative difference of levels that counts as one level


@final
@dataclass(frozen=True, eq=False)
class Transformed(Law):
    """The law of T(Y), T the maps applied one after the other.

    Parameters
    ----------
    base : the law of Y.
    maps : sequence of maps, the first is applied first; its domain holds the support of Y.

    Raises
    ------
    OptionError
        If the support of the base does not lie in the domain of the maps.

    Examples
    --------
    >>> from disteconometrics import Exp, Normal
    >>> lognormal = Transformed(Normal(3, 0.5), [Exp()])
    >>> lognormal.quantile(0.5).round(4), lognormal.mean().round(4)
    (np.float64(20.0855), np.float64(22.7599))
    """

    base: Law
    maps: tuple[Map, ...]

    def __post_init__(self) -> None:
        maps = (self.maps,) if isinstance(self.maps, Map) else self.maps
        maps = tuple(maps) if isinstance(maps, Sequence) else (None,)
        if not all(isinstance(m, Map) for m in maps):
            raise OptionError("maps are monotone maps such as de.Affine(3, 0.5) and de.Exp(), in a list.")
        ends = self.base.support()
        for m in maps:
            low, high = np.minimum(*ends), np.maximum(*ends)
            if np.any(low < m.domain[0]) or np.any(high > m.domain[1]):
                raise OptionError(
                    f"{m} takes values in [{m.domain[0]:g}, {m.domain[1]:g}], and the law before it reaches "
                    f"[{np.nanmin(low):g}, {np.nanmax(high):g}]."
                )
            ends = self._through(m, ends[0]), self._through(m, ends[1])
        limits = np.minimum(*ends), np.maximum(*ends)
        self.__dict__.update(maps=maps, discrete=self.base.discrete, _limits=limits)

    _limits: tuple[Array, Array] = None  # type: ignore[assignment]

    @staticmethod
    def _through(m: Map, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return m.forward(np.asarray(x))[0]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """That of the base."""
        return self.base.batch_shape

    @property
    def increasing(self) -> bool:
        """Whether the maps together increase."""
        return sum(not m.increasing for m in self.maps) % 2 == 0

    def support(self) -> tuple[Array, Array]:
        """The image of the base's support."""
        return self._limits

    def _forward(self, x: Array) -> Array:
        for m in self.maps:
            x = m.forward(x)[0]
        return x

    def _inverse(self, y: Array) -> tuple[Array, Array]:
        """T⁻¹(y) and log|T'| there."""
        x, total = y, np.zeros(y.shape)
        for m in reversed(self.maps):
            x, slope = m.inverse(x)
            total = total + slope
        return x, total

    def _slack(self, x: Array, y: Array, slope: Array) -> Array:
        """How far rounding may have moved a point of a discrete law."""
        return ROUNDING * (np.abs(x) + np.abs(y) * np.exp(-slope)) if self.discrete else np.zeros(x.shape)

    def _logpdf(self, y: Array) -> Array:
        if self.discrete:
            return np.log(self._pdf(y))
        x, slope = self._inverse(y)
        out = self.base._extended("_logpdf", x)
        low, high = self._ends()
        # x was rounded to a pole at the end of the base's support
        rounded = (out == np.inf) & (y != low) & (y != high)
        return np.where(rounded | (out == -np.inf), -np.inf, out - slope)

    def _pdf(self, y: Array) -> Array:
        if not self.discrete:
            return np.exp(self._logpdf(y))
        x, slope = self._inverse(y)
        slack = self._slack(x, y, slope)
        below, above = (
            [self.base._extended(hook, x + side * slack) for side in (-1, 1)] for hook in ("_cdf", "_sf")
        )
        return np.where(below[1] < above[0], below[1] - below[0], above[0] - above[1])

    def _tail(self, y: Array, hooks: tuple[str, str]) -> Array:
        """P(T(Y) ≤ y) or its complement.

        The base's own where the maps increase, the other tail's where they decrease.
        """
        x, slope = self._inverse(y)
        slack = self._slack(x, y, slope)
        return (
            self.base._extended(hooks[0], x + slack)
            if self.increasing
            else self.base._extended(hooks[1], x - slack)
        )

    def _cdf(self, y: Array) -> Array:
        return self._tail(y, ("_cdf", "_sf"))

    def _sf(self, y: Array) -> Array:
        return self._tail(y, ("_sf", "_cdf"))

    def _from_levels_of(self, tau: Array, hook: str, other: str, tie: float) -> Array:
        if self.increasing:
            return self._forward(getattr(self.base, hook)(tau))
        # where a level is the mass of some points exactly, the other tail's inverse stops one point early
        return self._forward(
            getattr(self.base, other)(
                np.minimum(tau * (1 + tie * LEVEL_TOLERANCE), 1.0) if self.discrete else tau
            )
        )

    def _quantile(self, tau: Array) -> Array:
        return self._from_levels_of(tau, "_quantile", "_isf", -1)

    def _isf(self, tau: Array) -> Array:
        return self._from_levels_of(tau, "_isf", "_quantile", 1)

    def _expect(self, function: Callable[[Array], Array]) -> Array:
        return self.base._expect(lambda x: function(self._forward(x)))

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self._forward(self.base._draw(rng, m))
