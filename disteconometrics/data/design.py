"""`build_design`: a formula and a table become arrays, with an account of every row.

Order of events: parse and check the formula; read the used columns; drop rows with a missing value and rows
of zero weight; learn transforms from the rows that are left (again, if a transform loses rows); code the
outcome; fill X.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.blocks import Block, FactorMatrix
from disteconometrics.checks import check_sizes
from disteconometrics.data.evaluate import Evaluator, Levels, LostRows
from disteconometrics.data.formula import Factor, Formula, parse_formula
from disteconometrics.data.outcome import Outcome, code_outcome
from disteconometrics.data.recorded import Records
from disteconometrics.data.recorder_calls import outcome_name
from disteconometrics.data.recorders import Recorded
from disteconometrics.data.settle import (
    check_name,
    check_options,
    check_products,
    check_right_side,
    check_weights,
    factor_value,
    is_comparison,
    made_missing,
    missing_rows,
    nothing_left,
    other_columns,
    prune,
    read_columns,
    span_of,
    told_losses,
    warn_losses,
    without_codes,
)
from disteconometrics.data.spec import DesignSpec, numeric_column
from disteconometrics.data.table import Column, Table, used_levels
from disteconometrics.data.terms import (
    Cells,
    Coded,
    Structure,
    cells_beside_others,
    check_terms,
    check_width,
    code_groups,
    column_names,
    matrix,
    scope,
)
from disteconometrics.errors import DataError, NeedsRows, OptionError, OutcomeError, warn_user

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["Design", "RowCount", "build_design", "lay_out"]

MAX_PASSES = 20  # a transform of a transform can lose rows again and again: log(scale(x))
MOST_REPEATED = 10**8  # rows that frequency weights may stand for while transforms learn
ORDERED = (
    "integer",
    "floating",
    "mixed-integer-float",
    "decimal",
    "boolean",
    "date",
    "datetime",
    "timedelta",
    "time",
    "period",
)


@dataclass(frozen=True)
class RowCount:
    """What became of the rows: ``given`` = ``used`` + dropped.

    ``missing`` counts NaN per used column (a row may count twice), ``transformed`` the rows lost because a
    term is NaN, ``zero_weight`` the complete rows of weight zero.
    """

    given: int
    used: int
    missing: dict[str, int] = field(default_factory=dict)
    transformed: dict[str, int] = field(default_factory=dict)
    zero_weight: int = 0

    @property
    def dropped(self) -> dict[str, int]:
        """Rows lost to NaN by used column and by term.  Raises: nothing."""
        return {**self.missing, **self.transformed}


@dataclass(frozen=True, eq=False)
class Design:
    """The used rows: ``y`` (n,), ``matrix`` (n, k), ``weights`` and ``offset`` (n,) or None, all float64.

    ``kept`` (n,) holds their positions in the table, None when all were used; ``table`` shares the user's
    columns: clusters and times are read when asked for, from a shallow copy.  ``cells`` are the rows in each
    level of every factor of many, see `cells_beside_others`.  ``records`` say what is known of an outcome
    that was not told exactly, and ``y`` are then their middles.  ``of_source`` says that rows come from a
    source and have the columns of the formula alone; weights then count rows of the source.
    """

    spec: DesignSpec
    y: Array = field(repr=False)
    matrix: Array | FactorMatrix = field(repr=False)
    weights: Array | None = field(repr=False)
    offset: Array | None = field(repr=False)
    kept: Indices | None = field(repr=False)
    rows: RowCount
    table: Table = field(repr=False)
    cells: tuple[Cells, ...] = field(default=(), repr=False)
    records: Records | None = field(default=None, repr=False)
    of_source: bool = field(default=False, repr=False)

    @cached_property
    def index(self) -> Any:
        """The pandas Index (n,) of the used rows."""
        return self.table.index if self.kept is None else self.table.index[self.kept]

    @property
    def X(self) -> Array:  # noqa: N802 - the field's name
        """The design (n, k) with all its columns; made anew at every call where a factor is kept as codes."""
        return self.matrix.dense() if isinstance(self.matrix, FactorMatrix) else self.matrix

    def blocks(self) -> tuple[Block, ...]:
        """Return the rows as blocks of views.  Returns: one Block, since the data are in memory.

        Raises: nothing.
        """
        return (Block(self.y, cast(Any, self.matrix), self.weights, self.offset),)

    def column(self, name: str, role: str, *, whole: bool = True) -> pd.Series:
        """Return a column of the user's table among the used rows; ``role``, as cluster, goes into messages.

        Returns: Series (n,) with the index of the rows.  Raises: OptionError if ``name`` is no text;
        MissingColumnError; NeedsRows; DataError that counts missing values, where it is to be ``whole``.
        """
        check_name(name, role)
        if self.of_source and name not in self.table.names:
            raise NeedsRows(
                f"Column {name!r} ({role}) is read from rows, and of this source only the columns of the "
                "formula were kept: make a table, of all rows or of a sample, by pd.read_parquet(path, "
                "columns=[…]), and fit that."
            )
        raw, missing = self.table.raw(name, role), self.table.missing(name, role)
        values = raw.array if isinstance(raw, (pd.Series, pd.Index)) else raw
        if self.kept is not None:
            values, missing = values[self.kept], missing[self.kept]
        series = pd.Series(values, index=self.index, name=name)
        if whole and missing.any():
            raise DataError(
                f"Column {name!r} ({role}) has {missing.sum()} missing values among the "
                f"{len(series)} rows used; fill them, or drop these rows before the fit"
            )
        return series

    def times(self, name: str) -> Indices:
        """Return ranks of the used rows in time: by number, by date, or by the order of ordered categories.

        Returns: array (n,) of integers, equal where times are.  Raises: as `column`; DataError for text,
        categories without order and mixed values.
        """
        series = self.column(name, "time")
        if isinstance(series.dtype, pd.CategoricalDtype):
            if series.cat.ordered:
                return np.asarray(series.cat.codes, dtype=np.intp)
            series = series.astype(series.cat.categories.dtype)
        values = np.asarray(series.to_numpy())
        what = (
            values.dtype.name if values.dtype.kind != "O" else pd.api.types.infer_dtype(values, skipna=False)
        )
        try:
            if values.dtype.kind in "iufbmM" or what in ORDERED:
                return np.unique(values, return_inverse=True)[1].reshape(-1)
        except TypeError:  # dates with and without a time zone
            what = "mixed"
        held = {"string": "text", "mixed-integer": "mixed"}.get(what, what)
        raise DataError(
            f"The time column {name!r} holds {held} values, which have no order in time; turn it into "
            f"numbers or dates, e.g. with pd.to_datetime(data[{name!r}]), or into an ordered categorical"
        )

    def codes(self, names: Sequence[str] | str, role: str = "cluster") -> tuple[Indices, int]:
        """Return integer codes 0…G−1 of the distinct values of one column, or of several jointly.

        Returns: (codes (n,) intp, G).  Raises: as `column`; OptionError without a name.
        """
        chosen: list[Any] = list(names) if isinstance(names, (list, tuple)) else [names]
        if not chosen:
            raise OptionError(f"{role} needs the name of at least one column")
        joint: Indices | None = None
        count = 0
        for name in chosen:
            values = self.column(name, role)
            try:
                codes, distinct = pd.factorize(values)
            except TypeError:
                raise DataError(
                    f"Column {name!r} ({role}) holds nested values; use one plain value per row"
                ) from None
            if joint is None:
                joint, count = codes.astype(np.intp), len(distinct)
            else:  # factorised again at every step, so that the product never overflows
                pairs, distinct = pd.factorize(joint * len(distinct) + codes)
                joint, count = pairs.astype(np.intp), len(distinct)
        assert joint is not None
        return joint, count


def build_design(
    formula: str,
    data: Any,
    *,
    weights: str | None = None,
    weight_type: str | None = None,
    offset: str | None = None,
    outcome: str = "binary",
    beside: Sequence[str] = (),
) -> Design:
    """Turn a formula and a table into a Design.

    Parameters: ``formula`` as ``"y ~ x1 + C(g)"``; ``data`` a pandas or polars DataFrame or a dict of arrays
    (n,); ``weights`` and ``offset`` names of columns of any numeric dtype; ``weight_type`` frequency or
    sampling, needed with ``weights``; ``outcome`` binary (coded 0/1), ordered
    or nominal (coded 0 … J − 1), numeric, or recorded: numeric with a left side that may say how it was
    recorded; ``beside`` names columns of the model that are in no term, whose missing values count too.
    Columns: text and categories get one column per level but the first; true/false is the number 1/0 under
    its own name, as in formulaic (R and patsy make it a factor: write ``C(x)``), and missing where a
    comparison has a missing operand. Returns: Design.  Raises: FormulaError, UnsafeFormulaError, OptionError,
    MissingColumnError, DataError, OutcomeError. Warns: MissingValuesWarning when a transform makes missing
    values.

    Example
    -------
    >>> table = {"deny": ["no", "yes", "no"], "ratio": [0.1, 0.7, None], "ban": ["n", "y", "y"]}
    >>> design = build_design("deny ~ ratio + ban", table)
    >>> design.spec.names, design.spec.outcome.success, design.rows.missing
    (('Intercept', 'ratio', 'ban[T.y]'), 'yes', {'ratio': 1})
    >>> design.spec.matrix({"ratio": [0.5], "ban": ["y"]}).X.tolist()
    [[1.0, 0.5, 1.0]]
    """
    check_options(formula, weights, weight_type, offset, outcome)
    table = Table(data)
    others = other_columns(table, weights, offset) if "." in formula else ()
    parsed = parse_formula(formula, others)
    check_right_side(parsed, table, recorded=outcome == "recorded")
    columns = read_columns(parsed, table)
    w, o = _numeric(table, weights, "weights"), _numeric(table, offset, "offset")
    check_weights(w, weight_type)
    gone = {name: table.missing(name, "absorbed effect") for name in beside}
    kept, missing, zeros = _complete_rows(parsed, columns, w, o, gone, len(table))
    counts = w.numbers if w is not None and weight_type == "frequency" else None
    (left, *values), states, kept, transformed = _learn(parsed, columns, kept, len(table), counts)
    is_bool = is_comparison(parsed.left, columns)
    has_order = isinstance(left, Levels) and _has_order(parsed.left, table)
    coded, y, records = _coded_outcome(parsed.left, left, outcome, is_bool, has_order)
    structure, groups, names = lay_out(parsed, values)
    X = matrix(structure, groups, len(y))
    check_products(X, names, structure)
    shift = _numbers(o, kept)
    if coded.kind == "numeric":  # a binary outcome has no size, and its columns are measured by the fit
        check_sizes(y[:, None], [coded.name])
        check_sizes(*without_codes(X, names))
        if shift is not None and offset is not None:
            check_sizes(shift[:, None], [offset], least=0.0)
    spec = DesignSpec(
        formula,
        names,
        coded,
        weights,
        weight_type,
        offset,
        others if parsed.has_dot else (),
        {name: _fitted_kind(column, kept) for name, column in columns.items()},
        structure,
        {i: v.levels for i, v in enumerate(values) if isinstance(v, Levels)},
        states,
    )
    rows = RowCount(len(table), len(y), missing, transformed, zeros)
    used = _numbers(w, kept)
    cells = cells_beside_others(structure, parsed.factors, values, None if counts is None else used)
    return Design(spec, y, X, used, shift, kept, rows, table, cells, records)


def _coded_outcome(
    left: Factor, value: Any, kind: str, is_bool: bool, has_order: bool
) -> tuple[Outcome, Array, Records | None]:
    """The outcome coded as its kind, and its records where it was not told exactly."""
    if not isinstance(value, Recorded):
        kind = "numeric" if kind == "recorded" else kind
        return *code_outcome(left.name, value, kind, is_bool, has_order), None
    for notice in value.notices:
        warn_user(notice)
    records, name = value.records, outcome_name(left.node)
    if records.at_mass is not None and len(np.unique(records.at_mass)) < 2:
        all_or_none = "every row" if records.at_mass.any() else "no row"
        raise OutcomeError(
            f"The outcome {left.name!r} has {all_or_none} at its mass; a law of the mass and of the "
            f"rest needs both: write it without mass()"
        )
    if value.recorders[-1].corner and not records.open_below.any():
        raise OutcomeError(
            f"The outcome {left.name!r} has no row at its corner {value.recorders[-1].at:g}: leave mass() out"
        )
    ends = np.stack([records.lower, records.upper], axis=1)
    check_sizes(np.where(np.isinf(ends), 1.0, ends), [name, name], least=0.0)
    return Outcome(name, "numeric", (), value.recorders), records.middle, records


def _has_order(left: Factor, table: Table) -> bool:
    """Whether the outcome is an ordered categorical."""
    dtype = getattr(table.raw(left.variables[0], "the outcome"), "dtype", None) if left.is_column else None
    return isinstance(dtype, pd.CategoricalDtype) and bool(dtype.ordered)


def lay_out(parsed: Formula, values: list[Any]) -> tuple[Structure, list[list[Coded]], tuple[str, ...]]:
    """Return structure, coded factors and names of the columns that values of the factors make.

    Raises: DataError, FormulaError.
    """
    check_terms(parsed, values)
    structure = scope(parsed, tuple(map(span_of, values)))
    check_width(structure, parsed.factors, values)
    groups = code_groups(structure, parsed.factors, values)
    return structure, groups, column_names(groups)


def _complete_rows(
    parsed: Formula,
    columns: dict[str, Column],
    w: Column | None,
    o: Column | None,
    gone: dict[str, Mask],
    n: int,
) -> tuple[Indices | None, dict[str, int], int]:
    """Positions of rows to use (None: all), missing counts by column, complete rows of zero weight.

    ``gone`` (n,) are missing values of columns beside the formula.
    """
    drop, counts = missing_rows(parsed, columns, [c for c in (w, o) if c is not None], n)
    for name, missing in gone.items():
        if missing.any():
            counts[name] = int(missing.sum())
            drop |= missing
    zeros = 0
    if w is not None:
        zero = (w.values == 0) & ~drop
        zeros = int(np.count_nonzero(zero))
        drop |= zero
    if not drop.any():
        return None, counts, zeros
    kept = np.flatnonzero(~drop)
    if not len(kept):
        raise nothing_left(n, counts, zeros, w)
    return kept, counts, zeros


def _numeric(table: Table, name: str | None, role: str) -> Column | None:
    return None if name is None else numeric_column(table, name, role)


def _numbers(column: Column | None, kept: Indices | None) -> Array | None:
    """The numbers of the used rows, never a view of the user's memory."""
    if column is None or column.numbers is None:
        return None
    return column.numbers.copy() if kept is None else column.numbers[kept]


