"""Limits and uniform bands of quantiles and their differences, from those of distribution functions.

They are inverted, so that atoms do no harm.  A score interval for F at the unknown quantile of level τ asks
|Fₙ − τ| ≤ c·√(τ(1 − τ)/n), so the limits of the quantile are sample quantiles at shifted levels.  With c the
quantile of the largest standardised deviation over a range of levels, simulated for the size at hand, they
hold for all those levels at once; where values tie they hold with more.  With masses or clusters the error of
Fₙ is that of a weighted or clustered share (Woodruff 1952), and the largest deviation is that of a normal
process with the covariance of the sample.

References
----------
Chernozhukov, Fernández-Val, Melly, Wüthrich (2020), Generic inference on quantile and quantile effect
functions for discrete outcomes, Journal of the American Statistical Association 115,
doi:10.1080/01621459.2019.1611581.
Francisco, Fuller (1991), Quantile estimation with a complex survey design, Annals of Statistics 19,
doi:10.1214/aos/1176347993.
Woodruff (1952), Confidence intervals for medians and other position measures, Journal of the American
Statistical Association 47, doi:10.1080/01621459.1952.10483443.
Zou, Donner (2008), Construction of confidence limits about effect measures, Statistics in Medicine 27,
doi:10.1002/sim.3095.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.inference.estimates import as_far_out, critical_value
from disteconometrics.inference.simultaneous import contrast_limits
from disteconometrics.inference.two_samples import GroupSample

__all__ = ["Ranks", "critical_deviation", "difference_limits", "left_inverse"]

SIMULATED = 2_000  # sizes above behave like this one
DRAWS = 4_000
GRID = 181  # levels at which the process with masses or clusters is drawn
HEAP_MASS = 0.5  # mass of a value that is a heap, in half-widths of the limits of Fₙ
MOST_LEVELS = 1_000  # at which a design effect is computed, interpolated between
ENTRIES = 2_000_000  # of levels by clusters, at once


def left_inverse(ordered: Array, levels: Array) -> Array:
    """inf{y : Fₙ(y) ≥ level} of a sorted sample (n,); −∞ for levels ≤ 0 and +∞ for levels above 1.

    Examples
    --------
    >>> left_inverse(np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.3, 2 / 3, 1.0, 1.1]))
    array([-inf,   1.,   2.,   4.,  inf])
    """
    n = len(ordered)
    at = (
        np.ceil(n * np.asarray(levels) - 1e-9 * n**0.5).astype(np.intp) - 1
    )  # k/n written as a decimal is meant exactly
    inside = ordered[np.clip(at, 0, n - 1)]
    return np.where(at < 0, -np.inf, np.where(at >= n, np.inf, inside))


def critical_deviation(n: int, low: float, high: float, level: float) -> float:
    """Quantile of sup |Fₙ − F|·√n/√(F(1 − F)), F from ``low`` to ``high``, for n draws of a continuous law.

    It is simulated with a fixed seed, 4,000 draws, at most 2,000 values each; beyond 100 values n is rounded
    to two digits, which moves it by less than the simulation does, so that studies find most of it in memory.

    Examples
    --------
    >>> round(critical_deviation(500, 0.05, 0.95, 0.95), 1)
    3.2
    """
    n = min(n, SIMULATED)
    unit = 10 ** max(len(str(n)) - 2, 0)
    return _simulated(round(n / unit) * unit, low, high, level)


@lru_cache(256)
def _simulated(n: int, low: float, high: float, level: float) -> float:
    rng, found = np.random.default_rng(20240901), []
    share = np.arange(n + 1) / n
    step = max(1, 1_000_000 // n)
    for start in range(0, DRAWS, step):
        U = np.sort(rng.random((min(step, DRAWS - start), n)), axis=1)
        t = np.clip(
            U, low, high
        )  # between two values the deviation is largest at an end, or at an end of the range
        spread = np.sqrt(n / (t * (1 - t)))
        inside = t == U
        deviation = np.where(
            inside, np.maximum(np.abs(share[1:] - t), np.abs(share[:-1] - t)) * spread, 0.0
        ).max(axis=1)
        for end in (low, high):
            below = np.count_nonzero(end >= U, axis=1) / n
            deviation = np.maximum(deviation, np.abs(below - end) * np.sqrt(n / (end * (1 - end))))
        found.append(deviation)
    return float(np.quantile(np.concatenate(found), level))


class Ranks:
    """A sample of one outcome in order: its quantiles, and how far its distribution function may be off.

    Parameters
    ----------
    sample : Sample of rows (n, 1), with masses and clusters or without; one of counts is taken as their rows.

    Examples
    --------
    >>> y = np.arange(1.0, 101.0)[:, None]
    >>> even = Ranks(GroupSample(y))
    >>> pairs = Ranks(GroupSample(np.repeat(y, 2, axis=0), None, np.repeat(np.arange(100), 2)))
    >>> even.quantile(np.array([0.3])).tolist(), even.error(np.array([0.5])).tolist()
    ([30.0], [0.05])
    >>> # the second of each pair adds nothing
    >>> bool(np.isclose(pairs.error(np.array([0.5]))[0], 0.05 * np.sqrt(100 / 99)))
    True
    >>> [end.tolist() for end in even.limits(np.array([0.5]), 1.96 * even.error(np.array([0.5])))]
    [[41.0], [60.0]]
    """

    def __init__(self, sample: GroupSample) -> None:
        order = np.argsort(sample.rows[:, 0], kind="stable")
        self.ordered = sample.rows[order, 0]
        self._mass = None if sample.mass is None else sample.mass[order]
        self._clusters = None if sample.clusters is None else sample.clusters[order]
        self._counts = None if sample.counts is None else sample.counts[order]
        self.crossing = sample.crossing
        self.size = sample.size
        self._largest: dict[tuple[float, float], Array] = {}

    @property
    def even(self) -> bool:
        """Whether all rows count the same and each for itself."""
        return self._clusters is None and (self._mass is None or self._counts is not None)

    @cached_property
    def heaps(self) -> tuple[Array, Array]:
        """Values that repeat, and their masses."""
        if self._counts is not None:
            return self.ordered[self._counts > 1], np.diff(self._shares)[self._counts > 1]
        values, first, count = np.unique(self.ordered, return_index=True, return_counts=True)
        mass = self._shares[first + count] - self._shares[first]
        return values[count > 1], mass[count > 1]

    def heaped(self, low: Array, high: Array, half: Array) -> Mask:
        """Whether limits (k,) reach a value whose mass is not small beside their half-widths (k,) in Fₙ."""
        values, mass = self.heaps
        reach = zip(np.searchsorted(values, low), np.searchsorted(values, high, side="right"), strict=True)
        largest = np.array([mass[a:b].max(initial=0.0) for a, b in reach])
        return np.asarray(largest > HEAP_MASS * half)

    @cached_property
    def _shares(self) -> Array:
        """Mass before each value in order, and of all (n + 1,)."""
        total = (
            np.arange(len(self.ordered) + 1.0)
            if self._mass is None
            else np.append(0.0, np.cumsum(self._mass))
        )
        return np.asarray(total / total[-1])

    def share(self, y: Array) -> Array:
        """Fₙ (k,) at values y (k,)."""
        return np.asarray(self._shares[np.searchsorted(self.ordered, y, side="right")])

    def quantile(self, levels: Array) -> Array:
        """inf{y : Fₙ(y) ≥ level} (k,), infinite for levels ≤ 0 and above 1."""
        if self._mass is None:
            return left_inverse(self.ordered, levels)
        at = np.searchsorted(
            self._shares[1:-1], levels - 1e-12
        )  # a share written as a decimal is meant exactly
        return np.where(levels <= 0, -np.inf, np.where(levels > 1, np.inf, self.ordered[at]))

    # ---- errors of Fₙ at quantiles: ``until`` (k,) counts the values up to each, F (k,) is their mass

    def _until(self, levels: Array) -> tuple[Indices, Array]:
        until = np.searchsorted(self.ordered, self.quantile(np.clip(levels, 1e-9, 1.0)), side="right")
        return until, self._shares[until]

    def _sums(self, until: Indices, F: Array) -> Array:
        """Deviations (k, G) of Fₙ by cluster, for counts in order."""
        codes, mass = self._clusters, np.diff(self._shares)
        assert codes is not None
        G = int(codes.max()) + 1
        parts = [slice(a, b) for a, b in zip(np.append(0, until[:-1]), until, strict=True)]
        sums = np.cumsum([np.bincount(codes[s], mass[s], G) for s in parts], axis=0)
        return np.asarray((sums - np.outer(F, np.bincount(codes, mass, G))) * np.sqrt(G / (G - 1)))

    def _variance(self, levels: Array) -> Array:
        """Variances (k,) of Fₙ."""
        until, F = self._until(levels)
        if self._clusters is None:  # Σ w²(1{s} − F)²
            squares = np.append(0.0, np.cumsum(np.square(np.diff(self._shares))))
            n = len(self.ordered)
            return np.asarray((squares[until] * (1 - 2 * F) + squares[-1] * F**2) * (n / (n - 1)))
        order = np.argsort(until, kind="stable")
        found = np.empty(len(until))
        for part in np.array_split(order, max(1, len(order) * (int(self._clusters.max()) + 1) // ENTRIES)):
            found[part] = np.square(self._sums(until[part], F[part])).sum(axis=1)
        return found

    def _covariance(self, levels: Array) -> Array:
        """Covariance (k, k) of Fₙ, for levels in order."""
        until, F = self._until(levels)
        if self._clusters is not None:
            sums = self._sums(until, F)
            return np.asarray(sums @ sums.T)
        squares = np.append(0.0, np.cumsum(np.square(np.diff(self._shares))))
        one = np.outer(squares[until], F)
        return np.asarray(
            squares[np.minimum.outer(until, until)] - one - one.T + squares[-1] * np.outer(F, F)
        )

    def error(self, levels: Array) -> Array:
        """Standard errors (k,) of Fₙ at the quantiles of ``levels``: √(τ(1 − τ)/n) times a design effect."""
        even = np.clip(levels * (1 - levels), 0.0, None)
        if self.even:
            return np.asarray(np.sqrt(even / self.size))
        few = levels if len(levels) <= MOST_LEVELS else np.linspace(levels.min(), levels.max(), MOST_LEVELS)
        F = self._until(few)[1]
        inside = F * (1 - F)
        at_the_end = np.square(np.diff(self._shares)).sum()
        effect = np.where(inside > 0, self._variance(few) / np.where(inside > 0, inside, 1.0), at_the_end)
        return np.asarray(np.sqrt(even * (effect if few is levels else np.interp(levels, few, effect))))

    def correlation(self, other: Ranks, levels: Array) -> Array:
        """Correlation (k,) of the errors of both Fₙ at the quantiles of ``levels``, by clusters in common."""
        if self.crossing is None or other.crossing is None:
            return np.zeros(len(levels))
        order, found = np.argsort(levels, kind="stable"), np.zeros(len(levels))
        _, mine, theirs = np.intersect1d(self.crossing, other.crossing, return_indices=True)
        for part in np.array_split(order, max(1, len(order) * len(self.crossing) // ENTRIES)):
            a, b = (r._sums(*r._until(levels[part])) for r in (self, other))
            size = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
            both = np.einsum("kg,kg->k", a[:, mine], b[:, theirs])
            found[part] = np.divide(both, size, out=np.zeros(len(part)), where=size > 0)
        return found

    def rows_worth(self, levels: Array) -> Array:
        """How many independent rows (k,) would know Fₙ as well at the quantiles of ``levels``."""
        levels = np.clip(levels, 1e-9, 1 - 1e-9)
        return np.asarray(levels * (1 - levels) / np.square(self.error(levels)))

    # ---- limits

    def critical(self, level: float) -> float:
        """Two-sided critical value of a single quantile: normal, or t with G − 1 degrees of freedom."""
        return critical_value(level, self._df)

    @property
    def _df(self) -> float:
        return np.inf if self._clusters is None else float(self._clusters.max())

    def uniform_critical(self, low: float, high: float, level: float) -> float:
        """Critical value for all levels from ``low`` to ``high`` at once."""
        if self.even:
            return critical_deviation(self.size, low, high, level)
        if (low, high) not in self._largest:
            C = self._covariance(np.linspace(low, high, GRID))
            sd = np.sqrt(np.diagonal(C))
            C, sd = C[np.ix_(sd > 0, sd > 0)], sd[sd > 0]
            values, vectors = np.linalg.eigh(C / np.outer(sd, sd))
            z = np.random.default_rng(20240901).standard_normal((DRAWS, len(values)))
            root = vectors * np.sqrt(np.clip(values, 0.0, None))
            self._largest[low, high] = np.abs(z @ root.T).max(axis=1, initial=0.0)
        return as_far_out(float(np.quantile(self._largest[low, high], level)), self._df)

    def limits(self, levels: Array, half: Array) -> tuple[Array, Array]:
        """Limits (k,) of quantiles at ``levels`` from half-widths of those of Fₙ, or infinite."""
        return self.quantile(levels - half), self.quantile(np.where(levels + half > 1, 2.0, levels + half))


def difference_limits(
    first: tuple[Array, Array, Array],
    second: tuple[Array, Array, Array],
    joint: bool,
    correlation: Array | None = None,
) -> tuple[Array, Array]:
    """Limits of first − second from estimate, lower and upper limit of each.

    ``joint``: both bands hold at once, so the difference lies between the extreme ones; else the margins add
    up as squares (Zou, Donner 2008), less twice their product times the ``correlation`` (k,) of both.

    Examples
    --------
    >>> one, zero = ([np.array([v]) for v in values] for values in [(5.0, 2.0, 8.0), (1.0, -3.0, 5.0)])
    >>> [limits.tolist() for limits in difference_limits(one, zero, joint=False)]
    [[-1.0], [9.0]]
    """
    values, *ends = zip(first, second, strict=True)
    limits = np.array(ends).transpose(1, 0, *range(2, np.ndim(ends)))
    return contrast_limits(
        np.array([1.0, -1.0]),
        np.array(values),
        limits,
        joint=joint,
        correlation=None if correlation is None else -correlation,
    )
