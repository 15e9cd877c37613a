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
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from scipy import special

from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.plots.estimates import ACCENT, DARK, LIGHT, MIDDLE, WIDTH, _axes, _small
from disteconometrics.simulate.measures import MEASURES
from disteconometrics.simulate.results import MonteCarloResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["lollipop", "nested_loop", "standard_errors", "zipper"]

# Okabe and Ito's colours, which remain different to the colour-blind; the first is the accent
COLOURS = (ACCENT, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
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
EVERY = 2_000  # intervals or points that a picture shows


def _parameter(
    mc: MonteCarloResults, cell: Any, estimator: str | None, parameter: str | None
) -> tuple[str, str, pd.DataFrame]:
    """Estimator, parameter and replications of one place in a study."""
    if not isinstance(mc, MonteCarloResults):
        raise OptionError(f"{type(mc).__name__}: give the results of de.MonteCarlo(...).run(...).")
    estimator = mc.estimators[0] if estimator is None else estimator
    found = mc.numbers(cell, estimator)
    parameter = found.names[-1] if parameter is None and found.names else parameter
    if parameter not in found.names:
        raise OptionError(f"parameter={parameter!r} is not among {', '.join(found.names)}.")
    values = found.values[:, found.names.index(parameter)]
    table = pd.DataFrame(values, columns=["estimate", "std_error", "conf_low", "conf_high", "p_value"])
    return estimator, parameter, table[np.isfinite(table["estimate"])]


def _truth(mc: MonteCarloResults, cell: Any, parameter: str) -> float:
    truth = mc.truths[mc.place(cell)].get(parameter, (np.nan, np.nan))[0]
    if np.isnan(truth):
        raise WithheldError(
            f"The true value of {parameter!r} is not known, so coverage cannot be drawn; give truth= to "
            f"the study."
        )
    return truth


def _where(mc: MonteCarloResults, cell: Any, *words: str) -> str:
    return ", ".join([*words, mc.cells[mc.place(cell)].label]).strip(", ")


def zipper(
    mc: MonteCarloResults,
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
    mc : MonteCarloResults.
    parameter : str or None, the last one.
    estimator : str or None, the first one.
    cell : label such as ``"n=250"``, dict of values, or None where there is one cell.
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
    estimator, parameter, table = _parameter(mc, cell, estimator, parameter)
    truth = _truth(mc, cell, parameter)
    table = table.dropna(subset=["conf_low", "conf_high"])
    if table.empty:
        raise WithheldError(f"{estimator!r} has no intervals for {parameter!r}.")
    covers = (table["conf_low"] <= truth) & (truth <= table["conf_high"])
    half = np.where(
        table["std_error"].notna(), table["std_error"], (table["conf_high"] - table["conf_low"]) / 2
    )
    far = np.abs(table["estimate"] - truth) / np.where(half > 0, half, np.nan)
    order = np.argsort(np.nan_to_num(far, nan=np.inf), kind="stable")
    data = table.iloc[order][["conf_low", "conf_high"]].assign(covers=covers.to_numpy()[order])
    data.insert(0, "centile", 100 * (np.arange(len(data)) + 0.5) / len(data))
    axes: Any = _axes(ax, WIDTH)
    shown = data if len(data) <= EVERY else data.iloc[np.linspace(0, len(data) - 1, EVERY).astype(int)]
    for hit, colour, width in ((True, MIDDLE, 0.5), (False, ACCENT, 0.9)):
        part = shown[shown["covers"] == hit]
        axes.hlines(part["centile"], part["conf_low"], part["conf_high"], color=colour, linewidth=width)
    axes.axvline(truth, color=DARK, linewidth=0.9)
    share = float(covers.mean())
    mcse = math.sqrt(share * (1 - share) / len(data))
    for side in (-1, 1):
        axes.axhline(100 * (share + side * Z * mcse), color=DARK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylim(0, 100)
    ticks = [0, 25, 50, 75, 100 * mc.task.level]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_xlabel(f"{100 * mc.task.level:g}% intervals of {parameter} (line: truth)")
    axes.set_ylabel("Centile of |estimate − truth| / s.e.")
    axes.set_title(
        f"{_where(mc, cell, estimator)}: coverage {share:.3f} (MC SE {mcse:.3f})",
        fontsize=_small(axes),
        color=DARK,
        loc="left",
    )
    axes.data = data.reset_index(drop=True)
    return cast("Axes", axes)


def _measure(mc: MonteCarloResults, measure: str, parameter: str | None) -> tuple[str, pd.DataFrame]:
    """One measure of one parameter in all cells: cell, estimator, value, mcse, in the order of the study."""
    if not isinstance(mc, MonteCarloResults):
        raise OptionError(f"{type(mc).__name__}: give the results of de.MonteCarlo(...).run(...).")
    if measure not in MEASURES:
        raise OptionError(f"measure={measure!r} is not known; use one of {', '.join(MEASURES)}.")
    wide = mc.table()
    names = list(dict.fromkeys(wide.index.get_level_values("parameter")))
    parameter = names[-1] if parameter is None else parameter
    if parameter not in names:
        raise OptionError(f"parameter={parameter!r} is not among {', '.join(names)}.")
    part = wide.xs(parameter, level="parameter")
    value = part[measure]
    if value.isna().all():
        raise WithheldError(f"{measure} of {parameter!r} is not defined here; is its truth known?")
    mcse = part.get(f"{measure}_mcse", pd.Series(np.nan, index=part.index))
    return parameter, pd.DataFrame({"value": value, "mcse": mcse}).reset_index()


def _aim(mc: MonteCarloResults, measure: str) -> float | None:
    return mc.task.level if measure in ("coverage", "be_coverage") else TARGETS.get(measure)


def lollipop(
    mc: MonteCarloResults, measure: str = "bias", parameter: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw a measure by cell and estimator as a dot on a stick, with its 95 % Monte Carlo interval.

    Parameters
    ----------
    mc : MonteCarloResults.
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
    >>> mc = de.MonteCarlo(lambda rng: rng.normal(1, 1, 40), estimators, truth={"mu": 1}).run(reps=200, seed=1)
    >>> ax = lollipop(mc, "empirical_se")
    >>> ax.data.estimator.tolist()
    ['mean', 'median']
    >>> plt.close(ax.figure)
    """
    parameter, data = _measure(mc, measure, parameter)
    aim = _aim(mc, measure)
    rows = len(data)
    axes: Any = _axes(ax, 0.9 + 0.26 * rows + 0.22 * len(mc.cells))
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
    axes.set_xlabel(f"{WORDS.get(measure, measure)} of {parameter}")
    axes.data = data
    return cast("Axes", axes)


def nested_loop(
    mc: MonteCarloResults, measure: str = "bias", parameter: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw a measure over all cells of a grid, a step line for each estimator, with the grid as steps below.

    Parameters
    ----------
    mc : MonteCarloResults of a study with a grid; the last name of the grid varies fastest.
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
    >>> study = de.MonteCarlo(dgp, lambda d: {"mu": d.mean()}, grid={"n": [20, 80], "sd": [1, 2]}, truth={"mu": 1})
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
    axes: Any = _axes(ax, 3.4)
    edges = np.arange(len(mc.cells) + 1)
    for i, estimator in enumerate(mc.estimators):
        part = (
            data[data["estimator"] == estimator].set_index("cell").reindex([cell.label for cell in mc.cells])
        )
        colour = COLOURS[i % len(COLOURS)]
        axes.stairs(part["value"], edges, baseline=None, color=colour, linewidth=1.7, label=estimator)
        low, high = part["value"] - Z * part["mcse"], part["value"] + Z * part["mcse"]
        axes.fill_between(
            edges,
            [*low, low.iloc[-1]],
            [*high, high.iloc[-1]],
            step="post",
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    aim = _aim(mc, measure)
    if aim is not None:
        axes.axhline(aim, color=DARK, linewidth=0.8)
    low, high = axes.get_ylim()
    step = 0.13 * (high - low)
    for i, name in enumerate(names):
        levels = list(dict.fromkeys(cell.shown[name] for cell in mc.cells))
        ranks = np.array([levels.index(cell.shown[name]) for cell in mc.cells]) / max(len(levels) - 1, 1)
        foot = low - (i + 1) * 1.45 * step
        axes.stairs(foot + 0.75 * step * ranks, edges, baseline=None, color=MIDDLE, linewidth=1.1)
        words = f"{name}: {', '.join(map(str, levels))}"
        axes.text(0.08, foot + 0.85 * step, words, fontsize=_small(axes), color=DARK, va="bottom")
    axes.set_ylim(low - (len(names) * 1.45 + 0.2) * step, high)
    axes.set_yticks([t for t in axes.get_yticks() if low <= t <= high])
    axes.set_xlim(0, len(mc.cells))
    axes.set_xticks([])
    axes.set_xlabel("Cells of the grid")
    axes.set_ylabel(f"{WORDS.get(measure, measure)} of {parameter}")
    if len(mc.estimators) > 1:
        axes.legend(frameon=False, fontsize=_small(axes), loc="upper right")
    axes.data = data
    return cast("Axes", axes)


def standard_errors(
    mc: MonteCarloResults,
    parameter: str | None = None,
    *,
    estimator: str | None = None,
    cell: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw standard errors against estimates, a dot a replication; intervals cover inside the funnel.

    Parameters
    ----------
    mc : MonteCarloResults.
    parameter : str or None, the last one.
    estimator : str or None, the first one.
    cell : label such as ``"n=250"``, dict of values, or None where there is one cell.
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
    estimator, parameter, table = _parameter(mc, cell, estimator, parameter)
    truth = _truth(mc, cell, parameter)
    table = table[np.isfinite(table["std_error"])]
    if table.empty:
        raise WithheldError(f"{estimator!r} has no standard errors for {parameter!r}.")
    covers = (table["conf_low"] <= truth) & (truth <= table["conf_high"])
    data = table[["estimate", "std_error"]].assign(covers=covers).reset_index(drop=True)
    axes: Any = _axes(ax, 0.8 * WIDTH)
    shown = data if len(data) <= EVERY else data.iloc[np.linspace(0, len(data) - 1, EVERY).astype(int)]
    for hit, colour in ((True, MIDDLE), (False, ACCENT)):
        part = shown[shown["covers"] == hit]
        axes.scatter(part["estimate"], part["std_error"], s=7, color=colour, alpha=0.6, linewidths=0)
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    z = float(special.ndtri(0.5 + mc.task.level / 2))
    edge = np.array([max(low, 0.0), high])
    for side in (-1, 1):
        axes.plot(truth + side * z * edge, edge, color=DARK, linewidth=0.9)
    spread = float(data["estimate"].std(ddof=1))
    axes.axhline(spread, color=LIGHT, linewidth=1.2, zorder=0)
    axes.annotate(
        "empirical s.e.",
        (1, spread),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=_small(axes),
        color=DARK,
    )
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    axes.set_xlabel(f"Estimate of {parameter} (truth {truth:g})")
    axes.set_ylabel("Standard error")
    axes.set_title(
        f"{_where(mc, cell, estimator)}: {covers.mean():.3f} cover",
        fontsize=_small(axes),
        color=DARK,
        loc="left",
    )
    axes.data = data
    return cast("Axes", axes)


KINDS: dict[str, Callable[..., Axes]] = {
    "lollipop": lollipop,
    "zip": zipper,
    "nested_loop": nested_loop,
    "standard_errors": standard_errors,
}


def plot_study(mc: MonteCarloResults, kind: str, **options: Any) -> Axes:
    """The picture of a study by name; see `MonteCarloResults.plot`."""
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not known; choose {', '.join(map(repr, KINDS))}.")
    return KINDS[kind](mc, **options)
