"""`bootstrap`: the law of any statistic of any estimator, by fitting again to resampled data.

Four ways to resample: rows (``pairs``), whole clusters (``cluster``), positive random weights
(``exchangeable``), and multipliers on the scores of clusters with the tested value imposed (``score``, for
few clusters).  An estimator that offers `Resampling` has statistics of its coefficients computed many at a
time, one that offers `Redrawing` weighs its rows anew; everything else is fitted draw by draw.

References
----------
Efron, Tibshirani (1993), An Introduction to the Bootstrap, Chapman & Hall.
Davison, Hinkley (1997), Bootstrap Methods and their Application, Cambridge University Press.
Præstgaard, Wellner (1993), Exchangeably weighted bootstraps of the general empirical process, Annals of
Probability 21, doi:10.1214/aop/1176989011.
Cameron, Gelbach, Miller (2008), Bootstrap-based improvements for inference with clustered errors, Review of
Economics and Statistics 90, doi:10.1162/rest.90.3.414.
Kline, Santos (2012), A score based approach to wild bootstrap inference, Journal of Econometric Methods 1,
doi:10.1515/2156-6674.1006.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Mask, Seed, as_floats, or_ones
from disteconometrics.data.source import READ_IN_PARTS, is_source
from disteconometrics.errors import (
    CollinearityError,
    ConvergenceWarning,
    DisteconometricsError,
    DisteconometricsWarning,
    LevelError,
    NeedsRows,
    OptionError,
    OutcomeError,
    SeparationError,
    SeparationWarning,
    WithheldError,
    warn_user,
)
from disteconometrics.inference.bootstrap_results import BootstrapResults, LeaveOut
from disteconometrics.inference.covariance import group_sums, leave_one_out
from disteconometrics.inference.estimates import Estimates
from disteconometrics.inference.expressions import evaluate
from disteconometrics.inference.foreign import FunctionEstimator, as_estimator, named_params
from disteconometrics.inference.parallel import check_jobs, results
from disteconometrics.inference.protocols import MEstimate, Redrawing, Resampling
from disteconometrics.inference.resample import ResamplingPlan, reported_seed, seed_sequence, take_rows
from disteconometrics.inference.score_bootstrap import ScoreTests
from disteconometrics.threads import one_thread
from disteconometrics.words import tells_words

__all__ = ["bootstrap"]

KINDS = ("pairs", "cluster", "exchangeable", "score")
SCHEMES = {"exchangeable": ("exponential", "multinomial"), "score": ("webb", "rademacher")}
UNIDENTIFIED = "coefficients not identified"
REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (OutcomeError, "the outcome does not vary"),
    (SeparationError, "separation: no finite maximum"),
    (SeparationWarning, "separation: no finite maximum"),
    (ConvergenceWarning, "no convergence"),
    (CollinearityError, UNIDENTIFIED),
    (LevelError, UNIDENTIFIED),
)
REFITS = 16  # of a task: an interruption loses no more, and workers share them evenly
HOPELESS = 100  # replications without a single success after which the others are not tried
# fits for the acceleration of a statistic that is no function of the coefficients; groups of units
MOST_REFITS, GROUPS = 5_000, 200


def named_values(value: Any) -> tuple[tuple[str, ...], Array]:
    """Names and values (q,) of a number, Series, dict, array, or anything with ``.estimates`` or ``.params``.

    Raises
    ------
    OptionError
        If it is none of these.
    """
    value = getattr(value, "estimates", value)
    if isinstance(value, Estimates):
        return tuple(map(str, value.names)), as_floats(value.values)
    if hasattr(value, "params"):
        return named_params(value)
    if isinstance(value, pd.Series):
        return tuple(map(str, value.index)), value.to_numpy(dtype=np.float64)
    if isinstance(value, dict):
        return tuple(map(str, value)), np.array(list(value.values()), dtype=np.float64)
    try:
        array = as_floats(value)
    except (TypeError, ValueError):
        array = np.zeros((0, 0))
    if array.ndim > 1 or array.size == 0:
        raise OptionError(
            f"statistic returned {type(value).__name__}; return a number, a Series, a dict, an array "
            f"(q,), estimates, or a result with .params."
        )
    if array.ndim == 0:
        return ("statistic",), array[None]
    return tuple(f"statistic[{i}]" for i in range(len(array))), array


def _coefficients(result: Any) -> Any:
    return dict(zip(*named_params(result), strict=True)) if hasattr(result, "params") else result


@dataclass(frozen=True, eq=False)
class _Task:
    """All that a worker needs to compute a chunk of replications."""

    estimator: Any
    data: Any
    plan: ResamplingPlan
    statistic: Callable[[Any], Any]
    names: tuple[str, ...]
    texts: tuple[str, ...] | None  # functions of the coefficients, when ``engine`` may be used
    of_params: bool  # whether the statistic is of the coefficients alone
    engine: Resampling | None
    redrawing: Redrawing | None
    positions: Indices
    cluster: str | None
    weights: tuple[str | None, Array | None]

    def part(self, start: int, stop: int) -> tuple[Array, list[str]]:
        """Values (stop − start, q) of replications of one chunk, NaN with a reason where there are none."""
        with one_thread():
            i, first = divmod(start, self.plan.chunk)
            drawn = self.plan.draw(i, first + stop - start)[first:]
            if self.engine is not None:
                return self._solved(self.engine, drawn)
            return self._refits(drawn) if self.redrawing is None else self._redrawn(self.redrawing, drawn)

    def row_weights(self, drawn: Array) -> Array:
        """Weights (R, n) of the rows, from those of the units (R, units)."""
        by_row, (kind, w) = self.plan.by_row(drawn), self.weights
        if w is not None and not (kind == "frequency" and self.plan.copies is not None):
            by_row = by_row * w
        return by_row

    def _solved(self, engine: Resampling, drawn: Array) -> tuple[Array, list[str]]:
        """Values of draws that are solved together."""
        params, reasons = engine.solve(self.row_weights(drawn))
        if self.texts is None:
            return params, reasons
        values = np.full((len(drawn), len(self.texts)), np.nan)
        for r in np.flatnonzero([not reason for reason in reasons]):
            values[r] = [evaluate(t, engine.names, params[r]).value for t in self.texts]
            reasons[r] = _finite_or_not(values[r])
        return values, reasons

    def _refits(self, drawn: Array) -> tuple[Array, list[str]]:
        values, reasons = np.full((len(drawn), len(self.names)), np.nan), []
        for r, counts in enumerate(drawn):
            rows, copies = self.plan.rows_of(counts)
            columns: dict[str, Any] = {} if self.cluster is None else {self.cluster: copies}
            if self.plan.copies is not None:
                rows = np.flatnonzero(counts)
                columns = {self.estimator.weights: counts[rows]}
            table = take_rows(self.data, self.positions[rows], **columns)
            values[r], reason = self.attempt(partial(self.estimator.fit, table))
            reasons.append(reason)
        return values, reasons

    def _redrawn(self, redrawing: Redrawing, drawn: Array) -> tuple[Array, list[str]]:
        """Values of draws that are fits under other weights."""
        pairs = zip(self.row_weights(drawn), self.plan.together(drawn), strict=True)
        found = [self.attempt(partial(self.redraw, redrawing, w, together)) for w, together in pairs]
        return np.array([values for values, _ in found]), [reason for _, reason in found]

    def redraw(self, redrawing: Redrawing, weights: Array, together: Array, drawn: bool = True) -> Any:
        """What the statistic is computed from: a result, or what has its coefficients."""
        found = redrawing.redraw(weights, together, drawn=drawn)
        return found if self.of_params else found.result

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """Errors that count as a failed draw; a function may raise those of any package."""
        if isinstance(self.estimator, FunctionEstimator):
            return (Exception,)
        return (DisteconometricsError, np.linalg.LinAlgError)

    def attempt(self, fit: Callable[[], Any]) -> tuple[Array, str]:
        """The statistic (q,) of one fit, or NaN with a reason."""
        nothing = np.full(len(self.names), np.nan)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                names, values = named_values(self.statistic(fit()))
            except self.failures as error:
                return nothing, _reason(type(error))
        for warning in told:
            if issubclass(warning.category, (SeparationWarning, ConvergenceWarning)):
                return nothing, _reason(warning.category)
            if warning.category.__name__ == ConvergenceWarning.__name__:  # statsmodels' or scikit-learn's
                return nothing, _reason(ConvergenceWarning)
        if names != self.names:
            return nothing, UNIDENTIFIED
        return values, _finite_or_not(values)


def _finite_or_not(values: Array) -> str:
    return "" if np.isfinite(values).all() else "statistic not finite"


def _reason(kind: type[BaseException]) -> str:
    """Why a replication failed, in words, from the class of an error or warning."""
    return next((words for known, words in REASONS if issubclass(kind, known)), kind.__name__)


def _results(
    function: Callable[..., Any],
    arguments: Sequence[tuple[int, int]],
    n_jobs: int | None,
    task: _Task,
    what: str,
    title: str = "bootstrap",
) -> Iterator[Any]:
    """Results of calls for units start … stop − 1 in order, with a progress bar where there is a terminal."""
    from tqdm.auto import tqdm

    def named(out: Sequence[tuple[int, int]]) -> str:
        return f"{what} {out[0][0]} to {out[-1][1] - 1}"

    given = {"the estimator": task.estimator, "statistic": task.statistic, "the data": task.data}
    found = results(function, arguments, n_jobs, parts=given, named=named)
    bar = tqdm(total=arguments[-1][1], desc=title, disable=None, leave=False)
    with bar:
        for (start, stop), result in zip(arguments, found, strict=True):
            bar.update(stop - start)
            yield result


def _check_kind(kind: str, cluster: Any) -> None:
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not known; use one of {', '.join(map(repr, KINDS))}.")
    if kind in ("cluster", "score") and cluster is None:
        raise OptionError(
            f"kind={kind!r} needs cluster=, the name of the column that says who belongs together."
        )
    if kind == "pairs" and cluster is not None:
        raise OptionError(
            "kind='pairs' draws single rows; with cluster= write kind='cluster' (or 'score' for few "
            "clusters)."
        )
    if cluster is not None and not isinstance(cluster, str):
        raise OptionError(f"cluster is the name of a column, not {type(cluster).__name__}.")


def _scheme(kind: str, weights: str | None) -> str:
    """How weights are drawn."""
    allowed = SCHEMES.get(kind, ())
    if weights is None:
        return allowed[0] if allowed else "counts"
    if weights not in allowed:
        raise OptionError(
            f"weights={weights!r} is not for kind={kind!r}; use {' or '.join(map(repr, allowed)) or 'None'}."
        )
    return weights


def _check_reps(reps: Any) -> int:
    if isinstance(reps, bool) or not isinstance(reps, (int, np.integer)) or reps < 2:
        raise OptionError(f"reps={reps!r}: give a whole number of at least 2 replications, such as 999.")
    return int(reps)


@tells_words
def bootstrap(
    estimator: Any,
    data: Any,
    reps: int = 999,
    *,
    kind: str = "pairs",
    cluster: str | None = None,
    statistic: Callable[[Any], Any] | str | Sequence[str] | None = None,
    weights: str | None = None,
    seed: Seed = None,
    n_jobs: int | None = None,
) -> BootstrapResults:
    """Resample the data, fit again, and return the law of a statistic.

    Parameters
    ----------
    estimator : a specification such as ``de.Logit("y ~ x")``, any object with ``fit(data)``, or a function of
        the data that returns a result of this package or another's (with ``.params``), a Series or a dict.
    data : pandas or polars DataFrame, or dict of arrays of one length.
    reps : int, replications; 999 rather than 1,000 puts interval limits on draws.
    kind : {"pairs", "cluster", "exchangeable", "score"}
        Draw rows; draw whole clusters; weigh rows (or clusters) by random weights of mean one; or multiply
        the scores of clusters, which gives tests and intervals of coefficients that hold with few clusters.
    cluster : str or None
        Name of the cluster column, for every kind but pairs.
    statistic : callable, text, texts or None
        From a result to a number, Series, dict, array (q,) or estimates; texts are functions of the
        coefficients, such as ``"educ / age"``; None: the coefficients.
    weights : str or None
        Exchangeable: ``"exponential"`` (default) or ``"multinomial"``; score: ``"webb"`` (default) or
        ``"rademacher"``.
    seed : int, numpy Generator (spawned from, not advanced) or None (drawn, and kept in ``.seed``).
    n_jobs : int or None, joblib workers; the draws are the same whatever their number and backend.

    Returns
    -------
    BootstrapResults

    Raises
    ------
    OptionError
        If a choice is not known, or the kind needs an estimator that offers `Resampling` or `Redrawing`.
    NeedsRows
        If the data are read in parts.
    WithheldError
        If the estimate itself is not finite, or no replication gave one.
    WorkerError
        If a worker dies, or the work cannot be sent to it.

    Warns
    -----
    DisteconometricsWarning
        If replications failed or were interrupted; failures are counted by reason in ``.failures``.

    References
    ----------
    Efron, Tibshirani (1993), An Introduction to the Bootstrap.  Davison, Hinkley (1997), Bootstrap Methods
    and their Application.  Cameron, Gelbach, Miller (2008), doi:10.1162/rest.90.3.414.  Kline, Santos (2012),
    doi:10.1515/2156-6674.1006.

    Examples
    --------
    >>> import disteconometrics as de
    >>> boot = de.bootstrap(de.Logit("affair ~ rate_marriage + age"), de.datasets.fair(), reps=99, seed=1)
    >>> boot.draws.shape, len(boot.failures)
    ((99, 3), 0)
    >>> bool(((boot.bse / boot.result.bse - 1).abs() < 0.3).all())
    True
    """
    check_jobs(n_jobs)
    reps, estimator = _check_reps(reps), as_estimator(estimator)
    if is_source(data):
        raise NeedsRows(f"The bootstrap {READ_IN_PARTS.partition(';')[0]}.")
    _check_kind(kind, cluster)
    scheme, texts, sequence = _scheme(kind, weights), _texts(statistic), seed_sequence(seed)
    result = estimator.fit(data)
    together = _check_groups(result, cluster)
    offer = getattr(estimator, "resampling", None)
    engine: Resampling | Redrawing | None = None if offer is None else offer(result)
    call = _statistic(statistic, texts)
    names, estimate = named_values(call(result))
    _check_finite(names, estimate)
    _check_offer(engine, kind)
    plan, positions = _plan(engine, data, sequence, scheme, cluster, together is not None)
    redrawing = engine if isinstance(engine, Redrawing) else None
    solving = None if isinstance(engine, Redrawing) else engine
    if kind == "score":
        drawn = _perturbed(solving, result, plan, reps, estimate, statistic)
    else:
        fast = None if callable(statistic) or solving is None or not solving.direct else solving
        _check_refits(estimator, kind, fast or redrawing)
        named = cluster is None or (cluster in _formula(estimator) and cluster != together)
        renamed = None if named else cluster
        weighted = (None, None) if engine is None else engine.weights
        of_params = not callable(statistic)
        task = _Task(
            estimator,
            data,
            plan,
            call,
            names,
            texts,
            of_params,
            fast,
            redrawing,
            positions,
            renamed,
            weighted,
        )
        drawn = _resampled(task, reps, n_jobs)
    boot = BootstrapResults(
        result=result,
        kind=kind,
        scheme=scheme,
        names=names,
        values=estimate,
        draws=pd.DataFrame(drawn.values, columns=list(names)),
        reasons=drawn.reasons,
        cluster=cluster,
        units=plan.units,
        seed=reported_seed(sequence),
        leave_out=drawn.leave_out,
        score_tests=drawn.score_tests,
    )
    _warn_of_failures(boot, reps)
    return boot


class _Drawn(NamedTuple):
    """Draws (R, q) of the statistic, why some failed (R,), and what limits need beyond them."""

    values: Array
    reasons: tuple[str, ...]
    leave_out: LeaveOut | str
    score_tests: ScoreTests | None = None


def _texts(statistic: Any) -> tuple[str, ...] | None:
    """The functions of the coefficients that are asked for, if any."""
    if statistic is None or callable(statistic):
        return None
    return (statistic,) if isinstance(statistic, str) else tuple(statistic)


def _statistic(statistic: Any, texts: tuple[str, ...] | None) -> Callable[[Any], Any]:
    if statistic is None:
        return _coefficients
    if texts is None:
        call: Callable[[Any], Any] = statistic
        return call

    def functions(result: Any) -> dict[str, float]:
        names, values = named_values(result.params)
        return {t: evaluate(t, names, values).value for t in texts}

    return functions


def _check_finite(names: Sequence[str], estimate: Array) -> None:
    bad = [n for n, v in zip(names, estimate, strict=True) if not np.isfinite(v)]
    if bad:
        raise WithheldError(
            f"The estimate itself is not finite ({', '.join(bad)}), so there is nothing to resample around; "
            "name what is finite by statistic=, a function of a result."
        )


def _check_offer(engine: Resampling | Redrawing | None, kind: str) -> None:
    without = engine is None or (kind == "score" and isinstance(engine, Redrawing))
    if without and kind in ("exchangeable", "score"):
        raise OptionError(
            f"kind={kind!r} needs an estimator that offers its scores; use 'pairs' or 'cluster'."
        )


def _formula(estimator: Any) -> str:
    return str(getattr(estimator, "formula", ""))


def _check_groups(result: Any, cluster: str | None) -> str | None:
    """The column whose rows belong together in a likelihood, which has to be what is drawn."""
    together: str | None = getattr(result, "rows_together", None)
    if together is not None and cluster != together:
        raise OptionError(
            f"The rows of one {together} belong together: use kind='cluster', cluster={together!r}."
        )
    return together


def _check_refits(estimator: Any, kind: str, fast: Resampling | Redrawing | None) -> None:
    """Refuse what cannot be fitted draw by draw, unless draws are weights on the rows of the fit."""
    if fast is not None:
        return
    if kind == "exchangeable":
        raise OptionError(
            "kind='exchangeable' needs coefficients of an estimator that takes weights on its rows; use "
            "kind='pairs'."
        )
    if "lag(" in _formula(estimator):
        raise OptionError(
            "Resampled rows have no order, so a lag cannot be taken again; add it as a column of the data."
        )


def _plan(
    engine: Resampling | Redrawing | None,
    data: Any,
    sequence: np.random.SeedSequence,
    scheme: str,
    cluster: str | None,
    together: bool,
) -> tuple[ResamplingPlan, Indices]:
    """What is drawn, and where the rows are in the table; of units drawn whole, those that have a name."""
    positions = np.arange(_row_count(data)) if engine is None else engine.positions
    if together and engine is None:
        positions = np.flatnonzero(~pd.isna(np.asarray(data[cluster], dtype=object)))
    n = len(positions)
    if cluster is None:
        weight_type, w = (None, None) if engine is None else engine.weights
        return ResamplingPlan(
            sequence, scheme, n, n, None, w if weight_type == "frequency" else None
        ), positions
    codes, units = _cluster_codes(data, cluster, positions) if engine is None else engine.codes([cluster])
    if units < 2:
        raise OptionError(
            f"The cluster column {cluster!r} has a single value; at least two clusters are needed."
        )
    return ResamplingPlan(sequence, scheme, units, n, codes), positions


def _row_count(data: Any) -> int:
    return len(next(iter(data.values()))) if isinstance(data, dict) else len(data)


def _cluster_codes(data: Any, cluster: str, positions: Indices) -> tuple[Indices, int]:
    column = pd.Series(np.asarray(data[cluster])[positions])
    missing = int(column.isna().sum())
    if missing:
        raise OptionError(f"The cluster column {cluster!r} has {missing} missing values; fill them.")
    codes, levels = pd.factorize(column)
    return codes, len(levels)


def _resampled(task: _Task, reps: int, n_jobs: int | None) -> _Drawn:
    """Draws of rows, clusters or weights."""
    values, reasons = _run(task, reps, n_jobs)
    return _Drawn(values, tuple(reasons), _leave_out(task, n_jobs))


def _run(task: _Task, reps: int, n_jobs: int | None) -> tuple[Array, list[str]]:
    """All replications, or those that were done when the user interrupted."""
    chunk = task.plan.chunk
    size = chunk if task.engine is not None else min(chunk, REFITS)
    edges = [i + j for i in range(0, reps, chunk) for j in range(0, min(chunk, reps - i), size)] + [reps]
    parts = list(pairwise(edges))
    values: list[Array] = []
    reasons: list[str] = []
    try:
        for v, r in _results(task.part, parts, n_jobs, task, "replications"):
            values.append(v)
            reasons.extend(r)
            if len(reasons) >= HOPELESS and all(reasons):
                break
    except KeyboardInterrupt:
        if not values:
            raise
    return np.concatenate(values), reasons


def _warn_of_failures(boot: BootstrapResults, wanted: int) -> None:
    """Say which replications failed or were not done, or refuse if none succeeded."""
    failed, done = sum(map(bool, boot.reasons)), len(boot.draws)
    if failed == done:
        raise WithheldError(f"All {failed} replications failed: {boot.failures.to_dict()}.")
    if done < wanted:
        text = f"Interrupted: {done} of {wanted} replications are done and kept."
        warn_user(DisteconometricsWarning(text, hint="run again for the rest"))
    if failed:
        what = "; ".join(f"{reason}: {count}" for reason, count in boot.failures.items())
        text = (
            f"{failed} of {done} replications failed ({what}); standard errors and "
            f"intervals are from the others."
        )
        warn_user(
            DisteconometricsWarning(text, hint="use kind='exchangeable', whose weights leave no row out")
        )


def _leave_out(task: _Task, n_jobs: int | None) -> LeaveOut | str:
    """How to get what every unit does to the statistic, for BCa limits; or why there is none."""
    plan = task.plan
    if plan.scheme in SCHEMES["exchangeable"]:
        return (
            "acceleration is a leave-one-out quantity of drawn units, and random weights leave none "
            "out; use 'percentile'"
        )
    if task.weights[0] == "sampling":
        return "no second-order theory without the sampling design of the weights; use 'percentile'"
    if task.engine is not None:
        return _OneStep(task.engine, plan, task.texts)
    if plan.copies is not None:
        return (
            "leaving out one of several identical rows needs coefficients as the statistic; use 'percentile'"
        )
    return _Refits(task, n_jobs)


@dataclass(frozen=True, eq=False)
class _OneStep:
    """One Newton step from the estimate when a unit is left out, with its leverage."""

    engine: Resampling
    plan: ResamplingPlan
    texts: tuple[str, ...] | None

    def __call__(self, groups: bool) -> tuple[Array, Array]:
        """Changes (m, q) that a unit makes, and how often it counts (m,); one step costs no groups."""
        e, plan = self.engine.equation, self.plan
        if plan.codes is None:
            deltas, copies = _without_rows(e)
        else:
            sums, _ = group_sums(e, plan.codes, plan.units)
            deltas, copies = leave_one_out(e, plan.codes, plan.units, sums), np.ones(plan.units)
        changes = deltas @ e.root.T
        if self.texts is not None:
            gradients = np.array([evaluate(t, self.engine.names, e.params).gradient for t in self.texts])
            changes = changes @ gradients.T
        return changes, copies


def _without_rows(e: MEstimate) -> tuple[Array, Array]:
    """Steps (n, k) when a row is left out, in identity-information coordinates, and the rows' copies (n,)."""
    steps, copies = [], []
    for part in e.source():
        h = np.square(part.roots @ e.inner).sum(axis=1)
        steps.append(part.scores @ e.inner / np.maximum(1 - h, 1e-10)[:, None])
        copies.append(or_ones(part.copies, len(h)))
    return np.concatenate(steps), np.concatenate(copies)


