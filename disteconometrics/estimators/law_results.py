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
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.tables import Section, number

__all__ = [
    "FUNCTIONALS",
    "LEVEL",
    "by_differences",
    "law_section",
    "law_values",
    "saved_estimates",
    "standard_functionals",
    "without_errors",
]

LEVEL = 0.95  # of summaries, and of the limits that a file holds
FUNCTIONALS = ("mean", "std", "q[0.1]", "q[0.25]", "q[0.5]", "q[0.75]", "q[0.9]")


def saved_estimates(
    names: tuple[str, ...], arrays: dict[str, Array], df: float, clusters: int | None
) -> Estimates:
    """Functionals of a file with its values, covariance and limits, which are those of the summary."""
    limits = partial(_saved_limits, arrays["limits"])
    return Estimates(names, arrays["values"], arrays["covariance"], df, limits=limits, clusters=clusters)


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


def without_errors(named: Mapping[str, float]) -> Estimates:
    """Estimates of values by name, without standard errors.

    Examples
    --------
    >>> without_errors({"mean": 1.0}).std_error
    array([nan])
    """
    return Estimates(tuple(named), np.array(list(named.values())), np.full((len(named),) * 2, np.nan))


def law_section(estimates: Estimates, title: str) -> Section:
    """The section of a summary that shows estimates without standard errors.

    Examples
    --------
    >>> law_section(without_errors({"mean": 1.5}), "Law of y").cells
    (('1.5000',),)
    """
    return Section(("estimate",), estimates.names, tuple((number(v),) for v in estimates.values), title)
