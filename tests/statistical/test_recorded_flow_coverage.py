"""What limits of flows say of outcomes that were recorded, beside those of the same outcomes told exactly.

``python tests/statistical/test_recorded_flow_coverage.py 300`` prints the table of
`coverage_of_recorded_flows.md`.  The law is .7·N(0, .6²) + .3·N(1.5, 1.5²), of standard deviation 1.17; with
a covariate d of 0 and 1 outcomes are .5d + (1 + .3d) times a draw of it.  They are told exactly, rounded to
half a standard deviation, in eight classes with bounds at the quantiles .1, .25, .4, .6, .75, .9, .98 and
ends that hold all of it, or top-coded at the quantiles .8 and .95 of the averaged law.  Of a law with a spike
8 % of the errors are N(.7, .01²), inside the class of the quantiles .6 to .75.  "Ignored" takes what was
rounded, the midpoints of classes, or the caps as outcomes; "normal" is `NormalRegression` on what was told.
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
    "spike, exact",
    "spike, eight classes",
    *(f"{way}, {how}" for how in ("ignored", "normal") for way in ("rounded", "eight classes", "cap at .95")),
)
SPIKE, AT, WIDTH = 0.08, 0.7, 0.01
GRID = np.linspace(*ENDS, 6401)


def share_of_spike(way: str) -> float:
    """The share of the errors in a spike."""
    return SPIKE if way.startswith("spike") else 0.0


def own_cdf(e: Any, spike: float = 0.0) -> Any:
    """Distribution function of the errors."""
    smooth = 0.7 * ndtr(e / 0.6) + 0.3 * ndtr((e - 1.5) / 1.5)
    return (1 - spike) * smooth + spike * ndtr((e - AT) / WIDTH)


def cdf(y: Any, d: float | None, spike: float) -> Any:
    """F(y | d), of the even average where d is None, of the errors where it is NaN."""
    if d is None:
        return (cdf(y, 0.0, spike) + cdf(y, 1.0, spike)) / 2
    return own_cdf(y if np.isnan(d) else (y - 0.5 * d) / (1 + 0.3 * d), spike)


@cache
def quantile(tau: float, d: float | None, spike: float = 0.0) -> float:
    """True quantiles."""
    return float(optimize.brentq(lambda y: float(cdf(y, d, spike)) - tau, *ENDS))


def draw(rng: np.random.Generator, n: int, spike: float = 0.0) -> Any:
    """Errors."""
    wide = rng.random(n) < 0.3
    e = np.where(wide, rng.normal(1.5, 1.5, n), rng.normal(0, 0.6, n))
    return e if spike == 0 else np.where(rng.random(n) < spike, rng.normal(AT, WIDTH, n), e)


def recorded(way: str, y: Any, d: float | None) -> tuple[str, Any]:
    """The left side, and what is in the table."""
    ignored = "ignored" in way
    if "rounded" in way:
        rounded = np.round(y / (SD / 2)) * (SD / 2)
        return ("y" if ignored else f"rounded(y, to={SD / 2!r})"), rounded
    if "cap" in way:
        cap = quantile(cap_of(way), d)
        return ("y" if ignored else f"topcoded(y, at={cap!r})"), np.minimum(y, cap)
    if "classes" in way:
        bounds = [ENDS[0], *(quantile(t, d, share_of_spike(way)) for t in MARKS), ENDS[1]]
        if ignored:
            return "y", ((np.array(bounds[1:]) + np.array(bounds[:-1])) / 2)[np.searchsorted(bounds, y) - 1]
        return f"brackets(y, {bounds}, closed='right')", y
    return "y", y


def cap_of(way: str) -> float:
    """The level of a cap."""
    return float(way.removeprefix("cap at ").split(",")[0])


def divergence(law: Any, way: str) -> float:
    """KL of the fitted law from the truth in nats, of what is recorded where it is top-coded."""
    if share_of_spike(way):
        return np.nan
    f = 0.7 * norm.pdf(GRID, 0, 0.6) + 0.3 * norm.pdf(GRID, 1.5, 1.5)
    gap = f * (np.log(np.maximum(f, 1e-300)) - law.logpdf(GRID))
    if "cap" not in way:
        return float(np.trapezoid(gap, GRID))
    cap = quantile(cap_of(way), np.nan)
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
    spike, model = share_of_spike(way), de.NormalRegression if "normal" in way else de.FlowDensity
    e = draw(np.random.default_rng([24, n, seed]), n, spike)
    d = np.random.default_rng([25, n, seed]).integers(0, 2, n).astype(float)
    left, told = recorded(way, e, np.nan)
    mean = 0.45 * (1 - spike) + AT * spike

    def at(tau: float, of: float) -> float:
        return quantile(tau, of, spike)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res: Any = model(f"{left} ~ 1").fit({"y": told})
        truths = [at(0.5, np.nan), mean, at(0.9, np.nan)]
        law = de.Normal(float(res.params.iloc[0]), res.sigma) if "normal" in way else res.distribution()
        found = limits(res.functionals(NAMES), truths, NAMES) | {"KL": divergence(law, way)}
        if effects:
            left, told = recorded(way, 0.5 * d + (1 + 0.3 * d) * e, None)
            res = model(f"{left} ~ d").fit({"y": told, "d": d})
            names = [f"effect {n}" for n in NAMES]
            truths = [at(0.5, 1.0) - at(0.5, 0.0), 0.5 + 0.3 * mean, at(0.9, 1.0) - at(0.9, 0.0)]
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
    """Coverage within .02 of that of exact outcomes, and limits hardly wider, give or take three errors."""
    exact, found = (rates(w, 500, 300) for w in ("exact", way))
    slack = 3 * 0.0126
    held = [c for c in found if c.startswith("held") and found[c].notna().mean() > 0.9]
    assert ((found[held] - exact[held]).mean().abs() <= 0.02 + slack).all()
    assert found[held].mean().min() >= 0.93 - slack
    widest = 1.1 if way == "rounded" else 1.3
    widths = [c.replace("held", "width") for c in held]
    assert (found[widths].median() / exact[widths].median()).max() <= widest
    if way == "rounded":
        assert found["KL"].mean() <= 1.3 * exact["KL"].mean()


# ---- the law of what is recorded ---------------------------------------------------------------------------

RECORDED = ("mean", "q[0.5]", "q[0.9]", "prob[0,9]")


def recorded_truths(d: float | None) -> Any:
    """The functionals of min(y, cap), the cap at the .8 quantile of the averaged law."""
    cap = quantile(0.8, None)
    y = np.linspace(ENDS[0], cap, 20_001)
    F, last = cdf(y, d, 0.0), 1 - cdf(cap, d, 0.0)
    mean = cap - np.trapezoid(F, y)
    q = [min(quantile(t, d), cap) for t in (0.5, 0.9)]
    return np.array([mean, *q, last + np.interp(cap, y, F) - cdf(0.0, d, 0.0)])


def once_recorded(n: int, seed: int) -> dict[str, float]:
    """What holds in one sample of what is recorded, averaged and as an effect of d."""
    e = draw(np.random.default_rng([24, n, seed]), n)
    d = np.random.default_rng([25, n, seed]).integers(0, 2, n).astype(float)
    left, told = recorded("cap at .8", 0.5 * d + (1 + 0.3 * d) * e, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        res = de.FlowDensity(f"{left} ~ d").fit({"y": told, "d": d})
    found = limits(res.functionals(RECORDED, of="recorded"), recorded_truths(None), RECORDED)
    truths, names = recorded_truths(1.0) - recorded_truths(0.0), [f"effect {n}" for n in RECORDED]
    return found | limits(res.effect("d", 0, 1, RECORDED, of="recorded"), truths, names)


def recorded_rates(n: int, reps: int) -> pd.DataFrame:
    """Replications, one a row."""
    return pd.DataFrame([once_recorded(n, r) for r in range(reps)])


@pytest.mark.slow
def test_rates_of_what_is_recorded() -> None:
    """Limits of min(y, cap) cover .93 or more, give or take three errors of 300 samples; the cap always."""
    found = recorded_rates(500, 300)
    held = found[[c for c in found if c.startswith("held")]].mean()
    assert held["held q[0.9]"] == 1
    assert held.min() >= 0.93 - 3 * 0.0126


if __name__ == "__main__":
    reps = int(sys.argv[1])
    for n in map(int, sys.argv[2:] or ("500", "1000")):
        tables: dict[str, pd.DataFrame] = {}
        for way in WAYS if n == 500 else WAYS[:5]:
            table = tables[way] = rates(way, n, reps)
            oracle = tables["spike, exact" if way.startswith("spike") else "exact"]
            cells = []
            for name in (*NAMES, *(f"effect {n}" for n in NAMES)):
                known = table[f"held {name}"].notna().mean()
                wide = table[f"width {name}"].median() / oracle[f"width {name}"].median()
                cells.append("withheld" if known < 0.5 else f"{table[f'held {name}'].mean():.3f} ({wide:.2f})"
                             + ("" if known == 1 else f" {known:.2f}"))  # fmt: skip
            print(f"| {way} | {n} |", " | ".join(cells), f"| {table['KL'].mean():.4f} |", flush=True)
