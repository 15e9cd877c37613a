"""No formula runs code, or takes more than 5 seconds and 300 MB: some by default, two thousand if slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("hostile.py")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_hostile_formulas_are_harmless(step: int, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path), str(step)],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-4_000:] + told.stderr[-2_000:]
    summary = json.loads(told.stdout.splitlines()[-1])
    assert summary["formulas"] > 2_000 / step
    assert summary["ended"]["UnsafeFormulaError"] > 10
    assert summary["ended"]["fit"] > 1
