"""What records of an outcome tell of its law: the part between two outcomes, and nothing beyond them.

Where outcomes above a cap are known to lie there and no more, every law with the same distribution function
up to the cap has the same likelihood: quantiles beyond it and moments are what the tail of the fitted form
makes of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.coded_mean import CodedMean
from disteconometrics.distributions.support import Support
from disteconometrics.errors import UnidentifiedWarning, warn_user
from disteconometrics.inference.law_functionals import Functional

__all__ = ["ALL", "MOST_HIDDEN", "Held", "all_held", "warn_hidden", "warn_not_held"]

SLACK = 1e-12  # of an end, which a support maps to the line and back
MOST_HIDDEN = 0.05  # share of rows in an average that records may leave to the form of the law
OF_ROWS = ("q", "difference", "ratio", "prob")  # functionals that the outcomes they lie at decide


@dataclass(frozen=True)
class Held:
    """The outcomes low <= y <= high between which records tell the law; infinite where nothing is hidden.

    Examples
    --------
    >>> held = Held(high=40.0)
    >>> held.hides(("mean", ())), held.hides(("q", (0.5,))), held.hidden(np.array([12.0, 55.0])).tolist()
    (True, False, [False, True])
    """

    low: float = -np.inf
    high: float = np.inf

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
        if self.all:
            return self
        ends = np.array([self.low, self.high])
        low, high = np.where(np.isfinite(ends), new.from_line(old.to_line(ends)), ends)
        return Held(float(low), float(high))

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
    return Held(max(h.low for h in parts), min(h.high for h in parts))


def warn_not_held(names: Sequence[str], held: Held) -> None:
    """Warn of functionals that are withheld because records tell nothing of them."""
    if names:
        hint = "ask for quantiles and probabilities inside, or of='recorded' for what is recorded"
        hint += "; mean_bounds() bounds the mean" if any(re.match(r"mean($| \|)", n) for n in names) else ""
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


def _largest(names: Sequence[str], shares: Sequence[float]) -> dict[str, float]:
    """The largest share by name, of those that are not zero."""
    out: dict[str, float] = {}
    for name, share in zip(names, shares, strict=True):
        if share > 0:
            out[name] = max(share, out.get(name, 0.0))
    return out
