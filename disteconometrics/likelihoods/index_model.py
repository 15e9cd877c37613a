"""Log-likelihoods in which a row enters through one index η = x'β: passes over rows in cache-sized chunks.

One pass gives the log-likelihood, the score X'r and the information X'WX.  Each chunk of rows is read once,
scaled by √w and multiplied with itself, so a pass costs little more than a bare X'X and needs one chunk of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from disteconometrics.blocks import Block
from disteconometrics.likelihoods.binary import RowTerms

__all__ = ["IndexModel", "Kernel", "Pass", "chunks", "row_terms"]

Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], RowTerms]

CHUNK_BYTES = 1_000_000  # of X: with its scaled copy this stays inside a 2 MB cache


class Pass(NamedTuple):
    """Sums over rows at one β: log-likelihood, score (k,), information (k, k) or None."""

    loglik: float
    score: NDArray[np.float64]
    information: NDArray[np.float64] | None


def chunks(blocks: Iterable[Block], rows: int | None = None) -> Iterator[Block]:
    """Cut blocks into consecutive blocks of views of about one megabyte."""
    for block in blocks:
        n, k = block.X.shape
        m = rows or max(256, CHUNK_BYTES // (8 * max(k, 1)))
        if n <= m:
            yield block
            continue
        for i in range(0, n, m):
            j = min(n, i + m)
            yield Block(
                block.y[i:j],
                block.X[i:j],
                None if block.weights is None else block.weights[i:j],
                None if block.offset is None else block.offset[i:j],
            )


def row_terms(kernel: Kernel, block: Block, beta: NDArray[np.float64]) -> RowTerms:
    """Evaluate the kernel on a block with its offset, and multiply by its weights (root of them for the root)."""
    eta = block.X @ beta
    if block.offset is not None:
        eta += block.offset
    terms = kernel(block.y, eta)
    if block.weights is None:
        return terms
    return RowTerms(terms.loglik * block.weights, terms.score * block.weights, terms.root_weight * np.sqrt(block.weights))


def scale_rows(X: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply the rows of X (m, k) by ``factor`` (m,); flat for row-major X, since short inner loops are slow."""
    if X.flags.c_contiguous:
        return X * np.repeat(factor, X.shape[1]).reshape(X.shape)
    return (X.T * factor).T


class IndexModel:
    """A kernel and the blocks it is summed over.

    Parameters
    ----------
    kernel : callable (y, η) → RowTerms.
    blocks : sequence of Block, iterated once a pass.
    """

    def __init__(self, kernel: Kernel, blocks: Sequence[Block]) -> None:
        self.kernel = kernel
        self.blocks = blocks

    @property
    def rows(self) -> int:
        """Number of rows over all blocks."""
        return sum(len(block.y) for block in self.blocks)

    def evaluate(self, beta: NDArray[np.float64], information: bool = True) -> Pass:
        """Log-likelihood, score and (on request) information at β in one pass.

        Chunk sums are added in extended precision, so the result does not drift with the number of rows.
        """
        logliks: list[float] = []
        scores: list[NDArray[np.float64]] = []
        k = len(beta)
        total = np.zeros((k, k)) if information else None
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for block in chunks(self.blocks):
                terms = row_terms(self.kernel, block, beta)
                logliks.append(float(terms.loglik.sum()))
                scores.append(terms.score @ block.X)
                if total is not None:
                    B = scale_rows(block.X, terms.root_weight)
                    total += B.T @ B
        score = np.sum(np.asarray(scores), axis=0, dtype=np.longdouble).astype(np.float64)
        return Pass(float(np.sum(np.asarray(logliks), dtype=np.longdouble)), score, total)

    def column_maxima(self) -> NDArray[np.float64]:
        """Largest absolute value of every column (k,)."""
        return np.max([np.maximum(b.X.max(axis=0), -b.X.min(axis=0)) for b in chunks(self.blocks)], axis=0)

    def largest_change(self, step: NDArray[np.float64]) -> float:
        """Largest |x'step| over the rows: how far any index moves."""
        return max(float(np.abs(block.X @ step).max(initial=0.0)) for block in chunks(self.blocks))

    def subsample(self, rows: int, run: int = 128) -> IndexModel:
        """Copy about ``rows`` rows as randomly placed runs of consecutive ones (robust to sorted data, quick to read).

        The draw has a fixed seed of its own: the same data give the same rows, and no global state is touched.
        """
        rng = np.random.default_rng(20240501)
        n = self.rows
        picked = []
        for block in self.blocks:
            m = len(block.y)
            count = max(1, round(rows * m / n / run))
            starts = np.sort(rng.integers(0, max(1, m - run + 1), count))
            index = np.unique((starts[:, None] + np.arange(min(run, m))).ravel())
            picked.append(
                Block(
                    block.y[index],
                    np.ascontiguousarray(block.X[index]),
                    None if block.weights is None else block.weights[index],
                    None if block.offset is None else block.offset[index],
                )
            )
        return IndexModel(self.kernel, picked)
