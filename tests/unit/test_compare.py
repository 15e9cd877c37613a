"""Results side by side: the union of terms, every format, and what is refused."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.errors import OptionError, SeparationWarning
from disteconometrics.report.comparison import Comparison


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    spector = de.datasets.spector()
    return {
        "small": de.Logit("GRADE ~ PSI").fit(spector),
        "a_b & c": de.Logit("GRADE ~ GPA + PSI + I(GPA**2)").fit(spector.iloc[1:], cov="HC1"),
        "probit": de.Probit("GRADE ~ TUCE + PSI").fit(spector),
    }


@pytest.fixture(scope="module")
def table(fits: dict[str, Any]) -> Comparison:
    return de.compare(fits, stars=True, statistics=("nobs", "aic", "covariance"))


class Cells(HTMLParser):
    """The cells of a table, row by row; a tag that closes out of order fails."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_frame_holds_the_unrounded_numbers(fits: dict[str, Any], table: Comparison) -> None:
    frame = table.to_frame()
    terms = ["Intercept", "PSI", "GPA", "I(GPA ** 2)", "TUCE"]
    assert list(dict.fromkeys(frame.index.get_level_values("term"))) == [*terms, "Observations", "AIC"]
    for name, res in fits.items():
        np.testing.assert_array_equal(
            frame[name].xs("estimate", level="kind").reindex(res.params.index), res.params
        )
        np.testing.assert_array_equal(
            frame[name].xs("std_error", level="kind").reindex(res.params.index), res.bse
        )
        assert frame.loc[("AIC", "value"), name] == res.aic
    assert frame["small"].xs("estimate", level="kind").isna().sum() == 3
    assert frame.attrs["covariance"] == ["nonrobust", "HC1", "nonrobust"]
    frame.iloc[:] = 0
    assert table.to_frame().iloc[0, 0] != 0


def test_every_format_says_the_same(table: Comparison) -> None:
    rows = [("", *table.names), *table.body, *table.foot]
    html = Cells()
    html.feed(table.as_html())
    assert html.rows == [list(r) for r in rows]
    assert not html.open
    markdown = [line for line in table.as_markdown().splitlines() if line.startswith("| ")]
    plain = [[c.strip().replace("\\", "") for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in markdown]
    assert plain == [list(r) for r in rows]
    latex = [line for line in table.as_latex().splitlines() if line.endswith(r"\\")]
    assert [line.count(" & ") for line in latex] == [3] * len(rows)
    assert r"a\_b \& c" in latex[0]
    assert "$-$" in latex[1]
    text = table.as_text().splitlines()
    assert len({len(line) for line in text if set(line) == {"-"}}) == 1
    for cell in {c for r in rows for c in r}:
        assert cell in table.as_text()
    # digits of a column end below each other whatever marks follow
    ends = [re.search(r"\d(?=[*)]*\s*$)", line[:28]) for line in text[2:6]]
    assert len({m.start() for m in ends if m}) == 1


def test_columns_in_several_spellings(fits: dict[str, Any]) -> None:
    first, second, _ = fits.values()
    assert de.compare([first, second]).names == ("(1)", "(2)")
    assert "different numbers of observations" in str(de.compare([first, second]))
    assert "*" not in str(de.compare([first]))
    spaced = de.compare([second], labels={" PSI": "Instruction"}, keep=["GPA", "PSI "])
    assert "Instruction" in str(spaced)
    assert "Intercept" not in str(spaced)
    ratio = second.nlcom("PSI / GPA")
    both = de.compare([second, ratio], names=["fit", "ratio"])
    assert "PSI / GPA" in str(both)
    assert both.to_frame().loc[("PSI / GPA", "estimate"), "ratio"] == ratio.values[0]


def test_infinite_and_withheld_numbers_are_said() -> None:
    frame = pd.DataFrame({"y": [0, 1, 0, 1, 1, 1], "x": [0, 0, 0, 0, 1, 1], "w": [1.0, 2, 1, 2, 1, 1]})
    with pytest.warns(SeparationWarning):
        separated = de.Logit("y ~ x").fit(frame)
    sampled = de.Logit("y ~ 1", weights="w", weight_type="sampling").fit(frame)
    text = str(de.compare([separated, sampled], statistics=["aic"]))
    for words in (
        "inf",
        "(none)",
        "(1): some coefficients are infinite",
        "withheld",
        "(2): sampling weights",
    ):
        assert words in text


def test_log_likelihoods_of_different_outcomes_are_told() -> None:
    fits = [
        de.NormalRegression(f"{y} ~ income").fit(de.datasets.engel()) for y in ("foodexp", "log(foodexp)")
    ]
    assert "log-likelihoods are of different outcomes" in str(de.compare(fits))
    assert "different outcomes" not in str(de.compare(fits, statistics=["nobs"]))
    assert "different outcomes" not in str(de.compare([fits[0], fits[0].with_cov("HC1")]))


def test_a_penalty_is_said() -> None:
    res = de.Logit("GRADE ~ PSI", penalty="firth").fit(de.datasets.spector())
    text = str(de.compare([res]))
    assert "Logit (Firth)" in text
    assert "(1): penalised estimates" in text
    np.testing.assert_array_equal(res.tidy(level=0.9)[["conf_low", "conf_high"]], res.conf_int(level=0.9))


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], {}, "at least one"),
        ([1], {}, "no .estimates"),
        ("one", {"names": ["a", "b"]}, "1 different names"),
        ("one", {"statistics": ["r2"]}, "'r2'"),
        ("one", {"statistics": "nobs"}, "give a list"),
        ("bare", {}, "takes a list"),
    ],
)
def test_refusals(fits: dict[str, Any], given: Any, options: dict[str, Any], message: str) -> None:
    results = {"one": [fits["small"]], "bare": fits["small"]}[given] if isinstance(given, str) else given
    with pytest.raises(OptionError, match=message):
        de.compare(results, **options)
