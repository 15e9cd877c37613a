"""Several left sides: ``"y1 + y2 ~ x"`` read as one design per outcome over the rows complete in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.data.design import Design, RowCount, build_design
from disteconometrics.data.formula import split_sides, split_top_level
from disteconometrics.data.outcome import Outcome
from disteconometrics.data.spec import DesignSpec, NewRows
from disteconometrics.errors import FileFormatError, FormulaError, OptionError

__all__ = ["JointDesign", "JointRows", "JointSpec", "build_joint", "joint_rows", "read_outcomes"]


def read_outcomes(formula: Any) -> tuple[tuple[str, ...], str]:
    """The summands of a left side, and the right side, as texts.

    Raises
    ------
    OptionError, FormulaError

    Examples
    --------
    >>> read_outcomes("log(a + 1) + b ~ x")
    (('log(a + 1)', 'b'), 'x')
    """
    if not isinstance(formula, str):
        raise OptionError(f"formula must be a string such as 'y1 + y2 ~ x', not {type(formula).__name__}")
    left, right = split_sides(formula)
    outcomes = tuple(part.strip() for part in split_top_level(left, "+"))
    if len(outcomes) > 1 and not all(outcomes):
        raise FormulaError(
            f"The left side of {formula!r} has an empty place between its plus signs; write 'y1 + y2 ~ x'."
        )
    if len(set(outcomes)) < len(outcomes):
        raise FormulaError(
            f"The left side of {formula!r} has the same outcome twice: their joint law has no density."
        )
    return outcomes, right.strip()


@dataclass(frozen=True)
class JointSpec:
    """The specifications of the outcomes, which share their right side; answers what a `DesignSpec` does."""

    parts: tuple[DesignSpec, ...]

    @property
    def formula(self) -> str:
        """The formula, with its outcomes joined again."""
        sides = [split_sides(p.formula) for p in self.parts]
        return f"{' + '.join(left.strip() for left, _ in sides)} ~ {sides[0][1].strip()}"

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes, as written."""
        return tuple(p.outcome.name for p in self.parts)

    @property
    def outcome(self) -> Outcome:
        """All of them under one name."""
        return Outcome(" + ".join(self.outcomes), "numeric")

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the right side, a constant included."""
        return self.parts[0].names

    @property
    def weight_type(self) -> str | None:
        """What the weights are."""
        return self.parts[0].weight_type

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns of the table that the right side reads."""
        return self.parts[0].variables

    def without_constant(self, X: Array) -> Array:
        """The columns of the right side that are no constant."""
        return self.parts[0].without_constant(X)

    def matrix(self, new: Any) -> NewRows:
        """The right side of new rows."""
        return self.parts[0].matrix(new)

    def outcome_values(self, new: Any) -> Array:
        """Outcomes of new rows, (m,) for a single one and (m, d) for several; NaN where one is missing."""
        Y = np.column_stack([p.outcome_values(new) for p in self.parts])
        return Y[:, 0] if len(self.parts) == 1 else Y

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"parts": [p.to_dict() for p in self.parts]}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> JointSpec:
        """Rebuild from `to_dict`; raises FileFormatError."""
        if not isinstance(d, dict) or not isinstance(d.get("parts"), list) or not d["parts"]:
            raise FileFormatError("The saved design has no outcomes")
        return cls(tuple(DesignSpec.from_dict(p) for p in d["parts"]))


@dataclass(frozen=True, eq=False)
class JointDesign:
    """The rows in which all outcomes are known: ``Y`` (n, d), ``weights`` (n,) or None, and the right side.

    ``first`` is the design of the first outcome and ``at`` (n,) their places among its rows.
    """

    spec: JointSpec
    Y: Array = field(repr=False)
    weights: Array | None = field(repr=False)
    rows: RowCount
    first: Design = field(repr=False)
    at: Indices = field(repr=False)

    @property
    def kept(self) -> Indices:
        """Positions (n,) of the rows in the table."""
        return self.at if self.first.kept is None else self.first.kept[self.at]

    @cached_property
    def X(self) -> Array:  # noqa: N802 - the field's name
        """The right side (n, k) with its constant."""
        return self.first.X[self.at]

    @cached_property
    def covariates(self) -> Array:
        """The right side (n, c) without the constant."""
        return self.spec.without_constant(self.X)


def build_joint(
    formula: str, data: Any, *, weights: str | None = None, weight_type: str | None = None
) -> JointDesign:
    """Turn a formula with one or several numeric outcomes and a table into arrays.

    Transforms of the right side learn from the rows that are complete in the first outcome.

    Raises
    ------
    FormulaError, UnsafeFormulaError, OptionError, MissingColumnError, DataError, OutcomeError

    Examples
    --------
    >>> joint = build_joint("a + b ~ 1", {"a": [1.0, 2.0, None], "b": [0.0, 1.0, 5.0]})
    >>> joint.Y.tolist(), joint.rows.missing, joint.spec.outcome.name
    ([[1.0, 0.0], [2.0, 1.0]], {'a': 1}, 'a + b')
    """
    outcomes, right = read_outcomes(formula)
    designs = [
        build_design(f"{y} ~ {right}", data, outcome="numeric", weights=weights, weight_type=weight_type)
        for y in outcomes
    ]
    shared = joint_rows(designs)
    Y = np.column_stack([d.y[at] for d, at in zip(designs, shared.at, strict=True)])
    first, at = designs[0], shared.at[0]
    w = None if first.weights is None else first.weights[at]
    return JointDesign(JointSpec(tuple(d.spec for d in designs)), Y, w, shared.rows, first, at)


class JointRows(NamedTuple):
    """Rows that several designs of one table share: positions in the table and in each design, and counts."""

    kept: Indices
    at: list[Indices]
    rows: RowCount


def joint_rows(designs: Sequence[Design]) -> JointRows:
    """The rows that are complete in all of several designs of one table.

    Examples
    --------
    >>> table = {"a": [1.0, 2.0, None], "b": [None, 0.0, 5.0]}
    >>> joint_rows([build_design(f"{y} ~ 1", table, outcome="numeric") for y in "ab"]).kept.tolist()
    [1]
    """
    given = designs[0].rows.given
    places = [np.arange(given) if d.kept is None else d.kept for d in designs]
    kept = reduce(np.intersect1d, places)
    missing = {name: n for d in designs for name, n in d.rows.missing.items()}
    transformed = {name: n for d in designs for name, n in d.rows.transformed.items()}
    count = RowCount(given, len(kept), missing, transformed, designs[0].rows.zero_weight)
    return JointRows(kept, [np.searchsorted(own, kept) for own in places], count)
