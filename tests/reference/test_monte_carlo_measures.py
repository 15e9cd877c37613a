"""Performance measures and their Monte Carlo standard errors against R's rsimsum
and the formulas of simhelpers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import disteconometrics as de

GROUPS = json.loads((Path(__file__).parent / "monte_carlo.json").read_text(encoding="utf-8"))["groups"]

RSIMSUM = {
    "nsim": "n_sim",
    "thetamean": "mean",
    "thetamedian": "median",
    "se2mean": "se2_mean",
    "se2median": "se2_median",
    "bias": "bias",
    "rbias": "relative_bias",
    "empse": "empirical_se",
    "mse": "mse",
    "relprec": "relative_precision",
    "modelse": "model_se",
    "relerror": "relative_error",
    "cover": "coverage",
    "becover": "be_coverage",
    "power": "rejection",
}
SIMHELPERS = {
    "var_mcse": ("variance", "mcse"),
    "mse_mcse_simhelpers": ("mse_moments", "mcse"),
    "rmse": ("rmse", "value"),
    "rmse_mcse_jackknife": ("rmse_jackknife", "mcse"),
    "stddev_mcse_jackknife": ("empirical_se_jackknife", "mcse"),
    "rel_bias_var": ("variance_ratio_jackknife", "value"),
    "rel_bias_var_mcse_jackknife": ("variance_ratio_jackknife", "mcse"),
    "ci_width": ("width", "value"),
    "ci_width_mcse": ("width", "mcse"),
}


def series(n: int, rate: float = 1.7) -> np.ndarray:
    i = np.arange(1, n + 1)
    return 0.1 + 0.1 * np.sin(rate * i) + 0.02 * np.cos(3 * i)


def inputs(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    i = np.arange(1, n + 1)
    return series(n), 0.05 + 0.01 * np.cos(2 * i + 1.7), series(n, 2.3)


@pytest.fixture(scope="module")
def table():
    b, se, reference = inputs()
    return de.performance(b, se, 0.1, reference=reference, variants=True)


def place(quantity: str) -> tuple[str, str]:
    if quantity in SIMHELPERS:
        return SIMHELPERS[quantity]
    kind, name = quantity.rstrip("]").split("[")
    return RSIMSUM[name], {"est": "value", "mcse": "mcse"}[kind]


def test_every_record_is_looked_at() -> None:
    assert {group: len(records) for group, records in GROUPS.items()} == {"mc_measures_a": 34, "mc_nsim": 3}


@pytest.mark.parametrize("record", GROUPS["mc_measures_a"], ids=lambda r: r["quantity"])
def test_measures(table, record) -> None:
    found, value = table.loc[place(record["quantity"])], record["value"]
    assert abs(found - value) <= record["tol"] * max(1.0, abs(value))


def test_planning() -> None:
    found = {
        "nsim_coverage95_mcse0.005": de.n_sim(0.005, probability=0.95),
        "nsim_coverage50_mcse0.005": de.n_sim(0.005, probability=0.5),
        "nsim_bias_var0.04_mcse0.005": de.n_sim(0.005, variance=0.04),
    }
    assert found == {r["quantity"]: r["value"] for r in GROUPS["mc_nsim"]}


def test_the_standard_errors_are_those_of_repeated_studies() -> None:
    """The spread of a measure over many studies is its mean Monte Carlo standard error; band 15 %,
    four errors of a spread.
    """
    rng = np.random.default_rng(3)
    studies, n = 400, 200
    tables = []
    for _ in range(studies):
        reference = rng.normal(size=n)
        b = 0.5 + 0.2 * (0.6 * reference + 0.8 * rng.normal(size=n))
        se = 0.2 * np.sqrt(rng.chisquare(20, n) / 20)
        tables.append(de.performance(b, se, 0.45, reference=0.5 + reference, variants=True))
    values, errors = (np.array([t[c] for t in tables]) for c in ("value", "mcse"))
    known = ~np.isnan(errors).all(axis=0)
    names = tables[0].index[known]
    ratio = errors[:, known].mean(axis=0) / values[:, known].std(axis=0, ddof=1)
    # simhelpers' jackknife of the RMSE leaves out from another formula than the RMSE itself: it is not
    # consistent
    off = [(n, r) for n, r in zip(names, ratio, strict=True) if abs(r - 1) > 0.15 and n != "rmse_jackknife"]
    assert len(names) >= 16
    assert not off


def test_missing_standard_errors_leave_every_measure_and_are_counted(table) -> None:
    b, se, reference = inputs(403)
    b[400], se[401], b[402] = np.nan, np.nan, np.inf  # the first 400 are those of the records
    found = de.performance(b, se, 0.1, reference=reference, variants=True)
    same = found.index.drop(["n_se_nan"])
    np.testing.assert_allclose(found.loc[same], table.loc[same], rtol=1e-13)
    assert found.value["n_se_nan"] == 1


def test_what_is_not_defined_is_missing() -> None:
    b = np.array([0.1, -0.2, 0.3])
    alone = de.performance(b)  # no standard errors, no truth
    assert alone.value[["bias", "coverage", "model_se", "rejection", "width"]].isna().all()
    assert alone.value["mean"] == pytest.approx(b.mean())
    at_zero = de.performance(b, truth=0.0)
    assert np.isnan(at_zero.value["relative_bias"])
    assert at_zero.value["bias"] == pytest.approx(b.mean())
    negative = de.performance(b, truth=-2.0).loc["relative_bias"]
    assert negative.value == pytest.approx((b.mean() + 2) / -2)
    assert negative.mcse > 0
    assert de.performance([], []).value["n_sim"] == 0
    one = de.performance([1.0], [0.5], 1.0)
    assert one.value["coverage"] == 1
    assert np.isnan(one.mcse["bias"])


def test_own_limits_and_p_values_are_taken() -> None:
    b, se = np.zeros(4), np.ones(4)
    found = de.performance(
        b, se, 0.5, conf_low=[0, 0, 1, np.nan], conf_high=[1, 1, 2, np.nan], p_value=[0.01, 0.04, 0.2, 0.9]
    )
    assert found.value["coverage"] == pytest.approx(2 / 3)
    assert found.value["rejection"] == 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: de.n_sim(0.005), "one of probability"),
        (lambda: de.n_sim(0.0, probability=0.5), "mcse=0.0"),
        (lambda: de.n_sim(0.1, probability=1.5), "below 1"),
        (lambda: de.performance([1.0, 2.0], [1.0]), "std_error must be one number for each of the 2"),
        (lambda: de.performance(["a"]), "estimate must be numbers"),
        (lambda: de.performance([1.0], level=95), "level=95"),
    ],
)
def test_nonsense_is_refused(call, words) -> None:
    with pytest.raises(de.errors.OptionError, match=words):
        call()
