"""The table of estimates that every result prints, and what the foot of a summary says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from disteconometrics.inference.estimates import ClusterCount, Estimates
from disteconometrics.tables import Section, number, p_value

__all__ = [
    "clusters_notes",
    "estimates_section",
    "observations_text",
    "rows_dropped",
    "source_notes",
    "weights_notes",
]


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
    cells = zip(
        map(number, estimates.values),
        map(number, estimates.std_error),
        (f"{z:.3f}" if np.isfinite(z) else "nan" for z in estimates.statistic),
        map(p_value, estimates.p_value),
        map(number, low),
        map(number, high),
        strict=True,
    )
    return Section(columns, estimates.names, tuple(cells), heading)


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


def source_notes(readings: int, kept: bool = False) -> tuple[str, ...]:
    """The note on a source that was read in parts, and whether coded rows were kept; none on a table.

    Examples
    --------
    >>> source_notes(4), source_notes(0)
    (('The source was read 4 times, covariance included; no rows are kept.',), ())
    """
    if not readings:
        return ()
    times = "once" if readings == 1 else f"{readings} times"
    rows = "coded rows were kept" if kept else "no rows are kept"
    return (f"The source was read {times}, covariance included; {rows}.",)


def observations_text(given: int, rows: int, observations: float, weight_type: str | None) -> str:
    """How many observations there are and how many rows were dropped, for the head of a summary.

    Examples
    --------
    >>> observations_text(12, 10, 10.0, None), observations_text(12, 10, 30.0, "frequency")
    ('10 (2 dropped)', '30 (10 weighted rows, 2 dropped)')
    """
    dropped = f"{given - rows} dropped"
    if weight_type == "frequency":
        return f"{observations:.0f} ({rows} weighted rows, {dropped})"
    return f"{rows} ({dropped})"


def clusters_notes(clusters: ClusterCount | None, q: int) -> list[str]:
    """What the foot of a summary says of a joint test of q coefficients; nothing where clusters are enough.

    Examples
    --------
    >>> clusters_notes(ClusterCount.telling(50, 38.0, jackknifed=False), 6)
    ['Wald tests of 6 hypotheses at once reject too often: 50 clusters tell as much as 38 of one size.']
    >>> clusters_notes(ClusterCount.telling(12, 12.0, jackknifed=False), 3)
    ['Wald tests of 3 hypotheses at once reject too often with 12 clusters.']
    """
    words = "" if clusters is None else clusters.words(q)
    return [f"{words}."] if words else []


def weights_notes(weights: str | None, weight_type: str | None) -> list[str]:
    """What the foot of a summary says of weights; nothing where there are none.

    Examples
    --------
    >>> weights_notes("w", "frequency")
    ['Weights: w (counts of identical rows).']
    """
    if weights is None:
        return []
    meaning = {
        "frequency": "counts of identical rows",
        "sampling": "inverse selection probabilities, scaled to mean one",
    }
    return [f"Weights: {weights} ({meaning[str(weight_type)]})."]
