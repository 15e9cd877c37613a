"""Pictures of Monte Carlo studies: zip, lollipop, nested loop, and estimates against their standard errors.

Each function returns matplotlib Axes that carry the numbers behind the picture as a DataFrame, ``ax.data``.

References
----------
Morris, White, Crowther (2019), Using simulation studies to evaluate statistical methods, Statistics in
Medicine 38, doi:10.1002/sim.8086 (zip and lollipop plots).
Rücker, Schwarzer (2014), Presenting simulation results in a nested loop plot, BMC Medical Research
Methodology 14, doi:10.1186/1471-2288-14-129.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.arrays import Indices
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.plots.style import (
    ACCENT,
    CURVE,
    DARK,
    FRACTION_BY_DATA,
    LIGHT,
    MIDDLE,
    OKABE_ITO,
    WIDTH,
    finish,
    heading,
    legend_above,
    prepare,
    shade,
    small,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["lollipop", "nested_loop", "standard_errors", "zipper"]

COLOURS = OKABE_ITO[:6]  # of estimators
TARGETS = {"bias": 0.0, "relative_bias": 0.0, "relative_error": 0.0, "relative_precision": 0.0}
WORDS = {
    "bias": "Bias",
    "relative_bias": "Relative bias",
    "empirical_se": "Empirical standard error",
    "model_se": "Model standard error",
    "relative_error": "Relative error of the standard error (%)",
    "mse": "Mean squared error",
    "rmse": "Root mean squared error",
    "coverage": "Coverage",
    "be_coverage": "Bias-eliminated coverage",
    "width": "Mean width of the intervals",
    "rejection": "Share that reject zero",
    "relative_precision": "Relative precision (%)",
}
Z = float(special.ndtri(0.975))  # of intervals for Monte Carlo error
FAR, FEW = 4, 0.05  # widths of intervals, and the share of these that a picture leaves out beyond them
EVERY = 2_000  # intervals or points that a picture shows


def _study(given: Any) -> Any:
    """A study: results with ``table()`` of measures and ``numbers()`` of replications."""
    if not hasattr(given, "numbers") or not hasattr(given, "table"):
        raise OptionError(f"{type(given).__name__}: give the results of de.MonteCarlo(...).run(...).")
    return given


def _chosen(parameter: str | None, names: Sequence[str]) -> str:
    """The parameter asked for, None for the last one."""
    chosen = names[-1] if parameter is None and names else parameter
    if chosen is None or chosen not in names:
        raise OptionError(f"parameter={chosen!r} is not among {', '.join(names)}.")
    return chosen


@dataclass(frozen=True, eq=False)
class _Replications:
    """Numbers of a parameter and an estimator in a cell, a row each, the truth, and words for the place."""

    table: pd.DataFrame
    estimator: str
    parameter: str
    truth: float
    words: str

    def with_coverage(self, good: pd.Series, what: str) -> pd.DataFrame:
        """The good rows, and whether their intervals cover; ``what`` is missing where none is good."""
        table = self.table[good]
        if table.empty:
            raise WithheldError(f"{self.estimator!r} has no {what} for {self.parameter!r}.")
        covers = (table["conf_low"] <= self.truth) & (self.truth <= table["conf_high"])
        return table.assign(covers=covers)


def _replications(mc: Any, parameter: str | None, estimator: str | None, cell: Any) -> _Replications:
    estimator = _study(mc).estimators[0] if estimator is None else estimator
    if cell is None and len(mc.cells) > 1:
        cell = mc.cells[0].label  # the heading says which
    found = mc.numbers(cell, estimator)
    parameter = _chosen(parameter, found.names)
    values = found.values[:, found.names.index(parameter)]
    table = pd.DataFrame(values, columns=["estimate", "std_error", "conf_low", "conf_high", "p_value"])
    place = mc.place(cell)
    truth = mc.truths[place].get(parameter, (np.nan, np.nan))[0]
    if np.isnan(truth):
        raise WithheldError(
            f"The true value of {parameter!r} is not known, so coverage cannot be drawn; give truth= to "
            f"the study."
        )
    words = ", ".join([estimator, mc.cells[place].label]).strip(", ")
    return _Replications(table[np.isfinite(table["estimate"])], estimator, parameter, truth, words)


def _some(data: pd.DataFrame) -> pd.DataFrame:
    """At most so many replications, evenly spaced, as a picture can show."""
    return data if len(data) <= EVERY else data.iloc[np.linspace(0, len(data) - 1, EVERY).astype(int)]


def zipper(
    mc: Any,
    parameter: str | None = None,
    *,
    estimator: str | None = None,
    cell: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw every confidence interval, the worst on top: coverage is where the colour changes.

    Intervals are sorted by |estimate − truth| over standard error and placed at their centile; the two lines
    are the 95 % Monte Carlo interval of the coverage.

    Parameters
    ----------
    mc : results of a study.
    parameter : str or None, the last one.
    estimator : str or None, the first one.
    cell : label such as ``"n=250"``, dict of values, or None, the first.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame: centile, conf_low, conf_high, covers.

    Raises
    ------
    OptionError
        If there is no such cell, estimator or parameter.
    WithheldError
        If the truth is not known.

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> mean = lambda d: {"mu": (d.mean(), d.std(ddof=1) / 40**0.5)}
    >>> mc = de.MonteCarlo(lambda rng: rng.normal(1, 1, 40), mean, truth={"mu": 1}).run(reps=200, seed=1)
    >>> ax = zipper(mc)
    >>> float(ax.data.covers.mean())
    0.925
    >>> plt.close(ax.figure)
    """
    found = _replications(mc, parameter, estimator, cell)
    known = found.table["conf_low"].notna() & found.table["conf_high"].notna()
    table = found.with_coverage(known, "intervals")
    half = np.where(
        table["std_error"].notna(), table["std_error"], (table["conf_high"] - table["conf_low"]) / 2
    )
    far = np.abs(table["estimate"] - found.truth) / np.where(half > 0, half, np.nan)
    order = np.argsort(np.nan_to_num(far, nan=np.inf), kind="stable")
    data = table.iloc[order][["conf_low", "conf_high", "covers"]].reset_index(drop=True)
    data.insert(0, "centile", 100 * (np.arange(len(data)) + 0.5) / len(data))
    axes = prepare(ax, WIDTH)
    shown = _some(data)
    for hit, colour, width in ((True, MIDDLE, 0.5), (False, ACCENT, 0.9)):
        part = shown[shown["covers"] == hit]
        axes.hlines(part["centile"], part["conf_low"], part["conf_high"], color=colour, linewidth=width)
    axes.axvline(found.truth, color=DARK, linewidth=0.9)
    beyond = _show_the_body(axes, shown, found.truth)
    share = float(data["covers"].mean())
    mcse = math.sqrt(share * (1 - share) / len(data))
    for side in (-1, 1):
        axes.axhline(100 * (share + side * Z * mcse), color=DARK, linewidth=0.8, linestyle=(0, (4, 3)))
    level = f"{100 * mc.task.level:g}"
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 25, 50, 75, 100 * mc.task.level], ["0", "25", "50", "75", level])
    heading(axes, f"{found.words}: coverage {share:.3f} (MC SE {mcse:.3f})", color=DARK)
    told = f"; {beyond} go{'es' if beyond == 1 else ''} on" if beyond else ""
    what = f"{level}% intervals of {found.parameter} (line: truth{told})"
    return finish(axes, what, "Centile of |estimate − truth| / s.e.", data)


