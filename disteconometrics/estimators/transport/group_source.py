"""Groups of an outcome from a source that is read in parts: its rows, or histograms where they are many.

A source of few rows is a table.  Of more nothing is kept: a first reading counts rows, levels and missing
values and takes some outcomes, by which bins are laid; a second fills them.
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.data.design import RowCount
from disteconometrics.data.evaluate import Evaluator
from disteconometrics.data.formula import Formula, parse_formula
from disteconometrics.data.outcome import code_outcome
from disteconometrics.data.settle import (
    check_options,
    check_weights,
    factor_value,
    made_missing,
    missing_rows,
    nothing_left,
    read_columns,
    warn_losses,
)
from disteconometrics.data.source import Part, Source
from disteconometrics.data.spec import numeric_column
from disteconometrics.data.syntax import function_name
from disteconometrics.data.table import Table
from disteconometrics.data.transforms import TRANSFORMS
from disteconometrics.errors import DataError, NeedsRows
from disteconometrics.transport.histogram import Filling, Histogram
from disteconometrics.transport.sorting import Bins

__all__ = ["Binned", "GroupQuestion", "group_levels", "read_bins", "read_small"]

MOST_KEPT = 1_000_000  # rows of a source that are kept
BINS = 100_000  # of more
FEW = 8_192  # outcomes by which bins are laid
MOST_VALUES = 1_000  # of a column of groups that are told apart


@dataclass(frozen=True)
class GroupQuestion:
    """What is read: the outcome as written, the column of groups, weights that count rows, clusters."""

    outcomes: tuple[str, ...]
    group: str
    weights: str | None
    weight_type: str | None
    cluster: str | None

    @property
    def parsed(self) -> Formula:
        """The outcome with its check."""
        return parse_formula(f"{self.outcomes[0]} ~ 1")

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        outcomes = [n for text in self.outcomes for n in parse_formula(f"{text} ~ 1").left.variables]
        more = [n for n in (self.weights, self.cluster) if n is not None]
        return list(dict.fromkeys([*outcomes, self.group, *more]))


@dataclass(frozen=True, eq=False)
class Binned:
    """A source in bins: the histogram and the label of every group, the count of rows, and readings."""

    histograms: tuple[Histogram, ...]
    labels: tuple[str, ...]
    count: RowCount
    readings: int


def group_levels(column: pd.Series, group: str) -> tuple[Indices, tuple[str, ...]]:
    """Codes (n,) and labels of the groups of a column without missing values, in their order or sorted.

    Raises
    ------
    DataError
        If they are not two to twelve.

    Examples
    --------
    >>> group_levels(pd.Series([1.0, 0.5]), "g")[1]
    ('0.5', '1')
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        codes, levels = column.cat.codes.to_numpy(), list(column.cat.categories)
    else:
        codes, found = pd.factorize(column, sort=True)
        levels = list(found)
    if len(levels) < 2:
        raise DataError(
            f"The group column {group!r} has the single value {levels[0]!r} among the rows used; two are "
            f"compared."
        )
    if len(levels) > 12:
        raise DataError(
            f"The group column {group!r} has {len(levels)} values; name at most 12 groups, or cut a "
            f"number into classes."
        )
    labels = tuple(f"{v:g}" if isinstance(v, (float, np.floating)) else str(v) for v in levels)
    return np.asarray(codes, dtype=np.intp), labels


def read_small(source: Source, names: Sequence[str]) -> pd.DataFrame | None:
    """The columns of a source as a table, None where it has more than `MOST_KEPT` rows.

    Raises
    ------
    DataError, MissingColumnError

    Examples
    --------
    >>> from disteconometrics.data.source import Parts
    >>> read_small(Parts(lambda: [{"y": [1.0]}, {"y": [2.0, 3.0]}]), ["y"])["y"].tolist()
    [1.0, 2.0, 3.0]
    """
    found: list[dict[str, pd.Series]] = []
    rows = 0
    for part in source.parts:
        for table in _tables(part, names):
            rows += len(table)
            if rows > MOST_KEPT:
                return None
            found.append({name: pd.Series(table.raw(name, "the formula")) for name in names})
    if not rows:
        raise DataError("The source has no rows")
    return pd.DataFrame({name: _joined([columns[name] for columns in found]) for name in names})


