"""Training a flow by name: what a specification says of it, the rows as it meets them, how it ended.

One code for one outcome and several, with covariates and without: rows are standardised, the module is built
from the recipe, trained, and kept as a flow of numpy functions, of which laws are made.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Seed, as_floats, or_ones
from disteconometrics.blocks import each_row
from disteconometrics.checks import check_far
from disteconometrics.data.joint_design import JointSpec
from disteconometrics.distributions.support import Support
from disteconometrics.errors import OptionError, OutcomeError
from disteconometrics.estimators.flow.row_checks import (
    check_blocks,
    check_columns,
    check_rows,
    check_support,
    covariate_names,
    ties,
    warn_ties,
)
from disteconometrics.estimators.results import FitFacts
from disteconometrics.estimators.rows import JointFitRows
from disteconometrics.estimators.streamed_rows import Look, RowArrays, StreamedRows, open_rows
from disteconometrics.estimators.training_report import (
    NATS,
    Ended,
    describe_trainer,
    history_table,
    warn_of_training,
)
from disteconometrics.fields import AnyFloat, Count, SavedSeed
from disteconometrics.flows.fitted import FittedFlow
from disteconometrics.flows.recipes import (
    AffineMap,
    Autoregressive,
    Chain,
    Coupling,
    Planar,
    chain_of,
    is_mixture,
)
from disteconometrics.flows.training import TrainingRows, WindowRows, train_flow
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.optim.minibatch import LBFGS, MOST_SPREADS, AdamW, Trainer

__all__ = ["TrainedFacts", "TrainedFit", "Training", "train_on_rows"]

FRESH = 512  # rows in a step from a sampler
FIRST = 10_000  # rows of a sampler by which outcomes are standardised and the fit is described
SAMPLER_ROWS = 8_192  # rows of a sampler drawn at once
MANY = 4_000  # rows above which "auto" trains in batches
LARGE = 2_048  # rows in a batch of a source where no net is trained


@dataclass(frozen=True, kw_only=True)
class TrainedFacts(FitFacts):
    """Numbers of a training that need no rows; ``loglik`` is in the outcomes' units."""

    outcomes: tuple[str, ...]
    parameters: Count
    trainer: str
    ended: Ended
    best: Count
    steps: Count
    skipped: Count
    validation: AnyFloat
    seconds: float
    seed: SavedSeed
    fresh: Count = 0
    shared: tuple[str, ...] = ()
    functionals: dict[str, AnyFloat] = field(default_factory=dict)
    readings: Count = 0  # of a source in parts


