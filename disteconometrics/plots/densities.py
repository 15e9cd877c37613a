"""Pictures of fitted densities: over the histogram, given covariates, as a fan of quantiles, effects along quantiles, PIT.

Each function returns matplotlib Axes that carry the numbers behind the picture as a DataFrame, ``ax.data``,
and draws on ``ax=`` or on one new figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.data.table import list_names
from disteconometrics.errors import MissingColumnError, NeedsData, OptionError
from disteconometrics.estimators.flow.flow_density import FlowResults
from disteconometrics.inference.estimates import check_level
from disteconometrics.plots.estimates import ACCENT, DARK, LIGHT, MIDDLE, MOST_DOTS, WIDTH, _axes, _small

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["conditional_densities", "density", "pit_histogram", "quantile_effects", "quantile_fan"]

Array = NDArray[np.float64]

POINTS = 200  # of a density
FAN = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "0.25")


def density(result: FlowResults, *, ax: Axes | None = None, bins: int = 50, level: float = 0.95) -> Axes:
    """Draw the fitted density over the histogram of the outcome, with a uniform band; with covariates, of the averaged law.

    Parameters
    ----------
    result : FlowResults with its rows.
    ax : matplotlib Axes or None for a new figure.
    bins : int, bars of the histogram.
    level : float, probability that the band holds the whole curve.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has y, estimate, conf_low, conf_high (pointwise), band_low, band_high.

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
    rows = _rows(result)
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise OptionError(f"bins={bins!r}: give a whole number of at least 1.")
    y, weights = rows.sample.y, rows.sample.weights
    low, high = (
        result.distribution().average().quantile([0.001, 0.999])
        if result.flow.structure.covariates
        else _ends(result)
    )
    low, high = (
        max(low, float(y.min()) - 0.05 * (high - low)),
        min(high, float(y.max()) + 0.05 * (high - low)),
    )
    table = result.band("pdf", grid=np.linspace(low, high, POINTS), level=check_level(level))
    axes: Any = _axes(ax, 0.72 * WIDTH)
    inside = (y >= low) & (y <= high)
    share = float(np.average(inside, weights=weights))
    heights, edges = np.histogram(
        y[inside], bins=int(bins), weights=None if weights is None else weights[inside], density=True
    )
    axes.stairs(heights * share, edges, fill=True, color=LIGHT)
    axes.fill_between(
        table.y,
        table.band_low,
        np.minimum(table.band_high, 3 * table.estimate.max()),
        color=ACCENT,
        alpha=0.22,
        linewidth=0,
    )
    axes.plot(table.y, table.estimate, color=ACCENT, linewidth=1.7)
    axes.set_ylim(0, 1.08 * max(float((heights * share).max()), float(table.band_high.quantile(0.98))))
    axes.margins(x=0)
    axes.set_xlabel(result.facts.outcome)
    axes.set_ylabel("density")
    axes.data = table
    return cast("Axes", axes)


def _ends(result: FlowResults) -> Array:
    return np.asarray(result.distribution().quantile([0.001, 0.999]))


def _rows(result: FlowResults) -> Any:
    if result.rows is None:
        raise NeedsData(
            "This result was loaded from a file, which holds no rows: use attach(data) with the fit's table."
        )
    return result.rows


def conditional_densities(
    result: FlowResults, new: Any, *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the density given each row of a table, each with its label beside its peak.

    Parameters
    ----------
    result : FlowResults.
    new : table of at most seven rows.
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
    frame = pd.DataFrame({name: np.asarray(new[name]) for name in result.spec.variables if name in new})
    law = result.distribution(new)
    n = law.batch_shape[0] if law.batch_shape else 1
    if n > len(OKABE_ITO) or n < 1:
        raise OptionError(
            f"new has {n} rows; give from 1 to {len(OKABE_ITO)}, or the picture cannot be read."
        )
    names = list(labels) if labels is not None else _row_labels(frame, n)
    if len(names) != n:
        raise OptionError(f"labels has {len(names)} names for {n} rows.")
    ends = np.asarray(law.quantile([0.002, 0.998])).reshape(n, 2)
    y = np.linspace(ends[:, 0].min(), ends[:, 1].max(), POINTS)
    f = np.asarray(law.pdf(y[None])).reshape(n, POINTS)
    axes: Any = _axes(ax, 0.72 * WIDTH)
    for i in range(n):
        axes.plot(y, f[i], color=OKABE_ITO[i], linewidth=1.7, label=names[i])
    if max(map(len, names)) * n <= 40 and _apart(f, y):
        for i, top in enumerate(np.argmax(f, axis=1)):
            place = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": _small(axes)}
            axes.annotate(names[i], (y[top], f[i, top]), (0, 3), color=OKABE_ITO[i], **place)
    else:  # beside the peaks they would cover one another
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=_small(axes), frameon=False)
    axes.set_ylim(0, 1.15 * f.max())
    axes.set_xlabel(result.facts.outcome)
    axes.set_ylabel("density")
    axes.data = pd.DataFrame({"y": y, **dict(zip(names, f, strict=True))})
    return cast("Axes", axes)


