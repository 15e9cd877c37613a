"""A net that pushes noise forward to outcomes, as numpy functions, and its training against rows or a sampler."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from disteconometrics.flows.fitted import one_thread
from disteconometrics.flows.recipes import MLP
from disteconometrics.optim.minibatch import Trained, Trainer, batches, train

__all__ = ["Pushforward", "forward", "train_pushforward", "uniform"]

Array = NDArray[np.float64]
TorchLoss = Callable[[Tensor, Tensor], Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "silu": nn.functional.silu, "tanh": torch.tanh}
MOST_CELLS = 20_000_000
MOST_JUDGED = 4_000  # draws against rows held out


def forward(parameters: list[Tensor], activation: str, z: Tensor) -> Tensor:
    """Outputs (n, k) of a perceptron with weights and biases layer by layer, the last one linear.

    Examples
    --------
    >>> one = torch.ones(1, 1)
    >>> forward([one, one[0], one, one[0]], "relu", torch.tensor([[-3.0], [2.0]])).ravel().tolist()
    [1.0, 4.0]
    """
    act = ACTIVATIONS[activation]
    for i in range(0, len(parameters) - 2, 2):
        z = act(nn.functional.linear(z, parameters[i], parameters[i + 1]))
    return nn.functional.linear(z, parameters[-2], parameters[-1])


def uniform(shape: tuple[int, ...], reach: float, rng: torch.Generator) -> Array:
    """First weights, uniform on ± reach.

    Examples
    --------
    >>> bool(np.abs(uniform((3, 2), 0.5, torch.Generator().manual_seed(0))).max() <= 0.5)
    True
    """
    return np.asarray(torch.empty(shape, dtype=torch.float64).uniform_(-reach, reach, generator=rng).numpy())


@final
@dataclass(frozen=True, eq=False)
class Pushforward:
    """A perceptron with its parameters, from normal noise to outcomes that are standardised by ``location`` and ``scale``.

    Parameters
    ----------
    recipe : MLP.
    location, scale : (d,) float64 arrays.
    parameters : weights and biases, float64 arrays, layer by layer.

    Examples
    --------
    >>> net = Pushforward.begin(MLP(8), np.zeros(2), np.ones(2), seed=0)
    >>> net.push(np.zeros((3, 2))).shape
    (3, 2)
    """

    recipe: MLP
    location: Array
    scale: Array
    parameters: tuple[Array, ...]

    @classmethod
    def begin(cls, recipe: MLP, location: Array, scale: Array, seed: int) -> Pushforward:
        """The net as training begins: uniform weights within ±1/√inputs, drawn with a seed."""
        rng = torch.Generator().manual_seed(seed)
        d = len(location)
        widths = (recipe.noise or d, *recipe.hidden, d)
        drawn: list[Array] = []
        for a, b in pairwise(widths):
            drawn += [uniform(shape, 1 / math.sqrt(a), rng) for shape in ((b, a), (b,))]
        return cls(recipe, location, scale, tuple(drawn))

    @property
    def noise(self) -> int:
        """Dimension of the noise."""
        return int(self.parameters[0].shape[1])

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(v.size for v in self.parameters)

    @cached_property
    def _tensors(self) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(v)) for v in self.parameters]

    def push(self, z: Array) -> Array:
        """Outcomes (n, d) of noise z (n, k)."""
        step = max(1, MOST_CELLS // max(v.shape[0] for v in self.parameters))
        with one_thread(), torch.no_grad():
            parts = [
                forward(self._tensors, self.recipe.activation, torch.from_numpy(np.ascontiguousarray(z[i : i + step]))).numpy()
                for i in range(0, max(len(z), 1), step)
            ]
        return np.asarray(self.location + self.scale * np.concatenate(parts))

    def trained(self, values: list[Tensor]) -> Pushforward:
        """The same net with other parameters."""
        return replace(self, parameters=tuple(np.array(v.detach().double().cpu().numpy()) for v in values))


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
    progress: bool | None = None,
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
    progress : bool or None, whether a bar is shown; None for a terminal only.

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
    >>> net, done, _ = train_pushforward(start, rows, Adam(lr=0.1, steps=100), square, 0, progress=False)
    >>> bool(abs(net.push(np.random.default_rng(1).normal(size=(500, 1))).mean() - rows.mean()) < 0.3)
    True
    """
    started = time.perf_counter()
    kind = torch.float64 if how.precision == "double" else torch.float32
    rng = torch.Generator().manual_seed(seed)
    location, scale = (torch.from_numpy(v / unit).to(kind) for v in (net.location, net.scale))
    with one_thread():
        parameters = [torch.from_numpy(v.copy()).to(kind).requires_grad_() for v in net.parameters]
        measure = loss(rng)

        def draws(z: Tensor) -> Tensor:
            return location + scale * forward(parameters, net.recipe.activation, z)

        def cost(y: Tensor) -> Tensor:
            return measure(draws(torch.randn(size, net.noise, generator=rng).to(kind)), y)

        judge: Any = None
        if blocks is not None:
            source: Iterator[tuple[Tensor, ...]] = ((torch.from_numpy(block / unit).to(kind),) for block in blocks)
        else:
            rows = torch.from_numpy(Y / unit).to(kind)
            if how.validation:
                place = torch.randperm(len(rows), generator=rng)
                held = max(1, round(how.validation * len(rows)))
                apart, rows = rows[place[:held]], rows[place[held:]]
                fixed = torch.randn(min(MOST_JUDGED, max(held, size)), net.noise, generator=rng).to(kind)
                own = torch.Generator()
                judging = loss(own)

                def judge() -> float:
                    own.manual_seed(seed)  # the same directions at every look
                    with torch.no_grad():
                        return float(judging(draws(fixed), apart))

            source = batches([rows], how.batch, rng)
        trained = train(parameters, cost, source, how, judge=judge, progress=progress, title="map")
    return net.trained(parameters), trained, time.perf_counter() - started
