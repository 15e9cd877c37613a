"""Differences between two groups, split into composition and structure, from averaged laws and their draws.

With F⟨j|k⟩ the law that the coefficients of group j give to the covariates of group k, a functional T of an
outcome differs between groups 1 and 0 by

    T(F⟨1|1⟩) − T(F⟨0|0⟩) = [T(F⟨0|1⟩) − T(F⟨0|0⟩)] + [T(F⟨1|1⟩) − T(F⟨0|1⟩)] = composition + structure

where group 0 is the reference, whose coefficients weigh the covariates.  All three are contrasts of the same
laws in every draw, so that they add up in each.

References
----------
Barrett, Donald (2003), Consistent tests for stochastic dominance, Econometrica 71,
doi:10.1111/1468-0262.00390.
Oaxaca (1973), Male-female wage differentials in urban labor markets, International Economic Review 14,
doi:10.2307/2525981.
Chernozhukov, Fernández-Val, Melly (2013), Inference on counterfactual distributions, Econometrica 81,
doi:10.3982/ECTA10582.
Chernozhukov, Fernández-Val, Melly, Wüthrich (2020), Generic inference on quantile and quantile effect
functions for discrete outcomes, J. American Statistical Association 115,
doi:10.1080/01621459.2019.1611581.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.errors import OptionError
from disteconometrics.inference.crossed_laws import CrossedLaws
from disteconometrics.inference.estimates import critical_value
from disteconometrics.inference.simultaneous import (
    as_normal,
    contrast_limits,
    p_of_draws,
    sup_critical,
)

__all__ = [
    "PARTS",
    "Design",
    "check_levels",
    "curves",
    "design_of",
    "distances",
    "names_of",
    "no_effect",
    "outside",
]

PARTS = ("total", "composition", "structure")


@dataclass(frozen=True, eq=False)
class Design:
    """Which laws a decomposition compares: pairs (fit, rows), and contrasts (3, c) of them."""

    pairs: tuple[tuple[int, int], ...]
    contrasts: Array


def check_levels(levels: Any) -> Array:
    """Levels (m,) of quantiles, between 0 and 1.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_levels(0.5).tolist()
    [0.5]
    """
    try:
        tau = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    except (TypeError, ValueError):
        tau = np.zeros(1)
    if tau.ndim != 1 or not tau.size or not ((tau > 0) & (tau < 1)).all():
        raise OptionError(f"levels={levels!r}: give levels between 0 and 1.")
    return tau


def design_of(reference: int | None) -> Design:
    """The laws and contrasts with a group (0 or 1) as the reference, or the pooled fit, which is fit 2.

    Examples
    --------
    >>> design_of(0).pairs, design_of(0).contrasts.tolist()[1]
    (((0, 0), (1, 1), (0, 1)), [-1.0, 0.0, 1.0])
    >>> all((d.contrasts[0] == d.contrasts[1] + d.contrasts[2]).all() for d in map(design_of, (0, 1, None)))
    True
    """
    if reference is None:
        total, composition = np.array([-1.0, 1, 0, 0]), np.array([0.0, 0, -1, 1])
        pairs: tuple[tuple[int, int], ...] = ((0, 0), (1, 1), (2, 0), (2, 1))
    else:
        total = np.array([-1.0, 1, 0])
        composition = np.array([-1.0, 0, 1]) if reference == 0 else np.array([0.0, 1, -1])
        pairs = ((0, 0), (1, 1), (reference, 1 - reference))
    return Design(pairs, np.array([total, composition, total - composition]))


def curves(laws: CrossedLaws, contrasts: Array, levels: Array, level: float) -> Array:
    """Quantiles of contrasts and laws with limits and uniform bands, (r + c, m, 5).

    The last axis is estimate, limits of one level, band of all levels.  Laws of steps have theirs from F
    inverted, and so have contrasts where values are heaped: between the extremes of bands that hold together.

    Parameters
    ----------
    laws : CrossedLaws.
    contrasts : (r, c) float64 array.
    levels : (m,) float64 array.
    level : float, confidence level.
    """
    found = laws.quantiles(levels)
    plain, deviations = found
    effects, moved = contrasts @ plain, np.einsum("rc,bcm->brm", contrasts, deviations)
    out = [_studentised(laws, e, moved[:, i], level) for i, e in enumerate(effects)]
    if laws.steps and not laws.smooth:
        out = [_inverted(laws, c, plain, levels, level) for c in contrasts]
    for i, q in enumerate(plain):
        one = np.eye(len(plain))[i]
        out.append(
            _inverted(laws, one, plain, levels, level)
            if laws.steps
            else _studentised(laws, q, deviations[:, i], level)
        )
    return np.array(out)


def _studentised(laws: CrossedLaws, values: Array, deviations: Array, level: float) -> Array:
    """Values (m,) with limits by standard errors and a band by the largest deviation (m, 5)."""
    se = laws.errors(deviations)
    if laws.steps:  # where draws stand still by chance; others do so inside of a mass
        se = np.where(se > 0, se, np.nan)
    moves = se > 0
    every = sup_critical(deviations[:, moves] / se[moves], level, laws.df) if moves.any() else 0.0
    one = critical_value(level, laws.df)
    return np.column_stack([values, *(values + c * se for c in (-one, one, -every, every))])


def _inverted(laws: CrossedLaws, contrast: Array, plain: Array, levels: Array, level: float) -> Array:
    """A contrast of quantiles (m,) with limits and a band from those of F (m, 5)."""
    used = np.flatnonzero(contrast)
    c, q = contrast[used], plain[used]
    one, every = (laws.inverted(levels, used.tolist(), level, uniform=u) for u in (False, True))
    limits = contrast_limits(c, q, one, joint=False), contrast_limits(c, q, every, joint=True)
    return np.column_stack([c @ q, *limits[0], *limits[1]])


def no_effect(laws: CrossedLaws, contrasts: Array, levels: Array) -> Array:
    """Tests that contrasts of F are zero: by the largest |t| and the mean t², with their p-values (r, 6).

    The last two are p-values of stochastic dominance, by the largest t of one sign: that a contrast is
    nowhere above zero, so that it lowers no outcome, and that it is nowhere below, raising none.  They are
    exact where it is zero, and cautious elsewhere.  All stand on F at the laws' quantiles at levels, never on
    bands of quantiles.

    Parameters
    ----------
    laws : CrossedLaws.
    contrasts : (r, c) float64 array.
    levels : (m,) float64 array, between whose quantiles outcomes enter.
    """
    y = np.unique(laws.quantiles(levels).values)
    y = y[~np.isnan(y)]  # levels of which the records tell nothing
    if not len(y):
        return np.full((len(contrasts), 6), np.nan)
    plain, deviations = laws.cdf(y)
    share = np.diff(plain.mean(axis=0), prepend=0.0)
    out = []
    for c in contrasts:
        moved = np.einsum("c,bcm->bm", c, deviations)
        se = moved.std(axis=0)
        use = se > 0
        if not use.any():
            out.append([np.nan] * 6)
            continue
        difference, drawn = (c @ plain)[use], moved[:, use] / se[use]
        t = as_normal(np.abs(difference) / se[use], laws.df)
        w = share[use] / share[use].sum()
        largest, mean = float(t.max()), float(np.square(t) @ w)
        signed = t * np.sign(difference)
        p = p_of_draws(np.abs(drawn).max(axis=1), largest), p_of_draws(np.square(drawn) @ w, mean)
        sides = [p_of_draws((s * drawn).max(axis=1), float((s * signed).max())) for s in (1, -1)]
        out.append([largest, p[0], mean, p[1], *sides])
    return np.array(out)


def distances(laws: CrossedLaws, contrasts: Array) -> Array:
    """Wasserstein distances W1 (r,) of the two laws of each contrast; NaN of a contrast of more."""
    y = laws.grid()
    F = laws.values(y)
    width = np.diff(y)
    out = []
    for c in contrasts:
        a = np.abs(c @ F) if np.count_nonzero(c) == 2 else np.full(len(y), np.nan)
        out.append(float((a[:-1] if laws.steps else (a[:-1] + a[1:]) / 2) @ width))
    return np.array(out)


def outside(X: Array, own: Array, shares: Array) -> float:
    """The share of rows X (n, k) with a column outside the range that it has in other rows (m, k).

    Examples
    --------
    >>> outside(np.array([[1.0], [3.0]]), np.array([[0.0], [2.0]]), np.array([0.5, 0.5]))
    0.5
    """
    out: Mask = ((own.min(axis=0) > X) | (own.max(axis=0) < X)).any(axis=1)
    return float(shares[out].sum())


def names_of(functionals: Sequence[Any]) -> tuple[str, ...]:
    """Names of the parts of functionals, functional by functional.

    Examples
    --------
    >>> names_of(["mean"])
    ('mean: total', 'mean: composition', 'mean: structure')
    """
    return tuple(f"{f}: {part}" for f in functionals for part in PARTS)
