"""Layers of a flow as torch modules: data to noise with the log-determinant, and back.

Leading dimensions broadcast: outcomes (…, d) meet covariates (…, c), so a law of n rows evaluates nets once
per row for a whole grid of outcomes, and a flow without covariates is the case c = 0 of the same code.
Parameters are drawn from a generator that is passed in; torch's global one is neither read nor moved.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from disteconometrics.flows.heads import Head, MixtureHead, head_of, increasing_root, soft_limit
from disteconometrics.flows.perceptron import uniform
from disteconometrics.flows.recipes import (
    RQS,
    AffineMap,
    Autoregressive,
    Chain,
    Coupling,
    MixtureCDF,
    Planar,
    Recipe,
)

__all__ = ["Flow", "FullAffine", "Heads", "Layer", "build"]

SHORTEST = 0.5  # ‖w‖ of a planar layer as training begins: from a very short one it may never come back


class Layer(nn.Module):
    """An invertible map of R^d given covariates."""

    @abstractmethod
    def to_noise(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (…, d) and log|det ∂z/∂y| (…)."""

    @abstractmethod
    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """The outcomes y (…, d) whose noise is z."""


def apart(raw: Tensor, size: int) -> Tensor:
    """Outputs of a net (…, d·size) as parameters of each outcome (…, d, size)."""
    return raw.reshape(*raw.shape[:-1], raw.shape[-1] // size, size)


def side_by_side(y: Tensor, x: Tensor) -> Tensor:
    """Outcomes (…, d) and covariates (…, c), their leading dimensions broadcast, as one input (…, d + c)."""
    if not x.shape[-1]:
        return y
    shape = torch.broadcast_shapes(y.shape[:-1], x.shape[:-1])  # type: ignore[no-untyped-call]
    return torch.cat([y.expand(*shape, y.shape[-1]), x.expand(*shape, x.shape[-1])], -1)


@final
class Net(nn.Module):
    """A perceptron with smooth units (SiLU) whose last layer begins at zero weights and given biases.

    With masks it is autoregressive.

    ``degrees``, one list per layer, make it masked: a hidden unit sees units of its degree or less, an output
    sees hidden units of a degree below its own; covariates have degree 0, outcomes their place in the order.
    """

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        start: Tensor,
        rng: torch.Generator,
        degrees: list[list[int]] | None = None,
    ) -> None:
        super().__init__()
        widths = (inputs, *hidden) if inputs or degrees else ()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for a, b in pairwise(widths):
            reach = 1 / math.sqrt(max(a, 1))
            self.weights.append(nn.Parameter(uniform((b, a), reach, rng)))
            self.biases.append(nn.Parameter(uniform((b,), reach, rng)))
        if widths:
            self.weights.append(nn.Parameter(_zeros(len(start), widths[-1])))
        self.biases.append(nn.Parameter(start.clone()))
        self.masked = degrees is not None
        if degrees is not None:
            for i, (lower, upper) in enumerate(pairwise(degrees)):
                above, below = torch.tensor(upper)[:, None], torch.tensor(lower)[None, :]
                seen = below < above if i == len(degrees) - 2 else below <= above
                self.register_buffer(f"mask{i}", seen.double())

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (…, outputs) at inputs (…, inputs); (outputs,) where there are none."""
        if not len(self.weights):
            only: Tensor = self.biases[0]
            return only
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = functional.linear(x, weight * getattr(self, f"mask{i}") if self.masked else weight, bias)
            x = functional.silu(x) if i < last else x
        return x


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def _starts(head: Head, outcomes: int) -> Tensor:
    return torch.tensor(head.start, dtype=torch.float64).repeat(outcomes)


def _unit_lower(free: Tensor) -> Tensor:
    """Ones on the diagonal, the free parameters below it."""
    return torch.eye(len(free), dtype=free.dtype, device=free.device) + free.tril(-1)


class Heads(Layer):
    """A head for every outcome; what moves its parameters, the subclass says."""

    head: Head

    @abstractmethod
    def raw(self, y: Tensor, x: Tensor) -> Tensor:
        """Raw parameters (…, d, size) of the heads at outcomes and covariates."""

    def to_noise(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """All outcomes at once."""
        z, slope = self.head.to_noise(y, self.raw(y, x))
        return z, slope.sum(-1)

    def log_density(self, y: Tensor, x: Tensor) -> Tensor:
        """Log density under logistic noise, where the heads are mixtures."""
        assert isinstance(self.head, MixtureHead)
        return self.head.log_density(y, self.raw(y, x)).sum(-1)


@final
class Elementwise(Heads):
    """Every outcome by its own head, with parameters from the covariates alone."""

    def __init__(
        self, head: Head, outcomes: int, covariates: int, hidden: tuple[int, ...], rng: torch.Generator
    ) -> None:
        super().__init__()
        self.head = head
        self.net = Net(covariates, hidden, _starts(head, outcomes), rng)

    def raw(self, y: Tensor, x: Tensor) -> Tensor:
        """Parameters that do not move with the outcomes."""
        return apart(self.net(x), self.head.size)

    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """The inverse head of each outcome."""
        return self.head.to_data(z, self.raw(z, x))


@final
class FullAffine(Layer):
    """z = exp(−log s) ∘ L(y − m), L unit lower triangular: the normal linear model of joint outcomes."""

    def __init__(self, recipe: AffineMap, outcomes: int, covariates: int, rng: torch.Generator) -> None:
        super().__init__()
        self.outcomes = outcomes
        self.mean = Net(covariates, recipe.hidden, _zeros(outcomes), rng)
        moving = covariates if recipe.scale == "covariates" else 0
        self.log_scale = Net(moving, recipe.hidden, _zeros(outcomes), rng)
        self.lower = nn.Parameter(_zeros(outcomes, outcomes))

    def to_noise(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals, made uncorrelated and scaled."""
        log_scale = soft_limit(self.log_scale(x))
        residual: Tensor = y - self.mean(x)
        z = (residual @ _unit_lower(self.lower).T if self.outcomes > 1 else residual) * torch.exp(-log_scale)
        return z, -log_scale.sum(-1).expand(z.shape[:-1])

    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """By a triangular solution."""
        scaled = z * torch.exp(soft_limit(self.log_scale(x)))
        solved = torch.linalg.solve_triangular(
            _unit_lower(self.lower), scaled.unsqueeze(-1), upper=False
        ).squeeze(-1)
        y: Tensor = self.mean(x) + solved
        return y


