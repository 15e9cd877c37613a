"""Studies in files of results: numbers, names and failures, and nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Annotated, Any, NoReturn

import numpy as np

from disteconometrics.archive import write_archive
from disteconometrics.errors import FileFormatError, NeedsData
from disteconometrics.fields import AnyFloat, Count, Entropy, Numbers, Rule
from disteconometrics.simulate.replications import (
    DGP,
    FIELDS,
    Cell,
    Estimator,
    Failure,
    ReplicationBlock,
    Task,
)

__all__ = ["SavedStudy", "read_study", "write_study"]

GONE = (
    "A loaded study has its numbers, neither the process nor the estimators; run the study again with the "
    "same seed, or with run(store=path), to draw more."
)
_Value = bool | int | AnyFloat | str | None
_Level = Annotated[float, Rule("between 0 and 1", lambda v: 0 < v < 1)]


@dataclass(frozen=True)
class _Failed:
    """A failure; the traceback is that of the first with its reason."""

    replication: Count
    estimator: str
    reason: str
    message: str
    traceback: str


@dataclass(frozen=True)
class _Warned:
    """Replications of an estimator that warned."""

    estimator: str
    category: str
    count: Count
    message: str


@dataclass(frozen=True)
class _Cell:
    """What a file has of a cell beside its numbers."""

    shown: dict[str, _Value | tuple[_Value, ...]]
    names: tuple[tuple[str, ...], ...]  # of parameters, by estimator
    truths: dict[str, tuple[AnyFloat, AnyFloat]]
    failures: tuple[_Failed, ...]
    warned: tuple[_Warned, ...]


@dataclass(frozen=True)
class _Header:
    """The header of a file."""

    estimators: tuple[str, ...]
    cells: tuple[_Cell, ...]
    targets: tuple[str, ...] | None
    level: _Level
    reps: Count
    entropy: Entropy | tuple[Entropy, ...]
    spawn_key: tuple[Entropy, ...]
    random: tuple[str, ...]


@dataclass(frozen=True)
class SavedStudy:
    """What a loaded study knows of how it was run: the true values by label of a cell.

    Examples
    --------
    >>> SavedStudy({"n=50": {"mu": (1.0, 0.0)}}).truths(Cell({"n": 50}, {"n": 50}), ["mu"])
    {'mu': (1.0, 0.0)}
    """

    known: Mapping[str, dict[str, tuple[float, float]]]

    def truths(self, cell: Cell, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """True values with their errors, as they were when the study was saved."""
        return self.known[cell.label]

    def extend(self, *args: Any) -> NoReturn:
        """Raises: NeedsData."""
        raise NeedsData(GONE)


def _gone(rng: Any, **cell: Any) -> NoReturn:
    raise NeedsData(GONE)


def write_study(
    path: Any, mc: Any, numbers: Sequence[Mapping[str, Any]], failures: Sequence[Sequence[Failure]]
) -> None:
    """Write a study; see `MonteCarloResults.save`.

    Parameters
    ----------
    path : file name or binary file.
    mc : MonteCarloResults.
    numbers : of each cell, names (q,) and values (R, q, 5) by estimator.
    failures : of each cell.

    Raises
    ------
    OSError
    """
    arrays, cells, told = {}, [], mc.warnings
    for c, cell in enumerate(mc.cells):
        arrays[f"done.{c}"] = mc.done[c]
        arrays |= {f"values.{c}.{e}": found.values for e, found in enumerate(numbers[c].values())}
        rows = told[told["cell"] == cell.label].drop(columns="cell").itertuples(index=False)
        cells.append(
            {
                "shown": dict(cell.shown),
                "names": [found.names for found in numbers[c].values()],
                "truths": mc.truths[c],
                "failures": _shortened(failures[c]),
                "warned": [dict(zip(_Warned.__annotations__, row, strict=True)) for row in rows],
            }
        )
    header = {
        "estimators": mc.estimators,
        "cells": cells,
        "targets": mc.task.targets,
        "level": mc.task.level,
        "reps": mc.reps,
        "entropy": mc.task.entropy,
        "spawn_key": mc.task.spawn_key,
        "random": sorted({name for b in mc.blocks for name in b.random}),
    }
    write_archive(path, "MonteCarlo", header, arrays)


def _shortened(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Failures as dictionaries, of which the first for each reason keeps its traceback."""
    seen: set[tuple[str, str]] = set()
    found = []
    for f in failures:
        first = (f.estimator, f.reason) not in seen
        seen.add((f.estimator, f.reason))
        found.append({**f._asdict(), "traceback": f.traceback if first else ""})
    return found


def read_study(saved: Any) -> tuple[SavedStudy, Task, tuple[ReplicationBlock, ...], int]:
    """What `MonteCarloResults` is made of, from a file.

    Raises
    ------
    FileFormatError
    """
    head = saved.fields(_Header)
    cells = tuple(Cell(cell.shown, cell.shown) for cell in head.cells)
    known = {cell.label: found.truths for cell, found in zip(cells, head.cells, strict=True)}
    once = len(known) == len(cells) and len(set(head.estimators)) == len(head.estimators)
    if not (once and cells and head.estimators):
        raise FileFormatError("it has no cell or no estimator, or one twice")
    blocks = tuple(_block(saved, head, c) for c in range(len(cells)))
    estimators = tuple(Estimator(name, _gone) for name in head.estimators)
    task = Task(_gone, estimators, cells, head.targets, head.level, head.entropy, head.spawn_key)
    return SavedStudy(known), task, blocks, head.reps


def _block(saved: Any, head: _Header, c: int) -> ReplicationBlock:
    """All replications of a cell."""
    cell = head.cells[c]
    found = saved.numbers({f"done.{c}": Numbers("R", "increasing")})[f"done.{c}"]
    done = found.astype(np.intp).tolist()
    if not (found == done).all() or not {0, *done} <= set(range(head.reps)):
        raise FileFormatError(f"done.{c} does not count replications")
    block = ReplicationBlock(c, done, random=list(head.random))
    for e, (name, names) in enumerate(zip(head.estimators, cell.names, strict=True)):
        table = {f"values.{c}.{e}": Numbers(f"R q {len(FIELDS)}", "any")}
        (values,) = saved.numbers(table, R=len(done), q=len(names)).values()
        if names:
            block.add(name, names, done, list(values))
    who = {*head.estimators, DGP}
    if not all(f.estimator in who and f.replication in done for f in cell.failures):
        raise FileFormatError("it has failures of what it does not hold")
    block.failures = [Failure(*astuple(f)) for f in cell.failures]
    block.warned = {(w.estimator, w.category): (w.count, w.message) for w in cell.warned}
    return block
