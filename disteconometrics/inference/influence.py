"""Covariances of averages of what was estimated, from influence functions: one row for every observation.

An answer θ = Σ w_i m(x_i; β)/Σ w at an estimate Σ s_i(β) = 0 with information H moves with row i by

    ψ_i = w_i (m_i − θ)/Σ w + (∂θ/∂β)' H⁻¹ s_i

the first part because row i is in the average (`averaging_rows`), the second because it is in the estimate
(`estimation_rows`); the variance of θ is that of Σ ψ_i, with both parts and what they share.  Dependence is
that of the fit: `influence_covariance` gives the rows as scores of an estimate whose information is the
identity to `covariance`, so that sums in clusters, two-way clusters and lags are taken in one place.

Finite samples, as the covariance of the fit has them:

====================  ==========================  =======================================================
kind                  averaging rows times        estimation rows times
====================  ==========================  =======================================================
HC0, HAC              √(n/(n−1))                  1
HC1                   √(n/(n−1))                  √(n/(n−k))
HC2, HC3              √(n/(n−1))                  1/√(1 − h_i), 1/(1 − h_i)
`Cluster`: groups     1                           1; and sums in clusters √(G/(G−1))
cr1                   1                           √((n−1)/(n−k)); and sums √(G/(G−1))
none                  1                           1
jackknife             1/(1 − share of Σ w in g)   in sums δ_g for s_g; and sums √((G−1)/G)
`Survey`              1                           1; and the factors of the design
====================  ==========================  =======================================================

``"nonrobust"`` and ``"opg"`` believe the model: given the covariates its scores have mean zero, so that what
the two parts share is zero, and the variance of the averaging rows is added to that of the estimation.

References
----------
Newey and McFadden (1994), Large sample estimation and hypothesis testing, section 6, Handbook of Econometrics
4, doi:10.1016/S1573-4412(05)80005-4.
Hansen and Overgaard (2024), Variance estimation for average treatment effects estimated by g-computation,
Metrika, doi:10.1007/s00184-024-00962-4.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from disteconometrics.arrays import Array, Mask, or_ones
from disteconometrics.errors import FewClustersWarning, LonelyUnitWarning, OptionError, warn_user
from disteconometrics.inference.covariance import (
    Cluster,
    Covariance,
    CovarianceKind,
    covariance,
    group_sums,
    leave_one_out,
)
from disteconometrics.inference.protocols import ArrayScores, MEstimate
from disteconometrics.inference.sampling import Sampling
from disteconometrics.inference.survey import Survey
from disteconometrics.optim.whiten import accurate_product, power_of_two

__all__ = [
    "answers_covariance",
    "averaging_rows",
    "estimation_rows",
    "influence_covariance",
    "is_model_based",
    "rows_covariance",
    "scaled_averaging",
]

NOTHING = 1e-8  # of a standard error: rows that sum to less are what rounding leaves of zeros
OF_ONE = (
    "An average is over rows of a single cluster of {}, which shows no spread: it has no standard error. "
    "Take other clusters, or target='sample' where these rows are all there is."
)


def is_model_based(kind: CovarianceKind) -> bool:
    """Whether a covariance holds only if the model is right.

    Examples
    --------
    >>> is_model_based("nonrobust"), is_model_based("HC1")
    (True, False)
    """
    return kind in ("nonrobust", "opg")


def averaging_rows(effects: Array, values: Array, kind: CovarianceKind, sampling: Sampling) -> Array:
    """Rows w_i (m_i − θ)/Σ w of averages θ, with the factor of finite samples in the module's table.

    Parameters
    ----------
    effects : (n, q) float64 array of m, one row for each row of the sample.
    values : (q,) float64 array of averages θ.
    kind : as in `influence_covariance`.
    sampling : Sampling, of the n rows; under frequency weights a row is that of one of its copies.

    Returns
    -------
    (n, q) float64 array

    Examples
    --------
    >>> averaging_rows(np.array([[1.0], [3.0]]), np.array([2.0]), "none", Sampling()).ravel().round(4)
    array([-0.7071,  0.7071])
    """
    w = or_ones(sampling.weights, len(effects))
    rows = (effects - values) * (w / w.sum())[:, None]
    return scaled_averaging(rows, kind, sampling)


def scaled_averaging(rows: Array, kind: CovarianceKind, sampling: Sampling) -> Array:
    """Averaging rows (n, q), as they sum to zero, with the factor in the module's table and of one copy each.

    Parameters
    ----------
    rows : (n, q) float64 array, w_i (m_i − θ)/Σ w.
    kind, sampling : as in `averaging_rows`.

    Returns
    -------
    (n, q) float64 array

    Examples
    --------
    >>> scaled_averaging(np.array([[-0.5], [0.5]]), "HC0", Sampling()).ravel().round(4)
    array([-0.7071,  0.7071])
    """
    w = or_ones(sampling.weights, len(rows))
    total = float(w.sum())
    rows = rows / w[:, None] if sampling.counts else rows
    if isinstance(kind, Survey):
        return rows
    if isinstance(kind, Cluster):
        if kind.correction != "jackknife":
            return rows
        c, G = sampling.codes(kind.columns)
        return np.asarray(rows / (1 - np.bincount(c, w, G) / total)[c][:, None])
    n = total if sampling.counts else float(len(rows))
    return np.asarray(rows * np.sqrt(n / max(n - 1, 1.0)))


def estimation_rows(
    equations: MEstimate | Sequence[MEstimate], gradients: Array, kind: CovarianceKind, sampling: Sampling
) -> Array:
    """Rows (∂θ/∂β)' H⁻¹ s_i of answers θ, with the factor of finite samples in the module's table.

    Parameters
    ----------
    equations : MEstimate with k coefficients and m rows of scores, or several on the same rows
        Several have informations that do not meet (as location and scale of a normal law): their rows add up,
        each with the factor of its own equation.
    gradients : (q, k) float64 array, ∂θ/∂β; of several, their columns one after the other.
    kind : as in `influence_covariance`, none of the model-based ones.
    sampling : Sampling, of the m rows.

    Returns
    -------
    (m, q) float64 array; of one copy, under frequency weights.

    Raises
    ------
    WithheldError
        If the jackknife is asked for and a cluster cannot be left out.

    Examples
    --------
    Their squares sum to the sandwich:

    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA + PSI").fit(de.datasets.spector(), cov="HC0")
    >>> rows = estimation_rows(res.rows.equation, np.eye(3), "HC0", res.rows.sampling)
    >>> np.allclose(rows.T @ rows, res.cov_params())
    True
    """
    listed = [equations] if isinstance(equations, MEstimate) else list(equations)
    ends = np.cumsum([len(e.params) for e in listed])[:-1]
    pairs = zip(listed, np.split(gradients, ends, axis=1), strict=True)
    rows, *others = (_rows_of(e, G, kind, sampling) for e, G in pairs)
    return sum(others, rows)


def _rows_of(equation: MEstimate, gradients: Array, kind: CovarianceKind, sampling: Sampling) -> Array:
    """`estimation_rows` of one equation."""
    G = gradients if equation.basis is None else _in_coordinates(gradients, equation.basis)
    G = G @ equation.inner
    power = {"HC2": 0.5, "HC3": 1.0}.get(kind if isinstance(kind, str) else "", 0.0)
    parts = [np.zeros((0, len(G)))]
    for part in equation.source():
        rows = part.scores @ equation.inner @ G.T
        if power:
            rows /= ((1 - np.square(part.roots @ equation.inner).sum(axis=1)) ** power)[:, None]
        parts.append(rows)
    rows = np.concatenate(parts)
    if isinstance(kind, Cluster) and kind.correction == "jackknife":
        c, groups = sampling.codes(kind.columns)
        sums, _ = group_sums(equation, c, groups)
        moved = (leave_one_out(equation, c, groups, sums) - sums) @ G.T
        rows += (moved / np.bincount(c, _copies(equation), groups)[:, None])[c]
    rows *= _root_factor(equation, kind)
    return rows


def _root_factor(equation: MEstimate, kind: CovarianceKind) -> float:
    """The root of what the covariance of a fit multiplies by for its k coefficients."""
    n, k = equation.observations, len(equation.inner)
    if kind == "HC1":
        return float(np.sqrt(n / (n - k)))
    if isinstance(kind, Cluster) and kind.correction == "cr1":
        return float(np.sqrt((n - 1) / (n - k)))
    return 1.0


def _in_coordinates(gradients: Array, basis: Array) -> Array:
    """Rows g'T, accurate to rounding where columns are nearly collinear."""
    largest = np.nan_to_num(np.abs(gradients)).max(axis=0, initial=0.0)
    return accurate_product(gradients, basis, power_of_two(largest))


