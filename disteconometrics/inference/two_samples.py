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

from disteconometrics.arrays import Array, Indices, Mask, as_floats, or_ones
from disteconometrics.errors import OptionError
from disteconometrics.transport import discrete, one_dim
from disteconometrics.transport.histogram import Filling, Histogram
from disteconometrics.transport.samples import unit_beyond
from disteconometrics.transport.sliced import directions
from disteconometrics.transport.sorting import Bins

__all__ = [
    "GroupSample",
    "Permutation",
    "Tail",
    "Weight",
    "as_codes",
    "bias_of",
    "domain_flags",
    "heaviest_tail",
    "mean_difference",
    "permute",
    "shares",
    "tail_index",
    "variance_of",
    "variance_of_both",
    "weight_of",
]

Codes = Indices

ENTRIES, CACHED = 2_000_000, 32_768  # labels of a batch of permutations, and of a part of it
MOST_PERMUTED, BINS = 100_000, 10_000  # rows on the line that are permuted one by one; bins of more
MOST_DRAWN = 10**9  # rows from which on numpy draws no samples without replacement
SPLITS = 20  # random halves
# A tail is heavy where Hill's index, of the outermost √n rows, is below FOURTH − SLOPE/√(√n) (times p/2): of
# two t laws with three degrees of freedom 95 to 97 % have one, for 100 to 20,000 rows
FOURTH, SLOPE = 3.1, 2.3
FEWEST = 100  # rows of a group that are asked for their tails
# Of a support: empty part of the range of the middle 90 %, with at least this mass on both sides
GAP, SIDE = 0.25, 0.05
SIGN_GRID = 500  # values at which F − G is compared where signs of clusters change
SLICES = 50  # directions of the permutation test between rows


@dataclass(frozen=True, eq=False)
class GroupSample:
    """Rows (n, d), masses (n,) that sum to one or None, and cluster codes (n,) or None.

    ``counts`` (n,) say how many observations each row stands for, in ``mass`` as well; None for one.
    ``crossing`` (G,) are the numbers of the clusters among those of all samples, where some hold rows of
    several; None where none does.
    """

    rows: Array
    mass: Array | None = None
    clusters: Codes | None = None
    counts: Array | None = None
    crossing: Codes | None = None

    @classmethod
    def counted(cls, values: Array, counts: Array) -> GroupSample:
        """Values (n,) on the line, each ``counts`` (n,) times; those without a count are left out."""
        used = counts > 0
        rows, counts = values[used, None], counts[used]
        return cls(rows, counts / counts.sum(), None, counts)

    @property
    def size(self) -> int:
        """Observations."""
        return len(self.rows) if self.counts is None else int(self.counts.sum())

    @property
    def weights(self) -> Array:
        """Masses (n,)."""
        return np.full(len(self.rows), 1 / len(self.rows)) if self.mass is None else self.mass


def transport(x: GroupSample, y: GroupSample, p: float) -> Any:
    """The optimal transport of two samples, on the line or between rows."""
    if x.rows.shape[1] == 1:
        return one_dim.wasserstein(x.rows[:, 0], y.rows[:, 0], p, x.mass, y.mass)
    return discrete.wasserstein(x.rows, y.rows, p, x.mass, y.mass)


def _parts(influence: Array, sample: GroupSample) -> Array:
    """What rows, or clusters where there are some, add to Σ mass·influence: (n, q) or (G, q).

    Of counted rows it is what all their observations add.
    """
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
    n = len(parts) if sample.counts is None else sample.size
    if sample.counts is not None:
        parts = parts / np.sqrt(sample.counts)[:, None]
    return np.asarray(parts.T @ parts * (n / max(n - 1, 1)))


def _across(influences: tuple[Array, Array], samples: tuple[GroupSample, GroupSample]) -> Array | None:
    """What clusters that hold rows of both samples add to both sums, (G, q); None where none does."""
    x, y = samples
    if x.crossing is None or y.crossing is None:
        return None
    both = np.union1d(x.crossing, y.crossing)
    sums = np.zeros((len(both), influences[0].shape[1]))
    for f, s, codes in zip(influences, samples, (x.crossing, y.crossing), strict=True):
        sums[np.searchsorted(both, codes)] += _parts(f, s)
    return sums


