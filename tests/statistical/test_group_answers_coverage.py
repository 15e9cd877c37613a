"""What limits of averages by group, odds ratios and predictions cover, and the size of tests beside them.

::

    python tests/statistical/test_group_answers_coverage.py

runs every study at full size and writes `coverage_of_group_answers.md`.  The bands were stated before the
first run: coverages of .93 to .97, sizes of .03 to .07.  Averages are those of the population: their truth is
that of the true coefficients in 400,000 rows, which is known to a thirtieth of a standard error of 500.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import disteconometrics as de

sys.path.insert(0, str(Path(__file__).parent))

import pages

pytestmark = pytest.mark.statistical
STORED = Path(__file__).with_name("coverage_of_group_answers.md")
N, MANY, FULL, SHORT = 500, 400_000, 1_000, 30
LOW, HIGH, SIZES = 0.93, 0.97, (0.03, 0.07)
COLUMNS = ["estimate", "std_error", "conf_low", "conf_high"]
POINT = {"x": [0.5], "d": [1.0], "g": ["b"], "u": [0.0], "v": [0.0]}
RIGHT = "x + d + g + u + v"
SLOPES = np.array([0.7, -0.5, 0.4, 0.0, 0.0])  # of x, d, g = b, and of two that have none
FIRST = {"MultinomialLogit": "prob[b]", **dict.fromkeys(("OrderedLogit", "OrderedProbit"), "prob[3]")}
CUTS = np.array([-0.8, 0.3, 1.4])
Numbers = dict[str, Any]


# ---- outcomes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """Rows with an outcome of a kind; ``twice``: every row twice; ``drawn``: rows of high x more often."""

    outcome: str
    twice: bool = False
    drawn: bool = False

    def __call__(self, rng: np.random.Generator, n: int = N) -> Numbers:
        n = 3 * n if self.drawn else n // 2 if self.twice else n
        g = rng.random(n) < 0.5
        x, d = rng.normal(size=n) + 0.5 * g, (rng.random(n) < 0.4).astype(float)
        u, v = rng.normal(size=n) + 0.5 * x, rng.normal(size=n)
        eta = np.column_stack([x, d, g, u, v]) @ SLOPES
        table = {"x": x, "d": d, "g": np.array(["a", "b"])[g.astype(int)], "u": u, "v": v}
        table |= {"y": OUTCOMES[self.outcome](eta, rng), "firm": np.arange(n)}
        if self.drawn:
            share = 0.1 + 0.5 * stats.logistic.cdf(x)
            kept = rng.random(n) < share
            table = {name: a[kept] for name, a in {**table, "w": 1 / share}.items()}
        return {name: np.repeat(a, 2) for name, a in table.items()} if self.twice else table


def _modes(eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    u = np.column_stack([np.zeros(len(eta)), 0.2 + eta, 0.2 + eta]) + rng.gumbel(size=(len(eta), 3))
    return np.array(list("abc"))[u.argmax(axis=1)]


OUTCOMES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "Logit": lambda eta, rng: (eta + rng.logistic(size=len(eta)) > 0).astype(int),
    "Probit": lambda eta, rng: (eta + rng.normal(size=len(eta)) > 0).astype(int),
    "CLogLog": lambda eta, rng: (eta - 0.5 + rng.gumbel(size=len(eta)) > 0).astype(int),
    "OrderedLogit": lambda eta, rng: np.searchsorted(CUTS, eta + rng.logistic(size=len(eta))),
    "OrderedProbit": lambda eta, rng: np.searchsorted(CUTS, eta + rng.normal(size=len(eta))),
    "MultinomialLogit": _modes,
    "NormalRegression": lambda eta, rng: eta + rng.normal(size=len(eta)),
}
TRUE = {
    **dict.fromkeys(("Logit", "Probit"), np.append(0.0, SLOPES)),
    "CLogLog": np.append(-0.5, SLOPES),
    **dict.fromkeys(("OrderedLogit", "OrderedProbit"), np.append(SLOPES, CUTS)),
    "MultinomialLogit": np.tile(np.append(0.2, SLOPES), 2),
}


# ---- answers -----------------------------------------------------------------------------------------------


def said(name: str) -> str:
    """A name without the bar that parts cells of a table."""
    return name.replace(" | ", ", ")


def rows_of(table: pd.DataFrame, names: Any = None, words: str = "") -> Numbers:
    """Estimate, error and limits by name."""
    names = list(table.index) if names is None else names
    return {f"{said(name)}{words}": tuple(table.loc[name, COLUMNS]) for name in names}


def apart(estimates: Any, one: str, other: str) -> Numbers:
    """The difference of two estimates."""
    found = estimates.linear(f"`{one}` - `{other}`").table()[COLUMNS].iloc[0]
    return {f"{said(one)} less {said(other)}": tuple(found)}


def answers(res: Any, law: str) -> Numbers:
    """Averages for the population by group, with a contrast, effects, odds ratios and a prediction."""
    first = FIRST.get(law, "mean")
    means = res.functionals(first, by="g")
    effect = res.effect("x", -1.0, 1.0, first, by="g")
    out = {
        **rows_of(means.table(), words=", functional"),
        **apart(means, f"{first} | g = b", f"{first} | g = a"),
        **rows_of(effect.table(), words=", effect of x"),
    }
    if law == "NormalRegression":
        out |= rows_of(res.derivative("x", "mean", by="g").table(), words=", slope in x")
    if hasattr(res, "margins"):
        margins = res.margins(["x", "d"], by="g", target="population").estimates
        last = "" if first == "mean" else f" [{first[5:-1]}]"
        names = [f"{v} | g = {g}{last}" for v in ("x", "d: 1 - 0") for g in "ab"]
        out |= rows_of(margins.table(), names, ", margin") | apart(margins, names[1], names[0])
    if law in ("Logit", "OrderedLogit", "MultinomialLogit"):
        prefix = "b[{}]" if law == "MultinomialLogit" else "{}"
        out |= rows_of(res.odds_ratios(), [prefix.format(n) for n in ("x", "d", "g[T.b]")], ", odds ratio")
    point = res.predict(POINT, ci=True)
    out["prediction"] = tuple(point[COLUMNS].iloc[{"prob[3]": 3, "prob[b]": 1}.get(first, 0)])
    return out


def sizes(res: Any, law: str) -> Numbers:
    """Tests of what is true."""
    if law == "MultinomialLogit":
        return {
            "test_term": res.test_term("u", "v"),
            "test_categories": res.test_categories("b", "c"),
            "lr_test": res.lr_test("u, v"),
        }
    found = {"test": res.test("u = 0, v = 0")}
    if law != "NormalRegression":
        found["lr_test"] = res.lr_test("u, v")
    if law in ("Logit", "Probit", "CLogLog"):
        found |= {"score_test": res.score_test("u, v"), "link_test": _link(res)}
    if law == "Logit":
        found["hosmer_lemeshow"] = res.hosmer_lemeshow().test
    return found


def _link(res: Any) -> Any:
    return res.link_test().wald("index_squared = 0")


@dataclass(frozen=True)
class Asked:
    """Answers of a fit, or its tests."""

    law: str
    how: str = "answers"
    cov: Any = "HC1"
    weights: bool = False

    def __call__(self, table: Mapping[str, Any]) -> Numbers:
        options = {"weights": "w", "weight_type": "sampling"} if self.weights else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res = getattr(de, self.law)(f"y ~ {RIGHT}", **options).fit(table, cov=self.cov)
            return (answers if self.how == "answers" else sizes)(res, self.law)


@cache
def truth(law: str) -> dict[str, float]:
    """Answers of the true coefficients in very many rows."""
    table = Design(law)(np.random.default_rng(1), MANY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = getattr(de, law)(f"y ~ {RIGHT}").fit(table, cov="HC1")
        if law == "NormalRegression":  # whose fit to as many rows is as near
            return {name: float(row[0]) for name, row in answers(res, law).items()}
        found = answers(replace(res, coefficients=TRUE[law]), law)
    return {name: float(row[0]) for name, row in found.items()}


# ---- studies -----------------------------------------------------------------------------------------------

LAWS = tuple(OUTCOMES)
TWICE, DRAWN = ("Logit", "OrderedLogit", "MultinomialLogit"), ("Logit", "OrderedLogit", "MultinomialLogit")


def study(name: str) -> tuple[de.MonteCarlo, int]:
    """A study by name with its seed."""
    law, _, how = name.partition(", ")
    seed = 100 + list(STUDIES).index(name)
    if how == "tests":
        return de.MonteCarlo(Design(law), {"tests": Asked(law, "tests", None)}, truth={}), seed
    cov: Any = de.Cluster("firm") if how == "rows twice" else None if how else "HC1"
    asked = Asked(law, cov=cov, weights=how == "sampling weights")
    design = Design(law, twice=how == "rows twice", drawn=how == "sampling weights")
    return de.MonteCarlo(design, {"limits": asked}, truth=truth(law)), seed


STUDIES = (
    *LAWS,
    *(f"{law}, rows twice" for law in TWICE),
    *(f"{law}, sampling weights" for law in DRAWN),
    *(f"{law}, tests" for law in LAWS),
)


def figures(name: str, reps: int) -> pd.DataFrame:
    """Bias, coverage or rejections of a study, by estimator and parameter."""
    found, seed = study(name)
    return found.run(reps, seed=seed, max_fail=0.01, n_jobs=1).table()


def stored_sizes() -> dict[tuple[str, str], float]:
    """Sizes of the page by study and test."""
    lines = STORED.read_text(encoding="utf-8").partition("| study | test |")[2].splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {(c[0], c[1]): float(c[2]) for c in cells}


def test_the_stored_tables_keep_the_bands() -> None:
    page = STORED.read_text(encoding="utf-8").partition("| study | test |")[0].splitlines()
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in page if line.startswith("| ")]
    rows, sizes = lines[1:], stored_sizes()
    assert {row[0] for row in rows} | {name for name, _ in sizes} == set(STUDIES)
    assert all(int(row[7]) >= FULL for row in rows)
    assert not [row for row in rows if not LOW <= float(row[5]) <= HIGH]
    assert not [key for key, size in sizes.items() if not SIZES[0] <= size <= SIZES[1]]


@pytest.mark.parametrize(
    ("name", "reps"),
    [
        *(pytest.param(name, FULL, marks=pytest.mark.slow) for name in STUDIES),
        ("OrderedLogit, rows twice", SHORT),
    ],
)
def test_intervals_cover(name: str, reps: int) -> None:
    found = figures(name, reps)
    if name.endswith("tests"):
        slack = 3 * np.sqrt(0.05 * 0.95 / reps)
        assert found["rejection"].between(SIZES[0] - slack, SIZES[1] + slack).all()
        return
    slack = (3 if reps == FULL else 4) * np.sqrt(LOW * (1 - LOW) / reps)
    coverage = found["coverage"].dropna()
    assert len(coverage)
    assert coverage.between(LOW - slack, 1.0 if reps == SHORT else HIGH + slack).all()


def main() -> None:
    """Run the studies at full size and write the page."""
    about = (
        f"{FULL:,} samples of {N} rows (250 rows twice; about as many rows drawn with probabilities by x), "
        "Monte Carlo error of a coverage .007; by `python tests/statistical/test_group_answers_coverage.py`, "
        f"run on {datetime.now(UTC):%Y-%m-%d}. Averages are of the population; covariances HC1, clusters, "
        "and of sampling weights; tests by the default covariance of the fit."
    )
    limits = [name for name in STUDIES if not name.endswith("tests")]
    title = "Coverage of averages by group, odds ratios and predictions, and sizes of tests"
    pages.write(STORED, title, about, ((name, figures(name, FULL), FULL) for name in limits))
    lines = ["| study | test | size | replications |", "|:--|:--|--:|--:|"]
    for name in [name for name in STUDIES if name.endswith("tests")]:
        for (_, _, test), row in figures(name, FULL).iterrows():
            lines.append(f"| {name} | {test} | {row['rejection']:.3f} | {FULL} |")
        print(name, flush=True)
    with STORED.open("a", encoding="utf-8") as file:
        file.write("\n".join(["", "Tests of true hypotheses at 5 %.", "", *lines, ""]))


if __name__ == "__main__":
    sys.exit(main())