def _show_the_body(ax: Any, data: pd.DataFrame, truth: float) -> int:
    """Limit the axis to the others where a few intervals lie far out; how many go on."""
    low, high = data["conf_low"].to_numpy(), data["conf_high"].to_numpy()
    reach = FAR * float(np.median(high - low))
    out = np.maximum(high - np.median(high), np.median(low) - low) > reach
    if not 0 < out.mean() <= FEW:
        return 0
    left, right = min(low[~out].min(), truth), max(high[~out].max(), truth)
    ax.set_xlim(left - 0.05 * (right - left), right + 0.05 * (right - left))
    return int(out.sum())


def _measure(mc: Any, measure: str, parameter: str | None) -> tuple[str, pd.DataFrame]:
    """One measure of one parameter in all cells: cell, estimator, value, mcse, in the order of the study."""
    wide = _study(mc).table()
    known = [name for name in wide if not name.endswith("_mcse")]
    if measure not in known:
        raise OptionError(f"measure={measure!r} is not known; use one of {', '.join(known)}.")
    rows = wide[wide[measure].notna()] if parameter is None and wide[measure].notna().any() else wide
    parameter = _chosen(parameter, list(dict.fromkeys(rows.index.get_level_values("parameter"))))
    part = wide.xs(parameter, level="parameter")
    value = part[measure]
    if value.isna().all():
        raise WithheldError(f"{measure} of {parameter!r} is not defined here; is its truth known?")
    mcse = part.get(f"{measure}_mcse", pd.Series(np.nan, index=part.index))
    return parameter, pd.DataFrame({"value": value, "mcse": mcse}).reset_index()


