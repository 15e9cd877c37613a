"""Likelihood-ratio and score tests of a binary outcome.

The restricted maximum, and when a model is nested in another.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, as_floats
from disteconometrics.blocks import Block, StreamedBlocks
from disteconometrics.errors import (
    FewClustersWarning,
    LikelihoodRatioWarning,
    NeedsData,
    OptionError,
    WithheldError,
    warn_user,
)
from disteconometrics.estimators.binary.fit import BinaryRows
from disteconometrics.estimators.binary.penalty import penalised_test, smaller
from disteconometrics.estimators.results import CoefficientAnswers
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.covariance import (
    HAC,
    Cluster,
    Covariance,
    CovarianceKind,
    clusters_telling,
    covariance,
)
from disteconometrics.inference.estimates import TestResult, chi2_test, f_test, quadratic_form
from disteconometrics.inference.influence import is_model_based
from disteconometrics.inference.survey import Survey
from disteconometrics.likelihoods.index_model import IndexModel, index
from disteconometrics.likelihoods.logistic import Kernel
from disteconometrics.optim.newton import maximise

__all__ = [
    "LikelihoodTests",
    "check_likelihood_ratio",
    "check_same_rows",
    "clustered_score_test",
    "has_dependent_rows",
    "restricted_maximum",
]

NESTED = "lr_test takes a smaller model of the same outcome on the same rows"
# A score test of q hypotheses rejects too rarely where clusters tell as much of these as fewer than 3 + 2q of
# one size, and too often by the matrix of two dimensions where one has fewer than 5q clusters
TELLING, TELLING_EACH, TWO_WAY_EACH = 3, 2, 5
IN_SPAN = 1e-8  # share of a column that may be left when it is written as a combination of others


@dataclass(frozen=True)
class RestrictedMaximum:
    """Coefficients (k,) under R·β = r that maximise the log-likelihood, and its value there."""

    coefficients: Array
    loglik: float


def _restricted_block(free: Array, fixed: Array, moved: bool, block: Block) -> Block:
    return block._replace(X=block.X @ free, offset=index(block, fixed) if moved else block.offset)


def restricted_maximum(
    kernel: Kernel, blocks: Sequence[Block], R: Array, r: Array, rows: int | None = None
) -> RestrictedMaximum:
    """The maximum under R·β = r, found in the free directions N: β = β₀ + N·γ.

    Parameters
    ----------
    kernel : law of the outcome given the index.
    blocks : rows.
    R, r : (q, k) and (q,) float64 arrays, restrictions that do not depend on each other.
    rows : int, their number where it is known.

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
        return RestrictedMaximum(fixed, IndexModel(kernel, blocks, rows).evaluate(fixed).loglik)
    make = partial(_restricted_block, free, fixed, bool(fixed.any()))
    blocks = blocks.mapped(make) if isinstance(blocks, StreamedBlocks) else [make(b) for b in blocks]
    m = maximise(IndexModel(kernel, blocks, rows))
    if m.separation is not None:
        raise WithheldError("The restricted model has no finite maximum (separation); use test (Wald).")
    return RestrictedMaximum(fixed + free @ m.params, m.loglik)


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
    F = statistic * (G - q) / (q * max(G - statistic, np.finfo(float).tiny))
    return f_test(kind, texts, F, q, G - q)


def _warn_of_score_test(q: int, telling: float, clusters: int, two_way: bool) -> None:
    """Say which way a score test under clusters errs, where it does."""
    named = "The score test" if q == 1 else f"The score test of {q} hypotheses"
    if two_way and q > 1 and clusters < TWO_WAY_EACH * q:
        hint = "test fewer hypotheses at once"
        text = f"{named} rejects too often with {clusters} clusters in one of two dimensions; {hint}."
    elif telling < TELLING + TELLING_EACH * q:
        hint = "take a large p-value for no evidence"
        text = (
            f"{named} rejects too rarely here: {clusters} clusters tell as much of what is tested as "
            f"{telling:.1f} of one size. A small p-value holds; {hint}."
        )
    else:
        return
    warn_user(FewClustersWarning(text, hint=hint))


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


