"""Tables that are read a part at a time, again and again: Parquet, datasets, lazy and dask frames, functions.

A source is parts in a fixed order.  A part gives its rows as tables of at most `ROWS` rows, the same at every
reading; what can be known of it without reading (file, row groups, size, time) is its key, which is compared
at every reading, since numbers of a file that changed between two passes would be wrong in silence.
"""

from __future__ import annotations

import glob
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.errors import DataError, OptionError
from disteconometrics.words import TakesWords

__all__ = [
    "READ_IN_PARTS",
    "ROWS",
    "DaskPart",
    "HeldPart",
    "Part",
    "Parts",
    "Source",
    "by_batch",
    "check_cache",
    "is_source",
    "open_source",
]

ROWS = 65_536  # of a table that is read at once
CACHES = ("auto", "memory", "disk", None)  # where coded rows are between passes
PART_ROWS = 1_000_000  # row groups of a file are taken together up to so many rows


class Part:
    """Rows that are read together: ``name`` for messages, ``key`` (None: not known without reading)."""

    name: str

    def key(self) -> Any:
        """What tells whether the part has changed."""
        return None

    @abstractmethod
    def columns(self) -> list[str]:
        """Names of the columns."""

    @abstractmethod
    def frames(self, columns: Sequence[str]) -> Iterator[Any]:
        """The rows of some columns as tables (pandas, polars, Arrow or dict), in order."""

    def tables(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows as dicts of columns, at most `ROWS` at a time, those of no rows left out."""
        for frame in self.frames(columns):
            if not hasattr(frame, "num_rows"):
                frame = {name: _values(frame[name]) for name in columns}
            for start in range(0, _length(frame), ROWS):
                yield {name: _column(frame, name, start) for name in columns}


@dataclass(frozen=True)
class _ParquetPart(Part):
    """Row groups of a Parquet file."""

    path: str
    groups: tuple[int, ...]
    size: int
    time: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.path

    def key(self) -> Any:
        return (self.path, self.groups, *_stamp(self.path))

    def columns(self) -> list[str]:
        import pyarrow.parquet as pq

        return list(pq.read_schema(self.path).names)

    def frames(self, columns: Sequence[str]) -> Iterator[Any]:
        import pyarrow.parquet as pq

        if self.groups:
            with pq.ParquetFile(self.path) as file:
                yield from _even(  # row groups one by one: together they would be decoded together
                    batch
                    for group in self.groups
                    for batch in file.iter_batches(
                        ROWS, row_groups=[group], columns=list(columns), use_threads=False
                    )
                )


@dataclass(frozen=True)
class _FragmentPart(Part):
    """A fragment of a pyarrow dataset."""

    fragment: Any
    schema: Any
    number: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return str(getattr(self.fragment, "path", f"fragment {self.number}"))

    def key(self) -> Any:
        path, system = getattr(self.fragment, "path", None), getattr(self.fragment, "filesystem", None)
        if path is None or system is None:
            return None
        found = system.get_file_info(path)
        return path, found.size, found.mtime_ns

    def columns(self) -> list[str]:
        return list(self.schema.names)

    def frames(self, columns: Sequence[str]) -> Iterator[Any]:
        return _even(
            self.fragment.to_batches(
                schema=self.schema, columns=list(columns), batch_size=ROWS, use_threads=False
            )
        )


@dataclass(frozen=True)
class _LazyPart(Part):
    """A polars LazyFrame."""

    frame: Any
    name: str = "the LazyFrame"

    def columns(self) -> list[str]:
        return list(self.frame.collect_schema().names())

    def frames(self, columns: Sequence[str]) -> Iterator[Any]:
        chosen = self.frame.select(list(columns))
        if hasattr(chosen, "collect_batches"):
            return iter(chosen.collect_batches(chunk_size=ROWS, maintain_order=True))
        return iter([chosen.collect()])


@dataclass(frozen=True)
class DaskPart(Part):
    """A partition of a dask DataFrame.

    Examples
    --------
    >>> import dask.dataframe as dd, pandas as pd
    >>> DaskPart(dd.from_pandas(pd.DataFrame({"x": [1, 2]}), npartitions=2), 1).columns()
    ['x']
    """

    frame: Any
    number: int
    made: dict[tuple[str, ...], list[Any]] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """What was made of the frame does not travel."""
        return {**self.__dict__, "made": {}}

    @property
    def name(self) -> str:  # type: ignore[override]
        """The number of the partition, in words."""
        return f"partition {self.number}"

    def columns(self) -> list[str]:
        """Names of the columns."""
        return [str(name) for name in self.frame.columns]

    def frames(self, columns: Sequence[str]) -> Iterator[Any]:
        """The rows, all at once."""
        yield self.delayed(columns)[self.number].compute()

    def delayed(self, columns: Sequence[str]) -> list[Any]:
        """All partitions of some columns, of one graph, which all parts share: it takes long to make."""
        key = tuple(columns)
        if key not in self.made:
            self.made[key] = self.frame[list(key)].to_delayed()
        return self.made[key]


@dataclass(frozen=True)
class HeldPart(Part):
    """The same rows of pandas frames side by side, as workers hold them.

    Examples
    --------
    >>> import pandas as pd
    >>> part = HeldPart("partition 0", (pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"z": [3, 4]})))
    >>> [table["z"].tolist() for table in part.tables(["z"])]
    [[3, 4]]
    """

    name: str
    pieces: tuple[Any, ...]

    def columns(self) -> list[str]:
        """Names of the columns of all pieces."""
        return [str(name) for piece in self.pieces for name in piece.columns]

    def frames(self, columns: Sequence[str]) -> Iterator[Any]:
        """The rows, all at once."""
        yield {name: piece[name] for piece in self.pieces for name in piece.columns if name in columns}


@dataclass(frozen=True)
class _FunctionPart(Part):
    """What a function gives."""

    function: Callable[[], Iterable[Any]]
    name: str = "the frames of de.Parts"

    def columns(self) -> list[str]:
        for frame in self._iterate():
            if names := _names(frame):
                return names
        return []

    def frames(self, columns: Sequence[str]) -> Iterator[Any]:
        return self._iterate()

    def _iterate(self) -> Iterator[Any]:
        made = self.function()
        if isinstance(made, (pd.DataFrame, dict)) or not hasattr(made, "__iter__"):
            raise OptionError(
                f"The function of de.Parts gave a {type(made).__name__}; it must give an iterator or a list "
                "of tables, anew at every call."
            )
        return iter(made)


@dataclass(frozen=True)
class Source(TakesWords):
    """Parts in a fixed order.

    Examples
    --------
    >>> import pandas as pd
    >>> source = Parts(lambda: (pd.DataFrame({"x": [i, i]}) for i in range(3)))
    >>> [table["x"].tolist() for part in source.parts for table in part.tables(["x"])]
    [[0, 0], [1, 1], [2, 2]]
    """

    parts: tuple[Part, ...]

    def columns(self) -> list[str]:
        """Names of the columns of the first part that has any."""
        return next((names for part in self.parts if (names := part.columns())), [])


@dataclass(frozen=True, init=False)
class Parts(Source):
    """A table that a function gives in pieces, again and again, for data that memory would not hold.

    Parameters
    ----------
    function : callable without arguments
        It returns an iterator (or list) of tables with the same columns: pandas or polars DataFrames, Arrow
        tables or dicts of arrays.  It is called once for every reading and must give the same rows each time.

    Raises
    ------
    OptionError
        If it is no function.

    Examples
    --------
    >>> import disteconometrics as de
    >>> table = de.datasets.spector()
    >>> pieces = de.Parts(lambda: (table[i : i + 10] for i in range(0, len(table), 10)))
    >>> de.Logit("GRADE ~ GPA + TUCE + PSI").fit(pieces).params.round(3).to_dict()
    {'Intercept': -13.021, 'GPA': 2.826, 'TUCE': 0.095, 'PSI': 2.379}
    """

    function: Callable[[], Iterable[Any]] = field(repr=False)

    def __init__(self, function: Callable[[], Iterable[Any]]) -> None:
        if not callable(function):
            raise OptionError(
                f"de.Parts takes a function that gives an iterator of tables, not {type(function).__name__}; "
                "an iterator can be read once only: write de.Parts(lambda: make_it())."
            )
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "parts", (_FunctionPart(function),))


def open_source(data: Any) -> Source | None:
    """The source that ``data`` is; None for what may be a table in memory.

    Parameters
    ----------
    data : path, glob or list of Parquet files, folder, pyarrow dataset, polars LazyFrame, dask DataFrame or
        `Parts`.

    Raises
    ------
    OptionError
        For iterators, which can be read once only, and for files that are no Parquet.
    DataError
        If no file is found.

    Examples
    --------
    >>> import pandas as pd
    >>> open_source(pd.DataFrame()) is None
    True
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        return Source(_files([data]))
    if isinstance(data, (list, tuple)) and data:
        return _of_list(data)
    return _of_library(data)


