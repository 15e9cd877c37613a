"""The evidence that the package ships is that of the pages, and every answer it speaks of is one."""

from __future__ import annotations

import math
import re
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import disteconometrics as de
from disteconometrics.errors import OptionError
from disteconometrics.estimators.loading import KINDS, _loaded

sys.path.insert(0, str(Path(__file__).parent))

import evidence as command


def test_the_stored_file_is_what_the_pages_say() -> None:
    stored = files("disteconometrics.report").joinpath("evidence.json").read_text(encoding="utf-8")
    assert stored == command.text(), "run: python tests/statistical/evidence.py --write"


@pytest.mark.parametrize(
    ("page", "where", "low", "high"),
    [
        (command.PARTS, "^band.* law", 0.93, 0.985),
        (command.PARTS, "^band of the (total|comp|struc)", 0.94, 1.0),
        (command.PARTS, "^limits of the (mean|Gini)", 0.93, 0.97),
        (command.REGRESSION, "process, x|^band, [dz]", 0.93, 0.975),
        (command.REGRESSION, "^band of its quantile", 0.93, 0.985),
        (command.REGRESSION, "^size of", 0.0, 0.05),
    ],
)
def test_stored_columns_keep_what_was_asked_for(page: str, where: str, low: float, high: float) -> None:
    """Within three Monte Carlo errors of as many samples as the first row says."""
    (_, *designs), (_, *counts), *rows = command.tables(page)[0]
    found = [row for row in rows if re.search(where, row[0])]
    assert found
    for name, *cells in found:
        for design, count, cell in zip(designs, counts, cells, strict=True):
            if cell:
                errors = [3 * math.sqrt(b * (1 - b) / float(count.replace(",", ""))) for b in (low, high)]
                assert low - errors[0] <= float(cell) <= high + errors[1], (name, design)


@pytest.mark.parametrize("answer", command.EVIDENCE)
def test_every_part_of_an_answer_finds_something(answer: str) -> None:
    estimator, _, name = answer.partition(".")
    assert hasattr(_loaded(KINDS[estimator][1]), name)
    for part in command.EVIDENCE[answer]:
        found = command.figures(part) if isinstance(part, command.Rows) else command.records(part)
        assert list(found), part


@pytest.mark.parametrize("answer", ["CLogLog.nlcom", "Probit.params", "JointDensity.params", "rif_decompose"])
def test_an_answer_without_a_study_says_so(answer: str) -> None:
    found = de.evidence(answer)
    assert found.to_frame().empty
    assert "No study of ours stands behind" in " ".join(str(found).split())


def test_sizes_of_tests_are_marked() -> None:
    frame = de.evidence("Probit.test").to_frame()
    uneven = frame[frame["coverage"].str.contains("size .497", regex=False)]
    assert uneven["outside"].all()
    assert not frame["outside"].all()


def test_failures_are_marked_and_unknown_names_told() -> None:
    frame = de.evidence("Logit.params").to_frame().set_index(["design", "answer"])
    assert frame.loc[("80 firms with shocks", "nonrobust, x"), "outside"]
    assert not frame.loc[("80 firms with shocks", "clustered, t, x"), "outside"]
    assert "outside" in str(de.evidence("Logit.params"))
    with pytest.raises(OptionError, match=r"FlowDensity\.effect"):
        de.evidence("FlowDensity.efect")
