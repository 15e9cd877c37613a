"""Laws told by some of their quantiles: straight lines between them, exponential tails beyond.

F rises linearly between neighbouring quantiles, so the density is constant there.  A tail is the exponential
one through the outer quantile and that with ten times its mass beyond, or the median, whichever is wider: few
rows a leaf give outer quantiles that are all one outcome.  Neighbours closer than a thousandth of the range
of the quantiles times the mass between them are moved apart to that: a forest that says the same number twice
would have an infinite density, and win every comparison of log scores by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError

__all__ = ["QuantileLaw"]

NARROW = 1e-3  # least width of a panel, as a share of the range of the quantiles times the panel's mass


class QuantileLaw(Law):
    """A law given by quantiles at increasing levels.

    Parameters
    ----------
    levels : (L,) float64 array between 0 and 1, increasing, at least two.
    values : (L,) or (n, L) float64 array; quantiles that cross are sorted, a row with NaN is missing.

    Raises
    ------
    OptionError
        If levels do not increase, shapes do not match, or all quantiles of a row are equal.

    Examples
    --------
    >>> law = QuantileLaw([0.25, 0.5, 0.75], [0.0, 1.0, 3.0])
    >>> law.cdf([0.5, 2.0]), law.quantile([0.5, 0.6]), float(law.mean().round(3))
    (array([0.375, 0.625]), array([1. , 1.8]), 1.736)
    """

    def __init__(self, levels: Array, values: Array) -> None:
        """Check and keep the parts."""
        self.levels = floats(levels, "Levels")
        given = np.sort(floats(values, "Quantiles"), axis=-1)
        shape = self.levels.shape
        if len(shape) != 1 or shape[0] < 2 or not (np.diff(self.levels) > 0).all():
            raise OptionError("A law of quantiles takes at least two levels, which increase.")
        if self.levels[0] <= 0 or self.levels[-1] >= 1:
            raise OptionError("Levels of a law of quantiles lie between 0 and 1, without the ends.")
        if given.ndim not in (1, 2) or given.shape[-1] != shape[0]:
            raise OptionError(f"Quantiles have shape {given.shape}; give (n, {shape[0]}) or ({shape[0]},).")
        given = np.where(np.isnan(given).any(axis=-1, keepdims=True), np.nan, given)
        span = given[..., -1:] - given[..., :1]
        if (span == 0).any():
            raise OptionError(
                f"All quantiles of {int((span == 0).sum())} rows are equal: such a row has no density; take "
                f"more rows a leaf, or wider levels."
            )
        least = NARROW * span * np.diff(self.levels)
        widths = np.maximum(np.diff(given, axis=-1), least)
        middle = shape[0] // 2
        moved = np.concatenate([np.zeros_like(span), np.cumsum(widths, axis=-1)], axis=-1)
        self.values: Array = moved - moved[..., middle, None] + given[..., middle, None]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() or (n,)."""
        return self.values.shape[:-1]

    def support(self) -> tuple[Array, Array]:
        """The whole line; NaN for a row whose quantiles are missing."""
        missing = np.isnan(self.values[..., 0])
        return np.where(missing, np.nan, -np.inf), np.where(missing, np.nan, np.inf)

    @cached_property
    def _density(self) -> Array:
        """Density of the panels, batch + (L − 1,)."""
        return np.asarray(np.diff(self.levels) / np.diff(self.values, axis=-1))

    @cached_property
    def _tails(self) -> tuple[Array, Array]:
        """Scales of both tails, batch + (1,)."""
        q, low = self.values, self.levels
        high = 1 - low[::-1]
        return _tail(q, low), _tail(-q[..., ::-1], high)

    def _panel(self, y: Array) -> Indices:
        """The panel of each outcome, −1 and L − 1 in the tails."""
        if self.values.ndim == 1:
            return np.searchsorted(self.values, y, side="right") - 1
        at = np.full(y.shape, -1, dtype=np.intp)
        for q in self.values.T:  # an array of all pairs would be the levels times as large
            at += y >= q[:, None]
        return at

    def _of_panel(self, parts: Array, panel: Indices) -> Array:
        return np.asarray(parts[panel] if parts.ndim == 1 else np.take_along_axis(parts, panel, axis=-1))

    def _cdf(self, y: Array) -> Array:
        panel, levels = self._panel(y), self.levels
        inner = np.clip(panel, 0, len(levels) - 2)
        start = self._of_panel(self.values, inner)
        F = levels[inner] + (y - start) * self._of_panel(self._density, inner)
        low, high = self._tails
        below = levels[0] * np.exp((y - self.values[..., :1]) / low)
        above = 1 - (1 - levels[-1]) * np.exp(-(y - self.values[..., -1:]) / high)
        return np.where(panel < 0, below, np.where(panel > len(levels) - 2, above, F))

    def _sf(self, y: Array) -> Array:
        above = (1 - self.levels[-1]) * np.exp(-(y - self.values[..., -1:]) / self._tails[1])
        return np.where(y > self.values[..., -1:], above, 1 - self._cdf(y))

    def _logpdf(self, y: Array) -> Array:
        panel = self._panel(y)
        inner = np.clip(panel, 0, len(self.levels) - 2)
        q, (low, high) = self.values, self._tails
        inside = np.log(self._of_panel(self._density, inner))
        below = np.log(self.levels[0] / low) + (y - q[..., :1]) / low
        above = np.log((1 - self.levels[-1]) / high) - (y - q[..., -1:]) / high
        return np.where(panel < 0, below, np.where(y > q[..., -1:], above, inside))

    def _quantile(self, tau: Array) -> Array:
        levels, low = self.levels, self._tails[0]
        tau = np.broadcast_to(tau, (*self.batch_shape, tau.shape[-1]))
        panel = np.clip(np.searchsorted(levels, tau, side="right") - 1, 0, len(levels) - 2)
        inside = (tau - levels[panel]) / self._of_panel(self._density, panel)
        y = self._of_panel(self.values, panel) + inside
        y = np.where(tau < levels[0], self.values[..., :1] + low * np.log(tau / levels[0]), y)
        return np.where(tau > levels[-1], self._upper(1 - tau), y)

    def _isf(self, tau: Array) -> Array:
        return np.where(tau < 1 - self.levels[-1], self._upper(tau), self._quantile(1 - tau))

    def _upper(self, tau: Array) -> Array:
        """Quantiles of level 1 − τ in the upper tail."""
        return np.asarray(self.values[..., -1:] - self._tails[1] * np.log(tau / (1 - self.levels[-1])))

    def _half_gap(self) -> Array:
        F, (low, high) = self.levels, self._tails
        middle = (F[1:] + F[:-1]) / 2 - _squares(F[:-1], F[1:])
        ends = [s[..., 0] * (a - a * a / 2) for s, a in ((low, F[0]), (high, 1 - F[-1]))]
        return np.asarray(np.diff(self.values, axis=-1) @ middle + ends[0] + ends[1])

    def _crps(self, y: Array) -> Array | None:
        mirrored = QuantileLaw(1 - self.levels[::-1], -self.values[..., ::-1])
        return self._squared_below(y) + mirrored._squared_below(-y)

    def _squared_below(self, y: Array) -> Array:
        """∫ F² up to y (n,), one outcome a row."""
        y = np.broadcast_to(y, self.batch_shape or np.shape(y))[..., None]
        q, F, (low, high) = self.values, self.levels, self._tails
        panel = self._panel(y)
        inner = np.clip(panel, 0, len(F) - 2)
        whole = np.diff(q, axis=-1) * _squares(F[:-1], F[1:])
        start = low * F[0] ** 2 / 2
        before = np.concatenate([np.zeros_like(low), np.cumsum(whole, axis=-1)], axis=-1) + start
        edge, at = self._of_panel(q, inner), self._cdf(y)
        inside = self._of_panel(before, inner) + (y - edge) * _squares(F[inner], at)
        beyond, a = np.maximum(y - q[..., -1:], 0.0), 1 - F[-1]
        falls = np.exp(-beyond / high)
        above = before[..., -1:] + beyond - 2 * a * high * (1 - falls) + a**2 * high / 2 * (1 - falls**2)
        found = np.where(panel < 0, low * at**2 / 2, np.where(panel > len(F) - 2, above, inside))
        return np.asarray(found[..., 0])

    def _mean(self) -> Array:
        return self._moment(lambda a, b: (a + b) / 2, lambda q, s: q + s)

    def _var(self) -> Array:
        centre = QuantileLaw(self.levels, self.values - self.mean()[..., None])
        return centre._moment(_squares, lambda q, s: q * q + 2 * q * s + 2 * s * s)

    def _moment(self, panel: Callable[[Array, Array], Array], tail: Callable[[Array, Array], Array]) -> Array:
        """A moment of panels from their ends, and of tails from where they begin and their scales."""
        q, F, (low, high) = self.values, self.levels, self._tails
        middle = panel(q[..., :-1], q[..., 1:]) @ np.diff(F)
        ends = F[0] * tail(q[..., 0], -low[..., 0]) + (1 - F[-1]) * tail(q[..., -1], high[..., 0])
        return np.asarray(middle + ends)


def _tail(q: Array, levels: Array) -> Array:
    """Scale of the lower tail of quantiles (…, L), batch + (1,)."""
    through = np.searchsorted(levels, [min(10 * levels[0], 0.5), 0.5])
    far = np.clip(through, 1, len(levels) - 1)
    scales = (q[..., far] - q[..., :1]) / np.log(levels[far] / levels[0])
    return np.asarray(scales.max(axis=-1, keepdims=True))


def _squares(first: Array, last: Array) -> Array:
    """The mean of F² where F rises linearly from one value to another."""
    return np.asarray((first * first + first * last + last * last) / 3)
