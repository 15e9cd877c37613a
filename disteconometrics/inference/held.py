"""What records of an outcome tell of its law: a part between two outcomes, and of classes F at their ends.

Where outcomes above a cap are known to lie there and no more, every law with the same distribution function
up to the cap has the same likelihood: quantiles beyond it and moments are what the tail of the fitted form
makes of them.  Of a class whose rows are told to lie in it and no more, every law with the same F at its ends
has the same likelihood: where a quantile lies inside, and what a mean takes from there, is the smoothness of
the fit, which no sample can check.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.coded_mean import CodedMean
from disteconometrics.distributions.support import Support
from disteconometrics.errors import UnidentifiedWarning, warn_user
from disteconometrics.inference.law_functionals import Functional

__all__ = [
    "ALL",
    "BY_SMOOTHNESS",
    "MOST_HIDDEN",
    "Held",
    "all_held",
    "warn_by_smoothness",
    "warn_hidden",
    "warn_not_held",
]

SLACK = 1e-12  # of an end, which a support maps to the line and back
MOST_HIDDEN = 0.05  # share of rows in an average that records may leave to the form of the law
COARSE = 0.5  # share of rows in coarse classes from which on moments hold by smoothness
BY_SMOOTHNESS = (
    "By smoothness: {}. Inside of a class that holds more than "
    f"{MOST_HIDDEN:.0%} of the rows the records tell the distribution function at its ends alone, and limits "
    "suppose that the law is smooth in it."
)
OF_ROWS = ("q", "difference", "ratio", "prob")  # functionals that the outcomes they lie at decide


@dataclass(frozen=True)
class Held:
    """The outcomes low <= y <= high between which records tell the law; infinite where nothing is hidden.

    ``classes`` are the ends of those that hold more than `MOST_HIDDEN` of the rows, and ``coarse`` the share
    of rows in them: inside of a class records tell nothing but F at its ends.

    Examples
    --------
    >>> held = Held(high=40.0)
    >>> held.hides(("mean", ())), held.hides(("q", (0.5,))), held.hidden(np.array([12.0, 55.0])).tolist()
    (True, False, [False, True])
    """

    low: float = -np.inf
    high: float = np.inf
    classes: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    coarse: float = field(default=0.0, repr=False)

    @property
    def all(self) -> bool:
        """Whether the whole law is told."""
        return not (np.isfinite(self.low) or np.isfinite(self.high))

    def hides(self, functional: Functional) -> bool:
        """Whether a functional is of the whole law, and part of it is hidden."""
        kind, numbers = functional
        if kind == "other" and isinstance(numbers[0], CodedMean):
            return numbers[0].low < self.low or numbers[0].high > self.high
        return not self.all and kind not in OF_ROWS

    def tells(self, name: Any) -> bool:
        """Whether a function of laws, or one by its name, is told of a whole law."""
        return not self.hides(("other", (name,)))

    def hidden(self, y: Array) -> Mask:
        """Which outcomes lie beyond what is told; infinite ones are no outcomes."""
        low, high = self.low - SLACK * abs(self.low), self.high + SLACK * abs(self.high)
        return np.asarray(((y < low) | (y > high)) & np.isfinite(y))

    def hides_between(self, numbers: Sequence[float]) -> bool:
        """Whether the probability between two outcomes is not told."""
        return bool(self.hidden(np.array(numbers)).any())

    def inside(self, y: Array) -> Mask:
        """Which outcomes lie inside of a coarse class.

        Examples
        --------
        >>> Held(classes=((0.0, 10.0), (10.0, 25.0)), coarse=0.7).inside(np.array([4.0, 10.0, 30.0])).tolist()
        [True, False, False]
        """
        ends = [(low + SLACK * abs(low), high - SLACK * abs(high)) for low, high in self.classes]
        found = [(low < y) & (y < high) for low, high in ends]
        return np.asarray(np.logical_or.reduce([np.zeros(np.shape(y), dtype=bool), *found]))

    def by_smoothness(self, functional: Functional, value: float) -> bool:
        """Whether a functional of one law, with this value, holds by smoothness inside of classes."""
        if functional[0] == "q":
            return bool(self.inside(np.array(value)).any())
        return self.smooth_alone(functional)

    def smooth_alone(self, functional: Functional) -> bool:
        """Whether a functional that is not of quantiles holds by smoothness inside of classes."""
        kind, numbers = functional
        if kind == "prob":
            return bool(self.inside(np.array(numbers)).any())
        return kind not in OF_ROWS and self.coarse > COARSE

    def beyond_of(self, low: float, high: float) -> Held:
        """What is hidden of outcomes that end at −inf < low or at high < inf.

        Examples
        --------
        >>> Held(low=0.0, high=40.0).beyond_of(0.0, np.inf)
        Held(low=-inf, high=40.0)
        """
        return Held(-np.inf if np.isfinite(low) else self.low, np.inf if np.isfinite(high) else self.high)

    def on(self, old: Support, new: Support) -> Held:
        """The same on another scale of the outcome, both images of one line."""
        if old == new:
            return self
        ends = np.array([self.low, self.high, *(end for one in self.classes for end in one)])
        ends = np.where(np.isfinite(ends), new.from_line(old.to_line(ends)), ends)
        low, high, *others = map(float, ends)
        return Held(low, high, tuple(zip(others[::2], others[1::2], strict=True)), self.coarse)

    def limits(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Limits of quantiles, infinite beyond what is told."""
        return (
            np.where(self.hidden(low) & (low < self.low), -np.inf, low),
            np.where(self.hidden(high) & (high > self.high), np.inf, high),
        )

    @property
    def beyond(self) -> str:
        """In words, where nothing is told.

        Examples
        --------
        >>> Held(0.125, 1234567.0).beyond
        'below 0.125 or above 1234567'
        """
        digits = {end: 10 if abs(end) >= 1e6 else 6 for end in (self.low, self.high)}
        ends = [f"below {self.low:.{digits[self.low]}g}"] * bool(np.isfinite(self.low))
        ends += [f"above {self.high:.{digits[self.high]}g}"] * bool(np.isfinite(self.high))
        return " or ".join(ends)


