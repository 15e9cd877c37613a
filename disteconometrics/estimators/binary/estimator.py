"""What estimators of a binary outcome do: an estimator adds its arguments and its law."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields
from os import PathLike
from typing import Any

from disteconometrics.errors import OptionError
from disteconometrics.estimators.absorbed.panel import absorbs, check_absorbed
from disteconometrics.estimators.absorbed.results import fit_absorbed
from disteconometrics.estimators.binary.batch import (
    BinaryReplications,
    BinaryResampling,
    replications,
    resampling,
)
from disteconometrics.estimators.binary.results import fit_binary
from disteconometrics.estimators.specification import Specification, check_columns, statsmodels_cov
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.likelihoods.logistic import Kernel

__all__ = ["BinaryEstimator"]

ABSORBED = (
    "bias",
    "bandwidth",
    "time",
)  # fields that files and stores of studies from before them do not name


@dataclass(frozen=True, kw_only=True, repr=False)
class BinaryEstimator(Specification):
    """A specification of a binary outcome, which `fit` estimates on a table; `Logit` and `Probit` are such.

    Examples
    --------
    >>> import disteconometrics as de
    >>> isinstance(de.Logit("y ~ x"), BinaryEstimator)
    True
    """

    weights: str | None = None
    weight_type: str | None = None
    offset: str | None = None
    separation: str = "warn"
    bias: str = "none"
    bandwidth: int = 0
    time: str | None = None

    def options(self) -> dict[str, Any]:
        """The fields by name, but for those about absorbed effects where these are none."""
        found = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        return {n: v for n, (v, default) in found.items() if n not in ABSORBED or v != default}

    def _told(self) -> str:
        """The fields as a dataclass shows them."""
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in self.options().items())})"

    __repr__ = _told  # by which stores know a study; what is printed goes through `Specification.__str__`

    @property
    @abstractmethod
    def kernel(self) -> Kernel:
        """The law of the outcome given the index."""

    @property
    def likelihood_penalty(self) -> str | None:
        """Penalty of the likelihood by name; None for maximum likelihood."""
        return None

    @property
    def separation_choices(self) -> tuple[str, ...]:
        """What may be done about outcomes that are predicted perfectly."""
        return ("warn", "raise")

    def checked(self) -> dict[str, Any]:
        """Check what estimators of a binary outcome share.

        Raises
        ------
        OptionError
        """
        if self.separation not in self.separation_choices:
            known = " or ".join(map(repr, self.separation_choices))
            raise OptionError(f"separation={self.separation!r} is not known; use {known}.")
        check_columns(weights=self.weights, weight_type=self.weight_type, offset=self.offset)
        check_absorbed(self)
        return {}

    def fit(
        self,
        data: Any,
        *,
        cov: CovarianceKind | None = None,
        use_t: bool = False,
        maxiter: int = 100,
        n_jobs: int | None = None,
        cache: str | PathLike[str] | None = "auto",
        cov_type: str | None = None,
        cov_kwds: dict[str, Any] | None = None,
    ) -> Any:
        """Estimate the model on a table.

        Parameters
        ----------
        data : pandas or polars DataFrame, or dict of arrays of one length
            Or a source, which is read in parts several times and never held: path, pattern, list or folder of
            Parquet files, pyarrow dataset, polars LazyFrame, dask DataFrame, `Parts`.
        cov : {"nonrobust", "opg", "HC0", "HC1", "HC2", "HC3"}, Cluster, HAC, Survey or None
            Covariance of the estimates; None is nonrobust, and HC1 under sampling weights.  Firth's penalty:
            nonrobust only.
        use_t : bool
            p-values and intervals from t with n − k (clusters: G − 1) degrees of freedom instead of the
            normal; under a survey always t.
        maxiter : int
            Passes over the rows at most.
        n_jobs : int or None
            joblib workers that read the parts of a source; numbers are the same whatever their number and
            backend.  A dask frame is worked on by the workers of its client, if there is one.
        cache : {"auto", "memory", "disk"}, pathlib.Path or None
            Whether coded rows of a source stay where they are worked on, in place of a reading for every
            pass: this process, workers of dask, or each joblib worker that had to code them.  "auto": during
            the fit, up to 200 MB in this process or in each worker of dask, never on a disk; "memory": as
            long as the result lives; "disk": during the fit, in a temporary folder of this machine (a path:
            inside that one), for sources that are slow to read, as text or a database; None: never.
            Numbers are the same.
        cov_type, cov_kwds : statsmodels' spelling of ``cov``.

        Returns
        -------
        BinaryResults, or AbsorbedResults where the formula absorbs effects.

        Raises
        ------
        DataError, FormulaError, OptionError, OutcomeError, CollinearityError, SeparationError,
        NeedsRows, WorkerError

        Warns
        -----
        SeparationWarning, ConvergenceWarning, ConditioningWarning, MissingValuesWarning, FewClustersWarning,
        IncidentalParametersWarning
        """
        cov = statsmodels_cov(cov, cov_type, cov_kwds)
        if absorbs(self.formula):
            return fit_absorbed(self, data, cov=cov, use_t=use_t, kernel=self.kernel, maxiter=maxiter)
        return fit_binary(self, data, cov=cov, use_t=use_t, maxiter=maxiter, n_jobs=n_jobs, cache=cache)

    def resampling(self, result: Any) -> BinaryResampling | None:
        """What `bootstrap` uses to fit many resamples of a result's rows at once.

        None where effects are absorbed.
        """
        if absorbs(self.formula):
            return None
        return resampling(self, result.data_rows())

    def replications(self, **options: Any) -> BinaryReplications | None:
        """What `MonteCarlo` uses to fit many tables at once, with arguments of `fit`.

        None where it fits them one by one.
        """
        return None if absorbs(self.formula) else replications(self, **options)
