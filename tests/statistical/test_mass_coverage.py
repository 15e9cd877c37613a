"""What limits cover where 30 % of the outcomes are zero: a logit for these, and a law of the rest.

``python tests/statistical/test_mass_coverage.py 300`` prints the rows of `coverage_of_recorded_normal.md` and
`coverage_of_recorded_flows.md`.  x is N(0, 1), d is 0 or 1 evenly, and an outcome is off zero with
probability Λ(a + .6x + .3d), a such that 30 % are zero.  The rest is 3 + .5x + .5d + N(0, 1) for the normal
law, its own law with errors .7·N(0, .6²) + .3·N(1.5, 1.5²) for the flow on the line, and
exp(1 + .4x + .3d + .5·N(0, 1)) for the flow of a positive outcome.  At a corner y = max(y*, 0) with
y* = m + .5x + .5d and the errors of the normal law or of the flow, m such that 30 % are zero.  Levels of
.27 and .33 are those at the share of zeros less and plus .03.  The same samples are also recorded before
their zeros are told apart: top-coded at their law's .95 quantile, or rounded to halves.

``python tests/statistical/test_mass_coverage.py 300 "near the mass"`` prints effects of d where it stands
alone: 30 % of y are zero in both groups, or 35 and 28 %, the rest is 3 + .5d with the errors of the normal
law or of the flow, and at a corner y* is N(m, 1) with m such that these are zero.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import optimize
from scipy.special import expit, ndtr, ndtri

import disteconometrics as de

pytestmark = pytest.mark.statistical

LAWS = ("normal", "flow", "positive flow", "corner", "corner flow")
RECORDED = ("normal, top-coded", "normal, rounded", "flow, top-coded", "positive flow, rounded")
WAYS = (*LAWS, *RECORDED)
MIXED = ("flow", "corner flow")  # whose errors are of a mixture
LEVELS = (0.27, 0.33, 0.35, 0.5, 0.9)
NAMES = ("mean", *(f"q[{t}]" for t in LEVELS))
EFFECTS = ("mean", "q[0.5]", "q[0.9]")
NEW = {"x": [0.0, 0.5], "d": [0.0, 1.0]}
AT = ("q[0.3]", "q[0.5]")
X, W = hermegauss(80)
W = W / W.sum()


def off_zero(x: Any, d: Any, a: float) -> Any:
    return expit(a + 0.6 * x + 0.3 * d)


A = float(optimize.brentq(lambda a: np.mean([W @ off_zero(X, d, a) for d in (0, 1)]) - 0.7, -3, 3))


def errors_cdf(way: str, e: Any) -> Any:
    return 0.7 * ndtr(e / 0.6) + 0.3 * ndtr((e - 1.5) / 1.5) if way in MIXED else ndtr(e)


def centre(way: str, x: Any, d: Any) -> Any:
    if way.startswith("corner"):
        return corner_at(way) + 0.5 * x + 0.5 * d
    return 1 + 0.4 * x + 0.3 * d if way == "positive flow" else 3 + 0.5 * x + 0.5 * d


@cache
def corner_at(way: str) -> float:
    """Where y* is centred, such that 30 % of it is below zero."""

    def zeros(m: float) -> float:
        return float(np.mean([W @ errors_cdf(way, -(m + 0.5 * X + 0.5 * d)) for d in (0, 1)]))

    return float(optimize.brentq(lambda m: zeros(m) - 0.3, -5, 5))


def cdf(way: str, y: float, x: Any, d: Any) -> Any:
    """F(y | x, d)."""
    if way.startswith("corner"):
        return errors_cdf(way, y - centre(way, x, d)) * (y >= 0)
    if way == "positive flow":
        rest = errors_cdf(way, (np.log(max(y, 1e-300)) - centre(way, x, d)) / 0.5)
    else:
        rest = errors_cdf(way, y - centre(way, x, d))
    p = off_zero(x, d, A)
    return p * rest + (1 - p) * (y >= 0)


def _inverse(F: Any, tau: float) -> float:
    if F(-1e-12) < tau <= F(0.0):
        return 0.0
    low, high = (0.0, 1e4) if tau > F(0.0) else (-50.0, -1e-12)
    return float(optimize.brentq(lambda y: F(y) - tau, low, high, xtol=1e-10))


@cache
def quantile(way: str, tau: float, x: float | None = None, d: float | None = None) -> float:
    """True quantiles of the whole law, or given x and d."""
    if x is None:
        return _inverse(lambda y: float(np.mean([W @ cdf(way, y, X, k) for k in (0, 1)])), tau)
    return _inverse(lambda y: float(cdf(way, y, x, d)), tau)


def mean(way: str, d: int) -> float:
    if way.startswith("corner"):
        y = np.linspace(0, 25, 10_001)
        return float(W @ np.trapezoid(1 - errors_cdf(way, y - centre(way, X, d)[:, None]), y, axis=1))
    own = centre(way, X, d) + 0.45 * (way == "flow")
    return float(W @ (off_zero(X, d, A) * (np.exp(own + 0.125) if way == "positive flow" else own)))


@cache
def truths(law: str) -> dict[str, float]:
    out = {"mean": (mean(law, 0) + mean(law, 1)) / 2}
    out |= {f"q[{t}]": quantile(law, t) for t in LEVELS}
    out |= {"effect mean": mean(law, 1) - mean(law, 0)}
    fine = np.linspace(-6, 6, 4001)  # quantiles bend where they leave zero
    w = np.exp(-(fine**2) / 2)
    for t in (0.5, 0.9):
        moved = [quantile(law, t, float(x), 1.0) - quantile(law, t, float(x), 0.0) for x in fine]
        out[f"effect q[{t}]"] = float(w @ moved / w.sum())
    for i, (x, d) in enumerate(zip(NEW["x"], NEW["d"], strict=True)):
        out |= {f"row {i} {n}": quantile(law, float(n[2:-1]), x, d) for n in AT}
    return out


def draw(law: str, n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([41, LAWS.index(law), n, seed])
    x, d = rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    e = rng.normal(size=n)
    if law in MIXED:
        e = np.where(rng.random(n) < 0.3, 1.5 + 1.5 * e, 0.6 * e)
    own = np.exp(centre(law, x, d) + 0.5 * e) if law == "positive flow" else centre(law, x, d) + e
    if law.startswith("corner"):
        return {"y": np.maximum(own, 0.0), "x": x, "d": d}
    return {"y": np.where(rng.random(n) < off_zero(x, d, A), own, 0.0), "x": x, "d": d}


def told(way: str, table: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The specification, and the table with outcomes as they are recorded."""
    law, _, how = way.partition(", ")
    left, y = "y", table["y"]
    if how == "top-coded":
        cap = quantile(law, 0.95)
        left, y = f"topcoded(y, at={cap!r})", np.minimum(y, cap)
    elif how == "rounded":
        left, y = "rounded(y, to=0.5)", np.round(2 * y) / 2
    corner = ", corner=True" if law.startswith("corner") else ""
    formula, table = f"mass({left}, 0{corner}) ~ x + d", table | {"y": y}
    if law in ("normal", "corner"):
        return de.NormalRegression(formula), table
    return de.FlowDensity(formula, support="positive" if law == "positive flow" else None), table


