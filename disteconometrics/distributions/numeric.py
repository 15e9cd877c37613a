"""What laws compute with: numbers, parameters, levels and seeds as users give them.

Quantiles and expectations from a cdf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disteconometrics.arrays import Array, Seed
from disteconometrics.checks import is_whole
from disteconometrics.errors import ConvergenceWarning, OptionError, warn_user

__all__ = [
    "ROUNDED",
    "SETTLED",
    "TOLERANCE",
    "batch_of",
    "divergence",
    "draws_count",
    "floats",
    "generator",
    "invert",
    "level_array",
    "level_integral",
    "root",
    "warn_unsettled",
]


LONGEST = 400  # steps; bisecting all floats takes 64, and every fourth step bisects
REACH = 6.08  # π·sinh(REACH) = 687: levels down to 1e-298
PANELS = 10
NODES = 12  # Gauss-Legendre points in a panel
TOLERANCE = 1e-12  # of a panel, relative to the integral of |f|
DEPTH = 48  # halvings of a panel
MOST_PANELS = 400
MOST_CELLS = 8_000_000  # of rows × points at a time
SETTLED = 1e-8  # relative error beyond which a user is warned
ROUNDED = 1e-100  # levels at which a quantile that overflows counts as rounded
DIVERGES = 1e-6  # of the integral, still in the last point (level 1e-298): no finite expectation


def floats(given: Any, what: str) -> Array:
    """Numbers as float64, an integer or boolean array included.

    Raises
    ------
    OptionError
        If they are not numbers.

    Examples
    --------
    >>> floats([1, 2], "Outcomes")
    array([1., 2.])
    """
    try:
        values = np.asarray(given)
        if values.dtype.kind in "buifO":
            return values.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        pass
    raise OptionError(f"{what} must be numbers; got {str(given)[:60]!r}.")


def batch_of(**parameters: Any) -> tuple[Array, ...]:
    """Parameters, each a number or one per row, in their common batch shape () or (n,).

    Raises
    ------
    OptionError
        If one is not numeric, has two dimensions, or lengths differ.

    Examples
    --------
    >>> batch_of(mean=0, std=[1, 2])
    (array([0., 0.]), array([1., 2.]))
    """
    values = [floats(v, f"{name} of a law") for name, v in parameters.items()]
    try:
        values = [np.array(v) for v in np.broadcast_arrays(*values)]
    except ValueError:
        shapes = ", ".join(f"{name} {v.shape}" for name, v in zip(parameters, values, strict=True))
        raise OptionError(
            f"The parameters of a law differ in length: {shapes}; give numbers or one value per row."
        ) from None
    if values[0].ndim > 1:
        raise OptionError(
            f"The parameters of a law are numbers or one value per row; got shape {values[0].shape}."
        )
    return tuple(values)


def generator(seed: Seed) -> np.random.Generator:
    """The random numbers of a seed; a Generator is spawned from, not advanced, and no global state is used.

    Raises
    ------
    OptionError
        If the seed is something else.

    Examples
    --------
    >>> int(generator(3).integers(1000))
    811
    """
    if isinstance(seed, np.random.Generator):
        child: np.random.Generator = seed.spawn(1)[0]
        return child
    if seed is not None and not is_whole(seed, 0):
        raise OptionError(
            f"seed={seed!r}: give a whole number of at least 0, a numpy Generator, or None for a drawn seed."
        )
    return np.random.default_rng(None if seed is None else int(seed))


def draws_count(m: Any) -> int:
    """Check a number of draws per row."""
    if not is_whole(m, 0):
        raise OptionError(f"m={m!r}: give the number of draws per row, a whole number of at least 0.")
    return int(m)


def level_array(given: Any, what: str = "Quantile levels τ") -> Array:
    """Levels as float64, checked to lie in [0, 1]."""
    tau = floats(given, what)
    wrong = ~((tau >= 0) & (tau <= 1))
    if np.any(wrong):
        raise OptionError(f"{what} lie between 0 and 1; got {tau[wrong].ravel()[0]}.")
    return tau


# ---- quantiles and expectations ---------------------------------------------------------------------------


def _ordered(y: Array) -> NDArray[np.int64]:
    """Floats as whole numbers in the same order, neighbours one apart."""
    bits = np.ascontiguousarray(y + 0.0).view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)


def _between(low: Array, high: Array) -> Array:
    """The float halfway from low to high in the order of floats: at most 64 steps find any number."""
    a, b = _ordered(low), _ordered(high)
    mid = (a >> 1) + (b >> 1) + (a & b & 1)
    return np.asarray(np.where(mid < 0, np.int64(-(2**63)) - mid, mid).view(np.float64))


def invert(
    cdf: Callable[[Array], Array],
    sf: Callable[[Array], Array],
    logpdf: Callable[[Array], Array | None],
    tau: Array,
    low: Array,
    high: Array,
    *,
    upper: bool,
    start: Array | None = None,
) -> Array:
    """Smallest y with F(y) ≥ τ, or with 1 − F(y) ≤ τ from above.

    It is found by Newton steps on log F or log(1 − F) inside a bisected bracket.

    Parameters
    ----------
    cdf, sf, logpdf : functions of outcomes of τ's shape; logpdf returns None for a discrete law, which is
        bisected only.
    tau : (…, m) float64 in (0, 1).
    low, high : (…, 1) or (…, m) float64, ends of the support or of what holds the quantiles; may be infinite.
    upper : bool, whether levels count from above.
    start : (…, m) float64 or None, where to begin.

    Returns
    -------
    (…, m) float64; NaN where F is.

    Examples
    --------
    >>> two = (np.array([-np.inf]), np.array([np.inf]))
    >>> logistic = lambda y: 1 / (1 + np.exp(-y))
    >>> slope = lambda y: np.log(logistic(y)) + np.log(logistic(-y))
    >>> with np.errstate(all="ignore"):
    ...     q = invert(logistic, lambda y: logistic(-y), slope, np.array([0.25]), *two, upper=False)
    >>> bool(abs(q[0] + np.log(3)) < 1e-14)
    True
    """
    shape, far = tau.shape, np.finfo(float).max
    below = (tau <= 0.5) != upper  # whether the nearer tail is the lower one
    level = np.log(np.where(tau <= 0.5, tau, 1 - tau))
    lo = np.broadcast_to(low, shape)
    lo, hi = (
        np.where(lo > -far, np.nextafter(np.maximum(lo, 1 - far), -np.inf), np.where(np.isnan(lo), lo, -far)),
        np.minimum(np.broadcast_to(high, shape), far).copy(),
    )
    y = np.where(np.isfinite(lo + hi) & (hi - lo < far), 0.5 * (lo + hi), 0.0)
    y = np.where(np.broadcast_to(low > -np.inf, shape) & (hi == far), lo + 1.0 + np.abs(lo), y)
    y = np.where(np.broadcast_to(high < np.inf, shape) & (lo == -far), hi - 1.0 - np.abs(hi), y)
    y = np.clip(y if start is None else np.where(np.isfinite(start), start, y), lo, hi)

    def step(y: Array) -> tuple[Array, Array]:
        p = np.where(below, cdf(y), sf(y))
        log_p = np.log(p)
        gap = np.where(below, log_p - level, level - log_p)
        slope = logpdf(y)
        return gap, np.full(shape, np.nan) if slope is None else gap * np.exp(log_p - slope)

    return root(step, lo, hi, y)


def root(step: Callable[[Array], tuple[Array, Array]], lo: Array, hi: Array, y: Array) -> Array:
    """The smallest y in (lo, hi] with gap(y) ≥ 0, for an increasing gap.

    Steps are Newton's, and bisect the floats where these are not half as long as the last.  Where one would
    leave the bracket, the next goes twice as far inside that end as Newton's step there was long: past what
    curvature and rounding leave.

    Parameters
    ----------
    step : y → the gap and the step to take off y, NaN where there is none; arrays as y.
    lo, hi, y : float64 arrays of one shape, the bracket and a start inside.

    Examples
    --------
    >>> at = lambda value: np.array([value])
    >>> root(lambda y: (y**2 - 2, (y**2 - 2) / (2 * y)), at(0.0), at(10.0), at(1.0)).round(12)
    array([1.41421356])
    """
    done = np.isnan(lo) | np.isnan(hi)
    of_lo, of_hi = np.full(y.shape, np.nan), np.full(y.shape, np.nan)  # Newton's steps at the ends
    last = np.full(y.shape, np.inf)
    for _ in range(LONGEST):
        gap, move = step(y)
        done |= np.isnan(gap)
        y = np.where(np.isnan(gap), np.nan, y)
        below, above, size = ~done & (gap < 0), ~done & (gap >= 0), np.abs(move)
        lo, hi = np.where(below, y, lo), np.where(above, y, hi)
        of_lo, of_hi = (np.where(e & np.isfinite(size), size, o) for e, o in ((below, of_lo), (above, of_hi)))
        middle = _between(lo, hi)
        closed = ~done & ((middle <= lo) | (middle >= hi))
        y, done = np.where(closed, hi, y), done | closed
        newton = y - move
        done |= (np.abs(move) <= 2e-16 * np.abs(y)) & (move != 0)
        done |= (gap == 0) & (move == 0)
        if done.all():
            break
        inside = np.where(newton >= hi, hi - 2 * of_hi, np.where(newton <= lo, lo + 2 * of_lo, newton))
        fast = (size <= 0.5 * last) & (inside > lo) & (inside < hi)
        y, last = np.where(done, y, np.where(fast, inside, middle)), np.where(fast, size, np.inf)
    return np.where(np.isnan(lo) | np.isnan(hi), np.nan, y)


def _outermost(integrand: Array) -> Array:
    """The last number on the way out, from integrands ordered inwards.

    Zeros stand for overflow or underflow of the law.
    """
    first = np.argmax(integrand != 0, axis=-1)
    return np.take_along_axis(integrand, first[..., None], axis=-1)[..., 0]


def _by_levels(function: Callable[[Array, bool], Array], batch: tuple[int, ...]) -> Callable[[Array], Array]:
    """The integrand in t, where levels are 1/(1 + exp(−π·sinh t)), batch + (m,) at points (m,)."""

    def integrand(t: Array) -> Array:
        s = np.pi * np.sinh(t)
        level = 1 / (1 + np.exp(np.abs(s)))
        scale = level * (1 - level) * np.pi * np.cosh(t)
        out, upper = np.empty(batch + t.shape), s > 0
        for side in (False, True):
            at = upper == side
            if at.any():
                out[..., at] = function(level[at], side) * scale[at]
        return np.where((level < ROUNDED) & ~np.isfinite(out), 0.0, out)

    return integrand


def divergence(function: Callable[[Array, bool], Array], batch: tuple[int, ...], scale: Array) -> Array:
    """±inf where ∫ f(τ) dτ over (0, 1) is still growing at levels of 1e-298, zero elsewhere, batch shape.

    NaN where both ends grow with different signs.

    Parameters
    ----------
    function : f(τ, upper) at levels (m,) below 1e-100 from below or, if upper, from above → batch + (m,).
    batch : () or (n,).
    scale : the integral of |f|, batch shape.

    Examples
    --------
    >>> divergence(lambda tau, upper: 1 / tau if upper else tau, (), np.ones(()))
    np.float64(inf)
    """
    integrand, total = _by_levels(function, batch), np.zeros(batch)
    far = np.linspace(REACH, np.arcsinh(-np.log(ROUNDED) / np.pi), 12)
    for side in (-1, 1):
        end = _outermost(integrand(side * far))
        total = total + np.where(np.abs(end) > DIVERGES * scale, np.sign(end) * np.inf, 0.0)
    return total[()]


def warn_unsettled() -> None:
    """Warn of an expectation with less than eight digits."""
    warn_user(
        ConvergenceWarning(
            "An expectation of a law did not settle to eight digits.", hint="check it with draws"
        )
    )


def level_integral(function: Callable[[Array, bool], Array], batch: tuple[int, ...]) -> Array:
    """∫ f(τ) dτ over (0, 1), adaptively, in a variable that reaches both ends down to levels of 1e-298.

    Parameters
    ----------
    function : f(τ, upper) at levels (m,) from below or, if upper, from above → batch + (m,).
    batch : () or (n,).

    Returns
    -------
    batch shape float64; ±inf where one end diverges, NaN where both do with different signs.

    Warns
    -----
    ConvergenceWarning
        If the panels do not settle.

    Examples
    --------
    >>> level_integral(lambda tau, upper: 1 / np.sqrt(1 - tau if upper else tau), ()).round(12)
    np.float64(2.0)
    """
    points, weights = np.polynomial.legendre.leggauss(NODES)

    integrand = _by_levels(function, batch)

    def panels(a: Array, b: Array) -> tuple[Array, Array]:
        """Integrals of f and |f| over panels, batch + (panels,)."""
        half, mid = (b - a) / 2, (a + b) / 2
        f = integrand((mid[:, None] + half[:, None] * points).ravel()).reshape(*batch, len(a), NODES)
        return (f @ weights) * half, (np.abs(f) @ weights) * half

    edges = np.linspace(-REACH, REACH, PANELS + 1)
    a, b = edges[:-1], edges[1:]
    whole, size = panels(a, b)
    scale = np.maximum(np.nan_to_num(size.sum(axis=-1)), 1e-300)
    total = divergence(function, batch, scale)
    if not np.isfinite(total).any():
        return total[()]
    most = min(MOST_PANELS, max(PANELS, MOST_CELLS // (2 * NODES * max(1, total.size))))
    for depth in range(DEPTH):
        mid = (a + b) / 2
        both, _ = panels(np.concatenate([a, mid]), np.concatenate([mid, b]))
        left, right = both[..., : len(a)], both[..., len(a) :]
        off = np.where(np.isfinite(total)[..., None], np.abs(left + right - whole), 0.0)
        again = (off > TOLERANCE * scale[..., None]).reshape(-1, len(a)).any(axis=0)
        if again.sum() > most or depth == DEPTH - 1:  # rounding of the quantiles, or too many kinks
            if np.nanmax(off.sum(axis=-1) / scale, initial=0.0) > SETTLED:
                warn_unsettled()
            again[:] = False
        total = total + (left + right)[..., ~again].sum(axis=-1)
        if not again.any():
            break
        a, b = np.concatenate([a[again], mid[again]]), np.concatenate([mid[again], b[again]])
        whole = np.concatenate([left[..., again], right[..., again]], axis=-1)
    return total[()]