READ_IN_PARTS = (
    "needs all rows in memory, and data is read in parts: make a table first, by pd.read_parquet(path, "
    "columns=[…]), collect() of a lazy polars frame or compute() of a dask one; Logit, Probit and CLogLog by "
    "maximum likelihood, NormalRegression, FlowDensity of one outcome by a spline, WassersteinDistance and "
    "TransportMap take it."
)


def check_cache(cache: Any) -> None:
    """Refuse what is no place for coded rows.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_cache("memory")
    """
    if isinstance(cache, os.PathLike) or any(
        cache is known or (isinstance(cache, str) and cache == known) for known in CACHES
    ):
        return
    raise OptionError(
        f"cache={cache!r} is not known; use 'auto' (coded rows of a source stay in memory while they are "
        "few), 'memory' (they stay), 'disk' or a pathlib.Path (they are written into a temporary folder, "
        "there), or None (they are read again for every pass)."
    )


def is_source(data: Any) -> bool:
    """Whether ``data`` is read in parts; a path that is not there is none.

    Examples
    --------
    >>> is_source(Parts(list)), is_source([1, 2])
    (True, False)
    """
    try:
        return open_source(data) is not None
    except (OptionError, DataError):
        return False


def by_batch(data: Any, columns: Sequence[str], function: Callable[[dict[str, Any]], Any]) -> Any:
    """What a function of a table gives for the rows of a source, joined, rows counted through.

    Parameters
    ----------
    data : a source, as `open_source` takes it.
    columns : those that are read.
    function : of a dict of columns, gives a Series or DataFrame with one row for each, or several that an
        index of more levels names beside the row.

    Raises
    ------
    OptionError, DataError

    Examples
    --------
    >>> import pandas as pd
    >>> pieces = Parts(lambda: [{"x": [1, 2]}, {"x": [3]}])
    >>> by_batch(pieces, ["x"], lambda table: pd.Series(table["x"])).tolist()
    [1, 2, 3]
    """
    source, found, rows = open_source(data), [], 0
    for part in () if source is None else source.parts:
        for table in part.tables(columns):
            one = function(table)
            if one.index.nlevels > 1:
                levels = [one.index.get_level_values(i) for i in range(one.index.nlevels)]
                one = one.set_axis(
                    pd.MultiIndex.from_arrays([levels[0] + rows, *levels[1:]], names=one.index.names)
                )
            found.append(one)
            rows += _length(table)
    if not found:
        raise DataError("The source has no rows")
    return pd.concat(found, ignore_index=found[0].index.nlevels == 1)


