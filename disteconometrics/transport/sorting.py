"""Large samples on the line: sorted by bins first; areas between distribution functions, hardly sorted.

Bins are even in u/(1 + |u|) of the values u, centred at the median and scaled by the interquartile range of a
few of them, so that heavy tails leave most bins in use.  A sort by sixteen-bit bins followed by a merge sort
of what is then nearly in order takes less than half the time of a sort of numbers, where numpy does not sort
several at once by the processor's vectors.

W1 is the area between two distribution functions.  In a bin where their difference cannot change sign, since
it exceeds the mass that the bin holds of the sample behind, its integral needs the sum of the values alone;
only the other bins are sorted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disteconometrics.arrays import Array, Indices, Mask

__all__ = ["Bins", "area", "argsorted", "in_order"]

Places = Indices

LARGE = 20_000  # values from which on bins pay
FEW = 512  # values that centre and scale are taken from
BINS = 4_096  # of the area
CHUNK = 16_384
# seconds a value that a sort by vectors needs at most; it takes 3 to 10, one without them 50 and more
QUICK = 15e-9
MOST_KEPT = 2**19  # values in memory kept between sorts
MOST_SORTED = 0.25  # share of the values in bins that need sorting beyond which all are sorted


@cache
def _by_vectors(sort: Callable[[Array], Any]) -> bool:
    """Whether a sort of numpy's runs on the processor's vectors, timed at the first large sample.

    What is found is the same.
    """
    v = np.random.default_rng(0).random(LARGE)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        sort(v)
        seconds.append(time.perf_counter() - started)
    return min(seconds) < QUICK * LARGE


class Bins(NamedTuple):
    """Bins of the line, even in u/(1 + |u|) with u = (v − centre)/scale."""

    centre: float
    scale: float

    @classmethod
    def around(cls, few: Array) -> Bins:
        """Bins for any values (m,), also where most of them are equal, that are like the few given."""
        low, centre, high = np.quantile(few, [0.25, 0.5, 0.75], method="inverted_cdf")
        scale = high / 2 - low / 2 or np.abs(few - centre).mean()
        return cls(float(centre), float(scale) if 0 < scale < np.inf else 1.0)

    def places(self, v: Array, count: int) -> Iterator[tuple[slice, Array]]:
        """The bins of the values, from 0 to ``count``, not rounded down, chunk by chunk.

        Anything for infinite values.
        """
        own, work = np.empty(min(CHUNK, len(v))), np.empty(min(CHUNK, len(v)))
        # arrays of all values would cost more time than what is done with them
        for i in range(0, len(v), CHUNK):
            at = slice(i, min(i + CHUNK, len(v)))
            u, size = own[: at.stop - i], work[: at.stop - i]
            np.subtract(v[at], self.centre, out=u)
            u /= self.scale
            np.abs(u, out=size)
            size += 1
            u /= size
            u += 1
            u *= 0.5 * count
            yield at, u

    def numbers(self, v: Array, count: int) -> NDArray[np.uint16]:
        """The bins of the values (n,), rounded down."""
        out = np.empty(len(v), np.uint16)
        for at, u in self.places(v, count):
            out[at] = u
        return out

    def edges(self, count: int) -> Array:
        """Inner edges (count − 1,)."""
        u = 2 * np.arange(1, count) / count - 1
        return np.asarray(self.centre + self.scale * (u / (1 - np.abs(u))))


def _bins(v: Array) -> Bins | None:
    """Bins that spread the values; None where there are few of them, or most would share few bins."""
    if len(v) < LARGE:
        return None
    few = np.sort(v[:: len(v) // FEW])
    low, centre, high = few[len(few) // 4], few[len(few) // 2], few[3 * len(few) // 4]
    scale = high / 2 - low / 2
    if not (0 < scale < np.inf):
        return None
    bins = Bins(centre, scale)
    used = np.unique(bins.numbers(few[np.isfinite(few)], BINS))
    return bins if len(used) > len(few) / 4 else None


def _by_bins(v: Array) -> Places | None:
    """Places (n,) that put the values nearly in order, equal ones in the order given."""
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values may go anywhere
        bins = _bins(v)
        return None if bins is None else np.argsort(bins.numbers(v, 65_535), kind="stable")


class _Kept(threading.local):
    """Memory that a thread keeps for its sorts.

    To fetch it from the system takes longer than a sort by vectors.
    """

    def __init__(self) -> None:
        self.arrays: dict[int, Array] = {}

    def array(self, which: int, n: int) -> Array:
        if n > MOST_KEPT:
            return np.empty(n)
        if which not in self.arrays or len(self.arrays[which]) < n:
            self.arrays[which] = np.empty(n)
        return self.arrays[which][:n]


_KEPT = _Kept()


def in_order(v: Array, which: int = 0) -> Array:
    """The values (n,) sorted, NaN last.

    The next call of the same thread with the same ``which`` overwrites them.

    Examples
    --------
    >>> in_order(np.array([2.0, np.nan, 1.0]))
    array([ 1.,  2., nan])
    """
    places = None if len(v) < LARGE or _by_vectors(np.sort) else _by_bins(v)
    out = _KEPT.array(which, len(v))
    out[:] = v if places is None else v[places]
    out.sort(kind=None if places is None else "stable")
    return out


def argsorted(v: Array) -> Places:
    """Places (n,) of the values in order, equal ones in the order given.

    Examples
    --------
    >>> argsorted(np.array([2.0, 1.0, 2.0]))
    array([1, 0, 2])
    """
    if len(v) >= LARGE and _by_vectors(np.argsort):
        quick = np.argsort(v)
        ordered = v[quick]
        if (ordered[1:] > ordered[:-1]).all():  # no ties, so there is one order
            return quick
    places = _by_bins(v)
    if places is None:
        return np.argsort(v, kind="stable")
    return places[np.argsort(v[places], kind="stable")]


def area(x: Array, y: Array, wx: Array | None, wy: Array | None) -> float | None:
    """The area between two distribution functions, or None where sorting is quicker or values not finite.

    Parameters
    ----------
    x, y : (n,) and (m,) float64 arrays.
    wx, wy : (n,) and (m,) float64 arrays of masses that sum to one, or None for equal ones.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, even = rng.normal(size=30_000), np.full(30_000, 1 / 30_000)
    >>> round(area(x, x + 1, even, None), 12)
    1.0
    """
    if min(len(x), len(y)) < LARGE or (
        wx is None and wy is None and len(x) == len(y) and _by_vectors(np.sort)
    ):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        bins = _bins(x)
        found = None if bins is None else _area(x, y, wx, wy, bins)
    return found if found is not None and np.isfinite(found) else None


def _area(x: Array, y: Array, wx: Array | None, wy: Array | None, bins: Bins) -> float | None:
    if not np.isfinite(x.min() + x.max() + y.min() + y.max()):
        return None
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    # empty bins beyond the values would add rounding
    edges = np.concatenate([[low], np.clip(bins.edges(BINS), low, high), [high]])
    whole = wx is None and wy is None  # then masses are whole numbers, m of each x and n of each y
    sides = [
        _Side.of(x, wx, len(y) if whole else 1 / len(x), bins, edges),
        _Side.of(y, wy, len(x) if whole else 1 / len(y), bins, edges),
    ]
    # steps are summed from the nearer end: what rounding leaves of them lies in no long tail
    steps = sides[0].mass - sides[1].mass
    before = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    upper = slice(int(np.searchsorted(np.cumsum(sides[0].mass), sides[0].mass.sum() / 2)), None)
    before[upper] = -np.cumsum(steps[::-1])[::-1][upper]
    settled = np.where(before >= 0, before >= sides[1].mass, -before >= sides[0].mass)
    if sum(s.mass[~settled].sum() / s.mass.sum() for s in sides) > 2 * MOST_SORTED:
        return None
    inside = before * np.diff(edges) + sides[0].rest - sides[1].rest
    total = float(np.abs(inside[settled]).sum())
    if not settled.all():
        total += _crossing(sides, (x, y), before, edges, ~settled)
    return total / (float(len(x)) * len(y)) if whole else total


class _Side(NamedTuple):
    """One sample in bins: bin of each value, masses, their sums by bin, ∫ of each bin's cdf over it."""

    bin: NDArray[np.uint16]
    weights: Array | None
    each: float
    mass: Array
    rest: Array

    @staticmethod
    def of(v: Array, w: Array | None, each: float, bins: Bins, edges: Array) -> _Side:
        number, mass, rest = np.empty(len(v), np.uint16), np.zeros(BINS), np.zeros(BINS)
        own, work, ends = np.empty(CHUNK, np.intp), np.empty(CHUNK), edges[1:]
        for at, u in bins.places(v, BINS):
            place, until = own[: len(u)], work[: len(u)]
            np.minimum(u, BINS - 1, out=u)
            np.copyto(place, u, casting="unsafe")
            number[at] = place
            np.take(ends, place, out=until, mode="clip")
            until -= v[at]
            if w is not None:
                until *= w[at]
            mass += np.bincount(place, None if w is None else w[at], BINS)
            rest += np.bincount(place, until, BINS)
        unit = each if w is None else 1.0
        return _Side(number, w, each, mass * unit, rest * unit)

    def masses(self, kept: Mask) -> Array:
        """Masses of some of the values."""
        return np.full(int(kept.sum()), float(self.each)) if self.weights is None else self.weights[kept]


