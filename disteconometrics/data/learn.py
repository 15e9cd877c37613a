"""The first reading of a source: what a design needs to know of all rows, and the design itself.

Kinds of columns, levels among the rows used, missing counts and sums are taken from every batch and merged by
value, so that names, levels and counts are those of the table that the parts make together.
"""

from __future__ import annotations

import ast
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices
from disteconometrics.blocks import Block, StreamedBlocks
from disteconometrics.data.design import RowCount, lay_out
from disteconometrics.data.evaluate import Evaluator, Levels
from disteconometrics.data.formula import Formula, parse_formula
from disteconometrics.data.outcome import code_outcome, recode_outcome
from disteconometrics.data.settle import (
    check_level_counts,
    check_options,
    check_right_side,
    check_weights,
    factor_value,
    is_comparison,
    made_missing,
    missing_rows,
    nothing_left,
    other_columns,
    read_columns,
    warn_losses,
)
from disteconometrics.data.source import Part, Source
from disteconometrics.data.spec import DesignSpec, numeric_column
from disteconometrics.data.syntax import function_name
from disteconometrics.data.table import Column, Table, list_names
from disteconometrics.data.terms import MOST_COLUMNS, Cells, code_groups, crossed_cells, matrix
from disteconometrics.data.transforms import TRANSFORMS
from disteconometrics.errors import DataError, DisteconometricsError, NeedsRows

__all__ = ["StreamDesign", "learn"]

MOST_VALUES = 1_000  # of an outcome that should have two
MOST_JOINT = 1_000_000  # cells of crossed factors


@dataclass
class _Counts:
    """Weighted counts by level; ``order`` is that of the batches while they agree, else None."""

    order: tuple[Any, ...] | None = None
    counts: dict[Any, float] = field(default_factory=dict)
    whole: bool = True  # no level came as a float

    def add(self, found: Levels, weights: Array | None) -> None:
        self.order = found.levels if not self.counts or self.order == found.levels else None
        for level, count in zip(
            found.levels, np.bincount(found.codes, weights, len(found.levels)).tolist(), strict=True
        ):
            self.counts[level] = self.counts.get(level, 0.0) + count
        self.whole &= not any(isinstance(level, float) for level in found.levels)

    def levels(self, *, unused: bool = False) -> tuple[Any, ...]:
        """Levels that occur, in their own order or sorted by value."""
        order: Any = self.order
        if order is None:
            if len({isinstance(level, str) for level in self.counts}) > 1:
                raise DataError(f"Levels mix text and numbers: {list_names(self.counts, 6)}")
            order = sorted(self.counts)
        if not self.whole:
            order = [float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in order]
        return tuple(level for level in order if unused or self.counts[level])


@dataclass
class _Facts:
    """What the batches read so far say."""

    given: int = 0
    used: int = 0
    zeros: int = 0
    total: float = 0.0  # of weights
    missing: dict[str, int] = field(default_factory=dict)
    transformed: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, tuple[str, str]] = field(default_factory=dict)  # column -> kind, the part that has it
    floats: set[str] = field(default_factory=set)  # columns of numbers that are not all whole
    columns: dict[str, _Counts] = field(default_factory=dict)
    factors: dict[int, _Counts] = field(default_factory=dict)
    forms: dict[int, Any] = field(default_factory=dict)  # what a factor is, without rows
    outcomes: dict[float, float] = field(default_factory=dict)
    joint: dict[tuple[int, ...], dict[tuple[Any, ...], float]] = field(default_factory=dict)
    parts: list[tuple[Any, int]] = field(default_factory=list)  # key, rows used


@dataclass(frozen=True)
class _Question:
    """What is asked of every batch."""

    parsed: Formula
    weights: str | None
    weight_type: str | None
    offset: str | None
    outcome: str

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        named = [n for n in (self.weights, self.offset) if n is not None]
        return list(dict.fromkeys([*self.parsed.left.variables, *self.parsed.right_variables, *named]))


