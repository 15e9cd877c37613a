"""Functionals of an array's law with standard errors from influence functions: `Inequality` in one call.

With influence function ψ of a functional, the error is √(Σ wᵢ² ψ(yᵢ)²)/Σ wᵢ for sampling weights w, √(Σ wᵢ
ψ(yᵢ)²)/Σ wᵢ for counts; see `influence_functions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.functionals import evaluate
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.influence_functions import influence_function
from disteconometrics.words import tells_words

__all__ = ["sample_functionals"]


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


@tells_words
def sample_functionals(
    values: Any, names: Sequence[str], *, weights: Any = None, weight_type: str | None = None
) -> Estimates:
    """Functionals of the law that a sample is, with standard errors: mean, spread, quantiles, inequality.

    A short form, for an array, of `Inequality("y ~ 1", functionals=names).fit(table, cov="HC0")`, which has
    groups, clusters, survey designs, Lorenz curves and warnings besides.

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
    psi = np.stack([influence_function(law, y, name, n) for name in names])
    V = (psi * (w if weight_type == "frequency" else w**2)) @ psi.T / w.sum() ** 2
    return Estimates(tuple(names), values_of, V)
