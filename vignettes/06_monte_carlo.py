# %% [markdown]
# # A Monte Carlo study for a paper
#
# How many clusters do clustered standard errors need? A study answers with a design, a grid, and tables in
# which every figure has its own error, so that a reader can tell a finding from noise. This page runs one,
# looks into what failed, and sends the same study to a cluster of computers.

# %%
import warnings

import joblib
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import disteconometrics as de

pd.set_option("display.width", 120)
pd.set_option("display.max_columns", 20)

# %% [markdown]
# ## The design
#
# Households in villages of 20 share a shock, and so does their x. The logit of y on x is right, household by
# household; only its standard errors have to know the villages. A process draws a table from a generator and
# knows its truth:

# %%
process = de.dgps.ClusteredLogit(size=20, correlation=0.3)
table = process(np.random.default_rng(0), n=400)
print({name: values[:3].round(2).tolist() for name, values in table.items()}, process.truth(["x"]))

# %% [markdown]
# Any callable `dgp(rng, **cell)` that returns a table will do in its place, with `truth={"x": 1.0}`.
# Estimators are specifications, here the same one with three covariances, so each table is drawn once and
# fitted by all of them:

# %%
logit = de.Logit("y ~ x")
study = de.MonteCarlo(
    process,
    {
        "nonrobust": logit,
        "cr1, normal": (logit, {"cov": de.Cluster("cluster", correction="cr1")}),
        "jackknife, t": (logit, {"cov": de.Cluster("cluster", correction="jackknife"), "use_t": True}),
    },
    targets=["x"],
    grid={"n": [200, 1_000]},
)
mc = study.run(reps=1_000, seed=1)
print(mc.summary())

# %% [markdown]
# One interval in seven misses where villages are ignored, three times what it promises. With 50 villages both
# clustered errors do what they promise; with ten, normal limits from `cr1` do not, and the jackknife with a t
# law does. The numbers in parentheses are Monte Carlo standard errors: at 1,000 replications a coverage of
# .95 is known to ± .007, so differences below .014 should not be told as findings.
#
# ## Which intervals miss
#
# A zip plot (Morris, White, Crowther 2019) draws all intervals, the worst on top. Those of the errors that
# ignore villages miss on both sides, which says that they are too short and not off centre:

# %%
ax = mc.plot("zip", parameter="x", estimator="nonrobust", cell="n=200")

# %% [markdown]
# ## How many replications
#
# Ask for the precision of a figure in place of a number of replications. The study is run until the worst of
# its cells is there:

# %%
print("for coverage within half a point:", de.n_sim(0.005, probability=0.95), "replications")
precise = study.run(2_000, mcse={"coverage": 0.0125}, seed=1)
print(precise.reps, "were run; the largest error of a coverage is", end=" ")
wide = precise.measures()
print(wide.loc[wide["measure"] == "coverage", "mcse"].max().round(4))

# %% [markdown]
# ## What fails
#
# Small samples break estimators, and a study that leaves failures out in silence is biased. Here a covariate
# that is rarely 1 separates the outcome in some samples. A failure is counted, its cause kept, and any
# replication can be drawn again:


# %%
def rare(rng, n):
    d = (rng.random(n) < 0.08).astype(float)
    return {"d": d, "y": (0.5 * d + rng.logistic(size=n) > 0).astype(float)}


small = de.MonteCarlo(
    rare,
    {"raise": de.Logit("y ~ d", separation="raise"), "firth": de.Logit("y ~ d", separation="firth")},
    targets=["d"],
    truth={"d": 0.5},
    grid={"n": [50]},
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", de.errors.DisteconometricsWarning)
    broken = small.run(reps=500, seed=2)
    first = broken.failures.iloc[0]
    again = broken.replay("n=50", int(first["replication"]))
print(broken.summary())
print(f"replication {first['replication']}: {first['message'][:76]} …")
print(pd.crosstab(again.table["d"], again.table["y"]))

# %% [markdown]
# The rule `separation="raise"` loses more than a quarter of the samples, and its figures describe the others:
# they answer another question, and look better than they should. Firth's penalty answers in every sample in
# which d is ever 1.
#
# ## The same study elsewhere
#
# Replications are numbered, and each has its own random stream. The numbers therefore do not depend on how
# many processes work on them, in which order, or where. `n_jobs=4` uses four processes; joblib's dask backend
# sends them to a cluster of computers, here two workers on one machine; and `store="study.npz"` keeps what is
# finished, so that a study can be stopped and go on.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        elsewhere = study.run(reps=40, seed=1, n_jobs=2)
here = mc.replications.query("replication < 40").reset_index(drop=True)
print("the same bits:", elsewhere.replications.equals(here[elsewhere.replications.columns]))

# %% [markdown]
# ## For the paper
#
# `mc.table()` is a DataFrame with every measure and its error, `mc.summary().as_latex()` the table above for
# LaTeX, and `mc.replications` has every estimate of every replication. State the seed, the number of
# replications and the version; with these three the numbers come back to the last bit.
#
# Cameron, Gelbach, Miller (2008), Bootstrap-based improvements for inference with clustered errors, Review of
# Economics and Statistics 90. Morris, White, Crowther (2019), Using simulation studies to evaluate
# statistical methods, Statistics in Medicine 38.
