"""Least squares over a source: sums of products, part by part, and the equations of β and of σ."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array
from disteconometrics.blocks import Block, StreamedBlocks
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.index_scores import index_scores, last_sums
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.likelihoods.index_model import IndexModel, index
from disteconometrics.likelihoods.linear import LinearLaw, ScaleLaw
from disteconometrics.optim.newton import maximise
from disteconometrics.optim.whiten import power_of_two

__all__ = ["StreamedSquares", "streamed_squares"]


class StreamedSquares(NamedTuple):
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
    z = (block.y - index(block, beta)) / sigma
    return block._replace(y=z, X=np.ones((len(z), 1)))


def streamed_squares(read: FitRows, clusters: tuple[str, ...]) -> StreamedSquares:
    """Fit a source.

    Parameters
    ----------
    read : FitRows over a source.
    clusters : columns whose sums of scores will be asked for.

    Returns
    -------
    StreamedSquares

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
    >>> round(float(np.sqrt(streamed_squares(read, ()).variance)), 3)
    113.621
    """
    moments, weight_type = read.moments, read.spec.weight_type
    unit = float(power_of_two(np.array(moments.deviation or 1.0)))
    blocks = read.blocks()
    assert isinstance(blocks, StreamedBlocks)
    last = partial(last_sums, clusters, read.frequency)
    m = maximise(IndexModel(LinearLaw(), blocks.mapped(partial(_in_units, unit)), read.size, last))
    n = read.observations
    variance = max(-2.0 * m.loglik - m.decrement, 0.0) / n  # in these units
    root = float(np.sqrt(variance)) or 1.0  # the caller refuses what is fitted perfectly
    sigma = root * unit
    rows = m.whitened_blocks(blocks.mapped(partial(_in_units, unit)))
    assert isinstance(rows, StreamedBlocks)
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
        ScaleLaw(sigma), rows.mapped(partial(_standardised, m.coordinates, root)), read.size
    )
    of_scale = index_scores(residuals, np.zeros(1), read.frequency)
    scale = MEstimate(("sigma",), np.array([sigma]), half, half, n, read.size, of_scale, weight_type)
    return StreamedSquares(variance * unit**2, beta, scale, m.condition)
