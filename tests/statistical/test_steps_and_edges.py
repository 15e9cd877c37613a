"""Coverage of effects where covariates have few values, outcomes have edges, or spreads bend.

``python tests/statistical/test_steps_and_edges.py 300 500 [NAME …]`` prints rows of `steps_and_edges.md` for
300 samples of 500 rows.  Covariates are independent, so that a best linear coefficient is Cov(v, m)/Var(v)
whatever a structure makes of the others; truths are sums over the quantiles of the covariates.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import disteconometrics as de

pytestmark = pytest.mark.statistical

NAMES = ("mean", "q[0.1]", "q[0.5]", "q[0.9]")
EFFECT = (0.92, 0.975)
POINTS = 400  # of a number, in truths
FAILING = (  # outside the band somewhere, as the page says
    "exponential, bends",
    "exponential above 0",
    "uniform, edge moves",
    "beta",
    "spread exp(.3 x)",
    "spread exp(.6 x)",
    "sin(2 x), spread exp(.3 z)",
    "log-normal x, t5",
)


class Few(NamedTuple):
    """A covariate of few values, with their shares."""

    values: tuple[float, ...]
    shares: tuple[float, ...]

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.values), np.array(self.shares)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.choice(self.values, n, p=self.shares)


class Number(NamedTuple):
    """A covariate with a density."""

    law: Any

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        return self.law.ppf((np.arange(POINTS) + 0.5) / POINTS), np.full(POINTS, 1 / POINTS)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return self.law.ppf(rng.random(n))


class Design(NamedTuple):
    """Independent covariates, the law of y given them (of n rows too), and the pairs of values compared."""

    formula: str
    covariates: dict[str, Few | Number]
    law: Callable[[Mapping[str, np.ndarray], int], Any]
    pairs: dict[str, tuple[float, float]]
    support: Any = None

    def draw(self, rng: np.random.Generator, n: int) -> pd.DataFrame:
        x = {v: c.draw(rng, n) for v, c in self.covariates.items()}
        return pd.DataFrame({**x, "y": self.law(x, n).ppf(rng.random(n))})

    @property
    def grid(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        parts = [c.points() for c in self.covariates.values()]
        x = np.meshgrid(*(p for p, _ in parts), indexing="ij")
        w = math.prod(np.meshgrid(*(s for _, s in parts), indexing="ij"))
        return {v: a.ravel() for v, a in zip(self.covariates, x, strict=True)}, w.ravel()


EDUC = Few(
    (5, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18),
    (0.02, 0.05, 0.03, 0.05, 0.06, 0.38, 0.07, 0.1, 0.14, 0.04, 0.06),
)
COUNT = Few((0, 1, 2, 3, 4), (0.3, 0.3, 0.2, 0.15, 0.05))
D = Few((0, 1), (0.5, 0.5))
X, U = Number(stats.norm()), Number(stats.uniform(-2, 4))


def step_error(n: int) -> float:
    """The standard error of a step at 16 years beside a line in years, errors of one, n rows."""
    v, w = EDUC.points()
    Z = np.column_stack([np.ones(len(v)), v])
    s = (v >= 16).astype(float)
    left = s - Z @ np.linalg.solve(Z.T @ (w[:, None] * Z), Z.T @ (w * s))
    return 1 / math.sqrt(n * (w @ left**2))


def steps(times: float, error: Any = stats.norm) -> Design:
    """A line in years of school with a step at 16 of so many standard errors."""

    def law(x: Mapping[str, np.ndarray], n: int) -> Any:
        return error(loc=0.2 * x["educ"] + times * step_error(n) * (x["educ"] >= 16) + 0.3 * x["d"])

    return Design("y ~ educ + d", {"educ": EDUC, "d": D}, law, {"educ": (12, 16)})


def shape(name: str, *, support: Any = None) -> Design:
    """y = location + spread · error with an x that moves them."""
    law, pairs = LAWS[name], {"x": (-0.5, 0.5)}
    return Design(
        "y ~ x + d", {"x": U if "bends" in name else X, "d": D}, lambda x, n: law(x), pairs, support
    )


def beta(x: Mapping[str, np.ndarray]) -> Any:
    m = 1 / (1 + np.exp(-0.5 * x["x"] - 0.3 * x["d"]))
    return stats.beta(3 * m, 3 * (1 - m))


LAWS: dict[str, Callable[[Mapping[str, np.ndarray]], Any]] = {
    "exponential, shifted": lambda x: stats.expon(loc=0.5 * x["x"] + 0.3 * x["d"]),
    "exponential, bends": lambda x: stats.expon(loc=np.sin(2 * x["x"]) + 0.3 * x["d"]),
    "exponential above 0": lambda x: stats.expon(scale=np.exp(0.3 * x["x"] + 0.3 * x["d"])),
    "uniform, edge moves": lambda x: stats.uniform(0.5 * x["x"] + 0.3 * x["d"], 2 - 0.5 * np.tanh(x["x"])),
    "beta": beta,
    "spread exp(.3 x)": lambda x: stats.norm(0.3 * x["d"], np.exp(0.3 * x["x"])),
    "spread exp(.6 x)": lambda x: stats.norm(0.3 * x["d"], np.exp(0.6 * x["x"])),
}


def edges_of_range(x: Mapping[str, np.ndarray]) -> Any:
    return stats.gumbel_r(loc=0.5 * x["x"] + 0.2 * x["x"] ** 2 + 0.3 * x["d"])


def beside(x: Mapping[str, np.ndarray]) -> Any:
    return stats.norm(np.sin(2 * x["x"]) + x["d"], np.exp(0.3 * x["z"]))


def skewed_covariate(x: Mapping[str, np.ndarray]) -> Any:
    return stats.t(5, loc=0.8 * np.log(x["x"]) + 0.3 * x["d"], scale=0.5 + 0.2 * x["x"])


DESIGNS: dict[str, Design] = {
    **{f"step of {c} errors": steps(c) for c in (0, 1, 2, 3)},
    "step of 3 errors, Gumbel": steps(3, stats.gumbel_r),
    "counts, step at 2": Design(
        "y ~ count + d",
        {"count": COUNT, "d": D},
        lambda x, n: stats.gumbel_r(loc=0.5 * (x["count"] >= 2) + 0.3 * x["d"], scale=1 + 0.1 * x["count"]),
        {"count": (1, 3)},
    ),
    **{name: shape(name) for name in LAWS},
    "exponential above 0, positive": shape("exponential above 0", support="positive"),
    "beta, unit": shape("beta", support=(0, 1)),
    "to the edge of x": Design(
        "y ~ x + d", {"x": U, "d": D}, lambda x, n: edges_of_range(x), {"x": (-1.9, -1), "x ": (1, 1.9)}
    ),
    "sin(2 x), spread exp(.3 z)": Design(
        "y ~ x + z + d",
        {"x": U, "z": X, "d": D},
        lambda x, n: beside(x),
        {"x": (-0.5, 0.5), "z": (-0.5, 0.5)},
    ),
    "log-normal x, t5": Design(
        "y ~ x + d",
        {"x": Number(stats.lognorm(0.8)), "d": Few((0, 1), (0.7, 0.3))},
        lambda x, n: skewed_covariate(x),
        {"x": (0.5, 2)},
    ),
}


def functional(design: Design, x: Mapping[str, np.ndarray], n: int, name: str) -> np.ndarray:
    law = design.law(x, n)
    return law.mean() if name == "mean" else law.ppf(float(name[2:-1]))


@cache
def truths(name: str, n: int) -> dict[tuple[str, str], float]:
    """Effects in the population, by what is asked and functional."""
    design = DESIGNS[name]
    x, w = design.grid
    out = {}

    def at(v: str, value: Any, f: str) -> np.ndarray:
        return functional(design, {**x, v: np.broadcast_to(value, w.shape)}, n, f)

    for f in NAMES:
        m = functional(design, x, n, f)
        for v, (low, high) in design.pairs.items():
            out[f"effect of {v.strip()}, {low:g} to {high:g}", f] = w @ (
                at(v.strip(), high, f) - at(v.strip(), low, f)
            )
        out["contrast of d", f] = w @ (at("d", 1, f) - at("d", 0, f))
        for v, c in design.covariates.items():
            if v == "d":
                continue
            own = x[v] - w @ x[v]
            out[f"coefficient of {v}", f] = w @ (own * m) / (w @ own**2)
            if isinstance(c, Few):
                values = c.points()[0]
                i = np.searchsorted(values, x[v])
                low, high = values[np.maximum(i - 1, 0)], values[np.minimum(i + 1, len(values) - 1)]
            else:
                low, high = x[v] - 1e-4, x[v] + 1e-4
            out[f"slope of {v}", f] = w @ ((at(v, high, f) - at(v, low, f)) / (high - low))
    return out


class Seen(NamedTuple):
    """What one sample says of one effect."""

    asked: str
    name: str
    estimate: float
    error: float
    low: float
    high: float


def answers(name: str, n: int, seed: int) -> tuple[list[Seen], list[str]]:
    """Answers of one sample, and the kinds of warnings of its fit."""
    design = DESIGNS[name]
    d = design.draw(np.random.default_rng([41, seed]), n)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        res = de.FlowDensity(design.formula, support=design.support).fit(d)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(_read(res, design)), [type(w.message).__name__ for w in told]


def _read(res: Any, design: Design) -> Iterator[Seen]:
    table = res.effects(NAMES)
    limits, slope_limits = table.values.interval(), table.slopes.interval()
    for i, (label, kind, f) in enumerate(table.of):
        if kind == "best linear coefficient":
            s = table.slopes
            yield Seen(f"slope of {label}", f, s.values[i], s.std_error[i], *slope_limits[i])
            label = f"coefficient of {label}"
        else:
            label = "contrast of d"
        yield Seen(label, f, table.values.values[i], table.values.std_error[i], *limits[i])
    for v, (low, high) in design.pairs.items():
        e = res.effect(v.strip(), low, high, NAMES)
        for i, f in enumerate(NAMES):
            asked = f"effect of {v.strip()}, {low:g} to {high:g}"
            yield Seen(asked, f, e.values[i], e.std_error[i], *e.interval()[i])


def coverage(name: str, n: int, reps: int) -> tuple[pd.DataFrame, pd.Series]:
    """Coverage, both misses and width by effect, and how often a fit warns."""
    found = [answers(name, n, r) for r in range(reps)]
    truth = truths(name, n)
    t = pd.DataFrame([s for one, _ in found for s in one])
    t["truth"] = [truth[k] for k in zip(t.asked, t.name, strict=True)]
    t = t.assign(
        printed=t.estimate.notna(), below=t.high < t.truth, above=t.low > t.truth, width=t.high - t.low
    )
    by = t[t.printed].groupby(["asked", "name"], sort=False)
    out = pd.DataFrame(
        {
            "truth": by.truth.first(),
            "bias": by.estimate.mean() - by.truth.first(),
            "sd": by.estimate.std(),
            "error": by.error.median(),
            "coverage": 1 - by.below.mean() - by.above.mean(),
            "below": by.below.mean(),
            "above": by.above.mean(),
            "width": by.width.mean(),
            "printed": by.size() / reps,
        }
    )
    kinds = pd.Series([k for _, told in found for k in set(told)]).value_counts() / reps
    return out, kinds


def shown(name: str, n: int, found: pd.DataFrame) -> list[str]:
    """Rows of the page: coverage, both misses and mean width, of mean; q.1, q.5, q.9."""

    def four(values: pd.Series, digits: int) -> str:
        told = [f"{v:.{digits}f}".replace("0.", ".", 1) for v in values]
        return f"{told[0]}; {' '.join(told[1:])}"

    out = []
    for asked in found.index.get_level_values("asked").unique():
        t = found.loc[asked].loc[list(NAMES)]
        out.append(
            f"| {name} | {n:,} | {asked} | {four(t.coverage, 3)} | {four(t.below, 3)} | "
            f"{four(t.above, 3)} | {four(t.width, 2)} |"
        )
    return out


def test_coverage() -> None:
    """Eight samples, which gross errors alone fail: of .92 the chance of fewer than four is below 1e-3."""
    assert coverage("step of 1 errors", 500, 8)[0].coverage.min() >= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in DESIGNS if n not in FAILING])
def test_coverage_in_full(name: str) -> None:
    """300 samples of 500 rows, three Monte Carlo errors about the band; what fails is `FAILING`."""
    found = coverage(name, 500, 300)[0]
    slack = 3 * math.sqrt(EFFECT[0] * (1 - EFFECT[0]) / 300)
    assert found.coverage.between(EFFECT[0] - slack, EFFECT[1] + slack).all(), found


if __name__ == "__main__":
    reps, size = int(sys.argv[1]), int(sys.argv[2])
    for case in sys.argv[3:] or DESIGNS:
        rows, told = coverage(case, size, reps)
        print(*shown(case, size, rows), f"warned: {told.round(3).to_dict()}", sep="\n", flush=True)
