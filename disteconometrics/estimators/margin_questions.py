"""Questions on marginal effects: which variables, between which values, where, for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.streamed_scenario import StreamedScenario
from disteconometrics.data.table import list_names
from disteconometrics.errors import OptionError
from disteconometrics.estimators.extrapolation import (
    Ranges,
    check_contrasts,
    warn_rows,
    warn_settings,
)
from disteconometrics.estimators.law_answers import groups_of
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.marginal_effects import Question

__all__ = [
    "AnyRows",
    "Asked",
    "asked_of",
    "averaged_with",
    "check_choice",
    "check_place",
    "check_ranges",
    "questions_of",
    "row_groups",
]

AnyRows = Scenario | StreamedScenario


@dataclass(frozen=True)
class Asked:
    """A variable and the values to contrast, base first; None for a derivative."""

    variable: str
    values: tuple[Any, ...] | None


def asked_of(rows: AnyRows, variables: Any, kind: str) -> tuple[list[Asked], list[str]]:
    """What to compute for each variable, and notes on variables left out of the default."""
    if variables is None:
        found, notes = [], []
        for name in rows.spec.variables:
            try:
                found.append(_one(rows, name, None, kind))
            except OptionError as e:
                notes.append(f"Left out: {e}")
        if not found:
            raise OptionError(
                f"No variable of {rows.spec.formula!r} has a marginal effect. {' '.join(notes)}".rstrip()
            )
        return found, notes
    chosen: Any = {variables: None} if isinstance(variables, str) else variables
    if not isinstance(chosen, Mapping):
        if not isinstance(chosen, (list, tuple, set, frozenset, pd.Index)):
            raise OptionError(
                f"variables={variables!r}: give a name, a list of names, or a dict such as {{'kids': (0, "
                f"1)}}."
            )
        chosen = dict.fromkeys(chosen)
    if not chosen:
        raise OptionError("variables is empty; leave it out for all variables.")
    return [_one(rows, name, how, kind) for name, how in chosen.items()], []


def _one(rows: AnyRows, name: Any, how: Any, kind: str) -> Asked:
    """What to compute for one variable: its derivative, or a contrast of values."""
    name = rows.check_variable(name)
    levels = rows.levels(name)
    log_v = kind in ("eyex", "dyex")
    if how is None:
        how = _default(rows, name, levels, log_v)
    if isinstance(how, str) and how == "derivative":
        if levels is not None:
            raise OptionError(
                f"{name!r} has levels ({list_names(levels, 6)}), so no derivative; leave the choice out."
            )
        rows.part(0, 1, {}).derivative(name)  # says so if there is none
        return Asked(name, None)
    if log_v:
        raise OptionError(
            f"kind={kind!r} divides by the logarithm of {name!r}, which has levels; use 'dydx' or 'eydx'."
        )
    return Asked(name, _contrasted(rows, name, how))


def _default(rows: AnyRows, name: str, levels: Any, log_v: bool) -> Any:
    """All levels where there are some, both values of a 0–1 column, else the derivative."""
    if levels is not None:
        return levels
    return (0, 1) if not log_v and rows.zero_one(name) else "derivative"


def _contrasted(rows: AnyRows, name: str, how: Any) -> tuple[Any, ...]:
    """The values of a contrast, base first, each of which the formula takes."""
    values = tuple(how) if isinstance(how, (list, tuple, range, np.ndarray)) else ()
    if len(values) < 2:
        raise OptionError(
            f"{name!r}: {how!r} is no choice; give 'derivative', or at least two values, base first, as "
            f"in (0, 1)."
        )
    if len({repr(v) for v in values}) < len(values):
        raise OptionError(f"{name!r}: the values {values!r} repeat.")
    for value in values:
        rows.part(0, 1, {name: value})
    return values


def questions_of(rows: AnyRows, asked: list[Asked], at: Any) -> tuple[list[Question], str]:
    """Every margin with its name, in the order of the table, and words for where it is evaluated."""
    if isinstance(at, str):
        points: list[tuple[str, dict[str, Any]]] = [("", _means(rows) if at == "mean" else {})]
        where = "the means" if at == "mean" else "the rows (average)"
    else:
        points, where = _points(rows, asked, at)
    out = []
    for a, (suffix, fixed) in product(asked, points):
        if a.values is None:
            out.append(Question(f"{a.variable}{suffix}", a.variable, None, fixed))
            continue
        base = a.values[0]
        out += [
            Question(f"{a.variable}: {_word(v)} - {_word(base)}{suffix}", a.variable, (base, v), fixed)
            for v in a.values[1:]
        ]
    return out, where


def _word(value: Any) -> str:
    return (
        f"{value:g}"
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        else str(value)
    )


def _means(rows: AnyRows) -> dict[str, float]:
    """Weighted means of the variables that are numbers and no levels."""
    if isinstance(rows, StreamedScenario):
        raise rows.design.needs_rows()
    return {
        name: float(np.average(rows.values(name), weights=rows.weights))
        for name in rows.spec.variables
        if rows.levels(name) is None
    }


def _points(
    rows: AnyRows, asked: list[Asked], at: Mapping[str, Any]
) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """The grid of a dict: suffixes of names and fixed values; only lists of values show in the names."""
    if not at:
        raise OptionError("at={} fixes nothing; use at='overall'.")
    contrasted = {a.variable for a in asked if a.values is not None}
    lists = {rows.check_variable(key): _values_of(value) for key, value in at.items()}
    for name, values in lists.items():
        _check_point(rows, name, values, contrasted)
    named = [n for n, v in lists.items() if len(v) > 1 or not np.isscalar(at[n])]
    grid = [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
    points = [(_suffix(fixed, named), fixed) for fixed in grid]
    single = [f"{n} = {_word(v[0])}" for n, v in lists.items() if n not in named]
    return points, ", ".join(single) or f"values of {', '.join(named)}"


def _suffix(fixed: Mapping[str, Any], named: Sequence[str]) -> str:
    """What a name says of the values at which some variables are fixed."""
    shown = ", ".join(f"{n} = {_word(fixed[n])}" for n in named)
    return f" | {shown}" if shown else ""


def _values_of(value: Any) -> list[Any]:
    listed = isinstance(value, (list, tuple, range, np.ndarray, pd.Series, pd.Index))
    return list(value) if listed else [value]


def _check_point(rows: AnyRows, name: str, values: list[Any], contrasted: set[str]) -> None:
    """Refuse to fix what is contrasted, an empty list, and values that the formula does not take."""
    if name in contrasted:
        raise OptionError(
            f"at= fixes {name!r}, whose values are what is contrasted; leave it out of one of them."
        )
    if not values:
        raise OptionError(f"at={{{name!r}: []}} has no value.")
    for value in values:
        rows.part(0, 1, {name: value})


def check_ranges(ranges: Ranges | None, rows: AnyRows, asked: list[Asked], at: Any) -> None:
    """Refuse contrasts far outside the range of the fit; warn of what else is set, or lies, outside.

    Raises
    ------
    OptionError

    Warns
    -----
    ExtrapolationWarning
    """
    if not ranges:
        return
    contrasts = [(a.variable, a.values) for a in asked if a.values is not None]
    check_contrasts(ranges, contrasts)
    fixed = {} if isinstance(at, str) else {name: _values_of(value) for name, value in at.items()}
    warn_settings(ranges, [*contrasts, *fixed.items()])
    warn_rows({name: rows.values(name) for name in ranges if name not in fixed}, ranges)


def check_place(at: Any, target: Any) -> None:
    """Refuse unknown places and targets, and the population of one point.

    Raises
    ------
    OptionError
    """
    check_choice(target, "target", ("sample", "population"))
    if isinstance(at, str) or not isinstance(at, Mapping):
        check_choice(at, "at", ("overall", "mean"), " or a dict such as {'age': 40}")
    if target == "population" and at == "mean":
        raise OptionError(
            "target='population' is about averages over rows; at='mean' looks at one point: use at='overall'."
        )


def check_choice(value: Any, name: str, allowed: Sequence[str], more: str = "") -> None:
    """Refuse an unknown choice.

    Raises
    ------
    OptionError
    """
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{name}={value!r} is not known; use one of {', '.join(map(repr, allowed))}{more}.")


def row_groups(own: FitRows, by: Any, at: Any, weights: Array) -> list[tuple[str, Array]]:
    """Groups of the rows of a fit; see `groups_of`.

    Raises
    ------
    OptionError, MissingColumnError, DataError
        OptionError also where one point is looked at.
    """
    if isinstance(at, str) and at == "mean":
        raise OptionError("by= averages over the rows of a group; at='mean' looks at one point.")
    return groups_of(partial(own.column, role="by="), by, weights)


def averaged_with(rows: AnyRows) -> list[str]:
    """A note on the weights of averages over rows, if there are any."""
    spec = rows.spec
    return [] if spec.weights is None else [f"Averaged with the weights {spec.weights} ({spec.weight_type})."]
