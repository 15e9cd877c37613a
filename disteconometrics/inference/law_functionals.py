"""Names of functionals that laws of rows differentiate exactly, read to a kind and its numbers."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np

from disteconometrics.errors import OptionError

__all__ = ["MOMENTS", "OF_QUANTILES", "SHARES", "Functional", "is_analytic", "parse_functional"]

Functional = tuple[str, tuple[Any, ...]]  # a kind and its numbers; "other" and a function of a law

MOMENTS = ("mean", "gini", "theil", "mld", "std", "var")  # functionals that how far a tail goes may decide
SHARES = "shares"  # Σ a_j P(y = j) of an outcome in categories, its numbers a
NUMBERS = {"q": 1, "prob": 2, "ratio": 2}  # that a functional takes
# functionals of two quantiles, at levels
OF_QUANTILES: dict[str, Functional] = {
    "iqr": ("difference", (0.75, 0.25)),
    "p90p10": ("ratio", (0.9, 0.1)),
    "p90p50": ("ratio", (0.9, 0.5)),
    "p50p10": ("ratio", (0.5, 0.1)),
}
_CALL = re.compile(r"\s*(mean|std|var|median|iqr|p90p10|p90p50|p50p10|ratio|q|prob)\s*(?:\[([^\]]*)\])?\s*")


def is_analytic(name: Any) -> bool:
    """Whether `parse_functional` reads a name."""
    return isinstance(name, str) and _CALL.fullmatch(name) is not None


def parse_functional(name: Any) -> Functional:
    """Read ``mean``, ``std``, ``var``, ``median``, ``q[0.9]``, ``prob[a,b]``, ``iqr``, or ``p90p10``.

    Raises
    ------
    OptionError
        If the text is none of these.

    Examples
    --------
    >>> parse_functional("q[0.9]")
    ('q', (0.9,))
    """
    found = _CALL.fullmatch(name) if isinstance(name, str) else None
    kind, numbers = (found[1], _numbers(found[2])) if found else ("", (np.nan,))
    increasing = (0.0, *numbers, 1.0) if kind == "q" else numbers
    if kind == "ratio":  # of two quantiles
        increasing = (0.0, min(numbers), 1.0) if 0 < max(numbers) < 1 else (0.0, 0.0)
    if len(numbers) != NUMBERS.get(kind, 0) or not all(a < b for a, b in pairwise(increasing)):
        raise OptionError(
            f"{name!r} is no functional with standard errors here; use 'mean', 'std', 'var', 'median', "
            "'iqr', 'q[0.9]' (a level between 0 and 1), 'ratio[a,b]' of two levels or 'prob[a,b]' with a < b."
        )
    return ("q", (0.5,)) if kind == "median" else OF_QUANTILES.get(kind, (kind, numbers))


def _numbers(inside: str | None) -> tuple[float, ...]:
    """The numbers in brackets; NaN where there is something else."""
    try:
        return () if inside is None else tuple(float(v) for v in inside.split(","))
    except ValueError:
        return (np.nan,)
