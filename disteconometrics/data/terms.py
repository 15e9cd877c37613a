"""Evaluated factors to columns of X: the coding of categoricals (formulaic's rank rule), names, filling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from formulaic.materializers.base import FormulaMaterializer
from formulaic.materializers.types import EvaluatedFactor, FactorValues, ScopedTerm
from formulaic.parser.types import Factor as _FormulaicFactor
from formulaic.transforms.contrasts import TreatmentContrasts

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.blocks import FactorMatrix, chunk_rows
from disteconometrics.data.evaluate import Basis, Levels
from disteconometrics.errors import DataError, FormulaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from disteconometrics.data.formula import Factor, Formula

__all__ = [
    "Cells",
    "Coded",
    "Group",
    "Structure",
    "cells_beside_others",
    "check_terms",
    "check_width",
    "code_groups",
    "column_names",
    "crossed_cells",
    "fill",
    "matrix",
    "pieces",
    "scope",
    "width",
]

# a group of columns: (scale, ((position of the factor, reduced coding?), …)); () is the intercept
Group = tuple[float, tuple[tuple[int, bool], ...]]
Structure = tuple[Group, ...]

FACTOR_ROWS = 50_000  # from so many rows on …
FACTOR_COLUMNS = 8  # … a factor of so many columns is kept as codes …
MOST_COLUMNS = 4_000  # more would take minutes and gigabytes for their information alone
MOST_CELLS = 2 * 10**9  # of columns written out: 16 GB
FEW_LEVELS = 12  # so many do not bias the slopes beside them by half a standard error, whatever their rows
MOST_CROSSED = 60_000  # subsets of the factors of all terms, whose coding is sorted out in two seconds
FEWER = "group the levels, leave crossed factors out, or make rows of means"
CHUNK_BYTES = 1 << 20  # rows are filled in blocks of about this size, which stay in the cache


@lru_cache(maxsize=256)
def scope(formula: Formula, spans: tuple[bool | None, ...]) -> Structure:
    """Return the groups of columns of a design.

    ``spans`` says for each factor: None numeric, else categorical and whether it spans the constant. Returns:
    Structure.  Raises: nothing.
    """
    factors = [
        EvaluatedFactor(
            _FormulaicFactor(f"{i}", eval_method="lookup"),
            FactorValues(0, kind="numerical" if span is None else "categorical", spans_intercept=bool(span)),
        )
        for i, span in enumerate(spans)
    ]
    spanned: set[ScopedTerm] = set()
    out: list[Group] = []
    for scale, places in formula.terms:
        span = (
            FormulaMaterializer._get_scoped_terms_spanned_by_evaled_factors([factors[p] for p in places])
            - spanned
        )
        simple = FormulaMaterializer._simplify_scoped_terms(span)
        out.extend(
            (scale, tuple((int(f.factor.expr), bool(f.reduced)) for f in term.factors)) for term in simple
        )
        spanned.update(span)
    return tuple(out)


@dataclass(frozen=True, eq=False)
class Coded:
    """A factor as columns: either arrays (n,) each, or codes (n,) into a small matrix (levels, c)."""

    names: list[str]
    arrays: list[Array]
    codes: Indices | None = None
    matrix: Array | None = None

    def block(self, rows: slice) -> Array:
        """Return the columns (m, c) at some rows.  Raises: nothing."""
        if self.matrix is not None and self.codes is not None:
            return self.matrix[self.codes[rows]]
        if len(self.arrays) == 1:
            return self.arrays[0][rows, None]
        return np.stack([a[rows] for a in self.arrays], axis=1)


def check_terms(formula: Formula, values: list[Any]) -> None:
    """Refuse products of factors that make more columns than are fitted, before anything is made of them.

    Raises: DataError; FormulaError for crossings whose coding would take long to sort out.
    """
    check_width(
        tuple((s, tuple((i, True) for i in places)) for s, places in formula.terms), formula.factors, values
    )
    crossed = [sum(isinstance(values[i], Levels) for i in places) for _, places in formula.terms]
    if sum(2**many for many in crossed) > MOST_CROSSED:
        raise FormulaError(f"The formula crosses {max(crossed)} factors with all of their products; {FEWER}")


def check_width(structure: Structure, factors: Sequence[Factor], values: list[Any]) -> int:
    """Return the number of columns of a structure, before their names and codings are made.

    Raises: DataError for more than `MOST_COLUMNS`.
    """
    widths = [math.prod(_width(values[i], reduced) for i, reduced in places) for _, places in structure]
    if sum(widths) > MOST_COLUMNS:
        widest = structure[max(range(len(widths)), key=widths.__getitem__)][1]
        name = ":".join(factors[i].name for i, _ in widest)
        raise DataError(
            f"The design would have at least {_count(sum(widths))} columns, {_count(max(widths))} of them of "
            f"{name[:200]!r}; at most {MOST_COLUMNS:,} are fitted: {FEWER}"
        )
    return sum(widths)


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "more than 10**12"


def _width(value: Any, reduced: bool) -> int:
    if isinstance(value, Levels):
        return len(value.levels) - reduced
    if isinstance(value, Basis):
        return len(value.columns) - (reduced and value.drop_field in value.columns)
    return 1


class Cells(NamedTuple):
    """A factor, or several that are crossed, and the rows (c,) in each of its levels or cells that occurs."""

    name: str
    rows: Array


def cells_beside_others(
    structure: Structure, factors: Sequence[Factor], values: list[Any], counts: Array | None = None
) -> tuple[Cells, ...]:
    """Return the rows in levels of every factor, or cells of several, beside which there are other columns.

    ``counts`` (n,) are frequency weights. Few levels are left out: at most `FEW_LEVELS`. Raises: nothing.
    """

    def rows_in(group: tuple[int, ...]) -> Array:
        codes = values[group[0]].codes
        for i in group[1:]:
            codes = np.unique(codes * len(values[i].levels) + values[i].codes, return_inverse=True)[1]
        return as_floats(np.bincount(codes.reshape(-1), counts))

    return crossed_cells(structure, factors, values, rows_in)


def crossed_cells(
    structure: Structure,
    factors: Sequence[Factor],
    values: list[Any],
    rows_in: Callable[[tuple[int, ...]], Array],
) -> tuple[Cells, ...]:
    """The same by a function that counts the rows in the cells of some factors.  Raises: nothing."""
    used = {i for _, places in structure for i, _ in places}
    crossed = {tuple(i for i, _ in places if isinstance(values[i], Levels)) for _, places in structure}
    out = []
    for group in sorted(crossed - {()}):
        if not used - set(group) or math.prod(len(values[i].levels) for i in group) <= FEW_LEVELS:
            continue
        rows = rows_in(group)
        out.append(Cells(":".join(factors[i].name for i in group), as_floats(rows[rows > 0])))
    return tuple(out)


def _code(name: str, value: Any, reduced: bool) -> Coded:
    if isinstance(value, Levels):
        return _code_levels(name, value, reduced)
    if isinstance(value, Basis):
        fields = [f for f in value.columns if not (reduced and f == value.drop_field)]
        return Coded(
            [value.spelling.format(name=name, field=f) for f in fields], [value.columns[f] for f in fields]
        )
    return Coded([name], [value])


def _code_levels(name: str, value: Levels, reduced: bool) -> Coded:
    contrasts = value.contrasts if value.contrasts is not None else TreatmentContrasts()
    levels = list(value.levels)
    if reduced and len(levels) < 2:
        raise DataError(
            f"The categorical {name!r} has only one level ({', '.join(map(repr, levels)) or 'none'}) "
            f"among the rows used; it has no variation: drop it"
        )
    try:
        with np.errstate(all="ignore"):
            matrix = as_floats(contrasts.get_coding_matrix(levels, reduced_rank=reduced))
        fields = contrasts.get_coding_column_names(levels, reduced_rank=reduced)
        if not np.isfinite(matrix).all():
            raise ValueError("the contrasts are not all finite; scores must be distinct numbers")
    except Exception as error:
        raise FormulaError(
            f"The categorical {name!r} with levels {levels[:20]} cannot be coded: {error}"
        ) from None
    spelling = contrasts.get_factor_format(levels, reduced_rank=reduced)
    return Coded(
        [spelling.format(name=name, field=f) for f in fields], [], value.codes, np.ascontiguousarray(matrix)
    )


def _product_names(parts: list[Coded]) -> list[str]:
    names = [""]
    for i, part in enumerate(parts):  # the first factor runs fastest, as in formulaic and R
        names = [f"{old}:{new}" if i else new for new in part.names for old in names]
    return names


def code_groups(structure: Structure, factors: Sequence[Factor], values: list[Any]) -> list[list[Coded]]:
    """Return the coded factors of every group of columns; ``values`` are those of the factors.

    Returns: a list for each group, empty for the intercept.  Raises: DataError for one-level categoricals;
    FormulaError for a contrast that does not fit.
    """
    coded: dict[tuple[int, bool], Coded] = {}
    for i, reduced in dict.fromkeys(place for _, places in structure for place in places):
        coded[i, reduced] = _code(factors[i].name, values[i], reduced)
    return [[coded[place] for place in places] for _, places in structure]


def column_names(groups: list[list[Coded]]) -> tuple[str, ...]:
    """Return the names of the columns of all groups.

    Returns: tuple.  Raises: FormulaError for names that are not unique.
    """
    out = [name for parts in groups for name in (_product_names(parts) if parts else ["Intercept"])]
    if len(set(out)) < len(out):
        double = next(name for name in out if out.count(name) > 1)
        raise FormulaError(
            f"Two columns of the design are called {double!r}; rename the column in the data"
            + (" or drop the intercept with '0 +'" if double == "Intercept" else "")
        )
    return tuple(out)


def fill(structure: Structure, groups: list[list[Coded]], n: int) -> Array:
    """Return X (n, k) float64 row-major, filled block by block, each written while it is in the cache.

    Raises: nothing.
    """
    k = sum(map(width, groups))
    X = np.empty((n, k))
    step = max(256, CHUNK_BYTES // (8 * max(k, 1)))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        j = 0
        with np.errstate(all="ignore"):  # a product beyond float64 is reported by its name later
            for (scale, _), parts in zip(structure, groups, strict=True):
                j = _fill_group(X[rows], rows, j, scale, parts)
    return X


def matrix(structure: Structure, groups: list[list[Coded]], n: int) -> Array | FactorMatrix:
    """Return X (n, k): filled, or with its largest factor kept as codes where columns and rows are many.

    Returns: array or FactorMatrix.  Raises: DataError for columns that the memory would not hold.
    """
    largest = _largest_factor(structure, groups) if n >= FACTOR_ROWS else None
    widths = [width(parts) for parts in groups]
    written = sum(widths) - (0 if largest is None else widths[largest])
    if n * written > MOST_CELLS:
        size = f"{n:,} rows of {written:,} columns, which take {8 * n * written / 1e9:.0f} GB"
        raise DataError(f"The design would have {size}; {FEWER}")
    if largest is None:
        return fill(structure, groups, n)
    return _beside(structure, groups, largest, slice(0, n))


def pieces(
    structure: Structure, groups: list[list[Coded]], n: int, step: int | None = None
) -> Iterator[tuple[slice, Array | FactorMatrix]]:
    """Yield X (n, k) column-major, ``step`` rows at a time (None: as many as a pass takes at once).

    Columns are copied into memory that is used again and stays in the cache, so that rows that are kept as
    columns are written at no cost.  Raises: nothing.
    """
    largest = _largest_factor(structure, groups) if n >= FACTOR_ROWS else None
    k = sum(width(parts) for i, parts in enumerate(groups) if i != largest)
    step = chunk_rows(k) if step is None else step
    for start in range(0, max(n, 1), max(step, 1)):
        rows = slice(start, min(start + step, n))
        if largest is None:
            yield rows, _columns(structure, groups, rows)
        else:
            yield rows, _beside(structure, groups, largest, rows)


def _columns(
    structure: Structure, groups: list[list[Coded]], rows: slice, without: int | None = None
) -> Array:
    """The columns of all groups but one at some rows, column-major."""
    widths = [0 if i == without else width(parts) for i, parts in enumerate(groups)]
    X = np.empty((rows.stop - rows.start, sum(widths)), order="F")
    with np.errstate(all="ignore"):
        j = 0
        for (scale, _), parts, columns in zip(structure, groups, widths, strict=True):
            if columns:
                j = _fill_group(X, rows, j, scale, parts)
    return X


def _beside(structure: Structure, groups: list[list[Coded]], largest: int, rows: slice) -> FactorMatrix:
    """The columns at some rows, those of the largest factor as codes."""
    chosen = groups[largest][0]
    assert chosen.codes is not None
    assert chosen.matrix is not None
    other = _columns(structure, groups, rows, largest)
    return FactorMatrix(other, chosen.codes[rows], chosen.matrix, sum(map(width, groups[:largest])))


def _largest_factor(structure: Structure, groups: list[list[Coded]]) -> int | None:
    """The group of the widest categorical that stands by itself, if it is wide enough to be kept as codes."""
    factors = [
        i
        for i, parts in enumerate(groups)
        if len(parts) == 1 and parts[0].codes is not None and structure[i][0] == 1
    ]
    largest = max(factors, key=lambda i: width(groups[i]), default=None)
    return None if largest is None or width(groups[largest]) < FACTOR_COLUMNS else largest


def width(parts: list[Coded]) -> int:
    """Return the number of columns of a group.  Raises: nothing."""
    return math.prod(len(part.names) for part in parts)


def _fill_group(X: Array, rows: slice, j: int, scale: float, parts: list[Coded]) -> int:
    """Write the columns of a group at some rows into X (m, k) from column j on."""
    if not parts:
        X[:, j] = scale
        return j + 1
    if len(parts) == 1 and len(parts[0].arrays) == 1:
        values = parts[0].arrays[0][rows]
        X[:, j] = values if scale == 1 else values * scale
        return j + 1
    made = parts[0].block(rows)
    for part in parts[1:]:
        block = part.block(rows)
        made = (block[:, :, None] * made[:, None, :]).reshape(len(made), -1)
    end = j + int(made.shape[1])
    X[:, j:end] = made if scale == 1 else made * scale
    return end
