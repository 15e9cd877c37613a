"""What is known of outcomes that were rounded, top-coded, bracketed or heaped at a point, row by row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices, Mask

__all__ = ["RECORDERS", "Recorder", "Records"]

# names by their place: innermost first
RECORDERS = {"interval": 0, "brackets": 0, "rounded": 0, "bottomcoded": 1, "topcoded": 1, "mass": 2}


@dataclass(frozen=True)
class Recorder:
    """One step in which an outcome was recorded, its numbers in the units of what it is written around.

    Parameters
    ----------
    name : one of `RECORDERS`.
    at : float or None, the cap or the point of a mass; None where ``column`` holds the caps.
    column : str or None, the column of caps.
    to : float or None, the grid of ``rounded``.
    direction : str or None, "nearest", "up" or "down" of ``rounded``.
    bounds : tuple of float, the bounds of ``brackets``, increasing; () where categories hold them.
    closed : str or None, the side of brackets that belongs to them: "left" or "right".
    learnt : bool, whether bounds and side are those of categories of intervals.
    corner : bool, whether a mass is a corner: the lowest outcome, at which the law of all others ends.

    Examples
    --------
    >>> str(Recorder("topcoded", at=40.0)), str(Recorder("rounded", to=0.5, direction="nearest"))
    ('top-coded at 40', 'rounded to 0.5 (nearest)')
    """

    name: str
    at: float | None = None
    column: str | None = None
    to: float | None = None
    direction: str | None = None
    bounds: tuple[float, ...] = ()
    closed: str | None = None
    learnt: bool = False
    corner: bool = False

    def __str__(self) -> str:
        return str(self.words)

    @property
    def words(self) -> str:
        """The step as summaries print it."""
        if self.name == "rounded":
            return f"rounded to {self.to:g} ({self.direction})"
        if self.name == "mass":
            return f"{'cut to a corner' if self.corner else 'a mass'} at {self.at:g}"
        if self.name == "interval":
            return "told as intervals"
        if self.name == "brackets":
            bounds = ", ".join(f"{b:g}" for b in self.bounds)
            return f"told in brackets {bounds} (closed {self.closed})" if bounds else "told in brackets"
        return f"{self.name.replace('coded', '-coded')} at " + (
            f"{self.at:g}" if self.column is None else f"column {self.column}"
        )

    def bracket(self, y: Array) -> Indices:
        """The numbers (n,) of the brackets that hold values, −1 and beyond the last for those outside.

        The last bracket is closed at both sides, or the first where these are closed at the right.
        """
        bounds, left = np.array(self.bounds), self.closed == "left"
        code = np.searchsorted(bounds, y, side="right" if left else "left") - 1
        code[y == bounds[-1 if left else 0]] = len(bounds) - 2 if left else 0
        return np.asarray(code)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without entries that are empty."""
        empty = asdict(Recorder(self.name))
        found = {key: value for key, value in asdict(self).items() if key == "name" or value != empty[key]}
        return {key: list(map(repr, v)) if key == "bounds" else v for key, v in found.items()}

    @classmethod
    def from_dict(cls, saved: Any) -> Recorder:
        """Rebuild a recorder from `to_dict`.

        Raises
        ------
        ValueError, TypeError
            For what is none.

        Examples
        --------
        >>> one = Recorder("brackets", bounds=(0.0, 10.0, float("inf")), closed="left")
        >>> Recorder.from_dict(one.to_dict()) == one
        True
        """
        found = cls(**{**saved, "bounds": tuple(float(b) for b in saved.get("bounds", ()))})
        numbers = [v for v in (found.at, found.to) if v is not None]
        texts = [v for v in (found.column, found.direction, found.closed) if v is not None]
        corner = found.corner is False or (found.corner is True and found.name == "mass")
        if found.name not in RECORDERS or not corner or not all(isinstance(t, str) for t in texts):
            raise ValueError("recorder")
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in numbers):
            raise ValueError("recorder")
        return found


@dataclass(frozen=True, eq=False)
class Records:
    """What is known of each row's outcome: lower < y <= upper, or y itself where both are equal.

    Parameters
    ----------
    lower, upper : float64 (n,), the ends; −inf and inf where a side is open.
    at_mass : bool (n,) or None, rows at the point of a mass, whose ends are the point.

    Examples
    --------
    >>> records = Records(np.array([1.0, 2.0, 40.0]), np.array([1.0, 4.0, np.inf]))
    >>> records.middle.tolist(), records.counts()
    ([1.0, 3.0, 40.0], {'exact': 1, 'interval': 1, 'open above': 1})
    """

    lower: Array
    upper: Array
    at_mass: Mask | None = None

    def __len__(self) -> int:
        return len(self.lower)

    @cached_property
    def exact(self) -> Mask:
        """Rows (n,) whose outcome is known, those at a mass apart."""
        known: Mask = self.lower == self.upper
        return known if self.at_mass is None else known & ~self.at_mass

    @cached_property
    def open_below(self) -> Mask:
        """Rows (n,) of which only a largest value is known."""
        return np.asarray(np.isneginf(self.lower))

    @cached_property
    def open_above(self) -> Mask:
        """Rows (n,) of which only a smallest value is known."""
        return np.asarray(np.isposinf(self.upper))

    @cached_property
    def interval(self) -> Mask:
        """Rows (n,) with two finite ends that differ."""
        return np.asarray((self.lower < self.upper) & ~self.open_below & ~self.open_above)

    @cached_property
    def middle(self) -> Array:
        """Outcomes (n,) where they are known, else midpoints of intervals, or the end that is finite."""
        out = np.where(self.open_below, self.upper, self.lower)
        both = self.interval
        out[both] = self.lower[both] + (self.upper[both] - self.lower[both]) / 2
        return out

    def rows(self, at: Any) -> Records:
        """The records of some rows, ``at`` a mask or positions."""
        return Records(self.lower[at], self.upper[at], None if self.at_mass is None else self.at_mass[at])

    def counts(self) -> dict[str, int]:
        """Rows by kind of record, kinds that occur only: exact, interval, open below, open above, mass."""
        kinds = {
            "exact": self.exact,
            "interval": self.interval,
            "open below": self.open_below,
            "open above": self.open_above,
            "mass": np.zeros(0, dtype=bool) if self.at_mass is None else self.at_mass,
        }
        return {name: int(rows.sum()) for name, rows in kinds.items() if rows.any()}
