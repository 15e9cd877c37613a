"""How every picture looks: colours, sizes, the Axes it is drawn on, bands, intervals, words beside curves.

Pictures change no setting of matplotlib: what they want is said with each line they draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
    "name_levels",
    "prepare",
    "room",
    "shade",
    "small",
    "write",
    "write_apart",
]

# Okabe and Ito's colours, which remain different to the colour-blind; the first is the accent
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "0.25")
ACCENT, SECOND, DARK, MIDDLE, LIGHT = "#0072B2", "#D55E00", "0.25", "0.6", "0.86"

WIDTH = 4.5  # inches: printed at 8 cm, ten points become seven
FLAT = 0.72 * WIDTH  # height of a curve over a variable
CURVE = 1.7  # width of the line that a picture is about
REACH = 1.5  # of a tail that is drawn, times the width of the central 90 %
MOST_DOTS = 3_000  # of a scatter
MOST_LETTERS = 40  # below a picture in one line, the longest name times the number of names
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


def write_apart(ax: Any, words: Sequence[str], x: Any, y: Any) -> None:
    """Write small words (m,) beside dots (m,), each where it covers neither another one nor its dot.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> write_apart(ax, ["a", "b"], [0.5, 0.51], [0.5, 0.5])
    >>> [text.get_text() for text in ax.texts]
    ['a', 'b']
    >>> plt.close(ax.figure)
    """
    ax.autoscale_view()  # the scale that the dots will have
    dots = ax.transData.transform(np.column_stack([x, y]).astype(np.float64))
    point = ax.figure.dpi / 72
    left, right = ax.get_window_extent().intervalx
    taken = [(a - 2 * point, b - 2 * point, a + 2 * point, b + 2 * point) for a, b in dots]
    for word, at, dot in zip(words, zip(x, y, strict=True), dots, strict=True):
        size = 0.62 * small(ax) * len(word) * point, small(ax) * point
        boxes = [_box(dot, (dx * point, dy * point), size, ha) for (dx, dy), ha in _SIDES]
        inside = [left <= box[0] and box[2] <= right for box in boxes]
        covers = [
            sum(map(partial(_meet, box), taken)) + 9 * (not ok) for box, ok in zip(boxes, inside, strict=True)
        ]
        best = int(np.argmin(covers))
        taken.append(boxes[best])
        (shift, ha) = _SIDES[best]
        write(ax, word, at, shift, ha=ha, va="center")


_HEIGHTS = (0, 10, -10, 20, -20, 30, -30)  # points above a dot
_SIDES = [((5 * s, dy), side) for dy in _HEIGHTS for s, side in ((1, "left"), (-1, "right"))]
Box = tuple[float, float, float, float]


def _box(dot: Any, shift: tuple[float, float], size: tuple[float, float], ha: str) -> Box:
    """Left, bottom, right and top (pixels) of words at a dot."""
    x = dot[0] + shift[0] - (size[0] if ha == "right" else 0)
    y = dot[1] + shift[1] - size[1] / 2
    return x, y, x + size[0], y + size[1]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def name_levels(ax: Any, labels: Sequence[str]) -> None:
    """Name levels at 0, 1, … below the picture, slanted where they would run into one another.

    Examples
    --------
    >>> from matplotlib import pyplot as plt
    >>> ax = prepare(None, FLAT)
    >>> name_levels(ax, ["management", "office", "services", "technical"])
    >>> ax.get_xticklabels()[0].get_rotation()
    35.0
    >>> plt.close(ax.figure)
    """
    crowded = len(labels) * max(map(len, labels), default=0) + 2 * len(labels) > MOST_LETTERS
    slant: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    ax.set_xticks(range(len(labels)), labels, **slant)
    ax.tick_params(axis="x", length=0)


def room(quantiles: Any) -> tuple[float, float]:
    """The range that shows some laws, of whose (m, 4) quantiles the inner two are those at .05 and .95.

    It ends at the outer two, but no farther than tails leave room to the bodies.

    Examples
    --------
    >>> room([[-30.0, -1.0, 1.0, 3.0]])
    (-4.0, 3.0)
    """
    low, first, last, high = np.asarray(quantiles, dtype=np.float64).T
    far = REACH * (last - first)
    return float(np.maximum(low, first - far).min()), float(np.minimum(high, last + far).max())


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
