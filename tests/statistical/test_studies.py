"""Every declared study keeps its bands; see `studies.py`.

By default in a short version, with four Monte Carlo standard errors of its own, and the table of the full
size, `coverage.md`, is held to the bands; the usual and the full size run behind the marker ``slow``.  Each
prints its figures (``pytest -rP``): coverage with the mean width of the intervals beside it.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import disteconometrics as de

sys.path.insert(0, str(Path(__file__).parent))

from coverage_map import END, HERE, QUOTED, START
from studies import DRIFT, SHORT, SHORT_SLACK, SLACK, STUDIES, Band, run

pytestmark = pytest.mark.statistical
FULL = 10_000
STORED = 4_000  # replications of a row of coverage.md, at least


CASES = [(name, SHORT, SHORT_SLACK) for name in STUDIES]
CASES += [
    pytest.param(name, reps, SLACK, marks=pytest.mark.slow)
    for name, declared in STUDIES.items()
    for reps in (declared.reps, FULL)
]
REGULAR_SIZES = [  # with √n times the Kolmogorov distance that is passed once in 16,000, or in 1,000
    (SHORT, SHORT_SLACK, 2.28),
    pytest.param(STUDIES["regular"].reps, SLACK, 1.95, marks=pytest.mark.slow),
]


def stored() -> pd.DataFrame:
    """The table of `coverage.md`: measures, with errors where they stand, by design, estimator, parameter."""
    lines = (HERE / "coverage.md").read_text(encoding="utf-8").splitlines()
    rows_of = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines if line.startswith("| ")][1:]
    cells = [[c.strip().replace("\\|", "|") for c in row] for row in rows_of]

    def number(text: str) -> float:
        return float(text.replace("∞", "inf") or "nan")

    rows: dict[tuple[str, str, str], dict[str, float]] = {}
    for design, estimator, parameter, bias, ratio, coverage, _, rejection in cells:
        row = rows[design, estimator, parameter] = {}
        for name, pair in (("bias", bias), ("coverage", coverage)):
            value, _, error = pair.rstrip(")").partition(" (")
            row |= {name: number(value), f"{name}_mcse": number(error)}
        row["relative_error"] = 100 * (number(ratio) - 1)
        row["relative_error_mcse"] = (100 + row["relative_error"]) / math.sqrt(2 * (STORED - 1))
        row["rejection"] = number(rejection)
    return pd.DataFrame.from_dict(rows, orient="index")


@pytest.mark.parametrize("name", STUDIES)
def test_the_stored_table_keeps_the_bands(name: str) -> None:
    declared, table = STUDIES[name], stored()
    designs = table.index.get_level_values(0)
    ours = table[[d == declared.title or d.startswith(f"{declared.title}, ") for d in designs]]
    for band in declared.bands:
        rows = ours[ours.index.isin(band.estimators, level=1) & ours.index.isin(band.parameters, level=2)]
        cells = ours.index.get_level_values(0).nunique()
        assert len(rows) == len(band.estimators) * len(band.parameters) * cells, band
        for place, row in rows.iterrows():
            error = row.get(f"{band.measure}_mcse", np.nan)
            assert band.holds(row[band.measure], error, STORED), (place, band)


@pytest.mark.parametrize(("name", "reps", "slack"), CASES)
def test_bands_hold(name: str, reps: int, slack: float) -> None:
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
            if not band.holds(value, mcse, row["n_sim"], slack):
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


@pytest.mark.parametrize(("reps", "slack", "_"), REGULAR_SIZES)
@pytest.mark.parametrize("level", [0.01, 0.1, 0.5])
def test_tests_have_their_size_at_other_levels(level: float, reps: int, slack: float, _: float) -> None:
    names, values = run("regular", reps).numbers(None, "tests")
    sizes = (values[:, :, 4] <= level).mean(axis=0)
    most = slack * math.sqrt(level * (1 - level) / len(values)) + DRIFT
    assert (np.abs(sizes - level) <= most).all(), dict(zip(names, sizes, strict=True))


@pytest.mark.parametrize(("reps", "_", "furthest"), REGULAR_SIZES)
def test_p_values_are_uniform(reps: int, _: float, furthest: float) -> None:
    names, values = run("regular", reps).numbers(None, "tests")
    for name, p in zip(names, values[:, :, 4].T, strict=True):
        distance = stats.kstest(p, "uniform").statistic
        assert distance <= furthest / math.sqrt(len(p)) + DRIFT, (name, distance)


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
