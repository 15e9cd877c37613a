"""What results report of their law: those of files, and those without standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.distributions.functionals import functional_name
from disteconometrics.distributions.joint import DRAWS, JointLaw, joint_functionals
from disteconometrics.distributions.law import Law
from disteconometrics.errors import NeedsData
from disteconometrics.estimators.effects_results import WHOSE
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.tables import Section, number

__all__ = [
    "FUNCTIONALS",
    "LEVEL",
    "by_differences",
    "effect_title",
    "law_section",
    "law_title",
    "law_values",
    "saved_estimates",
    "slope_title",
    "standard_functionals",
    "without_errors",
]

LEVEL = 0.95  # of summaries, and of the limits that a file holds
FUNCTIONALS = ("mean", "std", "q[0.1]", "q[0.25]", "q[0.5]", "q[0.75]", "q[0.9]")


def law_title(outcome: str, target: str | None) -> str:
    """What stands above functionals of a law averaged over rows; ``target`` None: without covariates.

    Examples
    --------
    >>> law_title("wage", "population"), law_title("wage", None)
    ('Average law of wage (population)', 'Law of wage')
    """
    return f"Law of {outcome}" if target is None else f"Average law of {outcome} ({WHOSE[target]})"


def effect_title(variable: str, low: Any, high: Any, outcome: str, target: str) -> str:
    """What stands above average contrasts between two values of a variable.

    Examples
    --------
    >>> effect_title("income", 500.0, 900, "wage", "sample")
    'Average effect of income, 500 to 900, on wage (these rows)'
    """
    first, last = (f"{v:g}" if isinstance(v, float) else f"{v}" for v in (low, high))
    return f"Average effect of {variable}, {first} to {last}, on {outcome} ({WHOSE[target]})"


def slope_title(variable: str, outcome: str, target: str) -> str:
    """What stands above average slopes in a variable.

    Examples
    --------
    >>> slope_title("income", "wage", "population")
    'Average slope of wage in income (population)'
    """
    return f"Average slope of {outcome} in {variable} ({WHOSE[target]})"


def saved_estimates(
    names: tuple[str, ...], arrays: dict[str, Array], df: float, clusters: int | None, title: str
) -> Estimates:
    """Functionals of a file with its values, covariance and limits, which are those of the summary."""
    limits = partial(_saved_limits, arrays["limits"])
    values, V = arrays["values"], arrays["covariance"]
    return Estimates(names, values, V, df, limits=limits, clusters=clusters, title=title)


def _saved_limits(limits: Array, level: float) -> Array:
    if level != LEVEL:
        raise NeedsData(
            f"The file holds limits at level {LEVEL} only: use attach(data) with the fit's table for others."
        )
    return limits


def by_differences(name: Any, outcome: str, on: Any) -> Functional:
    """A functional of a law of an outcome, on another scale if one is given, differentiated numerically."""

    def of(law: Any) -> Any:
        named = law.named(outcome)
        return (named if on is None else named.on(on)).functional(name)

    return "other", (of,)


def standard_functionals(outcomes: Sequence[str]) -> tuple[str, ...]:
    """Functionals of a summary: moments and quantiles of one outcome, moments of several.

    Examples
    --------
    >>> standard_functionals(("y",))[:3], standard_functionals(("a", "b"))[-1]
    (('mean', 'std', 'q[0.1]'), 'corr[a,b]')
    """
    return FUNCTIONALS if len(outcomes) == 1 else tuple(joint_functionals(outcomes))


def law_values(law: Law | JointLaw, names: Sequence[Any], draws: int = DRAWS) -> dict[str, float]:
    """Functionals of one law by name; those of joint outcomes from so many draws.

    Parameters
    ----------
    law : a law of batch shape ().
    names : functionals that the law knows, or functions of a law of one outcome.
    draws : int, of a joint law.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> from disteconometrics import Uniform
    >>> law_values(Uniform(0, 2), ["mean", "q[0.9]"])
    {'mean': 1.0, 'q[0.9]': 1.8}
    """
    if isinstance(law, JointLaw):
        return law.functionals(names, draws)
    return {functional_name(n): float(n(law) if callable(n) else law.functional(n)) for n in names}


def without_errors(named: Mapping[str, float], title: str = "") -> Estimates:
    """Estimates of values by name, without standard errors.

    Examples
    --------
    >>> without_errors({"mean": 1.0}).std_error
    array([nan])
    """
    values, V = np.array(list(named.values())), np.full((len(named),) * 2, np.nan)
    return Estimates(tuple(named), values, V, title=title)


def law_section(estimates: Estimates, title: str) -> Section:
    """The section of a summary that shows estimates without standard errors.

    Examples
    --------
    >>> law_section(without_errors({"mean": 1.5}), "Law of y").cells
    (('1.5000',),)
    """
    return Section(("estimate",), estimates.names, tuple((number(v),) for v in estimates.values), title)
