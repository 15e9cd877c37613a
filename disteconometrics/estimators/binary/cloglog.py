"""Binary complementary log-log regression, P(y = 1 | x) = 1 − exp(−exp(x'β)), by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass

from disteconometrics.estimators.binary.estimator import BinaryEstimator
from disteconometrics.likelihoods.gumbel import CLOGLOG
from disteconometrics.likelihoods.logistic import Kernel

__all__ = ["CLogLog"]


@dataclass(frozen=True, kw_only=True, repr=False)
class CLogLog(BinaryEstimator):
    """Complementary log-log regression of a binary outcome on a formula's terms, by maximum likelihood.

    The law is not symmetric: which outcome counts as 1 matters.  If y says whether a spell with proportional
    hazards ends within an interval, exp(β) is a ratio of hazards.  Standard errors come from the observed
    information, as in Stata (R's glm and, by default, statsmodels' GLM take the expected one).

    Parameters
    ----------
    formula, weights, weight_type, separation : as in `Logit`.
    offset : str or None
        Name of a column added to x'β with coefficient one (log cumulative hazard: the log of an exposure).

    Raises
    ------
    OptionError
        If an argument is not one of those.

    References
    ----------
    Fisher (1922), On the mathematical foundations of theoretical statistics, Philosophical Transactions of
    the Royal Society A 222, doi:10.1098/rsta.1922.0009 (dilution series).
    Prentice, Gloeckler (1978), Regression analysis of grouped survival data with application to breast cancer
    data, Biometrics 34, doi:10.2307/2529588.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = CLogLog("GRADE ~ GPA + TUCE + PSI").fit(datasets.spector())
    >>> res.params.round(4).to_dict()
    {'Intercept': -10.0314, 'GPA': 2.2936, 'TUCE': 0.0412, 'PSI': 1.5623}
    """

    @property
    def kernel(self) -> Kernel:
        """The complementary log-log law."""
        return CLOGLOG