@dataclass(frozen=True)
class Training:
    """What a specification says of a training: maps, law of the noise, trainer (None: "auto"), support."""

    chain: Chain
    base: str
    trainer: Trainer | None
    domain: Support

    @classmethod
    def of(cls, model: Any) -> Training:
        """Read a specification; a mixture's noise is logistic where that is left open."""
        chain = chain_of(model.flow)
        usual = "logistic" if is_mixture(chain) else "normal"
        base = usual if model.base == "auto" else model.base
        return cls(chain, base, model.train if isinstance(model.train, Trainer) else None, model.domain)

    def how(self, n: int, outcomes: int, covariates: int, *, in_parts: bool = False) -> Trainer:
        """The trainer for n rows of so many outcomes and covariates; in parts it must be one by batches.

        Raises
        ------
        OptionError
        """
        found = self._how(n, outcomes, covariates)
        if not in_parts or found.batch is not None:
            return found
        if self.trainer is None:
            return AdamW(lr=0.02, steps=3_000, batch=LARGE, weight_decay=0.0, validation=0.2)
        raise OptionError(
            f"train={type(found).__name__}(…) without a batch takes all rows at every step, and data is read "
            f"in parts: name one, as de.AdamW(batch={LARGE}), or leave train out."
        )

    def _how(self, n: int, outcomes: int, covariates: int) -> Trainer:
        if self.trainer is not None:
            return self.trainer
        nets = _uses_nets(self.chain, outcomes, covariates)
        if all(isinstance(m, (AffineMap, Planar)) for m in self.chain.maps) and not nets:
            return LBFGS()
        if not nets:
            return AdamW(lr=0.02, steps=1_000, weight_decay=0.0)
        steps, batch = (1_500, 256) if n <= MANY else (3_000, 512)
        return AdamW(lr=5e-3, steps=steps, batch=batch, validation=0.2, patience=600)

    def on_line(self, rows: JointFitRows) -> tuple[TrainingRows, float]:
        """Rows with their outcomes brought to the line, and the mean log slope of that map."""
        w = rows.scaled_weights
        slope = float(np.average(self.domain.log_slope(rows.Y).sum(axis=1), weights=w))
        return _to_line(self.domain, RowArrays(rows.Y, rows.covariates, w)), slope

    def begin(self, rows: TrainingRows, seed: int) -> FittedFlow:
        """The flow before its training, with rows standardised."""
        covariates = _standard(rows.X, rows.weights) if rows.X.shape[1] else (np.zeros(0), np.ones(0))
        return FittedFlow.begin(self.chain, self.base, *_standard(rows.Y, rows.weights), *covariates, seed)

    def loglik(self, flow: FittedFlow, rows: JointFitRows | StreamedRows) -> float:
        """Log-likelihood of rows, summed over observations, in the outcomes' units."""
        if isinstance(rows, StreamedRows):
            return float(sum(rows.by_part(partial(_loglik_of_part, flow, self.domain))))
        data, slope = self.on_line(rows)
        contributions = flow.logpdf(data.Y, data.X if data.X.shape[1] else np.zeros((1, 0)))
        w = or_ones(data.weights, len(data.Y))
        return float(w @ contributions) + slope * float(w.sum())

    def refitted(self, rows: JointFitRows, take: Indices, seed: int) -> FittedFlow:
        """The flow trained anew on some of the rows, in the way in which it was trained on all of them.

        Parameters
        ----------
        rows : JointFitRows.
        take : (m,) positions among the rows.
        seed : int.
        """
        data, _ = self.on_line(rows)
        own = TrainingRows(data.Y[take], data.X[take], None if data.weights is None else data.weights[take])
        how = self.how(rows.size, data.Y.shape[1], data.X.shape[1])
        how = replace(how, snapshots=(), callback=None)
        return train_flow(self.begin(own, seed), own, how, seed, progress=False)[0]


def _uses_nets(chain: Chain, outcomes: int, covariates: int) -> bool:
    """Whether a net moves parameters with something."""
    between = any(isinstance(m, (Autoregressive, Coupling)) for m in chain.maps) and outcomes > 1
    return between or (covariates > 0 and any(getattr(m, "hidden", ()) for m in chain.maps))


def _standard(values: Array, weights: Array | None) -> tuple[Array, Array]:
    mean = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average(np.square(values - mean), axis=0, weights=weights))
    return mean, np.where(spread > 0, spread, 1.0)


def _check(chain: Chain, outcomes: int, has_support: bool) -> None:
    if outcomes == 1 and any(isinstance(m, Coupling) for m in chain.maps):
        raise OptionError(
            "Coupling maps one half of the outcomes given the other, and there is one outcome: use "
            "de.RQS(…), "
            "de.Autoregressive(…) or de.Planar(…)."
        )
    if outcomes > 1 and has_support:
        raise OptionError("support= is for one outcome; write log(y1) + log(y2) ~ 1 for positive ones.")


def _check_rows(rows: JointFitRows, domain: Support) -> tuple[str, ...]:
    """Check rows, warn of shared values, and return what is told of them.

    Raises
    ------
    DataError, OutcomeError, CollinearityError, FormulaError
    """
    spec, Y = rows.spec, rows.Y
    told = _check_outcomes(spec, Y, rows.weights if rows.frequency else None, domain, len(Y))
    check_far(np.column_stack([domain.to_line(Y), rows.X]), [*spec.outcomes, *spec.names], MOST_SPREADS)
    check_columns(rows.X, Y[:, 0], spec.names, "Intercept" in spec.names)
    _check_dependent(Y, spec)
    return told


