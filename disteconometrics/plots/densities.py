"""Pictures of fitted densities: over a histogram, given covariates, as quantiles, effects along these, PIT.

Each function returns matplotlib Axes that carry the numbers behind the picture as a DataFrame, ``ax.data``,
and draws on ``ax=`` or on one new figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import AnyArray, Array, Mask, as_floats, or_ones
from disteconometrics.checks import whole
from disteconometrics.data.table import list_names
from disteconometrics.distributions.atom import WithMass
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.making import law
from disteconometrics.distributions.recorded import RecordedLaw
from disteconometrics.errors import MissingColumnError, OptionError
from disteconometrics.inference.estimates import check_level
from disteconometrics.inference.held import ALL, Held
from disteconometrics.plots.style import (
    ACCENT,
    CURVE,
    DARK,
    FLAT,
    FRACTION_BY_DATA,
    LIGHT,
    MIDDLE,
    MOST_DOTS,
    OKABE_ITO,
    draw_histogram,
    finish,
    heading,
    legend_above,
    name_levels,
    prepare,
    shade,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["conditional_densities", "density", "pit_histogram", "quantile_effects", "quantile_fan"]

POINTS = 200  # of a density
BOX = 0.5  # width of that of a level
FAN = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def density(result: Any, *, ax: Axes | None = None, bins: int = 50, level: float = 0.95) -> Axes:
    """Draw the fitted density over the histogram of the outcome, with a uniform band; or that of a law alone.

    With covariates it is that of the averaged law.  Records of an outcome that lies between two ends are bars
    between these, and the curve is broken there; it ends where records tell nothing.  A mass is a stem with
    its probability, whose height has no unit beside a density.

    Parameters
    ----------
    result : a density's result with its rows, a Law of numbers, or a frozen one of ``scipy.stats``.
    ax : matplotlib Axes or None for a new figure.
    bins : int, bars of the histogram.
    level : float, probability that the band holds the whole curve.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has y, estimate, and of a result conf_low, conf_high (pointwise), band_low, band_high.

    Raises
    ------
    NeedsData
        If the result was loaded from a file.
    OptionError
        If an argument is out of range.

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = density(de.FlowDensity("log(foodexp) ~ 1").fit(de.datasets.engel()))
    >>> ax.data.columns.tolist()
    ['y', 'estimate', 'conf_low', 'conf_high', 'band_low', 'band_high']
    >>> plt.close(ax.figure)
    """
    if isinstance(result, Law) or hasattr(result, "ppf"):
        return _density_of_law(law(result), ax)
    rows, bins = result.data_rows(), whole(bins, "bins", 1)
    y, weights = rows.y, rows.scaled_weights
    fitted = result.distribution()
    beside = fitted.rest if isinstance(fitted, WithMass) else fitted  # a density is of what is off a mass
    y = y[y != fitted.point] if isinstance(fitted, WithMass) else y  # as are the bars
    low, high = (beside.average() if beside.batch_shape else beside).quantile([0.001, 0.999])
    low, high = (
        max(low, float(y.min()) - 0.05 * (high - low)),
        min(high, float(y.max()) + 0.05 * (high - low)),
    )
    table = result.band("pdf", grid=np.linspace(low, high, POINTS), level=check_level(level))
    axes, records = prepare(ax, FLAT), rows.design.records
    if records is None:
        highest = draw_histogram(axes, y, low, high, bins, weights)
    else:
        highest = _draw_records(axes, records, low, high, bins, weights)
        axes.set_xlim(low, high)
    shade(axes, table.y, table.band_low, np.minimum(table.band_high, 3 * table.estimate.max()), 0.22)
    told = records is None or not records.interval.any()  # between the ends of a record nothing is seen
    axes.plot(table.y, table.estimate, color=ACCENT, linewidth=CURVE, linestyle="-" if told else "--")
    axes.set_ylim(0, 1.08 * max(highest, float(table.band_high.quantile(0.98))))
    axes.margins(x=0)
    _draw_mass(axes, fitted)
    return finish(axes, result.labels()[0], "density", table)


def _draw_mass(axes: Any, drawn: Law) -> None:
    """A stem at the mass of a law, or of the average of several, as high as its probability of the axis."""
    one = drawn.average() if drawn.batch_shape else drawn
    if isinstance(one, WithMass):
        point = one.point
    elif isinstance(one, RecordedLaw) and np.isfinite(one.low):
        point = one.low
    else:
        return
    share, top, (left, right) = float(one.mass(point)), axes.get_ylim()[1], axes.get_xlim()
    axes.set_xlim(min(left, point - 0.02 * (right - left)), max(right, point + 0.02 * (right - left)))
    axes.plot(
        [point, point], [0, share * top], color=DARK, linewidth=2.5, solid_capstyle="butt", clip_on=False
    )
    axes.plot([point], [share * top], "o", color=DARK, markersize=5, clip_on=False)
    write(axes, f"{share:.0%} at {point:g}", (point, share * top), (7, 3))


def _density_of_law(drawn: Law, ax: Axes | None) -> Axes:
    """The density of one law, or of the average of several, between outer quantiles."""
    one = drawn.average() if drawn.batch_shape else drawn
    low, high = np.asarray(one.quantile([0.001, 0.999]))
    y = np.linspace(low, high, POINTS)
    table = pd.DataFrame({"y": y, "estimate": np.asarray(one.pdf(y))})
    axes = prepare(ax, FLAT)
    axes.plot(table.y, table.estimate, color=ACCENT, linewidth=CURVE)
    axes.set_ylim(0, None)
    axes.margins(x=0)
    _draw_mass(axes, one)
    return finish(axes, drawn.outcome or "y", "density", table)


def _draw_records(ax: Any, records: Any, low: float, high: float, bins: int, weights: Array | None) -> float:
    """Bars of records with two ends, and of the outcomes that are known; their greatest height."""
    w = or_ones(weights, len(records))
    known, between = records.exact, records.interval
    edges = np.unique(np.concatenate([records.lower[between], records.upper[between]]))
    edges = np.union1d(edges, np.linspace(low, high, bins + 1)) if known.any() else edges
    heights = np.zeros(max(len(edges) - 1, 0))
    heights += np.histogram(records.lower[known], edges, weights=w[known])[0] / np.diff(edges)
    for a, b in np.unique(np.column_stack([records.lower, records.upper])[between], axis=0):
        share = w[between & (records.lower == a) & (records.upper == b)].sum()
        heights += np.where((edges[:-1] >= a) & (edges[1:] <= b), share / (b - a), 0.0)
    heights /= w.sum()
    ax.stairs(heights, edges, fill=True, color=LIGHT)
    return float(heights.max(initial=0.0))


def conditional_densities(
    result: Any, new: Any = None, *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the density given each row of a table, each with its label beside its peak.

    Parameters
    ----------
    result : anything with a law given covariates, ``distribution(new)``; or such a law of at most seven rows.
    new : table of at most seven rows, None beside a law.
    labels : list of str or None, names of the rows; None writes out the columns that differ.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has a column y and one per row.

    Raises
    ------
    OptionError, MissingColumnError, LevelError, DataError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
    >>> ax = conditional_densities(res, {"income": [500.0, 2000.0]})
    >>> ax.data.columns.tolist()
    ['y', 'income = 500', 'income = 2000']
    >>> plt.close(ax.figure)
    """
    laws = _law_of_rows(result, new)
    n = laws.batch_shape[0] if laws.batch_shape else 1
    if n > len(OKABE_ITO) or n < 1:
        raise OptionError(
            f"new has {n} rows; give from 1 to {len(OKABE_ITO)}, or the picture cannot be read."
        )
    if labels is None:
        names = [f"row {i}" for i in range(n)] if new is None else _row_labels(new, result.spec.variables, n)
    else:
        names = list(labels)
    if len(names) != n:
        raise OptionError(f"labels has {len(names)} names for {n} rows.")
    ends = np.asarray(laws.quantile([0.002, 0.998])).reshape(n, 2)
    y = np.linspace(ends[:, 0].min(), ends[:, 1].max(), POINTS)
    f = np.asarray(laws.pdf(y[None])).reshape(n, POINTS)
    axes = prepare(ax, FLAT)
    for i in range(n):
        axes.plot(y, f[i], color=OKABE_ITO[i], linewidth=CURVE, label=names[i])
    _name_curves(axes, y, f, names)
    axes.set_ylim(0, 1.15 * f.max())
    table = pd.DataFrame({"y": y, **dict(zip(names, f, strict=True))})
    return finish(axes, (laws.outcome or "y") if new is None else result.labels()[0], "density", table)


