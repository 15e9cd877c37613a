"""The user's table — pandas, polars or a dict — one checked column at a time.

Only the columns that a formula or an option names are looked at, so wide tables stay cheap.  A column ends as
one of three kinds: ``number`` (float64, NaN where missing), ``bool`` (the same, from true/false) or ``level``
(codes into levels). What decides is what a column holds, not how it is stored: nullable, Arrow, sparse,
object and Decimal columns all work.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd

from disteconometrics.arrays import AnyArray, Array, Indices, Mask, as_floats
from disteconometrics.data.source import READ_IN_PARTS, by_batch, is_source, open_source
from disteconometrics.errors import DataError, MissingColumnError, NeedsRows, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Column", "Table", "as_given", "list_names", "show_rows", "used_levels"]

F = TypeVar("F", bound="Callable[..., Any]")
STATA = {"i": "C({})", "ib": "C({})", "c": "{}", "L": "lag({})"}  # prefixes of names, for a hint
TABLES = "a pandas DataFrame, a polars DataFrame or a dict of arrays"


def list_names(names: Any, limit: int = 20) -> str:
    """Return at most ``limit`` names (iterable of any) in one line, with what was left out counted.

    Returns: str.  Raises: nothing.
    """
    names = list(names)
    more = f", … ({len(names) - limit} more)" if len(names) > limit else ""
    return ", ".join(repr(n) for n in names[:limit]) + more


def show_rows(mask: Mask) -> str:
    """Return ``"3 rows (first: 0, 5, 9)"`` for a mask (n,) bool; rows are positions from 0.

    Returns: str.  Raises: nothing.
    """
    where = np.flatnonzero(mask)
    first = ", ".join(str(i) for i in where[:3])
    return f"{len(where)} row{'s' if len(where) != 1 else ''} (first: {first})"


def used_levels(codes: Indices, levels: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the levels that ``codes`` (n,) use, in their order; a code −1 uses none.

    Returns: tuple.  Raises: nothing.
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    return tuple(level for level, count in zip(levels, counts, strict=True) if count)


@dataclass(frozen=True, eq=False)
class Column:
    """A checked column: ``numbers`` (n,) float64 for number and bool, ``codes`` (n,) and ``levels`` else.

    ``native`` (n,) keeps integers as they were, for the spelling of levels in ``C(x)``.  Missing is NaN, or
    code −1; levels are ``ordered`` where a categorical says so.
    """

    name: str
    kind: str
    numbers: Array | None = None
    native: AnyArray | None = None
    codes: Indices | None = None
    levels: tuple[Any, ...] = ()
    ordered: bool = False

    @property
    def values(self) -> AnyArray:
        """The array (n,) that holds the rows: numbers, or codes of levels.  Raises: nothing."""
        values = self.codes if self.numbers is None else self.numbers
        assert values is not None
        return values

    def trouble(self) -> tuple[Mask | None, Mask | None]:
        """Return masks (n,) of missing and of infinite rows, each None when there are none.

        Raises: nothing.
        """
        if self.numbers is None:
            missing = self.values < 0
            return (missing if missing.any() else None), None
        with np.errstate(all="ignore"):
            if np.isfinite(self.numbers.sum()):  # one pass; a sum that overflows takes the slow way
                return None, None
        missing, infinite = np.isnan(self.numbers), np.isinf(self.numbers)
        return (missing if missing.any() else None), (infinite if infinite.any() else None)

    def take(self, rows: Indices | None) -> Column:
        """Return the column at row positions (m,) intp; None means all.  Raises: nothing."""
        if rows is None:
            return self
        numbers = None if self.numbers is None else self.numbers[rows]
        native = None if self.native is None else self.native[rows]
        codes = None if self.codes is None else self.codes[rows]
        return Column(self.name, self.kind, numbers, native, codes, self.levels, self.ordered)


class Table:
    """The user's table by column name: a pandas or polars DataFrame or a dict of columns, never changed.

    It is kept as a shallow copy: sorting, dropping rows and replacing columns of the user's table later
    change nothing here. Numbers are shared until pandas 3 copies them on write; an array overwritten in place
    (in a dict, or by ``df.loc`` in pandas 2) is seen.

    Raises: OptionError for anything else, DataError for columns of unequal length or index.
    """

    def __init__(self, data: Any) -> None:
        self._cache: dict[str, Column] = {}
        module = type(data).__module__.partition(".")[0]
        self.kind = "pandas" if isinstance(data, pd.DataFrame) else module if module == "polars" else "dict"
        if self.kind == "polars" and type(data).__name__ != "DataFrame":
            raise OptionError(
                f"data is a polars {type(data).__name__}; pass a DataFrame: call .collect() first"
            )
        if self.kind == "dict":
            if not isinstance(data, Mapping):
                if is_source(data):
                    raise NeedsRows(f"This {READ_IN_PARTS}")
                raise OptionError(_refuse_table(data))
            self.data: Any = dict(data)
            self._rows, self._index = _check_mapping(self.data)
        else:
            self.data = data.copy(deep=False) if self.kind == "pandas" else data.clone()
            self._rows, self._index = len(data), None
        if self.kind == "pandas" and data.columns.nlevels > 1:
            raise OptionError("data has several levels of column labels; flatten them to one name per column")

    def __len__(self) -> int:
        return self._rows

    @cached_property
    def index(self) -> Any:
        """The pandas Index (n,) of the rows; positions when the table has no index."""
        if self.kind == "pandas":
            return self.data.index
        return pd.RangeIndex(self._rows) if self._index is None else self._index

    @property
    def names(self) -> list[Hashable]:
        """All column labels, as they are."""
        return list(self.data) if self.kind == "dict" else list(self.data.columns)

    def find(self, name: str, role: str) -> Any:
        """Return the label in the table that ``name`` means; ``role`` says what asked for it.

        Returns: the label.  Raises: MissingColumnError with close matches.
        """
        labels = self.data if self.kind == "dict" else self.data.columns
        if name in labels:
            return name
        # Python reads names in expressions in a normal form of Unicode; files may hold another
        normal = unicodedata.normalize("NFKC", name)
        for label in self.names:
            if isinstance(label, str) and unicodedata.normalize("NFKC", label) == normal:
                return label
        texts = [str(label) for label in self.names]
        raise MissingColumnError(
            f"Column {name!r} ({role}) is not in the data.{_hint(name, texts)} Columns are "
            f"{list_names(texts)}."
        )

    def raw(self, name: str, role: str) -> Any:
        """Return a column as stored: pandas Series, array or (polars) what pandas can hold.

        Returns: array-like (n,).  Raises: MissingColumnError; DataError for a duplicate label, or an array of
        another library that numpy cannot read.
        """
        label = self.find(name, role)
        values = self.data.get_column(label) if self.kind == "polars" else self.data[label]
        if isinstance(values, pd.DataFrame):
            raise DataError(
                f"Column {name!r} ({role}) is a duplicate: {values.shape[1]} columns have this name; "
                f"rename them."
            )
        if self.kind == "polars" or type(values).__module__.startswith("polars"):
            return _from_polars(values, name)
        if not hasattr(values, "dtype"):
            return _from_list(list(values))
        known = isinstance(values, (np.ndarray, pd.Series, pd.Index, pd.api.extensions.ExtensionArray))
        return values if known else _from_other(values, name, role)

    def series(self, name: str, role: str) -> pd.Series:
        """Return a column of any kind with its missing values as such.

        Returns: Series (n,).  Raises: as `raw`.
        """
        raw = self.raw(name, role)
        values = raw.array if isinstance(raw, (pd.Series, pd.Index)) else raw
        series = pd.Series(values, name=name)
        gone = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
        return series if gone is None else series.mask(gone)

    def missing(self, name: str, role: str) -> Mask:
        """Return which values (n,) of a column of any kind are missing.  Raises: as `raw`."""
        values = self.raw(name, role)
        gone = np.asarray(pd.isna(values))
        return gone | np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else gone

    def column(self, name: str, role: str) -> Column:
        """Return a column checked and sorted into its kind.

        Returns: Column.  Raises: MissingColumnError; DataError for dates, complex, nested or mixed values.
        """
        if name not in self._cache:
            self._cache[name] = _classify(name, self.raw(name, role), role)
        return self._cache[name]


def _from_other(values: Any, name: str, role: str) -> AnyArray:
    """An array of another library, a tensor of torch without its gradient, as numpy reads it."""
    try:
        return np.asarray(values.detach() if hasattr(values, "detach") else values)
    except Exception as error:  # every library has its own kinds
        kind = f"{type(values).__module__.partition('.')[0]} {type(values).__name__}"
        raise DataError(
            f"Column {name!r} ({role}) is a {kind} that numpy cannot read ({error}); convert it first, a "
            f"tensor by .detach().cpu().to_dense().numpy()"
        ) from None


def _hint(name: str, labels: list[str]) -> str:
    """What a user may have meant by a name that is not among the labels, "" for no idea."""
    prefix, dot, rest = name.partition(".")
    stata = STATA.get(prefix.rstrip("0123456789"))
    if dot and rest in labels and stata is not None:
        return f" Stata's {prefix}. is {stata.format(rest)} here."
    if name in labels:
        return f" The label {name} is there but is not text: rename it with data.rename(columns=str)."
    lower = {text.lower(): text for text in reversed(labels)}
    close = [lower[text] for text in difflib.get_close_matches(name.lower(), list(lower), n=3)]
    return f" Did you mean {list_names(close)}?" if close else ""


def _from_list(values: list[Any]) -> Any:
    try:
        return pd.Series(values)
    except OverflowError:  # pandas 2 and whole numbers beyond float64
        out = np.empty(len(values), dtype=object)
        out[:] = values
        return out


def _refuse_table(data: Any) -> str:
    remedy = "name the columns: pd.DataFrame(array, columns=[…])"
    if data is None:
        remedy = "pass the table as the first argument of fit"
    elif isinstance(data, (str, os.PathLike)):
        remedy = "read the file first, e.g. pd.read_parquet(path)"
    elif hasattr(data, "to_pandas"):
        remedy = "call .to_pandas() first"
    elif isinstance(data, pd.Series):
        remedy = "call .to_frame() first"
    return f"data must be {TABLES}, not {type(data).__name__}; {remedy}"


def _check_mapping(data: Mapping[Any, Any]) -> tuple[int, Any]:
    """The common length and the common index, None without Series; labels are never aligned in silence."""
    index, owner = None, None
    for name, values in data.items():
        _check_values(name, values)
        if not isinstance(values, pd.Series):
            continue
        if index is None:
            index, owner = values.index, name
        elif values.index is not index and not values.index.equals(index):
            raise DataError(
                f"Series {owner!r} and {name!r} of the dict have a different index; put them in one "
                f"DataFrame, or pass .to_numpy() if the rows match by position"
            )
    lengths = {name: len(values) for name, values in data.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r}: {n}" for name, n in list(lengths.items())[:10])
        raise DataError(f"Columns of the dict differ in length: {shown}")
    return next(iter(lengths.values()), 0), index


def _check_values(name: Any, values: Any) -> None:
    """Refuse what is no column of values."""
    shape = getattr(values, "shape", None)
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__") or shape == ():
        raise DataError(
            f"Column {name!r} of the dict is a {type(values).__name__}; every value must be an array "
            f"of equal length"
        )
    if shape is not None and len(shape) != 1:
        raise DataError(
            f"Column {name!r} of the dict has shape {tuple(shape)}; every value must be one-dimensional"
        )


def _from_polars(values: Any, name: str) -> Any:
    """Convert one polars Series without pyarrow: numbers by buffer, everything else by value."""
    kind = str(values.dtype)
    if kind.startswith(("List", "Array", "Struct")):
        raise DataError(f"Column {name!r} holds nested values ({kind}); unpack them into columns of numbers")
    if kind.startswith("Enum"):
        return pd.Categorical(values.to_list(), categories=list(values.dtype.categories), ordered=True)
    if kind.startswith(("Int", "UInt", "Float")) and (kind.startswith("Float") or not values.null_count()):
        return values.to_numpy()
    if kind.startswith(("Int", "UInt")):
        return pd.array(values.to_list(), dtype=kind if not kind.endswith("128") else "object")
    return pd.Series(
        values.to_list(), dtype=None if kind.startswith(("Date", "Time", "Duration")) else "object"
    )


def _classify(name: str, raw: Any, role: str) -> Column:
    dtype = getattr(raw, "dtype", None)
    if isinstance(raw, (pd.Series, pd.Index)):
        raw = raw.to_numpy() if isinstance(dtype, np.dtype) else raw.array
    if not hasattr(raw, "__array__"):
        raise DataError(f"Column {name!r} ({role}) is a {type(raw).__name__}, not an array of values")
    if isinstance(dtype, pd.CategoricalDtype):
        return _from_categorical(name, raw)
    if isinstance(dtype, pd.SparseDtype):
        raw = np.asarray(raw.to_dense() if hasattr(raw, "to_dense") else raw)
    if isinstance(raw, np.ma.MaskedArray):
        raw = _unmask(raw)
    if isinstance(raw, np.ndarray):
        return _from_numpy(name, raw, role)
    if not isinstance(raw, pd.api.extensions.ExtensionArray):
        return _from_numpy(name, np.asarray(raw), role)
    return _from_extension(name, raw, role)


def _unmask(raw: np.ma.MaskedArray[Any, Any]) -> AnyArray:
    """Return a plain array in which masked means missing."""
    mask = np.ma.getmaskarray(raw)
    if not mask.any():
        return np.asarray(raw.data)
    if raw.dtype.kind in "f":
        return np.where(mask, np.nan, as_floats(raw.data))
    out = np.asarray(raw.data).astype(object)
    out[mask] = None
    return out


def _from_extension(name: str, raw: Any, role: str) -> Column:
    kind = getattr(raw.dtype, "kind", "O")
    if kind in "mM" or isinstance(raw.dtype, (pd.PeriodDtype, pd.DatetimeTZDtype)):
        raise _dates(name, role, str(raw.dtype))
    if kind in "iufb":
        missing = np.asarray(pd.isna(raw))
        numbers = raw.to_numpy(dtype=np.float64, na_value=np.nan)
        if kind == "b":
            return Column(name, "bool", numbers)
        if kind in "iu" and not missing.all():
            whole = raw.to_numpy(dtype=np.uint64 if kind == "u" else np.int64, na_value=0)
            return Column(name, "number", numbers, native=whole)
        return Column(name, "number", as_floats(numbers))
    if isinstance(raw.dtype, pd.StringDtype):
        return _from_text(name, raw)
    return _from_objects(name, np.asarray(raw.to_numpy(dtype=object)), role)


def _from_numpy(name: str, raw: AnyArray, role: str) -> Column:
    if raw.ndim != 1:
        raise DataError(
            f"Column {name!r} ({role}) holds nested values of shape {raw.shape[1:]}; unpack them into columns"
        )
    kind = raw.dtype.kind
    if kind == "f":
        with np.errstate(over="ignore"):  # a longdouble beyond float64 becomes inf and is reported as such
            return Column(name, "number", as_floats(raw))
    if kind in "iu":
        return Column(name, "number", raw.astype(np.float64), native=raw)
    if kind == "b":
        return Column(name, "bool", raw.astype(np.float64))
    if kind == "c":
        raise _complex(name, role)
    if kind in "mM":
        raise _dates(name, role, str(raw.dtype))
    if kind in "UT":
        return _from_text(name, raw.astype(object))
    if kind == "O":
        return _from_objects(name, raw, role)
    raise DataError(f"Column {name!r} ({role}) has dtype {raw.dtype}; convert it to numbers or text")


def _complex(name: str, role: str) -> DataError:
    return DataError(f"Column {name!r} ({role}) holds complex numbers; use .real or .imag")


def _dates(name: str, role: str, dtype: str) -> DataError:
    return DataError(
        f"Column {name!r} ({role}) holds dates or times ({dtype}); turn it into a number, e.g. "
        f"data[{name!r}].dt.year, or into text for one level per date"
    )


def _from_objects(name: str, raw: AnyArray, role: str) -> Column:
    """Sort an object column by what it holds; None, NaN, NaT and pd.NA are missing."""
    missing = np.asarray(pd.isna(raw))
    what = pd.api.types.infer_dtype(raw[~missing], skipna=True)
    if what == "string":
        return _from_text(name, raw)
    if what in ("floating", "integer", "mixed-integer-float", "decimal", "boolean", "empty"):
        numbers = np.full(len(raw), np.nan)
        try:
            numbers[~missing] = [float(v) for v in raw[~missing]]
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"Column {name!r} ({role}) holds a value that is not a float64 number: {error}"
            ) from None
        if what == "integer":
            return Column(name, "number", numbers, native=_whole(raw, numbers, missing))
        return Column(name, "bool" if what == "boolean" else "number", numbers)
    if what in ("categorical", "interval"):
        return _from_categorical(name, pd.Categorical(raw))
    raise _refused_objects(name, role, what, raw[~missing])


def _refused_objects(name: str, role: str, what: str, values: AnyArray) -> DataError:
    """Why the values of an object column are no column of numbers or text."""
    if what == "complex":
        return _complex(name, role)
    if what in ("datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"):
        return _dates(name, role, what)
    kinds = sorted({type(v).__name__ for v in values})
    if any(isinstance(v, (list, tuple, dict, set, np.ndarray, pd.Series)) for v in values):
        return DataError(
            f"Column {name!r} ({role}) holds nested values ({', '.join(kinds)}); unpack them into "
            f"columns of numbers"
        )
    return DataError(
        f"Column {name!r} ({role}) mixes types that are neither all numbers nor all text "
        f"({', '.join(kinds[:5])}); clean it, e.g. with pd.to_numeric or .astype(str)"
    )


def _whole(raw: AnyArray, numbers: Array, missing: Mask) -> AnyArray:
    """Whole numbers of an object column, 0 where missing: int64, or Python's own where they need it."""
    if np.abs(numbers[~missing]).max(initial=0) < 2**53:
        return np.where(missing, 0, numbers).astype(np.int64)
    out = np.empty(len(raw), dtype=object)
    out[:] = [0 if gone else int(v) for v, gone in zip(raw, missing, strict=True)]
    try:
        return out.astype(np.int64)
    except OverflowError:
        return out


