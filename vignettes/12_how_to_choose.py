# %% [markdown]
# # How to choose
#
# What you have, what you want to say, what to write, what its errors assume, and when another package is the
# better choice.
#
# ## One outcome
#
# | the outcome | you want | write | its errors assume |
# |:--|:--|:--|:--|
# | yes or no | probabilities, marginal effects | `de.Logit("y ~ x")` | the model; with `cov="HC1"` independent rows, with `de.Cluster` independent clusters |
# | yes or no, groups all yes or all no | the same | `separation="firth"` | a penalty that shrinks; limits from the penalised profile |
# | grades in an order | effects on each grade | `de.OrderedLogit` | proportional odds, which `proportional_odds()` tests |
# | one of several options | who takes which | `de.MultinomialLogit` | independence of irrelevant alternatives |
# | one of several options, with their prices | elasticities, willingness to pay | `de.ConditionalLogit(…, choice="id")` | the same; independent choice sets |
# | yes or no, the same people again | effects net of what stays the same | `de.ConditionalLogit(…, successes="exact")` | covariates that are strictly exogenous |
# | yes or no, many rows of each | slopes beside absorbed effects, average effects | `de.Logit("y ~ x \| id", bias="analytical")` | T of 8 and more; with `bandwidth=1` past outcomes may move x |
# | a number, many rows of each | the within estimator | `de.NormalRegression("y ~ x \| id + year")` | independent ids with `cov=de.Cluster("id")` |
# | a number | mean, the usual table | `de.NormalRegression` | homoskedastic normal errors for quantiles; `cov=` for coefficients |
# | a number | the law: quantiles, density, effects on them | `de.FlowDensity` | enough rows for the shape; effects cover where `steps_and_edges.md` says so |
# | a number, heaped | effects along its values | `de.DistributionRegression` | a logit at every threshold |
# | capped, rounded, in classes, zeros piled up | the law behind the record | `topcoded(y, at=…)`, `rounded`, `brackets`, `interval` on the left | that recording depends on nothing else; beyond a cap no law is told |
# | two or more numbers | their joint law | `de.FlowDensity("y1 + y2 ~ x")` | the order of the factors, or both pooled |
#
# ## Two groups
#
# | you want | write | its errors assume |
# |:--|:--|:--|
# | how far apart their laws are | `de.WassersteinDistance("y ~ group")` | tails that are not too heavy, or `p=1` |
# | effects at every quantile | `de.TransportMap("y ~ group")` | rank invariance for whom; bands hold with ties |
# | what their covariates explain | `de.decompose(model, data, by="group")` | overlap of the covariates; no unobserved differences |
# | how unequal they are | `de.Inequality("y ~ group")` | finite variances of the measure; a warning where tails say no |
#
# ## When not to use this package
#
# | you have | take instead |
# |:--|:--|
# | endogenous regressors and instruments | linearmodels, pyfixest, DoubleML |
# | several fixed effects of many levels each, or a Poisson model | pyfixest |
# | treatment effects with many controls, machine learning in the first stage | DoubleML, econml |
# | predictions only, many covariates that interact | quantile-forest, LightGBM, TabPFN: compare by `de.adapt` and `de.cross_validate` |
# | changes in changes, synthetic controls, event studies | StatsPAI, differences |
# | covariates that enter a decomposition one after the other | nothing known to us with errors; `de.rif_decompose` has parts by term, of no order |
# | durations with time-varying covariates, competing risks | lifelines, scikit-survival |
# | random coefficients, market shares | xlogit, pyblp |
# | time series, GARCH, state space | statsmodels, arch |
# | Bayesian posteriors | PyMC, numpyro |
# | images, millions of dimensions | normflows, zuko |
#
# ## Which of two models
#
# On six data sets ([table](../tests/benchmarks/held_out.md), made by `python tests/benchmarks/bench_held_out.py --write`) a
# flow has the best log score on three, `NormalRegression` on two small ones, and a quantile forest on 401ksubs, whose
# covariates interact; by the CRPS the flow is best on five.
#
# What is not known is compared on rows that neither has seen. The log score rewards a law that puts density
# where outcomes fall; the CRPS is in the units of the outcome:

# %%
import warnings

import disteconometrics as de

engel = de.datasets.engel()
models = {
    "normal": de.NormalRegression("foodexp ~ income"),
    "normal, logs": de.FlowDensity("foodexp ~ log(income)", flow=de.AffineMap(), support="positive"),
    "flow": de.FlowDensity("foodexp ~ income", support="positive"),
}
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    table = de.cross_validate(models, engel, folds=5, seed=1).table()
print(told[0].message)
print(table[["log_score", "log_score_error", "crps", "crps_error"]].round(3))

# %% [markdown]
# The flow and the law of logs are not told apart; both beat the normal law by half a nat a row, because the
# spread of food expenditure grows with income.
