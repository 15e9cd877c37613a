"""Pictures of fitted coefficients and of what they mean for the outcome.

Each function returns matplotlib Axes that carry the numbers behind the picture as a DataFrame, ``ax.data``.
It draws on ``ax=`` or on one new figure, changes no setting of matplotlib and never shows the figure:
`savefig` or close it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.data.spec import DesignSpec, numeric_column
from disteconometrics.data.table import Column, Table, list_names
from disteconometrics.errors import DataError, MissingColumnError, NeedsData, OptionError
from disteconometrics.estimators.binary.results import BinaryResults
from disteconometrics.inference.effects import average_probability
from disteconometrics.inference.estimates import Estimates, check_level

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["coefficients", "effect"]

Array = NDArray[np.float64]

ACCENT, DARK, MIDDLE, LIGHT = "#0072B2", "0.25", "0.6", "0.86"
SECOND = "#D55E00"
MOST_DOTS = 3_000  # of a scatter
WIDTH = 4.5  # inches: printed at 8 cm, ten points become seven
GRID = 60  # points of a curve
BINS = 30
STRIP = 0.09  # height of the histogram at the foot, as a share of the picture


class HasEstimates(Protocol):
    """Any result with a table of estimates."""

    @property
    def estimates(self) -> Estimates: ...


def _axes(ax: Any, height: float) -> Any:
    """The given Axes, or those of one new figure, without the upper and the right line."""
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.subplots(figsize=(WIDTH, height), layout="constrained")[1]
    elif not hasattr(ax, "errorbar"):
        raise OptionError(f"ax={type(ax).__name__}: give one matplotlib Axes, such as plt.subplots()[1].")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _small(ax: Any) -> float:
    """A font size a little below that of the axis labels."""
    return 0.9 * float(ax.xaxis.label.get_fontsize())


# ---- coefficients ------------------------------------------------------------------------------------------


def coefficients(
    result: HasEstimates | Estimates,
    *,
    ax: Axes | None = None,
    level: float = 0.95,
    drop: str | Collection[str] = ("Intercept",),
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
    level : float, confidence level in (0, 1).
    drop : one or several names to leave out.
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
    table = _chosen(estimates, level, (drop,) if isinstance(drop, str) else tuple(drop), names or {})
    if odds_ratios:
        if not isinstance(result, BinaryResults) or result.kernel.scale != "log-odds":
            raise OptionError("odds_ratios=True needs the result of a logit.")
        table = _exponential(table)
    axes: Any = _axes(ax, 0.9 + 0.3 * len(table))
    _draw_whiskers(axes, table, 1.0 if odds_ratios else 0.0)
    axes.set_yticks(range(len(table)), [(names or {}).get(name, name) for name in table.index])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(
        _coefficient_label(result, odds_ratios, level), loc="right"
    )  # runs to the left below long names
    table.attrs["level"] = level
    axes.data = table
    return cast("Axes", axes)


def _chosen(
    estimates: Estimates, level: float, drop: tuple[str, ...], names: Mapping[str, str]
) -> pd.DataFrame:
    unknown = [n for n in (*drop, *names) if n not in estimates.names and n != "Intercept"]
    if unknown:
        raise OptionError(
            f"{list_names(unknown)}: not among the estimates, which are {list_names(estimates.names)}."
        )
    table = estimates.table(check_level(level))[["estimate", "std_error", "conf_low", "conf_high"]]
    table = table[~table.index.isin(drop)]
    if table.empty:
        raise OptionError("Nothing is left to draw; drop=() keeps every estimate.")
    return table


def _exponential(table: pd.DataFrame) -> pd.DataFrame:
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.exp(table.drop(columns="std_error"))
        out.insert(1, "std_error", out["estimate"] * table["std_error"])
    return out


def _coefficient_label(result: Any, odds_ratios: bool, level: float) -> str:
    what = "Odds ratio" if odds_ratios else "Estimate"
    if isinstance(result, BinaryResults):
        scale = "odds ratio" if odds_ratios else result.kernel.scale
        what = f"{scale.capitalize()} of {result.spec.outcome.name} = {result.spec.outcome.success}"
    return f"{what} ({100 * level:g}% interval)"


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
    if not finite.any():
        ax.set_xlim((0.1, 10) if null else (-1, 1))
        ax.set_xticks([null])
    elif null:
        _ratio_ticks(ax)
    for i in np.flatnonzero(~finite):
        _say_infinite(ax, int(i), values[i], null)


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
    """An arrow to the side on which the estimate runs away, with the reason beside it."""
    if np.isnan(value):
        words = "no value (separated)"
        ax.annotate(
            words,
            (0.5, row),
            xycoords=("axes fraction", "data"),
            ha="center",
            va="center",
            color=DARK,
            fontsize=_small(ax),
        )
        return
    up = value > null
    words = "∞" if up else ("0" if null else "−∞")
    tip, tail, side = (1.0, 0.85, "right") if up else (0.0, 0.15, "left")
    where = ("axes fraction", "data")
    ax.annotate(
        "",
        (tip, row),
        (tail, row),
        xycoords=where,
        arrowprops={"arrowstyle": "-|>", "color": ACCENT, "linewidth": 1.4},
    )
    text = f"{words} (separated)"
    ax.annotate(text, (tail, row), xycoords=where, ha=side, va="center", color=DARK, fontsize=_small(ax))


# ---- effects -----------------------------------------------------------------------------------------------


def effect(
    result: BinaryResults,
    variable: str,
    *,
    ax: Axes | None = None,
    at: Any = None,
    level: float = 0.95,
    data: Any = None,
    rows: int = 10_000,
) -> Axes:
    """Draw the average predicted probability along one variable, with all others as observed, and its confidence band.

    Every row is given the same value of the variable, the formula is evaluated again (so squares,
    interactions, splines and factors move along), and the probabilities are averaged, with the weights of the
    model.  The standard error is the delta method's for that average, with the covariance of the result and
    the covariates taken as given; the limits are symmetric for the log-odds of the average, so they stay in
    [0, 1], and hold point by point.  A number gives a curve over a grid; text, categories, true/false, 0-1
    and ``C(...)`` give one point per level.  Grey bars at the foot show where the rows are.

    Parameters
    ----------
    result : BinaryResults.
    variable : str, a column on the right side of the formula.
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
        Its ``.data`` is a DataFrame by value of the variable: estimate, std_error, conf_low, conf_high, in
        probabilities. After separation NaN stands for what does not exist; where every row is at its limit 0
        or 1 there is no interval.

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
    level = check_level(level)
    if variable not in result.spec.variables:
        raise _not_in_formula(result.spec, variable)
    if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1:
        raise OptionError(f"rows={rows!r}: give a whole number of at least 1.")
    sample = _sample(result, variable, data, int(rows))
    grid, discrete = _grid(result.spec, variable, sample, at)
    table = _curve(result, variable, sample, grid, level)
    axes: Any = _axes(ax, 0.72 * WIDTH)
    alone = not axes.has_data()
    if discrete:
        _draw_levels(axes, table, grid)
    else:
        _draw_curve(axes, table, explicit=at is not None)
    _set_limits(axes, table, alone)
    if alone:
        _draw_strip(axes, sample, grid, discrete)
    axes.set_xlabel(variable)
    axes.set_ylabel(f"P({result.spec.outcome.name} = {result.spec.outcome.success})")
    if result.infinite is not None:
        words = "Separated fit: band of the finite part"
        axes.annotate(
            words, (0, 1.02), xycoords="axes fraction", va="bottom", color=DARK, fontsize=_small(axes)
        )
        table.attrs["note"] = words
    axes.data = table
    return cast("Axes", axes)


