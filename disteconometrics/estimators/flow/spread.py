"""How functionals of a trained flow move when its rows are weighted anew: a batched bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from disteconometrics.flows.fitted import FittedFlow
from disteconometrics.flows.training import TrainingRows, train_many
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.optim.minibatch import LBFGS, Adam, AdamW, Trainer
from disteconometrics.tables import printable

__all__ = ["DRAWS", "ResamplingSpread", "resampling_spread"]

SHARE = 4  # a draw is trained for one in so many of the fit's steps, from the fit's parameters
LEAST = 50  # steps
DRAWS = 4_000  # behind moments of joint outcomes, the same noise for every flow


@dataclass(frozen=True, eq=False)
class ResamplingSpread:
    """Functionals of a trained flow under weights drawn anew: no standard errors, as no study shows cover.

    ``draws`` (reps, k) has a column per functional; ``estimates`` are those of the fit itself.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.FlowDensity("log(foodexp) ~ 1", flow=de.RQS(bins=4), train=de.Adam(lr=0.02, steps=200))
    >>> spread = model.fit(de.datasets.engel(), seed=0).bootstrap(reps=10, names=["mean", "q[0.5]"], seed=1)
    >>> spread.draws.shape, bool((spread.table()["resampling_spread"] < 0.1).all())
    ((10, 2), True)
    """

    draws: pd.DataFrame
    estimates: pd.Series
    seed: int | None

    def table(self, level: float = 0.9) -> pd.DataFrame:
        """The fit's value, the standard deviation over draws, and the central interval with a share."""
        low, high = (self.draws.quantile(q) for q in ((1 - level) / 2, (1 + level) / 2))
        columns = {
            "estimate": self.estimates,
            "resampling_spread": self.draws.std(),
            "low": low,
            "high": high,
        }
        return pd.DataFrame(columns).loc[list(self.draws.columns)]

    def __str__(self) -> str:
        return printable(
            f"Resampling spread, {len(self.draws)} draws of exponential row weights (no coverage is "
            f"claimed)\n"
            f"{self.table().round(4).to_string()}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.table()._repr_html_())


def resampling_spread(
    flow: FittedFlow,
    rows: TrainingRows,
    how: Trainer,
    best: int,
    values: Callable[[FittedFlow], dict[str, float]],
    reps: int,
    seed: Any,
) -> ResamplingSpread:
    """Train copies of a flow at once, each with exponential weights of the rows, from the fit's parameters.

    Parameters
    ----------
    flow : FittedFlow.
    rows : Rows, as it was trained on them.
    how : Trainer of the fit; best : the step whose parameters it kept.
    values : functionals of a flow by name.
    reps : int, copies.
    seed : of the weights.
    """
    streams = seed_sequence(seed)
    rng = np.random.default_rng(streams)
    weights = rng.standard_exponential((reps, len(rows.Y))) * (1.0 if rows.weights is None else rows.weights)
    flows = train_many(flow, rows, weights, _shorter(how, best), int(rng.integers(2**31)))
    draws = [values(one) for one in flows]
    entropy = streams.entropy if isinstance(streams.entropy, int) else None
    return ResamplingSpread(pd.DataFrame(draws), pd.Series(values(flow)), entropy)


def _shorter(how: Trainer, best: int) -> Trainer:
    """The trainer of the draws, which begin where the fit ended."""
    steps = max(LEAST, best // SHARE)
    if isinstance(how, LBFGS):
        how = Adam(lr=0.02, steps=4 * steps)
    how = replace(how, steps=steps, validation=0.0, patience=None, snapshots=(), callback=None)
    return replace(how, lr=how.lr / 2) if isinstance(how, AdamW) else how
