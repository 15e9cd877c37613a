"""House rules that every test obeys: global random states stay where they are, and no figure is left open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


def _states() -> dict[str, bytes]:
    """Fingerprints of the global random states of the libraries that are loaded."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 (to see that nobody uses it)
    states = {"numpy": repr((kind, rest)).encode() + np.asarray(keys).tobytes()}
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states


def _figures() -> set[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot else set()


@pytest.fixture(autouse=True)
def _leaves_no_trace() -> Iterator[None]:
    """Fail a test that moves a global random state or leaves a matplotlib figure open."""
    before, figures = _states(), _figures()
    yield
    moved = [name for name, state in _states().items() if before.get(name, state) != state]
    left = _figures() - figures
    for number in left:
        sys.modules["matplotlib.pyplot"].close(number)
    if moved:
        pytest.fail(f"the global random state of {' and '.join(moved)} was moved")
    if left:
        pytest.fail(f"{len(left)} matplotlib figures were left open")
