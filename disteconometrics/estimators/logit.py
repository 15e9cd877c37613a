"""Binary logit, P(y = 1 | x) = 1/(1 + exp(−x'β)), by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from disteconometrics.errors import OptionError
from disteconometrics.estimators.binary import BinaryResults, fit_binary
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.likelihoods.binary import LOGISTIC

__all__ = ["Logit"]


@dataclass(frozen=True, init=False)
class Logit:
    """Binary logit of an outcome on a formula's terms, by maximum likelihood.

    Parameters
    ----------
    formula : str
        ``"y ~ x1 + C(g) + I(x1**2)"``; the outcome is 0/1, boolean, or has two levels (the second counts as success).
    weights : str or None
        Name of the weight column.
    weight_type : {"frequency", "sampling"} or None
        What the weights are; needed with ``weights``.  Frequency weights count identical rows; sampling weights are inverse
        probabilities of selection and give robust standard errors.
    offset : str or None
        Name of a column added to x'β with coefficient one (log-odds).
    separation : {"warn", "raise"}
        What to do when some outcomes are predicted perfectly, so that no finite maximum exists.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Cox (1958), The regression analysis of binary sequences, J. Royal Statistical Society B 20.
    Albert, Anderson (1984), On the existence of maximum likelihood estimates in logistic regression models,
    Biometrika 71, doi:10.1093/biomet/71.1.1.

    Examples
    --------
    >>> from disteconometrics import datasets
    >>> res = Logit("GRADE ~ GPA + TUCE + PSI").fit(datasets.spector())
    >>> res.params.round(4).to_dict()
    {'Intercept': -13.0213, 'GPA': 2.8261, 'TUCE': 0.0952, 'PSI': 2.3787}
    """

    formula: str
    weights: str | None
    weight_type: str | None
    offset: str | None
    separation: str

    def __init__(
        self,
        formula: str,
        data: None = None,
        *,
        weights: str | None = None,
        weight_type: str | None = None,
        offset: str | None = None,
        separation: str = "warn",
    ) -> None:
        if data is not None:
            raise OptionError("The formula is the model, the data come with fit: write de.Logit(formula).fit(data).")
        if separation not in ("warn", "raise"):
            raise OptionError(f"separation={separation!r} is not known; use 'warn' or 'raise'.")
        for name, value in (("weights", weights), ("offset", offset)):
            if value is not None and not isinstance(value, str):
                raise OptionError(
                    f"{name} is the name of a column, not {type(value).__name__}: add it to the data first, "
                    f"data.assign(w=...), and pass {name}='w'."
                )
        if (weights is None) != (weight_type is None) or weight_type not in (None, "frequency", "sampling"):
            raise OptionError(
                f"weights={weights!r} with weight_type={weight_type!r}: give both, weight_type 'frequency' (counts of "
                "identical rows) or 'sampling' (inverse selection probabilities)."
            )
        for key, value in zip(
            ("formula", "weights", "weight_type", "offset", "separation"),
            (formula, weights, weight_type, offset, separation),
            strict=True,
        ):
            object.__setattr__(self, key, value)

    def fit(
        self,
        data: Any,
        *,
        cov: CovarianceKind | None = None,
        use_t: bool = False,
        maxiter: int = 100,
        cov_type: str | None = None,
        cov_kwds: dict[str, Any] | None = None,
    ) -> BinaryResults:
        """Estimate the model on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length.
        cov : {"nonrobust", "opg", "HC0", "HC1", "HC2", "HC3"}, Cluster, HAC or None
            Covariance of the estimates; None is nonrobust, and HC1 under sampling weights.
        use_t : bool
            p-values and intervals from t with n − k (clusters: G − 1) degrees of freedom instead of the normal.
        maxiter : int
            Passes over the rows at most.
        cov_type, cov_kwds : statsmodels' spelling of ``cov``.

        Returns
        -------
        BinaryResults

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, SeparationError

        Warns
        -----
        SeparationWarning, ConvergenceWarning, ConditioningWarning, MissingValuesWarning, FewClustersWarning
        """
        if cov_type is not None or cov_kwds is not None:
            cov = _statsmodels_cov(cov, cov_type, cov_kwds)
        return fit_binary(self, LOGISTIC, data, cov=cov, use_t=use_t, maxiter=maxiter)


def _statsmodels_cov(cov: CovarianceKind | None, cov_type: str | None, cov_kwds: dict[str, Any] | None) -> CovarianceKind | None:
    """Translate ``cov_type=`` where that needs no columns, else show the line to write."""
    if cov is not None:
        raise OptionError("Give cov= or cov_type=, not both.")
    if cov_kwds or cov_type in ("cluster", "HAC", "hac-panel"):
        raise OptionError(
            "Clusters and time are columns of the data: write fit(data, cov=de.Cluster('firm')) or cov=de.HAC('quarter')."
        )
    return cov_type
