"""What all specifications share: a frozen value of a formula and choices, checked once when it is made."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import KW_ONLY, InitVar, asdict, dataclass
from typing import Any, ClassVar

from disteconometrics.data.settle import refuse_recorders
from disteconometrics.errors import OptionError
from disteconometrics.inference.covariance import CovarianceKind
from disteconometrics.tables import printable
from disteconometrics.words import TakesWords

__all__ = ["Specification", "check_columns", "set_checked", "statsmodels_cov"]


def set_checked(model: Any, checked: Mapping[str, Any]) -> None:
    """Put fields of a frozen specification into the form in which they are kept; for use while it is made.

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.FlowDensity("y ~ 1", support="positive").support  # by `FlowDensity.checked`
    (0.0, inf)
    """
    for name, value in checked.items():
        object.__setattr__(model, name, value)


def check_columns(*, weights: Any = None, weight_type: Any = None, offset: Any = None, **others: Any) -> None:
    """Refuse arrays in place of column names, and weights without a type or a type without weights.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.Probit("y ~ x", weights="w")
    Traceback (most recent call last):
    ...
    disteconometrics.errors.OptionError: weights='w' with weight_type=None: give both, weight_type \
'frequency' (counts of identical rows) or 'sampling' (inverse selection probabilities).
    """
    for name, value in {"weights": weights, "offset": offset, **others}.items():
        if value is not None and not isinstance(value, str):
            raise OptionError(
                f"{name} is the name of a column, not {type(value).__name__}: add it to the data first, "
                f"data.assign(w=...), and pass {name}='w'."
            )
    if (weights is None) != (weight_type is None) or weight_type not in (None, "frequency", "sampling"):
        raise OptionError(
            f"weights={weights!r} with weight_type={weight_type!r}: give both, weight_type 'frequency' "
            "(counts of identical rows) or 'sampling' (inverse selection probabilities)."
        )


@dataclass(frozen=True)
class Specification(TakesWords, ABC):
    """A formula and the choices of an estimator, which its ``fit`` takes to data.

    An estimator adds fields by keyword.

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.Logit("y ~ x") == de.Logit("y ~ x"), isinstance(de.Logit("y ~ x"), Specification)
    (True, True)
    """

    takes_records: ClassVar[bool] = False  # whether the left side may say how the outcome was recorded

    formula: str
    data: InitVar[None] = None
    _: KW_ONLY

    def __post_init__(self, data: None) -> None:
        """Refuse data, and set the fields in their checked form.

        Raises
        ------
        OptionError, OutcomeError
        """
        if data is not None:
            name = type(self).__name__
            if isinstance(data, (str, list, tuple)):
                raise OptionError(
                    f"{name} takes all but its formula by name: write {name}(formula, option={data!r:.50})."
                )
            raise OptionError(
                f"The formula is the model, the data come with fit: write de.{name}(formula).fit(data)."
            )
        if not self.takes_records:
            refuse_recorders(self.formula, type(self).__name__)
        set_checked(self, self.checked())

    def __str__(self) -> str:
        return printable(repr(self))

    def options(self) -> dict[str, Any]:
        """The fields by name, as files keep them."""
        return asdict(self)

    def checked(self) -> dict[str, Any]:
        """Check the fields; those that are kept in another form than they were given, by name.

        Raises
        ------
        OptionError
        """
        return {}


def statsmodels_cov(
    cov: CovarianceKind | None, cov_type: str | None, cov_kwds: dict[str, Any] | None
) -> CovarianceKind | None:
    """Translate ``cov_type=`` where that needs no columns, else show the line to write.

    Raises
    ------
    OptionError
        If both spellings are given, or one that needs columns.

    Examples
    --------
    >>> statsmodels_cov(None, "HC1", None)
    'HC1'
    """
    if cov_type is None and cov_kwds is None:
        return cov
    if cov is not None:
        raise OptionError("Give cov= or cov_type=, not both.")
    if cov_kwds or cov_type in ("cluster", "HAC", "hac-panel"):
        raise OptionError(
            "Clusters and time are columns of the data: write fit(data, cov=de.Cluster('firm')) or "
            "cov=de.HAC('quarter')."
        )
    return cov_type
