"""Left sides that say how an outcome was recorded: what each tells, at its edges, and what is refused."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import disteconometrics as de
from disteconometrics.data.design import build_design
from disteconometrics.data.spec import DesignSpec
from disteconometrics.errors import (
    DataError,
    DisteconometricsError,
    FormulaError,
    MissingColumnError,
    OutcomeError,
    RecordingWarning,
    UnsafeFormulaError,
    WithheldError,
)

INF = np.inf
D = pd.DataFrame(
    {
        "y": [0.0, 1.0, 2.5, 4.0, 4.0],
        "lo": [-INF, 1.0, 2.0, 4.0, 3.0],
        "hi": [0.0, 1.0, 3.0, INF, np.nan],
        "cap": [9.0, np.nan, 2.5, 4.0, INF],
        "x": [1.0, 0.0, 2.0, 3.0, 1.0],
    }
)
D["band"] = pd.cut(D["y"], [-INF, 0, 1, 3, INF])

# left side: outcome's name, lower ends, upper ends (NaN: the row is dropped)
TOLD: dict[str, tuple[str, list[float], list[float]]] = {
    "interval(lo, hi)": ("interval(lo, hi)", [-INF, 1, 2, 4], [0, 1, 3, INF]),
    "interval(lo, hi, open='missing')": ("interval(lo, hi)", [-INF, 1, 2, 4, 3], [0, 1, 3, INF, INF]),
    "topcoded(y, at=4)": ("y", [0, 1, 2.5, 4, 4], [0, 1, 2.5, INF, INF]),
    "topcoded(y, cap)": ("y", [0, 1, 2.5, 4, 4], [0, 1, INF, INF, 4]),
    "topcoded(2 * y, at=8)": ("2 * y", [0, 2, 5, 8, 8], [0, 2, 5, INF, INF]),
    "topcoded(bottomcoded(y, at=0), at=4)": ("y", [-INF, 1, 2.5, 4, 4], [0, 1, 2.5, INF, INF]),
    "rounded(y, to=0.5)": ("y", [-0.25, 0.75, 2.25, 3.75, 3.75], [0.25, 1.25, 2.75, 4.25, 4.25]),
    "rounded(y, 0.5, direction='up')": ("y", [-0.5, 0.5, 2, 3.5, 3.5], [0, 1, 2.5, 4, 4]),
    "rounded(y, to=0.5, direction='down')": ("y", [0, 1, 2.5, 4, 4], [0.5, 1.5, 3, 4.5, 4.5]),
    "topcoded(rounded(y, to=0.5), at=4)": (
        "y",
        [-0.25, 0.75, 2.25, 3.75, 3.75],
        [0.25, 1.25, 2.75, INF, INF],
    ),
    "brackets(y, [0, 1, 4])": ("y", [0, 1, 1, 1, 1], [1, 4, 4, 4, 4]),
    "brackets(y, [0, 1, 4, inf])": ("y", [0, 1, 1, 4, 4], [1, 4, 4, INF, INF]),
    "brackets(y, [0, 1, 4], closed='right')": ("y", [0, 0, 1, 1, 1], [1, 1, 4, 4, 4]),
    "brackets(y, [-inf, 0, np.inf], closed='right')": ("y", [-INF, 0, 0, 0, 0], [0, INF, INF, INF, INF]),
    "brackets(band)": ("band", [-INF, 0, 1, 3, 3], [0, 1, 3, INF, INF]),
    "log(topcoded(y + 1, at=5))": (
        "log(y + 1)",
        np.log([1, 2, 3.5, 5, 5]).tolist(),
        [*np.log([1, 2, 3.5]), INF, INF],
    ),
    "I(bottomcoded(y, at=1) / 2)": ("I(y / 2)", [-INF, -INF, 1.25, 2, 2], [0.5, 0.5, 1.25, 2, 2]),
    "mass(y, 4)": ("y", [0, 1, 2.5, 4, 4], [0, 1, 2.5, 4, 4]),
}


def told(left: str, data: Any = D) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        return build_design(f"{left} ~ x", data, outcome="recorded")


@pytest.mark.parametrize("left", TOLD)
def test_what_a_left_side_tells(left: str) -> None:
    """Ends of rows, the name of the true outcome; the same of new rows, from a file, and of other tables."""
    name, lower, upper = TOLD[left]
    design = told(left)
    assert design.spec.outcome.name == name
    np.testing.assert_allclose(design.records.lower, lower, rtol=1e-12)
    np.testing.assert_allclose(design.records.upper, upper, rtol=1e-12)
    np.testing.assert_array_equal(design.y, design.records.middle)
    spec = DesignSpec.from_dict(json.loads(json.dumps(design.spec.to_dict())))
    assert spec.outcome == design.spec.outcome
    again = spec.outcome_records(D)
    used = ~np.isnan(again.upper)
    np.testing.assert_array_equal(again.rows(used).lower, design.records.lower)
    np.testing.assert_array_equal(again.rows(used).upper, design.records.upper)
    with pytest.raises(WithheldError, match="has no value in each row"):
        spec.outcome_values(D)
    text = D.assign(band=D["band"].astype(str))
    for table in (pl.from_pandas(text), {c: text[c].to_numpy() for c in text}):
        np.testing.assert_array_equal(told(left, table).records.lower, design.records.lower)


def test_functions_outside_open_ends_before_their_domain() -> None:
    """A recorded 0 on the log scale is all below half a step; numbers of recorders go to the same scale."""
    design = told("log(topcoded(rounded(y, to=1), at=4))", D.assign(y=[0.0, 1.0, 2.0, 4.0, 5.0]))
    np.testing.assert_allclose(design.records.lower, [-INF, *np.log([0.5, 1.5, 3.5, 3.5])])
    np.testing.assert_allclose(design.records.upper, [*np.log([0.5, 1.5, 2.5]), INF, INF])
    np.testing.assert_allclose(design.spec.outcome_units([4.0, -1.0]), [np.log(4), -INF])
    assert [str(r) for r in design.spec.outcome.recorders] == ["rounded to 1 (nearest)", "top-coded at 4"]
    assert design.records.counts() == {"interval": 2, "open below": 1, "open above": 2}


def test_rows_at_a_mass_and_rows_of_which_nothing_is_known() -> None:
    design = told("mass(topcoded(rounded(y, to=0.5), at=4), 0)")
    assert design.records.at_mass.tolist() == [True, False, False, False, False]
    assert design.records.exact.sum() == 0
    assert design.records.counts() == {"interval": 2, "open above": 2, "mass": 1}
    unknown = D.assign(lo=[-INF, 1, 2, 4, np.nan], hi=[INF, 1, 3, INF, np.nan])
    with pytest.warns(de.errors.MissingValuesWarning, match="in 2 rows") as warned:
        design = told("interval(lo, hi, open='missing')", unknown)
    assert "open at both ends" in str(warned[0].message.hint)
    assert design.rows.used == 3
    assert design.rows.dropped == {"interval(lo, hi, open='missing')": 2}


REFUSED: dict[str, tuple[type[DisteconometricsError], str]] = {
    "interval(hi, lo)": (OutcomeError, "lower end above the upper"),
    "interval(lo)": (FormulaError, "2 column"),
    "interval(lo, hi, open='x')": (FormulaError, "open must be 'missing'"),
    "topcoded(y)": (FormulaError, "at must be a number, or the bare name of a column"),
    "topcoded(y, at='cap')": (FormulaError, "bare name of a column of caps, not 'cap'"),
    "topcoded(y, at=nothing)": (MissingColumnError, "'nothing'"),
    "topcoded(y, at=inf)": (FormulaError, "not inf"),
    "topcoded(y, at=True)": (FormulaError, "not True"),
    "topcoded(y, at=y.max())": (UnsafeFormulaError, "constants"),
    "topcoded(log(y), at=log(4))": (UnsafeFormulaError, "Write the number"),
    "topcoded(y, at=4, by=1)": (FormulaError, "arguments that topcoded"),
    "topcoded(y, 4, at=5)": (FormulaError, "gives at twice"),
    "topcoded(band, at=4)": (DataError, "text or categories"),
    "rounded(y, to=0.3)": (OutcomeError, r"off the grid of 0.3 \(1.0, 2.5, 4.0\)"),
    "rounded(y, to=0)": (FormulaError, "positive"),
    "rounded(y, to=0.5, direction='off')": (FormulaError, "'nearest' or 'up' or 'down'"),
    "topcoded(rounded(y, to=0.5), at=3.8)": (OutcomeError, "caps off the grid"),
    "brackets(y, [0, 1, 2])": (OutcomeError, r"outside its brackets \(2.5, 4.0\)"),
    "brackets(y, [1, 0])": (FormulaError, "increasing"),
    "brackets(y, [-inf, inf])": (FormulaError, "increasing"),
    "brackets(y, [0, 9], closed='both')": (FormulaError, "'left' or 'right'"),
    "brackets(y)": (OutcomeError, "have to be given"),
    "brackets(band, [0, 9])": (OutcomeError, "bounds of their own"),
    "mass(y, 7)": (OutcomeError, "no row at its mass"),
    "mass(y, 2, corner=True)": (OutcomeError, "values below its corner"),
    "mass(y, -7, corner=True)": (OutcomeError, "no row at its corner"),
    "mass(bottomcoded(y, at=0), 1, corner=True)": (FormulaError, "at a corner ends the law"),
    "mass(y, 0, corner='yes')": (FormulaError, "corner must be True or False"),
    "mass(bottomcoded(y, at=0), 0)": (OutcomeError, "mass at a cap"),
    "rounded(topcoded(y, at=4), to=1)": (FormulaError, "order in which outcomes are recorded"),
    "topcoded(topcoded(y, at=4), at=3)": (FormulaError, "each once"),
    "topcoded(interval(lo, hi), at=4)": (FormulaError, "caps of its own"),
    "topcoded(log(rounded(y, to=1)), at=4)": (FormulaError, "functions outside of all recorders"),
    "I(-topcoded(y, at=4))": (FormulaError, "only increasing functions"),
    "topcoded(y, at=4) + 1": (FormulaError, "Wrap a computed outcome in I"),
    "topcoded(y, at=-cap)": (UnsafeFormulaError, "constants"),
    "brackets(y, [[0], 9])": (FormulaError, "increasing"),
    "scale(topcoded(y, at=4))": (FormulaError, "only increasing functions"),
    "log(bottomcoded(y, at=0))": (OutcomeError, "leaves nothing"),
    "log(topcoded(y, at=4))": (DataError, "is inf in 1 row"),
    "topcoded(x, at=4)": (FormulaError, "also on the right side"),
}


@pytest.mark.parametrize("left", REFUSED)
def test_what_is_refused(left: str) -> None:
    kind, words = REFUSED[left]
    with pytest.raises(kind, match=words):
        told(left)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ("topcoded(y, at=3)", "above its cap .3. in 1 row"),
        ("topcoded(y, at=cap)", "above its cap .column 'cap'. in 1 row"),
        ("bottomcoded(y, at=0)", "held by one row alone"),
        ("bottomcoded(y, at=1)", "below its floor .1. in 1 row"),
        ("topcoded(heaped, at=2.4850)", "No row .* 3 rows hold the largest value, 2.4849"),
    ],
)
def test_what_is_warned_of(left: str, words: str) -> None:
    with pytest.warns(RecordingWarning, match=words):
        build_design(
            f"{left} ~ x",
            D.assign(cap=2.5, heaped=[0.5] + [2.4849] * (len(D) - 1)).iloc[:4],
            outcome="recorded",
        )


def test_a_cap_that_arithmetic_made_is_the_cap() -> None:
    told = {"y": [0.1 * 3, 0.1, 0.2, 0.1 * 3], "x": [1.0, 2.0, 3.0, 4.0]}  # 0.1 * 3 is above 0.3
    design = build_design("topcoded(y, at=0.3) ~ x", told, outcome="recorded")
    assert design.records.counts() == {"exact": 2, "open above": 2}


DOORS: dict[str, Any] = {
    "Logit": lambda f: de.Logit(f),
    "OrderedProbit": lambda f: de.OrderedProbit(f),
    "DistributionRegression": lambda f: de.DistributionRegression(f),
    "TransportMap": lambda f: de.TransportMap(f),
    "TransportDensity": lambda f: de.TransportDensity(f),
    "WassersteinDistance": lambda f: de.WassersteinDistance(f),
    "MinimumWasserstein": lambda f: de.MinimumWasserstein(f, lambda t, x, e: e, start=[1.0]).fit(D),
    "joint..": lambda f: de.joint(de.NormalRegression(f), de.NormalRegression("x ~ 1")).fit(D),
}


@pytest.mark.parametrize("name", DOORS)
def test_others_refuse_by_name_with_the_door(name: str) -> None:
    with pytest.raises(OutcomeError, match=f"{name} takes outcomes as they stand.*NormalRegression"):
        DOORS[name]("topcoded(y, at=4) ~ x")
    with pytest.raises(FormulaError, match="of the outcome only"):
        de.NormalRegression("y ~ topcoded(x, at=1)").fit(D)
    with pytest.raises(OutcomeError, match="This estimator takes outcomes as they stand"):
        build_design("rounded(y, to=0.5) ~ x", D, outcome="numeric")
