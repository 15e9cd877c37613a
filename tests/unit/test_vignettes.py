"""Every vignette runs without a warning; its committed page has the text, the code and, nearly,
the numbers of a fresh one.
"""

from __future__ import annotations

import re
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import disteconometrics as de

FOLDER = Path(__file__).parents[2] / "vignettes"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
LARGEST_PICTURE = 60_000  # bytes
SHORT = ("01", "02", "07")  # run by default; the others take ten to twenty seconds each


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


def output(page: str) -> tuple[list[str], list[float]]:
    """Words and numbers of what the cells printed; times apart, which differ from run to run."""
    printed = "\n".join(re.findall(r"```text\n(.*?)\n```", page, flags=re.DOTALL))
    printed = re.sub(r"\d[\d.,]* (?=seconds|s\b)", "", printed)
    number = r"(?<![\w.])[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?(?![\w])"
    numbers = [float(text.replace(",", "")) for text in re.findall(number, printed)]
    return re.findall(r"[A-Za-z]\w+", re.sub(number, " ", printed)), numbers


@pytest.mark.parametrize("script", SCRIPTS, ids=[s.stem for s in SCRIPTS])
def test_a_page_has_the_text_and_the_code_of_its_script(script: Path) -> None:
    cells = runpy.run_path(str(FOLDER / "render.py"))["cells"](script.read_text(encoding="utf-8"))
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text, _ in cells]
    page = without_output(script.with_suffix(".md").read_text(encoding="utf-8"))
    page = re.sub(r"!\[\]\(.*?\)\n\n?", "", page)
    assert page.strip() == "\n\n".join(parts).strip(), "run python vignettes/render.py"


def test_scripts_go_by_name_or_path() -> None:
    """Of the folder of the scripts, wherever the call comes from; all of them unless some are named."""
    found = runpy.run_path(str(FOLDER / "render.py"))["scripts"]
    assert found([SCRIPTS[0].stem, "elsewhere/02_b.py"], FOLDER) == [SCRIPTS[0], Path("elsewhere/02_b.py")]
    assert found([], FOLDER) == SCRIPTS


RUN = [pytest.param(s, id=s.stem, marks=() if s.stem[:2] in SHORT else pytest.mark.slow) for s in SCRIPTS]


@pytest.mark.parametrize("script", RUN)
def test_vignette_runs_and_its_page_is_current(script: Path, tmp_path: Path) -> None:
    page = runpy.run_path(str(FOLDER / "render.py"))["render"](script, tmp_path).read_text(encoding="utf-8")
    assert plt.get_fignums() == []
    committed = script.with_suffix(".md").read_text(encoding="utf-8")
    assert without_output(page) == without_output(committed), "run python vignettes/render.py"
    words, numbers = output(page)
    if pd.__version__ >= "3":  # earlier ones print other types
        committed_words, committed_numbers = output(committed)
        assert words == committed_words
        # trained nets differ by machine in the third digit, which p-values and small numbers feel most
        np.testing.assert_allclose(numbers, committed_numbers, rtol=0.1, atol=0.02)
    for name in re.findall(r"!\[\]\((.*?)\)", page):
        assert (tmp_path / name).stat().st_size > 0
        assert (FOLDER / name).stat().st_size < LARGEST_PICTURE


def test_the_first_look_of_the_readme_shows_the_first_page() -> None:
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    look = readme[readme.index("## A first look") : readme.index("## What you write")]
    page = (FOLDER / "01_start.md").read_text(encoding="utf-8").splitlines()
    blocks = re.findall(r"```text\n(.*?)\n```", look, flags=re.DOTALL)
    assert [
        line for block in blocks for line in block.splitlines() if line.strip() and line not in page
    ] == []


SNIPPETS = re.findall(
    r"```python\n(.*?)\n```", (FOLDER.parent / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL
)


@pytest.mark.slow
@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_of_the_readme_runs_on_its_own_and_names_its_warnings(snippet: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(compile(snippet, "README.md", "exec"), {})
    plt.close("all")
    told = {w.category.__name__ for w in caught if issubclass(w.category, de.errors.DisteconometricsWarning)}
    assert told == set(re.findall(r"# (\w+Warning)", snippet))


def test_there_are_vignettes() -> None:
    assert SCRIPTS