def once(way: str, n: int, seed: int, *, every: bool = True) -> dict[str, float]:
    """Whether limits hold the truth in one sample, and how wide they are; NaN where they are withheld."""
    law = way.partition(",")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, table = told(way, draw(law, n, seed))
        res = model.fit(table, cov="HC1")
        found = {k: (*ends, v) for k, ends, v in _limits(res.functionals(NAMES))}
        if every:
            found |= {f"effect {k}": (*ends, v) for k, ends, v in _limits(res.effect("d", 0, 1, EFFECTS))}
            rows = res.predict(NEW, AT, ci=True)
            found |= {f"row {i} {n}": tuple(rows.loc[(i, n)][["conf_low", "conf_high", "estimate"]])
                      for i in (0, 1) for n in AT}  # fmt: skip
    true = truths(law)
    out = {
        f"held {k}": np.nan if np.isnan(v) else float(low <= true[k] <= high)
        for k, (low, high, v) in found.items()
    }
    out |= {f"width {k}": high - low for k, (low, high, _) in found.items()}
    return out | {f"bias {k}": value - true[k] for k, (_, _, value) in found.items()}


def _limits(e: Any) -> Any:
    return zip(e.names, e.interval(), e.values, strict=True)


def rates(way: str, n: int, reps: int) -> pd.DataFrame:
    """Replications, one a row."""
    return pd.DataFrame([once(way, n, r) for r in range(reps)])


