"""What limits of a normal law cover where outcomes were recorded, beside those of the exact outcomes.

``python tests/statistical/test_recorded_normal_coverage.py 1000`` prints the table of
`coverage_of_recorded_normal.md`.  Outcomes are y = 1 + .8x − .6d + N(0, 1), x normal, d in two of five rows.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

import disteconometrics as de

pytestmark = pytest.mark.statistical

N_ROWS = 500
BETA = {"Intercept": 1.0, "x": 0.8, "d": -0.6}
DESIGNS = {
    "bottom-coded": "bottomcoded(corner, at=0)",
    "top-coded": "topcoded(capped, at=2)",
    "eight classes": "brackets(y, [-inf, -1, 0, 0.5, 1, 1.5, 2, 3, inf])",
    "rounded": "rounded(steps, to=0.5)",
    "both ends": "topcoded(bottomcoded(both, at=0), at=2)",
}
NAMES = ("mean", "q[0.5]", "q[0.9]")


def truths() -> dict[str, float]:
    """Coefficients, σ, and functionals of the law averaged over x and d."""
    spread = float(np.hypot(1.0, BETA["x"]))

    def quantile(tau: float) -> float:
        def gap(y: float) -> float:
            parts = [norm.cdf((y - 1.0 - BETA["d"] * d) / spread) for d in (0, 1)]
            return float(0.6 * parts[0] + 0.4 * parts[1] - tau)

        return float(brentq(gap, -9, 9))

    mean = BETA["Intercept"] + 0.4 * BETA["d"]
    return {**BETA, "sigma": 1.0, "mean": mean, "q[0.5]": quantile(0.5), "q[0.9]": quantile(0.9)}


def draw(rng: np.random.Generator) -> pd.DataFrame:
    """A sample, with what is told of the outcome."""
    x, d = rng.normal(size=N_ROWS), (rng.random(N_ROWS) < 0.4).astype(float)
    y = BETA["Intercept"] + BETA["x"] * x + BETA["d"] * d + rng.normal(size=N_ROWS)
    told = {"corner": np.maximum(y, 0), "capped": np.minimum(y, 2), "both": np.clip(y, 0, 2)}
    return pd.DataFrame({"x": x, "d": d, "y": y, "steps": np.rint(2 * y) / 2, **told})


def limits(left: str, table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Limits at 95 % of coefficients, σ and functionals of the outcome before it was recorded."""
    res = de.NormalRegression(f"{left} ~ x + d").fit(table, use_t=False)
    rows = [(res.conf_int().index, res.conf_int().to_numpy())]
    sigma, law = res.sigma_estimates, res.functionals(list(NAMES))
    rows += [(sigma.names[:1], sigma.interval()[:1]), (NAMES, law.interval())]
    return {n: (low, high) for names, ends in rows for n, (low, high) in zip(names, ends, strict=True)}


def once(design: str, seed: int) -> dict[str, float]:
    """What is covered in one sample, and how wide, with recorded and with exact outcomes."""
    table, true = draw(np.random.default_rng([26, seed])), truths()
    held = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.RecordingWarning)
        for who, left in (("recorded", DESIGNS[design]), ("exact", "y")):
            for name, (low, high) in limits(left, table).items():
                held[f"{who} {name}"] = float(low <= true[name] <= high)
                held[f"{who} width {name}"] = high - low
    return held


def rates(design: str, reps: int, start: int = 0) -> dict[str, tuple[float, float, float]]:
    """Coverage with recorded and with exact outcomes, and the ratio of mean widths, by name."""
    mean: Any = pd.DataFrame([once(design, start + r) for r in range(reps)]).mean()
    return {
        n: (
            mean[f"recorded {n}"],
            mean[f"exact {n}"],
            mean[f"recorded width {n}"] / mean[f"exact width {n}"],
        )
        for n in truths()
    }


def test_short_version() -> None:
    """Of 8 samples limits hold in fewer than 5 with probability .0004 each; widths are no less than exact."""
    found = rates("both ends", 8)
    assert min(recorded for recorded, _, _ in found.values()) >= 5 / 8
    assert all(1 <= width < 2 for _, _, width in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_full_version(design: str) -> None:
    """Coverage of .95 within .93 and .97, 2.9 Monte Carlo errors of 1,000, and .02 of the exact outcomes."""
    for name, (recorded, exact, width) in rates(design, 1_000).items():
        assert 0.93 <= recorded <= 0.97, (design, name)
        assert abs(recorded - exact) <= 0.02, (design, name)
        assert width < 1.6, (design, name)


def main(reps: int) -> None:
    """Print the table."""
    found = {design: rates(design, reps) for design in DESIGNS}
    print("| | " + " | ".join(DESIGNS) + " | exact |")
    print("|:--|" + "--:|" * (len(DESIGNS) + 1))
    for name in truths():
        cells = [f"{f[name][0]:.3f} ({f[name][2]:.2f})".replace("0.", ".", 1) for f in found.values()]
        exact = f"{next(iter(found.values()))[name][1]:.3f}".replace("0.", ".", 1)
        print(f"| {name} | " + " | ".join([*cells, exact]) + " |")


if __name__ == "__main__":
    main(int(sys.argv[1]))
