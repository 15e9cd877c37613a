"""Covariance matrices of an M-estimate: what to ask for, and how each is computed.

With information H, scores s_i, leverage h_i (trace of row i's share in H) and n observations (frequency
weights counted):

=================  =====================================================================================
``"nonrobust"``    H⁻¹, the inverse observed information
``"opg"``          (Σ s_i s_i')⁻¹, the outer product of gradients
``"HC0"``          H⁻¹ (Σ s_i s_i') H⁻¹
``"HC1"``          HC0 · n/(n − k)
``"HC2", "HC3"``   scores divided by √(1 − h_i), by (1 − h_i): one-step jackknife analogues
`Cluster`          H⁻¹ (Σ_g s_g s_g') H⁻¹ · correction, s_g the sum of scores in cluster g
`Survey`           H⁻¹ Σ_h (1 − f_h) n_h/(n_h − 1) Σ_u (s_u − s̄_h)(s_u − s̄_h)' H⁻¹, units u in strata h
`HAC`              H⁻¹ (Γ_0 + Σ_l (1 − l/(L+1)) (Γ_l + Γ_l')) H⁻¹, Γ_l = Σ_t s_t s_{t−l}'
=================  =====================================================================================

Survey designs, and replicate weights of them, stand in `survey`.

References
----------
White (1982), Maximum likelihood estimation of misspecified models, Econometrica 50, doi:10.2307/1912526.
Zeileis (2006), Object-oriented computation of sandwich estimators, J. Statistical Software 16(9),
doi:10.18637/jss.v016.i09.
Cameron, Gelbach, Miller (2011), Robust inference with multiway clustering, JBES 29,
doi:10.1198/jbes.2010.07136.
MacKinnon, Nielsen, Webb (2023), Fast and reliable jackknife and bootstrap methods for cluster-robust
inference, J. Applied Econometrics 38, doi:10.1002/jae.2969.
Carter, Schnepel, Steigerwald (2017), Asymptotic behavior of a t-test robust to cluster heterogeneity, Review
of Economics and Statistics 99, doi:10.1162/REST_a_00639 (effective numbers of clusters).
Newey, West (1987), A simple positive semi-definite covariance matrix, Econometrica 55, doi:10.2307/1913610.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.blocks import FactorMatrix, columns
from disteconometrics.errors import (
    CovarianceWarning,
    DataError,
    FewClustersWarning,
    OptionError,
    WithheldError,
    warn_user,
)
from disteconometrics.fields import Numbers
from disteconometrics.inference.estimates import UNEVEN, ClusterCount
from disteconometrics.inference.protocols import MEstimate, SummedScores
from disteconometrics.inference.sampling import Sampling
from disteconometrics.inference.survey import (
    SURVEYED,
    Replicates,
    Survey,
    SurveyDesign,
    design_label,
    design_meat,
)
from disteconometrics.likelihoods.score_sums import SumsAsked, leverages
from disteconometrics.optim.whiten import accurate_product, power_of_two
from disteconometrics.tables import printable
from disteconometrics.words import TakesWords

__all__ = [
    "COVARIANCES",
    "COVARIANCE_ARRAYS",
    "HAC",
    "Cluster",
    "Covariance",
    "CovarianceKind",
    "CovarianceWords",
    "clusters_telling",
    "covariance",
    "known_kind",
    "refuse_leverages",
    "resolve_kind",
]

Codes = tuple[Indices, int]

COVARIANCES = ("nonrobust", "opg", "HC0", "HC1", "HC2", "HC3")
_AS_WRITTEN = {name.lower(): name for name in COVARIANCES}
_CORRECTIONS = ("groups", "cr1", "none", "jackknife")
ROWS = 8192  # of a design kept as codes, that are written out at once
# Below it cluster-robust t statistics over-reject noticeably (MacKinnon, Nielsen, Webb 2023)
FEW_CLUSTERS = 40
# Of leverages h_g the number of equal clusters that tell as much is (Σ h_g)²/Σ h_g².  With clusters of one
# size it is .6 to .9 of G, as regressors differ; uneven clusters over-reject up to a larger number.
FEW_UNEVEN = 80
LEVERAGE_ONE = "A row has leverage one (it is fitted perfectly), so HC2 and HC3 are not defined; use 'HC1'."
NOT_WITHOUT = (
    "Without one of the clusters the coefficients are not identified, so the jackknife is not defined; use "
    "correction='groups'."
)


@dataclass(frozen=True, init=False)
class Cluster(TakesWords):
    """Ask for standard errors that allow any dependence within clusters, one- or two-way.

    Parameters
    ----------
    *columns : str
        One or two column names of the data.  Two give V_a + V_b − V_ab, each with its own correction.
    correction : {"groups", "cr1", "none", "jackknife"}
        Factor: G/(G−1) (Stata's for maximum likelihood; the default); G/(G−1)·(n−1)/(n−k) (statsmodels, R's
        vcovCL type HC1); 1; or the leave-one-cluster-out jackknife CV3 by one Newton step, (G−1)/G Σ_g δ_g
        δ_g' with δ_g = (H − H_g)⁻¹ s_g, advised for few or uneven clusters.

    Raises
    ------
    OptionError
        If a column is not a name, there are not one or two, or the correction is unknown.

    Examples
    --------
    >>> Cluster("firm", "year", correction="cr1")
    Cluster('firm', 'year', correction='cr1')
    """

    columns: tuple[str, ...]
    correction: str

    def __init__(self, *columns: str, correction: str = "groups") -> None:
        if not 1 <= len(columns) <= 2 or not all(isinstance(c, str) for c in columns):
            raise OptionError(
                "Cluster takes one or two column names, as in Cluster('firm', 'year'); an array of "
                "cluster labels "
                "goes into the data first: data.assign(cluster=labels)."
            )
        if correction not in _CORRECTIONS:
            raise OptionError(
                f"correction={correction!r} is not known; use one of {', '.join(_CORRECTIONS)}."
            )
        if correction == "jackknife" and len(columns) == 2:
            raise OptionError(
                "correction='jackknife' is for one-way clustering; two-way takes 'groups', 'cr1' or 'none'."
            )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "correction", correction)

    def __repr__(self) -> str:
        return printable(f"Cluster({', '.join(map(repr, self.columns))}, correction={self.correction!r})")


@dataclass(frozen=True)
class HAC(TakesWords):
    """Ask for standard errors that allow autocorrelation up to a lag (Newey-West).

    Parameters
    ----------
    time : str
        Column that orders the rows; its values must differ.  Consecutive rows count as one period apart.
    lags : int or None
        Largest lag L; None for floor(4·(n/100)^(2/9)).
    kernel : {"bartlett"}
        Weights 1 − l/(L+1).

    Raises
    ------
    OptionError
        If the column is not a name, the lag is not a whole number ≥ 0 or the kernel is unknown.

    Examples
    --------
    >>> HAC("quarter", lags=4)
    HAC(time='quarter', lags=4, kernel='bartlett')
    """

    time: str
    lags: int | None = None
    kernel: str = "bartlett"

    def __post_init__(self) -> None:
        if not isinstance(self.time, str):
            raise OptionError("HAC takes the name of the time column, as in HAC('quarter', lags=4).")
        if self.lags is not None:
            if isinstance(self.lags, bool) or not isinstance(self.lags, Integral) or self.lags < 0:
                raise OptionError(f"lags={self.lags!r}: give a whole number of at least 0, or None.")
            # a numpy integer prints and compares as a plain one
            object.__setattr__(self, "lags", int(self.lags))
        if self.kernel != "bartlett":
            raise OptionError(f"kernel={self.kernel!r} is not known; use 'bartlett'.")


CovarianceKind = str | Cluster | HAC | Survey


CLUSTERED = "clustered by "  # with which the label of a covariance from clusters begins
JACKKNIFED = "CV3, "  # which its note then holds


@dataclass(frozen=True)
class CovarianceWords:
    """What a file says of a covariance beside its arrays, which are those of `COVARIANCE_ARRAYS`."""

    label: str
    note: str
    degrees_of_freedom: float
    robust: bool
    equal_clusters: float | None = None


COVARIANCE_ARRAYS = {
    "covariance": Numbers("k k", "a covariance"),
    "basis": Numbers("k r", "any", optional=True),
    "inner": Numbers("r r", "a covariance", optional=True),
}


@dataclass(frozen=True, eq=False)
class Covariance:
    """A covariance matrix (k, k) with the words under the table and the degrees of freedom of t, if any.

    ``matrix`` = T·C·T' with ``basis`` T (k, r), None for the identity, and ``inner`` C (r, r) well
    conditioned: where columns are nearly collinear, g'Vg loses all digits and (g'T)·C·(T'g) none, so
    combinations go through `coordinates`.
    """

    matrix: Array
    label: str
    note: str
    degrees_of_freedom: float
    robust: bool
    basis: Array | None = None
    inner: Array | None = None
    kind: CovarianceKind | None = None  # what was asked for; None where a file gives the label alone
    equal_clusters: float | None = None  # of one size, that tell as much as those of the smaller dimension

    @property
    def clusters(self) -> ClusterCount | None:
        """The number of clusters, of the smaller dimension, one less strata of a survey's units.

        None where rows are not in clusters.
        """
        if not self.label.startswith((CLUSTERED, SURVEYED)):
            return None
        G = round(self.degrees_of_freedom) + 1
        return ClusterCount.telling(G, self.equal_clusters, jackknifed=JACKKNIFED in self.note)

    @property
    def surveyed(self) -> bool:
        """Whether it is that of a survey's design."""
        return self.label.startswith(SURVEYED)

    def coordinates(self, G: Array) -> tuple[Array, Array]:
        """Rows g' (q, k) as g'T (q, r), accurate to rounding, and the covariance (r, r) of what they meet."""
        if self.basis is None or self.inner is None:
            return G, self.matrix
        largest = np.nan_to_num(np.abs(G)).max(axis=0, initial=0.0)
        return accurate_product(G, self.basis, power_of_two(largest)), self.inner

    def of_moves(self, G: Array) -> Array:
        """The covariance (q, q) of what moves by rows g' (q, k) with the estimates."""
        Z, V = self.coordinates(G)
        spread = Z @ V @ Z.T
        return np.asarray((spread + spread.T) / 2)

    def errors(self, X: Array | FactorMatrix, rows: int | None = None) -> Array:
        """Standard errors (m,) of x'β for rows (m, k), so many of them at once."""
        m = X.shape[0]
        step = rows or (ROWS if isinstance(X, FactorMatrix) else max(m, 1))
        parts = (self.coordinates(columns(X[i : i + step])) for i in range(0, m, step))
        return np.concatenate([np.zeros(0), *(np.sqrt(np.sum((Z @ V) * Z, axis=1)) for Z, V in parts)])

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a file keeps of it: words, and arrays by name."""
        words = {f.name: getattr(self, f.name) for f in fields(CovarianceWords)}
        arrays = {"covariance": self.matrix, "basis": self.basis, "inner": self.inner}
        return words, {name: np.asarray(a) for name, a in arrays.items() if a is not None}

    @classmethod
    def from_file(cls, words: CovarianceWords, arrays: dict[str, Array]) -> Covariance:
        """Rebuild from `to_file`; a clustered or HAC one knows its label, but not its columns."""
        kind = words.label if words.label in COVARIANCES else None
        own = (words.label, words.note, words.degrees_of_freedom, words.robust)
        equal = words.equal_clusters
        return cls(arrays["covariance"], *own, arrays.get("basis"), arrays.get("inner"), kind, equal)


def known_kind(kind: CovarianceKind | None) -> CovarianceKind:
    """The covariance that was asked for, which a file names in part alone where it is of columns.

    Raises
    ------
    OptionError
        If it is not known.

    Examples
    --------
    >>> known_kind("HC1")
    'HC1'
    """
    if kind is None:
        raise OptionError(
            "A saved result does not name its covariance in full; ask for it again with with_cov(...)."
        )
    return kind


def resolve_kind(
    cov: CovarianceKind | None, weight_type: str | None, *, surveys: bool = False
) -> CovarianceKind:
    """Check what was asked for; None means nonrobust, or HC1 under sampling weights.

    ``surveys`` says that the estimator knows survey designs.

    Raises
    ------
    OptionError
        If the name is unknown, or nonrobust (or opg) is asked for under sampling weights.

    Examples
    --------
    >>> resolve_kind(None, "sampling")
    'HC1'
    """
    if cov is None:
        return "HC1" if weight_type == "sampling" else "nonrobust"
    if isinstance(cov, HAC) and weight_type == "frequency":
        raise OptionError(
            "HAC needs one row per period; frequency weights stand for several rows. Expand the rows."
        )
    if isinstance(cov, Survey):
        _check_survey(surveys, weight_type)
    if isinstance(cov, (Cluster, HAC, Survey)):
        return cov
    name = _AS_WRITTEN.get(cov.lower()) if isinstance(cov, str) else None
    if name is None:
        raise OptionError(
            f"cov={cov!r} is not known; use one of {', '.join(map(repr, COVARIANCES))}, "
            f"de.Cluster('column') or de.HAC('column')."
        )
    if weight_type == "sampling" and name in ("nonrobust", "opg"):
        raise OptionError(
            f"cov={name!r} has no meaning under sampling weights, whose likelihood is not the sample's; "
            f"use 'HC1' or Cluster."
        )
    return name


def _check_survey(known: bool, weight_type: str | None) -> None:
    """Refuse a survey's design where nothing follows from it."""
    if not known:
        raise OptionError(
            "cov=de.Survey(…) is for Logit, Probit, CLogLog, NormalRegression, DistributionRegression, "
            "Inequality, RIFRegression and decompose; de.Cluster('psu') allows dependence in units here, "
            "without strata."
        )
    if weight_type == "frequency":
        raise OptionError(
            "cov=de.Survey(…) is of rows that were drawn, and frequency weights count identical rows: take "
            "weight_type='sampling'."
        )


def refuse_leverages(kind: CovarianceKind, what: str) -> None:
    """Refuse corrections by leverage for rows that have several linear forms.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> refuse_leverages("HC1", "ordered outcomes, whose rows")
    """
    if kind in ("HC2", "HC3"):
        raise OptionError(
            f"cov={kind!r} is not defined for {what} have no single leverage; use "
            f"'HC1', or de.Cluster(column, correction='jackknife') with a column that numbers the rows."
        )


def covariance(estimate: MEstimate, kind: CovarianceKind, sampling: Sampling) -> Covariance:
    """Compute one covariance of an estimate.

    Parameters
    ----------
    estimate : MEstimate with k coefficients.
    kind : a value that `resolve_kind` has checked.
    sampling : Sampling, of the rows of scores; asked for clusters, a survey's units or the order in time.

    Returns
    -------
    Covariance

    Raises
    ------
    DataError, WithheldError
        If there are too few clusters or rows for the formula to have a meaning.

    Warns
    -----
    FewClustersWarning, CovarianceWarning
        If clusters are few or uneven; if a two-way matrix had to be made positive semi-definite.
    """
    return replace(_computed(estimate, kind, sampling), kind=kind)


def _computed(estimate: MEstimate, kind: CovarianceKind, sampling: Sampling) -> Covariance:
    n, k = estimate.observations, estimate.parameters
    if isinstance(kind, Cluster):
        return _cluster(estimate, kind, sampling)
    if isinstance(kind, Survey):
        return _survey(estimate, kind, sampling.codes(kind))
    if isinstance(kind, HAC):
        ordered = sampling.order(kind.time)
        lags = int(4 * (len(ordered) / 100) ** (2 / 9)) if kind.lags is None else kind.lags
        inner = _hac_meat(estimate, ordered, lags)
        note = f"HAC: Bartlett weights up to lag {lags} in the order of {kind.time}."
        return _sandwich(estimate, inner, f"HAC, {lags} lags", note, n - k)
    if kind == "nonrobust":
        note = "nonrobust = inverse observed information."
        return _sandwich(estimate, None, "nonrobust", note, n - k, False)
    if kind == "HC1" and n <= k:
        raise WithheldError(f"HC1 divides by n - k, which is {n - k:g} here; use cov='HC0'.")
    inner = _meat(estimate, {"HC2": 0.5, "HC3": 1.0}.get(kind, 0.0))
    if kind == "opg":
        W = _inverse_root(inner)
        return _sandwich(estimate, W @ W.T, "opg", "opg = inverse outer product of the scores.", n - k, False)
    note = {
        "HC0": "HC0 = sandwich.",
        "HC1": "HC1 = n/(n-k) · sandwich.",
        "HC2": "HC2: scores over √(1 - leverage).",
        "HC3": "HC3: scores over (1 - leverage).",
    }[kind]
    return _sandwich(estimate, inner * (n / (n - k)) if kind == "HC1" else inner, kind, note, n - k)


def _sandwich(
    estimate: MEstimate, inner_meat: Array | None, label: str, note: str, df: float, robust: bool = True
) -> Covariance:
    """root · M · root', M the meat in coordinates whose information is the identity; None is the identity."""
    root, own = estimate.root, estimate.inner
    # a copy, as the product of a matrix with its own transpose is summed in another order
    V = (root.copy() if inner_meat is None else root @ inner_meat) @ root.T
    V = (V + V.T) / 2
    if estimate.basis is None:  # then both are one
        return Covariance(V, label, note, df, robust, None, V)
    inner = (own.copy() if inner_meat is None else own @ inner_meat) @ own.T
    return Covariance(V, label, note, df, robust, estimate.basis, (inner + inner.T) / 2)


def _inverse_root(M: Array) -> Array:
    """W with W·W' = M⁻¹ for a positive definite M."""
    try:
        return np.asarray(np.linalg.inv(np.linalg.cholesky(M)).T)
    except np.linalg.LinAlgError:
        raise WithheldError(
            "The outer product of the scores is singular, so 'opg' is not defined here; use 'nonrobust'."
        ) from None


def _meat(estimate: MEstimate, power: float) -> Array:
    """Σ s s' / (1 − h)^(2·power) in identity-information coordinates."""
    if isinstance(estimate.source, SummedScores):
        asked = SumsAsked((), estimate.inner, power, estimate.weight_type != "sampling")
        sums = estimate.source.sums(asked)
        if sums.perfect:
            raise WithheldError(LEVERAGE_ONE)
        return np.asarray(estimate.inner.T @ sums.meat @ estimate.inner)
    meat = np.zeros(estimate.inner.shape)
    for part in estimate.source():
        S = part.scores
        factor = None if part.copies is None else np.sqrt(part.copies)
        if power:
            h = leverages(part.roots, estimate.inner)
            if h.max(initial=0.0) > 1 - 1e-10:
                raise WithheldError(LEVERAGE_ONE)
            factor = (1.0 if factor is None else factor) / (1 - h) ** power
        if factor is not None:
            S = S * factor[:, None]
        meat += S.T @ S
    return np.asarray(estimate.inner.T @ meat @ estimate.inner)


def group_sums(estimate: MEstimate, codes: Indices, groups: int) -> tuple[Array, Array]:
    """Score sums (G, k) in identity-information coordinates, and leverages (G,) of groups, which sum to k."""
    sums = np.zeros((groups, len(estimate.inner)))
    leverage = np.zeros(groups)
    start = 0
    for part in estimate.source(max(groups, 4096)):
        c = codes[start : start + len(part.scores)]
        start += len(c)
        h = leverages(part.roots, estimate.inner)
        leverage += np.bincount(c, h if part.copies is None else h * part.copies, groups)
        for j, column in enumerate(part.scores.T):
            sums[:, j] += np.bincount(c, column if part.copies is None else column * part.copies, groups)
    return sums @ estimate.inner, leverage


def _hac_meat(estimate: MEstimate, order: Indices, lags: int) -> Array:
    if lags >= len(order):
        raise DataError(f"HAC with {lags} lags needs more than {lags} rows; there are {len(order)}.")
    zero = np.zeros((1, len(estimate.inner)))  # the last row, which is position −1
    S = np.concatenate([*(part.scores @ estimate.inner for part in estimate.source()), zero])[order]
    meat = S.T @ S
    for lag in range(1, lags + 1):
        G = S[lag:].T @ S[:-lag]
        meat += (1 - lag / (lags + 1)) * (G + G.T)
    return np.asarray(meat)


def _cluster(estimate: MEstimate, kind: Cluster, sampling: Sampling) -> Covariance:
    n, k = estimate.observations, estimate.parameters
    subsets = _groupings(kind)
    inner = np.zeros(estimate.inner.shape)
    counts: list[int] = []
    equal: list[float] = []
    for subset, (sums, leverage) in zip(subsets, _by_cluster(estimate, kind, subsets, sampling), strict=True):
        G = len(leverage)
        if len(subset) == 1:
            equal.append(_equal_clusters(leverage))
            _warn_few(subset[0], G, equal[-1], kind)
        sign = -1.0 if len(subset) == 2 else 1.0
        inner += sign * _correction(kind.correction, G, n, k) * (sums.T @ sums)
        counts.append(G)
    inner, repaired = _nearest_psd(inner, kind) if len(subsets) > 1 else (inner, "")
    G = min(counts)
    by = " and ".join(f"{c} ({g})" for c, g in zip(kind.columns, counts, strict=False))
    words = {
        "groups": "G/(G-1) · sandwich",
        "cr1": "G/(G-1) · (n-1)/(n-k) · sandwich",
        "none": "sandwich, no correction",
        "jackknife": f"{JACKKNIFED}one-step leave-one-cluster-out jackknife",
    }[kind.correction]
    V = _sandwich(estimate, inner, f"{CLUSTERED}{by}", f"Clustered by {by}: {words}{repaired}.", G - 1)
    return replace(V, equal_clusters=min(equal))


def clusters_telling(estimate: MEstimate, kind: Cluster, sampling: Sampling, R: Array) -> float:
    """How many clusters of one size tell as much of R·β as those of ``kind``; of two dimensions the fewer.

    Parameters
    ----------
    estimate, sampling : as `covariance` takes them.
    kind : Cluster, without the jackknife.
    R : (q, k) float64 array.

    Examples
    --------
    >>> import disteconometrics as de
    >>> d = de.datasets.spector().assign(group=[i % 8 for i in range(32)])
    >>> rows = de.NormalRegression("GPA ~ PSI").fit(d.assign(PSI=d.group < 2)).data_rows()
    >>> R = np.array([[0.0, 1.0]])  # of two of eight groups
    >>> round(clusters_telling(rows.equation, Cluster("group"), rows.sampling, R), 1)
    3.4
    """
    tested = np.linalg.qr((R @ estimate.root).T)[0]
    seen = replace(estimate, inner=estimate.inner @ tested)
    return min(_equal_clusters(h) for _, h in _by_cluster(seen, kind, _groupings(kind), sampling))


def _groupings(kind: Cluster) -> list[tuple[str, ...]]:
    return [(c,) for c in kind.columns] + ([kind.columns] if len(kind.columns) == 2 else [])


def _replicated(estimate: MEstimate, kind: Survey, replicates: Replicates) -> Covariance:
    moves, R = replicates.moves, len(replicates.scales)
    sums, start = np.zeros((R, len(estimate.inner))), 0
    for part in estimate.source():
        sums += moves[start : start + len(part.scores)].T @ part.scores
        start += len(part.scores)
    moved = sums @ estimate.inner * np.sqrt(replicates.scales)[:, None]
    note = (
        f"Survey: {R} replicate weights ({kind.kind}), about the estimate, linearised; "
        f"{replicates.degrees:g} degrees of freedom."
    )
    return _sandwich(estimate, moved.T @ moved, design_label(kind, replicates), note, replicates.degrees)


def _survey(estimate: MEstimate, kind: Survey, units: SurveyDesign) -> Covariance:
    if isinstance(units, Replicates):
        return _replicated(estimate, kind, units)
    U, H = len(units.stratum), len(units.left)
    sums, _ = group_sums(estimate, units.codes, U)
    inner, degrees = design_meat(sums, units, kind)
    plain = (units.left == 1).all()
    words = "stratum" if H == 1 else "strata"
    note = (
        f"Survey: linearised, {U} units in {H} {words}, n/(n - 1) in each"
        f"{'' if plain else ', finite populations'}; {degrees:g} degrees of freedom."
    )
    return _sandwich(estimate, inner, design_label(kind, units), note, degrees)


def _by_cluster(
    estimate: MEstimate,
    kind: Cluster,
    subsets: Sequence[tuple[str, ...]],
    sampling: Sampling,
) -> Iterator[tuple[Array, Array]]:
    """Score sums (G, k), or what the jackknife makes of them, and leverages (G,) of each grouping."""
    jackknife = kind.correction == "jackknife"
    if isinstance(estimate.source, SummedScores):
        frequency = estimate.weight_type != "sampling"
        asked = SumsAsked(kind.columns, estimate.inner, 0.0, frequency, jackknife)
        for subset, found in zip(subsets, estimate.source.sums(asked).groups, strict=True):
            _check_clusters(subset, len(found.keys))
            sums = found.scores @ estimate.inner
            if found.grams is not None:
                sums = _without_each(sums, partial(_turned, estimate.inner, found.grams))
            yield sums, found.leverage
        return
    for subset in subsets:
        c, G = sampling.codes(subset)
        _check_clusters(subset, G)
        sums, leverage = group_sums(estimate, c, G)
        yield (leave_one_out(estimate, c, G, sums) if jackknife else sums), leverage


def _turned(inner: Array, grams: Array, first: int, last: int) -> Array:
    return np.asarray(inner.T @ grams[first:last] @ inner)


def _check_clusters(subset: Sequence[str], G: int) -> None:
    if G < 2:
        raise DataError(f"Cluster column {subset[0]!r} has a single value; at least two clusters are needed.")


def _correction(name: str, G: int, n: float, k: int) -> float:
    if name == "jackknife":
        return (G - 1) / G
    if name == "none":
        return 1.0
    return G / (G - 1) * ((n - 1) / (n - k) if name == "cr1" else 1.0)


def _equal_clusters(leverage: Array) -> float:
    """How many clusters of one size tell as much as those with these leverages (G,)."""
    return float(leverage.sum() ** 2 / max(leverage @ leverage, 1e-300))


def _warn_few(column: str, G: int, effective: float, kind: Cluster) -> None:
    uneven = effective < min(UNEVEN * G, FEW_UNEVEN)
    if kind.correction == "jackknife" or not (G < FEW_CLUSTERS or uneven):
        return
    what = f"only {G} clusters" if G < FEW_CLUSTERS else f"{G} clusters"
    what += f" so uneven that they tell as much as {effective:.0f} equal ones" if uneven else ""
    two_way = len(kind.columns) == 2
    hint = "use_t=True" if two_way else f"Cluster({column!r}, correction='jackknife') with use_t=True"
    warn_user(
        FewClustersWarning(
            f"Cluster column {column!r} has {what}: its standard errors tend to be too small. Consider "
            f"{hint}; for tests, of several coefficients at once too, score_test(), where the result has it.",
            column=column,
            hint=hint,
        )
    )


def leave_one_out(estimate: MEstimate, codes: Indices, G: int, sums: Array) -> Array:
    """δ_g = (I − H_g)⁻¹ s_g for every cluster, from `group_sums`, in identity-information coordinates.

    Raises
    ------
    WithheldError
        If the coefficients are not identified without one of the clusters.
    """
    k = sums.shape[1]
    roots = [p.roots if p.copies is None else (p.roots.T * np.sqrt(p.copies)).T for p in estimate.source()]
    U = (np.concatenate(roots) @ estimate.inner)[np.argsort(codes, kind="stable")]
    edges = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=G))])

    def grams(first: int, last: int) -> Array:
        rows = (U[edges[g] : edges[g + 1]].reshape(-1, k) for g in range(first, last))
        return np.stack([part.T @ part for part in rows])

    return _without_each(sums, grams)


