"""Wasserstein distances between groups: a permutation test, then the distance and its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Seed
from disteconometrics.checks import is_whole
from disteconometrics.errors import (
    DataError,
    FileFormatError,
    HeavyTailWarning,
    OptionError,
    warn_user,
)
from disteconometrics.estimators.results import FittedResult, SavedResult
from disteconometrics.estimators.specification import Specification, check_columns
from disteconometrics.estimators.transport.groups import GroupFacts, Groups, read_groups, refit_groups
from disteconometrics.fields import AnyFloat, Count, Numbers, Rule, SavedSeed, read_dict
from disteconometrics.inference import two_samples as two
from disteconometrics.inference.estimates import Estimates, TestResult, check_level, critical_value
from disteconometrics.inference.protocols import Refitting
from disteconometrics.inference.resample import reported_seed, seed_sequence
from disteconometrics.report.summary import rows_dropped
from disteconometrics.tables import Section, Summary, number, p_value, printable
from disteconometrics.threads import on_one_thread
from disteconometrics.transport.histogram import Histogram, distance_error
from disteconometrics.transport.samples import check_order

__all__ = ["GroupPair", "WassersteinDistance", "WassersteinResults"]

DIGITS = 270  # decimal powers that float64 holds on either side of one, with room for sums and differences
MOST_DRAWS, LARGE = 9_999, 2_000  # permutations, and rows above which a tenth of them is the default


SIGNS = "changes of signs of what clusters, which cannot change groups, add to F - G (many clusters)"
Order = Annotated[AnyFloat, Rule("at least one", lambda v: v >= 1)]


@dataclass(frozen=True, kw_only=True)
class WassersteinDistance(Specification):
    """Distance between the laws of an outcome in groups, in units of the outcome.

    First a permutation test of equal laws, which holds in every sample; then the distance W_p and its power
    W_p^p with standard errors from the Kantorovich potentials.  Those, and the intervals, hold where the laws
    differ: they are withheld, with the reason, where the samples are compatible with equal laws, where a
    support has a gap (p > 1) and in four dimensions or more.  W2² on the line is split into location, scale
    and shape.

    Limits are those of W_p less its bias (column "less bias"), with the t quantile for half as many rows as
    carry the variance, (Σs)²/Σs² for the squares s of what rows add to it, so that they widen where a few
    rows decide.  The bias of W2² is estimated from halves of the samples.  That of W1 lies where F and G are
    within their errors of each other; it is taken off the lower limit alone, since it may be zero, so that
    limits hold, and cover more, where F = G on a stretch.  For p > 1 errors need 2p moments: where a tail is
    as heavy as those of t laws with three degrees of freedom there is a `HeavyTailWarning`.

    Parameters
    ----------
    formula : str
        ``"wage ~ union"``: a numeric outcome and a column of groups; ``"y1 + y2 ~ group"`` for outcomes taken
        jointly.
    p : float of at least 1
        Order of the distance; costs between rows are Euclidean distances to the power p.
    scale : None or "std"
        Divide each outcome by its pooled standard deviation first; joint outcomes of different units need it.
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        Frequency weights count identical rows; sampling weights enter the laws and errors, and there is no
        permutation test.
    permutations : int or None
        Draws of the test; None is 9,999 up to 2,000 rows and 999 beyond; 0 leaves the test out, as a
        bootstrap or a study may.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    del Barrio, Giné, Matrán (1999), doi:10.1214/aop/1022677394.  del Barrio, Loubes (2019),
    doi:10.1214/18-AOP1275. Irpino, Verde (2015), Basic statistics for distributional symbolic variables,
    Advances in Data Analysis and Classification 9, doi:10.1007/s11634-014-0176-4 (the split).  Panaretos,
    Zemel (2019), doi:10.1146/annurev-statistics-030718-104938.

    Examples
    --------
    >>> import disteconometrics as de
    >>> cps = {"wage": [5.0, 6.0, 7.0, 9.0, 8.0, 10.0, 12.0, 13.0], "union": list("nnnnyyyy")}
    >>> res = de.WassersteinDistance("wage ~ union", p=1).fit(cps, seed=1)
    >>> float(res.params["W1"]), round(res.pvalue, 2)
    (4.0, 0.06)
    """

    p: float = 2
    scale: str | None = None
    weights: str | None = None
    weight_type: str | None = None
    permutations: int | None = None

    def checked(self) -> dict[str, Any]:
        """Check the choices; the order is kept as a number.

        Raises
        ------
        OptionError
        """
        draws = self.permutations
        if draws is not None and not is_whole(draws, 0):
            raise OptionError(f"permutations={draws!r}: give a whole number, such as 9999, or 0 for no test.")
        if self.weight_type == "sampling" and draws:
            raise OptionError(
                "Rows with sampling weights cannot change groups, so there is no permutation test; leave "
                "it out."
            )
        if self.scale not in (None, "std"):
            raise OptionError(
                f"scale={self.scale!r} is not known; use 'std', or None for the units of the outcome."
            )
        order = check_order(self.p)
        check_columns(weights=self.weights, weight_type=self.weight_type)
        return {"p": order}

    @on_one_thread
    def fit(self, data: Any, *, cluster: str | None = None, seed: Seed = None) -> WassersteinResults:
        """Compare the groups of a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length; or a source that is read in parts
            (Parquet path, dataset, lazy or dask frame, `Parts`), of which beyond 1,000,000 rows histograms of
            100,000 bins are kept: how far the distance may be from that of the rows is printed.
        cluster : str or None
            Name of a column of clusters, over which errors sum. Those within one group are permuted as a
            whole; where some hold rows of several groups, signs of what each adds to F − G change instead,
            which needs many clusters (ten a side or more), and joint outcomes have no test.
        seed : int, numpy Generator (spawned from, not advanced) or None (drawn, and kept in ``.seed``).

        Returns
        -------
        WassersteinResults

        Raises
        ------
        DataError, FormulaError, MissingColumnError, NeedsRows, OptionError, OutcomeError

        Warns
        -----
        MissingValuesWarning, FewClustersWarning, HeavyTailWarning
        """
        rows = read_groups(
            self.formula,
            data,
            weights=self.weights,
            weight_type=self.weight_type,
            cluster=cluster,
            standardise=self.scale is not None,
        )
        _check_powers(rows, self.p)
        sequence = seed_sequence(seed)
        pairs = tuple(combinations(range(len(rows.samples)), 2))
        found = []
        for (i, j), stream in zip(pairs, sequence.spawn(len(pairs)), strict=True):
            x, y, names = rows.samples[j], rows.samples[i], (rows.labels[j], rows.labels[i])
            draws = self._draws(x.size + y.size)
            pair = _compare(x, y, names, self.p, draws, np.random.default_rng(stream))
            found.append(_of_bins(pair, rows.histograms[j], rows.histograms[i]) if rows.histograms else pair)
        _warn_of_tails(rows, self.p, found)
        return WassersteinResults(
            model=self,
            spec=None,
            facts=GroupFacts(**rows.facts()),
            rows=rows,
            pairs=tuple(found),
            cluster=cluster,
            seed=reported_seed(sequence),
        )

    def _draws(self, rows: int) -> int:
        """Permutations of two groups of so many rows."""
        if self.weight_type == "sampling":
            return 0
        default = MOST_DRAWS if rows <= LARGE else (MOST_DRAWS + 1) // 10 - 1
        return default if self.permutations is None else int(self.permutations)


def _check_powers(rows: Groups, p: float) -> None:
    """Refuse outcomes for which float64 does not hold W_p^p and its variance."""
    order = p if np.isfinite(p) else 1.0
    most = 10 ** (DIGITS / (2 * order))
    largest = np.max([np.abs(s.rows).max(axis=0) for s in rows.samples], axis=0)
    size, name = float(largest.max()), rows.outcomes[int(largest.argmax())]
    if size > most or 0 < size < 1 / most:
        raise DataError(
            f"{name}: with values of size {size:.0e} the variance of W{p:g} to the power {order:g} is beyond "
            "float64; rescale the column, or use scale='std'."
        )


def _warn_of_tails(rows: Groups, p: float, pairs: Sequence[GroupPair]) -> None:
    """Say once where tails are too heavy for the normal limit of W_p^p, with what a few rows carry."""
    tails = [(two.heaviest_tail(s, p), label) for s, label in zip(rows.samples, rows.labels, strict=True)]
    heavy = [(tail, label) for tail, label in tails if tail is not None and tail.heavy]
    if not heavy:
        return
    tail, label = min(heavy, key=lambda found: found[0].hill)
    pair = max((q for q in pairs if label in q.groups), key=lambda q: q.five)
    outcome, hint = rows.outcomes[tail.column], "use p=1, or take logarithms of a positive outcome"
    warn_user(
        HeavyTailWarning(
            f"{outcome}: the tail of {rows.group} = {label} is so heavy (index {tail.hill:.1f} from its "
            f"outermost {tail.rows} rows) that moments of order {2 * p:g}, which errors and limits of "
            f"W{p:g} need, are in doubt; five rows carry {100 * pair.five:.0f} % of the variance; {hint}.",
            column=outcome,
            hint=hint,
        )
    )


# ---- one pair ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class GroupPair:
    """Two groups compared: ``groups`` (first against second), sizes, values and covariance of the estimates.

    Besides: the bias of W_p^p, the distance between halves, p-values and statistics of the permutation test,
    the mean difference, why errors are withheld, degrees of freedom of the limits, and the share of the
    variance that five rows (or clusters) carry.  ``bins`` (0: rows) and ``moved`` are those of the
    permutation test, and ``width`` is how far W_p may be from that of the rows, where these were read from a
    source.
    """

    groups: tuple[str, str]
    sizes: tuple[Count, Count]
    names: tuple[str, ...]
    values: Array
    covariance: Array
    p: Order
    bias: AnyFloat
    halves: AnyFloat
    p_values: dict[str, AnyFloat]
    statistics: dict[str, AnyFloat]
    draws: Count
    mean_difference: tuple[AnyFloat, AnyFloat, AnyFloat, AnyFloat]
    withheld: tuple[str, ...] = ()
    degrees: AnyFloat | None = None
    five: AnyFloat = np.nan
    bins: Count = 0
    moved: AnyFloat = 0.0
    width: AnyFloat = 0.0

    @property
    def corrected(self) -> Array:
        """W_p and W_p^p (where p is not 1) less the bias, not below zero."""
        at, p = min(len(self.names), 2) - 1, self.p
        power = max(float(self.values[at]) - self.bias, 0.0)
        return np.array([power ** (1 / p) if at else power, power][: at + 1])

    @property
    def estimates(self) -> Estimates:
        """W_p, W_p^p and shares, with limits about W_p less its bias, and no normal test against zero."""
        at = min(len(self.names), 2) - 1
        se = np.sqrt(np.diagonal(self.covariance))

        def limits(level: float) -> Array:
            z, t = critical_value(level), critical_value(level, self.degrees or np.inf)
            low, high = self._limits(t * float(se[at]))
            rows = [(low, high), (low**self.p, high**self.p)][: at + 1]
            rows += [(v - z * s, v + z * s) for v, s in zip(self.values[at + 1 :], se[at + 1 :], strict=True)]
            return np.array(rows)

        def no_test() -> Array:
            return np.full(len(self.names), np.nan)

        return Estimates(self.names, self.values, self.covariance, limits=limits, roots=no_test)

    def _limits(self, half: float) -> tuple[float, float]:
        """Limits of W_p from half of a width of limits of W_p^p, or of W1."""
        power, centre, p = float(self.values[min(len(self.names), 2) - 1]), float(self.corrected[0]), self.p
        if len(self.names) == 1:
            return max(power - self.bias - half, 0.0), power + half
        if self.degrees is None:  # a file of a version that took limits of W_p^p to the power 1/p
            low, high = np.maximum([power - self.bias - half, power - self.bias + half], 0.0) ** (1 / p)
            return float(low), float(high)
        # W_p is nearer to normal than W_p^p; the slope of the root is taken at no less than W_p^p/4
        root = float(max(centre, (power / 4) ** (1 / p)))
        half = half / (p * root ** (p - 1)) if root > 0 else np.nan
        return float(np.maximum(centre - half, 0.0)), centre + half


def _names(p: float, dimension: int) -> tuple[str, ...]:
    if p == 1 or np.isinf(p):
        return ("W1" if p == 1 else "Winf",)
    power = "W2_squared" if p == 2 else f"W{p:g}^{p:g}"
    split = ("location share", "scale share", "shape share") if p == 2 and dimension == 1 else ()
    return (f"W{p:g}", power, *split)


def _compare(
    x: two.GroupSample,
    y: two.GroupSample,
    groups: tuple[str, str],
    p: float,
    draws: int,
    rng: np.random.Generator,
) -> GroupPair:
    if x.rows.shape[1] > 1 and np.isinf(p):
        raise OptionError("p = ∞ is only for a single outcome; give a finite order.")
    found = two.transport(x, y, p)
    d = x.rows.shape[1]
    names, test = _names(p, d), _permuted(x, y, p, draws, rng)
    equality = test.p_values.get("W", np.nan)
    withheld = two.domain_flags(x, y, p, equality)
    if found.distance == 0:
        withheld = ("the samples are identical, and at distance zero the law of the estimate is not normal",)
    values, covariance = _with_covariance(x, y, found, p, names)
    if np.isinf(p):
        withheld = ("a largest distance has no normal limit",)
    if withheld:
        covariance = np.full_like(covariance, np.nan)
    apart = (two.halves(x, p, rng), two.halves(y, p, rng))
    bias, weight = 0.0, two.Weight(np.inf, np.nan)
    if np.isfinite(p):
        bias = two.bias_of(x, y, p, apart, found.potentials, rng) if d == 1 else 0.0
        weight = two.weight_of(found.potentials, (x, y))
    half = np.mean(apart)
    return GroupPair(
        groups,
        (x.size, y.size),
        names,
        values,
        covariance,
        p,
        bias,
        float(half if np.isinf(p) else half ** (1 / p)),
        test.p_values,
        test.statistics,
        test.draws,
        two.mean_difference(x, y),
        withheld,
        *weight,
        test.bins,
        test.moved,
    )


def _of_bins(pair: GroupPair, f: Histogram, g: Histogram) -> GroupPair:
    """A pair of groups of which bins are known, with how far its distances may be from those of the rows."""
    p = pair.p
    return replace(
        pair,
        width=distance_error(f, g, p, float(pair.values[0])),
        moved=pair.moved + f.moved(p) + g.moved(p) if pair.bins else 0.0,
    )


def _permuted(
    x: two.GroupSample, y: two.GroupSample, p: float, draws: int, rng: np.random.Generator
) -> two.Permutation:
    if not draws or (x.crossing is not None and x.rows.shape[1] > 1):
        return two.Permutation({}, {}, 0)
    from tqdm.auto import tqdm

    with tqdm(total=draws, desc="permutations", disable=None, leave=False) as bar:
        return two.permute(x, y, p, draws, rng, bar.update)


def _with_covariance(
    x: two.GroupSample, y: two.GroupSample, found: Any, p: float, names: tuple[str, ...]
) -> tuple[Array, Array]:
    """Estimates by name and their covariance, by the delta method from influences of W_p^p and its parts."""
    if np.isinf(p):
        return np.array([found.distance]), np.full((1, 1), np.nan)
    f, g = found.potentials
    theta, at_x, at_y = np.array([found.cost]), f[:, None], g[:, None]
    if len(names) == 5:
        parts, by_x, by_y = two.shares(x, y)
        theta, at_x, at_y = np.append(theta, parts), np.column_stack([f, by_x]), np.column_stack([g, by_y])
    V = two.variance_of_both((at_x, at_y), (x, y))
    cost, J = theta[0], np.eye(len(theta))
    if len(names) == 1:
        return np.array([found.distance]), V
    values, rows = [found.distance, cost], [J[0] * (found.distance / (p * cost) if cost > 0 else 0.0), J[0]]
    if len(theta) == 3:
        share = theta[1:] / cost if cost > 0 else np.full(2, np.nan)
        values += [*share, 1 - share[0] - share[1]]
        by = (J[1:] - np.outer(share, J[0])) / max(cost, 1e-300)
        rows += [*by, -by[0] - by[1]]
    jacobian = np.array(rows)
    return np.array(values), jacobian @ V @ jacobian.T


# ---- result ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class WassersteinResults(FittedResult):
    """Groups compared two by two: distances with errors, permutation tests, the table of pairs.

    ``pairs`` holds every comparison; estimates and p-value are those of the only pair of two groups.

    Examples
    --------
    >>> import disteconometrics as de
    >>> wages = {"wage": [5.0, 6.0, 7.0, 9.0], "union": [0, 0, 1, 1]}
    >>> res = de.WassersteinDistance("wage ~ union").fit(wages, seed=1)
    >>> res.pairs[0].groups, res.params.round(3).to_dict()["W2"]
    (('1', '0'), 2.55)
    >>> rng = np.random.default_rng(1)
    >>> d = {"y": np.concatenate([rng.normal(size=90), 2 + rng.normal(size=90)]), "g": np.repeat([0, 1], 90)}
    >>> check = de.WassersteinDistance("y ~ g", p=1, permutations=0).fit(d).monte_carlo(100, seed=1)
    >>> bool(check.table().loc["W1", "coverage"] > 0.85)
    True
    """

    model: WassersteinDistance
    facts: GroupFacts
    rows: Groups | None = field(default=None, repr=False)
    pairs: tuple[GroupPair, ...]
    cluster: str | None
    seed: Any

    pictures: ClassVar[tuple[str, ...]] = ("group_cdfs", "group_quantiles")
    kinds: ClassVar[dict[str, str]] = {"cdf": "group_cdfs", "qq": "group_quantiles"}

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcomes, and the names of the estimates."""
        return " + ".join(self.facts.outcomes), self.estimates.names

    def fit_again(self, data: Any) -> WassersteinResults:
        """The comparison of ``data`` without its permutation test, which needs random numbers."""
        return replace(self.model, permutations=0).fit(data, cluster=self.cluster, seed=0)

    def _refitting(self) -> Refitting:
        model = replace(self.model, permutations=0, scale=None)
        self.data_rows().check_rows("a simulation of the comparison")
        return refit_groups(model, self.data_rows().samples)

    @property
    def estimates(self) -> Estimates:
        """Estimates of the only pair; with more groups those of all pairs, named ``W2[b - a]``."""
        if len(self.pairs) == 1:
            return self.pairs[0].estimates
        parts = [q.estimates for q in self.pairs]
        names = [f"{name}[{q.groups[0]} - {q.groups[1]}]" for q in self.pairs for name in q.names]
        V = np.full((len(names),) * 2, np.nan)  # pairs share rows: covariances between them are not computed
        start = 0
        for e in parts:
            stop = start + len(e.names)
            V[start:stop, start:stop] = e.covariance
            start = stop

        def limits(level: float) -> Array:
            return np.concatenate([e.interval(level) for e in parts])

        values = np.concatenate([e.values for e in parts])
        return Estimates(tuple(names), values, V, limits=limits, roots=lambda: np.full(len(names), np.nan))

    @property
    def pvalue(self) -> float:
        """p-value of the permutation test; with more groups the least, adjusted by Holm; NaN without."""
        return float(self.table()["p_adjusted"].min())

    def test(self, hypotheses: Any) -> TestResult:
        """Wald test of hypotheses on the shares, as texts; `pvalue` is that of equal laws.

        Raises
        ------
        OptionError
            If the hypotheses are no texts, or name a distance: its normal limit does not hold at zero.
        """
        texts = [hypotheses] if isinstance(hypotheses, str) else hypotheses
        if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) for t in texts):
            raise OptionError("Hypotheses on shares are texts, such as 'location share = 0.5'.")
        if any(name in t for t in texts for name in self.estimates.names if name.startswith("W")):
            raise OptionError(
                "The normal limit of a distance does not hold at zero: equal laws are tested by .pvalue; "
                "see conf_int()."
            )
        return super().test(hypotheses)

    def table(self) -> pd.DataFrame:
        """One row a pair: distance, error, limits, the distance less its bias, halves, p-values."""
        name, rows = self.pairs[0].names[0], []
        raw = np.array([q.p_values.get("W", np.nan) for q in self.pairs])
        for q, adjusted in zip(self.pairs, _holm(raw), strict=True):
            e = q.estimates
            low, high = e.interval()[0]
            other = {f"p_{k}": q.p_values.get(k, np.nan) for k in ("KS", "energy")}
            rows.append(
                {
                    "groups": f"{q.groups[0]} - {q.groups[1]}",
                    name: e.values[0],
                    "std_error": e.std_error[0],
                    "conf_low": low,
                    "conf_high": high,
                    "less_bias": q.corrected[0],
                    "halves": q.halves,
                    "p_permutation": q.p_values.get("W", np.nan),
                    "p_adjusted": adjusted,
                    **other,
                    "mean_difference": q.mean_difference[0],
                    "p_t": q.mean_difference[3],
                }
            )
        return pd.DataFrame(rows).set_index("groups")

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""
        level = check_level(level)
        f = self.facts
        left = (
            ("Outcome", ", ".join(f.outcomes)),
            ("Formula", self.model.formula),
            ("Order", f"p = {self.model.p:g}"),
        )
        first = ("Observations", f"{f.observations:.0f} ({f.given - f.rows} dropped)")
        if len(self.pairs) == 1:
            right, sections = _pair_parts(self.pairs[0], f, level)
            notes = _pair_notes(self.pairs[0], "clusters" if self.cluster else "rows", f)
        else:
            right, sections = (
                (("Groups", f"{f.group}, {len(self.pairs)} pairs"),),
                (_pairs_section(self.table()),),
            )
            notes = _pairs_notes(self.pairs, f)
        notes += _data_notes(self.model, len(f.outcomes), self.cluster, f.crossed)
        notes += rows_dropped(f)
        return Summary("Wasserstein Distance", (left, (first, *right)), sections, tuple(notes))

    def __repr__(self) -> str:
        n = f"{len(self.pairs)} pairs, n = {self.facts.observations:.0f}"
        return printable(f"<WassersteinDistance results: {self.model.formula}, {n}>")

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, pairs, clusters and seed; values and covariances of the pairs as arrays."""
        arrays: dict[str, Array] = {}
        pairs = []
        for i, q in enumerate(self.pairs):
            pairs.append({k: v for k, v in asdict(q).items() if k not in ("values", "covariance")})
            arrays |= {f"values{i}": q.values, f"covariance{i}": q.covariance}
        named = {"estimator": asdict(self.model), "pairs": pairs, "cluster": self.cluster, "seed": self.seed}
        return named, arrays

    @classmethod
    def from_file(cls, saved: SavedResult) -> WassersteinResults:
        """Rebuild a saved result, without rows; see `FittedResult.from_file`."""
        header = saved.fields(_Header)
        if not header.pairs:
            raise FileFormatError("no pair of groups is there")
        return cls(
            model=saved.model(header.estimator),
            spec=None,
            facts=header.facts,
            pairs=tuple(_saved_pair(saved, i, pair) for i, pair in enumerate(header.pairs)),
            cluster=header.cluster,
            seed=header.seed,
        )


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    facts: GroupFacts
    estimator: dict[str, Any]
    pairs: tuple[dict[str, Any], ...]
    cluster: str | None
    seed: SavedSeed


def _saved_pair(saved: SavedResult, i: int, written: dict[str, Any]) -> GroupPair:
    words = read_dict(GroupPair, written, "pairs", ("values", "covariance"))
    table = {f"values{i}": Numbers("k", "any"), f"covariance{i}": Numbers("k k", "a covariance")}
    values, V = saved.numbers(table, k=len(words["names"])).values()
    pair = GroupPair(**words, values=values, covariance=V)
    known = set(pair.p_values) <= set(pair.statistics)
    if not pair.names or not known or (pair.bias and np.isinf(pair.p)):
        raise FileFormatError("the numbers of a pair of groups do not belong together")
    return pair


# ---- summary -----------------------------------------------------------------------------------------------


def _holm(p: Array) -> Array:
    """Holm's adjusted p-values; NaN stays."""
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    out = np.full(len(p), np.nan)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return out


