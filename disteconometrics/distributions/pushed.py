"""Laws that are known by their draws: noise pushed through a map, or a sample itself; they have no density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.joint import JointLaw
from disteconometrics.distributions.law import Function, Law
from disteconometrics.errors import OptionError

__all__ = ["PushedJointLaw", "PushedLaw"]

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]


def _no_density() -> OptionError:
    return OptionError(
        "A law made by transport has draws, a distribution function and quantiles, but no density; de.FlowDensity(…) gives one."
    )


@final
@dataclass(frozen=True, eq=False)
class PushedLaw(Law):
    """The law of one outcome by its draws: distribution function, quantiles and moments are those of ``seen``.

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

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """()."""
        return ()

    def support(self) -> tuple[Array, Array]:
        """Smallest and largest draw."""
        return self.seen.support()

    def _logpdf(self, y: Array) -> Array:
        raise _no_density()

    def _pdf(self, y: Array) -> Array:
        raise _no_density()

    def _cdf(self, y: Array) -> Array:
        return self.seen._cdf(y)

    def _sf(self, y: Array) -> Array:
        return self.seen._sf(y)

    def _quantile(self, tau: Array) -> Array:
        return self.seen._quantile(tau)

    def _isf(self, tau: Array) -> Array:
        return self.seen._isf(tau)

    def _expect(self, function: Function) -> Array:
        return self.seen._expect(function)

    def _integrate(self, function: Function) -> Array:
        return self.seen._expect(function)

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self.seen._draw(rng, m) if self.draw is None else self.draw(rng, m)


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

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return self.names

    def _logpdf(self, y: Array) -> Array:
        raise _no_density()

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        return self.draw(rng, m)
