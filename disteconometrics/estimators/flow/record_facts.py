"""What a fit keeps of how its outcomes were recorded: kinds of records, and the part of the law they tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from disteconometrics.arrays import Array, or_ones
from disteconometrics.data.recorded import Records
from disteconometrics.distributions.support import Support
from disteconometrics.fields import AnyFloat, Count
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.held import BY_SMOOTHNESS, MOST_HIDDEN, Held
from disteconometrics.inference.law_functionals import parse_functional

__all__ = ["RecordFacts", "held_by"]

CHANCE = 4.0  # standard errors of a share
NARROW = 0.4  # of the rows' spread, up to which neighbours tell the law inside of a class


def held_by(records: Records, support: Support, weights: Array | None = None) -> Held:
    """The outcomes between which records tell the law, and the classes that hold many of them.

    A side that the support closes is not open; a class in which more than a few have ends is told by them.

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
    classes, coarse = _coarse(records, weights)
    return Held(
        float(ends.min()) if below else -np.inf, float(ends.max()) if above else np.inf, classes, coarse
    )


def _coarse(records: Records, weights: Array | None) -> tuple[tuple[tuple[float, float], ...], float]:
    """The classes that hold more than a few of the rows, and the share of the rows in them.

    Those narrower than a share of the rows' spread are told by their neighbours.
    """
    share = or_ones(weights, len(records))
    share = share / share.sum()
    at, (first, third) = records.interval, np.quantile(records.middle, [0.25, 0.75])
    narrow = NARROW * (third - first) / 1.349
    pairs = np.column_stack([records.lower[at], records.upper[at]])
    classes, where = np.unique(pairs, axis=0, return_inverse=True)
    sizes = np.bincount(where.ravel(), share[at], len(classes))
    out, total = [], 0.0
    wide = (sizes > MOST_HIDDEN) & (classes[:, 1] - classes[:, 0] > narrow)
    for (low, high), size in zip(classes[wide], sizes[wide], strict=True):
        ends = (records.lower, records.upper)
        told = np.logical_or.reduce([(low < end) & (end < high) for end in ends])
        if share[told].sum() <= MOST_HIDDEN:
            out.append((float(low), float(high)))
            total += float(size)
    return tuple(out), total


@dataclass(frozen=True)
class RecordFacts:
    """Rows by kind of record, the outcomes between which they tell the law, and its levels there.

    ``classes`` and ``coarse`` as in `Held`.
    """

    counts: dict[str, Count]
    low: AnyFloat
    high: AnyFloat
    levels: tuple[float, float]
    classes: tuple[tuple[float, float], ...] = ()
    coarse: float = 0.0

    @classmethod
    def of(cls, records: Records, held: Held, cdf: Array) -> RecordFacts:
        """From records, what they tell, and the average distribution function (2,) at its ends."""
        levels = float(cdf[0]), float(cdf[1])
        return cls(records.counts(), held.low, held.high, levels, held.classes, held.coarse)

    @property
    def held(self) -> Held:
        """The outcomes between which the records tell the law."""
        return Held(self.low, self.high, self.classes, self.coarse)

    def tells_again(self, level: float, n: float) -> bool:
        """Whether another sample of n rows would tell a quantile, but for one in 10,000."""
        slack = CHANCE * np.sqrt(level * (1 - level) / n)
        low, high = self.levels
        return bool((low <= 0 or level - slack > low) and (high >= 1 or level + slack < high))

    def notes(self, recording: str, outcome: str, estimates: Estimates, *, corner: bool = False) -> list[str]:
        """What the foot of a summary says of its estimates, with how the outcome was recorded, in words.

        Outcomes that end at a corner are told below it.
        """
        held = replace(self.held, low=-np.inf) if corner else self.held
        low, high = (0.0, self.levels[1]) if corner else self.levels
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.counts.items())
        notes = [
            f"Records ({recording}): {kinds}. Assumed: given the covariates, how an outcome was recorded "
            "does not depend on it beyond what is written."
        ]
        smooth = [n for n, v in zip(estimates.names, estimates.values, strict=True) if self._smooth(n, v)]
        if smooth:
            notes.append(BY_SMOOTHNESS.format(", ".join(smooth)))
        elif self.counts.get("interval"):
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

    def _smooth(self, name: str, value: float) -> bool:
        """Whether a functional of the summary holds by smoothness inside of classes."""
        return bool(np.isfinite(value)) and self.held.by_smoothness(parse_functional(name), value)
