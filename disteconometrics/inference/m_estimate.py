"""What inference needs to know of an estimate that solves Σ scores = 0, whatever model it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["MEstimate", "RowScores", "ScoreSource"]


class RowScores(Protocol):
    """Scores (m, k) and information roots (m, k) of rows, and how many observations each row stands for."""

    @property
    def scores(self) -> NDArray[np.float64]: ...
    @property
    def roots(self) -> NDArray[np.float64]: ...
    @property
    def copies(self) -> NDArray[np.float64] | None: ...


class ScoreSource(Protocol):
    """Gives the rows of scores again and again, about ``rows`` at a time."""

    def __call__(self, rows: int | None = None) -> Iterator[RowScores]: ...


@dataclass(frozen=True, eq=False)
class MEstimate:
    """A solved estimating equation in well-conditioned coordinates.

    Scores come in coordinates c with β = T·c.  ``inner`` (k, k) is R⁻¹ for the information R'R of c, and
    ``root`` (k, k) = T·R⁻¹, so that root·root' is the inverse information of β and inner'·score is a score
    whose information is the identity.  ``basis`` is T (k, r), None for the identity.
    ``observations`` is n, or the sum of frequency weights.
    """

    names: tuple[str, ...]
    params: NDArray[np.float64]
    inner: NDArray[np.float64]
    root: NDArray[np.float64]
    observations: float
    rows: int
    source: ScoreSource
    weight_type: str | None = None
    basis: NDArray[np.float64] | None = None