def has_dependent_rows(covariance: Covariance) -> bool:
    """Whether rows may depend on each other; a file keeps the label alone of such covariances.

    Examples
    --------
    >>> import disteconometrics as de
    >>> has_dependent_rows(de.Logit("GRADE ~ GPA").fit(de.datasets.spector(), cov="HC1").covariance)
    False
    """
    return covariance.kind is None or isinstance(covariance.kind, (Cluster, HAC, Survey))


def check_likelihood_ratio(covariance: Covariance, has_likelihood: bool, instead: str) -> None:
    """Withhold what is χ² of independent rows alone; warn where it rests on the law.

    Raises
    ------
    WithheldError
        Under clusters, lags and sampling weights.

    Warns
    -----
    LikelihoodRatioWarning

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.Logit("GRADE ~ GPA").fit(de.datasets.spector())
    >>> check_likelihood_ratio(res.covariance, True, "test (Wald)")
    """
    if not has_likelihood:
        raise WithheldError(f"Likelihood-ratio tests have no meaning under sampling weights; use {instead}.")
    if has_dependent_rows(covariance):
        raise WithheldError(
            f"Rows are dependent ({covariance.label}): the likelihood ratio is not χ² then. Use {instead}."
        )
    if covariance.robust:
        hint = f"use {instead}, which takes the covariance of the result"
        text = f"The likelihood ratio does not take {covariance.label}: it rests on the law; {hint}."
        warn_user(LikelihoodRatioWarning(text, hint=hint))


