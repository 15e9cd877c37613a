"""Scripts as new users write them, from the pages and docstrings alone, on data that no page uses."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

SCRIPTS = sorted((Path(__file__).parents[1] / "first_hour").glob("*.py"))
SLOW = {"teacher_distributions"}  # three seconds: two flows, their answers and pictures

CASES = [
    pytest.param(script, id=script.stem, marks=[pytest.mark.slow] if script.stem in SLOW else [])
    for script in SCRIPTS
]


@pytest.mark.parametrize("script", CASES)
def test_a_script_runs_and_prints(
    script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    runpy.run_path(str(script), run_name="__main__")
    plt.close("all")
    printed = capsys.readouterr().out
    assert len(printed) > 1_000
    assert "\\begin{tabular}" in printed or script.stem == "teacher_distributions"


def test_there_are_six() -> None:
    assert len(SCRIPTS) == 6
