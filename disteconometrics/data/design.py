"""`build_design`: a formula and a table become arrays, with an account of every row.

Order of events: parse and check the formula; read the used columns; drop rows with a missing value and rows
of zero weight; learn transforms from the rows that are left (again, if a transform loses rows); code the
outcome; fill X.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.blocks import Block, FactorMatrix
from disteconometrics.checks import MOST_COUNTED, check_sizes
from disteconometrics.data.evaluate import Basis, Evaluator, Levels, LostRows, UnknownLevel
from disteconometrics.data.formula import Factor, Formula, parse_formula
from disteconometrics.data.outcome import OUTCOMES, code_outcome
from disteconometrics.data.spec import DesignSpec, check_finite, check_made, numeric_column
from disteconometrics.data.table import Column, Table, list_names, show_rows, used_levels
from disteconometrics.data.terms import (
    MOST_COLUMNS,
    Cells,
    Structure,
    cells_beside_others,
    check_terms,
    check_width,
    code_groups,
    column_names,
    matrix,
    scope,
)
from disteconometrics.errors import DataError, FormulaError, MissingValuesWarning, OptionError, warn_user

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["Design", "RowCount", "build_design"]

WEIGHT_TYPES = ("frequency", "sampling")
MAX_PASSES = 20  # a transform of a transform can lose rows again and again: log(scale(x))
MOST_LEVELS = 1_000  # beyond, a categorical must have two rows per level
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
MANY_LEVELS = 20  # text with more levels than this, and than half the rows, is looked at: is it numbers?


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
    level of every factor of many, see `cells_beside_others`.
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

    def column(self, name: str, role: str) -> pd.Series:
        """Return a column of the user's table among the used rows; ``role``, as cluster, goes into messages.

        Returns: Series (n,) with the index of the rows.  Raises: OptionError if ``name`` is no text;
        MissingColumnError; DataError that counts missing values.
        """
        _check_name(name, role)
        raw = self.table.raw(name, role)
        values = raw.array if isinstance(raw, (pd.Series, pd.Index)) else raw
        if self.kept is not None:
            values = values[self.kept]
        series = pd.Series(values, index=self.index, name=name)
        missing = series.isna().to_numpy()
        if isinstance(values, np.ma.MaskedArray):
            missing = missing | np.ma.getmaskarray(values)
        if missing.any():
            raise DataError(
                f"The {role} column {name!r} has {missing.sum()} missing values among the "
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
                    f"The {role} column {name!r} holds nested values; use one plain value per row"
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
) -> Design:
    """Turn a formula and a table into a Design.

    Parameters: ``formula`` as ``"y ~ x1 + C(g)"``; ``data`` a pandas or polars DataFrame or a dict of arrays
    (n,); ``weights`` and ``offset`` names of columns of any numeric dtype; ``weight_type`` frequency or
    sampling, needed with ``weights``; ``outcome`` binary (coded 0/1), ordered
    (coded 0 … J − 1) or numeric.
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
    _check_options(formula, weights, weight_type, offset, outcome)
    table = Table(data)
    others = _others(table, weights, offset) if "." in formula else ()
    parsed = parse_formula(formula, others)
    _check_right_side(parsed, table)
    columns = _columns(parsed, table)
    w, o = _numeric(table, weights, "weights"), _numeric(table, offset, "offset")
    _check_weights(w, weight_type)
    kept, missing, zeros = _complete_rows(parsed, columns, w, o, len(table))
    counts = w.numbers if w is not None and weight_type == "frequency" else None
    (left, *values), states, kept, transformed = _learn(parsed, columns, kept, len(table), counts)
    is_bool, has_order = _is_comparison(parsed.left, columns), _has_order(parsed.left, table)
    coded, y = code_outcome(parsed.left.name, left, outcome, is_bool, has_order)
    check_terms(parsed, values)
    structure = scope(parsed, tuple(map(_span, values)))
    check_width(structure, parsed.factors, values)
    groups = code_groups(structure, parsed.factors, values)
    names = column_names(groups)
    X = matrix(structure, groups, len(y))
    _check_products(X, names, structure)
    shift = _numbers(o, kept)
    if outcome == "numeric":  # a binary outcome has no size, and its columns are measured by the fit
        check_sizes(y[:, None], [coded.name])
        check_sizes(*_without_codes(X, names))
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
    return Design(spec, y, X, used, shift, kept, rows, table, cells)


