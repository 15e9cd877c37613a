"""Limits of quantiles of rows, whose laws may have masses, and of averages of them.

A quantile stands still while its level is inside of a mass and moves, often fast, once it is beside it: the
delta method sees one or the other.  Where the level lies within some standard errors of F at an end of the
mass, limits of a row's quantile are where the band of F meets the level.  In an average over rows that pass
the ends one by one, as they do along a covariate, the delta method holds; where many do so at once it does
not.  These rows leave it then, and the average Σ w m has the limits

    the other rows' ± c·se  +  Σ w·(limits of a row),

c the critical value at which all these parts hold at once (Šidák): they cover more than they say.

References
----------
Chernozhukov, Fernández-Val, Melly, Wüthrich (2020), Generic inference on quantile and quantile effect
functions for discrete outcomes, Journal of the American Statistical Association 115,
doi:10.1080/01621459.2019.1611581.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.support import Support
from disteconometrics.errors import AtMassWarning, warn_user
from disteconometrics.inference.crossings import UNSURE, crossings, crossings_of_mass
from disteconometrics.inference.estimates import Estimates, critical_value
from disteconometrics.inference.held import ALL, Held
from disteconometrics.inference.law_effects import (
    Answer,
    Estimation,
    RowLaws,
    mass_ends,
    outcomes_of,
    point_of,
    row_gradients,
)
from disteconometrics.inference.law_functionals import Functional
from disteconometrics.inference.repeated_rows import distinct

__all__ = [
    "BesideMass",
    "MassEnds",
    "Parts",
    "RowsBesideMass",
    "difference_of_parts",
    "levels_of",
    "of_each_row",
    "warn_beside_mass",
    "warn_no_error",
    "with_limits_beside_mass",
    "without_limits",
]

MOST_AT_ONCE = 0.025  # share of rows with one law in an average whose errors are of the delta method
MOST_NEAR = 0.5  # share of rows near an end of their masses, in such an average
FARTHER = (
    "ask for levels farther away, for the mean and the probability of the mass, or compare two values by "
    "effect(), whose quantiles have limits there"
)
ROUNDING = 1e-12  # share of a sum that is none
AT_ONCE = 2048  # rows whose gradients are taken at once
SAME = 6  # digits by which rows have the same law


def levels_of(functional: Functional) -> tuple[float, ...]:
    """The levels of the quantiles that a functional is made of.

    Examples
    --------
    >>> levels_of(("difference", (0.75, 0.25))), levels_of(("mean", ()))
    ((0.75, 0.25), ())
    """
    return functional[1] if functional[0] in ("q", "difference", "ratio") else ()


@dataclass(frozen=True, eq=False)
class MassEnds:
    """F of rows at the e ends of their masses on the line of the link: values and errors, each (e, n)."""

    link: Any
    values: Array
    errors: Array

    @classmethod
    def of(cls, laws: RowLaws, estimation: Estimation) -> MassEnds:
        """Those of the laws of n rows, each law once and in parts whose gradients stay in cache."""
        ends, (own, where) = mass_ends(laws), distinct(outcomes_of(laws) or laws)
        values, errors = np.empty((2, len(ends), own.size))
        for i in range(0, own.size if ends else 0, AT_ONCE):
            rows = slice(i, i + AT_ONCE)
            part = own.take(rows)
            for j, end in enumerate(ends):
                values[j, rows], G = part.each_on_link(np.full(part.size, end))
                errors[j, rows] = estimation.errors(G)
        return cls(laws.link if ends else None, values[:, where], errors[:, where])

    def near(self, functional: Functional) -> Mask:
        """Rows (n,) with a quantile that may be at the mass or beside it."""
        out = np.zeros(self.values.shape[1], dtype=bool)
        for tau in levels_of(functional) if len(self.values) else ():
            target = float(self.link.quantile(np.array(tau)))
            out |= (np.abs(self.values - target) < UNSURE * self.errors).any(axis=0)
        return out


@dataclass(frozen=True, eq=False)
class BesideMass:
    """Which rows of n are beside their masses, looked up where quantiles are asked for."""

    laws: RowLaws
    estimation: Estimation

    @cached_property
    def ends(self) -> MassEnds:
        """F at the ends of the masses."""
        return MassEnds.of(self.laws, self.estimation)

    def near(self, functional: Functional) -> Mask:
        """See `MassEnds.near`."""
        if not levels_of(functional):
            return np.zeros(self.laws.size, dtype=bool)
        return self.ends.near(functional)

    def at_once(self, functional: Functional, shares: Array) -> Mask | None:
        """The same if so many rows do so at once that an average of them has no error; else None."""
        near = self.near(functional) & (shares > 0)
        if not near.any():
            return None
        _, same = np.unique(self.ends.values[:, near].round(SAME), axis=1, return_inverse=True)
        largest = float(np.bincount(same.ravel(), shares[near]).max())
        total = float(shares.sum())
        few = largest > MOST_AT_ONCE * total or float(shares[near].sum()) > MOST_NEAR * total
        return near if few else None

    def rows(
        self, weights: Array, functional: Functional, near: Mask, held: Held
    ) -> tuple[RowsBesideMass, ...]:
        """The part of an average with weights (n,) that is of ``near`` rows, each law once.

        None of it has limits if it is no quantile, but made of two.
        """
        if functional[0] != "q":
            return ()
        at = np.flatnonzero(near)
        _, first, same = np.unique(
            self.ends.values[:, near].round(SAME), axis=1, return_index=True, return_inverse=True
        )
        w = np.bincount(same.ravel(), weights[at]).astype(float)
        return (RowsBesideMass(self.laws.take(at[first]), w, functional, self.estimation, held),)


@dataclass(frozen=True, eq=False)
class RowsBesideMass:
    """The part of an average that is of rows beside their masses: Σ w m with weights w (n,).

    Parameters
    ----------
    laws : RowLaws of n rows.
    weights : (n,) float64 array, all of one sign.
    functional : a quantile.
    estimation : Estimation.
    held : Held.
    """

    laws: RowLaws
    weights: Array
    functional: Functional
    estimation: Estimation
    held: Held = ALL

    @property
    def size(self) -> float:
        """Σ |w m|, of which less than a share is rounding."""
        values = self.laws.by_row(self.functional, np.zeros((self.laws.size, 1))).values
        return float(np.abs(self.weights) @ np.abs(values))

    def sums(self, critical: float) -> Array:
        """The sum, and the least and the most (3,) that it may be at a critical value."""
        found = of_each_row(self.laws, self.functional, self.estimation, critical, self.held)
        value, low, high = (self.weights @ found[n] for n in ("estimate", "conf_low", "conf_high"))
        return np.array([value, min(low, high), max(low, high)])


Parts = tuple[RowsBesideMass, ...]


def difference_of_parts(before: Parts | None, after: Parts | None) -> Parts | None:
    """The parts beside a mass of one average less another, () where one of them has no limits.

    Examples
    --------
    >>> difference_of_parts(None, None), difference_of_parts((), None)
    (None, ())
    """
    if before is None and after is None:
        return None
    if () in (before, after):
        return ()
    return (*(replace(part, weights=-part.weights) for part in before or ()), *(after or ()))


def without_limits(answer: Answer) -> Answer:
    """An answer whose parts beside a mass, where it has some, have no limits."""
    return answer if answer.beside is None else answer._replace(beside=())


def with_limits_beside_mass(
    plain: Estimates, answers: Sequence[Answer], error: Callable[[Answer], float]
) -> Estimates:
    """Estimates with limits of averages of which parts are beside a mass.

    Parameters
    ----------
    plain : Estimates.
    answers : those behind it.
    error : of an answer, the standard error of its other parts.
    """
    parts = {i: a for i, a in enumerate(answers) if a.beside}
    if not parts:
        return plain
    return replace(plain, limits=partial(_limits_beside, plain, parts, error))


def _limits_beside(
    plain: Estimates, parts: dict[int, Answer], error: Callable[[Answer], float], level: float
) -> Array:
    out = plain.interval(level)
    for i, a in parts.items():
        out[i] = _limits_of_parts(a, error(a), level, plain.df)
    return out


def _limits_of_parts(answer: Answer, error: float, level: float, df: float) -> tuple[float, float]:
    """Limits of an answer of which ``error`` is that of the parts that are not beside a mass."""
    parts: Parts = answer.beside or ()
    size = ROUNDING * (abs(answer.value) + sum(part.size for part in parts))
    se = error if error > size else 0.0
    critical = critical_value(level ** (1 / (len(parts) + (se > 0))), df)
    value, low, high = np.sum([part.sums(critical) for part in parts], axis=0)
    rest = answer.value - value if abs(answer.value - value) > size else 0.0
    return rest + low - critical * se, rest + high + critical * se


def warn_beside_mass(names: Sequence[str], answers: Sequence[Answer]) -> None:
    """Warn of averages without errors and limits, since levels are too near to the share at a mass."""
    gone = [n for n, a in zip(names, answers, strict=True) if a.beside == () and not np.isnan(a.value)]
    warn_no_error(gone, FARTHER)


def warn_no_error(names: Sequence[str], hint: str) -> None:
    """Warn of what is made of quantiles that may be at a mass or beside it, and has no error."""
    if names:
        text = (
            f"Without error: {', '.join(dict.fromkeys(names))}. The level is at the mass or within "
            f"{UNSURE:g} standard errors of F at an end of it, where quantiles stand still or jump; {hint}."
        )
        warn_user(AtMassWarning(text, hint=hint))


# ---- of each row -------------------------------------------------------------------------------------------


def of_each_row(
    laws: RowLaws, functional: Functional, estimation: Estimation, critical: float, held: Held
) -> dict[str, Array]:
    """A functional of each row's law with error and limits; those of quantiles invert the band.

    Near the ends of a mass quantiles have limits and no error, and differences and ratios of them neither.
    """
    own: Any = outcomes_of(laws)
    near = BesideMass(laws, estimation).near(functional)
    if own is not None and functional[0] == "q":
        found = of_each_row(own, functional, estimation, critical, held)
        return _recorded_quantiles(laws, found, near)
    values, G = row_gradients(laws, functional)
    se = np.where(np.isnan(values) | near, np.nan, estimation.errors(G))
    low, high = values - critical * se, values + critical * se
    if functional[0] == "q":
        known = np.flatnonzero(np.isfinite(values))
        own = laws.take(known)
        target = float(laws.link.quantile(np.array(functional[1][0])))

        def over(y: Array, sign: float) -> Array:
            z, G = own.each_on_link(y)
            return np.asarray(z + sign * critical * estimation.errors(G) - target)

        if point_of(laws) is None:
            ends = _limits_on_the_line(laws.support, over, values[known], critical * se[known])
        else:
            ends = _limits_beside_mass(own, over)
        low[known], high[known] = ends
        low, high = held.limits(low, high)
        se = np.where(values == point_of(laws), np.nan, se)  # what does not move has no error
    return {"estimate": values, "std_error": se, "conf_low": low, "conf_high": high}


def _recorded_quantiles(laws: Any, found: dict[str, Array], near: Mask) -> dict[str, Array]:
    """Quantiles of outcomes as they are recorded, without errors where they do not move."""
    out = {name: laws.told(found[name]) for name in ("estimate", "conf_low", "conf_high")}
    stands = laws.stands(found["estimate"]) | near
    out["std_error"] = np.where(stands, np.nan, found["std_error"])
    return {name: out[name] for name in found}


def _limits_on_the_line(
    support: Support, over: Callable[..., Array], values: Array, half: Array
) -> tuple[Array, Array]:
    """Where the upper and the lower band of rows meet the level, on the line of a support."""
    at, half = support.to_line(values), half * np.exp(support.log_slope(values))

    def band(u: Array, sign: float) -> Array:
        return over(support.from_line(u), sign)

    low, high = (
        support.from_line(crossings(partial(band, sign=sign), at, -sign * half)) for sign in (1.0, -1.0)
    )
    return low, high


def _limits_beside_mass(laws: Any, over: Callable[..., Array]) -> tuple[Array, Array]:
    """The same of laws with a mass."""
    width = np.ptp(laws.law.quantile([0.1, 0.9]), axis=-1) / 8
    width = np.where(width > 0, width, 1.0)
    low, high = (crossings_of_mass(partial(over, sign=sign), laws.point, width) for sign in (1.0, -1.0))
    return low, high
