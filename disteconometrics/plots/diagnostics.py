"""Pictures of how well probabilities fit outcomes: ROC curve, calibration, influence of rows.

Each function returns matplotlib Axes that carry the numbers behind the picture as a DataFrame, ``ax.data``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from disteconometrics.errors import OptionError
from disteconometrics.estimators.binary.results import BinaryResults
from disteconometrics.inference.diagnostics import Calibration, Influence, RocCurve
from disteconometrics.plots.estimates import ACCENT, DARK, MIDDLE, WIDTH, _axes, _small

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibration", "influence", "roc"]


def _square(ax: Any, x: str, y: str) -> None:
    """Both axes from 0 to 1 with the diagonal; one unit is equally long on both."""
    ax.plot([0, 1], [0, 1], color=MIDDLE, linewidth=0.8, zorder=0)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_aspect("equal")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xlabel(x)
    ax.set_ylabel(y)


def _of(result: Any, kind: type, method: str, data: Any, **options: Any) -> Any:
    """The diagnostic itself, or that of a result."""
    if isinstance(result, kind):
        if data is not None:
            raise OptionError(f"data= goes with a result; this {kind.__name__} has its rows already.")
        return result
    if not isinstance(result, BinaryResults):
        raise OptionError(
            f"{type(result).__name__}: give the result of a binary-outcome model, or what its "
            f".{method}() returns."
        )
    return getattr(result, method)(**options, **({} if data is None else {"data": data}))


def roc(result: BinaryResults | RocCurve, *, ax: Axes | None = None, data: Any = None) -> Axes:
    """Draw true against false positive rates over all thresholds, with the area under the curve.

    Parameters
    ----------
    result : BinaryResults, or RocCurve as ``res.roc()`` returns it.
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
    axes: Any = _axes(ax, 0.95 * WIDTH)
    _square(axes, "False positive rate", "True positive rate")
    axes.plot(
        curve.table["false_positive_rate"], curve.table["true_positive_rate"], color=ACCENT, linewidth=1.7
    )
    words = f"Area {curve.auc:.3f}"
    if curve.withheld is None:
        words += f" (s.e. {curve.std_error:.3f})"
    axes.text(0.98, 0.04, words, ha="right", color=DARK, fontsize=_small(axes))
    axes.data = curve.table.copy()
    return cast("Axes", axes)


def calibration(
    result: BinaryResults | Calibration, *, ax: Axes | None = None, groups: int = 10, data: Any = None
) -> Axes:
    """Draw how often the outcome came against how often it was predicted, by groups of probability, with 95 % limits.

    Parameters
    ----------
    result : BinaryResults, or Calibration as ``res.calibration()`` returns it.
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
    found = _of(result, Calibration, "calibration", data, groups=groups)
    table = found.table
    axes: Any = _axes(ax, 0.95 * WIDTH)
    _square(axes, "Predicted probability", "Observed share")
    axes.vlines(
        table["predicted"], table["conf_low"], table["conf_high"], color=ACCENT, linewidth=1.4, alpha=0.55
    )
    axes.plot(table["predicted"], table["observed"], "o", color=ACCENT, markersize=5)
    words = f"Brier {found.brier:.3f}"
    if np.isfinite(found.slope):
        words = (
            f"Slope {found.slope:.2f}, intercept {found.intercept + 0.0:.2f}\n".replace("-0.00", "0.00")
            + words
        )
    axes.text(0.98, 0.04, words, ha="right", color=DARK, fontsize=_small(axes))
    axes.data = table.copy()
    return cast("Axes", axes)


def influence(result: BinaryResults | Influence, *, ax: Axes | None = None, label: int = 3) -> Axes:
    """Draw Cook's distance of every row against its leverage, and name the rows that matter most.

    Parameters
    ----------
    result : BinaryResults, or Influence as ``res.influence()`` returns it.
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
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or label < 0:
        raise OptionError(f"label={label!r}: give a whole number of at least 0.")
    table = _of(result, Influence, "influence", None).table()[["leverage", "cooks_distance"]]
    axes: Any = _axes(ax, 0.72 * WIDTH)
    axes.plot(
        table["leverage"],
        table["cooks_distance"],
        "o",
        color=ACCENT,
        markersize=4,
        alpha=0.55,
        markeredgewidth=0,
    )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.08, y=0.08)
    axes.set_xlabel("Leverage")
    axes.set_ylabel("Cook's distance")
    axes.locator_params(nbins=6)
    middle = float(np.mean(axes.get_xlim()))
    for name, row in table.nlargest(int(label), "cooks_distance").iterrows():
        right = row["leverage"] > middle
        axes.annotate(
            str(name),
            (row["leverage"], row["cooks_distance"]),
            xytext=(-5 if right else 5, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            color=DARK,
            fontsize=_small(axes),
        )
    axes.data = table
    return cast("Axes", axes)
