"""Minimum-Wasserstein estimation: least squares between the quantiles of data and of simulated data.

On the line W2² is the mean squared difference of order statistics, so its minimum over the parameters of a
simulator is a nonlinear least-squares problem; with covariates the same holds for projections of (y, x) on
fixed directions.  Random numbers are common to all parameters, one number a row on a grid of quantiles, so
that the problem is smooth.

References
----------
Bernton, Jacob, Gerber, Robert (2019), On parameter estimation with the Wasserstein distance, Information and
Inference 8, doi:10.1093/imaiai/iaz003.
Bassetti, Bodini, Regazzini (2006), On minimum Kantorovich distance estimators, Statistics and Probability
Letters 76, doi:10.1016/j.spl.2006.02.001.
LaRiccia, Wehrly (1985), Asymptotic properties of a family of minimum quantile distance estimators, Journal of
the American Statistical Association 80, doi:10.1080/01621459.1985.10478178.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage, optimize

from disteconometrics.arrays import Array, Mask
from disteconometrics.transport.samples import power_above

__all__ = ["Bounds", "Match", "Matched", "match"]

STEP = 1e-5  # of numerical derivatives, relative
FAR = 1e8  # stands for outcomes that are not finite, in units of the data's spread
# chance over information, in the direction where it is largest, beyond which errors would be chance
# themselves
NOISY = 1.0
FAR_OFF = 100.0  # spreads of the outcome between data and simulated ones that a search has not closed
# spreads of the outcome that a parameter moves it by for each of its units: others are divided out, as steps
# of numerical derivatives and of the search suppose parameters near zero to be about one
LEAST_MOVE, MOST_MOVE = 1e-6, 1e6
SEEN, SEARCHED = (1e-9, 1e3), 30  # changes in spreads by which that is read off, and steps that are tried
SINGULAR = 1e-10  # smallest over largest eigenvalue of the scaled information


class Bounds(NamedTuple):
    """Lower and upper ends (k,), infinite where there are none; parameters are free under `to_free`."""

    low: Array
    high: Array

    def _ends(self) -> tuple[Mask, Mask, Mask]:
        """Which parameters (k,) have both ends, a lower one alone, an upper one alone."""
        low, high = np.isfinite(self.low), np.isfinite(self.high)
        return low & high, low & ~high, high & ~low

    def to_free(self, theta: Array) -> Array:
        """Logs and logits of parameters with one and with two ends."""
        out = theta.astype(np.float64)
        both, one, other = self._ends()
        if not (both | one | other).any():
            return out
        share = (theta[both] - self.low[both]) / (self.high[both] - self.low[both])
        out[both] = np.log(share / (1 - share))
        out[one], out[other] = np.log(theta[one] - self.low[one]), -np.log(self.high[other] - theta[other])
        return out

    def to_theta(self, free: Array) -> Array:
        """The way back."""
        out = free.astype(np.float64)
        both, one, other = self._ends()
        if not (both | one | other).any():
            return out
        with np.errstate(over="ignore"):
            out[both] = self.low[both] + (self.high[both] - self.low[both]) / (1 + np.exp(-free[both]))
            out[one], out[other] = self.low[one] + np.exp(free[one]), self.high[other] - np.exp(-free[other])
        return out


@dataclass(frozen=True, eq=False)
class Match:
    """Outcomes (n,), covariates (n, K) or None, and ``simulate`` from parameters to outcomes (S·n,).

    These are S copies of the rows one below the other.  Besides: share of ``trim`` left out at both ends,
    directions (L, 1 + K), whether the random numbers are a grid of quantiles (and cost no variance).
    """

    y: Array
    X: Array | None
    simulate: Callable[[Array], Array]
    copies: int
    trim: float
    directions: Array
    exact: bool

    @cached_property
    def spread(self) -> float:
        """Interquartile range of the outcome over that of a normal law, else the standard deviation."""
        low, high = np.quantile(self.y, [0.25, 0.75])
        return float((high - low) / 1.349 if high > low else self.y.std())

    def kept(self) -> Mask:
        """Order statistics (n,) that count."""
        u = (np.arange(len(self.y)) + 0.5) / len(self.y)
        return np.asarray((u >= self.trim) & (u <= 1 - self.trim))

    def projected(self, y: Array) -> Array:
        """Projections (L, n) or (L, S·n) of outcomes and covariates, in units of the data's spread."""
        base: Array = np.outer(self.directions[:, 0] / self.spread, y)
        return base if self.X is None else base + np.tile(self._covariates, len(y) // len(self.y))

    @cached_property
    def _covariates(self) -> Array:
        """What the covariates add to the projections (L, n)."""
        assert self.X is not None
        sd = self.X.std(axis=0)
        Z = (self.X - self.X.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
        return np.asarray(self.directions[:, 1:] @ Z.T)

    def outcomes(self, theta: Array) -> Array:
        """Simulated outcomes (S·n,), those that are not finite put far away."""
        with np.errstate(all="ignore"):
            y = self.simulate(theta)
        return y if np.isfinite(y).all() else np.where(np.isfinite(y), y, FAR * self.spread)

    def curves(self, theta: Array, copies: slice = slice(None)) -> Array:
        """Order statistics (L, n) of some of the copies: means of as many neighbours as there are copies."""
        y = self.outcomes(theta).reshape(self.copies, -1)[copies]
        v = self.projected(y.ravel())
        v.sort(axis=1)
        return v if len(y) == 1 else np.asarray(v.reshape(len(v), len(self.y), len(y)).mean(axis=2))


class Matched(NamedTuple):
    """Estimates (k,), covariance (k, k), W2² of the kept part in squared units of the outcome.

    Besides: whether the search converged, the cost that each start found, whether the information is
    singular.
    """

    theta: Array
    covariance: Array
    cost: float
    converged: bool
    costs: tuple[float, ...]
    singular: bool


def _units(m: Match, curves: Callable[[Array], Array], at: Array) -> Array:
    """Units (k,) of numbers that move ``curves``: one, or the power of two that moves them by a spread.

    They are looked for only where outcome or covariates have an unusual size.
    """
    units = np.ones(len(at))
    sizes = [m.spread] if m.X is None else [m.spread, *m.X.std(axis=0), *np.abs(m.X).max(axis=0)]
    if all(LEAST_MOVE <= size <= MOST_MOVE for size in sizes if size > 0):
        return units
    here = curves(at)
    for j in range(len(at)):
        move = _move(curves, here, at, j)
        if not LEAST_MOVE <= move <= MOST_MOVE:
            units[j] = power_above(1 / move)
    return units


def _move(curves: Callable[[Array], Array], here: Array, at: Array, j: int) -> float:
    """Spreads by which a number moves the curves for each of its units; one where no step shows it."""
    step = np.zeros(len(at))
    step[j] = 1e-4 * (abs(at[j]) or 1.0)
    for _ in range(SEARCHED):
        change = float(np.abs(curves(at + step) - here).max())
        if SEEN[0] < change < SEEN[1]:
            return change / float(step[j])
        step[j] *= 1e10 if change <= SEEN[0] else 1e-10
    return 1.0


def _jacobian(m: Match, theta: Array, copies: slice = slice(None)) -> Array:
    """Derivatives (L, n, k) of the order statistics of some of the simulated copies, central differences."""
    columns = []
    units = _units(m, m.curves, theta)
    for j in range(len(theta)):
        h = STEP * max(abs(theta[j]), 1e-2 * units[j])
        step = np.zeros(len(theta))
        step[j] = h
        columns.append((m.curves(theta + step, copies) - m.curves(theta - step, copies)) / (2 * h))
    return np.stack(columns, axis=2)


def match(m: Match, start: Array, bounds: Bounds, starts: int, rng: np.random.Generator) -> Matched:
    """Estimate the parameters by Levenberg and Marquardt's method from several starts.

    Parameters
    ----------
    m : Match.
    start : (k,) float64 array inside the bounds.
    bounds : Bounds.
    starts : int, at most; the first is ``start``, others are drawn around it until two agree.
    rng : numpy Generator, for the other starts.

    Returns
    -------
    Matched
    """
    target, kept = np.sort(m.projected(m.y), axis=1), m.kept()
    count = kept.sum() * len(target)

    def free_curves(free: Array) -> Array:
        return m.curves(bounds.to_theta(free))

    first = bounds.to_free(start)
    units = _units(m, free_curves, first)
    first = first / units

    def residuals(free: Array) -> Array:
        return np.asarray((free_curves(free * units) - target)[:, kept].ravel() / np.sqrt(count))

    best: Any = None
    costs = []
    for i in range(starts):
        free = first if i == 0 else first + rng.normal(size=len(first)) * 0.3 * np.maximum(np.abs(first), 1.0)
        found = optimize.least_squares(
            residuals, free, method="lm", xtol=1e-8, ftol=1e-10, gtol=1e-12, max_nfev=400 * len(free)
        )
        costs.append(float(2 * found.cost) * m.spread**2)
        agree = best is not None and abs(found.cost - best.cost) <= 1e-6 * best.cost
        if best is None or found.cost < best.cost * (1 - 1e-9):
            best = found
        if agree:
            break
    theta = bounds.to_theta(best.x * units)
    V, singular = _covariance(m, theta, target, kept)
    near = 2 * best.cost <= FAR_OFF**2  # from further away the steps of the search are rounding
    return Matched(theta, V, min(costs), bool(best.status > 0 and near), tuple(costs), singular)


def _covariance(m: Match, theta: Array, target: Array, kept: Mask) -> tuple[Array, bool]:
    """Sandwich covariance: influences are integrals of the derivatives over the quantile function.

    Where the random numbers are no grid there is chance in the derivatives, which would make their squares
    too large: the information is the product of those of either half of the copies.  The simulated rows have
    influences as the data have; with covariates those of a row and of its copies share the row, so that their
    difference counts.
    """
    n, k = len(m.y), len(theta)
    nothing = np.full((k, k), np.nan)
    if not m.exact and m.copies < 2:
        return nothing, False
    J, other = _two_jacobians(m, theta, kept)
    H = np.tensordot(J, other, axes=((0, 1), (0, 1))) / n
    H = (H + H.T) / 2
    chance, J = (J - other) / 2, (J + other) / 2
    if _is_singular(H) or _is_noisy(H, np.tensordot(chance, chance, axes=((0, 1), (0, 1))) / n):
        return nothing, True
    influence = np.zeros((*target.shape, k))  # at the order statistics of the data
    np.cumsum((J[:, 1:] + J[:, :-1]) / 2 * np.diff(target)[:, :, None], axis=1, out=influence[:, 1:])
    psi = _of_rows(m.projected(m.y), target, influence)
    if not m.exact:
        psi -= _of_rows(m.projected(m.outcomes(theta)), target, influence)
    psi -= psi.mean(axis=0)
    inverse = np.linalg.inv(H)
    return inverse @ (psi.T @ psi / n) @ inverse / n, False


def _two_jacobians(m: Match, theta: Array, kept: Mask) -> tuple[Array, Array]:
    """Derivatives (L, n, k) of the kept order statistics by either half of the copies, the same if exact."""
    if m.exact:
        J = _jacobian(m, theta) * kept[:, None]
        return J, J
    halves = (_jacobian(m, theta, slice(first, None, 2)) for first in (0, 1))
    wide = round(len(m.y) ** 0.5)
    first, second = (ndimage.uniform_filter1d(half, wide, axis=1, mode="nearest") for half in halves)
    return first * kept[:, None], second * kept[:, None]


def _is_singular(H: Array) -> bool:
    size = np.sqrt(np.diagonal(H))
    if not np.isfinite(H).all() or not (size > 0).all():
        return True
    values = np.linalg.eigvalsh(H / np.outer(size, size))
    return bool(values[0] < SINGULAR * values[-1])


def _is_noisy(H: Array, chance: Array) -> bool:
    """Whether errors would be chance themselves, from the information and what chance adds to it."""
    return bool(np.linalg.eigvals(np.linalg.solve(H, chance)).real.max() > NOISY)


def _of_rows(projections: Array, target: Array, influence: Array) -> Array:
    """Influences (n, k) from projections (L, n) of the rows, summed over these.

    Of copies (L, S·n) they are averaged.  ``influence`` (L, n, k) is theirs at ``target`` (L, n).
    """
    n, k = influence.shape[1:]
    parts = [
        [np.interp(v, knots, f) for f in curve.T]
        for v, knots, curve in zip(projections, target, influence, strict=True)
    ]
    return np.asarray(np.sum(parts, axis=0).reshape(k, -1, n).mean(axis=1).T)
