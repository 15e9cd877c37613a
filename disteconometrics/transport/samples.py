"""Samples with masses: checked once, float64 whatever came in."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np

from disteconometrics.arrays import AnyArray, Array
from disteconometrics.checks import is_real
from disteconometrics.errors import DataError, OptionError

__all__ = [
    "check_order",
    "every_mass",
    "finite_order",
    "masses",
    "pair_of_points",
    "points",
    "power_above",
    "require_finite",
    "unit_beyond",
    "values",
]


def check_order(p: Any) -> float:
    """The order p of a distance: a number of at least 1, or infinity.

    Examples
    --------
    >>> check_order(2)
    2.0
    """
    if not is_real(p) or not float(p) >= 1:
        raise OptionError(
            f"p={p!r}: the order of a Wasserstein distance is a number of at least 1, or numpy.inf."
        )
    return float(p)


def finite_order(p: Any) -> float:
    """The order p of a distance between rows: a finite number of at least 1.

    Examples
    --------
    >>> finite_order(2)
    2.0
    """
    order = check_order(p)
    if np.isinf(order):
        raise OptionError("p = ∞ is only for samples on the line; give a finite order.")
    return order


def power_above(size: float) -> float:
    """The power of two above a size, one for zero.

    To divide by it rounds nothing, and p-th powers are then safe.

    Examples
    --------
    >>> power_above(3.0)
    4.0
    """
    return math.ldexp(1.0, math.frexp(size)[1]) if size > 0 else 1.0


def unit_beyond(size: float, least: float, most: float) -> float:
    """What to divide values of a size by: one from ``least`` to ``most``, else the power of two above it.

    Ordinary values are then computed with as they are, to the last bit.

    Examples
    --------
    >>> unit_beyond(3.0, 1e-30, 1e30), unit_beyond(3.0, 1e-30, 1.0)
    (1.0, 4.0)
    """
    return 1.0 if least <= size <= most else power_above(size)


def _numbers(sample: Any, name: str) -> AnyArray:
    array = np.asarray(sample)
    if array.dtype.kind not in "fiub":
        with suppress(TypeError, ValueError):
            array = array.astype(np.float64) if array.dtype.kind == "O" else array
        if array.dtype.kind != "f":
            raise DataError(f"{name} holds {array.dtype} values; a distance needs real numbers.")
    return array


def require_finite(array: Array, name: str) -> None:
    """Refuse NaN and infinity, counted.

    Examples
    --------
    >>> require_finite(np.array([1.0]), "x")
    """
    if not np.isfinite(array).all():
        nan, inf = int(np.isnan(array).sum()), int(np.isinf(array).sum())
        what = " and ".join(f"{count} {kind}" for count, kind in ((nan, "NaN"), (inf, "infinite")) if count)
        raise DataError(f"{name} has {what} values; a distance needs finite numbers: drop or mend them.")


def values(sample: Any, name: str) -> Array:
    """A sample on the line as float64 (n,), itself where it is that, not yet checked for NaN and infinity.

    Examples
    --------
    >>> values(np.array([1, 255], dtype=np.uint8), "x")
    array([  1., 255.])
    """
    array = _numbers(sample, name)
    if array.ndim != 1:
        raise DataError(
            f"{name} has shape {array.shape}; a sample on the line has shape (n,); for rows use "
            f"transport.discrete."
        )
    if not len(array):
        raise DataError(f"{name} is empty; a distance needs at least one value.")
    return np.asarray(array, np.float64)


def points(sample: Any, name: str) -> Array:
    """A sample of rows as finite float64 (n, d).

    Examples
    --------
    >>> points([[1, 2]], "x").shape
    (1, 2)
    """
    array = _numbers(sample, name)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise DataError(
            f"{name} has shape {array.shape}; rows of a sample have shape (n, d) with n and d of at least 1."
        )
    array = array.astype(np.float64)
    require_finite(array, name)
    return array


def pair_of_points(x: Any, y: Any) -> tuple[Array, Array]:
    """Two samples of rows as finite float64, (n, d) and (m, d).

    Examples
    --------
    >>> [v.shape for v in pair_of_points([[1, 2]], [[3, 4], [5, 6]])]
    [(1, 2), (2, 2)]
    """
    x, y = points(x, "x"), points(y, "y")
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"x has {x.shape[1]} columns and y has {y.shape[1]}; both samples need the same dimension."
        )
    return x, y


def every_mass(w: Array | None, n: int) -> Array:
    """Masses (n,) written out where they are equal.

    Examples
    --------
    >>> every_mass(None, 2)
    array([0.5, 0.5])
    """
    return np.full(n, 1 / n) if w is None else w


def masses(weights: Any, n: int, name: str) -> Array | None:
    """Weights of a sample divided by their sum (n,); None for equal ones.

    Examples
    --------
    >>> masses([1, 3], 2, "wx")
    array([0.25, 0.75])
    """
    if weights is None:
        return None
    array = _numbers(weights, name).astype(np.float64)
    if array.shape != (n,):
        raise DataError(
            f"{name} has shape {array.shape} for a sample of {n}; give one weight for each value, of the "
            f"same length."
        )
    require_finite(array, name)
    if (array < 0).any():
        raise DataError(f"{name} has {int((array < 0).sum())} negative weights; masses are not negative.")
    largest = array.max()
    if largest == 0:
        raise DataError(f"The weights {name} sum to zero; at least one must be positive.")
    array = array / largest  # so that their sum cannot overflow
    return np.asarray(array / array.sum())
