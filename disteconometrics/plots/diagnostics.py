"""Pictures of how well probabilities fit outcomes: ROC curve, calibration, influence of rows.

Each function returns matplotlib Axes that carry the numbers behind the picture as a DataFrame, ``ax.data``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from disteconometrics.checks import whole
from disteconometrics.errors import OptionError
from disteconometrics.inference.diagnostics import Calibration, HosmerLemeshow, Influence, RocCurve
from disteconometrics.plots.style import (
    ACCENT,
    CURVE,
    DARK,
    FLAT,
    MIDDLE,
    WIDTH,
    draw_intervals,
    finish,
    prepare,
    small,
    write_apart,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibration", "influence", "roc"]


SQUARE = 0.95 * WIDTH  # height of a picture with equal axes


def _square(ax: Any, words: str) -> None:
    """Both axes from 0 to 1, equally long, with the diagonal, and words below it."""
    ax.plot([0, 1], [0, 1], color=MIDDLE, linewidth=0.8, zorder=0)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.text(0.98, 0.04, words, ha="right", color=DARK, fontsize=small(ax))


def _of(result: Any, kind: type, method: str, data: Any, **options: Any) -> Any:
    """The diagnostic itself, or that of a result with such a ``method``."""
    if isinstance(result, kind):
        if data is not None:
            raise OptionError(f"data= goes with a result; this {kind.__name__} has its rows already.")
        return result
    if not hasattr(result, method):
        raise OptionError(
            f"{type(result).__name__}: give the result of a binary-outcome model, or what its "
            f".{method}() returns."
        )
    return getattr(result, method)(**options, **({} if data is None else {"data": data}))


def roc(result: Any, *, ax: Axes | None = None, data: Any = None) -> Axes:
    """Draw true against false positive rates over all thresholds, with the area under the curve.

    Parameters
    ----------
    result : the result of a binary outcome, or RocCurve as ``res.roc()`` returns it.
    ax : matplotlib Axes or None for a new figure.
    data : table of other rows to judge the result on, None for the rows of the fit.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame: threshold, false_positive_rate, true_positive_rate.

    Raises
    ------
    OptionError, NeedsData, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = roc(de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector()))
    >>> ax.data.iloc[:2].round(3).to_numpy().tolist()
    [[inf, 0.0, 0.0], [0.952, 0.0, 0.091]]
    >>> plt.close(ax.figure)
    """
    curve = _of(result, RocCurve, "roc", data)
    words = f"Area {curve.auc:.3f}"
    if curve.withheld is None:
        words += f" (s.e. {curve.std_error:.3f})"
    table = curve.table.copy()
    axes = prepare(ax, SQUARE)
    _square(axes, words)
    axes.plot(table["false_positive_rate"], table["true_positive_rate"], color=ACCENT, linewidth=CURVE)
    return finish(axes, "False positive rate", "True positive rate", table)


def calibration(result: Any, *, ax: Axes | None = None, groups: int = 10, data: Any = None) -> Axes:
    """Draw how often the outcome came against how often it was predicted, by groups, with 95 % limits.

    Parameters
    ----------
    result : the result of a binary outcome, or Calibration as ``res.calibration()`` returns it, or
        HosmerLemeshow, whose test is printed with its groups.
    ax : matplotlib Axes or None for a new figure.
    groups : int, groups between quantiles of the probabilities.
    data : table of other rows to judge the result on, None for the rows of the fit.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by group: rows, predicted, observed, conf_low, conf_high.

    Raises
    ------
    OptionError, NeedsData

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = calibration(de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector()), groups=4)
    >>> ax.data[["predicted", "observed"]].round(3).to_numpy().tolist()
    [[0.042, 0.0], [0.116, 0.25], [0.424, 0.25], [0.793, 0.875]]
    >>> plt.close(ax.figure)
    """
    if isinstance(result, HosmerLemeshow):
        table, words = result.shares(), f"Hosmer-Lemeshow p = {result.test.p_value:.3f}"
    else:
        found = _of(result, Calibration, "calibration", data, groups=groups)
        table, words = found.table.copy(), _slope_words(found)
    axes = prepare(ax, SQUARE)
    _square(axes, words)
    draw_intervals(axes, table["predicted"], table["observed"], table["conf_low"], table["conf_high"])
    return finish(axes, "Predicted probability", "Observed share", table)


def _slope_words(found: Calibration) -> str:
    """Slope and intercept where they are numbers, and the Brier score."""
    words = f"Brier {found.brier:.3f}"
    if np.isfinite(found.slope):
        line = f"Slope {found.slope:.2f}, intercept {found.intercept + 0.0:.2f}\n".replace("-0.00", "0.00")
        words = line + words
    return words


def influence(result: Any, *, ax: Axes | None = None, label: int = 3) -> Axes:
    """Draw Cook's distance of every row against its leverage, and name the rows that matter most.

    Parameters
    ----------
    result : the result of a binary outcome, or Influence as ``res.influence()`` returns it.
    ax : matplotlib Axes or None for a new figure.
    label : int, how many rows to name by their index.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is a DataFrame by row: leverage, cooks_distance.

    Raises
    ------
    OptionError, NeedsData, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = influence(de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector()))
    >>> ax.data.nlargest(2, "cooks_distance").round(3)
        leverage  cooks_distance
    31     0.135           0.418
    23     0.100           0.182
    >>> plt.close(ax.figure)
    """
    label = whole(label, "label", 0)
    table = _of(result, Influence, "influence", None).table()[["leverage", "cooks_distance"]]
    axes = prepare(ax, FLAT)
    look = {"color": ACCENT, "markersize": 4, "alpha": 0.55, "markeredgewidth": 0}
    axes.plot(table["leverage"], table["cooks_distance"], "o", **look)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.08, y=0.08)
    axes.locator_params(nbins=6)
    named = table.nlargest(label, "cooks_distance")
    write_apart(axes, list(map(str, named.index)), named["leverage"], named["cooks_distance"])
    return finish(axes, "Leverage", "Cook's distance", table)
