"""What a fitted binary-outcome model offers to resampling: many weighted fits at once, and fits with a coefficient held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disteconometrics.blocks import Block, dense_block
from disteconometrics.errors import DisteconometricsError
from disteconometrics.inference.m_estimate import MEstimate
from disteconometrics.likelihoods.binary import Kernel
from disteconometrics.likelihoods.index_model import IndexModel, row_terms, scale_rows
from disteconometrics.optim.batched import REASONS, Shared, share, solve_shared
from disteconometrics.optim.newton import maximise

__all__ = ["BinaryResampling", "resampling"]

Array = NDArray[np.float64]

NO_VARIATION = "the outcome does not vary"


@dataclass(frozen=True, eq=False)
class BinaryResampling:
    """The rows of a fit under other weights; fills `inference.bootstrap.Resampling`.

    ``block`` holds the rows (n), ``positions`` (n,) where they are in the user's table; ``direct`` says whether new weights on
    these rows are all that a new fit needs, which transforms learned from the data (``scale``, ``bs``) or a penalty deny.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.Logit("GRADE ~ GPA")
    >>> rows = model.resampling(model.fit(de.datasets.spector()))
    >>> rows.direct, rows.solve(np.ones((1, 32)))[0].round(3).tolist()
    (True, [[-9.703, 2.84]])
    """

    kernel: Kernel
    block: Block
    equation: MEstimate
    design: Any
    direct: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return self.equation.names

    @property
    def positions(self) -> NDArray[np.intp]:
        """Positions (n,) of the rows in the user's table."""
        return np.arange(len(self.block.y)) if self.design.kept is None else np.asarray(self.design.kept)

    @property
    def weights(self) -> tuple[str | None, Array | None]:
        """Type and values (n,) of the weights."""
        return self.design.spec.weight_type, self.block.weights

    def codes(self, columns: Sequence[str]) -> tuple[NDArray[np.intp], int]:
        """Cluster codes (n,) and their number."""
        codes: tuple[NDArray[np.intp], int] = self.design.codes(columns, role="cluster")
        return codes

    @cached_property
    def _shared(self) -> Shared:
        return share(self.kernel, self.block.X, self.block.y, self.block.offset)

    def solve(self, weights: Array) -> tuple[Array, list[str]]:
        """Estimates (R, k) under weights (R, n), NaN with a reason where there are none."""
        block = self.block
        batch = solve_shared(self._shared, weights, self.equation.params, information=False)
        reasons = [REASONS[s] for s in batch.status]
        for i in np.flatnonzero(batch.status):
            seen = block.y[weights[i] > 0]
            if len(seen) == 0 or seen.min() == seen.max():
                reasons[i] = NO_VARIATION
        return batch.params, reasons

    def restricted(self, j: int, value: float) -> tuple[Array, Array] | None:
        """Scores (n, k) and information (k, k) where coefficient j is held at a value; None without a maximum."""
        block, k = self.block, self.block.X.shape[1]
        others = np.arange(k) != j
        offset = value * block.X[:, j] + (0.0 if block.offset is None else block.offset)
        beta = np.full(k, value)
        if k > 1:
            part = block._replace(X=np.ascontiguousarray(block.X[:, others]), offset=offset)
            try:
                m = maximise(IndexModel(self.kernel, [part]))
            except DisteconometricsError:
                return None
            if not m.converged:
                return None
            beta[others] = m.params
        terms = row_terms(self.kernel, block, beta)
        return scale_rows(block.X, terms.score), scale_rows(block.X, terms.root_weight**2).T @ block.X


def resampling(model: Any, kernel: Kernel, rows: Any) -> BinaryResampling:
    """What the rows behind a result offer to resampling; ``model`` is its specification.

    Examples
    --------
    >>> import disteconometrics as de
    >>> model = de.Logit("GRADE ~ scale(GPA)")  # the scale would be learned again
    >>> model.resampling(model.fit(de.datasets.spector())).direct
    False
    """
    (block,) = map(dense_block, rows.blocks)
    design = rows.design
    plain = getattr(model, "penalty", None) is None and model.separation != "firth"
    return BinaryResampling(kernel, block, rows.equation, design, plain and not design.spec.states)
