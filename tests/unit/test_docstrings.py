"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import numpy as np
import pytest

import disteconometrics as de

MODULES = sorted(m.name for m in pkgutil.walk_packages(de.__path__, "disteconometrics."))


@pytest.mark.parametrize("name", ["disteconometrics", *MODULES])
def test_examples_of_module(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples may write files
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(verbose=False)
    printed: list[str] = []
    for test in doctest.DocTestFinder().find(module, name, extraglobs={"np": np, "de": de}):
        runner.run(test, out=printed.append)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert runner.failures == 0, "".join(printed)


@pytest.mark.parametrize("name", [n for n in de.__all__ if not inspect.ismodule(getattr(de, n))])
def test_public_name_has_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(de, name)) or "")
