"""Distributional econometrics: from a formula and a table to the distribution of an outcome given covariates.

Names load on first use, so importing the package is quick and a logit never loads torch.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import would cost more than the package's own
if TYPE_CHECKING:
    from disteconometrics import datasets, plots
    from disteconometrics.distributions import scores
    from disteconometrics.distributions.bernoulli import Bernoulli
    from disteconometrics.distributions.empirical import Empirical
    from disteconometrics.distributions.families import Logistic, Normal, Uniform
    from disteconometrics.distributions.law import Law
    from disteconometrics.distributions.making import law
    from disteconometrics.distributions.maps import Affine, Exp, LogitMap, Standardize
    from disteconometrics.distributions.mixture import Mixture
    from disteconometrics.estimators.binary.logit import Logit
    from disteconometrics.estimators.binary.probit import Probit
    from disteconometrics.estimators.flow.flow_density import FlowDensity
    from disteconometrics.estimators.joint import joint
    from disteconometrics.estimators.loading import load
    from disteconometrics.estimators.normal import NormalRegression
    from disteconometrics.estimators.transport.minimum_wasserstein import MinimumWasserstein
    from disteconometrics.estimators.transport.transport_density import TransportDensity
    from disteconometrics.estimators.transport.transport_map import TransportMap
    from disteconometrics.estimators.transport.wasserstein_distance import WassersteinDistance
    from disteconometrics.flows.monotone_spline import MonotoneSpline
    from disteconometrics.flows.recipes import (
        MLP,
        RQS,
        AffineMap,
        Autoregressive,
        Coupling,
        MixtureCDF,
        Planar,
    )
    from disteconometrics.inference.bootstrap import bootstrap
    from disteconometrics.inference.covariance import HAC, Cluster
    from disteconometrics.inference.cross_validation import cross_validate
    from disteconometrics.inference.functionals import sample_functionals
    from disteconometrics.optim.minibatch import LBFGS, Adam, AdamW
    from disteconometrics.report.comparison import compare
    from disteconometrics.simulate import dgps
    from disteconometrics.simulate.dgp import DGP, Process, Truth, pseudo_true
    from disteconometrics.simulate.measures import n_sim, performance
    from disteconometrics.simulate.study import MonteCarlo
    from disteconometrics.transport.losses import Sinkhorn, Sliced, Sorted

__all__ = [
    "DGP",
    "HAC",
    "LBFGS",
    "MLP",
    "RQS",
    "Adam",
    "AdamW",
    "Affine",
    "AffineMap",
    "Autoregressive",
    "Bernoulli",
    "Cluster",
    "Coupling",
    "Empirical",
    "Exp",
    "FlowDensity",
    "Law",
    "Logistic",
    "Logit",
    "LogitMap",
    "MinimumWasserstein",
    "Mixture",
    "MixtureCDF",
    "MonotoneSpline",
    "MonteCarlo",
    "Normal",
    "NormalRegression",
    "Planar",
    "Probit",
    "Process",
    "Sinkhorn",
    "Sliced",
    "Sorted",
    "Standardize",
    "TransportDensity",
    "TransportMap",
    "Truth",
    "Uniform",
    "WassersteinDistance",
    "bootstrap",
    "compare",
    "cross_validate",
    "datasets",
    "dgps",
    "errors",
    "joint",
    "law",
    "load",
    "n_sim",
    "performance",
    "plots",
    "pseudo_true",
    "sample_functionals",
    "scores",
]

__version__ = "0.1.0"

_HOME = {
    "AffineMap": "disteconometrics.flows.recipes",
    "Autoregressive": "disteconometrics.flows.recipes",
    "Coupling": "disteconometrics.flows.recipes",
    "MixtureCDF": "disteconometrics.flows.recipes",
    "Planar": "disteconometrics.flows.recipes",
    "RQS": "disteconometrics.flows.recipes",
    "MLP": "disteconometrics.flows.recipes",
    "Sinkhorn": "disteconometrics.transport.losses",
    "Sliced": "disteconometrics.transport.losses",
    "Sorted": "disteconometrics.transport.losses",
    "TransportDensity": "disteconometrics.estimators.transport.transport_density",
    "Adam": "disteconometrics.optim.minibatch",
    "AdamW": "disteconometrics.optim.minibatch",
    "LBFGS": "disteconometrics.optim.minibatch",
    "joint": "disteconometrics.estimators.joint",
    "Affine": "disteconometrics.distributions.maps",
    "Bernoulli": "disteconometrics.distributions.bernoulli",
    "Cluster": "disteconometrics.inference.covariance",
    "DGP": "disteconometrics.simulate.dgp",
    "Empirical": "disteconometrics.distributions.empirical",
    "Exp": "disteconometrics.distributions.maps",
    "FlowDensity": "disteconometrics.estimators.flow.flow_density",
    "HAC": "disteconometrics.inference.covariance",
    "Law": "disteconometrics.distributions.law",
    "Logistic": "disteconometrics.distributions.families",
    "Logit": "disteconometrics.estimators.binary.logit",
    "LogitMap": "disteconometrics.distributions.maps",
    "MinimumWasserstein": "disteconometrics.estimators.transport.minimum_wasserstein",
    "Mixture": "disteconometrics.distributions.mixture",
    "MonotoneSpline": "disteconometrics.flows.monotone_spline",
    "MonteCarlo": "disteconometrics.simulate.study",
    "Normal": "disteconometrics.distributions.families",
    "NormalRegression": "disteconometrics.estimators.normal",
    "Probit": "disteconometrics.estimators.binary.probit",
    "Process": "disteconometrics.simulate.dgp",
    "Standardize": "disteconometrics.distributions.maps",
    "TransportMap": "disteconometrics.estimators.transport.transport_map",
    "Truth": "disteconometrics.simulate.dgp",
    "Uniform": "disteconometrics.distributions.families",
    "WassersteinDistance": "disteconometrics.estimators.transport.wasserstein_distance",
    "bootstrap": "disteconometrics.inference.bootstrap",
    "cross_validate": "disteconometrics.inference.cross_validation",
    "compare": "disteconometrics.report.comparison",
    "law": "disteconometrics.distributions.making",
    "load": "disteconometrics.estimators.loading",
    "n_sim": "disteconometrics.simulate.measures",
    "performance": "disteconometrics.simulate.measures",
    "pseudo_true": "disteconometrics.simulate.dgp",
    "sample_functionals": "disteconometrics.inference.functionals",
}
_ROOMS = {name: f"disteconometrics.{name}" for name in ("datasets", "errors", "plots")} | {
    "dgps": "disteconometrics.simulate.dgps",
    "scores": "disteconometrics.distributions.scores",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _HOME:
        value: object = getattr(import_module(_HOME[name]), name)
    elif name in _ROOMS:
        value = import_module(_ROOMS[name])
    else:
        raise AttributeError(
            f"module 'disteconometrics' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
