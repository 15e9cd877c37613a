"""Logits by the chunk: most of the way in single precision, and one exact step.

Single precision halves what moves through the cache and exponentials cost a third, while the maximum it finds
is right to about 1e-7 in every index.  One step in double precision from there is exact to ten digits,
because its error is the product of that distance and of what the information misses: `Near.contraction`
bounds the latter, so the caller can tell whether the step was good enough, and settles otherwise in double
precision throughout.

Rows are turned round where y = 1: with c = x·(1 − 2y) the odds of the outcome that was not seen are e =
exp(c'β), its probability is r = e/(1 + e), the log-likelihood of the row is −log(1 + e), the score −r·c and
the information r/(1 + e). Neither y nor a cancelling difference is needed again.

What happens to one problem does not depend on the others of its chunk: a problem that has arrived is not
touched again.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from disteconometrics.arrays import Array, Indices, Mask, as_floats
from disteconometrics.optim.newton import CONDITION, INDEX_MOVE

__all__ = [
    "Exact",
    "Near",
    "OwnDesigns",
    "WeightedDesign",
    "arrive",
    "batched_gram",
    "batched_inverses",
    "products_of_columns",
    "room",
    "unpacking",
]

Single = NDArray[np.float32]
# of points (r, k) of some or all problems
Evaluate = Callable[[Single, Indices | None], tuple[Any, Any]]

PASSES = 6
FEW_COLUMNS = 5  # up to which products of pairs of columns beat a product of small matrices
ROUNDING = 2e-7  # of an information in single precision, relative
ATTENUATION = 0.35  # E 4p(1 − p) is about 1/√(1 + 0.35 s²) for a normal index of variance s²
# decrement at which single precision hands over where the exact step has an information of its own …
OWN_ENOUGH = 1e-7
SHARED_ENOUGH = 1e-6  # … and where it has not
EXACT = 1e-9  # standard errors, a bound (about thirty times what is seen) on what an exact step leaves
MOST_KEPT = 2_000_000  # entries of an array that stays for the next chunk
INFORMATION = 3e-11  # relative, a bound on what an information at the end of an exact step misses

_THREAD = threading.local()


class Near(NamedTuple):
    """Where each problem is after its last step in single precision.

    ``beta`` (R, k); ``inverse`` (R, k, k), the inverse information one step before; ``contraction`` (R,), a
    bound on the relative error of that information at the maximum; ``good`` (R,), False where the steps led
    nowhere.
    """

    beta: Array
    inverse: Array
    contraction: Array
    good: Mask


def batched_inverses(H: Array) -> tuple[Array, Mask, Array]:
    """Inverses (r, k, k), which (r,) could be computed, and bounds (r,) on the condition when scaled.

    Examples
    --------
    >>> H = np.array([[[4.0, 0.0], [0.0, 100.0]], [[1.0, 1.0], [1.0, 1.0]]])
    >>> inverse, good, condition = batched_inverses(H)
    >>> inverse[0].tolist(), good.tolist(), float(condition[0])
    ([[0.25, 0.0], [0.0, 0.01]], [True, False], 4.0)
    """
    k = H.shape[1]
    d = np.sqrt(np.diagonal(H, axis1=1, axis2=2))
    good: Mask = np.asarray(np.isfinite(H).all(axis=(1, 2)) & (d > 1e-150).all(axis=1))
    if not good.all():
        H, d = np.where(good[:, None, None], H, np.eye(k)), np.where(good[:, None], d, 1.0)
    scale = d[:, :, None] * d[:, None, :]
    C = H / scale
    try:
        inverse = np.linalg.inv(C)
    except np.linalg.LinAlgError:  # one of them is singular to the last bit
        C, fine = _nonsingular(C)
        good &= fine
        inverse = np.linalg.inv(C)
    trace = np.trace(inverse, axis1=1, axis2=2)
    good &= trace >= k * 0.999
    inverse /= scale
    return inverse, good, np.asarray(k * trace)


def _nonsingular(C: Array) -> tuple[Array, Mask]:
    fine = np.linalg.eigvalsh(C)[:, 0] > 1e-14
    return np.where(fine[:, None, None], C, np.eye(C.shape[1])), fine


def batched_solve(H: Array, score: Array) -> Array:
    """Steps H⁻¹·score (r, k); NaN or anything where H is singular, which the caller sees by its decrement."""
    try:
        return np.asarray(np.linalg.solve(H, score[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        good = np.asarray(np.isfinite(H).all(axis=(1, 2)))
        with np.errstate(all="ignore"):
            good = good & np.asarray(np.linalg.det(np.where(good[:, None, None], H, 0.0)) != 0)
        steps = np.full(score.shape, np.nan)
        steps[good] = np.linalg.solve(H[good], score[good][:, :, None])[:, :, 0]
        return steps


def batched_gram(columns: Any, weights: Any, scaled: Any) -> Any:
    """Σ w·x·x' of every problem (R, k, k), from columns (R, k, n) and weights (R, n).

    ``scaled`` (R, k, n) is overwritten.
    """
    np.multiply(columns, weights[:, None, :], out=scaled)
    k = columns.shape[1]
    if k > FEW_COLUMNS:
        return np.matmul(scaled, columns.transpose(0, 2, 1))
    H = np.empty((len(columns), k, k), dtype=columns.dtype)
    for j in range(k):
        H[:, j, j:] = H[:, j:, j] = np.vecdot(scaled[:, j : j + 1], columns[:, j:])
    return H


def arrive(
    first: tuple[Any, Any],
    start: Array,
    evaluate: Evaluate,
    largest: Array,
    enough: float,
    passes: int = PASSES,
) -> Near:
    """Newton steps from ``start`` (R, k), score and information ``first``, to decrements of ``enough``."""
    R, k = start.shape
    beta, kept, moved = start.copy(), np.zeros((R, k, k)), np.full(R, np.inf)
    previous, take = np.full(R, 1e300), np.arange(R)  # those under way
    score, H = first
    for i in range(passes):
        score, H = as_floats(score), as_floats(H)
        step = batched_solve(H, score)
        decrement = (score * step).sum(axis=1)
        fine = (decrement >= 0) & (decrement <= 0.9 * previous)
        arrived = fine & (decrement <= enough)
        if not fine.all():
            step[~fine] = 0.0
        beta[take] += step
        if arrived.any():
            at = take[arrived]
            kept[at] = H[arrived]
            moved[at] = (np.abs(step[arrived]) * (largest if len(largest) == 1 else largest[at])).sum(axis=1)
        left = fine & ~arrived
        take, previous = take[left], decrement[left]
        if i == passes - 1 or not len(take):
            break
        if 2 * len(take) > R:  # copying rows costs more than evaluating some in vain
            score, H = (part[take] for part in evaluate(beta.astype(np.float32), None))
        else:
            score, H = evaluate(beta[take].astype(np.float32), take)
    inverse, fine, condition = batched_inverses(kept)
    good = np.isfinite(moved) & fine & (condition <= CONDITION**2)
    return Near(beta, inverse, moved + ROUNDING * condition, good)


def room(name: str, *shape: int, dtype: Any = np.float64) -> Any:
    """An array of this thread to work in, with whatever was in it.

    The last one of that name and type is lost.

    Fresh memory would cost more than the arithmetic.

    Examples
    --------
    >>> room("eta", 4, 3)[:] = 1.0
    >>> room("eta", 2, 3).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    size = math.prod(shape)
    if size > MOST_KEPT:
        return np.empty(shape, dtype=dtype)
    kept, key = _THREAD.__dict__, f"{name} {np.dtype(dtype).char}"
    if key not in kept or len(kept[key]) < size:
        kept[key] = np.empty(size, dtype=dtype)
    return kept[key][:size].reshape(shape)


