"""`MonteCarlo`: the same draws to every estimator, again and again, and what came of it.

A study is a value: a data-generating process, estimators, what to look at, and a grid of cells.  `run`
computes replications in chunks, here or in joblib's workers, and hands the numbers to `simulate.results`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from disteconometrics.arrays import Seed
from disteconometrics.errors import DisteconometricsError, OptionError
from disteconometrics.inference.estimates import check_level
from disteconometrics.inference.parallel import check_jobs
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.simulate.measures import MEASURES, OF_REPLICATIONS, n_sim
from disteconometrics.simulate.replications import (
    DGP,
    Cell,
    Estimator,
    ReplicationBlock,
    Task,
    cells_of,
)
from disteconometrics.simulate.results import MonteCarloResults
from disteconometrics.simulate.resuming import check_same_study
from disteconometrics.simulate.session import Session
from disteconometrics.simulate.store import Store
from disteconometrics.simulate.totals import StudyTotals
from disteconometrics.words import TakesWords

__all__ = ["MonteCarlo"]

PILOT_REPLICATIONS = 400  # replications before a Monte Carlo standard error says how many it takes
MOST = 1_000_000  # that mcse= may ask for


@dataclass(frozen=True, init=False)
class MonteCarlo(TakesWords):
    """A Monte Carlo study of estimators on data from a known process.

    Parameters
    ----------
    dgp : callable
        ``dgp(rng, **cell)`` draws a table (dict of arrays, DataFrame, or whatever the estimators take) from
        the numpy Generator it is given; it may have ``truth(names, **cell)``, which returns a dict of values,
        or of objects with value and error.
    estimators : dict of names to estimators, or a single one
        A specification such as ``de.Logit("y ~ x")``, a pair of it and arguments of its ``fit`` such as
        ``(de.Logit("y ~ x"), {"cov": "HC1"})``, or a callable from a table to a result with ``.estimates`` or
        with ``.params`` and ``.bse`` (as statsmodels'), a Series, or a dict of names to numbers, (estimate,
        se) or (estimate, se, low, high), or tests.  A callable with an argument ``rng``, and a ``fit`` with
        ``seed``, get random numbers of their own for every replication.
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
        keep: str = "replications",
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
        keep : {"replications", "measures"}
            "measures" keeps sums that have bias, spread, errors, coverage, width and rejection with their
            Monte Carlo errors, and the first failure of each reason: memory does not grow with ``reps``,
            where replications take about 200 bytes each.  They equal those of the replications to rounding.
            Medians, coverage of the mean, precision beside another estimator, ``variants``, another null,
            pictures of draws and ``store`` need replications.
        store : path or None
            A file that finished replications are appended to and that a later call goes on from.  That call
            draws and estimates a stored replication of every cell again, and one that failed: the results
            must be the stored ones, to the last bit on the same kind of machine and to 1e-9 on another.
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
            another study, such as one whose process or estimator has been edited since.
        StudyError
            If every replication fails; the message has the first cause.  An estimator without a single
            success in 100 replications, 50 of every cell, ends the study then: one that succeeds in a fifth
            of them comes to that once in 70,000 studies at the most.  What was done is in the store and in
            ``.results`` of the error.
        WorkerError
            If a worker dies, or the study cannot be sent to it; what was done is kept as above.

        Warns
        -----
        FailedReplicationsWarning
            If more than ``max_fail`` of an estimator's replications failed, or some gave other parameters.
        DisteconometricsWarning
            If the store has an estimator that gives other numbers each time.
        """
        check_jobs(n_jobs)
        most = _most_replications(reps, mcse, max_fail)
        _check_keep(keep, store, mcse)
        sequence = seed_sequence(seed)
        origin: tuple[Any, tuple[int, ...]] = (sequence.entropy, tuple(sequence.spawn_key))
        kept = None if store is None else Store(store, self._words(), resume=resume)
        try:
            if kept is not None:
                origin = kept.seed(*origin, drawn=seed is None)
            task = self._task(origin)
            totals = StudyTotals(self.level, len(self.cells)) if keep == "measures" else None
            session = Session(self, task, _stored(task, kept, n_jobs), kept, n_jobs, progress, totals)
            found = session.upto(most) if mcse is None else self._precise(session, mcse, most)
        finally:
            if kept is not None:
                kept.close()
        found.warn(max_fail)
        return found

    def _precise(self, session: Session, mcse: Mapping[str, float], most: int) -> MonteCarloResults:
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
        check_jobs(n_jobs)
        reps = _most_replications(reps, None, max_fail)
        kept = None if found.store is None else Store(found.store, self._words(), resume=True)
        try:
            if kept is not None:
                kept.seed(found.task.entropy, found.task.spawn_key, drawn=False)
            blocks = [] if found.totals is not None else list(found.blocks)
            blocks = blocks if kept is None else _stored(found.task, kept, n_jobs)
            totals = copy.deepcopy(found.totals)
            session = Session(self, found.task, blocks, kept, n_jobs, None, totals)
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


def _check_keep(keep: Any, store: Any, mcse: Any) -> None:
    """Refuse what measures alone cannot do."""
    if keep not in ("replications", "measures") or not isinstance(keep, str):
        raise OptionError(f"keep={keep!r} is not known; use 'replications' or 'measures'.")
    if keep == "measures" and store is not None:
        raise OptionError(
            "A store holds replications, and keep='measures' keeps none: leave one of the two out; a study "
            "that may be interrupted goes on by .extend(reps)."
        )
    unknown = sorted(set(mcse or ()) & set(OF_REPLICATIONS)) if keep == "measures" else []
    if unknown:
        raise OptionError(
            f"mcse= asks for {', '.join(unknown)}, which sums do not have; use keep='replications'."
        )


def _check_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise OptionError(f"{name}={value!r}: give a share between 0 and 1.")


def _are_goals(mcse: Any) -> bool:
    """Whether it is a dict from measures to positive numbers."""
    if not isinstance(mcse, Mapping) or not mcse or not set(mcse) <= set(MEASURES):
        return False
    return all(isinstance(v, Real) and float(v) > 0 for v in mcse.values())


def _stored(task: Task, kept: Store | None, n_jobs: int | None) -> list[ReplicationBlock]:
    """Replications of a store, once it is seen that they are those of this study."""
    if kept is None:
        return []
    blocks = kept.blocks(task.cells)
    check_same_study(task, blocks, kept.path, n_jobs)
    return blocks
