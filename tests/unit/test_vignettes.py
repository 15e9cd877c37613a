"""Every vignette runs without a warning, and its committed page has the text and code of its script."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parents[2] / "vignettes"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
LARGEST_PICTURE = 60_000  # bytes


@pytest.fixture(autouse=True)
def _settings_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Vignettes may set how pandas prints, and nothing else; files go to a folder of their own."""
    monkeypatch.chdir(tmp_path)
    names = ("display.width", "display.max_columns")
    before = [pd.get_option(name) for name in names]
    yield
    for name, value in zip(names, before, strict=True):
        pd.set_option(name, value)


def without_output(page: str) -> str:
    return re.sub(r"```text\n.*?\n```\n\n?", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("script", SCRIPTS, ids=[s.stem for s in SCRIPTS])
def test_vignette_runs_and_its_page_is_current(script: Path, tmp_path: Path) -> None:
    page = runpy.run_path(str(FOLDER / "render.py"))["render"](script, tmp_path).read_text(encoding="utf-8")
    assert plt.get_fignums() == []
    committed = script.with_suffix(".md").read_text(encoding="utf-8")
    assert without_output(page) == without_output(committed), "run python vignettes/render.py"
    for name in re.findall(r"!\[\]\((.*?)\)", page):
        assert (tmp_path / name).stat().st_size > 0
        assert (FOLDER / name).stat().st_size < LARGEST_PICTURE


def test_there_are_vignettes() -> None:
    assert SCRIPTS
