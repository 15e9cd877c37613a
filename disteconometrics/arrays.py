"""Types that stand in every signature: arrays by what they hold, and where random numbers come from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnyArray", "Array", "Indices", "Mask", "Seed", "as_floats", "or_ones"]

Array = NDArray[np.float64]
AnyArray = NDArray[Any]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Seed = int | np.random.Generator | None


def as_floats(values: Any) -> Array:
    """Values as a float64 array, without a copy where they are one.

    Examples
    --------
    >>> as_floats([1, True]).tolist()
    [1.0, 1.0]
    """
    return np.asarray(values, dtype=np.float64)


def or_ones(weights: Array | None, shape: int | tuple[int, ...]) -> Array:
    """Weights, one each where there are none.

    Examples
    --------
    >>> or_ones(None, 2).tolist()
    [1.0, 1.0]
    """
    return np.ones(shape) if weights is None else weights
