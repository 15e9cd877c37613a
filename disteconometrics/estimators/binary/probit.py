"""Binary probit, P(y = 1 | x) = Φ(x'β), by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass

from disteconometrics.estimators.binary.estimator import BinaryEstimator
from disteconometrics.likelihoods.gaussian import PROBIT
from disteconometrics.likelihoods.logistic import Kernel

__all__ = ["Probit"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Probit(BinaryEstimator):
    """Binary probit of an outcome on a formula's terms, by maximum likelihood.

    Standard errors come from the observed information, as in statsmodels and Stata (R's glm takes the
    expected one).

    Parameters
    ----------
    formula, weights, weight_type, separation : as in `Logit`.
    offset : str or None
        Name of a column added to x'β with coefficient one (in standard deviations of the latent normal
        error).
    bias, bandwidth, time : as in `Logit`, of absorbed effects.

    Raises
    ------
    OptionError
        If an argument is not one of those.

    References
    ----------
    Bliss (1934), The method of probits, Science 79, doi:10.1126/science.79.2037.38.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = Probit("GRADE ~ GPA + TUCE + PSI").fit(datasets.spector())
    >>> res.params.round(4).to_dict()
    {'Intercept': -7.4523, 'GPA': 1.6258, 'TUCE': 0.0517, 'PSI': 1.4263}
    """

    @property
    def kernel(self) -> Kernel:
        """The normal law."""
        return PROBIT
