"""A law on a finite support whose distribution function is known at some of its values, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.distributions.law import Function, Law
from disteconometrics.distributions.mixture import row_shares
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError

__all__ = ["StepLaw"]

SLACK = 1e-12  # of a level: a decimal such as .7 is meant exactly, and F has rounding errors
CELLS = 2_000_000  # of rows × outcomes at a time


@final
@dataclass(frozen=True, eq=False)
class StepLaw(Law):
    """A discrete law of every row: F at ``ends``, mass in between spread over ``points`` by ``shares``.

    F is rearranged, that is sorted, so that it does not fall (Chernozhukov, Fernández-Val, Galichon 2010);
    what is left above the last end lies on the points there.  `average` averages F as it was given, and sorts
    the average.

    Parameters
    ----------
    levels : (n, T) or (T,) float64 array, F at the ends before sorting; a row with NaN has no law.
    ends : (T,) float64 array, increasing, all below the last point.
    points : (m,) float64 array, increasing, at least one after each end and one up to the first.
    shares : (m,) float64 array, positive: the masses of the points of one gap are in these proportions.

    Raises
    ------
    OptionError
        If sizes or values are not as described.

    References
    ----------
    Chernozhukov, Fernández-Val, Galichon (2010), Quantile and probability curves without crossing,
    Econometrica 78, doi:10.3982/ECTA7880.

    Examples
    --------
    >>> law = StepLaw([[0.5, 0.4], [0.2, 0.7]], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 3.0])
    >>> law.cdf([1.0, 3.0]), law.quantile(0.7), law.mean()
    (array([0.4  , 0.775]), array([4., 2.]), array([2.475, 2.325]))
    """

    levels: Array
    ends: Array
    points: Array
    shares: Array

    discrete = True

    def __post_init__(self) -> None:
        levels, ends, points, shares = (
            floats(getattr(self, name), f"{name} of a step law")
            for name in ("levels", "ends", "points", "shares")
        )
        first = _check(levels, ends, points, shares)
        counts = np.diff(first, append=len(points))
        cell = np.repeat(np.arange(len(first)), counts)
        total = np.bincount(cell, shares)
        last, inner = first + counts - 1, np.empty(len(points))
        for i, j in zip(first.tolist(), last.tolist(), strict=True):
            shares[i : j + 1].cumsum(out=inner[i : j + 1])
        inner /= total[cell]
        inner[last] = 1.0
        F = np.sort(np.clip(levels, 0.0, 1.0), axis=-1)
        self.__dict__.update(
            levels=levels, ends=ends, points=points, shares=shares / total[cell], _cell=cell, _inner=inner
        )
        self.__dict__.update(_F=F, _first=first, _last=last)

    _cell: Indices = None  # type: ignore[assignment]  # (m,) gap that a point lies in
    _inner: Array = None  # type: ignore[assignment]  # (m,) share of the gap's mass up to the point
    _F: Array = None  # type: ignore[assignment]  # sorted
    _first: Indices = None  # type: ignore[assignment]  # (T + 1,) first and last point of every gap
    _last: Indices = None  # type: ignore[assignment]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return self.levels.shape[:-1]

    def support(self) -> tuple[Array, Array]:
        """The first and the last point; NaN for a row whose levels are missing."""
        missing = np.isnan(self.levels).any(axis=-1)
        low, high = self.points[[0, -1]]
        return np.where(missing, np.nan, low), np.where(missing, np.nan, high)

    def _bounds(self, cell: Indices) -> tuple[Array, Array]:
        """F before and at the end of gaps (…, m), where ``cell`` has the batch shape before it."""
        edge = np.zeros((*self.batch_shape, 1))
        F = np.concatenate([edge, self._F, edge + 1.0], axis=-1)
        return np.take_along_axis(F, cell, axis=-1), np.take_along_axis(F, cell + 1, axis=-1)

    def _cdf(self, y: Array) -> Array:
        at = np.searchsorted(self.points, y, side="right") - 1
        before, after = self._bounds(self._cell[at])
        inner = self._inner[at]
        return np.where(inner == 1.0, after, before + (after - before) * inner)

    def _pdf(self, y: Array) -> Array:
        at = np.minimum(np.searchsorted(self.points, y), len(self.points) - 1)
        before, after = self._bounds(self._cell[at])
        return np.where(self.points[at] == y, (after - before) * self.shares[at], 0.0)

    def _logpdf(self, y: Array) -> Array:
        return np.log(self._pdf(y))

    def _quantile(self, tau: Array) -> Array:
        level = np.maximum(np.broadcast_to(tau, (*self.batch_shape, tau.shape[-1])) - SLACK, 5e-324)
        cell = np.zeros(level.shape, dtype=np.intp)
        for j in range(level.shape[-1]):
            cell[..., j] = (level[..., j, None] > self._F).sum(axis=-1)
        before, after = self._bounds(cell)
        share = np.clip((level - before) / np.where(after > before, after - before, 1.0), 0.0, 1.0)
        at = np.searchsorted(self._cell + self._inner, cell + share - SLACK)
        return self.points[np.clip(at, self._first[cell], self._last[cell])]

    def _isf(self, tau: Array) -> Array:
        return self._quantile(1 - tau)

    def _masses(self) -> Array:
        """Mass of every gap, batch + (T + 1,)."""
        edge = np.zeros((*self.batch_shape, 1))
        return np.diff(self._F, axis=-1, prepend=edge, append=edge + 1.0)

    def _expect(self, function: Function) -> Array:
        gaps, total = self._masses(), np.zeros(self.batch_shape)
        step = max(1, CELLS // max(1, total.size))
        for i in range(0, len(self.points), step):
            part = slice(i, i + step)
            y = np.broadcast_to(self.points[part], (*self.batch_shape, len(self.points[part])))
            mass = gaps[..., self._cell[part]] * self.shares[part]
            # where there is no mass a function may be infinite
            total = total + np.where(mass > 0, function(y) * mass, 0.0 * mass).sum(axis=-1)
        return np.asarray(total)

    def _moment(self, values: Array) -> Array:
        """E of values (m,) at the points, batch shape."""
        return np.asarray(self._masses() @ np.bincount(self._cell, self.shares * values))

    def _mean(self) -> Array:
        return self._moment(self.points)

    def _var(self) -> Array:
        centre = float(self.points.mean())
        about = self._moment(self.points - centre)
        return np.maximum(self._moment(np.square(self.points - centre)) - np.square(about), 0.0)

    def average(self, weights: Any = None) -> Law:
        """The law of a row drawn at random: F as it was given is averaged, then sorted."""
        if not self.batch_shape or not self.batch_shape[0]:
            return super().average(weights)
        w = np.ones(self.batch_shape) if weights is None else floats(weights, "Weights of the rows")
        row_shares(w, self.batch_shape, "Weights of the rows")  # checks them
        law = StepLaw(w @ self.levels / w.sum(), self.ends, self.points, self.shares)
        return law.named(self.outcome)


def _check(levels: Array, ends: Array, points: Array, shares: Array) -> Indices:
    """Refuse parts that do not make a law; the first point (T + 1,) of every gap."""
    if levels.ndim not in (1, 2) or ends.ndim != 1 or points.ndim != 1 or shares.shape != points.shape:
        raise OptionError("A step law takes levels (n, T) or (T,), ends (T,), points (m,) and shares (m,).")
    if levels.shape[-1] != len(ends) or not len(ends):
        raise OptionError(f"A step law has {levels.shape[-1]} levels and {len(ends)} ends.")
    if not (np.diff(ends) > 0).all() or not (np.diff(points) > 0).all() or not (shares > 0).all():
        raise OptionError("Ends and points of a step law must increase, and shares be positive.")
    first = np.searchsorted(points, ends, side="right")
    if (np.diff(first, prepend=0, append=len(points)) == 0).any():
        raise OptionError(
            "Every gap of a step law needs a point, also up to the first end and after the last."
        )
    return np.asarray(np.concatenate([[0], first]))
