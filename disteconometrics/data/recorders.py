"""From rows to records: what each recorder of a left side tells of an outcome, as the ends of an interval.

A recorder works on what the one inside of it has told; a function outside is applied to both ends.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.arrays import Array, Mask, as_floats
from disteconometrics.data.recorded import Recorder, Records
from disteconometrics.data.recorder_calls import (
    ARITHMETIC,
    DIRECTIONS,
    INCREASING,
    layers_of,
    number_of,
    recorder_of,
)
from disteconometrics.data.syntax import function_name, option_of, spell
from disteconometrics.data.table import list_names, show_rows
from disteconometrics.data.transforms import TRANSFORMS
from disteconometrics.errors import OutcomeError, RecordingWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from disteconometrics.data.evaluate import Evaluator

__all__ = ["Recorded", "read_records", "through_outer"]

DIGITS = 1e-12  # of a cap, by which a product that should be the cap may be off
OFF_GRID = 1e-6  # steps of the grid, beside the digits that a float32 has
INTERVAL = re.compile(r"\s*([\[(])\s*([^\s,]+)\s*,\s*([^\s,]+)\s*([\])])\s*")  # as pandas prints one


@dataclass(frozen=True, eq=False)
class Recorded:
    """The value of a left side with recorders: records of (n,) rows, what they say, and what is to be told.

    Ends of rows are NaN where nothing is known, or where a function makes no number of them.
    """

    records: Records
    recorders: tuple[Recorder, ...]
    notices: tuple[RecordingWarning, ...] = ()

    @property
    def lost(self) -> Mask:
        """Rows (n,) that are missing."""
        return np.asarray(np.isnan(self.records.lower) | np.isnan(self.records.upper))

    @property
    def infinite(self) -> Mask:
        """Rows (n,) whose outcome would be infinite."""
        return np.asarray((self.records.lower == self.records.upper) & np.isinf(self.records.lower))


# ---- from rows to records ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Step:
    """What is known after some recorders: ends (n,), and recorded values (n,), NaN where there is none."""

    lower: Array
    upper: Array
    value: Array
    at_mass: Mask | None = None
    recorders: tuple[Recorder, ...] = ()
    notices: tuple[RecordingWarning, ...] = ()


def read_records(evaluator: Evaluator, node: ast.expr, term: str) -> Recorded:
    """The records of a checked left side at the rows of an evaluator.

    Raises
    ------
    OutcomeError
        For rows that cannot be recorded so: off a grid, outside all brackets, with ends in the wrong order.
    DataError
        For text where numbers are needed.
    """
    evaluator.term = term
    outer, calls = layers_of(node)
    with np.errstate(all="ignore"):
        step = _innermost(evaluator, calls[-1], term)
        for call in reversed(calls):
            recorder = recorder_of(call)
            if recorder.name in ("topcoded", "bottomcoded"):
                step = _coded(evaluator, recorder, step, term)
            elif recorder.name == "mass":
                step = _heaped(recorder, step, term)
        lower, upper = through_outer(outer, step.lower, step.upper, term)
    return Recorded(Records(lower, upper, step.at_mass), step.recorders, step.notices)


def _innermost(evaluator: Evaluator, call: ast.Call, term: str) -> _Step:
    """What the recorder nearest to the column tells, or the column's own values where it is none of these."""
    recorder = recorder_of(call)
    if recorder.name == "interval":
        lower, upper = (_values(evaluator, a) for a in call.args)
        return _between(recorder, lower, upper, term, option_of(call, "open") is not None)
    found = evaluator.value(call.args[0])
    if recorder.name == "brackets" and hasattr(found, "codes"):
        return _of_categories(recorder, found, term)
    value = _values(evaluator, call.args[0], found)
    if recorder.name == "brackets" and not recorder.bounds:
        raise OutcomeError(
            f"The outcome {term!r} holds numbers, whose brackets have to be given: brackets(y, [0, 10, inf])"
        )
    if recorder.name == "brackets":
        return _bracketed(recorder, value, term)
    if recorder.name == "rounded":
        return _rounded(recorder, value, term)
    return _Step(value, value, value)


def _values(evaluator: Evaluator, node: ast.expr, found: Any = None) -> Array:
    """A column or what is computed of one, as a new array (n,)."""
    value = evaluator.number(evaluator.value(node) if found is None else found, node)
    return np.array(np.broadcast_to(as_floats(value), evaluator.size), dtype=np.float64)


def _between(recorder: Recorder, lower: Array, upper: Array, term: str, open_missing: bool) -> _Step:
    if open_missing:
        lower, upper = np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)
    _refuse(lower > upper, f"{term!r} has a lower end above the upper one", "swap or mend the ends")
    _refuse(
        np.isposinf(lower) | np.isneginf(upper),
        f"{term!r} begins at inf or ends at -inf",
        "an open side is -inf below and inf above",
    )
    nothing = np.isneginf(lower) & np.isposinf(upper)
    lower[nothing] = np.nan
    return _Step(lower, upper, np.where(lower == upper, lower, np.nan), None, (recorder,))