class Exact(NamedTuple):
    """After the exact step: ``beta`` (R, k), ``inverse`` information, ``loglik`` or None, ``done`` (R,)."""

    beta: Array
    inverse: Array
    loglik: Array | None
    done: Mask


def _unlikely(eta: Any, info: Any, weights: Any) -> Any:
    """Probabilities r of the outcome not seen in the place of c'β, with their informations in ``info``.

    Both weighted.
    """
    np.exp(eta, out=eta)
    np.add(eta, 1, out=info)
    eta /= info
    if weights is not None:
        eta *= weights
    np.divide(eta, info, out=info)
    return eta


def _log_sums(d: Array) -> Array:
    """Σ log d of every problem (R,), d ≥ 1: logs of products of eight, which are an eighth of the logs."""
    whole = d.shape[1] // 8 * 8
    products = np.multiply.reduce(d[:, :whole].reshape(len(d), 8, -1), axis=1)
    sums = np.log(products).sum(axis=1) + np.log(d[:, whole:]).sum(axis=1)
    far = ~np.isfinite(sums)
    if far.any():
        sums[far] = np.log(d[far]).sum(axis=1)
    return np.asarray(sums)


def products_of_columns(columns: Any, out: Any) -> Any:
    """Products of pairs of columns, (R, k, n) → (R, k(k+1)/2, n).

    Examples
    --------
    >>> products_of_columns(np.array([[[2.0], [3.0]]]), np.empty((1, 3, 1)))[0, :, 0].tolist()
    [4.0, 6.0, 9.0]
    """
    k, at = columns.shape[1], 0
    for j in range(k):
        np.multiply(columns[:, j : j + 1], columns[:, j:], out=out[:, at : at + k - j])
        at += k - j
    return out


