"""The table of results that the contract tests run over: a new result class adds a row, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import disteconometrics as de

__all__ = ["RESULTS", "Case", "fitted", "table"]


@dataclass(frozen=True)
class Case:
    """A specification, the name of its data, options of its fit, and what it cannot do,
    each with the reason.
    """

    model: Callable[[], Any]
    data: str = "engel"
    options: dict[str, Any] = field(default_factory=dict)
    cov: Any = None  # another covariance for with_cov, None where the result has none
    drawn: str = ""  # why rows in another order give other numbers
    attached: str = ""  # why the rows of the fit cannot be given back to a loaded result
    shown: str = ""  # why the summary of a loaded result shows less
    checked: str = ""  # why monte_carlo() is refused
    reps: int = 8  # replications of monte_carlo()


def _location_scale(theta: Any, x: Any, noise: Any) -> Any:
    return theta[0] + theta[1] * noise


def _small_net(**more: Any) -> Any:
    return de.Adam(lr=0.02, steps=20, batch=64, **more)


SEPARATED = "separated estimates have no fitted law"
ROWS = "average effects are taken over the rows"
RANDOM = "batches and first parameters are drawn"

RESULTS: dict[str, Case] = {
    "Logit": Case(lambda: de.Logit("GRADE ~ GPA + PSI"), "spector", {"cov": "HC1"}, cov="HC0"),
    "Logit, Firth": Case(lambda: de.Logit("GRADE ~ GPA + PSI", penalty="firth"), "spector"),
    "Logit, separated": Case(lambda: de.Logit("y ~ x"), "separated", cov="HC0", checked=SEPARATED),
    "Logit, weights": Case(
        lambda: de.Logit("GRADE ~ GPA", weights="TUCE", weight_type="sampling"), "spector", cov="HC0"
    ),
    "Probit": Case(lambda: de.Probit("GRADE ~ GPA + PSI"), "spector", cov=de.Cluster("PSI")),
    "CLogLog": Case(lambda: de.CLogLog("GRADE ~ GPA + PSI"), "spector", cov="HC1"),
    "OrderedLogit": Case(
        lambda: de.OrderedLogit("grade ~ GPA + PSI"), "grades", {"cov": "HC1"}, cov=de.Cluster("TUCE")
    ),
    "OrderedProbit": Case(lambda: de.OrderedProbit("grade ~ GPA"), "grades", cov="HC0"),
    "Logit, absorbed": Case(
        lambda: de.Logit("GRADE ~ GPA | group + half", bias="analytical"),
        "strata",
        {"cov": "HC1"},
        cov=de.Cluster("group"),
    ),
    "Probit, absorbed": Case(lambda: de.Probit("GRADE ~ GPA | half"), "strata", cov="HC0"),
    "NormalRegression, absorbed": Case(
        lambda: de.NormalRegression("TUCE ~ GPA | group"), "strata", {"cov": de.Cluster("half")}, cov="HC1"
    ),
    "ConditionalLogit": Case(
        lambda: de.ConditionalLogit("chosen ~ cost + C(mode)", choice="id", base="car"),
        "trips",
        {"cov": "HC1"},
        cov=de.Cluster("id"),
    ),
    "ConditionalLogit, exact": Case(
        lambda: de.ConditionalLogit("GRADE ~ GPA + PSI", choice="group", successes="exact"),
        "strata",
        cov="HC0",
        checked="the successes of a stratum are given",
    ),
    "MultinomialLogit": Case(
        lambda: de.MultinomialLogit("grade ~ GPA", base="B"), "grades", {"cov": "HC1"}, cov=de.Cluster("TUCE")
    ),
    "NormalRegression": Case(lambda: de.NormalRegression("foodexp ~ income"), cov="HC3"),
    "NormalRegression, recorded": Case(
        lambda: de.NormalRegression("log(topcoded(rounded(foodexp, to=10), at=900)) ~ log(income)"),
        "tens",
        {"cov": "HC1"},
        cov="HC0",
    ),
    "NormalRegression, mass": Case(
        lambda: de.NormalRegression("mass(spent, 0) ~ log(income)"), "spent", {"cov": "HC1"}, cov="HC0"
    ),
    "FlowDensity, mass": Case(
        lambda: de.FlowDensity("mass(rounded(spent, to=10), 0) ~ log(income)"),
        "spent",
        cov=de.Cluster("rich"),
    ),
    "Decomposition": Case(
        lambda: de.Decomposition(
            estimator=de.NormalRegression("TUCE ~ GPA"), by="PSI", functionals=["mean", "q[0.5]"]
        ),
        "spector",
        options={"seed": 1, "levels": [0.25, 0.5, 0.75]},
        checked="a decomposition rests on two fits and two sets of rows",
    ),
    "DistributionRegression": Case(
        lambda: de.DistributionRegression("foodexp ~ income", thresholds=[400, 600, 900]),
        options={"seed": 1, "draws": 100},
        cov="HC0",
    ),
    "Inequality": Case(
        lambda: de.Inequality("foodexp ~ rich", functionals=["gini", "q[0.5]", "poverty[0.6*median]"]),
        cov="HC0",
    ),
    "RIFRegression": Case(
        lambda: de.RIFRegression("foodexp ~ income", functional="q[0.5]"), cov=de.Cluster("rich")
    ),
    "FlowDensity": Case(lambda: de.FlowDensity("log(foodexp) ~ log(income)"), cov="HC0", shown=ROWS, reps=4),
    "FlowDensity, alone": Case(lambda: de.FlowDensity("foodexp ~ 1", support="positive"), cov="HC0"),
    "FlowDensity, trained": Case(
        lambda: de.FlowDensity("log(foodexp) ~ 1", flow=de.RQS(bins=4), train=_small_net()),
        options={"seed": 0},
        drawn=RANDOM,
        reps=4,
    ),
    "FlowDensity, joint": Case(
        lambda: de.FlowDensity("income + foodexp ~ 1"),
        "few",
        checked="two outcomes have no fitted law of one",
    ),
    "joint": Case(
        lambda: de.joint(de.NormalRegression("income ~ 1"), de.NormalRegression("foodexp ~ income")),
        checked="two outcomes have no fitted law of one",
    ),
    "WassersteinDistance": Case(
        lambda: de.WassersteinDistance("foodexp ~ rich", p=1, permutations=99), options={"seed": 1}
    ),
    "TransportMap": Case(lambda: de.TransportMap("foodexp ~ rich")),
    "TransportDensity": Case(
        lambda: de.TransportDensity("foodexp ~ 1"), checked="a law without parameters has no truth of its own"
    ),
    "TransportDensity, net": Case(
        lambda: de.TransportDensity("income + foodexp ~ 1", map=de.MLP(8), train=_small_net()),
        options={"seed": 0},
        drawn=RANDOM,
        checked="a law without parameters has no truth of its own",
    ),
    "TransportDensity, given": Case(
        lambda: de.TransportDensity("foodexp ~ income", map=de.MLP(8), train=_small_net()),
        options={"seed": 0},
        drawn=RANDOM,
        checked="a law without parameters has no truth of its own",
    ),
    "MinimumWasserstein": Case(
        lambda: de.MinimumWasserstein("foodexp ~ 1", _location_scale, start={"mu": 600.0, "sigma": 250.0}),
        options={"seed": 1},
        attached="the simulator is not in the file",
    ),
}


@cache
def table(name: str) -> pd.DataFrame:
    """A data set of the table."""
    if name == "spector":
        return de.datasets.spector()
    if name == "grades":
        spector = de.datasets.spector()
        return spector.assign(grade=pd.cut(spector["TUCE"], [0, 20, 23, 40], labels=["C", "B", "A"]))
    if name == "strata":
        return de.datasets.spector().assign(
            group=lambda d: np.arange(len(d)) % 4, half=lambda d: np.where(d["TUCE"] > 22, "b", "a")
        )
    if name == "trips":
        cost = np.random.default_rng(0).exponential(size=90)
        ids, modes = np.repeat(np.arange(30), 3), np.tile(["bus", "car", "walk"], 30)
        chosen = np.argmin(cost.reshape(30, 3) ** 0.1 + 0.3 * np.eye(3)[np.arange(30) % 3], axis=1)
        chosen = (np.arange(3) == chosen[:, None]).astype(int).ravel()
        return pd.DataFrame({"id": ids, "mode": modes, "cost": cost, "chosen": chosen})
    if name == "separated":
        x = np.arange(12.0)
        return pd.DataFrame({"x": x, "y": (x > 5).astype(int)})
    engel = de.datasets.engel()
    engel = engel.assign(rich=np.where(engel["income"] > engel["income"].median(), "yes", "no"))
    if name == "spent":
        return engel.assign(
            spent=np.where(np.arange(len(engel)) % 4, (engel["foodexp"] / 10).round() * 10, 0.0)
        )
    if name == "tens":
        return engel.assign(foodexp=(engel["foodexp"] / 10).round() * 10)
    return engel.iloc[::3] if name == "few" else engel


@cache
def fitted(name: str) -> Any:
    """The result of a row; its warnings are no part of the contract."""
    import warnings

    case = RESULTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.model().fit(table(case.data), **case.options)