def _copies(equation: MEstimate) -> Array | None:
    """How many observations each row of scores stands for, None for one."""
    parts = [part.copies for part in equation.source() if part.copies is not None]
    return np.concatenate(parts) if parts else None


def influence_covariance(
    values: Array,
    averaging: Array | None,
    estimation: Array | None,
    kind: CovarianceKind,
    sampling: Sampling,
    *,
    modelled: Array | None = None,
) -> Array:
    """Covariance of answers from the rows of their influence function.

    Parameters
    ----------
    values : (q,) float64 array of answers θ.
    averaging : (n, q) float64 array or None
        Rows of `averaging_rows`; None where the rows averaged over are all there is, or θ is no average.
    estimation : (n, q) float64 array or None
        Rows of `estimation_rows`, the same observations in the same order, zero where a row is not in the
        estimate; None for an estimate from other data, whose covariance is ``modelled``.
    kind : a value that `resolve_kind` has checked: the covariance of the fit.
    sampling : Sampling, of the n rows; of their weights those count that are copies.
    modelled : (q, q) float64 array or None
        Covariance from the estimation alone, where it shares nothing with the averaging rows: needed for
        ``"nonrobust"`` and ``"opg"``, which do not look at ``estimation``.

    Returns
    -------
    (q, q) float64 array, NaN of averages over rows of a single cluster

    Raises
    ------
    OptionError
        If there is nothing to compute from.
    DataError
        If there are too few clusters or rows.

    Warns
    -----
    CovarianceWarning, FewClustersWarning
        If a two-way matrix had to be made positive semi-definite; if averages are over a single cluster.

    Examples
    --------
    The mean of a sample and its variance:

    >>> y = np.array([1.0, 2.0, 4.0])
    >>> mean = np.array([y.mean()])
    >>> rows = averaging_rows(y[:, None], mean, "HC0", Sampling())
    >>> V = influence_covariance(mean, rows, None, "HC0", Sampling())
    >>> bool(np.isclose(V[0, 0], y.var(ddof=1) / 3))
    True
    """
    believed = is_model_based(kind)
    if believed and modelled is None:
        raise OptionError(f"cov={kind!r} rests on the model: its covariance of the answers is needed.")
    parts = [rows for rows in (averaging, None if believed else estimation) if rows is not None]
    V = np.zeros((len(values),) * 2) if modelled is None else modelled
    if not parts:
        return V
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewClustersWarning)  # what is to say about clusters has been said
        warnings.simplefilter("ignore", LonelyUnitWarning)
        found = rows_covariance(values, sum(parts[1:], parts[0]), kind, sampling)
    return _known(V + found.matrix, averaging, kind, sampling)


