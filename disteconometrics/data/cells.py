"""Rows of a source by cell: where the columns of the right side take few values, cells tell all of them.

A cell is a combination of values of these columns and of the offset.  Of a binary outcome counts are enough;
of a numeric one under a normal law the first four moments of a cell are, which three points have as well:
sums of scores and of their squares are then those of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.data.evaluate import Levels
from disteconometrics.data.table import Column, Table
from disteconometrics.errors import DataError

__all__ = ["Groups", "Moments", "Tally", "cell_columns", "three_points"]

MOST_CELLS = 10_000
MOST_CODES = 1_000_000  # combinations that are looked up in a table
LOOKED_AT = 2_048  # rows of a column that are looked at first
SPAN = 65_536  # of whole numbers that are their own codes


@dataclass
class Moments:
    """Of a numeric outcome: sums of weights, mean and squares around it, less the offset; its own range."""

    mass: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, y: Array, weights: Array | None, offset: Array | None) -> Moments:
        """Of some rows."""
        left = y if offset is None else y - offset
        mass = float(len(y) if weights is None else weights.sum())
        mean = float(np.average(left, weights=weights))
        around = left - mean
        squares = float(around @ around if weights is None else weights @ (around * around))
        return cls(mass, mean, squares, float(y.min()), float(y.max()))

    def merge(self, other: Moments) -> None:
        """Add those of other rows."""
        mass = self.mass + other.mass
        if not mass:
            return
        apart = other.mean - self.mean
        self.mean += apart * (other.mass / mass)
        self.squares += other.squares + apart**2 * (self.mass * other.mass / mass)
        self.mass, self.low, self.high = mass, min(self.low, other.low), max(self.high, other.high)

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return float(np.sqrt(self.squares / self.mass))


@dataclass
class Tally:
    """Cells of rows with sums over these, added batch by batch; it ends where cells are many.

    ``names`` are the columns.  ``sums`` (cells, 5) are a count, the mean of the outcome and Σ(y − mean)^j for
    j = 2, 3, 4; where the outcome is one of the columns, counts alone.  ``full`` names a column that took it
    beyond ``most`` cells, or ``most_numbers`` of its own, None while none has.

    Examples
    --------
    >>> tally = Tally(("d",))
    >>> tally.add([Column("d", "number", np.array([0.0, 1.0, 0.0]))], np.array([1.0, 5.0, 3.0]), None, 3)
    >>> list(tally.places), tally.sums[:, :3].tolist()
    ([(0.0,), (1.0,)], [[2.0, 2.0, 2.0], [1.0, 5.0, 0.0]])
    """

    names: tuple[str, ...] = ()
    most: int = MOST_CELLS
    most_numbers: int = MOST_CELLS
    places: dict[tuple[Any, ...], int] = field(default_factory=dict)
    sums: Array = field(default_factory=lambda: np.zeros((0, 5)))
    full: str | None = None

    def add(self, values: Sequence[Any], y: Array | None, weights: Array | None, m: int) -> None:
        """Add m rows with columns or levels, and outcomes y (m,), None if that is the last column."""
        found = None if self.full is not None else self.find(values, m)
        if found is not None:
            cells, at = found
            self._add(cells, _moments(at, len(cells), y, weights))

    def merge(self, other: Tally) -> None:
        """Add the cells of a later part."""
        self.full = self.full or other.full
        if self.full is None:
            self._add(list(other.places), other.sums)

    def find(self, values: Sequence[Any], m: int) -> tuple[list[tuple[Any, ...]], Indices] | None:
        """The cells that m rows have, and in which of these each is (m,); None where there are too many."""
        joint, combined = np.zeros(m, dtype=np.intp), np.zeros((1, 0), dtype=np.intp)
        meanings: list[Any] = []
        for name, column in zip(self.names, values, strict=True):
            codes, meaning = _coded(column)
            size = len(meaning)
            joint = joint * size + codes
            distinct, joint = _distinct(joint, len(combined) * size)
            if size == 0 or len(distinct) > self.most:
                self.full = name
                return None
            combined = np.column_stack([combined[distinct // size], distinct % size])
            meanings.append(meaning)
        told = [[of[i] for i in column] for of, column in zip(meanings, combined.T.tolist(), strict=True)]
        return (list(zip(*told, strict=True)) if told else [()]), joint

    def _add(self, cells: Sequence[tuple[Any, ...]], sums: Array) -> None:
        known = len(self.places)
        at = np.array([self.places.setdefault(cell, len(self.places)) for cell in cells], dtype=np.intp)
        if len(self.places) > known:
            self._check()
        grown = np.zeros((len(self.places), 5))
        grown[: len(self.sums)] = self.sums
        grown[at] = _joined(grown[at], sums)
        self.sums = grown

    def _check(self) -> None:
        """See whether there are too many cells, or numbers of a column."""
        if len(self.places) <= min(self.most, self.most_numbers):
            return
        values = [set(column) for column in zip(*self.places, strict=True)]
        numbers = [len(v) if isinstance(next(iter(v)), float) else 0 for v in values]
        if max(numbers) > self.most_numbers:
            self.full = self.names[int(np.argmax(numbers))]
        elif len(self.places) > self.most:
            self.full = self.names[int(np.argmax([len(v) for v in values]))]


def _coded(column: Any) -> tuple[Indices, Any]:
    """Codes (m,) of a column and what they stand for; nothing where these are too many."""
    if isinstance(column, Levels):
        return column.codes, column.levels
    if column.numbers is None:
        return column.codes, column.levels
    v = column.numbers
    low, high = float(v.min()), float(v.max())
    if high - low < SPAN:
        codes = (v - low).astype(np.intp)
        if (codes + low == v).all():
            return codes, (low + np.arange(int(high - low) + 1.0)).tolist()
    if len(v) > LOOKED_AT and len(np.unique(v[:LOOKED_AT])) > LOOKED_AT // 2:
        return np.zeros(len(v), np.intp), []
    found, at = np.unique(v, return_inverse=True)
    return at.reshape(-1), found.tolist()


def _distinct(codes: Indices, size: int) -> tuple[Indices, Indices]:
    """Distinct codes in order, all below a size, and which of them each row (m,) has."""
    if size > MOST_CODES:
        distinct, at = np.unique(codes, return_inverse=True)
        return distinct, at.reshape(-1)
    there = np.bincount(codes, minlength=1) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[codes]


def _moments(at: Indices, cells: int, y: Array | None, w: Array | None) -> Array:
    """Sums (cells, 5) of rows in cells ``at`` (m,)."""
    out = np.zeros((cells, 5))
    out[:, 0] = np.bincount(at, w, cells)
    if y is None:
        return out
    mean = y[np.unique(at, return_index=True)[1]] if len(at) < cells else np.zeros(cells)
    for _ in range(2):  # the second time for the digits
        off = y - mean[at]
        mean += np.bincount(at, off if w is None else off * w, cells) / out[:, 0]
    off = y - mean[at]
    power = off if w is None else off * w
    out[:, 1] = mean
    for j in (2, 3, 4):
        power = power * off
        out[:, j] = np.bincount(at, power, cells)
    return out


def _joined(a: Array, b: Array) -> Array:
    """Sums (cells, 5) of both, without a loss of digits.

    Pébay (2008), Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
    statistical moments, Sandia Report SAND2008-6212.
    """
    (na, ma, a2, a3, a4), (nb, mb, b2, b3, b4) = a.T, b.T
    n, d = na + nb, np.where(na > 0, mb - ma, 0.0)
    s = nb / n
    r = 1 - s
    mean = np.where(na > 0, ma + s * d, mb)
    two = a2 + b2 + na * s * d**2
    three = a3 + b3 + na * s * (r - s) * d**3 + 3 * (r * b2 - s * a2) * d
    four = a4 + b4 + na * s * (r * r - r * s + s * s) * d**4
    four += 6 * (s * s * a2 + r * r * b2) * d**2 + 4 * (r * b3 - s * a3) * d
    return np.column_stack([n, mean, two, three, four])


def three_points(sums: Array) -> tuple[Indices, Array, Array]:
    """Points with the first four moments of cells: their cell, place and mass.

    With skewness s and kurtosis q of a cell, outer points are the roots of t² − s·t + s² − q, the third is
    the mean.

    Parameters
    ----------
    sums : (cells, 5) array, as `Tally` has them.

    Examples
    --------
    >>> cell, y, mass = three_points(np.array([[4.0, 1.0, 8.0, 0.0, 32.0]]))
    >>> (mass * (y - 1) ** 4).sum().round(12), mass.sum()
    (np.float64(32.0), np.float64(4.0))
    """
    n, mean, two, three, four = sums.T
    sd = np.sqrt(two / n)
    unit = np.where(sd > 0, sd, 1.0)
    s, q = three / (n * unit**3), four / (n * unit**4)
    q = np.maximum(q, s * s + 1.0)
    half = np.sqrt(4 * q - 3 * s * s) / 2
    low, high = s / 2 - half, s / 2 + half
    shares = np.array([1 / (low * (low - high)), 1 / (high * (high - low))])
    middle = np.maximum(1 - 1 / (q - s * s), 0.0)
    mass = n * np.array([shares[0], middle, shares[1]])
    mass[:, sd == 0] = np.array([[0.0], [1.0], [0.0]]) * n[sd == 0]
    y = mean + sd * np.array([low, np.zeros(len(n)), high])
    kept = mass > 0
    return np.broadcast_to(np.arange(len(n)), mass.shape)[kept], y[kept], mass[kept]


def cell_columns(
    names: Sequence[str],
    cells: Sequence[tuple[Any, ...]],
    kinds: Mapping[str, tuple[str, tuple[Any, ...]]],
    floats: frozenset[str],
) -> dict[str, Column]:
    """The columns of cells, one row for each, in kinds and levels of all rows.

    ``floats`` are columns of numbers that are not all whole.
    """
    out: dict[str, Column] = {}
    for name, values in zip(names, zip(*cells, strict=True), strict=True):
        kind, levels = kinds[name]
        if kind == "level":
            place = {level: i for i, level in enumerate(levels)}
            codes = np.array([place[value] for value in values], dtype=np.intp)
            out[name] = Column(name, kind, codes=codes, levels=levels)
        else:
            numbers = np.array(values, dtype=np.float64)
            whole = kind == "number" and name not in floats
            out[name] = Column(name, kind, numbers, numbers.astype(np.int64) if whole else None)
    return out


class Groups:
    """Codes of a column's distinct values, in the order in which a part has them."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._known = pd.Index([])

    @property
    def values(self) -> list[Any]:
        """What the codes stand for."""
        return list(self._known)

    def codes(self, table: Table, rows: Indices) -> Indices:
        """Codes (m,) of some rows.  Raises: MissingColumnError; DataError if a value is missing."""
        values = pd.Series(table.raw(self.column, "cluster"))
        values = values.reset_index(drop=True) if len(rows) == len(values) else values.iloc[rows]
        codes, distinct = pd.factorize(values)
        if (codes < 0).any():
            raise DataError(
                f"The cluster column {self.column!r} has {(codes < 0).sum()} missing values among the rows "
                "used; fill them, or drop these rows before the fit"
            )
        return np.asarray(self._places(pd.Index(distinct))[codes])

    def _places(self, found: pd.Index) -> Indices:
        """Codes of distinct values, new ones after those known."""
        if isinstance(found.dtype, pd.CategoricalDtype) or (
            len(self._known) and found.dtype != self._known.dtype
        ):
            found, self._known = found.astype(object), self._known.astype(object)
        at = self._known.get_indexer(found) if len(self._known) else np.full(len(found), -1)
        new = at < 0
        if new.any():
            at[new] = len(self._known) + np.arange(new.sum())
            self._known = self._known.append(found[new]) if len(self._known) else found[new]
        return np.asarray(at, dtype=np.intp)