def learn(
    formula: str,
    source: Source,
    *,
    weights: str | None = None,
    weight_type: str | None = None,
    offset: str | None = None,
) -> StreamDesign:
    """Read a source once, and return the design of a binary outcome that its parts make together.

    Parameters, errors and warnings: as `build_design`. Raises also: NeedsRows for terms that need other rows
    than their own.

    Example
    -------
    >>> from disteconometrics.data.source import Parts
    >>> source = Parts(lambda: [{"y": [0, 1], "g": ["b", "a"]}, {"y": [1, 0], "g": ["c", None]}])
    >>> design = learn("y ~ g", source)
    >>> design.spec.names, design.rows.used, design.rows.missing
    (('Intercept', 'g[T.b]', 'g[T.c]'), 3, {'g': 1})
    """
    check_options(formula, weights, weight_type, offset, "binary")
    labels = source.columns()
    table = Table({name: np.zeros(0) for name in labels})
    others = other_columns(table, weights, offset) if "." in formula else ()
    parsed = parse_formula(formula, others)
    check_right_side(parsed, table)
    _check_terms_of_rows(parsed)
    asked = _Question(parsed, weights, weight_type, offset, "binary")
    facts = _Facts()
    for part in source.parts:
        before, used = part.key(), facts.used
        for found in _tables(part, asked.names):
            with _named(part):
                _take(facts, asked, found, part.name)
        facts.parts.append((before, facts.used - used))
    if not facts.given:
        raise DataError("The source has no rows")
    if not facts.used:
        raise nothing_left(facts.given, facts.missing, facts.zeros, None)
    if facts.total == 0:
        raise DataError(f"All weights in column {weights!r} are zero")
    warn_losses(facts.transformed)
    return _designed(formula, asked, facts, source, others if parsed.has_dot else ())


def _check_terms_of_rows(parsed: Formula) -> None:
    """Refuse terms whose value in a row depends on other rows."""
    for factor in (parsed.left, *parsed.factors):
        for node in ast.walk(factor.node):
            name = function_name(node.func) if isinstance(node, ast.Call) else ""
            kind = TRANSFORMS[name].kind if name in TRANSFORMS else ""
            if kind == "lag":
                raise NeedsRows(
                    f"The term {factor.name!r} needs the row before, which another part may hold; make the "
                    "column in the data first."
                )
            if kind == "state":
                raise NeedsRows(
                    f"The term {factor.name!r} learns from all rows at once; write it with constants, as "
                    "I((x - 5) / 2), or make the column in the data first."
                )