def _not_in_formula(spec: DesignSpec, variable: Any) -> MissingColumnError:
    close = get_close_matches(str(variable), spec.variables, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    known = (
        f"whose variables are {list_names(spec.variables)}" if spec.variables else "which has no variables"
    )
    return MissingColumnError(
        f"{variable!r} is not a variable of the formula {spec.formula!r}, {known}.{hint}"
    )


@dataclass(frozen=True, eq=False)
class _Sample:
    """Rows to average over: ``frame`` of the columns to code, ``pick`` of its rows, and the variable in all rows used.

    ``averaged`` (r,) and ``weights`` (n,) are the weights of the averaged and of all used rows, None for one
    each.
    """

    frame: pd.DataFrame
    pick: Any
    averaged: Array | None
    column: Column
    weights: Array | None
    rows: int
    of: int


def _sample(result: BinaryResults, variable: str, data: Any, rows: int) -> _Sample:
    spec = result.spec
    if data is not None:
        table = Table(data)
        used, weights = _complete_rows(spec, table)
    elif result.rows is not None:
        design = result.rows.design
        table, weights = design.table, design.weights
        used = np.arange(len(design.y)) if design.kept is None else design.kept
    else:
        raise NeedsData(
            "This result was loaded from a file, which holds no rows: pass data= with the table to "
            "average over."
        )
    n = len(used)
    chosen = np.arange(n) if n <= rows else np.linspace(0, n - 1, rows).round().astype(np.intp)
    lagged = bool(
        spec.parsed.lags
    )  # a lag reads other rows, so all are coded and the chosen picked afterwards
    read, pick = (np.arange(len(table)), used[chosen]) if lagged else (used[chosen], slice(None))
    frame = pd.DataFrame(
        {
            name: _take(table, name, read)
            for name in (*spec.variables, *([spec.offset] if spec.offset else []))
        }
    )
    averaged = None if weights is None else weights[chosen]
    return _Sample(frame, pick, averaged, spec.column(table, variable).take(used), weights, len(chosen), n)


def _complete_rows(spec: DesignSpec, table: Table) -> tuple[NDArray[np.intp], Array | None]:
    """Positions of rows that the model could use (with an outcome, where the table has one), and their weights."""
    coded = spec.matrix(table.data)
    good = ~np.isnan(coded.X).any(axis=1)
    if coded.offset is not None:
        good &= ~np.isnan(coded.offset)
    for name in set(spec.parsed.left.variables) & set(table.names):
        missing = table.column(str(name), "the outcome").trouble()[0]
        if missing is not None:
            good &= ~missing
    weights = None if spec.weights is None else numeric_column(table, spec.weights, "weights").numbers
    if weights is not None:
        good &= weights > 0
    if not good.any():
        raise DataError(f"data= has no complete row among its {len(table)}.")
    return np.flatnonzero(good), None if weights is None else weights[good]


def _take(table: Table, name: str, rows: NDArray[np.intp]) -> pd.Series:
    raw = table.raw(name, "the formula")
    return pd.Series(raw).iloc[rows].reset_index(drop=True)


def _grid(spec: DesignSpec, variable: str, sample: _Sample, at: Any) -> tuple[list[Any], bool]:
    """Values of the variable, and whether they are levels."""
    levels = _levels(spec, variable, sample.column)
    if at is not None:
        return _given(at, variable, levels)
    if levels is not None:
        return levels, True
    low, high = np.quantile(sample.column.values, [0.01, 0.99], weights=sample.weights, method="inverted_cdf")
    return np.linspace(low, high, GRID if high > low else 1).tolist(), False


def _given(at: Any, variable: str, levels: list[Any] | None) -> tuple[list[Any], bool]:
    """The values of ``at``: levels as they are, numbers in ascending order."""
    given = (
        [at]
        if isinstance(at, str) or np.ndim(at) == 0
        else [v.item() if isinstance(v, np.generic) else v for v in at]
    )
    what = "numbers" if levels is None else f"levels ({list_names(levels)})"
    refused = OptionError(f"at={at!r}: give one or several {what} of {variable!r}, none of them missing.")
    if not given or any(np.ndim(v) or pd.isna(v) for v in given):
        raise refused
    if levels is not None:
        return given, True
    try:
        return sorted(map(float, given)), False
    except (TypeError, ValueError):
        raise refused from None


def _levels(spec: DesignSpec, variable: str, column: Column) -> list[Any] | None:
    """The values that a categorical variable can take, None for one that varies continuously."""
    kind, levels = spec.columns[variable]
    if kind == "level":
        return list(levels)
    if kind == "bool":
        return [False, True]
    for i, factor in enumerate(spec.parsed.factors):
        node = factor.node
        if (
            i in spec.levels
            and isinstance(node, ast.Call)
            and node.args
            and ast.unparse(node.args[0]) == variable
        ):
            return list(spec.levels[i])
    return [0, 1] if np.isin(column.values, (0.0, 1.0)).all() else None


def _curve(
    result: BinaryResults, variable: str, sample: _Sample, grid: list[Any], level: float
) -> pd.DataFrame:
    """The table behind the picture: average probability, error and limits at every value."""
    frame = sample.frame.copy()
    critical, points = result.estimates.critical(level), []
    for value in grid:
        frame[variable] = value
        coded = result.spec.matrix(frame)
        X = coded.X[sample.pick]
        if np.isnan(X).any():
            count = int(np.isnan(X).any(axis=1).sum())
            raise DataError(
                f"At {variable} = {value} a term of the formula is missing (NaN) in {count} rows; choose "
                f"other values, at=[…]."
            )
        eta = result.predict(frame, linear=True).to_numpy()[sample.pick]
        points.append(
            average_probability(
                result.kernel,
                eta,
                *result.covariance.coordinates(X),
                critical=critical,
                weights=sample.averaged,
            )
        )
    table = pd.DataFrame(points, index=pd.Index(grid, name=variable))
    table.attrs = {"level": level, "rows": sample.rows, "of": sample.of}
    return table


def _draw_curve(ax: Any, table: pd.DataFrame, *, explicit: bool) -> None:
    x = table.index.to_numpy(dtype=np.float64)
    few = len(x) == 1 or (explicit and len(x) <= 12)
    ax.fill_between(x, table["conf_low"], table["conf_high"], color=ACCENT, alpha=0.2, linewidth=0)
    ax.plot(x, table["estimate"], color=ACCENT, linewidth=1.7, marker="o" if few else None, markersize=5)
    ax.margins(x=0.02)
    if few:
        ax.set_xticks(x, [_label(v) for v in table.index])


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _draw_levels(ax: Any, table: pd.DataFrame, grid: list[Any]) -> None:
    """A dot and a line per level; an open dot where there is no interval."""
    place, p = np.arange(len(grid)), table["estimate"].to_numpy()
    bare = table["conf_low"].isna().to_numpy()
    ax.vlines(
        place[~bare],
        table["conf_low"][~bare],
        table["conf_high"][~bare],
        color=ACCENT,
        linewidth=1.4,
        alpha=0.55,
    )
    ax.plot(place[~bare], p[~bare], "o", color=ACCENT, markersize=5)
    ax.plot(place[bare], p[bare], "o", color=ACCENT, markersize=5, markerfacecolor="white")
    labels = [_label(v) for v in grid]
    crowded = sum(map(len, labels)) + 2 * len(labels) > 34
    slant: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    ax.set_xticks(place, labels, **slant)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(grid) - 0.4)