def _check_name(name: Any, role: str) -> None:
    if isinstance(name, str):
        return
    raise OptionError(
        f"{role} must be the name of a column, not {type(name).__name__}: a column cannot differ from "
        f"the rows in length, order or index; add it with data.assign({role[0]}=…) and pass "
        f"{role}={role[0]!r}"
    )


def _check_options(formula: Any, weights: Any, weight_type: Any, offset: Any, outcome: Any) -> None:
    for name, role in ((weights, "weights"), (offset, "offset")):
        if name is not None:
            _check_name(name, role)
    _check_weight_type(weights, weight_type)
    if not isinstance(outcome, str) or outcome not in OUTCOMES:
        raise OptionError(f"outcome must be {', '.join(map(repr, OUTCOMES))}, not {outcome!r}")
    if not isinstance(formula, str):
        raise OptionError(f"formula must be a string such as 'y ~ x', not {type(formula).__name__}")


def _check_weight_type(weights: Any, weight_type: Any) -> None:
    if weights is None:
        if weight_type is not None:
            raise OptionError("weight_type is given without weights; name the column: weights='…'")
    elif not (isinstance(weight_type, str) and weight_type in WEIGHT_TYPES):
        allowed = " or ".join(map(repr, WEIGHT_TYPES))
        given = "" if weight_type is None else f", not {weight_type!r}"
        raise OptionError(
            f"weights need weight_type={allowed}{given}: frequency repeats rows, sampling is an inverse "
            f"probability"
        )


def _others(table: Table, *taken: str | None) -> tuple[str, ...]:
    """What a dot stands for: all columns but weights and offset (the parser leaves out the outcome)."""
    return tuple(name for name in table.names if isinstance(name, str) and name not in taken)


def _check_right_side(parsed: Formula, table: Table) -> None:
    name = parsed.left.name
    if parsed.left.is_column:
        clash = any(name in f.row_variables for f in parsed.factors)
    else:
        clash = any(name == f.name for f in parsed.factors)
    if clash:
        raise FormulaError(
            f"The outcome {name!r} is also on the right side of the formula; a lag of it may be: lag({name})"
        )
    if parsed.has_dot and not all(isinstance(label, str) for label in table.names):
        raise DataError(
            "'.' stands for every other column, but some labels are not text; rename them with "
            "data.rename(columns=str)"
        )


def _columns(parsed: Formula, table: Table) -> dict[str, Column]:
    """The columns that the formula reads, by name."""
    columns = {name: table.column(name, "the outcome") for name in parsed.left.variables}
    columns |= {name: table.column(name, "the formula") for name in parsed.right_variables}
    if not len(table):
        raise DataError("The table has no rows")
    return columns


def _complete_rows(
    parsed: Formula, columns: dict[str, Column], w: Column | None, o: Column | None, n: int
) -> tuple[Indices | None, dict[str, int], int]:
    """Positions of rows to use (None: all), missing counts by column, complete rows of zero weight."""
    drop, counts = _missing(parsed, columns, [c for c in (w, o) if c is not None], n)
    zeros = 0
    if w is not None:
        zero = (w.values == 0) & ~drop
        zeros = int(np.count_nonzero(zero))
        drop |= zero
    if not drop.any():
        return None, counts, zeros
    kept = np.flatnonzero(~drop)
    if not len(kept):
        raise _nothing_left(n, counts, zeros, w)
    return kept, counts, zeros


