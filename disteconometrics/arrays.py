"""Types that stand in every signature: arrays by what they hold, and where random numbers come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Indices", "Mask", "Seed"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Seed = int | np.random.Generator | None
