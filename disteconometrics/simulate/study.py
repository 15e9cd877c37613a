"""`MonteCarlo`: the same draws to every estimator, again and again, and what came of it.

A study is a value: a data-generating process, estimators, what to look at, and a grid of cells.  `run`
computes replications in chunks, here or in joblib's workers, and hands the numbers to `simulate.results`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from disteconometrics.arrays import Seed
from disteconometrics.errors import DisteconometricsError, DisteconometricsWarning, OptionError, warn_user
from disteconometrics.inference.estimates import check_level
from disteconometrics.inference.parallel import results
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.simulate.measures import MEASURES, n_sim
from disteconometrics.simulate.replications import (
    BATCH,
    DGP,
    Cell,
    Estimator,
    ReplicationBlock,
    Task,
    cells_of,
    digest,
)
from disteconometrics.simulate.results import MonteCarloResults, all_failed, check_names
from disteconometrics.simulate.store import Store

__all__ = ["MonteCarlo"]

FIRST = 8  # replications in the first chunk of a cell, by which the others are sized
SECONDS = 0.2  # that a chunk should take
PILOT_REPLICATIONS = 400  # replications before a Monte Carlo standard error says how many it takes
MOST = 1_000_000  # that mcse= may ask for
SAME_FAILURES = 50  # replications that all fail in the same words: the rest would too


@dataclass(frozen=True, init=False)
class MonteCarlo:
    """A Monte Carlo study of estimators on data from a known process.

    Parameters
    ----------
    dgp : callable
        ``dgp(rng, **cell)`` draws a table (dict of arrays, DataFrame, or whatever the estimators take) from
        the numpy Generator it is given; it may have ``truth(names, **cell)``, which returns a dict of values,
        or of objects with value and error.
    estimators : dict of names to estimators, or a single one
        A specification such as ``de.Logit("y ~ x")``, a pair of it and arguments of its ``fit`` such as
        ``(de.Logit("y ~ x"), {"cov": "HC1"})``, or a callable from a table to a result with ``.estimates``, a
        dict of names to numbers, (estimate, se) or (estimate, se, low, high), or tests.  A callable with an
        argument ``rng``, and a ``fit`` with ``seed``, get random numbers of their own for every replication.
    targets : list of str or None, the parameters to keep; None keeps all.
    truth : dict, callable or None
        True values by name, or a callable from the cell to such a dict; None asks the process.
    grid : dict, list of dicts or None
        Values that the process is called with, all combined: ``{"n": [250, 1000]}``; objects other than
        numbers and text are labelled, ``{"law": {"normal": norm, "skewed": gamma}}``.  A list of dicts puts
        grids one after another.
    level : float, nominal level of intervals; tests are at 1 − level.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Morris, White, Crowther (2019), Using simulation studies to evaluate statistical methods, Statistics in
    Medicine 38, doi:10.1002/sim.8086.

    Examples
    --------
    >>> import disteconometrics as de
    >>> def dgp(rng, n):
    ...     x = rng.normal(size=n)
    ...     return {"x": x, "y": (1 + 2 * x + rng.logistic(size=n) > 0).astype(float)}
    >>> truth = {"Intercept": 1, "x": 2}
    >>> study = de.MonteCarlo(dgp, {"mle": de.Logit("y ~ x")}, truth=truth, grid={"n": [200, 800]})
    >>> mc = study.run(reps=200, seed=1)
    >>> mc.table().loc[("n=800", "mle", "x"), ["bias", "bias_mcse", "coverage"]].round(3).tolist()
    [0.021, 0.011, 0.95]
    """

    dgp: Callable[..., Any]
    estimators: tuple[tuple[str, Any, tuple[tuple[str, Any], ...]], ...]
    targets: tuple[str, ...] | None
    truth: Any = field(hash=False)
    grid: Any = field(hash=False)
    level: float

    def __init__(
        self,
        dgp: Any,
        estimators: Any,
        targets: Sequence[str] | None = None,
        *,
        truth: Any = None,
        grid: Any = None,
        level: float = 0.95,
    ) -> None:
        if not callable(dgp):
            raise OptionError(
                f"dgp is a callable dgp(rng, **cell) that draws a table, not {type(dgp).__name__}."
            )
        kept = _targets(targets)
        if not (truth is None or callable(truth) or isinstance(truth, Mapping)):
            raise OptionError(
                f"truth is a dict of values by name, or a callable of the cell, not {type(truth).__name__}."
            )
        cells_of(grid)
        fields = {
            "dgp": dgp,
            "estimators": _named(estimators),
            "targets": kept,
            "truth": dict(truth) if isinstance(truth, Mapping) else truth,
            "grid": grid,
            "level": check_level(level),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The combinations of the grid."""
        return cells_of(self.grid)

    def truths(self, cell: Cell, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """True values, with the errors of their computation, of the parameters where they are known."""
        given: Any = self.truth
        if given is None:
            given = _asked(self.dgp, cell, names)
        elif callable(given):
            given = given(**cell.values)
        found = {}
        for name, value in given.items():
            number, error = getattr(value, "value", value), getattr(value, "error", 0.0)
            if isinstance(number, bool) or not isinstance(number, (Real, np.floating)):
                raise OptionError(f"truth of {name!r} is {value!r}; give a number.")
            found[str(name)] = float(number), float(error or 0.0)
        return found

    def run(
        self,
        reps: int | None = None,
        *,
        mcse: Mapping[str, float] | None = None,
        seed: Seed = None,
        n_jobs: int | None = None,
        store: Any = None,
        resume: bool = True,
        max_fail: float = 0.05,
        progress: bool | None = None,
    ) -> MonteCarloResults:
        """Draw and estimate.

        Parameters
        ----------
        reps : int or None, replications in every cell; with ``mcse``, the most.
        mcse : dict or None
            Monte Carlo standard errors to reach, such as ``{"coverage": 0.005}``, for every estimator,
            parameter and cell.
        seed : int, numpy Generator (spawned from, not advanced) or None (drawn, and kept in ``.seed``).
        n_jobs : int or None
            joblib workers, by whatever backend ``joblib.parallel_config`` says; the numbers do not depend on
            it.
        store : path or None, a file that finished replications are appended to and that a later call goes on
            from.
        resume : bool, whether an existing store is continued (its seed is taken if ``seed`` is None); none is
            overwritten.
        max_fail : float, share of failed replications beyond which a warning is given.
        progress : bool or None, a progress bar; None shows one on terminals.

        Returns
        -------
        MonteCarloResults
            After an interruption (Ctrl-C), the replications that are done, with a warning.

        Raises
        ------
        OptionError
            If an argument is wrong, truth or targets name what nobody estimates, or the store belongs to
            another study.
        StudyError
            If every replication fails; the message has the first cause.

        Warns
        -----
        FailedReplicationsWarning
            If more than ``max_fail`` of an estimator's replications failed, or some gave other parameters.
        """
        most = _most_replications(reps, mcse, max_fail)
        sequence = seed_sequence(seed)
        origin: tuple[Any, tuple[int, ...]] = (sequence.entropy, tuple(sequence.spawn_key))
        kept = None if store is None else Store(store, self._words(), resume=resume)
        try:
            if kept is not None:
                origin = kept.seed(*origin, drawn=seed is None)
            task = self._task(origin)
            blocks = [] if kept is None else kept.blocks(self.cells)
            _check_same_draws(task, blocks, kept)
            session = _Session(self, task, blocks, kept, n_jobs, progress)
            found = session.upto(most) if mcse is None else self._precise(session, mcse, most)
        finally:
            if kept is not None:
                kept.close()
        found.warn(max_fail)
        return found

    def _precise(self, session: _Session, mcse: Mapping[str, float], most: int) -> MonteCarloResults:
        """Run until all Monte Carlo standard errors are small enough."""
        pilot = n_sim(mcse["coverage"], probability=self.level) if "coverage" in mcse else PILOT_REPLICATIONS
        found = session.upto(min(most, pilot))
        while not session.interrupted and found.reps < most:
            wide = found.measures()
            factor = 0.0
            for name, goal in mcse.items():
                reached = wide.loc[wide["measure"] == name, "mcse"]
                if not reached.notna().any():
                    raise OptionError(
                        f"mcse={{{name!r}: …}}: this measure is not defined here; is the truth known?"
                    )
                factor = max(factor, float((reached / goal).max()))
            if factor <= 1:
                break
            found = session.upto(min(most, math.ceil(found.reps * min(1.02 * factor**2, 10.0))))
        return found

    def extend(
        self, found: MonteCarloResults, reps: int, n_jobs: int | None, max_fail: float = 0.05
    ) -> MonteCarloResults:
        """Results with ``reps`` more replications in every cell; see `MonteCarloResults.extend`."""
        reps = _most_replications(reps, None, max_fail)
        kept = None if found.store is None else Store(found.store, self._words(), resume=True)
        try:
            if kept is not None:
                kept.seed(found.task.entropy, found.task.spawn_key, drawn=False)
            session = _Session(self, found.task, list(found.blocks), kept, n_jobs, None)
            more = session.upto(found.reps + reps)
        finally:
            if kept is not None:
                kept.close()
        more.warn(max_fail)
        return more

    def _task(self, origin: tuple[Any, tuple[int, ...]]) -> Task:
        estimators = tuple(
            Estimator(name, target, dict(options)) for name, target, options in self.estimators
        )
        return Task(self.dgp, estimators, self.cells, self.targets, self.level, *origin)

    def _words(self) -> dict[str, Any]:
        """What a store knows a study by; functions are known by name, since their content cannot be."""
        estimators = {
            name: _word(target) + _word(dict(options)) * bool(options)
            for name, target, options in self.estimators
        }
        dgp = getattr(self.dgp, "__qualname__", None) or _word(self.dgp)
        return {
            "dgp": dgp,
            "estimators": estimators,
            "targets": self.targets and list(self.targets),
            "level": self.level,
        }


def _word(value: Any) -> str:
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text


def _targets(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    targets = (given,) if isinstance(given, str) else tuple(given)
    if not targets or not all(isinstance(t, str) for t in targets):
        raise OptionError("targets is a list of parameter names, or None for all.")
    return targets


def _named(estimators: Any) -> tuple[tuple[str, Any, tuple[tuple[str, Any], ...]], ...]:
    """Check estimators: names, targets and arguments of fit."""
    if not isinstance(estimators, Mapping):
        target = estimators[0] if isinstance(estimators, tuple) and estimators else estimators
        estimators = {getattr(target, "__name__", type(target).__name__).strip("<>").lower(): estimators}
    if not estimators:
        raise OptionError("estimators is empty; give at least one, such as {'mle': de.Logit('y ~ x')}.")
    return tuple(_estimator(name, given) for name, given in estimators.items())


def _estimator(name: Any, given: Any) -> tuple[str, Any, tuple[tuple[str, Any], ...]]:
    pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping)
    target, options = given if pair else (given, {})
    if not isinstance(name, str) or name == DGP or not _can_estimate(target):
        raise OptionError(
            f"estimators[{name!r}] is {given!r}; an estimator is a specification such as de.Logit('y "
            f"~ x'), a pair of it and "
            "arguments of its fit, or a callable from a table to a dict of (estimate, se), under a "
            "name of text (not 'dgp')."
        )
    if options and not hasattr(target, "fit"):
        raise OptionError(
            f"estimators[{name!r}]: a callable takes the table alone; put {dict(options)!r} into it."
        )
    return name, target, tuple(options.items())


def _can_estimate(target: Any) -> bool:
    usable = callable(target) or callable(getattr(target, "fit", None))
    return usable and not isinstance(target, type)


def _asked(dgp: Any, cell: Cell, names: Sequence[str]) -> dict[str, Any]:
    """What a process knows of the truth, name by name if it does not know all."""
    ask = getattr(dgp, "truth", None)
    if not callable(ask):
        return {}
    try:
        return dict(ask(list(names), **cell.values))
    except DisteconometricsError:
        found: dict[str, Any] = {}
        for name in names:
            try:
                found |= ask([name], **cell.values)
            except DisteconometricsError:
                continue
        return found


def _most_replications(reps: Any, mcse: Any, max_fail: Any) -> int:
    """Check the size of a study and return the most replications of a cell."""
    if reps is None and mcse is None:
        raise OptionError(
            "Give reps=, the number of replications, or mcse=, the Monte Carlo standard errors to reach."
        )
    most = MOST if reps is None else reps
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or most < 1:
        raise OptionError(f"reps={reps!r}: give a whole number of at least 1 replication, such as 1000.")
    if mcse is not None and not _are_goals(mcse):
        raise OptionError(
            f"mcse={mcse!r}: give a dict such as {{'coverage': 0.005}}; measures are {', '.join(MEASURES)}."
        )
    _check_share("max_fail", max_fail)
    return int(most)


def _check_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise OptionError(f"{name}={value!r}: give a share between 0 and 1.")


def _are_goals(mcse: Any) -> bool:
    """Whether it is a dict from measures to positive numbers."""
    if not isinstance(mcse, Mapping) or not mcse or not set(mcse) <= set(MEASURES):
        return False
    return all(isinstance(v, Real) and float(v) > 0 for v in mcse.values())


def _check_same_draws(task: Task, blocks: Sequence[ReplicationBlock], kept: Store | None) -> None:
    """A store continues a study only if the process still draws the same first table."""
    for block in blocks:
        if kept is not None and block.digest is not None and digest(task.draw(block.cell, 0)) != block.digest:
            label = task.cells[block.cell].label or "the study"
            raise OptionError(
                f"{kept.path} belongs to another study: the DGP now draws other data in {label}; use "
                f"another path."
            )


class _Session:
    """Replications so far and the computing of more."""

    def __init__(
        self,
        study: MonteCarlo,
        task: Task,
        blocks: list[ReplicationBlock],
        kept: Store | None,
        n_jobs: int | None,
        progress: bool | None,
    ) -> None:
        self.study, self.task, self.blocks = study, task, blocks
        self.kept, self.n_jobs, self.progress = kept, n_jobs, progress
        self.interrupted = False
        self.pace: dict[int, float] = {}  # seconds a replication, by cell
        self.checked = False
        self.truths: dict[int, dict[str, tuple[float, float]]] = {}  # for the bar
        self.hits: dict[tuple[str, str, str], list[int]] = {}
        self.fast = all(e.engine is not None for e in task.estimators)

    def upto(self, reps: int) -> MonteCarloResults:
        """Results of replications 0 … reps − 1 of every cell."""
        for block in self.blocks:
            self._check_names(block)
        missing = {c: self._missing(c, reps) for c in range(len(self.task.cells))}
        try:
            self._compute(missing)
        except KeyboardInterrupt:
            self.interrupted = True
            if not any(b.done for b in self.blocks):
                raise
        path = None if self.kept is None else self.kept.path
        done = MonteCarloResults(self.study, self.task, tuple(self.blocks), reps, path)
        done.check()
        if self.interrupted:
            count = sum(map(len, done.done))
            text = (
                f"Interrupted: {count:,} of {reps * len(self.task.cells):,} replications are done and kept."
            )
            warn_user(DisteconometricsWarning(text, hint="run again with store= to go on, or .extend(reps)"))
        return done

    def _compute(self, missing: dict[int, list[tuple[int, int]]]) -> None:
        """Take the replications of the given ranges, with a bar beside them."""
        import joblib
        from tqdm.auto import tqdm

        todo = sum(stop - start for ranges in missing.values() for start, stop in ranges)
        chunks = self._chunks(missing, joblib.effective_n_jobs(self.n_jobs))
        disable = None if self.progress is None else not self.progress
        failed = sum(len(b.failures) for b in self.blocks)
        with tqdm(total=todo, desc="Monte Carlo", disable=disable, leave=False) as bar:
            for block in results(self.task.chunk, chunks, self.n_jobs, ordered=False):
                self._take(block)
                failed += len(block.failures)
                bar.update(len(block.done))
                if not bar.disable:
                    bar.set_postfix(self._running(block, failed), refresh=False)
                if block.interrupted:
                    raise KeyboardInterrupt

    def _missing(self, c: int, reps: int) -> list[tuple[int, int]]:
        """Ranges of replications of cell c that are still to be computed."""
        done = [rep for block in self.blocks if block.cell == c for rep in block.done]
        left = np.setdiff1d(np.arange(reps), np.array(done, dtype=np.intp))
        ranges = np.split(left, np.flatnonzero(np.diff(left) > 1) + 1)
        return [(int(r[0]), int(r[-1]) + 1) for r in ranges if len(r)]

    def _chunks(self, missing: dict[int, list[tuple[int, int]]], jobs: int) -> Iterator[tuple[int, int, int]]:
        """Chunks that take about as long as one should, as known when a worker asks for the next."""
        for c, ranges in missing.items():
            for start, stop in ranges:
                at = start
                while at < stop:
                    size = min(self._size(c, jobs), -(-(stop - at) // jobs))
                    yield c, at, min(stop, at + size)
                    at += size

    def _size(self, c: int, jobs: int) -> int:
        if self.kept is not None and jobs == 1 and not self.fast:
            return 1  # each replication is on disk before the next begins
        seconds = self.pace.get(c)
        if seconds is None:
            return BATCH if self.fast else FIRST
        size = max(1, int(SECONDS / max(seconds, 1e-6)))
        return -(-size // BATCH) * BATCH if self.fast else size

    def _take(self, block: ReplicationBlock) -> None:
        if block.done:
            self.pace[block.cell] = block.seconds / len(block.done)
            self.blocks.append(block)
            if self.kept is not None:
                self.kept.append(block, self.task.cells[block.cell])
        self._check_names(block)
        self._check_any_success()

    def _check_names(self, block: ReplicationBlock) -> None:
        """Once all have estimated something, see that truth and targets name parameters that there are."""
        if self.checked:
            return
        seen = {estimator for b in (*self.blocks, block) for estimator, _ in b.parts}
        if len(seen) == len(self.task.estimators):
            self.checked = True
            names = list(dict.fromkeys(n for b in (*self.blocks, block) for _, ns in b.parts for n in ns))
            check_names(self.study, block.cell, names)

    def _check_any_success(self) -> None:
        done = sum(len(b.done) for b in self.blocks)
        if done < SAME_FAILURES or any(b.parts for b in self.blocks):
            return
        if len({(f.reason, f.message) for b in self.blocks for f in b.failures}) == 1:
            raise all_failed(self.task, self.blocks)

    def _running(self, block: ReplicationBlock, failed: int) -> dict[str, Any]:
        """Figures beside the bar: the cell, failures, and the coverage furthest from the nominal one."""
        cell = self.task.cells[block.cell]
        figures: dict[str, Any] = {"cell": cell.label} if cell.label else {}
        figures |= {"failed": failed} if failed else {}
        for (estimator, names), (_, values) in block.parts.items():
            if block.cell not in self.truths:
                self.truths[block.cell] = self.study.truths(cell, names)
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
