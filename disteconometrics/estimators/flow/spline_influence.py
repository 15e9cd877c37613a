"""Gradients of functionals of a flow's laws through their influence functions.

A functional T of a law moves with its distribution function F by −∫ T'(y) dF(y) dy, where T' is the slope in
y of T's influence function; F moves with the coefficients by φ(h)·a.  One sum over points per row takes the
place of two integrals per coefficient.

References
----------
Hampel (1974), The influence curve and its role in robust estimation, JASA 69,
doi:10.1080/01621459.1974.10482962. Cowell, Flachaire (2015), Statistical methods for distributional analysis,
Handbook of Income Distribution 2A, ch. 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.spline import (
    NODES,
    WEIGHTS,
    chunks,
    invert,
    pieces,
    transform,
)
from disteconometrics.estimators.flow.spline_flow import SplineFlow, quadrature
from disteconometrics.likelihoods.monotone import BASES

__all__ = ["SLOPES", "gradients"]

Slope = Callable[
    [Array, Array, Array, Array], Array
]  # of outcomes (m, Q), F there, T and m (m, 1) of the rows

SHARE = (NODES + 1) / 2
POWER = 8  # a tail's points crowd at probabilities near zero


# Slopes of influence functions at outcomes y with probabilities F, where the functional is T and the mean m;
# of the variance of logarithms m is the mean of these.
SLOPES: dict[str, Slope] = {
    "mean": lambda y, F, T, m: np.ones_like(y),
    "second moment": lambda y, F, T, m: 2 * y,
    "gini": lambda y, F, T, m: (2 * F - 1 - T) / m,
    "theil": lambda y, F, T, m: (np.log(y) - T - np.log(m)) / m,
    "mld": lambda y, F, T, m: 1 / m - 1 / y,
    "var_log": lambda y, F, T, m: 2 * (np.log(y) - m) / y,
}


def _column(values: Array) -> Array:
    return np.asarray(values).reshape(-1, 1)


def gradients(flow: SplineFlow, theta: Array, X: Array, values: Mapping[str, Array]) -> list[Array]:
    """Gradients (n, p) in θ of functionals in `SLOPES` of rows' laws; NaN in rows whose law has no mean.

    Parameters
    ----------
    flow : Flow.
    theta : (p,) float64 array.
    X : (n, K) float64 array.
    values : functionals by name, each (n,) under θ.
    """
    law, base, k = flow.law(theta, X), BASES[flow.base], flow.structure.basis.knots
    mean = law.mean()
    slopes = [
        (SLOPES[name], _column(value), _column(law.expect(np.log) if name == "var_log" else mean))
        for name, value in values.items()
    ]
    inner, weights, nodes = quadrature(k)
    out = [np.empty((len(X), len(theta))) for _ in slopes]
    for rows in chunks(len(X), 8 * len(nodes) + len(theta)):
        p = pieces(flow.structure.basis, law.intercept[rows], law.slopes[rows])
        location = law.location[rows, None]

        def change(
            r: Array, z: Array, mass: Array, location: Array = location, rows: slice = rows
        ) -> list[Array]:
            """T'(y)·dy/dr·mass at points r (m, Q), for every functional."""
            y = flow.support.from_line(location + flow.centre.scale * r)
            with np.errstate(all="ignore"):
                lift = flow.centre.scale * np.exp(-flow.support.log_slope(y)) * mass
                F = base.cdf(z)
                return [np.where(lift > 0, of(y, F, T[rows], m[rows]) * lift, 0.0) for of, T, m in slopes]

        r = np.broadcast_to(inner, (len(location), len(inner)))
        z, _ = transform(p, r)
        parts = [[c] for c in change(r, z, np.exp(base.logpdf(z)) * weights)]
        for side, height, edge, steep in (
            (-1.0, p.heights[:, 0], k[0], p.ends[0]),
            (1.0, p.heights[:, -1], k[-1], p.ends[1]),
        ):
            P = base.cdf(-side * height)[:, None]  # of the tail
            z = -side * base.quantile(P * SHARE**POWER)
            r = invert(p, z)
            mass = P * POWER * SHARE ** (POWER - 1) * WEIGHTS / 2 / steep[:, None]  # φ(h) dr
            for part, c in zip(parts, change(r, z, mass), strict=True):
                with np.errstate(invalid="ignore"):  # infinite where there is no such moment
                    beyond = (c * (side * (r - edge))).sum(axis=1)
                    part.append(np.column_stack([c.sum(axis=1) - beyond, beyond]))
        for o, part in zip(out, parts, strict=True):
            o[rows] = -flow.structure.integrals(np.concatenate(part, axis=1), nodes, X[rows])
    known = np.isfinite(_column(mean))
    return [np.where(known, o, np.nan) for o in out]
