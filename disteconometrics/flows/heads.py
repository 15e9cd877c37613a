"""Maps of one outcome whose parameters are given from outside.

Affine, rational-quadratic spline, mixture cdf.

A head maps y (…) with raw parameters (…, size) to noise z (…) and log dz/dy (…), and back; zero raw
parameters plus `start` are where training begins: the identity, or a mixture spread over the standardised
outcome.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from disteconometrics.flows import rational_quadratic
from disteconometrics.flows.recipes import RQS, AffineMap, MixtureCDF, Recipe

__all__ = ["AffineHead", "Head", "MixtureHead", "SplineHead", "head_of", "increasing_root"]

LARGEST_LOG_SCALE = 6.0  # log scales stay within ± this
ROOT_HALF = math.sqrt(0.5)
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
STEPS = 200


class Head(ABC):
    """A strictly increasing map of the line with ``size`` raw parameters."""

    size: int
    start: tuple[float, ...]

    @abstractmethod
    def to_noise(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """z and log dz/dy at outcomes y."""

    @abstractmethod
    def to_data(self, z: Tensor, raw: Tensor) -> Tensor:
        """The outcome y with noise z."""


def soft_limit(raw: Tensor) -> Tensor:
    """Log scales, kept inside ± `FLATTEST` so that no step overflows; nearly the identity around zero."""
    return LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE)


@final
class AffineHead(Head):
    """z = (y − m)·exp(−log s) with raw parameters m and log s."""

    size = 2
    start = (0.0, 0.0)

    def to_noise(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """z and −log s."""
        log_scale = soft_limit(raw[..., 1])
        z = (y - raw[..., 0]) * torch.exp(-log_scale)
        return z, -log_scale.expand_as(z)

    def to_data(self, z: Tensor, raw: Tensor) -> Tensor:
        """m + s·z."""
        return raw[..., 0] + torch.exp(soft_limit(raw[..., 1])) * z


@final
class SplineHead(Head):
    """Rational-quadratic spline on ±bound with the identity outside.

    Softmax widths and heights, softplus inner slopes.
    """

    def __init__(self, bins: int, bound: float) -> None:
        self.bins, self.bound = bins, bound
        self.size = 3 * bins - 1
        self.start = (0.0,) * (2 * bins) + (rational_quadratic.START,) * (bins - 1)

    def to_noise(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """z and log dz/dy."""
        z, log_slope, _ = rational_quadratic.Spline.apply(y, raw, self.bins, self.bound)  # type: ignore[no-untyped-call]
        return z, log_slope

    def to_data(self, z: Tensor, raw: Tensor) -> Tensor:
        """The inverse, through which no gradient goes."""
        return rational_quadratic.inverse(z, raw, self.bins, self.bound)


@final
class MixtureHead(Head):
    """z = logit F(y) for a mixture of normals with raw log weights, means and log scales."""

    def __init__(self, components: int) -> None:
        self.components = components
        self.size = 3 * components
        middle = (components - 1) / 2
        spread = [1.5 * (k - middle) / max(middle, 1) for k in range(components)]
        self.start = (
            (0.0,) * components + tuple(spread) + (math.log(1.5 / max(components, 2) + 0.25),) * components
        )

    def parts(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, means and log scales, (…, components)."""
        log_weight, mean, log_scale = torch.chunk(raw, 3, -1)
        return functional.log_softmax(log_weight, -1), mean, soft_limit(log_scale)

    def _density(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log density (…), log weights and standardised residuals (…, components)."""
        log_weight, mean, log_scale = self.parts(raw)
        residual = (y[..., None] - mean) * torch.exp(-log_scale)
        density = torch.logsumexp(log_weight - log_scale - 0.5 * residual * residual, -1) - HALF_LOG_2PI
        return density, log_weight, residual

    def log_density(self, y: Tensor, raw: Tensor) -> Tensor:
        """Log of the mixture's density, which is all that maximum likelihood needs."""
        return self._density(y, raw)[0]

    def to_noise(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Logit of the cdf, and the log of its slope."""
        density, log_weight, residual = self._density(y, raw)
        below = torch.logsumexp(log_weight + torch.special.log_ndtr(residual), -1)
        above = torch.logsumexp(log_weight + torch.special.log_ndtr(-residual), -1)
        return below - above, density - below - above

    def to_data(self, z: Tensor, raw: Tensor) -> Tensor:
        """By Newton's steps in a bracket.

        The quantile lies between the smallest and the largest of the components'.
        """
        log_weight, mean, log_scale = self.parts(raw)
        weight, scale = torch.exp(log_weight), torch.exp(log_scale)
        lower_tail = torch.minimum(functional.logsigmoid(z), functional.logsigmoid(-z))
        reach = torch.sqrt(-2 * lower_tail) + 1  # a bound of |Φ⁻¹|
        low = (mean - reach[..., None] * scale).amin(-1)
        high = (mean + reach[..., None] * scale).amax(-1)
        step = weight / scale

        # Sums of Φ are much quicker than those of log Φ; erfc keeps both tails, which torch's ndtr rounds
        # away.
        def at(y: Tensor) -> tuple[Tensor, Tensor]:
            residual = (y[..., None] - mean) / scale
            below, above = (
                (weight * 0.5 * torch.erfc(s * residual)).sum(-1) for s in (-ROOT_HALF, ROOT_HALF)
            )
            slope = (step * torch.exp(-0.5 * residual * residual)).sum(-1) * math.exp(-HALF_LOG_2PI)
            return torch.log(below) - torch.log(above) - z, slope * (1 / below + 1 / above)

        return increasing_root(at, low, high)


def increasing_root(at: Callable[[Tensor], tuple[Tensor, Tensor]], low: Tensor, high: Tensor) -> Tensor:
    """The root of an increasing function between low and high.

    It is found by Newton's steps, which bisect where they leave the bracket.

    Parameters
    ----------
    at : points → values and slopes.
    low, high : Tensors that bracket the roots.

    Examples
    --------
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> increasing_root(lambda y: (y**3 - 2, 3 * y**2), 0 * one, 5 * one).round(decimals=10).tolist()
    [1.2599210499]
    """
    y = 0.5 * (low + high)
    last = high - low
    for _ in range(STEPS):
        value, slope = at(y)
        low, high = torch.where(value <= 0, y, low), torch.where(value >= 0, y, high)
        new = y - value / slope
        slow = ((new - y).abs() > 0.5 * last) | ~((new >= low) & (new <= high))
        new = torch.where(slow, 0.5 * (low + high), new)
        last = (new - y).abs()
        y = new
        if not bool((last > 4e-16 * (1 + y.abs())).any()):
            break
    return y


def head_of(recipe: Recipe) -> Head:
    """The head that a recipe of one outcome's map describes.

    Examples
    --------
    >>> head_of(RQS(bins=8)).size
    23
    """
    if isinstance(recipe, RQS):
        return SplineHead(recipe.bins, recipe.tail_bound)
    if isinstance(recipe, MixtureCDF):
        return MixtureHead(recipe.components)
    assert isinstance(recipe, AffineMap)
    return AffineHead()
