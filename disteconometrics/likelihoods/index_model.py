"""Log-likelihoods in which a row enters through one index η = x'β: passes over rows in cache-sized chunks.

One pass gives the log-likelihood, the score X'r and the information X'WX.  Each chunk of rows is read once,
scaled by √w and multiplied with itself, so a pass costs little more than a bare X'X and needs one chunk of
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from disteconometrics.arrays import Array, Indices, as_floats
from disteconometrics.blocks import (
    FEW_COLUMNS,
    Block,
    FactorMatrix,
    PartResult,
    StreamedBlocks,
    chunk_rows,
    dense_block,
)
from disteconometrics.likelihoods.logistic import RowTerms
from disteconometrics.likelihoods.twofold import column_sums, dot, two_sum

__all__ = ["IndexLaw", "IndexModel", "Pass", "RowSums", "ScoreRows", "chunks", "row_terms", "scale_rows"]

RUN = 128  # consecutive rows that a subsample takes together
FOLD = 64  # rows laid side by side for column maxima
# of few columns BLAS multiplies small matrices faster than it packs a symmetric product, of up to about …
SMALL_PRODUCT = 900_000  # … this many multiplications
MANY_SCORES = 1_000_000  # numbers that scores of rows may take at once


class IndexLaw(Protocol):
    """Terms of rows with outcomes y (m,) at indices η (m,); ``quadratic`` where one Newton step ends it."""

    @property
    def terms(self) -> Callable[[Array, Array], RowTerms]: ...
    @property
    def score(self) -> Callable[[Array, Array], Array]: ...
    @property
    def quadratic(self) -> bool: ...


class RowSums(Protocol):
    """Sums over rows of scores that a pass takes besides its own, part by part."""

    @property
    def columns(self) -> Sequence[str]:
        """Columns whose values group the rows."""
        ...

    def begin(self) -> Any:
        """Something with ``add(X, score, root, weights, groups)``, for a part."""
        ...

    def merged(self, parts: Sequence[PartResult]) -> Any:
        """The sums over all parts, added in their order."""
        ...


class Pass(NamedTuple):
    """Sums over rows at one β: log-likelihood, score (k,), information (k, k); the least root weight.

    ``sums`` are those that were asked for besides.
    """

    loglik: float
    score: Array
    information: Array
    smallest_root: float
    sums: Any = None


class ScoreRows(NamedTuple):
    """Rows of an estimate: ``scores`` (m, k).

    ``roots`` (m, k), whose product roots'roots is their information; ``copies`` (m,).

    ``copies`` says how many identical observations a row stands for (frequency weights), None for one each;
    scores and roots are those of one observation.
    """

    scores: Array
    roots: Array
    copies: Array | None


def chunks(blocks: Iterable[Block], rows: int | None = None) -> Iterator[Block]:
    """Cut blocks into consecutive blocks of views of about one megabyte."""
    for block in blocks:
        n = len(block.y)
        m = rows or chunk_rows(_width(block.X))
        if n <= m:
            yield block
            continue
        for i in range(0, n, m):
            yield block.rows(slice(i, i + m))


def _width(X: Any) -> int:
    """Columns that a pass has to multiply."""
    return int((X.other if isinstance(X, FactorMatrix) else X).shape[1])


def _gram(X: Any, root: Array) -> Array:
    """X'WX with W = root², as one symmetric product; with few columns a plain one is the quicker."""
    if isinstance(X, FactorMatrix):
        return X.gram(root * root)
    if X.shape[1] <= FEW_COLUMNS:
        return np.asarray(scale_rows(X, root * root).T @ X)
    B = scale_rows(X, root)
    return B.T @ B


def index(block: Block, beta: Array) -> Array:
    """η = X·β + offset of a block's rows."""
    eta = block.X @ beta
    if block.offset is not None:
        eta += block.offset
    return eta


def row_terms(kernel: IndexLaw, block: Block, beta: Array) -> RowTerms:
    """Evaluate the kernel on a block with its offset, and multiply by its weights, the root by their root."""
    terms = kernel.terms(block.y, index(block, beta))
    if block.weights is None:
        return terms
    return RowTerms(
        terms.loglik * block.weights, terms.score * block.weights, terms.root_weight * np.sqrt(block.weights)
    )


def scale_rows(X: Array, factor: Array) -> Array:
    """Multiply the rows of X (m, k) by ``factor`` (m,).

    It works flat for row-major X, since short inner loops are slow.
    """
    if X.flags.c_contiguous:
        scaled = np.repeat(factor, X.shape[1]).reshape(X.shape)
        scaled *= X
        return scaled
    return (X.T * factor).T


