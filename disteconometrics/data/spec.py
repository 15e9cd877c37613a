"""`DesignSpec`: all that a fitted design needs to code new rows, without holding any row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.data.evaluate import Basis, Evaluator, Levels, UnknownLevel, levels_of, recode
from disteconometrics.data.formula import Factor, Formula, parse_formula, spell, variables_of
from disteconometrics.data.outcome import Outcome, recode_outcome
from disteconometrics.data.state import pack, unpack
from disteconometrics.data.table import Column, Table, list_names, show_rows
from disteconometrics.data.terms import Structure, fill, names_of
from disteconometrics.errors import DataError, FileFormatError, LevelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["DesignSpec", "NewRows", "check_finite", "check_made", "lag_values", "numeric_column"]


@dataclass(frozen=True, eq=False)
class NewRows:
    """New rows coded as the fitted: ``X`` (m, k) float64, NaN where a column is; ``offset`` (m,) or None; pandas ``index``."""

    X: NDArray[np.float64]
    offset: NDArray[np.float64] | None
    index: Any


@dataclass(frozen=True, eq=False)
class DesignSpec:
    """The specification of a design: names, codings and transform states; it holds no rows and turns into JSON.

    ``names`` are formulaic's spelling in its order; ``variables`` are the columns of the right side;
    ``outcome`` says what is coded 1.
    """

    formula: str
    names: tuple[str, ...]
    outcome: Outcome
    weights: str | None
    weight_type: str | None
    offset: str | None
    dot: tuple[str, ...] = field(repr=False)
    columns: dict[str, tuple[str, tuple[Any, ...]]] = field(repr=False)  # name -> kind, levels
    structure: Structure = field(repr=False)
    levels: dict[int, tuple[Any, ...]] = field(repr=False)  # factor -> levels
    states: dict[str, Any] = field(repr=False)

    @property
    def parsed(self) -> Formula:
        """The checked formula."""
        return parse_formula(self.formula, self.dot)

    @property
    def variables(self) -> tuple[str, ...]:
        """The columns that the right side uses."""
        return self.parsed.right_variables

    @property
    def has_intercept(self) -> bool:
        """Whether the design has an explicit constant column."""
        return any(not places for _, places in self.structure)

    def without_constant(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The columns (n, k − 1) of a design (n, k) that are no constant, in rows that lie together."""
        return np.ascontiguousarray(X[:, [j for j, name in enumerate(self.names) if name != "Intercept"]])

    def matrix(self, new: Any) -> NewRows:
        """Code new rows (a table with the columns of the right side and the offset) exactly as the fitted ones.

        Returns: NewRows in the order of ``new``; no row is dropped.  Raises: MissingColumnError; LevelError
        for a level that was not fitted; DataError for inf, for text where numbers were and for values outside
        the range of a spline.
        """
        table, parsed = Table(new), self.parsed
        columns = {name: self._column(table, name) for name in self.variables}
        offset = None if self.offset is None else numeric_column(table, self.offset, "offset").numbers
        n, k = len(table), len(self.names)
        keep = _complete(columns, parsed.factors, n)
        X = np.full((n, k), np.nan)
        if keep is None or len(keep):
            made = self._rows(parsed, columns, n, keep)
            if made.shape[1] != k:
                raise FileFormatError(
                    f"The specification has {k} names, but its formula makes {made.shape[1]} columns"
                )
            if keep is None:
                X = made
            else:
                X[keep] = made
        return NewRows(X, offset, table.index)

    def _rows(
        self, parsed: Formula, columns: dict[str, Column], n: int, keep: NDArray[np.intp] | None
    ) -> NDArray[np.float64]:
        evaluator = self._evaluator(parsed, columns, n, keep)
        values = [self._recoded(i, evaluator.factor(f.node, f.name), f) for i, f in enumerate(parsed.factors)]
        for factor, value in zip(parsed.factors, values, strict=True):
            check_made(factor, value)
        names, groups = names_of(self.structure, [f.name for f in parsed.factors], values)
        return fill(self.structure, groups, evaluator.size, len(names))

    def outcome_values(self, new: Any) -> NDArray[np.float64]:
        """Code the outcome of new rows as the fitted rows were.

        Returns: y (m,) float64, NaN where a column of the left side is missing.  Raises: as `matrix`.
        """
        table, left = Table(new), self.parsed.left
        columns = {name: self._column(table, name) for name in variables_of(left.node)}
        keep = _complete(columns, (left,), len(table))
        y = np.full(len(table), np.nan)
        if keep is None or len(keep):
            evaluator = self._evaluator(self.parsed, columns, len(table), keep)
            value = evaluator.factor(left.node, left.name)
            check_made(left, value)
            y[slice(None) if keep is None else keep] = recode_outcome(self.outcome, value)
        return y

    def _evaluator(
        self, parsed: Formula, columns: dict[str, Column], n: int, keep: NDArray[np.intp] | None
    ) -> Evaluator:
        lags = lag_values(parsed, columns, n, keep)
        size = n if keep is None else len(keep)
        return Evaluator(
            {name: c.take(keep) for name, c in columns.items()}, size, dict(self.states), True, lags
        )

    def _column(self, table: Table, name: str) -> Column:
        column = table.column(name, "the formula")
        check_finite(column, "the formula")
        return _adapt(column, *self.columns[name])

    def _recoded(self, i: int, value: Any, factor: Factor) -> Any:
        if not isinstance(value, Levels):
            return value
        if i not in self.levels:
            raise FileFormatError(f"The specification has no levels for {factor.name!r}")
        known = self.levels[i]
        if known == value.levels:
            return value
        try:
            return Levels(recode(value, known), known, value.contrasts, value.spans_intercept)
        except UnknownLevel as error:
            who = f"{factor.name!r} (column {list_names(variables_of(factor.node))})"
            raise _unseen(who, error) from None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; `from_dict` rebuilds bit-identical matrices.

        Returns: dict.  Raises: FileFormatError if a state has no JSON form.
        """
        out = {name: getattr(self, name) for name in ("formula", "weights", "weight_type", "offset")}
        out |= {"names": list(self.names), "dot": list(self.dot)}
        out["outcome"] = {
            "name": self.outcome.name,
            "kind": self.outcome.kind,
            "levels": pack(self.outcome.levels),
        }
        out["columns"] = {name: [kind, pack(levels)] for name, (kind, levels) in self.columns.items()}
        out["structure"] = [[scale, [list(place) for place in places]] for scale, places in self.structure]
        out["levels"] = {str(i): pack(levels) for i, levels in self.levels.items()}
        out["states"] = {key: pack(state) for key, state in self.states.items()}
        return out

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> DesignSpec:
        """Rebuild a specification from `to_dict`; the formula passes the same check as at fit.

        Returns: DesignSpec.  Raises: FileFormatError for unknown keys or types; FormulaError for a formula
        that is not allowed.
        """
        return _rebuild(d)


def numeric_column(table: Table, name: str, role: str) -> Column:
    """Return a column that must hold finite numbers (NaN allowed), for the role weights or offset.

    Returns: Column.  Raises: MissingColumnError; DataError naming role and column.
    """
    column = table.column(name, role)
    if column.numbers is None:
        raise DataError(f"The {role} column {name!r} holds text or categories; it must hold numbers")
    check_finite(column, role)
    return column


def check_finite(column: Column, role: str) -> None:
    """Refuse inf in a column as given.  Returns: None.  Raises: DataError naming column, role and rows."""
    infinite = column.trouble()[1]
    if infinite is not None:
        raise DataError(
            f"Column {column.name!r} ({role}) has inf in {show_rows(infinite)}; make it missing or drop "
            f"the rows"
        )


def check_made(factor: Factor, value: Any) -> None:
    """Refuse inf that a term has made.  Returns: None.  Raises: DataError naming the term."""
    if factor.is_column or isinstance(value, Levels):
        return
    for made in value.columns.values() if isinstance(value, Basis) else [value]:
        with np.errstate(all="ignore"):
            if np.isfinite(made.sum()):
                continue
        infinite = np.isinf(made)
        if infinite.any():
            raise DataError(
                f"The term {factor.name!r} makes inf in {show_rows(infinite)}, as log(0) and 1/0 do; "
                f"change the rows or the term"
            )


def lag_values(
    parsed: Formula, columns: Mapping[str, Column], n: int, keep: NDArray[np.intp] | None
) -> dict[str, Any]:
    """Return all ``lag()`` calls by spelling, computed over all n rows of the table and then cut to ``keep``.

    Returns: dict.  Raises: as `Evaluator.factor`.
    """
    out: dict[str, Any] = {}
    for node in parsed.lags:
        if not set(variables_of(node)) <= set(columns):
            continue  # a lag on the left side, while only the right side is coded
        value = Evaluator(columns, n, {}, term=spell(node)).lag(node)
        if keep is not None:
            value = Levels(value.codes[keep], value.levels) if isinstance(value, Levels) else value[keep]
        out[spell(node)] = value
    return out


def _complete(columns: Mapping[str, Column], factors: Iterable[Factor], n: int) -> NDArray[np.intp] | None:
    """Rows (positions) without missing values in the columns that the factors read in that row; None for all."""
    missing = np.zeros(n, dtype=bool)
    for name in dict.fromkeys(v for f in factors for v in variables_of(f.node, inside_lag=False)):
        mask = columns[name].trouble()[0]
        if mask is not None:
            missing |= mask
    return np.flatnonzero(~missing) if missing.any() else None


def _unseen(who: str, error: UnknownLevel) -> LevelError:
    return LevelError(
        f"{who} has levels that the fitted rows did not have: {error.where}; known levels are "
        f"{list_names(error.known)}"
    )


def _adapt(column: Column, kind: str, levels: tuple[Any, ...]) -> Column:
    """Bring a new column to the kind that the fitted one had; equal values match whatever their type."""
    name = column.name
    if kind == "level":
        found = Levels(column.values, column.levels) if column.numbers is None else levels_of(column.numbers)
        try:
            return Column(name, kind, codes=recode(found, levels), levels=levels)
        except UnknownLevel as error:
            raise _unseen(f"Column {name!r}", error) from None
    numbers, native = column.numbers, column.native
    if numbers is None:
        if any(isinstance(level, str) for level in column.levels):
            raise DataError(
                f"Column {name!r} holds text ({list_names(column.levels, 5)}); it was numeric in the "
                f"fitted rows: "
                "use pd.to_numeric"
            )
        numbers, native = np.array([*column.levels, np.nan], dtype=np.float64)[column.values], None
    if kind == "bool":
        wrong = ~np.isin(numbers, (0, 1)) & ~np.isnan(numbers)
        if wrong.any():
            raise LevelError(
                f"Column {name!r} was true/false in the fitted rows and has other values in "
                f"{show_rows(wrong)}; "
                "known levels are False, True"
            )
        native = None
    return Column(name, kind, numbers, native)


_KEYS = {
    "formula",
    "weights",
    "weight_type",
    "offset",
    "names",
    "dot",
    "outcome",
    "columns",
    "structure",
    "levels",
    "states",
}


def _rebuild(d: Mapping[str, Any]) -> DesignSpec:
    if not isinstance(d, dict) or set(d) != _KEYS:
        extra = sorted(map(str, set(d) ^ _KEYS)) if isinstance(d, dict) else type(d).__name__
        raise FileFormatError(f"The saved design has unknown or missing entries: {extra}")
    texts = (
        [d["formula"], *d["names"], *d["dot"]]
        if isinstance(d["names"], list) and isinstance(d["dot"], list)
        else [None]
    )
    texts += [d[k] for k in ("weights", "weight_type", "offset") if d[k] is not None]
    if not all(isinstance(t, str) for t in texts):
        raise FileFormatError("The saved design has an entry that is not text where text is expected")
    parsed = parse_formula(d["formula"], tuple(d["dot"]))
    try:
        out = d["outcome"]
        if (
            set(out) != {"name", "kind", "levels"}
            or out["kind"] not in ("binary", "numeric")
            or not isinstance(out["name"], str)
        ):
            raise ValueError("outcome")
        outcome = Outcome(out["name"], out["kind"], _levels(out["levels"]))
        columns = {str(name): (_kind(kind), _levels(levels)) for name, (kind, levels) in d["columns"].items()}
        structure = tuple(
            (_real(scale), tuple(_place(p, len(parsed.factors)) for p in places))
            for scale, places in d["structure"]
        )
        levels = {int(i): _levels(packed) for i, packed in d["levels"].items()}
        states = {str(key): unpack(state) for key, state in d["states"].items()}
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise FileFormatError(f"The saved design is damaged: {error}") from None
    used = {*parsed.right_variables, *variables_of(parsed.left.node)}
    if (
        not used <= set(columns)
        or not all(isinstance(s, dict) for s in states.values())
        or len(outcome.levels) not in (0, 2)
    ):
        raise FileFormatError(
            "The saved design is damaged: its columns, states or levels do not belong to its formula"
        )
    return DesignSpec(
        d["formula"],
        tuple(d["names"]),
        outcome,
        d["weights"],
        d["weight_type"],
        d["offset"],
        tuple(d["dot"]),
        columns,
        structure,
        levels,
        states,
    )


def _kind(kind: Any) -> str:
    if kind not in ("number", "bool", "level"):
        raise ValueError(f"kind of column {kind!r}")
    return str(kind)


def _levels(packed: Any) -> tuple[Any, ...]:
    levels = unpack(packed)
    if not isinstance(levels, list) or not all(isinstance(v, (str, bool, int, float)) for v in levels):
        raise ValueError("levels")
    return tuple(levels)


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("structure")
    return float(value)


def _place(place: Any, count: int) -> tuple[int, bool]:
    i, reduced = place
    if isinstance(i, bool) or not isinstance(i, int) or not isinstance(reduced, bool) or not 0 <= i < count:
        raise ValueError("structure")
    return i, reduced
