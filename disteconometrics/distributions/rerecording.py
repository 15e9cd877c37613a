"""Outcomes drawn for the rows of a fit, written into a table as those of the fit were recorded."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, as_floats
from disteconometrics.data.recorded import Recorder, Records
from disteconometrics.data.recorder_calls import DIRECTIONS, layers_of
from disteconometrics.distributions.maps import Map
from disteconometrics.distributions.recorded import Recording
from disteconometrics.distributions.scales import undo
from disteconometrics.errors import OptionError, WithheldError

__all__ = ["Rerecorded", "records_again", "rerecording"]


@dataclass(frozen=True, eq=False)
class Rerecorded:
    """What is written into the column of a recorded outcome, of draws from its law.

    Parameters
    ----------
    column : the column that the innermost recorder reads.
    maps : from the outcome as the formula has it to the units of the column.
    recorders : innermost first.
    caps : (n,) float64 arrays by the column of caps that holds them.

    Examples
    --------
    >>> cap = Recorder("topcoded", at=3.0)
    >>> Rerecorded("y", (), (Recorder("rounded", to=0.5, direction="down"), cap), {})(np.array([1.9, 4.0]))
    array([1.5, 3. ])
    """

    column: str
    maps: tuple[Map, ...]
    recorders: tuple[Recorder, ...]
    caps: dict[str, Array]

    def __call__(self, y: Array) -> Any:
        """Recorded values of outcomes (m,), m a multiple of the rows of the fit: numbers, or intervals."""
        told: Any = as_floats(y)
        for step in self.maps:
            told = step.forward(told)[0]
        for recorder in self.recorders:
            told = self._through(recorder, told)
        return told

    def _through(self, recorder: Recorder, told: Array) -> Any:
        if recorder.name == "rounded":
            return Recording(to=recorder.to, above=DIRECTIONS[str(recorder.direction)][1]).told(told)
        if recorder.name == "brackets":
            return _bracketed(recorder, told)
        if recorder.name == "topcoded":
            return np.fmin(told, self._cap(recorder, len(told)))  # a missing cap is none
        if recorder.name == "bottomcoded" or recorder.corner:
            return np.fmax(told, self._cap(recorder, len(told)))
        return told

    def _cap(self, recorder: Recorder, m: int) -> Any:
        if recorder.column is None:
            return recorder.at
        cap = self.caps[recorder.column]
        return np.tile(cap, m // len(cap))


def _bracketed(recorder: Recorder, told: Array) -> Any:
    """Numbers as they are where the formula has their bounds, else the intervals of categories."""
    bounds = recorder.bounds
    if ((told < bounds[0]) | (told > bounds[-1])).any():
        raise WithheldError(
            f"The law reaches beyond the brackets {bounds[0]:g} to {bounds[-1]:g}, where outcomes cannot be "
            "recorded: begin bounds with -inf and end them with inf, or say support= of the outcome."
        )
    return pd.cut(told, list(bounds), right=recorder.closed == "right") if recorder.learnt else told


def rerecording(rows: Any, what: str) -> Rerecorded | None:
    """How outcomes drawn for the rows of a fit are recorded; None where they are told as they are.

    Parameters
    ----------
    rows : FitRows.
    what : what draws them, for the error.

    Raises
    ------
    WithheldError
        If they were recorded by no rule that draws can follow.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["food"] = engel.foodexp.clip(upper=900)
    >>> res = de.NormalRegression("log(topcoded(food, at=900)) ~ income").fit(engel)
    >>> again = rerecording(res.rows, "monte_carlo()")
    >>> again.column, again(np.log([500.0, 1000.0])).round(8).tolist()
    ('food', [500.0, 900.0])
    """
    told = rows.spec.outcome
    if not told.recorders:
        return None
    left = rows.spec.parsed.left
    outer, calls = layers_of(left.node)
    why = _no_rule(told.recorders, calls)
    maps: Sequence[Map] = ()
    if why is None and outer:
        try:
            maps = undo(told.name)[1]
        except OptionError:
            why = f"{told.name!r} is no function that is undone: give the outcome a column of its own"
    if why is not None:
        raise WithheldError(
            f"{what} draws outcomes, which are to be recorded as those of the fit: {why}. A study of your "
            "own, de.MonteCarlo, draws and records them; de.cross_validate compares models."
        )
    caps = {r.column for r in told.recorders if r.column is not None}
    columns = {name: as_floats(rows.column(name, "cap", whole=False)) for name in caps}
    return Rerecorded(left.row_variables[0], tuple(maps), told.recorders, columns)


def records_again(rows: Any, what: str) -> Callable[[Array], Records] | None:
    """The records (n,) of outcomes drawn for the rows of a fit; arguments and errors as of `rerecording`.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("rounded(income, to=0.5) ~ 1").fit({"income": [1.0, 2.5, 4.0]})
    >>> records_again(res.rows, "a test")(np.array([0.9, 2.1, 4.3])).upper.tolist()
    [1.25, 2.25, 4.75]
    """
    told = rerecording(rows, what)
    if told is None:
        return None
    return lambda y: rows.spec.outcome_records({told.column: told(y), **told.caps})


def _no_rule(recorders: Sequence[Recorder], calls: Sequence[ast.Call]) -> str | None:
    """Why draws cannot be recorded, None where they can."""
    if recorders[0].name == "interval":
        return "interval(lo, hi) tells what is known of each row, and no rule for others"
    if recorders[0].name == "brackets" and not recorders[0].bounds:
        return "the categories leave gaps; write brackets(y, [0, 10, inf])"
    if not isinstance(calls[-1].args[0], ast.Name):
        return "it is computed on the left side; give the outcome a column of its own"
    return None
