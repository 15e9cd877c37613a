"""Files and a store of version 0.1.0 are read as it read them; `reference/files_0_1_0/write.py` made them."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import disteconometrics as de
from disteconometrics.report.summary import estimates_section
from disteconometrics.tables import Summary

FOLDER = Path(__file__).parents[1] / "reference" / "files_0_1_0"
WRITE: dict[str, Any] = runpy.run_path(str(FOLDER / "write.py"))
SAID: dict[str, Any] = json.loads((FOLDER / "said.json").read_text(encoding="utf-8"))
FILES = [name for name in SAID if name != "study"]
NUMBERS = 1e-9  # relative, of p-values and limits: functions of what the file holds, on another processor
OTHER_AVERAGES = {"flow"}  # print the population's errors now, and other effects; their numbers stay
DRAWS = 1e-6  # relative, of quantiles that a search or a net gives, and of estimates made anew


def same(found: Any, stored: Any, rel: float) -> bool:
    return bool(found == pytest.approx(stored, rel=rel, abs=1e-12, nan_ok=True))


def without_what_changed(summary: str) -> str:
    """A summary but for the test of all regressors, which was the likelihood ratio in any case.

    Nor did it say what moves location, scale and shape, and what there is not was nan.
    """
    text = re.sub(r"(LLR|Wald) p-value: +\S+", "p-value", re.sub(r"\nLocation moves .*none\.", "", summary))
    return re.sub(" *(\n| |$)", r"\1", re.sub(r"\b(nan|none|withheld)\b", "", text))


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_it_was(name: str) -> None:
    found, stored = WRITE["said"](de.load(FOLDER / f"{name}.npz")), SAID[name]
    assert found["repr"] == stored["repr"]
    if name not in OTHER_AVERAGES:
        assert without_what_changed(found["summary"]) == without_what_changed(stored["summary"])
    assert found["estimates"].keys() == stored["estimates"].keys()
    for column, values in stored["estimates"].items():
        assert same(found["estimates"][column], values, NUMBERS), column
    assert same(found["law"], stored["law"], DRAWS)


@pytest.mark.parametrize("name", WRITE["ROWS"])
@pytest.mark.filterwarnings("ignore::disteconometrics.errors.FewClustersWarning")
@pytest.mark.filterwarnings("ignore:Withheld. std:disteconometrics.errors.InfiniteMomentWarning")
def test_a_file_meets_its_rows_again(name: str) -> None:
    if name in OTHER_AVERAGES:
        result = de.load(FOLDER / f"{name}.npz").attach(WRITE["ROWS"][name]).with_cov("HC0")
        section = estimates_section(result.functionals(target="sample"))
        given = str(Summary("", ((), ()), (section,), ()))
        numbers = [[w for w in line.split() if w[-1].isdigit()] for line in given.splitlines()]
        stored = [
            [w for w in line.split() if w[-1].isdigit()] for line in SAID[name]["attached"].splitlines()
        ]
        assert all(line in stored for line in numbers)
        return
    attached = WRITE["attached"](name, de.load(FOLDER / f"{name}.npz"))
    assert without_what_changed(attached) == without_what_changed(SAID[name]["attached"])


def test_a_study_goes_on_from_its_store(tmp_path: Path) -> None:
    """Stored replications are kept as they are, later ones come behind, and all are those of one run."""
    study, done = WRITE["STUDY"], WRITE["REPS"]
    store = tmp_path / "study.store"
    shutil.copy(FOLDER / "study.store", store)
    found = study.run(done + 4, store=store).replications
    assert store.read_bytes().startswith((FOLDER / "study.store").read_bytes())
    kept = found[found["replication"] < done].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, pd.DataFrame(SAID["study"]), check_exact=True)
    pd.testing.assert_frame_equal(found, study.run(done + 4, seed=1).replications, rtol=DRAWS)