ALL = Held()


def all_held(parts: Sequence[Held]) -> Held:
    """The outcomes that each of several sets of records tells.

    Examples
    --------
    >>> all_held([Held(low=1.0), Held(low=2.0, high=40.0)])
    Held(low=2.0, high=40.0)
    """
    classes = tuple(dict.fromkeys(one for h in parts for one in h.classes))
    low, high = max(h.low for h in parts), min(h.high for h in parts)
    return Held(low, high, classes, max(h.coarse for h in parts))


def warn_not_held(names: Sequence[str], held: Held) -> None:
    """Warn of functionals that are withheld because records tell nothing of them."""
    if names:
        hint = "ask for quantiles and probabilities inside, or of='recorded' for what is recorded"
        bounded = not (np.isfinite(held.low) and np.isfinite(held.high))  # by the side that is known
        if bounded and any(re.match(r"mean($| \|)", n) for n in names):
            hint += "; mean_bounds() bounds the mean"
        text = (
            f"Withheld: {', '.join(dict.fromkeys(names))}. The records tell nothing of where outcomes "
            f"{held.beyond} lie; {hint}."
        )
        warn_user(UnidentifiedWarning(text, hint=hint))


def warn_hidden(names: Sequence[str], shares: Sequence[float], held: Held) -> None:
    """Warn of averages whose rows are partly hidden (0 to 1): withheld where more than a few are."""
    gone = _largest(names, [s if s > MOST_HIDDEN else 0.0 for s in shares])
    warn_not_held([n if s == 1 else f"{n} ({s:.0%} of it {held.beyond})" for n, s in gone.items()], held)
    part = _largest(names, [s if s <= MOST_HIDDEN else 0.0 for s in shares])
    if part:
        shown = ", ".join(f"{n} ({s:.1%})" for n, s in part.items())
        hint = f"averages of which more than {MOST_HIDDEN:.0%} lie there are withheld"
        text = (
            f"Of some rows, by weight in the average, the quantile lies {held.beyond}, where it follows "
            f"the form of the fitted law alone: {shown}; {hint}."
        )
        warn_user(UnidentifiedWarning(text, hint=hint))


def warn_by_smoothness(names: Sequence[str], shares: Sequence[float]) -> None:
    """Warn of answers of which more than a few rows (0 to 1) lie inside of coarse classes."""
    found = [name for name, share in zip(names, shares, strict=True) if share > MOST_HIDDEN]
    if found:
        hint = "ask for prob[a,b] between ends of classes, which the records tell"
        text = f"{BY_SMOOTHNESS.format(', '.join(dict.fromkeys(found)))} Remedy: {hint}."
        warn_user(UnidentifiedWarning(text, hint=hint))


def _largest(names: Sequence[str], shares: Sequence[float]) -> dict[str, float]:
    """The largest share by name, of those that are not zero."""
    out: dict[str, float] = {}
    for name, share in zip(names, shares, strict=True):
        if share > 0:
            out[name] = max(share, out.get(name, 0.0))
    return out
