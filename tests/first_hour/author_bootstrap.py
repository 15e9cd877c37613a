"""The author of a study: the bootstrap of another package's result, and what a study says of one's own."""

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

import disteconometrics as de

visits = sm.datasets.randhie.load_pandas().data.sample(800, random_state=1)
visits["site"] = np.arange(len(visits)) // 20


def poisson(data):
    return smf.poisson("mdvis ~ lncoins + physlm + disea", data).fit(disp=0)


boot = de.bootstrap(poisson, visits, reps=19, kind="cluster", cluster="site", seed=1)
print(boot.summary())
print(boot.conf_int(method="percentile"))
robust = smf.poisson("mdvis ~ lncoins + physlm + disea", visits).fit(
    disp=0, cov_type="cluster", cov_kwds={"groups": visits["site"]}
)
print(de.compare([poisson(visits), robust, boot], names=["nonrobust", "clusters", "bootstrap"]).as_latex())
boot.plot()

# any visit at all, by both packages: estimates, robust errors, average marginal effects
visits["any"] = (visits["mdvis"] > 0).astype(int)
formula = "any ~ lncoins + physlm + disea"
ours, theirs = (
    de.Logit(formula).fit(visits, cov="HC0"),
    smf.logit(formula, visits).fit(disp=0, cov_type="HC0"),
)
beside = pd.DataFrame({"ours": ours.bse, "theirs": theirs.bse})
print(beside)
assert np.allclose(beside["ours"], beside["theirs"], rtol=1e-6)
effects, other = ours.get_margeff(), theirs.get_margeff()
assert np.allclose(effects.params, other.margeff, rtol=1e-6)
assert np.allclose(effects.bse, other.margeff_se, rtol=1e-5)

# does the logit's own table hold for these covariates and this size
print(ours.monte_carlo(50, seed=1).summary())
print(ours.hosmer_lemeshow(), ours.roc())
ours.calibration().plot()
