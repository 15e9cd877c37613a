"""Read saved results: a table of known kinds, and nothing in the file is run."""

from __future__ import annotations

import os
from importlib import import_module
from typing import IO, Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.errors import DisteconometricsError, FileFormatError
from disteconometrics.estimators.results import FittedResult, SavedResult
from disteconometrics.report.archive import read_archive

__all__ = ["KINDS", "load"]

# Kind of a file: the specification and the result that it holds, loaded when such a file is read.
KINDS: dict[str, tuple[str, str]] = {
    "CLogLog": ("binary.cloglog.CLogLog", "binary.results.BinaryResults"),
    "FlowDensity": ("flow.flow_density.FlowDensity", "flow.spline_results.FlowResults"),
    "JointDensity": ("joint.JointDensity", "joint.JointResults"),
    "Logit": ("binary.logit.Logit", "binary.results.BinaryResults"),
    "MinimumWasserstein": (
        "transport.minimum_wasserstein.MinimumWasserstein",
        "transport.minimum_wasserstein.MinimumWassersteinResults",
    ),
    "NormalRegression": ("normal.NormalRegression", "normal.NormalResults"),
    "Probit": ("binary.probit.Probit", "binary.results.BinaryResults"),
    "TrainedFlow": ("flow.flow_density.FlowDensity", "flow.trained.TrainedFlowResults"),
    "TransportDensity": (
        "transport.transport_density.TransportDensity",
        "transport.transport_density.TransportDensityResults",
    ),
    "TransportMap": ("transport.transport_map.TransportMap", "transport.transport_map.TransportMapResults"),
    "WassersteinDistance": (
        "transport.wasserstein_distance.WassersteinDistance",
        "transport.wasserstein_distance.WassersteinResults",
    ),
}


def load(path: str | os.PathLike[str] | IO[bytes]) -> FittedResult:
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
    >>> import disteconometrics as de
    >>> res, file = de.Logit("GRADE ~ PSI").fit(de.datasets.spector()), io.BytesIO()
    >>> res.save(file)
    >>> bool((load(io.BytesIO(file.getvalue())).params == res.params).all())
    True
    """
    kind, header, arrays = read_archive(path)
    if kind not in KINDS:
        raise FileFormatError(f"{path} holds a {kind!r}; this version reads {', '.join(KINDS)}.")
    try:
        return _restore(kind, header, arrays)
    except FileFormatError as e:
        raise FileFormatError(f"{path} is not a valid {kind} file: {str(e).rstrip('.')}.") from e
    except DisteconometricsError as e:
        raise FileFormatError(f"{path} is not a valid {kind} file: {e}") from e
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        text = f"{path} is not a valid {kind} file: a field is missing or of another type."
        raise FileFormatError(text) from e


def _restore(kind: str, header: dict[str, Any], arrays: dict[str, Array]) -> FittedResult:
    for name, a in arrays.items():
        if a.dtype != np.float64:
            raise FileFormatError(f"{name} does not hold numbers")
    specification, result = map(_loaded, KINDS[kind])
    found: FittedResult = result.from_file(SavedResult(kind, header, arrays, specification, _restore))
    return found


def _loaded(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(f"disteconometrics.estimators.{module}"), attribute)
