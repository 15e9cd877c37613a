"""Samples with masses: checked once, float64 whatever came in."""

from __future__ import annotations

from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disteconometrics.arrays import Array
from disteconometrics.errors import DataError, OptionError

__all__ = ["check_order", "masses", "points", "require_finite", "values"]


def check_order(p: Any) -> float:
    """The order p of a distance: a number of at least 1, or infinity.

    Examples
    --------
    >>> check_order(2)
    2.0
    """
    if isinstance(p, (bool, np.bool_)) or not isinstance(p, Real) or not float(p) >= 1:
        raise OptionError(
            f"p={p!r}: the order of a Wasserstein distance is a number of at least 1, or numpy.inf."
        )
    return float(p)


def _numbers(sample: Any, name: str) -> NDArray[Any]:
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
    >>> points([[1, 2]], "X").shape
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
