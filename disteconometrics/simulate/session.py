"""The computing of a study: which replications are missing, in what chunks, and when more are of no use."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np

from disteconometrics.errors import DisteconometricsWarning, StudyError, WorkerError, warn_user
from disteconometrics.inference.parallel import results
from disteconometrics.simulate.replications import BATCH, ReplicationBlock, Task
from disteconometrics.simulate.results import MonteCarloResults, all_failed, check_names
from disteconometrics.simulate.store import Store
from disteconometrics.simulate.totals import StudyTotals

__all__ = ["Session"]

FIRST = 8  # replications in the first chunk of a cell, by which the others are sized
# seconds that a chunk should take: at least, and for each worker, since a scheduler hands out 250 a second
SECONDS, EACH_WORKER = 0.2, 0.02
# Replications without a single success after which an estimator is given up, in all and in every cell.  One
# that fails in 80 % of them comes to that once in 5,000 million studies, or once in 70,000 where it never
# succeeds outside a single cell.
HOPELESS, IN_EACH = 100, 50


class Session:
    """Replications so far and the computing of more."""

    def __init__(
        self,
        study: Any,
        task: Task,
        blocks: list[ReplicationBlock],
        kept: Store | None,
        n_jobs: int | None,
        progress: bool | None,
        totals: StudyTotals | None = None,
    ) -> None:
        self.study, self.task, self.blocks = study, task, blocks
        self.kept, self.n_jobs, self.progress = kept, n_jobs, progress
        self.interrupted, self.totals = False, totals
        self.pace: dict[int, float] = {}  # seconds a replication, by cell
        self.checked = False
        self.most = 0  # replications asked for in every cell
        self.done = Counter({c: 0 for c in range(len(task.cells))})
        self.worked: set[str] = set()  # estimators that have given numbers
        for block in blocks:
            self._count(block)
        if totals is not None:
            self.blocks = totals.blocks
            self.done = Counter({c: totals.count(c) for c in range(len(task.cells))})
            self.worked = {name for _, name in totals.named}
        self.truths: dict[int, dict[str, tuple[float, float]]] = {}  # for the bar, and totals
        self.asked: dict[int, set[str]] = {}
        self.hits: dict[tuple[str, str, str], list[int]] = {}
        self.fast = all(e.engine is not None for e in task.estimators)

    def upto(self, reps: int) -> MonteCarloResults:
        """Results of replications 0 … reps − 1 of every cell."""
        self.most = reps
        for block in self.blocks:
            self._check_names(block)
        missing = {c: self._missing(c, reps) for c in range(len(self.task.cells))}
        try:
            self._compute(missing)
        except KeyboardInterrupt:
            self.interrupted = True
            if not self.done.total():
                raise
        except (StudyError, WorkerError) as error:
            if self.worked:
                error.results = self._results()
                where = f"in {self.kept.path} and " if self.kept is not None else ""
                error.add_note(f"The {self.done.total():,} replications done are {where}in .results of this.")
            raise
        done = self._results()
        done.check()
        if self.interrupted:
            count = sum(done.counts)
            text = (
                f"Interrupted: {count:,} of {reps * len(self.task.cells):,} replications are done and kept."
            )
            warn_user(DisteconometricsWarning(text, hint="run again with store= to go on, or .extend(reps)"))
        return done

    def _results(self) -> MonteCarloResults:
        path = None if self.kept is None else self.kept.path
        totals = copy.deepcopy(self.totals)
        blocks = self.blocks if totals is None else totals.blocks
        return MonteCarloResults(self.study, self.task, tuple(blocks), self.most, path, totals)

    def _compute(self, missing: dict[int, list[tuple[int, int]]]) -> None:
        """Take the replications of the given ranges, with a bar beside them."""
        import joblib
        from tqdm.auto import tqdm

        todo = sum(stop - start for ranges in missing.values() for start, stop in ranges)
        chunks = self._chunks(missing, joblib.effective_n_jobs(self.n_jobs))
        disable = None if self.progress is None else not self.progress
        failed = sum(len(b.failures) for b in self.blocks)
        self._check_hope(todo)
        with tqdm(total=todo, desc="Monte Carlo", disable=disable, leave=False) as bar:
            found = results(
                self.task.chunk,
                chunks,
                self.n_jobs,
                ordered=False,
                parts=self.task.parts,
                named=self.task.said,
            )
            with closing(found):
                for block in found:
                    self._take(block)
                    todo -= len(block.done)
                    self._check_hope(todo)
                    failed += len(block.failures)
                    bar.update(len(block.done))
                    if not bar.disable:
                        bar.set_postfix(self._running(block, failed), refresh=False)
                    if block.interrupted:
                        raise KeyboardInterrupt

    def _missing(self, c: int, reps: int) -> list[tuple[int, int]]:
        """Ranges of replications of cell c that are still to be computed."""
        if self.totals is not None:
            return self.totals.missing(c, reps)
        done = [rep for block in self.blocks if block.cell == c for rep in block.done]
        left = np.setdiff1d(np.arange(reps), np.array(done, dtype=np.intp))
        ranges = np.split(left, np.flatnonzero(np.diff(left) > 1) + 1)
        return [(int(r[0]), int(r[-1]) + 1) for r in ranges if len(r)]

    def _chunks(self, missing: dict[int, list[tuple[int, int]]], jobs: int) -> Iterator[tuple[int, int, int]]:
        """Chunks that take about as long as one should, as known when a worker asks for the next."""
        left = {c: list(reversed(ranges)) for c, ranges in missing.items() if ranges}
        sent = Counter(self.done)
        while left:
            c = self._next_cell(left, sent)
            start, stop = left[c].pop()
            size = min(self._size(c, jobs), -(-(stop - start) // jobs))
            end = min(stop, start + size)
            if end < stop:
                left[c].append((end, stop))
            if not left[c]:
                del left[c]
            sent[c] += end - start
            yield c, start, end

    def _next_cell(self, left: dict[int, list[tuple[int, int]]], sent: Counter[int]) -> int:
        """The first cell that is not done; while an estimator only fails, the first hardly tried one."""
        new = (c for c in left if sent[c] < IN_EACH)
        return next(new, next(iter(left))) if self._failing else next(iter(left))

    @property
    def _failing(self) -> list[str]:
        """Estimators that have not given numbers yet."""
        return [e.name for e in self.task.estimators if e.name not in self.worked]

    def _size(self, c: int, jobs: int) -> int:
        if self.kept is not None and jobs == 1 and not self.fast:
            return 1  # each replication is on disk before the next begins
        seconds = self.pace.get(c)
        if seconds is None:
            return BATCH if self.fast else FIRST
        size = max(1, int(max(SECONDS, EACH_WORKER * jobs) / max(seconds, 1e-6)))
        if self._failing:
            return min(size, IN_EACH)
        return -(-size // BATCH) * BATCH if self.fast else size

    def _take(self, block: ReplicationBlock) -> None:
        if block.done:
            self.pace[block.cell] = block.seconds / len(block.done)
            self._keep(block)
            self._count(block)
            if self.kept is not None:
                self.kept.append(block, self.task.cells[block.cell])
        self._check_names(block)

    def _keep(self, block: ReplicationBlock) -> None:
        if self.totals is None:
            self.blocks.append(block)
        else:
            self._learn_truths(block)
            self.totals.take(block, self.truths.get(block.cell, {}))

    def _learn_truths(self, block: ReplicationBlock) -> None:
        """Ask for true values of the cell of a block, of parameters of which none has been asked for."""
        names = [name for _, names in block.parts for name in names]
        asked = self.asked.setdefault(block.cell, set())
        if not asked.issuperset(names):
            asked.update(names)
            self.truths[block.cell] = self.study.truths(self.task.cells[block.cell], list(asked))

    def _count(self, block: ReplicationBlock) -> None:
        self.done[block.cell] += len(block.done)
        self.worked |= {estimator for (estimator, _), (reps, _) in block.parts.items() if reps}

    def _check_names(self, block: ReplicationBlock) -> None:
        """Once all have estimated something, see that truth and targets name parameters that there are."""
        if self.checked:
            return
        seen = {estimator for b in (*self.blocks, block) for estimator, _ in b.parts}
        if len(seen) == len(self.task.estimators):
            self.checked = True
            names = list(dict.fromkeys(n for b in (*self.blocks, block) for _, ns in b.parts for n in ns))
            check_names(self.study, block.cell, names)

    def _check_hope(self, todo: int) -> None:
        """Stop where more replications are to be done and an estimator has only failed in those that are."""
        failing, each = self._failing, min(IN_EACH, self.most)
        if todo <= 0 or not failing or self.done.total() < HOPELESS or min(self.done.values()) < each:
            return
        name = failing[0] if self.worked else None
        raise all_failed(self.task, self.blocks, self.done.total(), name)

    def _running(self, block: ReplicationBlock, failed: int) -> dict[str, Any]:
        """Figures beside the bar: the cell, failures, and the coverage furthest from the nominal one."""
        cell = self.task.cells[block.cell]
        figures: dict[str, Any] = {"cell": cell.label} if cell.label else {}
        figures |= {"failed": failed} if failed else {}
        for (estimator, names), (_, values) in block.parts.items():
            self._learn_truths(block)
            for j, name in enumerate(names):
                truth = self.truths[block.cell].get(name, (math.nan,))[0]
                hits = [v[j, 2] <= truth <= v[j, 3] for v in values]
                kept = self.hits.setdefault((cell.label, estimator, name), [0, 0])
                kept[0], kept[1] = kept[0] + sum(hits), kept[1] + len(hits) * (truth == truth)
        shares = {key: hit / n for key, (hit, n) in self.hits.items() if n}
        if shares:
            worst = max(shares, key=lambda key: abs(shares[key] - self.task.level))
            figures["coverage"] = f"{shares[worst]:.3f} ({' '.join(filter(None, worst))})"
        return figures
