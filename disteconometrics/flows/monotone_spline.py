"""The default flow of a scalar outcome, as a value: what may move with the covariates, and how smoothly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from disteconometrics.checks import is_whole
from disteconometrics.errors import OptionError
from disteconometrics.words import TakesWords

__all__ = ["STRUCTURES", "MonotoneSpline"]

# Terms of each structure beside its baseline, the simplest structure first; see `likelihoods.structure`.
STRUCTURES: dict[str, tuple[str, ...]] = {
    "linear": ("linear",),
    "baseline": ("linear",),
    "scale": ("linear", "scale"),
    "shift": ("linear", "shift", "scale"),
    "shape": ("linear", "shift", "scale", "shape"),
    "tensor": ("linear", "shift", "scale", "shape", "scale_smooth", "shape_smooth"),
}

COMPARED = ("auto", "simple")  # that are chosen among the others


@final
@dataclass(frozen=True)
class MonotoneSpline(TakesWords):
    """The default flow: a monotone cubic spline of the outcome whose coefficients move with the covariates.

    Parameters
    ----------
    structure : {"auto", "simple", "linear", "baseline", "scale", "shift", "shape", "tensor"}
        What may move: "linear" is a normal or logistic linear model; "baseline" adds a free shape common to
        all rows; "scale" lets the scale, "shift" also a smooth location, "shape" also the shape move with
        each covariate; "tensor" moves everything smoothly.  "auto" compares them by leave-one-out, with more
        than 10,000 rows (62,500 without covariates) on 8,000 (50,000) of them, always the same, and fits
        the one chosen to all; "simple" leaves out the tensor.  A factor of six levels or more has one
        smoothing parameter for its scales and one for its shapes, and "auto" lets it move them from 8 and
        from 40 rows a level on.
    knots : int or None
        Knots of the baseline, at least 5; None for about 4·n^0.265.
    roughness : float
        Factor on every smoothing parameter: below one fits closer, above one smoother.

    Raises
    ------
    OptionError
        If an argument is not one of the above.

    References
    ----------
    Hothorn, Möst, Bühlmann (2018), Most likely transformations, Scandinavian J. Statistics 45,
    doi:10.1111/sjos.12291. Spady, Stouli (2020), Gaussian transforms modeling and the estimation of
    distributional regression functions, arXiv:2011.06416.

    Examples
    --------
    >>> MonotoneSpline(structure="scale")
    MonotoneSpline(structure='scale', knots=None, roughness=1.0)
    """

    structure: str = "auto"
    knots: int | None = None
    roughness: float = 1.0

    def __post_init__(self) -> None:
        if self.structure not in (*COMPARED, *STRUCTURES):
            raise OptionError(
                f"structure={self.structure!r} is not known; use 'auto', 'simple' or one of "
                f"{', '.join(map(repr, STRUCTURES))}."
            )
        if self.knots is not None and not (isinstance(self.knots, int) and is_whole(self.knots, 5, 1000)):
            raise OptionError(f"knots={self.knots!r}: give a whole number from 5 to 1000, or None.")
        number = isinstance(self.roughness, (int, float)) and not isinstance(self.roughness, bool)
        if not number or not 0 < self.roughness < math.inf:
            raise OptionError(
                f"roughness={self.roughness!r}: give a positive number; 1 leaves the smoothing as estimated."
            )