def _refuse(rows: Mask, what: str, remedy: str) -> None:
    if rows.any():
        raise OutcomeError(f"The outcome {what} in {show_rows(rows)}; {remedy}")


def _rounded(recorder: Recorder, value: Array, term: str) -> _Step:
    assert recorder.to is not None
    step = _grid(
        recorder,
        value,
        f"{term!r} has values off the grid of {recorder.to:g}",
        "rounded() takes everyone to have rounded to it: give another step, or none",
    )
    below, above = DIRECTIONS[str(recorder.direction)]
    to = recorder.to
    return _Step((step - below) * to, (step + above) * to, step * to, None, (recorder,))


def _grid(recorder: Recorder, value: Array, what: str, remedy: str) -> Array:
    """Values (n,) in whole steps of a grid.  Raises OutcomeError for those off it."""
    assert recorder.to is not None
    steps = value / recorder.to
    whole: Array = np.rint(steps)
    slack = OFF_GRID * np.clip(np.abs(whole), 1, 1e3)
    off = np.abs(steps - whole) > slack
    _refuse(off, what + _some(value[off]), remedy)
    return whole + 0.0


def _some(values: Array) -> str:
    """A few of the values that are refused, in words."""
    return f" ({list_names(np.unique(values).tolist(), 3)})" if len(values) else ""


def _bracketed(recorder: Recorder, value: Array, term: str) -> _Step:
    bounds = as_floats(recorder.bounds)
    code, last = recorder.bracket(value), len(bounds) - 2
    known = ~np.isnan(value)
    outside = known & ((code < 0) | (code > last))
    what = f"{term!r} has values outside its brackets{_some(value[outside])}"
    _refuse(outside, what, "end them with inf, or add a bound")
    code = np.clip(code, 0, last)
    lower, upper = (np.where(known, side, np.nan) for side in (bounds[code], bounds[code + 1]))
    return _Step(lower, upper, value, None, (recorder,))


def _of_categories(recorder: Recorder, found: Any, term: str) -> _Step:
    """Brackets from categories of intervals, as pandas' cut makes and prints them."""
    if recorder.bounds:
        raise OutcomeError(
            f"The outcome {term!r} holds categories, which have bounds of their own: write brackets(column)"
        )
    read = [INTERVAL.fullmatch(str(level)) for level in found.levels]
    try:
        ends = [(float(m.group(2)), float(m.group(3))) if m else (np.nan, np.nan) for m in read]
    except ValueError:
        ends = [(np.nan, np.nan)] * len(read)
    used = np.unique(found.codes[found.codes >= 0])
    wrong = [found.levels[i] for i in used if not ends[i][0] < ends[i][1]]
    if wrong:
        raise OutcomeError(
            f"The outcome {term!r} holds categories that are no intervals, {list_names(wrong, 3)}: write "
            f"them as '[0, 10)' or '(0, 10]', cut numbers with pd.cut, or give numbers and bounds: "
            f"brackets(y, [0, 10, inf])"
        )
    table = as_floats([*ends, (np.nan, np.nan)])
    bounds = sorted({end for i in used for end in ends[i]})
    closed = "left" if any(m is not None and m.group(1) == "[" for m in read) else "right"
    recorder = replace(recorder, bounds=tuple(bounds), closed=closed, learnt=True)
    lower, upper = table[found.codes].T.copy()
    return _Step(lower, upper, np.full(len(lower), np.nan), None, (recorder,))


def _coded(evaluator: Evaluator, recorder: Recorder, step: _Step, term: str) -> _Step:
    """Rows at the cap or beyond it are open on that side; a missing cap is none."""
    above = recorder.name == "topcoded"
    none = np.inf if above else -np.inf
    if recorder.column is None:
        cap = np.full(len(step.value), recorder.at)
    else:
        cap = _values(evaluator, ast.Name(recorder.column, ast.Load()))
        cap = np.where(np.isnan(cap), none, cap)
    _refuse(
        cap == -none, f"{term!r} has caps of {-none:g}", "a cap is a number, or missing where there is none"
    )
    censored = (step.value >= cap) if above else (step.value <= cap)
    with np.errstate(invalid="ignore"):
        beyond = censored & (np.abs(step.value - cap) > DIGITS * np.abs(cap))
    end = _end_of_cap(step, cap, above, term)
    lower, upper = step.lower.copy(), step.upper.copy()
    (lower if above else upper)[censored] = end[censored]
    (upper if above else lower)[censored] = none
    notices = _cap_notices(recorder, step.value, censored, beyond, term)
    return replace(
        step,
        lower=lower,
        upper=upper,
        recorders=(*step.recorders, recorder),
        notices=step.notices + notices,
    )


def _end_of_cap(step: _Step, cap: Array, above: bool, term: str) -> Array:
    """Where the outcomes recorded at the cap begin: below it, where they were rounded first."""
    grid = next((r for r in step.recorders if r.name == "rounded"), None)
    if grid is None:
        return cap
    assert grid.to is not None
    finite = np.isfinite(cap)
    whole = np.full(len(cap), cap)
    whole[finite] = _grid(
        grid,
        cap[finite],
        f"{term!r} has caps off the grid of {grid.to:g}",
        "what was rounded first is capped at a step of the grid",
    )
    below, over = DIRECTIONS[str(grid.direction)]
    return (whole - below) * grid.to if above else (whole + over) * grid.to