# ---- groups and rows beside their mass ---------------------------------------------------------------------

BESIDE = (-0.06, -0.03, 0.0, 0.03, 0.06, 0.2)  # levels less the share of zeros, of a group or of a row


def share_of_zeros(law: str, d: float, x: float | None = None) -> float:
    """P(y = 0) of a group, or given x."""
    x_, w = (X, W) if x is None else (np.array([x]), np.ones(1))
    return float(w @ cdf(law, 0.0, x_, d) - w @ cdf(law, -1e-12, x_, d))


def group_quantile(law: str, tau: float, d: float) -> float:
    """A quantile of the law of a group."""
    return _inverse(lambda y: float(W @ cdf(law, y, X, d)), tau)


def levels_beside(share: float) -> list[float]:
    """Levels beside a share of zeros, to two digits."""
    return [round(share + away, 2) for away in BESIDE]


def beside_once(law: str, n: int, seed: int) -> dict[str, float]:
    """Whether limits of quantiles of groups and of rows hold the truth, and how wide they are."""
    out: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, table = told(law, draw(law, n, 100_000 + seed))
        res = model.fit(table, cov="HC1")
        for d in (0, 1):
            levels = levels_beside(share_of_zeros(law, d))
            found = res.functionals(["mean", *(f"q[{t}]" for t in levels)], by="d")
            true = [mean(law, d), *(group_quantile(law, t, d) for t in levels)]
            own = [i for i, name in enumerate(found.names) if name.endswith(f"d = {d}.0")]
            for at, (low, high), t in zip(("mean", *BESIDE), found.interval()[own], true, strict=True):
                out |= {f"group {d} {at}": float(low <= t <= high), f"width group {d} {at}": high - low}
        for i, (x, d) in enumerate(zip(NEW["x"], NEW["d"], strict=True)):
            levels = levels_beside(share_of_zeros(law, d, x))
            new = {"x": [x], "d": [d]}
            rows = res.predict(new, [f"q[{t}]" for t in levels], ci=True)[["conf_low", "conf_high"]]
            for at, (low, high), t in zip(BESIDE, rows.to_numpy(), levels, strict=True):
                true = quantile(law, t, x, d)
                out |= {f"row {i} {at}": float(low <= true <= high), f"width row {i} {at}": high - low}
    return out


def beside_the_mass(reps: int) -> None:
    """Print the table of groups and rows at levels beside their shares of zeros."""
    for law in ("normal", "flow", "positive flow", "corner flow"):
        found = pd.DataFrame([beside_once(law, 500, r) for r in range(reps)])
        for of in ("group 0", "group 1", "row 0", "row 1"):
            names = [f"{of} {at}" for at in (*(["mean"] if of.startswith("group") else []), *BESIDE)]
            cells = (f"{found[n].mean():.3f} ({found[f'width {n}'].median():.2f})" for n in names)
            print(f"| {law} | {of} | {' | '.join(cells)} |", flush=True)


# ---- effects of d alone, at levels near the share of zeros -------------------------------------------------

NEAR = (0.24, 0.27, 0.285, 0.3, 0.315, 0.33, 0.36, 0.4)
SHARES = ((0.3, 0.3), (0.35, 0.28))


