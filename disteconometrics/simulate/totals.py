"""What a study with keep="measures" has in place of its replications: sums of their measures, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from disteconometrics.arrays import Indices
from disteconometrics.simulate.measures import MeasureSums, Pairs, Replications
from disteconometrics.simulate.replications import Failure, ReplicationBlock

__all__ = ["StudyTotals"]

NAN = float("nan")


@dataclass
class _Named:
    """Sums under the same names of parameters, and the first replication that has them."""

    first: int
    count: int
    sums: list[MeasureSums]


@dataclass
class StudyTotals:
    """Sums over replications by cell, estimator and parameter; memory does not grow with their number.

    ``blocks`` hold by cell what is left of blocks without numbers: counts of warnings, and the first failure
    of each reason, whose number is in ``failed``.

    Examples
    --------
    >>> totals = StudyTotals(0.95, 1)
    >>> block = ReplicationBlock(0, [0, 1])
    >>> rows = [np.array([[b, 1.0, b - 2, b + 2, np.nan]]) for b in (1.0, 3.0)]
    >>> block.add("mean", ("mu",), [0, 1], rows)
    >>> totals.take(block, {"mu": (1.5, 0.0)})
    >>> totals.measures(0, "mean")["mu"]["bias"], totals.missing(0, 3)
    ((0.5, 1.0), [(2, 3)])
    """

    level: float
    cells: int
    blocks: list[ReplicationBlock] = field(default_factory=list)
    ranges: list[list[tuple[int, int]]] = field(default_factory=list)  # of replications done, by cell
    named: dict[tuple[int, str], dict[tuple[str, ...], _Named]] = field(default_factory=dict)
    failed: Counter[tuple[int, str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.blocks = [ReplicationBlock(c) for c in range(self.cells)]
        self.ranges = [[] for _ in range(self.cells)]

    def take(self, block: ReplicationBlock, truths: dict[str, tuple[float, float]]) -> None:
        """Add what a block has, whose replications are new; ``truths`` are those of its cell."""
        c, kept = block.cell, self.blocks[block.cell]
        self._add_ranges(c, block.done)
        for (estimator, names), (reps, rows) in block.parts.items():
            kept.parts.setdefault((estimator, names), ([], []))  # the names alone
            if reps:
                self._add(c, estimator, names, reps, np.asarray(rows), truths)
        for failure in block.failures:
            self._fail(kept, failure)
        for key, (count, message) in block.warned.items():
            before, first = kept.warned.get(key, (0, message))
            kept.warned[key] = (before + count, first)
        kept.random = sorted({*kept.random, *block.random})

    def _add(
        self,
        c: int,
        estimator: str,
        names: tuple[str, ...],
        reps: Sequence[int],
        rows: Any,
        truths: dict[str, tuple[float, float]],
    ) -> None:
        known = self.named.setdefault((c, estimator), {})
        if names not in known:
            sums = [MeasureSums(truths.get(name, (NAN, NAN))[0]) for name in names]
            known[names] = _Named(min(reps), 0, sums)
        one = known[names]
        one.first, one.count = min(one.first, *reps), one.count + len(reps)
        for j, own in enumerate(one.sums):
            b, se, low, high, p = rows[:, j].T
            own.add(Replications(b, se, own.truth, low, high, p, level=self.level))

    def _fail(self, kept: ReplicationBlock, failure: Failure) -> None:
        """Count a failure; the first one of its reason is kept."""
        self.failed[kept.cell, failure.estimator, failure.reason] += 1
        same = [f for f in kept.failures if (f.estimator, f.reason) == (failure.estimator, failure.reason)]
        if not same:
            kept.failures.append(failure)
        elif failure.replication < same[0].replication:
            kept.failures[kept.failures.index(same[0])] = failure

    def _add_ranges(self, c: int, done: Sequence[int]) -> None:
        reps = np.sort(np.asarray(done, dtype=np.intp))
        runs = np.split(reps, np.flatnonzero(np.diff(reps) > 1) + 1)
        found = sorted([*self.ranges[c], *((int(r[0]), int(r[-1]) + 1) for r in runs if len(r))])
        joined: list[tuple[int, int]] = []
        for start, stop in found:
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        self.ranges[c] = joined

    # ---- answers -------------------------------------------------------------------------------------------

    def count(self, c: int) -> int:
        """Replications done in a cell."""
        return sum(stop - start for start, stop in self.ranges[c])

    def done(self, c: int) -> Indices:
        """Their numbers, eight bytes each."""
        parts = [np.arange(start, stop) for start, stop in self.ranges[c]]
        return np.concatenate([np.zeros(0, dtype=np.intp), *parts])

    def missing(self, c: int, reps: int) -> list[tuple[int, int]]:
        """Ranges of replications below ``reps`` that are not done."""
        edges = [0, *(edge for pair in self.ranges[c] for edge in pair), reps]
        return [(a, min(b, reps)) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < min(b, reps)]

    def _first(self, c: int, estimator: str) -> tuple[tuple[str, ...], _Named] | None:
        """The names that the first replication with numbers has, and the sums under these."""
        known = self.named.get((c, estimator), {})
        return min(known.items(), key=lambda pair: pair[1].first, default=None)

    def names(self, c: int, estimator: str) -> tuple[str, ...]:
        """Names of the parameters of an estimator."""
        found = self._first(c, estimator)
        return () if found is None else found[0]

    def measures(self, c: int, estimator: str) -> dict[str, Pairs]:
        """Measures by parameter, of the replications with the names of the first one."""
        found = self._first(c, estimator)
        if found is None:
            return {}
        return {name: s.measured() for name, s in zip(found[0], found[1].sums, strict=True)}

    def others(self, c: int, estimator: str) -> list[tuple[tuple[str, ...], int, int]]:
        """Other names that replications had, how many, and the first of them."""
        mine = self.names(c, estimator)
        known = self.named.get((c, estimator), {})
        return [(names, one.count, one.first) for names, one in known.items() if names != mine]