@dataclass(frozen=True, eq=False)
class _Refits:
    """A fit without each unit in turn, or without each of random groups of units."""

    task: _Task
    n_jobs: int | None

    def one(self, groups: Indices, g: int, _: int) -> Array:
        """The statistic (q,) without the units of group g of ``groups`` (units,)."""
        plan = self.task.plan
        units = np.arange(plan.rows) if plan.codes is None else plan.codes
        values, reason = self.task.attempt(partial(self._without, groups[units] != g))
        if reason:
            what = "unit" if len(groups) == groups.max() + 1 else "group"
            raise WithheldError(
                f"No BCa limits: without {what} {g} there is no estimate ({reason}); use method='percentile'."
            )
        return values

    def _without(self, kept: Mask) -> Any:
        """The fit to some of the rows."""
        task = self.task
        if task.redrawing is None:
            return task.estimator.fit(take_rows(task.data, task.positions[kept]))
        once, w = kept.astype(np.float64), task.weights[1]
        return task.redraw(task.redrawing, once if w is None else once * w, once, drawn=False)

    def __call__(self, groups: bool) -> tuple[Array, Array]:
        """Changes (m, q) that a unit or group makes, and how often it counts (m,).

        Raises
        ------
        WithheldError
            If there are too many units to leave out each.
        """
        units = self.task.plan.units
        of = np.arange(units)
        if groups and units > GROUPS:  # in random order: rows of a table may be sorted
            of = np.random.default_rng(0).permutation(of) % GROUPS
        elif units > MOST_REFITS:
            raise WithheldError(
                f"The acceleration of this statistic needs {units:,} more fits; use jackknife='groups', "
                f"which needs {GROUPS}, or method='percentile'."
            )
        left_out = [(g, g + 1) for g in range(int(of.max()) + 1)]
        title = "BCa: leave-one-out fits" + ("" if groups else ", jackknife='groups' makes 200")
        one = partial(self.one, of)
        found = _results(one, left_out, self.n_jobs, self.task, "the fits without units", title)
        values = np.array(list(found))
        return values.mean(axis=0) - values, np.ones(len(values))


def _perturbed(
    engine: Resampling | None, result: Any, plan: ResamplingPlan, reps: int, estimate: Array, statistic: Any
) -> _Drawn:
    """One-step estimates under multipliers on the scores of clusters."""
    if engine is None or statistic is not None or getattr(result.model, "penalty", None) is not None:
        raise OptionError(
            "kind='score' tests coefficients of an estimator by maximum likelihood; leave statistic= out."
        )
    if engine.weights[0] == "sampling":
        raise WithheldError(
            "The score bootstrap has no theory under sampling weights here; use kind='cluster'."
        )
    chunks = -(-reps // plan.chunk)
    multipliers = np.concatenate([plan.draw(i) for i in range(chunks)])[:reps]
    assert plan.codes is not None
    tests = ScoreTests(engine.restricted, plan.codes, multipliers, engine.equation, estimate)
    words = "scores are perturbed, nothing is left out; use method='score'"
    return _Drawn(tests.perturbed(), ("",) * reps, words, tests)
