"""The demonstration, ``python -m disteconometrics``: a logit, a density, a distance and a decomposition."""

from __future__ import annotations

from typing import Any

import disteconometrics as de
from disteconometrics.files import replacing

FIGURE = "disteconometrics_demo.png"
FAN = "disteconometrics_fan.png"
FORMULA = "affair ~ rate_marriage + age + yrs_married + I(yrs_married**2) + religious + educ"


def write(axes: Any, name: str) -> None:
    """Save the figure of some axes."""
    figure = axes.figure
    with replacing(name) as file:
        figure.savefig(file, format="png", dpi=150, bbox_inches="tight")
    print(f"\nFigure written to {name}")


def main() -> None:
    """Fit affairs by a logit, draw a density of food expenditure, compare and split years of marriage."""
    res = de.Logit(FORMULA).fit(de.datasets.fair(), cov="HC1")
    print(res.summary())
    print("\nOdds ratios\n" + res.odds_ratios().round(3).to_string())
    print()
    print(res.test("yrs_married, I(yrs_married**2)"))
    write(res.plot_effect("yrs_married"), FIGURE)

    food: Any = de.FlowDensity("foodexp ~ income", support="positive").fit(de.datasets.engel())
    print(f"\n{food.summary()}")
    print(
        "\nFood expenditure of three households\n"
        + food.at({"income": [500.0, 1000.0, 2000.0]}, ["q[0.1]", "q[0.5]", "q[0.9]"]).round(1).to_string()
    )
    write(food.plot_fan("income"), FAN)

    fair = de.datasets.fair()
    years = de.WassersteinDistance("yrs_married ~ affair", p=1).fit(fair, seed=1)
    print(f"\n{years.summary()}")

    model = de.NormalRegression("yrs_married ~ age + religious + educ")
    print(f"\n{de.decompose(model, fair, by='affair', functionals=['mean', 'q[0.5]'], seed=1).summary()}")


if __name__ == "__main__":
    main()
