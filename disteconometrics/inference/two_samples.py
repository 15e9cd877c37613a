"""Inference on the distance of two samples: permutation tests, standard errors, and their domain.

Standard errors come from Kantorovich potentials.

References
----------
del Barrio, Giné, Matrán (1999), Central limit theorems for the Wasserstein distance between the empirical and
the true distributions, Annals of Probability 27, doi:10.1214/aop/1022677394.
del Barrio, Loubes (2019), Central limit theorems for empirical transportation cost in general dimension,
Annals of Probability 47, doi:10.1214/18-AOP1275.
Hundrieser, Klatt, Munk, Staudt (2024), A unifying approach to distributional limits for empirical optimal
transport, Bernoulli 30, doi:10.3150/23-BEJ1697.
Phipson, Smyth (2010), Permutation p-values should never be zero, Statistical Applications in Genetics and
Molecular Biology 9, doi:10.2202/1544-6115.1585.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, Indices, Mask
from disteconometrics.transport import discrete, one_dim
from disteconometrics.transport.samples import unit_beyond
from disteconometrics.transport.sliced import directions

__all__ = [
    "GroupSample",
    "Permutation",
    "Tail",
    "Weight",
    "bias_of",
    "domain_flags",
    "heaviest_tail",
    "mean_difference",
    "permute",
    "shares",
    "tail_index",
    "variance_of",
    "weight_of",
]

Codes = Indices

ENTRIES, CACHED = 2_000_000, 32_768  # labels of a batch of permutations, and of a part of it
SPLITS = 20  # random halves
# A tail is heavy where Hill's index, of the outermost √n rows, is below FOURTH − SLOPE/√(√n) (times p/2): of
# two t laws with three degrees of freedom 95 to 97 % have one, for 100 to 20,000 rows
FOURTH, SLOPE = 3.1, 2.3
FEWEST = 100  # rows of a group that are asked for their tails
# Of a support: empty part of the range of the middle 90 %, with at least this mass on both sides
GAP, SIDE = 0.25, 0.05
SLICES = 50  # directions of the permutation test between rows


@dataclass(frozen=True, eq=False)
class GroupSample:
    """Rows (n, d), masses (n,) that sum to one or None, and cluster codes (n,) or None."""

    rows: Array
    mass: Array | None = None
    clusters: Codes | None = None

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.rows)

    @property
    def weights(self) -> Array:
        """Masses (n,)."""
        return np.full(self.size, 1 / self.size) if self.mass is None else self.mass


def transport(x: GroupSample, y: GroupSample, p: float) -> Any:
    """The optimal transport of two samples, on the line or between rows."""
    if x.rows.shape[1] == 1:
        return one_dim.wasserstein(x.rows[:, 0], y.rows[:, 0], p, x.mass, y.mass)
    return discrete.wasserstein(x.rows, y.rows, p, x.mass, y.mass)


def _parts(influence: Array, sample: GroupSample) -> Array:
    """What rows, or clusters where there are some, add to Σ mass·influence: (n, q) or (G, q)."""
    w = sample.weights
    centred = (influence - w @ influence) * w[:, None]
    if sample.clusters is None:
        return np.asarray(centred)
    sums = np.zeros((int(sample.clusters.max()) + 1, influence.shape[1]))
    np.add.at(sums, sample.clusters, centred)
    return sums


def variance_of(influence: Array, sample: GroupSample) -> Array:
    """Variance (q, q) of Σ mass·influence, from influences (n, q), by cluster where there are some."""
    parts = _parts(influence, sample)
    return np.asarray(parts.T @ parts * (len(parts) / max(len(parts) - 1, 1)))


class Weight(NamedTuple):
    """How evenly rows, or clusters, carry a variance: degrees of freedom, and the share of the five largest.

    The degrees are half of (Σs)²/Σs² for squares s, which is n where all weigh the same, and at least one.
    The half is what makes limits of W2 cover where a few rows decide: their sum and its error move together.
    """

    degrees: float
    five: float


def weight_of(influences: tuple[Array, Array], samples: tuple[GroupSample, GroupSample]) -> Weight:
    """How evenly the rows of two samples carry the variance of a statistic with influences (n,) and (m,)."""
    found = [_parts(f[:, None], s)[:, 0] for f, s in zip(influences, samples, strict=True)]
    squares = np.square(np.concatenate(found) / max(max(np.abs(f).max() for f in found), 1e-300))
    total = float(squares.sum())
    if not total > 0:
        return Weight(np.inf, np.nan)
    largest = np.partition(squares, -5)[-5:] if len(squares) > 5 else squares
    degrees = max(total**2 / float(np.square(squares).sum()) / 2, 1.0)
    return Weight(degrees, float(largest.sum()) / total)


class Tail(NamedTuple):
    """The heaviest tail of a sample: column, Hill's index and the rows it is of, whether it is heavy."""

    column: int
    hill: float
    rows: int
    heavy: bool


