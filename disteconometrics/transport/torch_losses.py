"""Transport losses as torch functions of draws, which carry gradients, and data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from disteconometrics.transport.losses import Loss, Sinkhorn, Sliced, Sorted
from disteconometrics.transport.one_dim import pieces
from disteconometrics.transport.sinkhorn import Entropic, sinkhorn_divergence

__all__ = ["loss_of", "sinkhorn_loss", "sliced_loss", "sorted_loss"]


@lru_cache(maxsize=8)
def _pieces(n: int, m: int) -> tuple[Tensor, Tensor, Tensor]:
    source, target, mass = pieces(None, None, n, m)
    return torch.from_numpy(source), torch.from_numpy(target), torch.from_numpy(mass)


def _matched(u: Tensor, v: Tensor, p: float) -> Tensor:
    """W_p^p of columns (n, L) and (m, L), averaged over columns."""
    u, v = u.sort(dim=0).values, v.sort(dim=0).values
    if len(u) == len(v):
        gap = u - v
        return (gap * gap if p == 2 else gap.abs() ** p).mean()
    source, target, mass = _pieces(len(u), len(v))
    gap = u[source] - v[target]
    cost: Tensor = mass.to(u) @ (gap * gap if p == 2 else gap.abs() ** p)
    return cost.mean()


def sorted_loss(x: Tensor, y: Tensor, p: float = 2) -> Tensor:
    """W_p^p of draws x (n, 1) and data y (m, 1), exact.

    Examples
    --------
    >>> sorted_loss(torch.tensor([[3.0], [0.0]]), torch.tensor([[1.0], [4.0]]))
    tensor(1.)
    """
    return _matched(x, y, p)


def sliced_loss(x: Tensor, y: Tensor, p: float, projections: int, rng: torch.Generator) -> Tensor:
    """Mean of W_p^p over random directions, of draws x (n, d) and data y (m, d).

    Examples
    --------
    >>> x = torch.tensor([[0.0, 0.0]])
    >>> round(float(sliced_loss(x, x + 3.0, 2, 4000, torch.Generator().manual_seed(0))), 0)  # 18/d on average
    9.0
    """
    z = torch.randn(x.shape[1], projections, generator=rng).to(x)
    D = z / z.norm(dim=0)
    return _matched(x @ D, y @ D, p)


def sinkhorn_loss(x: Tensor, y: Tensor, p: int = 2, blur: float = 0.05, tolerance: float = 0.02) -> Tensor:
    """Debiased Sinkhorn divergence of draws x (n, d) and data y (m, d).

    Its gradient is that of the costs under fixed plans.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0]], requires_grad=True)
    >>> value = sinkhorn_loss(x, torch.tensor([[2.0], [3.0]]))
    >>> value.backward()
    >>> value.detach().round(decimals=3), x.grad.round(decimals=3)
    (tensor(4.), tensor([[-2.],
            [-2.]]))
    """
    a, b = (t.detach().double().cpu().numpy() for t in (x, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a step that is not solved to the tolerance is a step
        found = sinkhorn_divergence(a, b, p, blur=blur, tolerance=tolerance)
    both, own, _ = found.parts
    moved = _cost(x, y, p, _plan(both, x)) - _cost(x, x.detach(), p, _plan(own, x))
    return moved + (found.value - moved.detach())


def _plan(t: Entropic, like: Tensor) -> Tensor:
    f, g = (v / t.penalty for v in t.potentials)
    square = np.maximum(np.square(t.x).sum(1)[:, None] + np.square(t.y).sum(1) - 2 * t.x @ t.y.T, 0)
    reduced = f[:, None] + g - (square if t.p == 2 else np.sqrt(square)) / t.penalty
    return torch.from_numpy(t.wx[:, None] * t.wy * np.exp(reduced)).to(like)


def _cost(x: Tensor, y: Tensor, p: int, plan: Tensor) -> Tensor:
    square = ((x[:, None] - y) ** 2).sum(-1)
    return (plan * (square if p == 2 else (square + 1e-24).sqrt())).sum()


def loss_of(recipe: Loss, rng: torch.Generator) -> Callable[[Tensor, Tensor], Tensor]:
    """The function of draws and data that a recipe describes.

    Examples
    --------
    >>> float(loss_of(Sorted(p=1), torch.Generator())(torch.zeros(2, 1), torch.ones(3, 1)))
    1.0
    """
    if isinstance(recipe, Sliced):
        return lambda x, y: sliced_loss(x, y, recipe.p, recipe.projections, rng)
    if isinstance(recipe, Sinkhorn):
        return lambda x, y: sinkhorn_loss(x, y, int(recipe.p), recipe.blur, recipe.tolerance)
    assert isinstance(recipe, Sorted)
    return lambda x, y: sorted_loss(x, y, recipe.p)
