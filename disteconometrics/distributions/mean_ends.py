"""The averages of the ends of records, which bound the mean of an outcome whatever its law."""

from __future__ import annotations

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.data.recorded import Records
from disteconometrics.errors import WithheldError

__all__ = ["mean_ends"]


def mean_ends(records: Records | None, corner: float | None = None) -> dict[str, Array]:
    """The ends (n,) of records by the word for their average; a corner is the lowest.

    Raises
    ------
    WithheldError
        If all outcomes are known.

    Examples
    --------
    >>> ends = mean_ends(Records(np.array([1.0, 4.0]), np.array([1.0, np.inf])))
    >>> {name: end.tolist() for name, end in ends.items()}
    {'mean, at least': [1.0, 4.0], 'mean, at most': [1.0, inf]}
    """
    low = np.zeros(0) if records is None else records.lower
    low = low if corner is None else np.maximum(low, corner)
    if records is None or np.array_equal(low, records.upper):
        raise WithheldError("The outcome was told exactly: its mean has no bounds but its limits.")
    return {"mean, at least": low, "mean, at most": records.upper}
