"""How the functionals of a trained flow move when its rows are weighted anew: a batched exchangeable bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from disteconometrics.distributions.functionals import functional_name
from disteconometrics.errors import OptionError
from disteconometrics.flows.training import train_many
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.optim.minibatch import LBFGS, Adam, AdamW

if TYPE_CHECKING:
    from disteconometrics.estimators.flow.trained import TrainedFlowResults

__all__ = ["ResamplingSpread", "resampling_spread"]

SHARE = 4  # a draw is trained for one in so many of the fit's steps, from the fit's parameters
LEAST = 50  # steps
DRAWS = 4_000  # behind moments of joint outcomes, the same noise for every flow


@dataclass(frozen=True, eq=False)
class ResamplingSpread:
    """Functionals of a trained flow under weights drawn anew; no standard errors, as no study shows that they cover.

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
        """The fit's value, the standard deviation over draws, and the central interval that holds a share of them."""
        low, high = (self.draws.quantile(q) for q in ((1 - level) / 2, (1 + level) / 2))
        columns = {
            "estimate": self.estimates,
            "resampling_spread": self.draws.std(),
            "low": low,
            "high": high,
        }
        return pd.DataFrame(columns).loc[list(self.draws.columns)]

    def __str__(self) -> str:
        return (
            f"Resampling spread, {len(self.draws)} draws of exponential row weights (no coverage is "
            f"claimed)\n"
            f"{self.table().round(4).to_string()}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.table()._repr_html_())


def resampling_spread(
    result: TrainedFlowResults, reps: int, names: Sequence[Any], seed: Any
) -> ResamplingSpread:
    """Train ``reps`` copies of a flow at once, each with exponential weights of the rows, from the parameters of the fit.

    Raises
    ------
    OptionError, NeedsData
    """
    if isinstance(reps, bool) or not isinstance(reps, int) or reps < 2:
        raise OptionError(f"reps={reps!r}: give a whole number of at least 2.")
    if result.model.weight_type == "frequency":
        raise OptionError(
            "Frequency weights stand for several rows, each drawn apart: repeat the rows first."
        )
    rows = result.training_rows()
    streams = seed_sequence(seed)
    rng = np.random.default_rng(streams)
    weights = rng.standard_exponential((reps, len(rows.Y))) * (1.0 if rows.weights is None else rows.weights)
    how = result.trainer
    steps = max(LEAST, result.facts.best // SHARE)
    if isinstance(how, LBFGS):
        how = Adam(lr=0.02, steps=4 * steps)
    how = replace(how, steps=steps, validation=0.0, patience=None, snapshots=(), callback=None)
    if isinstance(how, AdamW):
        how = replace(how, lr=how.lr / 2)
    flows = train_many(result.flow, rows, weights, how, int(rng.integers(2**31)))
    columns = [functional_name(n) for n in names]
    values = [list(replace(result, flow=flow).values(names, DRAWS).values()) for flow in flows]
    fit = pd.Series(result.values(names, DRAWS))
    entropy = streams.entropy if isinstance(streams.entropy, int) else None
    return ResamplingSpread(pd.DataFrame(values, columns=columns), fit, entropy)
