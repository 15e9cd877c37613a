"""Several outcomes on the left side: ``"y1 + y2 ~ x"`` read as one design per outcome over the rows complete in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disteconometrics.data.design import Design, DesignSpec, NewRows, RowCount, build_design
from disteconometrics.data.formula import split_sides
from disteconometrics.data.outcome import Outcome
from disteconometrics.errors import FileFormatError, FormulaError, OptionError

__all__ = ["JointDesign", "JointSpec", "build_joint", "read_outcomes"]

Array = NDArray[np.float64]


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
    parts, depth, quoted = [""], 0, False
    for c in left:
        quoted ^= c == "`"
        depth += 0 if quoted else (c in "([") - (c in ")]")
        if c == "+" and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += c
    outcomes = tuple(part.strip() for part in parts)
    if len(outcomes) > 1 and not all(outcomes):
        raise FormulaError(f"The left side of {formula!r} has an empty place between its plus signs; write 'y1 + y2 ~ x'.")
    if len(set(outcomes)) < len(outcomes):
        raise FormulaError(f"The left side of {formula!r} has the same outcome twice: their joint law has no density.")
    return outcomes, right.strip()


@dataclass(frozen=True)
class JointSpec:
    """The specifications of the outcomes, which share their right side; it answers what a design's specification answers."""

    parts: tuple[DesignSpec, ...]

    @property
    def formula(self) -> str:
        """The formula, with its outcomes joined again."""
        right = self.parts[0].formula.partition("~")[2].strip()
        return f"{' + '.join(p.formula.partition('~')[0].strip() for p in self.parts)} ~ {right}"

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
    def variables(self) -> tuple[str, ...]:
        """Columns of the table that the right side reads."""
        return self.parts[0].variables

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
    """Arrays of the rows in which all outcomes are known: ``Y`` (n, d), ``X`` (n, k) with its constant, ``weights`` (n,) or None.

    ``kept`` (n,) are their positions in the table, ``first`` the design of the first outcome and ``at`` (n,) the rows of it.
    """

    spec: JointSpec
    Y: Array = field(repr=False)
    X: Array = field(repr=False)
    weights: Array | None = field(repr=False)
    rows: RowCount
    first: Design = field(repr=False)
    at: NDArray[np.intp] = field(repr=False)

    @property
    def index(self) -> Any:
        """The pandas Index (n,) of the rows."""
        return self.first.index[self.at]


def build_joint(formula: str, data: Any, *, weights: str | None = None, weight_type: str | None = None) -> JointDesign:
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
        build_design(f"{y} ~ {right}", data, outcome="numeric", weights=weights, weight_type=weight_type) for y in outcomes
    ]
    given = designs[0].rows.given
    places = [np.arange(given) if d.kept is None else d.kept for d in designs]
    kept = places[0]
    for other in places[1:]:
        kept = np.intersect1d(kept, other)
    Y = np.column_stack([d.y[np.searchsorted(at, kept)] for d, at in zip(designs, places, strict=True)])
    first, at = designs[0], np.searchsorted(places[0], kept)
    missing = {name: n for d in designs for name, n in d.rows.missing.items()}
    transformed = {name: n for d in designs for name, n in d.rows.transformed.items()}
    rows = RowCount(given, len(kept), missing, transformed, first.rows.zero_weight)
    w = None if first.weights is None else first.weights[at]
    return JointDesign(JointSpec(tuple(d.spec for d in designs)), Y, first.X[at], w, rows, first, at)
