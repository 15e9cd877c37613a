"""Checked expressions to arrays: a small interpreter, so that no text is ever handed to Python's ``eval``.

Numbers are float64 throughout (an int8 column squared does not overflow, true + true is 2), but int64 inside
``C(…)``, so that levels print as whole numbers; comparisons give bool arrays; a categorical stays codes and
levels.  Stateful transforms are formulaic's own functions with their state kept in a dictionary by the
spelling of the call: learnt when the key is absent, applied when it is there.
"""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from formulaic.transforms.contrasts import Contrasts
from formulaic.utils.cast import as_columns

from disteconometrics.arrays import AnyArray, Array, Indices, Mask, as_floats
from disteconometrics.data.syntax import function_name, spell, variables_of
from disteconometrics.data.table import list_names, show_rows
from disteconometrics.data.transforms import (
    CONSTANTS,
    CONTRASTS,
    FLAGS,
    NUMBERS,
    TRANSFORMS,
    Transform,
)
from disteconometrics.errors import DataError, FileFormatError, FormulaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from disteconometrics.data.formula import Formula
    from disteconometrics.data.table import Column

__all__ = [
    "Basis",
    "Evaluator",
    "Levels",
    "LostRows",
    "UnknownLevel",
    "lag_values",
    "levels_of",
    "options_of",
    "recode",
]

NARROW = 4_096  # a range of whole numbers whose levels are counted instead of sorted
EXACT = 2**62  # whole numbers of C(a*1000) stay exact below this
MOST = {"df": 1_000, "degree": 100, "knots": 1_000}  # more is a slip, and would fill the memory


@dataclass(frozen=True, eq=False)
class Levels:
    """A categorical factor: ``codes`` (n,) intp into ``levels``, −1 where missing, and how it is coded."""

    codes: Indices
    levels: tuple[Any, ...]
    contrasts: Any = None
    spans_intercept: bool = True
    explicit: bool = False
    ordered: bool = False

    def __getitem__(self, rows: Any) -> Levels:
        """The same factor at some rows."""
        return replace(self, codes=self.codes[rows])

    @classmethod
    def of(cls, column: Column) -> Levels:
        """A column of levels as a factor."""
        return cls(column.values, column.levels, ordered=column.ordered)


@dataclass(frozen=True, eq=False)
class Basis:
    """A factor of several columns, such as a spline: ``columns`` (n,) float64 by field and their spelling."""

    columns: dict[Any, Array]
    spelling: str = "{name}[{field}]"
    spans_intercept: bool = False
    drop_field: Any = None


class LostRows(Exception):
    """The argument of a stateful transform is NaN in rows ``mask`` (n,), which must go before it learns."""

    def __init__(self, term: str, mask: Mask) -> None:
        super().__init__(term)
        self.term, self.mask = term, mask


