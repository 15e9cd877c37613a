"""Newton steps to the maximum of a concave log-likelihood of few parameters, halved until they climb."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from disteconometrics.arrays import Array

__all__ = ["Ascent", "Pass", "climb"]

CLOSE = 1e-12  # Newton decrement, after which one more step leaves rounding alone
HALVINGS = 60


class Pass(Protocol):
    """Log-likelihood, score (k,) and information (k, k) at a point."""

    @property
    def loglik(self) -> float: ...
    @property
    def score(self) -> Array: ...
    @property
    def information(self) -> Array: ...


P = TypeVar("P", bound=Pass)


@dataclass(frozen=True, eq=False)
class Ascent(Generic[P]):
    """Where an iteration ended, with the pass over the rows there."""

    point: Array
    found: P
    converged: bool
    passes: int
    decrement: float


def climb(
    at: Callable[[Array], P], start: Array, allowed: Callable[[Array], bool], *, maxiter: int = 100
) -> Ascent[P]:
    """The maximum, from a point that is allowed.

    Parameters
    ----------
    at : function of a point (k,) that makes a pass over the rows.
    start : (k,) float64 array.
    allowed : function of a point that says whether it is in the convex set of the parameters.
    maxiter : int, steps at most.

    Returns
    -------
    Ascent

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class Parabola(NamedTuple):
    ...     loglik: float
    ...     score: Array
    ...     information: Array
    >>> at = lambda x: Parabola(-float((x[0] - 2) ** 2), -2 * (x - 2), np.full((1, 1), 2.0))
    >>> climb(at, np.zeros(1), lambda x: True).point
    array([2.])
    """
    theta, found, decrement, converged, passes = start, at(start), np.inf, False, 1
    while not converged and passes <= maxiter:
        step = _newton(found)
        if step is None:
            break
        decrement = float(found.score @ step)
        converged = decrement < CLOSE * max(1.0, abs(found.loglik))
        moved = _halved(at, theta, step, found, allowed)
        if moved is None:
            break
        theta, found = moved
        passes += 1
    return Ascent(theta, found, converged, passes, decrement)


def _newton(found: Pass) -> Array | None:
    """Newton's step, None where the information is singular."""
    scale = np.sqrt(np.maximum(np.diagonal(found.information), 1e-300))
    try:
        factor = cho_factor(found.information / scale / scale[:, None])
    except (np.linalg.LinAlgError, ValueError):
        return None
    return np.asarray(cho_solve(factor, found.score / scale) / scale)


def _halved(
    at: Callable[[Array], P], theta: Array, step: Array, found: P, allowed: Callable[[Array], bool]
) -> tuple[Array, P] | None:
    """The first of halved steps that is allowed and does not fall by more than rounding."""
    slack = 1e-13 * (1 + abs(found.loglik))
    for _ in range(HALVINGS):
        point = theta + step
        if allowed(point):
            new = at(point)
            if np.isfinite(new.loglik) and new.loglik >= found.loglik - slack:
                return point, new
        step = step / 2
    return None