def variance_of_both(influences: tuple[Array, Array], samples: tuple[GroupSample, GroupSample]) -> Array:
    """Variance (q, q) of a statistic of two samples with influences (n, q) and (m, q).

    Samples are independent unless their clusters cross; then it is that of the sums over both.

    Examples
    --------
    >>> y, village = np.array([[1.0], [3.0], [2.0]]), np.arange(3)
    >>> one, two = (GroupSample(y, None, village, None, village) for _ in range(2))
    >>> variance_of_both((y, -y), (one, two)).tolist()  # each village has the same in both
    [[0.0]]
    """
    sums = _across(influences, samples)
    if sums is None:
        return variance_of(influences[0], samples[0]) + variance_of(influences[1], samples[1])
    return np.asarray(sums.T @ sums * (len(sums) / max(len(sums) - 1, 1)))


class Weight(NamedTuple):
    """How evenly rows, or clusters, carry a variance: degrees of freedom, and the share of the five largest.

    The degrees are half of (Σs)²/Σs² for squares s, which is n where all weigh the same, and at least one.
    The half is what makes limits of W2 cover where a few rows decide: their sum and its error move together.
    """

    degrees: float
    five: float


def weight_of(influences: tuple[Array, Array], samples: tuple[GroupSample, GroupSample]) -> Weight:
    """How evenly the rows of two samples carry the variance of a statistic with influences (n,) and (m,)."""
    both = _across((influences[0][:, None], influences[1][:, None]), samples)
    found = [_parts(f[:, None], s)[:, 0] for f, s in zip(influences, samples, strict=True)]
    if both is not None:
        found = [both[:, 0]]
    copies = None
    if any(s.counts is not None for s in samples):
        copies = np.concatenate([or_ones(s.counts, s.size) for s in samples])
        found = [
            part if s.counts is None else part / s.counts for part, s in zip(found, samples, strict=True)
        ]
    squares = np.square(np.concatenate(found) / max(max(np.abs(f).max() for f in found), 1e-300))
    total = float(squares.sum() if copies is None else copies @ squares)
    if not total > 0:
        return Weight(np.inf, np.nan)
    fourth = float(np.square(squares).sum() if copies is None else copies @ np.square(squares))
    degrees = max(total**2 / fourth / 2, 1.0)
    return Weight(degrees, float(_largest(squares, copies, 5).sum()) / total)


def _largest(values: Array, copies: Array | None, many: int) -> Array:
    """The largest values (many,), all where there are no more; each is there ``copies`` (n,) times."""
    if copies is None:
        return np.partition(values, -many)[-many:] if len(values) > many else values
    order = np.argsort(-values, kind="stable")
    order = order[: int(np.searchsorted(np.cumsum(copies[order]), many)) + 1]
    return np.repeat(values[order], np.minimum(copies[order], many).astype(np.intp))[:many]


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
        centred = v - _median(v, sample.counts)
        for side in (centred, -centred):
            outer = _largest(side, sample.counts, k + 1)
            least = outer.min()
            if least > 0:
                found.append((k / max(float(np.log(outer / least).sum()), 1e-9), j))
    if not found:
        return None
    index, column = min(found)
    return Tail(column, index, k, index < p / 2 * (FOURTH - SLOPE / np.sqrt(k)))


def _median(v: Array, copies: Array | None) -> float:
    if copies is None:
        return float(np.median(v))
    order = np.argsort(v, kind="stable")
    until = np.cumsum(copies[order])
    return float(v[order[np.searchsorted(until, until[-1] / 2)]])


def halves(sample: GroupSample, p: float, rng: np.random.Generator) -> float:
    """Mean cost W_p^p between random halves of a sample, of its clusters where there are some."""
    found = []
    for _ in range(SPLITS if sample.rows.shape[1] == 1 else 3):
        a, b = _split(sample, rng)
        if min(a.size, b.size) and min(a.weights.sum(), b.weights.sum()) > 0:
            found.append(transport(a, b, p).cost)
    return float(np.mean(found)) if found else np.nan