def _apart(f: Array, y: Array) -> bool:
    """Whether the peaks are far enough from one another for labels above them."""
    peaks = np.sort(y[np.argmax(f, axis=1)])
    return bool(np.all(np.diff(peaks) > 0.22 * (y[-1] - y[0])))


def _row_labels(frame: pd.DataFrame, n: int) -> list[str]:
    """The columns in which rows differ, written out."""
    moving = [c for c in frame if frame[c].nunique() > 1] or list(frame)
    words = [", ".join(f"{c} = {v:g}" if isinstance(v, (int, float)) else f"{c} = {v}" for c, v in row.items())
             for row in frame[moving].astype(object).to_dict("records")]  # fmt: skip
    return words if len(set(words)) == n else [f"row {i}" for i in range(n)]


def typical(result: FlowResults, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """One value per variable: the median of numbers, the most frequent level, or what is ``fixed``."""
    unknown = [name for name in fixed if name not in result.spec.variables]
    if unknown:
        raise MissingColumnError(
            f"{list_names(unknown)} is not a variable of {result.spec.formula!r}; they are "
            f"{list_names(result.spec.variables)}."
        )
    out = {}
    for name in result.spec.variables:
        column = _rows(result).design.column(name, "the formula")
        number = pd.api.types.is_numeric_dtype(column) and column.nunique() > 2
        out[name] = fixed.get(name, float(column.median()) if number else column.mode().iloc[0])
    return out


def quantile_fan(
    result: FlowResults,
    variable: str,
    *,
    at: Mapping[str, Any] | None = None,
    levels: Sequence[float] = FAN,
    points: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw conditional quantiles along a numeric variable, the others at typical values, over the rows of the fit.

    Parameters
    ----------
    result : FlowResults with its rows.
    variable : str, a numeric column of the right side.
    at : mapping or None, values of the other variables; those not named are at their median or most frequent
        level.
    levels : quantile levels, symmetric about .5 so that they pair up into bands.
    points : bool, whether to draw the rows (at most 3,000, evenly spaced).
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by value of the variable with a column per level.

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
    row = typical(result, {**(at or {})})
    if variable not in row:
        raise MissingColumnError(
            f"{variable!r} is not a variable of {result.spec.formula!r}; they are "
            f"{list_names(result.spec.variables)}."
        )
    rows = _rows(result)
    x = rows.design.column(variable, "the formula")
    if not pd.api.types.is_numeric_dtype(x):
        raise OptionError(f"{variable!r} has levels, not numbers: use conditional_densities.")
    low, high = np.quantile(x.to_numpy(dtype=np.float64), [0.01, 0.99])
    grid = np.linspace(low, high, 60)
    tau = sorted(float(t) for t in levels)
    new = {name: grid if name == variable else [value] * len(grid) for name, value in row.items()}
    q = np.asarray(result.distribution(new).quantile(tau))
    axes: Any = _axes(ax, 0.72 * WIDTH)
    if points:
        pick = np.linspace(0, len(x) - 1, min(len(x), MOST_DOTS)).round().astype(np.intp)
        axes.plot(
            x.to_numpy()[pick], rows.sample.y[pick], ".", color=MIDDLE, markersize=2, alpha=0.5, zorder=0
        )
    for i in range(len(tau) // 2):
        axes.fill_between(grid, q[:, i], q[:, -1 - i], color=ACCENT, alpha=0.16, linewidth=0)
    for i, t in enumerate(tau):
        middle = abs(t - 0.5) < 1e-12
        axes.plot(grid, q[:, i], color=ACCENT, linewidth=1.8 if middle else 0.7)
        if middle or i in (0, len(tau) - 1):
            beside = {"textcoords": "offset points", "va": "center", "color": DARK, "fontsize": _small(axes)}
            axes.annotate(f"{t:g}", (grid[-1], q[-1, i]), (3, 0), **beside)
    axes.set_xlabel(variable)
    axes.set_ylabel(f"{result.facts.outcome}, quantiles")
    others = ", ".join(
        f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in row.items() if k != variable
    )
    if others:
        axes.set_title(f"at {others}", fontsize=_small(axes), color=DARK, loc="left")
    axes.data = pd.DataFrame(q, index=pd.Index(grid, name=variable), columns=[f"q[{t:g}]" for t in tau])
    return cast("Axes", axes)


def quantile_effects(
    result: FlowResults,
    variable: str,
    low: Any = None,
    high: Any = None,
    *,
    levels: Sequence[float] | None = None,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the average effect of a variable along the quantiles of the outcome, with pointwise intervals.

    Parameters
    ----------
    result : FlowResults with its rows.
    variable : str, a column of the right side.
    low, high : two values or levels of it to compare, or None for the derivative in a numeric variable.
    levels : quantile levels, None for .05, .1, …, .95.
    level : float, confidence level.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by level: estimate, std_error, conf_low, conf_high; its attrs hold the
        effect on the mean.

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
    tau = np.linspace(0.05, 0.95, 19) if levels is None else np.sort(np.asarray(levels, dtype=np.float64))
    names = [*(f"q[{t:.6g}]" for t in tau), "mean"]
    e = result.derivative(variable, names) if low is None else result.effect(variable, low, high, names)
    limits = e.interval(check_level(level))
    table = pd.DataFrame(
        {
            "estimate": e.values[:-1],
            "std_error": e.std_error[:-1],
            "conf_low": limits[:-1, 0],
            "conf_high": limits[:-1, 1],
        },
        index=pd.Index(tau, name="level"),
    )
    table.attrs = {"mean": float(e.values[-1]), "mean_std_error": float(e.std_error[-1])}
    axes: Any = _axes(ax, 0.72 * WIDTH)
    axes.axhline(0, color=MIDDLE, linewidth=0.8)
    axes.axhline(e.values[-1], color=DARK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.fill_between(tau, table.conf_low, table.conf_high, color=ACCENT, alpha=0.22, linewidth=0)
    axes.plot(tau, table.estimate, color=ACCENT, linewidth=1.7)
    beside = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": _small(axes),
    }
    axes.annotate("mean", (1, e.values[-1]), (2, 0), color=DARK, **beside)
    axes.margins(x=0)
    axes.set_xlabel(f"quantile level of {result.facts.outcome}")
    axes.set_ylabel(f"effect of {variable}" if low is None else f"effect of {variable}: {high} - {low}")
    axes.data = table
    return cast("Axes", axes)


def pit_histogram(pit: Any, *, bins: int = 20, ax: Axes | None = None) -> Axes:
    """Draw probability integral transforms: flat if the laws are right, with the 95 % range of each bar of a flat one.

    Parameters
    ----------
    pit : numbers in [0, 1], such as ``res.diagnose().pit`` or F(y) of held-out rows.
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
    values = np.asarray(pit, dtype=np.float64).ravel()
    values = values[~np.isnan(values)]
    if not len(values) or values.min() < 0 or values.max() > 1:
        raise OptionError("pit holds values between 0 and 1, at least one of them.")
    counts, edges = np.histogram(values, bins=int(bins), range=(0, 1))
    axes: Any = _axes(ax, 0.72 * WIDTH)
    expected = len(values) / bins
    half = 1.96 * np.sqrt(expected * (1 - 1 / bins))
    axes.axhspan(expected - half, expected + half, color=ACCENT, alpha=0.18, linewidth=0)
    axes.stairs(counts, edges, color=DARK, fill=False)
    axes.axhline(expected, color=ACCENT, linewidth=0.9)
    axes.set_ylim(0, None)
    axes.margins(x=0)
    axes.set_xlabel("F(outcome | covariates)")
    axes.set_ylabel("rows")
    axes.data = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "count": counts})
    return cast("Axes", axes)