def _without_each(sums: Array, grams: Callable[[int, int], Array]) -> Array:
    """(I − H_g)⁻¹ s_g from score sums (G, k) and what gives H_g of the groups from one to another."""
    G, k = sums.shape
    deltas = np.empty_like(sums)
    batch = max(1, 2_000_000 // (k * k))
    for first in range(0, G, batch):
        last = min(G, first + batch)
        A = np.eye(k) - grams(first, last)
        if np.linalg.eigvalsh(A)[:, 0].min() < 1e-10:
            raise WithheldError(NOT_WITHOUT)
        deltas[first:last] = np.linalg.solve(A, sums[first:last, :, None])[:, :, 0]
    return deltas


def _nearest_psd(M: Array, kind: Cluster) -> tuple[Array, str]:
    """The nearest positive semi-definite matrix, and what the foot of a table says of it."""
    values, vectors = np.linalg.eigh(M)
    if values[0] >= -1e-12 * abs(values[-1]):
        return M, ""
    warn_user(
        CovarianceWarning(
            f"The two-way matrix of {kind!r} was not positive semi-definite (eigenvalue {values[0]:.2g} "
            f"of {values[-1]:.2g} in units of the nonrobust covariance); negative eigenvalues were set to "
            "zero (some packages report the matrix unrepaired).",
            hint="cluster by the dimension with fewer clusters alone",
        )
    )
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T), ", negative eigenvalues set to zero"
