"""The one thing engines consume: rows of outcome, design and weights, a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice, starmap
from typing import Any, NamedTuple, Protocol, cast, overload

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask

__all__ = [
    "Block",
    "FactorMatrix",
    "LazyBlocks",
    "OneByOne",
    "PartResult",
    "Readable",
    "Run",
    "StreamedBlocks",
    "chosen_rows",
    "chunk_rows",
    "columns",
    "dense_block",
    "densified",
    "each_row",
    "width",
]


CHUNK_BYTES = 1_000_000  # of X: with its scaled copy this stays inside a 2 MB cache
ROWS = 32_768  # a chunk where the columns are few: vectors of a row length then decide, and they fit too
FEW_COLUMNS = 16  # up to which they are few


def chunk_rows(k: int) -> int:
    """How many rows of k columns a pass takes at once.

    Examples
    --------
    >>> chunk_rows(10), chunk_rows(100)
    (32768, 1250)
    """
    return ROWS if k <= FEW_COLUMNS else max(256, CHUNK_BYTES // (8 * k))


class FactorMatrix:
    """A design (n, k) whose columns at … at + c belong to one factor, kept as codes instead of columns.

    It offers what a pass over the rows needs, X·β, r'X and X'WX, at the cost of the other columns alone.

    Parameters
    ----------
    other : (n, k − c) float64 array, column-major, the columns before and after those of the factor.
    codes : (n,) intp array, the level of each row.
    coding : (levels, c) float64 array, what a level puts into the factor's columns.
    at : int, position of the first of them.

    Examples
    --------
    >>> X = FactorMatrix(np.ones((3, 1), order="F"), np.array([0, 1, 1]), np.array([[0.0], [1.0]]), 1)
    >>> X @ np.array([2.0, 3.0]), np.ones(3) @ X
    (array([2., 5., 5.]), array([3., 2.]))
    """

    __array_ufunc__ = None  # so that numpy leaves r @ X to us

    def __init__(
        self, other: Array, codes: Indices, coding: Array, at: int, apart: bool | None = None
    ) -> None:
        self.other, self.codes, self.coding, self.at = other, codes, coding, at
        # whether no level puts something into two columns, as under treatment coding
        self.apart = bool((np.count_nonzero(coding, axis=1) <= 1).all()) if apart is None else apart

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.codes), self.other.shape[1] + self.coding.shape[1]

    @property
    def size(self) -> int:
        """Entries of the matrix that it stands for."""
        return self.shape[0] * self.shape[1]

    def _order(self) -> Indices:
        """Positions of the other columns."""
        own = range(self.at, self.at + self.coding.shape[1])
        return np.array([j for j in range(self.shape[1]) if j not in own], dtype=np.intp)

    def __getitem__(self, rows: Any) -> FactorMatrix:
        return FactorMatrix(self.other[rows], self.codes[rows], self.coding, self.at, self.apart)

    def __matmul__(self, beta: Array) -> Array:
        c = self.coding.shape[1]
        product = self.other @ np.delete(beta, slice(self.at, self.at + c), axis=0)
        product += (self.coding @ beta[self.at : self.at + c])[self.codes]
        return np.asarray(product)

    def __rmatmul__(self, r: Array) -> Array:
        own = np.bincount(self.codes, r, len(self.coding)) @ self.coding
        return np.asarray(np.insert(r @ self.other, self.at, own) if len(own) else r @ self.other)

    def gram(self, weights: Array) -> Array:
        """X'WX (k, k)."""
        levels, order = len(self.coding), self._order()
        own = np.arange(self.at, self.at + self.coding.shape[1])
        weighted = self.other.T * weights
        H = np.empty((self.shape[1],) * 2)
        H[np.ix_(order, order)] = weighted @ self.other
        cross = (
            self.coding.T
            @ np.array([np.bincount(self.codes, row, levels) for row in weighted]).reshape(-1, levels).T
        )
        H[np.ix_(own, order)], H[np.ix_(order, own)] = cross, cross.T
        total = np.bincount(self.codes, weights, levels)
        if self.apart:  # the same products without those of zeros
            H[self.at : self.at + len(own), self.at : self.at + len(own)] = 0.0
            H[own, own] = total @ np.square(self.coding)
        else:
            H[np.ix_(own, own)] = (self.coding.T * total) @ self.coding
        return H

    def dense(self) -> Array:
        """All columns (n, k), row-major."""
        X = np.empty(self.shape)
        X[:, self._order()] = self.other
        X[:, self.at : self.at + self.coding.shape[1]] = self.coding[self.codes]
        return X


