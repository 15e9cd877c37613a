"""A law with a mass at one point beside a continuous law: F(y) = s·1{y ≥ c} + (1 − s)·G(y)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Function, Law
from disteconometrics.distributions.maps import Map
from disteconometrics.distributions.mixture import row_shares
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError

__all__ = ["WithMass"]


@final
@dataclass(frozen=True, eq=False)
class WithMass(Law):
    """A mass at a point and a continuous law of the rest, row by row.

    `pdf` and `logpdf` are the mass at the point and the density of the rest elsewhere; quantiles are left
    inverses, at the point for all levels that the mass takes up.

    Parameters
    ----------
    rest : law of batch shape (n,) or (), continuous.
    point : float, where the mass is.
    share : (n,) float64 array or float, probabilities of the point.

    Raises
    ------
    OptionError
        If the law is discrete or the shares are no probabilities.

    Examples
    --------
    >>> from disteconometrics import Normal
    >>> law = WithMass(Normal(5.0, 1.0), 0.0, 0.3)
    >>> law.quantile([0.2, 0.65]).round(4), float(law.mass(0.0)), float(law.mean())
    (array([0., 5.]), 0.3, 3.5)
    """

    rest: Law
    point: float
    share: Any

    def __post_init__(self) -> None:
        share = floats(self.share, "Probabilities of the point")
        if self.rest.discrete or not np.isfinite(self.point):
            raise OptionError("A mass stands beside a continuous law, at a finite point.")
        if np.any((share < 0) | (share > 1)):
            raise OptionError("Probabilities of the point lie between 0 and 1.")
        batch = np.broadcast_shapes(self.rest.batch_shape, share.shape)
        if self.rest.batch_shape != batch:
            raise OptionError(f"{share.size} probabilities of the point for a law without rows.")
        self.__dict__.update(share=np.broadcast_to(share, batch), outcome=self.rest.outcome)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """That of the rest."""
        return self.rest.batch_shape

    def support(self) -> tuple[Array, Array]:
        """That of the rest, and the point."""
        low, high = self.rest.support()
        missing = np.isnan(self.share)
        ends = np.minimum(low, self.point), np.maximum(high, self.point)
        return np.where(missing, np.nan, ends[0]), np.where(missing, np.nan, ends[1])

    @property
    def _s(self) -> Array:
        return np.asarray(self.share)[..., None]

    def _mass(self, y: Array) -> Array:
        return np.where(y == self.point, self._s, 0.0)

    def _pdf(self, y: Array) -> Array:
        return np.where(y == self.point, self._s, (1 - self._s) * self.rest._extended("_pdf", y))

    def _logpdf(self, y: Array) -> Array:
        beside = np.log1p(-self._s) + self.rest._extended("_logpdf", y)
        return np.where(y == self.point, np.log(self._s), beside)

    def _cdf(self, y: Array) -> Array:
        return self._s * (y >= self.point) + (1 - self._s) * self.rest._extended("_cdf", y)

    def _sf(self, y: Array) -> Array:
        return self._s * (y < self.point) + (1 - self._s) * self.rest._extended("_sf", y)

    def _quantile(self, tau: Array) -> Array:
        return self._inverse(tau, 1 - tau)

    def _isf(self, tau: Array) -> Array:
        return self._inverse(1 - tau, tau)

    def _inverse(self, tau: Array, upper: Array) -> Array:
        """Quantiles of levels τ, with 1 − τ for the digits of the upper tail."""
        at = np.full((*self.batch_shape, 1), self.point)
        below, above = ((1 - self._s) * self.rest._extended(hook, at) for hook in ("_cdf", "_sf"))
        rest = np.where(self._s < 1, 1 - self._s, 1.0)
        low = self.rest._quantile(np.clip(np.minimum(tau, below) / rest, 5e-324, 1.0))
        high = self.rest._isf(np.clip(np.minimum(upper, above) / rest, 5e-324, 1.0))
        return np.where(tau <= below, low, np.where(upper < above, high, self.point))

    def _mixed(self, at_point: Any, of_rest: Any) -> Array:
        return np.asarray(self.share * at_point + (1 - self.share) * of_rest)

    def _at_point(self, function: Function) -> Array:
        return np.asarray(function(np.full((*self.batch_shape, 1), self.point)))[..., 0]

    def _expect(self, function: Function) -> Array:
        return self._mixed(self._at_point(function), self.rest._expect(function))

    def _smooth(self, function: Function) -> Array:
        return self._mixed(self._at_point(function), self.rest._smooth(function))

    def _partial_mean(self, q: Array) -> Array:
        return self._mixed(np.where(self.point < q, self.point, 0.0), self.rest._partial_mean(q))

    def _partial(self, q: Array, function: Function) -> Array:
        at = np.where(self.point < q, self._at_point(function), 0.0)
        return self._mixed(at, self.rest._partial(q, function))

    def _mean(self) -> Array:
        return self._mixed(self.point, self.rest._mean())

    def _var(self) -> Array:
        return self._mixed(0.0, self.rest._var() + self.share * (self.rest._mean() - self.point) ** 2)

    def _distance(self, y: Array) -> Array:
        """E|Y − y| of the rest for outcomes (n,), from its ranked probability score."""
        from disteconometrics.distributions.scores import crps

        return np.asarray(crps(self.rest, y, of="outcome") + self.rest._half_gap())

    def _half_gap(self) -> Array:
        n = self.batch_shape or (1,)
        away = self._distance(np.full(n, self.point)).reshape(self.batch_shape)
        s = self.share
        return np.asarray((1 - s) ** 2 * self.rest._half_gap() + s * (1 - s) * away)

    def _crps(self, y: Array) -> Array:
        return self._mixed(np.abs(y - self.point), self._distance(y)) - self._half_gap()

    def _draw(self, rng: np.random.Generator, m: int) -> Array:
        draws = self.rest._draw(rng, m)
        return np.where(rng.random(draws.shape) < self._s, self.point, draws)

    def _pushed(self, maps: Sequence[Map]) -> Law:
        point = np.array(self.point)
        with np.errstate(all="ignore"):
            for m in maps:
                point = m.forward(point)[0]
        if not np.isfinite(point):
            raise OptionError(f"The mass at {self.point:g} is no number on that scale.")
        return WithMass(self.rest._pushed(maps), float(point), self.share)

    def average(self, weights: Any = None) -> Law:
        """The law of a row drawn at random: shares are averaged, and the rest by how much of a row it is."""
        if not self.batch_shape:
            return super().average(weights)
        w = np.ones(self.batch_shape) if weights is None else floats(weights, "Weights of the rows")
        row_shares(w, self.batch_shape, "Weights of the rows")  # checks them
        rest = w * (1 - self.share)
        average = self.rest.average(rest if np.any(rest > 0) else w)
        return WithMass(average, self.point, float(w @ self.share / w.sum())).named(self.outcome)

    def named(self, outcome: str | None) -> WithMass:
        """The same law of an outcome with a name; so is the rest."""
        law = super().named(outcome)
        law.__dict__["rest"] = self.rest.named(outcome)
        return law
