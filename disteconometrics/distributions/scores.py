"""How well laws forecast outcomes: scoring rules, probability transforms, calibration, coverage.

Scores are per row, (n,): the log score is a log density (higher is better), the others are losses (lower is
better).  Laws have one row per outcome, or batch shape () for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Mask, Seed
from disteconometrics.distributions.bernoulli import Bernoulli
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.families import LOG_ROOT_2PI, Logistic, Normal
from disteconometrics.distributions.functionals import matched
from disteconometrics.distributions.law import Function, Law
from disteconometrics.distributions.mixture import Average, Mixture
from disteconometrics.distributions.numeric import floats, generator, level_array, level_integral
from disteconometrics.distributions.pushed import PushedRows
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.words import tells_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Uniformity",
    "calibration",
    "coverage",
    "crps",
    "log_score",
    "pinball",
    "pit",
    "record_scores",
    "uniformity",
]


MOST_PARTS = 60  # components of a mixture of normals whose pairs are summed; more are integrated
MOST_PAIRS = 20_000_000


def _read(law: Law, y: Any, of: str | None) -> tuple[Law, Array]:
    """The law that is scored, and outcomes (n,), one per row: of what is recorded where a law says how."""
    if not isinstance(law, Law):
        raise OptionError(f"A score needs a law, not {type(law).__name__}; wrap scipy's with de.law(...).")
    if of not in (None, "outcome", "recorded"):
        raise OptionError(f"of={of!r} is not known; use 'outcome' or 'recorded'.")
    told = law.recording
    if of == "outcome" or (of is None and told is None):
        return law, _outcomes(law, y)
    try:
        recorded = law.recorded()
    except WithheldError as error:
        error.add_note("Give of='outcome' for outcomes told exactly, or score intervals by record_scores().")
        raise
    return recorded, told.as_told(_outcomes(law, y))


def _outcomes(law: Law, y: Any) -> Array:
    """Outcomes (n,), one per row of the law."""
    values = np.atleast_1d(floats(y, "Outcomes"))
    if values.ndim != 1 or (law.batch_shape and values.shape not in ((1,), law.batch_shape)):
        rows = f"({law.batch_shape[0]},)" if law.batch_shape else "(n,)"
        raise OptionError(f"A score takes one outcome per row, {rows}; got shape {np.shape(y)}.")
    return np.broadcast_to(values, law.batch_shape or values.shape)


@tells_words
def log_score(law: Law, y: Any, *, of: str | None = None) -> Array:
    """Log density of each outcome (log mass if discrete), (n,); higher is better.

    Parameters
    ----------
    law : law of batch shape (n,) or ().
    y : (n,) float64 array.
    of : {"recorded", "outcome"} or None
        Whether y is what was recorded, or outcomes told exactly; None is "recorded" where the law says how.

    Raises
    ------
    OptionError
        If there is not one outcome per row.

    References
    ----------
    Gneiting, Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA 102,
    doi:10.1198/016214506000001437.

    Examples
    --------
    >>> log_score(de.Normal(0, 1), [0.0, 2.0]).round(4)
    array([-0.9189, -2.9189])
    """
    law, y = _read(law, y, of)
    return law.logpdf(y)


# ---- continuous ranked probability score -------------------------------------------------------------------


def _normal_distance(mean: Array, std: Array) -> Array:
    """E|X| of normals."""
    z = mean / std
    return np.asarray(
        2 * std * np.exp(-0.5 * z**2 - LOG_ROOT_2PI) + mean * (special.ndtr(z) - special.ndtr(-z))
    )


def _crps_normal(law: Normal, y: Array) -> Array:
    scale = np.asarray(law.scale)
    return np.asarray(_normal_distance(y - law.loc, scale) - scale / np.sqrt(np.pi))


def _crps_logistic(law: Logistic, y: Array) -> Array:
    z = np.abs(y - law.loc) / law.scale
    return np.asarray(law.scale * (z + 2 * np.log1p(np.exp(-z)) - 1))


def _crps_normals(loc: Array, scale: Array, weights: Array, y: Array) -> Array:
    """Of mixtures of normals: loc, scale, weights (…, K), y (…); pairs are summed in chunks of components."""
    near = (weights * _normal_distance(y[..., None] - loc, scale)).sum(axis=-1)
    spread, K = np.zeros(loc.shape[:-1]), loc.shape[-1]
    step = max(1, MOST_PAIRS // (max(1, spread.size) * K))
    for i in range(0, K, step):
        part = slice(i, i + step)
        gap = loc[..., part, None] - loc[..., None, :]
        both = np.hypot(scale[..., part, None], scale[..., None, :])
        spread += (weights[..., part, None] * weights[..., None, :] * _normal_distance(gap, both)).sum(
            axis=(-2, -1)
        )
    return np.asarray(near - spread / 2)


def _normal_parts(law: Law) -> tuple[Array, Array, Array] | None:
    """Means, standard deviations and weights (…, K) of a mixture of normals that is small enough."""
    if isinstance(law, Mixture):
        return _mixed_normals(law)
    if not isinstance(law, Average) or not isinstance(law.law, Normal):
        return None
    weights = np.asarray(law.weights)
    if len(weights) ** 2 > MOST_PAIRS:
        return None
    return np.asarray(law.law.loc), np.asarray(law.law.scale), weights


def _mixed_normals(law: Mixture) -> tuple[Array, Array, Array] | None:
    normals = [part for part in law.laws if isinstance(part, Normal)]
    if not len(normals) == len(law.laws) <= MOST_PARTS:
        return None
    loc, scale = (
        np.stack([np.broadcast_to(getattr(part, name), law.batch_shape) for part in normals], axis=-1)
        for name in ("loc", "scale")
    )
    return loc, scale, np.broadcast_to(np.asarray(law.weights), loc.shape)


def _crps_empirical(law: Empirical, y: Array) -> Array:
    x, w = law.values, np.asarray(law.weights)
    below, sums = np.concatenate([[0.0], np.cumsum(w)]), np.concatenate([[0.0], np.cumsum(w * x)])
    at = np.searchsorted(x, y, side="right")
    distance = y * (2 * below[at] - 1) + sums[-1] - 2 * sums[at]
    return np.asarray(distance - (w * x) @ (below[1:] + below[:-1] - 1))


def _crps_straight(law: PushedRows, y: Array) -> Array:
    """Twice the pinball loss over all levels, piecewise a quadratic of the level on both sides of F(y)."""
    a, b = law.levels[:-1], law.levels[1:]
    low, slope = law.values[:, :-1], np.diff(law.values, axis=1) / (b - a)
    cut = np.clip(law._cdf(y[:, None]), a, b)

    def integral(start: Array, end: Array, above: bool) -> Array:
        def loss(tau: Array) -> Array:
            miss = y[:, None] - low - slope * (tau - a)
            return 2 * (tau - 1 if above else tau) * miss

        return (end - start) / 6 * (loss(start) + 4 * loss((start + end) / 2) + loss(end))

    return np.asarray((integral(a, cut, False) + integral(cut, b, True)).sum(axis=1))


def _crps_bernoulli(law: Bernoulli, y: Array) -> Array:
    """Brier's score where y is 0 or 1."""
    p, q, inside = law.pdf(1), law.pdf(0), np.clip(y, 0.0, 1.0)
    return inside * q**2 + (1 - inside) * p**2 + np.abs(y - inside)


