"""Options as users give them: numbers and whole numbers, refused with a message that says what is allowed."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from disteconometrics.errors import OptionError

__all__ = ["is_real", "is_whole", "positive", "whole"]


def is_whole(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether a value is a whole number, no bool, from ``low`` to ``high``.

    Examples
    --------
    >>> is_whole(3), is_whole(3, low=4), is_whole(True), is_whole(3.0)
    (True, False, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= int(value) <= high


def is_real(value: Any) -> bool:
    """Whether a value is a real number, no bool.

    Examples
    --------
    >>> is_real(3), is_real(True), is_real("3")
    (True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def whole(value: Any, name: str, low: int, high: int | None = None) -> int:
    """The whole number that an option is.

    Raises
    ------
    OptionError
        If it is none, or not in the range.

    Examples
    --------
    >>> whole(3, "layers", 1)
    3
    """
    if not is_whole(value, low, math.inf if high is None else high):
        allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise OptionError(f"{name}={value!r}: give a whole number {allowed}.")
    return int(value)


def positive(value: Any, name: str, unit: str = "") -> float:
    """The positive finite number that an option is; ``unit`` ends the message.

    Raises
    ------
    OptionError
        If it is none.

    Examples
    --------
    >>> positive(0.5, "blur")
    0.5
    """
    if not (is_real(value) and 0 < float(value) < math.inf):
        raise OptionError(f"{name}={value!r}: give a positive number{unit}.")
    return float(value)
