"""Batches of a source: rows that are checked and evaluated, and those that the first reading keeps."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.data.cells import Tally
from disteconometrics.data.evaluate import Evaluator, Levels
from disteconometrics.data.formula import Formula
from disteconometrics.data.settle import (
    check_weights,
    factor_value,
    made_missing,
    missing_rows,
    read_columns,
)
from disteconometrics.data.source import Part
from disteconometrics.data.spec import numeric_column
from disteconometrics.data.table import Column, Table
from disteconometrics.errors import DataError, DisteconometricsError

__all__ = [
    "RUN",
    "Batch",
    "FirstBatches",
    "Question",
    "Sample",
    "named",
    "read_batch",
    "recoded",
    "stacked",
    "tables_of",
]

RUN = 128  # consecutive rows that a sample takes together


@dataclass(frozen=True)
class Question:
    """What is asked of every batch."""

    parsed: Formula
    weights: str | None
    weight_type: str | None
    offset: str | None
    outcome: str
    few: tuple[int, int] | None = None  # cells, and numbers of a column, that there must not be more of

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        own = [n for n in (self.weights, self.offset) if n is not None]
        return list(dict.fromkeys([*self.parsed.left.variables, *self.parsed.right_variables, *own]))

    def tally(self) -> Tally:
        """Cells of no rows: of the right side, the offset, and an outcome that is no number."""
        columns = [*self.parsed.right_variables, *([] if self.offset is None else [self.offset])]
        names = tuple(columns if self.outcome == "numeric" else [*columns, self.parsed.left.name])
        if self.few is not None:
            return Tally(names, *self.few)
        return Tally(names, full=self.weights if self.weight_type == "sampling" else None)

    def cell_values(self, batch: Batch) -> tuple[list[Any], Any, Array | None]:
        """The columns of the used rows of a batch by which they are tallied, outcomes if numeric, weights."""
        left = batch.values[0]
        values: list[Any] = [batch.column(name) for name in self.parsed.right_variables]
        if batch.offset is not None:
            values.append(Column(self.offset or "", "number", batch.offset))
        if self.outcome == "numeric":
            return values, left, batch.weights
        if not isinstance(left, Levels):
            left = Column("", "number", np.asarray(left, dtype=np.float64))
        return [*values, left], None, batch.weights


class named:  # noqa: N801 - read as a word after with
    """Errors name the part in which they arose."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, DisteconometricsError) and error.args:
            error.args = (f"In {self.part.name}: {error.args[0]}", *error.args[1:])


def tables_of(part: Part, names: Sequence[str]) -> Iterator[Table]:
    """The batches of a part; a column that it lacks, or has twice, is named."""
    have = part.columns()
    if have:
        empty = Table({name: np.zeros(0) for name in have})
        with named(part):
            for name in names:
                label = empty.find(name, "the formula")
                if have.count(label) > 1:
                    raise DataError(
                        f"Column {name!r} is a duplicate: {have.count(label)} columns have this name; rename "
                        "them."
                    )
    return map(Table, part.tables(names))


