"""Newton's damped iteration for any concave log-likelihood of several indices, and what it asks of one.

An objective says its value with score and information at a point, which points it admits (thresholds have to
increase), and whether rows lie so far out that a separation is to be looked for.  The iteration never falls:
a step is halved until the value has risen to rounding.  Ordered, multinomial and conditional models share it;
a binary model of one index, whose passes can be cheaper than this, has `newton.maximise`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from scipy.linalg import lapack

from disteconometrics.arrays import Array
from disteconometrics.optim.whiten import triangle_inverse

__all__ = ["ConcaveMaximum", "Objective", "Value", "inverse_root", "maximise_concave", "newton_step"]

CLOSE = 1e-12  # Newton decrement, after which one more step leaves rounding alone
STILL = 1e-19  # the same, of a step of 3e-10 standard errors, at whose end a pass would tell the same
HALVINGS = 60


class Value(Protocol):
    """An objective at a point: log-likelihood, score (k,) and information (k, k)."""

    @property
    def loglik(self) -> float: ...
    @property
    def score(self) -> Array: ...
    @property
    def information(self) -> Array: ...


V = TypeVar("V", bound=Value)
Made = TypeVar("Made", bound=Value, covariant=True)


class Objective(Protocol[Made]):
    """A concave log-likelihood of parameters (k,)."""

    def value(self, theta: Array) -> Made:
        """One pass over the rows."""
        ...

    def admits(self, theta: Array) -> bool:
        """Whether a point is inside, where the value is defined."""
        ...

    def far(self, theta: Array) -> bool:
        """Whether some row has an outcome of less than a millionth, as under separation."""
        ...


@dataclass(frozen=True, eq=False)
class ConcaveMaximum(Generic[V]):
    """Where an iteration ended: parameters (k,), the pass there, how it got there; see `Objective.far`.

    ``step`` (k,) is the last one of Newton, a direction to try for a separation, ``started`` the
    log-likelihood at the start.
    """

    theta: Array
    found: V
    converged: bool
    passes: int
    decrement: float
    far: bool
    step: Array
    started: float


def newton_step(found: Value) -> Array | None:
    """Newton's step, None where the information is singular.

    Examples
    --------
    >>> from disteconometrics.likelihoods.multinomial import MultinomialObjective
    >>> objective = MultinomialObjective(np.ones((4, 1)), np.array([0, 1, 1, 1]), None, 2)
    >>> newton_step(objective.value(np.zeros(1)))
    array([1.])
    """
    scale = np.sqrt(np.maximum(np.diagonal(found.information), 1e-300))
    _, step, failed = lapack.dposv(found.information / scale / scale[:, None], found.score / scale)
    return None if failed or not np.isfinite(step).all() else np.asarray(step / scale)


def maximise_concave(
    objective: Objective[V],
    start: Array,
    *,
    maxiter: int = 100,
    step_of: Callable[[V], Array | None] = newton_step,
) -> ConcaveMaximum[V]:
    """The maximum of a concave objective.

    Parameters
    ----------
    objective : Objective of k parameters, of columns of similar size.
    start : (k,) float64 array that the objective admits.
    maxiter : int, steps at most.
    step_of : what makes Newton's step of a value, for an information that is not kept as a matrix.

    Returns
    -------
    ConcaveMaximum

    Examples
    --------
    >>> from disteconometrics.likelihoods.multinomial import MultinomialObjective
    >>> objective = MultinomialObjective(np.ones((4, 1)), np.array([0, 1, 1, 2]), None, 3)
    >>> maximise_concave(objective, np.zeros(2)).theta.round(4)  # log(2) and log(1)
    array([0.6931, 0.    ])
    """
    theta, step = start, np.zeros(len(start))
    found, decrement, converged, passes = objective.value(theta), np.inf, False, 1
    started = found.loglik
    while not converged and passes <= maxiter:
        newton = step_of(found)
        if newton is None:
            break
        step = newton
        decrement = float(found.score @ step)
        converged = decrement < CLOSE * max(1.0, abs(found.loglik))
        if decrement < STILL and objective.admits(theta + step):
            theta = theta + step
            break
        moved = _climb(objective, theta, step, found)
        if moved is None:
            break
        theta, found = moved
        passes += 1
    return ConcaveMaximum(theta, found, converged, passes, decrement, objective.far(theta), step, started)


def _climb(objective: Objective[V], theta: Array, step: Array, found: V) -> tuple[Array, V] | None:
    """The first of halved steps that is admitted and does not fall by more than rounding."""
    slack = 1e-13 * (1 + abs(found.loglik))
    for _ in range(HALVINGS):
        point = theta + step
        if objective.admits(point):
            new = objective.value(point)
            if np.isfinite(new.loglik) and new.loglik >= found.loglik - slack:
                return point, new
        step = step / 2
    return None


def inverse_root(information: Array) -> Array:
    """R⁻¹ (k, k) of an information R'R with columns of any size.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it is not positive definite.

    Examples
    --------
    >>> inverse_root(np.diag([4.0, 1e12])).diagonal().tolist()
    [0.5, 1e-06]
    """
    scale = np.sqrt(np.diagonal(information))
    R = np.linalg.cholesky(information / np.outer(scale, scale)).T
    return np.asarray(triangle_inverse(R) / scale[:, None])