def _distances(q: GroupPair, level: float) -> Section:
    """Estimates, errors and limits; a normal test against zero would be wrong, so there is none."""
    e = q.estimates
    columns: tuple[str, ...] = ("estimate", "std_error", f"[{100 * level:g}% conf.", "interval]")
    rows = [list(map(number, row)) for row in zip(e.values, e.std_error, *e.interval(level).T, strict=True)]
    if q.degrees is not None:
        columns += ("less bias",)
        corrected = [*map(number, q.corrected), *[""] * len(rows)]
        rows = [[*row, cell] for row, cell in zip(rows, corrected, strict=False)]
    return Section(columns, e.names, tuple(map(tuple, rows)))


def _tests(q: GroupPair, dimension: int, crossed: bool) -> Section:
    """Other tests of the same pair."""
    rows: dict[str, tuple[str, ...]] = {}
    kind = "Wasserstein" if dimension == 1 else "sliced Wasserstein"
    label = {
        "W": "Wasserstein W1" if crossed else kind,
        "KS": "Kolmogorov-Smirnov",
        "energy": "energy distance",
    }
    for key in (k for k in label if k in q.p_values):
        value, p = q.statistics[key], q.p_values[key]
        if key == "W" and dimension == 1 and np.isfinite(q.p) and not crossed:
            value = float(q.values[0])
        rows[label[key]] = (number(value), "signs" if crossed else "permutation", p_value(p))
    if dimension == 1:
        rows["difference of means"] = (
            number(q.mean_difference[0]),
            f"t({q.mean_difference[2]:.1f})" if q.mean_difference[2] > 0 else "withheld",
            p_value(q.mean_difference[3]),
        )
    return Section(("statistic", "law", "p"), tuple(rows), tuple(rows.values()), "Tests of equal laws")