@lru_cache(64)
def unpacking(k: int) -> Indices:
    """Where the entries of a (k, k) matrix are in its upper triangle (k*k,).

    Examples
    --------
    >>> unpacking(2).tolist()
    [0, 1, 1, 2]
    """
    a, b = np.triu_indices(k)
    spread = np.empty((k, k), dtype=np.intp)
    spread[a, b] = spread[b, a] = np.arange(len(a))
    return spread.ravel()


class OwnDesigns:
    """A chunk of logits with data of their own.

    X (R, n, k), y (R, n) of 0 and 1, weights and offset (R, n) or None.
    """

    def __init__(self, X: Array, y: Array, weights: Array | None, offset: Array | None) -> None:
        R, n, k = X.shape
        self.weights, self.shape = weights, (R, k, n)
        turn = np.multiply(y, -2.0, out=room("eta", R, n))
        turn += 1.0
        self.columns = np.multiply(X.transpose(0, 2, 1), turn[:, None, :], out=room("columns", R, k, n))
        self.offset = None if offset is None else offset * turn
        self.narrow = room("columns", R, k, n, dtype=np.float32)
        np.copyto(self.narrow, self.columns, casting="same_kind")
        self.narrow_weights, self.narrow_offset = (
            None if a is None else a.astype(np.float32) for a in (weights, self.offset)
        )
        self.largest = np.maximum(self.narrow.max(axis=2), -self.narrow.min(axis=2)).astype(np.float64)
        self.products: Any = None
        if k <= FEW_COLUMNS:
            self.products = products_of_columns(
                self.narrow, room("products", R, k * (k + 1) // 2, n, dtype=np.float32)
            )
        self.spread = unpacking(k)

    def _gram(self, columns: Single, products: Single | None, info: Single) -> Any:
        r, k, n = columns.shape
        if products is None:
            return batched_gram(columns, info, room("scaled", r, k, n, dtype=np.float32))
        return np.vecdot(products, info[:, None, :])[:, self.spread].reshape(r, k, k)

    def _evaluate(self, beta: Single, take: Indices | None) -> tuple[Any, Any]:
        """Scores (r, k) and informations (r, k, k) at ``beta`` (r, k), in single precision."""
        rows = (self.products, self.narrow_weights, self.narrow_offset)
        products, weights, offset = (a if take is None or a is None else a[take] for a in rows)
        columns = self.narrow if take is None else self.narrow[take]
        r, n = len(beta), self.shape[2]
        eta, info = (room(name, r, n, dtype=np.float32) for name in ("eta", "info"))
        np.matmul(beta[:, None, :], columns, out=eta[:, None, :])
        if offset is not None:
            eta += offset
        _unlikely(eta, info, weights)
        return -np.vecdot(columns, eta[:, None, :]), self._gram(columns, products, info)

    def _start(self) -> Array:
        """Zero, or with neither weights nor offset the coefficients that the linear fit suggests."""
        R, k, n = self.shape
        if self.offset is not None or self.weights is not None:
            return np.zeros((R, k))
        quarter = room("info", R, n, dtype=np.float32)
        quarter.fill(0.25)
        score = -0.5 * self.narrow.sum(axis=2, dtype=np.float32).astype(np.float64)
        start = batched_solve(self._gram(self.narrow, self.products, quarter).astype(np.float64), score)
        # covariates near normal: the slopes of p are those of η times E p(1 − p)
        start /= np.sqrt(np.maximum(1 - ATTENUATION * (start * score).sum(axis=1) / (n / 4), 0.25))[:, None]
        start[~np.isfinite(start).all(axis=1)] = 0.0
        return start

    def solve(self) -> Exact:
        """The maxima; what is not done needs double precision throughout."""
        (R, k, n), columns, weights = self.shape, self.columns, self.weights
        start = self._start()
        near = arrive(
            self._evaluate(start.astype(np.float32), None), start, self._evaluate, self.largest, OWN_ENOUGH
        )
        eta, info, move = (room(name, R, n) for name in ("eta", "info", "move"))
        np.matmul(near.beta[:, None, :], columns, out=eta[:, None, :])
        if self.offset is not None:
            eta += self.offset
        r = np.exp(eta, out=eta)
        np.add(r, 1.0, out=info)
        loglik = -(_log_sums(info) if weights is None else (np.log(info) * weights).sum(axis=1))
        r /= info
        np.divide(r, info, out=info)
        weighted = r if weights is None else np.multiply(r, weights, out=move)
        score = -np.vecdot(columns, weighted[:, None, :])
        step = (near.inverse @ score[:, :, None])[:, :, 0]
        np.matmul(step[:, None, :], columns, out=move[:, None, :])
        r *= -2.0  # the information at the end of the step: its derivative is that here times 1 − 2r
        r += 1.0
        move *= r
        move += 1.0
        info *= move
        if weights is not None:
            info *= weights
        inverse, good, condition = batched_inverses(batched_gram(columns, info, room("scaled", R, k, n)))
        step = (inverse @ score[:, :, None])[:, :, 0]
        decrement = (score * step).sum(axis=1)
        moved = (np.abs(step) * self.largest).sum(axis=1)
        done = (
            near.good
            & good
            & (condition <= CONDITION**2)
            & (moved * np.maximum(near.contraction, moved) <= INFORMATION)
        )
        done &= np.sqrt(np.maximum(decrement, 0.0)) * moved <= EXACT
        return Exact(near.beta + step, inverse, loglik + decrement / 2, done)


class WeightedDesign:
    """Logits whose rows carry weights that differ from problem to problem.

    X (n, k), y (n,) of 0 and 1, offset (n,) or None.

    ``products`` (n, k(k+1)/2) are those of the columns of X.
    """

    def __init__(self, X: Array, y: Array, offset: Array | None, products: Array) -> None:
        turn = 1 - 2 * y
        self.columns = X * turn[:, None]
        self.offset = None if offset is None else offset * turn
        self.narrow, self.products = self.columns.astype(np.float32), products.astype(np.float32)
        self.narrow_offset = None if self.offset is None else self.offset.astype(np.float32)
        self.largest = np.abs(X).max(axis=0, initial=0.0)[None, :]
        self.spread = unpacking(X.shape[1])

    def _unpacked(self, packed: Any) -> Any:
        k = self.columns.shape[1]
        return packed[:, self.spread].reshape(len(packed), k, k)

    def _index(self, beta: Any, columns: Any, offset: Any, out: Any) -> Any:
        np.matmul(beta, columns.T, out=out)
        if offset is not None:
            out += offset
        return out

    def solve(self, weights: Array, start: Array) -> Exact:
        """The maxima under ``weights`` (R, n) from ``start`` (k,), with the informations one step before."""
        R, n = weights.shape
        narrow = room("weights", R, n, dtype=np.float32)
        np.copyto(narrow, weights, casting="same_kind")

        def evaluate(beta: Single, take: Indices | None) -> tuple[Any, Any]:
            r, info = (room(name, len(beta), n, dtype=np.float32) for name in ("eta", "info"))
            self._index(beta, self.narrow, self.narrow_offset, r)
            _unlikely(r, info, narrow if take is None else narrow[take])
            return -(r @ self.narrow), self._unpacked(info @ self.products)

        # all begin at one point, so its rows are evaluated once
        r, info = (np.empty((1, n), dtype=np.float32) for _ in range(2))
        _unlikely(self._index(start.astype(np.float32)[None], self.narrow, self.narrow_offset, r), info, None)
        sums = narrow @ np.concatenate([self.narrow * -r.T, self.products * info.T], axis=1)
        k = len(start)
        first = (sums[:, :k], self._unpacked(sums[:, k:]))
        near = arrive(first, np.tile(start, (R, 1)), evaluate, self.largest, SHARED_ENOUGH)
        rows = np.exp(
            self._index(near.beta, self.columns, self.offset, room("eta", R, n)), out=room("eta", R, n)
        )
        rows /= np.add(rows, 1.0, out=room("info", R, n))
        rows *= weights
        score = -(rows @ self.columns)
        step = (near.inverse @ score[:, :, None])[:, :, 0]
        moved = (np.abs(step) * self.largest).sum(axis=1)
        decrement = (score * step).sum(axis=1)
        done = near.good & (decrement >= 0) & (moved <= INDEX_MOVE)
        done &= np.sqrt(np.maximum(decrement, 0.0)) * near.contraction <= EXACT
        return Exact(near.beta + step, near.inverse, None, done)