def _of_list(data: Sequence[Any]) -> Source | None:
    if all(isinstance(item, (str, os.PathLike)) for item in data):
        return Source(_files(data))
    if all(_is_table(item) for item in data):
        raise OptionError(
            "data is a list of tables; join them with pd.concat(tables), or, where memory would not hold "
            "that, pass de.Parts(lambda: tables)."
        )
    return None


def _of_library(data: Any) -> Source | None:
    """The datasets and frames of other libraries."""
    module, kind = type(data).__module__, type(data).__name__
    if module.startswith("pyarrow") and hasattr(data, "get_fragments"):
        schema = data.schema
        return Source(tuple(_FragmentPart(f, schema, i) for i, f in enumerate(data.get_fragments())))
    if module.startswith("polars") and kind == "LazyFrame":
        return Source((_LazyPart(data),))
    if module.startswith("dask") and hasattr(data, "npartitions") and hasattr(data, "columns"):
        made: dict[tuple[str, ...], list[Any]] = {}
        return Source(tuple(DaskPart(data, i, made) for i in range(data.npartitions)))
    _refuse(data, module, kind)
    return None


def _refuse(data: Any, module: str, kind: str) -> None:
    """Say what to do with what is neither a table nor a source."""
    if module.partition(".")[0].strip("_") == "duckdb":
        raise OptionError(
            f"data is a duckdb {kind}, which gives its rows in no fixed order; write it with "
            "relation.write_parquet('data.parquet') and pass the path, or, if it fits, relation.df()."
        )
    if isinstance(data, Iterator):
        raise OptionError(
            f"data is a {kind}, which can be read once only, and a fit reads several times; pass a function "
            "that makes it: de.Parts(lambda: make_it())."
        )
    if callable(data) and not hasattr(data, "columns"):
        raise OptionError(
            "data is a function; where it gives the tables that the rows are in, pass de.Parts(function)."
        )


