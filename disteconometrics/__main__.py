"""The demonstration: ``python -m disteconometrics`` prints a logit of real data and writes a figure."""

from __future__ import annotations

import disteconometrics as de

FIGURE = "disteconometrics_demo.png"
FORMULA = "affair ~ rate_marriage + age + yrs_married + I(yrs_married**2) + religious + educ"


def main() -> None:
    """Fit Fair's affairs data, print the table and two readings of it, and draw the effect of the years married."""
    res = de.Logit(FORMULA).fit(de.datasets.fair(), cov="HC1")
    print(res.summary())
    print("\nOdds ratios\n" + res.odds_ratios().round(3).to_string())
    print()
    print(res.test("yrs_married, I(yrs_married**2)"))
    axes = res.plot_effect("yrs_married")
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(FIGURE, dpi=150, bbox_inches="tight")
    print(f"\nFigure written to {FIGURE}")


if __name__ == "__main__":
    main()
