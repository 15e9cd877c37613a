"""Pictures of two laws: the area between distribution functions, the integrand of KL, quantiles matched.

Each takes any two laws without rows: ours, scipy's frozen ones, or samples (n,); the last ones take results
that compare groups or match a simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.scipy_law import Scipy
from disteconometrics.errors import OptionError
from disteconometrics.plots.style import (
    ACCENT,
    CURVE,
    DARK,
    FLAT,
    LIGHT,
    SECOND,
    WIDTH,
    finish,
    heading,
    legend_above,
    prepare,
    room,
    shade,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "cdf_area",
    "group_cdfs",
    "group_quantiles",
    "kl_integrand",
    "qq",
    "simulated",
    "transport_effects",
    "transport_map",
]

PAIR = (("first", ACCENT), ("second", SECOND))  # columns of two laws, and their colours
POINTS = 2_001  # of a curve
TAIL = 1e-4  # probability that a picture leaves out at either end
FAR = np.logspace(-10, -1, 1_801)  # probabilities of the tails that integrals go on into
SETTLED = 400  # place of 1e-8 among them
UNSETTLED = 0.01  # share of an integral beyond there that says that tails add more


def _law(given: Any) -> Law:
    if isinstance(given, Law):
        law = given
    elif hasattr(given, "ppf") and hasattr(given, "dist"):
        law = Scipy(given)
    elif np.ndim(given) == 1:
        law = Empirical(as_floats(given))
    else:
        raise OptionError(
            f"{type(given).__name__} is no law; give a law, a frozen law of scipy.stats, or a sample (n,)."
        )
    if law.batch_shape != ():
        raise OptionError(
            f"The law has {law.batch_shape[0]} rows; average them with .average(), or take one with "
            f".rows(slice(0, 1))."
        )
    return law


def _names(labels: Sequence[str] | None, unnamed: str = "FG") -> tuple[str, str]:
    if labels is None:
        return unnamed[0], unnamed[1]
    if isinstance(labels, str) or len(labels) != 2:
        raise OptionError(f"labels={labels!r}: give two names.")
    return str(labels[0]), str(labels[1])


def _outcome(f: Law, g: Law) -> str:
    """What the axis of two laws is of: the outcome that they name, unless they name two."""
    names = {law.outcome for law in (f, g) if law.outcome}
    return names.pop() if len(names) == 1 else "y"


def _grid(f: Law, g: Law) -> Array:
    ends = np.array([law.quantile([TAIL, 1 - TAIL]) for law in (f, g)])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    pad = 0.03 * (high - low) or 1.0
    grid = np.linspace(low - pad, high + pad, POINTS)
    steps = [law.values for law in (f, g) if isinstance(law, Empirical)]  # both sides of every step
    return np.unique(np.concatenate([grid, *steps, *(np.nextafter(s, -np.inf) for s in steps)]))


def cdf_area(
    f: Any, g: Any, *, labels: Sequence[str] | None = None, xlabel: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw two distribution functions and shade the area between them, which is W1.

    Parameters
    ----------
    f, g : laws without rows: of this package, frozen ones of ``scipy.stats``, or samples (n,).
    labels : two names, or None for F and G.
    xlabel : str or None, name and unit of the outcome.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has y, first, second (distribution functions) and gap.

    Raises
    ------
    OptionError
        If an argument is no law without rows.

    Examples
    --------
    >>> from scipy import stats
    >>> from matplotlib import pyplot as plt
    >>> ax = cdf_area(stats.norm(0, 1), stats.norm(2, 1))
    >>> round(float(np.trapezoid(ax.data.gap.abs(), ax.data.y)), 3)
    2.0
    >>> plt.close(ax.figure)
    """
    first, second, names = _law(f), _law(g), _names(labels)
    y = _grid(first, second)
    data = pd.DataFrame({"y": y, "first": first.cdf(y), "second": second.cdf(y)})
    data["gap"] = data["first"] - data["second"]
    axes = prepare(ax, FLAT)
    shade(axes, y, data["first"], data["second"], None, color=LIGHT)
    for column, color in PAIR:
        axes.plot(y, data[column], color=color, linewidth=1.6)
    _name_beside(axes, data, names)
    area = float(np.trapezoid(np.abs(data["gap"]), y))
    heading(axes, f"area between = W1 = {area:.4g}")
    axes.set_ylim(0, 1.02)
    axes.margins(x=0)
    return finish(axes, _outcome(first, second) if xlabel is None else xlabel, "probability", data)


def _window(f: Law, g: Law) -> tuple[float, float]:
    """What is drawn of densities: as `_grid`, but not so far that tails leave no room to the bodies."""
    low, high = room([law.quantile([TAIL, 0.05, 0.95, 1 - TAIL]) for law in (f, g)])
    pad = 0.03 * (high - low) or 1.0
    return low - pad, high + pad


