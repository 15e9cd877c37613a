"""`DesignSpec`: all that a fitted design needs to code new rows, without holding any row."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.checks import check_sizes
from disteconometrics.data.evaluate import Basis, Evaluator, Levels, UnknownLevel, levels_of, recode
from disteconometrics.data.formula import Factor, Formula, parse_formula
from disteconometrics.data.outcome import KINDS, Outcome, recode_outcome
from disteconometrics.data.recorded import Recorder, Records
from disteconometrics.data.recorder_calls import recorders_of, recording_of
from disteconometrics.data.recorders import Recorded, read_records, through_outer
from disteconometrics.data.state import pack, unpack
from disteconometrics.data.syntax import infinite_variables
from disteconometrics.data.table import Column, Table, list_names, show_rows
from disteconometrics.data.terms import Group, Structure, check_width, code_groups, fill
from disteconometrics.errors import DataError, FileFormatError, LevelError, WithheldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


__all__ = ["DesignSpec", "NewRows", "check_finite", "check_made", "numeric_column"]


@dataclass(frozen=True, eq=False)
class NewRows:
    """New rows coded as the fitted: ``X`` (m, k), NaN where a column is; ``offset`` (m,) or None; index."""

    X: Array
    offset: Array | None
    index: Any


@dataclass(frozen=True, eq=False)
class DesignSpec:
    """The specification of a design: names, codings, transform states; it holds no rows and turns into JSON.

    ``names`` are formulaic's spelling in its order; ``variables`` are the columns of the right side;
    ``outcome`` says what is coded 1; ``columns`` are kind and levels by name.
    """

    formula: str
    names: tuple[str, ...]
    outcome: Outcome
    weights: str | None
    weight_type: str | None
    offset: str | None
    dot: tuple[str, ...] = field(repr=False)
    columns: dict[str, tuple[str, tuple[Any, ...]]] = field(repr=False)
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

    def without_constant(self, X: Array) -> Array:
        """The columns (n, k − 1) of a design (n, k) that are no constant, in rows that lie together."""
        return np.ascontiguousarray(X[:, [j for j, name in enumerate(self.names) if name != "Intercept"]])

    def matrix(self, new: Any) -> NewRows:
        """Code new rows, a table with the columns of the right side and the offset, exactly as the fitted.

        Returns: NewRows in the order of ``new``; no row is dropped.  Raises: MissingColumnError; LevelError
        for a level that was not fitted; DataError for inf, for text where numbers were and for values outside
        the range of a spline.
        """
        table, parsed = Table(new), self.parsed
        columns = {name: self.column(table, name) for name in self.variables}
        offset = None if self.offset is None else numeric_column(table, self.offset, "offset").numbers
        n = len(table)
        keep = _complete(columns, parsed.factors, n)
        if keep is None:
            X = self._rows(parsed, columns, n, None)
        else:
            X = np.full((n, len(self.names)), np.nan)
            if len(keep):
                X[keep] = self._rows(parsed, columns, n, keep)
        check_sizes(X, self.names, least=0.0)
        if offset is not None and self.offset is not None:
            check_sizes(offset[:, None], [self.offset], least=0.0)
        return NewRows(X, offset, table.index)

    def _rows(self, parsed: Formula, columns: dict[str, Column], n: int, keep: Indices | None) -> Array:
        values = self.values(Evaluator.of_rows(parsed, columns, n, keep, self.states))
        for factor, value in zip(parsed.factors, values, strict=True):
            check_made(factor, value)
        k = check_width(self.structure, parsed.factors, values)
        if k != len(self.names):
            raise FileFormatError(
                f"The specification has {len(self.names)} names, but its formula makes {k} columns"
            )
        groups = code_groups(self.structure, parsed.factors, values)
        return fill(self.structure, groups, n if keep is None else len(keep))

    def outcome_values(self, new: Any) -> Array:
        """Code the outcome of new rows as the fitted rows were.

        Returns: y (m,) float64, NaN where a column of the left side is missing.  Raises: as `matrix`;
        WithheldError for an outcome that was not told exactly, see `outcome_records`.
        """
        if self.outcome.recorders:
            raise WithheldError(
                f"The outcome {self.outcome.name!r} has no value in each row: {self.recording}"
            )
        table, left = Table(new), self.parsed.left
        columns = {name: self.column(table, name) for name in left.variables}
        keep = _complete(columns, (left,), len(table))
        y = np.full(len(table), np.nan)
        if keep is None or len(keep):
            evaluator = Evaluator.of_rows(self.parsed, columns, len(table), keep, self.states)
            value = evaluator.factor(left.node, left.name)
            check_made(left, value)
            y[slice(None) if keep is None else keep] = recode_outcome(self.outcome, value)
        return y

    def outcome_records(self, new: Any) -> Records:
        """Read what is known of the outcome of new rows, recorded as the fitted rows were.

        Returns: Records (m,), with NaN where a column of the left side is missing; values told exactly have
        equal ends.  Raises: as `matrix`; OutcomeError for rows that cannot be recorded so.
        """
        if not self.outcome.recorders:
            y = self.outcome_values(new)
            return Records(y, y)
        table, left = Table(new), self.parsed.left
        columns = {name: self.column(table, name) for name in left.variables}
        keep = _complete(columns, (left,), len(table))
        evaluator = Evaluator.of_rows(self.parsed, columns, len(table), keep, self.states)
        read = read_records(evaluator, left.node, left.name)
        check_made(left, read)
        if keep is None:
            return read.records
        ends = np.full((2, len(table)), np.nan)
        ends[:, keep] = read.records.lower, read.records.upper
        at_mass = None
        if read.records.at_mass is not None:
            at_mass = np.zeros(len(table), dtype=bool)
            at_mass[keep] = read.records.at_mass
        return Records(ends[0], ends[1], at_mass)

    @property
    def recording(self) -> str:
        """How the outcome was recorded, as "wage was top-coded at 40"; empty where it was told exactly."""
        return recording_of(self.parsed.left.node)

    def outcome_units(self, numbers: Any) -> Array:
        """Bring numbers (m,) of recorders, as a cap of 40, to the units of the outcome, as log(40).

        Returns: array (m,), -inf where a function outside is not defined.  Raises: nothing.
        """
        with np.errstate(all="ignore"):
            ends = np.append(as_floats(numbers).ravel(), np.inf)
            found = through_outer(self.parsed.left.node, ends, np.full(len(ends), np.inf), "")[0]
        return found[:-1]

    def column(self, table: Table, name: str) -> Column:
        """Return a column of a table, brought to the kind and levels that it had at the fit.

        Raises: as `matrix`.
        """
        column = table.column(name, "the formula")
        recorded = bool(self.outcome.recorders) and name not in self.variables
        if not recorded or name not in infinite_variables(self.parsed.left.node):
            check_finite(column, "the formula")
        return _adapt(column, *self.columns[name])

    def values(self, evaluator: Evaluator) -> list[Any]:
        """Return the values of all factors of the right side, their levels coded as at the fit.

        Raises: as `value`.
        """
        return [self.value(i, evaluator) for i in range(len(self.parsed.factors))]

    def value(self, i: int, evaluator: Evaluator) -> Any:
        """Return the value of factor ``i`` of the right side, its levels coded as at the fit.

        Raises: as `Evaluator.factor`; LevelError for a level that was not fitted.
        """
        factor = self.parsed.factors[i]
        value = evaluator.factor(factor.node, factor.name)
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
            who = f"{factor.name!r} (column {list_names(factor.variables)})"
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
        if self.outcome.recorders:
            out["outcome"]["recorders"] = [recorder.to_dict() for recorder in self.outcome.recorders]
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
        if not isinstance(d, dict) or set(d) != _KEYS:
            extra = sorted(map(str, set(d) ^ _KEYS))[:5] if isinstance(d, dict) else type(d).__name__
            raise FileFormatError(f"The saved design has unknown or missing entries: {extra}")
        _check_texts(d)
        parsed = parse_formula(d["formula"], tuple(d["dot"]))
        try:
            parts = _rebuilt_parts(d, len(parsed.factors))
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise FileFormatError(f"The saved design is damaged: {error}") from None
        spec = cls(**{**d, "names": tuple(d["names"]), "dot": tuple(d["dot"]), **parts})
        if not _belongs(spec, parsed):
            raise FileFormatError(
                "The saved design is damaged: its columns, states or levels do not belong to its formula"
            )
        return spec


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
    if isinstance(value, Recorded):
        if value.infinite.any():
            raise DataError(
                f"The outcome {factor.name!r} is inf in {show_rows(value.infinite)}, as log(0) is; change "
                f"the rows, or say how they were recorded"
            )
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


def _complete(columns: Mapping[str, Column], factors: Iterable[Factor], n: int) -> Indices | None:
    """Positions of rows without missing values in the columns that factors read there; None for all."""
    missing = np.zeros(n, dtype=bool)
    for name in dict.fromkeys(v for f in factors for v in f.row_variables):
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
                f"fitted rows: use pd.to_numeric"
            )
        numbers, native = np.array([*column.levels, np.nan], dtype=np.float64)[column.values], None
    if kind == "bool":
        wrong = ~np.isin(numbers, (0, 1)) & ~np.isnan(numbers)
        if wrong.any():
            raise LevelError(
                f"Column {name!r} was true/false in the fitted rows and has other values in "
                f"{show_rows(wrong)}; known levels are False, True"
            )
        native = None
    return Column(name, kind, numbers, native)


_KEYS = {f.name for f in fields(DesignSpec)}


def _check_texts(d: dict[str, Any]) -> None:
    """Refuse an entry that is not text where text is expected."""
    lists = [d["names"], d["dot"]]
    texts = [d["formula"], *(d[key] for key in ("weights", "weight_type", "offset") if d[key] is not None)]
    if all(isinstance(part, list) for part in lists):
        texts += [text for part in lists for text in part]
        if all(isinstance(text, str) for text in texts):
            return
    raise FileFormatError("The saved design has an entry that is not text where text is expected")


def _rebuilt_parts(d: dict[str, Any], factors: int) -> dict[str, Any]:
    """The entries that are no texts; raises what Python does for values of another form."""
    return {
        "outcome": _outcome(d["outcome"]),
        "columns": {
            str(name): (_kind(kind), _levels(levels)) for name, (kind, levels) in d["columns"].items()
        },
        "structure": tuple(_group(scale, places, factors) for scale, places in d["structure"]),
        "levels": {int(i): _levels(packed) for i, packed in d["levels"].items()},
        "states": {str(key): unpack(state) for key, state in d["states"].items()},
    }


def _belongs(spec: DesignSpec, parsed: Formula) -> bool:
    """Whether columns, states and levels can be those of the formula."""
    known = {*parsed.right_variables, *parsed.left.variables} <= set(spec.columns)
    told = tuple(map(_as_written, spec.outcome.recorders)) == recorders_of(parsed.left.node)
    states = all(isinstance(s, dict) for s in spec.states.values())
    return known and told and states and _has_levels(spec.outcome)


def _as_written(recorder: Recorder) -> Recorder:
    """A recorder without what it learnt from categories of intervals."""
    return Recorder("brackets") if recorder.learnt else recorder


def _has_levels(outcome: Outcome) -> bool:
    count = len(outcome.levels)
    if outcome.kind in ("nominal", "ordered"):
        return 2 <= count == len(set(outcome.levels))
    return count == (2 if outcome.kind == "binary" else 0)


def _outcome(saved: Any) -> Outcome:
    recorders = tuple(map(Recorder.from_dict, saved.get("recorders", ())))
    found = Outcome(**{**saved, "levels": _levels(saved["levels"]), "recorders": recorders})
    if found.kind not in KINDS or not isinstance(found.name, str):
        raise ValueError("outcome")
    return found


def _group(scale: Any, places: Any, factors: int) -> Group:
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise ValueError("structure")
    return float(scale), tuple(_place(place, factors) for place in places)


def _kind(kind: Any) -> str:
    if kind not in ("number", "bool", "level"):
        raise ValueError(f"kind of column {kind!r}")
    return str(kind)


def _levels(packed: Any) -> tuple[Any, ...]:
    levels = unpack(packed)
    if not isinstance(levels, list) or not all(isinstance(v, (str, bool, int, float)) for v in levels):
        raise ValueError("levels")
    return tuple(levels)


def _place(place: Any, count: int) -> tuple[int, bool]:
    i, reduced = place
    if isinstance(i, bool) or not isinstance(i, int) or not isinstance(reduced, bool) or not 0 <= i < count:
        raise ValueError("structure")
    return i, reduced
