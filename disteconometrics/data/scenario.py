"""Rows of a design under "what if": some columns set to other values, and derivatives in a raw column.

Everything is coded through the stored specification, a few rows at a time, so that no second design is ever
held.
"""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.arrays import AnyArray, Array, Indices
from disteconometrics.data.evaluate import Evaluator, Levels, lag_values
from disteconometrics.data.slopes import slope
from disteconometrics.data.spec import DesignSpec, numeric_column
from disteconometrics.data.syntax import variables_of
from disteconometrics.data.table import Column, Table, list_names
from disteconometrics.data.terms import Group, Structure, code_groups, fill, width
from disteconometrics.errors import DataError, LevelError, MissingColumnError, OptionError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from disteconometrics.data.design import Design

__all__ = ["Part", "Scenario"]


@dataclass(frozen=True, eq=False)
class Scenario:
    """Rows to average over: columns by name, which of their rows count, weights and offset (n,) or None."""

    spec: DesignSpec
    columns: dict[str, Column]
    lags: dict[str, Any]
    kept: Indices | None
    weights: Array | None
    offset: Array | None
    size: int

    @classmethod
    def of_design(cls, design: Design) -> Scenario:
        """Return the rows of a fit.  Raises: as `DesignSpec.matrix`."""
        columns, lags = _read(design.spec, design.table)
        return cls(design.spec, columns, lags, design.kept, design.weights, design.offset, len(design.y))

    @classmethod
    def of_data(cls, spec: DesignSpec, data: Any) -> Scenario:
        """Return the rows of a table that the model can use: complete, and of positive weight.

        The outcome is looked at where the table has it.  Raises: as `DesignSpec.matrix`; DataError when no
        row is left.
        """
        table, coded = Table(data), spec.matrix(data)
        good = ~np.isnan(coded.X).any(axis=1)
        if coded.offset is not None:
            good &= ~np.isnan(coded.offset)
        for name in set(spec.parsed.left.variables) & set(table.names):
            missing = table.column(str(name), "the outcome").trouble()[0]
            good &= True if missing is None else ~missing
        weights = None if spec.weights is None else numeric_column(table, spec.weights, "weights").numbers
        if weights is not None:
            good &= weights > 0
        if not good.any():
            raise DataError(f"data= has no complete row among its {len(table)}.")
        kept = np.flatnonzero(good)
        columns, lags = _read(spec, table)
        offset = None if coded.offset is None else coded.offset[kept]
        return cls(spec, columns, lags, kept, None if weights is None else weights[kept], offset, len(kept))

    def pieces(self) -> Iterator[Scenario]:
        """Return the rows, all at once.  Raises: nothing."""
        yield self

    def zero_one(self, name: str) -> bool:
        """Return whether a column of numbers is 0 or 1 in every row.  Raises: nothing."""
        return bool(np.isin(self.values(name), (0.0, 1.0)).all())

    def thinned(self, most: int) -> Scenario:
        """Return at most so many of the rows, evenly spaced.  Raises: nothing."""
        if self.size <= most:
            return self
        return self.take(np.linspace(0, self.size - 1, most).astype(np.intp))

    def take(self, at: Indices) -> Scenario:
        """Return the rows at positions (m,).  Raises: nothing."""
        w, o = (None if a is None else a[at] for a in (self.weights, self.offset))
        kept = at if self.kept is None else self.kept[at]
        return replace(self, kept=kept, weights=w, offset=o, size=len(at))

    def check_variable(self, name: Any) -> str:
        """Return a variable of the right side.

        Raises: MissingColumnError that lists them; OptionError inside ``lag()`` only.
        """
        if name not in self.spec.variables:
            raise MissingColumnError(
                f"{name!r} is not a variable of {self.spec.formula!r}; its variables are "
                f"{list_names(self.spec.variables)}."
            )
        if not any(name in f.row_variables for f in self.spec.parsed.factors):
            raise OptionError(
                f"{name!r} enters through lag() only, which is held fixed: it has no effect in the same row."
            )
        return str(name)

    def values(self, name: str) -> AnyArray:
        """Return the rows of a column (n,): numbers, or codes of levels.  Raises: nothing."""
        values = self.columns[name].values
        return values if self.kept is None else values[self.kept]

    def levels(self, name: str) -> tuple[Any, ...] | None:
        """Return the levels of a categorical variable, its base first; None for numbers.  Raises: nothing."""
        coded = self._categorical(name)
        if coded is not None:
            i, call = coded
            levels, base = self.spec.levels[i], self._base(call)
            if isinstance(base, (str, bool, int, float)) and base in levels:
                return (base, *(v for v in levels if v != base))
            return levels
        kind, levels = self.spec.columns[name]
        return {"level": levels, "bool": (False, True)}.get(kind)

    def _categorical(self, name: str) -> tuple[int, ast.Call] | None:
        """The last factor that is a call of ``C()`` on a column as it stands, with its position."""
        found = None
        for i, factor in enumerate(self.spec.parsed.factors):
            node = factor.node
            if i in self.spec.levels and isinstance(node, ast.Call) and _is_of_column(node, name):
                found = i, node
        return found

    def _base(self, node: ast.Call) -> Any:
        """The base that a call of ``C()`` names, None where it names none."""
        one = {name: column.take(np.zeros(1, dtype=np.intp)) for name, column in self.columns.items()}
        value = Evaluator(one, 1, {}, True, {}).value(node)
        return getattr(value.contrasts, "base", None) if isinstance(value, Levels) else None

    def part(self, start: int, stop: int, fixed: Mapping[str, Any]) -> Part:
        """Return rows start … stop with some columns fixed.

        Raises: LevelError, OptionError for values that cannot be.
        """
        rows = np.arange(start, stop) if self.kept is None else self.kept[start:stop]
        m = len(rows)
        columns = {
            n: _constant(self.columns[n], fixed[n], m) if n in fixed else c.take(rows)
            for n, c in self.columns.items()
        }
        lags = {k: v[rows] for k, v in self.lags.items()}
        return Part(self.spec, Evaluator(columns, m, dict(self.spec.states), True, lags), fixed)


