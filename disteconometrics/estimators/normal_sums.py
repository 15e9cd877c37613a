"""Least squares by sums of products, a few rows at a time: of a source part by part, or of a large table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block, LazyBlocks, StreamedBlocks
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.index_scores import index_scores, last_sums
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.likelihoods.index_model import IndexModel, index
from disteconometrics.likelihoods.linear import LinearLaw, ScaleLaw
from disteconometrics.optim.newton import maximise
from disteconometrics.optim.whiten import power_of_two

__all__ = ["SummedSquares", "summed_squares"]


class SummedSquares(NamedTuple):
    """σ̂² with the equations of β and of σ, and the condition of the columns."""

    variance: float
    beta: MEstimate
    scale: MEstimate
    condition: float


def _in_units(unit: float, block: Block) -> Block:
    """Outcomes without the offset, in a unit that is a power of two, so that no digit is lost."""
    y = block.y if block.offset is None else block.y - block.offset
    return block._replace(y=y / unit, offset=None)


def _standardised(beta: Array, sigma: float, block: Block) -> Block:
    """Standardised residuals, and a column of ones."""
    z = index(block, beta)
    np.subtract(block.y, z, out=z)
    z /= sigma
    return block._replace(y=z, X=np.broadcast_to(np.ones((1, 1)), (len(z), 1)))


def _mapped(blocks: Sequence[Block], make: Callable[[Block], Block]) -> Sequence[Block]:
    return blocks.mapped(make) if isinstance(blocks, StreamedBlocks) else LazyBlocks(blocks, make)


def summed_squares(read: FitRows, deviation: float, clusters: tuple[str, ...] = ()) -> SummedSquares:
    """Fit by sums over rows, none of which is kept in another form.

    Parameters
    ----------
    read : FitRows with a numeric outcome.
    deviation : float, about the standard deviation of the outcome.
    clusters : columns whose sums of scores will be asked for.

    Returns
    -------
    SummedSquares

    Raises
    ------
    RankDeficient, OutOfRange, DataError

    Examples
    --------
    >>> import disteconometrics as de
    >>> rows = de.datasets.engel()
    >>> model = de.NormalRegression("foodexp ~ income")
    >>> source = de.Parts(lambda: [rows[:100], rows[100:]])
    >>> read = FitRows.read(model, source, streams=True, outcome="numeric")
    >>> round(float(np.sqrt(summed_squares(read, 276.0).variance)), 3)
    113.621
    """
    weight_type = read.spec.weight_type
    unit = float(power_of_two(np.array(deviation or 1.0)))
    blocks = _mapped(read.blocks(), partial(_in_units, unit))
    last = partial(last_sums, clusters, read.frequency) if read.streamed else None
    m = maximise(IndexModel(LinearLaw(), blocks, read.size, last))
    n = read.observations
    variance = max(-2.0 * m.loglik - m.decrement, 0.0) / n  # in these units
    root = float(np.sqrt(variance)) or 1.0  # the caller refuses what is fitted perfectly
    sigma = root * unit
    rows = m.whitened_blocks(blocks)
    known = None if m.sums is None else m.sums.scaled(root**-2)
    source = index_scores(
        IndexModel(LinearLaw(1 / root), rows, read.size), m.coordinates, read.frequency, known
    )
    inner, basis = m.inner * root, unit * (np.eye(len(m.params)) if m.basis is None else m.basis)
    beta = MEstimate(
        read.names, m.params * unit, inner, m.root * sigma, n, read.size, source, weight_type, basis
    )
    half = np.array([[sigma / np.sqrt(2 * n)]])
    residuals = IndexModel(
        ScaleLaw(sigma), _mapped(rows, partial(_standardised, m.coordinates, root)), read.size
    )
    of_scale = index_scores(residuals, np.zeros(1), read.frequency)
    scale = MEstimate(("sigma",), np.array([sigma]), half, half, n, read.size, of_scale, weight_type)
    return SummedSquares(variance * unit**2, beta, scale, m.condition)