class Block(NamedTuple):
    """Rows of a design, float64: ``y`` (m,), ``X`` (m, k) row-major, ``weights``, ``offset`` (m,) or None.

    ``X`` may be a `FactorMatrix` (declared an array, since passes treat it as one); what needs columns asks
    for `densified`.  ``groups`` (m, q) are codes of the rows in groupings that a pass over a source asks for.
    """

    y: Array
    X: Array
    weights: Array | None = None
    offset: Array | None = None
    groups: Indices | None = None

    def rows(self, at: Any) -> Block:
        """Some rows: views of a slice, copies of a mask or positions."""
        weights, offset, groups = (None if a is None else a[at] for a in self[2:])
        return Block(self.y[at], self.X[at], weights, offset, groups)


class LazyBlocks(Sequence[Block]):
    """Blocks made from parts when iterated, or once and kept.

    Parameters
    ----------
    parts : consecutive blocks of rows, each small enough to be made at once.
    make : function of a part.
    keep : bool, whether to hold what is made in memory.
    """

    def __init__(self, parts: Sequence[Block], make: Callable[[Block], Block], keep: bool = False) -> None:
        self.parts, self._make = parts, make
        self._kept = [make(part) for part in parts] if keep else None

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


class PartResult(NamedTuple):
    """What a function made of the blocks of a part, and the values behind their codes of groups."""

    value: Any
    groups: tuple[Sequence[Any], ...]


class Run(Protocol):
    """Calls a function with each part and more arguments, here or elsewhere; ``columns`` are those read.

    ``place`` says where that is now, ``is_here`` whether in this process; ``keepers`` is the number of
    processes in which something is kept until it is let go.
    """

    @property
    def place(self) -> Any: ...
    @property
    def is_here(self) -> bool: ...
    @property
    def keepers(self) -> int: ...
    def __call__(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], columns: Sequence[str]
    ) -> Iterable[Any]:
        """The results in order."""
        ...

    def keep(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], columns: Sequence[str]
    ) -> list[Any]:
        """What stands for the results among arguments of later calls, whereas they stay where they are."""
        ...


class OneByOne:
    """The plain `Run`.

    Examples
    --------
    >>> OneByOne().keep(pow, [(2, 3)], [])
    [8]
    """

    place, is_here, keepers = None, True, 1

    def __call__(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], columns: Sequence[str]
    ) -> Iterable[Any]:
        return starmap(function, calls)

    def keep(
        self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], columns: Sequence[str]
    ) -> list[Any]:
        """The results themselves."""
        return list(self(function, calls, columns))


class Readable(Protocol):
    """Rows that are read again and again, in parts whose order is fixed."""

    def read(self, each_row: bool) -> Iterator[Block]: ...
    def by_part(
        self, function: Callable[[Iterator[Block]], Any], columns: Sequence[str], each_row: bool
    ) -> list[PartResult]: ...
    def sample(self, rows: int) -> list[Block]: ...
    def check_keys(self) -> None: ...
    @property
    def is_small(self) -> bool: ...
    @property
    def width(self) -> int: ...


