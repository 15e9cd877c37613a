"""Least squares by sums of products, a few rows at a time: of a source part by part, or of a large table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from disteconometrics.arrays import Array, or_ones
from disteconometrics.blocks import Block, LazyBlocks, StreamedBlocks, dense_block
from disteconometrics.errors import NeedsRows
from disteconometrics.estimators.rows import FitRows
from disteconometrics.inference.covariance import Cluster, CovarianceKind
from disteconometrics.inference.index_scores import index_scores, last_sums
from disteconometrics.inference.protocols import MEstimate
from disteconometrics.likelihoods.index_model import IndexModel, chunks, index, scale_rows
from disteconometrics.likelihoods.linear import LinearLaw, ScaleLaw
from disteconometrics.likelihoods.score_sums import ScoreSums, SumsAsked
from disteconometrics.optim.newton import maximise
from disteconometrics.optim.whiten import power_of_two

__all__ = ["SummedSquares", "cross_sums", "summed_squares"]


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
    last = partial(last_sums, clusters, read.weights_count) if read.streamed else None
    m = maximise(IndexModel(LinearLaw(), blocks, read.size, last))
    n = read.observations
    variance = max(-2.0 * m.loglik - m.decrement, 0.0) / n  # in these units
    root = float(np.sqrt(variance)) or 1.0  # the caller refuses what is fitted perfectly
    sigma = root * unit
    rows = m.whitened_blocks(blocks)
    known = None if m.sums is None else m.sums.scaled(root**-2)
    source = index_scores(
        IndexModel(LinearLaw(1 / root), rows, read.size), m.coordinates, read.weights_count, known
    )
    inner, basis = m.inner * root, unit * (np.eye(len(m.params)) if m.basis is None else m.basis)
    beta = MEstimate(
        read.names, m.params * unit, inner, m.root * sigma, n, read.size, source, weight_type, basis
    )
    half = np.array([[sigma / np.sqrt(2 * n)]])
    residuals = IndexModel(
        ScaleLaw(sigma), _mapped(rows, partial(_standardised, m.coordinates, root)), read.size
    )
    of_scale = index_scores(residuals, np.zeros(1), read.weights_count)
    scale = MEstimate(("sigma",), np.array([sigma]), half, half, n, read.size, of_scale, weight_type)
    return SummedSquares(variance * unit**2, beta, scale, m.condition)


def cross_sums(read: FitRows, beta: MEstimate, sigma: float, kind: CovarianceKind) -> Array:
    """Covariances (k,) of σ̂ with the coefficients of a source, in the coordinates of ``beta.inner``.

    Parameters
    ----------
    read : FitRows over a source.
    beta : MEstimate of the coefficients, as `summed_squares` gives it.
    sigma : float, σ̂.
    kind : HC0, HC1 or one-way `Cluster` without jackknife.

    Raises
    ------
    NeedsRows
        For others.
    """
    one_way = isinstance(kind, Cluster) and len(kind.columns) == 1 and kind.correction != "jackknife"
    if not one_way and kind not in ("HC0", "HC1"):
        raise NeedsRows(
            f"What the coefficients share with sigma under cov={kind!r} needs rows, and a source keeps none: "
            "use HC0, HC1 or one-way Cluster, or fit a table."
        )
    n, k = beta.observations, len(beta.inner)
    columns = kind.columns if isinstance(kind, Cluster) else ()
    asked = SumsAsked(columns, np.eye(k + 1), frequency=read.weights_count)
    blocks = read.blocks()
    assert isinstance(blocks, StreamedBlocks)
    assert beta.basis is not None
    work = partial(_stacked, beta.params, beta.basis, sigma, asked)
    sums = asked.merged(blocks.by_part(work, columns))
    if isinstance(kind, Cluster):
        (found,) = sums.groups
        G = len(found.keys)
        meat = found.scores[:, k] @ found.scores[:, :k]
        small = 1.0 if kind.correction == "none" else G / (G - 1)
        small *= float(np.sqrt((n - 1) / (n - k))) if kind.correction == "cr1" else 1.0
    else:
        meat = sums.meat[:k, k]
        small = n / float(np.sqrt((n - k) * (n - 1))) if kind == "HC1" else 1.0
    return np.asarray(beta.inner @ (beta.inner.T @ meat) * (small * sigma**2 / (2 * n)))


def _stacked(beta: Array, basis: Array, sigma: float, asked: SumsAsked, blocks: Iterable[Block]) -> ScoreSums:
    """Sums of the scores of β, in its coordinates, and of σ, next to one another."""
    sums = asked.begin()
    for block in chunks(blocks, max(4096, 1_000_000 // len(beta))):
        X = dense_block(block).X
        z = (block.y - index(block, beta)) / sigma
        S = np.column_stack([scale_rows(X, z / sigma) @ basis, (z * z - 1) / sigma])
        weight = or_ones(block.weights, len(z))
        sums.add(S, weight, np.zeros(len(z)), block.weights, block.groups)
    return sums