class LikelihoodTests(CoefficientAnswers):
    """Likelihood-ratio and score tests of a binary result, and the Wald test of all its regressors."""

    rows: BinaryRows | None  # of `FittedResult`, which a result inherits after this
    data_rows: Any
    fingerprint: Callable[[], str]
    infinite: Any

    @property
    @abstractmethod
    def kernel(self) -> Kernel:
        """The law of the outcome given the index."""

    @property
    def wald_pvalue(self) -> float:
        """p-value of the Wald test that all coefficients but the constant are zero, with the covariance.

        NaN without a constant or regressors, with as many of these as clusters, and under separation.  Of too
        few clusters the foot of the summary tells.
        """
        beyond = [j for j, name in enumerate(self.spec.names) if name != "Intercept"]
        if not self.spec.has_intercept or not beyond:
            return float("nan")
        try:
            return self.estimates.wald(np.eye(len(self.spec.names))[beyond], quiet=True).p_value
        except WithheldError:
            return float("nan")

    def _penalised_test(self, hypotheses: Any) -> TestResult:
        """Penalised likelihood-ratio test of hypotheses, or against a smaller penalised result."""
        if isinstance(hypotheses, LikelihoodTests):
            if hypotheses.facts.penalty is None or hypotheses.model.offset != self.model.offset:
                raise OptionError(
                    "lr_test under Firth's penalty takes hypotheses, or a penalised result with the same "
                    "offset."
                )
            self._check_nested(hypotheses)
            hypotheses = smaller(self.spec.names, hypotheses.spec.names)
        fit = self.data_rows().penalised
        assert fit is not None
        return penalised_test(fit, *self.estimates.restrictions(hypotheses))

    def _restricted(self, hypotheses: Any) -> tuple[RestrictedMaximum, Array, list[str]]:
        """The maximum under hypotheses, their matrix (q, k), and these in words."""
        rows = self.data_rows()
        if self.facts.penalty is not None:
            raise WithheldError(
                "No score test under Firth's penalty; use lr_test (penalised) or test (Wald)."
            )
        self._check_finite()
        R, r, texts = self.estimates.restrictions(hypotheses)
        return restricted_maximum(self.kernel, rows.blocks(), R, r, rows.size), R, texts

    def _check_finite(self) -> None:
        if self.infinite is not None:
            raise WithheldError(
                "Likelihood-ratio and score tests need a finite maximum; this fit is separated."
            )

    def _check_nested(self, small: LikelihoodTests) -> None:
        """Refuse a result on other rows, or whose columns and offset are no combinations of ours."""
        kept = [m.rows is not None and not m.rows.streamed for m in (self, small)]
        if self.rows is not None and small.rows is not None and all(kept):
            check_same_rows(self.rows, small.rows)
            return
        ours, theirs = ((m.model.weights, m.model.offset, m.fingerprint()) for m in (self, small))
        if ours != theirs or not set(small.spec.names) <= set(self.spec.names):
            raise OptionError(f"{NESTED}: its terms, outcomes, weights and offset must be ours.")

    def _lr_against(self, small: LikelihoodTests) -> TestResult:
        """Likelihood-ratio test against a smaller result, neither of them penalised."""
        if small.facts.penalty is not None:
            raise OptionError(
                "lr_test compares fits of one kind: this one is not penalised, the smaller one is."
            )
        q = len(self.spec.names) - len(small.spec.names)
        ours, theirs = ((m.facts.observations, m.spec.outcome.name) for m in (self, small))
        if q <= 0 or ours != theirs:
            raise OptionError(f"{NESTED}; call it on the larger one.")
        self._check_finite()
        if small.llf > self.llf + 1e-6:
            raise OptionError(
                "The smaller model has the larger log-likelihood, so it is not nested in this one."
            )
        self._check_nested(small)
        return chi2_test("Likelihood-ratio", [small.spec.formula], 2 * (self.llf - small.llf), q)

    def lr_test(self, restricted: Any) -> TestResult:
        """Likelihood-ratio test of hypotheses (the restricted model is fitted), or against a nested result.

        Parameters
        ----------
        restricted : hypotheses as in `test`, or a result of a nested model on the same rows.

        Returns
        -------
        TestResult
            χ² with as many degrees of freedom as restrictions.

        Raises
        ------
        OptionError, WithheldError, NeedsData
            WithheldError also for clusters, lags and sampling weights, under which it is not χ².

        Warns
        -----
        LikelihoodRatioWarning
            If the covariance is robust: the likelihood ratio is not.
        """
        if self.facts.penalty is not None:
            return self._penalised_test(restricted)
        check_likelihood_ratio(self.covariance, self.has_likelihood, "test (Wald) or score_test")
        if isinstance(restricted, LikelihoodTests):
            return self._lr_against(restricted)
        found, _, texts = self._restricted(restricted)
        return chi2_test("Likelihood-ratio", texts, 2 * (self.llf - found.loglik), len(texts))

    def score_test(self, hypotheses: Any) -> TestResult:
        """Score (Lagrange-multiplier) test of hypotheses, at the restricted maximum.

        Under robust and clustered covariances it is the generalised one, U'H⁻¹R'(R V R')⁻¹RH⁻¹U with score U,
        information H and covariance V at the restricted maximum (Boos 1992).

        References
        ----------
        Boos (1992), On generalized score tests, American Statistician 46,
        doi:10.1080/00031305.1992.10475921.

        Parameters
        ----------
        hypotheses : as in `test`.

        Returns
        -------
        TestResult
            χ² with as many degrees of freedom as restrictions, F with those of the clusters.

        Raises
        ------
        OptionError, WithheldError, NeedsData

        Warns
        -----
        FewClustersWarning
            If few clusters tell of what is tested: it rejects too rarely then, of two dimensions too often.
        """
        found, R, texts = self._restricted(hypotheses)
        rows, kind = self.data_rows(), self._kind
        equation, step = rows.equation_at(self.kernel, found.coefficients)
        if is_model_based(kind):
            kind, words = "nonrobust", "Score"
        else:
            kind = Cluster(*kind.columns, correction="none") if isinstance(kind, Cluster) else kind
            words = f"Score ({self.covariance.label})"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewClustersWarning)  # which is of Wald tests
            V = covariance(equation, kind, rows.sampling)
        statistic = quadratic_form("score", R @ step, R @ V.matrix @ R.T)
        if V.clusters is None:
            return chi2_test(words, texts, statistic, len(texts))
        if isinstance(kind, Cluster):
            telling = clusters_telling(equation, kind, rows.sampling, R)
            _warn_of_score_test(len(texts), telling, V.clusters, len(kind.columns) == 2)
        return clustered_score_test(words, texts, statistic, V.clusters)

    @property
    def _kind(self) -> CovarianceKind:
        """The covariance that was asked for; of a file the one that its label tells."""
        if self.covariance.kind is None:
            raise NeedsData("This result was loaded: with_cov() says which covariance tests are to have.")
        return self.covariance.kind
