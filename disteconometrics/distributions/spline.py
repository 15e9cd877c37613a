"""Laws given by a monotone cubic spline with linear tails: F(y) = Λ(h((y − location)/scale)), one per row.

Between knots h is a cubic, outside it is a line, so cdf, density and sampling are table look-ups, quantiles a
bracketed Newton iteration on one cubic, and moments Gauss-Legendre sums over the intervals plus closed forms
in the tails.

References
----------
Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, NeurIPS 32, arXiv:1906.04032.
Hothorn, Möst, Bühlmann (2018), Most likely transformations, Scandinavian J. Statistics 45,
doi:10.1111/sjos.12291.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, final

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.law import Function, Law
from disteconometrics.distributions.maps import Exp, Map
from disteconometrics.distributions.spline_expectations import expectation
from disteconometrics.distributions.spline_pieces import (
    chunks,
    invert,
    transform,
)
from disteconometrics.distributions.spline_sums import (
    Curves,
    crps,
    half_gap,
    moments,
    shortfall,
    squares,
    supported_moments,
)
from disteconometrics.distributions.support import LINE, Support
from disteconometrics.likelihoods.monotone import BASES
from disteconometrics.likelihoods.splines import SlopeBasis

__all__ = ["SplineLaw"]

FEW = 4  # outcomes of a row at which it is remembered


@lru_cache(maxsize=32)
def _basis(knots: bytes) -> SlopeBasis:
    """The tables of knots that many laws share."""
    return SlopeBasis(np.frombuffer(knots))


@final
@dataclass(frozen=True, eq=False)
class SplineLaw(Law):
    """Laws F(y) = Λ(h((u(y) − location)/scale)) with h a monotone cubic spline, one per row, or a single one.

    Parameters
    ----------
    knots : (K,) float64 array, shared by the rows.
    intercept : (n,) float64 array, h at the middle knot.
    slopes : (n, K − 1) float64 array of positive slope coefficients.
    location : (n,) float64 array, where the standardised outcome is zero; NaN where a covariate is missing.
    scale : float.
    base : {"normal", "logistic"}, the law Λ.
    domain : Support, whose map onto the line is u.
    single : bool, whether this is one law (batch shape ()) instead of one per row; n is 1 then.

    Examples
    --------
    >>> zero, knots = np.zeros(1), np.linspace(-2, 2, 5)
    >>> law = SplineLaw(knots, zero, np.ones((1, 4)), zero, 1.0, "normal", single=True)
    >>> float(law.cdf(0.0)), law.quantile([0.5, 0.975]).round(4).tolist(), round(float(law.std()), 6)
    (0.5, [0.0, 1.96], 1.0)
    """

    knots: Array
    intercept: Array
    slopes: Array
    location: Array
    scale: float
    base: str
    domain: Support = LINE
    single: bool = False

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() for a single law, (n,) for one per row."""
        return () if self.single else (len(self.intercept),)

    def support(self) -> tuple[Array, Array]:
        """The declared support, NaN where a covariate is missing."""
        gap = np.where(np.isnan(self.intercept + self.location), np.nan, 0.0).reshape(self.batch_shape)
        return gap + self.domain.low, gap + self.domain.high

    @cached_property
    def basis(self) -> SlopeBasis:
        """The slope functions on the knots."""
        return _basis(np.asarray(self.knots, dtype=np.float64).tobytes())

    def rows(self, rows: Any) -> SplineLaw:
        """The laws of some rows (a slice, positions or a mask)."""
        take = {name: getattr(self, name)[rows] for name in ("intercept", "slopes", "location")}
        return replace(self, **take, single=False).named(self.outcome)

    # ---- hooks, of outcomes and levels of shape batch + (m,) -----------------------------------------------

    @cached_property
    def _curves(self) -> Curves:
        return Curves(
            self.basis, self.intercept, self.slopes, self.location, self.scale, self.base, self.domain
        )

    def _table(self, values: Array) -> Array:
        return values.reshape(len(self.intercept), -1)

    def _evaluate(self, values: Array, of: Callable[[Array, Array, Array], Array]) -> Array:
        y = self._table(values)
        out = np.empty(y.shape)
        for rows in chunks(len(y), 4 * y.shape[1] + 16 * len(self.knots)):
            out[rows] = of(y[rows], *self._transformed(rows, y[rows]))
        return out.reshape(values.shape)

    def _transformed(self, rows: slice, y: Array) -> tuple[Array, Array]:
        """h and ∂h/∂r (m, q) of rows at outcomes; at few remembered, as F, 1 − F and density ask in turn."""
        key = rows.start, rows.stop
        known = self._last.get(key)
        if known is not None and np.array_equal(known[0], y):
            return known[1:]
        r = (self.domain.to_line(y) - self.location[rows, None]) / self.scale
        few = y.shape[1] <= FEW and not self._curves.held and bool(np.isfinite(r).all())
        found = self._at_few(rows, r) if few else transform(self._curves.pieces(rows), r)
        if y.shape[1] <= FEW:
            self._last[key] = (y.copy(), *found)
        return found

    def _at_few(self, rows: slice, r: Array) -> tuple[Array, Array]:
        """h and ∂h/∂r (m, q) of rows at r (m, q) from coefficients: tables of all pieces take longer."""
        forms = [self.basis.evaluate(own) for own in r.T]
        h, slope = (np.einsum("ij,qij->iq", self.slopes[rows], np.array(f)) for f in zip(*forms, strict=True))
        return self.intercept[rows, None] + h, slope

    @cached_property
    def _last(self) -> dict[tuple[int, int], tuple[Array, Array, Array]]:
        """Outcomes asked for last, and what is known there, by rows."""
        return {}

    def _logpdf(self, y: Array) -> Array:
        law, shift = BASES[self.base], np.log(self.scale)
        return self._evaluate(
            y, lambda y, z, slope: law.logpdf(z) + np.log(slope) - shift + self.domain.log_slope(y)
        )

    def _cdf(self, y: Array) -> Array:
        return self._evaluate(y, lambda y, z, slope: BASES[self.base].cdf(z))

    def _sf(self, y: Array) -> Array:
        return self._evaluate(y, lambda y, z, slope: BASES[self.base].cdf(-z))

    def _quantile(self, tau: Array) -> Array:
        return self._from_standard(BASES[self.base].quantile(tau))

    def _isf(self, tau: Array) -> Array:
        return self._from_standard(-BASES[self.base].quantile(tau))

    def _from_standard(self, given: Array) -> Array:
        """Outcomes with h = z, for z of shape batch + (m,)."""
        z = self._table(given)
        out = np.empty(z.shape)
        for rows in chunks(len(z), 12 * z.shape[1] + 16 * len(self.knots)):
            out[rows] = self.location[rows, None] + self.scale * invert(self._curves.pieces(rows), z[rows])
        return self.domain.from_line(out).reshape(given.shape)

    def _pushed(self, maps: Sequence[Map]) -> Law:
        # its moments are known
        if self.domain.kind == "line" and isinstance(maps, Sequence) and list(maps) == [Exp()]:
            return replace(self, domain=Support(low=0.0))
        return super()._pushed(maps)

    # ---- moments, distances, expectations: sums over panels ------------------------------------------------

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        """Mean and variance, batch shape.

        They are infinite where a declared support meets a tail too heavy to have one.
        """
        mean, var = (moments if self.domain.kind == "line" else supported_moments)(self._curves)
        return mean.reshape(self.batch_shape), var.reshape(self.batch_shape)

    def _mean(self) -> Array:
        return self._moments[0]

    def _var(self) -> Array:
        return self._moments[1]

    def _half_gap(self) -> Array:
        mean = self._mean()
        return np.where(np.isinf(mean), np.inf, half_gap(self._curves).reshape(self.batch_shape))

    def _partial_mean(self, q: Array) -> Array:
        return q * self._cdf(q[..., None])[..., 0] - shortfall(self._curves, self._table(q)).reshape(q.shape)

    def _crps(self, y: Array) -> Array:
        return crps(self._curves, self._table(y)).reshape(y.shape)

    def _squares(self, end: float, *, below: bool) -> Array:
        at = np.full(self.batch_shape, end)
        return squares(self._curves, self._table(at), below=below).reshape(self.batch_shape)

    def _expect(self, function: Function) -> Array:
        return self._expectation(function, smooth=False)

    def _smooth(self, function: Function) -> Array:
        return self._expectation(function, smooth=True)

    def _expectation(self, function: Function, *, smooth: bool) -> Array:
        def of(y: Array) -> Array:
            value = function(y.reshape(self.batch_shape + y.shape[1:]))
            return np.broadcast_to(value, self.batch_shape + y.shape[1:]).reshape(y.shape)

        return expectation(self._curves, of, smooth=smooth).reshape(self.batch_shape)
