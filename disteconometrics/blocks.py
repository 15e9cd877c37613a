"""The one thing engines consume: rows of outcome, design and weights, a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Block"]


class Block(NamedTuple):
    """Rows of a design: ``y`` (m,), ``X`` (m, k) row-major, ``weights`` and ``offset`` (m,) or None, all float64."""

    y: NDArray[np.float64]
    X: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    offset: NDArray[np.float64] | None = None
