"""What changes in a binary result when Jeffreys' penalty made the estimates.

Intervals, tests, predictions, words.

Estimates come with Wald standard errors from the information at the estimate; z, p-values and intervals come
from the profile of the penalised likelihood, as in R's logistf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from scipy import special

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block
from disteconometrics.errors import ConvergenceWarning, NeedsData, OptionError, WithheldError, warn_user
from disteconometrics.inference.estimates import TestResult, chi2_test
from disteconometrics.likelihoods.index_model import index
from disteconometrics.optim.firth import FirthMaximum, against_constant, balance, profile, restricted
from disteconometrics.tables import first_of

__all__ = [
    "PenaltyFacts",
    "ProfileLimits",
    "check_options",
    "note",
    "penalised_facts",
    "penalised_test",
    "smaller",
]

LEVEL = 0.95  # of the intervals in ``estimates`` and in a saved file


class PenaltyFacts(TypedDict):
    """The fields of a fit that the penalty adds."""

    penalty: str
    penalised_loglik: float
    penalised_lr: float
    flic: float


def penalised_facts(fit: FirthMaximum, blocks: Sequence[Block], constant: bool) -> PenaltyFacts:
    """Penalised log-likelihood, its ratio against the constant alone, and what predictions add (FLIC).

    Without a constant among the columns there is no such ratio (NaN) and nothing to re-estimate (zero).
    """
    ratio, shift = float("nan"), 0.0
    if constant:
        value, reached = against_constant(fit)
        ratio = max(value, 0.0) if reached else ratio
        eta = np.concatenate([index(b, fit.maximum.params) for b in blocks])
        weighted = blocks[0].weights is not None
        counts = np.concatenate([b.weights for b in blocks if b.weights is not None]) if weighted else None
        shift = balance(eta, np.concatenate([b.y for b in blocks]), counts)
    return {"penalty": "firth", "penalised_loglik": fit.penalised, "penalised_lr": ratio, "flic": shift}


def check_options(cov: Any, use_t: bool) -> None:
    """Refuse covariances and reference laws that have no theory under the penalty.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> check_options("nonrobust", False)
    """
    if cov != "nonrobust":
        raise OptionError(
            f"cov={cov!r} with Firth's penalty: its inference rests on the penalised likelihood, so only "
            f"'nonrobust' is defined. "
            "For robust or clustered errors fit by maximum likelihood (penalty=None)."
        )
    if use_t:
        raise OptionError(
            "use_t with Firth's penalty: its p-values and intervals are likelihood ratios (χ²); leave "
            "use_t out."
        )


@dataclass(frozen=True, eq=False)
class ProfileLimits:
    """Limits of the penalised likelihood's profile at any level, and signed roots of its ratios.

    Each level is found once.

    ``names`` (k) are the terms; ``fit`` is None for a result without rows, which has ``saved`` (k, 3) only:
    limits at 95 % and roots.
    """

    names: tuple[str, ...]
    fit: FirthMaximum | None
    saved: Array | None
    known: dict[float, tuple[Array, Array]] = field(default_factory=dict)

    def limits(self, level: float) -> Array:
        """Limits (k, 2) at a level.

        Raises
        ------
        NeedsData
            If there are no rows and no saved limits at this level.

        Warns
        -----
        ConvergenceWarning
            If an end was not found (NaN in the table), or the penalised likelihood has several maxima.
        """
        return self._found(level)[0]

    def roots(self) -> Array:
        """Signed roots (k,) of likelihood ratios of zero coefficients; it raises and warns as `limits`."""
        return self._found(LEVEL)[1]

    def _found(self, level: float) -> tuple[Array, Array]:
        if level not in self.known:
            self.known[level] = self._profiled(level)
        return self.known[level]

    def _profiled(self, level: float) -> tuple[Array, Array]:
        if self.saved is not None and level == LEVEL:
            return self.saved[:, :2], self.saved[:, 2]
        if self.fit is None:
            raise NeedsData(
                f"Profile intervals at level {level:g} need the rows; the file holds those at {LEVEL:g}. "
                f"Fit again, then ask."
            )
        bounds, roots, higher = profile(self.fit, float(special.chdtri(1, 1 - level)))
        lost = [
            n
            for n, row in zip(self.names, np.column_stack([bounds, roots]), strict=True)
            if not np.all(np.isfinite(row))
        ]
        if lost:
            text = (
                f"{first_of(lost)}: the profile of the penalised likelihood could not be followed; "
                f"NaN marks what was not found."
            )
            warn_user(ConvergenceWarning(text, column=lost[0], hint="rescale or drop columns"))
        if higher.any():
            name = self.names[int(np.argmax(higher))]
            text = (
                f"The penalised likelihood has several maxima: along the profile of {name} it rises "
                f"above its value at "
                "the estimate. The estimate is the maximum reached from zero; the data say "
                "little about how large this coefficient is."
            )
            warn_user(ConvergenceWarning(text, column=name, hint="report the interval"))
        return bounds, roots


def penalised_test(fit: FirthMaximum, R: Array, r: Array, texts: Sequence[str]) -> TestResult:
    """Penalised likelihood-ratio test of R·β = r, both maxima with the penalty of all coefficients.

    Raises
    ------
    OptionError, WithheldError
        If the restrictions are dependent; if the restricted maximum was not reached.
    """
    scale = np.sqrt(np.sum(np.square(R @ fit.maximum.root), axis=1, keepdims=True))
    if np.any(scale == 0) or np.linalg.matrix_rank(R @ fit.maximum.root / scale, tol=1e-10) < len(R):
        raise OptionError("The hypotheses repeat or contradict each other; leave the dependent ones out.")
    statistic, reached = restricted(fit, R, r)
    if not reached:
        raise WithheldError(
            "The restricted maximum of the penalised likelihood was not reached; use test (Wald)."
        )
    if statistic < -1e-6:
        raise WithheldError(
            "The penalised likelihood is larger under the hypothesis than at the estimate: it has "
            "several maxima, so a ratio "
            "has no reference. Rescale or drop the separating column, or use test (Wald)."
        )
    return chi2_test("Penalised likelihood-ratio", texts, max(statistic, 0.0), len(R))


def smaller(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """The hypotheses that turn our terms into theirs: the terms they leave out are zero.

    Raises
    ------
    OptionError
        If their terms are not among ours.
    """
    if not set(theirs) <= set(ours):
        raise OptionError(
            "Under Firth's penalty the smaller model's terms must be among ours; or give hypotheses: "
            "lr_test('x = 0')."
        )
    return [f"{name} = 0" for name in ours if name not in theirs]


def note(flic: float, constant: bool, tested: bool) -> str:
    """What the foot of the table says about the penalty."""
    text = (
        "Firth: Jeffreys' penalty, half the log-determinant of the information. Standard errors are "
        "Wald; z is the signed root "
        "of the penalised likelihood ratio, p its p-value, intervals are profile-penalised. AIC and BIC "
        "are withheld."
    )
    if constant:
        text += f" Predictions add {flic:.4f} to x'β, so that they average to the outcome (FLIC)."
        if tested:
            text += " The LLR p-value is penalised too."
    else:
        text += " Predictions are not rebalanced (FLIC): the model holds no constant."
    return text
