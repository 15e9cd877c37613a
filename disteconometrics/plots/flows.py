"""Pictures of trained and joint densities: contours, marginals, draws over data, epochs, a bent grid, loss.

A law may be given by the result that has it, as ``result.distribution()``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from disteconometrics.arrays import AnyArray, Array, as_floats
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.flow_law import FlowJointLaw
from disteconometrics.distributions.joint import JointLaw
from disteconometrics.errors import OptionError
from disteconometrics.plots.style import (
    ACCENT,
    CURVE,
    DARK,
    FLAT,
    LIGHT,
    MIDDLE,
    MOST_DOTS,
    SECOND,
    WIDTH,
    draw_histogram,
    finish,
    legend_above,
    prepare,
    room,
    small,
)
from disteconometrics.plots.transport import qq

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["contours", "deformation", "epochs", "learned", "loss", "marginals", "samples", "trained"]

Density = JointLaw | Callable[[Array], Array]

PLANE = 0.85 * WIDTH  # height of a picture of two outcomes
SIDE = 120  # points of a grid in each direction
LEVELS = 12
DRAWS = 4_000  # by which the frame of a picture is chosen


def _joint(law: Any, count: int | None = None) -> JointLaw:
    """One joint law, given or that of a result, of two outcomes where ``count`` asks for them."""
    law = law.distribution() if hasattr(law, "distribution") else law
    if not isinstance(law, JointLaw) or (count is not None and len(law.outcomes) != count):
        of = "" if count is None else " of two outcomes"
        raise OptionError(f"{type(law).__name__}: this picture is of a joint law{of}, res.distribution().")
    if law.batch_shape:
        raise OptionError(
            f"The law has {law.batch_shape[0]} rows; take the law of one: res.distribution(new) of a "
            f"single row."
        )
    return law


def _in_a_row(axes: Any, count: int, what: str, size: tuple[float, float], **options: Any) -> AnyArray:
    """The axes given, ``count`` of them, or those of a new figure of a size in inches, side by side."""
    if axes is None:
        from matplotlib import pyplot as plt

        axes = plt.subplots(1, count, figsize=size, layout="constrained", **options)[1]
    axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    if len(axes) != count:
        raise OptionError(f"axes has {len(axes)} places for {count} {what}.")
    return cast("AnyArray", axes)


def _points(data: Any, names: Sequence[str]) -> Array:
    """Outcomes (n, d) of a table or an array."""
    if hasattr(data, "keys"):
        missing = [name for name in names if name not in data]
        if missing:
            raise OptionError(f"data has no column {missing[0]!r}; give a table with {' and '.join(names)}.")
        data = np.column_stack([as_floats(data[name]) for name in names])
    points = as_floats(data)
    if points.ndim != 2 or points.shape[1] != len(names):
        wanted = f"a table with {' and '.join(names)}, or an array (n, {len(names)})"
        raise OptionError(f"data has shape {points.shape}; give {wanted}.")
    return points


def _frame(law: JointLaw, points: Array | None) -> tuple[Array, Array]:
    """The grids of both outcomes, over the central 99.6 % of the points, or of draws, and a little beyond."""
    seen = law.sample(DRAWS, seed=0) if points is None else points
    low, high = np.nanquantile(seen, 0.002, axis=0), np.nanquantile(seen, 0.998, axis=0)
    pad = 0.08 * (high - low)
    ends = zip(low - pad, high + pad, strict=True)
    first, second = (np.linspace(*end, SIDE) for end in ends)
    return first, second


def _ends(*columns: Array) -> tuple[float, float]:
    """The range of the central 99.8 % of columns, less far in long tails."""
    return room([np.nanquantile(column, [0.001, 0.05, 0.95, 0.999]) for column in columns])


def _few(points: Array) -> Array:
    return points[:: -(-len(points) // MOST_DOTS)]


def _density(of: Density, points: Array) -> Array:
    return as_floats(of.pdf(points) if isinstance(of, JointLaw) else of(points))


def contours(
    law: Any,
    data: Any = None,
    *,
    minus: Density | None = None,
    frame: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the density of two outcomes in filled contours, over data; or its difference from a truth.

    Parameters
    ----------
    law : JointLaw of two outcomes, without rows, or a result with one.
    data : table with the two columns, array (n, 2), or None; drawn as dots.
    minus : JointLaw or function (m, 2) → (m,) densities, taken off the density; None draws the density
        itself.
    frame : pair of arrays, the grid of either outcome, or None for the range of the data, else of draws.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has the two outcomes and ``density`` (or ``difference``) on the grid.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.FlowDensity("income + foodexp ~ 1", flow=de.AffineMap()).fit(de.datasets.engel())
    >>> ax = contours(res.distribution(), de.datasets.engel())
    >>> ax.get_xlabel(), ax.data.columns.tolist()
    ('income', ['income', 'foodexp', 'density'])
    >>> plt.close(ax.figure)
    """
    law = _joint(law, 2)
    points = None if data is None else _points(data, law.outcomes)
    first, second = _frame(law, points) if frame is None else (as_floats(f) for f in frame)
    A, B = np.meshgrid(first, second)
    grid = np.column_stack([A.ravel(), B.ravel()])
    values = _density(law, grid)
    axes = prepare(ax, PLANE)
    if minus is None:
        name, Z = "density", values.reshape(A.shape)
        axes.contourf(A, B, np.where(0.01 * Z.max() < Z, Z, np.nan), levels=LEVELS, cmap="Blues")
    else:
        values = values - _density(minus, grid)
        name, Z = "difference", values.reshape(A.shape)
        _draw_difference(axes, A, B, Z)
    if points is not None:
        few = _few(points)
        axes.plot(few[:, 0], few[:, 1], ".", color=DARK, markersize=1.5, alpha=0.5)
    axes.set_xlim(first[0], first[-1])
    axes.set_ylim(second[0], second[-1])
    x, y = law.outcomes
    return finish(axes, x, y, pd.DataFrame({x: grid[:, 0], y: grid[:, 1], name: values}))