def _joined(parts: Sequence[pd.Series]) -> pd.Series:
    """A column of all parts; one that is missing in a whole part says nothing of its kind there."""
    ends = np.cumsum([0, *(len(part) for part in parts)])
    placed = [p.set_axis(pd.RangeIndex(a, b)) for p, a, b in zip(parts, ends[:-1], ends[1:], strict=True)]
    known = [part for part in placed if part.notna().any()] or placed
    return pd.concat(known).reindex(pd.RangeIndex(ends[-1]))


def _tables(part: Part, names: Sequence[str]) -> Iterator[Table]:
    """The batches of a part; a column that it lacks is named."""
    have = part.columns()
    if have:
        empty = Table({name: np.zeros(0) for name in have})
        for name in names:
            empty.find(name, f"the formula, in {part.name}")
    return map(Table, part.tables(names))


# ---- many rows ---------------------------------------------------------------------------------------------


def _check_rows_alone(asked: GroupQuestion) -> None:
    """Refuse what a histogram of an outcome does not know."""
    few = (
        f"of sources beyond {MOST_KEPT:,} rows only histograms are kept; read a sample of the rows as a table"
    )
    if len(asked.outcomes) > 1:
        raise NeedsRows(f"Joint outcomes need rows, and {few}.")
    if asked.cluster is not None:
        raise NeedsRows(f"Clusters ({asked.cluster!r}) need rows, and {few}.")
    if asked.weight_type == "sampling":
        raise NeedsRows(f"Sampling weights ({asked.weights!r}) need rows, and {few}.")
    for node in ast.walk(asked.parsed.left.node):
        name = function_name(node.func) if isinstance(node, ast.Call) else ""
        if name in TRANSFORMS and TRANSFORMS[name].kind in ("lag", "state"):
            raise NeedsRows(
                f"The outcome {asked.outcomes[0]!r} needs other rows than its own; make the column in the "
                "data first."
            )


@dataclass
class _Read:
    """What a reading finds."""

    given: int = 0
    used: int = 0
    zeros: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    marks: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class _Batch:
    """Used rows: outcomes (n,), codes (n,) of the distinct groups, how often each row counts or None."""

    y: Array
    codes: Indices
    groups: pd.Series
    weights: Array | None

    def check(self, before: int) -> int:
        """A check sum of these and of earlier rows."""
        for column in (self.y, self.codes, self.weights):
            before = before if column is None else zlib.crc32(column.tobytes(), before)
        return before


def _batches(source: Source, asked: GroupQuestion, read: _Read) -> Iterator[_Batch]:
    """The used rows of all parts, which are counted; ``marks`` says what each part was."""
    for part in source.parts:
        key, check = part.key(), 0
        for table in _tables(part, asked.names):
            try:
                batch = _batch(table, asked, read)
            except DataError as error:
                error.args = (f"In {part.name}: {error.args[0]}", *error.args[1:])
                raise
            check = batch.check(check)
            yield batch
        read.marks.append((key, read.used, check))


