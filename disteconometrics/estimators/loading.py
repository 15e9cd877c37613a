"""Read saved results: a list of known classes, and nothing in the file is run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from disteconometrics.errors import DisteconometricsError, FileFormatError
from disteconometrics.estimators.binary.fit import FitFacts
from disteconometrics.estimators.binary.logit import Logit
from disteconometrics.estimators.binary.probit import Probit
from disteconometrics.estimators.binary.results import BinaryResults, restore
from disteconometrics.estimators.flow.flow_density import FlowResults, restore_flow
from disteconometrics.estimators.normal import NormalResults, restore_normal
from disteconometrics.estimators.transport.minimum_wasserstein import (
    MinimumWassersteinResults,
    restore_minimum_wasserstein,
)
from disteconometrics.estimators.transport.transport_density import (
    TransportDensityResults,
    restore_transport_density,
)
from disteconometrics.estimators.transport.transport_map import TransportMapResults, restore_transport_map
from disteconometrics.estimators.transport.wasserstein_distance import WassersteinResults, restore_wasserstein
from disteconometrics.likelihoods.binary import LOGISTIC
from disteconometrics.likelihoods.probit import PROBIT
from disteconometrics.report.archive import read_archive

__all__ = ["load"]


def _restore_trained(header: Any, arrays: Any) -> Any:
    from disteconometrics.estimators.flow.trained import (
        restore_trained,
    )  # loads torch, which no other result needs

    return restore_trained(header, arrays)


AnyResults: TypeAlias = (
    FlowResults
    | MinimumWassersteinResults
    | NormalResults
    | TransportDensityResults
    | TransportMapResults
    | WassersteinResults
)

_WHOLE: dict[str, Callable[[Any, Any], AnyResults]] = {
    "FlowDensity": restore_flow,
    "MinimumWasserstein": restore_minimum_wasserstein,
    "NormalRegression": restore_normal,
    "TrainedFlow": _restore_trained,
    "TransportDensity": restore_transport_density,
    "TransportMap": restore_transport_map,
    "WassersteinDistance": restore_wasserstein,
}
_KNOWN = {"Logit": (Logit, LOGISTIC), "Probit": (Probit, PROBIT)}


def load(path: str | os.PathLike[str] | IO[bytes]) -> BinaryResults | AnyResults:
    """Read a result that ``save`` wrote; it holds no rows.

    Parameters
    ----------
    path : file name or binary file.

    Returns
    -------
    The results class of the estimator that was saved.

    Raises
    ------
    FileFormatError
        If the file is damaged, of another kind, of a newer format, or holds a formula that is not allowed.

    Examples
    --------
    >>> import io
    >>> from disteconometrics import datasets
    >>> res, file = Logit("GRADE ~ PSI").fit(datasets.spector()), io.BytesIO()
    >>> res.save(file)
    >>> bool((load(io.BytesIO(file.getvalue())).params == res.params).all())
    True
    """
    kind, header, arrays = read_archive(path)
    if kind not in (*_KNOWN, *_WHOLE):
        raise FileFormatError(f"{path} holds a {kind!r}; this version reads {', '.join((*_KNOWN, *_WHOLE))}.")
    result: BinaryResults
    try:
        if kind in _WHOLE:
            return _WHOLE[kind](header, arrays)
        specification, kernel = _KNOWN[kind]
        result = restore(specification(**header["estimator"]), kernel, header, arrays)
        wrong = _wrong_facts(header) or _wrong_shape(len(result.spec.names), arrays)
    except (KeyError, TypeError, ValueError) as e:
        if isinstance(e, DisteconometricsError) and not isinstance(e, FileFormatError):
            raise FileFormatError(f"{path} is not a valid {kind} file: {e}") from e
        raise FileFormatError(
            f"{path} is not a valid {kind} file: a field is missing or of another type."
        ) from e
    if wrong:
        raise FileFormatError(f"{path} is not a valid {kind} file: {wrong}.")
    return result


_TYPES: dict[str, tuple[type, ...]] = {
    "float": (float, int),
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "str | None": (str, type(None)),
}


def _is(value: Any, annotation: str) -> bool:
    if annotation == "dict[str, int]":
        return isinstance(value, dict) and all(_is(v, "int") for v in value.values())
    allowed = _TYPES.get(annotation)
    return allowed is None or (
        isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
    )


def _wrong_facts(header: dict[str, Any]) -> str | None:
    """Which field of the header is of another type than was written, in words; None if all are right."""
    types = {("facts", f.name): str(f.type) for f in fields(FitFacts)}
    types |= {("covariance", name): "str" for name in ("label", "note")}
    types |= {("covariance", "degrees_of_freedom"): "float", ("covariance", "robust"): "bool"}
    for (part, name), annotation in types.items():
        if name in header[part] and not _is(header[part][name], annotation):
            return f"{name} is {str(header[part][name])[:40]!r}, not of type {annotation}"
    return None if _is(header["use_t"], "bool") else "use_t is not true or false"


def _wrong_shape(k: int, arrays: dict[str, NDArray[np.float64]]) -> str | None:
    """Which array is not as long as there are coefficients, in words; None if all fit."""
    expected = {"params": (k,), "covariance": (k, k), "direction": (k,), "profile": (k, 3)}
    for name, a in arrays.items():
        if a.dtype != np.float64:
            return f"{name} does not hold numbers"
        if name in expected and a.shape != expected[name]:
            return f"{name} has shape {a.shape} for {k} coefficients"
        if name in ("null", "extremes", "basis") and (a.ndim != 2 or len(a) != k):
            return f"{name} has shape {a.shape} for {k} coefficients"
    return None
