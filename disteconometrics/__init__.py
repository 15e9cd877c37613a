"""Distributional econometrics: from a formula and a table to the distribution of an outcome given covariates.

Names load on first use, so importing the package is quick and a logit never loads torch.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import would cost more than the package's own
if TYPE_CHECKING:  # what type checkers read; `_NAMES` is what runs
    from disteconometrics import datasets as datasets
    from disteconometrics import errors as errors
    from disteconometrics import plots as plots
    from disteconometrics.data.choices import long_choices as long_choices
    from disteconometrics.data.source import Parts as Parts
    from disteconometrics.distributions import scores as scores
    from disteconometrics.distributions.bernoulli import Bernoulli as Bernoulli
    from disteconometrics.distributions.categorical import Categorical as Categorical
    from disteconometrics.distributions.empirical import Empirical as Empirical
    from disteconometrics.distributions.families import Logistic as Logistic
    from disteconometrics.distributions.families import Normal as Normal
    from disteconometrics.distributions.families import Uniform as Uniform
    from disteconometrics.distributions.law import Law as Law
    from disteconometrics.distributions.making import law as law
    from disteconometrics.distributions.maps import Affine as Affine
    from disteconometrics.distributions.maps import Exp as Exp
    from disteconometrics.distributions.maps import LogitMap as LogitMap
    from disteconometrics.distributions.maps import Standardize as Standardize
    from disteconometrics.distributions.mixture import Mixture as Mixture
    from disteconometrics.distributions.quantile_law import QuantileLaw as QuantileLaw
    from disteconometrics.estimators.adapted import adapt as adapt
    from disteconometrics.estimators.binary.cloglog import CLogLog as CLogLog
    from disteconometrics.estimators.binary.logit import Logit as Logit
    from disteconometrics.estimators.binary.probit import Probit as Probit
    from disteconometrics.estimators.conditional import ConditionalLogit as ConditionalLogit
    from disteconometrics.estimators.decomposition.decompose import Decomposition as Decomposition
    from disteconometrics.estimators.decomposition.decompose import decompose as decompose
    from disteconometrics.estimators.distribution_regression.regression import (
        DistributionRegression as DistributionRegression,
    )
    from disteconometrics.estimators.flow.flow_density import FlowDensity as FlowDensity
    from disteconometrics.estimators.inequality import Inequality as Inequality
    from disteconometrics.estimators.joint import joint as joint
    from disteconometrics.estimators.loading import load as load
    from disteconometrics.estimators.multinomial import MultinomialLogit as MultinomialLogit
    from disteconometrics.estimators.normal import NormalRegression as NormalRegression
    from disteconometrics.estimators.ordered import OrderedLogit as OrderedLogit
    from disteconometrics.estimators.ordered import OrderedProbit as OrderedProbit
    from disteconometrics.estimators.rif import RIFRegression as RIFRegression
    from disteconometrics.estimators.rif_decomposition import rif_decompose as rif_decompose
    from disteconometrics.estimators.transport.minimum_wasserstein import (
        MinimumWasserstein as MinimumWasserstein,
    )
    from disteconometrics.estimators.transport.transport_density import TransportDensity as TransportDensity
    from disteconometrics.estimators.transport.transport_map import TransportMap as TransportMap
    from disteconometrics.estimators.transport.wasserstein_distance import (
        WassersteinDistance as WassersteinDistance,
    )
    from disteconometrics.flows.monotone_spline import MonotoneSpline as MonotoneSpline
    from disteconometrics.flows.recipes import MLP as MLP
    from disteconometrics.flows.recipes import RQS as RQS
    from disteconometrics.flows.recipes import AffineMap as AffineMap
    from disteconometrics.flows.recipes import Autoregressive as Autoregressive
    from disteconometrics.flows.recipes import Coupling as Coupling
    from disteconometrics.flows.recipes import MixtureCDF as MixtureCDF
    from disteconometrics.flows.recipes import Planar as Planar
    from disteconometrics.inference.bootstrap import bootstrap as bootstrap
    from disteconometrics.inference.covariance import HAC as HAC
    from disteconometrics.inference.covariance import Cluster as Cluster
    from disteconometrics.inference.cross_validation import cross_validate as cross_validate
    from disteconometrics.inference.sample_functionals import sample_functionals as sample_functionals
    from disteconometrics.inference.survey import Survey as Survey
    from disteconometrics.optim.minibatch import LBFGS as LBFGS
    from disteconometrics.optim.minibatch import Adam as Adam
    from disteconometrics.optim.minibatch import AdamW as AdamW
    from disteconometrics.report.comparison import compare as compare
    from disteconometrics.report.evidence import evidence as evidence
    from disteconometrics.simulate import dgps as dgps
    from disteconometrics.simulate.dgp import DGP as DGP
    from disteconometrics.simulate.dgp import Process as Process
    from disteconometrics.simulate.dgp import Truth as Truth
    from disteconometrics.simulate.dgp import pseudo_true as pseudo_true
    from disteconometrics.simulate.measures import n_sim as n_sim
    from disteconometrics.simulate.measures import performance as performance
    from disteconometrics.simulate.study import MonteCarlo as MonteCarlo
    from disteconometrics.transport.losses import Sinkhorn as Sinkhorn
    from disteconometrics.transport.losses import Sliced as Sliced
    from disteconometrics.transport.losses import Sorted as Sorted

__version__ = "0.2.0"  # the only place that says it

# Public names by the module that they load from.
_NAMES = {
    "data.choices": ("long_choices",),
    "data.source": ("Parts",),
    "distributions.bernoulli": ("Bernoulli",),
    "distributions.categorical": ("Categorical",),
    "distributions.empirical": ("Empirical",),
    "distributions.families": (
        "Logistic",
        "Normal",
        "Uniform",
    ),
    "distributions.law": ("Law",),
    "distributions.making": ("law",),
    "distributions.maps": (
        "Affine",
        "Exp",
        "LogitMap",
        "Standardize",
    ),
    "distributions.mixture": ("Mixture",),
    "distributions.quantile_law": ("QuantileLaw",),
    "estimators.adapted": ("adapt",),
    "estimators.binary.cloglog": ("CLogLog",),
    "estimators.binary.logit": ("Logit",),
    "estimators.binary.probit": ("Probit",),
    "estimators.decomposition.decompose": ("Decomposition", "decompose"),
    "estimators.distribution_regression.regression": ("DistributionRegression",),
    "estimators.flow.flow_density": ("FlowDensity",),
    "estimators.inequality": ("Inequality",),
    "estimators.joint": ("joint",),
    "estimators.loading": ("load",),
    "estimators.normal": ("NormalRegression",),
    "estimators.conditional": ("ConditionalLogit",),
    "estimators.multinomial": ("MultinomialLogit",),
    "estimators.ordered": ("OrderedLogit", "OrderedProbit"),
    "estimators.rif": ("RIFRegression",),
    "estimators.rif_decomposition": ("rif_decompose",),
    "estimators.transport.minimum_wasserstein": ("MinimumWasserstein",),
    "estimators.transport.transport_density": ("TransportDensity",),
    "estimators.transport.transport_map": ("TransportMap",),
    "estimators.transport.wasserstein_distance": ("WassersteinDistance",),
    "flows.monotone_spline": ("MonotoneSpline",),
    "flows.recipes": (
        "AffineMap",
        "Autoregressive",
        "Coupling",
        "MLP",
        "MixtureCDF",
        "Planar",
        "RQS",
    ),
    "inference.bootstrap": ("bootstrap",),
    "inference.covariance": (
        "Cluster",
        "HAC",
    ),
    "inference.cross_validation": ("cross_validate",),
    "inference.sample_functionals": ("sample_functionals",),
    "inference.survey": ("Survey",),
    "optim.minibatch": (
        "Adam",
        "AdamW",
        "LBFGS",
    ),
    "report.comparison": ("compare",),
    "report.evidence": ("evidence",),
    "simulate.dgp": (
        "DGP",
        "Process",
        "Truth",
        "pseudo_true",
    ),
    "simulate.measures": (
        "n_sim",
        "performance",
    ),
    "simulate.study": ("MonteCarlo",),
    "transport.losses": (
        "Sinkhorn",
        "Sliced",
        "Sorted",
    ),
}
_HOME = {name: f"disteconometrics.{module}" for module, names in _NAMES.items() for name in names}
_ROOMS = {
    "datasets": "disteconometrics.datasets",
    "dgps": "disteconometrics.simulate.dgps",
    "errors": "disteconometrics.errors",
    "plots": "disteconometrics.plots",
    "scores": "disteconometrics.distributions.scores",
}

__all__ = sorted(_HOME | _ROOMS)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _HOME:
        value: object = getattr(import_module(_HOME[name]), name)
    elif name in _ROOMS:
        value = import_module(_ROOMS[name])
    else:
        raise AttributeError(f"module 'disteconometrics' has no attribute {name!r}; {_meant(name)}")
    globals()[name] = value
    return value


_OTHER_WORDS = {
    "Tobit": "NormalRegression('topcoded(y, at=cap) ~ x')",
    **dict.fromkeys(("OLS", "ols", "lm", "LinearRegression"), "NormalRegression"),
    **dict.fromkeys(("MNLogit", "mlogit", "multinom"), "MultinomialLogit"),
    **dict.fromkeys(("OrderedModel", "ologit", "polr"), "OrderedLogit"),
    **dict.fromkeys(("clogit", "asclogit"), "ConditionalLogit"),
    **dict.fromkeys(("oaxaca", "Oaxaca", "OaxacaBlinder"), "rif_decompose"),
}


def _meant(name: str) -> str:
    """What a name that there is not may mean."""
    from difflib import get_close_matches

    if name in _OTHER_WORDS:
        return f"it is called {_OTHER_WORDS[name]!r} here"
    plain = {known.lower(): known for known in __all__}
    close = get_close_matches(name.lower().replace("_", ""), plain, 3, 0.75)
    return (
        f"did you mean {' or '.join(plain[c] for c in close)}?" if close else f"it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)
