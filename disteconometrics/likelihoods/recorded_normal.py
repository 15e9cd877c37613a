"""The normal linear law of outcomes that were told as records: exactly, in an interval, or beyond a point.

In Olsen's parameters δ = β/σ and θ = 1/σ a row has the index m = θ·p − x'δ, where p is its value, the middle
of its interval or its finite end, and the width d = θ·g of its interval:

    exact                log θ + log φ(m)
    interval             f(m, d) = log[Φ(m + d/2) − Φ(m − d/2)]
    open below, above    log Φ(m), log Φ(−m)

All are concave in (δ, θ), so that there is one maximum.  Narrow intervals are summed as a series around their
middle, φ(m)·d·Σ He_2j(m) (d/2)^2j/(2j + 1)! with Hermite polynomials, as a difference would lose its digits.

References
----------
Tobin (1958), Estimation of relationships for limited dependent variables, Econometrica 26.
Olsen (1978), Note on the uniqueness of the maximum likelihood estimator for the Tobit model, Econometrica 46,
doi:10.2307/1911445.
Stewart (1983), On least squares estimation when the dependent variable is grouped, Review of Economic Studies
50, doi:10.2307/2297773.
"""

from __future__ import annotations

from math import factorial
from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array, Mask, as_floats
from disteconometrics.likelihoods.gaussian import normal
from disteconometrics.likelihoods.ordered import ordered_normal

__all__ = ["NormalPass", "NormalRecords", "RecordTerms", "evaluate", "record_terms"]

HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
NARROW, NARROW_SLOPE = 0.1, 0.5  # largest width and index times width of the series, …
TERMS = 6  # … whose next term is then below 1e-16


class NormalRecords(NamedTuple):
    """Records as the likelihood reads them.

    ``point`` (n,): value, middle of an interval or finite end; ``gap`` (n,): width of an interval, else 0;
    and whether rows are exact, open below, open above (n,) or, if none of these, intervals.
    """

    point: Array
    gap: Array
    exact: Mask
    below: Mask
    above: Mask


class RecordTerms(NamedTuple):
    """Per row (n,): log-likelihood, its derivatives in m and d, and minus the second ones, mm, md and dd."""

    loglik: Array
    slope: Array
    slope_width: Array
    weight: Array
    shared: Array
    weight_width: Array


class NormalPass(NamedTuple):
    """Log-likelihood, score (k + 1,) and information at (δ, θ), and the terms of rows."""

    loglik: float
    score: Array
    information: Array
    terms: RecordTerms


def record_terms(records: NormalRecords, m: Array, theta: float) -> RecordTerms:
    """Terms of rows at indices m (n,) and θ; those of exact rows leave log θ out.

    Examples
    --------
    >>> no, yes = np.array([False]), np.array([True])
    >>> one = NormalRecords(np.array([1.0]), np.array([0.0]), no, yes, no)
    >>> record_terms(one, np.array([0.0]), 1.0).loglik.round(4)
    array([-0.6931])
    """
    out, d = np.zeros((6, len(m))), theta * records.gap
    open_ = records.below | records.above
    between = ~(records.exact | open_)
    narrow = between & (d <= NARROW) & (np.abs(m) * d <= NARROW_SLOPE)
    kinds = ((records.exact, _exact), (open_, _open), (narrow, _narrow), (between & ~narrow, _wide))
    for rows, terms in kinds:
        at = np.flatnonzero(rows)
        if len(at):
            for part, found in zip(out, terms(m[at], d[at], records.below[at]), strict=True):
                part[at] = found
    return RecordTerms(*out)


def _exact(m: Array, d: Array, below: Mask) -> tuple[Any, ...]:
    return -0.5 * m**2 - HALF_LOG_2PI, -m, 0.0, 1.0, 0.0, 0.0


def _open(m: Array, d: Array, below: Mask) -> tuple[Any, ...]:
    terms = normal(as_floats(below), m)
    return terms.loglik, terms.score, 0.0, np.square(terms.root_weight), 0.0, 0.0


def _wide(m: Array, d: Array, below: Mask) -> tuple[Any, ...]:
    t = ordered_normal(m + d / 2, m - d / 2)
    total = t.upper_weight + t.lower_weight
    return (
        t.loglik,
        t.upper + t.lower,
        (t.upper - t.lower) / 2,
        total,
        (t.upper_weight - t.lower_weight) / 2,
        total / 4 + t.shared,
    )


def _narrow(m: Array, d: Array, below: Mask) -> tuple[Any, ...]:
    """The series S around the middle with its derivatives; f = log φ(m) + log d + log S."""
    He = [np.ones(len(m)), m]
    for j in range(2, 2 * TERMS):
        He.append(m * He[-1] - (j - 1) * He[-2])
    S, Sm, Sd, Smm, Smd, Sdd = np.zeros((6, len(m)))
    for j in range(TERMS):
        c, e = 1.0 / (4.0**j * factorial(2 * j + 1)), 2 * j
        power = c * d**e
        S += He[e] * power
        if j:
            first, lower = c * e * d ** (e - 1), e * He[e - 1]
            Sm += lower * power
            Smm += e * (e - 1) * He[e - 2] * power
            Sd += He[e] * first
            Smd += lower * first
            Sdd += He[e] * c * e * (e - 1) * d ** (e - 2)
    a, b = Sm / S, Sd / S
    return (
        -0.5 * m**2 - HALF_LOG_2PI + np.log(d) + np.log(S),
        a - m,
        1 / d + b,
        1 - Smm / S + a**2,
        a * b - Smd / S,
        1 / d**2 - Sdd / S + b**2,
    )


def evaluate(
    records: NormalRecords, X: Array, w: Array | None, delta: Array, theta: float, exact: float
) -> NormalPass:
    """One pass over the rows.

    Parameters
    ----------
    records : NormalRecords of n rows.
    X : (n, k) float64 array.
    w : (n,) float64 array of weights, or None.
    delta : (k,) float64 array, β/σ.
    theta : float, 1/σ > 0.
    exact : float, the weight of all exact rows.

    Returns
    -------
    NormalPass

    Examples
    --------
    >>> no, yes = np.array([False, False]), np.array([True, True])
    >>> both = NormalRecords(np.array([0.0, 2.0]), np.zeros(2), yes, no, no)
    >>> (evaluate(both, np.ones((2, 1)), None, np.array([1.0]), 1.0, 2.0).score + 0.0).tolist()
    [0.0, 0.0]
    """
    k = len(delta)
    t = record_terms(records, theta * records.point - X @ delta, theta)
    if w is not None:
        t = RecordTerms(*(w * part for part in t))
    p, g = records.point, records.gap
    score = np.append(-(t.slope @ X), t.slope @ p + t.slope_width @ g + exact / theta)
    H = np.zeros((k + 1,) * 2)
    H[:k, :k] = (X.T * t.weight) @ X
    H[:k, k] = H[k, :k] = -X.T @ (t.weight * p + t.shared * g)
    H[k, k] = t.weight @ p**2 + 2 * (t.shared @ (p * g)) + t.weight_width @ g**2 + exact / theta**2
    return NormalPass(float(t.loglik.sum()) + exact * float(np.log(theta)), score, H, t)