def _set_limits(ax: Any, table: pd.DataFrame, alone: bool) -> None:
    """Room for the bars at the foot; ticks only where probabilities can be."""
    shown = table[["estimate", "conf_low", "conf_high"]].to_numpy()
    if not np.isfinite(shown).any():
        shown = np.array([0.0, 1.0])
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    span = max(high - low, 0.02)
    low, high = low - 1.8 * STRIP * span, high + 0.06 * span
    if not alone:
        low, high = min(low, ax.get_ylim()[0]), max(high, ax.get_ylim()[1])
    ax.set_ylim(low, high)
    ax.locator_params(axis="y", nbins=6)
    if low < 0 or high > 1:
        ax.set_yticks([t for t in ax.get_yticks() if max(low, 0) <= t <= min(high, 1)])


def _draw_strip(ax: Any, sample: _Sample, grid: list[Any], discrete: bool) -> None:
    """Light bars at the foot: where the rows (their weight) are."""
    column, weights = sample.column, sample.weights
    if discrete:
        hits = [_is_at(column, v) for v in grid]
        counts = np.array([float(h.sum() if weights is None else weights[h].sum()) for h in hits])
        left, width = np.arange(len(grid)) - 0.2, np.full(len(grid), 0.4)
    else:
        left, width, counts = _bars(column.values, weights, min(grid), max(grid))
    if counts.max(initial=0) > 0:
        heights = STRIP * counts / counts.max()
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


def _is_at(column: Column, value: Any) -> NDArray[np.bool_]:
    if column.numbers is not None:
        return np.asarray(column.numbers == value, dtype=bool)
    return np.asarray(column.values == (column.levels.index(value) if value in column.levels else -2))