def _pair_parts(
    q: GroupPair, f: GroupFacts, level: float
) -> tuple[tuple[tuple[str, str], ...], tuple[Section, ...]]:
    """The groups with the p-value of their test, and the sections of the only pair."""
    (a, b), (n, m) = q.groups, q.sizes
    p, d = q.p_values.get("W", np.nan), len(f.outcomes)
    tested = f"p {'' if p < 0.0005 else '= '}{p_value(p)}" if q.draws else "none"
    test = "Sign test" if f.crossed else "Permutation test"
    right = (("Groups", f"{f.group} = {a} ({n}) against {b} ({m})"), (test, tested))
    tests = _tests(q, d, f.crossed)
    return right, (_distances(q, level), *([tests] if tests.stubs else []))


def _pair_notes(q: GroupPair, units: str, f: GroupFacts) -> list[str]:
    notes = [f"For scale: two halves of a group are {number(q.halves)} apart on average."]
    if q.draws:
        how = SIGNS if f.crossed else _permuting(q, units)
        notes.insert(0, f"Equal laws are tested by {q.draws:,} {how}.")
    if q.bias and q.degrees is None:
        notes.append(f"Limits are those of {q.names[1]} less its bias of {number(q.bias)}.")
    elif not q.withheld and q.degrees is not None:
        less = "" if not q.bias else " less its bias" if len(q.names) > 1 else ", the lower less its bias,"
        notes.append(
            f"Limits are those of {q.names[0]}{less} by t({q.degrees:.1f}): five {units} carry "
            f"{100 * q.five:.0f} % of the variance."
        )
    if q.withheld:
        notes.append(f"Standard errors and limits are withheld: {'; '.join(q.withheld)}.")
    return [*notes, *_source_notes([q], f.readings)]


