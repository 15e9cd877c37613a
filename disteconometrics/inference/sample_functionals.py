"""Functionals of a sample's law with standard errors from influence functions.

With influence function ψ of a functional, the error is √(Σ wᵢ² ψ(yᵢ)²)/Σ wᵢ for sampling weights w, √(Σ wᵢ
ψ(yᵢ)²)/Σ wᵢ for counts.  Quantiles need the density: it is a difference quotient of quantiles with the
bandwidth of Hall and Sheather.

References
----------
Cowell, Flachaire (2015), Statistical methods for distributional analysis, Handbook of Income Distribution 2A,
doi:10.1016/B978-0-444-59428-0.00007-2.
Hall, Sheather (1988), On the distribution of a studentized quantile, J. Royal Statistical Society B 50.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, as_floats
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import evaluate, parse
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError
from disteconometrics.inference.estimates import Estimates

__all__ = ["sample_functionals"]

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


def _quantile(law: Empirical, y: Array, tau: float, n: float) -> Array:
    """(τ − 1{y ≤ q})/f(q), 1/f the slope of the quantile function between τ ± h."""
    z = special.ndtri(tau)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    h = n ** (-1 / 3) * special.ndtri(0.975) ** (2 / 3) * (1.5 * density**2 / (2 * z**2 + 1)) ** (1 / 3)
    low, high = max(tau - h, 0.5 / n), min(tau + h, 1 - 0.5 / n)
    if not low < tau < high:
        return np.full(y.shape, np.nan)
    slope = (law.quantile(high) - law.quantile(low)) / (high - low)
    return np.asarray((tau - (y <= law.quantile(tau))) * slope)


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
}
_RATIOS = {"p90p10": (0.9, 0.1), "p90p50": (0.9, 0.5), "p50p10": (0.5, 0.1)}


def _influence(law: Empirical, y: Array, name: str, n: float) -> Array:
    head, numbers = parse(name)
    if head in _SMOOTH:
        return as_floats(_SMOOTH[head](law, y, *numbers))
    if head in ("q", "median"):
        return _quantile(law, y, numbers[0] if numbers else 0.5, n)
    if head == "iqr":
        return _quantile(law, y, 0.75, n) - _quantile(law, y, 0.25, n)
    if head in _RATIOS:
        top, bottom = _RATIOS[head]
        ratio = evaluate(law, head)
        above, below = (_quantile(law, y, tau, n) / law.quantile(tau) for tau in (top, bottom))
        return np.asarray(ratio * (above - below))
    raise OptionError(
        f"{name!r} has no standard error in a sample's law; use de.bootstrap of an estimator of it."
    )


def _sample(values: Any, weights: Any, weight_type: Any) -> tuple[Array, Array]:
    """Values and weights (n,) of the rows that have both."""
    if (weights is None) != (weight_type is None) or weight_type not in (None, "frequency", "sampling"):
        raise OptionError(
            "Give weights with weight_type 'frequency' (counts of identical rows) or 'sampling', or neither."
        )
    y = floats(values, "Values")
    w = np.ones(y.shape) if weights is None else floats(weights, "Weights")
    if y.ndim != 1 or w.shape != y.shape:
        raise OptionError(f"Values {y.shape} and weights {w.shape} must be of one dimension and one length.")
    kept = ~(np.isnan(y) | np.isnan(w)) & (w != 0)
    return y[kept], w[kept]


def sample_functionals(
    values: Any, names: Sequence[str], *, weights: Any = None, weight_type: str | None = None
) -> Estimates:
    """Functionals of the law that a sample is, with standard errors: mean, spread, quantiles, inequality.

    Parameters
    ----------
    values : (n,) float64 array; rows with a missing value or weight are left out.
    names : list of str, functionals such as ``["mean", "q[0.9]", "gini", "p90p10"]``.
    weights : (n,) float64 array or None.
    weight_type : {"frequency", "sampling"} or None, needed with ``weights``.

    Returns
    -------
    Estimates, with the covariance of all functionals.  Errors of quantiles and their ratios rest on a density
    that is estimated from neighbouring quantiles; with many ties they are rough.

    Raises
    ------
    OptionError
        If a name has no influence function here, or weights are not as described.

    References
    ----------
    Cowell, Flachaire (2015), Statistical methods for distributional analysis, Handbook of Income Distribution
    2A, doi:10.1016/B978-0-444-59428-0.00007-2.

    Examples
    --------
    >>> food = de.datasets.engel()["foodexp"]
    >>> sample_functionals(food, ["mean", "gini", "p90p10"]).table()[["estimate", "std_error"]].round(4)
            estimate  std_error
    mean    624.1501    17.9957
    gini      0.2279     0.0120
    p90p10    2.6832     0.1897
    """
    if isinstance(names, str):
        raise OptionError(f"names is a list, as in sample_functionals(values, [{names!r}]).")
    y, w = _sample(values, weights, weight_type)
    law = Empirical(y, w)
    n = float(w.sum()) if weight_type == "frequency" else float(w.sum() ** 2 / (w**2).sum())
    values_of = np.array([float(evaluate(law, name)) for name in names])
    psi = np.stack([_influence(law, y, name, n) for name in names])
    V = (psi * (w if weight_type == "frequency" else w**2)) @ psi.T / w.sum() ** 2
    return Estimates(tuple(names), values_of, V)