def _known(V: Array, averaging: Array | None, kind: CovarianceKind, sampling: Sampling) -> Array:
    """The covariance (q, q), NaN of averages over rows of a single cluster, which sum to zero in it."""
    if averaging is None or not isinstance(kind, Cluster):
        return V
    alone, sizes = np.zeros(len(V), dtype=bool), np.abs(averaging)
    told = sizes.sum(axis=0) > NOTHING * np.sqrt(np.abs(np.diagonal(V)))
    for column in kind.columns:
        c, groups = sampling.codes((column,))
        inside = np.array([np.bincount(c, rows, groups) > 0 for rows in sizes.T])
        alone |= (inside.sum(axis=1) == 1) & told
    if alone.any():
        warn_user(FewClustersWarning(OF_ONE.format(" and ".join(kind.columns))))
    return np.where(alone[:, None] | alone, np.nan, V)


def rows_covariance(
    values: Array, rows: Array, kind: CovarianceKind, sampling: Sampling, *, shares: Array | None = None
) -> Covariance:
    """Covariance of answers from rows that sum to zero and have the factors of finite samples.

    Parameters
    ----------
    values : (q,) float64 array of answers.
    rows : (n, q) float64 array; a column with NaN has no covariance.
    kind, sampling : as in `influence_covariance`.
    shares : (n,) float64 array or None
        What each row has of the whole, by which few or uneven clusters are told; None tells nothing of these.

    Returns
    -------
    Covariance
        Its label is that of rows with their own factors: HC0 for any that is not of clusters, lags or units.

    Raises
    ------
    DataError

    Warns
    -----
    FewClustersWarning, LonelyUnitWarning, CovarianceWarning

    Examples
    --------
    >>> rows = np.array([[-0.5], [0.5]])
    >>> rows_covariance(np.array([1.0]), rows, "HC0", Sampling()).matrix.round(12)
    array([[0.5]])
    """
    if isinstance(kind, Cluster) and kind.correction == "jackknife":
        shares = None  # rows have the factor of what is left already
    known: Mask = np.asarray(np.isfinite(rows).all(axis=0))
    equation = _equation(values, rows if known.all() else np.where(known, rows, 0.0), sampling.copies, shares)
    found = covariance(equation, _rows_kind(kind), sampling)
    V = found.matrix if known.all() else np.where(np.outer(known, known), found.matrix, np.nan)
    return replace(found, matrix=V, inner=None, kind=kind)


