"""How every picture looks: colours, sizes, the Axes it is drawn on, bands, intervals, words beside curves.

Pictures change no setting of matplotlib: what they want is said with each line they draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_histogram",
    "draw_intervals",
    "finish",
    "heading",
    "legend_above",
    "prepare",
    "shade",
    "small",
    "write",
]

# Okabe and Ito's colours, which remain different to the colour-blind; the first is the accent
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "0.25")
ACCENT, SECOND, DARK, MIDDLE, LIGHT = "#0072B2", "#D55E00", "0.25", "0.6", "0.86"

WIDTH = 4.5  # inches: printed at 8 cm, ten points become seven
FLAT = 0.72 * WIDTH  # height of a curve over a variable
CURVE = 1.7  # width of the line that a picture is about
MOST_DOTS = 3_000  # of a scatter
FRACTION_BY_DATA = ("axes fraction", "data")  # beside the picture, at the height of a value


def prepare(ax: Any, height: float) -> Any:
    """Return the given Axes, or those of one new figure, without the upper and the right line.

    Raises
    ------
    OptionError
        If ``ax`` is no Axes.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> prepare(ax, FLAT) is ax, ax.spines["top"].get_visible()
    (True, False)
    >>> plt.close(ax.figure)
    """
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.subplots(figsize=(WIDTH, height), layout="constrained")[1]
    elif not hasattr(ax, "errorbar"):
        raise OptionError(f"ax={type(ax).__name__}: give one matplotlib Axes, such as plt.subplots()[1].")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def finish(ax: Any, x: str, y: str, data: pd.DataFrame) -> Axes:
    """Name both axes, keep the numbers behind the picture as ``.data``, and return the Axes.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> finish(prepare(None, FLAT), "wage", "density", pd.DataFrame()).get_xlabel()
    'wage'
    >>> plt.close("all")
    """
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.data = data
    return cast("Axes", ax)


def small(ax: Any) -> float:
    """Return a font size a little below that of the axis labels.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> small(prepare(None, FLAT))
    9.0
    >>> plt.close("all")
    """
    return 0.9 * float(ax.xaxis.label.get_fontsize())


def write(
    ax: Any, words: str, at: tuple[Any, Any], shift: tuple[float, float] = (0, 0), **options: Any
) -> None:
    """Write small words at a place, shifted by so many points; ``options`` are those of ``Axes.annotate``.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> write(ax, "median", (0.5, 0.5), (3, 0), va="center")
    >>> ax.texts[0].get_text()
    'median'
    >>> plt.close(ax.figure)
    """
    look = {"textcoords": "offset points", "color": DARK, "fontsize": small(ax)}
    ax.annotate(words, at, shift, **look | options)


def heading(ax: Any, words: str, **options: Any) -> None:
    """Write small words above the picture, on the left; ``options`` are those of ``Axes.set_title``.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> heading(ax, "coverage 0.95")
    >>> ax.get_title("left")
    'coverage 0.95'
    >>> plt.close(ax.figure)
    """
    ax.set_title(words, fontsize=small(ax), loc="left", **options)


def legend_above(ax: Any, **options: Any) -> None:
    """Name the lines in small words above the picture; ``options`` are those of ``Axes.legend``.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> _ = ax.plot([0, 1], label="fit")
    >>> legend_above(ax)
    >>> ax.get_legend().get_frame_on()
    False
    >>> plt.close(ax.figure)
    """
    look = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False, "fontsize": small(ax)}
    ax.legend(**look | options)


def shade(ax: Any, x: Any, low: Any, high: Any, alpha: float | None, **options: Any) -> None:
    """Fill between two curves without an edge, in the accent unless another ``color`` is given.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> shade(ax, [0, 1], [0, 0], [1, 1], 0.2)
    >>> len(ax.collections)
    1
    >>> plt.close(ax.figure)
    """
    ax.fill_between(x, low, high, **{"color": ACCENT, "alpha": alpha, "linewidth": 0} | options)


def draw_intervals(ax: Any, x: Any, value: Any, low: Any, high: Any) -> None:
    """Draw values (m,) as dots over x, with an upright line from ``low`` to ``high`` through each.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> draw_intervals(ax, [0, 1], [1, 2], [0, 1], [2, 3])
    >>> len(ax.lines), len(ax.collections)
    (1, 1)
    >>> plt.close(ax.figure)
    """
    ax.vlines(x, low, high, color=ACCENT, linewidth=1.4, alpha=0.55)
    ax.plot(x, value, "o", color=ACCENT, markersize=5)


def draw_histogram(
    ax: Any, values: Array, low: float, high: float, bins: int, weights: Array | None = None
) -> float:
    """Draw the density of values (n,) within two ends in light bars, and return the height of the highest.

    The bars hold the share of the values that lies within the ends.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> draw_histogram(ax, np.array([0.1, 0.2, 0.7, 5.0]), 0.0, 1.0, 1)
    1.25
    >>> plt.close(ax.figure)
    """
    inside = (values >= low) & (values <= high)
    share = float(np.average(inside, weights=weights))
    heights, edges = np.histogram(
        values[inside], bins=bins, weights=None if weights is None else weights[inside], density=True
    )
    ax.stairs(heights * share, edges, fill=True, color=LIGHT)
    return float((heights * share).max())
