"""House rules that every test obeys: global random states stay where they are, and no figure is left open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    # problems are small, and a second thread that waits for its turn costs a busy machine ten times the time
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 (reads the variables)

# Files of the quick subset, from tests/: what most edits touch, in under a minute.
QUICK = (
    "contracts/test_bernoulli.py",
    "contracts/test_laws.py",
    "contracts/test_results.py",
    "contracts/test_spline_law.py",
    "reference/test_logit_firth.py",
    "reference/test_logit_margins.py",
    "reference/test_logit_targets.py",
    "reference/test_transport_targets.py",
    "test_architecture.py",
    "unit/test_cloglog.py",
    "unit/test_compare.py",
    "unit/test_covariance.py",
    "unit/test_data_design.py",
    "unit/test_data_formula.py",
    "unit/test_data_table.py",
    "unit/test_exchange.py",
    "unit/test_functionals.py",
    "unit/test_inference.py",
    "unit/test_infinite.py",
    "unit/test_likelihood.py",
    "unit/test_loading.py",
    "unit/test_logit.py",
    "unit/test_newton.py",
    "unit/test_normal.py",
    "unit/test_old_files.py",
    "unit/test_probit.py",
    "unit/test_rank.py",
)


def is_quick(path: Path) -> bool:
    folder = Path(__file__).parent
    return path.is_relative_to(folder) and path.relative_to(folder).as_posix() in QUICK


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave other files unread where the quick subset alone is asked for."""
    others = collection_path.suffix == ".py" and not is_quick(collection_path)
    return True if config.option.markexpr == "quick" and others else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the quick subset."""
    for item in items:
        if is_quick(item.path) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.quick)


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
