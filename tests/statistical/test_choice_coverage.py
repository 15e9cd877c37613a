"""What intervals of multinomial and conditional logits cover, in `coverage_of_choice.md`.

::

    python tests/statistical/test_choice_coverage.py

runs every study at full size and writes the table.  The bands were stated before the first run: .93 to .97
for coefficients, margins, elasticities and willingness to pay.  Effects are averages over the very rows of a
sample, so that the truth is that of its rows.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import disteconometrics as de

sys.path.insert(0, str(Path(__file__).parent))

import pages

pytestmark = pytest.mark.statistical
STORED = Path(__file__).with_name("coverage_of_choice.md")
N, FULL, SHORT = 500, 1_000, 30
LOW, HIGH = 0.93, 0.97
COLUMNS = ["estimate", "std_error", "conf_low", "conf_high"]
Table = dict[str, Any]

MULTINOMIAL = {
    "b[Intercept]": 0.2,
    "b[x]": 0.7,
    "b[d]": -0.5,
    "c[Intercept]": -0.3,
    "c[x]": -0.4,
    "c[d]": 0.0,
}
CONDITIONAL = {
    "cost": -1.0,
    "C(mode)[T.car]": 0.5,
    "C(mode)[T.walk]": -0.2,
    "income:C(mode)[car]": 0.4,
    "income:C(mode)[walk]": -0.6,
}
EXACT = {"x": 0.8, "d": -0.5}


def modes(rng: np.random.Generator, n: int = N) -> Table:
    """Three categories by utility with Gumbel noise."""
    x, d = rng.normal(size=n), (rng.random(n) < 0.4).astype(float)
    B = np.array(list(MULTINOMIAL.values())).reshape(2, 3)
    u = np.column_stack([np.zeros(n), np.column_stack([np.ones(n), x, d]) @ B.T]) + rng.gumbel(size=(n, 3))
    return {"y": np.array(list("abc"))[u.argmax(axis=1)], "x": x, "d": d}


def twice(rng: np.random.Generator) -> Table:
    """Every row twice, as a cluster."""
    half = modes(rng, N // 2)
    return {name: np.repeat(a, 2) for name, a in {**half, "id": np.arange(N // 2)}.items()}


def trips(rng: np.random.Generator) -> Table:
    """Choices of three modes, of which the car is missing in a fifth of the sets."""
    ids = np.repeat(np.arange(N), 3)
    mode, income = np.tile(["bus", "car", "walk"], N), rng.normal(size=N)[ids]
    there = (mode != "car") | (rng.random(N) < 0.8)[ids]
    ids, mode, income = ids[there], mode[there], income[there]
    cost, car, walk = rng.exponential(size=len(ids)), mode == "car", mode == "walk"
    b = list(CONDITIONAL.values())
    u = b[0] * cost + car * (b[1] + b[3] * income) + walk * (b[2] + b[4] * income) + rng.gumbel(size=len(ids))
    best = pd.Series(u).groupby(ids).transform("max")
    return {"id": ids, "mode": mode, "cost": cost, "income": income, "y": (u == best).astype(int).to_numpy()}


def panel(rng: np.random.Generator) -> Table:
    """Six periods of people with effects that go with x."""
    people, periods = N // 2, 6
    effect = rng.normal(size=people)
    ids = np.repeat(np.arange(people), periods)
    x, d = rng.normal(size=len(ids)) + effect[ids], (rng.random(len(ids)) < 0.4).astype(float)
    eta = EXACT["x"] * x + EXACT["d"] * d + effect[ids] - 0.5
    return {"id": ids, "x": x, "d": d, "y": (eta + rng.logistic(size=len(ids)) > 0).astype(int)}


def less_truth(found: Any, true: Any) -> dict[str, tuple[float, ...]]:
    """Effects less those of the true coefficients on the same rows, whose truth is zero."""
    table = found.estimates.table()[COLUMNS]
    gap = true.params.to_numpy()
    return {
        name: (row[0] - t, row[1], row[2] - t, row[3] - t)
        for name, row, t in zip(table.index, table.to_numpy(), gap, strict=True)
    }


def mode_margins(table: Table) -> dict[str, tuple[float, ...]]:
    """Average effects on every category."""
    res = de.MultinomialLogit("y ~ x + d").fit(table)
    true = replace(res, coefficients=np.array(list(MULTINOMIAL.values())))
    return less_truth(res.margins(), true.margins())


TRIPS = de.ConditionalLogit("y ~ cost + C(mode) + income:C(mode)", choice="id")


def trip_effects(table: Table) -> dict[str, tuple[float, ...]]:
    """Elasticities of the cost, effects of income, and what modes are worth."""
    res = TRIPS.fit(table)
    true = replace(res, coefficients=np.array(list(CONDITIONAL.values())))
    worth = res.willingness_to_pay("cost", ["C(mode)[T.car]"]).table()[COLUMNS].iloc[0]
    return {
        **less_truth(res.elasticities("cost"), true.elasticities("cost")),
        **less_truth(res.margins("income"), true.margins("income")),
        "worth of a car": tuple(worth - [0.5, 0.0, 0.5, 0.5]),
    }


EFFECTS = {f"{v} [{j}]": 0.0 for v in ("x", "d: 1 - 0") for j in "abc"}
MODES = ("bus", "car", "walk")
TRIP_EFFECTS = {
    **{f"cost of {b} [{a}]": 0.0 for b in MODES for a in MODES},
    **{f"income [{a}]": 0.0 for a in MODES},
    "worth of a car": 0.0,
}
STUDIES = {
    "multinomial": (
        de.MonteCarlo(
            modes,
            {
                "mle": de.MultinomialLogit("y ~ x + d"),
                "HC1": (de.MultinomialLogit("y ~ x + d"), {"cov": "HC1"}),
            },
            truth=MULTINOMIAL,
        ),
        31,
    ),
    "multinomial, effects": (de.MonteCarlo(modes, {"margins": mode_margins}, truth=EFFECTS), 32),
    "multinomial, rows twice": (
        de.MonteCarlo(
            twice,
            {"clusters": (de.MultinomialLogit("y ~ x + d"), {"cov": de.Cluster("id")})},
            truth=MULTINOMIAL,
        ),
        33,
    ),
    "conditional": (
        de.MonteCarlo(trips, {"mle": TRIPS, "HC1": (TRIPS, {"cov": "HC1"})}, truth=CONDITIONAL),
        34,
    ),
    "conditional, effects": (de.MonteCarlo(trips, {"answers": trip_effects}, truth=TRIP_EFFECTS), 35),
    "conditional, several successes": (
        de.MonteCarlo(
            panel, {"mle": de.ConditionalLogit("y ~ x + d", choice="id", successes="exact")}, truth=EXACT
        ),
        36,
    ),
}


def figures(name: str, reps: int) -> pd.DataFrame:
    """Bias and coverage of a study, by estimator and parameter."""
    study, seed = STUDIES[name]
    return study.run(reps, seed=seed, max_fail=0.01, n_jobs=1).table()


def test_the_stored_table_keeps_the_bands() -> None:
    rows = pages.stored(STORED)
    assert {name for name, _, _ in rows} == set(STUDIES)
    outside = [row for row, (held, reps) in rows.items() if not LOW <= held <= HIGH or reps < FULL]
    assert not outside


@pytest.mark.parametrize(
    ("name", "reps"),
    [
        *(pytest.param(name, FULL, marks=pytest.mark.slow) for name in STUDIES),
        ("multinomial, effects", SHORT),
        ("conditional, effects", SHORT),
    ],
)
def test_intervals_cover(name: str, reps: int) -> None:
    slack = (3 if reps == FULL else 4) * np.sqrt(LOW * (1 - LOW) / reps)
    coverage = figures(name, reps)["coverage"].dropna()
    assert len(coverage)
    assert coverage.between(LOW - slack, 1.0 if reps == SHORT else HIGH + slack).all()


def main() -> None:
    """Run the studies at full size and write the table."""
    about = (
        f"{FULL:,} replications, n = {N} (rows, or choice sets; the panel has {N // 2} people in six "
        f"periods), Monte Carlo error of a coverage .007; by `python "
        f"tests/statistical/test_choice_coverage.py`, run on {datetime.now(UTC):%Y-%m-%d}. Effects less the "
        f"truth of the sample's rows."
    )
    tables = ((name, figures(name, FULL), FULL) for name in STUDIES)
    pages.write(STORED, "Coverage of multinomial and conditional logits", about, tables)


if __name__ == "__main__":
    sys.exit(main())
