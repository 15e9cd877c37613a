"""Rows of a design under "what if": some columns set to other values, and derivatives with respect to a raw column.

Everything is coded through the stored specification, a few rows at a time, so that no second design is ever
held.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.data.evaluate import Evaluator, Levels
from disteconometrics.data.formula import variables_of
from disteconometrics.data.slopes import slope
from disteconometrics.data.spec import DesignSpec, lag_values, numeric_column
from disteconometrics.data.table import Column, Table, list_names
from disteconometrics.data.terms import fill, names_of
from disteconometrics.errors import DataError, LevelError, MissingColumnError, OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from disteconometrics.data.design import Design

__all__ = ["Part", "Scenario"]


@dataclass(frozen=True, eq=False)
class Scenario:
    """Rows to average over: columns by name, which of their rows count, weights (n,) and offset (n,) or None."""

    spec: DesignSpec
    columns: dict[str, Column]
    lags: dict[str, Any]
    kept: NDArray[np.intp] | None
    weights: NDArray[np.float64] | None
    offset: NDArray[np.float64] | None
    size: int

    @classmethod
    def of_design(cls, design: Design) -> Scenario:
        """Return the rows of a fit.  Raises: as `DesignSpec.matrix`."""
        columns, lags = _read(design.spec, design.table)
        return cls(design.spec, columns, lags, design.kept, design.weights, design.offset, len(design.y))

    @classmethod
    def of_data(cls, spec: DesignSpec, data: Any) -> Scenario:
        """Return the rows of a table that the model can use: complete, with an outcome if there is one, weight above zero.

        Raises: as `DesignSpec.matrix`; DataError when no row is left.
        """
        table, coded = Table(data), spec.matrix(data)
        good = ~np.isnan(coded.X).any(axis=1)
        if coded.offset is not None:
            good &= ~np.isnan(coded.offset)
        for name in set(variables_of(spec.parsed.left.node)) & set(table.names):
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

    def check_variable(self, name: Any) -> str:
        """Return a variable of the right side.

        Raises: MissingColumnError that lists them; OptionError inside ``lag()`` only.
        """
        if name not in self.spec.variables:
            raise MissingColumnError(
                f"{name!r} is not a variable of {self.spec.formula!r}; its variables are "
                f"{list_names(self.spec.variables)}."
            )
        if not any(name in variables_of(f.node, inside_lag=False) for f in self.spec.parsed.factors):
            raise OptionError(
                f"{name!r} enters through lag() only, which is held fixed: it has no effect in the same row."
            )
        return str(name)

    def values(self, name: str) -> NDArray[Any]:
        """Return the rows of a column (n,): numbers, or codes of levels.  Raises: nothing."""
        values = self.columns[name].values
        return values if self.kept is None else values[self.kept]

    def levels(self, name: str) -> tuple[Any, ...] | None:
        """Return the levels of a categorical variable, its base first; None for numbers.  Raises: nothing."""
        kind, levels = self.spec.columns[name]
        found: tuple[Any, ...] | None = (
            levels if kind == "level" else ((False, True) if kind == "bool" else None)
        )
        base = None
        for i, factor in enumerate(self.spec.parsed.factors):
            node = factor.node
            if (
                i in self.spec.levels
                and isinstance(node, ast.Call)
                and node.args
                and _is_column(node.args[0], name)
            ):
                found = self.spec.levels[i]
                base = getattr(self._contrasts(node), "base", None)
        if found is not None and isinstance(base, (str, bool, int, float)) and base in found:
            found = (base, *(v for v in found if v != base))
        return found

    def _contrasts(self, node: ast.Call) -> Any:
        one = {name: column.take(np.zeros(1, dtype=np.intp)) for name, column in self.columns.items()}
        value = Evaluator(one, 1, {}, True, {}).value(node)
        return value.contrasts if isinstance(value, Levels) else None

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
        lags = {
            k: Levels(v.codes[rows], v.levels) if isinstance(v, Levels) else v[rows]
            for k, v in self.lags.items()
        }
        return Part(self.spec, Evaluator(columns, m, dict(self.spec.states), True, lags), fixed)


class Part:
    """A few rows under a scenario, evaluated once: their design and its derivatives."""

    def __init__(self, spec: DesignSpec, evaluator: Evaluator, fixed: Mapping[str, Any]) -> None:
        self._spec, self._evaluator = spec, evaluator
        self._factors = spec.parsed.factors
        values = [spec._recoded(i, evaluator.factor(f.node, f.name), f) for i, f in enumerate(self._factors)]
        self._values = values
        self._groups = names_of(spec.structure, [f.name for f in self._factors], values)[1]
        self.X: NDArray[np.float64] = fill(spec.structure, self._groups, evaluator.size, len(spec.names))
        if not np.isfinite(self.X.sum()) and not np.isfinite(self.X).all():
            told = ", ".join(f"{name} = {value}" for name, value in fixed.items())
            raise DataError(
                f"At {told or 'the rows given'} a term of the formula is missing or infinite; choose "
                f"other values."
            )

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers (m,).  Raises: nothing."""
        numbers = self._evaluator.columns[name].numbers
        assert numbers is not None
        return numbers

    def replaced(self, name: str, value: Any) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return which columns (c,) of the design read a raw column, and what they are with it set to a value.

        Returns: (columns, block), the block (m, c), or (1, c) when all rows share it.  Raises: as
        `Scenario.part`.
        """
        spec, e = self._spec, self._evaluator
        moving = [i for i, f in enumerate(self._factors) if name in variables_of(f.node, inside_lag=False)]
        alone = all(set(variables_of(self._factors[i].node)) == {name} for i in moving)
        shared = (
            not e.lags
            and alone
            and all(
                {i for i, _ in g[1]} <= set(moving)
                for g in spec.structure
                if any(i in moving for i, _ in g[1])
            )
        )
        m = 1 if shared else e.size
        columns = {**e.columns, name: _constant(e.columns[name], value, m)}
        evaluator = Evaluator(
            {name: columns[name]} if shared else columns, m, dict(spec.states), True, e.lags
        )
        values = list(self._values)
        for i in moving:
            f = self._factors[i]
            values[i] = spec._recoded(i, evaluator.factor(f.node, f.name), f)
        where: list[NDArray[np.intp]] = []
        made: list[NDArray[np.float64]] = []
        at = 0
        for group, parts in zip(spec.structure, self._groups, strict=True):
            width = _width(parts)
            if any(i in moving for i, _ in group[1]):
                own = names_of((group,), [f.name for f in self._factors], values)[1]
                where.append(np.arange(at, at + width))
                made.append(fill((group,), own, m, width))
            at += width
        block = np.concatenate(made, axis=1)
        if not np.isfinite(block.sum()) and not np.isfinite(block).all():
            raise DataError(
                f"At {name} = {value} a term of the formula is missing or infinite; choose other values."
            )
        return np.concatenate(where), block

    def derivative(self, name: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return which columns (c,) of the design move with a raw column, and their derivatives (m, c).

        Raises: OptionError if nothing moves; DataError where the derivative is not finite; FormulaError as
        `slope`.
        """
        spec, m = self._spec, self._evaluator.size
        moving = {i: slope(self._evaluator, f.node, name) for i, f in enumerate(self._factors)}
        moving = {i: v for i, v in moving.items() if v is not None}
        where: list[NDArray[np.intp]] = []
        made: list[NDArray[np.float64]] = []
        at = 0
        for group, parts in zip(spec.structure, self._groups, strict=True):
            width = _width(parts)
            total: Any = None
            for i in (i for i, _ in group[1] if i in moving):
                values = [moving[i] if j == i else v for j, v in enumerate(self._values)]
                own = names_of((group,), [f.name for f in self._factors], values)[1]
                term = fill((group,), own, m, width)
                total = term if total is None else total + term
            if total is not None:
                where.append(np.arange(at, at + width))
                made.append(total)
            at += width
        if not where:
            raise OptionError(
                f"{name!r} enters the formula through steps only, so its derivative is zero or undefined; "
                f"ask for a contrast of two values: {{{name!r}: (a, b)}}."
            )
        D = np.concatenate(made, axis=1)
        if not np.isfinite(D).all():
            raise DataError(
                f"The formula has no finite derivative in {name!r} in "
                f"{int((~np.isfinite(D)).any(axis=1).sum())} rows."
            )
        return np.concatenate(where), D


def _width(parts: list[Any]) -> int:
    """Columns of a group."""
    return int(np.prod([p.block(slice(0, 1)).shape[1] for p in parts])) if parts else 1


def _is_column(node: ast.expr, name: str) -> bool:
    return variables_of(node) == (name,) and (
        isinstance(node, ast.Name) or ast.unparse(node).startswith(("Q(", "I("))
    )


def _read(spec: DesignSpec, table: Table) -> tuple[dict[str, Column], dict[str, Any]]:
    columns = {name: spec._column(table, name) for name in spec.variables}
    return columns, lag_values(spec.parsed, columns, len(table), None)


def _constant(column: Column, value: Any, m: int) -> Column:
    """A column that holds one value in all rows."""
    name = column.name
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
