"""The two halves of an outcome with a mass: whether a row is off the point, and the rest with its own law."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask, as_floats
from disteconometrics.data.design import Design, RowCount
from disteconometrics.data.formula import split_sides
from disteconometrics.data.outcome import Outcome
from disteconometrics.data.recorded import Records
from disteconometrics.data.recorder_calls import layers_of
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.syntax import SPELLED, function_name, spell
from disteconometrics.data.table import list_names
from disteconometrics.errors import CollinearityError, OutcomeError

__all__ = ["Halves", "halves", "mass_point"]


@dataclass(frozen=True, eq=False)
class Halves:
    """Both designs with the right side of the whole: all rows by whether they are off the mass, and the rest.

    ``kept`` (m,) are the positions of the rest among the rows, ``point`` is where the mass is, in units of
    the outcome, and so many rows lie ``outside`` of the columns of the rest.
    """

    occurs: Design
    rest: Design
    kept: Indices
    point: float
    outside: int


def mass_point(spec: DesignSpec) -> float:
    """Where the mass of an outcome is, in its units, as log1p(0) of ``log1p(mass(y, 0))``.

    Raises
    ------
    OutcomeError
        If a function outside makes no number of it.
    """
    at = spec.outcome.recorders[-1].at
    point = float(spec.outcome_units([at])[0])
    if not np.isfinite(point):
        raise OutcomeError(
            f"The outcome {spec.outcome.name!r} is no number at its mass, {at:g}: take a function that is, "
            f"such as log1p, or none; support='positive' of a FlowDensity takes the logarithm of the rest"
        )
    return point


def halves(design: Design) -> Halves:
    """Part a design whose outcome has a mass.

    Raises
    ------
    OutcomeError
    CollinearityError
        If the rest does not vary in a column in which all rows do.

    Examples
    --------
    >>> from disteconometrics.data.design import build_design
    >>> table = {"y": [0.0, 2.0, 0.0, 5.0, 1.0], "x": [1.0, 2.0, 3.0, 4.0, 6.0]}
    >>> both = halves(build_design("mass(y, 0) ~ x", table, outcome="recorded"))
    >>> both.occurs.spec.formula, both.rest.spec.formula, both.kept.tolist(), both.rest.y.tolist()
    ('I(y != 0) ~  x', 'y ~  x', [1, 3, 4], [2.0, 5.0, 1.0])
    """
    records = design.records
    assert records is not None
    assert records.at_mass is not None
    point, kept = mass_point(design.spec), np.flatnonzero(~records.at_mass)
    rest, occurs = _of_rest(design, records.rows(kept), kept), _occurrence(design, ~records.at_mass)
    return Halves(occurs, rest, kept, point, _checked_outside(design, rest.X))


def _occurrence(design: Design, off: Mask) -> Design:
    """All rows with whether they are off the mass as the outcome."""
    spec, at = design.spec, design.spec.outcome.recorders[-1].at
    call = layers_of(spec.parsed.left.node)[1][-1]
    inner = call.args[0]
    name = f"I({spell(inner)} != {at:.17g})"
    own = replace(
        spec,
        formula=f"{name} ~ {split_sides(spec.formula)[1]}",
        outcome=Outcome(name, "binary", (False, True)),
    )
    return replace(design, spec=own, y=as_floats(off), records=None)


def _of_rest(design: Design, records: Records, kept: Indices) -> Design:
    """The rows off the mass, with the left side without it."""
    spec = design.spec
    recorders = spec.outcome.recorders[:-1]
    formula = f"{_without_mass(spec.parsed.left.node)} ~ {split_sides(spec.formula)[1]}"
    own = replace(spec, formula=formula, outcome=replace(spec.outcome, recorders=recorders))
    told = Records(records.lower, records.upper) if recorders else None
    of = design.kept
    return replace(
        design,
        spec=own,
        y=design.y[kept],
        matrix=design.X[kept],
        weights=None if design.weights is None else design.weights[kept],
        kept=kept if of is None else of[kept],
        rows=RowCount(len(kept), len(kept)),
        cells=(),
        records=told,
    )


@lru_cache(SPELLED)
def _without_mass(left: ast.expr) -> str:
    """A left side without its mass, as a formula would write it."""
    return spell(_WithoutMass().visit(copy.deepcopy(left)))


class _WithoutMass(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        return node.args[0] if function_name(node.func) == "mass" else node


def _checked_outside(design: Design, own: Array) -> int:
    """Rows outside the range that columns have in ``own`` rows (m, k).

    Columns in which only others differ are refused: nothing tells the law of the rest there.
    """
    X, inside = (np.ascontiguousarray(rows.T) for rows in (design.X, own))  # long inner loops are quick
    low, high = inside.min(axis=1), inside.max(axis=1)
    beyond = (low[:, None] > X) | (high[:, None] < X)
    still = (low == high) & beyond.any(axis=1)
    if still.any():
        outcome, at = design.spec.outcome.name, design.spec.outcome.recorders[-1].at
        gone = [n for n, s in zip(design.spec.names, still, strict=True) if s]
        one = len(gone) == 1
        raise CollinearityError(
            f"Among the {len(own)} rows whose {outcome} is not {at:g}, {list_names(gone, 6)} "
            f"{'does' if one else 'do'} not vary: all rows with another value are at the mass, so that "
            f"nothing tells the law of the rest there. Merge levels, leave these rows out, or leave the "
            f"column{'s' * (not one)} out"
        )
    return int(beyond.any(axis=0).sum())
