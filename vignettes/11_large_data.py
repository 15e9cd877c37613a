# %% [markdown]
# # More than memory holds
#
# A path goes where a table went. A folder of Parquet files, a pyarrow dataset, a lazy polars frame, a dask
# frame or a function that gives tables piece by piece is read several times, a part at a time, and never
# held; names, levels, counts and warnings are those of the table. This page makes a small folder, so that
# the numbers can be set beside those of the table in memory.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import disteconometrics as de

pd.set_option("display.width", 100)
rng = np.random.default_rng(0)
n = 200_000
table = pd.DataFrame(
    {
        "age": rng.uniform(20, 65, n),
        "educ": rng.integers(8, 21, n),
        "region": rng.choice(["north", "south", "west"], n),
        "firm": rng.integers(0, 2_000, n),
    }
)
index = -2 + 0.02 * table["age"] + 0.1 * table["educ"] + 0.3 * (table["region"] == "west")
table["member"] = (index + rng.normal(size=2_000)[table["firm"]] + rng.logistic(size=n) > 0).astype(int)
table["wage"] = np.exp(0.08 * table["educ"] + 0.01 * table["age"] + 0.4 * rng.normal(size=n))
folder = Path(tempfile.mkdtemp())
for i, part in enumerate(np.array_split(np.arange(n), 8)):
    table.iloc[part].to_parquet(folder / f"part-{i}.parquet")

# %% [markdown]
# ## A logit of a folder
#
# The foot of the summary says how often the folder was read. Estimates are those of the table to the last
# digits, and clustered errors too:

# %%
model, cov = de.Logit("member ~ age + educ + region"), de.Cluster("firm")
streamed, held = model.fit(folder, cov=cov), model.fit(table, cov=cov)
print(streamed.summary())
print(f"params differ by {np.abs(streamed.params - held.params).max():.0e} at most, ", end="")
print(f"errors by {np.abs(streamed.bse / held.bse - 1).max():.0e} of themselves")

# %% [markdown]
# What needs all rows at once says so and names the door: `NeedsRows`.

# %%
try:
    streamed.roc()
except de.errors.DisteconometricsError as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## Normal regressions and distances
#
# Least squares needs sums only. Wasserstein distances and quantile effects need the order of the outcomes,
# which histograms of many bins have to a width that is printed:

# %%
line = de.NormalRegression("log(wage) ~ educ + age").fit(folder, cov="HC1")
print(line.estimates.table().round(5))
apart = de.WassersteinDistance("wage ~ member", p=1).fit(folder, seed=1)
print(apart.summary())

# %% [markdown]
# ## Densities and cells
#
# Where covariates take few values, the first reading counts cells, and these are fitted with the number of
# their rows in place of the rows: the fit is exact, and the folder is read once. A density adds bins of the
# outcome within each cell; the summary says how many, and by how much at most they move its numbers.

# %%
cells = de.Logit("member ~ C(educ) + region").fit(folder)
print(f"{cells.nobs:,.0f} rows, {cells.facts.readings} reading")
density = de.FlowDensity("log(wage) ~ member").fit(folder)
print(density.summary())

# %% [markdown]
# ## Pieces from anywhere, and more workers
#
# `de.Parts` takes a function that gives tables piece by piece, from a database or a download, each time it is
# called. `n_jobs=` reads the parts of a folder by joblib; a dask frame is worked on by the workers of its
# client. Sums are taken part by part in their order, so the bits do not depend on the workers.
#
# Coded rows stay in memory during the fit where they are few: up to 200 MB in this process, or in each worker
# of dask. `cache="memory"` keeps more of them, as long as the result lives, so that further covariances need
# no reading either, but of clusters; `cache=None` keeps nothing; `cache="disk"` writes them into a temporary
# folder for the time of the fit (a `pathlib.Path`: inside that one), which pays where the source is slow to read,
# as text or a database. "auto" never does, since temporary folders are memory on some machines. The numbers are
# the same to the last bit.

# %%
pieces = de.Parts(lambda: (table.iloc[i : i + 50_000] for i in range(0, n, 50_000)))
print((model.fit(pieces).params / held.params - 1).abs().max() < 1e-10)
print((model.fit(folder, n_jobs=2).params == model.fit(folder).params).all())
caches = {cache: model.fit(folder, cov=cov, cache=cache) for cache in ("memory", "disk", None)}
print({cache: res.facts.readings for cache, res in caches.items()}, end=" readings, ")
print(all((res.bse == caches[None].bse).all() for res in caches.values()))

# %% [markdown]
# On a cluster, start a client first (`dask.distributed.Client(address)`) and give the dask frame to `fit`; a
# study runs there with `study.run(reps=…, n_jobs=…)` inside `joblib.parallel_config(backend="dask")`, and on
# ray after `ray.util.joblib.register_ray()`. Beyond ten million replications, `keep="measures"` keeps the sums
# that bias, errors and coverage need in place of the replications, whose 200 bytes each would fill the memory.