def _is_table(item: Any) -> bool:
    return isinstance(item, (dict, pd.DataFrame)) or (hasattr(item, "schema") and hasattr(item, "columns"))


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise DataError(f"The file {path!r} cannot be read: {error.strerror or error}") from None
    return found.st_size, found.st_mtime_ns


def _files(given: Iterable[Any]) -> tuple[Part, ...]:
    """The Parquet files of paths, folders and patterns, each in parts."""
    paths = [path for item in given for path in _paths(os.fspath(item))]
    return tuple(part for path in paths for part in _parts_of(path))


def _paths(text: Any) -> list[str]:
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if "://" in text:
        raise OptionError(
            f"{text!r} is no path of this machine; open it as a dataset: "
            f"pyarrow.dataset.dataset({text!r}), and pass that."
        )
    if os.path.isdir(text):
        found = [path for path in _below(text) if path.endswith(".parquet") and os.path.isfile(path)]
        if any("=" in os.path.basename(os.path.dirname(path)) for path in found):
            raise OptionError(
                f"The folder {text!r} keeps columns in the names of its folders; open it as a dataset: "
                f"pyarrow.dataset.dataset({text!r}, partitioning='hive'), and pass that."
            )
        what = (
            "holds no .parquet files; give a pattern of those that are called otherwise, as '*.parq', and "
            "read a CSV as de.Parts(lambda: pd.read_csv(path, chunksize=100_000))"
        )
    elif os.path.exists(text):
        found, what = [text], ""
    else:
        found, what = sorted(glob.glob(text, recursive=True)), "is no file, and no pattern that one matches"
    if not found:
        raise DataError(f"The path {text!r} {what}.")
    return found


def _below(folder: str) -> list[str]:
    """The files in a folder and in those in it, in order; names that start with _ or . are no data."""
    found = glob.glob(os.path.join(glob.escape(folder), "**", "*"), recursive=True)
    names = {path: os.path.relpath(path, folder).split(os.sep) for path in sorted(found)}
    return [path for path in names if not any(name.startswith(("_", ".")) for name in names[path])]