def _source_notes(pairs: Sequence[GroupPair], readings: int) -> list[str]:
    """How often a source was read, and how far distances of bins may be from those of the rows."""
    if not readings:
        return []
    width, times = max(q.width for q in pairs), "once" if readings == 1 else f"{readings} times"
    if not width:
        return [f"The source was read {times}."]
    name = pairs[0].names[0]
    return [f"The source was read {times}; {name} of its bins is within {width:.1g} of that of its rows."]


def _permuting(q: GroupPair, units: str) -> str:
    """What was permuted, and how far its distance may be from that of the rows."""
    if not q.bins:
        return f"permutations, exact for i.i.d. {units}"
    return (
        f"permutations of means in {q.bins:,} bins, exact for i.i.d. {units}; W{q.p:g} of these is within "
        f"{q.moved:.1g} of that of the rows"
    )


def _pairs_section(table: pd.DataFrame) -> Section:
    shown = (table.columns[0], "std_error", "conf_low", "conf_high", "p_permutation", "p_adjusted")
    cells = tuple(
        tuple(p_value(v) if c.startswith("p_") else number(v) for c, v in row.items())
        for _, row in table[list(shown)].iterrows()
    )
    return Section(shown, tuple(map(str, table.index)), cells)


def _pairs_notes(pairs: Sequence[GroupPair], f: GroupFacts) -> list[str]:
    withheld = [
        f"{q.groups[0]} - {q.groups[1]}: errors withheld, since {'; '.join(q.withheld)}."
        for q in pairs
        if q.withheld
    ]
    how = f"{pairs[0].draws:,} {SIGNS if f.crossed else 'permutations'}"
    tested = f"p_adjusted is Holm's over {len(pairs)} pairs, of {how}."
    return [*([tested] if pairs[0].draws else []), *withheld, *_source_notes(pairs, f.readings)]


def _data_notes(model: WassersteinDistance, dimension: int, cluster: str | None, crossed: bool) -> list[str]:
    """What the numbers mean where there are several outcomes, a scale, weights or clusters."""
    notes = []
    if dimension > 1:
        untested = crossed or model.weight_type == "sampling"
        sliced = "" if untested else "the permutation test takes the sliced W1 of standardised outcomes, and "
        limits = "limits are about the mean of the distance in samples of this size."
        notes.append(f"Between rows {sliced}{limits}")
    if model.scale:
        notes.append("Outcomes are divided by their pooled standard deviations.")
    if model.weight_type == "sampling":
        notes.append(f"Sampling weights: {model.weights}; no permutation test.")
    if cluster:
        whole = "hold rows of several groups" if crossed else "are permuted as a whole"
        none = "; there is no test of joint outcomes then" if crossed and dimension > 1 else ""
        notes.append(f"Clusters of {cluster} {whole}, and errors sum over them{none}.")
    return notes
