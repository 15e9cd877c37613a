"""The author of a simulation study: an estimator of their own beside the usual ones, a table."""

import numpy as np
import pandas as pd

import disteconometrics as de


def process(rng, n, df):
    return pd.DataFrame({"y": 1 + rng.standard_t(df, size=n)})


def mean(data):
    y = data["y"].to_numpy()
    return {"mu": (y.mean(), y.std(ddof=1) / np.sqrt(len(y)))}


def median(data):  # no standard error: bias and spread are studied all the same
    return {"mu": np.median(data["y"])}


class Trimmed:
    """The mean of what is left without the outer tenths."""

    def __init__(self, share=0.1):
        self.share = share

    def fit(self, data):
        y = np.sort(data["y"].to_numpy())
        k = int(self.share * len(y))
        self.params = pd.Series({"mu": y[k:-k].mean()})
        spread = np.clip(y, y[k], y[-k - 1]).std(ddof=1)
        self.bse = pd.Series({"mu": spread / (1 - 2 * self.share) / np.sqrt(len(y))})
        return self


study = de.MonteCarlo(
    process,
    {"mean": mean, "trimmed": Trimmed(), "median": median},
    truth={"mu": 1.0},
    grid={"n": [50, 200], "df": [3, 30]},
)
mc = study.run(reps=100, seed=1)
print(mc.summary())
print(mc.as_latex())
table = mc.table()
print(table[["bias", "empirical_se", "coverage"]].round(3))
mc.plot("zip", estimator="mean")
mc.plot("nested_loop", measure="rmse")
mc.plot("lollipop", measure="coverage")
heavy = table["empirical_se"].xs("n=200, df=3")
assert heavy["trimmed", "mu"] < heavy["mean", "mu"]
print("replications for a coverage within half a point:", de.n_sim(0.005, probability=0.95))