class StreamedBlocks(Sequence[Block]):
    """Blocks that are read anew whenever they are iterated, and changed on the way by functions of a block.

    Parameters
    ----------
    rows : what reads them.
    makes : functions of a block, each of what the one before made.
    each_row : bool, whether a row stands for itself; without, fewer rows with weights may have the sums of
        all.
    """

    def __init__(
        self, rows: Readable, makes: tuple[Callable[[Block], Block], ...] = (), each_row: bool = False
    ) -> None:
        self.rows, self.makes, self.each_row = rows, makes, each_row

    @property
    def is_small(self) -> bool:
        """Whether rows may be in memory between passes, so that one for the score alone costs little."""
        return self.rows.is_small

    def mapped(self, make: Callable[[Block], Block]) -> StreamedBlocks:
        """The same blocks, changed by one more function."""
        return StreamedBlocks(self.rows, (*self.makes, make), self.each_row)

    def by_part(
        self, function: Callable[[Iterator[Block]], Any], columns: Sequence[str] = ()
    ) -> list[PartResult]:
        """What a function makes of the blocks of every part, in the order of the parts: one reading.

        ``columns`` are those whose values group the rows.  The function may run elsewhere.
        """
        return self.rows.by_part(partial(_of_changed, self.makes, function), columns, self.each_row)

    @property
    def width(self) -> int:
        """Columns of the design, without a reading."""
        empty = Block(np.zeros(1), np.zeros((1, self.rows.width)))
        return int(next(_changed([empty], self.makes)).X.shape[1])

    def sample(self, rows: int) -> list[Block]:
        """About so many rows at most, which the first reading kept, as runs of consecutive ones."""
        return list(_changed(self.rows.sample(rows), self.makes))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, i: int) -> Block: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Block]: ...
    def __getitem__(self, i: int | slice) -> Block | Sequence[Block]:
        if isinstance(i, slice):
            return list(self)[i]
        return next(islice(iter(self), i, None))

    def __iter__(self) -> Iterator[Block]:
        return _changed(self.rows.read(self.each_row), self.makes)


def _changed(blocks: Iterable[Block], makes: Sequence[Callable[[Block], Block]]) -> Iterator[Block]:
    for block in blocks:
        for make in makes:
            block = make(block)
        yield block


def _of_changed(
    makes: Sequence[Callable[[Block], Block]],
    function: Callable[[Iterator[Block]], Any],
    blocks: Iterable[Block],
) -> Any:
    return function(_changed(blocks, makes))


def each_row(blocks: Sequence[Block]) -> Sequence[Block]:
    """Blocks in which a row stands for itself, and positions are those of the rows used."""
    return StreamedBlocks(blocks.rows, blocks.makes, True) if isinstance(blocks, StreamedBlocks) else blocks


def width(blocks: Sequence[Block]) -> int:
    """Columns of the design."""
    return int(blocks.width if isinstance(blocks, StreamedBlocks) else blocks[0].X.shape[1])


def densified(blocks: Sequence[Block], rows: int = 8192) -> Sequence[Block]:
    """Blocks whose X are arrays: the same ones where they are already, else made some rows at a time."""
    if isinstance(blocks, StreamedBlocks):
        return blocks.mapped(dense_block)
    if not any(isinstance(cast(Any, b.X), FactorMatrix) for b in blocks):
        return blocks
    return LazyBlocks(
        [b.rows(slice(i, i + rows)) for b in blocks for i in range(0, max(len(b.y), 1), rows)], dense_block
    )


def chosen_rows(blocks: Sequence[Block], rows: Mask) -> Iterator[Block]:
    """Some of the rows over all blocks, of each block that has such in turn, with all their columns."""
    start = 0
    for block in densified(each_row(blocks)):
        own = rows[start : start + len(block.y)]
        if own.any():
            yield block.rows(own)
        start += len(block.y)


def columns(X: Any) -> Array:
    """A design (n, k) as an array, with all its columns."""
    made: Array = X.dense() if isinstance(X, FactorMatrix) else X
    return made


def dense_block(block: Block) -> Block:
    """The block with all its columns."""
    return block._replace(X=columns(block.X))
