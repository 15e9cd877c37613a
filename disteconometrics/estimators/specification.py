"""What the specifications of binary-outcome estimators share: their arguments, checked once, and statsmodels' spellings."""

from __future__ import annotations

from typing import Any

from disteconometrics.errors import OptionError
from disteconometrics.inference.covariance import CovarianceKind

__all__ = ["specify", "statsmodels_cov"]


def specify(
    model: Any,
    data: None,
    *,
    formula: str,
    weights: str | None,
    weight_type: str | None,
    offset: str | None,
    separation: str | None = None,
    **more: Any,
) -> None:
    """Check the arguments of a specification and set them as fields of the frozen value; ``more`` are set as they are.

    Raises
    ------
    OptionError
        If data, an array in place of a column name, or an unknown value is given.

    Examples
    --------
    >>> import disteconometrics as de
    >>> de.Probit("y ~ x", weights="w")
    Traceback (most recent call last):
    ...
    disteconometrics.errors.OptionError: weights='w' with weight_type=None: give both, weight_type 'frequency' (counts of \
identical rows) or 'sampling' (inverse selection probabilities).
    """
    if data is not None:
        name = type(model).__name__
        raise OptionError(
            f"The formula is the model, the data come with fit: write de.{name}(formula).fit(data)."
        )
    known = ("warn", "raise", "firth") if "penalty" in more else ("warn", "raise")
    if separation is not None:
        more["separation"] = separation
    if separation not in (None, *known):
        raise OptionError(f"separation={separation!r} is not known; use {' or '.join(map(repr, known))}.")
    if more.get("penalty") not in (None, "firth"):
        raise OptionError(
            f"penalty={more['penalty']!r} is not known; use 'firth', or None for maximum likelihood."
        )
    if weight_type == "sampling" and "firth" in (more.get("penalty"), separation):
        raise OptionError(
            "Firth's penalty needs a likelihood, which rows with sampling weights do not have; use "
            "maximum likelihood "
            "(penalty=None, separation='warn')."
        )
    for name, value in (("weights", weights), ("offset", offset)):
        if value is not None and not isinstance(value, str):
            raise OptionError(
                f"{name} is the name of a column, not {type(value).__name__}: add it to the data first, "
                f"data.assign(w=...), and pass {name}='w'."
            )
    if (weights is None) != (weight_type is None) or weight_type not in (None, "frequency", "sampling"):
        raise OptionError(
            f"weights={weights!r} with weight_type={weight_type!r}: give both, weight_type 'frequency' "
            f"(counts of "
            "identical rows) or 'sampling' (inverse selection probabilities)."
        )
    fields = {"formula": formula, "weights": weights, "weight_type": weight_type, "offset": offset}
    for key, field in {**fields, **more}.items():
        object.__setattr__(model, key, field)


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
