"""Well-conditioned coordinates for an ill-conditioned design, without losing digits on the way.

With T upper triangular and Z = X·T nearly orthogonal, β = T·c and every sum over rows of Z is accurate to rounding,
however close to collinear X is.  What could lose digits is the product X·T, in which large terms cancel.  So both
factors are cut into a leading part of few bits, whose product float64 holds exactly, and a small rest
(error-free transformation of matrix products).

References
----------
Ozaki, Ogita, Oishi, Rump (2012), Error-free transformations of matrix multiplication by using fast routines of
matrix multiplication and its applications, Numerical Algorithms 59, doi:10.1007/s11075-011-9478-1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log2
from typing import overload

import numpy as np
from numpy.typing import NDArray

from disteconometrics.blocks import Block, dense_block

__all__ = ["Whitened", "accurate_product", "power_of_two"]


def power_of_two(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest powers of two that are at least |x|, one for zeros: dividing by them is exact."""
    mantissa, exponent = np.frexp(np.abs(x))
    exponent = np.where(mantissa == 0.5, exponent - 1, exponent)
    return np.where(x == 0, 1.0, np.ldexp(1.0, exponent))


def _leading_bits(x: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Round |x| ≤ 1 to multiples of 2^-bits (adding and subtracting a large constant does it)."""
    sigma = 1.5 * 2.0 ** (52 - bits)
    return (x + sigma) - sigma


def accurate_product(X: NDArray[np.float64], T: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """X·T to about 75 bits before the final rounding.

    Parameters
    ----------
    X : (m, k) float64 array.
    T : (k, l) float64 array.
    scale : (k,) float64 array, powers of two that bound the columns of X.

    Returns
    -------
    (m, l) float64 array, row-major.

    Examples
    --------
    >>> X = np.array([[1e8 + 1, 1e8]])
    >>> accurate_product(X, np.array([[1e10], [-1e10]]), power_of_two(X[0]))
    array([[1.e+10]])
    """
    bits = (53 - ceil(log2(max(X.shape[1], 2)))) // 2
    Xs = X / scale
    Ts = T * scale[:, None]
    t = power_of_two(np.abs(Ts).max(axis=0))
    Ts /= t
    X_hi, T_hi = _leading_bits(Xs, bits), _leading_bits(Ts, bits)
    Xs -= X_hi
    product = X_hi @ T_hi  # exact: every partial sum fits 53 bits
    product += X_hi @ (Ts - T_hi) + Xs @ Ts
    product *= t
    return product


class Whitened(Sequence[Block]):
    """Blocks of Z = X·T, made a chunk at a time when iterated (or kept, when small).

    Parameters
    ----------
    parts : consecutive blocks of rows, each small enough to be multiplied at once.
    T : (k, k) float64 array.
    column_max : (k,) float64 array, largest absolute value of every column of X.
    keep : whether to hold Z in memory.
    """

    def __init__(self, parts: Sequence[Block], T: NDArray[np.float64], column_max: NDArray[np.float64], keep: bool) -> None:
        self.parts, self.T, self.scale = parts, T, power_of_two(column_max)
        self._kept = [self._make(part) for part in parts] if keep else None

    def _make(self, part: Block) -> Block:
        return part._replace(X=accurate_product(dense_block(part).X, self.T, self.scale))

    def __len__(self) -> int:
        return len(self.parts)

    @overload
    def __getitem__(self, i: int) -> Block: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Block]: ...
    def __getitem__(self, i: int | slice) -> Block | Sequence[Block]:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return self._make(self.parts[i]) if self._kept is None else self._kept[i]

    def __iter__(self) -> Iterator[Block]:
        return iter(self._kept) if self._kept is not None else map(self._make, self.parts)
