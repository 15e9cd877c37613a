"""A net that gives the quantile function of an outcome for every row.

That function is increasing in the noise whatever the parameters.

The net has one output per level.  One is the middle of the quantile function, the others are steps between
neighbouring levels, made positive by softplus, so quantiles cannot cross.  It is trained by the continuous
ranked probability score, which needs a single outcome of each row and is least in expectation at the true
quantile function.

References
----------
Gneiting, Raftery (2007), Strictly proper scoring rules, prediction, and estimation, Journal of the American
Statistical Association 102, doi:10.1198/016214506000001437.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from disteconometrics.arrays import Array
from disteconometrics.flows.fitted import one_thread
from disteconometrics.flows.perceptron import Perceptron, first_weights, forward
from disteconometrics.flows.recipes import MLP
from disteconometrics.optim.minibatch import Trained, Trainer, batches, dtype_of, hold_out, judge_on, train

__all__ = ["LEVELS", "QuantileNet", "train_quantiles"]


LEVELS = 64
LEAST = 1e-3  # step between neighbouring quantiles as training begins, in standard deviations


def levels() -> Array:
    """The levels of the net's outputs: the middles of equal shares.

    Examples
    --------
    >>> levels()[[0, -1]].tolist()
    [0.0078125, 0.9921875]
    """
    return (np.arange(LEVELS) + 0.5) / LEVELS


def _quantiles(parameters: list[Tensor], activation: str, x: Tensor) -> Tensor:
    """Standardised quantiles (n, levels)."""
    raw = forward(parameters, activation, x)
    rise = torch.cumsum(functional.softplus(raw[..., 1:]), -1)
    middle = rise[..., LEVELS // 2 - 1 : LEVELS // 2]
    return raw[..., :1] + functional.pad(rise, (1, 0)) - middle


@final
@dataclass(frozen=True, eq=False)
class QuantileNet(Perceptron):
    """A perceptron from covariates to the quantile function of the outcome; both are standardised.

    Parameters
    ----------
    recipe, parameters : as in `Perceptron`; the noise of the recipe has no meaning here.
    location, scale : float, of the outcome.
    x_location, x_scale : (c,) float64 arrays, of the covariates.

    Examples
    --------
    >>> y = np.random.default_rng(0).normal(3, 2, 500)
    >>> net = QuantileNet.begin(MLP(8), y, np.zeros((500, 1)), seed=0)
    >>> net.curve(np.zeros((2, 1)))[1][:, LEVELS // 2].round(0).tolist()  # the middle of the sample
    [3.0, 3.0]
    """

    location: float
    scale: float
    x_location: Array
    x_scale: Array

    @classmethod
    @one_thread()
    def begin(cls, recipe: MLP, y: Array, X: Array, seed: int) -> QuantileNet:
        """The net as training begins: the quantile function of the sample, for every row."""
        rng = torch.Generator().manual_seed(seed)
        location, scale = float(y.mean()), float(y.std())
        spread = X.std(axis=0)
        drawn = first_weights((X.shape[1], *recipe.hidden), rng)
        own = (np.quantile(y, levels()) - location) / scale
        steps = np.maximum(np.diff(own), LEAST)
        bias = np.concatenate([[own[LEVELS // 2]], np.log(np.expm1(steps))])
        last = np.zeros((LEVELS, recipe.hidden[-1]))
        return cls(
            recipe=recipe,
            parameters=(*drawn, last, bias),
            location=location,
            scale=scale,
            x_location=X.mean(axis=0),
            x_scale=np.where(spread > 0, spread, 1.0),
        )

    def quantiles(self, X: Array) -> Array:
        """Quantiles (n, levels) at covariates (n, c)."""
        with one_thread(), torch.no_grad():
            x = torch.from_numpy(np.ascontiguousarray((X - self.x_location) / self.x_scale))
            q = _quantiles(self.tensors, self.recipe.activation, x).numpy()
        return self.location + self.scale * q

    def curve(self, X: Array) -> tuple[Array, Array]:
        """Levels (k,) from 0 to 1 and quantiles (n, k).

        Beyond the outer levels the function goes on straight to its ends.
        """
        q = self.quantiles(X)
        first, last = q[:, :1] - (q[:, 1:2] - q[:, :1]) / 2, q[:, -1:] + (q[:, -1:] - q[:, -2:-1]) / 2
        return np.concatenate([[0.0], levels(), [1.0]]), np.concatenate([first, q, last], axis=1)


def train_quantiles(
    net: QuantileNet,
    y: Array,
    X: Array,
    weights: Array | None,
    how: Trainer,
    seed: int,
) -> tuple[QuantileNet, Trained, float]:
    """Train by the continuous ranked probability score, as twice the mean pinball loss over the levels.

    Parameters
    ----------
    net : QuantileNet as it begins.
    y, X, weights : (n,), (n, c) float64 arrays, and (n,) or None.
    how : Trainer.
    seed : int, of batches and of rows held out.

    Returns
    -------
    net : QuantileNet, trained.
    trained : Trained, with losses of the standardised outcome.
    seconds : float.

    Examples
    --------
    >>> from disteconometrics import Adam
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 1))
    >>> y = 3 * x[:, 0] + rng.normal(size=400)
    >>> net = QuantileNet.begin(MLP(16), y, x, seed=0)
    >>> net = train_quantiles(net, y, x, None, Adam(lr=0.01, steps=300), 0)[0]
    >>> bool(np.abs(net.curve(np.array([[-1.0], [1.0]]))[1][:, LEVELS // 2] - [-3, 3]).max() < 0.5)
    True
    """
    started = time.perf_counter()
    kind = dtype_of(how)
    rng = torch.Generator().manual_seed(seed)
    with one_thread():
        parameters = net.to_train(kind)
        tau = torch.from_numpy(levels()).to(kind)

        def loss(y: Tensor, x: Tensor, w: Tensor | None = None) -> Tensor:
            miss = y - _quantiles(parameters, net.recipe.activation, x)
            score = 2 * torch.maximum(tau * miss, (tau - 1) * miss).mean(-1)
            return score.mean() if w is None else (w * score).sum() / w.sum()

        arrays = [(y[:, None] - net.location) / net.scale, (X - net.x_location) / net.x_scale]
        tensors = [torch.from_numpy(np.ascontiguousarray(a)).to(kind) for a in arrays]
        if weights is not None:
            tensors.append(torch.from_numpy(weights).to(kind))
        judge: Callable[[], float] | None = None
        if how.validation:
            apart, tensors = hold_out(tensors, how.validation, rng)
            judge = judge_on(apart, loss)
        rows = batches(tensors, how.batch, rng)
        trained = train(parameters, loss, rows, how, judge=judge, title="quantiles")
    return net.trained(parameters), trained, time.perf_counter() - started