def _from_text(name: str, raw: Any) -> Column:
    codes, found = pd.factorize(raw, sort=True)
    return Column(name, "level", codes=codes.astype(np.intp), levels=tuple(str(v) for v in found))


def _from_categorical(name: str, raw: Any) -> Column:
    values = raw if isinstance(raw, pd.Categorical) else pd.Categorical(raw)
    levels = tuple(_plain(v) for v in values.categories)
    codes = np.asarray(values.codes, dtype=np.intp)
    return Column(name, "level", codes=codes, levels=levels, ordered=bool(values.ordered))


def _plain(level: Any) -> Any:
    """A level as text, bool or number, so that a file can hold it; intervals and dates go by their text."""
    if isinstance(level, np.generic):
        level = level.item()
    return level if isinstance(level, (str, bool, int, float)) else str(level)


def as_given(predict: F) -> F:
    """Let predictions for a polars table be polars, and those for a source go by batch: ``new`` decides.

    Rows stay in their order; a pandas index of several levels becomes columns of a polars table.
    """

    @wraps(predict)
    def wrapped(self: Any, new: Any = None, *args: Any, **options: Any) -> Any:
        if new is not None and not isinstance(new, (dict, pd.DataFrame)) and open_source(new) is not None:
            read = [*self.spec.variables, *filter(None, [self.spec.offset])]
            return by_batch(new, read, lambda table: predict(self, table, *args, **options))
        found = predict(self, new, *args, **options)
        of_pandas = isinstance(found, pd.Series | pd.DataFrame)
        if not of_pandas or type(new).__module__.partition(".")[0] != "polars":
            return found
        import polars as pl  # the user has it

        if isinstance(found, pd.Series):
            return pl.Series("estimate", found.to_numpy())
        flat = found.reset_index() if found.index.nlevels > 1 else found
        return pl.DataFrame({str(name): flat[name].to_numpy() for name in flat})

    return cast("F", wrapped)
