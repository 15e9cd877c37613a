"""Pictures of two laws: the area between distribution functions, the integrand of Kullback and Leibler, quantiles matched.

Each takes any two laws without rows: ours, scipy's frozen ones, or samples (n,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.law import Law
from disteconometrics.distributions.scipy_law import Scipy
from disteconometrics.errors import NeedsData, OptionError
from disteconometrics.plots.style import ACCENT, DARK, LIGHT, SECOND, FLAT, WIDTH, prepare, small

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cdf_area", "kl_integrand", "plot_groups", "plot_map", "plot_simulated", "qq"]

Array = NDArray[np.float64]

POINTS = 2_001  # of a curve
TAIL = 1e-4  # probability that a picture leaves out at either end


def _law(given: Any) -> Law:
    if isinstance(given, Law):
        law = given
    elif hasattr(given, "ppf") and hasattr(given, "dist"):
        law = Scipy(given)
    elif np.ndim(given) == 1:
        law = Empirical(np.asarray(given, dtype=np.float64))
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


def _names(labels: Sequence[str] | None) -> tuple[str, str]:
    if labels is None:
        return "F", "G"
    if isinstance(labels, str) or len(labels) != 2:
        raise OptionError(f"labels={labels!r}: give two names.")
    return str(labels[0]), str(labels[1])


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
    first, second = _law(f), _law(g)
    a, b = _names(labels)
    y = _grid(first, second)
    data = pd.DataFrame({"y": y, "first": first.cdf(y), "second": second.cdf(y)})
    data["gap"] = data["first"] - data["second"]
    axes: Any = prepare(ax, FLAT)
    axes.fill_between(y, data["first"], data["second"], color=LIGHT, linewidth=0)
    for values, color in ((data["first"], ACCENT), (data["second"], SECOND)):
        axes.plot(y, values, color=color, linewidth=1.6)
    _direct(axes, data, (a, b))
    area = float(np.trapezoid(np.abs(data["gap"]), y))
    axes.set_title(f"area between = W1 = {area:.4g}", loc="left", fontsize=small(axes))
    axes.set_ylim(0, 1.02)
    axes.margins(x=0)
    axes.set_xlabel("y" if xlabel is None else xlabel)
    axes.set_ylabel("probability")
    axes.data = data
    return cast("Axes", axes)


def _direct(axes: Any, data: pd.DataFrame, names: tuple[str, str]) -> None:
    """Names beside the curves, the one further left on its left side."""
    at = [float(np.interp(0.5, data[c], data["y"])) for c in ("first", "second")]
    left = int(at[1] < at[0])
    for i, (name, color, column) in enumerate(zip(names, (ACCENT, SECOND), ("first", "second"), strict=True)):
        level = 0.8 if i == left else 0.3
        x = float(np.interp(level, data[column], data["y"]))
        side, shift = ("right", -6) if i == left else ("left", 6)
        axes.annotate(
            name,
            (x, level),
            (shift, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            color=color,
            fontsize=small(axes),
        )


def kl_integrand(
    f: Any,
    g: Any,
    *,
    labels: Sequence[str] | None = None,
    xlabel: str | None = None,
    ax: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw two densities, and below them f·log(f/g) with its area by sign, whose sum is the divergence KL(f ‖ g).

    Parameters
    ----------
    f, g : laws without rows that have densities.
    labels : two names, or None for f and g.
    xlabel : str or None, name and unit of the outcome.
    ax : two matplotlib Axes or None for a new figure.

    Returns
    -------
    pair of matplotlib Axes
        The lower one's ``.data`` has y, first, second (densities) and integrand.

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
    a, b = ("f", "g") if labels is None else _names(labels)
    y = _grid(first, second)
    data = pd.DataFrame({"y": y, "first": first.pdf(y), "second": second.pdf(y)})
    with np.errstate(divide="ignore", invalid="ignore"):
        data["integrand"] = np.where(
            data["first"] > 0, data["first"] * (first.logpdf(y) - second.logpdf(y)), 0.0
        )
    if ax is None:
        from matplotlib import pyplot as plt

        pair = plt.subplots(2, 1, sharex=True, figsize=(WIDTH, 1.1 * WIDTH), layout="constrained")[1]
    else:
        pair = list(ax)
        if len(pair) != 2:
            raise OptionError(
                f"ax has {len(pair)} Axes; the picture needs two, such as plt.subplots(2, 1)[1]."
            )
    upper, lower = (prepare(one, WIDTH) for one in pair)
    for column, name, color in (("first", a, ACCENT), ("second", b, SECOND)):
        upper.plot(y, data[column], color=color, linewidth=1.6)
        top = int(data[column].to_numpy().argmax())
        upper.annotate(
            name,
            (y[top], data[column].iloc[top]),
            (0, 3),
            textcoords="offset points",
            ha="center",
            color=color,
            fontsize=small(upper),
        )
    upper.margins(x=0, y=0.12)
    upper.set_ylim(bottom=0)
    upper.set_ylabel("density")
    values = data["integrand"]
    lower.fill_between(y, 0, values, where=values >= 0, color=ACCENT, alpha=0.35, linewidth=0)
    lower.fill_between(y, 0, values, where=values <= 0, color=SECOND, alpha=0.35, linewidth=0)
    lower.plot(y, values, color=DARK, linewidth=1.0)
    lower.axhline(0, color=DARK, linewidth=0.6)
    positive, negative = (
        float(np.trapezoid(part, y)) for part in (np.maximum(values, 0), np.minimum(values, 0))
    )
    text = f"KL = {positive:.4g} − {-negative:.4g} = {positive + negative:.4g}"
    lower.set_title(text, loc="left", fontsize=small(lower))
    lower.margins(x=0)
    lower.set_xlabel("y" if xlabel is None else xlabel)
    lower.set_ylabel(f"{a} · log({a} / {b})")
    lower.data = data
    return cast("Axes", upper), cast("Axes", lower)


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
    first, second = _law(f), _law(g)
    a, b = _names(labels)
    levels = np.linspace(0.005, 0.995, 199)
    data = pd.DataFrame({"level": levels, "first": first.quantile(levels), "second": second.quantile(levels)})
    axes: Any = prepare(ax, WIDTH)
    ends = (
        float(data[["first", "second"]].to_numpy().min()),
        float(data[["first", "second"]].to_numpy().max()),
    )
    axes.plot(ends, ends, color=LIGHT, linewidth=1.2)
    axes.annotate(
        "equal",
        (ends[1], ends[1]),
        (-4, -10),
        textcoords="offset points",
        ha="right",
        color=DARK,
        fontsize=small(axes),
    )
    axes.plot(data["first"], data["second"], color=ACCENT, linewidth=1.7)
    for level in (0.1, 0.5, 0.9):
        at = int(np.abs(levels - level).argmin())
        x, y = data["first"].iloc[at], data["second"].iloc[at]
        axes.plot(x, y, "o", color=ACCENT, markersize=4)
        axes.annotate(
            f"{level:g}", (x, y), (5, -9), textcoords="offset points", color=ACCENT, fontsize=small(axes)
        )
    name = "quantile" if xlabel is None else f"quantile of {xlabel}"
    axes.set_xlabel(f"{name}, {a}")
    axes.set_ylabel(f"{name}, {b}")
    axes.data = data
    return cast("Axes", axes)


def plot_groups(result: Any, kind: str, *, ax: Axes | None = None) -> Axes:
    """Draw the samples of a comparison of two groups; see `WassersteinResults.plot`.

    Raises
    ------
    NeedsData, OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> res = de.WassersteinDistance("wage ~ union").fit({"wage": [5.0, 6.0, 7.0, 9.0], "union": [0, 0, 1, 1]}, seed=1)
    >>> ax = res.plot("qq")
    >>> ax.get_xlabel()
    'quantile of wage, union = 0'
    >>> plt.close(ax.figure)
    """
    if result.rows is None:
        raise NeedsData(
            "This result was loaded from a file, which holds no rows: fit again to draw its samples."
        )
    samples, facts = result.rows.samples, result.facts
    if len(samples) != 2 or samples[0].rows.shape[1] != 1:
        raise OptionError(
            "The picture is of two groups and one outcome; draw others with de.plots.cdf_area(x, y)."
        )
    known = {"cdf": cdf_area, "qq": qq}
    if kind not in known:
        raise OptionError(f"kind={kind!r} is not known; use {' or '.join(map(repr, known))}.")
    laws = [Empirical(s.rows[:, 0], s.mass) for s in samples]
    labels = [f"{facts['group']} = {label}" for label in result.rows.labels]
    return known[kind](*laws, labels=labels, xlabel=facts["outcomes"][0], ax=ax)


def plot_map(result: Any, kind: str, *, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Draw quantile effects or the map between two groups with the uniform band; see `TransportMapResults.plot`.

    Raises
    ------
    NeedsData, OptionError, WithheldError

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> rng = np.random.default_rng(1)
    >>> res = de.TransportMap("y ~ g").fit({"y": rng.normal(size=80) + np.repeat([0, 1], 40), "g": np.repeat([0, 1], 40)})
    >>> ax = res.plot()
    >>> ax.get_ylabel(), ax.data.columns.tolist()[-2:]
    ('effect on the quantile of y', ['band_low', 'band_high'])
    >>> plt.close(ax.figure)
    """
    if kind not in ("qte", "map"):
        raise OptionError(f"kind={kind!r} is not known; use 'qte' or 'map'.")
    outcome, group, labels = result.facts["outcomes"][0], result.facts["group"], result.facts["labels"]
    if kind == "qte":
        low, high = result.model.index_set
        data = result.qte(np.linspace(low, high, 181), level=level).reset_index()
        x, names = data["level"], ("level of the quantile", f"effect on the quantile of {outcome}")
    else:
        data = result.map(level=level)
        x, names = data["y"], (f"{outcome}, {group} = {labels[0]}", f"{outcome}, {group} = {labels[1]}")
    axes: Any = prepare(ax, FLAT if kind == "qte" else WIDTH)
    finite = data.replace([np.inf, -np.inf], np.nan)
    ends = finite[["estimate", "band_low", "band_high"]].to_numpy()
    floor, ceiling = float(np.nanmin(ends)), float(np.nanmax(ends))
    low_edge, high_edge = (finite[c].fillna(v) for c, v in (("band_low", floor), ("band_high", ceiling)))
    axes.fill_between(x, low_edge, high_edge, step="post", color=ACCENT, alpha=0.2, linewidth=0)
    if kind == "qte":
        axes.axhline(0, color=DARK, linewidth=0.7)
    else:
        line = [float(x.min()), float(x.max())]
        axes.plot(line, line, color=DARK, linewidth=0.7)
    axes.step(x, data["estimate"], where="post", color=ACCENT, linewidth=1.6)
    axes.margins(x=0)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.data = data
    return cast("Axes", axes)


def plot_simulated(result: Any, *, ax: Axes | None = None) -> Axes:
    """Draw quantiles of the data against those of a simulator at its estimate; see `MinimumWassersteinResults.plot`.

    Raises
    ------
    NeedsData

    Examples
    --------
    >>> import disteconometrics as de
    >>> from matplotlib import pyplot as plt
    >>> model = de.MinimumWasserstein("y ~ 1", lambda theta, x, z: theta[0] + theta[1] * z, start=[0.0, 1.0])
    >>> ax = model.fit({"y": np.random.default_rng(1).normal(size=100)}, seed=1).plot()
    >>> ax.get_ylabel()
    'quantile of y, data'
    >>> plt.close(ax.figure)
    """
    law, outcome = result.distribution(), result.facts["outcome"]
    return qq(law, Empirical(result.problem.y), labels=("simulated", "data"), xlabel=outcome, ax=ax)