def tail_index(y: Array) -> Tail | None:
    """Hill's index of the largest √n outcomes (n,) about zero, as incomes have their tails.

    An average has a normal limit where two moments exist, a measure of inequality a good one where there are
    more: the bar is that of `heaviest_tail` for p = 2.  None for fewer than 100 rows, or where the largest
    are not positive.

    Examples
    --------
    >>> tail_index(1 / np.linspace(0, 1, 401)[1:])._replace(hill=0)  # of a Pareto law with index one
    Tail(column=0, hill=0, rows=20, heavy=True)
    """
    k = int(np.sqrt(len(y)))
    if len(y) < FEWEST:
        return None
    outer = np.partition(y, -k - 1)[-k - 1 :]
    least = float(outer.min())
    if least <= 0:
        return None
    index = k / max(float(np.log(outer / least).sum()), 1e-9)
    return Tail(0, index, k, bool(index < FOURTH - SLOPE / np.sqrt(k)))


def heaviest_tail(sample: GroupSample, p: float) -> Tail | None:
    """Hill's index of the outermost √n rows, about the median, of the heavier tail of any column.

    An average of costs |x − y|^p has a normal limit where the law has 2p moments.  The bar is set by t laws
    with three degrees of freedom.  (The share of the variance that the five largest rows carry tells them
    less well: where it finds 95 % of them in 500 rows, it finds gamma laws as well.)  None for fewer than 100
    rows and for p = 1, which needs two moments only.
    """
    k = int(np.sqrt(sample.size))
    if sample.size < FEWEST or p <= 1 or np.isinf(p):
        return None
    found = []
    for j, v in enumerate(sample.rows.T):
        centred = v - np.median(v)
        for side in (centred, -centred):
            outer = np.partition(side, -k - 1)[-k - 1 :]
            least = outer.min()
            if least > 0:
                found.append((k / max(float(np.log(outer / least).sum()), 1e-9), j))
    if not found:
        return None
    index, column = min(found)
    return Tail(column, index, k, index < p / 2 * (FOURTH - SLOPE / np.sqrt(k)))


