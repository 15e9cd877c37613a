"""Where an increasing function meets zero: limits of a quantile are where a band of F meets its level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from disteconometrics.arrays import Array, Mask

__all__ = ["UNSURE", "crossings", "crossings_of_mass", "just_below"]

NEAR = 1e-7  # share of the width within which a limit is found
MOST_SECANTS = 4
UNSURE = 2.6  # standard errors of F at a mass, within which a level may be on either side
MOST_DOUBLINGS = 100  # of a step away from a mass


def crossings(g: Callable[[Array], Array], start: Array, step: Array, at_start: Array | None = None) -> Array:
    """Roots (m,) of g beyond ``start`` in the direction of ``step``; ±inf where g stays on one side.

    ``at_start`` are values of g there, where they are known.  A step that leads near the root is followed by
    few secants.

    Examples
    --------
    >>> crossings(lambda u: u * u - 2, np.array([0.0]), np.array([1.0])).round(6)
    array([1.414214])
    """
    fa = g(start) if at_start is None else at_start
    ends = start + step, g(start + step)
    found, near = _secants(g, (start, fa), ends, step)
    return found if near.all() else np.where(near, found, _bracketed(g, (start, fa), ends, step))


def _secants(
    g: Callable[[Array], Array], start: tuple[Array, Array], end: tuple[Array, Array], step: Array
) -> tuple[Array, Mask]:
    """Roots (m,) by secants from two points and their values, and which of them are near enough.

    Of points x₀, x₁, x₂ and the secant's next one, errors obey e₃ = K·e₂·e₁ and e₂ = K·e₁·e₀.
    """
    (a, fa), (b, fb) = start, end
    first, before = a, a
    near = step == 0
    found = np.where(near, first, np.nan)
    for i in range(MOST_SECANTS):
        with np.errstate(divide="ignore", invalid="ignore"):
            c = b - fb * (b - a) / (fb - fa)
            good = ((c - first) / step > 0) & ((c - first) / step < 2)
            good &= np.square(c - b) <= NEAR * np.abs(c - before) * np.abs(step)
        now = good & ~near & (i > 0)
        found, near = np.where(now, c, found), near | now
        if near.all() or i + 1 == MOST_SECANTS or not np.isfinite(c[~near]).all():
            break
        before, a, fa, b = a, b, fb, np.where(near, found, c)
        fb = g(b)
    return found, near


def _bracketed(
    g: Callable[[Array], Array], start: tuple[Array, Array], end: tuple[Array, Array], step: Array
) -> Array:
    """`crossings` wherever they are: steps that double, then the Illinois rule."""
    (a, fa), (b, fb) = start, end
    first = a
    for _ in range(8):
        short = np.isfinite(fb) & (fa * fb > 0) & (step != 0)
        if not short.any():
            break
        step = np.where(short, 2 * step, step)
        a, fa, b = np.where(short, b, a), np.where(short, fb, fa), np.where(short, b + step, b)
        fb = np.where(short, g(b), fb)
    never, enough = ~np.isfinite(fb) | (fa * fb > 0), NEAR * np.abs(fa - fb)
    going = ~never & (step != 0)
    for _ in range(60):  # Illinois
        if not going.any():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.where(fb != fa, b - fb * (b - a) / (fb - fa), (a + b) / 2)
        c = np.where(going, c, b)
        fc = g(c)
        other = fc * fb < 0
        a, fa = np.where(going & other, b, a), np.where(going, np.where(other, fb, fa / 2), fa)
        b, fb = c, np.where(going, fc, fb)
        going &= (np.abs(fb) >= enough) & (np.abs(b - a) >= 1e-10 * (np.abs(a) + np.abs(step)))
    return np.where(step == 0, first, np.where(never, np.where(step > 0, np.inf, -np.inf), b))


def just_below(point: float) -> float:
    """The largest number below another: F there is without the mass.

    Examples
    --------
    >>> just_below(1.0) < 1.0
    True
    """
    return float(np.nextafter(point, -np.inf))


def crossings_of_mass(g: Callable[[Array], Array], point: float, width: Array) -> Array:
    """Where an increasing g with a jump at a point reaches zero (m,): at the jump, or on either side of it.

    ``width`` (m,) are first steps away from the point; ±inf where g stays on one side, NaN where it has no
    value.

    Examples
    --------
    >>> g = lambda y: np.where(y < 0, y - 1, y + 1) - np.array([0.5, 3.0, -4.0])
    >>> crossings_of_mass(g, 0.0, np.ones(3)).round(6).tolist()
    [0.0, 2.0, -3.0]
    """
    here, before = np.full(len(width), point), np.full(len(width), just_below(point))
    at, below = g(here), g(before)
    above, under = at < 0, below >= 0
    side = above.astype(float) - under
    start, step = np.where(under, before, here), side * width
    for _ in range(MOST_DOUBLINGS):
        found = g(start + step)
        short = (above & (found < 0)) | (under & (found >= 0))
        if not short.any():
            break
        step = np.where(short, 2 * step, step)
    never = np.where(above, np.inf, -np.inf)
    ends = np.where(short, never, crossings(g, start, np.where(short, 0.0, step)))
    return np.where(np.isnan(at + below), np.nan, ends)
