"""A trained flow as numpy functions: standardisation, parameters, double precision, one thread."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from disteconometrics.arrays import Array
from disteconometrics.errors import FileFormatError
from disteconometrics.fields import Numbers, read_fields
from disteconometrics.flows.heads import MixtureHead
from disteconometrics.flows.layers import Flow, FullAffine, Heads, build
from disteconometrics.flows.recipes import Chain, chain_of, most_numbers, recipe_from, recipe_to

__all__ = ["FittedFlow", "file_arrays", "one_thread"]

STANDARD = ("location", "scale", "x_location", "x_scale")  # what outcomes and covariates are standardised by
MOST_CELLS = 4_000_000  # of a temporary array
SPARE = 100_000  # parameters that a damaged file may ask for beyond those that it holds


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread and the CPU inside: the same bits for the same rows; the user's settings come back.

    Examples
    --------
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before, device = torch.get_num_threads(), torch.get_default_device()
    torch.set_num_threads(1)
    try:
        # entered where the default is another one alone, as it slows every call a little
        with nullcontext() if device.type == "cpu" else torch.device("cpu"):
            yield
    finally:
        torch.set_num_threads(before)


@final
@dataclass(frozen=True, eq=False)
class FittedFlow:
    """A flow with its parameters, of outcomes and covariates that are standardised.

    Parameters
    ----------
    chain : Chain.
    base : {"normal", "logistic"}
    location, scale : (d,) float64 arrays.
    x_location, x_scale : (c,) float64 arrays.
    parameters : dict of float64 arrays, by the names of the module.

    Examples
    --------
    >>> from disteconometrics.flows.recipes import AffineMap
    >>> one, none = np.ones(1), np.zeros(0)
    >>> flow = FittedFlow.begin(chain_of(AffineMap()), "normal", 2 * one, one, none, none, seed=0)
    >>> z, slope = flow.to_noise(np.array([[3.0]]), np.zeros((1, 0)))
    >>> z.tolist(), flow.to_data(z, np.zeros((1, 0))).tolist()
    ([[1.0]], [[3.0]])
    """

    chain: Chain
    base: str
    location: Array
    scale: Array
    x_location: Array
    x_scale: Array
    parameters: dict[str, Array]

    @classmethod
    @one_thread()
    def begin(
        cls,
        chain: Chain,
        base: str,
        location: Array,
        scale: Array,
        x_location: Array,
        x_scale: Array,
        seed: int,
    ) -> FittedFlow:
        """The flow as training begins, its first parameters drawn with a seed."""
        rng = torch.Generator().manual_seed(seed)
        module = build(chain, len(location), len(x_location), base, rng)
        parameters = {k: _numbers(v) for k, v in module.named_parameters()}
        return cls(chain, base, location, scale, x_location, x_scale, parameters)

    @cached_property
    def module(self) -> Flow:
        """The torch module, in double precision; not to be trained."""
        made = self.fresh()
        for p in made.parameters():
            p.requires_grad_(False)
        return made

    @one_thread()
    def fresh(self) -> Flow:
        """A new torch module with these parameters."""
        rng = torch.Generator().manual_seed(0)
        made = build(self.chain, self.outcomes, self.covariates, self.base, rng)
        own = dict(made.named_parameters())
        if set(own) != set(self.parameters) or any(
            own[k].shape != v.shape for k, v in self.parameters.items()
        ):
            raise ValueError("the parameters are not those of the flow")
        with torch.no_grad():
            for name, value in self.parameters.items():
                own[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
        return made

    def trained(self, values: Sequence[Tensor]) -> FittedFlow:
        """The same flow with other parameters, in the order of the module's."""
        return replace(
            self, parameters={k: _numbers(v) for k, v in zip(self.parameters, values, strict=True)}
        )

    @property
    def outcomes(self) -> int:
        """Dimension d."""
        return len(self.location)

    @property
    def covariates(self) -> int:
        """Dimension c."""
        return len(self.x_location)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(v.size for v in self.parameters.values())

    def _chunked(
        self, y: Array, x: Array, of: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
    ) -> tuple[Array, ...]:
        """A function of outcomes (n, …, d) and covariates (n, …, c) by chunks of rows."""
        y = np.broadcast_to(y, (*np.broadcast_shapes(y.shape[:-1], x.shape[:-1]), self.outcomes))
        widest = max(v.shape[0] for v in self.parameters.values()) * 8 if self.parameters else 8
        step = max(1, MOST_CELLS // max(int(np.prod(y.shape[1:-1], dtype=np.int64)) * widest, 1))
        parts = []
        with one_thread(), torch.no_grad():
            for i in range(0, max(len(y), 1), step):
                ys, xs = y[i : i + step], x if len(x) == 1 else x[i : i + step]
                parts.append(
                    [v.numpy() for v in of(torch.from_numpy(ys.copy()), torch.from_numpy(xs.copy()))]
                )
        return tuple(np.concatenate(p) for p in zip(*parts, strict=True))

    def _standard(self, x: Array) -> Array:
        return (x - self.x_location) / self.x_scale

    def to_noise(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Noise z (n, …, d) and log|det ∂z/∂y| (n, …) of outcomes (n, …, d), x (n or 1, …, c)."""

        def of(ys: Tensor, xs: Tensor) -> tuple[Tensor, Tensor]:
            z, slope = self.module.to_noise(ys, xs)
            return z, slope.expand(ys.shape[:-1])

        z, slope = self._chunked((y - self.location) / self.scale, self._standard(x), of)
        return z, slope - np.log(self.scale).sum()

    def to_data(self, z: Array, x: Array) -> Array:
        """Outcomes (n, …, d) with noise z (n, …, d) given covariates (n, …, c)."""
        (y,) = self._chunked(z, self._standard(x), lambda zs, xs: (self.module.to_data(zs, xs),))
        return self.location + self.scale * y

    def logpdf(self, y: Array, x: Array) -> Array:
        """Log densities (n, …), per unit of the outcomes."""
        standard = (y - self.location) / self.scale
        (value,) = self._chunked(standard, self._standard(x), lambda ys, xs: (self.module(ys, xs),))
        return np.asarray(value - np.log(self.scale).sum())

    def normal_parts(self, x: Array) -> tuple[Array, Array, Array] | None:
        """Means, standard deviations and weights (n, K) where the law given x (n, c) is a mixture of normals.

        It is one of one outcome where affine maps come before a mixture's distribution function and the noise
        is logistic; else None.
        """
        *before, last = self.module.order
        affine = all(isinstance(layer, FullAffine) for layer in before)
        if self.outcomes > 1 or self.base != "logistic" or not affine:
            return None
        if not isinstance(last, Heads) or not isinstance(last.head, MixtureHead):
            return None
        with one_thread(), torch.no_grad():
            given = torch.from_numpy(self._standard(x))
            zero = torch.zeros(len(x), 1, dtype=torch.float64)
            log_weight, mean, log_scale = last.head.parts(last.raw(zero, given)[..., 0, :])
            scale = torch.exp(log_scale)
            for layer in reversed(before):
                start = layer.to_data(zero, given)
                slope = layer.to_data(zero + 1, given) - start
                mean, scale = start + slope * mean, slope * scale
            own = (
                self.location + self.scale * mean.numpy(),
                self.scale * scale.numpy(),
                torch.exp(log_weight).numpy(),
            )
        shape = (len(x), own[2].shape[-1])
        return np.broadcast_to(own[0], shape), np.broadcast_to(own[1], shape), np.broadcast_to(own[2], shape)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """A plain header and arrays, for a file."""
        arrays = {k: getattr(self, k) for k in STANDARD}
        named = {f"parameter_{k}": v for k, v in self.parameters.items()}
        return {"chain": recipe_to(self.chain), "base": self.base}, arrays | named

    @classmethod
    def from_parts(cls, header: dict[str, Any], arrays: dict[str, Array]) -> FittedFlow:
        """The flow that was written, of arrays that were checked by `file_arrays`.

        Raises
        ------
        FileFormatError, OptionError
            If the arrays do not belong to the recipe.
        """
        named = {k.removeprefix("parameter_"): v for k, v in arrays.items() if k.startswith("parameter_")}
        standard = {k: arrays[k] for k in STANDARD}
        words = read_fields(_Words, header, "flow")
        made = cls(chain_of(recipe_from(words.chain)), words.base, parameters=named, **standard)
        made.check()
        return made

    def check(self) -> None:
        """Refuse parameters that are not those of the recipe, before a module of its size is built.

        Raises
        ------
        FileFormatError
        """
        if most_numbers(self.chain, self.outcomes, self.covariates) > 8 * self.size + SPARE:
            raise FileFormatError("the parameters are not those of the flow")
        try:
            self.fresh()
        except ValueError as error:
            raise FileFormatError(str(error)) from None


@dataclass(frozen=True)
class _Words:
    """What a file says of a flow beside its arrays."""

    chain: dict[str, Any]
    base: Literal["normal", "logistic"]


def file_arrays(names: Collection[str]) -> dict[str, Numbers]:
    """What the arrays of a flow in a file are.

    Examples
    --------
    >>> list(file_arrays(["parameter_a", "other"]))
    ['location', 'scale', 'x_location', 'x_scale', 'parameter_a']
    """
    table = {
        "location": Numbers("d"),
        "scale": Numbers("d", "positive"),
        "x_location": Numbers("c"),
        "x_scale": Numbers("c", "positive"),
    }
    return table | {name: Numbers("...") for name in names if name.startswith("parameter_")}


def _numbers(parameter: Tensor) -> Array:
    return np.array(parameter.detach().double().cpu().numpy())
