"""Read saved results: a table of known kinds, and nothing in the file is run."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import IO, Any

from disteconometrics.archive import name_of, opened
from disteconometrics.arrays import Array
from disteconometrics.errors import DisteconometricsError, FileFormatError
from disteconometrics.estimators.results import SavedResult
from disteconometrics.words import tells_words

__all__ = ["KINDS", "load"]

# What numpy and others raise where numbers do not belong together.
BROKEN = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# Kind of a file: the specification and the result that it holds, loaded when such a file is read.
KINDS: dict[str, tuple[str, ...]] = {
    "AbsorbedLogit": ("binary.logit.Logit", "absorbed.results.AbsorbedResults"),
    "AbsorbedNormal": ("normal.NormalRegression", "absorbed.results.AbsorbedNormalResults"),
    "AbsorbedProbit": ("binary.probit.Probit", "absorbed.results.AbsorbedResults"),
    "Bootstrap": (".inference.bootstrap_results.BootstrapResults",) * 2,
    "CLogLog": ("binary.cloglog.CLogLog", "binary.results.BinaryResults"),
    "ConditionalLogit": ("conditional.ConditionalLogit", "conditional.ConditionalResults"),
    "Decomposition": ("decomposition.decompose.Decomposition", "decomposition.results.DecompositionResults"),
    "DistributionRegression": (
        "distribution_regression.regression.DistributionRegression",
        "distribution_regression.results.DistributionRegressionResults",
    ),
    "FlowDensity": ("flow.flow_density.FlowDensity", "flow.spline_results.FlowResults"),
    "HurdleFlowDensity": ("flow.flow_density.FlowDensity", "hurdle.HurdleResults"),
    "HurdleNormalRegression": ("normal.NormalRegression", "hurdle.HurdleResults"),
    "Inequality": ("inequality.Inequality", "inequality.InequalityResults"),
    "JointDensity": ("joint.JointDensity", "joint.JointResults"),
    "Logit": ("binary.logit.Logit", "binary.results.BinaryResults"),
    "Margins": ("binary.margins.MarginsResults", "binary.margins.MarginsResults"),
    "MinimumWasserstein": (
        "transport.minimum_wasserstein.MinimumWasserstein",
        "transport.minimum_wasserstein.MinimumWassersteinResults",
    ),
    "MonteCarlo": (".simulate.results.MonteCarloResults",) * 2,
    "MultinomialLogit": ("multinomial.MultinomialLogit", "multinomial.MultinomialResults"),
    "NormalRegression": ("normal.NormalRegression", "normal.NormalResults"),
    "RecordedNormal": ("normal.NormalRegression", "recorded_normal.RecordedNormalResults"),
    "OrderedLogit": ("ordered.OrderedLogit", "ordered.OrderedResults"),
    "OrderedProbit": ("ordered.OrderedProbit", "ordered.OrderedResults"),
    "Probit": ("binary.probit.Probit", "binary.results.BinaryResults"),
    "RIFRegression": ("rif.RIFRegression", "rif.RIFResults"),
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


@tells_words
def load(path: str | os.PathLike[str] | IO[bytes]) -> Any:
    """Read a result, marginal effects, a bootstrap or a study that ``save`` wrote; it holds no rows.

    Parameters
    ----------
    path : file name or binary file.

    Returns
    -------
    The results class of the estimator that was saved, `MarginsResults`, `BootstrapResults` or
    `MonteCarloResults`.

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
    with opened(path) as archive:
        kind, names = archive.kind, {name: name for name in archive.members}
        try:
            archive.verify()
            return _restore(kind, archive.header, names, archive.read)
        except DisteconometricsError as error:
            raise _refused(path, kind, str(error).rstrip(".")) from error
        except BROKEN as error:
            raise _refused(path, kind, "its parts do not belong together") from error


def _refused(path: Any, kind: str, why: str) -> FileFormatError:
    return FileFormatError(f"{name_of(path)} is not a valid {kind:.40} file: {why}.")


def _restore(kind: str, header: dict[str, Any], arrays: dict[str, str], read: Callable[[str], Array]) -> Any:
    if kind not in KINDS:
        raise FileFormatError(f"this version reads {', '.join(KINDS)}")
    specification, result = map(_loaded, KINDS[kind])
    saved = SavedResult(kind, header, arrays, read, specification, _restore)
    found = result.from_file(saved)
    saved.check_all_asked()
    return found


def _loaded(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(f".{module}", "disteconometrics.estimators"), attribute)
