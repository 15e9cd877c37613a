"""A flow trained on rows in memory, on those of a source a window at a time, or on fresh ones.

Standardised tensors, mean negative log density, held-out rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from disteconometrics.arrays import Array
from disteconometrics.flows.fitted import FittedFlow, one_thread
from disteconometrics.optim.minibatch import (
    Trained,
    Trainer,
    batches,
    dtype_of,
    hold_out,
    judge_on,
    train,
    windowed,
)

__all__ = ["TrainingRows", "WindowRows", "train_flow", "train_many"]


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Outcomes (n, d), covariates (n, c) and weights (n,) or None."""

    Y: Array
    X: Array
    weights: Array | None = None


@dataclass(frozen=True, eq=False)
class WindowRows:
    """Rows that are read a window at a time: ``read`` gives one of an epoch; rows held out, or None."""

    read: Callable[[int, int], Iterator[TrainingRows]]
    windows: int
    apart: TrainingRows | None

    def window(self, flow: FittedFlow, how: Trainer, epoch: int, number: int) -> list[Tensor]:
        """The rows of a window as tensors, piece by piece, so that they are held once."""
        pieces = [_tensors(flow, piece, how) for piece in self.read(epoch, number)]
        return [torch.cat(columns) for columns in zip(*pieces, strict=True)]


def _tensors(flow: FittedFlow, rows: TrainingRows, how: Trainer) -> list[Tensor]:
    """Standardised outcomes, covariates and weights, if any, on the device, in the trainer's precision."""
    arrays = [(rows.Y - flow.location) / flow.scale, (rows.X - flow.x_location) / flow.x_scale]
    arrays += [] if rows.weights is None else [rows.weights]
    return [
        torch.from_numpy(np.ascontiguousarray(a)).to(device=how.device, dtype=dtype_of(how)) for a in arrays
    ]


def _fresh(
    flow: FittedFlow, blocks: Iterator[TrainingRows], size: int, how: Trainer
) -> Iterator[tuple[Tensor, ...]]:
    """Batches cut from blocks of new rows."""
    for block in blocks:
        tensors = _tensors(flow, block, how)
        for i in range(0, len(block.Y) - size + 1, size):
            yield tuple(t[i : i + size] for t in tensors)


def _mean_loss(logpdf: Tensor, w: Tensor | None = None) -> Tensor:
    """Mean of the negative log density, weighted where there are weights."""
    return -logpdf.mean() if w is None else -(w * logpdf).sum() / w.sum()


def train_flow(
    flow: FittedFlow,
    rows: TrainingRows | WindowRows,
    how: Trainer,
    seed: int,
    *,
    blocks: Iterator[TrainingRows] | None = None,
    size: int = 512,
    progress: bool | None = None,
) -> tuple[FittedFlow, Trained, dict[int, FittedFlow], float]:
    """Train a flow by maximum likelihood.

    Parameters
    ----------
    flow : FittedFlow as it begins.
    rows : TrainingRows, or WindowRows for a trainer with a batch.
    how : Trainer.
    seed : int, of batches and, of TrainingRows, of the rows held out.
    blocks : iterator of fresh Rows, used in place of ``rows``, or None.
    size : int, rows of a step from ``blocks``.
    progress : bool or None, whether a bar is shown; None for a terminal only.

    Returns
    -------
    flow : FittedFlow, trained.
    trained : Trained, with losses of standardised outcomes.
    kept : dict of steps to flows.
    seconds : float.

    Examples
    --------
    >>> from disteconometrics import LBFGS, AffineMap
    >>> from disteconometrics.flows.recipes import chain_of
    >>> y, none = np.array([[1.0], [2.0], [6.0]]), np.zeros(0)
    >>> start = FittedFlow.begin(chain_of(AffineMap()), "normal", np.ones(1), np.ones(1), none, none, seed=0)
    >>> flow = train_flow(start, TrainingRows(y, np.zeros((3, 0))), LBFGS(), 0)[0]
    >>> z = np.array([[0.0], [1.0]])  # at the mean and the mean + std
    >>> flow.to_data(z, np.zeros((1, 0))).round(4).ravel().tolist()
    [3.0, 5.1602]
    """
    started = time.perf_counter()
    with one_thread():
        module = flow.fresh().to(device=how.device, dtype=dtype_of(how))
        order = torch.Generator().manual_seed(seed)

        def loss(y: Tensor, x: Tensor, w: Tensor | None = None) -> Tensor:
            return _mean_loss(module(y, x), w)

        judge: Callable[[], float] | None = None
        if blocks is not None:
            source = _fresh(flow, blocks, size, how)
        elif isinstance(rows, WindowRows):
            assert how.batch is not None
            source = windowed(partial(rows.window, flow, how), rows.windows, how.batch, order)
            if rows.apart is not None:
                judge = judge_on(_tensors(flow, rows.apart, how), loss)
        else:
            tensors = _tensors(flow, rows, how)
            if how.validation:
                apart, tensors = hold_out(tensors, how.validation, order)
                judge = judge_on(apart, loss)
            source = batches(tensors, how.batch, order)
        trained = train(list(module.parameters()), loss, source, how, judge=judge, progress=progress)
        kept = {step: flow.trained(values) for step, values in trained.kept.items()}
    return flow.trained(list(module.parameters())), trained, kept, time.perf_counter() - started


def train_many(
    flow: FittedFlow, rows: TrainingRows, weights: Array, how: Trainer, seed: int
) -> list[FittedFlow]:
    """Train copies of a flow side by side, from its parameters, each with its own weights of the rows.

    Parameters
    ----------
    flow : FittedFlow.
    rows : Rows.
    weights : (R, n) float64 array.
    how : Trainer, without held-out rows.
    seed : int, of batches.

    Returns
    -------
    list of R FittedFlow

    Examples
    --------
    >>> from disteconometrics import Adam, AffineMap
    >>> from disteconometrics.flows.recipes import chain_of
    >>> y, none = np.array([[1.0], [2.0], [6.0]]), np.zeros(0)
    >>> start = FittedFlow.begin(chain_of(AffineMap()), "normal", np.ones(1), np.ones(1), none, none, seed=0)
    >>> weights, how = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]), Adam(lr=0.1, steps=400)
    >>> many = train_many(start, TrainingRows(y, np.zeros((3, 0))), weights, how, seed=0)
    >>> [round(f.to_data(np.zeros((1, 1)), np.zeros((1, 0))).item(), 2) for f in many]
    [3.0, 1.5]
    """
    with one_thread():
        module = flow.fresh().to(device=how.device, dtype=dtype_of(how))
        names = [name for name, _ in module.named_parameters()]
        stacked = [
            p.detach().expand(len(weights), *p.shape).clone().requires_grad_() for p in module.parameters()
        ]

        def one(parameters: list[Tensor], w: Tensor, y: Tensor, x: Tensor) -> Tensor:
            return _mean_loss(
                torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (y, x)), w
            )

        each = torch.func.vmap(one, in_dims=(0, 0, None, None))

        def loss(y: Tensor, x: Tensor, w: Tensor) -> Tensor:
            total: Tensor = each(stacked, w.T, y, x).sum()
            return total

        y, x = _tensors(flow, replace(rows, weights=None), how)
        w = torch.from_numpy(np.ascontiguousarray(weights.T)).to(device=how.device, dtype=dtype_of(how))
        source = batches([y, x, w], how.batch, torch.Generator().manual_seed(seed))
        train(stacked, loss, source, how, title="bootstrap")
        return [flow.trained([p[i] for p in stacked]) for i in range(len(weights))]
