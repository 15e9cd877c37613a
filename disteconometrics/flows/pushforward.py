"""A net that pushes noise forward to outcomes, in numpy, and its training against rows or a sampler."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from disteconometrics.arrays import Array
from disteconometrics.flows.fitted import one_thread
from disteconometrics.flows.perceptron import Perceptron, first_weights, forward
from disteconometrics.flows.recipes import MLP
from disteconometrics.optim.minibatch import Trained, Trainer, batches, dtype_of, hold_out, train

__all__ = ["Pushforward", "train_pushforward"]

TorchLoss = Callable[[Tensor, Tensor], Tensor]

MOST_CELLS = 20_000_000
MOST_JUDGED = 4_000  # draws against rows held out


@final
@dataclass(frozen=True, eq=False)
class Pushforward(Perceptron):
    """A perceptron with its parameters, from normal noise to standardised outcomes.

    Parameters
    ----------
    recipe, parameters : as in `Perceptron`.
    location, scale : (d,) float64 arrays.

    Examples
    --------
    >>> net = Pushforward.begin(MLP(8), np.zeros(2), np.ones(2), seed=0)
    >>> net.push(np.zeros((3, 2))).shape
    (3, 2)
    """

    location: Array
    scale: Array

    @classmethod
    @one_thread()
    def begin(cls, recipe: MLP, location: Array, scale: Array, seed: int) -> Pushforward:
        """The net as training begins: uniform weights within ±1/√inputs, drawn with a seed."""
        rng = torch.Generator().manual_seed(seed)
        d = len(location)
        drawn = first_weights((recipe.noise or d, *recipe.hidden, d), rng)
        return cls(recipe=recipe, parameters=tuple(drawn), location=location, scale=scale)

    @property
    def noise(self) -> int:
        """Dimension of the noise."""
        return int(self.parameters[0].shape[1])

    def push(self, z: Array) -> Array:
        """Outcomes (n, d) of noise z (n, k)."""
        step = max(1, MOST_CELLS // max(v.shape[0] for v in self.parameters))
        with one_thread(), torch.no_grad():
            parts = [
                forward(
                    self.tensors,
                    self.recipe.activation,
                    torch.from_numpy(np.ascontiguousarray(z[i : i + step])),
                ).numpy()
                for i in range(0, max(len(z), 1), step)
            ]
        return np.asarray(self.location + self.scale * np.concatenate(parts))


def train_pushforward(
    net: Pushforward,
    Y: Array,
    how: Trainer,
    loss: Callable[[torch.Generator], TorchLoss],
    seed: int,
    *,
    unit: float | Array = 1.0,
    blocks: Iterator[Array] | None = None,
    size: int = 512,
) -> tuple[Pushforward, Trained, float]:
    """Train a net so that its draws come near to rows.

    Parameters
    ----------
    net : Pushforward as it begins.
    Y : (n, d) float64 array, rows to train on.
    how : Trainer.
    loss : function of a generator → function of draws and data, both divided by ``unit``.
    seed : int, of noise, batches, directions and rows held out.
    unit : float or (d,) float64 array, what outcomes are divided by before the loss.
    blocks : iterator of fresh rows, used in place of ``Y``, or None.
    size : int, draws of noise in a step.

    Returns
    -------
    net : Pushforward, trained.
    trained : Trained.
    seconds : float.

    Examples
    --------
    >>> from disteconometrics import Adam
    >>> rows = np.random.default_rng(0).normal(3, 1, size=(200, 1))
    >>> start = Pushforward.begin(MLP(4), np.zeros(1), np.ones(1), seed=0)
    >>> square = lambda rng: lambda x, y: (x.mean() - y.mean()) ** 2
    >>> net, done, _ = train_pushforward(start, rows, Adam(lr=0.1, steps=100), square, 0)
    >>> bool(abs(net.push(np.random.default_rng(1).normal(size=(500, 1))).mean() - rows.mean()) < 0.3)
    True
    """
    started = time.perf_counter()
    kind = dtype_of(how)
    rng = torch.Generator().manual_seed(seed)
    location, scale = (torch.from_numpy(v / unit).to(kind) for v in (net.location, net.scale))
    with one_thread():
        parameters = net.to_train(kind)
        measure = loss(rng)

        def draws(z: Tensor) -> Tensor:
            return location + scale * forward(parameters, net.recipe.activation, z)

        def cost(y: Tensor) -> Tensor:
            return measure(draws(torch.randn(size, net.noise, generator=rng).to(kind)), y)

        judge: Any = None
        if blocks is not None:
            source: Iterator[tuple[Tensor, ...]] = (
                (torch.from_numpy(block / unit).to(kind),) for block in blocks
            )
        else:
            rows = torch.from_numpy(Y / unit).to(kind)
            if how.validation:
                [apart], [rows] = hold_out([rows], how.validation, rng)
                fixed = torch.randn(min(MOST_JUDGED, max(len(apart), size)), net.noise, generator=rng).to(
                    kind
                )
                own = torch.Generator()
                judging = loss(own)

                def judge() -> float:
                    own.manual_seed(seed)  # the same directions at every look
                    with torch.no_grad():
                        return float(judging(draws(fixed), apart))

            source = batches([rows], how.batch, rng)
        trained = train(parameters, cost, source, how, judge=judge, title="map")
    return net.trained(parameters), trained, time.perf_counter() - started
