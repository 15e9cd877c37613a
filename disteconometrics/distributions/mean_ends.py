"""The averages of the ends of records, which bound the mean of an outcome whatever its law."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.data.recorder_calls import DIRECTIONS
from disteconometrics.distributions.recorded import recording_of
from disteconometrics.errors import WithheldError

__all__ = ["MeanEnds", "mean_ends"]


class MeanEnds(NamedTuple):
    """Bounds (b,) of a mean as shifts (b,) + weights (b, m) · functionals (m,) by name, ``of`` a law."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    of: str
    shifts: Array
    weights: Array


def mean_ends(spec: Any) -> MeanEnds:
    """The bounds that the recorders of a design leave, those that are finite.

    Raises
    ------
    WithheldError
        If there are none.

    Examples
    --------
    >>> import disteconometrics as de
    >>> engel = de.datasets.engel()
    >>> engel["foodexp"] = engel.foodexp.clip(upper=900)
    >>> mean_ends(de.NormalRegression("topcoded(foodexp, at=900) ~ income").fit(engel).spec).labels
    ('mean, at least',)
    """
    recorders = {r.name: r for r in spec.outcome.recorders}
    if "brackets" in recorders:
        return _of_brackets(spec, recorders)
    if recording_of(spec) is None or not {"rounded", "topcoded", "bottomcoded"} & set(recorders):
        raise WithheldError("The outcome was told exactly: its mean has no bounds but its limits.")
    grid = recorders.get("rounded")
    below, above = (0.0, 0.0) if grid is None else DIRECTIONS[str(grid.direction)]
    step = 0.0 if grid is None or grid.to is None else grid.to
    low = -np.inf if "bottomcoded" in recorders else -below * step
    high = np.inf if "topcoded" in recorders else above * step
    return _finite(("mean",), "recorded", np.array([low, high]), np.ones((2, 1)))


def _of_brackets(spec: Any, recorders: Any) -> MeanEnds:
    """Of a law with F_k at the inner bounds b_1 … b_K−1: b_K−1 − Σ (b_k − b_k−1) F_k, and the same above."""
    if "mass" in recorders or not recorders["brackets"].bounds:
        raise WithheldError(
            "Bounds of a mean are given of brackets whose bounds the formula has, without a mass."
        )
    bounds = spec.outcome_units(recorders["brackets"].bounds)
    gaps, inner = np.diff(bounds), bounds[1:-1]
    with np.errstate(invalid="ignore"):
        weights = -np.array([gaps[:-1], gaps[1:]])
    open_ends = np.isinf(bounds[[0, -1]])
    shifts = np.where(open_ends, [-np.inf, np.inf], bounds[[-2, -1]])
    names = tuple(f"prob[-inf,{b!r}]" for b in inner.tolist())
    return _finite(names, "outcome", shifts, weights)


def _finite(names: tuple[str, ...], of: str, shifts: Array, weights: Array) -> MeanEnds:
    known = np.isfinite(shifts)
    if not known.any():
        raise WithheldError("Records have open ends at both sides: they do not bound the mean.")
    labels = tuple(np.array(["mean, at least", "mean, at most"])[known].tolist())
    return MeanEnds(labels, names, of, shifts[known], weights[known])