def _missing(
    parsed: Formula, columns: dict[str, Column], options: list[Column], n: int
) -> tuple[Mask, dict[str, int]]:
    """Rows (n,) with a missing value in a column that is read in the same row, and their number by column."""
    counts: dict[str, int] = {}
    mask = np.zeros(n, dtype=bool)
    used = dict.fromkeys(v for f in (parsed.left, *parsed.factors) for v in f.row_variables)
    for column in [*(columns[name] for name in used), *options]:
        missing, infinite = column.trouble()
        if infinite is not None:
            check_finite(column, "the formula")
        if missing is not None:
            counts[column.name] = int(missing.sum())
            mask |= missing
    for name, column in columns.items():
        if name not in used:
            check_finite(column, "the formula")
    return mask, counts


def _nothing_left(n: int, counts: dict[str, int], zeros: int, w: Column | None) -> DataError:
    if w is not None and zeros == n:
        return DataError(f"All weights in column {w.name!r} are zero")
    told = ", ".join(f"{name!r}: {count}" for name, count in counts.items())
    more = f"; {zeros} rows have weight zero" if zeros else ""
    return DataError(f"No complete rows left of {n}; missing values per column are {told or 'none'}{more}")


def _numeric(table: Table, name: str | None, role: str) -> Column | None:
    return None if name is None else numeric_column(table, name, role)


def _check_weights(w: Column | None, weight_type: str | None) -> None:
    if w is None:
        return
    numbers = w.values
    with np.errstate(over="ignore"):
        total = float(np.nansum(numbers))
    if total > (MOST_COUNTED if weight_type == "frequency" else sys.float_info.max):
        raise DataError(
            f"The weights column {w.name!r} sums to {total:.3g}, more than can be counted; divide it by a "
            f"constant"
        )
    if (numbers < 0).any():
        raise DataError(
            f"The weights column {w.name!r} has negative values in {show_rows(numbers < 0)}; weights "
            f"must be ≥ 0"
        )
    if weight_type == "frequency":
        wrong = (numbers != np.rint(numbers)) & ~np.isnan(numbers)
        if wrong.any():
            raise DataError(
                f"The weights column {w.name!r} has values that are not whole numbers in "
                f"{show_rows(wrong)}; frequency weights "
                "count rows. For inverse probabilities use weight_type='sampling'"
            )


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
    _warn(transformed)
    if counts is not None and evaluator.states:
        evaluator.states = _learn_repeated(parsed, columns, kept, n, counts)
        evaluator.fitted = True
        values = [_value(evaluator, factor) for factor in (parsed.left, *parsed.factors)]
    pruned = [_prune(v, f) for v, f in zip(values[1:], parsed.factors, strict=True)]
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
                f"No complete rows left: {_told(transformed)}; all were missing or made missing by a "
                f"transform"
            )
    raise DataError(
        f"The rows do not settle: {_told(transformed)}, again after every learning of the transform; "
        f"compute it in the data first"
    )


def _evaluated(parsed: Formula, evaluator: Evaluator) -> tuple[list[Any], dict[str, Mask]]:
    """Values of the left side and of all factors, and the rows that a term makes missing, by term."""
    values = []
    lost: dict[str, Mask] = {}
    try:
        for factor in (parsed.left, *parsed.factors):
            values.append(_value(evaluator, factor))
            mask = _made_missing(factor, values[-1])
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
        _value(evaluator, factor)
    return evaluator.states


def _told(transformed: dict[str, int]) -> str:
    return ", ".join(
        f"the term {term!r} is missing (NaN) in {count} rows" for term, count in transformed.items()
    )


def _warn(transformed: dict[str, int]) -> None:
    hint = "a log of a negative number and a lag of the first row do this"
    for term, count in transformed.items():
        message = (
            f"The term {term!r} is missing (NaN) in {count} rows whose columns are complete; these "
            f"rows are dropped"
        )
        warn_user(MissingValuesWarning(message, column=term, hint=hint))