def _cap_notices(
    recorder: Recorder, value: Array, censored: Mask, beyond: Mask, term: str
) -> tuple[RecordingWarning, ...]:
    above = recorder.name == "topcoded"
    side, most = ("above", "largest") if above else ("below", "smallest")
    what = "cap" if above else "floor"
    cap = f"{recorder.at:g}" if recorder.column is None else f"column {recorder.column!r}"
    if beyond.any():
        text = (
            f"The outcome {term!r} is {side} its {what} ({cap}) in {show_rows(beyond)}: these values, as "
            f"replacement means, are not used, and all that is taken of them is that they lie beyond the "
            f"{what}."
        )
        return (
            RecordingWarning(text, column=term, hint=f"make them the cap, or give the {most} value told"),
        )
    told = float((np.fmax if above else np.fmin).reduce(value, initial=np.nan))
    top = value == told
    if recorder.at is not None and not censored.any() and _piled(top, told, recorder.at):
        text = (
            f"No row of {term!r} is at its cap ({cap}), and {int(top.sum())} rows hold the {most} value, "
            f"{told!r}: all are taken for exact. If they were capped, the cap is {told!r}."
        )
        return (RecordingWarning(text, column=term, hint="leave the recorder out if none was capped"),)
    if recorder.column is None and censored.sum() == 1 and len(value) > 1:
        text = (
            f"The cap of {term!r} ({cap}) is the {most} value and held by one row alone: was the outcome "
            f"capped there, or is it that row's own value?"
        )
        return (RecordingWarning(text, column=term, hint="leave the recorder out if it is"),)
    return ()


def _piled(top: Mask, told: float, cap: float) -> bool:
    """Whether rows at the largest value look capped there, at a cap that was written with too few digits."""
    count = int(top.sum())
    return count >= 3 and (abs(told - cap) <= 1e-3 * abs(cap) or count >= max(10, 0.01 * len(top)))


def _heaped(recorder: Recorder, step: _Step, term: str) -> _Step:
    """Rows at the point of a mass; with a grid inside, all that was rounded to the point is mass."""
    caps = [r.at for r in step.recorders if r.name in ("topcoded", "bottomcoded")]
    if recorder.at in caps:
        raise OutcomeError(
            f"The outcome {term!r} has its mass at a cap, {recorder.at:g}: rows there are either censored "
            f"(bottomcoded, topcoded) or a mass; write one of them"
        )
    assert recorder.at is not None
    at = step.value == recorder.at
    if recorder.corner:
        _refuse(
            step.value < recorder.at,
            f"{term!r} has values below its corner at {recorder.at:g}",
            "a corner is the lowest value; leave corner=True out for a mass among others",
        )
        lower = np.where(at, -np.inf, step.lower)
        return replace(step, lower=lower, recorders=(*step.recorders, recorder))
    lower, upper = np.where(at, recorder.at, step.lower), np.where(at, recorder.at, step.upper)
    return replace(step, lower=lower, upper=upper, at_mass=at, recorders=(*step.recorders, recorder))


# ---- functions outside -------------------------------------------------------------------------------------


def through_outer(
    outer: list[ast.expr] | ast.expr, lower: Array, upper: Array, term: str
) -> tuple[Array, Array]:
    """Ends (n,) under the functions outside the recorders; an end before a function's domain is open.

    ``outer`` are these functions, outermost first, or the left side that has them.

    Raises
    ------
    OutcomeError
        If nothing is left between two ends.
    """
    if isinstance(outer, ast.expr):
        outer = layers_of(outer)[0]
    for node in reversed(outer):
        function, start = _step_of(node)
        known = lower == upper
        below, above = np.isneginf(lower) | (~known & (lower <= start)), np.isposinf(upper)
        lower = np.where(below, -np.inf, function(np.where(below, np.nan, lower)))
        upper = np.where(above, np.inf, function(np.where(above, np.nan, upper)))
        _refuse(
            ~known & ~np.isnan(lower) & ~(lower < upper),
            f"{term!r} has records of which {spell(node)!r} leaves nothing",
            "a record must reach into the domain of the function, and keep two ends that differ",
        )
    return lower, upper


def _step_of(node: ast.expr) -> tuple[Callable[[Array], Any], float]:
    """One function outside as a function of arrays, and where its arguments begin."""
    if isinstance(node, ast.Call):
        name = function_name(node.func)
        function = TRANSFORMS[name].function
        return (np.positive, -np.inf) if function is None else (function, INCREASING[name])
    assert isinstance(node, ast.BinOp)
    operation = ARITHMETIC[type(node.op)]
    left, right = number_of(node.left), number_of(node.right)
    if left is not None:
        return partial(operation, left), -np.inf
    assert right is not None
    number: float = right
    return (lambda values: operation(values, number)), -np.inf
