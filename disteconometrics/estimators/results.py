"""What every fitted result shares: rows and their return, facts, criteria, files, pictures by name.

A result is a final frozen class on `FittedResult`: it holds its specification (``model``), how new rows are
coded (``spec``), numbers of the fit that need no rows (``facts``) and the rows themselves (``rows``, None
after loading).  It adds its own ``estimates`` and answers, and obeys `tests/contracts/test_results.py`.
"""

from __future__ import annotations

import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import IO, Any, ClassVar, Self, TypeVar

import numpy as np
import pandas as pd

from disteconometrics.archive import write_archive
from disteconometrics.arrays import Array
from disteconometrics.checks import flag
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import DataError, FileFormatError, NeedsData
from disteconometrics.fields import (
    AnyFloat,
    Count,
    Numbers,
    Positive,
    check_numbers,
    read_dict,
    read_fields,
)
from disteconometrics.inference.covariance import Covariance, CovarianceKind, CovarianceWords
from disteconometrics.inference.estimates import Estimated, Estimates
from disteconometrics.pictures import Pictured
from disteconometrics.report import exchange
from disteconometrics.simulate.self_check import SelfChecking
from disteconometrics.tables import Summary, printable
from disteconometrics.words import TakesWords

__all__ = [
    "CoefficientAnswers",
    "CoefficientsHeader",
    "CovarianceHeader",
    "FilePart",
    "FitFacts",
    "FitHeader",
    "FittedResult",
    "LikelihoodCriteria",
    "SavedResult",
    "TakesCovariance",
    "TakesCovarianceAndT",
]

T = TypeVar("T")

SAME_LOGLIK = 1e-8  # share by which a log-likelihood may differ on the rows of the fit
SAME_SOLUTION = 1e-6  # the same of a number of the solution, with an absolute SMALL beside it
SMALL = 1e-8
# what the package asks of results, and no user: left out of tab completion
NOT_COMPLETED = frozenset(
    [
        "answering",
        "as_part",
        "data_rows",
        "degrees_of_t",
        "file_kind",
        "fingerprint",
        "fit_again",
        "from_file",
        "is_same_fit",
        "kinds",
        "labels",
        "lost_rows",
        "main",
        "named",
        "new_answering",
        "of_outcome",
        "pictures",
        "recording_asked",
        "rows",
        "saved",
        "solution",
        "to_file",
        "trials",
        "under",
        "usual",
        "whole_file",
        "with_rows",
    ]
)


@dataclass(frozen=True, kw_only=True)
class FitFacts:
    """Numbers of a fit that need no rows.

    Rows ``given`` and used, those dropped by column or term, observations.

    ``observations`` is the number of rows or the sum of frequency weights, ``loglik`` the log-likelihood
    summed over observations (NaN where there is none), ``fingerprint`` a digest of outcomes and weights.
    """

    rows: Count
    given: Count
    dropped: dict[str, Count]
    zero_weight: Count
    observations: Positive
    loglik: AnyFloat = float("nan")
    fingerprint: str = ""

    # In files of 0.1.0: names that were others, and those that have no use.
    renamed: ClassVar[dict[str, str]] = {"missing": "dropped", "used": "observations"}
    unused: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_dict(cls, header: Any) -> Self:
        """Rebuild from the header of a file, every field checked to be of the type that was written.

        Raises
        ------
        FileFormatError
            If a field is of another type, missing or unknown.
        """
        if isinstance(header, dict):
            header = {cls.renamed.get(n, n): v for n, v in header.items() if n not in cls.unused}
        found = read_fields(cls, header, "facts")
        if found.rows > found.given:
            raise FileFormatError(f"rows are {found.rows} of {found.given}")
        return found


@dataclass(frozen=True)
class FilePart:
    """A result that is a part of another one's file: its kind and its header."""

    kind: str
    content: dict[str, Any]