class Part:
    """A few rows under a scenario, evaluated once: their design and its derivatives."""

    def __init__(self, spec: DesignSpec, evaluator: Evaluator, fixed: Mapping[str, Any]) -> None:
        self._spec, self._evaluator = spec, evaluator
        self._factors = spec.parsed.factors
        self._values = spec.values(evaluator)
        groups = code_groups(spec.structure, self._factors, self._values)
        self._widths = list(map(width, groups))
        self.X: Array = fill(spec.structure, groups, evaluator.size)
        _check_finite(self.X, fixed)

    def numbers(self, name: str) -> Array:
        """Return a column of numbers (m,).  Raises: nothing."""
        numbers = self._evaluator.columns[name].numbers
        assert numbers is not None
        return numbers

    def columns_reading(self, name: str) -> Indices:
        """Return which columns (c,) of the design read a raw column in the same row.  Raises: nothing."""
        return self._groups_with({i for i, f in enumerate(self._factors) if name in f.row_variables})[0]

    def replaced(self, name: str, value: Any) -> tuple[Indices, Array]:
        """Return which columns (c,) of the design read a raw column, and these with it set to a value.

        Returns: (columns, block), the block (m, c), or (1, c) when all rows share it.  Raises: as
        `Scenario.part`.
        """
        e = self._evaluator
        moving = {i for i, f in enumerate(self._factors) if name in f.row_variables}
        where, groups = self._groups_with(moving)
        read = {i for _, places in groups for i, _ in places}
        shared = not e.lags and all(self._factors[i].variables == (name,) for i in read)
        m = 1 if shared else e.size
        column = _constant(e.columns[name], value, m)
        columns = {name: column} if shared else {**e.columns, name: column}
        evaluator = Evaluator(columns, m, dict(self._spec.states), True, e.lags)
        values = list(self._values)
        for i in read & moving:
            values[i] = self._spec.value(i, evaluator)
        block = self._filled(groups, values, m)
        _check_finite(block, {name: value})
        return where, block

    def _groups_with(self, factors: Container[int]) -> tuple[Indices, Structure]:
        """The groups of columns that hold one of some factors, and the places (c,) of their columns."""
        holds = [any(i in factors for i, _ in places) for _, places in self._spec.structure]
        groups = tuple(group for group, held in zip(self._spec.structure, holds, strict=True) if held)
        return np.flatnonzero(np.repeat(holds, self._widths)), groups

    def _filled(self, groups: Structure, values: list[Any], m: int) -> Array:
        """The columns (m, c) of some groups at values of the factors."""
        return fill(groups, code_groups(groups, self._factors, values), m)

    def derivative(self, name: str) -> tuple[Indices, Array]:
        """Return which columns (c,) of the design move with a raw column, and their derivatives (m, c).

        Raises: OptionError if nothing moves; DataError where the derivative is not finite; FormulaError as
        `slope`.
        """
        slopes = {i: slope(self._evaluator, f.node, name) for i, f in enumerate(self._factors)}
        slopes = {i: v for i, v in slopes.items() if v is not None}
        where, groups = self._groups_with(slopes)
        if not groups:
            raise OptionError(
                f"{name!r} enters the formula through steps only, so its derivative is zero or undefined; "
                f"ask for a contrast of two values: {{{name!r}: (a, b)}}."
            )
        D = np.concatenate([self._product_rule(group, slopes) for group in groups], axis=1)
        if not np.isfinite(D).all():
            raise DataError(
                f"The formula has no finite derivative in {name!r} in "
                f"{(~np.isfinite(D)).any(axis=1).sum()} rows."
            )
        return where, D

    def _product_rule(self, group: Group, slopes: Mapping[int, Any]) -> Array:
        """Derivatives (m, c) of a group of columns: its factors give way to their slopes in turn, summed."""
        terms = []
        for i, _ in group[1]:
            if i in slopes:
                values = [slopes[i] if j == i else v for j, v in enumerate(self._values)]
                terms.append(self._filled((group,), values, self._evaluator.size))
        return reduce(operator.add, terms)


