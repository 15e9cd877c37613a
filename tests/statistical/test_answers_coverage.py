"""Coverage of answers for the population: functionals, best linear coefficients, slopes, contrasts.

Bands are stated first.  1,000 replications (marker slow, stored in `coverage_of_answers.md`): functionals of
the averaged law in [.93, .97], effects in [.92, .975], n = 500.  The default run draws few replications and
widens the same bands by four of their Monte Carlo standard errors, which gross errors alone pass.

Truths are of the population that rows are drawn from: laws of y from two million draws, coefficients of
normal covariates by Stein's lemma, E[x m(x)] = E[m'(x)].
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import disteconometrics as de

pytestmark = pytest.mark.statistical

N_ROWS = 500
LAW, EFFECT = (0.93, 0.97), (0.92, 0.975)
# of what is known to lie at the edge of its band
FEW_CLUSTERS = "with 50 clusters the limits of q.1 cover .926 in these samples, .930 in 2,500"
NAMES = ("mean", "std", "q[0.1]", "q[0.5]", "q[0.9]")
OF_EFFECTS = ("mean", "q[0.1]", "q[0.5]", "q[0.9]")
Z9 = float(stats.norm.ppf(0.9))
EDUC = np.array([5, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18])
SHARE = np.array([2, 5, 3, 5, 6, 38, 7, 10, 14, 4, 6]) / 100


def gumbel_quantile(t: float) -> float:
    return float(stats.gumbel_r.ppf(t))


class Design(NamedTuple):
    """A formula, draws of rows, and true effects by label and functional."""

    formula: str
    draw: Callable[[np.random.Generator, int], pd.DataFrame]
    effects: dict[str, float]
    slopes: dict[str, float]
    normal: tuple[str, ...]  # effects and functionals that a normal regression gets right
    cluster: str | None = None


def linear_normal(rng: np.random.Generator, n: int) -> pd.DataFrame:
    x1 = rng.normal(size=n)
    x2 = 0.5 * x1 + rng.normal(size=n)
    d = (rng.random(n) < 1 / (1 + np.exp(-0.5 * x1))).astype(float)
    return pd.DataFrame({"x1": x1, "x2": x2, "d": d}).assign(
        y=1 + 0.5 * x1 - 0.3 * x2 + 0.4 * d + rng.normal(size=n)
    )


def skewed(rng: np.random.Generator, n: int) -> pd.DataFrame:
    x1, d = rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    return pd.DataFrame({"x1": x1, "d": d, "y": 1 + 0.5 * x1 + 0.3 * d + rng.gumbel(size=n)})


def bends(rng: np.random.Generator, n: int) -> pd.DataFrame:
    x1, x2, d = rng.normal(size=n), rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    y = np.sin(1.5 * x1) + 0.3 * d + np.exp(0.3 * x2) * rng.normal(size=n)
    return pd.DataFrame({"x1": x1, "x2": x2, "d": d, "y": y})


def pay(educ: np.ndarray) -> np.ndarray:
    return 0.08 * educ + 0.25 * (educ >= 16)


def wages(rng: np.random.Generator, n: int) -> pd.DataFrame:
    educ, exper = rng.choice(EDUC, n, p=SHARE), rng.uniform(0, 40, n)
    d = rng.integers(0, 2, n).astype(float)
    y = 0.5 + pay(educ) + 0.04 * exper - 0.0007 * exper**2 - 0.3 * d + 0.25 * (rng.gamma(2, size=n) - 2)
    return pd.DataFrame({"educ": educ.astype(float), "exper": exper, "d": d, "y": y})


def grouped(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Clusters of ten rows."""
    firm = np.repeat(np.arange(n // 10), 10)
    own, shock = rng.normal(size=(2, n // 10))[:, firm]
    x1 = 0.7 * own + rng.normal(size=n)
    y = 1 + 0.5 * x1 + 0.5 * shock + rng.gumbel(size=n)
    return pd.DataFrame({"firm": firm, "x1": x1, "y": y})


def everywhere(label: str, value: float) -> dict[str, float]:
    return {f"{label}: {name}": value for name in OF_EFFECTS}


def of_educ() -> tuple[float, float]:
    """Projection of pay on years, and its average slope between neighbouring values."""
    m, x = pay(EDUC), EDUC - SHARE @ EDUC
    i = np.arange(len(EDUC))
    low, high = np.maximum(i - 1, 0), np.minimum(i + 1, len(EDUC) - 1)
    slopes = (m[high] - m[low]) / (EDUC[high] - EDUC[low])
    return float((SHARE * x) @ m / (SHARE @ x**2)), float(SHARE @ slopes)


BEND = 1.5 * math.exp(-1.125)
WIDTH = 0.3 * math.exp(0.045) * Z9
COEFFICIENT, SLOPE = of_educ()
OF_BENDS = everywhere("x1", BEND)
OF_BENDS |= {"x2: mean": 0.0, "x2: q[0.1]": -WIDTH, "x2: q[0.5]": 0.0, "x2: q[0.9]": WIDTH}
DESIGNS = {
    "linear normal": Design(
        "y ~ x1 + x2 + d",
        linear_normal,
        everywhere("x1", 0.5) | everywhere("x2", -0.3) | everywhere("d: 1 - 0", 0.4),
        everywhere("x1", 0.5) | everywhere("x2", -0.3),
        (*NAMES, "x1", "x2", "d: 1 - 0"),
    ),
    "skewed errors": Design(
        "y ~ x1 + d",
        skewed,
        everywhere("x1", 0.5) | everywhere("d: 1 - 0", 0.3),
        everywhere("x1", 0.5),
        ("mean", "std", "x1", "d: 1 - 0"),
    ),
    "bends, spread moves": Design(
        "y ~ x1 + x2 + d",
        bends,
        OF_BENDS | everywhere("d: 1 - 0", 0.3),
        OF_BENDS,
        ("mean", "x1: mean", "x2: mean", "d: 1 - 0: mean"),
    ),
    "wages": Design(
        "y ~ educ + exper + d",
        wages,
        everywhere("educ", COEFFICIENT) | everywhere("d: 1 - 0", -0.3),
        everywhere("educ", SLOPE),
        ("mean", "educ: mean", "d: 1 - 0: mean"),
    ),
    "50 clusters": Design(
        "y ~ x1",
        grouped,
        everywhere("x1", 0.5),
        everywhere("x1", 0.5),
        ("mean", "x1: mean"),
        cluster="firm",
    ),
}


@cache
def laws(name: str) -> dict[str, float]:
    """Functionals of the law of y in the population, from draws."""
    y = DESIGNS[name].draw(np.random.default_rng(1), 2_000_000)["y"].to_numpy()
    return dict(zip(NAMES, (y.mean(), y.std(), *np.quantile(y, [0.1, 0.5, 0.9])), strict=True))


class Seen(NamedTuple):
    """What one sample says of one number: kind, truth, estimate, error, limits."""

    kind: str
    name: str
    truth: float
    estimate: float
    error: float
    low: float
    high: float


def _seen(kind: str, names: Any, e: Any, truth: dict[str, float]) -> Iterator[Seen]:
    limits = e.interval()
    for i, name in enumerate(names):
        if name in truth:
            yield Seen(kind, name, truth[name], e.values[i], e.std_error[i], *limits[i])


def answers(name: str, kind: str, rng: np.random.Generator) -> list[Seen]:
    """Answers of one sample."""
    design, flow = DESIGNS[name], kind == "spline"
    d = design.draw(rng, N_ROWS)
    cov = None if design.cluster is None else de.Cluster(design.cluster)
    if flow:
        res: Any = de.FlowDensity(design.formula).fit(d, cov=cov)
    else:
        res = de.NormalRegression(design.formula).fit(d, cov=cov or "HC1")
    e = res.effects()
    found = [
        *_seen("law", NAMES, res.functionals(NAMES), laws(name)),
        *_seen("effect", e.estimates.names, e.estimates, design.effects),
        *_seen("slope", e.slopes.names, e.slopes, design.slopes),
    ]
    right = design.normal
    if flow:
        return found
    return [
        s for s in found if s.kind != "slope" and (s.name in right or s.name.rpartition(": ")[0] in right)
    ]


def coverage(name: str, kind: str, reps: int) -> pd.DataFrame:
    """Coverage, bias, spread and median error by number."""
    draws = [s for r in range(reps) for s in answers(name, kind, np.random.default_rng([5, r]))]
    t = pd.DataFrame(draws).assign(inside=lambda d: (d.low <= d.truth) & (d.truth <= d.high))
    by = t.groupby(["kind", "name"], sort=False)
    return pd.DataFrame(
        {
            "truth": by.truth.first(),
            "bias": by.estimate.mean() - by.truth.first(),
            "sd": by.estimate.std(),
            "error": by.error.median(),
            "coverage": by.inside.mean(),
        }
    )


CASES = [(name, kind) for name in DESIGNS for kind in ("spline", "normal")]
SHORT = [("skewed errors", "spline", 8), ("50 clusters", "spline", 8), ("wages", "normal", 30)]


def band(kind: str) -> tuple[float, float]:
    return LAW if kind == "law" else EFFECT


@pytest.mark.parametrize(("name", "kind", "reps"), SHORT)
def test_coverage(name: str, kind: str, reps: int) -> None:
    found = coverage(name, kind, reps)
    for (what, _), row in found.iterrows():
        low = band(what)[0]
        assert row.coverage >= low - 4 * math.sqrt(low * (1 - low) / reps), found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_coverage_in_full(name: str, kind: str) -> None:
    found = coverage(name, kind, 1000)
    print(found.round(4).to_string())
    inside = [band(what)[0] <= c <= band(what)[1] for (what, _), c in found.coverage.items()]
    missed = found[~np.array(inside)]
    if DESIGNS[name].cluster and kind == "spline" and list(missed.index) == [("law", "q[0.1]")]:
        pytest.xfail(FEW_CLUSTERS)
    assert all(inside), missed


if __name__ == "__main__":
    for case in CASES:
        if len(sys.argv) < 3 or case[0] in sys.argv[2:]:
            print(*case)
            print(coverage(*case, int(sys.argv[1])).round(4).to_string(), flush=True)
