"""Every declared study keeps its bands; see `studies.py`.

Each prints its figures (``pytest -rP``): coverage with the mean width of the intervals beside it.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import disteconometrics as de

sys.path.insert(0, str(Path(__file__).parent))

from coverage_map import END, HERE, QUOTED, START
from studies import DRIFT, SLACK, STUDIES, Band, run

pytestmark = pytest.mark.statistical
SHORT, FULL = 400, 10_000  # by default, whose Monte Carlo errors widen the bands; and behind `slow`


CASES = [(name, SHORT) for name in STUDIES]
CASES += [pytest.param(name, FULL, marks=pytest.mark.slow) for name in STUDIES]


@pytest.mark.parametrize(("name", "reps"), CASES)
def test_bands_hold(name: str, reps: int) -> None:
    declared, mc = STUDIES[name], run(name, reps)
    table = mc.table()
    columns = [
        c
        for c in ("n_sim", "bias", "relative_error", "coverage", "coverage_mcse", "width", "rejection")
        if c in table
    ]
    print(f"\n{declared.title}\n{table[columns].round(4).to_string()}")
    wrong = []
    for band in declared.bands:
        rows = table[
            table.index.isin(band.estimators, level="estimator")
            & table.index.isin(band.parameters, level="parameter")
        ]
        assert len(rows) == len(band.estimators) * len(band.parameters) * len(mc.cells), band
        for place, row in rows.iterrows():
            value, mcse = row[band.measure], row.get(f"{band.measure}_mcse", np.nan)
            if not band.holds(value, mcse, row["n_sim"]):
                wrong.append(
                    f"{place}: {band.measure} {value:.4f} ({mcse:.4f}) is not in [{band.low:.4g}, "
                    f"{band.high:.4g}]"
                )
    assert not wrong, "\n".join(wrong)
    assert mc.failures.empty, mc.failures


def test_a_band_is_widened_by_monte_carlo_error_alone() -> None:
    coverage = Band("coverage", 0.94, 0.96, ("e",), ("p",))
    edge = 0.94 - 3 * math.sqrt(0.94 * 0.06 / 100)
    assert coverage.holds(edge + 1e-9, 0.0, 100)
    assert not coverage.holds(edge - 1e-9, 0.0, 100)
    assert not Band("coverage", 0.0, 0.9, ("e",), ("p",)).holds(1.0, 0.0, 1_000)
    assert Band("bias", -0.1, 0.1, ("e",), ("p",)).holds(0.12, 0.01, 100)
    assert not Band("bias", -0.1, 0.1, ("e",), ("p",)).holds(0.14, 0.01, 100)


@pytest.mark.parametrize("level", [0.01, 0.1, 0.5])
def test_tests_have_their_size_at_other_levels(level: float) -> None:
    names, values = run("regular", SHORT).numbers(None, "tests")
    sizes = (values[:, :, 4] <= level).mean(axis=0)
    slack = SLACK * math.sqrt(level * (1 - level) / len(values)) + DRIFT
    assert (np.abs(sizes - level) <= slack).all(), dict(zip(names, sizes, strict=True))


def test_p_values_are_uniform() -> None:
    names, values = run("regular", SHORT).numbers(None, "tests")
    for name, p in zip(names, values[:, :, 4].T, strict=True):
        distance = stats.kstest(p, "uniform").statistic
        assert distance <= 1.95 / math.sqrt(len(p)) + DRIFT, (name, distance)  # the 0.1 % point


def test_firth_has_estimates_where_maximum_likelihood_has_none() -> None:
    study = STUDIES["firth"].study
    plain = de.MonteCarlo(study.dgp, {"mle": de.Logit("y ~ x + d + z", separation="raise")}).run(
        200, seed=11, max_fail=1.0
    )
    assert 10 <= plain.failed() <= 120
    assert (plain.failures.reason == "separation").mean() > 0.9


def test_the_readme_quotes_the_table() -> None:
    table = (HERE / "coverage.md").read_text(encoding="utf-8").splitlines()
    block = (HERE.parents[1] / "README.md").read_text(encoding="utf-8").split(START)[1].split(END)[0]
    rows = [row for row in block.splitlines() if row.startswith("| ")]
    assert len(rows) == 1 + sum(len(places) for places in QUOTED.values())
    assert set(rows) <= set(table)
    for declared in STUDIES.values():
        assert any(row.startswith(f"| {declared.title}") for row in table), declared.title
