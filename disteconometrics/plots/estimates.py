"""Pictures of fitted coefficients and of what they mean for the outcome.

Each function returns matplotlib Axes that carry the numbers behind the picture as a DataFrame, ``ax.data``.
It draws on ``ax=`` or on one new figure, changes no setting of matplotlib and never shows the figure:
`savefig` or close it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Mask
from disteconometrics.data.table import Column, list_names
from disteconometrics.errors import OptionError
from disteconometrics.inference.effects import ProbabilityCurve
from disteconometrics.inference.estimates import Estimates, check_level
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.plots.style import (
    ACCENT,
    CURVE,
    FLAT,
    FRACTION_BY_DATA,
    LIGHT,
    MIDDLE,
    OKABE_ITO,
    WIDTH,
    draw_intervals,
    finish,
    legend_above,
    name_levels,
    prepare,
    shade,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["coefficient_process", "coefficients", "decomposition", "effect", "lorenz_curves", "shares"]

BINS = 30
HIDDEN = 0.03  # share of the picture that a dot takes, and intervals behind it
HISTOGRAM_HEIGHT = 0.09  # height of the histogram at the foot, as a share of the picture


class HasEstimates(Protocol):
    """Any result with a table of estimates."""

    @property
    def estimates(self) -> Estimates: ...


class HasProbabilityCurve(Protocol):
    """Any result that averages predicted probabilities along a variable."""

    def probability_curve(
        self, variable: str, *, at: Any = None, level: float = 0.95, data: Any = None, rows: int = 10_000
    ) -> ProbabilityCurve: ...
    def probability_curves(self, variable: str, by: Any, **options: Any) -> dict[str, ProbabilityCurve]: ...


class HasShares(Protocol):
    """Any result that averages probabilities of categories along a variable."""

    @property
    def spec(self) -> Any: ...
    def probability_shares(self, variable: str, *, at: Any = None, rows: int = 10_000) -> pd.DataFrame: ...


# ---- coefficients ------------------------------------------------------------------------------------------


def coefficients(
    result: HasEstimates | Estimates,
    *,
    ax: Axes | None = None,
    level: float | None = None,
    drop: str | Collection[str] | None = None,
    names: Mapping[str, str] | None = None,
    odds_ratios: bool = False,
) -> Axes:
    """Draw estimates as dots with their confidence intervals, from top to bottom in the order of the table.

    An infinite coefficient (separation) is an arrow towards its side, one without a value is said to have
    none.

    Parameters
    ----------
    result : a result with ``.estimates``, or Estimates such as ``res.nlcom(...)``.
    ax : matplotlib Axes or None for a new figure.
    level : float in (0, 1), confidence level; None is that of the estimates, 0.95 unless they were asked for
        at another.
    drop : one or several names to leave out; None is what the null model has too (intercepts, thresholds),
        and of measures of inequality those in units of the outcome and ratios of quantiles, beside shares and
        indices.
    names : dict from names to the labels to print, or None.
    odds_ratios : bool, draw exp(β) on a logarithmic axis with a line at one.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by name: estimate, std_error, conf_low, conf_high (of the log-odds, or of
        exp(β)).

    Raises
    ------
    OptionError
        If a name in ``drop`` or ``names`` is not among the estimates, or nothing is left to draw.

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = coefficients(de.Logit("GRADE ~ GPA + TUCE + PSI").fit(de.datasets.spector()))
    >>> ax.data.round(2)
          estimate  std_error  conf_low  conf_high
    GPA       2.83       1.26      0.35       5.30
    TUCE      0.10       0.14     -0.18       0.37
    PSI       2.38       1.06      0.29       4.47
    >>> plt.close(ax.figure)
    """
    estimates = result if isinstance(result, Estimates) else result.estimates
    scale, level = _scale(result), estimates.level if level is None else check_level(level)
    other_scales = tuple(getattr(result, "other_scales", ())) if drop is None else ()
    null = ("Intercept", *_of_null_model(result), *other_scales) if drop is None else drop
    left_out = (null,) if isinstance(null, str) else tuple(null)
    table = _chosen(estimates, level, left_out, names or {})
    if hasattr(result, "conf_int"):  # limits of its own, as those of a bootstrap
        table[["conf_low", "conf_high"]] = result.conf_int(level=level).loc[table.index].to_numpy()
    if odds_ratios:
        if scale != "log-odds":
            raise OptionError("odds_ratios=True needs the result of a logit.")
        table = _exponential(table)
    axes = prepare(ax, 0.9 + 0.3 * len(table))
    _draw_whiskers(axes, table, 1.0 if odds_ratios else 0.0)
    axes.set_yticks(range(len(table)), [(names or {}).get(name, name) for name in table.index])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    table.attrs["level"] = level
    finish(axes, "", "", table)
    plain = "Estimates on one scale" if other_scales else "Estimate"
    what = plain if scale is None else _what(scale, odds_ratios, result)
    axes.set_xlabel(f"{what} ({100 * level:g}% interval)", loc="right")  # runs to the left below long names
    return cast("Axes", axes)


def coefficient_process(
    result: Any, term: str | None = None, *, level: float = 0.95, beside: Any = None, ax: Axes | None = None
) -> Axes:
    """Draw a coefficient along the thresholds of its outcome with limits and a uniform band.

    Parameters
    ----------
    result : a fit with ``process(term)``, or the process itself.
    term : str or None, a column of the design; None is the first that is not the constant.
    level : float, confidence level; of a process that is given, its own.
    beside : Series by threshold or None, another model's number drawn beside, with its name as the label.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is the table of the process, the threshold as its first column, ``beside`` as its last.

    Raises
    ------
    NeedsData, OptionError, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.DistributionRegression("foodexp ~ income", thresholds=9).fit(de.datasets.engel(), seed=1)
    >>> ax = coefficient_process(res)
    >>> ax.get_xlabel(), ax.data.columns.tolist()[-2:]
    ('foodexp', ['band_low', 'band_high'])
    >>> plt.close(ax.figure)
    """
    found = result
    if hasattr(result, "process"):
        names = [n for n in result.spec.names if n != "Intercept"] or list(result.spec.names)
        found = result.process(names[0] if term is None else term, level=level)
    data = found.table.reset_index()
    x = data.iloc[:, 0]
    axes = prepare(ax, FLAT)
    axes.axhline(0, color=MIDDLE, linewidth=0.7)
    shade(axes, x, data["band_low"], data["band_high"], 0.15)
    shade(axes, x, data["conf_low"], data["conf_high"], 0.25)
    line = {"linewidth": 1.4, "marker": "." if len(x) < 12 else None}
    axes.plot(x, data["estimate"], color=ACCENT, label="distribution regression", **line)
    if beside is not None:
        data = data.assign(beside=beside.to_numpy())
        axes.plot(x, data["beside"], color=MIDDLE, linestyle="--", label=str(beside.name), **line)
        axes.legend(frameon=False)
    return finish(axes, found.outcome, f"coefficient of {found.term}", data)


def decomposition(result: Any, *, bands: bool = True, ax: Axes | None = None) -> Axes:
    """Draw a difference between two groups along the quantiles, split into composition and structure.

    Parameters
    ----------
    result : a decomposition, or anything with its ``quantiles()``, ``spec`` and ``facts``.
    bands : bool, whether uniform bands are drawn, or limits of single levels.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is the table of total, composition and structure by level.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> d = de.datasets.engel()
    >>> d["half"] = d.index % 2
    >>> ax = decomposition(de.decompose(de.NormalRegression("foodexp ~ income"), d, by="half"))
    >>> ax.get_xlabel(), len(ax.data)
    ('quantile level', 51)
    >>> plt.close(ax.figure)
    """
    table = result.quantiles().loc[["total", "composition", "structure"]].reset_index()
    axes = prepare(ax, FLAT)
    axes.axhline(0, color=MIDDLE, linewidth=0.7)
    low, high = ("band_low", "band_high") if bands else ("conf_low", "conf_high")
    styles = {"total": (MIDDLE, "-"), "composition": (OKABE_ITO[1], "--"), "structure": (ACCENT, "-")}
    for what, (color, line) in styles.items():
        part = table[table["what"] == what]
        if what != "total":
            shade(axes, part["level"], part[low], part[high], 0.15, color=color)
        axes.plot(part["level"], part["estimate"], line, color=color, linewidth=1.4, label=what)
    legend_above(axes)
    f = result.facts
    words = f"{result.spec.outcome.name}: {f.group} {f.labels[1]} less {f.labels[0]}"
    return finish(axes, "quantile level", words, table)


def lorenz_curves(result: Any, *, level: float = 0.95, band: bool = True, ax: Axes | None = None) -> Axes:
    """Draw Lorenz curves of groups with the line of equality.

    Parameters
    ----------
    result : a fit with ``lorenz(level=)``, or the table that it gives.
    level : float, confidence level; of a table that is given, its own.
    band : bool, whether to shade the band for all levels at once.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is the table of the curves.

    Raises
    ------
    NeedsData, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = lorenz_curves(de.Inequality("foodexp ~ 1").fit(de.datasets.engel()))
    >>> ax.get_ylabel(), len(ax.data)
    ('share of the total', 99)
    >>> plt.close(ax.figure)
    """
    data = result.lorenz(level=level) if hasattr(result, "lorenz") else result
    axes = prepare(ax, WIDTH)
    axes.plot([0, 1], [0, 1], color=MIDDLE, linewidth=0.8, zorder=0)
    for (group, part), style in zip(data.groupby("group", sort=False), cycle(OKABE_ITO), strict=False):
        x = np.concatenate([[0.0], part["p"], [1.0]])
        if band:
            shade(axes, part["p"], part["band_low"], part["band_high"], 0.2, color=style)
        y = np.concatenate([[0.0], part["estimate"], [1.0]])
        axes.plot(x, y, color=style, linewidth=1.4, label=str(group))
    if data["group"].nunique() > 1:
        legend_above(axes)
    weighted = getattr(getattr(result, "model", None), "weight_type", None) is not None
    whose = "population" if weighted else "rows"
    return finish(axes, f"share of the {whose}, poorest first", "share of the total", data)


def _of_null_model(result: Any) -> list[str]:
    """Names of estimates that a model without regressors has too: constants of categories, thresholds."""
    tested = getattr(result, "tested", ())
    return [n for i, n in enumerate(result.estimates.names) if i not in tested] if len(tested) else []


def _what(scale: str, odds_ratios: bool, result: Any) -> str:
    """What the coefficients of a binary outcome are, such as ``Log-odds of inlf = 1``."""
    what, outcome = "Odds ratio" if odds_ratios else scale.capitalize(), result.spec.outcome
    return f"{what} of {outcome.name} = {outcome.success}"


def _scale(result: Any) -> str | None:
    """What coefficients of a binary outcome are changes of, such as log-odds; None for other estimates."""
    kernel = getattr(result, "kernel", None)
    return kernel.scale if isinstance(kernel, Kernel) else None


def _chosen(
    estimates: Estimates, level: float, drop: tuple[str, ...], names: Mapping[str, str]
) -> pd.DataFrame:
    unknown = [n for n in (*drop, *names) if n not in estimates.names and n != "Intercept"]
    if unknown:
        raise OptionError(
            f"{list_names(unknown)}: not among the estimates, which are {list_names(estimates.names)}."
        )
    table = estimates.table(level)[["estimate", "std_error", "conf_low", "conf_high"]]
    table = table[~table.index.isin(drop)]
    if table.empty:
        raise OptionError("Nothing is left to draw; drop=() keeps every estimate.")
    return table


def _exponential(table: pd.DataFrame) -> pd.DataFrame:
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.exp(table.drop(columns="std_error"))
        out.insert(1, "std_error", out["estimate"] * table["std_error"])
    return out


def _draw_whiskers(ax: Any, table: pd.DataFrame, null: float) -> None:
    """Dots and lines of the finite rows, words for the others; the axis is logarithmic if the null is one."""
    values, low, high = (table[c].to_numpy() for c in ("estimate", "conf_low", "conf_high"))
    place = np.arange(len(table))
    finite = np.isfinite(values) & ((values > 0) | (null == 0))
    if null:
        ax.set_xscale("log")
    ax.axvline(null, color=MIDDLE, linewidth=0.8, zorder=0)
    ax.hlines(place[finite], low[finite], high[finite], color=ACCENT, linewidth=1.4, alpha=0.55)
    ax.plot(values[finite], place[finite], "o", color=ACCENT, markersize=5)
    if not null:
        ax.locator_params(axis="x", nbins=6)
        _write_small(ax, values, low, high, finite)
    if not finite.any():
        ax.set_xlim((0.1, 10) if null else (-1, 1))
        ax.set_xticks([null])
    elif null:
        _ratio_ticks(ax)
    for i in np.flatnonzero(~finite):
        _say_infinite(ax, int(i), values[i], null)


def _write_small(ax: Any, values: Array, low: Array, high: Array, finite: Mask) -> None:
    """Beside dots whose interval they hide, estimate and limits: effects of variables in small units."""
    left, right = ax.get_xlim()
    for i in np.flatnonzero(finite & (high - low < HIDDEN * (right - left))):
        words = f"{values[i]:.2g} ({low[i]:.2g}, {high[i]:.2g})"
        near, side = (-7, "right") if values[i] > 0.3 * left + 0.7 * right else (7, "left")
        write(ax, words, (values[i], i), (near, 0), ha=side, va="center")


def _ratio_ticks(ax: Any) -> None:
    """Ticks of a logarithmic axis in plain numbers: 0.5 1 2, or evenly spaced when the range is short."""
    from matplotlib.ticker import MaxNLocator

    low, high = ax.get_xlim()
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.outer(10.0**decades, (1, 2, 5) if len(decades) <= 4 else (1,)).ravel()
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    if len(ticks) < 3:
        ticks = np.array([t for t in MaxNLocator(4).tick_values(low, high) if low <= t <= high])
    ticks = ticks[:: -(-len(ticks) // 8)]
    ax.set_xticks(ticks, [f"{t:.4g}" for t in ticks])
    ax.set_xticks([], minor=True)


def _say_infinite(ax: Any, row: int, value: float, null: float) -> None:
    """An arrow to the side on which the estimate runs away, with what it is beside it."""
    if np.isnan(value):
        write(
            ax, "no value: see the summary", (0.5, row), xycoords=FRACTION_BY_DATA, ha="center", va="center"
        )
        return
    up = value > null
    words = "∞" if up else ("0" if null else "−∞")
    tip, tail, side = (1.0, 0.85, "right") if up else (0.0, 0.15, "left")
    arrow = {"arrowstyle": "-|>", "color": ACCENT, "linewidth": 1.4}
    ax.annotate("", (tip, row), (tail, row), xycoords=FRACTION_BY_DATA, arrowprops=arrow)
    write(ax, f"{words} (separated)", (tail, row), xycoords=FRACTION_BY_DATA, ha=side, va="center")


# ---- effects -----------------------------------------------------------------------------------------------


def effect(
    result: HasProbabilityCurve,
    variable: str,
    *,
    by: Any = None,
    ax: Axes | None = None,
    at: Any = None,
    level: float = 0.95,
    data: Any = None,
    rows: int = 10_000,
) -> Axes:
    """Draw the average predicted probability along a variable, the others as observed, with its band.

    Every row is given the same value of the variable, the formula is evaluated again (so squares,
    interactions, splines and factors move along), and the probabilities are averaged, with the weights of the
    model.  The standard error is the delta method's for that average, with the covariance of the result and
    the covariates taken as given; the limits are symmetric for the log-odds of the average, so they stay in
    [0, 1], and hold point by point.  A number gives a curve over a grid; text, categories, true/false, 0-1
    and ``C(...)`` give one point per level.  Grey bars at the foot show where the rows are.

    Parameters
    ----------
    result : the result of a binary outcome, or anything with ``probability_curve``.
    variable : str, a column on the right side of the formula.
    by : a column of the table of the fit, or a list, whose groups are averaged and drawn apart; None for all
        rows.
    ax : matplotlib Axes or None for a new figure.
    at : values (m,) of the variable; None takes 60 from the 1st to the 99th percentile of the rows, or every
        level.
    level : float, confidence level in (0, 1).
    data : table to average over, None for the rows of the fit.  Rows with a missing value in a column of the
        model are left out.
    rows : int
        At most so many rows are averaged: beyond, an evenly spaced subset, and ``ax.data.attrs`` says how
        many of how many.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by value of the variable (with ``by`` by group and value): estimate,
        std_error, conf_low, conf_high, in probabilities. After separation NaN stands for what does not exist;
        where every row is at its limit 0 or 1 there is no interval.

    Raises
    ------
    MissingColumnError
        If the variable is not in the formula, or a column is not in ``data``.
    NeedsData
        If the result was loaded from a file and ``data`` is not given.
    OptionError, LevelError, DataError
        If ``at`` holds a value that the formula cannot be evaluated at.

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = effect(de.Logit("GRADE ~ GPA + TUCE + PSI").fit(de.datasets.spector()), "PSI")
    >>> ax.data.round(3)  # doctest: +NORMALIZE_WHITESPACE
         estimate  std_error  conf_low  conf_high
    PSI
    0       0.180      0.083     0.068      0.397
    1       0.537      0.115     0.319      0.742
    >>> plt.close(ax.figure)
    """
    if by is not None:
        return _effect_by(result, variable, by, ax, data, {"at": at, "level": level, "rows": rows})
    curve = result.probability_curve(variable, at=at, level=level, data=data, rows=rows)
    table = curve.table
    table.attrs["level"] = level
    axes = prepare(ax, FLAT)
    alone = not axes.has_data()
    if curve.discrete:
        _draw_levels(axes, table)
    else:
        _draw_curve(axes, table, explicit=at is not None)
    _set_limits(axes, table, alone)
    if alone:
        _draw_strip(axes, curve)
    if "note" in table.attrs:
        write(axes, table.attrs["note"], (0, 1.02), xycoords="axes fraction", va="bottom")
    return finish(axes, variable, f"P({curve.event})", table)


def shares(
    result: HasShares,
    variable: str | None = None,
    *,
    ax: Axes | None = None,
    at: Any = None,
    rows: int = 10_000,
) -> Axes:
    """Draw average probabilities of categories along a variable, one upon the other, the rest as observed.

    Parameters
    ----------
    result : the result of an outcome in categories, or anything with ``probability_shares``.
    variable : str, a column on the right side of the formula; None takes the first.
    ax : matplotlib Axes or None for a new figure.
    at : values (m,) of the variable; None takes 60 from the 1st to the 99th percentile of the rows, or every
        level.
    rows : int, at most so many rows, evenly spaced, are averaged.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame of probabilities by value of the variable and category.

    Raises
    ------
    MissingColumnError, NeedsData, OptionError, LevelError, DataError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = shares(de.MultinomialLogit("GRADE ~ GPA + PSI").fit(de.datasets.spector()), "PSI")
    >>> ax.data.round(2).to_numpy().tolist()
    [[0.82, 0.18], [0.45, 0.55]]
    >>> plt.close(ax.figure)
    """
    name = result.spec.variables[0] if variable is None else variable
    table = result.probability_shares(name, at=at, rows=rows)
    axes = prepare(ax, FLAT)
    grey = np.linspace(0.9, 0.35, table.shape[1])
    tops = table.to_numpy().cumsum(axis=1)
    bottoms = tops - table.to_numpy()
    few = len(table) <= 12
    x = np.arange(len(table)) if few else table.index.to_numpy(dtype=np.float64)
    for j, category in enumerate(table.columns):
        color, label = str(grey[j]), str(category)
        if few:
            axes.bar(x, table[category], 0.8, bottoms[:, j], color=color, label=label)
        else:
            axes.fill_between(x, bottoms[:, j], tops[:, j], color=color, linewidth=0, label=label)
    if few:
        name_levels(axes, [_label(v) for v in table.index])
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, reverse=True)
    return finish(axes, name, f"P({result.spec.outcome.name})", table)


def _effect_by(
    result: HasProbabilityCurve, variable: str, by: Any, ax: Axes | None, data: Any, options: dict[str, Any]
) -> Axes:
    """Probabilities of groups along a variable, a colour each."""
    if data is not None:
        raise OptionError("by= is for the rows of the fit; draw other rows group by group, on the same ax=.")
    curves = result.probability_curves(variable, by, **options)
    axes, table = prepare(ax, FLAT), pd.concat({k: c.table for k, c in curves.items()}, names=["group"])
    for i, ((words, curve), color) in enumerate(zip(curves.items(), cycle(OKABE_ITO))):
        t = curve.table
        if curve.discrete:
            place = np.arange(len(t)) + 0.12 * (i - (len(curves) - 1) / 2)
            axes.vlines(place, t["conf_low"], t["conf_high"], color=color, linewidth=1.4, alpha=0.55)
            axes.plot(place, t["estimate"], "o", color=color, markersize=5, label=words)
            axes.set_xticks(np.arange(len(t)), [_label(v) for v in t.index])
        else:
            shade(axes, t.index, t["conf_low"], t["conf_high"], 0.2, color=color)
            axes.plot(t.index, t["estimate"], color=color, linewidth=CURVE, label=words)
    legend_above(axes)
    table.attrs = {"level": options["level"]}
    return finish(axes, variable, f"P({curve.event})", table)


def _draw_curve(ax: Any, table: pd.DataFrame, *, explicit: bool) -> None:
    x = table.index.to_numpy(dtype=np.float64)
    few = len(x) == 1 or (explicit and len(x) <= 12)
    shade(ax, x, table["conf_low"], table["conf_high"], 0.2)
    ax.plot(x, table["estimate"], color=ACCENT, linewidth=CURVE, marker="o" if few else None, markersize=5)
    ax.margins(x=0.02)
    if few:
        ax.set_xticks(x, [_label(v) for v in table.index])


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _draw_levels(ax: Any, table: pd.DataFrame) -> None:
    """A dot and a line per level; an open dot where there is no interval."""
    place, p = np.arange(len(table)), table["estimate"].to_numpy()
    bare = table["conf_low"].isna().to_numpy()
    draw_intervals(ax, place[~bare], p[~bare], table["conf_low"][~bare], table["conf_high"][~bare])
    ax.plot(place[bare], p[bare], "o", color=ACCENT, markersize=5, markerfacecolor="white")
    name_levels(ax, [_label(v) for v in table.index])
    ax.set_xlim(-0.6, len(table) - 0.4)


def _set_limits(ax: Any, table: pd.DataFrame, alone: bool) -> None:
    """Room for the bars at the foot; ticks only where probabilities can be."""
    shown = table[["estimate", "conf_low", "conf_high"]].to_numpy()
    if not np.isfinite(shown).any():
        shown = np.array([0.0, 1.0])
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    span = max(high - low, 0.02)
    low, high = low - 1.8 * HISTOGRAM_HEIGHT * span, high + 0.06 * span
    if not alone:
        low, high = min(low, ax.get_ylim()[0]), max(high, ax.get_ylim()[1])
    ax.set_ylim(low, high)
    ax.locator_params(axis="y", nbins=6)
    if low < 0 or high > 1:
        ax.set_yticks([t for t in ax.get_yticks() if max(low, 0) <= t <= min(high, 1)])


def _draw_strip(ax: Any, curve: ProbabilityCurve) -> None:
    """Light bars at the foot: where the rows (their weight) are."""
    column, weights, values = curve.column, curve.weights, curve.table.index
    if curve.discrete:
        hits = [_is_at(column, v) for v in values]
        counts = np.array([float(h.sum() if weights is None else weights[h].sum()) for h in hits])
        left, width = np.arange(len(values)) - 0.2, np.full(len(values), 0.4)
    else:
        left, width, counts = _bars(column.values, weights, min(values), max(values))
    if counts.max(initial=0) > 0:
        heights = HISTOGRAM_HEIGHT * counts / counts.max()
        ax.bar(left, heights, width, align="edge", color=LIGHT, transform=ax.get_xaxis_transform(), zorder=0)


def _bars(values: Array, weights: Array | None, low: float, high: float) -> tuple[Array, Array, Array]:
    """Left ends, widths and weights of bars: one at every value where there are few, else a histogram."""
    inside = (values >= low) & (values <= high)
    values, weights = values[inside], None if weights is None else weights[inside]
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) > BINS:
        counts, edges = np.histogram(values, BINS, weights=weights)
        return edges[:-1], np.diff(edges), counts.astype(np.float64)
    width = min(float(np.diff(distinct).min(initial=np.inf)) / 2, (high - low) / BINS or 0.1)
    return distinct - width / 2, np.full(len(distinct), width), np.bincount(codes, weights).astype(np.float64)


def _is_at(column: Column, value: Any) -> Mask:
    if column.numbers is not None:
        return np.asarray(column.numbers == value, dtype=bool)
    return np.asarray(column.values == (column.levels.index(value) if value in column.levels else -2))