def answers_covariance(
    values: Array,
    averaging: Array,
    estimation: Array | None,
    modelled: Array | None,
    kind: CovarianceKind,
    sampling: Sampling,
) -> Array:
    """`influence_covariance` of averages over the rows of a fit, from averaging rows as they sum to zero.

    Parameters
    ----------
    averaging : (n, q) float64 array, as `scaled_averaging` takes it.
    values, estimation, modelled, kind, sampling : as in `influence_covariance`.

    Returns
    -------
    (q, q) float64 array

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 4.0])
    >>> rows = (y - y.mean())[:, None] / 3
    >>> V = answers_covariance(np.array([y.mean()]), rows, None, None, "HC0", Sampling())
    >>> bool(np.isclose(V[0, 0], y.var(ddof=1) / 3))
    True
    """
    V = influence_covariance(
        values, scaled_averaging(averaging, kind, sampling), estimation, kind, sampling, modelled=modelled
    )
    return np.asarray((V + V.T) / 2)


def _rows_kind(kind: CovarianceKind) -> CovarianceKind:
    """The covariance of rows that have their own factors."""
    if isinstance(kind, str):
        return "HC0"
    if isinstance(kind, Cluster) and kind.correction == "cr1":
        return Cluster(*kind.columns)
    return kind


def _equation(values: Array, psi: Array, copies: Array | None, shares: Array | None) -> MEstimate:
    """Rows as scores of an estimate with the identity as information, in units of each answer's spread.

    Units keep answers of one table apart where a two-way matrix is repaired; roots of zero leave no row any
    leverage, as rows have their own factors; roots from shares give these as leverages.
    """
    spread = np.sqrt(np.einsum("iq,iq->q", psi, psi if copies is None else psi * copies[:, None]))
    unit = np.where(spread > 0, spread, 1.0)
    n = float(len(psi)) if copies is None else float(copies.sum())
    roots = np.zeros(psi.shape) if shares is None else np.sqrt(shares / len(unit))[:, None] * unit
    source = ArrayScores(psi, roots, copies)
    names = tuple(map(str, range(len(values))))
    return MEstimate(names, values, np.diag(1 / unit), np.diag(unit), n, len(psi), source)
