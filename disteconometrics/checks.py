"""Options and columns as users give them: refused with a message that says what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.errors import DataError, OptionError

__all__ = [
    "MOST_COUNTED",
    "check_far",
    "check_index_set",
    "check_sizes",
    "flag",
    "is_real",
    "is_whole",
    "positive",
    "size_error",
    "unsquarable",
    "whole",
]

MOST_COUNTED = 2**53  # beyond, a double no longer counts by ones
LARGEST = 1e151  # value of a column whose squares still sum in float64


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


def flag(value: Any, name: str) -> bool:
    """The yes or no that an option is.

    Raises
    ------
    OptionError
        If it is neither True nor False: text such as "no" would count as yes.

    Examples
    --------
    >>> flag(True, "use_t")
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{name}={value!r}: give True or False.")
    return bool(value)


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


def unsquarable(largest: Array, least: float = 1 / LARGEST) -> Mask:
    """Which columns (k,) have squares that float64 cannot hold, from their largest absolute values (k,).

    Examples
    --------
    >>> unsquarable(np.array([0.0, 1.0, 1e200, 1e-200])).tolist()
    [False, False, True, True]
    """
    return np.asarray((largest > LARGEST) | ((largest > 0) & (largest < least)))


def check_index_set(given: Any) -> tuple[float, float]:
    """The two levels between 0 and 1, the lower first, that a uniform band is for.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_index_set([0.1, 0.9])
    (0.1, 0.9)
    """
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 < low < high < 1:
        raise OptionError(
            f"index_set={given!r}: give two levels between 0 and 1, the lower first, such as (0.1, 0.9)."
        )
    return low, high


def size_error(names: Sequence[str]) -> DataError:
    """The error for columns whose numbers are too large or too small to compute with."""
    return DataError(
        f"{', '.join(names)}: values are too large or too small to compute with (beyond 1e±151); rescale the "
        "column."
    )


def check_sizes(columns: Array, names: Sequence[str], least: float = 1 / LARGEST) -> None:
    """Refuse columns (n, k) whose squares float64 cannot hold, NaN apart; ``least=0`` allows small ones.

    Raises
    ------
    DataError

    Examples
    --------
    >>> check_sizes(np.array([[1.0, 1e300]]), ["x", "z"])
    Traceback (most recent call last):
    ...
    disteconometrics.errors.DataError: z: values are too large or too small to compute with (beyond 1e±151); \
rescale the column.
    """
    with np.errstate(all="ignore"):  # sums of squares are quick, and settle what is usual
        if least == 0 and float(np.vdot(columns, columns)) < LARGEST:
            return
        squares = np.einsum("ij,ij->j", columns, columns)
    if ((squares > 1 / LARGEST) & (squares < LARGEST)).all():
        return
    wild = unsquarable(np.fmax.reduce(np.abs(columns), axis=0, initial=0.0), least)
    if wild.any():
        raise size_error([names[int(j)] for j in np.flatnonzero(wild)])


def check_far(columns: Array, names: Sequence[str], most: float) -> None:
    """Refuse columns (n, k) with a value beside which the others are one point.

    ``most`` is its largest distance to the median, in median distances of those that differ from it.

    Raises
    ------
    DataError

    Examples
    --------
    >>> check_far(np.array([[1.0], [2.0], [3.0], [1e20]]), ["x"], 1e8)
    Traceback (most recent call last):
    ...
    disteconometrics.errors.DataError: x: 1e+20 lies 1e+20 times as far out as others: is it a code for \
missing? Make it missing, or take a logarithm.
    """
    for name, column in zip(names, columns.T, strict=True):
        far = np.abs(column - np.median(column))
        apart = far[far > 0]
        if len(apart) and (times := float(apart.max() / np.median(apart))) > most:
            raise DataError(
                f"{name}: {column[far.argmax()]:.3g} lies {times:.0e} times as far out as others: is it a "
                "code for missing? Make it missing, or take a logarithm."
            )
