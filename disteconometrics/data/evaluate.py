"""Checked expressions to arrays: a small interpreter, so that no text is ever handed to Python's ``eval``.

Numbers are float64 throughout (an int8 column squared does not overflow, true + true is 2), but int64 inside
``C(…)``, so that levels print as whole numbers; comparisons give bool arrays; a categorical stays codes and
levels.  Stateful transforms are formulaic's own functions with their state kept in a dictionary by the
spelling of the call: learnt when the key is absent, applied when it is there.
"""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from formulaic.utils.cast import as_columns

from disteconometrics.data.formula import function_name, spell
from disteconometrics.data.table import list_names, show_rows
from disteconometrics.data.transforms import CONSTANTS, CONTRASTS, TRANSFORMS, Transform
from disteconometrics.errors import DataError, FileFormatError, FormulaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from disteconometrics.data.table import Column

__all__ = ["Basis", "Evaluator", "Levels", "LostRows", "UnknownLevel", "levels_of", "recode", "shift"]

EXACT = 2**62  # whole numbers of C(a*1000) stay exact below this
MOST = {"df": 1_000, "degree": 100}  # more is a slip, and would fill the memory


@dataclass(frozen=True, eq=False)
class Levels:
    """A categorical factor: ``codes`` (n,) intp into ``levels``, −1 where missing, and how it is to be coded."""

    codes: NDArray[np.intp]
    levels: tuple[Any, ...]
    contrasts: Any = None
    spans_intercept: bool = True
    explicit: bool = False


@dataclass(frozen=True, eq=False)
class Basis:
    """A factor of several columns, such as a spline: ``columns`` by field, each (n,) float64, and how fields are spelled."""

    columns: dict[Any, NDArray[np.float64]]
    spelling: str = "{name}[{field}]"
    spans_intercept: bool = False
    drop_field: Any = None


class LostRows(Exception):
    """The argument of a stateful transform is NaN in rows ``mask`` (n,): they must go before the state is learnt."""

    def __init__(self, term: str, mask: NDArray[np.bool_]) -> None:
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