def _parts_of(path: str) -> list[Part]:
    """A file in parts of some row groups."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise OptionError(
            "Reading Parquet files needs pyarrow: pip install 'disteconometrics[parquet]'."
        ) from None
    stamp = _stamp(path)
    try:
        meta = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise OptionError(
            f"The file {path!r} is no Parquet file ({str(error)[:80]}); read others with their own reader, a "
            "large CSV as de.Parts(lambda: pd.read_csv(path, chunksize=100_000))."
        ) from None
    groups: list[list[int]] = [[]]
    rows = 0
    for i in range(meta.num_row_groups):
        own = meta.row_group(i).num_rows
        if groups[-1] and rows + own > PART_ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(i)
        rows += own
    return [_ParquetPart(path, tuple(g), *stamp) for g in groups]


# ---- columns of the tables that parts give -----------------------------------------------------------------


def _length(frame: Any) -> int:
    if isinstance(frame, dict):
        return len(next(iter(frame.values()), ()))
    return int(frame.num_rows) if hasattr(frame, "num_rows") else len(frame)


def _names(frame: Any) -> list[str]:
    if isinstance(frame, dict):
        return list(frame)
    if hasattr(frame, "num_rows"):
        return list(frame.schema.names)
    if not hasattr(frame, "columns"):
        raise OptionError(
            f"The function of de.Parts gave a {type(frame).__name__} among its tables; give pandas or polars "
            "DataFrames, Arrow tables or dicts of arrays."
        )
    return list(frame.columns)


def _column(frame: Any, name: str, start: int) -> Any:
    """Some rows of a column, which the part is known to have."""
    if hasattr(frame, "num_rows"):
        return _from_arrow(frame, name, start)
    return frame[name][start : start + ROWS]


def _values(column: Any) -> Any:
    """A column without the labels of its rows."""
    if not isinstance(column, pd.Series):
        return column
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def _even(batches: Iterable[Any]) -> Iterator[Any]:
    """The rows of Arrow batches as tables of `ROWS` rows, however they were cut, the last one shorter."""
    import pyarrow as pa

    held: list[Any] = []
    for batch in batches:
        while batch.num_rows:
            room = ROWS - sum(part.num_rows for part in held)
            held.append(batch.slice(0, room))
            batch = batch.slice(room)
            if held[-1].num_rows == room:
                yield pa.Table.from_batches(held)
                held = []
    if held:
        yield pa.Table.from_batches(held)


def _told(schema: Any, name: str, what: str) -> str:
    """What pandas says of a column that it wrote, "" for nothing."""
    told = (schema.pandas_metadata or {}).get("columns", [])
    return next((str(c.get(what)) for c in told if c.get("field_name") == name), "")


def _from_arrow(frame: Any, name: str, start: int) -> Any:
    """Some rows of a column of Arrow as pandas would give them, text and dictionaries as categories.

    Dictionaries that are ordered, or hold categories of pandas, keep their order; that of others says
    nothing, and differs from file to file: they are sorted by value.
    """
    import pyarrow as pa

    values = frame.column(name).slice(start, ROWS)
    if isinstance(values, pa.ChunkedArray):
        values = values.unify_dictionaries().combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numbers(values, _told(frame.schema, name, "numpy_type"))
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not is_text and not pa.types.is_dictionary(kind):
        return values.to_pandas().reset_index(drop=True)
    found = (values.dictionary_encode() if is_text else values).to_pandas().array
    if found.ordered or (not is_text and _told(frame.schema, name, "pandas_type") == "categorical"):
        return found
    return _sorted_by_value(found)


def _numbers(values: Any, told: str) -> Any:
    """Numbers of Arrow, nullable whole ones of pandas, of whose type it is told, to the last digit."""
    if not values.null_count:
        return values.to_numpy(zero_copy_only=False)
    if not told.startswith(("Int", "UInt")):
        return values.to_pandas().array
    gone = values.is_null().to_numpy(zero_copy_only=False)
    return pd.arrays.IntegerArray(values.fill_null(0).to_numpy(zero_copy_only=False), gone)


def _sorted_by_value(found: pd.Categorical) -> pd.Categorical:
    levels = found.categories
    if pd.api.types.infer_dtype(levels, skipna=True) == "string":
        levels = [str(level) for level in levels]
    order = np.argsort(np.asarray(levels), kind="stable") if len(levels) else np.zeros(0, dtype=np.intp)
    to = np.empty(len(levels) + 1, dtype=np.intp)
    to[order], to[-1] = np.arange(len(levels)), -1
    sorted_levels = pd.Index([levels[i] for i in order], dtype=object)
    return pd.Categorical.from_codes(to[found.codes], categories=sorted_levels)
