"""The fixed table of functions that a formula may call, and how each may be called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from formulaic.transforms import basis_spline, center, cyclic_cubic_spline, natural_cubic_spline, poly, scale
from formulaic.transforms.contrasts import (
    DiffContrasts,
    HelmertContrasts,
    PolyContrasts,
    SASContrasts,
    SumContrasts,
    TreatmentContrasts,
)
from formulaic.transforms.patsy_compat import standardize

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CONSTANTS",
    "CONTRASTS",
    "FLAGS",
    "INFINITE",
    "NUMBERS",
    "OTHER_SPELLINGS",
    "TRANSFORMS",
    "Transform",
    "known_functions",
]


@dataclass(frozen=True)
class Transform:
    """A function of a formula: its ``kind`` is row (by row), state, lag, level, same, quote or record.

    A state is learnt from the fitted rows; a record says on the left side how the outcome was recorded.
    ``arity`` columns come first; ``options`` names the constants that may follow, in the order of the
    signature, and ``keyword_only`` those that need their name.
    """

    kind: str
    function: Callable[..., Any] | None = None
    arity: int = 1
    options: tuple[str, ...] = ()
    keyword_only: tuple[str, ...] = ()


_ROW_ONE = (
    *(
        "log",
        "log1p",
        "log10",
        "log2",
        "exp",
        "expm1",
        "exp2",
        "sqrt",
        "cbrt",
        "abs",
        "absolute",
        "fabs",
        "square",
        "sign",
    ),
    *("floor", "ceil", "trunc", "rint", "reciprocal", "sin", "cos", "tan", "sinh", "cosh", "tanh"),
    *("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh"),
)
_ROW_TWO = ("maximum", "minimum", "power", "hypot", "arctan2", "mod")
_SPLINE = ("df", "knots", "lower_bound", "upper_bound", "constraints")

TRANSFORMS: dict[str, Transform] = {
    **{name: Transform("row", getattr(np, name)) for name in _ROW_ONE},
    **{name: Transform("row", getattr(np, name), 2) for name in _ROW_TWO},
    "where": Transform("row", np.where, 3),
    "clip": Transform("row", np.clip, 3),
    "I": Transform("same"),
    "Q": Transform("quote"),
    "C": Transform("level", options=("contrasts",), keyword_only=("levels", "spans_intercept")),
    "lag": Transform("lag", options=("k",)),
    "interval": Transform("record", arity=2, keyword_only=("open",)),
    "brackets": Transform("record", options=("bounds",), keyword_only=("closed",)),
    "rounded": Transform("record", options=("to",), keyword_only=("direction",)),
    "bottomcoded": Transform("record", options=("at",)),
    "topcoded": Transform("record", options=("at",)),
    "mass": Transform("record", options=("at",), keyword_only=("corner",)),
    "scale": Transform("state", scale, options=("center", "scale", "ddof")),
    "standardize": Transform("state", standardize, options=("center", "rescale", "ddof")),
    "center": Transform("state", center),
    "poly": Transform("state", poly, options=("degree", "raw")),
    "bs": Transform(
        "state",
        basis_spline,
        options=("df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation"),
    ),
    "cr": Transform("state", natural_cubic_spline, options=_SPLINE, keyword_only=("extrapolation",)),
    "cs": Transform("state", natural_cubic_spline, options=_SPLINE, keyword_only=("extrapolation",)),
    "cc": Transform("state", cyclic_cubic_spline, options=_SPLINE, keyword_only=("extrapolation",)),
}

CONSTANTS = {"np.pi": np.pi, "np.e": np.e}
INFINITE = ("inf", "np.inf")  # in the options of a record

# contrasts by the spelling a formula uses, with the names of their constant arguments
CONTRASTS: dict[str, tuple[type, tuple[str, ...]]] = {
    "contr.treatment": (TreatmentContrasts, ("base",)),
    "contr.SAS": (SASContrasts, ("base",)),
    "contr.sum": (SumContrasts, ()),
    "contr.helmert": (HelmertContrasts, ("reverse", "scale")),
    "contr.diff": (DiffContrasts, ("backward",)),
    "contr.poly": (PolyContrasts, ("scores",)),
    "Treatment": (TreatmentContrasts, ("reference",)),
    "Sum": (SumContrasts, ()),
    "Helmert": (HelmertContrasts, ("reverse", "scale")),
    "Diff": (DiffContrasts, ("backward",)),
    "Poly": (PolyContrasts, ("scores",)),
}

# options that are true or false, and that are numbers (center and scale of columns may be either)
FLAGS = {"raw", "include_intercept", "spans_intercept", "reverse", "backward", "contr.scale"}
NUMBERS = {"df", "degree", "ddof", "lower_bound", "upper_bound", "center", "scale", "rescale"}

_FACTOR, _SPLINES = "write C(x)", "write cr(x, df=4) or bs(x, df=4)"

# what users of R and Stata write for things that are spelled otherwise here
OTHER_SPELLINGS: dict[str, str] = {
    "offset": "name the column instead: offset='x'",
    "exposure": "name a column of logs instead: offset='log_x'",
    **dict.fromkeys(("factor", "as_factor", "as.factor"), _FACTOR),
    "i": "write C(x) for levels and I(x**2) for arithmetic",
    **dict.fromkeys(
        ("ordered", "as.ordered"), "make the column a categorical in the data, or write C(x, contr.poly)"
    ),
    "relevel": "write C(x, contr.treatment(base='a'))",
    **dict.fromkeys(("ns", "rcs", "rcspline", "pspline", "s", "te"), _SPLINES),
    **dict.fromkeys(("as.numeric", "as_numeric", "as.integer"), "convert the column in the data"),
    "ifelse": "write where(x > 0, a, b)",
    "ln": "write log(x)",
    "pow": "write I(x**2)",
}


def known_functions() -> str:
    """Return the callable names in one line, for messages.  Raises: nothing."""
    return (
        ", ".join(sorted(TRANSFORMS))
        + " (also as np.log, np.exp, …) and "
        + ", ".join(CONTRASTS)
        + " inside C()"
    )