def _draw_difference(ax: Any, A: Array, B: Array, Z: Array) -> None:
    """Contours of a difference in two colours that meet at zero, with a bar that says how much."""
    edge = float(np.abs(Z).max()) or 1.0
    shades = ax.contourf(A, B, Z, levels=np.linspace(-edge, edge, 2 * LEVELS + 1), cmap="RdBu_r")
    ticks = np.linspace(-edge, edge, 5)
    ax.figure.colorbar(shades, ax=ax, label="fit less truth", ticks=ticks, format="%.2g")


def samples(law: Any, data: Any, *, m: int = 1000, seed: Any = 0, ax: Axes | None = None) -> Axes:
    """Draw the data over simulated outcomes; the farthest points lie beyond the picture.

    Parameters
    ----------
    law : JointLaw of two outcomes, without rows, or a result with one.
    data : table with the two columns, or array (n, 2).
    m : int, draws.
    seed : of the draws.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has the drawn outcomes.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.FlowDensity("income + foodexp ~ 1", flow=de.AffineMap()).fit(de.datasets.engel())
    >>> ax = samples(res.distribution(), de.datasets.engel(), m=100)
    >>> ax.data.shape
    (100, 2)
    >>> plt.close(ax.figure)
    """
    law = _joint(law, 2)
    points = _points(data, law.outcomes)
    draws = law.sample(m, seed=seed)
    axes = prepare(ax, PLANE)
    few = _few(points)
    axes.plot(draws[:, 0], draws[:, 1], ".", color=ACCENT, markersize=3, alpha=0.4, label="draws of the fit")
    axes.plot(few[:, 0], few[:, 1], ".", color=DARK, markersize=2, label="data")
    legend_above(axes, ncols=2, markerscale=3)
    first, second = (_ends(*columns) for columns in zip(few.T, draws.T, strict=True))
    axes.set(xlim=first, ylim=second)
    x, y = law.outcomes
    return finish(axes, x, y, pd.DataFrame(draws, columns=[x, y]))