@final
class PlanarLayer(Layer):
    """z = y + u·tanh(w'y + b) with u moved along w so that w'u > −1; the inverse is a scalar root along w."""

    def __init__(self, outcomes: int, covariates: int, hidden: tuple[int, ...], rng: torch.Generator) -> None:
        super().__init__()
        self.outcomes = outcomes
        start = uniform((2 * outcomes + 1,), 1.0, rng)
        start[:outcomes] *= max(1.0, SHORTEST / float(start[:outcomes].norm()))  # u is moved by about .3/‖w‖
        start[outcomes : 2 * outcomes] *= 0.1
        self.net = Net(covariates, hidden, start, rng)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        raw: Tensor = self.net(x)
        d = self.outcomes
        w, u, b = raw[..., :d], raw[..., d : 2 * d], raw[..., 2 * d :]
        along = (w * u).sum(-1, keepdim=True)
        u = u + (functional.softplus(along) - 1 - along) * w / (w * w).sum(-1, keepdim=True)
        return w, u, b, (w * u).sum(-1, keepdim=True)

    def to_noise(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and log(1 + w'u·(1 − tanh²))."""
        w, u, b, along = self._parts(x)
        bend = torch.tanh((y * w).sum(-1, keepdim=True) + b)
        return y + u * bend, torch.log1p(along * (1 - bend * bend)).squeeze(-1)

    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """The root t of t + w'u·tanh(t + b) = w'z gives y = z − u·tanh(t + b)."""
        w, u, b, along = self._parts(x)
        goal = (z * w).sum(-1, keepdim=True)

        def at(t: Tensor) -> tuple[Tensor, Tensor]:
            bend = torch.tanh(t + b)
            return t + along * bend - goal, 1 + along * (1 - bend * bend)

        reach = along.abs() + 1e-12
        return z - u * torch.tanh(increasing_root(at, goal - reach, goal + reach) + b)


@final
class AutoregressiveLayer(Heads):
    """Each outcome by a head with parameters from the covariates and the outcomes before it in the order."""

    def __init__(
        self,
        head: Head,
        outcomes: int,
        covariates: int,
        hidden: tuple[int, ...],
        backwards: bool,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.head, self.outcomes = head, outcomes
        place = [outcomes - j if backwards else j + 1 for j in range(outcomes)]
        self.order = sorted(range(outcomes), key=lambda j: place[j])
        inner = [[i % outcomes for i in range(width)] for width in hidden]
        degrees = [[*place, *[0] * covariates], *inner, [p for p in place for _ in range(head.size)]]
        self.net = Net(outcomes + covariates, hidden, _starts(head, outcomes), rng, degrees)

    def raw(self, y: Tensor, x: Tensor) -> Tensor:
        """Parameters of each outcome from those before it."""
        if self.outcomes == 1:  # nothing comes before it, so its parameters do not move with y
            y = y.new_zeros(1)
        return apart(self.net(side_by_side(y, x)), self.head.size)

    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """One outcome after the other."""
        y = torch.zeros_like(z)
        for j in self.order:
            raw = self.raw(y, x)[..., j, :]
            y = y.clone()
            y[..., j] = self.head.to_data(z[..., j], raw)
        return y


@final
class CouplingLayer(Layer):
    """The later half of the outcomes by heads with parameters from the covariates and the earlier half."""

    def __init__(
        self, head: Head, outcomes: int, covariates: int, hidden: tuple[int, ...], rng: torch.Generator
    ) -> None:
        super().__init__()
        self.head, self.kept = head, outcomes // 2
        self.net = Net(self.kept + covariates, hidden, _starts(head, outcomes - self.kept), rng)

    def _raw(self, kept: Tensor, x: Tensor) -> Tensor:
        return apart(self.net(side_by_side(kept, x)), self.head.size)

    def to_noise(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The kept half and the moved half."""
        kept, moved = y[..., : self.kept], y[..., self.kept :]
        z, slope = self.head.to_noise(moved, self._raw(kept, x))
        return torch.cat([kept, z], -1), slope.sum(-1)

    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """The kept half and the inverse of the moved one."""
        kept, moved = z[..., : self.kept], z[..., self.kept :]
        return torch.cat([kept, self.head.to_data(moved, self._raw(kept, x))], -1)


@final
class Mixing(Layer):
    """Outcomes turned round, or multiplied by a learned matrix L·U with unit lower L."""

    def __init__(self, outcomes: int, learned: bool) -> None:
        super().__init__()
        self.learned = learned
        if learned:
            self.lower = nn.Parameter(_zeros(outcomes, outcomes))
            self.upper = nn.Parameter(_zeros(outcomes, outcomes))
            self.log_diagonal = nn.Parameter(_zeros(outcomes))

    def _factors(self) -> tuple[Tensor, Tensor]:
        return _unit_lower(self.lower), self.upper.triu(1) + torch.diag(torch.exp(self.log_diagonal))

    def to_noise(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """y turned round and mixed, and the sum of the log diagonal."""
        y = y.flip(-1)
        if not self.learned:
            return y, y.new_zeros(())
        lower, upper = self._factors()
        return y @ (lower @ upper).T, self.log_diagonal.sum()

    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """Two triangular solutions."""
        if self.learned:
            lower, upper = self._factors()
            half = torch.linalg.solve_triangular(lower, z.unsqueeze(-1), upper=False)
            z = torch.linalg.solve_triangular(upper, half, upper=True).squeeze(-1)
        return z.flip(-1)


@final
class Flow(Layer):
    """Layers one after the other from data to noise, and the log density under independent base laws."""

    def __init__(self, layers: list[Layer], base: str) -> None:
        super().__init__()
        self.layers, self.base = nn.ModuleList(layers), base
        self.order = layers

    def to_noise(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and the sum of the layers' log-determinants."""
        return self._through(self.order, y, x)

    @staticmethod
    def _through(layers: list[Layer], y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        total: Tensor | None = None
        for layer in layers:
            y, part = layer.to_noise(y, x)
            total = part if total is None else total + part
        return y, y.new_zeros(()) if total is None else total

    def to_data(self, z: Tensor, x: Tensor) -> Tensor:
        """The layers inverted, the last one first."""
        for layer in reversed(self.order):
            z = layer.to_data(z, x)
        return z

    def base_logpdf(self, z: Tensor) -> Tensor:
        """Log density (…) of independent noise z (…, d)."""
        if self.base == "normal":
            squares: Tensor = torch.linalg.vecdot(z, z)
            return -0.5 * squares - 0.5 * z.shape[-1] * math.log(2 * math.pi)
        return (functional.logsigmoid(z) + functional.logsigmoid(-z)).sum(-1)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """Log density (…) of outcomes y (…, d) given covariates x (…, c)."""
        last = self.order[-1]
        if self.base == "logistic" and isinstance(last, Heads) and isinstance(last.head, MixtureHead):
            y, total = self._through(self.order[:-1], y, x)
            return total + last.log_density(y, x)  # that of the mixture itself: no cdf is needed
        z, total = self.to_noise(y, x)
        return self.base_logpdf(z) + total


def _layers(recipe: Recipe, d: int, c: int, rng: torch.Generator) -> list[Layer]:
    if isinstance(recipe, AffineMap):
        return [FullAffine(recipe, d, c, rng)]
    if isinstance(recipe, (RQS, MixtureCDF)):
        return [Elementwise(head_of(recipe), d, c, recipe.hidden, rng)]
    if isinstance(recipe, Planar):
        return [PlanarLayer(d, c, recipe.hidden, rng) for _ in range(recipe.layers)]
    if isinstance(recipe, Autoregressive):
        head = head_of(recipe.of)
        return [AutoregressiveLayer(head, d, c, recipe.hidden, i % 2 == 1, rng) for i in range(recipe.layers)]
    assert isinstance(recipe, Coupling)
    made: list[Layer] = []
    for _ in range(recipe.layers):
        made += [CouplingLayer(head_of(recipe.of), d, c, recipe.hidden, rng), Mixing(d, recipe.mix == "lu")]
    return made


def build(chain: Chain, outcomes: int, covariates: int, base: str, rng: torch.Generator) -> Flow:
    """The module of a chain of recipes, in double precision, as training begins.

    Parameters
    ----------
    chain : Chain.
    outcomes, covariates : int, dimensions d and c.
    base : {"normal", "logistic"}, the law of each coordinate of the noise.
    rng : torch.Generator, of the first parameters.

    Returns
    -------
    Flow

    Examples
    --------
    >>> from disteconometrics.flows.recipes import chain_of
    >>> flow = build(chain_of(RQS(bins=8)), 2, 0, "normal", torch.Generator().manual_seed(0))
    >>> z, slope = flow.to_noise(torch.ones(3, 2).double(), torch.ones(3, 0).double())
    >>> bool(torch.allclose(z, torch.ones(3, 2).double())), bool(slope.abs().max() < 1e-12)
    (True, True)
    """
    layers: list[Layer] = []
    for recipe in chain.maps:
        layers += _layers(recipe, outcomes, covariates, rng)
    return Flow(layers, base)
