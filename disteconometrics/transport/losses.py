"""What a map may be trained to make small: distances between its draws and the data, as frozen values.

Torch computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from disteconometrics.checks import positive, whole
from disteconometrics.errors import OptionError
from disteconometrics.transport.samples import check_order
from disteconometrics.words import TakesWords

__all__ = ["Loss", "Sinkhorn", "Sliced", "Sorted"]


@dataclass(frozen=True)
class Loss(TakesWords):
    """A distance between draws and data, to the power p."""

    p: float = 2

    def __post_init__(self) -> None:
        if check_order(self.p) == float("inf"):
            raise OptionError("p = ∞ has no gradient to train by; give a finite order.")


@final
@dataclass(frozen=True)
class Sorted(Loss):
    """W_p^p of samples on the line, exact: sorted draws are matched with sorted data.

    Parameters
    ----------
    p : float of at least 1, finite.

    Raises
    ------
    OptionError

    Examples
    --------
    >>> Sorted().p
    2
    """


@final
@dataclass(frozen=True)
class Sliced(Loss):
    """The mean of W_p^p over random directions, drawn anew at every step.

    Parameters
    ----------
    p : float of at least 1, finite.
    projections : int, directions in a step.

    Raises
    ------
    OptionError

    References
    ----------
    Bonneel, Rabin, Peyré, Pfister (2015), Sliced and Radon Wasserstein barycenters of measures, Journal of
    Mathematical Imaging and Vision 51, doi:10.1007/s10851-014-0506-3.

    Examples
    --------
    >>> Sliced(projections=50).projections
    50
    """

    projections: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.projections, "projections", 1)


@final
@dataclass(frozen=True)
class Sinkhorn(Loss):
    """The debiased Sinkhorn divergence, in units of |x − y|^p.

    Parameters
    ----------
    p : {1, 2}
    blur : float, in units of the outcomes.
    tolerance : float, marginal error at which the iterations of a step end.

    Raises
    ------
    OptionError

    References
    ----------
    Feydy, Séjourné, Vialard, Amari, Trouvé, Peyré (2019), Interpolating between optimal transport and MMD
    using Sinkhorn divergences, AISTATS, arXiv:1810.08278.

    Examples
    --------
    >>> Sinkhorn(blur=0.05).blur
    0.05
    """

    blur: float = 0.05
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p not in (1, 2):
            raise OptionError(f"p={self.p!r}: entropic transport knows the orders 1 and 2.")
        for name in ("blur", "tolerance"):
            positive(getattr(self, name), name)