# ---- a batch -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Rows of a batch that are used: values of the left side and of the factors, weights, offset."""

    columns: dict[str, Column]
    values: list[Any]
    rows: Indices
    weights: Array | None
    offset: Array | None
    missing: dict[str, int]
    lost: dict[str, int]
    zeros: int

    def column(self, name: str) -> Column:
        """The used rows of a column, without a copy where all are used."""
        column = self.columns[name]
        return column if len(column.values) == len(self.rows) else column.take(self.rows)

    @property
    def nbytes(self) -> int:
        """Of the arrays of its rows."""
        arrays = [value.codes if isinstance(value, Levels) else value for value in self.values]
        return sum(a.nbytes for a in (*arrays, self.weights, self.offset) if isinstance(a, np.ndarray))

    def check(self, before: int) -> int:
        """A check sum of these and of earlier rows: of outcomes and weights, and of some of the factors."""
        for place, value in enumerate([*self.values, self.weights, self.offset]):
            rows = value.codes if isinstance(value, Levels) else value
            if isinstance(rows, np.ndarray):
                every = 64 if 0 < place < len(self.values) else 1
                before = zlib.crc32(np.ascontiguousarray(rows[::every]).tobytes(), before)
        return before

    def runs(self, chosen: Indices) -> Batch:
        """Whole runs of consecutive rows, copied, without the columns."""

        def taken(values: Any) -> Any:
            if values is None:
                return None
            if isinstance(values, Levels):
                return replace(values, codes=taken(values.codes))
            return values[: len(values) // RUN * RUN].reshape(-1, RUN)[chosen].reshape(-1)

        weights, offset, rows = taken(self.weights), taken(self.offset), taken(self.rows)
        values = [taken(value) for value in self.values]
        return replace(self, columns={}, values=values, rows=rows, weights=weights, offset=offset)


def read_batch(asked: Question, table: Table) -> Batch:
    """Evaluate all factors at the rows of a batch where every column and every term has a value."""
    parsed = asked.parsed
    columns = read_columns(parsed, table)
    w = None if asked.weights is None else numeric_column(table, asked.weights, "weights")
    o = None if asked.offset is None else numeric_column(table, asked.offset, "offset")
    check_weights(w, asked.weight_type)
    drop, missing = missing_rows(parsed, columns, [c for c in (w, o) if c is not None], len(table))
    zeros = 0
    if w is not None:
        zero = (w.values == 0) & ~drop
        zeros = int(zero.sum())
        drop |= zero
    rows, lost, values = _settled(parsed, columns, len(table), np.flatnonzero(~drop))
    at = slice(None) if len(rows) == len(table) else rows  # without a copy where all are used
    weights, offset = (None if c is None or c.numbers is None else c.numbers[at] for c in (w, o))
    return Batch(columns, values if len(rows) else [], rows, weights, offset, missing, lost, zeros)


def _settled(
    parsed: Formula, columns: dict[str, Column], n: int, rows: Indices
) -> tuple[Indices, dict[str, int], list[Any]]:
    """Rows where every term has a value, how many each term lost, and the values there."""
    factors = (parsed.left, *parsed.factors)
    lost: dict[str, int] = {}
    values: list[Any] = []
    while len(rows):
        evaluator = Evaluator.of_rows(parsed, columns, n, None if len(rows) == n else rows)
        values = [factor_value(evaluator, factor) for factor in factors]
        made = {f.name: made_missing(f, v) for f, v in zip(factors, values, strict=True)}
        masks = {name: mask for name, mask in made.items() if mask is not None}
        if not masks:
            break
        for name, mask in masks.items():
            lost[name] = lost.get(name, 0) + int(mask.sum())
        rows = rows[~np.logical_or.reduce(list(masks.values()))]
    return rows, lost, values


# ---- the first reading's sample ----------------------------------------------------------------------------


class Sample:
    """Runs of rows with the lowest of random numbers that belong to their places, which parts share.

    ``number`` is that of the part; the seed is fixed, so the same source gives the same rows.
    """

    def __init__(self, most: int = 0, number: int = 0) -> None:
        self.most, self.pieces = most, list[_Piece]()
        self._rng = np.random.default_rng([20240501, number])
        self._below = 1.0

    def take(self, batch: Batch, held: bool = False) -> None:
        """Keep runs of a batch; they are copied later where the batch is held by another."""
        priority = self._rng.random(len(batch.rows) // RUN)
        chosen = np.flatnonzero(priority < self._below)
        if len(chosen):
            self.pieces.append(_Piece(priority[chosen], chosen, replace(batch, columns={})))
            self._cut(3 * self.most // 2)
        if not held:
            self.copy()

    def merge(self, other: Sample, held: bool = False) -> None:
        """Add the runs of a later part."""
        self.pieces += other.pieces
        self._cut(3 * self.most // 2)
        if not held:
            self.copy()

    def copy(self) -> None:
        """Let the batches go."""
        self.pieces = [piece.own() for piece in self.pieces]

    def _cut(self, bound: int) -> None:
        """Keep the most that there may be, where there are more than a bound."""
        every = self._priorities()
        if len(every) > bound:
            self._below = float(np.partition(every, self.most)[self.most])
            self.pieces = self._under(self._below)

    def _priorities(self) -> Array:
        return np.concatenate([np.zeros(0), *(piece.priority for piece in self.pieces)])

    def _under(self, bound: float) -> list[_Piece]:
        """The pieces of runs below a bound."""
        return [piece for p in self.pieces if len((piece := p.under(bound)).priority)]

    def rows(self, most: int) -> list[Batch]:
        """The batches of a sample with about ``most`` rows."""
        every = np.sort(self._priorities())
        runs = min(self.most, max(1, most // RUN))
        return [piece.taken() for piece in self._under(every[runs] if runs < len(every) else 1.0)]


@dataclass(frozen=True)
class _Piece:
    """Runs of a batch by their random numbers; ``places`` are theirs in the batch (None: all there are)."""

    priority: Array
    places: Indices | None
    batch: Batch

    def __getstate__(self) -> dict[str, Any]:
        """Other rows do not travel."""
        return dict(self.own().__dict__)

    def under(self, bound: float) -> _Piece:
        """The runs below a bound, not copied."""
        at = np.flatnonzero(self.priority < bound)
        if len(at) == len(self.priority):
            return self
        return _Piece(self.priority[at], at if self.places is None else self.places[at], self.batch)

    def own(self) -> _Piece:
        """The same without a hold on other rows."""
        return self if self.places is None else _Piece(self.priority, None, self.taken())

    def taken(self) -> Batch:
        """The rows."""
        return self.batch if self.places is None else self.batch.runs(self.places)


class FirstBatches:
    """What the first reading gave, by part, to be coded once the design is known; nothing if it is too much.

    ``room`` is how many bytes there may be, ``share`` how many of a part, so that much is let go of early.
    """

    def __init__(self, room: float, share: float) -> None:
        self.room, self.share, self.are_whole = room, share, room >= 0
        self.parts: dict[int, list[tuple[int, Batch]]] = {}
        self._bytes: dict[int, int] = {}

    def take(self, number: int, given: int, batch: Batch) -> None:
        """Keep a batch, of so many rows given, of a part."""
        own = self._bytes[number] = self._bytes.get(number, 0) + batch.nbytes
        self.are_whole = own <= self.share and sum(self._bytes.values()) <= self.room
        if self.are_whole:
            self.parts.setdefault(number, []).append((given, replace(batch, columns={})))
        else:
            self.parts = {}


def stacked(batches: Sequence[Batch], levels: dict[int, tuple[Any, ...]]) -> Batch:
    """One batch of several, at least one; levels by factor are those of all rows, or those that occur."""

    def joined(arrays: Sequence[Any]) -> Any:
        return None if arrays[0] is None else np.concatenate(arrays)

    values = []
    for i, parts in enumerate(zip(*(batch.values for batch in batches), strict=True), start=-1):
        if not isinstance(parts[0], Levels):
            values.append(joined(parts))
            continue
        known = levels.get(i) or tuple(dict.fromkeys(level for part in parts for level in part.levels))
        coded = [recoded(part, known) for part in parts]
        values.append(replace(coded[0], codes=joined([part.codes for part in coded])))
    rows, weights, offset = (
        joined([getattr(b, name) for b in batches]) for name in ("rows", "weights", "offset")
    )
    return replace(batches[0], values=values, rows=rows, weights=weights, offset=offset)


def recoded(value: Levels, levels: tuple[Any, ...]) -> Levels:
    """The same factor with the levels of all rows; what is not among them stands in no used row."""
    if value.levels == levels:
        return value
    place = {level: i for i, level in enumerate(levels)}
    to = np.array([place.get(level, -1) for level in value.levels], dtype=np.intp)
    return Levels(to[value.codes], levels, value.contrasts, value.spans_intercept)