_ARITHMETIC: dict[type, Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_LOGIC: dict[type, Callable[..., Any]] = {
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.BitXor: np.logical_xor,
}
_COMPARE: dict[type, Callable[..., Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _shift(values: AnyArray, k: int, fill: Any) -> AnyArray:
    """``values`` (n,) moved down by ``k`` rows (up if negative), the gap filled."""
    out = np.full_like(values, fill)
    if abs(k) < len(values):
        out[max(k, 0) : len(values) + min(k, 0)] = values[max(-k, 0) : len(values) - max(k, 0)]
    return out


@dataclass
class Evaluator:
    """Values of checked expressions over the rows of ``columns`` (n,).

    ``states`` are learnt when absent, which is an error when ``fitted``; ``lags`` holds the values of
    ``lag()`` calls, by spelling, already cut to the rows.
    """

    columns: Mapping[str, Column]
    size: int
    states: dict[str, Any]
    fitted: bool = False
    lags: dict[str, Any] = field(default_factory=dict)
    term: str = ""
    native: bool = False
    centred: frozenset[str] = frozenset()

    @classmethod
    def of_rows(
        cls,
        formula: Formula,
        columns: Mapping[str, Column],
        n: int,
        rows: Indices | None,
        states: dict[str, Any] | None = None,
    ) -> Evaluator:
        """Return the evaluator of a formula at ``rows`` of a table of n, None for all; lags see all rows.

        ``states`` are those of a fit; None is a fit that learns them.  Raises: as `factor`.
        """
        return cls(
            {name: column.take(rows) for name, column in columns.items()},
            n if rows is None else len(rows),
            {} if states is None else dict(states),
            states is not None,
            lag_values(formula, columns, n, rows),
            centred=formula.centred,
        )

    def factor(self, node: ast.expr, term: str) -> Any:
        """Return the value of a whole factor: float64 (n,), Levels or Basis.

        Returns: as said.  Raises: DataError, FormulaError; LostRows while a state is learnt.
        """
        self.term = term
        if isinstance(node, ast.Name):
            column = self.columns[node.id]
            return column.numbers if column.numbers is not None else Levels.of(column)
        with np.errstate(all="ignore"):
            value = self.value(node)
        if isinstance(value, (Levels, Basis)):
            return value
        if isinstance(value, str) or value is None or np.ndim(value) == 0:
            raise FormulaError(
                f"The term {term!r} is a constant; a term needs a column (write 1 for the intercept)"
            )
        return as_floats(value)

    def value(self, node: ast.expr) -> Any:
        """Return the value of any checked expression.  Raises: as `factor`."""
        if isinstance(node, ast.Name):
            return self._column(node.id)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        return CONSTANTS[ast.unparse(node)]

    def _column(self, name: str) -> Any:
        column = self.columns[name]
        if column.numbers is None:
            return Levels.of(column)
        if column.kind == "bool" and not np.isnan(column.numbers).any():
            return column.numbers.astype(bool)
        if self.native and column.native is not None and not np.isnan(column.numbers).any():
            return column.native
        return column.numbers

    def number(self, value: Any, node: ast.expr) -> Any:
        """Return a value as arithmetic may use it: float64, or integers inside ``C()``; ``node`` made it.

        Raises: DataError for text and categories; FormulaError for what is no number.
        """
        self._check_number(value, node)
        if isinstance(value, np.ndarray):
            return _widened(value)
        if self.native and isinstance(value, int) and abs(value) < 2**64:
            return int(value)
        try:
            return np.float64(value)
        except OverflowError:
            return np.float64(np.inf)

    def _check_number(self, value: Any, node: ast.expr) -> None:
        if isinstance(value, Levels):
            raise DataError(
                f"The term {self.term!r} computes with {spell(node)!r}, which holds text or categories; "
                f"only numbers can be used"
            )
        if isinstance(value, Basis) or np.ndim(value) > 1:
            raise FormulaError(
                f"The term {self.term!r} computes with {spell(node)!r}, which has several columns"
            )
        if value is None or isinstance(value, str):
            raise FormulaError(f"The term {self.term!r} computes with {value!r}, which is not a number")

    def _truth(self, value: Any, node: ast.expr) -> Any:
        """A value that & | ^ ~ may use: bool, or 0, 1 and NaN as float64."""
        if isinstance(value, (bool, np.bool_)) or (isinstance(value, np.ndarray) and value.dtype.kind == "b"):
            return value
        value = self.number(value, node)
        if not (np.isin(value, (0, 1)) | np.isnan(as_floats(value))).all():
            raise DataError(
                f"The term {self.term!r} uses {spell(node)!r} with & | ^ ~, which need true and "
                f"false (or 0 and 1)"
            )
        return value

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        logic = _LOGIC.get(type(node.op))
        if logic is not None:
            left, right = self._truth(left, node.left), self._truth(right, node.right)
            return _keep_missing(logic(left, right), left, right)
        left, right = self.number(left, node.left), self.number(right, node.right)
        if isinstance(node.op, ast.Pow) or not (
            isinstance(left, np.ndarray) or isinstance(right, np.ndarray)
        ):
            # whole numbers would overflow in silence, and Python's own power could run for ever
            left, right = _float(left), _float(right)
        return self._arithmetic(type(node.op), left, right)

    def _arithmetic(self, op: type, left: Any, right: Any) -> Any:
        """Arithmetic of numbers in float64; of whole ones inside C() exact."""
        kinds = [np.asarray(v).dtype for v in (left, right)]
        rough = _ARITHMETIC[op](_float(left), _float(right))
        if any(kind.kind == "f" for kind in kinds) or op is ast.Div:
            return rough
        return self._whole(op, left, right, kinds, np.asarray(rough))

    def _whole(self, op: type, left: Any, right: Any, kinds: list[Any], check: AnyArray) -> Any:
        """Arithmetic of whole numbers: NaN or inf where float64 says so in ``check`` (a % 0), or refused."""
        if not np.isfinite(check).all():
            return check
        if op is ast.Mod and kinds[0] == np.uint64 and isinstance(right, int) and right > 0:
            return np.mod(left, np.uint64(right)).astype(np.int64)
        if any(kind != np.int64 for kind in kinds) or np.abs(check).max(initial=0) >= EXACT:
            raise DataError(
                f"The term {self.term!r} computes with whole numbers beyond 2**62, where digits would be "
                f"lost; "
                "make the column in the data first"
            )
        return _ARITHMETIC[op](left, right)

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Invert):
            value = self._truth(value, node.operand)
            return _keep_missing(np.logical_not(value), value)
        value = self.number(value, node.operand)
        if not isinstance(node.op, ast.USub):
            return value
        whole = isinstance(value, np.ndarray) and value.dtype.kind in "iuO"
        return self._arithmetic(ast.Sub, 0, value) if whole else -value

    def _compare(self, node: ast.Compare) -> Any:
        nodes = [node.left, *node.comparators]
        values = [self.value(n) for n in nodes]
        out: Any = None
        for op, a, b, na, nb in zip(node.ops, values, values[1:], nodes, nodes[1:], strict=False):
            new = _keep_missing(self._compare_two(type(op), a, b, na, nb), a, b)
            out = new if out is None else _keep_missing(np.logical_and(out, new), out, new)
        return out

    def _compare_two(self, op: type, a: Any, b: Any, na: ast.expr, nb: ast.expr) -> Any:
        if isinstance(a, Levels):
            return self._compare_levels(op, a, b, na)
        if isinstance(b, Levels):
            return self._compare_levels(op, b, a, nb)
        if isinstance(a, str) or isinstance(b, str):
            raise DataError(
                f"The term {self.term!r} compares numbers with text: {spell(na)} with {spell(nb)}"
            )
        return _COMPARE[op](self.number(a, na), self.number(b, nb))

    def _compare_levels(self, op: type, a: Levels, b: Any, node: ast.expr) -> Any:
        """Equality of a categorical, made by ``node``, with a constant, an array or another categorical."""
        if op not in (ast.Eq, ast.NotEq):
            raise DataError(
                f"The term {self.term!r} orders {spell(node)!r}, which holds text or categories; only "
                f"== and != work"
            )
        if np.ndim(b) == 0 and not isinstance(b, Levels):
            return np.array([*(_COMPARE[op](level, b) for level in a.levels), False])[a.codes]
        left = np.array([*a.levels, None], dtype=object)[a.codes]
        right = np.array([*b.levels, None], dtype=object)[b.codes] if isinstance(b, Levels) else b
        return np.asarray(_COMPARE[op](left, right), dtype=bool)

    def _call(self, node: ast.Call) -> Any:
        name = function_name(node.func)
        transform = TRANSFORMS[name]
        if transform.kind == "same":
            return self.value(node.args[0])
        if transform.kind == "quote":
            return self._column(str(_constant(node.args[0])))
        if transform.kind == "lag":
            return self.lags[spell(node)]
        if transform.kind == "level":
            return self._categorical(node)
        if transform.kind == "state":
            return self._stateful(node)
        return self._row_by_row(node, transform)

    def _row_by_row(self, node: ast.Call, transform: Transform) -> Any:
        values = [self.value(a) for a in node.args]
        if transform.function is np.where:
            first = self._truth(values[0], node.args[0])
            chosen = np.where(
                first, *(self.number(v, a) for v, a in zip(values[1:], node.args[1:], strict=True))
            )
            return _keep_missing(chosen, first)
        assert transform.function is not None
        values = [self.number(v, a) for v, a in zip(values, node.args, strict=True)]
        return transform.function(
            *(v.astype(np.float64) if isinstance(v, np.ndarray) else np.float64(v) for v in values)
        )

    def lag(self, node: ast.Call) -> Any:
        """Return the value of a ``lag()`` call over all rows: float64 (n,) or Levels.

        Raises: as `factor`.
        """
        options = options_of(node, TRANSFORMS["lag"])
        k = options.get("k", 1)
        if isinstance(k, bool) or not isinstance(k, int):
            raise FormulaError(f"{spell(node)!r}: the lag must be a whole number")
        with np.errstate(all="ignore"):
            value = self.value(node.args[0])
        if isinstance(value, Levels):
            return Levels(_shift(value.codes, k, -1), value.levels)
        if np.ndim(value) == 0:
            raise FormulaError(f"{spell(node)!r} needs a column, not a constant")
        return _shift(as_floats(self.number(value, node.args[0])), k, np.nan)

    def _stateful(self, node: ast.Call) -> Any:
        return self.transformed(node, self.argument(node))

    def transformed(self, node: ast.Call, value: Array) -> Any:
        """Return a stateful transform of its argument (n,), which learns where its state is absent.

        Raises: as `factor`.
        """
        key, transform = spell(node), TRANSFORMS[function_name(node.func)]
        options = options_of(node, transform)
        if key in self.centred and key not in self.states:
            options.setdefault("constraints", "center")
        lost = np.isnan(value)
        rows = ~lost if lost.any() else None
        state = self.states.get(key, {})
        try:
            with np.errstate(all="ignore"):  # a constant column in scale(): the caller reports NaN or inf
                assert transform.function is not None
                made = transform.function(value if rows is None else value[rows], **options, _state=state)
        except Exception as error:  # formulaic and numpy raise many kinds; which rows and term is what helps
            raise _explained(key, function_name(node.func), error) from None
        self.states[key] = state
        out = _basis(made, rows)
        if isinstance(out, Basis) and not out.columns:
            raise FormulaError(f"The term {key!r} makes no columns; give more degrees of freedom")
        return out

    def argument(self, node: ast.Call) -> Array:
        """Return the argument (n,) of a stateful transform: finite, and without NaN where it learns.

        Raises: as `factor`.
        """
        key = spell(node)
        value = as_floats(self.number(self.value(node.args[0]), node.args[0]))
        if value.ndim == 0:
            raise FormulaError(f"{key!r} needs a column, not a constant")
        lost = np.isnan(value)
        if key not in self.states and lost.any():
            raise LostRows(self.term, lost)
        if np.isinf(value).any():
            raise DataError(
                f"The term {self.term!r} makes inf inside {key!r} in {np.isinf(value).sum()} rows; "
                f"log(0) and 1/0 do"
            )
        if self.fitted and key not in self.states:
            raise FileFormatError(f"The saved state of {key!r} is not there")
        return value

    def _categorical(self, node: ast.Call) -> Levels:
        self.native, before = True, self.native
        try:
            value = self.value(node.args[0])
        finally:
            self.native = before
        options = options_of(node, TRANSFORMS["C"])
        contrasts = options.get("contrasts")
        spans = bool(options.get("spans_intercept", True))
        if isinstance(value, Basis) or np.ndim(getattr(value, "codes", value)) != 1:
            raise FormulaError(f"The term {self.term!r} needs one column inside C()")
        if not isinstance(value, Levels) and value.dtype.kind == "f" and np.isinf(value).any():
            raise DataError(
                f"The term {self.term!r} makes inf in {show_rows(np.isinf(value))}, as powers beyond 1e308 "
                f"and 1/0 do, and their levels would be lost; change the rows or the term"
            )
        out = value if isinstance(value, Levels) else levels_of(value)
        explicit = options.get("levels")
        if explicit is None:
            return replace(out, contrasts=contrasts, spans_intercept=spans, explicit=False)
        if not isinstance(explicit, list) or any(isinstance(level, list) for level in explicit):
            raise FormulaError(f"{spell(node)!r}: levels must be a list, such as levels=['a', 'b']")
        if len(set(explicit)) < len(explicit):
            raise FormulaError(f"{spell(node)!r}: levels repeats a level")
        return Levels(recode(out, tuple(explicit)), tuple(explicit), contrasts, spans, explicit=True)


def _float(value: Any) -> Any:
    """A number or an array as float64."""
    return as_floats(value)[()]


def _widened(value: AnyArray) -> AnyArray:
    """True and false as float64, whole numbers as int64 where they fit, all else as it is."""
    if value.dtype.kind == "b":
        return value.astype(np.float64)
    fits = value.dtype.kind in "iu" and (value.dtype != np.uint64 or value.max(initial=0) < EXACT)
    return value.astype(np.int64, copy=False) if fits else value


def _explained(key: str, function: str, error: Exception) -> Exception:
    """What a user is told when a transform cannot be computed."""
    if "extend beyond" in str(error):
        return DataError(
            f"The term {key!r} has values outside the range of its boundary knots; give lower_bound and "
            f"upper_bound, or {function}(…, extrapolation='clip') or 'extend' to allow it"
        )
    return FormulaError(f"The term {key!r} cannot be computed: {error}")


def lag_values(
    formula: Formula, columns: Mapping[str, Column], n: int, rows: Indices | None
) -> dict[str, Any]:
    """Return all ``lag()`` calls by spelling, computed over all n rows of the table and then cut to ``rows``.

    Returns: dict.  Raises: as `Evaluator.factor`.
    """
    out: dict[str, Any] = {}
    for node in formula.lags:
        if not set(variables_of(node)) <= set(columns):
            continue  # a lag on the left side, while only the right side is coded
        value = Evaluator(columns, n, {}, term=spell(node)).lag(node)
        out[spell(node)] = value if rows is None else value[rows]
    return out


def recode(found: Levels, levels: tuple[Any, ...]) -> Indices:
    """Return codes (n,) intp into ``levels`` instead of ``found.levels``; values match when equal.

    So 2 matches 2.0.  Returns: array.  Raises: UnknownLevel for a level that is used and not in ``levels``.
    """
    place = {level: i for i, level in enumerate(levels)}
    to = np.array([*(place.get(level, -2) for level in found.levels), -1], dtype=np.intp)
    codes = to[found.codes]
    if (codes == -2).any():
        unknown = [found.levels[c] for c in np.unique(found.codes[codes == -2])]
        raise UnknownLevel(f"{list_names(unknown, 6)} in {show_rows(codes == -2)}", levels)
    return codes


class UnknownLevel(Exception):
    """Levels occur that are not among ``known``: ``where`` says which and in which rows."""

    def __init__(self, where: str, known: tuple[Any, ...]) -> None:
        super().__init__(where)
        self.where, self.known = where, known


def _keep_missing(made: Any, *operands: Any) -> Any:
    """A comparison with a missing value is missing, not false: ``made`` with NaN where an operand is."""
    missing: Any = False
    for operand in operands:
        if isinstance(operand, Levels):
            missing = missing | (operand.codes < 0)
        elif isinstance(operand, np.ndarray) and operand.dtype.kind == "f":
            missing = missing | np.isnan(operand)
    return np.where(missing, np.nan, made) if np.any(missing) else made


def levels_of(value: AnyArray) -> Levels:
    """Return sorted distinct values of an array (n,) as levels; NaN is missing.

    Returns: Levels.  Raises: nothing.
    """
    if value.dtype.kind in "iu" and len(value):
        first, last = int(value.min()), int(value.max())
        if last - first < max(NARROW, len(value) // 4):
            return _counted_levels(value, first, last)
    known, codes = np.unique(value, return_inverse=True)
    if value.dtype.kind == "f" and len(known) and np.isnan(known[-1]):
        codes = np.where(np.isnan(value), -1, codes)
        known = known[:-1]
    return Levels(codes.astype(np.intp).reshape(-1), tuple(known.tolist()))


def _counted_levels(value: AnyArray, first: int, last: int) -> Levels:
    """The same for whole numbers in a narrow range, without sorting them."""
    wide = value.astype(np.uint64 if value.dtype.kind == "u" else np.int64, copy=False)
    at = (wide - wide.dtype.type(first)).astype(np.intp)
    found = np.bincount(at, minlength=last - first + 1) > 0
    codes = (np.cumsum(found) - 1)[at].astype(np.intp, copy=False)
    return Levels(codes, tuple(first + i for i in np.flatnonzero(found).tolist()))


def _basis(made: Any, rows: Mask | None) -> Any:
    """Unpack what formulaic's transforms return into plain arrays."""
    meta = getattr(made, "__formulaic_metadata__", None)
    columns = as_columns(made)
    columns = getattr(columns, "__wrapped__", columns)

    def full(values: Any) -> Array:
        values = as_floats(getattr(values, "__wrapped__", values))
        if rows is None:
            return np.asarray(values)
        out = np.full(len(rows), np.nan)
        out[rows] = values
        return out

    if not isinstance(columns, dict):
        return full(columns)
    fields = {k: full(v) for k, v in columns.items()}
    if meta is None:
        return Basis(fields)
    return Basis(fields, meta.format, bool(meta.spans_intercept), meta.drop_field)


def options_of(node: ast.Call, transform: Transform) -> dict[str, Any]:
    """Return the constants of a call by the names of its transform's options.

    Raises: FormulaError for an option given twice or out of range.
    """
    out = dict(zip(transform.options, (_constant(a) for a in node.args[transform.arity :]), strict=False))
    for keyword in node.keywords:
        if keyword.arg in out:
            raise FormulaError(f"{spell(node)!r} gives {keyword.arg} twice")
        out[str(keyword.arg)] = _constant(keyword.value)
    for name, value in out.items():
        _check_kind(spell(node), name, value)
        size = len(value) if name == "knots" and isinstance(value, list) else value
        if isinstance(size, (int, float)) and size > MOST.get(name, np.inf):
            raise FormulaError(f"{spell(node)!r}: {name} must be at most {MOST[name]}")
    degree = out.get("degree", 1)
    if function_name(node.func) == "poly" and not (isinstance(degree, int) and degree >= 1):
        raise FormulaError(f"{spell(node)!r}: degree must be a whole number of at least 1")
    return out


def _check_kind(call: str, name: str, value: Any) -> None:
    """Refuse text, which counts as true, where true or false is meant, and where a number is."""
    if name in FLAGS and value not in (True, False):
        raise FormulaError(f"{call!r}: {name.removeprefix('contr.')} must be True or False, not {value!r}")
    if name in NUMBERS and not (value is None or isinstance(value, (int, float))):
        raise FormulaError(f"{call!r}: {name} must be a number, not {value!r}")
    if name == "contrasts" and not (value is None or isinstance(value, Contrasts)):
        raise FormulaError(f"{call!r}: contrasts must be one of {', '.join(CONTRASTS)}, not {value!r}")


def _constant(node: ast.expr) -> Any:
    """The value of a checked option: a constant, a list of them, or a contrast."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return -_constant(node.operand)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_constant(item) for item in node.elts]
    call = node.func if isinstance(node, ast.Call) else node
    kind, options = CONTRASTS[function_name(call)]
    if not isinstance(node, ast.Call):
        return kind()
    given = dict(zip(options, (_constant(a) for a in node.args), strict=False))
    given.update({str(k.arg): _constant(k.value) for k in node.keywords})
    for name, value in given.items():
        _check_kind(spell(node), "contr.scale" if name == "scale" else name, value)
    if "reference" in given:  # patsy's word for base
        given["base"] = given.pop("reference")
    return kind(**given)
