"""What records of an outcome tell of its law: the part between two outcomes, and nothing beyond them.

Where outcomes above a cap are known to lie there and no more, every law with the same distribution function
up to the cap has the same likelihood: quantiles beyond it and moments are what the tail of the fitted form
makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.distributions.coded_mean import CodedMean
from disteconometrics.distributions.support import Support
from disteconometrics.errors import UnidentifiedWarning, warn_user
from disteconometrics.inference.law_functionals import Functional

__all__ = ["ALL", "Held", "all_held", "warn_not_held"]

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
        return np.asarray(((y < self.low) | (y > self.high)) & np.isfinite(y))

    def withholds(self, values: Array) -> Mask:
        """Which answers have been withheld."""
        return np.asarray(np.isnan(values) & (not self.all))

    def hides_between(self, numbers: Sequence[float]) -> bool:
        """Whether the probability between two outcomes is not told."""
        return bool(self.hidden(np.array(numbers)).any())

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
        """In words, where nothing is told."""
        ends = [f"below {self.low:g}"] * bool(np.isfinite(self.low))
        ends += [f"above {self.high:g}"] * bool(np.isfinite(self.high))
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
        hint = "ask for quantiles and probabilities inside, or effects on the result's recorded_mean"
        text = (
            f"Withheld: {', '.join(dict.fromkeys(names))}. The records tell nothing of where outcomes "
            f"{held.beyond} lie; {hint}."
        )
        warn_user(UnidentifiedWarning(text, hint=hint))