def _law_of_rows(result: Any, new: Any) -> Law:
    """The laws to draw, those of rows of a table or given ones."""
    if isinstance(result, Law):
        if new is not None:
            raise OptionError("new= goes with a result; a law has its rows already.")
        return result
    if new is None:
        raise OptionError("Give new=, a table of the rows whose laws are drawn.")
    laws: Law = result.distribution(new)
    return laws


def _name_curves(ax: Any, y: Array, f: Array, names: Sequence[str]) -> None:
    """Names above the peaks of the curves (n, points), or in a legend where they would cover one another."""
    tops = np.argmax(f, axis=1)
    near = np.diff(np.sort(y[tops])) <= 0.22 * (y[-1] - y[0])
    if max(map(len, names)) * len(names) > 40 or near.any():
        legend_above(ax)
        return
    for i, top in enumerate(tops):
        write(ax, names[i], (y[top], f[i, top]), (0, 3), color=OKABE_ITO[i], ha="center", va="bottom")


def _row_labels(new: Any, variables: Sequence[str], n: int) -> list[str]:
    """The columns in which rows differ, written out."""
    frame = pd.DataFrame({name: np.asarray(new[name]) for name in variables if name in new})
    moving = [c for c in frame if frame[c].nunique() > 1] or list(frame)
    words = [_written(row, (int, float)) for row in frame[moving].astype(object).to_dict("records")]
    return words if len(set(words)) == n else [f"row {i}" for i in range(n)]


