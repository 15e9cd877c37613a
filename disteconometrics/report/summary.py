"""The table of estimates that every result prints, and what the foot of a summary says."""

from __future__ import annotations

from typing import Any

import numpy as np

from disteconometrics.inference.estimates import ClusterCount, Estimates
from disteconometrics.tables import Section, number, p_value

__all__ = [
    "clusters_notes",
    "estimates_section",
    "observations_text",
    "offset_notes",
    "rows_dropped",
    "rows_notes",
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
        (number(b, missing="withheld") for b in estimates.values),
        (
            number(se, missing="" if np.isnan(b) else "none")
            for b, se in zip(estimates.values, estimates.std_error, strict=True)
        ),
        (f"{z:.3f}" if np.isfinite(z) else "" for z in estimates.statistic),
        (p_value(p, missing="") for p in estimates.p_value),
        (number(end, missing="") for end in low),
        (number(end, missing="") for end in high),
        strict=True,
    )
    return Section(columns, estimates.names, tuple(cells), heading)


def rows_dropped(facts: Any) -> tuple[str, ...]:
    """The note on rows that were not used, with the columns that are to blame; none where all were.

    Examples
    --------
    >>> import disteconometrics as de
    >>> table = {"y": [0, 1, 1, 0], "x": [1.0, 2.0, None, 3.0]}
    >>> rows_dropped(de.NormalRegression("y ~ x").fit(table).facts)
    ('1 rows dropped: NaN in x (1).',)
    """
    if facts.given <= facts.rows:
        return ()
    causes = [f"NaN in {column} ({n})" for column, n in facts.dropped.items() if n]
    causes += [f"weight zero ({facts.zero_weight})"] if facts.zero_weight else []
    return (f"{facts.given - facts.rows} rows dropped: {', '.join(causes)}.",)


def offset_notes(model: Any) -> list[str]:
    """What the foot of a summary says of an offset; nothing where there is none.

    Examples
    --------
    >>> import disteconometrics as de
    >>> offset_notes(de.Logit("y ~ x", offset="shift")), offset_notes(de.Logit("y ~ x"))
    (['Offset: shift, with coefficient one.'], [])
    """
    offset = getattr(model, "offset", None)
    return [] if offset is None else [f"Offset: {offset}, with coefficient one."]


def rows_notes(model: Any, facts: Any) -> list[str]:
    """What the foot of a summary says of weights, of an offset, and of rows that were not used.

    Examples
    --------
    >>> import disteconometrics as de
    >>> table = {"y": [0, 1, 1, 0], "x": [1.0, 2.0, None, 3.0], "w": [1, 2, 1, 1]}
    >>> res = de.NormalRegression("y ~ x", weights="w", weight_type="frequency").fit(table)
    >>> rows_notes(res.model, res.facts)
    ['Weights: w (counts of identical rows).', '1 rows dropped: NaN in x (1).']
    """
    weights = weights_notes(model.weights, model.weight_type)
    return [*weights, *offset_notes(model), *rows_dropped(facts)]


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
