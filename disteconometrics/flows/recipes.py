"""Flows by name: frozen, printable recipes, from which modules are built when a fit begins.

A flow is written from the data to the noise: the first map of a chain acts on the outcomes, the last one
meets the base law. Nothing here loads torch.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, final

from disteconometrics.checks import is_whole, positive, whole
from disteconometrics.errors import OptionError
from disteconometrics.words import TakesWords

__all__ = [
    "MLP",
    "RQS",
    "AffineMap",
    "Autoregressive",
    "Chain",
    "Coupling",
    "MixtureCDF",
    "Planar",
    "Recipe",
    "chain_of",
    "is_mixture",
    "most_numbers",
    "recipe_from",
    "recipe_to",
]


def _widths(value: Any) -> tuple[int, ...]:
    given = (value,) if is_whole(value) else value
    if not isinstance(given, (tuple, list)):
        raise OptionError(
            f"hidden={value!r}: give the widths of the hidden layers, such as (64, 64); () for a linear map."
        )
    return tuple(whole(w, "a width in hidden", 1, 4096) for w in given)


class Recipe(TakesWords, ABC):
    """What a flow is made of; a subclass is a frozen dataclass of numbers, texts and other recipes."""

    elementwise: ClassVar[bool] = False  # a map of one outcome, whose parameters a net may give


@final
@dataclass(frozen=True)
class AffineMap(Recipe):
    """A learned affine map: z = (y − m(x))/s, with a triangular matrix for joint outcomes.

    Its maximum likelihood is OLS.

    Parameters
    ----------
    scale : {"constant", "covariates"}
        Whether log s moves with the covariates too: "covariates" makes it a location-scale layer.
    hidden : tuple of int
        Widths of the net that gives m (and s) from the covariates; () for a linear m and a linear log s.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Papamakarios, Nalisnick, Rezende, Mohamed, Lakshminarayanan (2021), Normalizing flows for probabilistic
    modeling and inference, JMLR 22, arXiv:1912.02762.

    Examples
    --------
    >>> AffineMap()
    AffineMap(scale='constant', hidden=())
    """

    scale: str = "constant"
    hidden: tuple[int, ...] = ()

    elementwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.scale not in ("constant", "covariates"):
            raise OptionError(
                f"scale={self.scale!r}: give 'constant', or 'covariates' for a scale that moves with them."
            )
        object.__setattr__(self, "hidden", _widths(self.hidden))


@final
@dataclass(frozen=True)
class RQS(Recipe):
    """A monotone rational-quadratic spline of each outcome by itself, the identity outside ±``tail_bound``.

    Parameters
    ----------
    bins : int, from 2 to 512.
    tail_bound : float
        In standard deviations of the outcomes, which are standardised first.
    hidden : tuple of int
        Widths of the net that gives bins and slopes from the covariates; () for linear ones.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Durkan, Bekasov, Murray, Papamakarios (2019), Neural spline flows, NeurIPS 32, arXiv:1906.04032.

    Examples
    --------
    >>> RQS(bins=16)
    RQS(bins=16, tail_bound=5.0, hidden=(32, 32))
    """

    bins: int = 8
    tail_bound: float = 5.0
    hidden: tuple[int, ...] = (32, 32)

    elementwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole(self.bins, "bins", 2, 512)
        bound = positive(self.tail_bound, "tail_bound", ", in standard deviations of the outcome")
        self.__dict__.update(tail_bound=bound, hidden=_widths(self.hidden))


@final
@dataclass(frozen=True)
class MixtureCDF(Recipe):
    """The distribution function of a normal mixture, as the map of each outcome to logistic noise.

    With covariates this is a mixture density network.

    Parameters
    ----------
    components : int, from 1 to 256.
    hidden : tuple of int
        Widths of the net that gives weights, means and scales from the covariates; () for linear ones.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Bishop (1994), Mixture density networks, Aston University NCRG/94/004.
    Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++, ICML, arXiv:1902.00275.

    Examples
    --------
    >>> MixtureCDF(components=4)
    MixtureCDF(components=4, hidden=(32, 32))
    """

    components: int = 8
    hidden: tuple[int, ...] = (32, 32)

    elementwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole(self.components, "components", 1, 256)
        object.__setattr__(self, "hidden", _widths(self.hidden))


@final
@dataclass(frozen=True)
class Planar(Recipe):
    """Planar layers z = y + u·tanh(w'y + b), u'w ≥ −1, inverted exactly by a scalar root along w.

    Parameters
    ----------
    layers : int, from 1 to 256.
    hidden : tuple of int
        Widths of the net that gives b, u and w from the covariates, if there are any; () for linear ones.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Rezende, Mohamed (2015), Variational inference with normalizing flows, ICML, arXiv:1505.05770.

    Examples
    --------
    >>> Planar(layers=8)
    Planar(layers=8, hidden=())
    """

    layers: int = 8
    hidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        whole(self.layers, "layers", 1, 256)
        object.__setattr__(self, "hidden", _widths(self.hidden))


def _head(of: Any, owner: str) -> Any:
    if not (isinstance(of, Recipe) and of.elementwise):
        raise OptionError(
            f"{owner} takes a map of one outcome, de.AffineMap(), de.RQS(…) or de.MixtureCDF(…); got {of!r}."
        )
    return of


@final
@dataclass(frozen=True)
class Autoregressive(Recipe):
    """Each outcome is mapped with parameters that a masked net gives from earlier outcomes and covariates.

    With an affine map it is a masked autoregressive flow; one layer maps the outcomes in the order of the
    formula, further ones in turn backwards and forwards.

    Parameters
    ----------
    of : AffineMap, RQS or MixtureCDF
        The map of one outcome; its own ``hidden`` and ``scale`` are not used.
    layers : int, from 1 to 64.
    hidden : tuple of int, widths of the masked net.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Papamakarios, Pavlakou, Murray (2017), Masked autoregressive flow for density estimation, NeurIPS 30,
    arXiv:1705.07057.

    Examples
    --------
    >>> Autoregressive(RQS(bins=8), hidden=8)
    Autoregressive(of=RQS(bins=8, tail_bound=5.0, hidden=(32, 32)), layers=1, hidden=(8,))
    """

    of: AffineMap | RQS | MixtureCDF
    layers: int = 1
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        _head(self.of, "Autoregressive")
        whole(self.layers, "layers", 1, 64)
        if self.layers > 1 and isinstance(self.of, MixtureCDF):
            raise OptionError(
                "MixtureCDF maps to the base, so it makes the last layer only: use layers=1, or a chain."
            )
        object.__setattr__(self, "hidden", _widths(self.hidden))


@final
@dataclass(frozen=True)
class Coupling(Recipe):
    """Half of the outcomes are mapped, with parameters by a net from the other half, and all are then mixed.

    Parameters
    ----------
    of : AffineMap or RQS
        The map of one outcome; its own ``hidden`` and ``scale`` are not used.
    layers : int, from 1 to 256.
    hidden : tuple of int, widths of the net of each layer.
    mix : {"permute", "lu"}
        Turn the order of the outcomes round after a layer, or mix them by a learned matrix with an LU
        factorisation.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, ICLR, arXiv:1605.08803.
    Kingma, Dhariwal (2018), Glow: generative flow with invertible 1×1 convolutions, NeurIPS 31,
    arXiv:1807.03039.

    Examples
    --------
    >>> Coupling(AffineMap(), layers=16, mix="lu").hidden
    (64, 64)
    """

    of: AffineMap | RQS
    layers: int = 4
    hidden: tuple[int, ...] = (64, 64)
    mix: str = "permute"

    def __post_init__(self) -> None:
        if isinstance(_head(self.of, "Coupling"), MixtureCDF):
            raise OptionError(
                "Coupling takes de.AffineMap() or de.RQS(…): MixtureCDF maps to the base, use Autoregressive."
            )
        whole(self.layers, "layers", 1, 256)
        if self.mix not in ("permute", "lu"):
            raise OptionError(f"mix={self.mix!r}: give 'permute' or 'lu'.")
        object.__setattr__(self, "hidden", _widths(self.hidden))


@final
@dataclass(frozen=True)
class Chain(Recipe):
    """Maps applied one after the other, from the data to the noise.

    A tuple or list of recipes is read as a chain.

    Parameters
    ----------
    maps : tuple of recipes, at least one.

    Raises
    ------
    OptionError
        If one is no recipe.

    Examples
    --------
    >>> len(Chain((AffineMap("covariates"), RQS())).maps)
    2
    """

    maps: tuple[Recipe, ...]

    def __post_init__(self) -> None:
        maps = tuple(self.maps) if isinstance(self.maps, (tuple, list)) else ()
        if not maps or not all(isinstance(m, Recipe) and not isinstance(m, Chain) for m in maps):
            raise OptionError(
                f"A chain is a tuple of flows such as (de.AffineMap(), de.RQS()); got {self.maps!r}."
            )
        if any(is_mixture(m) for m in maps[:-1]):
            raise OptionError("MixtureCDF maps to the base, so it is the last map of a chain.")
        object.__setattr__(self, "maps", maps)


def is_mixture(recipe: Recipe) -> bool:
    """Whether a recipe ends in the distribution function of a mixture, whose noise is logistic.

    Examples
    --------
    >>> is_mixture(Autoregressive(MixtureCDF(4)))
    True
    """
    last = recipe.maps[-1] if isinstance(recipe, Chain) else recipe
    return isinstance(last, MixtureCDF) or (
        isinstance(last, Autoregressive) and isinstance(last.of, MixtureCDF)
    )


def chain_of(flow: Any) -> Chain:
    """Read a recipe, or a tuple or list of them, as a chain.

    Raises
    ------
    OptionError
        If it is neither.

    Examples
    --------
    >>> chain_of(Planar(2)) == chain_of([Planar(2)])
    True
    """
    if isinstance(flow, Chain):
        return flow
    if isinstance(flow, Sequence) and not isinstance(flow, str):
        return Chain(tuple(flow))
    return Chain((flow,))


_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (AffineMap, RQS, MixtureCDF, Planar, Autoregressive, Coupling)
}


def recipe_to(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a plain dictionary, for a file.

    Examples
    --------
    >>> recipe_to(Planar(2))
    {'kind': 'Planar', 'layers': 2, 'hidden': ()}
    """
    if isinstance(recipe, Chain):
        return {"kind": "Chain", "maps": [recipe_to(m) for m in recipe.maps]}
    values = {f.name: getattr(recipe, f.name) for f in fields(recipe)}  # type: ignore[arg-type]
    return {"kind": type(recipe).__name__} | {
        k: recipe_to(v) if isinstance(v, Recipe) else v for k, v in values.items()
    }


def recipe_from(parts: dict[str, Any]) -> Recipe:
    """The recipe that a dictionary describes.

    Raises
    ------
    OptionError, KeyError, TypeError

    Examples
    --------
    >>> recipe_from(recipe_to(Coupling(AffineMap(), layers=2))) == Coupling(AffineMap(), layers=2)
    True
    """
    rest = dict(parts)
    kind = rest.pop("kind")
    if kind == "Chain":
        return Chain(tuple(recipe_from(m) for m in rest["maps"]))
    given = {
        k: recipe_from(v) if isinstance(v, dict) else tuple(v) if isinstance(v, list) else v
        for k, v in rest.items()
    }
    made: Recipe = _KINDS[kind](**given)
    return made


def most_numbers(recipe: Recipe, outcomes: int, covariates: int) -> int:
    """A bound on the parameters of a recipe, a few times their number at most, found without building it.

    Examples
    --------
    >>> most_numbers(Planar(2), outcomes=2, covariates=0)
    10
    """
    d, c = outcomes, covariates
    if isinstance(recipe, Chain):
        return sum(most_numbers(m, d, c) for m in recipe.maps)
    if isinstance(recipe, AffineMap):
        return 2 * _net_numbers(c, recipe.hidden, d) + d * d
    if isinstance(recipe, Planar):
        return recipe.layers * _net_numbers(c, recipe.hidden, 2 * d + 1)
    if isinstance(recipe, (RQS, MixtureCDF)):
        return _net_numbers(c, recipe.hidden, d * _head_numbers(recipe))
    assert isinstance(recipe, (Autoregressive, Coupling))
    net = _net_numbers(d + c, recipe.hidden, d * _head_numbers(recipe.of))
    return recipe.layers * (net + 2 * d * d)


def _net_numbers(inputs: int, hidden: tuple[int, ...], outputs: int) -> int:
    widths = (inputs, *hidden, outputs) if inputs else ()
    return outputs + sum((a + 1) * b for a, b in pairwise(widths))


def _head_numbers(head: Any) -> int:
    """At most so many parameters of the map of one outcome."""
    return 3 * getattr(head, "bins", 0) + 3 * getattr(head, "components", 0) + 2


@final
@dataclass(frozen=True, init=False)
class MLP(TakesWords):
    """A perceptron that maps noise to outcomes.

    `TransportDensity` trains it.  It is no flow, as it need not be invertible.

    Parameters
    ----------
    *hidden : int, widths of the hidden layers.
    activation : {"relu", "silu", "tanh"}
    noise : int or None, dimension of the normal noise; None for that of the outcomes.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    Examples
    --------
    >>> MLP(32, 32)
    MLP(hidden=(32, 32), activation='relu', noise=None)
    """

    hidden: tuple[int, ...]
    activation: str
    noise: int | None

    def __init__(self, *hidden: int, activation: str = "relu", noise: int | None = None) -> None:
        if not hidden or not all(is_whole(h, 1) for h in hidden):
            raise OptionError(
                f"MLP{hidden!r}: give the widths of one or more hidden layers, as in de.MLP(32, 32)."
            )
        if activation not in ("relu", "silu", "tanh"):
            raise OptionError(f"activation={activation!r}: give 'relu', 'silu' or 'tanh'.")
        if noise is not None:
            whole(noise, "noise", 1)
        self.__dict__.update(hidden=tuple(map(int, hidden)), activation=activation, noise=noise)
