"""A centre that is a line in the outcome's own units, where it leaves less spread than one on the log scale.

Under a declared support the outcome is brought to the line, for positive ones by a logarithm, and covariates
often enter in levels: log y then bends against them, and a line through it makes a scale and a tail out of
the bend.  Food expenditure given income has a fitted standard deviation of 598 around a line through its
logarithm and of 283 around the logarithm of a line; the sample has 277.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.support import Support

__all__ = ["line_in_own_units"]

ERRORS = 2.0  # of the difference in log-likelihood, and at least so much of it, that the other line must gain
LEAST = 1.0
STEPS, HALVINGS = 50, 20
SETTLED = 1e-12  # relative decrease of the squares


def line_in_own_units(u: Array, Z: Array, w: Array, support: Support, straight: Array) -> Array | None:
    """Coefficients of a line Zb in the outcome's units with u ≈ g(Zb); None where it is not clearly better.

    Both lines have normal errors on the scale of u, so their log-likelihoods compare as in Vuong's test.

    Parameters
    ----------
    u : (n,) float64 array, outcomes on the line, and Z (n, k) their covariates with a constant first.
    w : (n,) float64 array, weights.
    support : Support, whose map g brings outcomes to the line.
    straight : (n,) float64 array, residuals of the line through u.

    References
    ----------
    Vuong (1989), Likelihood ratio tests for model selection and non-nested hypotheses, Econometrica 57,
    doi:10.2307/1912557.

    Examples
    --------
    >>> x = np.linspace(1, 9, 200)
    >>> Z, u = np.column_stack([np.ones(200), x]), np.log(x) + 0.1 * np.cos(40 * x)
    >>> flat = u - Z @ np.linalg.lstsq(Z, u, rcond=None)[0]
    >>> round(float(line_in_own_units(u, Z, np.ones(200), Support(0.0), flat)[1]), 1)
    1.0
    """
    b, e = _fitted(u, Z, w, support)
    total = w.sum()
    old, new = w @ np.square(straight) / total, w @ np.square(e) / total
    if not 0 < new < old:
        return None
    gains = 0.5 * (np.log(old / new) + np.square(straight) / old - np.square(e) / new)
    gain = w @ gains
    error = np.sqrt(w @ np.square(gains - gain / total))
    return b if gain > max(ERRORS * error, LEAST) else None


def _fitted(u: Array, Z: Array, w: Array, support: Support) -> tuple[Array, Array]:
    """Least squares of u on g(Zb) by Gauss-Newton, with its residuals; every Zb stays inside the support."""

    def residuals(b: Array) -> Array:
        at = Z @ b
        inside = (at > support.low) & (at < support.high)
        return u - support.to_line(at) if inside.all() else np.full(len(u), np.inf)

    def solved(J: Array, e: Array) -> Array:
        weighted = J * w[:, None]
        return np.asarray(np.linalg.lstsq(weighted.T @ J, weighted.T @ e, rcond=None)[0])

    y = support.from_line(u)
    b = np.zeros(Z.shape[1])
    b[0] = np.average(y, weights=w)
    b, e = _nearest(b, solved(Z, y - b[0]), residuals, w, np.inf)
    for _ in range(STEPS):
        squares = float(w @ np.square(e))
        b, e = _nearest(b, solved(Z * np.exp(support.log_slope(Z @ b))[:, None], e), residuals, w, squares)
        if not w @ np.square(e) < (1 - SETTLED) * squares:
            break
    return b, e


def _nearest(
    b: Array, step: Array, residuals: Callable[[Array], Array], w: Array, most: float
) -> tuple[Array, Array]:
    """The longest of a step and its halves that does not make the squares larger than ``most``."""
    for k in range(HALVINGS):
        at = b + step * 0.5**k
        e = residuals(at)
        if w @ np.square(e) < most:
            return at, e
    return b, residuals(b)