class _named:  # noqa: N801 - read as a word after with
    """Errors name the part in which they arose."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, DisteconometricsError) and error.args:
            error.args = (f"In {self.part.name}: {error.args[0]}", *error.args[1:])


def _tables(part: Part, names: Sequence[str]) -> Iterator[Table]:
    """The batches of a part; a column that it lacks is named."""
    have = part.columns()
    if have:
        empty = Table({name: np.zeros(0) for name in have})
        with _named(part):
            for name in names:
                empty.find(name, "the formula")
    return map(Table, part.tables(names))


# ---- a batch -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Batch:
    """Rows of a batch that are used: values of the left side and of the factors, weights, offset."""

    columns: dict[str, Column]
    values: list[Any]
    rows: Indices
    weights: Array | None
    offset: Array | None
    missing: dict[str, int]
    lost: dict[str, int]
    zeros: int


def _read(asked: _Question, table: Table) -> _Batch:
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
    weights, offset = (None if c is None or c.numbers is None else c.numbers[rows] for c in (w, o))
    return _Batch(columns, values if len(rows) else [], rows, weights, offset, missing, lost, zeros)


def _settled(
    parsed: Formula, columns: dict[str, Column], n: int, rows: Indices
) -> tuple[Indices, dict[str, int], list[Any]]:
    """Rows where every term has a value, how many each term lost, and the values there."""
    factors = (parsed.left, *parsed.factors)
    lost: dict[str, int] = {}
    values: list[Any] = []
    while len(rows):
        evaluator = Evaluator.of_rows(parsed, columns, n, rows)
        values = [factor_value(evaluator, factor) for factor in factors]
        made = {f.name: made_missing(f, v) for f, v in zip(factors, values, strict=True)}
        masks = {name: mask for name, mask in made.items() if mask is not None}
        if not masks:
            break
        for name, mask in masks.items():
            lost[name] = lost.get(name, 0) + int(mask.sum())
        rows = rows[~np.logical_or.reduce(list(masks.values()))]
    return rows, lost, values


def _take(facts: _Facts, asked: _Question, table: Table, part: str) -> None:
    """Add what a batch says."""
    batch = _read(asked, table)
    for column in batch.columns.values():
        _check_kind(facts, column, part)
    facts.given += len(table)
    facts.used += len(batch.rows)
    facts.zeros += batch.zeros
    for ours, theirs in ((facts.missing, batch.missing), (facts.transformed, batch.lost)):
        for name, count in theirs.items():
            ours[name] = ours.get(name, 0) + count
    if not len(batch.rows):
        return
    counts = batch.weights if asked.weight_type == "frequency" else None
    facts.total += float(len(batch.rows) if batch.weights is None else batch.weights.sum())
    for name, column in batch.columns.items():
        if column.numbers is None:
            own = Levels(column.values[batch.rows], column.levels)
            facts.columns.setdefault(name, _Counts()).add(own, None)
    left, *values = batch.values
    _take_outcome(facts, left, batch.weights)
    for i, value in enumerate(values):
        if isinstance(value, Levels):
            facts.factors.setdefault(i, _Counts()).add(value, counts)
            facts.forms[i] = value[:0]
            if len(facts.factors[i].counts) > 2 * MOST_COLUMNS:
                check_level_counts(
                    Levels(value.codes, tuple(facts.factors[i].counts)), asked.parsed.factors[i], facts.used
                )
        else:
            facts.forms[i] = value[:0]
    _take_joint(facts, asked.parsed, values, counts)


def _take_outcome(facts: _Facts, left: Any, weights: Array | None) -> None:
    if isinstance(left, Levels):
        facts.factors.setdefault(-1, _Counts()).add(left, weights)
        return
    found, at = np.unique(np.asarray(left, dtype=np.float64), return_inverse=True)
    for value, count in zip(found.tolist(), np.bincount(at.reshape(-1), weights).tolist(), strict=True):
        if value in facts.outcomes or len(facts.outcomes) < MOST_VALUES:
            facts.outcomes[value] = facts.outcomes.get(value, 0.0) + count


def _take_joint(facts: _Facts, parsed: Formula, values: list[Any], counts: Array | None) -> None:
    """Rows in the cells of factors that are crossed in a term."""
    for _, places in parsed.terms:
        group = tuple(i for i in places if isinstance(values[i], Levels))
        if len(group) < 2:
            continue
        codes = np.array([values[i].codes for i in group])
        cells, at = np.unique(codes, axis=1, return_inverse=True)
        own = facts.joint.setdefault(group, {})
        for cell, count in zip(cells.T.tolist(), np.bincount(at.reshape(-1), counts).tolist(), strict=True):
            key = tuple(values[i].levels[c] for i, c in zip(group, cell, strict=True))
            if key in own or len(own) < MOST_JOINT:
                own[key] = own.get(key, 0.0) + count


def _check_kind(facts: _Facts, column: Column, part: str) -> None:
    """Refuse a column that is of another kind than in the parts before; one that is all missing is of any."""
    missing = column.trouble()[0]
    if column.numbers is not None and column.native is None:
        facts.floats.add(column.name)
    if missing is not None and missing.all():
        return
    kind, before = facts.kinds.setdefault(column.name, (column.kind, part))
    if kind != column.kind:
        words = {"level": "text or categories", "number": "numbers", "bool": "true/false"}
        raise DataError(
            f"Column {column.name!r} holds {words[column.kind]}, and {words[kind]} in {before}; give it one "
            "type in all parts"
        )


# ---- the design --------------------------------------------------------------------------------------------


def _designed(
    formula: str, asked: _Question, facts: _Facts, source: Source, dot: tuple[str, ...]
) -> StreamDesign:
    parsed = asked.parsed
    coded, successes = _outcome(facts, parsed)
    values = [facts.forms[i] for i in range(len(parsed.factors))]
    for i, counts in facts.factors.items():
        if i < 0:
            continue
        node = parsed.factors[i].node
        if isinstance(node, ast.Call) and isinstance(node.args[0], ast.Name):
            counts.whole &= node.args[0].id not in facts.floats
        form = values[i]
        levels = form.levels if form.explicit else counts.levels()
        values[i] = Levels(form.codes, levels, form.contrasts, form.spans_intercept, form.explicit)
        check_level_counts(values[i], parsed.factors[i], facts.used)
    structure, _, names = lay_out(parsed, values)
    columns = {
        name: (kind, facts.columns[name].levels() if name in facts.columns else ())
        for name, (kind, _) in facts.kinds.items()
    }
    levels = {i: v.levels for i, v in enumerate(values) if isinstance(v, Levels)}
    spec = DesignSpec(
        formula,
        names,
        coded,
        asked.weights,
        asked.weight_type,
        asked.offset,
        dot,
        columns,
        structure,
        levels,
        {},
    )

    def rows_in(group: tuple[int, ...]) -> Array:
        if len(group) == 1:
            return np.array([c for c in facts.factors[group[0]].counts.values() if c])
        whole = next(g for g in facts.joint if set(group) <= set(g))
        sums: dict[tuple[Any, ...], float] = {}
        for key, count in facts.joint[whole].items():
            part = tuple(v for i, v in zip(whole, key, strict=True) if i in group)
            sums[part] = sums.get(part, 0.0) + count
        return np.array(list(sums.values()))

    cells = crossed_cells(structure, parsed.factors, values, rows_in)
    rows = RowCount(facts.given, facts.used, facts.missing, facts.transformed, facts.zeros)
    return StreamDesign(spec, rows, cells, source, asked, tuple(facts.parts), facts.total, successes)


def _outcome(facts: _Facts, parsed: Formula) -> tuple[Any, float]:
    """The outcome and the sum of the weights of its successes."""
    left = parsed.left
    if -1 in facts.factors:
        counts = facts.factors[-1]
        levels = counts.levels()
        coded, _ = code_outcome(left.name, Levels(np.arange(len(levels)), levels), "binary", False)
        return coded, counts.counts[coded.levels[1]]
    columns = {name: Column(name, kind) for name, (kind, _) in facts.kinds.items()}
    found = np.array(sorted(facts.outcomes))
    coded, _ = code_outcome(left.name, found, "binary", is_comparison(left, columns))
    return coded, facts.outcomes[1.0]


@dataclass(frozen=True, eq=False)
class StreamDesign:
    """A design whose rows are read and coded anew in every pass; it offers what `Design` does of sums.

    ``total`` and ``successes`` are sums of the weights, or counts; ``marks`` is what each part must be.
    """

    spec: DesignSpec
    rows: RowCount
    cells: tuple[Cells, ...] = field(repr=False)
    source: Source = field(repr=False)
    asked: _Question = field(repr=False)
    marks: tuple[tuple[Any, int], ...] = field(repr=False)
    total: float
    successes: float
    readings: list[int] = field(default_factory=lambda: [1], repr=False)
    sums: dict[int, int] = field(default_factory=dict, repr=False)  # check sums of the outcomes by part

    def blocks(self) -> StreamedBlocks:
        """The rows, with weights of mean one where these are of sampling.  Raises: nothing before a pass."""
        return StreamedBlocks(self)

    def read(self) -> Iterator[Block]:
        """Read all parts once.  Raises: DataError if a part has changed since the first reading."""
        for number, part in enumerate(self.source.parts):
            key, used = self.marks[number]
            if part.key() != key:
                raise _changed(part)
            seen, check = 0, 0
            for table in _tables(part, self.asked.names):
                block = self._coded(_read(self.asked, table))
                if block is not None:
                    seen += len(block.y)
                    check = zlib.crc32(block.y.tobytes(), check)
                    check = zlib.crc32((block.X[::64] @ np.ones(block.X.shape[1])).tobytes(), check)
                    yield block
            if seen != used or self.sums.setdefault(number, check) != check:
                raise _changed(part)
        self.readings[0] += 1

    def _coded(self, batch: _Batch) -> Block | None:
        """The used rows of a batch as arrays."""
        if not len(batch.rows):
            return None
        left, *values = batch.values
        for i, levels in self.spec.levels.items():
            values[i] = _recoded(values[i], levels)
        groups = code_groups(self.spec.structure, self.asked.parsed.factors, values)
        X: Any = matrix(self.spec.structure, groups, len(batch.rows))
        w = batch.weights
        if w is not None and self.asked.weight_type == "sampling":
            w = w * (self.rows.used / self.total)
        return Block(recode_outcome(self.spec.outcome, left), X, w, batch.offset)

    def codes(self, names: Sequence[str] | str, role: str = "cluster") -> tuple[Indices, int]:
        """Codes 0…G−1 of the distinct values of one column, or of several jointly, read in one pass.

        Returns: (codes (n,) intp, G), eight bytes a row.  Raises: as `Design.codes`.
        """
        chosen = [names] if isinstance(names, str) else list(names)
        places: dict[Any, int] = {}
        out = []
        self.readings[0] += 1
        for part in self.source.parts:
            for table in _tables(part, list(dict.fromkeys([*self.asked.names, *chosen]))):
                rows = _read(self.asked, table).rows
                own = pd.MultiIndex.from_arrays([_keys(table, name, rows, role, part) for name in chosen])
                codes, found = pd.factorize(own)
                to = np.array([places.setdefault(key, len(places)) for key in found], dtype=np.intp)
                out.append(to[codes])
        joined = np.concatenate(out)
        if len(joined) != self.rows.used:
            raise DataError("The source has changed since the fit: it has other rows now; fit again")
        return joined, len(places)

    def fingerprint(self) -> str:
        """A digest of outcomes and weights, that of the same rows in a table."""
        digest = hashlib.blake2b(digest_size=16)
        for block in self.read():
            digest.update(np.ascontiguousarray(block.y).tobytes())
        if self.asked.weights is not None:
            for part in self.source.parts:
                for table in _tables(part, self.asked.names):
                    digest.update(np.ascontiguousarray(_read(self.asked, table).weights).tobytes())
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


_OF_ROWS = ("y", "X", "matrix", "weights", "offset", "kept", "index", "table", "column", "times")


def _changed(part: Part) -> DataError:
    return DataError(
        f"{part.name} has changed since the first reading: passes over different rows make no estimate; fit "
        "again once it is whole, and see that a function of de.Parts gives the same rows each time"
    )


def _recoded(value: Levels, levels: tuple[Any, ...]) -> Levels:
    """The same factor with the levels of all rows; what is not among them stands in no used row."""
    place = {level: i for i, level in enumerate(levels)}
    to = np.array([place.get(level, -1) for level in value.levels], dtype=np.intp)
    return Levels(to[value.codes], levels, value.contrasts, value.spans_intercept)


def _keys(table: Table, name: str, rows: Indices, role: str, part: Part) -> Any:
    """The values of a cluster column at the used rows, none missing."""
    with _named(part):
        values = pd.Series(table.raw(name, role)).reset_index(drop=True).iloc[rows]
        if values.isna().any():
            raise DataError(
                f"The {role} column {name!r} has {values.isna().sum()} missing values among the rows used; "
                "fill them, or drop these rows before the fit"
            )
    return values.to_numpy(dtype=object)