def _value(evaluator: Evaluator, factor: Factor) -> Any:
    try:
        value = evaluator.factor(factor.node, factor.name)
    except UnknownLevel as error:
        raise DataError(
            f"The term {factor.name!r} has values outside its levels=: {error.where}; levels are "
            f"{list_names(error.known)}"
        ) from None
    except RecursionError:
        raise FormulaError(
            f"The term {factor.name[:60]!r} is nested too deeply; build the column in the data first"
        ) from None
    check_made(factor, value)
    return value


def _made_missing(factor: Factor, value: Any) -> Mask | None:
    """Rows that a term makes missing; plain columns have none left."""
    if factor.is_column:
        return None
    if isinstance(value, Levels):
        mask: Mask = value.codes < 0
        return mask if mask.any() else None
    made = list(value.columns.values()) if isinstance(value, Basis) else [value]
    with np.errstate(all="ignore"):
        if all(np.isfinite(a.sum()) for a in made):
            return None
    mask = np.logical_or.reduce([np.isnan(a) for a in made])
    return mask if mask.any() else None


def _prune(value: Any, factor: Factor) -> Any:
    """Keep the levels that occur, unless the formula lists them; refuse too many, and numbers as text."""
    if not isinstance(value, Levels):
        return value
    if not value.explicit:
        used = np.bincount(value.codes, minlength=len(value.levels)) > 0
        if not used.all():
            codes = (np.cumsum(used) - 1)[value.codes].astype(np.intp)
            value = replace(value, codes=codes, levels=used_levels(value.codes, value.levels))
    _check_levels(value, factor)
    return value


def _check_levels(value: Levels, factor: Factor) -> None:
    count, n = len(value.levels), len(value.codes)
    texts = [level for level in value.levels if isinstance(level, str)]
    if len(texts) > max(MANY_LEVELS, n / 2):
        numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
        if numbers.notna().mean() > 0.9:
            raise DataError(
                f"Column {list_names(factor.variables)} holds numbers as text ({list_names(texts, 3)}); "
                f"convert it with pd.to_numeric"
            )
    if count > MOST_COLUMNS or (count > MOST_LEVELS and 2 * count > n):
        raise DataError(
            f"The categorical {factor.name!r} has {count} levels in {n} rows, and each would be a "
            f"column, of which {MOST_COLUMNS:,} are fitted at most; group them"
        )


def _span(value: Any) -> bool | None:
    if isinstance(value, Levels):
        return value.spans_intercept
    return True if isinstance(value, Basis) and value.spans_intercept else None


def _without_codes(X: Array | FactorMatrix, names: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """The columns that are written out, and their names."""
    if isinstance(X, FactorMatrix):
        return X.other, names[: X.at] + names[X.at + X.coding.shape[1] :]
    return X, names


def _check_products(X: Array | FactorMatrix, names: tuple[str, ...], structure: Structure) -> None:
    """Products of finite columns can overflow; single columns are checked already."""
    X, names = _without_codes(X, names)
    if all(len(places) < 2 and scale == 1 for scale, places in structure):
        return
    with np.errstate(all="ignore"):
        if np.isfinite(X.sum()):
            return
    wrong = ~np.isfinite(X)
    if wrong.any():
        name = names[int(np.flatnonzero(wrong.any(axis=0))[0])]
        raise DataError(f"The term {name!r} makes inf: the product is beyond float64; rescale its columns")


def _is_comparison(left: Factor, columns: dict[str, Column]) -> bool:
    """Whether the outcome is true/false by itself, which is how its success is then printed."""
    return left.is_column and columns[left.name].kind == "bool"


def _has_order(left: Factor, table: Table) -> bool:
    """Whether the outcome is an ordered categorical."""
    dtype = getattr(table.raw(left.variables[0], "the outcome"), "dtype", None) if left.is_column else None
    return isinstance(dtype, pd.CategoricalDtype) and bool(dtype.ordered)


def _fitted_kind(column: Column, kept: Indices | None) -> tuple[str, tuple[Any, ...]]:
    if column.numbers is not None:
        return column.kind, ()
    codes = column.values if kept is None else column.values[kept]
    return column.kind, used_levels(codes, column.levels)
