"""Recentred influence functions RIF(y) = T(F) + ψ(y; F) of a sample, and what their own estimation adds.

A least squares fit of RIF(y; F̂) on x moves with F̂ as well.  With rows m_i of (X'WX)⁻¹X'W its coefficients
are Σ m_i RIF(y_i; F̂); the derivative of RIF(y_i; F) towards δ_j is T''[δ_i − F, δ_j − F], so that row j adds
T''[H, δ_j − F] with H = Σ m_i (δ_i − F).  T'' is symmetric: it is the derivative of ψ(y_j; F + εH), taken by
a difference of weights for what is smooth in them, and written out for what rests on quantiles, whose
densities are Gaussian kernel estimates of one bandwidth.  Of the mean, and of shares below a fixed number,
it is zero.

References
----------
Firpo, Fortin, Lemieux (2009), Unconditional quantile regressions, Econometrica 77, doi:10.3982/ECTA6822.
Essama-Nssah, Lambert (2012), Influence functions for policy impact analysis, Research on Economic Inequality
20, doi:10.1108/S1049-2585(2012)0000020009.
Silverman (1986), Density Estimation for Statistics and Data Analysis, section 3.4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import Line, evaluate, parse
from disteconometrics.errors import OptionError
from disteconometrics.inference.influence_functions import influence_function

__all__ = ["Recentred", "check_recentred", "default_bandwidth", "recentred"]

STEP = 1e-4  # relative change of the largest weight in a difference
LEVELS = {
    "median": (0.5,),
    "iqr": (0.75, 0.25),
    "p90p10": (0.9, 0.1),
    "p90p50": (0.9, 0.5),
    "p50p10": (0.5, 0.1),
}
SHARES = ("lorenz", "top_share")


@dataclass(frozen=True, eq=False)
class Recentred:
    """The functional, RIF (n,), mean of RIF less the functional, and what its estimation adds.

    ``added`` takes rows m (n, k) and gives T''[Σ m_i(δ_i − F), δ_j − F] (n, k).  ``quantiles`` are the levels
    that rest on densities.
    """

    value: float
    rif: Array
    residual: float
    added: Callable[[Array], Array]
    quantiles: tuple[float, ...] = ()


def check_recentred(name: Any) -> str:
    """Refuse a functional without a recentred influence function here.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_recentred("q[0.9]")
    'q[0.9]'
    """
    if not isinstance(name, str):
        raise OptionError(f"functional={name!r}: give one name, such as 'q[0.9]', 'gini' or 'mean'.")
    _, numbers = parse(name)
    influence_function(Empirical(np.array([1.0, 2.0])), np.ones(1), name, 2.0)
    if any(isinstance(a, Line) and a.of for a in numbers):
        raise OptionError(
            f"{name!r}: a line that is estimated has no recentred regression here; give it as a number, and "
            "say that its error is left out."
        )
    return name


def default_bandwidth(law: Empirical, n: float) -> float:
    """Silverman's rule with another rate, .9·min(std, iqr/1.34)·n^(−1/4), so that bias is below the error.

    It takes the standard deviation alone where the interquartile range is zero.

    Examples
    --------
    >>> round(default_bandwidth(Empirical(np.arange(100.0)), 100), 3)
    8.215
    """
    std, iqr = float(law.std()), float(evaluate(law, "iqr"))
    return float(0.9 * (min(std, iqr / 1.34) if iqr > 0 else std) * n ** (-1 / 4))


def recentred(y: Array, w: Array, name: str, n: float, bandwidth: float) -> Recentred:
    """The recentred influence function of a sample.

    Parameters
    ----------
    y : (n,) float64 array of outcomes; w : (n,) float64 array of their weights.
    name : str that `check_recentred` has checked.
    n : float, rows of equal weight that the sample tells as much as.
    bandwidth : float, of the densities at quantiles.

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 6.0])
    >>> found = recentred(y, np.ones(3), "mean", 3, 1.0)
    >>> found.value, found.rif.tolist(), round(found.residual, 12) == 0
    (3.0, [1.0, 2.0, 6.0], True)
    """
    law, p = Empirical(y, w), w / w.sum()
    head, numbers = parse(name)
    value = float(evaluate(law, name))
    levels = LEVELS.get(head, tuple(numbers) if head in ("q", "ratio") else ())
    if head in SHARES:
        share = numbers[0] if head == "lorenz" else 1 - numbers[0]
        at = _Quantile(law, y, share, bandwidth)
        sign = 1.0 if head == "lorenz" else -1.0
        return _finished(value, influence_function(law, y, name, n), p, _of_share(y, p, at, sign), (share,))
    if not levels:
        psi = influence_function(law, y, name, n)
        return _finished(value, psi, p, _by_difference(y, p, name, n, psi), ())
    parts = [_Quantile(law, y, tau, bandwidth) for tau in levels]
    gradient, hessian = _of_levels(head, [part.value for part in parts])
    psi = sum((g * part.psi for g, part in zip(gradient, parts, strict=True)), np.zeros(len(y)))

    def added(M: Array) -> Array:
        total = sum(
            (g * part.second(M, p) for g, part in zip(gradient, parts, strict=True)), np.zeros(M.shape)
        )
        first = np.stack([part.psi @ M for part in parts])
        moved = np.stack([part.psi for part in parts])
        return np.asarray(total + moved.T @ hessian @ first)

    return _finished(value, psi, p, added, levels)


def _finished(
    value: float, psi: Array, p: Array, added: Callable[[Array], Array], quantiles: tuple[float, ...]
) -> Recentred:
    return Recentred(value, value + psi, float(p @ psi), added, quantiles)


def _of_levels(head: str, q: list[float]) -> tuple[Array, Array]:
    """Gradient and Hessian of a function of quantiles: the quantile, a difference, a ratio."""
    if len(q) == 1:
        return np.ones(1), np.zeros((1, 1))
    if head == "iqr":
        return np.array([1.0, -1.0]), np.zeros((2, 2))
    a, b = q
    return np.array([1 / b, -a / b**2]), np.array([[0.0, -1 / b**2], [-1 / b**2, 2 * a / b**3]])


class _Quantile:
    """A quantile, its density f by a Gaussian kernel, and derivatives of both in the law."""

    def __init__(self, law: Empirical, y: Array, tau: float, bandwidth: float) -> None:
        self.tau, self.value = tau, float(law.quantile(tau))
        z = (y - self.value) / bandwidth
        self.kernel = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) / bandwidth
        self.kernel_slope = self.kernel * z / bandwidth
        self.level = tau - (y <= self.value)
        at = (law.values - self.value) / bandwidth
        self.density = float(np.asarray(law.weights) @ np.exp(-0.5 * at**2)) / np.sqrt(2 * np.pi) / bandwidth
        self.psi = self.level / self.density

    def second(self, M: Array, p: Array) -> Array:
        """T''[Σ m_i(δ_i − F), δ_j − F] (n, k): q moves with row j, as do 1{y ≤ q} and the density at q."""
        f, moved = self.density, self.psi
        density = self.kernel - f + float(p @ self.kernel_slope) * moved
        kept = M.sum(axis=0) - self.kernel @ M / f
        return np.asarray(moved[:, None] * kept - density[:, None] * (self.level @ M) / f**2)


def _of_share(y: Array, p: Array, at: _Quantile, sign: float) -> Callable[[Array], Array]:
    """Of a Lorenz ordinate L = GL/μ, where GL = max_q E[(y − q); y < q] + τq."""
    mean, q = float(p @ y), at.value
    inside = np.where(y < q, y - q, 0.0) + at.tau * q
    whole = float(p @ inside)
    of_whole, of_mean = inside - whole, y - mean

    def added(M: Array) -> Array:
        a, g, m = at.level @ M, of_whole @ M, of_mean @ M
        out = at.level[:, None] * a / (at.density * mean)
        out -= (of_whole[:, None] * m + of_mean[:, None] * g) / mean**2
        return np.asarray(sign * (out + 2 * whole * of_mean[:, None] * m / mean**3))

    return added


def _by_difference(y: Array, p: Array, name: str, n: float, psi: Array) -> Callable[[Array], Array]:
    """By a central difference of the influence function in the weights."""

    def added(M: Array) -> Array:
        out = np.empty(M.shape)
        for j, m in enumerate(M.T):
            towards = m - m.sum() * p
            size = float(np.abs(towards / p).max())
            if size <= 1e-14:
                out[:, j] = 0.0
                continue
            step = STEP / size
            up, down = (influence_function(Empirical(y, p + s * towards), y, name, n) for s in (step, -step))
            out[:, j] = (up - down) / (2 * step) + psi @ m
        return out

    return added
