"""Evaluated factors to columns of X: which coding each categorical gets (formulaic's rank rule), names, and the filling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from formulaic.materializers.base import FormulaMaterializer
from formulaic.materializers.types import EvaluatedFactor, FactorValues, ScopedTerm
from formulaic.parser.types import Factor as _FormulaicFactor
from formulaic.transforms.contrasts import TreatmentContrasts

from disteconometrics.blocks import FactorMatrix
from disteconometrics.data.evaluate import Basis, Levels
from disteconometrics.errors import DataError, FormulaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from disteconometrics.data.formula import Formula

__all__ = ["Structure", "fill", "matrix", "names_of", "scope"]

# one entry per group of columns: (scale, ((position of the factor, reduced coding?), …)); () is the intercept
Structure = tuple[tuple[float, tuple[tuple[int, bool], ...]], ...]

FACTOR_ROWS = 50_000  # from so many rows on …
FACTOR_COLUMNS = 8  # … a factor of so many columns is kept as codes …
MOST_FACTOR_COLUMNS = 2_000  # … but not one whose information would outgrow the rows
CHUNK_BYTES = 1 << 20  # rows are filled in blocks of about this size, which stay in the cache


@lru_cache(maxsize=256)
def scope(formula: Formula, spans: tuple[bool | None, ...]) -> Structure:
    """Return the groups of columns of a design; ``spans`` says for each factor: None numeric, else categorical and spanning 1.

    Returns: Structure.  Raises: nothing.
    """
    factors = [
        EvaluatedFactor(
            _FormulaicFactor(f"{i}", eval_method="lookup"),
            FactorValues(0, kind="numerical" if span is None else "categorical", spans_intercept=bool(span)),
        )
        for i, span in enumerate(spans)
    ]
    spanned: set[ScopedTerm] = set()
    out: list[tuple[float, tuple[tuple[int, bool], ...]]] = []
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
class _Coded:
    """A factor as columns: either arrays (n,) each, or codes (n,) into a small matrix (levels, c)."""

    names: list[str]
    arrays: list[NDArray[np.float64]]
    codes: NDArray[np.intp] | None = None
    matrix: NDArray[np.float64] | None = None

    def block(self, rows: slice) -> NDArray[np.float64]:
        if self.matrix is not None and self.codes is not None:
            return self.matrix[self.codes[rows]]
        if len(self.arrays) == 1:
            return self.arrays[0][rows, None]
        return np.stack([a[rows] for a in self.arrays], axis=1)


def _code(name: str, value: Any, reduced: bool) -> _Coded:
    if isinstance(value, Levels):
        return _code_levels(name, value, reduced)
    if isinstance(value, Basis):
        fields = [f for f in value.columns if not (reduced and f == value.drop_field)]
        return _Coded(
            [value.spelling.format(name=name, field=f) for f in fields], [value.columns[f] for f in fields]
        )
    return _Coded([name], [value])


def _code_levels(name: str, value: Levels, reduced: bool) -> _Coded:
    contrasts = value.contrasts if value.contrasts is not None else TreatmentContrasts()
    levels = list(value.levels)
    if reduced and len(levels) < 2:
        raise DataError(
            f"The categorical {name!r} has only one level ({', '.join(map(repr, levels)) or 'none'}) "
            f"among the rows used; "
            "it has no variation: drop it"
        )
    try:
        matrix = np.asarray(contrasts.get_coding_matrix(levels, reduced_rank=reduced), dtype=np.float64)
        fields = contrasts.get_coding_column_names(levels, reduced_rank=reduced)
    except Exception as error:
        raise FormulaError(
            f"The categorical {name!r} with levels {levels[:20]} cannot be coded: {error}"
        ) from None
    spelling = contrasts.get_factor_format(levels, reduced_rank=reduced)
    return _Coded(
        [spelling.format(name=name, field=f) for f in fields], [], value.codes, np.ascontiguousarray(matrix)
    )


def _product_names(parts: list[_Coded]) -> list[str]:
    names = [""]
    for i, part in enumerate(parts):  # the first factor runs fastest, as in formulaic and R
        names = [f"{old}:{new}" if i else new for new in part.names for old in names]
    return names


def names_of(
    structure: Structure, names: list[str], values: list[Any]
) -> tuple[tuple[str, ...], list[list[_Coded]]]:
    """Return the column names of a structure and its coded parts; ``names`` and ``values`` are those of the factors.

    Returns: (names, parts).  Raises: FormulaError for names that are not unique; DataError for one-level
    categoricals.
    """
    coded: dict[tuple[int, bool], _Coded] = {}
    out: list[str] = []
    groups = []
    for _, places in structure:
        for place in places:
            if place not in coded:
                coded[place] = _code(names[place[0]], values[place[0]], place[1])
        parts = [coded[place] for place in places]
        out.extend(_product_names(parts) if parts else ["Intercept"])
        groups.append(parts)
    if len(set(out)) < len(out):
        double = next(name for name in out if out.count(name) > 1)
        raise FormulaError(
            f"Two columns of the design are called {double!r}; rename the column in the data"
            + (" or drop the intercept with '0 +'" if double == "Intercept" else "")
        )
    return tuple(out), groups


def fill(structure: Structure, groups: list[list[_Coded]], n: int, k: int) -> NDArray[np.float64]:
    """Return X (n, k) float64 row-major, filled block by block so that every block is written while in the cache.

    Returns: array.  Raises: DataError when X cannot fit because levels outnumber rows.
    """
    if k > n and n * k > 10**8:
        raise DataError(f"The design would have {k} columns for {n} rows; a categorical has too many levels")
    X = np.empty((n, k))
    step = max(256, CHUNK_BYTES // (8 * max(k, 1)))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        j = 0
        with np.errstate(all="ignore"):  # a product beyond float64 is reported by its name later
            for (scale, _), parts in zip(structure, groups, strict=True):
                j = _fill_group(X, rows, j, scale, parts)
    return X


def matrix(
    structure: Structure, groups: list[list[_Coded]], n: int, k: int
) -> NDArray[np.float64] | FactorMatrix:
    """Return X (n, k): filled, or with its largest factor kept as codes where columns would be many and rows too.

    Returns: array or FactorMatrix.  Raises: as `fill`.
    """
    widths = [_width(parts) for parts in groups]
    factors = [
        i
        for i, parts in enumerate(groups)
        if len(parts) == 1 and parts[0].codes is not None and structure[i][0] == 1
    ]
    largest = max(factors, key=widths.__getitem__, default=None)
    if largest is None or n < FACTOR_ROWS or not FACTOR_COLUMNS <= widths[largest] <= MOST_FACTOR_COLUMNS:
        return fill(structure, groups, n, k)
    chosen = groups[largest][0]
    assert chosen.codes is not None
    assert chosen.matrix is not None
    rest = [i for i in range(len(groups)) if i != largest]
    other = np.empty((n, k - widths[largest]), order="F")
    with np.errstate(all="ignore"):
        j = 0
        for i in rest:
            j = _fill_group(other, slice(0, n), j, structure[i][0], groups[i])
    return FactorMatrix(other, chosen.codes, chosen.matrix, sum(widths[:largest]))


def _width(parts: list[_Coded]) -> int:
    width = 1
    for part in parts:
        width *= len(part.names)
    return width


def _fill_group(X: NDArray[np.float64], rows: slice, j: int, scale: float, parts: list[_Coded]) -> int:
    if not parts:
        X[rows, j] = scale
        return j + 1
    if len(parts) == 1 and len(parts[0].arrays) == 1:
        values = parts[0].arrays[0][rows]
        X[rows, j] = values if scale == 1 else values * scale
        return j + 1
    made = parts[0].block(rows)
    for part in parts[1:]:
        block = part.block(rows)
        made = (block[:, :, None] * made[:, None, :]).reshape(len(made), -1)
    width = int(made.shape[1])
    X[rows, j : j + width] = made if scale == 1 else made * scale
    return j + width