def marginals(
    law: Any, data: Any, *, m: int = 10_000, bins: int = 50, seed: Any = 0, axes: Any = None
) -> AnyArray:
    """Draw the histogram of every outcome, and over it that of the law's draws.

    Parameters
    ----------
    law : JointLaw without rows, or a result with one.
    data : table with the columns of its outcomes, or array (n, d).
    m : int, draws.
    bins : int, bars, over the range of the central 99.8 % of data and of draws, less far in long tails.
    seed : of the draws.
    axes : d matplotlib Axes, or None for a new figure.

    Returns
    -------
    array of d matplotlib Axes
        The ``.data`` of each has left, right and the densities ``data`` and ``fit`` of every bar.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.FlowDensity("income + foodexp ~ 1", flow=de.AffineMap()).fit(de.datasets.engel())
    >>> [ax.get_xlabel() for ax in marginals(res.distribution(), de.datasets.engel())]
    ['income', 'foodexp']
    >>> plt.close("all")
    """
    law = _joint(law)
    if not m or not bins:
        raise OptionError(f"m={m!r}, bins={bins!r}: a histogram takes draws and bars, at least one of each.")
    names = law.outcomes
    points, draws = _points(data, names), law.sample(m, seed=seed)
    axes = _in_a_row(axes, len(names), "outcomes", (min(3.2 * len(names), 9.0), 2.4))
    for j, (ax, name) in enumerate(zip(axes, names, strict=True)):
        seen = points[~np.isnan(points[:, j]), j]
        edges = np.histogram_bin_edges(seen, bins, range=_ends(seen, draws[:, j]))
        heights = [np.histogram(v, edges)[0] / (len(v) * np.diff(edges)) for v in (seen, draws[:, j])]
        ax.stairs(heights[0], edges, fill=True, color=LIGHT, label="data")
        ax.stairs(heights[1], edges, color=ACCENT, linewidth=1.2, label="draws of the fit")
        ax.margins(x=0)
        bars = {"left": edges[:-1], "right": edges[1:], "data": heights[0], "fit": heights[1]}
        finish(ax, name, "density" if j == 0 else "", pd.DataFrame(bars))
    legend_above(axes[0], loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return cast("AnyArray", axes)


def epochs(
    result: Any, steps: Sequence[int] | None = None, *, data: Any = None, axes: Any = None
) -> AnyArray:
    """Draw the density of two outcomes after some of the steps that were kept, side by side.

    Parameters
    ----------
    result : a trained density of two outcomes with ``snapshots``.
    steps : steps to draw, or None for all that were kept.
    data : table or array (n, 2) drawn as dots, or None.
    axes : as many matplotlib Axes, or None for a new figure.

    Returns
    -------
    array of matplotlib Axes, the last one of the trained flow

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> how = de.Adam(lr=0.05, steps=200, snapshots=(0, 10))
    >>> model = de.FlowDensity("income + foodexp ~ 1", flow=de.Planar(2), train=how)
    >>> res = model.fit(de.datasets.engel(), seed=0)
    >>> [ax.get_title() for ax in epochs(res)]
    ['step 0', 'step 10', 'step 200']
    >>> plt.close("all")
    """
    chosen = list(result.kept) if steps is None else list(steps)
    stages = [(f"step {s}", result.at_step(s)) for s in chosen] + [(f"step {result.facts.best}", result)]
    axes = _in_a_row(axes, len(stages), "steps", (min(2.2 * len(stages), 9.0), 2.5), sharex=True, sharey=True)
    law = _joint(result, 2)
    frame = _frame(law, None if data is None else _points(data, law.outcomes))
    for ax, (title, stage) in zip(axes, stages, strict=True):
        contours(stage.distribution(), data, frame=frame, ax=ax)
        ax.set_title(title, fontsize=small(ax))
        ax.label_outer()
    return cast("AnyArray", axes)


def deformation(law: Any, *, lines: int = 21, reach: float = 2.5, ax: Axes | None = None) -> Axes:
    """Draw what the flow does to a square grid of the noise: where its lines lie among the outcomes.

    Parameters
    ----------
    law : the law of a trained flow of two outcomes, or the result.
    lines : int, lines in either direction.
    reach : float, the grid covers ± so many units of the noise.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has line, the two noises and the two outcomes.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.FlowDensity("income + foodexp ~ 1", flow=de.AffineMap()).fit(de.datasets.engel())
    >>> ax = deformation(res.distribution(), lines=5)
    >>> len(ax.lines)
    10
    >>> plt.close(ax.figure)
    """
    law = law.distribution() if hasattr(law, "distribution") else law
    if not isinstance(law, FlowJointLaw):
        raise OptionError(
            f"{type(law).__name__}: only a flow by name bends a grid; fit one with flow=de.Planar(8) or "
            f"the like."
        )
    _joint(law, 2)
    along, across = np.linspace(-reach, reach, 101), np.linspace(-reach, reach, lines)
    axes = prepare(ax, PLANE)
    parts = []
    for direction in (0, 1):
        for i, level in enumerate(across):
            z = np.empty((len(along), 2))
            z[:, direction], z[:, 1 - direction] = level, along
            y = law.from_noise(z)
            color = SECOND if level == 0 else ACCENT if direction == 0 else MIDDLE
            axes.plot(y[:, 0], y[:, 1], color=color, linewidth=0.8)
            columns = {"line": direction * lines + i, "z1": z[:, 0], "z2": z[:, 1]}
            parts.append(pd.DataFrame(columns | {law.outcomes[0]: y[:, 0], law.outcomes[1]: y[:, 1]}))
    return finish(axes, law.outcomes[0], law.outcomes[1], pd.concat(parts, ignore_index=True))


def loss(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the loss along the steps of a training, and that of the rows held out.

    Parameters
    ----------
    result : anything trained: ``history`` is the table of its losses, ``loss_label`` what they are.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is the history.

    Raises
    ------
    OptionError
        If nothing was trained.

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> how = de.Adam(lr=0.05, steps=200)
    >>> ax = loss(de.FlowDensity("income ~ 1", flow=de.RQS(), train=how).fit(de.datasets.engel(), seed=0))
    >>> ax.get_xlabel(), len(ax.data)
    ('step', 200)
    >>> plt.close(ax.figure)
    """
    table = result.history
    if not len(table):
        raise OptionError("Nothing was trained, so there is no loss to draw.")
    axes = prepare(ax, 0.6 * WIDTH)
    axes.plot(table.index, table["loss"], color=ACCENT, linewidth=1.0)
    low, high = np.nanquantile(table["loss"], [0.0, 0.98])
    axes.set_ylim(low - 0.08 * (high - low), high + 0.15 * (high - low))
    held = table["validation"].dropna() if "validation" in table else table["loss"].iloc[:0]
    if len(held):
        axes.plot(held.index, held, color=SECOND, linewidth=1.4)
        end = held.index[-1], held.iloc[-1]
        axes.annotate("held out", end, (-4, 6), textcoords="offset points", color=SECOND, ha="right")
    axes.margins(x=0)
    return finish(axes, "step", result.loss_label, table)


def _at_most_two(Y: Array) -> None:
    if Y.shape[1] > 2:
        raise OptionError(
            f"{Y.shape[1]} outcomes are too many for one picture; use "
            f"plots.marginals(res.distribution(), data)."
        )


def trained(result: Any, *, bins: int = 50, ax: Axes | None = None) -> Axes:
    """Draw a trained flow: the density over a histogram of one outcome, contours of two over the data.

    Parameters
    ----------
    result : a trained density with its rows.
    bins : int, bars of the histogram of one outcome.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has y and density, or that of `contours`.

    Raises
    ------
    NeedsData, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> how = de.Adam(lr=0.05, steps=200)
    >>> ax = trained(de.FlowDensity("income ~ 1", flow=de.RQS(), train=how).fit(de.datasets.engel(), seed=0))
    >>> ax.data.columns.tolist()
    ['y', 'density']
    >>> plt.close(ax.figure)
    """
    Y = result.data_rows().Y
    if Y.shape[1] == 2:
        return contours(result, Y, ax=ax)
    _at_most_two(Y)
    y = Y[:, 0]
    law = result.average_law()
    low, high = law.quantile([0.001, 0.999])
    low, high = min(low, float(np.quantile(y, 0.002))), max(high, float(np.quantile(y, 0.998)))
    grid = np.linspace(low, high, 300)
    table = pd.DataFrame({"y": grid, "density": law.pdf(grid)})
    axes = prepare(ax, FLAT)
    draw_histogram(axes, y, low, high, bins)
    axes.plot(table["y"], table["density"], color=ACCENT, linewidth=CURVE)
    axes.margins(x=0)
    axes.set_ylim(bottom=0)
    return finish(axes, result.labels()[0], "density", table)


def learned(result: Any, *, ax: Axes | None = None, **options: Any) -> Axes:
    """Draw a law against its data: quantiles against quantiles of one outcome, draws over rows of two.

    Parameters
    ----------
    result : a result with a law and its rows.
    ax : matplotlib Axes or None for a new figure.
    options : passed to `qq` or `samples`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NeedsData, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> ax = learned(de.TransportDensity("foodexp ~ 1").fit(de.datasets.engel()))
    >>> plt.close(ax.figure)
    """
    rows, law = result.data_rows(), result.distribution()
    if rows.Y.shape[1] == 1:
        words = {"labels": ("data", "fit"), "xlabel": result.labels()[0]}
        return qq(Empirical(rows.Y[:, 0], rows.weights), law, ax=ax, **words | options)
    _at_most_two(rows.Y)
    return samples(law, rows.Y, ax=ax, **options)