def _runs(part: Any, chosen: Indices) -> Any:
    """Copy whole runs of consecutive rows."""
    if isinstance(part, FactorMatrix):
        other = np.array([_runs(column, chosen) for column in part.other.T])
        return FactorMatrix(other.T, _runs(part.codes, chosen), part.coding, part.at, part.apart)
    runs = len(part) // RUN
    return part[: runs * RUN].reshape(runs, RUN, *part.shape[1:])[chosen].reshape(-1, *part.shape[1:])


def _maxima(blocks: Iterable[Block]) -> Array:
    """Column maxima of |X| over blocks (k,), nothing of none."""
    found = [_column_max(block.X) for block in chunks(blocks)]
    return np.asarray(np.max(found, axis=0) if found else [])


def _column_max(X: Any) -> Array:
    """Column maxima of |X| (m, k).

    Row-major rows are folded side by side first, since short inner loops are slow.
    """
    if isinstance(X, FactorMatrix):
        own = np.abs(X.coding[np.unique(X.codes)]).max(axis=0, initial=0.0)
        return np.insert(np.abs(X.other).max(axis=0), X.at, own)
    X = np.abs(X)
    m, k = X.shape
    if not X.flags.c_contiguous or m < 2 * FOLD:
        return np.asarray(X.max(axis=0))
    whole = m // FOLD * FOLD
    wide = X[:whole].reshape(-1, FOLD * k).max(axis=0).reshape(FOLD, k)
    return np.asarray(np.concatenate([wide, X[whole:]]).max(axis=0))


def _pass(kernel: IndexLaw, beta: Array, blocks: Iterable[Block]) -> Pass:
    """The sums of `IndexModel.evaluate` over blocks."""
    sums = _Sums(kernel, beta)
    for block in blocks:
        for _ in sums.add(block):
            pass
    return sums.total()


def _pass_and_sums(kernel: IndexLaw, beta: Array, sums: RowSums, blocks: Iterable[Block]) -> tuple[Pass, Any]:
    """The same, and sums of the scores, from one evaluation of the rows."""
    own, besides = _Sums(kernel, beta), sums.begin()
    for block in _cut(blocks, len(beta), sums):
        terms = list(own.add(block))
        score, root = (
            np.concatenate(t) for t in zip(*((t.score, t.root_weight) for t in terms), strict=True)
        )
        besides.add(dense_block(block).X, score, root, block.weights, block.groups)
    return own.total(), besides


def _score(kernel: IndexLaw, beta: Array, blocks: Iterable[Block]) -> Array:
    """The score of `IndexModel.score` over blocks."""
    scores = []
    with np.errstate(over="ignore", invalid="ignore"):
        for block in chunks(blocks):
            rows = kernel.score(block.y, index(block, beta))
            scores.append((rows if block.weights is None else rows * block.weights) @ block.X)
    return _total(scores or [np.zeros(len(beta))])


def _sums(kernel: IndexLaw, beta: Array, sums: RowSums, blocks: Iterable[Block]) -> Any:
    besides = sums.begin()
    for block in _cut(blocks, len(beta), sums):
        terms = row_terms(kernel, block, beta)
        besides.add(dense_block(block).X, terms.score, terms.root_weight, block.weights, block.groups)
    return besides


