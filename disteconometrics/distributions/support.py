"""Declared supports: the line, a half-line or an interval, and the map of each onto the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Mask
from disteconometrics.checks import is_real
from disteconometrics.errors import OptionError

__all__ = ["LINE", "Support", "support_of"]


@dataclass(frozen=True)
class Support:
    """An open interval (low, high), mapped onto the line by the identity, a logarithm or a logit.

    Parameters
    ----------
    low, high : float, −inf and inf where there is no bound.

    Examples
    --------
    >>> Support(0.0, 1.0).to_line(np.array([0.5]))
    array([0.])
    """

    low: float = -np.inf
    high: float = np.inf

    @property
    def kind(self) -> str:
        """line, above, below or between."""
        bounds = np.isfinite(self.low), np.isfinite(self.high)
        return {
            (False, False): "line",
            (True, False): "above",
            (False, True): "below",
            (True, True): "between",
        }[bounds]

    def to_line(self, y: Array) -> Array:
        """The image u of y; ±inf at and beyond the bounds."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "above":
                return np.where(y <= self.low, -np.inf, np.log(y - self.low))
            if self.kind == "below":
                return np.where(y >= self.high, np.inf, -np.log(self.high - y))
            if self.kind == "between":
                return np.asarray(special.logit(np.clip((y - self.low) / (self.high - self.low), 0, 1)))
        return y

    def outside(self, y: Array) -> Mask:
        """Whether y lie at or beyond the bounds."""
        return np.asarray((y <= self.low) | (y >= self.high))

    def from_line(self, u: Array) -> Array:
        """The y with image u."""
        with np.errstate(over="ignore"):
            if self.kind == "above":
                return self.low + np.exp(u)
            if self.kind == "below":
                return self.high - np.exp(-u)
            if self.kind == "between":
                return np.asarray(self.low + (self.high - self.low) * special.expit(u))
        return u

    def stretch(self, u: Array) -> Array:
        """dy/du at the y with image u."""
        if self.kind == "above":
            return np.exp(u)
        if self.kind == "below":
            return np.exp(-u)
        if self.kind == "between":
            return np.asarray((self.high - self.low) * special.expit(u) * special.expit(-u))
        return np.ones(np.shape(u))

    def log_slope(self, y: Array) -> Array:
        """log du/dy, −inf outside."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "above":
                return np.where(y > self.low, -np.log(y - self.low), -np.inf)
            if self.kind == "below":
                return np.where(y < self.high, -np.log(self.high - y), -np.inf)
            if self.kind == "between":
                value = np.log(self.high - self.low) - np.log(y - self.low) - np.log(self.high - y)
                return np.where(
                    (y > self.low) & (y < self.high), value, np.where(np.isnan(y), np.nan, -np.inf)
                )
        return np.zeros(np.shape(y))

    def __str__(self) -> str:
        return f"({self.low:g}, {self.high:g})"


LINE = Support()


def _end(given: Any, unbounded: float) -> float:
    """An end of a pair, ``unbounded`` for None, NaN for what is no number."""
    if given is None:
        return unbounded
    return float(given) if is_real(given) else np.nan


def support_of(given: Any) -> Support:
    """Read ``None``, ``"positive"`` or a pair (a, b) in which None or ±inf leaves a side open.

    Raises
    ------
    OptionError
        If it is none of these or a ≥ b.

    Examples
    --------
    >>> support_of("positive")
    Support(low=0.0, high=inf)
    """
    if given is None:
        return Support()
    if isinstance(given, str) and given == "positive":
        return Support(0.0, np.inf)
    if isinstance(given, (tuple, list)) and len(given) == 2:
        low, high = _end(given[0], -np.inf), _end(given[1], np.inf)
        if low < high:
            return Support(low, high)
    raise OptionError(
        f"support={given!r}: give None, 'positive', or a pair (a, b) with a < b, such as (0, 1) or (0, None)."
    )