def _typical(variables: Sequence[str], rows: Any, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """One value per variable: the median of numbers, the most frequent level, or what is ``fixed``."""
    out = {}
    for name in variables:
        column = rows.column(name, "the formula")
        number = pd.api.types.is_numeric_dtype(column) and column.nunique() > 2
        out[name] = fixed.get(name, float(column.median()) if number else column.mode().iloc[0])
    return out


def _check_variables(spec: Any, *names: str) -> None:
    unknown = [name for name in names if name not in spec.variables]
    if unknown:
        raise MissingColumnError(
            f"{list_names(unknown)} is not a variable of {spec.formula!r}; they are "
            f"{list_names(spec.variables)}."
        )


def quantile_fan(
    result: Any,
    variable: str,
    *,
    at: Mapping[str, Any] | None = None,
    levels: Sequence[float] = FAN,
    points: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw conditional quantiles along a variable, the others at typical values, over the rows of the fit.

    Along a number they are bands; of text, categories, true/false, 0-1 and ``C(...)`` every level has its box
    (the middle pairs of levels), its whiskers (the outer ones) and its median.  Bands end at a cap or floor
    beyond which records tell nothing.

    Parameters
    ----------
    result : the result of a law given covariates, with its rows.
    variable : str, a column of the right side.
    at : mapping or None, values of the other variables; those not named are at their median or most frequent
        level.
    levels : quantile levels, symmetric about .5 so that they pair up into bands.
    points : bool, whether to draw the rows (at most 3,000, evenly spaced).
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by value of the variable with a column per level, NaN where records tell
        nothing.

    Raises
    ------
    OptionError, MissingColumnError, LevelError, NeedsData

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
    >>> ax = quantile_fan(res, "income", levels=[0.1, 0.5, 0.9])
    >>> ax.data.columns.tolist()
    ['q[0.1]', 'q[0.5]', 'q[0.9]']
    >>> plt.close(ax.figure)
    """
    rows = result.data_rows()
    _check_variables(result.spec, *(at or {}), variable)
    row = _typical(result.spec.variables, rows, at or {})
    x = rows.column(variable, "the formula")
    steps = _steps(rows, variable)
    grid = _grid(x) if steps is None else steps
    del row[variable]
    tau = sorted(float(t) for t in levels)
    others = {name: [value] * len(grid) for name, value in row.items()}
    q, held = np.asarray(result.distribution({variable: grid, **others}).quantile(tau)), _told_of(result)
    hidden, shown = held.hidden(q), np.clip(q, held.low, held.high)
    axes = prepare(ax, FLAT)
    if points:
        places = x.to_numpy() if steps is None else _beside(x.to_numpy(), steps)
        _draw_rows(axes, places, rows.y, rows.design.records)
    for end in filter(np.isfinite, (held.low, held.high)):
        axes.axhline(end, color=MIDDLE, linewidth=0.8, linestyle=":")
    if steps is None:
        _draw_fan(axes, np.asarray(grid), shown, hidden, tau)
    else:
        _draw_boxes(axes, shown, hidden, tau, steps)
    if row:
        heading(axes, f"at {_written(row)}", color=DARK)
    q = np.where(hidden, np.nan, q)
    table = pd.DataFrame(q, index=pd.Index(grid, name=variable), columns=[f"q[{t:g}]" for t in tau])
    return finish(axes, variable, f"{result.labels()[0]}, quantiles", table)


def _steps(rows: Any, variable: str) -> list[Any] | None:
    """The levels of a variable, both values of a 0-1 column; None for other numbers."""
    levels = rows.scenario().levels(variable)
    if levels is not None:
        return list(levels)
    return [0.0, 1.0] if np.isin(rows.column(variable, "the formula"), (0, 1)).all() else None


def _grid(x: pd.Series) -> list[float]:
    """Sixty values of a number, from its 1st to its 99th percentile."""
    low, high = np.quantile(x.to_numpy(dtype=np.float64), [0.01, 0.99])
    return list(np.linspace(low, high, 60))


def _draw_rows(ax: Any, x: AnyArray, y: Array, records: Any = None) -> None:
    """Rows as dots, as lines where they lie between two ends, as arrows where a side is open."""
    pick = np.linspace(0, len(x) - 1, min(len(x), MOST_DOTS)).round().astype(np.intp)
    if records is None:
        ax.plot(x[pick], y[pick], ".", color=MIDDLE, markersize=2, alpha=0.5, zorder=0)
        return
    records, x, y = records.rows(pick), x[pick], y[pick]
    between = records.interval
    ax.vlines(
        x[between],
        records.lower[between],
        records.upper[between],
        color=MIDDLE,
        linewidth=0.5,
        alpha=0.3,
        zorder=0,
    )
    for rows, mark in ((records.exact, "."), (records.open_above, "^"), (records.open_below, "v")):
        ax.plot(x[rows], y[rows], mark, color=MIDDLE, markersize=2, alpha=0.5, zorder=0)


def _told_of(result: Any) -> Held:
    """The outcomes between which the records behind a result tell its law."""
    held: Held = getattr(result, "held", ALL)
    return held


def _draw_fan(ax: Any, x: Array, q: Array, hidden: Mask, tau: Sequence[float]) -> None:
    """Quantiles (m, levels) along x (m,): pairs of levels as bands, the outer ones and the median named.

    Bands and lines run to the end of what records tell, lines no further.
    """
    last = len(tau) - 1
    for i in range(len(tau) // 2):
        shade(ax, x, q[:, i], q[:, last - i], 0.16)
    for i, t in enumerate(tau):
        middle, out = abs(t - 0.5) < 1e-12, hidden[:, i]
        alone = out & np.append(out[1:], True) & np.insert(out[:-1], 0, True)
        ax.plot(x, np.where(alone, np.nan, q[:, i]), color=ACCENT, linewidth=1.8 if middle else 0.7)
        if (middle or i in (0, last)) and not out[-1]:
            write(ax, f"{t:g}", (x[-1], q[-1, i]), (3, 0), va="center")


def _draw_boxes(ax: Any, q: Array, hidden: Mask, tau: Sequence[float], steps: Sequence[Any]) -> None:
    """Quantiles (m, levels) at m steps of a covariate: a box for every pair, the outer pair as whiskers."""
    from matplotlib.patches import Rectangle

    last, place = len(tau) - 1, np.arange(len(q))
    pairs = [(i, last - i) for i in range(len(tau) // 2)]
    for low, high in pairs[:1]:
        ax.vlines(place, q[:, low], q[:, high], color=ACCENT, linewidth=1.0)
    for low, high in pairs[1:]:
        for x in place:
            corner, height = (x - BOX / 2, q[x, low]), q[x, high] - q[x, low]
            ax.add_patch(Rectangle(corner, BOX, height, color=ACCENT, alpha=0.2, linewidth=0))
    for i, t in enumerate(tau):
        middle, told = abs(t - 0.5) < 1e-12, place[~hidden[:, i]]
        half = BOX / 2 if middle else BOX / 6
        if middle or i in (0, last):
            ends = told - half, told + half
            ax.hlines(q[told, i], *ends, color=ACCENT, linewidth=1.8 if middle else 1.0)
            if len(told) and told[-1] == place[-1]:
                write(ax, f"{t:g}", (told[-1] + BOX / 2, q[told[-1], i]), (3, 0), va="center")
    name_levels(ax, [f"{v:g}" if isinstance(v, float) else str(v) for v in steps])
    ax.set_xlim(-0.6, len(q) - 0.4)


def _beside(x: AnyArray, levels: Sequence[Any]) -> Array:
    """Places (n,) of rows at their levels, spread inside the boxes evenly and the same every time."""
    place = np.full(len(x), np.nan)
    for i, value in enumerate(levels):
        rows = np.flatnonzero(x == value)
        place[rows] = i + 0.8 * BOX * ((0.5 + 0.618034 * np.arange(len(rows))) % 1 - 0.5)
    return place


def _written(values: Mapping[str, Any], numbers: tuple[type, ...] = (float,)) -> str:
    """Values by name as text, such as ``age = 40, job = clerk``; those that are ``numbers`` are rounded."""
    return ", ".join(f"{k} = {v:g}" if isinstance(v, numbers) else f"{k} = {v}" for k, v in values.items())


def quantile_effects(
    result: Any,
    variable: str,
    low: Any = None,
    high: Any = None,
    *,
    by: Any = None,
    levels: Sequence[float] | None = None,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the average effect of a variable along the quantiles of the outcome, with pointwise intervals.

    Parameters
    ----------
    result : a density's result with its rows.
    variable : str, a column of the right side.
    low, high : two values or levels of it to compare, or None for the derivative in a numeric variable.
    by : a column of the table, whose groups are drawn apart; None for all rows.
    levels : quantile levels, None for .05, .1, …, .95.
    level : float, confidence level.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by level (with ``by`` by group and level): estimate, std_error, conf_low,
        conf_high; its attrs hold the effect on the mean.

    Raises
    ------
    OptionError, MissingColumnError, LevelError, NeedsData

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel())
    >>> ax = quantile_effects(res, "income", 500.0, 1000.0, levels=[0.25, 0.5, 0.75])
    >>> ax.data["estimate"].round(1).tolist()
    [0.6, 0.6, 0.6]
    >>> plt.close(ax.figure)
    """
    if (low is None) != (high is None):
        raise OptionError("Give both low and high, or neither for the derivative.")
    tau = np.linspace(0.05, 0.95, 19) if levels is None else np.sort(as_floats(levels))
    names = [*(f"q[{t:.6g}]" for t in tau), "mean"]
    given = {} if by is None else {"by": by}
    e = (
        result.derivative(variable, names, **given)
        if low is None
        else result.effect(variable, low, high, names, **given)
    )
    table = _by_level(e, tau, check_level(level))
    axes = prepare(ax, FLAT)
    axes.axhline(0, color=MIDDLE, linewidth=0.8)
    if by is None:
        _draw_levels(axes, table, ACCENT)
        mean = table.attrs["mean"]
        axes.axhline(mean, color=DARK, linewidth=0.9, linestyle=(0, (4, 3)))
        write(axes, "mean", (1, mean), (2, 0), xycoords=FRACTION_BY_DATA, va="center")
    else:
        for (group, part), color in zip(table.groupby(level="group", sort=False), cycle(OKABE_ITO)):
            _draw_levels(axes, part.droplevel("group"), color, label=str(group))
        legend_above(axes)
    axes.margins(x=0)
    what = f"effect of {variable}" if low is None else f"effect of {variable}: {high} - {low}"
    return finish(axes, f"quantile level of {result.labels()[0]}", what, table)


def _by_level(e: Any, tau: Array, level: float) -> pd.DataFrame:
    """Effects on quantiles by level, those of groups one below the other; the last of each is of the mean."""
    limits, m = e.interval(level), len(tau)
    groups = len(e.names) // (m + 1)
    words = [name.partition(" | ")[2] for name in e.names[:groups]]
    columns = {
        "estimate": e.values,
        "std_error": e.std_error,
        "conf_low": limits[:, 0],
        "conf_high": limits[:, 1],
    }
    by_group = {k: v.reshape(m + 1, groups).T for k, v in columns.items()}
    index = pd.MultiIndex.from_product([words, tau], names=["group", "level"])
    table = pd.DataFrame({k: v[:, :m].ravel() for k, v in by_group.items()}, index=index)
    mean, error = by_group["estimate"][:, m], by_group["std_error"][:, m]
    if groups == 1:
        table = table.droplevel("group")
        table.attrs = {"mean": float(mean[0]), "mean_std_error": float(error[0])}
    else:
        table.attrs = {
            "mean": dict(zip(words, mean.tolist(), strict=True)),
            "mean_std_error": dict(zip(words, error.tolist(), strict=True)),
        }
    return table


def _draw_levels(axes: Any, table: pd.DataFrame, color: str, **options: Any) -> None:
    """A line along levels with its limits."""
    shade(axes, table.index, table.conf_low, table.conf_high, 0.22, color=color)
    axes.plot(table.index, table.estimate, color=color, linewidth=CURVE, **options)


def pit_histogram(pit: Any, *, bins: int = 20, ax: Axes | None = None) -> Axes:
    """Draw probability integral transforms, with the 95 % range of each bar if the laws are right.

    Parameters
    ----------
    pit : what ``res.diagnose()`` returns, or numbers in [0, 1], such as F(y) of held-out rows.
    bins : int.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has left, right and count of every bar.

    Raises
    ------
    OptionError
        If a value lies outside [0, 1].

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = pit_histogram(np.linspace(0.01, 0.99, 99), bins=3)
    >>> ax.data["count"].tolist()
    [33, 33, 33]
    >>> plt.close(ax.figure)
    """
    values = as_floats(getattr(pit, "pit", pit)).ravel()
    values = values[~np.isnan(values)]
    if not len(values) or values.min() < 0 or values.max() > 1:
        raise OptionError("pit holds values between 0 and 1, at least one of them.")
    counts, edges = np.histogram(values, bins=int(bins), range=(0, 1))
    axes = prepare(ax, FLAT)
    expected = len(values) / bins
    half = 1.96 * np.sqrt(expected * (1 - 1 / bins))
    axes.axhspan(expected - half, expected + half, color=ACCENT, alpha=0.18, linewidth=0)
    axes.stairs(counts, edges, color=DARK, fill=False)
    axes.axhline(expected, color=ACCENT, linewidth=0.9)
    axes.set_ylim(0, None)
    axes.margins(x=0)
    table = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "count": counts})
    return finish(axes, "F(outcome | covariates)", "rows", table)
