"""How rows were drawn: what their weights are, which of them belong together, and in what order they came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from disteconometrics.arrays import Array, Indices
from disteconometrics.errors import OptionError

__all__ = ["Sampling"]


def _unknown(by: Any) -> Any:
    raise OptionError(f"These rows know neither clusters nor an order by {by!r}.")


@dataclass(frozen=True, eq=False)
class Sampling:
    """What covariances ask of rows; what was read once is kept as long as this value.

    Parameters
    ----------
    read_codes : columns → (codes (n,) of clusters from 0, their number); a `Survey` → its design.
    read_order : time column → positions (n,) in time order, −1 for a row whose score is zero in the limit.
    weights : (n,) float64 array or None
    weight_type : {"frequency", "sampling"} or None

    Examples
    --------
    >>> two = Sampling(lambda columns: (np.array([0, 1, 2, 1]), 3))
    >>> two.at(np.array([1, 3])).codes(("firm",))
    (array([0, 0]), 1)
    """

    read_codes: Callable[[Any], Any] = _unknown
    read_order: Callable[[str], Indices] = _unknown
    weights: Array | None = None
    weight_type: str | None = None
    _known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def counts(self) -> bool:
        """Whether weights count identical rows."""
        return self.weight_type == "frequency"

    @property
    def copies(self) -> Array | None:
        """How many rows (n,) each one stands for, None for one."""
        return self.weights if self.counts else None

    def codes(self, columns: Any) -> Any:
        """Clusters, or the design of a survey."""
        by = tuple(columns) if isinstance(columns, list | tuple) else columns
        return self._once("codes", self.read_codes, by)

    def order(self, time: str) -> Indices:
        """Positions (n,) in the order of a time column."""
        found: Indices = self._once("order", self.read_order, time)
        return found

    def at(self, rows: Indices) -> Sampling:
        """The clusters and weights of some of the rows."""
        return Sampling(
            partial(_codes_at, self, rows),
            weights=None if self.weights is None else self.weights[rows],
            weight_type=self.weight_type,
        )

    def _once(self, what: str, read: Callable[[Any], Any], by: Any) -> Any:
        if (what, by) not in self._known:
            self._known[what, by] = read(by)
        return self._known[what, by]


def _codes_at(sampling: Sampling, rows: Indices, columns: Any) -> tuple[Indices, int]:
    found, own = np.unique(sampling.codes(columns)[0][rows], return_inverse=True)
    return own.astype(np.intp), len(found)