def _crps_discrete(law: Law, y: Array) -> Array:
    """E|Y − y| − ½E|Y − Y'|, by sums over the law's points."""
    half = law._half_gap()
    if not law.batch_shape:
        return np.array([law.expect(partial(_distance, v)) for v in y]) - half
    return law.expect(partial(_distance, y[:, None])) - half


def _distance(y: Array, t: Array) -> Array:
    return np.abs(t - y)


def _crps_integral(law: Law, y: Array) -> Array:
    """2∫(1{y ≤ q(τ)} − τ)(q(τ) − y) dτ, its two smooth pieces apart."""

    def piece(hook: Function, mass: Array, sign: float) -> Array:
        quantiles = matched(law, hook)

        def at(u: Array, upper: bool) -> Array:
            share = (1 - u) if upper else u
            # negative by rounding alone
            beyond = sign * (y[:, None] - quantiles(mass[:, None] * share))
            return 2 * mass[:, None] ** 2 * share * np.maximum(beyond, 0.0)

        return level_integral(at, y.shape)

    with np.errstate(all="ignore"):
        return piece(law._quantile, law.cdf(y), 1.0) + piece(law._isf, law.sf(y), -1.0)


@tells_words
def crps(law: Law, y: Any, *, of: str | None = None) -> Array:
    """Continuous ranked probability score of each outcome, ∫(F(t) − 1{y ≤ t})² dt, (n,).

    It is in the outcome's unit, and lower is better.  Exact for normal, logistic and empirical laws, mixtures
    of normals, discrete laws and straight quantile functions, to about ten digits for others.  Of brackets
    it is that of the number of the class.

    Parameters
    ----------
    law : law of batch shape (n,) or ().
    y : (n,) float64 array.
    of : {"recorded", "outcome"} or None
        Whether y is what was recorded, or outcomes told exactly; None is "recorded" where the law says how.

    Raises
    ------
    OptionError
        If there is not one outcome per row.

    References
    ----------
    Gneiting, Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA 102,
    doi:10.1198/016214506000001437.
    Grimit, Gneiting, Berrocal, Johnson (2006), The continuous ranked probability score for circular
    variables, Quarterly J. Royal Meteorological Society 132, doi:10.1256/qj.05.235 (mixtures of normals).

    Examples
    --------
    >>> crps(de.Normal(0, 1), [0.0, 2.0]).round(4), crps(de.Bernoulli([0.2]), [1]).round(2)
    (array([0.2337, 1.4528]), array([0.64]))
    """
    law, y = _read(law, y, of)
    with np.errstate(all="ignore"):
        if isinstance(law, Normal):
            out = _crps_normal(law, y)
        elif isinstance(law, Logistic):
            out = _crps_logistic(law, y)
        elif isinstance(law, Empirical):
            out = _crps_empirical(law, y)
        elif isinstance(law, Bernoulli):
            out = _crps_bernoulli(law, y)
        elif isinstance(law, PushedRows):
            out = _crps_straight(law, y)
        elif (parts := _normal_parts(law)) is not None:
            out = _crps_normals(*parts, y)
        elif (known := law._crps(y)) is not None:
            out = known
        elif law.discrete:
            out = _crps_discrete(law, y)
        else:
            out = _crps_integral(law, y)
    return np.where(np.isnan(y), np.nan, out)