def _learn(
    parsed: Formula,
    columns: dict[str, Column],
    kept: Indices | None,
    n: int,
    counts: Array | None,
) -> tuple[list[Any], dict[str, Any], Indices | None, dict[str, int]]:
    """Evaluate all factors at the rows where every term has a value, and keep the levels that occur there.

    Returns values of the left side and of all factors, transform states, which rows, and what was lost.
    ``counts`` (n,) are frequency weights: transforms then learn from every row as often as it counts.
    """
    evaluator, values, kept, transformed = _settled(parsed, columns, kept, n)
    warn_losses(transformed)
    if counts is not None and evaluator.states:
        evaluator.states = _learn_repeated(parsed, columns, kept, n, counts)
        evaluator.fitted = True
        values = [factor_value(evaluator, factor) for factor in (parsed.left, *parsed.factors)]
    pruned = [prune(v, f) for v, f in zip(values[1:], parsed.factors, strict=True)]
    return [values[0], *pruned], evaluator.states, kept, transformed


def _settled(
    parsed: Formula, columns: dict[str, Column], kept: Indices | None, n: int
) -> tuple[Evaluator, list[Any], Indices | None, dict[str, int]]:
    """Evaluate all factors; when a transform loses rows, drop these and learn again from the rest."""
    transformed: dict[str, int] = {}
    for _ in range(MAX_PASSES):
        evaluator = Evaluator.of_rows(parsed, columns, n, kept)
        values, lost = _evaluated(parsed, evaluator)
        if not lost:
            return evaluator, values, kept, transformed
        for term, mask in lost.items():
            transformed[term] = transformed.get(term, 0) + int(mask.sum())
        good = ~np.logical_or.reduce(list(lost.values()))
        kept = np.flatnonzero(good) if kept is None else kept[good]
        if not len(kept):
            raise DataError(
                f"No complete rows left: {told_losses(transformed)}; all were missing or made missing by a "
                f"transform"
            )
    raise DataError(
        f"The rows do not settle: {told_losses(transformed)}, again after every learning of the transform; "
        f"compute it in the data first"
    )