def shift(values: NDArray[Any], k: int, fill: Any) -> NDArray[Any]:
    """Return ``values`` (n,) moved down by ``k`` rows (up if negative), the gap filled.  Raises: nothing."""
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

    def factor(self, node: ast.expr, term: str) -> Any:
        """Return the value of a whole factor: float64 (n,), Levels or Basis.

        Returns: as said.  Raises: DataError, FormulaError; LostRows while a state is learnt.
        """
        self.term = term
        if isinstance(node, ast.Name):
            column = self.columns[node.id]
            return column.numbers if column.numbers is not None else Levels(column.values, column.levels)
        with np.errstate(all="ignore"):
            value = self.value(node)
        if isinstance(value, (Levels, Basis)):
            return value
        if isinstance(value, str) or value is None or np.ndim(value) == 0:
            raise FormulaError(
                f"The term {term!r} is a constant; a term needs a column (write 1 for the intercept)"
            )
        return np.asarray(value, dtype=np.float64)

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
            return Levels(column.values, column.levels)
        if column.kind == "bool" and not np.isnan(column.numbers).any():
            return column.numbers.astype(bool)
        if self.native and column.native is not None and not np.isnan(column.numbers).any():
            return column.native
        return column.numbers

    def _number(self, value: Any, node: ast.expr) -> Any:
        """A value that arithmetic may use: float64, or integers inside C()."""
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
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "b":
                return value.astype(np.float64)
            fits = value.dtype.kind in "iu" and (value.dtype != np.uint64 or value.max(initial=0) < EXACT)
            return value.astype(np.int64, copy=False) if fits else value
        if self.native and isinstance(value, int) and abs(value) < 2**64:
            return int(value)
        try:
            return np.float64(value)
        except OverflowError:
            return np.float64(np.inf)

    def _truth(self, value: Any, node: ast.expr) -> Any:
        """A value that & | ^ ~ may use: bool, or 0, 1 and NaN as float64."""
        if not isinstance(value, (bool, np.bool_)) and not (
            isinstance(value, np.ndarray) and value.dtype.kind == "b"
        ):
            value = self._number(value, node)
            if not (np.isin(value, (0, 1)) | np.isnan(np.asarray(value, dtype=np.float64))).all():
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
        left, right = self._number(left, node.left), self._number(right, node.right)
        if isinstance(node.op, ast.Pow) or not (
            isinstance(left, np.ndarray) or isinstance(right, np.ndarray)
        ):
            # whole numbers would overflow in silence, and Python's own power could run for ever
            left, right = np.asarray(left, dtype=np.float64)[()], np.asarray(right, dtype=np.float64)[()]
        return self._arithmetic(type(node.op), left, right)

    def _arithmetic(self, op: type, left: Any, right: Any) -> Any:
        """Arithmetic of numbers; of whole ones inside C() exact, NaN or inf where float64 says so (a % 0), or refused."""
        kinds = [np.asarray(v).dtype for v in (left, right)]
        if any(kind.kind == "f" for kind in kinds) or op is ast.Div:
            left, right = np.asarray(left, dtype=np.float64)[()], np.asarray(right, dtype=np.float64)[()]
            return _ARITHMETIC[op](left, right)
        check = np.asarray(
            _ARITHMETIC[op](np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64))
        )
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
        value = self._number(value, node.operand)
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
        if isinstance(b, Levels) and not isinstance(a, Levels):
            a, b, na, nb = b, a, nb, na
        if isinstance(a, Levels):
            if op not in (ast.Eq, ast.NotEq):
                raise DataError(
                    f"The term {self.term!r} orders {spell(na)!r}, which holds text or categories; only "
                    f"== and != work"
                )
            if np.ndim(b) == 0 and not isinstance(b, Levels):
                return np.array([*(_COMPARE[op](level, b) for level in a.levels), False])[a.codes]
            left = np.array([*a.levels, None], dtype=object)[a.codes]
            right = np.array([*b.levels, None], dtype=object)[b.codes] if isinstance(b, Levels) else b
            return np.asarray(_COMPARE[op](left, right), dtype=bool)
        if isinstance(a, str) or isinstance(b, str):
            raise DataError(
                f"The term {self.term!r} compares numbers with text: {spell(na)} with {spell(nb)}"
            )
        return _COMPARE[op](self._number(a, na), self._number(b, nb))

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
            return self._stateful(node, transform)
        values = [self.value(a) for a in node.args]
        if name == "where":
            first = self._truth(values[0], node.args[0])
            chosen = np.where(
                first, *(self._number(v, a) for v, a in zip(values[1:], node.args[1:], strict=True))
            )
            return _keep_missing(chosen, first)
        assert transform.function is not None
        values = [self._number(v, a) for v, a in zip(values, node.args, strict=True)]
        return transform.function(
            *(v.astype(np.float64) if isinstance(v, np.ndarray) else np.float64(v) for v in values)
        )

    def lag(self, node: ast.Call) -> Any:
        """Return the value of a ``lag()`` call over all rows: float64 (n,) or Levels.

        Raises: as `factor`.
        """
        options = _options(node, TRANSFORMS["lag"])
        k = options.get("k", 1)
        if isinstance(k, bool) or not isinstance(k, int):
            raise FormulaError(f"{spell(node)!r}: the lag must be a whole number")
        with np.errstate(all="ignore"):
            value = self.value(node.args[0])
        if isinstance(value, Levels):
            return Levels(shift(value.codes, k, -1), value.levels)
        if np.ndim(value) == 0:
            raise FormulaError(f"{spell(node)!r} needs a column, not a constant")
        return shift(np.asarray(self._number(value, node.args[0]), dtype=np.float64), k, np.nan)

    def _stateful(self, node: ast.Call, transform: Transform) -> Any:
        key, name = spell(node), function_name(node.func)
        value = np.asarray(self._number(self.value(node.args[0]), node.args[0]), dtype=np.float64)
        if value.ndim == 0:
            raise FormulaError(f"{key!r} needs a column, not a constant")
        lost = np.isnan(value)
        if key not in self.states and lost.any():
            raise LostRows(self.term, lost)
        if np.isinf(value).any():
            raise DataError(
                f"The term {self.term!r} makes inf inside {key!r} in {int(np.isinf(value).sum())} rows; "
                f"log(0) and 1/0 do"
            )
        if self.fitted and key not in self.states:
            raise FileFormatError(f"The saved state of {key!r} is not there")
        options = _options(node, transform)
        state = self.states.get(key, {})
        kept = value if not lost.any() else value[~lost]
        try:
            with np.errstate(
                all="ignore"
            ):  # a constant column in scale() is reported as NaN or inf by the caller
                assert transform.function is not None
                made = transform.function(kept, **options, _state=state)
        except (
            Exception
        ) as error:  # formulaic and numpy raise many kinds; which rows and which term is what helps
            raise self._explain(key, name, error) from None
        self.states[key] = state
        out = _basis(made, ~lost if lost.any() else None)
        if isinstance(out, Basis) and not out.columns:
            raise FormulaError(f"The term {key!r} makes no columns; give more degrees of freedom")
        return out

    def _explain(self, key: str, name: str, error: Exception) -> Exception:
        if "extend beyond" in str(error):
            return DataError(
                f"The term {key!r} has values outside the range of its boundary knots; give lower_bound "
                f"and upper_bound, "
                f"or {name}(…, extrapolation='clip') or 'extend' to allow it"
            )
        return FormulaError(f"The term {key!r} cannot be computed: {error}")

    def _categorical(self, node: ast.Call) -> Levels:
        self.native, before = True, self.native
        try:
            value = self.value(node.args[0])
        finally:
            self.native = before
        options = _options(node, TRANSFORMS["C"])
        contrasts = options.get("contrasts")
        spans = bool(options.get("spans_intercept", True))
        if isinstance(value, Basis) or np.ndim(getattr(value, "codes", value)) != 1:
            raise FormulaError(f"The term {self.term!r} needs one column inside C()")
        out = value if isinstance(value, Levels) else levels_of(value)
        explicit = options.get("levels")
        if explicit is None:
            return Levels(out.codes, out.levels, contrasts, spans)
        if not isinstance(explicit, list):
            raise FormulaError(f"{spell(node)!r}: levels must be a list, such as levels=['a', 'b']")
        return Levels(recode(out, tuple(explicit)), tuple(explicit), contrasts, spans, explicit=True)