def _split(sample: GroupSample, rng: np.random.Generator) -> tuple[GroupSample, GroupSample]:
    """Random halves; of counted rows each observation is in either with the same chance."""
    if sample.counts is not None:
        first = rng.binomial(sample.counts.astype(np.int64), 0.5)
        values = sample.rows[:, 0]
        return GroupSample.counted(values, as_floats(first)), GroupSample.counted(
            values, sample.counts - first
        )
    if sample.clusters is None:
        order = rng.permutation(sample.size)
        parts = order[: sample.size // 2], order[sample.size // 2 : 2 * (sample.size // 2)]
    else:
        G = int(sample.clusters.max()) + 1
        chosen = np.isin(sample.clusters, rng.permutation(G)[: G // 2])
        parts = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    return _taken(sample, parts[0]), _taken(sample, parts[1])


def _taken(sample: GroupSample, at: Indices) -> GroupSample:
    return GroupSample(sample.rows[at], None if sample.mass is None else sample.mass[at])


def _bias_across(x: GroupSample, y: GroupSample, rng: np.random.Generator) -> float:
    """The bias of W2² where clusters cross: ∫ Var(F⁻¹ − G⁻¹), a quarter of its mean square between halves.

    Halves of the clusters have F, G and F', G'; of (F − F') − (G − G') the product is costs between halves.
    """
    both, found = np.union1d(as_codes(x), as_codes(y)), []
    for _ in range(SPLITS):
        chosen = rng.permutation(both)[: len(both) // 2]
        inside = [np.isin(as_codes(s), chosen)[s.clusters] for s in (x, y)]
        if any(not m.any() or m.all() for m in inside):
            continue
        (a, c), (b, d) = (
            (_taken(s, np.flatnonzero(m)), _taken(s, np.flatnonzero(~m)))
            for s, m in zip((x, y), inside, strict=True)
        )
        signs = ((a, c, 1), (b, d, 1), (a, b, 1), (c, d, 1), (a, d, -1), (c, b, -1))
        found.append(sum(sign * transport(s, t, 2).cost for s, t, sign in signs))
    return max(float(np.mean(found)) / 4, 0.0) if found else np.nan


def as_codes(sample: GroupSample) -> Codes:
    """Numbers (G,) of the clusters of a sample among those of all."""
    assert sample.crossing is not None
    return sample.crossing


def bias_of(
    x: GroupSample,
    y: GroupSample,
    p: float,
    halves: tuple[float, float],
    potentials: tuple[Array, Array],
    rng: np.random.Generator,
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
    return sum(halves) / 4 if x.crossing is None else _bias_across(x, y, rng)


def _folded(x: GroupSample, y: GroupSample, potentials: tuple[Array, Array]) -> float:
    """∫ E|D + error| − |D| for the difference D = F − G found."""
    values = np.concatenate([x.rows[:, 0], y.rows[:, 0]])
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    D, variance = np.zeros(len(steps)), np.zeros(len(steps))
    for sample, f, sign in ((x, potentials[0], 1), (y, potentials[1], -1)):
        mass = sign * sample.weights
        mass = np.concatenate([mass, np.zeros(len(y.rows))] if sign > 0 else [np.zeros(len(x.rows)), mass])
        F = np.cumsum(mass[order])[:-1]
        D += F
        variance += np.clip(F * (sign - F), 0.0, None) * _design(f[:, None], sample)
    if x.crossing is not None:
        columns = potentials[0][:, None], potentials[1][:, None]
        apart = variance_of(columns[0], x) + variance_of(columns[1], y)
        variance *= float(variance_of_both(columns, (x, y))[0, 0] / max(float(apart[0, 0]), 1e-300))
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
    if x.crossing is not None:
        total = float(variance_of_both((x.rows[:, :1] / unit, -y.rows[:, :1] / unit), (x, y))[0, 0])
        df = len(np.union1d(as_codes(x), as_codes(y))) - 1.0
        if not total > 0:  # no cluster adds to the difference
            return unit * difference, np.nan, np.nan, np.nan
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
    """Statistics of the samples and p-values (1 + number as large)/(1 + draws), by name; ``draws`` made.

    Of many rows the p-values are of statistics of their means in ``bins`` (0: of the rows), whose W_p is
    within ``moved`` of that of the rows.
    """

    statistics: dict[str, float]
    p_values: dict[str, float]
    draws: int
    bins: int = 0
    moved: float = 0.0


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


class _Counted:
    """The statistics of `_Line` for values z (B,) on the line of which there are counts (B,).

    They take how many of each are in the first group, (R, B).
    """

    def __init__(self, z: Array, counts: Array, p: float) -> None:
        self.z, self.counts, self.p = z, counts, p
        self.steps, self.until = np.diff(z), np.cumsum(counts)

    def __call__(self, first: Array) -> dict[str, Array]:
        ones = np.cumsum(first, axis=1, dtype=np.float64)
        n, m = ones[:, -1:], self.until[-1] - ones[:, -1:]
        D = np.abs(ones / n - (self.until - ones) / m)
        found = {"KS": D.max(axis=1), "energy": 2 * np.square(D[:, :-1]) @ self.steps}
        if self.p == 1:
            return found | {"W": D[:, :-1] @ self.steps}
        size = len(self.z)
        costs = []
        for a in first:
            source, target, mass = one_dim.pieces(a / a.sum(), self.counts - a, size, size)
            gap = np.abs(self.z[source] - self.z[target])
            costs.append(
                gap[one_dim.more_than_rounding(mass)].max() if np.isinf(self.p) else gap**self.p @ mass
            )
        return found | {"W": np.array(costs)}


class _Signs:
    """W1, Kolmogorov–Smirnov and energy statistics on a grid, for signs (R, G) of clusters' sums of F − G."""

    def __init__(self, x: GroupSample, y: GroupSample) -> None:
        both = np.union1d(as_codes(x), as_codes(y))
        values = np.concatenate([x.rows[:, 0], y.rows[:, 0]])
        most = max(20, min(SIGN_GRID, ENTRIES // len(both)))
        grid = np.unique(np.quantile(values, np.linspace(0, 1, most + 1)[1:], method="inverted_cdf"))
        masses = np.zeros((2, len(both), len(grid)))
        for mass, s in zip(masses, (x, y), strict=True):
            of = np.searchsorted(both, as_codes(s))[s.clusters]
            np.add.at(mass, (of, np.searchsorted(grid, s.rows[:, 0])), s.weights)
        F, G = np.cumsum(masses, axis=2)
        pooled = np.average([F.sum(axis=0), G.sum(axis=0)], axis=0, weights=[x.size, y.size])
        self.sums = F - G - np.outer(F[:, -1] - G[:, -1], pooled)
        self.steps, self.clusters = np.diff(grid), len(both)

    def __call__(self, signs: Array) -> dict[str, Array]:
        D = np.abs(signs @ self.sums)
        inside = D[:, :-1]
        return {"KS": D.max(axis=1), "energy": 2 * inside**2 @ self.steps, "W": inside @ self.steps}


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

    Clusters that hold rows of both cannot change groups: what each adds to F − G changes its sign, on a grid
    of values, and the distance is W1.  That test holds with many clusters.

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
    if x.crossing is not None:
        return _flip_signs(x, y, draws, rng, progress)
    counted = x.counts is not None or y.counts is not None
    if counted or (x.rows.shape[1] == 1 and x.size + y.size > MOST_PERMUTED):
        return _permute_binned(x, y, p, draws, rng, progress)
    rows = np.concatenate([x.rows, y.rows])
    first = np.arange(len(rows)) < x.size
    units = _units(x, y)
    statistic = _Line(rows[:, 0], p) if rows.shape[1] == 1 else _Rows(rows)
    seen = {name: float(v[0]) for name, v in statistic(first[None]).items()}
    above = dict.fromkeys(seen, 0)
    step = max(1, ENTRIES // len(rows))
    few = step if rows.shape[1] == 1 else max(1, CACHED // len(rows))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        labels = _labels(first, units, count, rng)
        for part in range(0, count, few):  # in the cache
            _count_above(above, seen, statistic(labels[part : part + few]))
        if progress is not None:
            progress(count)
    return Permutation(seen, {name: (1 + k) / (1 + draws) for name, k in above.items()}, draws)


def _flip_signs(
    x: GroupSample, y: GroupSample, draws: int, rng: np.random.Generator, progress: Any
) -> Permutation:
    """The test by signs of clusters' sums, of outcomes on the line."""
    statistic = _Signs(x, y)
    seen = {name: float(v[0]) for name, v in statistic(np.ones((1, statistic.clusters))).items()}
    above, step = dict.fromkeys(seen, 0), max(1, ENTRIES // max(statistic.clusters, SIGN_GRID))
    for start in range(0, draws, step):
        many = min(step, draws - start)
        _count_above(above, seen, statistic(rng.choice([-1.0, 1.0], (many, statistic.clusters))))
        if progress is not None:
            progress(many)
    return Permutation(seen, {name: (1 + k) / (1 + draws) for name, k in above.items()}, draws)


def _units(x: GroupSample, y: GroupSample) -> Codes | None:
    """Clusters (N,) of the rows of both samples, None where there are none."""
    if x.clusters is None or y.clusters is None:
        return None
    return np.concatenate([x.clusters, y.clusters + int(x.clusters.max()) + 1])


def _count_above(above: dict[str, int], seen: dict[str, float], found: dict[str, Array]) -> None:
    for name, v in found.items():
        above[name] += int((v >= seen[name] * (1 - 1e-12)).sum())


def _permute_binned(
    x: GroupSample, y: GroupSample, p: float, draws: int, rng: np.random.Generator, progress: Any
) -> Permutation:
    """The test of statistics of the rows' means in bins, which is as exact as one of other statistics.

    Rows or clusters that change groups move counts between them: those of rows are multivariate
    hypergeometric.
    """
    if x.size + y.size >= MOST_DRAWN:
        raise OptionError(
            f"{x.size + y.size:,} rows are too many to draw permutations of; leave the test out by "
            "permutations=0: at this size limits that exclude zero say the same."
        )
    f, g, places = _binned(x, y)
    both = f.joined(g)
    used = both.counts > 0
    statistic = _Counted(both.means[used], both.counts[used], p)
    seen = {name: float(v[0]) for name, v in statistic(f.counts[None, used]).items()}
    above = dict.fromkeys(seen, 0)
    units, first = _units(x, y), np.arange(len(places)) < len(x.rows)
    counts, step = both.counts[used].astype(np.int64), max(1, ENTRIES // int(used.sum()))
    for start in range(0, draws, step):
        many = min(step, draws - start)
        if units is None:
            drawn = rng.multivariate_hypergeometric(counts, x.size, size=many, method="marginals")
        else:
            labels = (_labels(first, units, 1, rng)[0] for _ in range(many))
            drawn = np.array([np.bincount(places[at], minlength=len(used))[used] for at in labels])
        _count_above(above, seen, statistic(as_floats(drawn)))
        if progress is not None:
            progress(many)
    moved = f.moved(p, both.means) + g.moved(p, both.means)
    p_values = {name: (1 + k) / (1 + draws) for name, k in above.items()}
    return Permutation(_statistics(x, y, p), p_values, draws, int(used.sum()), moved)


def _statistics(x: GroupSample, y: GroupSample, p: float) -> dict[str, float]:
    """The statistics of all rows."""
    z, at = np.unique(np.concatenate([x.rows[:, 0], y.rows[:, 0]]), return_inverse=True)
    first = np.bincount(at[: len(x.rows)], x.counts, len(z))
    counts = as_floats(first + np.bincount(at[len(x.rows) :], y.counts, len(z)))
    return {name: float(v[0]) for name, v in _Counted(z, counts, p)(as_floats(first)[None]).items()}


def _binned(x: GroupSample, y: GroupSample) -> tuple[Histogram, Histogram, Codes]:
    """Both samples on the line by bin, and the bins of their rows (N,)."""
    values = np.concatenate([x.rows[:, 0], y.rows[:, 0]])
    few, counts = values[:: len(values) // BINS + 1], None
    if x.counts is not None or y.counts is not None:
        counts = np.concatenate([or_ones(s.counts, s.size) for s in (x, y)])
        order = np.argsort(values, kind="stable")
        until = np.cumsum(counts[order])
        few = values[order[np.searchsorted(until, np.linspace(0, until[-1], BINS))]]
    filling = Filling(Bins.around(few), 2, BINS)
    filling.add(values, np.repeat([0, 1], [len(x.rows), len(y.rows)]), counts)
    f, g = filling.histograms()
    return f, g, filling.places(values)
