"""Perceptrons as values: weights and biases in numpy, outputs by torch.

What maps from noise and quantile nets have in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from disteconometrics.arrays import Array
from disteconometrics.flows.recipes import MLP

__all__ = ["Perceptron", "first_weights", "forward", "uniform"]


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}


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


def uniform(shape: tuple[int, ...], reach: float, rng: torch.Generator) -> Tensor:
    """First weights in double precision, uniform on ± reach.

    Examples
    --------
    >>> bool(uniform((3, 2), 0.5, torch.Generator().manual_seed(0)).abs().max() <= 0.5)
    True
    """
    return torch.empty(shape, dtype=torch.float64).uniform_(-reach, reach, generator=rng)


def first_weights(widths: Sequence[int], rng: torch.Generator) -> list[Array]:
    """Weights and biases of layers between these widths as training begins, uniform within ±1/√inputs.

    Examples
    --------
    >>> [v.shape for v in first_weights((2, 5, 1), torch.Generator().manual_seed(0))]
    [(5, 2), (5,), (1, 5), (1,)]
    """
    return [
        uniform(shape, 1 / math.sqrt(a), rng).numpy() for a, b in pairwise(widths) for shape in ((b, a), (b,))
    ]


@dataclass(frozen=True, eq=False)
class Perceptron:
    """A recipe with its parameters.

    Parameters
    ----------
    recipe : MLP.
    parameters : weights and biases, float64 arrays, layer by layer.

    Examples
    --------
    >>> net = Perceptron(MLP(8), tuple(first_weights((2, 8, 1), torch.Generator().manual_seed(0))))
    >>> net.size
    33
    """

    recipe: MLP
    parameters: tuple[Array, ...]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(v.size for v in self.parameters)

    def to_train(self, dtype: torch.dtype) -> list[Tensor]:
        """Copies of the parameters that take gradients."""
        return [torch.from_numpy(v.copy()).to(dtype).requires_grad_() for v in self.parameters]

    @cached_property
    def tensors(self) -> list[Tensor]:
        """The parameters as torch sees them, in double precision."""
        return [torch.from_numpy(np.ascontiguousarray(v)) for v in self.parameters]

    def trained(self, values: list[Tensor]) -> Self:
        """The same net with other parameters."""
        return replace(self, parameters=tuple(np.array(v.detach().double().cpu().numpy()) for v in values))