def recode(found: Levels, levels: tuple[Any, ...]) -> NDArray[np.intp]:
    """Return codes (n,) intp into ``levels`` instead of ``found.levels``; values match when equal (2 and 2.0 do).

    Returns: array.  Raises: UnknownLevel for a level that is used and not among ``levels``.
    """
    place = {level: i for i, level in enumerate(levels)}
    to = np.array([*(place.get(level, -2) for level in found.levels), -1], dtype=np.intp)
    codes = to[found.codes]
    if (codes == -2).any():
        unknown = [found.levels[c] for c in np.unique(found.codes[codes == -2])]
        raise UnknownLevel(f"{list_names(unknown, 6)} in {show_rows(codes == -2)}", levels)
    return codes


class UnknownLevel(Exception):
    """Levels occur (``where`` says which and in which rows) that are not among ``known``; the caller knows what to make of it."""

    def __init__(self, where: str, known: tuple[Any, ...]) -> None:
        super().__init__(where)
        self.where, self.known = where, known


def _keep_missing(made: Any, *operands: Any) -> Any:
    """A comparison with a missing value is missing, not false: ``made`` as float64 with NaN where an operand is missing."""
    missing: Any = False
    for operand in operands:
        if isinstance(operand, Levels):
            missing = missing | (operand.codes < 0)
        elif isinstance(operand, np.ndarray) and operand.dtype.kind == "f":
            missing = missing | np.isnan(operand)
    return np.where(missing, np.nan, made) if np.any(missing) else made


def levels_of(value: NDArray[Any]) -> Levels:
    """Return sorted distinct values of an array (n,) as levels; NaN is missing.

    Returns: Levels.  Raises: nothing.
    """
    known, codes = np.unique(value, return_inverse=True)
    if value.dtype.kind == "f" and len(known) and np.isnan(known[-1]):
        codes = np.where(np.isnan(value), -1, codes)
        known = known[:-1]
    return Levels(codes.astype(np.intp).reshape(-1), tuple(known.tolist()))


def _basis(made: Any, rows: NDArray[np.bool_] | None) -> Any:
    """Unpack what formulaic's transforms return into plain arrays."""
    meta = getattr(made, "__formulaic_metadata__", None)
    columns = as_columns(made)
    columns = getattr(columns, "__wrapped__", columns)

    def full(values: Any) -> NDArray[np.float64]:
        values = np.asarray(getattr(values, "__wrapped__", values), dtype=np.float64)
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


def _options(node: ast.Call, transform: Transform) -> dict[str, Any]:
    out = dict(zip(transform.options, (_constant(a) for a in node.args[transform.arity :]), strict=False))
    for keyword in node.keywords:
        if keyword.arg in out:
            raise FormulaError(f"{spell(node)!r} gives {keyword.arg} twice")
        out[str(keyword.arg)] = _constant(keyword.value)
    for name, value in out.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > MOST.get(name, value):
            raise FormulaError(f"{spell(node)!r}: {name} must be at most {MOST[name]}")
    if function_name(node.func) == "poly" and (
        not isinstance(out.get("degree", 1), int) or out.get("degree", 1) < 1
    ):
        raise FormulaError(f"{spell(node)!r}: degree must be a whole number of at least 1")
    return out


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
    if "reference" in given:  # patsy's word for base
        given["base"] = given.pop("reference")
    return kind(**given)
