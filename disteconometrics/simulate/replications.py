"""What a worker does: draw a table, give it to every estimator, and keep the numbers or the reason why not.

The random numbers of a replication come from the seed, the content of its cell and its number alone, so a
draw is the same whoever computes it, in whatever order, and a longer run begins with the shorter one.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import itertools
import json
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.arrays import Array
from disteconometrics.errors import (
    CollinearityError,
    DisteconometricsError,
    OptionError,
    OutcomeError,
    SeparationError,
    SeparationWarning,
)
from disteconometrics.inference.estimates import Estimates, TestResult, critical_value
from disteconometrics.inference.foreign import with_errors
from disteconometrics.inference.parallel import machine
from disteconometrics.inference.protocols import Collector, Replicated, Replicating
from disteconometrics.threads import one_thread

__all__ = [
    "FIELDS",
    "Cell",
    "Estimator",
    "Failure",
    "Replicated",
    "ReplicationBlock",
    "Task",
    "cells_of",
    "digest",
    "read_estimates",
]

FIELDS = ("estimate", "std_error", "conf_low", "conf_high", "p_value")
BATCH = 128  # tables that an engine gets at once, if they have no more rows than …
BATCH_ROWS = 131_072
ERRORS = (Exception, SystemExit)  # of user code, which cost it a replication
DGP = "dgp"  # in the place of an estimator's name
WORDS: tuple[tuple[type[Exception], str], ...] = (
    (SeparationError, "separation"),
    (OutcomeError, "the outcome does not vary"),
    (CollinearityError, "coefficients not identified"),
)


class Failure(NamedTuple):
    """A replication without numbers: who failed (an estimator, or "dgp"), why, and where in the code."""

    replication: int
    estimator: str
    reason: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Cell:
    """One combination of the grid: ``values`` for the DGP, ``shown`` what stands for them in tables.

    Examples
    --------
    >>> Cell({"n": 250}, {"n": 250}).label, Cell({}, {}).words == Cell({}, {}).words
    ('n=250', True)
    """

    values: Mapping[str, Any]
    shown: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The cell in words, as in ``"n=250"``."""
        return ", ".join(f"{name}={value}" for name, value in self.shown.items())

    @cached_property
    def words(self) -> tuple[int, ...]:
        """Four words of 32 bits that depend on the content of the cell, not on its place in the grid."""
        text = json.dumps({name: _plain(value) for name, value in self.shown.items()}, sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return tuple(int.from_bytes(key[i : i + 4], "little") for i in range(0, 16, 4))


def _plain(value: Any) -> Any:
    """A value of a cell for JSON; 250 and 250.0 are the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(map(_plain, value)) if isinstance(value, tuple) else value


@dataclass(frozen=True, eq=False)
class Estimator:
    """A specification with arguments of its ``fit``, or a callable from a table to a result."""

    name: str
    target: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def is_specification(self) -> bool:
        """Whether there is a ``fit``."""
        return callable(getattr(self.target, "fit", None))

    @cached_property
    def random(self) -> str | None:
        """The argument that takes random numbers, if any: ``seed`` of a fit, ``rng`` of a callable."""
        call, word = (self.target.fit, "seed") if self.is_specification else (self.target, "rng")
        try:
            takes = word in inspect.signature(call).parameters
        except (TypeError, ValueError):
            return None
        return word if takes and word not in self.options else None

    @cached_property
    def engine(self) -> Replicating | None:
        """What estimates many tables at once, if the specification has it for these options."""
        offer = getattr(self.target, "replications", None)
        return None if offer is None or not self.is_specification else offer(**self.options)

    def __call__(self, table: Any, stream: Callable[[], np.random.Generator]) -> Any:
        """The result for a table."""
        more = {} if self.random is None else {self.random: stream()}
        return (
            self.target.fit(table, **self.options, **more)
            if self.is_specification
            else self.target(table, **more)
        )


def _number(value: Any, name: str) -> float:
    if isinstance(value, (str, bytes, complex)):
        raise OptionError(f"{name!r} is {value!r}, no number")
    return float(value)


def _from_pair(name: str, value: Any, critical: float) -> tuple[float, ...]:
    """The five fields of a number, (estimate, se), (estimate, se, low, high), or a test."""
    if hasattr(value, "p_value") and not isinstance(value, (tuple, list)):
        return (np.nan, np.nan, np.nan, np.nan, _number(value.p_value, name))
    if not isinstance(value, (tuple, list, np.ndarray)) or np.ndim(value) == 0:
        return (_number(value, name), np.nan, np.nan, np.nan, np.nan)
    if len(value) not in (2, 4):
        raise OptionError(
            f"{name!r} has {len(value)} values; give estimate, (estimate, se) or (estimate, se, low, high)"
        )
    b, se = _number(value[0], name), _number(value[1], name)
    if se < 0:
        raise OptionError(f"{name!r} has the standard error {se:g}, which is below zero")
    limits = (
        (b - critical * se, b + critical * se)
        if len(value) == 2
        else (_number(value[2], name), _number(value[3], name))
    )
    return (b, se, *limits, np.nan)


def read_estimates(result: Any, level: float) -> tuple[tuple[str, ...], Array]:
    """Names (q,) and numbers (q, 5), as in `FIELDS`, of what an estimator returned.

    Raises
    ------
    OptionError
        If it is neither a result with ``.estimates``, or with ``.params`` and ``.bse``, nor a Series or dict.

    Examples
    --------
    >>> names, values = read_estimates({"mu": (1.0, 0.5)}, 0.95)
    >>> names, values.round(2).tolist()
    (('mu',), [[1.0, 0.5, 0.02, 1.98, nan]])
    """
    table = getattr(result, "estimates", result)
    if isinstance(table, Estimates):
        low, high = table.interval(level).T
        return tuple(map(str, table.names)), np.column_stack(
            [table.values, table.std_error, low, high, table.p_value]
        )
    if isinstance(table, TestResult):
        table = {table.kind: table}
    if isinstance(table, pd.Series):
        table = table.to_dict()
    if isinstance(table, Mapping) and table:
        critical = critical_value(level)
        rows = [_from_pair(str(name), value, critical) for name, value in table.items()]
        return tuple(map(str, table)), np.array(rows, dtype=np.float64)
    if hasattr(result, "params") and hasattr(result, "bse"):
        return with_errors(result, level)
    raise OptionError(
        f"the estimator returned {type(result).__name__}; return a result with .estimates, one with .params "
        f"and .bse (as statsmodels'), a Series, or a dict name → (estimate, se)"
    )


def digest(table: Any) -> str:
    """A digest of the numbers in a table, by which two draws are known to be the same."""
    found = hashlib.blake2b(digest_size=16)
    names = table.keys() if isinstance(table, Mapping) else getattr(table, "columns", None)
    for name in [None] if names is None else list(names):
        values = np.asarray(table if name is None else table[name])
        if values.dtype.kind in "OUST":
            found.update(repr((name, values.tolist())).encode())
        else:
            found.update(
                f"{name} {values.dtype.str} {values.shape}".encode() + np.ascontiguousarray(values).tobytes()
            )
    return found.hexdigest()


def _rows(table: Any) -> int:
    first = next(iter(table.values()), ()) if isinstance(table, Mapping) else table
    try:
        return len(first)
    except TypeError:
        return BATCH_ROWS


def _copy(table: Any) -> Any:
    """A table that an estimator may change without the next one seeing it."""
    if isinstance(table, np.ndarray):
        return table.copy()
    if isinstance(table, dict):
        return {name: v.copy() if isinstance(v, np.ndarray) else v for name, v in table.items()}
    return table.copy() if isinstance(table, (pd.DataFrame, pd.Series)) else copy.deepcopy(table)


def _to_words(number: int) -> list[int]:
    """A whole number ≥ 0 in words of 32 bits, the lowest first."""
    number = int(number)
    count = max(1, -(-number.bit_length() // 32))
    return [number >> (32 * i) & 0xFFFFFFFF for i in range(count)]


def _global_state() -> tuple[bytes, int]:
    """A fingerprint of numpy's global random state, to see whether user code draws from it."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].tobytes(), state[2]


@dataclass(eq=False)
class ReplicationBlock:
    """What a chunk of replications of one cell left.

    ``parts`` holds, by estimator and names of its parameters, replication numbers and their values (q, 5);
    ``warned`` counts replications by estimator and class of warning, with the first message; ``seconds`` is
    what it took.
    """

    cell: int
    done: list[int] = field(default_factory=list)
    parts: dict[tuple[str, tuple[str, ...]], tuple[list[int], list[Array]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    warned: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    random: list[str] = field(default_factory=list)  # estimators that may draw from numpy's global state
    digest: str | None = None  # of the table of replication 0
    machine: str | None = None  # what computed them, by `parallel.machine`
    seconds: float = 0.0
    interrupted: bool = False

    def add(self, estimator: str, names: tuple[str, ...], reps: list[int], values: Sequence[Array]) -> None:
        """Keep numbers of replications."""
        kept = self.parts.setdefault((estimator, names), ([], []))
        kept[0].extend(reps)
        kept[1].extend(values)

    def of(self, estimator: str) -> list[tuple[tuple[str, ...], list[int], list[Array]]]:
        """Names of parameters, replications and their values (q, 5) of an estimator."""
        return [(names, *kept) for (e, names), kept in self.parts.items() if e == estimator and kept[0]]

    def outcome(self, estimator: str, rep: int) -> tuple[tuple[str, ...], Array] | Failure | None:
        """Names and values (q, 5) of a replication, or the failure that it is, of an estimator or the DGP."""
        for names, reps, values in self.of(estimator):
            if rep in reps:
                return names, values[reps.index(rep)]
        failures = (f for f in self.failures if f.replication == rep and f.estimator in (estimator, DGP))
        return next(failures, None)

    def count(self, estimator: str, told: list[warnings.WarningMessage], start: int) -> None:
        """Count the classes of warnings that one replication raised from ``start`` on, and forget them."""
        raised = told[start:]
        for category in {w.category for w in raised}:
            key = (estimator, category.__name__)
            first = next(str(w.message) for w in raised if w.category is category)
            n, message = self.warned.get(key, (0, first))
            self.warned[key] = (n + 1, message)
        del told[start:]

    def keep(self, done: set[int]) -> None:
        """Forget replications that were not finished."""
        for key, (reps, values) in self.parts.items():
            chosen = [i for i, rep in enumerate(reps) if rep in done]
            self.parts[key] = ([reps[i] for i in chosen], [values[i] for i in chosen])
        self.failures = [f for f in self.failures if f.replication in done]


@dataclass(eq=False)
class _Open:
    """Replications that engines have collected, by whom, and not solved yet."""

    engines: dict[str, Collector]
    reps: dict[int, set[str]] = field(default_factory=dict)
    rows: int = 0

    @property
    def full(self) -> bool:
        return len(self.reps) >= BATCH or self.rows >= BATCH_ROWS

    def add(self, rep: int, taken: set[str], rows: int) -> None:
        self.reps[rep] = taken
        self.rows += rows

    def clear(self) -> None:
        self.reps.clear()
        self.rows = 0


@dataclass(frozen=True, eq=False)
class Task:
    """All that a worker needs: the process, estimators, cells, and where random numbers come from."""

    dgp: Callable[..., Any]
    estimators: tuple[Estimator, ...]
    cells: tuple[Cell, ...]
    targets: tuple[str, ...] | None
    level: float
    entropy: Any
    spawn_key: tuple[int, ...]

    @cached_property
    def _words(self) -> list[NDArray[np.uint32]]:
        """The entropy of each cell as numpy's SeedSequence assembles it, with room for the replication."""
        seed = _to_words(self.entropy)
        seed += [0] * (4 - len(seed))  # the size of its pool
        key = [word for number in self.spawn_key for word in _to_words(number)]
        return [np.array([*seed, *key, *cell.words, 0], dtype=np.uint32) for cell in self.cells]

    def generator(self, c: int, rep: int, *more: int) -> np.random.Generator:
        """Random numbers of a replication of cell c, by spawn key (the cell's four words, replication)."""
        words = self._words[c].copy()
        words[-1] = rep
        if more:
            words = np.concatenate([words, np.array(more, dtype=np.uint32)])
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))

    def draw(self, c: int, rep: int) -> Any:
        """The table of a replication."""
        table = self.dgp(self.generator(c, rep), **self.cells[c].values)
        if table is None:
            raise OptionError("the DGP returned None; return the table that it drew")
        return table

    def again(self, c: int, rep: int) -> tuple[Any, dict[str, Any], dict[str, BaseException]]:
        """The table of a replication, results by estimator, and errors of those that have none."""
        table = self.draw(c, rep)
        found: dict[str, Any] = {}
        errors: dict[str, BaseException] = {}
        for e in self.estimators:
            try:
                found[e.name] = e(_copy(table), self._stream(c, rep, e))
            except ERRORS as error:
                errors[e.name] = error
        return table, found, errors

    def _stream(self, c: int, rep: int, e: Estimator) -> Callable[[], np.random.Generator]:
        """Random numbers of an estimator's own."""
        return lambda: self.generator(c, rep, zlib.crc32(e.name.encode()))

    def chunk(self, c: int, start: int, stop: int) -> ReplicationBlock:
        """Replications start … stop − 1 of cell c; an interruption keeps those that were finished."""
        block, begun = ReplicationBlock(c, machine=machine()), time.perf_counter()
        state = _global_state()
        engines = {
            e.name: e.engine.collect(min(BATCH, stop - start))
            for e in self.estimators
            if e.engine is not None
        }
        with one_thread(), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            open_ = _Open(engines)
            try:
                for rep in range(start, stop):
                    self._replicate(block, c, rep, open_, told)
                    if open_.full:
                        self._settle(block, c, open_, told)
            except KeyboardInterrupt:
                block.interrupted = True
            self._settle(block, c, open_, told)
        if _global_state() != state:
            self._check_reproducible(block, c, start)
        block.keep(set(block.done))
        block.seconds = time.perf_counter() - begun
        return block

    @property
    def parts(self) -> dict[str, Any]:
        """What users gave, by name."""
        given = {f"estimator {e.name!r}": (e.target, e.options) for e in self.estimators}
        return {"the DGP": self.dgp, **given, "the grid": [cell.values for cell in self.cells]}

    def said(self, chunks: Sequence[tuple[int, int, int]]) -> str:
        """Chunks in words, as in ``"replications 8 to 15 of n=50"``."""
        words = []
        for c in sorted({c for c, _, _ in chunks}):
            first = min(start for at, start, _ in chunks if at == c)
            last = max(stop for at, _, stop in chunks if at == c) - 1
            many = f"replications {first} to {last}" if last > first else f"replication {first}"
            words.append(f"{many} of {self.cells[c].label}" if self.cells[c].label else many)
        return ", ".join(words)

    def redo(self, c: int, rep: int, names: Sequence[str]) -> ReplicationBlock:
        """One replication again, by the estimators named."""
        chosen = tuple(e for e in self.estimators if e.name in names)
        block = replace(self, estimators=chosen).chunk(c, rep, rep + 1)
        if block.interrupted:
            raise KeyboardInterrupt
        return block

    def _check_reproducible(self, block: ReplicationBlock, c: int, rep: int) -> None:
        """numpy's global state has moved: refuse a process that draws something else, or note estimators."""
        try:
            same = digest(self.draw(c, rep)) == digest(self.draw(c, rep))
        except Exception:
            same = True  # the failure is on record
        if not same:
            raise OptionError(
                "The DGP draws from numpy's global random state, so the same seed gives other data; draw "
                "from the generator that "
                "it is given: rng.normal(...) instead of np.random.normal(...)."
            )
        block.random = sorted({e.name for e in self.estimators if not e.is_specification})

    def _replicate(
        self, block: ReplicationBlock, c: int, rep: int, open_: _Open, told: list[warnings.WarningMessage]
    ) -> None:
        """Draw a table, collect it for the engines and give it to the other estimators."""
        table = self._drawn(block, c, rep, told)
        if table is None:
            block.done.append(rep)
            return
        if rep == 0:
            block.digest = digest(table)
        taken = {name for name, engine in open_.engines.items() if engine.take(table)}
        left = [e for e in self.estimators if e.name not in taken]
        self._fit(block, c, rep, left, table, told)
        if taken:
            open_.add(rep, taken, _rows(table))
        else:
            block.done.append(rep)

    def _drawn(self, block: ReplicationBlock, c: int, rep: int, told: list[warnings.WarningMessage]) -> Any:
        """The table of a replication, None if the process failed; its warnings are counted."""
        mark, table = len(told), None
        try:
            table = self.draw(c, rep)
        except ERRORS as error:
            self._fail(block, rep, DGP, error)
        finally:
            block.count(DGP, told, mark)
        return table

    def _fit(
        self,
        block: ReplicationBlock,
        c: int,
        rep: int,
        estimators: Sequence[Estimator],
        table: Any,
        told: list[warnings.WarningMessage],
    ) -> None:
        """Estimators on one table; a callable gets a copy, which it may change, unless it is the last."""
        for e in estimators:
            own = table if e.is_specification or e is estimators[-1] else _copy(table)
            self._one(block, c, rep, e, own, told)

    def _settle(
        self, block: ReplicationBlock, c: int, open_: _Open, told: list[warnings.WarningMessage]
    ) -> None:
        """Solve what was collected; what an engine leaves is drawn again and fitted on its own."""
        tables: dict[int, Any] = {}
        for e in self.estimators:
            for rep in self._unsolved(block, e, open_, told):
                if rep not in tables:
                    tables[rep] = self.draw(c, rep)
                self._one(block, c, rep, e, tables[rep], told)
        block.done.extend(open_.reps)
        open_.clear()

    def _unsolved(
        self, block: ReplicationBlock, e: Estimator, open_: _Open, told: list[warnings.WarningMessage]
    ) -> list[int]:
        """Keep what an estimator's engine solves of its tables, and return the other replications."""
        reps = [rep for rep, taken in open_.reps.items() if e.name in taken]
        if not reps:
            return []
        mark = len(told)
        solved = open_.engines[e.name].solve(self.level)
        del told[mark:]  # of tables put together; those that are fitted alone tell on their own
        if solved is None or not solved.settled.any():
            return reps
        names, values = self._chosen(solved.names, solved.values, axis=1)
        pairs = list(zip(reps, solved.settled, strict=True))
        block.add(e.name, names, [rep for rep, fine in pairs if fine], list(values[solved.settled]))
        return [rep for rep, fine in pairs if not fine]

    def _chosen(self, names: tuple[str, ...], values: Array, axis: int) -> tuple[tuple[str, ...], Array]:
        """The targets among the parameters."""
        if self.targets is None:
            return names, values
        places = [names.index(t) for t in self.targets if t in names]
        return tuple(names[j] for j in places), np.take(values, places, axis=axis)

    def _one(
        self,
        block: ReplicationBlock,
        c: int,
        rep: int,
        e: Estimator,
        table: Any,
        told: list[warnings.WarningMessage],
    ) -> None:
        """One estimator on one table."""
        mark = len(told)
        try:
            result = e(table, self._stream(c, rep, e))
            all_names, all_values = read_estimates(result, self.level)
            names, values = self._chosen(all_names, all_values, axis=0)
        except ERRORS as error:
            self._fail(block, rep, e.name, error)
        else:
            reason = _trouble(result, names, values, told[mark:])
            if reason:
                block.failures.append(Failure(rep, e.name, *reason, ""))
            else:
                block.add(e.name, names, [rep], [values])
        block.count(e.name, told, mark)

    def _fail(self, block: ReplicationBlock, rep: int, name: str, error: BaseException) -> None:
        words = next((text for kind, text in WORDS if isinstance(error, kind)), type(error).__name__)
        lines = traceback.format_exception(error)
        block.failures.append(Failure(rep, name, words, _cut(_message(error)), "".join(lines)[-4000:]))


def _message(error: BaseException) -> str:
    """What an error of user code says, if it can."""
    try:
        return str(error)
    except Exception:
        return "an error that cannot be printed"


def _cut(text: str) -> str:
    return text if len(text) <= 500 else text[:499] + "…"


def _trouble(
    result: Any, names: tuple[str, ...], values: Array, told: Sequence[warnings.WarningMessage]
) -> tuple[str, str] | None:
    """Reason and message if a result holds no estimates to count."""
    if getattr(result, "converged", True) is False:  # None: all steps of a training that has not settled
        first = next(
            (str(w.message) for w in told if issubclass(w.category, DisteconometricsError | UserWarning)), ""
        )
        separated = any(issubclass(w.category, SeparationWarning) for w in told)
        return ("separation" if separated else "no convergence"), _cut(first)
    tests = np.isnan(values[:, :4]).all(axis=1) & ~np.isnan(values[:, 4])
    bad = [n for n, b, test in zip(names, values[:, 0], tests, strict=True) if not (np.isfinite(b) or test)]
    return ("estimate not finite", f"not finite: {', '.join(bad)}") if bad else None


def cells_of(grid: Any) -> tuple[Cell, ...]:
    """Cells of a grid: a dict from names to values, all combined, or a list of dicts.

    Values are numbers, text, true/false, None or tuples of these; anything else comes as a dict from labels
    to objects.

    Raises
    ------
    OptionError
        If the grid is something else, empty, or names a cell twice.

    Examples
    --------
    >>> [c.label for c in cells_of({"n": [250, 1000], "law": {"normal": np.random.Generator.normal}})]
    ['n=250, law=normal', 'n=1000, law=normal']
    """
    if grid is None:
        return (Cell({}, {}),)
    tables = grid if isinstance(grid, (list, tuple)) else [grid]
    cells = tuple(cell for table in tables for cell in _combined(table))
    counts = Counter(cell.label for cell in cells)
    twice = sorted(label for label, count in counts.items() if count > 1)
    if twice:
        raise OptionError(f"grid names a cell twice: {'; '.join(twice)}.")
    if not cells:
        raise OptionError("grid has no cells.")
    return cells


def _combined(table: Any) -> list[Cell]:
    """All combinations of the values in one dict."""
    if not isinstance(table, Mapping) or not all(isinstance(name, str) for name in table):
        raise OptionError(
            "grid is a dict from names to lists of values, such as {'n': [250, 1000]}, or a list of "
            "such dicts."
        )
    axes = [_axis(name, given) for name, given in table.items()]
    cells = []
    for chosen in itertools.product(*axes):
        shown = {name: label for name, (label, _) in zip(table, chosen, strict=True)}
        cells.append(Cell({name: value for name, (_, value) in zip(table, chosen, strict=True)}, shown))
    return cells


def _axis(name: str, given: Any) -> list[tuple[Any, Any]]:
    """Labels and values of one entry of a grid."""
    if isinstance(given, Mapping):
        return [(str(label), value) for label, value in given.items()]
    values = [v.item() if isinstance(v, np.generic) else v for v in _listed(given)]
    for value in values:
        if not _is_content(value):
            raise OptionError(
                f"grid[{name!r}] holds {type(value).__name__} objects, by which no seed can be derived; "
                f"label them: "
                f"grid={{{name!r}: {{'label': object, ...}}}}."
            )
    return [(value, value) for value in values]


def _listed(given: Any) -> Any:
    listed = given.tolist() if isinstance(given, np.ndarray) else given
    return [listed] if listed is None or isinstance(listed, (str, int, float, bool)) else listed


def _is_content(value: Any) -> bool:
    """Whether a value says all about itself, so that a seed can be derived from it."""
    parts = value if isinstance(value, tuple) else (value,)
    return all(part is None or isinstance(part, (str, int, float, bool)) for part in parts)