@dataclass(frozen=True, eq=False)
class SavedResult:
    """What a file holds of a result: its ``kind``, header and arrays, and the class of its specification.

    A result says what it expects: the header by a class with annotations (`fields`), the arrays by a table
    (`numbers`).  ``arrays`` are their names in the file by the names that the result knows, ``read`` gives
    one of a file; what nobody asks for is not read, and refused.  ``restore`` rebuilds a part of the same
    form, as a joint result has them.
    """

    kind: str
    header: dict[str, Any]
    arrays: dict[str, str]
    read: Callable[[str], Array]
    specification: Any
    restore: Callable[[str, dict[str, Any], dict[str, str], Callable[[str], Array]], Any]
    asked: set[str] = field(default_factory=set)

    def fields(self, form: type[T]) -> T:
        """The header as a class of its fields, each checked against its annotation.

        Raises
        ------
        FileFormatError
        """
        return read_fields(form, self.header)

    def model(self, options: dict[str, Any], **others: Any) -> Any:
        """The specification with the options that a file holds; it checks their values itself.

        Raises
        ------
        FileFormatError, OptionError
        """
        found = read_dict(self.specification, options, "estimator", others, bounded=False)
        return self.specification(**found, **others)

    def numbers(self, table: Mapping[str, Numbers], **sizes: int) -> dict[str, Array]:
        """The arrays of a table, checked; see `check_numbers`.

        Raises
        ------
        FileFormatError
        """
        self.asked.update(table)
        return check_numbers(table, lambda name: self.read(self.arrays[name]), list(self.arrays), **sizes)

    def part(self, written: FilePart, start: str, kinds: Collection[str], words: str) -> Any:
        """A result that is a part of this one, of one of these kinds, whose arrays' names begin so.

        Raises
        ------
        FileFormatError
            If it is of another kind, which ``words`` describe.
        """
        if written.kind not in kinds:
            raise FileFormatError(f"{written.kind:.40} {words}")
        own = {n.removeprefix(start): where for n, where in self.arrays.items() if n.startswith(start)}
        self.asked.update(start + name for name in own)
        return self.restore(written.kind, written.content, own, self.read)

    def check_all_asked(self) -> None:
        """Refuse arrays that the result does not have.

        Raises
        ------
        FileFormatError
        """
        unknown = sorted(set(self.arrays) - self.asked)
        if unknown:
            raise FileFormatError(f"it has arrays that are not known: {', '.join(unknown[:5]):.80}")


@dataclass(frozen=True, kw_only=True)
class FitHeader:
    """The header of a file: a family says which facts it has, and what it keeps beside them."""

    spec: DesignSpec
    facts: FitFacts
    estimator: dict[str, Any]

    def fields_of(self, saved: SavedResult, arrays: dict[str, Array]) -> dict[str, Any]:
        """The fields of the result that all families with this header read alike.

        Raises
        ------
        FileFormatError, OptionError
        """
        return {"model": saved.model(self.estimator), "spec": self.spec, "facts": self.facts}


@dataclass(frozen=True, kw_only=True)
class CovarianceHeader(FitHeader):
    """The same of estimates that have a covariance."""

    covariance: CovarianceWords

    def fields_of(self, saved: SavedResult, arrays: dict[str, Array]) -> dict[str, Any]:
        """The fields of `FitHeader` and the covariance."""
        own = Covariance.from_file(self.covariance, arrays)
        return {**super().fields_of(saved, arrays), "covariance": own}