def _batch(table: Table, asked: GroupQuestion, read: _Read) -> _Batch:
    parsed = asked.parsed
    columns = read_columns(parsed, table)
    w = None if asked.weights is None else numeric_column(table, asked.weights, "weights")
    check_weights(w, asked.weight_type)
    drop, missing = missing_rows(parsed, columns, [] if w is None else [w], len(table))
    groups = pd.Series(table.raw(asked.group, "the formula")).reset_index(drop=True)
    absent = groups.isna().to_numpy()
    if absent.any():
        missing = missing | {asked.group: int(absent.sum())}
    drop |= absent
    if w is not None:
        zero = (w.values == 0) & ~drop
        read.zeros += int(zero.sum())
        drop |= zero
    rows = np.flatnonzero(~drop)
    value: Any = np.zeros(0)
    if len(rows):
        value = factor_value(Evaluator.of_rows(parsed, columns, len(table), rows), parsed.left)
        lost = made_missing(parsed.left, value)
        if lost is not None:
            read.lost[parsed.left.name] = read.lost.get(parsed.left.name, 0) + int(lost.sum())
            rows, value = rows[~lost], value[~lost]
    y = code_outcome(parsed.left.name, value, "numeric", False)[1]
    read.given += len(table)
    read.used += len(rows)
    for name, count in missing.items():
        read.missing[name] = read.missing.get(name, 0) + count
    weights = None if w is None or w.numbers is None else w.numbers[rows]
    codes, found = pd.factorize(groups.iloc[rows])
    return _Batch(y, codes, pd.Series(found), weights)


def read_bins(source: Source, asked: GroupQuestion) -> Binned:
    """Read a source twice: what it holds, then the histograms of its groups.

    Raises
    ------
    NeedsRows
        For what needs rows.
    DataError, MissingColumnError, OutcomeError
        Also where a part changes between the readings.

    Warns
    -----
    MissingValuesWarning

    Examples
    --------
    >>> from disteconometrics.data.source import Parts
    >>> source = Parts(lambda: [{"y": [1.0, 2.0], "g": [0, 1]}, {"y": [4.0], "g": [1]}])
    >>> found = read_bins(source, GroupQuestion(("y",), "g", None, None, None))
    >>> [h.means[h.counts > 0].tolist() for h in found.histograms], found.labels
    ([[1.0], [2.0, 4.0]], ('0', '1'))
    """
    check_options(f"{asked.outcomes[0]} ~ 1", asked.weights, asked.weight_type, None, "numeric")
    _check_rows_alone(asked)
    first, few, step = _Read(), np.zeros(0), 1
    known = pd.Series(dtype=object)
    for batch in _batches(source, asked, first):
        few = np.concatenate([few, batch.y[::step]])
        while len(few) > FEW:
            few, step = few[::2], 2 * step
        known = _distinct(known, batch.groups, asked.group)
    if not first.used:
        raise nothing_left(first.given, first.missing, first.zeros, None)
    warn_losses(first.lost)
    known = known.sort_values(ignore_index=True)
    labels = group_levels(known, asked.group)[1]
    second, filling = _Read(), Filling(Bins.around(few), len(known), BINS)
    place = {value: i for i, value in enumerate(known.tolist())}
    for batch in _batches(source, asked, second):
        to = np.array([place.get(value, -1) for value in batch.groups.tolist()], dtype=np.intp)
        if (to < 0).any():
            raise _changed(source.parts[len(second.marks)])
        filling.add(batch.y, to[batch.codes], batch.weights)
        if second.marks != first.marks[: len(second.marks)]:
            raise _changed(source.parts[len(second.marks) - 1])
    if second.marks != first.marks:
        raise _changed(source.parts[-1])
    count = RowCount(first.given, first.used, first.missing, first.lost, first.zeros)
    return Binned(tuple(filling.histograms()), labels, count, 2)


def _distinct(known: pd.Series, more: pd.Series, group: str) -> pd.Series:
    """The distinct values of a column of groups, in the type that all rows would have."""
    if not len(known) or not len(more):
        return known if len(known) else more
    found = _joined([known, more]).drop_duplicates(ignore_index=True)
    if len(found) > MOST_VALUES:
        raise DataError(
            f"The group column {group!r} has more than {MOST_VALUES:,} values; name at most 12 groups, or "
            "cut a number into classes."
        )
    return found


def _changed(part: Part) -> DataError:
    return DataError(
        f"{part.name} has changed since the first reading; fit again once it is whole, and see that a "
        "function of de.Parts gives the same rows each time"
    )