def _check_finite(X: Array, fixed: Mapping[str, Any]) -> None:
    if np.isfinite(X.sum()) or np.isfinite(X).all():
        return
    told = ", ".join(f"{name} = {value}" for name, value in fixed.items())
    raise DataError(
        f"At {told or 'the rows given'} a term of the formula is missing or infinite; choose other values."
    )


def _is_of_column(call: ast.Call, name: str) -> bool:
    """Whether a call is of one column as it stands, by name or in ``Q()`` or ``I()``."""
    if not call.args or variables_of(call.args[0]) != (name,):
        return False
    return isinstance(call.args[0], ast.Name) or ast.unparse(call.args[0]).startswith(("Q(", "I("))


def _read(spec: DesignSpec, table: Table) -> tuple[dict[str, Column], dict[str, Any]]:
    columns = {name: spec.column(table, name) for name in spec.variables}
    return columns, lag_values(spec.parsed, columns, len(table), None)


def _constant(column: Column, value: Any, m: int) -> Column:
    """A column that holds one value in all rows, or values (m,) of its own."""
    name = column.name
    if isinstance(value, np.ndarray) and column.numbers is not None and value.shape == (m,):
        return Column(name, column.kind, value)
    if column.numbers is None:
        if value not in column.levels:
            raise LevelError(f"{name} = {value!r} is not a level; levels are {list_names(column.levels)}.")
        return Column(
            name,
            column.kind,
            codes=np.full(m, column.levels.index(value), dtype=np.intp),
            levels=column.levels,
        )
    wrong = isinstance(value, str) or not np.isscalar(value)
    if wrong or not np.isfinite(float(value)) or (column.kind == "bool" and value not in (0, 1)):
        allowed = "True or False" if column.kind == "bool" else "a finite number"
        raise OptionError(f"{name} = {value!r}: give {allowed}.")
    return Column(name, column.kind, np.full(m, float(value)))