def _crossing(
    sides: list[_Side], samples: tuple[Array, Array], before: Array, edges: Array, asked: Mask
) -> float:
    """The area in bins where the difference may change sign.

    A step at the start of each, then its values in order.
    """
    found, kept = np.flatnonzero(asked), [asked[s.bin] for s in sides]
    at = np.concatenate([found, *(s.bin[k] for s, k in zip(sides, kept, strict=True))])
    v = np.concatenate([edges[found], *(v[k] for v, k in zip(samples, kept, strict=True))])
    steps = [s.masses(k) for s, k in zip(sides, kept, strict=True)]
    w = np.concatenate([np.zeros(len(found)), steps[0], -steps[1]])
    v = np.clip(v, edges[at], edges[at + 1])
    order = np.lexsort((v, at))  # stable: the start of a bin comes before its values
    at, v, w = at[order], v[order], np.cumsum(w[order], dtype=np.longdouble)
    first = np.flatnonzero(np.diff(at, prepend=-1))
    level = w + np.repeat(before[found] - np.append(0, w)[first], np.diff(np.append(first, len(v))))
    until = np.append(v[1:], 0.0)
    until[np.append(first[1:], len(v)) - 1] = edges[found + 1]
    return float(np.abs(level).astype(np.float64) @ (until - v))
