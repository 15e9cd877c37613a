"""Training a flow by name: what a specification says of it, the rows as it meets them, how it ended.

One code for one outcome and several, with covariates and without: rows are standardised, the module is built
from the recipe, trained, and kept as a flow of numpy functions, of which laws are made.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from disteconometrics.arrays import Array, Indices, Seed, as_floats, or_ones
from disteconometrics.checks import check_far
from disteconometrics.data.joint_design import JointSpec
from disteconometrics.distributions.support import Support
from disteconometrics.errors import OptionError, OutcomeError
from disteconometrics.estimators.flow.row_checks import (
    check_columns,
    check_rows,
    check_support,
    ties,
    warn_ties,
)
from disteconometrics.estimators.results import FitFacts
from disteconometrics.estimators.rows import JointFitRows
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
from disteconometrics.flows.training import TrainingRows, train_flow
from disteconometrics.inference.resample import seed_sequence
from disteconometrics.optim.minibatch import LBFGS, MOST_SPREADS, AdamW, Trainer

__all__ = ["TrainedFacts", "TrainedFit", "Training", "train_on_rows"]

FRESH = 512  # rows in a step from a sampler
FIRST = 10_000  # rows of a sampler by which outcomes are standardised and the fit is described
SAMPLER_ROWS = 8_192  # rows of a sampler drawn at once
MANY = 4_000  # rows above which "auto" trains in batches


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

    def how(self, n: int, outcomes: int, covariates: int) -> Trainer:
        """The trainer for n rows of so many outcomes and covariates."""
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
        return TrainingRows(as_floats(self.domain.to_line(rows.Y)), rows.covariates, w), slope

    def begin(self, rows: TrainingRows, seed: int) -> FittedFlow:
        """The flow before its training, with rows standardised."""
        covariates = _standard(rows.X, rows.weights) if rows.X.shape[1] else (np.zeros(0), np.ones(0))
        return FittedFlow.begin(self.chain, self.base, *_standard(rows.Y, rows.weights), *covariates, seed)

    def loglik(self, flow: FittedFlow, rows: JointFitRows) -> float:
        """Log-likelihood of rows, summed over observations, in the outcomes' units."""
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
    told = []
    for j, name in enumerate(spec.outcomes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_rows(Y[:, j], None, rows.covariates.shape[1], name)
        check_support(Y[:, j], domain, name)
        shared = ties(Y[:, j], rows.weights if rows.frequency else None)
        if shared is not None:
            warn_ties(shared, name, float(len(Y)))
            told.append(shared.words(name, float(len(Y))))
    check_far(np.column_stack([domain.to_line(Y), rows.X]), [*spec.outcomes, *spec.names], MOST_SPREADS)
    check_columns(rows.X, Y[:, 0], spec.names, "Intercept" in spec.names)
    if Y.shape[1] > 1:
        Z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
        if np.linalg.svd(Z, compute_uv=False)[-1] < 1e-8 * np.sqrt(len(Z)):
            raise OutcomeError(
                f"The outcomes {' and '.join(spec.outcomes)} are linearly dependent and have no joint "
                f"density: leave one out."
            )
    return tuple(told)


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
    rows: JointFitRows


def train_on_rows(model: Any, data: Any, seed: Seed) -> TrainedFit:
    """Train the flow that a specification names on a table, or on fresh rows of a sampler.

    Raises
    ------
    DataError, FormulaError, OptionError, OutcomeError, CollinearityError

    Warns
    -----
    ConvergenceWarning, DiscreteOutcomeWarning
    """
    training = Training.of(model)
    streams = seed_sequence(seed)
    start, order, draws = (int(s) for s in streams.generate_state(3))
    fresh = callable(data) and not hasattr(data, "columns")
    rng = np.random.default_rng(draws)
    read = JointFitRows.read(model, data(rng, n=FIRST) if fresh else data)
    outcomes = read.Y.shape[1]
    _check(training.chain, outcomes, model.support is not None)
    told = _check_rows(read, training.domain)
    rows, slope = training.on_line(read)
    how = training.how(read.size, outcomes, rows.X.shape[1])
    size = how.batch or FRESH
    blocks = _blocks(training.domain, read.spec, data, rng, how) if fresh else None
    begun = training.begin(rows, start)
    found, trained, kept, seconds = train_flow(begun, rows, how, order, blocks=blocks, size=size)
    history = history_table(trained)
    history[["loss", "validation"]] += float(np.log(found.scale).sum()) - slope
    ended = warn_of_training(trained, how, NATS)
    facts = TrainedFacts(
        **read.facts(),
        trainer=describe_trainer(how),
        ended=ended,
        best=trained.best,
        steps=trained.steps,
        skipped=len(trained.skipped),
        outcomes=read.spec.outcomes,
        observations=read.observations,
        loglik=training.loglik(found, read),
        parameters=found.size,
        validation=float(history["validation"].min()) if how.validation else float("nan"),
        seconds=seconds,
        seed=streams.entropy if isinstance(streams.entropy, int) else None,
        fresh=size if fresh else 0,
        shared=told,
    )
    return TrainedFit(found, facts, history, kept, read)