def _far_grid(f: Law, g: Law, window: tuple[float, float]) -> Array:
    """Points of the window and, ever wider apart, of the tails beyond it."""
    levels = np.r_[FAR, 1 - FAR[::-1]]
    parts = [np.linspace(*window, POINTS)]
    for law in (f, g):
        q = np.asarray(law.quantile(levels))
        first, last = q[[0, SETTLED]], q[[-1, -1 - SETTLED]]
        parts += [q, 2 * first[:1] - first[1:], 2 * last[:1] - last[1:]]  # the last two lie beyond hard edges
    grid = np.concatenate(parts)
    return np.unique(grid[np.isfinite(grid)])


def _name_beside(ax: Any, data: pd.DataFrame, names: tuple[str, str]) -> None:
    """Names beside the curves, the one further left on its left side."""
    at = [float(np.interp(0.5, data[c], data["y"])) for c, _ in PAIR]
    left = int(at[1] < at[0])
    for i, (name, (column, color)) in enumerate(zip(names, PAIR, strict=True)):
        level, side, shift = (0.8, "right", -6) if i == left else (0.3, "left", 6)
        x = float(np.interp(level, data[column], data["y"]))
        write(ax, name, (x, level), (shift, 0), ha=side, va="center", color=color)


def kl_integrand(
    f: Any,
    g: Any,
    *,
    labels: Sequence[str] | None = None,
    xlabel: str | None = None,
    ax: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw two densities, and below them f·log(f/g), whose areas by sign add up to KL(f ‖ g).

    Parameters
    ----------
    f, g : laws without rows that have densities.
    labels : two names, or None for f and g.
    xlabel : str or None, name and unit of the outcome.
    ax : two matplotlib Axes or None for a new figure.

    Returns
    -------
    pair of matplotlib Axes
        Their ``.data`` has y, first, second (densities) and integrand, far into tails that are not drawn.

    Raises
    ------
    OptionError
        If a law has no density or has rows.

    Examples
    --------
    >>> from scipy import stats
    >>> from matplotlib import pyplot as plt
    >>> upper, lower = kl_integrand(stats.norm(0, 1), stats.norm(2, 1))  # KL = 2² / 2
    >>> round(float(np.trapezoid(lower.data.integrand, lower.data.y)), 2)
    2.0
    >>> plt.close(lower.figure)
    """
    first, second = _law(f), _law(g)
    for law in (first, second):
        if getattr(law, "discrete", False):
            raise OptionError(
                "KL needs two densities, and a sample or a discrete law has none; estimate one: "
                "de.FlowDensity('y ~ 1')."
            )
    names = _names(labels, "fg")
    window = _window(first, second)
    y = _far_grid(first, second, window)
    data = pd.DataFrame({"y": y, "first": first.pdf(y), "second": second.pdf(y)})
    with np.errstate(divide="ignore", invalid="ignore"):
        data["integrand"] = np.where(
            data["first"] > 0, data["first"] * (first.logpdf(y) - second.logpdf(y)), 0.0
        )
    upper, lower = (prepare(one, WIDTH) for one in _pair(ax))
    drawn = data[data["y"].between(*window)].reset_index(drop=True)
    _draw_densities(upper, drawn, names)
    _draw_integrand(lower, drawn)
    heading(lower, _kl_words(data, first.quantile([FAR[SETTLED], 1 - FAR[SETTLED]])))
    finish(upper, "", "density", data)
    finish(
        lower,
        _outcome(first, second) if xlabel is None else xlabel,
        f"{names[0]} · log({names[0]} / {names[1]})",
        data,
    )
    return upper, lower


def _pair(ax: Any) -> Sequence[Any]:
    """The two Axes given, or those of a new figure, one above the other."""
    if ax is None:
        from matplotlib import pyplot as plt

        new: Sequence[Any] = plt.subplots(
            2, 1, sharex=True, figsize=(WIDTH, 1.1 * WIDTH), layout="constrained"
        )[1]
        return new
    pair = list(ax)
    if len(pair) != 2:
        raise OptionError(f"ax has {len(pair)} Axes; the picture needs two, such as plt.subplots(2, 1)[1].")
    return pair


def _draw_densities(ax: Any, data: pd.DataFrame, names: tuple[str, str]) -> None:
    values = data[["first", "second"]].to_numpy()
    tops = values.argmax(axis=0)
    places = data["y"].to_numpy()
    apart = abs(places[tops[0]] - places[tops[1]]) > 0.1 * (places[-1] - places[0])
    for i, (name, (column, color)) in enumerate(zip(names, PAIR, strict=True)):
        ax.plot(data["y"], data[column], color=color, linewidth=1.6, label=name)
        if apart:
            at = (places[tops[i]], values[tops[i], i])
            write(ax, name, at, (0, 3), ha="center", color=color)
    if not apart:  # names would stand upon each other
        legend_above(ax, ncols=2)
    ax.margins(x=0, y=0.12)
    ax.set_ylim(bottom=0)


def _draw_integrand(ax: Any, data: pd.DataFrame) -> None:
    y, values = data["y"], data["integrand"]
    shade(ax, y, 0, values, 0.35, where=values >= 0)
    shade(ax, y, 0, values, 0.35, where=values <= 0, color=SECOND)
    ax.plot(y, values, color=DARK, linewidth=1.0)
    ax.axhline(0, color=DARK, linewidth=0.6)
    ax.margins(x=0)


def _kl_words(data: pd.DataFrame, tails: Array) -> str:
    """KL as the difference of two areas; a bound where the tails that integration ends in add to it."""
    y, values = data["y"].to_numpy(), data["integrand"].to_numpy()
    gain, loss = (float(np.trapezoid(part, y)) for part in (np.maximum(values, 0), np.maximum(-values, 0)))
    last = (y <= tails[0]) | (y >= tails[1])
    if not np.isfinite(gain):
        return "KL = ∞: the second density is zero where the first is not"
    if np.trapezoid(np.where(last, values, 0.0), y) > UNSETTLED * abs(gain - loss):
        return f"KL > {gain - loss:.3g}, or infinite: far tails add to it"
    return f"KL = {gain:.4g} − {loss:.4g} = {gain - loss:.4g}"


def qq(
    f: Any, g: Any, *, labels: Sequence[str] | None = None, xlabel: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the quantiles of the second law against those of the first: the optimal map from one to the other.

    Parameters
    ----------
    f, g : laws without rows: of this package, frozen ones of ``scipy.stats``, or samples (n,).
    labels : two names, or None for F and G.
    xlabel : str or None, name and unit of the outcome.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has level, first and second (quantiles).

    Raises
    ------
    OptionError
        If an argument is no law without rows.

    Examples
    --------
    >>> from scipy import stats
    >>> from matplotlib import pyplot as plt
    >>> ax = qq(stats.norm(0, 1), stats.norm(1, 2))  # T(y) = 1 + 2y
    >>> bool(np.allclose(ax.data.second, 1 + 2 * ax.data["first"]))
    True
    >>> plt.close(ax.figure)
    """
    first, second, names = _law(f), _law(g), _names(labels)
    levels = np.linspace(0.005, 0.995, 199)
    data = pd.DataFrame({"level": levels, "first": first.quantile(levels), "second": second.quantile(levels)})
    axes = prepare(ax, WIDTH)
    both = data[["first", "second"]].to_numpy()
    ends = float(both.min()), float(both.max())
    axes.plot(ends, ends, color=LIGHT, linewidth=1.2)
    write(axes, "equal", (ends[1], ends[1]), (-4, -10), ha="right")
    axes.plot(data["first"], data["second"], color=ACCENT, linewidth=CURVE)
    for level in (0.1, 0.5, 0.9):
        at = int(np.abs(levels - level).argmin())
        x, y = data["first"].iloc[at], data["second"].iloc[at]
        axes.plot(x, y, "o", color=ACCENT, markersize=4)
        write(axes, f"{level:g}", (x, y), (5, -9), color=ACCENT)
    what = "quantile" if xlabel is None else f"quantile of {xlabel}"
    return finish(axes, f"{what}, {names[0]}", f"{what}, {names[1]}", data)


# ---- results -----------------------------------------------------------------------------------------------


def _groups(result: Any) -> tuple[list[Empirical], dict[str, Any]]:
    """The laws of the samples of two groups with one outcome, and the words for a picture of them."""
    groups = result.data_rows()
    if len(groups.samples) != 2 or len(groups.outcomes) != 1:
        raise OptionError(
            "The picture is of two groups and one outcome; draw others with de.plots.cdf_area(x, y)."
        )
    laws = [Empirical(s.rows[:, 0], s.mass) for s in groups.samples]
    return laws, {"labels": _names_of(groups), "xlabel": groups.outcomes[0]}


def _names_of(groups: Any) -> list[str]:
    """Groups in words, such as ``union = 1``."""
    return [f"{groups.group} = {label}" for label in groups.labels]


def group_cdfs(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the distribution functions of two groups and shade the area between them, which is W1.

    Parameters
    ----------
    result : a result of two groups with its rows.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is that of `cdf_area`.

    Raises
    ------
    NeedsData, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> wages = {"wage": [5.0, 6.0, 7.0, 9.0], "union": [0, 0, 1, 1]}
    >>> ax = group_cdfs(de.WassersteinDistance("wage ~ union").fit(wages, seed=1))
    >>> ax.get_xlabel()
    'wage'
    >>> plt.close(ax.figure)
    """
    laws, words = _groups(result)
    return cdf_area(*laws, **words, ax=ax)


def group_quantiles(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the quantiles of one group against those of another.

    Parameters
    ----------
    result : a result of two groups with its rows.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is that of `qq`.

    Raises
    ------
    NeedsData, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> wages = {"wage": [5.0, 6.0, 7.0, 9.0], "union": [0, 0, 1, 1]}
    >>> ax = group_quantiles(de.WassersteinDistance("wage ~ union").fit(wages, seed=1))
    >>> ax.get_xlabel()
    'quantile of wage, union = 0'
    >>> plt.close(ax.figure)
    """
    laws, words = _groups(result)
    return qq(*laws, **words, ax=ax)


def transport_effects(result: Any, *, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Draw the effects on quantiles between two groups with their uniform band.

    Parameters
    ----------
    result : a map between two groups, with its rows.
    level : float, probability that the band holds all effects.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has level and the columns of ``result.qte()``.

    Raises
    ------
    NeedsData, OptionError, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> g = np.repeat([0, 1], 40)
    >>> res = de.TransportMap("y ~ g").fit({"y": np.random.default_rng(1).normal(size=80) + g, "g": g})
    >>> ax = transport_effects(res)
    >>> ax.get_ylabel(), ax.data.columns.tolist()[-2:]
    ('effect on the quantile of y', ['band_low', 'band_high'])
    >>> plt.close(ax.figure)
    """
    low, high = result.model.index_set
    data = result.qte(np.linspace(low, high, 181), level=level).reset_index()
    axes = prepare(ax, FLAT)
    axes.axhline(0, color=DARK, linewidth=0.7)
    _draw_steps(axes, data["level"], data)
    return finish(axes, "level of the quantile", f"effect on the quantile of {result.labels()[0]}", data)


def transport_map(result: Any, *, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Draw the map from the outcomes of one group to those of another with its uniform band.

    Parameters
    ----------
    result : a map between two groups, with its rows.
    level : float, probability that the band holds the whole map.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` has y, estimate, band_low, band_high.

    Raises
    ------
    NeedsData, OptionError, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> g = np.repeat([0, 1], 40)
    >>> res = de.TransportMap("y ~ g").fit({"y": np.random.default_rng(1).normal(size=80) + g, "g": g})
    >>> ax = transport_map(res)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('y, g = 0', 'y, g = 1')
    >>> plt.close(ax.figure)
    """
    data, names = result.map(level=level), _names_of(result.data_rows())
    axes = prepare(ax, WIDTH)
    line = [float(data["y"].min()), float(data["y"].max())]
    axes.plot(line, line, color=DARK, linewidth=0.7)
    _draw_steps(axes, data["y"], data)
    outcome = result.labels()[0]
    return finish(axes, f"{outcome}, {names[0]}", f"{outcome}, {names[1]}", data)


def _draw_steps(ax: Any, x: pd.Series, data: pd.DataFrame) -> None:
    """A step function with its band, which ends at the highest and the lowest of its finite values."""
    finite = data[["estimate", "band_low", "band_high"]].replace([np.inf, -np.inf], np.nan)
    low = finite["band_low"].fillna(float(np.nanmin(finite)))
    high = finite["band_high"].fillna(float(np.nanmax(finite)))
    shade(ax, x, low, high, 0.2, step="post")
    ax.step(x, data["estimate"], where="post", color=ACCENT, linewidth=1.6)
    ax.margins(x=0)


def simulated(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw quantiles of the data against those of a simulator at its estimate.

    Parameters
    ----------
    result : a matched simulator with its rows: ``distribution()`` is the law of what it simulates.
    ax : matplotlib Axes or None for a new figure.

    Returns
    -------
    matplotlib Axes
        Its ``.data`` is that of `qq`.

    Raises
    ------
    NeedsData

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> model = de.MinimumWasserstein("y ~ 1", lambda theta, x, z: theta[0] + theta[1] * z, start=[0.0, 1.0])
    >>> ax = simulated(model.fit({"y": np.random.default_rng(1).normal(size=100)}, seed=1))
    >>> ax.get_ylabel()
    'quantile of y, data'
    >>> plt.close(ax.figure)
    """
    law, data = result.distribution(), Empirical(result.data_rows().y)
    return qq(law, data, labels=("simulated", "data"), xlabel=result.labels()[0], ax=ax)