@dataclass(frozen=True, kw_only=True)
class CoefficientsHeader(CovarianceHeader):
    """The same of coefficients that are judged by the normal law or by t."""

    use_t: bool

    def fields_of(self, saved: SavedResult, arrays: dict[str, Array]) -> dict[str, Any]:
        """The fields of `CovarianceHeader`, the coefficients and the choice of t."""
        own = {"coefficients": arrays["params"], "use_t": self.use_t}
        return {**super().fields_of(saved, arrays), **own}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FittedResult(Estimated, Pictured, SelfChecking):
    """A fitted model: specification, coding of new rows, facts, rows; it refers to the rows and copies none.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> isinstance(res, FittedResult), res.nobs, res.data_rows().names
    (True, 235.0, ('Intercept', 'income'))
    """

    model: Any
    spec: Any
    facts: Any
    rows: Any = field(default=None, repr=False)

    lost_rows: ClassVar[str] = (
        "This result was loaded from a file, which holds no rows: use attach(data) with the fit's table."
    )

    def __post_init__(self) -> None:
        """Let the model know the names that statsmodels' tables read off it."""
        object.__setattr__(self, "model", exchange.with_statsmodels_names(self.model, *self.labels()))

    def __dir__(self) -> list[str]:
        """Names that a user calls: what other parts of the package ask of a result is not completed."""
        return [name for name in super().__dir__() if name not in NOT_COMPLETED]

    def __repr__(self) -> str:
        formula = self.model.formula if self.spec is None else self.spec.formula
        maximum: Any = self if hasattr(type(self), "llf") else None
        llf = "" if maximum is None else f", llf = {maximum.llf:.3f}"
        return printable(f"<{type(self.model).__name__} results: {formula}, n = {self.nobs:g}{llf}>")

    @abstractmethod
    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome, and the names of the estimates, which are known before these are computed."""

    # ---- the fit -------------------------------------------------------------------------------------------

    @property
    def nobs(self) -> float:
        """Observations: rows used, or the sum of frequency weights."""
        observations: float = self.facts.observations
        return observations

    @property
    def converged(self) -> bool | None:
        """Whether the optimum was reached; True of a closed form, None where a training has not settled."""
        found = getattr(self.facts, "converged", True)
        return None if found is None else bool(found)

    # ---- rows ----------------------------------------------------------------------------------------------

    def data_rows(self, data: Any = None) -> Any:
        """The rows of the fit, or the same read from ``data``, the table of the fit of a loaded result.

        Parameters
        ----------
        data : the table of the fit, or None for the rows that the result holds.

        Raises
        ------
        NeedsData
            If the result was loaded from a file and no table is given.
        DataError
            If the estimates on the rows of ``data`` are others.
        """
        if data is not None:
            return self.attach(data).rows
        if self.rows is None:
            raise NeedsData(self.lost_rows)
        return self.rows

    def attach(self, data: Any) -> Self:
        """Return a loaded result together with the rows of its fit, checked to be the same.

        Parameters
        ----------
        data : the table of the fit.

        Returns
        -------
        The same result, with rows.

        Raises
        ------
        DataError
            If the estimates on these rows are others.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again = self.fit_again(data)
        if not self.is_same_fit(again):
            raise DataError("data= does not hold the rows of the fit: the estimates there are others.")
        return self.with_rows(again)

    def fit_again(self, data: Any) -> Any:
        """The result of the same specification on ``data``, by which `attach` knows the rows again."""
        return self.model.fit(data)

    def with_rows(self, again: Any) -> Self:
        """This result with the rows of an equal one."""
        return replace(self, rows=again.rows)

    def solution(self) -> Array:
        """Numbers (k,) by which a fit is known again: the coefficients, or what stands for them."""
        return self.estimates.values

    def fingerprint(self) -> str:
        """A digest of outcomes and weights, by which saved results on the same rows know one another."""
        return str(self.facts.fingerprint if self.rows is None else self.rows.fingerprint())

    def is_same_fit(self, again: Any) -> bool:
        """Whether another result has the same estimates on the same rows, to what files keep."""
        ours, theirs = self.solution(), again.solution()
        if ours.shape != theirs.shape or list(self.labels()[1]) != list(again.labels()[1]):
            return False
        a, b = self.facts.loglik, again.facts.loglik
        if abs(a - b) > SAME_LOGLIK * (1 + abs(a)):
            return False
        if not np.allclose(theirs, ours, rtol=SAME_SOLUTION, atol=SMALL, equal_nan=True):
            return False
        return self.fingerprint() in ("", again.fingerprint())

    # ---- files ---------------------------------------------------------------------------------------------

    @property
    def file_kind(self) -> str:
        """The kind that the file of this result is of, a row of the table in `loading`."""
        return type(self.model).__name__

    @abstractmethod
    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a file keeps beyond specification, coding and facts: JSON values, and arrays by name."""

    @classmethod
    @abstractmethod
    def from_file(cls, saved: SavedResult) -> Self:
        """Rebuild a result without rows from what a file holds.

        Raises
        ------
        FileFormatError, DisteconometricsError
        """

    def whole_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The whole header and the arrays of the file."""
        own, arrays = self.to_file()
        facts = asdict(replace(self.facts, fingerprint=self.fingerprint()))
        spec = {} if self.spec is None else {"spec": self.spec.to_dict()}
        return {**spec, "facts": facts, **own}, arrays

    def as_part(self, start: str) -> tuple[dict[str, Any], dict[str, Array]]:
        """The words of a `FilePart`, and the arrays with names that begin so."""
        content, arrays = self.whole_file()
        own = {f"{start}{name}": values for name, values in arrays.items()}
        return {"kind": self.file_kind, "content": content}, own

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the result without its rows to one ``.npz`` file; `disteconometrics.load` reads it.

        An existing file is replaced once the new one is whole: a full disk leaves it as it was.

        Parameters
        ----------
        path : file name or binary file.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        write_archive(path, self.file_kind, *self.whole_file())

    def glance(self) -> pd.DataFrame:
        """One row of broom: of r_squared, null_deviance, log_lik, aic, bic, … those that the result has."""
        return exchange.glance(self)

    # ---- tables -------------------------------------------------------------------------------

    @abstractmethod
    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper: print it, or take ``as_html()``, ``as_latex()``."""


class TakesCovariance(TakesWords):
    """What results share whose estimates may be judged by another covariance."""

    data_rows: Any  # of `FittedResult`, which a result inherits too

    @abstractmethod
    def under(self, rows: Any, cov: CovarianceKind, use_t: bool | None) -> dict[str, Any]:
        """The fields of the result that another covariance changes.

        Raises
        ------
        OptionError, MissingColumnError, DataError
        """

    def with_cov(self, cov: CovarianceKind, *, data: Any = None) -> Self:
        """Return the same estimates with another covariance; nothing is estimated again.

        Parameters
        ----------
        cov : as in ``fit``.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        The same kind of result.

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        """
        result: Any = self
        found: Self = replace(result, **self.under(self.data_rows(data), cov, None))
        return found


class TakesCovarianceAndT(TakesCovariance):
    """The same of results that are judged by the normal law or by t."""

    use_t: bool

    def with_cov(self, cov: CovarianceKind, *, use_t: bool | None = None, data: Any = None) -> Self:
        """Return the same estimates with another covariance; nothing is estimated again.

        Parameters
        ----------
        cov : as in ``fit``.
        use_t : bool or None
            None keeps the choice of the fit; t is taken for a survey's design always, and for clusters of
            recorded outcomes unless it is False.
        data : the table of the fit, for a result loaded from a file.

        Returns
        -------
        The same kind of result.

        Raises
        ------
        OptionError, MissingColumnError, DataError, NeedsData
        """
        rows, t = self.data_rows(data), None if use_t is None else flag(use_t, "use_t")
        result: Any = self
        fields = {"use_t": self.use_t if t is None else t, **self.under(rows, cov, t)}
        found: Self = replace(result, **fields)
        return found


class LikelihoodCriteria(TakesWords):
    """Criteria of results of maximum likelihood: they follow from ``facts`` and ``parameters``.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> round(res.aic - 2 * (2 - res.llf), 8)
    0.0
    """

    model: Any
    facts: Any

    @property
    def parameters(self) -> float:
        """Parameters that the criteria count."""
        raise NotImplementedError

    @property
    def has_likelihood(self) -> bool:
        """Whether the log-likelihood is one of observations.

        Under sampling weights it is a pseudo-likelihood.
        """
        return bool(self.model.weight_type != "sampling")

    @property
    def has_criteria(self) -> bool:
        """Whether criteria have a meaning: with a likelihood, maximised without a penalty."""
        return self.has_likelihood and getattr(self.facts, "penalty", None) is None

    @property
    def llf(self) -> float:
        """Log-likelihood at the estimate, summed over observations (pseudo under sampling weights)."""
        return float(self.facts.loglik)

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2k − 2·llf; NaN under sampling weights or a penalty."""
        return 2 * (self.parameters - self.llf) if self.has_criteria else float("nan")

    @property
    def bic(self) -> float:
        """Schwarz's criterion, k·log n − 2·llf; NaN under sampling weights or a penalty."""
        if not self.has_criteria:
            return float("nan")
        return float(self.parameters * np.log(self.facts.observations) - 2 * self.llf)

    @property
    def df_model(self) -> float:
        """Parameters beyond the constant."""
        return float(self.parameters - self.facts.nested_null)

    @property
    def df_resid(self) -> float:
        """Observations less parameters."""
        return float(self.facts.observations - self.parameters)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CoefficientAnswers(TakesCovarianceAndT, LikelihoodCriteria, exchange.OtherPackagesNames):
    """What results share that are one vector of coefficients with its covariance: estimates, files.

    Examples
    --------
    >>> import disteconometrics as de
    >>> res = de.NormalRegression("foodexp ~ income").fit(de.datasets.engel())
    >>> isinstance(res, CoefficientAnswers), res.coefficients.round(3).tolist()
    (True, [147.475, 0.485])
    """

    coefficients: Array
    covariance: Covariance
    use_t: bool

    def labels(self) -> tuple[str, Sequence[str]]:
        """The outcome and the terms."""
        return self.spec.outcome.name, self.spec.names

    def solution(self) -> Array:
        """The coefficients (k,) before those that are infinite are told."""
        return self.coefficients

    @property
    def degrees_of_t(self) -> float:
        """Degrees of freedom of t, infinite for the normal law; a survey's design takes t always."""
        by_t = self.use_t or self.covariance.surveyed
        return float(self.covariance.degrees_of_freedom) if by_t else np.inf

    @cached_property
    def estimates(self) -> Estimates:
        """Coefficients (k,) with standard errors, tests and intervals."""
        names, V = tuple(self.labels()[1]), self.covariance
        return Estimates(names, self.coefficients, V.matrix, self.degrees_of_t, clusters=V.clusters)

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Specification, coefficients and their covariance."""
        words, arrays = self.covariance.to_file()
        arrays["params"] = self.coefficients
        return {"estimator": self.model.options(), "use_t": self.use_t, "covariance": words}, arrays
