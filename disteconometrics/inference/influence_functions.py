"""Influence functions of functionals of a sample's law: how far each row moves them.

ψ(y) is the derivative of T((1 − ε)F + εδ_y) at ε = 0, so that T of a sample is T(F) plus the mean of ψ and
what is of smaller order.  Quantiles, and poverty below a line that is one, need the density: its inverse is
a difference quotient of quantiles with the bandwidth of Hall and Sheather; where both ends of it are the same
value, a heap, there is none, and ψ is missing.

References
----------
Cowell, Flachaire (2015), Statistical methods for distributional analysis, Handbook of Income Distribution 2A,
doi:10.1016/B978-0-444-59428-0.00007-2.
Davidson (2009), Reliable inference for the Gini index, J. Econometrics 150,
doi:10.1016/j.jeconom.2008.11.004.
Hall, Sheather (1988), On the distribution of a studentized quantile, J. Royal Statistical Society B 50.
Preston (1995), Sampling distributions of relative poverty statistics, Applied Statistics 44,
doi:10.2307/2986197 (a line that is estimated).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import FUNCTIONALS, Line, evaluate, parse
from disteconometrics.errors import OptionError, OutcomeError
from disteconometrics.tables import first_of

__all__ = ["check_outcomes", "equal_rows", "influence_function"]

Influence = Callable[..., Array]


def _mean(law: Empirical, y: Array) -> Array:
    return y - law.mean()


def _var(law: Empirical, y: Array) -> Array:
    return (y - law.mean()) ** 2 - law.var()


def _gini(law: Empirical, y: Array) -> Array:
    """Of G = E|Y − Y'|/(2μ): E|y − Y|, from the rank of y and the sum above it, and the mean."""
    mean, G = law.mean(), evaluate(law, "gini")
    middle = law.cdf(y) - law.pdf(y) / 2
    x, w = law.values, np.asarray(law.weights)
    above = np.concatenate([np.cumsum((w * x)[::-1])[::-1], [0.0]])  # E[Y; Y ≥ x_j]
    at = np.searchsorted(x, y)
    upper = above[at] - (w * x)[at] / 2
    return np.asarray((2 * y * middle - y + 2 * upper - mean) / mean - 2 * G - G * (y - mean) / mean)


def _theil(law: Empirical, y: Array) -> Array:
    mean, product = law.mean(), y * np.log(np.where(y > 0, y, 1.0))
    nu = law.expect(lambda t: t * np.log(np.where(t > 0, t, 1.0)))
    return np.asarray((product - nu) / mean - (nu + mean) / mean**2 * (y - mean))


def _mld(law: Empirical, y: Array) -> Array:
    return np.asarray((y - law.mean()) / law.mean() - (np.log(y) - law.expect(np.log)))


def _var_log(law: Empirical, y: Array) -> Array:
    mean = law.expect(np.log)
    return np.asarray((np.log(y) - mean) ** 2 - evaluate(law, "var_log"))


def _lorenz(law: Empirical, y: Array, p: float) -> Array:
    q, mean, L = law.quantile(p), law.mean(), evaluate(law, f"lorenz[{p!r}]")
    return np.asarray((np.where(y < q, y - q, 0.0) + p * q - L * y) / mean)


def _entropy(law: Empirical, y: Array, power: float) -> Array:
    if power in (0.0, 1.0):
        return _theil(law, y) if power else _mld(law, y)
    return _moment(law, y, power) / (power * (power - 1))


def _moment(law: Empirical, y: Array, power: float) -> Array:
    """Of E (Y/μ)^power."""
    mean = law.mean()
    M = law.expect(lambda t: (t / mean) ** power)
    return np.asarray((y / mean) ** power - M - power * M * (y - mean) / mean)


def _atkinson(law: Empirical, y: Array, aversion: float) -> Array:
    A = evaluate(law, f"atkinson[{aversion!r}]")
    if aversion == 1:
        return np.asarray((1 - A) * _mld(law, y))
    return np.asarray(-((1 - A) ** aversion) * _moment(law, y, 1 - aversion) / (1 - aversion))


def _slope(law: Empirical, tau: float, n: float) -> float:
    """Slope of the quantile function, 1/f, between τ ± h; NaN where both ends are one value."""
    z = special.ndtri(tau)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    h = n ** (-1 / 3) * special.ndtri(0.975) ** (2 / 3) * (1.5 * density**2 / (2 * z**2 + 1)) ** (1 / 3)
    low, high = max(tau - h, 0.5 / n), min(tau + h, 1 - 0.5 / n)
    if not low < tau < high:
        return np.nan
    slope = float((law.quantile(high) - law.quantile(low)) / (high - low))
    return slope if slope > 0 else np.nan


def _quantile(law: Empirical, y: Array, tau: float, n: float) -> Array:
    """(τ − 1{y ≤ q})/f(q)."""
    return np.asarray((tau - (y <= law.quantile(tau))) * _slope(law, tau, n))


def _ratio(law: Empirical, y: Array, top: float, bottom: float, n: float) -> Array:
    above, below = (_quantile(law, y, tau, n) / law.quantile(tau) for tau in (top, bottom))
    return np.asarray(law.quantile(top) / law.quantile(bottom) * (above - below))


