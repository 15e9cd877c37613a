"""The first reading of a source: what a design needs to know of all rows, and the design itself.

Kinds of columns, levels among the rows used, missing counts and sums are taken from every batch and merged by
value, so that names, levels and counts are those of the table that the parts make together.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.blocks import OneByOne, Run
from disteconometrics.data import stream
from disteconometrics.data.batches import (
    RUN,
    Batch,
    FirstBatches,
    Question,
    Sample,
    named,
    read_batch,
    tables_of,
)
from disteconometrics.data.cells import Moments, Tally
from disteconometrics.data.design import RowCount, lay_out
from disteconometrics.data.evaluate import Levels
from disteconometrics.data.formula import Formula, parse_formula
from disteconometrics.data.outcome import code_outcome
from disteconometrics.data.settle import (
    check_level_counts,
    check_options,
    check_right_side,
    is_comparison,
    nothing_left,
    other_columns,
    warn_losses,
)
from disteconometrics.data.source import Part, Source
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.stream import Mark, StreamDesign
from disteconometrics.data.syntax import function_name
from disteconometrics.data.table import Column, Table, list_names
from disteconometrics.data.terms import MOST_COLUMNS, crossed_cells
from disteconometrics.data.transforms import TRANSFORMS
from disteconometrics.errors import DataError, NeedsRows

__all__ = ["learn"]

MOST_VALUES = 1_000  # of an outcome that should have two
MOST_JOINT = 1_000_000  # cells of crossed factors
SAMPLE_BYTES = 24_000_000  # of rows that the first reading keeps, to start from
FEW_PARTS = 2  # each of which may fill what is kept; each of more parts gives twice its share at most


@dataclass
class _Counts:
    """Weighted counts by level; ``order`` is the first batch's while all have the same levels, else None.

    Levels that a batch orders in another way have no order that holds for all rows.
    """

    order: tuple[Any, ...] | None = None
    counts: dict[Any, float] = field(default_factory=dict)
    whole: bool = True  # no level came as a float
    ordered: bool = False

    def add(self, found: Levels, weights: Array | None) -> None:
        self._keep_order(found.levels, found.ordered)
        for level, count in zip(
            found.levels, np.bincount(found.codes, weights, len(found.levels)).tolist(), strict=True
        ):
            self.counts[level] = self.counts.get(level, 0.0) + count
        self.whole &= not any(isinstance(level, float) for level in found.levels)

    def merge(self, other: _Counts) -> None:
        """Add the counts of a later part."""
        self._keep_order(other.order, other.ordered)
        add_counts(self.counts, other.counts)
        self.whole &= other.whole

    def _keep_order(self, levels: tuple[Any, ...] | None, ordered: bool) -> None:
        """The order that pandas gives categories of several tables that it joins."""
        self.ordered |= ordered
        if not self.counts:
            self.order = levels
        elif self.order != levels and (self.ordered or set(self.order or ()) != set(levels or ())):
            self.order = None

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
    parts: list[Mark] = field(default_factory=list)
    check: int = 0  # of the rows of the part
    zero_one: dict[str, bool] = field(default_factory=dict)  # of columns of numbers, whether 0 and 1 are all
    moments: Moments = field(default_factory=Moments)
    sample: Sample = field(default_factory=Sample)
    tally: Tally = field(default_factory=Tally)

    def merge(self, other: _Facts, asked: Question, held: bool) -> None:
        """Add what a later part says, whose batches may be held.

        Raises: DataError for a column of another kind there.
        """
        self.given, self.used = self.given + other.given, self.used + other.used
        self.zeros, self.total = self.zeros + other.zeros, self.total + other.total
        add_counts(self.missing, other.missing)
        add_counts(self.transformed, other.transformed)
        add_counts(self.outcomes, other.outcomes, MOST_VALUES)
        for name, (kind, part) in other.kinds.items():
            _agree(self, name, kind, part)
        self.floats |= other.floats
        for name, counts in other.columns.items():
            self.columns.setdefault(name, _Counts()).merge(counts)
        for i, counts in other.factors.items():
            self.factors.setdefault(i, _Counts()).merge(counts)
            if i >= 0:
                _check_growth(self, asked, i, other.forms[i])
        self.forms |= other.forms
        for group, cells in other.joint.items():
            add_counts(self.joint.setdefault(group, {}), cells, MOST_JOINT)
        self.parts += other.parts
        for name, yes in other.zero_one.items():
            self.zero_one[name] = yes and self.zero_one.get(name, True)
        self.moments.merge(other.moments)
        self.sample.merge(other.sample, held)
        self.tally.merge(other.tally)
        _check_few(self, asked)


def add_counts(ours: dict[Any, Any], theirs: Mapping[Any, Any], most: int | None = None) -> None:
    """Add counts by key, of new keys only while there are fewer than ``most``."""
    for key, count in theirs.items():
        if key in ours or most is None or len(ours) < most:
            ours[key] = ours.get(key, 0) + count


def _check_growth(facts: _Facts, asked: Question, i: int, form: Any) -> None:
    """Refuse a factor while its levels grow beyond what is fitted."""
    counts = facts.factors[i].counts
    if len(counts) > 2 * MOST_COLUMNS:
        check_level_counts(Levels(form.codes, tuple(counts)), asked.parsed.factors[i], facts.used)


def _check_few(facts: _Facts, asked: Question) -> None:
    """Refuse cells that are too many for what needs few."""
    name = facts.tally.full
    if asked.few is None or name is None:
        return
    most, numbers = asked.few
    raise NeedsRows(
        f"The column {name!r} takes too many values, and of a source only counts by cell of the right side "
        f"are kept: at most {most:,} cells, and {numbers} values of a number (0/1, factors, small whole "
        f"numbers). Cut it into classes; or make a table, of all rows or of a sample, by "
        f"pd.read_parquet(path, columns=[…]), collect() of a lazy polars frame or compute() of a dask one."
    )


def learn(
    formula: str,
    source: Source,
    *,
    weights: str | None = None,
    weight_type: str | None = None,
    offset: str | None = None,
    outcome: str = "binary",
    run: Run | None = None,
    cache: Any = "auto",
    few: tuple[int, int] | None = None,
) -> StreamDesign:
    """Read a source once, and return the design, of a binary or numeric outcome, that its parts make.

    Parameters, errors and warnings: as `build_design`; ``run`` calls a function for every part, here or
    elsewhere; ``cache`` is as `check_cache` has it;
    ``few`` are the most cells of the right side, and numbers of a column, that may be.  Raises
    also: NeedsRows for terms that need other rows than their own, and for more cells.

    Example
    -------
    >>> from disteconometrics.data.source import Parts
    >>> source = Parts(lambda: [{"y": [0, 1], "g": ["b", "a"]}, {"y": [1, 0], "g": ["c", None]}])
    >>> design = learn("y ~ g", source)
    >>> design.spec.names, design.rows.used, design.rows.missing
    (('Intercept', 'g[T.b]', 'g[T.c]'), 3, {'g': 1})
    """
    check_options(formula, weights, weight_type, offset, outcome)
    labels = source.columns()
    table = Table({name: np.zeros(0) for name in labels})
    others = other_columns(table, weights, offset) if "." in formula else ()
    parsed = parse_formula(formula, others)
    check_right_side(parsed, table)
    _check_terms_of_rows(parsed)
    if parsed.has_dot:
        _check_columns(source, labels)
    asked = Question(parsed, weights, weight_type, offset, outcome, few)
    facts = _Facts(sample=Sample(SAMPLE_BYTES // (8 * RUN * (len(parsed.factors) + 1))), tally=asked.tally())
    shares = max(FEW_PARTS, len(source.parts))
    runs = facts.sample.most * FEW_PARTS // shares
    run = OneByOne() if run is None else run
    room = _room(cache) if run.is_here and few is None else -1
    first = FirstBatches(room, room * FEW_PARTS / shares)
    numbered = [(part, asked, runs, number, first) for number, part in enumerate(source.parts)]
    for part, found in zip(source.parts, run(_learnt, numbered, asked.names), strict=True):
        with named(part):
            facts.merge(found, asked, first.are_whole)
    if not facts.given:
        raise DataError("The source has no rows")
    if not facts.used:
        raise nothing_left(facts.given, facts.missing, facts.zeros, None)
    if facts.total == 0:
        raise DataError(f"All weights in column {weights!r} are zero")
    warn_losses(facts.transformed)
    return _designed(formula, asked, facts, source, others if parsed.has_dot else (), run, cache).hold(first)


def _check_columns(source: Source, labels: list[str]) -> None:
    """Refuse parts of other columns where a dot stands for all of them.  Raises: DataError."""
    for part in source.parts:
        have = part.columns()
        if have and set(have) != set(labels):
            others = list_names(sorted(set(have) ^ set(labels), key=str))
            raise DataError(
                f"In {part.name}: '.' stands for every other column, and parts differ in {others}; name the "
                "columns in the formula"
            )


def _room(cache: Any) -> float:
    """Bytes of the first reading that may be kept until the design, and how many rows there are, is known."""
    return np.inf if cache == "memory" else stream.KEPT_BYTES / 2 if cache == "auto" else -1


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


def _learnt(part: Part, asked: Question, runs: int, number: int, first: FirstBatches) -> _Facts:
    """What the batches of a part say."""
    key, facts = part.key(), _Facts(sample=Sample(runs, number), tally=asked.tally())
    for table in tables_of(part, asked.names):
        with named(part):
            batch = read_batch(asked, table)
            _take(facts, asked, batch, len(table), part.name)
        facts.sample.take(batch, first.are_whole)
        if first.are_whole:
            first.take(number, len(table), batch)
    facts.parts.append(Mark(key, facts.used, facts.check))
    return facts


def _take(facts: _Facts, asked: Question, batch: Batch, given: int, part: str) -> None:
    """Add what a batch says, of so many rows."""
    for column in batch.columns.values():
        _check_kind(facts, column, batch.missing.get(column.name, 0) == given, part)
    facts.given += given
    facts.used += len(batch.rows)
    facts.zeros += batch.zeros
    add_counts(facts.missing, batch.missing)
    add_counts(facts.transformed, batch.lost)
    if not len(batch.rows):
        return
    counts = batch.weights if asked.weight_type == "frequency" else None
    facts.total += float(len(batch.rows) if batch.weights is None else batch.weights.sum())
    facts.check = batch.check(facts.check)
    for name in batch.columns:
        column = batch.column(name)
        if column.numbers is None:
            facts.columns.setdefault(name, _Counts()).add(Levels.of(column), None)
        elif facts.zero_one.get(name, True):
            facts.zero_one[name] = _is_zero_one(column.numbers)
    left, *values = batch.values
    if facts.tally.full is None:
        facts.tally.add(*asked.cell_values(batch), len(batch.rows))
        _check_few(facts, asked)
    if asked.outcome == "numeric":
        code_outcome(asked.parsed.left.name, left, "numeric", False)  # refuses text
        facts.moments.merge(Moments.of(left, batch.weights, batch.offset))
    else:
        _take_outcome(facts, left, batch.weights)
    for i, value in enumerate(values):
        if isinstance(value, Levels):
            facts.factors.setdefault(i, _Counts()).add(value, counts)
            facts.forms[i] = value[:0]
            _check_growth(facts, asked, i, value[:0])
        else:
            facts.forms[i] = value[:0]
    _take_joint(facts, asked.parsed, values, counts)


def _is_zero_one(numbers: Array) -> bool:
    """Whether 0 and 1 are all the numbers (n,) there are; the first ones mostly tell."""
    return all(bool(((some == 0) | (some == 1)).all()) for some in (numbers[:RUN], numbers))


def _take_outcome(facts: _Facts, left: Any, weights: Array | None) -> None:
    if isinstance(left, Levels):
        facts.factors.setdefault(-1, _Counts()).add(left, weights)
        return
    left = np.asarray(left, dtype=np.float64)
    if ((left == 0.0) | (left == 1.0)).all():  # without sorting
        sums = np.bincount(left.astype(np.intp), weights, 2).tolist()
        there = (not left.all(), left.any())
        found = {float(value): sums[value] for value in (0, 1) if there[value]}
    else:
        values, at = np.unique(left, return_inverse=True)
        found = dict(zip(values.tolist(), np.bincount(at.reshape(-1), weights).tolist(), strict=True))
    add_counts(facts.outcomes, found, MOST_VALUES)


def _take_joint(facts: _Facts, parsed: Formula, values: list[Any], counts: Array | None) -> None:
    """Rows in the cells of factors that are crossed in a term."""
    for _, places in parsed.terms:
        group = tuple(i for i in places if isinstance(values[i], Levels))
        if len(group) < 2:
            continue
        codes = np.array([values[i].codes for i in group])
        cells, at = np.unique(codes, axis=1, return_inverse=True)
        keys = [tuple(values[i].levels[c] for i, c in zip(group, cell, strict=True)) for cell in cells.T]
        sums = np.bincount(at.reshape(-1), counts).tolist()
        add_counts(facts.joint.setdefault(group, {}), dict(zip(keys, sums, strict=True)), MOST_JOINT)


def _check_kind(facts: _Facts, column: Column, is_missing: bool, part: str) -> None:
    """Refuse a column that is of another kind than in the parts before; one that is all missing is of any."""
    if column.numbers is not None and column.native is None:
        facts.floats.add(column.name)
    if not is_missing:
        _agree(facts, column.name, column.kind, part)


def _agree(facts: _Facts, name: str, kind: str, part: str) -> None:
    known, before = facts.kinds.setdefault(name, (kind, part))
    if known != kind:
        words = {"level": "text or categories", "number": "numbers", "bool": "true/false"}
        raise DataError(
            f"Column {name!r} holds {words[kind]}, and {words[known]} in {before}; give it one type in "
            "all parts"
        )


# ---- the design --------------------------------------------------------------------------------------------


def _designed(
    formula: str,
    asked: Question,
    facts: _Facts,
    source: Source,
    dot: tuple[str, ...],
    run: Run,
    cache: Any,
) -> StreamDesign:
    parsed = asked.parsed
    coded, successes = _outcome(facts, parsed, asked.outcome)
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
    zero_one = frozenset(name for name, yes in facts.zero_one.items() if yes)
    return StreamDesign(
        spec,
        rows,
        cells,
        source,
        asked,
        tuple(facts.parts),
        facts.total,
        successes,
        facts.moments,
        zero_one,
        facts.sample,
        run,
        cache,
        facts.tally,
        frozenset(facts.floats),
    )


def _outcome(facts: _Facts, parsed: Formula, kind: str) -> tuple[Any, float]:
    """The outcome and the sum of the weights of its successes, if it is binary."""
    left = parsed.left
    if kind == "numeric":
        return code_outcome(left.name, np.zeros(0), kind, False)[0], float("nan")
    if -1 in facts.factors:
        counts = facts.factors[-1]
        levels = counts.levels()
        coded, _ = code_outcome(left.name, Levels(np.arange(len(levels)), levels), "binary", False)
        return coded, counts.counts[coded.levels[1]]
    columns = {name: Column(name, kind) for name, (kind, _) in facts.kinds.items()}
    found = np.array(sorted(facts.outcomes))
    coded, _ = code_outcome(left.name, found, "binary", is_comparison(left, columns))
    return coded, facts.outcomes[1.0]
