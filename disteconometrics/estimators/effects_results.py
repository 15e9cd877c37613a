"""Effects of variables on functionals, as a result holds, prints and keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array
from disteconometrics.errors import FileFormatError
from disteconometrics.estimators.results import SavedResult
from disteconometrics.fields import Numbers
from disteconometrics.inference.estimates import Estimated, Estimates, check_level
from disteconometrics.inference.held import BY_SMOOTHNESS, MOST_HIDDEN
from disteconometrics.inference.variable_effects import BEST_LINEAR, CONTRAST, SLOPE
from disteconometrics.pictures import Pictured
from disteconometrics.tables import WIDTH, Section, Summary, number

__all__ = ["WHOSE", "EffectsHeader", "EffectsResults", "saved_effects"]

WHOSE = {"population": "population", "sample": "these rows"}


@dataclass(frozen=True, eq=False)
class EffectsResults(Estimated, Pictured):
    """Effects of variables on functionals, with one covariance: a table, tests, a summary.

    ``of`` names for each estimate its label, estimand and functional.  ``slopes`` are the average slopes
    beside the best linear coefficients, NaN beside contrasts; ``apart`` says where the two differ by more
    than two standard errors of their difference, ``beyond`` where records tell nothing of the law,
    ``smooth`` which estimates hold by smoothness inside of classes of records.

    Examples
    --------
    >>> import disteconometrics as de
    >>> effects = de.FlowDensity("log(foodexp) ~ log(income)").fit(de.datasets.engel()).effects("mean")
    >>> effects.table()[["estimand", "estimate"]].round(2)
                                      estimand  estimate
    log(income): mean  best linear coefficient      0.86
    """

    pictures: ClassVar[tuple[str, ...]] = ("coefficients",)

    values: Estimates
    slopes: Estimates
    apart: tuple[bool, ...]
    of: tuple[tuple[str, str, str], ...]
    target: str
    beyond: str = ""
    smooth: tuple[bool, ...] = ()

    @property
    def estimates(self) -> Estimates:
        """Best linear coefficients and average contrasts."""
        return self.values

    def __iter__(self) -> Iterator[str]:
        """The labels, each once."""
        return iter(dict.fromkeys(label for label, _, _ in self.of))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, label: str) -> Estimates:
        """The estimates of one label, named by functional."""
        at = [i for i, (name, _, _) in enumerate(self.of) if name == label]
        if not at:
            raise KeyError(f"{label!r} is none of {', '.join(self)}.")
        e = self.values
        title = f"{self.of[at[0]][1].capitalize()} of {label} ({WHOSE[self.target]})"
        return e.others([self.of[i][2] for i in at], e.values[at], e.covariance[np.ix_(at, at)], title=title)

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Estimand, estimate with the six columns, average slope with its error, and whether they differ."""
        found = self.values.table(level)
        found.insert(0, "estimand", [estimand for _, estimand, _ in self.of])
        return found.assign(
            average_slope=self.slopes.values, slope_error=self.slopes.std_error, differs=list(self.apart)
        )

    def sections(self) -> tuple[Section, ...]:
        """The sections of a summary, a row for each label; errors stand below where a page is too narrow."""
        beside = self._sections(stacked=False)
        return beside if all(s.natural_width() <= WIDTH for s in beside) else self._sections(stacked=True)

    def _sections(self, stacked: bool) -> tuple[Section, ...]:
        columns = tuple(dict.fromkeys(functional for _, _, functional in self.of))
        out = []
        for estimand in (BEST_LINEAR, SLOPE, CONTRAST):
            rows: list[tuple[str, ...]] = []
            for label in self:
                at = [i for i, (name, kind, _) in enumerate(self.of) if (name, kind) == (label, estimand)]
                if not at:
                    continue
                marks = [" "] * len(at) if stacked and any(self.apart) else [""] * len(at)
                rows += _rows(label, self.values, at, marks, stacked)
                if estimand == BEST_LINEAR:
                    marks = [" *"[self.apart[i]] for i in at] if any(self.apart) else marks
                    rows += _rows(f"  {SLOPE}", self.slopes, at, marks, stacked)
            if rows:
                heading = f"{estimand.capitalize()}, {WHOSE[self.target]}, on"
                stubs, cells = tuple(r[0] for r in rows), tuple(r[1:] for r in rows)
                out.append(Section(columns, stubs, cells, heading))
        return tuple(out)

    def notes(self) -> list[str]:
        """What the foot of a summary says of the marks."""
        notes = []
        if any(self.apart):
            notes.append(
                "* The average slope is more than two standard errors of the difference from the best linear "
                "coefficient: the relation bends, or the slope is read where rows are few."
            )
        smooth = dict.fromkeys(n for (_, _, n), s in zip(self.of, self.smooth, strict=False) if s)
        if smooth:
            notes.append(BY_SMOOTHNESS.format(", ".join(smooth)))
        known = np.isfinite(self.values.values).tolist()
        if self.beyond and not all(known):
            notes.append(
                f"Withheld: the records tell nothing of where outcomes {self.beyond} lie, and more than "
                f"{MOST_HIDDEN:.0%} of what is averaged is there; or nothing is left of the variable."
            )
        elif not all(k for k, (_, kind, _) in zip(known, self.of, strict=True) if kind == BEST_LINEAR):
            notes.append(
                "Withheld: the other variables, or the group, leave nothing of the variable, or the tail is "
                "too heavy for a mean."
            )
        return notes

    def summary(self, level: float = 0.95) -> Summary:
        """The table that goes into a paper."""
        check_level(level)
        whole = len({label.split(" | ")[0] for label in self})
        groups = (("Groups", f"{len(self) // whole}"),) if len(self) > whole else ()
        head = (("Effects of", f"{whole} variables or levels"), *groups), (("Target", WHOSE[self.target]),)
        return Summary("Effects on functionals of the law", head, self.sections(), tuple(self.notes()))

    def to_file(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a file keeps: words, and arrays by name."""
        parts = {"effects": self.values, "slopes": self.slopes}
        arrays = {f"{n}_{k}": getattr(e, k) for n, e in parts.items() for k in ("values", "covariance")}
        return {
            "of": [list(row) for row in self.of],
            "apart": list(self.apart),
            "target": self.target,
            "beyond": self.beyond,
            "smooth": list(self.smooth),
        }, arrays

    __repr__ = Estimated.__str__


@dataclass(frozen=True)
class EffectsHeader:
    """What a file says of effects beside their arrays."""

    of: tuple[tuple[str, str, str], ...]
    apart: tuple[bool, ...]
    target: Literal["population", "sample"]
    beyond: str = ""
    smooth: tuple[bool, ...] = ()


def saved_effects(
    saved: SavedResult, words: EffectsHeader | None, beside: Estimates
) -> EffectsResults | None:
    """The effects that a file holds, by the law of estimates ``beside`` them; None where it has none.

    Raises
    ------
    FileFormatError
    """
    if words is None:
        return None
    q, a = len(words.of), saved.numbers(_EFFECTS, q=len(words.of))
    on: dict[tuple[str, str], list[str]] = {}
    for label, kind, functional in words.of:
        on.setdefault((label, kind), []).append(functional)
    known = all(kind in (BEST_LINEAR, SLOPE, CONTRAST) for _, kind in on)
    first = next(iter(on.values()), [])
    if (
        len(words.apart) != q
        or len(words.smooth) not in (0, q)
        or not known
        or any(found != first for found in on.values())
    ):
        raise FileFormatError("the names and marks of the effects do not belong together")
    names = tuple(f"{label}: {name}" for label, _, name in words.of)
    values, slopes = (
        beside.others(names, a[f"{n}_values"], a[f"{n}_covariance"]) for n in ("effects", "slopes")
    )
    return EffectsResults(values, slopes, words.apart, words.of, words.target, words.beyond, words.smooth)


_EFFECTS = {
    f"{which}_{part}": what
    for which in ("effects", "slopes")
    for part, what in {"values": Numbers("q", "any"), "covariance": Numbers("q q", "a covariance")}.items()
}


def _rows(
    stub: str, e: Estimates, at: Sequence[int], marks: Sequence[str], stacked: bool
) -> list[tuple[str, ...]]:
    """Some estimates with their errors as a row of texts, or as two."""
    values = [number(e.values[i], missing="withheld") for i in at]
    errors = ["" if np.isnan(e.values[i]) else f"({number(e.std_error[i], missing='none')})" for i in at]
    if not stacked:
        return [(stub, *(f"{v} {se}".strip() + m for v, se, m in zip(values, errors, marks, strict=True)))]
    first, second = (
        [f"{v}{m}" for v, m in zip(values, marks, strict=True)],
        [f"{se} " if marks[0] else se for se in errors],
    )
    return [(stub, *first), ("", *second)]