def _poverty(law: Empirical, y: Array, power: float, line: Line, n: float) -> Array:
    """Of E[(1 − Y/z)^power; Y < z], and of z where that is estimated, by the slope in z."""
    z = float(line.at(law))

    def short(t: Array) -> Array:
        return np.where(t < z, np.abs(1 - t / z) ** power, 0.0)

    psi = short(y) - law.expect(short)
    if not line.of:
        return np.asarray(psi)
    moved = _mean(law, y) if line.of == "mean" else _quantile(law, y, 0.5, n)
    if power == 0:  # the slope is the density at the line
        share = float(law.cdf(z))
        slope = 1 / _slope(law, share, n) if 0 < share < 1 else 0.0
    else:

        def steeper(t: Array) -> Array:
            return np.where(t < z, power * np.abs(1 - t / z) ** (power - 1) * t / z**2, 0.0)

        slope = float(law.expect(steeper))
    return np.asarray(psi + slope * line.share * moved)


def _probability(law: Empirical, y: Array, low: float, high: float) -> Array:
    return ((y >= low) & (y <= high)) - evaluate(law, f"prob[{low!r},{high!r}]")


_SMOOTH: dict[str, Influence] = {
    "mean": _mean,
    "var": _var,
    "std": lambda law, y: _var(law, y) / (2 * law.std()),
    "cdf": lambda law, y, a: (y <= a) - law.cdf(a),
    "sf": lambda law, y, a: (y > a) - law.sf(a),
    "prob": _probability,
    "gini": _gini,
    "theil": _theil,
    "mld": _mld,
    "var_log": _var_log,
    "lorenz": _lorenz,
    "top_share": lambda law, y, p: -_lorenz(law, y, 1 - p),
    "ge": _entropy,
    "atkinson": _atkinson,
}
_OF_DENSITY: dict[str, Influence] = {
    "q": _quantile,
    "median": lambda law, y, n: _quantile(law, y, 0.5, n),
    "iqr": lambda law, y, n: _quantile(law, y, 0.75, n) - _quantile(law, y, 0.25, n),
    "p90p10": lambda law, y, n: _ratio(law, y, 0.9, 0.1, n),
    "p90p50": lambda law, y, n: _ratio(law, y, 0.9, 0.5, n),
    "p50p10": lambda law, y, n: _ratio(law, y, 0.5, 0.1, n),
    "ratio": _ratio,
    "poverty": lambda law, y, line, n: _poverty(law, y, 0.0, line, n),
    "poverty_gap": lambda law, y, line, n: _poverty(law, y, 1.0, line, n),
    "fgt": _poverty,
}


def influence_function(law: Empirical, y: Array, name: str, n: float) -> Array:
    """The influence function of a functional of a sample's law at outcomes.

    Parameters
    ----------
    law : Empirical, the sample.
    y : (m,) float64 array, outcomes that are in the sample.
    name : str, as `evaluate` takes it.
    n : float, rows of equal weight that the sample tells as much as; the bandwidth follows from it.

    Returns
    -------
    (m,) float64 array; NaN where a density is needed at a heap.

    Raises
    ------
    OptionError
        If the name is not known or has no influence function here.

    Examples
    --------
    >>> influence_function(Empirical([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 6.0]), "mean", 3).tolist()
    [-2.0, -1.0, 3.0]
    """
    head, numbers = parse(name)
    with np.errstate(all="ignore"):
        if head in _SMOOTH:
            return as_floats(_SMOOTH[head](law, y, *numbers))
        if head in _OF_DENSITY:
            return as_floats(_OF_DENSITY[head](law, y, *numbers, n))
    raise OptionError(
        f"{name!r} has no standard error in a sample's law; use de.bootstrap of an estimator of it."
    )


def equal_rows(weights: Array, counts: bool) -> float:
    """How many rows of equal weight tell as much: what they count, or (Σw)²/Σw² (Kish).

    Examples
    --------
    >>> equal_rows(np.array([2.0, 1.0, 1.0]), True), equal_rows(np.array([1.0, 1.0, 0.0]), False)
    (4.0, 2.0)
    """
    return float(weights.sum() if counts else weights.sum() ** 2 / (weights @ weights))


def check_outcomes(y: Array, index: Any, outcome: str, names: Sequence[str], where: str = "") -> None:
    """Refuse outcomes without variation, and those that a functional has no meaning for, by name.

    Parameters
    ----------
    y : (n,) float64 array; index : (n,) labels of its rows.
    outcome : str, its name; where : str, such as " in union = no".
    names : functionals.

    Raises
    ------
    OutcomeError

    Examples
    --------
    >>> check_outcomes(np.array([0.0, 1.0]), [7, 8], "wage", ["mld"])
    Traceback (most recent call last):
    ...
    disteconometrics.errors.OutcomeError: 'mld' needs outcomes above zero, and 1 of 'wage' are not (rows 7). \
Leave these rows out and say so, or take measures that allow them (gini, theil, lorenz).
    """
    if np.ptp(y) == 0:
        raise OutcomeError(
            f"The outcome {outcome!r} has no variation{where}: every row used is {y[0]:g}, so there is "
            "nothing to measure."
        )
    for name in names:
        head, numbers = parse(name)
        if not FUNCTIONALS[head][1]:
            continue
        strict = _needs_logs(head, numbers)
        bad = (y <= 0) if strict else (y < 0)
        if bad.any():
            rows = first_of([str(index[int(i)]) for i in np.flatnonzero(bad)])
            raise OutcomeError(
                f"{name!r} needs outcomes {'above' if strict else 'of at least'} zero, and {int(bad.sum())} "
                f"of {outcome!r}{where} are not (rows {rows}). Leave these rows out and say so, or take "
                f"measures that allow them ({'gini, theil, lorenz' if strict else 'quantiles, poverty'})."
            )


def _needs_logs(head: str, numbers: list[Any]) -> bool:
    """Whether a functional is infinite, or one for good, where an outcome is zero."""
    if head == "ge":
        return bool(numbers[0] <= 0)
    return head in ("mld", "var_log") or (head == "atkinson" and bool(numbers[0] >= 1))
