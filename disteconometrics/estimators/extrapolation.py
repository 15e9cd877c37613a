"""Where rows and settings leave the range of the fit: a warning, or an error where the data say nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.data.scenario import Scenario
from disteconometrics.data.spec import DesignSpec
from disteconometrics.data.table import Table
from disteconometrics.errors import ExtrapolationWarning, OptionError, warn_user

__all__ = ["Ranges", "check_contrasts", "ranges_of", "seen_ranges", "warn_new", "warn_rows", "warn_settings"]

Ranges = Mapping[str, tuple[float, float]]

REST = "There the answer rests on the formula alone."
FEW = 10_000  # rows up to which columns of the design are looked at before the table's own
HINT = "stay inside the range of the fit"


def seen_ranges(rows: Scenario) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every variable of the right side that is a number without levels.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + C(PSI)").fit(de.datasets.spector())
    >>> seen_ranges(res.rows.scenario())
    {'GPA': (2.06, 4.0)}
    """
    numbers = (n for n in rows.spec.variables if rows.columns[n].kind == "number" and rows.levels(n) is None)
    found = {}
    for name in numbers:
        values = rows.values(name)
        found[name] = float(values.min()), float(values.max())
    return found


def ranges_of(rows: Any) -> dict[str, tuple[float, float]]:
    """`seen_ranges` of the rows of a fit; nothing where these are not at hand.

    Examples
    --------
    >>> ranges_of(None)
    {}
    """
    return {} if rows is None or rows.streamed else seen_ranges(rows.scenario())


def _outside(columns: Mapping[str, Array], ranges: Ranges) -> dict[str, Mask]:
    """Which rows (m,) lie outside, by the variables of which some do; a missing value does not."""
    names = [name for name in columns if not _is_inside(columns[name], ranges[name])]
    masks = {n: (columns[n] < ranges[n][0]) | (columns[n] > ranges[n][1]) for n in names}
    return {name: mask for name, mask in masks.items() if mask.any()}


def _is_inside(values: Array, seen: tuple[float, float]) -> bool:
    """Whether all values surely lie inside; this is what nearly every call of ``predict`` pays for."""
    if not len(values):
        return True
    return bool(seen[0] <= np.minimum.reduce(values) and np.maximum.reduce(values) <= seen[1])


def warn_new(ranges: Ranges, spec: DesignSpec, new: Any, X: Array | None = None) -> None:
    """`warn_rows` for the rows of a table with their design (m, k), if it is there; nothing for None.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> warn_new({"GPA": (2.06, 4.0)}, res.spec, {"GPA": [2.5, 3.9]}, np.array([[1.0, 2.5], [1.0, 3.9]]))
    """
    if new is None:
        return
    inside = set() if X is None else _seen_inside(ranges, spec.names, X)
    left = [name for name in ranges if name not in inside]
    if left:
        table = Table(new)
        warn_rows({name: spec.column(table, name).values for name in left}, ranges)


def _seen_inside(ranges: Ranges, names: Sequence[str], X: Array) -> set[str]:
    """Variables that the columns of a few rows show to be inside; reading them again would cost more."""
    own = [name for name in ranges if name in names]
    if not own or not 0 < len(X) <= FEW:
        return set()
    values = X[:, [names.index(name) for name in own]]
    low, high = np.array([ranges[name] for name in own]).T
    inside = (low <= values.min(axis=0)) & (values.max(axis=0) <= high)
    return {name for name, seen in zip(own, inside, strict=True) if seen}


def warn_rows(columns: Mapping[str, Array], ranges: Ranges) -> None:
    """Warn of rows, by their columns (m,), that lie outside the range of the fit.

    Warns
    -----
    ExtrapolationWarning
        With the number of rows, and of each variable.

    Examples
    --------
    >>> warn_rows({"x": np.array([0.5, np.nan])}, {"x": (0.0, 1.0)})
    """
    outside = _outside(columns, ranges)
    if not outside:
        return
    every = list(outside.values())
    rows, size = int(np.logical_or.reduce(every).sum()), len(every[0])
    told = ", ".join(f"{n} ({int(m.sum())}; {_words(ranges[n])} in the fit)" for n, m in outside.items())
    share = f"{100 * rows / size:.3g} %"
    text = f"{rows} of {size} rows ({share}) lie outside the range of the fit: {told}. {REST}"
    warn_user(ExtrapolationWarning(text, column=next(iter(outside)), hint=HINT))


def warn_settings(ranges: Ranges, settings: Iterable[tuple[str, Iterable[Any]]]) -> None:
    """Warn of values that a variable is set to, in all rows, outside the range of the fit.

    Warns
    -----
    ExtrapolationWarning

    Examples
    --------
    >>> warn_settings({"x": (0.0, 1.0)}, [("x", (0, 1)), ("g", ("a", "b"))])
    """
    outside = [
        (name, value)
        for name, values in settings
        if name in ranges
        for value in values
        if not ranges[name][0] <= value <= ranges[name][1]
    ]
    if not outside:
        return
    told = ", ".join(f"{name} = {value:g} ({_words(ranges[name])} in the fit)" for name, value in outside)
    text = f"All rows (100 %) are set outside the range of the fit: {told}. {REST}"
    warn_user(ExtrapolationWarning(text, column=outside[0][0], hint=HINT))


def check_contrasts(ranges: Ranges, contrasts: Iterable[tuple[str, Iterable[Any]]]) -> None:
    """Refuse to contrast values that are further from the range of the fit than this is wide.

    Raises
    ------
    OptionError
        With the values that are allowed.

    Examples
    --------
    >>> check_contrasts({"x": (0.0, 1.0)}, [("x", (0, 2))])
    """
    for name, values in contrasts:
        if name not in ranges:
            continue
        low, high = ranges[name]
        width = high - low
        far = [v for v in values if not low - width <= v <= high + width]
        if far:
            seen = _words(ranges[name])
            raise OptionError(
                f"{name} = {far[0]:g} is further from the range of the fit, {seen}, than this is wide, so no "
                f"row tells this effect; contrast values from {low - width:.4g} to "
                f"{high + width:.4g}, or take differences of predict(), which only warns."
            )


def _words(seen: tuple[float, float]) -> str:
    return f"{seen[0]:.4g} to {seen[1]:.4g}"