def _check_look(rows: StreamedRows, look: Look, domain: Support) -> tuple[str, ...]:
    """The same by what a reading saw: moments and ends of all rows, and some of them."""
    spec, Y, X = rows.spec, look.seen.Y, look.seen.X
    if len(look.outside):
        check_support(look.outside, domain, spec.outcomes[0])
    told = _check_outcomes(spec, Y, look.seen.weights if rows.frequency else None, domain, rows.size)
    covariates = covariate_names(spec.names)
    seen = np.vstack([np.column_stack([domain.to_line(Y), X]), look.low, look.high])
    check_far(seen, [*spec.outcomes, *covariates], MOST_SPREADS)
    has_intercept = "Intercept" in spec.names
    order = [0 if name == "Intercept" else 1 + covariates.index(name) for name in spec.names]
    gram = look.gram[np.ix_(order, order)]
    blocks = each_row(rows.design.blocks())
    check_blocks(blocks, gram, spec.names, has_intercept, rows.size)
    _check_dependent(Y, spec)
    return told


def _check_outcomes(
    spec: JointSpec, Y: Array, counts: Array | None, domain: Support, n: int
) -> tuple[str, ...]:
    """Check outcomes (m, d) of n rows, or of some of these; warn of shared values, and tell of them."""
    told = []
    for j, name in enumerate(spec.outcomes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_rows(Y[:, j], None, len(covariate_names(spec.names)), name)
        check_support(Y[:, j], domain, name)
        shared = ties(Y[:, j], counts)
        if shared is not None:
            warn_ties(shared, name, float(n))
            told.append(shared.words(name, float(n)))
    return tuple(told)


def _check_dependent(Y: Array, spec: JointSpec) -> None:
    """Refuse outcomes that lie in a plane."""
    if Y.shape[1] > 1:
        Z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
        if np.linalg.svd(Z, compute_uv=False)[-1] < 1e-8 * np.sqrt(len(Z)):
            raise OutcomeError(
                f"The outcomes {' and '.join(spec.outcomes)} are linearly dependent and have no joint "
                f"density: leave one out."
            )


def _to_line(domain: Support, rows: RowArrays) -> TrainingRows:
    """Rows with their outcomes brought to the line."""
    return TrainingRows(as_floats(domain.to_line(rows.Y)), rows.X, rows.weights)


def _loglik_of_part(flow: FittedFlow, domain: Support, pieces: Iterator[RowArrays]) -> float:
    """Log-likelihood of the rows of a part."""
    total = 0.0
    for rows in pieces:
        data = _to_line(domain, rows)
        contributions = flow.logpdf(data.Y, data.X) + domain.log_slope(rows.Y).sum(axis=1)
        total += float(or_ones(rows.weights, len(rows.Y)) @ contributions)
    return total


def _blocks(
    domain: Support, spec: JointSpec, sampler: Any, rng: np.random.Generator, how: Trainer
) -> Iterator[TrainingRows]:
    """Endless blocks of new rows, a whole number of steps each."""
    if how.validation or isinstance(how, LBFGS):
        raise OptionError(
            "A sampler gives fresh rows at every step: Adam or AdamW without validation is what trains "
            "on them."
        )
    size = how.batch or FRESH
    many = size * max(1, SAMPLER_ROWS // size)

    def one() -> TrainingRows:
        table = sampler(rng, n=many)
        Y = spec.outcome_values(table).reshape(many, -1)
        return TrainingRows(domain.to_line(Y), spec.without_constant(spec.matrix(table).X))

    return iter(one, None)


class TrainedFit(NamedTuple):
    """A trained flow: its facts, history, states kept by step, and rows."""

    flow: FittedFlow
    facts: TrainedFacts
    history: pd.DataFrame
    kept: dict[int, FittedFlow]
    rows: JointFitRows | StreamedRows


def train_on_rows(model: Any, data: Any, seed: Seed, n_jobs: int | None = None) -> TrainedFit:
    """Train the flow that a specification names on a table, a source, or on fresh rows of a sampler.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError, NeedsRows

    Warns
    -----
    ConvergenceWarning, DiscreteOutcomeWarning
    """
    training = Training.of(model)
    streams = seed_sequence(seed)
    start, order, draws = (int(s) for s in streams.generate_state(3))
    fresh = callable(data) and not hasattr(data, "columns")
    rng = np.random.default_rng(draws)
    read = JointFitRows.read(model, data(rng, n=FIRST)) if fresh else open_rows(model, data, n_jobs)
    _check(training.chain, len(read.spec.outcomes), model.support is not None)
    if isinstance(read, StreamedRows):
        ready = _of_source(training, read, start, order)
    else:
        ready = _of_table(training, read, start)
    how = ready.how
    size = how.batch or FRESH
    blocks = _blocks(training.domain, read.spec, data, rng, how) if fresh else None
    found, trained, kept, seconds = train_flow(ready.begun, ready.rows, how, order, blocks=blocks, size=size)
    history = history_table(trained)
    history[["loss", "validation"]] += float(np.log(found.scale).sum()) - ready.slope
    ended = warn_of_training(trained, how, NATS)
    loglik = training.loglik(found, read)
    facts = TrainedFacts(
        **read.facts(),
        trainer=describe_trainer(how),
        ended=ended,
        best=trained.best,
        steps=trained.steps,
        skipped=len(trained.skipped),
        outcomes=read.spec.outcomes,
        observations=read.observations,
        loglik=loglik,
        parameters=found.size,
        validation=float(history["validation"].min()) if how.validation else float("nan"),
        seconds=seconds,
        seed=streams.entropy if isinstance(streams.entropy, int) else None,
        fresh=size if fresh else 0,
        shared=ready.told,
        readings=read.readings if isinstance(read, StreamedRows) else 0,
    )
    rows = read.end(ready.seen) if isinstance(read, StreamedRows) else read
    return TrainedFit(found, facts, history, kept, rows)


class _Ready(NamedTuple):
    """What a training begins with; ``seen`` are some rows of a source."""

    told: tuple[str, ...]
    rows: TrainingRows | WindowRows
    how: Trainer
    begun: FittedFlow
    slope: float
    seen: Any = None


def _of_table(training: Training, read: JointFitRows, start: int) -> _Ready:
    told = _check_rows(read, training.domain)
    rows, slope = training.on_line(read)
    how = training.how(read.size, read.Y.shape[1], rows.X.shape[1])
    return _Ready(told, rows, how, training.begin(rows, start), slope)


def _of_source(training: Training, read: StreamedRows, start: int, order: int) -> _Ready:
    """The same of a source, after a second reading of it."""
    d, c = len(read.spec.outcomes), len(covariate_names(read.spec.names))
    how = training.how(read.size, d, c, in_parts=True)
    share, windows = read.share_apart(how.validation), read.windows(how.batch or LARGE)
    look = read.look(training.domain, share, order)
    told = _check_look(read, look, training.domain)

    def window(epoch: int, number: int) -> Iterator[TrainingRows]:
        for piece in read.window(windows, share, order, epoch, number):
            yield _to_line(training.domain, piece)

    apart = None if look.apart is None else _to_line(training.domain, look.apart)
    standard = look.mean[:d], look.spread[:d], look.mean[d:], look.spread[d:]
    begun = FittedFlow.begin(training.chain, training.base, *standard, start)
    return _Ready(told, WindowRows(window, windows, apart), how, begun, look.slope, look.seen)