# ---- quantiles, transforms, calibration --------------------------------------------------------------------


@tells_words
def pinball(law: Law, y: Any, tau: Any, *, of: str | None = None) -> Array:
    """Quantile loss (1{y < q} − τ)(q − y) of each outcome at the law's quantiles, (n,) + τ.shape.

    Lower is better.

    Parameters
    ----------
    law : law of batch shape (n,) or ().
    y : (n,) float64 array.
    tau : float or array, levels.
    of : {"recorded", "outcome"} or None
        Whether y is what was recorded, or outcomes told exactly; None is "recorded" where the law says how.

    Raises
    ------
    OptionError
        If a level is outside [0, 1] or there is not one outcome per row.

    References
    ----------
    Koenker, Bassett (1978), Regression quantiles, Econometrica 46, doi:10.2307/1913643.

    Examples
    --------
    >>> pinball(de.Normal(0, 1), [1.0], [0.5, 0.9]).round(4)
    array([[0.5   , 0.0282]])
    """
    law, y = _read(law, y, of)
    levels = level_array(tau)
    q = law.quantile(levels)
    q = q if law.batch_shape else np.broadcast_to(q, y.shape + levels.shape)
    gap = q - y.reshape(y.shape + (1,) * levels.ndim)
    return np.asarray(((gap > 0) - levels) * gap)


