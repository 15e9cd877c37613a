"""Maximise many index-model log-likelihoods at once: one Newton iteration over a batch axis.

Three shapes of problem, solved in chunks that stay in cache:

- *Different data* (`maximise_many`): X (R, n, k), as in a Monte Carlo study.  Products run over a copy (R, k,
  n).
- *Shared design, different weights* (`share`, `solve_shared`): X (n, k), weights (R, n), as in a bootstrap.
  All Hessians of a chunk are one product, weights (R, n) times the rowwise outer products (n, k(k+1)/2).
- *Shared design and weights, outcomes cut at T levels* (`maximise_cuts`), as in distribution regression.

The rule of `optim.newton` decides when a problem is done: Newton decrement below 1e-13 and no index that
moves.  The information is that of the last point, whose error is the square of the step before.  No step is
halved here: whatever does not contract, looks separated or is ill-conditioned is settled by the single
engine, so results equal single fits, and a problem without a maximum is flagged, never raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from disteconometrics.arrays import Array, Indices, Mask, or_ones
from disteconometrics.blocks import Block
from disteconometrics.errors import DisteconometricsError
from disteconometrics.likelihoods.index_model import IndexModel
from disteconometrics.likelihoods.logistic import LOGISTIC, Kernel, even_odds
from disteconometrics.optim.approach import (
    Exact,
    Near,
    OwnDesigns,
    WeightedDesign,
    arrive,
    batched_gram,
    batched_inverses,
    products_of_columns,
    room,
    unpacking,
)
from disteconometrics.optim.newton import CONDITION, DECREMENT, INDEX_MOVE, RankDeficient, maximise

__all__ = [
    "CONVERGED",
    "NOT_CONVERGED",
    "OUT_OF_RANGE",
    "RANK_DEFICIENT",
    "REASONS",
    "SEPARATED",
    "Batch",
    "Shared",
    "chunk_size",
    "maximise_cuts",
    "maximise_many",
    "share",
    "solve_shared",
]

Slopes = Callable[[Array, Array, Array | None], Array]

CONVERGED, SEPARATED, RANK_DEFICIENT, NOT_CONVERGED, OUT_OF_RANGE = range(5)
REASONS = (
    "",
    "separation: no finite maximum",
    "coefficients not identified",
    "no convergence",
    "values out of range",
)

PASSES = 15  # in the batch; what needs more is looked at on its own
CLOSE = 1e-11  # fall of the decrement in a pass: what the information at this point misses is that much
# decrement from which a kept information takes the estimate there, when nobody asks for it at the estimate
KEEP = 1e-4
KEPT_DECREMENT = 1e-15  # to stop at with a kept information, whose step is less exact
CHUNK_ENTRIES = 262_144  # rows times problems in a chunk: a few such arrays fit into the cache
MOST_PROBLEMS = 256
# cuts: decrement at which double precision takes over, its passes, standard errors that may be left, cuts or
# rows apart for a start, rows above which it is of rows, information of a row in the weakest direction
CUTS_ENOUGH, CUTS_PASSES, CUTS_EXACT = 1e-4, 5, 1e-14
APART, MANY_ROWS, LEAST_INFORMATION = 8, 4_000, 1e-5
START, FEW_ENTRIES = 1e-2, 50_000  # decrement of a start; rows times cuts up to which constants are one
# entries of the rowwise outer products held in memory; beyond, problems are large enough one by one
PRODUCTS = 8_000_000


@dataclass(frozen=True, eq=False)
class Batch:
    """Solutions of R problems.

    ``params`` (R, k) and ``inverse`` (R, k, k), the inverse information, are NaN where ``status`` (R,) is not
    CONVERGED; ``loglik`` (R,) sums natural logs over observations; ``passes`` (R,) counts passes over the
    rows; ``single`` (R,) says which problems the single engine settled.  ``inverse`` and ``loglik`` are None
    where they were not asked for.
    """

    params: Array
    inverse: Array | None
    loglik: Array | None
    status: NDArray[np.int8]
    passes: NDArray[np.int32]
    single: Mask

    @property
    def std_error(self) -> Array:
        """Standard errors (R, k) from the inverse information; NaN without one."""
        if self.inverse is None:
            return np.full(self.params.shape, np.nan)
        return np.sqrt(np.diagonal(self.inverse, axis1=1, axis2=2))


def _logistic_slopes(y: Array, eta: Array, info: Array | None) -> Array:
    """Scores of the logit per row (r, n), in the place of ``eta``, with its information in ``info``."""
    p: Array = _probabilities(np.negative(eta, out=eta), info)
    return np.subtract(y, p, out=p)


def _probabilities(turned: Any, info: Any) -> Any:
    """Probabilities of a logit in the place of minus the index, with their information in ``info``."""
    p = even_odds(turned)
    if info is not None:
        np.multiply(p, p, out=info)
        np.subtract(p, info, out=info)
    return p


def _slopes(kernel: Kernel) -> Slopes:
    if kernel == LOGISTIC:  # equal, since a worker has a copy
        return _logistic_slopes

    def slopes(y: Array, eta: Array, info: Array | None) -> Array:
        if info is None:
            return kernel.score(y, eta)
        if kernel.slopes is None:
            _, score, root = kernel.terms(np.broadcast_to(y, eta.shape), eta)
        else:
            score, root = kernel.slopes(y, eta)
        np.square(root, out=info)
        return score

    return slopes


def _loglik(kernel: Kernel, y: Array, eta: Array) -> Array:
    """Log-likelihood of every row (r, n)."""
    if kernel != LOGISTIC:
        return kernel.terms(np.broadcast_to(y, eta.shape), eta).loglik
    rows = np.exp(eta)
    np.log1p(rows, out=rows)
    eta *= y
    return np.subtract(eta, rows, out=rows)


class _Many:
    """A chunk of problems with different data: X (R, n, k), y (R, n), weights and offset (R, n) or None."""

    def __init__(
        self, kernel: Kernel, X: Array, y: Array, weights: Array | None, offset: Array | None
    ) -> None:
        self.kernel, self.X, self.y, self.weights, self.offset = kernel, X, y, weights, offset
        self.row_slopes = _slopes(kernel)
        self.size, n, k = X.shape
        self.columns: Array = room("columns", self.size, k, n)
        np.copyto(self.columns, X.transpose(0, 2, 1))
        self.largest = np.maximum(self.columns.max(axis=2), -self.columns.min(axis=2))

    def _index(self, columns: Array, beta: Array, offset: Array | None) -> Array:
        eta: Array = room("eta", len(beta), columns.shape[2])
        np.matmul(beta[:, None, :], columns, out=eta[:, None, :])
        if offset is not None:
            eta += offset
        return eta

    def _rows(self, take: Indices) -> tuple[Array, Array, Array | None, Array | None]:
        """Columns, outcomes, weights and offset of some problems."""
        if len(take) == self.size:
            return self.columns, self.y, self.weights, self.offset
        weights, offset = (None if a is None else a[take] for a in (self.weights, self.offset))
        return self.columns[take], self.y[take], weights, offset

    def slopes(self, take: Indices, beta: Array, full: bool) -> tuple[Array, Array | None]:
        """Scores (r, k) of the problems ``take`` (r,), and informations (r, k, k) when ``full``."""
        if self.size / 2 < len(take) < self.size:  # copying rows costs more than evaluating some in vain
            everyone = np.zeros((self.size, beta.shape[1]))
            everyone[take] = beta
            scores, H = self.slopes(np.arange(self.size), everyone, full)
            return scores[take], None if H is None else H[take]
        columns, y, weights, offset = self._rows(take)
        info = room("info", *y.shape) if full else None
        score = self.row_slopes(y, self._index(columns, beta, offset), info)
        if weights is not None:
            score *= weights
        scores = np.vecdot(columns, score[:, None, :])
        if info is None:
            return scores, None
        if weights is not None:
            info *= weights
        return scores, batched_gram(columns, info, room("scaled", *columns.shape))

    def at_one_point(self, beta: Array) -> tuple[Array, Array | None]:
        """`slopes` of all problems at the same ``beta`` (k,)."""
        return self.slopes(np.arange(self.size), np.tile(beta, (self.size, 1)), True)

    def loglik(self, beta: Array) -> Array:
        """Log-likelihoods (R,)."""
        rows = _loglik(self.kernel, self.y, self._index(self.columns, beta, self.offset))
        return np.asarray((rows if self.weights is None else rows * self.weights).sum(axis=1))

    def column_max(self, take: Indices) -> Array:
        """Largest absolute values (r, k) of the columns."""
        return np.asarray(self.largest[take])

    def problem(self, i: int) -> Block:
        """Problem i for the single engine."""
        weights, offset = (None if a is None else a[i] for a in (self.weights, self.offset))
        return Block(self.y[i], self.X[i], weights, offset)


@dataclass(frozen=True, eq=False)
class Shared:
    """A design that problems share.

    X (n, k), its transpose, rowwise outer products (n, k(k+1)/2) and where these go.
    """

    kernel: Kernel
    X: Array
    y: Array  # (n,), or (R, n)
    offset: Array | None
    products: Array
    spread: Indices  # (k*k,) positions in a row of products
    column_max: Array  # (1, k)
    single: WeightedDesign | None  # in single precision, where problems may start so


class _Weighted:
    """A chunk of problems with a shared design under weights (R, n); its methods are those of `_Many`."""

    def __init__(self, shared: Shared, weights: Array, y: Array) -> None:
        self.shared, self.weights, self.y = shared, weights, y
        self.row_slopes = _slopes(shared.kernel)
        self.size = len(weights)

    def _index(self, beta: Array) -> Array:
        eta: Array = np.matmul(beta, self.shared.X.T, out=room("eta", len(beta), len(self.shared.X)))
        if self.shared.offset is not None:
            eta += self.shared.offset
        return eta

    def _outcomes(self, take: Indices) -> Array:
        return self.y if self.y.ndim == 1 or len(take) == self.size else self.y[take]

    def slopes(self, take: Indices, beta: Array, full: bool) -> tuple[Array, Array | None]:
        weights = self.weights if len(take) == self.size else self.weights[take]
        info = room("info", len(take), len(self.shared.X)) if full else None
        score = self.row_slopes(self._outcomes(take), self._index(beta), info)
        score *= weights
        if info is not None:
            info *= weights
        return self._sums(score, info)

    def _sums(self, score: Array, info: Array | None) -> tuple[Array, Array | None]:
        if info is None:
            return score @ self.shared.X, None
        k = self.shared.X.shape[1]
        packed = info @ self.shared.products
        return score @ self.shared.X, packed[:, self.shared.spread].reshape(len(score), k, k)

    def at_one_point(self, beta: Array) -> tuple[Array, Array | None]:
        """`slopes` of all problems at the same ``beta`` (k,): the rows are evaluated once."""
        if self.y.ndim == 2:
            return self.slopes(np.arange(self.size), np.tile(beta, (self.size, 1)), True)
        info = np.empty((1, len(self.y)))
        score = self.row_slopes(self.y, self._index(beta[None, :]), info).copy()
        rows = np.multiply(self.weights, score, out=room("eta", *self.weights.shape))
        return self._sums(rows, np.multiply(self.weights, info, out=room("info", *self.weights.shape)))

    def loglik(self, beta: Array) -> Array:
        rows = _loglik(self.shared.kernel, self.y, self._index(beta))
        return np.asarray((rows * self.weights).sum(axis=1))

    def column_max(self, take: Indices) -> Array:
        return self.shared.column_max

    def problem(self, i: int) -> Block:
        weights, y = self.weights[i], self.y if self.y.ndim == 1 else self.y[i]
        return Block(y, self.shared.X, weights, self.shared.offset).rows(weights > 0)


_Problems: TypeAlias = "_Many | _Weighted"


@dataclass(eq=False)
class _Solved:
    """What an iteration over a chunk leaves: estimates, inverse informations, what is done, passes."""

    beta: Array
    inverse: Array
    done: Mask
    passes: NDArray[np.int32]

    @classmethod
    def begin(cls, R: int, start: Array) -> _Solved:
        """R problems at a common start (k,), nothing done yet."""
        inverse = np.zeros((R, len(start), len(start)))
        return cls(np.tile(start, (R, 1)), inverse, np.zeros(R, dtype=bool), np.zeros(R, dtype=np.int32))


def _iterate(problems: _Problems, start: Array, information: bool) -> _Solved:
    """Newton steps of all problems of a chunk from a common ``start`` (k,)."""
    s = _Solved.begin(problems.size, start)
    open_, previous = np.arange(problems.size), np.full(problems.size, np.inf)
    kept: Array | None = None
    for i in range(PASSES):
        score, H = problems.slopes(open_, s.beta[open_], kept is None) if i else problems.at_one_point(start)
        s.passes[open_] += 1
        inverse, good = _inverses(H, kept)
        step = (inverse @ score[:, :, None])[:, :, 0]
        decrement = (score * step).sum(axis=1)
        before = previous[open_]
        # steps that are not finite or do not shrink are left to the single engine, which halves them
        good = good & np.isfinite(step).all(axis=1) & ~(decrement > 0.9 * before) | (decrement <= 1e-21)
        near = good & (decrement <= (KEPT_DECREMENT if H is None else DECREMENT))
        if information:
            near &= (decrement <= CLOSE * before) | (before <= CLOSE)
        s.beta[open_[good]] += step[good]
        s.inverse[open_] = inverse
        previous[open_] = decrement
        if near.any():
            settled = open_[near]
            moved = (np.abs(step[near]) * problems.column_max(settled)).sum(axis=1)  # of any index, at most
            s.done[settled] = moved <= INDEX_MOVE
        left = good & ~near
        open_ = open_[left]
        if not len(open_):
            break
        slow = H is None and (decrement > 1e-2 * before).any()
        kept = None if information or slow else _kept(inverse[left], decrement[left])
    return s


def _inverses(H: Array | None, kept: Array | None) -> tuple[Array, Mask]:
    """Inverse informations of open problems, those kept where there are none, and which can be trusted."""
    if H is None:
        assert kept is not None
        return kept, np.ones(len(kept), dtype=bool)
    inverse, good, condition = batched_inverses(H)
    return inverse, good & (condition <= CONDITION**2)


def _kept(inverse: Array, decrement: Array) -> Array | None:
    """The inverse informations, if they take the estimates of all open problems there."""
    return inverse if (decrement <= KEEP).all() else None


def _one(kernel: Kernel, block: Block) -> tuple[int, Array, Array, float, int]:
    """Status, parameters, inverse information, log-likelihood and passes of one problem solved alone."""
    k = block.X.shape[1]
    nothing = np.full(k, np.nan), np.full((k, k), np.nan), np.nan, 0
    try:
        m = maximise(IndexModel(kernel, [block]))
    except RankDeficient:
        return RANK_DEFICIENT, *nothing
    except DisteconometricsError:
        return OUT_OF_RANGE, *nothing
    if m.converged:
        return CONVERGED, m.params, m.root @ m.root.T, m.loglik, m.passes
    return (SEPARATED if m.separation is not None else NOT_CONVERGED), *nothing[:3], m.passes


def _settle(kernel: Kernel, problems: _Problems, s: _Solved, information: bool) -> Batch:
    """Log-likelihoods of what is done, and the single engine for the rest."""
    status = np.full(problems.size, CONVERGED, dtype=np.int8)
    loglik = problems.loglik(s.beta) if information and s.done.any() else np.zeros(problems.size)
    for i in np.flatnonzero(~s.done):
        status[i], s.beta[i], s.inverse[i], loglik[i], more = _one(kernel, problems.problem(int(i)))
        s.passes[i] += more
    return Batch(
        s.beta, s.inverse if information else None, loglik if information else None, status, s.passes, ~s.done
    )


def _quickly(s: Exact) -> Batch:
    """The batch of a chunk as if all of it were done."""
    R = len(s.beta)
    # without log-likelihoods nobody asks for more than estimates
    inverse = None if s.loglik is None else s.inverse
    return Batch(
        s.beta, inverse, s.loglik, np.zeros(R, dtype=np.int8), np.full(R, 2, dtype=np.int32), ~s.done
    )


def _replaced(batch: Batch, at: Indices, others: Batch) -> Batch:
    """The batch with some of its problems solved again."""
    for part in fields(Batch):
        values = getattr(batch, part.name)
        if values is not None:
            values[at] = getattr(others, part.name)
    return batch


def _joined(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    columns: list[list[Any]] = [[getattr(p, part.name) for p in parts] for part in fields(Batch)]
    return Batch(*(None if c[0] is None else np.concatenate(c) for c in columns))  # type: ignore[arg-type]


def chunk_size(rows: int) -> int:
    """How many problems of ``rows`` rows are solved together."""
    return max(1, min(MOST_PROBLEMS, CHUNK_ENTRIES // max(rows, 1)))


def _own_chunk(kernel: Kernel, X: Array, y: Array, weights: Array | None, offset: Array | None) -> Batch:
    """A chunk of problems with data of their own.

    What the quick way leaves is iterated in double precision.
    """
    R, k = len(X), X.shape[2]
    batch: Batch | None = None
    rest = np.arange(R)
    if kernel == LOGISTIC:
        s = OwnDesigns(X, y, weights, offset).solve()
        batch, rest = _quickly(s), np.flatnonzero(~s.done)
        if not len(rest):
            return batch
        X, y, weights, offset = X[rest], y[rest], *(None if a is None else a[rest] for a in (weights, offset))
    problems = _Many(kernel, X, y, weights, offset)
    settled = _settle(kernel, problems, _iterate(problems, np.zeros(k), True), True)
    return settled if batch is None else _replaced(batch, rest, settled)


def maximise_many(
    kernel: Kernel,
    X: Array,
    y: Array,
    *,
    weights: Array | None = None,
    offset: Array | None = None,
) -> Batch:
    """Find the maxima of R problems with data of their own.

    Parameters
    ----------
    kernel : Kernel, such as `LOGISTIC`.
    X : (R, n, k) float64 array.
    y : (R, n) float64 array of 0 and 1.
    weights, offset : (R, n) float64 arrays or None.

    Returns
    -------
    Batch
        With inverse informations and log-likelihoods.

    Examples
    --------
    >>> y = np.array([[0.0, 1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    >>> batch = maximise_many(LOGISTIC, np.ones((2, 5, 1)), y)  # log(3/2), and no maximum
    >>> batch.params.round(6).tolist(), batch.status.tolist()
    ([[0.405465], [nan]], [0, 1])
    """
    X = np.ascontiguousarray(X)
    R, n, _ = X.shape
    size, parts = chunk_size(n), []
    with np.errstate(all="ignore"):  # an index may overflow on the way: its problem is then settled alone
        for i in range(0, max(R, 1), size):
            part = slice(i, i + size)
            w, o = (None if a is None else a[part] for a in (weights, offset))
            parts.append(_own_chunk(kernel, X[part], y[part], w, o))
    return _joined(parts)


def share(kernel: Kernel, X: Array, y: Array, offset: Array | None) -> Shared:
    """Prepare a design for `solve_shared`, which may then be called with weights again and again.

    Parameters
    ----------
    kernel : Kernel, such as `LOGISTIC`.
    X : (n, k) float64 array.
    y : (n,) or (R, n) float64 array of 0 and 1.
    offset : (n,) float64 array or None.
    """
    X = np.ascontiguousarray(X)
    n, k = X.shape
    small = n * k * (k + 1) // 2 <= PRODUCTS
    products = (
        np.ascontiguousarray(products_of_columns(X.T[None], np.empty((1, k * (k + 1) // 2, n)))[0].T)
        if small
        else np.zeros((0, 0))
    )
    largest = np.abs(X).max(axis=0, initial=0.0)[None, :]
    single = None
    if small and kernel == LOGISTIC and y.ndim == 1:
        with np.errstate(all="ignore"):  # what single precision cannot hold is settled in double
            single = WeightedDesign(X, y, offset, products)
    return Shared(kernel, X, y, offset, products, unpacking(k), largest, single)


def solve_shared(shared: Shared, weights: Array, start: Array, information: bool) -> Batch:
    """Find the maxima of R problems that share a design and differ in their weights.

    Parameters
    ----------
    shared : a prepared design; see `share`.
    weights : (R, n) float64 array, none negative; a row of weight zero does not count.
    start : (k,) float64 array, a point near the solutions, such as the estimate from all rows.
    information : bool, whether inverse informations and log-likelihoods are wanted; without them a pass is
        saved.

    Returns
    -------
    Batch

    Examples
    --------
    >>> shared = share(LOGISTIC, np.ones((3, 1)), np.array([0.0, 1.0, 1.0]), None)
    >>> weights = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 3.0], [0.0, 1.0, 1.0]])
    >>> np.exp(solve_shared(shared, weights, np.zeros(1), True).params).round(6).tolist()
    [[2.0], [2.0], [nan]]
    """
    R, size, y = len(weights), chunk_size(len(shared.X)), shared.y
    parts = []
    with np.errstate(all="ignore"):
        for i in range(0, max(R, 1), size):
            part = slice(i, i + size)
            parts.append(
                _shared_chunk(shared, weights[part], y if y.ndim == 1 else y[part], start, information)
            )
    return _joined(parts)


def _shared_chunk(shared: Shared, weights: Array, y: Array, start: Array, information: bool) -> Batch:
    """A chunk of problems that share a design; what the quick way leaves is iterated in double precision."""
    kernel, problems = shared.kernel, _Weighted(shared, weights, y)
    if not shared.products.size:  # so large that one by one is as quick
        return _settle(kernel, problems, _Solved.begin(problems.size, start), information)
    if shared.single is None or information:
        return _settle(kernel, problems, _iterate(problems, start, information), information)
    quick = shared.single.solve(weights, start)
    batch, rest = _quickly(quick), np.flatnonzero(~quick.done)
    if not len(rest):
        return batch
    others = _Weighted(shared, weights[rest], y)
    return _replaced(batch, rest, _settle(kernel, others, _iterate(others, start, False), False))


def maximise_cuts(
    kernel: Kernel, Z: Array, above: Indices, count: int, weights: Array | None, offset: Array | None
) -> tuple[Array, Mask]:
    """Find the maxima of ``count`` problems of the same rows with the outcomes 1{above > t}.

    Parameters
    ----------
    kernel : Kernel, such as `LOGISTIC`.
    Z : (n, k) float64 array, whose columns are about orthonormal over the rows, Z'Z/n near the identity.
    above : (n,) int array, how many of the cuts lie below a row's outcome.
    count : int, the number T of cuts.
    weights, offset : (n,) float64 arrays or None.

    Returns
    -------
    tuple of a float64 array (T, k) and a bool array (T,)
        Maxima to the last digits, and for which they are proved; the others may have none.

    Examples
    --------
    >>> found, proved = maximise_cuts(LOGISTIC, np.ones((4, 1)), np.array([0, 1, 1, 2]), 2, None, None)
    >>> np.exp(found[proved]).round(6).tolist()  # three above one, one above three
    [[3.0], [0.333333]]
    """
    with np.errstate(all="ignore"):  # what is not finite is not proved
        cuts = _Cuts(kernel, Z, above, count, weights, offset)
        parts = [
            cuts.solve(np.arange(t, min(t + MOST_PROBLEMS, count))) for t in range(0, count, MOST_PROBLEMS)
        ]
    return np.concatenate([b for b, _ in parts]), np.concatenate([p for _, p in parts])


class _Cuts:
    """Rows whose outcomes are cut at levels; passes run over pieces of rows that stay in the cache.

    A logit needs no outcomes: the score is ``sums`` (T, k) of the rows above a cut less what is expected.
    """

    def __init__(
        self,
        kernel: Kernel,
        Z: Array,
        above: Indices,
        count: int,
        weights: Array | None,
        offset: Array | None,
    ) -> None:
        self.kernel, self.Z, self.above = kernel, Z, above
        self.count, self.weights, self.offset = count, weights, offset
        self.quick = Z.astype(np.float32) if kernel == LOGISTIC else Z
        self.row_slopes, self.spread = _slopes(kernel), unpacking(Z.shape[1])
        columns = np.ascontiguousarray(Z.T)
        self.largest = np.maximum(columns.max(axis=1), -columns.min(axis=1))[None, :]
        columns = columns if weights is None else columns * weights
        each = [np.bincount(above, column, count + 1)[:0:-1] for column in columns]
        self.sums: Array = np.asarray(np.cumsum(each, axis=1)[:, ::-1].T, dtype=np.float64)
        self.reach = float(np.vecdot(Z, Z).max())

    def solve(self, at: Indices) -> tuple[Array, Mask]:
        """Maxima (r, k) at the cuts ``at`` (r,), and which are proved."""
        near = self._near(at, self._starts(at))
        again = np.flatnonzero(~near.good)
        if len(again):  # a start on few rows may be too far out
            for part, new in zip(near, self._near(at[again], self._constants(at[again])), strict=True):
                part[again] = new
        beta, rest = near.beta, np.full(len(at), np.inf)
        open_ = np.flatnonzero(near.good)
        decrement = np.full(len(at), np.inf)
        for _ in range(CUTS_PASSES):  # in double precision
            if not len(open_):
                break
            score = self._score(at[open_], beta[open_])
            step = (near.inverse[open_] @ score[:, :, None])[:, :, 0]
            decrement[open_] = np.abs((score * step).sum(axis=1))
            rest[open_] = np.sqrt(decrement[open_]) * near.contraction[open_]
            beta[open_] += step
            open_ = open_[rest[open_] > CUTS_EXACT]
        # were rows separated along some e, its gain e'g would be at least e'He / max |z| (for a logit; other
        # laws have room in 1e-3), and the decrement at least the least eigenvalue of H over max |z|²
        least = 1 / np.trace(near.inverse, axis1=1, axis2=2)
        proved = near.good & (rest <= CUTS_EXACT) & (decrement * self.reach < 1e-3 * least)
        proved &= least >= LEAST_INFORMATION * len(self.Z)
        return beta, proved & np.isfinite(beta).all(axis=1)

    def _near(self, at: Indices, start: Array, enough: float = CUTS_ENOUGH) -> Near:
        def evaluate(beta: Any, take: Indices | None) -> tuple[Array, Array]:
            return self._slopes(at if take is None else at[take], beta)

        first = evaluate(start.astype(np.float32), None)
        return arrive(first, start, evaluate, self.largest, enough, PASSES)

    def _starts(self, at: Indices) -> Array:
        """Points near the maxima: a step from those of every eighth row, or between every eighth cut."""
        n, found, constants = len(self.Z), None, self._constants(at)
        if n > MANY_ROWS:
            take = slice(None, None, APART)
            weights, offset = (None if a is None else a[take] for a in (self.weights, self.offset))
            few = _Cuts(self.kernel, self.Z[take], self.above[take], self.count, weights, offset)
            near = few._near(at, few._starts(at), START)
            near.beta[~near.good] = constants[~near.good]
            score = self._score(at, near.beta, self.quick) * (len(few.Z) / n)
            step = (near.inverse @ score[:, :, None])[:, :, 0]
            found = near.beta + np.where(near.good[:, None], step, 0.0)
        elif len(at) > 2 * APART and n * len(at) > FEW_ENTRIES:
            some = np.unique(np.append(np.arange(0, len(at), APART), len(at) - 1))
            near = self._near(at[some], constants[some], START)
            good = near.good
            if good.any():
                paths = [np.interp(np.arange(len(at)), some[good], c) for c in near.beta[good].T]
                found = np.stack(paths, axis=1)
        return constants if found is None else found

    def _constants(self, at: Indices) -> Array:
        """Maxima of a logit with a constant alone, as far as the columns have one."""
        n = len(self.Z)
        w = or_ones(self.weights, n)
        share = 1 - np.cumsum(np.bincount(self.above, w, self.count + 1))[at] / w.sum()
        share = np.clip(share, 0.5 / n, 1 - 0.5 / n)
        return np.asarray(np.multiply.outer(np.log(share / (1 - share)), self.Z.mean(axis=0)))

    def _pieces(self, r: int) -> Iterator[slice]:
        n, size = len(self.Z), max(256, CHUNK_ENTRIES // (2 * r))
        return (slice(i, min(i + size, n)) for i in range(0, n, size))

    def _rows(self, at: Indices, beta: Any, part: slice, Z: Any, *, information: bool) -> tuple[Any, Any]:
        """Scores (r, m) of some rows, those of a logit without its outcomes, and informations or None."""
        r, m, kind = len(at), len(Z), Z.dtype
        logit = self.kernel == LOGISTIC
        eta = np.matmul(-beta if logit else beta, Z.T, out=room("eta", r, m, dtype=kind))
        if self.offset is not None:
            move = self.offset[part].astype(kind, copy=False)
            eta += -move if logit else move
        info = room("info", r, m, dtype=kind) if information else None
        if logit:
            rows = _probabilities(eta, info)
        else:
            rows = self.row_slopes((self.above[part] > at[:, None]).astype(np.float64), eta, info)
        if self.weights is not None:
            w = self.weights[part].astype(kind, copy=False)
            rows, info = rows * w, None if info is None else info * w
        return rows, info

    def _score(self, at: Indices, beta: Array, columns: Any = None) -> Array:
        """Scores (r, k) in double precision, or that of the columns."""
        columns = self.Z if columns is None else columns
        total, beta = np.zeros(beta.shape), beta.astype(columns.dtype, copy=False)
        for part in self._pieces(len(at)):
            Z = columns[part]
            total += self._rows(at, beta, part, Z, information=False)[0] @ Z
        return self.sums[at] - total if self.kernel == LOGISTIC else total

    def _slopes(self, at: Indices, beta: Any) -> tuple[Array, Array]:
        """Scores (r, k) and informations (r, k, k); those of a logit in single precision."""
        r, k = len(at), self.Z.shape[1]
        total, packed = np.zeros((r, k)), np.zeros((r, k * (k + 1) // 2))
        for part in self._pieces(r):
            Z = self.quick[part]
            rows, info = self._rows(at, beta.astype(Z.dtype), part, Z, information=True)
            total += rows @ Z
            products = products_of_columns(Z.T[None], np.empty((1, packed.shape[1], len(Z)), Z.dtype))
            packed += info @ products[0].T
        score = self.sums[at] - total if self.kernel == LOGISTIC else total
        return score, packed[:, self.spread].reshape(r, k, k)