def halves(sample: GroupSample, p: float, rng: np.random.Generator) -> float:
    """Mean cost W_p^p between random halves of a sample, of its clusters where there are some."""
    found = []
    for _ in range(SPLITS if sample.rows.shape[1] == 1 else 3):
        if sample.clusters is None:
            order = rng.permutation(sample.size)
            parts = order[: sample.size // 2], order[sample.size // 2 : 2 * (sample.size // 2)]
        else:
            G = int(sample.clusters.max()) + 1
            first = np.isin(sample.clusters, rng.permutation(G)[: G // 2])
            parts = np.flatnonzero(first), np.flatnonzero(~first)
        a, b = (GroupSample(sample.rows[i], None if sample.mass is None else sample.mass[i]) for i in parts)
        if min(a.size, b.size) and min(a.weights.sum(), b.weights.sum()) > 0:
            found.append(transport(a, b, p).cost)
    return float(np.mean(found)) if found else np.nan


def bias_of(
    x: GroupSample, y: GroupSample, p: float, halves: tuple[float, float], potentials: tuple[Array, Array]
) -> float:
    """How much W2² or W1 of two samples on the line exceeds that of their laws; zero for other orders.

    That of W2² is a quarter of the cost between halves of each.  A sample of n misses its law by
    E W2²(Pₙ, P) = b, halves of it differ by about 4·b.  W1 = ∫|F − G| is too large where F and G are within
    their errors: by what the mean of a folded normal exceeds |F − G|, at the difference found.
    """
    if p == 1:
        return _folded(x, y, potentials)
    if p != 2 or min(x.size, y.size) < 4:
        return 0.0
    return sum(halves) / 4


def _folded(x: GroupSample, y: GroupSample, potentials: tuple[Array, Array]) -> float:
    """∫ E|D + error| − |D| for the difference D = F − G found."""
    values = np.concatenate([x.rows[:, 0], y.rows[:, 0]])
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    D, variance = np.zeros(len(steps)), np.zeros(len(steps))
    for sample, f, sign in ((x, potentials[0], 1), (y, potentials[1], -1)):
        mass = sign * sample.weights
        mass = np.concatenate([mass, np.zeros(y.size)] if sign > 0 else [np.zeros(x.size), mass])
        F = np.cumsum(mass[order])[:-1]
        D += F
        variance += np.clip(F * (sign - F), 0.0, None) * _design(f[:, None], sample)
    error = np.sqrt(variance)
    z = np.divide(np.abs(D), error, out=np.full_like(D, np.inf), where=error > 0)
    excess = (
        2 * error * (np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) - np.where(z < 40, z, 0) * special.ndtr(-z))
    )
    return float(np.clip(excess, 0.0, None) @ steps)


def _design(influence: Array, sample: GroupSample) -> float:
    """Variance of a mean of rows as they are weighted and clustered, over that of one: 1/n for even rows."""
    w = sample.weights
    one = float(w @ np.square(influence[:, 0] - w @ influence[:, 0]))
    return float(variance_of(influence, sample)[0, 0]) / one if one > 0 else float(np.square(w).sum())


def shares(x: GroupSample, y: GroupSample) -> tuple[Array, Array, Array]:
    """(μx − μy)² and (σx − σy)² on the line, with their influences (n, 2) and (m, 2)."""
    out = []
    for s in (x, y):
        v, w = s.rows[:, 0], s.weights
        mean = float(w @ v)
        sd = float(np.sqrt(w @ np.square(v - mean)))
        out.append(
            (mean, sd, v - mean, (np.square(v - mean) - sd**2) / (2 * sd) if sd > 0 else np.zeros_like(v))
        )
    (mx, sx, ax, bx), (my, sy, ay, by) = out
    dm, ds = mx - my, sx - sy
    values = np.array([dm**2, ds**2])
    return values, np.column_stack([2 * dm * ax, 2 * ds * bx]), np.column_stack([-2 * dm * ay, -2 * ds * by])


def mean_difference(x: GroupSample, y: GroupSample) -> tuple[float, float, float, float]:
    """Difference of means of the first column, its standard error, Welch's degrees of freedom, p-value."""
    means, variances, degrees = np.zeros(2), np.zeros(2), np.zeros(2)
    size = max(float(np.abs(s.rows[:, 0]).max()) for s in (x, y))
    unit = unit_beyond(size, 1e-30, 1e30)  # variances are squared below
    for i, s in enumerate((x, y)):
        values = s.rows[:, :1] if unit == 1 else s.rows[:, :1] / unit  # a copy would be summed otherwise
        means[i] = s.weights @ values[:, 0]
        variances[i] = variance_of(values, s)[0, 0]
        degrees[i] = (s.size if s.clusters is None else int(s.clusters.max()) + 1) - 1
    difference, total = float(means[0] - means[1]), float(variances.sum())
    if not total > 0 or not degrees.all():
        return unit * difference, np.nan, np.nan, np.nan
    df = total**2 / float((variances**2 / degrees).sum())
    se = float(np.sqrt(total))
    return unit * difference, unit * se, df, float(2 * special.stdtr(df, -abs(difference) / se))


# ---- where the normal limit holds --------------------------------------------------------------------------


def _gap(s: GroupSample) -> float:
    """The largest empty stretch inside a sample on the line, as a share of the range of its middle 90 %."""
    order = np.argsort(s.rows[:, 0], kind="stable")
    v, F = s.rows[order, 0], np.cumsum(s.weights[order])
    low, high = np.interp([0.05, 0.95], F, v)
    inside = (F[:-1] > SIDE) & (F[:-1] < 1 - SIDE)
    return float(np.max(np.diff(v)[inside], initial=0.0) / (high - low)) if high > low else 0.0


def domain_flags(x: GroupSample, y: GroupSample, p: float, equality: float) -> tuple[str, ...]:
    """Why the normal limit does not hold, in sentences; empty inside the declared domain.

    ``equality`` is the p-value of a test of equal laws, NaN where there is none.
    """
    d = x.rows.shape[1]
    found = []
    if equality > 0.05:
        found.append(
            f"the samples are compatible with equal laws (p = {equality:.3f}), where the limit has no "
            f"variance"
        )
    if d >= 4:
        found.append(f"in {d} dimensions the bias is larger than the standard error")
    if d == 1 and p > 1:
        gap = max(_gap(x), _gap(y))
        if gap > GAP:
            found.append(
                f"a support has a gap ({100 * gap:.0f} % of the middle range), so the potentials are not "
                f"unique"
            )
    return tuple(found)


# ---- permutation -------------------------------------------------------------------------------------------


class Permutation(NamedTuple):
    """Statistics of the samples and p-values (1 + number as large)/(1 + draws), by name; ``draws`` made."""

    statistics: dict[str, float]
    p_values: dict[str, float]
    draws: int


def _labels(first: Mask, units: Codes | None, count: int, rng: np.random.Generator) -> Mask:
    """Labels (count, N) of permuted rows, or of permuted clusters ``units`` (N,)."""
    if units is None:
        return rng.permuted(np.broadcast_to(first, (count, len(first))), axis=1)
    by_unit = np.zeros(int(units.max()) + 1, dtype=bool)
    by_unit[units] = first
    return rng.permuted(np.broadcast_to(by_unit, (count, len(by_unit))), axis=1)[:, units]


class _Line:
    """W_p, Kolmogorov–Smirnov and energy statistics of labelled values on the line."""

    def __init__(self, values: Array, p: float) -> None:
        self.order = np.argsort(values, kind="stable")
        self.z, self.p = values[self.order], p
        self.steps = np.diff(self.z)
        self.ends = np.append(self.steps > 0, True)

    def __call__(self, labels: Mask) -> dict[str, Array]:
        L = labels[:, self.order]
        ones = np.cumsum(L, axis=1, dtype=np.float64)
        n = ones[:, -1:]
        N = L.shape[1]
        D = np.abs(ones / n - (np.arange(1, N + 1) - ones) / (N - n))
        found = {"KS": D[:, self.ends].max(axis=1), "energy": 2 * np.square(D[:, :-1]) @ self.steps}
        if self.p == 1:
            found["W"] = D[:, :-1] @ self.steps
        elif (n == n[0]).all():
            a, b = int(n[0, 0]), N - int(n[0, 0])
            tiled = np.broadcast_to(self.z, L.shape)
            x, y = tiled[L].reshape(-1, a), tiled[~L].reshape(-1, b)
            source, target, mass = one_dim.pieces(None, None, a, b)
            gap = np.abs(x[:, source] - y[:, target])
            found["W"] = gap.max(axis=1) if np.isinf(self.p) else gap**self.p @ mass
        else:
            found["W"] = np.array([one_dim.wasserstein(self.z[r], self.z[~r], self.p).cost for r in L])
        return found


class _Rows:
    """The sliced W1 and energy statistics of labelled rows."""

    def __init__(self, rows: Array) -> None:
        size = rows.std(axis=0)
        D = directions(SLICES, rows.shape[1], 0)
        projected = D @ (rows / np.where(size > 0, size, 1.0)).T
        self.order = np.argsort(projected, axis=1, kind="stable")
        self.steps = np.diff(np.take_along_axis(projected, self.order, axis=1), axis=1)

    def __call__(self, labels: Mask) -> dict[str, Array]:
        N, W, E = labels.shape[1], np.zeros(len(labels)), np.zeros(len(labels))
        n = labels.sum(axis=1, dtype=np.float64)[:, None]
        both, rest = 1 / n + 1 / (N - n), np.arange(1, N) / (N - n)
        ones, D = np.empty(labels.shape, np.int32), np.empty((len(labels), N - 1))
        for order, steps in zip(self.order, self.steps, strict=True):
            np.cumsum(np.take(labels, order, axis=1), axis=1, out=ones)
            np.multiply(ones[:, :-1], both, out=D)
            D -= rest
            W += np.abs(D, out=D) @ steps
            E += np.square(D, out=D) @ steps
        return {"W": W / len(self.order), "energy": 2 * E / len(self.order)}


def permute(
    x: GroupSample, y: GroupSample, p: float, draws: int, rng: np.random.Generator, progress: Any = None
) -> Permutation:
    """Permutation tests of equal laws: rows change groups, or whole clusters that lie within groups.

    Parameters
    ----------
    x, y : Sample without masses.
    p : float, order of the distance on the line; between rows the statistic is the sliced W1 of standardised
        columns.
    draws : int.
    rng : numpy Generator.
    progress : function of the number of draws just made, or None.

    Returns
    -------
    Permutation

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> a, b = GroupSample(rng.normal(size=(30, 1))), GroupSample(rng.normal(size=(40, 1)) + 2)
    >>> permute(a, b, 2, 199, rng).p_values["W"]
    0.005
    """
    rows = np.concatenate([x.rows, y.rows])
    first = np.arange(len(rows)) < x.size
    units = None
    if x.clusters is not None and y.clusters is not None:
        units = np.concatenate([x.clusters, y.clusters + int(x.clusters.max()) + 1])
    statistic = _Line(rows[:, 0], p) if rows.shape[1] == 1 else _Rows(rows)
    seen = {name: float(v[0]) for name, v in statistic(first[None]).items()}
    above = dict.fromkeys(seen, 0)
    step = max(1, ENTRIES // len(rows))
    few = step if rows.shape[1] == 1 else max(1, CACHED // len(rows))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        labels = _labels(first, units, count, rng)
        for part in range(0, count, few):  # in the cache
            for name, v in statistic(labels[part : part + few]).items():
                above[name] += int((v >= seen[name] * (1 - 1e-12)).sum())
        if progress is not None:
            progress(count)
    return Permutation(seen, {name: (1 + k) / (1 + draws) for name, k in above.items()}, draws)
