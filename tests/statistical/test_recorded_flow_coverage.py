"""What limits of flows say of outcomes that were recorded, beside those of the same outcomes told exactly.

``python tests/statistical/test_recorded_flow_coverage.py 300`` prints the table of
`coverage_of_recorded_flows.md`.  The law is .7·N(0, .6²) + .3·N(1.5, 1.5²), of standard deviation 1.17; with
a covariate d of 0 and 1 outcomes are .5d + (1 + .3d) times a draw of it.  They are told exactly, rounded to
half a standard deviation, in eight classes with bounds at the quantiles .1, .25, .4, .6, .75, .9, .98 and
ends that hold all of it, or top-coded at the quantiles .8 and .95 of the averaged law.  "Ignored" takes what
was rounded, or the midpoints of classes, as outcomes.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from scipy.special import ndtr
from scipy.stats import norm

import disteconometrics as de

pytestmark = pytest.mark.statistical

SD = float(np.sqrt(0.7 * 0.36 + 0.3 * 2.25 + 0.21 * 1.5**2))
ENDS = (-12.0, 20.0)
MARKS = (0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 0.98)
NAMES = ("q[0.5]", "mean", "q[0.9]")
WAYS = (
    "exact",
    "rounded",
    "eight classes",
    "cap at .95",
    "cap at .8",
    "rounded, ignored",
    "classes, ignored",
)
GRID = np.linspace(*ENDS, 6401)


def own_cdf(e: Any) -> Any:
    """Distribution function of the errors."""
    return 0.7 * ndtr(e / 0.6) + 0.3 * ndtr((e - 1.5) / 1.5)


def cdf(y: Any, d: float | None) -> Any:
    """F(y | d), of the even average where d is None, of the errors where it is NaN."""
    if d is None:
        return (cdf(y, 0.0) + cdf(y, 1.0)) / 2
    return own_cdf(y) if np.isnan(d) else own_cdf((y - 0.5 * d) / (1 + 0.3 * d))


@cache
def quantile(tau: float, d: float | None) -> float:
    """True quantiles."""
    return float(optimize.brentq(lambda y: float(cdf(y, d)) - tau, *ENDS))


def draw(rng: np.random.Generator, n: int) -> Any:
    """Errors."""
    wide = rng.random(n) < 0.3
    return np.where(wide, rng.normal(1.5, 1.5, n), rng.normal(0, 0.6, n))


def recorded(way: str, y: Any, d: float | None) -> tuple[str, Any]:
    """The left side, and what is in the table."""
    if way.startswith("rounded"):
        rounded = np.round(y / (SD / 2)) * (SD / 2)
        return ("y" if "ignored" in way else f"rounded(y, to={SD / 2!r})"), rounded
    if way.startswith("cap"):
        cap = quantile(float(way.removeprefix("cap at ")), d)
        return f"topcoded(y, at={cap!r})", np.minimum(y, cap)
    if "classes" in way:
        bounds = [ENDS[0], *(quantile(t, d) for t in MARKS), ENDS[1]]
        if "ignored" in way:
            return "y", ((np.array(bounds[1:]) + np.array(bounds[:-1])) / 2)[np.searchsorted(bounds, y) - 1]
        return f"brackets(y, {bounds}, closed='right')", y
    return "y", y


def divergence(law: Any, way: str) -> float:
    """KL of the fitted law from the truth in nats, of what is recorded where it is top-coded."""
    f = 0.7 * norm.pdf(GRID, 0, 0.6) + 0.3 * norm.pdf(GRID, 1.5, 1.5)
    gap = f * (np.log(np.maximum(f, 1e-300)) - law.logpdf(GRID))
    if not way.startswith("cap"):
        return float(np.trapezoid(gap, GRID))
    cap = quantile(float(way.removeprefix("cap at ")), np.nan)
    below, share = cap >= GRID, 1 - own_cdf(cap)
    return float(np.trapezoid(gap[below], GRID[below]) + share * np.log(share / law.sf(cap)))


def limits(e: Any, truths: Any, names: Any) -> dict[str, float]:
    """Whether limits hold the truth, their width and the error of the estimate; NaN where withheld."""
    out = {}
    for name, value, (low, high), truth in zip(names, e.values, e.interval(), truths, strict=True):
        known = not np.isnan(value)
        out[f"held {name}"] = float(low <= truth <= high) if known else np.nan
        out[f"width {name}"] = high - low if known else np.nan
        out[f"bias {name}"] = value - truth
    return out


def once(way: str, n: int, seed: int, *, effects: bool = True) -> dict[str, float]:
    """What holds in one sample: of one law, and of the effect of d."""
    e = draw(np.random.default_rng([24, n, seed]), n)
    d = np.random.default_rng([25, n, seed]).integers(0, 2, n).astype(float)
    left, told = recorded(way, e, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = de.FlowDensity(f"{left} ~ 1").fit({"y": told})
        truths = [quantile(0.5, np.nan), 0.45, quantile(0.9, np.nan)]
        found = limits(res.functionals(NAMES), truths, NAMES) | {"KL": divergence(res.distribution(), way)}
        if effects:
            left, told = recorded(way, 0.5 * d + (1 + 0.3 * d) * e, None)
            res = de.FlowDensity(f"{left} ~ d").fit({"y": told, "d": d})
            names = [f"effect {n}" for n in NAMES]
            truths = [quantile(0.5, 1.0) - quantile(0.5, 0.0), 0.5 + 0.3 * 0.45,
                      quantile(0.9, 1.0) - quantile(0.9, 0.0)]  # fmt: skip
            found |= limits(res.effect("d", 0, 1, NAMES), truths, names)
    return found


def rates(way: str, n: int, reps: int, start: int = 0) -> pd.DataFrame:
    """Replications, one a row."""
    return pd.DataFrame([once(way, n, start + r) for r in range(reps)])


def test_short_version() -> None:
    """Of 5 samples limits hold fewer than 3 with probability .001; beyond a cap nothing is said."""
    found = pd.DataFrame([once("rounded", 500, r, effects=False) for r in range(5)])
    assert found[[f"held {n}" for n in NAMES]].sum().min() >= 3
    capped = once("cap at .8", 500, 0, effects=False)
    assert np.isnan([capped["held mean"], capped["held q[0.9]"]]).all()
    assert not np.isnan(capped["held q[0.5]"])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS[1:5])
def test_rates(way: str) -> None:
    """Coverage within .02 of that of exact outcomes, and limits hardly wider, give or take three errors.

    The .9 quantile in eight classes falls short, as the table says, and is left out.
    """
    exact, found = (rates(w, 500, 300) for w in ("exact", way))
    slack = 3 * 0.0126
    held = [c for c in found if c.startswith("held") and found[c].notna().mean() > 0.9]
    held = [c for c in held if way != "eight classes" or "q[0.9]" not in c]
    assert ((found[held] - exact[held]).mean().abs() <= 0.02 + slack).all()
    assert found[held].mean().min() >= 0.93 - slack
    widest = 1.1 if way == "rounded" else 1.3
    widths = [c.replace("held", "width") for c in held]
    assert (found[widths].median() / exact[widths].median()).max() <= widest


if __name__ == "__main__":
    reps = int(sys.argv[1])
    for n in map(int, sys.argv[2:] or ("500", "1000")):
        oracle = None
        for way in WAYS:
            table = rates(way, n, reps)
            oracle = table if oracle is None else oracle
            cells = []
            for name in (*NAMES, *(f"effect {n}" for n in NAMES)):
                known = table[f"held {name}"].notna().mean()
                wide = table[f"width {name}"].mean() / oracle[f"width {name}"].mean()
                cells.append("withheld" if known < 0.5 else f"{table[f'held {name}'].mean():.3f} ({wide:.2f})"
                             + ("" if known == 1 else f" {known:.2f}"))  # fmt: skip
            print(f"| {way} | {n} |", " | ".join(cells), f"| {table['KL'].mean():.4f} |", flush=True)