def _cut(blocks: Iterable[Block], k: int, sums: RowSums) -> Iterator[Block]:
    """Chunks for sums of scores: by group, of which there may be many, of more rows than fit the cache."""
    return chunks(blocks, max(4096, MANY_SCORES // k) if sums.columns else None)


class _Sums:
    """Sums of `IndexModel.evaluate` as they grow."""

    def __init__(self, kernel: IndexLaw, beta: Array) -> None:
        self.kernel, self.beta, k = kernel, beta, len(beta)
        self.rows = SMALL_PRODUCT // k**2 if 5 < k <= FEW_COLUMNS else None
        self.logliks: list[float] = []
        self.scores: list[Array] = []
        self.information, self.smallest = np.zeros((k, k)), np.inf

    def add(self, block: Block) -> Iterator[RowTerms]:
        """Add the rows of a block, a chunk for each of the terms that it yields."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for part in chunks([block], self.rows):
                terms = row_terms(self.kernel, part, self.beta)
                self.logliks.append(terms.loglik.sum())
                self.scores.append(terms.score @ part.X)
                self.smallest = min(self.smallest, terms.root_weight.min(initial=np.inf))
                self.information += _gram(part.X, terms.root_weight)
                yield terms

    def total(self) -> Pass:
        """The sums so far."""
        scores = self.scores or [np.zeros(len(self.beta))]
        information = (self.information + self.information.T) / 2
        loglik = float(np.sum(self.logliks, dtype=np.longdouble))
        return Pass(loglik, _total(scores), information, self.smallest)


def _joined(parts: Sequence[Pass]) -> Pass:
    """The sum of passes over parts, in their order."""
    loglik = float(np.sum([p.loglik for p in parts], dtype=np.longdouble))
    score, information = _total([p.score for p in parts]), _total([p.information for p in parts])
    return Pass(loglik, score, information, min(p.smallest_root for p in parts))


def _total(parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    return as_floats(np.sum(np.asarray(parts), axis=0, dtype=np.longdouble))


class IndexModel:
    """A kernel and the blocks it is summed over.

    Parameters
    ----------
    kernel : IndexLaw, such as `LOGISTIC`.
    blocks : sequence of Block, iterated once a pass.
    rows : int, their number where counting would mean making them.
    last : function of R⁻¹, which gives what the pass that ends an iteration over a source sums besides.
    """

    def __init__(
        self,
        kernel: IndexLaw,
        blocks: Sequence[Block],
        rows: int | None = None,
        last: Callable[[Array], RowSums] | None = None,
    ) -> None:
        self.kernel = kernel
        self.blocks = blocks
        self.rows = sum(len(block.y) for block in blocks) if rows is None else rows
        self.last = last

    def evaluate(self, beta: Array, sums: RowSums | None = None) -> Pass:
        """Log-likelihood, score and information at β in one pass.

        Chunk sums are added in extended precision, so the result does not drift with the number of rows.  A
        source is summed part by part, with ``sums`` besides where they are asked for.
        """
        if not isinstance(self.blocks, StreamedBlocks):
            return _pass(self.kernel, beta, self.blocks)
        if sums is None:
            found = self.blocks.by_part(partial(_pass, self.kernel, beta))
            return _joined([part.value for part in found])
        found = self.blocks.by_part(partial(_pass_and_sums, self.kernel, beta, sums), sums.columns)
        total = _joined([part.value[0] for part in found])
        return total._replace(sums=sums.merged([part._replace(value=part.value[1]) for part in found]))

    def sums(self, beta: Array, sums: RowSums) -> Any:
        """Sums of scores at β over the rows of a source, in a pass of their own."""
        assert isinstance(self.blocks, StreamedBlocks)
        return sums.merged(self.blocks.by_part(partial(_sums, self.kernel, beta, sums), sums.columns))

    def score(self, beta: Array) -> Array:
        """Score at β alone: about a third of the cost of a full pass."""
        if not isinstance(self.blocks, StreamedBlocks):
            return _score(self.kernel, beta, self.blocks)
        found = self.blocks.by_part(partial(_score, self.kernel, beta))
        return _total([part.value for part in found])

    def exact_score(self, beta: Array, rest: Array) -> Array:
        """Score at β + rest with indices and sums to twice the digits: slow, for few rows."""
        total = np.zeros(len(beta))
        for block in self.blocks:
            eta, left = dot(block.X, beta, rest)
            if block.offset is not None:
                eta, more = two_sum(eta, block.offset)
                eta = eta + (left + more)
            score = self.kernel.terms(block.y, eta).score
            total += column_sums(block.X, score if block.weights is None else score * block.weights)
        return total

    def score_rows(
        self, beta: Array, *, frequency: bool = False, rows: int | None = None
    ) -> Iterator[ScoreRows]:
        """Scores of the rows at β, in chunks; with ``frequency`` the weights are counts of identical rows."""
        for block in chunks(self.blocks, rows):
            copies = block.weights if frequency else None
            terms = row_terms(self.kernel, block if copies is None else block._replace(weights=None), beta)
            yield ScoreRows(scale_rows(block.X, terms.score), scale_rows(block.X, terms.root_weight), copies)

    def column_maxima(self) -> Array:
        """Largest absolute value of every column (k,)."""
        if isinstance(self.blocks, StreamedBlocks):
            found = [part.value for part in self.blocks.by_part(_maxima)]
            return np.asarray(np.max([value for value in found if len(value)], axis=0))
        return _maxima(self.blocks)

    def largest_change(self, step: Array) -> float:
        """Largest |x'step| over the rows: how far any index moves."""
        return max(float(np.abs(block.X @ step).max(initial=0.0)) for block in chunks(self.blocks))

    def subsample(self, rows: int) -> IndexModel:
        """Copy about ``rows`` rows as randomly placed runs of consecutive ones.

        This is robust to sorted data and quick to read.  The draw has a fixed seed of its own: the same data
        give the same rows, and no global state is touched.  Of a source it is what the first reading kept.
        """
        if isinstance(self.blocks, StreamedBlocks):
            return IndexModel(self.kernel, self.blocks.sample(rows))
        rng = np.random.default_rng(20240501)
        picked = []
        for block in self.blocks:
            if len(block.y) < RUN and len(block.y) < self.rows:  # a small one among others
                continue
            share = rows * len(block.y) / self.rows
            chosen = np.sort(rng.permutation(len(block.y) // RUN)[: max(1, round(share / RUN))])
            parts: Any = [None if part is None else _runs(part, chosen) for part in block]
            picked.append(Block(*parts))
        return IndexModel(self.kernel, picked)
