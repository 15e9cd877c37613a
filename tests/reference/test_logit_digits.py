"""Correct digits of binary logit against 30-digit values, default settings, through the public interface.

`pytest -rP` (or ``-s``) prints the table.  The digits of a vector are those of its worst entry, −log₁₀ of the
relative error, at most 16; differences are taken in decimal arithmetic, so nothing is rounded before it is
compared. The bars hold with 80-bit long doubles and without them.
"""

from __future__ import annotations

import json
import statistics
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

CAP = 16.0
WELL_PARAMS, WELL_ERRORS = (
    14.5,
    13.5,
)  # a float64 holds 15.95 digits; sums over rows and one matrix product cost the rest
# Of estimates also the condition number, beyond one of 30: collinear_1e-2 (180) has 14.24, 14.37, 14.88 and
# 15.54 digits under OpenBLAS' kernels Nehalem, Sandybridge, Haswell and SkylakeX (mean 14.8, deviation .6)
PLAIN_CONDITION = 30.0
HARD_PARAMS_MEDIAN, HARD_PARAMS_LEAST, HARD_ERRORS_MEDIAN = (
    12.5,
    7.0,
    11.0,
)  # scaled condition numbers up to 2e10
WARNED_BELOW = 4.0  # fewer digits than this need a warning

SETS = {
    name: content
    for name, content in json.loads(
        (Path(__file__).parent / "logit_digits.json").read_text(encoding="utf-8")
    ).items()
    if not name.startswith("_")
}
QUANTITIES = {"params": "params", "bse": "bse", "HC0": "hc0", "cluster": "cr0"}  # our name: name in the file


class Digits(NamedTuple):
    kind: str
    condition: float
    digits: dict[str, float]
    warned: list[str]
    path: str


def correct_digits(values: Any, reference: list[str]) -> float:
    worst = CAP
    for value, text in zip(np.asarray(values), reference, strict=True):
        exact = Decimal(text)
        error = abs(Decimal(float(value)) - exact) / abs(exact) if np.isfinite(value) else Decimal(1)
        worst = min(worst, -float(error.log10()) if error else CAP)
    return worst


def measure(content: dict[str, Any]) -> Digits:
    X = np.array(content["X"], dtype=np.float64)
    columns = [f"x{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=columns).assign(y=content["y"], g=content["groups"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # the constant is a column of the data, so the formula adds none
        res = de.Logit("y ~ 0 + " + " + ".join(columns)).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.FewClustersWarning)
        values = {
            "params": res.params,
            "bse": res.bse,
            "HC0": res.with_cov("HC0").bse,
            "cluster": res.with_cov(de.Cluster("g", correction="none")).bse,
        }
    digits = {q: correct_digits(v, content[QUANTITIES[q]]) for q, v in values.items()}
    return Digits(
        content["class"],
        content["cond_scaled"],
        digits,
        [type(w.message).__name__ for w in caught],
        res.facts.path,
    )


@pytest.fixture(scope="module", params=["long double", "float64 alone"])
def table(request: pytest.FixtureRequest) -> dict[str, Digits]:
    """Digits of every set; also without extended precision, as where a long double has 64 bits."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "float64 alone":
            patch.setattr(np, "longdouble", np.float64)
        return {name: measure(content) for name, content in SETS.items()}


def of_class(table: dict[str, Digits], kind: str, quantity: str) -> dict[str, float]:
    return {name: d.digits[quantity] for name, d in table.items() if d.kind == kind}


def test_print_the_table(table: dict[str, Digits]) -> None:
    print(
        f"\n{'set':18s} {'class':5s} {'condition':>9s} "
        + " ".join(f"{q:>7s}" for q in QUANTITIES)
        + "  warnings"
    )
    for name, d in table.items():
        numbers = " ".join(f"{d.digits[q]:7.2f}" for q in QUANTITIES)
        print(f"{name:18s} {d.kind:5s} {d.condition:9.1e} {numbers}  {', '.join(d.warned) or '-'}")
    assert len(table) == 13
    assert {d.kind for d in table.values()} == {"well", "hard"}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_well_posed_sets(table: dict[str, Digits], quantity: str) -> None:
    bar = WELL_PARAMS if quantity == "params" else WELL_ERRORS
    lost = {name: max(0.0, np.log10(d.condition / PLAIN_CONDITION)) for name, d in table.items()}
    low = {
        name: d
        for name, d in of_class(table, "well", quantity).items()
        if d < bar - (lost[name] if quantity == "params" else 0.0)
    }
    assert not low, f"{quantity} below {bar} digits: {low}"


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_hard_sets(table: dict[str, Digits], quantity: str) -> None:
    digits = of_class(table, "hard", quantity)
    median, least = statistics.median(digits.values()), min(digits.values())
    assert median >= (HARD_PARAMS_MEDIAN if quantity == "params" else HARD_ERRORS_MEDIAN), digits
    if quantity == "params":
        assert least >= HARD_PARAMS_LEAST, digits


def test_few_digits_come_with_a_warning(table: dict[str, Digits]) -> None:
    silent = {n: d.digits for n, d in table.items() if min(d.digits.values()) < WARNED_BELOW and not d.warned}
    assert not silent
