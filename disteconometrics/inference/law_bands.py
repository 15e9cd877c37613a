"""Curves of an averaged law with limits at each point and a band over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.distributions.numeric import floats
from disteconometrics.errors import OptionError
from disteconometrics.inference.estimates import as_far_out, critical_value
from disteconometrics.inference.law_effects import Averaged, Estimation, error_of, estimates_of
from disteconometrics.threads import on_one_thread

__all__ = ["band", "critical_of_band", "half"]

GRID = 60  # points of a curve
DRAWS = 4000  # of the Gaussian process behind a uniform band
LIMITS = ("conf_low", "conf_high", "band_low", "band_high")


@on_one_thread
def band(
    law: Averaged,
    kind: str,
    grid: Any,
    level: float,
    seed: np.random.SeedSequence,
    estimation: Estimation,
    target: str,
) -> pd.DataFrame:
    """A curve of an averaged law with pointwise and uniform limits over a grid (sup-t, by simulation).

    Those of quantiles are bands of the distribution function inverted, the uniform one over the outcomes
    between the ends.

    Parameters
    ----------
    law : Averaged.
    kind : {"cdf", "pdf", "quantile"}
    grid : outcomes (g,), or quantile levels; None for 60 between the .01 and .99 quantiles.
    level : float, confidence level; seed : of the simulation.
    estimation, target : as in `estimates_of`.

    Raises
    ------
    OptionError
    """
    points = _band_points(law, kind, grid)
    inverted = kind == "quantile"
    at = np.array([law.quantile(t) for t in points]) if inverted else points
    answers = [law.log_density(y) if kind == "pdf" else law.on_link(y) for y in at]
    curve = estimates_of(map(str, range(len(at))), answers, estimation, target)
    sup = as_far_out(critical_of_band(curve.covariance, level, seed), estimation.df)
    point = critical_value(level, estimation.df)
    if inverted:
        densities = np.array([law.at(y)[1] for y in at])
        d = law.laws.link.pdf(curve.values)
        error = error_of(estimation, target)
        with np.errstate(divide="ignore", invalid="ignore"):  # at a mass, where no error is asked for
            widths = curve.std_error * d / densities
        limits = [
            law.quantile_limits(float(t), error, c, float(y), float(se))
            for c in (point, sup)
            for t, y, se in zip(points, at, widths, strict=True)
        ]
        columns = {"tau": points, "estimate": at}
        ends = list(np.array(limits).reshape(2, -1, 2).transpose(0, 2, 1).reshape(4, -1))
    else:
        back = np.exp if kind == "pdf" else law.laws.link.cdf
        ends = [back(curve.values + c * curve.std_error) for c in (-point, point, -sup, sup)]
        columns = {"y": points, "estimate": back(curve.values)}
    table = pd.DataFrame(columns | dict(zip(LIMITS, ends, strict=True)))
    table.loc[law.held.hidden(at), table.columns[1:]] = np.nan
    return table


def _band_points(law: Averaged, kind: str, grid: Any) -> Array:
    """The grid of a band, checked; None is levels from .01 to .99, or outcomes between these quantiles."""
    if kind not in ("cdf", "pdf", "quantile"):
        raise OptionError(f"kind={kind!r} is not known; use 'cdf', 'pdf' or 'quantile'.")
    if grid is None:
        low, high = 0.01, 0.99
        if kind != "quantile":
            low, high = np.clip([law.quantile(low), law.quantile(high)], law.held.low, law.held.high)
        return np.linspace(low, high, GRID)
    points = floats(grid, "The grid")
    if points.ndim != 1 or len(points) < 2 or not np.isfinite(points).all():
        raise OptionError("The grid is a list of at least two finite numbers.")
    if kind == "quantile" and (points.min() <= 0 or points.max() >= 1):
        raise OptionError("The grid of a quantile curve holds levels between 0 and 1.")
    return points


def critical_of_band(V: Array, level: float, seed: np.random.SeedSequence) -> float:
    """The level-quantile of the largest |ε_i|/se_i, ε ~ N(0, V), by draws; NaN where no error is known."""
    known = np.isfinite(np.diagonal(V))
    root = half(V[np.ix_(known, known)])
    se = np.sqrt(np.square(root).sum(axis=1))
    root = root[se > 0] / se[se > 0, None]
    if not len(root):
        return np.nan
    draws = np.random.default_rng(seed).standard_normal((root.shape[1], DRAWS))
    return float(np.quantile(np.abs(root @ draws).max(axis=0), level))


def half(S: Array) -> Array:
    """L with L·L' = S for a positive semi-definite S.

    Examples
    --------
    >>> L = half(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> (L @ L.T).round(12).tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    values, vectors = np.linalg.eigh(S)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