def _aim(mc: Any, measure: str) -> float | None:
    """The value that a measure should have, if there is one."""
    return mc.task.level if measure in ("coverage", "be_coverage") else TARGETS.get(measure)


def lollipop(mc: Any, measure: str = "bias", parameter: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw a measure by cell and estimator as a dot on a stick, with its 95 % Monte Carlo interval.

    Parameters
    ----------
    mc : results of a study.
    measure : str, a name in `simulate.measures`, such as ``"coverage"``.
    parameter : str or None, the last one.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame: cell, estimator, value, mcse.

    Raises
    ------
    OptionError, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> estimators = {"mean": lambda d: {"mu": d.mean()}, "median": lambda d: {"mu": float(np.median(d))}}
    >>> study = de.MonteCarlo(lambda rng: rng.normal(1, 1, 40), estimators, truth={"mu": 1})
    >>> mc = study.run(reps=200, seed=1)
    >>> ax = lollipop(mc, "empirical_se")
    >>> ax.data.estimator.tolist()
    ['mean', 'median']
    >>> plt.close(ax.figure)
    """
    parameter, data = _measure(mc, measure, parameter)
    aim = _aim(mc, measure)
    rows = len(data)
    axes = prepare(ax, 0.9 + 0.26 * rows + 0.22 * len(mc.cells))
    several = len(mc.estimators) > 1
    place, y, labels, at = [], 0.0, [], None
    for cell, estimator in zip(data["cell"], data["estimator"], strict=True):
        y += 0.6 if at is not None and cell != at else 0.0
        at = cell
        labels.append(", ".join(filter(None, [estimator if several or not cell else "", cell])))
        place.append(y)
        y += 1
    where = np.array(place)
    base = 0.0 if aim is None else aim
    colours = [
        COLOURS[mc.estimators.index(e) % len(COLOURS)] if several else ACCENT for e in data["estimator"]
    ]
    axes.hlines(where, base, data["value"], color=MIDDLE, linewidth=0.9)
    reach = Z * data["mcse"]
    axes.hlines(where, data["value"] - reach, data["value"] + reach, color=colours, linewidth=2.6, alpha=0.35)
    axes.scatter(data["value"], where, c=colours, s=26, zorder=3)
    axes.axvline(base, color=DARK, linewidth=0.8)
    axes.set_yticks(where, labels)
    axes.set_ylim(y - 0.4, -0.6)
    return finish(axes, f"{WORDS.get(measure, measure)} of {parameter}", "", data)


def nested_loop(
    mc: Any, measure: str = "bias", parameter: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw a measure over all cells of a grid, a step line for each estimator, with the grid as steps below.

    Parameters
    ----------
    mc : results of a study with a grid; the last name of the grid varies fastest.
    measure : str, a name in `simulate.measures`.
    parameter : str or None, the last one.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame: cell, estimator, value, mcse.

    Raises
    ------
    OptionError, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> dgp = lambda rng, n, sd: rng.normal(1, sd, n)
    >>> mean, grid = lambda d: {"mu": d.mean()}, {"n": [20, 80], "sd": [1, 2]}
    >>> study = de.MonteCarlo(dgp, mean, grid=grid, truth={"mu": 1})
    >>> ax = nested_loop(study.run(reps=100, seed=1), "empirical_se")
    >>> ax.data.cell.tolist()
    ['n=20, sd=1', 'n=20, sd=2', 'n=80, sd=1', 'n=80, sd=2']
    >>> plt.close(ax.figure)
    """
    parameter, data = _measure(mc, measure, parameter)
    names = list(mc.cells[0].shown)
    if len(mc.cells) < 2 or any(list(cell.shown) != names for cell in mc.cells):
        raise OptionError(
            "A nested loop needs a grid of at least two cells with the same names; use lollipop."
        )
    axes = prepare(ax, 3.4)
    edges = np.arange(len(mc.cells) + 1)
    labels = [cell.label for cell in mc.cells]
    for i, estimator in enumerate(mc.estimators):
        part = data[data["estimator"] == estimator].set_index("cell").reindex(labels)
        _draw_stairs(axes, edges, part, COLOURS[i % len(COLOURS)], estimator)
    aim = _aim(mc, measure)
    if aim is not None:
        axes.axhline(aim, color=DARK, linewidth=0.8)
    _draw_grid_below(axes, edges, {name: [cell.shown[name] for cell in mc.cells] for name in names})
    axes.set_xlim(0, len(mc.cells))
    axes.set_xticks([])
    if len(mc.estimators) > 1:
        legend_above(axes, ncols=len(mc.estimators) if len(mc.estimators) < 5 else 3)
    return finish(axes, "Cells of the grid", f"{WORDS.get(measure, measure)} of {parameter}", data)


def _draw_stairs(ax: Any, edges: Indices, part: pd.DataFrame, colour: str, estimator: str) -> None:
    """A measure of one estimator over the cells, with its 95 % Monte Carlo interval."""
    ax.stairs(part["value"], edges, baseline=None, color=colour, linewidth=CURVE, label=estimator)
    low, high = (
        [*values, values.iloc[-1]]
        for values in (part["value"] - Z * part["mcse"], part["value"] + Z * part["mcse"])
    )
    shade(ax, edges, low, high, 0.15, color=colour, step="post")


def _draw_grid_below(ax: Any, edges: Indices, grid: Mapping[str, Sequence[Any]]) -> None:
    """Below the measures, a step line for each name of the grid: its values in the cells, ranked."""
    low, high = ax.get_ylim()
    step = 0.13 * (high - low)
    for i, (name, values) in enumerate(grid.items()):
        levels = list(dict.fromkeys(values))
        ranks = np.array([levels.index(v) for v in values]) / max(len(levels) - 1, 1)
        foot = low - (i + 1) * 1.45 * step
        ax.stairs(foot + 0.75 * step * ranks, edges, baseline=None, color=MIDDLE, linewidth=1.1)
        words = f"{name}: {', '.join(map(str, levels))}"
        ax.text(0.08, foot + 0.85 * step, words, fontsize=small(ax), color=DARK, va="bottom")
    ax.set_ylim(low - (len(grid) * 1.45 + 0.2) * step, high)
    ax.set_yticks([t for t in ax.get_yticks() if low <= t <= high])


def standard_errors(
    mc: Any,
    parameter: str | None = None,
    *,
    estimator: str | None = None,
    cell: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw standard errors against estimates, a dot a replication; intervals cover inside the funnel.

    Parameters
    ----------
    mc : results of a study.
    parameter : str or None, the last one.
    estimator : str or None, the first one.
    cell : label such as ``"n=250"``, dict of values, or None, the first.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame: estimate, std_error, covers.

    Raises
    ------
    OptionError, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> mean = lambda d: {"mu": (d.mean(), d.std(ddof=1) / 40**0.5)}
    >>> mc = de.MonteCarlo(lambda rng: rng.normal(1, 1, 40), mean, truth={"mu": 1}).run(reps=200, seed=1)
    >>> ax = standard_errors(mc)
    >>> ax.data.shape
    (200, 3)
    >>> plt.close(ax.figure)
    """
    found = _replications(mc, parameter, estimator, cell)
    table = found.with_coverage(np.isfinite(found.table["std_error"]), "standard errors")
    data = table[["estimate", "std_error", "covers"]].reset_index(drop=True)
    axes = prepare(ax, 0.8 * WIDTH)
    shown = _some(data)
    for hit, colour in ((True, MIDDLE), (False, ACCENT)):
        part = shown[shown["covers"] == hit]
        axes.scatter(part["estimate"], part["std_error"], s=7, color=colour, alpha=0.6, linewidths=0)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    z = float(special.ndtri(0.5 + mc.task.level / 2))
    edge = np.array([max(low, 0.0), high])
    for side in (-1, 1):
        axes.plot(found.truth + side * z * edge, edge, color=DARK, linewidth=0.9)
    spread = float(data["estimate"].std(ddof=1))
    axes.axhline(spread, color=LIGHT, linewidth=1.2, zorder=0)
    write(axes, "empirical s.e.", (1, spread), xycoords=FRACTION_BY_DATA, ha="right", va="bottom")
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    heading(axes, f"{found.words}: {data['covers'].mean():.3f} cover", color=DARK)
    return finish(axes, f"Estimate of {found.parameter} (truth {found.truth:g})", "Standard error", data)
