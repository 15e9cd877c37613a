"""What a fit keeps of how its outcomes were recorded: kinds of records, and the part of the law they tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.data.recorded import Records
from disteconometrics.distributions.support import Support
from disteconometrics.fields import AnyFloat, Count
from disteconometrics.inference.held import Held

__all__ = ["RecordFacts", "held_by"]

CHANCE = 4.0  # standard errors of a share


def held_by(records: Records, support: Support) -> Held:
    """The outcomes between which records tell the law.

    A side that the support closes is not open.

    Examples
    --------
    >>> told = Records(np.array([1.0, 2.0, 40.0]), np.array([1.0, 4.0, np.inf]))
    >>> held_by(told, Support())
    Held(low=-inf, high=40.0)
    """
    ends = np.concatenate([records.lower, records.upper])
    ends = ends[np.isfinite(ends)]
    below = np.isneginf(support.low) and records.open_below.any()
    above = np.isposinf(support.high) and records.open_above.any()
    return Held(float(ends.min()) if below else -np.inf, float(ends.max()) if above else np.inf)


@dataclass(frozen=True)
class RecordFacts:
    """Rows by kind of record, the outcomes between which they tell the law, and its levels there."""

    counts: dict[str, Count]
    low: AnyFloat
    high: AnyFloat
    levels: tuple[float, float]

    @classmethod
    def of(cls, records: Records, held: Held, cdf: Array) -> RecordFacts:
        """From records, what they tell, and the average distribution function (2,) at its ends."""
        return cls(records.counts(), held.low, held.high, (float(cdf[0]), float(cdf[1])))

    @property
    def held(self) -> Held:
        """The outcomes between which the records tell the law."""
        return Held(self.low, self.high)

    def tells_again(self, level: float, n: float) -> bool:
        """Whether another sample of n rows would tell a quantile, but for one in 10,000."""
        slack = CHANCE * np.sqrt(level * (1 - level) / n)
        low, high = self.levels
        return bool((low <= 0 or level - slack > low) and (high >= 1 or level + slack < high))

    def notes(self, recording: str, outcome: str, *, corner: bool = False) -> list[str]:
        """What the foot of a summary says, with how the outcome was recorded, in words.

        Outcomes that end at a corner are told below it.
        """
        held = replace(self.held, low=-np.inf) if corner else self.held
        low, high = (0.0, self.levels[1]) if corner else self.levels
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.counts.items())
        notes = [
            f"Records ({recording}): {kinds}. Assumed: given the covariates, how an outcome was recorded "
            "does not depend on it beyond what is written."
        ]
        if self.counts.get("interval"):
            notes.append(
                "Inside a record's ends the law holds by smoothness: the records tell its distribution "
                "function at the ends."
            )
        if corner:
            notes.append(f"Answers are of {outcome}, whose law has a mass at its corner: P there is F there.")
        if not held.all:
            notes.append(
                f"Nothing is told of where {outcome} lies {held.beyond}: the rows hold quantiles at "
                f"levels {low:.3f} to {high:.3f}; others, and moments, are withheld."
            )
        return notes
