"""Laws that are known by their draws: noise pushed through a map, or a sample itself.

They have no density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.joint import JointLaw
from disteconometrics.distributions.law import Function, Law
from disteconometrics.errors import OptionError

__all__ = ["PushedJointLaw", "PushedLaw", "PushedRows"]

Draw = Callable[[np.random.Generator, int], Array]


def _no_density() -> OptionError:
    return OptionError(
        "A law made by transport has draws, a distribution function and quantiles, but no density; "
        "de.FlowDensity(…) gives one."
    )


@final
@dataclass(frozen=True, eq=False)
class PushedLaw(Law):
    """The law of one outcome by its draws.

    Distribution function, quantiles and moments are those of ``seen``.

    Parameters
    ----------
    seen : Empirical, draws or the sample.
    draw : function of a numpy Generator and m → m fresh draws; None draws from ``seen``.

    Examples
    --------
    >>> law = PushedLaw(Empirical([1.0, 2.0, 4.0]), lambda rng, m: rng.choice([1.0, 2.0, 4.0], m))
    >>> float(law.quantile(0.5)), round(float(law.mean()), 6), law.sample(2, seed=1).shape
    (2.0, 2.333333, (2,))
    """

    seen: Empirical
    draw: Draw | None = None

    batch_shape = ()

    def support(self) -> tuple[Array, Array]:
        """Smallest and largest draw."""
        return self.seen.support()

    def _logpdf(self, y: Array) -> Array:
        raise _no_density()

    def _cdf(self, y: Array) -> Array:
        return self.seen._cdf(y)

    def _sf(self, y: Array) -> Array:
        return self.seen._sf(y)

    def _quantile(self, tau: Array) -> Array:
        return self.seen._quantile(tau)

    def _isf(self, tau: Array) -> Array:
        return self.seen._isf(tau)

    def _integrate(self, function: Function) -> Array:
        return self.seen._expect(function)

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self.seen._draw(rng, m) if self.draw is None else self.draw(rng, m)


@final
@dataclass(frozen=True, eq=False)
class PushedRows(Law):
    """Laws of rows by their quantile functions, straight between levels.

    They are those of uniform noise pushed through an increasing map.

    Parameters
    ----------
    levels : (k,) float64 array, increasing from 0 to 1.
    values : (n, k) float64 array, the quantiles of each row, increasing.

    Examples
    --------
    >>> law = PushedRows(np.array([0.0, 0.5, 1.0]), np.array([[0.0, 1.0, 3.0], [5.0, 6.0, 7.0]]))
    >>> law.quantile(0.75).tolist(), law.cdf([1.0, 6.5]).tolist(), law.mean().round(12).tolist()
    ([2.0, 6.5], [0.5, 0.75], [1.25, 6.0])
    """

    levels: Array
    values: Array

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (len(self.values),)

    def support(self) -> tuple[Array, Array]:
        """Quantiles of levels 0 and 1."""
        return self.values[:, 0], self.values[:, -1]

    def _logpdf(self, y: Array) -> Array:
        raise _no_density()

    def _cdf(self, y: Array) -> Array:
        at = np.zeros(y.shape, dtype=np.intp)
        for k in range(1, len(self.levels) - 1):
            at += y >= self.values[:, [k]]
        below, above = (np.take_along_axis(self.values, at + i, axis=1) for i in (0, 1))
        share = np.clip((y - below) / np.maximum(above - below, 5e-324), 0, 1)
        return self.levels[at] + share * (self.levels[at + 1] - self.levels[at])

    def _quantile(self, tau: Array) -> Array:
        at = np.clip(np.searchsorted(self.levels, tau, side="right") - 1, 0, len(self.levels) - 2)
        below, above = (np.take_along_axis(self.values, at + i, axis=1) for i in (0, 1))
        return below + (above - below) * (tau - self.levels[at]) / (self.levels[at + 1] - self.levels[at])

    def _isf(self, tau: Array) -> Array:
        return self._quantile(1 - tau)

    def _integrate(self, function: Function) -> Array:
        nodes, weights = np.polynomial.legendre.leggauss(8)
        width = np.diff(self.levels)
        rise = np.diff(self.values, axis=1)
        points = self.values[:, :-1, None] + rise[..., None] * (nodes + 1) / 2
        found = function(points.reshape(len(self.values), -1)).reshape(points.shape)
        return (found @ weights / 2) @ width


@final
@dataclass(frozen=True, eq=False)
class PushedJointLaw(JointLaw):
    """The joint law of outcomes by their draws.

    Parameters
    ----------
    names : tuple of str, the outcomes.
    draw : function of a numpy Generator and m → (m, d) fresh draws.

    Examples
    --------
    >>> law = PushedJointLaw(("a", "b"), lambda rng, m: rng.normal(size=(m, 2)))
    >>> law.sample(3, seed=1).shape, round(float(law.marginal("a").quantile(0.5)), 1) + 0.0
    ((3, 2), 0.0)
    """

    names: tuple[str, ...]
    draw: Draw

    batch_shape = ()

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return self.names

    def _logpdf(self, y: Array) -> Array:
        raise _no_density()

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self.draw(rng, m)
