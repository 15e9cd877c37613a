"""The table of estimates that every result prints, and the frame around it (`tables`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from disteconometrics.inference.estimates import Estimates
from disteconometrics.tables import Section, Summary, number, p_value

__all__ = ["Section", "Summary", "estimates_section", "number", "p_value", "rows_dropped"]


def estimates_section(estimates: Estimates, level: float = 0.95, heading: str | None = None) -> Section:
    """The table of six columns that every result prints."""
    low, high = estimates.interval(level).T
    percent = f"{100 * level:g}%"
    columns = (
        "estimate",
        "std_error",
        "z" if np.isinf(estimates.df) else "t",
        "p",
        f"[{percent} conf.",
        "interval]",
    )
    rows: list[tuple[str, ...]] = []
    numbers: Sequence[Any] = (
        estimates.values,
        estimates.std_error,
        estimates.statistic,
        estimates.p_value,
        low,
        high,
    )
    for b, se, z, p, lo, hi in zip(*numbers, strict=True):
        rows.append(
            (
                number(b),
                number(se),
                f"{z:.3f}" if np.isfinite(z) else "nan",
                p_value(p),
                number(lo),
                number(hi),
            )
        )
    return Section(columns, estimates.names, tuple(rows), heading)


def rows_dropped(given: int, used: int, missing: Mapping[str, int], zero_weight: int = 0) -> tuple[str, ...]:
    """The note on rows that were not used, with the columns that are to blame; none where all were.

    Examples
    --------
    >>> rows_dropped(10, 7, {"x": 3, "y": 0})
    ('3 rows dropped: NaN in x (3).',)
    """
    if given <= used:
        return ()
    causes = [f"NaN in {column} ({n})" for column, n in missing.items() if n]
    causes += [f"weight zero ({zero_weight})"] if zero_weight else []
    return (f"{given - used} rows dropped: {', '.join(causes)}.",)
