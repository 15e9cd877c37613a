"""Binary logit, P(y = 1 | x) = 1/(1 + exp(−x'β)), by maximum likelihood or with Firth's penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from disteconometrics.errors import OptionError
from disteconometrics.estimators.binary.estimator import BinaryEstimator
from disteconometrics.likelihoods.logistic import LOGISTIC, Kernel

__all__ = ["Logit"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Logit(BinaryEstimator):
    """Binary logit of an outcome on a formula's terms, by maximum likelihood or with Firth's penalty.

    Parameters
    ----------
    formula : str
        ``"y ~ x1 + C(g) + I(x1**2)"``; the outcome is 0/1, boolean, or has two levels (the second counts as
        success).  ``"y ~ x | id"`` absorbs an effect of every id, ``"y ~ x | id + year"`` of years too;
        groups in which y does not vary tell nothing and are left out and counted.
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.  Frequency weights count identical rows; sampling
        weights are inverse probabilities of selection and give robust standard errors.
    offset : str or None
        Name of a column added to x'β with coefficient one (log-odds).
    separation : {"warn", "raise", "firth"}
        What to do when some outcomes are predicted perfectly, so that no finite maximum exists; "firth"
        warns, and estimates with Firth's penalty instead.  Beside absorbed effects it is always refused.
    bias : {"none", "analytical", "jackknife", "split"}
        Of a formula that absorbs effects: what is done about the bias of order 1/T that slopes have beside
        effects estimated from T rows each.  "analytical" takes its estimate off (Hahn and Newey;
        Fernandez-Val), "jackknife" leaves out one period at a time (a balanced panel, no lagged outcome),
        "split" takes halves of the periods (T of 8 and more; errors are those of the halves).
    bandwidth : int
        Lags of past outcomes that move regressors, for "analytical": 0 where they are strictly exogenous, 1
        or 2 with a lagged outcome.  It needs ``time``.
    time : str or None
        Name of the column that orders the rows of a group, for a bandwidth, "jackknife" and "split".
    penalty : {None, "firth"}
        "firth" adds half the log-determinant of the information (Jeffreys' penalty): estimates are finite
        under separation and their bias is of order 1/n².  Intervals, z and p-values are those of the profile
        of the penalised likelihood; predictions have their intercept re-estimated, so that they average to
        the outcome (FLIC), while ``params`` keeps Firth's.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Cox (1958), The regression analysis of binary sequences, J. Royal Statistical Society B 20.
    Albert, Anderson (1984), On the existence of maximum likelihood estimates in logistic regression models,
    Biometrika 71, doi:10.1093/biomet/71.1.1.
    Firth (1993), Bias reduction of maximum likelihood estimates, Biometrika 80, doi:10.1093/biomet/80.1.27.
    Heinze, Schemper (2002), A solution to the problem of separation in logistic regression, Statistics in
    Medicine 21, doi:10.1002/sim.1047.
    Hahn, Newey (2004), Jackknife and analytical bias reduction for nonlinear panel models, Econometrica 72,
    doi:10.1111/j.1468-0262.2004.00533.x.
    Fernandez-Val (2009), Fixed effects estimation of structural parameters and marginal effects in panel
    probit models, Journal of Econometrics 150, doi:10.1016/j.jeconom.2009.02.007.
    Dhaene, Jochmans (2015), Split-panel jackknife estimation of fixed-effect models, Review of Economic
    Studies 82, doi:10.1093/restud/rdv007.
    Puhr, Heinze, Nold, Lusa, Geroldinger (2017), Firth's logistic regression with rare events, Statistics in
    Medicine 36, doi:10.1002/sim.7273.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = Logit("GRADE ~ GPA + TUCE + PSI").fit(datasets.spector())
    >>> res.params.round(4).to_dict()
    {'Intercept': -13.0213, 'GPA': 2.8261, 'TUCE': 0.0952, 'PSI': 2.3787}
    >>> firth = Logit("GRADE ~ GPA + TUCE + PSI", penalty="firth").fit(datasets.spector())
    >>> firth.conf_int().round(3).loc["PSI"].tolist()
    [0.314, 4.108]
    """

    penalty: str | None = None

    @property
    def likelihood_penalty(self) -> str | None:
        """Firth's penalty, or None for maximum likelihood."""
        return self.penalty

    @property
    def separation_choices(self) -> tuple[str, ...]:
        """What may be done about outcomes that are predicted perfectly."""
        return ("warn", "raise", "firth")

    def checked(self) -> dict[str, Any]:
        """Check the penalty beside what estimators of a binary outcome share.

        Raises
        ------
        OptionError
        """
        if self.penalty not in (None, "firth"):
            raise OptionError(
                f"penalty={self.penalty!r} is not known; use 'firth', or None for maximum likelihood."
            )
        if self.weight_type == "sampling" and "firth" in (self.penalty, self.separation):
            raise OptionError(
                "Firth's penalty needs a likelihood, which rows with sampling weights do not have; use "
                "maximum likelihood (penalty=None, separation='warn')."
            )
        return super().checked()

    @property
    def kernel(self) -> Kernel:
        """The logistic law."""
        return LOGISTIC
