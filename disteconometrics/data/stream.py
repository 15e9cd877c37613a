"""Rows of a source as engines read them: batches that are checked and coded, part by part, in every pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.blocks import Block, FactorMatrix, PartResult, Run, StreamedBlocks, chunk_rows
from disteconometrics.data.batches import (
    Batch,
    FirstBatches,
    Question,
    Sample,
    named,
    read_batch,
    recoded,
    stacked,
    tables_of,
)
from disteconometrics.data.cells import Groups, Moments, Tally, cell_columns, three_points
from disteconometrics.data.design import RowCount
from disteconometrics.data.disk import BlockFile, TemporaryFolder, is_on_disk
from disteconometrics.data.evaluate import Evaluator, Levels
from disteconometrics.data.outcome import recode_outcome
from disteconometrics.data.settle import factor_value
from disteconometrics.data.source import Part, Source
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.table import Column, Table
from disteconometrics.data.terms import Cells, Coded, Structure, code_groups, pieces
from disteconometrics.errors import DataError, NeedsRows

__all__ = ["KEPT_BYTES", "Mark", "StreamDesign"]

ROWS_A_CELL = 10  # from which on cells are fitted in place of rows
KEPT_BYTES = 200_000_000  # of coded rows in a process, up to which cache="auto" keeps them between passes
_OF_ROWS = ("y", "X", "matrix", "weights", "offset", "kept", "index", "table", "column", "times")


class Mark(NamedTuple):
    """What a part must be at every reading: its key, the rows used, and a check sum of these."""

    key: Any
    used: int
    check: int


# ---- parts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reader:
    """What is needed to read and to code a part anywhere; it must be as ``mark`` says."""

    mark: Mark
    spec: DesignSpec
    asked: Question
    scale: float | None  # of sampling weights, for a mean of one

    def batches(self, part: Part, more: Sequence[str] = ()) -> Iterator[tuple[Table, Batch]]:
        """The tables of a part, with ``more`` columns, and their rows that are used.

        Raises: DataError if the part is not what it was.
        """
        if part.key() != self.mark.key:
            raise _changed(part)
        seen = check = 0
        for table in tables_of(part, list(dict.fromkeys([*self.asked.names, *more]))):
            batch = read_batch(self.asked, table)
            if len(batch.rows):
                seen, check = seen + len(batch.rows), batch.check(check)
            yield table, batch
        if (seen, check) != self.mark[1:]:
            raise _changed(part)

    def blocks(self, part: Part, groups: Sequence[Groups] = ()) -> Iterator[Block]:
        """The rows once.  Raises: DataError if the part is not what it was."""
        for table, batch in self.batches(part, [g.column for g in groups]):
            if not len(batch.rows):
                continue
            codes = _codes(part, table, groups, batch.rows) if groups else None
            yield from self.coded(batch).blocks(codes)

    def coded(self, batch: Batch) -> _Coded:
        """The used rows of a batch by column."""
        left, *values = batch.values
        for i, levels in self.spec.levels.items():
            values[i] = recoded(values[i], levels)
        structure = self.spec.structure
        groups = code_groups(structure, self.asked.parsed.factors, values)
        w = batch.weights
        if w is not None and self.scale is not None:
            w = w * self.scale
        return _Coded(_outcome(self.spec, left), structure, groups, w, batch.offset)


class _Coded(NamedTuple):
    """Coded rows by column, as they were given where these are numbers; every pass makes blocks of them."""

    y: Array
    structure: Structure
    columns: list[list[Coded]]
    weights: Array | None
    offset: Array | None

    def blocks(self, groups: Indices | None = None) -> Iterator[Block]:
        """Blocks of as many rows as a pass takes at once; all rows in one where they are grouped."""
        n = len(self.y)
        for rows, X in pieces(self.structure, self.columns, n, None if groups is None else n):
            weights, offset = (None if a is None else a[rows] for a in (self.weights, self.offset))
            yield Block(self.y[rows], cast(Array, X), weights, offset, groups)

    def block(self) -> Block:
        """All rows."""
        ((_, X),) = pieces(self.structure, self.columns, len(self.y), len(self.y))
        return Block(self.y, cast(Array, X), self.weights, self.offset)


def _outcome(spec: DesignSpec, left: Any) -> Array:
    """The outcome; 0 and 1 are themselves, without looking for distinct values."""
    if spec.outcome.levels == (0.0, 1.0) and not isinstance(left, Levels):
        y = np.asarray(left, dtype=np.float64)
        if ((y == 0.0) | (y == 1.0)).all():
            return y
    return recode_outcome(spec.outcome, left)


def _codes(part: Part, table: Table, groups: Sequence[Groups], rows: Indices) -> Indices:
    """Codes (m, q) of some rows in groupings."""
    with named(part):
        return np.column_stack([g.codes(table, rows) for g in groups])


def _read_part(
    part: Part, reader: _Reader, function: Callable[[Iterator[Block]], Any], columns: Sequence[str]
) -> PartResult:
    """What a function makes of the blocks of a part."""
    groups = [Groups(column) for column in columns]
    value = function(reader.blocks(part, groups))
    return PartResult(value, tuple(g.values for g in groups))


class _Kept(NamedTuple):
    """Coded rows of a part in blocks of such sizes, and which of the rows given they are (None: all)."""

    batches: list[_Coded] | BlockFile
    sizes: list[int]
    given: int
    used: Any  # bits


def _kept_part(part: Part, reader: _Reader, file: BlockFile | None = None) -> _Kept:
    """Code a part to keep it."""
    return _kept(reader, ((len(table), batch) for table, batch in reader.batches(part)), file)


def _kept(reader: _Reader, batches: Iterable[tuple[int, Batch]], file: BlockFile | None = None) -> _Kept:
    """Code the batches of a part, each with the number of the rows that it was given, in memory or a file."""
    coded, sizes, used = list[_Coded](), list[int](), [np.zeros(0, dtype=bool)]
    for rows, batch in batches:
        used.append(np.zeros(rows, dtype=bool))
        used[-1][batch.rows] = True
        if len(batch.rows):
            one = reader.coded(batch)
            if file is None:
                coded.append(one)
            else:
                file.append(one.block())
            sizes.append(len(batch.rows))
    at = np.concatenate(used)
    bits = None if at.all() else np.packbits(at)
    return _Kept(coded if file is None else file, sizes, len(at), bits)


def _of_kept(
    part: Part, kept: _Kept, function: Callable[[Iterator[Block]], Any], columns: Sequence[str]
) -> PartResult:
    """What a function makes of the blocks of a part, kept from an earlier reading; only groups are read."""
    if not columns:
        return PartResult(function(_blocks(kept)), ())
    groups = [Groups(column) for column in columns]
    codes, given = [np.zeros((0, len(groups)), dtype=np.intp)], 0
    used = np.ones(kept.given, bool) if kept.used is None else np.unpackbits(kept.used, count=kept.given)
    for table in tables_of(part, list(dict.fromkeys(columns))):
        rows = np.flatnonzero(used[given : given + len(table)])
        if len(rows):
            codes.append(_codes(part, table, groups, rows))
        given += len(table)
    if given != kept.given:
        raise _changed(part)
    cut = np.split(np.concatenate(codes), np.cumsum(kept.sizes)[:-1])
    return PartResult(function(_blocks(kept, cut)), tuple(g.values for g in groups))


def _blocks(kept: _Kept, groups: Sequence[Indices] | None = None) -> Iterator[Block]:
    """The rows kept, with their codes of groups by batch, if there are any, in blocks as they are read."""
    batches: Iterable[_Coded | Block] = kept.batches
    for batch, own in zip(batches, repeat(None) if groups is None else groups, strict=False):
        if isinstance(batch, _Coded):
            yield from batch.blocks(own)
        elif own is None:
            yield from _cut(batch)
        else:
            yield batch._replace(groups=own)


def _cut(block: Block) -> Iterator[Block]:
    """As many rows as a pass takes at once, in arrays of their own: strides can move the last bit."""
    X: Any = block.X
    step = chunk_rows((X.other if isinstance(X, FactorMatrix) else X).shape[1])
    for start in range(0, len(block.y), step):
        part = block.rows(slice(start, start + step))
        X = part.X
        if isinstance(X, FactorMatrix):
            own: Any = FactorMatrix(np.asfortranarray(X.other), X.codes, X.coding, X.at, X.apart)
        else:
            own = np.asfortranarray(X)
        yield part._replace(X=own)


def _read_batches(
    part: Part,
    asked: Question,
    mark: Mark,
    tally: Tally,
    function: Callable[[Iterator[tuple[Batch, Indices]]], Any],
) -> Any:
    """What a function makes of the batches of a part and the cells of their rows."""
    if part.key() != mark.key:
        raise _changed(part)
    seen = [0, 0]

    def batches() -> Iterator[tuple[Batch, Indices]]:
        for table in tables_of(part, asked.names):
            batch = read_batch(asked, table)
            m = len(batch.rows)
            if not m:
                continue
            found = tally.find(asked.cell_values(batch)[0], m)
            places = [-1] if found is None else [tally.places.get(cell, -1) for cell in found[0]]
            if found is None or min(places) < 0:
                raise _changed(part)
            seen[:] = seen[0] + m, batch.check(seen[1])
            yield batch, np.array(places, dtype=np.intp)[found[1]]

    value = function(batches())
    if tuple(seen) != mark[1:]:
        raise _changed(part)
    return value


def _groups_of(blocks: Iterator[Block]) -> Indices:
    """The codes of the rows of a part."""
    return np.concatenate([np.zeros((0, 1), dtype=np.intp), *(b.groups for b in blocks)])


@dataclass
class _Held:
    """Coded rows by part that are kept between passes, and the place where they are."""

    parts: list[Any] = field(default_factory=list)
    place: Any = None
    is_open: bool = True
    first: FirstBatches | None = None  # of which they can be made
    folder: TemporaryFolder | None = None  # that has them

    def __getstate__(self) -> dict[str, Any]:
        """They do not travel."""
        return {**_Held().__dict__, "is_open": self.is_open}

    def drop(self) -> None:
        """Let go of them."""
        self.parts, self.first, self.is_open = [], None, False
        if self.folder is not None:
            self.folder.delete()


@dataclass(frozen=True, eq=False)
class StreamDesign:
    """A design whose rows are read and coded anew in every pass, or once if they are kept.

    It offers what `Design` does of sums.  ``total`` and ``successes`` are sums of the weights, or counts;
    ``marks`` is what each part must be.  ``run`` calls a function for every part, here or elsewhere;
    ``cache`` is as `check_cache` has it.
    """

    spec: DesignSpec
    rows: RowCount
    cells: tuple[Cells, ...] = field(repr=False)
    source: Source = field(repr=False)
    asked: Question = field(repr=False)
    marks: tuple[Mark, ...] = field(repr=False)
    total: float
    successes: float
    moments: Moments
    zero_one: frozenset[str] = field(repr=False)  # columns of numbers that are 0 or 1 alone
    first: Sample = field(repr=False)
    run: Run = field(repr=False)
    cache: Any = "auto"
    tally: Tally = field(default_factory=Tally, repr=False)
    floats: frozenset[str] = field(default=frozenset(), repr=False)  # columns of numbers not all whole
    readings: list[int] = field(default_factory=lambda: [1], repr=False)
    coded: _Held = field(default_factory=_Held, repr=False)

    @property
    def width(self) -> int:
        """Columns of the design."""
        return len(self.spec.names)

    def blocks(self) -> StreamedBlocks:
        """The rows, with weights of mean one where these are of sampling.  Raises: nothing before a pass."""
        return StreamedBlocks(self)

    def _readers(self) -> list[_Reader]:
        scale = self.rows.used / self.total if self.asked.weight_type == "sampling" else None
        return [_Reader(mark, self.spec, self.asked, scale) for mark in self.marks]

    def read(self, each_row: bool = True) -> Iterator[Block]:
        """Read all parts once, or give the cells that have the sums of all rows, unless ``each_row``.

        Raises: DataError if a part has changed since the first reading.
        """
        if not each_row and self.compact is not None:
            self.check_keys()
            yield self.compact
            return
        if self.keeps and self.run.is_here:
            for kept in self._coded_parts():
                yield from _blocks(kept)
            return
        for part, reader in zip(self.source.parts, self._readers(), strict=True):
            yield from reader.blocks(part)
        self.readings[0] += 1

    def by_part(
        self, function: Callable[[Iterator[Block]], Any], columns: Sequence[str], each_row: bool = True
    ) -> list[PartResult]:
        """What a function makes of the blocks of each part, in order, and what the codes of groups stand for.

        Where cells have the sums of all rows they are the only part, unless ``each_row`` or columns are
        asked.

        Raises: as `read`; DataError and MissingColumnError of the columns.
        """
        if not columns and not each_row and self.compact is not None:
            self.check_keys()
            return [PartResult(function(iter([self.compact])), ())]
        if self.keeps:
            coded = zip(self.source.parts, self._coded_parts(), strict=True)
            known = [(part, kept, function, columns) for part, kept in coded]
            self.readings[0] += bool(columns)
            return list(self.run(_of_kept, known, columns))
        calls = [
            (part, reader, function, columns)
            for part, reader in zip(self.source.parts, self._readers(), strict=True)
        ]
        found = list(self.run(_read_part, calls, list(dict.fromkeys([*self.asked.names, *columns]))))
        self.readings[0] += 1
        return found

    @property
    def cell_columns(self) -> dict[str, Column]:
        """The columns of the right side in the cells of the rows, and of the offset."""
        names = self.tally.names[: len(self.asked.parsed.right_variables) + (self.asked.offset is not None)]
        kinds = {name: self.spec.columns.get(name, ("number", ())) for name in names}
        return cell_columns(names, [cell[: len(names)] for cell in self.tally.places], kinds, self.floats)

    def cell_values(self) -> list[Any]:
        """Values of the factors in the cells."""
        columns, m = self.cell_columns, len(self.tally.places)
        evaluator = Evaluator.of_rows(self.asked.parsed, columns, m, np.arange(m))
        return [factor_value(evaluator, factor) for factor in self.asked.parsed.factors]

    @cached_property
    def compact(self) -> Block | None:
        """Rows whose weights count rows and that have the sums of all rows; None where cells are many."""
        m = len(self.tally.places)
        if self.tally.full is not None or m * ROWS_A_CELL > self.rows.used:
            return None
        if self.asked.outcome == "numeric":
            return self.rows_of_cells(*three_points(self.tally.sums))
        return self.rows_of_cells(np.arange(m), self._cell_outcomes(), self.tally.sums[:, 0])

    def rows_of_cells(self, at: Indices, left: Any, weights: Array | None) -> Block:
        """Rows in cells ``at`` (m,) with outcomes and weights.  Raises: nothing."""
        offset = None if self.asked.offset is None else self.cell_columns[self.asked.offset].values[at]
        values = [left, *(value[at] for value in self.cell_values())]
        return self._readers()[0].coded(Batch({}, values, at, weights, offset, {}, {}, 0)).block()

    def _cell_outcomes(self) -> Any:
        """The outcome of the cells, if it is not numeric."""
        found = [cell[-1] if cell else None for cell in self.tally.places]
        if self.asked.outcome == "numeric" or not any(isinstance(value, str) for value in found):
            return np.array(found)
        levels = tuple(dict.fromkeys(found))
        return Levels(np.array([levels.index(value) for value in found], dtype=np.intp), levels)

    def by_batches(self, function: Callable[[Iterator[tuple[Batch, Indices]]], Any]) -> list[Any]:
        """What a function makes of the batches of each part, whose rows (m,) are in cells by their places.

        Raises: as `read`.
        """
        calls = [
            (part, self.asked, mark, self.tally, function)
            for part, mark in zip(self.source.parts, self.marks, strict=True)
        ]
        found = list(self.run(_read_batches, calls, self.asked.names))
        self.readings[0] += 1
        return found

    @property
    def keeps(self) -> bool:
        """Whether coded rows are kept where they are worked on."""
        if self.cache is None or not self.coded.is_open:
            return False
        return self.cache != "auto" or self._size <= KEPT_BYTES * self.run.keepers

    @property
    def is_small(self) -> bool:
        """Whether a process may keep the coded rows, asked for or not: a fit goes the same way everywhere."""
        return self._size <= KEPT_BYTES

    @property
    def _size(self) -> int:
        """Bytes of the coded rows."""
        return 8 * (self.width + 3) * self.rows.used

    def _coded_parts(self) -> list[Any]:
        """What stands for the coded rows of every part, kept from the first reading or read once more."""
        place, first = self.run.place, self.coded.first
        if self.coded.parts and self.coded.place == place:
            self.check_keys()
            return self.coded.parts
        if is_on_disk(self.cache):
            self.coded.parts = self._written()
        elif first is not None and self.run.is_here:
            self.check_keys()
            readers = enumerate(self._readers())
            self.coded.parts = [_kept(reader, first.parts.pop(i, [])) for i, reader in readers]
        else:
            calls = list(zip(self.source.parts, self._readers(), strict=True))
            self.coded.parts = self.run.keep(_kept_part, calls, self.asked.names)
            self.readings[0] += 1
        self.coded.place, self.coded.first = place, None
        return self.coded.parts

    def _written(self) -> list[_Kept]:
        """Code every part into a file."""
        self.coded.folder = folder = TemporaryFolder(self.cache)
        parts = zip(self.source.parts, self._readers(), strict=True)
        calls = [(part, reader, folder.file(i)) for i, (part, reader) in enumerate(parts)]
        found = list(self.run(_kept_part, calls, self.asked.names))
        self.readings[0] += 1
        return found

    def hold(self, first: FirstBatches) -> StreamDesign:
        """Make the coded rows, where they are kept, of what the first reading gave.  Returns: the design."""
        if self.keeps and self.compact is None and first.are_whole:
            self.coded.first = first
        else:
            self.first.copy()
        return self

    def end(self) -> int:
        """Keep no rows any more, unless cache="memory" says so.  Returns: how often the source was read."""
        if self.cache != "memory":
            self.first.copy()
            self.coded.drop()
        return self.readings[0]

    def check_keys(self) -> None:
        """Compare what is known of the parts without reading.  Raises: DataError if one has changed."""
        for part, mark in zip(self.source.parts, self.marks, strict=True):
            if part.key() != mark.key:
                raise _changed(part)

    def sample(self, rows: int) -> list[Block]:
        """Rows of the first reading, about so many at most.  Raises: nothing."""
        if self.compact is not None:
            return []
        coder, batches = self._readers()[0], self.first.rows(rows)
        return [coder.coded(stacked(batches, self.spec.levels)).block()] if batches else []

    def tables(self) -> Iterator[dict[str, Any]]:
        """Read the used rows once, as tables of the columns that the formula names.

        Raises: DataError if a part has changed.
        """
        for part, mark in zip(self.source.parts, self.marks, strict=True):
            if part.key() != mark.key:
                raise _changed(part)
            seen = 0
            for table in tables_of(part, self.asked.names):
                rows = read_batch(self.asked, table).rows
                seen += len(rows)
                if len(rows):
                    yield {name: pd.Series(table.data[name]).iloc[rows] for name in self.asked.names}
            if seen != mark.used:
                raise _changed(part)
        self.readings[0] += 1

    def codes(self, names: Sequence[str] | str, role: str = "cluster") -> tuple[Indices, int]:
        """Codes 0…G−1 of the distinct values of one column, or of several jointly, read in one pass.

        Returns: (codes (n,) intp, G), eight bytes a row.  Raises: as `Design.codes`.
        """
        chosen = [names] if isinstance(names, str) else list(names)
        parts = self.by_part(_groups_of, chosen)
        columns = []
        for i in range(len(chosen)):
            places: dict[Any, int] = {}
            for part in parts:
                to = [places.setdefault(key, len(places)) for key in part.groups[i]]
                columns.append(np.array(to, dtype=np.intp)[part.value[:, i]])
        by_column = np.concatenate(columns).reshape(len(chosen), -1)
        joint = by_column[0]
        for more in by_column[1:]:
            joint = joint * (more.max() + 1) + more
        codes, found = pd.factorize(joint)
        return codes.astype(np.intp), len(found)

    def fingerprint(self) -> str:
        """A digest of outcomes and weights, that of the same rows in a table."""
        digest = hashlib.blake2b(digest_size=16)
        for block in self.read():
            digest.update(np.ascontiguousarray(block.y).tobytes())
        if self.asked.weights is not None:
            for part in self.source.parts:
                for table in tables_of(part, self.asked.names):
                    digest.update(np.ascontiguousarray(read_batch(self.asked, table).weights).tobytes())
        return digest.hexdigest()

    def __getattr__(self, name: str) -> NoReturn:
        """What `Design` has and a stream has not."""
        if name.startswith("_") or name not in _OF_ROWS:
            raise AttributeError(name)
        raise self.needs_rows()

    def needs_rows(self) -> NeedsRows:
        """The error of what asks for rows."""
        return NeedsRows(
            "This fit read a stream, of which no rows are kept, and the call needs rows: pass data= with a "
            "table where it is taken, or fit a table (read what fits into memory, as a sample of the rows)."
        )


def _changed(part: Part) -> DataError:
    return DataError(
        f"{part.name} has changed since the first reading: passes over different rows make no estimate; fit "
        "again once it is whole, and see that a function of de.Parts gives the same rows each time"
    )