@tells_words
def pit(law: Law, y: Any, *, seed: Seed = 0, of: str | None = None) -> Array:
    """Probability integral transform F(y) of each outcome, (n,): uniform where the law is right.

    Where the law has a mass it is drawn uniformly between P(Y < y) and P(Y ≤ y).

    Parameters
    ----------
    law : law of batch shape (n,) or ().
    y : (n,) float64 array.
    seed : int, Generator or None, for laws with masses.
    of : {"recorded", "outcome"} or None
        Whether y is what was recorded, or outcomes told exactly; None is "recorded" where the law says how.

    Raises
    ------
    OptionError
        If there is not one outcome per row.

    References
    ----------
    Czado, Gneiting, Held (2009), Predictive model assessment for count data, Biometrics 65,
    doi:10.1111/j.1541-0420.2009.01191.x.

    Examples
    --------
    >>> pit(de.Normal([0.0, 1.0], 1.0), [0.0, 0.0]).round(4)
    array([0.5   , 0.1587])
    """
    law, y = _read(law, y, of)
    u = law.cdf(y)
    return np.asarray(u - law.mass(y) * generator(seed).random(y.shape))


@tells_words
def record_scores(law: Law, lower: Any, upper: Any, *, seed: Seed = 0) -> tuple[Array, Array]:
    """Log probabilities and transforms of records lower < y <= upper, each (n,).

    Where both ends are equal the outcome is known, and the score is its log density.  A transform is drawn
    uniformly between those of the ends.

    Parameters
    ----------
    law : law of batch shape (n,) or ().
    lower, upper : (n,) float64 arrays, infinite where a side is open.
    seed : int, Generator or None, for the transforms.

    Raises
    ------
    OptionError
        If there is not one record per row.

    Examples
    --------
    >>> score, u = record_scores(de.Normal(0, 1), [0.0, -np.inf], [0.0, 0.0])
    >>> score.round(4).tolist(), float(u[0]), bool(u[1] < 0.5)
    ([-0.9189, -0.6931], 0.5, True)
    """
    low, high = _outcomes(law, lower), _outcomes(law, upper)
    below, above = (np.asarray([law.cdf(y), law.sf(y)]) for y in (low, high))
    # in the tail in which the record is, where the difference has its digits
    p = np.where(below[0] > 0.5, below[1] - above[1], above[0] - below[0])
    point = getattr(law, "point", None)
    if point is not None:  # a record is of what is off the mass
        p = p - np.where((low < point) & (point <= high), law.mass(point), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.log(p)
    known = low == high
    score[known] = np.broadcast_to(law.logpdf(low), low.shape)[known]
    below[0] -= np.where(known, law.mass(low), 0.0)
    return score, below[0] + (above[0] - below[0]) * generator(seed).random(low.shape)


@dataclass(frozen=True)
class Uniformity:
    """Distances of n transforms from the uniform law.

    Kolmogorov-Smirnov, Cramér-von Mises, and the former's p-value.

    The p-value is missing unless outcomes were held out: where the law was fitted on them, its table does not
    apply.

    Examples
    --------
    >>> uniformity([0.1, 0.5, 0.9])
    Uniformity(ks=0.233, cvm=0.037, n=3, p_value=nan)
    """

    ks: float
    cvm: float
    n: int
    p_value: float

    def __repr__(self) -> str:
        return f"Uniformity(ks={self.ks:.3f}, cvm={self.cvm:.3f}, n={self.n}, p_value={self.p_value:.3g})"


@tells_words
def uniformity(u: Any, *, held_out: bool = False) -> Uniformity:
    """How far probability transforms are from uniform.

    Parameters
    ----------
    u : (n,) float64 array in [0, 1]; missing ones are left out.
    held_out : bool, whether the outcomes were not used to fit the law, which makes the p-value (asymptotic)
        valid.

    Returns
    -------
    Uniformity

    Raises
    ------
    OptionError
        If there is none or one is outside [0, 1].

    Examples
    --------
    >>> uniformity(np.linspace(0.005, 0.995, 100), held_out=True).p_value
    1.0
    """
    values = np.sort(np.ravel(floats(u, "Transforms")))
    values = values[~np.isnan(values)]
    n = len(values)
    if not n or values[0] < 0 or values[-1] > 1:
        raise OptionError("uniformity needs at least one transform, and all of them between 0 and 1.")
    above, below = np.arange(1, n + 1) / n, np.arange(n) / n
    ks = float(max((above - values).max(), (values - below).max()))
    cvm = float(1 / (12 * n) + ((values - (above + below) / 2) ** 2).sum())
    return Uniformity(ks, cvm, n, float(special.kolmogorov(np.sqrt(n) * ks)) if held_out else math.nan)


@tells_words
def calibration(
    law: Law, y: Any, levels: Any = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95), *, of: str | None = None
) -> pd.DataFrame:
    """Share of outcomes at or below the law's quantiles.

    Index level, columns share, std_error (under a right law), n.

    Parameters
    ----------
    law : law of batch shape (n,) or ().
    y : (n,) float64 array; missing ones are left out.
    levels : (m,) levels.
    of : {"recorded", "outcome"} or None
        Whether y is what was recorded, or outcomes told exactly; None is "recorded" where the law says how.

    Raises
    ------
    OptionError
        If a level is outside [0, 1] or there is not one outcome per row.

    Examples
    --------
    >>> calibration(de.Normal(0, 1), [-1.0, 0.1, 0.2, 2.0], [0.5]).loc[0.5].to_dict()
    {'share': 0.25, 'std_error': 0.25, 'n': 4.0}
    """
    import pandas as pd

    law, y = _read(law, y, of)
    tau = np.atleast_1d(level_array(levels))
    q = law.quantile(tau)
    used = ~np.isnan(y)
    below = (y[:, None] <= np.broadcast_to(q, (len(y), len(tau))))[used]
    n = used.sum()
    table = {
        "share": below.mean(axis=0),
        "std_error": np.sqrt(tau * (1 - tau) / n),
        "n": np.full(len(tau), n),
    }
    return pd.DataFrame(table, index=pd.Index(tau, name="level"))