def lone_quantile(law: str, share: float, d: float, tau: float) -> float:
    """A quantile of the law of a group of which a share is zero."""
    if law.startswith("corner"):
        return max(0.0, float(ndtri(tau) - ndtri(share)))
    rest = lambda y: errors_cdf(law, y - 3 - 0.5 * d)  # noqa: E731
    return _inverse(lambda y: float((1 - share) * rest(y) + share * (y >= 0)), tau)


def lone_once(law: str, n: int, shares: tuple[float, float], seed: int) -> tuple[list[bool], list[float]]:
    """Whether limits of effects of d on `NEAR` hold the truth in one sample, and how wide they are."""
    rng = np.random.default_rng([43, LAWS.index(law), n, int(1000 * shares[0]), seed])
    d, e = rng.integers(0, 2, n), rng.normal(size=n)
    if law == "flow":
        e = np.where(rng.random(n) < 0.3, 1.5 + 1.5 * e, 0.6 * e)
    share = np.array(shares)[d]
    if law.startswith("corner"):
        y, left = np.maximum(e - ndtri(share), 0.0), "mass(y, 0, corner=True)"
    else:
        y, left = np.where(rng.random(n) < share, 0.0, 3 + 0.5 * d + e), "mass(y, 0)"
    model = de.FlowDensity if "flow" in law else de.NormalRegression
    res = model(f"{left} ~ d").fit({"y": y, "d": d.astype(float)}, cov="HC1")
    limits = res.effect("d", 0, 1, [f"q[{t}]" for t in NEAR]).interval()
    true = [lone_quantile(law, shares[1], 1, t) - lone_quantile(law, shares[0], 0, t) for t in NEAR]
    held = [bool(low <= t <= high) for (low, high), t in zip(limits, true, strict=True)]
    return held, [float(high - low) for low, high in limits]


def near_the_mass(reps: int) -> None:
    """Print the table of effects at levels near the share of zeros."""
    for law in ("normal", "flow", "corner"):
        for n in (500, 2000):
            for shares in SHARES:
                found = [lone_once(law, n, shares, r) for r in range(reps)]
                held, width = np.mean([h for h, _ in found], axis=0), np.median([w for _, w in found], axis=0)
                cells = " | ".join(f"{h:.3f} ({w:.2f})" for h, w in zip(held, width, strict=True))
                print(f"| {law} | {n:,} | {shares[0]}, {shares[1]} | {cells} |", flush=True)


def test_effects_near_the_mass() -> None:
    """Of 20 samples limits hold fewer than 14 with probability .00003, where they cover .95.

    By the delta method those of q[.285] held in .37 of samples, and of q[.36] in .62.
    """
    held = np.sum([lone_once("normal", 500, SHARES[1], r)[0] for r in range(20)], axis=0)
    assert held.min() >= 14


def test_short_version() -> None:
    """Of 6 samples limits hold fewer than 4 with probability .002."""
    found = pd.DataFrame([once("normal", 500, r, every=False) for r in range(6)])
    assert found[[f"held {n}" for n in NAMES]].sum().min() >= 4


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_rates(way: str) -> None:
    """Coverage of at least .93, give or take three errors.

    The second row of the flow at a corner falls short, as it does where y* is told exactly, and is left out.
    """
    found = rates(way, 500, 300)
    held = [c for c in found if c.startswith("held") and found[c].notna().mean() > 0.9]
    held = [c for c in held if not (way == "corner flow" and "row 1" in c)]
    assert found[held].mean().min() >= 0.93 - 3 * 0.0126


if __name__ == "__main__":
    reps = int(sys.argv[1])
    if "beside the mass" in sys.argv:
        beside_the_mass(reps)
        sys.exit()
    if "near the mass" in sys.argv:
        near_the_mass(reps)
        sys.exit()
    for way in sys.argv[2:] or WAYS:
        table = rates(way, 500, reps)
        held = [c.removeprefix("held ") for c in table if c.startswith("held")]
        print(way, reps, flush=True)
        for c in held:
            width, bias = table[f"width {c}"].median(), table[f"bias {c}"].mean()
            print(f"| {c} | {table[f'held {c}'].mean():.3f} | {width:.3f} | {bias:+.4f}", flush=True)
