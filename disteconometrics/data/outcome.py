"""One left side: binary, coded 0/1 with its success named; ordered or nominal, coded from 0; or numeric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.data.evaluate import Basis, Levels
from disteconometrics.data.recorded import Recorder
from disteconometrics.data.table import list_names, used_levels
from disteconometrics.errors import LevelError, OutcomeError

__all__ = ["KINDS", "OUTCOMES", "Outcome", "code_outcome", "recode_outcome"]

KINDS = ("binary", "nominal", "numeric", "ordered")
OUTCOMES = (*KINDS, "recorded")  # what may be asked for: a recorded outcome is numeric, told exactly or not

MOST_CATEGORIES = 50  # of an ordered or nominal outcome


@dataclass(frozen=True)
class Outcome:
    """The outcome: ``name`` as on the left side, ``kind`` binary, ordered, nominal or numeric.

    ``levels`` are what 0, 1, … stand for; ``recorders`` say how a numeric one was recorded, innermost first,
    and are left out of the name: that of ``log(topcoded(wage, at=40))`` is ``log(wage)``.
    """

    name: str
    kind: str
    levels: tuple[Any, ...] = ()
    recorders: tuple[Recorder, ...] = ()

    @property
    def success(self) -> str | None:
        """The label of the value coded 1, as printed in "deny = yes"; None for one that is not binary.

        Raises: nothing.
        """
        return str(self.levels[1]) if self.kind == "binary" else None


def code_outcome(
    name: str, value: Any, kind: str, is_bool: bool, has_order: bool = False
) -> tuple[Outcome, Array]:
    """Code a left side, float64 (n,) or Levels without missing, as an outcome of a kind.

    ``has_order`` says whether levels are in an order that means something.

    Returns: (Outcome, y (n,) float64).  Raises: OutcomeError naming the outcome and the values found.
    """
    if isinstance(value, Basis):
        raise OutcomeError(f"The outcome {name!r} has several columns; it must be one")
    if kind == "numeric":
        if isinstance(value, Levels):
            raise OutcomeError(f"The outcome {name!r} holds text or categories; this estimator needs numbers")
        return Outcome(name, kind), np.array(value, dtype=np.float64)
    if kind in ("ordered", "nominal"):
        return _code_categories(name, value, kind, is_bool, has_order)
    if isinstance(value, Levels):
        return _code_levels(name, value)
    y = np.array(value, dtype=np.float64)  # a copy: the fit must not change with the user's table
    if not ((y == 0) | (y == 1)).all():
        raise _not_binary(name, np.unique(y).tolist(), numeric=True)
    ones = np.count_nonzero(y)
    if ones in (0, len(y)):
        raise _no_variation(name, bool(ones) if is_bool else int(ones > 0))
    return Outcome(name, kind, (False, True) if is_bool else (0, 1)), y


def _code_levels(name: str, value: Levels) -> tuple[Outcome, Array]:
    levels = used_levels(value.codes, value.levels)
    if len(levels) == 1:
        raise _no_variation(name, levels[0])
    if len(levels) != 2:
        raise _not_binary(name, list(levels), numeric=False)
    if set(levels) == {0, 1}:  # a category of 1 and 0 means numbers, whatever the order of its levels
        levels = tuple(sorted(levels))
    code_of_success = value.levels.index(levels[1])
    return Outcome(name, "binary", levels), (value.codes == code_of_success).astype(np.float64)


def _code_categories(
    name: str, value: Any, kind: str, is_bool: bool, has_order: bool
) -> tuple[Outcome, Array]:
    """Categories in their order, or numbers by size; those without rows have no code."""
    if isinstance(value, Levels):
        levels = used_levels(value.codes, value.levels)
        numbers = all(isinstance(v, (int, float)) for v in levels)
        if kind == "ordered" and not has_order and not numbers:
            raise OutcomeError(
                f"The outcome {name!r} holds text or categories without an order: {list_names(levels, 6)}; "
                f"make it an ordered categorical, lowest first: pd.Categorical(data[{name!r}], "
                f"categories=[…], ordered=True), or a polars Enum"
            )
        levels = tuple(sorted(levels)) if kind == "ordered" and not has_order else levels
        place = {level: float(i) for i, level in enumerate(levels)}
        y = np.array([place.get(level, np.nan) for level in value.levels])[value.codes]
    else:
        found, codes = np.unique(as_floats(value), return_inverse=True)
        y = codes.reshape(-1).astype(np.float64)
        levels = tuple(int(v) if v.is_integer() else v for v in found.tolist())
        levels = tuple(map(bool, levels)) if is_bool else levels
    if len(levels) < 2:
        raise OutcomeError(
            f"The outcome {name!r} has no variation: only one value, {levels[0]!r}, among the rows used; at "
            f"least two categories must occur"
        )
    if len(levels) > MOST_CATEGORIES:
        raise OutcomeError(
            f"The outcome {name!r} has {len(levels)} distinct values; categories may be {MOST_CATEGORIES} at "
            f"most: cut it, or take NormalRegression or FlowDensity for a number"
        )
    return Outcome(name, kind, levels), y


def _no_variation(name: str, value: Any) -> OutcomeError:
    return OutcomeError(
        f"The outcome {name!r} has no variation: only one value, {value!r}, among the rows used; both 0 "
        f"and 1 must occur"
    )


def _not_binary(name: str, values: list[Any], numeric: bool) -> OutcomeError:
    found = values if not numeric else [int(v) if float(v).is_integer() else v for v in values]
    shown = " and ".join(map(repr, found)) if len(found) == 2 else list_names(found, 6)
    inner = name[2:-1] if name.startswith("I(") else name
    remedy = (
        f"code it, e.g. 'I({inner} == {found[-1]!r}) ~ …'"
        if len(found) <= 10
        else f"cut it, e.g. 'I({inner} > {found[len(found) // 2]!r}) ~ …'"
    )
    return OutcomeError(
        f"The outcome {name!r} must be binary: 0/1, true/false or text with exactly two values; "
        f"found {len(found)} distinct values {shown}; {remedy}"
    )


def recode_outcome(outcome: Outcome, value: Any) -> Array:
    """Code new rows of the left side as the fitted rows were; missing stays NaN.

    Returns: y (m,) float64.  Raises: LevelError for a value that is none of them; OutcomeError for text
    where numbers were.
    """
    if outcome.kind == "numeric":
        if isinstance(value, Levels):
            raise OutcomeError(f"The outcome {outcome.name!r} holds text; it was numeric in the fitted rows")
        return as_floats(value)
    if not isinstance(value, Levels):
        values = as_floats(value)
        known, codes = np.unique(values[~np.isnan(values)], return_inverse=True)
        full = np.full(len(values), -1, dtype=np.intp)
        full[~np.isnan(values)] = codes
        value = Levels(full, tuple(known.tolist()))
    place = {level: float(i) for i, level in enumerate(outcome.levels)}
    used = set(np.unique(value.codes).tolist()) - {-1}
    unknown = [value.levels[c] for c in sorted(used) if value.levels[c] not in place]
    if unknown:
        raise LevelError(
            f"The outcome {outcome.name!r} has values {list_names(unknown, 6)}; the fitted rows had "
            f"{list_names(outcome.levels)}"
        )
    table = np.array([*(place.get(level, np.nan) for level in value.levels), np.nan])
    return np.asarray(table[value.codes])