@tells_words
def coverage(law: Law, y: Any, level: float = 0.9, *, by: Any = None, of: str | None = None) -> pd.DataFrame:
    """Share of outcomes inside the law's central interval, in all and by group.

    Columns coverage, std_error, width, n.

    Parameters
    ----------
    law : law of batch shape (n,) or ().
    y : (n,) float64 array; missing ones are left out.
    level : float, of the interval.
    by : (n,) labels of groups, or None.
    of : {"recorded", "outcome"} or None
        Whether y is what was recorded, or outcomes told exactly; None is "recorded" where the law says how.

    Raises
    ------
    OptionError
        If the level is not between 0 and 1, or there is not one outcome and label per row.

    Examples
    --------
    >>> coverage(de.Normal(0, 1), [0.0, 1.0, 2.0, 3.0], 0.95, by=["a", "a", "b", "b"])[["coverage", "n"]]
         coverage  n
    all       0.5  4
    a         1.0  2
    b         0.0  2
    """
    import pandas as pd

    law, y = _read(law, y, of)
    low, high = np.broadcast_to(law.interval(level), (len(y), 2)).T
    inside, width = (y >= low) & (y <= high), high - low
    groups: list[tuple[Any, Mask]] = [("all", np.ones(len(y), dtype=bool))]
    if by is not None:
        labels = pd.Series(np.asarray(by))
        if labels.shape != y.shape:
            raise OptionError(f"by has shape {labels.shape}, outcomes {y.shape}; give one label per row.")
        groups += [(label, (labels == label).to_numpy()) for label in sorted(labels.dropna().unique())]
    rows = {}
    for label, rows_in in groups:
        used = rows_in & ~np.isnan(y) & ~np.isnan(width)
        n = used.sum()
        share, wide = (float(v[used].mean()) if n else math.nan for v in (inside, width))
        rows[label] = (share, float(np.sqrt(share * (1 - share) / n)) if n else math.nan, wide, n)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["coverage", "std_error", "width", "n"])
