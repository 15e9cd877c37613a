"""Nets of transport densities, found by training: from noise to outcomes, from covariates to quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from disteconometrics.arrays import Array, Indices
from disteconometrics.distributions.empirical import Empirical
from disteconometrics.distributions.pushed import PushedRows
from disteconometrics.distributions.scores import crps
from disteconometrics.errors import OptionError
from disteconometrics.estimators.training_report import describe_trainer, history_table, warn_of_training
from disteconometrics.estimators.transport.density_maps import (
    ConditionalQuantiles,
    DensityMap,
    NoiseMap,
    moments_of,
)
from disteconometrics.flows.recipes import MLP
from disteconometrics.optim.minibatch import Trained, Trainer
from disteconometrics.transport import discrete, one_dim
from disteconometrics.transport.losses import Loss, Sinkhorn
from disteconometrics.transport.samples import unit_beyond

if TYPE_CHECKING:
    from disteconometrics.flows.pushforward import Pushforward

__all__ = ["FRESH", "Found", "TrainingPlan", "fit_noise_map", "fit_quantile_net"]

FRESH = 512  # draws in a step where the trainer leaves it open
HELD_OUT_SHARE = 0.2  # share of the rows kept from the training of a net
FEWEST = 20  # rows held out, below which no distance to them is reported
COMPARED = 1_000  # rows in exact distances of joint outcomes
TRAINABLE = 1e-2, 1e6  # standard deviations in whose units gradients suit Adam: others are divided out


class TrainingPlan(NamedTuple):
    """How a net is found: recipe, loss, trainer, seeds of first parameters and of the order of rows."""

    recipe: MLP
    loss: Loss
    trainer: Trainer
    start: int
    order: int


class Found(NamedTuple):
    """What a fit found: the map, what facts say of it, and the history of its training."""

    map: DensityMap
    facts: dict[str, Any]
    history: pd.DataFrame


def _split(n: int, seed: int) -> tuple[Indices, Indices]:
    """Rows held out, and the rest, in a random order."""
    place = np.random.default_rng(seed).permutation(n)
    return place[: int(HELD_OUT_SHARE * n)], place[int(HELD_OUT_SHARE * n) :]


def _training_facts(how: Trainer, trained: Trained, seconds: float, parameters: int) -> dict[str, Any]:
    """Warn of a training that did not end as it was told to; how it went."""
    ended = warn_of_training(trained, how)
    return {
        "trainer": describe_trainer(how),
        "ended": ended,
        "steps": trained.steps,
        "best": trained.best,
        "seconds": seconds,
        "parameters": parameters,
    }


def fit_quantile_net(y: Array, X: Array, weights: Array | None, plan: TrainingPlan) -> Found:
    """Train a net from covariates to quantile functions, and score it on rows held out.

    Parameters
    ----------
    y, X, weights : (n,), (n, c) float64 arrays, and (n,) or None.
    plan : Plan; the loss is the ranked probability score, whatever the plan says.
    """
    from disteconometrics.flows.quantile_net import QuantileNet, train_quantiles

    held, rest = _split(len(y), plan.order)
    apart, own = (None, None) if weights is None else (weights[held], weights[rest])
    begun = QuantileNet.begin(plan.recipe, y[rest], X[rest], plan.start)
    net, trained, seconds = train_quantiles(begun, y[rest], X[rest], own, plan.trainer, plan.order)
    laws = PushedRows(*net.curve(X[held])), Empirical(y[rest], own)
    scores = [float(np.average(crps(law, y[held]), weights=apart)) for law in laws]
    facts = _training_facts(plan.trainer, trained, seconds, net.size)
    facts |= {"loss": "ranked probability", "crps": scores[0], "crps_without_covariates": scores[1]}
    return Found(ConditionalQuantiles.of_rows(net, X, weights), facts, history_table(trained))


def fit_noise_map(
    Y: Array, weights: Array | None, blocks: Iterator[Array] | None, plan: TrainingPlan
) -> Found:
    """Train a net from noise to outcomes, and compare its draws with rows held out.

    Parameters
    ----------
    Y, weights : (n, d) float64 array, and (n,) or None.
    blocks : iterator of rows that are met in place of batches of ``Y``, or None; none is then held out.
    plan : Plan.

    Raises
    ------
    OptionError
        If fresh rows are to be held out.
    """
    from disteconometrics.flows.pushforward import Pushforward, train_pushforward
    from disteconometrics.transport.torch_losses import loss_of

    how, fresh = plan.trainer, blocks is not None
    if fresh and how.validation:
        raise OptionError("A sampler gives fresh rows at every step: train without validation.")
    location, scale = moments_of(Y, weights)
    unit: float | Array = scale if Y.shape[1] > 1 else unit_beyond(float(scale[0]), *TRAINABLE)
    held, rest = _split(len(Y), plan.order)
    if fresh:
        held, rest = held[:0], np.concatenate([held, rest])
    size = how.batch or (FRESH if fresh else len(rest))
    net, trained, seconds = train_pushforward(
        Pushforward.begin(plan.recipe, location, scale, plan.start),
        Y[rest],
        how,
        lambda rng: loss_of(_in_units(plan.loss, unit), rng),
        plan.order,
        unit=unit,
        blocks=blocks,
        size=size,
    )
    facts = _training_facts(how, trained, seconds, net.size)
    facts |= {"loss": _loss_words(plan.loss), "fresh": size if fresh and weights is None else 0}
    if len(held) >= FEWEST:
        facts |= _distances(net, Y[rest], Y[held], np.random.default_rng(plan.order))
    history = history_table(trained)
    if isinstance(unit, float):  # the loss of one outcome is told in its own units
        history[["loss", "validation"]] *= unit**plan.loss.p
    return Found(NoiseMap(net), facts, history)


def _in_units(loss: Loss, unit: float | Array) -> Loss:
    """The loss of one outcome that is divided by a unit."""
    if isinstance(loss, Sinkhorn) and isinstance(unit, float):
        return replace(loss, blur=loss.blur / unit)
    return loss


def _loss_words(loss: Loss) -> str:
    return f"{type(loss).__name__}({f'blur={loss.blur:g}' if isinstance(loss, Sinkhorn) else ''})"


def _distances(net: Pushforward, rest: Array, held: Array, rng: np.random.Generator) -> dict[str, float]:
    """Distances to rows held out, and how near draws lie to training rows against rows held out."""
    m = min(len(held), len(rest), COMPARED if held.shape[1] > 1 else len(held))
    held = held[:m]
    own = rest[rng.permutation(len(rest))[:m]]
    drawn = net.push(rng.normal(size=(m, net.noise)))
    if held.shape[1] == 1:
        near = [one_dim.wasserstein(a[:, 0], held[:, 0], 2).distance for a in (drawn, own)]
    else:
        near = [discrete.wasserstein(a / net.scale, held / net.scale, 2).distance for a in (drawn, own)]
    tree = cKDTree(rest / net.scale)
    by_draws, by_held = (float(np.median(tree.query(a / net.scale)[0])) for a in (drawn, held))
    return {
        "w2_of_draws": near[0],
        "w2_of_training": near[1],
        "nearest_ratio": by_draws / by_held if by_held > 0 else float("nan"),
    }