def _evaluated(parsed: Formula, evaluator: Evaluator) -> tuple[list[Any], dict[str, Mask]]:
    """Values of the left side and of all factors, and the rows that a term makes missing, by term."""
    values = []
    lost: dict[str, Mask] = {}
    try:
        for factor in (parsed.left, *parsed.factors):
            values.append(factor_value(evaluator, factor))
            mask = made_missing(factor, values[-1])
            if mask is not None:
                lost[factor.name] = mask
    except LostRows as error:
        lost = {error.term: error.mask}
    return values, lost


def _learn_repeated(
    parsed: Formula,
    columns: dict[str, Column],
    kept: Indices | None,
    n: int,
    counts: Array,
) -> dict[str, Any]:
    """States of transforms learnt from rows repeated by their frequency weights."""
    rows = np.arange(n) if kept is None else kept
    total = counts[rows].sum()
    if total > MOST_REPEATED:
        raise DataError(
            f"The frequency weights sum to {total:.3g}, too many for the transforms to learn from; scale "
            f"the columns first"
        )
    rows = np.repeat(rows, counts[rows].astype(np.intp))
    evaluator = Evaluator.of_rows(parsed, columns, n, rows)
    for factor in (parsed.left, *parsed.factors):
        factor_value(evaluator, factor)
    return evaluator.states


def _fitted_kind(column: Column, kept: Indices | None) -> tuple[str, tuple[Any, ...]]:
    if column.numbers is not None:
        return column.kind, ()
    codes = column.values if kept is None else column.values[kept]
    return column.kind, used_levels(codes, column.levels)
