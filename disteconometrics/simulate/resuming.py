"""Whether a store's replications are those of the study that goes on from it: some are done again.

A function is known by its name alone, so a process or an estimator that was edited would mix old and new
replications in silence.  In every cell the first draw, and of every estimator the first replication with
numbers and the first that failed, are done again and compared: to the last bit on the kind of machine that
computed them, else to `OTHER_MACHINE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from disteconometrics.arrays import Array, Mask
from disteconometrics.errors import DisteconometricsWarning, OptionError, warn_user
from disteconometrics.inference.parallel import results
from disteconometrics.simulate.replications import DGP, FIELDS, Failure, ReplicationBlock, Task

__all__ = ["check_same_study"]

OTHER_MACHINE = 1e-9  # relative to a number or its standard error
OF_THE_MACHINE = ("MemoryError", "OSError", "TimeoutError")  # failures that say nothing about code

Outcome = tuple[tuple[str, ...], Array] | Failure | None


class _Stored(NamedTuple):
    """A replication of an estimator, or of the DGP, that is done again."""

    block: ReplicationBlock
    name: str
    rep: int

    @property
    def outcome(self) -> Outcome:
        return self.block.outcome(self.name, self.rep)

    @property
    def is_draw(self) -> bool:
        """Whether it is a table that was drawn, known by its digest."""
        return self.name == DGP and self.outcome is None


def check_same_study(task: Task, blocks: Sequence[ReplicationBlock], path: Path, n_jobs: int | None) -> None:
    """Refuse a store whose draws or estimates come out otherwise now.

    Raises
    ------
    OptionError
        If the process draws other data, or an estimator gives something else for the same data.

    Warns
    -----
    DisteconometricsWarning
        If an estimator gives other numbers each time, so that nothing can be compared.
    """
    found = [s for c in range(len(task.cells)) for s in _to_redo(task, [b for b in blocks if b.cell == c])]
    moved = set()  # cells whose first draw is another, if only in its last bits
    for stored, block in zip(found, _redone(task, found, n_jobs), strict=True):
        c, exact = stored.block.cell, stored.block.machine == block.machine
        if stored.is_draw:
            moved |= {c} - ({c} if block.digest == stored.block.digest else set())
            same = c not in moved or not exact
        else:
            same = _same(stored.outcome, block.outcome(stored.name, stored.rep), exact=exact)
        if not same and c in moved:
            _refuse(path, f"the DGP now draws other data in {task.cells[c].label or 'the study'}")
        if not same:
            _compare_again(task, stored, block, path, n_jobs)


def _to_redo(task: Task, blocks: Sequence[ReplicationBlock]) -> Iterator[_Stored]:
    """Of one cell: the first draw, and each estimator's first replication with numbers and first failure."""
    yield from (_Stored(b, DGP, 0) for b in blocks if b.digest is not None)
    for name in [DGP, *(e.name for e in task.estimators)]:
        fine = [(min(reps), b) for b in blocks for _, reps, _ in b.of(name)]
        failed = [
            (f.replication, b)
            for b in blocks
            for f in b.failures
            if f.estimator == name and f.reason not in OF_THE_MACHINE
        ]
        for pairs in (fine, failed):
            if pairs:
                rep, block = min(pairs, key=lambda pair: pair[0])
                yield _Stored(block, name, rep)


def _redone(task: Task, found: Sequence[_Stored], n_jobs: int | None) -> Iterator[ReplicationBlock]:
    """The same replications, computed now and where others will be."""
    arguments = [(s.block.cell, s.rep, [s.name]) for s in found]

    def named(out: Sequence[tuple[int, int, list[str]]]) -> str:
        return task.said([(c, rep, rep + 1) for c, rep, _ in out])

    return results(task.redo, arguments, n_jobs, parts=task.parts, named=named)


def _same(a: Outcome, b: Outcome, *, exact: bool) -> bool:
    """Whether two outcomes are the same: failures by their reason, numbers to the last bit or nearly."""
    if isinstance(a, Failure) or isinstance(b, Failure):
        return isinstance(a, Failure) and isinstance(b, Failure) and a.reason == b.reason
    if a is None or b is None:
        return a is b
    return a[0] == b[0] and not _apart(a[1], b[1], exact).any()


def _apart(a: Array, b: Array, exact: bool) -> Mask:
    """Which numbers (q, 5) differ."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        size = np.fmax(np.abs(a), np.abs(b))
        size[:, :4] = np.fmax(size[:, :4], size[:, [1]])  # an estimate near zero has the error of its terms
        size[:, 4] *= 1 + np.nan_to_num(a[:, 0] / a[:, 1], posinf=0.0, neginf=0.0) ** 2  # z, in a tail
        near = np.abs(a - b) <= (0.0 if exact else OTHER_MACHINE) * size
    same: Mask = (a == b) | (np.isnan(a) & np.isnan(b)) | near
    return ~same


def _compare_again(
    task: Task, stored: _Stored, first: ReplicationBlock, path: Path, n_jobs: int | None
) -> None:
    """Refuse an estimator that differs, unless it does so each time: then only warn."""
    (second,) = _redone(task, [stored], n_jobs)
    was, now = stored.outcome, first.outcome(stored.name, stored.rep)
    if not _same(now, second.outcome(stored.name, stored.rep), exact=True):
        _warn_of_chance(stored)
        return
    exact = stored.block.machine == first.machine
    who = "the DGP" if stored.name == DGP else f"estimator {stored.name!r}"
    where = task.said([(stored.block.cell, stored.rep, stored.rep + 1)])
    words = f"{who} gave {_said(was, now, exact)} in {where}"
    if not exact:
        kind = stored.block.machine or "an unknown kind of machine"
        words += f" (on {kind}, so {OTHER_MACHINE:g} is allowed)"
    _refuse(path, f"{words} and now gives {_said(now, was, exact)}")


def _refuse(path: Path, words: str) -> NoReturn:
    raise OptionError(
        f"{path} belongs to another study: {words}. Use another path for the changed study, or go on with "
        "the code, and on the kind of machine, that the store was begun with."
    )


def _said(outcome: Outcome, other: Outcome, exact: bool) -> str:
    """An outcome in words: the first number that differs from the other's, or why there is none."""
    if outcome is None:
        return "a table"
    if isinstance(outcome, Failure):
        return f"no numbers ({outcome.reason}: {outcome.message})"
    names, values = outcome
    if isinstance(other, Failure) or other is None or other[0] != names:
        return f"numbers of {', '.join(names)}"
    i, j = np.argwhere(_apart(values, other[1], exact))[0]
    return f"{FIELDS[j]} {float(values[i, j])!r} of {names[i]}"


def _warn_of_chance(stored: _Stored) -> None:
    """Tell of an estimator that gives other numbers for the same data, unless the results tell it."""
    if stored.name in stored.block.random:
        return
    text = (
        f"Estimator {stored.name!r} gives other numbers each time for the same data: nobody can reproduce "
        "them, nor can its stored replications be told from those of other code."
    )
    hint = "give the callable an argument rng and draw from it"
    warn_user(DisteconometricsWarning(f"{text} {hint.capitalize()}.", column=stored.name, hint=hint))
