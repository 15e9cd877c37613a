"""Likelihood-ratio and score tests of a binary outcome.

The restricted maximum, and when a model is nested in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from disteconometrics.arrays import Array, as_floats
from disteconometrics.blocks import Block
from disteconometrics.errors import OptionError, WithheldError
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.estimates import TestResult
from disteconometrics.likelihoods.index_model import IndexModel, index
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.optim.newton import maximise

__all__ = [
    "NESTED",
    "RestrictedMaximum",
    "check_same_rows",
    "clustered_score_test",
    "generalised_score",
    "restricted_maximum",
]

NESTED = "lr_test takes a smaller model of the same outcome on the same rows"
IN_SPAN = 1e-8  # share of a column that may be left when it is written as a combination of others


@dataclass(frozen=True)
class RestrictedMaximum:
    """Coefficients (k,) under R·β = r that maximise the log-likelihood, and its value there."""

    coefficients: Array
    loglik: float


def restricted_maximum(kernel: Kernel, blocks: Sequence[Block], R: Array, r: Array) -> RestrictedMaximum:
    """The maximum under R·β = r, found in the free directions N: β = β₀ + N·γ.

    Parameters
    ----------
    kernel : law of the outcome given the index.
    blocks : rows.
    R, r : (q, k) and (q,) float64 arrays, restrictions that do not depend on each other.

    Raises
    ------
    WithheldError
        If there is no finite maximum.

    Examples
    --------
    >>> import disteconometrics as de
    >>> from disteconometrics.likelihoods.logistic import LOGISTIC
    >>> rows = de.Logit("GRADE ~ GPA").fit(de.datasets.spector()).data_rows()
    >>> found = restricted_maximum(LOGISTIC, rows.blocks(), np.array([[0.0, 1.0]]), np.zeros(1))
    >>> found.coefficients.round(3).tolist()
    [-0.647, 0.0]
    """
    fixed: Array = as_floats(np.linalg.lstsq(R, r, rcond=None)[0])
    free: Array = np.linalg.svd(R)[2][len(R) :].T
    untouched = [j for j in range(R.shape[1]) if not R[:, j].any()]
    if len(untouched) == free.shape[1]:  # these columns stay as they are, exactly
        free = np.eye(R.shape[1])[:, untouched]
    if not free.shape[1]:
        return RestrictedMaximum(fixed, IndexModel(kernel, blocks).evaluate(fixed).loglik)
    moved = fixed.any()
    m = maximise(
        IndexModel(
            kernel,
            [b._replace(X=b.X @ free, offset=index(b, fixed) if moved else b.offset) for b in blocks],
        )
    )
    if m.separation is not None:
        raise WithheldError("The restricted model has no finite maximum (separation); use test (Wald).")
    return RestrictedMaximum(fixed + free @ m.params, m.loglik)


def generalised_score(step: Array, V: Array, R: Array) -> float:
    """U'H⁻¹R'(R V R')⁻¹RH⁻¹U, V (k, k) the covariance at the restricted maximum.

    Its step from there is H⁻¹U (k,), and R (q, k) are the restrictions.

    References
    ----------
    Boos (1992), On generalized score tests, American Statistician 46, doi:10.1080/00031305.1992.10475921.
    """
    d, middle = R @ step, R @ V @ R.T
    scale = np.sqrt(np.diagonal(middle))
    return float((d / scale) @ np.linalg.solve(middle / np.outer(scale, scale), d / scale))


def clustered_score_test(kind: str, texts: Sequence[str], statistic: float, clusters: int) -> TestResult:
    """The law of a score statistic S with products of the scores of G clusters: S/G ~ Beta(q/2, (G − q)/2).

    It is Hotelling's with the mean known to be zero, and given as F(q, G − q).

    Examples
    --------
    >>> clustered_score_test("Score", ["x = 0"], 3.0, 20)
    Score test of x = 0
      F(1, 19) = 3.3529, p = 0.0828
    """
    q, G = len(texts), clusters
    if q >= G:
        raise WithheldError(f"No score test of {q} hypotheses: the covariance is of {G} clusters.")
    F = statistic * (G - q) / (q * max(G - statistic, np.finfo(float).tiny))
    return TestResult(kind, tuple(texts), F, (q, G - q), float(special.fdtrc(q, G - q, F)), "F")


def check_same_rows(large: FitRows, small: FitRows) -> None:
    """Refuse a model on other rows, or whose columns and offset are no combinations of the larger one's.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> large, small = (de.Logit(f).fit(de.datasets.spector()) for f in ("GRADE ~ GPA + PSI", "GRADE ~ PSI"))
    >>> check_same_rows(large.data_rows(), small.data_rows())
    """
    zero = np.zeros(large.size)
    w_large, w_small = (zero if rows.weights is None else rows.weights for rows in (large, small))
    if not (np.array_equal(large.y, small.y) and np.array_equal(w_large, w_small)):
        raise OptionError(f"{NESTED}: its outcomes or weights are others.")
    o_large, o_small = (zero if rows.offset is None else rows.offset for rows in (large, small))
    columns = {**dict(zip(small.names, small.X.T, strict=True)), "the offset": o_small - o_large}
    X = large.X / np.abs(large.X).max(axis=0)
    solution = np.linalg.lstsq(X, np.column_stack(list(columns.values())), rcond=None)[0]
    for (name, column), c in zip(columns.items(), solution.T, strict=True):
        if np.abs(X @ c - column).max() > IN_SPAN * np.abs(column).max():
            raise OptionError(
                f"{NESTED}: {name} is no combination of the larger model's columns, so it is not nested."
            )
