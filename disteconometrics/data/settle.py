"""Rows and terms of a formula, read alike of tables and streams: checks, missing values, levels."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask
from disteconometrics.blocks import FactorMatrix
from disteconometrics.checks import MOST_COUNTED
from disteconometrics.data.evaluate import Basis, Evaluator, Levels, UnknownLevel
from disteconometrics.data.formula import parse_formula, split_sides, split_top_level
from disteconometrics.data.outcome import OUTCOMES
from disteconometrics.data.recorded import RECORDERS
from disteconometrics.data.recorders import Recorded, read_records
from disteconometrics.data.spec import check_finite, check_made
from disteconometrics.data.syntax import infinite_variables, variables_of
from disteconometrics.data.table import Column, Table, list_names, show_rows, used_levels
from disteconometrics.data.terms import MOST_COLUMNS, Structure
from disteconometrics.errors import (
    DataError,
    FormulaError,
    MissingValuesWarning,
    OptionError,
    OutcomeError,
    warn_user,
)

if TYPE_CHECKING:
    from disteconometrics.data.formula import Factor, Formula

__all__ = [
    "check_level_counts",
    "check_name",
    "check_options",
    "check_products",
    "check_right_side",
    "check_weights",
    "factor_value",
    "is_comparison",
    "made_missing",
    "missing_rows",
    "nothing_left",
    "other_columns",
    "prune",
    "read_columns",
    "refuse_recorders",
    "refused_recorders",
    "span_of",
    "told_losses",
    "warn_losses",
    "without_codes",
]

TAKE_RECORDS = ("NormalRegression", "FlowDensity")  # estimators
WEIGHT_TYPES = ("frequency", "sampling")
MOST_LEVELS = 1_000  # beyond, a categorical must have two rows per level
MANY_LEVELS = 20  # text with more levels than this, and than half the rows, is looked at: is it numbers?


def check_name(name: Any, role: str) -> None:
    """Refuse what is no name of a column."""
    if isinstance(name, str):
        return
    raise OptionError(
        f"{role} must be the name of a column, not {type(name).__name__}: a column cannot differ from "
        f"the rows in length, order or index; add it with data.assign({role[0]}=…) and pass "
        f"{role}={role[0]!r}"
    )


def check_options(formula: Any, weights: Any, weight_type: Any, offset: Any, outcome: Any) -> None:
    """Refuse options of a design that are not allowed."""
    for name, role in ((weights, "weights"), (offset, "offset")):
        if name is not None:
            check_name(name, role)
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


def other_columns(table: Table, *taken: str | None) -> tuple[str, ...]:
    """What a dot stands for: all columns but weights and offset (the parser leaves out the outcome)."""
    return tuple(name for name in table.names if isinstance(name, str) and name not in taken)


def check_right_side(parsed: Formula, table: Table, *, recorded: bool = False) -> None:
    """Refuse the outcome on the right side, and a dot beside labels that are no text.

    ``recorded`` says whether the left side may say how the outcome was recorded.
    """
    if parsed.left.is_recorded and not recorded:
        raise refused_recorders(parsed.left, "This estimator")
    name = parsed.left.name
    if parsed.left.is_column or parsed.left.is_recorded:
        own = variables_of(parsed.left.node, same_row=True)
        clash = any(v in f.row_variables for v in own for f in parsed.factors)
    else:
        clash = any(name == f.name for f in parsed.factors)
    if clash:
        remedy = "" if parsed.left.is_recorded else f"; a lag of it may be: lag({name})"
        raise FormulaError(f"The outcome {name!r} is also on the right side of the formula{remedy}")
    if parsed.has_dot and not all(isinstance(label, str) for label in table.names):
        raise DataError(
            "'.' stands for every other column, but some labels are not text; rename them with "
            "data.rename(columns=str)"
        )


def refuse_recorders(formula: Any, who: str) -> None:
    """Refuse a formula whose left side says how outcomes were recorded; what cannot be read is told later."""
    if not isinstance(formula, str) or not any(f"{name}(" in formula for name in RECORDERS):
        return
    try:
        left = split_sides(formula)[0]
        found = [parse_formula(f"{one} ~ 1").left for one in split_top_level(left, "+")]
    except FormulaError:
        return
    for factor in found:
        if factor.is_recorded:
            raise refused_recorders(factor, who)


def refused_recorders(left: Factor, who: str) -> OutcomeError:
    """Why an estimator does not take a left side that says how the outcome was recorded."""
    return OutcomeError(
        f"{who} takes outcomes as they stand in the table, not {left.name!r}: "
        f"{' and '.join(TAKE_RECORDS)} fit the law of an outcome that was recorded so. For an event of it "
        f"write e.g. 'I(y >= 40)', for grades an ordered categorical"
    )


def read_columns(parsed: Formula, table: Table) -> dict[str, Column]:
    """The columns that the formula reads, by name."""
    columns = {name: table.column(name, "the outcome") for name in parsed.left.variables}
    columns |= {name: table.column(name, "the formula") for name in parsed.right_variables}
    if not len(table):
        raise DataError("The table has no rows")
    return columns


def missing_rows(
    parsed: Formula, columns: dict[str, Column], options: list[Column], n: int
) -> tuple[Mask, dict[str, int]]:
    """Rows (n,) with a missing value in a column that is read in the same row, and their number by column."""
    counts: dict[str, int] = {}
    mask = np.zeros(n, dtype=bool)
    used = dict.fromkeys(v for f in (parsed.left, *parsed.factors) for v in f.row_variables)
    free = _open_columns(parsed) if parsed.left.is_recorded else set()
    for column in [*(columns[name] for name in used), *options]:
        missing, infinite = column.trouble()
        if infinite is not None and column.name not in free:
            check_finite(column, "the formula")
        if missing is not None:
            counts[column.name] = int(missing.sum())
            mask |= missing
    for name, column in columns.items():
        if name not in used and name not in free:
            check_finite(column, "the formula")
    return mask, counts


def _open_columns(parsed: Formula) -> set[str]:
    """Columns in which inf says something: that of the left side alone."""
    right = {v for f in parsed.factors for v in f.variables}
    return set(infinite_variables(parsed.left.node)) - right


def nothing_left(n: int, counts: dict[str, int], zeros: int, w: Column | None) -> DataError:
    """What is said where no complete row is left."""
    if w is not None and zeros == n:
        return DataError(f"All weights in column {w.name!r} are zero")
    told = ", ".join(f"{name!r}: {count}" for name, count in counts.items())
    more = f"; {zeros} rows have weight zero" if zeros else ""
    return DataError(f"No complete rows left of {n}; missing values per column are {told or 'none'}{more}")


def check_weights(w: Column | None, weight_type: str | None) -> None:
    """Refuse weights that cannot be: negative, too large, or no counts."""
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


def told_losses(transformed: dict[str, int]) -> str:
    """Rows that terms make missing, in words."""
    return ", ".join(
        f"the term {term!r} is missing (NaN) in {count} rows" for term, count in transformed.items()
    )


def warn_losses(transformed: dict[str, int]) -> None:
    """Warn of rows that terms make missing."""
    hint = "a log of a negative number, a lag of the first row and an interval open at both ends do this"
    for term, count in transformed.items():
        message = (
            f"The term {term!r} is missing (NaN) in {count} rows whose columns are complete; these "
            f"rows are dropped"
        )
        warn_user(MissingValuesWarning(message, column=term, hint=hint))


def factor_value(evaluator: Evaluator, factor: Factor) -> Any:
    """The value of a factor, its troubles told by the name of the term."""
    try:
        if factor.is_recorded:
            value: Any = read_records(evaluator, factor.node, factor.name)
        else:
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


def made_missing(factor: Factor, value: Any) -> Mask | None:
    """Rows that a term makes missing; plain columns have none left."""
    if factor.is_column:
        return None
    if isinstance(value, (Levels, Recorded)):
        mask: Mask = value.codes < 0 if isinstance(value, Levels) else value.lost
        return mask if mask.any() else None
    made = list(value.columns.values()) if isinstance(value, Basis) else [value]
    with np.errstate(all="ignore"):
        if all(np.isfinite(a.sum()) for a in made):
            return None
    mask = np.logical_or.reduce([np.isnan(a) for a in made])
    return mask if mask.any() else None


def prune(value: Any, factor: Factor) -> Any:
    """Keep the levels that occur, unless the formula lists them; refuse too many, and numbers as text."""
    if not isinstance(value, Levels):
        return value
    if not value.explicit:
        used = np.bincount(value.codes, minlength=len(value.levels)) > 0
        if not used.all():
            codes = (np.cumsum(used) - 1)[value.codes].astype(np.intp)
            value = replace(value, codes=codes, levels=used_levels(value.codes, value.levels))
    check_level_counts(value, factor, len(value.codes))
    return value


def check_level_counts(value: Levels, factor: Factor, n: int) -> None:
    """Refuse too many levels in n rows, and numbers as text.  Raises: DataError."""
    count = len(value.levels)
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


def span_of(value: Any) -> bool | None:
    """Whether a categorical spans the constant, None for numbers."""
    if isinstance(value, Levels):
        return value.spans_intercept
    return True if isinstance(value, Basis) and value.spans_intercept else None


def without_codes(X: Array | FactorMatrix, names: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """The columns that are written out, and their names."""
    if isinstance(X, FactorMatrix):
        return X.other, names[: X.at] + names[X.at + X.coding.shape[1] :]
    return X, names


def check_products(X: Array | FactorMatrix, names: tuple[str, ...], structure: Structure) -> None:
    """Products of finite columns can overflow; single columns are checked already."""
    X, names = without_codes(X, names)
    if all(len(places) < 2 and scale == 1 for scale, places in structure):
        return
    with np.errstate(all="ignore"):
        if np.isfinite(X.sum()):
            return
    wrong = ~np.isfinite(X)
    if wrong.any():
        name = names[int(np.flatnonzero(wrong.any(axis=0))[0])]
        raise DataError(f"The term {name!r} makes inf: the product is beyond float64; rescale its columns")


def is_comparison(left: Factor, columns: dict[str, Column]) -> bool:
    """Whether the outcome is true/false by itself, which is how its success is then printed."""
    return left.is_column and columns[left.name].kind == "bool"
